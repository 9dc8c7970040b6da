#include "server/app/token.h"

#include "server/app/process.h"

/* Requirement X2: the logins on a token end, so that the security officer can log in. */

enum status registry_quiesce(struct registry *registry, const char *slot, unsigned seconds)
{
	enum { OPEN_MS = 60000 }; /* for the security officer, when the others are out */
	struct token *token;
	struct settings *settings = registry_settings(registry);
	const struct slot_settings *about = settings_slot(settings, slot);
	enum status status = about == NULL ? STATUS_NOT_FOUND : registry_token(registry, about, &token);
	settings_unref(settings);
	if (status != STATUS_OK)
		return status;
	pthread_mutex_lock(&token->mutex);
	token->quiesce_begun = clock_ms();
	token->quiesce_due = token->quiesce_begun + (int64_t)seconds * 1000;
	token->quiesce_until = token->quiesce_due + OPEN_MS;
	pthread_mutex_unlock(&token->mutex);
	keeper_poke(registry);
	return STATUS_OK;
}

void quiesce_follow(struct token *from, struct token *token)
{
	pthread_mutex_lock(&from->mutex);
	int64_t begun = from->quiesce_begun, due = from->quiesce_due, until = from->quiesce_until;
	from->quiesce_begun = from->quiesce_due = from->quiesce_until = 0;
	pthread_mutex_unlock(&from->mutex);
	pthread_mutex_lock(&token->mutex);
	if (until > clock_ms() && begun > token->quiesce_begun) {
		token->quiesce_begun = begun;
		/* Whatever it has ended, it has not ended logins on this one. */
		token->quiesce_due = due == 0 ? clock_ms() : due;
		token->quiesce_until = until;
	}
	pthread_mutex_unlock(&token->mutex);
}

static bool is_of_token(const struct worker_process *process, const void *token)
{
	return process->token == token;
}

/* Whether somebody is logged in whose login the token was granted for before `begun`. */
static bool is_in_since(struct worker_process *process, int64_t begun)
{
	pthread_mutex_lock(&process->mutex);
	bool in = process->login != LOGIN_NONE && process->login_granted <= begun;
	pthread_mutex_unlock(&process->mutex);
	return in;
}

void quiesce_late_login(struct worker_process *process)
{
	struct token *token = process->token;
	if (token == NULL)
		return;
	pthread_mutex_lock(&token->mutex);
	int64_t begun = token->quiesce_begun;
	bool over = begun != 0 && token->quiesce_due == 0;
	pthread_mutex_unlock(&token->mutex);
	/* Before it is over, tokens_quiesce will see the login. */
	if (over && is_in_since(process, begun))
		process_end(process, END_QUIESCED);
}

static void end_logins(struct registry *registry, struct token *token, int64_t begun)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, is_of_token, token, &count);
	for (size_t i = 0; i < count; i++)
		if (is_in_since(processes[i], begun))
			process_end(processes[i], END_QUIESCED);
	processes_unref(processes, count);
}

int64_t tokens_quiesce(struct registry *registry)
{
	int64_t next = INT64_MAX;
	pthread_mutex_lock(&registry->mutex);
	struct token *token = registry->tokens;
	pthread_mutex_unlock(&registry->mutex);
	for (; token != NULL; token = token->next) {
		pthread_mutex_lock(&token->mutex);
		int64_t due = token->quiesce_due, begun = token->quiesce_begun;
		bool now = due != 0 && due <= clock_ms();
		if (now)
			token->quiesce_due = 0;
		pthread_mutex_unlock(&token->mutex);
		if (now)
			end_logins(registry, token, begun);
		else if (due != 0 && due < next)
			next = due;
	}
	return next;
}
