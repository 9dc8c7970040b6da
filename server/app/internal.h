/*
 * What the files of this folder share; what concerns one worker process is in process.h, a token in token.h, the inventory in inventory.h.
 *
 *   settings      what workers need of a configuration, kept alive by those that use it
 *   fifo          places that are given away in order of arrival, with a bounded queue and wait
 *   request       registry_request
 *   keeper        the thread that reaps, ends idle workers, and ends leases
 *   application   the table of live applications
 *   hold          applications that are held open
 *   inventory     what slots and tokens there are (inventory.h)
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

/* Of process.h and token.h. */
struct worker_process;
struct process_use;
struct token;
struct token_lock;
struct slot_record;

/* --- the ends of workers --- */

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
	pthread_cond_t processes_changed; /* one was reaped, or has said that it follows newer rules */
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
