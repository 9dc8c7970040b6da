/* What may be said of CKA_ALWAYS_AUTHENTICATE when a key is made, and afterwards: A19, on SoftHSM, and on workers before it and before a token that takes anything. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/worker/remote.h"

static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static CK_OBJECT_CLASS secret_key = CKO_SECRET_KEY, private_key = CKO_PRIVATE_KEY;
static CK_KEY_TYPE ec = CKK_EC, generic = CKK_GENERIC_SECRET;
static CK_ULONG length = 16;
static CK_BYTE value[32] = {1};

#define FLAG(type, which) \
	{ \
		type, &(which), 1 \
	}
#define ALWAYS FLAG(CKA_ALWAYS_AUTHENTICATE, yes)

struct place {
	const CK_FUNCTION_LIST *f;
	const char *who;
	CK_SESSION_HANDLE session;
	bool clean; /* SoftHSM leaves objects behind that it has refused to make */
	bool direct;
	bool allows; /* the rules let keys that ask for their PIN derive and unwrap without */
};

static CK_RV pair(const struct place *at, CK_ATTRIBUTE *private, CK_ULONG count, CK_OBJECT_HANDLE *ret_key)
{
	CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0};
	CK_ATTRIBUTE public[] = {FLAG(CKA_TOKEN, no), {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_OBJECT_HANDLE half;

	return at->f->C_GenerateKeyPair(at->session, &generate, public, 2, private, count, &half, ret_key);
}

static CK_RV create(const struct place *at, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
	CK_OBJECT_HANDLE made;

	return at->f->C_CreateObject(at->session, attributes, count, &made);
}

/* How many private and secret keys there are. */
static CK_ULONG keys(const struct place *at, CK_OBJECT_CLASS *class)
{
	CK_ATTRIBUTE wanted = {CKA_CLASS, class, sizeof *class};
	CK_OBJECT_HANDLE found[16];
	CK_ULONG count = 0;

	cr_assert_eq(at->f->C_FindObjectsInit(at->session, &wanted, 1), CKR_OK);
	cr_assert_eq(at->f->C_FindObjects(at->session, found, 16, &count), CKR_OK);
	cr_assert_eq(at->f->C_FindObjectsFinal(at->session), CKR_OK);
	return count;
}

static void expect_code(const struct place *at, const char *what, CK_RV rv, CK_RV wanted)
{
	cr_expect_eq(rv, wanted, "%s: %s: 0x%lx instead of 0x%lx", at->who, what, rv, wanted);
}

static void templates(const struct place *at)
{
	CK_OBJECT_HANDLE key = 0, made;
	CK_MECHANISM generate = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
	CK_ATTRIBUTE open_key[] = {FLAG(CKA_TOKEN, no), ALWAYS, FLAG(CKA_PRIVATE, no)};
	CK_ATTRIBUTE good_key[] = {FLAG(CKA_TOKEN, no), ALWAYS, FLAG(CKA_PRIVATE, yes)};
	CK_ATTRIBUTE open_import[] = {{CKA_CLASS, &private_key, sizeof private_key}, {CKA_KEY_TYPE, &ec, sizeof ec},
		{CKA_EC_PARAMS, p256, sizeof p256}, {CKA_VALUE, value, 32}, ALWAYS, FLAG(CKA_PRIVATE, no)};
	CK_ATTRIBUTE generated[] = {FLAG(CKA_TOKEN, no), {CKA_VALUE_LEN, &length, sizeof length}, ALWAYS};
	CK_ATTRIBUTE imported[] = {{CKA_CLASS, &secret_key, sizeof secret_key},
		{CKA_KEY_TYPE, &generic, sizeof generic}, {CKA_VALUE, value, 16}, ALWAYS};
	CK_ATTRIBUTE never = FLAG(CKA_ALWAYS_AUTHENTICATE, no), always = ALWAYS, public = FLAG(CKA_PRIVATE, no);

	expect_code(at, "an open key pair", pair(at, open_key, 3, &key), CKR_TEMPLATE_INCONSISTENT);
	expect_code(at, "an open private key", create(at, open_import, 6), CKR_TEMPLATE_INCONSISTENT);
	expect_code(at, "a generated secret key", at->f->C_GenerateKey(at->session, &generate, generated, 3, &made),
		CKR_ATTRIBUTE_TYPE_INVALID);
	expect_code(at, "a secret key", create(at, imported, 4), CKR_ATTRIBUTE_TYPE_INVALID);
	cr_expect(!at->clean || keys(at, &private_key) + keys(at, &secret_key) == 0,
		"%s: something was made nevertheless", at->who);
	expect_code(at, "a key pair", pair(at, good_key, 3, &key), CKR_OK);
	expect_code(at, "a change", at->f->C_SetAttributeValue(at->session, key, &never, 1), CKR_ATTRIBUTE_READ_ONLY);
	expect_code(at, "no change", at->f->C_SetAttributeValue(at->session, key, &always, 1), CKR_ATTRIBUTE_READ_ONLY);
	expect_code(
		at, "a changed copy", at->f->C_CopyObject(at->session, key, &never, 1, &made), CKR_ATTRIBUTE_READ_ONLY);
	expect_code(at, "an open copy", at->f->C_CopyObject(at->session, key, &public, 1, &made),
		CKR_TEMPLATE_INCONSISTENT);
	cr_expect(!at->clean || keys(at, &private_key) == 1, "%s: something was copied nevertheless", at->who);
}

static CK_OBJECT_HANDLE usable_pair(
	const struct place *at, CK_MECHANISM_TYPE type, CK_BBOOL *always, CK_OBJECT_HANDLE *ret_public)
{
	CK_MECHANISM generate = {type, NULL, 0};
	CK_ULONG bits = 1024;
	CK_BYTE e[] = {1, 0, 1};
	CK_ATTRIBUTE ec_public[] = {FLAG(CKA_TOKEN, no), {CKA_EC_PARAMS, p256, sizeof p256}};
	CK_ATTRIBUTE rsa_public[] = {
		FLAG(CKA_WRAP, yes), {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, e, sizeof e}};
	CK_ATTRIBUTE private[] = {FLAG(CKA_DERIVE, yes), FLAG(CKA_UNWRAP, yes), {CKA_ALWAYS_AUTHENTICATE, always, 1}};
	bool rsa = type == CKM_RSA_PKCS_KEY_PAIR_GEN;
	CK_OBJECT_HANDLE key;

	expect_code(at, "a key pair",
		at->f->C_GenerateKeyPair(at->session, &generate, rsa ? rsa_public : ec_public, rsa ? 3 : 2,
			private + (rsa ? 1 : 0), rsa ? 2 : 3, ret_public, &key),
		CKR_OK);
	return key;
}

static CK_ATTRIBUTE made_secret[] = {{CKA_CLASS, &secret_key, sizeof secret_key},
	{CKA_KEY_TYPE, &generic, sizeof generic}, FLAG(CKA_TOKEN, no), FLAG(CKA_EXTRACTABLE, yes),
	{CKA_VALUE_LEN, &length, sizeof length}};

static void derivation(const struct place *at, CK_BBOOL *always, CK_RV wanted)
{
	CK_BYTE point[128];
	CK_OBJECT_HANDLE public, made, key = usable_pair(at, CKM_EC_KEY_PAIR_GEN, always, &public);
	CK_ATTRIBUTE peer = {CKA_EC_POINT, point, sizeof point};

	expect_code(at, "the point", at->f->C_GetAttributeValue(at->session, public, &peer, 1), CKR_OK);
	CK_ECDH1_DERIVE_PARAMS parameter = {.kdf = CKD_NULL, .pPublicData = point, .ulPublicDataLen = peer.ulValueLen};
	CK_MECHANISM derive = {CKM_ECDH1_DERIVE, &parameter, sizeof parameter};
	expect_code(at, *always ? "a derivation without PIN" : "a derivation",
		at->f->C_DeriveKey(at->session, &derive, key, made_secret, 5, &made), wanted);
}

static void unwrapping(const struct place *at, CK_BBOOL *always, CK_RV wanted)
{
	CK_BYTE wrapped[256];
	CK_ULONG len = sizeof wrapped;
	CK_MECHANISM generate = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0}, pkcs = {CKM_RSA_PKCS, NULL, 0};
	CK_OBJECT_HANDLE public, secret, made, key = usable_pair(at, CKM_RSA_PKCS_KEY_PAIR_GEN, always, &public);

	expect_code(
		at, "a secret key", at->f->C_GenerateKey(at->session, &generate, made_secret + 2, 3, &secret), CKR_OK);
	expect_code(at, "wrapping", at->f->C_WrapKey(at->session, &pkcs, public, secret, wrapped, &len), CKR_OK);
	expect_code(at, *always ? "unwrapping without PIN" : "unwrapping",
		at->f->C_UnwrapKey(at->session, &pkcs, key, wrapped, len, made_secret, 4, &made), wanted);
}

/* There is no step in which the PIN could be given; SoftHSM and the mock derive and unwrap all the same. */
static void uses_without_a_step(const struct place *at)
{
	CK_RV wanted = at->direct || at->allows ? CKR_OK : CKR_USER_NOT_LOGGED_IN;

	derivation(at, &no, CKR_OK);
	derivation(at, &yes, wanted);
	unwrapping(at, &no, CKR_OK);
	unwrapping(at, &yes, wanted);
}

/* C_Login's own arguments; the user is logged in. */
static void login_arguments(const struct place *at)
{
	CK_BYTE empty[1] = {0};

	expect_code(at, "an unknown user", at->f->C_Login(at->session, 7, (CK_BYTE *)FIXTURE_PIN, 4),
		CKR_USER_TYPE_INVALID);
	expect_code(at, "no PIN", at->f->C_Login(at->session, CKU_USER, NULL, 0), CKR_ARGUMENTS_BAD);
	expect_code(at, "no PIN for an operation", at->f->C_Login(at->session, CKU_CONTEXT_SPECIFIC, NULL, 0),
		CKR_ARGUMENTS_BAD);
	expect_code(at, "no PIN of an unknown user", at->f->C_Login(at->session, 7, NULL, 0), CKR_ARGUMENTS_BAD);
	expect_code(at, "an empty PIN while logged in", at->f->C_Login(at->session, CKU_USER, empty, 0),
		CKR_USER_ALREADY_LOGGED_IN);
	expect_code(at, "an empty PIN that nothing awaits", at->f->C_Login(at->session, CKU_CONTEXT_SPECIFIC, empty, 0),
		CKR_OPERATION_NOT_INITIALIZED);
}

/* An operation awaits its PIN, and gets none. */
static void empty_context_pin(const struct place *at)
{
	CK_ATTRIBUTE private[] = {FLAG(CKA_TOKEN, no), FLAG(CKA_SIGN, yes), ALWAYS, FLAG(CKA_PRIVATE, yes)};
	CK_BYTE digest[32] = {0}, signature[64], empty[1] = {0};
	CK_MECHANISM ecdsa = {CKM_ECDSA, NULL, 0};
	CK_ULONG len = sizeof signature;
	CK_OBJECT_HANDLE key;

	expect_code(at, "a key pair", pair(at, private, 4, &key), CKR_OK);
	expect_code(at, "an operation", at->f->C_SignInit(at->session, &ecdsa, key), CKR_OK);
	expect_code(at, "no PIN", at->f->C_Login(at->session, CKU_CONTEXT_SPECIFIC, NULL, 0), CKR_ARGUMENTS_BAD);
	expect_code(at, "an empty PIN", at->f->C_Login(at->session, CKU_CONTEXT_SPECIFIC, empty, 0), CKR_PIN_INCORRECT);
	expect_code(
		at, "the PIN", at->f->C_Login(at->session, CKU_CONTEXT_SPECIFIC, (CK_BYTE *)FIXTURE_PIN, 4), CKR_OK);
	expect_code(at, "a signature", at->f->C_Sign(at->session, digest, sizeof digest, signature, &len), CKR_OK);
}

/* Nobody is logged in at first. */
static void empty_pins(const struct place *at)
{
	CK_BYTE empty[1] = {0}, *pin = (CK_BYTE *)FIXTURE_PIN, *officers = (CK_BYTE *)FIXTURE_SO_PIN;

	expect_code(at, "user", at->f->C_Login(at->session, CKU_USER, empty, 0), CKR_PIN_INCORRECT);
	expect_code(at, "security officer", at->f->C_Login(at->session, CKU_SO, empty, 0), CKR_PIN_INCORRECT);
	expect_code(at, "old PIN", at->f->C_SetPIN(at->session, empty, 0, pin, 4), CKR_PIN_INCORRECT);
	expect_code(at, "new PIN", at->f->C_SetPIN(at->session, pin, 4, empty, 0), CKR_PIN_LEN_RANGE);
	expect_code(at, "new PIN, old one wrong", at->f->C_SetPIN(at->session, empty, 0, empty, 0), CKR_PIN_LEN_RANGE);
	expect_code(at, "no old PIN", at->f->C_SetPIN(at->session, NULL, 0, pin, 4), CKR_ARGUMENTS_BAD);
	expect_code(at, "no new PIN", at->f->C_SetPIN(at->session, pin, 4, NULL, 0), CKR_ARGUMENTS_BAD);
	expect_code(at, "nobody's new PIN", at->f->C_InitPIN(at->session, empty, 0), CKR_USER_NOT_LOGGED_IN);
	expect_code(at, "no session", at->f->C_InitPIN(9999, NULL, 0), CKR_SESSION_HANDLE_INVALID);
	expect_code(at, "the security officer", at->f->C_Login(at->session, CKU_SO, officers, 8), CKR_OK);
	expect_code(at, "the user's new PIN", at->f->C_InitPIN(at->session, empty, 0), CKR_PIN_LEN_RANGE);
	expect_code(at, "no PIN for the user", at->f->C_InitPIN(at->session, NULL, 0), CKR_ARGUMENTS_BAD);
}

static void open_place(struct place *at, CK_SLOT_ID slot, bool login)
{
	cr_assert_eq(at->f->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &at->session), CKR_OK);
	if (login)
		cr_assert_eq(at->f->C_Login(at->session, CKU_USER, (CK_BYTE *)FIXTURE_PIN, 4), CKR_OK);
}

static void everywhere_with(const struct login_policy *rules, void (*body)(const struct place *at), bool login)
{
	struct token_fixture token;
	struct mock mock;
	struct worker_fixture workers[2];
	CK_SLOT_ID slot;

	token_fixture_new(&token);
	mock_new(&mock);
	struct place direct = {.f = softhsm_functions(&slot), .who = "SoftHSM", .direct = true};
	open_place(&direct, slot, login);
	body(&direct);
	direct.f->C_Finalize(NULL);
	for (int i = 0; i < 2; i++) {
		const struct client client = {.worker = &workers[i]};
		struct place place = {.f = remote_functions(&client),
			.who = i == 0 ? "worker on SoftHSM" : "worker on the mock",
			.clean = i == 1,
			.allows = rules->aa_oneshot != 0};
		const struct worker_options options = {.mock = i == 0 ? NULL : &mock, .login = *rules};
		worker_fixture_start(&token, &options, &workers[i]);
		open_place(&place, 0, login);
		body(&place);
	}
}

static void everywhere(void (*body)(const struct place *at), bool login)
{
	everywhere_with(&(struct login_policy){0}, body, login);
}

TestSuite(always_object, .timeout = 60);

Test(always_object, A19_only_a_private_key_of_private_kind_asks_for_its_pin_and_for_good)
{
	everywhere(templates, true);
}

Test(always_object, A20_an_unknown_user_type_and_a_missing_pin_are_refused)
{
	everywhere(login_arguments, true);
}

Test(always_object, A20_an_empty_or_missing_pin_gets_no_operation_going)
{
	everywhere(empty_context_pin, true);
}

Test(always_object, A20_an_empty_pin_is_wrong_and_no_new_one)
{
	everywhere(empty_pins, false);
}

Test(always_object, A18_a_key_that_asks_for_its_pin_neither_derives_nor_unwraps)
{
	everywhere(uses_without_a_step, true);
}

Test(always_object, A18_where_the_rules_allow_it_the_module_decides_about_deriving_and_unwrapping)
{
	everywhere_with(&(struct login_policy){.aa_oneshot = 1}, uses_without_a_step, true);
}
