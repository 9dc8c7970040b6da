/*
 * Three functions of GnuTLS that libmicrohttpd calls, put in front of the library's own.
 *
 * libmicrohttpd has no hook between decryption and its parser, none for the end of a handshake, and sends no alert when it
 * refuses one. A program's own definition of a function comes before a library's, so these see all three.
 * Sessions that are not a listener's pass through.
 */
#include "server/http/internal.h"

#include <dlfcn.h>
#include <stdlib.h>

static ssize_t (*real_record_recv)(gnutls_session_t, void *, size_t);
static size_t (*real_record_check_pending)(gnutls_session_t);
static int (*real_handshake)(gnutls_session_t);

/* ISO C has no conversion from dlsym's object pointer to a function pointer; POSIX guarantees that the copy works. */
#define RESOLVE(function, name) \
	do { \
		void *symbol = dlsym(RTLD_NEXT, name); \
		if (symbol == NULL) \
			abort(); \
		*(void **)&(function) = symbol; \
	} while (0)

__attribute__((constructor)) static void resolve(void)
{
	RESOLVE(real_record_recv, "gnutls_record_recv");
	RESOLVE(real_record_check_pending, "gnutls_record_check_pending");
	RESOLVE(real_handshake, "gnutls_handshake");
}

ssize_t intercept_record_recv(gnutls_session_t session, void *data, size_t size)
{
	return real_record_recv(session, data, size);
}

size_t intercept_record_check_pending(gnutls_session_t session)
{
	return real_record_check_pending(session);
}

ssize_t gnutls_record_recv(gnutls_session_t session, void *data, size_t data_size)
{
	struct connection *connection = gnutls_session_get_ptr(session);
	return connection == NULL ? real_record_recv(session, data, data_size)
				  : input_receive(connection, data, data_size);
}

size_t gnutls_record_check_pending(gnutls_session_t session)
{
	struct connection *connection = gnutls_session_get_ptr(session);
	return connection == NULL ? real_record_check_pending(session) : input_pending(connection) ? 1 : 0;
}

int gnutls_handshake(gnutls_session_t session)
{
	int result = real_handshake(session);
	struct connection *connection = gnutls_session_get_ptr(session);
	if (connection != NULL && (result == 0 || gnutls_error_is_fatal(result)))
		connection_handshake_done(connection, result);
	return result;
}
