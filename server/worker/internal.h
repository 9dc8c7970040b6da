/*
 * Private to server/worker/ (not its resources): the process' state and what the core's files ask of each other.
 *
 * Locks, in the order in which a thread may take them:
 *
 *   one_use           what may end the login under the rules of B5–B8, one request at a time, as they come; a wait for it is bounded
 *   login.lock        one login, logout, PIN change or re-initialisation at a time; held while the gateway is asked
 *   module.lock       shared by whoever calls the module or holds one of its handles, exclusive for re-initialisation
 *   session.lock      one call at a time in a session
 *   objects.refind    objects found again after a re-initialisation
 *   sessions.lock, objects.lock, pool.lock, states.lock, policy.lock, one_use.lock    leaves: held for table look-ups, never across a module call
 *
 * So whoever holds the module gives it up (module_unshare) before login.lock, and looks anew at what it knew of logins and
 * module handles once it has both. The gateway is asked for the token under login.lock and never while the module is held:
 * the token may be with a thread that waits to have the module alone. The locks of resources/ come after module.lock.
 */
#ifndef P11GATE_WORKER_INTERNAL_H
#define P11GATE_WORKER_INTERNAL_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "api/codec.h"
#include "api/limits.h"
#include "api/login_wishes.h"
#include "server/common/clock.h"
#include "server/common/frame.h"
#include "server/worker/worker.h"

enum {
	WORKER_CONTROL_FD = 3, /* where a worker finds its sockets */
	WORKER_PAIR_FD = 4, /* the first pair; the others follow */
	WORKER_THREADS_MAX = 256,
	WORKER_STACK = 512 << 10, /* bytes of a thread's stack; vendor modules are the unknown here */
	WORKER_STOP_MS = 5000, /* how long a shutdown waits for running requests */
	WORKER_START_MS = 60000, /* how long a new worker waits for its START */
	WORKER_SLOTS_MAX = 256, /* slots of one module */
	POOL_MAX = 16, /* idle module sessions kept for the resource routes */
	SESSION_PARKED_MAX = 32, /* module sessions kept only because session objects hang on them */
	OBJECTS_MAX = 1 << 20, /* virtual object handles of an application */
	OBJECT_LABEL_MAX = 256, /* bytes of a label that is looked at; a longer one counts as none */
	OBJECT_ID_MAX = 128, /* bytes of a CKA_ID that is looked at */
	SAVED_STATES_MAX = 32, /* operation states kept for an application; the oldest makes room */
	SAVED_STATE_REFERENCE = 16, /* bytes that a client has of one */
	MECHANISMS_MAX = 4096, /* mechanisms of a slot */
};

/* --- module --- */

struct module {
	pthread_rwlock_t lock;
	void *library;
	const CK_FUNCTION_LIST *functions;
	bool initialised;
	bool slot_found; /* role application: the configured token is there */
	CK_SLOT_ID slot;
	_Atomic uint64_t epoch; /* rises when the module is re-initialised */
	uint64_t generation; /* the token's generation that the module's view is of; under login.lock */
	bool protected_path; /* the token asks for PINs itself: a NULL PIN is a login */
	char token_label[33]; /* as found at start, padding cut off */
	/* As found at the last initialisation or PIN; read and written with the token alone. */
	unsigned char token_serial[16];
};

/* --- object --- */

/* What is known of an object; immutable and counted, so that an operation can keep it while the object changes. */
struct object_info {
	atomic_uint refs;
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE key_type; /* CK_UNAVAILABLE_INFORMATION: not a key, or the module will not tell */
	bool token, private, always_authenticate;
	char label[OBJECT_LABEL_MAX + 1];
	unsigned char id[OBJECT_ID_MAX];
	size_t id_len;
};

/* One object of the token under its virtual handle. */
struct object {
	struct object *next_handle, *next_module;
	CK_OBJECT_HANDLE handle;
	CK_OBJECT_HANDLE module; /* CK_INVALID_HANDLE: to be found again (refind.c) */
	const struct session *owner; /* of a session object: where it was made; NULL for token objects */
	CK_SESSION_HANDLE home; /* of a session object: the module session it ends with */
	struct object_info *info; /* as last read, or NULL */
	struct object_identity *identity; /* what it is found again by, or NULL */
	bool private_owned; /* a private session object: it keeps the module logged in (B10) */
};

struct objects {
	pthread_mutex_t lock;
	struct object **by_handle, **by_module; /* chains; `buckets` of each */
	size_t buckets, count;
	size_t session_objects; /* how many of them are session objects */
	size_t unbound; /* how many of them wait to be found again */
	atomic_uint private_owned; /* how many private session objects there are */
	pthread_mutex_t refind; /* one thread at a time finds objects again; taken before `lock` */
	uint32_t last; /* the handle given last */
};

/* --- session --- */

/*
 * The cryptographic operation of one kind in one session, as seen from the calls that passed. `begun` stays true after an
 * error that may have left it active in the module.
 */
struct session_operation {
	bool begun;
	bool private; /* it needs the login: its key is a private object, or could not be read */
	bool keeps_login; /* … and is not over, so that the module stays logged in (B10); a search does as well */
	bool found_private; /* of a search: private objects are among what was found */
	bool has_parts; /* a part of it has been done */
	bool forced; /* its key asks for the PIN by policy: the token does not take it (B20) */
	uint64_t serial; /* of the operation, in this process */
	char *deferred; /* the Init as JSON, to be run once the PIN has been verified; NULL: the module has begun */
	size_t deferred_len;
	bool listed; /* a search whose handles were sifted here (forced_search.c) */
	CK_OBJECT_HANDLE *found; /* the client's handles */
	CK_ULONG found_count, found_next;
	bool awaiting; /* an always-authenticate key: its PIN has not been given */
	bool reauthenticated;
	bool recorded; /* that its key was used, by the record of an earlier part */
	unsigned logouts; /* logins.logouts when it began: it died with the login it began under (X4) */
	bool has_mechanism;
	CK_MECHANISM_TYPE mechanism;
	struct object_info *key; /* or NULL */
	EVP_MD_CTX *input; /* SHA-256 over the parts so far, or NULL */
};

struct session {
	pthread_mutex_t lock;
	CK_ULONG handle; /* the client's */
	CK_SESSION_HANDLE module; /* CK_INVALID_HANDLE: lost in a re-initialisation */
	CK_FLAGS flags;
	unsigned char instance[INSTANCE_ID_LEN];
	unsigned refs; /* under sessions.lock; the table's own is one of them */
	bool closed; /* under lock */
	bool spoiled; /* the worker may have left an operation in it: no call before session_cancel */
	struct session_operation operations[OPERATION_COUNT];
	CK_SESSION_HANDLE parked[SESSION_PARKED_MAX];
	unsigned parked_count;
	unsigned objects; /* session objects made in it */
	struct login_wishes wishes; /* of the client that opened it, or logged in on it (B1); under sessions.lock */
};

struct sessions {
	pthread_mutex_t lock;
	struct session **slots; /* `max` of them */
	unsigned max, count, read_only;
	unsigned in_module; /* how many of them have a session in the module */
	uint32_t serial; /* keeps the handles of one place in the table apart */
	struct login_wishes of_login; /* those that were in force at the login; they last as long as it does */
	/* The strictest wishes of all sessions and of the login, for login_rules. */
	atomic_bool no_cache;
	atomic_uint logout_after, force_login;
};

/* Idle module sessions for who needs one next, and the anchor (X5). */
struct pool {
	pthread_mutex_t lock;
	CK_SESSION_HANDLE idle[POOL_MAX];
	unsigned count;
	CK_SESSION_HANDLE anchor; /* CK_INVALID_HANDLE: none */
	bool anchor_used; /* somebody logs in or out through it, and it must not go */
	pthread_cond_t anchor_free; /* with `lock`: nobody does any more */
};

/* --- login --- */

struct login {
	pthread_mutex_t lock;
	_Atomic int state; /* enum login_state, as the application sees it */
	_Atomic int native; /* enum login_state of the module itself: LOGIN_NONE between the uses of a kept PIN */
	atomic_uint logouts; /* completed logouts of the application; internal ones do not count */
	atomic_uint private_uses; /* requests that run a private use with the kept PIN (B11) */
	atomic_bool held; /* the application is held open (C8) */
	pthread_cond_t changed; /* with `lock`: private uses ended */
	atomic_uint awaiting; /* threads that wait for that */
	/* login_keep; CLOCK_MONOTONIC; keep_until_ms 0: not kept */
	_Atomic uint64_t keep_idle_ms, keep_until_ms, used_ms;
	_Atomic int keep_end; /* enum login_end: why it ends when nothing uses it any more, once it is not kept */
	atomic_uint resources; /* resource requests that run now */
};

/* Who may do what ends the login by the rules (one_use.c). */
struct one_use {
	pthread_mutex_t lock; /* a leaf */
	bool taken; /* a request has its turn */
	struct one_use_waiter *waiting; /* those after it, in the order in which they came */
	CK_ULONG session; /* whose operation in parts the login is for (one_use_claim); 0: nobody's */
	unsigned login; /* … under that login_epoch */
	uint64_t epoch; /* … and with that module.epoch */
};

/* What becomes of the handles of private token objects at a logout: gone (X3), or to be found again after the next login (B10). */
enum logout_handles { LOGOUT_HANDLES_GO, LOGOUT_HANDLES_STAY };

/* The rules that hold for this application: the server's, and the stricter wishes of its sessions and of its login (B1). */
struct login_rules {
	bool cache_pin;
	enum logout_after logout_after;
	bool force_login; /* keys of non-repudiation certificates ask for their PIN (B18) */
	bool aa_oneshot; /* keys that ask for their PIN derive and unwrap without (A18) */
	uint64_t ttl_ms, idle_ms;
	uint64_t wait_ms; /* how long a login may wait for private uses to end */
};

/* --- the kept PIN --- */

struct pin_cache {
	struct pin_page *page; /* locked memory; NULL: no PIN can be kept */
	atomic_bool kept;
	_Atomic uint64_t since_ms, used_ms; /* CLOCK_MONOTONIC */
};

/* --- saved operation states --- */

struct saved_state {
	unsigned char reference[SAVED_STATE_REFERENCE];
	unsigned char *data; /* NULL: none */
	size_t len;
	struct session_operation operations[OPERATION_COUNT]; /* what was known of them (track_copy) */
};

struct saved_states {
	pthread_mutex_t lock;
	struct saved_state items[SAVED_STATES_MAX];
	size_t next;
};

/* --- the process --- */

struct policy {
	pthread_mutex_t lock;
	struct arena arena;
	struct worker_policy rules;
	atomic_bool has_labels;
	atomic_bool cache_pin, aa_oneshot;
	atomic_uint logout_after, force_login;
	_Atomic uint64_t ttl_ms, idle_ms, wait_ms;
	_Atomic uint64_t generation;
};

struct running {
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned requests;
	bool stopping;
};

struct worker {
	struct worker_start start;
	struct worker_slot slots[WORKER_SLOTS_MAX];
	size_t slots_count;
	bool slots_seen[WORKER_SLOTS_MAX]; /* inventory: the last look found the slot's token */
	struct arena arena; /* of `start` and `slots` */
	struct buffer start_payload;
	struct module module;
	struct sessions sessions;
	struct objects objects;
	struct pool pool;
	struct login login;
	struct one_use one_use;
	struct pin_cache pin_cache;
	struct saved_states states;
	struct policy policy;
	struct running running;
	pthread_mutex_t state_lock; /* a leaf */
	uint64_t state_serial;
	int wake; /* eventfd: the control thread recomputes its deadline */
};

uint64_t clock_us(void); /* CLOCK_MONOTONIC; for latencies */

/* startup.c: START on pair 0 to STARTED. False: the reason has been told; the process ends. */
bool worker_startup(struct worker *worker) MUST_USE;

/* thread.c: serves pair `index` until end of file; starts the threads of all pairs but the first. */
bool threads_start(struct worker *worker) MUST_USE;
void thread_serve(struct worker *worker, int channel);

/* control.c: commands of the gateway and deadlines; never returns. */
void control_serve(struct worker *worker) __attribute__((noreturn));
/* Waits for running requests, finalizes the module, ends the process. Any thread. */
void worker_stop(struct worker *worker) __attribute__((noreturn));
/* Ends the process as it is, whatever runs, since nothing more may be done with the module; `why` is for the log. Any thread. */
void worker_abandon(struct worker *worker, const char *why) __attribute__((noreturn));

/* thread.c: sessions and login as they are now, numbered so that the gateway can tell old news from new. */
void state_read(struct worker *worker, struct worker_state *ret_state);

/* dispatch.c: runs the request's route and fills its reply. */
void dispatch(struct request *request);

enum { SANDBOX_WHY_MAX = 256 }; /* bytes of the sentence with its NUL */

/*
 * sandbox.c: changes to the user that START names, and gives up what the profile denies, for all threads to come. Before the
 * module is loaded. False: `ret_why` says why; the process must not go on.
 */
bool sandbox_enter(const struct worker_start *start, char ret_why[SANDBOX_WHY_MAX]) MUST_USE;

/* policy.c */
void policy_init(struct policy *policy);
bool policy_replace(struct policy *policy, const void *packed, size_t len) MUST_USE;
/* False: no key is marked, so none need be looked at. */
/* Of the rules that the worker follows, as the gateway numbers them. Any thread. */
uint64_t policy_generation(const struct worker *worker);
bool policy_has_labels(const struct worker *worker);
/* The rules of logins as they are now; any thread. */
struct login_rules login_rules(const struct worker *worker);

/* invoke.c: the functions that are no row of calls.def; and calls outside a request. */
CK_RV invoke_initialize(const struct module *module, const char *init_args);
CK_RV invoke_finalize(const struct module *module);
CK_RV invoke_uncounted(const struct worker *worker, enum call_id id, const union wire_value v[]) MUST_USE;

/* module.c. `ret_detail` of 256 bytes gets a sentence on failure. */
CK_RV module_load(struct worker *worker, char *ret_detail) MUST_USE;
CK_RV module_initialise(struct worker *worker, char *ret_detail) MUST_USE;
/* Finds the slot of a configured token: CKR_OK, CKR_TOKEN_NOT_PRESENT, CKR_SLOT_ID_INVALID (several match) or the module's error. */
CK_RV module_find_slot(const struct worker *worker, const struct worker_slot *slot, CK_SLOT_ID *ret_slot) MUST_USE;
/* For as long as module handles are held. Does nothing if the request has it already. */
void module_share(struct request *request);
void module_unshare(struct request *request);
/*
 * As module_share, and alone if the calls that run now end soon: some modules answer a call that a logout overtakes with
 * CKR_GENERAL_ERROR.
 */
void module_quiet(struct request *request);
/*
 * Under login.lock, without module_share, nobody logged in: C_Finalize, C_Initialize, the slot found again, sessions reopened,
 * token objects to be found again when they are used. Unless `must`, it is left undone (CKR_OK) if it would cost the application
 * something it can see: session objects or operations.
 */
CK_RV module_reinitialise(struct worker *worker, bool must) MUST_USE;

/*
 * Around a call or a route that makes, changes or destroys objects, where the module's store does not bear a login beside it
 * (making.c): begins its private use, if it is one, waits for its turn, and gives it up. The request does not hold the module at either.
 * login.lock is held in between, where no private use can begin. CKR_OK, or what private_use_begin or token_acquire says. making_end does
 * nothing if it is not due.
 */
CK_RV making_begin(struct request *request, bool private) MUST_USE;
void making_end(struct request *request);

/*
 * token.c: sends what `payload` holds as a frame and waits for the gateway's answer, which is in `payload` then. False: there is none
 * within `wait_ms`, or one of another type.
 */
bool gateway_ask(
	int channel, enum frame_type question, struct buffer *payload, int wait_ms, enum frame_type answer) MUST_USE;
/*
 * token.c: around a wait for another request of the application, so that the gateway does not take this one for hung. Bounded waits only: its
 * patience is.
 */
void gateway_wait_begin(struct request *request);
void gateway_wait_end(struct request *request);
/* token.c: questions to the gateway, on the pair `channel`; the wait is bounded by token_wait_ms of worker_start. */
CK_RV token_acquire(struct worker *worker, int channel, enum token_purpose purpose, CK_USER_TYPE user,
	struct token_grant *ret_grant) MUST_USE;
/*
 * With the token: CKR_PIN_LOCKED if it says that the next wrong PIN is the last, and the grant does not let it be risked (B16). Under
 * module.lock.
 */
CK_RV token_try_allowed(struct worker *worker, CK_USER_TYPE user, const struct token_grant *grant) MUST_USE;
/*
 * With the token and the module, after CKR_PIN_INCORRECT: notes for the answer how many PINs of that user go to the token from here, by the
 * gateway's bounds and the token's flags, whichever is fewer (A25).
 */
void token_try_failed(struct request *request, CK_USER_TYPE user, const struct token_grant *grant);
/* `rv`: what the token answered, or CKR_CANCEL if it was not asked; the gateway also learns who is logged in now. */
void token_release(struct worker *worker, int channel, CK_RV rv);

/* session.c */
bool sessions_init(struct sessions *sessions, unsigned max) MUST_USE;
/* The session of the request's instance, locked, and the request's `client` until session_release; NULL if it has none of that handle. */
struct session *session_acquire(struct request *request, CK_ULONG handle);
void session_release(struct request *request); /* nothing if it has none */
/* What a module session is needed for. */
enum session_use {
	SESSION_TO_LOG_IN, /* or out */
	SESSION_TO_SEARCH, /* and to read attributes; no search is left in it */
	SESSION_TO_OPERATE, /* anything; unless something fails, no operation is left in it */
	SESSION_TO_TRY, /* an operation is left in it */
};
/* Whether the session, which is locked, could be used for that besides what its client does in it; not for SESSION_TO_TRY. */
bool session_serves(const struct session *session, enum session_use use);
/*
 * Anybody's session that serves, locked until session_return, rather one that no call runs in; unless `wait`, only such a one. NULL: there
 * is none. Who waits holds no session, nor a lock that comes after it.
 */
struct session *session_take_any(struct worker *worker, enum session_use use, bool wait);
void session_return(struct worker *worker, struct session *session);
/* True if the request's instance has a session of that handle. */
bool session_exists(struct request *request, CK_ULONG handle);
/* True if there is a session of that handle, of whatever instance. */
bool session_is_open(struct worker *worker, CK_ULONG handle);
CK_RV session_open(struct request *request, const union wire_value v[]) MUST_USE;
/* Closes an acquired session in the module and takes it off the table; still to be released. */
CK_RV session_close(struct worker *worker, struct session *session);
/* Closes all sessions of one instance. Whether track_used_private held for one of them. */
bool sessions_close_instance(struct worker *worker, const unsigned char *instance);
/* Under module.lock exclusively: opens every session again in the new module. */
void sessions_reopen(struct worker *worker);
bool sessions_have_operation(struct worker *worker);
unsigned sessions_count(struct worker *worker);
/* How many of them the module has, so that it stays logged in without the anchor. */
unsigned sessions_in_module(struct worker *worker);
unsigned sessions_read_only(struct worker *worker);
/*
 * Before a call: ends in the module what a logout has ended (X4) or the worker has left, and opens the session there if it has been lost.
 * Any CKR of C_OpenSession.
 */
CK_RV session_settle(struct worker *worker, struct session *session) MUST_USE;
/*
 * Gives the session a module session without any operation. CKR_SESSION_COUNT: the token has no other one, and session objects or the
 * login would end with the present one; or it has ended and there is no other, until session_settle finds one.
 */
CK_RV session_cancel(struct worker *worker, struct session *session) MUST_USE;

/* pool.c: C_OpenSession in the application's slot, counted in the reply unless `request` is NULL. CKR_TOKEN_NOT_PRESENT: it has no token. */
CK_RV pool_open(
	struct worker *worker, struct request *request, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session) MUST_USE;
/* The same; if the token has none left, what the worker keeps for itself goes first (X5). It may wait for a login or logout in the module. */
CK_RV pool_open_giving_way(
	struct worker *worker, struct request *request, CK_FLAGS flags, CK_SESSION_HANDLE *ret_session) MUST_USE;
/* Read-write if the token allows it. */
CK_RV pool_open_widest(struct worker *worker, CK_SESSION_HANDLE *ret_session) MUST_USE;
void pool_close(struct worker *worker, CK_SESSION_HANDLE session);
void pool_close_idle(struct worker *worker);
void pool_give_way(struct worker *worker);
void pool_forget(struct worker *worker); /* the module has been finalized */
/* Tries to have an anchor. */
void anchor_open(struct worker *worker);
void anchor_close(struct worker *worker); /* under login.lock */

/*
 * lend.c: lends a module session until session_give_back. On a token without another one it is a client's, which is locked: who has it takes
 * no lock before session.lock. SESSION_TO_SEARCH may give one that the request has already, so at such times no search is active there;
 * SESSION_TO_TRY gives none of the clients'. Any CKR of C_OpenSession.
 */
CK_RV pool_lend(struct request *request, enum session_use use, CK_SESSION_HANDLE *ret_session) MUST_USE;
/* Whether the lent session is a client's. */
bool session_is_clients(struct request *request, CK_SESSION_HANDLE session);
/*
 * What the module is logged in and out through: the anchor, or one of the clients' sessions where the token has no other left. Under
 * login.lock, with the module and no session. To be given back before either.
 */
struct lever {
	CK_SESSION_HANDLE session; /* the module's */
	struct session *client; /* whose it is, locked; NULL: the anchor, which nobody closes meanwhile */
};
CK_RV lever_take(struct worker *worker, struct lever *ret_lever) MUST_USE;
void lever_give_back(struct worker *worker, const struct lever *lever); /* one that was taken */

/* Adds what the request asks for to the wishes of its session. */
void session_wish(struct worker *worker, struct session *session, const struct login_wishes *wishes);
/* At a login: the wishes of all sessions last until sessions_wishes_end, whatever becomes of the sessions (B1). Under login.lock. */
void sessions_wishes_keep(struct worker *worker);
void sessions_wishes_end(struct worker *worker);

/* object.c. Handles: `virtual` is the client's, `module` the module's. */
bool objects_init(struct objects *objects) MUST_USE;
/* The virtual handle of a module's object; `made`: just now, so that it cannot be one that is known already. */
CK_RV object_add(struct worker *worker, CK_OBJECT_HANDLE module, bool made, CK_OBJECT_HANDLE *ret_virtual) MUST_USE;
/* It is a session object and ends with `session`. */
void object_own(struct worker *worker, CK_OBJECT_HANDLE handle, struct session *session);
/* The module's handle, or CK_INVALID_HANDLE so that the module itself judges an unknown one. */
CK_OBJECT_HANDLE object_module(struct request *request, CK_OBJECT_HANDLE handle);
void object_remove(struct worker *worker, CK_OBJECT_HANDLE handle);
void objects_remove_of_session(struct worker *worker, const struct session *session);
/* Whether session objects hang on a module session of `session`. */
bool objects_hang_on(struct worker *worker, const struct session *session, CK_SESSION_HANDLE module);
/* Around a logout: before it the worker learns which objects are private; afterwards their handles are gone (X3). */
void objects_classify(struct worker *worker, CK_SESSION_HANDLE session);
void objects_remove_private(struct worker *worker);
/* The same where handles stay: before it token objects are identified, afterwards private ones wait to be found again. */
void objects_remember_private(struct worker *worker, CK_SESSION_HANDLE session);
void objects_unbind_private(struct worker *worker);
/* True unless the object is known not to need a login; false too for a handle that names none. */
bool object_may_be_private(struct worker *worker, CK_OBJECT_HANDLE handle);
/* True if it can only be found again after a login. */
bool object_awaits_login(struct worker *worker, CK_OBJECT_HANDLE handle);
void objects_remove_all(struct worker *worker);
size_t objects_session_count(struct worker *worker);
/* Reads what an event and the rules need; NULL if the module will not tell. The caller releases it. */
struct object_info *object_describe(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE handle);
struct object_info *object_info_keep(struct object_info *info); /* NULL allowed, in both */
void object_info_release(struct object_info *info);
void object_changed(struct worker *worker, CK_OBJECT_HANDLE handle); /* its attributes were set */

/* object.c, for refind.c; under objects.lock. */
struct object *object_find(const struct objects *objects, CK_OBJECT_HANDLE handle);
bool object_bind(struct objects *objects, struct object *object, CK_OBJECT_HANDLE module);

/* refind.c: token objects over a re-initialisation (X3). Before: exclusive module.lock, `session` can read. */
void objects_identify(struct worker *worker, CK_SESSION_HANDLE session);
/* Afterwards: session objects are gone, token objects wait for refind. Exclusive module.lock. */
void objects_unbind(struct worker *worker);
/* Finds the object of a virtual handle again: exactly one match, or CK_INVALID_HANDLE. */
CK_OBJECT_HANDLE object_refind(struct request *request, CK_OBJECT_HANDLE handle);
void object_identity_free(struct object_identity *identity);
/* What tells the object from others; NULL if the module will not say. */
struct object_identity *object_identity_read(struct worker *worker, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE module);

/*
 * login.c: one login, logout, PIN change or re-initialisation at a time. login_lock gives the module up first and returns whether the
 * request held it; login_unlock takes that back.
 */
bool login_lock(struct request *request) MUST_USE;
void login_unlock(struct request *request, bool held);
/* On a client's session; `handle` is the client's. */
CK_RV login_session(struct request *request, CK_ULONG handle, CK_USER_TYPE user, const union wire_value *pin) MUST_USE;
/* `ret_before`: who was logged in until then. */
CK_RV logout_session(struct request *request, CK_ULONG handle, enum login_state *ret_before) MUST_USE;
/*
 * If neither a client session nor a kept login nor a running resource request is left: logs out for that reason and forgets the
 * handles (C7). False: the event could not be kept.
 */
bool login_rest(struct worker *worker, struct request *request, enum login_end end) MUST_USE;
/*
 * The same outside of a request: gives the login that it ended, for the gateway to record with that reason; LOGIN_NONE if it ended
 * none.
 */
enum login_state login_expire(struct worker *worker, enum login_end end) MUST_USE;
/* Ends the login for that reason, sessions or not, outside of a request; gives what it ended, likewise. */
enum login_state login_revoke(struct worker *worker, enum login_end end) MUST_USE;
/* True, once, when the time of a kept login has run out: it is not kept any more. */
bool login_keep_over(struct worker *worker);
/* Why the login ends if it is not kept any more: its time over REST has run out, or nobody uses it. */
enum login_end login_keep_end(struct worker *worker);
/* The login of the module itself. Any thread. */
enum login_state login_native_state(const struct worker *worker);
/*
 * Ends the login for that reason, if there is one, under login.lock, without the module held; `request` NULL outside of one, where
 * nothing is recorded. Nobody is logged in afterwards: a module that does not log out is started anew, so that session objects,
 * operations and lent sessions are lost; where that fails too, the process ends. Any CKR of C_Logout.
 */
CK_RV login_end_locked(struct worker *worker, struct request *request, enum login_end end, bool *ret_recorded) MUST_USE;
/* Milliseconds until the kept login ends; -1: none is kept. */
int login_keep_left(struct worker *worker);
enum pin_role { PIN_GIVEN, PIN_NEW }; /* for the token to judge, or to be the PIN from now on */
/*
 * pin.c: whether the PIN may go to the module at all (A20). CKR_ARGUMENTS_BAD: there is none, and the token does not ask for it itself.
 * An empty one, which some modules take for one that they know already, is CKR_PIN_INCORRECT, or CKR_PIN_LEN_RANGE as a new PIN.
 */
CK_RV pin_check(const struct worker *worker, const union wire_value *pin, enum pin_role role) MUST_USE;
/* C_SetPIN, C_InitPIN, C_InitToken: everything around the call itself. */
CK_RV pin_change(struct request *request, const struct call *call) MUST_USE;
CK_RV token_initialise(struct request *request, const struct call *call) MUST_USE;
/* Before a native login with nobody logged in: re-initialises the module when its view of the token is old (X10). Under login.lock. */
CK_RV module_freshen(struct worker *worker, uint64_t generation) MUST_USE;
/* After the token's own answer to a PIN, likewise: one that has locked it ends the login, whether the module says so or not (A16, A17). */
void login_lock_out(struct request *request, CK_RV rv);
/* Under login.lock, without the module held: nobody is logged in to the module afterwards, as after login_end_locked. Unrecorded. */
void login_drop(struct request *request);
/*
 * C_Login of the module alone, with the PIN of the application, which is logged in already (B4). Under login.lock, with the token. Any CKR of
 * C_Login but that somebody is logged in: that is CKR_FUNCTION_FAILED, and nobody is afterwards.
 */
CK_RV login_internal(struct request *request, CK_SESSION_HANDLE session, const union wire_value *pin) MUST_USE;
/* Ends the login of the module alone, so that other applications can use the token (B4); the application stays logged in. */
CK_RV logout_internal(struct worker *worker, struct request *request, CK_SESSION_HANDLE session) MUST_USE;

/* pin_cache.c; under login.lock but for pin_cache_kept and pin_cache_left. False: no locked memory, so no PIN is kept. */
bool pin_cache_init(struct pin_cache *cache) MUST_USE;
/* Whether it can keep that PIN. */
bool pin_cache_takes(const struct worker *worker, const union wire_value *pin);
bool pin_cache_kept(const struct worker *worker);
void pin_cache_store(struct worker *worker, const union wire_value *pin, const CK_TOKEN_INFO *token);
/* The kept PIN itself, good under login.lock. */
union wire_value pin_cache_pin(const struct worker *worker);
/* Whether `token` is the one whose PIN is kept. */
bool pin_cache_fits(const struct worker *worker, const CK_TOKEN_INFO *token);
void pin_cache_used(struct worker *worker);
void pin_cache_erase(struct worker *worker);
/* Milliseconds until it must be erased, and why; -1: none is kept. */
int pin_cache_left(struct worker *worker, enum login_end *ret_end);

/*
 * private_use.c: while a PIN is kept, the module is logged in only around private uses (B4, B11). The request holds neither
 * login.lock nor a session; the module is given up and taken again meanwhile. Nothing happens without a kept PIN, nor twice.
 * CKR_OK also if nobody is logged in by now: then the call itself finds out. CKR_USER_NOT_LOGGED_IN if the kept PIN was no good (B15).
 */
CK_RV private_use_begin(struct request *request) MUST_USE;
/* The same under login.lock, without the module held. */
CK_RV private_use_begin_locked(struct request *request) MUST_USE;
/* At the end of every call's or route's work, by turns_end, begun or not. False: an event could not be kept. */
bool private_use_end(struct request *request) MUST_USE;
/* Ends the request's part in it early, under login.lock; the module is logged out later, by whoever ends its own. */
void private_use_let_go(struct request *request);
/* What the control thread does for it: after sessions were closed without a request. */
void private_use_settle(struct worker *worker);
/* Whether the call must have begun one: from its row's kinds and its arguments. */
bool private_use_needed(struct worker *worker, const struct call *call);

/*
 * one_use.c: around what may end the login by the rules about forced logouts (B5–B8), from before its look at who is logged in until after the
 * logout. The request holds neither login.lock nor the module nor a session. CKR_DEVICE_ERROR: it was not its turn within the bound of a wait
 * for an internal logout. Nothing happens if the request has its turn already.
 */
CK_RV one_use_begin(struct request *request) MUST_USE;
/* Whether the request had its turn, which is over now and goes to who has waited longest. */
bool one_use_end(struct request *request);
/*
 * The same for a call or for a route with these permissions, if it may end the login. Decides by which rule: request->logout_after, which
 * everything about this call or route goes by, whatever becomes of the rules meanwhile.
 */
CK_RV one_use_begin_call(struct request *request, const struct call *call) MUST_USE;
CK_RV one_use_begin_route(struct request *request, unsigned permissions) MUST_USE;
/* At the end of a call or a route: all that it waited for before it held the module. False: an event could not be kept. */
bool turns_end(struct request *request) MUST_USE;
/*
 * Whom the login is for where each private use ends it: with the first part of an operation with a private key its session claims the login,
 * until it ends. That is at the end of the operation: its last part, an error, the end of the session or of its client. What others want with
 * private objects meanwhile is refused at once, as after that logout; a wait would end in the same answer, and a client with one thread that
 * goes back and forth between two sessions would wait for itself. Operations side by side in one session share the claim, as those of the
 * dual-function calls must, and the first that ends, ends the login for all. An Init claims nothing, since nothing is used yet; a search
 * does not either, since it is a use when it ends.
 *
 * `session`: a client's handle. A claim is made by who has its turn; if another session has one already, nothing happens.
 */
void one_use_claim(struct worker *worker, CK_ULONG session);
/* The claim ends before the login. */
void one_use_release(struct worker *worker, CK_ULONG session);
bool one_use_is_of(struct worker *worker, CK_ULONG session);
/* Whether somebody has claimed it who is not this session; 0: no session. */
bool one_use_is_anothers(struct worker *worker, CK_ULONG session);
/* After sessions were closed and the login ended, if it had to: a closed one has no claim any more. */
void one_use_settle(struct worker *worker);

/* track.c: the operations of a session as the audit and X4 need them; the session is locked. */
/*
 * After the call. `key` is what is known of an Init's key, or NULL; `forced`: the key asks for its PIN by policy; `logouts` the count
 * of completed logouts before the call.
 */
void track_after(struct session *session, const struct call *call, CK_RV rv, struct object_info *key, bool forced,
	unsigned logouts);
/* One operation is over, and its record with it. */
void track_forget(struct session_operation *operation);
/*
 * What is to be remembered of a session's operations beside their saved state; each copy is to be given to track_forget. False: no
 * memory.
 */
bool track_copy(const struct session_operation operations[OPERATION_COUNT],
	struct session_operation ret_copies[OPERATION_COUNT]) MUST_USE;
/* The session goes on with such operations, which are taken over; they end with the login that they were begun under (X4). */
void track_restore(struct session *session, struct session_operation operations[OPERATION_COUNT]);
/* The module has not begun the operation yet, and need not be logged in for it; `init` is taken over. */
void track_defer(struct session_operation *operation, char *init, size_t init_len);
/* … and now it has. */
void track_begun(struct session_operation *operation);
/* The module does not take the PIN that an operation awaits: somebody else has to ask the token (B20). */
void track_force(struct session *session);
/* The operation that awaits its PIN and is forced, or NULL. */
struct session_operation *track_forced(struct session *session);
void track_clear(struct session *session);
/* The operation whose key and mechanism the record of a call of that row names; NULL without a session or an operation. */
struct session_operation *track_operation(struct session *session, const struct call_row *row);
/* True if an operation with an always-authenticate key has not got its PIN yet. */
bool track_awaits(const struct session *session);
void track_reauthenticated(struct session *session);
/* True if the call only asked for a length, so that nothing was used and nothing ended. */
bool call_asks_length(const struct call *call, CK_RV rv);
/* SHA-256 over all input of the operation that this call completes; false if it has none that is recorded. Once. */
bool track_input_sha256(struct session *session, const struct call *call, unsigned char ret_hash[32]);

/* True if an operation with an always-authenticate key is under way. */
bool track_reauthenticates(const struct session *session);
/* True if an operation under way has used private objects under that login (login_epoch): given up, it was a private use all the same (B7). */
bool track_used_private(const struct session *session, unsigned login);
/* True if the session has an operation with a private key, of that login, of which a part is done. */
bool track_has_private_parts(const struct session *session, unsigned login);
/* How many operations of all sessions keep the module logged in (B10). */
unsigned track_keeping_login(void);

/* forced_login.c: keys that ask for their PIN because their certificate is for non-repudiation (B18). `key` is the module's handle. */
bool forced_login_applies(struct request *request, CK_OBJECT_HANDLE key, const struct object_info *info);
/* After C_GetAttributeValue of such a key: CKA_ALWAYS_AUTHENTICATE is CK_TRUE. The return value to go on with. */
CK_RV forced_login_show(const struct call *call, CK_RV rv) MUST_USE;

/* forced_search.c: whether a search needs it; the whole search; its results. */
bool forced_search_needed(const struct worker *worker, const struct call *call);
CK_RV forced_search_begin(struct request *request, struct session *session, const struct call *call,
	struct session_operation *ret_search) MUST_USE;
CK_RV forced_search_next(struct session_operation *search, const struct call *call) MUST_USE;

/*
 * pin_verify.c: whether the token takes the PIN; `login` is login_epoch from before. `begun`: the module has begun the operation, so that its login
 * must stay; otherwise the module may be logged in anew, and handles of private objects are void.
 */
CK_RV pin_verify(struct request *request, unsigned login, const union wire_value *pin, bool begun) MUST_USE;
/* In the worker that was started for it: answers on the request's channel. */
void pin_verify_serve(struct request *request, const struct pin_verify *question);

/* forced_operation.c: operations with such keys. The Init as it came, with the client's handles; NULL: no memory. To be freed. */
char *forced_operation_copy(const struct call *call, size_t *ret_len);
/* Under the session's lock: the Init is tried and kept for later, since with a kept PIN the module's login is left to the PIN to come. */
CK_RV forced_operation_defer(struct request *request, struct session *session, const struct call *call,
	const union wire_value native[], struct object_info *key, char *init, size_t init_len) MUST_USE;
/* An operation that awaits a PIN which is not the module's to verify. */
struct forced_operation {
	uint64_t serial;
	unsigned login; /* login_epoch when it began */
	bool begun; /* in the module */
};
/* Whether the session has such an operation, and which. */
bool forced_operation_awaits(struct request *request, CK_ULONG handle, struct forced_operation *ret_operation);
/* The context-specific login for it. */
CK_RV forced_operation_login(struct request *request, CK_ULONG handle, const struct forced_operation *operation,
	const union wire_value *pin) MUST_USE;

/* saved_state.c: what C_GetOperationState gives is a reference. `session` is the client's or NULL, `module` its handle in the module. */
CK_RV saved_state_get(struct request *request, const struct session *session, CK_SESSION_HANDLE module,
	const union wire_value *out) MUST_USE;
/*
 * `v` with the module's handles. The operations of the state take the place of the session's own of their kinds. CKR_SAVED_STATE_INVALID
 * for what is no reference of this application, and for operations that needed a login that has ended (X4).
 */
CK_RV saved_state_set(struct request *request, struct session *session, const union wire_value v[]) MUST_USE;
/* Whether such a reference names an operation that needs the login. */
bool saved_state_is_private(struct worker *worker, const union wire_value *reference);
void saved_states_clear(struct worker *worker);
/* After a logout: those that needed the login are gone (X4). */
void saved_states_settle(struct worker *worker);

/* call_run.c: one call: permission, handles, module, event. False: the event could not be kept, so the answer must be withheld. */
bool call_run(struct request *request, struct call *call, CK_RV *ret_rv) MUST_USE;

/* True if what it does with objects belongs to an operation. */
bool call_is_part(const struct call_row *row);

/* inventory.c: the route `inventory`. */
void inventory_run(struct request *request);

#endif
