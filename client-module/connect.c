#include "client-module/connection.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client-module/debug.h"

/* Dead peers and networks (security: every call ends by its deadline; an idle connection is the instance's lease). */
enum {
	USER_TIMEOUT_MS = 5000, /* unacknowledged data */
	KEEPALIVE_INTERVAL_S = 5, /* while no probe is answered; before the first the configuration's Heartbeat */
	KEEPALIVE_PROBES = 3,
};

static void connect_option(int fd, int level, int option, int value)
{
	/* A kernel without the option serves all the same. */
	(void)setsockopt(fd, level, option, &value, sizeof(value));
}

static void connect_options(int fd, const struct client_config *config)
{
	connect_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	connect_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
	connect_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	connect_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, (int)config->heartbeat_s);
	connect_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
	connect_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES);
}

static enum io connect_failed(int error)
{
	bool lacks = error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
	return lacks ? IO_SHORT : IO_FAILED;
}

/* One TCP connection to `address`. On failure nothing is open. */
static enum io connect_address(struct connection *connection, const struct client_config *config,
	const struct addrinfo *address, int *ret_error)
{
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0) {
		*ret_error = errno;
		return connect_failed(*ret_error);
	}
	if (!sockets_add(connection->sockets, fd)) {
		close(fd);
		*ret_error = EMFILE;
		return connect_failed(*ret_error);
	}
	connection->socket.fd = fd;
	if (connection->waiting) {
		sockets_mark(connection->sockets, fd, true);
	}
	connect_options(fd, config);
	int error = connect(fd, address->ai_addr, address->ai_addrlen) == 0 ? 0 : errno;
	enum io io = error == 0 || error == EINPROGRESS || error == EINTR ? connection_wait(connection, POLLOUT)
									  : IO_FAILED;
	/* A process that was not run for a while finds its time over and the connection made. */
	if (io == IO_TIMEOUT && poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 0) > 0) {
		io = IO_OK;
	}
	if (io == IO_OK) {
		socklen_t len = sizeof(error);
		(void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
		io = error == 0 ? IO_OK : IO_FAILED;
	}
	if (io != IO_OK) {
		*ret_error = io == IO_TIMEOUT ? ETIMEDOUT : error;
		connection_close(connection);
	}
	return io;
}

/* Tries the addresses in turn; each gets its share of what is left of the time. */
static enum io connect_any(struct connection *connection, const struct client_config *config,
	const struct addrinfo *addresses, int *ret_error)
{
	uint64_t deadline = connection->deadline;
	unsigned left = 0;
	for (const struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
		left++;
	}
	enum io io = IO_FAILED;
	for (const struct addrinfo *address = addresses; address != NULL && io != IO_OK && io != IO_STOPPED;
		address = address->ai_next) {
		uint64_t now = connection_clock();
		connection->deadline = now < deadline ? now + (deadline - now) / left : now;
		left--;
		io = connect_address(connection, config, address, ret_error);
	}
	connection->deadline = deadline;
	return io;
}

static enum io connect_handshake(struct connection *connection, struct tls *tls, const struct client_config *config)
{
	connection->socket.alert = -1;
	connection->ssl = tls_connection(tls, &connection->socket);
	if (connection->ssl == NULL) {
		debug_line("out of memory");
		return IO_SHORT;
	}
	enum io io = IO_OK;
	bool done = false;
	while (io == IO_OK && !done) {
		connection->socket.would_block = false;
		done = SSL_do_handshake(connection->ssl) == 1;
		io = done ? IO_OK : connection_blocked(connection);
	}
	if (io == IO_OK) {
		return IO_OK;
	}
	long verified = SSL_get_verify_result(connection->ssl);
	unsigned long error = ERR_peek_last_error();
	const char *why = verified != X509_V_OK ? X509_verify_cert_error_string(verified)
			  : io == IO_TIMEOUT    ? "timed out"
			  : error != 0 && ERR_reason_error_string(error) != NULL ? ERR_reason_error_string(error)
										 : "closed";
	debug_line("TLS handshake with %s: %s", config->authority, why);
	return io;
}

enum io connection_open(struct connection *connection, struct tls *tls, const struct client_config *config)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *addresses = NULL;
	int result = getaddrinfo(config->host, config->port, &hints, &addresses);
	if (result != 0) {
		debug_line("%s: %s", config->host, gai_strerror(result));
		return IO_FAILED;
	}
	int error = 0;
	connection->deadline = connection_clock() + config->connect_timeout_s * 1000;
	enum io io = connect_any(connection, config, addresses, &error);
	freeaddrinfo(addresses);
	if (io != IO_OK) {
		debug_line("connect to %s port %s: %s", config->host, config->port,
			io == IO_STOPPED ? "C_Finalize" : strerrordesc_np(error));
		return io;
	}
	/* A gateway that is there and busy, with hundreds of programs starting at once, gets the time of a call. */
	connection->deadline = connection_clock() + config->timeout_s * 1000;
	ERR_set_mark();
	io = connect_handshake(connection, tls, config);
	ERR_pop_to_mark();
	if (io != IO_OK) {
		connection_close(connection);
	}
	return io;
}
