/* SPDX-License-Identifier: BSD-3-Clause */
#include "base/bytes.h"
#include "base/err.h"
#include "flow/actions.h"
#include "flow/match.h"

/* The work on one list of actions. */
struct list {
	struct flow_text *text;
	struct weir_out out;
	struct flow_scope scope;
	unsigned table;
	enum flow_stage stage;
	uint8_t *open;  /* head of the instruction whose actions are being written, or NULL */
	unsigned items; /* actions and instructions so far */
	bool drop;
	bool nested; /* within write_actions(...) */
};

const char *weir_flow_stage_name(enum flow_stage stage)
{
	static const char *const names[STAGE_COUNT] = {
		[STAGE_NONE] = "nothing",
		[STAGE_METER] = "meter",
		[STAGE_APPLY] = "actions that apply at once",
		[STAGE_CLEAR] = "clear_actions",
		[STAGE_WRITE] = "write_actions",
		[STAGE_METADATA] = "write_metadata",
		[STAGE_GOTO] = "goto_table",
	};

	return names[stage];
}

enum field_need weir_flow_action_need(unsigned action)
{
	switch (action) {
	case OFP_POP_VLAN:
		return NEED_VLAN;
	case OFP_SET_NW_TTL:
	case OFP_DEC_NW_TTL:
		return NEED_IP;
	case OFP_SET_MPLS_TTL:
	case OFP_DEC_MPLS_TTL:
	case OFP_POP_MPLS:
		return NEED_MPLS;
	default:
		return NEED_NONE;
	}
}

bool weir_flow_scope_act(struct flow_scope *scope, unsigned action, uint16_t eth_type)
{
	if (!weir_flow_scope_meets(scope, weir_flow_action_need(action)))
		return false;
	if (action == OFP_PUSH_VLAN && scope->vlan_tags < UINT8_MAX)
		scope->vlan_tags++;
	if (action == OFP_POP_VLAN)
		scope->vlan_tags--;
	if (action == OFP_PUSH_MPLS || action == OFP_POP_MPLS) {
		scope->eth_type = eth_type;
		scope->has_ip_proto = false;
		scope->icmpv6_type = 0;
	}
	return true;
}

/* ------------------------------------------------------------------------------------------ */

static void put16(struct list *list, uint16_t value)
{
	uint8_t *at = weir_out_bytes(&list->out, sizeof(value));

	if (at != NULL)
		flow_store16(at, value);
}

static void put32(struct list *list, uint32_t value)
{
	uint8_t *at = weir_out_bytes(&list->out, sizeof(value));

	if (at != NULL)
		flow_store32(at, value);
}

static void put64(struct list *list, uint64_t value)
{
	uint8_t *at = weir_out_bytes(&list->out, sizeof(value));

	if (at != NULL)
		flow_store64(at, value);
}

static void put_zeros(struct list *list, size_t count)
{
	uint8_t *at = weir_out_bytes(&list->out, count);

	if (at != NULL)
		memset(at, 0, count);
}

static void put_head(struct list *list, unsigned type, size_t len)
{
	put16(list, (uint16_t)type);
	put16(list, (uint16_t)len);
}

/* Ends the instruction that holds the actions written last. */
static void close_actions(struct list *list)
{
	if (list->open != NULL && !list->out.bad)
		flow_store16(list->open + 2, (uint16_t)(list->out.at - list->open));
	list->open = NULL;
}

static void open_actions(struct list *list, enum ofp_instruction type)
{
	list->open = list->out.at;
	put_head(list, type, 0);
	put_zeros(list, 4);
}

/* Goes on to an instruction; each stands at most once, and in the order of the stages. */
static int enter(struct list *list, const char *where, enum flow_stage stage)
{
	if (list->nested)
		return weir_flow_fault(list->text, where, "not allowed in write_actions");
	if (stage == list->stage)
		return weir_flow_fault(
			list->text, where, "%s was given before", weir_flow_stage_name(stage));
	if (stage < list->stage)
		return weir_flow_fault(list->text, where, "%s must stand before %s",
			weir_flow_stage_name(stage), weir_flow_stage_name(list->stage));
	close_actions(list);
	list->stage = stage;
	return 0;
}

/* Makes room for an action: opens apply_actions where none is open. */
static int enter_action(struct list *list, const char *where)
{
	int err;

	if (list->open != NULL)
		return 0;
	if (list->nested) {
		open_actions(list, OFP_WRITE_ACTIONS);
		return 0;
	}
	err = enter(list, where, STAGE_APPLY);
	if (err == 0)
		open_actions(list, OFP_APPLY_ACTIONS);
	return err;
}

/* ------------------------------------------------------------------------------------------ */

static int bad_argument(const struct list *list, const char *start, const char *where, size_t len)
{
	return weir_flow_fault(list->text, start, "not an argument of %.*s", (int)len, where);
}

/* Whether an item ends here; within parentheses the closing one ends it too. */
static bool at_item_end(const struct list *list)
{
	return flow_at_gap(list->text) || (list->nested && *list->text->at == ')');
}

/* A number up to `most`, behind ':' or '=' or in parentheses. */
static int read_argument(struct list *list, const char *where, uint64_t most, uint64_t *number)
{
	struct flow_text *text = list->text;
	size_t len = (size_t)(text->at - where);
	bool round = flow_skip(text, '(');
	const char *start = text->at;

	if (!round && !flow_skip(text, ':') && !flow_skip(text, '='))
		return weir_flow_fault(text, where, "an argument is missing behind");
	start = text->at;
	if (!weir_flow_read_number(text, number) || *number > most ||
		(round && !flow_skip(text, ')')))
		return bad_argument(list, start, where, len);
	return 0;
}

static int put_output(struct list *list, const char *where, uint32_t port, uint16_t max_len)
{
	int err = enter_action(list, where);

	if (err != 0)
		return err;
	put_head(list, OFP_OUTPUT, 16);
	put32(list, port);
	put16(list, max_len);
	put_zeros(list, 6);
	return 0;
}

/*
 * An action of 8 bytes, whose lower four are `body`. An action set is carried out later and in an
 * order of its own, so what its actions need is for the device to say.
 */
static int put_action(struct list *list, const char *where, unsigned type, uint32_t body)
{
	int err = enter_action(list, where);

	if (err != 0)
		return err;
	if (!weir_flow_scope_act(&list->scope, type, (uint16_t)(body >> 16)) && !list->nested)
		return weir_flow_fault(list->text, where, "this needs %s",
			weir_flow_need_name(weir_flow_action_need(type)));
	put_head(list, type, 8);
	put32(list, body);
	return 0;
}

static int put_set_field(struct list *list, const char *where, enum field_id id, flow_value value)
{
	const struct field *field = &weir_flow_fields[id];
	uint8_t oxm[OXM_BYTES_MAX];
	size_t oxm_bytes, bytes;
	int err = enter_action(list, where);

	if (err != 0)
		return err;
	if (!weir_flow_scope_meets(&list->scope, field_set_need(id)))
		return weir_flow_fault(list->text, where, "this needs %s",
			weir_flow_need_name(field_set_need(id)));
	oxm_bytes = flow_oxm_write(oxm, field, value, field_ones(field));
	bytes = (4 + oxm_bytes + OFP_ACTION_ALIGN - 1) / OFP_ACTION_ALIGN * OFP_ACTION_ALIGN;
	put_head(list, OFP_SET_FIELD, bytes);
	weir_out_put(&list->out, oxm, oxm_bytes);
	put_zeros(list, bytes - 4 - oxm_bytes);
	return 0;
}

/* ------------------------------------------------------------------------------------------ */

static int read_output(struct list *list, const char *where)
{
	struct flow_text *text = list->text;
	bool round = flow_skip(text, '(');
	const char *start;
	uint32_t port;

	if (!round && !flow_skip(text, ':') && !flow_skip(text, '='))
		return weir_flow_fault(text, where, "an argument is missing behind");
	start = text->at;
	if (!weir_flow_read_port(text, &port) || !ofp_port_out(port) ||
		(round && !flow_skip(text, ')')))
		return weir_flow_fault(text, start, "not a port to send to");
	return put_output(list, where, port, port == OFP_PORT_CONTROLLER ? OFP_MAX_LEN_ALL : 0);
}

/* controller, controller:128, controller(), controller(max_len=128) */
static int read_controller(struct list *list, const char *where)
{
	static const char key[] = "max_len=";
	struct flow_text *text = list->text;
	size_t len = (size_t)(text->at - where);
	uint64_t max_len = OFP_MAX_LEN_ALL;
	const char *start;

	if (flow_skip(text, '(')) {
		start = text->at;
		if (flow_skip(text, ')'))
			return put_output(list, where, OFP_PORT_CONTROLLER, OFP_MAX_LEN_ALL);
		if ((size_t)(text->end - start) < sizeof(key) - 1 ||
			memcmp(start, key, sizeof(key) - 1) != 0)
			return bad_argument(list, start, where, len);
		text->at += sizeof(key) - 1;
		if (!weir_flow_read_number(text, &max_len) || max_len > UINT16_MAX ||
			!flow_skip(text, ')'))
			return bad_argument(list, start, where, len);
	} else if (!at_item_end(list)) {
		int err = read_argument(list, where, UINT16_MAX, &max_len);

		if (err != 0)
			return err;
	}
	return put_output(list, where, OFP_PORT_CONTROLLER, (uint16_t)max_len);
}

static int read_eth_type(struct list *list, const char *where, unsigned action)
{
	uint64_t type;
	const char *start = list->text->at + 1;
	int err = read_argument(list, where, UINT16_MAX, &type);

	if (err != 0)
		return err;
	if (action == OFP_PUSH_VLAN && type != OFP_ETH_VLAN && type != OFP_ETH_SERVICE_VLAN)
		return weir_flow_fault(list->text, start, "not the type of a VLAN tag");
	if (action == OFP_PUSH_MPLS && type != OFP_ETH_MPLS && type != OFP_ETH_MPLS_MULTICAST)
		return weir_flow_fault(list->text, start, "not the type of an MPLS header");
	return put_action(list, where, action, (uint32_t)type << 16);
}

/* The field named behind the arrow. */
static int read_target(struct list *list, const struct flow_word **word, enum field_id *id)
{
	struct flow_text *text = list->text;
	const char *start = text->at;

	*word = weir_flow_match_word(start, flow_skip_word(text));
	if (*word == NULL || (*word)->kind > WORD_TOS || (*word)->kind == WORD_PROTO ||
		(*word)->kind == WORD_VLAN_TCI)
		return weir_flow_fault(text, start, "unknown field");
	*id = weir_flow_field_resolve((enum field_id)(*word)->arg, &list->scope);
	if (*id == FIELD_COUNT)
		return weir_flow_fault(text, start, "the match does not say which field this is");
	if ((weir_flow_fields[*id].use & USE_SET) == 0)
		return weir_flow_fault(text, start, "this field cannot be set");
	return 0;
}

/* Where the arrow of set_field begins, or NULL. */
static const char *find_arrow(const struct list *list)
{
	const char *at = list->text->at;

	for (; at + 1 < list->text->end && !flow_is_gap(*at); at++)
		if (at[0] == '-' && at[1] == '>')
			return at;
	return NULL;
}

/* The value of set_field in the form that its target's word has. */
static bool read_target_value(
	struct flow_text *text, const struct flow_word *word, enum field_id id, flow_value *value)
{
	static const struct field tos = {.bits = 8, .kind = KIND_DEC};
	static const struct field vlan = {.bits = 12, .kind = KIND_DEC};

	if (word->kind == WORD_TOS) {
		if (!weir_flow_read_value(text, &tos, value) || (*value & 3) != 0)
			return false;
		*value >>= 2;
		return true;
	}
	if (word->kind == WORD_DL_VLAN) {
		if (!weir_flow_read_value(text, &vlan, value))
			return false;
		*value |= OFP_VID_PRESENT;
		return true;
	}
	return weir_flow_read_value(text, &weir_flow_fields[id], value) &&
	       (id != FIELD_VLAN_VID || (*value & OFP_VID_PRESENT) != 0);
}

/* set_field:VALUE->FIELD; OpenFlow 1.3 knows no mask here. */
static int read_set_field(struct list *list, const char *where)
{
	struct flow_text *text = list->text;
	const struct flow_word *word = NULL;
	const char *value_at, *arrow, *behind;
	enum field_id id = FIELD_COUNT;
	flow_value value;
	int err;

	if (!flow_skip(text, ':') && !flow_skip(text, '='))
		return weir_flow_fault(text, where, "an argument is missing behind");
	value_at = text->at;
	arrow = find_arrow(list);
	if (arrow == NULL)
		return weir_flow_fault(text, value_at, "\"->\" and a field are missing behind");
	text->at = arrow + 2;
	err = read_target(list, &word, &id);
	if (err != 0)
		return err;
	behind = text->at;
	text->at = value_at;
	if (!read_target_value(text, word, id, &value))
		return weir_flow_fault(text, value_at,
			id == FIELD_VLAN_VID ? "not a VLAN id (of vlan_vid: with 0x1000)"
					     : "not a value of this field");
	if (text->at != arrow)
		return weir_flow_fault(text, text->at,
			*text->at == '/' ? "OpenFlow 1.3 knows no mask here" : "not understood");
	text->at = behind;
	return put_set_field(list, where, id, value);
}

/* mod_nw_src:VALUE and the like. */
static int read_mod(struct list *list, const char *where, enum field_id word)
{
	struct flow_text *text = list->text;
	size_t len = (size_t)(text->at - where);
	enum field_id id = weir_flow_field_resolve(word, &list->scope);
	const char *start;
	flow_value value;

	if (!flow_skip(text, ':') && !flow_skip(text, '='))
		return weir_flow_fault(text, where, "an argument is missing behind");
	if (id == FIELD_COUNT)
		return weir_flow_fault(text, where, "this needs tcp, udp or sctp (or tcp6, ...)");
	start = text->at;
	if (!weir_flow_read_value(text, &weir_flow_fields[id], &value))
		return bad_argument(list, start, where, len);
	return put_set_field(list, where, id, value);
}

static int read_mod_tos(struct list *list, const char *where)
{
	const char *start = list->text->at + 1;
	uint64_t tos;
	int err = read_argument(list, where, UINT8_MAX, &tos);

	if (err != 0)
		return err;
	if ((tos & 3) != 0)
		return weir_flow_fault(list->text, start, "the two low bits must be 0");
	return put_set_field(list, where, FIELD_IP_DSCP, tos >> 2);
}

/* OpenFlow 1.0 let these add a tag where there is none; now that is an action of its own. */
static int read_mod_vlan(struct list *list, const char *where, enum field_id id)
{
	bool vid = id == FIELD_VLAN_VID;
	uint64_t number;
	int err = read_argument(list, where, vid ? OFP_VID_MAX : 7, &number);

	if (err == 0 && list->scope.vlan_tags == 0)
		err = put_action(list, where, OFP_PUSH_VLAN, (uint32_t)OFP_ETH_VLAN << 16);
	if (err != 0)
		return err;
	return put_set_field(list, where, id, vid ? OFP_VID_PRESENT | number : number);
}

static int read_number_action(struct list *list, const char *where, unsigned action)
{
	uint64_t number;
	uint64_t most = action == OFP_GROUP ? OFP_GROUP_MAX : UINT32_MAX;
	int err = read_argument(list, where, most, &number);

	return err != 0 ? err : put_action(list, where, action, (uint32_t)number);
}

static int read_byte_action(struct list *list, const char *where, unsigned action)
{
	uint64_t number;
	int err = read_argument(list, where, UINT8_MAX, &number);

	return err != 0 ? err : put_action(list, where, action, (uint32_t)number << 24);
}

/* ------------------------------------------------------------------------------------------ */

static int read_meter(struct list *list, const char *where)
{
	const char *start = list->text->at + 1;
	uint64_t meter;
	int err = read_argument(list, where, OFP_METER_MAX, &meter);

	if (err == 0 && meter == 0)
		err = weir_flow_fault(list->text, start, "not a meter");
	if (err == 0)
		err = enter(list, where, STAGE_METER);
	if (err != 0)
		return err;
	put_head(list, OFP_METER, 8);
	put32(list, (uint32_t)meter);
	return 0;
}

static int read_clear(struct list *list, const char *where)
{
	int err = enter(list, where, STAGE_CLEAR);

	if (err != 0)
		return err;
	put_head(list, OFP_CLEAR_ACTIONS, 8);
	put_zeros(list, 4);
	return 0;
}

static int read_metadata(struct list *list, const char *where)
{
	struct flow_text *text = list->text;
	const char *start = text->at + 1;
	uint64_t value, mask = UINT64_MAX;
	int err = enter(list, where, STAGE_METADATA);

	if (err != 0)
		return err;
	if (!flow_skip(text, ':') && !flow_skip(text, '='))
		return weir_flow_fault(text, where, "an argument is missing behind");
	if (!weir_flow_read_number(text, &value) ||
		(flow_skip(text, '/') && !weir_flow_read_number(text, &mask)))
		return weir_flow_fault(text, start, "not metadata");
	put_head(list, OFP_WRITE_METADATA, 24);
	put_zeros(list, 4);
	put64(list, value);
	put64(list, mask);
	return 0;
}

static int read_goto(struct list *list, const char *where)
{
	const char *start = list->text->at + 1;
	uint64_t table;
	int err = read_argument(list, where, OFP_TABLE_MAX, &table);

	if (err == 0 && table <= list->table)
		err = weir_flow_fault(list->text, start,
			"a table above the rule's own (%u) is needed", list->table);
	if (err == 0)
		err = enter(list, where, STAGE_GOTO);
	if (err != 0)
		return err;
	put_head(list, OFP_GOTO_TABLE, 8);
	put32(list, (uint32_t)table << 24);
	return 0;
}

static int read_items(struct list *list);

/* write_actions(...): its actions go into the packet's action set; none: nothing is written. */
static int read_write(struct list *list, const char *where)
{
	int err = enter(list, where, STAGE_WRITE);

	if (err != 0)
		return err;
	if (!flow_skip(list->text, '('))
		return weir_flow_fault(list->text, where, "\"(\" is missing behind");
	list->nested = true;
	err = read_items(list);
	if (err != 0)
		return err;
	if (!flow_skip(list->text, ')'))
		return weir_flow_fault(list->text, where, "\")\" is missing behind");
	list->nested = false;
	close_actions(list);
	return 0;
}

static int read_drop(struct list *list, const char *where)
{
	if (list->nested)
		return weir_flow_fault(list->text, where, "not allowed in write_actions");
	list->drop = true;
	return 0;
}

static int read_action(struct list *list, const struct flow_word *word, const char *where)
{
	switch ((enum flow_action_kind)word->kind) {
	case ACTION_OUTPUT:
		return read_output(list, where);
	case ACTION_PORT:
		return put_output(list, where, 0xffffff00u | word->arg, 0);
	case ACTION_CONTROLLER:
		return read_controller(list, where);
	case ACTION_DROP:
		return read_drop(list, where);
	case ACTION_NUMBER:
		return read_number_action(list, where, word->arg);
	case ACTION_BYTE:
		return read_byte_action(list, where, word->arg);
	case ACTION_BARE:
		return put_action(list, where, word->arg, 0);
	case ACTION_PUSH_VLAN:
		return read_eth_type(list, where, OFP_PUSH_VLAN);
	case ACTION_PUSH_MPLS:
		return read_eth_type(list, where, OFP_PUSH_MPLS);
	case ACTION_POP_MPLS:
		return read_eth_type(list, where, OFP_POP_MPLS);
	case ACTION_SET_FIELD:
		return read_set_field(list, where);
	case ACTION_MOD:
		return read_mod(list, where, (enum field_id)word->arg);
	case ACTION_MOD_VLAN_VID:
	case ACTION_MOD_VLAN_PCP:
		return read_mod_vlan(list, where, (enum field_id)word->arg);
	case ACTION_MOD_TOS:
		return read_mod_tos(list, where);
	case ACTION_METER:
		return read_meter(list, where);
	case ACTION_CLEAR:
		return read_clear(list, where);
	case ACTION_WRITE:
		return read_write(list, where);
	case ACTION_METADATA:
		return read_metadata(list, where);
	case ACTION_GOTO:
		return read_goto(list, where);
	}
	return WEIR_BADFLOW;
}

/* A port's number by itself is an output. */
static int read_bare_port(struct list *list, const char *where)
{
	uint64_t port;

	if (!weir_flow_read_number(list->text, &port) || port > UINT32_MAX ||
		!ofp_port_out((uint32_t)port))
		return weir_flow_fault(list->text, where, "not a port to send to");
	return put_output(
		list, where, (uint32_t)port, port == OFP_PORT_CONTROLLER ? OFP_MAX_LEN_ALL : 0);
}

static int read_item(struct list *list)
{
	struct flow_text *text = list->text;
	const char *where = text->at;
	const struct flow_word *word;
	int err;

	if (list->drop)
		return weir_flow_fault(text, where, "drop must stand alone, behind it is");
	if (*where >= '0' && *where <= '9') {
		err = read_bare_port(list, where);
	} else {
		word = weir_flow_action_word(where, flow_skip_word(text));
		if (word == NULL)
			return weir_flow_fault(text, where, "unknown action");
		if (word->kind == ACTION_DROP && list->items > 0)
			return weir_flow_fault(text, where, "another action stands before");
		err = read_action(list, word, where);
	}
	if (err != 0)
		return err;
	if (!at_item_end(list))
		return weir_flow_fault(text, text->at, "not understood");
	list->items++;
	return 0;
}

static int read_items(struct list *list)
{
	struct flow_text *text = list->text;

	for (;;) {
		int err;

		flow_skip_gaps(text);
		if (text->at == text->end || (list->nested && *text->at == ')'))
			return 0;
		if (list->out.bad)
			return WEIR_TOOBIG;
		err = read_item(list);
		if (err != 0)
			return err;
	}
}

int weir_flow_actions_read(
	struct flow_text *text, struct flow_scope scope, unsigned table, uint8_t *at)
{
	struct list list = {
		.text = text,
		.out = weir_out(at, WEIR_INSTR_BYTES_MAX),
		.scope = scope,
		.table = table,
	};
	int err = read_items(&list);

	if (err == 0 && list.out.bad)
		err = WEIR_TOOBIG;
	if (err == WEIR_TOOBIG)
		weir_flow_fault(
			text, text->at, "more than %d bytes of instructions", WEIR_INSTR_BYTES_MAX);
	if (err != 0)
		return err;
	close_actions(&list);
	return (int)(list.out.at - at);
}
