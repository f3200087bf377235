/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Gathers the fields of a match in whatever order a text has them, and writes them in canonical
 * form.
 *
 * Internal to the room.
 */
#ifndef WEIR_FLOW_MATCH_H
#define WEIR_FLOW_MATCH_H

#include "flow/read.h"
#include "flow/words.h"

/** Fields gathered so far. Slots that are not in `there` are not initialised. */
struct flow_match {
	uint64_t there; /**< slots that hold something */
	uint64_t asked; /**< fields that a text named itself, also where any value will do */
	uint16_t from[FIELD_SLOTS]; /**< where in the text the slot was filled */
	flow_value value[FIELD_SLOTS];
	flow_value mask[FIELD_SLOTS];
};

/** Reads what stands behind the word of a field or protocol; `where` is where the word began. */
int weir_flow_match_read(struct flow_match *match, struct flow_text *text,
	const struct flow_word *word, const char *where);

/**
 * Decides what the ambiguous words meant, checks prerequisites, and writes the TLVs to `at`,
 * which has room for WEIR_MATCH_BYTES_MAX.
 * @param scope receives what is known of a packet that matches
 * @return bytes written, or WEIR_BADFLOW
 */
int weir_flow_match_write(struct flow_match *match, const struct flow_text *text, uint8_t *at,
	struct flow_scope *scope);

/** The field that an ambiguous word means where this much is known; FIELD_COUNT: none. */
enum field_id weir_flow_field_resolve(enum field_id id, const struct flow_scope *scope);

#endif
