#include "client-module/state.h"

#include <pthread.h>
#include <time.h>
#include <unistd.h>

enum phase { PHASE_NONE, PHASE_STARTING, PHASE_READY, PHASE_STOPPING };

/*
 * The gate: process ID (24 bits), generation (22), calls inside (16), phase (2). The generation is that of the client, so
 * that a call which leaves after its C_Finalize does not count itself out of the next one.
 */
enum { PHASE_BITS = 2, USERS_BITS = 16, GENERATION_BITS = 22 };

struct gate {
	uint64_t process, generation, users;
	enum phase phase;
};

static _Atomic uint64_t state_gate;
static struct client *_Atomic state_client;
static _Thread_local bool state_in_transition;

static struct gate gate_unpack(uint64_t word)
{
	return (struct gate){
		.phase = (enum phase)(word & ((1u << PHASE_BITS) - 1)),
		.users = word >> PHASE_BITS & ((1u << USERS_BITS) - 1),
		.generation = word >> (PHASE_BITS + USERS_BITS) & ((1u << GENERATION_BITS) - 1),
		.process = word >> (PHASE_BITS + USERS_BITS + GENERATION_BITS),
	};
}

static uint64_t gate_pack(struct gate gate)
{
	return (uint64_t)gate.phase | gate.users << PHASE_BITS |
	       (gate.generation & ((1u << GENERATION_BITS) - 1)) << (PHASE_BITS + USERS_BITS) |
	       gate.process << (PHASE_BITS + USERS_BITS + GENERATION_BITS);
}

static bool gate_ours(struct gate gate)
{
	return gate.process == (uint64_t)getpid();
}

static void state_pause(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

CK_RV state_enter(struct client **ret_client)
{
	uint64_t word = atomic_load(&state_gate);
	for (;;) {
		struct gate gate = gate_unpack(word);
		if (gate.phase != PHASE_READY || !gate_ours(gate)) {
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		}
		if (gate.users == (1u << USERS_BITS) - 1) {
			return CKR_HOST_MEMORY;
		}
		/* Read first: once inside, a C_Finalize that waits no longer may already have taken it away. */
		struct client *client = atomic_load(&state_client);
		gate.users++;
		if (atomic_compare_exchange_weak(&state_gate, &word, gate_pack(gate))) {
			*ret_client = client;
			return CKR_OK;
		}
	}
}

void state_leave(struct client *client)
{
	uint64_t word = atomic_load(&state_gate);
	for (;;) {
		struct gate gate = gate_unpack(word);
		if (gate.generation != client->generation) {
			if (atomic_fetch_sub(&client->stragglers, 1) == 1) {
				client_free(client);
			}
			return;
		}
		gate.users--;
		if (atomic_compare_exchange_weak(&state_gate, &word, gate_pack(gate))) {
			return;
		}
	}
}

bool state_stopping(const struct client *client)
{
	struct gate gate = gate_unpack(atomic_load(&state_gate));
	return gate.generation != client->generation || gate.phase != PHASE_READY;
}

/* In a child, right after the fork: whether it initialises or not, its copies must not keep the parent's sessions. */
static void state_forked(void)
{
	struct client *inherited = atomic_load(&state_client);
	if (inherited != NULL) {
		pool_abandon(&inherited->pool);
	}
}

/* Once; where it fails, a child lets go at its own C_Initialize. */
static void state_watch_forks(void)
{
	static atomic_flag watched = ATOMIC_FLAG_INIT;
	if (!atomic_flag_test_and_set(&watched)) {
		(void)pthread_atfork(NULL, NULL, state_forked);
	}
}

CK_RV state_start(void)
{
	if (state_in_transition) {
		return CKR_FUNCTION_FAILED;
	}
	uint64_t word = atomic_load(&state_gate);
	for (;;) {
		struct gate gate = gate_unpack(word);
		bool ours = gate_ours(gate);
		if (ours && gate.phase == PHASE_READY) {
			return CKR_CRYPTOKI_ALREADY_INITIALIZED;
		}
		if (ours && gate.phase != PHASE_NONE) {
			state_pause();
			word = atomic_load(&state_gate);
			continue;
		}
		struct gate next = {
			.process = (uint64_t)getpid(), .generation = gate.generation + 1, .phase = PHASE_STARTING};
		if (atomic_compare_exchange_weak(&state_gate, &word, gate_pack(next))) {
			break;
		}
	}
	state_in_transition = true;
	state_forked();
	state_watch_forks();
	return CKR_OK;
}

void state_started(struct client *client)
{
	struct gate gate = gate_unpack(atomic_load(&state_gate));
	if (client != NULL) {
		client->generation = gate.generation;
		client->inherited = atomic_load(&state_client);
		atomic_store(&state_client, client);
	}
	gate.phase = client != NULL ? PHASE_READY : PHASE_NONE;
	atomic_store(&state_gate, gate_pack(gate));
	state_in_transition = false;
}

CK_RV state_stop(struct client **ret_client)
{
	uint64_t word = atomic_load(&state_gate);
	for (;;) {
		struct gate gate = gate_unpack(word);
		if (gate.phase != PHASE_READY || !gate_ours(gate)) {
			return CKR_CRYPTOKI_NOT_INITIALIZED;
		}
		gate.phase = PHASE_STOPPING;
		if (atomic_compare_exchange_weak(&state_gate, &word, gate_pack(gate))) {
			break;
		}
	}
	state_in_transition = true;
	*ret_client = atomic_load(&state_client);
	return CKR_OK;
}

bool state_drain(uint64_t deadline)
{
	while (gate_unpack(atomic_load(&state_gate)).users > 0) {
		if (connection_clock() >= deadline) {
			return false;
		}
		state_pause();
	}
	return true;
}

void state_stopped(struct client *client)
{
	atomic_store(&state_client, client->inherited);
	uint64_t word = atomic_load(&state_gate);
	struct gate gate, next;
	do {
		gate = gate_unpack(word);
		atomic_store(&client->stragglers, (unsigned)gate.users);
		next = (struct gate){.process = gate.process, .generation = gate.generation + 1, .phase = PHASE_NONE};
	} while (!atomic_compare_exchange_weak(&state_gate, &word, gate_pack(next)));
	if (gate.users == 0) {
		client_free(client);
	}
	state_in_transition = false;
}
