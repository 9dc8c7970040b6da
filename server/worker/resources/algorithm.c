#include "server/worker/resources/algorithm.h"

#include <stddef.h>
#include <string.h>

static const struct algorithm algorithms[] = {
#define ALGORITHM(name, curve, hash, prepare, mechanism, combined, form) \
	{name, curve, hash, PREPARE_##prepare, mechanism, combined, FORM_##form},
#include "server/worker/resources/algorithm.def"
};
enum { ALGORITHM_COUNT = sizeof algorithms / sizeof algorithms[0] };

static const struct {
	const char *hash;
	CK_RSA_PKCS_PSS_PARAMS parameters;
} pss[] = {
	{"SHA256", {CKM_SHA256, CKG_MGF1_SHA256, 32}},
	{"SHA384", {CKM_SHA384, CKG_MGF1_SHA384, 48}},
	{"SHA512", {CKM_SHA512, CKG_MGF1_SHA512, 64}},
};

const struct algorithm *algorithm_by_name(const char *name)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++)
		if (strcmp(algorithms[i].name, name) == 0)
			return &algorithms[i];
	return NULL;
}

const struct algorithm *algorithm_by_combined(CK_MECHANISM_TYPE mechanism)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++)
		if (algorithms[i].combined == mechanism && algorithms[i].mechanism != mechanism)
			return &algorithms[i];
	return NULL;
}

const struct algorithm *algorithm_by_mechanism(CK_MECHANISM_TYPE mechanism)
{
	for (size_t i = 0; i < ALGORITHM_COUNT; i++)
		if (algorithms[i].combined == mechanism || algorithms[i].mechanism == mechanism)
			return &algorithms[i];
	return NULL;
}

CK_RSA_PKCS_PSS_PARAMS algorithm_pss(const struct algorithm *algorithm)
{
	size_t i = 0;
	while (i + 1 < sizeof pss / sizeof pss[0] && strcmp(pss[i].hash, algorithm->hash) != 0)
		i++;
	return pss[i].parameters;
}
