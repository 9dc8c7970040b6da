/*
 * The gateway's configuration: one YAML file, read once and never changed afterwards; a reload reads a new one.
 *
 * Every mistake is told as file:line:column, the key, and what to do. Nothing is defaulted silently that
 * concerns who may do what.
 */
#ifndef P11GATE_CONFIG_CONFIG_H
#define P11GATE_CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/buffer.h"
#include "server/common/status.h"

/* How an identity is recognised in a client certificate. */
enum identity_match { MATCH_SHA256, MATCH_SUBJECT, MATCH_SAN_URI, MATCH_SAN_DNS, MATCH_SAN_EMAIL };

struct config_environment {
	const char *name, *value;
};

struct config_module {
	const char *name, *path, *init_args, *sha256, *sandbox;
	bool rescan_reinit; /* requirement X15: re-initialise periodically to see new tokens */
	bool verify_login_fresh; /* requirement X10 */
	struct config_environment *environment;
	unsigned environment_count;
};

struct config_slot {
	const char *name, *module, *token_label, *token_serial, *reader;
	const char *class_name; /* "hsm" or "card" */
	const struct config_module *module_row; /* resolved */
};

struct config_identity {
	const char *name;
	enum identity_match match;
	const char *value; /* for MATCH_SHA256: 64 lower-case hex digits without colons */
};

/* One rule: these identities may do these classes of operation on these slots. Rules add up; what none allows is refused. */
struct config_rule {
	const char **identities;
	unsigned identities_count;
	const char **slots;
	unsigned slots_count; /* "*" is every slot */
	unsigned permissions; /* mask of 1u << enum permission */
};

enum config_auto { CONFIG_AUTO, CONFIG_OFF, CONFIG_ON }; /* enable_cache_pin */
enum config_exclusive { EXCLUSIVE_AUTO, EXCLUSIVE_NEVER, EXCLUSIVE_ALWAYS };

/*
 * How these identities log in on these slots (requirements B). Where several rules name the same identity and slot, the
 * strictest value of each holds; a key that a rule leaves out has its default there.
 */
struct config_login_rule {
	const char **identities;
	unsigned identities_count;
	const char **slots;
	unsigned slots_count; /* "*" is every slot */
	unsigned cache_pin; /* enum config_auto */
	unsigned logout_after; /* enum logout_after */
	unsigned force_login; /* 1: mask 0x40 */
	unsigned pin_cache_ttl_s, pin_cache_idle_s;
	unsigned exclusive_login; /* enum config_exclusive */
	unsigned max_pin_failures; /* 0: the guard is off */
	bool may_use_last_tries;
	unsigned min_app_id; /* 1: v2 */
	unsigned aa_oneshot; /* 1: allow */
};

/* Identities that share applications on purpose (C13): on these slots they are one domain, with the group's name. */
struct config_share_group {
	const char *name;
	const char **members;
	unsigned members_count;
	const char **slots;
	unsigned slots_count; /* "*" is every slot */
	const char **app_ids;
	unsigned app_ids_count; /* 0: every application ID */
};

struct config {
	const char *file;
	struct {
		const char *address;
		uint16_t port;
	} listen;
	struct {
		const char *certificate, *key, *client_ca, *crl;
		bool allow_tls12;
	} tls;
	const char *state_directory; /* audit log, journal and what must survive a restart */
	const char *runtime_directory; /* admin socket, token locks */
	const char *worker_program; /* path of p11gate-worker */
	const char *worker_user; /* whom workers become, or NULL */
	uint32_t worker_user_id, worker_group_id; /* its number and that of its primary group */
	bool require_mlock; /* not to start where memory cannot be locked */
	const char *audit_file;
	struct {
		const char *file;
		unsigned retention_s, keys_per_identity, size_mb;
	} journal;
	struct {
		const char *level;
		bool json;
	} log;
	struct {
		unsigned worker_threads, worker_idle_s, workers_max, workers_per_identity, queue_max;
		unsigned connections_max, connections_per_ip, connections_per_identity, request_s, handshake_s, idle_s;
		unsigned sign_s, keygen_s, token_wait_s, lease_ttl_s, sessions_max;
		unsigned operations_max, operation_ttl_s, rest_idle_ttl_s, rest_max_ttl_s, body_max, inventory_s;
		unsigned slot_lock_wait_s, internal_logout_wait_s, hold_s, holds_per_identity, guard_reset_s;
		unsigned token_pin_failures;
	} limits;
	struct config_module *modules;
	unsigned modules_count;
	struct config_slot *slots;
	unsigned slots_count;
	struct config_identity *identities;
	unsigned identities_count;
	struct config_rule *rules;
	unsigned rules_count;
	struct config_login_rule *logins;
	unsigned logins_count;
	struct config_login_rule login_defaults; /* of whom no rule names */
	struct config_share_group *share_groups;
	unsigned share_groups_count;
	const char **challenge_only_labels;
	unsigned challenge_only_labels_count; /* requirement D9 */
	void *loaded; /* what config_free gives back */
};

/*
 * Reads and checks `file`, certificates and modules included. On failure `ret_error` (at least 512 bytes) holds one line
 * "file:line:column: key: what is wrong; what to do" and nothing is allocated. Paths of the result are absolute.
 * Opens no module, makes no directory. Safe to call from several threads.
 *
 * STATUS_OK; STATUS_MALFORMED for every mistake in the file or the files it names; STATUS_NO_MEMORY.
 */
enum status config_load(const char *file, struct config **ret_config, char *ret_error, size_t error_size) MUST_USE;

void config_free(struct config *config);

/*
 * The runtime directory that `file` names (absolute), also when the rest of the file has mistakes: for the tool, which may
 * not read what the gateway may. Errors as for config_load.
 */
enum status config_runtime_directory(
	const char *file, char *ret_directory, size_t size, char *ret_error, size_t error_size) MUST_USE;

/* Appends a commented configuration with every key: defaults as they are, examples where there is no default. */
void config_sample(struct buffer *out);

/* The slot or module of that name, or NULL. */
const struct config_slot *config_slot(const struct config *config, const char *name);
const struct config_module *config_module(const struct config *config, const char *name);

/* Permission mask of an identity on a slot: 0 is no access at all. */
unsigned config_permissions(const struct config *config, const char *identity, const char *slot);

/*
 * Whose applications a request of `identity` on a slot is about: the share group's name, or the identity itself (C12, C13).
 * `application` has APPLICATION_ID_LEN bytes. The answer lives as long as the configuration or the argument.
 */
const char *config_domain(
	const struct config *config, const char *identity, const char *slot, const unsigned char *application);

/* The rules of logins that hold for a domain or an identity on a slot: of a share group the strictest of its members. */
struct config_login {
	bool cache_pin;
	unsigned logout_after; /* enum logout_after */
	unsigned force_login; /* 0 or FORCE_LOGIN_NON_REPUDIATION */
	unsigned pin_cache_ttl_s, pin_cache_idle_s;
	enum config_exclusive exclusive; /* EXCLUSIVE_AUTO of a card alone; see config_login_exclusive */
	bool aa_oneshot; /* a key that asks for its PIN at every use may derive and unwrap without (A18) */
	unsigned max_pin_failures; /* 0: the guard is off */
	bool may_use_last_tries;
	bool random_app_ids; /* min_app_id v2: refuses IDs whose last 8 bytes are 0 */
};

void config_login(const struct config *config, const char *domain, const char *slot, struct config_login *ret_login);

/*
 * Whether others wait while an application with these rules is logged in to the token (B3). `cache_pin`: whether its logins keep the PIN,
 * which the wishes of its clients decide as well (B1). Without a kept PIN the token stays logged in, and what another application needs of a
 * card is not there.
 */
bool config_login_exclusive(const struct config_login *login, bool cache_pin);

#endif
