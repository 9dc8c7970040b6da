#include "server/app/process.h"

#include <inttypes.h>
#include <stdio.h>

#include "server/app/token.h"

static const char *const cause_labels[END_COUNT] = {
#define CAUSE(constant, label, news, reason) label,
	END_CAUSES(CAUSE)
#undef CAUSE
};

static const char *const outcome_labels[OUTCOME_COUNT] = {
	[STATUS_OK] = "ok",
	[STATUS_NO_MEMORY] = "no_memory",
	[STATUS_IO] = "io",
	[STATUS_CLOSED] = "worker_died",
	[STATUS_TIMEOUT] = "timeout",
	[STATUS_MALFORMED] = "malformed",
	[STATUS_TOO_LARGE] = "too_large",
	[STATUS_NOT_FOUND] = "not_found",
	[STATUS_REFUSED] = "refused",
	[STATUS_BUSY] = "busy",
	[STATUS_UNAVAILABLE] = "unavailable",
};

static void head(struct buffer *out, const char *name, const char *type, const char *help)
{
	char line[256];
	snprintf(line, sizeof line, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	buffer_text(out, line);
}

/* One sample with up to two labels, whose values are names of the configuration (NAME: no escaping needed) or ours. */
static void sample(struct buffer *out, const char *name, const char *labels, uint64_t value)
{
	char number[32];
	buffer_text(out, name);
	buffer_text(out, labels);
	snprintf(number, sizeof number, " %" PRIu64 "\n", value);
	buffer_text(out, number);
}

static void family(struct buffer *out, const char *name, const char *help, const char *label,
	const char *const values[], _Atomic uint64_t counters[], size_t count)
{
	head(out, name, "counter", help);
	for (size_t i = 0; i < count; i++) {
		char labels[128];
		snprintf(labels, sizeof labels, "{%s=\"%s\"}", label, values[i]);
		sample(out, name, labels, atomic_load(&counters[i]));
	}
}

static void write_calls(struct buffer *out, struct slot_record *record)
{
	for (unsigned i = 0; i <= CALL_COUNT; i++) {
		uint64_t value = atomic_load(&record->calls[i]);
		if (value == 0)
			continue;
		char labels[LIMIT_LABEL + 128];
		snprintf(labels, sizeof labels, "{slot=\"%s\",function=\"%s%s\"}", record->name,
			i < CALL_COUNT ? "C_" : "", i < CALL_COUNT ? call_row((enum call_id)i)->name : "other");
		sample(out, "p11gate_calls_total", labels, value);
	}
}

static bool is_live_for(const struct worker_process *process, const void *context)
{
	struct worker_process *self = (struct worker_process *)(uintptr_t)process;
	return process->record == context && process_is_live(self);
}

static void write_live(struct registry *registry, struct buffer *out, struct slot_record *record)
{
	size_t count = registry_count(registry, is_live_for, record);
	char labels[LIMIT_LABEL + 32];
	snprintf(labels, sizeof labels, "{slot=\"%s\"}", record->name);
	sample(out, "p11gate_workers_live", labels, count);
}

void registry_metrics(
	struct registry *registry, bool (*visible)(void *context, const char *slot), void *context, struct buffer *out)
{
	struct metrics *metrics = &registry->metrics;
	/* Slots are only ever added, at the front: what is behind this pointer stays as it is. */
	pthread_mutex_lock(&registry->mutex);
	struct slot_record *slots = registry->slots;
	pthread_mutex_unlock(&registry->mutex);

	head(out, "p11gate_calls_total", "counter", "Cryptoki functions that modules executed");
	for (struct slot_record *record = slots; record != NULL; record = record->next)
		if (visible(context, record->name))
			write_calls(out, record);
	head(out, "p11gate_workers_live", "gauge", "Applications that have a worker");
	for (struct slot_record *record = slots; record != NULL; record = record->next)
		if (visible(context, record->name))
			write_live(registry, out, record);
	family(out, "p11gate_requests_total", "Requests for workers, by outcome", "outcome", outcome_labels,
		metrics->requests, OUTCOME_COUNT);
	family(out, "p11gate_workers_ended_total", "Workers that ended, by cause", "cause", cause_labels,
		metrics->workers_ended, END_COUNT);
	head(out, "p11gate_workers_started_total", "counter", "Workers that were started");
	sample(out, "p11gate_workers_started_total", "", atomic_load(&metrics->workers_started));
	head(out, "p11gate_workers_killed_total", "counter", "Workers that did not end when told to");
	sample(out, "p11gate_workers_killed_total", "", atomic_load(&metrics->workers_killed));
	head(out, "p11gate_token_waits_timed_out_total", "counter", "Waits for a token that ended without it");
	sample(out, "p11gate_token_waits_timed_out_total", "", atomic_load(&metrics->token_waits_timed_out));
}
