/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include <rte_prefetch.h>

#include "store/internal.h"

/* How often a busy worker shows its replica's figures to others. */
#define SHOW_PERIOD_NS (20 * WEIR_NS_PER_MS)

/* A sleep may end so much late, so that the kernel can gather wake-ups. */
#define TIMER_SLACK_NS 2000

/* Cache lines of a task with a rule of middling length: header, rule, match, instructions. */
#define TASK_LINES 4

_Static_assert(WEIR_TURN_TASKS <= WEIR_REPLICA_BURST, "a burst of tasks is handed on whole");

/* ------------------------------------------------------------------------------- effects --- */

static void send_message(void *ctx, unsigned peer, unsigned channel, const void *bytes, size_t len)
{
	struct weir_worker *worker = ctx;
	int err = weir_link_send(worker->link, peer, channel, bytes, len);

	/* A session that has ended takes nothing: the replica hears so from the link's next turn.
	 */
	weir_assert(err == 0 || err == WEIR_UNREACHABLE);
	if (err != 0)
		return;
	weir_count_up(&worker->peers[peer].tx_messages);
	weir_count_add(&worker->peers[peer].tx_bytes, len);
}

static size_t send_room(void *ctx, unsigned peer, unsigned channel)
{
	struct weir_worker *worker = ctx;

	return worker->link != NULL ? weir_link_room(worker->link, peer, channel) : 0;
}

static void answers_pass(struct weir_worker *worker, unsigned gate)
{
	unsigned count = worker->answers_count[gate];

	/* The ring has room for every task that the gate can have: it is never full. */
	weir_assert(rte_ring_enqueue_bulk(worker->store->gates[gate]->done,
			    (void *const *)worker->answers[gate], count, NULL) == count);
	worker->answers_count[gate] = 0;
}

static void answers_flush(struct weir_worker *worker)
{
	for (unsigned gate = 0; gate < WEIR_GATES_MAX; gate++)
		if (worker->answers_count[gate] > 0)
			answers_pass(worker, gate);
}

static void answer(void *ctx, struct weir_task *task)
{
	struct weir_worker *worker = ctx;
	unsigned gate = weir_gate_slot(task)->gate;

	worker->answers[gate][worker->answers_count[gate]++] = task;
	if (worker->answers_count[gate] == WEIR_TASK_BURST)
		answers_pass(worker, gate);
}

static void report(void *ctx, const struct weir_report *report)
{
	weir_worker_report(ctx, report);
}

static struct weir_table *table_of(void *ctx, uint64_t device_key)
{
	struct weir_worker *worker = ctx;
	struct weir_device *device = weir_registry_make(&worker->store->registry, device_key);

	return device != NULL ? device->table : NULL;
}

static void reset(void *ctx, unsigned peer, unsigned channel)
{
	struct weir_worker *worker = ctx;

	(void)channel; /* the link ends all sessions with a peer, or none */
	worker->resets |= 1U << peer;
}

static const struct weir_replica_ops replica_ops = {
	.send = send_message,
	.room = send_room,
	.answer = answer,
	.report = report,
	.table = table_of,
	.reset = reset,
};

/* ------------------------------------------------------------------------- from the link --- */

static void link_message(void *ctx, unsigned peer, unsigned channel, const void *bytes, size_t len)
{
	struct weir_worker *worker = ctx;

	weir_count_up(&worker->peers[peer].rx_messages);
	weir_count_add(&worker->peers[peer].rx_bytes, len);
	weir_replica_message(worker->replica, peer, channel, bytes, len);
}

static void link_up(void *ctx, unsigned peer, unsigned channel, uint64_t incarnation)
{
	struct weir_worker *worker = ctx;

	worker->up[peer] |= 1U << channel;
	weir_count_up(&worker->peers[peer].sessions);
	weir_count_up(&worker->peers[peer].sessions_now);
	weir_replica_up(
		worker->replica, peer, channel, worker->ends[peer].workers_count, incarnation);
}

static void link_down(void *ctx, unsigned peer, unsigned channel)
{
	struct weir_worker *worker = ctx;

	worker->up[peer] &= ~(1U << channel);
	weir_count_add(&worker->peers[peer].sessions_now, UINT64_MAX);
	weir_replica_down(worker->replica, peer, channel);
}

static void link_steer(void *ctx, unsigned other, struct rte_mbuf *frame)
{
	struct weir_worker *worker = ctx;

	weir_worker_steer(worker, other, frame);
}

static const struct weir_link_ops link_ops = {
	.message = link_message,
	.up = link_up,
	.down = link_down,
	.steer = link_steer,
};

/* ------------------------------------------------------------------ from the control core --- */

/* The link goes, what it has counted stays: in one step for those who read it. */
static void link_figures_keep(struct weir_worker *worker)
{
	struct weir_worker_shown *shown = &worker->shown;
	struct weir_link_stats stats;
	uint64_t words[sizeof(stats) / sizeof(uint64_t)];

	weir_link_stats(worker->link, &stats);
	memcpy(words, &stats, sizeof(stats));
	atomic_fetch_add(&shown->lock, 1);
	for (unsigned i = 0; i < RTE_DIM(words); i++)
		atomic_store_explicit(&shown->links_gone[i], shown->links_gone[i] + words[i],
			memory_order_release);
	atomic_store_explicit(&worker->link, NULL, memory_order_release);
	atomic_fetch_add(&shown->lock, 1);
}

/*
 * A node in a new life is another end of the link: its sessions are over. It happens hardly ever,
 * so the worker may wait for whoever reads the link's figures.
 */
static void link_drop(struct weir_worker *worker)
{
	struct weir_link *link = worker->link;

	link_figures_keep(worker);
	weir_rcu_wait();
	for (unsigned peer = 0; peer < WEIR_NODES_MAX; peer++)
		for (unsigned channel = 0; channel < WEIR_WORKERS_MAX; channel++)
			if (worker->up[peer] & (1U << channel))
				link_down(worker, peer, channel);
	memset(worker->met, 0, sizeof(worker->met));
	weir_link_destroy(link);
}

static bool link_make(struct weir_worker *worker, const struct weir_company *company)
{
	const struct weir_store_conf *conf = &worker->store->conf;
	const struct weir_node *self = &conf->tenure.self;
	struct weir_link_conf link_conf = {
		.cluster_key = weir_node_key(conf->cluster),
		.self = {.node_key = weir_node_key(self->id),
			.incarnation = company->incarnation,
			.ipv4 = conf->ipv4,
			.udp_port = conf->udp_port,
			.workers_count = (uint8_t)conf->workers_count},
		.worker = worker->number,
		.port_id = conf->port_id,
		.queue_id = (uint16_t)worker->number,
		.mtu = conf->mtu,
		.pool = conf->pool,
	};
	struct weir_link *link;

	memcpy(link_conf.self.mac, self->mac, sizeof(link_conf.self.mac));
	link = weir_link_create(&link_conf, &link_ops, worker);
	atomic_store_explicit(&worker->link, link, memory_order_release);
	worker->incarnation = company->incarnation;
	return link != NULL;
}

/* @return false: memory is short, to be tried again */
static bool peers_meet(struct weir_worker *worker, const struct weir_company *company)
{
	for (unsigned peer = 1; peer < WEIR_NODES_MAX; peer++) {
		const struct weir_link_end *end = company->met[peer] ? &company->ends[peer] : NULL;

		if (end == NULL && !worker->met[peer])
			continue;
		if (end != NULL)
			worker->ends[peer] = *end;
		if (weir_link_peer_set(worker->link, peer, end) != 0)
			return false;
		worker->met[peer] = end != NULL;
	}
	return true;
}

static void company_take(struct weir_worker *worker)
{
	const struct weir_company *company = weir_company_now(worker->store);

	if (worker->store->conf.port_id != WEIR_NO_PORT && company->incarnation != 0) {
		if (worker->link != NULL && worker->incarnation != company->incarnation)
			link_drop(worker);
		if (worker->link == NULL && !link_make(worker, company)) {
			weir_log(WEIR_ROOM_STORE, WEIR_LOG_ERR,
				"worker %u has no link to its peers: the node stops",
				worker->number);
			weir_store_stop(worker->store);
			worker->company_version = company->version;
			return;
		}
		if (!peers_meet(worker, company))
			return;
	}
	worker->company_version = company->version;
}

/* Peers with whom the replica wants to begin anew. */
static void resets_take(struct weir_worker *worker)
{
	for (; worker->resets != 0; worker->resets &= worker->resets - 1) {
		unsigned peer = (unsigned)__builtin_ctz(worker->resets);

		if (!worker->met[peer])
			continue;
		weir_link_peer_set(worker->link, peer, NULL);
		worker->met[peer] =
			weir_link_peer_set(worker->link, peer, &worker->ends[peer]) == 0;
		if (!worker->met[peer])
			worker->company_version = 0; /* to be met again */
	}
}

static unsigned standings_take(struct weir_worker *worker)
{
	struct weir_device *devices[WEIR_TASK_BURST];
	unsigned count =
		rte_ring_sc_dequeue_burst(worker->devices, (void **)devices, WEIR_TASK_BURST, NULL);

	for (unsigned i = 0; i < count; i++) {
		/* First the mark, then the standing: a newer one than this is told again. */
		atomic_fetch_and(&devices[i]->told, ~(1U << worker->number));
		weir_replica_view(worker->replica, &weir_rcu_load(devices[i]->standing)->view);
	}
	return count;
}

static void news_take(struct weir_worker *worker)
{
	struct weir_store *store = worker->store;
	/* With it comes the sight of all views that were told before it. */
	uint64_t lease_ns = atomic_load_explicit(&store->lease_ns, memory_order_acquire);

	if (lease_ns != worker->lease_ns)
		worker->lease_ns = weir_replica_lease(
			worker->replica, lease_ns, weir_ring_count(worker->devices) > 0);
	if (atomic_load_explicit(&store->company_version, memory_order_acquire) !=
		worker->company_version)
		company_take(worker);
}

/* ----------------------------------------------------------------------------- the turn --- */

static unsigned frames_take(struct weir_worker *worker)
{
	struct rte_mbuf *frames[WEIR_TASK_BURST];
	unsigned count;

	count = rte_ring_sc_dequeue_burst(worker->frames, (void **)frames, WEIR_TASK_BURST, NULL);
	if (count > 0)
		weir_link_receive(worker->link, frames, count, worker->now_ns);
	return count;
}

static void task_prefetch(const struct weir_task *task)
{
	for (unsigned line = 0; line < TASK_LINES; line++)
		rte_prefetch0((const char *)task + line * WEIR_CACHE_LINE);
}

static void ahead_fill(struct weir_worker *worker)
{
	worker->ahead_count = rte_ring_sc_dequeue_burst(
		worker->tasks, (void **)worker->ahead, WEIR_TURN_TASKS, NULL);
	for (unsigned i = 0; i < worker->ahead_count; i++)
		task_prefetch(worker->ahead[i]);
}

/*
 * Who made a task did so on another core: while one burst is executed the lines of the next are on
 * their way. What comes alone is executed at once.
 */
static unsigned tasks_take(struct weir_worker *worker)
{
	struct weir_task *tasks[WEIR_TURN_TASKS];
	unsigned count;

	if (worker->ahead_count == 0)
		ahead_fill(worker);
	count = worker->ahead_count;
	if (count == 0)
		return 0;
	memcpy(tasks, worker->ahead, count * sizeof(tasks[0]));
	ahead_fill(worker);
	weir_replica_tasks(worker->replica, tasks, count);
	return count;
}

/* The one reading a turn ends the turn before as well: what that took is known without another. */
static void clock_take(struct weir_worker *worker)
{
	uint64_t now_ns = weir_clock_ns();

	if (worker->busy)
		weir_count_add(&worker->shown.busy_ns, now_ns - worker->now_ns);
	atomic_store_explicit(
		&worker->shown.run_ns, now_ns - worker->began_ns, memory_order_relaxed);
	worker->now_ns = now_ns;
}

static unsigned turn(struct weir_worker *worker)
{
	unsigned work = 0;

	clock_take(worker);
	weir_replica_time(worker->replica, worker->now_ns, weir_clock_wall_ns());
	/*
	 * First: where a peer has gone, the link tells so as soon as it is polled, before the
	 * replica has anything to send on a session that is no more.
	 */
	news_take(worker);
	if (worker->link != NULL) {
		resets_take(worker);
		work += weir_link_poll(worker->link, worker->now_ns);
		work += frames_take(worker);
	}
	work += tasks_take(worker);
	work += standings_take(worker);
	work += weir_replica_turn(worker->replica);
	if (worker->link != NULL)
		work += weir_link_flush(worker->link, worker->now_ns);
	answers_flush(worker);
	weir_worker_reports_flush(worker);
	return work;
}

/* A sequence lock of one writer; readers try again where they met it. */
static void show(struct weir_worker *worker)
{
	struct weir_worker_shown *shown = &worker->shown;
	struct weir_replica_stats stats;
	uint64_t words[sizeof(stats) / sizeof(uint64_t)];

	weir_replica_stats(worker->replica, &stats);
	memcpy(words, &stats, sizeof(stats));
	atomic_fetch_add(&shown->lock, 1);
	for (unsigned i = 0; i < RTE_DIM(words); i++)
		atomic_store_explicit(&shown->replica[i], words[i], memory_order_release);
	atomic_fetch_add(&shown->lock, 1);
	worker->shown_at_ns = worker->now_ns;
}

static void account(struct weir_worker *worker, unsigned work)
{
	worker->busy = work > 0;
	weir_count_up(&worker->shown.turns);
	if (worker->busy)
		weir_count_up(&worker->shown.busy_turns);
	if (worker->now_ns - worker->shown_at_ns >= SHOW_PERIOD_NS)
		show(worker);
}

static void rest(struct weir_worker *worker)
{
	struct weir_store *store = worker->store;

	weir_idle_rest(&worker->idler, atomic_load_explicit(&store->idle, memory_order_relaxed),
		atomic_load_explicit(&store->idle_sleep_max_us, memory_order_relaxed),
		worker->now_ns, &worker->shown.sleeps);
}

/* While gates are open, what they ask for is still answered by whom it concerns. */
static bool serving(const struct weir_worker *worker)
{
	const struct weir_store *store = worker->store;
	uint64_t stop_by_ns = atomic_load_explicit(&store->stop_by_ns, memory_order_relaxed);

	return stop_by_ns == 0 || (store->gates_open > 0 && worker->now_ns < stop_by_ns);
}

/* ------------------------------------------------------------------------------ its life --- */

void weir_worker_sweep(struct weir_worker *worker)
{
	struct weir_store *store = worker->store;
	struct weir_task *task;

	pthread_mutex_lock(&store->sweep_lock);
	while (rte_ring_sc_dequeue(worker->tasks, (void **)&task) == 0) {
		task->err = WEIR_NOTMASTER;
		weir_assert(rte_ring_enqueue(
				    store->gates[weir_gate_slot(task)->gate]->done, task) == 0);
	}
	pthread_mutex_unlock(&store->sweep_lock);
}

/*
 * The replica answers what is in it; the rest of the tasks is answered by weir_worker_sweep. Link
 * and memory stay until the store is destroyed: others may read their figures.
 */
static void finish(struct weir_worker *worker)
{
	show(worker);
	weir_replica_tasks(worker->replica, worker->ahead, worker->ahead_count);
	weir_replica_destroy(worker->replica);
	worker->replica = NULL;
	answers_flush(worker);
	atomic_store(&worker->store->workers_gone[worker->number], true);
	weir_worker_sweep(worker);
}

int weir_store_worker_run(struct weir_store *store, unsigned number)
{
	struct weir_worker *worker = &store->workers[number];

	weir_assert(number < store->conf.workers_count);
	prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);
	weir_rcu_register();
	worker->began_ns = weir_clock_ns();
	do {
		unsigned work = turn(worker);

		account(worker, work);
		weir_mem_turn(worker->mem, work == 0);
		weir_rcu_quiescent();
		if (work > 0)
			worker->idler.empty_turns = 0;
		else
			rest(worker);
	} while (serving(worker));
	finish(worker);
	weir_rcu_unregister();
	return 0;
}

int weir_worker_init(struct weir_worker *worker, struct weir_store *store, unsigned number)
{
	const struct weir_store_conf *conf = &store->conf;
	struct weir_replica_conf replica_conf = {
		.worker = number,
		.workers_count = conf->workers_count,
		.insync_timeout_ns = conf->insync_timeout_ms * WEIR_NS_PER_MS,
		.anti_entropy_ns = conf->anti_entropy_period_ms * WEIR_NS_PER_MS,
		.backup_period_ns = conf->backup_period_ms * WEIR_NS_PER_MS,
	};

	worker->store = store;
	worker->number = number;
	worker->tasks = weir_ring_create(WEIR_TASK_RING_SIZE, WEIR_RING_MP | RING_F_SC_DEQ);
	worker->devices = weir_ring_create(WEIR_DEVICES_MAX, RING_F_SP_ENQ | RING_F_SC_DEQ);
	worker->frames = weir_ring_create(WEIR_STEER_RING_SIZE, WEIR_RING_MP | RING_F_SC_DEQ);
	worker->reports = weir_ring_create_elem(
		sizeof(struct weir_report), WEIR_REPORT_RING_SIZE, RING_F_SP_ENQ | RING_F_SC_DEQ);
	worker->mem = weir_mem_create(&weir_store_memory, conf->memory_bytes);
	replica_conf.mem = worker->mem;
	if (worker->mem != NULL)
		worker->replica = weir_replica_create(&replica_conf, &replica_ops, worker);
	return worker->replica != NULL && worker->tasks != NULL && worker->devices != NULL &&
			       worker->frames != NULL && worker->reports != NULL
		       ? 0
		       : WEIR_BUSY;
}

void weir_worker_free(struct weir_worker *worker)
{
	if (worker->store == NULL)
		return;
	/* Still there where the worker never ran. */
	if (worker->replica != NULL)
		weir_replica_destroy(worker->replica);
	weir_link_destroy(worker->link);
	weir_mem_destroy(worker->mem);
	weir_worker_frames_drop(worker);
	free(worker->tasks);
	free(worker->devices);
	free(worker->frames);
	free(worker->reports);
	free(worker->late_reports);
}

/* ---------------------------------------------------------------------------- statistics --- */

static void words_read(const _Atomic uint64_t *from, void *to, size_t bytes)
{
	uint64_t *words = to;

	for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
		words[i] = atomic_load_explicit(&from[i], memory_order_acquire);
}

/* What the link counts now and those before it have counted. */
static void read_link(const struct weir_worker *worker, struct weir_link_stats *stats)
{
	const struct weir_link *link = atomic_load_explicit(&worker->link, memory_order_acquire);
	uint64_t now[sizeof(*stats) / sizeof(uint64_t)] = {0}, sum[RTE_DIM(now)];
	struct weir_link_stats of_link;

	words_read(worker->shown.links_gone, sum, sizeof(sum));
	if (link != NULL) {
		weir_link_stats(link, &of_link);
		memcpy(now, &of_link, sizeof(now));
	}
	for (unsigned i = 0; i < RTE_DIM(sum); i++)
		sum[i] += now[i];
	memcpy(stats, sum, sizeof(*stats));
}

static void read_shown(const struct weir_worker *worker, struct weir_worker_stats *stats)
{
	const struct weir_worker_shown *shown = &worker->shown;
	uint32_t before;

	do {
		before = atomic_load(&shown->lock);
		words_read(shown->replica, &stats->replica, sizeof(stats->replica));
		read_link(worker, &stats->link);
	} while (before % 2 != 0 || before != atomic_load(&shown->lock));
}

void weir_store_worker_stats(
	const struct weir_store *store, unsigned number, struct weir_worker_stats *stats)
{
	const struct weir_worker *worker = &store->workers[number];
	const struct weir_worker_shown *shown = &worker->shown;

	weir_assert(number < store->conf.workers_count);
	memset(stats, 0, sizeof(*stats));
	stats->turns = atomic_load_explicit(&shown->turns, memory_order_relaxed);
	stats->busy_turns = atomic_load_explicit(&shown->busy_turns, memory_order_relaxed);
	stats->sleeps = atomic_load_explicit(&shown->sleeps, memory_order_relaxed);
	stats->run_ns = atomic_load_explicit(&shown->run_ns, memory_order_relaxed);
	stats->busy_ns = atomic_load_explicit(&shown->busy_ns, memory_order_relaxed);
	stats->steer_drops = atomic_load_explicit(&shown->steer_drops, memory_order_relaxed);
	stats->waiting_now = weir_ring_count(worker->tasks);
	read_shown(worker, stats);
	weir_mem_stats(worker->mem, &stats->mem);
}
