#include "server/worker/worker.h"

#include "api/hex.h"
#include "api/names.h"

enum {
	EVENT_MAX = 8192, /* bytes of one event */
	HEX_MAX = 256, /* bytes of a member written in hexadecimal */
};

static const char *kind_name(enum audit_kind kind)
{
	static const char *const names[] = {
		[AUDIT_NONE] = "none",
		[AUDIT_KEY_USE] = "key-use",
		[AUDIT_OBJECT] = "object",
		[AUDIT_LOGIN] = "login",
		[AUDIT_ADMIN] = "admin",
		[AUDIT_REFUSAL] = "refusal",
	};

	return names[kind];
}

static void text_member(struct json_writer *w, const char *name, const char *value)
{
	if (!value || value[0] == '\0')
		return;
	json_name(w, name);
	json_write_string(w, value);
}

static void hex_member(struct json_writer *w, const char *name, const unsigned char *data, size_t len)
{
	char hex[2 * HEX_MAX + 1];

	if (!data || len == 0 || len > HEX_MAX)
		return;
	hex_encode(hex, data, len);
	json_name(w, name);
	json_write_text(w, hex, 2 * len);
}

static void key_member(struct json_writer *w, const char *name, const struct event_key *key)
{
	if (!key->label && !key->class && key->id_len == 0)
		return;
	json_name(w, name);
	json_begin_object(w);
	text_member(w, "label", key->label);
	hex_member(w, "id", key->id, key->id_len);
	text_member(w, "class", key->class);
	json_end_object(w);
}

static void event_write(struct json_writer *w, const struct event *event)
{
	const struct event_key key = {event->key_label, event->key_id, event->key_id_len, event->key_class};
	char scratch[24];

	json_begin_object(w);
	text_member(w, "kind", kind_name(event->kind));
	text_member(w, "function", event->function);
	text_member(w, "rv", name_text(NAMES_RETURN, event->rv, scratch));
	text_member(w, "user", event->user);
	text_member(w, "mechanism", event->mechanism);
	key_member(w, "key", &key);
	key_member(w, "wrapped_key", &event->wrapped);
	key_member(w, "made_key", &event->made);
	key_member(w, "new_names", &event->renamed);
	hex_member(w, "input_sha256", event->input_sha256, event->input_sha256 ? 32 : 0);
	if (event->session != 0) {
		json_name(w, "session");
		json_write_uint(w, event->session);
	}
	if (event->reauthenticated) {
		json_name(w, "reauthenticated");
		json_write_bool(w, true);
	}
	text_member(w, "reason", event->reason);
	json_name(w, "latency_us");
	json_write_uint(w, event->latency_us);
	json_end_object(w);
}

static bool event_keep(struct request *request, const struct event *event)
{
	struct reply *reply = &request->reply;
	struct buffer text BUFFER_AUTO;
	struct json_writer w;

	buffer_init(&text, EVENT_MAX);
	if (reply->events_count == REPLY_EVENTS_MAX)
		return false;
	json_writer_init(&w, &text);
	event_write(&w, event);
	if (text.failed)
		return false;
	const unsigned char *copy = arena_copy(request->arena, text.data, text.len);
	if (!copy)
		return false;
	reply->events[reply->events_count++] = (struct bytes){copy, text.len};
	return true;
}

bool event_add(struct request *request, const struct event *event)
{
	bool kept = event_keep(request, event);

	request->reply.event_lost |= !kept;
	return kept;
}
