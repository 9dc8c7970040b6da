/*
 * The administration socket: one line to the gateway, one line back, then the connection ends.
 *
 * A UNIX socket with mode 0600, so that only the gateway's own user and root can use it; a child of the gateway, which is a
 * worker, is refused although it may be that user. One thread at a time.
 */
#ifndef P11GATE_HTTP_ADMIN_H
#define P11GATE_HTTP_ADMIN_H

#include <stddef.h>

#include "server/common/status.h"

enum { ADMIN_ANSWER_MAX = 64 << 10 }; /* bytes of an answer with its NUL */

struct admin;

/* Makes the socket `path`. One left by a gateway that died is replaced; STATUS_BUSY if a living one answers there. */
enum status admin_new(const char *path, struct admin **ret_admin, char *ret_error, size_t error_size) MUST_USE;

/* Removes the socket. NULL is allowed. */
void admin_free(struct admin *admin);

/* Readable when somebody has connected. */
int admin_fd(const struct admin *admin);

/*
 * Serves one connection: `command` gets the line without its end and writes a line without its end, "ok …" or "error …", to
 * `ret_answer` of ADMIN_ANSWER_MAX bytes. A client that sends no line within two seconds is dropped; one that may not
 * administer gets "error …" without `command` being called.
 */
void admin_serve(
	struct admin *admin, void (*command)(void *context, const char *line, char *ret_answer), void *context);

#endif
