/*
 * The client's configuration file (INI).
 *
 * $P11GATE_CONF names it; without that it is ~/.config/p11gate/client.conf, else /etc/p11gate/client.conf. A set-uid
 * program ignores the environment.
 */
#ifndef P11GATE_CLIENT_MODULE_CONFIG_H
#define P11GATE_CLIENT_MODULE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/cryptoki.h"
#include "api/limits.h"

struct client_config {
	/* [Gateway] */
	char *host; /* of the URL, without brackets; NULL: no gateway is configured */
	char *port; /* decimal */
	char *authority; /* for the Host header: host, brackets around IPv6, ":port" unless 443 */
	char *ca, *certificate, *key; /* paths of PEM files */
	char *server_name; /* name expected in the gateway's certificate; NULL: `host` */
	uint64_t connect_timeout_s, timeout_s, heartbeat_s;
	/* [PKCS11]: wishes, which can make the gateway's policy stricter and never looser (requirement B1) */
	uint64_t cache_pin; /* 1: as the gateway has it */
	uint64_t logout_after_sign; /* 0: as the gateway has it */
	uint64_t force_login; /* 0: as the gateway has it; FORCE_LOGIN_NON_REPUDIATION */
	/* [Misc] */
	bool application_set; /* the file gives the application ID (requirement C3) */
	unsigned char application[APPLICATION_ID_LEN];
};

/*
 * Finds and reads the file. Without a file the result is an empty configuration and CKR_OK. CKR_ARGUMENTS_BAD for any mistake
 * (requirement B0, F): the reason goes to debug_line. CKR_HOST_MEMORY. On failure nothing is allocated.
 */
CK_RV config_load(struct client_config *ret_config) __attribute__((warn_unused_result));

/* As config_load, from `len` bytes at `text`; `file` is what messages call it. */
CK_RV config_parse(struct client_config *ret_config, const char *file, const char *text, size_t len)
	__attribute__((warn_unused_result));

void config_done(struct client_config *config);

#endif
