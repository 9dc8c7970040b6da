/* Who a process is for the gateway (requirements C2, C3, X11), and what it tells the person at the terminal (F2). */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client-module/application.h"
#include "tests/unit/client-module/gateway.h"

static void make_id(unsigned char id[APPLICATION_ID_LEN])
{
	const struct client_config config = {0};
	CK_APPLICATION_ID made;
	cr_assert_eq(application_default(&config, &made), CKR_OK);
	memcpy(id, made.id, APPLICATION_ID_LEN);
}

Test(application, C2_two_ids_of_one_process_differ_in_their_random_bytes)
{
	unsigned char a[APPLICATION_ID_LEN], b[APPLICATION_ID_LEN];
	make_id(a);
	make_id(b);
	cr_expect_arr_neq(a, b, 8);
	cr_expect_arr_eq(a + 8, b + 8, 8, "place and process are the same");
}

Test(application, C2_the_id_ends_in_the_process_id)
{
	unsigned char id[APPLICATION_ID_LEN];
	make_id(id);
	unsigned long process = (unsigned long)id[12] << 24 | (unsigned long)id[13] << 16 | (unsigned long)id[14] << 8 |
				id[15];
	cr_expect_eq(process, (unsigned long)getpid());
}

/* The value of a header in the last request. */
static char last_application[64], last_instance[64];

static void note(const char *request, const char *name, char value[64])
{
	const char *at = strstr(request, name);
	cr_assert_not_null(at, "%s is missing", name);
	size_t len = strcspn(at + strlen(name), "\r");
	cr_assert_lt(len, 64);
	memcpy(value, at + strlen(name), len);
	value[len] = '\0';
}

static bool noting_script(struct peer *peer, const char *request, size_t len)
{
	note(request, "X-Client-Instance: ", last_instance);
	if (gateway_asked_for_inventory(request)) {
		cr_expect_null(strstr(request, "X-Application-Id: "), "slots are no application's");
	} else {
		note(request, "X-Application-Id: ", last_application);
	}
	return gateway_normal(peer, request, len);
}

static void is_hex(const char *id)
{
	cr_expect_eq(strlen(id), 32);
	cr_expect_eq(strspn(id, "0123456789abcdef"), 32);
}

Test(application, X11_each_initialize_is_an_instance_of_its_own)
{
	gateway_start((struct gateway_options){.script = noting_script});
	char first[64];
	gateway_client_session();
	is_hex(last_application);
	is_hex(last_instance);
	strcpy(first, last_instance);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
	gateway_client();
	cr_expect_str_neq(last_instance, first);
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

Test(application, C3_the_configured_id_is_sent)
{
	gateway_start((struct gateway_options){
		.script = noting_script, .extra = "[Misc]\nAppId = 00112233445566778899AABBCCDDEEFF"});
	gateway_client_session();
	cr_expect_str_eq(last_application, "00112233445566778899aabbccddeeff");
	cr_assert_eq(C_Finalize(NULL), CKR_OK);
}

/* Bytes that a failing C_Initialize writes to standard error. */
static size_t written_to_stderr(char *text, size_t size)
{
	int ends[2];
	cr_assert_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		_exit(C_Initialize(NULL) == CKR_ARGUMENTS_BAD ? 0 : 1);
	}
	close(ends[1]);
	size_t len = 0;
	ssize_t got;
	while ((got = read(ends[0], text + len, size - 1 - len)) > 0) {
		len += (size_t)got;
	}
	text[len] = '\0';
	close(ends[0]);
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return len;
}

Test(debug, F2_the_reason_is_one_line_and_only_on_demand)
{
	struct gateway *gateway = gateway_start((struct gateway_options){0});
	char text[1024];
	gateway_configure(gateway, "URL = http://localhost:1");
	unsetenv("P11GATE_DEBUG");
	cr_expect_eq(written_to_stderr(text, sizeof(text)), 0, "%s", text);
	setenv("P11GATE_DEBUG", "1", 1);
	cr_expect_gt(written_to_stderr(text, sizeof(text)), 0);
	cr_expect_not_null(strstr(text, "client.conf:2: [Gateway] URL: only https:// is possible\n"), "%s", text);
	cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1, "more than one line: %s", text);
}
