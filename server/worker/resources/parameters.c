#include "server/worker/resources/parameters.h"

#include <stdio.h>
#include <string.h>

#include "server/common/escape.h"

static bool refuse(struct request *request, const char *detail)
{
	reply_problem(request, PROBLEM_INVALID_QUERY, detail, NULL);
	return false;
}

static bool read_pair(
	struct request *request, const char *pair, size_t len, struct parameter parameters[], size_t count)
{
	const char *equals = memchr(pair, '=', len);
	size_t name_len = equals == NULL ? len : (size_t)(equals - pair);
	for (size_t i = 0; i < count; i++) {
		if (strlen(parameters[i].name) != name_len || memcmp(parameters[i].name, pair, name_len) != 0)
			continue;
		if (equals == NULL || parameters[i].value != NULL)
			return refuse(request, "A parameter is there twice or has no value.");
		struct bytes value;
		if (!percent_decode(request->arena, equals + 1, len - name_len - 1, &value) ||
			!json_text_valid((const char *)value.data, value.len))
			return refuse(request, "A value is not percent-encoded UTF-8.");
		parameters[i].value = (const char *)value.data;
		return true;
	}
	char detail[240] = "No parameters are taken here.";
	size_t used = 0;
	for (size_t i = 0; i < count && used < sizeof detail; i++)
		used += (size_t)snprintf(detail + used, sizeof detail - used, "%s%s",
			i == 0           ? "There is no such parameter; known is "
			: i + 1 == count ? " and "
					 : ", ",
			parameters[i].name);
	return refuse(request, detail);
}

bool parameters_read(struct request *request, struct parameter parameters[], size_t count)
{
	const char *at = request->message->query;
	for (size_t i = 0; i < count; i++)
		parameters[i].value = NULL;
	while (*at != '\0') {
		size_t len = strcspn(at, "&");
		if (!read_pair(request, at, len, parameters, count))
			return false;
		at += len;
		at += *at == '&';
	}
	return true;
}
