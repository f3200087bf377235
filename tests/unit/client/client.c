/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "client/session.h"
#include "server.h"

#define FLOWS_MAX 4096

/* What became of each flow; its number is the cookie. */
struct outcome {
	unsigned answers[FLOWS_MAX];
	int err[FLOWS_MAX];
	char text[128]; /* of the last error */
};

static void on_done(void *ctx, uint64_t cookie, int err, const char *text, size_t len)
{
	struct outcome *outcome = ctx;

	outcome->answers[cookie]++;
	outcome->err[cookie] = err;
	if (err != 0)
		snprintf(outcome->text, sizeof(outcome->text), "%.*s", (int)len, text);
}

static struct weir_session *session_open(
	const char *sockets, unsigned pipeline, uint32_t timeout_ms)
{
	struct weir_client_conf conf = {.sockets = sockets,
		.pipeline = pipeline,
		.timeout_ms = timeout_ms,
		.connect_timeout_ms = 200};
	struct weir_session *session = weir_client_open(&conf);

	assert_non_null(session);
	return session;
}

static int flows_send(
	struct weir_session *session, struct outcome *outcome, unsigned first, unsigned count)
{
	int err = 0;

	for (unsigned i = first; i < first + count && err == 0; i++) {
		char flow[32];
		int len = snprintf(flow, sizeof(flow), "cookie=%u,actions=", i);

		err = weir_client_flow(
			session, "d1", "FLOW.ADD", flow, (size_t)len, i, on_done, outcome);
	}
	return err;
}

static void all_answered_once(const struct outcome *outcome, unsigned count, int err)
{
	for (unsigned i = 0; i < count; i++) {
		assert_int_equal(outcome->answers[i], 1);
		assert_int_equal(outcome->err[i], err);
	}
}

/* --------------------------------------------------------------------------------- scripts --- */

/* What the scripts share; each test sets what it needs. */
struct script {
	struct server *other;
	atomic_uint limit;  /* flows answered before the fault */
	atomic_uint faults; /* how often the fault happens */
	const char *error;  /* the fault, as an answer */
	unsigned order[2 * FLOWS_MAX];
	atomic_uint order_count; /* flows answered OK, in their order */
};

static unsigned flow_number(const struct weir_words *words)
{
	unsigned number = FLOWS_MAX;

	sscanf(words->word[2].at, "cookie=%u", &number);
	return number;
}

static bool usual(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;

	if (server_is_flow(words) && script->order_count < 2 * FLOWS_MAX)
		script->order[script->order_count++] = flow_number(words);
	return server_usual(server, words, out);
}

/* Whether it is time for the script's fault. */
static bool fault_due(const struct script *script, const struct weir_words *words)
{
	return server_is_flow(words) && script->faults > 0 && script->order_count >= script->limit;
}

/* Answers an error, `faults` times after `limit` good answers. */
static bool faulty(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;

	if (!fault_due(script, words))
		return usual(server, words, out);
	script->faults--;
	weir_reply_raw(out, script->error, strlen(script->error));
	return true;
}

/* Reads on and closes, `faults` times; the answers given so far in this go do leave. */
static bool closes(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;

	if (!fault_due(script, words))
		return usual(server, words, out);
	script->faults--;
	return false;
}

static bool dies(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;

	if (server_is_flow(words) && script->order_count >= script->limit) {
		server_die(server);
		script->other->term = 2;
		script->other->master = script->other;
		return false;
	}
	return usual(server, words, out);
}

/* Stops answering anything at all. */
static bool stopped(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;

	return script->order_count >= script->limit || usual(server, words, out);
}

static bool silent(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	return server_is_flow(words) || server_usual(server, words, out);
}

static bool not_master(
	struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;
	char text[200];

	if (!server_is_flow(words))
		return server_usual(server, words, out);
	snprintf(text, sizeof(text), "-NOTMASTER n2 %s another node is master\r\n",
		script->other->socket);
	weir_reply_raw(out, text, strlen(text));
	return true;
}

static bool nodevice(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	if (!server_is_flow(words) && !weir_word_is(&words->word[0], "MASTER.GET"))
		return server_usual(server, words, out);
	weir_reply_raw(out, "-NODEVICE no such device: d1\r\n", 30);
	return true;
}

/* -------------------------------------------------------------------------------- pipeline --- */

static void flows_are_acknowledged(void **state)
{
	struct script script = {0};
	struct server *a = server_start("a", usual, &script);
	struct outcome outcome = {0};
	struct weir_client_stats stats;
	struct weir_session *session = session_open(a->socket, 64, 5000);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 4000), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 4000, 0);
	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(script.order[i], i);
	weir_client_stats(session, &stats);
	assert_int_equal(stats.requests, 4000);
	assert_int_equal(stats.answers_ok, 4000);
	assert_int_equal(stats.resent, 0);
	assert_int_equal(stats.failovers, 0);
	assert_true(stats.longest_stall_ns > 0);
	weir_client_close(session);
	server_stop(a);
}

static void answers_may_come_in_single_bytes(void **state)
{
	struct server *a = server_start("a", server_usual, NULL);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 16, 5000);

	a->master = a;
	a->slow = true;
	assert_int_equal(flows_send(session, &outcome, 0, 500), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 500, 0);
	weir_client_close(session);
	server_stop(a);
}

static void not_master_is_followed(void **state)
{
	struct script script = {0}, other = {0};
	struct server *a = server_start("a", not_master, &script);
	struct server *b = server_start("b", usual, &other);
	struct outcome outcome = {0};
	struct weir_client_stats stats;
	struct weir_session *session = session_open(a->socket, 100, 5000);

	script.other = b;
	a->master = a;
	b->master = b;
	assert_int_equal(flows_send(session, &outcome, 0, 1000), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 1000, 0);
	assert_int_equal(b->flows, 1000);
	weir_client_stats(session, &stats);
	assert_int_equal(stats.failovers, 1);
	assert_true(stats.resent > 0 && stats.resent == a->flows);
	weir_client_close(session);
	server_stop(a);
	server_stop(b);
}

static void death_of_the_master_loses_and_doubles_no_answer(void **state)
{
	struct script dying = {.limit = 500}, living = {0};
	struct server *a = server_start("a", dies, &dying);
	struct server *b = server_start("b", usual, &living);
	struct outcome outcome = {0};
	struct weir_client_stats stats;
	struct weir_session *session = session_open(a->socket, 200, 5000);

	a->master = a;
	a->peer = b; /* b is learned from a */
	b->master = a;
	dying.other = b;
	assert_int_equal(flows_send(session, &outcome, 0, 2000), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 2000, 0);
	weir_client_stats(session, &stats);
	assert_int_equal(stats.failovers, 1);
	assert_int_equal(stats.answers_ok, 2000);
	/* What is sent again is sent in its order, before anything newer. */
	for (unsigned i = 1; i < living.order_count; i++)
		assert_int_equal(living.order[i], living.order[i - 1] + 1);
	assert_int_equal(living.order[living.order_count - 1], 1999);
	weir_client_close(session);
	server_stop(a);
	server_stop(b);
}

static void connection_closed_after_reading_is_made_again(void **state)
{
	struct script script = {.limit = 300, .faults = 3};
	struct server *a = server_start("a", closes, &script);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 64, 5000);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 1000), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 1000, 0);
	assert_int_equal(script.faults, 0);
	weir_client_close(session);
	server_stop(a);
}

static void error_in_the_middle_is_one_flows_error(void **state)
{
	struct script script = {
		.limit = 50, .faults = 1, .error = "-BADFLOW column 3: no such field\r\n"};
	struct server *a = server_start("a", faulty, &script);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 64, 5000);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 100), 0);
	assert_int_equal(weir_client_drain(session), 0);
	for (unsigned i = 0; i < 100; i++) {
		assert_int_equal(outcome.answers[i], 1);
		assert_int_equal(outcome.err[i], i == 50 ? WEIR_BADFLOW : 0);
	}
	assert_string_equal(outcome.text, "BADFLOW column 3: no such field");
	weir_client_close(session);
	server_stop(a);
}

static void errors_that_may_pass_are_tried_again(void **state)
{
	static const char *const errors[] = {"-BUSY x\r\n", "-FENCED x\r\n", "-TIMEOUT x\r\n",
		"-UNKNOWN x\r\n", "-NOTMASTER - - x\r\n", "-NODEVICE x\r\n"};

	for (unsigned e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		struct script script = {.limit = 20, .faults = 100, .error = errors[e]};
		struct server *a = server_start("a", faulty, &script);
		struct outcome outcome = {0};
		struct weir_session *session = session_open(a->socket, 32, 5000);

		a->master = a;
		assert_int_equal(flows_send(session, &outcome, 0, 20), 0);
		assert_int_equal(
			weir_client_drain(session), 0); /* NODEVICE passes where it served */
		assert_int_equal(flows_send(session, &outcome, 20, 180), 0);
		assert_int_equal(weir_client_drain(session), 0);
		all_answered_once(&outcome, 200, 0);
		assert_int_equal(script.order_count, 200);
		weir_client_close(session);
		server_stop(a);
	}
}

/* Refuses every other flow of 20 to 27, once each. */
static bool refuses(struct server *server, const struct weir_words *words, struct weir_reply *out)
{
	struct script *script = server->ctx;
	unsigned number = server_is_flow(words) ? flow_number(words) : 0;

	if (number < 20 || number > 27 || number % 2 == 1 || (script->faults >> (number - 20) & 1))
		return usual(server, words, out);
	script->faults |= 1U << (number - 20);
	weir_reply_raw(out, "-BUSY x\r\n", 9);
	return true;
}

static void refused_flows_are_sent_again_before_newer_ones(void **state)
{
	struct script script = {0};
	struct server *a = server_start("a", refuses, &script);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 8, 5000);
	unsigned place[40] = {0};

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 20), 0);
	assert_int_equal(weir_client_drain(session), 0);
	/* Longer than the first pause before a flow is sent again. */
	a->delay_ms = 2 * WEIR_CLIENT_BACKOFF_MAX_MS;
	assert_int_equal(flows_send(session, &outcome, 20, 20), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 40, 0);
	assert_int_equal(script.order_count, 40);
	for (unsigned i = 0; i < 40; i++)
		place[script.order[i]] = i;
	/* 28 found room while 22 and its like were being refused, and had to wait for them. */
	for (unsigned i = 20; i < 28; i++)
		assert_true(place[i] < place[28]);
	weir_client_close(session);
	server_stop(a);
}

static void error_that_does_not_pass_is_told_at_the_deadline(void **state)
{
	static const struct {
		const char *error;
		int err;
	} cases[] = {{"-BUSY x\r\n", WEIR_BUSY}, {"-UNKNOWN x\r\n", WEIR_UNKNOWN}};

	for (unsigned i = 0; i < 2; i++) {
		struct script script = {.faults = 1000000, .error = cases[i].error};
		struct server *a = server_start("a", faulty, &script);
		struct outcome outcome = {0};
		struct weir_session *session = session_open(a->socket, 32, 300);
		uint64_t begun_ns = weir_clock_ns();

		a->master = a;
		assert_int_equal(flows_send(session, &outcome, 0, 10), 0);
		assert_int_equal(weir_client_drain(session), WEIR_UNREACHABLE);
		assert_true(weir_clock_ns() - begun_ns >= 300 * WEIR_NS_PER_MS);
		all_answered_once(&outcome, 10, cases[i].err);
		weir_client_close(session);
		server_stop(a);
	}
}

static void nobody_answers_is_told_at_the_deadline(void **state)
{
	struct outcome outcome = {0};
	struct weir_session *session =
		session_open("/tmp/weir-client-test-none,/tmp/weir-client-test-neither", 8, 300);
	uint64_t begun_ns = weir_clock_ns(), spent_ns;

	assert_int_equal(flows_send(session, &outcome, 0, 8), 0);
	/* The ninth finds no room until the deadline, and is not taken. */
	assert_int_equal(flows_send(session, &outcome, 8, 1), WEIR_UNREACHABLE);
	spent_ns = weir_clock_ns() - begun_ns;
	assert_true(spent_ns >= 300 * WEIR_NS_PER_MS && spent_ns < 5 * WEIR_NS_PER_S);
	all_answered_once(&outcome, 8, WEIR_UNREACHABLE);
	assert_int_equal(outcome.answers[8], 0);
	assert_int_equal(weir_client_drain(session), 0);
	assert_non_null(strstr(weir_client_error(session), "/tmp/weir-client-test-"));
	weir_client_close(session);
}

static void silence_is_unknown_at_the_deadline(void **state)
{
	struct server *a = server_start("a", silent, NULL);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 32, 600);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 10), 0);
	assert_int_equal(weir_client_drain(session), WEIR_UNREACHABLE);
	all_answered_once(&outcome, 10, WEIR_UNKNOWN);
	weir_client_close(session);
	server_stop(a);
}

static void stopped_master_is_left_for_the_new_one(void **state)
{
	struct script script = {.limit = 100}, other = {0};
	struct server *a = server_start("a", stopped, &script);
	struct server *b = server_start("b", usual, &other);
	struct outcome outcome = {0};
	struct weir_client_stats stats;
	struct weir_session *session;
	char sockets[200];

	snprintf(sockets, sizeof(sockets), "%s,%s", a->socket, b->socket);
	session = session_open(sockets, 64, 10000);
	a->master = a;
	b->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 50), 0);
	assert_int_equal(weir_client_drain(session), 0);
	b->master = b;
	b->term = 2;
	assert_int_equal(flows_send(session, &outcome, 50, 500), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 550, 0);
	weir_client_stats(session, &stats);
	assert_int_equal(stats.failovers, 1);
	assert_true(stats.longest_stall_ns >= WEIR_CLIENT_SILENCE_MS * WEIR_NS_PER_MS);
	weir_client_close(session);
	server_stop(a);
	server_stop(b);
}

static void garbage_for_an_answer_breaks_the_connection_only(void **state)
{
	static const char *const errors[] = {"garbage\r\n", "$5\r\nab\r\n$1234", "*1\r\n:1\r\n",
		"$99999999\r\n", "+OK\n", "$1x\r\n"};

	for (unsigned e = 0; e < sizeof(errors) / sizeof(errors[0]); e++) {
		struct script script = {.limit = 20, .faults = 1, .error = errors[e]};
		struct server *a = server_start("a", faulty, &script);
		struct outcome outcome = {0};
		struct weir_session *session = session_open(a->socket, 4, 5000);

		a->master = a;
		assert_int_equal(flows_send(session, &outcome, 0, 100), 0);
		assert_int_equal(weir_client_drain(session), 0);
		all_answered_once(&outcome, 100, 0);
		assert_true(a->connects > 2); /* calls, the pipeline, the pipeline again */
		weir_client_close(session);
		server_stop(a);
	}
}

static void answer_to_nothing_breaks_the_connection(void **state)
{
	struct script script = {.limit = 20, .faults = 1, .error = "+a\r\n+b\r\n+c\r\n+d\r\n"};
	struct server *a = server_start("a", faulty, &script);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 1, 5000);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 100), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 100, 0);
	assert_true(a->connects > 2);
	weir_client_close(session);
	server_stop(a);
}

static void connection_closed_while_idle_is_made_again(void **state)
{
	struct script script = {.limit = 10, .faults = 3};
	struct server *a = server_start("a", closes, &script);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 8, 5000);

	a->master = a;
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(flows_send(session, &outcome, i, 1), 0);
		assert_int_equal(weir_client_drain(session), 0);
	}
	all_answered_once(&outcome, 20, 0);
	weir_client_close(session);
	server_stop(a);
}

static void no_more_than_the_pipeline_is_under_way(void **state)
{
	struct server *a = server_start("a", silent, NULL);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 50, 400);

	a->master = a;
	assert_int_equal(flows_send(session, &outcome, 0, 51), WEIR_UNREACHABLE);
	assert_int_equal(a->flows, 50);
	all_answered_once(&outcome, 50, WEIR_UNKNOWN);
	weir_client_close(session);
	server_stop(a);
}

static void pipeline_has_a_limit(void **state)
{
	struct weir_session *session = session_open("/tmp/none", WEIR_CLIENT_PIPELINE_MAX + 1, 100);

	assert_int_equal(session->pipeline_max, WEIR_CLIENT_PIPELINE_MAX);
	weir_client_close(session);
}

static void unknown_device_is_told_at_once(void **state)
{
	struct server *a = server_start("a", nodevice, NULL);
	struct outcome outcome = {0};
	struct weir_session *session = session_open(a->socket, 50, 60000);

	assert_int_equal(flows_send(session, &outcome, 0, 10), 0);
	assert_int_equal(weir_client_drain(session), 0);
	all_answered_once(&outcome, 10, WEIR_NODEVICE);
	weir_client_close(session);
	server_stop(a);
}

static void device_names_have_a_limit(void **state)
{
	struct weir_session *session = session_open("/tmp/none", 8, 100);
	char name[WEIR_DEVICE_ID_MAX + 1];

	memset(name, 'd', sizeof(name));
	name[WEIR_DEVICE_ID_MAX] = '\0';
	assert_int_equal(
		weir_client_flow(session, name, "FLOW.ADD", "x", 1, 0, on_done, NULL), WEIR_TOOBIG);
	weir_client_close(session);
}

/* ----------------------------------------------------------------------------------- calls --- */

static redisReply *call(struct weir_session *session)
{
	const char *const argv[] = {"FLOW.GET", "d1", "cookie=0"};

	return weir_client_call(session, 3, argv, NULL);
}

static redisReply *call_master(struct weir_session *session)
{
	const char *const argv[] = {"FLOW.GET", "d1", "cookie=0"};

	return weir_client_call_master(session, "d1", 3, argv, NULL);
}

/* The answer is a text, or an error of these words. */
static void expect_reply(redisReply *reply, const char *error)
{
	assert_non_null(reply);
	assert_int_equal(reply->type, error != NULL ? REDIS_REPLY_ERROR : REDIS_REPLY_STRING);
	if (error != NULL)
		assert_string_equal(reply->str, error);
	freeReplyObject(reply);
}

static void call_goes_to_whoever_answers(void **state)
{
	struct server *b = server_start("b", server_usual, NULL);
	struct weir_session *session;
	char sockets[200];

	snprintf(sockets, sizeof(sockets), "/tmp/weir-client-test-none,%s", b->socket);
	session = session_open(sockets, 0, 2000);
	for (unsigned i = 0; i < 3; i++)
		expect_reply(call(session), NULL);
	assert_int_equal(b->connects, 1);
	weir_client_close(session);
	server_stop(b);
}

static void call_that_nobody_answers_ends(void **state)
{
	struct server *a = server_start("a", silent, NULL);
	struct weir_session *session = session_open("/tmp/weir-client-test-none", 0, 60000);
	uint64_t begun_ns = weir_clock_ns();

	assert_null(call(session)); /* nobody listens: connect_timeout_ms */
	assert_true(weir_clock_ns() - begun_ns < 30 * WEIR_NS_PER_S);
	assert_non_null(strstr(weir_client_error(session), "No such file"));
	weir_client_close(session);
	session = session_open(a->socket, 0, 300);
	begun_ns = weir_clock_ns();
	assert_null(call(session));
	assert_true(weir_clock_ns() - begun_ns >= 299 * WEIR_NS_PER_MS);
	weir_client_close(session);
	server_stop(a);
}

static void call_follows_the_master(void **state)
{
	struct script script = {0};
	struct server *a = server_start("a", not_master, &script);
	struct server *b = server_start("b", server_usual, NULL);
	struct weir_session *session = session_open(a->socket, 0, 5000);

	script.other = b;
	a->master = a;
	for (unsigned i = 0; i < 3; i++)
		expect_reply(call_master(session), NULL);
	assert_int_equal(a->flows, 1); /* then it knows */
	assert_int_equal(b->flows, 3);
	weir_client_close(session);
	server_stop(a);
	server_stop(b);
}

static void call_is_made_again_while_the_error_may_pass(void **state)
{
	struct script script = {.faults = 5, .error = "-BUSY later\r\n"};
	struct server *a = server_start("a", faulty, &script);
	struct weir_session *session = session_open(a->socket, 0, 400);

	a->master = a;
	expect_reply(call_master(session), NULL);
	script.faults = 1000000;
	expect_reply(call_master(session), "BUSY later");
	script.error = "-NOTFOUND none\r\n";
	script.faults = 1;
	expect_reply(call_master(session), "NOTFOUND none");
	weir_client_close(session);
	server_stop(a);
}

static void call_outlives_the_death_of_the_master(void **state)
{
	struct script dying = {.limit = 1};
	struct server *a = server_start("a", dies, &dying);
	struct server *b = server_start("b", server_usual, NULL);
	struct weir_client_stats stats;
	struct weir_session *session = session_open(a->socket, 0, 5000);

	a->master = a;
	a->peer = b;
	b->master = a;
	dying.other = b;
	for (unsigned i = 0; i < 3; i++)
		expect_reply(call_master(session), NULL);
	weir_client_stats(session, &stats);
	assert_int_equal(stats.failovers, 1);
	weir_client_close(session);
	server_stop(a);
	server_stop(b);
}

static void call_about_an_unknown_device_is_answered(void **state)
{
	struct server *a = server_start("a", nodevice, NULL);
	struct weir_session *session = session_open(a->socket, 0, 5000);

	expect_reply(call_master(session), "NODEVICE no such device: d1");
	weir_client_close(session);
	server_stop(a);
}

static void known_sockets_have_a_limit(void **state)
{
	char sockets[WEIR_CLIENT_NODES_MAX * 8 + 64] = "";
	struct weir_session *session;
	size_t len = 0;

	for (unsigned i = 0; i < WEIR_CLIENT_NODES_MAX + 5; i++)
		len += (size_t)snprintf(sockets + len, sizeof(sockets) - len, "/%u,", i);
	session = session_open(sockets, 0, 100);
	assert_int_equal(session->nodes_count, WEIR_CLIENT_NODES_MAX);
	assert_int_equal(weir_session_node(session, "/new", 4), -1);
	assert_int_equal(weir_session_node(session, "/3", 2), 3);
	assert_int_equal(weir_session_node(session, sockets, WEIR_SOCKET_PATH_MAX), -1);
	weir_client_close(session);
	weir_client_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(flows_are_acknowledged),
		cmocka_unit_test(answers_may_come_in_single_bytes),
		cmocka_unit_test(not_master_is_followed),
		cmocka_unit_test(death_of_the_master_loses_and_doubles_no_answer),
		cmocka_unit_test(connection_closed_after_reading_is_made_again),
		cmocka_unit_test(error_in_the_middle_is_one_flows_error),
		cmocka_unit_test(errors_that_may_pass_are_tried_again),
		cmocka_unit_test(refused_flows_are_sent_again_before_newer_ones),
		cmocka_unit_test(error_that_does_not_pass_is_told_at_the_deadline),
		cmocka_unit_test(nobody_answers_is_told_at_the_deadline),
		cmocka_unit_test(silence_is_unknown_at_the_deadline),
		cmocka_unit_test(stopped_master_is_left_for_the_new_one),
		cmocka_unit_test(garbage_for_an_answer_breaks_the_connection_only),
		cmocka_unit_test(answer_to_nothing_breaks_the_connection),
		cmocka_unit_test(connection_closed_while_idle_is_made_again),
		cmocka_unit_test(no_more_than_the_pipeline_is_under_way),
		cmocka_unit_test(pipeline_has_a_limit),
		cmocka_unit_test(unknown_device_is_told_at_once),
		cmocka_unit_test(device_names_have_a_limit),
		cmocka_unit_test(call_goes_to_whoever_answers),
		cmocka_unit_test(call_that_nobody_answers_ends),
		cmocka_unit_test(call_follows_the_master),
		cmocka_unit_test(call_is_made_again_while_the_error_may_pass),
		cmocka_unit_test(call_outlives_the_death_of_the_master),
		cmocka_unit_test(call_about_an_unknown_device_is_answered),
		cmocka_unit_test(known_sockets_have_a_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
