#include "server/app/internal.h"

#include <stdlib.h>
#include <string.h>

#include "api/codec.h"

void slot_documents_done(struct slot_documents *documents)
{
	free(documents->name);
	free(documents->calls);
	free(documents->slot);
	free(documents->mechanisms);
	*documents = (struct slot_documents){.name = NULL};
}

bool slot_documents_equal(const struct slot_documents *a, const struct slot_documents *b)
{
	return strcmp(a->calls, b->calls) == 0 && strcmp(a->slot, b->slot) == 0 &&
	       strcmp(a->mechanisms, b->mechanisms) == 0;
}

/* Fields of fixed width are padded with blanks and not terminated (PKCS#11 2.40, section 3.2). */
static void pad(CK_UTF8CHAR *out, size_t size, const char *text)
{
	size_t len = strlen(text);
	memset(out, ' ', size);
	memcpy(out, text, len < size ? len : size);
}

static void write_calls(struct json_writer *w, const struct slot_settings *slot)
{
	CK_SLOT_INFO info = {.flags = strcmp(slot->class_name, "card") == 0 ? CKF_REMOVABLE_DEVICE : 0};
	pad(info.slotDescription, sizeof info.slotDescription, slot->name);
	pad(info.manufacturerID, sizeof info.manufacturerID, "");
	json_begin_object(w);
	json_name(w, "name");
	json_write_string(w, slot->name);
	json_name(w, "id");
	json_write_uint(w, slot_id_of(slot->name, strlen(slot->name)));
	json_name(w, "slot_info");
	info_encode(w, WIRE_SLOT_INFO, &info);
	json_name(w, "token_info");
	json_write_null(w);
	json_name(w, "mechanisms");
	json_begin_array(w);
	json_end_array(w);
	json_end_object(w);
}

static void write_slot(struct json_writer *w, const struct slot_settings *slot, const char *reason)
{
	json_begin_object(w);
	json_name(w, "name");
	json_write_string(w, slot->name);
	json_name(w, "state");
	json_write_string(w, "unavailable");
	json_name(w, "detail");
	json_write_string(w, reason);
	json_name(w, "class");
	json_write_string(w, slot->class_name);
	json_end_object(w);
}

static void write_mechanisms(struct json_writer *w)
{
	json_begin_object(w);
	json_name(w, "mechanisms");
	json_begin_array(w);
	json_end_array(w);
	json_end_object(w);
}

/* The text of a writer as a string on the heap; the buffer is empty afterwards. */
static char *take_text(struct buffer *out)
{
	char *text = out->failed || out->len == 0 ? NULL : strndup((const char *)out->data, out->len);
	buffer_reset(out);
	return text;
}

static enum status complete(struct slot_documents *documents, struct slot_documents *ret_documents)
{
	if (documents->name != NULL && documents->calls != NULL && documents->slot != NULL &&
		documents->mechanisms != NULL) {
		*ret_documents = *documents;
		return STATUS_OK;
	}
	slot_documents_done(documents);
	return STATUS_NO_MEMORY;
}

enum status slot_documents_unavailable(
	const struct slot_settings *slot, const char *reason, struct slot_documents *ret_documents)
{
	struct slot_documents documents = {.name = strdup(slot->name)};
	struct json_writer w;
	BUFFER_AUTO struct buffer out;
	buffer_init(&out, LIMIT_BODY);
	json_writer_init(&w, &out);
	write_calls(&w, slot);
	documents.calls = take_text(&out);
	json_writer_init(&w, &out);
	write_slot(&w, slot, reason);
	documents.slot = take_text(&out);
	json_writer_init(&w, &out);
	write_mechanisms(&w);
	documents.mechanisms = take_text(&out);
	return complete(&documents, ret_documents);
}

static bool is_json(const char *text)
{
	const char *error;
	size_t offset;
	return json_validate(text, strlen(text), &error, &offset);
}

enum status slot_documents_unpack(struct bytes packed, struct slot_documents *ret_documents)
{
	ARENA_AUTO struct arena arena;
	struct inventory_slot message;
	arena_init(&arena, LIMIT_BODY_ARENA);
	enum status status = inventory_slot_unpack(packed.data, packed.len, &arena, &message);
	if (status != STATUS_OK)
		return status;
	/* A module that spoils its worker's answer must not spoil the document that has other modules' slots too. */
	if (!is_json(message.calls_json) || !is_json(message.slot_json) || !is_json(message.mechanisms_json))
		return STATUS_MALFORMED;
	if (message.presence > TOKEN_PRESENT)
		return STATUS_MALFORMED;
	struct slot_documents documents = {strdup(message.name), strdup(message.calls_json), strdup(message.slot_json),
		strdup(message.mechanisms_json), .presence = (enum token_presence)message.presence};
	memcpy(documents.serial, message.serial, sizeof documents.serial);
	return complete(&documents, ret_documents);
}
