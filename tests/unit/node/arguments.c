/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/err.h"

#include "arguments.h"
#include "heard.h"

#define WORDS_MAX 256

/* Reads a command line of words parted by one space each. */
static int read_line(const char *line, struct weir_arguments *arguments)
{
	static char copy[4096];
	static char *argv[WORDS_MAX];
	char *rest = copy;
	int argc = 0;

	assert_true(strlen(line) < sizeof(copy));
	strcpy(copy, line);
	while ((argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	return weir_arguments_read(argc, argv, arguments);
}

static void assert_refused(const char *line, const char *sentence)
{
	struct weir_arguments arguments;
	int err;

	listen_begin();
	err = read_line(line, &arguments);
	assert_string_equal(listen_end(), sentence);
	assert_int_equal(err, WEIR_ERR);
}

static void eal_gets_what_stands_before_the_dashes(void **state)
{
	struct weir_arguments arguments;

	assert_int_equal(
		read_line("weir-node -l 0,1 -c 3 -- -c w.conf -o a.b=c --check", &arguments), 0);
	assert_int_equal(arguments.eal_count, 5);
	assert_string_equal(arguments.eal[3], "-c");
	assert_string_equal(arguments.file, "w.conf");
	assert_int_equal(arguments.overrides_count, 1);
	assert_string_equal(arguments.overrides[0], "a.b=c");
	assert_true(arguments.check);
}

static void long_options_are_the_short_ones(void **state)
{
	struct weir_arguments arguments;

	assert_int_equal(read_line("weir-node -- --config=w.conf --override a.b=c", &arguments), 0);
	assert_int_equal(arguments.eal_count, 1);
	assert_string_equal(arguments.file, "w.conf");
	assert_string_equal(arguments.overrides[0], "a.b=c");
	assert_false(arguments.check);
}

static void help_and_version_need_nothing_else(void **state)
{
	struct weir_arguments arguments;

	assert_int_equal(read_line("weir-node --help", &arguments), 0);
	assert_true(arguments.help);
	assert_int_equal(read_line("weir-node -l 0 --version", &arguments), 0);
	assert_true(arguments.version);
	assert_int_equal(read_line("weir-node -- --version", &arguments), 0);
	assert_true(arguments.version);
	assert_int_equal(read_line("weir-node -- -h", &arguments), 0);
	assert_true(arguments.help);
}

static void without_file_is_refused(void **state)
{
	assert_refused("weir-node -l 0,1",
		"weir-node: after EAL's arguments `-- -c FILE` is missing; --help says more\n");
	assert_refused(
		"weir-node -l 0,1 -- --check", "weir-node: -c FILE is missing; --help says more\n");
}

static void unknown_words_are_refused(void **state)
{
	assert_refused("weir-node -- -c w.conf --chekc",
		"weir-node: --chekc is not an option of weir-node; --help lists them\n");
	assert_refused("weir-node -- -c w.conf -x",
		"weir-node: -x is not an option of weir-node; --help lists them\n");
	assert_refused("weir-node -- -c w.conf more",
		"weir-node: more stands where an option is expected; --help lists them\n");
	assert_refused("weir-node -- -c", "weir-node: -c needs a value\n");
	assert_refused("weir-node -- -c a -c b", "weir-node: -c is given twice\n");
}

static void overrides_have_a_limit(void **state)
{
	struct weir_arguments arguments;
	char line[4096] = "weir-node -- -c w.conf";

	for (unsigned i = 0; i < WEIR_OVERRIDES_MAX; i++)
		strcat(line, " -o a.b=c");
	assert_int_equal(read_line(line, &arguments), 0);
	assert_int_equal(arguments.overrides_count, WEIR_OVERRIDES_MAX);
	strcat(line, " -o a.b=c");
	assert_refused(line, "weir-node: -o can be given 64 times at most\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(eal_gets_what_stands_before_the_dashes),
		cmocka_unit_test(long_options_are_the_short_ones),
		cmocka_unit_test(help_and_version_need_nothing_else),
		cmocka_unit_test(without_file_is_refused),
		cmocka_unit_test(unknown_words_are_refused),
		cmocka_unit_test(overrides_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
