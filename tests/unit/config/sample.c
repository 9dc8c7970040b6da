/*
 * config/p11gated.yaml: complete, and good as it stands.
 */
#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/config/internal.h"
#include "tests/unit/config/support.h"

enum { SAMPLE_MAX = 1 << 16 };

static char sample[SAMPLE_MAX];

static void make_sample(void)
{
	struct buffer text;

	folder_make();
	buffer_init(&text, SAMPLE_MAX - 1);
	config_sample(&text);
	cr_assert_not(text.failed);
	memcpy(sample, text.data, text.len);
	buffer_done(&text);
}

TestSuite(config_sample, .init = make_sample, .fini = folder_remove);

Test(config_sample, the_file_is_what_the_tool_prints)
{
	static char file[SAMPLE_MAX];
	int fd = open("config/p11gated.yaml", O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0, "run the tests in the top folder");
	cr_assert_gt(read(fd, file, sizeof file - 1), 0);
	close(fd);
	cr_expect_str_eq(file, sample, "type build/p11gate sample > config/p11gated.yaml");
}

/* `text` without the '#' in front of what is not in force. */
static char *all_in_force(const char *text)
{
	char *out = calloc(1, strlen(text) + 1), *to = out;

	for (const char *at = text; *at; at++) {
		bool marker = *at == '#' && (at[1] == ' ' ? at[2] == ' ' : at[1] != '\0' && at[1] != '\n');

		if (!marker)
			*to++ = *at;
	}
	return out;
}

static bool shown(const struct key *key)
{
	char line[80];

	snprintf(line, sizeof line, "%s:", key->name);
	return strstr(sample, line) != NULL;
}

Test(config_sample, shows_every_key_with_its_description)
{
	for (size_t i = 0; i < config_keys_count; i++) {
		cr_expect(shown(&config_keys[i]), "%s is not shown", config_keys[i].name);
		cr_expect(config_keys[i].description != NULL);
	}
}

static enum status load_sample(const char *text, struct config **ret_config, char *ret_error)
{
	char *local = replaced(text, "client_ca: client-ca.crt", "client_ca: ca.crt");
	enum status status = load_text(local, strlen(local), ret_config, ret_error);

	free(local);
	return status;
}

Test(config_sample, loads_as_it_stands)
{
	struct config *config = NULL;
	char error[1024];

	cr_assert_eq(load_sample(sample, &config, error), STATUS_OK, "%s", error);
	cr_expect_str_eq(config->slots[0].name, "demo");
	cr_expect_eq(config->listen.port, 8443);
	config_free(config);
}

Test(config_sample, what_is_in_force_are_the_defaults)
{
	struct config *whole = NULL, *bare;
	char error[1024];

	cr_assert_eq(load_sample(sample, &whole, error), STATUS_OK, "%s", error);
	bare = load_good("limits:\n  sign_s: 10\n", "");
	cr_expect_eq(memcmp(&whole->limits, &bare->limits, sizeof whole->limits), 0);
	cr_expect_eq(whole->log.json, bare->log.json);
	cr_expect_str_eq(whole->modules[0].sandbox, bare->modules[0].sandbox);
	config_free(whole);
	config_free(bare);
}

Test(config_sample, loads_with_every_key_in_force)
{
	struct config *config = NULL;
	char error[1024];
	char *everything = all_in_force(sample), *one = replaced(everything, "crl: client-ca.crl", "crl: ca.crl"),
	     *two = replaced(one, "worker_program: /usr/libexec/p11gate/p11gate-worker", "worker_program: /bin/sh");

	/* Of the ways to recognise a certificate one is enough. */
	for (const char *name = "sha256 san_uri san_dns san_email"; *name;
		name += strcspn(name, " "), name += *name == ' ') {
		char key[32];
		char *at, *end;

		snprintf(key, sizeof key, "      %.*s:", (int)strcspn(name, " "), name);
		at = strstr(strstr(two, "identities:"), key);
		cr_assert_not_null(at, "%s is not in the sample", key);
		end = strchr(at, '\n') + 1;
		memmove(at, end, strlen(end) + 1);
	}
	cr_assert_eq(load_sample(two, &config, error), STATUS_OK, "%s", error);
	cr_expect_str_eq(config->slots[0].token_serial, "1a2b3c4d5e6f7081");
	cr_expect_eq(config->modules[0].environment_count, 1);
	cr_expect_eq(config->challenge_only_labels_count, 1);
	config_free(config);
	free(everything);
	free(one);
	free(two);
}
