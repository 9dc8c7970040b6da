#include "server/worker/resources/challenge.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/secret.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"
#include "server/worker/resources/sign.h"

/* A ChallengeRequest, or a ChallengeCheckRequest without its challenge. */
struct challenge_request {
	struct bytes challenge;
	struct challenge_choice choice;
	const char *pin;
};

static bool read_method(struct request *request, const json_t *body, struct challenge_choice *choice)
{
	const char *name = body_text(body, "method");
	if (name == NULL)
		return true;
	choice->method = method_by_name(name);
	if (choice->method != NULL)
		return true;
	return answer_refuse(request, CKR_MECHANISM_INVALID, "/method",
		method_is_randomised(name) ? "The result of this method is random, so that no response would come "
					     "twice; use hmac-sha256, rsa-pkcs1 or eddsa."
					   : "The methods are hmac-sha256, rsa-pkcs1, eddsa and ecdsa.");
}

static bool read_choice(struct request *request, const json_t *body, struct challenge_choice *ret_choice)
{
	const json_t *key = body_member(body, "key");
	*ret_choice = (struct challenge_choice){
		.named = key != NULL,
		.allow_nondeterministic = body_flag(body, "allow_nondeterministic"),
	};
	if (key != NULL && !key_query_of_selector(request, body_text(key, "label"), body_text(key, "id"),
				   body_text(key, "uri"), "/key", &ret_choice->query))
		return false;
	return read_method(request, body, ret_choice);
}

static bool read_challenge(struct request *request, const json_t *body, struct challenge_request *challenge)
{
	char detail[80];
	if (!body_bytes(request, body, "challenge", &challenge->challenge))
		return false;
	if (challenge->challenge.len >= 1 && challenge->challenge.len <= CHALLENGE_MAX)
		return true;
	snprintf(detail, sizeof detail, "A challenge has 1 to %d bytes.", CHALLENGE_MAX);
	return answer_refuse(request, CKR_DATA_LEN_RANGE, "/challenge", detail);
}

static void write_methods(struct json_writer *w, unsigned mask)
{
	json_name(w, "methods");
	json_begin_array(w);
	for (size_t i = 0; i < methods_count; i++)
		if ((mask & 1u << i) != 0)
			json_write_string(w, methods[i].name);
	json_end_array(w);
}

static void write_always_authenticate(struct json_writer *w, const struct key *key)
{
	json_name(w, "always_authenticate");
	json_write_bool(w, key->always_authenticate);
}

static void answer_response(
	struct use *use, const struct key *key, const struct method *method, const unsigned char response[RESPONSE_LEN])
{
	struct request *request = use->request;
	struct json_writer w;
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "response");
	json_write_bytes(&w, response, RESPONSE_LEN);
	json_name(&w, "method");
	json_write_string(&w, method->name);
	json_name(&w, "deterministic");
	json_write_bool(&w, method->deterministic);
	use_write_pin_effect(use, &w);
	json_name(&w, "key");
	json_begin_object(&w);
	key_write_names(request, &w, key);
	write_always_authenticate(&w, key);
	json_end_object(&w);
	json_end_object(&w);
	answer_end(request);
}

static void respond(struct use *use, const struct key *key, const struct method *method, struct bytes challenge)
{
	unsigned char response[RESPONSE_LEN];
	bool withheld;
	if (!challenge_self_test(use, key, method))
		return;
	CK_RV rv = challenge_respond(use, key, method, challenge, response, &withheld);
	if (withheld)
		return;
	if (rv == CKR_OK)
		answer_response(use, key, method, response);
	else
		use_refuse(use, rv, "The token did not answer the challenge.");
	secret_wipe(response, sizeof response);
}

void challenge_serve(struct request *request, struct held_pin *held)
{
	BODY_AUTO json_t *body = NULL;
	struct challenge_request challenge = {0};
	struct signer_input input;
	struct key key;
	const struct method *method;
	reply_header(request, "Cache-Control", "no-store");
	if (!body_read(request, SCHEMA_ChallengeRequest, &body) || !read_choice(request, body, &challenge.choice) ||
		!read_challenge(request, body, &challenge))
		return;
	struct use use = {
		.request = request,
		.pin = held != NULL ? held->pin : body_text(body, "pin"),
		.held = held != NULL ? held->object : CK_INVALID_HANDLE,
		.answers_challenge = true,
	};
	if (!signer_input_init(&input, challenge.challenge, false)) {
		reply_return(request, CKR_HOST_MEMORY, "The challenge could not be hashed.");
		return;
	}
	if (!use_begin(&use))
		return;
	if (challenge_select(request, use.session, &challenge.choice, &key, &method) &&
		use_authorise(&use, &key, input.sha256))
		respond(&use, &key, method, challenge.challenge);
	use_end(&use);
	if (held != NULL)
		held->rv = use.pin_rv;
}

void resource_challenge(struct request *request)
{
	challenge_serve(request, NULL);
}

static void answer_check(struct request *request, const struct method *method)
{
	struct json_writer w;
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "method");
	json_write_string(&w, method->name);
	json_name(&w, "deterministic");
	json_write_bool(&w, true);
	json_end_object(&w);
	answer_end(request);
}

static void check(struct use *use, const struct challenge_choice *choice)
{
	static const unsigned char no_data[SHA256_LEN];
	struct key key;
	const struct method *method;
	if (!challenge_select(use->request, use->session, choice, &key, &method))
		return;
	if (key.always_authenticate || login_is_for_one_use(use->request)) {
		reply_problem(use->request, PROBLEM_ONE_ITEM_PER_PIN,
			"Its method decides: hmac-sha256, rsa-pkcs1 and eddsa always give the same response.", "/key");
		return;
	}
	if (use_authorise(use, &key, no_data) && challenge_is_stable(use, &key, method))
		answer_check(use->request, method);
}

void resource_challenge_check(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct challenge_choice choice;
	reply_header(request, "Cache-Control", "no-store");
	if (!body_read(request, SCHEMA_ChallengeCheckRequest, &body) || !read_choice(request, body, &choice))
		return;
	struct use use = {
		.request = request,
		.pin = body_text(body, "pin"),
		.held = CK_INVALID_HANDLE,
		.answers_challenge = true,
	};
	/* A check finds out; it may be asked about a method that turns out to be random. */
	choice.allow_nondeterministic = choice.method != NULL;
	if (!use_begin(&use))
		return;
	check(&use, &choice);
	use_end(&use);
}

static int compare_candidates(const void *a, const void *b)
{
	const struct challenge_key *x = a, *y = b;
	const struct method *best_x = method_best(x->mask), *best_y = method_best(y->mask);
	return (best_x > best_y) - (best_x < best_y);
}

static void answer_candidates(struct request *request, struct challenge_key *keys, size_t count)
{
	struct json_writer w;
	qsort(keys, count, sizeof *keys, compare_candidates);
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "keys");
	json_begin_array(&w);
	for (size_t i = 0; i < count; i++) {
		json_begin_object(&w);
		key_write_names(request, &w, &keys[i].key);
		write_methods(&w, keys[i].mask);
		json_name(&w, "deterministic");
		json_write_bool(&w, method_best(keys[i].mask)->deterministic);
		write_always_authenticate(&w, &keys[i].key);
		json_end_object(&w);
	}
	json_end_array(&w);
	json_end_object(&w);
	answer_end(request);
}

void resource_challenge_keys(struct request *request)
{
	struct challenge_key *keys;
	size_t count;
	CK_SESSION_HANDLE session;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = challenge_candidates(request, session, &keys, &count);
	session_give_back(request, session, rv == CKR_OK);
	if (rv == CKR_OK)
		answer_candidates(request, keys, count);
	else
		reply_return(request, rv, "The keys could not be listed.");
}
