#include "api/schema.h"

#include <criterion/criterion.h>
#include <string.h>

Test(schema, every_row_is_found_by_its_number_and_its_name)
{
	for (enum schema_id id = SCHEMA_CALLS + 1; id < SCHEMA_COUNT; id++) {
		const struct schema_row *row = schema_row(id);
		cr_assert_not_null(row);
		cr_expect_eq(row->id, id);
		cr_expect_eq(schema_row_by_name(row->name), row);
	}
}

Test(schema, what_has_no_row_is_null)
{
	cr_expect_null(schema_row(SCHEMA_NONE));
	cr_expect_null(schema_row(SCHEMA_CALLS));
	cr_expect_null(schema_row(SCHEMA_COUNT));
	cr_expect_null(schema_row_by_name("Sign"));
	cr_expect_null(schema_row_by_name(""));
}

Test(schema, a_member_is_found_by_its_whole_name_only)
{
	const struct schema_row *row = schema_row(SCHEMA_LoginRequest);

	cr_assert_eq(schema_member(row, "pinXYZ", 3), &row->members[0]);
	cr_expect_eq(row->members[0].type, MEMBER_PIN);
	cr_expect(row->members[0].required);
	cr_expect_null(schema_member(row, "pi", 2));
	cr_expect_null(schema_member(row, "pinXYZ", 4));
	cr_expect_null(schema_member(row, "", 0));
}

Test(schema, an_enum_member_allows_its_values_only)
{
	const struct schema_member *user = schema_member(schema_row(SCHEMA_LoginRequest), "user", 4);

	cr_assert_not_null(user);
	cr_expect(schema_member_allows(user, "user", 4));
	cr_expect(schema_member_allows(user, "so", 2));
	cr_expect_not(schema_member_allows(user, "s", 1));
	cr_expect_not(schema_member_allows(user, "user so", 7));
	cr_expect_not(schema_member_allows(user, "", 0));
	cr_expect_not(schema_member_allows(user, "admin", 5));
}

Test(schema, objects_and_lists_name_a_schema_or_a_plain_type)
{
	for (enum schema_id id = SCHEMA_CALLS + 1; id < SCHEMA_COUNT; id++) {
		const struct schema_row *row = schema_row(id);
		for (size_t i = 0; i < row->member_count; i++) {
			const struct schema_member *member = &row->members[i];
			bool plain = member->type == MEMBER_LIST &&
				     (strcmp(member->detail, "TEXT") == 0 || strcmp(member->detail, "ANY") == 0);
			plain = plain || strncmp(member->detail, "structure.", strlen("structure.")) == 0;
			bool composed = member->type == MEMBER_OBJECT || member->type == MEMBER_LIST;
			cr_expect_eq(schema_member_row(member) != NULL, composed && !plain, "%s.%s", row->name,
				member->name);
		}
	}
}

Test(schema, a_list_tells_what_it_holds)
{
	const struct schema_row *key = schema_row(SCHEMA_Key), *list = schema_row(SCHEMA_KeyList);
	const struct schema_row *signature = schema_row(SCHEMA_Signature);

	cr_expect_eq(schema_member_item(schema_member(key, "usage", 5)), MEMBER_TEXT);
	cr_expect_eq(schema_member_item(schema_member(list, "keys", 4)), MEMBER_OBJECT);
	cr_expect_eq(schema_member_row(schema_member(list, "keys", 4)), key);
	cr_expect_eq(schema_member_item(schema_member(signature, "results", 7)), MEMBER_ANY);
}

Test(schema, details_stand_only_where_the_type_has_one)
{
	for (enum schema_id id = SCHEMA_CALLS + 1; id < SCHEMA_COUNT; id++) {
		const struct schema_row *row = schema_row(id);
		for (size_t i = 0; i < row->member_count; i++) {
			const struct schema_member *member = &row->members[i];
			bool detailed = member->type == MEMBER_ENUM || member->type == MEMBER_OBJECT ||
					member->type == MEMBER_LIST;
			cr_expect_eq(member->detail[0] != '\0', detailed, "%s.%s", row->name, member->name);
			cr_expect_eq(schema_member(row, member->name, strlen(member->name)), member, "%s.%s", row->name,
				member->name);
		}
	}
}

Test(schema, what_a_request_holds_is_no_structure_and_never_null)
{
	for (enum schema_id id = SCHEMA_CALLS + 1; id < SCHEMA_COUNT; id++) {
		const struct schema_row *row = schema_row(id);
		for (size_t i = 0; strstr(row->name, "Request") != NULL && i < row->member_count; i++) {
			cr_expect_not(row->members[i].nullable, "%s.%s", row->name, row->members[i].name);
			if (row->members[i].type == MEMBER_OBJECT)
				cr_expect_not_null(
					schema_member_row(&row->members[i]), "%s.%s", row->name, row->members[i].name);
		}
	}
}
