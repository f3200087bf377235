/* SPDX-License-Identifier: BSD-3-Clause */
/** @file A node alone, from its first breath to its last. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

#include "town.h"

/*
 * In DPDK 22.11 the producers of a ring wait for one another in relaxed order, which is enough for
 * the processor but not for ThreadSanitizer: there is one producer then.
 */
#ifdef WEIR_TSAN
#define WORKERS 1
#else
#define WORKERS 2
#endif

static struct office *office;
static struct house house;
static struct weir_gate *gate;

static int begin(void **state)
{
	struct weir_store_conf conf = town_conf("n1", WORKERS);

	office = office_create();
	house_build(&house, office, &conf);
	house_run_workers(&house);
	house_run_control(&house);
	gate = weir_gate_open(house.store);
	assert_non_null(gate);
	wait_for(gate, weir_store_lease_ns(house.store) > 0);
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

static unsigned nodes_count(void)
{
	struct weir_node nodes[WEIR_NODES_MAX];

	return weir_store_nodes(house.store, nodes, WEIR_NODES_MAX);
}

static void a_node_registers_and_knows_itself(void **state)
{
	struct weir_node nodes[2];

	wait_for(gate, nodes_count() == 1);
	assert_int_equal(weir_store_nodes(house.store, nodes, 0), 0);
	assert_int_equal(weir_store_nodes(house.store, nodes, 2), 1);
	assert_string_equal(nodes[0].id, "n1");
	assert_string_equal(nodes[0].socket, "/run/n1.sock");
	assert_int_equal(nodes[0].workers_count, WORKERS);
	assert_int_equal(nodes[0].incarnation, 1);
}

static void a_device_is_there_as_soon_as_its_making_is_answered(void **state)
{
	assert_null(weir_store_device(house.store, "d", 1));
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	assert_non_null(weir_store_device(house.store, "d", 1));
	assert_null(weir_store_device(house.store, "d\0", 2));
	assert_null(weir_store_device(house.store, "", 0));
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), WEIR_EXISTS);
}

static void a_flow_is_added_found_and_taken_out(void **state)
{
	const struct weir_device *device;
	struct weir_device_status status;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	device = gate_device(gate, house.store, "d");
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", i), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(rule_find(device, i)->rule.cookie, i);
	assert_int_equal(gate_do(gate, WEIR_OP_REMOVE, "d", 7), 0);
	assert_int_equal(rule_find(device, 7)->state, WEIR_FLOW_PENDING_REMOVE);
	assert_int_equal(gate_do(gate, WEIR_OP_REMOVED, "d", 7), 0);
	assert_null(rule_find(device, 7));
	assert_int_equal(gate_do(gate, WEIR_OP_REMOVED, "d", 7), WEIR_NOTFOUND);

	weir_device_status(house.store, device, &status);
	assert_int_equal(status.flows, 99);
	assert_true(status.content != 0);
	assert_int_equal(status.role, WEIR_ROLE_MASTER);
	assert_int_equal(status.term, status.active);
	assert_true(status.open);
	assert_string_equal(status.record.master.node, "n1");
	assert_string_equal(status.master_socket, "/run/n1.sock");
}

static void a_task_on_an_unknown_device_is_refused(void **state)
{
	int err = gate_do(gate, WEIR_OP_ADD, "nowhere", 1);

	assert_true(err == WEIR_NODEVICE || err == WEIR_NOTMASTER);
	assert_null(weir_store_device(house.store, "nowhere", 7));
}

static bool in_order(void *ctx, const struct weir_device *device)
{
	const char **last = ctx;

	if (*last != NULL)
		assert_true(strcmp(*last, weir_device_name(device)) < 0);
	*last = weir_device_name(device);
	return true;
}

static bool none_more(void *ctx, const struct weir_device *device)
{
	return false;
}

static void devices_are_listed_by_name(void **state)
{
	const char *names[] = {"m", "a", "z", "of:10", "of:1"}, *last = NULL;

	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, names[i], NULL), 0);
	assert_int_equal(weir_store_devices(house.store, in_order, &last), 5);
	assert_string_equal(last, "z");
	assert_int_equal(weir_store_devices(house.store, none_more, NULL), 1);
}

static void mastership_for_nobody_is_refused(void **state)
{
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_MASTER_SET, "d", "n1"), WEIR_NODEVICE);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_MASTER_SET, "d", "n9"), WEIR_NOTFOUND);
}

static void a_silent_coordinator_lets_requests_end_unknown(void **state)
{
	struct weir_request request = {.kind = WEIR_REQUEST_DEVICE_ADD, .device = "late"};

	office_silent(office, true);
	request.deadline_ns = weir_clock_ns() + 20 * WEIR_NS_PER_MS;
	weir_gate_request(gate, &request);
	wait_for(gate, weir_gate_request_poll(gate) == &request);
	assert_int_equal(request.err, WEIR_UNKNOWN);
	assert_true(weir_clock_ns() >= request.deadline_ns);
	office_silent(office, false);
}

static void without_coordinator_reads_end_with_the_lease(void **state)
{
	const struct weir_device *device;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	device = gate_device(gate, house.store, "d");
	office_silent(office, true);
	wait_for(gate, weir_device_may_read(house.store, device) != 0);
	assert_int_equal(weir_device_may_read(house.store, device), WEIR_FENCED);
	assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", 1), WEIR_FENCED);
	office_silent(office, false);
}

static void a_reply_makes_the_gate_readable(void **state)
{
	struct weir_request request = {.kind = WEIR_REQUEST_DEVICE_ADD,
		.device = "d",
		.deadline_ns = weir_clock_ns() + PATIENCE_NS};
	struct pollfd wait = {.fd = weir_gate_fd(gate), .events = POLLIN};

	assert_int_equal(poll(&wait, 1, 0), 0);
	weir_gate_request(gate, &request);
	weir_gate_rest(gate);
	assert_int_equal(poll(&wait, 1, 20000), 1);
	weir_gate_wake(gate);
	assert_ptr_equal(weir_gate_request_poll(gate), &request);
	assert_null(weir_gate_request_poll(gate));
	assert_int_equal(poll(&wait, 1, 0), 0);
}

static void stopping_makes_gates_readable_and_fences_reads(void **state)
{
	struct pollfd wait = {.fd = weir_gate_fd(gate), .events = POLLIN};
	const struct weir_device *device;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	device = gate_device(gate, house.store, "d");
	assert_false(weir_store_stopping(house.store));
	weir_store_stop(house.store);
	assert_true(weir_store_stopping(house.store));
	assert_int_equal(poll(&wait, 1, 0), 1);
	assert_int_equal(weir_device_may_read(house.store, device), WEIR_FENCED);
}

static void requests_after_the_end_are_answered(void **state)
{
	weir_store_stop(house.store);
	weir_gate_rest(gate);
	pthread_join(house.control, NULL);
	house.control_runs = false;
	weir_gate_wake(gate);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), WEIR_UNREACHABLE);
}

/* Tasks before, during and after the end: each comes back once. */
static void stopping_answers_all_that_is_under_way(void **state)
{
	struct weir_task *done[64];
	unsigned answered = 0, count, submitted = 0;
	uint64_t stopped_ns = 0;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	gate_device(gate, house.store, "d");
	while (stopped_ns == 0 || weir_clock_ns() < stopped_ns + 400 * WEIR_NS_PER_MS) {
		struct weir_task *task = gate_task(gate, WEIR_OP_ADD, "d", submitted % 1000);

		if (task != NULL) {
			weir_gate_submit(gate, task);
			submitted++;
		}
		if (submitted % 16 == 0)
			weir_gate_flush(gate);
		if (submitted == 5000) {
			weir_store_stop(house.store);
			stopped_ns = weir_clock_ns();
		}
		count = weir_gate_poll(gate, done, 8);
		for (unsigned i = 0; i < count; i++)
			weir_gate_task_free(gate, done[i]);
		answered += count;
		weir_gate_quiescent(gate);
	}
	weir_gate_flush(gate);
	while (weir_gate_under_way(gate) > 0) {
		wait_for(gate, (count = weir_gate_poll(gate, done, 64)) > 0);
		for (unsigned i = 0; i < count; i++)
			weir_gate_task_free(gate, done[i]);
		answered += count;
	}
	assert_int_equal(answered, submitted);
	assert_true(submitted > 5000);
	/* Now that nobody is there any more. */
	assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", 1), WEIR_NOTMASTER);
}

static bool workers_show(uint64_t answers, struct weir_worker_stats *stats)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		weir_store_worker_stats(house.store, i, stats);
		sum += stats->replica.answers_ok;
	}
	return sum == answers;
}

static void workers_show_what_they_did(void **state)
{
	struct weir_worker_stats stats;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	gate_device(gate, house.store, "d");
	for (unsigned i = 0; i < 50; i++)
		assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", i), 0);
	wait_for(gate, workers_show(50, &stats));
	assert_true(stats.turns > stats.busy_turns && stats.busy_turns > 0);
	assert_true(stats.sleeps > 0);
	assert_true(stats.mem.used_bytes > 0);
}

/* What it costs is not to be measured where every access is looked at. */
#ifndef WEIR_TSAN
static void an_idle_node_rests(void **state)
{
	struct timespec before, after;
	uint64_t from_ns;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	gate_device(gate, house.store, "d");
	from_ns = weir_clock_ns();
	wait_for(gate, weir_clock_ns() > from_ns + 100 * WEIR_NS_PER_MS);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
	weir_gate_rest(gate);
	nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
	weir_gate_wake(gate);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
	/* A tenth of a core would be far more than it needs, and far less than polling takes. */
	assert_true((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec <
		    50000000L);
}

#endif

static atomic_bool reader_told;

static void hear(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	char myself[32];

	snprintf(myself, sizeof(myself), "(%d)", (int)getpid()); /* the test's own thread */
	if (strstr(line, "wait for a reader") != NULL && strstr(line, myself) != NULL)
		atomic_store(&reader_told, true);
}

/* The gate looks at nothing, and says nothing: memory that is freed stays where it is. */
static void who_holds_up_reclaim_is_named(void **state)
{
	uint64_t until_ns;
	struct weir_task *task;

	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, "d", NULL), 0);
	gate_device(gate, house.store, "d");
	assert_int_equal(gate_do(gate, WEIR_OP_ADD, "d", 1), 0);
	assert_false(atomic_load(&reader_told));
	task = gate_task(gate, WEIR_OP_ADD, "d", 1);
	weir_gate_submit(gate, task);
	weir_gate_flush(gate);
	until_ns = weir_clock_ns() + PATIENCE_NS;
	while (!atomic_load(&reader_told) && weir_clock_ns() < until_ns)
		usleep(1000);
	assert_true(atomic_load(&reader_told));
	wait_for(gate, weir_gate_poll(gate, &task, 1) == 1);
	assert_int_equal(task->err, 0);
	weir_gate_task_free(gate, task);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_node_registers_and_knows_itself),
		TEST(a_device_is_there_as_soon_as_its_making_is_answered),
		TEST(a_flow_is_added_found_and_taken_out),
		TEST(a_task_on_an_unknown_device_is_refused),
		TEST(devices_are_listed_by_name),
		TEST(mastership_for_nobody_is_refused),
		TEST(a_silent_coordinator_lets_requests_end_unknown),
		TEST(without_coordinator_reads_end_with_the_lease),
		TEST(a_reply_makes_the_gate_readable),
		TEST(stopping_makes_gates_readable_and_fences_reads),
		TEST(requests_after_the_end_are_answered),
		TEST(stopping_answers_all_that_is_under_way),
		TEST(workers_show_what_they_did),
		TEST(who_holds_up_reclaim_is_named),
#ifndef WEIR_TSAN
		TEST(an_idle_node_rests),
#endif
	};

	weir_log_sink_set(hear);
	town_begin();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
