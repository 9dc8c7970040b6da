#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/*
 * Sessions of clients. A handle is a place in the table (low bits, from 1) and a serial number, so that a handle of a
 * closed session does not name the next one in its place.
 */

enum { PLACE_BITS = 12, PLACE_MASK = (1 << PLACE_BITS) - 1, SERIAL_MASK = (1 << (32 - PLACE_BITS)) - 1 };

_Static_assert((int)PLACE_MASK == LIMIT_SESSIONS, "every session that the configuration allows has a place");

bool sessions_init(struct sessions *sessions, unsigned max)
{
	memset(sessions, 0, sizeof *sessions);
	sessions->max = max > 0 && max < PLACE_MASK ? max : PLACE_MASK;
	sessions->slots = calloc(sessions->max, sizeof(struct session *));
	pthread_mutex_init(&sessions->lock, NULL);
	/* A handle of the worker before this one must not name a session of this one. */
	return sessions->slots != NULL &&
	       getrandom(&sessions->serial, sizeof sessions->serial, 0) == sizeof sessions->serial;
}

/* From now on it is that one in the module; CK_INVALID_HANDLE: none. */
static void set_module(struct sessions *sessions, struct session *session, CK_SESSION_HANDLE module)
{
	pthread_mutex_lock(&sessions->lock);
	sessions->in_module -= session->module != CK_INVALID_HANDLE;
	sessions->in_module += module != CK_INVALID_HANDLE;
	session->module = module;
	session->spoiled = false;
	pthread_mutex_unlock(&sessions->lock);
}

static void session_free(struct session *session)
{
	track_clear(session);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

/* Under sessions->lock. */
static struct session *session_find(const struct sessions *sessions, const unsigned char *instance, CK_ULONG handle)
{
	CK_ULONG place = handle & PLACE_MASK;

	if (place == 0 || place > sessions->max)
		return NULL;
	struct session *session = sessions->slots[place - 1];
	if (!session || session->handle != handle || memcmp(session->instance, instance, INSTANCE_ID_LEN) != 0)
		return NULL;
	return session;
}

static void session_unref(struct worker *worker, struct session *session)
{
	pthread_mutex_lock(&worker->sessions.lock);
	bool last = --session->refs == 0;
	pthread_mutex_unlock(&worker->sessions.lock);
	if (last)
		session_free(session);
}

static struct session *session_take(struct worker *worker, const unsigned char *instance, CK_ULONG handle)
{
	struct sessions *sessions = &worker->sessions;

	pthread_mutex_lock(&sessions->lock);
	struct session *session = session_find(sessions, instance, handle);
	if (session)
		session->refs++;
	pthread_mutex_unlock(&sessions->lock);
	if (!session)
		return NULL;
	pthread_mutex_lock(&session->lock);
	if (session->closed) {
		session_return(worker, session);
		return NULL;
	}
	return session;
}

void session_return(struct worker *worker, struct session *session)
{
	pthread_mutex_unlock(&session->lock);
	session_unref(worker, session);
}

struct session *session_acquire(struct request *request, CK_ULONG handle)
{
	request->client = session_take(request->worker, request->message->instance, handle);
	return request->client;
}

void session_release(struct request *request)
{
	if (request->client)
		session_return(request->worker, request->client);
	request->client = NULL;
}

/* Whether the module has begun an operation of that kind in the session. */
static bool occupied(const struct session *session, int kind)
{
	const struct session_operation *operation = &session->operations[kind];

	return operation->begun && !operation->listed && !operation->deferred;
}

bool session_serves(const struct session *session, enum session_use use)
{
	if (session->closed || session->module == CK_INVALID_HANDLE)
		return false;
	if (use != SESSION_TO_LOG_IN && session->spoiled)
		return false;
	if (use == SESSION_TO_SEARCH)
		return !occupied(session, OPERATION_FIND);
	for (int i = 0; use == SESSION_TO_OPERATE && i < OPERATION_COUNT; i++) {
		if (occupied(session, i))
			return false;
	}
	return true;
}

/* The session at that place, locked; NULL: none, or none that serves. Unless `wait`, neither one that is busy. */
static struct session *take_place(struct worker *worker, unsigned place, enum session_use use, bool wait)
{
	struct sessions *sessions = &worker->sessions;

	pthread_mutex_lock(&sessions->lock);
	struct session *session = sessions->slots[place];
	if (session)
		session->refs++;
	pthread_mutex_unlock(&sessions->lock);
	if (!session)
		return NULL;
	if (wait)
		pthread_mutex_lock(&session->lock);
	else if (pthread_mutex_trylock(&session->lock) != 0) {
		session_unref(worker, session);
		return NULL;
	}
	if (session_serves(session, use))
		return session;
	session_return(worker, session);
	return NULL;
}

struct session *session_take_any(struct worker *worker, enum session_use use, bool wait)
{
	/* Whoever logs in or out may want to search as well. */
	enum session_use first = use == SESSION_TO_LOG_IN ? SESSION_TO_SEARCH : use;
	struct session *session = NULL;

	for (unsigned place = 0; place < worker->sessions.max && !session; place++)
		session = take_place(worker, place, first, false);
	for (unsigned place = 0; wait && place < worker->sessions.max && !session; place++)
		session = take_place(worker, place, use, true);
	return session;
}

bool session_exists(struct request *request, CK_ULONG handle)
{
	bool exists = session_acquire(request, handle) != NULL;

	session_release(request);
	return exists;
}

bool session_is_open(struct worker *worker, CK_ULONG handle)
{
	struct sessions *sessions = &worker->sessions;
	CK_ULONG place = handle & PLACE_MASK;

	pthread_mutex_lock(&sessions->lock);
	const struct session *session = place > 0 && place <= sessions->max ? sessions->slots[place - 1] : NULL;
	bool open = session && session->handle == handle;
	pthread_mutex_unlock(&sessions->lock);
	return open;
}

/* The strictest of all, for who asks and for login_rules. Under sessions->lock. */
static struct login_wishes wishes_gather(struct sessions *sessions)
{
	struct login_wishes all = sessions->of_login;

	for (unsigned place = 0; place < sessions->max; place++) {
		if (sessions->slots[place])
			login_wishes_add(&all, &sessions->slots[place]->wishes);
	}
	atomic_store(&sessions->no_cache, all.no_cache);
	atomic_store(&sessions->logout_after, all.logout_after);
	atomic_store(&sessions->force_login, all.force_login);
	return all;
}

void session_wish(struct worker *worker, struct session *session, const struct login_wishes *wishes)
{
	if (!login_wishes_any(wishes))
		return;
	pthread_mutex_lock(&worker->sessions.lock);
	login_wishes_add(&session->wishes, wishes);
	(void)wishes_gather(&worker->sessions);
	pthread_mutex_unlock(&worker->sessions.lock);
}

void sessions_wishes_keep(struct worker *worker)
{
	struct sessions *sessions = &worker->sessions;

	pthread_mutex_lock(&sessions->lock);
	sessions->of_login = wishes_gather(sessions);
	pthread_mutex_unlock(&sessions->lock);
}

void sessions_wishes_end(struct worker *worker)
{
	struct sessions *sessions = &worker->sessions;

	pthread_mutex_lock(&sessions->lock);
	sessions->of_login = (struct login_wishes){0};
	(void)wishes_gather(sessions);
	pthread_mutex_unlock(&sessions->lock);
}

/* Puts a new session into the table; NULL if the table or the memory is full. */
static struct session *session_new(
	struct sessions *sessions, const struct request *request, CK_FLAGS flags, CK_SESSION_HANDLE module)
{
	struct session *session = calloc(1, sizeof *session);
	unsigned place = 0;

	if (!session)
		return NULL;
	pthread_mutex_init(&session->lock, NULL);
	session->module = module;
	session->flags = flags;
	session->refs = 1;
	memcpy(session->instance, request->message->instance, INSTANCE_ID_LEN);
	session->wishes = request->wishes;
	pthread_mutex_lock(&sessions->lock);
	while (place < sessions->max && sessions->slots[place])
		place++;
	if (place < sessions->max) {
		sessions->serial = (sessions->serial + 1) & SERIAL_MASK;
		session->handle = (CK_ULONG)sessions->serial << PLACE_BITS | (place + 1);
		sessions->slots[place] = session;
		sessions->count++;
		sessions->in_module++;
		sessions->read_only += !(flags & CKF_RW_SESSION);
		if (login_wishes_any(&session->wishes))
			(void)wishes_gather(sessions);
	}
	pthread_mutex_unlock(&sessions->lock);
	if (place < sessions->max)
		return session;
	session_free(session);
	return NULL;
}

CK_RV session_open(struct request *request, const union wire_value v[])
{
	struct worker *worker = request->worker;
	CK_SESSION_HANDLE module = CK_INVALID_HANDLE;

	if (worker->module.slot_found && sessions_count(worker) >= worker->sessions.max)
		return CKR_SESSION_COUNT;
	CK_RV rv = pool_open_giving_way(worker, request, v[1].number, &module);
	if (rv != CKR_OK)
		return rv;
	struct session *session = session_new(&worker->sessions, request, v[1].number, module);
	if (!session) {
		pool_close(worker, module);
		return CKR_SESSION_COUNT;
	}
	*v[3].number_out = session->handle;
	return CKR_OK;
}

static void session_unlist(struct sessions *sessions, struct session *session)
{
	pthread_mutex_lock(&sessions->lock);
	sessions->slots[(session->handle & PLACE_MASK) - 1] = NULL;
	sessions->count--;
	sessions->read_only -= !(session->flags & CKF_RW_SESSION);
	session->refs--; /* the acquirer's remains */
	if (login_wishes_any(&session->wishes))
		(void)wishes_gather(sessions);
	pthread_mutex_unlock(&sessions->lock);
}

CK_RV session_close(struct worker *worker, struct session *session)
{
	const union wire_value v[] = {{.number = session->module}};
	CK_RV rv = CKR_OK;

	for (unsigned i = 0; i < session->parked_count; i++)
		pool_close(worker, session->parked[i]);
	session->parked_count = 0;
	if (session->module != CK_INVALID_HANDLE)
		rv = invoke_uncounted(worker, CALL_CloseSession, v);
	set_module(&worker->sessions, session, CK_INVALID_HANDLE);
	session->closed = true;
	track_clear(session);
	objects_remove_of_session(worker, session);
	session_unlist(&worker->sessions, session);
	return rv;
}

bool sessions_close_instance(struct worker *worker, const unsigned char *instance)
{
	bool used = false;

	for (unsigned place = 0; place < worker->sessions.max; place++) {
		pthread_mutex_lock(&worker->sessions.lock);
		const struct session *listed = worker->sessions.slots[place];
		CK_ULONG handle = listed ? listed->handle : 0;
		pthread_mutex_unlock(&worker->sessions.lock);
		struct session *session = handle != 0 ? session_take(worker, instance, handle) : NULL;
		if (!session)
			continue;
		used = track_used_private(session, login_epoch(worker)) || used;
		(void)!session_close(worker, session);
		session_return(worker, session);
	}
	return used;
}

void sessions_reopen(struct worker *worker)
{
	/* Nobody else holds a session now: module.lock is held exclusively. */
	for (unsigned place = 0; place < worker->sessions.max; place++) {
		struct session *session = worker->sessions.slots[place];
		if (!session)
			continue;
		track_clear(session);
		session->parked_count = 0;
		session->objects = 0;
		CK_SESSION_HANDLE module = CK_INVALID_HANDLE;
		if (pool_open(worker, NULL, session->flags, &module) != CKR_OK)
			module = CK_INVALID_HANDLE;
		set_module(&worker->sessions, session, module);
	}
}

bool sessions_have_operation(struct worker *worker)
{
	bool found = false;

	for (unsigned place = 0; place < worker->sessions.max && !found; place++) {
		const struct session *session = worker->sessions.slots[place];
		for (int i = 0; session && i < OPERATION_COUNT && !found; i++)
			found = session->operations[i].begun;
	}
	return found;
}

unsigned sessions_count(struct worker *worker)
{
	pthread_mutex_lock(&worker->sessions.lock);
	unsigned count = worker->sessions.count;
	pthread_mutex_unlock(&worker->sessions.lock);
	return count;
}

unsigned sessions_in_module(struct worker *worker)
{
	pthread_mutex_lock(&worker->sessions.lock);
	unsigned count = worker->sessions.in_module;
	pthread_mutex_unlock(&worker->sessions.lock);
	return count;
}

unsigned sessions_read_only(struct worker *worker)
{
	pthread_mutex_lock(&worker->sessions.lock);
	unsigned count = worker->sessions.read_only;
	pthread_mutex_unlock(&worker->sessions.lock);
	return count;
}

/* Closes the parked module sessions that nothing hangs on any more. */
static void unpark(struct worker *worker, struct session *session)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < session->parked_count; i++) {
		if (objects_hang_on(worker, session, session->parked[i]))
			session->parked[kept++] = session->parked[i];
		else
			pool_close(worker, session->parked[i]);
	}
	session->parked_count = kept;
}

/* Whether the module session can end before there is another one: no session object ends with it, nor the module's login. */
static bool may_close_first(struct worker *worker, const struct session *session)
{
	return !objects_hang_on(worker, session, session->module) &&
	       (sessions_in_module(worker) > 1 || login_native_state(worker) == LOGIN_NONE);
}

static void park_or_close(struct worker *worker, struct session *session)
{
	if (session->parked_count < SESSION_PARKED_MAX && objects_hang_on(worker, session, session->module))
		session->parked[session->parked_count++] = session->module;
	else
		pool_close(worker, session->module);
	set_module(&worker->sessions, session, CK_INVALID_HANDLE);
}

/*
 * PKCS#11 2.40 has no call that ends an operation without a result, so the session goes on in another module session. The old one
 * stays open while session objects hang on it.
 */
CK_RV session_cancel(struct worker *worker, struct session *session)
{
	CK_SESSION_HANDLE fresh = CK_INVALID_HANDLE;

	unpark(worker, session);
	CK_RV rv = pool_open_giving_way(worker, NULL, session->flags, &fresh);
	if (rv == CKR_SESSION_COUNT && may_close_first(worker, session)) {
		park_or_close(worker, session);
		track_clear(session);
		rv = pool_open(worker, NULL, session->flags, &fresh);
	}
	if (rv != CKR_OK)
		return rv;
	if (session->module != CK_INVALID_HANDLE)
		park_or_close(worker, session);
	set_module(&worker->sessions, session, fresh);
	track_clear(session);
	return CKR_OK;
}

/* The module itself judges a session that is lost for good. */
static CK_RV reopen(struct worker *worker, struct session *session)
{
	CK_SESSION_HANDLE module = CK_INVALID_HANDLE;
	CK_RV rv = pool_open_giving_way(worker, NULL, session->flags, &module);

	if (rv == CKR_OK)
		set_module(&worker->sessions, session, module);
	return rv == CKR_SESSION_COUNT ? rv : CKR_OK;
}

CK_RV session_settle(struct worker *worker, struct session *session)
{
	unsigned logouts = atomic_load(&worker->login.logouts);

	if (session->module == CK_INVALID_HANDLE)
		return reopen(worker, session);
	if (session->spoiled)
		return session_cancel(worker, session);
	for (int i = 0; i < OPERATION_COUNT; i++) {
		const struct session_operation *operation = &session->operations[i];
		if (operation->begun && operation->private && operation->logouts != logouts)
			return session_cancel(worker, session);
	}
	return CKR_OK;
}
