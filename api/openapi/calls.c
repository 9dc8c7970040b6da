#include "api/openapi/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "api/limits.h"
#include "api/names.h"

/* How a kind looks as a member of a request and of a result (codec.h); NULL where it has none. */
static const struct {
	const char *request, *result;
} kinds[] = {
	[WIRE_BOOL] = {"{'type':'boolean'}", NULL},
	[WIRE_ULONG] = {REF("Number"), NULL},
	[WIRE_USER] = {"{'type':'string','pattern':'^CKU_[A-Z_]+$'}", NULL},
	[WIRE_SLOT] = {NULL, NULL},
	[WIRE_SESSION] = {REF("Handle"), NULL},
	[WIRE_OBJECT] = {REF("Handle"), NULL},
	[WIRE_BYTES] = {REF("Bytes"), NULL},
	[WIRE_PIN] = {REF("Bytes"), NULL},
	[WIRE_LABEL] = {REF("Bytes"), NULL},
	[WIRE_MECHANISM] = {REF("Mechanism"), NULL},
	[WIRE_TEMPLATE] = {REF("Template"), NULL},
	[WIRE_QUERY] = {REF("Query"), REF("QueryResult")},
	[WIRE_NOTIFY] = {NULL, NULL},
	[WIRE_BUFFER] = {REF("Capacity"), REF("Output")},
	[WIRE_FILL] = {REF("Capacity"), REF("Output")},
	[WIRE_LIST] = {NULL, "{'type':'array','items':" REF("Number") "}"},
	[WIRE_FOUND] = {"{'type':'integer','minimum':0}", "{'type':'array','items':{'type':'integer','minimum':0}}"},
	[WIRE_NEW_SESSION] = {NULL, "{'type':'integer','minimum':0}"},
	[WIRE_NEW_OBJECT] = {NULL, "{'type':'integer','minimum':0}"},
	[WIRE_ULONG_OUT] = {NULL, REF("Number")},
	[WIRE_INFO] = {NULL, NULL},
	[WIRE_SLOT_INFO] = {NULL, REF("structure.SLOT_INFO")},
	[WIRE_TOKEN_INFO] = {NULL, REF("structure.TOKEN_INFO")},
	[WIRE_SESSION_INFO] = {NULL, REF("structure.SESSION_INFO")},
	[WIRE_MECHANISM_INFO] = {NULL, REF("structure.MECHANISM_INFO")},
};

/* The forms that calls and structures share. */
static const struct {
	const char *name, *json;
} forms[] = {
	{"Number", "{'description':'A CK_ULONG; above 2^53 a decimal string, null is CK_UNAVAILABLE_INFORMATION',"
		   "'oneOf':[{'type':'integer','minimum':0,'maximum':9007199254740992},{'type':'string','pattern':'^[1-"
		   "9][0-9]*$'},{'type':'null'}]}"},
	{"Constant", "{'description':'A constant of the standard by its name, or its number',"
		     "'type':'string','pattern':'^(CK[A-Z]+_[A-Z0-9_]+|0x[0-9a-f]{1,16})$'}"},
	{"Handle", "{'description':'A handle, or the index of an earlier call of the group: what it returned, or found "
		   "first',"
		   "'oneOf':[{'type':'integer','minimum':0},{'type':'object','required':['from'],"
		   "'properties':{'from':{'type':'integer','minimum':0}},'additionalProperties':false}]}"},
	{"Bytes", "{'description':'Base64 in either alphabet, padded or not; null is a NULL pointer',"
		  "'type':['string','null'],'pattern':'^[A-Za-z0-9_+/-]*={0,2}$'}"},
	{"Capacity", "{'description':'Bytes that the buffer holds; null is a NULL pointer, which asks for the length',"
		     "'type':['integer','null'],'minimum':0}"},
	{"Output", "{'description':'Base64url, or the length alone where it was asked for or the buffer is too small',"
		   "'oneOf':[{'type':'string','pattern':'^[A-Za-z0-9_-]*$'}," REF("Length") "]}"},
	{"Text", "{'description':'Text, or its bytes where they are not UTF-8',"
		 "'oneOf':[{'type':'string'},{'type':'object','required':['raw'],'properties':{'raw':{'type':'string'}}"
		 "}]}"},
	{"Length", "{'type':'object','required':['length'],'properties':{'length':{'type':'integer','minimum':0}}}"},
	{"Template", "{'description':'Attributes with their values, each typed as the standard types the attribute',"
		     "'type':['array','null'],'items':" REF("Attribute") "}"},
	{"Query",
		"{'description':'Attributes with the capacities of their buffers','type':['array','null'],'items':" REF(
			"Attribute") "}"},
	{"Attribute", "{'type':'object','minProperties':1,'maxProperties':1,'propertyNames':" REF("Constant") "}"},
	{"QueryResult", "{'description':'One value for each attribute asked for: the value, its length alone, or null "
			"if it is unavailable',"
			"'type':['array','null'],'items':{}}"},
};

static void call_arguments(struct json_writer *w, const struct call_row *row)
{
	char name[NAME_MAX_LEN];

	snprintf(name, sizeof(name), "C_%s", row->name);
	put_object(w, name);
	permissions_write(w, row->permissions);
	put(w, "type", "'object'");
	put_object(w, "properties");
	for (size_t i = 0; i < row->argument_count; i++)
		if (kinds[row->arguments[i].kind].request != NULL)
			put(w, row->arguments[i].name, kinds[row->arguments[i].kind].request);
	json_end_object(w);
	json_name(w, "required");
	json_begin_array(w);
	for (size_t i = 0; i < row->argument_count; i++)
		if (kinds[row->arguments[i].kind].request != NULL)
			json_write_string(w, row->arguments[i].name);
	json_end_array(w);
	put(w, "additionalProperties", "false");
	json_end_object(w);
}

static bool travels(const struct call_row *row)
{
	return row->place == PLACE_MODULE;
}

/* One property per function; a call has exactly one of them. */
static void call_write(struct json_writer *w)
{
	char name[NAME_MAX_LEN];

	put_object(w, "Call");
	put_text(w, "description", "One Cryptoki function and its arguments");
	put(w, "type", "'object'");
	put(w, "minProperties", "1");
	put(w, "maxProperties", "1");
	put(w, "additionalProperties", "false");
	put_object(w, "properties");
	for (enum call_id id = 0; id < CALL_COUNT; id++) {
		if (!travels(call_row(id)))
			continue;
		snprintf(name, sizeof(name), "C_%s", call_row(id)->name);
		json_name(w, call_row(id)->name);
		write_reference(w, "schemas", name, NULL);
	}
	json_end_object(w);
	json_end_object(w);
}

/* The form that some call gives the output `name`, and whether it is the first such call's argument that is asked about. */
static const char *output_form(const char *name, const struct call_argument *argument, bool *ret_first)
{
	for (enum call_id id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row(id);
		for (size_t i = 0; travels(row) && i < row->argument_count; i++) {
			const char *form = kinds[row->arguments[i].kind].result;
			if (form == NULL || strcmp(row->arguments[i].name, name) != 0)
				continue;
			*ret_first = &row->arguments[i] == argument;
			return form;
		}
	}
	return NULL;
}

/* The outputs of all functions together: which of them a result has depends on its call. */
static void call_result_write(struct json_writer *w)
{
	put_object(w, "CallResult");
	put_text(w, "description", "The return value of a call and, where it succeeded, its outputs");
	put(w, "type", "'object'");
	put(w, "required", "['rv']");
	put_object(w, "properties");
	put(w, "rv", REF("ReturnValue"));
	for (enum call_id id = 0; id < CALL_COUNT; id++) {
		const struct call_row *row = call_row(id);
		for (size_t i = 0; travels(row) && i < row->argument_count; i++) {
			const char *form = kinds[row->arguments[i].kind].result;
			bool first;
			if (form == NULL)
				continue;
			if (output_form(row->arguments[i].name, &row->arguments[i], &first) != form)
				die("an output has two forms", row->arguments[i].name);
			if (first)
				put(w, row->arguments[i].name, form);
		}
	}
	json_end_object(w);
	json_end_object(w);
}

static void list_write(struct json_writer *w, const char *name, const char *items, size_t items_max)
{
	put_object(w, name);
	put(w, "type", "'array'");
	put(w, "items", items);
	json_name(w, "maxItems");
	json_write_uint(w, items_max);
	json_end_object(w);
}

static void groups_write(struct json_writer *w)
{
	put_object(w, "CallGroups");
	put_text(w, "description",
		"Groups run side by side, the calls of a group one after the other up to the first that fails");
	put(w, "type", "'object'");
	put(w, "required", "['groups']");
	put(w, "additionalProperties", "false");
	put_object(w, "properties");
	list_write(w, "groups", REF("CallGroup"), LIMIT_GROUPS);
	put(w, "login", REF("LoginWishes"));
	json_end_object(w);
	json_end_object(w);
	put(w, "LoginWishes",
		"{'description':'Rules of logins stricter than the server has, for the sessions that the calls "
		"open','type':"
		"'object','additionalProperties':false,'properties':{'cache_pin':{'type':'integer','enum':[0,1]},"
		"'logout_after':{'enum':['never','sign','private-op']},'force_login':{'type':'integer','enum':[0,64]}}"
		"}");
	put_object(w, "CallGroup");
	put(w, "type", "'object'");
	put(w, "required", "['op','calls']");
	put(w, "additionalProperties", "false");
	put_object(w, "properties");
	put(w, "op",
		"{'description':'128 bits that name the operation','type':'string','pattern':'^[0-9a-fA-F]{32}$'}");
	list_write(w, "calls", REF("Call"), LIMIT_CALLS);
	json_end_object(w);
	json_end_object(w);
}

void calls_write(struct json_writer *w)
{
	groups_write(w);
	put(w, "CallResults",
		"{'description':'One item for each "
		"group','type':'object','required':['groups'],'properties':{'groups':{"
		"'type':'array','items':{'type':'object','required':['results'],'properties':{'results':{'type':'array'"
		",'items':" REF("CallResult") "}}}}}}");
	call_write(w);
	call_result_write(w);
	for (enum call_id id = 0; id < CALL_COUNT; id++)
		if (travels(call_row(id)))
			call_arguments(w, call_row(id));
	for (size_t i = 0; i < COUNT_OF(forms); i++)
		put(w, forms[i].name, forms[i].json);
	structures_write(w);
}
