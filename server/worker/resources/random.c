#include <stdio.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/resource.h"

enum { RANDOM_MAX = 64 << 10 }; /* bytes of one answer */

static void answer_random(struct request *request, const unsigned char *random, size_t len, bool octets)
{
	struct json_writer w;
	if (octets) {
		answer_bytes(request, "application/octet-stream", random, len);
		return;
	}
	answer_begin(request, 200, "application/json", &w);
	json_begin_object(&w);
	json_name(&w, "random");
	json_write_bytes(&w, random, len);
	json_end_object(&w);
	answer_end(request);
}

static CK_RV generate(struct request *request, unsigned char *out, size_t len)
{
	CK_SESSION_HANDLE session;
	CK_RV rv = session_lend_public(request, &session);
	if (rv != CKR_OK)
		return rv;
	const union wire_value v[] = {{.number = session}, {.bytes = {out, len}}};
	rv = invoke(request, CALL_GenerateRandom, v);
	session_give_back(request, session, rv == CKR_OK);
	return rv;
}

void resource_random(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	bool octets;
	char detail[80];
	reply_header(request, "Cache-Control", "no-store");
	if (!body_read(request, SCHEMA_RandomRequest, &body) || !answer_choose(request, true, &octets))
		return;
	uint64_t len = body_number(body, "length", 0);
	if (len == 0 || len > RANDOM_MAX) {
		snprintf(detail, sizeof detail, "The length is 1 to %d bytes.", RANDOM_MAX);
		(void)!answer_refuse(request, CKR_DATA_LEN_RANGE, "/length", detail);
		return;
	}
	unsigned char *random = arena_alloc(request->arena, (size_t)len);
	CK_RV rv = random == NULL ? CKR_HOST_MEMORY : generate(request, random, (size_t)len);
	if (rv == CKR_OK)
		answer_random(request, random, (size_t)len, octets);
	else
		reply_return(request, rv, "The token gave no random bytes.");
}
