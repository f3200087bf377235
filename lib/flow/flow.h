/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The flow rule: what a controller says, in the form in which Weir keeps and sends it.
 *
 * A rule is one block of bytes without pointers (struct weir_rule): a fixed head, then the match
 * as OXM TLVs, then the instructions as OpenFlow 1.3 structures. The same block is stored in a
 * table, sent to a peer and written to disk; a copy is a memcpy. Text is the syntax of
 * ovs-ofctl, both ways.
 *
 * Canonical form
 * --------------
 * OXM TLVs stand in ascending field order (OpenFlow's basic class first, then nw_ttl and
 * tcp_flags, which have classes of their own), masked-out bits are zero, an all-ones mask is
 * dropped, an all-zero mask means that the field is absent, prerequisites (eth_type before ip
 * fields, ...) are there. So two texts of one match are one match, and equal matches are equal
 * bytes. Every rule that weir_flow_parse or weir_rule_check let through is in this form.
 *
 * Instructions stand in the order in which a device carries them out: meter, apply_actions,
 * clear_actions, write_actions, write_metadata, goto_table; each at most once, none empty. A rule
 * that drops has none. Actions keep the order of the text.
 *
 * Identity
 * --------
 * Two rules of a device are the same rule when flow id, table, priority and match are equal.
 * The flow id has the app id in its upper 16 bits and below it 48 bits of XXH3-64 over table
 * (1 byte), priority (2 bytes, little endian) and match. Two rules may share a flow id by chance.
 *
 * Thread-safety: all functions are pure; any thread.
 */
#ifndef WEIR_FLOW_FLOW_H
#define WEIR_FLOW_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/limits.h"

/** A flow rule. 8-byte aligned where it is stored; numbers of the head are little endian. */
struct weir_rule {
	uint64_t flow_id;  /**< identity in short, see above */
	uint64_t cookie;   /**< the controller's own number */
	uint16_t priority; /**< 0..65535, larger wins */
	uint16_t flags;    /**< OFPFF_*: bit 0 send_flow_rem, 1 check_overlap, 2 reset_counts, 3
			      no_packet_counts, 4 no_byte_counts */
	uint16_t idle_timeout_s; /**< 0: permanent */
	uint16_t hard_timeout_s; /**< 0: permanent */
	uint16_t match_len;      /**< bytes of OXM TLVs at data */
	uint16_t instr_len;      /**< bytes of instructions behind the match; a multiple of 8 */
	uint8_t table;           /**< 0..254 */
	uint8_t zero[3];         /**< always zero */
	uint8_t data[];
};

_Static_assert(sizeof(struct weir_rule) == 32, "the head of a rule is 32 bytes");

/** Bytes of the whole rule, head, match and instructions. */
static inline size_t weir_rule_bytes(const struct weir_rule *rule)
{
	return sizeof(*rule) + rule->match_len + rule->instr_len;
}

static inline const uint8_t *weir_rule_instr(const struct weir_rule *rule)
{
	return rule->data + rule->match_len;
}

static inline uint16_t weir_rule_app(const struct weir_rule *rule)
{
	return (uint16_t)(rule->flow_id >> 48);
}

static inline unsigned weir_flow_bucket(uint64_t flow_id)
{
	return (unsigned)(flow_id % WEIR_BUCKETS);
}

static inline unsigned weir_bucket_shard(unsigned bucket)
{
	return bucket % WEIR_SHARDS;
}

static inline unsigned weir_flow_shard(uint64_t flow_id)
{
	return weir_bucket_shard(weir_flow_bucket(flow_id));
}

/** Whether both are the same rule (instructions, cookie and timeouts do not count). */
bool weir_rule_same(const struct weir_rule *a, const struct weir_rule *b);

/** The flow id that a rule of this app must carry: computed from table, priority and match. */
uint64_t weir_rule_flow_id(const struct weir_rule *rule, uint16_t app);

/**
 * Validates a rule that came from outside: lengths within `len` and the limits, table in range,
 * match in canonical form with its prerequisites, instructions well formed and known, flow id
 * right. Never reads past `len`.
 * @return 0, WEIR_TOOBIG or WEIR_BADFLOW.
 */
int weir_rule_check(const struct weir_rule *rule, size_t len);

/** What was wrong with a text, and where. */
struct weir_flow_fault {
	unsigned column;   /**< 1 for the first byte of the text */
	char message[120]; /**< a sentence that names the word at fault */
};

/** How a text is read. */
enum weir_flow_parse_mode {
	WEIR_FLOW_RULE,     /**< a whole rule: `actions=` is required */
	WEIR_FLOW_IDENTITY, /**< a rule to be found (DEL, GET): `actions=` may be absent, and is
			       checked and dropped where it is there */
};

/**
 * Reads one flow in ovs-ofctl syntax, such as
 * `table=1,priority=100,tcp,nw_dst=10.0.0.0/8,tp_dst=80,actions=output:2`.
 *
 * Defaults as ovs-ofctl's: table 0, priority 32768, cookie 0, no timeout. Key `app=N` (0..65535,
 * default 0) is Weir's own. White space around the text and after commas is allowed, as ovs-ofctl
 * does; keys that only a dump shows (duration, n_packets, n_bytes, idle_age, hard_age) are read
 * and dropped, so that a dump can be fed back.
 *
 * A text means what `ovs-ofctl -O OpenFlow13` takes it for, or is refused. Refused, other than
 * there: a field or key given twice, a field whose prerequisite is missing, bits that the field
 * does not have, numbers with a leading zero, goto_table back or to itself, set_field with a mask
 * (OpenFlow 1.3 has none), ports 65280 to 65535 (which ovs-ofctl takes for reserved ports of
 * OpenFlow 1.0; LOCAL and the like are written by name), and what is particular to Open vSwitch.
 *
 * @param text  not NUL-terminated, `len` bytes
 * @param rule  receives the rule; `room` bytes, WEIR_RULE_BYTES_MAX always suffices
 * @param fault says what was wrong, in printable ASCII; may be NULL
 * @return 0, WEIR_BADFLOW or WEIR_TOOBIG
 */
int weir_flow_parse(const char *text, size_t len, enum weir_flow_parse_mode mode,
	struct weir_rule *rule, size_t room, struct weir_flow_fault *fault);

/** What weir_flow_print leaves out. */
enum weir_flow_print_flags {
	WEIR_FLOW_PRINT_ALL = 0,
	WEIR_FLOW_PRINT_NO_APP = 1, /**< no `app=`: for a reader that is not Weir */
};

/**
 * Writes a rule in ovs-ofctl syntax, NUL-terminated, such that parsing it gives the same bytes
 * again: `cookie=0x1,table=0,priority=1,ip,nw_src=10.0.0.1,actions=drop`. Cookie, table and
 * priority always stand, the rest where it is not the default. The rule must be canonical.
 *
 * @return length without the NUL, or WEIR_TOOBIG where `room` is too small
 *         (WEIR_FLOW_TEXT_MAX always suffices for a rule that was parsed)
 */
int weir_flow_print(const struct weir_rule *rule, unsigned flags, char *text, size_t room);

/** States of an entry. */
enum weir_flow_state {
	WEIR_FLOW_PENDING_ADD,
	WEIR_FLOW_ADDED,
	WEIR_FLOW_PENDING_REMOVE,
	WEIR_FLOW_FAILED,
	WEIR_FLOW_STATES_COUNT,
};

/** "PENDING_ADD", ... */
const char *weir_flow_state_name(enum weir_flow_state state);

/** The state of that name, without regard to case; WEIR_ERR where there is none. */
int weir_flow_state_from_name(const char *name, size_t len);

/**
 * An entry of a table: a rule and what became of it. One block, like the rule.
 *
 * state and error may change in place (single-byte and two-byte stores, by the owning worker),
 * the counters too (relaxed); created and the rule never do: the entry is replaced.
 */
struct weir_entry {
	uint64_t created;      /**< hybrid logical time of the ADD or MODIFY */
	uint64_t packets;      /**< as the device last reported */
	uint64_t bytes;        /**< as the device last reported */
	uint64_t last_seen_ms; /**< wall time of the last report, ms since 1970; 0: never */
	uint32_t life_s;       /**< how long the device has had it */
	uint16_t error;        /**< the device's error, where state is FAILED */
	uint8_t state;         /**< enum weir_flow_state */
	uint8_t live_type; /**< how often counters are polled: 0 immediate, 1 short, 2 mid, 3 long
			    */
	struct weir_rule rule;
};

static inline size_t weir_entry_bytes(const struct weir_entry *entry)
{
	return offsetof(struct weir_entry, rule) + weir_rule_bytes(&entry->rule);
}

#define WEIR_ENTRY_BYTES_MAX (offsetof(struct weir_entry, rule) + WEIR_RULE_BYTES_MAX)

/**
 * What an entry adds to the content hash of its bucket: identity, rule, state and created; not
 * the counters, life, last seen, live type or error. The sum over a bucket's entries (mod 2^64)
 * is the bucket's hash.
 */
uint64_t weir_entry_hash(const struct weir_entry *entry);

#endif
