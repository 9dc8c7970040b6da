#include "tests/integration/card.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 65536 };

/* Puts lines behind the line `behind` of the configuration, or at its end for NULL. */
static void insert(char *text, const char *behind, const char *lines)
{
	static char rest[TEXT_MAX];
	char *at = behind ? strstr(text, behind) : text + strlen(text);

	cr_assert_not_null(at, "no %s", behind);
	at += behind ? strlen(behind) : 0;
	(void)snprintf(rest, sizeof(rest), "%s", at);
	(void)snprintf(at, TEXT_MAX - (size_t)(at - text), "%s%s", lines, rest);
}

static void add_slot(char *text, const struct mock *mock, const struct card_options *options)
{
	char line[700];

	(void)snprintf(line, sizeof(line),
		"  - {name: mock, path: '%s/tests/mock_module.so', sandbox: none, environment: [{name: P11GATE_MOCK, "
		"value: '%s'}]}\n",
		getenv("BUILD"), mock->control);
	insert(text, "modules:\n", line);
	(void)snprintf(line, sizeof(line), "  - {name: card, module: mock, class: %s, token: {label: mock}}\n",
		options->class_name ? options->class_name : "card");
	insert(text, "slots:\n", line);
	insert(text, "policy:\n", "  - {identities: [alice, bob], slots: [card], allow: [read, login, use, write]}\n");
	if (options->rules) {
		(void)snprintf(line, sizeof(line), "login:\n  - {identities: [alice, bob], slots: [card], %s}\n",
			options->rules);
		insert(text, NULL, line);
	}
}

static bool is_present(const struct gateway *g, void *argument)
{
	(void)argument;
	ANSWER_AUTO answer = request(g, ALICE, "GET", "/v1/slots/card", NULL, NULL);
	return strcmp(member(&answer, "state"), "present") == 0;
}

void card_start(struct gateway *g, struct mock *mock, const struct card_options *options)
{
	static char text[TEXT_MAX];
	char path[300], limits[40];

	mock_new(mock);
	mock_control(mock, "%s", options->control ? options->control : "");
	(void)snprintf(limits, sizeof(limits), "slot_lock_wait_s: %u", options->wait_s > 0 ? options->wait_s : 1);
	setenv("LIMITS", limits, 1);
	gateway_start(g);
	unsetenv("LIMITS");
	(void)snprintf(path, sizeof(path), "%s/p11gated.yaml", g->directory);
	FILE *file = fopen(path, "r+e");
	cr_assert_not_null(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
	add_slot(text, mock, options);
	rewind(file);
	(void)fputs(text, file);
	(void)fclose(file);
	shell("'%s' reload --config '%s'", g->tool, path);
	cr_assert(await_condition(is_present, g, NULL, 20), "the inventory has not found the token");
}
