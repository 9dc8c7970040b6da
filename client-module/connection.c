#include "client-module/connection.h"

#include <errno.h>
#include <openssl/err.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

#include "api/secret.h"
#include "client-module/debug.h"

enum {
	RECORD_MAX = 16 << 10, /* plaintext bytes of a TLS record (RFC 8446, section 5.1) */
	REQUEST_MAX = HTTP_HEAD_MAX + LIMIT_BODY,
};

uint64_t connection_clock(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct connection *connection_new(struct sockets *sockets)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	if (connection == NULL) {
		return NULL;
	}
	connection->sockets = sockets;
	connection->socket.fd = -1;
	buffer_init(&connection->request, REQUEST_MAX);
	buffer_init(&connection->answer, HTTP_ANSWER_BODY_MAX);
	arena_init(&connection->arena, LIMIT_BODY_ARENA);
	return connection;
}

void connection_free(struct connection *connection)
{
	if (connection == NULL) {
		return;
	}
	connection_close(connection);
	buffer_done(&connection->request);
	buffer_done(&connection->answer);
	arena_done(&connection->arena);
	free(connection);
}

void connection_close(struct connection *connection)
{
	if (tls_usable()) {
		if (connection->ssl != NULL && SSL_is_init_finished(connection->ssl)) {
			ERR_set_mark();
			(void)SSL_shutdown(connection->ssl);
			ERR_pop_to_mark();
		}
		SSL_free(connection->ssl);
	}
	connection->ssl = NULL;
	if (connection->socket.fd >= 0) {
		sockets_close(connection->sockets, connection->socket.fd);
	}
	connection->socket.fd = -1;
}

enum io connection_wait(struct connection *connection, short events)
{
	for (;;) {
		if (sockets_stopped(connection->sockets, connection->waiting)) {
			return IO_STOPPED;
		}
		uint64_t now = connection_clock();
		if (now >= connection->deadline) {
			return IO_TIMEOUT;
		}
		struct pollfd ready = {.fd = connection->socket.fd, .events = events};
		uint64_t left = connection->deadline - now;
		int count = poll(&ready, 1, left > INT32_MAX ? INT32_MAX : (int)left);
		if (count > 0) {
			return sockets_stopped(connection->sockets, connection->waiting) ? IO_STOPPED : IO_OK;
		}
		if (count < 0 && errno != EINTR) {
			return IO_FAILED;
		}
	}
}

/* SSL_get_error is not asked, since it would take what the host program left in the thread's error queue for ours. */
enum io connection_blocked(struct connection *connection)
{
	if (connection->socket.would_block && SSL_want_read(connection->ssl)) {
		return connection_wait(connection, POLLIN);
	}
	if (connection->socket.would_block && SSL_want_write(connection->ssl)) {
		return connection_wait(connection, POLLOUT);
	}
	if (sockets_stopped(connection->sockets, connection->waiting)) {
		return IO_STOPPED;
	}
	return (SSL_get_shutdown(connection->ssl) & SSL_RECEIVED_SHUTDOWN) != 0 ? IO_CLOSED : IO_FAILED;
}

bool connection_alive(struct connection *connection)
{
	char byte;
	ssize_t got = recv(connection->socket.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0) {
		return errno == EAGAIN || errno == EWOULDBLOCK;
	}
	if (got == 0) {
		return false;
	}
	/* Session tickets may lie there; reading takes them in. Anything else, a close_notify above all, ends the connection. */
	connection->socket.would_block = false;
	ERR_set_mark();
	int result = SSL_peek(connection->ssl, &byte, 1);
	ERR_pop_to_mark();
	return result <= 0 && connection->socket.would_block && SSL_want_read(connection->ssl);
}

enum io connection_send(struct connection *connection, const void *data, size_t len)
{
	enum io io = IO_OK;
	ERR_set_mark();
	while (io == IO_OK) {
		size_t written;
		connection->socket.would_block = false;
		if (SSL_write_ex(connection->ssl, data, len, &written) == 1) {
			break;
		}
		io = connection_blocked(connection);
	}
	ERR_pop_to_mark();
	return io;
}

/* One record at a time into the parser. */
static enum io connection_read(struct connection *connection, struct http_answer *answer, bool *ret_any)
{
	unsigned char record[RECORD_MAX];
	size_t got = 0;
	connection->socket.would_block = false;
	if (SSL_read_ex(connection->ssl, record, sizeof(record), &got) != 1) {
		enum io io = connection_blocked(connection);
		return io == IO_CLOSED && http_answer_end(answer) ? IO_OK : io;
	}
	*ret_any = true;
	bool good = http_answer_read(answer, record, got);
	secret_wipe(record, got);
	return good ? IO_OK : IO_FAILED;
}

enum io connection_receive(struct connection *connection, struct http_answer *ret_answer, bool *ret_any)
{
	*ret_any = false;
	http_answer_init(ret_answer, &connection->answer);
	/* The answer takes longer than a system call: waiting first saves one that would find nothing. */
	enum io io = connection_wait(connection, POLLIN);
	ERR_set_mark();
	while (io == IO_OK && !ret_answer->complete) {
		io = connection_read(connection, ret_answer, ret_any);
		if (io == IO_OK && !ret_answer->complete && connection_clock() >= connection->deadline) {
			io = IO_TIMEOUT;
		}
	}
	ERR_pop_to_mark();
	if (io == IO_FAILED && *ret_any) {
		debug_line("the gateway's answer is not HTTP, or too large");
	}
	return io;
}
