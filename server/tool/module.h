/*
 * The client module as a program uses it: loaded by path, its C_ and CA_ functions called.
 */
#ifndef P11GATE_TOOL_MODULE_H
#define P11GATE_TOOL_MODULE_H

#include <stdbool.h>

#include "api/cryptoki.h"
#include "client-module/include/p11gate/ca.h"

struct module {
	CK_FUNCTION_LIST *functions;
	__typeof__(CA_OpenApplicationIDV2) *hold, *close;
	__typeof__(CA_OpenSessionWithAppIDV2) *open_session;
};

/*
 * Loads and initialises the module at `path`; NULL: the one beside this program, else the installed one. False when that fails;
 * the reason has been said on standard error. The module's configuration is the client file.
 */
bool module_load(struct module *ret_module, const char *path) __attribute__((warn_unused_result));
void module_finalize(const struct module *module);

/* Says on standard error what a return value means for `what` ("holding demo open"). */
void module_failed(const char *what, CK_RV rv);

#endif
