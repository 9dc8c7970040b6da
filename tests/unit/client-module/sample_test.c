/* config/client.conf: complete, and good as it stands. */
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client-module/config.h"

enum { TEXT_MAX = 64 << 10 };

static void read_text(const char *path, char text[TEXT_MAX])
{
	FILE *file = fopen(path, "re");

	cr_assert_not_null(file, "%s: run the tests in the top folder", path);
	text[fread(text, 1, TEXT_MAX - 1, file)] = '\0';
	fclose(file);
}

/* The sample without the ';' in front of keys that are not in force. */
static void all_in_force(char *text)
{
	char *to = text;

	for (const char *at = text; *at; at++) {
		bool marker = *at == ';' && (at == text || at[-1] == '\n') && at[1] != ' ';

		if (!marker)
			*to++ = *at;
	}
	*to = '\0';
}

static struct client_config parse(const char *text)
{
	struct client_config config;

	cr_assert_eq(config_parse(&config, "config/client.conf", text, strlen(text)), CKR_OK);
	return config;
}

Test(client_sample, loads_as_it_stands)
{
	static char text[TEXT_MAX];

	read_text("config/client.conf", text);
	struct client_config config = parse(text);
	cr_expect_str_eq(config.host, "gateway.example.org");
	cr_expect_str_eq(config.port, "8443");
	cr_expect_not(config.application_set);
	config_done(&config);
}

Test(client_sample, numbers_that_are_not_in_force_are_the_defaults)
{
	static char text[TEXT_MAX];

	read_text("config/client.conf", text);
	struct client_config bare = parse(text);
	all_in_force(text);
	struct client_config whole = parse(text);
	cr_expect_eq(whole.connect_timeout_s, bare.connect_timeout_s);
	cr_expect_eq(whole.timeout_s, bare.timeout_s);
	cr_expect_eq(whole.heartbeat_s, bare.heartbeat_s);
	cr_expect_eq(whole.cache_pin, bare.cache_pin);
	cr_expect_eq(whole.logout_after_sign, bare.logout_after_sign);
	cr_expect_eq(whole.force_login, bare.force_login);
	config_done(&bare);
	config_done(&whole);
}

Test(client_sample, loads_with_every_key_in_force)
{
	static char text[TEXT_MAX];
	static const unsigned char application[APPLICATION_ID_LEN] = {[7] = 7, [15] = 0xff};

	read_text("config/client.conf", text);
	all_in_force(text);
	struct client_config config = parse(text);
	cr_expect_str_eq(config.server_name, "gateway.example.org");
	cr_expect(config.application_set);
	cr_expect_arr_eq(config.application, application, sizeof application);
	config_done(&config);
}

/* The module keeps its table of keys to itself; its rows start with the section's and the key's name. */
Test(client_sample, shows_every_key)
{
	static char sample[TEXT_MAX], source[TEXT_MAX];
	unsigned rows = 0;

	read_text("config/client.conf", sample);
	read_text("client-module/config.c", source);
	for (char *line = source; line; line = strchr(line, '\n')) {
		char section[32], key[32], shown[40];

		line += *line == '\n';
		if (sscanf(line, " {\"%31[A-Za-z0-9]\", \"%31[A-Za-z0-9_]\", CONFIG_", section, key) != 2)
			continue;
		rows++;
		snprintf(shown, sizeof shown, "\n%s = ", key);
		char *found = strstr(sample, shown);
		if (!found) {
			snprintf(shown, sizeof shown, "\n;%s = ", key);
			found = strstr(sample, shown);
		}
		cr_expect_not_null(found, "%s is not shown", key);
	}
	cr_expect_geq(rows, 14, "the table of keys was not found");
}
