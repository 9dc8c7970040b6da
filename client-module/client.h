/*
 * Everything that lives from C_Initialize to C_Finalize.
 */
#ifndef P11GATE_CLIENT_MODULE_CLIENT_H
#define P11GATE_CLIENT_MODULE_CLIENT_H

#include <stdatomic.h>

#include "client-module/application.h"
#include "client-module/config.h"
#include "client-module/pool.h"
#include "client-module/session.h"
#include "client-module/slots.h"
#include "client-module/tls.h"

enum { CLIENT_HEADERS_MAX = 1024 };

struct client {
	struct locking locking;
	struct client_config config;
	struct tls *tls; /* NULL: no gateway is configured; then there are no slots and no connections */
	struct pool pool;
	struct slots slots;
	struct sessions sessions;
	CK_APPLICATION_ID application; /* the default of this process (requirement C2) */
	unsigned char instance[INSTANCE_ID_LEN]; /* requirement X11 */
	char headers[CLIENT_HEADERS_MAX]; /* the header lines that every request has */

	/* For state.c */
	uint64_t generation;
	atomic_uint stragglers; /* calls that were still inside when C_Finalize could not wait longer */
	struct client *inherited; /* the parent's, after a fork: let go of, but never freed */
};

/* Reads the configuration and prepares; no network. CKR_ARGUMENTS_BAD (requirement F), CKR_HOST_MEMORY, or what a function of `locking` returned. */
CK_RV client_new(const struct locking *locking, struct client **ret_client) __attribute__((warn_unused_result));

/* The ID under which a session is opened now: what the program chose, else the default. Any thread. */
CK_APPLICATION_ID client_application(const struct client *client);

/* No call may be inside. */
void client_free(struct client *client);

#endif
