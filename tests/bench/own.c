/* SPDX-License-Identifier: BSD-3-Clause */
/* Weir's own table. */
#include <rte_malloc.h>

#include "base/err.h"

#include "tables.h"

static void *take(void *ctx, size_t bytes, size_t align)
{
	return rte_malloc("weir", bytes, (unsigned)align);
}

static void give(void *ctx, void *chunk, size_t bytes)
{
	rte_free(chunk);
}

const struct weir_mem_source tables_source = {.take = take, .give = give};

void own_open(struct tables *tables)
{
	tables->mem = weir_mem_create(&tables_source, UINT64_MAX);
	tables->table = weir_table_create();
	bench_check(tables->bench, tables->mem != NULL && tables->table != NULL);
}

void own_close(struct tables *tables)
{
	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		weir_table_clear_shard(tables->table, tables->mem, i);
	weir_table_destroy(tables->table);
	weir_mem_destroy(tables->mem);
}

void own_settle(struct tables *tables)
{
	struct weir_mem_stats stats;

	do {
		weir_mem_turn(tables->mem, true);
		weir_rcu_wait();
		weir_mem_stats(tables->mem, &stats);
	} while (stats.waiting_bytes > 0);
}

static void turn(struct weir_mem *mem, uint64_t i)
{
	if (i % TURN != 0)
		return;
	weir_rcu_quiescent();
	weir_mem_turn(mem, false);
}

void own_put_one(struct tables *tables, struct weir_mem *mem, uint64_t i)
{
	const struct weir_entry *entry = &tables->flows[i].entry;
	struct weir_bucket *bucket =
		weir_table_bucket_make(tables->table, mem, weir_flow_bucket(entry->rule.flow_id));

	bench_check(
		tables->bench, bucket != NULL && weir_bucket_put(bucket, mem, entry, NULL) >= 0);
	turn(mem, i);
}

void own_put(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++)
		own_put_one(tables, tables->mem, i);
}

/** As a worker does that takes a burst of tasks: fetches what they will touch, then does them. */
static void burst(struct tables *tables, void (*one)(struct tables *tables, uint64_t i))
{
	uint64_t flow_ids[BULK];

	for (uint64_t i = 0; i < tables->count; i += BULK) {
		uint64_t left = tables->count - i;
		unsigned count = left < BULK ? (unsigned)left : BULK;

		for (unsigned k = 0; k < count; k++)
			flow_ids[k] = tables->flows[i + k].entry.rule.flow_id;
		weir_table_prefetch(tables->table, flow_ids, count);
		for (unsigned k = 0; k < count; k++)
			one(tables, i + k);
	}
}

static void put_one(struct tables *tables, uint64_t i)
{
	own_put_one(tables, tables->mem, i);
}

void own_put_burst(struct tables *tables)
{
	burst(tables, put_one);
}

void own_find(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		const struct weir_entry *entry =
			weir_table_find(tables->table, &tables->probes[i].rule);

		tables->misses += entry == NULL;
		if (i % TURN == 0)
			weir_rcu_quiescent();
	}
}

void own_find_id(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++) {
		uint64_t flow_id = tables->probes[i].rule.flow_id;

		tables->misses += weir_table_find_id(tables->table, flow_id) == NULL;
		if (i % TURN == 0)
			weir_rcu_quiescent();
	}
}

void own_find_bulk(struct tables *tables)
{
	const struct weir_rule *rules[BULK];
	struct weir_entry *entries[BULK];

	for (uint64_t i = 0; i + BULK <= tables->count; i += BULK) {
		for (unsigned k = 0; k < BULK; k++)
			rules[k] = &tables->probes[i + k].rule;
		weir_table_find_bulk(tables->table, rules, BULK, entries);
		for (unsigned k = 0; k < BULK; k++)
			tables->misses += entries[k] == NULL;
		weir_rcu_quiescent();
	}
}

struct walked {
	uint64_t count, sum;
};

static bool walk_visit(void *ctx, struct weir_entry *entry)
{
	struct walked *walked = ctx;

	walked->count++;
	walked->sum += entry->created;
	return true;
}

void own_walk(struct tables *tables)
{
	struct walked walked = {0};
	uint64_t cursor = 0;

	do {
		cursor = weir_table_walk(tables->table, cursor, 256, walk_visit, &walked);
		weir_rcu_quiescent();
	} while (cursor != 0);
	tables->sum += walked.sum;
	tables->misses += tables->count - walked.count;
}

static void remove_one(struct tables *tables, uint64_t i)
{
	const struct weir_rule *rule = &tables->probes[i].rule;
	struct weir_bucket *bucket =
		weir_table_bucket(tables->table, weir_flow_bucket(rule->flow_id));
	struct weir_entry *entry = weir_bucket_find(bucket, rule);

	bench_check(tables->bench, entry != NULL);
	weir_bucket_remove(bucket, tables->mem, entry);
	turn(tables->mem, i);
}

void own_remove(struct tables *tables)
{
	for (uint64_t i = 0; i < tables->count; i++)
		remove_one(tables, i);
}

void own_remove_burst(struct tables *tables)
{
	burst(tables, remove_one);
}
