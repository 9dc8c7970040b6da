#include "server/app/process.h"

#include <errno.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/app/token.h"
#include "server/common/log.h"

enum {
	EVENTS_MAX = 64,
	RECHECK_MS = 1000, /* for what depends on requests that still run */
	RETRY_MS = 50, /* an ended process that has not been reaped yet */
	NEWS_PER_WAKE = 16, /* frames of one worker before the keeper looks at the others */
	NEWS_LEFT = 1024, /* frames of a worker that is gone: more than its socket holds */
	CONTROL_TAG = 1, /* in the pointer of an event: its control socket, not the process itself */
};

void keeper_poke(struct registry *registry)
{
	uint64_t one = 1;
	ssize_t written = write(registry->wake, &one, sizeof one);
	(void)written; /* the counter being full means that it is awake */
}

static int watch(struct registry *registry, int fd, void *process, uintptr_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uintptr_t)process | tag};
	return epoll_ctl(registry->epoll, EPOLL_CTL_ADD, fd, &event);
}

static void unwatch(struct registry *registry, int fd)
{
	epoll_ctl(registry->epoll, EPOLL_CTL_DEL, fd, NULL);
}

enum status keeper_watch(struct registry *registry, struct worker_process *process)
{
	if (watch(registry, process->os.pidfd, process, 0) < 0 ||
		watch(registry, process->os.control, process, CONTROL_TAG) < 0)
		return STATUS_IO;
	return STATUS_OK;
}

/* One thing that the worker has said. STATUS_TIMEOUT: it has said nothing more. */
static enum status take_one(struct worker_process *process, struct buffer *payload)
{
	ARENA_AUTO struct arena arena;
	enum frame_type type;
	struct worker_state state;
	arena_init(&arena, FRAME_CHUNK);
	enum status status = frame_receive(process->os.control, 0, &type, payload);
	if (status == STATUS_OK && type != FRAME_STATE)
		status = STATUS_MALFORMED;
	if (status == STATUS_OK)
		status = worker_state_unpack(payload->data, payload->len, &arena, &state);
	if (status != STATUS_OK)
		return status;
	process_state_news(process, &state);
	return logout_told(process, state.ended_login, state.ended_cause) ? STATUS_OK : STATUS_MALFORMED;
}

/* Takes what the worker has said, `most` frames of it; gives why there is no more, or STATUS_OK if there may be. */
static enum status take_news(struct worker_process *process, unsigned most)
{
	BUFFER_AUTO struct buffer payload;
	enum status status = STATUS_OK;
	buffer_init(&payload, FRAME_CHUNK);
	for (unsigned i = 0; i < most && status == STATUS_OK; i++)
		status = take_one(process, &payload);
	return status;
}

/* Only the keeper reaps, so a process in the list stays valid while the keeper looks at it. */
static bool reap(struct registry *registry, struct worker_process *process)
{
	siginfo_t info = {.si_pid = 0};
	int result = waitid(P_PIDFD, (id_t)process->os.pidfd, &info, WEXITED | WNOHANG);
	/* ECHILD: somebody else has reaped it; gone it is. */
	if (result < 0 ? errno != ECHILD : info.si_pid == 0)
		return false;
	unwatch(registry, process->os.pidfd);
	unwatch(registry, process->os.control);
	(void)!take_news(process, NEWS_LEFT);
	process_reaped(process);
	return true;
}

static void read_news(struct registry *registry, struct worker_process *process)
{
	enum status status = take_news(process, NEWS_PER_WAKE);
	if (status == STATUS_TIMEOUT || status == STATUS_OK)
		return;
	unwatch(registry, process->os.control);
	process_end(process, status == STATUS_CLOSED ? END_DIED : END_PROTOCOL);
}

static void handle_events(struct registry *registry, struct epoll_event *events, int count)
{
	for (int i = 0; i < count; i++) {
		uint64_t data = events[i].data.u64;
		uint64_t drained;
		if (data == 0 && read(registry->wake, &drained, sizeof drained) < 0)
			continue;
		if (data & CONTROL_TAG)
			read_news(registry, (struct worker_process *)(uintptr_t)(data & ~(uint64_t)CONTROL_TAG));
	}
	/* Afterwards: reaping frees what an event of the same batch points to. */
	for (int i = 0; i < count; i++)
		if (events[i].data.u64 != 0 && !(events[i].data.u64 & CONTROL_TAG))
			reap(registry, (struct worker_process *)(uintptr_t)events[i].data.u64);
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* When an ending worker may be killed: after its last request, and much later if that could destroy the token. */
static int64_t look_at_ending(struct registry *registry, struct worker_process *process)
{
	if (reap(registry, process))
		return INT64_MAX;
	int64_t now = clock_ms();
	bool writing = process_may_be_writing(process);
	pthread_mutex_lock(&process->mutex);
	bool busy = process->free_count < process->threads;
	int64_t quiet = process->end_begun > process->last_used ? process->end_begun : process->last_used;
	bool killed = process->killed;
	pthread_mutex_unlock(&process->mutex);
	if (killed)
		return now + RETRY_MS;
	if (busy)
		return now + RECHECK_MS;
	int64_t due = quiet + END_GRACE_MS;
	if (writing)
		due += (int64_t)process->settings->limits.keygen_s * 1000;
	if (now < due)
		return earlier(due, now + RECHECK_MS);
	process_kill(process);
	return now + RETRY_MS;
}

/*
 * When an idle worker may end. The worker itself ends a login of the resource routes that has run out, and says why; this is
 * a later bound for one that no longer does what it should. Both count from moments of their own.
 */
static int64_t look_at_live(struct worker_process *process)
{
	if (process->application == NULL)
		return INT64_MAX;
	unsigned waiting = fifo_waiting(&process->pool);
	int64_t now = clock_ms(), due;
	__typeof__(process->settings->limits) *limits = &process->settings->limits;
	pthread_mutex_lock(&process->mutex);
	bool busy = process->free_count < process->threads || waiting > 0;
	bool in = process->login != LOGIN_NONE, held = atomic_load(&process->application->held) && in;
	if (process->sessions > 0 || held)
		due = INT64_MAX;
	else if (!in)
		due = process->last_used + (int64_t)limits->worker_idle_s * 1000;
	else
		due = LOGIN_GRACE_MS + earlier(process->last_used + (int64_t)limits->rest_idle_ttl_s * 1000,
					       process->login_since + (int64_t)limits->rest_max_ttl_s * 1000);
	pthread_mutex_unlock(&process->mutex);
	if (busy)
		return now + RECHECK_MS;
	if (due > now)
		return due;
	process_end(process, in ? END_LOGIN_OVER : END_IDLE);
	return now + RETRY_MS;
}

static int64_t look_at_processes(struct registry *registry)
{
	int64_t next = INT64_MAX;
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		pthread_mutex_lock(&processes[i]->mutex);
		enum process_state state = processes[i]->state;
		pthread_mutex_unlock(&processes[i]->mutex);
		if (state == PROCESS_LIVE)
			next = earlier(next, look_at_live(processes[i]));
		else if (state == PROCESS_ENDING)
			next = earlier(next, look_at_ending(registry, processes[i]));
	}
	processes_unref(processes, count);
	return next;
}

static int64_t look_around(struct registry *registry)
{
	struct settings *settings = registry_settings(registry);
	int64_t next = look_at_processes(registry);
	next = earlier(next, leases_expire(registry->leases, registry, (int64_t)settings->limits.lease_ttl_s * 1000));
	next = earlier(next, holds_expire(registry));
	next = earlier(next, tokens_quiesce(registry));
	operations_expire(registry->operations);
	settings_unref(settings);
	return next;
}

static void *run(void *context)
{
	struct registry *registry = context;
	struct epoll_event events[EVENTS_MAX];
	for (;;) {
		int64_t left = look_around(registry) - clock_ms();
		/* Connections that close meanwhile make leases due. */
		int timeout = left > RECHECK_MS ? RECHECK_MS : left < 0 ? 0 : (int)left;
		int count = epoll_wait(registry->epoll, events, EVENTS_MAX, timeout);
		handle_events(registry, events, count < 0 ? 0 : count);
		pthread_mutex_lock(&registry->mutex);
		bool stops = registry->keeper_stops;
		pthread_mutex_unlock(&registry->mutex);
		if (stops)
			return NULL;
	}
}

enum status keeper_start(struct registry *registry)
{
	registry->epoll = epoll_create1(EPOLL_CLOEXEC);
	registry->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (registry->epoll >= 0 && registry->wake >= 0 && watch(registry, registry->wake, NULL, 0) == 0 &&
		pthread_create(&registry->keeper, NULL, run, registry) == 0)
		return STATUS_OK;
	int saved = errno;
	close(registry->epoll);
	close(registry->wake);
	errno = saved;
	return STATUS_IO;
}

void keeper_stop(struct registry *registry)
{
	pthread_mutex_lock(&registry->mutex);
	registry->keeper_stops = true;
	pthread_mutex_unlock(&registry->mutex);
	keeper_poke(registry);
	pthread_join(registry->keeper, NULL);
	close(registry->epoll);
	close(registry->wake);
}
