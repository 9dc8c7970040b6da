/*
 * The application ID that a process uses unless it sets another (requirements C2, C3).
 */
#ifndef P11GATE_CLIENT_MODULE_APPLICATION_H
#define P11GATE_CLIENT_MODULE_APPLICATION_H

#include <openssl/types.h>

#include "client-module/config.h"

/*
 * The configured ID; else 8 random bytes, 4 bytes of a hash of machine, boot and process namespace, and the process ID
 * big-endian, so that no two processes, hosts or containers share one by accident.
 */
CK_RV application_id(const struct client_config *config, OSSL_LIB_CTX *library,
	unsigned char ret_id[APPLICATION_ID_LEN]) __attribute__((warn_unused_result));

#endif
