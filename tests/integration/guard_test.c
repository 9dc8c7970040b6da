/* Whoever guesses PINs, from as many certificates as he likes, does not bring the token to lock them (B16). */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/lib/mock.h"

TestSuite(guard, .timeout = 240);

enum { GUESSERS = 50, GUESSES = 20, PROGRAMS = 5 };

static void replace_after(char *text, size_t size, const char *key, const char *lines)
{
	char *at = strstr(text, key), rest[16384];
	cr_assert_not_null(at, "%s", key);
	at += strlen(key);
	(void)snprintf(rest, sizeof(rest), "%s", at);
	(void)snprintf(at, size - (size_t)(at - text), "%s%s", lines, rest);
}

/* Slot "mock" beside the sandbox's, and "twin", which is the same token, and identities guesser0 … who may log in there. */
static void add_guessers(const struct gateway *g, const struct mock *mock)
{
	static char text[65536], lines[32768];
	const char *build = getenv("BUILD");
	char path[300];
	size_t used = 0;
	(void)snprintf(path, sizeof(path), "%s/p11gated.yaml", g->directory);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	(void)fclose(file);
	(void)snprintf(lines, sizeof(lines),
		"  - {name: mock, path: '%s/tests/mock_module.so', sandbox: none, environment: [{name: P11GATE_MOCK, "
		"value: '%s'}]}\n",
		build, mock->control);
	replace_after(text, sizeof(text), "modules:\n", lines);
	replace_after(text, sizeof(text), "slots:\n",
		"  - {name: mock, module: mock, token: {label: mock}}\n"
		"  - {name: twin, module: mock, token: {serial: '0001'}}\n");
	for (int i = 0; i < GUESSERS; i++)
		used += (size_t)snprintf(lines + used, sizeof(lines) - used,
			"  - {name: guesser%d, certificate: {san_uri: 'urn:p11gate:demo:guesser%d'}}\n", i, i);
	replace_after(text, sizeof(text), "identities:\n", lines);
	used = (size_t)snprintf(lines, sizeof(lines), "  - {identities: [alice, bob");
	for (int i = 0; i < GUESSERS; i++)
		used += (size_t)snprintf(lines + used, sizeof(lines) - used, ", guesser%d", i);
	(void)snprintf(lines + used, sizeof(lines) - used, "], slots: [mock, twin], allow: [read, login]}\n");
	replace_after(text, sizeof(text), "policy:\n", lines);
	file = fopen(path, "we");
	cr_assert_not_null(file);
	(void)fprintf(file, "%slogin:\n  - {identities: [bob], slots: [mock], may_use_last_tries: true}\n", text);
	(void)fclose(file);
	shell("'%s' reload --config '%s'", g->tool, path);
}

static long guess_in(const struct gateway *g, enum person who, const char *slot, const char *pin)
{
	char body[64], path[128];
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", pin);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current/login", slot);
	ANSWER_AUTO answer = request(g, who, "POST", path, body, NULL);
	return answer.status;
}

static long guess(const struct gateway *g, const char *pin)
{
	return guess_in(g, ALICE, "mock", pin);
}

/* One program with a fifth of the certificates. */
static int guess_all(const struct gateway *g, void *argument)
{
	const int first = *(const int *)argument * (GUESSERS / PROGRAMS);
	for (int round = 0; round < GUESSES; round++) {
		for (int i = first; i < first + GUESSERS / PROGRAMS; i++) {
			struct gateway as = *g;
			(void)snprintf(as.certificate, sizeof(as.certificate), "%s/pki/guesser%d.crt", g->directory, i);
			(void)snprintf(as.key, sizeof(as.key), "%s/pki/guesser%d.key", g->directory, i);
			long status = guess(&as, "0000");
			if (status != 401 && status != 423)
				return 1;
		}
	}
	return 0;
}

Test(guard, B16_a_thousand_wrong_pins_from_fifty_certificates_leave_the_token_three_tries)
{
	struct gateway g;
	struct mock mock;
	char names[1024] = "";
	int numbers[PROGRAMS];
	pid_t programs[PROGRAMS];
	mock_new(&mock);
	mock_control(&mock, "user_tries 8\n");
	gateway_start(&g);
	for (int i = 0; i < GUESSERS; i++)
		(void)snprintf(names + strlen(names), sizeof(names) - strlen(names), " guesser%d", i);
	shell("config/pki.sh '%s/pki' alice bob%s", g.directory, names);
	add_guessers(&g, &mock);
	for (int i = 0; i < PROGRAMS; i++) {
		numbers[i] = i;
		programs[i] = child_start(guess_all, &g, &numbers[i]);
	}
	for (int i = 0; i < PROGRAMS; i++)
		cr_expect_eq(child_end(programs[i]), 0);
	cr_expect_leq(mock_logins(&mock, CKU_USER), 5, "of 8 tries");
	cr_expect_geq(mock_logins(&mock, CKU_USER), 1);
	cr_expect_eq(guess(&g, MOCK_PIN), 423, "alice may not use the last tries");
	struct gateway bob = g;
	(void)snprintf(bob.certificate, sizeof(bob.certificate), "%s", g.certificate2);
	(void)snprintf(bob.key, sizeof(bob.key), "%s", g.key2);
	cr_expect_eq(guess(&bob, MOCK_PIN), 200, "bob may");
	cr_expect_eq(guess(&g, MOCK_PIN), 200, "and that resets the budget");
	gateway_stop(&g);
}

Test(guard, B16_two_slot_names_of_one_token_are_no_second_budget_for_it)
{
	struct gateway g;
	struct mock mock;
	mock_new(&mock);
	mock_control(&mock, "user_tries 8\n");
	gateway_start(&g);
	add_guessers(&g, &mock);
	for (int i = 0; i < 3; i++)
		cr_expect_eq(guess_in(&g, ALICE, "mock", "0000"), 401);
	cr_expect_eq(guess_in(&g, ALICE, "twin", MOCK_PIN), 423, "alice has had her tries");
	cr_expect_eq(guess_in(&g, BOB, "twin", "0000"), 401);
	cr_expect_eq(guess_in(&g, BOB, "twin", "0000"), 401);
	cr_expect_eq(guess_in(&g, BOB, "twin", MOCK_PIN), 423, "and so has the token");
	cr_expect_eq(mock_logins(&mock, CKU_USER), 5);
	cr_expect_eq(
		guess_in(&g, BOB, "mock", MOCK_PIN), 200, "the rules are the slot's: there bob may use the last tries");
	gateway_stop(&g);
}
