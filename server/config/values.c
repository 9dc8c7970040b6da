/*
 * One value of the file: checked by its row's kind and put in its place.
 */
#include "server/config/internal.h"

#include <stdio.h>
#include <string.h>

typedef enum status store_function(
	struct loader *loader, const struct key *key, const struct scalar *value, void *base);

/* True if `text` is one of `words`, which are separated by spaces; gives its position. */
static bool word_find(const char *words, const char *text, size_t len, size_t *ret_index)
{
	for (size_t index = 0; *words; index++) {
		size_t word = strcspn(words, " ");

		if (word == len && memcmp(words, text, len) == 0) {
			*ret_index = index;
			return true;
		}
		words += word;
		words += *words == ' ';
	}
	return false;
}

/* A copy in the arena of a text that may stand in logs and C strings. */
static enum status copy_text(
	struct loader *loader, const struct key *key, const struct scalar *value, const char **ret_text)
{
	size_t maximum = key->maximum ? (size_t)key->maximum : LIMIT_VALUE;

	for (size_t i = 0; i < value->len; i++) {
		if ((unsigned char)value->text[i] < ' ' || value->text[i] == 0x7f)
			return fault_at(
				loader, value->mark, value->path, "a control character; write one line of text");
	}
	if (value->len > maximum)
		return fault_at(loader, value->mark, value->path, "%zu bytes are too long; at most %zu are allowed",
			value->len, maximum);
	if (value->len == 0 && key->minimum > 0)
		return fault_at(loader, value->mark, value->path, "empty; give a value, for example %s", key->text);
	*ret_text = arena_copy(loader->arena, value->text, value->len);
	return *ret_text ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status store_text(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	return copy_text(loader, key, value, place);
}

static bool name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

static enum status store_name(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	for (size_t i = 0; i < value->len; i++) {
		/* A leading dot would make the path segments "." and "..", which clients resolve themselves. */
		if (!name_character(value->text[i]) || (i == 0 && value->text[i] == '.'))
			return fault_at(loader, value->mark, value->path,
				"\"%.*s\" is no name; use letters, digits, '-', '_' and '.'", (int)value->len,
				value->text);
	}
	return copy_text(loader, key, value, place);
}

static enum status store_path(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	const char *text;
	enum status status = copy_text(loader, key, value, &text);

	if (status != STATUS_OK)
		return status;
	if (*text != '/') {
		size_t size = strlen(loader->directory) + 1 + strlen(text) + 1;
		char *path = arena_alloc(loader->arena, size);

		if (!path)
			return STATUS_NO_MEMORY;
		snprintf(path, size, "%s/%s", loader->directory, text);
		text = path;
	}
	if (key->maximum && strlen(text) > key->maximum)
		return fault_at(loader, value->mark, value->path, "%s is too long; at most %llu bytes are allowed",
			text, (unsigned long long)key->maximum);
	*(const char **)place = text;
	return STATUS_OK;
}

/* 64 lower-case hexadecimal digits, colons removed. */
static enum status store_sha256(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	char *digits = arena_alloc(loader->arena, 65);
	size_t count = 0;

	(void)key;
	if (!digits)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < value->len && count <= 64; i++) {
		char c = value->text[i];

		if (c == ':' && count > 0 && count % 2 == 0)
			continue;
		if (c >= 'A' && c <= 'F')
			c = (char)(c - 'A' + 'a');
		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			count = 64;
		if (count < 64)
			digits[count] = c;
		count++;
	}
	if (count != 64)
		return fault_at(loader, value->mark, value->path,
			"no SHA-256; write 64 hexadecimal digits, with or without colons");
	*(const char **)place = digits;
	return STATUS_OK;
}

static enum status parse_number(
	struct loader *loader, const struct key *key, const struct scalar *value, uint64_t *ret_number)
{
	uint64_t number = 0;
	bool good = value->len > 0;

	for (size_t i = 0; i < value->len && good; i++) {
		good = value->text[i] >= '0' && value->text[i] <= '9' && number <= UINT32_MAX;
		number = number * 10 + (uint64_t)(value->text[i] - '0');
	}
	/* A leading zero means octal to some readers of YAML: nobody should have to guess. */
	if (!good || (value->len > 1 && value->text[0] == '0' && number <= UINT32_MAX))
		good = false;
	if (!good || number < key->minimum || number > key->maximum)
		return fault_at(loader, value->mark, value->path,
			"%.*s is no number from %llu to %llu; the default is %s",
			(int)(value->len < 40 ? value->len : 40), value->text, (unsigned long long)key->minimum,
			(unsigned long long)key->maximum, key->text);
	*ret_number = number;
	return STATUS_OK;
}

static enum status store_number(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	uint64_t number = 0;
	enum status status = parse_number(loader, key, value, &number);

	if (status == STATUS_OK)
		*(unsigned *)place = (unsigned)number;
	return status;
}

static enum status store_port(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	uint64_t number = 0;
	enum status status = parse_number(loader, key, value, &number);

	if (status == STATUS_OK)
		*(uint16_t *)place = (uint16_t)number;
	return status;
}

static enum status store_flag(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	size_t index;

	(void)key;
	if (!word_find("true false", value->text, value->len, &index))
		return fault_at(
			loader, value->mark, value->path, "neither true nor false; write one of them without quotes");
	*(bool *)place = index == 0;
	return STATUS_OK;
}

static enum status choose(struct loader *loader, const struct key *key, const struct scalar *value, size_t *ret_index)
{
	if (word_find(key->words, value->text, value->len, ret_index))
		return STATUS_OK;
	return fault_at(loader, value->mark, value->path, "\"%.*s\" is unknown; write one of: %s",
		(int)(value->len < 40 ? value->len : 40), value->text, key->words);
}

static enum status store_choice(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	size_t index = 0;
	enum status status = choose(loader, key, value, &index);

	return status == STATUS_OK ? copy_text(loader, key, value, place) : status;
}

static enum status store_word(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	size_t index = 0;
	enum status status = choose(loader, key, value, &index);

	if (status == STATUS_OK)
		*(unsigned *)place = (unsigned)index;
	return status;
}

static enum status store_switch(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	size_t index = 0;
	enum status status = choose(loader, key, value, &index);

	if (status == STATUS_OK)
		*(bool *)place = index == 0;
	return status;
}

static enum status store_match(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	struct config_identity *identity = (struct config_identity *)((char *)place - key->offset);

	if (identity->value)
		return fault_at(loader, value->mark, value->path,
			"a second way to recognise the certificate; keep one of them");
	identity->match = (enum identity_match)key->minimum;
	if (identity->match == MATCH_SHA256)
		return store_sha256(loader, key, value, place);
	/* The minimum of such a row is the kind of match, so emptiness is looked at here. */
	if (value->len == 0)
		return fault_at(loader, value->mark, value->path, "empty; give a value, for example %s", key->text);
	return copy_text(loader, key, value, place);
}

static store_function *const stores[] = {
	[KEY_TEXT] = store_text,
	[KEY_NAME] = store_name,
	[KEY_FILE] = store_path,
	[KEY_DIRECTORY] = store_path,
	[KEY_SHA256] = store_sha256,
	[KEY_NUMBER] = store_number,
	[KEY_PORT] = store_port,
	[KEY_FLAG] = store_flag,
	[KEY_CHOICE] = store_choice,
	[KEY_WORD] = store_word,
	[KEY_SWITCH] = store_switch,
	[KEY_MATCH] = store_match,
};

enum status value_store(struct loader *loader, const struct key *key, const struct scalar *value, void *place)
{
	return stores[key->kind](loader, key, value, place);
}
