/*
 * Programs of their own with the client module, told line by line what to do (tests/support/application_main.c).
 */
#ifndef P11GATE_TESTS_INTEGRATION_APPLICATION_H
#define P11GATE_TESTS_INTEGRATION_APPLICATION_H

#include <stdio.h>

#include "tests/integration/fixture.h"

struct application {
	pid_t pid;
	FILE *commands, *answers;
};

/* Starts a program with the client file of ALICE or BOB; it ends with the test, or by application_end. */
void application_start(struct application *ret_application, const struct gateway *g, enum person who);

/* Tells it a command, formatted as by printf, and gives its answer: "0x…" and what was found. Static, one per program and call. */
const char *tell(struct application *application, const char *command, ...) __attribute__((format(printf, 2, 3)));

/* Sends the command without waiting for the answer, which `answer` then reads. */
void tell_only(struct application *application, const char *command);
const char *answer_of(struct application *application);

/* Several commands of which each must succeed: the answer of the first that does not, else of the last. */
const char *tell_all(struct application *application, const char *const commands[]);
#define TELL_ALL(application, ...) tell_all(application, (const char *const[]){__VA_ARGS__, NULL})

/* Lets it read the end of its commands, and waits for it: true if it ended well. */
bool application_end(struct application *application);

/* Ends it as a crash would. */
void application_kill(struct application *application);

#endif
