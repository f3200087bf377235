/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Walking. All entries of a bucket have a fixed order: by their hash with its bits reversed. A
 * group of a linear hash table holds one interval of that order, whatever the number of groups;
 * splitting halves the interval, merging joins two. So a point in that order is a cursor that
 * stays right while the bucket grows and shrinks. (Redis's SCAN does the same with whole slots.)
 */
#include "base/err.h"
#include "table/bucket.h"

/* A cursor: bit 0 says that the walk has begun, then the position, then the bucket. */
#define POSITION_BITS       53
#define POSITION_END        (1ULL << POSITION_BITS)
#define CURSOR_BEGAN        1ULL
#define CURSOR_BUCKET_SHIFT (1 + POSITION_BITS)

/** The next entries in order from some position on, taken from one group at one moment. */
struct crowd {
	uint64_t end; /**< all entries before this position are here */
	unsigned count;
	uint64_t position[WEIR_WALK_EXTRA];
	struct weir_entry *entry[WEIR_WALK_EXTRA];
};

static uint64_t bits_reverse(uint64_t bits)
{
	bits = (bits >> 1 & 0x5555555555555555ULL) | (bits & 0x5555555555555555ULL) << 1;
	bits = (bits >> 2 & 0x3333333333333333ULL) | (bits & 0x3333333333333333ULL) << 2;
	bits = (bits >> 4 & 0x0f0f0f0f0f0f0f0fULL) | (bits & 0x0f0f0f0f0f0f0f0fULL) << 4;
	return __builtin_bswap64(bits);
}

static uint64_t entry_position(const struct weir_entry *entry)
{
	return bits_reverse(weir_flow_hash(entry->rule.flow_id)) >> (64 - POSITION_BITS);
}

/** The end of the interval that a group holds. */
static uint64_t group_end(unsigned groups, unsigned index, uint64_t position)
{
	unsigned bits = 31U - (unsigned)__builtin_clz(groups);
	uint64_t size;

	if (index + (1U << bits) < groups || index >= 1U << bits)
		bits++; /* one of the groups that are split already */
	size = POSITION_END >> bits;
	return (position / size + 1) * size;
}

/** Sorts an entry in; where the crowd is full, who comes last falls out and ends it. */
static void crowd_add(struct crowd *crowd, uint64_t position, struct weir_entry *entry)
{
	unsigned i = crowd->count;

	for (unsigned k = i; k > 0 && crowd->position[k - 1] >= position; k--)
		if (crowd->entry[k - 1] == entry)
			return; /* seen at its old place and its new one */
	if (crowd->count == WEIR_WALK_EXTRA) {
		uint64_t last = crowd->position[--i];

		crowd->end = position > last ? position : last;
		if (position >= last)
			return;
	} else {
		crowd->count++;
	}
	for (; i > 0 && crowd->position[i - 1] > position; i--) {
		crowd->position[i] = crowd->position[i - 1];
		crowd->entry[i] = crowd->entry[i - 1];
	}
	crowd->position[i] = position;
	crowd->entry[i] = entry;
}

static void crowd_scan(struct crowd *crowd, const struct weir_group *group, uint64_t position)
{
	for (; group != NULL; group = weir_rcu_load(group->next)) {
		struct weir_entry *entries[WEIR_GROUP_SLOTS];

		for (unsigned i = 0; i < WEIR_GROUP_SLOTS; i++) {
			entries[i] = weir_slot_entry(weir_rcu_load(group->slot[i]));
			if (entries[i] != NULL)
				weir_entry_prefetch(entries[i]);
		}
		for (unsigned i = 0; i < WEIR_GROUP_SLOTS; i++) {
			uint64_t at = entries[i] != NULL ? entry_position(entries[i]) : 0;

			if (entries[i] != NULL && at >= position && at < crowd->end)
				crowd_add(crowd, at, entries[i]);
		}
	}
}

/** Rule R of bucket.h, for a whole chain: what is there all the time is in the crowd. */
static void crowd_gather(struct crowd *crowd, const struct weir_bucket *bucket, uint64_t position)
{
	uint64_t hash = bits_reverse(position << (64 - POSITION_BITS));
	uint64_t shape = weir_rcu_load(bucket->shape);
	uint64_t before;

	do {
		unsigned groups = weir_shape_groups(shape);
		unsigned index;

		before = shape;
		crowd->count = 0;
		crowd->end = POSITION_END;
		if (groups == 0)
			return;
		index = weir_group_index(groups, hash);
		crowd->end = group_end(groups, index, position);
		crowd_scan(crowd, weir_bucket_group(bucket, index), position);
		shape = weir_rcu_load(bucket->shape);
	} while (shape != before);
}

/** Visits a crowd; returns the position to go on with. */
static uint64_t crowd_visit(
	const struct crowd *crowd, unsigned *left, weir_entry_visit *visit, void *ctx)
{
	const uint64_t *position = crowd->position;

	for (unsigned i = 0; i < crowd->count && position[i] < crowd->end; i++) {
		if (*left == 0 && position[i] != position[i - 1])
			return position[i];
		if (!visit(ctx, crowd->entry[i])) {
			bool parted = i + 1 < crowd->count && position[i + 1] == position[i];

			*left = 0;
			return parted ? position[i] : position[i] + 1;
		}
		if (*left > 0)
			--*left;
	}
	return crowd->end;
}

/** Goes on from `position`; returns where to go on, or POSITION_END. */
static uint64_t bucket_visit(const struct weir_bucket *bucket, uint64_t position, unsigned *left,
	weir_entry_visit *visit, void *ctx)
{
	struct crowd crowd;

	while (position<POSITION_END && * left> 0) {
		crowd_gather(&crowd, bucket, position);
		weir_assert(crowd.end > position);
		position = crowd_visit(&crowd, left, visit, ctx);
	}
	return position;
}

static uint64_t cursor_position(uint64_t cursor)
{
	return cursor / 2 % POSITION_END;
}

uint64_t weir_bucket_walk(const struct weir_bucket *bucket, uint64_t cursor, unsigned most,
	weir_entry_visit *visit, void *ctx)
{
	unsigned left = most > 0 ? most : 1;
	uint64_t position = bucket_visit(bucket, cursor_position(cursor), &left, visit, ctx);

	return position == POSITION_END ? 0 : position << 1 | CURSOR_BEGAN;
}

uint64_t weir_table_walk(const struct weir_table *table, uint64_t cursor, unsigned most,
	weir_entry_visit *visit, void *ctx)
{
	unsigned left = most > 0 ? most : 1;
	uint64_t number = cursor >> CURSOR_BUCKET_SHIFT;
	uint64_t position = cursor_position(cursor);

	for (; number < WEIR_BUCKETS && left > 0; number++, position = 0) {
		struct weir_bucket *bucket = weir_table_bucket(table, (unsigned)number);

		if (bucket == NULL)
			continue;
		position = bucket_visit(bucket, position, &left, visit, ctx);
		if (position < POSITION_END)
			return number << CURSOR_BUCKET_SHIFT | position << 1 | CURSOR_BEGAN;
	}
	return number == WEIR_BUCKETS ? 0 : number << CURSOR_BUCKET_SHIFT | CURSOR_BEGAN;
}
