/*
 * The routes about applications: shown, held, closed; sessions of REST; quiesce. None starts a worker, except to open a session.
 */
#include "server/http/internal.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "api/hex.h"
#include "api/json.h"
#include "api/login_wishes.h"
#include "server/common/clock.h"

enum {
	SLOT_DOCUMENT_MAX = 256 << 10, /* bytes of what the inventory says about one slot */
};

static struct registry *registry_of(const struct request *request)
{
	return request->connection->listener->registry;
}

/* --- rules --- */

bool application_admitted(struct request *request)
{
	static const unsigned char zero[APPLICATION_ID_LEN / 2];
	const struct config *config = request->generation->config;
	struct config_login login;
	if (memcmp(request->application.id + sizeof zero, zero, sizeof zero) != 0 || config->logins_count == 0)
		return true;
	config_login(config, request->peer->identity, request->slot, &login);
	return !login.random_app_ids;
}

/* --- show, hold, close --- */

static void answer_application(struct request *request, unsigned status)
{
	struct application_view view = registry_application_show(registry_of(request), &request->application);
	char hash[33], since[CLOCK_TEXT_SIZE];
	struct json_writer w;
	registry_application_hash(registry_of(request), &request->application, hash);
	json_writer_init(&w, &request->connection->payload);
	json_begin_object(&w);
	json_name(&w, "application");
	json_write_string(&w, hash);
	json_name(&w, "state");
	json_write_string(&w, application_view_state(&view));
	json_name(&w, "login");
	json_write_string(&w, login_state_name(view.login));
	if (view.login != LOGIN_NONE) {
		clock_text(view.login_since, since);
		json_name(&w, "login_since");
		json_write_string(&w, since);
	}
	json_name(&w, "sessions");
	json_write_uint(&w, view.sessions);
	json_end_object(&w);
	answer_document(request, status);
}

/* Whether there is a token in the slot; if not, the answer says so (C10). */
static bool token_is_present(struct request *request)
{
	/* A quotation mark within a text would be escaped: this can only be the member itself. */
	static const char present[] = "\"state\":\"present\"";
	struct buffer document BUFFER_AUTO;
	buffer_init(&document, SLOT_DOCUMENT_MAX);
	enum status status = registry_inventory(
		registry_of(request), INVENTORY_SLOT, request->slot, request_slot_visible, request, 0, 0, &document);
	if (status != STATUS_OK || document.failed) {
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
		return false;
	}
	if (memmem(document.data, document.len, present, sizeof present - 1) != NULL)
		return true;
	answer_return(request, CKR_TOKEN_NOT_PRESENT);
	return false;
}

static void hold(struct request *request)
{
	if (!record_possible(request)) {
		answer_problem(request, PROBLEM_AUDIT_UNAVAILABLE, NULL);
		return;
	}
	if (!token_is_present(request))
		return;
	const struct buffer *chain = &request->connection->chain;
	enum status status = registry_application_hold(registry_of(request), &request->application,
		request->peer->identity, (struct bytes){chain->data, chain->len});
	/* A reload meanwhile may have come too early for this hold. */
	struct listener *listener = request->connection->listener;
	if (atomic_load(&listener->generation_number) != request->generation->number)
		listener_judge(listener);
	switch (status) {
	case STATUS_OK: break;
	case STATUS_REFUSED: answer_problem(request, PROBLEM_APPLICATION_HELD, NULL); return;
	case STATUS_BUSY: answer_problem(request, PROBLEM_TOO_MANY_HOLDS, NULL); return;
	case STATUS_NOT_FOUND: answer_problem(request, PROBLEM_SLOT_NOT_FOUND, NULL); return;
	default: answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL); return;
	}
	if (record_action(request, "application", "held", NULL, 0))
		answer_application(request, 201);
}

static void close_application(struct request *request)
{
	if (registry_application_close(registry_of(request), &request->application) != STATUS_OK) {
		if (token_is_present(request))
			answer_problem(request, PROBLEM_APPLICATION_DORMANT, NULL);
		return;
	}
	/* It has happened, and is safe: the answer is not withheld from who wanted everything to end. */
	request->answer.status = 204;
	(void)!record_action(request, "application", "closed", NULL, 0);
}

/* --- sessions of REST (C15) --- */

bool session_begin(struct request *request)
{
	if (gnutls_rnd(GNUTLS_RND_KEY, request->instance, sizeof request->instance) == 0)
		return true;
	answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
	return false;
}

void session_opened(struct request *request)
{
	if (request->answer.status == 201 &&
		registry_instance_keep(registry_of(request), request->peer->identity, request->instance) != STATUS_OK)
		answer_problem(request, PROBLEM_SESSION_NOT_FOUND, NULL);
}

static void close_session(struct request *request)
{
	unsigned char instance[INSTANCE_ID_LEN];
	const char *id = request->match.parameters[PARAMETER_SESSION];
	if (!hex_decode(instance, sizeof instance, id, strlen(id)) ||
		registry_instance_end(registry_of(request), request->peer->identity, instance, &request->application) !=
			STATUS_OK)
		answer_problem(request, PROBLEM_SESSION_NOT_FOUND, NULL);
	else
		request->answer.status = 204;
}

/* --- quiesce (X2) --- */

static bool seconds_read(struct request *request, uint64_t *ret_seconds)
{
	struct json_reader in;
	struct json_text member;
	bool given = false;
	json_reader_init(&in, (const char *)request->body.data, request->body.len, request->arena);
	if (json_enter_object(&in)) {
		while (json_next_member(&in, &member)) {
			if (given || !json_text_is(member, "seconds"))
				return false;
			given = json_read_uint(&in, ret_seconds);
		}
	}
	return json_end(&in) && given && *ret_seconds <= QUIESCE_MAX_S;
}

static void quiesce(struct request *request)
{
	uint64_t seconds = 0;
	if (!seconds_read(request, &seconds)) {
		answer_problem(request, PROBLEM_INVALID_BODY,
			"seconds, a number of at most 3600, is the one member of the body");
		return;
	}
	if (!record_possible(request)) {
		answer_problem(request, PROBLEM_AUDIT_UNAVAILABLE, NULL);
		return;
	}
	enum status status = registry_quiesce(registry_of(request), request->slot, (unsigned)seconds);
	if (status != STATUS_OK) {
		answer_problem(
			request, status == STATUS_NOT_FOUND ? PROBLEM_SLOT_NOT_FOUND : PROBLEM_OUT_OF_MEMORY, NULL);
		return;
	}
	request->answer.status = 204;
	(void)!record_action(request, "quiesce", NULL, "seconds", seconds);
}

void application_answer(struct request *request)
{
	switch (request->match.row->id) {
	case ROUTE_application: answer_application(request, 200); return;
	case ROUTE_application_hold: hold(request); return;
	case ROUTE_application_close: close_application(request); return;
	case ROUTE_session_close: close_session(request); return;
	case ROUTE_quiesce: quiesce(request); return;
	default: answer_problem(request, PROBLEM_NOT_FOUND, NULL);
	}
}

/* --- the rules of logins in a slot's document (B1) --- */

static void login_members(struct json_writer *w, const struct config_login *rules, const struct config_login *own)
{
	json_name(w, "cache_pin");
	json_write_bool(w, rules->cache_pin);
	json_name(w, "logout_after");
	json_write_string(w, logout_after_name(rules->logout_after));
	json_name(w, "force_login");
	json_write_uint(w, rules->force_login);
	json_name(w, "pin_cache_ttl_s");
	json_write_uint(w, rules->pin_cache_ttl_s);
	json_name(w, "pin_cache_idle_s");
	json_write_uint(w, rules->pin_cache_idle_s);
	json_name(w, "exclusive");
	json_write_bool(w, config_login_exclusive(rules, rules->cache_pin));
	json_name(w, "aa_oneshot");
	json_write_string(w, rules->aa_oneshot ? "allow" : "refuse");
	json_name(w, "max_pin_failures");
	json_write_uint(w, own->max_pin_failures);
	json_name(w, "may_use_last_tries");
	json_write_bool(w, own->may_use_last_tries);
	json_name(w, "min_app_id");
	json_write_string(w, own->random_app_ids ? "v2" : "any");
}

void slot_login_append(struct request *request, struct buffer *document)
{
	const struct config *config = request->generation->config;
	struct config_login rules, own;
	struct json_writer w;
	if (document->failed || document->len == 0 || document->data[document->len - 1] != '}')
		return;
	config_login(config, request->application.domain, request->slot, &rules);
	config_login(config, request->peer->identity, request->slot, &own);
	document->len--;
	buffer_text(document, ",\"login\":");
	json_writer_init(&w, document);
	json_begin_object(&w);
	login_members(&w, &rules, &own);
	json_end_object(&w);
	buffer_byte(document, '}');
}
