#include "server/worker/resources/method.h"

#include <string.h>

#include "server/worker/resources/attribute.h"

const struct method methods[] = {
#define METHOD(name, algorithm, deterministic, signature) {name, algorithm, deterministic, signature},
#include "server/worker/resources/method.def"
};
const size_t methods_count = sizeof methods / sizeof methods[0];

const struct method *method_by_name(const char *name)
{
	for (size_t i = 0; i < methods_count; i++)
		if (strcmp(methods[i].name, name) == 0)
			return &methods[i];
	return NULL;
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
	const struct algorithm *algorithm = algorithm_by_name(method->algorithm);
	signer_of_algorithm(request, algorithm, ret_signer);
	/* Not bound to the curve that JOSE binds the algorithm to. */
	ret_signer->by_mechanism = true;
	ret_signer->asked = method->name;
}

static unsigned fitting_methods(struct request *request, const struct key *key)
{
	unsigned mask = 0;
	for (size_t i = 0; i < methods_count; i++) {
		struct signer signer;
		method_signer(request, &methods[i], &signer);
		const struct algorithm *algorithm = signer.algorithm;
		if (signer_fits(&signer, key) &&
			signer_token_has(request, signer.combined ? algorithm->combined : algorithm->mechanism))
			mask |= 1u << i;
	}
	return mask;
}

CK_RV method_mask(
	struct request *request, CK_SESSION_HANDLE session, const struct key *key, unsigned *ret_mask, CK_RV *ret_why)
{
	static const CK_ATTRIBUTE_TYPE types[] = {CKA_SIGN, CKA_VALUE_LEN};
	struct bytes values[2];
	bool secret = key->class == CKO_SECRET_KEY;
	*ret_mask = 0;
	*ret_why = CKR_KEY_TYPE_INCONSISTENT;
	if (key->class == CKO_PUBLIC_KEY || key->type == CKK_AES)
		return CKR_OK;
	CK_RV rv = attribute_read(request, session, key->object, types, secret ? 2 : 1, values);
	if (rv != CKR_OK)
		return rv;
	if (!attribute_flag(values[0], false))
		*ret_why = CKR_KEY_FUNCTION_NOT_PERMITTED;
	else if (secret && attribute_ulong(values[1], SHA256_LEN) < SHA256_LEN)
		*ret_why = CKR_KEY_SIZE_RANGE;
	else
		*ret_mask = fitting_methods(request, key);
	return CKR_OK;
}

const struct method *method_best(unsigned mask)
{
	for (size_t i = 0; i < methods_count; i++)
		if ((mask & 1u << i) != 0)
			return &methods[i];
	return NULL;
}
