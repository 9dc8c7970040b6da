/*
 * What concerns a token: its lock, who is logged in on it, the slots that it is in, wrong PINs, and making room for the security officer.
 * Private to server/app/.
 *
 *   token_lock    one user at a time of what a module keeps on disk, across gateways
 *   token         per token: who is logged in as what, the generation
 *   slot          which token is in a configured slot, counters
 *   quiesce       the logins on a token end
 *   guard, tries  wrong PINs: who may send another one; the token's count in its file
 *   verify        a PIN is tried in a worker of its own
 */
#ifndef P11GATE_APP_TOKEN_H
#define P11GATE_APP_TOKEN_H

#include "server/app/internal.h"

/* --- token_lock.c --- */

struct token_lock {
	struct token_lock *next;
	char key[TOKEN_LOCK_KEY_LEN + 1];
	struct fifo fifo; /* order among this gateway's workers */
	int fd; /* lock file shared with other gateways */
};

/* Opens directory/token-KEY.lock. STATUS_IO with errno, STATUS_NO_MEMORY. */
enum status token_lock_new(const char *directory, const char *key, struct token_lock **ret_lock) MUST_USE;
void token_lock_free(struct token_lock *lock);
/* STATUS_OK, STATUS_TIMEOUT, STATUS_BUSY, STATUS_CLOSED, STATUS_IO. */
enum status token_lock_enter(struct token_lock *lock, int64_t deadline_ms) MUST_USE;
void token_lock_leave(struct token_lock *lock);

/* --- token.c --- */

/* A token, whatever slots of the configuration name it; lives as long as the registry. */
struct token {
	struct token *next;
	char key[TOKEN_KEY_LEN + 1]; /* hash of its module and serial number */
	bool nameless; /* its serial number is not known, or it has none: it is that of one slot name */
	pthread_mutex_t mutex; /* guards what follows, but for the atomic ones */
	pthread_cond_t changed; /* `news` has risen */
	uint64_t news; /* rises when a worker's native login may have changed */
	struct worker_process *processes; /* of applications, by token_next */
	uint64_t generation, first_generation; /* X10; no two tokens ever have the same */
	struct guard_entry *guards; /* wrong PINs of identities (B16) */
	atomic_bool tries_lost; /* the token's count of them could not be written */
	atomic_bool tries_faulty; /* … or not be read, of which the log has been told */
	int64_t quiesce_begun, quiesce_due; /* when logins from before end; 0: not, or done (X2) */
	int64_t quiesce_until; /* no user logs in before */
};

/* `next`: the list that it will be the first of. */
enum status token_new(const char *key, struct token *next, struct token **ret_token) MUST_USE;
void token_free(struct token *token);
void token_attach(struct token *token, struct worker_process *process);
void token_detach(struct token *token, struct worker_process *process);
uint64_t token_generation(struct token *token);
void token_raise_generation(struct token *token);

/* A worker's native login may have changed: whoever waits for the token to be free looks again. NULL is allowed. */
void token_changed(struct token *token);

/*
 * Answers a worker's question: waits for the lock, and for others' exclusive logins, and checks X2 and the guard. `pair` names
 * the thread of the worker that asks, `identity` whose request it serves (NULL: its start). Always fills the grant; its rv
 * says whether the worker now has the token.
 */
void token_acquire(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_acquire *question, struct token_grant *ret_grant);
/* The worker has finished with the token; if it has logged in, that is the login of the client of `use`. STATUS_MALFORMED if it did not have it. */
enum status token_release(struct worker_process *process, unsigned pair, const char *identity,
	const struct token_release *news, const struct process_use *use) MUST_USE;
/*
 * Takes the token from a thread of the worker that forgot to release it, or from any (pair < 0) when the process is gone. A PIN that it
 * had the token for counts as tried.
 */
void token_abandon(struct worker_process *process, int pair);

/* --- slot.c --- */

/* What is known of a configured slot; lives as long as the registry, whatever a reload does to the slot. */
struct slot_record {
	struct slot_record *next;
	char *name;
	struct token *token; /* which was there last; guarded by registry.mutex, as all but the counters */
	enum token_presence presence; /* as the inventory saw it last, */
	unsigned char serial[TOKEN_SERIAL_LEN]; /* and which one */
	_Atomic uint64_t calls[CALL_COUNT + 1]; /* executed by modules; the last one counts what has no row */
};

void slot_record_free(struct slot_record *record);
/* The record of a slot, made at first use, and the token that was there last. STATUS_NO_MEMORY. */
enum status registry_slot(struct registry *registry, const struct slot_settings *slot, struct slot_record **ret_record,
	struct token **ret_token) MUST_USE;
/* The token alone. */
enum status registry_token(
	struct registry *registry, const struct slot_settings *slot, struct token **ret_token) MUST_USE;
/* The worker has found the token of that serial number in its slot (all blank: it says nothing). It has the token's lock. */
void slot_found(struct worker_process *process, const unsigned char serial[TOKEN_SERIAL_LEN]);
/*
 * What the inventory has found in the slot, with these settings. A token that is gone, or another one, takes along the PINs that are kept
 * for it (B14), also if it is back before anybody uses one: the generation rises, and workers are told.
 */
void slot_seen(struct registry *registry, const struct settings *settings, const struct slot_documents *documents);
/*
 * A reload: what is found in slots that are bound in another way now says nothing about the tokens that they had before. Registry's mutex
 * held.
 */
void slots_follow(struct registry *registry, const struct settings *old, const struct settings *settings);
/*
 * Tells the token's workers, but for `except` (NULL: none), that logins with a kept PIN are void (B14). They would find out at its next use.
 */
void token_void_logins(struct registry *registry, const struct token *token, const struct worker_process *except,
	enum login_end cause);
/* The token was initialised, and a new serial number in its slots is no news. */
void slots_renewed(struct registry *registry, const struct token *token);
/* Counts the functions that a worker's module executed. NULL is allowed. */
void slot_count_calls(struct slot_record *record, const struct bytes_list *names);

/* --- quiesce.c --- */

/* A quiesce of a slot whose token was not known is that of the token that is known now. */
void quiesce_follow(struct token *from, struct token *token);
/* Ends the logins that quiesces are due for; gives the time at which the next one is due. */
int64_t tokens_quiesce(struct registry *registry);
/* The worker has given the token back: ends it if its login was granted before a quiesce that is over. */
void quiesce_late_login(struct worker_process *process);

/* --- guard.c --- */

struct guard_entry;

/*
 * Whether a PIN of the identity may be sent to the token: CKR_OK or CKR_PIN_LOCKED (B16). The token's lock is held.
 * `grant` is told whether also when the token says that it is the last try, how many wrong ones may follow, and when PINs that are
 * held back go on to the token again.
 */
CK_RV guard_admits(struct worker_process *process, const char *identity, const struct token_acquire *question,
	struct token_grant *grant);
/* Whether the token is asked for to have a PIN judged, one that somebody brings or one that is kept. */
bool guard_tries_pin(const struct token_acquire *question);
/* Whose PIN it is that the token was asked for: CKU_USER or CKU_SO, by the worker's login before the answer. */
CK_USER_TYPE guard_owner(struct worker_process *process, const struct token_acquire *question);
/* What the token said to a PIN. The token's lock is held, and the worker's login still is what it was before. */
void guard_note(
	struct worker_process *process, const char *identity, const struct token_acquire *question, uint64_t rv);
/* The worker does not say any more what the token said to the PIN, if it has seen it at all. The token's lock is held. */
void guard_note_lost(struct worker_process *process, const char *identity, const struct token_acquire *question);
void guards_free(struct token *token);

/* --- tries.c --- */

enum { TRIES_UNKNOWN = 1000000 }; /* more than any budget: the count cannot be read */

/* Wrong PINs in a row of all identities, of the user and of the security officer. */
struct tries {
	unsigned user, so;
};

/* The token's count. Without the token's lock it may be old. Both are TRIES_UNKNOWN, and the log says why, if it cannot be told. */
struct tries tries_read(const struct settings *settings, struct token *token);
/* The token's lock is held. STATUS_IO: until another write succeeds the count is unknown. */
enum status tries_write(const struct settings *settings, struct token *token, const struct tries *tries) MUST_USE;

/* --- verify.c --- */

/*
 * The token's answer to a login with that PIN, in a worker of its own (B20); CKR_DEVICE_ERROR if there is none, at `until_ms` of
 * clock_ms at the latest. `identity`: whose request the worker `asker` serves.
 */
void verify_pin(struct worker_process *asker, const char *identity, const struct pin_verify *question, int64_t until_ms,
	struct pin_verified *ret_answer);
/* How long that may take, in milliseconds, beyond the waits for the token. */
int64_t verify_start_ms(const struct worker_process *asker);

#endif
