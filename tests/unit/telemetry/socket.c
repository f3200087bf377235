/* SPDX-License-Identifier: BSD-3-Clause */
/** @file DPDK's telemetry socket in front of a node alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <rte_eal.h>

#include "table/rcu.h"
#include "telemetry/telemetry.h"
#include "town.h"

/* What DPDK can send at once. */
#define REPLY_MAX 16384

/* See tests/unit/store/life.c: in DPDK 22.11 the order of producers is hidden from the sanitizer.
 */
#ifdef WEIR_TSAN
#define WORKERS 1
#else
#define WORKERS 2
#endif

static struct office *office;
static struct house house;
static struct weir_gate *gate;

/* ------------------------------------------------------------------------------ a client --- */

/* @return -1: DPDK has as many clients as it takes, for those of before may not have ended yet */
static int client_try(void)
{
	struct timeval patience = {.tv_sec = 20};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char hello[1024];
	int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_true(snprintf(address.sun_path, sizeof(address.sun_path), "%s/dpdk_telemetry.v2",
			    rte_eal_get_runtime_dir()) < (int)sizeof(address.sun_path));
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (recv(fd, hello, sizeof(hello), 0) > 0)
		return fd;
	close(fd);
	return -1;
}

static int client_open(void)
{
	uint64_t until_ns = weir_clock_ns() + 20 * WEIR_NS_PER_S;
	int fd;

	while ((fd = client_try()) < 0) {
		assert_true(weir_clock_ns() < until_ns);
		usleep(1000);
	}
	return fd;
}

/* Asks and gives the whole reply, good until the next one of the thread. */
static const char *client_ask(int fd, const char *question)
{
	static _Thread_local char reply[2 * REPLY_MAX];
	ssize_t len;

	assert_int_equal(send(fd, question, strlen(question), 0), strlen(question));
	len = recv(fd, reply, sizeof(reply) - 1, 0);
	assert_in_range(len, 1, REPLY_MAX - 1);
	reply[len] = '\0';
	assert_int_equal(reply[len - 1], '}');
	return reply;
}

static const char *ask(const char *question)
{
	int fd = client_open();
	const char *reply = client_ask(fd, question);

	close(fd);
	return reply;
}

static void expect(const char *question, const char *reply)
{
	assert_string_equal(ask(question), reply);
}

/* The number of this name in a reply. */
static uint64_t number(const char *reply, const char *name)
{
	char key[64];
	const char *at;

	snprintf(key, sizeof(key), "\"%s\":", name);
	at = strstr(reply, key);
	if (at == NULL)
		fail_msg("no %s in %s", name, reply);
	return strtoull(at + strlen(key), NULL, 10);
}

/* -------------------------------------------------------------------------------- a node --- */

static void folder_remove(void)
{
	rmdir(rte_eal_get_runtime_dir());
}

static void eal_begin(void)
{
	static char line[256], *argv[32];
	char *rest = line;
	int argc = 0;

	snprintf(line, sizeof(line),
		"test -l 0 --no-pci --no-huge --no-shconf -m 256 --log-level=error "
		"--file-prefix=weir-telemetry-%d",
		(int)getpid());
	while ((argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	urcu_qsbr_get_default_call_rcu_data();
	/* Behind the EAL's own, which takes its sockets away. */
	atexit(folder_remove);
	assert_true(rte_eal_init(argc, argv) >= 0);
}

static void node_start(void)
{
	struct weir_store_conf conf = town_conf("n1", WORKERS);

	office = office_create();
	house_build(&house, office, &conf);
	house_run_workers(&house);
	house_run_control(&house);
	assert_int_equal(weir_telemetry_start(house.store), 0);
}

static void node_stop(void)
{
	weir_store_stop(house.store);
	weir_telemetry_stop();
	house_clear(&house);
	office_destroy(office);
}

static int begin(void **state)
{
	node_start();
	gate = weir_gate_open(house.store);
	assert_non_null(gate);
	wait_for(gate, weir_store_lease_ns(house.store) > 0);
	weir_gate_rest(gate);
	return 0;
}

static int end(void **state)
{
	weir_store_stop(house.store);
	weir_telemetry_stop();
	weir_gate_wake(gate);
	weir_gate_close(gate);
	house_clear(&house);
	office_destroy(office);
	return 0;
}

static void device_add(const char *name)
{
	weir_gate_wake(gate);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_DEVICE_ADD, name, NULL), 0);
	weir_gate_rest(gate);
}

static void flows_add(const char *device, unsigned from, unsigned to)
{
	weir_gate_wake(gate);
	gate_device(gate, house.store, device);
	for (; from < to; from++)
		assert_int_equal(gate_do(gate, WEIR_OP_ADD, device, from), 0);
	weir_gate_rest(gate);
}

/* -------------------------------------------------------------------------------- replies --- */

static void commands_are_listed_with_their_help(void **state)
{
	static const char *const commands[] = {"/weir/info", "/weir/node/list", "/weir/node/info",
		"/weir/peer/list", "/weir/peer/stats", "/weir/tenure/stats", "/weir/device/list",
		"/weir/device/info", "/weir/worker/list", "/weir/worker/stats", "/weir/link/stats",
		"/weir/metric/list"};
	char question[64];

	for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		snprintf(question, sizeof(question), "\"%s\"", commands[i]);
		assert_non_null(strstr(ask("/"), question));
		snprintf(question, sizeof(question), "/help,%s", commands[i]);
		assert_non_null(strstr(ask(question), "arameters"));
	}
}

static void all_of(const char *reply, enum weir_metric_group group)
{
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(group, &count);

	for (unsigned i = 0; i < count; i++)
		number(reply, metrics[i].name);
}

static void replies_have_every_metric_of_their_group(void **state)
{
	all_of(ask("/weir/info"), WEIR_METRICS_NODE);
	all_of(ask("/weir/worker/stats,0"), WEIR_METRICS_WORKER);
	all_of(ask("/weir/link/stats,0"), WEIR_METRICS_LINK);
	all_of(ask("/weir/tenure/stats"), WEIR_METRICS_TENURE);
}

static void each_metric_is_explained(void **state)
{
	const char *reply = ask("/weir/metric/list");
	char text[256];

	for (unsigned group = 0; group < WEIR_METRIC_GROUPS; group++) {
		unsigned count;
		const struct weir_metric *metrics = weir_metrics(group, &count);

		for (unsigned i = 0; i < count; i++) {
			snprintf(text, sizeof(text), "\"%s\":\"%s: %s\"", metrics[i].name,
				metrics[i].kind == WEIR_METRIC_COUNTER ? "counter" : "gauge",
				metrics[i].help);
			assert_non_null(strstr(reply, text));
		}
	}
}

static void a_node_says_who_it_is(void **state)
{
	const char *reply = ask("/weir/info");

	assert_non_null(strstr(reply, "\"node\":\"n1\",\"cluster\":\"town\","
				      "\"socket\":\"/run/n1.sock\""));
	assert_int_equal(number(reply, "process_id"), getpid());
	assert_int_equal(number(reply, "workers"), WORKERS);
	assert_int_equal(number(reply, "nodes_live"), 1);
	assert_in_range(number(reply, "lease_left_ms"), 1, 2000);
	assert_true(number(reply, "tsc_hz") > 0);
}

static void nodes_and_peers_are_listed(void **state)
{
	expect("/weir/node/list", "{\"/weir/node/list\":[\"n1\"]}");
	expect("/weir/peer/list", "{\"/weir/peer/list\":[]}");
	assert_int_equal(number(ask("/weir/node/info,n1"), "live"), 1);
	expect("/weir/node/info,n2", "{\"/weir/node/info\":null}");
	expect("/weir/node/info", "{\"/weir/node/info\":null}");
}

static void only_other_nodes_have_figures_of_a_peer(void **state)
{
	expect("/weir/peer/stats,n1", "{\"/weir/peer/stats\":null}");
	expect("/weir/peer/stats,n2", "{\"/weir/peer/stats\":null}");
	expect("/weir/peer/stats", "{\"/weir/peer/stats\":null}");
}

static void what_tenure_does_is_counted(void **state)
{
	const char *reply;

	device_add("d");
	flows_add("d", 0, 1);
	weir_gate_wake(gate);
	assert_int_equal(gate_ask(gate, WEIR_REQUEST_MASTER_SET, "d", "n9"), WEIR_NOTFOUND);
	weir_gate_rest(gate);
	reply = ask("/weir/tenure/stats");
	assert_true(number(reply, "renewals") > 0);
	assert_true(number(reply, "renewal_ns") > 0);
	assert_int_equal(number(reply, "renewals_failed"), 0);
	assert_int_equal(number(reply, "terms"), 1);
	assert_int_equal(number(reply, "terms_active"), 1);
	assert_int_equal(number(reply, "changes"), 2);
	assert_int_equal(number(reply, "changes_under_way"), 0);
	assert_int_equal(number(reply, "requests"), 2);
	assert_int_equal(number(reply, "requests_refused"), 1);
}

static void workers_are_listed(void **state)
{
	expect("/weir/worker/list",
		WORKERS == 1 ? "{\"/weir/worker/list\":[0]}" : "{\"/weir/worker/list\":[0,1]}");
}

static void what_is_no_worker_is_refused(void **state)
{
	static const char *const wrong[] = {"", ",x", ",-1", ",2", ",0x", ", 0", ",+0", ",0,1",
		",32", ",4294967296", ",99999999999999999999999"};
	char question[64];

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		snprintf(question, sizeof(question), "/weir/worker/stats%s", wrong[i]);
		expect(question, "{\"/weir/worker/stats\":null}");
		snprintf(question, sizeof(question), "/weir/link/stats%s", wrong[i]);
		expect(question, "{\"/weir/link/stats\":null}");
	}
}

/* ---------------------------------------------------------------------------------- work --- */

static uint64_t workers_sum(const char *name)
{
	char question[32];
	uint64_t sum = 0;

	for (unsigned i = 0; i < WORKERS; i++) {
		snprintf(question, sizeof(question), "/weir/worker/stats,%u", i);
		sum += number(ask(question), name);
	}
	return sum;
}

static void work_that_was_done_is_counted(void **state)
{
	const char *reply;

	device_add("d");
	flows_add("d", 0, 200);
	/* A busy worker shows its figures some 20 ms later. */
	weir_gate_wake(gate);
	wait_for(gate, workers_sum("answers_ok") == 200);
	weir_gate_rest(gate);
	assert_int_equal(workers_sum("tasks"), 200);
	assert_int_equal(workers_sum("operations"), 200);
	assert_int_equal(workers_sum("answers_err"), 0);
	assert_int_equal(workers_sum("tasks_waiting"), 0);
	assert_int_equal(workers_sum("writes_pending"), 0);
	assert_true(workers_sum("memory_used_bytes") > 0);
	reply = ask("/weir/worker/stats,0");
	assert_true(number(reply, "busy_turns") > 0);
	assert_true(number(reply, "turns") > number(reply, "busy_turns"));
	assert_true(number(reply, "busy_ns") > 0);
	assert_true(number(reply, "run_ns") > number(reply, "busy_ns"));
	assert_in_range(number(reply, "busy_share_ppm"), 1, 999999);
	assert_true(number(reply, "operation_cycles") > 0);
	reply = ask("/weir/info");
	assert_int_equal(number(reply, "devices"), 1);
	assert_int_equal(number(reply, "devices_master"), 1);
	assert_int_equal(number(reply, "devices_open"), 1);
	assert_int_equal(number(reply, "flows"), 200);
}

static void counters_only_grow(void **state)
{
	struct weir_worker_figures before, now;
	unsigned count;
	const struct weir_metric *metrics = weir_metrics(WEIR_METRICS_WORKER, &count);

	device_add("d");
	weir_gate_wake(gate);
	weir_figures_worker(house.store, 0, &before);
	for (unsigned round = 0; round < 50; round++) {
		weir_gate_rest(gate);
		flows_add("d", round, round + 1);
		weir_gate_wake(gate);
		weir_figures_worker(house.store, 0, &now);
		for (unsigned i = 0; i < count; i++)
			if (metrics[i].kind == WEIR_METRIC_COUNTER)
				assert_true(weir_metric_value(&metrics[i], &now) >=
					    weir_metric_value(&metrics[i], &before));
		before = now;
	}
	weir_gate_rest(gate);
}

/* The time of busy turns is summed up without a second look at the clock: it has to come to less
 * than passed, and to nothing where there was no work. */
static void an_idle_worker_is_not_busy(void **state)
{
	struct weir_worker_figures before, now;

	weir_gate_wake(gate);
	weir_figures_worker(house.store, 0, &before);
	do {
		gate_pause(gate);
		weir_figures_worker(house.store, 0, &now);
	} while (now.stats.run_ns - before.stats.run_ns < 300 * WEIR_NS_PER_MS);
	weir_gate_rest(gate);
	assert_true(now.stats.busy_ns - before.stats.busy_ns < 100 * WEIR_NS_PER_MS);
}

/* -------------------------------------------------------------------------------- devices --- */

static void a_device_is_told_as_this_node_sees_it(void **state)
{
	const char *reply;

	device_add("of:1,a:b");
	flows_add("of:1,a:b", 0, 3);
	reply = ask("/weir/device/info,of:1,a:b");
	assert_non_null(strstr(reply, "\"device\":\"of:1,a:b\",\"role\":\"master\""));
	assert_non_null(strstr(reply, "\"master\":\"n1\""));
	assert_non_null(strstr(reply, "\"backups\":[]"));
	assert_non_null(strstr(reply, "\"insync\":[\"n1\"]"));
	assert_int_equal(number(reply, "flows"), 3);
	assert_int_equal(number(reply, "open"), 1);
	assert_int_equal(number(reply, "term"), number(reply, "active"));
	expect("/weir/device/info,of:1", "{\"/weir/device/info\":null}");
	expect("/weir/device/info", "{\"/weir/device/info\":null}");
}

static void a_list_without_devices_is_empty(void **state)
{
	expect("/weir/device/list", "{\"/weir/device/list\":{\"cursor\":\"\",\"devices\":[]}}");
	expect("/weir/device/list,x", "{\"/weir/device/list\":{\"cursor\":\"\",\"devices\":[]}}");
}

/* Reads a JSON string with its quotes; NULL: there is none. @return behind it */
static const char *text_read(const char *at, char *text)
{
	if (*at++ != '"')
		return NULL;
	for (; *at != '"'; at++) {
		at += *at == '\\';
		*text++ = *at;
	}
	*text = '\0';
	return at + 1;
}

/*
 * Reads a page: its names come in order behind `last`, which becomes the last of them.
 * @return names; *cursor: "" where it is the last page
 */
static unsigned page_read(const char *after, char *last, char *cursor)
{
	char question[WEIR_DEVICE_ID_MAX + 32], name[WEIR_DEVICE_ID_MAX];
	const char *at;
	unsigned count = 0;

	snprintf(question, sizeof(question), "/weir/device/list%s%s", after[0] ? "," : "", after);
	at = strstr(ask(question), "\"cursor\":");
	assert_non_null(at);
	at = text_read(at + strlen("\"cursor\":"), cursor);
	at = strchr(at, '[');
	assert_non_null(at);
	while ((at = text_read(at + 1, name)) != NULL) {
		assert_true(strcmp(last, name) < 0);
		strcpy(last, name);
		count++;
	}
	if (cursor[0] != '\0')
		assert_string_equal(cursor, last);
	return count;
}

/* Pages through all devices. @return how many; *pages: in how many pages, *most: the largest */
static unsigned pages_read(unsigned *pages, unsigned *most)
{
	char last[WEIR_DEVICE_ID_MAX] = "", cursor[WEIR_DEVICE_ID_MAX] = "";
	unsigned total = 0;

	*pages = *most = 0;
	do {
		char after[WEIR_DEVICE_ID_MAX];
		unsigned count;

		strcpy(after, cursor);
		count = page_read(after, last, cursor);
		total += count;
		*most = count > *most ? count : *most;
		(*pages)++;
	} while (cursor[0] != '\0');
	return total;
}

static void long_lists_come_in_pages(void **state)
{
	unsigned pages, most;
	char name[WEIR_DEVICE_ID_MAX];

	for (unsigned i = 0; i < WEIR_TELEMETRY_PAGE_NAMES; i++) {
		snprintf(name, sizeof(name), "d%u", i);
		device_add(name);
	}
	assert_int_equal(pages_read(&pages, &most), WEIR_TELEMETRY_PAGE_NAMES);
	assert_int_equal(pages, 1);
	device_add("e");
	assert_int_equal(pages_read(&pages, &most), WEIR_TELEMETRY_PAGE_NAMES + 1);
	assert_int_equal(pages, 2);
	assert_int_equal(most, WEIR_TELEMETRY_PAGE_NAMES);
}

/* The longest names, of what JSON writes as two bytes. */
static void pages_of_the_longest_names_fit_into_a_reply(void **state)
{
	const unsigned count = 120, page = WEIR_TELEMETRY_PAGE_BYTES / (2 * 127 + 3);
	unsigned pages, most;
	char name[WEIR_DEVICE_ID_MAX];

	for (unsigned i = 0; i < count; i++) {
		memset(name, i % 2 == 0 ? '"' : '\\', sizeof(name) - 1);
		name[sizeof(name) - 1] = '\0';
		for (unsigned bit = 0; bit < 7; bit++)
			name[bit] = i >> bit & 1 ? '"' : '\\';
		device_add(name);
	}
	assert_int_equal(pages_read(&pages, &most), count);
	assert_int_equal(most, page);
	assert_int_equal(pages, (count + page - 1) / page);
}

/* ----------------------------------------------------------------------- threads, stopping --- */

static atomic_bool reclaimed;

static void reclaim(struct rcu_head *head)
{
	weir_rcu_callback_begins();
	atomic_store(&reclaimed, true);
}

static void a_silent_client_holds_up_no_grace_period(void **state)
{
	static struct rcu_head head;
	int fd = client_open();

	client_ask(fd, "/weir/worker/stats,0");
	weir_gate_wake(gate);
	weir_rcu_call(&head, reclaim);
	wait_for(gate, atomic_load(&reclaimed));
	weir_gate_rest(gate);
	close(fd);
}

static void one_store_is_shown_at_a_time(void **state)
{
	assert_int_equal(weir_telemetry_start(house.store), WEIR_EXISTS);
	assert_non_null(strstr(ask("/weir/info"), "n1"));
}

static atomic_bool enough;

/* Asks without pause; both kinds of answer are good. */
static void *curious(void *arg)
{
	static const char *const questions[] = {"/weir/info", "/weir/worker/stats,0",
		"/weir/device/list", "/weir/link/stats,0", "/weir/peer/list"};
	unsigned long *answered = arg;
	int fd = client_open();

	for (unsigned i = 0; !atomic_load(&enough); i++)
		*answered += strstr(client_ask(fd, questions[i % 5]), "null") == NULL;
	close(fd);
	return NULL;
}

static void nobody_looks_at_a_store_that_was_stopped(void **state)
{
	unsigned long answered[2] = {0};
	pthread_t threads[2];

	atomic_store(&enough, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, curious, &answered[i]), 0);
	for (unsigned life = 0; life < 10; life++) {
		node_start();
		assert_non_null(strstr(ask("/weir/info"), "town"));
		node_stop();
		expect("/weir/info", "{\"/weir/info\":null}");
		expect("/weir/worker/stats,0", "{\"/weir/worker/stats\":null}");
	}
	atomic_store(&enough, true);
	for (unsigned i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		assert_true(answered[i] > 0);
	}
	weir_telemetry_stop();
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(commands_are_listed_with_their_help),
		TEST(replies_have_every_metric_of_their_group),
		TEST(each_metric_is_explained),
		TEST(a_node_says_who_it_is),
		TEST(nodes_and_peers_are_listed),
		TEST(only_other_nodes_have_figures_of_a_peer),
		TEST(what_tenure_does_is_counted),
		TEST(workers_are_listed),
		TEST(what_is_no_worker_is_refused),
		TEST(work_that_was_done_is_counted),
		TEST(counters_only_grow),
		TEST(an_idle_worker_is_not_busy),
		TEST(a_device_is_told_as_this_node_sees_it),
		TEST(a_list_without_devices_is_empty),
		TEST(long_lists_come_in_pages),
		TEST(pages_of_the_longest_names_fit_into_a_reply),
		TEST(a_silent_client_holds_up_no_grace_period),
		TEST(one_store_is_shown_at_a_time),
		cmocka_unit_test(nobody_looks_at_a_store_that_was_stopped),
	};
	int failed;

	eal_begin();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rte_eal_cleanup();
	return failed;
}
