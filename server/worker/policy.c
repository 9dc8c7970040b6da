#include "server/worker/internal.h"

#include <string.h>

enum { POLICY_ARENA = 1 << 20 }; /* bytes of the rules */

void policy_init(struct policy *policy)
{
	pthread_mutex_init(&policy->lock, NULL);
	arena_init(&policy->arena, POLICY_ARENA);
	memset(&policy->rules, 0, sizeof policy->rules);
}

/* The labels of an unpacked message point into the packed bytes, which do not last. */
static bool labels_keep(struct arena *arena, struct worker_policy *rules)
{
	size_t count = rules->challenge_only_labels.count;
	struct bytes *labels = arena_array(arena, count, sizeof *labels);

	if (!labels)
		return false;
	for (size_t i = 0; i < count; i++) {
		const struct bytes *label = &rules->challenge_only_labels.items[i];
		labels[i] = (struct bytes){arena_copy(arena, label->data, label->len), label->len};
		if (!labels[i].data)
			return false;
	}
	rules->challenge_only_labels.items = labels;
	return true;
}

static void login_keep_rules(struct policy *policy, const struct login_policy *login)
{
	atomic_store(&policy->cache_pin, login->cache_pin != 0);
	atomic_store(&policy->logout_after, login->logout_after);
	atomic_store(&policy->force_login, login->force_login);
	atomic_store(&policy->aa_oneshot, login->aa_oneshot != 0);
	atomic_store(&policy->ttl_ms, login->pin_cache_ttl_ms);
	atomic_store(&policy->idle_ms, login->pin_cache_idle_ms);
	atomic_store(&policy->wait_ms, login->internal_wait_ms);
}

struct login_rules login_rules(const struct worker *worker)
{
	const struct policy *policy = &worker->policy;
	const struct sessions *sessions = &worker->sessions;
	unsigned server = atomic_load(&policy->logout_after), client = atomic_load(&sessions->logout_after);
	unsigned force = atomic_load(&policy->force_login) | atomic_load(&sessions->force_login);

	return (struct login_rules){
		.cache_pin = atomic_load(&policy->cache_pin) && !atomic_load(&sessions->no_cache),
		.logout_after = (enum logout_after)(server > client ? server : client),
		.force_login = (force & FORCE_LOGIN_NON_REPUDIATION) != 0,
		.aa_oneshot = atomic_load(&policy->aa_oneshot),
		.ttl_ms = atomic_load(&policy->ttl_ms),
		.idle_ms = atomic_load(&policy->idle_ms),
		.wait_ms = atomic_load(&policy->wait_ms),
	};
}

bool policy_replace(struct policy *policy, const void *packed, size_t len)
{
	struct worker_policy rules = {0};
	struct login_policy login = {0};
	struct arena arena;

	arena_init(&arena, POLICY_ARENA);
	if (worker_policy_unpack(packed, len, &arena, &rules) != STATUS_OK || !labels_keep(&arena, &rules) ||
		(rules.login.len > 0 &&
			login_policy_unpack(rules.login.data, rules.login.len, &arena, &login) != STATUS_OK)) {
		arena_done(&arena);
		return false;
	}
	rules.login = (struct bytes){NULL, 0};
	pthread_mutex_lock(&policy->lock);
	struct arena old = policy->arena;
	policy->arena = arena;
	policy->rules = rules;
	atomic_store(&policy->has_labels, rules.challenge_only_labels.count > 0);
	login_keep_rules(policy, &login);
	atomic_store(&policy->generation, rules.generation);
	pthread_mutex_unlock(&policy->lock);
	arena_done(&old);
	return true;
}

uint64_t policy_generation(const struct worker *worker)
{
	return atomic_load(&worker->policy.generation);
}

bool policy_has_labels(const struct worker *worker)
{
	return atomic_load(&worker->policy.has_labels);
}

bool policy_challenge_only(const struct worker *worker, const char *label)
{
	/* Asking changes nothing but the lock. */
	struct policy *policy = (struct policy *)(uintptr_t)&worker->policy;
	size_t len = strlen(label);
	bool found = false;

	pthread_mutex_lock(&policy->lock);
	const struct bytes_list *labels = &policy->rules.challenge_only_labels;
	for (size_t i = 0; i < labels->count && !found; i++)
		found = labels->items[i].len == len && memcmp(labels->items[i].data, label, len) == 0;
	pthread_mutex_unlock(&policy->lock);
	return found;
}

bool login_derives_without_pin(const struct worker *worker)
{
	return login_rules(worker).aa_oneshot;
}
