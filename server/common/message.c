#include "server/common/message.h"

#include <string.h>

#include "api/limits.h"
#include "server/common/frame.h"

bool instance_is_none(const unsigned char *instance)
{
	static const unsigned char none[INSTANCE_ID_LEN];
	return memcmp(instance, none, sizeof none) == 0;
}

const char *login_state_name(enum login_state login)
{
	static const char *const names[] = {[LOGIN_NONE] = "none", [LOGIN_USER] = "user", [LOGIN_SO] = "so"};
	return names[login];
}

const char *login_state_user(enum login_state login)
{
	return login == LOGIN_SO ? "CKU_SO" : login == LOGIN_USER ? "CKU_USER" : NULL;
}

static void pack_u32(struct buffer *out, uint32_t number)
{
	unsigned char bytes[4];
	for (unsigned i = 0; i < sizeof bytes; i++)
		bytes[i] = (unsigned char)(number >> 8 * i);
	buffer_append(out, bytes, sizeof bytes);
}

static void pack_u64(struct buffer *out, uint64_t number)
{
	pack_u32(out, (uint32_t)number);
	pack_u32(out, (uint32_t)(number >> 32));
}

static void pack_bytes(struct buffer *out, const void *data, size_t len)
{
	if (len > FRAME_PAYLOAD_MAX) {
		out->failed = true;
		return;
	}
	pack_u32(out, (uint32_t)len);
	if (len > 0)
		buffer_append(out, data, len);
}

static void pack_text(struct buffer *out, const char *text)
{
	pack_bytes(out, text, text == NULL ? 0 : strlen(text));
}

static void pack_list(struct buffer *out, const struct bytes_list *list)
{
	if (list->count > FRAME_PAYLOAD_MAX) {
		out->failed = true;
		return;
	}
	pack_u32(out, (uint32_t)list->count);
	for (size_t i = 0; i < list->count; i++)
		pack_bytes(out, list->items[i].data, list->items[i].len);
}

/* What is left of a payload; the first failure is kept and ends all further reading. */
struct unpacker {
	const unsigned char *at;
	size_t left;
	struct arena *arena;
	enum status status;
};

static const unsigned char *take(struct unpacker *in, size_t len)
{
	if (in->status == STATUS_OK && len > in->left)
		in->status = STATUS_MALFORMED;
	if (in->status != STATUS_OK)
		return NULL;
	const unsigned char *data = in->at;
	in->at += len;
	in->left -= len;
	return data;
}

static uint32_t unpack_u32(struct unpacker *in)
{
	const unsigned char *bytes = take(in, 4);
	if (bytes == NULL)
		return 0;
	return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static uint64_t unpack_u64(struct unpacker *in)
{
	uint64_t low = unpack_u32(in);
	return low | (uint64_t)unpack_u32(in) << 32;
}

static struct bytes unpack_bytes(struct unpacker *in)
{
	size_t len = unpack_u32(in);
	const unsigned char *data = take(in, len);
	return (struct bytes){data, data == NULL ? 0 : len};
}

static const char *unpack_text(struct unpacker *in)
{
	struct bytes text = unpack_bytes(in);
	if (in->status != STATUS_OK)
		return "";
	if (memchr(text.data, 0, text.len) != NULL) {
		in->status = STATUS_MALFORMED;
		return "";
	}
	const char *copy = arena_copy(in->arena, text.data, text.len);
	if (copy == NULL)
		in->status = STATUS_NO_MEMORY;
	return copy == NULL ? "" : copy;
}

static struct bytes_list unpack_list(struct unpacker *in)
{
	size_t count = unpack_u32(in);
	/* Each item has at least its length: a false count cannot ask for more memory than the payload justifies. */
	if (count > in->left / sizeof(uint32_t))
		in->status = in->status == STATUS_OK ? STATUS_MALFORMED : in->status;
	if (in->status != STATUS_OK)
		return (struct bytes_list){NULL, 0};
	struct bytes *items = arena_array(in->arena, count, sizeof *items);
	if (items == NULL) {
		in->status = STATUS_NO_MEMORY;
		return (struct bytes_list){NULL, 0};
	}
	for (size_t i = 0; i < count; i++)
		items[i] = unpack_bytes(in);
	return (struct bytes_list){items, count};
}

static void unpack_id(struct unpacker *in, unsigned char id[16])
{
	const unsigned char *bytes = take(in, 16);
	if (bytes != NULL)
		memcpy(id, bytes, 16);
}

#define PACK_U32(n) pack_u32(out, message->n);
#define PACK_U64(n) pack_u64(out, message->n);
#define PACK_TEXT(n) pack_text(out, message->n);
#define PACK_BYTES(n) pack_bytes(out, message->n.data, message->n.len);
#define PACK_ID(n) buffer_append(out, message->n, sizeof message->n);
#define PACK_LIST(n) pack_list(out, &message->n);
#define FIELD(kind, name) PACK_##kind(name)
#define MESSAGE(type, ...) \
	void type##_pack(struct buffer *out, const struct type *message) \
	{ \
		__VA_ARGS__ \
	}
#include "server/common/messages.def"

#define UNPACK_U32(n) message.n = unpack_u32(&in);
#define UNPACK_U64(n) message.n = unpack_u64(&in);
#define UNPACK_TEXT(n) message.n = unpack_text(&in);
#define UNPACK_BYTES(n) message.n = unpack_bytes(&in);
#define UNPACK_ID(n) unpack_id(&in, message.n);
#define UNPACK_LIST(n) message.n = unpack_list(&in);
#define FIELD(kind, name) UNPACK_##kind(name)
#define MESSAGE(type, ...) \
	enum status type##_unpack(const void *payload, size_t len, struct arena *arena, struct type *ret_message) \
	{ \
		struct unpacker in = {payload, len, arena, STATUS_OK}; \
		struct type message; \
		memset(&message, 0, sizeof message); \
		__VA_ARGS__ \
		if (in.status == STATUS_OK && in.left > 0) \
			in.status = STATUS_MALFORMED; \
		if (in.status == STATUS_OK) \
			*ret_message = message; \
		return in.status; \
	}
#include "server/common/messages.def"
