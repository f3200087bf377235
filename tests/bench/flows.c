/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "flows.h"

uint64_t flow_spread(uint64_t bits)
{
	bits = (bits + 0x9e3779b97f4a7c15ULL) * 0xbf58476d1ce4e5b9ULL;
	bits = (bits ^ bits >> 27) * 0x94d049bb133111ebULL;
	return bits ^ bits >> 31;
}

void flow_make(struct flow *flow, uint64_t number)
{
	struct weir_rule *rule = &flow->entry.rule;

	memset(flow, 0, sizeof(*flow));
	flow->entry.created = number;
	rule->priority = 100;
	rule->match_len = MATCH_LEN;
	rule->instr_len = INSTR_LEN;
	for (unsigned i = 0; i < MATCH_LEN; i++)
		rule->data[i] =
			(uint8_t)(flow_spread(number + i / 8 * 0x100000000ULL) >> i % 8 * 8);
	rule->flow_id = weir_rule_flow_id(rule, 1);
}

void probe_make(struct probe *probe, const struct flow *flow)
{
	memset(probe, 0, sizeof(*probe));
	memcpy(probe, &flow->entry.rule, sizeof(struct weir_rule) + MATCH_LEN);
	probe->rule.instr_len = 0;
}

void key_make(struct key *key, const struct flow *flow)
{
	const struct weir_rule *rule = &flow->entry.rule;

	memset(key, 0, sizeof(*key));
	memcpy(key->bytes, rule->data, MATCH_LEN);
	memcpy(key->bytes + MATCH_LEN, &rule->priority, sizeof(rule->priority));
	key->bytes[MATCH_LEN + sizeof(rule->priority)] = rule->table;
}
