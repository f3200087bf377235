/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "tables.h"

unsigned tables_memory_mb(const struct bench *bench)
{
	return (unsigned)(64 + bench->flows * 520 / 1000000);
}

void tables_flows(struct tables *tables, const struct bench *bench)
{
	uint64_t count = bench->flows;

	*tables = (struct tables){.bench = bench, .count = count};
	tables->flows = malloc(count * sizeof(*tables->flows));
	tables->keys = malloc(count * sizeof(*tables->keys));
	tables->probes = malloc(count * sizeof(*tables->probes));
	bench_check(tables->bench,
		tables->flows != NULL && tables->keys != NULL && tables->probes != NULL);
	for (uint64_t i = 0; i < count; i++) {
		flow_make(&tables->flows[i], i);
		probe_make(&tables->probes[i], &tables->flows[i]);
		key_make(&tables->keys[i], &tables->flows[i]);
	}
}

void tables_open(struct tables *tables, const struct bench *bench)
{
	weir_rcu_register();
	tables_flows(tables, bench);
	own_open(tables);
	rte_open(tables);
}

void tables_close(struct tables *tables)
{
	free(tables->flows);
	free(tables->probes);
	free(tables->keys);
}

void tables_shuffle(struct tables *tables)
{
	for (uint64_t i = tables->count - 1; i > 0; i--) {
		uint64_t k = flow_spread(i) % (i + 1);
		struct flow flow = tables->flows[i];
		struct probe probe = tables->probes[i];
		struct key key = tables->keys[i];

		tables->flows[i] = tables->flows[k];
		tables->flows[k] = flow;
		tables->probes[i] = tables->probes[k];
		tables->probes[k] = probe;
		tables->keys[i] = tables->keys[k];
		tables->keys[k] = key;
	}
}

double tables_rate(struct tables *tables, pass *run)
{
	uint64_t begin_ns = bench_cpu_ns();

	run(tables);
	return (double)tables->count * 1e3 / (double)(bench_cpu_ns() - begin_ns);
}

void tables_race(struct tables *tables, struct lane *lanes, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		lanes[i].run(tables);
	for (unsigned round = 0; round < tables->bench->rounds; round++)
		for (unsigned i = 0; i < count; i++)
			bench_note(&lanes[i].rate, tables_rate(tables, lanes[i].run));
	bench_check(tables->bench, tables->misses == 0);
}
