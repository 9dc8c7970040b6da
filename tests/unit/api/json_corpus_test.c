#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "api/json.h"
#include "api/limits.h"
#include "tests/support/json_walk.h"
#include "tests/support/lib/json_corpus.h"

static struct json_document *documents;
static size_t count;

static void corpus_init(void)
{
	count = json_corpus_load(&documents);
}

static void corpus_done(void)
{
	json_corpus_free(documents, count);
}

TestSuite(json_corpus, .init = corpus_init, .fini = corpus_done);

static const char *word(bool accepted)
{
	return accepted ? "accepted" : "refused";
}

static bool scanner_accepts(const char *text, size_t len)
{
	const char *error = NULL;
	size_t offset = 0;
	bool accepted = json_validate(text, len, &error, &offset);

	cr_assert(accepted || error != NULL);
	cr_assert(offset <= len);
	return accepted;
}

/* As the worker's resource routes use it. */
static bool jansson_accepts(const char *text, size_t len)
{
	json_error_t error;
	json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	bool accepted = value != NULL;

	json_decref(value);
	return accepted;
}

static bool walk_accepts(const char *text, size_t len)
{
	struct json_reader in;
	struct arena arena;

	arena_init(&arena, LIMIT_BODY_ARENA);
	json_reader_init(&in, text, len, &arena);
	bool accepted = json_walk(&in) && json_end(&in);
	arena_done(&arena);
	return accepted;
}

Test(json_corpus, holds_at_least_500_documents_with_names_of_their_own)
{
	cr_assert_geq(count, 500);
	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < i; j++)
			cr_assert_str_neq(documents[i].name, documents[j].name);
}

Test(json_corpus, the_scanner_judges_every_document_as_expected)
{
	for (size_t i = 0; i < count; i++) {
		bool accepted = scanner_accepts(documents[i].text, documents[i].len);
		cr_expect_eq(accepted, documents[i].expected == JSON_EXPECTED_ACCEPT, "%s: %s", documents[i].name,
			word(accepted));
	}
}

Test(json_corpus, jansson_judges_every_document_as_expected)
{
	for (size_t i = 0; i < count; i++) {
		bool accepted = jansson_accepts(documents[i].text, documents[i].len);
		cr_expect_eq(accepted, documents[i].expected != JSON_EXPECTED_REFUSE, "%s: %s", documents[i].name,
			word(accepted));
	}
}

Test(json_corpus, what_is_read_member_by_member_is_what_the_scanner_accepts_but_for_duplicates)
{
	for (size_t i = 0; i < count; i++) {
		bool accepted = walk_accepts(documents[i].text, documents[i].len);
		bool duplicate = strncmp(documents[i].name, "duplicate_", strlen("duplicate_")) == 0;
		cr_expect_eq(accepted, documents[i].expected == JSON_EXPECTED_ACCEPT || duplicate, "%s: %s",
			documents[i].name, word(accepted));
	}
}

/* A document cut at any byte is memory of exactly that length, so that a sanitizer sees a read beyond it. */
Test(json_corpus, a_cut_document_is_never_read_beyond_its_end)
{
	for (size_t i = 0; i < count; i++) {
		size_t step = documents[i].len / 512 + 1;
		for (size_t len = 0; len < documents[i].len; len += step) {
			struct arena arena;
			char *text = malloc(len);
			cr_assert(text != NULL || len == 0);
			memcpy(text, documents[i].text, len);
			arena_init(&arena, LIMIT_BODY_ARENA);
			json_poke(text, len, &arena);
			arena_done(&arena);
			bool walked = walk_accepts(text, len), accepted = scanner_accepts(text, len);
			cr_expect(walked || !accepted, "%s cut at %zu", documents[i].name, len);
			cr_expect(!accepted || jansson_accepts(text, len), "%s cut at %zu", documents[i].name, len);
			free(text);
		}
	}
}
