/*
 * A folder with a good configuration and the files it names.
 */
#ifndef P11GATE_TESTS_CONFIG_SUPPORT_H
#define P11GATE_TESTS_CONFIG_SUPPORT_H

#include <stddef.h>

#include "server/config/config.h"

extern char folder[64]; /* absolute, without links; of this test */
extern char config_file[96]; /* folder/p11gated.yaml */
extern const char good[]; /* the good configuration */

/*
 * Makes the folder with ca.crt, server.crt, server.key, and bad ones beside them: other.key, expired.crt/.key, future.crt/.key,
 * open.key (mode 0644), locked.key (with a passphrase), garbage.txt, module.so (an ELF header), ca.crl.
 */
void folder_make(void);
void folder_remove(void);

/* Writes `len` bytes of text to a file of the folder. */
void file_write(const char *name, const char *text, size_t len);

/* `text` with the first `from` replaced by `to`; from is NULL: `to` at the end. malloc'ed. */
char *replaced(const char *text, const char *from, const char *to);

/* Loads `text` as the folder's configuration. `ret_error` has 1024 bytes. */
enum status load_text(const char *text, size_t len, struct config **ret_config, char *ret_error);

/* Loads the good configuration with one replacement; the test fails unless it is accepted. */
struct config *load_good(const char *from, const char *to);

#endif
