#include <stdio.h>
#include <string.h>

#include "server/worker/resources/body.h"
#include "server/common/escape.h"
#include "server/worker/resources/key.h"

static void query_init(struct key_query *query)
{
	memset(query, 0, sizeof *query);
	query->class = CK_UNAVAILABLE_INFORMATION;
}

/* Adds what the URI says; false: *ret_error says what is wrong. */
static bool read_uri(struct request *request, const char *text, struct key_query *query, const char **ret_error)
{
	if (!pkcs11_uri_parse(request->arena, text, &query->uri, ret_error))
		return false;
	if ((query->uri.object.data != NULL && query->label.data != NULL) ||
		(query->uri.id.data != NULL && query->id.data != NULL)) {
		*ret_error = "the PKCS#11 URI repeats what label or id say";
		return false;
	}
	if (query->uri.object.data != NULL)
		query->label = query->uri.object;
	if (query->uri.id.data != NULL)
		query->id = query->uri.id;
	query->class = pkcs11_uri_class(&query->uri);
	query->by_uri = true;
	return true;
}

static const char *after(const char *text, const char *prefix)
{
	size_t len = strlen(prefix);
	return strncmp(text, prefix, len) == 0 ? text + len : NULL;
}

static struct bytes text_bytes(const char *text)
{
	return (struct bytes){(const unsigned char *)text, strlen(text)};
}

bool key_query_of_path(struct request *request, struct key_query *ret_query)
{
	const char *text = request->message->key, *rest, *error = NULL;
	struct key_query query;
	query_init(&query);
	if ((rest = after(text, "id:")) != NULL) {
		if (!hex_bytes(request->arena, rest, &query.id))
			error = "what follows id: is not an even number of hexadecimal digits";
	} else if (after(text, "pkcs11:") != NULL) {
		(void)read_uri(request, text, &query, &error);
	} else {
		rest = after(text, "label:");
		query.label = text_bytes(rest == NULL ? text : rest);
		if (query.label.len == 0)
			error = "the label is empty";
	}
	if (error != NULL) {
		reply_problem(request, PROBLEM_INVALID_PATH, error, NULL);
		return false;
	}
	*ret_query = query;
	return true;
}

bool key_query_of_selector(struct request *request, const char *label, const char *id, const char *uri,
	const char *pointer, struct key_query *ret_query)
{
	struct key_query query;
	const char *error = NULL, *member = "";
	query_init(&query);
	if (label != NULL)
		query.label = text_bytes(label);
	if (id != NULL && !hex_bytes(request->arena, id, &query.id)) {
		member = "/id";
		error = "an even number of hexadecimal digits is expected here";
	} else if (uri != NULL) {
		member = "/uri";
		(void)read_uri(request, uri, &query, &error);
	} else if (label == NULL && id == NULL) {
		error = "give id, label or uri";
	}
	if (error != NULL) {
		char place[64];
		snprintf(place, sizeof place, "%s%s", pointer, member);
		body_refuse(request, place, error);
		return false;
	}
	*ret_query = query;
	return true;
}
