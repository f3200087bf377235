/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <strings.h>

#define XXH_INLINE_ALL /* it is on the path of each write */
#include <xxhash.h>

#include "base/defect.h"
#include "base/err.h"
#include "flow/flow.h"

#define DIGEST_HEAD_BYTES 256 /* of the defect of that name */
#define FLOW_ID_HASH_MASK ((1ULL << 48) - 1)

static const char *const state_names[WEIR_FLOW_STATES_COUNT] = {
	[WEIR_FLOW_PENDING_ADD] = "PENDING_ADD",
	[WEIR_FLOW_ADDED] = "ADDED",
	[WEIR_FLOW_PENDING_REMOVE] = "PENDING_REMOVE",
	[WEIR_FLOW_FAILED] = "FAILED",
};

bool weir_rule_same(const struct weir_rule *a, const struct weir_rule *b)
{
	if (WEIR_DEFECT(FLOW_ID_ONLY))
		return a->flow_id == b->flow_id;
	return a->flow_id == b->flow_id && a->table == b->table && a->priority == b->priority &&
	       a->match_len == b->match_len && memcmp(a->data, b->data, a->match_len) == 0;
}

uint64_t weir_rule_flow_id(const struct weir_rule *rule, uint16_t app)
{
	uint8_t key[3 + WEIR_MATCH_BYTES_MAX];

	weir_assert(rule->match_len <= WEIR_MATCH_BYTES_MAX);
	key[0] = rule->table;
	key[1] = (uint8_t)rule->priority;
	key[2] = (uint8_t)(rule->priority >> 8);
	memcpy(key + 3, rule->data, rule->match_len);
	return (uint64_t)app << 48 | (XXH3_64bits(key, 3U + rule->match_len) & FLOW_ID_HASH_MASK);
}

const char *weir_flow_state_name(enum weir_flow_state state)
{
	return state < WEIR_FLOW_STATES_COUNT ? state_names[state] : "?";
}

int weir_flow_state_from_name(const char *name, size_t len)
{
	for (int i = 0; i < WEIR_FLOW_STATES_COUNT; i++)
		if (strlen(state_names[i]) == len && strncasecmp(state_names[i], name, len) == 0)
			return i;
	return WEIR_ERR;
}

uint64_t weir_entry_hash(const struct weir_entry *entry)
{
	uint64_t created = WEIR_DEFECT(DIGEST_NO_CREATED) ? 0 : entry->created;
	uint64_t state = WEIR_DEFECT(DIGEST_NO_STATE) ? 0 : entry->state;
	uint64_t seed = created * 0x9e3779b97f4a7c15ULL + state;

	size_t bytes = weir_rule_bytes(&entry->rule);

	if (WEIR_DEFECT(DIGEST_HEAD) && bytes > DIGEST_HEAD_BYTES)
		bytes = DIGEST_HEAD_BYTES;
	return XXH3_64bits_withSeed(&entry->rule, bytes, seed);
}
