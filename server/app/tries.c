#include "server/app/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "api/decimal.h"
#include "server/common/log.h"

/*
 * The count of wrong PINs of a token (B16), in a file that gateways share: the user's and the security officer's, ten digits each.
 * What cannot be read counts as more than any budget, so that a lost count opens nothing.
 */

enum { NUMBER_LEN = 10, TRIES_LEN = 2 * NUMBER_LEN + 2, TRIES_PATH_MAX = 4096 };

static const struct tries unknown = {TRIES_UNKNOWN, TRIES_UNKNOWN};

/* False: the path is too long. */
static bool path_of(const struct settings *settings, const struct token *token, char path[TRIES_PATH_MAX])
{
	return (size_t)snprintf(path, TRIES_PATH_MAX, "%s/token-%s.tries", settings->runtime_directory, token->key) <
	       TRIES_PATH_MAX;
}

static bool parse(const char *text, size_t len, struct tries *ret_tries)
{
	uint64_t user, so;
	if (len != TRIES_LEN || text[NUMBER_LEN] != ' ' || text[TRIES_LEN - 1] != '\n' ||
		!decimal_parse(text, NUMBER_LEN, &user) || !decimal_parse(text + NUMBER_LEN + 1, NUMBER_LEN, &so))
		return false;
	*ret_tries = (struct tries){(unsigned)user, (unsigned)so};
	return true;
}

/* Once per fault, since anybody who may ask for the token's flags makes the gateway look. */
static void complain(struct token *token, const char *path, const char *error)
{
	if (atomic_exchange(&token->tries_faulty, true))
		return;
	log_event(LOG_LEVEL_ERROR,
		"the count of the token's wrong PINs cannot be read, so it gets no PIN but of those with "
		"may_use_last_tries; "
		"check the file, then run p11gate guard reset",
		"file", path, "error", error, NULL);
}

struct tries tries_read(const struct settings *settings, struct token *token)
{
	char path[TRIES_PATH_MAX], text[TRIES_LEN + 1];
	struct tries tries = {0, 0};
	if (atomic_load(&token->tries_lost) || !path_of(settings, token, path))
		return unknown;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return tries;
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text);
	int error = errno;
	if (fd >= 0)
		close(fd);
	if (len >= 0 && parse(text, (size_t)len, &tries)) {
		atomic_store(&token->tries_faulty, false);
		return tries;
	}
	complain(token, path, len < 0 ? strerror(error) : "it is damaged");
	return unknown;
}

/* A new file in the place of the old one, so that nobody sees half of it and whatever was there before is gone. */
static bool replace(const char *path, const char *text)
{
	char fresh[TRIES_PATH_MAX + 8];
	snprintf(fresh, sizeof fresh, "%s.new", path);
	int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0660);
	if (fd < 0)
		return false;
	bool written = write(fd, text, TRIES_LEN) == TRIES_LEN;
	written = close(fd) == 0 && written;
	return written && rename(fresh, path) == 0;
}

enum status tries_write(const struct settings *settings, struct token *token, const struct tries *tries)
{
	char path[TRIES_PATH_MAX] = "", text[2 * TRIES_LEN];
	snprintf(text, sizeof text, "%010u %010u\n", tries->user, tries->so);
	bool kept = path_of(settings, token, path) && replace(path, text);
	atomic_store(&token->tries_lost, !kept);
	if (kept)
		return STATUS_OK;
	log_event(LOG_LEVEL_ERROR,
		"the count of the token's wrong PINs cannot be kept, so it gets no PIN but of those with "
		"may_use_last_tries; "
		"make runtime_directory writable, then run p11gate guard reset",
		"file", path, "error", strerror(errno), NULL);
	return STATUS_IO;
}
