/*
 * What the rows of keys.def cannot say: values that depend on one another.
 */
#include "server/config/internal.h"

#include <arpa/inet.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/codec.h"

static enum status check_address(struct loader *loader)
{
	const char *address = loader->config->listen.address;
	unsigned char binary[sizeof(struct in6_addr)];

	if (inet_pton(AF_INET, address, binary) == 1 || inet_pton(AF_INET6, address, binary) == 1)
		return STATUS_OK;
	return fault(loader, "listen.address", "%s is no IP address; write one such as 127.0.0.1 or ::", address);
}

static enum status check_module_names(struct loader *loader)
{
	const struct config *config = loader->config;

	for (unsigned i = 0; i < config->modules_count; i++) {
		const struct config_module *first = config_module(config, config->modules[i].name);

		if (first != &config->modules[i])
			return fault(loader, key_path(loader, "modules[%u].name", i),
				"%s is the name of modules[%td] too; choose another", first->name,
				first - config->modules);
	}
	return STATUS_OK;
}

static enum status check_slot_name(struct loader *loader, unsigned index)
{
	const struct config_slot *slots = loader->config->slots;
	const char *name = slots[index].name;
	CK_SLOT_ID id = slot_id_of(name, strlen(name));

	for (unsigned i = 0; i < index; i++) {
		if (strcmp(slots[i].name, name) == 0)
			return fault(loader, key_path(loader, "slots[%u].name", index),
				"%s is the name of slots[%u] too; choose another", name, i);
		if (slot_id_of(slots[i].name, strlen(slots[i].name)) == id)
			return fault(loader, key_path(loader, "slots[%u].name", index),
				"%s and %s give the same slot number %lu; rename one of them", name, slots[i].name, id);
	}
	return STATUS_OK;
}

static enum status check_slots(struct loader *loader)
{
	struct config *config = loader->config;
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < config->slots_count && status == STATUS_OK; i++) {
		struct config_slot *slot = &config->slots[i];

		slot->module_row = config_module(config, slot->module);
		if (!slot->module_row)
			return fault(loader, key_path(loader, "slots[%u].module", i),
				"no module is called %s; add it under modules", slot->module);
		if (!slot->token_label && !slot->token_serial && !slot->reader)
			return fault(loader, key_path(loader, "slots[%u].token", i),
				"no token is named; give label, serial or reader");
		status = check_slot_name(loader, i);
	}
	return status;
}

static bool same_match(const struct config_identity *a, const struct config_identity *b)
{
	if (a->match != b->match)
		return false;
	/* Host names differ by no more than case (RFC 4343). */
	return a->match == MATCH_SAN_DNS ? strcasecmp(a->value, b->value) == 0 : strcmp(a->value, b->value) == 0;
}

static enum status check_identities(struct loader *loader)
{
	const struct config_identity *rows = loader->config->identities;

	for (unsigned i = 0; i < loader->config->identities_count; i++) {
		if (!rows[i].value)
			return fault(loader, key_path(loader, "identities[%u].certificate", i),
				"no certificate is named; give sha256, subject, san_uri, san_dns or san_email");
		for (unsigned j = 0; j < i; j++) {
			if (strcmp(rows[i].name, rows[j].name) == 0)
				return fault(loader, key_path(loader, "identities[%u].name", i),
					"%s is the name of identities[%u] too; choose another", rows[i].name, j);
			if (same_match(&rows[i], &rows[j]))
				return fault(loader, key_path(loader, "identities[%u].certificate", i),
					"%s and %s would be the same certificate; keep one identity for it",
					rows[j].name, rows[i].name);
		}
	}
	return STATUS_OK;
}

static bool identity_exists(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->identities_count; i++) {
		if (strcmp(config->identities[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The names of identities and slots in the lists of a row. */
enum status config_check_names(struct loader *loader, const char *list, unsigned index, const char *member,
	const char **names, unsigned count, bool slots)
{
	const struct config *config = loader->config;

	for (unsigned i = 0; i < count; i++) {
		if (slots ? strcmp(names[i], "*") == 0 || config_slot(config, names[i])
			  : identity_exists(config, names[i]))
			continue;
		const char *path = key_path(loader, "%s[%u].%s[%u]", list, index, member, i);
		if (slots)
			return fault(loader, path,
				"no slot is called %s; add it under slots, or write \"*\" for every slot", names[i]);
		return fault(loader, path, "no identity is called %s; add it under identities", names[i]);
	}
	return STATUS_OK;
}

static enum status check_rules(struct loader *loader)
{
	const struct config *config = loader->config;
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < config->rules_count && status == STATUS_OK; i++) {
		const struct config_rule *rule = &config->rules[i];

		status = config_check_names(
			loader, "policy", i, "identities", rule->identities, rule->identities_count, false);
		if (status == STATUS_OK)
			status = config_check_names(loader, "policy", i, "slots", rule->slots, rule->slots_count, true);
	}
	return status;
}

static enum status check_logins(struct loader *loader)
{
	const struct config *config = loader->config;
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < config->logins_count && status == STATUS_OK; i++) {
		const struct config_login_rule *rule = &config->logins[i];

		status = config_check_names(
			loader, "login", i, "identities", rule->identities, rule->identities_count, false);
		if (status == STATUS_OK)
			status = config_check_names(loader, "login", i, "slots", rule->slots, rule->slots_count, true);
		if (status == STATUS_OK && rule->pin_cache_idle_s > rule->pin_cache_ttl_s &&
			document_has(loader, key_path(loader, "login[%u].pin_cache_idle_s", i)))
			status = fault(loader, key_path(loader, "login[%u].pin_cache_idle_s", i),
				"more than pin_cache_ttl_s (%u); lower it", rule->pin_cache_ttl_s);
	}
	return status;
}

static enum status check_limits(struct loader *loader)
{
	const struct config *config = loader->config;

	if (config->limits.connections_per_ip > config->limits.connections_max &&
		document_has(loader, "limits.connections_per_ip"))
		return fault(loader, "limits.connections_per_ip", "more than connections_max (%u); lower it",
			config->limits.connections_max);
	if (config->limits.connections_per_identity > config->limits.connections_max &&
		document_has(loader, "limits.connections_per_identity"))
		return fault(loader, "limits.connections_per_identity", "more than connections_max (%u); lower it",
			config->limits.connections_max);
	if (config->limits.rest_idle_ttl_s > config->limits.rest_max_ttl_s &&
		document_has(loader, "limits.rest_idle_ttl_s"))
		return fault(loader, "limits.rest_idle_ttl_s", "more than rest_max_ttl_s (%u); lower it",
			config->limits.rest_max_ttl_s);
	return STATUS_OK;
}

/* `directory` of `path`, with `name` in it. */
static const char *beside(struct loader *loader, const char *directory, size_t directory_len, const char *name)
{
	size_t size = directory_len + 1 + strlen(name) + 1;
	char *path = arena_alloc(loader->arena, size);

	if (path)
		snprintf(path, size, "%.*s/%s", (int)directory_len, directory, name);
	return path;
}

/* The defaults that depend on other values. */
static enum status derive(struct loader *loader)
{
	struct config *config = loader->config;

	if (!config->audit_file)
		config->audit_file = beside(
			loader, config->state_directory, strlen(config->state_directory), "audit.log");
	if (!config->journal.file)
		config->journal.file = beside(
			loader, config->state_directory, strlen(config->state_directory), "journal.db");
	if (!config->worker_program) {
		char self[4096];
		ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);

		if (len <= 0)
			return fault(loader, "", "/proc/self/exe cannot be read; mount /proc, or set worker_program");
		self[len] = '\0';
		config->worker_program = beside(loader, self, (size_t)(strrchr(self, '/') - self), "p11gate-worker");
	} else if (access(config->worker_program, X_OK) != 0) {
		return fault(loader, "worker_program", "%s cannot be run; correct the path", config->worker_program);
	}
	return config->audit_file && config->journal.file && config->worker_program ? STATUS_OK : STATUS_NO_MEMORY;
}

enum { USER_ROW_MAX = 16384 }; /* bytes of a row of the user database */

/* A user by its name, or by its number where no user has that name. False: there is none, or the database cannot be read. */
static bool user_find(const char *user, uint32_t *ret_user, uint32_t *ret_group)
{
	char text[USER_ROW_MAX];
	struct passwd row, *found = NULL;
	char *end;
	unsigned long number;

	if (getpwnam_r(user, &row, text, sizeof text, &found) != 0 || !found) {
		number = strtoul(user, &end, 10);
		if (*user < '0' || *user > '9' || *end != '\0' || number >= UINT32_MAX ||
			getpwuid_r((uid_t)number, &row, text, sizeof text, &found) != 0 || !found)
			return false;
	}
	*ret_user = row.pw_uid;
	*ret_group = row.pw_gid;
	return true;
}

static enum status check_worker_user(struct loader *loader)
{
	struct config *config = loader->config;

	if (!config->worker_user)
		return STATUS_OK;
	if (!user_find(config->worker_user, &config->worker_user_id, &config->worker_group_id))
		return fault(loader, "worker_user", "there is no user %s here; create it, or name another",
			config->worker_user);
	if (config->worker_user_id == 0)
		return fault(loader, "worker_user", "%s may do everything; name an ordinary user", config->worker_user);
	return STATUS_OK;
}

/* Whoever may change the file may have any code run as the gateway: it names the modules. */
static enum status check_owner(struct loader *loader)
{
	struct stat about;

	if (stat(loader->file, &about) == 0 && S_ISREG(about.st_mode) && (about.st_mode & S_IWOTH) != 0)
		return fault(loader, "", "anyone may change this file; chmod o-w it");
	return STATUS_OK;
}

enum status config_check(struct loader *loader)
{
	static enum status (*const checks[])(struct loader *) = {
		check_owner,
		check_address,
		check_limits,
		check_module_names,
		check_slots,
		check_identities,
		derive,
		check_worker_user,
		check_rules,
		check_logins,
		config_check_share_groups,
	};
	enum status status = STATUS_OK;

	for (size_t i = 0; i < sizeof checks / sizeof *checks && status == STATUS_OK; i++)
		status = checks[i](loader);
	return status;
}
