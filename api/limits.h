/*
 * Ceilings of the protocol, which both ends share. Those that an operator can set are in the
 * configuration (server/config/) and never above these.
 */
#ifndef P11GATE_API_LIMITS_H
#define P11GATE_API_LIMITS_H

enum {
	LIMIT_BODY = 1 << 20, /* bytes of a request or answer body */
	LIMIT_BODY_ARENA = 6 << 20, /* bytes of memory that decoding one body may take */
	LIMIT_ATTRIBUTES = 64, /* attributes in a template */
	LIMIT_ATTRIBUTE_VALUE = 64 << 10, /* bytes of an attribute's value */
	LIMIT_TEMPLATE_DEPTH = 4, /* templates within templates */
	LIMIT_BYTES = 512 << 10, /* bytes of one data argument; bigger ones are sent in parts by the module */
	LIMIT_OUTPUT = 600 << 10, /* bytes of one output buffer */
	LIMIT_FOUND = 4096, /* object handles in one answer */
	LIMIT_GROUPS = 64, /* groups in one request */
	LIMIT_CALLS = 32, /* calls in one group */
	LIMIT_PIN = 1024, /* bytes of a PIN */
	LIMIT_SESSIONS = 4095, /* sessions of one application: their place is 12 bits of a handle */
	LIMIT_LABEL = 256, /* bytes of a slot or identity name */
	APPLICATION_ID_LEN = 16, /* bytes (requirement C1) */
	INSTANCE_ID_LEN = 16, /* bytes of X-Client-Instance (X11) */
	OPERATION_ID_LEN = 16, /* bytes (A26) */
};

#endif
