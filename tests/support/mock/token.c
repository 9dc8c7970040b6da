#include "tests/support/mock/mock.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int token_fd = -1;
static struct token *token;

void mock_lock(void)
{
	pthread_mutex_lock(&lock);
	/* The kernel gives it up when a process ends in the middle. */
	while (token_fd >= 0 && flock(token_fd, LOCK_EX) != 0 && errno == EINTR)
		;
}

void mock_unlock(void)
{
	if (token_fd >= 0)
		flock(token_fd, LOCK_UN);
	pthread_mutex_unlock(&lock);
}

struct token *token_shared(void)
{
	return token;
}

static void pin_set(struct pin *pin, const char *text)
{
	pin->len = (unsigned)snprintf(pin->text, sizeof pin->text, "%s", text);
}

/* A new token as its control file describes it. */
static void token_make(void)
{
	const struct control *control = control_now();

	memset(token, 0, sizeof *token);
	memset(token->label, ' ', sizeof token->label);
	memcpy(token->label, control->label, strlen(control->label));
	pin_set(&token->user, control->pin);
	pin_set(&token->so, control->so_pin);
	token->size = sizeof *token;
}

/* Under mock_lock. */
CK_RV token_open(void)
{
	char path[256];

	control_path(".token", path);
	token_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	if (token_fd < 0 || flock(token_fd, LOCK_EX) != 0 || ftruncate(token_fd, sizeof *token) != 0)
		return CKR_DEVICE_ERROR;
	token = mmap(NULL, sizeof *token, PROT_READ | PROT_WRITE, MAP_SHARED, token_fd, 0);
	if (token == MAP_FAILED)
		return CKR_HOST_MEMORY;
	if (token->size != sizeof *token)
		token_make();
	return CKR_OK;
}

/* Under mock_lock. */
void token_close(void)
{
	munmap(token, sizeof *token);
	token = NULL;
	close(token_fd);
	token_fd = -1;
}

bool token_present(void)
{
	return !control_now()->removed && !token->taken_out;
}
