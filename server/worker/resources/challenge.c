#include "server/worker/resources/challenge.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/secret.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"

/* A ChallengeRequest, or a ChallengeCheckRequest without its challenge. */
struct challenge_request {
	const struct profile *profile;
	struct bytes challenge;
	struct challenge_choice choice;
	bool fixed, normalized; /* frame, normalize */
};

static bool read_method(struct request *request, const json_t *body, struct challenge_choice *choice)
{
	const char *name = body_text(body, "method");
	if (name == NULL)
		return true;
	choice->method = method_by_name(name);
	if (choice->method != NULL)
		return true;
	char detail[160];
	snprintf(detail, sizeof detail, "The methods are %s.", method_names());
	return answer_refuse(request, CKR_MECHANISM_INVALID, "/method",
		method_is_randomised(name) ? "The result of this method is random, so that no response would come "
					     "twice; use hmac-sha256, rsa-pkcs1 or eddsa."
					   : detail);
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

static bool read_profile(struct request *request, const json_t *body, struct challenge_request *challenge)
{
	const char *frame = body_text(body, "frame"), *normalize = body_text(body, "normalize");
	struct challenge_choice *choice = &challenge->choice;
	const struct profile *profile = profile_by_name(body_text(body, "profile"));
	const struct method *method = profile->method != NULL ? method_by_name(profile->method) : choice->method;
	const struct method *sha1 = method_by_name("hmac-sha1");
	challenge->profile = profile;
	challenge->fixed = frame != NULL && strcmp(frame, "fixed64") == 0;
	challenge->normalized = normalize != NULL && strcmp(normalize, "sha256") == 0;
	const char *at = choice->method != NULL && choice->method != method ? "/method"
			 : frame != NULL && !profile->framed                ? "/frame"
			 : challenge->normalized && method != sha1          ? "/normalize"
									    : NULL;
	choice->method = method;
	choice->key_len = profile->key_len;
	if (at == NULL)
		return true;
	body_refuse(request, at,
		strcmp(at, "/method") == 0  ? "the profile has a method of its own; leave it out"
		: strcmp(at, "/frame") == 0 ? "only the profile yubikey-hmac-sha1 has a frame"
					    : "only a response of 20 bytes can be normalized: that of hmac-sha1");
	return false;
}

static bool read_challenge(struct request *request, const json_t *body, struct challenge_request *challenge)
{
	const struct profile *profile = challenge->profile;
	char detail[80];
	if (!body_bytes(request, body, "challenge", &challenge->challenge))
		return false;
	if (profile_takes(profile, challenge->challenge.len))
		return true;
	snprintf(detail, sizeof detail, "A challenge has %zu %s %zu bytes.", profile->least,
		profile->step == 1 ? "to" : "or", profile->most);
	return answer_refuse(request, CKR_DATA_LEN_RANGE, "/challenge", detail);
}

static void write_methods(struct json_writer *w, unsigned mask)
{
	json_name(w, "methods");
	json_begin_array(w);
	for (size_t i = 0; i < METHODS_COUNT; i++)
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
	struct use *use, const struct key *key, const struct method *method, const struct response *response)
{
	struct request *request = use->request;
	struct json_writer w;
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "response");
	json_write_bytes(&w, response->bytes, response->len);
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

/* The responses to all inputs of the challenge, one after another. False: the reply says why not. */
static bool respond_to_all(struct use *use, const struct key *key, const struct method *method,
	const struct challenge_request *challenge, struct response *ret_response)
{
	unsigned char memory[PROFILE_FRAME_LEN];
	struct bytes inputs[PROFILE_INPUTS_MAX];
	bool withheld = false;
	CK_RV rv = CKR_OK;
	size_t count = profile_inputs(challenge->profile, challenge->fixed, challenge->challenge, memory, inputs);
	ret_response->len = 0;
	if (count > 1 && login_is_for_one_use(use->request)) {
		reply_problem(use->request, PROBLEM_ONE_ITEM_PER_PIN, "Send each half as a challenge of its own.",
			"/challenge");
		return false;
	}
	for (size_t i = 0; i < count && rv == CKR_OK && !withheld; i++) {
		struct response one = {.len = 0};
		rv = challenge_respond(use, key, method, inputs[i], &one, &withheld);
		/* Two of an HMAC fill it. */
		memcpy(ret_response->bytes + ret_response->len, one.bytes, one.len);
		ret_response->len += one.len;
		secret_wipe(&one, sizeof one);
	}
	if (rv != CKR_OK && !withheld)
		use_refuse(use, rv, "The token did not answer the challenge.");
	return rv == CKR_OK && !withheld;
}

static void respond(
	struct use *use, const struct key *key, const struct method *method, const struct challenge_request *challenge)
{
	struct response response;
	if (!challenge_self_test(use, key, method))
		return;
	bool done = respond_to_all(use, key, method, challenge, &response);
	if (done && challenge->normalized) {
		struct response whole = response;
		response.len = SHA256_LEN;
		done = EVP_Digest(whole.bytes, whole.len, response.bytes, NULL, EVP_sha256(), NULL) == 1;
		secret_wipe(&whole, sizeof whole);
		if (!done)
			reply_return(use->request, CKR_HOST_MEMORY, "The response could not be hashed.");
	}
	if (done)
		answer_response(use, key, method, &response);
	secret_wipe(&response, sizeof response);
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
		!read_profile(request, body, &challenge) || !read_challenge(request, body, &challenge))
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
		challenge_fits(request, &key, method, challenge.challenge) && use_authorise(&use, &key, input.sha256))
		respond(&use, &key, method, &challenge);
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

static void answer_candidates(struct request *request, const struct challenge_keys *list)
{
	struct json_writer w;
	const struct challenge_key *keys = list->items;
	qsort(list->items, list->count, sizeof *keys, compare_candidates);
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "keys");
	json_begin_array(&w);
	for (size_t i = 0; i < list->count; i++) {
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
	struct challenge_keys keys;
	CK_SESSION_HANDLE session;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = challenge_candidates(request, session, 0, &keys);
	session_give_back(request, session, rv == CKR_OK);
	if (rv == CKR_OK)
		answer_candidates(request, &keys);
	else
		reply_return(request, rv, "The keys could not be listed.");
}
