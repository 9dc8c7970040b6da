/*
 * A TLS client for tests that sends exactly the bytes it is given, and reads what comes.
 */
#ifndef P11GATE_TESTS_TLS_CLIENT_H
#define P11GATE_TESTS_TLS_CLIENT_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TLS_CLIENT_ANSWER_MAX = 2 << 20 }; /* bytes of an answer */

struct tls_client {
	SSL_CTX *context;
	SSL *ssl;
	int fd;
	int alert; /* description of the last alert received; -1: none */
	unsigned records; /* application data records received since the test set it to 0 */
};

/* Which files to use; certificate and key may be NULL, session NULL for a full handshake. */
struct tls_client_files {
	const char *ca, *certificate, *key;
	SSL_SESSION *session;
	int version;
};

/*
 * Connects to 127.0.0.1 and shakes hands. False if that fails. In TLS 1.3 the server's refusal of a certificate comes
 * later, when something is read.
 */
bool tls_client_open(struct tls_client *client, uint16_t port, const struct tls_client_files *files);

/* The TCP connection alone. */
bool tls_client_connect(struct tls_client *client, uint16_t port);
void tls_client_close(struct tls_client *client);

/* Sends `len` bytes as one record. False if the connection is gone. */
bool tls_client_send(struct tls_client *client, const void *data, size_t len);

/*
 * Reads one HTTP answer (head and Content-Length bytes) into `answer`, NUL-terminated, waiting at most `wait_ms`. Its length; 0 if the
 * connection ended or the time passed before it was complete.
 */
size_t tls_client_answer(struct tls_client *client, char *answer, size_t size, int wait_ms);

/* True if the server ends the connection within `wait_ms` without sending more application data. */
bool tls_client_ended(struct tls_client *client, int wait_ms);

#endif
