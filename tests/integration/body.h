/*
 * Requests with a PIN in a body of any size, cut into TLS records anywhere, over a connection that stays open.
 */
#ifndef P11GATE_TESTS_INTEGRATION_BODY_H
#define P11GATE_TESTS_INTEGRATION_BODY_H

#include "tests/integration/fixture.h"
#include "tests/support/lib/tls_client.h"

struct body_case {
	size_t padding; /* blanks */
	bool before; /* the PIN comes first, the padding behind it */
	unsigned cuts; /* into how many further records the request is cut */
};

/* Bodies of 30 bytes, 600, 6 KB, 18 KB and more, whole and cut. */
enum { BODY_CASES = 12 };
extern const struct body_case body_cases[BODY_CASES];

struct tls_client connect_as_alice(const struct gateway *g);

/* A POST request whose body has the JSON members `inside`. The caller frees it. */
char *padded_request(const struct gateway *g, const char *path, const char *inside, const struct body_case *c);

/* Sends it in pieces; one of the cuts is in the middle of the PIN. */
void send_cut(struct tls_client *client, const char *text, const char *pin, unsigned cuts);

/* Sends it and waits for the answer: its HTTP status. */
long exchange(struct tls_client *client, const char *text, const char *pin, unsigned cuts);

#endif
