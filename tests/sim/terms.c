/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From term to term: whoever had a lease when a term was made has promised it when it settles, and
 * what settles is what the in-sync copies of the last active term had, not less and not more.
 */
#include <string.h>

#include "replica/state.h"
#include "sim.h"

/** The coordinator has made a new term; `at_ns`: when it did. */
void sim_watch_made(struct sim *sim, const struct weir_record *record, uint64_t at_ns)
{
	struct sim_device *device = &sim->devices[sim_device_number(sim, record->device)];
	struct sim_made *made = &device->made;

	*made = (struct sim_made){
		.record = *record, .first = device->settled_term <= record->active};
	for (unsigned i = 0; i < sim->plan.processes; i++) {
		made->life[i] = sim->nodes[i].life;
		if (sim->coord.lease_end_ns[i] > at_ns)
			made->lease_end_ns[i] = sim->coord.lease_end_ns[i];
	}
}

/** A node has given its lease up: it need not be waited for. */
void sim_watch_left(struct sim *sim, unsigned node)
{
	for (unsigned i = 0; i < sim->plan.devices; i++)
		sim->devices[i].made.lease_end_ns[node] = 0;
}

/** A term is active; `node`: its master, NULL: it is dead, and what it held is not known. */
void sim_watch_truth(struct sim *sim, unsigned device, uint64_t term, const struct sim_node *node)
{
	struct sim_device *d = &sim->devices[device];

	d->truth_term = node == NULL || node->tables[device] == NULL ? 0 : term;
	for (unsigned i = 0; d->truth_term != 0 && i < sim->plan.rules; i++)
		d->truth[i] = weir_table_digest(
			node->tables[device], weir_flow_bucket(d->rules[i]->flow_id));
}

static bool had_lease(const struct sim_made *made, const struct sim_node *node)
{
	return node->alive && !node->dying && made->life[node->number] == node->life &&
	       node->sim->now_ns < made->lease_end_ns[node->number];
}

/* What the other's worker knows of a shard's device. */
static const struct share *share_of(const struct sim_node *node, unsigned device, unsigned shard)
{
	return sim_check_share(&node->workers[shard % node->workers_count], device);
}

static void has_promised(
	struct sim_worker *worker, unsigned device, uint64_t term, const struct sim_node *other)
{
	for (unsigned shard = worker->number; shard < WEIR_SHARDS;
		shard += worker->node->workers_count) {
		const struct share *share = share_of(other, device, shard);

		if (share == NULL || share->promised < term)
			sim_fail(worker->node->sim,
				"n%u.%u settles term %lu of d%u, and n%u, which had a lease when "
				"it was made, has not promised it",
				worker->node->number, worker->number, term, device, other->number);
	}
}

static bool is_named(const struct weir_record *record, const char *id)
{
	for (unsigned i = 0; i < record->insync_count; i++)
		if (strcmp(record->insync[i].node, id) == 0)
			return true;
	for (unsigned i = 0; i < record->backups_count; i++)
		if (strcmp(record->backups[i], id) == 0)
			return true;
	return strcmp(record->master.node, id) == 0;
}

/* A backup since the term was made only: it need not be asked any more. */
static bool is_late(struct sim *sim, unsigned device, const struct sim_node *node)
{
	const struct weir_record *now = sim_coord_record(sim, device);

	return now != NULL && is_named(now, node->id) &&
	       !is_named(&sim->devices[device].made.record, node->id);
}

static bool is_member(
	const struct sim_node *node, const struct weir_view *view, const struct sim_node *other)
{
	for (unsigned i = 0; i < view->members_count; i++)
		if (sim_node_by_peer(node, view->members[i].peer) == other->name)
			return true;
	return false;
}

/* Whoever the view names and had a lease has promised, while that lease may last. */
static void all_have_promised(
	struct sim_worker *worker, unsigned device, const struct weir_view *view)
{
	struct sim_node *node = worker->node;
	const struct sim_made *made = &node->sim->devices[device].made;

	for (unsigned i = 0; i < node->sim->plan.processes; i++) {
		const struct sim_node *other = &node->sim->nodes[i];

		if (other != node && is_member(node, view, other) && had_lease(made, other) &&
			!is_late(node->sim, device, other))
			has_promised(worker, device, view->term, other);
	}
}

/* Nothing but what the last active term had, or was written in it. */
static void not_more(struct sim_worker *worker, unsigned device, unsigned rule)
{
	const struct sim_device *d = &worker->node->sim->devices[device];
	const struct weir_digest *truth = &d->truth[rule];
	struct weir_digest have = weir_table_digest(
		worker->node->tables[device], weir_flow_bucket(d->rules[rule]->flow_id));

	if (have.term != d->truth_term && (have.term != truth->term || have.seq != truth->seq))
		sim_fail(worker->node->sim,
			"n%u.%u settles d%u rule %u at version %lu.%lu; term %lu, the last that "
			"was active, began at %lu.%lu",
			worker->node->number, worker->number, device, rule, have.term, have.seq,
			d->truth_term, truth->term, truth->seq);
}

/* An in-sync copy that was sealed has nothing newer. */
static void not_less(struct sim_worker *worker, unsigned device, unsigned rule)
{
	struct sim *sim = worker->node->sim;
	const struct sim_made *made = &sim->devices[device].made;
	uint64_t flow_id = sim->devices[device].rules[rule]->flow_id;
	struct weir_digest have =
		weir_table_digest(worker->node->tables[device], weir_flow_bucket(flow_id));

	for (unsigned i = 0; i < made->record.insync_count; i++) {
		const struct weir_copy *copy = &made->record.insync[i];
		const struct sim_node *other = sim_twins_holder(sim, copy);
		const struct share *share;
		struct weir_digest theirs;

		if (other == NULL || !had_lease(made, other))
			continue;
		share = share_of(other, device, weir_flow_shard(flow_id));
		if (share == NULL || share->promised != made->record.term)
			continue;
		theirs = weir_table_digest(other->tables[device], weir_flow_bucket(flow_id));
		if (weir_digest_compare(&theirs, &have) > 0)
			sim_fail(sim,
				"n%u.%u settles d%u rule %u at version %lu.%lu, and n%u, which is "
				"in sync, has %lu.%lu",
				worker->node->number, worker->number, device, rule, have.term,
				have.seq, other->number, theirs.term, theirs.seq);
	}
}

/** A worker has settled its part of a term. */
void sim_watch_settle(struct sim_worker *worker, unsigned device, uint64_t term)
{
	struct sim *sim = worker->node->sim;
	struct sim_device *d = &sim->devices[device];
	const struct share *share = sim_check_share(worker, device);

	if (term > d->settled_term)
		d->settled_term = term;
	/* What settles late, between the making of a newer term and its settling, is in its way
	 * too. */
	if (term < d->made.record.term && term > d->made.record.active)
		d->made.first = false;
	/* By leave of the operator, without those that could not be asked. */
	if (share != NULL && share->view.unclean)
		d->bereaved = true;
	if (share == NULL || d->made.record.term != term || !sim_watch_judged(sim, device))
		return;
	all_have_promised(worker, device, &share->view);
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		if (weir_flow_shard(d->rules[i]->flow_id) % worker->node->workers_count !=
			worker->number)
			continue;
		if (d->truth_term != 0 && d->truth_term == d->made.record.active)
			not_more(worker, device, i);
		if (d->made.first)
			not_less(worker, device, i);
	}
}

/* ------------------------------------------------------------------------- letting go --- */

static bool has_copy(const struct sim *sim, const struct weir_record *record, const char *id)
{
	for (unsigned i = 0; i < record->insync_count; i++)
		if (strcmp(record->insync[i].node, id) == 0)
			return sim_watch_lives(sim, &record->insync[i]);
	return false;
}

/* A CHANGE on its way that may yet put the node into the in-sync set. */
static bool may_become(const struct sim_node *node, const struct weir_record *first, const char *id)
{
	const struct sim *sim = node->sim;

	for (unsigned i = 1; i <= sim->heap_count; i++) {
		const struct sim_request *request = sim->heap[i].what;
		const struct weir_coord_request *asked;

		if (sim->heap[i].kind != SIM_REQUEST || request->carried)
			continue;
		asked = &request->copy.request;
		if (asked->kind == WEIR_COORD_CHANGE && !asked->new_term &&
			request->node == node->number && request->life == node->life &&
			strcmp(asked->record->device, first->device) == 0 &&
			asked->record->term == first->term &&
			asked->record->active == first->term &&
			asked->expected_revision == first->revision &&
			has_copy(sim, asked->record, id))
			return true;
	}
	return false;
}

/* A new attempt of a member that is not in sync: writes do not wait for it any more. */
static void released(struct sim_node *node, unsigned device, const struct weir_member *member)
{
	struct sim *sim = node->sim;
	const char *id = sim->nodes[sim_node_by_peer(node, member->peer)].id;
	const struct weir_record *first =
		weir_coord_rules_record(sim->coord.first, sim->devices[device].name);
	const struct weir_record *second = sim_coord_record(sim, device);

	if (first == NULL || second == NULL || first->term != node->standing[device].view.term ||
		second->term != first->term || first->active != first->term)
		return;
	if ((second->active == second->term && has_copy(sim, second, id)) ||
		may_become(node, first, id))
		sim_fail(sim,
			"n%u waits for %s on d%u no more, and the coordinator may have it "
			"in the in-sync set",
			node->number, id, device);
}

/** A view is about to replace the one before. */
void sim_watch_attempts(struct sim_node *node, unsigned device, const struct weir_view *view)
{
	const struct weir_view *before = &node->standing[device].view;

	if (!node->standing[device].known || view->role != WEIR_ROLE_MASTER ||
		before->role != WEIR_ROLE_MASTER || view->term != before->term ||
		view->active != view->term || !sim_watch_judged(node->sim, device))
		return;
	for (unsigned i = 0; i < view->members_count; i++)
		for (unsigned j = 0; j < before->members_count; j++)
			if (view->members[i].peer == before->members[j].peer &&
				view->members[i].attempt != before->members[j].attempt &&
				!view->members[i].insync)
				released(node, device, &view->members[i]);
}
