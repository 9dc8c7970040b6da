/*
 * Choosing a media type by the Accept header (RFC 9110, section 12.5.1).
 */
#ifndef P11GATE_WORKER_RESOURCES_ACCEPT_H
#define P11GATE_WORKER_RESOURCES_ACCEPT_H

#include <stddef.h>

/*
 * The index of the offered type that the header likes best: highest q of the most specific range; the first of equals.
 * An empty header accepts everything. -1: none is acceptable.
 */
int accept_choose(const char *header, const char *const offers[], size_t count);

#endif
