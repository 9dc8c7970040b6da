/*
 * The decrypted bytes of a connection, between GnuTLS and libmicrohttpd.
 *
 * libmicrohttpd never sees what a client wrote: the head is judged here (gate.c) and replaced by a fixed one, and the
 * body is read here. So its parser, which accepts bare CRs, folded lines, repeated lengths and more, has nothing to disagree about.
 */
#include "server/http/internal.h"

#include <poll.h>
#include <string.h>

#include "api/secret.h"

enum {
	INPUT_FIRST_READ = 2048, /* most requests fit, and an idle connection keeps no more */
	DRAIN_CHUNK = 4096,
};

static bool is_head_method(const struct gate_head *head)
{
	return head->method.len == 4 && memcmp(head->method.data, "HEAD", 4) == 0;
}

static bool body_is_here(const struct connection *connection)
{
	return connection->input_used - connection->head.len == connection->head.content_length;
}

/* The head has been judged: how much of the input is this request's. */
static void begin(struct connection *connection)
{
	struct gate_head *head = &connection->head;
	if (connection->verdict == GATE_REFUSED) {
		connection->input_used = connection->input.len;
		counter_add(connection->listener, COUNTER_GATE_REFUSED);
		return;
	}
	size_t behind = connection->input.len - head->len;
	connection->input_used = head->len + (head->content_length < behind ? (size_t)head->content_length : behind);
}

/*
 * Bytes of the next request may wait in memory, where no poll sees them: here, in GnuTLS, or there later because the
 * body that is still to be read brings them with it.
 */
static bool more_may_wait(struct connection *connection)
{
	if (connection->verdict == GATE_REFUSED)
		return false;
	return connection->input.len > connection->input_used || !body_is_here(connection) ||
	       intercept_record_check_pending(connection->session) > 0;
}

/*
 * The head that libmicrohttpd gets. It looks for further bytes in memory only if all that it had room for came, so then
 * the stand-in is drawn out to that length. The answer to HEAD has no body, which it has to know.
 */
static ssize_t give_stand_in(struct connection *connection, char *data, size_t size)
{
	static const char fields[] = " / HTTP/1.1\r\nHost: p11gate\r\nX: ", end[] = "\r\n\r\n";
	const char *method = is_head_method(&connection->head) ? "HEAD" : "GET";
	size_t method_len = strlen(method), least = method_len + sizeof fields - 1 + sizeof end - 1;
	if (size < least)
		return GNUTLS_E_INTERNAL_ERROR;
	size_t filler = more_may_wait(connection) ? size - least : 0;
	memcpy(data, method, method_len);
	data += method_len;
	memcpy(data, fields, sizeof fields - 1);
	data += sizeof fields - 1;
	memset(data, '-', filler);
	memcpy(data + filler, end, sizeof end - 1);
	return (ssize_t)(least + filler);
}

/* Reads once more into the input; as gnutls_record_recv. */
static ssize_t receive_more(struct connection *connection)
{
	struct buffer *input = &connection->input;
	size_t room = input->len < INPUT_FIRST_READ ? INPUT_FIRST_READ - input->len : GATE_HEAD_MAX - input->len;
	unsigned char *at = buffer_reserve(input, room);
	if (at == NULL)
		return GNUTLS_E_MEMORY_ERROR;
	ssize_t got = intercept_record_recv(connection->session, at, room);
	if (got > 0)
		input->len += (size_t)got;
	return got;
}

ssize_t input_receive(struct connection *connection, void *data, size_t size)
{
	if (connection->verdict != GATE_MORE)
		return GNUTLS_E_AGAIN;
	for (;;) {
		if (connection->input.len > 0)
			connection->verdict = gate_head(
				(const char *)connection->input.data, connection->input.len, &connection->head);
		if (connection->verdict != GATE_MORE)
			break;
		if (connection->input.len > 0)
			connection_reading(connection);
		ssize_t got = receive_more(connection);
		if (got <= 0)
			return got;
	}
	begin(connection);
	return give_stand_in(connection, data, size);
}

bool input_pending(struct connection *connection)
{
	return connection->verdict == GATE_MORE
		       ? connection->input.len > 0 || intercept_record_check_pending(connection->session) > 0
		       : more_may_wait(connection);
}

/* Waits for the socket: STATUS_TIMEOUT at the end of the phase's time. */
static enum status await(struct connection *connection, short events)
{
	struct pollfd wait = {.fd = connection->fd, .events = events};
	int ready = poll(&wait, 1, limits_left_ms(connection));
	return ready > 0 ? STATUS_OK : ready == 0 ? STATUS_TIMEOUT : STATUS_CLOSED;
}

/* Exactly `len` bytes to `at`. */
static enum status receive_exactly(struct connection *connection, unsigned char *at, size_t len)
{
	while (len > 0) {
		ssize_t got = intercept_record_recv(connection->session, at, len);
		if (got > 0) {
			at += got;
			len -= (size_t)got;
			continue;
		}
		if (got != GNUTLS_E_AGAIN && got != GNUTLS_E_INTERRUPTED)
			return STATUS_CLOSED;
		enum status status = await(connection, POLLIN);
		if (status != STATUS_OK)
			return status;
	}
	return STATUS_OK;
}

static enum status send_continue(struct connection *connection)
{
	static const char interim[] = "HTTP/1.1 100 Continue\r\n\r\n";
	for (;;) {
		ssize_t sent = gnutls_record_send(connection->session, interim, sizeof interim - 1);
		if (sent > 0)
			return STATUS_OK;
		if (sent != GNUTLS_E_AGAIN && sent != GNUTLS_E_INTERRUPTED)
			return STATUS_CLOSED;
		enum status status = await(connection, POLLOUT);
		if (status != STATUS_OK)
			return status;
	}
}

/* Reads a body that nobody wants, so that the client gets to reading the answer. */
static enum status drain(struct connection *connection, uint64_t left)
{
	unsigned char chunk[DRAIN_CHUNK];
	enum status status = STATUS_OK;
	while (left > 0 && status == STATUS_OK) {
		size_t len = left < sizeof chunk ? (size_t)left : sizeof chunk;
		status = receive_exactly(connection, chunk, len);
		left -= len;
	}
	secret_wipe(chunk, sizeof chunk);
	return status == STATUS_OK ? STATUS_TOO_LARGE : status;
}

enum status input_body(struct connection *connection, size_t max, struct bytes *ret_body)
{
	const struct gate_head *head = &connection->head;
	const unsigned char *here = connection->input.data + head->len;
	size_t here_len = connection->input_used - head->len;
	if (body_is_here(connection) && here_len <= max) {
		*ret_body = (struct bytes){here, here_len};
		return STATUS_OK;
	}
	connection_reading(connection);
	uint64_t missing = head->content_length - here_len;
	if (head->content_length > max)
		return head->expects_continue || missing > BODY_DRAIN_MAX ? STATUS_TOO_LARGE
									  : drain(connection, missing);
	enum status status = head->expects_continue ? send_continue(connection) : STATUS_OK;
	if (status != STATUS_OK)
		return status;
	buffer_append(&connection->body, here, here_len);
	unsigned char *at = buffer_reserve(&connection->body, (size_t)missing);
	if (at == NULL)
		return STATUS_NO_MEMORY;
	status = receive_exactly(connection, at, (size_t)missing);
	connection->body.len += (size_t)missing;
	if (status == STATUS_OK)
		*ret_body = (struct bytes){connection->body.data, connection->body.len};
	return status;
}

void input_next(struct connection *connection)
{
	struct buffer *input = &connection->input;
	size_t left = input->len - connection->input_used;
	if (left == 0) {
		buffer_done(input);
	} else {
		memmove(input->data, input->data + connection->input_used, left);
		secret_wipe(input->data + left, input->len - left);
		input->len = left;
	}
	connection->input_used = 0;
	buffer_done(&connection->body);
	connection->verdict = GATE_MORE;
	connection->head = (struct gate_head){0};
}
