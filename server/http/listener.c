/*
 * libmicrohttpd's daemon: start, stop, and its call-backs.
 */
#include "server/http/internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <gnutls/abstract.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/memory.h"

enum {
	CONNECTION_MEMORY = 8192, /* bytes of libmicrohttpd's pool: it sees stand-in heads, and writes answers' heads */
	THREAD_STACK = 256 << 10,
	THREAD_STACK_SANITIZED = 2 << 20,
	BACKLOG = 1024,
	LINGER_MS = 200, /* wait for a refused client to take the alert */
	STOP_PERIOD_MS = 20,
	KEEPALIVE_IDLE_S = 15,
	KEEPALIVE_INTERVAL_S = 5,
	KEEPALIVE_PROBES = 3,
	SEND_TIMEOUT_MS = 30000, /* unacknowledged data: the peer is gone */
	ANSWER_MAX = 4 << 20, /* bytes of an answer */
	CHAIN_BYTES_MAX = 64 << 10, /* of a client's certificates; GnuTLS takes no longer handshake messages */
};

/* --- one connection --- */

static void peer_text(struct connection *connection)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof address;
	char host[INET6_ADDRSTRLEN], port[8];
	if (getpeername(connection->fd, (struct sockaddr *)&address, &len) == 0 &&
		getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV) == 0)
		snprintf(connection->peer_text, sizeof connection->peer_text, strchr(host, ':') ? "[%s]:%s" : "%s:%s",
			host, port);
}

static void socket_options(int fd)
{
	static const struct {
		int level, name, value;
	} options[] = {
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
		{IPPROTO_TCP, TCP_USER_TIMEOUT, SEND_TIMEOUT_MS},
		{IPPROTO_TCP, TCP_NODELAY, 1},
	};
	for (size_t i = 0; i < sizeof options / sizeof *options; i++)
		(void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof options[i].value);
}

static void connection_free(struct connection *connection)
{
	scope_lease_end(connection);
	arena_done(&connection->arena);
	buffer_done(&connection->payload);
	buffer_done(&connection->body);
	buffer_done(&connection->input);
	buffer_done(&connection->chain);
	generation_release(connection->generation);
	free(connection);
}

static struct connection *connection_new(struct listener *listener, struct MHD_Connection *mhd)
{
	struct connection *connection = calloc(1, sizeof *connection);
	if (connection == NULL)
		return NULL;
	connection->listener = listener;
	connection->generation = listener_generation(listener);
	connection->mhd = mhd;
	connection->session = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
	connection->fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
	connection->verdict = GATE_MORE;
	arena_init(&connection->arena, 0);
	buffer_init(&connection->chain, CHAIN_BYTES_MAX);
	buffer_init(&connection->input, GATE_HEAD_MAX);
	buffer_init(&connection->body, LIMIT_BODY);
	buffer_init(&connection->payload, ANSWER_MAX);
	return connection;
}

/* Before the handshake. libmicrohttpd has no way to refuse here, so a connection that cannot be served loses its socket. */
static void connection_started(struct listener *listener, struct MHD_Connection *mhd, void **context)
{
	struct connection *connection = connection_new(listener, mhd);
	*context = connection;
	if (connection == NULL) {
		gnutls_session_set_ptr(
			MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session, NULL);
		shutdown(MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd, SHUT_RDWR);
		return;
	}
	gnutls_session_set_ptr(connection->session, connection);
	peer_text(connection);
	socket_options(connection->fd);
	counter_add(listener, COUNTER_CONNECTIONS);
	limits_add(connection);
	int error = tls_prepare(connection->generation, connection->session);
	if (error < 0) {
		log_event(LOG_LEVEL_ERROR, "connection cannot be served", "peer", connection->peer_text, "reason",
			gnutls_strerror(error), NULL);
		shutdown(connection->fd, SHUT_RDWR);
	}
}

static void on_connection(
	void *argument, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode code)
{
	if (code == MHD_CONNECTION_NOTIFY_STARTED) {
		connection_started(argument, mhd, context);
		return;
	}
	struct connection *connection = *context;
	if (connection == NULL)
		return;
	limits_remove(connection);
	share_leave(connection);
	connection_free(connection);
	*context = NULL;
}

static struct connection *connection_of(struct MHD_Connection *mhd)
{
	return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* The head here is the stand-in of input.c; everything that counts is in the connection. */
static enum MHD_Result on_request(void *argument, struct MHD_Connection *mhd, const char *url, const char *method,
	const char *version, const char *upload, size_t *upload_len, void **context)
{
	(void)argument, (void)url, (void)method, (void)version, (void)upload, (void)upload_len;
	struct connection *connection = connection_of(mhd);
	if (connection == NULL || connection->verdict == GATE_MORE)
		return MHD_NO;
	if (*context == connection)
		return dispatch(connection);
	/* An answer at the first of the two calls would end the connection. */
	*context = connection;
	return MHD_YES;
}

static void on_completed(
	void *argument, struct MHD_Connection *mhd, void **context, enum MHD_RequestTerminationCode code)
{
	(void)argument;
	struct connection *connection = connection_of(mhd);
	*context = NULL;
	if (connection != NULL)
		respond_done(connection, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

/* Lets the client read the alert: closing a socket with unread bytes would reset the connection under it. */
static void linger(int fd)
{
	char sink[512];
	shutdown(fd, SHUT_WR);
	int64_t end = clock_ms() + LINGER_MS;
	for (int64_t now = clock_ms(); now < end; now = clock_ms()) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (poll(&wait, 1, (int)(end - now)) <= 0 || recv(fd, sink, sizeof sink, MSG_DONTWAIT) <= 0)
			return;
	}
}

static void handshake_refused(struct connection *connection, int result)
{
	counter_add(connection->listener, COUNTER_HANDSHAKES_REFUSED);
	const char *reason = connection->refusal != NULL ? connection->refusal : gnutls_strerror(result);
	log_event(LOG_LEVEL_INFO, "handshake refused", "peer", connection->peer_text, "reason", reason, NULL);
	if (result == GNUTLS_E_PREMATURE_TERMINATION || result == GNUTLS_E_PULL_ERROR || result == GNUTLS_E_PUSH_ERROR)
		return;
	int sent = connection->refusal != NULL
			   ? gnutls_alert_send(connection->session, GNUTLS_AL_FATAL, connection->alert)
			   : gnutls_alert_send_appropriate(connection->session, result);
	if (sent == 0 && !atomic_load(&connection->shut))
		linger(connection->fd);
}

void connection_handshake_done(struct connection *connection, int result)
{
	/* The connection's own thread, before it reads a request. */
	memory_hide_stack();
	if (result != 0) {
		handshake_refused(connection, result);
		return;
	}
	/* Before others see the connection. */
	tls_chain_keep(connection->session, &connection->chain);
	limits_authenticated(connection);
	counter_add(connection->listener, COUNTER_HANDSHAKES);
	bool resumed = gnutls_session_is_resumed(connection->session) != 0;
	if (resumed)
		counter_add(connection->listener, COUNTER_HANDSHAKES_RESUMED);
	/* A resumed session has not been through the verification. */
	peer_identify(connection->generation, connection->session, !resumed, &connection->peer);
	share_enter(connection, connection->generation->config);
}

/* --- the daemon --- */

static void on_log(void *argument, const char *format, va_list arguments)
{
	char text[256];
	(void)argument;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(text, sizeof text, format, arguments);
#pragma GCC diagnostic pop
	log_event(LOG_LEVEL_DEBUG, "libmicrohttpd", "text", text, NULL);
}

/* Never called: every session has credentials of its own. libmicrohttpd does not start without a certificate or this. */
static int on_certificate(gnutls_session_t session, const struct gnutls_cert_retr_st *info,
	gnutls_pcert_st **certificates, unsigned *certificates_count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count,
	gnutls_privkey_t *key, unsigned *flags)
{
	(void)session, (void)info, (void)certificates, (void)certificates_count, (void)ocsp, (void)ocsp_count,
		(void)key, (void)flags;
	return -1;
}

static size_t on_unescape(void *argument, struct MHD_Connection *mhd, char *text)
{
	(void)argument, (void)mhd;
	return strlen(text);
}

static size_t thread_stack(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	return THREAD_STACK_SANITIZED;
#else
	return THREAD_STACK;
#endif
}

static struct MHD_Daemon *daemon_start(struct listener *listener, int fd)
{
	const struct config *config = listener->generation->config;
	unsigned flags = MHD_USE_TLS | MHD_USE_POLL_INTERNAL_THREAD | MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC |
			 MHD_USE_ERROR_LOG;
	return MHD_start_daemon(flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_HTTPS_CERT_CALLBACK2, on_certificate,
		MHD_OPTION_UNESCAPE_CALLBACK, on_unescape, NULL, MHD_OPTION_NOTIFY_CONNECTION, on_connection, listener,
		MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)CONNECTION_MEMORY, MHD_OPTION_THREAD_STACK_SIZE, thread_stack(), MHD_OPTION_CONNECTION_LIMIT,
		config->limits.connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT, config->limits.connections_per_ip,
		MHD_OPTION_CONNECTION_TIMEOUT, 0u, MHD_OPTION_END);
}

static enum status bind_failed(const struct config *config, int error, char *ret_error, size_t error_size)
{
	const char *advice = "";
	if (error == EADDRINUSE)
		advice = "; another program listens there: stop it, or choose another listen.port";
	else if (error == EACCES)
		advice = "; ports below 1024 need CAP_NET_BIND_SERVICE: choose another listen.port";
	else if (error == EADDRNOTAVAIL)
		advice = "; no interface of this host has that address: change listen.address";
	snprintf(ret_error, error_size, "cannot listen on %s:%u: %s%s", config->listen.address, config->listen.port,
		strerror(error), advice);
	return STATUS_IO;
}

static int socket_bound(const struct addrinfo *address)
{
	static const int on = 1, off = 0;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (address->ai_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
	if (bind(fd, address->ai_addr, address->ai_addrlen) == 0 && listen(fd, BACKLOG) == 0)
		return fd;
	int error = errno;
	close(fd);
	errno = error;
	return -1;
}

static uint16_t socket_port(int fd)
{
	union {
		struct sockaddr any;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} address;
	socklen_t len = sizeof address;
	memset(&address, 0, sizeof address);
	if (getsockname(fd, &address.any, &len) != 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port : address.v4.sin_port);
}

static enum status socket_listen(const struct config *config, int *ret_fd, char *ret_error, size_t error_size)
{
	char port[8];
	snprintf(port, sizeof port, "%u", config->listen.port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE},
			*address;
	if (getaddrinfo(config->listen.address, port, &hints, &address) != 0) {
		snprintf(ret_error, error_size, "listen.address %s is no IPv4 or IPv6 address", config->listen.address);
		return STATUS_MALFORMED;
	}
	*ret_fd = socket_bound(address);
	enum status status = *ret_fd < 0 ? bind_failed(config, errno, ret_error, error_size) : STATUS_OK;
	freeaddrinfo(address);
	return status;
}

static enum status daemon_open(struct listener *listener, char *ret_error, size_t error_size)
{
	int fd = -1;
	enum status status = socket_listen(listener->generation->config, &fd, ret_error, error_size);
	if (status != STATUS_OK)
		return status;
	listener->port = socket_port(fd);
	status = reaper_start(listener);
	if (status == STATUS_OK) {
		listener->daemon = daemon_start(listener, fd);
		if (listener->daemon != NULL)
			return STATUS_OK;
		reaper_stop(listener);
		status = STATUS_NO_MEMORY;
	}
	close(fd);
	snprintf(ret_error, error_size, "the HTTP server does not start: out of memory or threads");
	return status;
}

enum status listener_new(struct config *config, struct registry *registry, struct audit *audit, struct journal *journal,
	struct listener **ret_listener, char *ret_error, size_t error_size)
{
	struct listener *listener = calloc(1, sizeof *listener);
	if (listener == NULL) {
		snprintf(ret_error, error_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	listener->registry = registry;
	listener->audit = audit;
	listener->journal = journal;
	pthread_mutex_init(&listener->lock, NULL);
	atomic_init(&listener->generation_number, 1);
	enum status status = generation_new(config, 1, &listener->generation, ret_error, error_size);
	if (status == STATUS_OK)
		status = daemon_open(listener, ret_error, error_size);
	if (status == STATUS_OK) {
		*ret_listener = listener;
		return STATUS_OK;
	}
	generation_abandon(listener->generation);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
	return status;
}

uint16_t listener_port(const struct listener *listener)
{
	return listener->port;
}

struct listener_counts listener_counts(struct listener *listener)
{
	struct listener_counts counts;
	counts.requests = limits_count(listener, 1u << PHASE_WORKING | 1u << PHASE_WRITING);
	pthread_mutex_lock(&listener->lock);
	counts.unauthenticated = listener->unauthenticated.count;
	counts.connections = counts.unauthenticated + listener->authenticated.count;
	counts.generation = listener->generation->number;
	pthread_mutex_unlock(&listener->lock);
	return counts;
}

bool listener_stop(struct listener *listener, unsigned grace_ms)
{
	atomic_store(&listener->stopping, true);
	int fd = MHD_quiesce_daemon(listener->daemon);
	if (fd != MHD_INVALID_SOCKET)
		close(fd);
	int64_t end = clock_ms() + grace_ms;
	while (limits_shut_idle(listener) > 0) {
		if (clock_ms() >= end)
			return false;
		poll(NULL, 0, STOP_PERIOD_MS);
	}
	return true;
}

void listener_free(struct listener *listener)
{
	if (listener == NULL)
		return;
	MHD_stop_daemon(listener->daemon);
	reaper_stop(listener);
	generation_release(listener->generation);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}
