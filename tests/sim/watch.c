/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What may not happen even for an instant, looked at where it would happen: an answer that rests
 * on what an in-sync copy lacks, something applied after a promise not to, a copy emptied that is
 * needed, a lease longer than the coordinator's, a time stamp that goes back, a version that names
 * two contents. Most of these do harm only when a second accident follows; here the first will do.
 */
#include <string.h>

#include "replica/state.h"
#include "sim.h"

/** Whether this process is the one that the record speaks of, whatever its lease. */
bool sim_watch_lives(const struct sim *sim, const struct weir_copy *copy)
{
	return sim_twins_holder(sim, copy) != NULL;
}

static bool any_lives(const struct sim *sim, const struct weir_record *record)
{
	for (unsigned i = 0; i < record->insync_count; i++)
		if (sim_watch_lives(sim, &record->insync[i]))
			return true;
	return false;
}

static bool names(const struct weir_record *record, const struct sim_node *node)
{
	if (record == NULL)
		return false;
	for (unsigned i = 0; i < record->insync_count; i++)
		if (sim_twins_holder(node->sim, &record->insync[i]) == node)
			return true;
	return false;
}

static const struct weir_record *first_record(const struct sim *sim, unsigned device)
{
	return weir_coord_rules_record(sim->coord.first, sim->devices[device].name);
}

/** What is judged of a device: not what was lost outside of the assumption, or by leave. */
bool sim_watch_judged(const struct sim *sim, unsigned device)
{
	return !sim->plan.lossy && !(sim->plan.unclean && sim->devices[device].bereaved);
}

/* ---------------------------------------------------------------------- time stamps --- */

static bool removal_open(const struct sim_register *reg)
{
	if (reg->blind)
		return true;
	for (uint32_t left = reg->open; left != 0; left &= left - 1)
		if (reg->slots[__builtin_ctz(left)].op == WEIR_OP_REMOVED ||
			reg->slots[__builtin_ctz(left)].op == WEIR_OP_PURGE)
			return true;
	return false;
}

/** An operation begins: what it stores must be newer than all that was acknowledged. */
void sim_watch_invoked(struct sim *sim, struct sim_client *client)
{
	uint64_t *floors = sim->devices[client->device].created;

	/* What comes after a removal need not be newer than what came before. */
	for (unsigned i = 0; i < client->rules_count; i++)
		if (client->op == WEIR_OP_REMOVED || client->op == WEIR_OP_PURGE)
			floors[client->rules[i]] = 0;
	client->created_floor = floors[client->rules[0]];
}

/* An ADD or MODIFY was answered OK. */
static void stored(struct sim_worker *worker, struct sim_client *client)
{
	struct sim *sim = worker->node->sim;
	struct sim_device *device = &sim->devices[client->device];
	uint64_t *floor = &device->created[client->rules[0]];
	const struct weir_table *table = worker->node->tables[client->device];
	const struct weir_entry *entry =
		table == NULL ? NULL : weir_table_find(table, device->rules[client->rules[0]]);

	if (entry == NULL || entry->rule.cookie != client->task.entry.rule.cookie ||
		removal_open(&device->registers[client->rules[0]]) ||
		!sim_watch_judged(sim, client->device))
		return;
	if (client->created_floor != 0 && *floor != 0 && entry->created <= client->created_floor)
		sim_fail(sim, "d%u rule %u: created goes back from %lu to %lu at n%u",
			client->device, client->rules[0], client->created_floor, entry->created,
			worker->node->number);
	if (entry->created > *floor)
		*floor = entry->created;
}

/* -------------------------------------------------------------------------- answers --- */

static struct weir_digest version_at(const struct sim_node *node, unsigned device, unsigned bucket)
{
	if (node->tables[device] == NULL)
		return (struct weir_digest){0};
	return weir_table_digest(node->tables[device], bucket);
}

static unsigned bucket_of(const struct sim_client *client)
{
	return weir_flow_bucket(client->task.entry.rule.flow_id);
}

/** A worker has been given a task: where it was carried out, its answer rests on this version. */
void sim_watch_given(struct sim_worker *worker, struct sim_client *client)
{
	const struct share *share = sim_check_share(worker, client->device);

	if (!client->waiting || share == NULL || share->queue_head != NULL)
		return;
	client->rests_known = true;
	client->rests = version_at(worker->node, client->device, bucket_of(client));
}

static void rests_on_all(struct sim_worker *worker, const struct sim_client *client,
	const struct weir_record *record)
{
	struct sim *sim = worker->node->sim;

	for (unsigned i = 0; record != NULL && i < record->insync_count; i++) {
		const struct sim_node *node = sim_twins_holder(sim, &record->insync[i]);
		struct weir_digest have;

		if (node == NULL)
			continue;
		have = version_at(node, client->device, bucket_of(client));
		if (weir_digest_compare(&have, &client->rests) < 0)
			sim_fail(sim,
				"n%u.%u answers c%u though n%u, which is in sync, lacks what the "
				"answer rests on: it has %lu.%lu of %lu.%lu",
				worker->node->number, worker->number, client->number, node->number,
				have.term, have.seq, client->rests.term, client->rests.seq);
	}
}

/** An answer that was to wait for the copies: whoever may be in sync has what it rests on. */
void sim_watch_answered(struct sim_worker *worker, struct sim_client *client, bool ok)
{
	struct sim *sim = worker->node->sim;

	if (ok && (client->op == WEIR_OP_ADD || client->op == WEIR_OP_MODIFY))
		stored(worker, client);
	if (client->op == WEIR_OP_PURGE)
		return;

	if (worker->at_hand == client) {
		client->rests_known = true;
		client->rests = version_at(worker->node, client->device, bucket_of(client));
	}
	if (!client->rests_known || !sim_watch_judged(sim, client->device))
		return;
	rests_on_all(worker, client, first_record(sim, client->device));
	rests_on_all(worker, client, sim_coord_record(sim, client->device));
}

/* -------------------------------------------------------------------------- promises --- */

/** Whoever answers a seal, or a master that wants to be joined, has promised that term. */
void sim_watch_said(struct sim_worker *worker, unsigned peer, const void *bytes, size_t len)
{
	struct weir_in in = weir_in(bytes, len);
	struct sim *sim = worker->node->sim;
	struct weir_wire_head head;
	const struct share *share;
	int device;

	if (weir_wire_get_head(&in, &head) != 0 ||
		(head.type != WEIR_WIRE_SEALED && head.type != WEIR_WIRE_SHARDS &&
			head.type != WEIR_WIRE_REFUSED))
		return;
	device = sim_device_by_key(sim, head.device_key);
	share = device < 0 ? NULL : sim_check_share(worker, (unsigned)device);
	if (share != NULL && head.type == WEIR_WIRE_REFUSED) {
		if (head.term == share->promised && share->promised_peer != peer &&
			share->promised_peer != WEIR_NO_PEER)
			sim_fail(sim,
				"n%u.%u refuses d%d and names a term that it would refuse too",
				worker->node->number, worker->number, device);
		return;
	}
	if (share != NULL && share->promised < head.term)
		sim_fail(sim, "n%u.%u says %s to term %lu of d%d, and has promised %lu only",
			worker->node->number, worker->number,
			weir_wire_type_name((enum weir_wire_type)head.type), head.term, device,
			share->promised);
}

/* What answers to questions have brought so far. */
static uint64_t answers_sum(const struct share *share)
{
	uint64_t sum = 0;

	for (unsigned i = 0; share->settle != NULL && i < share->settle->sources_count; i++) {
		const struct source *source = &share->settle->sources[i];

		sum += ((uint64_t)source->sealed << 32) + source->synced + source->digests_known;
	}
	for (unsigned i = 0; i < share->joins_count; i++)
		sum += share->joins[i]->shards_known + share->joins[i]->shards_compared;
	return sum;
}

static uint64_t content_sum(const struct sim_worker *worker, unsigned device)
{
	const struct weir_table *table = worker->node->tables[device];
	uint64_t sum = 0;

	for (unsigned shard = worker->number; table != NULL && shard < WEIR_SHARDS;
		shard += worker->node->workers_count)
		sum += weir_table_shard_digest(table, shard).sum;
	return sum;
}

/** A message is about to be delivered. @return what sim_watch_delivered is to be told */
struct sim_watched sim_watch_delivering(
	const struct sim_worker *worker, const void *bytes, size_t len)
{
	struct weir_in in = weir_in(bytes, len);
	struct sim_watched watched = {.device = -1};
	struct weir_wire_head head;
	const struct share *share;
	int device;

	if (weir_wire_get_head(&in, &head) != 0 ||
		(head.type != WEIR_WIRE_DELTA && head.type != WEIR_WIRE_BUCKET &&
			head.type != WEIR_WIRE_SEALED && head.type != WEIR_WIRE_SHARDS &&
			head.type != WEIR_WIRE_DIGESTS))
		return watched;
	device = sim_device_by_key(worker->node->sim, head.device_key);
	share = device < 0 ? NULL : sim_check_share(worker, (unsigned)device);
	if (share == NULL || head.term >= share->promised)
		return watched;
	watched.device = device;
	watched.term = head.term;
	watched.promised = share->promised;
	watched.sum = content_sum(worker, (unsigned)device) + answers_sum(share);
	return watched;
}

/** What is older than the promise has changed nothing. */
void sim_watch_delivered(const struct sim_worker *worker, const struct sim_watched *watched)
{
	const struct share *share =
		watched->device < 0 ? NULL : sim_check_share(worker, (unsigned)watched->device);

	if (share != NULL &&
		content_sum(worker, (unsigned)watched->device) + answers_sum(share) != watched->sum)
		sim_fail(worker->node->sim,
			"n%u.%u takes what is of term %lu of d%d, though it has promised %lu",
			worker->node->number, worker->number, watched->term, watched->device,
			watched->promised);
}

/* --------------------------------------------------------------------------- records --- */

/** A view lets this node's copy go: what the record it was made from says must allow it. */
void sim_watch_let_go(struct sim_node *node, unsigned device, const struct weir_record *record)
{
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(node->tenure, &count);

	if (record->active != record->term)
		sim_fail(node->sim, "n%u lets d%u go before term %lu is active", node->number,
			device, record->term);
	for (unsigned i = 0; i < record->backups_count; i++)
		for (unsigned j = 0; j < count; j++) {
			bool insync = false;

			if (!nodes[j].live || strcmp(nodes[j].id, record->backups[i]) != 0)
				continue;
			for (unsigned k = 0; k < record->insync_count; k++)
				insync |= strcmp(record->insync[k].node, nodes[j].id) == 0 &&
					  record->insync[k].incarnation == nodes[j].incarnation;
			if (!insync)
				sim_fail(node->sim,
					"n%u lets d%u go though backup %s is not in sync",
					node->number, device, nodes[j].id);
		}
}

static uint64_t entries(const struct sim_worker *worker, unsigned device)
{
	const struct weir_table *table = worker->node->tables[device];
	uint64_t count = 0;

	for (unsigned shard = worker->number; table != NULL && shard < WEIR_SHARDS;
		shard += worker->node->workers_count)
		count += weir_table_shard_digest(table, shard).count;
	return count;
}

/* A master that a copy has refused leads no term that this copy would refuse again. */
static void leads_again(struct sim_worker *worker, unsigned device)
{
	const struct share *share = sim_check_share(worker, device);

	if (share != NULL && share->phase != PHASE_IDLE && share->view.term <= share->overtaken)
		sim_fail(worker->node->sim,
			"n%u.%u leads term %lu of d%u again, and some copy takes nothing up to %lu",
			worker->node->number, worker->number, share->view.term, device,
			share->overtaken);
}

/** A worker takes a view: a copy that the coordinator has in the in-sync set stays. */
void sim_watch_view(struct sim_worker *worker, unsigned device)
{
	struct sim_node *node = worker->node;
	struct sim *sim = node->sim;
	bool needed = names(first_record(sim, device), node) &&
		      names(sim_coord_record(sim, device), node);
	uint64_t before = entries(worker, device);

	weir_replica_view(worker->replica, &node->standing[device].view);
	leads_again(worker, device);
	if (needed && sim_watch_judged(sim, device) && before > 0 && entries(worker, device) == 0)
		sim_fail(sim, "n%u.%u empties its copy of d%u, which is in sync", node->number,
			worker->number, device);
}

/** A node is dead: whose last in-sync copy was it? */
void sim_watch_death(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.devices; i++) {
		const struct weir_record *first = first_record(sim, i);
		const struct weir_record *second = sim_coord_record(sim, i);
		bool one = first != NULL && any_lives(sim, first);
		bool two = second != NULL && any_lives(sim, second);

		sim->devices[i].bereaved |= !one || !two;
	}
}

/** A lease ends for its holder not after it ends for the others. */
void sim_watch_lease(const struct sim_node *node, uint64_t until_ns)
{
	if (until_ns > node->sim->coord.lease_end_ns[node->number])
		sim_fail(node->sim, "n%u has a lease until %lu us, the coordinator until %lu us",
			node->number, (uint64_t)(until_ns / WEIR_NS_PER_US),
			(uint64_t)(node->sim->coord.lease_end_ns[node->number] / WEIR_NS_PER_US));
}

/** All of a share is settled, as its worker says. */
void sim_watch_settled(struct sim_node *node, unsigned device, unsigned worker, uint64_t term)
{
	struct sim_settled *settled = &node->settled[device];

	if (settled->term != term)
		*settled = (struct sim_settled){.term = term};
	settled->workers |= 1U << worker;
	settled->at_ns = node->sim->now_ns;
}

/**
 * A master asks for its term to become active: all workers have settled, and where no backup is
 * in sync yet, a live one was waited for.
 */
void sim_watch_activating(struct sim_node *node, const struct weir_record *want)
{
	struct sim *sim = node->sim;
	int device = sim_device_number(sim, want->device);
	const struct sim_settled *settled = &node->settled[device];
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(node->tenure, &count);

	if (settled->term != want->term ||
		settled->workers != (uint32_t)((1ULL << node->workers_count) - 1))
		sim_fail(sim, "n%u activates term %lu of d%d before its workers have settled",
			node->number, want->term, device);
	if (want->insync_count > 1 ||
		sim->now_ns >= settled->at_ns + SIM_MS(sim->plan.join_grace_ms))
		return;
	for (unsigned i = 0; i < want->backups_count; i++)
		for (unsigned j = 1; j < count; j++)
			if (nodes[j].live && strcmp(nodes[j].id, want->backups[i]) == 0)
				sim_fail(sim,
					"n%u activates term %lu of d%d and does not wait for %s",
					node->number, want->term, device, nodes[j].id);
}

/* --------------------------------------------------------------------------- new terms --- */

/**
 * A node asks for a new term: above all that it knows of, and, where it takes over from another,
 * not before it knows who lives after it has met another coordinator.
 */
void sim_watch_term(struct sim_node *node, const struct weir_coord_request *asked)
{
	struct sim *sim = node->sim;
	int device = sim_device_number(sim, asked->record->device);
	const struct sim_standing *standing = &node->standing[device];

	if (!standing->known)
		return;
	if (asked->seen_term < standing->view.term)
		sim_fail(sim, "n%u asks for a term of d%d above %lu, and knows of %lu",
			node->number, device, asked->seen_term, standing->view.term);
	if (asked->seen_term < node->deposed[device])
		sim_fail(sim,
			"n%u asks for a term of d%d above %lu, and its copies have promised %lu",
			node->number, device, asked->seen_term, node->deposed[device]);
	if (node->operators == 0 && strcmp(asked->record->master.node, node->id) == 0 &&
		strcmp(standing->record.master.node, node->id) != 0 &&
		sim->now_ns < node->other_run_ns + SIM_MS(sim->plan.lease_ms))
		sim_fail(sim, "n%u takes d%d over though it has just met another coordinator",
			node->number, device);
}

/** The coordinator's answer to a RENEW is about to be heard. */
void sim_watch_renewed(struct sim_node *node, uint64_t run)
{
	if (node->run != 0 && node->run != run)
		node->other_run_ns = node->sim->now_ns;
	node->run = run;
}

/* ----------------------------------------------------------------------- versions --- */

/* SplitMix64's finaliser (Steele, Lea and Flood, 2014). */
static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* What a bucket holds of the rules that clients use, whatever the code's own digests say. */
static uint64_t content_of(const struct sim_node *node, unsigned device, unsigned bucket)
{
	const struct sim_device *d = &node->sim->devices[device];
	uint64_t content = 0;

	for (unsigned i = 0; i < node->sim->plan.rules; i++) {
		const struct weir_entry *entry;

		if (weir_flow_bucket(d->rules[i]->flow_id) != bucket)
			continue;
		entry = weir_table_find(node->tables[device], d->rules[i]);
		if (entry != NULL)
			content += mix(
				mix(mix(entry->rule.cookie + i) + entry->state) + entry->created);
	}
	return content;
}

static void version_names(struct sim *sim, unsigned device, unsigned bucket,
	const struct weir_digest *digest, uint64_t content)
{
	uint64_t key =
		mix(mix(mix(device * WEIR_BUCKETS + bucket + 1) + digest->term) + digest->seq);
	struct sim_version *version = &sim->versions[key % SIM_VERSIONS];

	if (version->key == key && version->content != content)
		sim_fail(sim, "d%u bucket %u: version %lu.%lu has two contents", device, bucket,
			digest->term, digest->seq);
	version->key = key;
	version->content = content;
}

/* A version goes back where a copy is brought to the master of a new term, once in it. */
static void version_grows(
	struct sim_node *node, unsigned device, unsigned rule, const struct weir_digest *digest)
{
	struct sim_seen *seen = &node->seen[device][rule];
	unsigned worker =
		(unsigned)(weir_flow_shard(node->sim->devices[device].rules[rule]->flow_id) %
			   node->workers_count);
	const struct share *share = sim_check_share(&node->workers[worker], device);
	uint64_t promised = share == NULL ? 0 : share->promised;

	if (digest->term < seen->term || (digest->term == seen->term && digest->seq < seen->seq)) {
		if (promised <= seen->fell_in && digest->seq != 0)
			sim_fail(node->sim,
				"n%u d%u rule %u: its bucket's version goes back from %lu.%lu to "
				"%lu.%lu within term %lu",
				node->number, device, rule, seen->term, seen->seq, digest->term,
				digest->seq, promised);
		seen->fell_in = promised;
	}
	seen->term = digest->term;
	seen->seq = digest->seq;
}

/* Where changes do not arrive some are lost, but none is taken without those before it. */
static bool are_named(const struct sim *sim, unsigned device)
{
	return sim_watch_judged(sim, device) ||
	       (sim->plan.corrupt == SIM_CORRUPT_HEAD && !sim->corrupted);
}

/** Versions of all copies: each names one content, and grows. */
void sim_watch_versions(struct sim *sim)
{
	for (unsigned i = 0; i < sim->plan.processes; i++)
		for (unsigned device = 0; device < sim->plan.devices; device++)
			for (unsigned rule = 0; rule < sim->plan.rules; rule++) {
				struct sim_node *node = &sim->nodes[i];
				unsigned bucket =
					weir_flow_bucket(sim->devices[device].rules[rule]->flow_id);
				struct weir_digest digest;

				if (node->tables[device] == NULL || !are_named(sim, device))
					continue;
				digest = weir_table_digest(node->tables[device], bucket);
				version_names(sim, device, bucket, &digest,
					content_of(node, device, bucket));
				if (sim_watch_judged(sim, device))
					version_grows(node, device, rule, &digest);
			}
}
