/*
 * A program with the client module that does as it is told: application MODULE. It reads one command a line from standard input
 * and writes one line each to standard output: the return value as "0x…" and, for some commands, a blank and what was found.
 *
 *   init | finalize                     C_Initialize, C_Finalize
 *   set HIGH LOW | setv2 HEX | randomize | get
 *                                       CA_SetApplicationID and the like; get shows 32 hexadecimal digits
 *   open | openwith HIGH LOW            a read-write session on the first slot, current from now on
 *   use N                               makes the N-th session that was opened current
 *   info | cainfo                       its state (public, user, so); CA_GetSessionInfo: high low slot level
 *   login PIN | logout | close | closeall
 *   generate LABEL                      an EC key pair of the token
 *   slow                                an RSA key pair of the session that takes its time
 *   find LABEL                          looks for the private key: count of objects; the first is the key from now on
 *   sign                                C_SignInit and C_Sign with it; the first failure, or 0x0
 *   digest                              something that needs a session and no login
 *   counts                              the token's sessions and read-write sessions as C_GetTokenInfo has them
 *   fork                                a child that never calls the module: its process ID; it lives for two minutes
 *   hold HIGH LOW | holdv2 HEX | release HIGH LOW | releasev2 HEX
 *                                       CA_OpenApplicationID and CA_CloseApplicationID
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/cryptoki.h"
#include "api/hex.h"
#include "client-module/include/p11gate/ca.h"

enum { LINE_LEN_MAX = 512, SESSIONS_MAX = 64, SIGNATURE_MAX = 256, CHILD_S = 120 };

static CK_FUNCTION_LIST *f;
static CK_SLOT_ID slot;
static CK_SESSION_HANDLE sessions[SESSIONS_MAX], session;
static unsigned session_count;
static CK_OBJECT_HANDLE key;
static char found[128]; /* behind the return value */

/* The functions of ca.h, by dlsym. */
#define FUNCTIONS(X) \
	X(CA_SetApplicationID) \
	X(CA_SetApplicationIDV2) \
	X(CA_GetApplicationID) \
	X(CA_RandomizeApplicationID) \
	X(CA_OpenApplicationID) \
	X(CA_OpenApplicationIDV2) \
	X(CA_CloseApplicationID) \
	X(CA_CloseApplicationIDV2) \
	X(CA_OpenSessionWithAppID) \
	X(CA_OpenSessionWithAppIDV2) \
	X(CA_GetSessionInfo)
#define POINTER(name) static __typeof__(name) *p_##name;
FUNCTIONS(POINTER)

/* LeakSanitizer fails on the thread-local memory of a library that was loaded later. The module's own tests look for leaks. */
int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
	return 1;
}

static void load(const char *module)
{
	CK_C_GetFunctionList get = NULL;
	void *library = dlopen(module, RTLD_NOW);
	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	bool all = get != NULL && get(&f) == CKR_OK;
#define LOOK_UP(name) \
	*(void **)&p_##name = dlsym(library, #name); \
	all = all && p_##name != NULL;
	FUNCTIONS(LOOK_UP)
	if (!all) {
		fprintf(stderr, "%s lacks a function\n", module);
		exit(1);
	}
}

/* Two numbers, or 32 digits, behind the command's name. */
struct arguments {
	CK_ULONG high, low;
	CK_APPLICATION_ID id;
	char *text;
};

static CK_RV set(struct arguments *a)
{
	return p_CA_SetApplicationID(a->high, a->low);
}

static CK_RV setv2(struct arguments *a)
{
	return p_CA_SetApplicationIDV2(&a->id);
}

static CK_RV randomize(struct arguments *a)
{
	(void)a;
	return p_CA_RandomizeApplicationID();
}

static CK_RV get_id(struct arguments *a)
{
	(void)a;
	CK_APPLICATION_ID id;
	CK_RV rv = p_CA_GetApplicationID(&id);
	if (rv == CKR_OK)
		hex_encode(found, id.id, sizeof id.id);
	return rv;
}

static CK_RV find_slot(void)
{
	CK_SLOT_ID slots[8];
	CK_ULONG count = 8;
	CK_RV rv = f->C_GetSlotList(CK_TRUE, slots, &count);
	if (rv == CKR_OK && count == 0)
		return CKR_SLOT_ID_INVALID;
	if (rv == CKR_OK)
		slot = slots[0];
	return rv;
}

static CK_RV init(struct arguments *a)
{
	(void)a;
	CK_RV rv = f->C_Initialize(NULL);
	return rv == CKR_OK ? find_slot() : rv;
}

static CK_RV finalize(struct arguments *a)
{
	(void)a;
	return f->C_Finalize(NULL);
}

static CK_RV opened(CK_RV rv)
{
	if (rv == CKR_OK && session_count < SESSIONS_MAX)
		sessions[session_count++] = session;
	return rv;
}

static CK_RV open_session(struct arguments *a)
{
	(void)a;
	return opened(f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session));
}

static CK_RV open_with(struct arguments *a)
{
	return opened(p_CA_OpenSessionWithAppID(
		slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, a->high, a->low, NULL, NULL, &session));
}

static CK_RV use(struct arguments *a)
{
	if (a->high < 1 || a->high > session_count)
		return CKR_ARGUMENTS_BAD;
	session = sessions[a->high - 1];
	return CKR_OK;
}

static CK_RV info(struct arguments *a)
{
	(void)a;
	CK_SESSION_INFO session_info;
	CK_RV rv = f->C_GetSessionInfo(session, &session_info);
	if (rv == CKR_OK)
		strcpy(found,
			session_info.state == CKS_RW_SO_FUNCTIONS ? "so"
			: session_info.state == CKS_RW_USER_FUNCTIONS || session_info.state == CKS_RO_USER_FUNCTIONS
				? "user"
				: "public");
	return rv;
}

static CK_RV ca_info(struct arguments *a)
{
	(void)a;
	CK_ULONG high, low, container, level;
	CK_RV rv = p_CA_GetSessionInfo(session, &high, &low, &container, &level);
	if (rv == CKR_OK)
		snprintf(found, sizeof found, "%lu %lu %s %lu", high, low, container == slot ? "slot" : "other", level);
	return rv;
}

static CK_RV login(struct arguments *a)
{
	return f->C_Login(session, CKU_USER, (CK_BYTE *)a->text, strlen(a->text));
}

static CK_RV logout(struct arguments *a)
{
	(void)a;
	return f->C_Logout(session);
}

static CK_RV close_session(struct arguments *a)
{
	(void)a;
	return f->C_CloseSession(session);
}

static CK_RV close_all(struct arguments *a)
{
	(void)a;
	return f->C_CloseAllSessions(slot);
}

static CK_RV generate(struct arguments *a)
{
	static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE public[] = {{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_TOKEN, &yes, 1}, {CKA_VERIFY, &yes, 1},
		{CKA_LABEL, a->text, strlen(a->text)}};
	CK_ATTRIBUTE private[] = {{CKA_TOKEN, &yes, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1},
		{CKA_SIGN, &yes, 1}, {CKA_LABEL, a->text, strlen(a->text)}};
	CK_MECHANISM mechanism = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE other;
	return f->C_GenerateKeyPair(session, &mechanism, public, 4, private, 5, &other, &key);
}

static CK_RV slow(struct arguments *a)
{
	(void)a;
	CK_ULONG bits = 4096;
	CK_BBOOL yes = CK_TRUE;
	CK_ATTRIBUTE public[] = {{CKA_MODULUS_BITS, &bits, sizeof bits}};
	CK_ATTRIBUTE private[] = {{CKA_SIGN, &yes, 1}};
	CK_MECHANISM mechanism = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
	CK_OBJECT_HANDLE other, another;
	return f->C_GenerateKeyPair(session, &mechanism, public, 1, private, 1, &other, &another);
}

static CK_RV find(struct arguments *a)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_LABEL, a->text, strlen(a->text)}};
	CK_OBJECT_HANDLE objects[4];
	CK_ULONG count = 0;
	CK_RV rv = f->C_FindObjectsInit(session, wanted, 2);
	if (rv == CKR_OK)
		rv = f->C_FindObjects(session, objects, 4, &count);
	if (rv == CKR_OK)
		rv = f->C_FindObjectsFinal(session);
	if (rv == CKR_OK && count > 0)
		key = objects[0];
	snprintf(found, sizeof found, "%lu", count);
	return rv;
}

static CK_RV sign(struct arguments *a)
{
	(void)a;
	CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
	CK_BYTE digest[32] = {1}, signature[SIGNATURE_MAX];
	CK_ULONG len = sizeof signature;
	CK_RV rv = f->C_SignInit(session, &mechanism, key);
	return rv == CKR_OK ? f->C_Sign(session, digest, sizeof digest, signature, &len) : rv;
}

static CK_RV digest(struct arguments *a)
{
	(void)a;
	CK_MECHANISM mechanism = {CKM_SHA256, NULL, 0};
	CK_BYTE data[3] = {1}, hash[32];
	CK_ULONG len = sizeof hash;
	CK_RV rv = f->C_DigestInit(session, &mechanism);
	return rv == CKR_OK ? f->C_Digest(session, data, sizeof data, hash, &len) : rv;
}

static CK_RV counts(struct arguments *a)
{
	(void)a;
	CK_TOKEN_INFO token;
	CK_RV rv = f->C_GetTokenInfo(slot, &token);
	if (rv == CKR_OK)
		snprintf(found, sizeof found, "%lu %lu", token.ulSessionCount, token.ulRwSessionCount);
	return rv;
}

static CK_RV fork_child(struct arguments *a)
{
	(void)a;
	pid_t child = fork();
	if (child == 0) {
		close(STDIN_FILENO);
		close(STDOUT_FILENO);
		alarm(CHILD_S);
		for (;;)
			pause();
	}
	(void)snprintf(found, sizeof found, "%ld", (long)child);
	return child > 0 ? CKR_OK : CKR_HOST_MEMORY;
}

static CK_RV hold(struct arguments *a)
{
	return p_CA_OpenApplicationID(slot, a->high, a->low);
}

static CK_RV hold_v2(struct arguments *a)
{
	return p_CA_OpenApplicationIDV2(slot, &a->id);
}

static CK_RV release(struct arguments *a)
{
	return p_CA_CloseApplicationID(slot, a->high, a->low);
}

static CK_RV release_v2(struct arguments *a)
{
	return p_CA_CloseApplicationIDV2(slot, &a->id);
}

static const struct {
	const char *name;
	CK_RV (*run)(struct arguments *arguments);
} COMMANDS[] = {{"init", init}, {"finalize", finalize}, {"set", set}, {"setv2", setv2}, {"randomize", randomize},
	{"get", get_id}, {"open", open_session}, {"openwith", open_with}, {"use", use}, {"info", info},
	{"cainfo", ca_info}, {"login", login}, {"logout", logout}, {"close", close_session}, {"closeall", close_all},
	{"generate", generate}, {"slow", slow}, {"find", find}, {"sign", sign}, {"digest", digest}, {"counts", counts},
	{"fork", fork_child}, {"hold", hold}, {"holdv2", hold_v2}, {"release", release}, {"releasev2", release_v2}};

static int run(char *line)
{
	struct arguments arguments = {.text = ""};
	char *blank = strchr(line, ' ');
	if (blank != NULL) {
		char *rest;
		*blank = '\0';
		arguments.text = blank + 1;
		arguments.high = strtoul(arguments.text, &rest, 10);
		arguments.low = strtoul(rest, NULL, 10);
		if (!hex_decode(arguments.id.id, sizeof arguments.id.id, arguments.text, strlen(arguments.text)))
			memset(&arguments.id, 0, sizeof arguments.id);
	}
	for (size_t i = 0; i < sizeof COMMANDS / sizeof *COMMANDS; i++)
		if (strcmp(COMMANDS[i].name, line) == 0) {
			found[0] = '\0';
			CK_RV rv = COMMANDS[i].run(&arguments);
			printf("0x%lx%s%s\n", rv, *found != '\0' ? " " : "", found);
			return fflush(stdout);
		}
	fprintf(stderr, "no command %s\n", line);
	return 1;
}

int main(int argc, char **argv)
{
	char line[LINE_LEN_MAX];
	if (argc != 2) {
		fprintf(stderr, "usage: application MODULE\n");
		return 2;
	}
	load(argv[1]);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (run(line) != 0)
			return 1;
	}
	return 0;
}
