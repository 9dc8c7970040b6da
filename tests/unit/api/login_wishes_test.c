#include "api/login_wishes.h"

#include <criterion/criterion.h>
#include <string.h>

static bool decode(const char *text, struct login_wishes *ret_wishes)
{
	struct arena arena ARENA_AUTO;
	struct json_reader in;

	arena_init(&arena, 1 << 16);
	json_reader_init(&in, text, strlen(text), &arena);
	return login_wishes_decode(&in, ret_wishes) && json_end(&in);
}

Test(login_wishes, B1_what_is_asked_for_travels_and_what_is_not_is_left_out)
{
	const struct login_wishes all = {true, LOGOUT_AFTER_SIGN, FORCE_LOGIN_NON_REPUDIATION}, none = {0};
	struct login_wishes back;
	struct buffer text BUFFER_AUTO;
	struct json_writer w;

	buffer_init(&text, 1024);
	json_writer_init(&w, &text);
	login_wishes_encode(&w, &all);
	buffer_byte(&text, '\0');
	cr_expect_str_eq((char *)text.data, "{\"cache_pin\":0,\"logout_after\":\"sign\",\"force_login\":64}");
	cr_assert(decode((char *)text.data, &back));
	cr_expect(back.no_cache && back.logout_after == LOGOUT_AFTER_SIGN && back.force_login == 64);
	buffer_reset(&text);
	json_writer_init(&w, &text);
	login_wishes_encode(&w, &none);
	buffer_byte(&text, '\0');
	cr_expect_str_eq((char *)text.data, "{}");
	cr_assert(decode((char *)text.data, &back));
	cr_expect_not(login_wishes_any(&back));
}

Test(login_wishes, B1_the_stricter_of_two_wishes_holds)
{
	struct login_wishes a = {false, LOGOUT_AFTER_PRIVATE_OP, 0};
	const struct login_wishes b = {true, LOGOUT_AFTER_SIGN, FORCE_LOGIN_NON_REPUDIATION};

	login_wishes_add(&a, &b);
	cr_expect(a.no_cache);
	cr_expect_eq(a.logout_after, LOGOUT_AFTER_PRIVATE_OP);
	cr_expect_eq(a.force_login, FORCE_LOGIN_NON_REPUDIATION);
}

Test(login_wishes, B2_other_masks_and_unknown_words_are_refused)
{
	static const char *const bad[] = {"{\"force_login\":128}", "{\"force_login\":192}", "{\"force_login\":1}",
		"{\"cache_pin\":2}", "{\"cache_pin\":false}", "{\"logout_after\":\"always\"}", "{\"logout_after\":1}",
		"{\"cache_pin\":0,\"cache_pin\":0}", "{\"else\":1}", "[]"};
	struct login_wishes wishes;

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
		cr_expect_not(decode(bad[i], &wishes), "%s", bad[i]);
	cr_expect(decode("{\"force_login\":0,\"cache_pin\":1,\"logout_after\":\"never\"}", &wishes));
	cr_expect_not(login_wishes_any(&wishes));
}
