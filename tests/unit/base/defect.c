/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/defect.h"

/* Only a constant leaves nothing behind: the compiler must see that no defect is there. */
#ifndef WEIR_DEFECTS
_Static_assert(!WEIR_DEFECT(B1), "a build without the option has a defect");

static void no_defect_can_be_chosen_without_the_option(void **state)
{
	(void)state;
	assert_false(weir_defect_choose("B1"));
	assert_true(weir_defect_choose(NULL));
	assert_null(weir_defect_name(1));
	assert_null(weir_defect_text(1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_defect_can_be_chosen_without_the_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
#else

static void none_is_chosen_at_first(void **state)
{
	(void)state;
	assert_int_equal(weir_defect_chosen, WEIR_DEFECT_NONE);
}

static void each_has_a_name_of_its_own_and_a_description(void **state)
{
	(void)state;
	for (unsigned i = 1; i < WEIR_DEFECTS_COUNT; i++) {
		assert_non_null(weir_defect_name(i));
		assert_true(strlen(weir_defect_text(i)) > 0);
		for (unsigned j = 1; j < i; j++)
			assert_string_not_equal(weir_defect_name(i), weir_defect_name(j));
	}
	assert_null(weir_defect_name(WEIR_DEFECTS_COUNT));
	assert_null(weir_defect_text(WEIR_DEFECTS_COUNT));
}

static void each_is_found_by_its_name_alone(void **state)
{
	(void)state;
	for (unsigned i = 1; i < WEIR_DEFECTS_COUNT; i++) {
		assert_true(weir_defect_choose(weir_defect_name(i)));
		assert_int_equal(weir_defect_chosen, i);
	}
	assert_true(weir_defect_choose("B4"));
	assert_true(WEIR_DEFECT(B4));
	assert_false(WEIR_DEFECT(B5));
}

static void an_unknown_name_is_refused_and_leaves_none_chosen(void **state)
{
	static const char *const names[] = {"", "B", "b1", "B1 ", "B11111", "NONE"};

	(void)state;
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_true(weir_defect_choose("B1"));
		assert_false(weir_defect_choose(names[i]));
		assert_int_equal(weir_defect_chosen, WEIR_DEFECT_NONE);
	}
}

static void no_name_takes_the_choice_back(void **state)
{
	(void)state;
	assert_true(weir_defect_choose("B1"));
	assert_true(weir_defect_choose(NULL));
	assert_int_equal(weir_defect_chosen, WEIR_DEFECT_NONE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(none_is_chosen_at_first),
		cmocka_unit_test(each_has_a_name_of_its_own_and_a_description),
		cmocka_unit_test(each_is_found_by_its_name_alone),
		cmocka_unit_test(an_unknown_name_is_refused_and_leaves_none_chosen),
		cmocka_unit_test(no_name_takes_the_choice_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
#endif
