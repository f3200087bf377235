/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pipeline: many writes under way to the masters of their devices.
 *
 * Each device has a route. While it flows, requests go straight to its master's stream. What goes
 * wrong (an error that may pass, a broken stream) holds the route: nothing more is sent until all
 * that is under way on it has come back, so that requests are sent again in their order, before
 * any newer one. Then the master is looked for, and the route flows again.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "client/session.h"
#include "client/stream.h"

/* So much is gathered before it is sent, while answers are awaited anyway. */
#define SEND_BYTES (16U << 10)

/* Longest wait for something to happen. */
#define WAIT_MS 50

struct request {
	TAILQ_ENTRY(request) link; /* free, route's again or fresh, or stream's awaited */
	struct route *route;
	weir_client_done *done;
	void *ctx;
	uint64_t cookie;
	int err;        /* last answer */
	bool sent;      /* at least once */
	bool uncertain; /* may have been carried out */
	size_t len, room;
	char *bytes; /* as it goes over the socket; kept from one request to the next */
};

TAILQ_HEAD(requests, request);

struct route {
	LIST_ENTRY(route) link;
	char device[WEIR_DEVICE_ID_MAX];
	int node; /* where it flows or flowed last; -1: nowhere yet */
	int hint; /* where to look first; -1: nobody said */
	bool held, served;
	unsigned under_way;
	uint64_t retry_ns, progress_ns;
	uint32_t backoff_ms;
	struct requests again, fresh; /* not under way: were sent before; were not */
};

struct lane {
	struct weir_stream stream;
	struct requests awaited; /* under way, in the order in which answers come */
	uint64_t heard_ns, asked_ns;
};

struct weir_pipeline {
	struct weir_session *session;
	LIST_HEAD(, route) routes;
	struct lane *lanes[WEIR_CLIENT_NODES_MAX];
	struct requests unused;
	unsigned requests_count, busy_count;
	uint64_t now_ns, answered_ns;
	bool failed;
	struct request *requests;
};

/* --------------------------------------------------------------------------- small helpers --- */

static bool route_idle(const struct route *route)
{
	return route->under_way == 0 && TAILQ_EMPTY(&route->again) && TAILQ_EMPTY(&route->fresh);
}

static void request_finish(struct weir_pipeline *pipeline, struct request *request, int err,
	const char *text, size_t len)
{
	struct weir_client_stats *stats = &pipeline->session->stats;
	uint64_t stall_ns = pipeline->now_ns - pipeline->answered_ns;

	if (stall_ns > stats->longest_stall_ns)
		stats->longest_stall_ns = stall_ns;
	pipeline->answered_ns = pipeline->now_ns;
	stats->answers_ok += err == 0;
	stats->answers_err += err != 0;
	pipeline->busy_count--;
	TAILQ_INSERT_HEAD(&pipeline->unused, request, link);
	request->done(request->ctx, request->cookie, err, text, len);
}

static void route_hold(struct weir_pipeline *pipeline, struct route *route, int hint)
{
	route->held = true;
	if (hint >= 0 && hint != route->node) {
		route->hint = hint;
		route->retry_ns = pipeline->now_ns;
		return;
	}
	route->retry_ns = pipeline->now_ns + route->backoff_ms * WEIR_NS_PER_MS;
}

static void backoff_grow(struct route *route)
{
	route->backoff_ms *= 2;
	if (route->backoff_ms > WEIR_CLIENT_BACKOFF_MAX_MS)
		route->backoff_ms = WEIR_CLIENT_BACKOFF_MAX_MS;
}

/* -------------------------------------------------------------------------------- sending --- */

/* Ends a connection; what was under way on it may or may not have been carried out. */
static void lane_break(struct weir_pipeline *pipeline, struct lane *lane, int hint)
{
	struct request *request;
	struct route *route;

	weir_stream_close(&lane->stream);
	LIST_FOREACH (route, &pipeline->routes, link)
		if (route->node >= 0 && pipeline->lanes[route->node] == lane)
			route_hold(pipeline, route, hint);
	while ((request = TAILQ_FIRST(&lane->awaited)) != NULL) {
		TAILQ_REMOVE(&lane->awaited, request, link);
		request->uncertain = true;
		request->route->under_way--;
		TAILQ_INSERT_TAIL(&request->route->again, request, link);
	}
}

static void request_send(struct weir_pipeline *pipeline, struct lane *lane, struct request *request)
{
	if (TAILQ_EMPTY(&lane->awaited))
		lane->heard_ns = lane->asked_ns = pipeline->now_ns;
	TAILQ_INSERT_TAIL(&lane->awaited, request, link);
	request->route->under_way++;
	pipeline->session->stats.resent += request->sent;
	request->sent = true;
	if (!weir_stream_put(&lane->stream, request->bytes, request->len)) {
		weir_session_say(pipeline->session, "memory is short");
		lane_break(pipeline, lane, -1);
	}
}

static void queue_send(struct weir_pipeline *pipeline, struct route *route, struct requests *queue)
{
	struct request *request;

	while (!route->held && (request = TAILQ_FIRST(queue)) != NULL) {
		TAILQ_REMOVE(queue, request, link);
		request_send(pipeline, pipeline->lanes[route->node], request);
	}
}

/* The connected lane to a node, or NULL. */
static struct lane *lane_to(struct weir_pipeline *pipeline, int node)
{
	struct weir_session *session = pipeline->session;
	struct lane *lane = pipeline->lanes[node];
	int err;

	if (lane == NULL) {
		lane = calloc(1, sizeof(*lane));
		if (lane == NULL)
			return NULL;
		lane->stream.fd = -1;
		TAILQ_INIT(&lane->awaited);
		pipeline->lanes[node] = lane;
	}
	if (lane->stream.fd >= 0)
		return lane;
	err = weir_stream_connect(&lane->stream, session->nodes[node].socket);
	if (err == 0)
		return lane;
	weir_session_say(session, "%s: %s", session->nodes[node].socket, strerror(-err));
	return NULL;
}

/* Answers everything of a route that is not under way. */
static void route_finish(struct weir_pipeline *pipeline, struct route *route, int err)
{
	struct request *request;

	TAILQ_CONCAT(&route->again, &route->fresh, link);
	while ((request = TAILQ_FIRST(&route->again)) != NULL) {
		int last = request->uncertain  ? WEIR_UNKNOWN
			   : request->err != 0 ? request->err
					       : err;
		const char *sentence = weir_err_sentence(last);

		TAILQ_REMOVE(&route->again, request, link);
		request_finish(pipeline, request, last, sentence, strlen(sentence));
	}
}

/* Looks for the master of a route that is held and lets it flow again. */
static void route_seek(struct weir_pipeline *pipeline, struct route *route)
{
	struct weir_session *session = pipeline->session;
	int node = route->hint;

	route->hint = -1;
	if (node < 0)
		node = weir_session_master(session, route->device, -1, WEIR_CLIENT_ASK_MS);
	pipeline->now_ns = weir_clock_ns();
	if (node == WEIR_NODEVICE && !route->served) {
		route_finish(pipeline, route, WEIR_NODEVICE);
		return;
	}
	if (node < 0 || lane_to(pipeline, node) == NULL) {
		route_hold(pipeline, route, -1);
		backoff_grow(route);
		return;
	}
	session->stats.failovers += route->node >= 0 && route->node != node;
	route->node = node;
	route->held = false;
	queue_send(pipeline, route, &route->again);
	queue_send(pipeline, route, &route->fresh);
}

/* The deadline has passed without any progress. */
static void route_fail(struct weir_pipeline *pipeline, struct route *route)
{
	if (route->under_way > 0)
		lane_break(pipeline, pipeline->lanes[route->node], -1);
	route_finish(pipeline, route, WEIR_UNREACHABLE);
	pipeline->failed = true;
}

/* ------------------------------------------------------------------------------ receiving --- */

static void answer_take(
	struct weir_pipeline *pipeline, struct lane *lane, const struct weir_answer *answer)
{
	struct request *request = TAILQ_FIRST(&lane->awaited);
	struct route *route = request->route;
	int err = answer->error ? weir_err_of_text(answer->text, answer->len) : 0;

	TAILQ_REMOVE(&lane->awaited, request, link);
	route->under_way--;
	if (weir_err_passes(err) || (err == WEIR_NODEVICE && route->served)) {
		request->err = err;
		request->uncertain |= err == WEIR_UNKNOWN;
		TAILQ_INSERT_TAIL(&route->again, request, link);
		if (!route->held)
			backoff_grow(route);
		route_hold(pipeline, route,
			err == WEIR_NOTMASTER
				? weir_session_hint(pipeline->session, answer->text, answer->len)
				: -1);
		return;
	}
	route->progress_ns = pipeline->now_ns;
	route->served |= err == 0;
	route->backoff_ms = WEIR_CLIENT_BACKOFF_MIN_MS;
	request_finish(pipeline, request, err, answer->text, answer->len);
}

static void lane_receive(struct weir_pipeline *pipeline, struct lane *lane)
{
	struct weir_answer answer;
	long got = weir_stream_receive(&lane->stream);
	int whole = 0;

	if (got > 0)
		lane->heard_ns = pipeline->now_ns;
	while (got > 0 && (whole = weir_stream_answer(&lane->stream, &answer)) > 0) {
		if (TAILQ_EMPTY(&lane->awaited))
			whole = -EPROTO; /* an answer to nothing */
		if (whole < 0)
			break;
		answer_take(pipeline, lane, &answer);
	}
	if (got >= 0 && whole >= 0)
		return;
	weir_session_say(pipeline->session, "a node closed the connection: %s",
		strerror((int)-(got < 0 ? got : whole)));
	lane_break(pipeline, lane, -1);
}

/* A node that is silent may be stopped, or cut off: another may be master by now. */
static void lane_watch(struct weir_pipeline *pipeline, struct lane *lane, int number)
{
	const uint64_t silence_ns = WEIR_CLIENT_SILENCE_MS * WEIR_NS_PER_MS;
	struct request *request = TAILQ_FIRST(&lane->awaited);
	int node;

	if (request == NULL || pipeline->now_ns - lane->heard_ns < silence_ns ||
		pipeline->now_ns - lane->asked_ns < silence_ns)
		return;
	node = weir_session_master(
		pipeline->session, request->route->device, number, WEIR_CLIENT_ASK_MS);
	pipeline->now_ns = lane->asked_ns = weir_clock_ns();
	if (node >= 0 && node != number)
		lane_break(pipeline, lane, node);
}

/* ------------------------------------------------------------------------------------ turn --- */

static int wait_ms(const struct weir_pipeline *pipeline)
{
	const struct route *route;
	uint64_t wait_ns = WAIT_MS * WEIR_NS_PER_MS;

	LIST_FOREACH (route, &pipeline->routes, link) {
		if (!route->held || route->under_way > 0 || route_idle(route))
			continue;
		if (route->retry_ns <= pipeline->now_ns)
			return 0;
		if (route->retry_ns - pipeline->now_ns < wait_ns)
			wait_ns = route->retry_ns - pipeline->now_ns;
	}
	return (int)(wait_ns / WEIR_NS_PER_MS) + 1;
}

static void routes_turn(struct weir_pipeline *pipeline)
{
	struct route *route;

	LIST_FOREACH (route, &pipeline->routes, link) {
		if (route_idle(route))
			continue;
		if (pipeline->now_ns - route->progress_ns > pipeline->session->timeout_ns)
			route_fail(pipeline, route);
		else if (route->held && route->under_way == 0 &&
			 pipeline->now_ns >= route->retry_ns)
			route_seek(pipeline, route);
	}
}

/* Sends, receives, mends. With `wait`, only once something has happened or is due. */
static void pipeline_turn(struct weir_pipeline *pipeline, bool wait)
{
	struct pollfd fds[WEIR_CLIENT_NODES_MAX];
	struct lane *lanes[WEIR_CLIENT_NODES_MAX];
	int numbers[WEIR_CLIENT_NODES_MAX];
	unsigned count = 0;

	pipeline->now_ns = weir_clock_ns();
	routes_turn(pipeline);
	for (unsigned i = 0; i < WEIR_CLIENT_NODES_MAX; i++) {
		struct lane *lane = pipeline->lanes[i];
		int err = lane != NULL && lane->stream.fd >= 0 ? weir_stream_send(&lane->stream)
							       : -ENOTCONN;

		if (err == -ENOTCONN)
			continue;
		if (err < 0) {
			/* What it still had to say can be read; then the end is met there. */
			lane->stream.out_start = lane->stream.out_len = 0;
		}
		fds[count].fd = lane->stream.fd;
		fds[count].events = POLLIN | (lane->stream.out_len > 0 ? POLLOUT : 0);
		numbers[count] = (int)i;
		lanes[count++] = lane;
	}
	if (poll(fds, count, wait ? wait_ms(pipeline) : 0) < 0)
		return;
	pipeline->now_ns = weir_clock_ns();
	for (unsigned i = 0; i < count; i++) {
		if (fds[i].revents & ~POLLOUT)
			lane_receive(pipeline, lanes[i]);
		lane_watch(pipeline, lanes[i], numbers[i]);
	}
}

/* -------------------------------------------------------------------------------- making --- */

static struct weir_pipeline *pipeline_create(struct weir_session *session)
{
	struct weir_pipeline *pipeline = calloc(1, sizeof(*pipeline));

	if (pipeline == NULL)
		return NULL;
	pipeline->session = session;
	pipeline->requests_count = session->pipeline_max;
	pipeline->requests = calloc(pipeline->requests_count, sizeof(*pipeline->requests));
	if (pipeline->requests == NULL) {
		free(pipeline);
		return NULL;
	}
	LIST_INIT(&pipeline->routes);
	TAILQ_INIT(&pipeline->unused);
	for (unsigned i = 0; i < pipeline->requests_count; i++)
		TAILQ_INSERT_TAIL(&pipeline->unused, &pipeline->requests[i], link);
	return pipeline;
}

void weir_pipeline_close(struct weir_pipeline *pipeline)
{
	struct route *route;

	if (pipeline == NULL)
		return;
	for (unsigned i = 0; i < WEIR_CLIENT_NODES_MAX; i++) {
		if (pipeline->lanes[i] != NULL)
			weir_stream_close(&pipeline->lanes[i]->stream);
		free(pipeline->lanes[i]);
	}
	while ((route = LIST_FIRST(&pipeline->routes)) != NULL) {
		LIST_REMOVE(route, link);
		free(route);
	}
	for (unsigned i = 0; i < pipeline->requests_count; i++)
		free(pipeline->requests[i].bytes);
	free(pipeline->requests);
	free(pipeline);
}

static struct route *route_of(struct weir_pipeline *pipeline, const char *device)
{
	struct route *route;

	LIST_FOREACH (route, &pipeline->routes, link)
		if (strcmp(route->device, device) == 0)
			return route;
	route = calloc(1, sizeof(*route));
	if (route == NULL)
		return NULL;
	strcpy(route->device, device);
	route->node = route->hint = -1;
	route->held = true;
	route->backoff_ms = WEIR_CLIENT_BACKOFF_MIN_MS;
	TAILQ_INIT(&route->again);
	TAILQ_INIT(&route->fresh);
	LIST_INSERT_HEAD(&pipeline->routes, route, link);
	return route;
}

/* Writes the request as it goes over the socket. */
static bool request_encode(struct request *request, const char *command, const char *device,
	const char *flow, size_t flow_len)
{
	size_t most = strlen(command) + strlen(device) + flow_len + 80;
	int head;

	if (most > request->room) {
		char *bytes = realloc(request->bytes, most);

		if (bytes == NULL)
			return false;
		request->bytes = bytes;
		request->room = most;
	}
	head = snprintf(request->bytes, request->room, "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n",
		strlen(command), command, strlen(device), device, flow_len);
	memcpy(request->bytes + head, flow, flow_len);
	memcpy(request->bytes + head + flow_len, "\r\n", 2);
	request->len = (size_t)head + flow_len + 2;
	return true;
}

/* Waits for a free request. NULL: the deadline passed. */
static struct request *request_take(struct weir_pipeline *pipeline)
{
	pipeline->failed = false;
	while (TAILQ_EMPTY(&pipeline->unused))
		pipeline_turn(pipeline, true);
	return pipeline->failed ? NULL : TAILQ_FIRST(&pipeline->unused);
}

static void request_queue(
	struct weir_pipeline *pipeline, struct route *route, struct request *request)
{
	struct lane *lane;
	bool first;

	if (pipeline->busy_count++ == 0)
		pipeline->now_ns = pipeline->answered_ns = weir_clock_ns();
	if (route_idle(route))
		route->progress_ns = pipeline->now_ns = weir_clock_ns();
	TAILQ_REMOVE(&pipeline->unused, request, link);
	if (route->held) {
		TAILQ_INSERT_TAIL(&route->fresh, request, link);
		pipeline_turn(pipeline, false);
		return;
	}
	lane = pipeline->lanes[route->node];
	first = TAILQ_EMPTY(&lane->awaited);
	request_send(pipeline, lane, request);
	if (first || lane->stream.out_len - lane->stream.out_start >= SEND_BYTES)
		pipeline_turn(pipeline, false);
}

/* -------------------------------------------------------------------------------- public --- */

int weir_client_flow(struct weir_session *session, const char *device, const char *command,
	const char *flow, size_t flow_len, uint64_t cookie, weir_client_done *done, void *ctx)
{
	struct request *request;
	struct route *route;

	if (session->pipeline == NULL)
		session->pipeline = pipeline_create(session);
	if (session->pipeline == NULL || strlen(device) >= WEIR_DEVICE_ID_MAX) {
		weir_session_say(session, "memory is short, or the device's name is too long");
		return session->pipeline == NULL ? WEIR_BUSY : WEIR_TOOBIG;
	}
	request = request_take(session->pipeline);
	if (request == NULL)
		return WEIR_UNREACHABLE;
	route = route_of(session->pipeline, device);
	if (route == NULL || !request_encode(request, command, device, flow, flow_len)) {
		weir_session_say(session, "memory is short");
		return WEIR_BUSY;
	}
	request->route = route;
	request->done = done;
	request->ctx = ctx;
	request->cookie = cookie;
	request->err = 0;
	request->sent = request->uncertain = false;
	session->stats.requests++;
	request_queue(session->pipeline, route, request);
	return 0;
}

int weir_client_drain(struct weir_session *session)
{
	struct weir_pipeline *pipeline = session->pipeline;

	if (pipeline == NULL)
		return 0;
	pipeline->failed = false;
	while (pipeline->busy_count > 0)
		pipeline_turn(pipeline, true);
	return pipeline->failed ? WEIR_UNREACHABLE : 0;
}
