#include <string.h>

#include "api/buffer.h"
#include "api/names.h"
#include "server/worker/resources/attribute.h"
#include "server/common/escape.h"
#include "server/worker/resources/key.h"
#include "server/worker/resources/key_usage.h"

enum { PATH_MAX_LEN = 4096 };

#define USAGE(constant, name, attribute, half) name,
static const char *const usage_names[] = {KEY_USAGES(USAGE)};
#undef USAGE
#define USAGE(constant, name, attribute, half) attribute,
/* The usages, then what depends on the kind of key; read together. */
static const CK_ATTRIBUTE_TYPE detail_types[] = {KEY_USAGES(USAGE) CKA_EXTRACTABLE, CKA_VALUE_LEN, CKA_MODULUS};
#undef USAGE
enum {
	DETAIL_EXTRACTABLE = KEY_USAGE_COUNT,
	DETAIL_VALUE_LEN,
	DETAIL_MODULUS,
	DETAIL_COUNT = sizeof detail_types / sizeof detail_types[0],
};

static const struct {
	CK_KEY_TYPE type;
	const char *name;
} type_names[] = {
	{CKK_EC, "EC"},
	{CKK_RSA, "RSA"},
	{CKK_AES, "AES"},
	{CKK_GENERIC_SECRET, "HMAC"},
};

const char *key_type_name(const struct key *key, char scratch[24])
{
	for (size_t i = 0; i < sizeof type_names / sizeof type_names[0]; i++)
		if (type_names[i].type == key->type)
			return type_names[i].name;
	if (key->curve != NULL && key->type == CKK_EC_EDWARDS)
		return key->curve->name;
	return name_text(NAMES_KEY_TYPE, key->type, scratch);
}

const char *key_event_label(const struct key *key)
{
	return key->label.len <= KEY_EVENT_LABEL_MAX ? (const char *)key->label.data : NULL;
}

const char *key_class_name(const struct key *key)
{
	return key->class == CKO_PRIVATE_KEY ? "private" : key->class == CKO_PUBLIC_KEY ? "public" : "secret";
}

const char *key_id_text(struct request *request, const struct key *key)
{
	return hex_text(request->arena, key->id.data, key->id.len);
}

void key_write_names(struct request *request, struct json_writer *writer, const struct key *key)
{
	char scratch[24];
	json_name(writer, "label");
	json_write_text(writer, (const char *)key->label.data, key->label.len);
	json_name(writer, "id");
	json_write_string(writer, key_id_text(request, key));
	json_name(writer, "type");
	json_write_string(writer, key_type_name(key, scratch));
}

/* A label that a path would read as something else: a prefix, or a dot segment. */
static bool wants_prefix(const char *label)
{
	return strncmp(label, "label:", 6) == 0 || strncmp(label, "id:", 3) == 0 || strncmp(label, "pkcs11:", 7) == 0 ||
	       strcmp(label, ".") == 0 || strcmp(label, "..") == 0;
}

/* The path of the slot's keys, to be gone on with. */
static void path_begin(struct request *request, struct buffer *ret_path)
{
	const char *slot = worker_slot_name(request->worker);
	buffer_init(ret_path, PATH_MAX_LEN);
	buffer_text(ret_path, "/v1/slots/");
	percent_encode(ret_path, slot, strlen(slot));
	buffer_text(ret_path, "/keys/");
}

const char *key_href(struct request *request, const struct key *key, enum key_reference reference)
{
	BUFFER_AUTO struct buffer path;
	const char *label = (const char *)key->label.data;
	bool label_fits = key->label.len > 0 && json_text_valid(label, key->label.len);
	path_begin(request, &path);
	if (key->id.len > 0 && (reference == KEY_BY_ID || !label_fits)) {
		buffer_text(&path, "id:");
		buffer_text(&path, key_id_text(request, key));
	} else {
		if (wants_prefix(label))
			buffer_text(&path, "label:");
		percent_encode(&path, label, key->label.len);
	}
	return path.failed ? NULL : arena_copy(request->arena, path.data, path.len);
}

const char *key_uri(struct request *request, const struct key *key)
{
	BUFFER_AUTO struct buffer uri;
	const struct {
		const char *name;
		struct bytes value;
	} attributes[] = {{"object=", key->label}, {"id=", key->id}};
	if (key->label.len == 0 && key->id.len == 0)
		return NULL;
	buffer_init(&uri, PATH_MAX_LEN);
	buffer_text(&uri, "pkcs11:");
	for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
		if (attributes[i].value.len == 0)
			continue;
		buffer_text(&uri, attributes[i].name);
		percent_encode(&uri, (const char *)attributes[i].value.data, attributes[i].value.len);
		buffer_text(&uri, ";");
	}
	buffer_text(&uri, "type=");
	buffer_text(&uri, pkcs11_uri_type(key->class));
	return uri.failed ? NULL : arena_copy(request->arena, uri.data, uri.len);
}

/* Whether what the URI says of a name, if it says anything, is so. */
static bool name_matches(struct bytes said, struct bytes name)
{
	return said.len == 0 || (said.len == name.len && memcmp(said.data, name.data, name.len) == 0);
}

bool key_uri_names(const struct key *key, const struct key *other)
{
	bool half = key->class == CKO_PUBLIC_KEY && other->public_object != CK_INVALID_HANDLE;
	return (key->class == other->class || half) && name_matches(key->label, other->label) &&
	       name_matches(key->id, other->id);
}

const char *key_uri_href(struct request *request, const char *uri)
{
	BUFFER_AUTO struct buffer path;
	path_begin(request, &path);
	percent_encode(&path, uri, strlen(uri));
	return path.failed ? NULL : arena_copy(request->arena, path.data, path.len);
}

static CK_ULONG modulus_bits(struct bytes modulus)
{
	CK_ULONG bits = modulus.len * 8;
	for (size_t i = 0; i < modulus.len; i++)
		for (unsigned bit = 0x80; bit != 0; bit >>= 1, bits--)
			if ((modulus.data[i] & bit) != 0)
				return bits;
	return 0;
}

static CK_ULONG key_bits(const struct key *key, const struct bytes details[DETAIL_COUNT])
{
	if (key->curve != NULL)
		return key->curve->bits;
	if (key->type == CKK_RSA)
		return modulus_bits(details[DETAIL_MODULUS]);
	return attribute_ulong(details[DETAIL_VALUE_LEN], 0) * 8;
}

/* CKA_MODULUS is asked last and of RSA keys only: without it there would be a second call for every other key. */
static CK_RV read_details(struct request *request, CK_SESSION_HANDLE session, const struct key *key,
	struct bytes ret_details[DETAIL_COUNT])
{
	size_t count = key->type == CKK_RSA ? DETAIL_COUNT : DETAIL_MODULUS;
	memset(ret_details, 0, DETAIL_COUNT * sizeof *ret_details);
	return attribute_read(request, session, key->object, detail_types, count, ret_details);
}

static void write_usage(struct json_writer *writer, const struct bytes details[], const struct bytes public_details[])
{
	json_name(writer, "usage");
	json_begin_array(writer);
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++)
		if (attribute_flag(details[i], false) || attribute_flag(public_details[i], false))
			json_write_string(writer, usage_names[i]);
	json_end_array(writer);
}

static void write_size(struct json_writer *writer, const struct key *key, const struct bytes details[])
{
	CK_ULONG bits = key_bits(key, details);
	if (bits != 0) {
		json_name(writer, "bits");
		json_write_uint(writer, bits);
	}
	if (key->curve != NULL) {
		json_name(writer, "curve");
		json_write_string(writer, key->curve->name);
	}
}

CK_RV key_write_open(struct request *request, CK_SESSION_HANDLE session, struct key *key, enum key_reference reference,
	struct json_writer *writer)
{
	struct bytes details[DETAIL_COUNT], public_details[KEY_USAGE_COUNT] = {{0}};
	CK_RV rv = read_details(request, session, key, details);
	if (rv == CKR_OK && key->class == CKO_PRIVATE_KEY && key->public_object != CK_INVALID_HANDLE)
		rv = attribute_read(
			request, session, key->public_object, detail_types, KEY_USAGE_COUNT, public_details);
	const char *href = key_href(request, key, reference);
	if (rv != CKR_OK || href == NULL)
		return rv != CKR_OK ? rv : CKR_HOST_MEMORY;
	json_begin_object(writer);
	key_write_names(request, writer, key);
	json_name(writer, "class");
	json_write_string(writer, key_class_name(key));
	write_size(writer, key, details);
	write_usage(writer, details, public_details);
	json_name(writer, "extractable");
	json_write_bool(writer, attribute_flag(details[DETAIL_EXTRACTABLE], key->class == CKO_PUBLIC_KEY));
	json_name(writer, "always_authenticate");
	json_write_bool(writer, key->always_authenticate);
	json_name(writer, "always_authenticate_source");
	json_write_string(writer, key->by_policy ? "policy" : "token");
	json_name(writer, "href");
	json_write_string(writer, href);
	return CKR_OK;
}

CK_RV key_write(struct request *request, CK_SESSION_HANDLE session, struct key *key, enum key_reference reference,
	struct json_writer *writer)
{
	CK_RV rv = key_write_open(request, session, key, reference, writer);
	if (rv == CKR_OK)
		json_end_object(writer);
	return rv;
}
