/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Inside of the table room: how a bucket lies in memory, and how it is read.
 *
 * A bucket is a linear hash table (Litwin, 1980): it grows and shrinks by one group at a time,
 * so no write ever pays for a whole rehash, and it is never much larger than it must be. A group
 * is one cache line: seven slots and a link to a further group where seven were not enough. A
 * slot is a pointer with 16 bits of the entry's hash in its upper 16 bits, so tag and
 * pointer are read in one load. A chain is packed: its free slots are at its end.
 *
 * Ordering
 * --------
 * M. A slot that is moved is copied first, then the shape's move count goes up, then the old slot
 *    is overwritten; each a release store.
 * R. A reader loads the shape, scans one chain with acquire loads, and loads the shape again when
 *    it found nothing. By M, whoever met an overwritten slot sees that the count went up.
 */
#ifndef WEIR_TABLE_BUCKET_H
#define WEIR_TABLE_BUCKET_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "table/rcu.h"
#include "table/table.h"

#define WEIR_GROUP_SLOTS 7

struct weir_group {
	uint64_t slot[WEIR_GROUP_SLOTS]; /**< tag << 48 | entry; 0: free */
	struct weir_group *next;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct weir_group) == 64, "a group is one cache line");

/*
 * Groups lie in segments that double: group 0 | 1 | 2..3 | 4..7 | ... The first
 * WEIR_BUCKET_SEGS are held in the bucket itself, the largest of them first, so that the shape and
 * the segments in which most of a middling bucket lies share its first cache line.
 */
#define WEIR_BUCKET_SEGS       9
#define WEIR_BUCKET_SEGS_MORE  10
#define WEIR_BUCKET_GROUPS_MAX (1U << (WEIR_BUCKET_SEGS + WEIR_BUCKET_SEGS_MORE - 1))

/** A shard of a device: made when the first of its buckets is. */
struct weir_shard {
	uint64_t sum;
	uint64_t count;
	struct weir_bucket *buckets[WEIR_SHARD_BUCKETS]; /**< by bucket / WEIR_SHARDS */
};

struct weir_bucket {
	uint64_t shape; /**< groups in the lower WEIR_SHAPE_BITS, above them the count of moves */
	struct weir_group *segs[WEIR_BUCKET_SEGS];
	struct weir_group **more; /**< WEIR_BUCKET_SEGS_MORE further segments, or NULL */
	uint64_t hash;
	uint64_t term;
	uint64_t seq;
	struct weir_shard *shard; /**< NULL while detached */
	uint32_t count;
	uint16_t number;
	uint16_t moving; /**< writes that some in-sync copy may lack */
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct weir_bucket) == 128, "a bucket takes two cache lines");
_Static_assert(offsetof(struct weir_bucket, segs[WEIR_BUCKET_SEGS - 2]) == 64,
	"what a lookup touches is in the first line");

#define WEIR_SHAPE_BITS   24
#define WEIR_SHAPE_GROUPS ((1ULL << WEIR_SHAPE_BITS) - 1)

static inline unsigned weir_shape_groups(uint64_t shape)
{
	return (unsigned)(shape & WEIR_SHAPE_GROUPS);
}

/**
 * Spreads a flow id: one to one, so that only equal flow ids have equal hashes. The lower bits
 * choose the group; the id's lower bits are the same all over a bucket and its upper 16 are the
 * app's, so every bit must reach the lower ones.
 */
static inline uint64_t weir_flow_hash(uint64_t flow_id)
{
	flow_id ^= flow_id >> 38;
	flow_id *= 0x9e3779b97f4a7c15ULL;
	return flow_id ^ flow_id >> 32;
}

/*
 * The tag is bits 4..19 of the hash. They overlap with those that choose the group: so a slot
 * itself knows where it goes when its group is split, and no entry has to be read for that. At
 * a thousand entries a bucket, twelve of its bits still tell entries of one group apart.
 */
#define WEIR_TAG_SHIFT 4

static inline uint64_t weir_hash_tag(uint64_t hash)
{
	return hash >> WEIR_TAG_SHIFT & 0xffff;
}

static inline struct weir_entry *weir_slot_entry(uint64_t slot)
{
	return (struct weir_entry *)(uintptr_t)(slot & 0xffffffffffffULL);
}

/** The group of a hash among `groups` (at least 1). */
static inline unsigned weir_group_index(unsigned groups, uint64_t hash)
{
	unsigned half = 1U << (31 - __builtin_clz(groups)); /* largest power of two in groups */
	unsigned index = (unsigned)hash & (2 * half - 1);

	return index - (half & -(unsigned)(index >= groups)); /* no branch: it could not be told */
}

/** The segment of a group: 0 | 1 | 2 2 | 3 3 3 3 | ... */
static inline unsigned weir_group_seg(unsigned index)
{
	return 31U - (unsigned)__builtin_clz(2 * index + 1);
}

/** Where the pointer to a segment is kept. */
static inline struct weir_group **weir_bucket_seg(const struct weir_bucket *bucket, unsigned seg)
{
	if (seg < WEIR_BUCKET_SEGS)
		return (struct weir_group **)&bucket->segs[WEIR_BUCKET_SEGS - 1 - seg];
	return &weir_rcu_load(bucket->more)[seg - WEIR_BUCKET_SEGS];
}

static inline struct weir_group *weir_bucket_group(const struct weir_bucket *bucket, unsigned index)
{
	unsigned seg = weir_group_seg(index);
	struct weir_group *groups = weir_rcu_load(*weir_bucket_seg(bucket, seg));

	return groups + (index - (1U << seg >> 1));
}

/*
 * Which slots of a group have a tag: bit 4 * i + 3 for slot i; free slots may be among them. The
 * fewer instructions a lookup takes, the more lookups a core has under way at once while memory
 * answers; SSE2 (each x86-64 has it) takes a third of the plain loop's. Each slot is read whole
 * either way. Whoever then loads the slot may find another entry there, as if it had
 * looked a little later.
 */
#define WEIR_MATCH_MASK 0x08888888U

#if defined(__SSE2__) && !defined(WEIR_TSAN)
static inline unsigned weir_group_match(const struct weir_group *group, uint64_t tag)
{
	const __m128i *pairs = (const __m128i *)group;
	__m128i tags = _mm_set1_epi16((short)tag);
	__m128i low = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(pairs), tags),
		_mm_cmpeq_epi16(_mm_load_si128(pairs + 1), tags));
	__m128i high = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_load_si128(pairs + 2), tags),
		_mm_cmpeq_epi16(_mm_load_si128(pairs + 3), tags));

	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* for the compiler: the processor keeps order */
	return ((unsigned)_mm_movemask_epi8(low) | (unsigned)_mm_movemask_epi8(high) << 16) &
	       WEIR_MATCH_MASK;
}
#else
static inline unsigned weir_group_match(const struct weir_group *group, uint64_t tag)
{
	unsigned match = 0;

	for (unsigned i = 0; i < WEIR_GROUP_SLOTS; i++)
		match |= (unsigned)(weir_rcu_load(group->slot[i]) >> 48 == tag) << (4 * i + 3);
	return match;
}
#endif

/** The slot of the lowest bit of a match. */
static inline unsigned weir_match_slot(unsigned match)
{
	return (unsigned)__builtin_ctz(match) / 4;
}

/** Fetches what a comparison will read: id and head of the rule, and the match. */
static inline void weir_entry_prefetch(const struct weir_entry *entry)
{
	__builtin_prefetch(&entry->rule);
	__builtin_prefetch((const char *)&entry->rule + 64);
}

/** An entry with this flow id, or NULL. */
struct weir_entry *weir_bucket_find_id(const struct weir_bucket *bucket, uint64_t flow_id);

/** Sets what the sum of a shard counts for a bucket from `before` to `after`; NULL is fine. */
void weir_shard_account(struct weir_shard *shard, unsigned number, const struct weir_digest *before,
	const struct weir_digest *after);

#endif
