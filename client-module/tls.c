#include "client-module/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client-module/debug.h"

enum { SOCKET_TYPE = 0x7f }; /* of our BIO; anything that OpenSSL has not taken */

/*
 * OpenSSL keeps state of each thread for each library context and gives it back when the thread ends, which may be long after
 * C_Finalize: so a context is never freed. One serves all initialisations of a process; a forked child makes its own, since a
 * lock in the parent's may have been held by a thread that the child does not have.
 */
struct tls_library {
	struct tls_library *older;
	pid_t process;
	OSSL_LIB_CTX *context;
};

static struct tls_library *tls_libraries;

struct tls {
	OSSL_LIB_CTX *library;
	SSL_CTX *context;
	BIO_METHOD *method; /* of the sockets */
	const char *name; /* expected in the gateway's certificate */
	bool name_is_address;
	struct lock lock; /* guards `session` */
	bool lock_ready;
	SSL_SESSION *session; /* the newest that can be resumed, or NULL */
};

bool tls_usable(void)
{
	/* Asks for nothing new; after OPENSSL_cleanup it fails. */
	return OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) == 1;
}

/* An encrypted key would need somebody to ask; a library must not prompt. */
static int tls_no_password(char *buffer, int size, int writing, void *user)
{
	(void)buffer;
	(void)size;
	(void)writing;
	(void)user;
	return -1;
}

/* TLS 1.3 tickets arrive after the handshake, several per connection: the newest replaces the one before. */
static int tls_session_arrived(SSL *ssl, SSL_SESSION *session)
{
	struct tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	lock_take(&tls->lock);
	SSL_SESSION *old = tls->session;
	tls->session = session;
	lock_release(&tls->lock);
	SSL_SESSION_free(old);
	return 1;
}

static int tls_socket_result(BIO *bio, ssize_t moved, size_t *ret_moved)
{
	struct tls_socket *socket = BIO_get_data(bio);
	BIO_clear_retry_flags(bio);
	socket->would_block = moved < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
	*ret_moved = moved > 0 ? (size_t)moved : 0;
	return moved > 0;
}

static int tls_socket_read(BIO *bio, char *data, size_t len, size_t *ret_len)
{
	struct tls_socket *socket = BIO_get_data(bio);
	int done = tls_socket_result(bio, recv(socket->fd, data, len, MSG_DONTWAIT), ret_len);
	if (socket->would_block) {
		BIO_set_retry_read(bio);
	}
	return done;
}

static int tls_socket_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
	struct tls_socket *socket = BIO_get_data(bio);
	int done = tls_socket_result(bio, send(socket->fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL), ret_len);
	if (socket->would_block) {
		BIO_set_retry_write(bio);
	}
	return done;
}

static long tls_socket_control(BIO *bio, int command, long number, void *pointer)
{
	(void)bio;
	(void)number;
	(void)pointer;
	return command == BIO_CTRL_FLUSH;
}

/* A type of our own from BIO_get_new_index would use up one of the process's 128 at every C_Initialize. */
static BIO_METHOD *tls_socket_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | SOCKET_TYPE, "p11gate socket");
	if (method != NULL) {
		BIO_meth_set_read_ex(method, tls_socket_read);
		BIO_meth_set_write_ex(method, tls_socket_write);
		BIO_meth_set_ctrl(method, tls_socket_control);
	}
	return method;
}

static void tls_alert(const SSL *ssl, int where, int code)
{
	if (where == SSL_CB_READ_ALERT && code >> 8 == SSL3_AL_FATAL) {
		struct tls_socket *socket = SSL_get_app_data(ssl);
		socket->alert = code & 0xff;
		debug_line("the gateway refused the connection: %s", SSL_alert_desc_string_long(code));
	}
}

static CK_RV tls_refuse(const char *what, const char *file)
{
	unsigned long error = ERR_peek_last_error();
	const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
	debug_line("[Gateway] %s = %s: %s", what, file, reason != NULL ? reason : "cannot be used");
	return CKR_ARGUMENTS_BAD;
}

static CK_RV tls_load_files(SSL_CTX *context, const struct client_config *config)
{
	SSL_CTX_set_default_passwd_cb(context, tls_no_password);
	if (SSL_CTX_load_verify_file(context, config->ca) != 1) {
		return tls_refuse("CA", config->ca);
	}
	if (SSL_CTX_use_certificate_chain_file(context, config->certificate) != 1) {
		return tls_refuse("Certificate", config->certificate);
	}
	if (SSL_CTX_use_PrivateKey_file(context, config->key, SSL_FILETYPE_PEM) != 1 ||
		SSL_CTX_check_private_key(context) != 1) {
		return tls_refuse("Key", config->key);
	}
	return CKR_OK;
}

/* Everything is set here, since a new context takes the defaults of the system's openssl.cnf. */
static CK_RV tls_configure(struct tls *tls, const struct client_config *config)
{
	SSL_CTX *context = tls->context;
	SSL_CTX_set_app_data(context, tls);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_options(context, SSL_OP_CLEANSE_PLAINTEXT | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_mode(context, SSL_MODE_AUTO_RETRY);
	SSL_CTX_set_read_ahead(context, 1);
	SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(context, tls_session_arrived);
	SSL_CTX_set_info_callback(context, tls_alert);
	if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1 ||
		SSL_CTX_set_ciphersuites(
			context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1 ||
		SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1) {
		return CKR_HOST_MEMORY;
	}
	return tls_load_files(context, config);
}

/* Only C_Initialize comes here, which one thread runs at a time. */
static OSSL_LIB_CTX *tls_own_library(void)
{
	if (tls_libraries != NULL && tls_libraries->process == getpid()) {
		return tls_libraries->context;
	}
	struct tls_library *library = malloc(sizeof(*library));
	OSSL_LIB_CTX *context = OSSL_LIB_CTX_new();
	if (library == NULL || context == NULL || OSSL_PROVIDER_load(context, "default") == NULL) {
		OSSL_LIB_CTX_free(context);
		free(library);
		return NULL;
	}
	*library = (struct tls_library){.older = tls_libraries, .process = getpid(), .context = context};
	tls_libraries = library;
	return context;
}

static CK_RV tls_load(struct tls *tls, const struct client_config *config)
{
	/* A host program that never used OpenSSL may call C_Finalize from atexit: OpenSSL must still be there then. */
	if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL) != 1) {
		return CKR_HOST_MEMORY;
	}
	tls->library = tls_own_library();
	tls->context = tls->library != NULL ? SSL_CTX_new_ex(tls->library, NULL, TLS_client_method()) : NULL;
	tls->method = tls_socket_method();
	return tls->context != NULL && tls->method != NULL ? tls_configure(tls, config) : CKR_HOST_MEMORY;
}

CK_RV tls_new(const struct client_config *config, const struct locking *how, struct tls **ret_tls)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	if (tls == NULL) {
		return CKR_HOST_MEMORY;
	}
	tls->name = config->server_name != NULL ? config->server_name : config->host;
	struct in6_addr address;
	tls->name_is_address = inet_pton(AF_INET, tls->name, &address) == 1 ||
			       inet_pton(AF_INET6, tls->name, &address) == 1;
	CK_RV rv = lock_init(&tls->lock, how);
	tls->lock_ready = rv == CKR_OK;
	if (rv == CKR_OK) {
		ERR_set_mark();
		rv = tls_load(tls, config);
		ERR_pop_to_mark();
	}
	if (rv != CKR_OK) {
		tls_free(tls);
		return rv;
	}
	*ret_tls = tls;
	return CKR_OK;
}

void tls_free(struct tls *tls)
{
	if (tls == NULL) {
		return;
	}
	if (tls_usable()) {
		SSL_SESSION_free(tls->session);
		SSL_CTX_free(tls->context);
		BIO_meth_free(tls->method);
	}
	if (tls->lock_ready) {
		lock_done(&tls->lock);
	}
	free(tls);
}

/* The gateway's name (RFC 9525) or address (RFC 6125, section 1.7.2); server_name (RFC 6066) is for names only. */
static bool tls_expect_name(const struct tls *tls, SSL *ssl)
{
	if (tls->name_is_address) {
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), tls->name) == 1;
	}
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, tls->name) == 1 && SSL_set_tlsext_host_name(ssl, tls->name) == 1;
}

SSL *tls_connection(struct tls *tls, struct tls_socket *socket)
{
	SSL *ssl = SSL_new(tls->context);
	BIO *bio = BIO_new_ex(tls->library, tls->method);
	if (ssl == NULL || bio == NULL || !tls_expect_name(tls, ssl)) {
		BIO_free(bio);
		SSL_free(ssl);
		return NULL;
	}
	BIO_set_data(bio, socket);
	BIO_set_init(bio, 1);
	SSL_set_bio(ssl, bio, bio);
	SSL_set_app_data(ssl, socket);
	lock_take(&tls->lock);
	SSL_SESSION *session = tls->session;
	if (session != NULL) {
		SSL_SESSION_up_ref(session);
	}
	lock_release(&tls->lock);
	if (session != NULL) {
		/* Refused means a full handshake. */
		(void)SSL_set_session(ssl, session);
		SSL_SESSION_free(session);
	}
	SSL_set_connect_state(ssl);
	return ssl;
}
