/*
 * What the files of server/config/ share: the table of keys as data, and one load in progress.
 */
#ifndef P11GATE_CONFIG_INTERNAL_H
#define P11GATE_CONFIG_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <yaml.h>

#include "api/arena.h"
#include "server/config/config.h"

enum {
	LIMIT_FILE = 1 << 20, /* bytes of the configuration and of a certificate file */
	LIMIT_MEMORY = 16 << 20, /* bytes of a loaded configuration */
	LIMIT_VALUE = 4096, /* bytes of a text whose row has no maximum */
	LIMIT_KEY_PATH = 256, /* bytes of "policy[3].identities[1]" */
};

enum section {
	SECTION_root,
	SECTION_listen,
	SECTION_tls,
	SECTION_audit,
	SECTION_journal,
	SECTION_log,
	SECTION_limits,
	SECTION_module,
	SECTION_environment,
	SECTION_slot,
	SECTION_token,
	SECTION_identity,
	SECTION_certificate,
	SECTION_rule,
	SECTION_login,
	SECTION_share_group,
};

enum key_kind {
	KEY_TEXT,
	KEY_NAME,
	KEY_FILE,
	KEY_DIRECTORY,
	KEY_SHA256,
	KEY_NUMBER,
	KEY_PORT,
	KEY_FLAG,
	KEY_CHOICE,
	KEY_WORD,
	KEY_SWITCH,
	KEY_MATCH,
	KEY_TEXTS,
	KEY_PERMISSIONS,
	KEY_MAPPING,
	KEY_LIST,
};

enum key_presence { KEY_REQUIRED, KEY_DEFAULT, KEY_OPTIONAL };

/* A row of keys.def. */
struct key {
	enum section section;
	const char *name;
	enum key_kind kind;
	size_t offset; /* of the member in the section's structure */
	size_t count_offset; /* KEY_LIST, KEY_TEXTS: of its count */
	size_t item_size; /* KEY_LIST: bytes of one item */
	enum key_presence presence;
	const char *text; /* the default, or an example */
	uint64_t minimum, maximum;
	const char *words; /* KEY_CHOICE, KEY_WORD, KEY_SWITCH: separated by spaces */
	enum section items; /* KEY_MAPPING, KEY_LIST */
	const char *description;
};

extern const struct key config_keys[];
extern const size_t config_keys_count;

/* The row of `len` bytes at `name` within `section`, or NULL. */
const struct key *key_find(enum section section, const char *name, size_t len);

/* The word that `allow` uses for a permission. */
const char *permission_word(unsigned permission);

/* A load in progress. */
struct loader {
	const char *file; /* as the caller named it, for messages */
	const char *directory; /* absolute; relative paths start here */
	struct arena *arena; /* owns everything in `config` */
	struct config *config;
	yaml_document_t document;
	char *error; /* where the first mistake is told */
	size_t error_size;
};

/* Reads loader->file into the document. On failure the error is told; loader_done is due in any case. */
enum status loader_open(struct loader *loader) MUST_USE;
void loader_done(struct loader *loader);

/* Reads the text at `text` into loader->document. One document, UTF-8. */
enum status document_parse(struct loader *loader, const unsigned char *text, size_t len) MUST_USE;

/* Where the value at `path` ("slots[1].token.label") is written; where it is missing, the closest value around it. */
yaml_mark_t document_locate(struct loader *loader, const char *path);

/* The text of the value at `path`, in the document's memory; NULL if there is none or it is a list or a mapping. */
const char *document_text(struct loader *loader, const char *path);

/* True if the file has a value at `path`. */
bool document_has(struct loader *loader, const char *path);

/* Writes "file:line:column: key: what; what to do" for a value of the document; the key may be "". Returns STATUS_MALFORMED. */
enum status fault_at(struct loader *loader, yaml_mark_t mark, const char *path, const char *format, ...)
	__attribute__((format(printf, 4, 5), warn_unused_result));

/* The same, at the place of `path`. */
enum status fault(struct loader *loader, const char *path, const char *format, ...)
	__attribute__((format(printf, 3, 4), warn_unused_result));

/* A path made with printf's rules, in the arena ("" when memory is short). */
const char *key_path(struct loader *loader, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The text of one value and where it stands. */
struct scalar {
	const char *text;
	size_t len;
	yaml_mark_t mark;
	const char *path;
};

/* Checks a value by its row's kind (not KEY_TEXTS, KEY_PERMISSIONS, KEY_MAPPING, KEY_LIST) and stores it at `place`. */
enum status value_store(struct loader *loader, const struct key *key, const struct scalar *value, void *place) MUST_USE;

/* Fills loader->config from the document by the rows of keys.def, with defaults. */
enum status config_read(struct loader *loader) MUST_USE;

/* What rows cannot say: names that must differ or exist, addresses, defaults that depend on other values. */
enum status config_check(struct loader *loader) MUST_USE;

/* Each of `names` at list[index].member is an identity, or a slot or "*". */
enum status config_check_names(struct loader *loader, const char *list, unsigned index, const char *member,
	const char **names, unsigned count, bool slots) MUST_USE;

/* Share groups: names that exist and differ, and no request that two of them claim. Application IDs become 32 hex digits. */
enum status config_check_share_groups(struct loader *loader) MUST_USE;

/* Whether `name` is one of `names`; with `star` "*" stands for every name. */
bool config_listed(const char **names, unsigned count, const char *name, bool star);

/* The TLS files: readable, fitting together, not expired, the key private. */
enum status config_check_tls(struct loader *loader) MUST_USE;

/* Each module file that exists is a shared object for this machine. */
enum status config_check_modules(struct loader *loader) MUST_USE;

/*
 * Reads a whole file of at most LIMIT_FILE bytes into malloc'ed memory with a NUL behind it.
 * STATUS_IO with errno, STATUS_TOO_LARGE, STATUS_NO_MEMORY.
 */
enum status file_read(const char *path, unsigned char **ret_data, size_t *ret_len) MUST_USE;

#endif
