/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes through the task ring of one worker of a node alone, beside a Redis that is SET through a
 * pipeline and the table alone: new flows, the same again, and counters for all of them.
 */
#include "../unit/store/office.h"
#include "home.h"
#include "redis.h"
#include "subjects.h"
#include "tables.h"

#define WINDOW 8192 /* tasks under way */

/** A figure a round each. */
struct figures {
	struct bench_series table_put, table_replace, redis;
	struct bench_series added, replaced, reported;             /**< M/s */
	struct bench_series added_cpu, replaced_cpu, reported_cpu; /**< M a second of CPU */
};

struct adds {
	const struct bench *bench;
	struct home home;
	struct client client;
	struct tables tables; /**< alone, for comparison */
	struct redis redis;
	bool has_redis;
	struct figures figures;
};

static void note(struct adds *adds, const struct job *job, bool cpu, struct bench_series *wall,
	struct bench_series *costs)
{
	if (cpu)
		bench_note(costs, 1e3 / client_cost(&adds->client, job));
	else
		bench_note(wall, 1e3 / client_do(&adds->client, job).wall_ns);
}

/** New flows, the same again, counters for all; @param cpu what it costs, or how fast it goes */
static void weir_pass(struct adds *adds, uint64_t packets, bool cpu)
{
	struct figures *figures = &adds->figures;
	struct job job = {.device = "d",
		.op = WEIR_OP_ADD,
		.ack = WEIR_ACK_LOCAL,
		.flows = adds->tables.flows,
		.count = adds->tables.count,
		.window = WINDOW,
		.packets = packets};

	note(adds, &job, cpu, &figures->added, &figures->added_cpu);
	note(adds, &job, cpu, &figures->replaced, &figures->replaced_cpu);
	job.op = WEIR_OP_REPORT;
	note(adds, &job, cpu, &figures->reported, &figures->reported_cpu);
	bench_check(adds->bench, client_status(&adds->client, "d").flows == job.count);
	client_purge(&adds->client, "d");
}

static void weir_round(struct adds *adds, unsigned round)
{
	weir_pass(adds, 2 * round + 1, false);
	weir_pass(adds, 2 * round + 2, true);
}

static void table_round(struct adds *adds)
{
	struct tables *tables = &adds->tables;

	bench_note(&adds->figures.table_put, tables_rate(tables, own_put));
	bench_note(&adds->figures.table_replace, tables_rate(tables, own_put));
	for (unsigned i = 0; i < WEIR_SHARDS; i++)
		weir_table_clear_shard(tables->table, tables->mem, i);
	own_settle(tables);
}

/** The gate rests meanwhile: the control core may wait for readers. */
static void redis_round(struct adds *adds)
{
	weir_gate_rest(adds->client.gate);
	bench_note(
		&adds->figures.redis, redis_set_rate(&adds->redis, adds->tables.count, FLOW_BYTES));
	weir_gate_wake(adds->client.gate);
}

/** One after the other; the worker sleeps while it is not its turn. */
static void rounds(struct adds *adds, unsigned count)
{
	for (unsigned round = 0; round < count; round++) {
		home_busy(&adds->home, false);
		table_round(adds);
		if (adds->has_redis)
			redis_round(adds);
		home_busy(&adds->home, true);
		weir_round(adds, round);
	}
}

static void rows(const struct adds *adds)
{
	const struct figures *figures = &adds->figures;
	const struct bench_series *redis = adds->has_redis ? &figures->redis : NULL;
	const struct bench_row list[] = {
		{"table_put", &figures->table_put, "M/s", NULL, NULL, {0}},
		{"table_replace", &figures->table_replace, "M/s", NULL, NULL, {0}},
		{"add_local", &figures->added, "M/s", redis, "redis_set_pipeline",
			{BENCH_VALUE_LEAST, 8}},
		{"add_local_cpu", &figures->added_cpu, "M/cpu_s", &figures->table_put, "table_put",
			{0}},
		{"add_again_local", &figures->replaced, "M/s", redis, "redis_set_pipeline",
			{BENCH_VALUE_LEAST, 8}},
		{"add_again_local_cpu", &figures->replaced_cpu, "M/cpu_s", &figures->table_replace,
			"table_replace", {0}},
		{"report_counters", &figures->reported, "M/s", redis, "redis_set_pipeline",
			{BENCH_VALUE_LEAST, 10}},
		{"report_counters_cpu", &figures->reported_cpu, "M/cpu_s", NULL, NULL, {0}},
	};

	if (redis != NULL)
		bench_print(adds->bench,
			&(struct bench_row){"redis_set_pipeline", redis, "M/s", NULL, NULL, {0}});
	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		bench_print(adds->bench, &list[i]);
}

void add_run(const struct bench *bench)
{
	static struct adds adds;
	struct weir_store_conf conf = home_conf("a", 1);
	struct office *office = office_create();

	adds.bench = bench;
	bench_eal_start(bench, 64 + (unsigned)(bench->flows * 400 / 1000000), NULL);
	adds.has_redis = redis_open(&adds.redis, bench, 0);
	if (!adds.has_redis)
		bench_say(bench, "no redis-server: nothing beside it");
	tables_flows(&adds.tables, bench);
	own_open(&adds.tables);
	home_open(&adds.home, bench, &conf, 0, office, NULL);
	client_open(&adds.client, &adds.home);
	client_company(&adds.client, 1);
	client_device(&adds.client, "d", 1);
	rounds(&adds, 1); /* for warmth */
	adds.figures = (struct figures){0};
	rounds(&adds, bench->rounds);
	rows(&adds);
	own_close(&adds.tables);
	client_close(&adds.client);
	home_close(&adds.home);
	tables_close(&adds.tables);
	office_destroy(office);
	if (adds.has_redis)
		redis_close(&adds.redis);
}
