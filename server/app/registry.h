/*
 * Live applications and their workers: an application is (domain, application ID, slot); each has one worker process.
 *
 * Thread-safe. A connection's thread calls registry_request and blocks until the worker has answered. Nothing here parses
 * a body.
 */
#ifndef P11GATE_APP_REGISTRY_H
#define P11GATE_APP_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "api/limits.h"
#include "server/common/message.h"
#include "server/config/config.h"

struct registry;

/* The name of an application: requirement C12 says the domain comes first. */
struct application_key {
	const char *domain; /* the identity or its share group (config_domain) */
	unsigned char id[APPLICATION_ID_LEN];
	const char *slot;
};

/* `config` may be swapped later with registry_reload; the registry keeps its own reference to what workers need. */
enum status registry_new(const struct config *config, struct registry **ret_registry) MUST_USE;

/* Ends all workers (graceful, at most 5 s, then by signal unless one is inside a token write) and frees. */
void registry_free(struct registry *registry);

/* A login that has ended though no client asked for it. The texts are good during the call. */
struct registry_logout {
	const char *identity, *slot;
	const char *application; /* its registry_application_hash */
	const char *user; /* "CKU_USER" or "CKU_SO" */
	const char *reason; /* a sentence */
};

/*
 * Called once for each login that ends with its worker, with the lease of its last client, or because its time over REST is up;
 * not for one that ends by a request, whose answer has the event. Any thread; no lock of the registry is held.
 */
typedef void registry_logout_report(void *context, const struct registry_logout *logout);
/* From now on `function` is told, until registry_free has returned; NULL: nobody. Before the first request, so that none is missed. */
void registry_report_logouts(struct registry *registry, registry_logout_report *function, void *context);
/* Reports the logins that are still there: for a program that exits without registry_free, because requests still run. */
void registry_abandon_logins(struct registry *registry);

/*
 * New configuration: workers of slots that changed or vanished end, the others get the new policy. Logins and holds of identities that may
 * no longer log in there end. Returns when all workers follow the new rules; one that does not answer within two seconds is named in the log
 * and follows when it can.
 */
void registry_reload(struct registry *registry, const struct config *config);

/*
 * Whether a certificate, as struct registry_client appended it, still is one of that identity; `len` 0: it could not be kept. No lock is
 * held.
 */
typedef bool registry_judge(void *context, const char *identity, struct bytes certificate);

/* Ends the logins and holds of those whose certificates are good no longer (B14). After a change of what they are verified with. */
void registry_revoke(struct registry *registry, registry_judge *judge, void *context);

/* What a request needs of whoever received it. registry_request calls all in its own thread. */
struct registry_client {
	/*
	 * Records what a worker did: called once with the outcome of a request that a worker may have seen, and its response for STATUS_OK.
	 * Until it returns, no end of a login is reported that may follow from the request.
	 */
	void (*record)(void *context, enum status status, const struct worker_response *response);
	/* Appends what registry_revoke is to judge the login by that the request has made. */
	void (*certificate)(void *context, struct buffer *out);
	/* The login has been noted: whether the client may still have it, or there was a reload since the request was let in. */
	bool (*entitled)(void *context);
	/*
	 * Answers what the worker with process number `worker` asks about the Idempotency-Key of its request, in memory of `arena`.
	 * STATUS_MALFORMED: it must not ask that, and is ended. NULL: no worker may ask.
	 */
	enum status (*intent)(void *context, pid_t worker, const struct intent *question, struct arena *arena,
		struct intent_answer *ret_answer);
	void *context;
};

/*
 * Sends `request` to the application's worker, started if needed, and waits for the answer, answering the worker's
 * questions about the token meanwhile. Handles the anonymous re-run (status 0, A28) itself. `ret_response` points into
 * `ret_payload` and `arena`.
 *
 * request->deadline_ms (0: limits.sign_s) bounds the wait for a free thread of the worker and then, anew, the worker's own
 * work: a worker is not ended because others kept a request waiting. Its wait for the token is bounded by
 * limits.token_wait_s and does not count. `ret_payload` must have room for FRAME_PAYLOAD_MAX bytes.
 *
 * STATUS_OK; STATUS_NOT_FOUND (slot); STATUS_UNAVAILABLE (module or token missing: *ret_rv says which); STATUS_BUSY (queue
 * full, too many workers, too many client instances, one instance in too many applications) and STATUS_NO_MEMORY (nothing was executed); STATUS_TIMEOUT (deadline: the
 * worker was ended; outcome unknown); STATUS_CLOSED (the worker ended; outcome unknown; *ret_rv is
 * CKR_SESSION_CLOSED if it did because the application was closed, else CKR_OK).
 */
enum status registry_request(struct registry *registry, const struct application_key *key,
	const struct worker_request *request, const struct registry_client *client, struct arena *arena,
	struct buffer *ret_payload, struct worker_response *ret_response, uint64_t *ret_rv) MUST_USE;

/* The application that holds re-authentication operation `id`, if it is this identity's (A26); STATUS_NOT_FOUND otherwise. Copies into the arena. */
enum status registry_operation(struct registry *registry, const char *operation, const char *identity,
	struct arena *arena, struct application_key *ret_key) MUST_USE;

/* What an application is like now (C15): dormant, if it is not held and has neither session nor login. */
struct application_view {
	bool held;
	unsigned sessions; /* of client modules and explicit ones of REST */
	enum login_state login;
	time_t login_since; /* wall clock; 0 for LOGIN_NONE */
};

/* "dormant", "active" (it has sessions or a login), "held". */
const char *application_view_state(const struct application_view *view);

/* An application that was never heard of is dormant. */
struct application_view registry_application_show(struct registry *registry, const struct application_key *key);

/*
 * Holds an application open for limits.hold_s (C8): its login outlives its last session. `certificate` is for registry_revoke.
 * STATUS_OK; STATUS_REFUSED (held already); STATUS_BUSY (the identity holds too many); STATUS_NOT_FOUND (slot); STATUS_NO_MEMORY.
 */
enum status registry_application_hold(struct registry *registry, const struct application_key *key,
	const char *identity, struct bytes certificate) MUST_USE;

/*
 * Ends an application's hold, sessions and login (C9): its worker finishes what runs and ends. STATUS_NOT_FOUND: it is
 * dormant.
 */
enum status registry_application_close(struct registry *registry, const struct application_key *key) MUST_USE;

enum { QUIESCE_MAX_S = 3600 };

/*
 * Makes room for the security officer on a token (X2): from now on no user logs in (CKR_DEVICE_ERROR), until a minute after
 * the logins that there are now have been ended, which is in so many seconds. Of this gateway's workers alone.
 * STATUS_NO_MEMORY, STATUS_NOT_FOUND.
 */
enum status registry_quiesce(struct registry *registry, const char *slot, unsigned seconds) MUST_USE;

/* Wrong PINs in a row (B16): of an identity on a slot, or of the slot's token, whoever sent them. */
struct guard_summary {
	const char *slot;
	const char *identity; /* NULL: the token's own count */
	unsigned failures; /* of the token's own count: of the user's PIN */
	unsigned so_failures; /* of the token's own count alone: of the security officer's */
	bool unknown; /* the token's own count cannot be read, and no PIN gets through (the log says why) */
};

/* Calls `each` for every count above 0; it must not call the registry. */
void registry_guards(
	struct registry *registry, void (*each)(void *context, const struct guard_summary *summary), void *context);

/* The flags of CK_TOKEN_INFO about PINs (CKF_USER_PIN_COUNT_LOW …) that the counts mean for an identity; 0: none. */
uint64_t registry_guard_flags(struct registry *registry, const char *identity, const char *slot);

/*
 * Forgets the counts of an identity (NULL: of all, and the tokens' own) on a slot (NULL: on all), and says how many there were.
 * STATUS_TIMEOUT, STATUS_IO: a token's lock was not to be had, or its count not to be written.
 */
enum status registry_guard_reset(
	struct registry *registry, const char *identity, const char *slot, unsigned *ret_count) MUST_USE;

/* One application for operators: its ID is shown as a keyed hash alone (C16). The texts are good during the call. */
struct application_summary {
	const char *domain, *slot;
	char hash[33];
	struct application_view view;
};

/* Calls `each` for every application that is held or has had a request whose worker or lease still is there. */
void registry_applications(struct registry *registry,
	void (*each)(void *context, const struct application_summary *summary), void *context);

/*
 * Leases (C14): a connection that carries an instance id holds it; lease_ttl after the last such connection closed, the
 * instance's sessions end. Called from the listener; `instance` is 16 bytes.
 * STATUS_BUSY: the identity has too many instances; nothing was opened, and registry_instance_closed must not be called.
 */
enum status registry_instance_opened(
	struct registry *registry, const char *identity, const unsigned char *instance) MUST_USE;
void registry_instance_closed(struct registry *registry, const char *identity, const unsigned char *instance);

/*
 * An explicit session of REST (C15) is an instance without a connection, which has had a request of the application. From now
 * on its end is limits.rest_idle_ttl_s after the application's last request, or limits.rest_max_ttl_s from now.
 * STATUS_NOT_FOUND: there is no such instance.
 */
enum status registry_instance_keep(
	struct registry *registry, const char *identity, const unsigned char *instance) MUST_USE;

/* Ends such an instance and its sessions. STATUS_NOT_FOUND: the application has no such session of the identity. */
enum status registry_instance_end(struct registry *registry, const char *identity, const unsigned char *instance,
	const struct application_key *key) MUST_USE;

/* Keyed hash of an application ID for logs and listings (C16): 32 hex digits and a NUL. The key is made at start. */
void registry_application_hash(struct registry *registry, const struct application_key *key, char ret_hash[33]);

/*
 * Counters in Prometheus' text format: p11gate_calls_total{slot,function}, p11gate_workers_live{slot},
 * p11gate_workers_started_total … Of those with a slot, the samples of the slots that `visible` allows.
 */
void registry_metrics(
	struct registry *registry, bool (*visible)(void *context, const char *slot), void *context, struct buffer *out);

/* Whether every module of the configuration is loaded; a sentence about the first that is not. */
bool registry_ready(struct registry *registry, char *ret_detail, size_t detail_size);

/*
 * The inventory: documents of the slots that `visible` allows. Fresh: asks each module's inventory worker (one query
 * serves all callers that arrived before it began).
 */
enum inventory_form { INVENTORY_CALLS, INVENTORY_SLOTS, INVENTORY_SLOT, INVENTORY_MECHANISMS };

/* Appends the JSON document of `form`; `slot` for the forms of one slot, else NULL; `wait_ms` > 0 waits until the generation is above `after`. */
enum status registry_inventory(struct registry *registry, enum inventory_form form, const char *slot,
	bool (*visible)(void *context, const char *slot), void *context, uint64_t after, unsigned wait_ms,
	struct buffer *out) MUST_USE;

#endif
