/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "replica/state.h"
#include "sim.h"

/* Answers may come so long after the deadline: a worker's idle turn, and its scan. */
#define SLACK_NS SIM_MS(250)

void sim_client_begin(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.clients; i++) {
		struct sim_client *client = &sim->clients[i];

		client->number = i;
		client->seq = sim_push(sim, SIM_CLIENT,
			sim->now_ns + sim_below(sim, sim->plan.think_ns + 1), i, 0, NULL);
	}
}

static void next_at(struct sim *sim, struct sim_client *client, uint64_t at_ns)
{
	client->seq = sim_push(sim, SIM_CLIENT, at_ns, client->number, 0, NULL);
}

static void next_soon(struct sim *sim, struct sim_client *client)
{
	next_at(sim, client,
		sim->now_ns + sim_between(sim, sim->plan.think_ns / 4, sim->plan.think_ns + 1));
}

static unsigned anybody(struct sim *sim)
{
	return (unsigned)sim_below(sim, sim->plan.processes);
}

/* As a client follows NOTMASTER; now and then it tries another. */
static void follow(struct sim *sim, struct sim_client *client)
{
	const struct sim_node *node = &sim->nodes[client->node];
	const struct sim_standing *standing = &node->standing[client->device];
	int master =
		node->alive && standing->known ? sim_node_number(standing->record.master.node) : -1;

	if (master < 0 || (unsigned)master == client->node || sim_chance(sim, 100000))
		master = (int)anybody(sim);
	else
		master = (int)sim_twins_any(sim, (unsigned)master);
	client->believed[client->device] = (uint8_t)master;
}

static unsigned pick_op(struct sim *sim)
{
	static const uint8_t ops[20] = {WEIR_OP_ADD, WEIR_OP_ADD, WEIR_OP_ADD, WEIR_OP_ADD,
		WEIR_OP_ADD, WEIR_OP_ADD, WEIR_OP_MODIFY, WEIR_OP_MODIFY, WEIR_OP_REMOVE,
		WEIR_OP_REMOVE, WEIR_OP_REPORT, WEIR_OP_REPORT, WEIR_OP_PENDING, WEIR_OP_REMOVED,
		WEIR_OP_REMOVED, WEIR_OP_PURGE, WEIR_OP_GET, SIM_OP_READ, SIM_OP_READ, SIM_OP_READ};

	return ops[sim_below(sim, 20)];
}

static void away(struct sim *sim, struct sim_client *client)
{
	follow(sim, client);
	next_at(sim, client, sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(5)));
}

static void task_make(struct sim *sim, struct sim_client *client, uint32_t cookie)
{
	struct weir_task *task = &client->task;
	const struct weir_rule *rule = sim->devices[client->device].rules[client->rules[0]];

	memset(task, 0, sizeof(*task));
	memcpy(&task->entry.rule, rule, weir_rule_bytes(rule));
	sim_bulk_fill(sim, &task->entry.rule, cookie);
	task->entry.packets = cookie;
	task->device_key = sim->devices[client->device].key;
	task->deadline_ns = sim->now_ns + sim->plan.deadline_ns;
	task->owner = client;
	task->op = client->op;
	task->ack = client->ack;
	task->app = client->app;
	task->room = sizeof(struct weir_entry) + sizeof(client->rule_bytes);
	sim_sundry_task(sim, client);
}

static void submit(struct sim *sim, struct sim_client *client)
{
	struct sim_node *node = &sim->nodes[client->node];
	struct sim_device *device = &sim->devices[client->device];
	struct sim_worker *worker;
	uint32_t cookie = ++sim->cookies;

	task_make(sim, client, cookie);
	worker = &node->workers[weir_flow_shard(client->task.entry.rule.flow_id) %
				node->workers_count];
	for (unsigned i = 0; i < client->rules_count; i++) {
		client->slots[i] = (uint8_t)sim_model_invoke(sim, client->device, client->rules[i],
			client->op, cookie, client->task.entry.created);
		device->under_way[client->rules[i]]++;
	}
	client->waiting = true;
	client->rests_known = false;
	sim_watch_invoked(sim, client);
	client->life = node->life;
	client->began_ns = sim->now_ns;
	*worker->tasks_tail = &client->task;
	worker->tasks_tail = &client->task.next;
	sim_node_wake(worker, sim->now_ns + sim_between(sim, SIM_US(1), SIM_US(50)));
	sim_note(sim, "%sc%lu asks n%lu: operation %lu on d%lu rule %lu, cookie %lu", "",
		client->number, client->node, client->op, client->device, client->rules[0], cookie);
}

/* As a gate does: from the table where that is firm, else through the worker. */
static void read_now(struct sim *sim, struct sim_client *client)
{
	struct sim_node *node = &sim->nodes[client->node];
	unsigned device = client->device, rule = client->rules[0];

	if (!node->alive || sim_node_paused(node) != 0 || !sim_check_gate(node, device)) {
		away(sim, client);
		return;
	}
	if (!sim_check_firm(node, device, rule)) {
		client->op = WEIR_OP_GET;
		client->ack = WEIR_ACK_INSYNC;
		if (sim->devices[device].registers[rule].gets != 0)
			next_soon(sim, client);
		else
			submit(sim, client);
		return;
	}
	sim->stats.operations++;
	sim->stats.reads++;
	sim_model_read(sim, device, rule, sim_check_value(node, device, rule));
	sim_sundry_read(sim, device, rule,
		weir_table_find(node->tables[device], sim->devices[device].rules[rule]));
	next_soon(sim, client);
}

/* A purge is about all rules of a shard, or those of an app. */
static void rules_of_shard(struct sim *sim, struct sim_client *client)
{
	const struct sim_device *device = &sim->devices[client->device];
	unsigned shard = weir_flow_shard(device->rules[client->rules[0]]->flow_id);
	unsigned first = client->rules[0];

	client->app = sim_chance(sim, 500000) ? WEIR_ANY_APP : weir_rule_app(device->rules[first]);
	for (unsigned i = 0; i < sim->plan.rules; i++)
		if (i != first && weir_flow_shard(device->rules[i]->flow_id) == shard &&
			(client->app == WEIR_ANY_APP ||
				client->app == weir_rule_app(device->rules[i])))
			client->rules[client->rules_count++] = (uint8_t)i;
}

/* Too many at once have too many orders to be told apart. */
static bool too_many(const struct sim *sim, const struct sim_client *client)
{
	const struct sim_device *device = &sim->devices[client->device];

	for (unsigned i = 0; i < client->rules_count; i++)
		if (device->under_way[client->rules[i]] >= SIM_OPEN_MAX)
			return true;
	return client->op == WEIR_OP_GET && device->registers[client->rules[0]].gets != 0;
}

void sim_client_next(struct sim *sim, struct sim_client *client)
{
	if (sim->last_call) {
		client->done = true;
		return;
	}
	client->device = (uint8_t)sim_below(sim, sim->plan.devices);
	client->rules[0] = (uint8_t)sim_below(sim, sim->plan.rules);
	client->rules_count = 1;
	client->op = (uint8_t)pick_op(sim);
	if (client->op == WEIR_OP_PURGE)
		rules_of_shard(sim, client);
	if (too_many(sim, client)) {
		next_soon(sim, client);
		return;
	}
	client->ack = WEIR_ACK_INSYNC;
	if (client->op != WEIR_OP_GET && sim_chance(sim, sim->plan.local_ppm))
		client->ack = WEIR_ACK_LOCAL;
	client->node = client->believed[client->device];
	if (client->op == SIM_OP_READ)
		read_now(sim, client);
	else if (sim->nodes[client->node].alive)
		submit(sim, client);
	else {
		client->believed[client->device] = (uint8_t)anybody(sim);
		next_at(sim, client, sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(10)));
	}
}

static void fate_unknown(struct sim *sim, struct sim_client *client, uint32_t owner)
{
	sim->stats.unknown++;
	for (unsigned i = 0; i < client->rules_count; i++)
		if (client->op == WEIR_OP_GET)
			sim_model_forget(sim, client->device, client->rules[i], client->slots[i]);
		else
			sim_model_ghost(
				sim, client->device, client->rules[i], client->slots[i], owner);
}

static void refused(struct sim *sim, struct sim_client *client)
{
	sim->stats.refused++;
	for (unsigned i = 0; i < client->rules_count; i++)
		if (client->op == WEIR_OP_GET)
			sim_model_forget(sim, client->device, client->rules[i], client->slots[i]);
		else
			sim_model_never(sim, client->device, client->rules[i], client->slots[i]);
}

static uint32_t owner_of(const struct sim_node *node)
{
	return (node->number + 1) << 24 | node->life;
}

static void got(struct sim_worker *worker, struct sim_client *client, bool ok)
{
	const struct weir_entry *entry = &client->task.entry;
	struct sim_value value = {.cookie = (uint32_t)entry->rule.cookie, .state = entry->state};

	sim_sundry_read(worker->node->sim, client->device, client->rules[0], ok ? entry : NULL);
	if (ok && !worker->node->sim->plan.lossy &&
		!sim_bulk_whole(worker->node->sim, &entry->rule))
		sim_fail(worker->node->sim, "c%u is given rule %lu, not as it was written",
			client->number, entry->rule.cookie);
	sim_model_got(worker->node->sim, client->device, client->rules[0], client->slots[0],
		owner_of(worker->node), ok ? value : (struct sim_value){0});
}

/* What a master has applied and the copies need not have: it may be gone after a change of term. */
static void found(struct sim_worker *worker, struct sim_client *client, bool ok)
{
	struct sim *sim = worker->node->sim;
	uint32_t owner = owner_of(worker->node);

	sim->stats.ok++;
	if (client->ack != WEIR_ACK_LOCAL || client->op == WEIR_OP_GET)
		sim_watch_answered(worker, client, ok);
	if (client->op == WEIR_OP_GET) {
		got(worker, client, ok);
		return;
	}
	for (unsigned i = 0; i < client->rules_count; i++)
		if (client->ack == WEIR_ACK_LOCAL)
			sim_model_ghost(
				sim, client->device, client->rules[i], client->slots[i], owner);
		else
			sim_model_return(
				sim, client->device, client->rules[i], client->slots[i], owner, ok);
}

/* It found what it needed, but not as it must be. */
static void failed(struct sim_worker *worker, struct sim_client *client, int err)
{
	struct sim *sim = worker->node->sim;
	unsigned rule = client->rules[0], slot = client->slots[0];
	uint32_t owner = owner_of(worker->node);

	if (client->task.op == WEIR_OP_GET && err == WEIR_TOOBIG && sim->plan.bulky) {
		sim_watch_answered(worker, client, false);
		sim_model_toobig(sim, client->device, rule, slot, owner,
			client->task.room -
				(uint32_t)(offsetof(struct weir_entry, rule.data) +
					   sim->devices[client->device].rules[rule]->match_len));
	} else if (client->task.entry.created != 0 && err == WEIR_OLDER) {
		if (client->ack == WEIR_ACK_LOCAL) {
			sim_model_ghost(sim, client->device, rule, slot, owner);
			return;
		}
		sim_watch_answered(worker, client, false);
		sim_model_older(sim, client->device, rule, slot, owner);
	} else {
		sim_fail(sim, "operation %u is answered %s", client->op, weir_err_code(err));
	}
}

static void answered_ok(struct sim_worker *worker, struct sim_client *client)
{
	struct sim *sim = worker->node->sim;
	const struct share *share = sim_check_share(worker, client->device);

	if (sim->now_ns >= worker->lease_ns)
		sim_fail(sim, "n%u.%u answers OK after its lease", worker->node->number,
			worker->number);
	if (share != NULL && !sim->plan.lossy &&
		sim_coord_record(sim, client->device)->active < share->view.term)
		sim_fail(sim, "n%u.%u answers OK for d%u before its term is active",
			worker->node->number, worker->number, client->device);
	sim_twins_answered(worker);
	found(worker, client, true);
}

static void outcome(struct sim_worker *worker, struct sim_client *client, int err)
{
	struct sim *sim = worker->node->sim;

	switch (err) {
	case 0:
		answered_ok(worker, client);
		break;
	case WEIR_NOTFOUND:
	case WEIR_EXTRANEOUS:
		found(worker, client, false);
		break;
	case WEIR_OLDER:
	case WEIR_TOOBIG:
		failed(worker, client, err);
		break;
	case WEIR_UNKNOWN:
		fate_unknown(sim, client, owner_of(worker->node));
		break;
	case WEIR_NOTMASTER:
	case WEIR_FENCED:
	case WEIR_BUSY:
	case WEIR_TIMEOUT:
		refused(sim, client);
		break;
	default:
		sim_fail(sim, "an operation is answered %s", weir_err_code(err));
	}
}

static void returned(struct sim *sim, struct sim_client *client)
{
	client->waiting = false;
	for (unsigned i = 0; i < client->rules_count; i++)
		sim->devices[client->device].under_way[client->rules[i]]--;
}

void sim_client_answer(struct sim_worker *worker, struct weir_task *task)
{
	struct sim *sim = worker->node->sim;
	struct sim_client *client = task->owner;

	sim_note(sim, "%s is n%lu's answer to c%lu, cookie %lu",
		task->err == 0 ? "OK" : weir_err_code(task->err), worker->node->number,
		client->number, task->entry.rule.cookie, 0, 0, 0);
	if (!client->waiting || client->life != worker->node->life ||
		client->node != worker->node->number)
		sim_fail(sim, "n%u answers a task of c%u twice", worker->node->number,
			client->number);
	sim_sundry_seen(sim, worker->node, client);
	returned(sim, client);
	sim->stats.operations++;
	outcome(worker, client, task->err);
	if (task->err == WEIR_NOTMASTER || task->err == WEIR_FENCED) {
		follow(sim, client);
		next_at(sim, client, sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(10)));
	} else {
		next_soon(sim, client);
	}
}

/** Its process is gone: what has become of the task nobody knows. */
void sim_client_orphan(struct sim_node *node)
{
	struct sim *sim = node->sim;

	for (unsigned i = 0; i < sim->plan.clients; i++) {
		struct sim_client *client = &sim->clients[i];

		if (!client->waiting || client->node != node->number || client->life != node->life)
			continue;
		returned(sim, client);
		fate_unknown(sim, client, 0);
		client->believed[client->device] = (uint8_t)anybody(sim);
		next_at(sim, client, sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(20)));
	}
}

bool sim_clients_idle(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.clients; i++)
		if (sim->clients[i].waiting)
			return false;
	return true;
}

/** No task is forgotten: it is answered by its deadline, when nothing stood still. */
void sim_clients_check(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.clients; i++) {
		const struct sim_client *client = &sim->clients[i];
		const struct sim_node *node = &sim->nodes[client->node];
		uint64_t from_ns = client->task.deadline_ns > node->unpaused_ns
					   ? client->task.deadline_ns
					   : node->unpaused_ns;

		if (client->waiting && sim->now_ns > from_ns + SLACK_NS + 2 * sim->plan.idle_ns)
			sim_fail(sim, "n%u has not answered c%u, asked at %lu ms, cookie %lu",
				client->node, i, (unsigned long)(client->began_ns / WEIR_NS_PER_MS),
				(unsigned long)client->task.entry.rule.cookie);
	}
}
