#include "tests/unit/client-module/gateway.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/codec.h"
#include "tests/unit/client-module/certificates.h"
#include "tests/support/lib/scratch.h"

enum { REQUEST_MAX = 2 << 20, CONFIG_MAX = 2048, LISTEN_BACKLOG = 64, SETTLE_MS = 2000, PATH_LEN = 128 };

bool gateway_bytes(struct peer *peer, const void *data, size_t len)
{
	return len == 0 || SSL_write(peer->ssl, data, (int)len) == (int)len;
}

bool gateway_json(struct peer *peer, unsigned status, const char *body)
{
	char head[256];
	int len = snprintf(head, sizeof(head),
		"HTTP/1.1 %u x\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", status, strlen(body));
	return gateway_bytes(peer, head, (size_t)len) && gateway_bytes(peer, body, strlen(body));
}

bool gateway_result(struct peer *peer, const char *result)
{
	char *body = NULL;
	cr_assert_gt(asprintf(&body, "{\"groups\":[{\"results\":[%s]}]}", result), 0);
	bool sent = gateway_json(peer, 200, body);
	free(body);
	return sent;
}

bool gateway_asked_for_inventory(const char *request)
{
	return strncmp(request, "POST /v1/calls", 14) == 0;
}

static void gateway_pad(CK_UTF8CHAR *field, size_t size, const char *text)
{
	memset(field, ' ', size);
	memcpy(field, text, strlen(text));
}

static void gateway_write_token(struct json_writer *w, const struct gateway *gateway)
{
	CK_TOKEN_INFO info = {
		.flags = CKF_TOKEN_INITIALIZED | CKF_LOGIN_REQUIRED, .ulSessionCount = 77, .ulRwSessionCount = 66};
	gateway_pad(info.label, sizeof(info.label), gateway->token_label);
	gateway_pad(info.manufacturerID, sizeof(info.manufacturerID), "test");
	gateway_pad(info.model, sizeof(info.model), "test");
	gateway_pad(info.serialNumber, sizeof(info.serialNumber), "0001");
	gateway_pad(info.utcTime, sizeof(info.utcTime), "");
	info_encode(w, WIRE_TOKEN_INFO, &info);
}

static void gateway_write_mechanisms(struct json_writer *w)
{
	static const CK_MECHANISM_TYPE TYPES[] = {CKM_ECDSA, CKM_SHA256_HMAC, CKM_VENDOR_DEFINED + 5};
	json_begin_array(w);
	for (size_t i = 0; i < sizeof(TYPES) / sizeof(TYPES[0]); i++) {
		const CK_MECHANISM_INFO info = {
			.ulMinKeySize = 256, .ulMaxKeySize = 521, .flags = CKF_SIGN | CKF_VERIFY};
		json_begin_object(w);
		json_name(w, "mechanism");
		name_write(w, NAMES_MECHANISM, TYPES[i]);
		json_name(w, "info");
		info_encode(w, WIRE_MECHANISM_INFO, &info);
		json_end_object(w);
	}
	json_end_array(w);
}

static void gateway_write_slot(struct json_writer *w, const struct gateway *gateway)
{
	CK_SLOT_INFO info = {.flags = gateway->options.absent ? 0 : CKF_TOKEN_PRESENT};
	gateway_pad(info.slotDescription, sizeof(info.slotDescription), "a slot");
	gateway_pad(info.manufacturerID, sizeof(info.manufacturerID), "test");
	json_begin_object(w);
	json_name(w, "name");
	json_write_string(w, GATEWAY_SLOT);
	json_name(w, "id");
	json_write_uint(w, slot_id_of(GATEWAY_SLOT, strlen(GATEWAY_SLOT)));
	json_name(w, "slot_info");
	info_encode(w, WIRE_SLOT_INFO, &info);
	json_name(w, "token_info");
	if (gateway->options.absent) {
		json_write_null(w);
	} else {
		gateway_write_token(w, gateway);
	}
	json_name(w, "mechanisms");
	gateway_write_mechanisms(w);
	json_end_object(w);
}

bool gateway_inventory(struct peer *peer)
{
	BUFFER_AUTO struct buffer out;
	buffer_init(&out, 1 << 16);
	struct json_writer w;
	json_writer_init(&w, &out);
	json_begin_object(&w);
	json_name(&w, "generation");
	json_write_uint(&w, atomic_load(&peer->gateway->generation));
	json_name(&w, "slots");
	json_begin_array(&w);
	gateway_write_slot(&w, peer->gateway);
	json_end_array(&w);
	json_end_object(&w);
	buffer_byte(&out, '\0');
	return gateway_json(peer, 200, (const char *)out.data);
}

/* The name of the first call in a request. */
static bool gateway_called(const char *request, const char *name)
{
	const char *calls = strstr(request, "\"calls\":[{\"");
	return calls != NULL && strncmp(calls + strlen("\"calls\":[{\""), name, strlen(name)) == 0 &&
	       calls[strlen("\"calls\":[{\"") + strlen(name)] == '"';
}

bool gateway_normal(struct peer *peer, const char *request, size_t len)
{
	(void)len;
	if (gateway_asked_for_inventory(request)) {
		return gateway_inventory(peer);
	}
	if (gateway_called(request, "OpenSession")) {
		static atomic_uint sessions = 1000;
		char result[64];
		snprintf(result, sizeof(result), "{\"rv\":\"CKR_OK\",\"session\":%u}", atomic_fetch_add(&sessions, 1));
		return gateway_result(peer, result);
	}
	if (gateway_called(request, "GenerateRandom")) {
		return gateway_result(peer, "{\"rv\":\"CKR_OK\",\"random\":\"AQIDBA\"}");
	}
	if (gateway_called(request, "GetSessionInfo")) {
		return gateway_result(peer, "{\"rv\":\"CKR_OK\",\"info\":{\"slotID\":5,\"state\":\"CKS_RW_PUBLIC_"
					    "SESSION\",\"flags\":[\"RW_SESSION\"],\"ulDeviceError\":0}}");
	}
	if (gateway_called(request, "CloseSession") || gateway_called(request, "CloseAllSessions")) {
		return gateway_result(peer, "{\"rv\":\"CKR_OK\"}");
	}
	return gateway_result(peer, "{\"rv\":\"CKR_FUNCTION_NOT_SUPPORTED\"}");
}

/* Reads one request into `text`; 0 when the client has closed. */
static size_t gateway_read(struct peer *peer, char *text)
{
	size_t len = 0;
	for (;;) {
		int got = SSL_read(peer->ssl, text + len, (int)(REQUEST_MAX - 1 - len));
		if (got <= 0) {
			return 0;
		}
		len += (size_t)got;
		text[len] = '\0';
		const char *end = strstr(text, "\r\n\r\n");
		const char *length = end != NULL ? strstr(text, "Content-Length: ") : NULL;
		if (length != NULL &&
			len >= (size_t)(end + 4 - text) + strtoul(length + strlen("Content-Length: "), NULL, 10)) {
			return len;
		}
	}
}

static void *gateway_connection(void *context)
{
	struct peer *peer = context;
	struct gateway *gateway = peer->gateway;
	char *text = malloc(REQUEST_MAX);
	if (SSL_accept(peer->ssl) == 1) {
		atomic_fetch_add(&gateway->resumed, SSL_session_reused(peer->ssl) ? 1 : 0);
		size_t len;
		do {
			len = gateway_read(peer, text);
			peer->requests++;
			atomic_fetch_add(&gateway->requests, len > 0 ? 1 : 0);
		} while (len > 0 &&
			 (gateway->options.script != NULL ? gateway->options.script : gateway_normal)(peer, text, len));
		if ((SSL_get_shutdown(peer->ssl) & SSL_RECEIVED_SHUTDOWN) != 0) {
			atomic_store(&gateway->goodbye, true);
		}
	}
	if (peer->clean) {
		SSL_shutdown(peer->ssl);
	}
	free(text);
	SSL_free(peer->ssl);
	close(peer->fd);
	free(peer);
	OPENSSL_thread_stop();
	atomic_fetch_add(&gateway->closed, 1);
	return NULL;
}

static void *gateway_accept(void *context)
{
	struct gateway *gateway = context;
	for (;;) {
		int fd = accept(gateway->listener, NULL, NULL);
		if (fd < 0) {
			return NULL;
		}
		struct peer *peer = calloc(1, sizeof(*peer));
		*peer = (struct peer){.gateway = gateway,
			.ssl = SSL_new(gateway->context),
			.fd = fd,
			.number = atomic_fetch_add(&gateway->connections, 1) + 1};
		SSL_set_fd(peer->ssl, fd);
		pthread_t thread;
		cr_assert_eq(pthread_create(&thread, NULL, gateway_connection, peer), 0);
		pthread_detach(thread);
	}
}

static void gateway_listen(struct gateway *gateway)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	gateway->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(gateway->listener, (struct sockaddr *)&address, len), 0);
	cr_assert_eq(listen(gateway->listener, LISTEN_BACKLOG), 0);
	cr_assert_eq(getsockname(gateway->listener, (struct sockaddr *)&address, &len), 0);
	gateway->port = ntohs(address.sin_port);
}

void gateway_configure(struct gateway *gateway, const char *lines)
{
	char path[PATH_LEN], text[CONFIG_MAX];
	const char *host = gateway->options.host != NULL ? gateway->options.host : "localhost";
	const char *d = gateway->directory;
	if (lines != NULL) {
		snprintf(text, sizeof(text), "[Gateway]\n%s\n", lines);
	} else {
		snprintf(text, sizeof(text),
			"[Gateway]\nURL = https://%s:%u\nCA = %s/ca.crt\nCertificate = %s/client.crt\nKey = "
			"%s/client.key\n%s\n",
			host, gateway->port, d, d, d, gateway->options.extra != NULL ? gateway->options.extra : "");
	}
	snprintf(path, sizeof(path), "%s/client.conf", d);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(text, file);
	fclose(file);
	setenv("P11GATE_CONF", path, 1);
}

static struct gateway gateway_instance;

/* Lets the connections' threads end before OpenSSL is cleaned up under them. */
static void gateway_settle(void)
{
	for (int i = 0; i < SETTLE_MS &&
			atomic_load(&gateway_instance.closed) < (int)atomic_load(&gateway_instance.connections);
		i++) {
		poll(NULL, 0, 1);
	}
}

struct gateway *gateway_start(struct gateway_options options)
{
	struct gateway *gateway = &gateway_instance;
	char path[PATH_LEN];
	signal(SIGPIPE, SIG_IGN);
	gateway->options = options;
	atomic_store(&gateway->generation, 1);
	strcpy(gateway->token_label, "demo");
	scratch_directory(gateway->directory, sizeof(gateway->directory));
	char d[sizeof(gateway->directory)];
	strcpy(d, gateway->directory);
	certificate_authority(d, "ca");
	certificate_authority(d, "other");
	certificate_leaf(d, "gateway", options.foreign_authority ? "other" : "ca",
		options.names != NULL ? options.names : "DNS:localhost,IP:127.0.0.1", "serverAuth");
	certificate_leaf(d, "client", options.refuses_client ? "other" : "ca", "DNS:client", "clientAuth");
	gateway->context = SSL_CTX_new(TLS_server_method());
	SSL_CTX_set_verify(gateway->context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_session_id_context(gateway->context, (const unsigned char *)"test", 4);
	snprintf(path, sizeof(path), "%s/ca.crt", d);
	cr_assert_eq(SSL_CTX_load_verify_file(gateway->context, path), 1);
	snprintf(path, sizeof(path), "%s/gateway.crt", d);
	cr_assert_eq(SSL_CTX_use_certificate_file(gateway->context, path, SSL_FILETYPE_PEM), 1);
	snprintf(path, sizeof(path), "%s/gateway.key", d);
	cr_assert_eq(SSL_CTX_use_PrivateKey_file(gateway->context, path, SSL_FILETYPE_PEM), 1);
	gateway_listen(gateway);
	gateway_configure(gateway, NULL);
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, gateway_accept, gateway), 0);
	pthread_detach(thread);
	atexit(gateway_settle);
	return gateway;
}

static CK_RV client_start(CK_SLOT_ID *ret_slot)
{
	CK_ULONG count = 1;
	CK_RV rv = C_Initialize(NULL);
	if (rv == CKR_OK) {
		rv = C_GetSlotList(CK_FALSE, ret_slot, &count);
	}
	return rv == CKR_OK && count != 1 ? CKR_TOKEN_NOT_PRESENT : rv;
}

CK_RV gateway_client_open(CK_SESSION_HANDLE *ret_session)
{
	CK_SLOT_ID slot = 0;
	CK_RV rv = client_start(&slot);
	return rv == CKR_OK ? C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, ret_session) : rv;
}

CK_SLOT_ID gateway_client(void)
{
	CK_SLOT_ID slot = 0;
	CK_RV rv = client_start(&slot);
	cr_assert_eq(rv, CKR_OK, "0x%lx", rv);
	return slot;
}

CK_SESSION_HANDLE gateway_client_session(void)
{
	CK_SESSION_HANDLE session = 0;
	CK_RV rv = gateway_client_open(&session);
	cr_assert_eq(rv, CKR_OK, "0x%lx", rv);
	return session;
}
