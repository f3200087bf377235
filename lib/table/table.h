/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The flow table of one device on one node: 1024 buckets, each with one writer and many readers.
 *
 * Why not one of the hash tables at hand: the unit of replication is the bucket, so a bucket must
 * be counted, digested, walked, shipped and replaced as a whole; and its single writer (the
 * worker that owns its shard) needs no lock and no compare-and-swap.
 *
 * Thread-safety
 * -------------
 * - Writer functions (those that take a struct weir_mem) are called only by the worker that owns
 *   the bucket's shard, with its own memory.
 * - Reader functions may be called by any thread that is a registered liburcu QSBR reader and
 *   online, from one quiescent state to the next: a pointer to an entry is good until then.
 * - A table is created and destroyed by anybody, destroyed only when no thread can reach it.
 *
 * What a reader may see
 * ---------------------
 * - An entry is seen whole. A replaced one is seen as it was or as it is, never half, and a
 *   rule that is in the table all the time is always found while others come and go and while
 *   the bucket grows. Readers never wait for a writer: one that finds nothing looks again only
 *   where the writer moved something meanwhile.
 * - Digests: the owner sees its own exactly. Others see each field whole, but term, seq, hash and
 *   count may stem from moments a few writes apart: for display only.
 *
 * Walking
 * -------
 * weir_table_walk and weir_bucket_walk visit each entry that is there all through the walk once,
 * however the bucket changes, grows or shrinks between two calls or is swapped; an entry that came
 * or went meanwhile may be visited or not; an entry that was replaced is seen in one of its forms.
 * A cursor is a point in an order of all entries that does not depend on the bucket's size. The
 * owner may change the bucket from inside a visit, but there it removes only the visited entry.
 *
 * Versions
 * --------
 * Putting and removing keep count and content hash of the bucket right; the version (term, seq)
 * is stamped by the caller, once a write, with weir_bucket_stamp. The shard's digest is a sum
 * over its buckets, kept right by both.
 */
#ifndef WEIR_TABLE_TABLE_H
#define WEIR_TABLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defect.h"
#include "flow/flow.h"

/* ------------------------------------------------------------------------------------------ */

/**
 * Memory of one worker: entries and bucket arrays in size classes, taken from large chunks, given
 * back after a grace period. No lock; one owner thread, which is a registered QSBR reader.
 *
 * Freed blocks are gathered in batches; one batch at a time goes to call_rcu, whose callback only
 * marks it; the owner takes it back. Freeing never fails and takes no memory: where a reader holds
 * up reclaim, freed blocks wait and count against the limit, so that puts answer WEIR_BUSY in the
 * end. No system heap on the hot path.
 */
struct weir_mem;

/** Where chunks come from. */
struct weir_mem_source {
	/** `bytes` bytes aligned to `align` (a power of two) and below 2^48, or NULL. */
	void *(*take)(void *ctx, size_t bytes, size_t align);
	void (*give)(void *ctx, void *chunk, size_t bytes);
	void *ctx;
};

/** Most chunks have this size: a little short, so that a heap's own head finds room between two. */
#define WEIR_MEM_CHUNK_BYTES (WEIR_MEM_CHUNK_ALIGN - 256)
#define WEIR_MEM_CHUNK_ALIGN 262144

/** The C library's heap as a source. */
extern const struct weir_mem_source weir_mem_heap;

/** How much is where; a snapshot that any thread may take. */
struct weir_mem_stats {
	uint64_t chunk_bytes;   /**< taken from the source */
	uint64_t used_bytes;    /**< in blocks that are in use, rounded up to their size class */
	uint64_t waiting_bytes; /**< freed, waiting for readers */
	uint64_t batches;       /**< that readers have let go */
};

/**
 * @param limit_bytes most that is taken from the source, in steps of WEIR_MEM_CHUNK_BYTES; past it
 *                    puts answer WEIR_BUSY
 * @return NULL where memory is short
 */
struct weir_mem *weir_mem_create(const struct weir_mem_source *source, uint64_t limit_bytes);

/** Waits for readers, then gives everything back. NULL is fine. Called by the owner. */
void weir_mem_destroy(struct weir_mem *mem);

/**
 * Once a worker's turn: passes on what was freed when enough has gathered or `flush` is set, and
 * takes back what readers have let go.
 */
void weir_mem_turn(struct weir_mem *mem, bool flush);

void weir_mem_stats(const struct weir_mem *mem, struct weir_mem_stats *stats);

/* ------------------------------------------------------------------------------------------ */

/** What a bucket holds, in short. */
struct weir_digest {
	uint64_t term;  /**< term of the last write */
	uint64_t seq;   /**< number of the last write; grows by one a write, also across terms */
	uint64_t hash;  /**< sum of weir_entry_hash over the entries */
	uint32_t count; /**< entries */
};

/** Compares versions, term first, then seq: <0, 0, >0. Content does not count. */
static inline int weir_digest_compare(const struct weir_digest *a, const struct weir_digest *b)
{
	if (a->term != b->term)
		return a->term < b->term ? -1 : 1;
	if (a->seq != b->seq)
		return a->seq < b->seq ? -1 : 1;
	return 0;
}

/** Whether version and content are equal. */
static inline bool weir_digest_equal(const struct weir_digest *a, const struct weir_digest *b)
{
	if (WEIR_DEFECT(B25))
		return a->term == b->term && a->seq == b->seq;
	return a->term == b->term && a->seq == b->seq && a->hash == b->hash && a->count == b->count;
}

/** What a bucket's digest adds to its shard's sum; 0 for a bucket never written. */
uint64_t weir_digest_mix(unsigned bucket, const struct weir_digest *digest);

/** A shard in short. */
struct weir_shard_digest {
	uint64_t sum;   /**< sum of weir_digest_mix over its buckets (mod 2^64) */
	uint64_t count; /**< entries */
};

/* ------------------------------------------------------------------------------------------ */

/** One bucket: part of a table, or detached while it is filled. */
struct weir_bucket;

/** The flow table of one device. A table that was never written to takes at most 1 KiB. */
struct weir_table;

struct weir_table *weir_table_create(void);

/**
 * Frees the table. Its buckets must have been given back before (weir_table_clear_shard for each
 * shard, by its owner). NULL is fine.
 */
void weir_table_destroy(struct weir_table *table);

/* Readers: any registered thread. */

/** The entry of the same rule as `rule` (identity only), or NULL. */
struct weir_entry *weir_table_find(const struct weir_table *table, const struct weir_rule *rule);

/** An entry with this flow id, or NULL; where several share it, any one of them. */
struct weir_entry *weir_table_find_id(const struct weir_table *table, uint64_t flow_id);

/**
 * Whether what stands in a bucket is firm: every copy in the in-sync set has it, so that no change
 * of master takes it back. Asked after the look that it is said of.
 */
bool weir_table_is_firm(const struct weir_table *table, unsigned bucket);

/**
 * The least term that the copies here still serve: a master of an older term is deposed, whether
 * it knows or not. Asked after a look, as above.
 */
uint64_t weir_table_fence(const struct weir_table *table);

/** Entries of the device: a sum over shards. */
uint64_t weir_table_count(const struct weir_table *table);

/** Digest of one bucket; zeroes where it was never written. */
struct weir_digest weir_table_digest(const struct weir_table *table, unsigned bucket);

struct weir_shard_digest weir_table_shard_digest(const struct weir_table *table, unsigned shard);

/**
 * Looks up `count` rules at once, which hides the memory's latency (several times the rate of
 * single lookups where the table is larger than the caches). entries[i] receives what
 * weir_table_find(table, rules[i]) would give.
 */
void weir_table_find_bulk(const struct weir_table *table, const struct weir_rule *const rules[],
	unsigned count, struct weir_entry *entries[]);

/**
 * Fetches what writes of these flows will touch, for a burst of writes that follows: each then
 * finds its bucket, group and present entry in the caches, where one after the other would wait
 * for memory three times. A hint: it changes nothing, and flows that are not there are fine.
 */
void weir_table_prefetch(const struct weir_table *table, const uint64_t flow_ids[], unsigned count);

/** The same for flows of several tables: each flow is of the table of its place. */
void weir_tables_prefetch(
	const struct weir_table *const tables[], const uint64_t flow_ids[], unsigned count);

/** Called for each entry; returns false to end the walk after this entry. */
typedef bool weir_entry_visit(void *ctx, struct weir_entry *entry);

/**
 * Visits entries from where `cursor` stands, at most `most` of them (at least 1; entries that
 * share a flow id are not parted, so up to WEIR_WALK_EXTRA more), across all buckets. Where a visit
 * ends the walk among entries that share a flow id, all of these come again.
 * @param cursor 0 to begin with, else what the last call returned
 * @return the cursor to go on with; 0: the walk is complete
 */
uint64_t weir_table_walk(const struct weir_table *table, uint64_t cursor, unsigned most,
	weir_entry_visit *visit, void *ctx);

#define WEIR_WALK_EXTRA 64

/** Most entries of a bucket that may share a flow id. */
#define WEIR_FLOW_ID_SHARED_MAX WEIR_WALK_EXTRA

/* Writers: the worker that owns the bucket's shard. */

/** Raises the fence, before anything is said or done in a term; it never goes down. Any worker. */
void weir_table_fence_raise(struct weir_table *table, uint64_t term);

/** Says of the worker's shards (a mask) whether they are firm but for the buckets in motion. */
void weir_table_firm_set(struct weir_table *table, uint32_t shards, bool firm);

/** Counts writes of a bucket that some in-sync copy may lack; `by` is 1 before a write, -1 after.
 */
void weir_bucket_moving(struct weir_bucket *bucket, int by);

/** Most of them. */
#define WEIR_BUCKET_MOVING_MAX UINT16_MAX

/** Writes of a bucket that some in-sync copy may lack. */
unsigned weir_bucket_in_motion(const struct weir_bucket *bucket);

/** The bucket of this number, or NULL where it was never written. */
struct weir_bucket *weir_table_bucket(const struct weir_table *table, unsigned bucket);

/** The same, made where it is missing; NULL where memory is short. */
struct weir_bucket *weir_table_bucket_make(
	struct weir_table *table, struct weir_mem *mem, unsigned bucket);

/**
 * Stores a copy of `entry`: in place of the entry of the same rule, or as a new one.
 * @param stored receives where it stands now; may be NULL
 * @return 0 added, 1 replaced, WEIR_BUSY where memory is short or WEIR_FLOW_ID_SHARED_MAX others
 *         have its flow id (nothing changed)
 */
int weir_bucket_put(struct weir_bucket *bucket, struct weir_mem *mem,
	const struct weir_entry *entry, struct weir_entry **stored);

/** The entry of the same rule in this bucket, or NULL. Works on a detached bucket too. */
struct weir_entry *weir_bucket_find(const struct weir_bucket *bucket, const struct weir_rule *rule);

/** Takes out an entry that stands in this bucket; it stays readable until the grace period ends. */
void weir_bucket_remove(struct weir_bucket *bucket, struct weir_mem *mem, struct weir_entry *entry);

/**
 * Takes out all entries of an app.
 * @param app 0..65535, or WEIR_ANY_APP
 * @return how many
 */
unsigned weir_bucket_purge(struct weir_bucket *bucket, struct weir_mem *mem, int app);

#define WEIR_ANY_APP (-1)

/** Changes state and error of an entry in place, and the bucket's hash with it. */
void weir_bucket_set_state(struct weir_bucket *bucket, struct weir_entry *entry,
	enum weir_flow_state state, uint16_t error);

/** Stamps the version of the last write. It may not go back, which is asserted. */
void weir_bucket_stamp(struct weir_bucket *bucket, uint64_t term, uint64_t seq);

/** The bucket's digest, exact for its owner. */
struct weir_digest weir_bucket_digest(const struct weir_bucket *bucket);

/** Like weir_table_walk, for one bucket. */
uint64_t weir_bucket_walk(const struct weir_bucket *bucket, uint64_t cursor, unsigned most,
	weir_entry_visit *visit, void *ctx);

/** An empty bucket outside any table, to be filled and swapped in; NULL where memory is short. */
struct weir_bucket *weir_bucket_create(struct weir_mem *mem, unsigned number);

/** Gives back a detached bucket with its entries. NULL is fine. */
void weir_bucket_destroy(struct weir_bucket *bucket, struct weir_mem *mem);

/**
 * Puts a filled detached bucket into the table in place of the one of its number, whose entries
 * are given back after a grace period. Readers see the old one or the new one. The version may
 * go back here: this is how a copy is brought to its master. The shard's digest follows.
 * @return 0, or WEIR_BUSY where memory is short (the caller keeps the detached bucket)
 */
int weir_table_swap(struct weir_table *table, struct weir_mem *mem, struct weir_bucket *bucket);

/** Empties all buckets of a shard and forgets their versions (a copy that is let go). */
void weir_table_clear_shard(struct weir_table *table, struct weir_mem *mem, unsigned shard);

#endif
