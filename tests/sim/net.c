/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "wire/varint.h"
#include "wire/wire.h"

static bool share_shards(unsigned v, unsigned v_count, unsigned w, unsigned w_count)
{
	unsigned least = v_count < w_count ? v_count : w_count;

	return v % least == w % least;
}

static void end_begin(struct sim_end *end, struct sim_pair *pair, struct sim_worker *worker,
	struct sim_end *other)
{
	*end = (struct sim_end){.worker = worker, .other = other, .pair = pair};
	end->tail = &end->head;
}

static void end_list(struct sim_end *end)
{
	struct sim_worker *worker = end->worker;
	struct sim_worker *other = end->other->worker;

	worker->ends[worker->ends_count++] = end;
	worker->end_of[other->node->number][other->number] = end;
}

static void pair_begin(struct sim *sim, struct sim_worker *a, struct sim_worker *b)
{
	struct sim_pair *pair = &sim->pairs[sim->pairs_count++];

	*pair = (struct sim_pair){.look_ns = SIM_NEVER};
	end_begin(&pair->ends[0], pair, a, &pair->ends[1]);
	end_begin(&pair->ends[1], pair, b, &pair->ends[0]);
	end_list(&pair->ends[0]);
	end_list(&pair->ends[1]);
}

static void pairs_begin(struct sim *sim, unsigned a, unsigned b)
{
	const struct sim_plan *plan = &sim->plan;

	for (unsigned v = 0; v < plan->workers_most[a]; v++)
		for (unsigned w = 0; w < plan->workers_most[b]; w++)
			if (plan->regrow || share_shards(v, plan->workers[a], w, plan->workers[b]))
				pair_begin(
					sim, &sim->nodes[a].workers[v], &sim->nodes[b].workers[w]);
}

void sim_net_begin(struct sim *sim)
{
	unsigned most = SIM_PROCESSES * SIM_PROCESSES * SIM_WORKERS * SIM_WORKERS / 2;

	sim->pairs = calloc(most, sizeof(*sim->pairs));
	weir_assert(sim->pairs != NULL);
	for (unsigned a = 0; a < sim->plan.processes; a++)
		for (unsigned b = a + 1; b < sim->plan.processes; b++)
			if (sim->nodes[a].name != sim->nodes[b].name)
				pairs_begin(sim, a, b);
}

static void queue_clear(struct sim_end *end)
{
	while (end->head != NULL) {
		struct sim_message *message = end->head;

		end->head = message->next;
		free(message);
	}
	end->tail = &end->head;
	end->bytes = 0;
}

void sim_net_end(struct sim *sim)
{
	for (unsigned i = 0; i < sim->pairs_count; i++) {
		queue_clear(&sim->pairs[i].ends[0]);
		queue_clear(&sim->pairs[i].ends[1]);
	}
	free(sim->pairs);
}

static bool blocked(const struct sim *sim, const struct sim_end *from, const struct sim_end *to)
{
	return sim->blocked_ns[from->worker->node->number][to->worker->node->number] > sim->now_ns;
}

/* ------------------------------------------------------------------------------ messages --- */

size_t sim_net_room(struct sim_worker *worker, unsigned node, unsigned channel)
{
	const struct sim_end *end = worker->end_of[node][channel];
	size_t most = worker->node->sim->room_bytes;

	if (end == NULL || end->told == 0)
		return 0;
	return end->other->bytes < most ? most - end->other->bytes : 0;
}

static uint64_t delay(struct sim *sim)
{
	const struct sim_plan *plan = &sim->plan;

	if (!sim->calm && sim_chance(sim, plan->tail_ppm))
		return sim_between(sim, plan->delay_ns, plan->delay_tail_ns);
	return sim_between(sim, plan->delay_ns / 4, plan->delay_ns);
}

/* What the link's checksum lets through: a byte of the content, or of the head. */
static void corrupt(struct sim *sim, struct sim_message *message)
{
	unsigned kind = sim->plan.corrupt;
	struct weir_in in = weir_in(message->bytes, message->len);
	struct weir_wire_bucket part;
	struct weir_wire_head head;
	uint32_t from;

	if (kind == SIM_CORRUPT_NONE || sim->calm || weir_wire_get_head(&in, &head) != 0 ||
		head.type != (kind == SIM_CORRUPT_BUCKET ? WEIR_WIRE_BUCKET : WEIR_WIRE_DELTA))
		return;
	if (kind == SIM_CORRUPT_BUCKET)
		weir_wire_get_bucket(&in, &part);
	else
		weir_in_varint(&in); /* its seq */
	from = (uint32_t)(in.at - message->bytes);
	if (message->len <= from || !sim_chance(sim, sim->plan.corrupt_ppm))
		return;
	sim->stats.corrupted++;
	if (kind == SIM_CORRUPT_HEAD)
		message->bytes[0] = 0xff; /* no such version, no such type */
	else
		message->bytes[from + sim_below(sim, message->len - from)] ^=
			(uint8_t)(1U << sim_below(sim, 8));
}

/* Who promises becomes master itself, and the asker again, before the promise is there. */
static uint64_t linger(
	struct sim_worker *from, const struct sim_worker *to, const struct sim_message *message)
{
	struct sim *sim = from->node->sim;
	struct weir_in in = weir_in(message->bytes, message->len);
	struct weir_wire_head head;
	int device;

	if (sim->calm || weir_wire_get_head(&in, &head) != 0 || head.type != WEIR_WIRE_SEALED ||
		!sim_chance(sim, sim->plan.linger_ppm))
		return 0;
	device = sim_device_by_key(sim, head.device_key);
	if (device < 0)
		return 0;
	sim_push(sim, SIM_OPERATE, sim->now_ns + SIM_US(10), from->node->number, (unsigned)device,
		NULL);
	sim_push(sim, SIM_OPERATE, sim->now_ns + sim_between(sim, SIM_MS(5), SIM_MS(20)),
		to->node->number, (unsigned)device, NULL);
	return sim_between(sim, SIM_MS(10), SIM_MS(60));
}

/* A source is lost in the middle of what it was asked for. */
static void snap(struct sim *sim, struct sim_pair *pair, const struct sim_message *message)
{
	struct weir_in in = weir_in(message->bytes, message->len);
	struct weir_wire_head head;

	if (!sim->calm && weir_wire_get_head(&in, &head) == 0 &&
		head.type == WEIR_WIRE_BUCKET_GET && sim_chance(sim, sim->plan.snap_ppm))
		sim_push(sim, SIM_FLUTTER, sim->now_ns + sim_below(sim, 2 * sim->plan.delay_ns), 0,
			0, pair);
}

void sim_net_send(
	struct sim_worker *worker, unsigned node, unsigned channel, const void *bytes, size_t len)
{
	struct sim *sim = worker->node->sim;
	struct sim_end *end = worker->end_of[node][channel];
	struct sim_end *to;
	struct sim_message *message;

	if (end == NULL || end->told == 0 || len > WEIR_MESSAGE_BYTES_MAX)
		sim_fail(sim, "n%u.%u sends %zu bytes to n%u.%u, where no session is",
			worker->node->number, worker->number, len, node, channel);
	to = end->other;
	/* Less room than there was does not undo what was promised within this turn. */
	if (to->bytes + len > SIM_ROOM_BYTES)
		sim_fail(sim, "n%u.%u sends more to n%u.%u than there is room for",
			worker->node->number, worker->number, node, channel);
	if (end->session != end->told)
		return;
	message = malloc(sizeof(*message) + len);
	weir_assert(message != NULL);
	message->next = NULL;
	message->session = end->session;
	message->len = (uint32_t)len;
	memcpy(message->bytes, bytes, len);
	message->at_ns = sim->now_ns + delay(sim) + linger(worker, to->worker, message);
	if (message->at_ns < to->last_ns)
		message->at_ns = to->last_ns;
	to->last_ns = message->at_ns;
	corrupt(sim, message);
	sim_bulk_sent(sim, to, message);
	*to->tail = message;
	to->tail = &message->next;
	to->bytes += len;
	if (!blocked(sim, end, to))
		sim_node_wake(to->worker, message->at_ns);
	snap(sim, end->pair, message);
}

static void note_message(struct sim_end *end, const struct sim_message *message)
{
	struct weir_in in = weir_in(message->bytes, message->len);
	struct sim_worker *to = end->worker, *from = end->other->worker;
	struct weir_wire_head head;

	if (weir_wire_get_head(&in, &head) != 0 || head.type == WEIR_WIRE_ACK ||
		head.type == WEIR_WIRE_DIGESTS || head.type == WEIR_WIRE_CHECK)
		return;
	sim_note(to->node->sim, "%s d%lu n%lu.%lu -> n%lu.%lu term %lu",
		weir_wire_type_name((enum weir_wire_type)head.type),
		(uint64_t)sim_device_by_key(to->node->sim, head.device_key), from->node->number,
		from->number, to->node->number, to->number, head.term);
}

static void deliver_one(struct sim_end *end, struct sim_message *message)
{
	struct sim_worker *worker = end->worker;
	struct sim_worker *from = end->other->worker;

	struct sim_watched watched = sim_watch_delivering(worker, message->bytes, message->len);

	note_message(end, message);
	weir_replica_message(worker->replica, worker->node->peer_of[from->node->number],
		from->number, message->bytes, message->len);
	sim_watch_delivered(worker, &watched);
}

static unsigned deliver(struct sim_end *end)
{
	struct sim *sim = end->worker->node->sim;
	unsigned count = 0;

	if (end->told == 0 || end->told != end->session || blocked(sim, end->other, end))
		return 0;
	while (end->head != NULL && end->head->at_ns <= sim->now_ns &&
		end->head->session == end->told && !end->worker->node->dying) {
		struct sim_message *message = end->head;

		end->head = message->next;
		if (end->head == NULL)
			end->tail = &end->head;
		/* Room comes back with the link's acknowledgement, which takes the other way. */
		if (!blocked(sim, end, end->other))
			end->bytes -= message->len;
		deliver_one(end, message);
		free(message);
		count++;
	}
	return count;
}

unsigned sim_net_deliver(struct sim_worker *worker)
{
	unsigned first = worker->ends_count < 2
				 ? 0
				 : (unsigned)(worker->node->sim->event_number % worker->ends_count);
	unsigned count = 0;

	for (unsigned i = first; i < worker->ends_count; i++)
		count += deliver(worker->ends[i]);
	for (unsigned i = 0; i < first; i++)
		count += deliver(worker->ends[i]);
	return count;
}

uint64_t sim_net_next(const struct sim_worker *worker)
{
	const struct sim *sim = worker->node->sim;
	uint64_t next_ns = SIM_NEVER;

	for (unsigned i = 0; i < worker->ends_count; i++) {
		const struct sim_end *end = worker->ends[i];

		if (end->session != end->told)
			return sim->now_ns;
		if (end->head != NULL && end->head->session == end->told &&
			!blocked(sim, end->other, end) && end->head->at_ns < next_ns)
			next_ns = end->head->at_ns;
	}
	return next_ns;
}

/* ------------------------------------------------------------------------------ sessions --- */

/* What is not delivered is dropped, both ways. */
void sim_net_close(struct sim_end *end)
{
	struct sim *sim = end->worker->node->sim;

	if (end->session == 0)
		return;
	sim_note(sim, "%sn%lu.%lu loses its session with n%lu.%lu", "", end->worker->node->number,
		end->worker->number, end->other->worker->node->number, end->other->worker->number,
		0, 0);
	end->session = 0;
	end->pair->half = false;
	queue_clear(end);
	queue_clear(end->other);
	sim_node_wake(end->worker, sim->now_ns);
	sim_net_look_soon(end->pair);
}

/** Called by a worker in its turn: the replica hears of what has become of its sessions. */
void sim_net_tell(struct sim_worker *worker)
{
	struct sim_node *node = worker->node;

	for (unsigned i = 0; i < worker->ends_count; i++) {
		struct sim_end *end = worker->ends[i];
		struct sim_worker *other = end->other->worker;
		unsigned peer = node->peer_of[other->node->number];

		if (end->told == end->session)
			continue;
		if (end->told != 0)
			weir_replica_down(worker->replica, peer, other->number);
		end->told = end->session;
		if (end->told != 0)
			weir_replica_up(worker->replica, peer, other->number,
				other->node->workers_count, worker->met[other->node->number]);
	}
}

void sim_net_look_soon(struct sim_pair *pair)
{
	struct sim *sim = pair->ends[0].worker->node->sim;
	uint64_t at_ns = sim->now_ns + sim_between(sim, SIM_US(20), SIM_MS(3));

	if (!sim->calm && sim_chance(sim, 100000))
		at_ns += sim_between(sim, 0, SIM_MS(50));
	if (pair->look_ns <= at_ns)
		return;
	pair->look_ns = at_ns;
	pair->look_seq = sim_push(sim, SIM_LINK, at_ns, 0, 0, pair);
}

static bool ready(const struct sim_end *end)
{
	const struct sim_worker *worker = end->worker, *other = end->other->worker;

	if (worker->number >= worker->node->workers_count ||
		other->number >= other->node->workers_count ||
		!share_shards(worker->number, worker->node->workers_count, other->number,
			other->node->workers_count))
		return false;
	return worker->node->alive && other->node->alive && worker->incarnation != 0 &&
	       other->incarnation != 0 && worker->met[other->node->number] == other->incarnation;
}

static void open_end(struct sim_end *end, uint64_t session)
{
	end->session = session;
	sim_note(end->worker->node->sim, "%sn%lu.%lu has session %lu with n%lu.%lu", "",
		end->worker->node->number, end->worker->number, session,
		end->other->worker->node->number, end->other->worker->number, 0);
	sim_node_wake(end->worker, end->worker->node->sim->now_ns);
}

/* The end with the newer session, or any where both have none. */
static struct sim_end *ahead(struct sim *sim, struct sim_pair *pair)
{
	if (pair->ends[0].session != pair->ends[1].session)
		return &pair->ends[pair->ends[1].session > pair->ends[0].session];
	return &pair->ends[sim_below(sim, 2)];
}

/* @return whether there is more to do soon */
static bool step(struct sim_pair *pair, struct sim_end *first)
{
	struct sim_end *second = first->other;
	bool both_ready = ready(first) && ready(second);

	if (first->session == second->session && first->session != 0)
		return false;
	if (first->session == 0) {
		if (!both_ready || first->told != 0 || second->told != 0)
			return both_ready;
		pair->half = true;
		open_end(first, ++pair->sessions);
	} else if (!pair->half || !both_ready) {
		sim_net_close(first);
	} else {
		pair->half = false;
		open_end(second, first->session);
		return false;
	}
	return true;
}

/** Brings the two ends a step nearer to one session. */
void sim_net_look(struct sim *sim, struct sim_pair *pair)
{
	struct sim_end *first = ahead(sim, pair);
	struct sim_end *second = first->other;

	pair->look_ns = SIM_NEVER;
	if (!blocked(sim, first, second) && !blocked(sim, second, first) &&
		first->worker->node->alive && second->worker->node->alive && step(pair, first))
		sim_net_look_soon(pair);
}

/* ------------------------------------------------------------------------------- stalls --- */

void sim_net_block(struct sim *sim, unsigned from, unsigned to, uint64_t until_ns)
{
	if (sim->blocked_ns[from][to] >= until_ns)
		return;
	sim->blocked_ns[from][to] = until_ns;
	sim_note(sim, "%snothing passes from n%lu to n%lu until %lu ms", "", from, to,
		until_ns / WEIR_NS_PER_MS, 0, 0, 0);
	sim_push(sim, SIM_HEAL, until_ns, from, to, NULL);
}

static size_t queued(const struct sim_end *end)
{
	size_t bytes = 0;

	for (const struct sim_message *message = end->head; message != NULL;
		message = message->next)
		bytes += message->len;
	return bytes;
}

void sim_net_heal(struct sim *sim, unsigned from, unsigned to)
{
	if (sim->blocked_ns[from][to] > sim->now_ns)
		return;
	for (unsigned i = 0; i < sim->pairs_count; i++) {
		struct sim_pair *pair = &sim->pairs[i];
		unsigned a = pair->ends[0].worker->node->number;
		unsigned b = pair->ends[1].worker->node->number;

		if ((a != from || b != to) && (a != to || b != from))
			continue;
		for (unsigned side = 0; side < 2; side++) {
			struct sim_end *end = &pair->ends[side];

			if (!blocked(sim, end, end->other))
				end->bytes = queued(end);
			sim_node_wake(end->worker, sim->now_ns + sim_below(sim, SIM_MS(1)));
		}
		sim_net_look_soon(pair);
	}
}
