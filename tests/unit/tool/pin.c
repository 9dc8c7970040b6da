/*
 * Asking for a PIN.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "server/tool/pin.h"

TestSuite(pin, .init = cr_redirect_stderr, .timeout = 20);

/* A descriptor on which `text` can be read. */
static int input(const void *text, size_t len)
{
	int ends[2];

	cr_assert_eq(pipe(ends), 0);
	cr_assert_eq(write(ends[1], text, len), (ssize_t)len);
	close(ends[1]);
	return ends[0];
}

Test(pin, a_line_is_read_and_no_more_than_that)
{
	unsigned char pin[LIMIT_PIN];
	char rest[8];
	size_t len = 0;
	int fd = input("12 34\nnext", 10);

	cr_assert(pin_read(fd, "", pin, &len));
	cr_expect_eq(len, 5);
	cr_expect_arr_eq(pin, "12 34", 5);
	cr_expect_eq(read(fd, rest, sizeof rest), 4);
}

Test(pin, a_line_needs_no_end)
{
	unsigned char pin[LIMIT_PIN];
	size_t len = 0;

	cr_assert(pin_read(input("1234", 4), "", pin, &len));
	cr_expect_eq(len, 4);
}

Test(pin, the_longest_pin_is_read_and_a_longer_one_refused)
{
	unsigned char pin[LIMIT_PIN], text[LIMIT_PIN + 1];
	size_t len = 0;

	memset(text, '7', sizeof text);
	cr_assert(pin_read(input(text, LIMIT_PIN), "", pin, &len));
	cr_expect_eq(len, LIMIT_PIN);
	cr_expect_not(pin_read(input(text, LIMIT_PIN + 1), "", pin, &len));
}

Test(pin, no_pin_is_an_error)
{
	unsigned char pin[LIMIT_PIN];
	size_t len;

	cr_expect_not(pin_read(input("", 0), "", pin, &len));
	cr_expect_not(pin_read(input("\n", 1), "", pin, &len));
	cr_expect_not(pin_read(1000, "", pin, &len));
}

/* Runs pin_read with a terminal of its own; what it showed goes to `shown`. 0 if it got "1234". */
static int at_a_terminal(const char *typed, char *shown, size_t size)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY);
	int status = -1;
	size_t used = 0;
	ssize_t got;

	cr_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	pid_t child = fork();
	if (child == 0) {
		unsigned char pin[LIMIT_PIN];
		size_t len;
		setsid();
		int slave = open(ptsname(master), O_RDWR);
		if (slave < 0 || ioctl(slave, TIOCSCTTY, 0) != 0)
			_exit(3);
		close(master);
		_exit(!pin_read(-1, "PIN please: ", pin, &len) ? 2 : len == 4 && memcmp(pin, "1234", 4) == 0 ? 0 : 1);
	}
	/* What is typed before the prompt would be thrown away. */
	do {
		got = read(master, shown + used, size - 1 - used);
		used += got > 0 ? (size_t)got : 0;
		shown[used] = '\0';
	} while (got > 0 && strstr(shown, "please: ") == NULL);
	cr_assert_gt(got, 0);
	struct termios quiet;
	do {
		cr_assert_eq(tcgetattr(master, &quiet), 0);
	} while ((quiet.c_lflag & ECHO) != 0);
	cr_assert_eq(write(master, typed, strlen(typed)), (ssize_t)strlen(typed));
	while ((got = read(master, shown + used, size - 1 - used)) > 0)
		used += (size_t)got;
	shown[used] = '\0';
	waitpid(child, &status, 0);
	close(master);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(pin, at_the_terminal_it_is_not_shown)
{
	char shown[256];

	cr_expect_eq(at_a_terminal("1234\n", shown, sizeof shown), 0);
	cr_expect_not_null(strstr(shown, "PIN please: "), "%s", shown);
	cr_expect_null(strstr(shown, "1234"), "%s", shown);
}

Test(pin, at_the_terminal_an_interrupt_gives_up)
{
	char shown[256];

	cr_expect_eq(at_a_terminal("12\00334\n", shown, sizeof shown), 2);
}
