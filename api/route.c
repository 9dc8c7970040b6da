#include "api/route.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "api/call.h"
#include "api/json.h"

/* The column `server` as server and idempotent. */
#define BY_GATEWAY SERVER_GATEWAY, false
#define BY_INVENTORY SERVER_INVENTORY, false
#define BY_WORKER SERVER_WORKER, false
#define BY_WORKER_ONCE SERVER_WORKER, true

static const struct route_row rows[ROUTE_COUNT] = {
#define ROUTE(name, method, path, permission, server, request, response, success, summary) \
	{ROUTE_##name, #name, #method, path, PERMISSIONS_##permission, BY_##server, SCHEMA_##request, \
		SCHEMA_##response, success, summary},
#include "routes.def"
};

static const char *const parameter_names[PARAMETER_COUNT] = {
#define PARAMETER(constant, name, description) [PARAMETER_##constant] = name,
	ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
};

static const unsigned char parameter_lengths[PARAMETER_COUNT] = {
#define PARAMETER(constant, name, description) [PARAMETER_##constant] = sizeof(name) - 1,
	ROUTE_PARAMETERS(PARAMETER)
#undef PARAMETER
};

static const struct {
	enum route_id route;
	const char *type;
} bodies[] = {
#define BODY(route, type) {ROUTE_##route, type},
#include "bodies.def"
};

const struct route_row *route_row(enum route_id id)
{
	return &rows[id];
}

const char *route_body_type(const struct route_row *row, size_t place)
{
	size_t found = 0;
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
		if (bodies[i].route == row->id && found++ == place)
			return bodies[i].type;
	if (found > 0)
		return NULL;
	if (place == 0)
		return "application/json";
	return place == 1 && schema_content(schema_row(row->request)) != NULL ? "application/octet-stream" : NULL;
}

bool route_takes(const struct route_row *row, const char *content_type, size_t len)
{
	size_t type_len = 0;
	const char *type;
	while (type_len < len && strchr("; \t", content_type[type_len]) == NULL)
		type_len++;
	for (size_t i = 0; (type = route_body_type(row, i)) != NULL; i++)
		if (strlen(type) == type_len && strncasecmp(type, content_type, type_len) == 0)
			return true;
	return false;
}

/* One segment of a request path, raw and decoded. */
struct segment {
	char *text; /* decoded, NUL-terminated, in the arena */
	size_t len; /* bytes of text */
	bool slash; /* the decoded text holds a '/' */
};

enum { SEGMENTS_MAX = 16 };

struct path {
	struct segment segments[SEGMENTS_MAX];
	size_t count; /* SEGMENTS_MAX + 1 if there are more, which no template has */
};

/* pchar of RFC 3986. */
static bool is_path_byte(char byte)
{
	if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9'))
		return true;
	return byte != '\0' && strchr("-._~!$&'()*+,;=:@%", byte) != NULL;
}

static int hex_digit(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if ((digit >= 'a' && digit <= 'f') || (digit >= 'A' && digit <= 'F'))
		return (digit | 0x20) - 'a' + 10;
	return -1;
}

/* Decodes `len` raw bytes into `segment->text`, which has room. Returns why it is malformed, or NULL. */
static const char *segment_decode(struct segment *segment, const char *raw, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_path_byte(raw[i]))
			return "The path holds a byte that must be percent-encoded.";
		char byte = raw[i];
		if (byte == '%') {
			int high = len - i > 2 ? hex_digit(raw[i + 1]) : -1;
			int low = len - i > 2 ? hex_digit(raw[i + 2]) : -1;
			if (high < 0 || low < 0)
				return "The path holds a % without two hexadecimal digits.";
			byte = (char)(high << 4 | low);
			i += 2;
			segment->slash = segment->slash || byte == '/';
		}
		segment->text[segment->len++] = byte;
	}
	if (!json_text_valid(segment->text, segment->len))
		return "The path holds %00 or is not UTF-8.";
	if (strcmp(segment->text, ".") == 0 || strcmp(segment->text, "..") == 0)
		return "The path holds a dot segment.";
	return NULL;
}

/* Splits and decodes. On failure sets outcome (and problem). */
static bool path_split(
	struct arena *arena, const char *at, const char *end, struct path *path, struct route_match *match)
{
	if (at == end || *at != '/') {
		match->problem = "The path does not begin with a slash.";
		return false;
	}
	while (at < end) {
		const char *start = at + 1;
		const char *slash = memchr(start, '/', (size_t)(end - start));
		struct segment segment = {0};
		at = slash == NULL ? end : slash;
		segment.text = arena_alloc(arena, (size_t)(at - start) + 1);
		if (segment.text == NULL) {
			match->outcome = ROUTE_NO_MEMORY;
			return false;
		}
		match->problem = segment_decode(&segment, start, (size_t)(at - start));
		if (match->problem != NULL)
			return false;
		if (path->count < SEGMENTS_MAX)
			path->segments[path->count] = segment;
		if (path->count <= SEGMENTS_MAX)
			path->count++;
	}
	return true;
}

/* The parameter that a template's segment "{name}" names; PARAMETER_COUNT for a fixed segment. */
static enum route_parameter template_parameter(const char *segment)
{
	if (*segment != '{')
		return PARAMETER_COUNT;
	for (enum route_parameter i = 0; i < PARAMETER_COUNT; i++) {
		size_t len = parameter_lengths[i];
		if (strncmp(segment + 1, parameter_names[i], len) == 0 && segment[1 + len] == '}')
			return i;
	}
	return PARAMETER_COUNT;
}

static bool segment_is(const struct segment *given, const char *segment)
{
	if (strncmp(segment, given->text, given->len) != 0)
		return false;
	return segment[given->len] == '/' || segment[given->len] == '\0';
}

/* Whether the path has the template's shape; its parameters then. `*ret_slash`: it would, but for a slash outside {key}. */
static bool template_matches(
	const char *template, const struct path *path, const char *parameters[PARAMETER_COUNT], bool *ret_slash)
{
	bool slash = false;
	size_t i = 0;

	for (; template != NULL && i < path->count && i < SEGMENTS_MAX; i++) {
		const struct segment *given = &path->segments[i];
		enum route_parameter parameter = template_parameter(template + 1);
		if (parameter == PARAMETER_COUNT ? !segment_is(given, template + 1) : given->len == 0)
			return false;
		if (parameter != PARAMETER_COUNT) {
			slash = slash || (given->slash && parameter != PARAMETER_KEY);
			parameters[parameter] = given->text;
		}
		template = strchr(template + 1, '/');
	}
	if (template != NULL || i != path->count)
		return false;
	*ret_slash = *ret_slash || slash;
	return !slash;
}

/* The methods of `known`, separated by commas, in the arena; NULL without memory. */
static const char *allow_list(struct arena *arena, const bool known[ROUTE_COUNT])
{
	size_t len = 0;

	for (size_t i = 0; i < ROUTE_COUNT; i++)
		len += known[i] ? strlen(rows[i].method) + 2 : 0;
	char *allow = arena_alloc(arena, len + 1), *at = allow;
	if (allow == NULL)
		return NULL;
	for (size_t i = 0; i < ROUTE_COUNT; i++)
		if (known[i])
			at = stpcpy(at == allow ? at : stpcpy(at, ", "), rows[i].method);
	return allow;
}

static void rows_match(struct arena *arena, const char *method, const struct path *path, struct route_match *match)
{
	bool known[ROUTE_COUNT] = {false}, any = false, slash = false;

	for (size_t i = 0; i < ROUTE_COUNT; i++) {
		const char *parameters[PARAMETER_COUNT] = {NULL};
		if (!template_matches(rows[i].path, path, parameters, &slash))
			continue;
		if (strcmp(rows[i].method, method) == 0) {
			match->outcome = ROUTE_MATCHED;
			match->row = &rows[i];
			memcpy(match->parameters, parameters, sizeof(parameters));
			return;
		}
		known[i] = any = true;
	}
	if (any) {
		match->allow = allow_list(arena, known);
		match->outcome = match->allow == NULL ? ROUTE_NO_MEMORY : ROUTE_METHOD_NOT_ALLOWED;
	} else if (slash) {
		match->problem = "The path holds %2F outside the name of a key.";
	} else {
		match->outcome = ROUTE_NOT_FOUND;
	}
}

void route_match(struct arena *arena, const char *method, const char *path, size_t len, struct route_match *ret_match)
{
	struct path parts = {.count = 0};

	*ret_match = (struct route_match){.outcome = ROUTE_MALFORMED};
	if (path_split(arena, path, path + len, &parts, ret_match))
		rows_match(arena, method, &parts, ret_match);
}
