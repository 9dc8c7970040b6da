/*
 * A registry over test workers (tests/support/test_worker_main.c), with a directory of its own.
 */
#ifndef P11GATE_TESTS_APP_FIXTURE_H
#define P11GATE_TESTS_APP_FIXTURE_H

#include <pthread.h>
#include <stdbool.h>

#include "server/app/internal.h"

struct fixture {
	char directory[64], module_path[128], worker_program[4096];
	struct config_environment environment[1];
	struct config_module modules[2];
	struct config_identity identities[3]; /* alice, bob, mallory */
	struct config_rule rules[3]; /* each of them may do everything everywhere */
	struct config_slot slots[3]; /* "demo" and "spare" of module "first", "other" of module "second" */
	struct config config;
	struct registry *registry;
};

/* A configuration with short limits; change it before fixture_start. */
void fixture_init(struct fixture *fixture);
void fixture_start(struct fixture *fixture);
void fixture_done(struct fixture *fixture);

/* A suite with `fixture`, a started one, for each of its tests. */
#define FIXTURE_SUITE(suite) \
	static struct fixture fixture; \
	static void set_up(void) \
	{ \
		fixture_init(&fixture); \
		fixture_start(&fixture); \
	} \
	static void tear_down(void) \
	{ \
		fixture_done(&fixture); \
	} \
	TestSuite(suite, .init = set_up, .fini = tear_down, .timeout = 60)

/* One request and its outcome. Fill the first part, or use ask(). */
struct asked {
	struct fixture *fixture;
	const char *domain, *slot, *query;
	const char *identity; /* NULL: the domain */
	char id; /* every byte of the application ID */
	unsigned char instance; /* every byte of the client instance, 0: none */
	unsigned deadline_ms;
	unsigned permissions;
	const char *certificate; /* what a login of the request is kept with, NULL: "" */
	bool too_late; /* a reload has overtaken the request */
	/* Called with the answer when it is to be recorded; NULL: nothing is done then. */
	void (*record)(struct asked *asked, const struct worker_response *response);

	unsigned records; /* how often it was to be recorded */
	enum status status;
	uint64_t rv; /* of registry_request */
	unsigned http; /* the response's status */
	char body[4096];
	size_t body_len;
	pthread_t thread;
	int64_t took_ms;
};

/* As domain "alice" on slot "demo" with application `id`. */
struct asked ask(struct fixture *fixture, char id, const char *query);
void ask_it(struct asked *asked);

/* The same in a thread of its own; ask_join waits for it. */
void ask_begin(struct asked *asked);
void ask_join(struct asked *asked);

/* Waits until the worker of that application runs `count` requests. */
void until_running(struct fixture *fixture, char id, unsigned count);

/* The number or the text behind "key=" in an answer's body. */
unsigned long long number_of(const struct asked *asked, const char *key);
const char *text_of(const struct asked *asked, const char *key, char out[256]);

/* Whether `condition` becomes true within 10 s. */
bool becomes(bool (*condition)(void *context), void *context);
/* Whether the process of that pid is gone within 10 s. */
bool ends(unsigned long long pid);
/* Waits until the inventory has looked at every module: before, its workers still start. False after ten seconds. */
bool inventory_settles(struct fixture *fixture);
/* Whether the metrics contain this text within 10 s. */
bool metrics_show(struct fixture *fixture, const char *text);

/* Writes the file that an inventory test worker shows as its token's label. */
void set_label(struct fixture *fixture, const char *label);

#endif
