/* The client's configuration file (requirements B0, C1, C3, F). */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "client-module/config.h"
#include "tests/support/lib/scratch.h"

#define FILES "CA=ca\nCertificate=c\nKey=k\n"
#define GATEWAY "[Gateway]\nURL=https://h\n" FILES

static CK_RV parse(struct client_config *config, const char *text)
{
	return config_parse(config, "test", text, strlen(text));
}

struct file_case {
	const char *text;
	CK_RV rv;
};

static const struct file_case FILE_CASES[] = {
	{"", CKR_OK},
	{"; nothing\n# at all\n\n", CKR_OK},
	{"[Vendor]\nAnything = 1\n", CKR_OK},
	{"[Chrystoki2]\nLibUNIX64 = /usr/lib/libvendor.so\n[Misc]\nAppIdMajor=2\nAppIdMinor=4\n", CKR_OK},
	{"Chrystoki2 = {\n   LibUNIX64 = /usr/lib/libvendor.so;\n   no key\n}\n" GATEWAY, CKR_OK},
	{GATEWAY "Luna={\r\n  DefaultTimeOut=500000;\r\n}\r\nTimeout = 5\n", CKR_OK},
	{GATEWAY "Luna = {\n  DefaultTimeOut=500000;\n}\nUnknown = 5\n", CKR_ARGUMENTS_BAD},
	{"[Vendor]\nA = {\n  b\n" GATEWAY "Unknown = 5\n", CKR_ARGUMENTS_BAD},
	{"Misc = {\n  AppIdMajor=2;\n}\n", CKR_ARGUMENTS_BAD},
	{"[PKCS11]\nP11_EnableCachePIN = 0\nP11_LogoutAfterSign = 1\nForceLoginBeforeSignKeyUsage = 0x40\n", CKR_OK},
	{"[PKCS11]\nP11_EnableCachePIN = 1\nP11_LogoutAfterSign = 0\nForceLoginBeforeSignKeyUsage = 64\n", CKR_OK},
	{"[PKCS11]\nForceLoginBeforeSignKeyUsage = 0\n", CKR_OK},
	{"[PKCS11]\nP11_EnableCachePIN = 2\n", CKR_ARGUMENTS_BAD},
	{"[PKCS11]\nP11_EnableCachePIN = yes\n", CKR_ARGUMENTS_BAD},
	{"[PKCS11]\nP11_LogoutAfterSign = 2\n", CKR_ARGUMENTS_BAD},
	{"[PKCS11]\nP11_LogoutAfterSign =\n", CKR_ARGUMENTS_BAD},
	{"[PKCS11]\nP11_EnableCachePin = 1\n", CKR_ARGUMENTS_BAD},
	{"[Gateway]\nHeartbeat = 1\n", CKR_OK},
	{"[Gateway]\nHeartbeat = 3600\n", CKR_OK},
	{"[Gateway]\nHeartbeat = 0\n", CKR_ARGUMENTS_BAD},
	{"[Gateway]\nHeartbeat = 3601\n", CKR_ARGUMENTS_BAD},
	{GATEWAY, CKR_OK},
	{"[Gateway]\r\nURL = https://h:8443/ ; comment\r\nCA = ca\r\nCertificate = c\r\nKey = k\r\n", CKR_OK},
	{"[Gateway]\n  URL = https://h\n  CA = ca\n\tCertificate = c\n  Key = k\n", CKR_OK},
	{"\xef\xbb\xbf" GATEWAY, CKR_OK},
	{GATEWAY "ConnectTimeout = 60\nTimeout = 3600\nServerName = x\n", CKR_OK},
	{"[Gateway]\nTimeout = 1\n", CKR_OK},
	{"[Gateway]\nURL=http://h\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=h:8443\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h/path\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h?x\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://user@h\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h:0\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h:65536\n" FILES, CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h\nCertificate=c\nKey=k\n", CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h\nCA=ca\nKey=k\n", CKR_ARGUMENTS_BAD},
	{"[Gateway]\nURL=https://h\nCA=ca\nCertificate=c\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Unknown = 1\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "url = https://h\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "URL = https://h\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "ServerName =\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Timeout = 0\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Timeout = 3601\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Timeout = 99999999999999999999999\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Timeout = -1\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "Timeout = 5s\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "ConnectTimeout = 61\n", CKR_ARGUMENTS_BAD},
	{GATEWAY "not a pair\n", CKR_ARGUMENTS_BAD},
	{"[Gateway\nURL=https://h\n", CKR_ARGUMENTS_BAD},
	{"[Misc]\nAppId = 0123456789abcdef0123456789ABCDEF\n", CKR_OK},
	{"[Misc]\nAppId = 0123456789abcdef0123456789ABCDE\n", CKR_ARGUMENTS_BAD},
	{"[Misc]\nAppId = 0123456789abcdef0123456789ABCDEG\n", CKR_ARGUMENTS_BAD},
	{"[Misc]\nAppIdMajor = x\n", CKR_ARGUMENTS_BAD},
	{"[Misc]\nAppIdMinor = 0x\n", CKR_ARGUMENTS_BAD},
	{"[Misc]\nAppID = 1\n", CKR_ARGUMENTS_BAD},
};

ParameterizedTestParameters(config, B0_what_is_accepted_and_what_is_not)
{
	enum { COUNT = sizeof(FILE_CASES) / sizeof(FILE_CASES[0]) };
	static size_t indexes[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		indexes[i] = i;
	}
	return cr_make_param_array(size_t, indexes, COUNT);
}

ParameterizedTest(size_t *index, config, B0_what_is_accepted_and_what_is_not)
{
	struct client_config config;
	CK_RV rv = parse(&config, FILE_CASES[*index].text);
	cr_assert_eq(rv, FILE_CASES[*index].rv, "%s: 0x%lx", FILE_CASES[*index].text, rv);
	if (rv == CKR_OK) {
		config_done(&config);
	}
}

Test(config, values_are_taken_as_they_are_written)
{
	struct client_config config;
	cr_assert_eq(parse(&config, "[Gateway]\nURL = https://gateway.example:8443\nCA = /a b/ca.pem\nCertificate = "
				    "c\nKey = k\nServerName = other\nConnectTimeout = 7\nTimeout = 70\n"),
		CKR_OK);
	cr_expect_str_eq(config.host, "gateway.example");
	cr_expect_str_eq(config.port, "8443");
	cr_expect_str_eq(config.authority, "gateway.example:8443");
	cr_expect_str_eq(config.ca, "/a b/ca.pem");
	cr_expect_str_eq(config.server_name, "other");
	cr_expect_eq(config.connect_timeout_s, 7);
	cr_expect_eq(config.timeout_s, 70);
	cr_expect(!config.application_set);
	config_done(&config);
}

Test(config, the_port_of_https_is_the_default_and_not_repeated)
{
	struct client_config config;
	cr_assert_eq(parse(&config, GATEWAY), CKR_OK);
	cr_expect_str_eq(config.port, "443");
	cr_expect_str_eq(config.authority, "h");
	cr_expect_eq(config.connect_timeout_s, 3);
	cr_expect_eq(config.timeout_s, 30);
	config_done(&config);
}

Test(config, an_ipv6_address_stands_in_brackets)
{
	struct client_config config;
	cr_assert_eq(parse(&config, "[Gateway]\nURL = https://[2001:db8::1]:8443\n" FILES), CKR_OK);
	cr_expect_str_eq(config.host, "2001:db8::1");
	cr_expect_str_eq(config.authority, "[2001:db8::1]:8443");
	config_done(&config);
}

Test(config, a_line_too_long_is_refused_and_not_split)
{
	char text[4096] = "[Gateway]\nCA = /";
	memset(text + strlen(text), 'a', 1000);
	struct client_config config;
	cr_assert_eq(parse(&config, text), CKR_ARGUMENTS_BAD);
}

Test(config, a_line_may_have_198_bytes)
{
	char text[512] = "[Gateway]\nCA = /";
	size_t head = strlen("[Gateway]\n");
	memset(text + strlen(text), 'a', head + 198 - strlen(text));
	struct client_config config;
	cr_assert_eq(parse(&config, text), CKR_OK);
	cr_expect_eq(strlen(config.ca), 198 - strlen("CA = "));
	config_done(&config);
	text[head + 198] = 'a';
	cr_expect_eq(parse(&config, text), CKR_ARGUMENTS_BAD);
}

Test(config, a_long_comment_is_accepted)
{
	char text[4096] = "# ";
	memset(text + strlen(text), 'a', 1000);
	struct client_config config;
	cr_assert_eq(parse(&config, text), CKR_OK);
	config_done(&config);
}

Test(config, a_binary_file_is_refused)
{
	struct client_config config;
	cr_assert_eq(config_parse(&config, "test", "[Misc]\n\0", 8), CKR_ARGUMENTS_BAD);
}

struct mask_case {
	const char *mask;
	CK_RV rv;
};

static const struct mask_case MASK_CASES[] = {
	{"0", CKR_OK},
	{"0x40", CKR_OK},
	{"64", CKR_OK},
	{"1", CKR_ARGUMENTS_BAD},
	{"0x80", CKR_ARGUMENTS_BAD},
	{"0xC0", CKR_ARGUMENTS_BAD},
	{"0x3f", CKR_ARGUMENTS_BAD},
	{"40", CKR_ARGUMENTS_BAD},
	{"0x4000000000000000000", CKR_ARGUMENTS_BAD},
};

Test(config, B2_only_non_repudiation_can_ask_for_a_login_before_each_signature)
{
	for (size_t i = 0; i < sizeof(MASK_CASES) / sizeof(MASK_CASES[0]); i++) {
		char text[128];
		struct client_config config;
		snprintf(text, sizeof(text), "[PKCS11]\nForceLoginBeforeSignKeyUsage = %s\n", MASK_CASES[i].mask);
		CK_RV rv = parse(&config, text);
		cr_expect_eq(rv, MASK_CASES[i].rv, "%s: 0x%lx", text, rv);
		if (rv == CKR_OK) {
			cr_expect_eq(config.force_login, strcmp(MASK_CASES[i].mask, "0") == 0 ? 0 : 0x40);
			config_done(&config);
		}
	}
}

Test(config, B1_wishes_that_are_not_in_the_file_are_none)
{
	struct client_config config;
	cr_assert_eq(parse(&config, GATEWAY), CKR_OK);
	cr_expect_eq(config.cache_pin, 1);
	cr_expect_eq(config.logout_after_sign, 0);
	cr_expect_eq(config.force_login, 0);
	config_done(&config);
}

static void application_is(const char *lines, const char *hex)
{
	char text[256], found[33];
	struct client_config config;
	snprintf(text, sizeof(text), "[Misc]\n%s", lines);
	cr_assert_eq(parse(&config, text), CKR_OK);
	cr_assert(config.application_set);
	for (int i = 0; i < 16; i++) {
		snprintf(found + 2 * i, 3, "%02x", config.application[i]);
	}
	cr_expect_str_eq(found, hex);
	config_done(&config);
}

Test(config, C3_the_application_id_is_taken_from_the_file)
{
	application_is("AppId = 000102030405060708090a0b0c0d0eFF\n", "000102030405060708090a0b0c0d0eff");
}

Test(config, C1_the_parts_are_32_bits_each_and_big_endian)
{
	application_is("AppIdMajor = 3\nAppIdMinor = 0x10000004\n", "00000003100000040000000000000000");
}

Test(config, C1_bits_above_31_are_dropped)
{
	application_is("AppIdMajor = 0x100000003\n", "00000003000000000000000000000000");
}

Test(config, C3_a_part_that_is_not_given_is_zero)
{
	application_is("AppIdMinor = 9\n", "00000000000000090000000000000000");
}

Test(config, C3_the_whole_id_wins_over_its_parts)
{
	application_is("AppIdMajor = 3\nAppId = 11111111111111111111111111111111\nAppIdMinor = 4\n",
		"11111111111111111111111111111111");
}

/* A file as other vendors have it: sections that mean nothing here, and the application ID where it is here too. */
Test(config, C3_another_vendors_sample_loads_unchanged_and_gives_its_id)
{
	static const char SAMPLE[] = "[Chrystoki2]\n"
				     "LibUNIX64=/usr/vendor/client/lib/libCryptoki2_64.so\n"
				     "[Luna]\n"
				     "DefaultTimeOut=500000\n"
				     "PEDTimeout1=100000\n"
				     "CommandTimeOutPedSet=720000\n"
				     "[CardReader]\n"
				     "RemoteCommand=1\n"
				     "[Client Settings]\n"
				     "SSLConfigFile=/usr/vendor/openssl.cnf\n"
				     "[Misc]\n"
				     "AppIdMajor=2\n"
				     "AppIdMinor=4\n";
	struct client_config config;
	cr_assert_eq(parse(&config, SAMPLE), CKR_OK);
	cr_expect_null(config.host);
	config_done(&config);
	application_is(strstr(SAMPLE, "AppIdMajor"), "00000002000000040000000000000000");
}

/* No line of a section that is none of ours is looked at, whatever its form; the next section is. */
Test(config, B0_lines_of_other_sections_may_look_as_they_like)
{
	char text[4096] = "[Vendor]\nPaths = /";
	memset(text + strlen(text), 'a', 1000);
	strcat(text, "\nneither section nor pair\n[not closed\n  nested = {\n[Misc]\nAppIdMinor = 4\n");
	struct client_config config;
	cr_assert_eq(parse(&config, text), CKR_OK);
	cr_expect_eq(config.application[7], 4);
	config_done(&config);
	strcat(text, "unknown = 1\n");
	cr_expect_eq(parse(&config, text), CKR_ARGUMENTS_BAD);
}

static char home[64];

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file, "%s", path);
	fputs(text, file);
	fclose(file);
}

static void make_home(void)
{
	char path[128];
	scratch_directory(home, sizeof(home));
	snprintf(path, sizeof(path), "%s/.config", home);
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/.config/p11gate", home);
	cr_assert_eq(mkdir(path, 0700), 0);
	setenv("HOME", home, 1);
	unsetenv("P11GATE_CONF");
}

Test(config, the_file_in_the_home_directory_is_found, .init = make_home)
{
	char path[128];
	struct client_config config;
	snprintf(path, sizeof(path), "%s/.config/p11gate/client.conf", home);
	write_file(path, "[Gateway]\nURL=https://home.example\n" FILES);
	cr_assert_eq(config_load(&config), CKR_OK);
	cr_expect_str_eq(config.host, "home.example");
	config_done(&config);
}

Test(config, the_environment_wins_over_the_home_directory, .init = make_home)
{
	char path[128];
	struct client_config config;
	snprintf(path, sizeof(path), "%s/.config/p11gate/client.conf", home);
	write_file(path, "[Gateway]\nURL=https://home.example\n" FILES);
	snprintf(path, sizeof(path), "%s/named.conf", home);
	write_file(path, "[Gateway]\nURL=https://named.example\n" FILES);
	setenv("P11GATE_CONF", path, 1);
	cr_assert_eq(config_load(&config), CKR_OK);
	cr_expect_str_eq(config.host, "named.example");
	config_done(&config);
}

Test(config, a_file_that_is_named_and_does_not_exist_is_no_file, .init = make_home)
{
	struct client_config config;
	setenv("P11GATE_CONF", "/nonexistent/client.conf", 1);
	cr_assert_eq(config_load(&config), CKR_OK);
	cr_expect_null(config.host);
	config_done(&config);
}

Test(config, what_is_not_a_regular_file_is_refused, .init = make_home)
{
	struct client_config config;
	setenv("P11GATE_CONF", home, 1);
	cr_assert_eq(config_load(&config), CKR_ARGUMENTS_BAD);
	setenv("P11GATE_CONF", "/dev/zero", 1);
	cr_assert_eq(config_load(&config), CKR_ARGUMENTS_BAD);
}
