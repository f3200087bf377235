/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/err.h"
#include "flow/match.h"

#define BIT(id)  (1ULL << (id))
#define VID_BITS 0x1fffu /* what vlan_tci shares with vlan_vid; the rest is the priority */

_Static_assert(WEIR_FLOW_TEXT_MAX <= UINT16_MAX, "a place in a text is a uint16_t");

static void match_fill(struct flow_match *match, const struct flow_text *text, const char *where,
	enum field_id id, flow_value value, flow_value mask)
{
	match->there |= BIT(id);
	match->from[id] = (uint16_t)(where - text->begin);
	match->value[id] = value & mask;
	match->mask[id] = mask;
}

/* Fills a slot whose field may be there already with the same exact value. */
static int match_agree(struct flow_match *match, const struct flow_text *text, const char *where,
	enum field_id id, flow_value value)
{
	if ((match->there & BIT(id)) == 0) {
		match_fill(match, text, where, id, value, field_ones(&weir_flow_fields[id]));
		return 0;
	}
	if (match->value[id] == value)
		return 0;
	return weir_flow_fault(
		text, where, "another %s was given before", weir_flow_fields[id].match_name);
}

static int match_proto(
	struct flow_match *match, const struct flow_text *text, const char *where, unsigned proto)
{
	const struct flow_proto_row *row = &weir_flow_protos[proto];
	int err = match_agree(match, text, where, FIELD_ETH_TYPE, row->eth_type);

	if (err == 0 && row->ip_proto != 0)
		err = match_agree(match, text, where, FIELD_IP_PROTO, row->ip_proto);
	return err;
}

/* Takes note that a text names a field; it may do so once. */
static int match_ask(
	struct flow_match *match, const struct flow_text *text, const char *where, enum field_id id)
{
	if ((match->asked & BIT(id)) != 0)
		return weir_flow_fault(text, where, "this field was given before");
	match->asked |= BIT(id);
	return 0;
}

static int read_value(
	struct flow_text *text, const struct field *field, const char *where, flow_value *value)
{
	const char *start = text->at;

	if (weir_flow_read_value(text, field, value))
		return 0;
	return weir_flow_fault(text, start, "not a value of %.*s", (int)(start - 1 - where), where);
}

static int read_masked(struct flow_text *text, const struct field *field, const char *where,
	flow_value *value, flow_value *mask)
{
	const char *start;
	int err;

	if (field->kind == KIND_FLAGS && weir_flow_read_tcp_flags(text, value, mask))
		return 0;
	err = read_value(text, field, where, value);
	*mask = field_ones(field);
	if (err != 0 || !flow_skip(text, '/'))
		return err;
	start = text->at;
	if ((field->use & USE_MASK) == 0)
		return weir_flow_fault(text, start - 1, "this field takes no mask");
	if (!weir_flow_read_mask(text, field, mask))
		return weir_flow_fault(text, start, "not a mask");
	return 0;
}

static int match_field(
	struct flow_match *match, struct flow_text *text, const char *where, enum field_id id)
{
	const struct field *field = &weir_flow_fields[id];
	flow_value value, mask;
	int err = read_masked(text, field, where, &value, &mask);

	if (err != 0 || mask == 0)
		return err;
	if (field->kind == KIND_PORT && !ofp_port_in((uint32_t)value))
		return weir_flow_fault(text, where, "no packet comes in at this port");
	if (id == FIELD_ETH_TYPE)
		return match_agree(match, text, where, id, value);
	match_fill(match, text, where, id, value, mask);
	return 0;
}

/* dl_vlan=N is a tag with this id; 0xffff is no tag at all. */
static int match_dl_vlan(struct flow_match *match, struct flow_text *text, const char *where)
{
	static const struct field plain = {.bits = 16, .kind = KIND_DEC};
	const char *start = text->at;
	flow_value id;
	int err = read_value(text, &plain, where, &id);

	if (err != 0)
		return err;
	if (id > OFP_VID_MAX && id != 0xffff)
		return weir_flow_fault(text, start, "not a VLAN id (0 to 4095, or 0xffff)");
	match_fill(match, text, where, FIELD_VLAN_VID, id == 0xffff ? 0 : OFP_VID_PRESENT | id,
		field_ones(&weir_flow_fields[FIELD_VLAN_VID]));
	return 0;
}

/* vlan_tci holds id, tag bit and priority in 16 bits; OpenFlow 1.3 has a field for each. */
static int match_vlan_tci(struct flow_match *match, struct flow_text *text, const char *where)
{
	static const struct field tci = {.bits = 16, .use = USE_MASK, .kind = KIND_HEX};
	const char *start = text->at;
	flow_value value, mask;
	int err = read_masked(text, &tci, where, &value, &mask);

	if (err != 0 || mask == 0)
		return err;
	value &= mask;
	if (value == 0 && mask == 0xffff)
		mask = VID_BITS;
	if (mask >> 13 != 0) {
		if (mask >> 13 != 7)
			return weir_flow_fault(
				text, start, "the VLAN priority cannot be matched in part");
		if ((value & OFP_VID_PRESENT) == 0)
			return weir_flow_fault(
				text, start, "a VLAN priority needs 0x1000 in the value");
		err = match_ask(match, text, where, FIELD_VLAN_PCP);
		match_fill(match, text, where, FIELD_VLAN_PCP, value >> 13, 7);
	}
	if ((mask & VID_BITS) != 0)
		match_fill(match, text, where, FIELD_VLAN_VID, value & VID_BITS, mask & VID_BITS);
	return err;
}

/* The two low bits of a type of service byte are not DSCP, and are left out. */
static int match_tos(struct flow_match *match, struct flow_text *text, const char *where)
{
	static const struct field plain = {.bits = 8, .kind = KIND_DEC};
	flow_value tos;
	int err = read_value(text, &plain, where, &tos);

	if (err == 0)
		match_fill(match, text, where, FIELD_IP_DSCP, tos >> 2,
			field_ones(&weir_flow_fields[FIELD_IP_DSCP]));
	return err;
}

static int match_value(struct flow_match *match, struct flow_text *text,
	const struct flow_word *word, const char *where)
{
	switch (word->kind) {
	case WORD_DL_VLAN:
		return match_dl_vlan(match, text, where);
	case WORD_VLAN_TCI:
		return match_vlan_tci(match, text, where);
	case WORD_TOS:
		return match_tos(match, text, where);
	default:
		return match_field(match, text, where, (enum field_id)word->arg);
	}
}

int weir_flow_match_read(struct flow_match *match, struct flow_text *text,
	const struct flow_word *word, const char *where)
{
	int err;

	if (word->kind == WORD_PROTO)
		return match_proto(match, text, where, word->arg);
	if (!flow_skip(text, '='))
		return weir_flow_fault(text, where, "a value is missing behind");
	err = match_ask(match, text, where, (enum field_id)word->arg);
	if (err != 0 || flow_skip(text, '*'))
		return err;
	return match_value(match, text, word, where);
}

/* ------------------------------------------------------------------------------------------ */

static const struct {
	uint8_t word;
	uint8_t need;
	uint8_t id;
} meanings[] = {
	{FIELD_ANY_NW_PROTO, NEED_IP, FIELD_IP_PROTO},
	{FIELD_ANY_NW_PROTO, NEED_ARP, FIELD_ARP_OP},
	{FIELD_ANY_NW_SRC, NEED_IPV4, FIELD_IPV4_SRC},
	{FIELD_ANY_NW_SRC, NEED_ARP, FIELD_ARP_SPA},
	{FIELD_ANY_NW_DST, NEED_IPV4, FIELD_IPV4_DST},
	{FIELD_ANY_NW_DST, NEED_ARP, FIELD_ARP_TPA},
	{FIELD_ANY_TP_SRC, NEED_TCP, FIELD_TCP_SRC},
	{FIELD_ANY_TP_SRC, NEED_UDP, FIELD_UDP_SRC},
	{FIELD_ANY_TP_SRC, NEED_SCTP, FIELD_SCTP_SRC},
	{FIELD_ANY_TP_DST, NEED_TCP, FIELD_TCP_DST},
	{FIELD_ANY_TP_DST, NEED_UDP, FIELD_UDP_DST},
	{FIELD_ANY_TP_DST, NEED_SCTP, FIELD_SCTP_DST},
	{FIELD_ANY_ICMP_TYPE, NEED_ICMP, FIELD_ICMP_TYPE},
	{FIELD_ANY_ICMP_TYPE, NEED_ICMPV6, FIELD_ICMPV6_TYPE},
	{FIELD_ANY_ICMP_CODE, NEED_ICMP, FIELD_ICMP_CODE},
	{FIELD_ANY_ICMP_CODE, NEED_ICMPV6, FIELD_ICMPV6_CODE},
};

enum field_id weir_flow_field_resolve(enum field_id id, const struct flow_scope *scope)
{
	if (id < FIELD_COUNT)
		return id;
	for (unsigned i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (meanings[i].word == id &&
			weir_flow_scope_meets(scope, (enum field_need)meanings[i].need))
			return (enum field_id)meanings[i].id;
	return FIELD_COUNT;
}

static void match_note(const struct flow_match *match, struct flow_scope *scope, enum field_id id)
{
	if ((match->there & BIT(id)) != 0)
		weir_flow_scope_note(scope, id, match->value[id], match->mask[id]);
}

static const char *ambiguous_needs(enum field_id id)
{
	switch (id) {
	case FIELD_ANY_NW_PROTO:
		return "ip, ipv6, arp or rarp";
	case FIELD_ANY_NW_SRC:
	case FIELD_ANY_NW_DST:
		return "ip, arp or rarp";
	case FIELD_ANY_TP_SRC:
	case FIELD_ANY_TP_DST:
		return "tcp, udp or sctp (or tcp6, ...)";
	default:
		return "icmp or icmp6";
	}
}

/* Moves what an ambiguous word said to the field that it means. */
static int match_resolve(struct flow_match *match, const struct flow_text *text, enum field_id word,
	struct flow_scope *scope)
{
	const char *where = text->begin + match->from[word];
	enum field_id id = weir_flow_field_resolve(word, scope);

	if (id == FIELD_COUNT)
		return weir_flow_fault(text, where, "this needs %s", ambiguous_needs(word));
	match->there &= ~BIT(word);
	if (id == FIELD_IP_PROTO) {
		int err = match_agree(match, text, where, id, match->value[word]);

		match_note(match, scope, id);
		return err;
	}
	if ((match->there & BIT(id)) != 0)
		return weir_flow_fault(text, where, "this field was given before");
	match_fill(match, text, where, id, match->value[word],
		match->mask[word] == field_ones(&weir_flow_fields[word])
			? field_ones(&weir_flow_fields[id])
			: match->mask[word]);
	return 0;
}

static int match_resolve_all(
	struct flow_match *match, const struct flow_text *text, struct flow_scope *scope)
{
	uint64_t words = match->there >> FIELD_COUNT << FIELD_COUNT;

	match_note(match, scope, FIELD_ETH_TYPE);
	match_note(match, scope, FIELD_IP_PROTO);
	while (words != 0) {
		enum field_id word = (enum field_id)__builtin_ctzll(words);
		int err = match_resolve(match, text, word, scope);

		if (err != 0)
			return err;
		words &= words - 1;
	}
	return 0;
}

/* A VLAN priority by itself asks for a tag, whatever its id. */
static void match_imply_tag(struct flow_match *match, const struct flow_text *text)
{
	const char *where = text->begin + match->from[FIELD_VLAN_PCP];

	if ((match->there & BIT(FIELD_VLAN_PCP)) != 0 && (match->there & BIT(FIELD_VLAN_VID)) == 0)
		match_fill(match, text, where, FIELD_VLAN_VID, OFP_VID_PRESENT, OFP_VID_PRESENT);
}

int weir_flow_match_write(struct flow_match *match, const struct flow_text *text, uint8_t *at,
	struct flow_scope *scope)
{
	const uint8_t *const start = at;
	int err;

	*scope = (struct flow_scope){0};
	err = match_resolve_all(match, text, scope);
	if (err != 0)
		return err;
	match_imply_tag(match, text);
	for (uint64_t left = match->there; left != 0; left &= left - 1) {
		enum field_id id = (enum field_id)__builtin_ctzll(left);
		const struct field *field = &weir_flow_fields[id];

		if (!weir_flow_scope_meets(scope, (enum field_need)field->need))
			return weir_flow_fault(text, text->begin + match->from[id], "this needs %s",
				weir_flow_need_name((enum field_need)field->need));
		weir_flow_scope_note(scope, id, match->value[id], match->mask[id]);
		at += flow_oxm_write(at, field, match->value[id], match->mask[id]);
	}
	return (int)(at - start);
}
