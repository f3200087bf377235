/* SPDX-License-Identifier: BSD-3-Clause */
/* What the rules alone can do: time as an argument, forgetting, clones. And the solo driver. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "client.h"
#include "coord/solo/rules.h"
#include "coord/solo/solo.h"

#define MS WEIR_NS_PER_MS

static struct weir_coord_answer at(
	struct weir_coord_rules *rules, uint64_t now_ms, const char *text)
{
	struct weir_coord_answer answer;
	struct client_request asked;

	client_request_read(&asked, text);
	asked.request.ticket = now_ms + 7;
	weir_coord_rules_apply(rules, &asked.request, now_ms * MS, &answer);
	assert_int_equal(answer.ticket, now_ms + 7);
	assert_int_equal(answer.kind, asked.request.kind);
	return answer;
}

static void a_lease_is_valid_to_its_last_instant(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1);

	assert_int_equal(at(rules, 1000, "register n1 lease=100").err, 0);
	assert_int_equal(at(rules, 1000, "register n1").rest_ms, 100);
	assert_int_equal(at(rules, 1099, "register n1").rest_ms, 1);
	assert_int_equal(at(rules, 1100, "register n1 lease=100").incarnation, 2);
	assert_int_equal(at(rules, 1150, "renew n1@2 lease=100").err, 0);
	assert_int_equal(at(rules, 1249, "register n1").err, WEIR_EXISTS);
	assert_false(at(rules, 1300, "register n2").err);
	assert_false(at(rules, 1300, "renew n2@1").nodes[0].live);
	assert_true(at(rules, 1400, "renew n1@2 lease=100").nodes[0].live);
	weir_coord_rules_destroy(rules);
}

static void a_renewal_tells_when_the_first_lease_of_a_live_node_ends(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1);

	at(rules, 1000, "register n1 lease=300");
	assert_int_equal(at(rules, 1000, "renew n1@1 lease=300").expiry_ms, 300);
	at(rules, 1000, "register n2 lease=100");
	assert_int_equal(at(rules, 1040, "renew n1@1 lease=300").expiry_ms, 60);
	assert_int_equal(at(rules, 1099, "renew n1@1 lease=300").expiry_ms, 1);
	assert_int_equal(at(rules, 1100, "renew n1@1 lease=300").expiry_ms, 300);
	weir_coord_rules_destroy(rules);
}

static void the_next_expiry_is_told(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1);

	assert_true(weir_coord_rules_expiry(rules, 0) == UINT64_MAX);
	at(rules, 1000, "register n1 lease=300");
	at(rules, 1000, "register n2 lease=100");
	assert_int_equal(weir_coord_rules_expiry(rules, 1000 * MS), 1100 * MS);
	assert_int_equal(weir_coord_rules_expiry(rules, 1100 * MS), 1300 * MS);
	at(rules, 1100, "leave n1@1");
	assert_true(weir_coord_rules_expiry(rules, 1100 * MS) == UINT64_MAX);
	weir_coord_rules_destroy(rules);
}

static void a_clone_goes_its_own_way(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1), *older;

	at(rules, 0, "register n1");
	at(rules, 0, "change n1@1 d1 new master=n1@1");
	older = weir_coord_rules_clone(rules);
	weir_coord_rules_run_set(older, 2);
	at(rules, 1, "change n1@1 d1 expect=1 new master=n1@1");
	at(rules, 1, "change n1@1 d2 new master=n1@1");
	assert_int_equal(weir_coord_rules_record(rules, "d1")->term, 2);
	assert_int_equal(weir_coord_rules_record(rules, "d2")->revision, 3);
	assert_int_equal(weir_coord_rules_record(older, "d1")->term, 1);
	assert_null(weir_coord_rules_record(older, "d2"));
	weir_coord_rules_destroy(rules);
	assert_int_equal(at(older, 2, "renew n1@1").run, 2);
	assert_int_equal(at(older, 2, "renew n1@1").revision, 1);
	assert_int_equal(at(older, 2, "register n1").err, WEIR_EXISTS);
	weir_coord_rules_destroy(older);
}

static void an_empty_clone_works(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1);
	struct weir_coord_rules *clone = weir_coord_rules_clone(rules);

	assert_null(weir_coord_rules_record(clone, "d1"));
	at(clone, 0, "register n1");
	assert_int_equal(at(clone, 0, "change n1@1 d1 new").records_count, 1);
	weir_coord_rules_destroy(clone);
	weir_coord_rules_destroy(rules);
	weir_coord_rules_destroy(NULL);
}

static void forgetting_leaves_nothing(void **state)
{
	struct weir_coord_rules *rules = weir_coord_rules_create(1);

	at(rules, 0, "register n1");
	at(rules, 0, "change n1@1 d1 new seen_revision=50 master=n1@1");
	assert_int_equal(at(rules, 0, "renew n1@1").run, 1);
	weir_coord_rules_forget(rules, 9);
	assert_null(weir_coord_rules_record(rules, "d1"));
	assert_int_equal(at(rules, 1, "renew n1@1").err, WEIR_FENCED);
	assert_int_equal(at(rules, 1, "register n1").run, 9);
	assert_int_equal(at(rules, 1, "renew n1@1").revision, 0);
	weir_coord_rules_destroy(rules);
}

/* ---------------------------------------------------------------------------------- solo --- */

static void solo_answers_in_order_from_the_loop_never_from_ask(void **state)
{
	struct client client;
	struct client_request renew;

	client_init(&client);
	client.coord = weir_coord_solo_create(client.base, NULL, &client_events, &client);
	assert_int_equal(client.reaches_count, 0);
	client_expect(&client, "register n1", "OK incarnation=1");
	assert_true(client.reachable);
	client_request_read(&renew, "renew n1@1");
	for (unsigned i = 0; i < 10; i++)
		client_send(&client, &renew.request);
	assert_int_equal(client.answers_count, 1);
	client_wait_answers(&client, 11);
	assert_int_equal(client.answer.ticket, renew.request.ticket);
	client_clean(&client);
}

static void solo_copies_what_a_request_points_to(void **state)
{
	struct client client;
	struct client_request asked;

	client_init(&client);
	client.coord = weir_coord_solo_create(client.base, NULL, &client_events, &client);
	client_request_read(&asked, "register n1 salt=8");
	client_send(&client, &asked.request);
	memset(&asked, 0xee, sizeof(asked));
	client_request_read(&asked, "change n1@1 d1 new master=n1@1 backups=n2");
	client_send(&client, &asked.request);
	memset(&asked, 0xee, sizeof(asked));
	client_wait_answers(&client, 2);
	client_expect(
		&client, "renew n1@1", "OK revision=1 nodes=n1@1/8 records=d1:1:0:1:n1@1:n2:");
	client_clean(&client);
}

static void solo_may_be_destroyed_with_requests_under_way(void **state)
{
	struct client client;
	struct client_request asked;

	client_init(&client);
	client.coord = weir_coord_solo_create(client.base, NULL, &client_events, &client);
	client_request_read(&asked, "register n1");
	client_send(&client, &asked.request);
	client.coord->driver->destroy(client.coord);
	client.coord = NULL;
	client_run_ms(&client, 30);
	assert_int_equal(client.answers_count, 0);
	client_clean(&client);
}

static void silence(enum weir_log_room room, enum weir_log_level level, const char *line)
{
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lease_is_valid_to_its_last_instant),
		cmocka_unit_test(a_renewal_tells_when_the_first_lease_of_a_live_node_ends),
		cmocka_unit_test(the_next_expiry_is_told),
		cmocka_unit_test(a_clone_goes_its_own_way),
		cmocka_unit_test(an_empty_clone_works),
		cmocka_unit_test(forgetting_leaves_nothing),
		cmocka_unit_test(solo_answers_in_order_from_the_loop_never_from_ask),
		cmocka_unit_test(solo_copies_what_a_request_points_to),
		cmocka_unit_test(solo_may_be_destroyed_with_requests_under_way),
	};

	weir_log_sink_set(silence);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
