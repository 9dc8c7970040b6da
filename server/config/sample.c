/*
 * The commented configuration, written from the rows of keys.def.
 */
#include "server/config/internal.h"

#include <stdio.h>
#include <string.h>

#include "api/buffer.h"

enum { COMMENT_WIDTH = 110, INDENT_MAX = 12 };

/* Where a line starts. */
struct margin {
	unsigned indent;
	bool off; /* the line is not in force: '#' stands at `off_indent`, to be removed by whoever wants it */
	unsigned off_indent;
	bool dash; /* the first key of a list's item */
};

static void blanks(struct buffer *out, unsigned count)
{
	static const char spaces[INDENT_MAX + 1] = "            ";

	buffer_append(out, spaces, count < INDENT_MAX ? count : INDENT_MAX);
}

static void margin_write(struct buffer *out, const struct margin *margin)
{
	if (margin->off) {
		blanks(out, margin->off_indent);
		buffer_text(out, "#");
		blanks(out, margin->indent - margin->off_indent);
	} else {
		blanks(out, margin->indent);
	}
	buffer_text(out, margin->dash ? "- " : "");
}

/* A description in lines of at most COMMENT_WIDTH. */
static void comment(struct buffer *out, unsigned indent, const char *text)
{
	while (*text) {
		size_t len = strlen(text);

		if (len > COMMENT_WIDTH) {
			for (len = COMMENT_WIDTH; len > 0 && text[len] != ' '; len--)
				;
			len = len ? len : strlen(text);
		}
		blanks(out, indent);
		buffer_text(out, "# ");
		buffer_append(out, text, len);
		buffer_byte(out, '\n');
		text += len;
		text += *text == ' ';
	}
}

static void describe(struct buffer *out, unsigned indent, const struct key *key)
{
	BUFFER_AUTO struct buffer line;
	char numbers[64] = "";

	buffer_init(&line, 1024);
	if (key->kind == KEY_NUMBER)
		snprintf(numbers, sizeof numbers, " (%llu to %llu)", (unsigned long long)key->minimum,
			(unsigned long long)key->maximum);
	buffer_text(&line, key->description);
	buffer_text(&line, numbers);
	buffer_byte(&line, '\0');
	if (!line.failed)
		comment(out, indent, (const char *)line.data);
}

static void value(struct buffer *out, const struct key *key)
{
	if (key->kind != KEY_TEXTS && key->kind != KEY_PERMISSIONS) {
		buffer_text(out, key->text);
		return;
	}
	/* Words separated by spaces are the items of a list. */
	buffer_text(out, "[");
	for (const char *word = key->text; *word;) {
		size_t len = strcspn(word, " ");

		buffer_append(out, word, len);
		word += len;
		word += *word == ' ';
		buffer_text(out, *word ? ", " : "");
	}
	buffer_text(out, "]");
}

static void section(struct buffer *out, enum section which, struct margin margin);

static void row(struct buffer *out, const struct key *key, struct margin margin, bool in_force)
{
	bool nested = key->kind == KEY_MAPPING || key->kind == KEY_LIST;

	describe(out, margin.indent, key);
	if (!in_force && !margin.off) {
		margin.off = true;
		margin.off_indent = margin.indent;
	}
	margin_write(out, &margin);
	buffer_text(out, key->name);
	buffer_text(out, ":");
	if (!nested) {
		buffer_text(out, " ");
		value(out, key);
	}
	buffer_byte(out, '\n');
	if (nested) {
		margin.indent += margin.dash ? 4 : 2;
		margin.dash = key->kind == KEY_LIST;
		section(out, key->items, margin);
	}
}

static void section(struct buffer *out, enum section which, struct margin margin)
{
	/* Of alternatives the first is in force. */
	bool alternatives = which == SECTION_certificate || which == SECTION_token;

	for (size_t i = 0; i < config_keys_count; i++) {
		const struct key *key = &config_keys[i];

		if (key->section != which)
			continue;
		if (which == SECTION_root)
			buffer_byte(out, '\n');
		row(out, key, margin, key->presence != KEY_OPTIONAL || key->kind == KEY_MAPPING || alternatives);
		alternatives = false;
		margin.indent += margin.dash ? 2 : 0;
		margin.dash = false;
	}
}

void config_sample(struct buffer *out)
{
	comment(out, 0,
		"The configuration of p11gated: every key with its default, or with an example where there is none.");
	comment(out, 0,
		"Keys behind a # without a blank are not in force. Relative paths start at this file's folder. p11gate "
		"check FILE finds mistakes.");
	section(out, SECTION_root, (struct margin){0});
}
