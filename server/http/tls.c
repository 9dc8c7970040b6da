/*
 * Credentials of a generation, and the verification of client certificates.
 *
 * The listener asks for a certificate but GnuTLS would take any: that it is good is decided by tls_verify, at the handshake
 * and again whenever a request arrives under a newer generation or on a resumed session.
 */
#include "server/http/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <gnutls/crypto.h>

enum { CHAIN_MAX = 8 }; /* certificates that a peer may send */

static const char priorities_tls13[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3";
static const char priorities_tls12[] = "SECURE128:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:-RSA:-SHA1:%SAFE_RENEGOTIATION";

static enum status explain(const char *what, const char *file, int error, char *ret_error, size_t error_size)
{
	snprintf(ret_error, error_size, "%s %s cannot be used: %s", what, file, gnutls_strerror(error));
	return error == GNUTLS_E_MEMORY_ERROR ? STATUS_NO_MEMORY : STATUS_MALFORMED;
}

static enum status load_files(struct generation *generation, char *ret_error, size_t error_size)
{
	const struct config *config = generation->config;
	gnutls_certificate_credentials_t credentials = generation->credentials;
	int error = gnutls_certificate_set_x509_key_file2(
		credentials, config->tls.certificate, config->tls.key, GNUTLS_X509_FMT_PEM, NULL, 0);
	if (error < 0)
		return explain(
			"the server certificate with its key", config->tls.certificate, error, ret_error, error_size);
	error = gnutls_certificate_set_x509_trust_file(credentials, config->tls.client_ca, GNUTLS_X509_FMT_PEM);
	if (error <= 0)
		return explain("the client CA", config->tls.client_ca,
			error < 0 ? error : GNUTLS_E_NO_CERTIFICATE_FOUND, ret_error, error_size);
	if (config->tls.crl == NULL || *config->tls.crl == '\0')
		return STATUS_OK;
	error = gnutls_certificate_set_x509_crl_file(credentials, config->tls.crl, GNUTLS_X509_FMT_PEM);
	if (error <= 0)
		return explain("the certificate revocation list", config->tls.crl,
			error < 0 ? error : GNUTLS_E_NO_CERTIFICATE_FOUND, ret_error, error_size);
	return STATUS_OK;
}

static void generation_free(struct generation *generation, bool with_config)
{
	if (generation->credentials != NULL)
		gnutls_certificate_free_credentials(generation->credentials);
	if (generation->priorities != NULL)
		gnutls_priority_deinit(generation->priorities);
	if (generation->ticket_key.data != NULL) {
		gnutls_memset(generation->ticket_key.data, 0, generation->ticket_key.size);
		gnutls_free(generation->ticket_key.data);
	}
	if (with_config)
		config_free(generation->config);
	free(generation);
}

enum status generation_new(
	struct config *config, uint64_t number, struct generation **ret_generation, char *ret_error, size_t error_size)
{
	struct generation *generation = calloc(1, sizeof *generation);
	if (generation == NULL) {
		snprintf(ret_error, error_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	atomic_init(&generation->references, 1);
	generation->number = number;
	generation->config = config;
	int error = gnutls_certificate_allocate_credentials(&generation->credentials);
	if (error >= 0)
		error = gnutls_priority_init(
			&generation->priorities, config->tls.allow_tls12 ? priorities_tls12 : priorities_tls13, NULL);
	if (error >= 0)
		error = gnutls_session_ticket_key_generate(&generation->ticket_key);
	enum status status = error < 0 ? explain("TLS", "", error, ret_error, error_size)
				       : load_files(generation, ret_error, error_size);
	if (status != STATUS_OK) {
		generation_free(generation, false);
		return status;
	}
	*ret_generation = generation;
	return STATUS_OK;
}

void generation_release(struct generation *generation)
{
	if (generation != NULL && atomic_fetch_sub(&generation->references, 1) == 1)
		generation_free(generation, true);
}

void generation_abandon(struct generation *generation)
{
	if (generation != NULL)
		generation_free(generation, false);
}

static int verify_at_handshake(gnutls_session_t session)
{
	struct connection *connection = gnutls_session_get_ptr(session);
	if (connection == NULL)
		return -1;
	connection->refusal = tls_verify(connection->generation, session, &connection->alert);
	return connection->refusal == NULL ? 0 : -1;
}

int tls_prepare(struct generation *generation, gnutls_session_t session)
{
	int error = gnutls_priority_set(session, generation->priorities);
	if (error >= 0)
		error = gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, generation->credentials);
	if (error >= 0)
		error = gnutls_session_ticket_enable_server(session, &generation->ticket_key);
	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_function(session, verify_at_handshake);
	return error < 0 ? error : 0;
}

/* A certificate without the extension is for any purpose (RFC 5280); here it has to be said. */
static bool is_for_clients(gnutls_x509_crt_t certificate)
{
	for (unsigned i = 0;; i++) {
		char oid[64];
		size_t len = sizeof oid;
		int error = gnutls_x509_crt_get_key_purpose_oid(certificate, i, oid, &len, NULL);
		if (error == GNUTLS_E_SHORT_MEMORY_BUFFER)
			continue;
		if (error < 0)
			return false;
		if (strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0)
			return true;
	}
}

/* GnuTLS' verdict as a sentence for the log, with the alert that says the same. */
static const char *verdict(unsigned status, gnutls_alert_description_t *ret_alert)
{
	static const struct {
		unsigned bit;
		gnutls_alert_description_t alert;
		const char *text;
	} rows[] = {
		{GNUTLS_CERT_REVOKED, GNUTLS_A_CERTIFICATE_REVOKED, "the client certificate is revoked"},
		{GNUTLS_CERT_REVOCATION_DATA_SUPERSEDED, GNUTLS_A_CERTIFICATE_UNKNOWN,
			"the certificate revocation list is out of date; install a new one"},
		{GNUTLS_CERT_REVOCATION_DATA_ISSUED_IN_FUTURE, GNUTLS_A_CERTIFICATE_UNKNOWN,
			"the certificate revocation list is dated in the future"},
		{GNUTLS_CERT_EXPIRED, GNUTLS_A_CERTIFICATE_EXPIRED, "the client certificate has expired"},
		{GNUTLS_CERT_NOT_ACTIVATED, GNUTLS_A_CERTIFICATE_EXPIRED, "the client certificate is not valid yet"},
		{GNUTLS_CERT_SIGNER_NOT_FOUND, GNUTLS_A_UNKNOWN_CA,
			"the client certificate is not issued by the client CA"},
		{GNUTLS_CERT_SIGNER_NOT_CA, GNUTLS_A_UNKNOWN_CA,
			"the client certificate is not issued by a CA certificate"},
		{GNUTLS_CERT_INSECURE_ALGORITHM, GNUTLS_A_BAD_CERTIFICATE,
			"the client certificate uses a weak algorithm or key"},
		{GNUTLS_CERT_PURPOSE_MISMATCH, GNUTLS_A_UNSUPPORTED_CERTIFICATE,
			"the client certificate is not for client authentication"},
	};
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		if ((status & rows[i].bit) == 0)
			continue;
		*ret_alert = rows[i].alert;
		return rows[i].text;
	}
	*ret_alert = GNUTLS_A_BAD_CERTIFICATE;
	return "the client certificate is not valid";
}

static const char *verify_chain(
	struct generation *generation, gnutls_x509_crt_t *chain, unsigned count, gnutls_alert_description_t *ret_alert)
{
	if (!is_for_clients(chain[0])) {
		*ret_alert = GNUTLS_A_UNSUPPORTED_CERTIFICATE;
		return "the client certificate is not for client authentication (extended key usage clientAuth)";
	}
	gnutls_x509_trust_list_t trust;
	gnutls_certificate_get_trust_list(generation->credentials, &trust);
	gnutls_typed_vdata_st purpose = {
		.type = GNUTLS_DT_KEY_PURPOSE_OID, .data = (unsigned char *)GNUTLS_KP_TLS_WWW_CLIENT};
	unsigned status = 0;
	int error = gnutls_x509_trust_list_verify_crt2(trust, chain, count, &purpose, 1, 0, &status, NULL);
	if (error < 0)
		status |= GNUTLS_CERT_INVALID;
	return status == 0 ? NULL : verdict(status, ret_alert);
}

/* A chain as it was sent, the client's own certificate first. */
static const char *verify_raw(
	struct generation *generation, const gnutls_datum_t *raw, unsigned sent, gnutls_alert_description_t *ret_alert)
{
	unsigned count = 0;
	gnutls_x509_crt_t chain[CHAIN_MAX];
	const char *refusal = NULL;
	while (count < sent && refusal == NULL) {
		if (gnutls_x509_crt_init(&chain[count]) < 0) {
			refusal = "out of memory";
			break;
		}
		if (gnutls_x509_crt_import(chain[count], &raw[count], GNUTLS_X509_FMT_DER) < 0)
			refusal = "a client certificate cannot be read";
		count++;
	}
	if (refusal == NULL)
		refusal = verify_chain(generation, chain, count, ret_alert);
	while (count > 0)
		gnutls_x509_crt_deinit(chain[--count]);
	return refusal;
}

const char *tls_verify(struct generation *generation, gnutls_session_t session, gnutls_alert_description_t *ret_alert)
{
	*ret_alert = GNUTLS_A_BAD_CERTIFICATE;
	unsigned sent = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &sent);
	if (raw == NULL || sent == 0 || gnutls_certificate_type_get2(session, GNUTLS_CTYPE_PEERS) != GNUTLS_CRT_X509)
		return "the client sent no certificate";
	if (sent > CHAIN_MAX)
		return "the client sent too many certificates";
	return verify_raw(generation, raw, sent, ret_alert);
}

void tls_chain_keep(gnutls_session_t session, struct buffer *out)
{
	unsigned sent = 0;
	const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &sent);
	for (unsigned i = 0; raw != NULL && i < sent; i++) {
		buffer_append(out, &raw[i].size, sizeof raw[i].size);
		buffer_append(out, raw[i].data, raw[i].size);
	}
	if (out->failed)
		buffer_reset(out);
}

bool tls_chain_verify(struct generation *generation, struct bytes kept, gnutls_datum_t *ret_leaf)
{
	gnutls_datum_t raw[CHAIN_MAX];
	unsigned count = 0;
	for (size_t at = 0; at < kept.len; count++) {
		gnutls_datum_t *item = &raw[count];
		if (count == CHAIN_MAX || kept.len - at < sizeof item->size)
			return false;
		memcpy(&item->size, kept.data + at, sizeof item->size);
		at += sizeof item->size;
		if (item->size > kept.len - at)
			return false;
		/* GnuTLS does not change what it only reads. */
		item->data = (unsigned char *)(uintptr_t)kept.data + at;
		at += item->size;
	}
	gnutls_alert_description_t alert;
	if (count == 0 || verify_raw(generation, raw, count, &alert) != NULL)
		return false;
	*ret_leaf = raw[0];
	return true;
}
