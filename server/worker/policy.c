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

bool policy_replace(struct policy *policy, const void *packed, size_t len)
{
	struct worker_policy rules = {0};
	struct arena arena;

	arena_init(&arena, POLICY_ARENA);
	if (worker_policy_unpack(packed, len, &arena, &rules) != STATUS_OK || !labels_keep(&arena, &rules)) {
		arena_done(&arena);
		return false;
	}
	pthread_mutex_lock(&policy->lock);
	struct arena old = policy->arena;
	policy->arena = arena;
	policy->rules = rules;
	atomic_store(&policy->has_labels, rules.challenge_only_labels.count > 0);
	pthread_mutex_unlock(&policy->lock);
	arena_done(&old);
	return true;
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
