/*
 * TLS towards the gateway, apart from whatever the host program does with OpenSSL: a library context of its own with the
 * default provider, no configuration file, the error queue left as it was.
 */
#ifndef P11GATE_CLIENT_MODULE_TLS_H
#define P11GATE_CLIENT_MODULE_TLS_H

#include <openssl/ssl.h>
#include <stdbool.h>

#include "client-module/config.h"
#include "client-module/lock.h"

struct tls;

/* The socket under a TLS connection, as its reads and writes left it. */
struct tls_socket {
	int fd; /* non-blocking; -1: none */
	bool would_block; /* the socket was not ready when OpenSSL asked; the caller clears it before each step */
	int alert; /* fatal alert received (RFC 8446, section 6), or -1 */
};

/*
 * Loads what `config` names; it and `how` must outlive the result. CKR_ARGUMENTS_BAD when a file cannot be read, the key is
 * encrypted, or key and certificate do not match; CKR_HOST_MEMORY.
 */
CK_RV tls_new(const struct client_config *config, const struct locking *how, struct tls **ret_tls)
	__attribute__((warn_unused_result));

/* NULL is allowed. Does nothing when OpenSSL itself is already shut down, at the end of the process. */
void tls_free(struct tls *tls);

/*
 * A client handshake to come: TLS 1.3, our certificate, the gateway's name or address checked, the last session offered for
 * resumption. Reads and writes `socket`, which must outlive it, without ever raising SIGPIPE. NULL when there is no memory.
 */
SSL *tls_connection(struct tls *tls, struct tls_socket *socket) __attribute__((warn_unused_result));

/* False once OpenSSL has been shut down by exit(): nothing of it may be called then. */
bool tls_usable(void);

#endif
