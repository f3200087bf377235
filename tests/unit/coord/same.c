/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The rules in C and the scripts in a real Redis answer alike: a table of cases, random
 * sequences, leases that run out, and every limit. WEIR_SEED=n replays one random sequence.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/log.h"
#include "cases.h"
#include "client.h"
#include "coord/redis/redis.h"
#include "coord/solo/rules.h"
#include "coord/solo/solo.h"
#include "server.h"

/* One driver, with all that is behind it. */
struct subject {
	struct client client;
	struct weir_coord_rules *rules; /* solo */
	struct server server;           /* redis */
};

static void forget(struct subject *subject)
{
	if (subject->rules != NULL)
		weir_coord_rules_forget(subject->rules, 2);
	else
		server_do(&subject->server, "FLUSHALL");
}

static int solo_setup(void **state)
{
	struct subject *subject = test_calloc(1, sizeof(*subject));

	client_init(&subject->client);
	subject->rules = weir_coord_rules_create(1);
	subject->client.coord = weir_coord_solo_create(
		subject->client.base, subject->rules, &client_events, &subject->client);
	client_wait_bool(&subject->client, &subject->client.reachable, true);
	*state = subject;
	return 0;
}

static int redis_setup(void **state)
{
	struct subject *subject = test_calloc(1, sizeof(*subject));
	struct weir_coord_redis_conf conf = {
		.address = subject->server.socket, .cluster = "same", .timeout_ms = 20000};
	char wrong[128];

	server_prepare(&subject->server);
	server_start(&subject->server);
	client_init(&subject->client);
	subject->client.coord = weir_coord_redis_create(&conf, subject->client.base, &client_events,
		&subject->client, wrong, sizeof(wrong));
	client_wait_bool(&subject->client, &subject->client.reachable, true);
	*state = subject;
	return 0;
}

static int teardown(void **state)
{
	struct subject *subject = *state;

	client_clean(&subject->client);
	weir_coord_rules_destroy(subject->rules);
	if (subject->rules == NULL)
		server_clean(&subject->server);
	test_free(subject);
	return 0;
}

/* -------------------------------------------------------------------------------- cases --- */

static void case_run(struct subject *subject, const struct coord_case *one)
{
	forget(subject);
	for (const struct coord_step *step = one->steps; step->request != NULL; step++) {
		if (strcmp(step->request, "forget") == 0)
			forget(subject);
		else
			client_expect(&subject->client, step->request, step->answer);
	}
}

static void every_case_of_the_table_holds(void **state)
{
	for (unsigned i = 0; i < coord_cases_count; i++) {
		print_message("           %s\n", coord_cases[i].name);
		case_run(*state, &coord_cases[i]);
	}
}

/* ------------------------------------------------------------------------------- expiry --- */

/* Asks again until the answer is the expected one, or fails. @return ns it took */
static uint64_t until(struct client *client, const char *request, const char *expected)
{
	static char answer[CLIENT_TEXT_MAX];
	uint64_t begin_ns = weir_clock_ns();

	for (;;) {
		client_say(client, request, answer, sizeof(answer));
		if (strcmp(answer, expected) == 0)
			return weir_clock_ns() - begin_ns;
		if (weir_clock_ns() > begin_ns + CLIENT_DEADLINE_NS)
			assert_string_equal(answer, expected);
	}
}

static void a_name_is_granted_again_when_its_lease_has_run_out_not_before(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;
	struct client_request again;
	uint64_t begin_ns;

	forget(subject);
	begin_ns = weir_clock_ns();
	client_expect(client, "register n1 lease=1000", "OK incarnation=1");
	client_request_read(&again, "register n1");
	assert_int_equal(client_ask(client, &again.request)->err, WEIR_EXISTS);
	assert_in_range(client->answer.rest_ms, 1, 1000);
	until(client, "register n1", "OK incarnation=2");
	assert_true(weir_clock_ns() - begin_ns >= 999 * WEIR_NS_PER_MS);
	assert_true(weir_clock_ns() - begin_ns < CLIENT_DEADLINE_NS / 2);
}

static void renewal_puts_the_end_of_a_lease_off(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;
	uint64_t begin_ns;

	forget(subject);
	client_expect(client, "register n1 lease=600000", "OK incarnation=1");
	client_expect(client, "renew n1@1 lease=200", "OK revision=0 nodes=n1@1 records=");
	begin_ns = weir_clock_ns();
	until(client, "register n1", "OK incarnation=2");
	assert_true(weir_clock_ns() - begin_ns >= 100 * WEIR_NS_PER_MS);
}

static void others_see_a_lease_end_and_its_node_may_revive_it(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;

	forget(subject);
	client_expect(client, "register n1 lease=60 salt=77", "OK incarnation=1");
	client_expect(client, "register n2", "OK incarnation=1");
	until(client, "renew n2@1", "OK revision=0 nodes=n1@1/77-,n2@1 records=");
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1/77,n2@1 records=");
	client_expect(client, "register n1", "EXISTS");
}

/* ------------------------------------------------------------------------------- limits --- */

static void more_nodes_than_the_limit_are_refused(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;
	char request[64];

	forget(subject);
	for (unsigned i = 0; i < WEIR_NODES_MAX; i++) {
		snprintf(request, sizeof(request), "register n%u", i);
		client_expect(client, request, "OK incarnation=1");
	}
	client_expect(client, "register one-too-many", "BUSY");
	client_expect(client, "leave n7@1", "OK");
	client_expect(client, "register one-too-many", "BUSY");
	client_expect(client, "register n7", "OK incarnation=2");
	client_expect(client, "leave n7@2", "OK");
	client_expect(client, "forget n1@1 n7", "OK");
	client_expect(client, "register one-too-many", "OK incarnation=3");
	client_expect(client, "register n7", "BUSY");
}

/* Makes devices d0 ... without waiting for each. */
static void devices_make(struct client *client, unsigned count)
{
	char text[64];
	unsigned answers_count = client->answers_count;

	for (unsigned i = 0; i < count; i++) {
		struct client_request change;

		snprintf(text, sizeof(text), "change n1@1 d%u new master=n1@1", i);
		client_request_read(&change, text);
		client_send(client, &change.request);
		if (i % 1024 == 1023)
			client_wait_answers(client, answers_count + i - 1000);
	}
	client_wait_answers(client, answers_count + count);
	assert_int_equal(client->answer.err, 0);
	assert_int_equal(client->answer.records[0].revision, count);
}

/* Reads all records, page by page; each must be the next revision. @return pages */
static unsigned pages_read(struct client *client, unsigned count)
{
	struct client_request renew;
	unsigned pages_count = 0, records_count = 0;

	client_request_read(&renew, "renew n1@1");
	do {
		client_ask(client, &renew.request);
		assert_int_equal(client->answer.err, 0);
		assert_int_equal(client->answer.revision, count);
		for (unsigned i = 0; i < client->answer.records_count; i++)
			assert_int_equal(client->answer.records[i].revision, ++records_count);
		renew.request.since = records_count;
		pages_count++;
	} while (client->answer.more);
	assert_int_equal(records_count, count);
	return pages_count;
}

static void ten_thousand_records_come_in_pages(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;

	forget(subject);
	client_expect(client, "register n1", "OK incarnation=1");
	devices_make(client, WEIR_COORD_RECORDS_MAX);
	assert_int_equal(pages_read(client, WEIR_COORD_RECORDS_MAX), 1);
	forget(subject);
	client_expect(client, "register n1", "OK incarnation=1");
	devices_make(client, 10000);
	assert_int_equal(pages_read(client, 10000),
		(10000 + WEIR_COORD_RECORDS_MAX - 1) / WEIR_COORD_RECORDS_MAX);
}

static void more_devices_than_the_limit_are_refused(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;

	forget(subject);
	client_expect(client, "register n1", "OK incarnation=1");
	devices_make(client, WEIR_DEVICES_MAX);
	client_expect(client, "change n1@1 one-too-many new master=n1@1", "ERR");
	client_expect(client, "change n1@1 d3 expect=4 new master=n1@1", "OK d3:2:0:16385:n1@1::");
	client_expect(client, "renew n1@1 since=16384",
		"OK revision=16385 nodes=n1@1 records=d3:2:0:16385:n1@1::");
	forget(subject);
}

/* -------------------------------------------------------------------------------- names --- */

static void names_may_hold_every_printable_byte(void **state)
{
	struct subject *subject = *state;
	struct client *client = &subject->client;
	const char *const odd[] = {"a,b=c@d:%s\"\\'}", "{}[]*?", "@", "@@7", "1", "\xc3\xbc\xff",
		"--", "${x}`y`;#", "nodes", "0123456789012345678901234567890"};
	struct client_request ask;
	struct weir_record record;

	for (unsigned i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		forget(subject);
		client_request_read(&ask, "register x");
		ask.request.node = odd[i];
		assert_int_equal(client_ask(client, &ask.request)->incarnation, 1);
		client_request_read(&ask, "change x@1 x new");
		ask.request.node = odd[i];
		memset(&record, 0, sizeof(record));
		strcpy(record.device, odd[i]);
		strcpy(record.master.node, odd[i]);
		record.backups_count = record.insync_count = 2;
		record.insync[1].incarnation = 12;
		for (unsigned j = 0; j < 2; j++) {
			strcpy(record.backups[j], odd[i]);
			strcpy(record.insync[j].node, odd[i]);
		}
		ask.request.record = &record;
		assert_int_equal(client_ask(client, &ask.request)->err, 0);
		client_request_read(&ask, "renew x@1");
		ask.request.node = odd[i];
		client_ask(client, &ask.request);
		assert_int_equal(client->answer.err, 0);
		assert_string_equal(client->answer.nodes[0].id, odd[i]);
		assert_string_equal(client->answer.nodes[0].socket, "/run/a weir/x.sock");
		record.term = record.revision = 1;
		assert_memory_equal(&client->answer.records[0], &record, sizeof(record));
	}
}

static void refused(struct client *client, enum weir_coord_kind kind, const char *node,
	const struct weir_node *self, const struct weir_record *record)
{
	struct weir_coord_request ask = {.kind = kind,
		.node = node,
		.incarnation = 1,
		.lease_ms = 1000,
		.self = self,
		.record = record,
		.new_term = true};

	assert_int_equal(client_ask(client, &ask)->err, WEIR_ERR);
}

static void record_refused(struct client *client, const struct weir_record *record)
{
	refused(client, WEIR_COORD_CHANGE, "n1", NULL, record);
}

static void names_that_are_none_are_refused_wherever_they_stand(void **state)
{
	struct client *client = &((struct subject *)*state)->client;
	const char *const names[] = {"", " ", "a b", "a\n", "\x7f", "\x01", NULL,
		"a-name-that-is-longer-than-a-node-may-have"};
	const struct weir_node self = client_self("n1", 0);
	const struct weir_record good = {.device = "d1"};
	struct weir_record record;

	forget(*state);
	client_expect(client, "register n1", "OK incarnation=1");
	for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		refused(client, WEIR_COORD_RENEW, names[i], NULL, NULL);
		refused(client, WEIR_COORD_LEAVE, names[i], NULL, NULL);
		refused(client, WEIR_COORD_REGISTER, names[i], &self, NULL);
		refused(client, WEIR_COORD_CHANGE, names[i], NULL, &good);
	}
	for (unsigned i = 0; names[i] != NULL; i++) {
		record = good;
		strcpy(record.device, names[i]);
		record_refused(client, &record);
		record = good;
		record.backups_count = 1;
		strcpy(record.backups[0], names[i]);
		record_refused(client, &record);
		record = good;
		record.insync_count = 1;
		strcpy(record.insync[0].node, names[i]);
		record_refused(client, &record);
		record = good;
		strcpy(record.master.node, names[i]);
		record.master.incarnation = 1; /* nobody has no incarnation */
		record_refused(client, &record);
	}
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
}

static void requests_that_make_no_sense_are_refused_and_change_nothing(void **state)
{
	struct client *client = &((struct subject *)*state)->client;
	const struct weir_record good = {.device = "d1"};
	struct weir_node endless = client_self("n2", 0);
	struct weir_record record = good;

	forget(*state);
	client_expect(client, "register n1", "OK incarnation=1");
	refused(client, (enum weir_coord_kind)17, "n1", NULL, NULL);
	refused(client, WEIR_COORD_REGISTER, "n2", NULL, NULL);
	memset(endless.socket, 'x', sizeof(endless.socket));
	refused(client, WEIR_COORD_REGISTER, "n2", &endless, NULL);
	record_refused(client, NULL);
	memset(record.device, 'x', sizeof(record.device));
	record_refused(client, &record);
	record = good;
	record.backups_count = WEIR_BACKUPS_MAX + 1;
	record_refused(client, &record);
	record = good;
	record.insync_count = WEIR_COPIES_MAX + 1;
	record_refused(client, &record);
	record = good;
	strcpy(record.master.node, "n1");
	record.master.incarnation = UINT64_MAX;
	record_refused(client, &record);
	client_expect(client, "renew n1@1", "OK revision=0 nodes=n1@1 records=");
}

/* ------------------------------------------------------------------------------- random --- */

#define RANDOM_NODES   4
#define RANDOM_DEVICES 5
#define RANDOM_STEPS   400
#define RANDOM_SEEDS   25

/* What the sequence's author remembers, so that many of its requests are granted. */
struct author {
	uint64_t random;
	uint64_t incarnations[RANDOM_NODES];
	bool fenced[RANDOM_NODES];
	struct weir_record records[RANDOM_DEVICES];
};

static uint64_t draw(struct author *author, uint64_t below)
{
	author->random ^= author->random << 13;
	author->random ^= author->random >> 7;
	author->random ^= author->random << 17;
	return author->random % below;
}

/* Mostly the number, at times one beside it. */
static uint64_t about(struct author *author, uint64_t number)
{
	switch (draw(author, 24)) {
	case 0:
		return number + 1;
	case 1:
		return number > 0 ? number - 1 : 0;
	default:
		return number;
	}
}

static size_t list_write(struct author *author, char *text, size_t size, bool insync)
{
	size_t used = 0;
	unsigned count = (unsigned)draw(author, 4);

	for (unsigned i = 0; i < count; i++) {
		unsigned node = (unsigned)draw(author, RANDOM_NODES);

		used += (size_t)snprintf(text + used, size - used, "%s%sn%u",
			i > 0 ? "," : (insync ? " insync=" : " backups="), "", node);
		if (insync)
			used += (size_t)snprintf(
				text + used, size - used, "@%" PRIu64, author->incarnations[node]);
	}
	return used;
}

static void change_write(struct author *author, char *text, size_t size, unsigned node)
{
	unsigned device = (unsigned)draw(author, RANDOM_DEVICES);
	const struct weir_record *record = &author->records[device];
	bool new_term = record->revision == 0 || draw(author, 3) == 0;
	uint64_t term = about(author, record->term);
	uint64_t active = draw(author, 2) == 0 ? record->active : about(author, record->term);
	size_t used = (size_t)snprintf(text, size,
		"change n%u@%" PRIu64 " d%u expect=%" PRIu64 "%s term=%" PRIu64 " active=%" PRIu64,
		node, about(author, author->incarnations[node]), device,
		about(author, record->revision), new_term ? " new" : "", term, active);

	if (draw(author, 2) == 0)
		used += (size_t)snprintf(text + used, size - used,
			" seen_term=%" PRIu64 " seen_revision=%" PRIu64,
			about(author, record->term), about(author, record->revision + 2));
	if (draw(author, 8) != 0)
		used += (size_t)snprintf(text + used, size - used, " master=n%u@%" PRIu64, node,
			author->incarnations[node]);
	used += list_write(author, text + used, size - used, false);
	list_write(author, text + used, size - used, true);
}

static void request_write(struct author *author, char *text, size_t size)
{
	unsigned node = (unsigned)draw(author, RANDOM_NODES);
	uint64_t incarnation = author->incarnations[node];

	switch (author->fenced[node] ? 0 : draw(author, 12)) {
	case 0:
		snprintf(text, size, "register n%u salt=%u seen=%" PRIu64, node,
			(unsigned)draw(author, 300), about(author, incarnation));
		break;
	case 1:
		snprintf(text, size, "leave n%u@%" PRIu64, node, about(author, incarnation));
		break;
	case 2:
	case 3:
		snprintf(text, size, "renew n%u@%" PRIu64 " since=%" PRIu64, node,
			about(author, incarnation),
			author->records[draw(author, RANDOM_DEVICES)].revision);
		break;
	default:
		change_write(author, text, size, node);
	}
}

/* Takes note of an answer. */
static void author_learn(
	struct author *author, const struct client_request *asked, const struct client *client)
{
	const struct weir_coord_answer *answer = &client->answer;
	unsigned node = (unsigned)atoi(asked->node + 1);
	struct weir_record *record;

	author->fenced[node] = answer->err == WEIR_FENCED;
	if (answer->kind == WEIR_COORD_REGISTER && answer->err == 0)
		author->incarnations[node] = answer->incarnation;
	if (answer->kind != WEIR_COORD_CHANGE)
		return;
	record = &author->records[atoi(asked->record.device + 1)];
	if (answer->records_count == 1)
		*record = answer->records[0];
	else if (answer->err == WEIR_CONFLICT)
		record->revision = 0;
}

static unsigned sequence_run(struct subject *solo, struct subject *redis, uint64_t seed)
{
	static char answers[2][CLIENT_TEXT_MAX];
	struct author author = {.random = seed * 0x9e3779b97f4a7c15u + 1};
	char text[1024];
	unsigned granted = 0;

	forget(solo);
	forget(redis);
	for (unsigned i = 0; i < RANDOM_STEPS; i++) {
		struct client_request asked;

		request_write(&author, text, sizeof(text));
		if (draw(&author, 300) == 0) {
			forget(solo);
			forget(redis);
		}
		client_request_read(&asked, text);
		client_ask(&solo->client, &asked.request);
		client_ask(&redis->client, &asked.request);
		client_answer_print(&solo->client, answers[0], CLIENT_TEXT_MAX);
		client_answer_print(&redis->client, answers[1], CLIENT_TEXT_MAX);
		if (strcmp(answers[0], answers[1]) != 0)
			print_error("WEIR_SEED=%" PRIu64 " step %u: %s\n", seed, i, text);
		assert_string_equal(answers[0], answers[1]);
		author_learn(&author, &asked, &solo->client);
		granted += solo->client.answer.err == 0;
	}
	return granted;
}

/* Both know the same in the end: a node of a new name reads all. */
static void state_compare(struct subject *solo, struct subject *redis)
{
	static char answers[2][CLIENT_TEXT_MAX];

	client_expect(&solo->client, "register reader", "OK incarnation=1");
	client_expect(&redis->client, "register reader", "OK incarnation=1");
	client_say(&solo->client, "renew reader@1", answers[0], CLIENT_TEXT_MAX);
	client_say(&redis->client, "renew reader@1", answers[1], CLIENT_TEXT_MAX);
	assert_string_equal(answers[0], answers[1]);
}

static void random_sequences_are_answered_alike(void **state)
{
	struct subject *solo, *redis = *state;
	const char *given = getenv("WEIR_SEED");
	uint64_t first = given != NULL ? strtoull(given, NULL, 10) : weir_clock_wall_ns() / 1000;
	unsigned seeds_count = given != NULL ? 1 : RANDOM_SEEDS, granted = 0;

	solo_setup((void **)&solo);
	print_message(
		"           WEIR_SEED=%" PRIu64 " and the %u after it\n", first, seeds_count - 1);
	for (unsigned i = 0; i < seeds_count; i++) {
		granted += sequence_run(solo, redis, first + i);
		state_compare(solo, redis);
	}
	print_message(
		"           %u of %u requests granted\n", granted, seeds_count * RANDOM_STEPS);
	assert_true(given != NULL || granted > seeds_count * RANDOM_STEPS / 5);
	teardown((void **)&solo);
}

static const struct CMUnitTest same_tests[] = {
	cmocka_unit_test(every_case_of_the_table_holds),
	cmocka_unit_test(a_name_is_granted_again_when_its_lease_has_run_out_not_before),
	cmocka_unit_test(renewal_puts_the_end_of_a_lease_off),
	cmocka_unit_test(others_see_a_lease_end_and_its_node_may_revive_it),
	cmocka_unit_test(more_nodes_than_the_limit_are_refused),
	cmocka_unit_test(ten_thousand_records_come_in_pages),
	cmocka_unit_test(more_devices_than_the_limit_are_refused),
	cmocka_unit_test(names_may_hold_every_printable_byte),
	cmocka_unit_test(names_that_are_none_are_refused_wherever_they_stand),
	cmocka_unit_test(requests_that_make_no_sense_are_refused_and_change_nothing),
};

static const struct CMUnitTest random_tests[] = {
	cmocka_unit_test(random_sequences_are_answered_alike),
};

static void silence(enum weir_log_room room, enum weir_log_level level, const char *line)
{
}

int main(void)
{
	weir_log_sink_set(silence);
	return cmocka_run_group_tests_name("solo", same_tests, solo_setup, teardown) +
	       cmocka_run_group_tests_name("redis", same_tests, redis_setup, teardown) +
	       cmocka_run_group_tests_name("random", random_tests, redis_setup, teardown);
}
