#include "server/worker/operation.h"

#include <openssl/rand.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "api/hex.h"
#include "api/limits.h"
#include "api/secret.h"
#include "server/common/clock.h"

enum { REMEMBERED_MAX = 256 }; /* ended operations whose ids still get 410 instead of 404 */

struct held {
	struct held *next;
	char id[OPERATION_ID_TEXT];
	enum operation_state state; /* TAKEN here means: waiting; BUSY, EXPIRED, FINISHED as they say */
	int64_t expires_ms;
	CK_OBJECT_HANDLE object;
	unsigned login_epoch;
	uint32_t route;
	char *identity, *key, *query, *accept, *content_type;
	struct buffer body;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct held *operations; /* newest first */

/* Forgets the request; what is left answers 410. */
static void held_wipe(struct held *held)
{
	char **texts[] = {&held->key, &held->query, &held->accept, &held->content_type};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
		free(*texts[i]);
		*texts[i] = NULL;
	}
	buffer_done(&held->body);
}

static void held_free(struct held *held)
{
	held_wipe(held);
	free(held->identity);
	free(held);
}

static void held_finish(struct held *held, enum operation_state state)
{
	held->state = state;
	held_wipe(held);
}

/*
 * Ends what has expired or died with its login (X4), forgets the oldest of what has ended; returns how many are open.
 */
static size_t sweep(const struct worker *worker)
{
	size_t open = 0, ended = 0;
	int64_t now = clock_ms();
	for (struct held **at = &operations, *held; (held = *at) != NULL;) {
		if (held->state == OPERATION_TAKEN && now >= held->expires_ms)
			held_finish(held, OPERATION_EXPIRED);
		else if (held->state == OPERATION_TAKEN && held->login_epoch != login_epoch(worker))
			held_finish(held, OPERATION_FINISHED);
		if (held->state == OPERATION_TAKEN || held->state == OPERATION_BUSY)
			open++;
		else if (++ended > REMEMBERED_MAX) {
			*at = held->next;
			held_free(held);
			continue;
		}
		at = &held->next;
	}
	return open;
}

static struct held *held_new(const struct worker_request *message, CK_OBJECT_HANDLE object)
{
	struct held *held = calloc(1, sizeof *held);
	unsigned char random[OPERATION_ID_LEN];
	if (held == NULL || RAND_bytes(random, sizeof random) != 1) {
		free(held);
		return NULL;
	}
	hex_encode(held->id, random, sizeof random);
	held->state = OPERATION_TAKEN;
	held->object = object;
	held->route = message->route;
	held->identity = strdup(message->identity);
	held->key = strdup(message->key);
	held->query = strdup(message->query);
	held->accept = strdup(message->accept);
	held->content_type = strdup(message->content_type);
	buffer_init(&held->body, LIMIT_BODY);
	buffer_append(&held->body, message->body.data, message->body.len);
	if (!held->identity || !held->key || !held->query || !held->accept || !held->content_type ||
		held->body.failed) {
		held_free(held);
		return NULL;
	}
	return held;
}

enum operation_opening operation_open(
	struct request *request, CK_OBJECT_HANDLE object, char ret_id[OPERATION_ID_TEXT], time_t *ret_expires)
{
	const struct worker_start *settings = worker_settings(request->worker);
	enum operation_opening result = OPERATION_NO_MEMORY;
	pthread_mutex_lock(&lock);
	struct held *held = NULL;
	if (sweep(request->worker) >= settings->operations_max)
		result = OPERATION_TOO_MANY;
	else
		held = held_new(request->message, object);
	const char *opened = held == NULL ? NULL : arena_copy(request->arena, held->id, OPERATION_ID_TEXT - 1);
	if (opened != NULL) {
		held->login_epoch = login_epoch(request->worker);
		held->expires_ms = clock_ms() + settings->operation_ttl_ms;
		held->next = operations;
		operations = held;
		memcpy(ret_id, held->id, OPERATION_ID_TEXT);
		*ret_expires = time(NULL) + settings->operation_ttl_ms / 1000;
		request->reply.operation_opened = opened;
		result = OPERATION_OPENED;
	} else if (held != NULL) {
		held_free(held);
	}
	pthread_mutex_unlock(&lock);
	return result;
}

/* Under lock. NULL too for an operation of another identity. */
static struct held *find(const struct worker_request *message)
{
	size_t len = strlen(message->operation);
	for (struct held *held = operations; held != NULL; held = held->next)
		if (len == OPERATION_ID_TEXT - 1 && secret_equal(held->id, message->operation, len) &&
			strcmp(held->identity, message->identity) == 0)
			return held;
	return NULL;
}

/* Under lock: the held request in the arena, so that it outlives the operation. */
static bool copy_request(struct request *request, const struct held *held, struct worker_request *ret_held)
{
	struct worker_request copy = *request->message;
	copy.route = held->route;
	copy.key = arena_copy(request->arena, held->key, strlen(held->key));
	copy.query = arena_copy(request->arena, held->query, strlen(held->query));
	copy.accept = arena_copy(request->arena, held->accept, strlen(held->accept));
	copy.content_type = arena_copy(request->arena, held->content_type, strlen(held->content_type));
	copy.body = (struct bytes){arena_copy(request->arena, held->body.data, held->body.len), held->body.len};
	if (!copy.key || !copy.query || !copy.accept || !copy.content_type || !copy.body.data)
		return false;
	*ret_held = copy;
	return true;
}

enum operation_state operation_take(
	struct request *request, struct worker_request *ret_held, CK_OBJECT_HANDLE *ret_object)
{
	pthread_mutex_lock(&lock);
	sweep(request->worker);
	struct held *held = find(request->message);
	enum operation_state state = held == NULL ? OPERATION_UNKNOWN : held->state;
	if (state == OPERATION_TAKEN) {
		if (copy_request(request, held, ret_held)) {
			*ret_object = held->object;
			held->state = OPERATION_BUSY;
		} else {
			state = OPERATION_BUSY;
		}
	}
	pthread_mutex_unlock(&lock);
	return state;
}

void operation_put_back(struct request *request)
{
	pthread_mutex_lock(&lock);
	struct held *held = find(request->message);
	if (held != NULL && held->state == OPERATION_BUSY)
		held->state = OPERATION_TAKEN;
	pthread_mutex_unlock(&lock);
}

void operation_end(struct request *request)
{
	pthread_mutex_lock(&lock);
	struct held *held = find(request->message);
	if (held != NULL) {
		held_finish(held, OPERATION_FINISHED);
		request->reply.operation_closed = arena_copy(request->arena, held->id, OPERATION_ID_TEXT - 1);
	}
	pthread_mutex_unlock(&lock);
}
