/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Rules of all sizes up to the bound, which share one or two buckets: what clients write is as
 * large as its cookie says, a bucket is shipped in several parts, a message of changes is full
 * before its turn ends. Where there are parts, things happen between them.
 */
#include <stdlib.h>
#include <string.h>

#include "sim.h"
#include "wire/wire.h"

/* A message of changes that was sent because nothing more went in. */
#define FULL_BYTES (WEIR_MESSAGE_BYTES_MAX / 2)

static uint64_t mix(uint64_t z)
{
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/** Bytes of instructions that the write with this cookie brings. */
uint16_t sim_bulk_bytes(uint32_t cookie)
{
	static const uint16_t sizes[8] = {
		0, 24, 504, 2048, 3000, 4088, WEIR_INSTR_BYTES_MAX, WEIR_INSTR_BYTES_MAX};

	return sizes[mix(cookie) % 8];
}

static uint8_t instr_byte(uint32_t cookie, unsigned at)
{
	return (uint8_t)(cookie * 31 + at * 7 + (at >> 8));
}

/** What a client writes under this cookie: all that stands behind the rule's identity. */
void sim_bulk_fill(const struct sim *sim, struct weir_rule *rule, uint32_t cookie)
{
	rule->cookie = cookie;
	if (!sim->plan.bulky)
		return;
	rule->instr_len = sim_bulk_bytes(cookie);
	for (unsigned i = 0; i < rule->instr_len; i++)
		rule->data[rule->match_len + i] = instr_byte(cookie, i);
}

/** Whether a rule that stands somewhere is as it was written, to the last byte. */
bool sim_bulk_whole(const struct sim *sim, const struct weir_rule *rule)
{
	const uint8_t *instr = weir_rule_instr(rule);
	uint32_t cookie = (uint32_t)rule->cookie;

	if (!sim->plan.bulky)
		return true;
	if (rule->instr_len != sim_bulk_bytes(cookie))
		return false;
	for (unsigned i = 0; i < rule->instr_len; i++)
		if (instr_byte(cookie, i) != instr[i])
			return false;
	return true;
}

static struct weir_rule *rule_make(struct sim *sim)
{
	static const uint16_t sizes[4] = {8, 64, WEIR_MATCH_BYTES_MAX, WEIR_MATCH_BYTES_MAX};
	uint16_t match_len = sizes[sim_below(sim, 4)];
	struct weir_rule *rule = calloc(1, sizeof(*rule) + match_len);

	weir_assert(rule != NULL);
	rule->priority = 100;
	rule->match_len = match_len;
	return rule;
}

/** The device's rules, in one bucket or two. */
void sim_bulk_rules(struct sim *sim, struct sim_device *device)
{
	unsigned buckets[2] = {
		(unsigned)sim_below(sim, WEIR_BUCKETS), (unsigned)sim_below(sim, WEIR_BUCKETS)};
	unsigned number = (unsigned)sim_below(sim, 1000);

	if (sim_chance(sim, 700000))
		buckets[1] = buckets[0];
	for (unsigned i = 0; i < sim->plan.rules; i++) {
		struct weir_rule *rule = rule_make(sim);

		do {
			number++;
			memcpy(rule->data, &number, sizeof(number));
			rule->flow_id = weir_rule_flow_id(rule, 0);
		} while (weir_flow_bucket(rule->flow_id) != buckets[i % 2]);
		device->rules[i] = rule;
	}
}

static void worker_stall(struct sim *sim, struct sim_worker *worker)
{
	uint64_t until_ns = sim->now_ns + sim_between(sim, SIM_MS(1), SIM_MS(sim->plan.lease_ms));

	worker->paused_ns = until_ns;
	if (until_ns > worker->node->unpaused_ns)
		worker->node->unpaused_ns = until_ns;
}

/* More of what it is part of follows this message: of a bucket, or of one turn's changes. */
static bool is_part(const struct sim_message *message)
{
	struct weir_in in = weir_in(message->bytes, message->len);
	struct weir_wire_bucket part;
	struct weir_wire_head head;

	if (weir_wire_get_head(&in, &head) != 0)
		return false;
	if (head.type == WEIR_WIRE_BUCKET)
		return weir_wire_get_bucket(&in, &part) == 0 && (part.flags & WEIR_WIRE_LAST) == 0;
	return head.type == WEIR_WIRE_DELTA && message->len > FULL_BYTES;
}

/**
 * A message is on its way, and more of the same follows it: that takes longer, or the session
 * breaks between the two, or who gets them stands still there, or somebody is made master
 * meanwhile.
 */
void sim_bulk_sent(struct sim *sim, struct sim_end *to, const struct sim_message *message)
{
	if (sim->plan.part_ppm == 0 || sim->calm || !is_part(message))
		return;
	sim->stats.parts++;
	if (!sim_chance(sim, sim->plan.part_ppm))
		return;
	switch (sim_below(sim, 5)) {
	case 0:
		sim_push(sim, SIM_FLUTTER, message->at_ns + SIM_US(1), 0, 0, to->pair);
		break;
	case 1:
		worker_stall(sim, to->worker);
		break;
	case 2:
		sim_push(sim, SIM_OPERATE, sim->now_ns + sim_below(sim, SIM_MS(3)),
			(unsigned)sim_below(sim, sim->plan.nodes),
			(unsigned)sim_below(sim, sim->plan.devices), NULL);
		break;
	default:
		to->last_ns += sim_between(sim, SIM_US(500), SIM_MS(20));
		break;
	}
}
