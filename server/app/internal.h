/*
 * What the files of this folder share.
 *
 *   settings      what workers need of a configuration, kept alive by those that use it
 *   fifo          places that are given away in order of arrival, with a bounded queue and wait
 *   token_lock    one user at a time of what a module keeps on disk, across gateways
 *   slot          which token is in a configured slot, counters
 *   token         per token: who is logged in as what, the generation
 *   guard, tries  wrong PINs: who may send another one; the token's count in its file
 *   quiesce       the logins on a token end
 *   spawn         making a worker process and its sockets
 *   process       one worker process: its pairs, its end; process_start
 *   request       registry_request
 *   exchange      what travels on a pair: a request, the questions in between, the answer
 *   verify        a PIN is tried in a worker of its own
 *   keeper        the thread that reaps, ends idle workers, and ends leases
 *   application   the table of live applications
 *   hold          applications that are held open
 *   inventory     what slots and tokens there are (inventory.h)
 *   logout        records of logins that end though no client asked
 *   principal     whose logins and holds they are, and their end when a reload takes the right to them away
 *   lease, operation, metrics
 *
 * Locks are taken in this order, and none is held while a worker is waited for:
 *   leases.mutex → registry.mutex → application.mutex → token.mutex → worker_process.mutex
 * The mutexes of a fifo, of the inventory and of the operations are held with no other taken inside.
 */
#ifndef P11GATE_APP_INTERNAL_H
#define P11GATE_APP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/call.h"
#include "api/limits.h"
#include "server/app/registry.h"
#include "server/common/clock.h"
#include "server/common/frame.h"
#include "server/common/message.h"

enum {
	WORKER_THREADS_MAX = 64, /* pairs of a worker */
	WORKER_FD_CONTROL = 3, /* in the worker; its pairs follow */
	START_EXTRA_MS = 20000, /* a worker has this long to start, beyond the wait for the token */
	SEND_TIMEOUT_MS = 2000, /* a worker that does not take what is sent is hung */
	END_GRACE_MS = 5000, /* from the end's beginning to SIGKILL, outside a token write */
	LOGIN_GRACE_MS = 5000, /* after a login over REST was to end, for its worker to end it */
	TOKEN_LOCK_KEY_LEN = 32, /* hex digits */
	TOKEN_KEY_LEN = 32, /* hex digits */
	TOKEN_SERIAL_LEN = 16, /* bytes of serialNumber in CK_TOKEN_INFO */
	TOKENS_MAX =
		4096, /* with a serial number; workers say what it is, and further ones are of their slots' names */
	TOKEN_HOLD_DEPTH = 4, /* nested acquisitions by one thread of a worker */
	INVENTORY_RETRY_MS = 1000, /* after the first failure; doubles */
	INVENTORY_RETRY_MAX_MS = 30000,
	LEASES_PER_IDENTITY = 1024,
	APPLICATIONS_PER_LEASE = 256, /* with a live worker */
	OPERATIONS_REMEMBERED = 65536, /* of all applications */
	ANY_PERMISSION = (1 << PERMISSION_COUNT) - 1, /* for settings_reaches */
	REASON_LEN = 256,
	ENDS_WAITING = 8, /* ends of logins that wait for the records of what was before them */
};

/* --- settings.c --- */

struct module_settings {
	const char *name, *path, *init_args, *sandbox;
	const char *user; /* of its workers; "": the gateway's own */
	uint32_t user_id, group_id;
	unsigned char sha256[32];
	size_t sha256_len; /* 32 or 0 */
	bool rescan_reinit, verify_login_fresh;
	char **environment; /* "NAME=value", NULL-terminated */
	char lock_key[TOKEN_LOCK_KEY_LEN + 1]; /* hash of path, initialisation string and environment */
};

struct slot_settings {
	const char *name, *match_label, *match_serial, *match_reader, *class_name;
	const struct module_settings *module;
};

/* Constant once made. */
struct settings {
	_Atomic unsigned refs;
	struct arena arena; /* owns all text */
	const char *worker_program, *runtime_directory;
	bool require_mlock;
	__typeof__(((struct config *)0)->limits) limits;
	struct module_settings *modules;
	unsigned modules_count;
	struct slot_settings *slots;
	unsigned slots_count;
	uint64_t generation;
	struct config
		rules; /* what config_domain, config_login, config_permissions and settings_policy read, and nothing else */
};

/* A copy of what workers need. STATUS_NO_MEMORY, STATUS_MALFORMED (a slot without its module). */
enum status settings_new(const struct config *config, uint64_t generation, struct settings **ret_settings) MUST_USE;
struct settings *settings_ref(struct settings *settings);
void settings_unref(struct settings *settings);
const struct slot_settings *settings_slot(const struct settings *settings, const char *name);
const struct module_settings *settings_module(const struct settings *settings, const char *name);
struct application;
/*
 * Whether requests of the identity, with the application's ID and slot, are about this very application, and it has one of the `permissions`
 * (mask of 1u << enum permission) there.
 */
bool settings_reaches(const struct settings *settings, const char *identity, const struct application *application,
	unsigned permissions);
/* Whether there is anybody whose requests are about it. */
bool settings_reachable(const struct settings *settings, const struct application *application);
/* Appends the worker_policy of a domain on a slot, both NULL for the inventory. STATUS_NO_MEMORY. */
enum status settings_policy(
	const struct settings *settings, const char *domain, const char *slot, struct buffer *out) MUST_USE;
/* Whether a worker started for one serves the other just as well. */
bool slot_settings_equal(const struct slot_settings *a, const struct slot_settings *b);
bool module_settings_equal(const struct module_settings *a, const struct module_settings *b);

/* --- fifo.c --- */

struct fifo_waiter;

struct fifo {
	pthread_mutex_t mutex;
	unsigned free; /* places nobody has */
	unsigned waiting, waiting_max;
	struct fifo_waiter *first, *last;
	bool closed;
};

void fifo_init(struct fifo *fifo, unsigned places, unsigned waiting_max);
void fifo_done(struct fifo *fifo);
/* STATUS_OK: the caller has a place; STATUS_BUSY: the queue is full; STATUS_TIMEOUT; STATUS_CLOSED. */
enum status fifo_enter(struct fifo *fifo, int64_t deadline_ms) MUST_USE;
/* Gives the place back: to the one who waits longest. */
void fifo_leave(struct fifo *fifo);
/* Ends all waits, present and future, with STATUS_CLOSED. */
void fifo_close(struct fifo *fifo);
unsigned fifo_waiting(struct fifo *fifo);

/* --- token_lock.c --- */

struct token_lock {
	struct token_lock *next;
	char key[TOKEN_LOCK_KEY_LEN + 1];
	struct fifo fifo; /* order among this gateway's workers */
	int fd; /* lock file shared with other gateways */
};

/* Opens directory/token-KEY.lock. STATUS_IO with errno, STATUS_NO_MEMORY. */
enum status token_lock_new(const char *directory, const char *key, struct token_lock **ret_lock) MUST_USE;
void token_lock_free(struct token_lock *lock);
/* STATUS_OK, STATUS_TIMEOUT, STATUS_BUSY, STATUS_CLOSED, STATUS_IO. */
enum status token_lock_enter(struct token_lock *lock, int64_t deadline_ms) MUST_USE;
void token_lock_leave(struct token_lock *lock);

/* --- token.c --- */

struct worker_process;
struct process_use;
struct slot_documents;

/* A token, whatever slots of the configuration name it; lives as long as the registry. */
struct token {
	struct token *next;
	char key[TOKEN_KEY_LEN + 1]; /* hash of its module and serial number */
	bool nameless; /* its serial number is not known, or it has none: it is that of one slot name */
	pthread_mutex_t mutex; /* guards what follows, but for the atomic ones */
	pthread_cond_t changed; /* `news` has risen */
	uint64_t news; /* rises when a worker's native login may have changed */
	struct worker_process *processes; /* of applications, by token_next */
	uint64_t generation, first_generation; /* X10; no two tokens ever have the same */
	struct guard_entry *guards; /* wrong PINs of identities (B16) */
	atomic_bool tries_lost; /* the token's count of them could not be written */
	atomic_bool tries_faulty; /* … or not be read, of which the log has been told */
	int64_t quiesce_begun, quiesce_due; /* when logins from before end; 0: not, or done (X2) */
	int64_t quiesce_until; /* no user logs in before */
};

/* `next`: the list that it will be the first of. */
enum status token_new(const char *key, struct token *next, struct token **ret_token) MUST_USE;
void token_free(struct token *token);
void token_attach(struct token *token, struct worker_process *process);
void token_detach(struct token *token, struct worker_process *process);
uint64_t token_generation(struct token *token);
void token_raise_generation(struct token *token);

/* A worker's native login may have changed: whoever waits for the token to be free looks again. NULL is allowed. */
void token_changed(struct token *token);

/*
 * Answers a worker's question: waits for the lock, and for others' exclusive logins, and checks X2 and the guard. `pair` names
 * the thread of the worker that asks, `identity` whose request it serves (NULL: its start). Always fills the grant; its rv
 * says whether the worker now has the token.
 */
void token_acquire(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_acquire *question, struct token_grant *ret_grant);
/* The worker has finished with the token; if it has logged in, that is the login of the client of `use`. STATUS_MALFORMED if it did not have it. */
enum status token_release(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_release *news, const struct process_use *use) MUST_USE;
/*
 * Takes the token from a thread of the worker that forgot to release it, or from any (pair < 0) when the process is gone. A PIN that it
 * had the token for counts as tried.
 */
void token_abandon(struct worker_process *process, int pair);

/* --- slot.c --- */

/* What is known of a configured slot; lives as long as the registry, whatever a reload does to the slot. */
struct slot_record {
	struct slot_record *next;
	char *name;
	struct token *token; /* which was there last; guarded by registry.mutex, as all but the counters */
	enum token_presence presence; /* as the inventory saw it last, */
	unsigned char serial[TOKEN_SERIAL_LEN]; /* and which one */
	_Atomic uint64_t calls[CALL_COUNT + 1]; /* executed by modules; the last one counts what has no row */
};

void slot_record_free(struct slot_record *record);
/* The record of a slot, made at first use, and the token that was there last. STATUS_NO_MEMORY. */
enum status registry_slot(struct registry *registry, const struct slot_settings *slot, struct slot_record **ret_record,
	struct token **ret_token) MUST_USE;
/* The token alone. */
enum status registry_token(
	struct registry *registry, const struct slot_settings *slot, struct token **ret_token) MUST_USE;
/* The worker has found the token of that serial number in its slot (all blank: it says nothing). It has the token's lock. */
void slot_found(struct worker_process *process, const unsigned char serial[TOKEN_SERIAL_LEN]);
/*
 * What the inventory has found in the slot, with these settings. A token that is gone, or another one, takes along the PINs that are kept
 * for it (B14), also if it is back before anybody uses one: the generation rises, and workers are told.
 */
void slot_seen(struct registry *registry, const struct settings *settings, const struct slot_documents *documents);
/*
 * A reload: what is found in slots that are bound in another way now says nothing about the tokens that they had before. Registry's mutex
 * held.
 */
void slots_follow(struct registry *registry, const struct settings *old, const struct settings *settings);
/*
 * Tells the token's workers, but for `except` (NULL: none), that logins with a kept PIN are void (B14). They would find out at its next use.
 */
void token_void_logins(struct registry *registry, const struct token *token, const struct worker_process *except,
	enum login_end cause);
/* The token was initialised, and a new serial number in its slots is no news. */
void slots_renewed(struct registry *registry, const struct token *token);
/* Counts the functions that a worker's module executed. NULL is allowed. */
void slot_count_calls(struct slot_record *record, const struct bytes_list *names);

/* --- quiesce.c --- */

/* A quiesce of a slot whose token was not known is that of the token that is known now. */
void quiesce_follow(struct token *from, struct token *token);
/* Ends the logins that quiesces are due for; gives the time at which the next one is due. */
int64_t tokens_quiesce(struct registry *registry);
/* The worker has given the token back: ends it if its login was granted before a quiesce that is over. */
void quiesce_late_login(struct worker_process *process);

/* --- guard.c --- */

struct guard_entry;

/*
 * Whether a PIN of the identity may be sent to the token: CKR_OK or CKR_PIN_LOCKED (B16). The token's lock is held.
 * `grant` is told whether also when the token says that it is the last try, how many wrong ones may follow, and when PINs that are
 * held back go on to the token again.
 */
CK_RV guard_admits(struct worker_process *process, const char *identity, const struct token_acquire *question,
	struct token_grant *grant);
/* Whether the token is asked for to have a PIN judged, one that somebody brings or one that is kept. */
bool guard_tries_pin(const struct token_acquire *question);
/* Whose PIN it is that the token was asked for: CKU_USER or CKU_SO, by the worker's login before the answer. */
CK_USER_TYPE guard_owner(struct worker_process *process, const struct token_acquire *question);
/* What the token said to a PIN. The token's lock is held, and the worker's login still is what it was before. */
void guard_note(
	struct worker_process *process, const char *identity, const struct token_acquire *question, uint64_t rv);
/* The worker does not say any more what the token said to the PIN, if it has seen it at all. The token's lock is held. */
void guard_note_lost(struct worker_process *process, const char *identity, const struct token_acquire *question);
void guards_free(struct token *token);

/* --- tries.c --- */

enum { TRIES_UNKNOWN = 1000000 }; /* more than any budget: the count cannot be read */

/* Wrong PINs in a row of all identities, of the user and of the security officer. */
struct tries {
	unsigned user, so;
};

/* The token's count. Without the token's lock it may be old. Both are TRIES_UNKNOWN, and the log says why, if it cannot be told. */
struct tries tries_read(const struct settings *settings, struct token *token);
/* The token's lock is held. STATUS_IO: until another write succeeds the count is unknown. */
enum status tries_write(const struct settings *settings, struct token *token, const struct tries *tries) MUST_USE;

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

/* Why a worker ended: CAUSE(constant, label, whether it is news for the log, the reason for the audit record of its login). */
#define END_CAUSES(CAUSE) \
	CAUSE(DIED, "died", true, "the worker died") \
	CAUSE(DEADLINE, "deadline", true, "the worker was ended: a request passed its deadline") \
	CAUSE(PROTOCOL, "protocol", true, "the worker was ended: it sent what it should not") \
	CAUSE(START, "start", false, "the worker was ended: its start was given up") \
	CAUSE(IDLE, "idle", false, "the worker was ended: nobody used it") \
	CAUSE(LOGIN_OVER, "login_over", true, "the worker was ended: it kept a login whose time over REST was up") \
	CAUSE(ROOM, "room", false, "the worker was ended: another needed its place") \
	CAUSE(ONE_REQUEST, "one_request", false, "the worker was ended: it was for one request") \
	CAUSE(TOKEN_INITIALISED, "token_initialised", false, "the worker was ended: the token was initialised") \
	CAUSE(RELOAD, "reload", false, "the worker was ended: a reload changed its slot, or to whom it is open") \
	CAUSE(CLOSED, "closed", false, "the application was closed") \
	CAUSE(QUIESCED, "quiesced", false, "the logins on the token were ended to make room for the security officer") \
	CAUSE(SHUTDOWN, "shutdown", false, "the gateway stopped")

enum end_cause {
#define CAUSE(constant, label, news, reason) END_##constant,
	END_CAUSES(CAUSE)
#undef CAUSE
		END_COUNT
};

struct application;

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

/* --- verify.c --- */

/*
 * The token's answer to a login with that PIN, in a worker of its own (B20); CKR_DEVICE_ERROR if there is none, at `until_ms` of
 * clock_ms at the latest. `identity`: whose request the worker `asker` serves.
 */
void verify_pin(struct worker_process *asker, const char *identity, const struct pin_verify *question, int64_t until_ms,
	struct pin_verified *ret_answer);
/* How long that may take, in milliseconds, beyond the waits for the token. */
int64_t verify_start_ms(const struct worker_process *asker);

/* --- application.c --- */

struct application {
	struct application *next; /* in its bucket */
	unsigned refs; /* guarded by registry.mutex */
	atomic_bool held; /* a hold of the registry names it (C8); changed under registry.mutex */
	char *domain, *slot;
	unsigned char id[APPLICATION_ID_LEN];
	pthread_mutex_t mutex; /* guards all below */
	pthread_cond_t changed;
	struct worker_process *process;
	bool starting;
	unsigned waiting; /* threads that wait for the start */
	uint64_t starts; /* finished starts; the last one's outcome follows */
	enum status start_status;
	uint64_t start_rv;
};

/* The application of that name, made if there is none. NULL: no memory. */
struct application *application_ref(struct registry *registry, const struct application_key *key);
/* The same without making one: NULL if there is none. */
struct application *application_known(struct registry *registry, const struct application_key *key);
/* References to all applications in an array; the caller gives both back. NULL: none, or no memory. */
struct application **applications_all(struct registry *registry, size_t *ret_count);
/* One more reference to an application of which the caller has one. */
struct application *application_share(struct registry *registry, struct application *application);
void application_unref(struct registry *registry, struct application *application);
/* Its live worker, started if needed; one start serves all that ask meanwhile. Errors as process_start. */
enum status application_process(struct registry *registry, struct application *application, struct settings *settings,
	const struct slot_settings *slot, int64_t deadline_ms, struct worker_process **ret_process,
	uint64_t *ret_rv) MUST_USE;
/* The worker is ending: the next request starts another. */
void application_forget(struct application *application, struct worker_process *process);

/* --- hold.c --- */

struct hold;

/* Ends the holds whose time is up; gives the time at which the next one is due. */
int64_t holds_expire(struct registry *registry);
/* Ends the holds of those who are not entitled to them; as principal_entitled. */
void holds_follow(struct registry *registry, const struct settings *settings, registry_judge *judge, void *context);
void holds_release(struct registry *registry);

/* --- keeper.c --- */

enum status keeper_start(struct registry *registry) MUST_USE;
void keeper_stop(struct registry *registry);
/* Something is due earlier than the keeper knows. */
void keeper_poke(struct registry *registry);
/* Puts a new process into the keeper's care. STATUS_IO with errno. */
enum status keeper_watch(struct registry *registry, struct worker_process *process) MUST_USE;

/* --- inventory.c --- */

struct inventory;

enum status inventory_new(struct registry *registry, struct inventory **ret_inventory) MUST_USE;
void inventory_free(struct inventory *inventory);
/* Follows registry.settings: stops the threads of modules that are gone or changed, starts those of new ones. */
enum status inventory_follow(struct inventory *inventory, struct settings *settings) MUST_USE;
/* Looks at the module of a slot soon, after a re-initialisation. */
void inventory_poke(struct inventory *inventory, const char *module);
bool inventory_ready(struct inventory *inventory, char *ret_detail, size_t detail_size);
enum status inventory_write(struct inventory *inventory, enum inventory_form form, const char *slot,
	bool (*visible)(void *context, const char *slot), void *context, uint64_t after, unsigned wait_ms,
	struct buffer *out) MUST_USE;

/* --- inventory_document.c --- */

/* The documents of one slot, JSON texts on the heap, and whose they are. */
struct slot_documents {
	char *name, *calls, *slot, *mechanisms;
	enum token_presence presence;
	unsigned char serial[TOKEN_SERIAL_LEN]; /* of a present token */
};

void slot_documents_done(struct slot_documents *documents);
/* What is shown of a slot whose module cannot be asked. STATUS_NO_MEMORY. */
enum status slot_documents_unavailable(
	const struct slot_settings *slot, const char *reason, struct slot_documents *ret_documents) MUST_USE;
/* From a worker's answer. STATUS_MALFORMED if a text is not JSON. */
enum status slot_documents_unpack(struct bytes packed, struct slot_documents *ret_documents) MUST_USE;
bool slot_documents_equal(const struct slot_documents *a, const struct slot_documents *b);

/* --- lease.c --- */

struct leases;

struct leases *leases_new(void);
void leases_free(struct leases *leases, struct registry *registry);
/* STATUS_BUSY: the identity has too many instances; then nothing was opened, and nothing is to be closed. */
enum status lease_opened(struct leases *leases, const char *identity, const unsigned char *instance) MUST_USE;
void lease_closed(struct leases *leases, const char *identity, const unsigned char *instance);
/* The instance sends a request. STATUS_BUSY: the identity has too many instances. */
enum status lease_use(struct leases *leases, const char *identity, const unsigned char *instance) MUST_USE;
/*
 * Its request goes to the worker of this application, where it may open sessions. STATUS_BUSY: the instance is in too many
 * applications; STATUS_NO_MEMORY.
 */
enum status lease_remember(struct leases *leases, struct registry *registry, const char *identity,
	const unsigned char *instance, struct application *application) MUST_USE;
/*
 * It ends `idle_ms` after the last request of its applications, `most_ms` from now in any case. STATUS_NOT_FOUND.
 */
enum status lease_keep(struct leases *leases, const char *identity, const unsigned char *instance, int64_t idle_ms,
	int64_t most_ms) MUST_USE;
/* Ends one that is kept and is in that application, with its sessions. STATUS_NOT_FOUND. */
enum status lease_end(struct leases *leases, struct registry *registry, const char *identity,
	const unsigned char *instance, const struct application_key *key) MUST_USE;
/* Ends the sessions in applications that are no longer open to the instance's identity. */
void leases_follow(struct leases *leases, struct registry *registry, const struct settings *settings);
/* Ends the leases without connections for `ttl_ms`; gives the time at which the next one may be due. */
int64_t leases_expire(struct leases *leases, struct registry *registry, int64_t ttl_ms);

/* --- operation.c --- */

struct operations;

struct operations *operations_new(void);
void operations_free(struct operations *operations);
/* `forget_at`: until then its worker is asked about it, finished or not, so that it can answer 410. */
enum status operation_opened(struct operations *operations, const char *id, const char *identity,
	const struct application_key *key, uint64_t process, int64_t forget_at) MUST_USE;
enum status operation_find(struct operations *operations, const char *id, const char *identity, struct arena *arena,
	struct application_key *ret_key) MUST_USE;
/* Drops what is to be forgotten by now. */
void operations_expire(struct operations *operations);
/* The worker is gone, and its operations with it. */
void operations_forget_process(struct operations *operations, uint64_t process);

/* --- metrics.c --- */

enum { OUTCOME_COUNT = STATUS_UNAVAILABLE + 1 };

struct metrics {
	_Atomic uint64_t requests[OUTCOME_COUNT];
	_Atomic uint64_t workers_started, workers_ended[END_COUNT], workers_killed, token_waits_timed_out;
};

/* --- registry.c --- */

enum { APPLICATION_BUCKETS = 1024 };

struct registry {
	pthread_mutex_t mutex; /* guards settings, applications, slots, tokens, locks, processes, stopping */
	pthread_cond_t reaped;
	pthread_mutex_t reload; /* one reload at a time; taken before all others */
	struct settings *settings;
	uint64_t generation; /* of the configuration; changed under reload and mutex */
	struct application *applications[APPLICATION_BUCKETS];
	struct slot_record *slots;
	struct token *tokens;
	unsigned tokens_count; /* of those with a serial number */
	struct token_lock *locks;
	struct worker_process *processes; /* alive or not yet reaped */
	unsigned processes_count;
	struct hold *holds; /* guarded by mutex */
	uint64_t process_serial;
	bool stopping;
	struct fifo starts; /* workers that start at one time */
	struct inventory *inventory;
	struct leases *leases;
	struct operations *operations;
	struct metrics metrics;
	unsigned char hash_key[32];
	registry_logout_report *report; /* guarded by mutex, and its context */
	void *report_context;
	int epoll, wake; /* keeper */
	pthread_t keeper;
	bool keeper_stops; /* guarded by mutex */
};

struct settings *registry_settings(struct registry *registry);
/* The lock of a module, made at first use. */
enum status registry_lock(struct registry *registry, const struct settings *settings,
	const struct module_settings *module, struct token_lock **ret_lock) MUST_USE;
/* References to all processes that `wanted` accepts (all if NULL); the caller gives them and the array back. NULL: none, or no memory. */
struct worker_process **registry_processes(struct registry *registry,
	bool (*wanted)(const struct worker_process *process, const void *context), const void *context,
	size_t *ret_count);
/* How many `wanted` accepts. */
size_t registry_count(struct registry *registry,
	bool (*wanted)(const struct worker_process *process, const void *context), const void *context);
void processes_unref(struct worker_process **processes, size_t count);

#endif
