/* Application IDs and traces as they are written. */
#include <criterion/criterion.h>
#include <string.h>

#include "server/http/internal.h"

Test(scope, C15_the_default_application_depends_on_the_identity_alone)
{
	unsigned char one[APPLICATION_ID_LEN], again[APPLICATION_ID_LEN], other[APPLICATION_ID_LEN];
	application_id_default("alice", one);
	application_id_default("alice", again);
	application_id_default("alicf", other);
	cr_expect_arr_eq(one, again, sizeof one);
	cr_expect_arr_neq(one, other, sizeof one);
}

static const char *trace(const char *text)
{
	static char id[TRACE_LEN + 1];
	trace_id((struct gate_text){text, text == NULL ? 0 : strlen(text)}, id);
	return id;
}

Test(scope, a_trace_is_taken_over)
{
	cr_expect_str_eq(
		trace("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), "0af7651916cd43dd8448eb211c80319c");
}

Test(scope, a_trace_that_is_none_is_replaced)
{
	static const char *const bad[] = {
		NULL,
		"",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c",
		"00-\"f7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		char first[TRACE_LEN + 1];
		memcpy(first, trace(bad[i]), sizeof first);
		cr_expect_eq(strspn(first, "0123456789abcdef"), TRACE_LEN);
		cr_expect_str_neq(first, trace(bad[i]));
	}
}

static uint64_t deadline(enum route_id route, size_t body_len, uint64_t asked_ms)
{
	static struct config config = {.limits = {.sign_s = 10, .keygen_s = 120, .token_wait_s = 5}};
	static struct generation generation = {.config = &config};
	struct request request = {.generation = &generation,
		.match = {.row = route_row(route)},
		.deadline_ms = asked_ms,
		.body = {NULL, body_len}};
	return scope_deadline_ms(&request);
}

Test(scope, a_client_can_ask_for_less_time_but_not_for_less_than_a_signature_may_take)
{
	cr_expect_eq(deadline(ROUTE_key_generate, 0, 0), 125000);
	cr_expect_eq(deadline(ROUTE_key_generate, 0, 60000), 60000);
	cr_expect_eq(deadline(ROUTE_key_generate, 0, 1), 10000);
	cr_expect_eq(deadline(ROUTE_calls, 0, 9999), 10000);
	cr_expect_eq(deadline(ROUTE_calls, 0, UINT32_MAX), 125000);
	cr_expect_eq(deadline(ROUTE_login, 0, 1), 10000);
	cr_expect_eq(deadline(ROUTE_key, 0, 1), 10000);
	cr_expect_eq(deadline(ROUTE_key, 0, 20000), 10000);
}

Test(scope, a_batch_of_signatures_has_time_by_the_size_of_its_body)
{
	cr_expect_eq(deadline(ROUTE_key_sign, 0, 0), 10000);
	cr_expect_eq(deadline(ROUTE_key_sign, 1023, 0), 10000);
	cr_expect_eq(deadline(ROUTE_key_sign, 20 << 10, 0), 30000);
	cr_expect_eq(deadline(ROUTE_key_sign, 20 << 10, 15000), 15000);
	cr_expect_eq(deadline(ROUTE_key_sign, 1 << 20, 0), 120000, "at most what a key generation may take");
	cr_expect_eq(deadline(ROUTE_key, 1 << 20, 0), 10000, "other routes have no batches");
}

/* The instance id that a request of `identity` reaches its worker with. */
static void bound(const char *identity, const char *instance, unsigned char ret_instance[INSTANCE_ID_LEN])
{
	struct peer peer = {.identity = identity};
	struct gate_head head = {.fields = {[GATE_CLIENT_INSTANCE] = {instance, strlen(instance)}}};
	struct request request = {.peer = &peer, .head = &head, .match = {.row = route_row(ROUTE_keys)}};
	cr_assert(scope_read(&request));
	memcpy(ret_instance, request.instance, INSTANCE_ID_LEN);
}

Test(scope, X11_an_instance_id_is_worth_nothing_to_another_identity)
{
	static const char id[] = "000102030405060708090a0b0c0d0e0f", next[] = "000102030405060708090a0b0c0d0e10";
	unsigned char one[INSTANCE_ID_LEN], again[INSTANCE_ID_LEN], other[INSTANCE_ID_LEN], second[INSTANCE_ID_LEN];
	bound("alice", id, one);
	bound("alice", id, again);
	bound("bob", id, other);
	bound("alice", next, second);
	cr_expect_arr_eq(one, again, sizeof one);
	cr_expect_arr_neq(one, other, sizeof one);
	cr_expect_arr_neq(one, second, sizeof one);
}
