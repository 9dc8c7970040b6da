#include "tests/integration/application.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINE_LEN_MAX = 512 };

void application_start(struct application *ret_application, const struct gateway *g, enum person who)
{
	int commands[2], answers[2];
	char program[400];

	(void)snprintf(
		program, sizeof(program), "%s/tests/application", getenv("BUILD") != NULL ? getenv("BUILD") : "build");
	cr_assert_eq(access(program, X_OK), 0, "%s is missing: make tests", program);
	cr_assert_eq(pipe2(commands, O_CLOEXEC), 0);
	cr_assert_eq(pipe2(answers, O_CLOEXEC), 0);
	pid_t child = fork();
	if (child == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		setenv("P11GATE_CONF", who == ALICE ? g->configuration : g->configuration2, 1);
		dup2(commands[0], STDIN_FILENO);
		dup2(answers[1], STDOUT_FILENO);
		execl(program, program, g->module, (char *)NULL);
		_exit(127);
	}
	close(commands[0]);
	close(answers[1]);
	*ret_application = (struct application){
		.pid = child, .commands = fdopen(commands[1], "w"), .answers = fdopen(answers[0], "r")};
	cr_assert(child > 0 && ret_application->commands != NULL && ret_application->answers != NULL);
}

void tell_only(struct application *application, const char *command)
{
	cr_assert(fprintf(application->commands, "%s\n", command) > 0 && fflush(application->commands) == 0,
		"the program is gone: %s", command);
}

const char *answer_of(struct application *application)
{
	enum { ANSWERS = 8 }; /* so many stay valid, for comparisons in one line */
	static char lines[ANSWERS][LINE_LEN_MAX];
	static unsigned next;
	char *line = lines[next++ % ANSWERS];

	cr_assert_not_null(fgets(line, LINE_LEN_MAX, application->answers), "the program gave no answer");
	line[strcspn(line, "\n")] = '\0';
	return line;
}

const char *tell(struct application *application, const char *command, ...)
{
	char text[LINE_LEN_MAX];
	va_list arguments;

	va_start(arguments, command);
	(void)vsnprintf(text, sizeof(text), command, arguments);
	va_end(arguments);
	tell_only(application, text);
	return answer_of(application);
}

const char *tell_all(struct application *application, const char *const commands[])
{
	const char *answer = "";

	for (size_t i = 0; commands[i] != NULL; i++) {
		answer = tell(application, "%s", commands[i]);
		if (strncmp(answer, "0x0", 3) != 0)
			return answer;
	}
	return answer;
}

bool application_end(struct application *application)
{
	int status = -1;

	(void)fclose(application->commands);
	waitpid(application->pid, &status, 0);
	(void)fclose(application->answers);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void application_kill(struct application *application)
{
	cr_assert_eq(kill(application->pid, SIGKILL), 0);
	(void)waitpid(application->pid, NULL, 0);
	(void)fclose(application->commands);
	(void)fclose(application->answers);
}
