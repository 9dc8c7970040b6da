#include "tests/unit/worker/guarded_key.h"

#include <criterion/criterion.h>
#include <string.h>

void guarded_key_setup(void)
{
	const struct worker_options options = {.operations_max = 3, .threads = 4};
	resource_setup_logged_in(&token, &one, &options);
	make_resource_key(&one, "EC", "guarded", ",\"always_authenticate\":true");
	make_resource_key(&one, "EC", "plain", "");
}

void guarded_key_teardown(void)
{
	worker_fixture_stop(&one);
}

const char *open_operation(void)
{
	REST_AUTO struct rest rest = REST(&one, 401, .route = ROUTE_key_sign, .key = "guarded", .body = SIGN_BODY);
	return text_of("%s", text_at(rest.json, "operation/id"));
}

void expect_verified(const struct rest *rest, const char *signer)
{
	unsigned char signature[128];
	size_t len = bytes_at(rest->json, "signature", signature, sizeof signature);
	EVP_PKEY *public_key = public_key_of(&one, signer);
	cr_expect(verifies(public_key, "SHA256", false, GUARDED_DATA, sizeof GUARDED_DATA - 1, signature, len));
	EVP_PKEY_free(public_key);
}

void restart_with(const struct worker_options *options)
{
	worker_fixture_stop(&one);
	worker_fixture_start(&token, options, &one);
	REST_ONLY(&one, 200, .route = ROUTE_login, .body = PIN_BODY);
}

void restart_with_shim(const char *faults)
{
	restart_with(&(struct worker_options){.shim = faults});
}
