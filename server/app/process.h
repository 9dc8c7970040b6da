/*
 * One worker process: how it is made, what travels to and from it, whose login it has, and its end. Private to server/app/.
 *
 *   principal     whose logins and holds they are, and their end when a reload takes the right to them away
 *   spawn         making a worker process and its sockets
 *   process       one worker process: its pairs, its end; process_start
 *   exchange      what travels on a pair: a request, the questions in between, the answer
 *   logout        records of logins that end though no client asked
 */
#ifndef P11GATE_APP_PROCESS_H
#define P11GATE_APP_PROCESS_H

#include "server/app/internal.h"

/* --- principal.c --- */

/* Who has logged in, or holds. */
struct principal {
	char *identity; /* NULL: nobody */
	struct buffer certificate; /* as registry_judge takes it */
};

/* STATUS_NO_MEMORY. A certificate that cannot be kept is empty, and no judge will find it good. */
enum status principal_init(struct principal *principal, const char *identity, struct bytes certificate) MUST_USE;
void principal_done(struct principal *principal);
/* Whether it may still log in to the application. Without a judge its certificate is taken for good. */
bool principal_entitled(const struct principal *principal, const struct settings *settings,
	const struct application *application, registry_judge *judge, void *context);
/* The worker's login is that of the client's request from now on; it ends again if the client has lost the right to it meanwhile. */
void login_claim(struct worker_process *process, const char *identity, const struct registry_client *client);
/* Ends the logins of those who are not entitled to them. */
void logins_follow(struct registry *registry, const struct settings *settings, registry_judge *judge, void *context);

/* --- spawn.c --- */

/* What a new process needs to be a worker, and what it leaves in the gateway. */
struct spawned {
	pid_t pid;
	int pidfd, control;
	int pairs[WORKER_THREADS_MAX];
};

/* Starts `program` with `threads` pairs. STATUS_IO with errno. On failure nothing is left behind. */
enum status spawn_worker(
	const char *program, char *const environment[], unsigned threads, struct spawned *ret_spawned) MUST_USE;
void spawned_close(struct spawned *spawned, unsigned threads);

/* --- process.c --- */

/* The end of a login that a worker has told of. */
struct login_ended {
	enum login_state login;
	const char *reason;
};

/* One use of a worker, from before its request to the record of its answer. */
struct process_use {
	bool sent; /* the worker may have seen the request */
	bool login; /* it may have begun a login in it */
	const struct registry_client
		*client; /* whose login that is; set by the caller, NULL: nobody's who could lose the right to it */
	const struct registry_client *asked; /* who answers questions about intents; set by the caller, NULL: nobody */
};

/* What a worker has the token for. */
struct token_hold {
	struct token_acquire question;
	int64_t since;
	bool granted; /* the worker has been told */
	char identity[LIMIT_LABEL + 1]; /* whose request it is; "": the worker's start */
};

enum process_state { PROCESS_STARTING, PROCESS_LIVE, PROCESS_ENDING, PROCESS_DEAD };

struct worker_process {
	_Atomic unsigned refs; /* users, and one of the registry's list until it is reaped */
	struct worker_process *next; /* registry.processes */
	struct worker_process *token_next;
	struct registry *registry;
	struct settings *settings; /* those it was started with */
	const struct slot_settings *slot; /* NULL: inventory */
	const struct module_settings *module;
	struct application *application; /* a reference; NULL: inventory or one request */
	char *domain; /* for whom it works; NULL: inventory */
	const struct worker_process *asker; /* for whose application it verifies a PIN (B20); NULL: it does not */
	char application_hash[33]; /* of the application ID (C16); "": inventory */
	struct slot_record *record; /* NULL: inventory */
	struct token
		*_Atomic token; /* of the slot, as the worker found it; changed under registry.mutex; NULL: inventory */
	bool detached; /* it is of no token any more; guarded by registry.mutex */
	unsigned char found_serial[TOKEN_SERIAL_LEN]; /* which the worker said last; guarded by the token's lock */
	struct token_lock *lock;
	uint64_t serial; /* unlike the pid never used again */
	unsigned threads;
	struct spawned os;
	struct fifo pool; /* as many places as pairs */

	pthread_mutex_t mutex; /* guards all below */
	enum process_state state;
	enum end_cause cause; /* from ENDING on */
	struct principal owner; /* of the login, if there is one */
	int64_t end_begun, last_used, login_since;
	int64_t login_granted; /* since when it had the token for the login that it has */
	bool overdue_write; /* a request that may write to the token has passed its deadline */
	bool killed;
	unsigned char free_pairs[WORKER_THREADS_MAX];
	unsigned free_count;
	enum login_state login;
	enum login_state native; /* of the module itself: differs from login while a PIN is kept */
	struct config_login rules; /* of its logins; see is_exclusive (B3) */
	bool cache_pin; /* whether its native login, if there is one, is of a kept PIN, with its clients' wishes (B1) */
	unsigned sessions;
	uint64_t state_serial;
	uint64_t policy_generation; /* of the rules that it has said it follows */
	unsigned uses, uses_login; /* whose answers are not recorded yet; those of them that may have begun a login */
	uint64_t logins_begun, logins_ended; /* requests that may have begun one; ends that the worker has told of */
	struct login_ended ended[ENDS_WAITING]; /* to be reported when no use that may have begun a login is left */
	unsigned ended_count;
	int holder; /* pair whose thread has the token, or -1 */
	unsigned hold_depth;
	struct token_hold holds[TOKEN_HOLD_DEPTH];
};

/* What kind of worker to start. */
struct process_kind {
	struct settings *settings;
	const struct slot_settings *slot; /* NULL: inventory of `module` */
	const struct module_settings *module;
	struct application *application; /* NULL: none, or an unused one for one request */
	const char *domain; /* NULL: inventory */
	const char *application_hash;
	const struct worker_process *asker; /* the worker for whom it verifies a PIN; NULL: none */
};

/*
 * Starts a worker and waits until it has its module and token. STATUS_OK; STATUS_UNAVAILABLE (*ret_rv and `ret_reason`
 * say why); STATUS_BUSY (too many workers, of all or of the domain, or too many starting until the deadline);
 * STATUS_CLOSED (it was called off by a reload or an initialised token; another start may succeed).
 */
enum status process_start(struct registry *registry, const struct process_kind *kind, int64_t deadline_ms,
	struct worker_process **ret_process, uint64_t *ret_rv, char ret_reason[REASON_LEN]) MUST_USE;
struct worker_process *process_ref(struct worker_process *process);
/* Frees what nobody refers to any more; for process_unref, and for one whose process could not be made. */
void process_free(struct worker_process *process);
void process_unref(struct worker_process *process);
bool process_is_live(struct worker_process *process);

/* The caller has finished with it when its answer is recorded: a login's end is not reported before that. */
void process_enter(struct worker_process *process);
void process_leave(struct worker_process *process, const struct process_use *use);

/*
 * Runs one request: at most request->deadline_ms of waiting for a free thread of the worker, and then at most as long for
 * the answer (a worker must not be ended because others kept a request waiting).
 * STATUS_OK; STATUS_BUSY, STATUS_NO_MEMORY (nothing was sent); STATUS_TIMEOUT; STATUS_CLOSED, with use->sent telling whether
 * the worker may have seen the request. After TIMEOUT and CLOSED the worker is ending.
 */
enum status process_request(struct worker_process *process, const struct worker_request *request, struct arena *arena,
	struct buffer *payload, struct worker_response *ret_response, struct process_use *use) MUST_USE;

/* Begins the end: no new requests; those that run are finished; SIGKILL later if it comes to that (keeper). */
void process_end(struct worker_process *process, enum end_cause cause);
/* Shuts the pairs down: wakes every thread that waits for the worker, and the worker sees its end of file. */
void process_disconnect(struct worker_process *process);
/* The process is gone: its callers are woken, its token, its place in the lists and the list's reference given up. */
void process_reaped(struct worker_process *process);
/* Whether it could end now without anybody losing a session or a login. */
bool process_is_spare(struct worker_process *process, int64_t *ret_last_used);
/* Whether a sudden death could destroy the token: the module may be writing. */
bool process_may_be_writing(struct worker_process *process);
/* SIGKILL, once. */
void process_kill(struct worker_process *process);
/* Sends a command on the control pair; a worker that does not take it is ended. */
void process_command(struct worker_process *process, enum frame_type type, const struct buffer *payload);
/* Tells the worker that its login is void, as login_voided of messages.def says. */
void process_void_login(struct worker_process *process, enum login_end cause);
/*
 * Takes over what the worker says of its sessions and logins, unless that is older than what it has said before: true if the module's
 * login has changed. Mutex held; before a hold is given up.
 */
bool process_take_state(struct worker_process *process, const struct worker_state *state);
/* Takes over what the worker says about itself, unless something newer is known. */
void process_state_news(struct worker_process *process, const struct worker_state *state);
/* The policy that it has been given. */
void process_policy(struct worker_process *process, const struct settings *settings);

/* --- exchange.c --- */

/* The frames of one request on one pair. As process_request, and STATUS_MALFORMED when the worker broke the protocol. */
enum status exchange_request(struct worker_process *process, unsigned pair, const struct worker_request *request,
	int64_t deadline_ms, struct arena *arena, struct buffer *payload, struct worker_response *ret_response,
	struct process_use *use) MUST_USE;
/* FRAME_START to FRAME_STARTED on pair 0. */
enum status exchange_start(struct worker_process *process, const char *application_hash, int64_t deadline_ms,
	struct arena *arena, struct buffer *payload, struct worker_started *ret_started) MUST_USE;

/*
 * A question to a worker that was started for it alone; its waits for the token move the deadline, not beyond `until_ms`. STATUS_OK with
 * the answer; else as exchange_request.
 */
enum status exchange_verify(struct worker_process *process, const char *identity, const struct pin_verify *question,
	int64_t deadline_ms, int64_t until_ms, struct pin_verified *ret_answer) MUST_USE;

/* --- logout.c --- */

/* The worker is granted the token: in this use it may begin a login. */
void logout_foresee(struct worker_process *process, const struct token_acquire *question, struct process_use *use);
/*
 * The worker says that it has ended this login by itself: for the record, after those of the uses that may have begun it. False:
 * it has told of as many ends as it can have begun logins, or says what makes no sense.
 */
bool logout_told(struct worker_process *process, uint32_t login, uint32_t cause) MUST_USE;
/* Records the ends that a worker has told of and that nothing has to be recorded before any more. */
void logout_settle(struct worker_process *process, bool abandoned);
/*
 * Records the login that has ended with the process, once. Nothing is done before the process is gone and all uses of it have
 * ended: an answer may have a login or logout in it.
 */
void logout_with_process(struct worker_process *process);

#endif
