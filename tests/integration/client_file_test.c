/*
 * The mode table (B3–B6) as client files ask for it: programs with the client module, each with a file of its own, on a card that takes one
 * login at a time. What the card itself would answer to a second login is not what the gateway answers, so that they can be told apart.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/application.h"
#include "tests/integration/card.h"

#define CARD "exclusive CKR_FUNCTION_FAILED\n"
#define LOGIN "login " MOCK_PIN

/* Starts a program with the client file of `who` and these lines in its section [PKCS11]. */
static void program_start(struct application *program, const struct gateway *g, enum person who, const char *wishes)
{
	static unsigned count;
	struct gateway own = *g;
	char *file = who == ALICE ? own.configuration : own.configuration2;

	(void)snprintf(file, sizeof(own.configuration), "%.200s/client-%u.conf", g->directory, ++count);
	shell("{ cat '%s'; printf '[PKCS11]\\n%s'; } > '%s'", who == ALICE ? g->configuration : g->configuration2,
		wishes, file);
	application_start(program, &own, who);
	cr_assert_str_eq(tell(program, "init"), "0x0");
}

#define expect(program, command, answer) cr_expect_str_eq(tell(program, command), answer, "%s", command)

static void open_and_log_in(struct application *program)
{
	cr_assert_str_eq(TELL_ALL(program, "open", LOGIN), "0x0");
}

/* Makes the key "key", whose maker is logged out then. */
static void key_make(const struct gateway *g)
{
	struct application maker;

	program_start(&maker, g, ALICE, "");
	open_and_log_in(&maker);
	cr_assert_str_eq(TELL_ALL(&maker, "generate key", "logout", "finalize"), "0x0");
	cr_assert(application_end(&maker));
}

static void start(struct gateway *g, struct mock *mock, const struct card_options *options)
{
	card_start(g, mock, options);
	key_make(g);
}

static void card(struct gateway *g, struct mock *mock)
{
	start(g, mock, &(struct card_options){.control = CARD});
}

/* Alice's program with these lines in its file, and bob's, on the card. */
static void card_with_two(
	struct gateway *g, struct mock *mock, struct application *she, const char *wishes, struct application *other)
{
	card(g, mock);
	program_start(she, g, ALICE, wishes);
	program_start(other, g, BOB, "");
}

/* One login, many signatures. */
static void sign_thrice(struct application *program)
{
	for (int i = 0; i < 3; i++)
		expect(program, "sign", "0x0");
	expect(program, "info", "0x0 user");
}

static void without_the_cache_the_card_is_hers(enum person other_is)
{
	struct gateway g;
	struct mock mock;
	struct application she, other;

	card(&g, &mock);
	program_start(&other, &g, other_is, "");
	cr_assert_str_eq(TELL_ALL(&other, "set 5 6", "open", LOGIN, "find key"), "0x0 1");
	expect(&other, "sign", "0x0");
	program_start(&she, &g, ALICE, "P11_EnableCachePIN = 0\\nP11_LogoutAfterSign = 0\\n");
	open_and_log_in(&she);
	unsigned logins = mock_logins(&mock, CKU_USER);
	expect(&she, "find key", "0x0 1");
	sign_thrice(&she);
	expect(&other, "sign", "0x30");
	expect(&other, "logout", "0x0");
	expect(&other, LOGIN, "0x30");
	cr_expect_eq(mock_logins(&mock, CKU_USER), logins, "one login was for all, and nobody else's came to the card");
	sign_thrice(&she);
	expect(&she, "logout", "0x0");
	expect(&other, LOGIN, "0x0");
	expect(&other, "find key", "0x0 1");
	expect(&other, "sign", "0x0");
	gateway_stop(&g);
}

Test(client_file, B3_without_the_cache_a_card_is_hers_until_she_logs_out_and_not_bobs, .timeout = 60)
{
	without_the_cache_the_card_is_hers(BOB);
}

Test(client_file, B3_nor_is_it_another_application_of_her_own, .timeout = 60)
{
	without_the_cache_the_card_is_hers(ALICE);
}

Test(client_file, B3_who_waits_for_her_logs_in_when_she_is_out, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application she, other;

	start(&g, &mock, &(struct card_options){.control = CARD, .wait_s = 40});
	program_start(&she, &g, ALICE, "P11_EnableCachePIN = 0\\n");
	program_start(&other, &g, BOB, "");
	open_and_log_in(&she);
	expect(&other, "open", "0x0");
	tell_only(&other, LOGIN);
	expect(&she, "find key", "0x0 1");
	sign_thrice(&she);
	/* Her last session, as C_Logout would. */
	expect(&she, "close", "0x0");
	cr_expect_str_eq(answer_of(&other), "0x0");
	gateway_stop(&g);
}

Test(client_file, B3_where_the_server_lets_nobody_wait_a_file_does_not_either, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application first, second;

	start(&g, &mock, &(struct card_options){.rules = "enable_cache_pin: 0, exclusive_login: never"});
	program_start(&first, &g, BOB, "P11_EnableCachePIN = 0\\n");
	program_start(&second, &g, ALICE, "P11_EnableCachePIN = 0\\n");
	open_and_log_in(&first);
	open_and_log_in(&second);
	gateway_stop(&g);
}

Test(client_file, B4_with_the_cache_the_card_is_free_between_uses, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application she, other;

	card_with_two(&g, &mock, &she, "P11_EnableCachePIN = 1\\nP11_LogoutAfterSign = 0\\n", &other);
	open_and_log_in(&she);
	open_and_log_in(&other);
	expect(&she, "find key", "0x0 1");
	expect(&other, "find key", "0x0 1");
	for (int i = 0; i < 3; i++) {
		expect(&she, "sign", "0x0");
		expect(&other, "sign", "0x0");
		expect(&she, "info", "0x0 user");
	}
	gateway_stop(&g);
}

Test(client_file, B5_without_the_cache_each_signature_ends_her_login_and_until_then_the_card_is_hers, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application she, other;

	card_with_two(&g, &mock, &she, "P11_EnableCachePIN = 0\\nP11_LogoutAfterSign = 1\\n", &other);
	open_and_log_in(&she);
	expect(&other, "open", "0x0");
	expect(&she, "find key", "0x0 1");
	expect(&she, "digest", "0x0");
	expect(&she, "info", "0x0 user");
	expect(&other, LOGIN, "0x30");
	expect(&she, "sign", "0x0");
	expect(&she, "info", "0x0 public");
	expect(&she, "sign", "0x101");
	expect(&other, LOGIN, "0x0");
	expect(&she, LOGIN, "0x0");
	expect(&she, "sign", "0x0");
	gateway_stop(&g);
}

Test(client_file, B6_with_the_cache_the_card_is_free_until_her_signature_and_the_pin_goes_with_it, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application she, other;

	card_with_two(&g, &mock, &she, "P11_EnableCachePIN = 1\\nP11_LogoutAfterSign = 1\\n", &other);
	open_and_log_in(&she);
	open_and_log_in(&other);
	expect(&other, "find key", "0x0 1");
	expect(&other, "sign", "0x0");
	expect(&she, "find key", "0x0 1");
	expect(&she, "info", "0x0 user");
	expect(&she, "sign", "0x0");
	expect(&she, "info", "0x0 public");
	unsigned logins = mock_logins(&mock, CKU_USER);
	expect(&she, "sign", "0x101");
	cr_expect_eq(mock_logins(&mock, CKU_USER), logins, "her PIN is kept no more");
	expect(&other, "sign", "0x0");
	gateway_stop(&g);
}

Test(client_file, B3_on_an_hsm_each_keeps_its_login_by_default_and_nobody_waits, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application she, other, third;

	start(&g, &mock, &(struct card_options){.class_name = "hsm"});
	program_start(&she, &g, ALICE, "");
	program_start(&other, &g, BOB, "");
	program_start(&third, &g, ALICE, "");
	unsigned logins = mock_logins(&mock, CKU_USER);
	open_and_log_in(&she);
	open_and_log_in(&other);
	cr_assert_str_eq(TELL_ALL(&third, "set 5 6", "open", LOGIN, "find key"), "0x0 1");
	expect(&she, "find key", "0x0 1");
	expect(&other, "find key", "0x0 1");
	sign_thrice(&she);
	sign_thrice(&other);
	sign_thrice(&third);
	cr_expect_eq(mock_logins(&mock, CKU_USER), logins + 3, "the token saw one login of each");
	gateway_stop(&g);
}

/* A program with that file holds the application 7-9, logs it in and ends. */
static void hold_and_log_in(const struct gateway *g, const char *wishes)
{
	struct application parent;

	program_start(&parent, g, ALICE, wishes);
	cr_assert_str_eq(TELL_ALL(&parent, "set 7 9", "hold 7 9", "open", LOGIN, "close", "finalize"), "0x0");
	cr_assert(application_end(&parent));
}

Test(client_file, B1_what_the_parents_file_asks_for_lasts_as_long_as_the_login_that_it_made, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application child;

	card(&g, &mock);
	hold_and_log_in(&g, "P11_LogoutAfterSign = 1\\n");
	program_start(&child, &g, ALICE, "");
	cr_assert_str_eq(TELL_ALL(&child, "set 7 9", "open", "find key"), "0x0 1");
	expect(&child, "info", "0x0 user");
	expect(&child, "sign", "0x0");
	expect(&child, "sign", "0x101");
	/* The next login is the child's. */
	expect(&child, LOGIN, "0x0");
	sign_thrice(&child);
	gateway_stop(&g);
}

Test(client_file, B1_a_card_is_hers_after_the_program_that_wanted_no_cache_has_ended, .timeout = 60)
{
	struct gateway g;
	struct mock mock;
	struct application child, other;

	card(&g, &mock);
	hold_and_log_in(&g, "P11_EnableCachePIN = 0\\n");
	program_start(&child, &g, ALICE, "");
	program_start(&other, &g, BOB, "");
	cr_assert_str_eq(TELL_ALL(&child, "set 7 9", "open", "find key"), "0x0 1");
	sign_thrice(&child);
	expect(&other, "open", "0x0");
	expect(&other, LOGIN, "0x30");
	expect(&child, "release 7 9", "0x0");
	expect(&other, LOGIN, "0x0");
	gateway_stop(&g);
}
