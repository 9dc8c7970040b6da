#include "tests/unit/client-module/certificates.h"

#include <criterion/criterion.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { PATH_LEN = 512, DAY_S = 86400 };

static FILE *certificate_file(const char *directory, const char *name, const char *suffix, const char *mode)
{
	char path[PATH_LEN];
	snprintf(path, sizeof(path), "%s/%s.%s", directory, name, suffix);
	FILE *file = fopen(path, mode);
	cr_assert_not_null(file, "%s", path);
	return file;
}

static X509 *certificate_read(const char *directory, const char *name)
{
	FILE *file = certificate_file(directory, name, "crt", "r");
	X509 *certificate = PEM_read_X509(file, NULL, NULL, NULL);
	fclose(file);
	return certificate;
}

static EVP_PKEY *certificate_read_key(const char *directory, const char *name)
{
	FILE *file = certificate_file(directory, name, "key", "r");
	EVP_PKEY *key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	fclose(file);
	return key;
}

static void certificate_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	cr_assert_not_null(extension, "%s", value);
	X509_add_ext(certificate, extension, -1);
	X509_EXTENSION_free(extension);
}

static X509 *certificate_draft(const char *name, EVP_PKEY *key, X509 *issuer)
{
	static long serial;
	X509 *certificate = X509_new();
	X509_set_version(certificate, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
	X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(certificate), DAY_S);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(certificate), "CN", MBSTRING_UTF8, (const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(certificate, X509_get_subject_name(issuer != NULL ? issuer : certificate));
	X509_set_pubkey(certificate, key);
	return certificate;
}

static void certificate_write(const char *directory, const char *name, X509 *certificate, EVP_PKEY *key)
{
	FILE *file = certificate_file(directory, name, "crt", "w");
	cr_assert_eq(PEM_write_X509(file, certificate), 1);
	fclose(file);
	file = certificate_file(directory, name, "key", "w");
	cr_assert_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
	fclose(file);
}

void certificate_authority(const char *directory, const char *name)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_draft(name, key, NULL);
	certificate_extension(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
	certificate_extension(certificate, certificate, NID_key_usage, "critical,keyCertSign");
	cr_assert_gt(X509_sign(certificate, key, EVP_sha256()), 0);
	certificate_write(directory, name, certificate, key);
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void certificate_leaf(const char *directory, const char *name, const char *issuer, const char *names, const char *usage)
{
	X509 *authority = certificate_read(directory, issuer);
	EVP_PKEY *authority_key = certificate_read_key(directory, issuer);
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *certificate = certificate_draft(name, key, authority);
	certificate_extension(certificate, authority, NID_subject_alt_name, names);
	certificate_extension(certificate, authority, NID_ext_key_usage, usage);
	cr_assert_gt(X509_sign(certificate, authority_key, EVP_sha256()), 0);
	certificate_write(directory, name, certificate, key);
	X509_free(certificate);
	X509_free(authority);
	EVP_PKEY_free(key);
	EVP_PKEY_free(authority_key);
}

void certificate_encrypt_key(const char *directory, const char *name)
{
	EVP_PKEY *key = certificate_read_key(directory, name);
	FILE *file = certificate_file(directory, name, "key", "w");
	cr_assert_eq(
		PEM_write_PrivateKey(file, key, EVP_aes_128_cbc(), (const unsigned char *)"secret", 6, NULL, NULL), 1);
	fclose(file);
	EVP_PKEY_free(key);
}
