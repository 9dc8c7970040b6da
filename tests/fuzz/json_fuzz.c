/*
 * The JSON scanner on hostile text: it stays within the text, and agrees with jansson on what is acceptable.
 */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/limits.h"
#include "tests/support/json_walk.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool jansson_accepts(const char *text, size_t len)
{
	json_error_t error;
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	bool accepted = value != NULL;

	json_decref(value);
	return accepted;
}

/* Why the scanner may refuse what jansson accepts. jansson loses a NUL byte that it has read ahead. */
static bool is_scanner_only(const char *text, size_t len, const char *error)
{
	return strcmp(error, "nested too deep") == 0 || strcmp(error, "too many members") == 0 ||
	       memchr(text, 0, len) != NULL;
}

/* Any bytes, written as a string, are read back as they were or with U+FFFD. */
static void check_string(const char *text, size_t len, struct arena *arena)
{
	BUFFER_AUTO struct buffer out;
	struct json_writer w;
	struct json_reader in;
	struct json_text back;

	buffer_init(&out, 8 * len + 2);
	json_writer_init(&w, &out);
	json_write_text(&w, text, len);
	check(!out.failed);
	json_reader_init(&in, (const char *)out.data, out.len, arena);
	check(json_read_string(&in, &back) && json_end(&in));
	if (json_text_valid(text, len))
		check(back.len == len && (len == 0 || memcmp(back.data, text, len) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	ARENA_AUTO struct arena arena;
	const char *text = (const char *)data, *error = NULL;
	struct json_reader in;
	size_t offset = 0;

	arena_init(&arena, 16 * len + LIMIT_BODY_ARENA);
	json_poke(text, len, &arena);
	check_string(text, len, &arena);
	bool accepted = json_validate(text, len, &error, &offset);
	json_reader_init(&in, text, len, &arena);
	bool walked = json_walk(&in) && json_end(&in);
	check(accepted || (error != NULL && offset <= len));
	check(!accepted || walked);
	check(accepted || !walked || strcmp(error, "duplicate member") == 0 || strcmp(error, "too many members") == 0);
	if (jansson_accepts(text, len) != accepted)
		check(!accepted && is_scanner_only(text, len, error));
	return 0;
}
