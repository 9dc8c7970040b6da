/* Certificate to identity, by each kind of match. */
#include <criterion/criterion.h>
#include <gnutls/gnutls.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/log.h"
#include "server/http/internal.h"
#include "tests/support/lib/pki.h"
#include "tests/support/lib/scratch.h"

static char directory[SCRATCH_PATH_LEN];
static struct pki *pki;
static gnutls_datum_t certificate;
static char sha256[SHA256_HEX_LEN + 1];

static void make(const char *common_name, const char *san)
{
	char path[128];
	gnutls_datum_t pem;
	pki_issue(pki, "leaf", &(struct pki_leaf){.common_name = common_name, .san = san, .key_usage = "clientAuth"},
		sha256);
	snprintf(path, sizeof path, "%s/leaf.pem", directory);
	cr_assert_eq(gnutls_load_file(path, &pem), 0);
	cr_assert_eq(gnutls_pem_base64_decode2("CERTIFICATE", &pem, &certificate), 0);
	gnutls_free(pem.data);
}

static void open_pki(void)
{
	scratch_directory(directory, sizeof(directory));
	log_setup(LOG_LEVEL_ERROR, 0);
	pki = pki_new(directory, "ca");
}

static void close_pki(void)
{
	static const char *const names[] = {"ca.pem", "leaf.pem", "leaf.key"};
	char path[128];
	gnutls_free(certificate.data);
	pki_free(pki);
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(path, sizeof path, "%s/%s", directory, names[i]);
		unlink(path);
	}
	rmdir(directory);
}

TestSuite(peer, .init = open_pki, .fini = close_pki);

static const char *match(enum identity_match kind, const char *value)
{
	static struct peer peer;
	struct config_identity identity = {.name = "it", .match = kind, .value = value};
	struct config config = {.identities = &identity, .identities_count = 1};
	bool ambiguous;
	return peer_match(&config, &certificate, &peer, &ambiguous);
}

Test(peer, is_known_by_the_hash_of_its_certificate)
{
	make("a", NULL);
	cr_expect_str_eq(match(MATCH_SHA256, sha256), "it");
	sha256[0] = sha256[0] == '0' ? '1' : '0';
	cr_expect_null(match(MATCH_SHA256, sha256));
}

Test(peer, is_known_by_its_whole_subject)
{
	make("alice", NULL);
	cr_expect_str_eq(match(MATCH_SUBJECT, "CN=alice,O=p11gate tests"), "it");
	cr_expect_null(match(MATCH_SUBJECT, "CN=alice"));
	cr_expect_null(match(MATCH_SUBJECT, "O=p11gate tests,CN=alice"));
	cr_expect_null(match(MATCH_SUBJECT, "CN=Alice,O=p11gate tests"));
	cr_expect_null(match(MATCH_SUBJECT, "CN=alice,O=p11gate tests2"));
}

Test(peer, a_subject_with_a_comma_is_no_two_subjects)
{
	make("alice,O=p11gate tests", NULL);
	cr_expect_null(match(MATCH_SUBJECT, "CN=alice,O=p11gate tests"));
	cr_expect_null(match(MATCH_SUBJECT, "CN=alice,O=p11gate tests,O=p11gate tests"));
	cr_expect_str_eq(match(MATCH_SUBJECT, "CN=alice\\,O=p11gate tests,O=p11gate tests"), "it");
}

Test(peer, is_known_by_a_uri_exactly)
{
	make("a", "URI:urn:first,URI:spiffe://example.org/a");
	cr_expect_str_eq(match(MATCH_SAN_URI, "spiffe://example.org/a"), "it");
	cr_expect_str_eq(match(MATCH_SAN_URI, "urn:first"), "it");
	cr_expect_null(match(MATCH_SAN_URI, "spiffe://example.org/A"));
	cr_expect_null(match(MATCH_SAN_URI, "spiffe://example.org/"));
	cr_expect_null(match(MATCH_SAN_URI, "spiffe://example.org/ab"));
}

Test(peer, is_known_by_a_dns_name_without_regard_to_case)
{
	make("a", "DNS:host.example.org");
	cr_expect_str_eq(match(MATCH_SAN_DNS, "HOST.example.org"), "it");
	cr_expect_null(match(MATCH_SAN_DNS, "example.org"));
	cr_expect_null(match(MATCH_SAN_DNS, "a"));
}

Test(peer, a_wildcard_in_a_certificate_matches_only_itself)
{
	make("a", "DNS:*.example.org");
	cr_expect_null(match(MATCH_SAN_DNS, "host.example.org"));
	cr_expect_str_eq(match(MATCH_SAN_DNS, "*.example.org"), "it");
}

Test(peer, is_known_by_an_address_with_its_local_part_exactly)
{
	make("a", "email:Alice@Example.org");
	cr_expect_str_eq(match(MATCH_SAN_EMAIL, "Alice@example.ORG"), "it");
	cr_expect_null(match(MATCH_SAN_EMAIL, "alice@example.org"));
	cr_expect_null(match(MATCH_SAN_EMAIL, "Alice@example.com"));
}

Test(peer, a_name_of_one_kind_is_none_of_another)
{
	make("host.example.org", "DNS:host.example.org,URI:alice@example.org");
	cr_expect_null(match(MATCH_SAN_URI, "host.example.org"));
	cr_expect_null(match(MATCH_SAN_EMAIL, "alice@example.org"));
	cr_expect_null(match(MATCH_SAN_DNS, "alice@example.org"));
}

Test(peer, two_rows_of_one_identity_are_not_ambiguous)
{
	make("a", "URI:urn:a,DNS:a.example");
	struct config_identity rows[] = {
		{.name = "one", .match = MATCH_SAN_URI, .value = "urn:a"},
		{.name = "one", .match = MATCH_SAN_DNS, .value = "a.example"},
		{.name = "two", .match = MATCH_SAN_DNS, .value = "a.example"},
	};
	struct config config = {.identities = rows, .identities_count = 2};
	struct peer peer = {0};
	bool ambiguous = true;
	cr_expect_str_eq(peer_match(&config, &certificate, &peer, &ambiguous), "one");
	cr_expect_not(ambiguous);
	config.identities_count = 3;
	cr_expect_null(peer_match(&config, &certificate, &peer, &ambiguous));
	cr_expect(ambiguous);
}
