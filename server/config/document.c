/*
 * The YAML text as a tree that knows where each value is written.
 */
#include "server/config/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status parser_fault(struct loader *loader, const yaml_parser_t *parser)
{
	const char *problem = parser->problem ? parser->problem : "not readable as YAML";

	if (parser->error == YAML_MEMORY_ERROR)
		return STATUS_NO_MEMORY;
	/* Encoding errors carry a byte offset and no mark. */
	if (parser->error == YAML_READER_ERROR)
		return fault_at(loader, parser->mark, "", "%s (byte %zu of the file); write the file in UTF-8", problem,
			parser->problem_offset);
	return fault_at(loader, parser->problem_mark, "", "%s; the file must be YAML", problem);
}

enum status document_parse(struct loader *loader, const unsigned char *text, size_t len)
{
	yaml_parser_t parser;
	yaml_document_t second;
	enum status status = STATUS_OK;

	if (!yaml_parser_initialize(&parser))
		return STATUS_NO_MEMORY;
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, text, len);
	if (!yaml_parser_load(&parser, &loader->document)) {
		status = parser_fault(loader, &parser);
		memset(&loader->document, 0, sizeof loader->document);
		yaml_parser_delete(&parser);
		return status;
	}
	if (!yaml_document_get_root_node(&loader->document)) {
		status = fault_at(loader, parser.mark, "", "the file is empty; config/p11gated.yaml is an example");
	} else if (!yaml_parser_load(&parser, &second)) {
		status = parser_fault(loader, &parser);
	} else {
		yaml_node_t *root = yaml_document_get_root_node(&second);

		if (root)
			status = fault_at(
				loader, root->start_mark, "", "a second document; keep one document in the file");
		yaml_document_delete(&second);
	}
	yaml_parser_delete(&parser);
	return status;
}

static yaml_node_t *mapping_value(struct loader *loader, yaml_node_t *mapping, const char *name, size_t len)
{
	for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
		pair++) {
		yaml_node_t *key = yaml_document_get_node(&loader->document, pair->key);

		if (key->type == YAML_SCALAR_NODE && key->data.scalar.length == len &&
			memcmp(key->data.scalar.value, name, len) == 0)
			return yaml_document_get_node(&loader->document, pair->value);
	}
	return NULL;
}

static yaml_node_t *sequence_item(struct loader *loader, yaml_node_t *sequence, size_t index)
{
	if (index >= (size_t)(sequence->data.sequence.items.top - sequence->data.sequence.items.start))
		return NULL;
	return yaml_document_get_node(&loader->document, sequence->data.sequence.items.start[index]);
}

/* The node at `path`, or NULL and the deepest node on the way to it. */
static yaml_node_t *walk(struct loader *loader, const char *path, yaml_node_t **ret_deepest)
{
	yaml_node_t *node = yaml_document_get_root_node(&loader->document);

	while (node && *path) {
		*ret_deepest = node;
		if (*path == '[') {
			char *end;
			size_t index = strtoul(path + 1, &end, 10);

			node = node->type == YAML_SEQUENCE_NODE ? sequence_item(loader, node, index) : NULL;
			path = *end == ']' ? end + 1 : end;
		} else {
			path += *path == '.';
			size_t len = strcspn(path, ".[");

			node = node->type == YAML_MAPPING_NODE ? mapping_value(loader, node, path, len) : NULL;
			path += len;
		}
	}
	if (node)
		*ret_deepest = node;
	return node;
}

yaml_mark_t document_locate(struct loader *loader, const char *path)
{
	yaml_node_t *deepest = NULL;

	walk(loader, path, &deepest);
	return deepest ? deepest->start_mark : (yaml_mark_t){0};
}

const char *document_text(struct loader *loader, const char *path)
{
	yaml_node_t *deepest = NULL;
	const yaml_node_t *node = walk(loader, path, &deepest);

	return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

bool document_has(struct loader *loader, const char *path)
{
	yaml_node_t *deepest = NULL;

	return walk(loader, path, &deepest) != NULL;
}

static enum status fault_write(
	struct loader *loader, yaml_mark_t mark, const char *path, const char *format, va_list arguments)
{
	size_t size = loader->error_size;
	int used = snprintf(loader->error, size, "%s:%zu:%zu: %s%s", loader->file, mark.line + 1, mark.column + 1, path,
		*path ? ": " : "");

	if (used >= 0 && (size_t)used < size)
		vsnprintf(loader->error + used, size - (size_t)used, format, arguments);
	/* Values from the file are quoted in messages: whatever they hold, the message stays one line. */
	for (char *c = loader->error; size > 0 && *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	}
	return STATUS_MALFORMED;
}

enum status fault_at(struct loader *loader, yaml_mark_t mark, const char *path, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	enum status status = fault_write(loader, mark, path, format, arguments);
	va_end(arguments);
	return status;
}

enum status fault(struct loader *loader, const char *path, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	enum status status = fault_write(loader, document_locate(loader, path), path, format, arguments);
	va_end(arguments);
	return status;
}

const char *key_path(struct loader *loader, const char *format, ...)
{
	char *path = arena_alloc(loader->arena, LIMIT_KEY_PATH);
	va_list arguments;

	if (!path)
		return "";
	va_start(arguments, format);
	vsnprintf(path, LIMIT_KEY_PATH, format, arguments);
	va_end(arguments);
	return path;
}
