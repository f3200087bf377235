/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random faults, replayable by seed: WEIR_SEED=n runs that one, WEIR_SEEDS=n the first n.
 *
 * The world checks at each step that terms never go back and that one node at most serves a
 * device; here: after the faults every device that can be served is served, by one record that all
 * nodes know, with all live backups in sync.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#define NODES_USED   4
#define DEVICES_USED 6
#define STEPS        150
#define SEEDS        60

static struct world w;
static uint64_t dice;

static unsigned roll(unsigned sides)
{
	dice ^= dice << 13;
	dice ^= dice >> 7;
	dice ^= dice << 17;
	return (unsigned)(dice % sides);
}

static bool lose_some(struct world *world, unsigned node, const struct weir_coord_request *r)
{
	struct weir_coord_answer answer;

	if (world->filter_arg == 0 || roll(100) >= world->filter_arg)
		return false;
	/* Half of the lost ones have taken effect. */
	if (roll(2) == 0)
		weir_coord_rules_apply(world->rules, r, world->now_ns, &answer);
	return true;
}

static void operator_asks(void)
{
	unsigned node = roll(NODES_USED);

	if (w.procs[node].tenure == NULL)
		return;
	weir_tenure_role_set(w.procs[node].tenure, ++w.ticket, device_name(roll(DEVICES_USED)),
		node_name(roll(NODES_USED)), roll(3) == 0 ? WEIR_ROLE_BACKUP : WEIR_ROLE_MASTER,
		w.now_ns);
	w.procs[node].next_ns = w.now_ns;
}

static void regress(struct weir_coord_rules **older)
{
	static uint64_t run = 100;

	weir_coord_rules_destroy(w.rules);
	w.rules = *older;
	*older = NULL;
	w.has_forgotten = true;
	weir_coord_rules_run_set(w.rules, ++run);
}

static void fault(struct weir_coord_rules **older, bool may_kill, bool may_forget)
{
	unsigned node = roll(NODES_USED);
	struct proc *proc = &w.procs[node];

	switch (roll(may_forget ? 10 : 8)) {
	case 0:
		proc->cut = !proc->cut;
		break;
	case 1:
		proc->deaf = !proc->deaf;
		break;
	case 2:
		world_net(&w, node, proc->off_net);
		break;
	case 3:
		if (proc->tenure != NULL)
			world_freeze(&w, node, !proc->frozen);
		break;
	case 4:
		w.filter_arg = roll(3) * 15;
		break;
	case 5:
		w.delay_ns = MS(1 + roll(60));
		break;
	case 6:
		operator_asks();
		break;
	case 7:
		if (!may_kill)
			operator_asks();
		else if (proc->tenure != NULL)
			world_kill(&w, node);
		else
			world_start(&w, node);
		break;
	case 8:
		if (*older == NULL)
			*older = weir_coord_rules_clone(w.rules);
		break;
	case 9:
		if (*older != NULL)
			regress(older);
		break;
	}
}

static void heal(void)
{
	w.filter_arg = 0;
	w.delay_ns = MS(1);
	for (unsigned i = 0; i < NODES_USED; i++) {
		if (w.procs[i].tenure == NULL)
			world_start(&w, i);
		w.procs[i].cut = w.procs[i].deaf = false;
		world_net(&w, i, true);
		world_freeze(&w, i, false);
	}
}

static bool is_whole(unsigned device)
{
	const struct weir_record *record = stored(&w, device);
	unsigned serving = 0;

	for (unsigned i = 0; i < NODES_USED; i++) {
		serving += serves(&w, device, i);
		if (seen(&w, i, device)->view.revision != record->revision)
			return false;
	}
	return serving == 1 && record->insync_count == record->backups_count + 1 &&
	       record->backups_count >= 2;
}

static bool all_whole(void)
{
	for (unsigned d = 0; d < DEVICES_USED; d++)
		if (!is_whole(d))
			return false;
	return true;
}

static void run_seed(uint64_t seed)
{
	bool unclean = seed % 2 == 1;
	struct weir_coord_rules *older = NULL;

	dice = seed * 0x9e3779b97f4a7c15ULL + 1;
	world_begin(&w, 16);
	w.filter = lose_some;
	w.conf.unclean_takeover = unclean;
	world_settled(&w, NODES_USED);
	for (unsigned d = 1; d < DEVICES_USED; d++)
		assert_int_equal(world_add(&w, roll(NODES_USED), d), 0);
	world_run(&w, MS(1000));
	for (unsigned i = 0; i < STEPS; i++) {
		fault(&older, unclean, seed % 3 == 0);
		world_run(&w, MS(roll(4) == 0 ? roll(3000) : roll(100)));
	}
	heal();
	for (unsigned i = 0; i < 3000 && !all_whole(); i++)
		world_run(&w, MS(10));
	if (!all_whole())
		world_print(&w);
	assert_true(all_whole());
	for (unsigned i = 0; i < NODES_USED; i++)
		assert_false(w.procs[i].refused);
	weir_coord_rules_destroy(older);
	world_end(&w);
}

static void random_faults_leave_every_device_with_one_master_and_whole_copies(void **state)
{
	const char *one = getenv("WEIR_SEED");
	const char *many = getenv("WEIR_SEEDS");
	uint64_t seeds = many != NULL ? strtoull(many, NULL, 0) : SEEDS;

	if (one != NULL) {
		run_seed(strtoull(one, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		/* The last line before a failure is the seed that replays it. */
		fprintf(stderr, "seed %llu\n", (unsigned long long)seed);
		run_seed(seed);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_faults_leave_every_device_with_one_master_and_whole_copies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
