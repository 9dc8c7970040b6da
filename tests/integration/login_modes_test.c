/*
 * The mode table (B3–B8) through the whole gateway, on a card that takes one login at a time: Alice logs in to sign, then Bob tries to use
 * the token.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/integration/card.h"

#define APPLICATION "/v1/slots/card/applications/current"
#define KEYS "/v1/slots/card/keys"
#define CARD "exclusive CKR_DEVICE_ERROR\n"

static long log_in(const struct gateway *g, enum person who)
{
	ANSWER_AUTO answer = request(g, who, "POST", APPLICATION "/login", "{\"pin\":\"" MOCK_PIN "\"}", NULL);
	return answer.status;
}

static long log_out(const struct gateway *g, enum person who)
{
	ANSWER_AUTO answer = request(g, who, "POST", APPLICATION "/logout", NULL, NULL);
	return answer.status;
}

static long sign(const struct gateway *g, enum person who)
{
	ANSWER_AUTO answer = request(
		g, who, "POST", KEYS "/release/sign", "{\"algorithm\":\"ES256\",\"data\":\"YQ\"}", NULL);
	return answer.status;
}

static long list(const struct gateway *g, enum person who)
{
	ANSWER_AUTO answer = request(g, who, "GET", KEYS, NULL, NULL);
	return answer.status;
}

static void expect_login(const struct gateway *g, enum person who, const char *login)
{
	ANSWER_AUTO answer = request(g, who, "GET", APPLICATION, NULL, NULL);
	cr_expect_eq(answer.status, 200);
	cr_expect_str_eq(member(&answer, "login"), login, "%s", answer.text);
}

/* A gateway with a slot "card", and `rules` of its logins, if not NULL. Alice makes the key and is logged in again, whatever these say. */
static void start(struct gateway *g, struct mock *mock, const char *rules)
{
	card_start(g, mock, &(struct card_options){.control = CARD, .rules = rules});
	cr_assert_eq(log_in(g, ALICE), 200);
	ANSWER_AUTO made = request(g, ALICE, "POST", KEYS, "{\"type\":\"EC\",\"label\":\"release\"}", NULL);
	cr_assert_eq(made.status, 201, "%s", made.text);
	(void)log_out(g, ALICE);
	cr_assert_eq(log_in(g, ALICE), 200);
}

/* Changes the configuration with sed, and reloads it. */
static void reload(const struct gateway *g, const char *change)
{
	shell("sed -i '%s' '%s/p11gated.yaml'", change, g->directory);
	shell("'%s' reload --config '%s/p11gated.yaml'", g->tool, g->directory);
}

static void expect_alice_out(const struct gateway *g)
{
	expect_login(g, ALICE, "none");
	cr_expect_eq(sign(g, ALICE), 401);
}

Test(login_modes, B3_without_the_cache_a_card_is_hers_until_she_logs_out, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, "enable_cache_pin: 0");
	cr_expect_eq(sign(&g, ALICE), 200);
	cr_expect_eq(log_in(&g, BOB), 423);
	cr_expect_eq(sign(&g, ALICE), 200);
	cr_expect_eq(log_out(&g, ALICE), 204);
	cr_expect_eq(log_in(&g, BOB), 200);
	cr_expect_eq(sign(&g, BOB), 200);
	gateway_stop(&g);
}

Test(login_modes, B4_a_card_is_shared_between_uses_by_default_and_an_hsm_keeps_its_logins, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, NULL);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(sign(&g, ALICE), 200);
		cr_expect(log_in(&g, BOB) == (i == 0 ? 200 : 409));
		cr_expect_eq(sign(&g, BOB), 200);
		expect_login(&g, ALICE, "user");
	}
	ANSWER_AUTO card = request(&g, ALICE, "GET", "/v1/slots/card", NULL, NULL);
	ANSWER_AUTO hsm = request(&g, ALICE, "GET", "/v1/slots/demo", NULL, NULL);
	cr_expect(json_is_true(json_object_get(json_object_get(card.json, "login"), "cache_pin")), "%s", card.text);
	cr_expect(json_is_false(json_object_get(json_object_get(hsm.json, "login"), "cache_pin")), "%s", hsm.text);
	/* The PINs were tried on the token once for each login and each use, never more. */
	cr_expect_eq(mock_logins_answered(&mock, CKU_USER, CKR_PIN_INCORRECT), 0);
	gateway_stop(&g);
}

Test(login_modes, B5_each_signature_ends_her_login, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, "enable_cache_pin: 0, logout_after: sign");
	cr_expect_eq(list(&g, ALICE), 200);
	expect_login(&g, ALICE, "user");
	cr_expect_eq(log_in(&g, BOB), 423);
	cr_expect_eq(sign(&g, ALICE), 200);
	cr_expect_eq(sign(&g, ALICE), 401);
	cr_expect_eq(log_in(&g, BOB), 200);
	cr_expect_eq(sign(&g, BOB), 200);
	cr_expect_eq(log_in(&g, ALICE), 200);
	gateway_stop(&g);
}

Test(login_modes, B6_the_card_is_free_until_her_signature_and_the_kept_pin_goes_with_it, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, "enable_cache_pin: 1, logout_after: sign");
	cr_expect_eq(log_in(&g, BOB), 200);
	cr_expect_eq(sign(&g, BOB), 200);
	expect_login(&g, BOB, "none");
	expect_login(&g, ALICE, "user");
	cr_expect_eq(sign(&g, ALICE), 200);
	cr_expect_eq(sign(&g, ALICE), 401);
	gateway_stop(&g);
}

static void expect_a_login_per_private_use(const char *rules)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, rules);
	cr_expect_eq(list(&g, ALICE), 200);
	expect_login(&g, ALICE, "none");
	cr_expect_eq(sign(&g, ALICE), 401);
	cr_expect_eq(log_in(&g, BOB), 200);
	cr_expect_eq(sign(&g, BOB), 200);
	cr_expect_eq(sign(&g, BOB), 401);
	cr_expect_eq(log_in(&g, ALICE), 200);
	cr_expect_eq(sign(&g, ALICE), 200);
	expect_login(&g, ALICE, "none");
	gateway_stop(&g);
}

Test(login_modes, B7_each_private_use_ends_her_login, .timeout = 60)
{
	expect_a_login_per_private_use("enable_cache_pin: 0, logout_after: private-op");
}

Test(login_modes, B8_the_cache_changes_nothing_about_that, .timeout = 60)
{
	expect_a_login_per_private_use("enable_cache_pin: 1, logout_after: private-op");
}

Test(login_modes, B14_a_reload_without_the_cache_logs_her_out, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, "enable_cache_pin: 1");
	cr_expect_eq(sign(&g, ALICE), 200);
	reload(&g, "s/enable_cache_pin: 1/enable_cache_pin: 0/");
	expect_alice_out(&g);
	gateway_stop(&g);
}

static bool card_is(const struct gateway *g, void *state)
{
	ANSWER_AUTO answer = request(g, BOB, "GET", "/v1/slots/card", NULL, NULL);
	return strcmp(member(&answer, "state"), state) == 0;
}

static bool is_on_record(const struct gateway *g, void *reason)
{
	static char log[1 << 20];
	FILE *file = fopen(g->audit_log, "re");
	cr_assert_not_null(file);
	log[fread(log, 1, sizeof(log) - 1, file)] = '\0';
	(void)fclose(file);
	return strstr(log, reason) != NULL;
}

Test(login_modes, B14_a_card_that_was_pulled_out_and_put_back_wants_her_pin_again, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, NULL);
	cr_expect_eq(sign(&g, ALICE), 200);
	unsigned before = mock_logins(&mock, CKU_USER);
	mock_control(&mock, CARD "removed 1\n");
	cr_expect(await_condition(card_is, &g, "absent", 20));
	mock_control(&mock, CARD);
	cr_expect(await_condition(card_is, &g, "present", 20));
	cr_expect(await_condition(is_on_record, &g, "\"reason\":\"the token was removed or is another one\"", 20));
	expect_alice_out(&g);
	cr_expect_eq(mock_logins(&mock, CKU_USER), before, "nobody gave her PIN to the card again");
	cr_expect_eq(log_in(&g, ALICE), 200);
	cr_expect_eq(sign(&g, ALICE), 200);
	gateway_stop(&g);
}

Test(login_modes, B14_a_reload_that_takes_her_permission_to_log_in_logs_her_out, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, NULL);
	cr_assert_eq(log_in(&g, BOB), 200);
	reload(&g, "s/identities: .alice, bob., slots: .card., .*/identities: [alice], slots: [card], allow: [read, "
		   "use]}\\n"
		   "  - {identities: [bob], slots: [card], allow: [read, login, use]}/");
	cr_expect(await_condition(
		is_on_record, &g, "\"reason\":\"the identity may not use the application any more\"", 20));
	expect_alice_out(&g);
	cr_expect_eq(sign(&g, BOB), 200);
	gateway_stop(&g);
}

Test(login_modes, B15_a_pin_changed_at_the_card_costs_each_application_one_try, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	start(&g, &mock, NULL);
	cr_expect_eq(log_in(&g, BOB), 200);
	mock_change_pin(&mock, "8888");
	cr_expect_eq(sign(&g, ALICE), 401);
	cr_expect_eq(sign(&g, ALICE), 401);
	cr_expect_eq(mock_logins_answered(&mock, CKU_USER, CKR_PIN_INCORRECT), 1);
	cr_expect_eq(sign(&g, BOB), 401);
	cr_expect_eq(sign(&g, BOB), 401);
	cr_expect_leq(mock_logins_answered(&mock, CKU_USER, CKR_PIN_INCORRECT), 2);
	gateway_stop(&g);
}
