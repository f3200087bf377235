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

static void steps(struct tables *tables, pass *const passes[STEPS], struct bench_series *rates)
{
	for (unsigned step = 0; step < STEPS; step++)
		bench_note(&rates[step], tables_rate(tables, passes[step]));
}

static void changes(struct tables *tables)
{
	static pass *const own[STEPS] = {own_put, own_put, own_remove};
	static pass *const rte[STEPS] = {rte_put, rte_put, rte_remove};
	static const char *const names[STEPS] = {"put", "replace", "remove"};
	static const char *const rte_names[STEPS] = {
		"rte_hash_put", "rte_hash_replace", "rte_hash_remove"};
	struct bench_series own_rates[STEPS] = {0}, rte_rates[STEPS] = {0};

	for (unsigned round = 0; round < tables->bench->rounds; round++) {
		steps(tables, rte, rte_rates);
		steps(tables, own, own_rates);
		tables_shuffle(tables);
	}
	for (unsigned step = 0; step < STEPS; step++) {
		bench_print(tables->bench, &(struct bench_row){rte_names[step], &rte_rates[step],
						   "M/s", NULL, NULL, {0}});
		bench_print(tables->bench, &(struct bench_row){names[step], &own_rates[step], "M/s",
						   &rte_rates[step], rte_names[step], {0}});
	}
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
	changes(&tables);
	walks(&tables);
	memory(&tables);
	own_close(&tables);
	rte_close(&tables);
	tables_close(&tables);
	weir_rcu_unregister();
}
