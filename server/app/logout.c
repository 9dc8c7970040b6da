#include "server/app/process.h"

#include <string.h>

#include "api/cryptoki.h"

static const char *const end_reasons[] = {
#define CAUSE(constant, label, news, reason) reason,
	END_CAUSES(CAUSE)
#undef CAUSE
};

static const char *const login_end_reasons[LOGIN_END_COUNT] = {
#define END(constant, handles, reason) reason,
	LOGIN_ENDS(END)
#undef END
};

static void report(struct worker_process *process, enum login_state login, const char *reason)
{
	struct registry *registry = process->registry;
	const struct registry_logout logout = {
		.identity = process->domain == NULL ? "" : process->domain,
		.slot = process->slot == NULL ? "" : process->slot->name,
		.application = process->application_hash,
		.user = login_state_user(login),
		.reason = reason,
	};
	pthread_mutex_lock(&registry->mutex);
	registry_logout_report *function = registry->report;
	void *context = registry->report_context;
	pthread_mutex_unlock(&registry->mutex);
	if (function != NULL)
		function(context, &logout);
}

void logout_foresee(struct worker_process *process, const struct token_acquire *question, struct process_use *use)
{
	if (use->login || question->purpose != TOKEN_FOR_LOGIN || question->user_type == CKU_CONTEXT_SPECIFIC)
		return;
	use->login = true;
	pthread_mutex_lock(&process->mutex);
	process->uses_login++;
	process->logins_begun++;
	pthread_mutex_unlock(&process->mutex);
}

bool logout_told(struct worker_process *process, uint32_t login, uint32_t cause)
{
	if (login == LOGIN_NONE)
		return true;
	if (login > LOGIN_SO || cause >= LOGIN_END_COUNT || login_end_reasons[cause] == NULL)
		return false;
	const struct login_ended ended = {(enum login_state)login, login_end_reasons[cause]};
	pthread_mutex_lock(&process->mutex);
	bool believed = process->logins_ended < process->logins_begun;
	bool waits = believed && process->uses_login > 0 && process->ended_count < ENDS_WAITING;
	process->logins_ended += believed;
	if (waits)
		process->ended[process->ended_count++] = ended;
	pthread_mutex_unlock(&process->mutex);
	if (believed && !waits)
		report(process, ended.login, ended.reason);
	return believed;
}

void logout_settle(struct worker_process *process, bool abandoned)
{
	struct login_ended ended[ENDS_WAITING];
	unsigned count = 0;
	pthread_mutex_lock(&process->mutex);
	if (abandoned || process->uses_login == 0) {
		count = process->ended_count;
		memcpy(ended, process->ended, count * sizeof *ended);
		process->ended_count = 0;
	}
	pthread_mutex_unlock(&process->mutex);
	for (unsigned i = 0; i < count; i++)
		report(process, ended[i].login, ended[i].reason);
}

/* The login, which is over by that: whoever takes it reports it. */
static enum login_state take_login(struct worker_process *process, bool gone_only, enum end_cause *ret_cause)
{
	enum login_state login = LOGIN_NONE;
	pthread_mutex_lock(&process->mutex);
	if (!gone_only || (process->state == PROCESS_DEAD && process->uses == 0)) {
		/* A PIN that is verified for another worker is no login of an application. */
		login = process->asker == NULL ? process->login : LOGIN_NONE;
		process->login = LOGIN_NONE;
	}
	if (process->state >= PROCESS_ENDING)
		*ret_cause = process->cause;
	pthread_mutex_unlock(&process->mutex);
	return login;
}

void logout_with_process(struct worker_process *process)
{
	enum end_cause cause = END_DIED;
	enum login_state login = take_login(process, true, &cause);
	if (login != LOGIN_NONE)
		report(process, login, end_reasons[cause]);
}

void registry_report_logouts(struct registry *registry, registry_logout_report *function, void *context)
{
	pthread_mutex_lock(&registry->mutex);
	registry->report = function;
	registry->report_context = context;
	pthread_mutex_unlock(&registry->mutex);
}

void registry_abandon_logins(struct registry *registry)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		enum end_cause cause = END_SHUTDOWN;
		logout_settle(processes[i], true);
		enum login_state login = take_login(processes[i], false, &cause);
		if (login != LOGIN_NONE)
			report(processes[i], login, end_reasons[cause]);
	}
	processes_unref(processes, count);
}
