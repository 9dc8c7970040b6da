/*
 * The TLS files: readable, valid today, fitting together, and the key for nobody else's eyes.
 */
#include "server/config/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "api/secret.h"

static void bio_done(BIO **bio)
{
	BIO_free(*bio);
}
static void x509_done(X509 **certificate)
{
	X509_free(*certificate);
}
static void pkey_done(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

/* A PEM file in memory. Key files are wiped when the BIO goes, like all of OpenSSL's secure memory BIOs. */
static enum status open_pem(struct loader *loader, const char *path, const char *file, BIO **ret_bio)
{
	unsigned char *data;
	size_t len;
	enum status status = file_read(file, &data, &len);

	if (status == STATUS_IO)
		return fault(loader, path, "%s cannot be read: %s; correct the path or its permissions", file,
			strerror(errno));
	if (status == STATUS_TOO_LARGE)
		return fault(loader, path, "%s is too large; name a PEM file", file);
	if (status != STATUS_OK)
		return status;
	BIO *bio = BIO_new(BIO_s_secmem());
	if (!bio || (len > 0 && BIO_write(bio, data, (int)len) != (int)len)) {
		BIO_free(bio);
		bio = NULL;
	}
	secret_wipe(data, len);
	free(data);
	if (!bio)
		return STATUS_NO_MEMORY;
	*ret_bio = bio;
	return STATUS_OK;
}

/* No prompt: a key with a passphrase is a mistake in the configuration. */
static int refuse_passphrase(char *buffer, int size, int writing, void *asked)
{
	(void)buffer;
	(void)size;
	(void)writing;
	*(bool *)asked = true;
	return -1;
}

static enum status check_dates(struct loader *loader, const char *path, const char *file, X509 *certificate)
{
	if (X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0)
		return fault(loader, path, "the certificate in %s has expired; renew it", file);
	if (X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0)
		return fault(loader, path, "the certificate in %s is not valid yet; check this machine's clock", file);
	return STATUS_OK;
}

static enum status load_certificate(struct loader *loader, const char *path, const char *file, X509 **ret_certificate)
{
	__attribute__((cleanup(bio_done))) BIO *bio = NULL;
	enum status status = open_pem(loader, path, file, &bio);

	if (status != STATUS_OK)
		return status;
	X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	ERR_clear_error();
	if (!certificate)
		return fault(
			loader, path, "%s holds no certificate; name a PEM file (-----BEGIN CERTIFICATE-----)", file);
	*ret_certificate = certificate;
	return STATUS_OK;
}

static enum status load_key(struct loader *loader, const char *file, EVP_PKEY **ret_key)
{
	__attribute__((cleanup(bio_done))) BIO *bio = NULL;
	bool asked = false;
	struct stat about;

	if (stat(file, &about) == 0 && (about.st_mode & (S_IRWXG | S_IRWXO)) != 0)
		return fault(loader, "tls.key", "%s is open to other users (mode %03o); chmod 600 it", file,
			(unsigned)about.st_mode & 0777u);
	enum status status = open_pem(loader, "tls.key", file, &bio);
	if (status != STATUS_OK)
		return status;
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_passphrase, &asked);
	ERR_clear_error();
	if (!key && asked)
		return fault(loader, "tls.key", "%s has a passphrase; store the key without one, mode 0600", file);
	if (!key)
		return fault(loader, "tls.key",
			"%s holds no private key; name a PEM file (-----BEGIN PRIVATE KEY-----)", file);
	*ret_key = key;
	return STATUS_OK;
}

/* At least one authority must be in its time: bundles keep old ones beside their successors. */
static enum status check_authorities(struct loader *loader, const char *file)
{
	__attribute__((cleanup(bio_done))) BIO *bio = NULL;
	unsigned count = 0, valid = 0;
	enum status status = open_pem(loader, "tls.client_ca", file, &bio);

	if (status != STATUS_OK)
		return status;
	for (X509 *certificate; (certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL; count++) {
		valid += X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
		X509_free(certificate);
	}
	ERR_clear_error();
	if (count == 0)
		return fault(loader, "tls.client_ca",
			"%s holds no certificate; name a PEM file (-----BEGIN CERTIFICATE-----)", file);
	if (valid == 0)
		return fault(loader, "tls.client_ca", "every certificate in %s has expired; renew them", file);
	return STATUS_OK;
}

static enum status check_crl(struct loader *loader, const char *file)
{
	__attribute__((cleanup(bio_done))) BIO *bio = NULL;
	enum status status = open_pem(loader, "tls.crl", file, &bio);

	if (status != STATUS_OK)
		return status;
	X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
	ERR_clear_error();
	if (!crl)
		return fault(loader, "tls.crl",
			"%s holds no revocation list; name a PEM file (-----BEGIN X509 CRL-----)", file);
	X509_CRL_free(crl);
	return STATUS_OK;
}

enum status config_check_tls(struct loader *loader)
{
	const struct config *config = loader->config;
	__attribute__((cleanup(x509_done))) X509 *certificate = NULL;
	__attribute__((cleanup(pkey_done))) EVP_PKEY *key = NULL;
	enum status status = load_certificate(loader, "tls.certificate", config->tls.certificate, &certificate);

	if (status == STATUS_OK)
		status = check_dates(loader, "tls.certificate", config->tls.certificate, certificate);
	if (status == STATUS_OK)
		status = load_key(loader, config->tls.key, &key);
	if (status == STATUS_OK && X509_check_private_key(certificate, key) != 1) {
		ERR_clear_error();
		status = fault(loader, "tls.key", "%s is not the key of %s; name the pair that belongs together",
			config->tls.key, config->tls.certificate);
	}
	if (status == STATUS_OK)
		status = check_authorities(loader, config->tls.client_ca);
	if (status == STATUS_OK && config->tls.crl)
		status = check_crl(loader, config->tls.crl);
	return status;
}
