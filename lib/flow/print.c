/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "flow/field.h"
#include "flow/flow.h"
#include "flow/words.h"

/* Text under way: a byte cursor, and whether a comma is due. */
struct print {
	struct weir_out out;
	bool started;
};

static void put_bytes(struct print *print, const char *text, size_t len)
{
	weir_out_put(&print->out, text, len);
}

#define PUT(print, text) put_bytes(print, text, sizeof(text) - 1)

static void put_text(struct print *print, const char *text)
{
	put_bytes(print, text, strlen(text));
}

static void put_char(struct print *print, char c)
{
	weir_out_u8(&print->out, (uint8_t)c);
}

static void put_decimal(struct print *print, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value > 0);
	put_bytes(print, digits + at, sizeof(digits) - at);
}

static const char hex_digits[] = "0123456789abcdef";

/* At least `least` digits, without 0x. */
static void put_hex_digits(struct print *print, uint64_t value, unsigned least)
{
	char digits[16];
	size_t at = sizeof(digits);

	do {
		digits[--at] = hex_digits[value & 15];
		value >>= 4;
	} while (value > 0 || sizeof(digits) - at < least);
	put_bytes(print, digits + at, sizeof(digits) - at);
}

static void put_hex(struct print *print, uint64_t value)
{
	PUT(print, "0x");
	put_hex_digits(print, value, 1);
}

static void put_ipv4(struct print *print, uint32_t address)
{
	for (int shift = 24; shift >= 0; shift -= 8) {
		put_decimal(print, address >> shift & 0xff);
		if (shift > 0)
			put_char(print, '.');
	}
}

static uint16_t ipv6_group(flow_value address, int group)
{
	return (uint16_t)(address >> (112 - 16 * group));
}

/* The longest run of at least two zero groups, the first of equals (RFC 5952, section 4.2). */
static int ipv6_gap(flow_value address, int *gap)
{
	int best = 1;

	*gap = -1;
	for (int first = 0; first < 8; first++) {
		int count = 0;

		while (first + count < 8 && ipv6_group(address, first + count) == 0)
			count++;
		if (count > best) {
			best = count;
			*gap = first;
		}
	}
	return best;
}

static void put_ipv6(struct print *print, flow_value address)
{
	int gap;
	int gap_count = ipv6_gap(address, &gap);

	for (int group = 0; group < 8; group++) {
		if (group == gap) {
			PUT(print, "::");
			group += gap_count - 1;
			continue;
		}
		if (group > 0 && group != gap + gap_count)
			put_char(print, ':');
		else if (group > 0 && gap < 0)
			put_char(print, ':');
		put_hex_digits(print, ipv6_group(address, group), 1);
	}
}

static void put_mac(struct print *print, uint64_t address)
{
	for (int shift = 40; shift >= 0; shift -= 8) {
		put_hex_digits(print, address >> shift & 0xff, 2);
		if (shift > 0)
			put_char(print, ':');
	}
}

static void put_port(struct print *print, uint32_t port)
{
	const char *name = weir_flow_port_name(port);

	if (name != NULL)
		put_text(print, name);
	else
		put_decimal(print, port);
}

/* ------------------------------------------------------------------------------------------ */

static void put_value(struct print *print, enum field_kind kind, flow_value value)
{
	switch (kind) {
	case KIND_DEC:
	case KIND_VID:
	case KIND_TOS:
		put_decimal(print, (uint64_t)value);
		break;
	case KIND_HEX:
	case KIND_FLAGS:
		put_hex(print, (uint64_t)value);
		break;
	case KIND_MAC:
		put_mac(print, (uint64_t)value);
		break;
	case KIND_IPV4:
		put_ipv4(print, (uint32_t)value);
		break;
	case KIND_IPV6:
		put_ipv6(print, value);
		break;
	case KIND_PORT:
		put_port(print, (uint32_t)value);
		break;
	}
}

/* Length of a mask that is a prefix of `bits` bits, or -1. */
static int prefix_len(flow_value mask, int bits)
{
	flow_value ones = bits == 128 ? ~(flow_value)0 : ((flow_value)1 << bits) - 1;
	flow_value rest = ~mask & ones;
	int zeros = 0;

	if ((rest & (rest + 1)) != 0)
		return -1;
	while (rest != 0) {
		rest >>= 1;
		zeros++;
	}
	return bits - zeros;
}

static void put_masked(struct print *print, const struct flow_oxm *oxm)
{
	const struct field *field = &weir_flow_fields[oxm->id];
	bool address = field->kind == KIND_IPV4 || field->kind == KIND_IPV6;
	bool number = field->kind == KIND_DEC || field->kind == KIND_VID;
	int len;

	put_value(print, number ? KIND_HEX : (enum field_kind)field->kind, oxm->value);
	put_char(print, '/');
	len = address ? prefix_len(oxm->mask, field->bits) : -1;
	if (len >= 0)
		put_decimal(print, (unsigned)len);
	else
		put_value(print, number ? KIND_HEX : (enum field_kind)field->kind, oxm->mask);
}

/* dl_vlan=N for one tag, vlan_vid=V/M for anything else. */
static void put_vid(struct print *print, const struct flow_oxm *oxm)
{
	if (oxm->masked || (oxm->value & OFP_VID_PRESENT) == 0) {
		PUT(print, "vlan_vid=");
		put_hex(print, (uint64_t)oxm->value);
		if (oxm->masked) {
			put_char(print, '/');
			put_hex(print, (uint64_t)oxm->mask);
		}
		return;
	}
	PUT(print, "dl_vlan=");
	put_decimal(print, (uint64_t)oxm->value & OFP_VID_MAX);
}

static void put_comma(struct print *print)
{
	if (print->started)
		put_char(print, ',');
	print->started = true;
}

static void put_field(struct print *print, const struct flow_oxm *oxm)
{
	const struct field *field = &weir_flow_fields[oxm->id];

	put_comma(print);
	if (field->kind == KIND_VID) {
		put_vid(print, oxm);
		return;
	}
	put_text(print, field->match_name);
	put_char(print, '=');
	if (oxm->masked)
		put_masked(print, oxm);
	else
		put_value(print, (enum field_kind)field->kind,
			field->kind == KIND_TOS ? oxm->value << 2 : oxm->value);
}

/* ------------------------------------------------------------------------------------------ */

/* The shorthand that says most of eth_type and ip_proto, or NULL. */
static const struct flow_proto_row *best_proto(const struct flow_scope *scope)
{
	const struct flow_proto_row *best = NULL;

	for (unsigned i = 0; i < PROTO_COUNT; i++) {
		const struct flow_proto_row *row = &weir_flow_protos[i];

		if (row->eth_type != scope->eth_type)
			continue;
		if (row->ip_proto == 0 && best == NULL)
			best = row;
		if (row->ip_proto != 0 && scope->has_ip_proto && row->ip_proto == scope->ip_proto)
			best = row;
	}
	return best;
}

static void match_scope(const struct weir_rule *rule, struct flow_scope *scope)
{
	struct flow_oxm oxm;

	*scope = (struct flow_scope){0};
	for (size_t at = 0; at < rule->match_len; at += oxm.bytes) {
		bool known = weir_flow_oxm_read(rule->data + at, rule->match_len - at, &oxm);

		weir_assert(known);
		weir_flow_scope_note(scope, oxm.id, oxm.value, oxm.mask);
	}
}

static void put_match(struct print *print, const struct weir_rule *rule)
{
	const struct flow_proto_row *proto;
	struct flow_scope scope;
	struct flow_oxm oxm;

	match_scope(rule, &scope);
	proto = best_proto(&scope);
	if (proto != NULL) {
		put_comma(print);
		put_text(print, proto->name);
	}
	for (size_t at = 0; at < rule->match_len; at += oxm.bytes) {
		weir_flow_oxm_read(rule->data + at, rule->match_len - at, &oxm);
		if (proto != NULL && (oxm.id == FIELD_ETH_TYPE ||
					     (oxm.id == FIELD_IP_PROTO && proto->ip_proto != 0)))
			continue;
		put_field(print, &oxm);
	}
}

/* ------------------------------------------------------------------------------------------ */

static void put_set_field(struct print *print, const uint8_t *action, size_t len)
{
	const struct field *field;
	struct flow_oxm oxm;
	bool known = weir_flow_oxm_read(action + 4, len - 4, &oxm);

	weir_assert(known);
	field = &weir_flow_fields[oxm.id];
	PUT(print, "set_field:");
	put_value(print, (enum field_kind)field->kind, oxm.value);
	PUT(print, "->");
	put_text(print, field->set_name);
}

static void put_output(struct print *print, uint32_t port, uint16_t max_len)
{
	const char *name = weir_flow_port_name(port);

	if (name == NULL) {
		PUT(print, "output:");
		put_decimal(print, port);
		return;
	}
	put_text(print, name);
	if (port == OFP_PORT_CONTROLLER) {
		put_char(print, ':');
		put_decimal(print, max_len);
	}
}

static void put_named(struct print *print, const char *name, uint64_t number)
{
	put_text(print, name);
	put_decimal(print, number);
}

static void put_typed(struct print *print, const char *name, uint16_t eth_type)
{
	put_text(print, name);
	put_hex_digits(print, eth_type, 4);
}

static void put_action(struct print *print, const uint8_t *action, size_t len)
{
	const uint8_t *body = action + 4;

	put_comma(print);
	switch ((enum ofp_action)flow_load16(action)) {
	case OFP_OUTPUT:
		put_output(print, flow_load32(body), flow_load16(body + 4));
		break;
	case OFP_SET_FIELD:
		put_set_field(print, action, len);
		break;
	case OFP_GROUP:
		put_named(print, "group:", flow_load32(body));
		break;
	case OFP_SET_QUEUE:
		put_named(print, "set_queue:", flow_load32(body));
		break;
	case OFP_SET_NW_TTL:
		put_named(print, "mod_nw_ttl:", body[0]);
		break;
	case OFP_SET_MPLS_TTL:
		put_named(print, "set_mpls_ttl:", body[0]);
		break;
	case OFP_PUSH_VLAN:
		put_typed(print, "push_vlan:0x", flow_load16(body));
		break;
	case OFP_PUSH_MPLS:
		put_typed(print, "push_mpls:0x", flow_load16(body));
		break;
	case OFP_POP_MPLS:
		put_typed(print, "pop_mpls:0x", flow_load16(body));
		break;
	case OFP_POP_VLAN:
		PUT(print, "pop_vlan");
		break;
	case OFP_DEC_NW_TTL:
		PUT(print, "dec_ttl");
		break;
	case OFP_DEC_MPLS_TTL:
		PUT(print, "dec_mpls_ttl");
		break;
	}
}

static void put_actions(struct print *print, const uint8_t *at, const uint8_t *end)
{
	size_t bytes;

	for (; at < end; at += bytes) {
		bytes = flow_load16(at + 2);
		put_action(print, at, bytes);
	}
}

static void put_write_actions(struct print *print, const uint8_t *at, const uint8_t *end)
{
	put_comma(print);
	PUT(print, "write_actions(");
	print->started = false;
	put_actions(print, at, end);
	put_char(print, ')');
	print->started = true;
}

static void put_write_metadata(struct print *print, uint64_t value, uint64_t mask)
{
	put_comma(print);
	PUT(print, "write_metadata:");
	put_hex(print, value);
	if (mask != UINT64_MAX) {
		put_char(print, '/');
		put_hex(print, mask);
	}
}

static void put_instruction(struct print *print, const uint8_t *at, size_t bytes)
{
	switch ((enum ofp_instruction)flow_load16(at)) {
	case OFP_METER:
		put_comma(print);
		put_named(print, "meter:", flow_load32(at + 4));
		break;
	case OFP_APPLY_ACTIONS:
		put_actions(print, at + 8, at + bytes);
		break;
	case OFP_CLEAR_ACTIONS:
		put_comma(print);
		PUT(print, "clear_actions");
		break;
	case OFP_WRITE_ACTIONS:
		put_write_actions(print, at + 8, at + bytes);
		break;
	case OFP_WRITE_METADATA:
		put_write_metadata(print, flow_load64(at + 8), flow_load64(at + 16));
		break;
	case OFP_GOTO_TABLE:
		put_comma(print);
		put_named(print, "goto_table:", at[4]);
		break;
	}
}

static void put_instructions(struct print *print, const struct weir_rule *rule)
{
	const uint8_t *at = weir_rule_instr(rule);
	const uint8_t *end = at + rule->instr_len;

	put_comma(print);
	PUT(print, "actions=");
	if (at == end)
		PUT(print, "drop");
	print->started = false;
	while (at < end) {
		size_t bytes = flow_load16(at + 2);

		put_instruction(print, at, bytes);
		at += bytes;
	}
}

/* ------------------------------------------------------------------------------------------ */

static void put_key(struct print *print, const char *key, uint64_t value)
{
	put_comma(print);
	put_named(print, key, value);
}

static void put_flags(struct print *print, unsigned flags)
{
	static const char *const names[] = {"send_flow_rem", "check_overlap", "reset_counts",
		"no_packet_counts", "no_byte_counts"};

	for (unsigned bit = 0; flags != 0; bit++, flags >>= 1) {
		if ((flags & 1) == 0)
			continue;
		put_comma(print);
		put_text(print, names[bit]);
	}
}

static void put_head(struct print *print, const struct weir_rule *rule, unsigned flags)
{
	PUT(print, "cookie=");
	put_hex(print, rule->cookie);
	print->started = true;
	put_key(print, "table=", rule->table);
	put_key(print, "priority=", rule->priority);
	if (weir_rule_app(rule) != 0 && (flags & WEIR_FLOW_PRINT_NO_APP) == 0)
		put_key(print, "app=", weir_rule_app(rule));
	if (rule->idle_timeout_s != 0)
		put_key(print, "idle_timeout=", rule->idle_timeout_s);
	if (rule->hard_timeout_s != 0)
		put_key(print, "hard_timeout=", rule->hard_timeout_s);
	put_flags(print, rule->flags);
}

int weir_flow_print(const struct weir_rule *rule, unsigned flags, char *text, size_t room)
{
	struct print print = {.out = weir_out(text, room)};

	put_head(&print, rule, flags);
	put_match(&print, rule);
	put_instructions(&print, rule);
	put_char(&print, '\0');
	if (print.out.bad)
		return WEIR_TOOBIG;
	return (int)(print.out.at - (uint8_t *)text) - 1;
}
