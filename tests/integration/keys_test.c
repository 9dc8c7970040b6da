/* Keys over REST, end to end: what passes the gateway on its way to the worker and back. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(keys, .timeout = 120);

#define MERGE_PATCH "Content-Type: application/merge-patch+json"

static void setup(struct gateway *g, const char *key)
{
	gateway_shared(g);
	rest_login(g, ALICE, NULL);
	rest_key(g, key);
}

/* "If-Match: " with the ETag of an answer. */
static void if_match(const struct answer *answer, char *ret_line, size_t size)
{
	const char *at = strcasestr(answer->headers, "ETag: ");

	cr_assert_not_null(at, "%s", answer->headers);
	(void)snprintf(ret_line, size, "If-Match: %.*s", (int)strcspn(at + 6, "\r\n"), at + 6);
}

Test(keys, A41_a_cursor_of_another_application_is_refused)
{
	struct gateway g;
	char path[400];
	const char *const other[] = {"X-Application-Id: 41-41", NULL};

	setup(&g, "{\"type\":\"HMAC\",\"label\":\"a41 a\"}");
	rest_key(&g, "{\"type\":\"HMAC\",\"label\":\"a41 b\"}");
	ANSWER_AUTO page = request(&g, ALICE, "GET", "/v1/slots/demo/keys?limit=1", NULL, NULL);
	cr_assert_eq(page.status, 200, "%s", page.text);
	(void)snprintf(path, sizeof(path), "/v1/slots/demo/keys?limit=1&cursor=%s", member(&page, "next"));
	ANSWER_AUTO own = request(&g, ALICE, "GET", path, NULL, NULL);
	cr_expect_eq(own.status, 200, "%s", own.text);
	ANSWER_AUTO foreign = request(&g, ALICE, "GET", path, NULL, other);
	cr_expect_eq(foreign.status, 400, "%s", foreign.text);
}

Test(keys, A45_A46_A47_a_key_is_renamed_and_deleted_by_its_etag)
{
	struct gateway g;
	char seen[100];

	setup(&g, "{\"type\":\"EC\",\"label\":\"a45\"}");
	ANSWER_AUTO key = request(&g, ALICE, "GET", "/v1/slots/demo/keys/a45", NULL, NULL);
	if_match(&key, seen, sizeof(seen));
	const char *const headers[] = {MERGE_PATCH, seen, NULL};
	ANSWER_AUTO renamed = request(&g, ALICE, "PATCH", "/v1/slots/demo/keys/a45", "{\"label\":\"a45 b\"}", headers);
	cr_expect_eq(renamed.status, 200, "%s", renamed.text);
	cr_expect_str_eq(member(&renamed, "label"), "a45 b");
	ANSWER_AUTO stale = request(&g, ALICE, "DELETE", "/v1/slots/demo/keys/a45%20b", NULL, headers + 1);
	cr_expect_eq(stale.status, 412, "%s", stale.text);
	ANSWER_AUTO missing = request(&g, ALICE, "DELETE", "/v1/slots/demo/keys/a45%20b", NULL, NULL);
	cr_expect_eq(missing.status, 428, "%s", missing.text);
	if_match(&renamed, seen, sizeof(seen));
	ANSWER_AUTO deleted = request(&g, ALICE, "DELETE", "/v1/slots/demo/keys/a45%20b", NULL, headers + 1);
	cr_expect_eq(deleted.status, 204, "%s", deleted.text);
	ANSWER_AUTO gone = request(&g, ALICE, "GET", "/v1/slots/demo/keys/a45%20b", NULL, NULL);
	cr_expect_eq(gone.status, 404, "%s", gone.text);
}
