/*
 * usage: parity import MODULE LABEL PIN SO_PIN      puts the fixed keys on the token
 *        parity run    MODULE LABEL PIN SO_PIN      prints the transcript
 */
#include "tests/conformance/parity.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[STATE_COUNT] = {"uninitialized", "public", "user", "so", "active", "other active"};

/*
 * A call that changes the login, the token or all sessions: the state is made anew behind it. (C_InitToken succeeds only in the
 * last scenario, since here a session is open.)
 */
static bool disturbs(enum call_id id)
{
	switch (id) {
	case CALL_Login:
	case CALL_Logout:
	case CALL_CloseAllSessions:
	case CALL_InitToken:
	case CALL_InitPIN:
	case CALL_SetPIN: return true;
	default: return false;
	}
}

/* A case that changed a PIN must not change the next case. */
static void restore_pin(struct world *w, enum call_id id, const union wire_value *v)
{
	CK_BYTE *pin = (CK_BYTE *)(w->state == STATE_SO ? w->so_pin : w->pin);
	CK_RV rv = CKR_OK;

	if (id == CALL_SetPIN)
		rv = w->f->C_SetPIN(w->session, v[2].bytes.data, v[2].bytes.len, pin, strlen((char *)pin));
	if (id == CALL_InitPIN)
		rv = w->f->C_InitPIN(w->session, (CK_BYTE *)w->pin, strlen(w->pin));
	if (rv != CKR_OK) {
		fprintf(stderr, "parity: the PIN could not be restored: 0x%lx\n", rv);
		exit(2);
	}
}

static void run_case(struct world *w, const struct call_row *row, size_t varied, unsigned number, bool *ret_exists)
{
	static struct scratch s;
	union wire_value values[CALL_ARGUMENTS_MAX];
	const char *argument = row->arguments[varied].name, *variant = NULL;
	char name[80];
	CK_RV rv;

	memset(&s, 0, sizeof(s));
	memset(values, 0, sizeof(values));
	world_begin_case(w, row);
	for (size_t i = 0; i < row->argument_count; i++) {
		const char *given = variant_fill(w, row, i, i == varied ? number : 0, &values[i], &s);
		if (i != varied)
			continue;
		*ret_exists = given != NULL;
		(void)snprintf(name, sizeof(name), "%s", given != NULL ? given : "");
		variant = name;
	}
	if (*ret_exists) {
		rv = world_call(w, row->id, values);
		print_case(w, row, state_names[w->state], argument, variant, rv, values);
		if (rv == CKR_OK)
			restore_pin(w, row->id, values);
	}
	world_end_case(w);
	if (disturbs(row->id) && *ret_exists)
		world_enter(w, w->state);
}

/* Every mechanism with every parameter is asked once, as a logged-in user; elsewhere it would only repeat the state's answer. */
static unsigned variants(const struct world *w, const struct call_row *row, size_t argument)
{
	return row->arguments[argument].kind == WIRE_MECHANISM && w->state != STATE_USER ? 4 : UINT_MAX;
}

static void run_row(struct world *w, const struct call_row *row)
{
	bool first_baseline = true;

	for (size_t argument = 0; argument < row->argument_count; argument++) {
		bool exists = true;
		/* The baseline is the same for every argument, so it runs once. */
		for (unsigned number = first_baseline ? 0 : 1; exists && number < variants(w, row, argument); number++)
			run_case(w, row, argument, number, &exists);
		first_baseline = false;
	}
}

static bool meets(const struct call_row *row, enum state state)
{
	if (row->id == CALL_InitToken)
		return state == STATE_UNINITIALIZED || state == STATE_PUBLIC || state == STATE_USER ||
		       state == STATE_SO;
	if (state == STATE_ACTIVE || state == STATE_OTHER_ACTIVE)
		return row->operation != OPERATION_NONE;
	return true;
}

static void run_state(struct world *w, enum state state)
{
	world_enter(w, state);
	for (enum call_id id = 0; id < CALL_COUNT; id++)
		if (meets(call_row(id), state))
			run_row(w, call_row(id));
}

int main(int argc, char **argv)
{
	struct world w;

	if (argc != 6 || (strcmp(argv[1], "import") != 0 && strcmp(argv[1], "run") != 0)) {
		fprintf(stderr, "usage: %s import|run MODULE LABEL PIN SO_PIN\n", argv[0]);
		return 2;
	}
	world_open(&w, argv[2], argv[3], argv[4], argv[5]);
	if (strcmp(argv[1], "import") == 0) {
		world_import_keys(&w);
		return 0;
	}
	for (enum state state = 0; state < STATE_COUNT; state++)
		run_state(&w, state);
	world_enter(&w, STATE_UNINITIALIZED);
	scenarios_run(&w);
	return 0;
}
