/* SPDX-License-Identifier: BSD-3-Clause */
/* Takeover, activation and the in-sync set. */
#include <string.h>

#include "world.h"

static struct world w;

static int setup(void **state)
{
	world_begin(&w, 16);
	return 0;
}

static int teardown(void **state)
{
	world_end(&w);
	return 0;
}

static unsigned second(void)
{
	return (unsigned)(stored(&w, 0)->backups[0][1] - '1');
}

static unsigned third(void)
{
	return (unsigned)(stored(&w, 0)->backups[1][1] - '1');
}

static uint32_t attempt(unsigned node, unsigned other)
{
	const struct weir_member *m = member(&w, node, 0, other);

	assert_non_null(m);
	return m->attempt;
}

static void the_first_insync_backup_takes_over_from_a_dead_master(void **state)
{
	unsigned heir, other;
	uint64_t term;

	world_settled(&w, 3);
	heir = second();
	other = third();
	term = stored(&w, 0)->term;
	world_kill(&w, 0);
	world_until(&w, MS(LEASE_MS + 500), serves(&w, 0, heir));
	assert_int_equal(stored(&w, 0)->term, term + 1);
	assert_int_equal(w.procs[other].asked[WEIR_COORD_CHANGE], 0);
	assert_int_equal(w.procs[heir].events[WEIR_EVENT_TERM_END], 1);
	assert_int_equal(w.procs[heir].events[WEIR_EVENT_TERM_START], 2);
	assert_int_equal(w.procs[heir].events[WEIR_EVENT_TERM_ACTIVE], 2);
	world_until(&w, MS(1000), is_insync(&w, 0, other));
}

static void a_backup_out_of_sync_does_not_take_over(void **state)
{
	unsigned first, other;

	world_settled(&w, 3);
	first = second();
	other = third();
	world_net(&w, first, false);
	world_until(&w, MS(1000), !is_insync(&w, 0, first));
	world_kill(&w, 0);
	/* It lives but cannot be sealed: the new master waits until no lease of it can be valid. */
	world_until(&w, MS(3 * LEASE_MS + 500), serves(&w, 0, other));
	assert_int_equal(w.procs[first].asked[WEIR_COORD_CHANGE], 0);
}

static void nobody_takes_over_without_an_insync_copy(void **state)
{
	uint64_t term;

	world_settled(&w, 3);
	world_net(&w, 1, false);
	world_net(&w, 2, false);
	world_until(&w, MS(1000), stored(&w, 0)->insync_count == 1);
	term = stored(&w, 0)->term;
	world_kill(&w, 0);
	world_net(&w, 1, true);
	world_net(&w, 2, true);
	world_run(&w, MS(10 * LEASE_MS));
	assert_int_equal(stored(&w, 0)->term, term);
	assert_int_equal(w.procs[1].events[WEIR_EVENT_UNCLEAN], 0);
}

static void unclean_takeover_is_a_choice_and_an_event(void **state)
{
	unsigned heir, other;
	uint64_t dead_ns;

	w.conf.unclean_takeover = true;
	world_settled(&w, 3);
	world_net(&w, 1, false);
	world_net(&w, 2, false);
	world_until(&w, MS(1000), stored(&w, 0)->insync_count == 1);
	heir = second();
	other = third();
	world_kill(&w, 0);
	world_net(&w, 1, true);
	world_net(&w, 2, true);
	world_until(&w, MS(LEASE_MS + 500), !w.procs[heir].peer_up[0]);
	dead_ns = w.now_ns;
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, heir));
	assert_true(w.now_ns >= dead_ns + MS(LEASE_MS - 1));
	assert_int_equal(w.procs[heir].events[WEIR_EVENT_UNCLEAN], 1);
	assert_int_equal(w.procs[other].events[WEIR_EVENT_UNCLEAN], 0);
	assert_int_equal(w.procs[other].asked[WEIR_COORD_CHANGE], 0);
}

static void unclean_takeover_can_be_chosen_once_a_device_waits(void **state)
{
	unsigned heir;

	world_settled(&w, 3);
	world_net(&w, 1, false);
	world_net(&w, 2, false);
	world_until(&w, MS(1000), stored(&w, 0)->insync_count == 1);
	heir = second();
	world_kill(&w, 0);
	world_net(&w, 1, true);
	world_net(&w, 2, true);
	world_run(&w, MS(10 * LEASE_MS));
	assert_false(serves(&w, 0, heir));
	for (unsigned i = 1; i < 3; i++)
		weir_tenure_unclean_set(w.procs[i].tenure, true, w.now_ns);
	world_until(&w, MS(LEASE_MS), serves(&w, 0, heir));
	assert_int_equal(w.procs[heir].events[WEIR_EVENT_UNCLEAN], 1);
}

static void unclean_takeover_is_not_used_while_an_insync_copy_lives(void **state)
{
	w.conf.unclean_takeover = true;
	world_settled(&w, 3);
	world_kill(&w, 0);
	world_until(&w, MS(LEASE_MS + 500),
		serves(&w, 0, second() == 0 ? third() : 1) || serves(&w, 0, 2));
	for (unsigned i = 1; i < 3; i++)
		assert_int_equal(w.procs[i].events[WEIR_EVENT_UNCLEAN], 0);
}

static void active_is_set_only_when_every_worker_has_settled(void **state)
{
	uint64_t term;

	w.manual_settle = true;
	w.manual_join = true;
	w.conf.join_grace_ms = 0;
	world_start(&w, 0);
	world_run(&w, MS(50));
	assert_int_equal(world_add(&w, 0, 0), 0);
	term = stored(&w, 0)->term;
	world_run(&w, MS(500));
	assert_int_equal(stored(&w, 0)->active, 0);
	report(&w, 0, WEIR_REPORT_SETTLED, 0, term - 1, 1, 0, 0);
	report(&w, 0, WEIR_REPORT_SETTLED, 0, term, 0, 0, 0);
	report(&w, 0, WEIR_REPORT_SETTLED, 0, term, 0, 0, 0);
	report(&w, 0, WEIR_REPORT_SETTLED, 0, term, WORKERS, 0, 0);
	world_run(&w, MS(500));
	assert_int_equal(stored(&w, 0)->active, 0);
	report(&w, 0, WEIR_REPORT_SETTLED, 0, term, 1, 0, 0);
	world_until(&w, MS(100), serves(&w, 0, 0));
	assert_true(is_insync(&w, 0, 0));
}

static void activation_waits_up_to_join_grace_for_the_first_backup(void **state)
{
	uint64_t term, settled_ns;

	w.manual_settle = true;
	w.manual_join = true;
	for (unsigned i = 0; i < 3; i++)
		world_start(&w, i);
	world_run(&w, MS(50));
	assert_int_equal(world_add(&w, 0, 0), 0);
	term = stored(&w, 0)->term;
	world_run(&w, MS(50));
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_SETTLED, 0, term, i, 0, 0);
	settled_ns = w.now_ns;
	world_run(&w, MS(1000));
	assert_int_equal(stored(&w, 0)->active, 0);
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, attempt(0, 1));
	world_until(&w, MS(50), serves(&w, 0, 0));
	assert_true(is_insync(&w, 0, 1));
	assert_false(is_insync(&w, 0, 2));
	assert_true(w.now_ns < settled_ns + MS(1100));
}

static void activation_goes_alone_after_join_grace(void **state)
{
	uint64_t settled_ns;

	w.manual_join = true;
	for (unsigned i = 0; i < 2; i++)
		world_start(&w, i);
	world_run(&w, MS(50));
	assert_int_equal(world_add(&w, 0, 0), 0);
	settled_ns = w.now_ns;
	world_until(&w, MS(3000), serves(&w, 0, 0));
	assert_true(w.now_ns >= settled_ns + MS(2000));
	assert_int_equal(stored(&w, 0)->insync_count, 1);
}

static void a_lagging_backup_leaves_insync_first_then_gets_a_new_attempt(void **state)
{
	uint64_t term;
	uint32_t first;

	world_settled(&w, 3);
	term = stored(&w, 0)->term;
	first = attempt(0, 1);
	w.manual_join = true;
	w.delay_ns = MS(10);
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 1, 1, first);
	world_run(&w, MS(15));
	/* The coordinator has it, this node does not know yet: no writes may be let go. */
	assert_false(is_insync(&w, 0, 1));
	assert_int_equal(attempt(0, 1), first);
	assert_true(member(&w, 0, 0, 1)->insync);
	world_run(&w, MS(10));
	assert_false(member(&w, 0, 0, 1)->insync);
	assert_true(attempt(0, 1) > first);
	assert_true(is_insync(&w, 0, 2));
	/* It catches up in the new attempt. */
	report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, 0, 1, first);
	report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, 1, 1, first);
	world_run(&w, MS(500));
	assert_false(is_insync(&w, 0, 1));
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, attempt(0, 1));
	world_until(&w, MS(100), member(&w, 0, 0, 1)->insync);
	assert_true(w.procs[0].events[WEIR_EVENT_TERM_UPDATE] >= 2);
}

static void a_stale_caught_up_is_ignored(void **state)
{
	uint64_t term;
	uint32_t old;

	world_settled(&w, 2);
	term = stored(&w, 0)->term;
	old = attempt(0, 1);
	w.manual_join = true;
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 0, 1, old);
	world_until(&w, MS(100), attempt(0, 1) != old && !is_insync(&w, 0, 1));
	for (unsigned i = 0; i < WORKERS; i++) {
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, old);
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term - 1, i, 1, attempt(0, 1));
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term + 1, i, 1, attempt(0, 1));
	}
	world_run(&w, MS(1000));
	assert_false(is_insync(&w, 0, 1));
}

/* LAGGING comes while the CHANGE that adds the backup is on its way: it must go out again. */
static void lagging_during_the_addition_takes_the_backup_out_again(void **state)
{
	uint64_t term;
	uint32_t old;

	world_settled(&w, 2);
	term = stored(&w, 0)->term;
	old = attempt(0, 1);
	w.manual_join = true;
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 0, 1, old);
	world_until(&w, MS(100), attempt(0, 1) != old);
	old = attempt(0, 1);
	w.delay_ns = MS(20);
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, old);
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 1, 1, old);
	world_run(&w, MS(30));
	assert_true(is_insync(&w, 0, 1));
	assert_int_equal(attempt(0, 1), old);
	world_run(&w, MS(25));
	assert_int_equal(attempt(0, 1), old);
	world_until(&w, MS(100), !is_insync(&w, 0, 1));
	world_until(&w, MS(100), attempt(0, 1) > old);
}

static bool lose_changes(struct world *world, unsigned node, const struct weir_coord_request *r)
{
	if (r->kind != WEIR_COORD_CHANGE || world->filter_arg == 0)
		return false;
	world->filter_arg--;
	return true;
}

/*
 * The CHANGE that adds a backup is lost as far as anybody knows, the backup falls behind: a late
 * arrival of that CHANGE must have become impossible before the backup's writes are let go.
 */
static void an_addition_of_unknown_fate_is_made_impossible_before_writes_are_let_go(void **state)
{
	uint64_t term, revision;
	uint32_t old;

	world_settled(&w, 2);
	term = stored(&w, 0)->term;
	old = attempt(0, 1);
	w.manual_join = true;
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 0, 1, old);
	world_until(&w, MS(100), attempt(0, 1) != old);
	old = attempt(0, 1);
	revision = stored(&w, 0)->revision;
	w.filter = lose_changes;
	w.filter_arg = 1;
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, term, i, 1, old);
	world_until(&w, MS(100), w.filter_arg == 0);
	report(&w, 0, WEIR_REPORT_LAGGING, 0, term, 1, 1, old);
	world_until(&w, MS(3000), attempt(0, 1) > old);
	assert_true(stored(&w, 0)->revision > revision);
	assert_false(is_insync(&w, 0, 1));
}

static void attempts_of_a_live_but_unreachable_backup_back_off(void **state)
{
	unsigned before;

	world_settled(&w, 2);
	world_net(&w, 1, false);
	world_until(&w, MS(200), !is_insync(&w, 0, 1));
	before = seen(&w, 0, 0)->attempts_seen[1];
	world_run(&w, MS(10000));
	assert_in_range(seen(&w, 0, 0)->attempts_seen[1] - before, 4, 10);
	/* No CHANGE is made of them. */
	assert_int_equal(stored(&w, 0)->insync_count, 1);
	world_net(&w, 1, true);
	world_until(&w, MS(2 * LEASE_MS), is_insync(&w, 0, 1));
}

static void a_dead_backup_gets_no_attempt_until_it_is_back(void **state)
{
	unsigned before;
	uint64_t incarnation;

	world_settled(&w, 2);
	world_kill(&w, 1);
	world_until(&w, MS(2 * LEASE_MS), !w.procs[0].peer_up[1]);
	world_run(&w, MS(100));
	assert_int_equal(stored(&w, 0)->insync_count, 1);
	assert_false(member(&w, 0, 0, 1)->live);
	before = seen(&w, 0, 0)->attempts_seen[1];
	world_run(&w, MS(5 * LEASE_MS));
	assert_int_equal(seen(&w, 0, 0)->attempts_seen[1], before);
	world_start(&w, 1);
	world_until(&w, MS(1000), is_insync(&w, 0, 1));
	incarnation = weir_tenure_incarnation(w.procs[1].tenure);
	assert_int_equal(incarnation, 2);
	assert_int_equal(member(&w, 0, 0, 1)->incarnation, incarnation);
	assert_int_equal(seen(&w, 0, 0)->attempts_seen[1], before + 1);
}

static void a_backup_that_restarts_before_its_lease_ran_out_is_not_insync_by_its_name(void **state)
{
	world_settled(&w, 2);
	w.manual_join = true;
	world_kill(&w, 1);
	world_start(&w, 1);
	world_until(&w, MS(2 * LEASE_MS), weir_tenure_incarnation(w.procs[1].tenure) == 2);
	world_run(&w, MS(500));
	assert_int_equal(stored(&w, 0)->insync_count, 1);
	assert_true(member(&w, 0, 0, 1)->live);
	assert_false(member(&w, 0, 0, 1)->insync);
	assert_int_equal(member(&w, 0, 0, 1)->incarnation, 2);
	/* Now the master dies: the empty copy must not take over. */
	world_kill(&w, 0);
	world_run(&w, MS(5 * LEASE_MS));
	assert_int_equal(w.procs[1].asked[WEIR_COORD_CHANGE], 0);
}

/* B11: a table made after the election started empty without asking anyone. */
static void b11_a_restarted_master_does_not_go_on_in_its_old_term(void **state)
{
	uint64_t term;

	world_settled(&w, 3);
	term = stored(&w, 0)->term;
	world_kill(&w, 0);
	world_start(&w, 0);
	world_until(&w, MS(2 * LEASE_MS), weir_tenure_incarnation(w.procs[0].tenure) == 2);
	world_until(&w, MS(LEASE_MS), stored(&w, 0)->term > term);
	world_until(&w, MS(LEASE_MS), is_active_at(&w, 0, 1) || is_active_at(&w, 0, 2));
	assert_int_not_equal(seen(&w, 0, 0)->view.role, WEIR_ROLE_MASTER);
	/* It is a backup again, and in sync only after it has caught up. */
	world_until(&w, MS(2000), is_insync(&w, 0, 0));
}

/* B19: a change of backups within a term was not noticed. */
static void b19_a_change_of_backups_within_a_term_reaches_everybody(void **state)
{
	uint64_t term;

	w.conf.backup_count = 1;
	world_settled(&w, 3);
	term = stored(&w, 0)->term;
	for (unsigned i = 0; i < 3; i++)
		w.procs[i].no_hints = true;
	assert_int_equal(world_role(&w, 1, 0, second() == 1 ? 2 : 1, WEIR_ROLE_BACKUP), 0);
	assert_int_equal(stored(&w, 0)->backups_count, 2);
	world_until(&w, MS(LEASE_MS / 4 + 10), seen(&w, 0, 0)->record.backups_count == 2);
	world_until(&w, MS(1000), is_insync(&w, 0, 1) && is_insync(&w, 0, 2));
	world_run(&w, MS(10));
	assert_int_equal(stored(&w, 0)->term, term);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_TERM_UPDATE], 2);
}

/* B22: two quick terms left no copy to be asked though no node had failed. */
static void b22_the_insync_set_outlives_terms_that_never_become_active(void **state)
{
	world_settled(&w, 3);
	w.manual_settle = true;
	assert_int_equal(world_master(&w, 0, 0, 1), 0);
	world_run(&w, MS(10));
	assert_int_equal(world_master(&w, 0, 0, 2), 0);
	world_run(&w, MS(10));
	assert_int_equal(world_master(&w, 0, 0, 1), 0);
	world_run(&w, MS(10));
	assert_int_equal(world_master(&w, 2, 0, 2), 0);
	world_run(&w, MS(100));
	assert_int_equal(stored(&w, 0)->active, 1);
	assert_int_equal(stored(&w, 0)->term, 5);
	for (unsigned i = 0; i < 3; i++)
		assert_true(is_insync(&w, 0, i));
	assert_int_equal(seen(&w, 2, 0)->view.members_count, 2);
	assert_true(member(&w, 2, 0, 0)->insync && member(&w, 2, 0, 1)->insync);
	assert_true(seen(&w, 2, 0)->view.self_insync);
	w.manual_settle = false;
	assert_int_equal(world_master(&w, 0, 0, 0), 0);
	world_until(&w, MS(1000), serves(&w, 0, 0));
}

static bool lose_terms_of(struct world *world, unsigned node, const struct weir_coord_request *r)
{
	return r->kind == WEIR_COORD_CHANGE && r->new_term && node == world->filter_arg;
}

static void an_heir_that_does_not_ask_for_its_term_is_given_it(void **state)
{
	unsigned heir, other;

	world_settled(&w, 3);
	heir = strcmp(stored(&w, 0)->backups[0], node_name(1)) == 0 ? 1 : 2;
	other = 3 - heir;
	w.filter = lose_terms_of;
	w.filter_arg = heir;
	world_kill(&w, 0);
	world_run(&w, MS(3 * LEASE_MS));
	assert_int_equal(stored(&w, 0)->term, 1);
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, heir));
	assert_int_equal(stored(&w, 0)->term, 2);
	assert_true(w.procs[other].asked[WEIR_COORD_CHANGE] > 0);
}

static void two_candidates_at_once_have_one_winner(void **state)
{
	unsigned changes;

	world_settled(&w, 3);
	w.delay_ns = MS(20);
	/* Each believes that it is the one: the operator asks both at once. */
	weir_tenure_master_set(w.procs[1].tenure, 77, device_name(0), "n2", w.now_ns);
	weir_tenure_master_set(w.procs[2].tenure, 78, device_name(0), "n3", w.now_ns);
	world_run(&w, MS(500));
	assert_true(is_active_at(&w, 0, 1) || is_active_at(&w, 0, 2));
	changes = w.procs[1].asked[WEIR_COORD_CHANGE] + w.procs[2].asked[WEIR_COORD_CHANGE];
	assert_in_range(changes, 3, 16);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen(&w, i, 0)->view.term, stored(&w, 0)->term);
}

static void a_deposed_master_asks_for_a_term_above_the_one_it_was_shown(void **state)
{
	world_settled(&w, 2);
	report(&w, 0, WEIR_REPORT_DEPOSED, 0, 41, 0, 0, 0);
	world_until(&w, MS(200), stored(&w, 0)->term == 42);
	world_until(&w, MS(1000), serves(&w, 0, 0));
	assert_true(is_insync(&w, 0, 1));
}

static void a_master_whose_term_was_promised_to_another_asks_for_a_higher_one(void **state)
{
	world_settled(&w, 2);
	report(&w, 0, WEIR_REPORT_DEPOSED, 0, 1, 0, 0, 0);
	world_until(&w, MS(1000), stored(&w, 0)->term == 2 && serves(&w, 0, 0));
	world_run(&w, MS(2000));
	assert_int_equal(stored(&w, 0)->term, 2);
}

static void a_deposed_master_yields_to_the_record(void **state)
{
	uint64_t term;

	world_settled(&w, 3);
	w.procs[0].no_hints = true;
	assert_int_equal(world_master(&w, 1, 0, 1), 0);
	term = stored(&w, 0)->term;
	report(&w, 0, WEIR_REPORT_DEPOSED, 0, term, 0, 0, 0);
	world_until(&w, MS(1000), serves(&w, 0, 1));
	assert_int_equal(stored(&w, 0)->term, term);
}

static void a_new_term_is_above_every_term_its_maker_has_seen(void **state)
{
	world_settled(&w, 3);
	report(&w, second(), WEIR_REPORT_DEPOSED, 0, 99, 0, 0, 0);
	world_kill(&w, 0);
	world_until(&w, MS(2 * LEASE_MS), is_active_at(&w, 0, 1) || is_active_at(&w, 0, 2));
	assert_int_equal(stored(&w, 0)->term, 100);
}

static void an_outage_longer_than_the_lease_changes_no_master(void **state)
{
	uint64_t term;

	world_settled(&w, 3);
	term = stored(&w, 0)->term;
	for (unsigned i = 0; i < 3; i++)
		w.procs[i].cut = true;
	world_run(&w, MS(3 * LEASE_MS));
	assert_false(serves(&w, 0, 0));
	/* The backups come back first: the master looks dead to them. */
	w.procs[1].cut = false;
	w.procs[2].cut = false;
	world_run(&w, MS(600));
	w.procs[0].cut = false;
	world_until(&w, MS(1000), serves(&w, 0, 0));
	world_run(&w, MS(2 * LEASE_MS));
	assert_int_equal(stored(&w, 0)->term, term);
	assert_int_equal(stored(&w, 0)->insync_count, 3);
}

static void a_stopped_master_that_wakes_finds_itself_a_backup(void **state)
{
	unsigned heir;

	world_settled(&w, 3);
	heir = second();
	world_freeze(&w, 0, true);
	world_until(&w, MS(2 * LEASE_MS), serves(&w, 0, heir));
	world_freeze(&w, 0, false);
	world_until(
		&w, MS(2000), seen(&w, 0, 0)->view.role == WEIR_ROLE_BACKUP && is_insync(&w, 0, 0));
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 1);
}

static void a_dead_backup_is_replaced_by_a_live_node(void **state)
{
	unsigned dead, spare;

	world_settled(&w, 4);
	dead = second();
	spare = 6 - dead - third();
	assert_null(member(&w, 0, 0, spare));
	world_kill(&w, dead);
	world_until(&w, MS(2 * LEASE_MS), is_insync(&w, 0, spare));
	world_run(&w, MS(100));
	assert_int_equal(stored(&w, 0)->backups_count, 2);
	assert_null(member(&w, 0, 0, dead));
}

static void a_node_lets_go_only_when_every_live_backup_is_insync(void **state)
{
	unsigned first, spare;

	world_settled(&w, 4);
	first = second();
	spare = 6 - first - third();
	world_run(&w, MS(10));
	assert_true(seen(&w, spare, 0)->view.let_go);
	assert_false(seen(&w, first, 0)->view.let_go);
	/* In a term that is not active yet nobody does, though insync names all backups. */
	w.manual_settle = true;
	assert_int_equal(world_master(&w, 0, 0, first), 0);
	world_run(&w, MS(100));
	assert_int_equal(seen(&w, spare, 0)->view.term, 2);
	assert_false(seen(&w, spare, 0)->view.let_go);
	w.manual_settle = false;
	assert_int_equal(world_master(&w, first, 0, 0), 0);
	world_until(&w, MS(500), serves(&w, 0, 0) && seen(&w, spare, 0)->view.let_go);
	first = second();
	w.manual_join = true;
	/* The spare takes the place of one that dies; the one comes back without a part. */
	world_kill(&w, first);
	world_until(&w, MS(2 * LEASE_MS), member(&w, 0, 0, spare) != NULL);
	world_start(&w, first);
	world_run(&w, MS(500));
	assert_int_equal(seen(&w, first, 0)->view.role, WEIR_ROLE_NONE);
	assert_false(seen(&w, first, 0)->view.let_go);
	for (unsigned i = 0; i < WORKERS; i++)
		report(&w, 0, WEIR_REPORT_CAUGHT_UP, 0, stored(&w, 0)->term, i, spare,
			attempt(0, spare));
	world_until(&w, MS(500), seen(&w, first, 0)->view.let_go);
}

static void live_members_are_waited_for_until_no_lease_of_theirs_can_be_valid(void **state)
{
	unsigned heir;

	world_settled(&w, 3);
	heir = second();
	assert_int_equal(world_master(&w, 0, 0, heir), 0);
	world_run(&w, MS(10));
	assert_in_range(seen(&w, heir, 0)->view.seal_deadline_ns, w.now_ns + MS(LEASE_MS - 50),
		w.now_ns + MS(LEASE_MS));
}

/* It looked dead when the term was asked for; the term does not know of it, nor it of the term. */
static void a_master_that_renews_just_before_a_takeover_is_waited_for(void **state)
{
	uint64_t until_ns;

	w.conf.join_grace_ms = 0;
	world_settled(&w, 2);
	world_net(&w, 0, false);
	w.procs[0].no_hints = true;
	w.procs[0].cut = true;
	w.timeout_ns = MS(1);
	w.delay_ns = MS(15);
	world_until(&w, MS(2 * LEASE_MS), !w.procs[1].peer_up[0]);
	/* The takeover is on its way; node 0 is faster. */
	w.procs[0].cut = false;
	w.delay_ns = MS(1);
	until_ns = w.procs[0].lease_until_ns;
	while (w.procs[0].lease_until_ns == until_ns) {
		weir_tenure_hint(w.procs[0].tenure, w.now_ns);
		world_run(&w, MS(2));
	}
	assert_int_equal(stored(&w, 0)->term, 1);
	w.procs[0].cut = true;
	until_ns = w.procs[0].lease_until_ns;
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, 1));
	assert_true(w.now_ns >= until_ns);
}

/* The record comes with the answer to a CHANGE; the list of nodes only with that to a RENEW. */
static void a_process_is_known_by_a_record_before_the_list_of_nodes_tells_of_it(void **state)
{
	struct weir_coord_request change = {
		.kind = WEIR_COORD_CHANGE, .node = "n1", .incarnation = 1};
	struct weir_coord_answer answer;
	struct weir_record record;
	const struct weir_member *first;

	world_settled(&w, 2);
	w.procs[0].frozen = true;
	record = *stored(&w, 0);
	record.insync[0].incarnation = 2;
	change.record = &record;
	change.expected_revision = record.revision;
	assert_string_equal(record.insync[0].node, "n1");
	weir_coord_rules_apply(w.rules, &change, w.now_ns, &answer);
	assert_int_equal(answer.err, 0);
	world_until(&w, MS(LEASE_MS / 4), seen(&w, 1, 0)->view.revision > record.revision);
	first = member(&w, 1, 0, 0);
	assert_true(first->live && first->insync);
	assert_int_equal(first->incarnation, 2);
}

static void a_view_is_sent_only_when_something_in_it_differs(void **state)
{
	unsigned views[3];

	world_settled(&w, 3);
	world_run(&w, MS(1000));
	for (unsigned i = 0; i < 3; i++)
		views[i] = seen(&w, i, 0)->views;
	for (unsigned i = 0; i < 3; i++)
		weir_tenure_hint(w.procs[i].tenure, w.now_ns);
	world_run(&w, MS(3 * LEASE_MS));
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen(&w, i, 0)->views, views[i]);
}

static void a_change_of_unknown_fate_is_decided_again_after_the_next_renewal(void **state)
{
	world_settled(&w, 3);
	w.procs[1].deaf = w.procs[2].deaf = true;
	world_kill(&w, 0);
	world_run(&w, MS(LEASE_MS + 1000));
	w.procs[1].deaf = w.procs[2].deaf = false;
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, 1) || serves(&w, 0, 2));
}

static void flapping_masters_converge(void **state)
{
	world_settled(&w, 3);
	for (unsigned i = 0; i < 40; i++) {
		weir_tenure_master_set(w.procs[i % 3].tenure, 1000 + i, device_name(0),
			node_name((i * 7 + 1) % 3), w.now_ns);
		world_run(&w, MS(i % 5));
	}
	world_run(&w, MS(3000));
	assert_true(serves(&w, 0, 0) || serves(&w, 0, 1) || serves(&w, 0, 2));
	assert_int_equal(stored(&w, 0)->insync_count, 3);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(seen(&w, i, 0)->view.revision, stored(&w, 0)->revision);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(the_first_insync_backup_takes_over_from_a_dead_master),
		TEST(a_backup_out_of_sync_does_not_take_over),
		TEST(nobody_takes_over_without_an_insync_copy),
		TEST(unclean_takeover_is_a_choice_and_an_event),
		TEST(unclean_takeover_can_be_chosen_once_a_device_waits),
		TEST(unclean_takeover_is_not_used_while_an_insync_copy_lives),
		TEST(active_is_set_only_when_every_worker_has_settled),
		TEST(activation_waits_up_to_join_grace_for_the_first_backup),
		TEST(activation_goes_alone_after_join_grace),
		TEST(a_lagging_backup_leaves_insync_first_then_gets_a_new_attempt),
		TEST(a_stale_caught_up_is_ignored),
		TEST(lagging_during_the_addition_takes_the_backup_out_again),
		TEST(an_addition_of_unknown_fate_is_made_impossible_before_writes_are_let_go),
		TEST(attempts_of_a_live_but_unreachable_backup_back_off),
		TEST(a_dead_backup_gets_no_attempt_until_it_is_back),
		TEST(a_backup_that_restarts_before_its_lease_ran_out_is_not_insync_by_its_name),
		TEST(b11_a_restarted_master_does_not_go_on_in_its_old_term),
		TEST(b19_a_change_of_backups_within_a_term_reaches_everybody),
		TEST(b22_the_insync_set_outlives_terms_that_never_become_active),
		TEST(an_heir_that_does_not_ask_for_its_term_is_given_it),
		TEST(two_candidates_at_once_have_one_winner),
		TEST(a_deposed_master_asks_for_a_term_above_the_one_it_was_shown),
		TEST(a_master_whose_term_was_promised_to_another_asks_for_a_higher_one),
		TEST(a_deposed_master_yields_to_the_record),
		TEST(a_new_term_is_above_every_term_its_maker_has_seen),
		TEST(an_outage_longer_than_the_lease_changes_no_master),
		TEST(a_stopped_master_that_wakes_finds_itself_a_backup),
		TEST(a_dead_backup_is_replaced_by_a_live_node),
		TEST(a_node_lets_go_only_when_every_live_backup_is_insync),
		TEST(live_members_are_waited_for_until_no_lease_of_theirs_can_be_valid),
		TEST(a_master_that_renews_just_before_a_takeover_is_waited_for),
		TEST(a_process_is_known_by_a_record_before_the_list_of_nodes_tells_of_it),
		TEST(a_view_is_sent_only_when_something_in_it_differs),
		TEST(a_change_of_unknown_fate_is_decided_again_after_the_next_renewal),
		TEST(flapping_masters_converge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
