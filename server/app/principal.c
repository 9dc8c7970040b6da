#include "server/app/process.h"

#include <stdlib.h>
#include <string.h>

enum { CERTIFICATE_MAX = 64 << 10 }; /* bytes of a client's certificates */

enum status principal_init(struct principal *principal, const char *identity, struct bytes certificate)
{
	*principal = (struct principal){.identity = strdup(identity)};
	buffer_init(&principal->certificate, CERTIFICATE_MAX);
	if (principal->identity == NULL)
		return STATUS_NO_MEMORY;
	buffer_append(&principal->certificate, certificate.data, certificate.len);
	if (principal->certificate.failed)
		buffer_reset(&principal->certificate);
	return STATUS_OK;
}

void principal_done(struct principal *principal)
{
	free(principal->identity);
	principal->identity = NULL;
	buffer_done(&principal->certificate);
}

bool principal_entitled(const struct principal *principal, const struct settings *settings,
	const struct application *application, registry_judge *judge, void *context)
{
	const struct bytes certificate = {principal->certificate.data, principal->certificate.len};
	return settings_reaches(settings, principal->identity, application, PERMISSIONS_LOGIN) &&
	       (judge == NULL || judge(context, principal->identity, certificate));
}

void login_claim(struct worker_process *process, const char *identity, const struct registry_client *client)
{
	struct principal owner;
	BUFFER_AUTO struct buffer certificate;
	buffer_init(&certificate, CERTIFICATE_MAX);
	client->certificate(client->context, &certificate);
	enum status status = principal_init(&owner, identity, (struct bytes){certificate.data, certificate.len});
	pthread_mutex_lock(&process->mutex);
	struct principal before = process->owner;
	process->owner = owner;
	pthread_mutex_unlock(&process->mutex);
	principal_done(&before);
	/* A reload looks at the owners that it finds; this one it may have come too early for. A login of nobody could not be revoked. */
	if (status != STATUS_OK || !client->entitled(client->context))
		process_void_login(process, LOGIN_END_REVOKED);
}

/* A copy of the owner, since no lock may be held while it is judged. STATUS_NOT_FOUND: nobody is logged in. */
static enum status owner_of(struct worker_process *process, struct principal *ret_owner)
{
	pthread_mutex_lock(&process->mutex);
	const struct principal *owner = &process->owner;
	enum status status = STATUS_NOT_FOUND;
	if (owner->identity != NULL && process->login != LOGIN_NONE)
		status = principal_init(
			ret_owner, owner->identity, (struct bytes){owner->certificate.data, owner->certificate.len});
	pthread_mutex_unlock(&process->mutex);
	return status;
}

void logins_follow(struct registry *registry, const struct settings *settings, registry_judge *judge, void *context)
{
	size_t count = 0;
	struct worker_process **processes = registry_processes(registry, NULL, NULL, &count);
	for (size_t i = 0; i < count; i++) {
		struct principal owner = {.identity = NULL};
		if (processes[i]->application == NULL)
			continue;
		enum status status = owner_of(processes[i], &owner);
		if (status == STATUS_NOT_FOUND)
			continue;
		/* Without memory to judge it, it ends. */
		if (status != STATUS_OK ||
			!principal_entitled(&owner, settings, processes[i]->application, judge, context))
			process_void_login(processes[i], LOGIN_END_REVOKED);
		principal_done(&owner);
	}
	processes_unref(processes, count);
}

void registry_revoke(struct registry *registry, registry_judge *judge, void *context)
{
	struct settings *settings = registry_settings(registry);
	logins_follow(registry, settings, judge, context);
	holds_follow(registry, settings, judge, context);
	settings_unref(settings);
}
