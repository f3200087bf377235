/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_eal.h>
#include <urcu/urcu-qsbr.h>

#include "town.h"

struct shift {
	struct weir_store *store;
	unsigned worker;
};

void town_begin(void)
{
	static char line[256], *argv[32];
	char *rest = line;
	int argc = 0;

	snprintf(line, sizeof(line),
		"test -l 0 --no-pci --no-huge --no-shconf -m 256 --no-telemetry "
		"--log-level=error --file-prefix=weir-store-%d",
		(int)getpid());
	while ((argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	urcu_qsbr_get_default_call_rcu_data();
	assert_true(rte_eal_init(argc, argv) >= 0);
}

struct weir_store_conf town_conf(const char *id, unsigned workers_count)
{
	struct weir_store_conf conf = {
		.cluster = "town",
		.tenure = {.backup_count = 2,
			.lease_ms = 2000,
			.join_grace_ms = 2000,
			.leave_timeout_ms = 800},
		.workers_count = workers_count,
		.port_id = WEIR_NO_PORT,
		.mtu = 1500,
		.idle = WEIR_IDLE_SLEEP,
		.idle_sleep_max_us = 1000,
		.insync_timeout_ms = 1000,
		.anti_entropy_period_ms = 5000,
		.request_timeout_ms = 5000,
		.memory_bytes = 256 << 20,
	};

	snprintf(conf.tenure.self.id, sizeof(conf.tenure.self.id), "%s", id);
	snprintf(conf.tenure.self.socket, sizeof(conf.tenure.self.socket), "/run/%s.sock", id);
	return conf;
}

void house_build(struct house *house, struct office *office, const struct weir_store_conf *conf)
{
	memset(house, 0, sizeof(*house));
	house->workers_count = conf->workers_count;
	house->base = event_base_new();
	house->store = weir_store_create(conf);
	assert_non_null(house->base);
	assert_non_null(house->store);
	house->coord = office_coord(office, house->base, &weir_store_coord_events, house->store);
}

static void *work(void *arg)
{
	struct shift shift = *(struct shift *)arg;

	free(arg);
	weir_store_worker_run(shift.store, shift.worker);
	return NULL;
}

void house_run_workers(struct house *house)
{
	for (unsigned i = 0; i < house->workers_count; i++) {
		struct shift *shift = malloc(sizeof(*shift));

		assert_non_null(shift);
		shift->store = house->store;
		shift->worker = i;
		assert_int_equal(pthread_create(&house->workers[i], NULL, work, shift), 0);
	}
	house->workers_run = true;
}

static void *control(void *arg)
{
	struct house *house = arg;

	house->result = weir_store_control_run(house->store, house->base, house->coord);
	return NULL;
}

void house_run_control(struct house *house)
{
	assert_int_equal(pthread_create(&house->control, NULL, control, house), 0);
	house->control_runs = true;
}

void house_clear(struct house *house)
{
	for (unsigned i = 0; house->workers_run && i < house->workers_count; i++)
		pthread_join(house->workers[i], NULL);
	if (house->control_runs)
		pthread_join(house->control, NULL);
	house->coord->driver->destroy(house->coord);
	weir_store_destroy(house->store);
	event_base_free(house->base);
}

void gate_pause(struct weir_gate *gate)
{
	struct timespec time = {.tv_nsec = 200000};

	weir_gate_rest(gate);
	nanosleep(&time, NULL);
	weir_gate_wake(gate);
}

int gate_ask(
	struct weir_gate *gate, enum weir_request_kind kind, const char *device, const char *node)
{
	struct weir_request request = {.kind = kind, .deadline_ns = weir_clock_ns() + PATIENCE_NS};
	struct weir_request *back = NULL;

	snprintf(request.device, sizeof(request.device), "%s", device);
	snprintf(request.node, sizeof(request.node), "%s", node != NULL ? node : "");
	weir_gate_request(gate, &request);
	wait_for(gate, (back = weir_gate_request_poll(gate)) != NULL);
	assert_ptr_equal(back, &request);
	return request.err;
}

const struct weir_device *gate_device(
	struct weir_gate *gate, struct weir_store *store, const char *name)
{
	const struct weir_device *device = NULL;

	wait_for(gate, (device = weir_store_device(store, name, strlen(name))) != NULL &&
			       weir_device_may_read(store, device) == 0);
	return device;
}

static void rule_fill(struct weir_rule *rule, unsigned number)
{
	memset(rule, 0, sizeof(*rule));
	rule->priority = (uint16_t)number;
	rule->table = (uint8_t)(number >> 16);
	rule->cookie = number;
	rule->flow_id = weir_rule_flow_id(rule, 1);
}

struct weir_task *gate_task(
	struct weir_gate *gate, enum weir_op op, const char *device, unsigned number)
{
	struct weir_task *task = weir_gate_task(gate, sizeof(struct weir_entry));

	if (task == NULL)
		return NULL;
	task->device_key = weir_device_key(device);
	task->deadline_ns = weir_clock_ns() + PATIENCE_NS;
	task->op = (uint8_t)op;
	rule_fill(&task->entry.rule, number);
	return task;
}

int gate_do(struct weir_gate *gate, enum weir_op op, const char *device, unsigned number)
{
	struct weir_task *task = gate_task(gate, op, device, number), *done = NULL;
	int err;

	assert_non_null(task);
	weir_gate_submit(gate, task);
	weir_gate_flush(gate);
	assert_int_equal(weir_gate_under_way(gate), 1);
	wait_for(gate, weir_gate_poll(gate, &done, 1) == 1);
	assert_ptr_equal(done, task);
	err = task->err;
	weir_gate_task_free(gate, task);
	return err;
}

const struct weir_entry *rule_find(const struct weir_device *device, unsigned number)
{
	struct weir_rule rule;

	rule_fill(&rule, number);
	return weir_table_find(weir_device_table(device), &rule);
}
