#include "server/worker/resources/answer.h"
#include "server/worker/resources/challenge.h"

/* What may be chosen: the method that is asked for, or any that may be used unasked. */
static unsigned wanted_mask(const struct challenge_choice *choice)
{
	unsigned mask = 0;
	if (choice->method != NULL)
		return method_bit(choice->method);
	for (size_t i = 0; i < METHODS_COUNT; i++)
		if (!methods[i].asked && (methods[i].deterministic || choice->allow_nondeterministic))
			mask |= 1u << i;
	return mask;
}

static unsigned random_mask(void)
{
	unsigned mask = 0;
	for (size_t i = 0; i < METHODS_COUNT; i++)
		if (!methods[i].deterministic)
			mask |= 1u << i;
	return mask;
}

static bool refuse_nondeterministic(struct request *request)
{
	reply_problem(request, PROBLEM_NON_DETERMINISTIC_RESPONSE,
		"Use a key for hmac-sha256, rsa-pkcs1 or eddsa, or method ecdh, whose challenge is a public key, or "
		"send "
		"allow_nondeterministic:true.",
		"/method");
	return false;
}

/* The method for a key; false: the reply says why there is none. */
static bool choose_method(struct request *request, const struct challenge_choice *choice, const struct method_fit *fit,
	const struct method **ret_method)
{
	const struct method *method = method_best(fit->mask & wanted_mask(choice));
	if (method != NULL && (method->deterministic || choice->allow_nondeterministic)) {
		*ret_method = method;
		return true;
	}
	if (method != NULL || (choice->method == NULL && (fit->mask & random_mask()) != 0))
		return refuse_nondeterministic(request);
	if (choice->method == NULL && fit->mask != 0)
		return answer_refuse(request, CKR_MECHANISM_INVALID, "/method",
			"This key answers by ecdh alone, which has to be asked for: its challenge is a public key.");
	return answer_refuse(request, choice->method != NULL ? fit->whys[choice->method - methods] : fit->why,
		fit->mask != 0 ? "/method" : "/key",
		"This key cannot answer a challenge this way; GET …/challenge-response/keys lists what can.");
}

static bool select_named(struct request *request, CK_SESSION_HANDLE session, const struct challenge_choice *choice,
	struct key *ret_key, const struct method **ret_method)
{
	struct method_fit fit;
	if (!key_find(request, session, &choice->query, ret_key))
		return false;
	if (ret_key->class == CKO_PUBLIC_KEY) {
		key_refuse_missing(request, "Only the public half of this key is in the token.");
		return false;
	}
	CK_RV rv = method_judge(request, session, ret_key, method_token_mask(request), choice->key_len, &fit);
	if (rv != CKR_OK) {
		reply_return(request, rv, "The key could not be read.");
		return false;
	}
	return choose_method(request, choice, &fit, ret_method);
}

CK_RV challenge_candidates(
	struct request *request, CK_SESSION_HANDLE session, size_t key_len, struct challenge_keys *ret_keys)
{
	const struct key_query everything = {.class = CK_UNAVAILABLE_INFORMATION};
	struct key_list list;
	size_t count = 0;
	CK_RV rv = key_search(request, session, &everything, &list);
	if (rv != CKR_OK)
		return rv;
	unsigned token = method_token_mask(request);
	struct challenge_key *keys = arena_array(request->arena, list.count, sizeof *keys);
	if (keys == NULL)
		return CKR_HOST_MEMORY;
	for (size_t i = 0; i < list.count; i++) {
		struct method_fit fit;
		rv = method_judge(request, session, &list.items[i], token, key_len, &fit);
		if (rv != CKR_OK)
			return rv;
		keys[count] = (struct challenge_key){list.items[i], fit.mask};
		count += fit.mask != 0;
	}
	*ret_keys = (struct challenge_keys){keys, count};
	return CKR_OK;
}

/* Keeps the keys whose best method within `wanted` is the best of all. */
static const struct method *keep_best(const struct challenge_keys *keys, unsigned wanted, struct key_list *ret_best)
{
	const struct method *best = NULL;
	ret_best->count = 0;
	for (size_t i = 0; i < keys->count; i++) {
		const struct method *method = method_best(keys->items[i].mask & wanted);
		if (method == NULL || (best != NULL && method > best))
			continue;
		if (method != best)
			ret_best->count = 0;
		best = method;
		ret_best->items[ret_best->count++] = keys->items[i].key;
	}
	return best;
}

static bool select_automatically(struct request *request, CK_SESSION_HANDLE session,
	const struct challenge_choice *choice, struct key *ret_key, const struct method **ret_method)
{
	struct challenge_keys keys;
	struct key_list best = {0};
	CK_RV rv = challenge_candidates(request, session, choice->key_len, &keys);
	if (rv == CKR_OK && (best.items = arena_array(request->arena, keys.count, sizeof *best.items)) == NULL)
		rv = CKR_HOST_MEMORY;
	if (rv != CKR_OK) {
		reply_return(request, rv, "The keys could not be listed.");
		return false;
	}
	const struct method *method = keep_best(&keys, wanted_mask(choice), &best);
	if (method != NULL && !method->deterministic && !choice->allow_nondeterministic)
		return refuse_nondeterministic(request);
	if (method == NULL && keys.count > 0 && choice->method == NULL && login_state(request->worker) == LOGIN_USER)
		return refuse_nondeterministic(request);
	if (method == NULL) {
		key_refuse_missing(request, "No key of this token can answer a challenge this way.");
		return false;
	}
	if (best.count > 1) {
		key_refuse_ambiguous(request, &best);
		return false;
	}
	*ret_key = best.items[0];
	*ret_method = method;
	return true;
}

bool challenge_select(struct request *request, CK_SESSION_HANDLE session, const struct challenge_choice *choice,
	struct key *ret_key, const struct method **ret_method)
{
	return choice->named ? select_named(request, session, choice, ret_key, ret_method)
			     : select_automatically(request, session, choice, ret_key, ret_method);
}
