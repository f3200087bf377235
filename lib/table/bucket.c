/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/err.h"
#include "table/bucket.h"
#include "table/mem.h"

/*
 * Entries a group, in tenths. A segment is begun when the groups hold GROUP_FULL_TENTHS. Its memory
 * is spent then, so its groups are brought into use one a write until the table has doubled: most
 * of the time the number of groups is a power of two and few chains overflow. Shrinking
 * begins far below, so that a bucket does not grow and shrink about one point.
 */
#define GROUP_FULL_TENTHS 56
#define GROUP_HALF_TENTHS (GROUP_FULL_TENTHS / 2)
#define GROUP_THIN_TENTHS 20

/** A slot of a chain. */
struct place {
	struct weir_group *group;
	struct weir_group *before; /**< the chain's group in front of it; NULL for the first */
	unsigned slot;
};

/* The shape. */

static unsigned bucket_groups(const struct weir_bucket *bucket)
{
	return weir_shape_groups(bucket->shape);
}

/** Rule M's middle step: `groups` from now on, and readers that find nothing look again. */
static void bucket_reshape(struct weir_bucket *bucket, unsigned groups)
{
	uint64_t moves = (bucket->shape >> WEIR_SHAPE_BITS) + 1;

	weir_rcu_publish(bucket->shape, moves << WEIR_SHAPE_BITS | groups);
}

static void bucket_moved(struct weir_bucket *bucket)
{
	bucket_reshape(bucket, bucket_groups(bucket));
}

static struct weir_group *bucket_chain(const struct weir_bucket *bucket, uint64_t hash)
{
	unsigned groups = bucket_groups(bucket);

	return groups == 0 ? NULL : weir_bucket_group(bucket, weir_group_index(groups, hash));
}

/* Digest. */

/** Takes note of a change of content: count and hash of the bucket, and what its shard sums. */
static void bucket_account(struct weir_bucket *bucket, int count, uint64_t hash)
{
	struct weir_digest before = weir_bucket_digest(bucket);
	struct weir_digest after = before;

	after.count += (unsigned)count;
	after.hash += hash;
	weir_rcu_poke(bucket->count, after.count);
	weir_rcu_poke(bucket->hash, after.hash);
	weir_shard_account(bucket->shard, bucket->number, &before, &after);
}

struct weir_digest weir_bucket_digest(const struct weir_bucket *bucket)
{
	return (struct weir_digest){
		.term = weir_rcu_peek(bucket->term),
		.seq = weir_rcu_peek(bucket->seq),
		.hash = weir_rcu_peek(bucket->hash),
		.count = weir_rcu_peek(bucket->count),
	};
}

void weir_bucket_stamp(struct weir_bucket *bucket, uint64_t term, uint64_t seq)
{
	struct weir_digest before = weir_bucket_digest(bucket);
	struct weir_digest after = before;

	after.term = term;
	after.seq = seq;
	weir_assert(weir_digest_compare(&before, &after) <= 0);
	weir_rcu_poke(bucket->term, term);
	weir_rcu_poke(bucket->seq, seq);
	weir_shard_account(bucket->shard, bucket->number, &before, &after);
}

/* Reading. */

/** Looks in one chain: for a rule, or where `rule` is NULL for any entry with this flow id. */
static inline struct weir_entry *chain_find(const struct weir_group *group, uint64_t tag,
	uint64_t flow_id, const struct weir_rule *rule)
{
	for (; group != NULL; group = weir_rcu_load(group->next)) {
		for (unsigned match = weir_group_match(group, tag); match != 0;
			match &= match - 1) {
			struct weir_entry *entry =
				weir_slot_entry(weir_rcu_load(group->slot[weir_match_slot(match)]));

			if (entry == NULL)
				continue;
			weir_entry_prefetch(entry);
			if (rule == NULL ? entry->rule.flow_id == flow_id
					 : weir_rule_same(&entry->rule, rule))
				return entry;
		}
	}
	return NULL;
}

/** Rule R: looks again while the writer moved something meanwhile. */
static inline struct weir_entry *bucket_find(
	const struct weir_bucket *bucket, uint64_t flow_id, const struct weir_rule *rule)
{
	uint64_t hash = weir_flow_hash(flow_id);
	uint64_t shape = weir_rcu_load(bucket->shape);

	while (weir_shape_groups(shape) > 0) {
		unsigned index = weir_group_index(weir_shape_groups(shape), hash);
		struct weir_entry *entry = chain_find(
			weir_bucket_group(bucket, index), weir_hash_tag(hash), flow_id, rule);
		uint64_t after;

		if (entry != NULL)
			return entry;
		after = weir_rcu_load(bucket->shape);
		if (after == shape)
			return NULL;
		shape = after;
	}
	return NULL;
}

struct weir_entry *weir_bucket_find(const struct weir_bucket *bucket, const struct weir_rule *rule)
{
	return bucket_find(bucket, rule->flow_id, rule);
}

struct weir_entry *weir_bucket_find_id(const struct weir_bucket *bucket, uint64_t flow_id)
{
	return bucket_find(bucket, flow_id, NULL);
}

/* Chains, as their writer sees them. */

static uint64_t *place_slot(const struct place *place)
{
	return &place->group->slot[place->slot];
}

static void place_next(struct place *place)
{
	if (++place->slot < WEIR_GROUP_SLOTS)
		return;
	place->before = place->group;
	place->group = place->group->next;
	place->slot = 0;
}

/** The first free slot of a chain; its group is NULL where the chain is full. */
static struct place chain_end(struct weir_group *chain)
{
	struct place end = {.group = chain};

	while (end.group->next != NULL && end.group->slot[WEIR_GROUP_SLOTS - 1] != 0) {
		end.before = end.group;
		end.group = end.group->next;
	}
	while (end.group != NULL && *place_slot(&end) != 0)
		place_next(&end);
	return end;
}

static void group_clear(struct weir_group *group)
{
	for (unsigned i = 0; i < WEIR_GROUP_SLOTS; i++)
		weir_rcu_publish(group->slot[i], 0);
	weir_rcu_publish(group->next, NULL);
}

static void spare_free(struct weir_mem *mem, struct weir_group *spare)
{
	while (spare != NULL) {
		struct weir_group *next = spare->next;

		weir_mem_free_now(mem, spare, sizeof(*spare));
		spare = next;
	}
}

/** Makes `count` empty groups, linked; false where memory is short. */
static bool spare_make(struct weir_mem *mem, unsigned count, struct weir_group **spare)
{
	*spare = NULL;
	while (count-- > 0) {
		struct weir_group *group = weir_mem_alloc(mem, sizeof(*group));

		if (group == NULL) {
			spare_free(mem, *spare);
			return false;
		}
		group_clear(group);
		group->next = *spare;
		*spare = group;
	}
	return true;
}

/** Appends to a chain at its end; takes a group from `spare` where the chain is full. */
static void chain_append(struct place *end, uint64_t slot, struct weir_group **spare)
{
	if (end->group == NULL) {
		end->group = *spare;
		*spare = end->group->next;
		end->group->next = NULL;
		weir_rcu_publish(end->before->next, end->group);
	}
	weir_rcu_publish(*place_slot(end), slot);
	place_next(end);
}

/** Takes off everything from `end` on; groups that are left empty go back after a grace period. */
static void chain_cut(struct weir_mem *mem, struct place end)
{
	struct weir_group *rest = end.group;

	if (rest == NULL)
		return;
	if (end.slot > 0 || end.before == NULL) {
		for (unsigned i = end.slot; i < WEIR_GROUP_SLOTS; i++)
			weir_rcu_publish(rest->slot[i], 0);
		end.before = rest;
		rest = rest->next;
	}
	weir_rcu_publish(end.before->next, NULL);
	while (rest != NULL) {
		struct weir_group *next = rest->next;

		weir_mem_free(mem, rest, sizeof(*rest));
		rest = next;
	}
}

static unsigned chain_count(struct weir_group *chain)
{
	struct place place = {.group = chain};
	unsigned count = 0;

	for (; place.group != NULL && *place_slot(&place) != 0; place_next(&place))
		count++;
	return count;
}

/** Groups that a chain of `count` entries needs behind its first. */
static unsigned chain_overflow(unsigned count)
{
	return count == 0 ? 0 : (count - 1) / WEIR_GROUP_SLOTS;
}

/* Segments. */

static size_t seg_bytes(unsigned seg)
{
	return sizeof(struct weir_group) * (seg == 0 ? 1 : 1ULL << (seg - 1));
}

/** Makes room for one more group; false where memory is short. */
static bool seg_make(struct weir_bucket *bucket, struct weir_mem *mem, unsigned groups)
{
	unsigned seg = weir_group_seg(groups);
	struct weir_group *made;

	if ((groups & (groups - 1)) != 0)
		return true; /* not the first of its segment */
	if (seg >= WEIR_BUCKET_SEGS && bucket->more == NULL) {
		struct weir_group **more =
			weir_mem_alloc(mem, WEIR_BUCKET_SEGS_MORE * sizeof(struct weir_group *));

		if (more == NULL)
			return false;
		memset(more, 0, WEIR_BUCKET_SEGS_MORE * sizeof(struct weir_group *));
		weir_rcu_publish(bucket->more, more);
	}
	made = weir_mem_alloc(mem, seg_bytes(seg));
	if (made == NULL)
		return false;
	memset(made, 0, seg_bytes(seg)); /* a reader of an older shape may look at any of it */
	weir_rcu_publish(*weir_bucket_seg(bucket, seg), made);
	return true;
}

/**
 * Gives back the segment of group `groups`, the first one not in use, where that group began it.
 * The pointer stays: who still follows it has an older shape, and the grace period waits for it.
 */
static void seg_drop(struct weir_bucket *bucket, struct weir_mem *mem, unsigned groups)
{
	unsigned seg = weir_group_seg(groups);

	if ((groups & (groups - 1)) == 0)
		weir_mem_free(mem, *weir_bucket_seg(bucket, seg), seg_bytes(seg));
}

/* Growing and shrinking, by one group. */

/** Whether a slot of a group moves to the new group when bit `bit` of the hash begins to count. */
static bool slot_moves(uint64_t slot, unsigned bit)
{
	if (bit >= WEIR_TAG_SHIFT && bit < WEIR_TAG_SHIFT + 16)
		return slot >> (48 + bit - WEIR_TAG_SHIFT) & 1;
	return weir_flow_hash(weir_slot_entry(slot)->rule.flow_id) >> bit & 1;
}

/** Copies what moves from one chain to the end of another; false where memory is short. */
static bool split_copy(
	struct weir_mem *mem, struct weir_group *from, struct weir_group *to, unsigned bit)
{
	struct place place = {.group = from};
	struct place end = {.group = to};
	struct weir_group *spare;
	unsigned count = 0;

	for (; place.group != NULL && *place_slot(&place) != 0; place_next(&place))
		count += slot_moves(*place_slot(&place), bit);
	if (!spare_make(mem, chain_overflow(count), &spare))
		return false;
	group_clear(to);
	for (place = (struct place){.group = from}; count > 0; place_next(&place)) {
		if (!slot_moves(*place_slot(&place), bit))
			continue;
		chain_append(&end, *place_slot(&place), &spare);
		count--;
	}
	return true;
}

/** Packs what stays in a chain whose moving slots are readable elsewhere by now. */
static void split_pack(
	struct weir_bucket *bucket, struct weir_mem *mem, struct weir_group *from, unsigned bit)
{
	struct place place = {.group = from};
	struct place end = {.group = from};

	for (; place.group != NULL && *place_slot(&place) != 0; place_next(&place)) {
		uint64_t slot = *place_slot(&place);

		if (slot_moves(slot, bit))
			continue;
		if (place_slot(&place) != place_slot(&end)) {
			weir_rcu_publish(*place_slot(&end), slot);
			bucket_moved(bucket); /* rule M: before the next round overwrites */
		}
		place_next(&end);
	}
	chain_cut(mem, end);
}

/** Makes one more group and moves into it what belongs there; does nothing where memory is short.
 */
static void bucket_split(struct weir_bucket *bucket, struct weir_mem *mem)
{
	unsigned groups = bucket_groups(bucket);
	unsigned bit = weir_group_seg(groups) - 1;
	struct weir_group *from = weir_bucket_group(bucket, groups - (1U << bit));

	if (!seg_make(bucket, mem, groups))
		return;
	if (!split_copy(mem, from, weir_bucket_group(bucket, groups), bit)) {
		seg_drop(bucket, mem, groups);
		return;
	}
	bucket_reshape(bucket, groups + 1);
	split_pack(bucket, mem, from, bit);
}

/** Moves the last group's entries to where they came from; does nothing where memory is short. */
static void bucket_merge(struct weir_bucket *bucket, struct weir_mem *mem)
{
	unsigned last = bucket_groups(bucket) - 1;
	struct weir_group *from = weir_bucket_group(bucket, last);
	struct weir_group *to =
		weir_bucket_group(bucket, last - (1U << (weir_group_seg(last) - 1)));
	unsigned count = chain_count(to);
	struct place place = {.group = from};
	struct place end = chain_end(to);
	struct weir_group *spare;

	if (!spare_make(
		    mem, chain_overflow(count + chain_count(from)) - chain_overflow(count), &spare))
		return;
	for (; place.group != NULL && *place_slot(&place) != 0; place_next(&place))
		chain_append(&end, *place_slot(&place), &spare);
	bucket_reshape(bucket, last);
	for (struct weir_group *group = from->next; group != NULL; group = group->next)
		weir_mem_free(mem, group, sizeof(*group));
	seg_drop(bucket, mem, last);
}

/** Fetches what the next split of this bucket will touch: it comes some writes later. */
static void bucket_prefetch_split(const struct weir_bucket *bucket)
{
	unsigned groups = bucket_groups(bucket);

	if ((groups & (groups - 1)) == 0)
		return;
	__builtin_prefetch(weir_bucket_group(bucket, groups), 1);
	__builtin_prefetch(
		weir_bucket_group(bucket, groups - (1U << (weir_group_seg(groups) - 1))), 1);
}

static void bucket_fit(struct weir_bucket *bucket, struct weir_mem *mem)
{
	uint64_t groups = bucket_groups(bucket);
	uint64_t tenths = (uint64_t)bucket->count * 10;
	bool doubled = (groups & (groups - 1)) == 0;

	if (tenths < groups * GROUP_THIN_TENTHS && groups > 1) {
		bucket_merge(bucket, mem);
	} else if (tenths > groups * (doubled ? GROUP_FULL_TENTHS : GROUP_HALF_TENTHS) &&
		   groups < WEIR_BUCKET_GROUPS_MAX) {
		bucket_split(bucket, mem);
		bucket_prefetch_split(bucket);
	}
}

/* Writing. */

/** Where a rule stands in a chain, or NULL; counts the entries that share its flow id. */
static uint64_t *chain_seek(
	struct weir_group *chain, uint64_t tag, const struct weir_rule *rule, unsigned *shared)
{
	*shared = 0;
	for (; chain != NULL; chain = chain->next) {
		for (unsigned match = weir_group_match(chain, tag); match != 0;
			match &= match - 1) {
			unsigned i = weir_match_slot(match);
			struct weir_entry *entry = weir_slot_entry(chain->slot[i]);

			if (entry == NULL || entry->rule.flow_id != rule->flow_id)
				continue;
			if (weir_rule_same(&entry->rule, rule))
				return &chain->slot[i];
			++*shared;
		}
	}
	return NULL;
}

/** Puts a new entry at the end of its chain; WEIR_BUSY where memory is short. */
static int bucket_append(
	struct weir_bucket *bucket, struct weir_mem *mem, uint64_t hash, struct weir_entry *entry)
{
	struct weir_group *spare = NULL;
	struct place end;

	if (bucket_groups(bucket) == 0) {
		if (!seg_make(bucket, mem, 0))
			return WEIR_BUSY;
		group_clear(weir_bucket_group(bucket, 0));
		bucket_reshape(bucket, 1);
	}
	end = chain_end(bucket_chain(bucket, hash));
	if (end.group == NULL && !spare_make(mem, 1, &spare))
		return WEIR_BUSY;
	chain_append(&end, weir_hash_tag(hash) << 48 | (uintptr_t)entry, &spare);
	return 0;
}

static void bucket_replace(struct weir_bucket *bucket, struct weir_mem *mem, uint64_t *slot,
	struct weir_entry *entry, uint64_t content)
{
	struct weir_entry *old = weir_slot_entry(*slot);

	weir_rcu_publish(*slot, (*slot >> 48) << 48 | (uintptr_t)entry);
	bucket_account(bucket, 0, content - weir_entry_hash(old));
	weir_mem_free(mem, old, weir_entry_bytes(old));
}

/** Fetches all of an entry that is about to be hashed and freed, and its place in memory's books.
 */
static void entry_prefetch_free(const struct weir_entry *entry)
{
	size_t bytes = weir_entry_bytes(entry);

	weir_mem_prefetch(entry, bytes);
	for (size_t line = 0; line < bytes; line += WEIR_MEM_LINE)
		__builtin_prefetch((const char *)entry + line);
}

int weir_bucket_put(struct weir_bucket *bucket, struct weir_mem *mem,
	const struct weir_entry *entry, struct weir_entry **stored)
{
	uint64_t hash = weir_flow_hash(entry->rule.flow_id);
	size_t bytes = weir_entry_bytes(entry);
	struct weir_entry *copy;
	uint64_t *slot, content;
	unsigned shared;

	weir_assert(weir_flow_bucket(entry->rule.flow_id) == bucket->number);
	slot = chain_seek(bucket_chain(bucket, hash), weir_hash_tag(hash), &entry->rule, &shared);
	if (shared >= WEIR_FLOW_ID_SHARED_MAX && slot == NULL)
		return WEIR_BUSY;
	if (slot != NULL)
		entry_prefetch_free(weir_slot_entry(*slot));
	copy = weir_mem_alloc(mem, bytes);
	if (copy == NULL)
		return WEIR_BUSY;
	memcpy(copy, entry, bytes);
	content = weir_entry_hash(entry); /* not the copy's: its memory may still be on its way */
	if (slot == NULL && bucket_append(bucket, mem, hash, copy) != 0) {
		weir_mem_free_now(mem, copy, bytes);
		return WEIR_BUSY;
	}
	if (stored != NULL)
		*stored = copy;
	if (slot != NULL) {
		bucket_replace(bucket, mem, slot, copy, content);
		return 1;
	}
	bucket_account(bucket, 1, content);
	bucket_fit(bucket, mem);
	return 0;
}

void weir_bucket_remove(struct weir_bucket *bucket, struct weir_mem *mem, struct weir_entry *entry)
{
	struct place place = {.group = bucket_chain(bucket, weir_flow_hash(entry->rule.flow_id))};
	struct place last;

	entry_prefetch_free(entry);
	while (place.group != NULL && weir_slot_entry(*place_slot(&place)) != entry)
		place_next(&place);
	weir_assert(place.group != NULL);
	last = place;
	for (struct place next = place; next.group != NULL && *place_slot(&next) != 0;
		place_next(&next))
		last = next;
	weir_rcu_publish(*place_slot(&place), *place_slot(&last));
	bucket_moved(bucket);
	chain_cut(mem, last);
	bucket_account(bucket, -1, -weir_entry_hash(entry));
	weir_mem_free(mem, entry, weir_entry_bytes(entry));
	bucket_fit(bucket, mem);
}

struct purge {
	struct weir_bucket *bucket;
	struct weir_mem *mem;
	int app;
	unsigned removed;
};

static bool purge_visit(void *ctx, struct weir_entry *entry)
{
	struct purge *purge = ctx;

	if (purge->app == WEIR_ANY_APP || weir_rule_app(&entry->rule) == purge->app) {
		weir_bucket_remove(purge->bucket, purge->mem, entry);
		purge->removed++;
	}
	return true;
}

unsigned weir_bucket_purge(struct weir_bucket *bucket, struct weir_mem *mem, int app)
{
	struct purge purge = {bucket, mem, app, 0};

	weir_bucket_walk(bucket, 0, UINT32_MAX, purge_visit, &purge);
	return purge.removed;
}

void weir_bucket_set_state(struct weir_bucket *bucket, struct weir_entry *entry,
	enum weir_flow_state state, uint16_t error)
{
	uint64_t before = weir_entry_hash(entry);

	weir_rcu_poke(entry->state, (uint8_t)state);
	weir_rcu_poke(entry->error, error);
	bucket_account(bucket, 0, weir_entry_hash(entry) - before);
}

/* Life. */

struct weir_bucket *weir_bucket_create(struct weir_mem *mem, unsigned number)
{
	struct weir_bucket *bucket = weir_mem_alloc(mem, sizeof(*bucket));

	weir_assert(number < WEIR_BUCKETS);
	if (bucket == NULL)
		return NULL;
	memset(bucket, 0, sizeof(*bucket));
	bucket->number = (uint16_t)number;
	return bucket;
}

static void chain_destroy(struct weir_mem *mem, struct weir_group *group)
{
	for (bool first = true; group != NULL; first = false) {
		struct weir_group *next = group->next;

		for (unsigned i = 0; i < WEIR_GROUP_SLOTS && group->slot[i] != 0; i++) {
			struct weir_entry *entry = weir_slot_entry(group->slot[i]);

			weir_mem_free(mem, entry, weir_entry_bytes(entry));
		}
		if (!first) /* the first one lies in a segment */
			weir_mem_free(mem, group, sizeof(*group));
		group = next;
	}
}

void weir_bucket_destroy(struct weir_bucket *bucket, struct weir_mem *mem)
{
	if (bucket == NULL)
		return;
	for (unsigned i = 0; i < bucket_groups(bucket); i++)
		chain_destroy(mem, weir_bucket_group(bucket, i));
	for (unsigned i = 0, seg = 0; i < bucket_groups(bucket); i = 1U << seg++)
		weir_mem_free(mem, *weir_bucket_seg(bucket, seg), seg_bytes(seg));
	if (bucket->more != NULL)
		weir_mem_free(
			mem, bucket->more, WEIR_BUCKET_SEGS_MORE * sizeof(struct weir_group *));
	weir_mem_free(mem, bucket, sizeof(*bucket));
}
