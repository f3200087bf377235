/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads that concern a whole device, from a gate's thread: COUNT, SCAN, and how much a worker that
 * writes is slowed while somebody scans. And what memory flows and devices take.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <rte_eal.h>
#include <rte_malloc.h>

#include "table/rcu.h"

#include "../unit/store/office.h"
#include "home.h"
#include "redis.h"
#include "subjects.h"
#include "tables.h"

#define WINDOW        8192
#define COUNTS        100000
#define SCAN_STEP     256 /* entries between two quiescent states */
#define DEVICES       1000
#define DEVICES_QUICK 16

/* ------------------------------------------------------------------------------------- SCAN --- */

struct scans {
	const struct bench *bench;
	const struct weir_table *table;
	struct tables tables;
	struct home home;
	struct client client;
	struct bench_series count_us, scan_ms, rte_ms, quiet, beside;
};

static bool visit(void *ctx, struct weir_entry *entry)
{
	uint64_t *sums = ctx;

	sums[0]++;
	sums[1] += entry->created;
	return true;
}

/** @return entries seen */
static uint64_t scan(const struct weir_table *table)
{
	uint64_t sums[2] = {0}, cursor = 0;

	do {
		cursor = weir_table_walk(table, cursor, SCAN_STEP, visit, sums);
		weir_rcu_quiescent();
	} while (cursor != 0);
	return sums[0];
}

static void reads_round(struct scans *scans)
{
	uint64_t begin_ns = bench_cpu_ns(), counted = 0;

	for (unsigned i = 0; i < COUNTS; i++)
		counted += weir_table_count(scans->table);
	bench_note(&scans->count_us, (double)(bench_cpu_ns() - begin_ns) / 1e3 / COUNTS);
	bench_check(scans->bench, counted == COUNTS * scans->tables.count);
	begin_ns = bench_cpu_ns();
	bench_check(scans->bench, scan(scans->table) == scans->tables.count);
	bench_note(&scans->scan_ms, (double)(bench_cpu_ns() - begin_ns) / 1e6);
	begin_ns = bench_cpu_ns();
	rte_walk(&scans->tables);
	bench_note(&scans->rte_ms, (double)(bench_cpu_ns() - begin_ns) / 1e6);
}

/** Somebody who scans all the time. */
struct scanner {
	const struct scans *scans;
	atomic_bool stop;
	atomic_uint scanned;
	pthread_t thread;
};

static void *scan_on(void *arg)
{
	struct scanner *scanner = arg;

	bench_pin(scanner->scans->bench, BENCH_CPUS_MAX);
	weir_rcu_register();
	while (!scanner->stop) {
		scan(scanner->scans->table);
		scanner->scanned++;
	}
	weir_rcu_unregister();
	return NULL;
}

/** The worker's CPU time counts: the scanner shares a CPU with the client, not with the worker. */
static void writes_round(struct scans *scans)
{
	const struct job job = {.device = "d",
		.op = WEIR_OP_ADD,
		.ack = WEIR_ACK_LOCAL,
		.flows = scans->tables.flows,
		.count = scans->tables.count,
		.window = WINDOW};
	struct scanner scanner = {.scans = scans};

	bench_note(&scans->quiet, 1e3 / client_cost(&scans->client, &job));
	bench_check(scans->bench, pthread_create(&scanner.thread, NULL, scan_on, &scanner) == 0);
	bench_note(&scans->beside, 1e3 / client_cost(&scans->client, &job));
	scanner.stop = true;
	weir_gate_rest(scans->client.gate);
	pthread_join(scanner.thread, NULL);
	weir_gate_wake(scans->client.gate);
}

static void rounds(struct scans *scans, unsigned count)
{
	for (unsigned round = 0; round < count; round++) {
		home_busy(&scans->home, false);
		reads_round(scans);
		home_busy(&scans->home, true);
		if (scans->bench->cpus_count > 1)
			writes_round(scans);
	}
}

static void scan_rows(const struct scans *scans)
{
	const struct bench *bench = scans->bench;

	bench_print(bench, &(struct bench_row){"count", &scans->count_us, "us", NULL, NULL,
				   {BENCH_VALUE_MOST, 1}});
	bench_print(bench,
		&(struct bench_row){"rte_hash_iterate", &scans->rte_ms, "ms", NULL, NULL, {0}});
	bench_print(bench, &(struct bench_row){"scan", &scans->scan_ms, "ms", &scans->rte_ms,
				   "rte_hash_iterate", {BENCH_VALUE_MOST, 150}});
	if (bench->cpus_count > 1)
		bench_print(
			bench, &(struct bench_row){"add_beside_scan_cpu", &scans->beside, "M/cpu_s",
				       &scans->quiet, "nobody_scans", {BENCH_RATIO_LEAST, 0.9}});
	else
		bench_say(bench, "one CPU: no writes beside a scan");
}

void scan_run(const struct bench *bench)
{
	static struct scans scans;
	struct office *office = office_create();
	struct weir_store_conf conf = home_conf("a", 1);
	struct job job = {
		.device = "d", .op = WEIR_OP_ADD, .ack = WEIR_ACK_LOCAL, .window = WINDOW};

	scans.bench = bench;
	bench_eal_start(bench, tables_memory_mb(bench), NULL);
	tables_flows(&scans.tables, bench);
	rte_open(&scans.tables);
	rte_put(&scans.tables);
	home_open(&scans.home, bench, &conf, 0, office, NULL);
	client_open(&scans.client, &scans.home);
	client_company(&scans.client, 1);
	client_device(&scans.client, "d", 1);
	scans.table = weir_device_table(weir_store_device(scans.home.store, "d", 1));
	job.flows = scans.tables.flows;
	job.count = scans.tables.count;
	client_do(&scans.client, &job);
	reads_round(&scans); /* for warmth */
	scans.count_us = scans.scan_ms = scans.rte_ms = (struct bench_series){0};
	rounds(&scans, bench->rounds);
	scan_rows(&scans);
	client_close(&scans.client);
	home_close(&scans.home);
	rte_close(&scans.tables);
	tables_close(&scans.tables);
	office_destroy(office);
}

/* ----------------------------------------------------------------------------------- memory --- */

/**
 * Resident memory of this process, and what is taken of the EAL's hugepages, which it has anyway.
 * What was freed does not count, be it that a grace period or the heap holds it.
 */
static double memory_bytes(const struct bench *bench)
{
	FILE *file = fopen("/proc/self/status", "r");
	struct rte_malloc_socket_stats heap;
	char line[128];
	double bytes = 0;
	unsigned long kb;

	bench_check(bench, file != NULL);
	weir_rcu_barrier();
	malloc_trim(0);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmRSS: %lu", &kb) == 1)
			bytes += (double)kb * 1024;
	fclose(file);
	if (rte_eal_has_hugepages() && rte_malloc_get_socket_stats(0, &heap) == 0)
		bytes += (double)heap.heap_allocsz_bytes;
	return bytes;
}

void memory_run(const struct bench *bench)
{
	struct weir_store_conf conf = home_conf("a", 1);
	unsigned devices = bench->quick ? DEVICES_QUICK : DEVICES;
	struct office *office = NULL;
	struct redis redis = {0};
	struct tables tables;
	struct client client;
	struct home home;
	struct job job = {
		.device = "d", .op = WEIR_OP_ADD, .ack = WEIR_ACK_LOCAL, .window = WINDOW};
	double before;

	/* A coordinator in this process would be counted with the node. */
	if (!redis_open(&redis, bench, BENCH_CPUS_MAX)) {
		bench_say(bench, "no redis-server: the coordinator's memory is counted too");
		office = office_create();
	}
	bench_eal_start(bench, tables_memory_mb(bench), NULL);
	tables_flows(&tables, bench);
	home_open(&home, bench, &conf, 0, office, office == NULL ? redis.socket : NULL);
	client_open(&client, &home);
	client_wait(&client, weir_store_lease_ns(home.store) > 0);
	client_devices(&client, "first", DEVICES_QUICK, 1); /* what comes once only */
	before = memory_bytes(bench);
	client_devices(&client, "empty", devices, 1);
	bench_print_one(bench, "memory_a_device_without_flows",
		(memory_bytes(bench) - before) / devices, "B",
		(struct bench_goal){BENCH_VALUE_MOST, 2048});
	client_device(&client, "d", 1);
	job.flows = tables.flows;
	job.count = bench->quick ? 16 : WINDOW;
	client_do(&client, &job); /* the client's own tasks */
	client_purge(&client, "d");
	before = memory_bytes(bench);
	job.count = tables.count;
	client_do(&client, &job);
	bench_check(bench, client_status(&client, "d").flows == tables.count);
	bench_print_one(bench, "memory_a_flow", (memory_bytes(bench) - before) / (double)job.count,
		"B", (struct bench_goal){BENCH_VALUE_MOST, 200});
	client_close(&client);
	home_close(&home);
	tables_close(&tables);
	if (office != NULL)
		office_destroy(office);
	else
		redis_close(&redis);
}
