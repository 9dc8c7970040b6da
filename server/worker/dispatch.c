#include "server/worker/internal.h"

#include "api/route.h"

typedef void (*handler)(struct request *request);

/* The rows that an application's worker serves. */
static const handler handlers[ROUTE_COUNT] = {
#define DISPATCH_GATEWAY(name)
#define DISPATCH_INVENTORY(name)
#define DISPATCH_WORKER(name) [ROUTE_##name] = resource_##name,
#define DISPATCH_WORKER_ONCE(name) DISPATCH_WORKER(name)
#define ROUTE(name, method, path, permission, server, ...) DISPATCH_##server(name)
#include "api/routes.def"
};

static void reply_unknown(struct request *request)
{
	reply_problem(request, PROBLEM_NOT_FOUND, NULL, NULL);
}

/* What the route has to wait for before it holds the module. */
static CK_RV turns_begin(struct request *request, unsigned permissions)
{
	CK_RV rv = one_use_begin_route(request, permissions);

	/* Where a key is used for it, its PIN comes first (object_making_begin). */
	bool makes = (permissions & PERMISSIONS_WRITE) != 0 && (permissions & PERMISSIONS_USE) == 0;
	return rv == CKR_OK && makes ? making_begin(request, true) : rv;
}

/* A resource route: module handles are good while it runs, and the application counts as used. */
static void run_resource(struct request *request, handler run)
{
	struct worker *worker = request->worker;

	atomic_fetch_add(&worker->login.resources, 1);
	atomic_store(&worker->login.used_ms, (uint64_t)clock_ms());
	CK_RV rv = turns_begin(request, route_row(request->message->route)->permissions);
	if (rv == CKR_OK) {
		module_share(request);
		run(request);
		module_unshare(request);
	} else {
		reply_return(request, rv,
			rv == CKR_USER_NOT_LOGGED_IN
				? "The application was logged out."
				: "Another program or another request has the token or the login; try again.");
	}
	(void)!turns_end(request);
	atomic_fetch_sub(&worker->login.resources, 1);
	/* An event that is lost here is told by the reply. */
	(void)!login_rest(worker, request, login_keep_end(worker));
}

void dispatch(struct request *request)
{
	uint32_t route = request->message->route;
	bool inventory = request->worker->start.role == ROLE_INVENTORY;

	reply_token_answer(NULL);
	if (inventory && route == ROUTE_inventory)
		inventory_run(request);
	else if (inventory || route >= ROUTE_COUNT || !handlers[route])
		reply_unknown(request);
	else if (route == ROUTE_calls)
		resource_calls(request);
	else
		run_resource(request, handlers[route]);
	if (request->reply.event_lost)
		reply_withhold(request);
}
