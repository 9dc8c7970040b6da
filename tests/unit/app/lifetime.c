#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "server/app/process.h"
#include "tests/unit/app/fixture.h"

static struct fixture fixture;

static void set_up(void)
{
	fixture_init(&fixture);
	fixture.config.limits.worker_idle_s = 1;
	fixture.config.limits.lease_ttl_s = 1;
	fixture.config.limits.operation_ttl_s = 1;
	fixture_start(&fixture);
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(lifetime, .init = set_up, .fini = tear_down, .timeout = 60);

Test(lifetime, a_worker_without_login_and_sessions_ends_and_the_others_stay)
{
	struct asked idle = ask(&fixture, 1, ""), user = ask(&fixture, 2, "login=1"),
		     sessions = ask(&fixture, 3, "sessions=1");
	cr_expect(ends(number_of(&idle, "pid")));
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"idle\"} 1\n"));
	struct asked user_after = ask(&fixture, 2, ""), sessions_after = ask(&fixture, 3, "");
	cr_expect_eq(number_of(&user_after, "pid"), number_of(&user, "pid"));
	cr_expect_eq(number_of(&sessions_after, "pid"), number_of(&sessions, "pid"));
}

Test(lifetime, a_worker_is_not_idle_while_a_request_runs)
{
	struct asked asked = {.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=2500"};
	ask_it(&asked);
	cr_expect_eq(asked.status, STATUS_OK);
}

Test(lifetime, C14_sessions_of_an_instance_end_some_time_after_its_last_connection_closed)
{
	unsigned char instance[INSTANCE_ID_LEN];
	memset(instance, 5, sizeof instance);
	cr_expect_eq(registry_instance_opened(fixture.registry, "alice", instance), STATUS_OK);
	cr_expect_eq(registry_instance_opened(fixture.registry, "alice", instance), STATUS_OK);
	struct asked asked = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.instance = 5,
		.query = "sessions=2;login=1"};
	ask_it(&asked);
	unsigned long long pid = number_of(&asked, "pid");
	registry_instance_closed(fixture.registry, "alice", instance);
	/* Another instance comes and goes meanwhile: the first one is still connected. */
	struct asked other = {
		.fixture = &fixture, .domain = "bob", .slot = "demo", .id = 1, .instance = 6, .query = ""};
	ask_it(&other);
	cr_expect(ends(number_of(&other, "pid")));
	asked.query = "";
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "pid"), pid);
	cr_expect_eq(number_of(&asked, "instances_ended"), 0);
	registry_instance_closed(fixture.registry, "alice", instance);
	/* Its sessions end, so does the login, and then the worker has no reason to stay. */
	cr_expect(ends(pid));
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"idle\"} 2\n"));
}

Test(lifetime, C14_an_instance_belongs_to_its_identity)
{
	unsigned char instance[INSTANCE_ID_LEN];
	memset(instance, 5, sizeof instance);
	cr_expect_eq(registry_instance_opened(fixture.registry, "alice", instance), STATUS_OK);
	struct asked asked = {
		.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .instance = 5, .query = "sessions=1"};
	ask_it(&asked);
	/* Somebody else closes a connection with the same instance id. */
	cr_expect_eq(registry_instance_opened(fixture.registry, "mallory", instance), STATUS_OK);
	registry_instance_closed(fixture.registry, "mallory", instance);
	struct asked marker = {
		.fixture = &fixture, .domain = "bob", .slot = "demo", .id = 1, .instance = 6, .query = "sessions=1"};
	ask_it(&marker);
	cr_expect(ends(number_of(&marker, "pid")));
	asked.query = "";
	ask_it(&asked);
	cr_expect_eq(number_of(&asked, "instances_ended"), 0);
}

Test(lifetime, a_domain_cannot_fill_the_gateway_with_instances)
{
	unsigned char instance[INSTANCE_ID_LEN] = {0};
	for (unsigned i = 1; i <= LEASES_PER_IDENTITY; i++) {
		memcpy(instance, &i, sizeof i);
		instance[15] = 1;
		cr_expect_eq(registry_instance_opened(fixture.registry, "mallory", instance), STATUS_OK);
	}
	struct asked mallory = {
		.fixture = &fixture, .domain = "mallory", .slot = "demo", .id = 1, .instance = 9, .query = ""};
	struct asked alice = mallory;
	alice.domain = "alice";
	ask_it(&mallory);
	ask_it(&alice);
	cr_expect_eq(mallory.status, STATUS_BUSY);
	cr_expect_eq(alice.status, STATUS_OK);
}

Test(lifetime, C14_an_instance_too_many_opens_nothing_that_its_close_could_end)
{
	unsigned char instance[INSTANCE_ID_LEN] = {0};
	for (unsigned i = 1; i <= LEASES_PER_IDENTITY; i++) {
		memcpy(instance, &i, sizeof i);
		cr_expect_eq(registry_instance_opened(fixture.registry, "mallory", instance), STATUS_OK);
	}
	memset(instance, 9, sizeof instance);
	cr_expect_eq(registry_instance_opened(fixture.registry, "mallory", instance), STATUS_BUSY);
	cr_expect_eq(registry_instance_opened(fixture.registry, "alice", instance), STATUS_OK);
}

static bool is_of_a_slot(const struct worker_process *process, const void *context)
{
	(void)context;
	return process->slot != NULL;
}

static bool no_worker_of_demo(void *context)
{
	return registry_count(context, is_of_a_slot, NULL) == 0;
}

static unsigned applications_kept(void)
{
	unsigned count = 0;
	pthread_mutex_lock(&fixture.registry->mutex);
	for (unsigned i = 0; i < APPLICATION_BUCKETS; i++)
		for (struct application *at = fixture.registry->applications[i]; at != NULL; at = at->next)
			count++;
	pthread_mutex_unlock(&fixture.registry->mutex);
	return count;
}

Test(lifetime, an_instance_is_not_remembered_where_no_worker_started)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.modules[0].init_args = "fail=0x30";
	fixture_start(&fixture);
	for (char id = 1; id < 4; id++) {
		struct asked asked = {
			.fixture = &fixture, .domain = "alice", .slot = "demo", .id = id, .instance = 5, .query = ""};
		ask_it(&asked);
		cr_expect_eq(asked.status, STATUS_UNAVAILABLE);
	}
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"start\"} 3\n"));
	cr_expect(becomes(no_worker_of_demo, fixture.registry));
	cr_expect_eq(applications_kept(), 0);
}

Test(lifetime, an_instance_forgets_the_applications_that_ended_before_it_is_in_too_many)
{
	unsigned char instance[INSTANCE_ID_LEN];
	struct application *applications[APPLICATIONS_PER_LEASE + 1];
	struct worker_process process = {.state = PROCESS_LIVE};
	struct registry *registry = fixture.registry;
	memset(instance, 5, sizeof instance);
	for (unsigned i = 0; i <= APPLICATIONS_PER_LEASE; i++) {
		struct application_key key = {.domain = "alice", .slot = "demo"};
		memcpy(key.id, &i, sizeof i);
		applications[i] = application_ref(registry, &key);
		applications[i]->process = &process;
		enum status status = lease_remember(registry->leases, registry, "alice", instance, applications[i]);
		cr_expect_eq(status, i < APPLICATIONS_PER_LEASE ? STATUS_OK : STATUS_BUSY);
	}
	applications[0]->process = NULL;
	cr_expect_eq(
		lease_remember(registry->leases, registry, "alice", instance, applications[APPLICATIONS_PER_LEASE]),
		STATUS_OK);
	cr_expect_eq(applications[0]->refs, 1);
	for (unsigned i = 0; i <= APPLICATIONS_PER_LEASE; i++) {
		applications[i]->process = NULL;
		application_unref(registry, applications[i]);
	}
}

static enum status find(
	const char *operation, const char *identity, struct application_key *ret_key, struct arena *arena)
{
	return registry_operation(fixture.registry, operation, identity, arena, ret_key);
}

Test(lifetime, A26_an_operation_is_found_by_the_identity_that_opened_it_and_nobody_else)
{
	ARENA_AUTO struct arena arena;
	struct application_key key, expected = {.domain = "alice"};
	arena_init(&arena, 1 << 16);
	ask(&fixture, 3, "login=1;open=00112233445566778899aabbccddeeff");
	cr_assert_eq(find("00112233445566778899aabbccddeeff", "alice", &key, &arena), STATUS_OK);
	memset(expected.id, 3, sizeof expected.id);
	cr_expect_str_eq(key.domain, "alice");
	cr_expect_str_eq(key.slot, "demo");
	cr_expect_eq(memcmp(key.id, expected.id, sizeof key.id), 0);
	cr_expect_eq(find("00112233445566778899aabbccddeeff", "bob", &key, &arena), STATUS_NOT_FOUND);
	cr_expect_eq(find("00112233445566778899aabbccddeef", "alice", &key, &arena), STATUS_NOT_FOUND);
	cr_expect_eq(find("", "alice", &key, &arena), STATUS_NOT_FOUND);
}

Test(lifetime, A26_an_operation_is_gone_with_its_worker)
{
	ARENA_AUTO struct arena arena;
	struct application_key key;
	arena_init(&arena, 1 << 16);
	struct asked asked = ask(&fixture, 3, "login=1;open=aa");
	struct asked other = ask(&fixture, 4, "login=1;open=bb");
	cr_expect_eq(other.status, STATUS_OK);
	ask(&fixture, 3, "die");
	cr_expect(ends(number_of(&asked, "pid")));
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"died\"} 1\n"));
	cr_expect_eq(find("aa", "alice", &key, &arena), STATUS_NOT_FOUND);
	cr_expect_eq(find("bb", "alice", &key, &arena), STATUS_OK);
}

static bool is_forgotten(void *context)
{
	ARENA_AUTO struct arena arena;
	struct application_key key;
	arena_init(&arena, 1 << 16);
	return find(context, "alice", &key, &arena) == STATUS_NOT_FOUND;
}

Test(lifetime, A26_an_operation_is_forgotten_after_twice_its_life)
{
	char id[] = "cc";
	int64_t begun = clock_ms();
	ask(&fixture, 3, "login=1;open=cc");
	cr_expect_not(is_forgotten(id));
	cr_expect(becomes(is_forgotten, id));
	cr_expect_geq(clock_ms() - begun, 2000);
}

Test(lifetime, A26_a_worker_cannot_take_over_the_operation_of_another)
{
	ARENA_AUTO struct arena arena;
	struct application_key key;
	arena_init(&arena, 1 << 16);
	ask(&fixture, 3, "login=1;open=dd");
	struct asked thief = {.fixture = &fixture, .domain = "mallory", .slot = "demo", .id = 3, .query = "open=dd"};
	ask_it(&thief);
	cr_expect_neq(thief.status, STATUS_OK);
	cr_expect_eq(find("dd", "mallory", &key, &arena), STATUS_NOT_FOUND);
	cr_expect_eq(find("dd", "alice", &key, &arena), STATUS_OK);
}

static void reload(struct fixture *changed)
{
	registry_reload(changed->registry, &changed->config);
}

Test(lifetime, a_reload_ends_the_workers_of_changed_and_vanished_slots_and_gives_the_others_the_new_policy)
{
	const char *labels[] = {"unlock"};
	struct asked demo = ask(&fixture, 1, "login=1"), spare = demo, other = demo;
	spare.slot = "spare";
	other.slot = "other";
	ask_it(&spare);
	ask_it(&other);
	cr_expect_eq(number_of(&demo, "policy"), 1);
	fixture.slots[1].token_label = "another";
	fixture.config.slots_count = 2;
	fixture.config.challenge_only_labels = labels;
	fixture.config.challenge_only_labels_count = 1;
	reload(&fixture);
	cr_expect(ends(number_of(&spare, "pid")));
	cr_expect(ends(number_of(&other, "pid")));
	unsigned long long old = number_of(&demo, "pid");
	demo = ask(&fixture, 1, "");
	cr_expect_eq(number_of(&demo, "policy"), 2);
	cr_expect_eq(number_of(&demo, "pid"), old);
	ask_it(&spare);
	ask_it(&other);
	cr_expect_eq(spare.status, STATUS_OK);
	cr_expect_eq(other.status, STATUS_NOT_FOUND);
}

Test(lifetime, a_reload_goes_on_without_a_worker_that_does_not_say_whether_it_follows)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.modules[0].init_args = "deaf";
	fixture_start(&fixture);
	struct asked deaf = ask(&fixture, 1, "");
	int64_t begun = clock_ms();
	reload(&fixture);
	cr_expect_geq(clock_ms() - begun, 1900, "it has waited");
	struct asked after = ask(&fixture, 1, "");
	cr_expect_eq(number_of(&after, "pid"), number_of(&deaf, "pid"));
	cr_expect_eq(number_of(&after, "policy"), 1);
}

static bool a_start_waits(void *context)
{
	struct registry *registry = context;
	return fifo_waiting(&registry->starts) == 1;
}

/* A request that has taken its settings and waits to start its worker while the configuration changes. */
static void ask_across_reload(struct asked *asked)
{
	struct fifo *starts = &fixture.registry->starts;
	unsigned places = 0;
	/* The workers of the inventory start in the same queue. */
	cr_assert(inventory_settles(&fixture));
	while (fifo_enter(starts, clock_ms()) == STATUS_OK)
		places++;
	ask_begin(asked);
	cr_assert(becomes(a_start_waits, fixture.registry));
	reload(&fixture);
	while (places-- > 0)
		fifo_leave(starts);
	ask_join(asked);
}

Test(lifetime, a_worker_whose_start_a_reload_overtakes_has_the_new_policy)
{
	const char *labels[] = {"unlock"};
	struct asked asked = {.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = ""};
	fixture.config.challenge_only_labels = labels;
	fixture.config.challenge_only_labels_count = 1;
	ask_across_reload(&asked);
	cr_expect_eq(number_of(&asked, "policy"), 2);
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"reload\"} 1\n"));
}

Test(lifetime, no_worker_serves_a_slot_that_a_reload_took_away_while_it_started)
{
	struct asked asked = {.fixture = &fixture, .domain = "alice", .slot = "other", .id = 1, .query = "login=1"};
	fixture.config.slots_count = 2;
	ask_across_reload(&asked);
	cr_expect_eq(asked.status, STATUS_NOT_FOUND);
	/* The one that was starting, and the inventory's, whose module has no slot any more. */
	cr_expect(metrics_show(&fixture, "p11gate_workers_ended_total{cause=\"reload\"} 2\n"));
}

Test(lifetime, a_reload_lets_running_requests_finish)
{
	struct asked asked = {.fixture = &fixture, .domain = "alice", .slot = "demo", .id = 1, .query = "sleep=400"};
	struct asked first = ask(&fixture, 1, "");
	ask_begin(&asked);
	until_running(&fixture, 1, 1);
	fixture.slots[0].token_label = "another";
	reload(&fixture);
	ask_join(&asked);
	cr_expect_eq(asked.status, STATUS_OK);
	struct asked after = ask(&fixture, 1, "");
	cr_expect_neq(number_of(&after, "pid"), number_of(&first, "pid"));
}

Test(lifetime, freeing_the_registry_ends_all_workers_soon)
{
	struct asked asked[4];
	for (char id = 0; id < 4; id++)
		asked[(unsigned)id] = ask(&fixture, (char)(id + 1), "login=1;sessions=1");
	int64_t begun = clock_ms();
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_expect_lt(clock_ms() - begun, 3000);
	for (unsigned i = 0; i < 4; i++)
		cr_expect(ends(number_of(&asked[i], "pid")));
}

Test(lifetime, freeing_the_registry_kills_what_hangs_but_not_inside_a_token_write)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.modules[0].init_args = "deaf";
	fixture_start(&fixture);
	struct asked writing = ask(&fixture, 1, ""), harmless = ask(&fixture, 2, "");
	struct asked hang = {.fixture = &fixture,
		.domain = "alice",
		.slot = "demo",
		.id = 1,
		.query = "acquire=1,1;hang",
		.deadline_ms = 100};
	ask_it(&hang);
	cr_expect_eq(hang.status, STATUS_TIMEOUT);
	hang.id = 2;
	hang.query = "hang";
	ask_it(&hang);
	int64_t begun = clock_ms();
	registry_free(fixture.registry);
	fixture.registry = NULL;
	cr_expect_lt(clock_ms() - begun, 9000);
	cr_expect(ends(number_of(&harmless, "pid")));
	cr_expect_eq(kill((pid_t)number_of(&writing, "pid"), 0), 0);
	kill((pid_t)number_of(&writing, "pid"), SIGKILL);
}
