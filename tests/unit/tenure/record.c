/* SPDX-License-Identifier: BSD-3-Clause */
/* Records, and how they are kept. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tenure/coord.h"

static void name_fill(char *name, size_t bytes, unsigned length, unsigned number)
{
	assert_in_range(length, 2, bytes - 1);
	memset(name, 'n', length);
	snprintf(name + length - 2, 3, "%02u", number % 100);
}

/* A record of so many copies, names of `length` bytes or the longest that there may be. */
static struct weir_record record_make(unsigned backups, unsigned insync, unsigned length)
{
	struct weir_record record;
	unsigned node_length = length < WEIR_NODE_ID_MAX ? length : WEIR_NODE_ID_MAX - 1;

	memset(&record, 0, sizeof(record)); /* padding is compared too */
	record.term = 5;
	record.active = 4;
	record.revision = UINT64_MAX;
	name_fill(record.device, sizeof(record.device), length, 99);
	name_fill(record.master.node, sizeof(record.master.node), node_length, 98);
	record.master.incarnation = 7;
	record.backups_count = (uint8_t)backups;
	record.insync_count = (uint8_t)insync;
	for (unsigned i = 0; i < backups; i++)
		name_fill(record.backups[i], WEIR_NODE_ID_MAX, node_length, i);
	for (unsigned i = 0; i < insync; i++) {
		name_fill(record.insync[i].node, WEIR_NODE_ID_MAX, node_length, 50 + i);
		record.insync[i].incarnation = UINT64_MAX - i;
	}
	return record;
}

static void comes_back_as_it_was(const struct weir_record *record)
{
	struct weir_record_kept *kept = weir_record_keep(record);
	struct weir_record back;

	assert_non_null(kept);
	memset(&back, 0xff, sizeof(back));
	weir_record_of(kept, &back);
	assert_memory_equal(&back, record, sizeof(back));
	assert_string_equal(weir_record_device(kept), record->device);
	assert_int_equal(kept->term, record->term);
	assert_int_equal(kept->master, record->master.incarnation);
	for (unsigned i = 0; i < record->insync_count; i++)
		assert_int_equal(kept->insync[i], record->insync[i].incarnation);
	free(kept);
}

static void kept_record_comes_back_as_it_was(void **state)
{
	for (unsigned backups = 0; backups <= WEIR_BACKUPS_MAX; backups++)
		for (unsigned insync = 0; insync <= WEIR_COPIES_MAX; insync++) {
			struct weir_record record = record_make(backups, insync, 2 + insync);

			comes_back_as_it_was(&record);
		}
}

static void kept_record_has_room_for_the_longest_names(void **state)
{
	struct weir_record record =
		record_make(WEIR_BACKUPS_MAX, WEIR_COPIES_MAX, WEIR_DEVICE_ID_MAX - 1);

	comes_back_as_it_was(&record);
}

static void record_without_names_can_be_kept(void **state)
{
	struct weir_record record = {0};

	comes_back_as_it_was(&record);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kept_record_comes_back_as_it_was),
		cmocka_unit_test(kept_record_has_room_for_the_longest_names),
		cmocka_unit_test(record_without_names_can_be_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
