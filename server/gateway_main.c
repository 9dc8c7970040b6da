/*
 * p11gated, the gateway: options, start, signals and administration commands, stop.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/app/registry.h"
#include "server/audit/audit.h"
#include "server/common/clock.h"
#include "server/common/log.h"
#include "server/common/memory.h"
#include "server/config/config.h"
#include "server/http/admin.h"
#include "server/http/listener.h"
#include "server/http/operator.h"
#include "server/store/journal.h"

enum {
	EXIT_USAGE = 2,
	ERROR_MAX = 2048, /* bytes of a message */
	PATH_LEN_MAX = 1024,
	STOP_GRACE_MS = 10000, /* for the requests in flight */
	TRIM_PERIOD_MS = 30000, /* how often unused memory is looked for */
	FILES_WANTED = 65536, /* open files: a socket per connection, several per worker */
	READY_DETAIL_MAX = 256,
};

#define DEFAULT_CONFIG "/etc/p11gate/p11gated.yaml"

struct options {
	const char *config;
	bool check;
	int port; /* -1: as configured */
};

struct gateway {
	const struct options *options;
	char directory[PATH_LEN_MAX]; /* runtime directory, as it was at the start */
	char audit_file[PATH_LEN_MAX];
	char journal_file[PATH_LEN_MAX];
	char address[256];
	uint16_t configured_port;
	struct audit *audit;
	struct journal *journal;
	struct registry *registry;
	struct listener *listener;
	struct admin *admin;
	int signals;
	int64_t started_ms;
	bool start_recorded; /* so its end has to be */
	bool stop; /* somebody asked for it */
};

static void usage(FILE *out)
{
	fputs("Usage: p11gated [--config FILE] [--port N]\n"
	      "       p11gated --check FILE\n"
	      "\n"
	      "Lets programs on other hosts use the PKCS#11 tokens of this one.\n"
	      "\n"
	      "  --config FILE   configuration (default " DEFAULT_CONFIG ")\n"
	      "  --check FILE    says whether the configuration is good, and ends\n"
	      "  --port N        listens on this port instead of the configured one; 0: any free port\n"
	      "  --version       prints the version, and ends\n"
	      "  --help          prints this, and ends\n"
	      "\n"
	      "SIGHUP reads the configuration again; SIGTERM and SIGINT stop after the requests in flight.\n",
		out);
}

static bool port_parse(const char *text, int *ret_port)
{
	char *end;
	errno = 0;
	long port = strtol(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || port < 0 || port > UINT16_MAX)
		return false;
	*ret_port = (int)port;
	return true;
}

/* -1: go on; else the exit status. */
static int options_parse(int argc, char **argv, struct options *ret_options)
{
	static const struct option known[] = {
		{"config", required_argument, NULL, 'c'},
		{"check", required_argument, NULL, 'k'},
		{"port", required_argument, NULL, 'p'},
		{"version", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	*ret_options = (struct options){.config = DEFAULT_CONFIG, .port = -1};
	for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		switch (option) {
		case 'k':
			ret_options->check = true;
			ret_options->config = optarg;
			break;
		case 'c': ret_options->config = optarg; break;
		case 'p':
			if (port_parse(optarg, &ret_options->port))
				break;
			fprintf(stderr, "p11gated: --port %s: a port is a number from 0 to 65535\n", optarg);
			return EXIT_USAGE;
		case 'v': puts("p11gated " P11GATE_VERSION); return EXIT_SUCCESS;
		case 'h': usage(stdout); return EXIT_SUCCESS;
		default: usage(stderr); return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "p11gated: %s: unexpected argument; see --help\n", argv[optind]);
	return EXIT_USAGE;
}

/*
 * glibc's per-thread cache of freed memory cannot be switched off in a running process: with a thread per connection it keeps
 * 20 KB for each idle one. So the program starts itself again with the setting. If that is not possible it goes on without.
 */
static void allocator_setup(char **argv)
{
	char program[PATH_LEN_MAX] = "";
	ssize_t len = readlink("/proc/self/exe", program, sizeof program - 1);
	if (len > 0 && getenv("GLIBC_TUNABLES") == NULL &&
		setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0", 1) == 0)
		execv(program, argv);
}

/* No core dump, no ptrace by others: PINs pass through this process (X6). */
static bool harden(void)
{
	static const struct rlimit no_core = {0, 0};
	struct rlimit files;
	if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return false;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < FILES_WANTED) {
		files.rlim_cur = files.rlim_max < FILES_WANTED ? files.rlim_max : FILES_WANTED;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	return signal(SIGPIPE, SIG_IGN) != SIG_ERR;
}

/* Before any thread: they inherit the mask, so that the signals arrive here alone. */
static int signals_open(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void logging_setup(const struct config *config)
{
	static const char *const levels[] = {
		[LOG_LEVEL_ERROR] = "error",
		[LOG_LEVEL_WARNING] = "warning",
		[LOG_LEVEL_INFO] = "info",
		[LOG_LEVEL_DEBUG] = "debug",
	};
	enum log_level level = LOG_LEVEL_INFO;
	for (size_t i = 0; i < sizeof levels / sizeof *levels; i++)
		if (strcmp(levels[i], config->log.level) == 0)
			level = (enum log_level)i;
	log_setup(level, config->log.json);
}

static bool directory_make(const char *path, char *ret_error)
{
	struct stat info;
	if (mkdir(path, 0700) != 0 && errno != EEXIST) {
		snprintf(ret_error, ERROR_MAX, "%s: the directory cannot be made: %s", path, strerror(errno));
		return false;
	}
	if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode) || access(path, W_OK | X_OK) != 0) {
		snprintf(ret_error, ERROR_MAX, "%s: this user cannot write there; give the directory to it", path);
		return false;
	}
	return true;
}

/* A file of the runtime directory with one number, for scripts: never seen half-written. */
static bool number_write(const struct gateway *gateway, const char *name, unsigned long number, char *ret_error)
{
	char path[PATH_LEN_MAX + 64], temporary[PATH_LEN_MAX + 80];
	snprintf(path, sizeof path, "%s/%s", gateway->directory, name);
	snprintf(temporary, sizeof temporary, "%s.new", path);
	FILE *file = fopen(temporary, "we");
	bool written = file != NULL && fprintf(file, "%lu\n", number) > 0;
	if (file != NULL)
		written = fclose(file) == 0 && written;
	if (written && rename(temporary, path) == 0)
		return true;
	snprintf(ret_error, ERROR_MAX, "%s cannot be written: %s", path, strerror(errno));
	return false;
}

static void number_remove(const struct gateway *gateway, const char *name)
{
	char path[PATH_LEN_MAX + 64];
	snprintf(path, sizeof path, "%s/%s", gateway->directory, name);
	unlink(path);
}

/* The logout has happened: a log that cannot be written does not undo it, and refuses key uses from now on. */
static void logout_record(void *context, const struct registry_logout *logout)
{
	struct gateway *gateway = context;
	const struct audit_subject subject = {
		.trace = "",
		.identity = logout->identity,
		.certificate_sha256 = "",
		.peer = "",
		.slot = logout->slot,
		.application = logout->application,
	};
	if (audit_logout(gateway->audit, &subject, logout->user, logout->reason) != STATUS_OK)
		log_event(LOG_LEVEL_ERROR, "audit log cannot be written; a logout is not in it", "identity",
			logout->identity, "slot", logout->slot, "application", logout->application, "user",
			logout->user, "reason", logout->reason, NULL);
}

static enum status configuration_read(const struct options *options, struct config **ret_config, char *ret_error)
{
	enum status status = config_load(options->config, ret_config, ret_error, ERROR_MAX);
	if (status == STATUS_OK && options->port >= 0)
		(*ret_config)->listen.port = (uint16_t)options->port;
	return status;
}

static bool keep_texts(struct gateway *gateway, const struct config *config, char *ret_error)
{
	gateway->configured_port = config->listen.port;
	if ((size_t)snprintf(gateway->directory, sizeof gateway->directory, "%s", config->runtime_directory) <
			sizeof gateway->directory &&
		(size_t)snprintf(gateway->audit_file, sizeof gateway->audit_file, "%s", config->audit_file) <
			sizeof gateway->audit_file &&
		(size_t)snprintf(gateway->journal_file, sizeof gateway->journal_file, "%s", config->journal.file) <
			sizeof gateway->journal_file &&
		(size_t)snprintf(gateway->address, sizeof gateway->address, "%s", config->listen.address) <
			sizeof gateway->address)
		return true;
	snprintf(ret_error, ERROR_MAX, "%s: a path is too long", config->file);
	return false;
}

/* Opens everything but the listener. */
static bool parts_open(struct gateway *gateway, const struct config *config, char *ret_error)
{
	char path[PATH_LEN_MAX + 64];
	if (!keep_texts(gateway, config, ret_error) || !directory_make(config->runtime_directory, ret_error) ||
		!directory_make(config->state_directory, ret_error))
		return false;
	snprintf(path, sizeof path, "%s/admin.sock", gateway->directory);
	if (admin_new(path, &gateway->admin, ret_error, ERROR_MAX) != STATUS_OK ||
		audit_open(config->audit_file, &gateway->audit, ret_error, ERROR_MAX) != STATUS_OK ||
		journal_open(config->journal.file, (uint64_t)config->journal.size_mb << 20, &gateway->journal,
			ret_error, ERROR_MAX) != STATUS_OK)
		return false;
	if (audit_configuration(gateway->audit, "gateway started", config->file) != STATUS_OK) {
		snprintf(ret_error, ERROR_MAX, "%s: the audit log cannot be written; make room for it",
			config->audit_file);
		return false;
	}
	gateway->start_recorded = true;
	if (registry_new(config, &gateway->registry) == STATUS_OK) {
		registry_report_logouts(gateway->registry, logout_record, gateway);
		return true;
	}
	snprintf(ret_error, ERROR_MAX, "the workers cannot be set up; see the lines above");
	return false;
}

/* The listener takes the configuration over: then *config is NULL. */
static bool gateway_open(struct gateway *gateway, struct config **config, char *ret_error)
{
	if (!parts_open(gateway, *config, ret_error) ||
		listener_new(*config, gateway->registry, gateway->audit, gateway->journal, &gateway->listener,
			ret_error, ERROR_MAX) != STATUS_OK)
		return false;
	*config = NULL;
	return number_write(gateway, "port", listener_port(gateway->listener), ret_error) &&
	       number_write(gateway, "p11gated.pid", (unsigned long)getpid(), ret_error);
}

/* The last record: after the logins that end with the workers. */
static void stop_record(struct gateway *gateway)
{
	if (audit_finish(gateway->audit, "gateway stopped", gateway->options->config) != STATUS_OK)
		log_event(LOG_LEVEL_ERROR, "audit log cannot be written", NULL);
}

static void gateway_close(struct gateway *gateway)
{
	listener_free(gateway->listener);
	if (gateway->registry != NULL)
		registry_free(gateway->registry);
	journal_close(gateway->journal);
	if (gateway->start_recorded)
		stop_record(gateway);
	if (gateway->audit != NULL)
		audit_close(gateway->audit);
	if (gateway->listener != NULL) {
		number_remove(gateway, "port");
		number_remove(gateway, "p11gated.pid");
	}
	admin_free(gateway->admin);
	if (gateway->signals >= 0)
		close(gateway->signals);
}

/* What a running gateway cannot change is said, not silently kept. */
static void unchanged_warn(const struct gateway *gateway, const struct config *config)
{
	bool port = config->listen.port != gateway->configured_port;
	if (port || strcmp(config->listen.address, gateway->address) != 0)
		log_event(LOG_LEVEL_WARNING, "listen takes effect at the next start", "file", config->file, NULL);
	if (strcmp(config->runtime_directory, gateway->directory) != 0)
		log_event(LOG_LEVEL_WARNING, "runtime_directory takes effect at the next start", "file", config->file,
			NULL);
	if (strcmp(config->audit_file, gateway->audit_file) != 0)
		log_event(LOG_LEVEL_WARNING, "audit.file takes effect at the next start", "file", config->file, NULL);
	if (strcmp(config->journal.file, gateway->journal_file) != 0)
		log_event(LOG_LEVEL_WARNING, "journal.file takes effect at the next start", "file", config->file, NULL);
}

static bool reload(struct gateway *gateway, char *ret_error)
{
	struct config *config;
	if (configuration_read(gateway->options, &config, ret_error) != STATUS_OK) {
		log_event(LOG_LEVEL_ERROR, "configuration not reloaded", "reason", ret_error, NULL);
		return false;
	}
	if (audit_configuration(gateway->audit, "configuration reloaded", config->file) != STATUS_OK) {
		snprintf(ret_error, ERROR_MAX, "%s: the audit log cannot be written; make room for it",
			gateway->audit_file);
		config_free(config);
		return false;
	}
	unchanged_warn(gateway, config);
	logging_setup(config);
	if (listener_reload(gateway->listener, config, ret_error, ERROR_MAX) != STATUS_OK) {
		config_free(config);
		log_event(LOG_LEVEL_ERROR, "configuration not reloaded", "reason", ret_error, NULL);
		return false;
	}
	log_event(LOG_LEVEL_INFO, "configuration reloaded", "file", gateway->options->config, NULL);
	return true;
}

static void status_write(struct gateway *gateway, char *ret_answer)
{
	struct listener_counts counts = listener_counts(gateway->listener);
	char detail[READY_DETAIL_MAX] = "";
	bool ready = registry_ready(gateway->registry, detail, sizeof detail);
	snprintf(ret_answer, ADMIN_ANSWER_MAX,
		"ok pid=%ld address=%s port=%u uptime_s=%lld configurations=%llu connections=%u unauthenticated=%u "
		"requests=%u audit=%s ready=%s%s%s",
		(long)getpid(), gateway->address, listener_port(gateway->listener),
		(long long)((clock_ms() - gateway->started_ms) / 1000), (unsigned long long)counts.generation,
		counts.connections, counts.unauthenticated, counts.requests,
		audit_healthy(gateway->audit) ? "ok" : "failed", ready ? "yes" : "no", ready ? "" : ": ", detail);
}

static void on_command(void *context, const char *line, char *ret_answer)
{
	struct gateway *gateway = context;
	char error[ERROR_MAX];
	if (strcmp(line, "reload") == 0) {
		if (reload(gateway, error))
			snprintf(ret_answer, ADMIN_ANSWER_MAX, "ok reloaded %s", gateway->options->config);
		else
			snprintf(ret_answer, ADMIN_ANSWER_MAX, "error %s", error);
	} else if (strcmp(line, "status") == 0) {
		status_write(gateway, ret_answer);
	} else if (strcmp(line, "stop") == 0) {
		gateway->stop = true;
		snprintf(ret_answer, ADMIN_ANSWER_MAX, "ok stopping");
	} else if (!operator_command(gateway->registry, gateway->audit, line, ret_answer, ADMIN_ANSWER_MAX)) {
		snprintf(ret_answer, ADMIN_ANSWER_MAX,
			"error unknown command; there are reload, status, stop, app list, guard list and guard reset");
	}
}

static void on_signal(struct gateway *gateway)
{
	struct signalfd_siginfo info;
	char error[ERROR_MAX];
	while (read(gateway->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGHUP)
			(void)reload(gateway, error);
		else
			gateway->stop = true;
	}
}

static void run(struct gateway *gateway)
{
	struct pollfd fds[] = {
		{.fd = gateway->signals, .events = POLLIN}, {.fd = admin_fd(gateway->admin), .events = POLLIN}};
	while (!gateway->stop) {
		int ready = poll(fds, sizeof fds / sizeof *fds, TRIM_PERIOD_MS);
		if (ready < 0 && errno != EINTR)
			return;
		if (ready == 0)
			memory_trim();
		if (fds[0].revents != 0)
			on_signal(gateway);
		if (fds[1].revents != 0)
			admin_serve(gateway->admin, on_command, gateway);
	}
}

static int stop(struct gateway *gateway)
{
	log_event(LOG_LEVEL_INFO, "stopping", NULL);
	bool drained = listener_stop(gateway->listener, STOP_GRACE_MS);
	if (!drained) {
		/* Threads still wait for their workers; those end by themselves when their sockets close, after what they are doing. */
		log_event(LOG_LEVEL_WARNING, "stopped before all requests were answered", NULL);
		registry_abandon_logins(gateway->registry);
		stop_record(gateway);
		number_remove(gateway, "port");
		number_remove(gateway, "p11gated.pid");
		admin_free(gateway->admin);
		_exit(EXIT_SUCCESS);
	}
	gateway_close(gateway);
	log_event(LOG_LEVEL_INFO, "stopped", NULL);
	return EXIT_SUCCESS;
}

/* Before there are threads, so that no stack is missed. */
static bool memory_secure(const struct config *config, char *ret_error)
{
	char why[ERROR_MAX / 2];
	if (memory_lock(why, sizeof why))
		return true;
	if (config->require_mlock) {
		snprintf(ret_error, ERROR_MAX, "%s; or set require_mlock to false", why);
		return false;
	}
	log_event(LOG_LEVEL_WARNING, "PINs may get into swap", "reason", why, NULL);
	return true;
}

/* A socket for each connection and each thread of a worker, with its control socket. */
static void files_check(const struct config *config)
{
	enum { FILES_SPARE = 64 };
	struct rlimit files;
	char have[24], need[24];
	unsigned long long wanted = config->limits.connections_max +
				    (unsigned long long)config->limits.workers_max *
					    (config->limits.worker_threads + 1) +
				    FILES_SPARE;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= wanted)
		return;
	snprintf(have, sizeof have, "%llu", (unsigned long long)files.rlim_cur);
	snprintf(need, sizeof need, "%llu", wanted);
	log_event(LOG_LEVEL_WARNING,
		"fewer open files are allowed than limits.connections_max and limits.workers_max need; raise "
		"LimitNOFILE",
		"allowed", have, "needed", need, NULL);
}

static int serve(const struct options *options, struct config *config)
{
	static struct gateway gateway;
	char error[ERROR_MAX] = "", port[8];
	gateway = (struct gateway){.options = options, .started_ms = clock_ms(), .signals = signals_open()};
	logging_setup(config);
	files_check(config);
	if (gateway.signals < 0 || !memory_secure(config, error) || !gateway_open(&gateway, &config, error)) {
		fprintf(stderr, "p11gated: %s\n", error);
		gateway_close(&gateway);
		if (config != NULL)
			config_free(config);
		return EXIT_FAILURE;
	}
	/* The threads that live as long as the gateway have begun. */
	memory_hide_data();
	snprintf(port, sizeof port, "%u", listener_port(gateway.listener));
	log_event(LOG_LEVEL_INFO, "listening", "address", gateway.address, "port", port, "version", P11GATE_VERSION,
		NULL);
	run(&gateway);
	return stop(&gateway);
}

int main(int argc, char **argv)
{
	struct options options;
	struct config *config;
	char error[ERROR_MAX] = "";
	int status = options_parse(argc, argv, &options);
	if (status >= 0)
		return status;
	allocator_setup(argv);
	memory_hide();
	if (!harden()) {
		fprintf(stderr, "p11gated: core dumps cannot be switched off: %s\n", strerror(errno));
		return EXIT_FAILURE;
	}
	if (configuration_read(&options, &config, error) != STATUS_OK) {
		fprintf(stderr, "%s\n", error);
		return EXIT_FAILURE;
	}
	if (!options.check)
		return serve(&options, config);
	printf("%s: ok\n", options.config);
	config_free(config);
	return EXIT_SUCCESS;
}
