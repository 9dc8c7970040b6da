#include <criterion/criterion.h>

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/common/frame.h"

static void pair(int fds[2])
{
	cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

struct sending {
	int fd;
	const unsigned char *data;
	size_t len;
	enum status status;
};

static void *send_in_thread(void *context)
{
	struct sending *sending = context;
	sending->status = frame_send(sending->fd, FRAME_RESPONSE, sending->data, sending->len);
	return NULL;
}

static void round_trip(size_t len)
{
	int fds[2];
	unsigned char *data = malloc(len + 1);
	BUFFER_AUTO struct buffer payload;
	enum frame_type type = FRAME_START;

	for (size_t i = 0; i < len; i++)
		data[i] = (unsigned char)(i * 31 + i / 997);
	pair(fds);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	struct sending sending = {fds[0], data, len, STATUS_IO};
	pthread_t thread;
	cr_assert_eq(pthread_create(&thread, NULL, send_in_thread, &sending), 0);
	cr_assert_eq(frame_receive(fds[1], 5000, &type, &payload), STATUS_OK);
	pthread_join(thread, NULL);
	cr_assert_eq(sending.status, STATUS_OK);
	cr_assert_eq(type, FRAME_RESPONSE);
	cr_assert_eq(payload.len, len);
	cr_assert(len == 0 || memcmp(payload.data, data, len) == 0);
	free(data);
	close(fds[0]);
	close(fds[1]);
}

Test(frame, carries_payloads_around_every_size_where_chunks_begin)
{
	static const size_t sizes[] = {0, 1, FRAME_CHUNK - 1, FRAME_CHUNK, FRAME_CHUNK + 1, 3 * FRAME_CHUNK,
		FRAME_PAYLOAD_MAX - 1, FRAME_PAYLOAD_MAX};
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		round_trip(sizes[i]);
}

Test(frame, refuses_to_send_more_than_the_ceiling)
{
	int fds[2];
	char *data = calloc(1, FRAME_PAYLOAD_MAX + 1);
	pair(fds);
	cr_expect_eq(frame_send(fds[0], FRAME_REQUEST, data, FRAME_PAYLOAD_MAX + 1), STATUS_TOO_LARGE);
	free(data);
}

Test(frame, reports_a_peer_that_is_gone_without_a_signal)
{
	int fds[2];
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	pair(fds);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	signal(SIGPIPE, SIG_DFL);
	close(fds[0]);
	cr_expect_eq(frame_receive(fds[1], 1000, &type, &payload), STATUS_CLOSED);
	cr_expect_eq(frame_send(fds[1], FRAME_REQUEST, "x", 1), STATUS_CLOSED);
}

Test(frame, gives_up_when_the_time_has_passed)
{
	int fds[2];
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	pair(fds);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	cr_expect_eq(frame_receive(fds[1], 20, &type, &payload), STATUS_TIMEOUT);
	cr_expect_eq(frame_receive(fds[1], 0, &type, &payload), STATUS_TIMEOUT);
}

Test(frame, bounds_the_wait_for_the_whole_frame_and_not_for_each_chunk)
{
	int fds[2];
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	unsigned char chunk[12 + FRAME_CHUNK] = {FRAME_REQUEST, 0, 0, 0, 0, 0, 2, 0};
	pair(fds);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	cr_assert_eq(send(fds[0], chunk, sizeof chunk, 0), sizeof chunk);
	cr_expect_eq(frame_receive(fds[1], 50, &type, &payload), STATUS_TIMEOUT);
}

Test(frame, refuses_datagrams_that_are_not_frames)
{
	static const struct {
		unsigned char bytes[16];
		size_t len;
	} bad[] = {
		{{3}, 1}, /* shorter than a header */
		{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12}, /* no such type */
		{{99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 12}, /* no such type */
		{{3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 12}, /* announces a byte that is not there */
		{{3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 7}, 14}, /* more than announced */
		{{3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7}, 13}, /* more than announced */
		{{3, 0, 0, 0, 1, 0, 0x40, 0, 0, 0, 0, 0}, 12}, /* beyond the ceiling */
		{{3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7}, 13}, /* begins in the middle */
	};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int fds[2];
		BUFFER_AUTO struct buffer payload;
		enum frame_type type;
		pair(fds);
		buffer_init(&payload, FRAME_PAYLOAD_MAX);
		cr_assert_eq(send(fds[0], bad[i].bytes, bad[i].len, 0), (ssize_t)bad[i].len);
		cr_expect_eq(frame_receive(fds[1], 1000, &type, &payload), STATUS_MALFORMED, "row %zu", i);
		close(fds[0]);
		close(fds[1]);
	}
}

Test(frame, refuses_a_frame_whose_chunks_do_not_belong_together)
{
	int fds[2];
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	unsigned char chunk[12 + FRAME_CHUNK] = {FRAME_REQUEST, 0, 0, 0, 0, 0, 2, 0};
	pair(fds);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	cr_assert_eq(send(fds[0], chunk, sizeof chunk, 0), sizeof chunk);
	cr_assert_eq(send(fds[0], chunk, sizeof chunk, 0), sizeof chunk);
	cr_expect_eq(frame_receive(fds[1], 1000, &type, &payload), STATUS_MALFORMED);
}

Test(frame, respects_the_limit_of_the_receiver)
{
	int fds[2];
	BUFFER_AUTO struct buffer payload;
	enum frame_type type;
	pair(fds);
	buffer_init(&payload, 8);
	cr_assert_eq(frame_send(fds[0], FRAME_REQUEST, "nine bytes", 9), STATUS_OK);
	cr_expect_eq(frame_receive(fds[1], 1000, &type, &payload), STATUS_NO_MEMORY);
}
