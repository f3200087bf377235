/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the comparison with ovs-ofctl: reads flows, one a line, from standard input and writes for
 * each a line "MATCH INSTRUCTIONS TEXT" (bytes in hexadecimal, "-" for none) or "! COLUMN MESSAGE".
 */
#include <stdio.h>
#include <string.h>

#include "flow/flow.h"

static void put_hex(const uint8_t *at, size_t len)
{
	if (len == 0)
		putchar('-');
	while (len-- > 0)
		printf("%02x", *at++);
	putchar(' ');
}

static void echo(const char *line, size_t len)
{
	static char text[WEIR_FLOW_TEXT_MAX];
	_Alignas(struct weir_rule) uint8_t room[WEIR_RULE_BYTES_MAX];
	struct weir_rule *rule = (struct weir_rule *)room;
	struct weir_flow_fault fault;

	if (weir_flow_parse(line, len, WEIR_FLOW_RULE, rule, sizeof(room), &fault) != 0) {
		printf("! %u %s\n", fault.column, fault.message);
		return;
	}
	if (weir_rule_check(rule, weir_rule_bytes(rule)) != 0 ||
		weir_flow_print(rule, WEIR_FLOW_PRINT_NO_APP, text, sizeof(text)) < 0) {
		printf("! 0 parsed, but not right\n");
		return;
	}
	put_hex(rule->data, rule->match_len);
	put_hex(weir_rule_instr(rule), rule->instr_len);
	puts(text);
}

int main(void)
{
	static char line[WEIR_FLOW_TEXT_MAX + 2];

	while (fgets(line, sizeof(line), stdin) != NULL)
		echo(line, strcspn(line, "\n"));
	return 0;
}
