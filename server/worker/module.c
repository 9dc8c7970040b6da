#include "server/worker/internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DETAIL_MAX = 256, SLOTS_FOUND_MAX = 1024, QUIET_MS = 250 };

/* SHA-256 of the file behind `fd`. */
static bool file_sha256(int fd, unsigned char ret_hash[32])
{
	unsigned char part[16384];
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool good = context && EVP_DigestInit_ex(context, EVP_sha256(), NULL) == 1;
	ssize_t got;

	while (good && (got = read(fd, part, sizeof part)) != 0)
		good = got > 0 && EVP_DigestUpdate(context, part, (size_t)got) == 1;
	good = good && EVP_DigestFinal_ex(context, ret_hash, NULL) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

/* Opens the module and checks its pin. The directories of modules belong to root: nobody exchanges the file before it is loaded. */
static bool module_check(const struct worker_start *start, char *ret_detail)
{
	unsigned char hash[32];
	int fd = open(start->module_path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		snprintf(ret_detail, DETAIL_MAX, "cannot open the module %s: %s", start->module_path, strerror(errno));
		return false;
	}
	bool good = start->module_sha256.len == 0 || (start->module_sha256.len == 32 && file_sha256(fd, hash) &&
							     memcmp(hash, start->module_sha256.data, 32) == 0);
	close(fd);
	if (!good)
		snprintf(ret_detail, DETAIL_MAX, "the module %s is not the file whose SHA-256 is configured",
			start->module_path);
	return good;
}

CK_RV module_load(struct worker *worker, char *ret_detail)
{
	const struct worker_start *start = &worker->start;
	struct module *module = &worker->module;
	CK_C_GetFunctionList get_functions;
	CK_FUNCTION_LIST *functions = NULL;

	if (start->module_path[0] != '/') {
		snprintf(ret_detail, DETAIL_MAX, "the module path %s is not absolute", start->module_path);
		return CKR_GENERAL_ERROR;
	}
	if (!module_check(start, ret_detail))
		return CKR_GENERAL_ERROR;
	module->library = dlopen(start->module_path, RTLD_NOW | RTLD_LOCAL);
	if (!module->library) {
		snprintf(ret_detail, DETAIL_MAX, "cannot load the module: %s", dlerror());
		return CKR_GENERAL_ERROR;
	}
	void *symbol = dlsym(module->library, "C_GetFunctionList");
	memcpy(&get_functions, &symbol, sizeof get_functions);
	if (!symbol || get_functions(&functions) != CKR_OK || !functions) {
		snprintf(ret_detail, DETAIL_MAX, "%s has no C_GetFunctionList that works: it is no PKCS#11 module",
			start->module_path);
		return CKR_GENERAL_ERROR;
	}
	module->functions = functions;
	return CKR_OK;
}

/* True if the blank-padded `field` says `text`. */
static bool field_is(const unsigned char *field, size_t size, const char *text)
{
	size_t len = size;

	while (len > 0 && (field[len - 1] == ' ' || field[len - 1] == '\0'))
		len--;
	return strlen(text) == len && memcmp(field, text, len) == 0;
}

static bool slot_matches(const struct worker *worker, const struct worker_slot *slot, CK_SLOT_ID number)
{
	CK_TOKEN_INFO token = {0};
	CK_SLOT_INFO info = {0};
	const union wire_value slot_call[] = {{.number = number}, {.info = &info}};
	const union wire_value token_call[] = {{.number = number}, {.info = &token}};

	if (slot->match_reader[0] != '\0') {
		if (invoke_uncounted(worker, CALL_GetSlotInfo, slot_call) != CKR_OK)
			return false;
		if (!memmem(info.slotDescription, sizeof info.slotDescription, slot->match_reader,
			    strlen(slot->match_reader)))
			return false;
	}
	if (slot->match_label[0] == '\0' && slot->match_serial[0] == '\0')
		return true;
	if (invoke_uncounted(worker, CALL_GetTokenInfo, token_call) != CKR_OK)
		return false;
	if (slot->match_label[0] != '\0' && !field_is(token.label, sizeof token.label, slot->match_label))
		return false;
	return slot->match_serial[0] == '\0' ||
	       field_is(token.serialNumber, sizeof token.serialNumber, slot->match_serial);
}

CK_RV module_find_slot(const struct worker *worker, const struct worker_slot *slot, CK_SLOT_ID *ret_slot)
{
	CK_SLOT_ID numbers[SLOTS_FOUND_MAX] = {0}, found = 0;
	CK_ULONG count = SLOTS_FOUND_MAX;
	unsigned matches = 0;
	/* The NULL query is what makes a module look for new tokens. */
	const union wire_value look[] = {{.flag = CK_TRUE}, {.list = {NULL, &count}}};
	const union wire_value list[] = {{.flag = CK_TRUE}, {.list = {numbers, &count}}};
	CK_RV rv = invoke_uncounted(worker, CALL_GetSlotList, look);

	count = SLOTS_FOUND_MAX;
	if (rv == CKR_OK)
		rv = invoke_uncounted(worker, CALL_GetSlotList, list);
	if (rv != CKR_OK)
		return rv;
	for (CK_ULONG i = 0; i < count; i++) {
		if (!slot_matches(worker, slot, numbers[i]))
			continue;
		found = numbers[i];
		matches++;
	}
	if (matches == 1)
		*ret_slot = found;
	return matches == 1 ? CKR_OK : matches == 0 ? CKR_TOKEN_NOT_PRESENT : CKR_SLOT_ID_INVALID;
}

static void read_token(struct worker *worker)
{
	CK_TOKEN_INFO token = {0};
	const union wire_value v[] = {{.number = worker->module.slot}, {.info = &token}};
	size_t len = sizeof token.label;

	if (invoke_uncounted(worker, CALL_GetTokenInfo, v) != CKR_OK)
		return;
	_Static_assert(sizeof worker->module.token_serial == sizeof token.serialNumber, "a serial number fits");
	memcpy(worker->module.token_serial, token.serialNumber, sizeof worker->module.token_serial);
	worker->module.protected_path = token.flags & CKF_PROTECTED_AUTHENTICATION_PATH;
	if (worker->module.token_label[0] != '\0')
		return;
	while (len > 0 && (token.label[len - 1] == ' ' || token.label[len - 1] == '\0'))
		len--;
	memcpy(worker->module.token_label, token.label, len);
}

static CK_RV resolve(struct worker *worker, char *ret_detail)
{
	struct module *module = &worker->module;

	module->slot_found = false;
	if (worker->start.role != ROLE_APPLICATION)
		return CKR_OK;
	const struct worker_slot *slot = &worker->slots[0];
	CK_RV rv = module_find_slot(worker, slot, &module->slot);
	module->slot_found = rv == CKR_OK;
	if (rv == CKR_OK)
		read_token(worker);
	else if (rv == CKR_TOKEN_NOT_PRESENT)
		snprintf(ret_detail, DETAIL_MAX, "no token of slot %s (label \"%s\", serial \"%s\", reader \"%s\")",
			slot->name, slot->match_label, slot->match_serial, slot->match_reader);
	else if (rv == CKR_SLOT_ID_INVALID)
		snprintf(ret_detail, DETAIL_MAX, "several tokens fit slot %s; name its serial number", slot->name);
	else
		snprintf(ret_detail, DETAIL_MAX, "the module cannot list its slots (0x%lx)", rv);
	return rv;
}

CK_RV module_initialise(struct worker *worker, char *ret_detail)
{
	struct module *module = &worker->module;
	CK_RV rv = invoke_initialize(module, worker->start.module_init_args);

	if (rv != CKR_OK) {
		snprintf(ret_detail, DETAIL_MAX, "C_Initialize of %s failed (0x%lx)", worker->start.module_path, rv);
		return rv;
	}
	module->initialised = true;
	atomic_fetch_add(&module->epoch, 1);
	return resolve(worker, ret_detail);
}

void module_share(struct request *request)
{
	if (request->holds_module)
		return;
	pthread_rwlock_rdlock(&request->worker->module.lock);
	request->holds_module = true;
}

/* Exclusively, within `wait_ms`. */
static bool lock_alone(struct module *module, int64_t wait_ms)
{
	struct timespec until;

	/* The wall clock, since ThreadSanitizer does not know the form of this call that takes another one. */
	clock_gettime(CLOCK_REALTIME, &until);
	int64_t nsec = until.tv_nsec + wait_ms % 1000 * 1000000;
	until.tv_sec += wait_ms / 1000 + nsec / 1000000000;
	until.tv_nsec = nsec % 1000000000;
	return pthread_rwlock_timedwrlock(&module->lock, &until) == 0;
}

void module_quiet(struct request *request)
{
	if (lock_alone(&request->worker->module, QUIET_MS))
		request->holds_module = true;
	else
		module_share(request);
}

void module_unshare(struct request *request)
{
	if (!request->holds_module)
		return;
	request->holds_module = false;
	pthread_rwlock_unlock(&request->worker->module.lock);
}

CK_SLOT_ID module_slot(const struct worker *worker)
{
	return worker->module.slot;
}

static void identify_objects(struct worker *worker)
{
	CK_SESSION_HANDLE session;

	/* The session ends with the module. */
	if (worker->objects.count > 0 && pool_open_widest(worker, &session) == CKR_OK)
		objects_identify(worker, session);
}

CK_RV module_reinitialise(struct worker *worker, bool must)
{
	char detail[DETAIL_MAX];
	CK_RV rv = CKR_OK;

	/* Bounded, because calls that run now may take long. */
	if (!lock_alone(&worker->module, worker->start.token_wait_ms))
		return CKR_DEVICE_ERROR;
	if (must || (objects_session_count(worker) == 0 && !sessions_have_operation(worker))) {
		if (worker->module.initialised) {
			identify_objects(worker);
			rv = invoke_finalize(&worker->module);
			worker->module.initialised = rv != CKR_OK;
		}
		pool_forget(worker);
		if (rv == CKR_OK)
			rv = module_initialise(worker, detail);
		objects_unbind(worker);
		sessions_reopen(worker);
	}
	pthread_rwlock_unlock(&worker->module.lock);
	return rv;
}

CK_RV module_freshen(struct worker *worker, uint64_t generation)
{
	bool must = generation != worker->module.generation;

	if (!must && !worker->start.verify_login_fresh)
		return CKR_OK;
	CK_RV rv = module_reinitialise(worker, must);
	if (rv == CKR_OK)
		worker->module.generation = generation;
	return rv;
}
