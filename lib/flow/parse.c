/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "base/err.h"
#include "flow/actions.h"
#include "flow/match.h"

#define PRIORITY_DEFAULT 32768

struct parse {
	struct flow_text text;
	struct flow_match match;
	struct weir_rule *rule;
	unsigned keys; /* those that were given */
	uint16_t app;
};

static const uint64_t key_max[KEY_COUNT] = {
	[KEY_COOKIE] = UINT64_MAX,
	[KEY_TABLE] = OFP_TABLE_MAX,
	[KEY_PRIORITY] = UINT16_MAX,
	[KEY_IDLE_TIMEOUT] = UINT16_MAX,
	[KEY_HARD_TIMEOUT] = UINT16_MAX,
	[KEY_APP] = UINT16_MAX,
};

static void set_key(struct parse *parse, enum flow_key key, uint64_t value)
{
	struct weir_rule *rule = parse->rule;

	switch (key) {
	case KEY_COOKIE:
		rule->cookie = value;
		break;
	case KEY_TABLE:
		rule->table = (uint8_t)value;
		break;
	case KEY_PRIORITY:
		rule->priority = (uint16_t)value;
		break;
	case KEY_IDLE_TIMEOUT:
		rule->idle_timeout_s = (uint16_t)value;
		break;
	case KEY_HARD_TIMEOUT:
		rule->hard_timeout_s = (uint16_t)value;
		break;
	case KEY_APP:
		parse->app = (uint16_t)value;
		break;
	case KEY_COUNT:
		break;
	}
}

static int read_key(struct parse *parse, enum flow_key key, const char *where)
{
	struct flow_text *text = &parse->text;
	size_t len = (size_t)(text->at - where);
	const char *start;
	uint64_t value;

	if (!flow_skip(text, '='))
		return weir_flow_fault(text, where, "a value is missing behind");
	if ((parse->keys & 1u << key) != 0)
		return weir_flow_fault(text, where, "this key was given before");
	parse->keys |= 1u << key;
	start = text->at;
	if (!weir_flow_read_number(text, &value) || value > key_max[key])
		return weir_flow_fault(text, start, "not a value of %.*s", (int)len, where);
	set_key(parse, key, value);
	return 0;
}

/* What only a dump has is passed over. */
static int skip_value(struct flow_text *text, const char *where)
{
	if (!flow_skip(text, '='))
		return weir_flow_fault(text, where, "a value is missing behind");
	while (!flow_at_gap(text))
		text->at++;
	return 0;
}

static int read_item(struct parse *parse, const struct flow_word *word, const char *where)
{
	int err = 0;

	switch ((enum flow_word_kind)word->kind) {
	case WORD_KEY:
		err = read_key(parse, (enum flow_key)word->arg, where);
		break;
	case WORD_FLAG:
		parse->rule->flags |= (uint16_t)(1u << word->arg);
		break;
	case WORD_DUMP:
		err = skip_value(&parse->text, where);
		break;
	default:
		err = weir_flow_match_read(&parse->match, &parse->text, word, where);
		break;
	}
	if (err == 0 && !flow_at_gap(&parse->text))
		err = weir_flow_fault(&parse->text, parse->text.at, "not understood");
	return err;
}

/* Reads up to and with `actions=`; *actions says whether that was there. */
static int read_head(struct parse *parse, bool *actions)
{
	struct flow_text *text = &parse->text;

	*actions = false;
	for (;;) {
		const struct flow_word *word;
		const char *where;
		int err;

		flow_skip_gaps(text);
		if (text->at == text->end)
			return 0;
		where = text->at;
		word = weir_flow_match_word(where, flow_skip_word(text));
		if (word == NULL)
			return weir_flow_fault(text, where, "unknown field or key");
		if (word->kind == WORD_ACTIONS) {
			*actions = true;
			return flow_skip(text, '=')
				       ? 0
				       : weir_flow_fault(text, where, "\"=\" is missing behind");
		}
		err = read_item(parse, word, where);
		if (err != 0)
			return err;
	}
}

static int read_flow(struct parse *parse, enum weir_flow_parse_mode mode)
{
	struct flow_text *text = &parse->text;
	struct weir_rule *rule = parse->rule;
	struct flow_scope scope;
	bool actions;
	int bytes, err;

	err = read_head(parse, &actions);
	if (err != 0)
		return err;
	if (!actions && mode == WEIR_FLOW_RULE)
		return weir_flow_fault(text, text->end,
			text->begin == text->end ? "an empty flow" : "actions= is missing");
	bytes = weir_flow_match_write(&parse->match, text, rule->data, &scope);
	if (bytes < 0)
		return bytes;
	rule->match_len = (uint16_t)bytes;
	if (!actions)
		return 0;
	bytes = weir_flow_actions_read(text, scope, rule->table, rule->data + rule->match_len);
	if (bytes < 0)
		return bytes;
	rule->instr_len = mode == WEIR_FLOW_RULE ? (uint16_t)bytes : 0;
	return 0;
}

/* Into a rule that has room for anything. */
static int parse_rule(const char *text, size_t len, enum weir_flow_parse_mode mode,
	struct weir_rule *rule, struct weir_flow_fault *fault)
{
	struct parse parse;
	int err;

	parse.text =
		(struct flow_text){.at = text, .end = text + len, .begin = text, .fault = fault};
	parse.match.there = 0;
	parse.match.asked = 0;
	parse.rule = rule;
	parse.keys = 0;
	parse.app = 0;
	*rule = (struct weir_rule){.priority = PRIORITY_DEFAULT};
	if (len > WEIR_FLOW_TEXT_MAX) {
		weir_flow_fault(&parse.text, text + WEIR_FLOW_TEXT_MAX,
			"a flow of more than %d bytes", WEIR_FLOW_TEXT_MAX);
		return WEIR_TOOBIG;
	}
	err = read_flow(&parse, mode);
	if (err == 0)
		rule->flow_id = weir_rule_flow_id(rule, parse.app);
	return err;
}

int weir_flow_parse(const char *text, size_t len, enum weir_flow_parse_mode mode,
	struct weir_rule *rule, size_t room, struct weir_flow_fault *fault)
{
	_Alignas(struct weir_rule) uint8_t bytes[WEIR_RULE_BYTES_MAX];
	struct weir_rule *scratch = (struct weir_rule *)bytes;
	int err;

	if (room >= WEIR_RULE_BYTES_MAX)
		return parse_rule(text, len, mode, rule, fault);
	err = parse_rule(text, len, mode, scratch, fault);
	if (err != 0)
		return err;
	if (weir_rule_bytes(scratch) > room) {
		if (fault != NULL)
			*fault = (struct weir_flow_fault){1, "the rule is larger than its room"};
		return WEIR_TOOBIG;
	}
	memcpy(rule, scratch, weir_rule_bytes(scratch));
	return 0;
}
