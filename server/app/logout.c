#include "server/app/internal.h"

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

void logout_told(struct worker_process *process, uint32_t login, uint32_t cause)
{
	if (login != LOGIN_NONE && login <= LOGIN_SO && cause < LOGIN_END_COUNT && login_end_reasons[cause] != NULL)
		report(process, (enum login_state)login, login_end_reasons[cause]);
}

/* The login, which is over by that: whoever takes it reports it. */
static enum login_state take_login(struct worker_process *process, bool gone_only, enum end_cause *ret_cause)
{
	enum login_state login = LOGIN_NONE;
	pthread_mutex_lock(&process->mutex);
	if (!gone_only || (process->state == PROCESS_DEAD && process->free_count == process->threads)) {
		login = process->login;
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
		enum login_state login = take_login(processes[i], false, &cause);
		if (login != LOGIN_NONE)
			report(processes[i], login, end_reasons[cause]);
	}
	processes_unref(processes, count);
}
