/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "sim.h"

static void sizes(struct sim *sim, struct sim_plan *plan)
{
	static const uint8_t nodes[16] = {1, 2, 2, 3, 3, 3, 3, 3, 3, 4, 4, 5, 5, 5, 6, 7};
	static const uint8_t workers[8] = {1, 1, 1, 2, 2, 2, 4, 1};
	bool same = sim_chance(sim, 600000);

	plan->nodes = nodes[sim_below(sim, 16)];
	plan->devices = 1 + (unsigned)sim_below(sim, SIM_DEVICES);
	plan->rules = 1 + (unsigned)sim_below(sim, SIM_RULES_FEW);
	plan->clients = 2 + (unsigned)sim_below(sim, SIM_CLIENTS - 1);
	plan->crowded = sim_chance(sim, 500000);
	for (unsigned i = 0; i < plan->nodes; i++)
		plan->workers[i] = i > 0 && same ? plan->workers[0] : workers[sim_below(sim, 8)];
	for (unsigned i = 0; i < plan->nodes; i++)
		plan->workers_most[i] = plan->workers[i];
	plan->backup_count = sim_chance(sim, 800000) ? 2 : (uint8_t)sim_below(sim, 4);
}

/* At each birth a node may have another number of workers. */
static void regrow(struct sim *sim, struct sim_plan *plan)
{
	plan->regrow = true;
	for (unsigned i = 0; i < plan->nodes; i++)
		plan->workers_most[i] = plan->nodes > 4 ? 2 : SIM_WORKERS;
	for (unsigned i = 0; i < plan->nodes; i++)
		if (plan->workers[i] > plan->workers_most[i])
			plan->workers[i] = plan->workers_most[i];
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
	plan->length_ns = SIM_MS(sim_between(sim, 1500, 6000)) + SIM_MS(3 * plan->lease_ms);
}

/* ------------------------------------------------------------------------------- moods --- */

static void calm(struct sim *sim, struct sim_plan *plan)
{
	plan->fault_ns = SIM_MS(sim_between(sim, 500, 3000));
	plan->fault_weight[SIM_FAULT_CRASH] = 20;
	plan->fault_weight[SIM_FAULT_BREAK] = 10;
	plan->fault_weight[SIM_FAULT_HAND_OVER] = 10;
	plan->fault_weight[SIM_FAULT_LEAVE] = 5;
}

static void hell(struct sim *sim, struct sim_plan *plan)
{
	plan->delay_tail_ns = SIM_MS(sim_between(sim, 1, 200));
	plan->tail_ppm = (uint32_t)sim_below(sim, 3000);
	plan->coord_tail_ns = SIM_MS(sim_between(sim, 5, 2 * plan->lease_ms));
	plan->coord_tail_ppm = (uint32_t)sim_below(sim, 50000);
	plan->coord_lose_ppm = (uint32_t)sim_below(sim, 30000);
	plan->report_tail_ns = SIM_MS(sim_below(sim, 20));
	plan->local_ppm = sim_chance(sim, 300000) ? 200000 : 0;
	plan->fault_ns = SIM_MS(sim_between(sim, 30, 1500));
	for (unsigned i = 0; i < SIM_FAULTS_COUNT; i++)
		plan->fault_weight[i] = sim_chance(sim, 600000) ? (uint32_t)sim_below(sim, 100) : 0;
	plan->fault_weight[SIM_FAULT_BEREAVE] = 0;
	plan->lossy = sim_chance(sim, 60000);
	plan->unclean = plan->lossy;
	if (!plan->lossy)
		plan->fault_weight[SIM_FAULT_COORD_EMPTY] = 0;
}

static void short_leases(struct sim *sim, struct sim_plan *plan)
{
	plan->lease_ms = sim_chance(sim, 500000) ? 200 : 400;
	plan->join_grace_ms = (uint32_t)sim_between(sim, 0, plan->lease_ms);
	plan->insync_timeout_ns = SIM_MS(sim_between(sim, 50, 300));
	plan->length_ns = SIM_MS(sim_between(sim, 1000, 4000));
}

/* Mastership goes round faster than terms settle, to whom has little or nothing yet. */
static void flapping(struct sim *sim, struct sim_plan *plan)
{
	short_leases(sim, plan);
	plan->nodes = plan->nodes < 3 ? 3 : plan->nodes;
	plan->fault_ns = SIM_MS(sim_between(sim, 1, 60));
	plan->delay_tail_ns = SIM_MS(sim_between(sim, 1, 60));
	plan->tail_ppm = (uint32_t)sim_below(sim, sim_chance(sim, 500000) ? 300000 : 20000);
	plan->report_tail_ns = SIM_MS(sim_below(sim, 100));
	plan->hint_lose_ppm = (uint32_t)sim_below(sim, 900000);
	plan->snap_ppm = 50000;
	plan->again_ppm = 400000;
	plan->linger_ppm = 20000;
	plan->fault_weight[SIM_FAULT_HAND_OVER] = 60;
	plan->fault_weight[SIM_FAULT_BREAK] = (uint32_t)sim_below(sim, 40);
	plan->fault_weight[SIM_FAULT_BLOCK] = (uint32_t)sim_below(sim, 25);
	plan->fault_weight[SIM_FAULT_PARTITION] = (uint32_t)sim_below(sim, 8);
	plan->fault_weight[SIM_FAULT_STALL_WORKER] = (uint32_t)sim_below(sim, 15);
	plan->fault_weight[SIM_FAULT_STALL_CONTROL] = (uint32_t)sim_below(sim, 15);
	plan->fault_weight[SIM_FAULT_CRASH] = (uint32_t)sim_below(sim, 10);
	plan->fault_weight[SIM_FAULT_LEAVE] = (uint32_t)sim_below(sim, 5);
	plan->fault_weight[SIM_FAULT_ROLE] = (uint32_t)sim_below(sim, 10);
}

/* Processes come back empty, again and again, at times with another number of workers. */
static void storm(struct sim *sim, struct sim_plan *plan)
{
	short_leases(sim, plan);
	plan->fault_ns = SIM_MS(sim_between(sim, 30, 200));
	plan->born_soon = sim_chance(sim, 700000);
	plan->mortal = sim_chance(sim, 600000);
	plan->unclean = plan->mortal && sim_chance(sim, 300000);
	plan->hint_lose_ppm = (uint32_t)sim_below(sim, 500000);
	plan->fault_weight[SIM_FAULT_CRASH] = 60;
	plan->fault_weight[SIM_FAULT_BREAK] = (uint32_t)sim_below(sim, 30);
	plan->fault_weight[SIM_FAULT_HAND_OVER] = (uint32_t)sim_below(sim, 30);
	plan->fault_weight[SIM_FAULT_PAUSE] = (uint32_t)sim_below(sim, 10);
	plan->fault_weight[SIM_FAULT_LEAVE] = (uint32_t)sim_below(sim, 10);
	plan->fault_weight[SIM_FAULT_PARTITION] = (uint32_t)sim_below(sim, 10);
	if (plan->mortal && !plan->unclean) {
		plan->nodes = plan->nodes < 3 ? 3 : plan->nodes;
		plan->backup_count = sim_chance(sim, 500000) ? 1 : plan->backup_count;
		plan->born_soon = true;
		plan->fault_ns = SIM_MS(sim_between(sim, plan->lease_ms / 4, plan->lease_ms));
		plan->fault_weight[SIM_FAULT_BEREAVE] = 60;
	}
	if (sim_chance(sim, 500000))
		regrow(sim, plan);
}

/* The coordinator answers late, or does what its asker has given up. */
static void slow(struct sim *sim, struct sim_plan *plan)
{
	short_leases(sim, plan);
	plan->coord_ns = SIM_MS(sim_between(sim, 1, plan->lease_ms / 20));
	plan->coord_tail_ns = SIM_MS(sim_between(sim, 20, 2 * plan->lease_ms));
	plan->coord_tail_ppm = (uint32_t)sim_between(sim, 10000, 200000);
	plan->coord_lose_ppm = (uint32_t)sim_below(sim, 100000);
	plan->coord_timeout_ns = SIM_MS(sim_between(sim, 30, plan->lease_ms));
	plan->hint_lose_ppm = (uint32_t)sim_below(sim, 900000);
	plan->fault_ns = SIM_MS(sim_between(sim, 5, 200));
	plan->report_tail_ns = SIM_MS(sim_below(sim, 100));
	plan->fault_weight[SIM_FAULT_COORD_DOWN] = (uint32_t)sim_below(sim, 10);
	plan->fault_weight[SIM_FAULT_COORD_HANG] = (uint32_t)sim_below(sim, 20);
	plan->fault_weight[SIM_FAULT_COORD_FAILOVER] = (uint32_t)sim_below(sim, 20);
	plan->fault_weight[SIM_FAULT_COORD_CUT] = (uint32_t)sim_below(sim, 30);
	plan->fault_weight[SIM_FAULT_CRASH] = 20;
	plan->fault_weight[SIM_FAULT_BREAK] = (uint32_t)sim_below(sim, 100);
	plan->fault_weight[SIM_FAULT_BLOCK] = (uint32_t)sim_below(sim, 20);
	plan->fault_weight[SIM_FAULT_HAND_OVER] = (uint32_t)sim_below(sim, 20);
	plan->fault_weight[SIM_FAULT_PAUSE] = (uint32_t)sim_below(sim, 10);
}

/* Short scripts of what must come together, and time between them for terms to become active. */
static void schemes(struct sim *sim, struct sim_plan *plan)
{
	short_leases(sim, plan);
	plan->nodes = plan->nodes < 3 ? 3 : plan->nodes;
	plan->workers_least = sim_chance(sim, 700000) ? 2 : 1;
	plan->insync_timeout_ns = SIM_MS(sim_between(sim, 50, 150));
	plan->report_tail_ns = SIM_MS(sim_between(sim, plan->lease_ms / 8, plan->lease_ms / 2));
	plan->hint_lose_ppm = (uint32_t)sim_below(sim, 500000);
	plan->coord_timeout_ns = SIM_MS(sim_between(sim, 30, plan->lease_ms));
	plan->coord_late_ppm = (uint32_t)sim_below(sim, 500000);
	plan->overtake_ppm = sim_chance(sim, 500000) ? 200000 : 0;
	plan->snap_ppm = 100000;
	plan->again_ppm = 400000;
	plan->linger_ppm = 20000;
	plan->think_ns = SIM_MS(sim_between(sim, 1, 5));
	plan->length_ns += SIM_MS(2000);
	plan->fault_ns = SIM_MS(sim_between(sim, plan->lease_ms / 4, 2 * plan->lease_ms));
	plan->fault_weight[SIM_FAULT_FLUTTER] = 40;
	plan->fault_weight[SIM_FAULT_STRAND] = 20;
	plan->fault_weight[SIM_FAULT_COORD_LATE] = 20;
	plan->fault_weight[SIM_FAULT_CRASH] = (uint32_t)sim_below(sim, 10);
	plan->fault_weight[SIM_FAULT_COORD_FAILOVER] = (uint32_t)sim_below(sim, 20);
	plan->fault_weight[SIM_FAULT_HAND_OVER] = (uint32_t)sim_below(sim, 10);
}

/* Outside of the assumption: the coordinator forgets. */
static void forgetful(struct sim *sim, struct sim_plan *plan)
{
	slow(sim, plan);
	plan->lossy = true;
	plan->unclean = sim_chance(sim, 500000);
	plan->fault_weight[SIM_FAULT_COORD_EMPTY] = 25;
	plan->fault_weight[SIM_FAULT_HAND_OVER] = 20;
}

/* What the link does not catch; no other trouble but broken sessions and handovers. */
static void corrupt(struct sim *sim, struct sim_plan *plan)
{
	static const uint8_t kinds[4] = {
		SIM_CORRUPT_BUCKET, SIM_CORRUPT_CHANGE, SIM_CORRUPT_HEAD, SIM_CORRUPT_HEAD};

	calm(sim, plan);
	plan->fault_ns = SIM_MS(sim_between(sim, 50, 500));
	plan->fault_weight[SIM_FAULT_BREAK] = 40;
	plan->fault_weight[SIM_FAULT_HAND_OVER] = 20;
	plan->corrupt = kinds[sim_below(sim, 4)];
	plan->corrupt_ppm = (uint32_t)sim_between(sim, 2000, 50000);
	/* One change more or less shows where a bucket has several rules. */
	if (plan->corrupt == SIM_CORRUPT_HEAD) {
		plan->crowded = true;
		plan->rules = plan->rules < 4 ? 4 : plan->rules;
	}
	/* Whole buckets are shipped only now and then. */
	if (plan->corrupt == SIM_CORRUPT_BUCKET)
		plan->corrupt_ppm *= 10;
	plan->anti_entropy_ns = SIM_MS(sim_between(sim, 100, 1000));
	/* A bucket is held against its digest, a change is not. */
	plan->lossy = plan->corrupt != SIM_CORRUPT_BUCKET;
}

static void mood(struct sim *sim, struct sim_plan *plan)
{
	switch (sim_below(sim, 16)) {
	case 0:
	case 1:
		plan->mood = "calm";
		calm(sim, plan);
		break;
	case 2:
	case 3:
		plan->mood = "schemes";
		schemes(sim, plan);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		plan->mood = "hell";
		hell(sim, plan);
		break;
	case 8:
	case 9:
	case 10:
		plan->mood = "flapping";
		flapping(sim, plan);
		break;
	case 11:
	case 12:
		plan->mood = "storm";
		storm(sim, plan);
		break;
	case 13:
		plan->mood = "slow";
		slow(sim, plan);
		break;
	case 14:
		plan->mood = "forgetful";
		forgetful(sim, plan);
		break;
	default:
		plan->mood = "corrupt";
		corrupt(sim, plan);
		break;
	}
}

void sim_plan_make(struct sim *sim)
{
	struct sim_plan *plan = &sim->plan;

	sim->room_bytes = SIM_ROOM_BYTES;
	sizes(sim, plan);
	speeds(sim, plan);
	mood(sim, plan);
	for (unsigned i = 0; i < plan->nodes; i++)
		if (plan->workers[i] == 0)
			plan->workers[i] = plan->workers_most[i] = plan->workers[0];
	for (unsigned i = 0; i < plan->nodes; i++)
		if (plan->workers[i] < plan->workers_least)
			plan->workers[i] = plan->workers_most[i] = plan->workers_least;
	plan->chase_ppm = sim_chance(sim, 500000) ? 500000 : 0;
	plan->skew_ns = sim_chance(sim, 200000) ? 600 * WEIR_NS_PER_S : 0;
	/* What is not stored twice is lost with the process: such runs have no crashes. */
	if ((plan->nodes == 1 || plan->backup_count == 0) && !plan->mortal)
		plan->fault_weight[SIM_FAULT_CRASH] = plan->fault_weight[SIM_FAULT_LEAVE] = 0;
	plan->rest_ns = SIM_MS(12 * plan->lease_ms + 3000) + 2 * plan->insync_timeout_ns +
			2 * SIM_MS(plan->join_grace_ms) + plan->deadline_ns +
			plan->coord_timeout_ns;
}
