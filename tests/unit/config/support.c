#include "tests/unit/config/support.h"
#include "tests/support/lib/scratch.h"

#include <criterion/criterion.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

char folder[64];
char config_file[96];

/* The tests count its lines. */
const char good[] = "listen: {address: 127.0.0.1, port: 0}\n"
		    "tls:\n"
		    "  certificate: server.crt\n"
		    "  key: server.key\n"
		    "  client_ca: ca.crt\n"
		    "state_directory: state\n"
		    "runtime_directory: run\n"
		    "limits:\n"
		    "  sign_s: 10\n"
		    "modules:\n"
		    "  - name: softhsm\n"
		    "    path: module.so\n"
		    "    environment:\n"
		    "      - {name: A, value: b}\n"
		    "slots:\n"
		    "  - name: one\n"
		    "    module: softhsm\n"
		    "    token: {label: one}\n"
		    "  - name: two\n"
		    "    module: softhsm\n"
		    "    token: {serial: \"02\"}\n"
		    "identities:\n"
		    "  - name: alice\n"
		    "    certificate: {subject: CN=alice}\n"
		    "  - name: bob\n"
		    "    certificate: {san_dns: bob.example.org}\n"
		    "policy:\n"
		    "  - identities: [alice, bob]\n"
		    "    slots: [one]\n"
		    "    allow: [read, login]\n";

static void path_of(char ret_path[128], const char *name)
{
	snprintf(ret_path, 128, "%s/%s", folder, name);
}

void file_write(const char *name, const char *text, size_t len)
{
	char path[128];

	path_of(path, name);
	unlink(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	cr_assert_eq(write(fd, text, len), (ssize_t)len);
	close(fd);
}

static FILE *pem_open(const char *name)
{
	char path[128];

	path_of(path, name);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	cr_assert(fd >= 0);
	FILE *file = fdopen(fd, "w");
	cr_assert_not_null(file);
	return file;
}

static void write_key(const char *name, EVP_PKEY *key, const char *passphrase)
{
	FILE *file = pem_open(name);

	cr_assert_eq(PEM_write_PKCS8PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, passphrase,
			     passphrase ? (int)strlen(passphrase) : 0, NULL, NULL),
		1);
	fclose(file);
}

/* A self-signed certificate that is valid between the two times, in seconds from now. */
static X509 *certificate(const char *name, EVP_PKEY *key, long from, long until)
{
	X509 *x509 = X509_new();
	X509_NAME *subject = X509_get_subject_name(x509);

	ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
	X509_gmtime_adj(X509_getm_notBefore(x509), from);
	X509_gmtime_adj(X509_getm_notAfter(x509), until);
	X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
	X509_set_issuer_name(x509, subject);
	X509_set_pubkey(x509, key);
	cr_assert_gt(X509_sign(x509, key, EVP_sha256()), 0);
	FILE *file = pem_open(name);
	cr_assert_eq(PEM_write_X509(file, x509), 1);
	fclose(file);
	return x509;
}

static void write_crl(EVP_PKEY *key, X509 *issuer)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = X509_gmtime_adj(NULL, 0);

	X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer));
	X509_CRL_set1_lastUpdate(crl, now);
	cr_assert_gt(X509_CRL_sign(crl, key, EVP_sha256()), 0);
	FILE *file = pem_open("ca.crl");
	cr_assert_eq(PEM_write_X509_CRL(file, crl), 1);
	fclose(file);
	ASN1_TIME_free(now);
	X509_CRL_free(crl);
}

static void make_certificates(void)
{
	enum { DAY = 86400 };
	EVP_PKEY *key = EVP_EC_gen("P-256"), *other = EVP_EC_gen("P-256");
	X509 *server = certificate("server.crt", key, -DAY, DAY);
	char path[128];

	X509_free(certificate("ca.crt", key, -DAY, DAY));
	X509_free(certificate("expired.crt", key, -2 * DAY, -DAY));
	X509_free(certificate("future.crt", key, DAY, 2 * DAY));
	write_crl(key, server);
	write_key("server.key", key, NULL);
	write_key("open.key", key, NULL);
	path_of(path, "open.key");
	cr_assert_eq(chmod(path, 0644), 0);
	write_key("locked.key", key, "secret");
	write_key("other.key", other, NULL);
	X509_free(server);
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

/* The header of this program, which is position-independent as a shared object is. */
static void make_module(void)
{
	char header[64];
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	cr_assert_eq(read(fd, header, sizeof header), (ssize_t)sizeof header);
	close(fd);
	file_write("module.so", header, sizeof header);
	header[18] ^= 0x55; /* e_machine */
	file_write("foreign.so", header, sizeof header);
}

void folder_make(void)
{
	scratch_directory(folder, sizeof(folder));
	snprintf(config_file, sizeof config_file, "%s/p11gated.yaml", folder);
	make_certificates();
	make_module();
	file_write("garbage.txt", "no PEM, no ELF\n", 15);
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *place)
{
	(void)about;
	(void)kind;
	(void)place;
	return remove(path);
}

void folder_remove(void)
{
	nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

char *replaced(const char *text, const char *from, const char *to)
{
	const char *at = from ? strstr(text, from) : text + strlen(text);
	char *result = NULL;

	cr_assert_not_null(at, "the good configuration has no %s", from);
	cr_assert_gt(asprintf(&result, "%.*s%s%s", (int)(at - text), text, to, at + (from ? strlen(from) : 0)), -1);
	return result;
}

enum status load_text(const char *text, size_t len, struct config **ret_config, char *ret_error)
{
	file_write("p11gated.yaml", text, len);
	return config_load(config_file, ret_config, ret_error, 1024);
}

struct config *load_good(const char *from, const char *to)
{
	struct config *config = NULL;
	char error[1024];
	char *text = from || to ? replaced(good, from, to) : strdup(good);

	cr_assert_eq(load_text(text, strlen(text), &config, error), STATUS_OK, "%s", error);
	free(text);
	return config;
}
