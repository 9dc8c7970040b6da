/*
 * What a request says about itself: its application, its client instance, its trace and its deadline.
 */
#include "server/http/internal.h"

#include <string.h>

#include <gnutls/crypto.h>

#include "api/application_id.h"
#include "api/decimal.h"
#include "api/hex.h"

void application_id_default(const char *identity, unsigned char ret_id[APPLICATION_ID_LEN])
{
	static const char purpose[] = "p11gate application ID of identity"; /* its NUL separates it from the name */
	gnutls_hash_hd_t hash;
	unsigned char digest[32] = {0};
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) == 0) {
		gnutls_hash(hash, purpose, sizeof purpose);
		gnutls_hash(hash, identity, strlen(identity));
		gnutls_hash_deinit(hash, digest);
	}
	memcpy(ret_id, digest, APPLICATION_ID_LEN);
}

static bool lower_hex(const char *text, size_t len)
{
	bool any = false;
	for (size_t i = 0; i < len; i++) {
		bool digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
		if (!digit)
			return false;
		any = any || text[i] != '0';
	}
	return any;
}

void trace_id(struct gate_text traceparent, char ret_trace[TRACE_LEN + 1])
{
	/* version "00" - trace id - parent id - flags */
	enum { TRACEPARENT_LEN = 2 + 1 + TRACE_LEN + 1 + 16 + 1 + 2 };
	if (traceparent.len == TRACEPARENT_LEN && memcmp(traceparent.data, "00-", 3) == 0 &&
		lower_hex(traceparent.data + 3, TRACE_LEN) && traceparent.data[3 + TRACE_LEN] == '-') {
		memcpy(ret_trace, traceparent.data + 3, TRACE_LEN);
	} else {
		unsigned char random[TRACE_LEN / 2] = {0};
		(void)!gnutls_rnd(GNUTLS_RND_NONCE, random, sizeof random);
		hex_encode(ret_trace, random, sizeof random);
	}
	ret_trace[TRACE_LEN] = '\0';
}

static bool refuse(struct request *request, enum problem problem, const char *detail)
{
	answer_problem(request, problem, detail);
	return false;
}

static bool application_read(struct request *request)
{
	struct gate_text field = request->head->fields[GATE_APPLICATION_ID];
	unsigned char *id = request->application.id;
	memcpy(id, request->peer->default_application, APPLICATION_ID_LEN);
	if (field.data != NULL && !application_id_parse(field.data, field.len, id))
		return refuse(request, PROBLEM_MALFORMED_APPLICATION, "X-Application-Id");
	const char *segment = request->match.parameters[PARAMETER_APPLICATION];
	if (segment == NULL || strcmp(segment, "current") == 0)
		return true;
	if (!application_id_parse(segment, strlen(segment), id))
		return refuse(request, PROBLEM_MALFORMED_APPLICATION, "the application in the path");
	return true;
}

/* Members of a share group, or others who learn an instance id, cannot name each other's sessions with it (X11). */
static bool instance_bind(const char *identity, unsigned char instance[INSTANCE_ID_LEN])
{
	static const char purpose[] = "p11gate client instance of identity";
	gnutls_hash_hd_t hash;
	unsigned char digest[32];
	if (gnutls_hash_init(&hash, GNUTLS_DIG_SHA256) != 0)
		return false;
	bool hashed = gnutls_hash(hash, purpose, sizeof purpose) == 0 &&
		      gnutls_hash(hash, identity, strlen(identity) + 1) == 0 &&
		      gnutls_hash(hash, instance, INSTANCE_ID_LEN) == 0;
	gnutls_hash_deinit(hash, digest);
	if (hashed)
		memcpy(instance, digest, INSTANCE_ID_LEN);
	return hashed;
}

bool scope_read(struct request *request)
{
	request->application.domain = request->peer->identity;
	struct gate_text instance = request->head->fields[GATE_CLIENT_INSTANCE];
	if (instance.data != NULL && (!hex_decode(request->instance, INSTANCE_ID_LEN, instance.data, instance.len) ||
					     instance_is_none(request->instance)))
		return refuse(
			request, PROBLEM_MALFORMED_HEADER, "X-Client-Instance is 32 hexadecimal digits, not all zero");
	if (instance.data != NULL && !instance_bind(request->peer->identity, request->instance))
		return refuse(request, PROBLEM_OUT_OF_MEMORY, NULL);
	/* Sessions that belong to no instance would never end. */
	if (instance.data == NULL && request->match.row->id == ROUTE_calls)
		return refuse(request, PROBLEM_MALFORMED_HEADER,
			"calls need X-Client-Instance: 32 hexadecimal digits, not all zero, of the client's own "
			"choice");
	struct gate_text deadline = request->head->fields[GATE_DEADLINE];
	if (deadline.data != NULL && !decimal_parse(deadline.data, deadline.len, &request->deadline_ms))
		return refuse(request, PROBLEM_MALFORMED_HEADER, "X-Deadline-Ms is a number of milliseconds");
	return idempotency_read(request) && application_read(request);
}

/* The items of a batch are signed one after another, and their number shows in the body, which is not read here. */
static uint64_t batch_s(const struct config *config, size_t body_len)
{
	enum { BODY_PER_S = 1024 }; /* bytes */
	uint64_t least_s = config->limits.sign_s, most_s = config->limits.keygen_s;
	uint64_t needed_s = least_s + body_len / BODY_PER_S;
	if (needed_s > most_s)
		needed_s = most_s;
	return needed_s > least_s ? needed_s : least_s;
}

uint64_t scope_deadline_ms(const struct request *request)
{
	const struct config *config = request->generation->config;
	uint64_t wait_s = config->limits.token_wait_s, least_s = config->limits.sign_s, most_s = least_s;
	switch (request->match.row->id) {
	case ROUTE_calls: /* the calls are in the body, which is not read here */
	case ROUTE_key_generate: most_s = config->limits.keygen_s + wait_s; break;
	case ROUTE_key_sign: most_s = batch_s(config, request->body.len); break;
	case ROUTE_login:
	case ROUTE_logout: most_s += wait_s; break;
	default: break;
	}
	uint64_t asked = request->deadline_ms;
	if (asked == 0 || asked > most_s * 1000)
		return most_s * 1000;
	/* A deadline ends the worker, and what others do there: no client may bring that about sooner than the device is slow. */
	return asked > least_s * 1000 ? asked : least_s * 1000;
}

void scope_lease(struct request *request)
{
	struct connection *connection = request->connection;
	if (instance_is_none(request->instance))
		return;
	if (connection->leased && memcmp(connection->instance, request->instance, INSTANCE_ID_LEN) == 0 &&
		strcmp(connection->lease_domain, request->peer->identity) == 0)
		return;
	scope_lease_end(connection);
	size_t len = strlen(request->peer->identity);
	if (len > LIMIT_LABEL)
		return;
	memcpy(connection->lease_domain, request->peer->identity, len + 1);
	memcpy(connection->instance, request->instance, INSTANCE_ID_LEN);
	/* Without a lease its requests are refused, and there is nothing to give back. */
	if (registry_instance_opened(connection->listener->registry, connection->lease_domain, connection->instance) ==
		STATUS_OK)
		atomic_store(&connection->leased, true);
}

void scope_lease_end(struct connection *connection)
{
	if (!atomic_exchange(&connection->leased, false))
		return;
	registry_instance_closed(connection->listener->registry, connection->lease_domain, connection->instance);
}
