/* SPDX-License-Identifier: BSD-3-Clause */
/** @file The bounds of a gate, at a node whose threads do not run yet. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "store/internal.h"

#include "town.h"

static struct office *office;
static struct house house;
static struct weir_gate *gate;

static int begin(void **state)
{
	struct weir_store_conf conf = town_conf("n1", 1);

	office = office_create();
	house_build(&house, office, &conf);
	gate = weir_gate_open(house.store);
	assert_non_null(gate);
	return 0;
}

static int end(void **state)
{
	weir_store_stop(house.store);
	weir_gate_close(gate);
	house_clear(&house);
	office_destroy(office);
	return 0;
}

static unsigned take_all(int err)
{
	struct weir_task *done[64];
	unsigned count, counted = 0;

	while ((count = weir_gate_poll(gate, done, 64)) > 0) {
		for (unsigned i = 0; i < count; i++) {
			counted += done[i]->err == err;
			weir_gate_task_free(gate, done[i]);
		}
	}
	return counted;
}

static void a_full_ring_is_answered_busy(void **state)
{
	unsigned extra = 1000;

	for (unsigned i = 0; i < WEIR_TASK_RING_SIZE + extra; i++)
		weir_gate_submit(gate, gate_task(gate, WEIR_OP_ADD, "d", i));
	weir_gate_flush(gate);
	assert_int_equal(weir_gate_under_way(gate), WEIR_TASK_RING_SIZE + extra);
	assert_int_equal(take_all(WEIR_BUSY), extra);
	assert_int_equal(weir_gate_under_way(gate), WEIR_TASK_RING_SIZE);
	house_run_workers(&house);
	house_run_control(&house);
	wait_for(gate, (take_all(0), weir_gate_under_way(gate) == 0));
}

static void tasks_have_a_limit_and_come_back(void **state)
{
	static struct weir_task *tasks[WEIR_GATE_TASKS_MAX];
	unsigned count = 0;

	for (unsigned round = 0; round < 2; round++) {
		for (count = 0; (tasks[count] = weir_gate_task(gate, 64)) != NULL; count++)
			assert_true(tasks[count]->room >=
				    sizeof(struct weir_entry) + WEIR_GATE_TASK_ROOM);
		assert_int_equal(count, WEIR_GATE_TASKS_MAX - WEIR_GATE_LARGE_MAX);
		for (unsigned i = 0; i < count; i++)
			weir_gate_task_free(gate, tasks[i]);
	}
}

static void large_tasks_have_a_limit_of_their_own(void **state)
{
	struct weir_task *tasks[WEIR_GATE_LARGE_MAX];

	for (unsigned i = 0; i < WEIR_GATE_LARGE_MAX; i++) {
		tasks[i] = weir_gate_task(gate, WEIR_ENTRY_BYTES_MAX);
		assert_non_null(tasks[i]);
		assert_true(tasks[i]->room >= WEIR_ENTRY_BYTES_MAX);
		memset(&tasks[i]->entry, 0xa5, WEIR_ENTRY_BYTES_MAX);
	}
	assert_null(weir_gate_task(gate, WEIR_ENTRY_BYTES_MAX));
	assert_null(weir_gate_task(gate, WEIR_ENTRY_BYTES_MAX + 1));
	for (unsigned i = 0; i < WEIR_GATE_LARGE_MAX; i++)
		weir_gate_task_free(gate, tasks[i]);
	tasks[0] = weir_gate_task(gate, WEIR_ENTRY_BYTES_MAX);
	assert_non_null(tasks[0]);
	weir_gate_task_free(gate, tasks[0]);
}

static void a_task_is_clean_when_it_is_taken_again(void **state)
{
	struct weir_task *task = weir_gate_task(gate, 64);
	uint32_t room = task->room;

	memset(task, 0xff, sizeof(*task));
	task->room = room;
	weir_gate_task_free(gate, task);
	assert_ptr_equal(weir_gate_task(gate, 64), task);
	assert_int_equal(task->device_key, 0);
	assert_int_equal(task->err, 0);
	assert_int_equal(task->entry.rule.flow_id, 0);
	assert_int_equal(task->room, room);
	weir_gate_task_free(gate, task);
}

struct visitor {
	pthread_t thread;
	struct weir_store *store;
	pthread_barrier_t *opened, *looked;
	struct weir_gate *gate;
};

static void *visit(void *arg)
{
	struct visitor *visitor = arg;

	visitor->gate = weir_gate_open(visitor->store);
	pthread_barrier_wait(visitor->opened);
	pthread_barrier_wait(visitor->looked);
	if (visitor->gate != NULL)
		weir_gate_close(visitor->gate);
	return NULL;
}

static void gates_have_a_limit(void **state)
{
	struct visitor visitors[WEIR_GATES_MAX];
	pthread_barrier_t opened, looked;
	unsigned open = 0;

	pthread_barrier_init(&opened, NULL, WEIR_GATES_MAX + 1);
	pthread_barrier_init(&looked, NULL, WEIR_GATES_MAX + 1);
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++) {
		visitors[i] = (struct visitor){
			.store = house.store, .opened = &opened, .looked = &looked};
		assert_int_equal(pthread_create(&visitors[i].thread, NULL, visit, &visitors[i]), 0);
	}
	pthread_barrier_wait(&opened);
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++)
		open += visitors[i].gate != NULL;
	pthread_barrier_wait(&looked);
	for (unsigned i = 0; i < WEIR_GATES_MAX; i++)
		pthread_join(visitors[i].thread, NULL);
	/* One is open already: ours. */
	assert_int_equal(open, WEIR_GATES_MAX - 1);
}

static void requests_have_a_limit(void **state)
{
	static struct weir_request requests[WEIR_REQUESTS_MAX + 10];
	struct weir_request *back = NULL;
	unsigned busy = 0, unknown = 0, count = WEIR_REQUESTS_MAX + 10;

	house_run_workers(&house);
	house_run_control(&house);
	wait_for(gate, weir_store_lease_ns(house.store) > 0);
	office_silent(office, true);
	for (unsigned i = 0; i < count; i++) {
		requests[i].kind = WEIR_REQUEST_DEVICE_ADD;
		requests[i].deadline_ns = weir_clock_ns() + 300 * WEIR_NS_PER_MS;
		snprintf(requests[i].device, sizeof(requests[i].device), "d%u", i);
		weir_gate_request(gate, &requests[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		wait_for(gate, (back = weir_gate_request_poll(gate)) != NULL);
		busy += back->err == WEIR_BUSY;
		unknown += back->err == WEIR_UNKNOWN;
	}
	assert_int_equal(busy + unknown, count);
	assert_true(unknown > 0 && unknown <= WEIR_REQUESTS_MAX);
	assert_null(weir_gate_request_poll(gate));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_full_ring_is_answered_busy),
		TEST(tasks_have_a_limit_and_come_back),
		TEST(large_tasks_have_a_limit_of_their_own),
		TEST(a_task_is_clean_when_it_is_taken_again),
		TEST(gates_have_a_limit),
		TEST(requests_have_a_limit),
	};

	town_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
