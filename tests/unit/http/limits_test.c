/* Deadlines and ceilings of connections. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/common/clock.h"
#include "server/common/log.h"
#include "tests/unit/http/fixture.h"

enum { WAIT_MS = 8000 };

static const char request[] = "GET /healthz HTTP/1.1\r\nHost: gateway\r\n\r\n";

TestSuite(limits, .timeout = 60);

/* Milliseconds until the other end closes the TCP connection; WAIT_MS if it does not. */
static int64_t closed_after(int fd)
{
	char sink[4096];
	int64_t begun = clock_ms(), end = begun + WAIT_MS;
	while (clock_ms() < end) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		if (poll(&wait, 1, (int)(end - clock_ms())) > 0 && recv(fd, sink, sizeof sink, MSG_DONTWAIT) <= 0)
			return clock_ms() - begun;
	}
	return WAIT_MS;
}

Test(limits, a_silent_connection_ends_with_the_time_for_its_handshake)
{
	struct fixture *fixture = fixture_new("  handshake_s: 1\n", "");
	struct tls_client client;
	cr_assert(tls_client_connect(&client, fixture->port));
	int64_t took = closed_after(client.fd);
	cr_expect(took >= 800 && took < 6000, "%lld ms", (long long)took);
	tls_client_close(&client);
	fixture_free(fixture);
}

Test(limits, an_idle_connection_ends_with_its_time_but_not_one_that_holds_a_lease)
{
	struct fixture *fixture = fixture_new("  idle_s: 1\n", "");
	static const char leased[] =
		"GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-Client-Instance: 0123456789abcdef0123456789abcdef\r\n\r\n";
	struct tls_client *idle = fixture_connect(fixture, "alice"), *lease = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(lease, leased)), 200);
	cr_assert_eq(answer_status(fixture_ask(idle, request)), 200);
	int64_t took = closed_after(idle->fd);
	cr_expect(took >= 800 && took < 6000, "%lld ms", (long long)took);
	cr_expect_eq(answer_status(fixture_ask(lease, leased)), 200);
	fixture_disconnect(idle);
	fixture_disconnect(lease);
	fixture_free(fixture);
}

/* Sends a byte now and then, so that no timeout of inactivity ever passes. Milliseconds until the connection was gone. */
static int64_t drip(struct tls_client *client, const char *bytes, size_t len)
{
	int64_t begun = clock_ms();
	for (size_t i = 0; i < len && clock_ms() < begun + WAIT_MS; i++) {
		if (!tls_client_send(client, bytes + i, 1))
			break;
		struct pollfd wait = {.fd = client->fd, .events = POLLIN};
		char byte;
		if (poll(&wait, 1, 100) > 0 && recv(client->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
			break;
	}
	return clock_ms() - begun;
}

static char long_field[512] = "GET /healthz HTTP/1.1\r\nHost: gateway\r\nX-A: ";

Test(limits, a_dripped_head_ends_with_the_time_for_a_request)
{
	struct fixture *fixture = fixture_new("  request_s: 1\n", "");
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(client, request)), 200);
	size_t len = strlen(long_field);
	memset(long_field + len, 'a', sizeof long_field - len);
	int64_t took = drip(client, long_field, sizeof long_field);
	cr_expect(took >= 800 && took < 6000, "%lld ms", (long long)took);
	fixture_disconnect(client);
	fixture_free(fixture);
}

Test(limits, a_dripped_body_ends_with_the_time_for_a_request)
{
	struct fixture *fixture = fixture_new("  request_s: 1\n", "");
	struct tls_client *client = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(client, request)), 200);
	static const char head[] = "POST /v1/slots/demo/keys HTTP/1.1\r\nHost: a\r\nContent-Type: "
				   "application/json\r\nContent-Length: 1000\r\n\r\n";
	cr_assert(tls_client_send(client, head, sizeof head - 1));
	memset(long_field, ' ', sizeof long_field);
	int64_t took = drip(client, long_field, sizeof long_field);
	cr_expect(took >= 800 && took < 6000, "%lld ms", (long long)took);
	fixture_disconnect(client);
	fixture_free(fixture);
}

Test(limits, a_client_that_does_not_read_its_answers_is_ended)
{
	enum { REQUESTS = 400 };
	static const char large[] = "GET /openapi.json HTTP/1.1\r\nHost: gateway\r\n\r\n";
	static char all[REQUESTS * sizeof large];
	struct fixture *fixture = fixture_new("  request_s: 1\n", "");
	struct tls_client *client = fixture_connect(fixture, "alice");
	size_t len = 0;
	for (int i = 0; i < REQUESTS; i++, len += sizeof large - 1)
		memcpy(all + len, large, sizeof large - 1);
	/* Far more than the sockets' buffers hold is asked for, and nothing read. */
	cr_assert(tls_client_send(client, all, len));
	bool ended = false;
	for (int64_t end = clock_ms() + WAIT_MS; !ended && clock_ms() < end;) {
		struct pollfd wait = {.fd = client->fd, .events = POLLRDHUP};
		ended = poll(&wait, 1, 100) > 0 && (wait.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
	}
	cr_expect(ended);
	cr_expect(answer_has(fixture_get(fixture, "alice", "/metrics"), "p11gate_connections_reaped_total 1\n"));
	fixture_disconnect(client);
	fixture_free(fixture);
}

Test(limits, two_hundred_connections_that_begin_a_request_and_stop_are_all_ended)
{
	enum { COUNT = 200 };
	static struct tls_client *clients[COUNT];
	struct fixture *fixture = fixture_new("  request_s: 1\n", "");
	for (int i = 0; i < COUNT; i++) {
		clients[i] = fixture_connect(fixture, "alice");
		cr_assert(tls_client_send(clients[i], "G", 1));
	}
	for (int i = 0; i < COUNT; i++) {
		cr_expect_lt(closed_after(clients[i]->fd), 7000);
		fixture_disconnect(clients[i]);
	}
	const char *metrics = fixture_get(fixture, "alice", "/metrics");
	cr_expect(answer_has(metrics, "p11gate_connections_reaped_total 200\n"), "%.600s", metrics);
	fixture_free(fixture);
}

Test(limits, half_open_connections_do_not_keep_others_out)
{
	enum { COUNT = 60 };
	static struct tls_client silent[COUNT];
	struct fixture *fixture = fixture_new("  connections_max: 40\n  connections_per_ip: 40\n", "");
	for (int i = 0; i < COUNT; i++) {
		cr_assert(tls_client_connect(&silent[i], fixture->port));
		if (i % 10 == 9)
			cr_expect_eq(answer_status(fixture_get(fixture, "alice", "/healthz")), 200, "after %d", i);
	}
	/* The oldest of them had to go. */
	cr_expect_lt(closed_after(silent[0].fd), 5000);
	for (int i = 0; i < COUNT; i++)
		tls_client_close(&silent[i]);
	fixture_free(fixture);
}

Test(limits, one_address_gets_no_more_connections_than_its_share)
{
	struct fixture *fixture = fixture_new("  connections_per_ip: 2\n", "");
	struct tls_client *first = fixture_connect(fixture, "alice"), *second = fixture_connect(fixture, "alice"),
			  *third;
	cr_assert_eq(answer_status(fixture_ask(first, request)), 200);
	cr_expect_not(fixture_try(fixture, "alice", NULL, &third));
	cr_expect_eq(answer_status(fixture_ask(second, request)), 200);
	fixture_disconnect(first);
	fixture_disconnect(second);
	fixture_disconnect(third);
	fixture_free(fixture);
}

static bool is_admitted(struct tls_client *client)
{
	const char *answer = fixture_ask(client, request);
	if (answer_status(answer) == 200)
		return true;
	cr_expect_eq(answer_status(answer), 429);
	cr_expect(answer_has(answer, "/docs/errors/too-many-connections"));
	cr_expect(answer_has(answer, "Retry-After: 1\r\n"));
	return false;
}

/*
 * A new connection that the gateway knows by its identity: under TLS 1.3 the client's handshake is over before the gateway's, and
 * only an answer shows that it is as well.
 */
static struct tls_client *enter(struct fixture *fixture, const char *name, bool admitted)
{
	struct tls_client *client = fixture_connect(fixture, name);
	cr_expect_eq(is_admitted(client), admitted, "%s", name);
	return client;
}

/* Whether the metrics have this line within WAIT_MS; asked on one connection, so that asking changes nothing. */
static bool metrics_show(struct tls_client *client, const char *line)
{
	static const char metrics[] = "GET /metrics HTTP/1.1\r\nHost: gateway\r\n\r\n";
	for (int64_t end = clock_ms() + WAIT_MS; clock_ms() < end;)
		if (answer_has(fixture_ask(client, metrics), line))
			return true;
	return false;
}

Test(limits, one_identity_gets_no_more_connections_than_its_share_and_the_others_theirs)
{
	struct fixture *fixture = fixture_new("  connections_per_identity: 2\n", "");
	struct tls_client *first = enter(fixture, "alice", true), *second = enter(fixture, "alice", true),
			  *third = enter(fixture, "alice", false), *other = enter(fixture, "bob", true);
	cr_expect_lt(closed_after(third->fd), 5000);
	cr_expect(metrics_show(other, "p11gate_connections_crowded_total 1\n"));
	cr_expect_eq(audit_lines(fixture, "alice"), 0);
	fixture_disconnect(third);
	/* A place that is given back is there for the next one; the gateway sees the end in its own time. */
	fixture_disconnect(first);
	bool again = false;
	for (int64_t end = clock_ms() + WAIT_MS; !again && clock_ms() < end;) {
		struct tls_client *next = fixture_connect(fixture, "alice");
		again = is_admitted(next);
		fixture_disconnect(next);
	}
	cr_expect(again);
	cr_expect(is_admitted(second));
	fixture_disconnect(second);
	fixture_disconnect(other);
	fixture_free(fixture);
}

/* What is logged from now on goes to a file, whose lines with `text` are counted. */
static void log_into(const struct fixture *fixture)
{
	char path[128];
	snprintf(path, sizeof path, "%s/log", fixture->directory);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	cr_assert(fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	close(fd);
	log_setup(LOG_LEVEL_WARNING, 0);
}

static unsigned logged(const struct fixture *fixture, const char *text)
{
	char path[128], line[1024];
	unsigned count = 0;
	snprintf(path, sizeof path, "%s/log", fixture->directory);
	FILE *file = fopen(path, "re");
	cr_assert_not_null(file);
	while (fgets(line, sizeof line, file) != NULL)
		count += strstr(line, "too many connections of one identity") != NULL && strstr(line, text) != NULL;
	fclose(file);
	return count;
}

enum { CROWD = 12, CROWD_KEPT = 9 /* one, and a few that are told why */ };

/* Connections as these two in turn, where one is allowed; all have arrived. */
static void crowd(struct fixture *fixture, struct tls_client *witness, const char *even, const char *odd,
	struct tls_client *ret_clients[CROWD])
{
	char line[64], reaped[64];
	for (int i = 0; i < CROWD; i++)
		(void)fixture_try(fixture, i % 2 == 0 ? even : odd, NULL, &ret_clients[i]);
	snprintf(line, sizeof line, "p11gate_connections_crowded_total %d\n", CROWD - 1);
	snprintf(reaped, sizeof reaped, "p11gate_connections_reaped_total %d\n", CROWD - CROWD_KEPT);
	cr_expect(metrics_show(witness, line));
	cr_expect(metrics_show(witness, reaped));
}

/* Asks on each of them, and counts the answers with this status (0: none). */
static void answers(struct tls_client *clients[CROWD], unsigned counts[600])
{
	for (int i = 0; i < CROWD; i++) {
		unsigned status = answer_status(fixture_ask(clients[i], request));
		cr_assert_lt(status, 600);
		counts[status]++;
		fixture_disconnect(clients[i]);
	}
}

Test(limits, connections_far_beyond_the_share_of_their_identity_are_closed_without_a_request)
{
	static unsigned counts[600];
	struct tls_client *clients[CROWD];
	struct fixture *fixture = fixture_new("  connections_per_identity: 1\n", "");
	struct tls_client *witness = enter(fixture, "bob", true);
	log_into(fixture);
	crowd(fixture, witness, "alice", "alice", clients);
	answers(clients, counts);
	cr_expect_eq(counts[0], CROWD - CROWD_KEPT);
	cr_expect_geq(counts[200], 1);
	cr_expect_eq(counts[200] + counts[429], CROWD_KEPT);
	unsigned lines = logged(fixture, "alice");
	cr_expect(lines >= 1 && lines < CROWD - 1, "%u lines of %d connections", lines, CROWD - 1);
	fixture_disconnect(witness);
	fixture_free(fixture);
}

Test(limits, certificates_of_no_identity_have_one_share_of_the_connections)
{
	static unsigned counts[600];
	struct tls_client *clients[CROWD];
	struct fixture *fixture = fixture_new("  connections_per_identity: 1\n", "");
	struct tls_client *witness = enter(fixture, "bob", true);
	crowd(fixture, witness, "stranger", "twin", clients);
	answers(clients, counts);
	cr_expect_eq(counts[0], CROWD - CROWD_KEPT);
	cr_expect_geq(counts[403], 1);
	cr_expect_eq(counts[403] + counts[429], CROWD_KEPT);
	fixture_disconnect(witness);
	fixture_free(fixture);
}

Test(limits, a_connection_whose_identity_a_reload_changes_counts_for_the_new_one)
{
	struct fixture *fixture = fixture_new("  connections_per_identity: 1\n", "");
	struct tls_client *first = enter(fixture, "alice", true);
	fixture->bob = "alice";
	fixture->alice = "stranger";
	cr_assert_eq(fixture_reload(fixture, "  connections_per_identity: 1\n", ""), STATUS_OK);
	cr_expect(is_admitted(first));
	struct tls_client *alice = enter(fixture, "stranger", true), *bob = enter(fixture, "alice", false);
	cr_expect(is_admitted(first));
	fixture_disconnect(first);
	fixture_disconnect(alice);
	fixture_disconnect(bob);
	fixture_free(fixture);
}

Test(limits, a_reload_counts_connections_under_the_new_share)
{
	struct fixture *fixture = fixture_new("  connections_per_identity: 1\n", "");
	struct tls_client *first = fixture_connect(fixture, "alice"), *second;
	cr_expect(is_admitted(first));
	cr_assert_eq(fixture_reload(fixture, "  connections_per_identity: 2\n", ""), STATUS_OK);
	second = fixture_connect(fixture, "alice");
	cr_expect(is_admitted(second));
	cr_expect(is_admitted(first));
	fixture_disconnect(first);
	fixture_disconnect(second);
	fixture_free(fixture);
}

Test(limits, a_stop_ends_idle_connections_at_once)
{
	struct fixture *fixture = fixture_new("", "");
	struct tls_client *idle = fixture_connect(fixture, "alice");
	cr_assert_eq(answer_status(fixture_ask(idle, request)), 200);
	int64_t begun = clock_ms();
	fixture_free(fixture);
	cr_expect_lt(clock_ms() - begun, 6000);
	cr_expect_lt(closed_after(idle->fd), 5000);
	fixture_disconnect(idle);
}

Test(limits, a_port_that_is_taken_is_named_with_what_to_do)
{
	struct fixture *fixture = fixture_new("", "");
	char error[1024] = "", file[128], expected[64];
	struct config *config;
	struct listener *second;
	snprintf(file, sizeof file, "%s/gateway.yaml", fixture->directory);
	cr_assert_eq(config_load(file, &config, error, sizeof error), STATUS_OK);
	config->listen.port = fixture->port;
	cr_expect_eq(
		listener_new(config, fixture->registry, fixture->audit, fixture->journal, &second, error, sizeof error),
		STATUS_IO);
	snprintf(expected, sizeof expected, "cannot listen on 127.0.0.1:%u", fixture->port);
	cr_expect_not_null(strstr(error, expected), "%s", error);
	cr_expect_not_null(strstr(error, "choose another listen.port"), "%s", error);
	config_free(config);
	fixture_free(fixture);
}
