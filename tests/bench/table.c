/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How fast and how large the flow table is, beside DPDK's rte_hash and liburcu's cds_lfht, which
 * hold keys of 48 bytes with an equal number of random flows in the same memory. One core, one
 * million flows of one device: five-tuple, one output.
 *
 * bench-table [EAL arguments]; prints `name value unit ratio baseline`.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_eal.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>
#include <rte_malloc.h>
#include <urcu/rculfhash.h>

#include "base/err.h"
#include "table/rcu.h"
#include "table/table.h"

#define FLOWS     1000000U
#define TURN      32U /* operations between two quiescent states */
#define BULK      32U
#define ROUNDS    4U
#define MATCH_LEN 35U /* eth_type, ip_proto, nw_src, nw_dst, tp_src, tp_dst */
#define INSTR_LEN 40U /* write_actions: output */
#define KEY_BYTES 48U

struct flow {
	struct weir_entry entry;
	uint8_t data[MATCH_LEN + INSTR_LEN + 5];
};

/** What a lookup is given: a rule without instructions. */
struct probe {
	struct weir_rule rule;
	uint8_t data[MATCH_LEN + 5];
};

/** A key as rte_hash takes it: a rule's identity in a fixed size. */
struct key {
	uint8_t bytes[KEY_BYTES];
};

struct node {
	struct cds_lfht_node node;
	struct key key;
};

/** All of it; flows, probes and keys are in the same random order. */
struct bench {
	struct flow *flows;
	struct probe *probes;
	struct key *keys;
	struct weir_mem *mem;
	struct weir_table *table;
	struct rte_hash *hash;
	struct flow *stored; /**< what rte_hash's data points to: entries that stand still */
	struct node *nodes;
	struct cds_lfht *lfht;
	uint64_t sum; /**< of what was found, so that no lookup is left out */
};

/* Flows. */

static uint64_t spread(uint64_t bits)
{
	bits = (bits + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111ebULL;
	return bits ^ bits >> 31;
}

static void flow_make(struct bench *bench, uint64_t number)
{
	struct flow *flow = &bench->flows[number];
	struct probe *probe = &bench->probes[number];
	struct key *key = &bench->keys[number];
	struct weir_rule *rule = &flow->entry.rule;

	memset(flow, 0, sizeof(*flow));
	flow->entry.created = number;
	rule->priority = 100;
	rule->match_len = MATCH_LEN;
	rule->instr_len = INSTR_LEN;
	for (unsigned i = 0; i < MATCH_LEN; i++)
		rule->data[i] = (uint8_t)(spread(number + i / 8 * 0x100000000ULL) >> i % 8 * 8);
	rule->flow_id = weir_rule_flow_id(rule, 1);
	memcpy(probe, rule, sizeof(*rule) + MATCH_LEN);
	probe->rule.instr_len = 0;
	memset(key, 0, sizeof(*key));
	memcpy(key->bytes, &rule->flow_id, 8);
	memcpy(key->bytes + 8, rule->data, MATCH_LEN);
}

static void flows_make(struct bench *bench)
{
	bench->flows = malloc(FLOWS * sizeof(*bench->flows));
	bench->keys = malloc(FLOWS * sizeof(*bench->keys));
	bench->probes = malloc(FLOWS * sizeof(*bench->probes));
	weir_assert(bench->flows != NULL && bench->keys != NULL && bench->probes != NULL);
	for (uint64_t i = 0; i < FLOWS; i++)
		flow_make(bench, i);
}

/** Another order for the next pass, so that none follows the order of memory. */
static void flows_shuffle(struct bench *bench)
{
	for (uint64_t i = FLOWS - 1; i > 0; i--) {
		uint64_t k = spread(i) % (i + 1);
		struct flow flow = bench->flows[i];
		struct probe probe = bench->probes[i];
		struct key key = bench->keys[i];

		bench->flows[i] = bench->flows[k];
		bench->flows[k] = flow;
		bench->probes[i] = bench->probes[k];
		bench->probes[k] = probe;
		bench->keys[i] = bench->keys[k];
		bench->keys[k] = key;
	}
}

/* Measuring. */

typedef void pass(struct bench *bench);

/** Time that this thread had the CPU: others may share it. */
static uint64_t cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/** Million operations a second of a pass over all flows. */
static double rate(struct bench *bench, pass *run)
{
	uint64_t begin = cpu_ns();

	run(bench);
	return FLOWS * 1e3 / (double)(cpu_ns() - begin);
}

/** One of the passes that are run in turn, so that what else the machine does hits all alike. */
struct lane {
	pass *run;
	double best;
};

/** Keeps the best of several rounds for each; for passes that change nothing. */
static void race(struct bench *bench, struct lane *lanes, unsigned count)
{
	for (unsigned round = 0; round < ROUNDS; round++)
		for (unsigned i = 0; i < count; i++) {
			double one = rate(bench, lanes[i].run);

			lanes[i].best = one > lanes[i].best ? one : lanes[i].best;
		}
}

static void print_rate(const char *name, double value, double baseline, const char *baseline_name)
{
	printf("%-24s %8.2f M/s %6.2f %s\n", name, value, value / baseline, baseline_name);
}

/* Weir. */

static void *dpdk_take(void *ctx, size_t bytes, size_t align)
{
	return rte_malloc("weir", bytes, (unsigned)align);
}

static void dpdk_give(void *ctx, void *chunk, size_t bytes)
{
	rte_free(chunk);
}

static const struct weir_mem_source dpdk_source = {.take = dpdk_take, .give = dpdk_give};

static void weir_setup(struct bench *bench)
{
	bench->mem = weir_mem_create(&dpdk_source, UINT64_MAX);
	bench->table = weir_table_create();
	weir_assert(bench->mem != NULL && bench->table != NULL);
}

static void weir_end(struct bench *bench)
{
	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		weir_table_clear_shard(bench->table, bench->mem, i);
	weir_table_destroy(bench->table);
	weir_mem_destroy(bench->mem);
}

static void turn(struct bench *bench, unsigned i)
{
	if (i % TURN != 0)
		return;
	weir_rcu_quiescent();
	weir_mem_turn(bench->mem, false);
}

static void weir_put(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct weir_entry *entry = &bench->flows[i].entry;
		struct weir_bucket *bucket = weir_table_bucket_make(
			bench->table, bench->mem, weir_flow_bucket(entry->rule.flow_id));

		weir_assert(
			bucket != NULL && weir_bucket_put(bucket, bench->mem, entry, NULL) >= 0);
		turn(bench, i);
	}
}

static void weir_find(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		bench->sum += (uintptr_t)weir_table_find(bench->table, &bench->probes[i].rule);
		if (i % TURN == 0)
			weir_rcu_quiescent();
	}
}

static void weir_find_id(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		uint64_t flow_id = bench->probes[i].rule.flow_id;

		bench->sum += (uintptr_t)weir_table_find_id(bench->table, flow_id);
		if (i % TURN == 0)
			weir_rcu_quiescent();
	}
}

static void weir_find_bulk(struct bench *bench)
{
	const struct weir_rule *rules[BULK];
	struct weir_entry *entries[BULK];

	for (unsigned i = 0; i + BULK <= FLOWS; i += BULK) {
		for (unsigned k = 0; k < BULK; k++)
			rules[k] = &bench->probes[i + k].rule;
		weir_table_find_bulk(bench->table, rules, BULK, entries);
		for (unsigned k = 0; k < BULK; k++)
			bench->sum += (uintptr_t)entries[k];
		weir_rcu_quiescent();
	}
}

static bool walk_visit(void *ctx, struct weir_entry *entry)
{
	*(uint64_t *)ctx += entry->created;
	return true;
}

static void weir_walk(struct bench *bench)
{
	uint64_t cursor = 0;

	do {
		cursor = weir_table_walk(bench->table, cursor, 256, walk_visit, &bench->sum);
		weir_rcu_quiescent();
	} while (cursor != 0);
}

static void weir_remove(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		const struct weir_rule *rule = &bench->probes[i].rule;
		struct weir_bucket *bucket =
			weir_table_bucket(bench->table, weir_flow_bucket(rule->flow_id));

		weir_bucket_remove(bucket, bench->mem, weir_bucket_find(bucket, rule));
		turn(bench, i);
	}
}

/* rte_hash, lock-free readers. */

static void rte_hash_setup(struct bench *bench)
{
	struct rte_hash_parameters params = {
		.name = "bench",
		.entries = FLOWS + FLOWS / 4,
		.key_len = KEY_BYTES,
		.hash_func = rte_hash_crc,
		.socket_id = (int)rte_socket_id(),
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF,
	};

	bench->hash = rte_hash_create(&params);
	bench->stored = rte_malloc("stored", FLOWS * sizeof(*bench->stored), 64);
	weir_assert(bench->hash != NULL && bench->stored != NULL);
	memcpy(bench->stored, bench->flows, FLOWS * sizeof(*bench->stored));
}

static void rte_hash_put(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++)
		weir_assert(rte_hash_add_key_data(
				    bench->hash, &bench->keys[i], &bench->stored[i].entry) == 0);
}

static void rte_hash_find(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		void *data = NULL;

		rte_hash_lookup_data(bench->hash, &bench->keys[i], &data);
		bench->sum += (uintptr_t)data;
	}
}

/** The same, and what a user of an entry does next: it reads something of it. */
static void rte_hash_find_entry(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		void *data = NULL;

		rte_hash_lookup_data(bench->hash, &bench->keys[i], &data);
		bench->sum += ((struct weir_entry *)data)->rule.flow_id;
	}
}

static void rte_hash_find_bulk(struct bench *bench)
{
	const void *keys[BULK];
	void *data[BULK];

	for (unsigned i = 0; i + BULK <= FLOWS; i += BULK) {
		uint64_t hits = 0;

		for (unsigned k = 0; k < BULK; k++)
			keys[k] = &bench->keys[i + k];
		rte_hash_lookup_bulk_data(bench->hash, keys, BULK, &hits, data);
		for (unsigned k = 0; k < BULK; k++)
			bench->sum += (uintptr_t)data[k];
	}
}

static void rte_hash_walk(struct bench *bench)
{
	const void *key;
	void *data;
	uint32_t next = 0;

	while (rte_hash_iterate(bench->hash, &key, &data, &next) >= 0)
		bench->sum += (uintptr_t)data;
}

static void rte_hash_remove(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		int32_t at = rte_hash_del_key(bench->hash, &bench->keys[i]);

		rte_hash_free_key_with_position(bench->hash, at);
	}
}

/* cds_lfht, made large enough from the start. */

static int node_match(struct cds_lfht_node *node, const void *key)
{
	return memcmp(&caa_container_of(node, struct node, node)->key, key, KEY_BYTES) == 0;
}

static unsigned long key_hash(const struct key *key)
{
	uint64_t flow_id;

	memcpy(&flow_id, key->bytes, sizeof(flow_id));
	return (unsigned long)spread(flow_id);
}

static void lfht_setup(struct bench *bench)
{
	bench->lfht = cds_lfht_new_flavor(1 << 20, 1 << 20, 1 << 20, 0, &urcu_qsbr_flavor, NULL);
	bench->nodes = rte_malloc("lfht", FLOWS * sizeof(*bench->nodes), 64);
	weir_assert(bench->lfht != NULL && bench->nodes != NULL);
}

static void lfht_put(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		struct node *node = &bench->nodes[i];

		node->key = bench->keys[i];
		cds_lfht_node_init(&node->node);
		cds_lfht_add_unique(
			bench->lfht, key_hash(&node->key), node_match, &node->key, &node->node);
	}
}

static void lfht_find(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++) {
		struct cds_lfht_iter iter;

		cds_lfht_lookup(
			bench->lfht, key_hash(&bench->keys[i]), node_match, &bench->keys[i], &iter);
		bench->sum += (uintptr_t)cds_lfht_iter_get_node(&iter);
		if (i % TURN == 0)
			urcu_qsbr_quiescent_state();
	}
}

static void lfht_end(struct bench *bench)
{
	for (unsigned i = 0; i < FLOWS; i++)
		cds_lfht_del(bench->lfht, &bench->nodes[i].node);
	urcu_qsbr_synchronize_rcu();
	cds_lfht_destroy(bench->lfht, NULL);
	rte_free(bench->nodes);
}

/* The programme. */

static void find_measure(struct bench *bench)
{
	enum {
		RTE,
		RTE_ENTRY,
		RTE_BULK,
		LFHT,
		FIND,
		FIND_ID,
		FIND_BULK,
		COUNT
	};
	struct lane lanes[COUNT] = {
		[RTE] = {rte_hash_find},
		[RTE_ENTRY] = {rte_hash_find_entry},
		[RTE_BULK] = {rte_hash_find_bulk},
		[LFHT] = {lfht_find},
		[FIND] = {weir_find},
		[FIND_ID] = {weir_find_id},
		[FIND_BULK] = {weir_find_bulk},
	};

	race(bench, lanes, COUNT);
	print_rate("rte_hash_find", lanes[RTE].best, lanes[RTE].best, "rte_hash");
	print_rate("rte_hash_find_entry", lanes[RTE_ENTRY].best, lanes[RTE].best, "rte_hash");
	print_rate("cds_lfht_find", lanes[LFHT].best, lanes[RTE].best, "rte_hash");
	print_rate("find", lanes[FIND].best, lanes[RTE].best, "rte_hash");
	print_rate("find", lanes[FIND].best, lanes[RTE_ENTRY].best, "rte_hash_find_entry");
	print_rate("find", lanes[FIND].best, lanes[LFHT].best, "cds_lfht");
	print_rate("find_id", lanes[FIND_ID].best, lanes[RTE_ENTRY].best, "rte_hash_find_entry");
	print_rate("find_bulk", lanes[FIND_BULK].best, lanes[RTE_BULK].best, "rte_hash_find_bulk");
}

static void walk_measure(struct bench *bench)
{
	struct lane lanes[2] = {{rte_hash_walk}, {weir_walk}};

	race(bench, lanes, 2);
	print_rate("walk", lanes[1].best, lanes[0].best, "rte_hash");
}

/** A pass of each, one after the other, for passes that change something. */
static void change_measure(struct bench *bench, const char *name, pass *baseline, pass *run)
{
	double base = rate(bench, baseline);

	print_rate(name, rate(bench, run), base, "rte_hash");
}

static void memory_print(struct bench *bench)
{
	struct weir_mem_stats stats;

	weir_mem_stats(bench->mem, &stats);
	printf("%-24s %8.1f B   %6.2f entry_bytes\n", "memory_a_flow",
		(double)stats.chunk_bytes / FLOWS,
		(double)stats.chunk_bytes / FLOWS /
			(double)(sizeof(struct weir_entry) + MATCH_LEN + INSTR_LEN));
}

static void measure(struct bench *bench)
{
	change_measure(bench, "put", rte_hash_put, weir_put);
	memory_print(bench);
	lfht_put(bench);
	flows_shuffle(bench);
	find_measure(bench);
	walk_measure(bench);
	change_measure(bench, "replace", rte_hash_put, weir_put);
	change_measure(bench, "remove", rte_hash_remove, weir_remove);
}

static int eal_start(int argc, char **argv)
{
	char prefix[64];
	const char *defaults[] = {"bench-table", "--no-pci", "--no-telemetry", "--no-huge", "-m",
		"900", prefix, "--log-level=3"};

	snprintf(prefix, sizeof(prefix), "--file-prefix=weir-bench-table-%d", (int)getpid());
	if (argc > 1)
		return rte_eal_init(argc, argv);
	return rte_eal_init((int)RTE_DIM(defaults), (char **)(uintptr_t)defaults);
}

int main(int argc, char **argv)
{
	struct bench bench = {0};

	urcu_qsbr_get_default_call_rcu_data(); /* before EAL pins this thread, and it with it */
	if (eal_start(argc, argv) < 0) {
		fprintf(stderr, "bench-table: EAL does not start\n");
		return 1;
	}
	weir_rcu_register();
	flows_make(&bench);
	rte_hash_setup(&bench);
	lfht_setup(&bench);
	weir_setup(&bench);
	measure(&bench);
	weir_end(&bench);
	lfht_end(&bench);
	rte_hash_free(bench.hash);
	rte_free(bench.stored);
	free(bench.flows);
	free(bench.probes);
	free(bench.keys);
	weir_rcu_unregister();
	rte_eal_cleanup();
	return 0;
}
