/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The words of the text syntax: what stands before a value, and the names of actions and ports.
 *
 * Internal to the room.
 */
#ifndef WEIR_FLOW_WORDS_H
#define WEIR_FLOW_WORDS_H

#include <stddef.h>
#include <stdint.h>

#define FLOW_WORD_MAX 16 /**< bytes of the longest word */

/** What a word of a match stands for, and of what `arg` is the number. */
enum flow_word_kind {
	WORD_FIELD,    /**< enum field_id */
	WORD_PROTO,    /**< enum flow_proto */
	WORD_DL_VLAN,  /**< VLAN id without the bit that says that there is a tag */
	WORD_VLAN_TCI, /**< VLAN id and priority in one */
	WORD_TOS,      /**< DSCP, shifted by two */
	WORD_KEY,      /**< enum flow_key */
	WORD_FLAG,     /**< the bit of a flag */
	WORD_DUMP,     /**< only a dump has it */
	WORD_ACTIONS,
};

/** Keys of a rule's head. */
enum flow_key {
	KEY_COOKIE,
	KEY_TABLE,
	KEY_PRIORITY,
	KEY_IDLE_TIMEOUT,
	KEY_HARD_TIMEOUT,
	KEY_APP,
	KEY_COUNT,
};

/** Shorthands: an eth_type, and perhaps an ip_proto. */
enum flow_proto {
	PROTO_IP,
	PROTO_IPV6,
	PROTO_ICMP,
	PROTO_ICMP6,
	PROTO_TCP,
	PROTO_TCP6,
	PROTO_UDP,
	PROTO_UDP6,
	PROTO_SCTP,
	PROTO_SCTP6,
	PROTO_ARP,
	PROTO_RARP,
	PROTO_MPLS,
	PROTO_MPLSM,
	PROTO_COUNT,
};

struct flow_proto_row {
	const char *name;
	uint16_t eth_type;
	uint8_t ip_proto; /**< 0: says nothing of it */
};

extern const struct flow_proto_row weir_flow_protos[PROTO_COUNT];

/** What an action's word does with its argument; of what `arg` is the number. */
enum flow_action_kind {
	ACTION_OUTPUT,
	ACTION_PORT,       /**< the low byte of a reserved port */
	ACTION_CONTROLLER, /**< a port with a length */
	ACTION_DROP,
	ACTION_NUMBER,    /**< an OpenFlow action with a 32-bit number: enum ofp_action */
	ACTION_BYTE,      /**< an OpenFlow action with an 8-bit number: enum ofp_action */
	ACTION_BARE,      /**< an OpenFlow action without argument: enum ofp_action */
	ACTION_PUSH_VLAN, /**< takes an eth_type */
	ACTION_PUSH_MPLS, /**< takes an eth_type */
	ACTION_POP_MPLS,  /**< takes an eth_type */
	ACTION_SET_FIELD,
	ACTION_MOD,          /**< set_field by another name: enum field_id */
	ACTION_MOD_VLAN_VID, /**< pushes a tag where there is none */
	ACTION_MOD_VLAN_PCP, /**< pushes a tag where there is none */
	ACTION_MOD_TOS,      /**< DSCP, shifted by two */
	ACTION_METER,
	ACTION_CLEAR,
	ACTION_WRITE,
	ACTION_METADATA,
	ACTION_GOTO,
};

struct flow_word {
	char text[FLOW_WORD_MAX];
	uint8_t kind;
	uint8_t arg;
};

/** The word of a match of this spelling, or NULL. */
const struct flow_word *weir_flow_match_word(const char *text, size_t len);

/** The word of an action of this spelling, without regard to case, or NULL. */
const struct flow_word *weir_flow_action_word(const char *text, size_t len);

#endif
