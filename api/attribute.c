#include "codec.h"

enum attribute_index {
#define ATTRIBUTE(name, ...) INDEX_##name,
#include "attributes.def"
};

enum { PUBLIC = 0, SECRET = 1 };

static const struct attribute_row rows[] = {
#define ATTRIBUTE(name, value, names, secrecy) {name, #name, ATTRIBUTE_##value, NAMES_##names, secrecy},
#include "attributes.def"
};

const struct attribute_row *attribute_row(CK_ATTRIBUTE_TYPE type)
{
	switch (type) {
#define ATTRIBUTE(name, ...) case name: return &rows[INDEX_##name];
#include "attributes.def"
	}
	return NULL;
}
