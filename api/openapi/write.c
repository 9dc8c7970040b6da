#include "api/openapi/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/call.h"

enum { FIXED_MAX = 4096 }; /* bytes */

void die(const char *what, const char *where)
{
	fprintf(stderr, "openapi: %s: %s\n", what, where);
	exit(1);
}

void write_fixed(struct json_writer *w, const char *text)
{
	char json[FIXED_MAX];
	size_t len = strlen(text), offset;
	const char *error;

	if (len > sizeof(json))
		die("too long", text);
	for (size_t i = 0; i < len; i++)
		json[i] = (char)(text[i] == '\'' ? '"' : text[i]);
	if (!json_validate(json, len, &error, &offset))
		die(error, text);
	json_write_raw(w, json, len);
}

void put(struct json_writer *w, const char *name, const char *json)
{
	json_name(w, name);
	write_fixed(w, json);
}

void put_text(struct json_writer *w, const char *name, const char *value)
{
	json_name(w, name);
	json_write_string(w, value);
}

void put_object(struct json_writer *w, const char *name)
{
	json_name(w, name);
	json_begin_object(w);
}

void write_reference(struct json_writer *w, const char *section, const char *name, const char *description)
{
	char path[256];

	snprintf(path, sizeof(path), "#/components/%s/%s", section, name);
	json_begin_object(w);
	put_text(w, "$ref", path);
	if (description != NULL)
		put_text(w, "description", description);
	json_end_object(w);
}

void permissions_write(struct json_writer *w, unsigned permissions)
{
	static const char *const names[PERMISSION_COUNT] = {
		[PERMISSION_READ] = "read",
		[PERMISSION_LOGIN] = "login",
		[PERMISSION_USE] = "use",
		[PERMISSION_WRITE] = "write",
		[PERMISSION_ADMIN] = "admin",
	};
	char list[128] = "", sentence[256];
	size_t len = 0, count = 0;

	for (unsigned i = 0; i < PERMISSION_COUNT; i++) {
		if ((permissions & 1u << i) != 0)
			len += (size_t)snprintf(
				list + len, sizeof(list) - len, "%s`%s`", count++ > 0 ? " and " : "", names[i]);
	}
	if (count == 0)
		return;
	snprintf(sentence, sizeof(sentence), "Needs the permission%s %s on the slot.", count > 1 ? "s" : "", list);
	put_text(w, "description", sentence);
}
