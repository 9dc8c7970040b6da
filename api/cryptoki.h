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

#ifndef CKA_UNIQUE_ID
#define CKA_UNIQUE_ID 0x00000004UL
/* Vendor-defined values of the CA_ functions, as client-module/include/p11gate/ca.h has them. */
#ifndef CKR_ACCESS_ID_INVALID
#define CKR_ACCESS_ID_INVALID 0x80000068UL
#define CKR_ACCESS_ID_ALREADY_EXISTS 0x80000069UL
#endif

#endif
#ifndef CKM_DES3_CMAC
#define CKM_DES3_CMAC_GENERAL 0x00000137UL
#define CKM_DES3_CMAC 0x00000138UL
#endif
#ifndef CKM_AES_XTS
#define CKM_AES_XTS 0x00001071UL
#define CKM_AES_XTS_KEY_GEN 0x00001072UL
#endif
#ifndef CKM_AES_GMAC
#define CKM_AES_GMAC 0x0000108eUL
#endif
#ifndef CKM_AES_OFB
#define CKM_AES_OFB 0x00002104UL
#define CKM_AES_CFB64 0x00002105UL
#define CKM_AES_CFB8 0x00002106UL
#define CKM_AES_CFB128 0x00002107UL
#endif

#endif
