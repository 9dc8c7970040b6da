#include "server/worker/internal.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/log.h"

/*
 * The control thread: commands of the gateway, the end of a kept login, the end of the process.
 */

/* Another thread ends the process. */
static void __attribute__((noreturn)) wait_for_the_end(void)
{
	for (;;)
		pause();
}

void worker_stop(struct worker *worker)
{
	struct running *running = &worker->running;
	int64_t until = clock_ms() + WORKER_STOP_MS;

	pthread_mutex_lock(&running->lock);
	bool second = running->stopping;
	running->stopping = true;
	while (!second && running->requests > 0 && clock_wait(&running->idle, &running->lock, until))
		;
	bool idle = running->requests == 0;
	pthread_mutex_unlock(&running->lock);
	if (second)
		wait_for_the_end();
	/* A module that is in a call must not be finalized; the process ends as it is. */
	if (idle && worker->module.initialised && pthread_mutex_trylock(&worker->login.lock) == 0 &&
		pthread_rwlock_trywrlock(&worker->module.lock) == 0) {
		pin_cache_erase(worker);
		(void)invoke_finalize(&worker->module);
	}
	_exit(0);
}

void worker_abandon(struct worker *worker, const char *why)
{
	log_event(LOG_LEVEL_ERROR, "worker ends at once", "module", worker->start.module_name, "detail", why, NULL);
	_exit(1);
}

/*
 * What changed without a request, with the login that ended by it. False: the gateway does not take it. Then this process has
 * to end, so that the gateway records the end of the login by that.
 */
static bool tell_state(struct worker *worker, enum login_state ended, enum login_end end)
{
	struct buffer payload BUFFER_AUTO;
	struct worker_state state;

	state_read(worker, &state);
	state.ended_login = (uint32_t)ended;
	state.ended_cause = (uint32_t)end;
	buffer_init(&payload, FRAME_CHUNK);
	worker_state_pack(&payload, &state);
	return !payload.failed && frame_send(WORKER_CONTROL_FD, FRAME_STATE, payload.data, payload.len) == STATUS_OK;
}

/* False: see tell_state. */
static bool end_instance(struct worker *worker, const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct end_instance message;

	arena_init(&arena, FRAME_CHUNK);
	if (end_instance_unpack(payload->data, payload->len, &arena, &message) != STATUS_OK)
		return true;
	/* Before the sessions take what their client asked for along. */
	bool one_use = login_rules(worker).logout_after == LOGOUT_AFTER_PRIVATE_OP;
	pthread_rwlock_rdlock(&worker->module.lock);
	bool used = sessions_close_instance(worker, message.instance);
	pthread_rwlock_unlock(&worker->module.lock);
	atomic_store(&worker->login.held, message.held != 0);
	enum login_end end = LOGIN_END_LEASE;
	enum login_state ended = login_expire(worker, end);
	if (ended == LOGIN_NONE && used && one_use) {
		end = LOGIN_END_PRIVATE_OP;
		ended = login_revoke(worker, end);
	}
	if (!one_use)
		one_use_settle(worker);
	private_use_settle(worker);
	return tell_state(worker, ended, end);
}

/* What the hold alone kept; sessions go on, and so does a login over REST, which is one (C15). False: see tell_state. */
static bool hold_ended(struct worker *worker)
{
	atomic_store(&worker->login.held, false);
	enum login_state ended = login_expire(worker, LOGIN_END_HOLD);
	private_use_settle(worker);
	return tell_state(worker, ended, LOGIN_END_HOLD);
}

/* A PIN that the new rules do not let be kept is erased at once (B14). The gateway's reload waits for the answer. */
static bool policy_follow(struct worker *worker, const struct buffer *payload)
{
	if (!policy_replace(&worker->policy, payload->data, payload->len))
		return false;
	enum login_state ended = LOGIN_NONE;
	if (pin_cache_kept(worker) && !login_rules(worker).cache_pin)
		ended = login_revoke(worker, LOGIN_END_POLICY);
	return tell_state(worker, ended, LOGIN_END_POLICY);
}

static bool login_voided(struct worker *worker, const struct buffer *payload)
{
	struct arena arena ARENA_AUTO;
	struct login_voided message;

	arena_init(&arena, FRAME_CHUNK);
	if (login_voided_unpack(payload->data, payload->len, &arena, &message) != STATUS_OK ||
		message.cause >= LOGIN_END_COUNT)
		return false;
	/* Who is logged in without a kept PIN stays so over what happens to the token's PIN. */
	if (message.cause != LOGIN_END_REVOKED && !pin_cache_kept(worker))
		return true;
	enum login_end end = (enum login_end)message.cause;
	return tell_state(worker, login_revoke(worker, end), end);
}

/* False at the end of the control socket, or when it says so. */
static bool command(struct worker *worker, struct buffer *payload)
{
	enum frame_type type;

	if (frame_receive(WORKER_CONTROL_FD, -1, &type, payload) != STATUS_OK)
		return false;
	switch (type) {
	case FRAME_END_INSTANCE: return end_instance(worker, payload);
	case FRAME_LOGIN_VOIDED: return login_voided(worker, payload);
	case FRAME_HOLD_ENDED: return hold_ended(worker);
	case FRAME_POLICY: return policy_follow(worker, payload);
	default: return false;
	}
}

/* Milliseconds until something here ends; -1: nothing does. */
static int next_deadline(struct worker *worker)
{
	enum login_end end;
	int keep = login_keep_left(worker), pin = pin_cache_left(worker, &end);

	return keep < 0 ? pin : pin < 0 ? keep : keep < pin ? keep : pin;
}

void control_serve(struct worker *worker)
{
	struct buffer payload;
	struct pollfd fds[2] = {{.fd = WORKER_CONTROL_FD, .events = POLLIN}, {.fd = worker->wake, .events = POLLIN}};
	uint64_t woken;
	enum login_end end;
	bool open = true;

	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	while (open) {
		int ready = poll(fds, 2, next_deadline(worker));
		if (ready < 0 && errno != EINTR)
			break;
		if (ready > 0 && fds[1].revents)
			(void)!read(worker->wake, &woken, sizeof woken);
		if (ready > 0 && fds[0].revents)
			open = command(worker, &payload);
		if (login_keep_over(worker)) {
			end = login_keep_end(worker);
			open = tell_state(worker, login_expire(worker, end), end) && open;
		}
		if (pin_cache_left(worker, &end) == 0)
			open = tell_state(worker, login_revoke(worker, end), end) && open;
	}
	worker_stop(worker);
}
