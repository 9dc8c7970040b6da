#include "server/app/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/route.h"
#include "server/common/log.h"

/* One module: a thread that looks at it through its inventory worker. */
struct watched_module {
	struct watched_module *next;
	struct inventory *inventory;
	struct settings *settings;              /* a reference */
	const struct module_settings *module;
	pthread_t thread;
	struct worker_process *process;         /* of the thread alone */

	/* Guarded by inventory.mutex. */
	uint64_t wanted, served;                /* questions asked, and answered by a look that began after them */
	bool reinit_wanted, stop;
	bool ready;
	char reason[REASON_LEN];                /* why it is not ready */
	unsigned failures;                      /* in a row */
	int64_t due, retry_at;
	struct slot_documents *documents;       /* one per slot of the module, in the configuration's order */
	size_t documents_count;
};

struct inventory {
	struct registry *registry;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t generation;                    /* rises when a document changes */
	struct settings *settings;              /* a reference */
	struct watched_module *modules;
	struct watched_module *leaving;         /* told to stop, to be joined */
};

static struct slot_documents *find_documents(struct watched_module *watched, const char *slot)
{
	for (size_t i = 0; i < watched->documents_count; i++)
		if (strcmp(watched->documents[i].name, slot) == 0)
			return &watched->documents[i];
	return NULL;
}

static void documents_free(struct slot_documents *documents, size_t count)
{
	for (size_t i = 0; i < count; i++)
		slot_documents_done(&documents[i]);
	free(documents);
}

/* Takes the ready ones out of `looked` and fills up with "unavailable" ones. NULL: no memory. */
static struct slot_documents *documents_in_order(struct watched_module *watched, struct slot_documents *looked,
	size_t looked_count, const char *reason)
{
	struct slot_documents *ordered = calloc(watched->documents_count + 1, sizeof *ordered);
	size_t count = 0;
	for (unsigned i = 0; ordered != NULL && i < watched->settings->slots_count; i++) {
		const struct slot_settings *slot = &watched->settings->slots[i];
		if (slot->module != watched->module)
			continue;
		for (size_t j = 0; j < looked_count; j++) {
			if (looked[j].name != NULL && strcmp(looked[j].name, slot->name) == 0) {
				ordered[count] = looked[j];
				looked[j] = (struct slot_documents){NULL, NULL, NULL, NULL};
			}
		}
		if (ordered[count].name == NULL && slot_documents_unavailable(slot, reason, &ordered[count]) != STATUS_OK) {
			documents_free(ordered, count);
			return NULL;
		}
		count++;
	}
	return ordered;
}

/* --- looking at a module; without the mutex --- */

static enum status ask(struct watched_module *watched, bool reinit, struct arena *arena, struct buffer *payload,
	struct worker_response *ret_response)
{
	bool sent;
	struct worker_request request = {
		.route = ROUTE_inventory,
		.identity = "",
		.deadline_ms = (uint64_t)watched->settings->limits.sign_s * 1000,
		.trace = "",
		.query = reinit ? "reinit=1" : "",
	};
	return process_request(watched->process, &request, arena, payload, ret_response, &sent);
}

static enum status start_worker(struct watched_module *watched, char reason[REASON_LEN])
{
	struct registry *registry = watched->inventory->registry;
	struct process_kind kind = {watched->settings, NULL, watched->module, NULL, ""};
	uint64_t rv;
	int64_t deadline_ms = clock_ms() + START_EXTRA_MS;
	enum status status = process_start(registry, &kind, deadline_ms, &watched->process, &rv, reason);
	if (status == STATUS_BUSY)
		snprintf(reason, REASON_LEN, "too many workers are starting");
	return status;
}

static enum status unpack_answer(const struct worker_response *response, struct arena *arena, struct slot_documents **ret_looked,
	size_t *ret_count, char reason[REASON_LEN])
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

static enum status look(struct watched_module *watched, bool reinit, struct slot_documents **ret_looked, size_t *ret_count,
	char reason[REASON_LEN])
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
	snprintf(reason, REASON_LEN, status == STATUS_TIMEOUT ? "the module does not answer" : "the module's worker ended");
	return status;
}

/* --- the thread of a module; with the mutex --- */

static int64_t retry_delay(unsigned failures)
{
	int64_t delay = INVENTORY_RETRY_MS;
	for (unsigned i = 1; i < failures && delay < INVENTORY_RETRY_MAX_MS; i++)
		delay *= 2;
	return delay < INVENTORY_RETRY_MAX_MS ? delay : INVENTORY_RETRY_MAX_MS;
}

static void note_outcome(struct watched_module *watched, bool ready, const char *reason)
{
	if (ready != watched->ready || watched->failures == 0) {
		if (ready)
			log_event(LOG_LEVEL_INFO, "module ready", "module", watched->module->name, NULL);
		else
			log_event(LOG_LEVEL_WARNING, "module unavailable", "module", watched->module->name, "reason", reason, NULL);
	}
	int64_t now = clock_ms();
	watched->ready = ready;
	snprintf(watched->reason, sizeof watched->reason, "%s", reason);
	watched->failures = ready ? 1 : watched->failures + 1;
	watched->due = now + (int64_t)watched->settings->limits.inventory_s * 1000;
	watched->retry_at = ready ? now : now + retry_delay(watched->failures);
}

static void publish(struct watched_module *watched, struct slot_documents *documents)
{
	struct inventory *inventory = watched->inventory;
	bool changed = false;
	for (size_t i = 0; i < watched->documents_count; i++)
		changed |= !slot_documents_equal(&documents[i], &watched->documents[i]);
	if (changed)
		inventory->generation++;
	documents_free(watched->documents, watched->documents_count);
	watched->documents = documents;
}

static void refresh(struct watched_module *watched, bool reinit)
{
	struct inventory *inventory = watched->inventory;
	uint64_t ticket = watched->wanted;
	struct slot_documents *looked = NULL;
	size_t count = 0;
	char reason[REASON_LEN] = "the gateway is out of memory";

	watched->reinit_wanted = false;
	pthread_mutex_unlock(&inventory->mutex);
	enum status status = look(watched, reinit, &looked, &count, reason);
	char detail[REASON_LEN + 64];
	snprintf(detail, sizeof detail, "%s", status == STATUS_OK ? "the module does not show this slot" : reason);
	struct slot_documents *documents = documents_in_order(watched, looked, count, detail);
	documents_free(looked, count);
	pthread_mutex_lock(&inventory->mutex);
	note_outcome(watched, status == STATUS_OK, status == STATUS_OK ? "" : reason);
	/* Without memory for a new answer the last one stands. */
	if (documents != NULL)
		publish(watched, documents);
	watched->served = ticket;
	pthread_cond_broadcast(&inventory->changed);
}

/* What a module's thread does next: look, answer from what is known, or wait until the time given. */
static bool may_look(struct watched_module *watched, int64_t now)
{
	return watched->ready || watched->failures == 0 || watched->reinit_wanted || now >= watched->retry_at;
}

static void *run(void *context)
{
	struct watched_module *watched = context;
	struct inventory *inventory = watched->inventory;
	pthread_mutex_lock(&inventory->mutex);
	while (!watched->stop) {
		int64_t now = clock_ms();
		int64_t due = watched->ready ? watched->due : watched->retry_at;
		bool asked = watched->wanted > watched->served || watched->reinit_wanted;
		if ((now >= due || asked) && may_look(watched, now)) {
			refresh(watched, watched->reinit_wanted || (now >= due && watched->module->rescan_reinit));
		} else if (asked) {
			/* It failed just now: the next try has its time, and the callers are told what is known. */
			watched->served = watched->wanted;
			pthread_cond_broadcast(&inventory->changed);
		} else {
			clock_wait(&inventory->changed, &inventory->mutex, due);
		}
	}
	pthread_mutex_unlock(&inventory->mutex);
	if (watched->process != NULL)
		process_end(watched->process, END_RELOAD);
	process_unref(watched->process);
	return NULL;
}

/* --- following the configuration --- */

static void watched_free(struct watched_module *watched)
{
	documents_free(watched->documents, watched->documents_count);
	settings_unref(watched->settings);
	free(watched);
}

static size_t slots_of(const struct settings *settings, const struct module_settings *module)
{
	size_t count = 0;
	for (unsigned i = 0; i < settings->slots_count; i++)
		count += settings->slots[i].module == module;
	return count;
}

static struct watched_module *watched_new(struct inventory *inventory, struct settings *settings,
	const struct module_settings *module)
{
	struct watched_module *watched = calloc(1, sizeof *watched);
	if (watched == NULL)
		return NULL;
	watched->inventory = inventory;
	watched->settings = settings_ref(settings);
	watched->module = module;
	watched->documents_count = slots_of(settings, module);
	snprintf(watched->reason, sizeof watched->reason, "the module has not been asked yet");
	watched->documents = documents_in_order(watched, NULL, 0, watched->reason);
	if (watched->documents == NULL) {
		watched->documents_count = 0;
		watched_free(watched);
		return NULL;
	}
	return watched;
}

/* Whether a thread serves the new configuration as it is. */
static bool still_right(const struct watched_module *watched, const struct settings *settings)
{
	const struct module_settings *module = settings_module(settings, watched->module->name);
	if (module == NULL || !module_settings_equal(module, watched->module) ||
		slots_of(settings, module) != watched->documents_count)
		return false;
	for (unsigned i = 0; i < settings->slots_count; i++) {
		const struct slot_settings *slot = &settings->slots[i];
		const struct slot_settings *old = settings_slot(watched->settings, slot->name);
		if (slot->module == module && (old == NULL || !slot_settings_equal(slot, old)))
			return false;
	}
	return true;
}

static struct watched_module *find_module(struct inventory *inventory, const char *name)
{
	struct watched_module *watched = inventory->modules;
	while (watched != NULL && strcmp(watched->module->name, name) != 0)
		watched = watched->next;
	return watched;
}

static void dismiss_changed(struct inventory *inventory, const struct settings *settings)
{
	for (struct watched_module **at = &inventory->modules; *at != NULL;) {
		struct watched_module *watched = *at;
		if (settings != NULL && still_right(watched, settings)) {
			at = &watched->next;
			continue;
		}
		*at = watched->next;
		watched->next = inventory->leaving;
		inventory->leaving = watched;
		watched->stop = true;
	}
	pthread_cond_broadcast(&inventory->changed);
}

static enum status watch_new(struct inventory *inventory, struct settings *settings)
{
	for (unsigned i = 0; i < settings->modules_count; i++) {
		const struct module_settings *module = &settings->modules[i];
		if (find_module(inventory, module->name) != NULL)
			continue;
		struct watched_module *watched = watched_new(inventory, settings, module);
		if (watched == NULL)
			return STATUS_NO_MEMORY;
		if (pthread_create(&watched->thread, NULL, run, watched) != 0) {
			watched_free(watched);
			return STATUS_NO_MEMORY;
		}
		watched->next = inventory->modules;
		inventory->modules = watched;
	}
	return STATUS_OK;
}

enum status inventory_follow(struct inventory *inventory, struct settings *settings)
{
	pthread_mutex_lock(&inventory->mutex);
	dismiss_changed(inventory, settings);
	enum status status = watch_new(inventory, settings);
	settings_unref(inventory->settings);
	inventory->settings = settings_ref(settings);
	inventory->generation++;
	pthread_cond_broadcast(&inventory->changed);
	pthread_mutex_unlock(&inventory->mutex);
	return status;
}

enum status inventory_new(struct registry *registry, struct inventory **ret_inventory)
{
	struct inventory *inventory = calloc(1, sizeof *inventory);
	if (inventory == NULL)
		return STATUS_NO_MEMORY;
	inventory->registry = registry;
	pthread_mutex_init(&inventory->mutex, NULL);
	pthread_cond_init(&inventory->changed, NULL);
	*ret_inventory = inventory;
	return STATUS_OK;
}

void inventory_free(struct inventory *inventory)
{
	if (inventory == NULL)
		return;
	pthread_mutex_lock(&inventory->mutex);
	dismiss_changed(inventory, NULL);
	pthread_mutex_unlock(&inventory->mutex);
	while (inventory->leaving != NULL) {
		struct watched_module *watched = inventory->leaving;
		inventory->leaving = watched->next;
		pthread_join(watched->thread, NULL);
		watched_free(watched);
	}
	settings_unref(inventory->settings);
	pthread_cond_destroy(&inventory->changed);
	pthread_mutex_destroy(&inventory->mutex);
	free(inventory);
}

/* --- questions --- */

void inventory_poke(struct inventory *inventory, const char *module)
{
	pthread_mutex_lock(&inventory->mutex);
	struct watched_module *watched = find_module(inventory, module);
	if (watched != NULL)
		watched->reinit_wanted = true;
	pthread_cond_broadcast(&inventory->changed);
	pthread_mutex_unlock(&inventory->mutex);
}

bool inventory_ready(struct inventory *inventory, char *ret_detail, size_t detail_size)
{
	bool ready = true;
	pthread_mutex_lock(&inventory->mutex);
	for (struct watched_module *watched = inventory->modules; watched != NULL && ready; watched = watched->next) {
		ready = watched->ready;
		if (!ready)
			snprintf(ret_detail, detail_size, "module %s: %s", watched->module->name, watched->reason);
	}
	pthread_mutex_unlock(&inventory->mutex);
	return ready;
}

/* Whether a slot of the configuration belongs into the answer. */
struct selection {
	const char *slot;
	bool (*visible)(void *context, const char *slot);
	void *context;
};

static bool selects(const struct selection *selection, const char *slot)
{
	return (selection->slot == NULL || strcmp(selection->slot, slot) == 0) && selection->visible(selection->context, slot);
}

static struct watched_module *module_of(struct inventory *inventory, const struct slot_settings *slot)
{
	return find_module(inventory, slot->module->name);
}

/* Has every module that matters looked at, and waits for it. */
static void look_afresh(struct inventory *inventory, const struct selection *selection)
{
	struct settings *settings = settings_ref(inventory->settings);
	int64_t deadline_ms = clock_ms() + (int64_t)settings->limits.sign_s * 1000;
	for (struct watched_module *watched = inventory->modules; watched != NULL; watched = watched->next)
		for (unsigned i = 0; i < settings->slots_count; i++)
			if (strcmp(settings->slots[i].module->name, watched->module->name) == 0 &&
				selects(selection, settings->slots[i].name)) {
				watched->wanted++;
				break;
			}
	pthread_cond_broadcast(&inventory->changed);
	for (unsigned i = 0; i < settings->slots_count; i++) {
		if (!selects(selection, settings->slots[i].name))
			continue;
		struct watched_module *watched = module_of(inventory, &settings->slots[i]);
		uint64_t ticket = watched == NULL ? 0 : watched->wanted;
		bool in_time = true;
		/* Looked up again after each wait: a reload may have replaced it. */
		while (watched != NULL && watched->served < ticket && in_time) {
			in_time = clock_wait(&inventory->changed, &inventory->mutex, deadline_ms);
			struct watched_module *now = module_of(inventory, &settings->slots[i]);
			watched = now == watched ? watched : NULL;
		}
	}
	settings_unref(settings);
}

static const struct slot_documents *documents_of(struct inventory *inventory, const struct slot_settings *slot)
{
	struct watched_module *watched = module_of(inventory, slot);
	return watched == NULL ? NULL : find_documents(watched, slot->name);
}

static void write_list(struct inventory *inventory, enum inventory_form form, const struct selection *selection,
	struct buffer *out)
{
	struct json_writer w;
	json_writer_init(&w, out);
	json_begin_object(&w);
	if (form == INVENTORY_CALLS) {
		json_name(&w, "generation");
		json_write_uint(&w, inventory->generation);
	}
	json_name(&w, "slots");
	json_begin_array(&w);
	for (unsigned i = 0; i < inventory->settings->slots_count; i++) {
		const struct slot_settings *slot = &inventory->settings->slots[i];
		const struct slot_documents *documents = selects(selection, slot->name) ? documents_of(inventory, slot) : NULL;
		if (documents == NULL)
			continue;
		const char *text = form == INVENTORY_CALLS ? documents->calls : documents->slot;
		json_write_raw(&w, text, strlen(text));
	}
	json_end_array(&w);
	json_end_object(&w);
}

static enum status write_form(struct inventory *inventory, enum inventory_form form, const struct selection *selection,
	struct buffer *out)
{
	if (form == INVENTORY_CALLS || form == INVENTORY_SLOTS) {
		write_list(inventory, form, selection, out);
		return out->failed ? STATUS_NO_MEMORY : STATUS_OK;
	}
	const struct slot_settings *slot = settings_slot(inventory->settings, selection->slot);
	const struct slot_documents *documents = slot == NULL ? NULL : documents_of(inventory, slot);
	if (documents == NULL)
		return STATUS_NOT_FOUND;
	buffer_text(out, form == INVENTORY_SLOT ? documents->slot : documents->mechanisms);
	return out->failed ? STATUS_NO_MEMORY : STATUS_OK;
}

enum status inventory_write(struct inventory *inventory, enum inventory_form form, const char *slot,
	bool (*visible)(void *context, const char *slot), void *context, uint64_t after, unsigned wait_ms, struct buffer *out)
{
	struct selection selection = {slot, visible, context};
	bool one_slot = form == INVENTORY_SLOT || form == INVENTORY_MECHANISMS;
	enum status status;
	pthread_mutex_lock(&inventory->mutex);
	if (one_slot && (slot == NULL || settings_slot(inventory->settings, slot) == NULL || !visible(context, slot))) {
		status = STATUS_NOT_FOUND;
	} else {
		if (wait_ms == 0)
			look_afresh(inventory, &selection);
		int64_t deadline_ms = clock_ms() + wait_ms;
		bool in_time = wait_ms > 0;
		while (in_time && inventory->generation <= after)
			in_time = clock_wait(&inventory->changed, &inventory->mutex, deadline_ms);
		status = write_form(inventory, form, &selection, out);
	}
	pthread_mutex_unlock(&inventory->mutex);
	return status;
}
