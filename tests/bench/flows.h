/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Flows to measure with: five-tuples with one output, as random as hashes are; the n-th is the
 * same in every run.
 */
#ifndef BENCH_FLOWS_H
#define BENCH_FLOWS_H

#include "flow/flow.h"

#define MATCH_LEN 35U /**< eth_type, ip_proto, nw_src, nw_dst, tp_src, tp_dst */
#define INSTR_LEN 40U /**< write_actions: output */
#define KEY_BYTES 40U

struct flow {
	struct weir_entry entry;
	uint8_t data[MATCH_LEN + INSTR_LEN + 5];
};

#define FLOW_BYTES (sizeof(struct weir_entry) + MATCH_LEN + INSTR_LEN)

/** What a lookup is given: a rule without instructions. */
struct probe {
	struct weir_rule rule;
	uint8_t data[MATCH_LEN + 5];
};

/** A rule's identity in a fixed size: match, priority, table. */
struct key {
	uint8_t bytes[KEY_BYTES];
};

/** The flow of this number. */
void flow_make(struct flow *flow, uint64_t number);

/** What finds it. */
void probe_make(struct probe *probe, const struct flow *flow);
void key_make(struct key *key, const struct flow *flow);

/** Numbers that look random. */
uint64_t flow_spread(uint64_t bits);

#endif
