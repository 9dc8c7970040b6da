/* Who gets through the handshake, and for how long. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/internal.h"
#include "tests/unit/http/fixture.h"

enum { WAIT_MS = 5000, HOUR_S = 3600 };

/* TLS alerts (RFC 8446, section 6). */
enum {
	ALERT_UNSUPPORTED_CERTIFICATE = 43,
	ALERT_CERTIFICATE_REVOKED = 44,
	ALERT_CERTIFICATE_EXPIRED = 45,
	ALERT_UNKNOWN_CA = 48,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_CERTIFICATE_REQUIRED = 116,
};

static struct fixture *fixture;

static void open_fixture(void)
{
	fixture = fixture_new("", "");
}

static void close_fixture(void)
{
	fixture_free(fixture);
}

TestSuite(handshake, .init = open_fixture, .fini = close_fixture, .timeout = 60);

static const char with_crl[] = "  crl: crl.pem\n";

static const char *ask(struct tls_client *client, const char *path)
{
	char request[256];
	snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: gateway\r\n\r\n", path);
	return fixture_ask(client, request);
}

/* The alert with which that certificate is refused; -1: it is not. */
static int refusal(const char *name, int version)
{
	struct tls_client *client;
	struct tls_client_files files = {.version = version};
	/* TLS 1.3: the client is done before the server has looked at its certificate, and learns of it with its first read. */
	const char *answer = fixture_try(fixture, name, &files, &client) ? ask(client, "/healthz") : NULL;
	int alert = client->alert;
	cr_expect(answer == NULL || alert == -1);
	cr_expect(answer != NULL || alert != -1, "%s: refused without an alert", name);
	fixture_disconnect(client);
	return alert;
}

static void issue(struct pki *pki, const char *name, struct pki_leaf leaf)
{
	leaf.san = "URI:urn:p11gate:test:alice";
	pki_issue(pki, name, &leaf, NULL);
}

Test(handshake, a_good_certificate_is_let_in)
{
	cr_expect_eq(refusal("alice", 0), -1);
}

Test(handshake, no_certificate_is_refused_with_an_alert)
{
	cr_expect_eq(refusal(NULL, 0), ALERT_CERTIFICATE_REQUIRED);
}

Test(handshake, a_certificate_of_another_ca_is_refused_with_an_alert)
{
	issue(fixture->foreign, "foreign", (struct pki_leaf){.key_usage = "clientAuth"});
	cr_expect_eq(refusal("foreign", 0), ALERT_UNKNOWN_CA);
}

Test(handshake, an_expired_certificate_is_refused_with_an_alert)
{
	issue(fixture->pki, "old",
		(struct pki_leaf){.key_usage = "clientAuth", .begins_s = -2 * HOUR_S, .ends_s = -HOUR_S});
	cr_expect_eq(refusal("old", 0), ALERT_CERTIFICATE_EXPIRED);
}

Test(handshake, a_certificate_of_tomorrow_is_refused_with_an_alert)
{
	issue(fixture->pki, "young",
		(struct pki_leaf){.key_usage = "clientAuth", .begins_s = HOUR_S, .ends_s = 2 * HOUR_S});
	cr_expect_eq(refusal("young", 0), ALERT_CERTIFICATE_EXPIRED);
}

Test(handshake, a_server_certificate_is_refused_with_an_alert)
{
	issue(fixture->pki, "wrong", (struct pki_leaf){.key_usage = "serverAuth"});
	cr_expect_eq(refusal("wrong", 0), ALERT_UNSUPPORTED_CERTIFICATE);
}

Test(handshake, a_certificate_that_does_not_say_it_is_for_clients_is_refused)
{
	issue(fixture->pki, "silent", (struct pki_leaf){.key_usage = NULL});
	cr_expect_eq(refusal("silent", 0), ALERT_UNSUPPORTED_CERTIFICATE);
}

Test(handshake, a_revoked_certificate_is_refused_with_an_alert)
{
	pki_revoke(fixture->pki, "alice");
	pki_crl(fixture->pki, "crl.pem");
	cr_assert_eq(fixture_reload(fixture, "", with_crl), STATUS_OK);
	cr_expect_eq(refusal("alice", 0), ALERT_CERTIFICATE_REVOKED);
	cr_expect_eq(refusal("bob", 0), -1);
}

Test(handshake, B14_a_revocation_ends_an_open_connection_that_waits_for_a_request)
{
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(ask(client, "/healthz")), 200);
	pki_revoke(fixture->pki, "alice");
	pki_crl(fixture->pki, "crl.pem");
	cr_assert_eq(fixture_reload(fixture, "", with_crl), STATUS_OK);
	cr_expect(tls_client_ended(client, WAIT_MS));
	fixture_disconnect(client);
}

static void until_reading(void)
{
	for (int i = 0; i < WAIT_MS && limits_count(fixture->listener, 1u << PHASE_READING) == 0; i++)
		usleep(1000);
	cr_assert_eq(limits_count(fixture->listener, 1u << PHASE_READING), 1);
}

Test(handshake, B14_a_request_whose_bytes_arrive_over_a_revocation_is_refused_and_its_connection_ends)
{
	static const char first[] = "GET /healthz HTTP/1.1\r\n", rest[] = "Host: gateway\r\n\r\n";
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(ask(client, "/healthz")), 200);
	cr_assert(tls_client_send(client, first, sizeof first - 1));
	until_reading();
	pki_revoke(fixture->pki, "alice");
	pki_crl(fixture->pki, "crl.pem");
	cr_assert_eq(fixture_reload(fixture, "", with_crl), STATUS_OK);
	const char *answer = fixture_exchange(client, rest, sizeof rest - 1);
	cr_expect_eq(answer_status(answer), 403);
	cr_expect(answer_has(answer, "the client certificate is revoked"));
	cr_expect(tls_client_ended(client, WAIT_MS));
	fixture_disconnect(client);
	cr_expect_eq(audit_lines(fixture, "the client certificate is revoked"), 1);
}

Test(handshake, an_open_connection_ends_with_its_certificate)
{
	issue(fixture->pki, "short", (struct pki_leaf){.key_usage = "clientAuth", .begins_s = -HOUR_S, .ends_s = 4});
	struct tls_client *client = fixture_connect(fixture, "short");
	cr_assert_eq(answer_status(ask(client, "/healthz")), 200);
	unsigned status = 200;
	for (int i = 0; i < 100 && status == 200; i++) {
		cr_assert_not(tls_client_ended(client, 100));
		status = answer_status(ask(client, "/healthz"));
	}
	cr_expect_eq(status, 403);
	fixture_disconnect(client);
}

static SSL_SESSION *session_of(const char *name)
{
	struct tls_client *client = fixture_connect(fixture, name);
	cr_assert_eq(answer_status(ask(client, "/healthz")), 200);
	SSL_SESSION *session = SSL_get1_session(client->ssl);
	fixture_disconnect(client);
	return session;
}

Test(handshake, a_resumed_session_keeps_its_identity)
{
	struct tls_client *client;
	struct tls_client_files files = {.session = session_of("alice")};
	cr_assert(fixture_try(fixture, "alice", &files, &client));
	cr_expect(SSL_session_reused(client->ssl));
	cr_expect_eq(answer_status(ask(client, "/healthz")), 200);
	cr_expect(answer_has(ask(client, "/metrics"), "p11gate_handshakes_resumed_total 1\n"));
	fixture_disconnect(client);
	SSL_SESSION_free(files.session);
}

Test(handshake, a_session_is_not_resumed_past_a_revocation)
{
	struct tls_client *client;
	struct tls_client_files files = {.session = session_of("alice")};
	pki_revoke(fixture->pki, "alice");
	pki_crl(fixture->pki, "crl.pem");
	cr_assert_eq(fixture_reload(fixture, "", with_crl), STATUS_OK);
	const char *answer = fixture_try(fixture, "alice", &files, &client) ? ask(client, "/healthz") : NULL;
	cr_expect_null(answer);
	cr_expect_eq(client->alert, ALERT_CERTIFICATE_REVOKED);
	fixture_disconnect(client);
	SSL_SESSION_free(files.session);
}

Test(handshake, TLS_1_2_is_spoken_on_request_only)
{
	cr_expect_eq(refusal("alice", TLS1_2_VERSION), ALERT_HANDSHAKE_FAILURE);
	cr_assert_eq(fixture_reload(fixture, "", "  allow_tls12: true\n"), STATUS_OK);
	cr_expect_eq(refusal("alice", TLS1_2_VERSION), -1);
	issue(fixture->foreign, "foreign", (struct pki_leaf){.key_usage = "clientAuth"});
	cr_expect_eq(refusal("foreign", TLS1_2_VERSION), ALERT_UNKNOWN_CA);
	cr_expect_neq(refusal(NULL, TLS1_2_VERSION), -1);
}

Test(handshake, a_new_server_certificate_is_shown_after_a_reload_and_open_connections_go_on)
{
	struct tls_client *before = fixture_connect(fixture, "alice");
	pki_issue(fixture->pki, "server",
		&(struct pki_leaf){.common_name = "renewed", .san = "IP:127.0.0.1", .key_usage = "serverAuth"}, NULL);
	cr_assert_eq(fixture_reload(fixture, "", ""), STATUS_OK);
	struct tls_client *after = fixture_connect(fixture, "alice");
	char name[64] = "";
	X509 *shown = SSL_get1_peer_certificate(after->ssl);
	X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, name, sizeof name);
	cr_expect_str_eq(name, "renewed");
	X509_free(shown);
	cr_expect_eq(answer_status(ask(before, "/healthz")), 200);
	cr_expect_eq(answer_status(ask(after, "/healthz")), 200);
	fixture_disconnect(before);
	fixture_disconnect(after);
}

Test(handshake, plain_HTTP_is_no_way_in)
{
	static const char request[] = "GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n";
	struct tls_client client;
	char answer[512];
	cr_assert(tls_client_connect(&client, fixture->port));
	cr_assert_eq(send(client.fd, request, sizeof request - 1, MSG_NOSIGNAL), (ssize_t)sizeof request - 1);
	ssize_t got = recv(client.fd, answer, sizeof answer, 0);
	/* An alert record or nothing, never HTTP. */
	cr_expect(got <= 0 || answer[0] == SSL3_RT_ALERT);
	tls_client_close(&client);
}
