#include "server/worker/resources/once.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "api/route.h"
#include "server/worker/resources/answer.h"

enum { DIGEST_LEN = 32 };

static void strip_secrets(json_t *object, const struct schema_row *row);

static void strip_list(json_t *list, const struct schema_row *row)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		strip_secrets(json_array_get(list, i), row);
}

/* Takes PINs and key values out: a hash of one, kept on a disk, would let it be guessed. */
static void strip_secrets(json_t *object, const struct schema_row *row)
{
	for (size_t i = 0; row != NULL && i < row->member_count; i++) {
		const struct schema_member *member = &row->members[i];
		json_t *value = json_object_get(object, member->name);
		if (member->type == MEMBER_PIN || member->type == MEMBER_SECRET)
			(void)json_object_del(object, member->name);
		else if (member->type == MEMBER_OBJECT && value != NULL)
			strip_secrets(value, schema_member_row(member));
		else if (member->type == MEMBER_LIST && value != NULL)
			strip_list(value, schema_member_row(member));
	}
}

/* The body in one form, however it was written. The caller frees it. */
static char *body_canonical(enum schema_id schema, const json_t *body)
{
	json_t *copy = body != NULL ? json_deep_copy(body) : json_null();
	char *text = NULL;
	if (copy != NULL) {
		strip_secrets(copy, schema_row(schema));
		text = json_dumps(copy, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
	}
	json_decref(copy);
	return text;
}

/* With its NUL, so that the texts cannot run into each other. */
static bool add_text(EVP_MD_CTX *digest, const char *text)
{
	return EVP_DigestUpdate(digest, text, strlen(text) + 1) == 1;
}

static bool digest_request(
	const struct request *request, enum schema_id schema, const json_t *body, unsigned char ret_digest[DIGEST_LEN])
{
	const struct worker_request *message = request->message;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	char *text = body_canonical(schema, body);
	bool done = digest != NULL && text != NULL && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1 &&
		    add_text(digest, route_row(message->route)->name) && add_text(digest, message->key) &&
		    add_text(digest, message->query) && add_text(digest, text) &&
		    EVP_DigestFinal_ex(digest, ret_digest, NULL) == 1;
	EVP_MD_CTX_free(digest);
	free(text);
	return done;
}

/* The first request's answer, and that it is that. */
static void replay(struct request *request, struct bytes packed)
{
	struct intent_result result;
	struct reply *reply = &request->reply;
	if (intent_result_unpack(packed.data, packed.len, request->arena, &result) != STATUS_OK ||
		result.headers.count >= sizeof reply->headers / sizeof reply->headers[0]) {
		reply_problem(request, PROBLEM_JOURNAL_UNAVAILABLE, "The recorded answer cannot be read.", NULL);
		return;
	}
	reply->status = result.status;
	reply->content_type = result.content_type;
	buffer_reset(&reply->body);
	buffer_append(&reply->body, result.body.data, result.body.len);
	for (size_t i = 0; i < result.headers.count; i++)
		reply->headers[reply->headers_count++] = result.headers.items[i];
	reply_header(request, "Idempotency-Replayed", "true");
	answer_end(request);
}

static void refuse(struct request *request, enum intent_verdict verdict)
{
	switch (verdict) {
	case INTENT_OTHER:
		reply_problem(request, PROBLEM_IDEMPOTENCY_KEY_REUSED,
			"The path or the body is not that of the first request with this key.", NULL);
		return;
	case INTENT_BUSY:
		reply_problem(request, PROBLEM_REQUEST_IN_PROGRESS, NULL, NULL);
		reply_header(request, "Retry-After", "1");
		return;
	case INTENT_CROWDED: reply_problem(request, PROBLEM_TOO_MANY_IDEMPOTENCY_KEYS, NULL, NULL); return;
	case INTENT_FULL:
		reply_problem(request, PROBLEM_JOURNAL_UNAVAILABLE, "The journal or its disk is full.", NULL);
		return;
	default:
		reply_problem(request, PROBLEM_JOURNAL_UNAVAILABLE,
			"The journal cannot be read or written; the gateway's log says why.", NULL);
	}
}

enum once once_begin(struct request *request, enum schema_id schema, const json_t *body, struct bytes *ret_object)
{
	unsigned char digest[DIGEST_LEN];
	struct intent_answer answer;
	if (!request->message->idempotent)
		return ONCE_FIRST;
	if (!digest_request(request, schema, body, digest)) {
		reply_return(request, CKR_HOST_MEMORY, NULL);
		return ONCE_ANSWERED;
	}
	const struct intent question = {.step = INTENT_BEGIN, .request = {digest, sizeof digest}};
	intent_ask(request, &question, &answer);
	switch (answer.verdict) {
	case INTENT_NEW: return ONCE_FIRST;
	case INTENT_UNFINISHED: *ret_object = answer.object; return ONCE_AGAIN;
	case INTENT_DONE: replay(request, answer.result); return ONCE_ANSWERED;
	default: refuse(request, answer.verdict); return ONCE_ANSWERED;
	}
}

bool once_record(struct request *request, struct bytes object)
{
	const struct intent intent = {.step = INTENT_RECORD, .object = object};
	struct intent_answer answer;
	if (!request->message->idempotent)
		return true;
	intent_ask(request, &intent, &answer);
	if (answer.verdict == INTENT_NEW)
		return true;
	refuse(request, answer.verdict);
	return false;
}
