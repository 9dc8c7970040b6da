#include "api/names.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct row {
	enum name_set set;
	const char *name;
	CK_ULONG number;
};

static const struct row attributes[] = {
#define ATTRIBUTE(name, ...) {NAMES_ATTRIBUTE, #name, name},
#include "api/attributes.def"
};
static const struct row mechanisms[] = {
#define MECHANISM(name, ...) {NAMES_MECHANISM, #name, name},
#include "api/mechanisms.def"
};
static const struct row returns[] = {
#define RETURN(name, ...) {NAMES_RETURN, #name, name},
#include "api/returns.def"
};
static const struct row constants[] = {
#define CONSTANT(family, name) {NAMES_##family, #name, name},
#include "api/constants.def"
};
static const struct row aliases[] = {
#define ALIAS(family, name) {NAMES_##family, #name, name},
#include "api/aliases.def"
};

static const struct {
	const struct row *rows;
	size_t count;
} tables[] = {
#define TABLE(rows) \
	{ \
		rows, sizeof(rows) / sizeof(rows)[0] \
	}
	TABLE(attributes), TABLE(mechanisms), TABLE(returns), TABLE(constants), TABLE(aliases)};
enum { TABLES = sizeof(tables) / sizeof(tables[0]), TABLES_WITHOUT_ALIASES = TABLES - 1 };

static struct json_text text(const char *s)
{
	return (struct json_text){s, strlen(s)};
}

Test(names, every_table_is_sorted_as_the_search_needs_it)
{
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 1; i < tables[t].count; i++)
			cr_expect_lt(strcmp(tables[t].rows[i - 1].name, tables[t].rows[i].name), 0,
				"%s must come before %s", tables[t].rows[i].name, tables[t].rows[i - 1].name);
	}
}

Test(names, every_row_is_found_by_number_and_by_name)
{
	for (size_t t = 0; t < TABLES_WITHOUT_ALIASES; t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct row *row = &tables[t].rows[i];
			const char *name = name_of(row->set, row->number);
			CK_ULONG number = 0;

			cr_assert_not_null(name, "%s", row->name);
			cr_expect_str_eq(name, row->name);
			cr_assert(name_number(row->set, text(row->name), &number), "%s", row->name);
			cr_expect_eq(number, row->number, "%s", row->name);
		}
	}
}

Test(names, an_older_name_is_read_and_the_present_one_written)
{
	CK_ULONG number = 0;

	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
		cr_assert(name_number(aliases[i].set, text(aliases[i].name), &number), "%s", aliases[i].name);
		cr_expect_eq(number, aliases[i].number);
		cr_expect_str_neq(name_of(aliases[i].set, number), aliases[i].name);
	}
	cr_assert(name_number(NAMES_KEY_TYPE, text("CKK_ECDSA"), &number));
	cr_expect_str_eq(name_of(NAMES_KEY_TYPE, number), "CKK_EC");
}

Test(names, a_name_counts_in_its_own_family_only)
{
	CK_ULONG number;

	cr_expect(name_number(NAMES_CLASS, text("CKO_DATA"), &number));
	cr_expect_not(name_number(NAMES_KEY_TYPE, text("CKO_DATA"), &number));
	cr_expect_not(name_number(NAMES_MECHANISM, text("CKA_LABEL"), &number));
	cr_expect_not(name_number(NAMES_CLASS, text("CKK_ECDSA"), &number));
	cr_expect_not(name_number(NAMES_NONE, text("CKM_ECDSA"), &number));
	cr_expect_null(name_of(NAMES_NONE, CKM_ECDSA));
}

Test(names, near_misses_are_refused)
{
	static const char *const misses[] = {"", "C", "CKM", "CKM_", "CKM_ECDS", "CKM_ECDSAX", "ckm_ecdsa",
		" CKM_ECDSA", "ECDSA", "4161", "CKM_AES_CBC_PA", "ZZZ", "\xff"};
	CK_ULONG number;

	for (size_t i = 0; i < sizeof(misses) / sizeof(misses[0]); i++)
		cr_expect_not(name_number(NAMES_MECHANISM, text(misses[i]), &number), "\"%s\"", misses[i]);
	cr_expect_not(name_number(NAMES_MECHANISM, (struct json_text){"CKM_ECDSA\0", 10}, &number));
}

Test(names, a_number_without_a_name_is_hexadecimal)
{
	CK_ULONG number = 0;
	char scratch[24];

	cr_expect_str_eq(name_text(NAMES_MECHANISM, 0x80000001, scratch), "0x80000001");
	cr_assert(name_number(NAMES_MECHANISM, text("0x80000001"), &number));
	cr_expect_eq(number, 0x80000001);
	cr_expect_str_eq(name_text(NAMES_CLASS, 0xffffffff, scratch), "0xffffffff");
	cr_assert(name_number(NAMES_NONE, text("0x0"), &number));
	cr_expect_eq(number, 0);
	cr_assert(name_number(NAMES_NONE, text("0xfffffffffffffffe"), &number));
	cr_expect_eq(number, 0xfffffffffffffffe);
}

Test(names, only_the_canonical_hexadecimal_form_is_read)
{
	static const char *const bad[] = {"0x", "0x01", "0X80000001", "0x8000000g", "80000001", "0x10000000000000000",
		"0x-1", "0x 1", "0x1041" /* has a name */};
	CK_ULONG number;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		cr_expect_not(name_number(NAMES_MECHANISM, text(bad[i]), &number), "\"%s\"", bad[i]);
}

Test(names, unavailable_information_has_its_name_in_every_family)
{
	for (int set = 0; set < NAMES_COUNT; set++) {
		CK_ULONG number = 0;

		cr_expect_str_eq(name_of((enum name_set)set, CK_UNAVAILABLE_INFORMATION), "CK_UNAVAILABLE_INFORMATION");
		cr_assert(name_number((enum name_set)set, text("CK_UNAVAILABLE_INFORMATION"), &number));
		cr_expect_eq(number, CK_UNAVAILABLE_INFORMATION);
	}
}

static bool has_row(const char *name)
{
	for (size_t t = 0; t < TABLES; t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			if (strcmp(tables[t].rows[i].name, name) == 0)
				return true;
		}
	}
	return false;
}

/* The header is read as text, so that a constant which a newer one adds is missed here and not by an application. */
Test(names, every_attribute_mechanism_and_return_value_of_the_header_has_a_row)
{
	FILE *header = fopen("/usr/include/nss/pkcs11t.h", "re");
	char line[512], name[64];
	size_t seen = 0;

	cr_assert_not_null(header, "the header is not where Debian has it");
	while (fgets(line, sizeof(line), header) != NULL) {
		if (sscanf(line, "#define %63[A-Z0-9_a-z]", name) != 1 || strstr(name, "_VENDOR_DEFINED") != NULL)
			continue;
		if (strncmp(name, "CKA_", 4) != 0 && strncmp(name, "CKM_", 4) != 0 && strncmp(name, "CKR_", 4) != 0 &&
			strncmp(name, "CKK_", 4) != 0 && strncmp(name, "CKO_", 4) != 0)
			continue;
		if (strcmp(name, "CKK_INVALID_KEY_TYPE") == 0)
			continue;
		cr_expect(has_row(name), "%s has no row", name);
		seen++;
	}
	(void)fclose(header);
	cr_expect_gt(seen, 600);
}

static CK_FLAGS flags_round(enum flag_set set, CK_FLAGS flags)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer out;
	struct json_writer w;
	struct json_reader in;
	CK_FLAGS back = ~flags;

	arena_init(&arena, 1 << 16);
	buffer_init(&out, 1 << 16);
	json_writer_init(&w, &out);
	flags_write(&w, set, flags);
	json_reader_init(&in, (const char *)out.data, out.len, &arena);
	cr_assert(flags_read(&in, set, &back) && json_end(&in), "%s", in.error);
	return back;
}

Test(flags, every_bit_of_every_family_makes_the_round_trip)
{
	for (int set = FLAGS_SLOT; set <= FLAGS_SESSION; set++) {
		for (unsigned bit = 0; bit < 32; bit++)
			cr_expect_eq(flags_round((enum flag_set)set, 1UL << bit), 1UL << bit);
		cr_expect_eq(flags_round((enum flag_set)set, 0), 0);
		cr_expect_eq(flags_round((enum flag_set)set, 0xffffffff), 0xffffffff);
	}
}

static void expect_flags_text(enum flag_set set, CK_FLAGS flags, const char *expected)
{
	BUFFER_AUTO struct buffer out;
	struct json_writer w;

	buffer_init(&out, 1 << 16);
	json_writer_init(&w, &out);
	flags_write(&w, set, flags);
	cr_expect_eq(out.len, strlen(expected));
	cr_expect(memcmp(out.data, expected, out.len) == 0, "%.*s", (int)out.len, (const char *)out.data);
}

Test(flags, are_names_without_their_prefix)
{
	expect_flags_text(FLAGS_SESSION, CKF_RW_SESSION | CKF_SERIAL_SESSION, "[\"RW_SESSION\",\"SERIAL_SESSION\"]");
	expect_flags_text(FLAGS_SESSION, CKF_SERIAL_SESSION | 0x80000000, "[\"SERIAL_SESSION\",\"0x80000000\"]");
}

Test(flags, unknown_and_repeated_names_are_refused)
{
	static const char *const bad[] = {"[\"SERIAL_SESSION\",\"SERIAL_SESSION\"]", "[\"RNG\"]", "[\"0x3\"]",
		"[\"0x0\"]", "[4]", "4", "[\"RW_SESSION\",\"0x2\"]", "{}", "[\"CKF_RW_SESSION\"]"};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		ARENA_AUTO struct arena arena;
		struct json_reader in;
		CK_FLAGS flags = 77;

		arena_init(&arena, 1 << 16);
		json_reader_init(&in, bad[i], strlen(bad[i]), &arena);
		cr_expect_not(flags_read(&in, FLAGS_SESSION, &flags), "%s", bad[i]);
		cr_expect(json_failed(&in));
		cr_expect_eq(flags, 77);
	}
}
