/*
 * A gateway made up for a test: a TLS server in this process that answers as its script says, and a client configuration
 * that leads to it.
 */
#ifndef TESTS_CLIENT_MODULE_GATEWAY_H
#define TESTS_CLIENT_MODULE_GATEWAY_H

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "api/cryptoki.h"

struct gateway;

/* One connection to the gateway, on a thread of its own. */
struct peer {
	struct gateway *gateway;
	SSL *ssl;
	int fd;
	unsigned number; /* of the connection, from 1 */
	unsigned requests; /* received on it, this one included */
	bool clean; /* say close_notify at the end */
};

/* Answers one request, NUL-terminated behind `len`; false ends the connection. */
typedef bool (*gateway_script)(struct peer *peer, const char *request, size_t len);

struct gateway_options {
	gateway_script script; /* NULL: gateway_normal */
	void *context; /* for the script */
	const char *names; /* subjectAltName; NULL: localhost and 127.0.0.1 */
	const char *host; /* in the client's URL; NULL: localhost */
	const char *extra; /* lines for the client's [Gateway] section; NULL: none */
	bool foreign_authority; /* its certificate is of an authority that the client does not know */
	bool refuses_client; /* it does not know the authority of the client's certificate */
	bool absent; /* the slot has no token */
};

struct gateway {
	struct gateway_options options;
	char directory[64];
	int listener;
	unsigned port;
	SSL_CTX *context;
	atomic_uint connections, resumed, requests;
	atomic_int closed; /* connections that ended */
	atomic_bool goodbye; /* a connection ended with close_notify */
	char token_label[32]; /* of the slot's token; change it to cause an event */
	atomic_uint generation;
};

/* The slot that gateway_normal shows. */
#define GATEWAY_SLOT "demo"

/* Starts it and points P11GATE_CONF to its client configuration. It lives as long as the test's process. */
struct gateway *gateway_start(struct gateway_options options);

/* Writes the client configuration again, with `lines` as its whole [Gateway] section if it is not NULL. */
void gateway_configure(struct gateway *gateway, const char *lines);

/* Answers as a gateway does: one slot, sessions, random numbers, and CKR_FUNCTION_NOT_SUPPORTED for everything else. */
bool gateway_normal(struct peer *peer, const char *request, size_t len);

/* For scripts: the inventory; an answer with status 200 and a JSON body; the result of the one call of a request; bytes as they are. */
bool gateway_inventory(struct peer *peer);
bool gateway_json(struct peer *peer, unsigned status, const char *body);
bool gateway_result(struct peer *peer, const char *result);
bool gateway_bytes(struct peer *peer, const void *data, size_t len);

/* True if the request is for the inventory. */
bool gateway_asked_for_inventory(const char *request);

/* Initialises the module and returns the gateway's only slot. */
CK_SLOT_ID gateway_client(void);

/* As gateway_client, and a session on the slot. */
CK_SESSION_HANDLE gateway_client_session(void);

/* The same for a forked child, which must not assert: the first error of the module's functions. */
CK_RV gateway_client_open(CK_SESSION_HANDLE *ret_session);

#endif
