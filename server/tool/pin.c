#include "server/tool/pin.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "api/secret.h"

static bool complain(const char *why)
{
	fprintf(stderr, "p11gate: the PIN: %s\n", why);
	return false;
}

/* One line, byte by byte, so that what follows it on the descriptor stays there. */
static bool read_line(int fd, unsigned char ret_pin[LIMIT_PIN], size_t *ret_len)
{
	size_t len = 0;

	for (;;) {
		unsigned char byte;
		ssize_t got = read(fd, &byte, 1);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return complain(strerror(errno));
		if (got == 0 || byte == '\n')
			break;
		if (len == LIMIT_PIN)
			return complain("too long");
		ret_pin[len++] = byte;
	}
	*ret_len = len;
	return len > 0 || complain("there is none");
}

/* Keyboard signals are off meanwhile, so that the terminal never stays without echo; an interrupt character gives up. */
static bool read_hidden(int terminal, unsigned char ret_pin[LIMIT_PIN], size_t *ret_len)
{
	struct termios before, quiet;

	if (tcgetattr(terminal, &before) != 0)
		return complain(strerror(errno));
	quiet = before;
	quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	if (tcsetattr(terminal, TCSAFLUSH, &quiet) != 0)
		return complain(strerror(errno));
	bool got = read_line(terminal, ret_pin, ret_len);
	tcsetattr(terminal, TCSAFLUSH, &before);
	(void)!write(terminal, "\n", 1);
	if (got && memchr(ret_pin, before.c_cc[VINTR], *ret_len))
		return complain("interrupted");
	return got;
}

bool pin_read(int fd, const char *prompt, unsigned char ret_pin[LIMIT_PIN], size_t *ret_len)
{
	bool got;

	if (fd >= 0) {
		got = read_line(fd, ret_pin, ret_len);
	} else {
		int terminal = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

		if (terminal < 0)
			return complain("there is no terminal to ask at; give it on a descriptor with --pin-fd");
		(void)!write(terminal, prompt, strlen(prompt));
		got = read_hidden(terminal, ret_pin, ret_len);
		close(terminal);
	}
	if (!got)
		secret_wipe(ret_pin, LIMIT_PIN);
	return got;
}
