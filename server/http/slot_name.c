/*
 * Slots by what is in them (D6): {slot} of a path is a configured name, or says which token. Names of slots have no ':', so that no name
 * is taken for anything else.
 */
#include "server/http/internal.h"

#include <string.h>

#include "api/json.h"
#include "server/common/pkcs11_uri.h"

enum {
	FIRST_LOOK_MS = 1000, /* how long to wait where no module has been looked at yet */
	CANDIDATES_MAX = 512, /* bytes of their names in a detail */
};

/* What is looked for, and what was found. */
struct search {
	struct pkcs11_uri wanted;
	const char *found;
	unsigned count;
	char detail[CANDIDATES_MAX]; /* the names, separated by commas */
};

/* A field of CK_TOKEN_INFO; the blanks around it are there. */
static void read_field(struct json_reader *in, CK_UTF8CHAR *field, size_t size)
{
	struct json_text text;
	if (json_read_string(in, &text))
		memcpy(field, text.data, text.len < size ? text.len : size);
}

static void read_token(struct json_reader *in, CK_TOKEN_INFO *ret_token)
{
	struct json_text name;
	memset(ret_token, ' ', sizeof *ret_token);
	if (!json_enter_object(in))
		return;
	while (json_next_member(in, &name)) {
		if (json_text_is(name, "label"))
			read_field(in, ret_token->label, sizeof ret_token->label);
		else if (json_text_is(name, "serial"))
			read_field(in, ret_token->serialNumber, sizeof ret_token->serialNumber);
		else if (json_text_is(name, "model"))
			read_field(in, ret_token->model, sizeof ret_token->model);
		else if (json_text_is(name, "manufacturer"))
			read_field(in, ret_token->manufacturerID, sizeof ret_token->manufacturerID);
		else
			json_skip(in);
	}
}

static void add_candidate(struct search *search, const char *name)
{
	size_t used = strlen(search->detail), len = strlen(name);
	if (used + len + 3 > sizeof search->detail)
		return;
	if (used > 0) {
		memcpy(search->detail + used, ", ", 2);
		used += 2;
	}
	memcpy(search->detail + used, name, len + 1);
}

/* One slot of the inventory's list. */
static void look_at(struct request *request, struct json_reader *in, struct search *search)
{
	struct json_text member, name = {"", 0};
	CK_TOKEN_INFO token;
	bool present = false;
	if (!json_enter_object(in))
		return;
	while (json_next_member(in, &member)) {
		if (json_text_is(member, "name")) {
			json_read_string(in, &name);
		} else if (json_text_is(member, "token")) {
			read_token(in, &token);
			present = true;
		} else {
			json_skip(in);
		}
	}
	const char *copy = arena_copy(request->arena, name.data, name.len);
	if (json_failed(in) || copy == NULL || !present || !pkcs11_uri_matches_token(&search->wanted, &token))
		return;
	search->found = copy;
	search->count++;
	add_candidate(search, copy);
}

/* Among the slots that the identity may see, as the modules were last looked at. False: no memory. */
static bool search_inventory(struct request *request, struct search *search)
{
	struct json_text member;
	struct json_reader in;
	BUFFER_AUTO struct buffer document;
	buffer_init(&document, LIMIT_BODY);
	if (registry_inventory(request->connection->listener->registry, INVENTORY_SLOTS, NULL, request_slot_visible,
		    request, 0, FIRST_LOOK_MS, &document) != STATUS_OK)
		return false;
	json_reader_init(&in, (const char *)document.data, document.len, request->arena);
	if (json_enter_object(&in) && json_next_member(&in, &member) && json_enter_array(&in))
		while (json_next_element(&in))
			look_at(request, &in, search);
	return !json_failed(&in);
}

/* What `given` asks for. False: it is no way to name a token, and *ret_error says why if it looks like one. */
static bool wanted_token(struct arena *arena, const char *given, struct pkcs11_uri *ret_wanted, const char **ret_error)
{
	static const char label[] = "label:", serial[] = "serial:", uri[] = "pkcs11:";
	*ret_error = NULL;
	*ret_wanted = (struct pkcs11_uri){0};
	if (strncmp(given, uri, sizeof uri - 1) == 0)
		return pkcs11_uri_parse_token(arena, given, ret_wanted, ret_error);
	if (strncmp(given, label, sizeof label - 1) == 0) {
		given += sizeof label - 1;
		ret_wanted->token = (struct bytes){(const unsigned char *)given, strlen(given)};
		return true;
	}
	if (strncmp(given, serial, sizeof serial - 1) != 0)
		return false;
	given += sizeof serial - 1;
	ret_wanted->serial = (struct bytes){(const unsigned char *)given, strlen(given)};
	return true;
}

bool slot_name_find(struct request *request, const char *given, const char **ret_name)
{
	struct search search = {.found = given};
	const char *error;
	*ret_name = given;
	if (strchr(given, ':') == NULL)
		return true;
	if (!wanted_token(request->arena, given, &search.wanted, &error)) {
		if (error != NULL)
			answer_problem(request, PROBLEM_MALFORMED_PATH, error);
		return error == NULL;
	}
	if (!search_inventory(request, &search)) {
		answer_problem(request, PROBLEM_OUT_OF_MEMORY, NULL);
		return false;
	}
	if (search.count > 1) {
		answer_problem(request, PROBLEM_SLOT_AMBIGUOUS, search.detail);
		return false;
	}
	*ret_name = search.found;
	return true;
}
