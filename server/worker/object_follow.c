#include "server/worker/internal.h"

/*
 * What the resource routes did to an object of the module, for the application's own handle of it.
 */

static bool handle_of(struct worker *worker, CK_OBJECT_HANDLE module, CK_OBJECT_HANDLE *ret_handle)
{
	return object_add(worker, module, false, ret_handle) == CKR_OK;
}

void object_was_destroyed(struct worker *worker, CK_OBJECT_HANDLE module)
{
	CK_OBJECT_HANDLE handle;

	if (handle_of(worker, module, &handle))
		object_remove(worker, handle);
}

void object_was_changed(struct worker *worker, CK_OBJECT_HANDLE module)
{
	CK_OBJECT_HANDLE handle;

	if (handle_of(worker, module, &handle))
		object_changed(worker, handle);
}
