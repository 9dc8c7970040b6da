#include "tests/support/lib/pki.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { ISSUED_MAX = 256, PATH_LEN_MAX = 4096, HOUR_S = 3600, DAY_S = 24 * HOUR_S };

struct pki {
	char directory[PATH_LEN_MAX / 2];
	X509 *certificate;
	EVP_PKEY *key;
	long serial;
	struct {
		char name[64];
		long serial;
		int revoked;
	} issued[ISSUED_MAX];
	size_t issued_count;
};

static void need(int good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "test certificates: %s failed\n", what);
	abort();
}

static FILE *file_open(const struct pki *pki, const char *name, const char *suffix)
{
	char path[PATH_LEN_MAX];
	snprintf(path, sizeof path, "%s/%s%s", pki->directory, name, suffix);
	FILE *file = fopen(path, "we");
	/* A gateway refuses a key that others can read. */
	need(file != NULL && fchmod(fileno(file), 0600) == 0, path);
	return file;
}

static void key_write(const struct pki *pki, const char *name, EVP_PKEY *key)
{
	FILE *file = file_open(pki, name, ".key");
	need(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0, "writing a key");
}

static void certificate_write(const struct pki *pki, const char *name, X509 *certificate)
{
	FILE *file = file_open(pki, name, ".pem");
	need(PEM_write_X509(file, certificate) == 1 && fclose(file) == 0, "writing a certificate");
}

static void extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX context;
	X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
	X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, &context, nid, value);
	need(made != NULL && X509_add_ext(certificate, made, -1) == 1, value);
	X509_EXTENSION_free(made);
}

static X509 *certificate_begin(struct pki *pki, const char *common_name, EVP_PKEY *key, long begins_s, long ends_s)
{
	X509 *certificate = X509_new();
	X509_NAME *subject = X509_get_subject_name(certificate);
	need(X509_set_version(certificate, 2) == 1 &&
			ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++pki->serial) == 1 &&
			X509_gmtime_adj(X509_getm_notBefore(certificate), begins_s) != NULL &&
			X509_gmtime_adj(X509_getm_notAfter(certificate), ends_s) != NULL &&
			X509_set_pubkey(certificate, key) == 1 &&
			X509_NAME_add_entry_by_txt(
				subject, "O", MBSTRING_UTF8, (const unsigned char *)"p11gate tests", -1, -1, 0) == 1 &&
			X509_NAME_add_entry_by_txt(
				subject, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1, 0) == 1,
		"making a certificate");
	return certificate;
}

struct pki *pki_new(const char *directory, const char *name)
{
	struct pki *pki = calloc(1, sizeof *pki);
	need(pki != NULL, "memory");
	snprintf(pki->directory, sizeof pki->directory, "%s", directory);
	pki->key = EVP_EC_gen("P-256");
	need(pki->key != NULL, "making a key");
	pki->certificate = certificate_begin(pki, name, pki->key, -HOUR_S, DAY_S);
	extension(pki->certificate, pki->certificate, NID_basic_constraints, "critical,CA:TRUE");
	extension(pki->certificate, pki->certificate, NID_key_usage, "critical,keyCertSign,cRLSign");
	extension(pki->certificate, pki->certificate, NID_subject_key_identifier, "hash");
	need(X509_set_issuer_name(pki->certificate, X509_get_subject_name(pki->certificate)) == 1 &&
			X509_sign(pki->certificate, pki->key, EVP_sha256()) > 0,
		"signing the CA");
	certificate_write(pki, name, pki->certificate);
	return pki;
}

void pki_free(struct pki *pki)
{
	X509_free(pki->certificate);
	EVP_PKEY_free(pki->key);
	free(pki);
}

static void sha256_write(const X509 *certificate, char *ret_sha256)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	need(X509_digest(certificate, EVP_sha256(), digest, &len) == 1, "hashing a certificate");
	for (unsigned i = 0; i < len; i++)
		snprintf(ret_sha256 + (size_t)2 * i, 3, "%02x", digest[i]);
}

void pki_issue(struct pki *pki, const char *name, const struct pki_leaf *leaf, char *ret_sha256)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	need(key != NULL && pki->issued_count < ISSUED_MAX, "making a key");
	int dated = leaf->begins_s != 0 || leaf->ends_s != 0;
	X509 *certificate = certificate_begin(pki, leaf->common_name != NULL ? leaf->common_name : name, key,
		dated ? leaf->begins_s : -HOUR_S, dated ? leaf->ends_s : DAY_S);
	if (leaf->san != NULL)
		extension(certificate, pki->certificate, NID_subject_alt_name, leaf->san);
	if (leaf->key_usage != NULL)
		extension(certificate, pki->certificate, NID_ext_key_usage, leaf->key_usage);
	need(X509_set_issuer_name(certificate, X509_get_subject_name(pki->certificate)) == 1 &&
			X509_sign(certificate, pki->key, EVP_sha256()) > 0,
		"signing a certificate");
	certificate_write(pki, name, certificate);
	key_write(pki, name, key);
	if (ret_sha256 != NULL)
		sha256_write(certificate, ret_sha256);
	snprintf(pki->issued[pki->issued_count].name, sizeof pki->issued[0].name, "%s", name);
	pki->issued[pki->issued_count].serial = pki->serial;
	pki->issued[pki->issued_count++].revoked = leaf->revoked;
	X509_free(certificate);
	EVP_PKEY_free(key);
}

void pki_revoke(struct pki *pki, const char *name)
{
	for (size_t i = 0; i < pki->issued_count; i++)
		if (strcmp(pki->issued[i].name, name) == 0)
			pki->issued[i].revoked = 1;
}

void pki_crl(struct pki *pki, const char *name)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *last = X509_gmtime_adj(NULL, -HOUR_S), *next = X509_gmtime_adj(NULL, DAY_S);
	need(X509_CRL_set_version(crl, 1) == 1 &&
			X509_CRL_set_issuer_name(crl, X509_get_subject_name(pki->certificate)) == 1 &&
			X509_CRL_set1_lastUpdate(crl, last) == 1 && X509_CRL_set1_nextUpdate(crl, next) == 1,
		"making a CRL");
	for (size_t i = 0; i < pki->issued_count; i++) {
		if (!pki->issued[i].revoked)
			continue;
		X509_REVOKED *revoked = X509_REVOKED_new();
		ASN1_INTEGER *serial = ASN1_INTEGER_new();
		need(ASN1_INTEGER_set(serial, pki->issued[i].serial) == 1 &&
				X509_REVOKED_set_serialNumber(revoked, serial) == 1 &&
				X509_REVOKED_set_revocationDate(revoked, last) == 1 &&
				X509_CRL_add0_revoked(crl, revoked) == 1,
			"revoking");
		ASN1_INTEGER_free(serial);
	}
	need(X509_CRL_sort(crl) == 1 && X509_CRL_sign(crl, pki->key, EVP_sha256()) > 0, "signing a CRL");
	FILE *file = file_open(pki, name, "");
	need(PEM_write_X509_CRL(file, crl) == 1 && fclose(file) == 0, "writing a CRL");
	ASN1_TIME_free(last);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
}
