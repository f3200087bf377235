/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two nodes that keep copies of one device, over rings in one process or over net_memif between
 * two: writes acknowledged by the copy, their latency and bytes, and a copy that comes back empty.
 * A second, like pair of ports carries raw frames for comparison.
 *
 * What is done at the far side is done by commands, so that both wirings run the same code.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <rte_ethdev.h>

#include "table/rcu.h"

#include "../unit/store/office.h"
#include "home.h"
#include "ports.h"
#include "raw.h"
#include "redis.h"
#include "subjects.h"

#define POOL_MBUFS       32767
#define POOL_MB          128
#define WINDOW           8192
#define LATENCIES        20000
#define LATENCIES_QUICK  200
#define POUR_FRAMES      1000000
#define HANDOVERS        4 /* a round, each there and back */
#define HANDOVERS_QUICK  1
#define POUR_QUICK       2048
#define LINK_PATIENCE_MS 20000
#define LINK_RETRY_MS    2000

enum command {
	PEER_OPEN,  /**< the node begins; @return 0 */
	PEER_LEAVE, /**< the node leaves its cluster and ends; @return 0 */
	PEER_BUSY,  /**< its worker polls; @return 0 */
	PEER_IDLE,  /**< its worker sleeps when idle; @return 0 */
	PEER_FLOWS, /**< @return flows in its copy */
	PEER_AWAIT, /**< @return when it answered for the device (ns, monotonic) */
	PEER_CPU,   /**< @return CPU time of its worker */
	PEER_ECHO,  /**< raw frames are echoed; @return 0 */
	PEER_SINK,  /**< raw frames are swallowed; @return 0 */
	PEER_STILL, /**< no more raw frames; @return bytes received */
	PEER_JOIN,  /**< to a process that waits: the ports' server is there */
	PEER_END,   /**< to a process: its end */
};

struct pair {
	const struct bench *bench;
	struct rte_mempool *pool;
	uint16_t port_ids[2], raw_ids[2]; /**< near, far: of a far process only its own */
	struct office *office;            /**< of two nodes in this process */
	const char *redis;                /**< of two in two processes */
	struct home homes[2];
	struct raw_far far;
	struct client client;
	int to, from; /**< the far process; -1: it is this one */
	struct flow *flows;
};

/* ------------------------------------------------------------------------------ the far side ---
 */

static struct weir_store_conf conf_of(const struct pair *pair, unsigned side)
{
	struct weir_store_conf conf = home_conf(side == 0 ? "a" : "b", 1);

	conf.port_id = pair->port_ids[side];
	conf.pool = pair->pool;
	conf.ipv4 = 0x0a000001 + side;
	return conf;
}

static void node_open(struct pair *pair, unsigned side)
{
	struct weir_store_conf conf = conf_of(pair, side);

	home_open(&pair->homes[side], pair->bench, &conf, side, pair->office, pair->redis);
}

/** Whether a node of this process answers for the device. */
static bool answers(const struct home *home)
{
	const struct weir_device *device = weir_store_device(home->store, "d", 1);

	return device != NULL && weir_device_may_read(home->store, device) == 0;
}

struct wait {
	const struct home *home;
	uint64_t at_ns;
};

/** In a thread of its own: it becomes an RCU reader, which the caller may be already. */
static void *answers_await(void *arg)
{
	struct wait *wait = arg;

	weir_rcu_register();
	while (!answers(wait->home)) {
		weir_rcu_offline();
		usleep(100);
		weir_rcu_online();
	}
	wait->at_ns = weir_clock_ns();
	weir_rcu_unregister();
	return NULL;
}

static uint64_t obey(struct pair *pair, enum command command)
{
	struct home *home = &pair->homes[1];
	struct wait wait = {.home = home};
	pthread_t thread;

	switch (command) {
	case PEER_OPEN:
		node_open(pair, 1);
		return 0;
	case PEER_LEAVE:
		home_leave(home);
		return 0;
	case PEER_BUSY:
	case PEER_IDLE:
		home_busy(home, command == PEER_BUSY);
		return 0;
	case PEER_FLOWS:
		return home_flows(home, "d");
	case PEER_AWAIT:
		bench_check(pair->bench, pthread_create(&thread, NULL, answers_await, &wait) == 0);
		pthread_join(thread, NULL);
		return wait.at_ns;
	case PEER_CPU:
		return home_workers_ns(home);
	case PEER_ECHO:
	case PEER_SINK:
		raw_far_begin(&pair->far, pair->bench, pair->raw_ids[1], 1, command == PEER_ECHO);
		return 0;
	case PEER_STILL:
		return raw_far_end(&pair->far);
	default:
		return 0;
	}
}

static uint64_t peer(struct pair *pair, enum command command)
{
	uint64_t result = 0;
	char byte = (char)command;

	if (pair->to < 0)
		return obey(pair, command);
	bench_check(pair->bench, write(pair->to, &byte, 1) == 1);
	bench_check(pair->bench, read(pair->from, &result, sizeof(result)) == sizeof(result));
	return result;
}

/* ------------------------------------------------------------------------------ measurements ---
 */

static int compare(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/** Notes p50 and p99 in us; sorts the samples. */
static void latencies_note(
	uint64_t *ns, unsigned count, struct bench_series *p50, struct bench_series *p99)
{
	qsort(ns, count, sizeof(ns[0]), compare);
	bench_note(p50, (double)ns[count / 2] / 1e3);
	bench_note(p99, (double)ns[count - 1 - count / 100] / 1e3);
}

static unsigned latencies_count(const struct bench *bench)
{
	return bench->quick ? LATENCIES_QUICK : LATENCIES;
}

static void raw_round(struct pair *pair, uint64_t *ns, struct bench_series *p50,
	struct bench_series *p99, struct bench_series *rate)
{
	const struct bench *bench = pair->bench;
	unsigned count = latencies_count(bench);
	uint64_t frames = bench->quick ? POUR_QUICK : POUR_FRAMES;

	weir_gate_rest(pair->client.gate); /* the control core may wait for readers */
	bench_pin(bench, 0);               /* apart from the far side, in the place of the worker */
	home_busy(&pair->homes[0], false);
	peer(pair, PEER_IDLE);
	peer(pair, PEER_ECHO);
	raw_ping(bench, pair->raw_ids[0], pair->pool, count / 10, ns);
	raw_ping(bench, pair->raw_ids[0], pair->pool, count, ns);
	peer(pair, PEER_STILL);
	latencies_note(ns, count, p50, p99);
	peer(pair, PEER_SINK);
	bench_note(rate, raw_pour(bench, pair->raw_ids[0], pair->pool, frames) / 1e6);
	peer(pair, PEER_STILL);
	peer(pair, PEER_BUSY);
	home_busy(&pair->homes[0], true);
	bench_pin(bench, BENCH_CPUS_MAX);
	weir_gate_wake(pair->client.gate);
}

static uint64_t wire_bytes(const struct pair *pair)
{
	struct weir_worker_stats stats;

	weir_store_worker_stats(pair->homes[0].store, 0, &stats);
	return stats.link.tx_bytes + stats.link.rx_bytes;
}

/** One write after the other. */
static void singles(struct pair *pair, uint64_t *ns, unsigned count)
{
	struct job job = {
		.device = "d", .op = WEIR_OP_ADD, .ack = WEIR_ACK_INSYNC, .window = 1, .count = 1};

	for (unsigned i = 0; i < count; i++) {
		job.flows = &pair->flows[flow_spread(i) % pair->bench->flows];
		ns[i] = (uint64_t)client_do(&pair->client, &job).wall_ns;
	}
}

struct figures {
	struct bench_series raw_p50, raw_p99, raw_rate;
	struct bench_series p50, p99, bytes;
	struct bench_series local, insync, near_cpu, far_cpu;
	struct bench_series join_s, sync_s, sync_rate, handover_ms;
};

/** All flows into an empty table whose copy is in sync, and again: without waiting, in batches. */
static void writes_round(struct pair *pair, struct figures *figures)
{
	uint64_t flows = pair->bench->flows, far_ns;
	struct job job = {.device = "d",
		.op = WEIR_OP_ADD,
		.ack = WEIR_ACK_INSYNC,
		.flows = pair->flows,
		.count = flows,
		.window = WINDOW};

	bench_note(&figures->insync, 1e3 / client_do(&pair->client, &job).wall_ns);
	/* Not sooner or later: they are acknowledged. */
	bench_check(pair->bench, peer(pair, PEER_FLOWS) == flows);
	job.ack = WEIR_ACK_LOCAL;
	bench_note(&figures->local, 1e3 / client_do(&pair->client, &job).wall_ns);
	job.ack = WEIR_ACK_INSYNC;
	peer(pair, PEER_IDLE);
	far_ns = peer(pair, PEER_CPU);
	bench_note(&figures->near_cpu, client_cost(&pair->client, &job));
	bench_note(&figures->far_cpu, (double)(peer(pair, PEER_CPU) - far_ns) / (double)flows);
	peer(pair, PEER_BUSY);
}

static void singles_round(struct pair *pair, struct figures *figures, uint64_t *ns)
{
	unsigned count = latencies_count(pair->bench);
	uint64_t bytes;

	singles(pair, ns, count / 10);
	bytes = wire_bytes(pair);
	singles(pair, ns, count);
	bench_note(&figures->bytes, (double)(wire_bytes(pair) - bytes) / count);
	latencies_note(ns, count, &figures->p50, &figures->p99);
}

static bool copies(struct pair *pair, unsigned count)
{
	struct weir_device_status status = client_status(&pair->client, "d");

	return status.open && status.record.insync_count == count;
}

static uint64_t sessions(const struct pair *pair)
{
	struct weir_worker_stats stats;

	weir_store_worker_stats(pair->homes[0].store, 0, &stats);
	return stats.link.sessions;
}

/** The far node comes back empty and is brought up to date. */
static void sync_round(struct pair *pair, struct figures *figures)
{
	uint64_t begin_ns, met_ns, end_ns, bytes, before;

	weir_gate_rest(pair->client.gate);
	peer(pair, PEER_LEAVE);
	weir_gate_wake(pair->client.gate);
	client_wait(&pair->client, copies(pair, 1));
	bytes = wire_bytes(pair);
	before = sessions(pair);
	begin_ns = weir_clock_ns();
	peer(pair, PEER_OPEN);
	client_wait(&pair->client, sessions(pair) > before);
	met_ns = weir_clock_ns();
	client_wait(&pair->client, copies(pair, 2));
	end_ns = weir_clock_ns();
	client_wait(&pair->client, peer(pair, PEER_FLOWS) == pair->bench->flows);
	bench_note(&figures->join_s, (double)(end_ns - begin_ns) / 1e9);
	bench_note(&figures->sync_s, (double)(end_ns - met_ns) / 1e9);
	bench_note(&figures->sync_rate,
		(double)(wire_bytes(pair) - bytes) * 1e3 / (double)(end_ns - met_ns));
}

/** To the far node and back. Notes how long nobody answered on the way there, in ms. */
static void handover(struct pair *pair, struct bench_series *silence_ms)
{
	uint64_t silent_ns;

	client_ask(&pair->client, WEIR_REQUEST_MASTER_SET, "d", "b");
	client_wait(&pair->client, !answers(&pair->homes[0]));
	silent_ns = weir_clock_ns();
	weir_gate_rest(pair->client.gate);
	bench_note(silence_ms, (double)(peer(pair, PEER_AWAIT) - silent_ns) / 1e6);
	weir_gate_wake(pair->client.gate);
	client_wait(&pair->client, client_status(&pair->client, "d").record.insync_count == 2);
	client_ask(&pair->client, WEIR_REQUEST_MASTER_SET, "d", "a");
	client_wait(&pair->client, copies(pair, 2));
}

static void handover_round(struct pair *pair, struct figures *figures)
{
	unsigned count = pair->bench->quick ? HANDOVERS_QUICK : HANDOVERS;

	while (count-- > 0)
		handover(pair, &figures->handover_ms);
}

static void rows(const struct bench *bench, const struct figures *figures)
{
	const struct bench_row list[] = {
		{"raw_ping_p50", &figures->raw_p50, "us", NULL, NULL, {0}},
		{"raw_ping_p99", &figures->raw_p99, "us", NULL, NULL, {0}},
		{"raw_1500_byte_frames", &figures->raw_rate, "MB/s", NULL, NULL, {0}},
		{"add_insync", &figures->insync, "M/s", &figures->local, "add_local",
			{BENCH_VALUE_LEAST, 3}},
		{"add_insync_master_cpu", &figures->near_cpu, "ns", NULL, NULL, {0}},
		{"add_insync_backup_cpu", &figures->far_cpu, "ns", NULL, NULL, {0}},
		{"add_insync_one_p50", &figures->p50, "us", &figures->raw_p50, "raw_ping_p50",
			{BENCH_RATIO_MOST, 2}},
		{"add_insync_one_p99", &figures->p99, "us", &figures->raw_p99, "raw_ping_p99",
			{BENCH_RATIO_MOST, 5}},
		{"wire_bytes_a_change", &figures->bytes, "B", NULL, NULL, {BENCH_VALUE_MOST, 250}},
		{"join_empty_backup", &figures->join_s, "s", NULL, NULL, {0}},
		{"sync_empty_backup", &figures->sync_s, "s", NULL, NULL, {BENCH_VALUE_MOST, 0.6}},
		{"sync_empty_backup_bytes", &figures->sync_rate, "MB/s", &figures->raw_rate,
			"raw_1500_byte_frames", {BENCH_RATIO_LEAST, 0.6}},
		{"handover_silence", &figures->handover_ms, "ms", NULL, NULL,
			{BENCH_VALUE_MOST, 20}},
	};

	for (unsigned i = 0; i < sizeof(list) / sizeof(list[0]); i++)
		bench_print(bench, &list[i]);
}

static void measure(struct pair *pair)
{
	static struct figures figures;
	const struct bench *bench = pair->bench;
	uint64_t *ns = calloc(latencies_count(bench), sizeof(*ns));

	bench_check(bench, ns != NULL);
	if (bench->cpus_count < 3)
		bench_say(bench, "fewer than 3 CPUs: the client shares one with a worker");
	node_open(pair, 0);
	peer(pair, PEER_OPEN);
	client_open(&pair->client, &pair->homes[0]);
	client_company(&pair->client, 2);
	client_device(&pair->client, "d", 2);
	/* A copy may be in sync before its node knows the device's name. */
	client_wait(&pair->client, peer(pair, PEER_FLOWS) == 0);
	writes_round(pair, &figures); /* for warmth */
	figures = (struct figures){0};
	for (unsigned round = 0; round < bench->rounds; round++) {
		raw_round(pair, ns, &figures.raw_p50, &figures.raw_p99, &figures.raw_rate);
		client_purge(&pair->client, "d");
		writes_round(pair, &figures);
		singles_round(pair, &figures, ns);
		sync_round(pair, &figures);
		handover_round(pair, &figures);
	}
	rows(bench, &figures);
	client_close(&pair->client);
	home_close(&pair->homes[0]);
	free(ns);
}

static void flows_make(struct pair *pair)
{
	pair->flows = malloc(pair->bench->flows * sizeof(*pair->flows));
	bench_check(pair->bench, pair->flows != NULL);
	for (uint64_t i = 0; i < pair->bench->flows; i++)
		flow_make(&pair->flows[i], i);
}

static unsigned memory_mb(const struct bench *bench, unsigned nodes)
{
	return (unsigned)(POOL_MB + 32 + nodes * bench->flows * 220 / 1000000);
}

/* ------------------------------------------------------------------------------- one process ---
 */

void pair_run(const struct bench *bench)
{
	struct pair pair = {.bench = bench, .to = -1, .from = -1};

	bench_eal_start(bench, memory_mb(bench, 2), NULL);
	pair.pool = ports_pool(bench, POOL_MBUFS);
	ports_join(bench, pair.pool, "link", pair.port_ids);
	ports_join(bench, pair.pool, "raw", pair.raw_ids);
	pair.office = office_create();
	flows_make(&pair);
	measure(&pair);
	peer(&pair, PEER_LEAVE);
	office_destroy(pair.office);
	free(pair.flows);
}

/* ----------------------------------------------------------------------------- two processes ---
 */

/** Two memif ports to the other process: one for the nodes, one for raw frames. */
static bool memif_open(struct pair *pair, unsigned side)
{
	static char ports[2][160];
	const char *arguments[] = {ports[0], ports[1], NULL};
	uint16_t *ids[2] = {&pair->port_ids[side], &pair->raw_ids[side]};

	for (unsigned i = 0; i < 2; i++)
		snprintf(ports[i], sizeof(ports[i]),
			"--vdev=net_memif%u,role=%s,id=%u,socket-abstract=no,socket=%s/"
			"memif%u.sock",
			i, side == 0 ? "server" : "client", i, pair->bench->folder, i);
	bench_eal_start(pair->bench, memory_mb(pair->bench, 1), arguments);
	pair->pool = ports_pool(pair->bench, POOL_MBUFS);
	for (unsigned i = 0; i < 2; i++) {
		char name[] = {'n', 'e', 't', '_', 'm', 'e', 'm', 'i', 'f', (char)('0' + i), 0};

		if (rte_eth_dev_get_port_by_name(name, ids[i]) != 0)
			return false;
		ports_start(pair->bench, pair->pool, *ids[i]);
	}
	return true;
}

/** Until both ports are joined; the client's side has to begin again and again. */
static void memif_join(struct pair *pair, unsigned side)
{
	const uint16_t ids[2] = {pair->port_ids[side], pair->raw_ids[side]};
	struct rte_eth_link link;

	for (unsigned i = 0; i < 2; i++) {
		for (unsigned ms = 1;; ms++) {
			bench_check(pair->bench, rte_eth_link_get_nowait(ids[i], &link) == 0);
			if (link.link_status == RTE_ETH_LINK_UP)
				break;
			bench_check(pair->bench, ms < LINK_PATIENCE_MS);
			if (side == 1 && ms % LINK_RETRY_MS == 0) {
				rte_eth_dev_stop(ids[i]);
				rte_eth_dev_start(ids[i]);
			}
			usleep(1000);
		}
	}
}

/** The far process: waits for its ports' server, then does what it is told until its end. */
static void far_run(struct pair *pair, int from, int to)
{
	uint64_t result = 0;
	char command;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (read(from, &command, 1) != 1 || command != PEER_JOIN)
		_exit(0);
	bench_check(pair->bench, memif_open(pair, 1));
	memif_join(pair, 1);
	while (read(from, &command, 1) == 1 && command != PEER_END) {
		result = obey(pair, (enum command)command);
		bench_check(pair->bench, write(to, &result, sizeof(result)) == sizeof(result));
	}
	exit(0);
}

static pid_t far_begin(struct pair *pair)
{
	int there[2], back[2];
	pid_t child;

	bench_check(pair->bench, pipe(there) == 0 && pipe(back) == 0);
	child = fork();
	bench_check(pair->bench, child >= 0);
	if (child == 0) {
		close(there[1]);
		close(back[0]);
		far_run(pair, there[0], back[1]);
	}
	close(there[0]);
	close(back[1]);
	pair->to = there[1];
	pair->from = back[0];
	return child;
}

static void far_tell(struct pair *pair, enum command command)
{
	char byte = (char)command;

	bench_check(pair->bench, write(pair->to, &byte, 1) == 1);
}

/** Nobody polls any more: memif does not bear the end of a process whose peer polls. */
static void far_end(struct pair *pair, pid_t child)
{
	int status = 0;

	peer(pair, PEER_LEAVE);
	far_tell(pair, PEER_END);
	bench_check(pair->bench, waitpid(child, &status, 0) == child && status == 0);
}

void memif_run(const struct bench *bench)
{
	struct pair pair = {.bench = bench, .to = -1, .from = -1};
	struct redis redis;
	pid_t child;

	if (!redis_open(&redis, bench, BENCH_CPUS_MAX)) {
		bench_skip(bench, "no redis-server to coordinate two processes");
		return;
	}
	pair.redis = redis.socket;
	child = far_begin(&pair);
	if (memif_open(&pair, 0)) {
		far_tell(&pair, PEER_JOIN);
		memif_join(&pair, 0);
		flows_make(&pair);
		measure(&pair);
		far_end(&pair, child);
		free(pair.flows);
	} else {
		bench_skip(bench, "the EAL has no net_memif");
		far_tell(&pair, PEER_END);
		waitpid(child, NULL, 0);
	}
	redis_close(&redis);
}
