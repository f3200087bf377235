/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Writes with a condition (only where what is there is not newer than what the client has read),
 * rules of two apps, pairs of rules under one flow id, reads by flow id or with little room.
 *
 * Whether a condition holds depends on when what is there was created: that is learnt of each
 * write where it is first seen, and never changes.
 */
#include "sim.h"
#include "table/table.h"

/** Each second rule has the flow id of the one before, or another app. */
void sim_sundry_rules(struct sim *sim, struct sim_device *device)
{
	bool shared = sim->plan.sundry && sim_chance(sim, 400000);

	for (unsigned i = 1; sim->plan.sundry && i < sim->plan.rules; i += 2)
		if (shared)
			device->rules[i]->flow_id = device->rules[i - 1]->flow_id;
		else
			device->rules[i]->flow_id |= 1ULL << 48;
}

static bool is_alone(const struct sim *sim, const struct sim_client *client)
{
	const struct sim_device *device = &sim->devices[client->device];
	const struct weir_rule *rule = device->rules[client->rules[0]];

	for (unsigned i = 0; i < sim->plan.rules; i++)
		if (device->rules[i] != rule && device->rules[i]->flow_id == rule->flow_id)
			return false;
	return true;
}

/* Bytes that an entry of this rule takes with the instructions of some other write. */
static uint32_t some_room(struct sim *sim, const struct weir_rule *rule)
{
	return (uint32_t)offsetof(struct weir_entry, rule.data) + rule->match_len +
	       sim_bulk_bytes((uint32_t)sim_random(sim));
}

/** What a client's task has beside the usual. */
void sim_sundry_task(struct sim *sim, struct sim_client *client)
{
	struct weir_task *task = &client->task;
	const struct sim_device *device = &sim->devices[client->device];
	uint64_t read = device->read[client->rules[0]];

	if (!sim->plan.sundry)
		return;
	if ((task->op == WEIR_OP_MODIFY || task->op == WEIR_OP_REMOVED) && read != 0 &&
		sim_chance(sim, 700000))
		task->entry.created = read + sim_below(sim, 3) - 1;
	if (task->op == WEIR_OP_GET && sim->plan.bulky && sim_chance(sim, 500000))
		task->room = some_room(sim, device->rules[client->rules[0]]);
	else if (task->op == WEIR_OP_GET && is_alone(sim, client) && sim_chance(sim, 500000))
		task->op = WEIR_OP_GET_ID;
}

static void learn(struct sim *sim, const struct weir_entry *entry)
{
	uint32_t cookie = (uint32_t)entry->rule.cookie;
	struct sim_write *write = &sim->writes[cookie % SIM_WRITES];

	if (write->cookie == cookie && write->created != entry->created && !sim->plan.lossy)
		sim_fail(sim, "rule %u was created at %lu, and at %lu", cookie, write->created,
			entry->created);
	write->cookie = cookie;
	write->created = entry->created;
}

/** A client's task may have been carried out here just now. */
void sim_sundry_seen(struct sim *sim, const struct sim_node *node, const struct sim_client *client)
{
	const struct weir_entry *entry;

	if (!sim->plan.sundry || node->tables[client->device] == NULL)
		return;
	entry = weir_table_find(
		node->tables[client->device], sim->devices[client->device].rules[client->rules[0]]);
	if (entry != NULL)
		learn(sim, entry);
}

/** A client has read this; NULL: nothing is there. */
void sim_sundry_read(
	struct sim *sim, unsigned device, unsigned rule, const struct weir_entry *entry)
{
	if (!sim->plan.sundry || entry == NULL)
		return;
	learn(sim, entry);
	sim->devices[device].read[rule] = entry->created;
}

/** When the write with this cookie was carried out; 0: not known. */
uint64_t sim_sundry_created(const struct sim *sim, uint32_t cookie)
{
	const struct sim_write *write = &sim->writes[cookie % SIM_WRITES];

	return write->cookie == cookie ? write->created : 0;
}
