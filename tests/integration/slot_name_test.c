/* Slots by the token in them. */
#include "tests/integration/fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

TestSuite(slot_name, .timeout = 120);

/* What the slot's document says of its token. */
static void read_token(const struct gateway *g, char ret_serial[64])
{
	ANSWER_AUTO slot = request(g, ALICE, "GET", "/v1/slots/demo", NULL, NULL);

	cr_assert_eq(slot.status, 200, "%s", slot.text);
	cr_expect_str_eq(member(&slot, "token.label"), "demo");
	(void)snprintf(ret_serial, 64, "%s", member(&slot, "token.serial"));
}

static long status_of(const struct gateway *g, enum person who, const char *slot)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "/v1/slots/%s/keys", slot);
	ANSWER_AUTO answer = request(g, who, "GET", path, NULL, NULL);
	return answer.status;
}

Test(slot_name, D6_a_slot_is_found_by_label_serial_or_uri_of_its_token)
{
	struct gateway g;
	char serial[64], by[4][200];

	gateway_shared(&g);
	read_token(&g, serial);
	(void)snprintf(by[0], sizeof(by[0]), "label:demo");
	(void)snprintf(by[1], sizeof(by[1]), "serial:%s", serial);
	(void)snprintf(by[2], sizeof(by[2]), "pkcs11:token=demo;serial=%s", serial);
	(void)snprintf(by[3], sizeof(by[3]), "pkcs11:model=SoftHSM%%2520v2;manufacturer=SoftHSM%%2520project");
	for (size_t i = 0; i < sizeof(by) / sizeof(by[0]); i++) {
		char path[1000];
		(void)snprintf(path, sizeof(path), "/v1/slots/%s", by[i]);
		ANSWER_AUTO slot = request(&g, ALICE, "GET", path, NULL, NULL);
		cr_expect_eq(slot.status, 200, "%s: %s", path, slot.text);
		cr_expect_str_eq(member(&slot, "name"), "demo");
		cr_expect_eq(status_of(&g, ALICE, by[i]), 200);
	}
}

Test(slot_name, D6_a_key_of_such_a_slot_is_used_and_shown_under_the_name)
{
	struct gateway g;

	gateway_shared(&g);
	rest_login(&g, ALICE, NULL);
	ANSWER_AUTO made = request(
		&g, ALICE, "POST", "/v1/slots/label:demo/keys", "{\"type\":\"HMAC\",\"label\":\"by-token\"}", NULL);
	cr_assert_eq(made.status, 201, "%s", made.text);
	cr_expect_str_eq(member(&made, "href"), "/v1/slots/demo/keys/by-token");
	ANSWER_AUTO one = request(&g, ALICE, "POST", "/v1/slots/pkcs11:token=demo/challenge-response",
		"{\"challenge\":\"AAEC\",\"key\":{\"label\":\"by-token\"}}", NULL);
	ANSWER_AUTO two = request(&g, ALICE, "POST", "/v1/slots/demo/challenge-response",
		"{\"challenge\":\"AAEC\",\"key\":{\"label\":\"by-token\"}}", NULL);
	cr_assert_eq(one.status, 200, "%s", one.text);
	cr_expect_str_eq(member(&one, "response"), member(&two, "response"));
}

Test(slot_name, D6_what_names_no_token_is_404_and_what_cannot_be_read_400)
{
	static const struct {
		const char *slot;
		long status;
	} others[] = {
		{"label:dem", 404},
		{"label:", 404},
		{"serial:demo", 404},
		{"pkcs11:token=demo;serial=0", 404},
		{"name:demo", 404},
		{"pkcs11:", 400},
		{"pkcs11:token=demo;object=release", 400},
		{"pkcs11:token=demo;slot-id=1", 400},
		{"pkcs11:token=demo;token=demo", 400},
	};
	struct gateway g;

	gateway_shared(&g);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		cr_expect_eq(status_of(&g, ALICE, others[i].slot), others[i].status, "%s", others[i].slot);
}

Test(slot_name, D6_several_slots_with_such_a_token_are_ambiguous_to_those_who_see_them)
{
	struct gateway g;
	char serial[64], by_serial[100];

	gateway_start(&g);
	read_token(&g, serial);
	(void)snprintf(by_serial, sizeof(by_serial), "serial:%s", serial);
	/* Another slot with the same token, which bob may not see. */
	shell("sed -i -e '/^slots:/a\\  - {name: spare, module: softhsm, token: {label: demo}}' "
	      "-e '/^policy:/a\\  - {identities: [alice], slots: [spare], allow: [read]}' '%s/p11gated.yaml'",
		g.directory);
	shell("'%s' reload --config '%s/p11gated.yaml'", g.tool, g.directory);
	ANSWER_AUTO slots = request(&g, ALICE, "GET", "/v1/slots", NULL, NULL);
	cr_assert_eq(json_array_size(json_object_get(slots.json, "slots")), 2, "%s", slots.text);
	ANSWER_AUTO several = request(&g, ALICE, "GET", "/v1/slots/label:demo/keys", NULL, NULL);
	cr_expect_eq(several.status, 409, "%s", several.text);
	cr_expect_str_eq(member(&several, "type"), "/docs/errors/slot-ambiguous");
	cr_expect_str_eq(member(&several, "detail"), "spare, demo");
	cr_expect_eq(status_of(&g, ALICE, by_serial), 409);
	cr_expect_eq(status_of(&g, ALICE, "spare"), 200);
	cr_expect_eq(status_of(&g, BOB, by_serial), 200);
	cr_expect_eq(status_of(&g, BOB, "spare"), 404);
	gateway_stop(&g);
}
