/*
 * p11gate-worker: started by the gateway with its sockets in place (fd 3: control, fd 4 and on: pairs); takes no arguments.
 */
#include <stdio.h>
#include <string.h>

#include "server/worker/internal.h"

int main(int argc, char **argv)
{
	static struct worker worker;

	if (argc == 2 && strcmp(argv[1], "--version") == 0) {
		puts("p11gate-worker " P11GATE_VERSION);
		return 0;
	}
	if (argc != 1) {
		fputs("p11gate-worker is started by p11gated; there is nothing to call it for.\n", stderr);
		return 2;
	}
	if (!worker_startup(&worker) || !threads_start(&worker))
		return 1;
	control_serve(&worker);
}
