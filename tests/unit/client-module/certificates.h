/*
 * Certificates made up for a test: an authority and leaves, as PEM files.
 */
#ifndef TESTS_CLIENT_MODULE_CERTIFICATES_H
#define TESTS_CLIENT_MODULE_CERTIFICATES_H

/* Writes an authority's certificate and key to DIRECTORY/NAME.crt and DIRECTORY/NAME.key. */
void certificate_authority(const char *directory, const char *name);

/*
 * Writes a leaf signed by the authority `issuer` to DIRECTORY/NAME.crt and NAME.key. `names` is a subjectAltName
 * ("DNS:localhost,IP:127.0.0.1"), `usage` an extendedKeyUsage ("serverAuth").
 */
void certificate_leaf(
	const char *directory, const char *name, const char *issuer, const char *names, const char *usage);

/* Encrypts the key DIRECTORY/NAME.key in place. */
void certificate_encrypt_key(const char *directory, const char *name);

#endif
