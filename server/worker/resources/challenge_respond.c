#include <openssl/evp.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>

#include "api/secret.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/challenge.h"

enum { TESTED_MAX = 256 }; /* keys whose self-test is remembered; beyond it the oldest is tested anew */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char tested[TESTED_MAX][SHA256_LEN];
static size_t tested_next;

CK_RV challenge_respond(struct use *use, const struct key *key, const struct method *method, struct bytes challenge,
	unsigned char ret_response[RESPONSE_LEN], bool *ret_withheld)
{
	struct signer signer;
	struct signer_input input;
	struct bytes result;
	*ret_withheld = false;
	method_signer(use->request, method, &signer);
	if (!signer_input_init(&input, challenge, false))
		return CKR_HOST_MEMORY;
	CK_RV rv = signer_sign(use, key, &signer, &input, &result, ret_withheld);
	if (rv != CKR_OK || *ret_withheld)
		return rv;
	if (method->signature)
		return EVP_Digest(result.data, result.len, ret_response, NULL, EVP_sha256(), NULL) == 1
			       ? CKR_OK
			       : CKR_HOST_MEMORY;
	if (result.len != RESPONSE_LEN)
		return CKR_DEVICE_ERROR;
	memcpy(ret_response, result.data, RESPONSE_LEN);
	return CKR_OK;
}

bool challenge_is_stable(struct use *use, const struct key *key, const struct method *method)
{
	unsigned char random[RESPONSE_LEN], responses[2][RESPONSE_LEN];
	bool withheld = false;
	CK_RV rv = RAND_bytes(random, sizeof random) == 1 ? CKR_OK : CKR_HOST_MEMORY;
	for (int i = 0; i < 2 && rv == CKR_OK && !withheld; i++)
		rv = challenge_respond(
			use, key, method, (struct bytes){random, sizeof random}, responses[i], &withheld);
	if (withheld)
		return false;
	if (rv != CKR_OK) {
		use_refuse(use, rv, "The token did not answer the test challenge.");
		return false;
	}
	bool stable = secret_equal(responses[0], responses[1], RESPONSE_LEN);
	secret_wipe(responses, sizeof responses);
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
	if (!method->signature || !method->deterministic || key->always_authenticate ||
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
