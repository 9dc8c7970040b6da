/*
 * What the integration tests share: gateways, HTTPS requests as different people, and the client module in this process.
 *
 * Most tests use the gateway that tests/run.sh started for the whole suite (gateway_shared); a test that stops, kills or
 * reconfigures one starts its own (gateway_start). Failures end the test with what was missing.
 */
#ifndef P11GATE_TESTS_INTEGRATION_FIXTURE_H
#define P11GATE_TESTS_INTEGRATION_FIXTURE_H

#include <stdbool.h>
#include <sys/types.h>

#include <jansson.h>

#include "api/cryptoki.h"

struct gateway {
	char directory[256]; /* of the sandbox */
	char url[128], slot[64], pin[64], so_pin[64];
	char ca[300], certificate[300], key[300], certificate2[300], key2[300];
	char module[300], configuration[300], configuration2[300], direct_module[300], audit_log[300], tool[300],
		softhsm_conf[300];
	pid_t pid;
	bool own;
};

/* The suite's gateway. */
void gateway_shared(struct gateway *ret_gateway);

/* A gateway of the test's own; gateway_stop ends it and removes its directory. */
void gateway_start(struct gateway *ret_gateway);
void gateway_stop(struct gateway *gateway);

/* Starts the stopped or killed gateway of the same directory on the same port. */
void gateway_restart(struct gateway *gateway);

/* Runs a shell command, formatted as by printf, which must succeed. */
void shell(const char *command, ...) __attribute__((format(printf, 1, 2)));

/* Who asks: the sandbox's identities, a certificate of the sandbox's CA that no identity has, one of another CA, or none. */
enum person { ALICE, BOB, STRANGER, FOREIGNER, NOBODY };

struct answer {
	long status; /* HTTP status, 0 when there was no answer */
	char *text; /* body, NUL-terminated */
	json_t *json; /* or NULL */
	char headers[4096];
};

/* One request. `body` is text or NULL, JSON unless the headers say otherwise; `headers` are "Name: value" lines ended by NULL, or NULL. */
struct answer request(const struct gateway *g, enum person who, const char *method, const char *path, const char *body,
	const char *const headers[]);
void answer_free(struct answer *answer);
#define ANSWER_AUTO __attribute__((cleanup(answer_free))) struct answer

/* A string member of the answer, "" if it is not there; dots enter objects ("operation.id"). */
const char *member(const struct answer *answer, const char *path);

/* Sends bytes over TLS as `who` and returns how many bytes came back (up to size - 1, NUL-terminated); -1 when the handshake was refused. */
ssize_t raw_request(
	const struct gateway *g, enum person who, const char *bytes, size_t len, char *ret_answer, size_t size);

/*
 * Sends the bytes of a whole request as `who` and closes the connection so many microseconds later, below a million, without having looked
 * at the answer. False: they were not sent.
 */
bool request_cut(const struct gateway *g, enum person who, const char *bytes, size_t len, unsigned microseconds);

/* Runs a program to its end; its exit status, or -1. Asserts nothing. */
int program_run(char *const argv[]);

/* The client module in this process, with the client file of ALICE or BOB. */
CK_FUNCTION_LIST *module_load(const struct gateway *g, enum person who);
CK_SESSION_HANDLE module_session(CK_FUNCTION_LIST *f, const struct gateway *g, bool login);

/*
 * Runs `body` in a child process, a program of its own, and gives its exit status, or 128 and the signal that ended it.
 * In a child nothing asserts: Criterion would wait for it forever. It reports by its exit status, and the test asserts.
 */
int in_child(int (*body)(const struct gateway *g, void *argument), const struct gateway *g, void *argument);

/* The same in two steps, for children that run beside the test. */
pid_t child_start(int (*body)(const struct gateway *g, void *argument), const struct gateway *g, void *argument);
int child_end(pid_t child);

/*
 * For a child: the client module with the client file of ALICE or BOB and, if not NULL, an application ID of 32 hexadecimal
 * digits, and a session. False: there is none, and why is on standard error.
 */
bool child_session(const struct gateway *g, enum person who, const char *application, bool login,
	CK_FUNCTION_LIST **ret_functions, CK_SESSION_HANDLE *ret_session);

/* How often workers have executed a Cryptoki function ("C_Sign"), and live workers, by /metrics. */
long calls_counted(const struct gateway *g, const char *function);

/* Process ids of the gateway's workers, the inventory's (one per module) among them; the count. */
size_t worker_processes(const struct gateway *g, pid_t *ret_pids, size_t max);
/* The one worker that is not among those. */
pid_t worker_besides(const struct gateway *g, const pid_t *others, size_t others_count);

/* A field of /proc/PID/status, e.g. "Seccomp", as a number; -1 if it is not there. */
long process_status(pid_t pid, const char *field);

/* Polls `holds` every 10 ms until it is true or `seconds` have passed. */
bool await_condition(bool (*holds)(const struct gateway *g, void *argument), const struct gateway *g, void *argument,
	unsigned seconds);

/* SIGSTOP, and waits until every thread of the process stands still; SIGCONT lets it go on. */
void process_halt(pid_t pid);

/* Logs alice or bob in over REST and makes a key; asserts success. */
void rest_login(const struct gateway *g, enum person who, const char *const headers[]);
void rest_key(const struct gateway *g, const char *body);

#endif
