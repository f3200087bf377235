/* SPDX-License-Identifier: BSD-3-Clause */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>
#include <rte_lcore.h>

#include "base/err.h"
#include "coord/redis/redis.h"
#include "table/rcu.h"

#include "../unit/store/office.h"
#include "home.h"

#define WORKER_MEMORY_BYTES (16ULL << 30)
#define POLL_BURST          64
#define REQUESTS_BURST      32

/* ------------------------------------------------------------------------------------- node --- */

struct shift {
	struct home *home;
	unsigned worker, cpu;
};

struct weir_store_conf home_conf(const char *id, unsigned workers_count)
{
	struct weir_store_conf conf = {
		.cluster = "perf",
		.tenure = {.backup_count = 1,
			.lease_ms = 3000,
			.join_grace_ms = 2000,
			.leave_timeout_ms = 800},
		.workers_count = workers_count,
		.port_id = WEIR_NO_PORT,
		.mtu = 1500,
		.udp_port = 7100,
		.idle = WEIR_IDLE_PAUSE,
		.idle_sleep_max_us = 1000,
		.insync_timeout_ms = 10000,
		.anti_entropy_period_ms = 5000,
		.backup_period_ms = 2000,
		.request_timeout_ms = 20000,
		.memory_bytes = WORKER_MEMORY_BYTES,
	};

	snprintf(conf.tenure.self.id, sizeof(conf.tenure.self.id), "%s", id);
	snprintf(conf.tenure.self.socket, sizeof(conf.tenure.self.socket), "/run/%s.sock", id);
	return conf;
}

static void *work(void *arg)
{
	struct shift shift = *(struct shift *)arg;

	free(arg);
	bench_pin(shift.home->bench, shift.cpu);
	rte_thread_register(); /* as a worker lcore has: frames come from a cache of its own */
	weir_store_worker_run(shift.home->store, shift.worker);
	rte_thread_unregister();
	return NULL;
}

static void *control(void *arg)
{
	struct home *home = arg;

	bench_pin(home->bench, BENCH_CPUS_MAX);
	bench_check(home->bench, weir_store_control_run(home->store, home->base, home->coord) == 0);
	return NULL;
}

static struct weir_coord *coord_of(struct home *home, struct office *office, const char *redis)
{
	const struct weir_coord_redis_conf conf = {.address = redis, .cluster = "perf"};
	char wrong[128] = "";

	if (office != NULL)
		return office_coord(office, home->base, &weir_store_coord_events, home->store);
	return weir_coord_redis_create(
		&conf, home->base, &weir_store_coord_events, home->store, wrong, sizeof(wrong));
}

static void on_leave(evutil_socket_t fd, short what, void *store)
{
	weir_store_leave(store);
}

void home_open(struct home *home, const struct bench *bench, const struct weir_store_conf *conf,
	unsigned cpu, struct office *office, const char *redis)
{
	*home = (struct home){.bench = bench, .workers_count = conf->workers_count};
	home->base = event_base_new();
	home->store = weir_store_create(conf);
	bench_check(bench, home->base != NULL && home->store != NULL);
	home->coord = coord_of(home, office, redis);
	bench_check(bench, home->coord != NULL);
	home->leave_fd = eventfd(0, EFD_CLOEXEC);
	home->leave = event_new(home->base, home->leave_fd, EV_READ, on_leave, home->store);
	bench_check(bench, home->leave != NULL && event_add(home->leave, NULL) == 0);
	for (unsigned i = 0; i < conf->workers_count; i++) {
		struct shift *shift = malloc(sizeof(*shift));

		bench_check(bench, shift != NULL);
		*shift = (struct shift){home, i, cpu + i};
		bench_check(bench, pthread_create(&home->workers[i], NULL, work, shift) == 0);
	}
	bench_check(bench, pthread_create(&home->control, NULL, control, home) == 0);
}

/** In a thread of its own: it becomes an RCU reader, which the caller may be already. */
static void *destroy(void *store)
{
	weir_store_destroy(store);
	return NULL;
}

static void clear(struct home *home)
{
	pthread_t thread;

	weir_store_stop(home->store);
	for (unsigned i = 0; i < home->workers_count; i++)
		pthread_join(home->workers[i], NULL);
	home->coord->driver->destroy(home->coord);
	bench_check(home->bench, pthread_create(&thread, NULL, destroy, home->store) == 0);
	pthread_join(thread, NULL);
	event_free(home->leave);
	close(home->leave_fd);
	event_base_free(home->base);
}

void home_close(struct home *home)
{
	weir_store_stop(home->store);
	pthread_join(home->control, NULL);
	clear(home);
}

void home_leave(struct home *home)
{
	weir_assert(eventfd_write(home->leave_fd, 1) == 0);
	pthread_join(home->control, NULL);
	clear(home);
}

struct asked {
	const struct home *home;
	const char *device;
	uint64_t flows;
};

static void *flows_ask(void *arg)
{
	struct asked *asked = arg;
	const struct weir_device *device;

	weir_rcu_register();
	device = weir_store_device(asked->home->store, asked->device, strlen(asked->device));
	if (device != NULL)
		asked->flows = weir_table_count(weir_device_table(device));
	weir_rcu_unregister();
	return NULL;
}

uint64_t home_flows(const struct home *home, const char *device)
{
	struct asked asked = {home, device, UINT64_MAX};
	pthread_t thread;

	bench_check(home->bench, pthread_create(&thread, NULL, flows_ask, &asked) == 0);
	pthread_join(thread, NULL);
	return asked.flows;
}

void home_busy(struct home *home, bool busy)
{
	weir_store_idle_set(home->store, busy ? WEIR_IDLE_PAUSE : WEIR_IDLE_SLEEP, 1000);
}

uint64_t home_worker_ns(const struct home *home, unsigned worker)
{
	struct timespec now;
	clockid_t clock;

	bench_check(home->bench, pthread_getcpuclockid(home->workers[worker], &clock) == 0);
	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * WEIR_NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t home_workers_ns(const struct home *home)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < home->workers_count; i++)
		sum += home_worker_ns(home, i);
	return sum;
}

/* ----------------------------------------------------------------------------------- client --- */

void client_open(struct client *client, struct home *home)
{
	*client = (struct client){.bench = home->bench, .home = home};
	bench_pin(home->bench, BENCH_CPUS_MAX);
	client->gate = weir_gate_open(home->store);
	bench_check(client->bench, client->gate != NULL);
}

void client_close(struct client *client)
{
	weir_gate_close(client->gate);
}

void client_pause(struct client *client)
{
	struct timespec time = {.tv_nsec = 100000};

	weir_gate_rest(client->gate);
	nanosleep(&time, NULL);
	weir_gate_wake(client->gate);
}

void client_ask(
	struct client *client, enum weir_request_kind kind, const char *device, const char *node)
{
	struct weir_request request = {.kind = kind, .deadline_ns = weir_clock_ns() + PATIENCE_NS};
	struct weir_request *back = NULL;

	snprintf(request.device, sizeof(request.device), "%s", device);
	snprintf(request.node, sizeof(request.node), "%s", node != NULL ? node : "");
	weir_gate_request(client->gate, &request);
	client_wait(client, (back = weir_gate_request_poll(client->gate)) != NULL);
	if (request.err != 0)
		bench_fail(client->bench, "device %s: request refused: %s", device,
			weir_err_sentence(request.err));
}

struct weir_device_status client_status(struct client *client, const char *name)
{
	const struct weir_store *store = client->home->store;
	const struct weir_device *device = weir_store_device(store, name, strlen(name));
	struct weir_device_status status = {0};

	if (device != NULL)
		weir_device_status(store, device, &status);
	return status;
}

static unsigned nodes_live(struct client *client)
{
	struct weir_node nodes[WEIR_NODES_MAX];
	unsigned count = weir_store_nodes(client->home->store, nodes, WEIR_NODES_MAX), live = 0;

	for (unsigned i = 0; i < count; i++)
		live += nodes[i].live;
	return live;
}

void client_company(struct client *client, unsigned nodes_count)
{
	client_wait(client, nodes_live(client) == nodes_count);
}

static bool serves(struct client *client, const char *device, unsigned copies)
{
	struct weir_device_status status = client_status(client, device);

	return status.open && status.record.insync_count >= copies;
}

void client_device(struct client *client, const char *device, unsigned copies)
{
	client_ask(client, WEIR_REQUEST_DEVICE_ADD, device, NULL);
	client_wait(client, serves(client, device, copies));
}

/** Asks for some devices at once and waits for the answers. */
static void devices_ask(struct client *client, const char *name, unsigned first, unsigned count)
{
	struct weir_request requests[REQUESTS_BURST] = {0};
	struct weir_request *back;

	for (unsigned i = 0; i < count; i++) {
		requests[i].kind = WEIR_REQUEST_DEVICE_ADD;
		requests[i].deadline_ns = weir_clock_ns() + PATIENCE_NS;
		snprintf(requests[i].device, sizeof(requests[i].device), "%s%u", name, first + i);
		weir_gate_request(client->gate, &requests[i]);
	}
	for (unsigned i = 0; i < count; i++) {
		client_wait(client, (back = weir_gate_request_poll(client->gate)) != NULL);
		bench_check(client->bench, back->err == 0);
	}
}

void client_devices(
	struct client *client, const char *name, unsigned devices_count, unsigned copies)
{
	char whole[WEIR_DEVICE_ID_MAX];

	for (unsigned first = 0; first < devices_count; first += REQUESTS_BURST) {
		unsigned left = devices_count - first;

		devices_ask(client, name, first, left < REQUESTS_BURST ? left : REQUESTS_BURST);
	}
	for (unsigned i = 0; i < devices_count; i++) {
		snprintf(whole, sizeof(whole), "%s%u", name, i);
		client_wait(client, serves(client, whole, copies));
	}
}

static void task_fill(struct weir_task *task, const struct job *job, uint64_t number)
{
	const struct flow *flow = &job->flows[number];
	bool whole = job->op == WEIR_OP_ADD || job->op == WEIR_OP_MODIFY;

	task->op = (uint8_t)job->op;
	task->ack = (uint8_t)job->ack;
	memcpy(&task->entry, &flow->entry, FLOW_BYTES - (whole ? 0 : INSTR_LEN));
	task->entry.created = 0;
	if (whole)
		return;
	task->entry.rule.instr_len = 0;
	task->entry.packets = job->packets;
	task->entry.bytes = job->packets * 64;
}

/** The keys of a job's devices. */
static uint64_t *keys_of(struct client *client, const struct job *job)
{
	unsigned count = job->devices_count > 0 ? job->devices_count : 1;
	uint64_t *keys = malloc(count * sizeof(*keys));
	char name[WEIR_DEVICE_ID_MAX];

	bench_check(client->bench, keys != NULL);
	keys[0] = weir_device_key(job->device);
	for (unsigned i = 0; i < job->devices_count; i++) {
		snprintf(name, sizeof(name), "%s%u", job->device, i);
		keys[i] = weir_device_key(name);
	}
	return keys;
}

static unsigned answers_take(struct client *client)
{
	struct weir_task *tasks[POLL_BURST];
	unsigned count = weir_gate_poll(client->gate, tasks, POLL_BURST);

	for (unsigned i = 0; i < count; i++) {
		if (tasks[i]->err != 0)
			bench_fail(client->bench, "a task was answered: %s",
				weir_err_sentence(tasks[i]->err));
		weir_gate_task_free(client->gate, tasks[i]);
	}
	return count;
}

static void give_way(struct client *client)
{
	weir_gate_rest(client->gate);
	sched_yield();
	weir_gate_wake(client->gate);
}

/** A job under way. */
struct progress {
	const struct job *job;
	uint64_t *keys;
	uint64_t begin_ns, workers_ns; /**< CPU time of the workers when it began */
	uint64_t sent, done;
};

static struct progress job_begin(struct client *client, const struct job *job)
{
	return (struct progress){.job = job,
		.keys = keys_of(client, job),
		.begin_ns = weir_clock_ns(),
		.workers_ns = home_workers_ns(client->home)};
}

static struct spent job_end(struct client *client, const struct progress *progress)
{
	double count = (double)progress->job->count;

	free(progress->keys);
	return (struct spent){.wall_ns = (double)(weir_clock_ns() - progress->begin_ns) / count,
		.workers_ns =
			(double)(home_workers_ns(client->home) - progress->workers_ns) / count};
}

/** As many tasks as the window lets, `most` of them. */
static void job_send(struct client *client, struct progress *progress, unsigned most)
{
	const struct job *job = progress->job;

	for (unsigned i = 0; i < most && progress->sent < job->count &&
			     progress->sent - progress->done < job->window;
		i++) {
		struct weir_task *task = weir_gate_task(client->gate, FLOW_BYTES);
		unsigned devices = job->devices_count > 0 ? job->devices_count : 1;

		bench_check(client->bench, task != NULL);
		task->device_key = progress->keys[progress->sent % devices];
		task->deadline_ns = progress->begin_ns + PATIENCE_NS;
		task_fill(task, job, progress->sent++);
		weir_gate_submit(client->gate, task);
	}
	weir_gate_flush(client->gate);
}

struct spent client_do(struct client *client, const struct job *job)
{
	struct progress progress = job_begin(client, job);

	while (progress.done < job->count) {
		unsigned answered;

		job_send(client, &progress, POLL_BURST);
		answered = answers_take(client);
		progress.done += answered;
		if (answered == 0)
			give_way(client);
		weir_gate_quiescent(client->gate);
	}
	return job_end(client, &progress);
}

double client_cost(struct client *client, const struct job *job)
{
	struct progress progress = job_begin(client, job);

	home_busy(client->home, false);
	while (progress.done < job->count) {
		if (progress.done == progress.sent)
			job_send(client, &progress, job->window);
		progress.done += answers_take(client);
		if (progress.done < progress.sent)
			client_pause(client);
		weir_gate_quiescent(client->gate);
	}
	home_busy(client->home, true);
	return job_end(client, &progress).workers_ns;
}

void client_purge(struct client *client, const char *device)
{
	unsigned done = 0, count;

	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		struct weir_task *task = weir_gate_task(client->gate, sizeof(struct weir_entry));

		bench_check(client->bench, task != NULL);
		task->device_key = weir_device_key(device);
		task->deadline_ns = weir_clock_ns() + PATIENCE_NS;
		task->op = WEIR_OP_PURGE;
		task->app = WEIR_ANY_APP;
		task->entry.rule.flow_id = shard;
		weir_gate_submit(client->gate, task);
	}
	weir_gate_flush(client->gate);
	while (done < WEIR_SHARDS) {
		client_wait(client, (count = answers_take(client)) > 0);
		done += count;
	}
	bench_check(client->bench, client_status(client, device).flows == 0);
}
