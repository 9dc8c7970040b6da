/*
 * Reading attributes of module objects for the resource routes.
 */
#ifndef P11GATE_WORKER_RESOURCES_ATTRIBUTE_H
#define P11GATE_WORKER_RESOURCES_ATTRIBUTE_H

#include "server/worker/worker.h"

enum { ATTRIBUTES_READ_MAX = 24 }; /* attributes in one attribute_read */

/*
 * Reads the attributes `types` of `object` into `ret_values` (of `count` items; memory of the arena, with a NUL behind
 * each). What the object lacks or does not reveal has data NULL; an empty value has len 0 and data not NULL. Any other
 * failure of C_GetAttributeValue is returned.
 */
CK_RV attribute_read(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
	const CK_ATTRIBUTE_TYPE types[], size_t count, struct bytes ret_values[]) __attribute__((warn_unused_result));

/* The value as a number or flag; `absent` if it is missing or has another length. */
CK_ULONG attribute_ulong(struct bytes value, CK_ULONG absent);
bool attribute_flag(struct bytes value, bool absent);

#endif
