#include "server/app/inventory.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/route.h"
#include "server/app/process.h"

void documents_free(struct slot_documents *documents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		slot_documents_done(&documents[i]);
	free(documents);
}

static enum status ask(struct watched_module *watched, bool reinit, struct arena *arena, struct buffer *payload,
	struct worker_response *ret_response)
{
	struct process_use use = {.client = NULL};
	struct worker_request request = {
		.route = ROUTE_inventory,
		.identity = "",
		.deadline_ms = (uint64_t)watched->settings->limits.sign_s * 1000,
		.trace = "",
		.query = reinit ? "reinit=1" : "",
	};
	return process_request(watched->process, &request, arena, payload, ret_response, &use);
}

static enum status start_worker(struct watched_module *watched, char reason[REASON_LEN])
{
	struct registry *registry = watched->inventory->registry;
	const struct process_kind kind = {
		.settings = watched->settings, .module = watched->module, .application_hash = ""};
	uint64_t rv;
	int64_t deadline_ms = clock_ms() + START_EXTRA_MS;
	enum status status = process_start(registry, &kind, deadline_ms, &watched->process, &rv, reason);
	if (status == STATUS_BUSY)
		snprintf(reason, REASON_LEN, "too many workers are starting");
	return status;
}

static enum status unpack_answer(const struct worker_response *response, struct arena *arena,
	struct slot_documents **ret_looked, size_t *ret_count, char reason[REASON_LEN])
{
	struct inventory_answer answer;
	if (response->status != 200) {
		snprintf(reason, REASON_LEN, "the module could not be asked (status %u)", response->status);
		return STATUS_UNAVAILABLE;
	}
	snprintf(reason, REASON_LEN, "the worker's answer cannot be read");
	enum status status = inventory_answer_unpack(response->body.data, response->body.len, arena, &answer);
	if (status != STATUS_OK)
		return status;
	struct slot_documents *looked = calloc(answer.slots.count + 1, sizeof *looked);
	if (looked == NULL)
		return STATUS_NO_MEMORY;
	size_t count = 0;
	for (size_t i = 0; i < answer.slots.count && status == STATUS_OK; i++) {
		status = slot_documents_unpack(answer.slots.items[i], &looked[count]);
		count += status == STATUS_OK;
	}
	if (status != STATUS_OK) {
		documents_free(looked, count);
		return status;
	}
	*ret_looked = looked;
	*ret_count = count;
	return STATUS_OK;
}

enum status inventory_look(struct watched_module *watched, bool reinit, struct slot_documents **ret_looked,
	size_t *ret_count, char reason[REASON_LEN])
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer payload;
	struct worker_response response;
	arena_init(&arena, 4 * FRAME_PAYLOAD_MAX);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	if (watched->process != NULL && !process_is_live(watched->process)) {
		process_unref(watched->process);
		watched->process = NULL;
	}
	enum status status = watched->process == NULL ? start_worker(watched, reason) : STATUS_OK;
	if (status != STATUS_OK)
		return status;
	status = ask(watched, reinit, &arena, &payload, &response);
	if (status == STATUS_OK)
		return unpack_answer(&response, &arena, ret_looked, ret_count, reason);
	snprintf(reason, REASON_LEN,
		status == STATUS_TIMEOUT ? "the module does not answer" : "the module's worker ended");
	return status;
}
