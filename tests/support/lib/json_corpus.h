/*
 * The documents of tests/corpus/json/documents.txt, whose head describes the form.
 */
#ifndef P11GATE_TESTS_SUPPORT_JSON_CORPUS_H
#define P11GATE_TESTS_SUPPORT_JSON_CORPUS_H

#include <stddef.h>

enum json_expected { JSON_EXPECTED_ACCEPT, JSON_EXPECTED_REFUSE, JSON_EXPECTED_REFUSE_BY_SCANNER };

struct json_document {
	const char *name;
	enum json_expected expected;
	const char *text; /* exactly `len` bytes of heap memory, so that a sanitizer sees any byte read beyond */
	size_t len;
};

/*
 * Reads the corpus, which is found from the root of the tree. Ends the program if it cannot be read. The
 * caller gives the documents back with json_corpus_free.
 */
size_t json_corpus_load(struct json_document **ret_documents);

void json_corpus_free(struct json_document *documents, size_t count);

#endif
