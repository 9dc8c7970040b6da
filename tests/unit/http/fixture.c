#include "tests/unit/http/fixture.h"

#include <criterion/criterion.h>
#include <ftw.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/log.h"
#include "tests/support/lib/scratch.h"

enum { PATH_LEN_MAX = 256, WAIT_MS = 5000, HEAD_WAIT_MS = 300 };

static const char configuration[] =
	"listen: {address: 127.0.0.1, port: 0}\n"
	"tls:\n  certificate: server.pem\n  key: server.key\n  client_ca: ca.pem\n%s"
	"state_directory: .\n"
	"runtime_directory: .\n"
	"worker_program: %s\n"
	"audit: {file: audit.log}\n"
	"log: {level: error, format: text}\n"
	"limits:\n  inventory_s: 3600\n%s"
	"modules: [{name: none, path: /nonexistent/module.so}]\n"
	"slots:\n"
	"  - {name: demo, module: none, token: {label: demo}}\n"
	"  - {name: other, module: none, token: {label: other}}\n"
	"identities:\n"
	"  - {name: alice, certificate: {san_uri: \"urn:p11gate:test:%s\"}}\n"
	"  - {name: reader, certificate: {san_uri: \"urn:p11gate:test:reader\"}}\n"
	"  - {name: bob, certificate: {san_uri: \"urn:p11gate:test:%s\"}}\n"
	"  - {name: twin-one, certificate: {san_dns: twin.example}}\n"
	"  - {name: twin-two, certificate: {san_email: twin@example.org}}\n"
	"policy:\n"
	"  - {identities: [alice], slots: [demo], allow: [read, login, use, write, admin]}\n"
	"  - {identities: [reader], slots: [demo], allow: [read]}\n"
	"  - {identities: [bob], slots: [other], allow: [read, login, use, write, admin]}\n";

static void path_of(const struct fixture *fixture, const char *name, const char *suffix, char path[PATH_LEN_MAX])
{
	snprintf(path, PATH_LEN_MAX, "%s/%s%s", fixture->directory, name, suffix);
}

static struct config *configure(struct fixture *fixture, const char *limits, const char *tls)
{
	char path[PATH_LEN_MAX], error[1024] = "";
	struct config *config = NULL;
	path_of(fixture, "gateway", ".yaml", path);
	FILE *file = fopen(path, "we");
	cr_assert_not_null(file);
	fprintf(file, configuration, tls, fixture->worker_program, limits, fixture->alice, fixture->bob);
	fclose(file);
	cr_assert_eq(config_load(path, &config, error, sizeof error), STATUS_OK, "%s", error);
	return config;
}

static void certificates(struct fixture *fixture)
{
	fixture->pki = pki_new(fixture->directory, "ca");
	fixture->foreign = pki_new(fixture->directory, "foreign-ca");
	const struct {
		const char *name;
		struct pki_leaf leaf;
	} rows[] = {
		{"server", {.san = "IP:127.0.0.1,DNS:localhost", .key_usage = "serverAuth"}},
		{"alice", {.san = "URI:urn:p11gate:test:alice", .key_usage = "clientAuth"}},
		{"reader", {.san = "URI:urn:p11gate:test:reader", .key_usage = "clientAuth"}},
		{"bob", {.san = "URI:urn:p11gate:test:bob", .key_usage = "clientAuth"}},
		{"twin", {.san = "DNS:twin.example,email:twin@example.org", .key_usage = "clientAuth"}},
		{"stranger", {.san = "URI:urn:p11gate:test:stranger", .key_usage = "clientAuth"}},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
		pki_issue(fixture->pki, rows[i].name, &rows[i].leaf, NULL);
	pki_crl(fixture->pki, "crl.pem");
}

static struct fixture *fixture_of(const char *worker_program, const char *limits, const char *tls)
{
	char error[1024] = "", path[PATH_LEN_MAX];
	struct fixture *fixture = calloc(1, sizeof *fixture);
	*fixture = (struct fixture){.alice = "alice", .bob = "bob"};
	snprintf(fixture->worker_program, sizeof fixture->worker_program, "%s", worker_program);
	scratch_directory(fixture->directory, sizeof(fixture->directory));
	signal(SIGPIPE, SIG_IGN);
	log_setup(LOG_LEVEL_ERROR, 0);
	certificates(fixture);
	struct config *config = configure(fixture, limits, tls);
	path_of(fixture, "audit", ".log", path);
	cr_assert_eq(audit_open(path, &fixture->audit, error, sizeof error), STATUS_OK, "%s", error);
	cr_assert_eq(registry_new(config, &fixture->registry), STATUS_OK);
	path_of(fixture, "journal", ".db", path);
	cr_assert_eq(journal_open(path, 1 << 20, &fixture->journal, error, sizeof error), STATUS_OK, "%s", error);
	cr_assert_eq(listener_new(config, fixture->registry, fixture->audit, fixture->journal, &fixture->listener,
			     error, sizeof error),
		STATUS_OK, "%s", error);
	fixture->port = listener_port(fixture->listener);
	return fixture;
}

struct fixture *fixture_new(const char *limits, const char *tls)
{
	return fixture_of("/bin/false", limits, tls);
}

struct fixture *fixture_with_workers(const char *limits)
{
	char folder[PATH_LEN_MAX / 2], program[PATH_LEN_MAX];
	ssize_t len = readlink("/proc/self/exe", folder, sizeof folder - 1);
	cr_assert_gt(len, 0);
	folder[len] = '\0';
	snprintf(program, sizeof program, "%s/test_worker", dirname(folder));
	cr_assert_eq(access(program, X_OK), 0, "%s is missing: make tests", program);
	return fixture_of(program, limits, "");
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
	(void)info, (void)type, (void)place;
	return remove(path);
}

void fixture_free(struct fixture *fixture)
{
	cr_expect(listener_stop(fixture->listener, WAIT_MS), "the listener does not come to rest");
	listener_free(fixture->listener);
	registry_free(fixture->registry);
	journal_close(fixture->journal);
	audit_close(fixture->audit);
	pki_free(fixture->pki);
	pki_free(fixture->foreign);
	nftw(fixture->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	free(fixture);
}

enum status fixture_reload(struct fixture *fixture, const char *limits, const char *tls)
{
	char error[1024] = "";
	return listener_reload(fixture->listener, configure(fixture, limits, tls), error, sizeof error);
}

bool fixture_try(
	struct fixture *fixture, const char *name, const struct tls_client_files *more, struct tls_client **ret_client)
{
	char ca[PATH_LEN_MAX], certificate[PATH_LEN_MAX], key[PATH_LEN_MAX];
	struct tls_client_files files = more != NULL ? *more : (struct tls_client_files){0};
	struct tls_client *client = calloc(1, sizeof *client);
	path_of(fixture, "ca", ".pem", ca);
	files.ca = ca;
	if (name != NULL) {
		path_of(fixture, name, ".pem", certificate);
		path_of(fixture, name, ".key", key);
		files.certificate = certificate;
		files.key = key;
	}
	*ret_client = client;
	return tls_client_open(client, fixture->port, &files);
}

struct tls_client *fixture_connect(struct fixture *fixture, const char *name)
{
	struct tls_client *client;
	cr_assert(fixture_try(fixture, name, NULL, &client), "handshake as %s", name);
	return client;
}

void fixture_disconnect(struct tls_client *client)
{
	tls_client_close(client);
	free(client);
}

const char *fixture_exchange(struct tls_client *client, const void *bytes, size_t len)
{
	static char answer[TLS_CLIENT_ANSWER_MAX];
	bool head_only = len > 5 && memcmp(bytes, "HEAD ", 5) == 0;
	/* A server that refuses may have closed already; what it said before is still to be read. */
	(void)tls_client_send(client, bytes, len);
	bool complete = tls_client_answer(client, answer, sizeof answer, head_only ? HEAD_WAIT_MS : WAIT_MS) > 0;
	return complete || (head_only && *answer != '\0') ? answer : NULL;
}

const char *fixture_ask(struct tls_client *client, const char *request)
{
	return fixture_exchange(client, request, strlen(request));
}

const char *fixture_get(struct fixture *fixture, const char *name, const char *path)
{
	char request[1024];
	struct tls_client *client = fixture_connect(fixture, name);
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: gateway\r\n\r\n", path);
	const char *answer = fixture_ask(client, request);
	fixture_disconnect(client);
	return answer;
}

unsigned answer_status(const char *answer)
{
	return answer == NULL || strncmp(answer, "HTTP/1.1 ", 9) != 0 ? 0 : (unsigned)strtoul(answer + 9, NULL, 10);
}

bool answer_has(const char *answer, const char *text)
{
	return answer != NULL && strstr(answer, text) != NULL;
}

unsigned audit_lines(struct fixture *fixture, const char *text)
{
	char path[PATH_LEN_MAX], line[8192];
	unsigned count = 0;
	path_of(fixture, "audit", ".log", path);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof line, file) != NULL)
		count += strstr(line, text) != NULL;
	fclose(file);
	return count;
}
