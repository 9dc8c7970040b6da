#include "server/tool/internal.h"

#include <stdio.h>

#include "server/config/config.h"

enum { SAMPLE_MAX = 1 << 20 };

int command_sample(int argc, char **argv)
{
	BUFFER_AUTO struct buffer text;

	if (argc != 1)
		return command_usage(argv[0]);
	buffer_init(&text, SAMPLE_MAX);
	config_sample(&text);
	if (text.failed || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0) {
		fprintf(stderr, "p11gate: the sample cannot be written\n");
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
