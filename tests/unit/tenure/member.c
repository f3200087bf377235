/* SPDX-License-Identifier: BSD-3-Clause */
/* Being a member: registration, leases, peers. */
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

static void registers_and_holds_a_lease_shorter_than_the_coordinators(void **state)
{
	world_start(&w, 0);
	world_run(&w, MS(100));
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 1);
	assert_true(w.procs[0].lease_until_ns > w.now_ns);
	assert_true(w.procs[0].lease_until_ns <= w.now_ns + MS(LEASE_MS - LEASE_MS / 10));
	world_run(&w, MS(10000));
	assert_true(w.procs[0].lease_until_ns > w.now_ns + MS(LEASE_MS / 2));
	/* An eighth of the lease between renewals: no more are needed, and no more are made. */
	assert_in_range(w.procs[0].asked[WEIR_COORD_RENEW], 38, 44);
}

static void a_coordinator_that_is_absent_at_start_is_waited_for(void **state)
{
	world_start(&w, 0);
	w.procs[0].cut = true;
	world_run(&w, MS(20000));
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 0);
	assert_in_range(w.procs[0].asked[WEIR_COORD_REGISTER], 5, 30);
	w.procs[0].cut = false;
	world_until(&w, MS(3000), weir_tenure_incarnation(w.procs[0].tenure) == 1);
}

/* A second process under the name of node 0, run by hand. */
static struct weir_coord_request second_asked;

static void second_ask(void *ctx, const struct weir_coord_request *request)
{
	second_asked = *request;
}

static bool second_refused;
static char second_sentence[256];

static void on_second_refused(void *ctx, const char *sentence)
{
	second_refused = true;
	strncpy(second_sentence, sentence, sizeof(second_sentence) - 1);
}

static void a_second_process_of_a_living_name_is_refused(void **state)
{
	struct weir_tenure_ops ops = {.ask = second_ask, .refused = on_second_refused};
	struct weir_tenure_conf conf = w.conf;
	struct weir_coord_answer answer;
	struct weir_tenure *second;
	uint64_t begin_ns;

	world_start(&w, 0);
	world_run(&w, MS(500));
	strcpy(conf.self.id, "n1");
	second = weir_tenure_create(&conf, &ops, NULL, w.now_ns);
	second_refused = false;
	begin_ns = w.now_ns;
	while (!second_refused && w.now_ns < begin_ns + MS(3 * LEASE_MS)) {
		second_asked.ticket = 0;
		weir_tenure_tick(second, w.now_ns);
		if (second_asked.ticket != 0) {
			weir_coord_rules_apply(w.rules, &second_asked, w.now_ns, &answer);
			weir_tenure_answer(second, &answer, w.now_ns);
		}
		world_run(&w, MS(10));
	}
	assert_true(second_refused);
	assert_non_null(strstr(second_sentence, "node n1 is running already"));
	assert_true(w.now_ns < begin_ns + MS(LEASE_MS));
	assert_int_equal(weir_tenure_tick(second, w.now_ns), UINT64_MAX);
	/* The first one has not felt it. */
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 1);
	assert_true(w.procs[0].lease_until_ns > w.now_ns);
	weir_tenure_destroy(second);
}

static void a_restart_waits_until_the_old_lease_has_run_out(void **state)
{
	world_start(&w, 0);
	world_run(&w, MS(1000));
	world_kill(&w, 0);
	world_start(&w, 0);
	world_run(&w, MS(1000));
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 0);
	world_until(&w, MS(LEASE_MS), weir_tenure_incarnation(w.procs[0].tenure) == 2);
	assert_false(w.procs[0].refused);
}

static bool lose_register(struct world *world, unsigned node, const struct weir_coord_request *r)
{
	struct weir_coord_answer answer;

	if (r->kind != WEIR_COORD_REGISTER || world->filter_arg == 0)
		return false;
	weir_coord_rules_apply(world->rules, r, world->now_ns, &answer);
	if (answer.err == 0)
		world->filter_arg--;
	return answer.err == 0;
}

static void a_registration_whose_answer_is_lost_is_not_taken_for_another_process(void **state)
{
	w.filter = lose_register;
	w.filter_arg = 3;
	world_start(&w, 0);
	world_until(&w, MS(6 * LEASE_MS), weir_tenure_incarnation(w.procs[0].tenure) == 4);
	assert_false(w.procs[0].refused);
}

static void other_settings_than_the_clusters_are_refused(void **state)
{
	world_start(&w, 0);
	world_run(&w, MS(100));
	w.conf.self.buckets_count = 512;
	world_start(&w, 1);
	w.conf.self.buckets_count = 0;
	w.conf.self.protocol = 2;
	world_start(&w, 2);
	world_run(&w, MS(300));
	assert_true(w.procs[1].refused);
	assert_non_null(strstr(w.procs[1].sentence, "512 buckets"));
	assert_true(w.procs[2].refused);
	assert_non_null(strstr(w.procs[2].sentence, "protocol 2"));
	assert_false(w.procs[0].refused);
	/* They do not stay behind as members. */
	world_run(&w, MS(300));
	assert_false(w.procs[0].peer_up[1]);
	assert_false(w.procs[0].peer_up[2]);
}

static void peers_keep_their_numbers_and_are_told_of_each_life(void **state)
{
	unsigned count;
	const struct weir_node *nodes;

	world_start(&w, 0);
	world_run(&w, MS(50));
	world_start(&w, 2);
	world_run(&w, MS(600));
	world_start(&w, 1);
	world_run(&w, MS(600));
	nodes = weir_tenure_nodes(w.procs[0].tenure, &count);
	assert_int_equal(count, 3);
	assert_string_equal(nodes[0].id, "n1");
	assert_string_equal(nodes[1].id, "n3");
	assert_string_equal(nodes[2].id, "n2");
	assert_int_equal(w.procs[0].peer_calls, 2);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_NODE_UP], 2);
	world_kill(&w, 2);
	world_until(&w, MS(2 * LEASE_MS), !w.procs[0].peer_up[2]);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_NODE_DOWN], 1);
	world_start(&w, 2);
	world_until(&w, MS(2 * LEASE_MS), w.procs[0].peer_up[2]);
	nodes = weir_tenure_nodes(w.procs[0].tenure, &count);
	assert_string_equal(nodes[1].id, "n3");
	assert_int_equal(nodes[1].incarnation, 2);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_NODE_UP], 3);
}

static void the_lease_runs_out_while_the_coordinator_is_away_and_comes_back(void **state)
{
	uint64_t until_ns;

	world_start(&w, 0);
	world_run(&w, MS(1000));
	w.procs[0].cut = true;
	world_run(&w, MS(200));
	until_ns = w.procs[0].lease_until_ns;
	world_run(&w, MS(5 * LEASE_MS));
	assert_int_equal(w.procs[0].lease_until_ns, until_ns);
	assert_true(w.now_ns > until_ns);
	w.procs[0].cut = false;
	assert_int_equal(w.procs[0].events[WEIR_EVENT_LEASE_SUSPENDED], 1);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_LEASE_RESUMED], 0);
	world_until(&w, MS(LEASE_MS), w.procs[0].lease_until_ns > w.now_ns);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_LEASE_SUSPENDED], 1);
	assert_int_equal(w.procs[0].events[WEIR_EVENT_LEASE_RESUMED], 1);
	assert_int_equal(weir_tenure_incarnation(w.procs[0].tenure), 1);
}

static void hints_make_at_most_one_renewal_wait_behind_the_one_in_flight(void **state)
{
	unsigned before;

	world_start(&w, 0);
	world_run(&w, MS(1010));
	before = w.procs[0].asked[WEIR_COORD_RENEW];
	for (unsigned i = 0; i < 100; i++)
		weir_tenure_hint(w.procs[0].tenure, w.now_ns);
	world_run(&w, MS(10));
	assert_in_range(w.procs[0].asked[WEIR_COORD_RENEW] - before, 2, 3);
}

static void a_fenced_node_ends_its_masterships_and_registers_anew(void **state)
{
	struct weir_node self = {.workers_count = 1, .buckets_count = WEIR_BUCKETS, .protocol = 1};
	const struct weir_coord_request other = {
		.kind = WEIR_COORD_REGISTER,
		.node = "n1",
		.lease_ms = 100,
		.self = &self,
	};
	struct weir_coord_answer answer;
	unsigned views;

	world_settled(&w, 2);
	w.procs[0].cut = true;
	world_run(&w, MS(LEASE_MS + 300));
	weir_coord_rules_apply(w.rules, &other, w.now_ns, &answer);
	assert_int_equal(answer.err, 0);
	views = seen(&w, 0, 0)->views;
	w.procs[0].cut = false;
	world_until(&w, MS(LEASE_MS), weir_tenure_incarnation(w.procs[0].tenure) != 1);
	assert_int_equal(w.procs[0].lease_until_ns, 0);
	assert_true(seen(&w, 0, 0)->views > views);
	assert_int_not_equal(seen(&w, 0, 0)->view.role, WEIR_ROLE_MASTER);
	world_until(&w, MS(2 * LEASE_MS), weir_tenure_incarnation(w.procs[0].tenure) == 3);
	world_until(&w, MS(3 * LEASE_MS), serves(&w, 0, 1) && is_insync(&w, 0, 0));
}

static unsigned many_peers;

static void many_peer(void *ctx, unsigned peer, const struct weir_node *node)
{
	many_peers++;
}

static void many_ignore(void *ctx, const struct weir_tenure_event *event)
{
}

static void many_lease(void *ctx, uint64_t until_ns)
{
}

static unsigned place_of(const struct weir_tenure *tenure, const char *id)
{
	unsigned count;
	const struct weir_node *nodes = weir_tenure_nodes(tenure, &count);

	for (unsigned i = 0; i < count; i++)
		if (strcmp(nodes[i].id, id) == 0)
			return i;
	return WEIR_NO_PEER;
}

/* The next renewal tells of these nodes. */
static void many_renewed(struct weir_tenure *tenure, const struct weir_node *many, unsigned count)
{
	struct weir_coord_answer answer = {
		.kind = WEIR_COORD_RENEW, .run = 1, .nodes = many, .nodes_count = count};

	weir_tenure_hint(tenure, w.now_ns);
	answer.ticket = second_asked.ticket;
	weir_tenure_answer(tenure, &answer, w.now_ns);
}

static void more_nodes_than_there_are_numbers_are_passed_over(void **state)
{
	const struct weir_tenure_ops ops = {
		.ask = second_ask, .peer = many_peer, .event = many_ignore, .lease = many_lease};
	struct weir_node many[WEIR_NODES_MAX + 4];
	struct weir_coord_answer answer = {.kind = WEIR_COORD_REGISTER, .incarnation = 1};
	struct weir_tenure_conf conf = w.conf;
	struct weir_tenure *tenure;
	unsigned count;

	memset(many, 0, sizeof(many));
	for (unsigned i = 0; i < WEIR_NODES_MAX + 4; i++) {
		many[i] = conf.self;
		many[i].id[0] = 'x';
		many[i].id[1] = (char)('0' + i);
		many[i].live = true;
		many[i].incarnation = 1;
		many[i].buckets_count = WEIR_BUCKETS;
	}
	strcpy(conf.self.id, "n1");
	tenure = weir_tenure_create(&conf, &ops, NULL, w.now_ns);
	weir_tenure_tick(tenure, w.now_ns);
	answer.ticket = second_asked.ticket;
	weir_tenure_answer(tenure, &answer, w.now_ns);
	assert_int_equal(second_asked.kind, WEIR_COORD_RENEW);
	answer = (struct weir_coord_answer){
		.kind = WEIR_COORD_RENEW,
		.ticket = second_asked.ticket,
		.run = 1,
		.nodes = many,
		.nodes_count = WEIR_NODES_MAX + 4,
	};
	weir_tenure_answer(tenure, &answer, w.now_ns);
	weir_tenure_nodes(tenure, &count);
	assert_int_equal(count, WEIR_NODES_MAX);
	assert_int_equal(many_peers, WEIR_NODES_MAX - 1);
	/* One goes, and goes on taking its place until it is forgotten. */
	many[5].live = false;
	many_renewed(tenure, many, WEIR_NODES_MAX + 1);
	assert_int_equal(place_of(tenure, many[WEIR_NODES_MAX - 1].id), WEIR_NO_PEER);
	many[5] = many[WEIR_NODES_MAX - 1];
	many_renewed(tenure, many, WEIR_NODES_MAX - 1);
	assert_int_equal(place_of(tenure, many[5].id), 6);
	assert_true(weir_tenure_nodes(tenure, &count)[6].live);
	assert_int_equal(count, WEIR_NODES_MAX);
	weir_tenure_destroy(tenure);
}

static int forget(unsigned node, const char *forgotten)
{
	weir_tenure_node_forget(w.procs[node].tenure, ++w.ticket, forgotten, w.now_ns);
	world_until(&w, MS(10000), w.reply_ticket == w.ticket);
	return w.reply_err;
}

static void a_node_is_forgotten_when_it_is_dead_and_no_record_names_it(void **state)
{
	char long_name[2 * WEIR_NODE_ID_MAX];

	memset(long_name, 'x', sizeof(long_name));
	long_name[sizeof(long_name) - 1] = '\0';
	world_settled(&w, 2);
	assert_int_equal(forget(0, "n2"), WEIR_EXISTS);
	assert_int_equal(forget(0, "n1"), WEIR_EXISTS);
	assert_int_equal(forget(0, "n3"), WEIR_NOTFOUND);
	assert_int_equal(forget(0, ""), WEIR_NOTFOUND);
	assert_int_equal(forget(0, long_name), WEIR_NOTFOUND);
	world_kill(&w, 1);
	assert_int_equal(forget(0, "n2"), WEIR_EXISTS);
	world_run(&w, MS(2 * LEASE_MS));
	assert_int_equal(forget(0, "n2"), WEIR_CONFLICT); /* it is a backup still */
	assert_int_equal(world_role(&w, 0, 0, 1, WEIR_ROLE_NONE), 0);
	assert_int_equal(forget(0, "n2"), 0);
	assert_int_equal(forget(0, "n2"), WEIR_NOTFOUND);
	world_run(&w, MS(LEASE_MS));
	assert_true(weir_tenure_nodes(w.procs[0].tenure, &(unsigned){0})[1].forgotten);
	/* Coming back it is another, and no copy of before. */
	world_start(&w, 1);
	world_until(&w, MS(2 * LEASE_MS), stored(&w, 0)->insync_count == 2);
	assert_int_equal(weir_tenure_incarnation(w.procs[1].tenure), 2);
	assert_false(weir_tenure_nodes(w.procs[0].tenure, &(unsigned){0})[1].forgotten);
}

/* Another node is faster: it makes a record that names the node that is to be forgotten. */
static bool record_comes_first(
	struct world *world, unsigned node, const struct weir_coord_request *request)
{
	struct weir_record record = {.backups_count = 1};
	struct weir_coord_request change = {.kind = WEIR_COORD_CHANGE,
		.node = "n1",
		.incarnation = 1,
		.record = &record,
		.new_term = true};
	struct weir_coord_answer answer;

	if (request->kind != WEIR_COORD_FORGET || world->filter_arg++ > 0)
		return false;
	strcpy(record.device, device_name(1));
	strcpy(record.backups[0], request->forgotten);
	weir_coord_rules_apply(world->rules, &change, world->now_ns, &answer);
	assert_int_equal(answer.err, 0);
	return false;
}

static void a_record_that_comes_between_keeps_a_node_from_being_forgotten(void **state)
{
	world_settled(&w, 2);
	world_start(&w, 4);
	world_run(&w, MS(100));
	assert_int_equal(weir_tenure_incarnation(w.procs[4].tenure), 1);
	world_kill(&w, 4);
	world_run(&w, MS(2 * LEASE_MS));
	assert_int_equal(world_role(&w, 0, 0, 4, WEIR_ROLE_NONE), 0);
	w.devices_count = 2;
	w.filter = record_comes_first;
	assert_int_equal(forget(0, "n5"), WEIR_CONFLICT);
	assert_int_equal(w.procs[0].asked[WEIR_COORD_FORGET], 1);
	assert_string_equal(stored(&w, 1)->backups[0], "n5");
}

static void one_node_is_forgotten_at_a_time(void **state)
{
	uint64_t first;

	world_settled(&w, 2);
	first = ++w.ticket;
	weir_tenure_node_forget(w.procs[0].tenure, first, "n3", w.now_ns);
	weir_tenure_node_forget(w.procs[0].tenure, ++w.ticket, "n4", w.now_ns);
	assert_int_equal(w.reply_ticket, w.ticket);
	assert_int_equal(w.reply_err, WEIR_BUSY);
	world_until(&w, MS(1000), w.reply_ticket == first);
	assert_int_equal(w.reply_err, WEIR_NOTFOUND);
}

static void forgetting_is_answered_without_a_coordinator_too(void **state)
{
	world_settled(&w, 2);
	w.procs[0].cut = true;
	assert_int_equal(forget(0, "n3"), WEIR_UNREACHABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		TEST(registers_and_holds_a_lease_shorter_than_the_coordinators),
		TEST(a_coordinator_that_is_absent_at_start_is_waited_for),
		TEST(a_second_process_of_a_living_name_is_refused),
		TEST(a_restart_waits_until_the_old_lease_has_run_out),
		TEST(a_registration_whose_answer_is_lost_is_not_taken_for_another_process),
		TEST(other_settings_than_the_clusters_are_refused),
		TEST(peers_keep_their_numbers_and_are_told_of_each_life),
		TEST(the_lease_runs_out_while_the_coordinator_is_away_and_comes_back),
		TEST(hints_make_at_most_one_renewal_wait_behind_the_one_in_flight),
		TEST(a_fenced_node_ends_its_masterships_and_registers_anew),
		TEST(more_nodes_than_there_are_numbers_are_passed_over),
		TEST(a_node_is_forgotten_when_it_is_dead_and_no_record_names_it),
		TEST(a_record_that_comes_between_keeps_a_node_from_being_forgotten),
		TEST(one_node_is_forgotten_at_a_time),
		TEST(forgetting_is_answered_without_a_coordinator_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
