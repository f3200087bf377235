/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * What the test files of the room share: three nodes for each test, one device, and how it comes
 * to its first and its later terms.
 */
#ifndef TESTS_UNIT_REPLICA_CASE_H
#define TESTS_UNIT_REPLICA_CASE_H

#include "net.h"

#define DEV 0x1234567812345678ULL

static struct net *net;

static inline int set_up(void **state)
{
	(void)state;
	net = net_new(3, NULL);
	return 0;
}

static inline int tear_down(void **state)
{
	(void)state;
	net_free(net);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

/** The program: runs an array of tests. */
#define RUN(tests)                                                                                 \
	int main(void)                                                                             \
	{                                                                                          \
		int failed;                                                                        \
                                                                                                   \
		weir_rcu_register();                                                               \
		failed = cmocka_run_group_tests(tests, NULL, NULL);                                \
		weir_rcu_unregister();                                                             \
		return failed;                                                                     \
	}

/** Tells a node (or ALL_NODES) the record, and lets it act. */
static inline void view(unsigned node, const struct net_record *record)
{
	net_view(net, node, DEV, record);
	net_run(net);
}

/* The first term: node 0 is master, 1 and 2 are backups; as tenure would do it. */
static inline void begin(void)
{
	struct net_record record = {
		.term = 1, .master = 0, .backups = 6, .insync = 1, .live = ALL_LIVE};

	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
	assert_int_equal(net_reports(net, 0, WEIR_REPORT_SETTLED, 1), net->nodes[0].workers_count);
	assert_int_equal(
		net_reports(net, 0, WEIR_REPORT_CAUGHT_UP, 1), 2 * net->nodes[0].workers_count);
	record.active = 1;
	record.insync = 7;
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

/** Rule n is added at node 0 and acknowledged. */
static inline void add(unsigned n)
{
	struct net_task task;

	net_submit(net, 0, DEV, &task, WEIR_OP_ADD, n, 7);
	net_run(net);
	assert_int_equal(task.task.err, 0);
}

static inline void add_many(unsigned node, unsigned from, unsigned to, uint64_t cookie, int want)
{
	for (unsigned n = from; n < to; n++) {
		struct net_task task;

		net_submit(net, node, DEV, &task, WEIR_OP_ADD, n, cookie);
		net_run(net);
		assert_int_equal(task.task.err, want);
		assert_int_equal(task.answers, 1);
	}
}

/* Node `master` takes over in `term`; tenure's part. */
static inline void take_over(
	unsigned master, uint64_t term, uint64_t active, uint32_t backups, uint32_t insync)
{
	struct net_record record = {.term = term,
		.active = active,
		.master = master,
		.backups = backups,
		.insync = insync,
		.live = ALL_LIVE};

	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

static inline void activate(unsigned master, uint64_t term, uint32_t backups, uint32_t insync)
{
	struct net_record record = {.term = term,
		.active = term,
		.master = master,
		.backups = backups,
		.insync = insync,
		.live = ALL_LIVE};

	assert_int_equal(net_reports(net, master, WEIR_REPORT_SETTLED, term),
		net->nodes[master].workers_count);
	net_view(net, ALL_NODES, DEV, &record);
	net_run(net);
}

#endif
