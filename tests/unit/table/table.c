/* SPDX-License-Identifier: BSD-3-Clause */
#include "help.h"

static void stored_rule_is_found_by_rule_and_by_id(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *stored = NULL;
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 7);

	assert_null(weir_table_find(help.table, &entry->rule));
	assert_null(weir_table_find_id(help.table, entry->rule.flow_id));
	assert_int_equal(help_put(&help, entry, &stored), 0);
	assert_ptr_equal(weir_table_find(help.table, &entry->rule), stored);
	assert_ptr_equal(weir_table_find_id(help.table, entry->rule.flow_id), stored);
	assert_ptr_not_equal(stored, entry);
	assert_memory_equal(stored, entry, HELP_ENTRY_BYTES);
	assert_int_equal(weir_table_count(help.table), 1);
	help_table_end(&help);
}

static void putting_the_same_rule_replaces_it(void **state)
{
	struct help_table help = help_table();
	struct weir_entry *first;
	struct weir_entry *second;
	struct help_entry room;
	struct weir_entry *entry = help_entry(&room, 7);

	assert_int_equal(help_put(&help, entry, &first), 0);
	entry->created++;
	entry->rule.cookie = 5;
	entry->rule.idle_timeout_s = 9;
	assert_int_equal(help_put(&help, entry, &second), 1);
	assert_ptr_equal(weir_table_find(help.table, &entry->rule), second);
	assert_int_equal(second->rule.cookie, 5);
	assert_int_equal(first->rule.cookie, 0); /* readable until the grace period ends */
	assert_int_equal(weir_table_count(help.table), 1);
	help_table_end(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(stored_rule_is_found_by_rule_and_by_id),
		cmocka_unit_test(putting_the_same_rule_replaces_it),
	};
	int failed;

	weir_rcu_register();
	failed = cmocka_run_group_tests_name("table", tests, NULL, NULL);
	weir_rcu_unregister();
	return failed;
}
