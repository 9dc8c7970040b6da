#include "api/login_wishes.h"

static const char *const names[LOGOUT_AFTER_COUNT] = {
	[LOGOUT_AFTER_NEVER] = "never",
	[LOGOUT_AFTER_SIGN] = "sign",
	[LOGOUT_AFTER_PRIVATE_OP] = "private-op",
};

const char *logout_after_name(enum logout_after value)
{
	return names[value];
}

bool logout_after_by_name(struct json_text text, enum logout_after *ret_value)
{
	for (int i = 0; i < LOGOUT_AFTER_COUNT; i++) {
		if (!json_text_is(text, names[i]))
			continue;
		*ret_value = (enum logout_after)i;
		return true;
	}
	return false;
}

bool login_wishes_any(const struct login_wishes *wishes)
{
	return wishes->no_cache || wishes->logout_after != LOGOUT_AFTER_NEVER || wishes->force_login != 0;
}

void login_wishes_add(struct login_wishes *wishes, const struct login_wishes *more)
{
	wishes->no_cache = wishes->no_cache || more->no_cache;
	if (more->logout_after > wishes->logout_after)
		wishes->logout_after = more->logout_after;
	wishes->force_login |= more->force_login;
}

void login_wishes_encode(struct json_writer *w, const struct login_wishes *wishes)
{
	json_begin_object(w);
	if (wishes->no_cache) {
		json_name(w, "cache_pin");
		json_write_uint(w, 0);
	}
	if (wishes->logout_after != LOGOUT_AFTER_NEVER) {
		json_name(w, "logout_after");
		json_write_string(w, logout_after_name(wishes->logout_after));
	}
	if (wishes->force_login != 0) {
		json_name(w, "force_login");
		json_write_uint(w, wishes->force_login);
	}
	json_end_object(w);
}

static bool read_logout_after(struct json_reader *in, enum logout_after *ret_value)
{
	struct json_text text;

	if (!json_read_string(in, &text))
		return false;
	return logout_after_by_name(text, ret_value) || json_fail(in, "logout_after is never, sign or private-op");
}

static bool read_member(struct json_reader *in, struct json_text name, unsigned *seen, struct login_wishes *wishes)
{
	uint64_t value = 0;

	if (json_text_is(name, "logout_after") && !(*seen & 1)) {
		*seen |= 1;
		return read_logout_after(in, &wishes->logout_after);
	}
	if (json_text_is(name, "cache_pin") && !(*seen & 2)) {
		*seen |= 2;
		if (!json_read_uint(in, &value) || value > 1)
			return json_fail(in, "cache_pin is 0 or 1");
		wishes->no_cache = value == 0;
		return true;
	}
	if (json_text_is(name, "force_login") && !(*seen & 4)) {
		*seen |= 4;
		if (!json_read_uint(in, &value) || (value != 0 && value != FORCE_LOGIN_NON_REPUDIATION))
			return json_fail(in, "force_login is 0 or 64");
		wishes->force_login = (unsigned)value;
		return true;
	}
	return json_fail(in, "unknown or repeated member of login");
}

bool login_wishes_decode(struct json_reader *in, struct login_wishes *ret_wishes)
{
	struct login_wishes wishes = {0};
	struct json_text name;
	unsigned seen = 0;

	if (!json_enter_object(in))
		return false;
	while (json_next_member(in, &name)) {
		if (!read_member(in, name, &seen, &wishes))
			return false;
	}
	if (json_failed(in))
		return false;
	*ret_wishes = wishes;
	return true;
}
