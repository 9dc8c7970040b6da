/* X6: what is left of a PIN in the client's memory after C_Login. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/base64url.h"
#include "api/secret.h"
#include "tests/unit/client-module/gateway.h"

/* The PIN is long enough to be told from chance; what is searched for is kept masked, so that the search does not find itself. */
enum { PIN_LEN = 24, BASE64_LEN = 32, MASK = 0x5a };

/* Bigger mappings are a sanitizer's own. */
static const unsigned long MAPPING_MAX = 1ul << 30;

struct needle {
	const char *name;
	unsigned char masked[BASE64_LEN];
	size_t len;
};

static struct needle needles[2] = {{.name = "the PIN"}, {.name = "its base64url"}};

static void needle_set(struct needle *needle, const void *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		needle->masked[i] = ((const unsigned char *)text)[i] ^ MASK;
	}
	needle->len = len;
}

__attribute__((no_sanitize("address"))) static bool found_in(
	const volatile unsigned char *start, size_t len, const struct needle *needle)
{
	for (size_t at = 0; at + needle->len <= len; at++) {
		size_t same = 0;
		while (same < needle->len && (unsigned char)(start[at + same] ^ MASK) == needle->masked[same]) {
			same++;
		}
		if (same == needle->len) {
			return true;
		}
	}
	return false;
}

/* How many of the needles are anywhere in this process's writable memory. */
static int search(bool tell)
{
	int hits = 0;
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	while (fgets(line, sizeof(line), maps) != NULL) {
		unsigned long start, end;
		char mode[5];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, mode) != 3 || strncmp(mode, "rw", 2) != 0 ||
			end - start > MAPPING_MAX) {
			continue;
		}
		for (size_t i = 0; i < sizeof(needles) / sizeof(needles[0]); i++) {
			if (found_in((const volatile unsigned char *)start, end - start, &needles[i])) {
				hits++;
				if (tell) {
					fprintf(stderr, "%s is left in %s", needles[i].name, line);
				}
			}
		}
	}
	fclose(maps);
	return hits;
}

static bool make_pin(char *pin)
{
	static const char DIGITS[] = "0123456789abcdef";
	char base64[BASE64_LEN];
	if (getrandom(pin, PIN_LEN, 0) != PIN_LEN) {
		return false;
	}
	for (int i = 0; i < PIN_LEN; i++) {
		pin[i] = DIGITS[pin[i] & 15];
	}
	base64url_encode(base64, pin, PIN_LEN);
	needle_set(&needles[0], pin, PIN_LEN);
	needle_set(&needles[1], base64, base64url_encoded_len(PIN_LEN));
	secret_wipe(base64, sizeof(base64));
	return true;
}

/* What went wrong with the test itself, in place of a number of hits. */
enum { NO_PIN = 96, NOT_FOUND_BEFORE, NO_SESSION, NO_LOGIN };

/* In a child, since the gateway of these tests keeps what it reads and lives in the parent. */
static int login_and_search(void)
{
	char pin[PIN_LEN];
	CK_SESSION_HANDLE session = 0;
	if (!make_pin(pin)) {
		return NO_PIN;
	}
	if (search(false) == 0) {
		return NOT_FOUND_BEFORE;
	}
	CK_RV rv = gateway_client_open(&session);
	if (rv != CKR_OK) {
		fprintf(stderr, "no session: 0x%lx\n", rv);
		return NO_SESSION;
	}
	rv = C_Login(session, CKU_USER, (CK_UTF8CHAR *)pin, sizeof(pin));
	secret_wipe(pin, sizeof(pin));
	return rv == CKR_OK ? search(true) : NO_LOGIN;
}

static bool login_script(struct peer *peer, const char *request, size_t len)
{
	return strstr(request, "\"Login\"") != NULL ? gateway_result(peer, "{\"rv\":\"CKR_OK\"}")
						    : gateway_normal(peer, request, len);
}

Test(secret, X6_no_pin_is_left_after_login)
{
	gateway_start((struct gateway_options){.script = login_script});
	pid_t pid = fork();
	if (pid == 0) {
		_exit(login_and_search());
	}
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_expect_eq(WEXITSTATUS(status), 0, "%d places, or from %d on: the test itself did not work",
		WEXITSTATUS(status), NO_PIN);
}
