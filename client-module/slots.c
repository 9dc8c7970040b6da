#include "client-module/slots.h"

#include <stdlib.h>
#include <string.h>

#include "api/codec.h"
#include "api/limits.h"
#include "client-module/debug.h"

enum { ROUTES_MAX = 1024 }; /* slots that a gateway may name during one C_Initialize */

struct slot_mechanism {
	struct slot_mechanism *next;
	CK_MECHANISM_TYPE type;
	CK_MECHANISM_INFO info;
};

struct slot_view {
	struct slot_view *next;
	const struct slot_route *route;
	CK_SLOT_INFO info;
	bool present;
	CK_TOKEN_INFO token;
	struct slot_mechanism *mechanisms;
	bool event; /* not yet told by C_WaitForSlotEvent */
};

struct slots_snapshot {
	struct arena arena; /* holds the views and their mechanisms */
	uint64_t generation;
	struct slot_view *views; /* in the gateway's order */
};

CK_RV slots_init(struct slots *slots, const struct locking *how)
{
	*slots = (struct slots){0};
	return lock_init(&slots->lock, how);
}

static void snapshot_free(struct slots_snapshot *snapshot)
{
	if (snapshot != NULL) {
		arena_done(&snapshot->arena);
		free(snapshot);
	}
}

void slots_done(struct slots *slots)
{
	snapshot_free(slots->snapshot);
	while (slots->routes != NULL) {
		struct slot_route *route = slots->routes;
		slots->routes = route->next;
		free(route->target);
		free(route);
	}
	lock_done(&slots->lock);
}

/* /v1/slots/{name}/calls with all but the unreserved characters encoded (RFC 3986, section 2.3). */
static char *route_target(struct json_text name, int *ret_path_len)
{
	static const char BEFORE[] = "/v1/slots/", BEHIND[] = "/calls", HEX[] = "0123456789ABCDEF";
	static const char UNRESERVED[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
	char *target = malloc(sizeof(BEFORE) + 3 * name.len + sizeof(BEHIND));
	if (target == NULL) {
		return NULL;
	}
	char *at = stpcpy(target, BEFORE);
	for (size_t i = 0; i < name.len; i++) {
		unsigned char c = (unsigned char)name.data[i];
		if (memchr(UNRESERVED, c, sizeof(UNRESERVED) - 1) != NULL) {
			*at++ = (char)c;
		} else {
			*at++ = '%';
			*at++ = HEX[c >> 4];
			*at++ = HEX[c & 15];
		}
	}
	*ret_path_len = (int)(at - target);
	stpcpy(at, BEHIND);
	return target;
}

/* The route of a slot, made if it is new. The lock is held. NULL when there is no memory or there are too many. */
static const struct slot_route *route_get(struct slots *slots, CK_SLOT_ID id, struct json_text name)
{
	int path_len = 0;
	char *target = route_target(name, &path_len);
	struct slot_route *route = slots->routes;
	while (target != NULL && route != NULL && (route->id != id || strcmp(route->target, target) != 0)) {
		route = route->next;
	}
	if (target == NULL || route != NULL || slots->route_count >= ROUTES_MAX) {
		free(target);
		return route;
	}
	route = malloc(sizeof(*route));
	if (route == NULL) {
		free(target);
		return NULL;
	}
	*route = (struct slot_route){.next = slots->routes, .id = id, .target = target, .path_len = path_len};
	slots->routes = route;
	slots->route_count++;
	return route;
}

static bool read_mechanism(struct json_reader *in, struct slot_mechanism *mechanism)
{
	struct json_text name;
	bool typed = false, described = false;
	if (!json_enter_object(in)) {
		return false;
	}
	while (json_next_member(in, &name)) {
		if (json_text_is(name, "mechanism")) {
			typed = name_read(in, NAMES_MECHANISM, &mechanism->type);
		} else if (json_text_is(name, "info")) {
			described = info_decode(in, WIRE_MECHANISM_INFO, &mechanism->info);
		} else {
			json_skip(in);
		}
	}
	return (typed && described) || json_fail(in, "a mechanism needs its name and info");
}

static bool read_mechanisms(struct json_reader *in, struct arena *arena, struct slot_mechanism **ret_first)
{
	struct slot_mechanism **last = ret_first;
	*ret_first = NULL;
	if (!json_enter_array(in)) {
		return false;
	}
	while (json_next_element(in)) {
		struct slot_mechanism *mechanism = arena_alloc(arena, sizeof(*mechanism));
		if (mechanism == NULL) {
			return json_fail(in, "out of memory");
		}
		if (read_mechanism(in, mechanism)) {
			*last = mechanism;
			last = &mechanism->next;
		}
	}
	return !json_failed(in);
}

/* One slot; *ret_name and *ret_id are what its route is made of. */
static bool read_slot(struct json_reader *in, struct arena *arena, struct slot_view *view, struct json_text *ret_name,
	uint64_t *ret_id)
{
	struct json_text member;
	bool named = false, numbered = false, described = false;
	if (!json_enter_object(in)) {
		return false;
	}
	while (json_next_member(in, &member)) {
		if (json_text_is(member, "name")) {
			named = json_read_string(in, ret_name) && ret_name->len > 0 && ret_name->len <= LIMIT_LABEL;
		} else if (json_text_is(member, "id")) {
			numbered = json_read_uint(in, ret_id) && *ret_id <= UINT32_MAX;
		} else if (json_text_is(member, "slot_info")) {
			described = info_decode(in, WIRE_SLOT_INFO, &view->info);
		} else if (json_text_is(member, "token_info")) {
			view->present = json_peek(in) != JSON_TYPE_NULL &&
					info_decode(in, WIRE_TOKEN_INFO, &view->token);
			if (!view->present) {
				json_read_null(in);
			}
		} else if (json_text_is(member, "mechanisms")) {
			(void)read_mechanisms(in, arena, &view->mechanisms);
		} else {
			json_skip(in);
		}
	}
	return (named && numbered && described) || json_fail(in, "a slot needs name, id and slot_info");
}

static struct slot_view *view_of(const struct slots_snapshot *snapshot, CK_SLOT_ID id)
{
	struct slot_view *view = snapshot != NULL ? snapshot->views : NULL;
	while (view != NULL && view->route->id != id) {
		view = view->next;
	}
	return view;
}

/* The slots of a document, appended to the snapshot. The lock is held, for the routes. */
static bool read_slots(struct json_reader *in, struct slots *slots, struct slots_snapshot *snapshot)
{
	struct slot_view **last = &snapshot->views;
	if (!json_enter_array(in)) {
		return false;
	}
	while (json_next_element(in)) {
		struct slot_view *view = arena_alloc(&snapshot->arena, sizeof(*view));
		struct json_text name = {0};
		uint64_t id = 0;
		if (view == NULL) {
			return json_fail(in, "out of memory");
		}
		if (!read_slot(in, &snapshot->arena, view, &name, &id)) {
			return false;
		}
		if (view_of(snapshot, (CK_SLOT_ID)id) != NULL) {
			return json_fail(in, "two slots with one id");
		}
		view->route = route_get(slots, (CK_SLOT_ID)id, name);
		if (view->route == NULL) {
			return json_fail(in, "too many slots");
		}
		*last = view;
		last = &view->next;
	}
	return !json_failed(in);
}

static bool read_document(struct json_reader *in, struct slots *slots, struct slots_snapshot *snapshot)
{
	struct json_text member;
	bool numbered = false, listed = false;
	if (!json_enter_object(in)) {
		return false;
	}
	while (json_next_member(in, &member)) {
		if (json_text_is(member, "generation")) {
			numbered = json_read_uint(in, &snapshot->generation);
		} else if (json_text_is(member, "slots") && !listed) {
			listed = read_slots(in, slots, snapshot);
		} else {
			json_skip(in);
		}
	}
	return ((numbered && listed) || json_fail(in, "an inventory needs generation and slots")) && json_end(in);
}

static bool same_token(const struct slot_view *a, const struct slot_view *b)
{
	return a->present == b->present &&
	       (!a->present ||
		       (memcmp(a->token.serialNumber, b->token.serialNumber, sizeof(a->token.serialNumber)) == 0 &&
			       memcmp(a->token.label, b->token.label, sizeof(a->token.label)) == 0));
}

/* PKCS#11 2.40, section 5.5: what happened before the first look is no event. A slot that is new counts if it has a token. */
static void mark_events(const struct slots_snapshot *before, struct slots_snapshot *now)
{
	for (struct slot_view *view = before != NULL ? now->views : NULL; view != NULL; view = view->next) {
		const struct slot_view *old = view_of(before, view->route->id);
		view->event = old != NULL ? old->event || !same_token(old, view) : view->present;
	}
}

CK_RV slots_load(struct slots *slots, const char *text, size_t len, struct arena *scratch)
{
	struct slots_snapshot *snapshot = calloc(1, sizeof(*snapshot));
	if (snapshot == NULL) {
		return CKR_HOST_MEMORY;
	}
	arena_init(&snapshot->arena, LIMIT_BODY_ARENA);
	struct json_reader in;
	json_reader_init(&in, text, len, scratch);
	lock_take(&slots->lock);
	bool good = read_document(&in, slots, snapshot);
	struct slots_snapshot *unused = snapshot;
	if (good) {
		mark_events(slots->snapshot, snapshot);
		unused = slots->snapshot;
		slots->snapshot = snapshot;
	}
	lock_release(&slots->lock);
	snapshot_free(unused);
	if (!good) {
		debug_line("the gateway's inventory, byte %zu: %s", json_offset(&in), in.error);
	}
	return good ? CKR_OK : CKR_DEVICE_ERROR;
}

bool slots_known(struct slots *slots, uint64_t *ret_generation)
{
	lock_take(&slots->lock);
	bool known = slots->snapshot != NULL;
	*ret_generation = known ? slots->snapshot->generation : 0;
	lock_release(&slots->lock);
	return known;
}

/* The two-call sizing of a list that will have `found` items, of which those up to *count were stored (section 5.2). */
static CK_RV list_result(const CK_ULONG *items, CK_ULONG *count, CK_ULONG found)
{
	bool too_small = items != NULL && *count < found;
	*count = found;
	return too_small ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

CK_RV slots_list(struct slots *slots, bool token_present, CK_SLOT_ID *items, CK_ULONG *count)
{
	CK_ULONG found = 0;
	lock_take(&slots->lock);
	for (const struct slot_view *view = slots->snapshot != NULL ? slots->snapshot->views : NULL; view != NULL;
		view = view->next) {
		if (token_present && !view->present) {
			continue;
		}
		if (items != NULL && found < *count) {
			items[found] = view->route->id;
		}
		found++;
	}
	lock_release(&slots->lock);
	return list_result(items, count, found);
}

/* The view of a slot, with a token if one is needed. The lock is held. */
static CK_RV view_get(const struct slots *slots, CK_SLOT_ID id, bool token, const struct slot_view **ret_view)
{
	*ret_view = view_of(slots->snapshot, id);
	if (*ret_view == NULL) {
		return CKR_SLOT_ID_INVALID;
	}
	return token && !(*ret_view)->present ? CKR_TOKEN_NOT_PRESENT : CKR_OK;
}

CK_RV slots_mechanisms(struct slots *slots, CK_SLOT_ID id, CK_MECHANISM_TYPE *items, CK_ULONG *count)
{
	const struct slot_view *view;
	CK_ULONG found = 0;
	lock_take(&slots->lock);
	CK_RV rv = view_get(slots, id, true, &view);
	for (const struct slot_mechanism *m = rv == CKR_OK ? view->mechanisms : NULL; m != NULL; m = m->next) {
		if (items != NULL && found < *count) {
			items[found] = m->type;
		}
		found++;
	}
	lock_release(&slots->lock);
	return rv == CKR_OK ? list_result(items, count, found) : rv;
}

CK_RV slots_info(struct slots *slots, CK_SLOT_ID id, CK_SLOT_INFO *ret_info)
{
	const struct slot_view *view;
	lock_take(&slots->lock);
	CK_RV rv = view_get(slots, id, false, &view);
	if (rv == CKR_OK) {
		*ret_info = view->info;
	}
	lock_release(&slots->lock);
	return rv;
}

CK_RV slots_token(struct slots *slots, CK_SLOT_ID id, CK_TOKEN_INFO *ret_info)
{
	const struct slot_view *view;
	lock_take(&slots->lock);
	CK_RV rv = view_get(slots, id, true, &view);
	if (rv == CKR_OK) {
		*ret_info = view->token;
	}
	lock_release(&slots->lock);
	return rv;
}

CK_RV slots_mechanism(struct slots *slots, CK_SLOT_ID id, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *ret_info)
{
	const struct slot_view *view;
	lock_take(&slots->lock);
	CK_RV rv = view_get(slots, id, true, &view);
	const struct slot_mechanism *mechanism = rv == CKR_OK ? view->mechanisms : NULL;
	while (mechanism != NULL && mechanism->type != type) {
		mechanism = mechanism->next;
	}
	if (mechanism != NULL) {
		*ret_info = mechanism->info;
	}
	lock_release(&slots->lock);
	return rv != CKR_OK ? rv : mechanism != NULL ? CKR_OK : CKR_MECHANISM_INVALID;
}

const struct slot_route *slots_route(struct slots *slots, CK_SLOT_ID id)
{
	lock_take(&slots->lock);
	const struct slot_view *view = view_of(slots->snapshot, id);
	const struct slot_route *route = view != NULL ? view->route : NULL;
	lock_release(&slots->lock);
	return route;
}

const struct slot_route *slots_routes(struct slots *slots)
{
	lock_take(&slots->lock);
	const struct slot_route *first = slots->routes;
	lock_release(&slots->lock);
	return first;
}

bool slots_event(struct slots *slots, CK_SLOT_ID *ret_id)
{
	lock_take(&slots->lock);
	struct slot_view *view = slots->snapshot != NULL ? slots->snapshot->views : NULL;
	while (view != NULL && !view->event) {
		view = view->next;
	}
	if (view != NULL) {
		view->event = false;
		*ret_id = view->route->id;
	}
	lock_release(&slots->lock);
	return view != NULL;
}
