#include "server/worker/resources/ecdsa.h"

#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec.h>

static void signature_done(ECDSA_SIG **signature)
{
	ECDSA_SIG_free(*signature);
}
#define SIGNATURE_AUTO __attribute__((cleanup(signature_done)))

bool ecdsa_raw_to_der(struct arena *arena, struct bytes raw, struct bytes *ret_der)
{
	if (raw.len == 0 || raw.len % 2 != 0 || raw.len > INT_MAX)
		return false;
	int half = (int)(raw.len / 2);
	SIGNATURE_AUTO ECDSA_SIG *signature = ECDSA_SIG_new();
	BIGNUM *r = BN_bin2bn(raw.data, half, NULL), *s = BN_bin2bn(raw.data + half, half, NULL);
	if (signature == NULL || r == NULL || s == NULL || ECDSA_SIG_set0(signature, r, s) != 1) {
		BN_free(r);
		BN_free(s);
		return false;
	}
	int len = i2d_ECDSA_SIG(signature, NULL);
	unsigned char *der = len > 0 ? arena_alloc(arena, (size_t)len) : NULL, *end = der;
	if (der == NULL || i2d_ECDSA_SIG(signature, &end) != len)
		return false;
	*ret_der = (struct bytes){der, (size_t)len};
	return true;
}

bool ecdsa_der_to_raw(struct arena *arena, struct bytes der, size_t number_len, struct bytes *ret_raw)
{
	const unsigned char *end = der.data;
	if (der.len > LONG_MAX || number_len > INT_MAX / 2)
		return false;
	SIGNATURE_AUTO ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &end, (long)der.len);
	unsigned char *raw = arena_alloc(arena, 2 * number_len);
	if (signature == NULL || raw == NULL || end != der.data + der.len)
		return false;
	if (BN_is_negative(ECDSA_SIG_get0_r(signature)) || BN_is_negative(ECDSA_SIG_get0_s(signature)))
		return false;
	if (BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, (int)number_len) < 0 ||
		BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + number_len, (int)number_len) < 0)
		return false;
	*ret_raw = (struct bytes){raw, 2 * number_len};
	return true;
}
