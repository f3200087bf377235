/* SPDX-License-Identifier: BSD-3-Clause */
/* How the cost of an operation grows with flows, with devices, and with a second worker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/store/office.h"
#include "home.h"
#include "subjects.h"
#include "tables.h"

#define WINDOW    8192
#define SIZES_MAX 4

/* ------------------------------------------------------------------------------------ flows --- */

enum step {
	FIND,
	FIND_BULK,
	REPLACE,
	STEPS
};

struct size {
	struct bench bench; /**< with so many flows */
	struct tables tables;
	struct bench_series ns[STEPS];
};

static unsigned sizes_of(const struct bench *bench, uint64_t *flows)
{
	static const uint64_t usual[SIZES_MAX] = {10000, 100000, 1000000, 10000000};
	static const uint64_t quick[SIZES_MAX] = {1024, 4096};

	memcpy(flows, bench->quick ? quick : usual, sizeof(usual));
	return bench->quick ? 2 : bench->large ? 4 : 3;
}

/** ns an operation; small sizes are passed over again and again, so that all take as long. */
static double cost(struct size *size, pass *run, uint64_t operations)
{
	uint64_t passes = 1 + (operations - 1) / size->tables.count;
	double ns = 0;

	for (uint64_t i = 0; i < passes; i++)
		ns += 1e3 / tables_rate(&size->tables, run);
	return ns / (double)passes;
}

static void sizes_race(struct size *sizes, unsigned count)
{
	static pass *const passes[STEPS] = {own_find, own_find_bulk, own_put};
	const struct bench *bench = &sizes[0].bench;

	for (unsigned round = 0; round < bench->rounds; round++)
		for (unsigned step = 0; step < STEPS; step++)
			for (unsigned i = 0; i < count; i++)
				bench_note(
					&sizes[i].ns[step], cost(&sizes[i], passes[step],
								    sizes[count - 1].tables.count));
}

static void size_name(char *name, size_t room, enum step step, const struct size *size)
{
	static const char *const names[STEPS] = {"lookup", "lookup_bulk", "replace"};

	snprintf(name, room, "%s_%lu_flows", names[step], (unsigned long)size->tables.count);
}

static void sizes_print(const struct size *sizes, unsigned count)
{
	char name[64], smallest[64];

	for (unsigned step = 0; step < STEPS; step++) {
		size_name(smallest, sizeof(smallest), step, &sizes[0]);
		bench_print(&sizes[0].bench,
			&(struct bench_row){smallest, &sizes[0].ns[step], "ns", NULL, NULL, {0}});
		for (unsigned i = 1; i < count; i++) {
			size_name(name, sizeof(name), step, &sizes[i]);
			bench_print(&sizes[0].bench,
				&(struct bench_row){name, &sizes[i].ns[step], "ns",
					&sizes[0].ns[step], smallest, {BENCH_RATIO_MOST, 1.6}});
		}
	}
}

static void flows_growth(const struct bench *bench)
{
	struct size *sizes = calloc(SIZES_MAX, sizeof(*sizes));
	uint64_t flows[SIZES_MAX];
	unsigned count = sizes_of(bench, flows);

	bench_check(bench, sizes != NULL);
	weir_rcu_register();
	for (unsigned i = 0; i < count; i++) {
		sizes[i].bench = *bench;
		sizes[i].bench.flows = flows[i];
		tables_flows(&sizes[i].tables, &sizes[i].bench);
		own_open(&sizes[i].tables);
		own_put(&sizes[i].tables);
		tables_shuffle(&sizes[i].tables);
	}
	sizes_race(sizes, count);
	sizes_print(sizes, count);
	for (unsigned i = 0; i < count; i++) {
		bench_check(bench, sizes[i].tables.misses == 0);
		own_close(&sizes[i].tables);
		tables_close(&sizes[i].tables);
	}
	weir_rcu_unregister();
	free(sizes);
}

/* ------------------------------------------------------------------------- devices, workers --- */

/** A node of so many workers with so many devices, over which all flows are spread. */
struct estate {
	unsigned workers_count, devices_count;
	struct bench_series wall, cpu; /**< ns of a worker an ADD of a flow that is there */
};

static void estate_measure(
	const struct bench *bench, const struct flow *flows, struct estate *estate)
{
	struct weir_store_conf conf = home_conf("a", estate->workers_count);
	struct office *office = office_create();
	struct job job = {.device = "d",
		.devices_count = estate->devices_count,
		.op = WEIR_OP_ADD,
		.ack = WEIR_ACK_LOCAL,
		.flows = flows,
		.count = bench->flows,
		.window = WINDOW};
	struct client client;
	struct home home;

	home_open(&home, bench, &conf, 0, office, NULL);
	client_open(&client, &home);
	client_company(&client, 1);
	client_devices(&client, "d", estate->devices_count, 1);
	client_do(&client, &job);
	for (unsigned round = 0; round < bench->rounds; round++) {
		bench_note(&estate->wall, client_do(&client, &job).wall_ns);
		bench_note(&estate->cpu, client_cost(&client, &job));
	}
	client_close(&client);
	home_close(&home);
	office_destroy(office);
}

static void estates_growth(const struct bench *bench)
{
	struct estate estates[] = {
		{1, 1}, {1, bench->quick ? 4 : 100}, {1, bench->quick ? 16 : 10000}, {2, 1}};
	struct flow *flows = malloc(bench->flows * sizeof(*flows));
	char name[64];

	bench_check(bench, flows != NULL);
	for (uint64_t i = 0; i < bench->flows; i++)
		flow_make(&flows[i], i);
	for (unsigned i = 0; i < RTE_DIM(estates); i++) {
		bool grows = i > 0 && estates[i].workers_count == 1;

		estate_measure(bench, flows, &estates[i]);
		snprintf(name, sizeof(name), "add_cpu_%u_devices_%u_workers",
			estates[i].devices_count, estates[i].workers_count);
		bench_print(bench,
			&(struct bench_row){name, &estates[i].cpu, "ns",
				i > 0 ? &estates[0].cpu : NULL, "add_cpu_1_devices_1_workers",
				{grows ? BENCH_RATIO_MOST : BENCH_NO_GOAL, 1.3}});
	}
	if (bench->cpus_count > 2)
		bench_print(bench, &(struct bench_row){"add_wall_2_workers", &estates[3].wall, "ns",
					   &estates[0].wall, "add_wall_1_worker",
					   {BENCH_RATIO_MOST, 1 / 1.8}});
	else
		bench_say(bench, "fewer than 3 CPUs: no second worker has one of its own");
	free(flows);
}

void growth_run(const struct bench *bench)
{
	uint64_t sizes[SIZES_MAX], flows = 2 * bench->flows;
	unsigned count = sizes_of(bench, sizes);

	for (unsigned i = 0; i < count; i++)
		flows += sizes[i];
	bench_eal_start(bench, (unsigned)(64 + flows * 220 / 1000000), NULL);
	flows_growth(bench);
	estates_growth(bench);
}
