/*
 * The control file of the hostile mock module (tests/support/mock), as tests drive it.
 *
 * Failures end the test (cr_assert). The directory is removed when the test's process ends.
 */
#ifndef P11GATE_TESTS_SUPPORT_LIB_MOCK_H
#define P11GATE_TESTS_SUPPORT_LIB_MOCK_H

#include "api/cryptoki.h"

#define MOCK_PIN "1234"
#define MOCK_SO_PIN "12345678"

struct mock {
	char directory[64];
	char control[96]; /* what P11GATE_MOCK of the worker has to say */
};

/* A token "mock" that behaves: user PIN 1234, SO PIN 12345678, three tries each. */
void mock_new(struct mock *mock);

/* The control file says this from now on, and nothing else (README.md there says what); calls are counted anew. */
void mock_control(const struct mock *mock, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How many C_Login of that user type the token has seen in all; CK_UNAVAILABLE_INFORMATION: of any. */
unsigned mock_logins(const struct mock *mock, CK_USER_TYPE user);
/* The same, and only those that it answered with `rv`. */
unsigned mock_logins_answered(const struct mock *mock, CK_USER_TYPE user, CK_RV rv);

/* Waits at most 10 s until the token has seen `count` calls of a C_ function ("C_Login") since the control file was written. */
void mock_await_call(const struct mock *mock, const char *function, unsigned count);

/* Changes the user's PIN and sets its counter to 0, as another program would. */
void mock_change_pin(const struct mock *mock, const char *pin);

#endif
