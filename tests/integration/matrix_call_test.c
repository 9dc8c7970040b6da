/* The isolation matrix (X9): every call of calls.def, and handles that are guessed. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/buffer.h"
#include "api/limits.h"
#include "tests/integration/matrix.h"

TestSuite(matrix_call, .timeout = 220);

/* Every call that takes what is tried: the session; or, with a session of its own, each of its objects. Returns how many. */
static unsigned write_calls(struct buffer *out, const struct gateway *g, const struct matrix_names *own,
	const struct matrix_names *tried, bool objects, size_t part)
{
	struct matrix_handles handles = {
		.session = objects ? own->session : tried->session, .object = tried->key, .own = own->key};
	unsigned count = 0;

	buffer_text(out, "{\"groups\":[");
	for (size_t id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);
		if (matrix_call_argument(row, WIRE_SESSION) == row->argument_count)
			continue;
		for (size_t i = 0; i < row->argument_count; i++) {
			if (row->arguments[i].kind != (objects ? WIRE_OBJECT : WIRE_SESSION))
				continue;
			handles.at = i;
			if (count++ / LIMIT_GROUPS == part)
				matrix_call_write(out, g, row, &handles);
		}
	}
	buffer_text(out, "]}");
	buffer_byte(out, '\0');
	return count;
}

static struct matrix_reply ask_calls(struct matrix_application *from, const struct gateway *g,
	const struct matrix_names *as, const struct matrix_names *tried, bool objects, size_t part, unsigned *ret_count)
{
	char path[200];
	struct buffer out;

	buffer_init(&out, TEXT_MAX / 2);
	*ret_count = write_calls(&out, g, &from->own, tried, objects, part);
	cr_assert_not(out.failed);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	struct matrix_reply reply = matrix_ask(from, as, tried, "POST", path, (const char *)out.data);
	buffer_done(&out);
	return reply;
}

static void try_calls(struct matrix_application *from, const struct gateway *g, const struct matrix_names *as,
	const struct matrix_names *foreign, bool objects)
{
	struct matrix_names unknown;
	unsigned count = 1;

	matrix_names_of_nobody(&unknown);
	for (size_t part = 0; part * LIMIT_GROUPS < count; part++) {
		REPLY_AUTO other = ask_calls(from, g, as, foreign, objects, part, &count);
		REPLY_AUTO nobody = ask_calls(from, g, as, &unknown, objects, part, &count);
		unsigned here = count - (unsigned)part * LIMIT_GROUPS < LIMIT_GROUPS
					? count - (unsigned)part * LIMIT_GROUPS
					: LIMIT_GROUPS;
		cr_expect_eq(other.status, 200, "%s", other.text);
		cr_expect_eq(matrix_occurrences(other.text, "\"rv\":"), here, "%s", other.text);
		cr_expect_eq(matrix_occurrences(other.text, "\"CKR_OK\""), 0, "%s", other.text);
		cr_expect_str_eq(other.text, nobody.text);
	}
	cr_assert_gt(count, objects ? 10 : 40);
}

Test(matrix_call, X9_another_applications_handles_are_as_unknown_in_every_call)
{
	static const size_t steps[] = {1, 2, 7, 10};
	static struct matrix_application applications[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		for (size_t k = 0; k < sizeof(steps) / sizeof(*steps); k++) {
			const struct matrix_names *foreign = &applications[(i + steps[k]) % APPLICATIONS].own;
			try_calls(&applications[i], &g, &applications[i].own, foreign, false);
			try_calls(&applications[i], &g, &applications[i].own, foreign, true);
		}
		/* The other identity's application and instance, taken for one's own. */
		const struct matrix_names *foreign = &applications[(i + 1) % APPLICATIONS].own;
		try_calls(&applications[i], &g, foreign, foreign, false);
		/* One's own application, as another instance of it. */
		struct matrix_names instance = applications[i].own;
		random_id(instance.instance);
		try_calls(&applications[i], &g, &instance, &applications[i].own, false);
	}
	matrix_end(&g, applications);
}

/* Random, or close to one that exists: a handle nobody should be able to guess from his own. */
static unsigned long guess(const struct matrix_application *applications, bool object)
{
	unsigned long random = random_handle();
	const struct matrix_names *near = &applications[random % APPLICATIONS].own;

	if (random % 4 != 0)
		return random;
	return ((object ? near->key : near->session) + random / 4 % (2 * HANDLES_NEAR) - HANDLES_NEAR) & 0xffffffff;
}

Test(matrix_call, X9_no_handle_can_be_guessed)
{
	static struct matrix_application applications[APPLICATIONS];
	const char *wanted = getenv("P11GATE_HANDLES");
	long left = wanted != NULL ? strtol(wanted, NULL, 10) : 20000;
	struct matrix_application stranger;
	struct gateway g;
	char path[200], text[200], id[ID_SIZE];

	matrix_start(&g, applications);
	matrix_application_start(&g, &stranger, 0);
	/* An application that has nothing: whatever it hits belongs to somebody else. */
	random_id(stranger.own.application);
	stranger.own.session = matrix_call_number(&g, &stranger, "{\"OpenSession\":{\"flags\":6}}", "session");
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g.slot);
	for (; left > 0; left -= LIMIT_GROUPS) {
		struct buffer out;
		buffer_init(&out, TEXT_MAX / 2);
		for (int i = 0; i < LIMIT_GROUPS; i++) {
			random_id(id);
			if (i % 2 == 0)
				(void)snprintf(text, sizeof(text), "{\"GetSessionInfo\":{\"session\":%lu}}",
					guess(applications, false));
			else
				(void)snprintf(text, sizeof(text),
					"{\"GetObjectSize\":{\"session\":%lu,\"object\":%lu}}", stranger.own.session,
					guess(applications, true));
			buffer_text(&out, i == 0 ? "{\"groups\":[{\"op\":\"" : ",{\"op\":\"");
			buffer_text(&out, id);
			buffer_text(&out, "\",\"calls\":[");
			buffer_text(&out, text);
			buffer_text(&out, "]}");
		}
		buffer_text(&out, "]}");
		buffer_byte(&out, '\0');
		REPLY_AUTO reply = matrix_ask(
			&stranger, &stranger.own, &stranger.own, "POST", path, (const char *)out.data);
		buffer_done(&out);
		cr_assert_eq(matrix_occurrences(reply.text, "{\"rv\":\"CKR_SESSION_HANDLE_INVALID\"}"),
			LIMIT_GROUPS / 2, "%s", reply.text);
		cr_assert_eq(matrix_occurrences(reply.text, "{\"rv\":\"CKR_OBJECT_HANDLE_INVALID\"}"), LIMIT_GROUPS / 2,
			"%s", reply.text);
	}
	tls_client_close(&stranger.client);
	matrix_end(&g, applications);
}
