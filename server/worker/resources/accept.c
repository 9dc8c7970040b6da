#include "server/worker/resources/accept.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

struct range {
	const char *text;
	size_t len;
	int quality;
}; /* quality in thousandths */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \t");
}

/* qvalue of RFC 9110, section 12.4.2; what is none counts as 1. */
static int read_quality(const char *at, size_t len)
{
	int quality = len > 0 && at[0] == '0' ? 0 : 1000, weight = 100;
	if (quality == 1000)
		return quality;
	for (size_t i = 2; i < len && i < 5 && at[1] == '.' && at[i] >= '0' && at[i] <= '9'; i++, weight /= 10)
		quality += (at[i] - '0') * weight;
	return quality;
}

/* Reads one range with its parameters and returns what is behind its comma. */
static const char *read_range(const char *at, struct range *ret_range)
{
	at = skip_blanks(at);
	ret_range->text = at;
	ret_range->len = strcspn(at, "; \t,");
	ret_range->quality = 1000;
	at = skip_blanks(at + ret_range->len);
	while (*at == ';') {
		at = skip_blanks(at + 1);
		size_t len = strcspn(at, ";,");
		if (len > 2 && strncasecmp(at, "q=", 2) == 0)
			ret_range->quality = read_quality(at + 2, len - 2);
		at = skip_blanks(at + len);
	}
	at += strcspn(at, ",");
	return *at == ',' ? at + 1 : at;
}

/* How closely the range names the type: 3 exactly, 2 its main type, 1 anything, 0 not at all. */
static int closeness(const struct range *range, const char *type)
{
	size_t main_len = strcspn(type, "/");
	if (range->len == strlen(type) && strncasecmp(range->text, type, range->len) == 0)
		return 3;
	if (range->len == main_len + 2 && strncasecmp(range->text, type, main_len + 1) == 0 &&
		range->text[main_len + 1] == '*')
		return 2;
	return range->len == 3 && memcmp(range->text, "*/*", 3) == 0;
}

static int quality_of(const char *header, const char *type)
{
	int best = 0, quality = 0;
	while (*(header = skip_blanks(header)) != '\0') {
		struct range range;
		header = read_range(header, &range);
		int close = closeness(&range, type);
		if (close > best) {
			best = close;
			quality = range.quality;
		}
	}
	return quality;
}

int accept_choose(const char *header, const char *const offers[], size_t count)
{
	int chosen = -1, best = 0;
	if (*skip_blanks(header) == '\0')
		return 0;
	for (size_t i = 0; i < count; i++) {
		int quality = quality_of(header, offers[i]);
		if (quality > best) {
			best = quality;
			chosen = (int)i;
		}
	}
	return chosen;
}
