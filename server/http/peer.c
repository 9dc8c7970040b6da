/*
 * From a verified client certificate to the identity that the configuration gives it.
 */
#include "server/http/internal.h"

#include <string.h>
#include <strings.h>

#include "server/common/log.h"
#include "api/hex.h"

enum { SAN_MAX = 512 }; /* bytes of a subject alternative name that can match */

static bool equal_exactly(const char *name, size_t len, const char *value)
{
	return strlen(value) == len && memcmp(name, value, len) == 0;
}

/* DNS names are compared without case (RFC 4343). */
static bool equal_dns(const char *name, size_t len, const char *value)
{
	return strlen(value) == len && memchr(name, '\0', len) == NULL && strncasecmp(name, value, len) == 0;
}

/* The local part exactly, the domain as a DNS name (RFC 5280, section 7.5). */
static bool equal_email(const char *name, size_t len, const char *value)
{
	const char *at = memchr(name, '@', len);
	if (at == NULL || strlen(value) != len)
		return false;
	size_t local = (size_t)(at - name) + 1;
	return memcmp(name, value, local) == 0 && equal_dns(at + 1, len - local, value + local);
}

/* Whether one of the certificate's alternative names of `type` equals `value`. */
static bool san_matches(gnutls_x509_crt_t certificate, unsigned type, const char *value,
	bool (*equal)(const char *name, size_t len, const char *value))
{
	for (unsigned i = 0;; i++) {
		char name[SAN_MAX];
		size_t len = sizeof name;
		unsigned found = 0;
		int error = gnutls_x509_crt_get_subject_alt_name2(certificate, i, name, &len, &found, NULL);
		if (error == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (error < 0)
			return false;
		if (found == type && equal(name, len, value))
			return true;
	}
}

static bool identity_matches(const struct config_identity *identity, gnutls_x509_crt_t certificate,
	const struct peer *peer, const gnutls_datum_t *subject)
{
	switch (identity->match) {
	case MATCH_SHA256: return strcasecmp(identity->value, peer->sha256) == 0;
	case MATCH_SUBJECT:
		return subject->data != NULL &&
		       equal_exactly((const char *)subject->data, subject->size, identity->value);
	case MATCH_SAN_URI: return san_matches(certificate, GNUTLS_SAN_URI, identity->value, equal_exactly);
	case MATCH_SAN_DNS: return san_matches(certificate, GNUTLS_SAN_DNSNAME, identity->value, equal_dns);
	case MATCH_SAN_EMAIL: return san_matches(certificate, GNUTLS_SAN_RFC822NAME, identity->value, equal_email);
	}
	return false;
}

/* The subject as it goes to logs: cut to fit, control characters replaced. */
static void subject_keep(struct peer *peer, const gnutls_datum_t *subject)
{
	size_t len = subject->data == NULL ? 0 : subject->size < SUBJECT_MAX ? subject->size : SUBJECT_MAX - 1;
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = subject->data[i];
		peer->subject[i] = (char)(byte < ' ' || byte == 0x7f ? '?' : byte);
	}
	peer->subject[len] = '\0';
}

static const char *match_all(const struct config *config, gnutls_x509_crt_t certificate, const struct peer *peer,
	const gnutls_datum_t *subject, bool *ret_ambiguous)
{
	const char *found = NULL;
	for (unsigned i = 0; i < config->identities_count; i++) {
		const struct config_identity *identity = &config->identities[i];
		if (!identity_matches(identity, certificate, peer, subject))
			continue;
		if (found != NULL && strcmp(found, identity->name) != 0) {
			*ret_ambiguous = true;
			return NULL;
		}
		found = identity->name;
	}
	return found;
}

const char *peer_match(
	const struct config *config, const gnutls_datum_t *raw, struct peer *ret_peer, bool *ret_ambiguous)
{
	*ret_ambiguous = false;
	unsigned char digest[SHA256_HEX_LEN / 2];
	size_t digest_len = sizeof digest;
	if (gnutls_fingerprint(GNUTLS_DIG_SHA256, raw, digest, &digest_len) < 0)
		return NULL;
	hex_encode(ret_peer->sha256, digest, digest_len);
	gnutls_x509_crt_t certificate;
	if (gnutls_x509_crt_init(&certificate) < 0)
		return NULL;
	const char *identity = NULL;
	if (gnutls_x509_crt_import(certificate, raw, GNUTLS_X509_FMT_DER) == 0) {
		gnutls_datum_t subject = {0};
		if (gnutls_x509_crt_get_dn3(certificate, &subject, 0) < 0)
			subject.data = NULL;
		subject_keep(ret_peer, &subject);
		identity = match_all(config, certificate, ret_peer, &subject, ret_ambiguous);
		gnutls_free(subject.data);
	}
	gnutls_x509_crt_deinit(certificate);
	return identity;
}

void peer_identify(struct generation *generation, gnutls_session_t session, bool verified, struct peer *ret_peer)
{
	memset(ret_peer, 0, sizeof *ret_peer);
	ret_peer->generation = generation->number;
	gnutls_alert_description_t alert;
	ret_peer->refusal = verified ? NULL : tls_verify(generation, session, &alert);
	unsigned count = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &count);
	if (raw == NULL || count == 0)
		return;
	ret_peer->identity = peer_match(generation->config, raw, ret_peer, &ret_peer->ambiguous);
	ret_peer->expires = gnutls_certificate_expiration_time_peers(session);
	if (ret_peer->identity != NULL)
		application_id_default(ret_peer->identity, ret_peer->default_application);
	else
		log_event(LOG_LEVEL_WARNING,
			ret_peer->ambiguous ? "certificate matches more than one identity"
					    : "certificate matches no identity",
			"certificate", ret_peer->sha256, "subject", ret_peer->subject, NULL);
}

bool peer_judge(void *context, const char *identity, struct bytes certificates)
{
	struct generation *generation = context;
	struct peer peer;
	gnutls_datum_t leaf;
	bool ambiguous;
	if (!tls_chain_verify(generation, certificates, &leaf))
		return false;
	const char *found = peer_match(generation->config, &leaf, &peer, &ambiguous);
	return found != NULL && strcmp(found, identity) == 0;
}
