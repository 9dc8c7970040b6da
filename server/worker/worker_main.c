/*
 * p11gate-worker: started by the gateway with its sockets in place (fd 3: control, fd 4 and on: pairs); takes no arguments.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "server/common/memory.h"
#include "server/worker/internal.h"

/*
 * A signal meant for the whole group (a terminal's, a service manager's) must not end a write to a token half-way: the worker
 * ends when its gateway says so or is gone.
 */
static void ignore_signals(void)
{
	static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};

	for (size_t i = 0; i < sizeof ignored / sizeof ignored[0]; i++)
		signal(ignored[i], SIG_IGN);
}

int main(int argc, char **argv)
{
	static struct worker worker;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		fputs("p11gate-worker " P11GATE_VERSION "\n", stdout);
		return 0;
	}
	if (argc != 1) {
		fputs("p11gate-worker is started by p11gated; there is nothing to call it for.\n", stderr);
		return 2;
	}
	memory_hide();
	ignore_signals();
	if (!worker_startup(&worker) || !threads_start(&worker))
		return 1;
	control_serve(&worker);
}
