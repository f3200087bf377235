/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "table/bucket.h"
#include "table/mem.h"

#define FIND_BULK                                                                                  \
	32 /* lookups that are under way at once: what a core's line buffers can carry             \
	    */

struct weir_table {
	struct weir_shard *shards[WEIR_SHARDS];
	uint64_t fence;
	uint32_t firm; /**< mask of shards */
};

_Static_assert(sizeof(struct weir_table) <= 1024, "a device without flows is small");

struct weir_table *weir_table_create(void)
{
	return calloc(1, sizeof(struct weir_table));
}

void weir_table_destroy(struct weir_table *table)
{
	for (unsigned i = 0; table != NULL && i < WEIR_SHARDS; i++)
		weir_assert(table->shards[i] == NULL);
	free(table);
}

/* Digests. */

/*
 * A bucket's digest in one number, such that the sum over a shard's buckets follows each write by
 * a product or two: the fields, each times a number of its own, are added up, and that times a
 * number of the bucket's own. Sums over buckets that differ in hash are equal by chance only,
 * 2^-64: hashes are sums of what XXH3 makes of entries. Where all hashes are equal, so is the
 * content, and only versions can differ: in one bucket by more than some 2^20 before the number
 * could be the same, in several together by chance as above. Nobody draws them with that in mind;
 * this keeps accidents out, not an enemy. What was never written is 0.
 */
#define DIGEST_TERM  0xff51afd7ed558ccdULL
#define DIGEST_SEQ   0xc4ceb9fe1a85ec53ULL
#define DIGEST_COUNT 0x9e3779b97f4a7c15ULL

static uint64_t digest_word(const struct weir_digest *digest)
{
	uint64_t word = digest->term * DIGEST_TERM + digest->seq * DIGEST_SEQ;

	if (WEIR_DEFECT(B25))
		return word;
	return word + digest->hash + digest->count * DIGEST_COUNT;
}

/** The number of a bucket: odd, so that no difference is lost in the product. */
static uint64_t bucket_word(unsigned bucket)
{
	uint64_t word = (bucket + 1) * 0xd6e8feb86659fd93ULL;

	word = (word ^ word >> 32) * 0xd6e8feb86659fd93ULL;
	return (word ^ word >> 32) | 1;
}

uint64_t weir_digest_mix(unsigned bucket, const struct weir_digest *digest)
{
	return bucket_word(bucket) * digest_word(digest);
}

void weir_shard_account(struct weir_shard *shard, unsigned number, const struct weir_digest *before,
	const struct weir_digest *after)
{
	uint64_t change = digest_word(after) - digest_word(before);

	if (shard == NULL)
		return;
	weir_rcu_poke(shard->sum, shard->sum + bucket_word(number) * change);
	weir_rcu_poke(shard->count, shard->count + after->count - before->count);
}

struct weir_digest weir_table_digest(const struct weir_table *table, unsigned bucket)
{
	const struct weir_bucket *found = weir_table_bucket(table, bucket);

	return found == NULL ? (struct weir_digest){0} : weir_bucket_digest(found);
}

struct weir_shard_digest weir_table_shard_digest(const struct weir_table *table, unsigned shard)
{
	const struct weir_shard *found = weir_rcu_load(table->shards[shard]);

	if (found == NULL)
		return (struct weir_shard_digest){0};
	return (struct weir_shard_digest){
		.sum = weir_rcu_peek(found->sum),
		.count = weir_rcu_peek(found->count),
	};
}

uint64_t weir_table_count(const struct weir_table *table)
{
	uint64_t count = 0;

	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		count += weir_table_shard_digest(table, i).count;
	return count;
}

/* What a look may be believed. */

void weir_table_fence_raise(struct weir_table *table, uint64_t term)
{
	uint64_t fence = weir_rcu_peek(table->fence);

	while (fence < term && !__atomic_compare_exchange_n(&table->fence, &fence, term, true,
				       __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
}

uint64_t weir_table_fence(const struct weir_table *table)
{
	return weir_rcu_load(table->fence);
}

void weir_table_firm_set(struct weir_table *table, uint32_t shards, bool firm)
{
	if (firm)
		__atomic_fetch_or(&table->firm, shards, __ATOMIC_RELEASE);
	else
		__atomic_fetch_and(&table->firm, ~shards, __ATOMIC_RELEASE);
}

void weir_bucket_moving(struct weir_bucket *bucket, int by)
{
	weir_assert(by > 0 ? bucket->moving < WEIR_BUCKET_MOVING_MAX : bucket->moving > 0);
	weir_rcu_publish(bucket->moving, (uint16_t)(bucket->moving + by));
}

unsigned weir_bucket_in_motion(const struct weir_bucket *bucket)
{
	return weir_rcu_load(bucket->moving);
}

bool weir_table_is_firm(const struct weir_table *table, unsigned bucket)
{
	const struct weir_bucket *found = weir_table_bucket(table, bucket);

	/* Motion first: who gives writes up says that nothing is firm, and then ends motion. */
	return (found == NULL || weir_bucket_in_motion(found) == 0) &&
	       (weir_rcu_load(table->firm) >> weir_bucket_shard(bucket) & 1) != 0;
}

/* Lookups. */

struct weir_bucket *weir_table_bucket(const struct weir_table *table, unsigned bucket)
{
	const struct weir_shard *shard = weir_rcu_load(table->shards[weir_bucket_shard(bucket)]);

	return shard == NULL ? NULL : weir_rcu_load(shard->buckets[bucket / WEIR_SHARDS]);
}

struct weir_entry *weir_table_find(const struct weir_table *table, const struct weir_rule *rule)
{
	const struct weir_bucket *bucket =
		weir_table_bucket(table, weir_flow_bucket(rule->flow_id));

	return bucket == NULL ? NULL : weir_bucket_find(bucket, rule);
}

struct weir_entry *weir_table_find_id(const struct weir_table *table, uint64_t flow_id)
{
	const struct weir_bucket *bucket = weir_table_bucket(table, weir_flow_bucket(flow_id));

	return bucket == NULL ? NULL : weir_bucket_find_id(bucket, flow_id);
}

/** A lookup under way. */
struct probe {
	const struct weir_bucket *bucket;
	const struct weir_group *group;
	struct weir_entry *entry; /**< the first with the right tag */
	uint64_t hash;
};

static void probe_bucket(struct probe *probe, const struct weir_table *table, uint64_t flow_id)
{
	probe->hash = weir_flow_hash(flow_id);
	probe->bucket = weir_table_bucket(table, weir_flow_bucket(flow_id));
	__builtin_prefetch(probe->bucket);
}

static void probe_group(struct probe *probe)
{
	unsigned groups = 0;

	probe->group = NULL;
	if (probe->bucket != NULL)
		groups = weir_shape_groups(weir_rcu_load(probe->bucket->shape));
	if (groups > 0)
		probe->group =
			weir_bucket_group(probe->bucket, weir_group_index(groups, probe->hash));
	__builtin_prefetch(probe->group);
}

static void probe_entry(struct probe *probe)
{
	unsigned match = 0;

	probe->entry = NULL;
	if (probe->group != NULL)
		match = weir_group_match(probe->group, weir_hash_tag(probe->hash));
	if (match == 0)
		return;
	probe->entry = weir_slot_entry(weir_rcu_load(probe->group->slot[weir_match_slot(match)]));
	if (probe->entry != NULL) /* a free slot has a tag too: 0 */
		weir_entry_prefetch(probe->entry);
}

static struct weir_entry *probe_result(const struct probe *probe, const struct weir_rule *rule)
{
	if (probe->entry != NULL && weir_rule_same(&probe->entry->rule, rule))
		return probe->entry;
	return probe->bucket == NULL ? NULL : weir_bucket_find(probe->bucket, rule);
}

static void find_some(const struct weir_table *table, const struct weir_rule *const rules[],
	unsigned count, struct weir_entry *entries[])
{
	struct probe probes[FIND_BULK];

	for (unsigned i = 0; i < count; i++)
		probe_bucket(&probes[i], table, rules[i]->flow_id);
	for (unsigned i = 0; i < count; i++)
		probe_group(&probes[i]);
	for (unsigned i = 0; i < count; i++)
		probe_entry(&probes[i]);
	for (unsigned i = 0; i < count; i++)
		entries[i] = probe_result(&probes[i], rules[i]);
}

void weir_table_find_bulk(const struct weir_table *table, const struct weir_rule *const rules[],
	unsigned count, struct weir_entry *entries[])
{
	for (unsigned done = 0; done < count; done += FIND_BULK)
		find_some(table, rules + done, count - done < FIND_BULK ? count - done : FIND_BULK,
			entries + done);
}

/** For a writer: the rest of the bucket, and all of an entry that may be replaced. */
static void probe_write(struct probe *probe)
{
	if (probe->bucket != NULL)
		__builtin_prefetch((const char *)probe->bucket + 64, 1);
	probe_entry(probe);
	if (probe->entry == NULL)
		return;
	__builtin_prefetch(probe->entry);
	__builtin_prefetch((const char *)probe->entry + 2 * WEIR_MEM_LINE);
	weir_mem_prefetch(probe->entry, sizeof(struct weir_entry));
}

/** Fetches the way to a bucket: where tables are many, none of it is in the caches. */
static void probe_shard(const struct weir_table *table, uint64_t flow_id)
{
	const struct weir_shard *shard = weir_rcu_load(table->shards[weir_flow_shard(flow_id)]);

	if (shard == NULL)
		return;
	__builtin_prefetch(shard, 1);
	__builtin_prefetch(&shard->buckets[weir_flow_bucket(flow_id) / WEIR_SHARDS]);
}

static void prefetch_some(
	const struct weir_table *const tables[], const uint64_t flow_ids[], unsigned count)
{
	struct probe probes[FIND_BULK];

	for (unsigned i = 0; i < count; i++)
		__builtin_prefetch(&tables[i]->shards[weir_flow_shard(flow_ids[i])]);
	for (unsigned i = 0; i < count; i++)
		probe_shard(tables[i], flow_ids[i]);
	for (unsigned i = 0; i < count; i++)
		probe_bucket(&probes[i], tables[i], flow_ids[i]);
	for (unsigned i = 0; i < count; i++)
		probe_group(&probes[i]);
	for (unsigned i = 0; i < count; i++)
		probe_write(&probes[i]);
}

void weir_tables_prefetch(
	const struct weir_table *const tables[], const uint64_t flow_ids[], unsigned count)
{
	for (unsigned done = 0; done < count; done += FIND_BULK)
		prefetch_some(tables + done, flow_ids + done,
			count - done < FIND_BULK ? count - done : FIND_BULK);
}

void weir_table_prefetch(const struct weir_table *table, const uint64_t flow_ids[], unsigned count)
{
	const struct weir_table *tables[FIND_BULK];

	for (unsigned i = 0; i < FIND_BULK && i < count; i++)
		tables[i] = table;
	for (unsigned done = 0; done < count; done += FIND_BULK)
		prefetch_some(tables, flow_ids + done,
			count - done < FIND_BULK ? count - done : FIND_BULK);
}

/* Buckets come and go. */

static struct weir_shard *shard_make(
	struct weir_table *table, struct weir_mem *mem, unsigned number)
{
	struct weir_shard *shard = table->shards[number];

	if (shard != NULL)
		return shard;
	shard = weir_mem_alloc(mem, sizeof(*shard));
	if (shard == NULL)
		return NULL;
	memset(shard, 0, sizeof(*shard));
	weir_rcu_publish(table->shards[number], shard);
	return shard;
}

/** Puts a bucket in the place of its number and gives back what was there. */
static void shard_place(struct weir_shard *shard, struct weir_mem *mem, struct weir_bucket *bucket)
{
	struct weir_bucket **place = &shard->buckets[bucket->number / WEIR_SHARDS];
	struct weir_bucket *old = *place;
	struct weir_digest before = {0};
	struct weir_digest after = weir_bucket_digest(bucket);

	if (old != NULL)
		before = weir_bucket_digest(old);
	bucket->shard = shard;
	weir_rcu_publish(*place, bucket);
	weir_shard_account(shard, bucket->number, &before, &after);
	weir_bucket_destroy(old, mem);
}

struct weir_bucket *weir_table_bucket_make(
	struct weir_table *table, struct weir_mem *mem, unsigned bucket)
{
	struct weir_bucket *found = weir_table_bucket(table, bucket);
	struct weir_shard *shard;

	if (found != NULL)
		return found;
	shard = shard_make(table, mem, weir_bucket_shard(bucket));
	if (shard == NULL)
		return NULL;
	found = weir_bucket_create(mem, bucket);
	if (found != NULL)
		shard_place(shard, mem, found);
	return found;
}

int weir_table_swap(struct weir_table *table, struct weir_mem *mem, struct weir_bucket *bucket)
{
	struct weir_shard *shard = shard_make(table, mem, weir_bucket_shard(bucket->number));

	weir_assert(bucket->shard == NULL);
	if (shard == NULL)
		return WEIR_BUSY;
	shard_place(shard, mem, bucket);
	return 0;
}

void weir_table_clear_shard(struct weir_table *table, struct weir_mem *mem, unsigned shard)
{
	struct weir_shard *old = table->shards[shard];

	if (old == NULL)
		return;
	weir_rcu_publish(table->shards[shard], NULL);
	for (unsigned i = 0; i < WEIR_SHARD_BUCKETS; i++)
		weir_bucket_destroy(old->buckets[i], mem);
	weir_mem_free(mem, old, sizeof(*old));
}
