/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What two nodes without work cost: bytes and CPU that the comparison of digests takes, a device a
 * round, as the difference between nodes that compare and nodes that do not.
 */
#include <stdlib.h>

#include "../unit/store/office.h"
#include "home.h"
#include "ports.h"
#include "subjects.h"

#define DEVICES       1000
#define DEVICES_QUICK 8
#define FLOWS_MOST    100000
#define PERIOD_MS     200 /* short: what rounds take is to stand out of what resting takes */
#define PERIOD_QUICK  100
#define PERIODS       25
#define POOL_MBUFS    16383
#define MEMORY_MB     192
#define WINDOW        4096

struct idle {
	const struct bench *bench;
	struct rte_mempool *pool;
	uint16_t port_ids[2];
	unsigned devices;
	const struct flow *flows;
	uint64_t flows_count;
};

/** What both nodes used in a second of rest. */
struct rest {
	double bytes, cpu_us;
	double busy_us; /**< of this in turns that found work, by the clock: no wake-ups */
};

static void rest_add(struct rest *rest, const struct home *home, double sign)
{
	struct weir_worker_stats stats;

	weir_store_worker_stats(home->store, 0, &stats);
	rest->bytes += sign * (double)stats.link.tx_bytes;
	rest->cpu_us += sign * (double)home_workers_ns(home) / 1e3;
	rest->busy_us += sign * (double)stats.busy_ns / 1e3;
}

static void nap(struct client *client, uint64_t ms)
{
	uint64_t until_ns = weir_clock_ns() + ms * WEIR_NS_PER_MS;

	while (weir_clock_ns() < until_ns)
		client_pause(client);
}

static struct rest rest_measure(struct client *client, struct home homes[2], uint64_t ms)
{
	struct rest rest = {0};
	uint64_t begin_ns;
	double seconds;

	nap(client, ms / 2); /* what the writes left behind */
	begin_ns = weir_clock_ns();
	for (unsigned i = 0; i < 2; i++)
		rest_add(&rest, &homes[i], -1);
	nap(client, ms);
	for (unsigned i = 0; i < 2; i++)
		rest_add(&rest, &homes[i], 1);
	seconds = (double)(weir_clock_ns() - begin_ns) / 1e9;
	return (struct rest){rest.bytes / seconds, rest.cpu_us / seconds, rest.busy_us / seconds};
}

static struct rest nodes_rest(const struct idle *idle, unsigned period_ms, uint64_t ms)
{
	struct office *office = office_create();
	const struct job job = {.device = "d",
		.devices_count = idle->devices,
		.op = WEIR_OP_ADD,
		.ack = WEIR_ACK_INSYNC,
		.flows = idle->flows,
		.count = idle->flows_count,
		.window = WINDOW};
	struct client client;
	struct home homes[2];
	struct rest rest;

	for (unsigned i = 0; i < 2; i++) {
		struct weir_store_conf conf = home_conf(i == 0 ? "a" : "b", 1);

		conf.port_id = idle->port_ids[i];
		conf.pool = idle->pool;
		conf.ipv4 = 0x0a000001 + i;
		conf.anti_entropy_period_ms = period_ms;
		conf.idle = WEIR_IDLE_SLEEP;
		home_open(&homes[i], idle->bench, &conf, i, office, NULL);
	}
	client_open(&client, &homes[0]);
	client_company(&client, 2);
	client_devices(&client, "d", idle->devices, 2);
	client_do(&client, &job);
	rest = rest_measure(&client, homes, ms);
	client_close(&client);
	home_close(&homes[0]);
	home_close(&homes[1]);
	office_destroy(office);
	return rest;
}

static void rounds(const struct idle *idle)
{
	unsigned period_ms = idle->bench->quick ? PERIOD_QUICK : PERIOD_MS;
	double rounds_s = 1e3 / period_ms * idle->devices; /* of a device */
	struct bench_series bytes = {0}, cpu_us = {0}, busy_us = {0};

	for (unsigned round = 0; round < idle->bench->rounds; round++) {
		struct rest without = nodes_rest(idle, 0, PERIODS * period_ms);
		struct rest with = nodes_rest(idle, period_ms, PERIODS * period_ms);

		bench_note(&bytes, (with.bytes - without.bytes) / rounds_s);
		bench_note(&cpu_us, (with.cpu_us - without.cpu_us) / rounds_s);
		bench_note(&busy_us, (with.busy_us - without.busy_us) / rounds_s);
	}
	bench_print(idle->bench, &(struct bench_row){"anti_entropy_bytes", &bytes, "B", NULL, NULL,
					 {BENCH_VALUE_MOST, 64}});
	bench_print(idle->bench, &(struct bench_row){"anti_entropy_cpu", &cpu_us, "us", NULL, NULL,
					 {BENCH_VALUE_MOST, 3}});
	bench_print(idle->bench,
		&(struct bench_row){"anti_entropy_work", &busy_us, "us", NULL, NULL, {0}});
}

void idle_run(const struct bench *bench)
{
	struct idle idle = {.bench = bench, .devices = bench->quick ? DEVICES_QUICK : DEVICES};
	struct flow *flows;

	bench_eal_start(bench, MEMORY_MB, NULL);
	idle.pool = ports_pool(bench, POOL_MBUFS);
	ports_join(bench, idle.pool, "link", idle.port_ids);
	idle.flows_count = bench->flows < FLOWS_MOST ? bench->flows : FLOWS_MOST;
	flows = malloc(idle.flows_count * sizeof(*flows));
	bench_check(bench, flows != NULL);
	for (uint64_t i = 0; i < idle.flows_count; i++)
		flow_make(&flows[i], i);
	idle.flows = flows;
	rounds(&idle);
	free(flows);
}
