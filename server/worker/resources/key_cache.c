#include "server/worker/resources/key_cache.h"

#include <pthread.h>
#include <string.h>

#include "server/common/clock.h"

struct name {
	unsigned char data[KEY_CACHE_NAME_MAX];
	size_t len;
	bool given;
};

struct entry {
	struct key_cache_stamp stamp; /* until_ms 0: free */
	CK_OBJECT_CLASS wanted; /* of the query */
	struct name wanted_label, wanted_id, label, id;
	struct key key; /* without its names */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[KEY_CACHE_ENTRIES];
static unsigned next; /* the entry that is replaced next */

struct key_cache_stamp key_cache_stamp(const struct request *request)
{
	return (struct key_cache_stamp){
		.login = login_epoch(request->worker),
		.changes = module_changes(),
		.until_ms = clock_ms() + KEY_CACHE_MS,
	};
}

static bool name_is(const struct name *name, struct bytes bytes)
{
	if (bytes.data == NULL)
		return !name->given;
	return name->given && name->len == bytes.len && memcmp(name->data, bytes.data, bytes.len) == 0;
}

static void name_set(struct name *name, struct bytes bytes)
{
	name->given = bytes.data != NULL;
	name->len = bytes.len;
	if (bytes.data != NULL)
		memcpy(name->data, bytes.data, bytes.len);
}

static bool name_copy(struct arena *arena, const struct name *name, struct bytes *ret_bytes)
{
	*ret_bytes = (struct bytes){arena_copy(arena, name->data, name->len), name->len};
	return ret_bytes->data != NULL;
}

/* Under lock. */
static const struct entry *find(const struct key_query *query, const struct key_cache_stamp *now)
{
	for (size_t i = 0; i < KEY_CACHE_ENTRIES; i++) {
		const struct entry *entry = &entries[i];
		/* `now` ends KEY_CACHE_MS from now; the entry has to end later than now itself. */
		if (entry->stamp.until_ms > now->until_ms - KEY_CACHE_MS && entry->stamp.login == now->login &&
			entry->stamp.changes == now->changes && entry->wanted == query->class &&
			name_is(&entry->wanted_label, query->label) && name_is(&entry->wanted_id, query->id))
			return entry;
	}
	return NULL;
}

bool key_cache_find(struct request *request, const struct key_query *query, struct key *ret_key)
{
	const struct key_cache_stamp now = key_cache_stamp(request);
	struct key key;
	/* Whether a key asks for its PIN by policy is read anew each time (B21). */
	if (query->by_uri || forced_login_rules(request->worker))
		return false;
	pthread_mutex_lock(&lock);
	const struct entry *entry = find(query, &now);
	bool found = entry != NULL;
	if (found) {
		key = entry->key;
		found = name_copy(request->arena, &entry->label, &key.label) &&
			name_copy(request->arena, &entry->id, &key.id);
	}
	pthread_mutex_unlock(&lock);
	if (found)
		*ret_key = key;
	return found;
}

void key_cache_store(const struct key_query *query, const struct key *key, struct key_cache_stamp stamp)
{
	if (query->by_uri || query->label.len > KEY_CACHE_NAME_MAX || query->id.len > KEY_CACHE_NAME_MAX ||
		key->label.len > KEY_CACHE_NAME_MAX || key->id.len > KEY_CACHE_NAME_MAX)
		return;
	pthread_mutex_lock(&lock);
	struct entry *entry = &entries[next++ % KEY_CACHE_ENTRIES];
	entry->stamp = stamp;
	entry->wanted = query->class;
	name_set(&entry->wanted_label, query->label);
	name_set(&entry->wanted_id, query->id);
	name_set(&entry->label, key->label);
	name_set(&entry->id, key->id);
	entry->key = *key;
	pthread_mutex_unlock(&lock);
}

void key_cache_forget(CK_OBJECT_HANDLE object)
{
	pthread_mutex_lock(&lock);
	for (size_t i = 0; i < KEY_CACHE_ENTRIES; i++)
		if (entries[i].key.object == object)
			entries[i].stamp.until_ms = 0;
	pthread_mutex_unlock(&lock);
}
