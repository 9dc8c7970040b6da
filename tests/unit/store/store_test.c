/* What is on the disk: through a restart, a crash, a full disk, and damage. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/store/fixture.h"

TestSuite(store, .init = fixture_make, .fini = fixture_remove, .timeout = 60);

static void put(struct store *store, unsigned char name, size_t len)
{
	const struct store_entry entry = entry_of(name, len);
	cr_assert_eq(store_put(store, &entry), STATUS_OK);
}

Test(store, an_entry_is_what_was_put_after_a_restart)
{
	struct store *store = opened(SIZE);
	struct store_entry entry = entry_of(1, 5);
	unsigned char key[STORE_HASH_LEN];
	entry.worker = 4711;
	entry.worker_started = 1234567890123;
	memcpy(key, store_key(store), sizeof key);
	cr_assert_eq(store_put(store, &entry), STATUS_OK);
	store_close(store);
	store = opened(SIZE);
	cr_expect_arr_eq(store_key(store), key, sizeof key);
	cr_assert_eq(found(store, 1, 0, &entry), STATUS_OK);
	cr_expect_str_eq(entry.identity, "alice");
	cr_expect_str_eq(entry.slot, "demo");
	cr_expect_str_eq(entry.route, "key_generate");
	cr_expect_eq(entry.created, 1000);
	cr_expect_eq(entry.worker, 4711);
	cr_expect_eq(entry.worker_started, 1234567890123);
	cr_expect_eq(entry.object.len, 3);
	cr_expect_arr_eq(entry.object.data, "\1\0\2", 3);
	cr_expect_eq(entry.result.len, 5);
	cr_expect_eq(found(store, 2, 0, &entry), STATUS_NOT_FOUND);
	store_close(store);
}

Test(store, an_entry_has_no_result_until_it_is_finished)
{
	struct store *store = opened(SIZE);
	struct store_entry entry = entry_of(1, 0);
	entry.worker = 4711;
	cr_assert_eq(store_put(store, &entry), STATUS_OK);
	cr_assert_eq(found(store, 1, 0, &entry), STATUS_OK);
	cr_expect_null(entry.result.data);
	cr_assert_eq(store_finish(store, entry.name, (struct bytes){NULL, 0}), STATUS_OK);
	cr_assert_eq(found(store, 1, 0, &entry), STATUS_OK);
	cr_expect_null(entry.result.data);
	cr_expect_eq(entry.worker, 0);
	cr_assert_eq(store_finish(store, entry.name, (struct bytes){(const unsigned char *)"r", 1}), STATUS_OK);
	cr_assert_eq(found(store, 1, 0, &entry), STATUS_OK);
	cr_expect_eq(entry.result.len, 1);
	store_close(store);
}

Test(store, X24_what_is_too_old_is_not_found_and_makes_room)
{
	struct store *store = opened(SIZE);
	struct store_entry entry = entry_of(2, 0);
	uint64_t count = 99;
	put(store, 1, 0);
	entry.created = 2000;
	cr_assert_eq(store_put(store, &entry), STATUS_OK);
	cr_expect_eq(found(store, 1, 1001, &entry), STATUS_NOT_FOUND);
	cr_expect_eq(found(store, 1, 1000, &entry), STATUS_OK);
	cr_assert_eq(store_count(store, "alice", 1001, &count), STATUS_OK);
	cr_expect_eq(count, 1);
	cr_assert_eq(store_expire(store, 1001), STATUS_OK);
	cr_expect_eq(found(store, 1, 0, &entry), STATUS_NOT_FOUND);
	cr_expect_eq(found(store, 2, 0, &entry), STATUS_OK);
	store_close(store);
}

Test(store, only_the_gateways_user_can_read_it)
{
	struct store *store = opened(SIZE);
	struct stat about;
	char path[128];
	put(store, 1, 100);
	cr_assert_eq(stat(file, &about), 0);
	cr_expect_eq(about.st_mode & 07777, 0600);
	snprintf(path, sizeof path, "%s-wal", file);
	cr_assert_eq(stat(path, &about), 0);
	cr_expect_eq(about.st_mode & 07777, 0600);
	store_close(store);
}

/* Puts entries of which each is told in the pipe as soon as it is acknowledged, until it is killed. */
static pid_t putting_child(int *ret_acknowledged)
{
	int ends[2];
	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		struct store *store;
		if (store_open(file, SIZE, &store, error, sizeof error) != STATUS_OK)
			_exit(1);
		for (unsigned char name = 1; name < 250; name++) {
			const struct store_entry entry = entry_of(name, 20000);
			if (store_put(store, &entry) != STATUS_OK || write(ends[1], &name, 1) != 1)
				_exit(1);
		}
		_exit(2);
	}
	close(ends[1]);
	*ret_acknowledged = ends[0];
	return child;
}

Test(store, X22_what_was_acknowledged_survives_a_kill)
{
	struct store_entry entry;
	unsigned char last = 0, name;
	int acknowledged, status;
	struct stat about;
	char log[128];
	pid_t child = putting_child(&acknowledged);
	while (last < 40 && read(acknowledged, &last, 1) == 1)
		;
	cr_assert_eq(kill(child, SIGKILL), 0);
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_assert(WIFSIGNALED(status), "status %x", status);
	while (read(acknowledged, &name, 1) == 1)
		last = name;
	close(acknowledged);
	snprintf(log, sizeof log, "%s-wal", file);
	cr_assert(stat(log, &about) == 0 && about.st_size > 0, "nothing is left to be recovered");
	struct store *store = opened(SIZE);
	for (name = 1; name <= last; name++) {
		cr_expect_eq(found(store, name, 0, &entry), STATUS_OK, "%u of %u is lost", name, last);
		cr_expect_eq(entry.result.len, 20000);
	}
	store_close(store);
}

Test(store, X23_a_store_that_is_full_says_so_and_keeps_what_it_has)
{
	enum { SMALL = 256 << 10, RESULT = 20000 };
	struct store *store = opened(SMALL);
	enum status status = STATUS_OK;
	struct store_entry entry;
	unsigned char name = 0;
	while (status == STATUS_OK && ++name < 100) {
		entry = entry_of(name, RESULT);
		status = store_put(store, &entry);
	}
	cr_assert_eq(status, STATUS_TOO_LARGE, "%d after %u", status, name);
	cr_expect_gt(name, 5);
	cr_expect_eq(found(store, name, 0, &entry), STATUS_NOT_FOUND);
	cr_expect_eq(found(store, (unsigned char)(name - 1), 0, &entry), STATUS_OK);
	cr_assert_eq(store_expire(store, 1001), STATUS_OK);
	put(store, name, RESULT);
	store_close(store);
}

Test(store, X23_a_disk_that_is_full_loses_nothing_but_the_entry)
{
	enum { ROOM = 200 << 10 };
	struct store *store = opened(SIZE);
	const struct rlimit room = {ROOM, RLIM_INFINITY}, much = {RLIM_INFINITY, RLIM_INFINITY};
	enum status status = STATUS_OK;
	struct store_entry entry;
	unsigned char name = 0;
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &room), 0);
	while (status == STATUS_OK && ++name < 100) {
		entry = entry_of(name, 20000);
		status = store_put(store, &entry);
	}
	cr_expect(status == STATUS_TOO_LARGE || status == STATUS_IO, "%d after %u", status, name);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &much), 0);
	cr_expect_eq(found(store, name, 0, &entry), STATUS_NOT_FOUND);
	put(store, name, 20000);
	store_close(store);
	store = opened(SIZE);
	for (unsigned char i = 1; i <= name; i++)
		cr_expect_eq(found(store, i, 0, &entry), STATUS_OK, "%u of %u is lost", i, name);
	store_close(store);
}

/* Overwrites `len` bytes at `at`. */
static void damage(off_t at, size_t len)
{
	static const char rubbish[4096] = {'x'};
	int fd = open(file, O_WRONLY);
	cr_assert_geq(fd, 0);
	for (size_t done = 0; done < len; done += sizeof rubbish)
		cr_assert_eq(pwrite(fd, rubbish, sizeof rubbish, at + (off_t)done), sizeof rubbish);
	close(fd);
}

static void expect_damaged(void)
{
	struct store *store;
	cr_expect_eq(store_open(file, SIZE, &store, error, sizeof error), STATUS_MALFORMED);
	cr_expect_not_null(strstr(error, "move it away"), "%s", error);
}

Test(store, X23_a_damaged_file_is_not_opened)
{
	struct store *store = opened(SIZE);
	for (unsigned char name = 1; name < 40; name++)
		put(store, name, 3000);
	store_close(store);
	damage(3 * 4096, 8 * 4096);
	expect_damaged();
}

Test(store, X23_a_file_of_something_else_is_not_opened)
{
	FILE *other = fopen(file, "w");
	cr_assert_not_null(other);
	for (int i = 0; i < 1000; i++)
		fprintf(other, "some text, line %d\n", i);
	cr_assert_eq(fclose(other), 0);
	expect_damaged();
}

Test(store, two_gateways_do_not_share_one)
{
	struct store *store = opened(SIZE);
	int status;
	pid_t child = fork();
	if (child == 0) {
		struct store *second;
		_exit(store_open(file, SIZE, &second, error, sizeof error) == STATUS_BUSY ? 0 : 1);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	store_close(store);
}

Test(store, a_folder_that_is_missing_is_told)
{
	struct store *store;
	snprintf(file, sizeof file, "%s/none/journal.db", folder);
	cr_expect_eq(store_open(file, SIZE, &store, error, sizeof error), STATUS_IO);
	cr_expect_not_null(strstr(error, "No such file"), "%s", error);
}
