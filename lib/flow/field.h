/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * The fields of a match, one row each, and what must be matched before one may be used.
 *
 * A field's value is a number of up to 128 bits whatever it is called; the row says how many
 * bytes and bits it has on the wire and how it is written in text. Rows stand in the order of the
 * canonical form: OpenFlow's basic class by number, then fields of other classes, for which Weir
 * uses the numbers that Open vSwitch uses with OpenFlow 1.3.
 *
 * Internal to the room.
 */
#ifndef WEIR_FLOW_FIELD_H
#define WEIR_FLOW_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/limits.h"
#include "flow/ofp.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "Weir runs on little-endian hosts only");

typedef unsigned __int128 flow_value;

#define OXM_BASIC      0x8000u     /**< OFPXMC_OPENFLOW_BASIC */
#define OXM_NXM        0x0001u     /**< OFPXMC_NXM_1, Nicira's extensions */
#define OXM_EXPERIMENT 0xffffu     /**< OFPXMC_EXPERIMENTER: four more bytes name whose */
#define OXM_ONF        0x4f4e4600u /**< the Open Networking Foundation's own */

/** How a value is written in text. */
enum field_kind {
	KIND_DEC,
	KIND_HEX,
	KIND_MAC,
	KIND_IPV4,
	KIND_IPV6,
	KIND_PORT,  /**< a port number or name */
	KIND_VID,   /**< dl_vlan, or vlan_vid where a mask or no tag is meant */
	KIND_TOS,   /**< nw_tos in a match: the value times four */
	KIND_FLAGS, /**< TCP flags */
};

/** What a field asks of the rest of the match. */
enum field_need {
	NEED_NONE,
	NEED_VLAN,
	NEED_IP, /**< IPv4 or IPv6 */
	NEED_IPV4,
	NEED_IPV6,
	NEED_ARP, /**< or RARP */
	NEED_MPLS,
	NEED_TCP,
	NEED_UDP,
	NEED_SCTP,
	NEED_ICMP,
	NEED_ICMPV6,
	NEED_ND, /**< neighbour solicitation or advertisement */
	NEED_ND_SOLICIT,
	NEED_ND_ADVERT,
};

/** What may be done with a field. */
enum field_use {
	USE_EXACT = 0,
	USE_MASK = 1, /**< may be matched under a mask */
	USE_SET = 2,  /**< may be written by set_field */
};

/* id, name in a match, name in set_field, class, number, bytes, bits, use, need, kind */
#define WEIR_FLOW_FIELDS(F)                                                                        \
	F(IN_PORT, "in_port", "", OXM_BASIC, 0, 4, 32, USE_EXACT, NEED_NONE, KIND_PORT)            \
	F(METADATA, "metadata", "metadata", OXM_BASIC, 2, 8, 64, USE_MASK | USE_SET, NEED_NONE,    \
		KIND_HEX)                                                                          \
	F(ETH_DST, "dl_dst", "eth_dst", OXM_BASIC, 3, 6, 48, USE_MASK | USE_SET, NEED_NONE,        \
		KIND_MAC)                                                                          \
	F(ETH_SRC, "dl_src", "eth_src", OXM_BASIC, 4, 6, 48, USE_MASK | USE_SET, NEED_NONE,        \
		KIND_MAC)                                                                          \
	F(ETH_TYPE, "dl_type", "", OXM_BASIC, 5, 2, 16, USE_EXACT, NEED_NONE, KIND_HEX)            \
	F(VLAN_VID, "vlan_vid", "vlan_vid", OXM_BASIC, 6, 2, 13, USE_MASK | USE_SET, NEED_NONE,    \
		KIND_VID)                                                                          \
	F(VLAN_PCP, "dl_vlan_pcp", "vlan_pcp", OXM_BASIC, 7, 1, 3, USE_SET, NEED_VLAN, KIND_DEC)   \
	F(IP_DSCP, "nw_tos", "ip_dscp", OXM_BASIC, 8, 1, 6, USE_SET, NEED_IP, KIND_TOS)            \
	F(IP_ECN, "nw_ecn", "nw_ecn", OXM_BASIC, 9, 1, 2, USE_SET, NEED_IP, KIND_DEC)              \
	F(IP_PROTO, "nw_proto", "", OXM_BASIC, 10, 1, 8, USE_EXACT, NEED_IP, KIND_DEC)             \
	F(IPV4_SRC, "nw_src", "ip_src", OXM_BASIC, 11, 4, 32, USE_MASK | USE_SET, NEED_IPV4,       \
		KIND_IPV4)                                                                         \
	F(IPV4_DST, "nw_dst", "ip_dst", OXM_BASIC, 12, 4, 32, USE_MASK | USE_SET, NEED_IPV4,       \
		KIND_IPV4)                                                                         \
	F(TCP_SRC, "tp_src", "tcp_src", OXM_BASIC, 13, 2, 16, USE_MASK | USE_SET, NEED_TCP,        \
		KIND_DEC)                                                                          \
	F(TCP_DST, "tp_dst", "tcp_dst", OXM_BASIC, 14, 2, 16, USE_MASK | USE_SET, NEED_TCP,        \
		KIND_DEC)                                                                          \
	F(UDP_SRC, "tp_src", "udp_src", OXM_BASIC, 15, 2, 16, USE_MASK | USE_SET, NEED_UDP,        \
		KIND_DEC)                                                                          \
	F(UDP_DST, "tp_dst", "udp_dst", OXM_BASIC, 16, 2, 16, USE_MASK | USE_SET, NEED_UDP,        \
		KIND_DEC)                                                                          \
	F(SCTP_SRC, "tp_src", "sctp_src", OXM_BASIC, 17, 2, 16, USE_MASK | USE_SET, NEED_SCTP,     \
		KIND_DEC)                                                                          \
	F(SCTP_DST, "tp_dst", "sctp_dst", OXM_BASIC, 18, 2, 16, USE_MASK | USE_SET, NEED_SCTP,     \
		KIND_DEC)                                                                          \
	F(ICMP_TYPE, "icmp_type", "icmp_type", OXM_BASIC, 19, 1, 8, USE_SET, NEED_ICMP, KIND_DEC)  \
	F(ICMP_CODE, "icmp_code", "icmp_code", OXM_BASIC, 20, 1, 8, USE_SET, NEED_ICMP, KIND_DEC)  \
	F(ARP_OP, "arp_op", "arp_op", OXM_BASIC, 21, 2, 16, USE_SET, NEED_ARP, KIND_DEC)           \
	F(ARP_SPA, "arp_spa", "arp_spa", OXM_BASIC, 22, 4, 32, USE_MASK | USE_SET, NEED_ARP,       \
		KIND_IPV4)                                                                         \
	F(ARP_TPA, "arp_tpa", "arp_tpa", OXM_BASIC, 23, 4, 32, USE_MASK | USE_SET, NEED_ARP,       \
		KIND_IPV4)                                                                         \
	F(ARP_SHA, "arp_sha", "arp_sha", OXM_BASIC, 24, 6, 48, USE_MASK | USE_SET, NEED_ARP,       \
		KIND_MAC)                                                                          \
	F(ARP_THA, "arp_tha", "arp_tha", OXM_BASIC, 25, 6, 48, USE_MASK | USE_SET, NEED_ARP,       \
		KIND_MAC)                                                                          \
	F(IPV6_SRC, "ipv6_src", "ipv6_src", OXM_BASIC, 26, 16, 128, USE_MASK | USE_SET, NEED_IPV6, \
		KIND_IPV6)                                                                         \
	F(IPV6_DST, "ipv6_dst", "ipv6_dst", OXM_BASIC, 27, 16, 128, USE_MASK | USE_SET, NEED_IPV6, \
		KIND_IPV6)                                                                         \
	F(IPV6_LABEL, "ipv6_label", "ipv6_label", OXM_BASIC, 28, 4, 20, USE_MASK | USE_SET,        \
		NEED_IPV6, KIND_HEX)                                                               \
	F(ICMPV6_TYPE, "icmp_type", "icmpv6_type", OXM_BASIC, 29, 1, 8, USE_SET, NEED_ICMPV6,      \
		KIND_DEC)                                                                          \
	F(ICMPV6_CODE, "icmp_code", "icmpv6_code", OXM_BASIC, 30, 1, 8, USE_SET, NEED_ICMPV6,      \
		KIND_DEC)                                                                          \
	F(ND_TARGET, "nd_target", "nd_target", OXM_BASIC, 31, 16, 128, USE_MASK | USE_SET,         \
		NEED_ND, KIND_IPV6)                                                                \
	F(ND_SLL, "nd_sll", "nd_sll", OXM_BASIC, 32, 6, 48, USE_MASK | USE_SET, NEED_ND_SOLICIT,   \
		KIND_MAC)                                                                          \
	F(ND_TLL, "nd_tll", "nd_tll", OXM_BASIC, 33, 6, 48, USE_MASK | USE_SET, NEED_ND_ADVERT,    \
		KIND_MAC)                                                                          \
	F(MPLS_LABEL, "mpls_label", "mpls_label", OXM_BASIC, 34, 4, 20, USE_SET, NEED_MPLS,        \
		KIND_DEC)                                                                          \
	F(MPLS_TC, "mpls_tc", "mpls_tc", OXM_BASIC, 35, 1, 3, USE_SET, NEED_MPLS, KIND_DEC)        \
	F(MPLS_BOS, "mpls_bos", "", OXM_BASIC, 36, 1, 1, USE_EXACT, NEED_MPLS, KIND_DEC)           \
	F(TUN_ID, "tun_id", "tun_id", OXM_BASIC, 38, 8, 64, USE_MASK | USE_SET, NEED_NONE,         \
		KIND_HEX)                                                                          \
	F(NW_TTL, "nw_ttl", "nw_ttl", OXM_NXM, 29, 1, 8, USE_SET, NEED_IP, KIND_DEC)               \
	F(TCP_FLAGS, "tcp_flags", "", OXM_EXPERIMENT, 42, 2, 12, USE_MASK, NEED_TCP, KIND_FLAGS)

enum field_id {
#define F(id, ...) FIELD_##id,
	WEIR_FLOW_FIELDS(F)
#undef F
	FIELD_COUNT,
	/* Words that mean one field or another, as the rest of the match decides. */
	FIELD_ANY_NW_PROTO = FIELD_COUNT,
	FIELD_ANY_NW_SRC,
	FIELD_ANY_NW_DST,
	FIELD_ANY_TP_SRC,
	FIELD_ANY_TP_DST,
	FIELD_ANY_ICMP_TYPE,
	FIELD_ANY_ICMP_CODE,
	FIELD_SLOTS,
};

_Static_assert(FIELD_SLOTS <= 64, "a set of fields is a 64-bit mask");

/** One row of the table. */
struct field {
	const char *match_name;
	const char *set_name;
	uint32_t header; /**< OXM header of the unmasked field, without its length */
	uint8_t bytes;   /**< of the value */
	uint8_t bits;    /**< of the value that have a meaning */
	uint8_t use;     /**< enum field_use */
	uint8_t need;    /**< enum field_need */
	uint8_t kind;    /**< enum field_kind */
	uint8_t extra;   /**< bytes between header and value: 4 in the experimenter class */
};

/** The rows, and behind them what is common to the words that mean one field or another. */
extern const struct field weir_flow_fields[FIELD_SLOTS];

#define OXM_HEADER_BYTES 4u
#define OXM_MASKED       0x100u /**< in a header */

static inline flow_value field_ones(const struct field *field)
{
	return field->bits == 128 ? ~(flow_value)0 : ((flow_value)1 << field->bits) - 1;
}

/* ------------------------------------------------------------------------------------------ */

/** What is known of a packet that a rule matches, as far as prerequisites go. */
struct flow_scope {
	uint16_t eth_type; /**< 0: not known */
	uint8_t ip_proto;
	bool has_ip_proto;
	uint8_t icmpv6_type; /**< 0: not known, or none that matters */
	uint8_t vlan_tags;   /**< tags that are there for certain */
};

/** Takes note of a field that is matched; fields come in canonical order. */
void weir_flow_scope_note(
	struct flow_scope *scope, enum field_id id, flow_value value, flow_value mask);

bool weir_flow_scope_meets(const struct flow_scope *scope, enum field_need need);

/** "ip or ipv6", ...: what is missing where a need is not met. */
const char *weir_flow_need_name(enum field_need need);

/** What set_field asks of a packet: what a match would, and a tag where it changes one. */
static inline enum field_need field_set_need(enum field_id id)
{
	return id == FIELD_VLAN_VID ? NEED_VLAN : (enum field_need)weir_flow_fields[id].need;
}

/**
 * Whether this is the number of a device's port. Those that had a meaning in OpenFlow 1.0 are
 * none: ovs-ofctl takes 65534 for LOCAL, so such a number would not mean the same everywhere.
 */
static inline bool ofp_port_plain(uint32_t port)
{
	return port < OFP10_PORT_MAX || (port > OFP10_PORT_NONE && port <= OFP_PORT_MAX);
}

/** Whether a port may be matched as in_port. */
static inline bool ofp_port_in(uint32_t port)
{
	return ofp_port_plain(port) || port == OFP_PORT_LOCAL || port == OFP_PORT_CONTROLLER;
}

/** Whether a packet may be sent to a port. */
static inline bool ofp_port_out(uint32_t port)
{
	return ofp_port_plain(port) || (port >= OFP_PORT_IN_PORT && port <= OFP_PORT_LOCAL);
}

/** The name of a reserved port, or NULL. */
const char *weir_flow_port_name(uint32_t port);

/* ------------------------------------------------------------------------------------------ */

/** One OXM TLV, read. */
struct flow_oxm {
	enum field_id id;
	bool masked;
	flow_value value;
	flow_value mask; /**< all ones where it is not masked */
	size_t bytes;    /**< of the whole TLV */
};

/**
 * Reads the TLV at the head of `len` bytes.
 * @return false where there is no whole TLV of a known field
 */
bool weir_flow_oxm_read(const uint8_t *at, size_t len, struct flow_oxm *oxm);

/** Whether a value and its mask are canonical for the field, prerequisites apart. */
bool weir_flow_oxm_canonical(const struct flow_oxm *oxm);

static inline void flow_store16(uint8_t *at, uint16_t value)
{
	value = __builtin_bswap16(value);
	memcpy(at, &value, sizeof(value));
}

static inline void flow_store32(uint8_t *at, uint32_t value)
{
	value = __builtin_bswap32(value);
	memcpy(at, &value, sizeof(value));
}

static inline void flow_store64(uint8_t *at, uint64_t value)
{
	value = __builtin_bswap64(value);
	memcpy(at, &value, sizeof(value));
}

static inline uint16_t flow_load16(const uint8_t *at)
{
	uint16_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap16(value);
}

static inline uint32_t flow_load32(const uint8_t *at)
{
	uint32_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap32(value);
}

static inline uint64_t flow_load64(const uint8_t *at)
{
	uint64_t value;

	memcpy(&value, at, sizeof(value));
	return __builtin_bswap64(value);
}

/** Loads a value of 1, 2, 4, 6, 8 or 16 bytes. */
static inline flow_value flow_load(const uint8_t *at, unsigned bytes)
{
	switch (bytes) {
	case 1:
		return at[0];
	case 2:
		return flow_load16(at);
	case 4:
		return flow_load32(at);
	case 6:
		return (flow_value)flow_load16(at) << 32 | flow_load32(at + 2);
	case 8:
		return flow_load64(at);
	default:
		return (flow_value)flow_load64(at) << 64 | flow_load64(at + 8);
	}
}

/** Stores a value of 1, 2, 4, 6, 8 or 16 bytes. */
static inline void flow_store(uint8_t *at, unsigned bytes, flow_value value)
{
	switch (bytes) {
	case 1:
		at[0] = (uint8_t)value;
		return;
	case 2:
		flow_store16(at, (uint16_t)value);
		return;
	case 4:
		flow_store32(at, (uint32_t)value);
		return;
	case 6:
		flow_store16(at, (uint16_t)(value >> 32));
		flow_store32(at + 2, (uint32_t)value);
		return;
	case 8:
		flow_store64(at, (uint64_t)value);
		return;
	default:
		flow_store64(at, (uint64_t)(value >> 64));
		flow_store64(at + 8, (uint64_t)value);
	}
}

/** Most bytes of one TLV: an IPv6 address and its mask. */
#define OXM_BYTES_MAX (OXM_HEADER_BYTES + 2 * 16)

/**
 * Writes a TLV; a mask of all ones is left out.
 * @return bytes written, at most OXM_BYTES_MAX
 */
static inline size_t flow_oxm_write(
	uint8_t *at, const struct field *field, flow_value value, flow_value mask)
{
	bool masked = mask != field_ones(field);
	unsigned head = OXM_HEADER_BYTES + field->extra;
	unsigned body = masked ? 2u * field->bytes : field->bytes;

	flow_store32(at, field->header | (masked ? OXM_MASKED : 0) | (field->extra + body));
	if (field->extra > 0)
		flow_store32(at + OXM_HEADER_BYTES, OXM_ONF);
	flow_store(at + head, field->bytes, value);
	if (masked)
		flow_store(at + head + field->bytes, field->bytes, mask);
	return head + body;
}

#endif
