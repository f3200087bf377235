/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/err.h"
#include "wire/entry.h"
#include "wire/varint.h"

/** Fields that are zero in most entries, in the order in which they are written. */
enum rare {
	TABLE,
	COOKIE,
	ERROR,
	FLAGS,
	IDLE_TIMEOUT,
	HARD_TIMEOUT,
	PACKETS,
	BYTES,
	LAST_SEEN,
	LIFE,
	LIVE_TYPE,
	RARE_COUNT,
};

static const uint64_t rare_most[RARE_COUNT] = {
	[TABLE] = UINT8_MAX,
	[COOKIE] = UINT64_MAX,
	[ERROR] = UINT16_MAX,
	[FLAGS] = UINT16_MAX,
	[IDLE_TIMEOUT] = UINT16_MAX,
	[HARD_TIMEOUT] = UINT16_MAX,
	[PACKETS] = UINT64_MAX,
	[BYTES] = UINT64_MAX,
	[LAST_SEEN] = UINT64_MAX,
	[LIFE] = UINT32_MAX,
	[LIVE_TYPE] = UINT8_MAX,
};

/* The first byte: kind, state, the first of the rare fields, and whether there is another byte. */
#define KIND_MASK   3U
#define STATE_SHIFT 2
#define STATE_MASK  3U
#define RARE_SHIFT  4
#define RARE_FIRST  3U
#define RARE_MASK   ((1U << RARE_FIRST) - 1)
#define MORE        0x80U

#define FIXED_BYTES 18 /**< flow id, created, priority */

_Static_assert(WEIR_WIRE_PURGE <= KIND_MASK, "a kind fits its bits");
_Static_assert(WEIR_FLOW_STATES_COUNT - 1 == STATE_MASK, "any state fits its bits, and all are");
_Static_assert(RARE_COUNT == RARE_FIRST + 8, "two bytes name all rare fields");

/** An entry's rare fields, and a mask of those that are not zero. */
struct rares {
	uint64_t values[RARE_COUNT];
	unsigned present;
};

static inline void rares_take(
	struct rares *rares, const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	uint64_t *const values = rares->values;

	values[TABLE] = entry->rule.table;
	rares->present = (unsigned)(values[TABLE] != 0) << TABLE;
	if (kind == WEIR_WIRE_REMOVE)
		return;
	values[COOKIE] = entry->rule.cookie;
	values[ERROR] = entry->error;
	values[FLAGS] = entry->rule.flags;
	values[IDLE_TIMEOUT] = entry->rule.idle_timeout_s;
	values[HARD_TIMEOUT] = entry->rule.hard_timeout_s;
	values[PACKETS] = entry->packets;
	values[BYTES] = entry->bytes;
	values[LAST_SEEN] = entry->last_seen_ms;
	values[LIFE] = entry->life_s;
	values[LIVE_TYPE] = entry->live_type;
	for (unsigned i = COOKIE; i < RARE_COUNT; i++)
		rares->present |= (unsigned)(values[i] != 0) << i;
}

static inline size_t rares_bytes(const struct rares *rares)
{
	size_t bytes = 0;

	for (unsigned left = rares->present; left != 0; left &= left - 1)
		bytes += weir_varint_bytes(rares->values[__builtin_ctz(left)]);
	return bytes;
}

static inline size_t instr_bytes(const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	return kind == WEIR_WIRE_REMOVE ? 0 : entry->rule.instr_len;
}

/** Bytes behind the length. */
static inline size_t body_bytes(
	const struct rares *rares, const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	return FIXED_BYTES + rares_bytes(rares) + weir_varint_bytes(entry->rule.match_len) +
	       entry->rule.match_len + instr_bytes(entry, kind);
}

size_t weir_wire_packed_bytes(const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	struct rares rares;
	size_t body;

	rares_take(&rares, entry, kind);
	body = body_bytes(&rares, entry, kind);
	return 1 + (rares.present > RARE_MASK) + weir_varint_bytes(body) + body;
}

void weir_wire_pack(
	struct weir_out *out, const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	const struct weir_rule *const rule = &entry->rule;
	const unsigned state = kind == WEIR_WIRE_REMOVE ? 0 : entry->state;
	struct rares rares;
	unsigned more;

	rares_take(&rares, entry, kind);
	more = rares.present >> RARE_FIRST;
	weir_out_u8(
		out, (uint8_t)(kind | state << STATE_SHIFT |
			       (rares.present & RARE_MASK) << RARE_SHIFT | (more != 0 ? MORE : 0)));
	if (more != 0)
		weir_out_u8(out, (uint8_t)more);
	weir_out_varint(out, body_bytes(&rares, entry, kind));
	weir_out_u64(out, rule->flow_id);
	weir_out_u64(out, entry->created);
	weir_out_u16(out, rule->priority);
	for (unsigned left = rares.present; left != 0; left &= left - 1)
		weir_out_varint(out, rares.values[__builtin_ctz(left)]);
	weir_out_varint(out, rule->match_len);
	weir_out_put(out, rule->data, rule->match_len + instr_bytes(entry, kind));
}

static inline void rares_read(struct weir_in *in, struct rares *rares)
{
	memset(rares->values, 0, sizeof(rares->values));
	for (unsigned left = rares->present; left != 0; left &= left - 1) {
		const unsigned i = (unsigned)__builtin_ctz(left);

		rares->values[i] = weir_in_varint(in);
		in->bad |= rares->values[i] == 0 || rares->values[i] > rare_most[i];
	}
}

static inline void rares_give(const struct rares *rares, struct weir_entry *entry)
{
	const uint64_t *const values = rares->values;

	entry->rule.table = (uint8_t)values[TABLE];
	entry->rule.cookie = values[COOKIE];
	entry->error = (uint16_t)values[ERROR];
	entry->rule.flags = (uint16_t)values[FLAGS];
	entry->rule.idle_timeout_s = (uint16_t)values[IDLE_TIMEOUT];
	entry->rule.hard_timeout_s = (uint16_t)values[HARD_TIMEOUT];
	entry->packets = values[PACKETS];
	entry->bytes = values[BYTES];
	entry->last_seen_ms = values[LAST_SEEN];
	entry->life_s = (uint32_t)values[LIFE];
	entry->live_type = (uint8_t)values[LIVE_TYPE];
}

/** The first byte or two, and the body's place. @return the first byte */
static inline unsigned begin_read(struct weir_in *in, struct rares *rares, struct weir_in *body)
{
	const unsigned first = weir_in_u8(in);
	const unsigned more = (first & MORE) != 0 ? weir_in_u8(in) : 0;
	uint64_t len;
	const void *bytes;

	in->bad |= (first & MORE) != 0 && more == 0;
	rares->present = (first >> RARE_SHIFT & RARE_MASK) | more << RARE_FIRST;
	len = weir_in_varint(in);
	bytes = weir_in_bytes(in, len);
	*body = weir_in(bytes, bytes != NULL ? len : 0);
	return first;
}

/* Lengths must hold together; the content was checked where it entered the cluster. */
static int data_read(struct weir_in *body, struct weir_entry *entry)
{
	const uint64_t match_len = weir_in_varint(body);
	const size_t left = weir_in_left(body);

	if (body->bad || match_len > WEIR_MATCH_BYTES_MAX || match_len > left ||
		left - match_len > WEIR_INSTR_BYTES_MAX)
		return WEIR_ERR;
	entry->rule.match_len = (uint16_t)match_len;
	entry->rule.instr_len = (uint16_t)(left - match_len);
	memcpy(entry->rule.data, body->at, left);
	return 0;
}

/** Of a rule that is gone nothing else may be there. */
static bool removed_fits(const struct weir_entry *entry, const struct rares *rares)
{
	return entry->state == 0 && entry->rule.instr_len == 0 &&
	       (rares->present & ~(1U << TABLE)) == 0;
}

int weir_wire_unpack(struct weir_in *in, union weir_entry_room *room)
{
	struct weir_entry *const entry = &room->entry;
	struct rares rares;
	struct weir_in body;
	const unsigned first = begin_read(in, &rares, &body);
	const unsigned kind = first & KIND_MASK;

	if (in->bad)
		return WEIR_ERR;
	entry->state = (uint8_t)(first >> STATE_SHIFT & STATE_MASK);
	entry->rule.flow_id = weir_in_u64(&body);
	entry->created = weir_in_u64(&body);
	entry->rule.priority = weir_in_u16(&body);
	rares_read(&body, &rares);
	rares_give(&rares, entry);
	memset(entry->rule.zero, 0, sizeof(entry->rule.zero));
	if (data_read(&body, entry) != 0 ||
		(kind == WEIR_WIRE_REMOVE && !removed_fits(entry, &rares)))
		return WEIR_ERR;
	return (int)kind;
}

bool weir_wire_skip(struct weir_in *in, uint64_t *flow_id)
{
	struct rares rares;
	struct weir_in body;

	begin_read(in, &rares, &body);
	*flow_id = weir_in_u64(&body);
	return !in->bad && !body.bad;
}
