#include "server/worker/resources/curve.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

static const struct curve curves[] = {
#define CURVE(name, type, generate, openssl, ssh, bits, params) \
	{name, type, generate, openssl, ssh, bits, {(const unsigned char *)(params), sizeof(params) - 1}},
#include "server/worker/resources/curve.def"
};

const struct curve *curve_of_params(struct bytes params)
{
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (curves[i].params.len == params.len && params.len > 0 &&
			memcmp(curves[i].params.data, params.data, params.len) == 0)
			return &curves[i];
	return NULL;
}

const struct curve *curve_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (strcmp(curves[i].name, name) == 0)
			return &curves[i];
	return NULL;
}

const struct curve *curve_by_openssl(const char *name)
{
	for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++)
		if (strcasecmp(curves[i].openssl, name) == 0)
			return &curves[i];
	return NULL;
}
