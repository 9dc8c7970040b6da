#include "server/app/process.h"

#include <limits.h>
#include <string.h>

#include "api/cryptoki.h"
#include "api/secret.h"
#include "server/app/token.h"

static int left_ms(int64_t deadline_ms)
{
	int64_t left = deadline_ms - clock_ms();
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* One conversation on one pair. */
struct exchange {
	struct worker_process *process;
	unsigned pair;
	const char *identity; /* whose request it is; NULL: the start */
	int64_t deadline_ms; /* of the worker's own work */
	int64_t patience_ms; /* waiting for others moves the deadline, by so much at most */
	int64_t verify_ms; /* … and having PINs verified in other workers by so much more */
	int64_t waits_since; /* it waits for another request of its application; 0: it does not */
	struct arena *arena;
	struct buffer *payload;
	struct process_use *use; /* NULL: none that leaves a record */
};

static struct exchange exchange_of(
	struct worker_process *process, unsigned pair, int64_t deadline_ms, struct arena *arena, struct buffer *payload)
{
	__typeof__(process->settings->limits) *limits = &process->settings->limits;
	int64_t token_ms = (2 * (int64_t)limits->token_wait_s + limits->slot_lock_wait_s) * 1000;
	return (struct exchange){
		.process = process,
		.pair = pair,
		.deadline_ms = deadline_ms,
		.patience_ms = token_ms + (int64_t)limits->internal_logout_wait_s * 1000,
		.verify_ms = verify_start_ms(process) + token_ms,
		.arena = arena,
		.payload = payload,
	};
}

/* A worker that has to wait for others is not a hung worker: moves its deadline, as long as the budget lasts. */
static void excuse(struct exchange *exchange, int64_t waited, int64_t *budget_ms)
{
	int64_t excused = waited < *budget_ms ? waited : *budget_ms;
	*budget_ms -= excused;
	exchange->deadline_ms += excused;
}

static enum status answer_acquire(struct exchange *exchange)
{
	struct token_acquire question;
	struct token_grant grant;
	enum status status = token_acquire_unpack(
		exchange->payload->data, exchange->payload->len, exchange->arena, &question);
	if (status != STATUS_OK)
		return status;
	int64_t begun = clock_ms();
	token_acquire(exchange->process, exchange->pair, exchange->identity, &question, &grant);
	excuse(exchange, clock_ms() - begun, &exchange->patience_ms);
	if (grant.rv == CKR_OK && exchange->use != NULL)
		logout_foresee(exchange->process, &question, exchange->use);

	BUFFER_AUTO struct buffer out;
	buffer_init(&out, FRAME_PAYLOAD_MAX);
	token_grant_pack(&out, &grant);
	if (out.failed)
		return STATUS_NO_MEMORY;
	return frame_send(exchange->process->os.pairs[exchange->pair], FRAME_TOKEN_GRANT, out.data, out.len);
}

static enum status take_release(struct exchange *exchange)
{
	struct token_release news;
	enum status status = token_release_unpack(
		exchange->payload->data, exchange->payload->len, exchange->arena, &news);
	if (status != STATUS_OK)
		return status;
	return token_release(exchange->process, exchange->pair, exchange->identity, &news, exchange->use);
}

static enum status take_wait(struct exchange *exchange)
{
	struct request_wait news;
	enum status status = request_wait_unpack(
		exchange->payload->data, exchange->payload->len, exchange->arena, &news);
	if (status != STATUS_OK)
		return status;
	bool waits = exchange->waits_since != 0;
	if (waits == (news.begun != 0))
		return STATUS_MALFORMED;
	if (waits)
		excuse(exchange, clock_ms() - exchange->waits_since, &exchange->patience_ms);
	exchange->waits_since = waits ? 0 : clock_ms();
	return STATUS_OK;
}

/* The PIN is verified in another worker, which may take as long as a start and its waits for the token. */
static enum status answer_verify(struct exchange *exchange)
{
	struct pin_verify question;
	enum status status = pin_verify_unpack(
		exchange->payload->data, exchange->payload->len, exchange->arena, &question);
	if (status != STATUS_OK)
		return status;
	int64_t begun = clock_ms();
	struct pin_verified answer;
	verify_pin(exchange->process, exchange->identity, &question, begun + exchange->verify_ms, &answer);
	excuse(exchange, clock_ms() - begun, &exchange->verify_ms);
	secret_wipe(exchange->payload->data, exchange->payload->len);

	BUFFER_AUTO struct buffer out;
	buffer_init(&out, FRAME_CHUNK);
	pin_verified_pack(&out, &answer);
	if (out.failed)
		return STATUS_NO_MEMORY;
	return frame_send(exchange->process->os.pairs[exchange->pair], FRAME_PIN_VERIFIED, out.data, out.len);
}

/* Whoever answers may have to wait for a disk, which is not the worker's time. */
static enum status answer_intent(struct exchange *exchange)
{
	struct intent question;
	struct intent_answer answer = {0};
	const struct registry_client *asked = exchange->use == NULL ? NULL : exchange->use->asked;
	enum status status = intent_unpack(exchange->payload->data, exchange->payload->len, exchange->arena, &question);
	if (status != STATUS_OK || asked == NULL || asked->intent == NULL)
		return STATUS_MALFORMED;
	int64_t begun = clock_ms();
	status = asked->intent(asked->context, exchange->process->os.pid, &question, exchange->arena, &answer);
	excuse(exchange, clock_ms() - begun, &exchange->patience_ms);
	if (status != STATUS_OK)
		return status;

	BUFFER_AUTO struct buffer out;
	buffer_init(&out, FRAME_PAYLOAD_MAX);
	intent_answer_pack(&out, &answer);
	if (out.failed)
		return STATUS_NO_MEMORY;
	return frame_send(exchange->process->os.pairs[exchange->pair], FRAME_INTENT_ANSWER, out.data, out.len);
}

/* Answers questions until the worker sends a frame of type `awaited`, which is then in the payload. */
static enum status await(struct exchange *exchange, enum frame_type awaited)
{
	int fd = exchange->process->os.pairs[exchange->pair];
	for (;;) {
		enum frame_type type;
		int64_t deadline_ms = exchange->deadline_ms + (exchange->waits_since != 0 ? exchange->patience_ms : 0);
		enum status status = frame_receive(fd, left_ms(deadline_ms), &type, exchange->payload);
		if (status == STATUS_OK && type == awaited)
			return STATUS_OK;
		if (status == STATUS_OK && type == FRAME_TOKEN_ACQUIRE)
			status = answer_acquire(exchange);
		else if (status == STATUS_OK && type == FRAME_TOKEN_RELEASE)
			status = take_release(exchange);
		else if (status == STATUS_OK && type == FRAME_WAIT)
			status = take_wait(exchange);
		else if (status == STATUS_OK && type == FRAME_PIN_VERIFY)
			status = answer_verify(exchange);
		else if (status == STATUS_OK && type == FRAME_INTENT)
			status = answer_intent(exchange);
		else if (status == STATUS_OK)
			status = STATUS_MALFORMED;
		if (status != STATUS_OK)
			return status;
	}
}

static enum status send_request(struct exchange *exchange, const struct worker_request *request)
{
	struct worker_request copy = *request;
	BUFFER_AUTO struct buffer out;
	const struct application *application = exchange->process->application;
	copy.deadline_ms = (uint64_t)left_ms(exchange->deadline_ms);
	copy.held = application != NULL && atomic_load(&application->held);
	buffer_init(&out, FRAME_PAYLOAD_MAX);
	worker_request_pack(&out, &copy);
	if (out.failed)
		return STATUS_NO_MEMORY;
	enum status status = frame_send(exchange->process->os.pairs[exchange->pair], FRAME_REQUEST, out.data, out.len);
	/* STATUS_NO_MEMORY is to mean that nothing was sent. */
	return status == STATUS_NO_MEMORY ? STATUS_IO : status;
}

enum status exchange_request(struct worker_process *process, unsigned pair, const struct worker_request *request,
	int64_t deadline_ms, struct arena *arena, struct buffer *payload, struct worker_response *ret_response,
	struct process_use *use)
{
	struct exchange exchange = exchange_of(process, pair, deadline_ms, arena, payload);
	exchange.identity = request->identity;
	exchange.use = use;
	enum status status = send_request(&exchange, request);
	/* Without its last datagram a request is none. */
	use->sent = status == STATUS_OK;
	if (status == STATUS_OK)
		status = await(&exchange, FRAME_RESPONSE);
	if (status == STATUS_OK)
		status = worker_response_unpack(payload->data, payload->len, arena, ret_response);
	if (status != STATUS_OK)
		return status;
	token_abandon(process, (int)pair);
	process_state_news(process, &(struct worker_state){.state_serial = ret_response->state_serial,
					    .sessions = ret_response->sessions,
					    .login = ret_response->login,
					    .native = ret_response->native});
	slot_count_calls(process->record, &ret_response->calls);
	return STATUS_OK;
}

enum status exchange_verify(struct worker_process *process, const char *identity, const struct pin_verify *question,
	int64_t deadline_ms, int64_t until_ms, struct pin_verified *ret_answer)
{
	ARENA_AUTO struct arena arena;
	BUFFER_AUTO struct buffer payload;
	arena_init(&arena, FRAME_CHUNK);
	buffer_init(&payload, FRAME_PAYLOAD_MAX);
	/* Nobody else knows this worker, so its first pair is free. */
	struct exchange exchange = exchange_of(process, 0, deadline_ms, &arena, &payload);
	exchange.identity = identity;
	exchange.patience_ms = until_ms - deadline_ms;
	pin_verify_pack(&payload, question);
	if (payload.failed)
		return STATUS_NO_MEMORY;
	enum status status = frame_send(process->os.pairs[0], FRAME_PIN_VERIFY, payload.data, payload.len);
	secret_wipe(payload.data, payload.len);
	if (status == STATUS_OK)
		status = await(&exchange, FRAME_PIN_VERIFIED);
	if (status == STATUS_OK)
		status = pin_verified_unpack(payload.data, payload.len, &arena, ret_answer);
	/* One that is given up may still be writing, and has the token until it is gone. */
	if (status == STATUS_OK)
		token_abandon(process, 0);
	return status;
}

/* The slots the worker is for, packed: its own, or all of its module. */
static enum status pack_slots(const struct worker_process *process, struct arena *arena, struct bytes_list *ret_slots)
{
	const struct settings *settings = process->settings;
	struct bytes *items = arena_array(arena, settings->slots_count, sizeof *items);
	size_t count = 0;
	if (items == NULL)
		return STATUS_NO_MEMORY;
	for (unsigned i = 0; i < settings->slots_count; i++) {
		const struct slot_settings *slot = &settings->slots[i];
		if (process->slot == NULL ? slot->module != process->module : slot != process->slot)
			continue;
		struct worker_slot message = {
			slot->name, slot->match_label, slot->match_serial, slot->match_reader, slot->class_name};
		BUFFER_AUTO struct buffer packed;
		buffer_init(&packed, FRAME_PAYLOAD_MAX);
		worker_slot_pack(&packed, &message);
		if (packed.failed)
			return STATUS_NO_MEMORY;
		items[count].len = packed.len;
		items[count].data = arena_copy(arena, packed.data, packed.len);
		if (items[count++].data == NULL)
			return STATUS_NO_MEMORY;
	}
	*ret_slots = (struct bytes_list){items, count};
	return STATUS_OK;
}

static enum status send_start(struct exchange *exchange, const char *application_hash)
{
	struct worker_process *process = exchange->process;
	const struct module_settings *module = process->module;
	const struct settings *settings = process->settings;
	BUFFER_AUTO struct buffer policy;
	buffer_init(&policy, FRAME_PAYLOAD_MAX);
	enum status status = settings_policy(
		settings, process->domain, process->slot == NULL ? NULL : process->slot->name, &policy);
	if (status != STATUS_OK)
		return status;
	struct worker_start start = {
		.role = process->slot == NULL ? ROLE_INVENTORY : ROLE_APPLICATION,
		.module_name = module->name,
		.module_path = module->path,
		.module_init_args = module->init_args,
		.module_sha256 = {module->sha256, module->sha256_len},
		.sandbox = module->sandbox,
		.require_mlock = settings->require_mlock,
		.user = module->user,
		.user_id = module->user_id,
		.group_id = module->group_id,
		.verify_login_fresh = module->verify_login_fresh,
		.threads = process->threads,
		.token_generation = token_generation(process->token),
		.sessions_max = settings->limits.sessions_max,
		.operations_max = settings->limits.operations_max,
		.operation_ttl_ms = settings->limits.operation_ttl_s * 1000,
		.token_wait_ms = (settings->limits.token_wait_s + settings->limits.slot_lock_wait_s) * 1000,
		.rest_idle_ms = (uint64_t)settings->limits.rest_idle_ttl_s * 1000,
		.rest_max_ms = (uint64_t)settings->limits.rest_max_ttl_s * 1000,
		.application = application_hash,
		.policy = {policy.data, policy.len},
	};
	status = pack_slots(process, exchange->arena, &start.slots);
	if (status != STATUS_OK)
		return status;
	BUFFER_AUTO struct buffer out;
	buffer_init(&out, FRAME_PAYLOAD_MAX);
	worker_start_pack(&out, &start);
	if (out.failed)
		return STATUS_NO_MEMORY;
	return frame_send(process->os.pairs[0], FRAME_START, out.data, out.len);
}

enum status exchange_start(struct worker_process *process, const char *application_hash, int64_t deadline_ms,
	struct arena *arena, struct buffer *payload, struct worker_started *ret_started)
{
	struct exchange exchange = exchange_of(process, 0, deadline_ms, arena, payload);
	enum status status = send_start(&exchange, application_hash);
	if (status == STATUS_OK)
		status = await(&exchange, FRAME_STARTED);
	if (status == STATUS_OK)
		status = worker_started_unpack(payload->data, payload->len, arena, ret_started);
	if (status == STATUS_OK)
		token_abandon(process, 0);
	return status;
}
