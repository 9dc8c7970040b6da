#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/json.h"
#include "tests/unit/app/fixture.h"

FIXTURE_SUITE(inventory);

static bool everything(void *context, const char *slot)
{
	(void)context;
	(void)slot;
	return true;
}

static bool only(void *context, const char *slot)
{
	return strcmp(context, slot) == 0;
}

struct document {
	char text[16384];
	enum status status;
};

static struct document get(enum inventory_form form, const char *slot, uint64_t after, unsigned wait_ms)
{
	struct document document;
	BUFFER_AUTO struct buffer out;
	const char *error;
	size_t offset;
	buffer_init(&out, sizeof document.text - 1);
	document.status = registry_inventory(fixture.registry, form, slot, everything, NULL, after, wait_ms, &out);
	if (document.status == STATUS_OK)
		cr_expect(json_validate((const char *)out.data, out.len, &error, &offset), "%.*s", (int)out.len,
			(char *)out.data);
	if (out.len > 0)
		memcpy(document.text, out.data, out.len);
	document.text[out.len] = '\0';
	return document;
}

#define HAS(document, part) cr_expect(strstr((document).text, part) != NULL, "%s lacks %s", (document).text, part)
#define HAS_NOT(document, part) cr_expect(strstr((document).text, part) == NULL, "%s has %s", (document).text, part)

static uint64_t generation_of(const struct document *document)
{
	const char *at = strstr(document->text, "\"generation\":");
	return at == NULL ? 0 : strtoull(at + strlen("\"generation\":"), NULL, 10);
}

Test(inventory, shows_the_slots_of_all_modules_in_the_order_of_the_configuration)
{
	struct document calls = get(INVENTORY_CALLS, NULL, 0, 0), slots = get(INVENTORY_SLOTS, NULL, 0, 0);
	HAS(calls, "\"slots\":[{\"name\":\"demo\",\"label\":\"first token\"},{\"name\":\"spare\",\"label\":\"first "
		   "token\"},"
		   "{\"name\":\"other\",\"label\":\"first token\"}]}");
	HAS(slots, "{\"slots\":[{\"name\":\"demo\"");
}

Test(inventory, shows_only_what_the_caller_may_see)
{
	BUFFER_AUTO struct buffer out;
	char name[] = "spare";
	buffer_init(&out, 4096);
	cr_assert_eq(registry_inventory(fixture.registry, INVENTORY_SLOTS, NULL, only, name, 0, 0, &out), STATUS_OK);
	buffer_byte(&out, 0);
	cr_expect_str_eq((char *)out.data, "{\"slots\":[{\"name\":\"spare\",\"label\":\"first token\"}]}");
	cr_expect_eq(
		registry_inventory(fixture.registry, INVENTORY_SLOT, "demo", only, name, 0, 0, &out), STATUS_NOT_FOUND);
	cr_expect_eq(registry_inventory(fixture.registry, INVENTORY_SLOT, "nowhere", everything, NULL, 0, 0, &out),
		STATUS_NOT_FOUND);
}

Test(inventory, asks_the_module_afresh_so_that_a_new_token_shows_at_once)
{
	struct document before = get(INVENTORY_CALLS, NULL, 0, 0);
	set_label(&fixture, "second token");
	struct document after = get(INVENTORY_CALLS, NULL, 0, 0);
	HAS(after, "second token");
	HAS_NOT(after, "first token");
	cr_expect_gt(generation_of(&after), generation_of(&before));
	struct document same = get(INVENTORY_CALLS, NULL, 0, 0);
	cr_expect_eq(generation_of(&same), generation_of(&after));
}

static unsigned long queries_of(const struct document *document)
{
	const char *at = strstr(document->text, "\"queries\":");
	cr_assert_not_null(at);
	return strtoul(at + strlen("\"queries\":"), NULL, 10);
}

static void *get_once(void *context)
{
	get(INVENTORY_MECHANISMS, "other", 0, 0);
	return context;
}

Test(inventory, serves_many_callers_with_few_questions)
{
	pthread_t callers[40];
	set_label(&fixture, "count slowly");
	struct document first = get(INVENTORY_MECHANISMS, "other", 0, 0);
	for (unsigned i = 0; i < 40; i++)
		cr_assert_eq(pthread_create(&callers[i], NULL, get_once, NULL), 0);
	for (unsigned i = 0; i < 40; i++)
		pthread_join(callers[i], NULL);
	struct document last = get(INVENTORY_MECHANISMS, "other", 0, 0);
	cr_expect_lt(queries_of(&last) - queries_of(&first), 20);
}

Test(inventory, shows_slots_of_a_missing_module_as_unavailable_and_leaves_the_others_alone)
{
	char nowhere[] = "/nowhere/module.so";
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.modules[1].path = nowhere;
	fixture_start(&fixture);
	struct document slots = get(INVENTORY_SLOTS, NULL, 0, 0), calls = get(INVENTORY_CALLS, NULL, 0, 0);
	HAS(slots, "{\"name\":\"other\",\"state\":\"unavailable\",\"detail\":\"the module could not be asked (status "
		   "503)\",\"class\":\"hsm\"}");
	HAS(slots, "{\"name\":\"demo\",\"label\":\"first token\"}");
	HAS(calls, "\"name\":\"other\",\"id\":");
	HAS(calls, "\"token_info\":null,\"mechanisms\":[]}");
	char detail[256];
	cr_expect_not(registry_ready(fixture.registry, detail, sizeof detail));
	cr_expect_eq(strncmp(detail, "module second: ", 15), 0, "%s", detail);
	struct document mechanisms = get(INVENTORY_MECHANISMS, "other", 0, 0);
	cr_expect_str_eq(mechanisms.text, "{\"mechanisms\":[]}");
}

static bool is_ready(void *context)
{
	char detail[256];
	(void)context;
	return registry_ready(fixture.registry, detail, sizeof detail);
}

Test(inventory, sees_a_module_come_back)
{
	unlink(fixture.module_path);
	struct document gone = get(INVENTORY_SLOT, "demo", 0, 0);
	HAS(gone, "\"state\":\"unavailable\"");
	set_label(&fixture, "third token");
	cr_expect(becomes(is_ready, NULL));
	struct document back = get(INVENTORY_SLOT, "demo", 0, 0);
	HAS(back, "third token");
}

Test(inventory, a_module_that_hangs_is_unavailable_after_its_deadline_and_does_not_delay_the_others)
{
	char hanging[160];
	fixture_done(&fixture);
	fixture_init(&fixture);
	snprintf(hanging, sizeof hanging, "%s/hanging", fixture.directory);
	FILE *file = fopen(hanging, "w");
	fputs("hang", file);
	fclose(file);
	fixture.modules[1].path = hanging;
	fixture.config.limits.sign_s = 1;
	fixture_start(&fixture);
	int64_t begun = clock_ms();
	struct document demo = get(INVENTORY_SLOT, "demo", 0, 0);
	cr_expect_lt(clock_ms() - begun, 900);
	HAS(demo, "first token");
	struct document slots = get(INVENTORY_SLOTS, NULL, 0, 0);
	cr_expect_lt(clock_ms() - begun, 4000);
	HAS(slots, "first token");
	struct document other = get(INVENTORY_SLOT, "other", 0, 0);
	HAS(other, "\"state\":\"unavailable\"");
}

Test(inventory, refuses_documents_that_are_not_json)
{
	set_label(&fixture, "?");
	struct document slots = get(INVENTORY_SLOTS, NULL, 0, 0);
	HAS(slots, "\"state\":\"unavailable\",\"detail\":\"the worker's answer cannot be read\"");
}

Test(inventory, X15_looks_periodically_and_reinitialises_modules_that_need_it)
{
	fixture_done(&fixture);
	fixture_init(&fixture);
	fixture.config.limits.inventory_s = 1;
	fixture.modules[0].rescan_reinit = true;
	fixture_start(&fixture);
	struct document first = get(INVENTORY_CALLS, NULL, 0, 0);
	set_label(&fixture, "count on");
	struct document changed = get(INVENTORY_CALLS, NULL, generation_of(&first), 5000);
	cr_expect_gt(generation_of(&changed), generation_of(&first));
	HAS(changed, "count on");
	struct document demo = get(INVENTORY_MECHANISMS, "demo", 0, 0),
			other = get(INVENTORY_MECHANISMS, "other", 0, 0);
	HAS_NOT(demo, "\"reinits\":0");
	HAS(other, "\"reinits\":0");
}

Test(inventory, a_long_poll_without_news_ends_in_time)
{
	struct document first = get(INVENTORY_CALLS, NULL, 0, 0);
	int64_t begun = clock_ms();
	struct document same = get(INVENTORY_CALLS, NULL, generation_of(&first), 200);
	cr_expect_geq(clock_ms() - begun, 199);
	cr_expect_eq(generation_of(&same), generation_of(&first));
	begun = clock_ms();
	get(INVENTORY_CALLS, NULL, generation_of(&first) - 1, 5000);
	cr_expect_lt(clock_ms() - begun, 1000);
}

Test(inventory, X10_is_asked_again_after_a_token_was_initialised)
{
	struct document before = get(INVENTORY_CALLS, NULL, 0, 0);
	set_label(&fixture, "count as initialised");
	ask(&fixture, 1, "acquire=4;release=0");
	struct document after = get(INVENTORY_CALLS, NULL, generation_of(&before), 5000);
	HAS(after, "count as initialised");
	struct document mechanisms = get(INVENTORY_MECHANISMS, "demo", 0, 0);
	HAS(mechanisms, "\"reinits\":1");
}

static unsigned wanted;

static bool is_told(void *context)
{
	(void)context;
	struct asked asked = ask(&fixture, 2, "");
	return number_of(&asked, "voided") == wanted;
}

static unsigned long long generation_at_login(void)
{
	struct asked asked = ask(&fixture, 3, "acquire=1,1;release=0,0");
	return number_of(&asked, "generation");
}

/* The inventory has seen the token, and an application has a worker. */
static unsigned long long generation_before_change(void)
{
	get(INVENTORY_SLOTS, NULL, 0, 0);
	ask(&fixture, 2, "");
	return generation_at_login();
}

static void expect_taken_along(unsigned long long before)
{
	get(INVENTORY_SLOTS, NULL, 0, 0);
	wanted = 1 + LOGIN_END_TOKEN_CHANGED;
	cr_expect(becomes(is_told, NULL));
	cr_expect_eq(generation_at_login(), before + 1, "a PIN of before is outdated wherever it is kept");
}

Test(inventory, B14_a_token_that_was_away_takes_kept_pins_along_though_nobody_used_it_meanwhile)
{
	unsigned long long before = generation_before_change();
	set_label(&fixture, "absent");
	get(INVENTORY_SLOTS, NULL, 0, 0);
	set_label(&fixture, "first token");
	expect_taken_along(before);
}

Test(inventory, B14_a_token_of_another_serial_number_takes_kept_pins_along)
{
	unsigned long long before = generation_before_change();
	set_label(&fixture, "second token");
	expect_taken_along(before);
}

Test(inventory, B14_a_module_that_could_not_be_asked_for_a_while_takes_nothing_along)
{
	unsigned long long before = generation_before_change();
	unlink(fixture.module_path);
	struct document gone = get(INVENTORY_SLOT, "demo", 0, 0);
	HAS(gone, "\"state\":\"unavailable\"");
	set_label(&fixture, "first token");
	cr_expect(becomes(is_ready, NULL));
	struct asked asked = ask(&fixture, 2, "");
	cr_expect_eq(number_of(&asked, "voided"), 0);
	cr_expect_eq(generation_at_login(), before);
}

Test(inventory, B14_a_token_that_a_client_initialised_is_not_taken_for_another_one)
{
	get(INVENTORY_SLOTS, NULL, 0, 0);
	set_label(&fixture, "first renewed");
	ask(&fixture, 1, "acquire=4;release=0");
	unsigned long long before = generation_at_login();
	ask(&fixture, 2, "");
	get(INVENTORY_SLOTS, NULL, 0, 0);
	struct asked asked = ask(&fixture, 2, "");
	cr_expect_eq(number_of(&asked, "voided"), 0);
	cr_expect_eq(generation_at_login(), before);
}

Test(inventory, follows_a_reload)
{
	struct document before = get(INVENTORY_CALLS, NULL, 0, 0);
	HAS(before, "\"name\":\"other\"");
	fixture.slots[1].name = "renamed";
	fixture.config.slots_count = 2;
	fixture.config.modules_count = 1;
	registry_reload(fixture.registry, &fixture.config);
	struct document after = get(INVENTORY_CALLS, NULL, 0, 0);
	HAS(after, "\"name\":\"renamed\"");
	HAS(after, "\"name\":\"demo\"");
	HAS_NOT(after, "\"name\":\"other\"");
	HAS_NOT(after, "\"name\":\"spare\"");
	cr_expect_gt(generation_of(&after), generation_of(&before));
}
