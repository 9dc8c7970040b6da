#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#include "api/secret.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/challenge.h"

enum { TESTED_MAX = 256 }; /* keys whose self-test is remembered; beyond it the oldest is tested anew */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tested[TESTED_MAX][SHA256_LEN];
static size_t tested_next;

/* What the token gives: a MAC, a signature, or the value of a derived key. */
static CK_RV result_of(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	struct bytes *ret_result, bool *ret_withheld)
{
	struct signer signer;
	struct signer_input input;
	if (method->step != METHOD_SIGN)
		return challenge_derive(use, key, method, challenge, ret_result, ret_withheld);
	method_signer(use->request, method, &signer);
	if (!signer_input_init(&input, challenge, false))
		return CKR_HOST_MEMORY;
	return signer_sign(use, key, &signer, &input, ret_result, ret_withheld);
}

CK_RV challenge_respond(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	struct response *ret_response, bool *ret_withheld)
{
	struct bytes result;
	*ret_withheld = false;
	CK_RV rv = result_of(use, key, method, challenge, &result, ret_withheld);
	if (rv != CKR_OK || *ret_withheld)
		return rv;
	if (method->raw_len == 0) {
		ret_response->len = SHA256_LEN;
		return EVP_Digest(result.data, result.len, ret_response->bytes, NULL, EVP_sha256(), NULL) == 1
			       ? CKR_OK
			       : CKR_HOST_MEMORY;
	}
	if (result.len != method->raw_len)
		return CKR_DEVICE_ERROR;
	memcpy(ret_response->bytes, result.data, result.len);
	ret_response->len = result.len;
	return CKR_OK;
}

bool challenge_is_stable(struct use *use, const struct key *key, const struct method *method)
{
	struct response responses[2] = {0};
	bool withheld = false;
	struct bytes random = challenge_random(use->request, key, method);
	CK_RV rv = random.data != NULL ? CKR_OK : CKR_HOST_MEMORY;
	for (int i = 0; i < 2 && rv == CKR_OK && !withheld; i++)
		rv = challenge_respond(use, key, method, random, &responses[i], &withheld);
	bool stable = secret_equal(responses[0].bytes, responses[1].bytes, sizeof responses[0].bytes);
	secret_wipe(responses, sizeof responses);
	if (withheld)
		return false;
	if (rv != CKR_OK) {
		use_refuse(use, rv, "The token did not answer the test challenge.");
		return false;
	}
	if (!stable)
		reply_problem(use->request, PROBLEM_NON_DETERMINISTIC_RESPONSE,
			"This key cannot be used for challenge-response; what was bound to a response could not be "
			"opened again.",
			NULL);
	return stable;
}

/* What stands for a tested key: its handle under this login, and its names. */
static bool fingerprint(
	struct use *use, const struct key *key, const struct method *method, unsigned char ret_hash[SHA256_LEN])
{
	CK_OBJECT_HANDLE name = CK_INVALID_HANDLE;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned epoch = login_epoch(use->request->worker);
	bool done = md != NULL && object_name(use->request, use->session, key->object, &name) == CKR_OK &&
		    EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1 && EVP_DigestUpdate(md, &epoch, sizeof epoch) == 1 &&
		    EVP_DigestUpdate(md, &name, sizeof name) == 1 &&
		    EVP_DigestUpdate(md, method->name, strlen(method->name)) == 1 &&
		    EVP_DigestUpdate(md, &key->label.len, sizeof key->label.len) == 1 &&
		    EVP_DigestUpdate(md, key->label.data, key->label.len) == 1 &&
		    EVP_DigestUpdate(md, key->id.data, key->id.len) == 1 && EVP_DigestFinal_ex(md, ret_hash, NULL) == 1;
	EVP_MD_CTX_free(md);
	return done;
}

static bool is_tested(const unsigned char hash[SHA256_LEN])
{
	bool found = false;
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < TESTED_MAX && !found; i++)
		found = memcmp(tested[i], hash, SHA256_LEN) == 0;
	pthread_mutex_unlock(&lock);
	return found;
}

static void remember(const unsigned char hash[SHA256_LEN])
{
	pthread_mutex_lock(&lock);
	memcpy(tested[tested_next++ % TESTED_MAX], hash, SHA256_LEN);
	pthread_mutex_unlock(&lock);
}

bool challenge_self_test(struct use *use, const struct key *key, const struct method *method)
{
	unsigned char hash[SHA256_LEN];
	if (method->step != METHOD_SIGN || method->raw_len != 0 || !method->deterministic || key->always_authenticate ||
		login_is_for_one_use(use->request))
		return true;
	bool known = fingerprint(use, key, method, hash);
	if (known && is_tested(hash))
		return true;
	if (!challenge_is_stable(use, key, method))
		return false;
	if (known)
		remember(hash);
	return true;
}
