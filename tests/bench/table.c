/* SPDX-License-Identifier: BSD-3-Clause */
/* What changes a table, one thread, beside rte_hash; and how much memory a flow takes. */
#include <rte_hash.h>

#include "subjects.h"
#include "tables.h"

/** What a table goes through in a round. */
enum step {
	PUT,
	REPLACE,
	REMOVE,
	STEPS
};

/** Who goes through it. */
enum way {
	RTE,
	OWN,
	BURST,
	WAYS
};

struct changes {
	struct bench_series rates[WAYS][STEPS];
};

static void changes_rounds(struct tables *tables, struct changes *changes, unsigned count)
{
	static pass *const passes[WAYS][STEPS] = {
		[RTE] = {rte_put, rte_put, rte_remove},
		[OWN] = {own_put, own_put, own_remove},
		[BURST] = {own_put_burst, own_put_burst, own_remove_burst},
	};

	for (unsigned round = 0; round < count; round++) {
		for (unsigned way = 0; way < WAYS; way++)
			for (unsigned step = 0; step < STEPS; step++)
				bench_note(&changes->rates[way][step],
					tables_rate(tables, passes[way][step]));
		tables_shuffle(tables);
	}
}

static void changes_measure(struct tables *tables)
{
	static const char *const names[WAYS][STEPS] = {
		[RTE] = {"rte_hash_put", "rte_hash_replace", "rte_hash_remove"},
		[OWN] = {"put", "replace", "remove"},
		[BURST] = {"put_burst", "replace_burst", "remove_burst"},
	};
	struct changes changes = {0};

	changes_rounds(tables, &changes, 1); /* for warmth */
	changes = (struct changes){0};
	changes_rounds(tables, &changes, tables->bench->rounds);
	for (unsigned step = 0; step < STEPS; step++)
		for (unsigned way = 0; way < WAYS; way++)
			bench_print(tables->bench,
				&(struct bench_row){names[way][step], &changes.rates[way][step],
					"M/s", way == RTE ? NULL : &changes.rates[RTE][step],
					names[RTE][step], {0}});
}

static void walks(struct tables *tables)
{
	struct lane lanes[2] = {{rte_walk}, {own_walk}};

	own_put(tables);
	rte_put(tables);
	tables_race(tables, lanes, 2);
	bench_print(tables->bench, &(struct bench_row){"walk", &lanes[1].rate, "M/s",
					   &lanes[0].rate, "rte_hash_walk", {0}});
}

static void memory(struct tables *tables)
{
	struct bench_series own = {0}, entry = {0};
	struct weir_mem_stats stats;

	weir_mem_stats(tables->mem, &stats);
	bench_note(&own, (double)stats.chunk_bytes / (double)tables->count);
	bench_note(&entry, FLOW_BYTES);
	bench_print(tables->bench, &(struct bench_row){"table_memory_a_flow", &own, "B", &entry,
					   "entry_alone", {BENCH_VALUE_MOST, 200}});
}

void table_run(const struct bench *bench)
{
	struct tables tables;

	bench_eal_start(bench, tables_memory_mb(bench), NULL);
	tables_open(&tables, bench);
	changes_measure(&tables);
	walks(&tables);
	memory(&tables);
	own_close(&tables);
	rte_close(&tables);
	tables_close(&tables);
	weir_rcu_unregister();
}
