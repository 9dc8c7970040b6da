/*
 * The TLS listener: accepts connections, authenticates clients by certificate, answers requests.
 *
 * Each connection has a thread that waits for its worker; listener_… functions may be called from any thread but
 * listener_new and listener_free, which belong to the same one.
 */
#ifndef P11GATE_HTTP_LISTENER_H
#define P11GATE_HTTP_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/app/registry.h"
#include "server/audit/audit.h"
#include "server/config/config.h"
#include "server/common/status.h"
#include "server/store/journal.h"

struct listener;

/*
 * Listens on config->listen and answers from then on. Takes over `config` on success; `registry`, `audit` and `journal`
 * must outlive the listener. `ret_error` holds one sentence on failure: which address or file, and what to do.
 */
enum status listener_new(struct config *config, struct registry *registry, struct audit *audit, struct journal *journal,
	struct listener **ret_listener, char *ret_error, size_t error_size) MUST_USE;

/* The port that is listened on, in host order: useful when the configuration says 0. */
uint16_t listener_port(const struct listener *listener);

/*
 * Swaps in a new configuration with its certificates, for the registry too: requests that began before finish under the old one, later ones
 * and new connections use the new one. Takes over `config` on success; on failure the old one stays and `ret_error` says why.
 * The listening address does not change.
 */
enum status listener_reload(
	struct listener *listener, struct config *config, char *ret_error, size_t error_size) MUST_USE;

struct listener_counts {
	unsigned connections, unauthenticated;
	unsigned requests; /* that have arrived whole and are being answered */
	uint64_t generation;
};

/* Open connections, those of them before the end of the handshake, requests being answered, and number of configurations so far. */
struct listener_counts listener_counts(struct listener *listener);

/*
 * Accepts nothing more, closes idle connections, and waits up to `grace_ms` for the requests in flight. True when none is
 * left: then listener_free returns at once. False: do not free, the threads still wait for their workers.
 */
bool listener_stop(struct listener *listener, unsigned grace_ms) MUST_USE;

/* Ends all connections and frees, after listener_stop. NULL is allowed. */
void listener_free(struct listener *listener);

#endif
