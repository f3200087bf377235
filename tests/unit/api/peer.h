/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A gateway in front of a false store, and clients that speak to it byte by byte.
 */
#ifndef TESTS_UNIT_API_PEER_H
#define TESTS_UNIT_API_PEER_H

#include <stdbool.h>
#include <stddef.h>

#include "api/api.h"
#include "fake.h"

/** How long anything is waited for. */
#define PEER_WAIT_MS 20000

struct peer {
	struct weir_store *store;
	struct weir_api *api;
	char socket[64];
};

/** Starts a gateway whose store has the device "d1". */
struct peer peer_start(const struct fake_conf *conf);
void peer_stop(struct peer *peer);

int peer_connect(const struct peer *peer);

/** Sends all of a text; false: the other side has closed. */
bool peer_send(int fd, const char *text);
bool peer_send_bytes(int fd, const void *bytes, size_t len);

/** The next bytes that come are these, and they come in time. */
void peer_expect(int fd, const char *text);

/** The same where `format` tells them. */
void peer_expect_format(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The other side closes, having sent nothing more. */
void peer_expect_end(int fd);

/** Reads one line, its end taken off. */
void peer_line(int fd, char *line, size_t room);

/** Nothing comes for some milliseconds. */
bool peer_silent(int fd, int ms);

/** Waits until `probe(store) == value`. */
void peer_wait(const struct peer *peer, unsigned long (*probe)(struct weir_store *store),
	unsigned long value);

/** A request, and the answer to it. */
void peer_ask(int fd, const char *request, const char *answer);

/** A flow of device d1 is added. */
#define ADD(match) "FLOW.ADD d1 " match ",actions=drop\r\n"

/** Memory, or the end of the test. */
void *peer_room_take(size_t bytes);

/** Adds flows of device d1 that differ in a number, all at once; and awaits their ids. */
void peer_many_send(int fd, unsigned first, unsigned count);
void peer_many_expect(int fd, unsigned first, unsigned count);

/** The id that the false store gives to a match, as it stands in an answer; good until the next. */
const char *peer_id_of(const char *match);

#endif
