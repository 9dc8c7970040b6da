#include "server/worker/resources/key_state.h"

#include <openssl/evp.h>
#include <string.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/attribute.h"
#include "server/worker/resources/key_cache.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/key_usage.h"

/* What a state is made of: names, what the key may do, and what tells it from any other key. */
static const CK_ATTRIBUTE_TYPE state_types[] = {
#define USAGE(constant, name, attribute, half) attribute,
	KEY_USAGES(USAGE)
#undef USAGE
		CKA_CLASS,
	CKA_KEY_TYPE, CKA_LABEL, CKA_ID, CKA_EXTRACTABLE, CKA_SENSITIVE, CKA_ALWAYS_AUTHENTICATE, CKA_START_DATE,
	CKA_END_DATE, CKA_UNIQUE_ID, CKA_CHECK_VALUE, CKA_VALUE_LEN, CKA_EC_PARAMS, CKA_EC_POINT, CKA_MODULUS,
	CKA_PUBLIC_EXPONENT};

enum { STATE_COUNT = sizeof state_types / sizeof state_types[0] };

_Static_assert((int)STATE_COUNT <= (int)ATTRIBUTES_READ_MAX, "one call reads a state");

static void hash_done(EVP_MD_CTX **hash)
{
	EVP_MD_CTX_free(*hash);
}

static CK_RV hash_object(struct request *request, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, EVP_MD_CTX *hash)
{
	struct bytes values[STATE_COUNT];
	CK_RV rv = attribute_read(request, session, object, state_types, STATE_COUNT, values);
	for (size_t i = 0; rv == CKR_OK && i < STATE_COUNT; i++) {
		uint64_t len = values[i].data == NULL ? UINT64_MAX : values[i].len;
		if (EVP_DigestUpdate(hash, &len, sizeof len) != 1 ||
			(values[i].data != NULL && EVP_DigestUpdate(hash, values[i].data, values[i].len) != 1))
			rv = CKR_HOST_MEMORY;
	}
	return rv;
}

CK_RV key_etag(struct request *request, CK_SESSION_HANDLE session, const struct key *key, char ret_etag[ETAG_SIZE])
{
	__attribute__((cleanup(hash_done))) EVP_MD_CTX *hash = EVP_MD_CTX_new();
	const unsigned char asks[] = {key->always_authenticate, key->by_policy};
	unsigned char sha256[32];
	if (hash == NULL || EVP_DigestInit_ex(hash, EVP_sha256(), NULL) != 1 ||
		EVP_DigestUpdate(hash, asks, sizeof asks) != 1)
		return CKR_HOST_MEMORY;
	CK_RV rv = hash_object(request, session, key->object, hash);
	if (rv == CKR_OK && key->public_object != CK_INVALID_HANDLE && key->public_object != key->object)
		rv = hash_object(request, session, key->public_object, hash);
	if (rv == CKR_OK && EVP_DigestFinal_ex(hash, sha256, NULL) != 1)
		rv = CKR_HOST_MEMORY;
	if (rv == CKR_OK)
		etag_write(sha256, ret_etag);
	else if (rv == CKR_OBJECT_HANDLE_INVALID)
		key_cache_forget(key->object);
	return rv;
}

CK_RV key_answer(struct request *request, CK_SESSION_HANDLE session, unsigned status, struct key *key,
	enum key_reference reference)
{
	struct json_writer w;
	char etag[ETAG_SIZE];
	CK_RV rv = key_etag(request, session, key, etag);
	if (rv != CKR_OK)
		return rv;
	answer_begin(request, status, "application/json", &w);
	rv = key_write(request, session, key, reference, &w);
	if (rv != CKR_OK)
		return rv;
	reply_header(request, "ETag", etag);
	answer_end(request);
	return CKR_OK;
}

/* The key of the path as it is now. False: the reply is complete, or *ret_rv is why. */
static bool find_seen(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query,
	struct key *ret_key, CK_RV *ret_rv)
{
	char etag[ETAG_SIZE];
	if (key_login_missing(request)) {
		*ret_rv = CKR_USER_NOT_LOGGED_IN;
		return false;
	}
	if (!key_find(request, session, query, ret_key))
		return false;
	*ret_rv = key_find_public(request, session, ret_key);
	if (*ret_rv == CKR_OK)
		*ret_rv = key_etag(request, session, ret_key, etag);
	return *ret_rv == CKR_OK && precondition_holds(request, etag);
}

void key_state_with(struct request *request,
	CK_RV (*work)(struct request *request, CK_SESSION_HANDLE session, struct key *key, void *context),
	void *context, const char *failure)
{
	struct key_query query;
	struct key key;
	CK_SESSION_HANDLE session;
	if (!key_query_of_path(request, &query))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	key_names_lock();
	if (find_seen(request, session, &query, &key, &rv))
		rv = work(request, session, &key, context);
	key_names_unlock();
	session_give_back(request, session, rv == CKR_OK);
	if (rv != CKR_OK)
		reply_return(request, rv, failure);
}
