/* The transcript: one line per case, "function|state|argument=variant|CKR_…|outputs". */
#include "tests/conformance/parity.h"

#include <stdio.h>
#include <string.h>

#include "api/names.h"

enum { BYTES_SHOWN = 64 };

static unsigned long checksum(const CK_BYTE *data, size_t len)
{
	unsigned long sum = 5381;

	for (size_t i = 0; i < len; i++)
		sum = (sum * 33 + data[i]) & 0xffffffffUL;
	return sum;
}

void print_bytes(const char *name, const void *data, size_t len)
{
	const CK_BYTE *bytes = data;

	printf(" %s=%zu:", name, len);
	for (size_t i = 0; i < len && i < BYTES_SHOWN; i++)
		printf("%02x", bytes[i]);
	if (len > BYTES_SHOWN)
		printf("…%08lx", checksum(bytes, len));
}

static void print_attributes(const union wire_value *v)
{
	for (CK_ULONG i = 0; v->attributes.items != NULL && i < v->attributes.count; i++) {
		const CK_ATTRIBUTE *a = &v->attributes.items[i];
		char name[32];
		(void)snprintf(name, sizeof(name), "0x%lx", a->type);
		if (a->ulValueLen == CK_UNAVAILABLE_INFORMATION)
			printf(" %s=unavailable", name);
		else if (a->pValue == NULL)
			printf(" %s=length %lu", name, a->ulValueLen);
		else if (a->ulValueLen <= 512)
			print_bytes(name, a->pValue, a->ulValueLen);
	}
}

static void print_token(CK_TOKEN_INFO info)
{
	print_bytes("label", info.label, sizeof(info.label));
	print_bytes("serial", info.serialNumber, sizeof(info.serialNumber));
	printf(" flags=0x%lx sessions=%lu/%lu rw=%lu/%lu pin=%lu-%lu memory=%lu/%lu", info.flags, info.ulSessionCount,
		info.ulMaxSessionCount, info.ulRwSessionCount, info.ulMaxRwSessionCount, info.ulMinPinLen,
		info.ulMaxPinLen, info.ulTotalPublicMemory, info.ulTotalPrivateMemory);
}

static void print_output(const struct world *w, const struct call_argument *a, const union wire_value *v, CK_RV rv)
{
	bool sized = rv == CKR_OK || rv == CKR_BUFFER_TOO_SMALL;

	switch (a->kind) {
	case WIRE_BUFFER:
		if (!sized || v->buffer.len == NULL)
			return;
		if (rv == CKR_OK && v->buffer.data != NULL && !w->random)
			print_bytes(a->name, v->buffer.data, *v->buffer.len);
		else
			printf(" %s=length %lu", a->name, *v->buffer.len);
		return;
	case WIRE_LIST:
		if (sized && v->list.count != NULL)
			printf(" %s=%lu items", a->name, *v->list.count);
		return;
	case WIRE_QUERY:
		if (sized || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_ATTRIBUTE_TYPE_INVALID)
			print_attributes(v);
		return;
	default: break;
	}
	if (rv != CKR_OK)
		return;
	if (a->kind == WIRE_FOUND && v->found.count != NULL)
		printf(" %s=%lu found", a->name, *v->found.count);
	if ((a->kind == WIRE_NEW_SESSION || a->kind == WIRE_NEW_OBJECT) && v->number_out != NULL)
		printf(" %s=%s", a->name, *v->number_out != 0 ? "handle" : "zero");
	if (a->kind == WIRE_ULONG_OUT && v->number_out != NULL)
		printf(" %s=%lu", a->name, *v->number_out);
	if (a->kind == WIRE_SESSION_INFO) {
		const CK_SESSION_INFO *info = v->info;
		printf(" state=%lu flags=0x%lx error=%lu slot=%s", info->state, info->flags, info->ulDeviceError,
			info->slotID == w->slot ? "same" : "other");
	}
	if (a->kind == WIRE_TOKEN_INFO)
		print_token(*(const CK_TOKEN_INFO *)v->info);
	if (a->kind == WIRE_SLOT_INFO)
		printf(" flags=0x%lx", ((const CK_SLOT_INFO *)v->info)->flags);
	if (a->kind == WIRE_MECHANISM_INFO)
		print_bytes(a->name, v->info, sizeof(CK_MECHANISM_INFO));
	if (a->kind == WIRE_INFO)
		printf(" cryptoki=%u.%u", ((const CK_INFO *)v->info)->cryptokiVersion.major,
			((const CK_INFO *)v->info)->cryptokiVersion.minor);
}

void print_case(const struct world *w, const struct call_row *row, const char *state, const char *argument,
	const char *variant, CK_RV rv, const union wire_value *values)
{
	char scratch[24];

	printf("C_%s|%s|%s=%s|%s|", row->name, state, argument, variant, name_text(NAMES_RETURN, rv, scratch));
	for (size_t i = 0; i < row->argument_count; i++)
		print_output(w, &row->arguments[i], &values[i], rv);
	putchar('\n');
}

void print_step(const char *function, const char *what, CK_RV rv)
{
	char scratch[24];

	printf("%s|scenario|%s|%s|\n", function, what, name_text(NAMES_RETURN, rv, scratch));
}
