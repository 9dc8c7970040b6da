#include "client-module/application.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum {
	RANDOM_LEN = 8,
	PLACE_LEN = 4, /* bytes of the hash */
	FACT_MAX = 128, /* bytes of one fact about the place */
};

/* Where this process runs. A fact that cannot be read is left out: the random bytes carry the uniqueness. */
static size_t application_place(char place[3 * FACT_MAX])
{
	static const char *const FILES[] = {"/etc/machine-id", "/proc/sys/kernel/random/boot_id"};
	size_t len = 0;
	for (size_t i = 0; i < sizeof(FILES) / sizeof(FILES[0]); i++) {
		int fd = open(FILES[i], O_RDONLY | O_CLOEXEC | O_NOCTTY);
		ssize_t got = fd >= 0 ? read(fd, place + len, FACT_MAX) : -1;
		len += got > 0 ? (size_t)got : 0;
		if (fd >= 0) {
			close(fd);
		}
	}
	ssize_t got = readlink("/proc/self/ns/pid", place + len, FACT_MAX);
	return len + (got > 0 ? (size_t)got : 0);
}

CK_RV application_id(
	const struct client_config *config, OSSL_LIB_CTX *library, unsigned char ret_id[APPLICATION_ID_LEN])
{
	if (config->application_set) {
		memcpy(ret_id, config->application, APPLICATION_ID_LEN);
		return CKR_OK;
	}
	char place[3 * FACT_MAX];
	size_t place_len = application_place(place);
	unsigned char hash[EVP_MAX_MD_SIZE];
	if (EVP_Q_digest(library, "SHA256", NULL, place, place_len, hash, NULL) != 1 ||
		getrandom(ret_id, RANDOM_LEN, 0) != RANDOM_LEN) {
		return CKR_FUNCTION_FAILED;
	}
	memcpy(ret_id + RANDOM_LEN, hash, PLACE_LEN);
	uint32_t process = (uint32_t)getpid();
	for (unsigned i = 0; i < sizeof(process); i++) {
		ret_id[RANDOM_LEN + PLACE_LEN + i] = (unsigned char)(process >> (24 - 8 * i));
	}
	return CKR_OK;
}
