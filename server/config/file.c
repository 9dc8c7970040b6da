#include "server/config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/secret.h"

static enum status read_all(int fd, unsigned char *data, size_t *ret_len)
{
	size_t used = 0;

	for (;;) {
		ssize_t got = read(fd, data + used, LIMIT_FILE + 1 - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return STATUS_IO;
		used += (size_t)got;
		if (used > LIMIT_FILE)
			return STATUS_TOO_LARGE;
		if (got == 0)
			break;
	}
	data[used] = '\0';
	*ret_len = used;
	return STATUS_OK;
}

enum status file_read(const char *path, unsigned char **ret_data, size_t *ret_len)
{
	/* O_NONBLOCK: a FIFO put in the file's place must not stop the start. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return STATUS_IO;
	unsigned char *data = malloc(LIMIT_FILE + 1);
	if (!data) {
		close(fd);
		return STATUS_NO_MEMORY;
	}
	enum status status = read_all(fd, data, ret_len);
	int saved = errno;
	close(fd);
	errno = saved;
	if (status != STATUS_OK) {
		secret_wipe(data, LIMIT_FILE + 1);
		free(data);
		return status;
	}
	*ret_data = data;
	return STATUS_OK;
}
