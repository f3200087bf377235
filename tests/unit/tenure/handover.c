/* SPDX-License-Identifier: BSD-3-Clause */
/* What operators ask for: devices, masters, roles, leaving; and many devices at once. */
#include <stdio.h>
#include <string.h>

#include "world.h"

#define MANY 1000

static struct world w;

static int setup(void **state)
{
	world_begin(&w, MANY + 16);
	return 0;
}

static int teardown(void **state)
{
	world_end(&w);
	return 0;
}

static void start(unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		world_start(&w, i);
	world_run(&w, MS(50));
}

/* ------------------------------------------------------------------------------- devices --- */

static void a_new_device_begins_at_the_node_that_was_asked(void **state)
{
	w.manual_settle = true;
	start(4);
	assert_int_equal(world_add(&w, 2, 0), 0);
	assert_string_equal(stored(&w, 0)->master.node, "n3");
	assert_int_equal(stored(&w, 0)->term, 1);
	assert_int_equal(stored(&w, 0)->active, 0);
	assert_int_equal(stored(&w, 0)->backups_count, 2);
	assert_int_equal(stored(&w, 0)->insync_count, 1);
	assert_true(is_insync(&w, 0, 2));
	assert_string_equal(w.reply_record.master.node, "n3");
}

static void a_device_that_is_there_is_answered_with_its_record(void **state)
{
	start(2);
	assert_int_equal(world_add(&w, 0, 0), 0);
	assert_int_equal(world_add(&w, 0, 0), WEIR_EXISTS);
	assert_string_equal(w.reply_record.master.node, "n1");
	world_run(&w, MS(10));
	assert_int_equal(world_add(&w, 1, 0), WEIR_EXISTS);
	assert_string_equal(w.reply_record.master.node, "n1");
}

static void of_two_nodes_that_add_a_device_at_once_one_succeeds(void **state)
{
	w.delay_ns = MS(10);
	start(2);
	w.devices_count = 1;
	weir_tenure_device_add(w.procs[0].tenure, 1001, device_name(0), w.now_ns);
	weir_tenure_device_add(w.procs[1].tenure, 1002, device_name(0), w.now_ns);
	world_until(&w, MS(100), w.reply_ticket == 1001);
	assert_int_equal(w.reply_err, 0);
	world_until(&w, MS(100), w.reply_ticket == 1002);
	assert_int_equal(w.reply_err, WEIR_EXISTS);
	assert_string_equal(w.reply_record.master.node, "n1");
	assert_int_equal(stored(&w, 0)->term, 1);
}

static void bad_device_names_are_refused_and_leave_nothing_behind(void **state)
{
	char name[WEIR_DEVICE_ID_MAX + 1];
	const struct {
		const char *name;
		int err;
	} bad[] = {{"", WEIR_ERR}, {name, WEIR_TOOBIG}, {"a b", WEIR_ERR}, {"a\n", WEIR_ERR}};
	struct weir_record record;

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	start(1);
	for (unsigned i = 0; i < 4; i++) {
		weir_tenure_device_add(w.procs[0].tenure, ++w.ticket, bad[i].name, w.now_ns);
		world_until(&w, MS(100), w.reply_ticket == w.ticket);
		assert_int_equal(w.reply_err, bad[i].err);
		world_run(&w, MS(500));
		assert_false(weir_tenure_record(w.procs[0].tenure, bad[i].name, &record));
	}
	assert_int_equal(world_add(&w, 0, 0), 0);
}

static void requests_without_a_coordinator_are_answered(void **state)
{
	world_start(&w, 0);
	w.procs[0].cut = true;
	world_run(&w, MS(100));
	assert_int_equal(world_add(&w, 0, 0), WEIR_UNREACHABLE);
	assert_int_equal(world_master(&w, 0, 0, 0), WEIR_UNREACHABLE);
	w.procs[0].cut = false;
	world_run(&w, MS(1000));
	w.procs[0].cut = true;
	assert_int_equal(world_add(&w, 0, 0), WEIR_UNREACHABLE);
}

static void more_requests_than_wait_at_most_are_busy(void **state)
{
	unsigned refused = 0;

	start(1);
	w.devices_count = 0;
	for (unsigned i = 0; i < WEIR_TENURE_REQUESTS_MAX + 10; i++) {
		weir_tenure_device_add(w.procs[0].tenure, ++w.ticket, device_name(i), w.now_ns);
		refused += w.reply_ticket == w.ticket && w.reply_err == WEIR_BUSY;
	}
	assert_int_equal(refused, 10);
	world_run(&w, MS(1000));
	assert_int_equal(stored(&w, WEIR_TENURE_REQUESTS_MAX - 1)->term, 1);
	assert_int_equal(stored(&w, WEIR_TENURE_REQUESTS_MAX)->term, 0);
	assert_int_equal(w.procs[0].flying_changes_top, WEIR_TENURE_CHANGES_MAX);
	assert_int_equal(world_add(&w, 0, WEIR_TENURE_REQUESTS_MAX), 0);
}

static void backups_of_many_devices_spread_over_the_nodes(void **state)
{
	unsigned load[NODES] = {0};

	w.manual_settle = true;
	start(5);
	for (unsigned d = 0; d < 100; d++)
		assert_int_equal(world_add(&w, 0, d), 0);
	for (unsigned d = 0; d < 100; d++)
		for (unsigned i = 0; i < stored(&w, d)->backups_count; i++)
			load[stored(&w, d)->backups[i][1] - '1']++;
	assert_int_equal(load[0], 0);
	for (unsigned i = 1; i < 5; i++)
		assert_in_range(load[i], 30, 70);
}

/* --------------------------------------------------------------------------------- roles --- */

static void a_planned_handover_keeps_the_old_master_as_first_backup(void **state)
{
	world_settled(&w, 3);
	assert_int_equal(world_master(&w, 2, 0, 1), 0);
	assert_string_equal(w.reply_record.master.node, "n2");
	assert_string_equal(stored(&w, 0)->backups[0], "n1");
	assert_int_equal(stored(&w, 0)->backups_count, 2);
	assert_int_equal(stored(&w, 0)->insync_count, 3);
	world_until(&w, MS(500), serves(&w, 0, 1) && stored(&w, 0)->insync_count == 3);
	assert_int_equal(seen(&w, 0, 0)->view.role, WEIR_ROLE_BACKUP);
}

static void a_node_without_a_copy_may_be_made_master(void **state)
{
	unsigned spare;

	world_settled(&w, 4);
	spare = 6U - (unsigned)(stored(&w, 0)->backups[0][1] - '1') -
		(unsigned)(stored(&w, 0)->backups[1][1] - '1');
	assert_int_equal(world_master(&w, 0, 0, spare), 0);
	world_run(&w, MS(5));
	assert_false(seen(&w, spare, 0)->view.self_insync);
	world_until(&w, MS(500), serves(&w, 0, spare));
	assert_int_equal(stored(&w, 0)->backups_count, 2);
	assert_string_equal(stored(&w, 0)->backups[0], "n1");
}

static void master_set_says_why_not(void **state)
{
	uint64_t revision;

	world_settled(&w, 2);
	revision = stored(&w, 0)->revision;
	assert_int_equal(world_master(&w, 0, 0, 4), WEIR_NOTFOUND);
	assert_int_equal(world_master(&w, 0, 5, 1), WEIR_NODEVICE);
	assert_int_equal(world_master(&w, 1, 0, 0), 0);
	assert_int_equal(stored(&w, 0)->revision, revision);
	world_kill(&w, 1);
	world_until(&w, MS(2 * LEASE_MS), !w.procs[0].peer_up[1]);
	assert_int_equal(world_master(&w, 0, 0, 1), WEIR_NOTFOUND);
}

static void a_node_that_was_taken_out_is_not_put_back_until_it_restarts(void **state)
{
	world_settled(&w, 3);
	assert_int_equal(world_role(&w, 2, 0, 1, WEIR_ROLE_NONE), 0);
	world_run(&w, MS(5000));
	assert_int_equal(stored(&w, 0)->backups_count, 1);
	assert_false(is_insync(&w, 0, 1));
	assert_int_equal(seen(&w, 1, 0)->view.role, WEIR_ROLE_NONE);
	assert_int_equal(world_role(&w, 2, 0, 1, WEIR_ROLE_NONE), 0);
	assert_int_equal(world_role(&w, 1, 0, 1, WEIR_ROLE_BACKUP), 0);
	world_until(&w, MS(1000), is_insync(&w, 0, 1));
	assert_int_equal(world_role(&w, 2, 0, 1, WEIR_ROLE_NONE), 0);
	world_kill(&w, 1);
	world_start(&w, 1);
	world_until(&w, MS(2 * LEASE_MS), is_insync(&w, 0, 1));
}

static void the_last_in_sync_copy_that_lives_is_never_struck_off(void **state)
{
	world_settled(&w, 3);
	world_kill(&w, 0);
	/* Nobody has noticed yet that the master is dead. */
	assert_int_equal(world_role(&w, 1, 0, 2, WEIR_ROLE_NONE), 0);
	assert_int_equal(world_role(&w, 2, 0, 1, WEIR_ROLE_NONE), 0);
	assert_true(is_insync(&w, 0, 1) && is_insync(&w, 0, 2));
	world_until(&w, MS(4 * LEASE_MS), stored(&w, 0)->term == 2 && stored(&w, 0)->active == 2);
}

static void a_master_may_become_standby_or_nothing(void **state)
{
	world_settled(&w, 3);
	assert_int_equal(world_role(&w, 0, 0, 0, WEIR_ROLE_BACKUP), 0);
	world_until(&w, MS(1000), serves(&w, 0, 1) || serves(&w, 0, 2));
	world_until(&w, MS(1000), is_insync(&w, 0, 0));
	assert_int_equal(world_master(&w, 0, 0, 0), 0);
	world_until(&w, MS(1000), serves(&w, 0, 0) && stored(&w, 0)->insync_count == 3);
	assert_int_equal(world_role(&w, 1, 0, 0, WEIR_ROLE_NONE), 0);
	world_until(&w, MS(1000), serves(&w, 0, 1) || serves(&w, 0, 2));
	world_run(&w, MS(3000));
	assert_false(is_insync(&w, 0, 0));
	assert_int_equal(stored(&w, 0)->backups_count, 1);
	assert_int_equal(seen(&w, 0, 0)->view.role, WEIR_ROLE_NONE);
	assert_true(seen(&w, 0, 0)->view.let_go);
}

static void a_master_without_an_insync_backup_does_not_resign(void **state)
{
	world_settled(&w, 2);
	world_net(&w, 1, false);
	world_until(&w, MS(500), stored(&w, 0)->insync_count == 1);
	assert_int_equal(world_role(&w, 0, 0, 0, WEIR_ROLE_BACKUP), WEIR_NOTFOUND);
	assert_true(serves(&w, 0, 0));
}

static void a_full_list_of_backups_takes_no_more(void **state)
{
	unsigned spare = 1;

	w.conf.backup_count = WEIR_BACKUPS_MAX;
	start(NODES);
	assert_int_equal(world_add(&w, 0, 0), 0);
	world_until(&w, MS(3000), stored(&w, 0)->insync_count == WEIR_COPIES_MAX);
	assert_int_equal(stored(&w, 0)->backups_count, WEIR_BACKUPS_MAX);
	while (is_insync(&w, 0, spare))
		spare++;
	assert_int_equal(world_role(&w, 0, 0, spare, WEIR_ROLE_BACKUP), WEIR_TOOBIG);
	/* More nodes than a view has room for: who must be sealed is in it. */
	assert_int_equal(world_master(&w, 0, 0, spare), 0);
	world_until(&w, MS(1000), serves(&w, 0, spare));
}

/* ------------------------------------------------------------------------------- leaving --- */

static void leave(unsigned node)
{
	weir_tenure_leave(w.procs[node].tenure, w.now_ns);
	w.procs[node].next_ns = w.now_ns;
}

static void a_leaving_master_hands_over_and_is_gone_within_a_second(void **state)
{
	uint64_t begin_ns;

	world_settled(&w, 3);
	for (unsigned d = 1; d < 16; d++)
		assert_int_equal(world_add(&w, d % 3, d), 0);
	world_run(&w, MS(3000));
	begin_ns = w.now_ns;
	leave(0);
	world_until(&w, MS(1000), w.procs[0].left);
	assert_true(w.now_ns < begin_ns + MS(500));
	assert_int_equal(w.procs[0].lease_until_ns, 0);
	for (unsigned d = 0; d < 16; d++)
		assert_true(serves(&w, d, 1) || serves(&w, d, 2));
	world_kill(&w, 0);
	/* Its lease ended with it: no waiting. */
	world_until(&w, MS(LEASE_MS / 4), !w.procs[1].peer_up[0]);
	world_start(&w, 0);
	world_until(&w, MS(LEASE_MS), is_insync(&w, 0, 0));
}

static void leaving_takes_no_longer_than_its_timeout(void **state)
{
	uint64_t begin_ns;

	world_settled(&w, 2);
	w.manual_settle = true;
	begin_ns = w.now_ns;
	leave(0);
	world_until(&w, MS(2000), w.procs[0].left);
	assert_in_range(w.now_ns - begin_ns, MS(800), MS(1000));
}

static void a_node_alone_leaves_at_once(void **state)
{
	world_settled(&w, 1);
	leave(0);
	world_until(&w, MS(300), w.procs[0].left);
	assert_int_equal(stored(&w, 0)->term, 1);
	leave(0);
	world_run(&w, MS(1000));
}

static void a_node_leaves_without_the_coordinator_too(void **state)
{
	world_settled(&w, 2);
	w.procs[0].cut = true;
	leave(0);
	world_until(&w, MS(1000), w.procs[0].left);
}

static void a_node_that_is_not_registered_leaves_at_once(void **state)
{
	world_start(&w, 0);
	leave(0);
	assert_true(w.procs[0].left);
}

/* ---------------------------------------------------------------------------------- many --- */

static void many_devices_are_taken_over_in_bounded_steps(void **state)
{
	uint64_t dead_ns, steps;
	unsigned asked;

	world_settled(&w, 3);
	for (unsigned d = 1; d < MANY; d++)
		assert_int_equal(world_add(&w, 0, d), 0);
	world_run(&w, MS(1000));
	for (unsigned d = 0; d < MANY; d++)
		assert_int_equal(stored(&w, d)->insync_count, 3);
	asked = w.procs[1].asked[WEIR_COORD_CHANGE] + w.procs[2].asked[WEIR_COORD_CHANGE];
	world_kill(&w, 0);
	world_until(&w, MS(LEASE_MS + 500), !w.procs[1].peer_up[0] && !w.procs[2].peer_up[0]);
	dead_ns = w.now_ns;
	steps = w.steps;
	for (unsigned d = 0; d < MANY; d++)
		world_until(&w, MS(3000), is_active_at(&w, d, 1) || is_active_at(&w, d, 2));
	/* 64 at a time, 2 ms a round, two rounds a device, two nodes. */
	assert_true(w.now_ns - dead_ns < MS(500));
	assert_true(w.steps - steps < 30 * MANY);
	assert_int_equal(w.procs[1].flying_changes_top, WEIR_TENURE_CHANGES_MAX);
	world_run(&w, MS(1000));
	asked = w.procs[1].asked[WEIR_COORD_CHANGE] + w.procs[2].asked[WEIR_COORD_CHANGE] - asked;
	/* A term and an activation each; a few backups come into sync one by one. */
	assert_in_range(asked, 2 * MANY, 4 * MANY);
}

static void devices_beyond_the_limit_are_busy(void **state)
{
	struct weir_record record = {.term = 1, .active = 1};
	struct weir_coord_request request = {
		.kind = WEIR_COORD_CHANGE,
		.node = "n1",
		.record = &record,
		.new_term = true,
	};
	struct weir_coord_answer answer;

	world_start(&w, 0);
	world_run(&w, MS(50));
	request.incarnation = 1;
	strcpy(record.master.node, "n9");
	w.procs[0].frozen = true;
	w.devices_count = 0;
	for (unsigned d = 0; d < WEIR_DEVICES_MAX; d++) {
		snprintf(record.device, sizeof(record.device), "dev:%u", d % (MANY + 16));
		if (d >= MANY + 16)
			snprintf(record.device, sizeof(record.device), "dev:0-%u", d);
		request.expected_revision = 0;
		weir_coord_rules_apply(w.rules, &request, w.now_ns, &answer);
		assert_int_equal(answer.err, 0);
	}
	w.procs[0].frozen = false;
	world_run(&w, MS(1000));
	assert_true(weir_tenure_record(w.procs[0].tenure, "dev:0", &record));
	snprintf(record.device, sizeof(record.device), "dev:0-%u", WEIR_DEVICES_MAX - 1);
	assert_true(weir_tenure_record(w.procs[0].tenure, record.device, &record));
	assert_true(w.procs[0].lease_until_ns > w.now_ns);
	weir_tenure_device_add(w.procs[0].tenure, ++w.ticket, "one-more", w.now_ns);
	assert_int_equal(w.reply_ticket, w.ticket);
	assert_int_equal(w.reply_err, WEIR_BUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(a_new_device_begins_at_the_node_that_was_asked),
		TEST(a_device_that_is_there_is_answered_with_its_record),
		TEST(of_two_nodes_that_add_a_device_at_once_one_succeeds),
		TEST(bad_device_names_are_refused_and_leave_nothing_behind),
		TEST(requests_without_a_coordinator_are_answered),
		TEST(more_requests_than_wait_at_most_are_busy),
		TEST(backups_of_many_devices_spread_over_the_nodes),
		TEST(a_planned_handover_keeps_the_old_master_as_first_backup),
		TEST(a_node_without_a_copy_may_be_made_master),
		TEST(master_set_says_why_not),
		TEST(a_node_that_was_taken_out_is_not_put_back_until_it_restarts),
		TEST(the_last_in_sync_copy_that_lives_is_never_struck_off),
		TEST(a_master_may_become_standby_or_nothing),
		TEST(a_master_without_an_insync_backup_does_not_resign),
		TEST(a_full_list_of_backups_takes_no_more),
		TEST(a_leaving_master_hands_over_and_is_gone_within_a_second),
		TEST(leaving_takes_no_longer_than_its_timeout),
		TEST(a_node_alone_leaves_at_once),
		TEST(a_node_leaves_without_the_coordinator_too),
		TEST(a_node_that_is_not_registered_leaves_at_once),
		TEST(many_devices_are_taken_over_in_bounded_steps),
		TEST(devices_beyond_the_limit_are_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
