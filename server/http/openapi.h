/*
 * The OpenAPI document that is built into the gateway (api/openapi.json).
 */
#ifndef P11GATE_HTTP_OPENAPI_H
#define P11GATE_HTTP_OPENAPI_H

#include <stddef.h>

extern const unsigned char openapi_json[];
extern const size_t openapi_json_len; /* bytes */

#endif
