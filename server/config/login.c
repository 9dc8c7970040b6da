/*
 * Who shares applications with whom, and how they log in.
 */
#include "server/config/internal.h"

#include <string.h>

#include "api/hex.h"
#include "api/limits.h"
#include "api/application_id.h"
#include "server/common/message.h"

bool config_listed(const char **names, unsigned count, const char *name, bool star)
{
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(names[i], name) == 0 || (star && strcmp(names[i], "*") == 0))
			return true;
	}
	return false;
}

/* --- share groups --- */

const char *config_domain(
	const struct config *config, const char *identity, const char *slot, const unsigned char *application)
{
	char id[2 * APPLICATION_ID_LEN + 1];

	hex_encode(id, application, APPLICATION_ID_LEN);
	for (unsigned i = 0; i < config->share_groups_count; i++) {
		const struct config_share_group *group = &config->share_groups[i];

		if (config_listed(group->members, group->members_count, identity, false) &&
			config_listed(group->slots, group->slots_count, slot, true) &&
			(group->app_ids_count == 0 || config_listed(group->app_ids, group->app_ids_count, id, false)))
			return group->name;
	}
	return identity;
}

static const struct config_share_group *find_group(const struct config *config, const char *name)
{
	for (unsigned i = 0; i < config->share_groups_count; i++) {
		if (strcmp(config->share_groups[i].name, name) == 0)
			return &config->share_groups[i];
	}
	return NULL;
}

static enum status check_group_name(struct loader *loader, unsigned index)
{
	const struct config *config = loader->config;
	const char *name = config->share_groups[index].name;

	if (find_group(config, name) != &config->share_groups[index])
		return fault(loader, key_path(loader, "share_groups[%u].name", index),
			"%s is the name of another group too; choose another", name);
	for (unsigned i = 0; i < config->identities_count; i++) {
		if (strcmp(config->identities[i].name, name) == 0)
			return fault(loader, key_path(loader, "share_groups[%u].name", index),
				"%s is the name of an identity; choose another", name);
	}
	return STATUS_OK;
}

/* One form for each ID, so that they can be compared as text. */
static enum status make_ids_canonical(struct loader *loader, unsigned index)
{
	struct config_share_group *group = &loader->config->share_groups[index];

	for (unsigned i = 0; i < group->app_ids_count; i++) {
		unsigned char id[APPLICATION_ID_LEN];
		char digits[2 * APPLICATION_ID_LEN + 1];

		if (!application_id_parse(group->app_ids[i], strlen(group->app_ids[i]), id))
			return fault(loader, key_path(loader, "share_groups[%u].app_ids[%u]", index, i),
				"%.40s is no application ID; write 32 hexadecimal digits, or MAJOR-MINOR in decimal",
				group->app_ids[i]);
		hex_encode(digits, id, sizeof id);
		group->app_ids[i] = arena_copy(loader->arena, digits, sizeof digits - 1);
		if (!group->app_ids[i])
			return STATUS_NO_MEMORY;
	}
	return STATUS_OK;
}

/* Whether the lists have a name in common; no names, or "*", are all. */
static bool overlap(const char **a, unsigned a_count, const char **b, unsigned b_count)
{
	if (a_count == 0 || b_count == 0 || config_listed(a, a_count, "*", false) ||
		config_listed(b, b_count, "*", false))
		return true;
	for (unsigned i = 0; i < a_count; i++) {
		if (config_listed(b, b_count, a[i], false))
			return true;
	}
	return false;
}

static bool groups_overlap(const struct config_share_group *a, const struct config_share_group *b)
{
	return overlap(a->members, a->members_count, b->members, b->members_count) &&
	       overlap(a->slots, a->slots_count, b->slots, b->slots_count) &&
	       overlap(a->app_ids, a->app_ids_count, b->app_ids, b->app_ids_count);
}

enum status config_check_share_groups(struct loader *loader)
{
	const struct config *config = loader->config;
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < config->share_groups_count && status == STATUS_OK; i++) {
		const struct config_share_group *group = &config->share_groups[i];

		status = check_group_name(loader, i);
		if (status == STATUS_OK)
			status = config_check_names(
				loader, "share_groups", i, "members", group->members, group->members_count, false);
		if (status == STATUS_OK)
			status = config_check_names(
				loader, "share_groups", i, "slots", group->slots, group->slots_count, true);
		if (status == STATUS_OK)
			status = make_ids_canonical(loader, i);
		for (unsigned j = 0; j < i && status == STATUS_OK; j++) {
			if (groups_overlap(&config->share_groups[j], group))
				status = fault(loader, key_path(loader, "share_groups[%u]", i),
					"%s and %s have a member, a slot and an application ID in common; an "
					"application belongs to one group",
					config->share_groups[j].name, group->name);
		}
	}
	return status;
}

/* --- logins --- */

static bool is_card(const struct config *config, const char *name)
{
	const struct config_slot *slot = config_slot(config, name);

	return slot && slot->class_name && strcmp(slot->class_name, "card") == 0;
}

/* Several rules while they are being put together. */
struct strictest {
	struct config_login login;
	bool exclusive_always, exclusive_auto;
	bool any;
};

static unsigned lower(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static unsigned higher(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

static void add_rule(struct strictest *strictest, const struct config_login_rule *rule, bool card)
{
	struct config_login *login = &strictest->login;
	bool cache = rule->cache_pin == CONFIG_AUTO ? card : rule->cache_pin == CONFIG_ON;
	unsigned mask = rule->force_login ? FORCE_LOGIN_NON_REPUDIATION : 0;

	if (!strictest->any)
		*login = (struct config_login){.cache_pin = true,
			.pin_cache_ttl_s = UINT32_MAX,
			.pin_cache_idle_s = UINT32_MAX,
			.may_use_last_tries = true,
			.aa_oneshot = true};
	strictest->any = true;
	login->cache_pin = login->cache_pin && cache;
	login->logout_after = higher(login->logout_after, rule->logout_after);
	login->force_login |= mask;
	login->pin_cache_ttl_s = lower(login->pin_cache_ttl_s, rule->pin_cache_ttl_s);
	login->pin_cache_idle_s = lower(login->pin_cache_idle_s, rule->pin_cache_idle_s);
	/* 0 is no bound at all, the least strict. */
	login->max_pin_failures = login->max_pin_failures == 0 || rule->max_pin_failures == 0
					  ? higher(login->max_pin_failures, rule->max_pin_failures)
					  : lower(login->max_pin_failures, rule->max_pin_failures);
	login->may_use_last_tries = login->may_use_last_tries && rule->may_use_last_tries;
	login->aa_oneshot = login->aa_oneshot && rule->aa_oneshot != 0;
	login->random_app_ids = login->random_app_ids || rule->min_app_id > 0;
	strictest->exclusive_always = strictest->exclusive_always || rule->exclusive_login == EXCLUSIVE_ALWAYS;
	strictest->exclusive_auto = strictest->exclusive_auto || rule->exclusive_login == EXCLUSIVE_AUTO;
}

static void add_identity(
	struct strictest *strictest, const struct config *config, const char *identity, const char *slot, bool card)
{
	bool named = false;

	for (unsigned i = 0; i < config->logins_count; i++) {
		const struct config_login_rule *rule = &config->logins[i];

		if (!config_listed(rule->identities, rule->identities_count, identity, false) ||
			!config_listed(rule->slots, rule->slots_count, slot, true))
			continue;
		add_rule(strictest, rule, card);
		named = true;
	}
	if (!named)
		add_rule(strictest, &config->login_defaults, card);
}

void config_login(const struct config *config, const char *domain, const char *slot, struct config_login *ret_login)
{
	const struct config_share_group *group = find_group(config, domain);
	struct strictest strictest = {0};
	bool card = is_card(config, slot);

	for (unsigned i = 0; group && i < group->members_count; i++)
		add_identity(&strictest, config, group->members[i], slot, card);
	if (!group)
		add_identity(&strictest, config, domain, slot, card);
	strictest.login.exclusive = strictest.exclusive_always         ? EXCLUSIVE_ALWAYS
				    : strictest.exclusive_auto && card ? EXCLUSIVE_AUTO
								       : EXCLUSIVE_NEVER;
	*ret_login = strictest.login;
}

bool config_login_exclusive(const struct config_login *login, bool cache_pin)
{
	return login->exclusive == EXCLUSIVE_ALWAYS || (login->exclusive == EXCLUSIVE_AUTO && !cache_pin);
}
