/* Keys that the resource routes generate: what can be asked for, and that the token has it. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/resource_fixture.h"

RESOURCE_SUITE(resource_generate, resource_setup_logged_in);

/* The values of an enumeration of GenerateRequest, with spaces between them. */
static const char *values_of(const char *member)
{
	return schema_member(schema_row(SCHEMA_GenerateRequest), member, strlen(member))->detail;
}

/* The next of them, which *values goes on behind; NULL behind the last. */
static const char *next_value(const char **values)
{
	size_t len = strcspn(*values, " ");
	const char *value = len == 0 ? NULL : text_of("%.*s", (int)len, *values);
	*values += len + ((*values)[len] == ' ');
	return value;
}

Test(resource_generate, A40_every_curve_of_the_schema_makes_a_key_of_that_curve)
{
	const char *curves = values_of("curve");
	for (const char *curve; (curve = next_value(&curves)) != NULL;) {
		const char *label = text_of("on %s", curve);
		make_resource_key(&worker, "EC", label, text_of(",\"curve\":\"%s\"", curve));
		REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = label);
		cr_expect_str_eq(text_at(key.json, "curve"), curve);
		EVP_PKEY *public_key = public_key_of(&worker, label);
		cr_expect_eq(EVP_PKEY_get_base_id(public_key), EVP_PKEY_EC);
		EVP_PKEY_free(public_key);
	}
}

Test(resource_generate, A40_every_type_of_the_schema_is_made)
{
	const char *types = values_of("type");
	for (const char *type; (type = next_value(&types)) != NULL;) {
		REST_AUTO struct rest made = REST(&worker, 201, .route = ROUTE_key_generate,
			.body = text_of("{\"type\":\"%s\",\"label\":\"%s\"}", type, type));
		cr_expect_str_eq(text_at(made.json, "type"), type);
	}
}

/* Usage by usage, as the key shows them. */
static void expect_usage(const char *type, const char *usage, const char *shown)
{
	static unsigned number;
	const char *label = text_of("usage%u", number++);
	make_resource_key(&worker, type, label, text_of(",\"usage\":[%s]", usage));
	REST_AUTO struct rest key = REST(&worker, 200, .route = ROUTE_key, .key = label);
	char *list = json_dumps(json_at(key.json, "usage"), JSON_COMPACT);
	cr_expect_str_eq(list, shown);
	free(list);
}

Test(resource_generate, A40_a_key_can_do_what_was_asked_for_and_nothing_else)
{
	expect_usage("RSA", "\"decrypt\",\"encrypt\"", "[\"encrypt\",\"decrypt\"]");
	expect_usage("RSA", "\"wrap\",\"unwrap\"", "[\"wrap\",\"unwrap\"]");
	expect_usage("EC", "\"derive\"", "[\"derive\"]");
	expect_usage("EC", "\"sign\"", "[\"sign\"]");
	expect_usage("AES", "\"wrap\",\"unwrap\"", "[\"wrap\",\"unwrap\"]");
	expect_usage("HMAC", "\"derive\"", "[\"derive\"]");
	expect_usage("AES", "", "[]");
}

Test(resource_generate, A40_a_usage_that_the_type_cannot_have_is_named)
{
	static const struct {
		const char *type, *usage, *pointer;
	} refusals[] = {
		{"EC", "\"sign\",\"decrypt\"", "/usage/1"},
		{"Ed25519", "\"derive\"", "/usage/0"},
		{"HMAC", "\"encrypt\"", "/usage/0"},
		{"RSA", "\"derive\"", "/usage/0"},
		{"AES", "\"encrypt\",\"fly\"", "/usage/1"},
	};
	for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, 400, .route = ROUTE_key_generate,
			.body = text_of("{\"type\":\"%s\",\"label\":\"a\",\"usage\":[%s]}", refusals[i].type,
				refusals[i].usage));
		cr_expect_str_eq(text_at(rest.json, "pointer"), refusals[i].pointer);
	}
	REST_ONLY(&worker, 404, .route = ROUTE_key, .key = "a");
}

Test(resource_generate, A40_an_id_that_is_not_hexadecimal_is_named)
{
	static const char *const ids[] = {"1", "xy", "0x01", "AQI"};
	for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
		REST_AUTO struct rest rest = REST(&worker, 400, .route = ROUTE_key_generate,
			.body = text_of("{\"type\":\"EC\",\"label\":\"a\",\"id\":\"%s\"}", ids[i]));
		cr_expect_str_eq(text_at(rest.json, "pointer"), "/id");
	}
}
