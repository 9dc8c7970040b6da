/* The rows of mechanisms.def: types of keys, and what SoftHSM has. */
#include <criterion/criterion.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/codec_internal.h"
#include "tests/support/lib/scratch.h"
#include "tests/unit/api/mechanism_rows.h"

Test(mechanism, a_row_says_which_types_of_keys_the_mechanism_uses)
{
	static const struct {
		CK_MECHANISM_TYPE mechanism;
		CK_OBJECT_CLASS class;
		CK_KEY_TYPE type;
		bool fits;
	} cases[] = {
		{CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_DSA, true},
		{CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_RSA, false},
		{CKM_SHA256_RSA_PKCS_PSS, CKO_PUBLIC_KEY, CKK_RSA, true},
		{CKM_SHA256_RSA_PKCS_PSS, CKO_PUBLIC_KEY, CKK_EC, false},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES2, true},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES3, true},
		{CKM_DES3_CBC, CKO_SECRET_KEY, CKK_DES, false},
		{CKM_ECDH1_DERIVE, CKO_PRIVATE_KEY, CKK_EC_MONTGOMERY, true},
		{CKM_ECDSA, CKO_PRIVATE_KEY, CKK_EC_EDWARDS, false},
		{CKM_SHA256_HMAC, CKO_SECRET_KEY, CKK_GENERIC_SECRET, true},
		{CKM_SHA256_HMAC, CKO_SECRET_KEY, CKK_AES, true},
		{CKM_SHA256_HMAC, CKO_PRIVATE_KEY, CKK_RSA, false},
		{CKM_CMS_SIG, CKO_PRIVATE_KEY, CKK_RSA, true},
		{CKM_SHA256, CKO_PRIVATE_KEY, CKK_RSA, true},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		cr_expect_eq(mechanism_fits_key(cases[i].mechanism, cases[i].class, cases[i].type), cases[i].fits,
			"case %zu", i);
}

Test(mechanism, what_is_not_known_of_a_key_or_a_mechanism_fits)
{
	cr_expect(mechanism_fits_key(CKM_DSA_SHA1, CKO_PRIVATE_KEY, CKK_VENDOR_DEFINED + 1));
	cr_expect(mechanism_fits_key(CKM_DSA_SHA1, CKO_PRIVATE_KEY, CK_UNAVAILABLE_INFORMATION));
	cr_expect(mechanism_fits_key(CKM_VENDOR_DEFINED + 1, CKO_PRIVATE_KEY, CKK_RSA));
}

Test(mechanism, the_types_of_a_row_are_types_of_the_standard)
{
	for (size_t i = 0; i < ROWS; i++) {
		char list[128];
		CK_ULONG type;

		(void)snprintf(list, sizeof(list), "%s", rows[i].key_types);
		for (char *rest = list, *name; (name = strtok_r(rest, ", ", &rest)) != NULL;) {
			bool group = strcmp(name, "NO_KEY") == 0 || strcmp(name, "ANY_KEY") == 0 ||
				     strcmp(name, "ANY_SECRET_KEY") == 0;
			struct json_text text = {name, strlen(name)};

			cr_assert(group || name_number(NAMES_KEY_TYPE, text, &type), "%s: %s", rows[i].name, name);
			if (!group)
				cr_expect(mechanism_fits_key(rows[i].type, CKO_DATA, type), "%s", rows[i].name);
		}
	}
}

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"

static CK_FUNCTION_LIST *softhsm(const char *folder)
{
	char configuration[128], line[256];
	CK_C_GetFunctionList get;
	CK_FUNCTION_LIST *functions = NULL;
	void *library;
	FILE *file;

	(void)snprintf(configuration, sizeof(configuration), "%s/softhsm2.conf", folder);
	(void)snprintf(line, sizeof(line), "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n",
		folder);
	file = fopen(configuration, "we");
	cr_assert(file != NULL && fputs(line, file) >= 0 && fclose(file) == 0);
	cr_assert_eq(setenv("SOFTHSM2_CONF", configuration, 1), 0);
	library = dlopen(SOFTHSM, RTLD_NOW | RTLD_LOCAL);
	cr_assert_not_null(library, "%s", dlerror());
	*(void **)&get = dlsym(library, "C_GetFunctionList");
	cr_assert(get != NULL && get(&functions) == CKR_OK && functions->C_Initialize(NULL) == CKR_OK);
	return functions;
}

Test(mechanism, every_mechanism_of_softhsm_has_a_row_with_its_parameter)
{
	char folder[SCRATCH_PATH_LEN], configuration[128];
	CK_FUNCTION_LIST *functions;
	CK_MECHANISM_TYPE types[256];
	CK_SLOT_ID slots[8];
	CK_ULONG slot_count = 8, count = 256;

	cr_assert_eq(access(SOFTHSM, R_OK), 0, "SoftHSM is not installed; make deps installs it");
	scratch_directory(folder, sizeof(folder));
	functions = softhsm(folder);
	cr_assert_eq(functions->C_GetSlotList(CK_TRUE, slots, &slot_count), CKR_OK);
	cr_assert_gt(slot_count, 0);
	cr_assert_eq(functions->C_GetMechanismList(slots[0], types, &count), CKR_OK);
	cr_expect_geq(count, 70);
	for (CK_ULONG i = 0; i < count; i++) {
		const char *parameter = NULL;

		for (size_t row = 0; row < ROWS; row++) {
			if (rows[row].type == types[i])
				parameter = rows[row].parameter;
		}
		cr_assert_not_null(parameter, "0x%lx has no row", types[i]);
		cr_expect_str_neq(parameter, "UNTYPED", "0x%lx", types[i]);
	}
	cr_expect_eq(functions->C_Finalize(NULL), CKR_OK);
	(void)snprintf(configuration, sizeof(configuration), "%s/softhsm2.conf", folder);
	(void)unlink(configuration);
	(void)rmdir(folder);
}
