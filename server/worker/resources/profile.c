#include "server/worker/resources/profile.h"

#include <string.h>

#include "server/worker/resources/challenge.h"

/* The first is the default. */
static const struct profile profiles[] = {
	{"raw", NULL, 1, CHALLENGE_MAX, 1, 0, false},
	{"hmac-secret", "hmac-sha256", 32, 64, 32, 0, false},
	{"yubikey-hmac-sha1", "hmac-sha1", 1, PROFILE_FRAME_LEN, 1, 20, true},
};

const struct profile *profile_by_name(const char *name)
{
	size_t i = 0;
	while (name != NULL && i + 1 < sizeof profiles / sizeof profiles[0] && strcmp(profiles[i].name, name) != 0)
		i++;
	return &profiles[i];
}

bool profile_takes(const struct profile *profile, size_t len)
{
	return len >= profile->least && len <= profile->most && len % profile->step == 0;
}

/* The padding of PKCS #7 up to 64 bytes, as KeePassXC adds it; the device cannot tell it from a challenge that ends with such bytes. */
static size_t frame(bool fixed, struct bytes challenge, unsigned char *memory)
{
	size_t len = PROFILE_FRAME_LEN;
	memcpy(memory, challenge.data, challenge.len);
	memset(memory + challenge.len, (int)(PROFILE_FRAME_LEN - challenge.len), PROFILE_FRAME_LEN - challenge.len);
	while (!fixed && len > 0 && memory[len - 1] == memory[PROFILE_FRAME_LEN - 1])
		len--;
	return len;
}

size_t profile_inputs(const struct profile *profile, bool fixed, struct bytes challenge, unsigned char *memory,
	struct bytes ret_inputs[PROFILE_INPUTS_MAX])
{
	ret_inputs[0] = challenge;
	if (profile->framed)
		ret_inputs[0] = (struct bytes){memory, frame(fixed, challenge, memory)};
	if (profile->step == 1 || challenge.len == profile->step)
		return 1;
	ret_inputs[0].len = profile->step;
	ret_inputs[1] = (struct bytes){challenge.data + profile->step, challenge.len - profile->step};
	return 2;
}
