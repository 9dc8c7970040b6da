#include "server/app/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/app/process.h"
#include "server/app/token.h"
#include "server/common/log.h"

/* Takes the ready ones out of `looked` and fills up with "unavailable" ones. NULL: no memory. */
static struct slot_documents *documents_in_order(
	struct watched_module *watched, struct slot_documents *looked, size_t looked_count, const char *reason)
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
				looked[j] = (struct slot_documents){.name = NULL};
			}
		}
		if (ordered[count].name == NULL &&
			slot_documents_unavailable(slot, reason, &ordered[count]) != STATUS_OK) {
			documents_free(ordered, count);
			return NULL;
		}
		count++;
	}
	return ordered;
}

/* --- the thread of a module; the mutex is held unless said otherwise --- */

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
			log_event(LOG_LEVEL_WARNING, "module unavailable", "module", watched->module->name, "reason",
				reason, NULL);
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
	enum status status = inventory_look(watched, reinit, &looked, &count, reason);
	char detail[REASON_LEN + 64];
	snprintf(detail, sizeof detail, "%s", status == STATUS_OK ? "the module does not show this slot" : reason);
	struct slot_documents *documents = documents_in_order(watched, looked, count, detail);
	documents_free(looked, count);
	/* Before anybody reads of it. */
	for (size_t i = 0; documents != NULL && i < watched->documents_count; i++)
		slot_seen(inventory->registry, watched->settings, &documents[i]);
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

static struct watched_module *watched_new(
	struct inventory *inventory, struct settings *settings, const struct module_settings *module)
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

struct watched_module *inventory_module(struct inventory *inventory, const char *name)
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
		if (inventory_module(inventory, module->name) != NULL)
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

void inventory_poke(struct inventory *inventory, const char *module)
{
	pthread_mutex_lock(&inventory->mutex);
	struct watched_module *watched = inventory_module(inventory, module);
	if (watched != NULL)
		watched->reinit_wanted = true;
	pthread_cond_broadcast(&inventory->changed);
	pthread_mutex_unlock(&inventory->mutex);
}
