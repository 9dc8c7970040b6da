/*
 * Heads of requests: whatever the bytes, the gate's texts lie inside them, what it lets through is what its rules say, and
 * it judges the same however the bytes arrive.
 */
#include <stdlib.h>
#include <string.h>

#include "server/http/gate.h"

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void inside(struct gate_text text, const char *bytes, size_t len)
{
	check(text.data == NULL ? text.len == 0 : text.data >= bytes && text.data + text.len <= bytes + len);
}

static bool printable(struct gate_text text)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.data[i] < ' ' || text.data[i] > '~')
			return false;
	return true;
}

/* Nothing in a head that passed can end a line or a text early for another parser. */
static void passed(const struct gate_head *head, const char *bytes)
{
	check(head->problem == NULL && head->len >= 4 && memcmp(bytes + head->len - 4, "\r\n\r\n", 4) == 0);
	check(head->method.len > 0 && head->method.len <= GATE_METHOD_MAX && head->path.len > 0 &&
		head->path.data[0] == '/');
	check(printable(head->method) && printable(head->path) && printable(head->query));
	check(memchr(bytes, '\0', head->len) == NULL && head->fields[GATE_TRANSFER_ENCODING].data == NULL);
	check(head->fields[GATE_HOST].len > 0);
	for (size_t i = 0; i < head->len; i++) {
		check(bytes[i] != '\r' || bytes[i + 1] == '\n');
		check(bytes[i] != '\n' || (i > 0 && bytes[i - 1] == '\r'));
		check(i == 0 || bytes[i - 1] != '\n' || (bytes[i] != ' ' && bytes[i] != '\t'));
	}
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	char *bytes = malloc(size > 0 ? size : 1);
	struct gate_head head, half;
	check(bytes != NULL);
	if (size > 0)
		memcpy(bytes, data, size);
	enum gate_verdict verdict = gate_head(bytes, size, &head);
	check(verdict == GATE_REFUSED ? head.problem != NULL && head.status >= 400 : head.problem == NULL);
	inside(head.method, bytes, size);
	inside(head.path, bytes, size);
	inside(head.query, bytes, size);
	for (int i = 0; i < GATE_FIELD_COUNT; i++)
		inside(head.fields[i], bytes, size);
	if (verdict == GATE_PASSED)
		passed(&head, bytes);
	/* What half of the bytes decided, the rest does not change. */
	enum gate_verdict early = gate_head(bytes, size / 2, &half);
	check(early == GATE_MORE || (early == verdict && half.status == head.status && half.len == head.len));
	free(bytes);
	return 0;
}
