/*
 * The module files: present and loadable in principle. They are never opened as code here.
 */
#include "server/config/internal.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The start of an ELF header is the same for 32 and 64 bits up to e_machine. */
static enum status header_read(const char *path, Elf64_Ehdr *ret_header, size_t *ret_len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		return STATUS_IO;
	ssize_t got = read(fd, ret_header, sizeof *ret_header);
	int saved = errno;
	close(fd);
	errno = saved;
	if (got < 0)
		return STATUS_IO;
	*ret_len = (size_t)got;
	return STATUS_OK;
}

static enum status check_module(struct loader *loader, unsigned index)
{
	const struct config_module *module = &loader->config->modules[index];
	const char *path = key_path(loader, "modules[%u].path", index);
	Elf64_Ehdr header, own;
	size_t len, own_len;
	struct stat about;

	if (header_read(module->path, &header, &len) != STATUS_OK) {
		/* A device that is not installed yet must not keep the others from working: its slots are unavailable. */
		if (errno == ENOENT || errno == ENOTDIR)
			return STATUS_OK;
		return fault(loader, path, "%s cannot be read: %s; correct the path or its permissions", module->path,
			strerror(errno));
	}
	if (len < sizeof header || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_type != ET_DYN)
		return fault(
			loader, path, "%s is no shared object; name the .so file of the PKCS#11 module", module->path);
	if (header_read("/proc/self/exe", &own, &own_len) == STATUS_OK && own_len == sizeof own &&
		(own.e_ident[EI_CLASS] != header.e_ident[EI_CLASS] || own.e_machine != header.e_machine))
		return fault(loader, path, "%s is made for another kind of processor; name the one for this machine",
			module->path);
	if (stat(module->path, &about) == 0 && (about.st_mode & S_IWOTH) != 0)
		return fault(loader, path, "anyone may change %s; chmod o-w it", module->path);
	return STATUS_OK;
}

/* SoftHSM is known to see new tokens and PINs that other processes set only after C_Initialize. */
static void module_defaults(struct loader *loader, unsigned index)
{
	struct config_module *module = &loader->config->modules[index];
	const char *slash = strrchr(module->path, '/');
	bool softhsm = strstr(slash ? slash : module->path, "softhsm") != NULL;

	if (!document_has(loader, key_path(loader, "modules[%u].rescan", index)))
		module->rescan_reinit = softhsm;
	if (!document_has(loader, key_path(loader, "modules[%u].verify_login", index)))
		module->verify_login_fresh = softhsm;
}

enum status config_check_modules(struct loader *loader)
{
	enum status status = STATUS_OK;

	for (unsigned i = 0; i < loader->config->modules_count && status == STATUS_OK; i++) {
		module_defaults(loader, i);
		status = check_module(loader, i);
	}
	return status;
}
