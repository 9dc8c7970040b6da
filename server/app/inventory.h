/*
 * The inventory's own structures, for inventory.c (threads), inventory_look.c (asking a worker) and inventory_answer.c
 * (answering callers).
 */
#ifndef P11GATE_APP_INVENTORY_H
#define P11GATE_APP_INVENTORY_H

#include "server/app/internal.h"

/* One module: a thread that looks at it through its inventory worker. */
struct watched_module {
	struct watched_module *next;
	struct inventory *inventory;
	struct settings *settings; /* a reference */
	const struct module_settings *module;
	pthread_t thread;
	struct worker_process *process; /* of the thread alone */

	/* Guarded by inventory.mutex. */
	uint64_t wanted, served; /* questions asked, and answered by a look that began after them */
	bool reinit_wanted, stop;
	bool ready;
	char reason[REASON_LEN]; /* why it is not ready */
	unsigned failures; /* in a row */
	int64_t due, retry_at;
	struct slot_documents *documents; /* one per slot of the module, in the configuration's order */
	size_t documents_count;
};

struct inventory {
	struct registry *registry;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	uint64_t generation; /* rises when a document changes */
	struct settings *settings; /* a reference */
	struct watched_module *modules;
	struct watched_module *leaving; /* told to stop, to be joined */
};

/* Frees `count` documents and their array. */
void documents_free(struct slot_documents *documents, size_t count);

/*
 * Asks a module through its worker, which is started if needed. Called by the module's thread without the mutex. The
 * caller frees the documents; on failure `reason` says what a person should know.
 */
enum status inventory_look(struct watched_module *watched, bool reinit, struct slot_documents **ret_looked,
	size_t *ret_count, char reason[REASON_LEN]) MUST_USE;

/* The watched module of that name, or NULL. Mutex held. */
struct watched_module *inventory_module(struct inventory *inventory, const char *name);

#endif
