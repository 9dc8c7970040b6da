/*
 * The header field Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): a string in double quotes, as the draft has it, or the same
 * without quotes, as many clients send it.
 */
#include "server/http/internal.h"

#include <string.h>

/* What both forms can hold: visible ASCII without what the quoted one would have to escape, and without lists. */
static bool is_key(struct gate_text text)
{
	if (text.len == 0 || text.len > JOURNAL_KEY_MAX)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] <= ' ' || text.data[i] > '~' || strchr("\"\\,;", text.data[i]) != NULL)
			return false;
	return true;
}

bool idempotency_read(struct request *request)
{
	struct gate_text field = request->head->fields[GATE_IDEMPOTENCY_KEY];
	if (field.data == NULL || !request->match.row->idempotent)
		return true;
	if (field.len >= 2 && field.data[0] == '"' && field.data[field.len - 1] == '"')
		field = (struct gate_text){field.data + 1, field.len - 2};
	if (!is_key(field)) {
		answer_problem(request, PROBLEM_MALFORMED_HEADER,
			"Idempotency-Key is a string of 1 to 255 visible characters without comma, semicolon and "
			"backslash, such as a UUID, in double quotes or without");
		return false;
	}
	request->idempotency_key = request_text(request, field);
	if (request->idempotency_key == NULL)
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
	return request->idempotency_key != NULL;
}

void idempotency_begin(struct request *request, struct journal_use *ret_use)
{
	const struct config *config = request->generation->config;
	const struct journal_subject subject = {
		.identity = request->peer->identity,
		.domain = request->application.domain,
		.slot = request->slot,
		.application = request->application.id,
		.key = request->idempotency_key,
		.route = request->match.row->name,
		.retention_s = config->journal.retention_s,
		.keys_per_identity = config->journal.keys_per_identity,
	};
	journal_begin(request->connection->listener->journal, &subject, ret_use);
}
