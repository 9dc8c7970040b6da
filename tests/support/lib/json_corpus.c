#include "tests/support/lib/json_corpus.h"

#include <err.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = "tests/corpus/json/documents.txt";

enum { DOCUMENTS_MAX = 10000 };

/* Writes the bytes of <HEX> or <HEX*N> at `*at` to `out` and moves behind the >. */
static void escape_expand(FILE *out, const char **at, const char *name)
{
	unsigned char bytes[64];
	size_t len = 0, count = 1;
	int used;

	for (++*at; sscanf(*at, "%2hhx%n", &bytes[len], &used) == 1 && used == 2; *at += 2)
		if (++len == sizeof(bytes))
			errx(1, "%s: %s: too long an escape", path, name);
	if (sscanf(*at, "*%zu%n", &count, &used) == 1)
		*at += used;
	if (**at != '>')
		errx(1, "%s: %s: an escape without >", path, name);
	++*at;
	for (size_t i = 0; i < count; i++)
		fwrite(bytes, 1, len, out);
}

static void document_expand(struct json_document *document, const char *at)
{
	char *text;
	FILE *out = open_memstream(&text, &document->len);

	if (out == NULL)
		err(1, "open_memstream");
	while (*at != '\0') {
		if (*at == '<')
			escape_expand(out, &at, document->name);
		else
			fputc(*at++, out);
	}
	fclose(out);
	char *exact = malloc(document->len);
	if (exact == NULL && document->len > 0)
		err(1, "malloc");
	if (document->len > 0)
		memcpy(exact, text, document->len);
	free(text);
	document->text = exact;
}

static enum json_expected expected_of(const char *word, const char *name)
{
	static const char *const words[] = {"accept", "refuse", "scanner"};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i], word) == 0)
			return (enum json_expected)i;
	errx(1, "%s: %s: %s is neither accept, refuse nor scanner", path, name, word);
}

static struct json_document document_parse(char *line)
{
	struct json_document document = {.name = strsep(&line, " ")};
	const char *expected = strsep(&line, " ");

	if (expected == NULL || line == NULL)
		errx(1, "%s: %s: a line needs a name, what is expected, and the document", path, document.name);
	document.expected = expected_of(expected, document.name);
	document_expand(&document, line);
	document.name = strdup(document.name);
	return document;
}

size_t json_corpus_load(struct json_document **ret_documents)
{
	struct json_document *documents = calloc(DOCUMENTS_MAX, sizeof(*documents));
	FILE *in = fopen(path, "r");
	char *line = NULL;
	size_t room = 0, count = 0;

	if (in == NULL || documents == NULL)
		err(1, "%s", path);
	while (getline(&line, &room, in) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if (line[0] == '#' || line[0] == '\0')
			continue;
		if (count == DOCUMENTS_MAX)
			errx(1, "%s: more than %d documents", path, DOCUMENTS_MAX);
		documents[count++] = document_parse(line);
	}
	free(line);
	fclose(in);
	*ret_documents = documents;
	return count;
}

void json_corpus_free(struct json_document *documents, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		free((char *)documents[i].name);
		free((char *)documents[i].text);
	}
	free(documents);
}
