#include "server/app/internal.h"

#include <string.h>

static bool is_of_token(const struct worker_process *process, const void *token)
{
	return process->token == token && process->slot != NULL;
}

void token_void_logins(
	struct registry *registry, const struct token *token, const struct worker_process *except, enum login_end cause)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, is_of_token, token, &count);
	for (size_t i = 0; i < count; i++)
		if (processes[i] != except)
			process_void_login(processes[i], cause);
	processes_unref(processes, count);
}

/* Takes over what was found; true if the token that was there before is not any more. */
static bool has_left(struct token *token, const struct slot_documents *found)
{
	pthread_mutex_lock(&token->mutex);
	bool left = found->presence == TOKEN_ABSENT
			    ? token->presence != TOKEN_ABSENT
			    : token->presence == TOKEN_PRESENT &&
				      memcmp(token->serial, found->serial, sizeof token->serial) != 0;
	token->presence = found->presence;
	memcpy(token->serial, found->serial, sizeof token->serial);
	token->generation += left;
	pthread_mutex_unlock(&token->mutex);
	return left;
}

void token_renewed(struct token *token)
{
	pthread_mutex_lock(&token->mutex);
	token->presence = TOKEN_UNKNOWN;
	pthread_mutex_unlock(&token->mutex);
}

void token_seen(struct registry *registry, const struct slot_documents *documents)
{
	struct token *token;
	/* What could not be asked has not left: which token it is will show when it can be asked again. */
	if (documents->presence == TOKEN_UNKNOWN || registry_token(registry, documents->name, &token) != STATUS_OK)
		return;
	if (has_left(token, documents))
		token_void_logins(registry, token, NULL, LOGIN_END_TOKEN_CHANGED);
}
