/* SPDX-License-Identifier: BSD-3-Clause */
/* Every line of the rule set that ships with Weir: read, written, read again; and how fast. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/clock.h"
#include "flow/flow.h"

#define LINES       194836
#define TEXT_MAX    (64U << 20)
#define RULE_STRIDE 256

/* The file in memory, one entry a line. */
struct dataset {
	char *text;
	const char *line[LINES];
	uint16_t len[LINES];
	uint8_t *rules; /* one every RULE_STRIDE bytes */
};

static struct dataset set;

static struct weir_rule *rule_at(unsigned i)
{
	return (struct weir_rule *)(set.rules + (size_t)i * RULE_STRIDE);
}

static size_t read_all(const char *path)
{
	gzFile file = gzopen(path, "rb");
	size_t bytes = 0;
	int got;

	if (file == NULL) {
		fprintf(stderr, "%s: cannot be opened\n", path);
		exit(1);
	}
	while ((got = gzread(file, set.text + bytes, (unsigned)(TEXT_MAX - bytes))) > 0)
		bytes += (size_t)got;
	gzclose(file);
	return bytes;
}

static void load(const char *path)
{
	size_t bytes;
	const char *at;

	set.text = malloc(TEXT_MAX);
	set.rules = calloc(LINES, RULE_STRIDE);
	if (set.text == NULL || set.rules == NULL)
		exit(1);
	bytes = read_all(path);
	at = set.text;
	for (unsigned i = 0; i < LINES; i++) {
		const char *end = memchr(at, '\n', bytes - (size_t)(at - set.text));

		if (end == NULL) {
			fprintf(stderr, "%s: %u lines instead of %u\n", path, i, LINES);
			exit(1);
		}
		set.line[i] = at;
		set.len[i] = (uint16_t)(end - at);
		at = end + 1;
	}
	if (at != set.text + bytes) {
		fprintf(stderr, "%s: more than %u lines\n", path, LINES);
		exit(1);
	}
}

static void report(const char *name, uint64_t ns)
{
	printf("%s %.0f lines/s\n", name, LINES * 1e9 / (double)ns);
}

static void every_line_parses(void **state)
{
	_Alignas(struct weir_rule) uint8_t room[WEIR_RULE_BYTES_MAX];
	struct weir_rule *rule = (struct weir_rule *)room;
	uint64_t start = weir_clock_ns();

	for (unsigned i = 0; i < LINES; i++) {
		struct weir_flow_fault fault;

		if (weir_flow_parse(set.line[i], set.len[i], WEIR_FLOW_RULE, rule, sizeof(room),
			    &fault) != 0)
			fail_msg("line %u, column %u: %s", i + 1, fault.column, fault.message);
		assert_true(weir_rule_bytes(rule) <= RULE_STRIDE);
		memcpy(rule_at(i), rule, weir_rule_bytes(rule));
	}
	report("flow_parse", weir_clock_ns() - start);
}

static void every_rule_passes_the_check(void **state)
{
	uint64_t start = weir_clock_ns();

	for (unsigned i = 0; i < LINES; i++)
		if (weir_rule_check(rule_at(i), weir_rule_bytes(rule_at(i))) != 0)
			fail_msg("line %u", i + 1);
	report("rule_check", weir_clock_ns() - start);
}

static void every_rule_prints(void **state)
{
	static char text[WEIR_FLOW_TEXT_MAX];
	uint64_t start = weir_clock_ns();

	for (unsigned i = 0; i < LINES; i++)
		if (weir_flow_print(rule_at(i), WEIR_FLOW_PRINT_ALL, text, sizeof(text)) <= 0)
			fail_msg("line %u", i + 1);
	report("flow_print", weir_clock_ns() - start);
}

static void every_print_parses_to_the_same_bytes(void **state)
{
	static char text[WEIR_FLOW_TEXT_MAX];
	_Alignas(struct weir_rule) uint8_t room[WEIR_RULE_BYTES_MAX];
	struct weir_rule *again = (struct weir_rule *)room;

	for (unsigned i = 0; i < LINES; i++) {
		const struct weir_rule *rule = rule_at(i);
		int len = weir_flow_print(rule, WEIR_FLOW_PRINT_ALL, text, sizeof(text));

		assert_true(len > 0 && strlen(text) == (size_t)len);
		assert_int_equal(weir_flow_parse(text, (size_t)len, WEIR_FLOW_RULE, again,
					 sizeof(room), NULL),
			0);
		assert_int_equal(weir_rule_bytes(again), weir_rule_bytes(rule));
		assert_memory_equal(again, rule, weir_rule_bytes(rule));
	}
}

static int compare_rules(const void *a, const void *b)
{
	const struct weir_rule *x = rule_at(*(const unsigned *)a);
	const struct weir_rule *y = rule_at(*(const unsigned *)b);

	if (x->flow_id != y->flow_id)
		return x->flow_id < y->flow_id ? -1 : 1;
	return 0;
}

static void all_identities_are_distinct(void **state)
{
	unsigned *order = calloc(LINES, sizeof(*order));

	assert_non_null(order);
	for (unsigned i = 0; i < LINES; i++)
		order[i] = i;
	qsort(order, LINES, sizeof(*order), compare_rules);
	for (unsigned i = 1; i < LINES; i++) {
		assert_false(weir_rule_same(rule_at(order[i - 1]), rule_at(order[i])));
		assert_true(rule_at(order[i - 1])->flow_id != rule_at(order[i])->flow_id);
	}
	free(order);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_parses),
		cmocka_unit_test(every_rule_passes_the_check),
		cmocka_unit_test(every_rule_prints),
		cmocka_unit_test(every_print_parses_to_the_same_bytes),
		cmocka_unit_test(all_identities_are_distinct),
	};
	int failed;

	if (argc != 2) {
		fprintf(stderr, "usage: %s FLOWS.gz\n", argv[0]);
		return 1;
	}
	load(argv[1]);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	free(set.text);
	free(set.rules);
	return failed;
}
