#include "tests/support/lib/tls_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void on_info(const SSL *ssl, int where, int value)
{
	struct tls_client *client = SSL_get_app_data(ssl);
	if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL)
		client->alert = value & 0xff;
}

static void on_message(int written, int version, int type, const void *data, size_t len, SSL *ssl, void *argument)
{
	(void)version, (void)data, (void)len, (void)ssl;
	struct tls_client *client = argument;
	if (!written && type == SSL3_RT_HEADER && len > 0 && *(const unsigned char *)data == SSL3_RT_APPLICATION_DATA)
		client->records++;
}

bool tls_client_connect(struct tls_client *client, uint16_t port)
{
	static const int one = 1;
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	memset(client, 0, sizeof *client);
	client->alert = -1;
	client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (client->fd < 0)
		return false;
	setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return connect(client->fd, (const struct sockaddr *)&address, sizeof address) == 0;
}

bool tls_client_open(struct tls_client *client, uint16_t port, const struct tls_client_files *files)
{
	bool connected = tls_client_connect(client, port);
	client->context = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_verify(client->context, SSL_VERIFY_PEER, NULL);
	if (files->version != 0)
		SSL_CTX_set_max_proto_version(client->context, files->version);
	if (!connected || SSL_CTX_load_verify_locations(client->context, files->ca, NULL) != 1)
		return false;
	if (files->certificate != NULL &&
		(SSL_CTX_use_certificate_chain_file(client->context, files->certificate) != 1 ||
			SSL_CTX_use_PrivateKey_file(client->context, files->key, SSL_FILETYPE_PEM) != 1))
		return false;
	client->ssl = SSL_new(client->context);
	SSL_set_app_data(client->ssl, client);
	SSL_set_info_callback(client->ssl, on_info);
	SSL_set_msg_callback(client->ssl, on_message);
	SSL_set_msg_callback_arg(client->ssl, client);
	if (files->session != NULL)
		SSL_set_session(client->ssl, files->session);
	SSL_set_fd(client->ssl, client->fd);
	return SSL_connect(client->ssl) == 1;
}

void tls_client_close(struct tls_client *client)
{
	/* A connection that was not shut down leaves a session that cannot be resumed. */
	if (client->ssl != NULL && SSL_is_init_finished(client->ssl))
		(void)SSL_shutdown(client->ssl);
	SSL_free(client->ssl);
	SSL_CTX_free(client->context);
	if (client->fd >= 0)
		close(client->fd);
	client->fd = -1;
}

bool tls_client_send(struct tls_client *client, const void *data, size_t len)
{
	return len == 0 || SSL_write(client->ssl, data, (int)len) == (int)len;
}

/* Reads once; 0 at the end or when the time is over. */
static size_t receive(struct tls_client *client, char *data, size_t size, int64_t end_ms)
{
	while (SSL_pending(client->ssl) == 0) {
		struct pollfd wait = {.fd = client->fd, .events = POLLIN};
		int64_t left = end_ms - now_ms();
		if (left <= 0 || poll(&wait, 1, (int)left) <= 0)
			return 0;
		/* A ticket makes the socket readable too: then there is no application data yet, and SSL_peek would block. */
		char byte;
		int flags = SSL_get_mode(client->ssl);
		SSL_clear_mode(client->ssl, SSL_MODE_AUTO_RETRY);
		int got = SSL_peek(client->ssl, &byte, 1);
		SSL_set_mode(client->ssl, flags);
		if (got <= 0 && SSL_get_error(client->ssl, got) != SSL_ERROR_WANT_READ)
			return 0;
	}
	int got = SSL_read(client->ssl, data, (int)size);
	return got > 0 ? (size_t)got : 0;
}

static bool complete(const char *answer, size_t len)
{
	const char *end = strstr(answer, "\r\n\r\n");
	if (end == NULL)
		return false;
	const char *length = strcasestr(answer, "\r\nContent-Length:");
	size_t head = (size_t)(end - answer) + 4;
	if (length == NULL || length > end)
		return true;
	return len >= head + strtoul(length + 17, NULL, 10);
}

size_t tls_client_answer(struct tls_client *client, char *answer, size_t size, int wait_ms)
{
	int64_t end = now_ms() + wait_ms;
	size_t len = 0;
	while (len + 1 < size) {
		size_t got = receive(client, answer + len, size - 1 - len, end);
		if (got == 0)
			break;
		len += got;
		answer[len] = '\0';
		if (complete(answer, len))
			return len;
	}
	answer[len] = '\0';
	return 0;
}

bool tls_client_ended(struct tls_client *client, int wait_ms)
{
	char byte;
	int64_t end = now_ms() + wait_ms;
	return receive(client, &byte, 1, end) == 0 && now_ms() < end;
}
