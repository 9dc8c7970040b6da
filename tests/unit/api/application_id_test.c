/* Application IDs as they are written. */
#include <criterion/criterion.h>
#include <string.h>

#include "api/application_id.h"

static bool parse(const char *text, unsigned char id[APPLICATION_ID_LEN])
{
	return application_id_parse(text, strlen(text), id);
}

Test(application_id, C1_major_and_minor_are_big_endian_with_zeros_behind)
{
	static const unsigned char expected[APPLICATION_ID_LEN] = {0, 0, 0, 3, 1, 2, 3, 4};
	unsigned char id[APPLICATION_ID_LEN];
	cr_assert(parse("3-16909060", id));
	cr_expect_arr_eq(id, expected, sizeof id);
}

Test(application_id, C1_both_forms_name_the_same_application)
{
	unsigned char one[APPLICATION_ID_LEN], two[APPLICATION_ID_LEN];
	cr_assert(parse("00000003000000040000000000000000", one));
	cr_assert(parse("3-4", two));
	cr_expect_arr_eq(one, two, sizeof one);
}

Test(application_id, C15_anything_else_is_refused)
{
	static const char *const bad[] = {"", "-", "3", "3-", "-4", "3-4-5", "3 -4", "+3-4", "3-4294967296",
		"4294967296-4", "00000000003-4", "0000000300000004000000000000000", "000000030000000400000000000000000",
		"3-x"};
	unsigned char id[APPLICATION_ID_LEN];
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_expect_not(parse(bad[i], id), "%s", bad[i]);
}
