#include "server/worker/resources/method.h"

#include <string.h>

#include "api/codec.h"
#include "server/worker/resources/attribute.h"

#define METHOD(name, step, mechanism, key_min, raw_len, deterministic, asked) \
	{name, METHOD_##step, mechanism, key_min, raw_len, deterministic, asked},
const struct method methods[METHODS_COUNT] = {
#include "server/worker/resources/method.def"
};

const struct method *method_by_name(const char *name)
{
	for (size_t i = 0; i < METHODS_COUNT; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
}

#define METHOD(name, ...) ", " name
static const char names[] = ""
#include "server/worker/resources/method.def"
	;

const char *method_names(void)
{
	return names + 2;
}

bool method_is_randomised(const char *name)
{
	static const char *const randomised[] = {"rsa-pss", "rsa-oaep"};
	for (size_t i = 0; i < sizeof randomised / sizeof randomised[0]; i++)
		if (strcmp(randomised[i], name) == 0)
			return true;
	return false;
}

void method_signer(struct request *request, const struct method *method, struct signer *ret_signer)
{
	const struct algorithm *algorithm = algorithm_by_mechanism(method->mechanism);
	const CK_MECHANISM mechanism = {method->mechanism, NULL, 0};
	if (algorithm != NULL)
		signer_of_algorithm(request, algorithm, SIGNER_SIGNS, ret_signer);
	else
		signer_of_mechanism(request, &mechanism, SIGNER_SIGNS, ret_signer);
	/* Not bound to the curve that JOSE binds the algorithm to. */
	ret_signer->by_mechanism = true;
	ret_signer->asked = method->name;
}

static bool token_derives(struct request *request, CK_MECHANISM_TYPE mechanism)
{
	CK_MECHANISM_INFO info = {.flags = 0};
	union wire_value v[] = {{.number = module_slot(request->worker)}, {.number = mechanism}, {.info = &info}};
	return invoke(request, CALL_GetMechanismInfo, v) == CKR_OK && (info.flags & CKF_DERIVE) != 0;
}

static bool token_has(struct request *request, const struct method *method)
{
	struct signer signer;
	if (method->step != METHOD_SIGN)
		return token_derives(request, method->mechanism);
	method_signer(request, method, &signer);
	const struct algorithm *algorithm = signer.algorithm;
	return signer_token_has(request, algorithm == NULL ? signer.mechanism.mechanism
					 : signer.combined ? algorithm->combined
							   : algorithm->mechanism);
}

unsigned method_token_mask(struct request *request)
{
	unsigned mask = 0;
	for (size_t i = 0; i < METHODS_COUNT; i++)
		if (token_has(request, &methods[i]))
			mask |= 1u << i;
	return mask;
}

/* A cipher's key is no key for HMAC or HKDF, although some modules would take it. */
static bool fits_type(const struct method *method, const struct key *key)
{
	bool cipher = key->type == CKK_AES || key->type == CKK_DES3 || key->type == CKK_DES2 || key->type == CKK_DES;
	if (!mechanism_fits_key(method->mechanism, key->class, key->type))
		return false;
	if (method->step == METHOD_AGREE)
		return key->type == CKK_EC && key->curve != NULL;
	return !cipher;
}

/* What is asked of a key, in this order; a later objection means that the method comes nearer. */
static CK_RV judge(const struct method *method, const struct key *key, const struct bytes values[3], bool token_has_it,
	size_t key_len, int *ret_near)
{
	size_t len = attribute_ulong(values[2], CK_UNAVAILABLE_INFORMATION);
	bool known = key->class == CKO_SECRET_KEY && len != CK_UNAVAILABLE_INFORMATION;
	*ret_near = 0;
	if (!fits_type(method, key))
		return CKR_KEY_TYPE_INCONSISTENT;
	*ret_near = 1;
	if (!attribute_flag(values[method->step == METHOD_SIGN ? 0 : 1], false))
		return CKR_KEY_FUNCTION_NOT_PERMITTED;
	*ret_near = 2;
	if (known && (len < method->key_min || (key_len != 0 && len != key_len)))
		return CKR_KEY_SIZE_RANGE;
	*ret_near = 3;
	return token_has_it ? CKR_OK : CKR_MECHANISM_INVALID;
}

CK_RV method_judge(struct request *request, CK_SESSION_HANDLE session, const struct key *key, unsigned token,
	size_t key_len, struct method_fit *ret_fit)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_SIGN, CKA_DERIVE, CKA_VALUE_LEN};
	struct bytes values[3] = {0};
	int nearest = -1;
	*ret_fit = (struct method_fit){.why = CKR_KEY_TYPE_INCONSISTENT};
	CK_RV rv = key->class == CKO_PUBLIC_KEY ? CKR_OK
						: attribute_read(request, session, key->object, types,
							  key->class == CKO_SECRET_KEY ? 3 : 2, values);
	if (rv != CKR_OK)
		return rv;
	for (size_t i = 0; i < METHODS_COUNT; i++) {
		int near;
		ret_fit->whys[i] = judge(&methods[i], key, values, (token & 1u << i) != 0, key_len, &near);
		if (ret_fit->whys[i] == CKR_OK)
			ret_fit->mask |= 1u << i;
		if (near > nearest)
			ret_fit->why = ret_fit->whys[i];
		nearest = near > nearest ? near : nearest;
	}
	return CKR_OK;
}

const struct method *method_best(unsigned mask)
{
	for (size_t i = 0; i < METHODS_COUNT; i++)
		if ((mask & 1u << i) != 0)
			return &methods[i];
	return NULL;
}

unsigned method_bit(const struct method *method)
{
	return 1u << (method - methods);
}
