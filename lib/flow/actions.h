/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Reads a list of actions and writes OpenFlow 1.3 instructions.
 *
 * Internal to the room.
 */
#ifndef WEIR_FLOW_ACTIONS_H
#define WEIR_FLOW_ACTIONS_H

#include "flow/read.h"

/**
 * Reads from behind `actions=` to the end of the text.
 * @param scope what the match says of a packet
 * @param table the rule's own table: goto_table must lead beyond it
 * @param at    receives the instructions; room for WEIR_INSTR_BYTES_MAX
 * @return bytes written, WEIR_BADFLOW or WEIR_TOOBIG
 */
int weir_flow_actions_read(
	struct flow_text *text, struct flow_scope scope, unsigned table, uint8_t *at);

/** The order in which instructions stand in a text and in a rule. */
enum flow_stage {
	STAGE_NONE,
	STAGE_METER,
	STAGE_APPLY,
	STAGE_CLEAR,
	STAGE_WRITE,
	STAGE_METADATA,
	STAGE_GOTO,
	STAGE_COUNT,
};

const char *weir_flow_stage_name(enum flow_stage stage);

/** Follows what an action without a field does to a packet; false where it cannot be done. */
bool weir_flow_scope_act(struct flow_scope *scope, unsigned action, uint16_t eth_type);

/** What weir_flow_scope_act found missing. */
enum field_need weir_flow_action_need(unsigned action);

#endif
