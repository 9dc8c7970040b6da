#include "server/common/pkcs11_uri.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

#include "server/common/escape.h"

static const char scheme[] = "pkcs11:";

static const struct {
	const char *name;
	size_t offset;
} attributes[] = {
#define ATTRIBUTE(name, member) {name, offsetof(struct pkcs11_uri, member)},
	PKCS11_URI_ATTRIBUTES(ATTRIBUTE)
#undef ATTRIBUTE
};

/* The names of RFC 7512, section 2.3, that are keys. */
static const struct {
	const char *name;
	CK_OBJECT_CLASS class;
} types[] = {
	{"private", CKO_PRIVATE_KEY},
	{"public", CKO_PUBLIC_KEY},
	{"secret-key", CKO_SECRET_KEY},
};

static bool bytes_are(struct bytes bytes, const char *text)
{
	return bytes.len == strlen(text) && memcmp(bytes.data, text, bytes.len) == 0;
}

static struct bytes *member_of(struct pkcs11_uri *uri, const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++)
		if (strlen(attributes[i].name) == len && memcmp(attributes[i].name, name, len) == 0)
			return (struct bytes *)((char *)uri + attributes[i].offset);
	return NULL;
}

/* pk11-pchar of RFC 7512; the escapes are judged by percent_decode. */
static bool is_plain(char c)
{
	return isalnum((unsigned char)c) || (c != '\0' && strchr("%-._~:[]@!$'()*+,=&", c) != NULL);
}

static bool decode(struct arena *arena, const char *text, size_t len, struct bytes *ret_value, const char **ret_error)
{
	for (size_t i = 0; i < len; i++) {
		if (!is_plain(text[i])) {
			*ret_error = "the PKCS#11 URI has a character that must be percent-encoded (in a path the "
				     "whole URI is encoded once more)";
			return false;
		}
	}
	if (percent_decode(arena, text, len, ret_value))
		return true;
	*ret_error = "a percent sign in the PKCS#11 URI is not followed by two hexadecimal digits";
	return false;
}

static bool parse_attribute(
	struct arena *arena, const char *text, size_t len, struct pkcs11_uri *uri, const char **ret_error)
{
	const char *equals = memchr(text, '=', len);
	if (equals == NULL) {
		*ret_error = "an attribute of the PKCS#11 URI has no value";
		return false;
	}
	size_t name_len = (size_t)(equals - text);
	struct bytes *member = member_of(uri, text, name_len);
	if (member == NULL) {
		*ret_error = "the PKCS#11 URI has an attribute other than token, manufacturer, serial, model, object, "
			     "id, type";
		return false;
	}
	if (member->data != NULL) {
		*ret_error = "an attribute of the PKCS#11 URI is there twice";
		return false;
	}
	return decode(arena, equals + 1, len - name_len - 1, member, ret_error);
}

/* Whatever it names. */
static bool parse(struct arena *arena, const char *text, struct pkcs11_uri *uri, const char **ret_error)
{
	if (strncmp(text, scheme, sizeof scheme - 1) != 0) {
		*ret_error = "a PKCS#11 URI begins with pkcs11:";
		return false;
	}
	text += sizeof scheme - 1;
	if (strchr(text, '?') != NULL) {
		*ret_error = "the query of a PKCS#11 URI is not accepted here; a PIN goes into the body";
		return false;
	}
	for (const char *at = text;; at++) {
		size_t len = strcspn(at, ";");
		if (!parse_attribute(arena, at, len, uri, ret_error))
			return false;
		at += len;
		if (*at == '\0')
			return true;
	}
}

bool pkcs11_uri_parse(struct arena *arena, const char *text, struct pkcs11_uri *ret_uri, const char **ret_error)
{
	struct pkcs11_uri uri = {0};
	if (!parse(arena, text, &uri, ret_error))
		return false;
	if (uri.object.data == NULL && uri.id.data == NULL) {
		*ret_error = "the PKCS#11 URI names no key: give object or id";
		return false;
	}
	if (uri.type.data != NULL && pkcs11_uri_class(&uri) == CK_UNAVAILABLE_INFORMATION) {
		*ret_error = "the type in the PKCS#11 URI is not private, public or secret-key";
		return false;
	}
	*ret_uri = uri;
	return true;
}

bool pkcs11_uri_parse_token(struct arena *arena, const char *text, struct pkcs11_uri *ret_uri, const char **ret_error)
{
	struct pkcs11_uri uri = {0};
	if (!parse(arena, text, &uri, ret_error))
		return false;
	if (uri.object.data != NULL || uri.id.data != NULL || uri.type.data != NULL) {
		*ret_error = "the PKCS#11 URI names a key where a token is to be named; leave object, id and type out";
		return false;
	}
	*ret_uri = uri;
	return true;
}

const char *pkcs11_uri_type(CK_OBJECT_CLASS class)
{
	size_t i = 0;
	while (i + 1 < sizeof types / sizeof types[0] && types[i].class != class)
		i++;
	return types[i].name;
}

CK_OBJECT_CLASS pkcs11_uri_class(const struct pkcs11_uri *uri)
{
	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
		if (uri->type.data != NULL && bytes_are(uri->type, types[i].name))
			return types[i].class;
	return CK_UNAVAILABLE_INFORMATION;
}

static bool field_matches(struct bytes wanted, const CK_UTF8CHAR *field, size_t size)
{
	while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0'))
		size--;
	return wanted.data == NULL || (wanted.len == size && memcmp(wanted.data, field, size) == 0);
}

bool pkcs11_uri_matches_token(const struct pkcs11_uri *uri, const CK_TOKEN_INFO *token)
{
	return field_matches(uri->token, token->label, sizeof token->label) &&
	       field_matches(uri->manufacturer, token->manufacturerID, sizeof token->manufacturerID) &&
	       field_matches(uri->serial, token->serialNumber, sizeof token->serialNumber) &&
	       field_matches(uri->model, token->model, sizeof token->model);
}
