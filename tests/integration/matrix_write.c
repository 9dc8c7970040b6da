#include "tests/integration/matrix.h"

#include <stdio.h>
#include <string.h>

#include "api/base64url.h"

/* One that the token has for that call, so that the key is what is wrong. */
static const char *mechanism_of(enum call_id id)
{
	switch (id) {
	case CALL_WrapKey:
	case CALL_UnwrapKey: return "{\"mechanism\":\"CKM_AES_KEY_WRAP\"}";
	case CALL_DeriveKey:
		return "{\"mechanism\":\"CKM_ECDH1_DERIVE\",\"parameter\":{\"kdf\":\"CKD_NULL\",\"pSharedData\":null,"
		       "\"pPublicData\":\"BA\"}}";
	case CALL_EncryptInit:
	case CALL_DecryptInit: return "{\"mechanism\":\"CKM_RSA_PKCS\"}";
	default: return "{\"mechanism\":\"CKM_ECDSA\"}";
	}
}

/* As base64url. */
static void write_text(struct buffer *out, const char *text)
{
	char encoded[200];

	base64url_encode(encoded, text, strlen(text));
	buffer_byte(out, '"');
	buffer_append(out, encoded, base64url_encoded_len(strlen(text)));
	buffer_byte(out, '"');
}

/* A benign value of a kind; false: no member. */
static bool write_value(struct buffer *out, const struct gateway *g, enum call_id id, enum wire_kind kind,
	const struct matrix_handles *handles)
{
	switch (kind) {
	case WIRE_BOOL: buffer_text(out, "true"); return true;
	case WIRE_ULONG: buffer_text(out, "6"); return true; /* flags of a session that reads and writes */
	case WIRE_USER: buffer_text(out, "\"CKU_USER\""); return true;
	case WIRE_BYTES: buffer_text(out, "\"AAAA\""); return true;
	case WIRE_PIN: write_text(out, id == CALL_InitToken ? g->so_pin : g->pin); return true;
	case WIRE_LABEL: write_text(out, "a label that fills its 32 bytes "); return true;
	case WIRE_MECHANISM: buffer_text(out, handles->mechanism ? handles->mechanism : mechanism_of(id)); return true;
	case WIRE_TEMPLATE: buffer_text(out, "[{\"CKA_LABEL\":\"x\"}]"); return true;
	case WIRE_QUERY: buffer_text(out, "[{\"CKA_LABEL\":64}]"); return true;
	case WIRE_BUFFER: buffer_text(out, "64"); return true;
	case WIRE_FILL: buffer_text(out, "16"); return true;
	case WIRE_FOUND: buffer_text(out, "10"); return true;
	default: return false;
	}
}

/* A handle or another value; false: no member. */
static bool write_argument(struct buffer *out, const struct gateway *g, const struct call_row *row, size_t i,
	const struct matrix_handles *handles)
{
	enum wire_kind kind = row->arguments[i].kind;
	char text[40];

	if (kind != WIRE_SESSION && kind != WIRE_OBJECT)
		return write_value(out, g, row->id, kind, handles);
	unsigned long object = i == handles->at ? handles->object : handles->own;
	(void)snprintf(text, sizeof(text), "%lu", kind == WIRE_SESSION ? handles->session : object);
	buffer_text(out, text);
	return true;
}

void matrix_call_write(
	struct buffer *out, const struct gateway *g, const struct call_row *row, const struct matrix_handles *handles)
{
	char text[120], id[ID_SIZE];
	bool first = true;

	random_id(id);
	(void)snprintf(text, sizeof(text), "%s{\"op\":\"%s\",\"calls\":[{\"%s\":{",
		out->data[out->len - 1] == '[' ? "" : ",", id, row->name);
	buffer_text(out, text);
	for (size_t i = 0; i < row->argument_count; i++) {
		size_t before = out->len;
		(void)snprintf(text, sizeof(text), "%s\"%s\":", first ? "" : ",", row->arguments[i].name);
		buffer_text(out, text);
		bool written = write_argument(out, g, row, i, handles);
		if (!written)
			out->len = before;
		first = first && !written;
	}
	buffer_text(out, "}}]}");
}

size_t matrix_call_argument(const struct call_row *row, enum wire_kind kind)
{
	size_t i = 0;

	while (i < row->argument_count && row->arguments[i].kind != kind)
		i++;
	return i;
}

unsigned matrix_occurrences(const char *text, const char *what)
{
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, what)) != NULL; at++)
		count++;
	return count;
}
