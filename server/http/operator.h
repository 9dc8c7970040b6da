/*
 * What operators ask a running gateway through the administration socket, beside its own life: applications and the guard.
 */
#ifndef P11GATE_HTTP_OPERATOR_H
#define P11GATE_HTTP_OPERATOR_H

#include <stdbool.h>
#include <stddef.h>

#include "server/app/registry.h"
#include "server/audit/audit.h"

/*
 * Carries out "app list", "guard list" and "guard reset IDENTITY SLOT" ("*" is every one). The answer is one line, "ok " and
 * rows of name=value separated by ';', or "error …"; rows that do not fit are counted in the last one. A reset leaves an audit
 * record, without which it is not done. False: the line is another command.
 */
bool operator_command(struct registry *registry, struct audit *audit, const char *line, char *ret_answer, size_t size);

#endif
