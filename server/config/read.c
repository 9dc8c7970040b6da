/*
 * From the tree to struct config, by the rows of keys.def.
 */
#include "server/config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/call.h"

static enum status read_mapping(
	struct loader *loader, enum section section, yaml_node_t *node, const char *path, void *base);

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

static enum status read_scalar(
	struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, void *base)
{
	bool plain_only = key->kind == KEY_NUMBER || key->kind == KEY_PORT || key->kind == KEY_FLAG;

	if (node->type != YAML_SCALAR_NODE)
		return fault_at(loader, node->start_mark, path, "%s where one value belongs; for example %s: %s",
			kind_of(node), key->name, key->text);
	if (is_null(node))
		return fault_at(loader, node->start_mark, path,
			"no value; give one, for example %s, or leave the key out", key->text);
	if (plain_only && node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return fault_at(loader, node->start_mark, path,
			"text where a bare value belongs; write %s: %s without quotes", key->name, key->text);
	struct scalar value = {
		(const char *)node->data.scalar.value,
		node->data.scalar.length,
		node->start_mark,
		path,
	};
	return value_store(loader, key, &value, base);
}

/* Checks that `node` is a list of an allowed length; null counts as an empty one. */
static enum status list_length(
	struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, size_t *ret_count)
{
	size_t count = 0;

	if (node->type == YAML_SEQUENCE_NODE)
		count = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
	else if (!is_null(node))
		return fault_at(loader, node->start_mark, path, "%s where a list belongs; start each item with \"- \"",
			kind_of(node));
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

static enum status read_list(
	struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	char item_path[LIMIT_KEY_PATH];
	size_t count = 0;
	enum status status = list_length(loader, key, node, path, &count);

	if (status != STATUS_OK)
		return status;
	char *items = arena_array(loader->arena, count, key->item_size);
	if (!items)
		return STATUS_NO_MEMORY;
	for (size_t i = 0; i < count && status == STATUS_OK; i++) {
		path_join(item_path, path, "[%zu]", i);
		if (key->kind == KEY_LIST)
			status = read_mapping(
				loader, key->items, list_item(loader, node, i), item_path, items + i * key->item_size);
		else
			status = read_scalar(loader,
				&(struct key){.kind = KEY_TEXT, .name = key->name, .text = key->text, .minimum = 1},
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

static enum status read_permissions(
	struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	char item_path[LIMIT_KEY_PATH];
	unsigned mask = 0;
	size_t count = 0;
	enum status status = list_length(loader, key, node, path, &count);

	for (size_t i = 0; status == STATUS_OK && i < count; i++) {
		path_join(item_path, path, "[%zu]", i);
		status = read_permission(loader, list_item(loader, node, i), item_path, &mask);
	}
	if (status == STATUS_OK)
		*(unsigned *)(base + key->offset) = mask;
	return status;
}

static enum status read_value(
	struct loader *loader, const struct key *key, yaml_node_t *node, const char *path, char *base)
{
	switch (key->kind) {
	case KEY_MAPPING: return read_mapping(loader, key->items, node, path, base);
	case KEY_LIST:
	case KEY_TEXTS: return read_list(loader, key, node, path, base);
	case KEY_PERMISSIONS: return read_permissions(loader, key, node, path, base);
	default: return read_scalar(loader, key, node, path, base + key->offset);
	}
}

/* A key that the file does not have. */
static enum status read_absent(
	struct loader *loader, const struct key *key, yaml_mark_t mark, const char *path, char *base)
{
	if (key->presence == KEY_REQUIRED)
		return fault_at(loader, mark, path, "missing; add it%s%s%s%s", *key->text ? ", for example " : "",
			*key->text ? key->name : "", *key->text ? ": " : "", key->text);
	if (key->kind == KEY_MAPPING)
		return read_mapping(loader, key->items, NULL, path, base);
	if (key->presence == KEY_DEFAULT) {
		struct scalar value = {key->text, strlen(key->text), mark, path};

		return value_store(loader, key, &value, base + key->offset);
	}
	return STATUS_OK;
}

/* "listen, tls, …": the keys of a section. */
static void known_keys(enum section section, char *ret_known, size_t size)
{
	*ret_known = '\0';
	for (size_t i = 0, used = 0; i < config_keys_count && used < size; i++) {
		if (config_keys[i].section == section)
			used += (size_t)snprintf(
				ret_known + used, size - used, "%s%s", used ? ", " : "", config_keys[i].name);
	}
}

/* The row of a pair's key, which must be known and new in this mapping; else NULL and the fault in `ret_status`. */
static const struct key *identify(struct loader *loader, enum section section, yaml_node_t *name, const char *path,
	bool *seen, enum status *ret_status)
{
	char known[512];

	if (name->type != YAML_SCALAR_NODE) {
		*ret_status = fault_at(
			loader, name->start_mark, path, "%s where a key belongs; write \"key: value\"", kind_of(name));
		return NULL;
	}
	const struct key *key = key_find(section, (const char *)name->data.scalar.value, name->data.scalar.length);
	if (!key) {
		known_keys(section, known, sizeof known);
		*ret_status = fault_at(loader, name->start_mark, path, "unknown key; known here: %s", known);
		return NULL;
	}
	if (seen[key - config_keys]) {
		*ret_status = fault_at(loader, name->start_mark, path, "given twice; keep one of the two");
		return NULL;
	}
	seen[key - config_keys] = true;
	return key;
}

static enum status read_pair(struct loader *loader, enum section section, const yaml_node_pair_t *pair,
	const char *path, bool *seen, void *base)
{
	yaml_node_t *name = yaml_document_get_node(&loader->document, pair->key);
	enum status status = STATUS_MALFORMED;
	char child[LIMIT_KEY_PATH];

	path_join(child, path, "%s%.100s", *path ? "." : "",
		name->type == YAML_SCALAR_NODE ? (const char *)name->data.scalar.value : "?");
	const struct key *key = identify(loader, section, name, child, seen, &status);
	if (!key)
		return status;
	return read_value(loader, key, yaml_document_get_node(&loader->document, pair->value), child, base);
}

/* Reads the mapping `node` into the structure at `base`; without a node everything gets its default. */
static enum status read_mapping(
	struct loader *loader, enum section section, yaml_node_t *node, const char *path, void *base)
{
	enum { SEEN_MAX = 256 };
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
		return fault_at(loader, mark, path, "%s where a mapping belongs; write \"key: value\" lines below it",
			kind_of(node));
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

/* The defaults of a section whose mappings are items of a list, for what no item is about. */
static enum status read_defaults(struct loader *loader, enum section section, void *base)
{
	enum status status = STATUS_OK;

	for (size_t i = 0; i < config_keys_count && status == STATUS_OK; i++) {
		const struct key *key = &config_keys[i];

		if (key->section == section && key->presence == KEY_DEFAULT)
			status = read_absent(loader, key, (yaml_mark_t){0}, key->name, base);
	}
	return status;
}

enum status config_read(struct loader *loader)
{
	enum status status = read_mapping(
		loader, SECTION_root, yaml_document_get_root_node(&loader->document), "", loader->config);

	return status == STATUS_OK ? read_defaults(loader, SECTION_login, &loader->config->login_defaults) : status;
}
