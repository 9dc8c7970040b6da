/*
 * The audit log against real files: numbering, restarts, full disks, forged events.
 */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/json.h"
#include "server/audit/audit.h"
#include "tests/support/lib/scratch.h"

enum { TEXT_MAX = 4 << 20 };

static const struct audit_subject alice = {
	.trace = "0123456789abcdef0123456789abcdef",
	.identity = "alice",
	.certificate_sha256 = "ab12",
	.peer = "127.0.0.1:5000",
	.slot = "demo",
	.application = "77aa",
};

static char folder[64];
static char file[96];
static char torn[96];
static char error[512];

static void make_folder(void)
{
	scratch_directory(folder, sizeof(folder));
	snprintf(file, sizeof file, "%s/audit.log", folder);
	snprintf(torn, sizeof torn, "%s/audit.log.torn", folder);
}

static void remove_folder(void)
{
	unlink(file);
	unlink(torn);
	rmdir(folder);
}

TestSuite(audit, .init = make_folder, .fini = remove_folder, .timeout = 30);

static struct audit *opened(void)
{
	struct audit *audit = NULL;

	cr_assert_eq(audit_open(file, &audit, error, sizeof error), STATUS_OK, "%s", error);
	return audit;
}

static enum status put(struct audit *audit, const char *event, uint64_t *ret_seq)
{
	struct bytes item = {(const unsigned char *)event, strlen(event)};

	return audit_write(audit, &alice, &(struct bytes_list){&item, 1}, ret_seq);
}

static uint64_t put_ok(struct audit *audit, const char *event)
{
	uint64_t seq = 0;

	cr_assert_eq(put(audit, event, &seq), STATUS_OK);
	return seq;
}

static char *contents(const char *path)
{
	char *text = calloc(1, TEXT_MAX);
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	cr_assert(fd >= 0, "%s: %s", path, strerror(errno));
	ssize_t len = read(fd, text, TEXT_MAX - 1);
	cr_assert(len >= 0);
	close(fd);
	return text;
}

static void append(const char *text)
{
	int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

/* Every line is one JSON object whose seq is the line's number. Returns the number of lines. */
static uint64_t check_gapless(void)
{
	char *text = contents(file), *rest = text;
	uint64_t lines = 0;

	for (char *line; (line = strsep(&rest, "\n")) && *line;) {
		char start[40];
		const char *problem;
		size_t offset;

		snprintf(start, sizeof start, "{\"seq\":%llu,", (unsigned long long)++lines);
		cr_assert(json_validate(line, strlen(line), &problem, &offset), "line %llu: %s",
			(unsigned long long)lines, line);
		cr_assert_eq(
			strncmp(line, start, strlen(start)), 0, "line %llu is %s", (unsigned long long)lines, line);
	}
	free(text);
	return lines;
}

Test(audit, writes_who_where_and_what_in_one_line)
{
	struct audit *audit = opened();
	char *text;

	cr_expect_eq(put_ok(audit, "{\"kind\":\"key-use\",\"rv\":\"CKR_OK\"}"), 1);
	text = contents(file);
	cr_expect_not_null(strstr(text, "\"trace\":\"0123456789abcdef0123456789abcdef\",\"identity\":\"alice\","
					"\"certificate\":\"ab12\","
					"\"peer\":\"127.0.0.1:5000\",\"slot\":\"demo\",\"application\":\"77aa\","
					"\"event\":{\"kind\":\"key-use\",\"rv\":\"CKR_OK\"}}\n"),
		"%s", text);
	free(text);
	audit_close(audit);
}

Test(audit, tells_of_a_logout_that_nobody_asked_for_who_was_out_and_why)
{
	struct audit *audit = opened();
	char *text;

	cr_expect_eq(audit_logout(audit, &alice, "CKU_SO", "the worker died"), STATUS_OK);
	text = contents(file);
	cr_expect_not_null(strstr(text, "\"identity\":\"alice\""), "%s", text);
	cr_expect_not_null(
		strstr(text, "\"slot\":\"demo\",\"application\":\"77aa\",\"event\":{\"kind\":\"login\","
			     "\"function\":\"C_Logout\",\"user\":\"CKU_SO\",\"reason\":\"the worker died\"}}\n"),
		"%s", text);
	free(text);
	audit_close(audit);
}

Test(audit, takes_nothing_after_its_last_record)
{
	struct audit *audit = opened();
	uint64_t seq = 0;

	put_ok(audit, "{}");
	cr_expect_eq(audit_finish(audit, "gateway stopped", "/etc/gateway.yaml"), STATUS_OK);
	cr_expect_eq(put(audit, "{}", &seq), STATUS_CLOSED);
	cr_expect_eq(audit_logout(audit, &alice, "CKU_USER", "the gateway stopped"), STATUS_CLOSED);
	cr_expect_not(audit_healthy(audit));
	cr_expect_eq(audit_probe(audit), STATUS_CLOSED);
	cr_expect_eq(check_gapless(), 2);
	char *text = contents(file);
	cr_expect_not_null(strstr(text, "\"event\":{\"kind\":\"configuration\",\"reason\":\"gateway stopped\","
					"\"file\":\"/etc/gateway.yaml\"}}\n"),
		"%s", text);
	free(text);
	audit_close(audit);
}

Test(audit, times_are_utc_with_microseconds)
{
	struct audit *audit = opened();
	int year, month, day, hour, minute, second, micro, used = 0;
	char *text;

	put_ok(audit, "{}");
	text = contents(file);
	cr_assert_eq(sscanf(text, "{\"seq\":1,\"time\":\"%4d-%2d-%2dT%2d:%2d:%2d.%6dZ\",\"boot\":\"%n", &year, &month,
			     &day, &hour, &minute, &second, &micro, &used),
		7, "%s", text);
	cr_expect_gt(used, 0, "the time does not end in six digits and Z: %s", text);
	free(text);
	audit_close(audit);
}

Test(audit, carries_this_boots_id)
{
	struct audit *audit = opened();
	char *boot = contents("/proc/sys/kernel/random/boot_id"), *text;

	put_ok(audit, "{}");
	boot[strcspn(boot, "\n")] = '\0';
	text = contents(file);
	cr_expect_not_null(strstr(text, boot));
	free(boot);
	free(text);
	audit_close(audit);
}

Test(audit, file_is_for_its_owner_alone)
{
	struct stat about;

	umask(0);
	audit_close(opened());
	cr_assert_eq(stat(file, &about), 0);
	cr_expect_eq(about.st_mode & 0777, 0600);
}

Test(audit, numbers_go_on_after_a_restart)
{
	struct audit *audit = opened();

	put_ok(audit, "{}");
	put_ok(audit, "{}");
	audit_close(audit);
	audit = opened();
	cr_expect_eq(put_ok(audit, "{}"), 3);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 3);
}

Test(audit, a_batch_gets_consecutive_numbers_and_the_last_is_returned)
{
	struct audit *audit = opened();
	const unsigned char *event = (const unsigned char *)"{}";
	struct bytes items[3] = {{event, 2}, {event, 2}, {event, 2}};
	uint64_t seq = 0;

	cr_assert_eq(audit_write(audit, &alice, &(struct bytes_list){items, 3}, &seq), STATUS_OK);
	cr_expect_eq(seq, 3);
	cr_assert_eq(audit_write(audit, &alice, &(struct bytes_list){items, 0}, &seq), STATUS_OK);
	cr_expect_eq(seq, 3);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 3);
}

Test(audit, an_event_that_cannot_be_recorded_does_not_take_the_others_with_it)
{
	struct audit *audit = opened();
	struct bytes items[3] = {{(const unsigned char *)"{\"n\":1}", 7}, {(const unsigned char *)"[1]", 3},
		{(const unsigned char *)"{\"n\":3}", 7}};
	uint64_t seq = 0;

	cr_expect_eq(audit_write(audit, &alice, &(struct bytes_list){items, 3}, &seq), STATUS_OK);
	cr_expect_eq(seq, 3);
	cr_expect(audit_healthy(audit), "a worker's bad event must not stop everybody's key uses");
	audit_close(audit);
	cr_expect_eq(check_gapless(), 3);
	char *text = contents(file);
	char *first = strstr(text, "\"event\":{\"n\":1}}\n{\"seq\":2,"),
	     *third = strstr(text, "\"event\":{\"n\":3}}\n");
	char *second = strstr(text, "\"event\":{\"kind\":\"unrecordable\",\"reason\":\"not an object\"}}\n{\"seq\":3,");
	cr_expect(first != NULL && first < second && second < third, "%s", text);
	free(text);
}

/* How often the log has `part`. */
static unsigned occurrences(const char *part)
{
	char *text = contents(file);
	unsigned count = 0;

	for (const char *at = text; (at = strstr(at, part)) != NULL; at++)
		count++;
	free(text);
	return count;
}

Test(audit, an_event_with_a_DEL_is_recorded_as_it_is)
{
	struct audit *audit = opened();

	put_ok(audit, "{\"label\":\"a\x7f\"}");
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
	cr_expect_eq(occurrences("\"event\":{\"label\":\"a\x7f\"}}\n"), 1);
}

Test(audit, events_cannot_forge_records)
{
	static const char *const attempts[] = {
		"",
		"{",
		"}",
		"[]",
		"1",
		"\"x\"",
		"null",
		" {}",
		"{}{}",
		"{} {}",
		"{}\n{\"seq\":9}",
		"{\n}",
		"{\"a\":\"\n\"}",
		"{\"a\":1}\r",
		"{\"a\":1},\"seq\":7",
		"{\"a\":\"\xff\"}",
		"{\"a\":1,\"a\":2}",
		"{\"a\":\t1}",
		"{\"a\":\"\x1b[2J\"}",
	};
	struct audit *audit = opened();

	for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++) {
		put_ok(audit, attempts[i]);
		cr_expect_eq(occurrences("\"kind\":\"unrecordable\""), i + 1, "accepted: %s", attempts[i]);
	}
	put_ok(audit, "{\"label\":\"\\n{\\\"seq\\\":1}\"}");
	audit_close(audit);
	cr_expect_eq(check_gapless(), sizeof attempts / sizeof *attempts + 1);
	cr_expect_eq(
		occurrences("\"event\":{\"kind\":\"unrecordable\",\"reason\":\""), sizeof attempts / sizeof *attempts);
}

Test(audit, subject_text_cannot_forge_records)
{
	struct audit *audit = opened();
	struct audit_subject mallory = alice;
	struct bytes item = {(const unsigned char *)"{}", 2};
	uint64_t seq;

	mallory.identity = "x\",\"event\":{}}\n{\"seq\":2,\"identity\":\"bob";
	mallory.peer = "\xff\x01\x7f";
	cr_assert_eq(audit_write(audit, &mallory, &(struct bytes_list){&item, 1}, &seq), STATUS_OK);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
}

Test(audit, an_overlong_event_is_replaced_by_the_record_that_it_was)
{
	struct audit *audit = opened();
	size_t len = AUDIT_EVENT_MAX + 1;
	char *event = malloc(len + 1);

	memset(event, 'x', len);
	memcpy(event, "{\"a\":\"", 6);
	memcpy(event + len - 2, "\"}", 3);
	put_ok(audit, event);
	cr_expect_eq(occurrences("\"event\":{\"kind\":\"unrecordable\",\"reason\":\"too long\"}"), 1);
	memcpy(event + len - 3, "\"}", 3);
	put_ok(audit, event);
	cr_expect_eq(occurrences("\"kind\":\"unrecordable\""), 1);
	free(event);
	audit_close(audit);
}

Test(audit, a_torn_last_line_is_kept_apart)
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

Test(audit, a_file_that_is_one_torn_line_starts_at_one)
{
	struct audit *audit;

	append("{\"seq\":1");
	audit = opened();
	cr_expect_eq(put_ok(audit, "{}"), 1);
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
}

Test(audit, a_torn_line_longer_than_one_read_is_kept_whole)
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

Test(audit, a_last_line_that_is_no_record_stops_the_start)
{
	struct audit *audit = NULL;

	append("{\"seq\":1}\nnot a record\n");
	cr_expect_eq(audit_open(file, &audit, error, sizeof error), STATUS_MALFORMED);
	cr_expect_null(audit);
	cr_expect_not_null(strstr(error, "no audit record"), "%s", error);
	cr_expect_not_null(strstr(error, file), "%s", error);
}

Test(audit, a_second_gateway_on_the_same_file_is_refused)
{
	struct audit *first = opened(), *second = NULL;

	cr_expect_eq(audit_open(file, &second, error, sizeof error), STATUS_BUSY);
	cr_expect_null(second);
	audit_close(first);
	audit_close(opened());
}

Test(audit, a_missing_folder_is_told)
{
	struct audit *audit = NULL;

	cr_expect_eq(audit_open("/nonexistent/audit.log", &audit, error, sizeof error), STATUS_IO);
	cr_expect_not_null(strstr(error, "/nonexistent/audit.log"), "%s", error);
}

Test(audit, a_symbolic_link_or_device_is_refused)
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

Test(audit, a_full_disk_withholds_the_answer_and_leaves_no_torn_line)
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

Test(audit, a_probe_fails_while_the_disk_is_full_and_recovers_afterwards)
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

Test(audit, a_write_that_succeeds_makes_the_log_healthy_again)
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

Test(audit, a_log_that_was_removed_is_begun_anew_with_the_next_number)
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

Test(audit, a_foreign_file_in_a_removed_logs_place_stops_key_uses)
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

Test(audit, a_log_that_was_cut_by_rotation_goes_on_without_a_hole)
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

Test(audit, sixteen_threads_leave_no_gap)
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

Test(audit, a_killed_writer_leaves_a_log_that_goes_on)
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
