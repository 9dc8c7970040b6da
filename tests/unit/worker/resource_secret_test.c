#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/common/wipe_free.h"
#include "tests/unit/worker/resource_fixture.h"

#if WIPE_FREE_ACTIVE

RESOURCE_SUITE(resource_secret, resource_setup_logged_in);

/* How often the text stands in one mapping of the worker. */
static size_t hits_in(int memory, unsigned long begin, unsigned long end, const char *text)
{
	size_t len = end - begin, hits = 0;
	char *copy = malloc(len);
	cr_assert_not_null(copy);
	ssize_t got = pread(memory, copy, len, (off_t)begin);
	for (const char *at = copy; got > 0 && (at = memmem(at, (size_t)(copy + got - at), text, strlen(text))) != NULL;
		at++)
		hits++;
	free(copy);
	return hits;
}

/* How often the text stands in the worker's writable memory. */
static size_t hits_in_worker(const char *text)
{
	char path[64], line[512];
	size_t hits = 0, mappings = 0;
	snprintf(path, sizeof path, "/proc/%d/mem", worker.pid);
	int memory = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof path, "/proc/%d/maps", worker.pid);
	FILE *maps = fopen(path, "r");
	cr_assert(memory >= 0 && maps != NULL, "the worker's memory cannot be read");
	while (fgets(line, sizeof line, maps) != NULL) {
		unsigned long begin, end;
		char access[8];
		if (sscanf(line, "%lx-%lx %7s", &begin, &end, access) == 3 && access[0] == 'r' && access[1] == 'w') {
			hits += hits_in(memory, begin, end, text);
			mappings++;
		}
	}
	fclose(maps);
	close(memory);
	cr_assert_gt(mappings, 5);
	return hits;
}

Test(resource_secret, X6_no_pin_of_a_request_stays_in_the_worker)
{
	static const char canary[] = "canary-PIN-4711";
	make_resource_key(&worker, "EC", "guarded", ",\"always_authenticate\":true");
	make_resource_key(&worker, "EC", "plain", "");
	/* The label shows that the search would find what stayed. */
	make_resource_key(&worker, "HMAC", "canary-label-0815", "");
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "canary-label-0815",
		.body = "{\"algorithm\":\"HS256\",\"data\":\"AA\"}");
	cr_assert_gt(hits_in_worker("canary-label-0815"), 0);

	const char *body = text_of("{\"algorithm\":\"ES256\",\"data\":\"AA\",\"pin\":\"%s\"}", canary);
	REST_AUTO struct rest held = REST(&worker, 401, .route = ROUTE_key_sign, .key = "guarded",
		.body = "{\"algorithm\":\"ES256\",\"data\":\"AA\"}");
	REST_ONLY(&worker, 401, .route = ROUTE_operation_reauthenticate,
		.operation = text_at(held.json, "operation/id"), .body = text_of("{\"pin\":\"%s\"}", canary));
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "guarded", .body = body);
	REST_ONLY(&worker, 200, .route = ROUTE_key_sign, .key = "plain", .body = body);
	REST_ONLY(&worker, 409, .route = ROUTE_login, .body = text_of("{\"pin\":\"%s\"}", canary));
	REST_ONLY(&worker, 400, .route = ROUTE_login, .body = text_of("{\"pin\":\"%s\",\"more\":1}", canary));
	REST_ONLY(&worker, 400, .route = ROUTE_login, .body = text_of("{\"pin\":\"%s\"", canary));
	REST_ONLY(&worker, 204, .route = ROUTE_logout);
	REST_ONLY(&worker, 401, .route = ROUTE_login, .body = text_of("{\"pin\":\"%s\"}", canary));
	REST_ONLY(&worker, 0, .route = ROUTE_key_sign, .key = "plain", .body = body);
	REST_ONLY(&worker, 401, .route = ROUTE_key_sign, .key = "plain", .body = body, .anonymous = true);
	cr_expect_eq(hits_in_worker(canary), 0);
}

Test(resource_secret, X6_no_imported_key_value_stays_in_the_worker)
{
	static const char value[] = "canary-key-value-0815-0815-0815-";
	const char *encoded = b64(value, sizeof value - 1);
	REST_ONLY(&worker, 201, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"type\":\"HMAC\",\"value\":\"%s\"}", encoded));
	REST_ONLY(&worker, 201, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"b\",\"type\":\"HMAC\",\"jwk\":{\"kty\":\"oct\",\"k\":\"%s\"}}", encoded));
	REST_ONLY(&worker, 409, .route = ROUTE_key_import,
		.body = text_of("{\"label\":\"a\",\"type\":\"HMAC\",\"value\":\"%s\"}", encoded));
	REST_ONLY(&worker, 400, .route = ROUTE_key_import,
		.body = text_of(
			"{\"label\":\"c\",\"type\":\"HMAC\",\"value\":\"%s\",\"pem\":\"%s\"}", encoded, encoded));
	cr_expect_eq(hits_in_worker(value), 0);
	cr_expect_eq(hits_in_worker(encoded), 0);
}

#endif
