/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "sim.h"
#include "table/table.h"
#include "wire/wire.h"

static const char *const names[SIM_FAULTS_COUNT] = {
	[SIM_FAULT_CRASH] = "crash",
	[SIM_FAULT_PAUSE] = "pause",
	[SIM_FAULT_STALL_WORKER] = "stall of a worker",
	[SIM_FAULT_STALL_CONTROL] = "stall of a control core",
	[SIM_FAULT_BREAK] = "broken session",
	[SIM_FAULT_BLOCK] = "one way blocked",
	[SIM_FAULT_PARTITION] = "partition",
	[SIM_FAULT_COORD_DOWN] = "coordinator down",
	[SIM_FAULT_COORD_HANG] = "coordinator hangs",
	[SIM_FAULT_COORD_FAILOVER] = "coordinator fails over",
	[SIM_FAULT_COORD_CUT] = "node cut off from the coordinator",
	[SIM_FAULT_COORD_EMPTY] = "coordinator empty",
	[SIM_FAULT_WALL] = "wall clock jumps",
	[SIM_FAULT_HAND_OVER] = "handover",
	[SIM_FAULT_ROLE] = "role set",
	[SIM_FAULT_LEAVE] = "leave",
	[SIM_FAULT_ROOM] = "little room",
	[SIM_FAULT_FLUTTER] = "session that breaks again and again",
	[SIM_FAULT_STRAND] = "master stranded",
	[SIM_FAULT_COORD_LATE] = "node late at the coordinator",
	[SIM_FAULT_BEREAVE] = "in-sync copies die twice",
};

/* Mostly short against the lease, at times longer. */
static uint64_t some_time(struct sim *sim)
{
	uint64_t lease_ns = SIM_MS(sim->plan.lease_ms);

	if (sim_chance(sim, 400000))
		return sim_between(sim, lease_ns / 2, 3 * lease_ns);
	return sim_between(sim, SIM_MS(1), lease_ns / 2);
}

/* The process that this copy is or was; any of its name where that is gone. */
static unsigned number_of(const struct sim *sim, const struct weir_copy *copy)
{
	const struct sim_node *node = sim_twins_holder(sim, copy);

	return node != NULL ? node->number : (unsigned)sim_node_number(copy->node);
}

static bool holds(const struct sim *sim, const struct weir_record *record, unsigned node)
{
	for (unsigned i = 0; i < record->insync_count; i++)
		if (strcmp(record->insync[i].node, sim->nodes[node].id) == 0)
			return sim->nodes[node].alive && !sim->nodes[node].dying &&
			       sim->nodes[node].doom == 0 && !sim->nodes[node].leaving &&
			       weir_tenure_incarnation(sim->nodes[node].tenure) ==
				       record->insync[i].incarnation;
	return false;
}

static bool spare(struct sim *sim, const struct weir_record *record, unsigned node)
{
	if (record == NULL)
		return false;
	for (unsigned i = 0; i < sim->plan.processes; i++)
		if (i != node && holds(sim, record, i))
			return true;
	return false;
}

/** Whether for each device an in-sync copy lives elsewhere: else nothing could go on. */
bool sim_fault_may_die(struct sim *sim, unsigned node)
{
	if (sim->plan.lossy || sim->plan.mortal)
		return true;
	for (unsigned i = 0; i < sim->plan.devices; i++)
		if (!spare(sim, weir_coord_rules_record(sim->coord.first, sim->devices[i].name),
			    node) ||
			!spare(sim, sim_coord_record(sim, i), node))
			return false;
	return true;
}

static void crash(struct sim *sim, struct sim_node *node)
{
	if (!node->alive || !sim_fault_may_die(sim, node->number))
		return;
	sim->stats.crashes++;
	/* At some effect of what it does next, or in the midst of nothing. */
	node->doom = 1 + (unsigned)sim_below(sim, 20);
	sim_push(sim, SIM_DEATH, sim->now_ns + sim_below(sim, SIM_MS(5)), node->number, 0, NULL);
}

static void leave(struct sim *sim, struct sim_node *node)
{
	if (!node->alive || node->leaving || sim_node_paused(node) ||
		!sim_fault_may_die(sim, node->number))
		return;
	node->leaving = true;
	weir_tenure_leave(node->tenure, sim->now_ns);
	if (node->dying)
		sim_node_death(node);
	else
		sim_node_control_wake(node, sim->now_ns);
}

static void partition(struct sim *sim)
{
	uint32_t side = (uint32_t)sim_below(sim, 1U << sim->plan.processes);
	uint64_t until_ns = sim->now_ns + some_time(sim);

	for (unsigned a = 0; a < sim->plan.processes; a++)
		for (unsigned b = 0; b < sim->plan.processes; b++)
			if ((side >> a & 1) != (side >> b & 1))
				sim_net_block(sim, a, b, until_ns);
	for (unsigned a = 0; a < sim->plan.processes; a++)
		if ((side >> a & 1) && sim_chance(sim, 300000))
			sim->coord.cut_ns[a] = until_ns;
}

static void role_set(
	struct sim *sim, struct sim_node *node, unsigned device, unsigned to, enum weir_role role)
{
	if (!node->alive || sim_node_paused(node))
		return;
	sim_note(sim, "%s of d%lu for n%lu asked at n%lu", weir_role_name(role), device, to,
		node->number, 0, 0, 0);
	node->operators++;
	weir_tenure_role_set(node->tenure, ++sim->tickets, sim->devices[device].name,
		sim->nodes[to].id, role, sim->now_ns);
	if (node->dying)
		sim_node_death(node);
	else
		sim_node_control_wake(node, sim->now_ns);
}

static void operate(struct sim *sim, struct sim_node *node, bool master)
{
	unsigned device = (unsigned)sim_below(sim, sim->plan.devices);
	unsigned to = (unsigned)sim_below(sim, sim->plan.nodes);
	enum weir_role role = master                    ? WEIR_ROLE_MASTER
			      : sim_chance(sim, 500000) ? WEIR_ROLE_BACKUP
							: WEIR_ROLE_NONE;

	role_set(sim, node, device, to, role);
}

/* A session of this node breaks again and again, before joins get through or just after. */
static void flutter(struct sim *sim, const struct sim_node *node)
{
	for (unsigned tries = 0; tries < 4 * SIM_NODES && sim->pairs_count > 0; tries++) {
		struct sim_pair *pair = &sim->pairs[sim_below(sim, sim->pairs_count)];

		if (pair->ends[0].worker->node != node && pair->ends[1].worker->node != node)
			continue;
		sim_push(sim, SIM_FLUTTER, sim->now_ns, 0, (unsigned)sim_between(sim, 2, 12), pair);
		return;
	}
}

/** `worker` is how often yet. */
void sim_fault_flutter(struct sim *sim, const struct sim_event *event)
{
	struct sim_pair *pair = event->what;

	if (sim->calm)
		return;
	sim_net_close(&pair->ends[sim_below(sim, 2)]);
	if (event->worker > 0)
		sim_push(sim, SIM_FLUTTER,
			sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(sim->plan.lease_ms / 6)),
			0, event->worker - 1U, pair);
}

/** An operator makes a node master; `worker` is the device, `what` another node that it shall be.
 */
void sim_fault_operate(struct sim *sim, const struct sim_event *event)
{
	struct sim_node *node = &sim->nodes[event->node];
	const struct sim_node *to = event->what != NULL ? event->what : node;

	if (!sim->calm)
		role_set(sim, node, event->worker, to->number, WEIR_ROLE_MASTER);
}

/*
 * A master is cut off from its peers and replaced, and reached again in the moment in which the
 * term after that begins: it has what nobody else had, and no new master has brought it up.
 */
static bool strand(struct sim *sim, unsigned stranded, unsigned device)
{
	uint64_t lease_ns = SIM_MS(sim->plan.lease_ms);
	uint64_t until_ns = sim->now_ns + sim_between(sim, lease_ns + lease_ns / 8, 2 * lease_ns);
	unsigned first = (unsigned)sim_below(sim, sim->plan.nodes);
	unsigned second = (unsigned)sim_below(sim, sim->plan.nodes);

	if (first == stranded || second == stranded || first == second)
		return false;
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		if (i == stranded)
			continue;
		sim_net_block(sim, stranded, i, until_ns);
		sim_net_block(sim, i, stranded, until_ns);
	}
	sim_push(sim, SIM_OPERATE, sim->now_ns + sim_below(sim, SIM_MS(30)), first, device, NULL);
	sim_push(sim, SIM_OPERATE, until_ns - sim_below(sim, SIM_MS(8)), second, device, NULL);
	return true;
}

static void strand_some(struct sim *sim)
{
	unsigned device = (unsigned)sim_below(sim, sim->plan.devices);
	const struct weir_record *record = sim_coord_record(sim, device);

	for (unsigned tries = 0; record != NULL && record->master.node[0] != '\0' && tries < 4;
		tries++)
		if (strand(sim, number_of(sim, &record->master), device))
			return;
}

/** It dies now, if it may. */
void sim_fault_fall(struct sim_node *node)
{
	if (!node->sim->calm)
		crash(node->sim, node);
}

/*
 * All in-sync copies of a device die, and die again when they have come back empty and promised the
 * term of whoever waits for them: no process that bears their names has what they had.
 */
static void bereave(struct sim *sim)
{
	uint64_t lease_ns = SIM_MS(sim->plan.lease_ms);
	unsigned device = (unsigned)sim_below(sim, sim->plan.devices);
	const struct weir_record *record = sim_coord_record(sim, device);
	unsigned heir = (unsigned)sim_below(sim, sim->plan.nodes);
	uint64_t again_ns = sim->now_ns + sim_between(sim, lease_ns + lease_ns / 8, 3 * lease_ns);

	if (record == NULL || holds(sim, record, heir) || !sim->nodes[heir].alive)
		return;
	for (unsigned i = 0; i < record->insync_count; i++) {
		unsigned node = number_of(sim, &record->insync[i]);

		sim_push(sim, SIM_FALL, sim->now_ns, node, 0, NULL);
		sim_push(sim, SIM_FALL, again_ns, node, 0, NULL);
	}
	sim_push(sim, SIM_OPERATE, sim->now_ns + sim_below(sim, lease_ns), heir, device, NULL);
}

static void stall(struct sim *sim, struct sim_node *node, uint64_t *paused_ns)
{
	*paused_ns = sim->now_ns + some_time(sim);
	if (*paused_ns > node->unpaused_ns)
		node->unpaused_ns = *paused_ns;
}

/* Anybody, or the master of some device. */
static unsigned victim(struct sim *sim)
{
	unsigned node = (unsigned)sim_below(sim, sim->plan.processes);
	const struct weir_record *record =
		sim_coord_record(sim, (unsigned)sim_below(sim, sim->plan.devices));

	if (record != NULL && record->master.node[0] != '\0' &&
		sim_chance(sim, sim->plan.chase_ppm))
		return number_of(sim, &record->master);
	return node;
}

static void commit(struct sim *sim, enum sim_fault fault)
{
	struct sim_node *node = &sim->nodes[victim(sim)];
	unsigned other = (unsigned)sim_below(sim, sim->plan.processes);
	uint64_t time_ns = some_time(sim);

	sim_note(sim, "%s (n%lu, n%lu, %lu ms)", names[fault], node->number, other,
		time_ns / WEIR_NS_PER_MS, 0, 0, 0);
	switch (fault) {
	case SIM_FAULT_CRASH:
		crash(sim, node);
		break;
	case SIM_FAULT_PAUSE:
		sim_node_pause(node, sim->now_ns + time_ns);
		break;
	case SIM_FAULT_STALL_WORKER:
		stall(sim, node, &node->workers[sim_below(sim, node->workers_count)].paused_ns);
		break;
	case SIM_FAULT_STALL_CONTROL:
		stall(sim, node, &node->control_paused_ns);
		break;
	case SIM_FAULT_BREAK:
		if (sim->pairs_count > 0)
			sim_net_close(&sim->pairs[sim_below(sim, sim->pairs_count)]
					       .ends[sim_below(sim, 2)]);
		break;
	case SIM_FAULT_BLOCK:
		if (other != node->number)
			sim_net_block(sim, node->number, other, sim->now_ns + time_ns);
		break;
	case SIM_FAULT_PARTITION:
		partition(sim);
		break;
	case SIM_FAULT_COORD_DOWN:
		sim->coord.down_ns = sim->now_ns + time_ns;
		break;
	case SIM_FAULT_COORD_HANG:
		sim->coord.hang_ns = sim->now_ns + time_ns;
		break;
	case SIM_FAULT_COORD_FAILOVER:
		sim_coord_failover(sim);
		break;
	case SIM_FAULT_COORD_CUT:
		sim->coord.cut_ns[node->number] = sim->now_ns + time_ns;
		break;
	case SIM_FAULT_COORD_EMPTY:
		sim_coord_empty(sim);
		break;
	case SIM_FAULT_WALL:
		node->wall_shift_ns +=
			(int64_t)sim_below(sim, 20 * WEIR_NS_PER_S) - (int64_t)(10 * WEIR_NS_PER_S);
		break;
	case SIM_FAULT_HAND_OVER:
		operate(sim, node, true);
		break;
	case SIM_FAULT_ROLE:
		operate(sim, node, false);
		break;
	case SIM_FAULT_LEAVE:
		leave(sim, node);
		break;
	case SIM_FAULT_ROOM:
		/* Around what lets a change through; lib/replica counts on the rest being there. */
		sim->room_bytes = (uint32_t)sim_between(
			sim, 1281U << 10, sim->plan.bulky ? 1340U << 10 : 1300U << 10);
		sim_push(sim, SIM_ROOM, sim->now_ns + time_ns, 0, 0, NULL);
		break;
	case SIM_FAULT_FLUTTER:
		flutter(sim, node);
		break;
	case SIM_FAULT_STRAND:
		strand_some(sim);
		break;
	case SIM_FAULT_BEREAVE:
		bereave(sim);
		break;
	case SIM_FAULT_COORD_LATE:
		sim->coord.late_ns[node->number] =
			sim->now_ns + sim_between(sim, 1, 3) * SIM_MS(sim->plan.lease_ms);
		break;
	case SIM_FAULTS_COUNT:
		break;
	}
}

void sim_fault(struct sim *sim)
{
	uint64_t total = 0, pick;
	unsigned fault = 0;

	if (sim->calm)
		return;
	sim_push(sim, SIM_FAULT,
		sim->now_ns + sim_between(sim, sim->plan.fault_ns / 8, 2 * sim->plan.fault_ns), 0,
		0, NULL);
	for (unsigned i = 0; i < SIM_FAULTS_COUNT; i++)
		total += sim->plan.fault_weight[i];
	if (total == 0)
		return;
	pick = sim_below(sim, total);
	while (pick >= sim->plan.fault_weight[fault])
		pick -= sim->plan.fault_weight[fault++];
	sim->stats.faults++;
	commit(sim, (enum sim_fault)fault);
}

/** From now on all goes well. */
void sim_fault_end(struct sim *sim)
{
	sim_note(sim, "%s: faults end", "calm", 0, 0, 0, 0, 0, 0);
	sim->calm = true;
	sim->calm_ns = sim->now_ns;
	sim->coord.down_ns = sim->coord.hang_ns = 0;
	memset(sim->coord.late_ns, 0, sizeof(sim->coord.late_ns));
	sim->room_bytes = SIM_ROOM_BYTES;
	memset(sim->coord.cut_ns, 0, sizeof(sim->coord.cut_ns));
	for (unsigned a = 0; a < sim->plan.processes; a++)
		for (unsigned b = 0; b < sim->plan.processes; b++)
			if (sim->blocked_ns[a][b] > sim->now_ns) {
				sim->blocked_ns[a][b] = sim->now_ns;
				sim_net_heal(sim, a, b);
			}
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		struct sim_node *node = &sim->nodes[i];

		node->paused_ns = node->control_paused_ns = 0;
		node->doom = 0;
		if (!node->alive) {
			sim_push(sim, SIM_BIRTH, sim->now_ns + SIM_MS(10), i, 0, NULL);
			continue;
		}
		sim_node_control_wake(node, sim->now_ns);
		for (unsigned w = 0; w < node->workers_count; w++) {
			node->workers[w].paused_ns = 0;
			sim_node_wake(&node->workers[w], sim->now_ns);
		}
	}
}

/* Its state, or when it was created, or its last byte. */
static void corrupt_entry(
	struct sim *sim, struct sim_node *node, unsigned device, struct weir_entry *entry)
{
	unsigned number = weir_flow_bucket(entry->rule.flow_id);
	struct weir_bucket *bucket = weir_table_bucket(node->tables[device], number);
	struct weir_mem *mem = node->workers[weir_bucket_shard(number) % node->workers_count].mem;
	union weir_entry_room room;

	if (sim_chance(sim, 333333)) {
		weir_bucket_set_state(
			bucket, entry, (entry->state + 1) % WEIR_FLOW_STATES_COUNT, 0);
		return;
	}
	memcpy(&room, entry, weir_entry_bytes(entry));
	if (room.entry.rule.instr_len == 0 || sim_chance(sim, 500000))
		room.entry.created ^= 1;
	else
		room.entry.rule.data[weir_rule_bytes(&entry->rule) - sizeof(entry->rule) - 1] ^= 1;
	weir_assert(weir_bucket_put(bucket, mem, &room.entry, NULL) == 1);
}

static void corrupt(struct sim *sim, struct sim_node *node, unsigned device)
{
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		const struct weir_rule *rule = sim->devices[device].rules[i];
		struct weir_entry *entry = weir_table_find(node->tables[device], rule);

		if (entry == NULL)
			continue;
		sim_note(sim, "%sn%lu d%lu rule %lu is corrupted", "", node->number, device, i, 0,
			0, 0);
		corrupt_entry(sim, node, device, entry);
		sim->injected++;
		sim->marred[device][node->number] = sim_coord_record(sim, device)->term;
		return;
	}
}

/**
 * An entry changes in a backup's memory, without a new version: anti-entropy must repair it. Where
 * a takeover comes first, the copy is as good as any: what operations did is not judged any more.
 */
void sim_fault_corrupt(struct sim *sim)
{
	sim->plan.lossy = true;
	sim->found_before = sim_corrupt_found(sim);
	for (unsigned i = 0; i < sim->plan.devices; i++) {
		const struct weir_record *record = sim_coord_record(sim, i);

		if (sim_check_hopeless(sim, i) || record->insync_count < 2)
			continue;
		for (unsigned j = 0; j < record->insync_count; j++)
			if (strcmp(record->insync[j].node, record->master.node) != 0)
				corrupt(sim, sim_twins_now(sim, &record->insync[j]), i);
	}
}
