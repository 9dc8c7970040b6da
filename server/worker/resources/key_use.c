#include "server/worker/resources/key_use.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "api/route.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"

static const struct key_use_kind *const kinds[ROUTE_COUNT] = {
	[ROUTE_key_sign] = &key_use_sign,
	[ROUTE_key_mac] = &key_use_mac,
	[ROUTE_key_verify] = &key_use_verify,
	[ROUTE_key_encrypt] = &key_use_encrypt,
	[ROUTE_key_decrypt] = &key_use_decrypt,
	[ROUTE_key_wrap] = &key_use_wrap,
	[ROUTE_key_unwrap] = &key_use_unwrap,
	[ROUTE_key_derive] = &key_use_derive,
	[ROUTE_digest] = &key_use_digest,
};

const char *key_use_asked_pointer(const struct key_use *use)
{
	return use->by_mechanism ? "/mechanism" : "/algorithm";
}

bool key_use_read_asked(struct key_use *use, const json_t *body, CK_MECHANISM *ret_mechanism)
{
	struct request *request = use->request;
	char scratch[24];
	*ret_mechanism = (CK_MECHANISM){0};
	use->by_mechanism = body_has(body, "mechanism");
	use->asked = body_text(body, "algorithm");
	if (use->by_mechanism == (use->asked != NULL)) {
		body_refuse(request, "/algorithm", "give either algorithm or mechanism");
		return false;
	}
	if (!use->by_mechanism)
		return true;
	if (!body_mechanism(request, body, "mechanism", ret_mechanism))
		return false;
	const char *name = name_text(NAMES_MECHANISM, ret_mechanism->mechanism, scratch);
	use->asked = arena_copy(request->arena, name, strlen(name));
	if (use->asked == NULL)
		reply_return(request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
	return use->asked != NULL;
}

static bool read_items(struct key_use *use, const json_t *body)
{
	const json_t *items = body_member(body, "items");
	use->batch = items != NULL;
	use->count = use->batch ? json_array_size(items) : 1;
	if (use->count == 0) {
		body_refuse(use->request, "/items", "the array is empty");
		return false;
	}
	use->items = arena_array(use->request->arena, use->count, sizeof *use->items);
	if (use->items == NULL) {
		reply_return(use->request, CKR_HOST_MEMORY, "The request needs more memory than a request may take.");
		return false;
	}
	memset(use->items, 0, use->count * sizeof *use->items);
	if (!use->batch)
		return use->kind->read_item(use, body, "", &use->items[0]);
	for (size_t i = 0; i < use->count; i++) {
		char pointer[40];
		snprintf(pointer, sizeof pointer, "/items/%zu", i);
		if (!use->kind->read_item(use, json_array_get(items, i), pointer, &use->items[i]))
			return false;
	}
	return true;
}

/* A member of an item beside items would be for none of them, or for all. */
static bool check_place(struct key_use *use, const json_t *body)
{
	const struct schema_row *row = schema_row(use->kind->schema);
	const struct schema_member *items = schema_member(row, "items", strlen("items"));
	const struct schema_row *item = items == NULL ? NULL : schema_member_row(items);
	if (item == NULL || !body_has(body, "items"))
		return true;
	for (size_t i = 0; i < item->member_count; i++) {
		if (!body_has(body, item->members[i].name))
			continue;
		char detail[120];
		snprintf(detail, sizeof detail, "with items, %s is a member of each of them", item->members[i].name);
		body_refuse(use->request, "/items", detail);
		return false;
	}
	return true;
}

static bool key_use_read(struct key_use *use, const json_t *body)
{
	return (use->kind->keyless || key_query_of_path(use->request, &use->key)) && use->kind->read(use, body) &&
	       check_place(use, body) && read_items(use, body);
}

/* Of a pair, the half that is used. False: it is not in the token, and the reply says so. */
static bool choose_half(struct use *use, const struct key_use *key_use, struct key *key)
{
	struct request *request = use->request;
	if (!key_use->kind->public_half) {
		if (key->class == CKO_PUBLIC_KEY)
			key_refuse_missing(request, "Only the public half of this key is in the token.");
		return key->class != CKO_PUBLIC_KEY;
	}
	if (key->class != CKO_PRIVATE_KEY)
		return true;
	CK_RV rv = key_find_public(request, use->session, key);
	if (rv != CKR_OK) {
		reply_return(request, rv, "The public half of the key could not be looked up in the token.");
		return false;
	}
	if (key->public_object == CK_INVALID_HANDLE) {
		reply_problem(request, PROBLEM_KEY_NOT_FOUND,
			"The public half of this key is not in the token; use the exported public key outside it.",
			NULL);
		return false;
	}
	key->object = key->public_object;
	key->class = CKO_PUBLIC_KEY;
	key->always_authenticate = key->by_policy = false;
	return true;
}

/* One PIN, or one login, is for one use of a private or secret key. */
static bool check_batch(struct request *request, const struct key_use *key_use, const struct key *key)
{
	bool once = key->always_authenticate || (key->class != CKO_PUBLIC_KEY && login_is_for_one_use(request));
	if (!key_use->batch || !once)
		return true;
	reply_problem(request, PROBLEM_ONE_ITEM_PER_PIN, "Send each item as a request of its own.", "/items");
	return false;
}

static void write_end(struct use *use, const struct key_use *key_use, struct json_writer *w)
{
	json_name(w, key_use->by_mechanism ? "mechanism" : "algorithm");
	json_write_string(w, key_use->asked);
	use_write_pin_effect(use, w);
	json_end_object(w);
	answer_end(use->request);
}

static void run_one(struct use *use, const struct key *key, const struct key_use *key_use, bool octets)
{
	struct json_writer w;
	struct key_use_item *item = &key_use->items[0];
	bool withheld;
	CK_RV rv = key_use->kind->run(use, key, key_use, item, &withheld);
	if (withheld)
		return;
	if (rv != CKR_OK) {
		use_refuse(use, rv, key_use->kind->failed);
		return;
	}
	answer_begin(use->request, 200, octets ? "application/octet-stream" : "application/json", &w);
	if (octets) {
		key_use->kind->write_octets(item, &use->request->reply.body);
		answer_end(use->request);
		return;
	}
	json_begin_object(&w);
	key_use->kind->write(item, &w);
	write_end(use, key_use, &w);
}

/* False: the audit failed, and the reply is complete. */
static bool run_item(struct use *use, const struct key *key, const struct key_use *key_use, struct key_use_item *item,
	struct json_writer *w)
{
	bool withheld = false;
	CK_RV rv = use_renew(use);
	if (rv == CKR_OK)
		rv = key_use->kind->run(use, key, key_use, item, &withheld);
	if (withheld)
		return false;
	if (rv != CKR_OK) {
		answer_problem_value(use->request, w, rv, key_use->kind->failed);
		return true;
	}
	json_begin_object(w);
	key_use->kind->write(item, w);
	json_end_object(w);
	return true;
}

static void run_batch(struct use *use, const struct key *key, const struct key_use *key_use)
{
	struct json_writer w;
	answer_begin(use->request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "results");
	json_begin_array(&w);
	for (size_t i = 0; i < key_use->count; i++)
		if (!run_item(use, key, key_use, &key_use->items[i], &w))
			return;
	json_end_array(&w);
	write_end(use, key_use, &w);
}

/* The key, if it may be used so. False: the reply is complete. */
static bool find_key(struct use *use, const struct key_use *key_use, struct key *ret_key)
{
	struct request *request = use->request;
	return key_find(request, use->session, &key_use->key, ret_key) && choose_half(use, key_use, ret_key) &&
	       key_use->kind->check(use, ret_key, key_use) && check_batch(request, key_use, ret_key) &&
	       use_authorise(use, ret_key, key_use->items[0].input.sha256);
}

static void run(struct use *use, const struct key_use *key_use, bool octets)
{
	struct key key = {.object = CK_INVALID_HANDLE};
	if (!key_use->kind->keyless && !find_key(use, key_use, &key))
		return;
	if (key_use->batch)
		run_batch(use, &key, key_use);
	else
		run_one(use, &key, key_use, octets);
}

void key_use_serve(struct request *request, struct held_pin *held)
{
	BODY_AUTO json_t *body = NULL;
	struct key_use key_use = {.request = request, .kind = kinds[request->message->route]};
	bool octets;
	if (!body_read(request, key_use.kind->schema, &body) || !key_use_read(&key_use, body) ||
		!answer_choose(request, !key_use.batch && key_use.kind->write_octets != NULL, &octets))
		return;
	struct use use = {
		.request = request,
		.pin = held != NULL ? held->pin : body_text(body, "pin"),
		.held = held != NULL ? held->object : CK_INVALID_HANDLE,
		.keyless = key_use.kind->keyless,
		.derives = key_use.kind->derives,
		.answers_challenge = key_use.kind->answers_challenge,
	};
	if (!use_begin(&use))
		return;
	run(&use, &key_use, octets);
	use_end(&use);
	if (held != NULL)
		held->rv = use.pin_rv;
}

void resource_key_sign(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_mac(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_verify(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_encrypt(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_decrypt(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_digest(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_wrap(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_unwrap(struct request *request)
{
	key_use_serve(request, NULL);
}

void resource_key_derive(struct request *request)
{
	key_use_serve(request, NULL);
}
