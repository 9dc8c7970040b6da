#include "tests/unit/worker/two_applications.h"

struct client other_instance = {.worker = &one, .instance = {9}};

void start_with(const struct worker_options *options)
{
	resource_setup(&token, &one, options);
	session = open_session(&first);
	/* The key is made by somebody else, so that the rules have not been applied to its making. */
	worker_fixture_start(&token, NULL, &two);
	json_int_t theirs = open_logged_in(&second);
	make_key(&second, theirs, "release", "");
	expect(&second, "CKR_OK", CLOSE, theirs);
	worker_fixture_stop(&two);
	worker_fixture_start(&token, NULL, &two);
}

void start(bool cache, enum logout_after after)
{
	start_with(&(struct worker_options){.login = rules(cache, after)});
	log_in();
}

void second_signs(void)
{
	json_int_t theirs = open_logged_in(&second);

	sign(&second, theirs, find_private(&second, theirs));
	expect(&second, "CKR_OK", LOGOUT, theirs);
	expect(&second, "CKR_OK", CLOSE, theirs);
}
