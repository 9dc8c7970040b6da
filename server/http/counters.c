/*
 * The listener's numbers in Prometheus' text format.
 */
#include "server/http/internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static const struct {
	const char *name, *help;
} counter_rows[COUNTER_COUNT] = {
#define COUNTER(constant, name, help) {name, help},
	COUNTERS(COUNTER)
#undef COUNTER
};

void counter_add(struct listener *listener, enum counter counter)
{
	atomic_fetch_add_explicit(&listener->counters.values[counter], 1, memory_order_relaxed);
}

__attribute__((format(printf, 2, 3))) static void line(struct buffer *out, const char *format, ...)
{
	char text[512];
	va_list arguments;
	va_start(arguments, format);
	int len = vsnprintf(text, sizeof text, format, arguments);
	va_end(arguments);
	if (len > 0 && (size_t)len < sizeof text)
		buffer_append(out, text, (size_t)len);
}

static void describe(struct buffer *out, const char *name, const char *type, const char *help)
{
	line(out, "# HELP p11gate_%s %s\n# TYPE p11gate_%s %s\n", name, help, name, type);
}

static void write_answers(struct listener *listener, struct buffer *out)
{
	describe(out, "http_answers_total", "counter", "Answers by route and class of status");
	for (unsigned route = 0; route <= ROUTE_COUNT; route++)
		for (unsigned class = 0; class < STATUS_CLASSES; class ++) {
			unsigned long long n = atomic_load_explicit(
				&listener->counters.answers[route][class], memory_order_relaxed);
			if (n > 0)
				line(out, "p11gate_http_answers_total{route=\"%s\",status=\"%uxx\"} %llu\n",
					route < ROUTE_COUNT ? route_row((enum route_id)route)->name : "", class, n);
		}
}

void counters_write(struct listener *listener, struct buffer *out)
{
	struct listener_counts counts = listener_counts(listener);
	for (int i = 0; i < COUNTER_COUNT; i++) {
		describe(out, counter_rows[i].name, "counter", counter_rows[i].help);
		line(out, "p11gate_%s %llu\n", counter_rows[i].name,
			(unsigned long long)atomic_load_explicit(&listener->counters.values[i], memory_order_relaxed));
	}
	describe(out, "connections", "gauge", "Open connections");
	line(out, "p11gate_connections %u\n", counts.connections);
	describe(out, "connections_unauthenticated", "gauge", "Open connections before the end of their handshake");
	line(out, "p11gate_connections_unauthenticated %u\n", counts.unauthenticated);
	describe(out, "requests", "gauge", "Requests that are being answered");
	line(out, "p11gate_requests %u\n", counts.requests);
	describe(out, "configuration_generation", "gauge", "Configurations that have been in force since the start");
	line(out, "p11gate_configuration_generation %" PRIu64 "\n", counts.generation);
	describe(out, "audit_healthy", "gauge", "1 while the audit log can be written");
	line(out, "p11gate_audit_healthy %d\n", audit_healthy(listener->audit) ? 1 : 0);
	write_answers(listener, out);
}
