#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/codec.h"
#include "tests/unit/worker/remote.h"
#include "tests/unit/worker/resource_fixture.h"

/*
 * Mechanisms with keys of another type. SoftHSM 2.6.1 crashes, among others, in C_Sign by DSA with a key that is not DSA, in C_Sign by
 * CKM_RSA_X_509 with one that is not RSA, and already in C_VerifyInit by CKM_ECDSA with one that is not EC.
 */

/* 32 bytes */
/* 64 bytes */
#define SIGNATURE "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0-Pw"
#define INIT "{\"%sInit\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"%s\"},\"key\":%lld}}"
#define SIGN_LONG "{\"Sign\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":256}}"
#define PRIVATE_USES "[{\"CKA_SIGN\":true},{\"CKA_DECRYPT\":true},{\"CKA_UNWRAP\":true},{\"CKA_DERIVE\":true}]"
#define PUBLIC_USES "{\"CKA_VERIFY\":true},{\"CKA_ENCRYPT\":true},{\"CKA_WRAP\":true}"
#define SECRET_USES \
	"{\"CKA_SIGN\":true},{\"CKA_VERIFY\":true},{\"CKA_ENCRYPT\":true},{\"CKA_DECRYPT\":true},{\"CKA_WRAP\":true}," \
	"{\"CKA_UNWRAP\":true},{\"CKA_DERIVE\":true},{\"CKA_EXTRACTABLE\":true}"

#define GENERATE \
	"{\"GenerateKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"%s\"},\"attributes\":[%s" SECRET_USES "]}}"
#define GENERATE_PAIR \
	"{\"GenerateKeyPair\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"%s\"},\"public_attributes\":[%" \
	"s" PUBLIC_USES "],\"private_attributes\":" PRIVATE_USES "}}"

/* Domain parameters of 1024 bits. */
#define DSA_DOMAIN \
	"{\"CKA_PRIME\":\"_c8JTR9XS0o8uGM0HMlsMQvG16oget--9YouJA6g0VvXa_hbdeu0TlIhUUbbj2Y_SrdhMqTPiRWePxRwqKt7l7VI_" \
	"x9czRVIKo" \
	"Bik0pHg8g0EjRUuwdAvDoKqU-wMdogHwNSXxfcgHIiQoY-YNshuw379LoJ1NMXpl0FEfmzIps\"}," \
	"{\"CKA_SUBPRIME\":\"t8hLHtzbdYX3ASJ07t7_fyKfxsc\"}," \
	"{\"CKA_BASE\":\"No_huTUAtdq5CTomOwpkDU10ILI6raO3gHnQDlmaB3y5_9hZSKMiPQqjTgS8xEQ_" \
	"Qu2Ig1aaOIaUkL3J4ZRE76ugyMfKLYnge" \
	"HORcUohYJb5FSqPap62fZ77T-WxCvlR5QwG_eDGtm3jE-0phn0wfHhhL8KsTthTtw0m5jcgH_Q\"},"
/* Of 512 bits. */
#define DH_DOMAIN \
	"{\"CKA_PRIME\":\"2lzjP4kmrg1rHKN58y3jVL82lXGQWLTDOVn3silhWAobxKoydsvilCiYRQVkCtCHfhMnaEDyl-JtOEFrzB9nyw\"}," \
	"{\"CKA_BASE\":\"Ag\"},"

static const struct key_kind {
	const char *generator, *attributes; /* attributes: of the public or secret key, with a comma behind */
	CK_OBJECT_CLASS class;
	CK_KEY_TYPE type;
} kinds[] = {
	{"CKM_RSA_PKCS_KEY_PAIR_GEN", "{\"CKA_MODULUS_BITS\":1024},{\"CKA_PUBLIC_EXPONENT\":\"AQAB\"},",
		CKO_PRIVATE_KEY, CKK_RSA},
	{"CKM_EC_KEY_PAIR_GEN", "{\"CKA_EC_PARAMS\":\"BggqhkjOPQMBBw\"},", CKO_PRIVATE_KEY, CKK_EC},
	{"CKM_EC_EDWARDS_KEY_PAIR_GEN", "{\"CKA_EC_PARAMS\":\"BgMrZXA\"},", CKO_PRIVATE_KEY, CKK_EC_EDWARDS},
	{"CKM_DSA_KEY_PAIR_GEN", DSA_DOMAIN, CKO_PRIVATE_KEY, CKK_DSA},
	{"CKM_DH_PKCS_KEY_PAIR_GEN", DH_DOMAIN, CKO_PRIVATE_KEY, CKK_DH},
	{"CKM_AES_KEY_GEN", "{\"CKA_VALUE_LEN\":16},", CKO_SECRET_KEY, CKK_AES},
	{"CKM_GENERIC_SECRET_KEY_GEN", "{\"CKA_VALUE_LEN\":64},", CKO_SECRET_KEY, CKK_GENERIC_SECRET},
	{"CKM_DES3_KEY_GEN", "", CKO_SECRET_KEY, CKK_DES3},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const struct row {
	CK_MECHANISM_TYPE type;
	const char *name, *parameter;
} rows[] = {
#define MECHANISM(name, parameter, ...) {name, #name, #parameter},
#include "api/mechanisms.def"
};
enum { ROWS = sizeof rows / sizeof rows[0] };

struct made_key {
	json_int_t public_key, private_key; /* the same for a secret key */
};

static struct token_fixture token;
static struct worker_fixture worker;
static struct client client = {.worker = &worker, .instance = "keeper of keys"};

static void start(void)
{
	token_fixture_new(&token);
	worker_fixture_start(&token, NULL, &worker);
	cr_assert_eq(worker.started_rv, 0, "%s", worker.started_detail);
}

TestSuite(key_type, .init = start, .timeout = 120);

/* A session key of a kind that may do everything. */
static struct made_key make(json_int_t session, const struct key_kind *kind)
{
	if (kind->class == CKO_SECRET_KEY) {
		json_int_t key = number(&client, "key", GENERATE, session, kind->generator, kind->attributes);
		return (struct made_key){key, key};
	}
	json_t *result = client_call(&client, GENERATE_PAIR, session, kind->generator, kind->attributes);
	cr_assert_str_eq(json_string_value(json_object_get(result, "rv")), "CKR_OK", "%s", kind->generator);
	struct made_key made = {json_integer_value(json_object_get(result, "public_key")),
		json_integer_value(json_object_get(result, "private_key"))};
	json_decref(result);
	return made;
}

static const struct key_kind *kind_of(CK_KEY_TYPE type)
{
	size_t i = 0;

	while (kinds[i].type != type)
		i++;
	return &kinds[i];
}

static void expect_ecdsa_signs(json_int_t session)
{
	struct made_key key = make(session, kind_of(CKK_EC));

	expect(&client, "CKR_OK", INIT "," SIGN_LONG, "Sign", session, "CKM_ECDSA", key.private_key, session);
}

Test(key_type, a_mechanism_of_another_key_type_is_refused_and_the_session_signs_afterwards)
{
	static const struct {
		const char *mechanism;
		CK_KEY_TYPE type;
	} misfits[] = {
		{"CKM_DSA_SHA1", CKK_RSA},
		{"CKM_DSA_SHA1", CKK_EC},
		{"CKM_DSA", CKK_AES},
		{"CKM_DSA_SHA256", CKK_DH},
		{"CKM_RSA_X_509", CKK_EC},
		{"CKM_RSA_PKCS", CKK_DSA},
		{"CKM_ECDSA", CKK_RSA},
		{"CKM_ECDSA", CKK_EC_EDWARDS},
		{"CKM_ECDSA", CKK_GENERIC_SECRET},
		{"CKM_EDDSA", CKK_EC},
	};
	json_int_t session = open_logged_in(&client);

	for (size_t i = 0; i < sizeof misfits / sizeof misfits[0]; i++) {
		struct made_key key = make(session, kind_of(misfits[i].type));
		expect(&client, "CKR_KEY_TYPE_INCONSISTENT", INIT, "Sign", session, misfits[i].mechanism,
			key.private_key);
		expect(&client, "CKR_OPERATION_NOT_INITIALIZED", SIGN_LONG, session);
		expect(&client, "CKR_KEY_TYPE_INCONSISTENT", INIT, "Verify", session, misfits[i].mechanism,
			key.public_key);
		expect(&client, "CKR_OPERATION_NOT_INITIALIZED",
			"{\"Verify\":{\"session\":%lld,\"data\":\"" DIGEST "\",\"signature\":\"" SIGNATURE "\"}}",
			session);
		expect_ecdsa_signs(session);
	}
}

Test(key_type, what_the_module_itself_answers_stays_its_answer)
{
	json_int_t session = open_logged_in(&client);
	struct made_key ec = make(session, kind_of(CKK_EC)), secret = make(session, kind_of(CKK_GENERIC_SECRET));
	json_int_t idle = make_key(&client, session, "idle", ",{\"CKA_SIGN\":false}");

	expect(&client, "CKR_KEY_FUNCTION_NOT_PERMITTED", INIT, "Sign", session, "CKM_DSA_SHA1", idle);
	expect(&client, "CKR_MECHANISM_INVALID", INIT, "Sign", session, "CKM_RC2_ECB", ec.private_key);
	expect(&client, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT",
		"{\"WrapKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_WRAP\"},\"wrapping_key\":"
		"%lld,\"key\":%lld,\"wrapped\":256}}",
		session, secret.private_key, secret.private_key);
	expect(&client, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT",
		"{\"UnwrapKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_AES_KEY_WRAP\"},"
		"\"unwrapping_key\":%lld,\"wrapped\":\"" DIGEST
		"\",\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},{\"CKA_KEY_TYPE\":\"CKK_AES\"}]}}",
		session, secret.private_key);
	expect(&client, "CKR_KEY_TYPE_INCONSISTENT",
		"{\"DeriveKey\":{\"session\":%lld,\"mechanism\":{\"mechanism\":\"CKM_DH_PKCS_DERIVE\",\"parameter\":"
		"\"" DIGEST "\"},\"base_key\":%lld,\"attributes\":[{\"CKA_CLASS\":\"CKO_SECRET_KEY\"},"
		"{\"CKA_KEY_TYPE\":\"CKK_AES\"},{\"CKA_VALUE_LEN\":16}]}}",
		session, ec.private_key);
}

Test(key_type, a_refused_init_counts_as_the_one_call_that_it_is)
{
	const struct client plain = {.worker = &worker};
	json_int_t session = open_logged_in(&plain);
	json_int_t key = make_key(&plain, session, "ec", "");
	REST_AUTO struct rest refused = REST(&worker, 200, .route = ROUTE_calls,
		.body = text_of("{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[" INIT "]}]}",
			"Sign", session, "CKM_DSA_SHA1", key));

	cr_expect_not_null(strstr(refused.body, "CKR_KEY_TYPE_INCONSISTENT"), "%s", refused.body);
	cr_expect_eq(calls_of(&refused, "SignInit"), 1);
	cr_expect_eq(calls_of(&refused, "GetAttributeValue"), 0);
	cr_expect_eq(calls_of(&refused, "GetMechanismInfo"), 0);
	cr_expect_eq(json_array_size(refused.calls), 1);
}

Test(key_type, an_operation_that_is_active_already_goes_on)
{
	json_int_t session = open_logged_in(&client);
	struct made_key key = make(session, kind_of(CKK_EC));

	expect(&client, "CKR_OK", INIT, "Sign", session, "CKM_ECDSA", key.private_key);
	expect(&client, "CKR_OPERATION_ACTIVE", INIT, "Sign", session, "CKM_DSA_SHA1", key.private_key);
	expect(&client, "CKR_OK", SIGN_LONG, session);
}

/* --- every mechanism, every type --- */

enum { PARAMETERS = 3 };

/* Parameters that SoftHSM takes for the row, as JSON members; an empty string: none. */
static size_t parameters_of(const struct row *row, const char *ret_parameters[PARAMETERS])
{
	static const struct {
		const char *parameter, *values[PARAMETERS];
	} known[] = {
		{"BYTES", {"\"AAAAAAAAAAAAAAAAAAAAAA\"", "\"AAAAAAAAAAA\""}},
		{"ULONG", {"16"}},
		{"PSS", {"{\"hashAlg\":\"CKM_SHA_1\",\"mgf\":\"CKG_MGF1_SHA1\",\"sLen\":20}",
				"{\"hashAlg\":\"CKM_SHA256\",\"mgf\":\"CKG_MGF1_SHA256\",\"sLen\":32}",
				"{\"hashAlg\":\"CKM_SHA512\",\"mgf\":\"CKG_MGF1_SHA512\",\"sLen\":0}"}},
		{"OAEP", {"{\"hashAlg\":\"CKM_SHA_1\",\"mgf\":\"CKG_MGF1_SHA1\",\"source\":"
			  "\"CKZ_DATA_SPECIFIED\",\"pSourceData\":null}"}},
		{"AES_CTR", {"{\"ulCounterBits\":128,\"cb\":\"AAAAAAAAAAAAAAAAAAAAAA\"}"}},
		{"GCM", {"{\"pIv\":\"AAAAAAAAAAAAAAAA\",\"ulIvBits\":96,\"pAAD\":null,\"ulTagBits\":128}"}},
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		size_t count = 0;
		if (strcmp(row->parameter, known[i].parameter) != 0)
			continue;
		for (; count < PARAMETERS && known[i].values[count]; count++)
			ret_parameters[count] = known[i].values[count];
		return count;
	}
	ret_parameters[0] = "";
	return 1;
}

/* What can be done with a key: the arguments of the call after the Init. */
static const struct use {
	const char *function, *arguments;
	bool private_key;
} uses[] = {
	{"Sign", "\"data\":\"" DIGEST "\",\"signature\":512", true},
	{"Verify", "\"data\":\"" DIGEST "\",\"signature\":\"" SIGNATURE "\"", false},
	{"Encrypt", "\"data\":\"" DIGEST "\",\"encrypted\":512", false},
	{"Decrypt", "\"encrypted\":\"" DIGEST "\",\"data\":512", true},
};
enum { USES = sizeof uses / sizeof uses[0] };

#define USE_INIT "{\"%sInit\":{\"session\":%s,\"mechanism\":{\"mechanism\":\"%s\"%s%s},\"key\":%lld}}"
#define USE "{\"%s\":{\"session\":%s,%s}}"

/* Through the worker, in a session of its own; returns whether the Init succeeded. */
static bool begins(const struct client *who, const struct use *use, const struct row *row, const char *parameter,
	const struct made_key *key)
{
	char body[2048];

	snprintf(body, sizeof body,
		"{\"groups\":[{\"op\":\"000102030405060708090a0b0c0d0e0f\",\"calls\":[{\"CloseAllSessions\":{}},"
		"{\"OpenSession\":{\"flags\":6}}," USE_INIT "," USE "]}]}",
		use->function, "{\"from\":1}", row->name, *parameter ? ",\"parameter\":" : "", parameter,
		use->private_key ? key->private_key : key->public_key, use->function, "{\"from\":1}", use->arguments);
	struct answer answer = client_post(who, body);
	cr_assert_eq(answer.status, 200, "%s", body);
	json_t *results = json_object_get(json_array_get(json_object_get(answer.body, "groups"), 0), "results");
	cr_assert_geq(json_array_size(results), 3);
	bool begun = json_array_size(results) == 4;
	answer_free(&answer);
	return begun;
}

/* --- the same in the module itself, in processes that may crash --- */

/* What the module did with a key of a kind, by row, parameter and use; shared with the processes that find out. */
struct outcomes {
	unsigned tried; /* uses of the row and parameter at hand that have been begun */
	struct outcome {
		bool begun, done; /* the Init, the call after it */
	} of[ROWS][PARAMETERS][USES];
};

struct direct {
	const CK_FUNCTION_LIST *f;
	CK_SLOT_ID slot;
	CK_SESSION_HANDLE session; /* logged in; where the key is */
	struct made_key key;
	struct arena arena;
};

/* clang-format off */
static CK_RV direct_invoke(const CK_FUNCTION_LIST *f, enum call_id id, const union wire_value v[])
{
#define CALL(name, place, permission, audit, operation, step, ...) \
	case CALL_##name: return f->C_##name(EACH(PASS, __VA_ARGS__));
	switch (id) {
#include "api/calls.def"
	case CALL_COUNT: break;
	}
	return CKR_GENERAL_ERROR;
}
/* clang-format on */

/* One call, in the form that travels. */
static CK_RV __attribute__((format(printf, 3, 4)))
direct_call(struct direct *direct, struct call *ret_call, const char *format, ...)
{
	char text[4096];
	struct json_reader in;
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	json_reader_init(&in, text, strlen(text), &direct->arena);
	if (!call_decode(&in, ret_call))
		_exit(2);
	return direct_invoke(direct->f, ret_call->row->id, ret_call->values);
}

static void direct_make(struct direct *direct, const struct key_kind *kind)
{
	struct call call;

	if (kind->class == CKO_SECRET_KEY) {
		cr_assert_eq(direct_call(direct, &call, GENERATE, (json_int_t)direct->session, kind->generator,
				     kind->attributes),
			CKR_OK);
		direct->key.private_key = direct->key.public_key = (json_int_t)*call.values[3].number_out;
		return;
	}
	cr_assert_eq(direct_call(direct, &call, GENERATE_PAIR, (json_int_t)direct->session, kind->generator,
			     kind->attributes),
		CKR_OK);
	direct->key.public_key = (json_int_t)*call.values[4].number_out;
	direct->key.private_key = (json_int_t)*call.values[5].number_out;
}

static void leave(void)
{
	_exit(3);
}

/* From the first use that has not been tried; the process may end in any of them, also because the module calls exit. */
static void direct_uses(struct direct *direct, struct outcomes *outcomes, size_t row, size_t p, const char *parameter)
{
	char session[24];
	CK_SESSION_HANDLE handle;
	struct call call;

	/* Before what else runs at exit and expects the threads of the parent. */
	if (atexit(leave) != 0)
		_exit(2);
	while (outcomes->tried < USES) {
		const struct use *use = &uses[outcomes->tried++];
		struct outcome *outcome = &outcomes->of[row][p][use - uses];
		if (direct->f->C_OpenSession(direct->slot, CKF_SERIAL_SESSION, NULL, NULL, &handle) != CKR_OK)
			_exit(2);
		snprintf(session, sizeof session, "%lu", handle);
		outcome->begun = direct_call(direct, &call, USE_INIT, use->function, session, rows[row].name,
					 *parameter ? ",\"parameter\":" : "", parameter,
					 use->private_key ? direct->key.private_key : direct->key.public_key) == CKR_OK;
		outcome->done = outcome->begun &&
				direct_call(direct, &call, USE, use->function, session, use->arguments) == CKR_OK;
		(void)direct->f->C_CloseSession(handle);
	}
	_exit(0);
}

/* Everything that can be tried with a key of that kind; a process of its own for each row and parameter. */
static void find_outcomes(struct direct *direct, const struct key_kind *kind, struct outcomes *outcomes)
{
	const char *parameters[PARAMETERS];
	CK_MECHANISM_INFO info;

	memset(outcomes, 0, sizeof *outcomes);
	direct_make(direct, kind);
	for (size_t i = 0; i < ROWS; i++) {
		if (direct->f->C_GetMechanismInfo(direct->slot, rows[i].type, &info) != CKR_OK)
			continue;
		for (size_t p = parameters_of(&rows[i], parameters); p-- > 0;) {
			outcomes->tried = 0;
			while (outcomes->tried < USES) {
				pid_t child = fork();
				if (child == 0)
					direct_uses(direct, outcomes, i, p, parameters[p]);
				cr_assert_eq(waitpid(child, NULL, 0), child);
			}
		}
	}
}

/* --- every mechanism, every type, here and there --- */

/* What began through the worker; `done` counts what the module did to the end by itself. */
static unsigned compare_row(const struct client *who, const struct key_kind *kind, const struct made_key *key,
	size_t row, const struct outcomes *outcomes, unsigned *done)
{
	const char *parameters[PARAMETERS];
	bool fits = mechanism_fits_key(rows[row].type, kind->class, kind->type);
	unsigned begun = 0;

	for (size_t p = parameters_of(&rows[row], parameters); p-- > 0;) {
		for (size_t u = 0; u < USES; u++) {
			const struct outcome *outcome = &outcomes->of[row][p][u];
			bool here = begins(who, &uses[u], &rows[row], parameters[p], key);
			cr_expect(here == (outcome->begun && fits),
				"%s by %s with a key of %s: begun %d, by the module %d", uses[u].function,
				rows[row].name, kind->generator, here, outcome->begun);
			cr_expect(fits || !outcome->done, "the module can do %s by %s with a key of %s",
				uses[u].function, rows[row].name, kind->generator);
			begun += here;
			*done += outcome->done;
		}
	}
	return begun;
}

Test(key_type, no_mechanism_with_any_type_of_key_ends_the_worker_and_what_fits_begins_as_in_the_module)
{
	struct client user = {.worker = &worker, .instance = "user of keys"};
	json_int_t session = open_logged_in(&client);
	unsigned begun = 0, done = 0;
	struct direct direct = {0};
	struct outcomes *outcomes = mmap(
		NULL, sizeof *outcomes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	cr_assert_neq(outcomes, MAP_FAILED);
	direct.f = softhsm_functions(&direct.slot);
	arena_init(&direct.arena, 1 << 20);
	cr_assert_eq(
		direct.f->C_OpenSession(direct.slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &direct.session),
		CKR_OK);
	cr_assert_eq(direct.f->C_Login(direct.session, CKU_USER, (CK_BYTE *)FIXTURE_PIN, strlen(FIXTURE_PIN)), CKR_OK);
	for (size_t k = 0; k < KINDS; k++) {
		struct made_key key = make(session, &kinds[k]);
		find_outcomes(&direct, &kinds[k], outcomes);
		for (size_t i = 0; i < ROWS; i++)
			begun += compare_row(&user, &kinds[k], &key, i, outcomes, &done);
	}
	cr_expect_gt(begun, 80);
	cr_expect_gt(done, 40, "%u", done);
	munmap(outcomes, sizeof *outcomes);
	expect_ecdsa_signs(session);
}
