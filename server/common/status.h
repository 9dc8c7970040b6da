/*
 * Outcomes of the gateway's own functions (CK_RV belongs to api/, worker/ and client-module/).
 */
#ifndef P11GATE_COMMON_STATUS_H
#define P11GATE_COMMON_STATUS_H

enum status {
	STATUS_OK,
	STATUS_NO_MEMORY,
	STATUS_IO, /* a system call failed; errno tells */
	STATUS_CLOSED, /* the other end is gone */
	STATUS_TIMEOUT, /* the deadline passed */
	STATUS_MALFORMED, /* the bytes are not what the protocol says */
	STATUS_TOO_LARGE, /* a limit was exceeded */
	STATUS_NOT_FOUND,
	STATUS_REFUSED, /* policy or permission says no */
	STATUS_BUSY, /* a queue or lock is full; try again later */
	STATUS_UNAVAILABLE, /* the module or token behind it is not there */
};

#define MUST_USE __attribute__((warn_unused_result))

#endif
