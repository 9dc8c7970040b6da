/* The audit log's file: torn lines, full disks, rotation, several writers. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/audit/fixture.h"

TestSuite(file, .init = fixture_make, .fini = fixture_remove, .timeout = 30);

Test(file, a_torn_last_line_is_kept_apart)
{
	struct audit *audit = opened();
	char *text;

	put_ok(audit, "{}");
	audit_close(audit);
	append("{\"seq\":2,\"time\":\"20");
	audit = opened();
	cr_expect_eq(put_ok(audit, "{}"), 2);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 2);
	text = contents(torn);
	cr_expect_str_eq(text, "{\"seq\":2,\"time\":\"20\n");
	free(text);
}

Test(file, a_file_that_is_one_torn_line_starts_at_one)
{
	struct audit *audit;

	append("{\"seq\":1");
	audit = opened();
	cr_expect_eq(put_ok(audit, "{}"), 1);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
}

Test(file, a_torn_line_longer_than_one_read_is_kept_whole)
{
	char *long_line = malloc(200001), *text;

	audit_close(opened());
	memset(long_line, 'y', 200000);
	long_line[200000] = '\0';
	append(long_line);
	audit_close(opened());
	text = contents(torn);
	cr_expect_eq(strlen(text), 200001);
	free(text);
	free(long_line);
}

Test(file, a_last_line_that_is_no_record_stops_the_start)
{
	struct audit *audit = NULL;

	append("{\"seq\":1}\nnot a record\n");
	cr_expect_eq(audit_open(file, &audit, error, sizeof error), STATUS_MALFORMED);
	cr_expect_null(audit);
	cr_expect_not_null(strstr(error, "no audit record"), "%s", error);
	cr_expect_not_null(strstr(error, file), "%s", error);
}

Test(file, a_second_gateway_on_the_same_file_is_refused)
{
	struct audit *first = opened(), *second = NULL;

	cr_expect_eq(audit_open(file, &second, error, sizeof error), STATUS_BUSY);
	cr_expect_null(second);
	audit_close(first);
	audit_close(opened());
}

Test(file, a_missing_folder_is_told)
{
	struct audit *audit = NULL;

	cr_expect_eq(audit_open("/nonexistent/audit.log", &audit, error, sizeof error), STATUS_IO);
	cr_expect_not_null(strstr(error, "/nonexistent/audit.log"), "%s", error);
}

Test(file, a_symbolic_link_or_device_is_refused)
{
	struct audit *audit = NULL;

	cr_assert_eq(symlink("/dev/null", file), 0);
	cr_expect_eq(audit_open(file, &audit, error, sizeof error), STATUS_IO);
	cr_expect_eq(audit_open("/dev/full", &audit, error, sizeof error), STATUS_IO);
	cr_expect_not_null(strstr(error, "no regular file"), "%s", error);
}

/* The kernel refuses to let the file grow beyond `bytes`, as a full disk would. */
static void limit_size(rlim_t bytes)
{
	signal(SIGXFSZ, SIG_IGN);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &(struct rlimit){bytes, RLIM_INFINITY}), 0);
}

static off_t size_of_file(void)
{
	struct stat about;

	cr_assert_eq(stat(file, &about), 0);
	return about.st_size;
}

Test(file, a_full_disk_withholds_the_answer_and_leaves_no_torn_line)
{
	struct audit *audit = opened();
	uint64_t seq = 99;

	put_ok(audit, "{}");
	off_t size = size_of_file();
	limit_size((rlim_t)size + 20);
	cr_expect_eq(put(audit, "{}", &seq), STATUS_IO);
	cr_expect_eq(seq, 99);
	cr_expect_not(audit_healthy(audit));
	cr_expect_eq(size_of_file(), size, "part of a record stayed in the file");
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
}

Test(file, a_probe_fails_while_the_disk_is_full_and_recovers_afterwards)
{
	struct audit *audit = opened();
	uint64_t seq;

	put_ok(audit, "{}");
	cr_expect_eq(audit_probe(audit), STATUS_OK, "a healthy log needs no probe");
	limit_size((rlim_t)size_of_file() + 20);
	cr_expect_eq(put(audit, "{}", &seq), STATUS_IO);
	cr_expect_eq(audit_probe(audit), STATUS_IO);
	cr_expect_not(audit_healthy(audit));
	limit_size(RLIM_INFINITY);
	cr_expect_eq(audit_probe(audit), STATUS_OK);
	cr_expect(audit_healthy(audit));
	cr_expect_eq(put_ok(audit, "{}"), 3);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 3);
	char *text = contents(file);
	cr_expect_not_null(strstr(text, "\"event\":{\"kind\":\"audit-restored\",\"since\":\"20"), "%s", text);
	free(text);
}

Test(file, a_write_that_succeeds_makes_the_log_healthy_again)
{
	struct audit *audit = opened();
	uint64_t seq;

	limit_size(10);
	cr_expect_eq(put(audit, "{}", &seq), STATUS_IO);
	limit_size(RLIM_INFINITY);
	cr_expect_eq(put_ok(audit, "{}"), 1);
	cr_expect(audit_healthy(audit));
	audit_close(audit);
}

Test(file, a_log_that_was_removed_is_begun_anew_with_the_next_number)
{
	struct audit *audit = opened();

	put_ok(audit, "{}");
	put_ok(audit, "{}");
	cr_assert_eq(unlink(file), 0);
	cr_expect_eq(put_ok(audit, "{}"), 3);
	audit_close(audit);
	char *text = contents(file);
	cr_expect_eq(strncmp(text, "{\"seq\":3,", 9), 0, "%s", text);
	free(text);
}

Test(file, a_foreign_file_in_a_removed_logs_place_stops_key_uses)
{
	struct audit *audit = opened();
	uint64_t seq;

	put_ok(audit, "{}");
	cr_assert_eq(unlink(file), 0);
	append("{\"seq\":1}\n");
	cr_expect_eq(put(audit, "{}", &seq), STATUS_IO);
	cr_expect_not(audit_healthy(audit));
	cr_assert_eq(unlink(file), 0);
	cr_expect_eq(audit_probe(audit), STATUS_OK);
	cr_expect_eq(put_ok(audit, "{}"), 3);
	audit_close(audit);
}

Test(file, a_log_that_was_cut_by_rotation_goes_on_without_a_hole)
{
	struct audit *audit = opened();
	uint64_t seq;

	put_ok(audit, "{}");
	cr_assert_eq(truncate(file, 0), 0);
	put_ok(audit, "{}");
	limit_size((rlim_t)size_of_file() + 20);
	cr_expect_eq(put(audit, "{}", &seq), STATUS_IO);
	limit_size(RLIM_INFINITY);
	cr_expect_eq(put_ok(audit, "{}"), 3);
	audit_close(audit);
	char *text = contents(file);
	cr_expect_eq(strncmp(text, "{\"seq\":2,", 9), 0, "%s", text);
	cr_expect_not_null(strstr(text, "}\n{\"seq\":3,"), "%s", text);
	free(text);
}

enum { THREADS = 16, ROUNDS = 200 };

static void *write_many(void *audit)
{
	struct bytes items[2] = {{(const unsigned char *)"{\"n\":1}", 7}, {(const unsigned char *)"{\"n\":2}", 7}};
	uint64_t last = 0, seq;

	for (unsigned i = 0; i < ROUNDS; i++) {
		if (audit_write(audit, &alice, &(struct bytes_list){items, 1 + i % 2}, &seq) != STATUS_OK ||
			seq <= last)
			return (void *)1;
		last = seq;
	}
	return NULL;
}

Test(file, sixteen_threads_leave_no_gap)
{
	struct audit *audit = opened();
	pthread_t threads[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		cr_assert_eq(pthread_create(&threads[i], NULL, write_many, audit), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *failed;

		pthread_join(threads[i], &failed);
		cr_expect_null(failed);
	}
	audit_close(audit);
	cr_expect_eq(check_gapless(), THREADS * (ROUNDS + ROUNDS / 2));
}

Test(file, a_killed_writer_leaves_a_log_that_goes_on)
{
	pid_t child = fork();

	if (child == 0) {
		struct audit *audit = NULL;
		struct bytes item = {(const unsigned char *)"{}", 2};
		uint64_t seq = 0;

		if (audit_open(file, &audit, error, sizeof error) != STATUS_OK)
			_exit(1);
		while (seq < 1000) {
			if (audit_write(audit, &alice, &(struct bytes_list){&item, 1}, &seq) != STATUS_OK)
				_exit(1);
		}
		raise(SIGKILL);
		_exit(1);
	}
	int outcome;
	cr_assert_eq(waitpid(child, &outcome, 0), child);
	cr_assert(WIFSIGNALED(outcome));
	struct audit *audit = opened();
	cr_expect_eq(put_ok(audit, "{}"), 1001);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1001);
}
