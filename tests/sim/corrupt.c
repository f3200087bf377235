/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What was corrupted in silence is found: a copy that has other content than its master under the
 * same version does not stay in sync for long, and where it is equal again under that version, the
 * master has counted it. What the simulator corrupts at rest is counted once each.
 */
#include <string.h>

#include "replica/state.h"
#include "sim.h"

/** Corruptions that masters have found, in all lives. */
uint64_t sim_corrupt_found(const struct sim *sim)
{
	uint64_t found = sim->stats.found;

	for (unsigned i = 0; i < sim->plan.processes; i++)
		for (unsigned w = 0; w < sim->nodes[i].workers_count; w++)
			if (sim->nodes[i].workers[w].replica != NULL)
				found += sim->nodes[i].workers[w].replica->stats.corruptions;
	return found;
}

/* It is in the set, and lives. */
static bool is_insync(
	const struct sim *sim, const struct weir_record *record, const struct sim_node *node)
{
	for (unsigned i = 0; i < record->insync_count; i++)
		if (sim_twins_holder(sim, &record->insync[i]) == node)
			return true;
	return false;
}

/* CHECK, UNFIT, and the coordinator's turn. */
static uint64_t patience(const struct sim *sim)
{
	return 4 * sim->plan.anti_entropy_ns + 2 * SIM_MS(sim->plan.lease_ms) + SIM_MS(1000);
}

static void look(struct sim *sim, struct sim_stain *stain, const struct weir_digest *mine,
	const struct weir_digest *theirs, const char *where)
{
	bool same_version = mine->term == theirs->term && mine->seq == theirs->seq;
	bool other = same_version && (mine->hash != theirs->hash || mine->count != theirs->count);
	bool same_stain = stain->stands && stain->term == mine->term && stain->seq == mine->seq;

	if (other && same_stain && sim->now_ns > stain->since_ns + patience(sim))
		sim_fail(sim, "%s was corrupted %lu ms ago, and nobody has found it", where,
			(unsigned long)((sim->now_ns - stain->since_ns) / WEIR_NS_PER_MS));
	if (other && !same_stain) {
		sim->stats.silent++;
		stain->stands = true;
		stain->term = mine->term;
		stain->seq = mine->seq;
		stain->since_ns = sim->now_ns;
		stain->found = sim_corrupt_found(sim);
	}
	if (other)
		return;
	if (same_stain && same_version && stain->found == sim_corrupt_found(sim))
		sim_fail(sim, "%s was corrupted and is not any more, and nobody has counted it",
			where);
	stain->stands = false;
}

static void copy_look(struct sim *sim, unsigned device, const struct weir_record *record,
	const struct sim_node *master, const struct sim_node *node)
{
	for (unsigned rule = 0; rule < sim->plan.rules; rule++) {
		struct sim_stain *stain = &sim->stains[device][node->number][rule];
		unsigned bucket = weir_flow_bucket(sim->devices[device].rules[rule]->flow_id);
		struct weir_digest mine, theirs;

		if (stain->life != node->life || stain->of_term != record->term)
			*stain = (struct sim_stain){.life = node->life, .of_term = record->term};
		if (!is_insync(sim, record, node))
			continue;
		mine = weir_table_digest(master->tables[device], bucket);
		theirs = weir_table_digest(node->tables[device], bucket);
		look(sim, stain, &mine, &theirs, node->id);
	}
}

/** Looked at every now and then, where messages are corrupted. */
void sim_corrupt_watch(struct sim *sim)
{
	if (sim->plan.corrupt == SIM_CORRUPT_NONE || sim->corrupted)
		return;
	for (unsigned device = 0; device < sim->plan.devices; device++) {
		const struct weir_record *record = sim_coord_record(sim, device);
		const struct sim_node *master;

		if (record == NULL || record->active != record->term)
			continue;
		master = sim_twins_now(sim, &record->master);
		if (master == NULL || !is_insync(sim, record, master) ||
			master->tables[device] == NULL)
			continue;
		for (unsigned i = 0; i < sim->plan.processes; i++)
			if (&sim->nodes[i] != master && sim->nodes[i].tables[device] != NULL)
				copy_look(sim, device, record, master, &sim->nodes[i]);
	}
}

/**
 * All is at rest again: each bucket that was corrupted there was found, once, where its copy was
 * kept in sync by the same master.
 */
void sim_corrupt_final(struct sim *sim)
{
	uint64_t found = sim_corrupt_found(sim) - sim->found_before;
	uint64_t least = 0;

	for (unsigned device = 0; device < sim->plan.devices; device++) {
		const struct weir_record *record = sim_coord_record(sim, device);

		for (unsigned i = 0; record != NULL && i < sim->plan.processes; i++)
			least += sim->marred[device][i] == record->term &&
				 is_insync(sim, record, &sim->nodes[i]);
	}
	if (sim->corrupted && (found < least || (least == sim->injected && found > least)))
		sim_fail(sim, "%lu buckets were corrupted at rest, and %lu were found",
			sim->injected, found);
}
