#include "server/app/process.h"

#include <stdlib.h>
#include <string.h>

#include "server/common/log.h"

/* An application that is held open (C8). Its reference keeps the application in the table without a worker. */
struct hold {
	struct hold *next;
	struct application *application; /* a reference; its `held` is true */
	struct principal holder;
	int64_t until;
};

static void hold_free(struct hold *hold, struct registry *registry)
{
	application_unref(registry, hold->application);
	principal_done(&hold->holder);
	free(hold);
}

static void holds_free(struct hold *hold, struct registry *registry)
{
	for (struct hold *next; hold != NULL; hold = next) {
		next = hold->next;
		hold_free(hold, registry);
	}
}

static struct hold *hold_new(struct registry *registry, const struct application_key *key, const char *identity,
	struct bytes certificate, int64_t until)
{
	struct hold *hold = calloc(1, sizeof *hold);
	if (hold == NULL)
		return NULL;
	hold->until = until;
	hold->application = application_ref(registry, key);
	if (hold->application != NULL && principal_init(&hold->holder, identity, certificate) == STATUS_OK)
		return hold;
	if (hold->application != NULL)
		application_unref(registry, hold->application);
	free(hold);
	return NULL;
}

/* Registry's mutex held. */
static unsigned held_by(const struct registry *registry, const char *identity)
{
	unsigned count = 0;
	for (const struct hold *hold = registry->holds; hold != NULL; hold = hold->next)
		count += strcmp(hold->holder.identity, identity) == 0;
	return count;
}

enum status registry_application_hold(
	struct registry *registry, const struct application_key *key, const char *identity, struct bytes certificate)
{
	struct settings *settings = registry_settings(registry);
	int64_t until = clock_ms() + (int64_t)settings->limits.hold_s * 1000;
	unsigned most = settings->limits.holds_per_identity;
	bool known = settings_slot(settings, key->slot) != NULL;
	settings_unref(settings);
	if (!known)
		return STATUS_NOT_FOUND;
	struct hold *hold = hold_new(registry, key, identity, certificate, until);
	if (hold == NULL)
		return STATUS_NO_MEMORY;
	enum status status = STATUS_OK;
	pthread_mutex_lock(&registry->mutex);
	if (atomic_load(&hold->application->held))
		status = STATUS_REFUSED;
	else if (held_by(registry, identity) >= most)
		status = STATUS_BUSY;
	if (status == STATUS_OK) {
		atomic_store(&hold->application->held, true);
		hold->next = registry->holds;
		registry->holds = hold;
	}
	pthread_mutex_unlock(&registry->mutex);
	if (status != STATUS_OK)
		hold_free(hold, registry);
	keeper_poke(registry);
	return status;
}

/* Takes the holds out of the list that `wanted` accepts. */
static struct hold *take(
	struct registry *registry, bool (*wanted)(const struct hold *hold, const void *context), const void *context)
{
	struct hold *taken = NULL;
	pthread_mutex_lock(&registry->mutex);
	for (struct hold **at = &registry->holds; *at != NULL;) {
		struct hold *hold = *at;
		if (!wanted(hold, context)) {
			at = &hold->next;
			continue;
		}
		*at = hold->next;
		hold->next = taken;
		taken = hold;
		atomic_store(&hold->application->held, false);
	}
	pthread_mutex_unlock(&registry->mutex);
	return taken;
}

static bool is_of_application(const struct hold *hold, const void *application)
{
	return hold->application == application;
}

/* The application's worker with a reference, or NULL. */
static struct worker_process *worker_of(struct application *application)
{
	pthread_mutex_lock(&application->mutex);
	struct worker_process *process = application->process == NULL ? NULL : process_ref(application->process);
	pthread_mutex_unlock(&application->mutex);
	return process;
}

static struct application_view view_of(struct application *application)
{
	struct application_view view = {.held = atomic_load(&application->held)};
	struct worker_process *process = worker_of(application);
	if (process == NULL)
		return view;
	pthread_mutex_lock(&process->mutex);
	if (process->state == PROCESS_LIVE) {
		view.sessions = process->sessions;
		view.login = process->login;
		if (view.login != LOGIN_NONE)
			view.login_since = time(NULL) - (time_t)((clock_ms() - process->login_since) / 1000);
	}
	pthread_mutex_unlock(&process->mutex);
	process_unref(process);
	return view;
}

const char *application_view_state(const struct application_view *view)
{
	return view->held ? "held" : view->sessions > 0 || view->login != LOGIN_NONE ? "active" : "dormant";
}

struct application_view registry_application_show(struct registry *registry, const struct application_key *key)
{
	struct application_view view = {.held = false};
	struct application *application = application_known(registry, key);
	if (application == NULL)
		return view;
	view = view_of(application);
	application_unref(registry, application);
	return view;
}

enum status registry_application_close(struct registry *registry, const struct application_key *key)
{
	struct application *application = application_known(registry, key);
	if (application == NULL)
		return STATUS_NOT_FOUND;
	struct application_view view = view_of(application);
	bool lives = view.sessions > 0 || view.login != LOGIN_NONE;
	struct hold *hold = take(registry, is_of_application, application);
	bool found = hold != NULL || lives;
	holds_free(hold, registry);
	struct worker_process *process = found ? worker_of(application) : NULL;
	if (process != NULL)
		process_end(process, END_CLOSED);
	process_unref(process);
	application_unref(registry, application);
	return found ? STATUS_OK : STATUS_NOT_FOUND;
}

/* --- ends --- */

/* What a hold alone kept alive falls dormant. What else does, sessions and logins over REST (C15), the worker knows. */
static void end_of_holds(struct registry *registry, struct hold *ended)
{
	const struct buffer nothing = {.data = NULL};
	for (struct hold *hold = ended; hold != NULL; hold = hold->next) {
		struct worker_process *process = worker_of(hold->application);
		if (process != NULL)
			process_command(process, FRAME_HOLD_ENDED, &nothing);
		process_unref(process);
		log_event(LOG_LEVEL_INFO, "hold ended", "identity", hold->holder.identity, "slot",
			hold->application->slot, NULL);
	}
	holds_free(ended, registry);
}

static bool is_due(const struct hold *hold, const void *now)
{
	return hold->until <= *(const int64_t *)now;
}

int64_t holds_expire(struct registry *registry)
{
	int64_t now = clock_ms(), next = INT64_MAX;
	end_of_holds(registry, take(registry, is_due, &now));
	pthread_mutex_lock(&registry->mutex);
	for (const struct hold *hold = registry->holds; hold != NULL; hold = hold->next)
		next = hold->until < next ? hold->until : next;
	pthread_mutex_unlock(&registry->mutex);
	return next;
}

/* The holds there are, to be judged when no lock is held. NULL: none, or no memory. */
static struct hold *holds_copy(struct registry *registry)
{
	struct hold *copies = NULL;
	pthread_mutex_lock(&registry->mutex);
	for (const struct hold *hold = registry->holds; hold != NULL; hold = hold->next) {
		struct hold *copy = calloc(1, sizeof *copy);
		const struct buffer *certificate = &hold->holder.certificate;
		if (copy == NULL || principal_init(&copy->holder, hold->holder.identity,
					    (struct bytes){certificate->data, certificate->len}) != STATUS_OK) {
			free(copy);
			break;
		}
		hold->application->refs++;
		copy->application = hold->application;
		copy->next = copies;
		copies = copy;
	}
	pthread_mutex_unlock(&registry->mutex);
	return copies;
}

static bool is_of_holder(const struct hold *hold, const void *context)
{
	const struct hold *copy = context;
	return hold->application == copy->application && strcmp(hold->holder.identity, copy->holder.identity) == 0;
}

void holds_follow(struct registry *registry, const struct settings *settings, registry_judge *judge, void *context)
{
	struct hold *copies = holds_copy(registry);
	for (const struct hold *copy = copies; copy != NULL; copy = copy->next)
		if (settings_slot(settings, copy->application->slot) == NULL ||
			!principal_entitled(&copy->holder, settings, copy->application, judge, context))
			end_of_holds(registry, take(registry, is_of_holder, copy));
	holds_free(copies, registry);
}

void holds_release(struct registry *registry)
{
	holds_free(registry->holds, registry);
	registry->holds = NULL;
}

/* --- listing --- */

void registry_applications(struct registry *registry,
	void (*each)(void *context, const struct application_summary *summary), void *context)
{
	size_t count = 0;
	struct application **found = applications_all(registry, &count);
	for (size_t i = 0; i < count; i++) {
		struct application *application = found[i];
		struct application_key key = {.domain = application->domain, .slot = application->slot};
		struct application_summary summary = {
			.domain = application->domain, .slot = application->slot, .view = view_of(application)};
		memcpy(key.id, application->id, sizeof key.id);
		registry_application_hash(registry, &key, summary.hash);
		each(context, &summary);
		application_unref(registry, application);
	}
	free(found);
}
