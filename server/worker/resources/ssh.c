#include <openssl/evp.h>
#include <string.h>

#include "server/worker/resources/public_key.h"

enum { BLOB_MAX = 8192 }; /* bytes of a key in the encoding of SSH */

static void append_string(struct buffer *out, struct bytes string)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buffer_byte(out, (unsigned char)(string.len >> shift));
	buffer_append(out, string.data, string.len);
}

static void append_text(struct buffer *out, const char *text)
{
	append_string(out, (struct bytes){(const unsigned char *)text, strlen(text)});
}

/* A positive mpint (RFC 4251, section 5): without leading zeros but the one that keeps it positive. */
static void append_number(struct buffer *out, struct bytes number)
{
	while (number.len > 0 && number.data[0] == 0) {
		number.data++;
		number.len--;
	}
	bool sign = number.len > 0 && (number.data[0] & 0x80) != 0;
	size_t len = number.len + sign;
	for (int shift = 24; shift >= 0; shift -= 8)
		buffer_byte(out, (unsigned char)(len >> shift));
	if (sign)
		buffer_byte(out, 0);
	buffer_append(out, number.data, number.len);
}

static void append_key(struct buffer *out, const struct public_key *public_key, const char *type)
{
	append_text(out, type);
	if (public_key->key->type == CKK_RSA) {
		append_number(out, public_key->exponent);
		append_number(out, public_key->modulus);
		return;
	}
	if (public_key->key->type == CKK_EC)
		append_text(out, type + strlen("ecdsa-sha2-"));
	append_string(out, public_key->point);
}

/* A line break in a label would begin another line of authorized_keys. */
static void append_comment(struct buffer *out, struct bytes label)
{
	for (size_t i = 0; i < label.len; i++)
		buffer_byte(out, label.data[i] < 0x20 || label.data[i] == 0x7f ? '_' : label.data[i]);
}

bool public_key_write_ssh(const struct public_key *public_key, struct buffer *out)
{
	const struct key *key = public_key->key;
	BUFFER_AUTO struct buffer blob;
	char base64[4 * BLOB_MAX / 3 + 8];
	const char *type = key->type == CKK_RSA ? "ssh-rsa" : key->curve == NULL ? NULL : key->curve->ssh;
	if (type == NULL)
		return false;
	buffer_init(&blob, BLOB_MAX);
	append_key(&blob, public_key, type);
	if (blob.failed)
		return false;
	int len = EVP_EncodeBlock((unsigned char *)base64, blob.data, (int)blob.len);
	buffer_text(out, type);
	buffer_text(out, " ");
	buffer_append(out, base64, (size_t)len);
	buffer_text(out, " ");
	append_comment(out, key->label);
	buffer_text(out, "\n");
	return true;
}
