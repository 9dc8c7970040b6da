#include "api/openapi/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "api/problem.h"

static void return_value_write(struct json_writer *w)
{
	size_t i = 0;

	put_object(w, "ReturnValue");
	put_text(w, "description", "A return value of the standard, or the number of another");
	json_name(w, "anyOf");
	json_begin_array(w);
	write_fixed(w, "{'const':'CKR_OK'}");
	for (const struct return_row *row = return_row_at(0); row != NULL; row = return_row_at(++i)) {
		json_begin_object(w);
		put_text(w, "const", row->name);
		put_text(w, "description", row->title);
		json_end_object(w);
	}
	write_fixed(w, "{'type':'string','pattern':'^0x[0-9a-f]{1,16}$'}");
	json_end_array(w);
	json_end_object(w);
}

static void type_write(struct json_writer *w, const char *type)
{
	char path[sizeof PROBLEM_PATH + PROBLEM_TYPE_MAX];

	snprintf(path, sizeof path, PROBLEM_PATH "%s", type);
	json_write_string(w, path);
}

/* Whether no row before it has the same type. */
static bool type_is_first(size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(return_row_at(i)->problem, return_row_at(index)->problem) == 0)
			return false;
	return true;
}

static void problem_type_write(struct json_writer *w)
{
	put_object(w, "ProblemType");
	put_text(w, "description", "What went wrong, as the path of a page about it");
	put(w, "type", "'string'");
	put(w, "format", "'uri-reference'");
	json_name(w, "enum");
	json_begin_array(w);
	for (size_t i = 0; return_row_at(i) != NULL; i++)
		if (type_is_first(i))
			type_write(w, return_row_at(i)->problem);
	for (enum problem i = 0; i < PROBLEM_COUNT; i++)
		type_write(w, problem_row(i)->type);
	json_end_array(w);
	json_end_object(w);
}

void problems_write(struct json_writer *w)
{
	return_value_write(w);
	problem_type_write(w);
	put(w, "Problem",
		"{'description':'Problem details (RFC "
		"9457)','type':'object','required':['type','title','status','retryable','trace_id'],"
		"'properties':{'type':" REF(
			"ProblemType") ",'title':{'type':'string'},'status':{'type':'integer'},'detail':{'type':'"
				       "string'},"
				       "'pointer':{'description':'The member of the body at fault (RFC "
				       "6901)','type':'string'},"
				       "'ckr':" REF(
					       "ReturnValue") ",'ckr_code':{'type':'integer'},"
							      "'retryable':{'description':'The same request may "
							      "succeed later','type':'boolean'},"
							      "'attempts_left':{'description':'After a wrong PIN: how "
							      "many more go to the token, "
							      "where that is known','type':'integer','minimum':0},"
							      "'trace_id':{'description':'Names the request in the "
							      "logs','type':'string','pattern':'^[0-9a-f]{32}$'},"
							      "'operation':{'description':'The operation that waits "
							      "for "
							      "re-authentication','type':'object','properties':{'id':{'"
							      "type':'string'},"
							      "'href':{'type':'string'},'expires_at':{'type':'string','"
							      "format':'date-time'},'data_sha256':{'type':'string'}}},"
							      "'reauthenticate':{'description':'Where and how to "
							      "re-authenticate','type':'object','properties':{'href':{'"
							      "type':'string'},"
							      "'methods':{'type':'array','items':{'type':'string'}}}}}"
							      "}");
}
