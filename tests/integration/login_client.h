/*
 * A program of its own with the client module that is told PINs and can be looked into (tests/support/login_client_main.c), and the
 * token's locks, held so that its calls wait.
 */
#ifndef P11GATE_TESTS_INTEGRATION_LOGIN_CLIENT_H
#define P11GATE_TESTS_INTEGRATION_LOGIN_CLIENT_H

#include <stdio.h>

#include "tests/integration/fixture.h"

struct login_client {
	pid_t pid, worker; /* its own process, and its application's worker */
	int in;
	FILE *out;
};

/* With an open session. */
struct login_client login_client_start(const struct gateway *g);
/* In two steps: tells it a line, and waits for the return value. */
void login_client_send(const struct login_client *client, const char *line);
CK_RV login_client_answer(const struct login_client *client);
/* Both. `line` is formatted as by printf. */
CK_RV login_client_tell(const struct login_client *client, const char *line, ...) __attribute__((format(printf, 2, 3)));
void login_client_end(struct login_client *client);

enum { LOCKS_MAX = 16 };

/* The files by which gateways share a token: while the test has them, logins wait. */
struct held_locks {
	int fds[LOCKS_MAX];
	size_t count;
};

struct held_locks locks_hold(const struct gateway *g);
void locks_release(struct held_locks *held);

#endif
