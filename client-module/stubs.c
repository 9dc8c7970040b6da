/* C_… of every row of calls.def that runs in the application's worker. */
#include "client-module/call.h"
#include "client-module/export.h"

#define STUB_INVENTORY(...)
#define STUB_MODULE(function, ...) \
	EXPORT CK_RV C_##function(EACH(PARAM, __VA_ARGS__)) \
	{ \
		const union wire_value values[] = {EACH(VALUE, __VA_ARGS__)}; \
		return client_call(CALL_##function, values); \
	}
#define CALL(function, place, permission, audit, operation, step, ...) STUB_##place(function, __VA_ARGS__)
#include "api/calls.def"
