#include "server/worker/internal.h"

#include <stdlib.h>
#include <string.h>

/*
 * What the calls that passed say about the operations of a session. The module decides what is active; this record
 * tells an operation's key, mechanism and input to the audit, and which operations a logout has ended (X4).
 */

/* Of the one application of this process. */
static atomic_uint keeping_login;

unsigned track_keeping_login(void)
{
	return atomic_load(&keeping_login);
}

/* The operation is over, whatever the module makes of it: it does not keep the module logged in any more. */
static void login_let_go(struct session_operation *operation)
{
	if (operation->keeps_login)
		atomic_fetch_sub(&keeping_login, 1);
	operation->keeps_login = false;
}

static void operation_reset(struct session_operation *operation)
{
	login_let_go(operation);
	free(operation->deferred);
	free(operation->found);
	object_info_release(operation->key);
	EVP_MD_CTX_free(operation->input);
	memset(operation, 0, sizeof *operation);
}

void track_forget(struct session_operation *operation)
{
	operation_reset(operation);
}

void track_defer(struct session_operation *operation, char *init, size_t init_len)
{
	login_let_go(operation);
	operation->deferred = init;
	operation->deferred_len = init_len;
}

void track_begun(struct session_operation *operation)
{
	free(operation->deferred);
	operation->deferred = NULL;
	if (!operation->keeps_login)
		atomic_fetch_add(&keeping_login, 1);
	operation->keeps_login = true;
}

struct session_operation *track_forced(struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		struct session_operation *operation = &session->operations[i];
		if (operation->begun && operation->awaiting && operation->forced)
			return operation;
	}
	return NULL;
}

void track_force(struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		struct session_operation *operation = &session->operations[i];
		operation->forced = operation->forced || (operation->begun && operation->awaiting);
	}
}

void track_clear(struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++)
		operation_reset(&session->operations[i]);
}

bool track_awaits(const struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		if (session->operations[i].begun && session->operations[i].awaiting)
			return true;
	}
	return false;
}

bool track_reauthenticates(const struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		const struct session_operation *operation = &session->operations[i];
		if (operation->begun && (operation->awaiting || operation->reauthenticated))
			return true;
	}
	return false;
}

bool track_has_private_parts(const struct session *session, unsigned login)
{
	bool has = false;

	for (int i = 0; i < OPERATION_COUNT; i++) {
		const struct session_operation *operation = &session->operations[i];
		has = has ||
		      (operation->begun && operation->logouts == login && operation->private && operation->has_parts);
	}
	return has;
}

bool track_used_private(const struct session *session, unsigned login)
{
	const struct session_operation *search = &session->operations[OPERATION_FIND];

	return (search->begun && search->logouts == login && search->found_private) ||
	       track_has_private_parts(session, login);
}

void track_reauthenticated(struct session *session)
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		struct session_operation *operation = &session->operations[i];
		operation->reauthenticated = operation->reauthenticated || operation->awaiting;
		operation->awaiting = false;
	}
}

/* PKCS#11 2.40, section 5.2: a question for the length, or a buffer too small, leaves the operation as it was. */
bool call_asks_length(const struct call *call, CK_RV rv)
{
	if (rv == CKR_BUFFER_TOO_SMALL)
		return true;
	for (size_t i = 0; i < call->row->argument_count; i++) {
		if (call->row->arguments[i].kind == WIRE_BUFFER)
			return rv == CKR_OK && !call->values[i].buffer.data;
	}
	return false;
}

/* What goes in to be signed, verified or decrypted. The hash of a plaintext to encrypt is nobody's business. */
static bool input_counts(enum operation operation)
{
	return operation != OPERATION_NONE && operation != OPERATION_FIND && operation != OPERATION_ENCRYPT &&
	       operation != OPERATION_DIGEST;
}

static const EVP_MD *sha256;
static pthread_once_t sha256_once = PTHREAD_ONCE_INIT;

/* Found once: looking an algorithm up costs more than hashing a digest. */
static void sha256_fetch(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
}

static const EVP_MD *sha256_get(void)
{
	pthread_once(&sha256_once, sha256_fetch);
	return sha256;
}

static void input_add(struct session_operation *operation, const union wire_value *part)
{
	if (!operation->input) {
		operation->input = EVP_MD_CTX_new();
		if (operation->input && EVP_DigestInit_ex(operation->input, sha256_get(), NULL) != 1) {
			EVP_MD_CTX_free(operation->input);
			operation->input = NULL;
		}
	}
	if (operation->input && part->bytes.data)
		EVP_DigestUpdate(operation->input, part->bytes.data, part->bytes.len);
}

/* The operation is under way from now on; what it is has been said. */
static void start(struct session_operation *operation)
{
	static atomic_ullong serial;

	operation->begun = true;
	operation->serial = atomic_fetch_add(&serial, 1) + 1;
	if (operation->keeps_login)
		atomic_fetch_add(&keeping_login, 1);
}

static void begin(struct session_operation *operation, const struct call *call, struct object_info *key, bool forced,
	unsigned logouts)
{
	bool has_key = call->row->argument_count > 2;

	operation_reset(operation);
	operation->logouts = logouts;
	operation->key = object_info_keep(key);
	operation->private = has_key && (!key || key->private);
	operation->keeps_login = operation->private || call->row->operation == OPERATION_FIND;
	start(operation);
	operation->awaiting = key && key->class == CKO_PRIVATE_KEY && (key->always_authenticate || forced) &&
			      call->row->operation != OPERATION_VERIFY && call->row->operation != OPERATION_ENCRYPT;
	operation->forced = operation->awaiting && !key->always_authenticate;
	if (call->row->arguments[1].kind == WIRE_MECHANISM && call->values[1].mechanism) {
		operation->has_mechanism = true;
		operation->mechanism = call->values[1].mechanism->mechanism;
	}
}

static bool input_copy(const struct session_operation *from, struct session_operation *to)
{
	if (!from->input)
		return true;
	to->input = EVP_MD_CTX_new();
	return to->input && EVP_MD_CTX_copy_ex(to->input, from->input) == 1;
}

/* That the key's use was recorded is not copied: what goes on elsewhere is another use. */
static bool operation_copy(const struct session_operation *from, struct session_operation *to)
{
	*to = (struct session_operation){
		.begun = from->begun,
		.private = from->private,
		.logouts = from->logouts,
		.has_mechanism = from->has_mechanism,
		.mechanism = from->mechanism,
		.key = object_info_keep(from->key),
	};
	return input_copy(from, to);
}

bool track_copy(const struct session_operation operations[OPERATION_COUNT],
	struct session_operation ret_copies[OPERATION_COUNT])
{
	bool copied = true;

	memset(ret_copies, 0, OPERATION_COUNT * sizeof *ret_copies);
	for (int i = 0; i < OPERATION_COUNT && copied; i++) {
		if (i != OPERATION_FIND && operations[i].begun)
			copied = operation_copy(&operations[i], &ret_copies[i]);
	}
	for (int i = 0; i < OPERATION_COUNT && !copied; i++)
		operation_reset(&ret_copies[i]);
	return copied;
}

void track_restore(struct session *session, struct session_operation operations[OPERATION_COUNT])
{
	for (int i = 0; i < OPERATION_COUNT; i++) {
		struct session_operation *operation = &session->operations[i];
		if (!operations[i].begun)
			continue;
		operation_reset(operation);
		*operation = operations[i];
		operation->keeps_login = operation->private;
		start(operation);
		memset(&operations[i], 0, sizeof operations[i]);
	}
}

void track_after(struct session *session, const struct call *call, CK_RV rv, struct object_info *key, bool forced,
	unsigned logouts)
{
	const struct call_row *row = call->row;
	struct session_operation *operation = &session->operations[row->operation];

	if (row->operation == OPERATION_NONE || call_asks_length(call, rv))
		return;
	if (row->step == STEP_INIT && rv == CKR_OK)
		begin(operation, call, key, forced, logouts);
	if (row->step == STEP_UPDATE && rv == CKR_OK)
		operation->has_parts = true;
	if (row->step == STEP_UPDATE && rv == CKR_OK && input_counts(row->operation) &&
		row->arguments[1].kind == WIRE_BYTES)
		input_add(operation, &call->values[1]);
	bool ends = row->step == STEP_SINGLE || row->step == STEP_FINAL;
	/* An error ends it as well, section 5.2. */
	if (ends || (row->step == STEP_UPDATE && rv != CKR_OK))
		login_let_go(operation);
	if ((ends && rv == CKR_OK) || rv == CKR_OPERATION_NOT_INITIALIZED) {
		operation->begun = false;
		operation->awaiting = false;
		operation->recorded = false;
	}
}

struct session_operation *track_operation(struct session *session, const struct call_row *row)
{
	/* It continues two operations; what comes out of it was made with the key of the other. */
	enum operation operation = row->id == CALL_SignEncryptUpdate ? OPERATION_ENCRYPT : row->operation;

	return session && operation != OPERATION_NONE ? &session->operations[operation] : NULL;
}

bool track_input_sha256(struct session *session, const struct call *call, unsigned char ret_hash[32])
{
	const struct call_row *row = call->row;
	struct session_operation *operation = &session->operations[row->operation];

	if (row->operation == OPERATION_NONE ? row->id != CALL_UnwrapKey : !input_counts(row->operation))
		return false;
	const union wire_value *data = &call->values[row->id == CALL_UnwrapKey ? 3 : 1];
	if (row->step == STEP_SINGLE || row->id == CALL_UnwrapKey)
		return data->bytes.data &&
		       EVP_Digest(data->bytes.data, data->bytes.len, ret_hash, NULL, sha256_get(), NULL) == 1;
	if (row->step != STEP_FINAL || !operation->input)
		return false;
	bool good = EVP_DigestFinal_ex(operation->input, ret_hash, NULL) == 1;
	EVP_MD_CTX_free(operation->input);
	operation->input = NULL;
	return good;
}
