/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/command.h"
#include "api/gateway.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "store/store.h"

#define SLOTS_FIRST 64

/* Input that an idle connection may keep. */
#define INPUT_FIRST (16U << 10)

/* ---------------------------------------------------------------------- opening, closing --- */

void weir_conn_touch(struct weir_conn *conn)
{
	if (conn->in_turn)
		return;
	conn->in_turn = true;
	TAILQ_INSERT_TAIL(&conn->gateway->turn, conn, turn);
}

static void on_readable(evutil_socket_t fd, short events, void *ctx)
{
	struct weir_conn *conn = ctx;

	conn->readable = true;
	weir_conn_touch(conn);
}

static void on_writable(evutil_socket_t fd, short events, void *ctx)
{
	weir_conn_touch(ctx);
}

static void conn_free(struct weir_conn *conn)
{
	weir_assert(conn->fd < 0 && conn->under_way == 0);
	for (; conn->head != conn->tail; conn->head++) {
		struct weir_slot *slot = &conn->slots[conn->head & (conn->slots_room - 1)];

		if (slot->kind == WEIR_SLOT_TEXT)
			free(slot->text);
	}
	weir_reply_free(&conn->out);
	free(conn->slots);
	free(conn->in);
	free(conn);
}

bool weir_conn_open(struct weir_gateway *gateway, int fd)
{
	struct weir_conn *conn = calloc(1, sizeof(*conn));

	if (conn == NULL) {
		close(fd);
		return false;
	}
	conn->gateway = gateway;
	conn->fd = fd;
	conn->out.protocol = 2;
	conn->since_ns = weir_clock_ns();
	conn->id = atomic_fetch_add(&gateway->api->last_client_id, 1) + 1;
	conn->read_event = event_new(gateway->base, fd, EV_READ | EV_PERSIST, on_readable, conn);
	conn->write_event = event_new(gateway->base, fd, EV_WRITE | EV_PERSIST, on_writable, conn);
	if (conn->read_event == NULL || conn->write_event == NULL ||
		event_add(conn->read_event, NULL) != 0) {
		if (conn->read_event != NULL)
			event_free(conn->read_event);
		if (conn->write_event != NULL)
			event_free(conn->write_event);
		free(conn);
		close(fd);
		return false;
	}
	conn->reading = true;
	LIST_INSERT_HEAD(&gateway->conns, conn, all);
	weir_stat_add(gateway->stats.clients_now, 1UL);
	return true;
}

static void lists_leave(struct weir_conn *conn)
{
	struct weir_gateway *gateway = conn->gateway;

	LIST_REMOVE(conn, all);
	if (conn->in_turn)
		TAILQ_REMOVE(&gateway->turn, conn, turn);
	if (conn->in_waiting)
		TAILQ_REMOVE(&gateway->waiting, conn, waiting);
}

void weir_conn_close(struct weir_conn *conn)
{
	event_free(conn->read_event);
	event_free(conn->write_event);
	close(conn->fd);
	conn->fd = -1;
	lists_leave(conn);
	weir_stat_add(conn->gateway->stats.clients_now, -1UL);
	atomic_fetch_sub(&conn->gateway->api->clients_count, 1);
	if (conn->under_way == 0)
		conn_free(conn);
}

/* -------------------------------------------------------------------------------- slots --- */

static struct weir_slot *slot_at(const struct weir_conn *conn, uint64_t number)
{
	return &conn->slots[number & (conn->slots_room - 1)];
}

/* Room for one more slot. */
static bool slot_room(struct weir_conn *conn)
{
	unsigned room = conn->slots_room > 0 ? 2 * conn->slots_room : SLOTS_FIRST;
	struct weir_slot *slots;

	if (conn->tail - conn->head < conn->slots_room)
		return true;
	if (conn->slots_room >= WEIR_API_PIPELINE_MAX)
		return false;
	slots = malloc(room * sizeof(*slots));
	if (slots == NULL)
		return false;
	for (uint64_t i = conn->head; i != conn->tail; i++)
		slots[i & (room - 1)] = *slot_at(conn, i);
	free(conn->slots);
	conn->slots = slots;
	conn->slots_room = room;
	return true;
}

/* Takes the next slot; there is room for it. */
static uint64_t slot_take(struct weir_conn *conn)
{
	weir_assert(conn->tail - conn->head < conn->slots_room);
	slot_at(conn, conn->tail)->kind = WEIR_SLOT_WAITS;
	return conn->tail++;
}

/* Keeps an encoded answer until those before it have left. */
static void slot_fill(struct weir_conn *conn, uint64_t number, struct weir_reply *answer)
{
	struct weir_slot *slot = slot_at(conn, number);

	slot->kind = WEIR_SLOT_TEXT;
	slot->len = (uint32_t)weir_reply_left(answer);
	slot->text = answer->bad ? NULL : malloc(slot->len);
	if (slot->text != NULL) {
		memcpy(slot->text, answer->bytes, slot->len);
	} else {
		slot->len = 0;
		conn->out.bad = true;
	}
	weir_reply_clear(answer);
}

/* Moves the answers that are due to the output. */
static void slots_deliver(struct weir_conn *conn)
{
	for (; conn->head != conn->tail; conn->head++) {
		struct weir_slot *slot = slot_at(conn, conn->head);

		if (slot->kind == WEIR_SLOT_WAITS)
			return;
		if (slot->kind == WEIR_SLOT_FLOW) {
			weir_reply_flow_id(&conn->out, slot->flow_id);
		} else {
			weir_reply_raw(&conn->out, slot->text, slot->len);
			free(slot->text);
		}
	}
}

/* ------------------------------------------------------------------------ tasks, requests --- */

static void hand_in(struct weir_conn *conn, struct weir_task *task)
{
	task->owner = conn;
	task->deadline_ns =
		weir_clock_ns() + conn->gateway->api->request_timeout_ms * WEIR_NS_PER_MS;
	conn->under_way++;
	conn->gateway->flush = true;
	weir_gate_submit(conn->gateway->gate, task);
}

void weir_conn_submit(struct weir_conn *conn, struct weir_task *task)
{
	task->cookie = slot_take(conn);
	weir_stat_add(conn->gateway->stats.writes, 1UL);
	hand_in(conn, task);
}

bool weir_conn_submit_purge(struct weir_conn *conn, struct weir_task *tasks[WEIR_SHARDS])
{
	struct weir_purge *purge = calloc(1, sizeof(*purge));

	if (purge == NULL)
		return false;
	purge->slot = slot_take(conn);
	purge->left = WEIR_SHARDS;
	weir_stat_add(conn->gateway->stats.writes, 1UL);
	for (unsigned shard = 0; shard < WEIR_SHARDS; shard++) {
		tasks[shard]->cookie = (uintptr_t)purge;
		hand_in(conn, tasks[shard]);
	}
	return true;
}

void weir_conn_request(struct weir_conn *conn, struct weir_request *request)
{
	request->owner = conn;
	request->cookie = slot_take(conn);
	request->deadline_ns =
		weir_clock_ns() + conn->gateway->api->request_timeout_ms * WEIR_NS_PER_MS;
	conn->under_way++;
	conn->control = true;
	conn->gateway->requests_under_way++;
	weir_gate_request(conn->gateway->gate, request);
}

struct by_key {
	uint64_t key;
	const struct weir_device *found;
};

static bool key_visit(void *ctx, const struct weir_device *device)
{
	struct by_key *by_key = ctx;

	if (weir_device_number(device) != by_key->key)
		return true;
	by_key->found = device;
	return false;
}

/* A task knows its device by key only. The name is looked for once a turn, not once a task. */
static void notmaster_put(
	struct weir_gateway *gateway, struct weir_reply *reply, uint64_t device_key)
{
	struct by_key by_key = {.key = device_key};
	struct weir_reply *text = &gateway->master_text;

	if (weir_reply_left(text) == 0 || gateway->master_key != device_key) {
		weir_store_devices(gateway->api->store, key_visit, &by_key);
		weir_reply_clear(text);
		weir_reply_notmaster(text, gateway->api->store, by_key.found);
		gateway->master_key = device_key;
	}
	weir_reply_raw(reply, text->bytes, weir_reply_left(text));
}

static void error_put(
	struct weir_gateway *gateway, struct weir_reply *reply, int err, uint64_t device_key)
{
	weir_stat_add(gateway->stats.errors, 1UL);
	if (err == WEIR_NOTMASTER)
		notmaster_put(gateway, reply, device_key);
	else
		weir_reply_error(reply, err, "%s", weir_err_sentence(err));
}

/* The slot that this request or task came from is done. */
static void slot_done(
	struct weir_conn *conn, uint64_t number, int err, uint64_t flow_id, uint64_t device_key)
{
	struct weir_gateway *gateway = conn->gateway;

	if (err != 0) {
		gateway->aside.protocol = conn->out.protocol;
		error_put(gateway, &gateway->aside, err, device_key);
		slot_fill(conn, number, &gateway->aside);
	} else if (number == conn->head) {
		weir_reply_flow_id(&conn->out, flow_id);
		conn->head++;
	} else {
		slot_at(conn, number)->kind = WEIR_SLOT_FLOW;
		slot_at(conn, number)->flow_id = flow_id;
	}
	weir_conn_touch(conn);
}

/* One thing less under way. Returns whether the connection is still there. */
static bool conn_back(struct weir_conn *conn)
{
	weir_assert(conn->under_way > 0);
	conn->under_way--;
	if (conn->fd >= 0)
		return true;
	if (conn->under_way == 0)
		conn_free(conn);
	return false;
}

/* Where some flows are gone and others not, nobody can say what has become of it. */
static void purge_answer(
	struct weir_conn *conn, const struct weir_purge *purge, uint64_t device_key)
{
	struct weir_reply *aside = &conn->gateway->aside;

	aside->protocol = conn->out.protocol;
	if (purge->err == 0)
		weir_reply_number(aside, purge->removed);
	else
		error_put(conn->gateway, aside, purge->removed > 0 ? WEIR_UNKNOWN : purge->err,
			device_key);
	slot_fill(conn, purge->slot, aside);
	weir_conn_touch(conn);
}

static void purge_done(struct weir_conn *conn, const struct weir_task *task)
{
	struct weir_purge *purge = (struct weir_purge *)(uintptr_t)task->cookie;

	purge->removed += task->removed;
	if (purge->err == 0 || task->err == WEIR_UNKNOWN)
		purge->err = task->err;
	purge->left--;
	if (conn_back(conn) && purge->left == 0)
		purge_answer(conn, purge, task->device_key);
	if (purge->left == 0)
		free(purge);
}

static void get_done(struct weir_conn *conn, const struct weir_task *task)
{
	struct weir_reply *aside = &conn->gateway->aside;

	/* It has grown since the task's size was chosen: the client may ask again. */
	int err = task->err == WEIR_TOOBIG ? WEIR_BUSY : task->err;

	aside->protocol = conn->out.protocol;
	if (err == 0)
		weir_reply_flow(aside, &task->entry, false);
	else
		error_put(conn->gateway, aside, err, task->device_key);
	slot_fill(conn, task->cookie, aside);
	weir_conn_touch(conn);
}

void weir_conn_task_done(struct weir_gateway *gateway, struct weir_task *task)
{
	struct weir_conn *conn = task->owner;

	if (task->op == WEIR_OP_PURGE)
		purge_done(conn, task);
	else if (!conn_back(conn))
		; /* nobody waits for the answer */
	else if (task->op == WEIR_OP_GET || task->op == WEIR_OP_GET_ID)
		get_done(conn, task);
	else
		slot_done(
			conn, task->cookie, task->err, task->entry.rule.flow_id, task->device_key);
	weir_gate_task_free(gateway->gate, task);
}

static const char *forget_refusal(int err)
{
	switch (err) {
	case WEIR_NOTFOUND:
		return "the cluster knows no node %s";
	case WEIR_EXISTS:
		return "node %s lives, or looked alive a moment ago";
	case WEIR_CONFLICT:
		return "node %s is master or standby of a device: take that role from it first";
	default:
		return "node %s was not struck off: this node is no member now, or is busy; try "
		       "again";
	}
}

/* What a request to the control core does not find is a node, not a rule. */
static void request_answer(
	struct weir_gateway *gateway, struct weir_reply *reply, const struct weir_request *request)
{
	if (request->err == 0) {
		weir_reply_simple(reply, "OK");
	} else if (request->kind == WEIR_REQUEST_NODE_FORGET) {
		weir_stat_add(gateway->stats.errors, 1UL);
		weir_reply_error(reply, request->err, forget_refusal(request->err), request->node);
	} else if (request->err == WEIR_NOTFOUND) {
		weir_stat_add(gateway->stats.errors, 1UL);
		weir_reply_error(reply, request->err,
			request->role == WEIR_ROLE_MASTER
				? "no such live node: %s"
				: "no such live node: %s, or none to take its place",
			request->node);
	} else {
		error_put(gateway, reply, request->err, weir_device_key(request->device));
	}
}

void weir_conn_request_done(struct weir_gateway *gateway, struct weir_request *request)
{
	struct weir_conn *conn = request->owner;

	gateway->requests_under_way--;
	if (conn_back(conn)) {
		conn->control = false;
		gateway->aside.protocol = conn->out.protocol;
		request_answer(gateway, &gateway->aside, request);
		slot_fill(conn, request->cookie, &gateway->aside);
		weir_conn_touch(conn);
	}
	free(request);
}

/* ------------------------------------------------------------------------------ execution --- */

/* Answers that the request is malformed; nothing more is read from this client. */
static void malformed(struct weir_conn *conn, struct weir_reply *reply)
{
	weir_stat_add(conn->gateway->stats.malformed, 1UL);
	weir_reply_error(reply, WEIR_ERR, "Protocol error: %s", conn->resp.fault);
	conn->closing = true;
}

static enum weir_call_result command_run(const struct weir_call *call)
{
	const struct weir_word *name = &call->words->word[0];

	if (call->command == NULL) {
		weir_reply_error(call->reply, WEIR_ERR, "unknown command '%.*s', HELP lists them",
			(int)(name->len < 64 ? name->len : 64), name->at);
		return WEIR_CALL_ANSWERED;
	}
	if (!weir_command_arity_right(call->command, call->words->count)) {
		weir_reply_error(call->reply, WEIR_ERR,
			"wrong number of arguments for '%s' command, it is: %s %s",
			call->command->name, call->command->name, call->command->syntax);
		return WEIR_CALL_ANSWERED;
	}
	return call->command->run(call);
}

/* Runs the request whose words stand in the gateway. Returns false where it has to wait. */
static bool request_run(struct weir_conn *conn)
{
	struct weir_gateway *gateway = conn->gateway;
	struct weir_call call = {gateway->api->store, gateway, conn,
		weir_command_find(&gateway->words.word[0]), &gateway->words, &conn->out};
	enum weir_call_result result;
	size_t mark = conn->out.len;

	if (conn->head != conn->tail) {
		if (call.command != NULL && !(call.command->flags & WEIR_COMMAND_WRITE))
			return false;
		call.reply = &gateway->aside;
		call.reply->protocol = conn->out.protocol;
		mark = 0;
	}
	result = command_run(&call);
	if (result == WEIR_CALL_LATER)
		return false;
	weir_stat_add(gateway->stats.requests, 1UL);
	if (result == WEIR_CALL_TAKEN)
		return true;
	if (call.reply->len > mark && call.reply->bytes[mark] == '-')
		weir_stat_add(gateway->stats.errors, 1UL);
	if (call.reply == &gateway->aside)
		slot_fill(conn, slot_take(conn), call.reply);
	return true;
}

/* Whether the next request may be looked at. */
static bool may_execute(struct weir_conn *conn)
{
	if (conn->control || weir_reply_left(&conn->out) >= WEIR_API_OUTPUT_MAX)
		return false;
	if (slot_room(conn))
		return true;
	if (conn->head == conn->tail)
		conn->out.bad = true; /* memory is short */
	return false;
}

/* Executes what is whole in the input. */
static void input_execute(struct weir_conn *conn)
{
	struct weir_gateway *gateway = conn->gateway;
	long taken;

	conn->stalled = false;
	while (!conn->closing && conn->in_start < conn->in_len) {
		if (!may_execute(conn)) {
			conn->stalled = true;
			return;
		}
		taken = weir_resp_parse(&conn->resp, conn->in + conn->in_start,
			conn->in_len - conn->in_start, &gateway->words);
		if (taken == 0)
			return;
		if (taken < 0) {
			malformed(conn, &gateway->aside);
			slot_fill(conn, slot_take(conn), &gateway->aside);
			slots_deliver(conn);
			return;
		}
		if (gateway->words.count > 0 && !request_run(conn)) {
			conn->stalled = true;
			return;
		}
		conn->in_start += (size_t)taken;
	}
}

/* ---------------------------------------------------------------------------- input, output --- */

/* Makes room in the input. */
static bool input_room(struct weir_conn *conn)
{
	size_t left = conn->in_len - conn->in_start;
	size_t room = conn->in_room > 0 ? conn->in_room : INPUT_FIRST;
	char *in;

	if (conn->in_start > 0 && left > 0)
		memmove(conn->in, conn->in + conn->in_start, left);
	conn->in_start = 0;
	conn->in_len = left;
	if (left < conn->in_room)
		return true;
	if (conn->in_room > 0)
		room *= 2;
	/* The parser refuses a request long before this. */
	weir_assert(room <= 4 * WEIR_API_REQUEST_MAX);
	in = realloc(conn->in, room);
	if (in == NULL)
		return false;
	conn->in = in;
	conn->in_room = room;
	return true;
}

/* Reads what the socket has, at most a buffer full. Returns false where the connection is broken.
 */
static bool input_read(struct weir_conn *conn)
{
	ssize_t got;

	conn->readable = false;
	if (!input_room(conn))
		return false;
	got = recv(conn->fd, conn->in + conn->in_len, conn->in_room - conn->in_len, 0);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR;
	if (got == 0)
		conn->eof = true;
	conn->in_len += (size_t)got;
	weir_stat_add(conn->gateway->stats.bytes_in, (unsigned long)got);
	return true;
}

/* Gives memory of an empty input back that one large request or burst has taken. */
static void input_trim(struct weir_conn *conn)
{
	if (conn->in_start < conn->in_len && !conn->closing)
		return;
	conn->in_start = conn->in_len = 0;
	if (conn->in_room > WEIR_API_READ_BYTES) {
		free(conn->in);
		conn->in = NULL;
		conn->in_room = 0;
	}
}

/* Sends as much as the socket takes. Returns false where the connection is broken. */
static bool output_send(struct weir_conn *conn)
{
	struct weir_reply *out = &conn->out;
	ssize_t sent;

	if (out->bad)
		return false;
	if (weir_reply_left(out) == 0)
		return true;
	sent = send(conn->fd, out->bytes + out->start, weir_reply_left(out), MSG_NOSIGNAL);
	if (sent < 0)
		return errno == EAGAIN || errno == EINTR;
	weir_stat_add(conn->gateway->stats.bytes_out, (unsigned long)sent);
	out->start += (size_t)sent;
	if (weir_reply_left(out) > 0)
		return true;
	weir_reply_clear(out);
	if (out->room > WEIR_API_READ_BYTES)
		weir_reply_free(out);
	return true;
}

static void event_switch(struct event *event, bool *is, bool want)
{
	if (*is == want)
		return;
	*is = want;
	if (want)
		event_add(event, NULL);
	else
		event_del(event);
}

/* Whether all is said and the client is to go. */
static bool conn_over(const struct weir_conn *conn)
{
	bool quiet = conn->head == conn->tail && weir_reply_left(&conn->out) == 0;

	return quiet && (conn->closing || (conn->eof && !conn->stalled));
}

void weir_conn_turn(struct weir_conn *conn)
{
	bool full;

	slots_deliver(conn);
	if (conn->readable && !conn->stalled && !conn->closing && !conn->eof && !input_read(conn)) {
		weir_conn_close(conn);
		return;
	}
	input_execute(conn);
	input_trim(conn);
	full = weir_reply_left(&conn->out) >= WEIR_API_OUTPUT_MAX;
	if (!output_send(conn) || conn_over(conn)) {
		weir_conn_close(conn);
		return;
	}
	event_switch(conn->write_event, &conn->writing, weir_reply_left(&conn->out) > 0);
	event_switch(
		conn->read_event, &conn->reading, !conn->stalled && !conn->closing && !conn->eof);
	if (full && weir_reply_left(&conn->out) < WEIR_API_OUTPUT_MAX)
		weir_conn_touch(conn); /* nothing else would call this turn again */
}
