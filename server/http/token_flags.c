/*
 * What the guard adds to a token's flags in the inventory's documents (B16): an identity sees the worse of token and guard. The
 * documents are the inventory worker's text, the same for all; flags are added where there are any, which is rare.
 */
#include "server/http/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/json.h"
#include "api/names.h"

enum { FLAGS_TEXT_MAX = 512 }; /* bytes of the flags of a guard, as JSON */

/* A part of a document, by offsets: it moves while it grows. */
struct part {
	size_t begin, end;
};

/* The part from behind `text` on. False: the text is not there. A quotation mark within a value is escaped, so `text` is no value. */
static bool find(const struct buffer *document, struct part *part, const char *text)
{
	const unsigned char *at = memmem(document->data + part->begin, part->end - part->begin, text, strlen(text));
	if (at == NULL)
		return false;
	part->begin = (size_t)(at - document->data) + strlen(text);
	return true;
}

/* The names in the array at `part` that `mask` has already. */
static CK_FLAGS flags_in(const struct buffer *document, struct part part, struct arena *arena)
{
	struct json_reader in;
	CK_FLAGS flags = 0;
	json_reader_init(&in, (const char *)document->data + part.begin - 1, part.end - part.begin + 1, arena);
	return flags_read(&in, FLAGS_TOKEN, &flags) ? flags : ~(CK_FLAGS)0;
}

static void insert(struct buffer *document, size_t at, const unsigned char *text, size_t len)
{
	size_t rest = document->len - at;
	if (buffer_reserve(document, len) == NULL)
		return;
	memmove(document->data + at + len, document->data + at, rest);
	memcpy(document->data + at, text, len);
	document->len += len;
}

/* Puts the names of `flags` at the beginning of the array. */
static void add_flags(struct buffer *document, struct part array, CK_FLAGS flags)
{
	struct buffer text BUFFER_AUTO;
	struct json_writer w;
	buffer_init(&text, FLAGS_TEXT_MAX);
	json_writer_init(&w, &text);
	flags_write(&w, FLAGS_TOKEN, flags);
	bool empty = document->data[array.begin] == ']';
	if (text.failed || text.len < 2)
		return;
	/* Its closing bracket gives way to what follows. */
	text.len--;
	if (!empty)
		buffer_byte(&text, ',');
	if (!text.failed)
		insert(document, array.begin, text.data + 1, text.len - 1);
}

static void merge_slot(struct request *request, struct buffer *document, const char *slot, CK_FLAGS flags)
{
	char start[LIMIT_LABEL + 16];
	struct part part = {0, document->len};
	snprintf(start, sizeof start, "{\"name\":\"%s\",", slot);
	if (!find(document, &part, start))
		return;
	struct part next = part;
	if (find(document, &next, "{\"name\":\""))
		part.end = next.begin;
	/* The one form of the token has one name in the calls' document and another in that for people. */
	struct part people = part;
	if (!find(document, &part, "\"token_info\":{")) {
		if (!find(document, &people, "\"token\":{"))
			return;
		part = people;
	}
	if (!find(document, &part, "\"flags\":["))
		return;
	flags &= ~flags_in(document, part, request->arena);
	if (flags != 0)
		add_flags(document, part, flags);
}

void token_flags_merge(struct request *request, struct buffer *document)
{
	const struct config *config = request->generation->config;
	struct registry *registry = request->connection->listener->registry;
	for (unsigned i = 0; i < config->slots_count && !document->failed; i++) {
		const char *slot = config->slots[i].name;
		if (request->slot != NULL && strcmp(request->slot, slot) != 0)
			continue;
		if (!request_slot_visible(request, slot))
			continue;
		uint64_t flags = registry_guard_flags(registry, request->peer->identity, slot);
		if (flags != 0)
			merge_slot(request, document, slot, (CK_FLAGS)flags);
	}
}
