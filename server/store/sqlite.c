#include "server/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/rand.h>

#include "api/secret.h"
#include "server/common/log.h"

enum {
	FORMAT = 1, /* user_version of the file */
	PAGE_SIZE = 4096,
	LOG_SIZE_MAX = 4 << 20, /* bytes to which the write-ahead log is cut back */
};

/* STATEMENT(constant, SQL) */
#define STATEMENTS(STATEMENT) \
	STATEMENT(FIND, "SELECT request, identity, slot, route, created, worker, worker_started, object, result FROM " \
			"entries WHERE name = ?1 AND created >= ?2") \
	STATEMENT(COUNT, "SELECT count(*) FROM entries WHERE identity = ?1 AND created >= ?2") \
	STATEMENT(PUT, "INSERT OR REPLACE INTO entries (name, request, identity, slot, route, created, worker, " \
		       "worker_started, object, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)") \
	STATEMENT(FINISH, "UPDATE entries SET worker = 0, worker_started = 0, result = ?2 WHERE name = ?1") \
	STATEMENT(EXPIRE, "DELETE FROM entries WHERE created < ?1")

enum statement {
#define STATEMENT(constant, sql) STATEMENT_##constant,
	STATEMENTS(STATEMENT)
#undef STATEMENT
		STATEMENTS_COUNT
};

static const char *const texts[STATEMENTS_COUNT] = {
#define STATEMENT(constant, sql) sql,
	STATEMENTS(STATEMENT)
#undef STATEMENT
};

struct store {
	pthread_mutex_t lock; /* of the connection and its statements */
	sqlite3 *database;
	sqlite3_stmt *statements[STATEMENTS_COUNT];
	unsigned char key[STORE_HASH_LEN];
};

static enum status status_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE: return STATUS_OK;
	case SQLITE_FULL: return STATUS_TOO_LARGE;
	case SQLITE_NOMEM: return STATUS_NO_MEMORY;
	case SQLITE_BUSY:
	case SQLITE_LOCKED: return STATUS_BUSY;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return STATUS_MALFORMED;
	default: return STATUS_IO;
	}
}

/* The outcome of a statement of a store that is open; what went wrong is in the log. */
static enum status outcome(struct store *store, int result)
{
	enum status status = status_of(result);
	if (status == STATUS_OK || status == STATUS_NO_MEMORY)
		return status;
	log_event(LOG_LEVEL_ERROR, "the journal of Idempotency-Keys fails", "reason", sqlite3_errmsg(store->database),
		NULL);
	return status == STATUS_TOO_LARGE ? status : STATUS_IO;
}

static int run(sqlite3 *database, const char *sql)
{
	return sqlite3_exec(database, sql, NULL, NULL, NULL);
}

/* Nobody but the gateway reads what identities made; SQLite gives its other files the same mode. */
static enum status file_make(const char *file)
{
	int fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	struct stat about;
	if (fd < 0)
		return STATUS_IO;
	bool regular = fstat(fd, &about) == 0 && S_ISREG(about.st_mode);
	close(fd);
	errno = regular ? 0 : EINVAL;
	return regular ? STATUS_OK : STATUS_IO;
}

/* EXCLUSIVE before the first read: no other process gets in, and the index of the write-ahead log is in memory of our own. */
static int settle(sqlite3 *database, uint64_t size_max)
{
	char sizes[160];
	snprintf(sizes, sizeof sizes, "PRAGMA page_size = %d; PRAGMA journal_size_limit = %d", PAGE_SIZE, LOG_SIZE_MAX);
	int result = run(database, sizes);
	if (result == SQLITE_OK)
		result = run(database, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; "
				       "PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY");
	snprintf(sizes, sizeof sizes, "PRAGMA max_page_count = %llu", (unsigned long long)(size_max / PAGE_SIZE));
	return result == SQLITE_OK ? run(database, sizes) : result;
}

/* The first column of the first row of a query, as a number; -1 if it cannot be had. */
static int64_t number_of(sqlite3 *database, const char *sql, int *ret_result)
{
	sqlite3_stmt *statement = NULL;
	int64_t number = -1;
	*ret_result = sqlite3_prepare_v2(database, sql, -1, &statement, NULL);
	if (*ret_result == SQLITE_OK)
		*ret_result = sqlite3_step(statement);
	if (*ret_result == SQLITE_ROW)
		number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

static bool is_sound(sqlite3 *database)
{
	sqlite3_stmt *statement = NULL;
	bool sound = sqlite3_prepare_v2(database, "PRAGMA quick_check(1)", -1, &statement, NULL) == SQLITE_OK &&
		     sqlite3_step(statement) == SQLITE_ROW &&
		     strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
	sqlite3_finalize(statement);
	return sound;
}

/* Tables and the store's secret, in one transaction. */
static int tables_make(sqlite3 *database)
{
	unsigned char key[STORE_HASH_LEN];
	sqlite3_stmt *statement = NULL;
	int result = run(database,
		"BEGIN IMMEDIATE;"
		"CREATE TABLE secret (key BLOB NOT NULL);"
		"CREATE TABLE entries (name BLOB PRIMARY KEY, request BLOB NOT NULL, identity TEXT NOT NULL, slot TEXT "
		"NOT NULL, route TEXT NOT NULL, created INTEGER NOT NULL, worker INTEGER NOT NULL, worker_started "
		"INTEGER NOT NULL, object BLOB NOT NULL, result BLOB);"
		"CREATE INDEX entries_created ON entries (created);"
		"CREATE INDEX entries_identity ON entries (identity, created);"
		"PRAGMA user_version = 1");
	if (result == SQLITE_OK && RAND_bytes(key, sizeof key) != 1)
		result = SQLITE_ERROR;
	if (result == SQLITE_OK)
		result = sqlite3_prepare_v2(database, "INSERT INTO secret (key) VALUES (?1)", -1, &statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_bind_blob(statement, 1, key, sizeof key, SQLITE_STATIC);
	if (result == SQLITE_OK && sqlite3_step(statement) != SQLITE_DONE)
		result = sqlite3_errcode(database);
	sqlite3_finalize(statement);
	secret_wipe(key, sizeof key);
	return result == SQLITE_OK ? run(database, "COMMIT") : result;
}

static int key_read(struct store *store)
{
	sqlite3_stmt *statement = NULL;
	int result = sqlite3_prepare_v2(store->database, "SELECT key FROM secret", -1, &statement, NULL);
	if (result == SQLITE_OK)
		result = sqlite3_step(statement);
	bool whole = result == SQLITE_ROW && sqlite3_column_bytes(statement, 0) == sizeof store->key;
	if (whole)
		memcpy(store->key, sqlite3_column_blob(statement, 0), sizeof store->key);
	sqlite3_finalize(statement);
	return whole ? SQLITE_OK : result == SQLITE_ROW || result == SQLITE_DONE ? SQLITE_CORRUPT : result;
}

/* Makes or checks what is in the file. */
static int contents_open(struct store *store)
{
	int result;
	int64_t format = number_of(store->database, "PRAGMA user_version", &result);
	if (result != SQLITE_ROW)
		return result;
	int64_t tables = number_of(store->database, "SELECT count(*) FROM sqlite_schema", &result);
	if (result != SQLITE_ROW)
		return result;
	if (format == 0 && tables == 0) {
		result = tables_make(store->database);
		if (result != SQLITE_OK)
			return result;
	} else if (format != FORMAT || !is_sound(store->database)) {
		return SQLITE_CORRUPT;
	}
	result = key_read(store);
	for (int i = 0; i < STATEMENTS_COUNT && result == SQLITE_OK; i++)
		result = sqlite3_prepare_v3(
			store->database, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL);
	return result;
}

static enum status open_failed(
	struct store *store, const char *file, enum status status, char *ret_error, size_t error_size)
{
	const char *reason = store->database != NULL ? sqlite3_errmsg(store->database) : strerror(errno);
	if (status == STATUS_MALFORMED)
		snprintf(ret_error, error_size,
			"the journal %s is damaged, or no journal of this version; move it away with its -wal file and "
			"start again (requests that were interrupted are then no longer known)",
			file);
	else if (status == STATUS_BUSY)
		snprintf(ret_error, error_size, "another process has the journal %s; give each gateway its own", file);
	else
		snprintf(ret_error, error_size,
			"the journal %s cannot be opened: %s; check its folder, permissions and room", file, reason);
	store_close(store);
	return status;
}

enum status store_open(
	const char *file, uint64_t size_max, struct store **ret_store, char *ret_error, size_t error_size)
{
	struct store *store = calloc(1, sizeof *store);
	if (store == NULL) {
		snprintf(ret_error, error_size, "out of memory");
		return STATUS_NO_MEMORY;
	}
	pthread_mutex_init(&store->lock, NULL);
	enum status status = file_make(file);
	if (status != STATUS_OK)
		return open_failed(store, file, status, ret_error, error_size);
	int result = sqlite3_open_v2(
		file, &store->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, NULL);
	if (result == SQLITE_OK)
		result = settle(store->database, size_max);
	if (result == SQLITE_OK)
		result = contents_open(store);
	if (result != SQLITE_OK)
		return open_failed(store, file, status_of(result), ret_error, error_size);
	*ret_store = store;
	return STATUS_OK;
}

void store_close(struct store *store)
{
	if (store == NULL)
		return;
	for (int i = 0; i < STATEMENTS_COUNT; i++)
		sqlite3_finalize(store->statements[i]);
	sqlite3_close(store->database);
	pthread_mutex_destroy(&store->lock);
	secret_wipe(store->key, sizeof store->key);
	free(store);
}

const unsigned char *store_key(const struct store *store)
{
	return store->key;
}

/* --- statements, under the lock --- */

static sqlite3_stmt *statement_begin(struct store *store, enum statement which)
{
	pthread_mutex_lock(&store->lock);
	return store->statements[which];
}

/* The arguments of a statement; the caller's memory, which outlives it. */
static void bind_bytes(sqlite3_stmt *statement, int place, const void *data, size_t len)
{
	/* Empty bytes are not none. */
	sqlite3_bind_blob64(statement, place, data != NULL && len == 0 ? "" : data, len, SQLITE_STATIC);
}

static void bind_text(sqlite3_stmt *statement, int place, const char *text)
{
	sqlite3_bind_text(statement, place, text, -1, SQLITE_STATIC);
}

static enum status statement_end(struct store *store, sqlite3_stmt *statement, int result)
{
	enum status status = outcome(store, result);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	pthread_mutex_unlock(&store->lock);
	return status;
}

static bool column_bytes(sqlite3_stmt *row, int column, struct arena *arena, struct bytes *ret_bytes)
{
	*ret_bytes = (struct bytes){NULL, 0};
	if (sqlite3_column_type(row, column) == SQLITE_NULL)
		return true;
	const void *data = sqlite3_column_blob(row, column);
	ret_bytes->len = (size_t)sqlite3_column_bytes(row, column);
	ret_bytes->data = arena_copy(arena, data == NULL ? "" : data, ret_bytes->len);
	return ret_bytes->data != NULL;
}

static enum status entry_read(sqlite3_stmt *row, struct arena *arena, struct store_entry *ret_entry)
{
	struct bytes request, texts_read[3];
	bool whole = column_bytes(row, 0, arena, &request) && column_bytes(row, 7, arena, &ret_entry->object) &&
		     column_bytes(row, 8, arena, &ret_entry->result);
	for (int i = 0; i < 3 && whole; i++)
		whole = column_bytes(row, 1 + i, arena, &texts_read[i]);
	if (!whole)
		return STATUS_NO_MEMORY;
	if (request.len != STORE_HASH_LEN)
		return STATUS_IO;
	memcpy(ret_entry->request, request.data, STORE_HASH_LEN);
	ret_entry->identity = (const char *)texts_read[0].data;
	ret_entry->slot = (const char *)texts_read[1].data;
	ret_entry->route = (const char *)texts_read[2].data;
	ret_entry->created = sqlite3_column_int64(row, 4);
	ret_entry->worker = sqlite3_column_int64(row, 5);
	ret_entry->worker_started = (uint64_t)sqlite3_column_int64(row, 6);
	return STATUS_OK;
}

enum status store_find(struct store *store, const unsigned char name[STORE_HASH_LEN], int64_t since,
	struct arena *arena, struct store_entry *ret_entry)
{
	sqlite3_stmt *statement = statement_begin(store, STATEMENT_FIND);
	struct store_entry entry = {.created = 0};
	memcpy(entry.name, name, STORE_HASH_LEN);
	bind_bytes(statement, 1, name, STORE_HASH_LEN);
	sqlite3_bind_int64(statement, 2, since);
	int result = sqlite3_step(statement);
	enum status found = result == SQLITE_ROW ? entry_read(statement, arena, &entry) : STATUS_NOT_FOUND;
	enum status status = statement_end(store, statement, result);
	if (status == STATUS_OK && found == STATUS_OK)
		*ret_entry = entry;
	return status == STATUS_OK ? found : status;
}

enum status store_count(struct store *store, const char *identity, int64_t since, uint64_t *ret_count)
{
	sqlite3_stmt *statement = statement_begin(store, STATEMENT_COUNT);
	bind_text(statement, 1, identity);
	sqlite3_bind_int64(statement, 2, since);
	int result = sqlite3_step(statement);
	uint64_t count = result == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
	enum status status = statement_end(store, statement, result);
	if (status == STATUS_OK)
		*ret_count = count;
	return status;
}

enum status store_put(struct store *store, const struct store_entry *entry)
{
	sqlite3_stmt *statement = statement_begin(store, STATEMENT_PUT);
	bind_bytes(statement, 1, entry->name, STORE_HASH_LEN);
	bind_bytes(statement, 2, entry->request, STORE_HASH_LEN);
	bind_text(statement, 3, entry->identity);
	bind_text(statement, 4, entry->slot);
	bind_text(statement, 5, entry->route);
	sqlite3_bind_int64(statement, 6, entry->created);
	sqlite3_bind_int64(statement, 7, entry->worker);
	sqlite3_bind_int64(statement, 8, (int64_t)entry->worker_started);
	bind_bytes(statement, 9, entry->object.data != NULL ? (const void *)entry->object.data : "", entry->object.len);
	bind_bytes(statement, 10, entry->result.data, entry->result.len);
	return statement_end(store, statement, sqlite3_step(statement));
}

enum status store_finish(struct store *store, const unsigned char name[STORE_HASH_LEN], struct bytes result)
{
	sqlite3_stmt *statement = statement_begin(store, STATEMENT_FINISH);
	bind_bytes(statement, 1, name, STORE_HASH_LEN);
	bind_bytes(statement, 2, result.data, result.len);
	return statement_end(store, statement, sqlite3_step(statement));
}

enum status store_expire(struct store *store, int64_t before)
{
	sqlite3_stmt *statement = statement_begin(store, STATEMENT_EXPIRE);
	sqlite3_bind_int64(statement, 1, before);
	return statement_end(store, statement, sqlite3_step(statement));
}
