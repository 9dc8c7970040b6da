/*
 * Keys as the resource routes see them: a key pair is one key, found by its names and never guessed.
 */
#ifndef P11GATE_WORKER_RESOURCES_KEY_H
#define P11GATE_WORKER_RESOURCES_KEY_H

#include "server/worker/resources/curve.h"
#include "server/common/pkcs11_uri.h"
#include "server/worker/worker.h"

enum {
	KEY_OBJECTS_MAX = 8192, /* objects of the token that are looked at; a token with more is asked by name */
	KEY_EVENT_LABEL_MAX = 255, /* bytes of a label that goes into an audit event; a new key has no longer one */
	KEY_CANDIDATES_MAX = 16, /* keys named in a key-ambiguous problem */
};

/* One key. Memory of the request's arena; handles are the module's and belong to this request. */
struct key {
	CK_OBJECT_HANDLE object; /* the private or secret key; the public key if nothing else is visible */
	CK_OBJECT_HANDLE public_object; /* CK_INVALID_HANDLE if there is none or it was not looked for */
	CK_OBJECT_CLASS class; /* of `object` */
	CK_KEY_TYPE type;
	struct bytes label, id; /* with a NUL behind */
	const struct curve *curve; /* of an EC or Edwards key, if it has a row in curve.def */
	bool always_authenticate; /* effective value (A30) */
	bool by_policy; /* … which the token does not share (B18) */
};

/* The keys of a search. */
struct key_list {
	struct key *items;
	size_t count;
};

/* How a caller names a key: all that is given must match. */
struct key_query {
	struct bytes label, id; /* data NULL: any */
	CK_OBJECT_CLASS class; /* CK_UNAVAILABLE_INFORMATION: any */
	struct pkcs11_uri uri; /* of its token attributes, those that are there */
	bool by_uri;
};

/*
 * Reads {key} of the path: a bare label, or label:LABEL, id:HEX, pkcs11:… (RFC 7512). False: the reply is a 400
 * problem.
 */
bool key_query_of_path(struct request *request, struct key_query *ret_query) __attribute__((warn_unused_result));

/*
 * Reads the members of a KeySelector; NULL stands for a member that is absent. False: the reply is a 400 problem with a
 * pointer below `pointer`.
 */
bool key_query_of_selector(struct request *request, const char *label, const char *id, const char *uri,
	const char *pointer, struct key_query *ret_query) __attribute__((warn_unused_result));

/*
 * All keys that match, pairs merged: a public key goes to the private key of the same type and CKA_ID. CKR_OK also for
 * none; CKR_DATA_LEN_RANGE if there are more than KEY_OBJECTS_MAX objects; any CKR of the search.
 */
CK_RV key_search(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query,
	struct key_list *ret_list) __attribute__((warn_unused_result));

/*
 * The one key that matches. False: the reply says why: 404 key-not-found (401 login-required if a login might show it),
 * 409 key-ambiguous with the candidates, or the token's own error. The private key beside a public one is found by
 * CKA_ID.
 */
bool key_find(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query, struct key *ret_key)
	__attribute__((warn_unused_result));

/*
 * Looks for the public half of a private key, by CKA_ID, else by label; leaves CK_INVALID_HANDLE if there is not
 * exactly one.
 */
CK_RV key_find_public(struct request *request, CK_SESSION_HANDLE session, struct key *key)
	__attribute__((warn_unused_result));

/* A public key that was found by a name which its private half does not share becomes the pair, if there is exactly one. */
CK_RV key_prefer_private(struct request *request, CK_SESSION_HANDLE session, struct key *key)
	__attribute__((warn_unused_result));

/* True if the token wants a login before it shows private keys, and the user is not logged in. */
bool key_login_missing(struct request *request) __attribute__((warn_unused_result));

/* 409 key-ambiguous with the candidates, as the whole reply. */
void key_refuse_ambiguous(struct request *request, const struct key_list *list);

/*
 * 404 key-not-found, or 401 login-required where nobody is logged in and the token wants a login, as the whole reply.
 */
void key_refuse_missing(struct request *request, const char *detail);

/* True where nobody is logged in and the token wants a login: then a key that is not found may still be there. */
bool key_login_missing(struct request *request);

/* --- key_json.c --- */

/* How a path names the key. */
enum key_reference { KEY_BY_LABEL, KEY_BY_ID };

/*
 * "/v1/slots/demo/keys/release" in the arena; by label where there is no CKA_ID, and the reverse. NULL without memory.
 */
const char *key_href(struct request *request, const struct key *key, enum key_reference reference);

/*
 * "pkcs11:object=release;id=%01;type=private" in the arena: all names of the key that there are, so that as few others as possible have
 * them too; key_uri_names says which. NULL without memory, or if it has neither label nor CKA_ID.
 */
const char *key_uri(struct request *request, const struct key *key);

/* Whether the key_uri of `key` names `other` as well. */
bool key_uri_names(const struct key *key, const struct key *other);

/* "/v1/slots/demo/keys/pkcs11%3A…" in the arena: the path of what a PKCS#11 URI names. NULL without memory. */
const char *key_uri_href(struct request *request, const char *uri);

/* Writes the key object (schema Key) after reading what it shows; without its end, so that members can be added. */
CK_RV key_write_open(struct request *request, CK_SESSION_HANDLE session, struct key *key, enum key_reference reference,
	struct json_writer *writer) __attribute__((warn_unused_result));

/* Writes the whole key object. */
CK_RV key_write(struct request *request, CK_SESSION_HANDLE session, struct key *key, enum key_reference reference,
	struct json_writer *writer) __attribute__((warn_unused_result));

/* Writes members label, id and type of the key into an open object. */
void key_write_names(struct request *request, struct json_writer *writer, const struct key *key);

/* "EC", "RSA", "HMAC" …; for a key type without such a name the CKK_ name, in `scratch` if need be. */
const char *key_type_name(const struct key *key, char scratch[24]);

/* The label for an audit event: NULL for one that is longer than KEY_EVENT_LABEL_MAX. */
const char *key_event_label(const struct key *key);

/* "private", "public" or "secret". */
const char *key_class_name(const struct key *key);

/* CKA_ID in hexadecimal, in the arena; empty without memory. */
const char *key_id_text(struct request *request, const struct key *key);

#endif
