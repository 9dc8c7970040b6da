#include "server/app/process.h"

#include <openssl/rand.h>
#include <string.h>

#include "api/cryptoki.h"

enum { REQUEST_TRIES = 3 }; /* starts for one request, when workers end before they have seen it */

/* What one request needs in all its attempts. */
struct attempt {
	struct registry *registry;
	struct settings *settings; /* a reference */
	const struct slot_settings *slot;
	const struct application_key *key;
	const struct registry_client *client;
	struct arena *arena;
	struct buffer *payload;
	struct worker_response *response;
	uint64_t *rv;
};

/* Takes the settings that are in force now. STATUS_NOT_FOUND: they have no such slot. */
static enum status refresh(struct attempt *attempt)
{
	settings_unref(attempt->settings);
	attempt->settings = registry_settings(attempt->registry);
	attempt->slot = settings_slot(attempt->settings, attempt->key->slot);
	return attempt->slot == NULL ? STATUS_NOT_FOUND : STATUS_OK;
}

static int64_t start_deadline(const struct attempt *attempt)
{
	return clock_ms() + (int64_t)attempt->settings->limits.token_wait_s * 1000 + START_EXTRA_MS;
}

static enum status note_operation(
	const struct attempt *attempt, const struct worker_process *process, const struct worker_request *request)
{
	const char *opened = attempt->response->operation_opened;
	if (opened[0] == '\0')
		return STATUS_OK;
	/* As long again as it lives: the worker says that it has expired, or was used. */
	int64_t forget_at = clock_ms() + 2 * (int64_t)attempt->settings->limits.operation_ttl_s * 1000;
	enum status status = operation_opened(
		attempt->registry->operations, opened, request->identity, attempt->key, process->serial, forget_at);
	/* The worker has answered: nobody may take this for a request that was never carried out. */
	return status == STATUS_OK ? STATUS_OK : STATUS_CLOSED;
}

/* Only now: what has no worker has no session, and its name is not worth remembering. */
static enum status note_instance(
	const struct attempt *attempt, struct application *application, const struct worker_request *request)
{
	if (instance_is_none(request->instance))
		return STATUS_OK;
	return lease_remember(
		attempt->registry->leases, attempt->registry, request->identity, request->instance, application);
}

/* Requirement C9: whose sessions were ended on purpose is told so. */
static bool was_closed(struct worker_process *process)
{
	pthread_mutex_lock(&process->mutex);
	bool closed = process->state >= PROCESS_ENDING && process->cause == END_CLOSED;
	pthread_mutex_unlock(&process->mutex);
	return closed;
}

static void record(const struct attempt *attempt, enum status status)
{
	attempt->client->record(attempt->client->context, status, status == STATUS_OK ? attempt->response : NULL);
}

static enum status use_shared(struct attempt *attempt, struct worker_process *process, struct application *application,
	const struct worker_request *request, bool *ret_sent)
{
	struct process_use use = {.client = attempt->client, .asked = attempt->client};
	process_enter(process);
	enum status status = note_instance(attempt, application, request);
	if (status == STATUS_OK)
		status = process_request(process, request, attempt->arena, attempt->payload, attempt->response, &use);
	if (status == STATUS_OK)
		status = note_operation(attempt, process, request);
	/* What has to run once more alone has done nothing yet. */
	if (use.sent && (status != STATUS_OK || attempt->response->status != 0))
		record(attempt, status);
	process_leave(process, &use);
	*ret_sent = use.sent;
	/* Requirement C9: what was under way when the application was closed is on record, and has no result. */
	return status == STATUS_OK && was_closed(process) ? STATUS_CLOSED : status;
}

static enum status run_shared(
	struct attempt *attempt, struct application *application, const struct worker_request *request)
{
	enum status status = STATUS_CLOSED;
	bool sent = false;
	for (unsigned i = 0; i < REQUEST_TRIES && status == STATUS_CLOSED && !sent; i++) {
		struct worker_process *process = NULL;
		status = i == 0 ? STATUS_OK : refresh(attempt);
		if (status != STATUS_OK)
			return status;
		status = application_process(attempt->registry, application, attempt->settings, attempt->slot,
			start_deadline(attempt), &process, attempt->rv);
		if (status == STATUS_CLOSED)
			continue;
		if (status != STATUS_OK)
			return status;
		status = use_shared(attempt, process, application, request, &sent);
		if (status == STATUS_CLOSED && sent && was_closed(process))
			*attempt->rv = CKR_SESSION_CLOSED;
		process_unref(process);
	}
	return status;
}

static enum status start_anonymous(
	struct attempt *attempt, const struct application_key *key, struct worker_process **ret_process)
{
	enum status status = STATUS_CLOSED;
	char hash[33], reason[REASON_LEN];
	registry_application_hash(attempt->registry, key, hash);
	for (unsigned i = 0; i < REQUEST_TRIES && status == STATUS_CLOSED; i++) {
		status = i == 0 ? STATUS_OK : refresh(attempt);
		if (status != STATUS_OK)
			return status;
		const struct process_kind kind = {.settings = attempt->settings,
			.slot = attempt->slot,
			.module = attempt->slot->module,
			.application = NULL,
			.domain = key->domain,
			.application_hash = hash};
		status = process_start(
			attempt->registry, &kind, start_deadline(attempt), ret_process, attempt->rv, reason);
	}
	return status;
}

/* Requirement A28: a worker of its own, of an application that nobody else can name. */
static enum status run_anonymous(struct attempt *attempt, const struct worker_request *request)
{
	struct application_key key = {.domain = attempt->key->domain, .slot = attempt->key->slot};
	struct worker_request alone = *request;
	struct worker_process *process = NULL;
	struct process_use use = {.client = NULL, .asked = attempt->client};

	if (RAND_bytes(key.id, sizeof key.id) != 1)
		return STATUS_NO_MEMORY;
	enum status status = start_anonymous(attempt, &key, &process);
	if (status != STATUS_OK)
		return status;
	alone.anonymous = 1;
	memset(alone.instance, 0, sizeof alone.instance);
	process_enter(process);
	status = process_request(process, &alone, attempt->arena, attempt->payload, attempt->response, &use);
	if (status == STATUS_OK && attempt->response->status == 0)
		status = STATUS_CLOSED;
	if (use.sent)
		record(attempt, status);
	process_leave(process, &use);
	process_end(process, END_ONE_REQUEST);
	process_unref(process);
	return status;
}

static enum status run(struct attempt *attempt, const struct worker_request *request)
{
	struct registry *registry = attempt->registry;
	struct application *application = application_ref(registry, attempt->key);
	if (application == NULL)
		return STATUS_NO_MEMORY;
	enum status status = STATUS_OK;
	if (!instance_is_none(request->instance))
		status = lease_use(registry->leases, request->identity, request->instance);
	if (status == STATUS_OK)
		status = run_shared(attempt, application, request);
	application_unref(registry, application);
	if (status == STATUS_OK && attempt->response->status == 0)
		status = run_anonymous(attempt, request);
	return status;
}

enum status registry_request(struct registry *registry, const struct application_key *key,
	const struct worker_request *request, const struct registry_client *client, struct arena *arena,
	struct buffer *ret_payload, struct worker_response *ret_response, uint64_t *ret_rv)
{
	struct worker_request whole = *request;
	uint64_t rv = CKR_OK;
	struct attempt attempt = {registry, NULL, NULL, key, client, arena, ret_payload, ret_response, &rv};
	enum status status = refresh(&attempt);
	if (status == STATUS_OK) {
		if (whole.deadline_ms == 0)
			whole.deadline_ms = (uint64_t)attempt.settings->limits.sign_s * 1000;
		status = run(&attempt, &whole);
	}
	settings_unref(attempt.settings);
	*ret_rv = rv;
	atomic_fetch_add(&registry->metrics.requests[status], 1);
	return status;
}
