/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Two nodes in one process, joined by rings in place of wires. The first has two workers, the
 * other one; all that the first receives comes in on one queue, so half of it has to be steered.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "town.h"

#define FLOWS     2000
#define RING_SIZE 4096

static struct office *office;
static struct rte_mempool *pool;
static struct weir_store_conf confs[2];
static struct house houses[2];
static struct weir_gate *gate; /* of the node at hand: one thread has one gate */

static struct rte_ring *wires[2]; /* to each node */

static uint16_t port_make(
	const char *name, struct rte_ring **rx, struct rte_ring **tx, uint16_t queues)
{
	const struct rte_eth_conf conf = {0};
	int port = rte_eth_from_rings(name, rx, queues, tx, queues, 0);

	assert_true(port >= 0);
	assert_int_equal(rte_eth_dev_configure((uint16_t)port, queues, queues, &conf), 0);
	for (uint16_t i = 0; i < queues; i++) {
		assert_int_equal(rte_eth_tx_queue_setup((uint16_t)port, i, 0, 0, NULL), 0);
		assert_int_equal(rte_eth_rx_queue_setup((uint16_t)port, i, 0, 0, NULL, pool), 0);
	}
	assert_int_equal(rte_eth_dev_start((uint16_t)port), 0);
	return (uint16_t)port;
}

static void wire(void)
{
	struct rte_ring *to_a = rte_ring_create("to a", RING_SIZE, 0, 0);
	struct rte_ring *to_b = rte_ring_create("to b", RING_SIZE, 0, 0);
	struct rte_ring *unused = rte_ring_create("unused", RING_SIZE, 0, 0);
	struct rte_ring *rx[2] = {to_a, unused}, *tx[2] = {to_b, to_b};

	wires[0] = to_a;
	wires[1] = to_b;
	pool = rte_pktmbuf_pool_create("pair", 16384, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	assert_non_null(pool);
	confs[0].port_id = port_make("a", rx, tx, 2);
	confs[1].port_id = port_make("b", &to_b, &to_a, 1);
}

static void node_start(unsigned node)
{
	house_build(&houses[node], office, &confs[node]);
	house_run_workers(&houses[node]);
	house_run_control(&houses[node]);
}

/* From now on the test stands at the gate of this node. */
static void go_to(unsigned node)
{
	if (gate != NULL)
		weir_gate_close(gate);
	gate = weir_gate_open(houses[node].store);
	assert_non_null(gate);
}

/*
 * What nodes of the test before have sent must not reach those of this one: they bear the same
 * names, and the same incarnations, which a cluster never gives out twice.
 */
static void wires_clear(void)
{
	struct rte_mbuf *frame;

	for (unsigned i = 0; i < 2; i++)
		while (rte_ring_dequeue(wires[i], (void **)&frame) == 0)
			rte_pktmbuf_free(frame);
}

static int begin(void **state)
{
	wires_clear();
	office = office_create();
	for (unsigned i = 0; i < 2; i++) {
		uint16_t port_id = confs[i].port_id;

		confs[i] = town_conf(i == 0 ? "a" : "b", i == 0 ? 2 : 1);
		confs[i].tenure.lease_ms = 1000;
		confs[i].insync_timeout_ms = 300;
		confs[i].anti_entropy_period_ms = 200;
		confs[i].port_id = port_id;
		confs[i].ipv4 = 0x0a000001 + i;
		confs[i].udp_port = 7100;
		confs[i].pool = pool;
		node_start(i);
	}
	go_to(0);
	return 0;
}

static int end(void **state)
{
	weir_gate_close(gate);
	gate = NULL;
	for (unsigned i = 0; i < 2; i++) {
		weir_store_stop(houses[i].store);
		house_clear(&houses[i]);
	}
	office_destroy(office);
	return 0;
}

static struct weir_device_status status_of(unsigned node)
{
	const struct weir_store *store = houses[node].store;
	const struct weir_device *device = weir_store_device(store, "d", 1);
	struct weir_device_status status = {0};

	if (device != NULL)
		weir_device_status(store, device, &status);
	return status;
}

static bool equal(unsigned flows)
{
	struct weir_device_status a = status_of(0), b = status_of(1);

	return a.flows == flows && b.flows == flows && a.content == b.content;
}

static bool two_in_sync(unsigned node)
{
	struct weir_device_status status = status_of(node);

	return status.open && status.record.insync_count == 2;
}

static unsigned nodes_live(unsigned node)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(houses[node].store, nodes, WEIR_NODES_MAX), live = 0;

	for (unsigned i = 0; i < count; i++)
		live += nodes[i].live;
	return live;
}

/* A device whose master is the first node and whose copies are both in sync. */
static void device_make(void)
{
	wait_for(gate, nodes_live(0) == 2 && nodes_live(1) == 2);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	wait_for(gate, two_in_sync(0));
	/* A copy may be in sync before its node has read the record. */
	wait_for(gate, status_of(1).role == WEIR_ROLE_BACKUP);
}

static void write_flows(unsigned from, unsigned to)
{
	struct weir_task *done[64];
	unsigned count, answered = 0;

	for (unsigned i = from; i < to; i++)
		weir_gate_submit(gate, gate_task(gate, WEIR_OP_ADD, "d", i));
	weir_gate_flush(gate);
	while (answered < to - from) {
		wait_for(gate, (count = weir_gate_poll(gate, done, 64)) > 0);
		for (unsigned i = 0; i < count; i++) {
			assert_int_equal(done[i]->err, 0);
			weir_gate_task_free(gate, done[i]);
		}
		answered += count;
	}
}

static void acknowledged_writes_are_on_both_copies(void **state)
{
	struct weir_worker_stats stats;

	device_make();
	write_flows(0, FLOWS);
	/* Not sooner or later: they are acknowledged. */
	assert_true(equal(FLOWS));
	for (unsigned i = 0; i < FLOWS; i++)
		assert_non_null(rule_find(weir_store_device(houses[1].store, "d", 1), i));
	weir_store_worker_stats(houses[0].store, 1, &stats);
	assert_true(stats.link.rx_messages > 0);
	assert_int_equal(stats.link.bad_checksum + stats.link.bad_truncated, 0);
}

static void what_passes_between_two_nodes_is_counted_for_each(void **state)
{
	struct weir_peer_stats near, far, nobody;
	uint64_t zeros[sizeof(nobody) / sizeof(uint64_t)] = {0};

	device_make();
	write_flows(0, FLOWS);
	assert_int_equal(weir_store_peer_stats(houses[0].store, "b", &near), 0);
	assert_int_equal(weir_store_peer_stats(houses[1].store, "a", &far), 0);
	assert_int_equal(weir_store_peer_stats(houses[0].store, "a", &nobody), WEIR_NOTFOUND);
	assert_true(near.sessions >= near.sessions_now && near.sessions_now > 0);
	assert_true(near.tx_messages > 0 && near.rx_messages > 0);
	/* The flows themselves; what is acknowledged has been read over there. */
	assert_true(near.tx_bytes > FLOWS * sizeof(uint64_t) && far.rx_bytes > FLOWS);
	assert_true(far.rx_messages > 0);
	assert_memory_equal(&nobody, zeros, sizeof(nobody));
}

static void a_backup_refuses_writes_and_names_the_master(void **state)
{
	device_make();
	go_to(1);
	assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", 1), WEIR_NOTMASTER);
	assert_int_equal(
		weir_device_may_read(houses[1].store, weir_store_device(houses[1].store, "d", 1)),
		WEIR_NOTMASTER);
	assert_string_equal(status_of(1).master_socket, "/run/a.sock");
}

static void mastership_moves_with_all_flows(void **state)
{
	device_make();
	write_flows(0, FLOWS);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_MASTER_SET, "d", "b"), 0);
	wait_for(gate, two_in_sync(1));
	assert_int_equal(status_of(1).term, 2);
	assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", FLOWS), WEIR_NOTMASTER);
	go_to(1);
	write_flows(FLOWS, 2 * FLOWS);
	assert_true(equal(2 * FLOWS));
}

static void a_node_that_leaves_hands_over_first(void **state)
{
	device_make();
	write_flows(0, FLOWS);
	go_to(1);
	/* Leaving is for the control core, as if a signal had come: the office carries it there. */
	office_leave(houses[0].coord, houses[0].store);
	wait_for(gate, weir_store_stopping(houses[0].store));
	assert_true(status_of(1).open);
	assert_int_equal(status_of(1).flows, FLOWS);
	write_flows(FLOWS, FLOWS + 10);
}

static void a_node_that_comes_back_empty_is_brought_up_to_date(void **state)
{
	device_make();
	write_flows(0, FLOWS);
	weir_gate_close(gate);
	gate = NULL;
	weir_store_stop(houses[0].store);
	house_clear(&houses[0]);
	go_to(1);
	wait_for(gate, status_of(1).open);
	write_flows(FLOWS, FLOWS + 10);
	weir_gate_rest(gate);
	node_start(0);
	weir_gate_wake(gate);
	wait_for(gate, two_in_sync(1) && equal(FLOWS + 10));
	write_flows(FLOWS + 10, FLOWS + 20);
	assert_true(equal(FLOWS + 20));
}

/* Each is at least what it was; @return all frames that the node has sent */
static uint64_t link_figures_grow(unsigned node, struct weir_link_stats *before)
{
	struct weir_worker_stats stats;
	uint64_t was[sizeof(*before) / sizeof(uint64_t)], is[sizeof(was) / sizeof(was[0])];

	weir_store_worker_stats(houses[node].store, 0, &stats);
	memcpy(was, before, sizeof(was));
	memcpy(is, &stats.link, sizeof(is));
	for (unsigned i = 0; i < sizeof(is) / sizeof(is[0]); i++)
		assert_true(is[i] >= was[i]);
	*before = stats.link;
	return stats.link.tx_frames;
}

static uint64_t life_of(unsigned node)
{
	struct weir_node self;

	return weir_store_nodes(houses[node].store, &self, 1) == 1 ? self.incarnation : 0;
}

static void link_figures_outlive_the_link(void **state)
{
	struct weir_link_stats before = {0};
	uint64_t frames;

	device_make();
	write_flows(0, FLOWS);
	assert_true(link_figures_grow(1, &before) > 0);
	office_fence(office, "b");
	wait_for(gate, link_figures_grow(1, &before) > 0 && life_of(1) > 1000);
	wait_for(gate, link_figures_grow(1, &before) > 0 && two_in_sync(0) && equal(FLOWS));
	frames = before.tx_frames;
	write_flows(FLOWS, FLOWS + 100);
	assert_true(link_figures_grow(1, &before) > frames);
	assert_true(before.sessions >= 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(acknowledged_writes_are_on_both_copies),
		TEST(what_passes_between_two_nodes_is_counted_for_each),
		TEST(a_backup_refuses_writes_and_names_the_master),
		TEST(mastership_moves_with_all_flows),
		TEST(a_node_that_leaves_hands_over_first),
		TEST(a_node_that_comes_back_empty_is_brought_up_to_date),
		TEST(link_figures_outlive_the_link),
	};

	town_begin();
	wire();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
