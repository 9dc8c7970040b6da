#include "tests/unit/worker/resource_fixture.h"

#include <criterion/criterion.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/base64url.h"
#include "api/cryptoki.h"
#include "server/common/frame.h"
#include "server/worker/internal.h"

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

enum { CHILD_FD = 100, ANSWER_TIMEOUT_MS = 60000, TURNS = 8, TURN_SIZE = 65536 };

/* --- token --- */

static CK_FUNCTION_LIST *softhsm(void)
{
	void *library = dlopen(SOFTHSM, RTLD_NOW);
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
	CK_FUNCTION_LIST *functions = NULL;
	if (library != NULL)
		*(void **)&get = dlsym(library, "C_GetFunctionList");
	if (get == NULL || get(&functions) != CKR_OK || functions->C_Initialize(NULL) != CKR_OK)
		_exit(90);
	return functions;
}

/* Runs `work` in a process of its own, so that SoftHSM's state does not stay in the test's. */
static void in_child(void (*work)(void *context), void *context)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		work(context);
		_exit(0);
	}
	cr_assert_gt(pid, 0);
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "preparing the token failed with status %d", status);
}

static void must(CK_RV rv)
{
	if (rv != CKR_OK)
		_exit(91);
}

static void initialise(void *context)
{
	CK_FUNCTION_LIST *f = softhsm();
	CK_SLOT_ID slots[4];
	CK_ULONG count = 4;
	CK_SESSION_HANDLE session;
	CK_UTF8CHAR label[32];
	(void)context;
	memset(label, ' ', sizeof label);
	memcpy(label, FIXTURE_TOKEN, strlen(FIXTURE_TOKEN));
	must(f->C_GetSlotList(CK_TRUE, slots, &count));
	must(f->C_InitToken(slots[0], (CK_UTF8CHAR *)FIXTURE_SO_PIN, 4, label));
	must(f->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
	must(f->C_Login(session, CKU_SO, (CK_UTF8CHAR *)FIXTURE_SO_PIN, 4));
	must(f->C_InitPIN(session, (CK_UTF8CHAR *)FIXTURE_PIN, 4));
	must(f->C_Finalize(NULL));
}

void token_new(struct token *token)
{
	char path[96];
	snprintf(token->directory, sizeof token->directory, "/tmp/p11gate-unit-XXXXXX");
	cr_assert_not_null(mkdtemp(token->directory));
	snprintf(path, sizeof path, "%s/softhsm2.conf", token->directory);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fprintf(file, "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", token->directory);
	fclose(file);
	setenv("SOFTHSM2_CONF", path, 1);
	in_child(initialise, NULL);
}

void token_free(struct token *token)
{
	pid_t pid = fork();
	if (pid == 0) {
		execlp("rm", "rm", "-rf", "--", token->directory, NULL);
		_exit(1);
	}
	waitpid(pid, NULL, 0);
}

struct secret { const char *label, *id; const void *value; size_t len; };

static void import_secret(void *context)
{
	const struct secret *secret = context;
	CK_FUNCTION_LIST *f = softhsm();
	CK_SLOT_ID slots[4];
	CK_ULONG count = 4;
	CK_SESSION_HANDLE session;
	CK_OBJECT_HANDLE object;
	CK_OBJECT_CLASS class = CKO_SECRET_KEY;
	CK_KEY_TYPE type = CKK_GENERIC_SECRET;
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ATTRIBUTE template[] = {
		{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}, {CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1},
		{CKA_SIGN, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1},
		{CKA_LABEL, (void *)secret->label, strlen(secret->label)}, {CKA_ID, (void *)secret->id, strlen(secret->id)},
		{CKA_VALUE, (void *)secret->value, secret->len},
	};
	must(f->C_GetSlotList(CK_TRUE, slots, &count));
	must(f->C_OpenSession(slots[0], CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
	must(f->C_Login(session, CKU_USER, (CK_UTF8CHAR *)FIXTURE_PIN, 4));
	must(f->C_CreateObject(session, template, sizeof template / sizeof template[0], &object));
	must(f->C_Finalize(NULL));
}

void token_import_secret(const struct token *token, const char *label, const char *id, const void *value, size_t len)
{
	struct secret secret = {label, id, value, len};
	(void)token;
	in_child(import_secret, &secret);
}

/* --- worker --- */

static void serve_child(int control, const int pairs[FIXTURE_THREADS])
{
	static struct worker worker;
	int fds[FIXTURE_THREADS + 1];
	fds[0] = fcntl(control, F_DUPFD, CHILD_FD);
	for (int i = 0; i < FIXTURE_THREADS; i++)
		fds[i + 1] = fcntl(pairs[i], F_DUPFD, CHILD_FD);
	for (int fd = WORKER_CONTROL_FD; fd < CHILD_FD; fd++)
		close(fd);
	for (int i = 0; i <= FIXTURE_THREADS; i++) {
		dup2(fds[i], WORKER_CONTROL_FD + i);
		close(fds[i]);
	}
	if (!worker_startup(&worker) || !threads_start(&worker))
		_exit(92);
	control_serve(&worker);
}

static void send_start(int pair, const struct fixture_options *options)
{
	BUFFER_AUTO struct buffer slot, policy, start;
	buffer_init(&slot, 4096);
	buffer_init(&policy, 4096);
	buffer_init(&start, FRAME_PAYLOAD_MAX);
	worker_slot_pack(&slot, &(struct worker_slot){.name = FIXTURE_SLOT, .match_label = FIXTURE_TOKEN, .class_name = "hsm"});
	struct bytes marked = {(const unsigned char *)options->challenge_only, options->challenge_only ? strlen(options->challenge_only) : 0};
	worker_policy_pack(&policy, &(struct worker_policy){.generation = 1, .challenge_only_labels = {&marked, marked.len > 0}});
	worker_start_pack(&start, &(struct worker_start){
		.role = ROLE_APPLICATION, .module_name = "softhsm", .module_path = options->module ? options->module : SOFTHSM,
		.sandbox = "none", .slots = {&(struct bytes){slot.data, slot.len}, 1}, .threads = FIXTURE_THREADS, .sessions_max = 64,
		.operations_max = options->operations_max ? options->operations_max : 4,
		.operation_ttl_ms = options->operation_ttl_ms ? options->operation_ttl_ms : 60000,
		.token_wait_ms = 5000, .rest_idle_ms = 900000, .rest_max_ms = 28800000, .application = "0123456789abcdef",
		.policy = {policy.data, policy.len},
	});
	cr_assert_eq(frame_send(pair, FRAME_START, start.data, start.len), STATUS_OK);
}

/* Answers one question of the worker, as a gateway whose token nobody else uses. */
static void answer_question(int pair, enum frame_type type)
{
	BUFFER_AUTO struct buffer grant;
	if (type != FRAME_TOKEN_ACQUIRE)
		return;
	buffer_init(&grant, 4096);
	token_grant_pack(&grant, &(struct token_grant){.rv = CKR_OK, .generation = 1});
	cr_assert_eq(frame_send(pair, FRAME_TOKEN_GRANT, grant.data, grant.len), STATUS_OK);
}

/* Reads frames until one of type `wanted` comes. */
static void await(int pair, enum frame_type wanted, struct buffer *payload)
{
	enum frame_type type;
	for (;;) {
		cr_assert_eq(frame_receive(pair, ANSWER_TIMEOUT_MS, &type, payload), STATUS_OK, "the worker does not answer");
		if (type == wanted)
			return;
		answer_question(pair, type);
	}
}

void worker_start(const struct token *token, const struct fixture_options *options, struct worker_process *ret_worker)
{
	static const struct fixture_options defaults;
	int ours[FIXTURE_THREADS + 1], theirs[FIXTURE_THREADS + 1];
	struct worker_started started;
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	(void)token;
	for (int i = 0; i <= FIXTURE_THREADS; i++) {
		int pair[2];
		cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
		ours[i] = pair[0];
		theirs[i] = pair[1];
	}
	ret_worker->pid = fork();
	cr_assert_geq(ret_worker->pid, 0);
	if (ret_worker->pid == 0)
		serve_child(theirs[0], theirs + 1);
	ret_worker->anonymous = false;
	ret_worker->control = ours[0];
	memcpy(ret_worker->pairs, ours + 1, sizeof ret_worker->pairs);
	for (int i = 0; i <= FIXTURE_THREADS; i++)
		close(theirs[i]);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	arena_init(&arena, 1 << 20);
	send_start(ret_worker->pairs[0], options ? options : &defaults);
	await(ret_worker->pairs[0], FRAME_STARTED, &payload);
	cr_assert_eq(worker_started_unpack(payload.data, payload.len, &arena, &started), STATUS_OK);
	cr_assert_eq(started.rv, CKR_OK, "the worker did not start: %s", started.detail);
}

void worker_end(struct worker_process *worker)
{
	(void)!frame_send(worker->control, FRAME_SHUTDOWN, "", 0);
	waitpid(worker->pid, NULL, 0);
	close(worker->control);
	for (int i = 0; i < FIXTURE_THREADS; i++)
		close(worker->pairs[i]);
}

/* --- requests --- */

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const unsigned char *)text, text ? strlen(text) : 0};
}

static void send_request(struct worker_process *worker, const struct ask *what)
{
	BUFFER_AUTO struct buffer payload;
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	worker_request_pack(&payload, &(struct worker_request){
		.route = what->route, .permissions = ~0u, .identity = what->identity ? what->identity : "alice",
		.anonymous = worker->anonymous, .deadline_ms = 60000, .trace = "00000000000000000000000000000001",
		.key = what->key, .operation = what->operation, .query = what->query, .accept = what->accept,
		.content_type = what->content_type ? what->content_type : "application/json", .body = text_bytes(what->body),
	});
	cr_assert(!payload.failed);
	cr_assert_eq(frame_send(worker->pairs[what->pair], FRAME_REQUEST, payload.data, payload.len), STATUS_OK);
}

static json_t *read_list(const struct bytes_list *list, bool parse)
{
	json_t *array = json_array();
	for (size_t i = 0; i < list->count; i++) {
		const char *text = (const char *)list->items[i].data;
		json_t *item = parse ? json_loadb(text, list->items[i].len, JSON_REJECT_DUPLICATES, NULL) : json_stringn(text, list->items[i].len);
		cr_assert_not_null(item, "not JSON: %.*s", (int)list->items[i].len, text);
		json_array_append_new(array, item);
	}
	return array;
}

static char *join_headers(const struct bytes_list *headers)
{
	size_t size = 1, n = 0;
	for (size_t i = 0; i < headers->count; i++)
		size += headers->items[i].len + 1;
	char *text = calloc(1, size);
	for (size_t i = 0; i < headers->count; i++) {
		memcpy(text + n, headers->items[i].data, headers->items[i].len);
		n += headers->items[i].len;
		text[n++] = '\n';
	}
	return text;
}

struct answer ask(struct worker_process *worker, struct ask what)
{
	BUFFER_AUTO struct buffer payload;
	ARENA_AUTO struct arena arena;
	struct worker_response response;
	struct answer answer = {0};
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	arena_init(&arena, 8 << 20);
	send_request(worker, &what);
	await(worker->pairs[what.pair], FRAME_RESPONSE, &payload);
	cr_assert_eq(worker_response_unpack(payload.data, payload.len, &arena, &response), STATUS_OK);
	answer.status = response.status;
	answer.content_type = strdup(response.content_type);
	answer.headers = join_headers(&response.headers);
	answer.body = calloc(1, response.body.len + 1);
	if (response.body.len > 0)
		memcpy(answer.body, response.body.data, response.body.len);
	answer.body_len = response.body.len;
	answer.json = json_loadb((const char *)answer.body, answer.body_len, JSON_REJECT_DUPLICATES, NULL);
	answer.events = read_list(&response.audit, true);
	answer.calls = read_list(&response.calls, false);
	answer.opened = strdup(response.operation_opened);
	answer.closed = strdup(response.operation_closed);
	answer.login = response.login;
	return answer;
}

void answer_free(struct answer *answer)
{
	free(answer->content_type);
	free(answer->headers);
	free(answer->body);
	json_decref(answer->json);
	json_decref(answer->events);
	json_decref(answer->calls);
	free(answer->opened);
	free(answer->closed);
}

struct answer ask_expecting(struct worker_process *worker, unsigned status, struct ask what)
{
	struct answer answer = ask(worker, what);
	cr_assert_eq(answer.status, status, "%s answered %u instead of %u: %s", route_row(what.route)->name, answer.status, status, answer.body);
	return answer;
}

void do_expecting(struct worker_process *worker, unsigned status, struct ask what)
{
	struct answer answer = ask_expecting(worker, status, what);
	answer_free(&answer);
}

/* --- looking at answers --- */

json_t *json_at(const json_t *json, const char *path)
{
	char name[128];
	while (json != NULL && *path != '\0') {
		size_t len = strcspn(path, "/");
		snprintf(name, sizeof name, "%.*s", (int)len, path);
		json = json_is_array(json) ? json_array_get(json, strtoul(name, NULL, 10)) : json_object_get(json, name);
		path += len + (path[len] == '/');
	}
	return (json_t *)json;
}

const char *text_at(const json_t *json, const char *path)
{
	const char *text = json_string_value(json_at(json, path));
	return text ? text : "";
}

static char *turn(void)
{
	static char memory[TURNS][TURN_SIZE];
	static unsigned next;
	return memory[next++ % TURNS];
}

const char *b64(const void *data, size_t len)
{
	char *text = turn();
	cr_assert_lt(base64url_encoded_len(len), TURN_SIZE);
	base64url_encode(text, data, len);
	text[base64url_encoded_len(len)] = '\0';
	return text;
}

size_t bytes_at(const json_t *json, const char *path, unsigned char *out, size_t size)
{
	const char *text = text_at(json, path);
	size_t len;
	cr_assert_leq(base64url_decoded_max(strlen(text)), size);
	cr_assert(base64url_decode(out, &len, text, strlen(text)));
	return len;
}

const char *format(const char *text, ...)
{
	va_list arguments;
	char *out = turn();
	va_start(arguments, text);
	cr_assert_lt(vsnprintf(out, TURN_SIZE, text, arguments), TURN_SIZE);
	va_end(arguments);
	return out;
}

EVP_PKEY *public_key_of(struct worker_process *worker, const char *key)
{
	ANSWER_AUTO struct answer answer = ASK(worker, 200, .route = ROUTE_key_public, .key = key, .accept = "application/x-pem-file");
	BIO *pem = BIO_new_mem_buf(answer.body, (int)answer.body_len);
	EVP_PKEY *public_key = PEM_read_bio_PUBKEY(pem, NULL, NULL, NULL);
	BIO_free(pem);
	cr_assert_not_null(public_key);
	return public_key;
}

bool has_header(const struct answer *answer, const char *line)
{
	const char *at = strstr(answer->headers, line);
	return at != NULL && (at == answer->headers || at[-1] == '\n') && at[strlen(line)] == '\n';
}

size_t events_with(const struct answer *answer, const char *name, const char *value)
{
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(answer->events); i++)
		count += strcmp(text_at(json_array_get(answer->events, i), name), value) == 0;
	return count;
}

size_t calls_of(const struct answer *answer, const char *function)
{
	size_t count = 0;
	for (size_t i = 0; i < json_array_size(answer->calls); i++)
		count += strcmp(json_string_value(json_array_get(answer->calls, i)), function) == 0;
	return count;
}
