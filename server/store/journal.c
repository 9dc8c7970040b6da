#include "server/store/journal.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/common/clock.h"
#include "server/common/frame.h"
#include "server/common/log.h"
#include "server/store/process.h"
#include "server/store/store.h"

_Static_assert((int)JOURNAL_HASH_LEN == (int)STORE_HASH_LEN, "one kind of hash");

enum { EXPIRE_PERIOD_MS = 60000 };

struct journal {
	struct store *store;
	pthread_mutex_t lock; /* of what follows */
	struct journal_use *uses; /* whose keys no other request may use meanwhile */
	int64_t expire_due; /* of clock_ms */
};

enum status journal_open(
	const char *file, uint64_t size_max, struct journal **ret_journal, char *ret_error, size_t error_size)
{
	struct journal *journal = calloc(1, sizeof *journal);
	if (journal == NULL) {
		snprintf(ret_error, error_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	pthread_mutex_init(&journal->lock, NULL);
	enum status status = store_open(file, size_max, &journal->store, ret_error, error_size);
	if (status == STATUS_OK)
		*ret_journal = journal;
	else
		journal_close(journal);
	return status;
}

void journal_close(struct journal *journal)
{
	if (journal == NULL)
		return;
	store_close(journal->store);
	pthread_mutex_destroy(&journal->lock);
	free(journal);
}

void journal_begin(struct journal *journal, const struct journal_subject *subject, struct journal_use *ret_use)
{
	*ret_use = (struct journal_use){.journal = journal, .subject = *subject};
}

/* --- hashes, under the store's secret --- */

static bool hash(const struct journal_use *use, const void *data, size_t len, unsigned char ret_hash[JOURNAL_HASH_LEN])
{
	return HMAC(EVP_sha256(), store_key(use->journal->store), STORE_HASH_LEN, data, len, ret_hash, NULL) != NULL;
}

static bool hash_name(struct journal_use *use)
{
	const struct journal_subject *subject = &use->subject;
	const char *const texts[] = {
		"p11gate Idempotency-Key", subject->identity, subject->domain, subject->slot, subject->key};
	BUFFER_AUTO struct buffer all;
	buffer_init(&all, FRAME_CHUNK);
	/* With their NULs, so that they cannot run into each other. */
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		buffer_append(&all, texts[i], strlen(texts[i]) + 1);
	buffer_append(&all, subject->application, APPLICATION_ID_LEN);
	return !all.failed && hash(use, all.data, all.len, use->name);
}

static bool hash_request(struct journal_use *use, struct bytes digest)
{
	static const char purpose[] = "p11gate request";
	unsigned char all[sizeof purpose + JOURNAL_HASH_LEN];
	memcpy(all, purpose, sizeof purpose);
	memcpy(all + sizeof purpose, digest.data, JOURNAL_HASH_LEN);
	return hash(use, all, sizeof all, use->request);
}

/* --- who carries out which key --- */

/* False: another request with the key is being carried out. */
static bool claim(struct journal_use *use)
{
	struct journal *journal = use->journal;
	pthread_mutex_lock(&journal->lock);
	const struct journal_use *other = journal->uses;
	while (other != NULL && memcmp(other->name, use->name, JOURNAL_HASH_LEN) != 0)
		other = other->next;
	if (other == NULL) {
		use->next = journal->uses;
		journal->uses = use;
	}
	pthread_mutex_unlock(&journal->lock);
	return other == NULL;
}

static void let_go(struct journal_use *use)
{
	struct journal *journal = use->journal;
	pthread_mutex_lock(&journal->lock);
	struct journal_use **link = &journal->uses;
	while (*link != NULL && *link != use)
		link = &(*link)->next;
	if (*link != NULL)
		*link = use->next;
	pthread_mutex_unlock(&journal->lock);
}

/* --- the worker's questions --- */

static enum intent_verdict verdict_of(enum status status)
{
	return status == STATUS_TOO_LARGE ? INTENT_FULL : INTENT_FAILED;
}

static enum intent_verdict judge_new(const struct journal_use *use, int64_t since)
{
	uint64_t count;
	enum status status = store_count(use->journal->store, use->subject.identity, since, &count);
	if (status != STATUS_OK)
		return verdict_of(status);
	return count < use->subject.keys_per_identity ? INTENT_NEW : INTENT_CROWDED;
}

static enum intent_verdict judge_known(
	const struct journal_use *use, const struct store_entry *entry, struct intent_answer *answer)
{
	if (memcmp(entry->request, use->request, JOURNAL_HASH_LEN) != 0)
		return INTENT_OTHER;
	if (entry->result.data != NULL) {
		answer->result = entry->result;
		return INTENT_DONE;
	}
	if (process_exists((pid_t)entry->worker, entry->worker_started))
		return INTENT_BUSY;
	answer->object = entry->object;
	return INTENT_UNFINISHED;
}

/* What is known of the key, which is the use's own meanwhile. */
static enum intent_verdict look(struct journal_use *use, struct arena *arena, struct intent_answer *answer)
{
	struct store_entry entry;
	int64_t since = (int64_t)time(NULL) - use->subject.retention_s;
	enum status status = store_find(use->journal->store, use->name, since, arena, &entry);
	if (status == STATUS_NOT_FOUND)
		return judge_new(use, since);
	return status == STATUS_OK ? judge_known(use, &entry, answer) : verdict_of(status);
}

static enum intent_verdict answer_begin(
	struct journal_use *use, const struct intent *question, struct arena *arena, struct intent_answer *answer)
{
	use->state = JOURNAL_REFUSED;
	if (!hash_name(use) || !hash_request(use, question->request))
		return INTENT_FAILED;
	if (!claim(use))
		return INTENT_BUSY;
	enum intent_verdict verdict = look(use, arena, answer);
	if (verdict == INTENT_NEW)
		use->state = JOURNAL_BEGUN;
	else if (verdict == INTENT_UNFINISHED)
		use->state = JOURNAL_UNFINISHED;
	else
		let_go(use);
	return verdict;
}

/* Old entries make room for new ones; once in a while will do. */
static void expire(struct journal_use *use)
{
	struct journal *journal = use->journal;
	pthread_mutex_lock(&journal->lock);
	bool due = clock_ms() >= journal->expire_due;
	if (due)
		journal->expire_due = clock_ms() + EXPIRE_PERIOD_MS;
	pthread_mutex_unlock(&journal->lock);
	/* What cannot be removed is overlooked (look), and the store has logged it. */
	if (due)
		(void)!store_expire(journal->store, (int64_t)time(NULL) - use->subject.retention_s);
}

static enum intent_verdict answer_record(struct journal_use *use, pid_t worker, const struct intent *question)
{
	struct store_entry entry = {
		.identity = use->subject.identity,
		.slot = use->subject.slot,
		.route = use->subject.route,
		.created = (int64_t)time(NULL),
		.worker = worker,
		.worker_started = process_started(worker),
		.object = question->object,
	};
	memcpy(entry.name, use->name, JOURNAL_HASH_LEN);
	memcpy(entry.request, use->request, JOURNAL_HASH_LEN);
	expire(use);
	enum status status = store_put(use->journal->store, &entry);
	if (status != STATUS_OK)
		return verdict_of(status);
	use->state = JOURNAL_UNFINISHED;
	return INTENT_NEW;
}

enum status journal_answer(struct journal_use *use, pid_t worker, const struct intent *question, struct arena *arena,
	struct intent_answer *ret_answer)
{
	struct intent_answer answer = {.verdict = INTENT_FAILED};
	bool begun = use->state == JOURNAL_BEGUN || use->state == JOURNAL_UNFINISHED;
	if (question->step == INTENT_BEGIN && use->state == JOURNAL_ASKED_NOTHING &&
		question->request.len == JOURNAL_HASH_LEN)
		answer.verdict = answer_begin(use, question, arena, &answer);
	else if (question->step == INTENT_RECORD && begun)
		answer.verdict = answer_record(use, worker, question);
	else
		return STATUS_MALFORMED;
	*ret_answer = answer;
	return STATUS_OK;
}

/* --- the end --- */

static bool is_success(const struct worker_response *response)
{
	return response != NULL && response->status >= 200 && response->status < 300;
}

static void finish(struct journal_use *use, const struct worker_response *response)
{
	BUFFER_AUTO struct buffer packed;
	struct bytes kept = {NULL, 0};
	buffer_init(&packed, FRAME_PAYLOAD_MAX);
	if (is_success(response)) {
		const struct intent_result result = {
			.status = response->status,
			.content_type = response->content_type,
			.headers = response->headers,
			.body = response->body,
		};
		intent_result_pack(&packed, &result);
	}
	/* Without a result the next request looks whether it was done: this one is answered in any case. */
	if (is_success(response) && !packed.failed)
		kept = (struct bytes){packed.data, packed.len};
	if (store_finish(use->journal->store, use->name, kept) != STATUS_OK)
		log_event(LOG_LEVEL_ERROR,
			"the end of a request with an Idempotency-Key cannot be recorded; one more with it looks what "
			"was "
			"done",
			"identity", use->subject.identity, "slot", use->subject.slot, "route", use->subject.route,
			NULL);
}

void journal_end(struct journal_use *use, bool answered, const struct worker_response *response)
{
	if (use->state != JOURNAL_BEGUN && use->state != JOURNAL_UNFINISHED)
		return;
	if (use->state == JOURNAL_UNFINISHED && answered)
		finish(use, response);
	let_go(use);
}
