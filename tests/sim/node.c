/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A process as lib/store makes it of its rooms: the control core publishes, workers take notice
 * in their turns, in the order of lib/store/worker.c.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "table/table.h"

#define WALL_NS      (1700000000ULL * WEIR_NS_PER_S)
#define MEMORY_BYTES (256ULL << 20)
#define PENDING_MAX  1024 /**< more than clients can have under way and copies can lag by */

/** One effect leaves the process, or it has died before. */
bool sim_effect(struct sim_node *node)
{
	if (node->dying)
		return false;
	if (node->doom == 0 || --node->doom > 0)
		return true;
	node->dying = true;
	return false;
}

uint64_t sim_node_paused(const struct sim_node *node)
{
	return node->paused_ns > node->sim->now_ns ? node->paused_ns : 0;
}

void sim_node_pause(struct sim_node *node, uint64_t until_ns)
{
	node->paused_ns = until_ns;
	if (until_ns > node->unpaused_ns)
		node->unpaused_ns = until_ns;
}

/** Whom this node's tenure means by a number, also one that has never lived in its time. */
unsigned sim_node_by_peer(const struct sim_node *node, unsigned peer)
{
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(node->tenure, &count);

	weir_assert(peer < count);
	return (unsigned)sim_node_number(nodes[peer].id);
}

/* ------------------------------------------------------------------------------ effects --- */

static unsigned reached(const struct sim_worker *worker, unsigned peer, unsigned channel)
{
	return sim_twins_reached(worker, worker->node->node_of[peer], channel);
}

static void on_send(void *ctx, unsigned peer, unsigned channel, const void *bytes, size_t len)
{
	struct sim_worker *worker = ctx;

	if (!sim_effect(worker->node))
		return;
	sim_watch_said(worker, peer, bytes, len);
	sim_net_send(worker, reached(worker, peer, channel), channel, bytes, len);
}

static size_t on_room(void *ctx, unsigned peer, unsigned channel)
{
	struct sim_worker *worker = ctx;

	return sim_net_room(worker, reached(worker, peer, channel), channel);
}

static void on_answer(void *ctx, struct weir_task *task)
{
	struct sim_worker *worker = ctx;

	if (sim_effect(worker->node))
		sim_client_answer(worker, task);
}

static uint64_t report_delay(struct sim *sim)
{
	if (!sim->calm && sim->plan.report_tail_ns != 0 && sim_chance(sim, 300000))
		return sim_between(sim, SIM_US(5), sim->plan.report_tail_ns);
	return sim_between(sim, SIM_US(5), SIM_US(200));
}

static void settle_watch(struct sim_worker *worker, const struct weir_report *report)
{
	struct sim_node *node = worker->node;
	unsigned device = (unsigned)sim_device_by_key(node->sim, report->device_key);

	sim_watch_settled(node, device, worker->number, report->term);
	sim_watch_settle(worker, device, report->term);
}

static void on_report(void *ctx, const struct weir_report *report)
{
	static const char *const names[] = {"SETTLED", "CAUGHT_UP", "LAGGING", "DEPOSED"};
	struct sim_worker *worker = ctx;
	struct sim_node *node = worker->node;
	struct sim *sim = node->sim;
	uint64_t due_ns = sim->now_ns + report_delay(sim);

	if (!sim_effect(node))
		return;
	sim_note(sim, "%s d%lu n%lu.%lu term %lu attempt %lu of n%lu", names[report->kind],
		(uint64_t)sim_device_by_key(sim, report->device_key), node->number, worker->number,
		report->term, report->attempt,
		report->peer < WEIR_NODES_MAX ? node->node_of[report->peer] : 99);
	if (report->kind == WEIR_REPORT_SETTLED)
		settle_watch(worker, report);
	if (node->reports_count == node->reports_room) {
		node->reports_room = node->reports_room == 0 ? 64 : 2 * node->reports_room;
		node->reports =
			realloc(node->reports, node->reports_room * sizeof(node->reports[0]));
		weir_assert(node->reports != NULL);
	}
	worker->report_ns = due_ns > worker->report_ns ? due_ns : worker->report_ns;
	node->reports[node->reports_count++] =
		(struct sim_report){.due_ns = worker->report_ns, .report = *report};
	sim_node_control_wake(node, worker->report_ns);
}

static struct weir_table *on_table(void *ctx, uint64_t device_key)
{
	struct sim_worker *worker = ctx;
	struct sim_node *node = worker->node;

	int device = sim_device_by_key(node->sim, device_key);

	if (device < 0)
		return NULL;
	if (node->tables[device] == NULL)
		node->tables[device] = weir_table_create();
	return node->tables[device];
}

static void on_reset(void *ctx, unsigned peer, unsigned channel)
{
	struct sim_worker *worker = ctx;
	struct sim_node *node = worker->node;
	unsigned other = node->node_of[peer];

	(void)channel;
	if (!sim_effect(node))
		return;
	sim_note(node->sim, "%sn%lu.%lu ends its sessions with n%lu", "", node->number,
		worker->number, other, 0, 0, 0);
	for (unsigned i = 0; i < worker->ends_count; i++)
		if (worker->ends[i]->other->worker->node->name == other) {
			sim_net_close(worker->ends[i]);
			sim_net_look_soon(worker->ends[i]->pair);
		}
}

static const struct weir_replica_ops replica_ops = {
	.send = on_send,
	.room = on_room,
	.answer = on_answer,
	.report = on_report,
	.table = on_table,
	.reset = on_reset,
};

/* ------------------------------------------------------------------------- control core --- */

static void tenure_ask(void *ctx, const struct weir_coord_request *request)
{
	struct sim_node *node = ctx;

	if (sim_effect(node))
		sim_coord_ask(node, request);
}

static void tell_workers(struct sim_node *node, unsigned device)
{
	struct sim *sim = node->sim;

	for (unsigned i = 0; i < node->workers_count; i++) {
		struct sim_worker *worker = &node->workers[i];

		if (node->standing[device].told & 1U << i)
			continue;
		node->standing[device].told |= 1U << i;
		worker->ring[worker->ring_count++] = (uint8_t)device;
		sim_node_wake(worker, sim->now_ns + sim_between(sim, SIM_US(1), SIM_US(500)));
	}
}

static void note_view(struct sim_node *node, unsigned device, const struct weir_view *view)
{
	uint64_t insync = view->self_insync ? 1U << node->number : 0;

	for (unsigned i = 0; i < view->members_count; i++)
		if (view->members[i].insync)
			insync |= 1ULL << sim_node_by_peer(node, view->members[i].peer);
	sim_note(node->sim, "%s n%lu d%lu: view of term %lu active %lu revision %lu insync %lx",
		weir_role_name(view->role), node->number, device, view->term, view->active,
		view->revision, insync);
}

static void tenure_view(void *ctx, const struct weir_view *view, const struct weir_record *record)
{
	struct sim_node *node = ctx;
	int device = sim_device_number(node->sim, record->device);
	struct sim_standing *standing;

	if (device < 0 || !sim_effect(node))
		return;
	standing = &node->standing[device];
	if (standing->known && view->term < standing->view.term)
		sim_fail(node->sim, "n%u d%d: term goes back from %lu to %lu", node->number, device,
			standing->view.term, view->term);
	note_view(node, (unsigned)device, view);
	if (view->let_go && !node->sim->plan.lossy)
		sim_watch_let_go(node, (unsigned)device, record);
	if (view->let_go)
		node->sim->marred[device][node->number] = 0;
	sim_watch_attempts(node, (unsigned)device, view);
	standing->known = true;
	standing->view = *view;
	standing->record = *record;
	tell_workers(node, (unsigned)device);
	sim_check_masters(node->sim, (unsigned)device);
}

static void company_publish(struct sim_node *node)
{
	node->company_version++;
	for (unsigned i = 0; i < node->workers_count; i++)
		sim_node_wake(&node->workers[i],
			node->sim->now_ns + sim_between(node->sim, SIM_US(1), SIM_US(500)));
}

static void tenure_peer(void *ctx, unsigned peer, const struct weir_node *other)
{
	struct sim_node *node = ctx;
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(node->tenure, &count);
	int number = sim_node_number(nodes[peer].id);

	if (peer == 0 || !sim_effect(node))
		return;
	node->node_of[peer] = (uint8_t)number;
	for (unsigned i = 0; i < node->sim->plan.processes; i++) {
		if (node->sim->nodes[i].name != (unsigned)number)
			continue;
		node->peer_of[i] = (uint8_t)peer;
		node->met[i] = other != NULL ? other->incarnation : 0;
	}
	sim_note(node->sim, "%sn%lu: n%lu is incarnation %lu", "", node->number, (uint64_t)number,
		node->met[number], 0, 0, 0);
	company_publish(node);
}

static void tenure_lease(void *ctx, uint64_t until_ns)
{
	struct sim_node *node = ctx;

	if (!sim_effect(node))
		return;
	if (until_ns == 0)
		sim_note(node->sim, "%sn%lu gives up its lease", "", node->number, 0, 0, 0, 0, 0);
	sim_watch_lease(node, until_ns);
	node->lease_ns = until_ns;
	for (unsigned i = 0; i < node->sim->plan.devices; i++)
		sim_check_masters(node->sim, i);
}

static void tenure_reply(void *ctx, uint64_t ticket, int err, const struct weir_record *record)
{
	struct sim_node *node = ctx;

	node->operators--;
	if (sim_effect(node))
		sim_note(node->sim, "%s is the answer to the operator's request %lu at n%lu",
			err == 0 ? "OK" : weir_err_code(err), ticket, node->number, 0, 0, 0, 0);
}

static void tenure_event(void *ctx, const struct weir_tenure_event *event)
{
	struct sim_node *node = ctx;

	if (!sim_effect(node) || event->record == NULL)
		return;
	sim_note(node->sim, "%s at n%lu: term %lu", weir_tenure_event_name(event->kind),
		node->number, event->record->term, 0, 0, 0, 0);
}

static void tenure_refused(void *ctx, const char *sentence)
{
	struct sim_node *node = ctx;

	sim_note(node->sim, "%s: n%lu ends", "refused", node->number, 0, 0, 0, 0, 0);
	node->dying = true;
}

static void tenure_left(void *ctx)
{
	struct sim_node *node = ctx;

	sim_note(node->sim, "%s: n%lu ends", "left", node->number, 0, 0, 0, 0, 0);
	node->dying = true;
}

static const struct weir_tenure_ops tenure_ops = {
	.ask = tenure_ask,
	.view = tenure_view,
	.peer = tenure_peer,
	.lease = tenure_lease,
	.reply = tenure_reply,
	.event = tenure_event,
	.refused = tenure_refused,
	.left = tenure_left,
};

void sim_node_control_wake(struct sim_node *node, uint64_t at_ns)
{
	if (at_ns >= node->control_ns)
		return;
	node->control_ns = at_ns;
	node->control_seq = sim_push(node->sim, SIM_CONTROL, at_ns, node->number, 0, NULL);
}

static uint64_t control_paused(const struct sim_node *node)
{
	uint64_t until_ns = node->paused_ns > node->control_paused_ns ? node->paused_ns
								      : node->control_paused_ns;

	return until_ns > node->sim->now_ns ? until_ns : 0;
}

static void report_take(struct sim_node *node, const struct weir_report *report)
{
	struct sim_heard before = sim_watch_hearing(node, report);

	weir_tenure_report(node->tenure, report, node->sim->now_ns);
	sim_watch_heard(node, report, &before);
}

static void reports_take(struct sim_node *node)
{
	unsigned count = node->reports_count, kept = 0;

	for (unsigned i = 0; i < count && !node->dying; i++) {
		struct sim_report *report = &node->reports[i];

		if (report->due_ns <= node->sim->now_ns) {
			report_take(node, &report->report);
			continue;
		}
		sim_node_control_wake(node, report->due_ns);
		node->reports[kept++] = *report;
	}
	node->reports_count = kept;
}

/* After all that happens on the control core, as lib/store does: timer, company. */
static void control_end(struct sim_node *node)
{
	struct sim *sim = node->sim;
	uint64_t incarnation, next_ns;

	if (!node->dying) {
		incarnation = weir_tenure_incarnation(node->tenure);
		if (incarnation != node->incarnation) {
			node->incarnation = incarnation;
			if (incarnation != 0)
				node->mine[node->mine_count++ % SIM_LIVES] = incarnation;
			company_publish(node);
		}
		next_ns = weir_tenure_tick(node->tenure, sim->now_ns);
		if (next_ns < sim->now_ns + SIM_US(1))
			next_ns = sim->now_ns + SIM_US(1);
		if (next_ns != UINT64_MAX)
			sim_node_control_wake(node, next_ns + sim_below(sim, SIM_US(1000)));
	}
	if (node->dying)
		sim_node_death(node);
}

void sim_node_control(struct sim_node *node)
{
	uint64_t paused_ns = control_paused(node);

	node->control_ns = SIM_NEVER;
	if (paused_ns != 0) {
		sim_node_control_wake(node, paused_ns);
		return;
	}
	reports_take(node);
	control_end(node);
}

void sim_node_answer(struct sim_node *node, struct sim_request *request)
{
	struct sim *sim = node->sim;
	uint64_t paused_ns = control_paused(node);

	if (paused_ns != 0) {
		request->refs++;
		sim_push(sim, SIM_ANSWER, paused_ns + sim_below(sim, SIM_MS(1)), node->number, 0,
			request);
		return;
	}
	if (request->told.kind == WEIR_COORD_RENEW && request->told.err == 0)
		sim_watch_renewed(node, request->told.run);
	weir_tenure_answer(node->tenure, &request->told, sim->now_ns);
	control_end(node);
}

void sim_node_hint(struct sim_node *node)
{
	if (control_paused(node) != 0)
		return;
	weir_tenure_hint(node->tenure, node->sim->now_ns);
	control_end(node);
}

/* ------------------------------------------------------------------------------- worker --- */

void sim_node_wake(struct sim_worker *worker, uint64_t at_ns)
{
	if (at_ns >= worker->turn_ns || worker->replica == NULL)
		return;
	worker->turn_ns = at_ns;
	worker->turn_seq = sim_push(
		worker->node->sim, SIM_TURN, at_ns, worker->node->number, worker->number, NULL);
}

static void tasks_take(struct sim_worker *worker)
{
	struct sim_node *node = worker->node;

	while (worker->tasks != NULL && !node->dying) {
		struct weir_task *task = worker->tasks;

		worker->tasks = task->next;
		if (worker->tasks == NULL)
			worker->tasks_tail = &worker->tasks;
		worker->at_hand = task->owner;
		weir_replica_task(worker->replica, task);
		worker->at_hand = NULL;
		sim_watch_given(worker, task->owner);
		sim_sundry_seen(node->sim, node, task->owner);
	}
}

/* As a node in a new life, this worker has other sessions. */
static void link_make(struct sim_worker *worker)
{
	for (unsigned i = 0; i < worker->ends_count; i++)
		sim_net_close(worker->ends[i]);
	sim_net_tell(worker);
	memset(worker->met, 0, sizeof(worker->met));
	worker->incarnation = worker->node->incarnation;
}

static void peers_meet(struct sim_worker *worker)
{
	for (unsigned i = 0; i < worker->ends_count; i++) {
		struct sim_end *end = worker->ends[i];
		unsigned other = end->other->worker->node->number;

		if (worker->met[other] != worker->node->met[other])
			sim_net_close(end);
		sim_net_look_soon(end->pair);
	}
	memcpy(worker->met, worker->node->met, sizeof(worker->met));
}

static void company_take(struct sim_worker *worker)
{
	worker->company_version = worker->node->company_version;
	if (worker->node->incarnation == 0)
		return;
	if (worker->incarnation != worker->node->incarnation)
		link_make(worker);
	peers_meet(worker);
}

static void news_take(struct sim_worker *worker)
{
	worker->lease_ns =
		weir_replica_lease(worker->replica, worker->node->lease_ns, worker->ring_count > 0);
	if (worker->company_version != worker->node->company_version)
		company_take(worker);
}

/*
 * The control core publishes while the worker is in its turn: the views that it takes at its end
 * are newer than the lease and the company that it looked at in the beginning.
 */
static bool is_torn(struct sim_worker *worker)
{
	worker->torn = !worker->torn && worker->ring_count > 0 &&
		       sim_chance(worker->node->sim, worker->node->sim->plan.torn_ppm);
	return worker->torn;
}

static void standings_take(struct sim_worker *worker)
{
	struct sim_node *node = worker->node;

	for (unsigned i = 0; i < worker->ring_count && !node->dying; i++) {
		node->standing[worker->ring[i]].told &= ~(1U << worker->number);
		sim_watch_view(worker, worker->ring[i]);
	}
	worker->ring_count = 0;
}

static void turn_again(struct sim_worker *worker, unsigned done)
{
	struct sim *sim = worker->node->sim;
	uint64_t next_ns = sim_net_next(worker);
	uint64_t idle_ns = done > 0 ? sim_between(sim, SIM_US(20), SIM_US(1000))
				    : sim_between(sim, sim->plan.idle_ns / 2, sim->plan.idle_ns);

	if (next_ns <= sim->now_ns)
		next_ns = sim->now_ns + SIM_US(1);
	sim_node_wake(worker, next_ns < sim->now_ns + idle_ns ? next_ns : sim->now_ns + idle_ns);
}

void sim_node_turn(struct sim_worker *worker)
{
	struct sim_node *node = worker->node;
	struct sim *sim = node->sim;
	uint64_t paused_ns =
		node->paused_ns > worker->paused_ns ? node->paused_ns : worker->paused_ns;
	unsigned done;

	worker->turn_ns = SIM_NEVER;
	if (paused_ns > sim->now_ns) {
		sim_node_wake(worker, paused_ns + sim_below(sim, SIM_US(100)));
		return;
	}
	weir_replica_time(worker->replica, sim->now_ns,
		(uint64_t)((int64_t)(WALL_NS + sim->now_ns) + node->wall_shift_ns));
	if (!is_torn(worker))
		news_take(worker);
	sim_net_tell(worker);
	done = sim_net_deliver(worker);
	tasks_take(worker);
	standings_take(worker);
	done += weir_replica_turn(worker->replica);
	weir_mem_turn(worker->mem, done == 0);
	if (node->dying)
		sim_node_death(node);
	else
		turn_again(worker, done);
}

/* ------------------------------------------------------------------------ birth and death --- */

static void worker_birth(struct sim_worker *worker)
{
	const struct sim_plan *plan = &worker->node->sim->plan;
	struct weir_replica_conf conf = {
		.worker = worker->number,
		.workers_count = worker->node->workers_count,
		.insync_timeout_ns = plan->insync_timeout_ns,
		.anti_entropy_ns = plan->anti_entropy_ns,
		.backup_period_ns = plan->backup_period_ns,
		.pending_max = PENDING_MAX,
	};

	worker->turn_ns = SIM_NEVER;
	worker->paused_ns = worker->report_ns = 0;
	worker->lease_ns = 0;
	worker->company_version = 0;
	worker->incarnation = 0;
	memset(worker->met, 0, sizeof(worker->met));
	worker->tasks = NULL;
	worker->tasks_tail = &worker->tasks;
	worker->ring_count = 0;
	worker->mem = weir_mem_create(&weir_mem_heap, MEMORY_BYTES);
	weir_assert(worker->mem != NULL);
	conf.mem = worker->mem;
	worker->replica = weir_replica_create(&conf, &replica_ops, worker);
	weir_assert(worker->replica != NULL);
	sim_node_wake(worker, worker->node->sim->now_ns);
}

static void tenure_birth(struct sim_node *node)
{
	const struct sim_plan *plan = &node->sim->plan;
	struct weir_tenure_conf conf = {
		.self = {.ipv4 = 1 + node->number,
			.udp_port = 7000,
			.workers_count = (uint8_t)node->workers_count,
			.protocol = 1},
		.workers_count = node->workers_count,
		.backup_count = plan->backup_count,
		.lease_ms = plan->lease_ms,
		.join_grace_ms = plan->join_grace_ms,
		.leave_timeout_ms = 800,
		.unclean_takeover = plan->unclean,
	};

	memcpy(conf.self.id, node->id, sizeof(conf.self.id));
	node->tenure = weir_tenure_create(&conf, &tenure_ops, node, node->sim->now_ns);
	weir_assert(node->tenure != NULL);
}

void sim_node_birth(struct sim_node *node)
{
	/* In the end one process is left to each name. */
	if (node->alive || (node->sim->calm && sim_twins_runs(node)))
		return;
	if (node->sim->plan.regrow && node->life > 0)
		node->workers_count =
			1U << sim_below(
				node->sim, 1 + (unsigned)__builtin_ctz(
						       node->sim->plan.workers_most[node->number]));
	sim_note(node->sim, "%sn%lu is born, life %lu, with %lu workers", "", node->number,
		node->life + 1, node->workers_count, 0, 0, 0);
	node->alive = true;
	node->dying = node->leaving = false;
	node->life++;
	node->doom = 0;
	node->paused_ns = node->control_paused_ns = 0;
	node->control_ns = SIM_NEVER;
	node->reports_count = 0;
	node->lease_ns = 0;
	node->company_version = 1;
	node->incarnation = 0;
	node->conn++;
	memset(node->met, 0, sizeof(node->met));
	memset(node->standing, 0, sizeof(node->standing));
	memset(node->tables, 0, sizeof(node->tables));
	node->mine_count = 0;
	node->run = node->other_run_ns = 0;
	node->operators = 0;
	memset(node->deposed, 0, sizeof(node->deposed));
	memset(node->settled, 0, sizeof(node->settled));
	memset(node->seen, 0, sizeof(node->seen));
	for (unsigned i = 0; i < node->workers_count; i++)
		worker_birth(&node->workers[i]);
	tenure_birth(node);
	sim_node_control_wake(node, node->sim->now_ns);
}

static void worker_death(struct sim_worker *worker)
{
	struct weir_replica_stats stats;

	weir_replica_stats(worker->replica, &stats);
	worker->node->sim->stats.found += stats.corruptions;
	weir_replica_destroy(worker->replica);
	weir_mem_destroy(worker->mem);
	worker->replica = NULL;
	worker->incarnation = 0;
	for (unsigned i = 0; i < worker->ends_count; i++) {
		sim_net_close(worker->ends[i]);
		worker->ends[i]->told = 0;
		sim_net_look_soon(worker->ends[i]->pair);
	}
}

static uint64_t time_dead(struct sim *sim)
{
	if (sim->calm)
		return SIM_MS(100);
	if (sim->plan.born_soon)
		return sim_below(sim, SIM_MS(50));
	return sim_below(sim, SIM_MS(3 * sim->plan.lease_ms));
}

/** The process is gone, and all that it knew. Its peers' sessions stand until they learn of it. */
void sim_node_death(struct sim_node *node)
{
	if (!node->alive)
		return;
	sim_note(node->sim, "%sn%lu is dead", "", node->number, 0, 0, 0, 0, 0);
	node->dying = true;
	node->alive = false;
	for (unsigned i = 0; i < node->workers_count; i++)
		worker_death(&node->workers[i]);
	for (unsigned i = 0; i < SIM_DEVICES; i++)
		weir_table_destroy(node->tables[i]);
	memset(node->tables, 0, sizeof(node->tables));
	memset(node->standing, 0, sizeof(node->standing));
	weir_tenure_destroy(node->tenure);
	node->tenure = NULL;
	sim_client_orphan(node);
	sim_watch_death(node->sim);
	if (!node->sim->at_rest && !sim_twins_runs(node))
		sim_push(node->sim, SIM_BIRTH, node->sim->now_ns + time_dead(node->sim),
			node->number, 0, NULL);
}

void sim_node_begin(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		struct sim_node *node = &sim->nodes[i];

		node->sim = sim;
		node->number = i;
		node->name = i < sim->plan.nodes ? i : sim->plan.twin_of;
		node->id[0] = 'n';
		node->id[1] = (char)('1' + node->name);
		node->workers_count = sim->plan.workers[i];
		if (sim->plan.skew_ns != 0)
			node->wall_shift_ns = (int64_t)sim_below(sim, 2 * sim->plan.skew_ns) -
					      (int64_t)sim->plan.skew_ns;
		for (unsigned w = 0; w < sim->plan.workers_most[i]; w++) {
			node->workers[w].turn_ns = SIM_NEVER;
			node->workers[w].node = node;
			node->workers[w].number = w;
		}
	}
}
