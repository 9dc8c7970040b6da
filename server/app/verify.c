#include "server/app/token.h"

#include "api/cryptoki.h"
#include "server/app/process.h"
#include "server/common/log.h"

/*
 * Whether a token takes a PIN, for a worker whose own module is logged in and would not look at it (B20): asked of a worker that
 * is nobody's application, so that its login is a real one.
 */

int64_t verify_start_ms(const struct worker_process *asker)
{
	return (int64_t)asker->settings->limits.token_wait_s * 1000 + START_EXTRA_MS;
}

enum { VERIFY_TRIES = 3 }; /* starts, when reloads call them off */

/*
 * Under the settings in force now: the asker serves them as well as those that it was started with, and others would call the start off.
 * STATUS_NOT_FOUND: they have no such slot any more, and the asker is about to end.
 */
static enum status start(struct worker_process *asker, int64_t deadline_ms, struct worker_process **ret_process)
{
	char reason[REASON_LEN];
	uint64_t rv;
	enum status status = STATUS_CLOSED;
	for (unsigned i = 0; i < VERIFY_TRIES && status == STATUS_CLOSED; i++) {
		struct settings *settings = registry_settings(asker->registry);
		const struct slot_settings *slot = settings_slot(settings, asker->slot->name);
		bool serves = slot != NULL && slot_settings_equal(slot, asker->slot);
		/* Its login is on behalf of who is logged in already. */
		const struct process_kind kind = {.settings = settings,
			.slot = slot,
			.module = serves ? slot->module : NULL,
			.domain = asker->domain,
			.application_hash = "",
			.asker = asker};
		status = serves ? process_start(asker->registry, &kind, deadline_ms, ret_process, &rv, reason)
				: STATUS_NOT_FOUND;
		settings_unref(settings);
	}
	return status;
}

void verify_pin(struct worker_process *asker, const char *identity, const struct pin_verify *question, int64_t until_ms,
	struct pin_verified *ret_answer)
{
	int64_t deadline_ms = clock_ms() + verify_start_ms(asker);
	struct worker_process *process = NULL;

	*ret_answer = (struct pin_verified){.rv = CKR_DEVICE_ERROR};
	deadline_ms = deadline_ms < until_ms ? deadline_ms : until_ms;
	if (asker->slot == NULL || clock_ms() >= until_ms)
		return;
	enum status status = start(asker, deadline_ms, &process);
	if (status != STATUS_OK) {
		log_event(LOG_LEVEL_WARNING, "a PIN could not be verified: no worker could be started for it", "slot",
			asker->slot->name, NULL);
		return;
	}
	status = exchange_verify(process, identity, question, deadline_ms, until_ms, ret_answer);
	process_end(process, END_ONE_REQUEST);
	process_unref(process);
	if (status != STATUS_OK)
		*ret_answer = (struct pin_verified){.rv = CKR_DEVICE_ERROR};
}
