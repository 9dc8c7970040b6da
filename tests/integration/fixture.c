#include "tests/integration/fixture.h"
#include "tests/support/lib/scratch.h"

#include <criterion/criterion.h>
#include <curl/curl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

/* --- gateways --- */

int program_run(char *const argv[])
{
	pid_t child = fork();
	int status = -1;

	if (child == 0) {
		execvp(argv[0], argv);
		_exit(127);
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* The sandbox's env file is "export NAME='value'" lines. */
static void read_variable(const char *directory, const char *name, char *out, size_t size)
{
	char path[300], line[600], start[80];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/env", directory);
	(void)snprintf(start, sizeof(start), "export %s=", name);
	file = fopen(path, "re");
	cr_assert_not_null(file, "no %s", path);
	while (fgets(line, sizeof(line), file) != NULL) {
		char *value = line + strlen(start);
		if (strncmp(line, start, strlen(start)) != 0)
			continue;
		value[strcspn(value, "\n")] = '\0';
		if (*value == '\'' || *value == '"') {
			value[strlen(value) - 1] = '\0';
			value++;
		}
		(void)snprintf(out, size, "%s", value);
		(void)fclose(file);
		return;
	}
	(void)fclose(file);
	cr_assert_fail("%s has no %s", path, name);
}

static void gateway_read(struct gateway *g)
{
	char pid[32];
	const struct {
		const char *name;
		char *out;
		size_t size;
	} all[] = {{"P11GATE_URL", g->url, sizeof(g->url)}, {"P11GATE_SLOT", g->slot, sizeof(g->slot)},
		{"P11GATE_PIN", g->pin, sizeof(g->pin)}, {"P11GATE_SO_PIN", g->so_pin, sizeof(g->so_pin)},
		{"P11GATE_CA", g->ca, sizeof(g->ca)}, {"P11GATE_CERT", g->certificate, sizeof(g->certificate)},
		{"P11GATE_KEY", g->key, sizeof(g->key)}, {"P11GATE_CERT2", g->certificate2, sizeof(g->certificate2)},
		{"P11GATE_KEY2", g->key2, sizeof(g->key2)}, {"P11GATE_MODULE", g->module, sizeof(g->module)},
		{"P11GATE_CONF", g->configuration, sizeof(g->configuration)},
		{"P11GATE_CONF2", g->configuration2, sizeof(g->configuration2)},
		{"P11GATE_DIRECT_MODULE", g->direct_module, sizeof(g->direct_module)},
		{"P11GATE_AUDIT_LOG", g->audit_log, sizeof(g->audit_log)}, {"P11GATE_TOOL", g->tool, sizeof(g->tool)},
		{"SOFTHSM2_CONF", g->softhsm_conf, sizeof(g->softhsm_conf)}, {"P11GATE_PID", pid, sizeof(pid)}};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		read_variable(g->directory, all[i].name, all[i].out, all[i].size);
	g->pid = (pid_t)strtol(pid, NULL, 10);
}

void gateway_shared(struct gateway *g)
{
	const char *directory = getenv("P11GATE_SANDBOX");

	cr_assert_not_null(directory, "P11GATE_SANDBOX is not set: run the suite with tests/run.sh integration");
	memset(g, 0, sizeof(*g));
	(void)snprintf(g->directory, sizeof(g->directory), "%s", directory);
	gateway_read(g);
}

static void sandbox(const struct gateway *g, const char *verb)
{
	char command[1200];
	char *argv[] = {"sh", "-c", command, NULL};

	(void)snprintf(command, sizeof(command),
		"config/sandbox.sh %s '%s' > '%s.log' 2>&1 || { cat '%s.log' >&2; exit 1; }", verb, g->directory,
		g->directory, g->directory);
	cr_assert_eq(program_run(argv), 0, "config/sandbox.sh %s failed", verb);
}

void gateway_start(struct gateway *g)
{
	memset(g, 0, sizeof(*g));
	scratch_directory(g->directory, sizeof(g->directory));
	g->own = true;
	sandbox(g, "start");
	gateway_read(g);
}

void gateway_restart(struct gateway *g)
{
	char port[16];

	(void)snprintf(port, sizeof(port), "%s", strrchr(g->url, ':') + 1);
	setenv("PORT", port, 1);
	sandbox(g, "start");
	unsetenv("PORT");
	gateway_read(g);
}

void gateway_stop(struct gateway *g)
{
	char log[300];
	char *remove_argv[] = {"rm", "-rf", g->directory, log, NULL};

	(void)snprintf(log, sizeof(log), "%s.log", g->directory);
	sandbox(g, "stop");
	cr_assert_eq(program_run(remove_argv), 0);
}

void shell(const char *command, ...)
{
	char text[1200];
	char *argv[] = {"sh", "-c", text, NULL};
	va_list arguments;

	va_start(arguments, command);
	(void)vsnprintf(text, sizeof(text), command, arguments);
	va_end(arguments);
	cr_assert_eq(program_run(argv), 0, "%s failed", text);
}

/* --- HTTPS --- */

/* Certificates that the sandbox does not have are made beside it, once. */
static void other_certificate(const struct gateway *g, enum person who, char *certificate, char *key, size_t size)
{
	const char *name = who == STRANGER ? "stranger" : "foreigner";
	char command[2048];
	char *argv[] = {"sh", "-c", command, NULL};

	(void)snprintf(certificate, size, "%s.%s.crt", g->directory, name);
	(void)snprintf(key, size, "%s.%s.key", g->directory, name);
	if (access(certificate, R_OK) == 0)
		return;
	(void)snprintf(command, sizeof(command), "tests/support/certificate.sh %s '%s' '%s' '%s'", name, g->directory,
		certificate, key);
	cr_assert_eq(program_run(argv), 0, "tests/support/certificate.sh failed");
}

static void credentials(const struct gateway *g, enum person who, char *certificate, char *key, size_t size)
{
	switch (who) {
	case ALICE:
	case BOB:
		(void)snprintf(certificate, size, "%s", who == ALICE ? g->certificate : g->certificate2);
		(void)snprintf(key, size, "%s", who == ALICE ? g->key : g->key2);
		return;
	case STRANGER:
	case FOREIGNER: other_certificate(g, who, certificate, key, size); return;
	case NOBODY: break;
	}
	*certificate = *key = '\0';
}

struct sink {
	char *data;
	size_t len;
};

static size_t collect(char *data, size_t size, size_t count, void *context)
{
	struct sink *sink = context;
	char *grown = realloc(sink->data, sink->len + size * count + 1);

	if (grown == NULL)
		return 0;
	memcpy(grown + sink->len, data, size * count);
	sink->data = grown;
	sink->len += size * count;
	sink->data[sink->len] = '\0';
	return size * count;
}

static bool says_type(const char *const headers[])
{
	bool says = false;

	for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
		says = says || strncasecmp(headers[i], "Content-Type:", strlen("Content-Type:")) == 0;
	return says;
}

static CURL *connection_as(const struct gateway *g, enum person who, const char *path)
{
	char url[2048], certificate[400], key[400];
	CURL *curl = curl_easy_init();

	(void)snprintf(url, sizeof(url), "%s%s", g->url, path);
	credentials(g, who, certificate, key, sizeof(key));
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
	curl_easy_setopt(curl, CURLOPT_CAINFO, g->ca);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	if (*certificate != '\0') {
		curl_easy_setopt(curl, CURLOPT_SSLCERT, certificate);
		curl_easy_setopt(curl, CURLOPT_SSLKEY, key);
	}
	return curl;
}

bool request_cut(const struct gateway *g, enum person who, const char *bytes, size_t len, unsigned microseconds)
{
	const struct timespec pause = {.tv_nsec = (long)microseconds * 1000};
	CURL *curl = connection_as(g, who, "/");
	size_t sent = 0;

	curl_easy_setopt(curl, CURLOPT_CONNECT_ONLY, 1L);
	bool all = curl_easy_perform(curl) == CURLE_OK && curl_easy_send(curl, bytes, len, &sent) == CURLE_OK &&
		   sent == len;
	nanosleep(&pause, NULL);
	curl_easy_cleanup(curl);
	return all;
}

struct answer request(const struct gateway *g, enum person who, const char *method, const char *path, const char *body,
	const char *const headers[])
{
	struct answer answer = {0};
	struct sink text = {0}, head = {0};
	struct curl_slist *list = NULL;
	CURL *curl = connection_as(g, who, path);

	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (body != NULL) {
		if (!says_type(headers))
			list = curl_slist_append(list, "Content-Type: application/json");
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	}
	for (size_t i = 0; headers != NULL && headers[i] != NULL; i++)
		list = curl_slist_append(list, headers[i]);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, &text);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, &head);
	if (curl_easy_perform(curl) == CURLE_OK)
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.status);
	answer.text = text.data != NULL ? text.data : strdup("");
	answer.json = json_loads(answer.text, 0, NULL);
	(void)snprintf(answer.headers, sizeof(answer.headers), "%s", head.data != NULL ? head.data : "");
	free(head.data);
	curl_slist_free_all(list);
	curl_easy_cleanup(curl);
	return answer;
}

void answer_free(struct answer *answer)
{
	free(answer->text);
	json_decref(answer->json);
	memset(answer, 0, sizeof(*answer));
}

const char *member(const struct answer *answer, const char *path)
{
	const json_t *at = answer->json;
	char name[64];

	while (at != NULL && *path != '\0') {
		size_t len = strcspn(path, ".");
		(void)snprintf(name, sizeof(name), "%.*s", (int)len, path);
		at = json_object_get(at, name);
		path += len + (path[len] == '.');
	}
	return json_is_string(at) ? json_string_value(at) : "";
}

ssize_t raw_request(
	const struct gateway *g, enum person who, const char *bytes, size_t len, char *ret_answer, size_t size)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	char certificate[400], key[400];
	ssize_t total = -1;
	BIO *bio;

	credentials(g, who, certificate, key, sizeof(key));
	if (*certificate != '\0') {
		cr_assert_eq(SSL_CTX_use_certificate_chain_file(context, certificate), 1);
		cr_assert_eq(SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM), 1);
	}
	bio = BIO_new_ssl_connect(context);
	BIO_set_conn_hostname(bio, g->url + strlen("https://"));
	if (BIO_do_connect(bio) == 1 && BIO_do_handshake(bio) == 1 && BIO_write(bio, bytes, (int)len) > 0) {
		int n;
		total = 0;
		while ((size_t)total < size - 1 &&
			(n = BIO_read(bio, ret_answer + total, (int)(size - 1 - (size_t)total))) > 0)
			total += n;
		ret_answer[total] = '\0';
		if (total == 0)
			total = -1; /* TLS 1.3: a refused certificate shows at the first read */
	}
	BIO_free_all(bio);
	SSL_CTX_free(context);
	return total;
}

void rest_login(const struct gateway *g, enum person who, const char *const headers[])
{
	char path[200], body[200];

	(void)snprintf(path, sizeof(path), "/v1/slots/%s/applications/current/login", g->slot);
	(void)snprintf(body, sizeof(body), "{\"pin\":\"%s\"}", g->pin);
	ANSWER_AUTO answer = request(g, who, "POST", path, body, headers);
	cr_assert(answer.status == 200 || answer.status == 409, "login: %ld %s", answer.status, answer.text);
}

void rest_key(const struct gateway *g, const char *body)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "/v1/slots/%s/keys", g->slot);
	ANSWER_AUTO answer = request(g, ALICE, "POST", path, body, NULL);
	cr_assert_eq(answer.status, 201, "generate: %ld %s", answer.status, answer.text);
}
