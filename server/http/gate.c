#include "server/http/gate.h"

#include <string.h>
#include <strings.h>

enum field_rule { RULE_TEXT, RULE_REFUSED };

struct field_row {
	const char *name;
	size_t len;
	enum field_rule rule;
};

static const struct field_row field_rows[GATE_FIELD_COUNT] = {
#define FIELD(constant, name, rule) {name, sizeof name - 1, RULE_##rule},
	GATE_FIELDS(FIELD)
#undef FIELD
};

/* What a byte may be part of. */
enum byte_class { IN_PATH = 1, IN_QUERY = 2, IN_NAME = 4, IN_HOST = 8, IN_TEXT = 16 };

#define LETTERS(C) \
	['a'] = C, ['b'] = C, ['c'] = C, ['d'] = C, ['e'] = C, ['f'] = C, ['g'] = C, ['h'] = C, ['i'] = C, ['j'] = C, \
	['k'] = C, ['l'] = C, ['m'] = C, ['n'] = C, ['o'] = C, ['p'] = C, ['q'] = C, ['r'] = C, ['s'] = C, ['t'] = C, \
	['u'] = C, ['v'] = C, ['w'] = C, ['x'] = C, ['y'] = C, ['z'] = C, ['A'] = C, ['B'] = C, ['C'] = C, ['D'] = C, \
	['E'] = C, ['F'] = C, ['G'] = C, ['H'] = C, ['I'] = C, ['J'] = C, ['K'] = C, ['L'] = C, ['M'] = C, ['N'] = C, \
	['O'] = C, ['P'] = C, ['Q'] = C, ['R'] = C, ['S'] = C, ['T'] = C, ['U'] = C, ['V'] = C, ['W'] = C, ['X'] = C, \
	['Y'] = C, ['Z'] = C
#define DIGITS(C) \
	['0'] = C, ['1'] = C, ['2'] = C, ['3'] = C, ['4'] = C, ['5'] = C, ['6'] = C, ['7'] = C, ['8'] = C, ['9'] = C
#define TARGET (IN_PATH | IN_QUERY | IN_TEXT)

/* RFC 3986 for the target, RFC 9110 for the rest; bytes that are not listed are allowed nowhere. */
static const unsigned char byte_classes[256] = {
	LETTERS(TARGET | IN_NAME | IN_HOST),
	DIGITS(TARGET | IN_NAME | IN_HOST),
	['-'] = TARGET | IN_NAME | IN_HOST,
	['.'] = TARGET | IN_HOST,
	['_'] = TARGET | IN_HOST,
	[':'] = TARGET | IN_HOST,
	['~'] = TARGET,
	['%'] = TARGET,
	['!'] = TARGET,
	['$'] = TARGET,
	['&'] = TARGET,
	['\''] = TARGET,
	['('] = TARGET,
	[')'] = TARGET,
	['*'] = TARGET,
	['+'] = TARGET,
	[','] = TARGET,
	[';'] = TARGET,
	['='] = TARGET,
	['@'] = TARGET,
	['/'] = TARGET,
	['?'] = IN_QUERY | IN_TEXT,
	['['] = IN_HOST | IN_TEXT,
	[']'] = IN_HOST | IN_TEXT,
	[' '] = IN_TEXT,
	['"'] = IN_TEXT,
	['#'] = IN_TEXT,
	['<'] = IN_TEXT,
	['>'] = IN_TEXT,
	['\\'] = IN_TEXT,
	['^'] = IN_TEXT,
	['`'] = IN_TEXT,
	['{'] = IN_TEXT,
	['|'] = IN_TEXT,
	['}'] = IN_TEXT,
};

/* Bytes from `at` on, up to `end`, that belong to `class`. */
static size_t span(const char *at, const char *end, unsigned class)
{
	const char *start = at;
	while (at < end && (byte_classes[(unsigned char)*at] & class) != 0)
		at++;
	return (size_t)(at - start);
}

static enum gate_verdict refuse(struct gate_head *head, unsigned status, const char *problem)
{
	head->status = status;
	head->problem = problem;
	return GATE_REFUSED;
}

/* The end of the line that begins at `at`: where its CRLF is. NULL if none has come yet; *ret_bad on a bare CR or LF, or NUL. */
static const char *line_end(const char *at, const char *end, bool *ret_bad)
{
	for (; at < end; at++) {
		if (*at == '\r') {
			if (at + 1 == end)
				return NULL;
			*ret_bad = at[1] != '\n';
			return at;
		}
		if (*at == '\n' || *at == '\0') {
			*ret_bad = true;
			return at;
		}
	}
	return NULL;
}

static bool escapes_complete(struct gate_text text)
{
	for (size_t i = 0; i < text.len; i++) {
		if (text.data[i] != '%')
			continue;
		if (text.len - i < 3 ||
			strspn((char[]){text.data[i + 1], text.data[i + 2], '\0'}, "0123456789abcdefABCDEF") != 2)
			return false;
	}
	return true;
}

static enum gate_verdict version_check(struct gate_text version, struct gate_head *head)
{
	if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 || version.data[6] != '.')
		return refuse(head, 400, "the request line does not end in an HTTP version");
	if (memcmp(version.data, "HTTP/1.1", 8) != 0)
		return refuse(head, 505, "only HTTP/1.1 is spoken here");
	return GATE_PASSED;
}

static enum gate_verdict request_line(const char *at, const char *end, struct gate_head *head)
{
	head->method.data = at;
	while (at < end && *at >= 'A' && *at <= 'Z')
		at++;
	head->method.len = (size_t)(at - head->method.data);
	if (head->method.len == 0 || head->method.len > GATE_METHOD_MAX || at == end || *at++ != ' ')
		return refuse(head, 400, "the request line does not begin with a method and one space");
	if (at == end || *at != '/')
		return refuse(head, 400, "the request target is not a path that begins with '/'");
	head->path = (struct gate_text){at, span(at, end, IN_PATH)};
	at += head->path.len;
	if (at < end && *at == '?') {
		at++;
		head->query = (struct gate_text){at, span(at, end, IN_QUERY)};
		at += head->query.len;
	}
	if (at == end || *at++ != ' ')
		return refuse(head, 400, "the request target has a byte that RFC 3986 does not allow there");
	if (!escapes_complete(head->path) || !escapes_complete(head->query))
		return refuse(head, 400, "the request target has an incomplete percent escape");
	return version_check((struct gate_text){at, (size_t)(end - at)}, head);
}

static struct gate_text trimmed(const char *at, const char *end)
{
	while (at < end && (*at == ' ' || *at == '\t'))
		at++;
	while (end > at && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	return (struct gate_text){at, (size_t)(end - at)};
}

static bool value_has_controls(struct gate_text value)
{
	for (size_t i = 0; i < value.len; i++) {
		unsigned char byte = (unsigned char)value.data[i];
		if ((byte < ' ' && byte != '\t') || byte == 0x7f)
			return true;
	}
	return false;
}

static int field_index(struct gate_text name)
{
	for (int i = 0; i < GATE_FIELD_COUNT; i++)
		if (field_rows[i].len == name.len && strncasecmp(field_rows[i].name, name.data, name.len) == 0)
			return i;
	return -1;
}

static enum gate_verdict field_line(const char *at, const char *end, struct gate_head *head)
{
	struct gate_text name = {at, span(at, end, IN_NAME)};
	at += name.len;
	if (name.len == 0 || at == end || *at != ':')
		return refuse(head, 400,
			"a header field is not a name of letters, digits and '-' with a colon right behind it");
	struct gate_text value = trimmed(at + 1, end);
	if (value_has_controls(value))
		return refuse(head, 400, "a header field has a control character");
	int index = field_index(name);
	if (index < 0)
		return GATE_PASSED;
	if (field_rows[index].rule == RULE_REFUSED)
		return refuse(
			head, 400, "Transfer-Encoding, Trailer and Upgrade are not accepted; send a Content-Length");
	if (head->fields[index].data != NULL)
		return refuse(head, 400, "a header field that may appear once is repeated");
	if (span(value.data, value.data + value.len, IN_TEXT) != value.len)
		return refuse(head, 400, "a header field has a byte that is not printable ASCII");
	head->fields[index] = value;
	return GATE_PASSED;
}

static bool text_is(struct gate_text text, const char *literal)
{
	return text.len == strlen(literal) && strncasecmp(text.data, literal, text.len) == 0;
}

static enum gate_verdict length_check(struct gate_head *head)
{
	static const char *const with_body[] = {"POST", "PUT", "PATCH"};
	bool body = false;
	for (size_t i = 0; i < sizeof with_body / sizeof *with_body; i++)
		body = body || text_is(head->method, with_body[i]);
	struct gate_text length = head->fields[GATE_CONTENT_LENGTH];
	if (length.data == NULL)
		return GATE_PASSED; /* RFC 9112, section 6.3: without both lengths there is no body */
	enum { LENGTH_DIGITS_MAX = 15 };
	if (length.len == 0 || length.len > LENGTH_DIGITS_MAX || (length.len > 1 && length.data[0] == '0'))
		return refuse(head, 400, "Content-Length is not a plain decimal number");
	for (size_t i = 0; i < length.len; i++) {
		if (length.data[i] < '0' || length.data[i] > '9')
			return refuse(head, 400, "Content-Length is not a plain decimal number");
		head->content_length = head->content_length * 10 + (uint64_t)(length.data[i] - '0');
	}
	if (!body && head->content_length > 0)
		return refuse(head, 400, "this method has no body");
	return GATE_PASSED;
}

static enum gate_verdict fields_check(struct gate_head *head)
{
	struct gate_text host = head->fields[GATE_HOST];
	if (host.len == 0 || span(host.data, host.data + host.len, IN_HOST) != host.len)
		return refuse(head, 400, "the request needs one Host header field with a host name");
	struct gate_text expect = head->fields[GATE_EXPECT];
	if (expect.data != NULL && !text_is(expect, "100-continue"))
		return refuse(head, 417, "the only expectation that can be met is 100-continue");
	head->expects_continue = expect.data != NULL;
	/* Any other option than close asks for nothing that is not done anyway. */
	struct gate_text connection = head->fields[GATE_CONNECTION];
	for (size_t i = 0; i + 5 <= connection.len; i++)
		head->close = head->close || strncasecmp(connection.data + i, "close", 5) == 0;
	return length_check(head);
}

static enum gate_verdict incomplete(size_t len, struct gate_head *head)
{
	if (len >= GATE_HEAD_MAX)
		return refuse(head, 431, "the request line and header fields are too long");
	return GATE_MORE;
}

enum gate_verdict gate_head(const char *bytes, size_t len, struct gate_head *ret_head)
{
	*ret_head = (struct gate_head){0};
	const char *at = bytes, *end = bytes + (len < GATE_HEAD_MAX ? len : GATE_HEAD_MAX);
	for (unsigned line = 0;; line++) {
		bool bad = false;
		const char *stop = line_end(at, end, &bad);
		if (bad)
			return refuse(ret_head, 400, "a line does not end in CR LF, or has a NUL");
		if (stop == NULL)
			return incomplete(len, ret_head);
		if (line > 0 && stop == at) {
			ret_head->len = (size_t)(stop + 2 - bytes);
			return fields_check(ret_head);
		}
		if (line > GATE_FIELDS_MAX)
			return refuse(ret_head, 431, "the request has too many header fields");
		enum gate_verdict verdict = line == 0 ? request_line(at, stop, ret_head)
						      : field_line(at, stop, ret_head);
		if (verdict != GATE_PASSED)
			return verdict;
		at = stop + 2;
	}
}
