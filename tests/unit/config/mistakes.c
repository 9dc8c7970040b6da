/*
 * Every mistake is told in one line: file:line:column: key: what; what to do.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/config/support.h"

/* One replacement in the good configuration, and where and as what it is told. */
struct mistake {
	const char *from, *to; /* from NULL: `to` is put at the end */
	unsigned line, column;
	const char *key; /* "": the message has none */
	const char *says;
};

static const struct mistake mistakes[] = {
	/* Keys. */
	{"state_directory:", "state_dir:", 6, 1, "state_dir", "unknown key; known here: listen, tls,"},
	{"  key: server.key\n", "  key: server.key\n  keys: 3\n", 5, 3, "tls.keys",
		"unknown key; known here: certificate, key, client_ca"},
	{"  sign_s: 10", "  sign_s: 10\n  sign: 9", 10, 3, "limits.sign", "unknown key"},
	{"    path: module.so", "    path: module.so\n    slot: 0", 13, 5, "modules[0].slot", "unknown key"},
	{"token: {label: one}", "token: {label: one, slot: 3}", 18, 25, "slots[0].token.slot", "unknown key"},
	{"{subject: CN=alice}", "{cn: alice}", 24, 19, "identities[0].certificate.cn", "unknown key"},
	{"runtime_directory: run", "state_directory: other", 7, 1, "state_directory", "given twice"},
	{"  client_ca: ca.crt", "  key: server.key", 5, 3, "tls.key", "given twice"},
	{"    module: softhsm\n    token: {serial", "    name: three\n    token: {serial", 20, 5, "slots[1].name",
		"given twice"},
	{"{name: A, value: b}", "{name: A, value: b, name: C}", 14, 29, "modules[0].environment[0].name",
		"given twice"},
	{"  key: server.key\n", "  ? [key]\n  : server.key\n", 4, 5, "tls.?", "a list where a key belongs"},
	/* Missing. */
	{"  key: server.key\n", "", 3, 3, "tls.key", "missing; add it, for example key: server.key"},
	{"  client_ca: ca.crt\n", "", 3, 3, "tls.client_ca", "missing"},
	{"tls:\n  certificate: server.crt\n  key: server.key\n  client_ca: ca.crt\n", "", 1, 1, "tls",
		"missing; add it"},
	{"  - name: softhsm\n    path: module.so\n", "  - path: module.so\n", 11, 5, "modules[0].name", "missing"},
	{"    path: module.so\n", "", 11, 5, "modules[0].path", "missing"},
	{"    module: softhsm\n    token: {serial", "    token: {serial", 19, 5, "slots[1].module", "missing"},
	{"    token: {label: one}\n", "", 16, 5, "slots[0].token", "missing"},
	{"    certificate: {subject: CN=alice}\n", "", 23, 5, "identities[0].certificate", "missing"},
	{"    allow: [read, login]\n", "", 28, 5, "policy[0].allow", "missing"},
	{"{name: A, value: b}", "{name: A}", 14, 9, "modules[0].environment[0].value", "missing"},
	/* Types. */
	{"{address: 127.0.0.1, port: 0}", "127.0.0.1", 1, 9, "listen", "a value where a mapping belongs"},
	{"  sign_s: 10", "  - sign_s", 9, 3, "limits", "a list where a mapping belongs"},
	{"certificate: server.crt", "certificate: [server.crt]", 3, 16, "tls.certificate",
		"a list where one value belongs"},
	{"state_directory: state", "state_directory: {a: b}", 6, 18, "state_directory",
		"a mapping where one value belongs"},
	{"slots: [one]", "slots: one", 29, 12, "policy[0].slots", "a value where a list belongs"},
	{"allow: [read, login]", "allow: read", 30, 12, "policy[0].allow", "a value where a list belongs"},
	{"identities: [alice, bob]", "identities: [alice, [bob]]", 28, 25, "policy[0].identities[1]",
		"a list where one value belongs"},
	{"  - name: one", "  - one\n  - name: one", 16, 5, "slots[0]", "a value where a mapping belongs"},
	{"state_directory: state", "state_directory:", 6, 17, "state_directory", "no value"},
	{"state_directory: state", "state_directory: ~", 6, 18, "state_directory", "no value"},
	{"state_directory: state", "state_directory: \"\"", 6, 18, "state_directory", "empty"},
	{"state_directory: state", "state_directory: \"a\\0b\"", 6, 18, "state_directory", "a control character"},
	{"state_directory: state", "state_directory: \"a\\nb\"", 6, 18, "state_directory", "a control character"},
	/* Numbers, ports, flags, words. */
	{"sign_s: 10", "sign_s: 0", 9, 11, "limits.sign_s", "0 is no number from 1 to 600; the default is 10"},
	{"sign_s: 10", "sign_s: 601", 9, 11, "limits.sign_s", "601 is no number from 1 to 600"},
	{"sign_s: 10", "sign_s: -1", 9, 11, "limits.sign_s", "-1 is no number"},
	{"sign_s: 10", "sign_s: 10s", 9, 11, "limits.sign_s", "10s is no number"},
	{"sign_s: 10", "sign_s: 1 0", 9, 11, "limits.sign_s", "1 0 is no number"},
	{"sign_s: 10", "sign_s: 010", 9, 11, "limits.sign_s", "010 is no number"},
	{"sign_s: 10", "sign_s: 0x10", 9, 11, "limits.sign_s", "0x10 is no number"},
	{"sign_s: 10", "sign_s: 1e1", 9, 11, "limits.sign_s", "1e1 is no number"},
	{"sign_s: 10", "sign_s: 18446744073709551626", 9, 11, "limits.sign_s", "is no number"},
	{"sign_s: 10", "sign_s: \"10\"", 9, 11, "limits.sign_s", "write sign_s: 10 without quotes"},
	{"sign_s: 10", "body_max: 1048577", 9, 13, "limits.body_max", "no number from 1024 to 1048576"},
	{"sign_s: 10", "sessions_max: 4096", 9, 17, "limits.sessions_max", "4096 is no number from 1 to 4095"},
	{"sign_s: 10", "connections_max: 10\n  connections_per_ip: 11", 10, 23, "limits.connections_per_ip",
		"more than connections_max (10)"},
	{"sign_s: 10", "connections_max: 10\n  connections_per_identity: 11", 10, 29, "limits.connections_per_identity",
		"more than connections_max (10)"},
	{"sign_s: 10", "rest_max_ttl_s: 60\n  rest_idle_ttl_s: 61", 10, 20, "limits.rest_idle_ttl_s",
		"more than rest_max_ttl_s (60)"},
	{"port: 0", "port: 65536", 1, 36, "listen.port", "65536 is no number from 0 to 65535"},
	{"port: 0", "port: https", 1, 36, "listen.port", "https is no number"},
	{"address: 127.0.0.1", "address: localhost", 1, 19, "listen.address", "localhost is no IP address"},
	{"  client_ca: ca.crt", "  client_ca: ca.crt\n  allow_tls12: yes", 6, 16, "tls.allow_tls12",
		"neither true nor false"},
	{"  client_ca: ca.crt", "  client_ca: ca.crt\n  allow_tls12: \"false\"", 6, 16, "tls.allow_tls12",
		"without quotes"},
	{"limits:", "log: {level: loud}\nlimits:", 8, 14, "log.level",
		"\"loud\" is unknown; write one of: error warning info debug"},
	{"limits:", "log: {format: xml}\nlimits:", 8, 15, "log.format", "\"xml\" is unknown; write one of: json text"},
	{"    path: module.so", "    path: module.so\n    sandbox: open", 13, 14, "modules[0].sandbox",
		"\"open\" is unknown"},
	{"    path: module.so", "    path: module.so\n    rescan: 5", 13, 13, "modules[0].rescan", "\"5\" is unknown"},
	{"    path: module.so", "    path: module.so\n    verify_login: true", 13, 19, "modules[0].verify_login",
		"\"true\" is unknown"},
	{"    path: module.so", "    path: module.so\n    sha256: abc", 13, 13, "modules[0].sha256", "no SHA-256"},
	{"    token: {label: one}", "    token: {label: one}\n    class: usb", 19, 12, "slots[0].class",
		"\"usb\" is unknown"},
	{"allow: [read, login]", "allow: [read, sign]", 30, 19, "policy[0].allow[1]",
		"no permission; write one of: read login use write admin"},
	/* Names. */
	{"name: one", "name: a/b", 16, 11, "slots[0].name", "\"a/b\" is no name"},
	{"name: one", "name: ..", 16, 11, "slots[0].name", "\"..\" is no name"},
	{"name: alice", "name: \"\"", 23, 11, "identities[0].name", "empty"},
	{"name: one", "name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 16, 11,
		"slots[0].name", "65 bytes are too long"},
	{"{label: one}", "{label: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}", 18, 20, "slots[0].token.label",
		"33 bytes are too long; at most 32"},
	{"name: two", "name: one", 19, 11, "slots[1].name", "one is the name of slots[0] too"},
	{"name: bob", "name: alice", 25, 11, "identities[1].name", "alice is the name of identities[0] too"},
	{"slots:\n", "  - {name: softhsm, path: module.so}\nslots:\n", 15, 12, "modules[1].name",
		"softhsm is the name of modules[0] too"},
	/* References. */
	{"    module: softhsm\n    token: {label", "    module: hsm\n    token: {label", 17, 13, "slots[0].module",
		"no module is called hsm"},
	{"slots: [one]", "slots: [one, three]", 29, 18, "policy[0].slots[1]", "no slot is called three"},
	{"slots: [one]", "slots: [\"**\"]", 29, 13, "policy[0].slots[0]", "no slot is called **"},
	{"identities: [alice, bob]", "identities: [alice, carol]", 28, 25, "policy[0].identities[1]",
		"no identity is called carol"},
	{"identities: [alice, bob]", "identities: [\"*\"]", 28, 18, "policy[0].identities[0]",
		"no identity is called *"},
	{"identities: [alice, bob]", "identities: []", 28, 17, "policy[0].identities", "0 items; give from 1"},
	{"{label: one}", "{}", 18, 12, "slots[0].token", "no token is named"},
	{"{subject: CN=alice}", "{}", 24, 18, "identities[0].certificate", "no certificate is named"},
	{"{subject: CN=alice}", "{subject: CN=alice, san_uri: \"urn:x\"}", 24, 47, "identities[0].certificate.san_uri",
		"a second way"},
	{"{subject: CN=alice}", "{subject: \"\"}", 24, 28, "identities[0].certificate.subject", "empty"},
	{"{subject: CN=alice}", "{sha256: \"12:34\"}", 24, 27, "identities[0].certificate.sha256", "no SHA-256"},
	{"{subject: CN=alice}", "{san_dns: BOB.example.org}", 26, 18, "identities[1].certificate",
		"alice and bob would be the same certificate"},
	{NULL, "login:\n  - {identities: [carol], slots: [one]}\n", 32, 19, "login[0].identities[0]",
		"no identity is called carol"},
	{NULL, "login:\n  - {identities: [alice], slots: [three]}\n", 32, 35, "login[0].slots[0]",
		"no slot is called three"},
	{NULL, "login:\n  - {identities: [alice], slots: [one], pin_cache_ttl_s: 60, pin_cache_idle_s: 61}\n", 32, 80,
		"login[0].pin_cache_idle_s", "more than pin_cache_ttl_s (60)"},
	{NULL, "share_groups:\n  - {name: alice, members: [bob], slots: [one]}\n", 32, 12, "share_groups[0].name",
		"alice is the name of an identity"},
	{NULL, "share_groups:\n  - {name: a, members: [carol], slots: [one]}\n", 32, 25, "share_groups[0].members[0]",
		"no identity is called carol"},
	{NULL, "share_groups:\n  - {name: a, members: [alice], slots: [one], app_ids: [3.4]}\n", 32, 57,
		"share_groups[0].app_ids[0]", "3.4 is no application ID"},
	{NULL,
		"share_groups:\n  - {name: a, members: [alice], slots: [one]}\n"
		"  - {name: a, members: [bob], slots: [one]}\n",
		33, 12, "share_groups[1].name", "a is the name of another group too"},
	{NULL,
		"share_groups:\n  - {name: a, members: [alice], slots: [one], app_ids: [3-4]}\n"
		"  - {name: b, members: [bob, alice], slots: [\"*\"]}\n",
		33, 5, "share_groups[1]", "a and b have a member, a slot and an application ID in common"},
	/* Files. */
	{"certificate: server.crt", "certificate: none.crt", 3, 16, "tls.certificate", "cannot be read: No such file"},
	{"certificate: server.crt", "certificate: garbage.txt", 3, 16, "tls.certificate", "holds no certificate"},
	{"certificate: server.crt", "certificate: server.key", 3, 16, "tls.certificate", "holds no certificate"},
	{"certificate: server.crt", "certificate: /", 3, 16, "tls.certificate", "cannot be read: Is a directory"},
	{"certificate: server.crt", "certificate: expired.crt", 3, 16, "tls.certificate", "has expired; renew it"},
	{"certificate: server.crt", "certificate: future.crt", 3, 16, "tls.certificate", "is not valid yet"},
	{"key: server.key", "key: none.key", 4, 8, "tls.key", "cannot be read: No such file"},
	{"key: server.key", "key: garbage.txt", 4, 8, "tls.key", "holds no private key"},
	{"key: server.key", "key: other.key", 4, 8, "tls.key", "is not the key of"},
	{"key: server.key", "key: open.key", 4, 8, "tls.key", "is open to other users (mode 644); chmod 600 it"},
	{"key: server.key", "key: locked.key", 4, 8, "tls.key", "has a passphrase"},
	{"client_ca: ca.crt", "client_ca: garbage.txt", 5, 14, "tls.client_ca", "holds no certificate"},
	{"client_ca: ca.crt", "client_ca: expired.crt", 5, 14, "tls.client_ca", "every certificate in"},
	{"client_ca: ca.crt", "client_ca: ca.crt\n  crl: garbage.txt", 6, 8, "tls.crl", "holds no revocation list"},
	{"path: module.so", "path: garbage.txt", 12, 11, "modules[0].path", "is no shared object"},
	{"path: module.so", "path: foreign.so", 12, 11, "modules[0].path", "another kind of processor"},
	{"path: module.so", "path: \".\"", 12, 11, "modules[0].path", "cannot be read: Is a directory"},
	{"limits:", "worker_program: none\nlimits:", 8, 17, "worker_program", "cannot be run"},
	{"limits:", "worker_user: no-such-user\nlimits:", 8, 14, "worker_user", "there is no user no-such-user here"},
	{"limits:", "worker_user: 4294967295\nlimits:", 8, 14, "worker_user", "there is no user 4294967295 here"},
	{"limits:", "worker_user: root\nlimits:", 8, 14, "worker_user", "name an ordinary user"},
	{"limits:", "worker_user: 0\nlimits:", 8, 14, "worker_user", "name an ordinary user"},
	{"runtime_directory: run",
		"runtime_directory: "
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
		7, 20, "runtime_directory", "too long"},
	/* The text itself. */
	{"listen: {address: 127.0.0.1, port: 0}", "listen: {address: 127.0.0.1, port: 0", 2, 4, "",
		"the file must be YAML"},
	{"limits:\n  sign_s: 10", "limits:\n\tsign_s: 10", 9, 1, "", "the file must be YAML"},
	{NULL, "---\nlisten: {}\n", 32, 1, "", "a second document"},
	{NULL, "extra: *nothing\n", 31, 8, "", "undefined alias"},
};
enum { MISTAKES = sizeof mistakes / sizeof *mistakes };

ParameterizedTestParameters(config, tells_each_mistake_with_its_place_and_key)
{
	static size_t index[MISTAKES];

	for (size_t i = 0; i < MISTAKES; i++)
		index[i] = i;
	return cr_make_param_array(size_t, index, MISTAKES);
}

ParameterizedTest(
	size_t *index, config, tells_each_mistake_with_its_place_and_key, .init = folder_make, .fini = folder_remove)
{
	const struct mistake *m = &mistakes[*index];
	struct config *config = NULL;
	char error[1024], start[256];
	char *text = replaced(good, m->from, m->to);

	cr_assert_eq(load_text(text, strlen(text), &config, error), STATUS_MALFORMED, "accepted: %s", m->to);
	cr_expect_null(config);
	snprintf(start, sizeof start, "%s:%u:%u: %s%s", config_file, m->line, m->column, m->key, *m->key ? ": " : "");
	cr_expect_eq(strncmp(error, start, strlen(start)), 0, "\nexpected %s…\ngot      %s", start, error);
	cr_expect_not_null(strstr(error, m->says), "\nexpected …%s…\ngot      %s", m->says, error);
	cr_expect_null(strchr(error, '\n'));
	cr_expect_not_null(strstr(error, "; "), "nothing says what to do: %s", error);
	free(text);
}
