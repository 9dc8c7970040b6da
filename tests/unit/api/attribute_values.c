#include "tests/unit/api/attribute_values.h"

#include <string.h>

const CK_ATTRIBUTE_TYPE attribute_types[ATTRIBUTE_TYPES] = {
#define ATTRIBUTE(name, ...) name,
#include "api/attributes.def"
};

CK_ULONG usual_value(const struct attribute_row *row, void *out)
{
	static const CK_MECHANISM_TYPE mechanisms[] = {CKM_ECDSA, CKM_RSA_PKCS_PSS, 0x80000001};
	CK_ULONG number = 3;

	switch (row->value) {
	case ATTRIBUTE_BOOL: *(CK_BBOOL *)out = CK_TRUE; return sizeof(CK_BBOOL);
	case ATTRIBUTE_ULONG:
	case ATTRIBUTE_NAME: memcpy(out, &number, sizeof(number)); return sizeof(number);
	case ATTRIBUTE_TEXT: memcpy(out, "Schl\xc3\xbcssel \"1\"", 15); return 15;
	case ATTRIBUTE_BYTES: memcpy(out, "\x00\xff\x80 bytes", 9); return 9;
	case ATTRIBUTE_DATE: memcpy(out, "20261122", 8); return 8;
	case ATTRIBUTE_MECHANISMS: memcpy(out, mechanisms, sizeof(mechanisms)); return sizeof(mechanisms);
	case ATTRIBUTE_TEMPLATE: break;
	}
	return 0;
}
