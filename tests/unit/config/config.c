/*
 * What a good configuration becomes.
 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/call.h"
#include "api/codec.h"
#include "tests/unit/config/support.h"

TestSuite(config, .init = folder_make, .fini = folder_remove);

static const char *in_folder(const char *name)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	return path;
}

Test(config, values_arrive_where_they_belong)
{
	struct config *config = load_good(NULL, "challenge_response_only: [unlock, door]\n");

	cr_expect_str_eq(config->listen.address, "127.0.0.1");
	cr_expect_eq(config->listen.port, 0);
	cr_expect_eq(config->limits.sign_s, 10);
	cr_assert_eq(config->modules_count, 1);
	cr_assert_eq(config->modules[0].environment_count, 1);
	cr_expect_str_eq(config->modules[0].environment[0].name, "A");
	cr_expect_str_eq(config->modules[0].environment[0].value, "b");
	cr_assert_eq(config->slots_count, 2);
	cr_expect_str_eq(config->slots[0].token_label, "one");
	cr_expect_null(config->slots[0].token_serial);
	cr_expect_str_eq(config->slots[1].token_serial, "02");
	cr_expect_eq(config->slots[1].module_row, config->modules);
	cr_assert_eq(config->identities_count, 2);
	cr_expect_eq(config->identities[0].match, MATCH_SUBJECT);
	cr_expect_str_eq(config->identities[0].value, "CN=alice");
	cr_expect_eq(config->identities[1].match, MATCH_SAN_DNS);
	cr_assert_eq(config->challenge_only_labels_count, 2);
	cr_expect_str_eq(config->challenge_only_labels[1], "door");
	config_free(config);
}

Test(config, X13_limits_have_the_documented_defaults)
{
	struct config *config = load_good("limits:\n  sign_s: 10\n", "");

	cr_expect_eq(config->limits.lease_ttl_s, 60);
	cr_expect_eq(config->limits.token_wait_s, 10);
	cr_expect_eq(config->limits.operation_ttl_s, 60);
	cr_expect_eq(config->limits.operations_max, 32);
	cr_expect_eq(config->limits.sessions_max, 1024);
	cr_expect_eq(config->limits.rest_idle_ttl_s, 15 * 60);
	cr_expect_eq(config->limits.rest_max_ttl_s, 8 * 3600);
	cr_expect_eq(config->limits.worker_idle_s, 30);
	cr_expect_eq(config->limits.sign_s, 10);
	cr_expect_eq(config->limits.keygen_s, 120);
	cr_expect_eq(config->limits.queue_max, 64);
	cr_expect_eq(config->limits.body_max, 1 << 20);
	config_free(config);
}

Test(config, defaults_are_the_careful_choice)
{
	struct config *config = load_good("listen: {address: 127.0.0.1, port: 0}\n", "");

	cr_expect_str_eq(config->listen.address, "127.0.0.1");
	cr_expect_eq(config->listen.port, 8443);
	cr_expect_not(config->tls.allow_tls12);
	cr_expect_not(config->require_mlock);
	cr_expect_null(config->tls.crl);
	cr_expect_str_eq(config->modules[0].sandbox, "generic");
	cr_expect_str_eq(config->slots[0].class_name, "hsm");
	cr_expect_str_eq(config->log.level, "info");
	cr_expect(config->log.json);
	config_free(config);
}

Test(config, relative_paths_start_at_the_files_folder)
{
	struct config *config = load_good(NULL, "");

	cr_expect_str_eq(config->tls.key, in_folder("server.key"));
	cr_expect_str_eq(config->state_directory, in_folder("state"));
	cr_expect_str_eq(config->modules[0].path, in_folder("module.so"));
	cr_expect_str_eq(config->audit_file, in_folder("state/audit.log"));
	config_free(config);
}

Test(config, relative_paths_do_not_depend_on_the_working_directory)
{
	struct config *config = NULL;
	char error[1024];

	file_write("p11gated.yaml", good, strlen(good));
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(config_load("p11gated.yaml", &config, error, sizeof error), STATUS_OK, "%s", error);
	cr_assert_eq(chdir("/"), 0);
	cr_expect_str_eq(config->tls.key, in_folder("server.key"));
	config_free(config);
}

Test(config, absolute_paths_stay_as_they_are)
{
	struct config *config = load_good(
		"state_directory: state", "state_directory: /srv/p11gate\naudit: {file: /log/audit}");

	cr_expect_str_eq(config->state_directory, "/srv/p11gate");
	cr_expect_str_eq(config->audit_file, "/log/audit");
	config_free(config);
}

Test(config, the_worker_is_sought_beside_the_program)
{
	struct config *config = load_good(NULL, "");
	char expected[4096];
	ssize_t len = readlink("/proc/self/exe", expected, sizeof expected - 32);

	cr_assert_gt(len, 0);
	expected[len] = '\0';
	snprintf(strrchr(expected, '/'), 32, "/p11gate-worker");
	cr_expect_str_eq(config->worker_program, expected);
	config_free(config);
}

Test(config, a_module_that_is_not_installed_is_no_mistake)
{
	struct config *config = load_good("path: module.so", "path: /opt/vendor/none.so");

	cr_expect_str_eq(config->modules[0].path, "/opt/vendor/none.so");
	config_free(config);
}

Test(config, X10_softhsm_gets_fresh_logins_and_rescans)
{
	struct config *config = load_good("path: module.so", "path: /usr/lib/softhsm/libsofthsm2.so");

	cr_expect(config->modules[0].verify_login_fresh);
	cr_expect(config->modules[0].rescan_reinit);
	config_free(config);
}

Test(config, X10_other_modules_log_in_natively_unless_told_otherwise)
{
	struct config *config = load_good(NULL, "");

	cr_expect_not(config->modules[0].verify_login_fresh);
	cr_expect_not(config->modules[0].rescan_reinit);
	config_free(config);
	config = load_good("path: module.so", "path: module.so\n    rescan: reinit\n    verify_login: fresh");
	cr_expect(config->modules[0].verify_login_fresh);
	cr_expect(config->modules[0].rescan_reinit);
	config_free(config);
	config = load_good(
		"path: module.so", "path: /usr/lib/softhsm/libsofthsm2.so\n    rescan: none\n    verify_login: native");
	cr_expect_not(config->modules[0].verify_login_fresh);
	cr_expect_not(config->modules[0].rescan_reinit);
	config_free(config);
}

Test(config, fingerprints_are_normalised)
{
	struct config *config = load_good("{subject: CN=alice}",
		"{sha256: \"00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
		"00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff\"}");

	cr_expect_eq(config->identities[0].match, MATCH_SHA256);
	cr_expect_str_eq(
		config->identities[0].value, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	config_free(config);
}

Test(config, two_fingerprints_of_one_certificate_are_one_identity)
{
	char error[1024], *text, *both;
	struct config *config;

	text = replaced(good, "{subject: CN=alice}",
		"{sha256: 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff}");
	both = replaced(text, "{san_dns: bob.example.org}",
		"{sha256: 00112233445566778899AABBCCDDEEFF00112233445566778899AABBCCDDEEFF}");
	cr_expect_eq(load_text(both, strlen(both), &config, error), STATUS_MALFORMED);
	cr_expect_not_null(
		strstr(error, ":26:18: identities[1].certificate: alice and bob would be the same"), "%s", error);
	free(text);
	free(both);
}

Test(config, X15_two_slots_with_one_number_are_refused)
{
	/* Found by search: both names give the same 31 bits. */
	static const char a[] = "slot512789", b[] = "slot749192";
	char error[1024];
	struct config *config;
	char *text = replaced(good, "name: one", "name: slot512789"),
	     *next = replaced(text, "name: two", "name: slot749192"),
	     *last = replaced(next, "slots: [one]", "slots: [slot512789]");

	cr_assert_eq(slot_id_of(a, strlen(a)), slot_id_of(b, strlen(b)));
	cr_expect_eq(load_text(last, strlen(last), &config, error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, ":19:11: slots[1].name: slot749192 and slot512789 give the same slot number"),
		"%s", error);
	free(text);
	free(next);
	free(last);
}

Test(config, permissions_of_all_matching_rules_add_up)
{
	struct config *config = load_good(NULL, "  - {identities: [alice], slots: [\"*\"], allow: [use]}\n");

	cr_expect_eq(config_permissions(config, "alice", "one"),
		1u << PERMISSION_READ | 1u << PERMISSION_LOGIN | 1u << PERMISSION_USE);
	cr_expect_eq(config_permissions(config, "alice", "two"), 1u << PERMISSION_USE);
	cr_expect_eq(config_permissions(config, "bob", "one"), 1u << PERMISSION_READ | 1u << PERMISSION_LOGIN);
	config_free(config);
}

Test(config, what_no_rule_allows_is_refused)
{
	struct config *config = load_good(
		"policy:\n  - identities: [alice, bob]\n    slots: [one]\n    allow: [read, login]\n", "policy: []\n");

	cr_expect_eq(config_permissions(config, "alice", "one"), 0);
	cr_expect_eq(config_permissions(config, "nobody", "one"), 0);
	cr_expect_eq(config_permissions(config, "alice", "*"), 0);
	config_free(config);
}

Test(config, each_permission_has_its_bit)
{
	struct config *config = load_good("[read, login]", "[read, login, use, write, admin]");

	cr_expect_eq(config_permissions(config, "alice", "one"), (1u << PERMISSION_COUNT) - 1);
	config_free(config);
}

Test(config, slots_and_modules_are_found_by_name)
{
	struct config *config = load_good(NULL, "");

	cr_expect_eq(config_slot(config, "two"), &config->slots[1]);
	cr_expect_null(config_slot(config, "three"));
	cr_expect_eq(config_module(config, "softhsm"), config->modules);
	cr_expect_null(config_module(config, ""));
	config_free(config);
}

Test(config, workers_stay_who_the_gateway_is_unless_a_user_is_named)
{
	struct config *config = load_good(NULL, "");

	cr_expect_null(config->worker_user);
	config_free(config);
}

Test(config, worker_user_is_found_by_name_and_by_number)
{
	const struct passwd *nobody = getpwnam("nobody");
	char number[64];

	cr_assert_not_null(nobody);
	snprintf(number, sizeof number, "worker_user: %u\n", nobody->pw_uid);
	for (unsigned i = 0; i < 2; i++) {
		struct config *config = load_good(NULL, i == 0 ? "worker_user: nobody\n" : number);
		cr_expect_eq(config->worker_user_id, nobody->pw_uid);
		cr_expect_eq(config->worker_group_id, nobody->pw_gid);
		config_free(config);
	}
}

Test(config, an_empty_section_means_its_defaults)
{
	struct config *config = load_good("limits:\n  sign_s: 10\n", "limits:\n# nothing in force\n");

	cr_expect_eq(config->limits.sign_s, 10);
	config_free(config);
}

Test(config, a_list_of_revoked_certificates_is_read)
{
	struct config *config = load_good("client_ca: ca.crt", "client_ca: ca.crt\n  crl: ca.crl");

	cr_expect_str_eq(config->tls.crl, in_folder("ca.crl"));
	config_free(config);
}

Test(config, a_missing_file_is_told)
{
	struct config *config = NULL;
	char error[1024];

	cr_expect_eq(config_load("/nonexistent/p11gated.yaml", &config, error, sizeof error), STATUS_MALFORMED);
	cr_expect_str_eq(error,
		"/nonexistent/p11gated.yaml:1:1: the file cannot be read: No such file or directory; check its path "
		"and permissions");
}

Test(config, an_empty_file_is_told)
{
	struct config *config;
	char error[1024];

	cr_expect_eq(load_text("# nothing\n", 10, &config, error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, "the file is empty"), "%s", error);
}

Test(config, text_that_is_not_utf8_is_told)
{
	struct config *config;
	char error[1024];
	char *text = replaced(good, "CN=alice", "CN=\xff");

	cr_expect_eq(load_text(text, strlen(text), &config, error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, "UTF-8"), "%s", error);
	free(text);
}

Test(config, an_overlong_file_is_refused)
{
	struct config *config;
	char error[1024];
	size_t len = (1 << 20) + 1;
	char *text = malloc(len);

	memset(text, '#', len);
	cr_expect_eq(load_text(text, len, &config, error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, "too large"), "%s", error);
	free(text);
}

/* Loads the good configuration after anyone may write `name`; the test fails unless that is refused as `says`. */
static void refused_when_writable(const char *name, const char *says)
{
	struct config *config;
	char error[1024];

	file_write("p11gated.yaml", good, strlen(good));
	cr_assert_eq(chmod(in_folder(name), 0666), 0);
	cr_expect_eq(config_load(config_file, &config, error, sizeof error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, says), "%s", error);
}

Test(config, a_file_that_anyone_may_change_is_refused)
{
	refused_when_writable("p11gated.yaml", ":1:1: anyone may change this file; chmod o-w it");
}

Test(config, a_module_that_anyone_may_change_is_refused)
{
	refused_when_writable("module.so", ":12:11: modules[0].path: anyone may change");
}

Test(config, a_fifo_in_the_files_place_does_not_block, .timeout = 10)
{
	struct config *config;
	char error[1024];

	cr_assert_eq(mkfifo(config_file, 0600), 0);
	cr_expect_eq(config_load(config_file, &config, error, sizeof error), STATUS_MALFORMED);
}

Test(config, a_short_error_buffer_is_not_overrun)
{
	struct config *config;
	char error[16];

	memset(error, 'x', sizeof error);
	cr_expect_eq(config_load("/nonexistent/p11gated.yaml", &config, error, 8), STATUS_MALFORMED);
	cr_expect_eq(strlen(error), 7);
	cr_expect_eq(error[8], 'x');
}

/* Each prefix of the file is either a mistake with a place or a configuration, never a crash. */
Test(config, every_prefix_of_a_file_is_answered, .timeout = 60)
{
	size_t len = strlen(good);
	char error[1024];

	for (size_t i = 0; i < len; i++) {
		struct config *config = NULL;
		enum status status = load_text(good, i, &config, error);

		if (status == STATUS_OK)
			config_free(config);
		else
			cr_assert_eq(strncmp(error, config_file, strlen(config_file)), 0, "prefix %zu: %s", i, error);
	}
}

Test(config, aliases_that_multiply_are_harmless, .timeout = 10)
{
	struct config *config = NULL;
	char error[1024];
	static const char bomb[] =
		"a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
		"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\nslots: *d\n";

	cr_expect_eq(load_text(bomb, strlen(bomb), &config, error), STATUS_MALFORMED);
}

Test(config, the_runtime_directory_is_found_despite_other_mistakes)
{
	char *text = replaced(good, "listen:", "lisssten:"), *broken = replaced(text, "server.key", "none.key");
	char directory[108], error[1024];

	file_write("p11gated.yaml", broken, strlen(broken));
	cr_expect_eq(config_runtime_directory(config_file, directory, sizeof directory, error, sizeof error), STATUS_OK,
		"%s", error);
	cr_expect_str_eq(directory, in_folder("run"));
	free(text);
	free(broken);
}

Test(config, the_runtime_directory_has_its_default)
{
	char directory[108], error[1024];

	file_write("p11gated.yaml", "slots: []\n", 10);
	cr_expect_eq(config_runtime_directory(config_file, directory, sizeof directory, error, sizeof error), STATUS_OK,
		"%s", error);
	cr_expect_str_eq(directory, "/run/p11gate");
}
