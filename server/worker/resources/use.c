#include "server/common/clock.h"
#include "server/worker/resources/use.h"

#include <stdio.h>
#include <string.h>

#include "server/worker/operation.h"
#include "server/worker/resources/answer.h"
#include "server/common/escape.h"

/* False: the reply is complete. */
static bool log_in(struct use *use)
{
	struct request *request = use->request;
	use->pin_rv = login_user(request, CKU_USER, (const unsigned char *)use->pin, strlen(use->pin));
	use->logged_in = use->pin_rv == CKR_OK;
	if (!use->logged_in)
		reply_return(request, use->pin_rv, "The PIN of this request did not log in.");
	return use->logged_in;
}

/* A PIN is a login, whichever body it comes in: whoever may only use keys must not try PINs. False: the reply is complete. */
static bool pin_allowed(struct request *request)
{
	static const char reason[] = "a PIN in a request needs the permission login";
	const struct event event = {.kind = AUDIT_REFUSAL, .rv = CKR_FUNCTION_REJECTED, .reason = reason};
	if ((request->message->permissions & PERMISSIONS_LOGIN) != 0)
		return true;
	if (answer_event(request, &event))
		reply_problem(
			request, PROBLEM_PERMISSION_DENIED, "A PIN in a request needs the permission login.", "/pin");
	return false;
}

static CK_RV lend(struct use *use)
{
	return use->keyless ? session_lend_public(use->request, &use->session)
			    : session_lend(use->request, &use->session);
}

bool use_begin(struct use *use)
{
	struct request *request = use->request;
	if (use->pin != NULL && !pin_allowed(request))
		return false;
	use->session = CK_INVALID_HANDLE;
	use->clean = true;
	if (use->pin != NULL && use->held == CK_INVALID_HANDLE && login_state(request->worker) != LOGIN_USER) {
		if (!request->message->anonymous) {
			request->reply.status = 0;
			return false;
		}
		if (!log_in(use))
			return false;
	}
	CK_RV rv = lend(use);
	if (rv == CKR_OK)
		return true;
	reply_return(request, rv, "No session with the token could be opened.");
	use->session = CK_INVALID_HANDLE;
	use_end(use);
	return false;
}

bool use_refuse_marked(struct request *request, const struct key *key, CK_RV rv)
{
	const struct event event = {
		.kind = AUDIT_REFUSAL,
		.rv = rv,
		.key_label = key_event_label(key),
		.key_id = key->id.data,
		.key_id_len = key->id.len,
		.reason = "challenge_response_only",
	};
	if (!policy_challenge_only(request->worker, (const char *)key->label.data))
		return false;
	if (answer_event(request, &event))
		reply_return(request, rv, "The policy lets this key answer challenges and do nothing else.");
	return true;
}

/* A quoted-string of RFC 9110, section 5.6.4. */
static void append_quoted(char *out, size_t size, const char *text)
{
	size_t n = 0;
	for (; *text != '\0' && n + 3 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[n++] = '\\';
		bool control = (unsigned char)*text < 0x20 || *text == 0x7f;
		out[n++] = *text;
		if (control)
			out[n - 1] = ' ';
	}
	out[n] = '\0';
}

static void write_operation(struct use *use, const char *id, time_t expires, const unsigned char sha256[SHA256_LEN])
{
	struct request *request = use->request;
	struct json_writer w;
	char href[80], reauthenticate[100], expires_at[CLOCK_TEXT_SIZE];
	snprintf(href, sizeof href, "/v1/operations/%s", id);
	snprintf(reauthenticate, sizeof reauthenticate, "%s/reauthenticate", href);
	clock_text(expires, expires_at);
	reply_problem_open(request, &w);
	json_name(&w, "operation");
	json_begin_object(&w);
	json_name(&w, "id");
	json_write_string(&w, id);
	json_name(&w, "href");
	json_write_string(&w, href);
	json_name(&w, "expires_at");
	json_write_string(&w, expires_at);
	json_name(&w, "data_sha256");
	json_write_string(&w, hex_text(request->arena, sha256, SHA256_LEN));
	json_end_object(&w);
	json_name(&w, "reauthenticate");
	json_begin_object(&w);
	json_name(&w, "href");
	json_write_string(&w, reauthenticate);
	json_name(&w, "methods");
	json_begin_array(&w);
	json_write_string(&w, "pin");
	json_end_array(&w);
	json_end_object(&w);
	answer_problem_close(request, &w);
}

/* A24: the request waits for its PIN. */
static bool ask(struct use *use, CK_OBJECT_HANDLE name, const unsigned char sha256[SHA256_LEN])
{
	struct request *request = use->request;
	char id[OPERATION_ID_TEXT], realm[80], challenge[200];
	time_t expires;
	switch (operation_open(request, name, id, &expires)) {
	case OPERATION_TOO_MANY:
		reply_problem(request, PROBLEM_TOO_MANY_OPERATIONS,
			"Give their PINs, cancel them, or wait until they expire.", NULL);
		reply_header(request, "Retry-After", "5");
		return false;
	case OPERATION_NO_MEMORY:
		reply_return(request, CKR_HOST_MEMORY, "The operation could not be kept.");
		return false;
	case OPERATION_OPENED: break;
	}
	/* The use that may end the login is that of the answer (B7). */
	request->private_used = false;
	append_quoted(realm, sizeof realm, worker_token_label(request->worker));
	snprintf(challenge, sizeof challenge, "PKCS11-PIN realm=\"%s\", operation=\"%s\"", realm, id);
	reply_problem(request, PROBLEM_REAUTHENTICATION_REQUIRED,
		"Send the PIN to the address in reauthenticate; it authorises exactly the data of this request.", NULL);
	reply_header(request, "WWW-Authenticate", challenge);
	write_operation(use, id, expires, sha256);
	return false;
}

/* A27: the certificate that made the key ask for its PIN has gone. */
static bool refuse_unneeded(struct use *use)
{
	use->pin_rv = CKR_OPERATION_NOT_INITIALIZED;
	reply_return(use->request, use->pin_rv,
		"The key does not ask for its PIN any more; cancel the operation and send the request itself again.");
	return false;
}

/* A18: nothing is held, for the PIN would be verified before the use and not by it. False: the reply is complete. */
static bool authorise_derivation(struct use *use, const struct key *key)
{
	static const char reason[] = "the key asks for its PIN at every use, and none came with the request";
	struct request *request = use->request;
	const struct event event = {
		.kind = AUDIT_REFUSAL,
		.rv = CKR_USER_NOT_LOGGED_IN,
		.key_label = key_event_label(key),
		.key_id = key->id.data,
		.key_id_len = key->id.len,
		.reason = reason,
	};
	use->context = key->always_authenticate && use->pin != NULL;
	if (!key->always_authenticate || use->context || login_derives_without_pin(request->worker))
		return true;
	if (answer_event(request, &event))
		reply_return(request, CKR_USER_NOT_LOGGED_IN,
			"This key asks for its PIN at every use; send it as the member pin of the request.");
	return false;
}

bool use_authorise(struct use *use, const struct key *key, const unsigned char sha256[SHA256_LEN])
{
	struct request *request = use->request;
	if (!use->answers_challenge && use_refuse_marked(request, key, CKR_KEY_FUNCTION_NOT_PERMITTED))
		return false;
	if (use->derives)
		return authorise_derivation(use, key);
	if (!key->always_authenticate && use->held == CK_INVALID_HANDLE)
		return true;
	CK_OBJECT_HANDLE name = CK_INVALID_HANDLE;
	CK_RV rv = object_name(request, use->session, key->object, &name);
	if (rv != CKR_OK) {
		reply_return(request, rv, "The key cannot be remembered.");
		return false;
	}
	if (use->held != CK_INVALID_HANDLE && use->held != name) {
		reply_problem(request, PROBLEM_OPERATION_FINISHED,
			"The application logged out or its key was replaced since it was asked for; send the request "
			"again.",
			NULL);
		return false;
	}
	if (use->held != CK_INVALID_HANDLE && !key->always_authenticate)
		return refuse_unneeded(use);
	use->context = key->always_authenticate;
	return !use->context || use->pin != NULL || ask(use, name, sha256);
}

bool use_waits_on(CK_RV pin_rv)
{
	return pin_rv != CKR_OK && pin_rv != CKR_PIN_LOCKED && pin_rv != CKR_USER_NOT_LOGGED_IN;
}

void use_refuse(const struct use *use, CK_RV rv, const char *detail)
{
	bool waits = use->held != CK_INVALID_HANDLE && use_waits_on(use->pin_rv);
	reply_return(use->request, rv,
		waits ? "The PIN was not accepted; the operation still waits for the right one, until it expires."
		      : detail);
}

/* Notes how the PIN was taken. */
static CK_RV authenticated(struct use *use, CK_RV rv, bool *ret_withheld)
{
	use->pin_rv = rv;
	const struct event event = {
		.kind = AUDIT_LOGIN, .function = "C_Login", .rv = rv, .user = "CKU_CONTEXT_SPECIFIC"};
	*ret_withheld = !answer_event(use->request, &event);
	return rv;
}

CK_RV use_authenticate(struct use *use, unsigned login, bool *ret_withheld)
{
	const unsigned char *pin = (const unsigned char *)use->pin;
	CK_RV rv = login_context(use->request, &use->session, login, pin, strlen(use->pin));
	return authenticated(use, rv, ret_withheld);
}

CK_RV use_verify(struct use *use, unsigned login, CK_OBJECT_HANDLE *key, bool *ret_withheld)
{
	const unsigned char *pin = (const unsigned char *)use->pin;
	/* The login of this request alone was this PIN's, and is in the audit as what it was. */
	if (use->logged_in)
		return CKR_OK;
	CK_RV rv = login_verify(use->request, login, &use->session, key, pin, strlen(use->pin));
	return authenticated(use, rv, ret_withheld);
}

CK_RV use_renew(struct use *use)
{
	if (use->clean)
		return CKR_OK;
	session_give_back(use->request, use->session, false);
	use->clean = true;
	CK_RV rv = lend(use);
	if (rv != CKR_OK)
		use->session = CK_INVALID_HANDLE;
	return rv;
}

void use_end(struct use *use)
{
	struct request *request = use->request;
	session_give_back(request, use->session, use->clean);
	use->session = CK_INVALID_HANDLE;
	if (!use->logged_in)
		return;
	use->logged_in = false;
	/* The request has its own answer; what this did is in the event. */
	(void)!login_out(request);
}

enum pin_effect use_pin_effect(const struct use *use)
{
	if (use->pin == NULL)
		return PIN_NONE;
	if (use->context)
		return PIN_CONTEXT;
	return use->logged_in ? PIN_LOGIN : PIN_NOT_NEEDED;
}

void use_write_pin_effect(const struct use *use, struct json_writer *writer)
{
	enum pin_effect effect = use_pin_effect(use);
	if (effect != PIN_CONTEXT && effect != PIN_NOT_NEEDED)
		return;
	json_name(writer, "reauthenticated");
	json_write_bool(writer, effect == PIN_CONTEXT);
}
