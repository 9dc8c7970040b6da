/* The one thread that hears what workers tell without being asked. */
#include <criterion/criterion.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/app/fixture.h"

#define USER_LOGIN "acquire=1,1;release=0,1"

static struct fixture fixture;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char heard[64]; /* the identities, in order */
static sem_t held_up, go_on;

/* The first report holds the keeper up until the test lets it go on. */
static void hear(void *context, const struct registry_logout *logout)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	bool first = heard[0] == '\0';
	size_t len = strlen(heard);
	snprintf(heard + len, sizeof heard - len, "%s ", logout->identity);
	pthread_mutex_unlock(&mutex);
	if (!first)
		return;
	sem_post(&held_up);
	sem_wait(&go_on);
}

static bool is_all_heard(void *context)
{
	(void)context;
	pthread_mutex_lock(&mutex);
	bool all = strlen(heard) >= strlen("alice bob alice ");
	pthread_mutex_unlock(&mutex);
	return all;
}

static void set_up(void)
{
	sem_init(&held_up, 0, 0);
	sem_init(&go_on, 0, 0);
	fixture_init(&fixture);
	fixture_start(&fixture);
	registry_report_logouts(fixture.registry, hear, NULL);
}

static void tear_down(void)
{
	fixture_done(&fixture);
}

TestSuite(keeper, .init = set_up, .fini = tear_down, .timeout = 60);

static void run(const char *identity, const char *query)
{
	struct asked asked = {.fixture = &fixture, .domain = identity, .slot = "demo", .id = 1, .query = query};
	ask_it(&asked);
	cr_assert_eq(asked.status, STATUS_OK);
}

Test(keeper, X13_a_worker_that_tells_much_does_not_keep_it_from_the_others)
{
	run("alice", USER_LOGIN);
	run("alice", USER_LOGIN);
	run("bob", USER_LOGIN);
	run("alice", "tell=1;news=60;tell=1");
	sem_wait(&held_up);
	run("bob", "tell=1");
	sem_post(&go_on);
	cr_assert(becomes(is_all_heard, NULL));
	cr_expect_str_eq(heard, "alice bob alice ");
}
