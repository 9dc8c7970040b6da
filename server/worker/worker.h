/*
 * What the rooms of the worker share: the process, one request, and the vendor module.
 *
 * The worker is one process for one application (or, as inventory, for the slots of one module). Each of its threads
 * reads requests from its own pair and answers them one after the other.
 *
 *   main      start-up, threads, control commands             module    loading, initialising, finding the slot's token
 *   sandbox   seccomp, limits, undumpable                     login     the one login state, the anchor, the token lock
 *   session   virtual sessions, lending module sessions       object    virtual object handles
 *   invoke    the only calls through CK function pointers     calls     POST …/calls: decode, check, run (call_run), record, encode
 *   event     audit events                                    operation operations that wait for a PIN (A24–A28)
 *   resources/  the resource routes                           inventory the inventory worker's documents
 */
#ifndef P11GATE_WORKER_WORKER_H
#define P11GATE_WORKER_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include "api/call.h"
#include "api/json.h"
#include "api/login_wishes.h"
#include "api/problem.h"
#include "server/common/message.h"

struct worker; /* the process; one instance, defined in internal.h */

enum {
	REPLY_EVENTS_MAX = 1024, /* audit events of one request: a batch of 1000 signatures leaves one each */
	REQUEST_LENT_MAX = 8, /* module sessions lent to one request at a time */
};

/* An answer in the making. */
struct reply {
	unsigned status; /* HTTP; 0 at first */
	const char *content_type; /* static, or in the request's arena */
	struct buffer body;
	struct bytes headers[8];
	size_t headers_count;
	struct bytes events[REPLY_EVENTS_MAX];
	size_t events_count; /* audit, in the request's arena */
	bool event_lost; /* an event could not be kept: the answer is withheld, whatever it is */
	struct bytes calls[256];
	size_t calls_count; /* names of functions the module executed */
	const char *operation_opened, *operation_closed; /* in the request's arena, or NULL */
};

/* A module session that the pool has lent. */
struct lent_session {
	CK_SESSION_HANDLE session;
	uint64_t epoch; /* of the module that it is a session of */
	struct session *client; /* a client's, locked for the loan; or NULL */
	bool own; /* the request has had it before, so that nothing is given back */
	bool spoiled; /* it is not to be kept (session_spoil) */
};

/* One request, owned by one thread. */
struct request {
	struct worker *worker;
	const struct worker_request *message;
	struct arena *arena; /* wiped when the request ends */
	int channel; /* the pair it came on, for questions to the gateway */
	bool holds_module; /* the module cannot be re-initialised meanwhile; kept by the core alone */
	bool private_use; /* counted in login.private_uses; kept by the core alone */
	struct session *client; /* the session that its call has locked, or NULL; kept by the core alone */
	bool one_use; /* it is its turn to end the login; kept by the core alone */
	bool making; /* making_end is due; kept by the core alone */
	unsigned logout_after; /* enum logout_after, decided once for its uses (one_use.c); kept by the core alone */
	bool pin_tried; /* its last login has reached the token; kept by the core alone */
	/* After a wrong PIN: how many more go to the token, where that is known (A25); kept by the core alone. */
	bool attempts_known;
	unsigned attempts_left;
	struct login_wishes wishes; /* what the client asks for beyond the rules (B1) */
	/* What the rules about forced logouts look at when the request ends (B5–B8). */
	bool signed_; /* a signature was made or failed */
	bool private_used; /* a private object was used, read, found, made or changed */
	struct lent_session lent[REQUEST_LENT_MAX]; /* not given back yet; kept by lend.c alone */
	unsigned lent_count;
	struct reply reply;
};

/* --- the process, as it was started --- */

/* What the worker was started with; constant for its life, except that `policy` is asked through policy_challenge_only. */
const struct worker_start *worker_settings(const struct worker *worker);

/* Of an application's worker: its slot's name in paths, and its token's label without the padding. Valid for the worker's life. */
const char *worker_slot_name(const struct worker *worker);
const char *worker_token_label(const struct worker *worker);

/* True if the key of that label may answer challenges and do nothing else (requirement D9). `label` is UTF-8, NUL-terminated; any thread. */
bool policy_challenge_only(const struct worker *worker, const char *label);

/* --- invoke.h: the vendor module --- */

/*
 * Runs one Cryptoki function in the module with real handles and real slot. Counts it in the reply and catches nothing else;
 * any thread. CKR_FUNCTION_NOT_SUPPORTED if the module's function pointer is NULL.
 */
CK_RV invoke(struct request *request, enum call_id id, const union wire_value v[]) __attribute__((warn_unused_result));

/*
 * Rises with every call of this process that may have changed what a search in the token finds, and with every
 * re-initialisation of the module. Any thread.
 */
unsigned module_changes(void);

/* The slot's number in the module, as found at start or after the last re-initialisation. */
CK_SLOT_ID module_slot(const struct worker *worker);

/* --- session.h: module sessions for the resource routes --- */

/*
 * Lends a module session that nobody else uses until session_give_back: read-write if the token allows it. It belongs to the
 * application (same login state) and has no operation active; on a token whose sessions the clients have all it is one of theirs. It must
 * be given back before the request ends, and before login_user is called, which may re-initialise the module; login_context and
 * login_verify say themselves what becomes of it. Object handles are good for the same time. Any CKR of C_OpenSession; CKR_SESSION_COUNT
 * too if the request has REQUEST_LENT_MAX already; CKR_USER_NOT_LOGGED_IN if the login is for a session's operation in parts (B7), or the
 * kept PIN was no good (B15); the gateway's errors about the token.
 */
CK_RV session_lend(struct request *request, CK_SESSION_HANDLE *ret_session) __attribute__((warn_unused_result));

/* The same for what needs no login: it is no private use, so that the module is not logged in for it, and it ends no login (B4, B7). */
CK_RV session_lend_public(struct request *request, CK_SESSION_HANDLE *ret_session) __attribute__((warn_unused_result));

/*
 * `clean` false: an operation may be active, so the session is closed instead of kept for the next borrower. Nothing is done
 * for CK_INVALID_HANDLE, nor for a session that a re-initialisation of the module has ended since it was lent. With the module held.
 */
void session_give_back(struct request *request, CK_SESSION_HANDLE session, bool clean);

/* A search or another operation may have stayed active in the lent session: it will not be kept, whatever `clean` says. */
void session_spoil(struct request *request, CK_SESSION_HANDLE session);

/*
 * Opens a session of the request's instance, as a client module would; the gateway ends the instance. It counts as one of the
 * application's sessions. Any CKR of C_OpenSession.
 */
CK_RV session_open_rest(struct request *request) __attribute__((warn_unused_result));

/*
 * Around making an object in a route that has used a key for it, whose PIN has been given by then: other routes that make objects have this
 * turn from their beginning. `session` is given back and another one lent, and `object`, a module handle that it can read, may become another:
 * both are good with CKR_OK alone. Whatever it returns, object_making_end is due, before anybody is logged in or out.
 */
CK_RV object_making_begin(struct request *request, CK_SESSION_HANDLE *session, CK_OBJECT_HANDLE *object)
	__attribute__((warn_unused_result));
void object_making_end(struct request *request);

/* --- login.h: the application's one login state --- */

enum login_state login_state(const struct worker *worker);

/* Rises with every completed logout: what was begun under another number died with its login (X4). Any thread. */
unsigned login_epoch(const struct worker *worker);

/*
 * Logs the application in: asks the gateway for the token (lock, conflicts), C_Login on the anchor session, and reports the outcome.
 * CKR_USER_ALREADY_LOGGED_IN without asking the module if that user is in already (B13). The PIN is used once and not kept.
 * Adds the audit event. No session may be lent to this request.
 */
CK_RV login_user(struct request *request, CK_USER_TYPE user, const unsigned char *pin, size_t pin_len)
	__attribute__((warn_unused_result));

/* C_Logout; ends every private-key operation of every session (X4) and forgets the handles of private objects (X3). Adds the audit event. */
CK_RV login_out(struct request *request) __attribute__((warn_unused_result));

/*
 * The login of the resource routes (C15): keeps the application live without a client session until `idle_ms` pass without
 * a resource request or `max_ms` in all.
 */
void login_keep(struct worker *worker, uint64_t idle_ms, uint64_t max_ms);

/*
 * Context-specific login on a lent session whose operation awaits it; `login` is login_epoch from before the operation began.
 * The event of the key use tells of it (`reauthenticated`). The module may be re-initialised meanwhile: object handles are
 * good only after CKR_OK, and *session becomes CK_INVALID_HANDLE if it was lost with the old module. CKR_USER_NOT_LOGGED_IN,
 * and the PIN is not used, if the operation has ended with its login (X4); likewise CKR_SESSION_COUNT if the session is a client's, which
 * cannot be kept from its client for that long; the token's and the gateway's errors.
 */
CK_RV login_context(struct request *request, CK_SESSION_HANDLE *session, unsigned login, const unsigned char *pin,
	size_t pin_len) __attribute__((warn_unused_result));

/* True if certificates can make a key ask for its PIN (B18). */
bool forced_login_rules(const struct worker *worker);
/* True if the key asks for its PIN by policy although the token does not ask (B18); `key` is the module's handle of a private key. */
bool forced_login_demanded(struct request *request, CK_OBJECT_HANDLE key);

/*
 * The PIN for a use of such a key: the token judges it, and nothing is taken from what is known (B20). The session must have no
 * operation active; it is given back, and another one is lent: *session, CK_INVALID_HANDLE if there is none. *object, the key's module handle,
 * may become another one.
 * `login` and errors as in login_context; CKR_DEVICE_ERROR if other uses of the application were in the way for too long.
 */
CK_RV login_verify(struct request *request, unsigned login, CK_SESSION_HANDLE *session, CK_OBJECT_HANDLE *object,
	const unsigned char *pin, size_t pin_len) __attribute__((warn_unused_result));

/* True if the rules leave it to the module what a key that asks for its PIN derives and unwraps without (A18). */
bool login_derives_without_pin(const struct worker *worker);

/* True if the rules end the login with each signature, so that the request makes one at most (B5, B7). */
bool login_is_for_one_use(const struct request *request);

/* --- object.h --- */

/*
 * The application's own handle of an object that the module knows as `object` and `session` can read: the same for the same
 * object as long as the application is logged in, while the module may number it anew with each of its own logins.
 */
CK_RV object_name(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	CK_OBJECT_HANDLE *ret_handle) __attribute__((warn_unused_result));

/* The object that the module knows as `module` is gone, or has other attributes: what is known of it is old. */
void object_was_destroyed(struct worker *worker, CK_OBJECT_HANDLE module);
void object_was_changed(struct worker *worker, CK_OBJECT_HANDLE module);

/* --- event.h: audit events; a NULL or empty field is left out --- */

/* What an event says about a further key of its call; NULL and 0: not known. */
struct event_key {
	const char *label; /* UTF-8 */
	const unsigned char *id;
	size_t id_len;
	const char *class; /* "CKO_SECRET_KEY" */
};

struct event {
	enum audit_kind kind;
	const char *function; /* "C_Sign" */
	CK_RV rv;
	const char *mechanism; /* "CKM_ECDSA" */
	const char *key_label; /* UTF-8 */
	const unsigned char *key_id;
	size_t key_id_len;
	const char *key_class; /* "CKO_PRIVATE_KEY" */
	struct event_key wrapped; /* the key that left the token under the event's own key */
	struct event_key made; /* the key that came into being by the event's own key */
	struct event_key renamed; /* the new names of the event's own key */
	const unsigned char *input_sha256; /* 32 bytes: SHA-256 of what was signed, decrypted … */
	uint64_t session; /* virtual handle, 0: none */
	const char *user; /* "CKU_USER" for a login */
	bool reauthenticated; /* the use was authorised by its own PIN */
	const char *reason; /* why it was refused */
	uint64_t latency_us;
};

/* Adds the event to the reply; the gateway writes it before the answer leaves. False when it could not be kept: then the answer is withheld (reply_withhold), whatever the handler makes of it. */
bool event_add(struct request *request, const struct event *event) __attribute__((warn_unused_result));

/* --- intent.c --- */

/*
 * Asks the gateway about the request's Idempotency-Key; resources/once.h says when. `ret_answer` is in the request's arena. A gateway that
 * does not answer, or makes no sense: INTENT_FAILED.
 */
void intent_ask(struct request *request, const struct intent *question, struct intent_answer *ret_answer);

/* --- reply helpers --- */

/*
 * What the gateway said when this thread's request asked for the token; NULL: it has not asked. CKR_DEVICE_ERROR is slot-busy in its answer
 * if another application has the token for itself (B3), and CKR_PIN_LOCKED comes with Retry-After where the gateway knows it (B16).
 */
void reply_token_answer(const struct token_grant *grant);

/* "Name: value" for the HTTP answer; takes the place of a header of the same name. */
void reply_header(struct request *request, const char *name, const char *value);

/*
 * A problem of problems.def as the whole answer (application/problem+json); 401 gets WWW-Authenticate. `detail` is about this
 * occurrence, `pointer` names the member of the body at fault ("/items/3/data"); each may be NULL.
 */
void reply_problem(struct request *request, enum problem problem, const char *detail, const char *pointer);

/* The same with the problem of a return value, by its row in returns.def. */
void reply_return(struct request *request, CK_RV rv, const char *detail);
void reply_return_at(struct request *request, CK_RV rv, const char *detail, const char *pointer);

/* Goes on with the members of the problem that is the reply; json_end_object ends it. */
void reply_problem_open(struct request *request, struct json_writer *ret_writer);

/* The whole answer when something was done whose event could not be kept: not to be repeated unseen. */
void reply_withhold(struct request *request);

/* --- route handlers: resource_NAME for every route of routes.def that the worker serves; resource_calls is in calls.c --- */

#define ROUTE_HANDLER_GATEWAY(name)
#define ROUTE_HANDLER_INVENTORY(name)
#define ROUTE_HANDLER_WORKER(name) void resource_##name(struct request *request);
#define ROUTE_HANDLER_WORKER_ONCE(name) ROUTE_HANDLER_WORKER(name)
#define ROUTE(name, method, path, permission, server, ...) ROUTE_HANDLER_##server(name)
#include "api/routes.def"

#endif
