#include "tests/integration/body.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct body_case body_cases[BODY_CASES] = {
	{0, false, 0},
	{570, false, 0},
	{6000, false, 0},
	{18000, false, 0},
	{570, true, 0},
	{6000, true, 0},
	{18000, true, 0},
	{0, false, 1},
	{570, true, 3},
	{6000, false, 3},
	{18000, true, 7},
	{900000, true, 1},
};

static uint16_t port_of(const struct gateway *g)
{
	return (uint16_t)strtoul(strrchr(g->url, ':') + 1, NULL, 10);
}

struct tls_client connect_as_alice(const struct gateway *g)
{
	struct tls_client client;
	const struct tls_client_files files = {.ca = g->ca, .certificate = g->certificate, .key = g->key};

	cr_assert(tls_client_open(&client, port_of(g), &files));
	return client;
}

char *padded_request(const struct gateway *g, const char *path, const char *inside, const struct body_case *c)
{
	char *text = NULL;
	size_t body = strlen(inside) + c->padding + 2;

	cr_assert_gt(
		asprintf(&text,
			"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
			"X-Client-Instance: 0123456789abcdef0123456789abcdef\r\nContent-Length: %zu\r\n\r\n{%*s%s%*s}",
			path, g->url + strlen("https://"), body, c->before ? 0 : (int)c->padding, "", inside,
			c->before ? (int)c->padding : 0, ""),
		0);
	return text;
}

void send_cut(struct tls_client *client, const char *text, const char *pin, unsigned cuts)
{
	size_t len = strlen(text), at = 0;
	size_t middle = (size_t)(strstr(text, pin) - text) + strlen(pin) / 2;

	for (unsigned i = 1; i <= cuts; i++) {
		size_t next = i == (cuts + 1) / 2 ? middle : len * i / (cuts + 1);
		if (next <= at || next >= len)
			continue;
		cr_assert(tls_client_send(client, text + at, next - at));
		at = next;
	}
	for (size_t part; at < len; at += part) {
		part = len - at < 16384 ? len - at : 16384;
		cr_assert(tls_client_send(client, text + at, part));
	}
}

long exchange(struct tls_client *client, const char *text, const char *pin, unsigned cuts)
{
	static char answer[1 << 16];

	send_cut(client, text, pin, cuts);
	cr_assert_gt(tls_client_answer(client, answer, sizeof(answer), 20000), 0);
	return strtol(answer + strlen("HTTP/1.1 "), NULL, 10);
}
