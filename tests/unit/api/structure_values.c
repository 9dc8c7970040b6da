#include "tests/unit/api/structure_values.h"

#include <string.h>

/* fill_NAME gives each member a value, the variable parts by `full`; same_NAME compares member by member. */

static CK_ULONG next_number(struct filler *f)
{
	return 0x1000000 + f->next++;
}

static void *next_bytes(struct filler *f, CK_ULONG *ret_len)
{
	unsigned char *data = NULL;

	*ret_len = f->full ? 1 + f->next % 40 : 0;
	if (f->full)
		data = memset(guarded(f->c, *ret_len), (int)(f->next & 0xff), *ret_len);
	f->next++;
	return data;
}

static void fill_array(struct filler *f, unsigned char *array, size_t size)
{
	memset(array, 'A' + (int)(f->next++ % 26), size);
}

static bool same_bytes(const void *a, CK_ULONG a_len, const void *b, CK_ULONG b_len)
{
	return (a == NULL) == (b == NULL) && a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

#define STRUCT(name, type, ...) \
	__attribute__((unused)) static void fill_##name(struct filler *f, type *s); \
	__attribute__((unused)) static bool same_##name(const type *a, const type *b);
#include "api/structs.def"

#define FILL_BOOL(m) s->m = CK_TRUE;
#define FILL_ULONG(m) s->m = next_number(f);
#define FILL_NAME(m, family) s->m = next_number(f);
#define FILL_OBJECT(m) s->m = next_number(f);
#define FILL_FLAGS(m, family) s->m = next_number(f);
#define FILL_VERSION(m) s->m = (CK_VERSION){(CK_BYTE)f->next++, (CK_BYTE)f->next++};
#define FILL_PADDED(m) \
	fill_array(f, s->m, sizeof(s->m)); \
	s->m[sizeof(s->m) - 1] = ' ';
#define FILL_FIXED(m) fill_array(f, s->m, sizeof(s->m));
#define FILL_BYTES(p, len) s->p = next_bytes(f, &s->len);
#define FILL_INSIDE(m, structure) fill_##structure(f, &s->m);
#define FILL_POINTER(m, structure) \
	s->m = f->full ? guarded(f->c, sizeof(*s->m)) : NULL; \
	if (s->m != NULL) \
		fill_##structure(f, s->m);
#define FIELD(kind, ...) FILL_##kind(__VA_ARGS__)
#define STRUCT(name, type, ...) \
	static void fill_##name(struct filler *f, type *s) \
	{ \
		__VA_ARGS__ \
	}
#include "api/structs.def"
#undef FIELD

#define SAME_BOOL(m) a->m == b->m &&
#define SAME_ULONG(m) a->m == b->m &&
#define SAME_NAME(m, family) a->m == b->m &&
#define SAME_OBJECT(m) a->m == b->m &&
#define SAME_FLAGS(m, family) a->m == b->m &&
#define SAME_VERSION(m) memcmp(&a->m, &b->m, sizeof(CK_VERSION)) == 0 &&
#define SAME_PADDED(m) memcmp(a->m, b->m, sizeof(a->m)) == 0 &&
#define SAME_FIXED(m) memcmp(a->m, b->m, sizeof(a->m)) == 0 &&
#define SAME_BYTES(p, len) same_bytes(a->p, a->len, b->p, b->len) &&
#define SAME_INSIDE(m, structure) same_##structure(&a->m, &b->m) &&
#define SAME_POINTER(m, structure) (a->m == NULL) == (b->m == NULL) && (a->m == NULL || same_##structure(a->m, b->m)) &&
#define FIELD(kind, ...) SAME_##kind(__VA_ARGS__)
#define STRUCT(name, type, ...) \
	static bool same_##name(const type *a, const type *b) \
	{ \
		return __VA_ARGS__ true; \
	}
#include "api/structs.def"
#undef FIELD

/* Fills the structure `id` in guarded memory. */
void *structure_filled(struct filler *f, enum struct_id id)
{
#define STRUCT(name, type, ...) \
	case STRUCT_##name: { \
		type *s = memset(guarded(f->c, sizeof(type)), 0, sizeof(type)); \
		fill_##name(f, s); \
		return s; \
	}
	switch (id) {
#include "api/structs.def"
	case STRUCT_COUNT: break;
	}
	return NULL;
}

bool structure_same(enum struct_id id, const void *a, const void *b)
{
#define STRUCT(name, type, ...) \
	case STRUCT_##name: return same_##name(a, b);
	switch (id) {
#include "api/structs.def"
	case STRUCT_COUNT: break;
	}
	return false;
}

const char *const struct_names[] = {
#define STRUCT(name, type, ...) #name,
#include "api/structs.def"
};

enum struct_id struct_named(const char *name)
{
	int id = 0;

	while (id < STRUCT_COUNT && strcmp(struct_names[id], name) != 0)
		id++;
	return (enum struct_id)id;
}
