#include <openssl/x509v3.h>
#include <string.h>

#include "server/worker/lookup.h"
#include "server/worker/public_part.h"

/*
 * Keys of non-repudiation certificates (B18, B19): by policy they ask for their PIN at each use, although the token does not. Read anew
 * whenever it counts, so that a certificate that comes or goes is noticed at the next use (B21).
 */

enum { CERTIFICATE_MAX = 64 << 10 }; /* bytes */

/* OpenSC's attribute for what a PKCS #15 card says of the key itself. */
#define CKA_OPENSC_NON_REPUDIATION (CKA_VENDOR_DEFINED | 0x4F534300UL | 1UL)

struct looking {
	struct request *request;
	CK_SESSION_HANDLE session;
	const struct public_part *public; /* NULL: the CKA_ID tells */
	unsigned char *der; /* CERTIFICATE_MAX bytes */
};

/* X509_get_key_usage says "everything" of a certificate without the extension, so that is asked first (B19). */
static bool certificate_demands(const struct looking *looking, const unsigned char *der, size_t len)
{
	X509 *certificate = d2i_X509(NULL, &der, (long)len);
	bool demands = certificate && (X509_get_extension_flags(certificate) & EXFLAG_KUSAGE) != 0 &&
		       (X509_get_key_usage(certificate) & KU_NON_REPUDIATION) != 0 &&
		       (!looking->public || public_part_may_be_of(looking->public, certificate));

	X509_free(certificate);
	return demands;
}

static bool look_at_certificate(void *context, CK_OBJECT_HANDLE object)
{
	const struct looking *looking = context;
	size_t len;

	return !lookup_attribute(looking->request->worker, looking->session, object, CKA_VALUE, looking->der,
		       CERTIFICATE_MAX, &len) ||
	       certificate_demands(looking, looking->der, len);
}

/* Whether a certificate of the key demands it; what cannot be read, or told from the certificate's key, demands it too. */
static bool certificates_demand(struct looking *looking, CK_OBJECT_HANDLE key)
{
	struct worker *worker = looking->request->worker;
	CK_OBJECT_CLASS class = CKO_CERTIFICATE;
	unsigned char id[OBJECT_ID_MAX];
	size_t id_len = 0;
	struct public_part *public = arena_alloc(looking->request->arena, sizeof *public);
	bool hit = false;

	looking->der = arena_alloc(looking->request->arena, CERTIFICATE_MAX);
	if (!public || !looking->der)
		return true;
	if (!lookup_attribute(worker, looking->session, key, CKA_ID, id, sizeof id, &id_len) || id_len == 0) {
		if (public_part_read(worker, looking->session, key, public) != CKR_OK)
			return true;
		looking->public = public;
	}
	CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_ID, id, id_len}};
	return lookup_each(worker, looking->session, template, looking->public ? 1 : 2, look_at_certificate, looking,
		       &hit) != CKR_OK ||
	       hit;
}

/* Whether the token says so of the key itself. */
static bool key_demands(const struct looking *looking, CK_OBJECT_HANDLE key)
{
	CK_BBOOL said = CK_FALSE;
	size_t len;

	return lookup_attribute(looking->request->worker, looking->session, key, CKA_OPENSC_NON_REPUDIATION, &said,
		       sizeof said, &len) &&
	       len == sizeof said && said;
}

bool forced_login_rules(const struct worker *worker)
{
	return login_rules(worker).force_login;
}

bool forced_login_demanded(struct request *request, CK_OBJECT_HANDLE key)
{
	struct looking looking = {.request = request};

	if (!forced_login_rules(request->worker))
		return false;
	if (pool_lend(request, SESSION_TO_SEARCH, &looking.session) != CKR_OK)
		return true;
	bool demanded = key_demands(&looking, key) || certificates_demand(&looking, key);
	session_give_back(request, looking.session, true);
	return demanded;
}

bool forced_login_applies(struct request *request, CK_OBJECT_HANDLE key, const struct object_info *info)
{
	return info && info->class == CKO_PRIVATE_KEY && !info->always_authenticate &&
	       forced_login_demanded(request, key);
}

/* Writes CK_TRUE as the module would have. */
static void attribute_say_true(CK_ATTRIBUTE *attribute, const struct query *asked)
{
	static const CK_BBOOL yes = CK_TRUE;

	attribute->ulValueLen = sizeof yes;
	if (!asked->data)
		return;
	if (asked->capacity < sizeof yes) {
		attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
		return;
	}
	attribute->pValue = asked->data;
	memcpy(asked->data, &yes, sizeof yes);
}

CK_RV forced_login_show(const struct call *call, CK_RV rv)
{
	CK_ATTRIBUTE *attributes = call->values[2].attributes.items;
	CK_ULONG count = call->values[2].attributes.count;
	bool missing = false;

	for (CK_ULONG i = 0; i < count; i++) {
		if (attributes[i].type == CKA_ALWAYS_AUTHENTICATE)
			attribute_say_true(&attributes[i], &call->queries[2][i]);
		missing = missing || attributes[i].ulValueLen == CK_UNAVAILABLE_INFORMATION;
	}
	/* A token that does not know the attribute has nothing else to complain of. */
	return rv == CKR_ATTRIBUTE_TYPE_INVALID && !missing ? CKR_OK : rv;
}
