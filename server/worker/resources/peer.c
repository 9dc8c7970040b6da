#include "server/worker/resources/peer.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/x509.h>

size_t peer_field_len(const struct key *key)
{
	return (key->curve->bits + 7) / 8;
}

static void pkey_done(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
}
#define PKEY_AUTO __attribute__((cleanup(pkey_done)))

/* The number, as long as the field, at `out`. */
static bool coordinate(const EVP_PKEY *peer, const char *name, size_t len, unsigned char *out)
{
	BIGNUM *number = NULL;
	bool good = EVP_PKEY_get_bn_param(peer, name, &number) == 1 && BN_bn2binpad(number, out, (int)len) == (int)len;
	BN_free(number);
	return good;
}

struct bytes peer_point(struct request *request, const struct key *key, struct bytes public_key)
{
	const struct bytes none = {NULL, 0};
	const unsigned char *at = public_key.data;
	char group[80];
	size_t len = peer_field_len(key);
	unsigned char *point = arena_alloc(request->arena, 1 + 2 * len);
	PKEY_AUTO EVP_PKEY *peer = d2i_PUBKEY(NULL, &at, (long)public_key.len);
	if (point == NULL || peer == NULL || at != public_key.data + public_key.len || !EVP_PKEY_is_a(peer, "EC") ||
		EVP_PKEY_get_group_name(peer, group, sizeof group, NULL) != 1 ||
		OBJ_txt2nid(group) != OBJ_txt2nid(key->curve->openssl))
		return none;
	point[0] = POINT_CONVERSION_UNCOMPRESSED;
	if (!coordinate(peer, OSSL_PKEY_PARAM_EC_PUB_X, len, point + 1) ||
		!coordinate(peer, OSSL_PKEY_PARAM_EC_PUB_Y, len, point + 1 + len))
		return none;
	return (struct bytes){point, 1 + 2 * len};
}
