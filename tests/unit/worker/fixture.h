/*
 * A SoftHSM token directory, and real workers on it whose gateway is the test.
 *
 * fixture.c makes tokens and workers, fixture_gateway.c answers what workers ask of their gateway, fixture_client.c sends requests.
 * Failures of the fixture itself end the test (cr_assert). Everything is removed at the end of the test's process.
 */
#ifndef P11GATE_TESTS_UNIT_WORKER_FIXTURE_H
#define P11GATE_TESTS_UNIT_WORKER_FIXTURE_H

#include <jansson.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/call.h"
#include "server/common/frame.h"
#include "server/common/message.h"
#include "server/store/journal.h"
#include "tests/support/lib/mock.h"

/* --- bodies of calls, as formats: RIGHT and WRONG are user PINs of the token, DIGEST is 32 bytes --- */

#define RIGHT "MTIzNA"
#define WRONG "OTk5OQ"
#define DIGEST "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"%s\",\"pin\":\"%s\"}}"
#define USER_LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_USER\",\"pin\":\"MTIzNA\"}}"
#define CONTEXT_LOGIN "{\"Login\":{\"session\":%lld,\"user_type\":\"CKU_CONTEXT_SPECIFIC\",\"pin\":\"MTIzNA\"}}"
#define LOGOUT "{\"Logout\":{\"session\":%lld}}"
#define SIGN_INIT "{\"SignInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_ECDSA\"},\"key\":%lld}}"
#define SIGN "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":128}}"
/* For make_key: the key asks for its PIN at every use. */
#define CAREFUL ",{\"CKA_ALWAYS_AUTHENTICATE\":true}"

enum { FIXTURE_PAIRS = 4, FIXTURE_ANSWER_MS = 30000 };

#define FIXTURE_PIN "1234"
#define FIXTURE_SO_PIN "12345678"
#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

/* A token directory; `generation` is what the gateway would keep of the token. */
struct token_fixture {
	char directory[64];
	uint64_t generation;
	uint64_t refuse; /* not 0: the answer to the next question for the token */
	unsigned asked[8]; /* questions by purpose */
	bool last_tries; /* the grants let the last try of a PIN be risked */
	uint32_t tries, retry_after_s; /* as in the grants */
	uint64_t released_rv; /* of the last release */
	unsigned char released_serial[16];
};

/* How a worker is started; zero and NULL mean the usual. */
struct worker_options {
	const char *module; /* SoftHSM; a name without '/' is a test module beside the tests */
	const char *init_args; /* for its C_Initialize */
	const char *shim; /* faults of shim_module.c, which is the module then */
	const struct mock *mock; /* the mock module with that control file, and its token "mock" */
	const char *label; /* "demo" */
	const char *serial, *reader;
	const char *sandbox; /* "generic" */
	const char *challenge_only; /* a label */
	const char *user; /* "somebody" if there is a user_id */
	unsigned user_id, group_id; /* whom it becomes; 0: it stays who it is */
	bool require_mlock;
	const unsigned char *sha256;
	bool fresh, inventory;
	unsigned threads, sessions_max, operations_max, operation_ttl_ms;
	uint64_t rest_idle_ms, rest_max_ms;
	struct login_policy login; /* all zero: no PIN is kept */
};

struct worker_fixture {
	struct token_fixture *token;
	pid_t pid;
	int control, pairs[FIXTURE_PAIRS];
	struct worker_options options; /* as it was started */
	atomic_uint waits, waits_over; /* waits for other requests that it has told of; those that are over */
	unsigned verified; /* questions whether a PIN is good, answered by a worker of their own */
	uint64_t started_rv;
	char started_detail[256];
	struct journal_use *use; /* of the Idempotency-Key of the request that it serves, or NULL */
	enum intent_verdict refuse_record; /* not INTENT_NEW: the answer to INTENT_RECORD */
	bool killed_at_record; /* as soon as INTENT_RECORD is done it gets SIGKILL instead of the answer */
};

/* One answer: the body parsed, and what the gateway would act on. */
struct answer {
	unsigned status, sessions, login, native;
	json_t *body; /* NULL if it is not JSON */
	char content_type[64];
	json_t *events; /* array of the audit events */
	struct buffer raw; /* the body as it is */
};

/* Makes a directory with a token "demo". */
void token_fixture_new(struct token_fixture *token);
/* softhsm2-util with more arguments, as an outside tool would change the token. */
void token_fixture_tool(struct token_fixture *token, char *const arguments[]);

/* Starts a worker and waits for STARTED; `options` may be NULL. */
void worker_fixture_start(
	struct token_fixture *token, const struct worker_options *options, struct worker_fixture *ret_worker);
/* A new policy with these rules of logins, as a reload brings it; what the worker says when it follows them. */
struct worker_state worker_fixture_policy(struct worker_fixture *worker, const struct login_policy *login);
/* The gateway says that the login is void. */
void worker_fixture_void_login(struct worker_fixture *worker, enum login_end cause);
/* The sessions of that instance end, as at the end of its lease. */
void worker_fixture_end_instance(struct worker_fixture *worker, const unsigned char *instance, bool held);
/* The application is not held open any more. */
void worker_fixture_end_hold(struct worker_fixture *worker);
/* Waits for news on the control pair. */
struct worker_state worker_fixture_state(struct worker_fixture *worker);
/* Waits until a thread of it waits for a lock. */
void worker_fixture_await_blocked(const struct worker_fixture *worker);
/* Waits for the worker's end after SHUTDOWN and tells its wait status. */
int worker_fixture_stop(struct worker_fixture *worker);

/* Answers the worker's questions that come on `fd`, its control socket or a pair, until a frame of `wanted` comes, or it is killed_at_record. */
void worker_fixture_await(struct worker_fixture *worker, int fd, enum frame_type wanted, struct buffer *ret_payload);
/* Sends a request on one pair and answers the worker's questions until the response, which is left packed in `ret_payload`. */
void worker_fixture_exchange(
	struct worker_fixture *worker, unsigned pair, const struct worker_request *request, struct buffer *ret_payload);

/* Who asks. */
struct client {
	struct worker_fixture *worker;
	unsigned pair;
	unsigned char instance[16];
	uint32_t permissions; /* 0: all */
	bool held; /* the application is held open */
	const char *login; /* the member `login` of the body, or NULL */
	const char *key; /* {key} of the path, or NULL */
};

/* Sends a body to POST …/calls and answers the worker's questions; the answer is freed with answer_free. */
struct answer client_post(const struct client *client, const char *body);
/* To any route. */
struct answer client_request(const struct client *client, uint32_t route, const char *query, const char *body);
void answer_free(struct answer *answer);

/* In two steps: sends, and waits for what was sent. */
void client_send(const struct client *client, uint32_t route, const char *query, const char *body);
struct answer client_await(const struct client *client);

/* One call (JSON, printf) likewise; of the answer only the rv's name is compared. */
void send_call(const struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
void expect_answered(const struct client *client, const char *rv);

/* Runs the calls of one group (JSON, printf) and gives the last result; the caller owns it. */
json_t *client_call(const struct client *client, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same, and only the rv's name compared. */
void expect(const struct client *client, const char *rv, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* A number out of the last result; the call must succeed. */
json_int_t number(const struct client *client, const char *member, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* What many tests begin with. */
json_int_t open_session(const struct client *client); /* read-write */
json_int_t open_logged_in(const struct client *client);
/* A P-256 key pair; more attributes of the private key as JSON members. Returns the private key's handle. */
json_int_t make_key(const struct client *client, json_int_t session, const char *label, const char *more);

#endif
