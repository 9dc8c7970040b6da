#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "server/worker/resources/accept.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/public_key.h"
#include "server/worker/resources/resource.h"

enum form { FORM_JWK, FORM_PEM, FORM_DER, FORM_SSH };

/* FORM(media type, form): what the route can give, the preferred one first. */
#define FORMS(FORM) \
	FORM("application/jwk+json", JWK) \
	FORM("application/json", JWK) \
	FORM("application/x-pem-file", PEM) \
	FORM("application/pkix-spki", DER) \
	FORM("application/octet-stream", DER) \
	FORM("text/x-ssh-public-key", SSH)

#define FORM(type, form) type,
static const char *const media_types[] = {FORMS(FORM)};
#undef FORM
#define FORM(type, form) FORM_##form,
static const enum form forms[] = {FORMS(FORM)};
#undef FORM

/* SubjectPublicKeyInfo as PEM or DER; NULL if the token's numbers are not a key. */
static BIO *encode(const struct public_key *public_key, enum form form)
{
	EVP_PKEY *key = public_key_openssl(public_key);
	BIO *out = BIO_new(BIO_s_mem());
	int done = key == NULL || out == NULL ? 0
		   : form == FORM_PEM         ? PEM_write_bio_PUBKEY(out, key)
					      : i2d_PUBKEY_bio(out, key);
	EVP_PKEY_free(key);
	if (done == 1)
		return out;
	BIO_free(out);
	return NULL;
}

static void answer_ssh(struct request *request, const struct public_key *public_key, const char *media_type)
{
	struct json_writer unused;
	answer_begin(request, 200, media_type, &unused);
	if (public_key_write_ssh(public_key, &request->reply.body))
		answer_end(request);
	else
		reply_problem(request, PROBLEM_NOT_ACCEPTABLE, "SSH has no keys of this type and curve.", NULL);
}

static void answer_public(struct request *request, const struct public_key *public_key, int choice)
{
	if (forms[choice] == FORM_JWK) {
		struct json_writer w;
		answer_begin(request, 200, media_types[choice], &w);
		public_key_write_jwk(public_key, &w);
		answer_end(request);
		return;
	}
	if (forms[choice] == FORM_SSH) {
		answer_ssh(request, public_key, media_types[choice]);
		return;
	}
	BIO *out = encode(public_key, forms[choice]);
	if (out == NULL) {
		reply_return(request, CKR_DEVICE_ERROR, "What the token gives as the public key is not one.");
		return;
	}
	char *data;
	long len = BIO_get_mem_data(out, &data);
	answer_bytes(request, media_types[choice], data, (size_t)len);
	BIO_free(out);
}

static CK_RV serve(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query, int choice)
{
	struct key key;
	struct public_key public_key;
	if (!key_find(request, session, query, &key))
		return CKR_OK;
	if (key.class == CKO_SECRET_KEY) {
		reply_problem(request, PROBLEM_KEY_NOT_FOUND, "It is a secret key, which has no public half.", NULL);
		return CKR_OK;
	}
	CK_RV rv = key_find_public(request, session, &key);
	if (rv == CKR_OK)
		rv = public_key_read(request, session, &key, &public_key);
	if (rv == CKR_OK)
		answer_public(request, &public_key, choice);
	return rv;
}

void resource_key_public(struct request *request)
{
	struct key_query query;
	CK_SESSION_HANDLE session;
	int choice = accept_choose(request->message->accept, media_types, sizeof media_types / sizeof media_types[0]);
	if (choice < 0) {
		reply_problem(request, PROBLEM_NOT_ACCEPTABLE,
			"Ask for application/jwk+json, application/x-pem-file, application/pkix-spki or "
			"text/x-ssh-public-key.",
			NULL);
		return;
	}
	if (!key_query_of_path(request, &query))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = serve(request, session, &query, choice);
	session_give_back(request, session, rv == CKR_OK);
	if (rv != CKR_OK)
		reply_return(request, rv, "The token does not reveal the public key.");
}
