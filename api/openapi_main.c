/*
 * Writes openapi.json, the description of the REST API, to standard output: from the tables of routes, schemas, calls,
 * structures and return values, so that it cannot say anything else than the programs do.
 */
#include <stdio.h>
#include <stdlib.h>

#include "api/openapi/internal.h"

enum { DOCUMENT_MAX = 16 << 20 }; /* bytes */

static void components_write(struct json_writer *w)
{
	put_object(w, "components");
	put(w, "securitySchemes",
		"{'mutualTLS':{'type':'mutualTLS','description':'A client certificate that the configuration maps to "
		"an identity'}}");
	parameters_write(w);
	responses_write(w);
	put_object(w, "schemas");
	schemas_write(w);
	problems_write(w);
	calls_write(w);
	json_end_object(w);
	json_end_object(w);
}

static void document_write(struct json_writer *w)
{
	json_begin_object(w);
	put(w, "openapi", "'3.1.0'");
	put_object(w, "info");
	put(w, "title", "'p11gate'");
	put_text(w, "version", P11GATE_VERSION);
	put_text(w, "description",
		"A PKCS#11 token over HTTPS. Every request needs a client certificate that the gateway knows. Binary "
		"values are "
		"base64url without padding; on input both alphabets of base64 are accepted, padded or not. Unknown and "
		"duplicate "
		"members are refused. What goes wrong is told as problem details (RFC 9457).");
	put(w, "license", "{'name':'Apache-2.0','identifier':'Apache-2.0'}");
	json_end_object(w);
	put(w, "servers", "[{'url':'/','description':'The gateway that this document comes from'}]");
	put(w, "security", "[{'mutualTLS':[]}]");
	paths_write(w);
	components_write(w);
	json_end_object(w);
}

static void line_begin(FILE *out, int depth)
{
	fprintf(out, "\n%*s", 2 * depth, "");
}

/* Lays compact JSON out, one member or element a line. */
static void pretty_print(FILE *out, const char *at, const char *end)
{
	bool string = false;
	int depth = 0;

	for (; at < end; at++) {
		bool opens = !string && (*at == '{' || *at == '['), closes = !string && (*at == '}' || *at == ']');
		if (closes && at[-1] != '{' && at[-1] != '[')
			line_begin(out, depth - 1);
		depth += opens - closes;
		fputc(*at, out);
		if (string && *at == '\\')
			fputc(*++at, out);
		else if (*at == '"')
			string = !string;
		if ((opens && at[1] != '}' && at[1] != ']') || (!string && *at == ','))
			line_begin(out, depth);
		else if (!string && *at == ':')
			fputc(' ', out);
	}
	fputc('\n', out);
}

int main(void)
{
	BUFFER_AUTO struct buffer document;
	struct json_writer w;
	const char *error;
	size_t offset;

	buffer_init(&document, DOCUMENT_MAX);
	json_writer_init(&w, &document);
	document_write(&w);
	if (document.failed)
		die("the document does not fit", "DOCUMENT_MAX");
	if (!json_validate((const char *)document.data, document.len, &error, &offset))
		die(error, (const char *)document.data + offset);
	pretty_print(stdout, (const char *)document.data, (const char *)document.data + document.len);
	return fflush(stdout) == 0 && ferror(stdout) == 0 ? 0 : 1;
}
