#include "server/worker/resources/precondition.h"

#include <stdio.h>
#include <string.h>

#include "api/hex.h"

enum { ETAG_BYTES = 16 }; /* of the hash; enough that nobody meets two states of one tag */

void etag_write(const unsigned char sha256[32], char ret_etag[ETAG_SIZE])
{
	char digits[2 * ETAG_BYTES + 1];
	hex_encode(digits, sha256, ETAG_BYTES);
	snprintf(ret_etag, ETAG_SIZE, "\"%s\"", digits);
}

/* One entity-tag: its end, or NULL if there is none. A weak one (W/) is never equal to any (section 8.8.3.2). */
static const char *read_tag(const char *at, const char *etag, bool *ret_equal)
{
	bool weak = strncmp(at, "W/", 2) == 0;
	const char *begin = weak ? at + 2 : at;
	const char *end = *begin == '"' ? strchr(begin + 1, '"') : NULL;
	if (end == NULL)
		return NULL;
	end++;
	*ret_equal = !weak && (size_t)(end - begin) == strlen(etag) && memcmp(begin, etag, strlen(etag)) == 0;
	return end;
}

/* False: the header cannot be read. */
static bool names(const char *header, const char *etag, bool *ret_named)
{
	const char *at = header;
	*ret_named = strcmp(header, "*") == 0;
	if (*ret_named)
		return true;
	for (;;) {
		bool equal = false;
		at = read_tag(at + strspn(at, " \t"), etag, &equal);
		if (at == NULL)
			return false;
		*ret_named = *ret_named || equal;
		at += strspn(at, " \t");
		if (*at == '\0')
			return true;
		if (*at++ != ',')
			return false;
	}
}

bool precondition_holds(struct request *request, const char *etag)
{
	const char *header = request->message->if_match;
	bool named = false;
	if (header[0] == '\0') {
		reply_problem(request, PROBLEM_PRECONDITION_REQUIRED, "The header If-Match is missing.", NULL);
		return false;
	}
	if (!names(header, etag, &named)) {
		reply_problem(request, PROBLEM_MALFORMED_HEADER,
			"If-Match is * or entity-tags in double quotes with commas between them.", NULL);
		return false;
	}
	if (!named)
		reply_problem(request, PROBLEM_PRECONDITION_FAILED, NULL, NULL);
	return named;
}
