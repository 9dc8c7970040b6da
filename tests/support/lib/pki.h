/*
 * A certificate authority for tests: made anew by each test, in files of a directory of the test's own.
 */
#ifndef P11GATE_TESTS_PKI_H
#define P11GATE_TESTS_PKI_H

struct pki;

/* What a certificate says. Zero values: an ECDSA P-256 key, valid from an hour ago for a day, no extensions. */
struct pki_leaf {
	const char *common_name; /* NULL: the name of its files */
	const char *san; /* as in openssl's configuration: "URI:urn:x,DNS:a.example,email:a@example,IP:127.0.0.1" */
	const char *key_usage; /* extended key usage: "clientAuth", "serverAuth", or NULL for none */
	long begins_s, ends_s; /* seconds from now; both 0: as above */
	int revoked;
};

/* Makes a CA whose certificate is `directory`/`name`.pem; the directory must exist. Ends the test program on failure. */
struct pki *pki_new(const char *directory, const char *name);
void pki_free(struct pki *pki);

/* Writes `directory`/`name`.pem (with the SHA-256 of its DER in `ret_sha256` of 65 bytes, unless NULL) and `name`.key. */
void pki_issue(struct pki *pki, const char *name, const struct pki_leaf *leaf, char *ret_sha256);

/* Writes `directory`/`name`: a list of what was issued with `revoked`, or later with pki_revoke, valid for a day. */
void pki_crl(struct pki *pki, const char *name);

/* Revokes what was issued under that name. */
void pki_revoke(struct pki *pki, const char *name);

#endif
