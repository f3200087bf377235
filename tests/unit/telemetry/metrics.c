/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The table of metrics, and what follows from the store's figures. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "telemetry/telemetry.h"

/* ------------------------------------------------------------------------ a false store --- */

static struct weir_store_conf conf = {.workers_count = 3};
static struct weir_worker_stats stats;
static struct weir_device_status devices[3];
static uint64_t tsc_hz = 2000000000;

const struct weir_store_conf *weir_store_conf(const struct weir_store *store)
{
	return &conf;
}

void weir_store_worker_stats(
	const struct weir_store *store, unsigned worker, struct weir_worker_stats *to)
{
	*to = stats;
}

unsigned weir_store_nodes(const struct weir_store *store, struct weir_node *nodes, unsigned room)
{
	memset(nodes, 0, 2 * sizeof(*nodes));
	nodes[0].live = true;
	return 2;
}

uint64_t weir_store_lease_ns(const struct weir_store *store)
{
	return 1999999999;
}

unsigned weir_store_devices(const struct weir_store *store,
	bool (*visit)(void *ctx, const struct weir_device *device), void *ctx)
{
	for (unsigned i = 0; i < 3; i++)
		visit(ctx, (const struct weir_device *)&devices[i]);
	return 3;
}

void weir_device_status(const struct weir_store *store, const struct weir_device *device,
	struct weir_device_status *status)
{
	*status = *(const struct weir_device_status *)device;
}

/* In place of the EAL's, which does not run here. */
uint64_t rte_get_tsc_hz(void);
uint64_t rte_get_tsc_hz(void)
{
	return tsc_hz;
}

/* ------------------------------------------------------------------------------ the table --- */

/* Calls `check` with each metric. */
static void each(void (*check)(const struct weir_metric *metric, void *ctx), void *ctx)
{
	for (unsigned group = 0; group < WEIR_METRIC_GROUPS; group++) {
		unsigned count;
		const struct weir_metric *metrics = weir_metrics(group, &count);

		assert_true(count > 0);
		for (unsigned i = 0; i < count; i++)
			check(&metrics[i], ctx);
	}
}

static void name_count(const struct weir_metric *metric, void *ctx)
{
	const struct weir_metric **of = ctx;

	if (strcmp(of[0]->name, metric->name) == 0 && of[0] != metric)
		fail_msg("%s stands twice", metric->name);
}

static void name_once(const struct weir_metric *metric, void *ctx)
{
	each(name_count, &metric);
}

static void each_name_stands_once(void **state)
{
	each(name_once, NULL);
}

static void name_sound(const struct weir_metric *metric, void *ctx)
{
	size_t len = strlen(metric->name);

	assert_in_range(len, 1, 40);
	assert_true(islower((unsigned char)metric->name[0]));
	for (size_t i = 0; i < len; i++)
		assert_true(islower((unsigned char)metric->name[i]) ||
			    isdigit((unsigned char)metric->name[i]) || metric->name[i] == '_');
}

static void names_fit_everywhere_that_they_are_shown(void **state)
{
	each(name_sound, NULL);
}

static bool ends_in(const char *name, const char *unit)
{
	const char *end = strrchr(name, '_');

	return end != NULL && strcmp(end + 1, unit) == 0;
}

static void unit_sound(const struct weir_metric *metric, void *ctx)
{
	static const char *const units[] = {"ns", "ms", "hz", "bytes", "cycles", "ppm", "us", "s"};
	bool known = metric->unit[0] == '\0';

	for (unsigned i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		known |= strcmp(metric->unit, units[i]) == 0;
		if (ends_in(metric->name, units[i]) != (strcmp(metric->unit, units[i]) == 0))
			fail_msg("%s: its unit is said to be \"%s\"", metric->name, metric->unit);
	}
	assert_true(known);
}

static void units_stand_at_the_end_of_names(void **state)
{
	each(unit_sound, NULL);
}

static void help_sound(const struct weir_metric *metric, void *ctx)
{
	assert_in_range(strlen(metric->help), 4, 100);
	assert_true(metric->kind == WEIR_METRIC_COUNTER || metric->kind == WEIR_METRIC_GAUGE);
}

static void each_metric_says_what_it_means(void **state)
{
	each(help_sound, NULL);
}

/* Marks the words of `figures` that metrics of a group are read from; each is read once. */
static unsigned words_mark(enum weir_metric_group group, bool *seen, size_t bytes)
{
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(group, &count);

	for (unsigned i = 0; i < count; i++) {
		size_t word = metrics[i].offset / sizeof(uint64_t);

		assert_true(metrics[i].offset + sizeof(uint64_t) <= bytes);
		assert_int_equal(metrics[i].offset % sizeof(uint64_t), 0);
		if (seen[word])
			fail_msg("%s is shown under two names", metrics[i].name);
		seen[word] = true;
	}
	return count;
}

static void every_figure_of_the_store_is_shown_once(void **state)
{
	bool worker[sizeof(struct weir_worker_figures) / sizeof(uint64_t)] = {false};
	bool node[sizeof(struct weir_node_figures) / sizeof(uint64_t)] = {false};
	bool tenure[sizeof(struct weir_tenure_stats) / sizeof(uint64_t)] = {false};
	bool peer[sizeof(struct weir_peer_stats) / sizeof(uint64_t)] = {false};
	unsigned count;

	count = words_mark(WEIR_METRICS_WORKER, worker, sizeof(struct weir_worker_figures));
	count += words_mark(WEIR_METRICS_LINK, worker, sizeof(struct weir_worker_figures));
	assert_int_equal(count, sizeof(worker) / sizeof(worker[0]));
	count = words_mark(WEIR_METRICS_NODE, node, sizeof(struct weir_node_figures));
	assert_int_equal(count, sizeof(node) / sizeof(node[0]));
	count = words_mark(WEIR_METRICS_TENURE, tenure, sizeof(struct weir_tenure_stats));
	assert_int_equal(count, sizeof(tenure) / sizeof(tenure[0]));
	count = words_mark(WEIR_METRICS_PEER, peer, sizeof(struct weir_peer_stats));
	assert_int_equal(count, sizeof(peer) / sizeof(peer[0]));
}

/* -------------------------------------------------------------------------------- figures --- */

static struct weir_worker_figures worker_figures(void)
{
	struct weir_worker_figures figures;

	weir_figures_worker(NULL, 0, &figures);
	return figures;
}

static void shares_and_cycles_follow_from_counters(void **state)
{
	stats = (struct weir_worker_stats){.run_ns = 8000000000,
		.busy_ns = 3000000000,
		.replica = {.tasks = 1000000, .deltas_applied = 500000}};
	assert_int_equal(worker_figures().operations, 1500000);
	assert_int_equal(worker_figures().busy_share_ppm, 375000);
	assert_int_equal(worker_figures().operation_cycles, 4000);
	/* A year of a fast processor does not overflow. */
	stats.busy_ns = stats.run_ns = 31536000000000000;
	tsc_hz = 5000000000;
	assert_int_equal(worker_figures().busy_share_ppm, 1000000);
	assert_int_equal(worker_figures().operation_cycles, 157680000000000000 / 1500000);
	tsc_hz = 2000000000;
}

static void a_worker_that_did_nothing_has_no_cost(void **state)
{
	stats = (struct weir_worker_stats){.busy_ns = 5};
	assert_int_equal(worker_figures().operation_cycles, 0);
	assert_int_equal(worker_figures().busy_share_ppm, 0);
}

static void a_share_is_never_above_one(void **state)
{
	stats = (struct weir_worker_stats){.busy_ns = 11, .run_ns = 10};
	assert_int_equal(worker_figures().busy_share_ppm, 1000000);
}

static void a_node_counts_its_devices_by_role(void **state)
{
	struct weir_node_figures figures;

	devices[0] =
		(struct weir_device_status){.role = WEIR_ROLE_MASTER, .open = true, .flows = 7};
	devices[1] = (struct weir_device_status){.role = WEIR_ROLE_MASTER, .flows = 10};
	devices[2] = (struct weir_device_status){.role = WEIR_ROLE_BACKUP, .flows = 100};
	weir_figures_node(NULL, &figures);
	assert_int_equal(figures.devices, 3);
	assert_int_equal(figures.devices_master, 2);
	assert_int_equal(figures.devices_standby, 1);
	assert_int_equal(figures.devices_open, 1);
	assert_int_equal(figures.flows, 117);
	assert_int_equal(figures.workers, 3);
	assert_int_equal(figures.nodes, 2);
	assert_int_equal(figures.nodes_live, 1);
	assert_int_equal(figures.lease_left_ms, 1999);
	assert_int_equal(figures.tsc_hz, 2000000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_stands_once),
		cmocka_unit_test(names_fit_everywhere_that_they_are_shown),
		cmocka_unit_test(units_stand_at_the_end_of_names),
		cmocka_unit_test(each_metric_says_what_it_means),
		cmocka_unit_test(every_figure_of_the_store_is_shown_once),
		cmocka_unit_test(shares_and_cycles_follow_from_counters),
		cmocka_unit_test(a_worker_that_did_nothing_has_no_cost),
		cmocka_unit_test(a_share_is_never_above_one),
		cmocka_unit_test(a_node_counts_its_devices_by_role),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
