#include "api/secret.h"

#include <criterion/criterion.h>
#include <string.h>

Test(secret, wipe_overwrites_exactly_the_given_bytes)
{
	char text[] = "before-SECRET-after";

	secret_wipe(text + 7, 6);
	cr_assert_arr_eq(text, "before-\0\0\0\0\0\0-after", sizeof(text));
}

Test(secret, wipe_accepts_null_with_length_zero)
{
	secret_wipe(NULL, 0);
}

Test(secret, equal_bytes_are_equal)
{
	cr_assert(secret_equal("same", "same", 4));
	cr_assert(secret_equal("", "", 0));
}

Test(secret, a_difference_at_any_place_is_found)
{
	const char *pin = "123456";

	for (size_t i = 0; i < strlen(pin); i++) {
		char other[] = "123456";
		other[i] ^= 1;
		cr_expect_not(secret_equal(pin, other, strlen(pin)), "byte %zu", i);
	}
}

Test(secret, bytes_behind_the_length_do_not_count)
{
	cr_assert(secret_equal("same1", "same2", 4));
}
