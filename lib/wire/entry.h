/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * Entries packed, as they stand in DELTA and BUCKET:
 *
 *     1 or 2     kind, state, and which of the rare fields are there
 *     varint     bytes from here to the end of the entry
 *     8, 8, 2    flow id, created, priority
 *     varints    the rare fields that are there; none is zero
 *     varint     bytes of the match, then the match; what is left are the instructions
 *
 * A field that is not there costs nothing. Of a rule that is removed only what identifies it goes
 * out, and created. Each entry has one encoding; whatever else stands there is an error.
 */
#ifndef WEIR_WIRE_ENTRY_H
#define WEIR_WIRE_ENTRY_H

#include "wire/wire.h"

/** Writes an entry; `kind` is PUT or REMOVE. */
void weir_wire_pack(
	struct weir_out *out, const struct weir_entry *entry, enum weir_wire_delta_kind kind);

/** Bytes that weir_wire_pack writes. */
size_t weir_wire_packed_bytes(const struct weir_entry *entry, enum weir_wire_delta_kind kind);

/** Reads an entry. @return its kind, or WEIR_ERR */
int weir_wire_unpack(struct weir_in *in, union weir_entry_room *room);

/** Passes over an entry without looking into it. @return whether there was one */
bool weir_wire_skip(struct weir_in *in, uint64_t *flow_id);

#endif
