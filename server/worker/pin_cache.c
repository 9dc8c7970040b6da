#include "server/worker/internal.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/secret.h"

/*
 * The one PIN of the application, for its private uses (B12). It lies in a page of its own that is neither swapped, dumped nor
 * inherited; where there is no such page no PIN is kept.
 */

struct pin_page {
	size_t len;
	CK_BYTE pin[LIMIT_PIN];
	CK_TOKEN_INFO token; /* whose PIN it is; only label and serial number count */
};

static size_t page_len(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (sizeof(struct pin_page) + page - 1) / page * page;
}

bool pin_cache_init(struct pin_cache *cache)
{
	size_t len = page_len();
	void *page = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	atomic_init(&cache->kept, false);
	if (page == MAP_FAILED)
		return false;
	if (mlock(page, len) != 0 || madvise(page, len, MADV_DONTDUMP) != 0 ||
		madvise(page, len, MADV_WIPEONFORK) != 0) {
		munmap(page, len);
		return false;
	}
	cache->page = page;
	return true;
}

bool pin_cache_takes(const struct worker *worker, const union wire_value *pin)
{
	return worker->pin_cache.page && pin->bytes.data && pin->bytes.len <= LIMIT_PIN;
}

bool pin_cache_kept(const struct worker *worker)
{
	return atomic_load(&worker->pin_cache.kept);
}

void pin_cache_store(struct worker *worker, const union wire_value *pin, const CK_TOKEN_INFO *token)
{
	struct pin_cache *cache = &worker->pin_cache;
	uint64_t now = (uint64_t)clock_ms(), one = 1;

	memcpy(cache->page->pin, pin->bytes.data, pin->bytes.len);
	cache->page->len = pin->bytes.len;
	cache->page->token = *token;
	atomic_store(&cache->since_ms, now);
	atomic_store(&cache->used_ms, now);
	atomic_store(&cache->kept, true);
	/* Wakes the control thread, which knows no deadline yet. */
	(void)!write(worker->wake, &one, sizeof one);
}

union wire_value pin_cache_pin(const struct worker *worker)
{
	struct pin_page *page = worker->pin_cache.page;

	return (union wire_value){.bytes = {page->pin, page->len}};
}

bool pin_cache_fits(const struct worker *worker, const CK_TOKEN_INFO *token)
{
	const CK_TOKEN_INFO *kept = &worker->pin_cache.page->token;

	return memcmp(kept->serialNumber, token->serialNumber, sizeof kept->serialNumber) == 0 &&
	       memcmp(kept->label, token->label, sizeof kept->label) == 0;
}

void pin_cache_used(struct worker *worker)
{
	atomic_store(&worker->pin_cache.used_ms, (uint64_t)clock_ms());
}

void pin_cache_erase(struct worker *worker)
{
	struct pin_cache *cache = &worker->pin_cache;

	if (!atomic_exchange(&cache->kept, false))
		return;
	secret_wipe(cache->page, sizeof *cache->page);
}

/* Milliseconds until `from` + `span`, 0 if that has passed. */
static int left(uint64_t from, uint64_t span)
{
	uint64_t end = from + span, now = (uint64_t)clock_ms();

	return end <= now ? 0 : end - now > INT32_MAX ? INT32_MAX : (int)(end - now);
}

int pin_cache_left(struct worker *worker, enum login_end *ret_end)
{
	struct pin_cache *cache = &worker->pin_cache;
	const struct login_rules rules = login_rules(worker);

	if (!pin_cache_kept(worker))
		return -1;
	int age = left(atomic_load(&cache->since_ms), rules.ttl_ms);
	int idle = left(atomic_load(&cache->used_ms), rules.idle_ms);
	*ret_end = age <= idle ? LOGIN_END_EXPIRED : LOGIN_END_IDLE;
	return age < idle ? age : idle;
}
