/*
 * One connection to the gateway with the buffers of the exchange on it: used by one thread at a time and never
 * by the thread of another process.
 */
#ifndef P11GATE_CLIENT_MODULE_CONNECTION_H
#define P11GATE_CLIENT_MODULE_CONNECTION_H

#include <openssl/ssl.h>
#include <stdint.h>

#include "api/arena.h"
#include "api/buffer.h"
#include "client-module/config.h"
#include "client-module/http.h"
#include "client-module/sockets.h"
#include "client-module/tls.h"

struct connection {
	struct connection *next; /* in the pool */
	struct sockets *sockets;
	struct buffer request; /* HTTP_HEAD_MAX bytes of room, then the body */
	struct buffer answer; /* the answer's body */
	struct arena arena; /* of reading the answer */
	struct tls_socket socket; /* fd -1: not connected */
	SSL *ssl;
	bool waiting; /* the exchange waits for events, so C_Finalize ends it at once */
	bool given_up; /* nobody waits any more for the answer that is to come: of no use but as the lease of the sessions */
	uint64_t deadline; /* of what is being done: milliseconds of CLOCK_MONOTONIC */
};

/* How a step ended. */
enum io {
	IO_OK,
	IO_FAILED,
	IO_SHORT, /* this process lacks descriptors or memory, which says nothing of the gateway */
	IO_CLOSED,
	IO_TIMEOUT,
	IO_STOPPED,
};

/* Milliseconds of CLOCK_MONOTONIC. */
uint64_t connection_clock(void);

/* NULL when there is no memory. */
struct connection *connection_new(struct sockets *sockets) __attribute__((warn_unused_result));

/* Closes and frees; NULL is allowed. */
void connection_free(struct connection *connection);

/*
 * Connects within ConnectTimeout and shakes hands within Timeout. On failure the connection is closed and the reason went to debug_line.
 */
enum io connection_open(struct connection *connection, struct tls *tls, const struct client_config *config)
	__attribute__((warn_unused_result));

/* Says goodbye (close_notify) and closes; harmless when not connected. */
void connection_close(struct connection *connection);

/* True if the open connection can still carry a request: the gateway has not closed it, nor sent what nobody asked for. */
bool connection_alive(struct connection *connection);

/* Sends `len` bytes. Anything but IO_OK means that the gateway cannot have the whole of it. */
enum io connection_send(struct connection *connection, const void *data, size_t len)
	__attribute__((warn_unused_result));

/*
 * Reads one answer into `connection->answer`. *ret_any tells whether any byte of it came. IO_FAILED also for what is no
 * answer. When it says IO_OK and the answer is not reusable, the caller closes the connection.
 */
enum io connection_receive(struct connection *connection, struct http_answer *ret_answer, bool *ret_any)
	__attribute__((warn_unused_result));

/* For connect.c and connection.c: waits until the socket is ready for poll's `events`, the deadline passes, or C_Finalize interrupts. */
enum io connection_wait(struct connection *connection, short events);

/*
 * For connect.c and connection.c: after a step of OpenSSL did not succeed, waits for what it wants (IO_OK: take the step again)
 * or says how it ended.
 */
enum io connection_blocked(struct connection *connection);

#endif
