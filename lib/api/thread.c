/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/thread.h"

#include <errno.h>
#include <event2/event.h>
#include <sched.h>
#include <semaphore.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store.h"

/* Connections taken at one go, so that a flood of them does not keep the others waiting. */
#define ACCEPT_BURST 32

/* When descriptors have run out, the socket is left alone for so long. */
#define ACCEPT_PAUSE_US 100000

#define POLL_BURST 256

/* Turns without work while tasks are under way: so many yields, then sleeps that grow. */
#define IDLE_YIELDS       4
#define IDLE_SLEEP_MIN_NS 20000
#define IDLE_SLEEP_MAX_NS 200000

/* ------------------------------------------------------------------------------ accepting --- */

static void client_refuse(struct weir_gateway *gateway, int fd)
{
	static const char sentence[] = "-ERR max number of clients reached\r\n";

	weir_stat_add(gateway->stats.refused, 1UL);
	if (send(fd, sentence, sizeof(sentence) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		weir_log(WEIR_ROOM_API, WEIR_LOG_DEBUG, "a refused client has gone");
	close(fd);
}

static void client_take(struct weir_gateway *gateway, int fd)
{
	struct weir_api *api = gateway->api;

	if (atomic_fetch_add(&api->clients_count, 1) >= WEIR_API_CLIENTS_MAX) {
		atomic_fetch_sub(&api->clients_count, 1);
		client_refuse(gateway, fd);
		return;
	}
	if (weir_conn_open(gateway, fd))
		weir_stat_add(gateway->stats.accepted, 1UL);
	else
		atomic_fetch_sub(&api->clients_count, 1);
}

static void on_connect(evutil_socket_t listen_fd, short events, void *ctx)
{
	const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
	struct weir_gateway *gateway = ctx;

	for (unsigned i = 0; i < ACCEPT_BURST; i++) {
		int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			client_take(gateway, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			weir_log(WEIR_ROOM_API, WEIR_LOG_WARNING, "cannot take a client: %s",
				strerror(errno));
			event_del(gateway->listen_event);
			event_add(gateway->pause_event, &pause);
		}
		return;
	}
}

static void on_pause_over(evutil_socket_t fd, short events, void *ctx)
{
	struct weir_gateway *gateway = ctx;

	event_add(gateway->listen_event, NULL);
}

/* ---------------------------------------------------------------------------------- turns --- */

static void on_gate(evutil_socket_t fd, short events, void *ctx)
{
	struct weir_gateway *gateway = ctx;

	gateway->gate_readable = true;
}

static void on_stop(evutil_socket_t fd, short events, void *ctx)
{
	struct weir_gateway *gateway = ctx;

	gateway->stopping = true;
}

/* Takes what has come back. Returns how much. */
static unsigned answers_take(struct weir_gateway *gateway)
{
	struct weir_task *tasks[POLL_BURST];
	struct weir_request *request;
	unsigned count, total = 0;

	do {
		count = weir_gate_poll(gateway->gate, tasks, POLL_BURST);
		for (unsigned i = 0; i < count; i++)
			weir_conn_task_done(gateway, tasks[i]);
		total += count;
	} while (count == POLL_BURST);
	if (gateway->gate_readable) {
		gateway->gate_readable = false;
		gateway->stopping |= weir_store_stopping(gateway->api->store);
		while ((request = weir_gate_request_poll(gateway->gate)) != NULL) {
			weir_conn_request_done(gateway, request);
			total++;
		}
	}
	weir_reply_clear(&gateway->master_text);
	return total;
}

/* Connections that found no free task try again. */
static void waiting_wake(struct weir_gateway *gateway)
{
	struct weir_conn *conn;

	while ((conn = TAILQ_FIRST(&gateway->waiting)) != NULL) {
		TAILQ_REMOVE(&gateway->waiting, conn, waiting);
		conn->in_waiting = false;
		weir_conn_touch(conn);
	}
}

/* Gives each connection that has something to do its turn; those touched meanwhile wait. */
static void conns_turn(struct weir_gateway *gateway)
{
	struct weir_conn *last = TAILQ_LAST(&gateway->turn, weir_turn);
	struct weir_conn *conn = NULL;

	while (conn != last && (conn = TAILQ_FIRST(&gateway->turn)) != NULL) {
		TAILQ_REMOVE(&gateway->turn, conn, turn);
		conn->in_turn = false;
		weir_conn_turn(conn);
	}
}

static void idle_wait(unsigned idle_turns)
{
	struct timespec time = {0};

	if (idle_turns <= IDLE_YIELDS) {
		sched_yield();
		return;
	}
	time.tv_nsec = (long)IDLE_SLEEP_MIN_NS * (idle_turns - IDLE_YIELDS);
	if (time.tv_nsec > IDLE_SLEEP_MAX_NS)
		time.tv_nsec = IDLE_SLEEP_MAX_NS;
	nanosleep(&time, NULL);
}

/* One turn. Returns whether there was anything to do. */
static bool gateway_turn(struct weir_gateway *gateway)
{
	bool block = TAILQ_EMPTY(&gateway->turn) && weir_gate_under_way(gateway->gate) == 0;
	bool work;

	if (block && !gateway->stopping) {
		weir_gate_rest(gateway->gate);
		event_base_loop(gateway->base, EVLOOP_ONCE);
		weir_gate_wake(gateway->gate);
	} else {
		event_base_loop(gateway->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
	}
	work = answers_take(gateway) > 0;
	if (work)
		waiting_wake(gateway);
	work |= !TAILQ_EMPTY(&gateway->turn);
	conns_turn(gateway);
	if (gateway->flush) {
		gateway->flush = false;
		weir_gate_flush(gateway->gate);
	}
	weir_gate_quiescent(gateway->gate);
	return work;
}

/* ---------------------------------------------------------------------------- start, end --- */

/* Answers what is under way and says no more. Returns whether everything has come back. */
static bool gateway_drain(struct weir_gateway *gateway)
{
	uint64_t deadline_ns = weir_clock_ns() + WEIR_API_STOP_MS * WEIR_NS_PER_MS;
	struct weir_conn *conn, *next;
	unsigned idle_turns = 0;

	event_del(gateway->listen_event);
	event_del(gateway->pause_event);
	for (conn = LIST_FIRST(&gateway->conns); conn != NULL; conn = next) {
		next = LIST_NEXT(conn, all);
		conn->closing = true;
		weir_conn_touch(conn);
	}
	while (weir_clock_ns() < deadline_ns) {
		idle_turns = gateway_turn(gateway) ? 0 : idle_turns + 1;
		if (weir_gate_under_way(gateway->gate) == 0 && gateway->requests_under_way == 0 &&
			(LIST_EMPTY(&gateway->conns) || idle_turns > IDLE_YIELDS))
			break;
		if (idle_turns > 0)
			idle_wait(idle_turns);
	}
	for (conn = LIST_FIRST(&gateway->conns); conn != NULL; conn = next) {
		next = LIST_NEXT(conn, all);
		weir_conn_close(conn);
	}
	return weir_gate_under_way(gateway->gate) == 0 && gateway->requests_under_way == 0;
}

static void *gateway_main(void *ctx)
{
	struct weir_gateway *gateway = ctx;
	unsigned idle_turns = 0;

	pthread_setname_np(pthread_self(), "weir-gateway");
	prctl(PR_SET_TIMERSLACK, 1000);
	gateway->gate = weir_gate_open(gateway->api->store);
	if (gateway->gate != NULL)
		gateway->gate_event = event_new(gateway->base, weir_gate_fd(gateway->gate),
			EV_READ | EV_PERSIST, on_gate, gateway);
	gateway->ready = gateway->gate_event != NULL && event_add(gateway->gate_event, NULL) == 0;
	sem_post(&gateway->started);
	if (!gateway->ready)
		return NULL;
	while (!gateway->stopping) {
		idle_turns = gateway_turn(gateway) ? 0 : idle_turns + 1;
		if (idle_turns > 0 && weir_gate_under_way(gateway->gate) > 0)
			idle_wait(idle_turns);
	}
	if (gateway_drain(gateway))
		weir_gate_close(gateway->gate);
	else
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR,
			"tasks have not come back in time, their gate stays open");
	return NULL;
}

static bool events_create(struct weir_gateway *gateway)
{
	struct weir_api *api = gateway->api;

	gateway->base = event_base_new();
	if (gateway->base == NULL)
		return false;
	gateway->listen_event =
		event_new(gateway->base, api->listen_fd, EV_READ | EV_PERSIST, on_connect, gateway);
	gateway->pause_event = event_new(gateway->base, -1, EV_TIMEOUT, on_pause_over, gateway);
	gateway->stop_event =
		event_new(gateway->base, api->stop_fd, EV_READ | EV_PERSIST, on_stop, gateway);
	return gateway->listen_event != NULL && gateway->pause_event != NULL &&
	       gateway->stop_event != NULL && event_add(gateway->listen_event, NULL) == 0 &&
	       event_add(gateway->stop_event, NULL) == 0;
}

static void event_free_if(struct event *event)
{
	if (event != NULL)
		event_free(event);
}

static void gateway_free(struct weir_gateway *gateway)
{
	event_free_if(gateway->gate_event);
	event_free_if(gateway->listen_event);
	event_free_if(gateway->pause_event);
	event_free_if(gateway->stop_event);
	if (gateway->base != NULL)
		event_base_free(gateway->base);
	weir_reply_free(&gateway->aside);
	weir_reply_free(&gateway->build);
	weir_reply_free(&gateway->master_text);
	sem_destroy(&gateway->started);
}

bool weir_gateway_start(struct weir_gateway *gateway, struct weir_api *api, unsigned number)
{
	gateway->api = api;
	gateway->number = number;
	LIST_INIT(&gateway->conns);
	TAILQ_INIT(&gateway->turn);
	TAILQ_INIT(&gateway->waiting);
	sem_init(&gateway->started, 0, 0);
	if (!events_create(gateway) ||
		pthread_create(&gateway->thread, NULL, gateway_main, gateway) != 0) {
		weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "cannot start gateway %u", number);
		gateway_free(gateway);
		return false;
	}
	while (sem_wait(&gateway->started) != 0)
		continue;
	if (gateway->ready)
		return true;
	weir_log(WEIR_ROOM_API, WEIR_LOG_ERR, "the store has no gate for gateway %u", number);
	weir_gateway_join(gateway);
	return false;
}

void weir_gateway_join(struct weir_gateway *gateway)
{
	pthread_join(gateway->thread, NULL);
	gateway_free(gateway);
}
