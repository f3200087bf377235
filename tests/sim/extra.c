/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What some seeds have beside their mood. It is drawn from a stream of its own, so that a seed
 * without any of it stays what it was.
 */
#include "sim.h"

/* Rules of many sizes, which share a bucket or two. */
static void bulky(struct sim *sim, struct sim_plan *plan)
{
	plan->bulky = true;
	plan->rules = (unsigned)sim_between(sim, SIM_RULES / 2, SIM_RULES);
	plan->part_ppm = sim_chance(sim, 700000) ? (uint32_t)sim_between(sim, 10000, 300000) : 1;
	if (plan->clients < SIM_CLIENTS / 2)
		plan->clients += SIM_CLIENTS / 2;
	if (sim_chance(sim, 500000)) {
		plan->devices = 1;
		plan->think_ns = SIM_MS(sim_between(sim, 1, 3));
	}
	if (plan->fault_ns != 0 && plan->corrupt == SIM_CORRUPT_NONE)
		plan->fault_weight[SIM_FAULT_ROOM] += 10;
	/* Tasks gather where a worker stands still: more than a message takes. */
	plan->fault_weight[SIM_FAULT_STALL_WORKER] += 15;
}

/* Outside of the assumption: what a failover loses was answered (redis.min_replicas 0). */
static void hasty(struct sim *sim, struct sim_plan *plan)
{
	plan->hasty = true;
	plan->lag_ns = SIM_MS(sim_between(sim, 1, plan->lease_ms));
	plan->fault_weight[SIM_FAULT_COORD_EMPTY] = 0;
	plan->fault_weight[SIM_FAULT_COORD_FAILOVER] = 30;
	plan->fault_weight[SIM_FAULT_HAND_OVER] = 30;
}

void sim_extra_make(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;
	uint64_t random = sim->random;

	plan->processes = plan->nodes;
	sim->random = sim->seed * 0x9fb21c651e98df25ULL + 7;
	if (sim_chance(sim, 150000))
		bulky(sim, plan);
	plan->sundry = sim_chance(sim, 400000);
	if (plan->lossy && plan->fault_weight[SIM_FAULT_COORD_EMPTY] != 0 &&
		sim_chance(sim, 600000))
		hasty(sim, plan);
	/* A registration that is lost is given out again, and neither of the two would know. */
	if (sim_chance(sim, 150000) && plan->fault_weight[SIM_FAULT_COORD_EMPTY] == 0 &&
		!plan->hasty)
		sim_twins_plan(sim, plan);
	if (sim_chance(sim, 200000))
		plan->torn_ppm = (uint32_t)sim_between(sim, 50000, 500000);
	sim->random = random;
}
