#include "server/app/internal.h"

#include "api/cryptoki.h"
#include "server/common/log.h"

/*
 * Whether a token takes a PIN, for a worker whose own module is logged in and would not look at it (B20): asked of a worker that
 * is nobody's application, so that its login is a real one.
 */

int64_t verify_start_ms(const struct worker_process *asker)
{
	return (int64_t)asker->settings->limits.token_wait_s * 1000 + START_EXTRA_MS;
}

void verify_pin(struct worker_process *asker, const char *identity, const struct pin_verify *question, int64_t until_ms,
	struct pin_verified *ret_answer)
{
	/* Its login is on behalf of who is logged in already. */
	const struct process_kind kind = {.settings = asker->settings,
		.slot = asker->slot,
		.module = asker->module,
		.domain = asker->domain,
		.application_hash = "",
		.asker = asker};
	int64_t deadline_ms = clock_ms() + verify_start_ms(asker);
	struct worker_process *process = NULL;
	char reason[REASON_LEN];
	uint64_t rv;

	*ret_answer = (struct pin_verified){.rv = CKR_DEVICE_ERROR};
	deadline_ms = deadline_ms < until_ms ? deadline_ms : until_ms;
	if (asker->slot == NULL || clock_ms() >= until_ms)
		return;
	enum status status = process_start(asker->registry, &kind, deadline_ms, &process, &rv, reason);
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
