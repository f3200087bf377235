/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "sim.h"

static void sizes(struct sim *sim, struct sim_plan *plan)
{
	static const uint8_t nodes[8] = {1, 2, 3, 3, 3, 4, 5, 5};
	static const uint8_t workers[8] = {1, 1, 1, 2, 2, 2, 4, 1};
	bool same = sim_chance(sim, 600000);

	plan->nodes = nodes[sim_below(sim, 8)];
	plan->devices = 1 + (unsigned)sim_below(sim, SIM_DEVICES);
	plan->rules = 1 + (unsigned)sim_below(sim, SIM_RULES);
	plan->clients = 2 + (unsigned)sim_below(sim, SIM_CLIENTS - 1);
	plan->crowded = sim_chance(sim, 500000);
	for (unsigned i = 0; i < plan->nodes; i++)
		plan->workers[i] = i > 0 && same ? plan->workers[0] : workers[sim_below(sim, 8)];
	plan->backup_count = sim_chance(sim, 800000) ? 2 : (uint8_t)sim_below(sim, 4);
}

static void speeds(struct sim *sim, struct sim_plan *plan)
{
	static const uint32_t leases[4] = {200, 400, 1000, 2000};

	plan->lease_ms = leases[sim_below(sim, 4)];
	plan->join_grace_ms = (uint32_t)sim_between(sim, 0, 2 * plan->lease_ms);
	plan->insync_timeout_ns = SIM_MS(sim_between(sim, 50, 1000));
	plan->anti_entropy_ns = sim_chance(sim, 800000) ? SIM_MS(sim_between(sim, 200, 5000)) : 0;
	plan->backup_period_ns = SIM_MS(sim_between(sim, 50, 1000));
	plan->deadline_ns = SIM_MS(sim_between(sim, 300, 3000));
	plan->idle_ns = SIM_MS(sim_between(sim, 2, 20));
	plan->delay_ns = SIM_US(sim_between(sim, 20, 400));
	plan->delay_tail_ns = plan->delay_ns;
	plan->coord_ns = SIM_US(sim_between(sim, 100, 2000));
	plan->coord_tail_ns = plan->coord_ns;
	plan->coord_timeout_ns = SIM_MS(sim_between(sim, 50, 1000));
	plan->think_ns = SIM_MS(sim_between(sim, 1, 30));
	plan->length_ns = SIM_MS(sim_between(sim, 2000, 8000)) + SIM_MS(4 * plan->lease_ms);
}

static void hell(struct sim *sim, struct sim_plan *plan)
{
	plan->delay_tail_ns = SIM_MS(sim_between(sim, 1, 200));
	plan->tail_ppm = (uint32_t)sim_below(sim, 3000);
	plan->coord_tail_ns = SIM_MS(sim_between(sim, 5, 2 * plan->lease_ms));
	plan->coord_tail_ppm = (uint32_t)sim_below(sim, 50000);
	plan->coord_lose_ppm = (uint32_t)sim_below(sim, 30000);
	plan->local_ppm = sim_chance(sim, 300000) ? 200000 : 0;
	plan->fault_ns = SIM_MS(sim_between(sim, 30, 1500));
	for (unsigned i = 0; i < SIM_FAULTS_COUNT; i++)
		plan->fault_weight[i] = sim_chance(sim, 600000) ? (uint32_t)sim_below(sim, 100) : 0;
	/* What is not stored twice is lost with the process: such runs have no crashes. */
	if (plan->nodes == 1 || plan->backup_count == 0)
		plan->fault_weight[SIM_FAULT_CRASH] = 0;
	plan->lossy = sim_chance(sim, 60000);
	plan->unclean = plan->lossy;
	if (!plan->lossy)
		plan->fault_weight[SIM_FAULT_COORD_EMPTY] = 0;
}

void sim_plan_make(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	sim->room_bytes = SIM_ROOM_BYTES;
	sizes(sim, plan);
	speeds(sim, plan);
	plan->hell = sim_chance(sim, 500000);
	if (plan->hell) {
		hell(sim, plan);
	} else {
		plan->fault_ns = SIM_MS(sim_between(sim, 500, 3000));
		plan->fault_weight[SIM_FAULT_CRASH] =
			plan->nodes > 1 && plan->backup_count > 0 ? 20 : 0;
		plan->fault_weight[SIM_FAULT_BREAK] = 10;
		plan->fault_weight[SIM_FAULT_HAND_OVER] = 10;
		plan->fault_weight[SIM_FAULT_LEAVE] = plan->nodes > 1 ? 5 : 0;
	}
	plan->rest_ns = SIM_MS(12 * plan->lease_ms + 3000) + 2 * plan->insync_timeout_ns +
			2 * SIM_MS(plan->join_grace_ms) + plan->deadline_ns +
			plan->coord_timeout_ns;
}
