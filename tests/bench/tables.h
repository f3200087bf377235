/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The same flows in Weir's table and in those that a user would take instead: DPDK's rte_hash with
 * lock-free readers and liburcu's cds_lfht, all in memory of the EAL. Passes go over all flows
 * once.
 */
#ifndef BENCH_TABLES_H
#define BENCH_TABLES_H

#include <rte_hash.h>
#include <urcu-qsbr.h>
#include <urcu/rculfhash.h>

#include "table/rcu.h"
#include "table/table.h"

#include "bench.h"
#include "flows.h"

#define TURN 32U /**< operations between two quiescent states */
#define BULK 32U

struct node {
	struct cds_lfht_node node;
	struct key key;
};

/** flows, probes and keys are in the same random order. */
struct tables {
	const struct bench *bench;
	uint64_t count;
	struct flow *flows;
	struct probe *probes;
	struct key *keys;
	struct weir_mem *mem;
	struct weir_table *table;
	struct rte_hash *hash;
	struct flow *stored; /**< what rte_hash's data points to: entries that stand still */
	struct node *nodes;
	struct cds_lfht *lfht;
	uint64_t misses; /**< of lookups; none is right */
	uint64_t sum;    /**< of what was found, so that no lookup is left out */
};

/** EAL memory for all of it. */
unsigned tables_memory_mb(const struct bench *bench);

/** The flows and no table yet. */
void tables_flows(struct tables *tables, const struct bench *bench);

/** With Weir's table and rte_hash, empty; the calling thread becomes an RCU reader. */
void tables_open(struct tables *tables, const struct bench *bench);

/** Gives the flows back; tables are closed before. */
void tables_close(struct tables *tables);

/** Another order from now on, so that no pass follows the order of memory. */
void tables_shuffle(struct tables *tables);

typedef void pass(struct tables *tables);

pass own_put, own_put_burst, own_find, own_find_id, own_find_bulk, own_walk, own_remove,
	own_remove_burst;
pass rte_put, rte_find, rte_find_entry, rte_find_bulk, rte_walk, rte_remove;
pass lfht_find;

/** Puts one flow again, as passes do; for a writer beside readers. */
void own_put_one(struct tables *tables, struct weir_mem *mem, uint64_t i);

/** One of the passes that are run in turn. */
struct lane {
	pass *run;
	struct bench_series rate; /**< million a second of this thread's CPU time */
};

/** Million operations a second of a pass. */
double tables_rate(struct tables *tables, pass *run);

/** Rounds of all lanes in turn, after one for warmth; for passes that change nothing. */
void tables_race(struct tables *tables, struct lane *lanes, unsigned count);

/** Parts of the above. */
void own_open(struct tables *tables);
void own_close(struct tables *tables);

/** Waits until all that was freed has come back. */
void own_settle(struct tables *tables);

void rte_open(struct tables *tables);
void rte_close(struct tables *tables);

/** cds_lfht, filled; it is opened last and closed first. */
void lfht_open(struct tables *tables);
void lfht_close(struct tables *tables);

/** Memory from the EAL for Weir's tables. */
extern const struct weir_mem_source tables_source;

#endif
