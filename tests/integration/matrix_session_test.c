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

Test(matrix_session, X9_calls_without_a_session_reach_nothing_of_another_identitys_application)
{
	static struct matrix_application applications[APPLICATIONS];
	struct gateway g;

	matrix_start(&g, applications);
	for (size_t i = 0; i < APPLICATIONS; i++) {
		struct matrix_application *from = &applications[i], *owner = &applications[(i + 1) % APPLICATIONS];
		struct matrix_names unknown;
		matrix_names_of_nobody(&unknown);
		/* It is asked in an application of one's own that has that ID: there is nothing to close, and nobody is logged in. */
		REPLY_AUTO theirs = ask_for(from, &g, &owner->own, &owner->own, "{\"CloseAllSessions\":{}}");
		REPLY_AUTO nobodys = ask_for(from, &g, &unknown, &unknown, "{\"CloseAllSessions\":{}}");
		cr_expect_str_eq(theirs.text, nobodys.text);
		expect_untouched(owner, &g);
		REPLY_AUTO opened = ask_for(from, &g, &owner->own, &owner->own,
			"{\"OpenSession\":{\"flags\":6}},{\"GetSessionInfo\":{\"session\":{\"from\":0}}}");
		cr_expect_null(strstr(opened.text, "USER_FUNCTIONS"), "%s", opened.text);
		expect_untouched(owner, &g);
	}
	matrix_end(&g, applications);
}
