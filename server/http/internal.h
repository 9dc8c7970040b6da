/*
 * What the files of server/http/ share: the listener, its generations of configuration and certificates, a connection,
 * and the request that a connection's thread is answering.
 *
 *   listener   libmicrohttpd's daemon, start and stop          limits    connections, their deadlines and the reaper
 *   reload     the next generation, and who loses what by it
 *   intercept  the GnuTLS functions that libmicrohttpd calls   input     decrypted bytes: one head, then its body
 *   gate       refuses ambiguous heads                         tls       credentials of a generation, verification
 *   peer       certificate to identity                         dispatch  one request, from identity to answer
 *   scope      application, instance, trace of a request       own       the routes the gateway answers itself
 *   forward    inventory and worker routes                     record    audit records of refusals
 *   respond    answers and problems                            counters  numbers for /metrics
 *   share      connections of one identity
 *   application  applications held, closed and shown; sessions of REST; quiesce
 *   problem_page  the pages about problem types                slot_name  slots by the token in them
 *   idempotency  Idempotency-Key
 */
#ifndef P11GATE_HTTP_INTERNAL_H
#define P11GATE_HTTP_INTERNAL_H

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "api/arena.h"
#include "api/buffer.h"
#include "api/cryptoki.h"
#include "api/problem.h"
#include "api/route.h"
#include "server/http/gate.h"
#include "server/http/listener.h"

enum {
	TRACE_LEN = 32, /* hex digits of a trace id (W3C trace context) */
	SHA256_HEX_LEN = 64,
	PEER_TEXT_MAX = 64, /* bytes of an address with port, NUL included */
	SUBJECT_MAX = 512, /* bytes of a subject name kept for logs, NUL included */
	ANSWER_HEADERS_MAX = 16,
	PROBLEM_MAX = 4096, /* bytes of a problem document */
	BODY_DRAIN_MAX = 8 << 20, /* bytes of a body that is too large which are read away so that the answer arrives */
	CORK_MAX = 15 << 10, /* bytes of a body that leaves in one TLS record with its head */
	WAIT_MAX_S = 25, /* longest wait of a long poll */
};

#define RETRY_AFTER_TEXT "1" /* seconds */

/* --- tls.c: a generation is one configuration with its credentials; requests and connections hold references --- */

struct generation {
	atomic_uint references;
	uint64_t number; /* 1, 2, 3 … */
	struct config *config;
	gnutls_certificate_credentials_t credentials;
	gnutls_priority_t priorities;
	gnutls_datum_t ticket_key;
};

/* Loads certificates, key, CA and CRL; takes over `config` on success. Reference count 1. */
enum status generation_new(struct config *config, uint64_t number, struct generation **ret_generation, char *ret_error,
	size_t error_size) MUST_USE;
void generation_release(struct generation *generation);

/* Frees a generation that nobody else has, without its configuration. NULL is allowed. */
void generation_abandon(struct generation *generation);

/* The generation in force, with a reference of the caller's. */
struct generation *listener_generation(struct listener *listener) MUST_USE;

/* Prepares a connection's session before the handshake. 0, or a GnuTLS error. */
int tls_prepare(struct generation *generation, gnutls_session_t session) MUST_USE;

/*
 * Verifies the peer's certificates against the CA, CRL and time of `generation`, for client authentication.
 * NULL if they are good; else a static sentence, and *ret_alert is what to tell the peer.
 */
const char *tls_verify(struct generation *generation, gnutls_session_t session, gnutls_alert_description_t *ret_alert);

/* The certificates that the peer has sent, for tls_chain_verify. Empty without memory: then they are not good. */
void tls_chain_keep(gnutls_session_t session, struct buffer *out);

/* Whether a chain of tls_chain_keep is good, as by tls_verify. `ret_leaf`: the peer's own certificate, within `kept`. */
bool tls_chain_verify(struct generation *generation, struct bytes kept, gnutls_datum_t *ret_leaf) MUST_USE;

/* --- peer.c --- */

struct peer {
	uint64_t generation; /* number under which this was found; 0: not yet */
	const char *refusal; /* static sentence: the certificate is no longer good; else NULL */
	const char *identity; /* of that generation's configuration; NULL: none, or more than one */
	bool ambiguous; /* two identities match */
	time_t expires; /* end of the certificate's life */
	char sha256[SHA256_HEX_LEN + 1]; /* of the certificate's DER */
	char subject[SUBJECT_MAX]; /* RFC 4514 */
	unsigned char default_application[APPLICATION_ID_LEN];
};

/* Finds out who the peer of an established session is, and verifies its certificate unless that has been done. */
void peer_identify(struct generation *generation, gnutls_session_t session, bool verified, struct peer *ret_peer);

/* The identity that a certificate (DER in `raw`) matches, or NULL; *ret_ambiguous if several do. Fills sha256 and subject. */
const char *peer_match(
	const struct config *config, const gnutls_datum_t *raw, struct peer *ret_peer, bool *ret_ambiguous);

/* A registry_judge; `context` is the generation: whether the certificates are good, and those of that identity. */
bool peer_judge(void *context, const char *identity, struct bytes certificates);

/* --- limits.c: connections and their deadlines --- */

enum phase {
	PHASE_HANDSHAKE, /* until the client is authenticated */
	PHASE_IDLE, /* waits for a request */
	PHASE_READING, /* from a request's first byte to its last */
	PHASE_WORKING, /* being answered; its own deadlines hold */
	PHASE_WRITING, /* the answer is on its way */
	PHASE_COUNT
};

struct request;

/* One TCP connection. It belongs to its own thread, except for the links (the listener's lock) and what is atomic. */
struct connection {
	struct listener *listener;
	struct generation *generation; /* whose credentials the session uses */
	gnutls_session_t session;
	struct buffer
		chain; /* the client's certificates, of tls_chain_keep; as they were when the handshake was done */
	struct MHD_Connection *mhd;
	int fd;
	char peer_text[PEER_TEXT_MAX];
	struct connection *newer, *older;
	struct connection_list *list;
	_Atomic uint64_t timing; /* monotonic milliseconds of the phase's begin << 3 | enum phase */
	struct share *share; /* of its identity; the listener's lock */
	atomic_bool crowded; /* its identity has too many: requests are refused */
	atomic_bool shut; /* the socket was shut down for being too slow or one too many */
	atomic_bool retired; /* its certificate is no longer good: it ends when nothing is under way */

	/* input.c */
	struct buffer input; /* decrypted bytes: the current request's, then pipelined ones */
	size_t input_used; /* bytes of it that belong to the current request */
	struct buffer body; /* a body that did not fit behind its head in `input` */
	enum gate_verdict verdict; /* PASSED or REFUSED while a request is under way, else MORE */
	struct gate_head head; /* points into `input` */

	/* dispatch.c */
	gnutls_alert_description_t alert; /* what the verification wants to tell the peer */
	const char *refusal; /* static sentence: why the handshake is refused */
	struct peer peer;
	struct arena arena; /* of the current request */
	struct buffer payload; /* the worker's answer to the current request */
	atomic_bool leased;
	unsigned char instance[INSTANCE_ID_LEN]; /* whose lease this connection holds */
	char lease_domain[LIMIT_LABEL + 1];
	bool corked;
};

struct connection_list {
	struct connection *newest, *oldest;
	unsigned count;
};

void connection_phase(struct connection *connection, enum phase phase);

/* Nothing is under way on the connection any more: it waits for a request, or ends if it is retired. */
void connection_idle(struct connection *connection);

/* The connection is in PHASE_READING, since the first call for this request. */
void connection_reading(struct connection *connection);

/* Adds a new connection; shuts the oldest unauthenticated one down if there are too many of them. */
void limits_add(struct connection *connection);

/* The client of this connection is authenticated. */
void limits_authenticated(struct connection *connection);
void limits_remove(struct connection *connection);

/* Milliseconds that the connection's phase may still take. */
int limits_left_ms(struct connection *connection);

/* Shuts a connection down that is too slow or one too many, and counts it. */
void limits_shut(struct connection *connection);

/* --- share.c: connections of one identity --- */

enum { SHARE_BUCKETS = 256 };

/*
 * Counts the connection for the identity that connection->peer has now, or for all that have none, and no longer for an earlier
 * one. What is beyond limits.connections_per_identity is `crowded`; what is far beyond is shut down.
 */
void share_enter(struct connection *connection, const struct config *config);
void share_leave(struct connection *connection);

/* The identity for which the connection is counted; "" for none. Under the listener's lock. */
const char *share_identity(const struct connection *connection);

/* False: the identity still has too many connections, and the request has to be refused. */
bool share_admits(struct connection *connection, const struct config *config);

/* Starts and ends the thread that shuts connections down whose phase took too long. */
enum status reaper_start(struct listener *listener) MUST_USE;
void reaper_stop(struct listener *listener);

/* Shuts those down that wait for a request or for the handshake; the number of requests under way. */
unsigned limits_shut_idle(struct listener *listener);

/* Calls `visit` for each authenticated connection, under the listener's lock. */
void limits_each(struct listener *listener, void (*visit)(struct connection *connection, void *context), void *context);

/* Shuts the connection down as soon as no request is under way on it. Under the listener's lock. */
void limits_retire(struct connection *connection);

/* Connections in any of the phases of `mask` (1u << enum phase). */
unsigned limits_count(struct listener *listener, unsigned mask);

/* --- counters.c --- */

#define COUNTERS(COUNTER) \
	COUNTER(CONNECTIONS, "connections_total", "Connections accepted") \
	COUNTER(HANDSHAKES, "handshakes_total", "TLS handshakes completed") \
	COUNTER(HANDSHAKES_RESUMED, "handshakes_resumed_total", "TLS handshakes completed by resumption") \
	COUNTER(HANDSHAKES_REFUSED, "handshakes_refused_total", "TLS handshakes refused") \
	COUNTER(REAPED, "connections_reaped_total", "Connections shut down because they were too slow or too many") \
	COUNTER(CROWDED, "connections_crowded_total", "Connections that came when their identity had too many") \
	COUNTER(GATE_REFUSED, "requests_malformed_total", "Requests refused before they were looked at")

enum counter {
#define COUNTER(constant, name, help) COUNTER_##constant,
	COUNTERS(COUNTER)
#undef COUNTER
		COUNTER_COUNT
};

enum { STATUS_CLASSES = 6 }; /* 1xx to 5xx, at [status / 100] */

struct counters {
	atomic_ullong values[COUNTER_COUNT];
	atomic_ullong answers[ROUTE_COUNT + 1][STATUS_CLASSES]; /* last row: no route */
};

void counter_add(struct listener *listener, enum counter counter);
void counters_write(struct listener *listener, struct buffer *out);

/* --- listener.c --- */

struct listener {
	struct registry *registry;
	struct audit *audit;
	struct journal *journal;
	struct MHD_Daemon *daemon;
	uint16_t port;

	pthread_mutex_t lock; /* guards what follows up to `reaper_end` */
	struct generation *generation;
	struct connection_list unauthenticated, authenticated;
	struct share *shares[SHARE_BUCKETS];
	pthread_t reaper;
	pthread_cond_t reaper_wake;
	bool reaper_end;
	atomic_bool stopping;
	_Atomic uint64_t generation_number; /* of `generation` */
	_Atomic int64_t
		crowded_log_due; /* not before this monotonic time is the next line about crowded shares logged */

	struct counters counters;
};

/* --- reload.c --- */

/* Ends the logins and holds of those whose certificates the generation in force does not take. */
void listener_judge(struct listener *listener);

/* --- input.c: between GnuTLS and libmicrohttpd --- */

/*
 * What gnutls_record_recv would give libmicrohttpd: holds a request's bytes back until its head has been judged, then
 * gives a fixed stand-in for it. The true head is in connection->head, the body is read with input_body.
 */
ssize_t input_receive(struct connection *connection, void *data, size_t size);

/* Whether bytes wait here or in GnuTLS, or may do so when the current request is over. */
bool input_pending(struct connection *connection);

/*
 * The current request's body, in connection->input. STATUS_TOO_LARGE above `max` (what could be read away has been);
 * STATUS_CLOSED, STATUS_TIMEOUT: there will be no more; STATUS_NO_MEMORY.
 */
enum status input_body(struct connection *connection, size_t max, struct bytes *ret_body) MUST_USE;

/* The current request is over: wipes its bytes and keeps those of the next. */
void input_next(struct connection *connection);

/* GnuTLS' own functions, behind those of intercept.c. */
ssize_t intercept_record_recv(gnutls_session_t session, void *data, size_t size);
size_t intercept_record_check_pending(gnutls_session_t session);

/* Called by intercept.c when a handshake ended: result 0, or GnuTLS' fatal error. */
void connection_handshake_done(struct connection *connection, int result);

/* --- dispatch.c, respond.c: one request --- */

struct answer {
	unsigned status; /* 0: none yet */
	const char *content_type; /* NULL: no body */
	struct bytes body; /* static, in the arena or in connection->payload */
	struct {
		const char *name, *value;
	} headers[ANSWER_HEADERS_MAX];
	unsigned headers_count;
	bool close;
};

struct request {
	struct connection *connection;
	struct generation *generation;
	struct arena *arena;
	const struct gate_head *head;
	const struct peer *peer;
	struct route_match match;
	char trace[TRACE_LEN + 1];
	struct application_key application;
	unsigned char instance[INSTANCE_ID_LEN]; /* bound to the identity; all zero: none */
	const char *slot; /* configured name, once it is known that the identity may see it */
	unsigned permissions; /* on `slot` */
	uint64_t deadline_ms; /* X-Deadline-Ms, 0: none */
	const char *idempotency_key; /* of a route that takes it, without quotes; NULL: none */
	struct bytes body;
	bool abandoned; /* the client is gone: there is nobody to answer */
	struct answer answer;
};

/* Answers the current request of `connection`. */
enum MHD_Result dispatch(struct connection *connection) MUST_USE;

/* Queues request->answer. */
enum MHD_Result respond(struct request *request) MUST_USE;

/* The answer has left, or never will: sends what was corked, gets ready for the next request. */
void respond_done(struct connection *connection, bool complete);

/* `name` and `value` must live as long as the request. */
void answer_header(struct request *request, const char *name, const char *value);

/* A problem of problems.def as the answer, in place of what was there; `detail` may be NULL. */
void answer_problem(struct request *request, enum problem problem, const char *detail);

/* The first problem with that HTTP status: those of the gate come first. */
enum problem problem_of_status(unsigned status);

/* The problem of a return value by its row (X7, X14). */
void answer_return(struct request *request, CK_RV rv);

/* NUL-terminated copy in the arena, "" if absent; NULL without memory. */
const char *request_text(struct request *request, struct gate_text text);

/* Whether the identity may do anything on the slot; `context` is the request. */
bool request_slot_visible(void *context, const char *slot);

/*
 * The configured name for {slot} of a path: `given` itself, or the slot whose token it names by label:, serial: or pkcs11:. Where there is
 * none *ret_name is no name of a slot. False: the answer is complete (400, 409 slot-ambiguous). Memory of the request.
 */
bool slot_name_find(struct request *request, const char *given, const char **ret_name) MUST_USE;

/* --- scope.c --- */

/* The ID of requests that name none: derived from the identity (C15). */
void application_id_default(const char *identity, unsigned char ret_id[APPLICATION_ID_LEN]);

/* Trace id of `traceparent` (W3C trace context), or a random one. */
void trace_id(struct gate_text traceparent, char ret_trace[TRACE_LEN + 1]);

/* Reads instance, application ID and deadline of the request. False: the answer says what is malformed. */
bool scope_read(struct request *request) MUST_USE;

/* The connection holds the lease of the request's instance from now on (C14). */
void scope_lease(struct request *request);
void scope_lease_end(struct connection *connection);

/*
 * Time for the worker to answer, in milliseconds; then it is ended, and with it whatever else its application does. So a
 * client can ask for more time than limits.sign_s, up to what its route may take, but not for less. A batch of signatures
 * gets a second more for each KiB of its body, up to limits.keygen_s. Called when the body has been read.
 */
uint64_t scope_deadline_ms(const struct request *request);

/* --- own.c --- */

void own_answer(struct request *request);

/* The connection's payload as the answer, in JSON. */
void answer_document(struct request *request, unsigned status);

/* --- application.c --- */

/* Answers the gateway's own routes that are about an application, a session or a token. */
void application_answer(struct request *request);

/* False: the rules want IDs that cannot be guessed, and the request's can. The slot must be known. */
bool application_admitted(struct request *request);

/* Gives the request the instance of a new session of REST; false: the answer is made. */
bool session_begin(struct request *request);

/* The worker has answered: if it has opened the session, its time begins. */
void session_opened(struct request *request);

/* Adds to a slot's document, which ends with '}', the rules that hold for the identity's logins (B1). */
void slot_login_append(struct request *request, struct buffer *document);

/* --- token_flags.c --- */

/* Adds what the guard makes of PINs to the flags of the tokens in an inventory's document. */
void token_flags_merge(struct request *request, struct buffer *document);

/* --- problem_page.c --- */

/* Appends the page (HTML) about a problem type of problems.def or returns.def; false, and nothing is written: there is none. */
bool problem_page_write(struct buffer *page, const char *type) MUST_USE;

/* --- idempotency.c --- */

/* Reads the Idempotency-Key of a request to a route that takes one. False: the answer says what is malformed. */
bool idempotency_read(struct request *request) MUST_USE;

/* Begins its use; journal_end is due. The request has a key and a slot. */
void idempotency_begin(struct request *request, struct journal_use *ret_use);

/* --- forward.c --- */

void forward_inventory(struct request *request);
void forward_worker(struct request *request);

/* --- record.c --- */

/* Writes the audit record of a refusal. The answer is already made; it becomes audit-unavailable if that fails. */
void record_refusal(struct request *request, const char *reason);

/*
 * Writes {"kind":kind,"action":action,name:number}; `action` and `name` may be NULL. False: the answer has been replaced by
 * result-withheld.
 */
bool record_action(
	struct request *request, const char *kind, const char *action, const char *name, uint64_t number) MUST_USE;

/* Writes the worker's events; false: the answer has been replaced by result-withheld. */
bool record_events(struct request *request, const struct bytes_list *events) MUST_USE;

/*
 * Writes that the worker took a request and never answered: whether a key was used is unknown. `reason` is static. False:
 * the answer has been replaced by result-withheld.
 */
bool record_outcome_unknown(struct request *request, const char *reason, uint64_t latency_us) MUST_USE;

/* Whether the audit log can be written; tries it if it failed last time. */
bool record_possible(struct request *request) MUST_USE;

#endif
