/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/bytes.h"
#include "base/err.h"
#include "flow/actions.h"
#include "flow/flow.h"

static bool match_ok(const uint8_t *at, size_t len, struct flow_scope *scope)
{
	int last = -1;

	while (len > 0) {
		struct flow_oxm oxm;

		if (!weir_flow_oxm_read(at, len, &oxm) || (int)oxm.id <= last ||
			!weir_flow_oxm_canonical(&oxm) ||
			!weir_flow_scope_meets(
				scope, (enum field_need)weir_flow_fields[oxm.id].need))
			return false;
		weir_flow_scope_note(scope, oxm.id, oxm.value, oxm.mask);
		last = (int)oxm.id;
		at += oxm.bytes;
		len -= oxm.bytes;
	}
	return true;
}

static bool is_zero(const uint8_t *at, size_t len)
{
	uint8_t any = 0;

	while (len-- > 0)
		any |= *at++;
	return any == 0;
}

static bool set_field_ok(const uint8_t *action, size_t len, const struct flow_scope *scope)
{
	const struct field *field;
	struct flow_oxm oxm;
	size_t used;

	if (!weir_flow_oxm_read(action + 4, len - 4, &oxm) || oxm.masked)
		return false;
	field = &weir_flow_fields[oxm.id];
	used = 4 + oxm.bytes;
	return (field->use & USE_SET) != 0 && (oxm.value & ~field_ones(field)) == 0 &&
	       (oxm.id != FIELD_VLAN_VID || (oxm.value & OFP_VID_PRESENT) != 0) &&
	       weir_flow_scope_meets(scope, field_set_need(oxm.id)) &&
	       len - used < OFP_ACTION_ALIGN && is_zero(action + used, len - used);
}

static bool output_ok(const uint8_t *action, size_t len)
{
	uint32_t port;

	if (len != 16)
		return false;
	port = flow_load32(action + 4);
	return ofp_port_out(port) && is_zero(action + 10, 6) &&
	       (port == OFP_PORT_CONTROLLER || flow_load16(action + 8) == 0);
}

/* The 4 bytes behind the head of an action that has 8 in all. */
static bool body_ok(unsigned type, const uint8_t *body)
{
	uint16_t eth_type = flow_load16(body);

	switch (type) {
	case OFP_GROUP:
		return flow_load32(body) <= OFP_GROUP_MAX;
	case OFP_SET_QUEUE:
		return true;
	case OFP_SET_NW_TTL:
	case OFP_SET_MPLS_TTL:
		return is_zero(body + 1, 3);
	case OFP_POP_VLAN:
	case OFP_DEC_NW_TTL:
	case OFP_DEC_MPLS_TTL:
		return is_zero(body, 4);
	case OFP_PUSH_VLAN:
		return (eth_type == OFP_ETH_VLAN || eth_type == OFP_ETH_SERVICE_VLAN) &&
		       is_zero(body + 2, 2);
	case OFP_PUSH_MPLS:
		return (eth_type == OFP_ETH_MPLS || eth_type == OFP_ETH_MPLS_MULTICAST) &&
		       is_zero(body + 2, 2);
	case OFP_POP_MPLS:
		return is_zero(body + 2, 2);
	default:
		return false;
	}
}

/* In an action set (`set`) actions may need what the match does not say. */
static bool action_ok(const uint8_t *action, size_t len, struct flow_scope *scope, bool set)
{
	unsigned type = flow_load16(action);

	if (type == OFP_OUTPUT)
		return output_ok(action, len);
	if (type == OFP_SET_FIELD)
		return set_field_ok(action, len, scope);
	return len == 8 && body_ok(type, action + 4) &&
	       (weir_flow_scope_act(scope, type, flow_load16(action + 4)) || set);
}

static bool actions_ok(const uint8_t *at, size_t len, struct flow_scope *scope, bool set)
{
	if (len == 0)
		return false;
	while (len > 0) {
		size_t bytes;

		if (len < 8)
			return false;
		bytes = flow_load16(at + 2);
		if (bytes < 8 || bytes % OFP_ACTION_ALIGN != 0 || bytes > len ||
			!action_ok(at, bytes, scope, set))
			return false;
		at += bytes;
		len -= bytes;
	}
	return true;
}

/* One instruction of `len` bytes, and the stage that it belongs to; STAGE_NONE: not well formed. */
static enum flow_stage instr_stage(
	const uint8_t *at, size_t len, unsigned table, struct flow_scope *scope)
{
	uint32_t body = flow_load32(at + 4);

	switch (flow_load16(at)) {
	case OFP_METER:
		return len == 8 && body > 0 && body <= OFP_METER_MAX ? STAGE_METER : STAGE_NONE;
	case OFP_APPLY_ACTIONS:
		return body == 0 && actions_ok(at + 8, len - 8, scope, false) ? STAGE_APPLY
									      : STAGE_NONE;
	case OFP_CLEAR_ACTIONS:
		return len == 8 && body == 0 ? STAGE_CLEAR : STAGE_NONE;
	case OFP_WRITE_ACTIONS:
		return body == 0 && actions_ok(at + 8, len - 8, scope, true) ? STAGE_WRITE
									     : STAGE_NONE;
	case OFP_WRITE_METADATA:
		return len == 24 && body == 0 ? STAGE_METADATA : STAGE_NONE;
	case OFP_GOTO_TABLE:
		return len == 8 && (body & 0xffffff) == 0 && body >> 24 > table &&
				       body >> 24 <= OFP_TABLE_MAX
			       ? STAGE_GOTO
			       : STAGE_NONE;
	default:
		return STAGE_NONE;
	}
}

static bool instr_ok(const uint8_t *at, size_t len, unsigned table, struct flow_scope *scope)
{
	enum flow_stage last = STAGE_NONE;

	while (len > 0) {
		enum flow_stage stage;
		size_t bytes;

		if (len < 8)
			return false;
		bytes = flow_load16(at + 2);
		if (bytes < 8 || bytes % OFP_ACTION_ALIGN != 0 || bytes > len)
			return false;
		stage = instr_stage(at, bytes, table, scope);
		if (stage <= last)
			return false;
		last = stage;
		at += bytes;
		len -= bytes;
	}
	return true;
}

int weir_rule_check(const struct weir_rule *rule, size_t len)
{
	struct flow_scope scope = {0};

	if (len < sizeof(*rule))
		return WEIR_BADFLOW;
	if (rule->match_len > WEIR_MATCH_BYTES_MAX || rule->instr_len > WEIR_INSTR_BYTES_MAX)
		return WEIR_TOOBIG;
	if (weir_rule_bytes(rule) > len || rule->table > OFP_TABLE_MAX ||
		(rule->flags & ~OFP_FLOW_FLAGS) != 0 || !is_zero(rule->zero, sizeof(rule->zero)))
		return WEIR_BADFLOW;
	if (!match_ok(rule->data, rule->match_len, &scope) ||
		!instr_ok(weir_rule_instr(rule), rule->instr_len, rule->table, &scope))
		return WEIR_BADFLOW;
	return rule->flow_id == weir_rule_flow_id(rule, weir_rule_app(rule)) ? 0 : WEIR_BADFLOW;
}
