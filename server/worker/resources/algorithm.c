#include "server/worker/resources/algorithm.h"

#include <openssl/evp.h>
#include <stddef.h>
#include <string.h>

static const struct algorithm algorithms[] = {
#define ALGORITHM(name, curve, hash, prepare, mechanism, combined, form) \
	{name, curve, hash, PREPARE_##prepare, mechanism, combined, FORM_##form},
#define CIPHER(...)
#define HASH(...)
#include "server/worker/resources/algorithm.def"
};

static const struct cipher_row ciphers[] = {
#define ALGORITHM(...)
#define CIPHER(name, bits, mechanism, parameter, hash, uses) \
	{name, bits, mechanism, PARAMETER_OF_##parameter, hash, CIPHER_##uses},
#define HASH(...)
#include "server/worker/resources/algorithm.def"
};

static const struct hash_row hashes[] = {
#define ALGORITHM(...)
#define CIPHER(...)
#define HASH(openssl, name, mechanism, mgf) {openssl, name, mechanism, mgf},
#include "server/worker/resources/algorithm.def"
};

enum {
	ALGORITHM_COUNT = sizeof algorithms / sizeof algorithms[0],
	CIPHER_COUNT = sizeof ciphers / sizeof ciphers[0],
	HASH_COUNT = sizeof hashes / sizeof hashes[0],
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

const struct cipher_row *algorithm_cipher(const char *name, enum cipher_uses use)
{
	for (size_t i = 0; i < CIPHER_COUNT; i++)
		if (strcmp(ciphers[i].name, name) == 0 && (ciphers[i].uses & use) != 0)
			return &ciphers[i];
	return NULL;
}

const struct hash_row *algorithm_hash(const char *name)
{
	for (size_t i = 0; i < HASH_COUNT; i++)
		if (strcmp(hashes[i].openssl, name) == 0 || strcmp(hashes[i].name, name) == 0)
			return &hashes[i];
	return NULL;
}

CK_RSA_PKCS_PSS_PARAMS algorithm_pss(const struct algorithm *algorithm)
{
	const struct hash_row *hash = algorithm_hash(algorithm->hash);
	const EVP_MD *md = EVP_get_digestbyname(hash->openssl);
	return (CK_RSA_PKCS_PSS_PARAMS){hash->mechanism, hash->mgf, (CK_ULONG)EVP_MD_get_size(md)};
}
