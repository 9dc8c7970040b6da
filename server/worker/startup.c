#include "server/worker/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>

#include "server/common/log.h"
#include "server/common/memory.h"

enum { START_ARENA = 2 << 20, DETAIL_MAX = 256 };

static bool locks_init(struct worker *worker)
{
	pthread_rwlockattr_t attributes;

	/* A re-initialisation must not starve behind calls that keep coming. */
	pthread_rwlockattr_init(&attributes);
	pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	bool good = pthread_rwlock_init(&worker->module.lock, &attributes) == 0;
	pthread_rwlockattr_destroy(&attributes);
	pthread_mutex_init(&worker->login.lock, NULL);
	pthread_cond_init(&worker->login.changed, NULL);
	pthread_mutex_init(&worker->one_use.lock, NULL);
	atomic_init(&worker->login.keep_end, LOGIN_END_LAST_SESSION);
	pthread_mutex_init(&worker->pool.lock, NULL);
	pthread_cond_init(&worker->pool.anchor_free, NULL);
	pthread_mutex_init(&worker->running.lock, NULL);
	pthread_cond_init(&worker->running.idle, NULL);
	pthread_mutex_init(&worker->state_lock, NULL);
	pthread_mutex_init(&worker->states.lock, NULL);
	policy_init(&worker->policy);
	if (!pin_cache_init(&worker->pin_cache))
		log_event(
			LOG_LEVEL_WARNING, "no memory can be locked: no PIN will be kept; raise RLIMIT_MEMLOCK", NULL);
	worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return good && worker->wake >= 0;
}

static bool read_start(struct worker *worker)
{
	struct worker_start *start = &worker->start;
	enum frame_type type;

	buffer_init(&worker->start_payload, FRAME_PAYLOAD_MAX);
	arena_init(&worker->arena, START_ARENA);
	if (frame_receive(WORKER_PAIR_FD, WORKER_START_MS, &type, &worker->start_payload) != STATUS_OK ||
		type != FRAME_START)
		return false;
	if (worker_start_unpack(worker->start_payload.data, worker->start_payload.len, &worker->arena, start) !=
		STATUS_OK)
		return false;
	if (start->slots.count > WORKER_SLOTS_MAX || (start->role == ROLE_APPLICATION && start->slots.count != 1))
		return false;
	for (size_t i = 0; i < start->slots.count; i++) {
		const struct bytes *packed = &start->slots.items[i];
		if (worker_slot_unpack(packed->data, packed->len, &worker->arena, &worker->slots[i]) != STATUS_OK)
			return false;
	}
	worker->slots_count = start->slots.count;
	return start->threads > 0 && start->threads <= WORKER_THREADS_MAX &&
	       policy_replace(&worker->policy, start->policy.data, start->policy.len) &&
	       sessions_init(&worker->sessions, start->sessions_max) && objects_init(&worker->objects);
}

/* The sandbox comes first: a module runs code of its own as soon as it is loaded. */
static CK_RV module_start(struct worker *worker, char *detail)
{
	char why[DETAIL_MAX];
	struct token_grant grant;

	if (!sandbox_enter(&worker->start, why)) {
		snprintf(detail, DETAIL_MAX, "the process cannot be confined: %.200s", why);
		return CKR_GENERAL_ERROR;
	}
	/* As the user that it is now: what an earlier one was allowed, later allocations would not be. */
	if (!memory_lock(why, sizeof why) && worker->start.require_mlock) {
		snprintf(detail, DETAIL_MAX, "%s", why);
		return CKR_GENERAL_ERROR;
	}
	CK_RV rv = module_load(worker, detail);
	if (rv != CKR_OK)
		return rv;
	memory_hide_data();
	rv = token_acquire(worker, WORKER_PAIR_FD, TOKEN_FOR_MODULE, CKU_USER, &grant);
	if (rv != CKR_OK) {
		snprintf(detail, DETAIL_MAX, "the token was not free in time");
		return rv;
	}
	worker->module.generation = grant.generation;
	rv = module_initialise(worker, detail);
	token_release(worker, WORKER_PAIR_FD, rv);
	return rv;
}

static bool send_started(CK_RV rv, const char *detail)
{
	struct worker_started started = {.rv = rv, .detail = detail};
	struct buffer payload BUFFER_AUTO;

	buffer_init(&payload, FRAME_CHUNK);
	worker_started_pack(&payload, &started);
	return !payload.failed && frame_send(WORKER_PAIR_FD, FRAME_STARTED, payload.data, payload.len) == STATUS_OK;
}

bool worker_startup(struct worker *worker)
{
	char detail[DETAIL_MAX] = "";

	if (!locks_init(worker) || !read_start(worker)) {
		log_event(LOG_LEVEL_ERROR, "worker cannot start: no START frame that it understands", NULL);
		return false;
	}
	CK_RV rv = module_start(worker, detail);
	if (rv != CKR_OK)
		log_event(LOG_LEVEL_ERROR, "worker cannot start", "module", worker->start.module_name, "detail", detail,
			NULL);
	return send_started(rv, detail) && rv == CKR_OK;
}

const struct worker_start *worker_settings(const struct worker *worker)
{
	return &worker->start;
}

const char *worker_slot_name(const struct worker *worker)
{
	return worker->slots[0].name;
}

const char *worker_token_label(const struct worker *worker)
{
	return worker->module.token_label;
}
