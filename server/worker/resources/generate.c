#include <openssl/rand.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/names.h"
#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key.h"
#include "server/worker/resources/resource.h"

enum { ID_LEN = 16, TEMPLATE_MAX = 16, ID_MAX = 255 };

/*
 * KIND(name, key type, bits: default, least, most, step; 0: the kind has no sizes, mechanism; 0: of the curve, pair)
 */
#define KINDS(KIND) \
	KIND("EC", CKK_EC, 0, 0, 0, 0, 0, true) \
	KIND("Ed25519", CKK_EC_EDWARDS, 0, 0, 0, 0, 0, true) \
	KIND("RSA", CKK_RSA, 2048, 2048, 16384, 8, CKM_RSA_PKCS_KEY_PAIR_GEN, true) \
	KIND("AES", CKK_AES, 256, 128, 256, 64, CKM_AES_KEY_GEN, false) \
	KIND("HMAC", CKK_GENERIC_SECRET, 256, 8, 4096, 8, CKM_GENERIC_SECRET_KEY_GEN, false)

struct kind {
	const char *name;
	CK_KEY_TYPE type;
	CK_ULONG bits_default, bits_min, bits_max, bits_step;
	CK_MECHANISM_TYPE mechanism;
	bool pair;
};

static const struct kind kinds[] = {
#define KIND(name, type, bits, min, max, step, mechanism, pair) {name, type, bits, min, max, step, mechanism, pair},
	KINDS(KIND)
#undef KIND
};

/* A checked GenerateRequest. */
struct plan {
	const struct kind *kind;
	const struct curve *curve; /* or NULL */
	CK_ULONG bits;
	struct bytes label, id;
	CK_BBOOL extractable, always_authenticate;
};

struct template
{
	CK_ATTRIBUTE items[TEMPLATE_MAX];
	CK_ULONG count;
};

/* One key at a time, so that a request sent twice makes one key. */
static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

static void add(struct template *template, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG len)
{
	template->items[template->count++] = (CK_ATTRIBUTE){type, (void *)value, len};
}

static void add_flag(struct template *template, CK_ATTRIBUTE_TYPE type, const CK_BBOOL *flag)
{
	add(template, type, flag, sizeof *flag);
}

static const struct kind *kind_by_name(const char *name)
{
	size_t i = 0;
	while (i + 1 < sizeof kinds / sizeof kinds[0] && strcmp(kinds[i].name, name) != 0)
		i++;
	return &kinds[i];
}

static bool read_size(struct request *request, const json_t *body, struct plan *plan)
{
	const struct kind *kind = plan->kind;
	char detail[120];
	const char *curve = body_text(body, "curve");
	if (kind->type == CKK_EC || kind->type == CKK_EC_EDWARDS)
		plan->curve = curve_by_name(kind->type == CKK_EC_EDWARDS ? kind->name
					    : curve != NULL              ? curve
									 : "P-256");
	if (curve != NULL && kind->type != CKK_EC) {
		body_refuse(request, "/curve", "only a key of type EC has a curve to choose");
		return false;
	}
	plan->bits = body_number(body, "bits", kind->bits_default);
	if (kind->bits_max == 0 && body_has(body, "bits")) {
		body_refuse(request, "/bits", "the size of this type of key follows from its curve");
		return false;
	}
	if (kind->bits_max != 0 &&
		(plan->bits < kind->bits_min || plan->bits > kind->bits_max || plan->bits % kind->bits_step != 0)) {
		snprintf(detail, sizeof detail, "A key of type %s has %lu to %lu bits, a multiple of %lu.", kind->name,
			kind->bits_min, kind->bits_max, kind->bits_step);
		return answer_refuse(request, CKR_KEY_SIZE_RANGE, "/bits", detail);
	}
	return true;
}

static bool read_id(struct request *request, const json_t *body, struct plan *plan)
{
	if (!body_bytes(request, body, "id", &plan->id))
		return false;
	if (plan->id.data != NULL && (plan->id.len == 0 || plan->id.len > ID_MAX)) {
		body_refuse(request, "/id", "an id has 1 to 255 bytes");
		return false;
	}
	if (plan->id.data != NULL)
		return true;
	unsigned char *id = arena_alloc(request->arena, ID_LEN);
	if (id == NULL || RAND_bytes(id, ID_LEN) != 1) {
		reply_return(request, CKR_HOST_MEMORY, "No identifier for the key could be made.");
		return false;
	}
	plan->id = (struct bytes){id, ID_LEN};
	return true;
}

static bool plan_read(struct request *request, const json_t *body, struct plan *ret_plan)
{
	const char *label = body_text(body, "label");
	*ret_plan = (struct plan){
		.kind = kind_by_name(body_text(body, "type")),
		.label = {(const unsigned char *)label, strlen(label)},
		.extractable = body_flag(body, "extractable") ? CK_TRUE : CK_FALSE,
		.always_authenticate = body_flag(body, "always_authenticate") ? CK_TRUE : CK_FALSE,
	};
	if (ret_plan->label.len > KEY_EVENT_LABEL_MAX) {
		body_refuse(request, "/label", "a label has at most 255 bytes");
		return false;
	}
	if (ret_plan->always_authenticate && !ret_plan->kind->pair)
		return answer_refuse(request, CKR_ATTRIBUTE_TYPE_INVALID, "/always_authenticate",
			"Only private keys can ask for their PIN at every use.");
	return read_size(request, body, ret_plan) && read_id(request, body, ret_plan);
}

/* False: the reply is complete. A second key of the same name would make both unusable by that name. */
static bool check_free(struct request *request, CK_SESSION_HANDLE session, const struct plan *plan)
{
	const struct key_query by_label = {.class = CK_UNAVAILABLE_INFORMATION, .label = plan->label};
	const struct key_query by_id = {.class = CK_UNAVAILABLE_INFORMATION, .id = plan->id};
	struct key_list labels, ids;
	CK_RV rv = key_search(request, session, &by_label, &labels);
	if (rv == CKR_OK)
		rv = key_search(request, session, &by_id, &ids);
	if (rv != CKR_OK) {
		reply_return(request, rv, "It could not be seen whether the key exists already.");
		return false;
	}
	if (labels.count == 0 && ids.count == 0)
		return true;
	reply_problem(request, PROBLEM_KEY_EXISTS,
		labels.count > 0 ? "Choose another label, or delete the key that has this one."
				 : "Choose another id, or leave it out.",
		labels.count > 0 ? "/label" : "/id");
	return false;
}

static void add_names(struct template *template, const struct plan *plan)
{
	add_flag(template, CKA_TOKEN, &yes);
	add(template, CKA_LABEL, plan->label.data, plan->label.len);
	add(template, CKA_ID, plan->id.data, plan->id.len);
}

static void add_protection(struct template *template, const struct plan *plan)
{
	add_flag(template, CKA_PRIVATE, &yes);
	add_flag(template, CKA_SENSITIVE, &yes);
	add_flag(template, CKA_EXTRACTABLE, &plan->extractable);
}

/* Every usage by name, allowed or not: what a template leaves out a token may allow. */
static void add_usages(struct template *template, const struct kind *kind, bool public_half, bool private_half)
{
	bool cipher = kind->type == CKK_AES;
	if (private_half) {
		add_flag(template, CKA_SIGN, cipher ? &no : &yes);
		add_flag(template, CKA_DECRYPT, cipher ? &yes : &no);
		add_flag(template, CKA_UNWRAP, &no);
		add_flag(template, CKA_DERIVE, &no);
	}
	if (public_half) {
		add_flag(template, CKA_VERIFY, cipher ? &no : &yes);
		add_flag(template, CKA_ENCRYPT, cipher ? &yes : &no);
		add_flag(template, CKA_WRAP, &no);
	}
}

static CK_RV generate_pair(struct request *request, CK_SESSION_HANDLE session, const struct plan *plan)
{
	static const CK_BYTE exponent[] = {1, 0, 1};
	struct template public_template = {.count = 0}, private_template = {.count = 0};
	CK_OBJECT_HANDLE public_key, private_key;
	CK_MECHANISM mechanism = {plan->curve != NULL ? plan->curve->generate : plan->kind->mechanism, NULL, 0};
	add_names(&public_template, plan);
	add_flag(&public_template, CKA_PRIVATE, &no);
	add_usages(&public_template, plan->kind, true, false);
	if (plan->curve != NULL) {
		add(&public_template, CKA_EC_PARAMS, plan->curve->params.data, plan->curve->params.len);
	} else {
		add(&public_template, CKA_MODULUS_BITS, &plan->bits, sizeof plan->bits);
		add(&public_template, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent);
	}
	add_names(&private_template, plan);
	add_protection(&private_template, plan);
	add_usages(&private_template, plan->kind, false, true);
	/* Only where it is asked for: a token that knows no such attribute would refuse the template. */
	if (plan->always_authenticate)
		add_flag(&private_template, CKA_ALWAYS_AUTHENTICATE, &yes);
	union wire_value v[] = {
		{.number = session},
		{.mechanism = &mechanism},
		{.attributes = {public_template.items, public_template.count}},
		{.attributes = {private_template.items, private_template.count}},
		{.number_out = &public_key},
		{.number_out = &private_key},
	};
	return invoke(request, CALL_GenerateKeyPair, v);
}

static CK_RV generate_secret(struct request *request, CK_SESSION_HANDLE session, const struct plan *plan)
{
	struct template template = {.count = 0};
	CK_OBJECT_HANDLE key;
	CK_MECHANISM mechanism = {plan->kind->mechanism, NULL, 0};
	CK_ULONG len = plan->bits / 8;
	add_names(&template, plan);
	add_protection(&template, plan);
	add_usages(&template, plan->kind, true, true);
	add(&template, CKA_VALUE_LEN, &len, sizeof len);
	union wire_value v[] = {
		{.number = session},
		{.mechanism = &mechanism},
		{.attributes = {template.items, template.count}},
		{.number_out = &key},
	};
	return invoke(request, CALL_GenerateKey, v);
}

/* False: the reply is complete. */
static bool record(struct request *request, const struct plan *plan, CK_RV rv)
{
	char scratch[24];
	const struct event event = {
		.kind = AUDIT_OBJECT,
		.function = plan->kind->pair ? "C_GenerateKeyPair" : "C_GenerateKey",
		.rv = rv,
		.mechanism = name_text(
			NAMES_MECHANISM, plan->curve != NULL ? plan->curve->generate : plan->kind->mechanism, scratch),
		.key_label = (const char *)plan->label.data,
		.key_id = plan->id.data,
		.key_id_len = plan->id.len,
		.key_class = plan->kind->pair ? "CKO_PRIVATE_KEY" : "CKO_SECRET_KEY",
	};
	return answer_event(request, &event);
}

/* The key as the token has it now, found by the CKA_ID that nothing else has. */
static CK_RV answer_created(struct request *request, CK_SESSION_HANDLE session, const struct plan *plan)
{
	const struct key_query query = {.class = CK_UNAVAILABLE_INFORMATION, .id = plan->id};
	struct key_list list;
	struct json_writer w;
	CK_RV rv = key_search(request, session, &query, &list);
	if (rv != CKR_OK || list.count != 1)
		return rv != CKR_OK ? rv : CKR_GENERAL_ERROR;
	const char *href = key_href(request, &list.items[0], KEY_BY_LABEL);
	if (href == NULL)
		return CKR_HOST_MEMORY;
	reply_header(request, "Location", href);
	answer_begin(request, 201, "application/json", &w);
	rv = key_write(request, session, &list.items[0], KEY_BY_LABEL, &w);
	if (rv == CKR_OK)
		answer_end(request);
	return rv;
}

/* Under naming: between the look at what exists and the new key nobody else makes one of the same name. */
static CK_RV generate(struct request *request, CK_SESSION_HANDLE session, const struct plan *plan)
{
	if (!check_free(request, session, plan))
		return CKR_OK;
	CK_RV rv = plan->kind->pair ? generate_pair(request, session, plan) : generate_secret(request, session, plan);
	if (!record(request, plan, rv))
		return CKR_OK;
	if (rv == CKR_OK)
		rv = answer_created(request, session, plan);
	if (rv != CKR_OK)
		reply_return(request, rv, "The token did not generate the key.");
	return rv;
}

void resource_key_generate(struct request *request)
{
	BODY_AUTO json_t *body = NULL;
	struct plan plan;
	CK_SESSION_HANDLE session;
	if (!body_read(request, SCHEMA_GenerateRequest, &body) || !plan_read(request, body, &plan))
		return;
	CK_RV rv = session_lend(request, &session);
	if (rv != CKR_OK) {
		reply_return(request, rv, "No session with the token could be opened.");
		return;
	}
	pthread_mutex_lock(&naming);
	rv = generate(request, session, &plan);
	pthread_mutex_unlock(&naming);
	session_give_back(request, session, rv == CKR_OK);
}
