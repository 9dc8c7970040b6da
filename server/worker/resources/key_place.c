#include "server/worker/resources/key_place.h"

#include <openssl/evp.h>
#include <string.h>

#include "api/base64url.h"
#include "api/secret.h"

/*
 * A cursor is base64url of: a tag over what it is good for and the rest, numbers (8 bytes each), label, CKA_ID. Nobody gains by making
 * one up, since it says only where to go on in a list that the caller can see; the tag tells those who mistake one.
 */
enum { TAG_LEN = 8, NUMBER_TYPE = 0, NUMBER_CLASS, NUMBER_ALIKE, NUMBER_LABEL_LEN, NUMBERS };

static int compare_bytes(struct bytes a, struct bytes b)
{
	int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
	return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

int key_place_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = compare_bytes(x->label, y->label);
	if (order == 0)
		order = compare_bytes(x->id, y->id);
	if (order == 0)
		order = (x->type > y->type) - (x->type < y->type);
	return order != 0 ? order : (x->class > y->class) - (x->class < y->class);
}

static bool make_tag(const struct request *request, const char *filter, const unsigned char *rest, size_t len,
	unsigned char ret_tag[TAG_LEN])
{
	const char *const scope[] = {worker_settings(request->worker)->application, worker_slot_name(request->worker),
		request->message->identity, filter};
	unsigned char sha256[32];
	EVP_MD_CTX *hash = EVP_MD_CTX_new();
	bool done = hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1;
	/* With their NULs, so that no part runs into the next. */
	for (size_t i = 0; done && i < sizeof scope / sizeof scope[0]; i++)
		done = EVP_DigestUpdate(hash, scope[i], strlen(scope[i]) + 1) == 1;
	done = done && EVP_DigestUpdate(hash, rest, len) == 1 && EVP_DigestFinal_ex(hash, sha256, NULL) == 1;
	EVP_MD_CTX_free(hash);
	if (done)
		memcpy(ret_tag, sha256, TAG_LEN);
	return done;
}

const char *key_place_cursor(struct request *request, const struct key_list *list, size_t last, const char *filter)
{
	const struct key *key = &list->items[last];
	uint64_t numbers[NUMBERS] = {
		[NUMBER_TYPE] = key->type, [NUMBER_CLASS] = key->class, [NUMBER_LABEL_LEN] = key->label.len};
	size_t len = sizeof numbers + key->label.len + key->id.len;
	unsigned char *packed = arena_alloc(request->arena, TAG_LEN + len);
	char *text = arena_alloc(request->arena, base64url_encoded_len(TAG_LEN + len) + 1);
	if (packed == NULL || text == NULL)
		return NULL;
	for (size_t i = last + 1; i-- > 0 && key_place_compare(&list->items[i], key) == 0;)
		numbers[NUMBER_ALIKE]++;
	unsigned char *at = (unsigned char *)mempcpy(packed + TAG_LEN, numbers, sizeof numbers);
	at = (unsigned char *)mempcpy(at, key->label.data, key->label.len);
	memcpy(at, key->id.data, key->id.len);
	if (!make_tag(request, filter, packed + TAG_LEN, len, packed))
		return NULL;
	base64url_encode(text, packed, TAG_LEN + len);
	return text;
}

bool key_place_read(struct request *request, const char *cursor, const char *filter, struct key_place *ret_place)
{
	size_t len = strlen(cursor);
	uint64_t numbers[NUMBERS];
	unsigned char tag[TAG_LEN], *packed = arena_alloc(request->arena, base64url_decoded_max(len) + 1);
	if (packed == NULL || !base64url_decode(packed, &len, cursor, len) || len < TAG_LEN + sizeof numbers)
		return false;
	if (!make_tag(request, filter, packed + TAG_LEN, len - TAG_LEN, tag) || !secret_equal(tag, packed, TAG_LEN))
		return false;
	const unsigned char *rest = packed + TAG_LEN + sizeof numbers;
	len -= TAG_LEN + sizeof numbers;
	memcpy(numbers, packed + TAG_LEN, sizeof numbers);
	if (numbers[NUMBER_LABEL_LEN] > len)
		return false;
	size_t label_len = (size_t)numbers[NUMBER_LABEL_LEN];
	*ret_place = (struct key_place){
		.key = {.label = {rest, label_len},
			.id = {rest + label_len, len - label_len},
			.type = numbers[NUMBER_TYPE],
			.class = numbers[NUMBER_CLASS]},
		.alike = numbers[NUMBER_ALIKE],
	};
	return true;
}

size_t key_place_find(const struct key_list *list, const struct key_place *place)
{
	size_t i = 0;
	while (i < list->count && key_place_compare(&list->items[i], &place->key) < 0)
		i++;
	for (uint64_t alike = place->alike; i < list->count && alike > 0; i++, alike--)
		if (key_place_compare(&list->items[i], &place->key) != 0)
			break;
	return i;
}
