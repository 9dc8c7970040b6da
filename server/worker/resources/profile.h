/*
 * Profiles of challenge-response (requirement D4): what other devices that answer challenges take and give.
 */
#ifndef P11GATE_WORKER_RESOURCES_PROFILE_H
#define P11GATE_WORKER_RESOURCES_PROFILE_H

#include <stdbool.h>

#include "server/common/message.h"

enum {
	PROFILE_INPUTS_MAX = 2, /* times that one challenge uses the key */
	PROFILE_FRAME_LEN = 64, /* bytes of a padded challenge */
};

struct profile {
	const char *name;
	const char *method; /* the only one; NULL: any */
	size_t least, most; /* bytes of a challenge */
	size_t step; /* of which it is a multiple */
	size_t key_len; /* bytes of the key; 0: as the method says */
	bool framed; /* the challenge is padded, and has a `frame` */
};

/* The profile of that name; NULL: the one that is used where none is asked for. `name` is one that the schema allows. */
const struct profile *profile_by_name(const char *name);

/* Whether a challenge of `len` bytes is one of this profile. */
bool profile_takes(const struct profile *profile, size_t len);

/*
 * What the key answers for a challenge that the profile takes: one input or two, which point into `challenge` or into `memory`
 * (PROFILE_FRAME_LEN bytes). `fixed` concerns framed profiles: all 64 bytes of the padded challenge; otherwise the run of equal bytes at
 * its end is taken off, as devices are reported to do (not confirmed on hardware), and what is left may be nothing. Returns the number of inputs.
 */
size_t profile_inputs(const struct profile *profile, bool fixed, struct bytes challenge, unsigned char *memory,
	struct bytes ret_inputs[PROFILE_INPUTS_MAX]);

#endif
