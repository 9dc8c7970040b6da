/*
 * Application IDs: the functions that p11gate-client.so exports beside Cryptoki.
 *
 * The types are Cryptoki's: a program whose PKCS#11 header is not called pkcs11.h includes it before this one. The functions are
 * found like C_GetFunctionList, by linking with the module or with dlsym; they are in no function list.
 *
 * A slot's login belongs to an application: to the identity in the client's certificate (or the share group that the gateway's
 * configuration puts it in), an application ID and the slot. Every session is opened under an application ID and keeps it.
 * Sessions of the same application share one login, in whatever process and on whatever host they were opened; sessions of
 * different applications share nothing. When the last session of an application closes, everywhere, its login ends, unless the
 * application is held open (CA_OpenApplicationID).
 *
 * An ID is no secret and proves nothing: identities that share no group cannot reach each other's applications, whatever IDs they
 * use. Programs of one identity can; those that must not meet use the default, or CA_RandomizeApplicationID.
 *
 * Without a word from the program, its ID is that of the client file ([Misc] AppId, or AppIdMajor and AppIdMinor), else one that
 * C_Initialize makes and no other process has. A child that was forked is not initialised; its own C_Initialize makes a new ID
 * for it, unless the ID was set with CA_SetApplicationID or CA_SetApplicationIDV2, which holds for the child too.
 *
 * An ID has 16 bytes. The functions without V2 take its first 8 as two numbers, of which the lowest 32 bits count: bytes 0 to 3
 * are the high one, 4 to 7 the low one, most significant byte first, and 8 to 15 are 0. A gateway may be configured to refuse
 * IDs whose last 8 bytes are 0, with CKR_ACCESS_ID_INVALID from the call that uses one.
 *
 * All functions may be called by any number of threads at the same time, whatever C_Initialize was told. Functions that ask the
 * gateway also return what every Cryptoki function does when that fails: CKR_DEVICE_ERROR (it cannot be reached, or does not
 * allow this; nothing was done), CKR_GENERAL_ERROR (what was done is not known), CKR_FUNCTION_FAILED (it is overloaded; try
 * again) and CKR_HOST_MEMORY.
 */
#ifndef P11GATE_CA_H
#define P11GATE_CA_H

#ifndef CKR_OK
#include <pkcs11.h>
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* A function got an ID that names no application which is held open or has sessions, or that the gateway does not accept. */
#ifndef CKR_ACCESS_ID_INVALID
#define CKR_ACCESS_ID_INVALID 0x80000068UL
#endif
/* The application is held open already. */
#ifndef CKR_ACCESS_ID_ALREADY_EXISTS
#define CKR_ACCESS_ID_ALREADY_EXISTS 0x80000069UL
#endif

typedef struct {
	CK_BYTE id[16];
} CK_APPLICATION_ID;

/*
 * Sets the ID under which this process opens sessions from now on. Sessions that are open keep theirs. May be called before
 * C_Initialize; stays in force until it is set again, through C_Finalize and C_Initialize and in forked children.
 *
 * CA_SetApplicationID always returns CKR_OK. CA_SetApplicationIDV2: CKR_ARGUMENTS_BAD for a null pointer, else CKR_OK.
 */
CK_RV CA_SetApplicationID(CK_ULONG ulHigh, CK_ULONG ulLow);
CK_RV CA_SetApplicationIDV2(CK_APPLICATION_ID *pApplicationID);

/*
 * As CA_SetApplicationIDV2 with 16 random bytes, which no other process has: a forked child does not inherit them. CKR_OK;
 * CKR_FUNCTION_FAILED if the system has no random bytes, and nothing has changed then.
 */
CK_RV CA_RandomizeApplicationID(void);

/*
 * Gives the ID under which C_OpenSession would open a session now.
 *
 * CKR_OK; CKR_ARGUMENTS_BAD for a null pointer; CKR_CRYPTOKI_NOT_INITIALIZED before C_Initialize, unless an ID was set.
 */
CK_RV CA_GetApplicationID(CK_APPLICATION_ID *pApplicationID);

/*
 * Holds the application of this ID open on the slot: its login outlives its sessions and this process. A program can so log in
 * for others, close its session and end. The hold ends with CA_CloseApplicationID, when the gateway's limit of time has
 * passed (a day by default), and when the gateway ends. The process's own ID does not change, and no session is opened.
 *
 * CKR_OK; CKR_ACCESS_ID_ALREADY_EXISTS if it is held already, by whomever of the identity; CKR_ACCESS_ID_INVALID if the gateway
 * does not accept such an ID; CKR_HOST_MEMORY also when the identity holds as many as it may; CKR_SLOT_ID_INVALID;
 * CKR_TOKEN_NOT_PRESENT; CKR_ARGUMENTS_BAD for a null pointer; CKR_CRYPTOKI_NOT_INITIALIZED.
 */
CK_RV CA_OpenApplicationID(CK_SLOT_ID slotID, CK_ULONG ulHigh, CK_ULONG ulLow);
CK_RV CA_OpenApplicationIDV2(CK_SLOT_ID slotID, CK_APPLICATION_ID *pApplicationID);

/*
 * Ends the application of this ID on the slot: it is no longer held open, its login ends, and all its sessions are closed in
 * all processes, which get CKR_SESSION_HANDLE_INVALID (a call under way also CKR_SESSION_CLOSED). Whoever opened or holds the
 * application, any process of the identity may close it, under whatever ID it runs itself.
 *
 * CKR_OK; CKR_ACCESS_ID_INVALID if the application is neither held open nor has sessions; otherwise as CA_OpenApplicationID.
 */
CK_RV CA_CloseApplicationID(CK_SLOT_ID slotID, CK_ULONG ulHigh, CK_ULONG ulLow);
CK_RV CA_CloseApplicationIDV2(CK_SLOT_ID slotID, CK_APPLICATION_ID *pApplicationID);

/*
 * C_OpenSession under the given ID instead of the process's, which does not change. `pApplication` and `Notify` are accepted
 * and not used. C_CloseSession, C_CloseAllSessions and C_Finalize close the session as any other.
 *
 * What C_OpenSession returns; CKR_ACCESS_ID_INVALID if the gateway does not accept such an ID; CKR_ARGUMENTS_BAD also for a null
 * pointer to the ID.
 */
CK_RV CA_OpenSessionWithAppID(CK_SLOT_ID slotID, CK_FLAGS flags, CK_ULONG ulHigh, CK_ULONG ulLow,
	CK_VOID_PTR pApplication, CK_NOTIFY Notify, CK_SESSION_HANDLE *phSession);
CK_RV CA_OpenSessionWithAppIDV2(CK_SLOT_ID slotID, CK_FLAGS flags, CK_APPLICATION_ID *pApplicationID,
	CK_VOID_PTR pApplication, CK_NOTIFY Notify, CK_SESSION_HANDLE *phSession);

/* Who is logged in to the application of a session. */
#define CA_AUTH_PUBLIC 0UL /* nobody: the session is in a public state */
#define CA_AUTH_USER 1UL /* the user: CKS_RO_USER_FUNCTIONS, CKS_RW_USER_FUNCTIONS */
#define CA_AUTH_SO 2UL /* the security officer: CKS_RW_SO_FUNCTIONS */

/*
 * Gives the first 8 bytes of a session's ID as two numbers, the slot's ID (its "container") and one of CA_AUTH_.
 *
 * CKR_OK; CKR_SESSION_HANDLE_INVALID; CKR_ARGUMENTS_BAD if a pointer is null; CKR_CRYPTOKI_NOT_INITIALIZED. Only with CKR_OK
 * has anything been written.
 */
CK_RV CA_GetSessionInfo(CK_SESSION_HANDLE hSession, CK_ULONG *pulAidHigh, CK_ULONG *pulAidLow, CK_ULONG *pulContainer,
	CK_ULONG *pulAuthLevel);

#ifdef __cplusplus
}
#endif

#endif
