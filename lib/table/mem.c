/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "table/mem.h"
#include "table/rcu.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)   ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes) ((void)0)
#endif

#define BLOCK_MIN       64
#define BLOCK_STEP      16
#define FINE_MAX        512 /* up to here classes are BLOCK_STEP apart, then four to a doubling */
#define FINE_CLASSES    ((FINE_MAX - BLOCK_MIN) / BLOCK_STEP + 1)
#define COARSE_CLASSES  (5 * 4) /* 512 to 16384: five doublings */
#define CLASSES         (FINE_CLASSES + COARSE_CLASSES)
#define PAGE_BYTES      32768
#define PAGE_BLOCKS_MAX (PAGE_BYTES / BLOCK_MIN)
#define PAGE_WORDS      (PAGE_BLOCKS_MAX / 64)
#define CHUNK_PAGES     (WEIR_MEM_CHUNK_ALIGN / PAGE_BYTES)
#define SPARE_PAGES     (2 * CHUNK_PAGES) /* empty pages kept before a chunk is given back */
#define TURN_BLOCKS     256               /* gathered blocks that are worth a grace period */
#define AHEAD_BLOCKS    4                 /* an allocation fetches the block so far behind it */
#define AHEAD_LINES     3

struct chunk;

/** 64 blocks of a page, one bit each; a block that is in no set is in use. */
struct sets {
	uint64_t free;
	uint64_t gathered; /**< freed, not yet handed to call_rcu */
	uint64_t waiting;  /**< handed to call_rcu */
};

/** A page of blocks of one class. */
struct page {
	struct sets sets[PAGE_WORDS];
	struct page *next;          /**< in the class's list of pages with free blocks, */
	struct page *prev;          /**< or in the list of empty pages */
	struct page *gathered_next; /**< in the set of pages with gathered blocks */
	struct page *waiting_next;  /**< in the set of pages with waiting blocks */
	struct chunk *chunk;
	uint32_t reciprocal; /**< 2^32 / block size, rounded up */
	uint16_t free_count;
	uint16_t gathered_count;
	uint16_t waiting_count;
	uint16_t capacity; /**< blocks; 0: the page is empty and has no class */
	uint8_t class;
	uint8_t number; /**< in its chunk */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct page) == 256, "a page's books take four cache lines");

/** What the source gave: books first, then the rest of the first page, then the others. */
struct chunk {
	struct chunk *next;
	struct chunk *prev;
	uint32_t pages_used;
	struct page pages[CHUNK_PAGES];
};

/** Stands in front of a block that came from the source by itself. */
struct large {
	struct large *next;
	struct large *prev;
	struct large *gathered_next;
	uint64_t bytes; /**< with this head */
	uint8_t pad[32];
};

_Static_assert(sizeof(struct large) == WEIR_MEM_LINE, "a large block keeps its alignment");

/** Freed blocks on their way through one grace period. */
struct batch {
	struct page *pages;
	struct large *larges;
	uint64_t bytes;
	uint64_t blocks;
};

struct weir_mem {
	struct page *usable[CLASSES]; /**< pages with a free block, by class */
	struct page *empty;
	uint64_t empty_count;
	struct batch gathered;
	struct batch waiting; /**< one at a time is with call_rcu */
	bool handed;          /**< waiting is with call_rcu */
	uint8_t passed;       /**< set by the callback: readers have let waiting go */
	struct rcu_head head;
	struct weir_mem_source source;
	uint64_t limit_bytes;
	struct chunk *chunks;
	struct large *larges;
	struct weir_mem_stats stats;
};

static void *heap_take(void *ctx, size_t bytes, size_t align)
{
	void *chunk = NULL;

	return posix_memalign(&chunk, align, bytes) == 0 ? chunk : NULL;
}

static void heap_give(void *ctx, void *chunk, size_t bytes)
{
	free(chunk);
}

const struct weir_mem_source weir_mem_heap = {.take = heap_take, .give = heap_give};

/* Size classes. */

static unsigned class_of(size_t bytes)
{
	unsigned doubling;

	if (bytes <= BLOCK_MIN)
		return 0;
	if (bytes <= FINE_MAX)
		return (unsigned)((bytes - BLOCK_MIN + BLOCK_STEP - 1) / BLOCK_STEP);
	doubling = 63U - (unsigned)__builtin_clzll(bytes - 1); /* 2^doubling < bytes */
	return FINE_CLASSES + (doubling - 9) * 4 +
	       (unsigned)((bytes - 1 - (1ULL << doubling)) >> (doubling - 2));
}

static size_t class_bytes(unsigned class)
{
	unsigned coarse = class - FINE_CLASSES;

	if (class < FINE_CLASSES)
		return BLOCK_MIN + (size_t) class * BLOCK_STEP;
	return ((size_t)FINE_MAX << (coarse / 4)) / 4 * (5 + coarse % 4);
}

size_t weir_mem_block_bytes(size_t bytes)
{
	return bytes <= WEIR_MEM_BLOCK_MAX ? class_bytes(class_of(bytes))
					   : bytes + sizeof(struct large);
}

/* Pages and chunks. */

static char *page_begin(const struct page *page)
{
	char *chunk = (char *)page->chunk;

	return page->number == 0 ? chunk + sizeof(struct chunk)
				 : chunk + (size_t)page->number * PAGE_BYTES;
}

static char *page_end(const struct page *page)
{
	size_t end = (page->number + 1UL) * PAGE_BYTES;

	return (char *)page->chunk + (end < WEIR_MEM_CHUNK_BYTES ? end : WEIR_MEM_CHUNK_BYTES);
}

static struct page *page_of(const void *block)
{
	uintptr_t at = (uintptr_t)block;
	struct chunk *chunk = (struct chunk *)(at & ~((uintptr_t)WEIR_MEM_CHUNK_ALIGN - 1));

	return &chunk->pages[(at - (uintptr_t)chunk) / PAGE_BYTES];
}

static unsigned page_index(const struct page *page, const void *block)
{
	uint64_t offset = (uint64_t)((const char *)block - page_begin(page));
	unsigned index = (unsigned)(offset * page->reciprocal >> 32);

	weir_assert(index < page->capacity && index * class_bytes(page->class) == offset);
	return index;
}

static void page_push(struct page **list, struct page *page)
{
	page->prev = NULL;
	page->next = *list;
	if (page->next != NULL)
		page->next->prev = page;
	*list = page;
}

static void page_unlink(struct page **list, struct page *page)
{
	if (page->prev != NULL)
		page->prev->next = page->next;
	else
		*list = page->next;
	if (page->next != NULL)
		page->next->prev = page->prev;
}

static void stat_add(uint64_t *stat, uint64_t bytes)
{
	weir_rcu_poke(*stat, *stat + bytes);
}

static void stat_sub(uint64_t *stat, uint64_t bytes)
{
	weir_rcu_poke(*stat, *stat - bytes);
}

static void *source_take(struct weir_mem *mem, size_t bytes, size_t align)
{
	void *chunk;

	if (bytes > mem->limit_bytes || mem->stats.chunk_bytes > mem->limit_bytes - bytes)
		return NULL;
	chunk = mem->source.take(mem->source.ctx, bytes, align);
	if (chunk == NULL)
		return NULL;
	weir_assert((uintptr_t)chunk % align == 0);
	weir_assert(
		((uintptr_t)chunk + bytes) >> 48 == 0); /* a table's tags live in the upper 16 */
	stat_add(&mem->stats.chunk_bytes, bytes);
	return chunk;
}

static void source_give(struct weir_mem *mem, void *chunk, size_t bytes)
{
	ASAN_UNPOISON_MEMORY_REGION(chunk, bytes);
	mem->source.give(mem->source.ctx, chunk, bytes);
	stat_sub(&mem->stats.chunk_bytes, bytes);
}

static bool chunk_take(struct weir_mem *mem)
{
	struct chunk *chunk = source_take(mem, WEIR_MEM_CHUNK_BYTES, WEIR_MEM_CHUNK_ALIGN);

	if (chunk == NULL)
		return false;
	memset(chunk, 0, sizeof(*chunk));
	chunk->next = mem->chunks;
	if (chunk->next != NULL)
		chunk->next->prev = chunk;
	mem->chunks = chunk;
	for (unsigned i = 0; i < CHUNK_PAGES; i++) {
		struct page *page = &chunk->pages[CHUNK_PAGES - 1 - i];

		page->chunk = chunk;
		page->number = (uint8_t)(CHUNK_PAGES - 1 - i);
		ASAN_POISON_MEMORY_REGION(
			page_begin(page), (size_t)(page_end(page) - page_begin(page)));
		page_push(&mem->empty, page);
	}
	mem->empty_count += CHUNK_PAGES;
	return true;
}

static void chunk_give(struct weir_mem *mem, struct chunk *chunk)
{
	for (unsigned i = 0; i < CHUNK_PAGES; i++)
		page_unlink(&mem->empty, &chunk->pages[i]);
	mem->empty_count -= CHUNK_PAGES;
	if (chunk->prev != NULL)
		chunk->prev->next = chunk->next;
	else
		mem->chunks = chunk->next;
	if (chunk->next != NULL)
		chunk->next->prev = chunk->prev;
	source_give(mem, chunk, WEIR_MEM_CHUNK_BYTES);
}

/** Gives an empty page a class. */
static struct page *page_open(struct weir_mem *mem, unsigned class)
{
	struct page *page;
	size_t bytes = class_bytes(class);

	if (mem->empty == NULL && !chunk_take(mem))
		return NULL;
	page = mem->empty;
	page_unlink(&mem->empty, page);
	mem->empty_count--;
	page->chunk->pages_used++;
	page->class = (uint8_t) class;
	page->capacity = (uint16_t)((size_t)(page_end(page) - page_begin(page)) / bytes);
	page->reciprocal = (uint32_t)(((1ULL << 32) + bytes - 1) / bytes);
	page->free_count = page->capacity;
	for (unsigned i = 0; i < page->capacity; i++)
		page->sets[i / 64].free |= 1ULL << i % 64;
	page_push(&mem->usable[class], page);
	return page;
}

static void page_close(struct weir_mem *mem, struct page *page)
{
	struct chunk *chunk = page->chunk;

	page_unlink(&mem->usable[page->class], page);
	memset(page->sets, 0, sizeof(page->sets));
	page->capacity = 0;
	page->free_count = 0;
	page_push(&mem->empty, page);
	mem->empty_count++;
	chunk->pages_used--;
	if (chunk->pages_used == 0 && mem->empty_count >= SPARE_PAGES)
		chunk_give(mem, chunk);
}

/** After blocks of the page came free; `before` were free until then. */
static void page_settle(struct weir_mem *mem, struct page *page, unsigned before)
{
	struct page **list = &mem->usable[page->class];

	if (before == 0)
		page_push(list, page);
	if (page->free_count == page->capacity)
		page_close(mem, page);
}

/* Large blocks. */

static void *large_alloc(struct weir_mem *mem, size_t bytes)
{
	struct large *large = source_take(mem, bytes + sizeof(*large), WEIR_MEM_LINE);

	if (large == NULL)
		return NULL;
	*large = (struct large){.next = mem->larges, .bytes = bytes + sizeof(*large)};
	if (large->next != NULL)
		large->next->prev = large;
	mem->larges = large;
	return large + 1;
}

static void large_give(struct weir_mem *mem, struct large *large)
{
	if (large->prev != NULL)
		large->prev->next = large->next;
	else
		mem->larges = large->next;
	if (large->next != NULL)
		large->next->prev = large->prev;
	source_give(mem, large, large->bytes);
}

/* Grace periods. */

static void batch_passed(struct rcu_head *head)
{
	struct weir_mem *mem = caa_container_of(head, struct weir_mem, head);

	weir_rcu_callback_begins();
	weir_rcu_publish(mem->passed, 1);
}

/** Hands what was gathered to call_rcu, unless a batch is there already. */
static void batch_hand(struct weir_mem *mem)
{
	if (mem->handed || mem->gathered.blocks == 0)
		return;
	for (struct page *page = mem->gathered.pages; page != NULL; page = page->gathered_next) {
		__builtin_prefetch(page->gathered_next);
		for (unsigned i = 0; i < PAGE_WORDS; i++) {
			page->sets[i].waiting = page->sets[i].gathered;
			page->sets[i].gathered = 0;
		}
		page->waiting_count = page->gathered_count;
		page->gathered_count = 0;
		page->waiting_next = page->gathered_next;
	}
	mem->waiting = mem->gathered;
	mem->gathered = (struct batch){0};
	mem->handed = true;
	weir_rcu_poke(mem->passed, 0);
	weir_rcu_call(&mem->head, batch_passed);
}

static void page_recycle(struct weir_mem *mem, struct page *page)
{
	unsigned before = page->free_count;

#if defined(__SANITIZE_ADDRESS__)
	for (unsigned i = 0; i < page->capacity; i++)
		if (page->sets[i / 64].waiting >> i % 64 & 1)
			ASAN_POISON_MEMORY_REGION(page_begin(page) + i * class_bytes(page->class),
				class_bytes(page->class));
#endif
	for (unsigned i = 0; i < PAGE_WORDS; i++) {
		page->sets[i].free |= page->sets[i].waiting;
		page->sets[i].waiting = 0;
	}
	page->free_count = (uint16_t)(page->free_count + page->waiting_count);
	page->waiting_count = 0;
	page_settle(mem, page, before);
}

/** Takes back the batch that readers have let go; whether there was one. */
static bool batch_take_back(struct weir_mem *mem)
{
	struct page *page = mem->waiting.pages;
	struct large *large = mem->waiting.larges;

	if (!mem->handed || !weir_rcu_load(mem->passed))
		return false;
	while (page != NULL) {
		struct page *next = page->waiting_next;

		__builtin_prefetch(next);
		page_recycle(mem, page);
		page = next;
	}
	while (large != NULL) {
		struct large *next = large->gathered_next;

		large_give(mem, large);
		large = next;
	}
	stat_sub(&mem->stats.waiting_bytes, mem->waiting.bytes);
	stat_add(&mem->stats.batches, 1);
	mem->waiting = (struct batch){0};
	mem->handed = false;
	return true;
}

void weir_mem_turn(struct weir_mem *mem, bool flush)
{
	batch_take_back(mem);
	if (flush || mem->gathered.blocks >= TURN_BLOCKS)
		batch_hand(mem);
}

/* Blocks. */

static void *page_alloc(struct weir_mem *mem, struct page *page)
{
	size_t bytes = class_bytes(page->class);
	unsigned word = 0;
	unsigned index;
	char *block;

	while (page->sets[word].free == 0)
		word++;
	index = word * 64 + (unsigned)__builtin_ctzll(page->sets[word].free);
	page->sets[word].free &= page->sets[word].free - 1;
	if (--page->free_count == 0)
		page_unlink(&mem->usable[page->class], page);
	block = page_begin(page) + index * bytes;
	/* The blocks after it are likely the next to be filled. */
	for (unsigned line = 0; line < AHEAD_LINES; line++)
		__builtin_prefetch(block + AHEAD_BLOCKS * bytes + line * WEIR_MEM_LINE, 1);
	return block;
}

static void *small_alloc(struct weir_mem *mem, size_t bytes)
{
	unsigned class = class_of(bytes);
	struct page *page = mem->usable[class];
	void *block;

	if (page == NULL)
		page = page_open(mem, class);
	if (page == NULL)
		return NULL;
	block = page_alloc(mem, page);
	ASAN_UNPOISON_MEMORY_REGION(block, bytes);
	return block;
}

static void *block_alloc(struct weir_mem *mem, size_t bytes)
{
	return bytes <= WEIR_MEM_BLOCK_MAX ? small_alloc(mem, bytes) : large_alloc(mem, bytes);
}

void *weir_mem_alloc(struct weir_mem *mem, size_t bytes)
{
	void *block = block_alloc(mem, bytes);

	if (block == NULL && batch_take_back(mem))
		block = block_alloc(mem, bytes);
	if (block == NULL) {
		batch_hand(mem); /* short of memory: do not wait for more to gather */
		return NULL;
	}
	stat_add(&mem->stats.used_bytes, weir_mem_block_bytes(bytes));
	return block;
}

static void small_gather(struct weir_mem *mem, void *block)
{
	struct page *page = page_of(block);
	unsigned index = page_index(page, block);
	struct sets *sets = &page->sets[index / 64];
	uint64_t bit = 1ULL << index % 64;

	weir_assert(!((sets->free | sets->gathered | sets->waiting) & bit));
	sets->gathered |= bit;
	if (page->gathered_count++ > 0)
		return;
	page->gathered_next = mem->gathered.pages;
	mem->gathered.pages = page;
}

static void large_gather(struct weir_mem *mem, void *block)
{
	struct large *large = (struct large *)block - 1;

	large->gathered_next = mem->gathered.larges;
	mem->gathered.larges = large;
}

void weir_mem_prefetch(const void *block, size_t bytes)
{
	if (bytes <= WEIR_MEM_BLOCK_MAX)
		__builtin_prefetch(&page_of(block)->capacity, 1);
}

void weir_mem_free(struct weir_mem *mem, void *block, size_t bytes)
{
	size_t whole = weir_mem_block_bytes(bytes);

	if (bytes <= WEIR_MEM_BLOCK_MAX)
		small_gather(mem, block);
	else
		large_gather(mem, block);
	mem->gathered.blocks++;
	mem->gathered.bytes += whole;
	stat_sub(&mem->stats.used_bytes, whole);
	stat_add(&mem->stats.waiting_bytes, whole);
}

void weir_mem_free_now(struct weir_mem *mem, void *block, size_t bytes)
{
	struct page *page;
	unsigned index;

	stat_sub(&mem->stats.used_bytes, weir_mem_block_bytes(bytes));
	if (bytes > WEIR_MEM_BLOCK_MAX) {
		large_give(mem, (struct large *)block - 1);
		return;
	}
	page = page_of(block);
	index = page_index(page, block);
	ASAN_POISON_MEMORY_REGION(block, class_bytes(page->class));
	page->sets[index / 64].free |= 1ULL << index % 64;
	page->free_count++;
	page_settle(mem, page, page->free_count - 1U);
}

/* The whole. */

struct weir_mem *weir_mem_create(const struct weir_mem_source *source, uint64_t limit_bytes)
{
	struct weir_mem *mem = calloc(1, sizeof(*mem));

	if (mem == NULL)
		return NULL;
	mem->source = *source;
	mem->limit_bytes = limit_bytes;
	return mem;
}

void weir_mem_destroy(struct weir_mem *mem)
{
	if (mem == NULL)
		return;
	if (mem->handed) {
		weir_rcu_barrier();
		weir_assert(weir_rcu_load(mem->passed));
	}
	weir_rcu_wait();
	while (mem->larges != NULL)
		large_give(mem, mem->larges);
	while (mem->chunks != NULL) {
		struct chunk *chunk = mem->chunks;

		mem->chunks = chunk->next;
		source_give(mem, chunk, WEIR_MEM_CHUNK_BYTES);
	}
	weir_assert(mem->stats.chunk_bytes == 0);
	free(mem);
}

void weir_mem_stats(const struct weir_mem *mem, struct weir_mem_stats *stats)
{
	stats->chunk_bytes = weir_rcu_peek(mem->stats.chunk_bytes);
	stats->used_bytes = weir_rcu_peek(mem->stats.used_bytes);
	stats->waiting_bytes = weir_rcu_peek(mem->stats.waiting_bytes);
	stats->batches = weir_rcu_peek(mem->stats.batches);
}
