#include "api/buffer.h"

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

Test(buffer, appended_pieces_stand_one_behind_the_other)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 100);
	buffer_text(&buffer, "one ");
	buffer_byte(&buffer, '&');
	buffer_append(&buffer, " two-", 4);
	buffer_append(&buffer, NULL, 0);
	cr_assert_eq(buffer.len, 9);
	cr_assert_arr_eq(buffer.data, "one & two", 9);
	cr_assert_not(buffer.failed);
}

Test(buffer, contents_survive_growth)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 1 << 20);
	for (unsigned i = 0; i < 100000; i++)
		buffer_byte(&buffer, (unsigned char)(i % 251));
	cr_assert_eq(buffer.len, 100000);
	for (unsigned i = 0; i < 100000; i++)
		cr_assert_eq(buffer.data[i], i % 251);
}

Test(buffer, is_filled_up_to_its_limit_and_not_beyond)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 5);
	buffer_text(&buffer, "12345");
	cr_assert_not(buffer.failed);
	buffer_byte(&buffer, '6');
	cr_assert(buffer.failed);
	cr_assert_eq(buffer.len, 5);
}

Test(buffer, a_failure_is_sticky)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 5);
	buffer_text(&buffer, "123456");
	cr_assert(buffer.failed);
	buffer_byte(&buffer, '1');
	cr_assert_eq(buffer.len, 0);
	cr_assert_null(buffer_reserve(&buffer, 1));
	cr_assert(buffer.failed);
}

Test(buffer, a_length_that_overflows_fails)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, SIZE_MAX / 2);
	buffer_byte(&buffer, 'x');
	cr_assert_null(buffer_reserve(&buffer, SIZE_MAX));
	cr_assert(buffer.failed);
	cr_assert_eq(buffer.len, 1);
}

Test(buffer, reserve_gives_room_and_counts_nothing)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 1000);
	buffer_text(&buffer, "abc");
	unsigned char *room = buffer_reserve(&buffer, 900);
	cr_assert_not_null(room);
	cr_assert_eq(room, buffer.data + 3);
	memset(room, 'x', 900);
	cr_assert_eq(buffer.len, 3);
	buffer.len += 900;
	buffer_byte(&buffer, '!');
	cr_assert_eq(buffer.data[903], '!');
}

Test(buffer, reserve_of_nothing_is_not_a_failure)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 0);
	cr_assert_not_null(buffer_reserve(&buffer, 0));
	cr_assert_not(buffer.failed);
}

Test(buffer, reset_wipes_the_contents_and_clears_the_failure)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 8);
	buffer_text(&buffer, "secret");
	buffer_text(&buffer, "too long");
	unsigned char *data = buffer.data;
	buffer_reset(&buffer);
	cr_assert_eq(buffer.len, 0);
	cr_assert_not(buffer.failed);
	cr_assert_arr_eq(data, "\0\0\0\0\0\0", 6);
	buffer_text(&buffer, "again");
	cr_assert_eq(buffer.data, data, "the memory is kept");
}

Test(buffer, can_be_used_again_after_done)
{
	BUFFER_AUTO struct buffer buffer;

	buffer_init(&buffer, 8);
	buffer_text(&buffer, "12345678");
	buffer_done(&buffer);
	cr_assert_null(buffer.data);
	cr_assert_eq(buffer.limit, 8);
	buffer_text(&buffer, "12345678");
	cr_assert_eq(buffer.len, 8);
}
