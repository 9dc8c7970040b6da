/* What the audit log records: who, where and what, numbers, and events that try to forge records. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/audit/fixture.h"

TestSuite(record, .init = fixture_make, .fini = fixture_remove, .timeout = 30);

Test(record, writes_who_where_and_what_in_one_line)
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

Test(record, tells_of_a_logout_that_nobody_asked_for_who_was_out_and_why)
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

Test(record, takes_nothing_after_its_last_record)
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

Test(record, times_are_utc_with_microseconds)
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

Test(record, carries_this_boots_id)
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

Test(record, file_is_for_its_owner_alone)
{
	struct stat about;

	umask(0);
	audit_close(opened());
	cr_assert_eq(stat(file, &about), 0);
	cr_expect_eq(about.st_mode & 0777, 0600);
}

Test(record, numbers_go_on_after_a_restart)
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

Test(record, a_batch_gets_consecutive_numbers_and_the_last_is_returned)
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

Test(record, an_event_that_cannot_be_recorded_does_not_take_the_others_with_it)
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

Test(record, an_event_with_a_DEL_is_recorded_as_it_is)
{
	struct audit *audit = opened();

	put_ok(audit, "{\"label\":\"a\x7f\"}");
	audit_close(audit);
	cr_expect_eq(check_gapless(), 1);
	cr_expect_eq(occurrences("\"event\":{\"label\":\"a\x7f\"}}\n"), 1);
}

Test(record, events_cannot_forge_records)
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

Test(record, subject_text_cannot_forge_records)
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

Test(record, an_overlong_event_is_replaced_by_the_record_that_it_was)
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
