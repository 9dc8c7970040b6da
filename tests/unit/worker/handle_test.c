/* Handles and operations over logouts of both kinds (X3, X4). */
#include <criterion/criterion.h>

#include "tests/unit/worker/two_applications.h"

TestSuite(handle, .timeout = 60);

/* The second application destroys what it finds of that class first. */
static void destroy_theirs(json_int_t theirs, const char *class)
{
	json_t *found = client_call(&second, SEARCH, theirs, class, theirs);

	expect(&second, "CKR_OK", SEARCH_END, theirs);
	expect(&second, "CKR_OK", DESTROY, theirs, json_integer_value(json_at(found, "objects/0")));
	json_decref(found);
}

Test(handle, X3_the_handle_of_a_key_that_was_destroyed_meanwhile_is_invalid)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	destroy_theirs(open_logged_in(&second), "CKO_PRIVATE_KEY");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

/* The first application has found its key, which the second one then replaces by another of the same label. */
static void start_replaced(void)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	destroy_theirs(theirs, "CKO_PRIVATE_KEY");
	destroy_theirs(theirs, "CKO_PUBLIC_KEY");
	make_key(&second, theirs, "release", "");
}

/* SoftHSM's EC private keys tell nothing of themselves in which the two would differ. */
Test(handle, X3_a_key_that_was_replaced_meanwhile_is_not_taken_for_the_old_one)
{
	start_replaced();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
	/* A search gives the new one a handle of its own. */
	json_int_t another = find_private(&first, session);
	cr_expect_neq(another, key);
	sign(&first, session, another);
}

Test(handle, X3_a_new_key_that_is_found_does_not_get_the_handle_of_the_one_it_replaced)
{
	start_replaced();
	json_int_t another = find_private(&first, session);
	cr_expect_neq(another, key);
	sign(&first, session, another);
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(handle, X3_a_secret_key_that_was_replaced_meanwhile_is_not_taken_for_the_old_one)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_logged_in(&second);
	expect(&second, "CKR_OK", MAKE_PRIVATE, theirs, "true");
	json_t *found = client_call(&first, SEARCH, session, "CKO_SECRET_KEY", session);
	json_int_t secret = json_integer_value(json_at(found, "objects/0"));
	json_decref(found);
	expect(&first, "CKR_OK", SEARCH_END, session);
	destroy_theirs(theirs, "CKO_SECRET_KEY");
	expect(&second, "CKR_OK", MAKE_PRIVATE, theirs, "true");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", GET_LABEL, session, secret);
}

Test(handle, X3_a_key_whose_public_key_is_nowhere_keeps_its_handle)
{
	start(true, LOGOUT_AFTER_NEVER);
	destroy_theirs(open_logged_in(&second), "CKO_PUBLIC_KEY");
	key = find_private(&first, session);
	for (int i = 0; i < 3; i++)
		sign(&first, session, key);
	cr_expect_eq(find_private(&first, session), key);
}

Test(handle, X3_of_two_keys_that_look_alike_neither_is_taken_for_the_old_one)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	json_int_t theirs = open_logged_in(&second);
	make_key(&second, theirs, "release", "");
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(handle, X3_a_forced_logout_leaves_the_handle_and_a_logout_takes_it)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	sign(&first, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	log_in();
	expect(&first, "CKR_OBJECT_HANDLE_INVALID", SIGN_INIT, session, key);
}

Test(handle, C11_closing_all_sessions_closes_those_of_the_calling_process)
{
	start(true, LOGOUT_AFTER_NEVER);
	json_int_t theirs = open_session(&other_instance);
	expect(&first, "CKR_OK", "{\"CloseAllSessions\":{}}");
	expect(&first, "CKR_SESSION_HANDLE_INVALID", INFO, session);
	expect_session(&other_instance, theirs, "CKS_RW_USER_FUNCTIONS");
}

Test(handle, X4_an_operation_does_not_survive_the_logout_of_its_application)
{
	start(true, LOGOUT_AFTER_NEVER);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, session, key);
	expect(&first, "CKR_OK", LOGOUT, session);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, session);
}

Test(handle, X4_an_operation_does_not_survive_a_forced_logout)
{
	start(false, LOGOUT_AFTER_SIGN);
	json_int_t another = open_session(&first);
	key = find_private(&first, session);
	expect(&first, "CKR_OK", SIGN_INIT, another, key);
	sign(&first, session, key);
	expect(&first, "CKR_OPERATION_NOT_INITIALIZED", SIGN, another);
}
