#include "server/worker/internal.h"

#include <string.h>

/*
 * The inventory worker: what slots, tokens and mechanisms its module has, as documents. Nobody is ever logged in here.
 */

enum { DOCUMENT_MAX = 1 << 20 }; /* bytes of one document of a slot */

/* What the module says of one configured slot. */
struct slot_facts {
	const struct worker_slot *slot;
	CK_RV rv; /* CKR_OK: `number` and the rest hold */
	CK_SLOT_ID number;
	CK_SLOT_INFO info;
	CK_TOKEN_INFO token;
	CK_MECHANISM_TYPE *mechanisms; /* in the request's arena */
	CK_ULONG mechanisms_count;
};

static CK_RV read_mechanisms(struct request *request, struct slot_facts *facts)
{
	CK_ULONG count = MECHANISMS_MAX;
	CK_MECHANISM_TYPE *mechanisms = arena_array(request->arena, MECHANISMS_MAX, sizeof *mechanisms);
	const union wire_value v[] = {{.number = facts->number}, {.list = {mechanisms, &count}}};

	if (!mechanisms)
		return CKR_HOST_MEMORY;
	CK_RV rv = invoke(request, CALL_GetMechanismList, v);
	facts->mechanisms = mechanisms;
	facts->mechanisms_count = rv == CKR_OK ? count : 0;
	return rv;
}

static void facts_read(struct request *request, struct slot_facts *facts)
{
	facts->rv = module_find_slot(request->worker, facts->slot, &facts->number);
	const union wire_value info[] = {{.number = facts->number}, {.info = &facts->info}};
	const union wire_value token[] = {{.number = facts->number}, {.info = &facts->token}};

	if (facts->rv == CKR_OK)
		facts->rv = invoke(request, CALL_GetSlotInfo, info);
	if (facts->rv == CKR_OK)
		facts->rv = invoke(request, CALL_GetTokenInfo, token);
	if (facts->rv == CKR_OK)
		facts->rv = read_mechanisms(request, facts);
}

static CK_RV start_anew(struct request *request);

/*
 * As facts_read. SoftHSM rewrites a token's files at logins and when objects are made, so a read that falls between makes the token
 * look absent, and then it does so until the next change. So what looks absent is read again while nobody may write, and what was
 * there before through a module that has been started anew.
 */
static void facts_read_surely(struct request *request, struct slot_facts *facts)
{
	struct worker *worker = request->worker;
	bool *seen = &worker->slots_seen[facts->slot - worker->slots];
	struct token_grant grant;

	facts_read(request, facts);
	if (facts->rv != CKR_OK &&
		token_acquire(worker, request->channel, TOKEN_FOR_MODULE, CKU_USER, &grant) == CKR_OK) {
		facts_read(request, facts);
		if (facts->rv != CKR_OK && *seen && worker->start.verify_login_fresh && start_anew(request) == CKR_OK)
			facts_read(request, facts);
		token_release(worker, request->channel, CKR_OK);
	}
	*seen = facts->rv == CKR_OK;
}

static void pad(unsigned char *field, size_t size, const char *text)
{
	size_t len = strlen(text);

	memset(field, ' ', size);
	memcpy(field, text, len < size ? len : size);
}

/* A slot whose token is away still is a slot; its module does not say which. */
static void facts_of_absent(struct slot_facts *facts)
{
	memset(&facts->info, 0, sizeof facts->info);
	pad(facts->info.slotDescription, sizeof facts->info.slotDescription, facts->slot->name);
	pad(facts->info.manufacturerID, sizeof facts->info.manufacturerID, "p11gate");
	facts->info.flags = CKF_REMOVABLE_DEVICE;
	facts->mechanisms_count = 0;
}

static bool mechanism_info(
	struct request *request, const struct slot_facts *facts, CK_ULONG i, CK_MECHANISM_INFO *ret_info)
{
	const union wire_value v[] = {{.number = facts->number}, {.number = facts->mechanisms[i]}, {.info = ret_info}};

	/* SoftHSM adds its flags to what it finds there. */
	memset(ret_info, 0, sizeof *ret_info);
	return invoke(request, CALL_GetMechanismInfo, v) == CKR_OK;
}

/* The item of Inventory.slots, for the client module. */
static void write_calls(struct request *request, const struct slot_facts *facts, struct json_writer *w)
{
	const char *name = facts->slot->name;
	CK_MECHANISM_INFO info = {0};

	json_begin_object(w);
	json_name(w, "name");
	json_write_string(w, name);
	json_name(w, "id");
	json_write_uint(w, slot_id_of(name, strlen(name)));
	json_name(w, "slot_info");
	info_encode(w, WIRE_SLOT_INFO, &facts->info);
	json_name(w, "token_info");
	if (facts->rv == CKR_OK)
		info_encode(w, WIRE_TOKEN_INFO, &facts->token);
	else
		json_write_null(w);
	json_name(w, "mechanisms");
	json_begin_array(w);
	for (CK_ULONG i = 0; i < facts->mechanisms_count; i++) {
		if (!mechanism_info(request, facts, i, &info))
			continue;
		json_begin_object(w);
		json_name(w, "mechanism");
		name_write(w, NAMES_MECHANISM, facts->mechanisms[i]);
		json_name(w, "info");
		info_encode(w, WIRE_MECHANISM_INFO, &info);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
}

static void padded_member(struct json_writer *w, const char *name, const unsigned char *field, size_t size)
{
	while (size > 0 && (field[size - 1] == ' ' || field[size - 1] == '\0'))
		size--;
	json_name(w, name);
	json_write_text(w, (const char *)field, size);
}

static void write_token(const CK_TOKEN_INFO *token, struct json_writer *w)
{
	json_begin_object(w);
	padded_member(w, "label", token->label, sizeof token->label);
	padded_member(w, "serial", token->serialNumber, sizeof token->serialNumber);
	padded_member(w, "model", token->model, sizeof token->model);
	padded_member(w, "manufacturer", token->manufacturerID, sizeof token->manufacturerID);
	json_name(w, "flags");
	flags_write(w, FLAGS_TOKEN, token->flags);
	json_end_object(w);
}

static const char *state_detail(CK_RV rv)
{
	if (rv == CKR_TOKEN_NOT_PRESENT)
		return "No token of the configured label, serial number or reader is there; insert it or correct the "
		       "configuration.";
	if (rv == CKR_SLOT_ID_INVALID)
		return "Several tokens fit; name the serial number in the configuration.";
	return return_row(rv)->title;
}

static enum token_presence presence(const struct slot_facts *facts)
{
	return facts->rv == CKR_OK ? TOKEN_PRESENT : facts->rv == CKR_TOKEN_NOT_PRESENT ? TOKEN_ABSENT : TOKEN_UNKNOWN;
}

/* Slot. */
static void write_slot(const struct slot_facts *facts, struct json_writer *w)
{
	static const char *const states[] = {
		[TOKEN_UNKNOWN] = "unavailable", [TOKEN_ABSENT] = "absent", [TOKEN_PRESENT] = "present"};

	json_begin_object(w);
	json_name(w, "name");
	json_write_string(w, facts->slot->name);
	json_name(w, "state");
	json_write_string(w, states[presence(facts)]);
	if (facts->rv != CKR_OK) {
		json_name(w, "detail");
		json_write_string(w, state_detail(facts->rv));
	}
	json_name(w, "class");
	json_write_string(w, facts->slot->class_name);
	if (facts->rv == CKR_OK) {
		json_name(w, "token");
		write_token(&facts->token, w);
	}
	json_end_object(w);
}

/* MechanismList. */
static void write_mechanisms(struct request *request, const struct slot_facts *facts, struct json_writer *w)
{
	CK_MECHANISM_INFO info = {0};

	json_begin_object(w);
	json_name(w, "mechanisms");
	json_begin_array(w);
	for (CK_ULONG i = 0; i < facts->mechanisms_count; i++) {
		if (!mechanism_info(request, facts, i, &info))
			continue;
		json_begin_object(w);
		json_name(w, "name");
		name_write(w, NAMES_MECHANISM, facts->mechanisms[i]);
		json_name(w, "min_key_size");
		json_write_uint(w, info.ulMinKeySize);
		json_name(w, "max_key_size");
		json_write_uint(w, info.ulMaxKeySize);
		json_name(w, "flags");
		flags_write(w, FLAGS_MECHANISM, info.flags);
		json_end_object(w);
	}
	json_end_array(w);
	json_end_object(w);
}

enum document { DOCUMENT_CALLS, DOCUMENT_SLOT, DOCUMENT_MECHANISMS };

/* One document as text in the arena; NULL if it does not fit. */
static const char *document(struct request *request, const struct slot_facts *facts, enum document which)
{
	struct buffer text BUFFER_AUTO;
	struct json_writer w;

	buffer_init(&text, DOCUMENT_MAX);
	json_writer_init(&w, &text);
	if (which == DOCUMENT_CALLS)
		write_calls(request, facts, &w);
	else if (which == DOCUMENT_SLOT)
		write_slot(facts, &w);
	else
		write_mechanisms(request, facts, &w);
	return text.failed ? NULL : arena_copy(request->arena, text.data, text.len);
}

static bool slot_pack(struct request *request, const struct worker_slot *slot, struct bytes *ret_packed)
{
	struct slot_facts *facts = arena_alloc(request->arena, sizeof *facts);
	struct buffer packed BUFFER_AUTO;

	if (!facts)
		return false;
	facts->slot = slot;
	facts_read_surely(request, facts);
	if (facts->rv != CKR_OK)
		facts_of_absent(facts);
	struct inventory_slot message = {
		.name = slot->name,
		.calls_json = document(request, facts, DOCUMENT_CALLS),
		.slot_json = document(request, facts, DOCUMENT_SLOT),
		.mechanisms_json = document(request, facts, DOCUMENT_MECHANISMS),
		.presence = presence(facts),
	};
	_Static_assert(sizeof message.serial == sizeof facts->token.serialNumber, "a serial number fits");
	if (facts->rv == CKR_OK)
		memcpy(message.serial, facts->token.serialNumber, sizeof message.serial);
	buffer_init(&packed, FRAME_PAYLOAD_MAX);
	if (message.calls_json && message.slot_json && message.mechanisms_json)
		inventory_slot_pack(&packed, &message);
	if (packed.failed || packed.len == 0)
		return false;
	*ret_packed = (struct bytes){arena_copy(request->arena, packed.data, packed.len), packed.len};
	return ret_packed->data != NULL;
}

/* New tokens are seen by some modules only after C_Initialize (X15). The token's lock keeps starting workers apart. */
static CK_RV start_anew(struct request *request)
{
	struct worker *worker = request->worker;
	struct token_grant grant;

	bool held = login_lock(request);
	CK_RV rv = token_acquire(worker, request->channel, TOKEN_FOR_MODULE, CKU_USER, &grant);
	if (rv == CKR_OK) {
		rv = module_reinitialise(worker, true);
		token_release(worker, request->channel, rv);
	}
	login_unlock(request, held);
	return rv;
}

static bool asks_reinit(const char *query)
{
	const char *at = strstr(query, "reinit=1");

	return at && (at == query || at[-1] == '&') && (at[8] == '\0' || at[8] == '&');
}

static bool inventory_pack(struct request *request)
{
	struct worker *worker = request->worker;
	struct bytes *slots = arena_array(request->arena, worker->slots_count, sizeof *slots);

	for (size_t i = 0; slots && i < worker->slots_count; i++) {
		if (!slot_pack(request, &worker->slots[i], &slots[i]))
			return false;
	}
	const struct inventory_answer answer = {.slots = {slots, worker->slots_count}};
	if (slots)
		inventory_answer_pack(&request->reply.body, &answer);
	return slots && !request->reply.body.failed;
}

void inventory_run(struct request *request)
{
	CK_RV rv = CKR_OK;

	module_share(request);
	if (asks_reinit(request->message->query))
		rv = start_anew(request);
	bool good = rv == CKR_OK && inventory_pack(request);
	module_unshare(request);
	if (!good) {
		reply_return(request, rv == CKR_OK ? CKR_HOST_MEMORY : rv, NULL);
		return;
	}
	request->reply.status = 200;
	request->reply.content_type = "application/octet-stream";
}
