/*
 * A listener in the test's own process, with a registry, an audit log and certificates of its own in a new directory.
 *
 * The slots' module does not exist, so no worker ever starts, except with fixture_with_workers: what is tested here is
 * answered before one is needed.
 */
#ifndef P11GATE_TESTS_HTTP_FIXTURE_H
#define P11GATE_TESTS_HTTP_FIXTURE_H

#include "server/audit/audit.h"
#include "server/http/listener.h"
#include "tests/support/lib/pki.h"
#include "tests/support/lib/tls_client.h"

struct fixture {
	char directory[64], worker_program[256];
	const char *alice, *bob; /* whose certificates these identities have from the next configuration on */
	struct pki *pki, *foreign;
	struct audit *audit;
	struct journal *journal;
	struct registry *registry;
	struct listener *listener;
	uint16_t port;
};

/*
 * Identities and what they may do: alice (all on demo), reader (read on demo), bob (all on other), twin-one and twin-two (the
 * same certificate). Certificates of those names; stranger has none of these identities. `limits` and `tls` are lines of YAML
 * for those sections, indented by two blanks, or "".
 */
struct fixture *fixture_new(const char *limits, const char *tls);

/* The same with workers that do what a request's query tells them (tests/support/test_worker_main.c). */
struct fixture *fixture_with_workers(const char *limits);
void fixture_free(struct fixture *fixture);

/* Writes the configuration anew with other lines and reloads it. */
enum status fixture_reload(struct fixture *fixture, const char *limits, const char *tls);

/* A connection with the certificate `name` of the fixture's directory; NULL: without. The test fails if the handshake does. */
struct tls_client *fixture_connect(struct fixture *fixture, const char *name);

/* As fixture_connect; false if the handshake is refused, then or by the first read. The caller closes and frees in both cases. */
bool fixture_try(
	struct fixture *fixture, const char *name, const struct tls_client_files *more, struct tls_client **ret_client);
void fixture_disconnect(struct tls_client *client);

/* Sends the bytes and reads the answer into static memory; NULL if there was none. To HEAD it is all that comes within a moment. */
const char *fixture_exchange(struct tls_client *client, const void *bytes, size_t len);
const char *fixture_ask(struct tls_client *client, const char *request);

/* GET of a path by a new connection with that certificate. */
const char *fixture_get(struct fixture *fixture, const char *name, const char *path);

/* Status of an answer, 0 for NULL. */
unsigned answer_status(const char *answer);

/* Whether the answer has `text` anywhere. */
bool answer_has(const char *answer, const char *text);

/* Lines of the audit log that have `text`. */
unsigned audit_lines(struct fixture *fixture, const char *text);

#endif
