#include "tests/support/test_worker/test_worker.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What tells tokens apart: the label that the slot is configured for, and what the module shows. */
static void write_serial(const struct worker_slot *slot, const char *label, unsigned char out[16])
{
	char text[64];
	snprintf(text, sizeof text, "%.4s %.40s", slot->match_label, label);
	memcpy(out, text, strnlen(text, 16));
}

static void pack_slot(struct job *job, const struct worker_slot *slot, const char *label, struct bytes *ret_item)
{
	char calls[1024], detail[1024];
	BUFFER_AUTO struct buffer packed;
	snprintf(calls, sizeof calls, "{\"name\":\"%s\",\"label\":\"%s\"}", slot->name, label);
	/* Counters change the document, so they are shown on demand only. */
	bool counts = strncmp(label, "count", 5) == 0;
	snprintf(detail, sizeof detail, "{\"mechanisms\":[],\"queries\":%u,\"reinits\":%u}", counts ? self.queries : 0,
		counts ? self.reinits : 0);
	struct inventory_slot message = {slot->name, calls, label[0] == '?' ? "{" : calls, detail,
		strcmp(label, "absent") == 0 ? TOKEN_ABSENT : TOKEN_PRESENT, {0}};
	write_serial(slot, label, message.serial);
	buffer_init(&packed, FRAME_PAYLOAD_MAX);
	inventory_slot_pack(&packed, &message);
	ret_item->data = arena_copy(job->arena, packed.data, packed.len);
	ret_item->len = packed.len;
}

static bool read_label(char label[64])
{
	FILE *file = fopen(self.start.module_path, "r");
	if (file == NULL)
		return false;
	if (fgets(label, 64, file) == NULL)
		label[0] = '\0';
	fclose(file);
	return true;
}

void find_token(struct arena *arena)
{
	char label[64];
	struct worker_slot slot;
	if (!read_label(label))
		return;
	must(worker_slot_unpack(self.start.slots.items[0].data, self.start.slots.items[0].len, arena, &slot) ==
		STATUS_OK);
	write_serial(&slot, label, self.token_serial);
}

void answer_inventory(struct job *job)
{
	char label[64];
	struct bytes *items = arena_array(job->arena, self.start.slots.count, sizeof *items);
	if (!read_label(label)) {
		job->status = 503;
		return;
	}
	if (strcmp(label, "hang") == 0)
		for (;;)
			pause();
	if (strcmp(label, "count slowly") == 0)
		usleep(10000);
	self.queries++;
	self.reinits += strcmp(job->request->query, "reinit=1") == 0;
	for (size_t i = 0; i < self.start.slots.count; i++) {
		struct worker_slot slot;
		must(worker_slot_unpack(self.start.slots.items[i].data, self.start.slots.items[i].len, job->arena,
			     &slot) == STATUS_OK);
		pack_slot(job, &slot, label, &items[i]);
	}
	struct inventory_answer answer = {{items, self.start.slots.count}};
	inventory_answer_pack(&job->body, &answer);
}
