/*
 * The PKCS#11 types and constants every part of p11gate uses.
 *
 * This is the only file that names the system's header (OASIS PKCS#11 3.0 as packaged with NSS);
 * what the standard defines and that header lacks is added here.
 */
#ifndef P11GATE_API_CRYPTOKI_H
#define P11GATE_API_CRYPTOKI_H

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <pkcs11.h>
#pragma GCC diagnostic pop

#endif
