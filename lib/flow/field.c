/* SPDX-License-Identifier: BSD-3-Clause */
#include "flow/field.h"

/* A header is class (16 bits), number (7), has-mask (1), length of what follows (8). */
#define HEADER(class, number) ((uint32_t)(class) << 16 | (uint32_t)(number) << 9)

const struct field weir_flow_fields[FIELD_SLOTS] = {
#define F(id, match, set, class, number, bytes, bits, use, need, kind)                             \
	[FIELD_##id] = {match, set, HEADER(class, number), bytes, bits, use, need, kind,           \
		(class) == OXM_EXPERIMENT ? 4 : 0},
	WEIR_FLOW_FIELDS(F)
#undef F
		[FIELD_ANY_NW_PROTO] = {.match_name = "nw_proto", .bits = 8, .kind = KIND_DEC},
	[FIELD_ANY_NW_SRC] = {"nw_src", .bits = 32, .use = USE_MASK, .kind = KIND_IPV4},
	[FIELD_ANY_NW_DST] = {"nw_dst", .bits = 32, .use = USE_MASK, .kind = KIND_IPV4},
	[FIELD_ANY_TP_SRC] = {"tp_src", .bits = 16, .use = USE_MASK, .kind = KIND_DEC},
	[FIELD_ANY_TP_DST] = {"tp_dst", .bits = 16, .use = USE_MASK, .kind = KIND_DEC},
	[FIELD_ANY_ICMP_TYPE] = {.match_name = "icmp_type", .bits = 8, .kind = KIND_DEC},
	[FIELD_ANY_ICMP_CODE] = {.match_name = "icmp_code", .bits = 8, .kind = KIND_DEC},
};

#define F(id, match, set, class, number, bytes, ...) +OXM_HEADER_BYTES + 4 + 2 * (bytes)
_Static_assert(0 WEIR_FLOW_FIELDS(F) <= WEIR_MATCH_BYTES_MAX, "a match of every field has room");
#undef F

static bool field_of_header(uint32_t header, enum field_id *id)
{
	switch (header & ~0x1ffu) {
#define F(row, match, set, class, number, ...)                                                     \
	case HEADER(class, number):                                                                \
		*id = FIELD_##row;                                                                 \
		return true;
		WEIR_FLOW_FIELDS(F)
#undef F
	default:
		return false;
	}
}

bool weir_flow_oxm_read(const uint8_t *at, size_t len, struct flow_oxm *oxm)
{
	const struct field *field;
	uint32_t header;
	size_t head, body;

	if (len < OXM_HEADER_BYTES)
		return false;
	header = flow_load32(at);
	if (!field_of_header(header, &oxm->id))
		return false;
	field = &weir_flow_fields[oxm->id];
	oxm->masked = (header & OXM_MASKED) != 0;
	head = OXM_HEADER_BYTES + field->extra;
	body = oxm->masked ? 2u * field->bytes : field->bytes;
	oxm->bytes = head + body;
	if ((header & 0xff) != field->extra + body || oxm->bytes > len)
		return false;
	if (field->extra > 0 && flow_load32(at + OXM_HEADER_BYTES) != OXM_ONF)
		return false;
	oxm->value = flow_load(at + head, field->bytes);
	oxm->mask =
		oxm->masked ? flow_load(at + head + field->bytes, field->bytes) : field_ones(field);
	return true;
}

bool weir_flow_oxm_canonical(const struct flow_oxm *oxm)
{
	const struct field *field = &weir_flow_fields[oxm->id];
	flow_value ones = field_ones(field);

	if ((oxm->value & ~oxm->mask) != 0 || oxm->mask == 0 || (oxm->mask & ~ones) != 0)
		return false;
	if (oxm->masked && (oxm->mask == ones || (field->use & USE_MASK) == 0))
		return false;
	return field->kind != KIND_PORT || ofp_port_in((uint32_t)oxm->value);
}

void weir_flow_scope_note(
	struct flow_scope *scope, enum field_id id, flow_value value, flow_value mask)
{
	switch (id) {
	case FIELD_ETH_TYPE:
		scope->eth_type = (uint16_t)value;
		break;
	case FIELD_VLAN_VID:
		scope->vlan_tags = (value & mask & OFP_VID_PRESENT) != 0;
		break;
	case FIELD_IP_PROTO:
		scope->ip_proto = (uint8_t)value;
		scope->has_ip_proto = true;
		break;
	case FIELD_ICMPV6_TYPE:
		scope->icmpv6_type = (uint8_t)value;
		break;
	default:
		break;
	}
}

static bool scope_is_ip(const struct flow_scope *scope)
{
	return scope->eth_type == OFP_ETH_IPV4 || scope->eth_type == OFP_ETH_IPV6;
}

static bool scope_carries(const struct flow_scope *scope, enum ofp_ip_proto proto)
{
	return scope_is_ip(scope) && scope->has_ip_proto && scope->ip_proto == proto;
}

bool weir_flow_scope_meets(const struct flow_scope *scope, enum field_need need)
{
	uint8_t type = scope->icmpv6_type;

	switch (need) {
	case NEED_NONE:
		return true;
	case NEED_VLAN:
		return scope->vlan_tags > 0;
	case NEED_IP:
		return scope_is_ip(scope);
	case NEED_IPV4:
		return scope->eth_type == OFP_ETH_IPV4;
	case NEED_IPV6:
		return scope->eth_type == OFP_ETH_IPV6;
	case NEED_ARP:
		return scope->eth_type == OFP_ETH_ARP || scope->eth_type == OFP_ETH_RARP;
	case NEED_MPLS:
		return scope->eth_type == OFP_ETH_MPLS || scope->eth_type == OFP_ETH_MPLS_MULTICAST;
	case NEED_TCP:
		return scope_carries(scope, OFP_IP_TCP);
	case NEED_UDP:
		return scope_carries(scope, OFP_IP_UDP);
	case NEED_SCTP:
		return scope_carries(scope, OFP_IP_SCTP);
	case NEED_ICMP:
		return scope->eth_type == OFP_ETH_IPV4 && scope_carries(scope, OFP_IP_ICMP);
	case NEED_ICMPV6:
		return scope->eth_type == OFP_ETH_IPV6 && scope_carries(scope, OFP_IP_ICMPV6);
	case NEED_ND:
		return type == OFP_NEIGHBOR_SOLICIT || type == OFP_NEIGHBOR_ADVERT;
	case NEED_ND_SOLICIT:
		return type == OFP_NEIGHBOR_SOLICIT;
	case NEED_ND_ADVERT:
		return type == OFP_NEIGHBOR_ADVERT;
	}
	return false;
}

const char *weir_flow_need_name(enum field_need need)
{
	static const char *const names[] = {
		[NEED_NONE] = "nothing",
		[NEED_VLAN] = "a match on a VLAN tag",
		[NEED_IP] = "ip or ipv6",
		[NEED_IPV4] = "ip",
		[NEED_IPV6] = "ipv6",
		[NEED_ARP] = "arp or rarp",
		[NEED_MPLS] = "mpls",
		[NEED_TCP] = "tcp or tcp6",
		[NEED_UDP] = "udp or udp6",
		[NEED_SCTP] = "sctp or sctp6",
		[NEED_ICMP] = "icmp",
		[NEED_ICMPV6] = "icmp6",
		[NEED_ND] = "icmp6 and icmp_type 135 or 136",
		[NEED_ND_SOLICIT] = "icmp6 and icmp_type 135",
		[NEED_ND_ADVERT] = "icmp6 and icmp_type 136",
	};

	return names[need];
}

const char *weir_flow_port_name(uint32_t port)
{
	static const char *const names[] = {
		"IN_PORT", "TABLE", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "LOCAL"};

	if (port < OFP_PORT_IN_PORT || port > OFP_PORT_LOCAL)
		return NULL;
	return names[port - OFP_PORT_IN_PORT];
}
