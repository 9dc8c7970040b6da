#include "server/app/inventory.h"

#include <stdio.h>
#include <string.h>

#include "api/json.h"

static struct slot_documents *find_documents(struct watched_module *watched, const char *slot)
{
	for (size_t i = 0; i < watched->documents_count; i++)
		if (strcmp(watched->documents[i].name, slot) == 0)
			return &watched->documents[i];
	return NULL;
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
	return (selection->slot == NULL || strcmp(selection->slot, slot) == 0) &&
	       selection->visible(selection->context, slot);
}

static struct watched_module *module_of(struct inventory *inventory, const struct slot_settings *slot)
{
	return inventory_module(inventory, slot->module->name);
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

static void write_list(
	struct inventory *inventory, enum inventory_form form, const struct selection *selection, struct buffer *out)
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
		const struct slot_documents *documents = selects(selection, slot->name) ? documents_of(inventory, slot)
											: NULL;
		if (documents == NULL)
			continue;
		const char *text = form == INVENTORY_CALLS ? documents->calls : documents->slot;
		json_write_raw(&w, text, strlen(text));
	}
	json_end_array(&w);
	json_end_object(&w);
}

static enum status write_form(
	struct inventory *inventory, enum inventory_form form, const struct selection *selection, struct buffer *out)
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
	bool (*visible)(void *context, const char *slot), void *context, uint64_t after, unsigned wait_ms,
	struct buffer *out)
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
