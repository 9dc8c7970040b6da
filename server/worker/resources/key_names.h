/*
 * Names of keys that are free: by the resource routes no two keys get the same label or the same CKA_ID, since neither could be used
 * by that name any more.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_NAMES_H
#define P11GATE_WORKER_RESOURCES_KEY_NAMES_H

#include "server/worker/resources/key.h"

/* From the look at what exists until the key has its names: in between nobody else of this process names a key. */
void key_names_lock(void);
void key_names_unlock(void);

/*
 * Whether no key but `except` (NULL: none at all) has that label, nor one that CKA_ID; data NULL: it is not asked for. Under the lock.
 * False: the reply is complete, 409 key-exists with a pointer to the member label or id.
 */
bool key_names_free(struct request *request, CK_SESSION_HANDLE session, struct bytes label, struct bytes id,
	const struct key *except) __attribute__((warn_unused_result));

/*
 * Reads the member `name` of a body, a CKA_ID in hexadecimal, of 1 to 255 bytes; data NULL if it is absent. False: the reply is a
 * 400 problem.
 */
bool key_names_read_id(struct request *request, const char *text, struct bytes *ret_id)
	__attribute__((warn_unused_result));

/* Reads a label of at most KEY_EVENT_LABEL_MAX bytes; `text` NULL: data NULL. False: the reply is a 400 problem. */
bool key_names_read_label(struct request *request, const char *text, struct bytes *ret_label)
	__attribute__((warn_unused_result));

#endif
