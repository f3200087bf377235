/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two processes under one name: a node that was started twice, or one that takes the place of a
 * node that is cut off, slow or stands still, and goes on later. Each has its own memory, workers,
 * clients and network end. The second stands behind the nodes in sim->nodes, with the name of one
 * of them; which process a copy or a session belongs to is told by the incarnation.
 */
#include <string.h>

#include "sim.h"

/** One node of the plan may run twice. */
void sim_twins_plan(struct sim *sim, struct sim_plan *plan)
{
	unsigned twin = plan->nodes;

	plan->twin_of = (unsigned)sim_below(sim, plan->nodes);
	plan->processes = plan->nodes + 1;
	plan->workers[twin] = plan->workers[plan->twin_of];
	if (sim_chance(sim, 300000))
		plan->workers[twin] = 1U << sim_below(sim, 3);
	plan->workers_most[twin] = plan->workers[twin];
	if (plan->regrow) {
		plan->workers_most[twin] = plan->workers_most[plan->twin_of];
		if (plan->workers[twin] > plan->workers_most[twin])
			plan->workers[twin] = plan->workers_most[twin];
	}
}

void sim_twins_begin(struct sim *sim)
{
	if (sim->plan.processes > sim->plan.nodes)
		sim_push(sim, SIM_TWIN,
			sim->now_ns + SIM_MS(sim->plan.lease_ms) +
				sim_below(sim, sim->plan.length_ns / 2),
			0, 0, NULL);
}

static struct sim_node *other_of(const struct sim_node *node)
{
	struct sim *sim = node->sim;

	if (sim->plan.processes == sim->plan.nodes || node->name != sim->plan.twin_of)
		return NULL;
	return &sim->nodes[node->number == node->name ? sim->plan.nodes : node->name];
}

/** Whether another process runs under this name. */
bool sim_twins_runs(const struct sim_node *node)
{
	const struct sim_node *other = other_of(node);

	return other != NULL && other->alive;
}

static bool was(const struct sim_node *node, uint64_t incarnation)
{
	unsigned count = node->mine_count < SIM_LIVES ? node->mine_count : SIM_LIVES;

	for (unsigned i = 0; i < count; i++)
		if (node->mine[i] == incarnation)
			return true;
	return false;
}

/** The process that has been this copy, whatever its lease; NULL: it does not live. */
struct sim_node *sim_twins_holder(const struct sim *sim, const struct weir_copy *copy)
{
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		const struct sim_node *node = &sim->nodes[i];

		if (node->alive && !node->dying && strcmp(node->id, copy->node) == 0 &&
			was(node, copy->incarnation))
			return (struct sim_node *)node;
	}
	return NULL;
}

/** The process that is registered as this copy; NULL: none. */
struct sim_node *sim_twins_now(const struct sim *sim, const struct weir_copy *copy)
{
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		const struct sim_node *node = &sim->nodes[i];

		if (node->alive && strcmp(node->id, copy->node) == 0 &&
			weir_tenure_incarnation(node->tenure) == copy->incarnation)
			return (struct sim_node *)node;
	}
	return NULL;
}

/** Whom a client reaches under a name. */
unsigned sim_twins_any(struct sim *sim, unsigned name)
{
	const struct sim_node *other = other_of(&sim->nodes[name]);

	return other != NULL && other->alive && sim_chance(sim, 500000) ? other->number : name;
}

/** With which process of that name this worker has its session. */
unsigned sim_twins_reached(const struct sim_worker *worker, unsigned name, unsigned channel)
{
	const struct sim_node *other = other_of(&worker->node->sim->nodes[name]);
	const struct sim_end *end = other == NULL ? NULL : worker->end_of[other->number][channel];

	return end != NULL && end->told != 0 ? other->number : name;
}

/* ------------------------------------------------------------------------------- checks --- */

static void is_closed(const struct sim_node *node, unsigned device)
{
	uint64_t term;

	if (sim_check_gate(node, device))
		sim_fail(node->sim, "n%u may be read for d%u, and another process has its name",
			node->number, device);
	for (unsigned w = 0; w < node->workers_count; w++)
		if (sim_check_open(&node->workers[w], device, &term))
			sim_fail(node->sim,
				"n%u.%u takes writes for d%u, and another process has its name",
				node->number, w, device);
}

static bool is_older(const struct sim_node *node)
{
	uint64_t last = node->mine_count == 0 ? 0 : node->mine[(node->mine_count - 1) % SIM_LIVES];

	return node->alive && last != 0 && last < node->sim->coord.newest[node->name];
}

/** Of two processes the one that was registered before the other serves nothing any more. */
void sim_twins_check(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.processes && !sim->plan.lossy; i++)
		for (unsigned device = 0; device < sim->plan.devices; device++)
			if (is_older(&sim->nodes[i]))
				is_closed(&sim->nodes[i], device);
}

/** A worker answers OK. */
void sim_twins_answered(const struct sim_worker *worker)
{
	if (is_older(worker->node) && !worker->node->sim->plan.lossy)
		sim_fail(worker->node->sim, "n%u.%u answers OK, and another process has its name",
			worker->node->number, worker->number);
}

/* ------------------------------------------------------------------------------ mistakes --- */

/* Frames to the name's address reach the other process only, or neither. */
static void lead_astray(struct sim *sim, const struct sim_node *node, uint64_t until_ns)
{
	for (unsigned i = 0; i < sim->plan.processes; i++)
		if (sim->nodes[i].name != node->name)
			sim_net_block(sim, i, node->number, until_ns);
}

static void cut_off(struct sim *sim, const struct sim_node *node, uint64_t until_ns)
{
	lead_astray(sim, node, until_ns);
	for (unsigned i = 0; i < sim->plan.processes; i++)
		if (sim->nodes[i].name != node->name)
			sim_net_block(sim, node->number, i, until_ns);
	sim->coord.cut_ns[node->number] = until_ns;
}

/* What the operator, or whatever looks after the processes, takes for its death. */
static void seem_dead(struct sim *sim, struct sim_node *node, uint64_t until_ns)
{
	switch (sim_below(sim, 6)) {
	case 0:
		sim_node_pause(node, until_ns);
		break;
	case 1:
		sim->coord.cut_ns[node->number] = until_ns;
		break;
	case 2:
		cut_off(sim, node, until_ns);
		break;
	case 3:
		sim->coord.late_ns[node->number] = until_ns;
		break;
	case 4:
		node->control_paused_ns = until_ns;
		if (until_ns > node->unpaused_ns)
			node->unpaused_ns = until_ns;
		break;
	default:
		lead_astray(sim, node, until_ns);
		break;
	}
}

static bool is_member(const struct sim_node *node)
{
	return node->alive && weir_tenure_incarnation(node->tenure) != 0;
}

/** The other process of the name that runs twice is started, as a rule since this one seems dead.
 */
void sim_twins_trip(struct sim *sim)
{
	uint64_t lease_ns = SIM_MS(sim->plan.lease_ms);
	uint64_t time_ns = sim_between(sim, lease_ns, 3 * lease_ns);
	struct sim_node *node = &sim->nodes[sim->plan.twin_of];
	struct sim_node *other = other_of(node);

	if (sim->calm)
		return;
	if (is_member(other)) {
		other = node;
		node = other_of(node);
	}
	sim_note(sim, "%sn%lu is started while n%lu runs", "", other->number, node->number, 0, 0, 0,
		0);
	if (sim_chance(sim, 850000) && sim_fault_may_die(sim, node->number))
		seem_dead(sim, node, sim->now_ns + time_ns);
	sim_push(sim, SIM_BIRTH, sim->now_ns + sim_below(sim, time_ns), other->number, 0, NULL);
	sim_push(sim, SIM_TWIN, sim->now_ns + time_ns + sim_below(sim, 3 * lease_ns), 0, 0, NULL);
}
