#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "tests/unit/app/fixture.h"

FIXTURE_SUITE(requests);

static unsigned long long pid_of(const char *domain, const char *slot, char id)
{
	struct asked asked = {.fixture = &fixture, .domain = domain, .slot = slot, .id = id, .query = ""};
	ask_it(&asked);
	return number_of(&asked, "pid");
}

Test(requests, C12_an_application_is_domain_id_and_slot_and_each_has_a_process_of_its_own)
{
	unsigned long long pid = pid_of("alice", "demo", 1);
	cr_expect_eq(pid_of("alice", "demo", 1), pid);
	cr_expect_neq(pid_of("bob", "demo", 1), pid);
	cr_expect_neq(pid_of("alice", "spare", 1), pid);
	cr_expect_neq(pid_of("alice", "demo", 2), pid);
}

Test(requests, reach_the_worker_with_its_one_slot_and_the_keyed_hash_of_its_application)
{
	char hash[33], text[256];
	struct application_key key = {.domain = "alice", .slot = "demo"};
	struct asked asked = ask(&fixture, 7, "question");
	memset(key.id, 7, sizeof key.id);
	registry_application_hash(fixture.registry, &key, hash);
	cr_expect_eq(strlen(hash), 32);
	cr_expect_str_eq(text_of(&asked, "application", text), hash);
	cr_expect_str_eq(text_of(&asked, "identity", text), "alice");
	cr_expect_eq(number_of(&asked, "slots"), 1);
	cr_expect_eq(number_of(&asked, "role"), ROLE_APPLICATION);
	cr_expect_eq(number_of(&asked, "start_generation") & UINT32_MAX, 1);
	cr_expect_eq(asked.http, 200);
}

Test(requests, C16_the_hash_of_an_application_differs_by_each_part_of_its_name_and_by_start)
{
	char hash[5][33];
	struct application_key key = {.domain = "alice", .slot = "demo"};
	registry_application_hash(fixture.registry, &key, hash[0]);
	key.id[15] = 1;
	registry_application_hash(fixture.registry, &key, hash[1]);
	key.id[15] = 0;
	key.domain = "alic";
	registry_application_hash(fixture.registry, &key, hash[2]);
	key.domain = "alice";
	key.slot = "spare";
	registry_application_hash(fixture.registry, &key, hash[3]);
	fixture_done(&fixture);
	set_up();
	key.slot = "demo";
	registry_application_hash(fixture.registry, &key, hash[4]);
	for (unsigned i = 0; i < 5; i++)
		for (unsigned j = 0; j < i; j++)
			cr_expect_str_neq(hash[i], hash[j]);
}

Test(requests, to_an_unknown_slot_are_not_found)
{
	struct asked asked = {.fixture = &fixture, .domain = "alice", .slot = "nowhere", .query = ""};
	ask_it(&asked);
	cr_expect_eq(asked.status, STATUS_NOT_FOUND);
}

Test(requests, carry_answers_of_several_datagrams)
{
	struct asked asked = ask(&fixture, 1, "big=1000000");
	cr_expect_eq(asked.status, STATUS_OK);
	cr_expect_geq(asked.body_len, 1000000);
}

Test(requests, leave_no_descriptor_of_the_gateway_in_a_worker)
{
	/* Several workers live when the last one is started: none of their sockets may be in it. */
	for (char id = 1; id < 5; id++)
		ask(&fixture, id, "");
	struct asked asked = ask(&fixture, 9, "descriptors");
	unsigned expected = 3 + 1 + fixture.config.limits.worker_threads;
	cr_expect_eq(number_of(&asked, "descriptors"), expected);
	cr_expect_eq(number_of(&asked, "highest"), expected - 1);
}

Test(requests, leave_nothing_but_the_configured_environment_in_a_worker)
{
	char text[256];
	struct asked asked = ask(&fixture, 1, "environment");
	cr_expect_str_eq(text_of(&asked, "environment", text), "TOKEN_DIRECTORY=/nowhere");
	cr_expect_null(strstr(strstr(asked.body, "environment=") + 1, "environment="));
}

Test(requests, A28_marked_to_run_alone_run_in_a_fresh_worker_that_ends_with_them)
{
	struct asked shared = ask(&fixture, 1, "question");
	struct asked asked = ask(&fixture, 1, "again;question");
	char first[256], second[256];
	cr_assert_eq(asked.status, STATUS_OK);
	cr_expect_eq(asked.http, 200);
	cr_expect_eq(number_of(&asked, "anonymous"), 1);
	cr_expect_neq(number_of(&asked, "pid"), number_of(&shared, "pid"));
	cr_expect_str_neq(text_of(&asked, "application", first), text_of(&shared, "application", second));
	cr_expect(ends(number_of(&asked, "pid")));
	struct asked after = ask(&fixture, 1, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&shared, "pid"));
}

Test(requests, of_one_application_run_on_all_its_threads_and_the_rest_waits_in_order)
{
	struct asked asked[24];
	for (unsigned i = 0; i < 24; i++) {
		asked[i] = (struct asked){
			.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=20"};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < 24; i++) {
		ask_join(&asked[i]);
		cr_expect_eq(asked[i].status, STATUS_OK);
		cr_expect_eq(number_of(&asked[i], "pid"), number_of(&asked[0], "pid"));
	}
	cr_expect(metrics_show(&fixture, "p11gate_workers_live{slot=\"demo\"} 1\n"));
}

Test(requests, beyond_the_queue_are_refused_as_busy)
{
	struct asked asked[8];
	unsigned busy = 0;
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.queue_max = 2;
	fixture.config.limits.worker_threads = 1;
	fixture_start(&fixture);
	ask(&fixture, 1, "");
	for (unsigned i = 0; i < 8; i++) {
		asked[i] = (struct asked){
			.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=300"};
		ask_begin(&asked[i]);
	}
	for (unsigned i = 0; i < 8; i++) {
		ask_join(&asked[i]);
		busy += asked[i].status == STATUS_BUSY;
		cr_expect(asked[i].status == STATUS_BUSY || asked[i].status == STATUS_OK);
	}
	cr_expect_eq(busy, 5);
}

Test(requests, that_wait_too_long_for_a_thread_are_busy_and_the_worker_lives_on)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.worker_threads = 1;
	fixture_start(&fixture);
	unsigned long long pid = pid_of("alice", "demo", 1);
	struct asked slow = {.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=300"};
	struct asked quick = slow;
	quick.query = "";
	quick.deadline_ms = 50;
	ask_begin(&slow);
	do {
		ask_it(&quick);
	} while (quick.status == STATUS_OK);
	cr_expect_eq(quick.status, STATUS_BUSY);
	ask_join(&slow);
	cr_expect_eq(slow.status, STATUS_OK);
	cr_expect_eq(pid_of("alice", "demo", 1), pid);
}

Test(requests, beyond_the_number_of_workers_end_an_idle_one_or_are_busy)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.workers_max = 2;
	fixture_start(&fixture);
	unsigned long long first = pid_of("alice", "demo", 1);
	struct asked logged_in = ask(&fixture, 2, "login=1");
	struct asked third = ask(&fixture, 3, "sessions=1");
	cr_expect_eq(third.status, STATUS_OK);
	cr_expect(ends(first));
	struct asked fourth = ask(&fixture, 4, "");
	cr_expect_eq(fourth.status, STATUS_BUSY);
	struct asked again = ask(&fixture, 2, "");
	cr_expect_eq(number_of(&again, "pid"), number_of(&logged_in, "pid"));
}

Test(requests, of_an_identity_beyond_its_number_of_workers_are_busy_and_those_of_others_are_not)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.workers_per_identity = 2;
	fixture_start(&fixture);
	struct asked bob = {.fixture = &fixture, .domain = "bob", .slot = "demo", .id = 1, .query = ""};
	ask_it(&bob);
	cr_expect_eq(ask(&fixture, 1, "login=1").status, STATUS_OK);
	cr_expect_eq(ask(&fixture, 2, "sessions=1").status, STATUS_OK);
	cr_expect_eq(ask(&fixture, 3, "").status, STATUS_BUSY);
	/* The third of the identity has not cost another its idle worker. */
	unsigned long long pid = number_of(&bob, "pid");
	ask_it(&bob);
	cr_expect_eq(number_of(&bob, "pid"), pid);
	bob.id = 2;
	ask_it(&bob);
	cr_expect_eq(bob.status, STATUS_OK);
	/* Its own idle one gives way. */
	ask(&fixture, 2, "sessions=0");
	cr_expect_eq(ask(&fixture, 3, "").status, STATUS_OK);
}

Test(requests, are_counted_with_the_functions_that_they_executed)
{
	ask(&fixture, 1, "calls=Sign");
	ask(&fixture, 1, "calls=Sign");
	ask(&fixture, 1, "calls=C_Initialize");
	ask(&fixture, 1, "calls=\"} 1\nforged");
	cr_expect(metrics_show(&fixture, "p11gate_calls_total{slot=\"demo\",function=\"C_Sign\"} 2\n"));
	cr_expect(metrics_show(&fixture, "p11gate_calls_total{slot=\"demo\",function=\"other\"} 2\n"));
	cr_expect(metrics_show(&fixture, "p11gate_requests_total{outcome=\"ok\"} 4\n"));
}
