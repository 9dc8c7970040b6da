/*
 * One call of a group while it runs: shared by what runs it and what records it. Private to server/worker/.
 */
#ifndef P11GATE_WORKER_CALL_RUN_H
#define P11GATE_WORKER_CALL_RUN_H

#include "server/worker/internal.h"

struct running_call {
	struct request *request;
	struct call *call;
	const struct call_row *row;
	union wire_value native[CALL_ARGUMENTS_MAX];
	CK_ULONG handle; /* the client's session, 0: none */
	struct session *session; /* locked, or NULL */
	struct object_info *key; /* of the call's key or object, when it is needed */
	struct object_info *wrapped, *made; /* of WrapKey's key; of the key that a key use made */
	CK_MECHANISM_TYPE mechanism; /* of the operation, if it has ended by now */
	bool has_mechanism;
	unsigned char input[32];
	bool has_input;
	bool forced; /* an Init: its key asks for the PIN by policy */
	char *init; /* … as it came, where it may have to be deferred; or NULL */
	size_t init_len;
	bool private; /* it uses, reads, makes or changes a private object; looked at only where a rule asks (B7) */
	enum login_state logged_out; /* of C_Logout: who was logged in until then */
	const char *refused; /* why it was not run */
	uint64_t began;
};

/* The place of the row's first argument of that kind, or its number of arguments. */
size_t call_argument(const struct call_row *row, enum wire_kind kind);

/*
 * key_type.c: CKR_OK if the call is no Init or the type of its key, if known, goes with the mechanism. Otherwise the Init must not
 * run: the module's answer to what else is wrong with it, or CKR_KEY_TYPE_INCONSISTENT. Call with `native` and `key` in place.
 */
CK_RV key_type_check(const struct running_call *run) MUST_USE;

/* --- call_translate.c: all on the call's own thread, with the module shared --- */

/* Fills `native`: handles of the client become those of the module; outputs stay where the codec put them. CKR_OK, or what call_check_parameter says. */
CK_RV call_translate(struct running_call *run) MUST_USE;
/* After a call that succeeded: the handles it gave become the client's, in place. CKR_HOST_MEMORY: not all did. */
CK_RV call_translate_results(struct running_call *run) MUST_USE;
/* Whether a rule asks if the call touches private objects, which costs the module a question (B7). */
bool call_private_counts(const struct running_call *run);
/* Whether the object, by the client's handle, is private. */
bool call_object_is_private(struct running_call *run, CK_OBJECT_HANDLE handle);

/* --- call_rules.c: CKR_OK, or how the call is refused; `refused` may say why --- */

/* Before anything else: whether the identity may make the call, by its row and what its arguments add. */
CK_RV call_check_permission(struct running_call *run) MUST_USE;
/* Before call_translate: private objects after a forced logout. */
CK_RV call_check_login(struct running_call *run) MUST_USE;
/* A key that the client names, with the handle `theirs`, in the mechanism's parameter. */
CK_RV call_check_parameter(struct running_call *run, CK_OBJECT_HANDLE theirs) MUST_USE;
/* With `native` and `key` in place: the rules about the key, and whether its PIN was given. */
CK_RV call_check(struct running_call *run) MUST_USE;
/* Whether the call's key asks for its PIN by policy (B18). */
bool call_is_forced(struct running_call *run);

/*
 * call_use.c: what of a call is a use of the login that the rules may end it after (B5–B9); with the client's session locked, by
 * request->logout_after.
 */
/*
 * Before the call. While the login serves another session's operation in parts (one_use_claim), this session gets at once what it would get
 * after the logout that ends that operation: CKR_USER_NOT_LOGGED_IN for what needs a private object, an Init too; its own operations with
 * private keys are over, so that CKR_OK leaves it to the module to say CKR_OPERATION_NOT_INITIALIZED. Or any CKR of session_cancel.
 */
CK_RV call_use_check(struct running_call *run) MUST_USE;
/* Before the call, with the module's handles: sets run->private if it touches private objects by itself. */
void call_use_look(struct running_call *run);
/* After it: notes in the request what a forced logout may follow, and for whom the login is. `before`: the call's operation as it was. */
void call_use_note(const struct running_call *run, const struct session_operation *before, CK_RV rv);

/* Adds the event that the call, ended with `rv`, must leave. False: it could not be kept. */
bool call_record(const struct running_call *run, CK_RV rv) MUST_USE;

/*
 * always.c. After a call that the module has accepted: CKR_OK, or what speaks against the object it made (A19), which is destroyed then. The
 * outputs still are the module's.
 */
CK_RV always_check_made(struct running_call *run) MUST_USE;
/* Before C_SetAttributeValue, with the object described. */
CK_RV always_check_change(const struct running_call *run) MUST_USE;

#endif
