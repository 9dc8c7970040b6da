#include "tests/support/test_worker/test_worker.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

void line(struct job *job, const char *key, const char *value)
{
	buffer_text(&job->body, key);
	buffer_byte(&job->body, '=');
	buffer_text(&job->body, value);
	buffer_byte(&job->body, '\n');
}

void line_number(struct job *job, const char *key, uint64_t value)
{
	char text[32];
	snprintf(text, sizeof text, "%llu", (unsigned long long)value);
	line(job, key, text);
}

void must(bool done)
{
	if (!done)
		_exit(3);
}

void set_login(const char *value)
{
	char *end;
	pthread_mutex_lock(&self.mutex);
	self.login = self.native = (enum login_state)strtoul(value, &end, 10);
	if (*end == ',')
		self.native = (enum login_state)strtoul(end + 1, NULL, 10);
	self.serial++;
	pthread_mutex_unlock(&self.mutex);
}

static void set_serial(const char *value)
{
	pthread_mutex_lock(&self.mutex);
	self.serial = strtoull(value, NULL, 10);
	pthread_mutex_unlock(&self.mutex);
}

static void set(unsigned *variable, const char *value)
{
	pthread_mutex_lock(&self.mutex);
	*variable = (unsigned)strtoul(value, NULL, 10);
	self.serial++;
	pthread_mutex_unlock(&self.mutex);
}

static void stay(void)
{
	pthread_mutex_lock(&self.mutex);
	self.staying++;
	pthread_cond_broadcast(&self.idle);
	while (self.staying > 0)
		pthread_cond_wait(&self.idle, &self.mutex);
	pthread_mutex_unlock(&self.mutex);
}

static void go(void)
{
	pthread_mutex_lock(&self.mutex);
	while (self.staying == 0)
		pthread_cond_wait(&self.idle, &self.mutex);
	self.staying = 0;
	pthread_cond_broadcast(&self.idle);
	pthread_mutex_unlock(&self.mutex);
}

static void show_descriptors(struct job *job)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	unsigned count = 0, highest = 0;
	while (directory != NULL && (entry = readdir(directory)) != NULL) {
		unsigned fd = (unsigned)strtoul(entry->d_name, NULL, 10);
		if (entry->d_name[0] == '.' || fd == (unsigned)dirfd(directory))
			continue;
		count++;
		highest = fd > highest ? fd : highest;
	}
	closedir(directory);
	line_number(job, "descriptors", count);
	line_number(job, "highest", highest);
}

static void show_question(struct job *job)
{
	line_number(job, "anonymous", job->request->anonymous);
	line(job, "identity", job->request->identity);
	line(job, "application", self.start.application);
	line_number(job, "role", self.start.role);
	line_number(job, "slots", self.start.slots.count);
	line_number(job, "start_generation", self.start.token_generation);
	line_number(job, "body", job->request->body.len);
	line_number(job, "cache_pin", self.login_rules.cache_pin);
	line_number(job, "logout_after", self.login_rules.logout_after);
	line_number(job, "aa_oneshot", self.login_rules.aa_oneshot);
}

static void fill(struct job *job, size_t len)
{
	for (size_t i = 0; i < len; i++)
		buffer_byte(&job->body, 'x');
}

static void carry_out(struct job *job, const char *name, const char *value)
{
	if (strcmp(name, "sleep") == 0)
		usleep((useconds_t)strtoul(value, NULL, 10) * 1000);
	else if (strcmp(name, "stay") == 0)
		stay();
	else if (strcmp(name, "go") == 0)
		go();
	else if (strcmp(name, "hang") == 0)
		for (;;)
			pause();
	else if (strcmp(name, "die") == 0)
		_exit(1);
	else if (strcmp(name, "garbage") == 0)
		job->garbage = true;
	else if (strcmp(name, "big") == 0)
		fill(job, strtoul(value, NULL, 10));
	else if (strcmp(name, "again") == 0)
		job->status = job->request->anonymous ? 200 : 0;
	else if (strcmp(name, "calls") == 0)
		job->call = (struct bytes){(const unsigned char *)value, strlen(value)};
	else if (strcmp(name, "open") == 0)
		job->opened = value;
	else if (strcmp(name, "sessions") == 0)
		set(&self.sessions, value);
	else if (strcmp(name, "login") == 0)
		set_login(value);
	else if (strcmp(name, "serial") == 0)
		set_serial(value);
	else if (strcmp(name, "uncached") == 0)
		set(&self.uncached, value);
	else if (strcmp(name, "acquire") == 0)
		acquire(job, value);
	else if (strcmp(name, "release") == 0)
		release(job, value);
	else if (strcmp(name, "tell") == 0)
		for (unsigned long left = strtoul(value, NULL, 10); left > 0; left--)
			tell_state(LOGIN_USER, LOGIN_END_LEASE);
	else if (strcmp(name, "news") == 0)
		for (unsigned long left = strtoul(value, NULL, 10); left > 0; left--)
			tell_state(LOGIN_NONE, LOGIN_END_LEASE);
	else if (strcmp(name, "waiting") == 0)
		tell_wait(job, true);
	else if (strcmp(name, "wait") == 0)
		wait_for_others(job, value);
	else if (strcmp(name, "verify") == 0)
		ask_to_verify(job, value);
	else if (strcmp(name, "intent") == 0)
		intend(job, value);
	else if (strcmp(name, "event") == 0)
		job->event = true;
	else if (strcmp(name, "question") == 0)
		show_question(job);
	else if (strcmp(name, "descriptors") == 0)
		show_descriptors(job);
	else if (strcmp(name, "environment") == 0)
		for (char **entry = environ; *entry != NULL; entry++)
			line(job, "environment", *entry);
	else if (strcmp(name, "fail") == 0)
		job->rv = strtoull(value, NULL, 0);
	else if (strcmp(name, "deaf") == 0)
		self.deaf = true;
	else if (strcmp(name, "mute") == 0)
		self.mute = true;
}

void carry_out_all(struct job *job, const char *script)
{
	char *copy = arena_copy(job->arena, script, strlen(script)), *state = NULL;
	for (char *command = strtok_r(copy, ";", &state); command != NULL; command = strtok_r(NULL, ";", &state)) {
		char *value = strchr(command, '=');
		if (value != NULL)
			*value++ = '\0';
		carry_out(job, command, value == NULL ? "" : value);
	}
}
