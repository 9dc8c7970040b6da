/*
 * The handlers of the resource routes: one per row of routes.def that the worker serves.
 *
 * A handler reads request->message, does the work with sessions it borrows, and leaves a complete answer in
 * request->reply. Status 0 asks the gateway to run the request again in an anonymous worker (requirement A28); nothing
 * has been executed then. Any thread, one request each. (resource_calls is server/worker/calls.c.)
 */
#ifndef P11GATE_WORKER_RESOURCES_RESOURCE_H
#define P11GATE_WORKER_RESOURCES_RESOURCE_H

#include "server/worker/worker.h"

#define RESOURCE_GATEWAY(name)
#define RESOURCE_INVENTORY(name)
#define RESOURCE_WORKER(name) void resource_##name(struct request *request);
#define RESOURCE_WORKER_ONCE(name) RESOURCE_WORKER(name)
#define ROUTE(name, method, path, permission, server, ...) RESOURCE_##server(name)
#include "api/routes.def"
#undef RESOURCE_GATEWAY
#undef RESOURCE_INVENTORY
#undef RESOURCE_WORKER
#undef RESOURCE_WORKER_ONCE

#endif
