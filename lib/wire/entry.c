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

/** Whether there is any but the table; most entries have none. */
static inline bool rares_any(const struct weir_entry *entry)
{
	const struct weir_rule *const rule = &entry->rule;

	return (entry->packets | entry->bytes | entry->last_seen_ms | rule->cookie | entry->life_s |
		       entry->error | entry->live_type | rule->flags | rule->idle_timeout_s |
		       rule->hard_timeout_s) != 0;
}

static inline void rares_take(
	struct rares *rares, const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	uint64_t *const values = rares->values;

	values[TABLE] = entry->rule.table;
	rares->present = (unsigned)(values[TABLE] != 0) << TABLE;
	if (kind == WEIR_WIRE_REMOVE || !rares_any(entry))
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

/** Flow id, created and priority. @return what follows them */
static inline uint8_t *fixed_put(uint8_t *at, const struct weir_entry *entry)
{
	struct weir_out out = weir_out(at, FIXED_BYTES);

	weir_out_u64(&out, entry->rule.flow_id);
	weir_out_u64(&out, entry->created);
	weir_out_u16(&out, entry->rule.priority);
	return out.at;
}

void weir_wire_pack(
	struct weir_out *out, const struct weir_entry *entry, enum weir_wire_delta_kind kind)
{
	const struct weir_rule *const rule = &entry->rule;
	const size_t instr_len = instr_bytes(entry, kind);
	const unsigned state = kind == WEIR_WIRE_REMOVE ? 0 : entry->state;
	struct rares rares;
	unsigned more;
	size_t body;
	uint8_t *at;

	rares_take(&rares, entry, kind);
	more = rares.present >> RARE_FIRST;
	body = body_bytes(&rares, entry, kind);
	at = (uint8_t *)weir_out_bytes(out, 1 + (more != 0) + weir_varint_bytes(body) + body);
	if (at == NULL)
		return;
	*at++ = (uint8_t)(kind | state << STATE_SHIFT | (rares.present & RARE_MASK) << RARE_SHIFT |
			  (more != 0 ? MORE : 0));
	if (more != 0)
		*at++ = (uint8_t)more;
	at = fixed_put(weir_varint_put(at, body), entry);
	for (unsigned left = rares.present; left != 0; left &= left - 1)
		at = weir_varint_put(at, rares.values[__builtin_ctz(left)]);
	at = weir_varint_put(at, rule->match_len);
	memcpy(at, rule->data, rule->match_len + instr_len);
}

/** Reads the rare fields into an entry, in which they are zero. */
static inline void rares_read(struct weir_in *in, unsigned present, struct weir_entry *entry)
{
	uint64_t values[RARE_COUNT] = {0};

	for (unsigned left = present; left != 0; left &= left - 1) {
		const unsigned i = (unsigned)__builtin_ctz(left);

		values[i] = weir_in_varint(in);
		in->bad |= values[i] == 0 || values[i] > rare_most[i];
	}
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

/** How an entry begins, and where its body is. */
struct opening {
	unsigned kind, state, present;
	struct weir_in body;
};

static inline void opening_read(struct weir_in *in, struct opening *opening)
{
	const unsigned first = weir_in_u8(in);
	unsigned more = 0;
	const void *bytes;
	uint64_t len;

	if ((first & MORE) != 0) {
		more = weir_in_u8(in);
		in->bad |= more == 0;
	}
	len = weir_in_varint(in);
	bytes = weir_in_bytes(in, len);
	opening->kind = first & KIND_MASK;
	opening->state = first >> STATE_SHIFT & STATE_MASK;
	opening->present = (first >> RARE_SHIFT & RARE_MASK) | more << RARE_FIRST;
	opening->body = weir_in(bytes, bytes != NULL ? len : 0);
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
static bool removed_fits(const struct opening *opening, const struct weir_entry *entry)
{
	return opening->state == 0 && entry->rule.instr_len == 0 &&
	       (opening->present & ~(1U << TABLE)) == 0;
}

int weir_wire_unpack(struct weir_in *in, union weir_entry_room *room)
{
	struct weir_entry *const entry = &room->entry;
	struct opening opening;

	opening_read(in, &opening);
	if (in->bad)
		return WEIR_ERR;
	memset(entry, 0, sizeof(*entry));
	entry->state = (uint8_t)opening.state;
	entry->rule.flow_id = weir_in_u64(&opening.body);
	entry->created = weir_in_u64(&opening.body);
	entry->rule.priority = weir_in_u16(&opening.body);
	if (opening.present != 0)
		rares_read(&opening.body, opening.present, entry);
	if (data_read(&opening.body, entry) != 0 ||
		(opening.kind == WEIR_WIRE_REMOVE && !removed_fits(&opening, entry)))
		return WEIR_ERR;
	return (int)opening.kind;
}

bool weir_wire_skip(struct weir_in *in, uint64_t *flow_id)
{
	struct opening opening;

	opening_read(in, &opening);
	*flow_id = weir_in_u64(&opening.body);
	return !in->bad && !opening.body.bad;
}
