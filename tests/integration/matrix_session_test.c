/* The isolation matrix (X9): calls that name no session, under another's application and instance. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/integration/matrix.h"

TestSuite(matrix_session, .timeout = 220);

static struct matrix_reply ask_for(struct matrix_application *from, const struct gateway *g,
	const struct matrix_names *as, const struct matrix_names *blotted, const char *call)
{
	char path[200], body[300], id[ID_SIZE];

	random_id(id);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	(void)snprintf(body, sizeof(body), "{\"groups\":[{\"op\":\"%s\",\"calls\":[%s]}]}", id, call);
	return matrix_ask(from, as, blotted, "POST", path, body);
}

/* The application still has its session, and its login. */
static void expect_untouched(struct matrix_application *owner, const struct gateway *g)
{
	char call[120];

	(void)snprintf(call, sizeof(call), "{\"GetSessionInfo\":{\"session\":%lu}}", owner->own.session);
	REPLY_AUTO info = ask_for(owner, g, &owner->own, NULL, call);
	cr_expect_not_null(strstr(info.text, "\"CKR_OK\""), "%s", info.text);
	cr_expect_not_null(strstr(info.text, "CKS_RW_USER_FUNCTIONS"), "%s", info.text);
}

/* What a call without a session gets; NULL: it opens one. A new one has to say it here. */
static const char *outcome_of(const struct matrix_application *from, const struct call_row *row)
{
	switch (row->id) {
	case CALL_OpenSession: return NULL;
	case CALL_CloseAllSessions: return "CKR_OK"; /* there is nothing to close */
	case CALL_InitToken: return from->who == ALICE ? "CKR_SESSION_EXISTS" : "CKR_FUNCTION_REJECTED";
	default: cr_assert_fail("%s: what does it get in an application that has nothing?", row->name); return NULL;
	}
}

static struct matrix_reply ask_row(struct matrix_application *from, const struct gateway *g,
	const struct matrix_names *as, const struct call_row *row)
{
	struct buffer body;
	char path[200];

	buffer_init(&body, TEXT_MAX / 2);
	buffer_text(&body, "{\"groups\":[");
	matrix_call_write(&body, g, row, &(struct matrix_handles){.session = 0});
	buffer_text(&body, "]}");
	buffer_byte(&body, '\0');
	cr_assert_not(body.failed);
	(void)snprintf(path, sizeof(path), "/v1/slots/%s/calls", g->slot);
	struct matrix_reply reply = matrix_ask(from, as, as, "POST", path, (const char *)body.data);
	buffer_done(&body);
	return reply;
}

/* It is asked in an application of one's own that has that ID: there nobody is logged in, and no session is open. */
static void try_rows(struct matrix_application *from, const struct gateway *g, struct matrix_application *owner)
{
	struct matrix_names unknown;
	char wanted[60];

	matrix_names_of_nobody(&unknown);
	for (size_t id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row((enum call_id)id);
		if (row->place != PLACE_MODULE || matrix_call_argument(row, WIRE_SESSION) < row->argument_count ||
			outcome_of(from, row) == NULL)
			continue;
		REPLY_AUTO theirs = ask_row(from, g, &owner->own, row);
		REPLY_AUTO nobodys = ask_row(from, g, &unknown, row);
		(void)snprintf(wanted, sizeof(wanted), "{\"rv\":\"%s\"}", outcome_of(from, row));
		cr_expect_not_null(strstr(theirs.text, wanted), "%s: %s", row->name, theirs.text);
		cr_expect_str_eq(theirs.text, nobodys.text, "%s", row->name);
		expect_untouched(owner, g);
	}
}

Test(matrix_session, X9_calls_without_a_session_reach_nothing_of_another_identitys_application)
{
	static struct matrix_application applications[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		struct matrix_application *from = &applications[i], *owner = &applications[(i + 1) % APPLICATIONS];
		try_rows(from, &g, owner);
		REPLY_AUTO opened = ask_for(from, &g, &owner->own, &owner->own,
			"{\"OpenSession\":{\"flags\":6}},{\"GetSessionInfo\":{\"session\":{\"from\":0}}}");
		cr_expect_null(strstr(opened.text, "USER_FUNCTIONS"), "%s", opened.text);
		expect_untouched(owner, &g);
	}
	matrix_end(&g, applications);
}
