#include "server/worker/resources/answer.h"
#include "server/worker/resources/key_attributes.h"
#include "server/worker/resources/key_state.h"
#include "server/worker/resources/parameters.h"
#include "server/worker/resources/resource.h"

/* As the caller named it; the path by label is then known to be unambiguous. */
static enum key_reference reference_of(const struct key_query *query)
{
	return query->id.data != NULL ? KEY_BY_ID : KEY_BY_LABEL;
}

/* With attributes that were asked for, and without an ETag: that does not tell when one of them changes. */
static CK_RV answer_attributes(struct request *request, CK_SESSION_HANDLE session, struct key *key,
	enum key_reference reference, const struct key_attributes *attributes)
{
	struct json_writer w;
	answer_begin(request, 200, "application/json", &w);
	CK_RV rv = key_write_open(request, session, key, reference, &w);
	if (rv == CKR_OK)
		rv = key_attributes_write(request, session, key, attributes, &w);
	json_end_object(&w);
	if (rv == CKR_OK)
		answer_end(request);
	return rv;
}

static CK_RV serve(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query,
	const struct key_attributes *attributes)
{
	struct key key;
	if (!key_find(request, session, query, &key))
		return CKR_OK;
	CK_RV rv = key_find_public(request, session, &key);
	if (rv != CKR_OK)
		return rv;
	return attributes->types != NULL ? answer_attributes(request, session, &key, reference_of(query), attributes)
					 : key_answer(request, session, 200, &key, reference_of(query));
}

void resource_key(struct request *request)
{
	struct parameter parameter = {.name = "attributes"};
	struct key_attributes attributes = {.types = NULL};
	struct key_query query;
	CK_SESSION_HANDLE session;
	if (!key_query_of_path(request, &query) || !parameters_read(request, &parameter, 1) ||
		(parameter.value != NULL && !key_attributes_read(request, parameter.value, &attributes)))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	rv = serve(request, session, &query, &attributes);
	session_give_back(request, session, rv == CKR_OK);
	if (rv != CKR_OK)
		reply_return(request, rv, "The key could not be read.");
}
