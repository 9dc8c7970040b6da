#include "client-module/config.h"

#include <errno.h>
#include <fcntl.h>
#include <http_parser.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/login_wishes.h"
#include "client-module/debug.h"

enum {
	FILE_MAX = 64 << 10, /* bytes of a configuration file */
	PATH_MAX_LEN = 4096,
	CONNECT_TIMEOUT_S = 3, /* defaults */
	TIMEOUT_S = 30,
	HEARTBEAT_S = 15,
	HTTPS_PORT = 443,
};

/* What a value is, and how it is stored. */
enum value_kind { CONFIG_URL, CONFIG_TEXT, CONFIG_NUMBER, CONFIG_MASK, CONFIG_ID, CONFIG_ID_PART };

struct key_row {
	const char *section, *name;
	enum value_kind kind;
	size_t offset; /* in struct client_config; of CONFIG_ID_PART in `application` */
	uint64_t min, max; /* of CONFIG_NUMBER; CONFIG_MASK is one of the two */
	const char *otherwise; /* what is wrong with another number */
};

#define IN_CONFIG(member) offsetof(struct client_config, member)

static const struct key_row KEYS[] = {
	{"Gateway", "URL", CONFIG_URL, 0, 0, 0, NULL},
	{"Gateway", "CA", CONFIG_TEXT, IN_CONFIG(ca), 0, 0, NULL},
	{"Gateway", "Certificate", CONFIG_TEXT, IN_CONFIG(certificate), 0, 0, NULL},
	{"Gateway", "Key", CONFIG_TEXT, IN_CONFIG(key), 0, 0, NULL},
	{"Gateway", "ServerName", CONFIG_TEXT, IN_CONFIG(server_name), 0, 0, NULL},
	{"Gateway", "ConnectTimeout", CONFIG_NUMBER, IN_CONFIG(connect_timeout_s), 1, 60,
		"not a number of seconds from 1 to 60"},
	{"Gateway", "Timeout", CONFIG_NUMBER, IN_CONFIG(timeout_s), 1, 3600, "not a number of seconds from 1 to 3600"},
	{"Gateway", "Heartbeat", CONFIG_NUMBER, IN_CONFIG(heartbeat_s), 1, 3600,
		"not a number of seconds from 1 to 3600"},
	{"PKCS11", "P11_EnableCachePIN", CONFIG_NUMBER, IN_CONFIG(cache_pin), 0, 1, "neither 0 nor 1"},
	{"PKCS11", "P11_LogoutAfterSign", CONFIG_NUMBER, IN_CONFIG(logout_after_sign), 0, 1, "neither 0 nor 1"},
	{"PKCS11", "ForceLoginBeforeSignKeyUsage", CONFIG_MASK, IN_CONFIG(force_login), 0, FORCE_LOGIN_NON_REPUDIATION,
		"neither 0 nor 0x40; only for nonRepudiation (0x40) can a login before each signature be asked"},
	{"Misc", "AppId", CONFIG_ID, 0, 0, 0, NULL},
	{"Misc", "AppIdMajor", CONFIG_ID_PART, 0, 0, 0, NULL},
	{"Misc", "AppIdMinor", CONFIG_ID_PART, 4, 0, 0, NULL},
};
enum { KEY_COUNT = sizeof(KEYS) / sizeof(KEYS[0]) };

/* One reading of a file. */
struct reading {
	struct client_config *config;
	const char *file;
	const char *at, *end;
	unsigned line;
	unsigned seen; /* mask of 1u << index in KEYS */
	bool whole_id; /* AppId was given, which wins over its parts */
	bool foreign; /* the section is none of ours */
	bool block; /* a section of another program's, in braces */
	CK_RV rv; /* of the first mistake */
};

static bool config_reject(struct reading *in, CK_RV rv, const char *section, const char *name, const char *why)
{
	if (in->rv == CKR_OK) {
		in->rv = rv;
		debug_line("%s:%u: [%s] %s: %s", in->file, in->line, section, name, why);
	}
	return false;
}

static bool config_text(char **ret_text, const char *value, size_t len)
{
	char *copy = strndup(value, len);
	if (copy == NULL) {
		return false;
	}
	free(*ret_text);
	*ret_text = copy;
	return true;
}

static const char *config_url(struct client_config *config, const char *value)
{
	struct http_parser_url url;
	http_parser_url_init(&url);
	if (http_parser_parse_url(value, strlen(value), 0, &url) != 0 || (url.field_set & (1 << UF_HOST)) == 0) {
		return "not a URL; write https://host:port";
	}
	if (url.field_data[UF_SCHEMA].len != 5 || strncasecmp(value + url.field_data[UF_SCHEMA].off, "https", 5) != 0) {
		return "only https:// is possible";
	}
	bool more = (url.field_set & (1 << UF_QUERY | 1 << UF_FRAGMENT | 1 << UF_USERINFO)) != 0;
	if (more || ((url.field_set & (1 << UF_PATH)) != 0 && url.field_data[UF_PATH].len > 1)) {
		return "only host and port may follow https://";
	}
	unsigned port = (url.field_set & (1 << UF_PORT)) != 0 ? url.port : HTTPS_PORT;
	if (port == 0) {
		return "port 0 cannot be connected to";
	}
	const char *host = value + url.field_data[UF_HOST].off;
	int host_len = url.field_data[UF_HOST].len;
	bool brackets = memchr(host, ':', (size_t)host_len) != NULL;
	char port_text[8];
	snprintf(port_text, sizeof(port_text), "%u", port);
	char *authority = NULL;
	if (asprintf(&authority, "%s%.*s%s%s%s", brackets ? "[" : "", host_len, host, brackets ? "]" : "",
		    port == HTTPS_PORT ? "" : ":", port == HTTPS_PORT ? "" : port_text) < 0) {
		return "out of memory";
	}
	free(config->authority);
	config->authority = authority;
	bool copied = config_text(&config->host, host, (size_t)host_len) &&
		      config_text(&config->port, port_text, strlen(port_text));
	return copied ? NULL : "out of memory";
}

/* A decimal number, or a hexadecimal one behind 0x. */
static bool config_number(const char *value, uint64_t *ret_number)
{
	bool hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
	const char *digits = hex ? value + 2 : value;
	size_t len = strlen(digits);
	if (len == 0 || len != strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789")) {
		return false;
	}
	errno = 0;
	*ret_number = strtoull(digits, NULL, hex ? 16 : 10);
	return errno == 0;
}

static const char *config_application(struct client_config *config, const char *value)
{
	size_t len = strlen(value);
	if (len != 2 * APPLICATION_ID_LEN || len != strspn(value, "0123456789abcdefABCDEF")) {
		return "not 32 hexadecimal digits";
	}
	for (size_t i = 0; i < APPLICATION_ID_LEN; i++) {
		char byte[3] = {value[2 * i], value[2 * i + 1], '\0'};
		config->application[i] = (unsigned char)strtoul(byte, NULL, 16);
	}
	config->application_set = true;
	return NULL;
}

/* Requirement C1: the parts are 32 bits each, big-endian, and bits above are dropped. */
static const char *config_application_part(struct reading *in, const struct key_row *row, const char *value)
{
	uint64_t number;
	if (!config_number(value, &number)) {
		return "not a number";
	}
	if (!in->whole_id) {
		for (unsigned i = 0; i < 4; i++) {
			in->config->application[row->offset + i] = (unsigned char)(number >> (24 - 8 * i));
		}
		in->config->application_set = true;
	}
	return NULL;
}

static const char *config_bounded(struct client_config *config, const struct key_row *row, const char *value)
{
	uint64_t number;
	if (!config_number(value, &number) || number < row->min || number > row->max ||
		(row->kind == CONFIG_MASK && number != row->min && number != row->max)) {
		return row->otherwise;
	}
	memcpy((char *)config + row->offset, &number, sizeof(number));
	return NULL;
}

static const char *config_store(struct reading *in, const struct key_row *row, const char *value)
{
	switch (row->kind) {
	case CONFIG_URL: return config_url(in->config, value);
	case CONFIG_TEXT:
		return config_text((char **)(void *)((char *)in->config + row->offset), value, strlen(value))
			       ? NULL
			       : "out of memory";
	case CONFIG_NUMBER:
	case CONFIG_MASK: return config_bounded(in->config, row, value);
	case CONFIG_ID: in->whole_id = true; return config_application(in->config, value);
	case CONFIG_ID_PART: return config_application_part(in, row, value);
	}
	return "unknown kind of value";
}

static int config_key(void *user, const char *section, const char *name, const char *value)
{
	struct reading *in = user;
	bool section_known = false;
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (strcmp(KEYS[i].section, section) != 0) {
			continue;
		}
		section_known = true;
		if (strcmp(KEYS[i].name, name) != 0) {
			continue;
		}
		if ((in->seen & 1u << i) != 0) {
			return config_reject(in, CKR_ARGUMENTS_BAD, section, name, "given twice");
		}
		in->seen |= 1u << i;
		const char *why = value[0] == '\0' ? "has no value" : config_store(in, &KEYS[i], value);
		return why == NULL || config_reject(in, CKR_ARGUMENTS_BAD, section, name, why);
	}
	return !section_known || config_reject(in, CKR_ARGUMENTS_BAD, section, name, "unknown key");
}

static bool config_section_known(const char *name, size_t len)
{
	for (unsigned i = 0; i < KEY_COUNT; i++) {
		if (strlen(KEYS[i].section) == len && memcmp(KEYS[i].section, name, len) == 0) {
			return true;
		}
	}
	return false;
}

static size_t config_span(const char *line, size_t len, size_t at, const char *accept)
{
	while (at < len && line[at] != '\0' && strchr(accept, line[at]) != NULL) {
		at++;
	}
	return at;
}

/* Length of the name in a line "Name = {", with which some vendors' files begin a section; 0: it is no such line. */
static size_t config_block_name(const char *line, size_t len)
{
	static const char word[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";
	size_t name = config_span(line, len, 0, word), at = config_span(line, len, name, " \t");
	if (at == len || line[at] != '=') {
		return 0;
	}
	at = config_span(line, len, at + 1, " \t");
	if (at == len || line[at] != '{') {
		return 0;
	}
	return config_span(line, len, at + 1, " \t\r") == len ? name : 0;
}

/* Whether a line belongs to a section that is none of ours: another program's, whose lines may look as they like. */
static bool config_foreign(struct reading *in, const char *line, size_t len)
{
	const char *end = len > 0 && line[0] == '[' ? memchr(line, ']', len) : NULL;
	if (end != NULL) {
		in->block = false;
		in->foreign = !config_section_known(line + 1, (size_t)(end - line) - 1);
		return in->foreign;
	}
	if (in->block) {
		in->block = len == 0 || line[0] != '}';
		return true;
	}
	size_t name = config_block_name(line, len);
	if (name == 0) {
		return in->foreign;
	}
	if (config_section_known(line, name)) {
		(void)config_reject(in, CKR_ARGUMENTS_BAD, "", "", "this section begins with its name in [brackets]");
	}
	in->block = true;
	return true;
}

/* A comment may be of any length. */
static void config_too_long(struct reading *in, size_t max)
{
	char why[64];
	(void)snprintf(why, sizeof(why), "the line is longer than %zu bytes", max);
	if (*in->at != '#' && *in->at != ';') {
		(void)config_reject(in, CKR_ARGUMENTS_BAD, "", "", why);
	}
}

/*
 * Gives inih one line. Leading space is dropped, since inih would take an indented line as the continuation of the one
 * before; a line longer than inih's buffer is refused, since inih would split it silently.
 */
static char *config_line(char *line, int size, void *stream)
{
	struct reading *in = stream;
	if (in->at == in->end || in->rv != CKR_OK) {
		return NULL;
	}
	in->line++;
	const char *newline = memchr(in->at, '\n', (size_t)(in->end - in->at));
	const char *stop = newline != NULL ? newline : in->end;
	while (in->at < stop && (*in->at == ' ' || *in->at == '\t')) {
		in->at++;
	}
	size_t len = (size_t)(stop - in->at);
	if (config_foreign(in, in->at, len)) {
		len = 0;
	}
	if (size < 2 || len > (size_t)size - 2) {
		config_too_long(in, (size_t)size - 2);
		len = 0;
	}
	memcpy(line, in->at, len);
	line[len] = '\n';
	line[len + 1] = '\0';
	in->at = newline != NULL ? newline + 1 : in->end;
	return line;
}

/* What must stand together. */
static CK_RV config_check(const struct reading *in)
{
	const struct client_config *config = in->config;
	if (config->host == NULL) {
		return CKR_OK;
	}
	const char *missing = config->ca == NULL            ? "CA"
			      : config->certificate == NULL ? "Certificate"
			      : config->key == NULL         ? "Key"
							    : NULL;
	if (missing == NULL) {
		return CKR_OK;
	}
	debug_line("%s: [Gateway] %s: missing; name a PEM file", in->file, missing);
	return CKR_ARGUMENTS_BAD;
}

CK_RV config_parse(struct client_config *ret_config, const char *file, const char *text, size_t len)
{
	struct client_config config = {
		.connect_timeout_s = CONNECT_TIMEOUT_S,
		.timeout_s = TIMEOUT_S,
		.heartbeat_s = HEARTBEAT_S,
		.cache_pin = 1,
	};
	struct reading in = {.config = &config, .file = file, .at = text, .end = text + len, .rv = CKR_OK};
	if (memchr(text, '\0', len) != NULL) {
		(void)config_reject(&in, CKR_ARGUMENTS_BAD, "", "", "not a text file");
	}
	int bad_line = in.rv == CKR_OK ? ini_parse_stream(config_line, &in, config_key, &in) : 0;
	if (in.rv == CKR_OK && bad_line != 0) {
		in.line = (unsigned)bad_line;
		(void)config_reject(&in, CKR_ARGUMENTS_BAD, "", "", "neither [section] nor key = value");
	}
	CK_RV rv = in.rv == CKR_OK ? config_check(&in) : in.rv;
	if (rv != CKR_OK) {
		config_done(&config);
		return rv;
	}
	*ret_config = config;
	return CKR_OK;
}

/* Reads `file` into memory. 0, or errno. */
static int config_read(const char *file, char **ret_text, size_t *ret_len)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0) {
		return errno;
	}
	struct stat status;
	int error = fstat(fd, &status) != 0     ? errno
		    : !S_ISREG(status.st_mode)  ? EINVAL
		    : status.st_size > FILE_MAX ? EFBIG
						: 0;
	char *text = error == 0 ? malloc(FILE_MAX) : NULL;
	if (error == 0 && text == NULL) {
		error = ENOMEM;
	}
	size_t len = 0;
	while (error == 0 && len < FILE_MAX) {
		ssize_t got = read(fd, text + len, FILE_MAX - len);
		if (got < 0) {
			error = errno;
		}
		if (got <= 0) {
			break;
		}
		len += (size_t)got;
	}
	close(fd);
	if (error != 0) {
		free(text);
		return error;
	}
	*ret_text = text;
	*ret_len = len;
	return 0;
}

CK_RV config_load(struct client_config *ret_config)
{
	const char *named = secure_getenv("P11GATE_CONF");
	const char *home = secure_getenv("HOME");
	char in_home[PATH_MAX_LEN] = "";
	if (home != NULL) {
		int len = snprintf(in_home, sizeof(in_home), "%s/.config/p11gate/client.conf", home);
		if (len < 0 || len >= PATH_MAX_LEN) {
			in_home[0] = '\0';
		}
	}
	const char *candidates[] = {named != NULL ? named : in_home, named != NULL ? "" : "/etc/p11gate/client.conf"};
	for (unsigned i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		if (candidates[i][0] == '\0') {
			continue;
		}
		char *text = NULL;
		size_t len = 0;
		int error = config_read(candidates[i], &text, &len);
		if (error == 0 && text != NULL) {
			CK_RV rv = config_parse(ret_config, candidates[i], text, len);
			free(text);
			return rv;
		}
		/* $HOME may be another user's, as under sudo: what cannot be reached there is not this program's file. */
		bool absent = error == ENOENT || error == ENOTDIR || (candidates[i] == in_home && error == EACCES);
		debug_line("%s: %s", candidates[i], strerrordesc_np(error));
		if (!absent) {
			return error == ENOMEM ? CKR_HOST_MEMORY : CKR_ARGUMENTS_BAD;
		}
	}
	return config_parse(ret_config, "", "", 0);
}

void config_done(struct client_config *config)
{
	char *texts[] = {config->host, config->port, config->authority, config->ca, config->certificate, config->key,
		config->server_name};
	for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		free(texts[i]);
	}
	*config = (struct client_config){0};
}
