/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The store's parts by themselves. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_mbuf.h>

#include "store/internal.h"

#include "town.h"

static struct weir_registry *registry;

static int registry_begin(void **state)
{
	registry = calloc(1, sizeof(*registry));
	assert_non_null(registry);
	weir_rcu_register();
	return weir_registry_init(registry);
}

static int registry_end(void **state)
{
	weir_rcu_offline();
	weir_rcu_barrier();
	weir_rcu_unregister();
	weir_registry_free(registry);
	free(registry);
	return 0;
}

static void a_device_is_made_once_whoever_sees_it_first(void **state)
{
	uint64_t key = weir_device_key("d");
	struct weir_device *device = weir_registry_make(registry, key);

	assert_non_null(device);
	assert_ptr_equal(weir_registry_make(registry, key), device);
	assert_ptr_equal(weir_registry_find(registry, key), device);
	assert_null(device->name);
	assert_int_equal(registry->list->count, 0);
	assert_ptr_equal(weir_registry_name(registry, "d"), device);
	assert_ptr_equal(weir_registry_name(registry, "d"), device);
	assert_int_equal(registry->list->count, 1);
	assert_null(weir_registry_find(registry, key + 1));
}

static void devices_have_a_limit(void **state)
{
	for (uint64_t i = 0; i < WEIR_DEVICES_MAX; i++)
		assert_non_null(weir_registry_make(registry, i * WEIR_DEVICE_SLOTS));
	weir_log_sink_set(NULL);
	assert_null(weir_registry_make(registry, 1));
	assert_null(weir_registry_name(registry, "one more"));
	assert_non_null(weir_registry_make(registry, 5 * WEIR_DEVICE_SLOTS));
	assert_null(weir_registry_find(registry, 1));
}

static void two_names_of_one_key_do_not_share_a_device(void **state)
{
	struct weir_device *device = weir_registry_make(registry, weir_device_key("d"));

	device->name = strdup("other");
	assert_null(weir_registry_name(registry, "d"));
}

static void what_a_device_stands_for_is_replaced_whole(void **state)
{
	struct weir_device *device = weir_registry_name(registry, "d");
	struct weir_view view = {.term = 1, .role = WEIR_ROLE_MASTER};
	struct weir_record record = {.term = 1};
	struct weir_standing *first;

	assert_null(device->standing);
	assert_int_equal(weir_device_stand(device, &view, &record), 0);
	first = device->standing;
	view.term = record.term = 2;
	assert_int_equal(weir_device_stand(device, &view, &record), 0);
	/* We are a reader that has not said that it is quiet: the first is still whole. */
	assert_int_equal(first->view.term, 1);
	assert_int_equal(device->standing->view.term, 2);
	assert_int_equal(device->standing->record->term, 2);
}

static void a_pile_gives_back_in_the_order_of_coming(void **state)
{
	struct weir_pile pile = {0};
	struct weir_request requests[3];

	assert_null(weir_pile_take(&pile));
	for (unsigned i = 0; i < 3; i++)
		weir_pile_push(&pile, &requests[i]);
	assert_ptr_equal(weir_pile_take(&pile), &requests[0]);
	assert_ptr_equal(requests[0].next, &requests[1]);
	assert_ptr_equal(requests[1].next, &requests[2]);
	assert_null(requests[2].next);
	assert_null(weir_pile_take(&pile));
}

static uint64_t rests_until_asleep(enum weir_idle policy, uint32_t max_us, uint64_t idle_ns)
{
	struct weir_idler idler = {0};
	_Atomic uint64_t sleeps = 0;
	uint64_t before_ns = 0;

	for (unsigned i = 0; i < 1000 && sleeps == 0; i++) {
		before_ns = weir_clock_ns();
		weir_idle_rest(&idler, policy, max_us, i == 0 ? 0 : idle_ns, &sleeps);
	}
	return sleeps == 0 ? 0 : weir_clock_ns() - before_ns;
}

static void only_the_policy_sleep_sleeps(void **state)
{
	weir_rcu_register();
	assert_int_equal(rests_until_asleep(WEIR_IDLE_POLL, 1000, WEIR_NS_PER_S), 0);
	assert_int_equal(rests_until_asleep(WEIR_IDLE_PAUSE, 1000, WEIR_NS_PER_S), 0);
	assert_true(rests_until_asleep(WEIR_IDLE_SLEEP, 1000, WEIR_NS_PER_S) > 0);
	weir_rcu_unregister();
}

static void sleep_grows_with_idleness_up_to_the_most(void **state)
{
	weir_rcu_register();
	assert_true(rests_until_asleep(WEIR_IDLE_SLEEP, 20000, 1) >= 50 * WEIR_NS_PER_US);
	assert_true(rests_until_asleep(WEIR_IDLE_SLEEP, 20000, 160 * WEIR_NS_PER_MS) >=
		    10 * WEIR_NS_PER_MS);
	assert_true(rests_until_asleep(WEIR_IDLE_SLEEP, 20000, 1000 * WEIR_NS_PER_S) >=
		    20 * WEIR_NS_PER_MS);
	assert_true(rests_until_asleep(WEIR_IDLE_SLEEP, 100, 1000 * WEIR_NS_PER_S) <
		    1000 * WEIR_NS_PER_MS);
	weir_rcu_unregister();
}

static void senseless_settings_make_no_store(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 3);

	assert_null(weir_store_create(&conf));
	conf = town_conf("n1", 64);
	assert_null(weir_store_create(&conf));
	conf = town_conf("n1", 0);
	assert_null(weir_store_create(&conf));
	conf = town_conf("", 1);
	assert_null(weir_store_create(&conf));
	conf = town_conf("n1", 1);
	conf.port_id = 7;
	assert_null(weir_store_create(&conf));
	conf = town_conf("n1", 1);
	conf.idle_sleep_max_us = 1000000;
	assert_null(weir_store_create(&conf));
	weir_store_destroy(NULL);
}

static void reports_that_find_no_room_wait_in_order(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 1);
	struct weir_store *store = weir_store_create(&conf);
	struct weir_report report = {.kind = WEIR_REPORT_SETTLED}, reports[64];
	unsigned count, expected = 0, total = 3 * WEIR_REPORT_RING_SIZE;

	assert_non_null(store);
	for (unsigned i = 0; i < total; i++) {
		report.term = i;
		weir_worker_report(&store->workers[0], &report);
	}
	while ((count = weir_worker_reports_take(&store->workers[0], reports, 64)) > 0) {
		for (unsigned i = 0; i < count; i++)
			assert_int_equal(reports[i].term, expected++);
		weir_worker_reports_flush(&store->workers[0]);
	}
	assert_int_equal(expected, total);
	weir_store_destroy(store);
}

static void frames_for_a_worker_that_does_not_take_them_are_dropped(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 2);
	struct weir_store *store = weir_store_create(&conf);
	struct rte_mempool *pool = rte_pktmbuf_pool_create(
		"parts", 2 * WEIR_STEER_RING_SIZE, 0, 0, RTE_MBUF_DEFAULT_BUF_SIZE, 0);

	assert_non_null(store);
	assert_non_null(pool);
	for (unsigned i = 0; i < WEIR_STEER_RING_SIZE + 3; i++)
		weir_worker_steer(&store->workers[0], 1, rte_pktmbuf_alloc(pool));
	assert_int_equal(store->workers[0].shown.steer_drops, 3);
	weir_worker_steer(&store->workers[0], 2, rte_pktmbuf_alloc(pool));
	assert_int_equal(store->workers[0].shown.steer_drops, 4);
	assert_int_equal(rte_mempool_in_use_count(pool), WEIR_STEER_RING_SIZE);
	weir_store_destroy(store);
	assert_int_equal(rte_mempool_in_use_count(pool), 0);
	rte_mempool_free(pool);
}

/* Also where it has come round. */
static void a_ring_says_how_many_are_in_it(void **state)
{
	struct rte_ring *ring = weir_ring_create(8, WEIR_RING_MP | RING_F_SC_DEQ);
	void *out[8], *in[8] = {NULL};

	assert_non_null(ring);
	for (unsigned round = 0; round < 10; round++) {
		assert_int_equal(weir_ring_count(ring), 0);
		assert_int_equal(rte_ring_enqueue_burst(ring, in, 3, NULL), 3);
		assert_int_equal(weir_ring_count(ring), 3);
		assert_int_equal(rte_ring_enqueue_burst(ring, in, 8, NULL), 5);
		assert_int_equal(weir_ring_count(ring), 8);
		assert_int_equal(rte_ring_sc_dequeue_burst(ring, out, 8, NULL), 8);
	}
	free(ring);
}

static void tasks_that_no_worker_has_taken_are_seen_waiting(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 1);
	struct weir_store *store = weir_store_create(&conf);
	struct weir_gate *gate = weir_gate_open(store);
	struct weir_worker_stats stats;
	struct weir_task *task;

	for (unsigned i = 0; i < 5; i++)
		weir_gate_submit(gate, gate_task(gate, WEIR_OP_ADD, "d", i));
	weir_gate_flush(gate);
	weir_store_worker_stats(store, 0, &stats);
	assert_int_equal(stats.waiting_now, 5);
	assert_int_equal(stats.turns, 0);
	assert_int_equal(stats.run_ns, 0);
	assert_int_equal(stats.busy_ns, 0);
	weir_worker_sweep(&store->workers[0]);
	weir_store_worker_stats(store, 0, &stats);
	assert_int_equal(stats.waiting_now, 0);
	while (weir_gate_poll(gate, &task, 1) == 1)
		weir_gate_task_free(gate, task);
	weir_gate_close(gate);
	weir_store_destroy(store);
}

static void a_store_that_never_ran_is_taken_down(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 32);
	struct weir_store *store = weir_store_create(&conf);

	assert_non_null(store);
	assert_int_equal(weir_store_conf(store)->tenure.workers_count, 32);
	assert_int_equal(weir_store_lease_ns(store), 0);
	weir_store_destroy(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, registry_begin, registry_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_device_is_made_once_whoever_sees_it_first),
		TEST(devices_have_a_limit),
		TEST(two_names_of_one_key_do_not_share_a_device),
		TEST(what_a_device_stands_for_is_replaced_whole),
		cmocka_unit_test(a_pile_gives_back_in_the_order_of_coming),
		cmocka_unit_test(only_the_policy_sleep_sleeps),
		cmocka_unit_test(sleep_grows_with_idleness_up_to_the_most),
		cmocka_unit_test(senseless_settings_make_no_store),
		cmocka_unit_test(reports_that_find_no_room_wait_in_order),
		cmocka_unit_test(frames_for_a_worker_that_does_not_take_them_are_dropped),
		cmocka_unit_test(a_ring_says_how_many_are_in_it),
		cmocka_unit_test(tasks_that_no_worker_has_taken_are_seen_waiting),
		cmocka_unit_test(a_store_that_never_ran_is_taken_down),
	};

	town_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
