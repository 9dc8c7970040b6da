/* Logins on a token end to make room for the security officer (X2). */
#include <criterion/criterion.h>

#include "server/app/process.h"
#include "server/app/token.h"
#include "tests/unit/app/rules.h"

TestSuite(quiesce, .init = rules_set_up, .fini = rules_tear_down, .timeout = 60);

Test(quiesce, X2_quiesce_refuses_users_and_ends_those_who_are_in)
{
	fixture_start(&ruled);
	struct asked in = ask_of("alice", 1, USER_LOGIN), out = ask_of("bob", 1, "sessions=1");
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 1), STATUS_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_DEVICE_ERROR);
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_USER_ANOTHER_ALREADY_LOGGED_IN, "until the second is over");
	cr_expect(ends(number_of(&in, "pid")));
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_OK);
	cr_expect_eq(rv_of("bob", 1, USER_LOGIN), CKR_DEVICE_ERROR, "the security officer has a minute");
	struct asked after = ask_of("bob", 1, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&out, "pid"), "nobody was logged in there");
}

Test(quiesce, X2_who_is_in_until_quiesce_is_over_may_still_prove_the_pin)
{
	fixture_start(&ruled);
	cr_expect_eq(rv_of("alice", 1, USER_LOGIN), CKR_OK);
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 3600), STATUS_OK);
	cr_expect_eq(rv_of("alice", 1, "verify=1234"), CKR_OK);
}

Test(quiesce, X2_quiesce_is_of_one_token)
{
	fixture_start(&ruled);
	struct asked spare = {.fixture = &ruled, .domain = "alice", .slot = "spare", .id = 1, .query = USER_LOGIN};
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 0), STATUS_OK);
	ask_it(&spare);
	cr_expect_eq(number_of(&spare, "rv"), CKR_OK);
}

static bool has_login_granted(const struct worker_process *process, const void *context)
{
	struct worker_process *self = (struct worker_process *)(uintptr_t)process;
	(void)context;
	pthread_mutex_lock(&self->mutex);
	bool holds = self->holder >= 0 && self->holds[0].granted && self->holds[0].question.purpose == TOKEN_FOR_LOGIN;
	pthread_mutex_unlock(&self->mutex);
	return holds;
}

static bool somebody_logs_in(void *context)
{
	(void)context;
	return registry_count(ruled.registry, has_login_granted, NULL) > 0;
}

static bool is_over(void *context)
{
	struct token *token = context;
	pthread_mutex_lock(&token->mutex);
	bool over = token->quiesce_due == 0;
	pthread_mutex_unlock(&token->mutex);
	return over;
}

/* Alice's login, which the token is granted for and which has not come to its end. */
static void begin_login(struct asked *ret_login)
{
	fixture_start(&ruled);
	*ret_login = (struct asked){
		.fixture = &ruled, .domain = "alice", .slot = "demo", .id = 1, .query = "acquire=1,1;stay;release=0,1"};
	ask_begin(ret_login);
	cr_assert(becomes(somebody_logs_in, NULL));
}

/* Ends the login successfully, and whether its worker ends by that. */
static void expect_end(struct asked *login)
{
	(void)rv_of("alice", 1, "go");
	ask_join(login);
	cr_expect_eq(number_of(login, "rv"), CKR_OK);
	cr_expect(ends(number_of(login, "pid")));
	cr_expect_eq(rv_of("bob", 2, SO_LOGIN), CKR_OK);
}

Test(quiesce, X2_quiesce_ends_a_login_that_was_under_way_when_it_began)
{
	struct asked login;
	begin_login(&login);
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 1), STATUS_OK);
	expect_end(&login);
}

Test(quiesce, X2_quiesce_ends_a_login_that_is_under_way_until_after_its_end)
{
	struct asked login;
	struct token *token;
	begin_login(&login);
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 0), STATUS_OK);
	cr_assert_eq(
		registry_token(ruled.registry, settings_slot(ruled.registry->settings, "demo"), &token), STATUS_OK);
	cr_assert(becomes(is_over, token));
	expect_end(&login);
}

Test(quiesce, X2_quiesce_leaves_the_security_officer_alone_who_came_in_time)
{
	fixture_start(&ruled);
	cr_expect_eq(registry_quiesce(ruled.registry, "demo", 0), STATUS_OK);
	struct token *token;
	cr_assert_eq(
		registry_token(ruled.registry, settings_slot(ruled.registry->settings, "demo"), &token), STATUS_OK);
	cr_assert(becomes(is_over, token));
	struct asked in = ask_of("bob", 1, SO_LOGIN), still = ask_of("bob", 1, "acquire=3;release=0");
	cr_expect_eq(number_of(&in, "rv"), CKR_OK);
	cr_expect_eq(number_of(&still, "pid"), number_of(&in, "pid"));
}
