/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <string.h>

#include "replica/state.h"
#include "sim.h"

struct sim_value sim_check_value(const struct sim_node *node, unsigned device, unsigned rule)
{
	struct sim *sim = node->sim;
	const struct weir_entry *entry = NULL;

	if (node->tables[device] != NULL)
		entry = weir_table_find(node->tables[device], sim->devices[device].rules[rule]);
	if (entry == NULL)
		return (struct sim_value){0};
	if (!sim->plan.lossy && !sim_bulk_whole(sim, &entry->rule))
		sim_fail(sim, "d%u rule %u: at n%u rule %lu is not as it was written", device, rule,
			node->number, entry->rule.cookie);
	return (struct sim_value){.cookie = (uint32_t)entry->rule.cookie, .state = entry->state};
}

/** As weir_device_may_read. */
bool sim_check_gate(const struct sim_node *node, unsigned device)
{
	const struct sim_standing *standing = &node->standing[device];

	return node->alive && standing->known && standing->view.role == WEIR_ROLE_MASTER &&
	       node->lease_ns > node->sim->now_ns && standing->view.active == standing->view.term &&
	       node->tables[device] != NULL &&
	       weir_table_fence(node->tables[device]) <= standing->view.term;
}

/** As a gate asks before it answers from the table. */
bool sim_check_firm(const struct sim_node *node, unsigned device, unsigned rule)
{
	return weir_table_is_firm(node->tables[device],
		weir_flow_bucket(node->sim->devices[device].rules[rule]->flow_id));
}

const struct share *sim_check_share(const struct sim_worker *worker, unsigned device)
{
	if (worker->replica == NULL)
		return NULL;
	return weir_share_find(worker->replica, worker->node->sim->devices[device].key);
}

/** Whether the worker would carry a write out and answer OK. */
bool sim_check_open(const struct sim_worker *worker, unsigned device, uint64_t *term)
{
	const struct share *share = sim_check_share(worker, device);

	uint64_t lease_ns = worker->lease_ns;

	if (!worker->node->alive || share == NULL || share->phase != PHASE_ACTIVE)
		return false;
	/* A turn begins with a look at the lease that the control core has. */
	if (weir_replica_lease_counts(
		    worker->replica, worker->node->lease_ns, worker->ring_count > 0))
		lease_ns = worker->node->lease_ns;
	if (lease_ns <= worker->node->sim->now_ns)
		return false;
	*term = share->view.term;
	return true;
}

static void workers_exclusive(struct sim *sim, unsigned device)
{
	int owner[WEIR_SHARDS];
	uint64_t term = 0;

	memset(owner, 0xff, sizeof(owner));
	for (unsigned i = 0; i < sim->plan.processes; i++)
		for (unsigned w = 0; w < sim->nodes[i].workers_count; w++) {
			const struct sim_worker *worker = &sim->nodes[i].workers[w];

			if (!sim_check_open(worker, device, &term))
				continue;
			for (unsigned shard = w; shard < WEIR_SHARDS;
				shard += sim->nodes[i].workers_count) {
				if (owner[shard] >= 0 && (!sim->plan.lossy || sim->options->strict))
					sim_fail(sim,
						"d%u: n%d and n%u both take writes, term %lu at "
						"n%u",
						device, owner[shard], i, term, i);
				owner[shard] = (int)i;
			}
		}
}

/* What waited for a term was failed when the worker ceased to lead. */
static void queues_failed(struct sim *sim, unsigned device)
{
	for (unsigned i = 0; i < sim->plan.processes; i++)
		for (unsigned w = 0; w < sim->nodes[i].workers_count; w++) {
			const struct sim_worker *worker = &sim->nodes[i].workers[w];
			const struct share *share;

			if (worker->replica == NULL)
				continue;
			share = weir_share_find(worker->replica, sim->devices[device].key);
			if (sim->nodes[i].alive && share != NULL && share->phase == PHASE_IDLE &&
				share->queue_head != NULL)
				sim_fail(sim, "d%u: n%u.%u leads no more and has tasks that wait",
					device, i, w);
		}
}

/** At most one node takes writes, and at most one lets its copy be read. */
void sim_check_masters(struct sim *sim, unsigned device)
{
	int open = -1;

	workers_exclusive(sim, device);
	queues_failed(sim, device);
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		if (!sim_check_gate(&sim->nodes[i], device))
			continue;
		if (open >= 0 && !sim->plan.lossy)
			sim_fail(sim, "d%u: n%d and n%u both may be read", device, open, i);
		open = (int)i;
	}
}

/** A term has become active: what its master holds is the truth. */
void sim_check_active(struct sim *sim, const struct weir_record *record)
{
	int device = sim_device_number(sim, record->device);
	const struct sim_node *node = sim_twins_now(sim, &record->master);

	if (record->term <= sim->devices[device].term_active && !sim->plan.lossy)
		sim_fail(sim, "d%d: term %lu becomes active after term %lu", device, record->term,
			sim->devices[device].term_active);
	sim->devices[device].term_active = record->term;
	sim->stats.terms++;
	sim_watch_truth(sim, (unsigned)device, record->term, node);
	if (node == NULL)
		return;
	sim_note(sim, "%sd%lu: what n%lu holds is the truth of term %lu", "", (uint64_t)device,
		node->number, record->term, 0, 0, 0);
	for (unsigned i = 0; i < sim->plan.rules; i++)
		sim_model_truth(
			sim, (unsigned)device, i, sim_check_value(node, (unsigned)device, i));
}

/* ------------------------------------------------------------------------------- copies --- */

/* As an outsider sees it: no function of the code under test is asked. */
static bool same_entry(const struct weir_entry *a, const struct weir_entry *b)
{
	if (a == NULL || b == NULL)
		return a == b;
	return a->created == b->created && a->state == b->state &&
	       weir_rule_bytes(&a->rule) == weir_rule_bytes(&b->rule) &&
	       memcmp(&a->rule, &b->rule, weir_rule_bytes(&a->rule)) == 0;
}

static bool same_digest(const struct weir_digest *a, const struct weir_digest *b)
{
	return a->term == b->term && a->seq == b->seq && a->hash == b->hash && a->count == b->count;
}

static bool same_entries(const struct sim *sim, const struct sim_node *a, const struct sim_node *b,
	unsigned device, unsigned bucket)
{
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		const struct weir_rule *rule = sim->devices[device].rules[i];
		const struct weir_entry *one, *two;

		if (weir_flow_bucket(rule->flow_id) != bucket)
			continue;
		one = weir_table_find(a->tables[device], rule);
		two = weir_table_find(b->tables[device], rule);
		if (!same_entry(one, two))
			return false;
	}
	return true;
}

static void compare(
	struct sim *sim, const struct sim_node *a, const struct sim_node *b, unsigned device)
{
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		unsigned bucket = weir_flow_bucket(sim->devices[device].rules[i]->flow_id);
		struct weir_digest one = weir_table_digest(a->tables[device], bucket);
		struct weir_digest two = weir_table_digest(b->tables[device], bucket);

		if (same_digest(&one, &two) && !same_entries(sim, a, b, device, bucket))
			sim_fail(sim, "d%u bucket %u: n%u and n%u differ under one digest", device,
				bucket, a->number, b->number);
	}
}

/** A digest says what a bucket holds; equal ones, that two hold the same. */
void sim_check_copies(struct sim *sim)
{
	for (unsigned device = 0; device < sim->plan.devices; device++)
		for (unsigned a = 0; a < sim->plan.processes; a++)
			for (unsigned b = a + 1; b < sim->plan.processes; b++)
				if (sim->nodes[a].tables[device] != NULL &&
					sim->nodes[b].tables[device] != NULL)
					compare(sim, &sim->nodes[a], &sim->nodes[b], device);
}

/* --------------------------------------------------------------------------------- rest --- */

static bool lives(const struct sim *sim, const struct weir_copy *copy)
{
	return sim_twins_now(sim, copy) != NULL;
}

/** No copy lives that holds all acknowledged writes: nobody may take over. */
bool sim_check_hopeless(const struct sim *sim, unsigned device)
{
	const struct weir_record *record = sim_coord_record(sim, device);

	if (record == NULL)
		return true;
	if (sim->plan.unclean)
		return false;
	for (unsigned i = 0; i < record->insync_count; i++)
		if (sim->plan.lossy ? lives(sim, &record->insync[i])
				    : sim_watch_lives(sim, &record->insync[i]))
			return false;
	return sim->devices[device].bereaved || sim->plan.lossy;
}

/* @return whether the copies are equal, down to the last bucket; else the first that differs is
 * noted
 */
static bool copies_equal(struct sim *sim, unsigned a, unsigned b, unsigned device)
{
	const struct weir_table *one = sim->nodes[a].tables[device];
	const struct weir_table *two = sim->nodes[b].tables[device];

	if (one == NULL || two == NULL)
		return one == two;
	/* Where they differed the last time, they are likely to differ still. */
	for (unsigned i = 0; i < WEIR_BUCKETS; i++) {
		unsigned bucket = (sim->devices[device].differs + i) % WEIR_BUCKETS;
		struct weir_digest x = weir_table_digest(one, bucket);
		struct weir_digest y = weir_table_digest(two, bucket);

		if (same_digest(&x, &y))
			continue;
		sim->devices[device].differs = bucket;
		sim_note(sim, "%sd%lu bucket %lu: n%lu has %lu.%lu with %lu entries", "", device,
			bucket, a, x.term, x.seq, x.count);
		sim_note(sim, "%sd%lu bucket %lu: n%lu has %lu.%lu with %lu entries", "", device,
			bucket, b, y.term, y.seq, y.count);
		return false;
	}
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		const struct weir_rule *rule = sim->devices[device].rules[i];

		if (!same_entry(weir_table_find(one, rule), weir_table_find(two, rule)))
			return false;
	}
	return true;
}

/* Counters have a lane of their own and stand in no digest. */
static bool counters_equal(struct sim *sim, unsigned a, unsigned b, unsigned device)
{
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		const struct weir_rule *rule = sim->devices[device].rules[i];
		const struct weir_entry *one = weir_table_find(sim->nodes[a].tables[device], rule);
		const struct weir_entry *two = weir_table_find(sim->nodes[b].tables[device], rule);

		/* Of a flow that no device has reported to this master, another may know more. */
		if (one == NULL || two == NULL || one->packets == two->packets ||
			one->last_seen_ms == 0)
			continue;
		sim_note(sim, "%sd%lu rule %lu: n%lu has %lu packets, n%lu %lu", "", device, i, a,
			one->packets, b, two->packets);
		return false;
	}
	return true;
}

static const char *device_rest(struct sim *sim, unsigned device)
{
	const struct weir_record *record = sim_coord_record(sim, device);
	const struct sim_node *master = sim_twins_now(sim, &record->master);
	unsigned backups = sim->plan.nodes - 1 < sim->plan.backup_count ? sim->plan.nodes - 1
									: sim->plan.backup_count;

	if (record->active != record->term)
		return "its term is not active";
	if (master == NULL)
		return "its master is dead";
	if (!sim_check_gate(master, device))
		return "its master's gate is closed";
	for (unsigned w = 0; w < master->workers_count; w++) {
		uint64_t term = 0;

		if (!sim_check_open(&master->workers[w], device, &term))
			return "a worker of its master takes no writes";
	}
	/* What an operator has taken out stays out. */
	if (record->backups_count < backups && sim->plan.fault_weight[SIM_FAULT_ROLE] == 0)
		return "it lacks backups";
	if (record->insync_count != record->backups_count + 1)
		return "its in-sync set is not whole";
	for (unsigned i = 0; i < record->insync_count; i++)
		if (!lives(sim, &record->insync[i]))
			return "a dead copy is in its in-sync set";
	return NULL;
}

static const char *copies_rest(struct sim *sim, unsigned device)
{
	const struct weir_record *record = sim_coord_record(sim, device);
	unsigned master = sim_twins_now(sim, &record->master)->number;

	for (unsigned i = 0; i < record->insync_count; i++) {
		unsigned copy = sim_twins_now(sim, &record->insync[i])->number;

		if (!copies_equal(sim, master, copy, device))
			return "its copies differ";
		if (!counters_equal(sim, master, copy, device))
			return "the counters of its copies differ";
	}
	return NULL;
}

static const char *queues_rest(const struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.processes; i++)
		for (unsigned w = 0; w < sim->nodes[i].workers_count; w++) {
			struct weir_replica_stats stats;

			if (sim->nodes[i].alive && sim_twins_runs(&sim->nodes[i]))
				return "a node runs twice";
			if (!sim->nodes[i].alive && !sim_twins_runs(&sim->nodes[i]))
				return "a node is down";
			if (!sim->nodes[i].alive)
				continue;
			weir_replica_stats(sim->nodes[i].workers[w].replica, &stats);
			if (stats.queued_now != 0 || stats.pending_now != 0)
				return "a queue is not empty";
		}
	return NULL;
}

/* @return NULL, or of which device it is not so, and what */
static const char *each_device(
	struct sim *sim, const char *(*is_so)(struct sim *sim, unsigned device))
{
	static char text[96];

	for (unsigned i = 0; i < sim->plan.devices; i++) {
		const char *what = sim_check_hopeless(sim, i) ? NULL : is_so(sim, i);

		if (what == NULL)
			continue;
		snprintf(text, sizeof(text), "d%u: %s", i, what);
		return text;
	}
	return NULL;
}

const char *sim_check_rest(struct sim *sim)
{
	const char *what = queues_rest(sim);

	if (what == NULL && !sim_clients_idle(sim))
		what = "a client waits";
	if (what == NULL)
		what = each_device(sim, device_rest);
	/* What costs most comes last: few come so far. */
	if (what == NULL)
		what = each_device(sim, copies_rest);
	return what;
}

/** All is at rest: what the master holds must be explained by all that was answered. */
void sim_check_final(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.devices; i++) {
		const struct weir_record *record = sim_coord_record(sim, i);

		if (sim_check_hopeless(sim, i)) {
			sim->stats.stuck += !sim->corrupted;
			continue;
		}
		for (unsigned rule = 0; rule < sim->plan.rules; rule++)
			sim_model_read(sim, i, rule,
				sim_check_value(sim_twins_now(sim, &record->master), i, rule));
	}
}
