#include "server/worker/resources/key_plan.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

#include "server/worker/resources/answer.h"
#include "server/worker/resources/body.h"
#include "server/worker/resources/key_names.h"
#include "server/worker/resources/key_state.h"
#include "server/worker/resources/key_usage.h"

enum { ID_LEN = 16 }; /* bytes of an identifier that nobody has chosen */

static const struct key_kind kinds[] = {
#define KIND(name, type, bits, min, max, step, mechanism, pair, allowed, usage) \
	{name, type, bits, min, max, step, mechanism, pair, allowed, usage},
#include "server/worker/resources/key_kind.def"
};

static const struct {
	const char *name;
	CK_ATTRIBUTE_TYPE attribute;
	enum key_half half;
} usages[KEY_USAGE_COUNT] = {
#define USAGE(constant, name, attribute, half) {name, attribute, HALF_##half},
	KEY_USAGES(USAGE)
#undef USAGE
};

static const CK_BBOOL yes = CK_TRUE, no = CK_FALSE;

const struct key_kind *key_kind_by_name(const char *name)
{
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strcmp(kinds[i].name, name) == 0)
			return &kinds[i];
	return NULL;
}

const struct key_kind *key_kind_of(CK_KEY_TYPE type, const struct curve *curve)
{
	if (type == CKK_EC_EDWARDS)
		return curve == NULL ? NULL : key_kind_by_name(curve->name);
	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (kinds[i].type == type)
			return &kinds[i];
	return NULL;
}

static bool refuse_usage(struct request *request, const struct key_plan *plan, size_t place)
{
	char pointer[32], detail[160];
	int n = snprintf(detail, sizeof detail, "a key of type %s can have these usages:", plan->kind->name);
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++)
		if ((plan->kind->usage_allowed & 1u << i) != 0)
			n += snprintf(detail + n, sizeof detail - (size_t)n, " %s", usages[i].name);
	snprintf(pointer, sizeof pointer, "/usage/%zu", place);
	body_refuse(request, pointer, detail);
	return false;
}

static bool read_usage(struct request *request, const json_t *body, struct key_plan *plan)
{
	const json_t *list = body_member(body, "usage"), *item;
	size_t place;
	if (list == NULL)
		return true;
	plan->usage = 0;
	json_array_foreach(list, place, item)
	{
		unsigned usage = 0;
		for (size_t i = 0; i < KEY_USAGE_COUNT; i++)
			if (strcmp(usages[i].name, json_string_value(item)) == 0)
				usage = 1u << i;
		if ((plan->kind->usage_allowed & usage) == 0)
			return refuse_usage(request, plan, place);
		plan->usage |= usage;
	}
	return true;
}

static bool read_id(struct request *request, const json_t *body, struct key_plan *plan)
{
	if (!key_names_read_id(request, body_text(body, "id"), &plan->id))
		return false;
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

bool key_plan_read(struct request *request, const json_t *body, const struct key_kind *kind, struct key_plan *ret_plan)
{
	*ret_plan = (struct key_plan){
		.kind = kind,
		.usage = kind->usage_default,
		.extractable = body_flag(body, "extractable") ? CK_TRUE : CK_FALSE,
		.always_authenticate = body_flag(body, "always_authenticate") ? CK_TRUE : CK_FALSE,
	};
	if (!key_names_read_label(request, body_text(body, "label"), &ret_plan->label))
		return false;
	if (ret_plan->always_authenticate && !kind->pair)
		return answer_refuse(request, CKR_ATTRIBUTE_TYPE_INVALID, "/always_authenticate",
			"Only private keys can ask for their PIN at every use.");
	return read_usage(request, body, ret_plan) && read_id(request, body, ret_plan);
}

bool key_plan_check_bits(struct request *request, const struct key_plan *plan, const char *pointer)
{
	const struct key_kind *kind = plan->kind;
	char detail[120];
	if (kind->bits_max == 0 ||
		(plan->bits >= kind->bits_min && plan->bits <= kind->bits_max && plan->bits % kind->bits_step == 0))
		return true;
	snprintf(detail, sizeof detail, "A key of type %s has %lu to %lu bits, a multiple of %lu.", kind->name,
		kind->bits_min, kind->bits_max, kind->bits_step);
	return answer_refuse(request, CKR_KEY_SIZE_RANGE, pointer, detail);
}

void key_template_add(struct key_template *template, CK_ATTRIBUTE_TYPE type, const void *value, CK_ULONG len)
{
	if (template->count < KEY_TEMPLATE_MAX)
		template->items[template->count++] = (CK_ATTRIBUTE){type, (void *)value, len};
}

static void add_flag(struct key_template *template, CK_ATTRIBUTE_TYPE type, const CK_BBOOL *flag)
{
	key_template_add(template, type, flag, sizeof *flag);
}

void key_template_plan(struct key_template *template, const struct key_plan *plan, enum key_half half)
{
	add_flag(template, CKA_TOKEN, &yes);
	key_template_add(template, CKA_LABEL, plan->label.data, plan->label.len);
	key_template_add(template, CKA_ID, plan->id.data, plan->id.len);
	add_flag(template, CKA_PRIVATE, half == HALF_PUBLIC ? &no : &yes);
	if (half != HALF_PUBLIC) {
		add_flag(template, CKA_SENSITIVE, &yes);
		add_flag(template, CKA_EXTRACTABLE, &plan->extractable);
	}
	/* Every usage by name, allowed or not: what a template leaves out a token may allow. */
	for (size_t i = 0; i < KEY_USAGE_COUNT; i++)
		if ((usages[i].half & half) != 0)
			add_flag(template, usages[i].attribute, (plan->usage & 1u << i) != 0 ? &yes : &no);
	/* Only where it is asked for: a token that knows no such attribute would refuse the template. */
	if (half == HALF_PRIVATE && plan->always_authenticate)
		add_flag(template, CKA_ALWAYS_AUTHENTICATE, &yes);
}

bool key_plan_record(
	struct request *request, const struct key_plan *plan, const char *function, const char *mechanism, CK_RV rv)
{
	const struct event event = {
		.kind = AUDIT_OBJECT,
		.function = function,
		.rv = rv,
		.mechanism = mechanism,
		.key_label = (const char *)plan->label.data,
		.key_id = plan->id.data,
		.key_id_len = plan->id.len,
		.key_class = plan->kind->pair ? "CKO_PRIVATE_KEY" : "CKO_SECRET_KEY",
	};
	return answer_event(request, &event);
}

CK_RV key_plan_answer(struct request *request, CK_SESSION_HANDLE session, const struct key_plan *plan)
{
	const struct key_query query = {.class = CK_UNAVAILABLE_INFORMATION, .id = plan->id};
	struct key_list list;
	CK_RV rv = key_search(request, session, &query, &list);
	if (rv != CKR_OK || list.count != 1)
		return rv != CKR_OK ? rv : CKR_GENERAL_ERROR;
	const char *href = key_href(request, &list.items[0], KEY_BY_LABEL);
	if (href == NULL)
		return CKR_HOST_MEMORY;
	reply_header(request, "Location", href);
	return key_answer(request, session, 201, &list.items[0], KEY_BY_LABEL);
}
