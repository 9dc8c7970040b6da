#include "server/worker/resources/key_names.h"

#include <pthread.h>
#include <string.h>

#include "server/worker/resources/body.h"
#include "server/common/escape.h"

enum { ID_MAX = 255 }; /* bytes */

static pthread_mutex_t naming = PTHREAD_MUTEX_INITIALIZER;

void key_names_lock(void)
{
	pthread_mutex_lock(&naming);
}

void key_names_unlock(void)
{
	pthread_mutex_unlock(&naming);
}

static bool is_half_of(const struct key *found, const struct key *key)
{
	return key != NULL && (found->object == key->object || found->object == key->public_object);
}

/* Whether another key than `except` matches; false in *ret_taken as well for a name that is not asked for. */
static CK_RV look(struct request *request, CK_SESSION_HANDLE session, const struct key_query *query,
	const struct key *except, bool *ret_taken)
{
	struct key_list list = {0};
	*ret_taken = false;
	if (query->label.data == NULL && query->id.data == NULL)
		return CKR_OK;
	CK_RV rv = key_search(request, session, query, &list);
	for (size_t i = 0; rv == CKR_OK && i < list.count; i++)
		*ret_taken = *ret_taken || !is_half_of(&list.items[i], except);
	return rv;
}

bool key_names_free(struct request *request, CK_SESSION_HANDLE session, struct bytes label, struct bytes id,
	const struct key *except)
{
	const struct key_query by_label = {.class = CK_UNAVAILABLE_INFORMATION, .label = label};
	const struct key_query by_id = {.class = CK_UNAVAILABLE_INFORMATION, .id = id};
	bool label_taken = false, id_taken = false;
	CK_RV rv = look(request, session, &by_label, except, &label_taken);
	if (rv == CKR_OK)
		rv = look(request, session, &by_id, except, &id_taken);
	if (rv != CKR_OK) {
		reply_return(request, rv, "It could not be seen whether the key exists already.");
		return false;
	}
	if (!label_taken && !id_taken)
		return true;
	reply_problem(request, PROBLEM_KEY_EXISTS,
		label_taken ? "Choose another label, or delete the key that has this one."
			    : "Choose another id, or leave it out.",
		label_taken ? "/label" : "/id");
	return false;
}

bool key_names_read_id(struct request *request, const char *text, struct bytes *ret_id)
{
	*ret_id = (struct bytes){NULL, 0};
	if (text == NULL)
		return true;
	if (strlen(text) <= 2 * ID_MAX && hex_bytes(request->arena, text, ret_id))
		return true;
	body_refuse(request, "/id", "1 to 255 bytes in hexadecimal are expected here");
	return false;
}

bool key_names_read_label(struct request *request, const char *text, struct bytes *ret_label)
{
	*ret_label = (struct bytes){(const unsigned char *)text, text == NULL ? 0 : strlen(text)};
	if (ret_label->len <= KEY_EVENT_LABEL_MAX)
		return true;
	body_refuse(request, "/label", "a label has at most 255 bytes");
	return false;
}
