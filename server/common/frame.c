#include "server/common/frame.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "server/common/clock.h"

/* What every datagram begins with; both ends are the same build on the same host. */
struct chunk_header {
	uint32_t type;
	uint32_t total; /* payload bytes of the whole frame */
	uint32_t offset; /* where this datagram's payload belongs */
};

static enum status send_failure(void)
{
	switch (errno) {
	case EPIPE:
	case ECONNRESET:
	case ENOTCONN: return STATUS_CLOSED;
	case EAGAIN: return STATUS_TIMEOUT;
	case ENOMEM:
	case ENOBUFS: return STATUS_NO_MEMORY;
	default: return STATUS_IO;
	}
}

static enum status send_chunk(int fd, const struct chunk_header *header, const void *data, size_t len)
{
	struct iovec parts[2] = {
		{.iov_base = (void *)(uintptr_t)header, .iov_len = sizeof *header},
		{.iov_base = (void *)(uintptr_t)data, .iov_len = len},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = len > 0 ? 2 : 1};
	ssize_t sent;

	do {
		sent = sendmsg(fd, &message, MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return send_failure();
	return (size_t)sent == sizeof *header + len ? STATUS_OK : STATUS_IO;
}

enum status frame_send(int fd, enum frame_type type, const void *payload, size_t len)
{
	if (len > FRAME_PAYLOAD_MAX)
		return STATUS_TOO_LARGE;
	const unsigned char *data = payload;
	size_t offset = 0;
	do {
		size_t part = len - offset < FRAME_CHUNK ? len - offset : FRAME_CHUNK;
		struct chunk_header header = {(uint32_t)type, (uint32_t)len, (uint32_t)offset};
		enum status status = send_chunk(fd, &header, part > 0 ? data + offset : NULL, part);
		if (status != STATUS_OK)
			return status;
		offset += part;
	} while (offset < len);
	return STATUS_OK;
}

/* Waits until something can be read. `deadline_ms` < 0: recvmsg itself blocks, which saves a system call. */
static enum status wait_readable(int fd, int64_t deadline_ms)
{
	if (deadline_ms < 0)
		return STATUS_OK;
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	for (;;) {
		int64_t left = deadline_ms - clock_ms();
		left = left < 0 ? 0 : left;
		int ready = poll(&poll_fd, 1, left > INT_MAX ? INT_MAX : (int)left);
		if (ready > 0)
			return STATUS_OK;
		if (ready == 0 && clock_ms() >= deadline_ms)
			return STATUS_TIMEOUT;
		if (ready < 0 && errno != EINTR)
			return STATUS_IO;
	}
}

static enum status receive(int fd, struct iovec *parts, size_t count, int flags, size_t *ret_len)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
	ssize_t got;

	do {
		got = recvmsg(fd, &message, flags);
	} while (got < 0 && errno == EINTR);
	if (got == 0 || (got < 0 && errno == ECONNRESET))
		return STATUS_CLOSED;
	if (got < 0)
		return errno == EAGAIN ? STATUS_TIMEOUT : STATUS_IO;
	if (message.msg_flags & MSG_TRUNC && !(flags & MSG_PEEK))
		return STATUS_MALFORMED;
	*ret_len = (size_t)got;
	return STATUS_OK;
}

/* Looks at the next datagram's header without taking it, so that its payload can be read straight into place. */
static enum status peek_header(int fd, int64_t deadline_ms, struct chunk_header *ret_header)
{
	struct chunk_header header = {0, 0, 0};
	struct iovec part = {&header, sizeof header};
	size_t len = 0;
	enum status status = wait_readable(fd, deadline_ms);
	if (status == STATUS_OK)
		status = receive(fd, &part, 1, MSG_PEEK, &len);
	if (status != STATUS_OK)
		return status;
	if (len != sizeof header || header.total > FRAME_PAYLOAD_MAX)
		return STATUS_MALFORMED;
	*ret_header = header;
	return STATUS_OK;
}

static enum status receive_chunk(int fd, const struct chunk_header *header, struct buffer *payload)
{
	size_t want = header->total - header->offset;
	want = want < FRAME_CHUNK ? want : FRAME_CHUNK;
	struct chunk_header again;
	struct iovec parts[2] = {{&again, sizeof again}, {NULL, want}};
	if (want > 0) {
		parts[1].iov_base = buffer_reserve(payload, want);
		if (parts[1].iov_base == NULL)
			return STATUS_NO_MEMORY;
	}
	size_t len = 0;
	enum status status = receive(fd, parts, 2, 0, &len);
	if (status != STATUS_OK)
		return status;
	if (len != sizeof again + want)
		return STATUS_MALFORMED;
	payload->len += want;
	return STATUS_OK;
}

enum status frame_receive(int fd, int timeout_ms, enum frame_type *ret_type, struct buffer *payload)
{
	int64_t deadline_ms = timeout_ms < 0 ? -1 : clock_ms() + timeout_ms;
	struct chunk_header first;

	buffer_reset(payload);
	enum status status = peek_header(fd, deadline_ms, &first);
	if (status != STATUS_OK)
		return status;
	if (first.type < FRAME_START || first.type > FRAME_HOLD_ENDED || first.offset != 0)
		return STATUS_MALFORMED;
	/* All of the frame at once: growth by chunks would copy what arrived before. */
	if (first.total > 0 && buffer_reserve(payload, first.total) == NULL)
		return STATUS_NO_MEMORY;
	struct chunk_header header = first;
	for (;;) {
		status = receive_chunk(fd, &header, payload);
		if (status != STATUS_OK)
			return status;
		if (payload->len == first.total)
			break;
		status = peek_header(fd, deadline_ms, &header);
		if (status != STATUS_OK)
			return status;
		if (header.type != first.type || header.total != first.total || header.offset != payload->len)
			return STATUS_MALFORMED;
	}
	*ret_type = (enum frame_type)first.type;
	return STATUS_OK;
}
