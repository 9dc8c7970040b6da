/*
 * The pages under /docs/errors/, to which the type of every problem leads: what the tables say about it.
 */
#include "server/http/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"

/* Text as HTML. */
static void put_text(struct buffer *page, const char *text)
{
	static const char *const entities[256] = {['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;"};

	for (; *text != '\0'; text++) {
		const char *entity = entities[(unsigned char)*text];
		if (entity != NULL)
			buffer_text(page, entity);
		else
			buffer_byte(page, (unsigned char)*text);
	}
}

static void put_element(struct buffer *page, const char *element, const char *text)
{
	buffer_byte(page, '<');
	buffer_text(page, element);
	buffer_byte(page, '>');
	put_text(page, text);
	buffer_text(page, "</");
	buffer_text(page, element);
	buffer_text(page, ">\n");
}

static void put_fact(struct buffer *page, const char *term, const char *value)
{
	put_element(page, "dt", term);
	put_element(page, "dd", value);
}

/* The return values that a problem of this type comes with. */
static void put_return_values(struct buffer *page, const struct problem_row *row, bool of_token)
{
	static const char term[] = "PKCS#11 return value";
	char scratch[24];

	if (!of_token)
		put_fact(page, term, row->rv == CKR_OK ? "none" : name_text(NAMES_RETURN, row->rv, scratch));
	for (size_t i = 0; of_token && return_row_at(i) != NULL; i++)
		if (strcmp(return_row_at(i)->problem, row->type) == 0)
			put_fact(page, term, return_row_at(i)->name);
}

static const char *advice(const struct problem_row *row)
{
	if (row->status < 400)
		return "Nothing: this is not an error.";
	if (row->retryable)
		return "Send the same request again, after the seconds of Retry-After if the answer has that field. "
		       "If it stays so, ask the operator.";
	if (row->status < 500)
		return "Do not send the same request again as it is: change the request, or what it finds in its way. "
		       "Where the answer has detail and pointer, they say more about this case.";
	return "Do not simply send the same request again: it will fail again, or it may have been carried out. Look "
	       "at the state first. The operator finds the request in the logs by its trace_id.";
}

/* The row of a type; `*ret_of_token`: it is one of returns.def. */
static bool find(const char *type, struct problem_row *ret_row, bool *ret_of_token)
{
	for (enum problem i = 0; i < PROBLEM_COUNT; i++) {
		if (strcmp(problem_row(i)->type, type) != 0)
			continue;
		*ret_row = *problem_row(i);
		*ret_of_token = false;
		return true;
	}
	for (size_t i = 0; return_row_at(i) != NULL; i++) {
		if (strcmp(return_row_at(i)->problem, type) != 0)
			continue;
		*ret_row = problem_of_return(return_row_at(i)->rv);
		*ret_of_token = true;
		return true;
	}
	return false;
}

bool problem_page_write(struct buffer *page, const char *type)
{
	struct problem_row row;
	bool of_token;
	char status[64];

	if (!find(type, &row, &of_token))
		return false;
	snprintf(status, sizeof status, "%u %s", row.status, MHD_get_reason_phrase_for(row.status));
	buffer_text(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
			  "<meta name=\"viewport\" content=\"width=device-width\">\n");
	put_element(page, "title", row.type);
	buffer_text(page, "</head>\n<body>\n");
	put_element(page, "h1", row.type);
	put_element(page, "p", row.title);
	put_element(page, "h2", "Before you send it again");
	put_element(page, "p", advice(&row));
	buffer_text(page, "<dl>\n");
	put_fact(page, "HTTP status", status);
	put_fact(page, "Retryable", row.retryable ? "yes" : "no");
	put_return_values(page, &row, of_token);
	buffer_text(page, "</dl>\n</body>\n</html>\n");
	return true;
}
