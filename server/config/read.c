/*
 * From the tree to struct config, by the rows of keys.def.
 */
#include "server/config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/call.h"

/* The text of one value and where it stands. */
struct scalar {
	const char *text;
	size_t len;
	yaml_mark_t mark;
	const char *path;
};

typedef enum status store_function(struct loader *loader, const struct key *key, const struct scalar *value, void *base);

static enum status read_mapping(struct loader *loader, enum section section, yaml_node_t *node, const char *path, void *base);

/* The path of a key or an item within `path`; cut off at LIMIT_KEY_PATH, which no known key reaches. */
static void path_join(char ret_path[LIMIT_KEY_PATH], const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void path_join(char ret_path[LIMIT_KEY_PATH], const char *path, const char *format, ...)
{
	int used = snprintf(ret_path, LIMIT_KEY_PATH, "%s", path);
	va_list arguments;

	if (used < 0 || used >= LIMIT_KEY_PATH)
		return;
	va_start(arguments, format);
	vsnprintf(ret_path + used, LIMIT_KEY_PATH - (size_t)used, format, arguments);
	va_end(arguments);
}

static const char *kind_of(const yaml_node_t *node)
{
	return node->type == YAML_MAPPING_NODE ? "a mapping" : node->type == YAML_SEQUENCE_NODE ? "a list" : "a value";
}

static bool is_null(const yaml_node_t *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};

	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) {
		if (strcmp((const char *)node->data.scalar.value, nulls[i]) == 0)
			return true;
	}
	return false;
}

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
static enum status copy_text(struct loader *loader, const struct key *key, const struct scalar *value, const char **ret_text)
{
	size_t maximum = key->maximum ? (size_t)key->maximum : LIMIT_VALUE;

	for (size_t i = 0; i < value->len; i++) {
		if ((unsigned char)value->text[i] < ' ' || value->text[i] == 0x7f)
			return fault_at(loader, value->mark, value->path, "a control character; write one line of text");
	}
	if (value->len > maximum)
		return fault_at(loader, value->mark, value->path, "%zu bytes are too long; at most %zu are allowed",
			value->len, maximum);
	if (value->len == 0 && key->minimum > 0)
		return fault_at(loader, value->mark, value->path, "empty; give a value, for example %s", key->text);
	*ret_text = arena_copy(loader->arena, value->text, value->len);
	return *ret_text ? STATUS_OK : STATUS_NO_MEMORY;
}

static enum status store_text(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	return copy_text(loader, key, value, base);
}

static bool name_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

static enum status store_name(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	for (size_t i = 0; i < value->len; i++) {
		/* A leading dot would make the path segments "." and "..", which clients resolve themselves. */
		if (!name_character(value->text[i]) || (i == 0 && value->text[i] == '.'))
			return fault_at(loader, value->mark, value->path,
				"\"%.*s\" is no name; use letters, digits, '-', '_' and '.'", (int)value->len, value->text);
	}
	return copy_text(loader, key, value, base);
}

static enum status store_path(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
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
		return fault_at(loader, value->mark, value->path, "%s is too long; at most %llu bytes are allowed", text,
			(unsigned long long)key->maximum);
	*(const char **)base = text;
	return STATUS_OK;
}

/* 64 lower-case hexadecimal digits, colons removed. */
static enum status store_sha256(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
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
		return fault_at(loader, value->mark, value->path, "no SHA-256; write 64 hexadecimal digits, with or without colons");
	*(const char **)base = digits;
	return STATUS_OK;
}

static enum status parse_number(struct loader *loader, const struct key *key, const struct scalar *value, uint64_t *ret_number)
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
		return fault_at(loader, value->mark, value->path, "%.*s is no number from %llu to %llu; the default is %s",
			(int)(value->len < 40 ? value->len : 40), value->text, (unsigned long long)key->minimum,
			(unsigned long long)key->maximum, key->text);
	*ret_number = number;
	return STATUS_OK;
}

static enum status store_number(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	uint64_t number;
	enum status status = parse_number(loader, key, value, &number);

	if (status == STATUS_OK)
		*(unsigned *)base = (unsigned)number;
	return status;
}

static enum status store_port(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	uint64_t number;
	enum status status = parse_number(loader, key, value, &number);

	if (status == STATUS_OK)
		*(uint16_t *)base = (uint16_t)number;
	return status;
}

static enum status store_flag(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	size_t index;

	(void)key;
	if (!word_find("true false", value->text, value->len, &index))
		return fault_at(loader, value->mark, value->path, "neither true nor false; write one of them without quotes");
	*(bool *)base = index == 0;
	return STATUS_OK;
}

static enum status choose(struct loader *loader, const struct key *key, const struct scalar *value, size_t *ret_index)
{
	if (word_find(key->words, value->text, value->len, ret_index))
		return STATUS_OK;
	return fault_at(loader, value->mark, value->path, "\"%.*s\" is unknown; write one of: %s",
		(int)(value->len < 40 ? value->len : 40), value->text, key->words);
}

static enum status store_choice(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	size_t index;
	enum status status = choose(loader, key, value, &index);

	return status == STATUS_OK ? copy_text(loader, key, value, base) : status;
}

static enum status store_switch(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	size_t index;
	enum status status = choose(loader, key, value, &index);

	if (status == STATUS_OK)
		*(bool *)base = index == 0;
	return status;
}

static enum status store_match(struct loader *loader, const struct key *key, const struct scalar *value, void *base)
{
	struct config_identity *identity = (struct config_identity *)((char *)base - key->offset);

	if (identity->value)
		return fault_at(loader, value->mark, value->path, "a second way to recognise the certificate; keep one of them");
	identity->match = (enum identity_match)key->minimum;
	if (identity->match == MATCH_SHA256)
		return store_sha256(loader, key, value, base);
	/* The minimum of such a row is the kind of match, so emptiness is looked at here. */
	if (value->len == 0)
		return fault_at(loader, value->mark, value->path, "empty; give a value, for example %s", key->text);
	return copy_text(loader, key, value, base);
}

static store_function *const stores[] = {
	[KEY_TEXT] = store_text, [KEY_NAME] = store_name, [KEY_FILE] = store_path, [KEY_DIRECTORY] = store_path,
	[KEY_SHA256] = store_sha256, [KEY_NUMBER] = store_number, [KEY_PORT] = store_port, [KEY_FLAG] = store_flag,
	[KEY_CHOICE] = store_choice, [KEY_SWITCH] = store_switch, [KEY_MATCH] = store_match,
};

static enum status read_scalar(struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, void *base)
{
	bool plain_only = key->kind == KEY_NUMBER || key->kind == KEY_PORT || key->kind == KEY_FLAG;

	if (node->type != YAML_SCALAR_NODE)
		return fault_at(loader, node->start_mark, path, "%s where one value belongs; for example %s: %s",
			kind_of(node), key->name, key->text);
	if (is_null(node))
		return fault_at(loader, node->start_mark, path, "no value; give one, for example %s, or leave the key out", key->text);
	if (plain_only && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return fault_at(loader, node->start_mark, path, "text where a bare value belongs; write %s: %s without quotes",
			key->name, key->text);
	struct scalar value = {
		(const char *)node->data.scalar.value, node->data.scalar.length, node->start_mark, path,
	};
	return stores[key->kind](loader, key, &value, base);
}

/* Checks that `node` is a list of an allowed length; null counts as an empty one. */
static enum status list_length(struct loader *loader, const struct key *key, yaml_node_t *node, const char *path,
	size_t *ret_count)
{
	size_t count = 0;

	if (node->type == YAML_SEQUENCE_NODE)
		count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	else if (!is_null(node))
		return fault_at(loader, node->start_mark, path, "%s where a list belongs; start each item with \"- \"", kind_of(node));
	if (count < key->minimum || count > key->maximum)
		return fault_at(loader, node->start_mark, path, "%zu items; give from %llu to %llu", count,
			(unsigned long long)key->minimum, (unsigned long long)key->maximum);
	*ret_count = count;
	return STATUS_OK;
}

static yaml_node_t *list_item(struct loader *loader, yaml_node_t *list, size_t index)
{
	return yaml_document_get_node(&loader->document, list->data.sequence.items.start[index]);
}

static enum status read_list(struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	char item_path[LIMIT_KEY_PATH];
	size_t count;
	enum status status = list_length(loader, key, node, path, &count);

	if (status != STATUS_OK)
		return status;
	char *items = arena_array(loader->arena, count, key->item_size);
	if (!items)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		path_join(item_path, path, "[%zu]", i);
		if (key->kind == KEY_LIST)
			status = read_mapping(loader, key->items, list_item(loader, node, i), item_path, items + i * key->item_size);
		else
			status = read_scalar(loader, &(struct key){.kind = KEY_TEXT, .name = key->name, .text = key->text, .minimum = 1},
				list_item(loader, node, i), item_path, items + i * key->item_size);
	}
	memcpy(base + key->offset, &items, sizeof items);
	*(unsigned *)(base + key->count_offset) = (unsigned)count;
	return status;
}

static enum status read_permission(struct loader *loader, yaml_node_t *node, const char *path, unsigned *mask)
{
	for (unsigned i = 0; node->type == YAML_SCALAR_NODE && i < PERMISSION_COUNT; i++) {
		if (strcmp((const char *)node->data.scalar.value, permission_word(i)) == 0) {
			*mask |= 1u << i;
			return STATUS_OK;
		}
	}
	return fault_at(loader, node->start_mark, path, "no permission; write one of: read login use write admin");
}

static enum status read_permissions(struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	char item_path[LIMIT_KEY_PATH];
	unsigned mask = 0;
	size_t count;
	enum status status = list_length(loader, key, node, path, &count);

	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		path_join(item_path, path, "[%zu]", i);
		status = read_permission(loader, list_item(loader, node, i), item_path, &mask);
	}
	if (status == STATUS_OK)
		*(unsigned *)(base + key->offset) = mask;
	return status;
}

static enum status read_value(struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	switch (key->kind) {
	case KEY_MAPPING:
		return read_mapping(loader, key->items, node, path, base);
	case KEY_LIST:
	case KEY_TEXTS:
		return read_list(loader, key, node, path, base);
	case KEY_PERMISSIONS:
		return read_permissions(loader, key, node, path, base);
	default:
		return read_scalar(loader, key, node, path, base + key->offset);
	}
}

/* A key that the file does not have. */
static enum status read_absent(struct loader *loader, const struct key *key, yaml_mark_t mark, const char *path, char *base)
{
	if (key->presence == KEY_REQUIRED)
		return fault_at(loader, mark, path, "missing; add it%s%s%s%s", *key->text ? ", for example " : "",
			*key->text ? key->name : "", *key->text ? ": " : "", key->text);
	if (key->kind == KEY_MAPPING)
		return read_mapping(loader, key->items, NULL, path, base);
	if (key->presence == KEY_DEFAULT) {
		struct scalar value = {key->text, strlen(key->text), mark, path};

		return stores[key->kind](loader, key, &value, base + key->offset);
	}
	return STATUS_OK;
}

/* The row of a pair's key, which must be known and new in this mapping. */
static enum status identify(struct loader *loader, enum section section, yaml_node_t *name, const char *path, bool *seen,
	const struct key **ret_key)
{
	if (name->type != YAML_SCALAR_NODE)
		return fault_at(loader, name->start_mark, path, "%s where a key belongs; write \"key: value\"", kind_of(name));
	const struct key *key = key_find(section, (const char *)name->data.scalar.value, name->data.scalar.length);
	if (!key) {
		char known[320] = "";

		for (size_t i = 0, used = 0; i < config_keys_count && used < sizeof known; i++) {
			if (config_keys[i].section == section)
				used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", config_keys[i].name);
		}
		return fault_at(loader, name->start_mark, path, "unknown key; known here: %s", known);
	}
	if (seen[key - config_keys])
		return fault_at(loader, name->start_mark, path, "given twice; keep one of the two");
	seen[key - config_keys] = true;
	*ret_key = key;
	return STATUS_OK;
}

static enum status read_pair(struct loader *loader, enum section section, const yaml_node_pair_t *pair, const char *path,
	bool *seen, void *base)
{
	yaml_node_t *name = yaml_document_get_node(&loader->document, pair->key);
	const struct key *key;
	char child[LIMIT_KEY_PATH];

	path_join(child, path, "%s%.100s", *path ? "." : "",
		name->type == YAML_SCALAR_NODE ? (const char *)name->data.scalar.value : "?");
	enum status status = identify(loader, section, name, child, seen, &key);
	if (status != STATUS_OK)
		return status;
	return read_value(loader, key, yaml_document_get_node(&loader->document, pair->value), child, base);
}

/* Reads the mapping `node` into the structure at `base`; without a node everything gets its default. */
static enum status read_mapping(struct loader *loader, enum section section, yaml_node_t *node, const char *path, void *base)
{
	enum { SEEN_MAX = 128 };
	bool seen[SEEN_MAX] = {false};
	yaml_mark_t mark = node ? node->start_mark : (yaml_mark_t){0};
	enum status status = STATUS_OK;
	char child[LIMIT_KEY_PATH];

	if (config_keys_count > SEEN_MAX)
		return STATUS_TOO_LARGE;
	if (node && node->type == YAML_MAPPING_NODE) {
		for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
				pair < node->data.mapping.pairs.top && status == STATUS_OK; pair++)
			status = read_pair(loader, section, pair, path, seen, base);
	} else if (node && !is_null(node)) {
		return fault_at(loader, mark, path, "%s where a mapping belongs; write \"key: value\" lines below it", kind_of(node));
	}
	for (size_t i = 0; i < config_keys_count && status == STATUS_OK; i++) {
		const struct key *key = &config_keys[i];

		if (key->section != section || seen[i])
			continue;
		path_join(child, path, "%s%s", *path ? "." : "", key->name);
		status = read_absent(loader, key, mark, child, base);
	}
	return status;
}

enum status config_read(struct loader *loader)
{
	return read_mapping(loader, SECTION_root, yaml_document_get_root_node(&loader->document), "", loader->config);
}
