#include "api/hex.h"

#include <criterion/criterion.h>
#include <string.h>

Test(hex, writes_two_lower_case_digits_a_byte)
{
	char text[9];

	hex_encode(text, "\x00\x7f\xa0\xff", 4);
	cr_expect_str_eq(text, "007fa0ff");
}

Test(hex, reads_both_cases)
{
	unsigned char bytes[2];

	cr_assert(hex_decode(bytes, 2, "aBCd", 4));
	cr_expect_arr_eq(bytes, "\xab\xcd", 2);
}

Test(hex, refuses_other_lengths_and_other_characters)
{
	unsigned char bytes[2];

	cr_expect_not(hex_decode(bytes, 2, "abc", 3));
	cr_expect_not(hex_decode(bytes, 2, "abcde", 5));
	cr_expect_not(hex_decode(bytes, 2, "abcg", 4));
	cr_expect_not(hex_decode(bytes, 2, "-123", 4));
}
