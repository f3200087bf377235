/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A coordinator's client for tests: asks and waits, and speaks a small language, so that one table
 * of cases and one random sequence can be put to every driver:
 *
 *     register n1 [lease=MS] [seen=I] [salt=N]        OK incarnation=1 | EXISTS
 *     renew n1@1 [lease=MS] [since=R]                 OK revision=2 nodes=n1@1,n2@4- records=...
 *     change n1@1 d1 expect=0 [new] [seen_term=T] [seen_revision=R] [term=T] [active=T]
 *            [master=n1@1] [backups=n2,n3] [insync=n1@1,n2@4]
 *     leave n1@1
 *     forget n1@1 n2 [since=R]
 *
 * A node that is not live has a "-", one registered with a salt "/salt", and "!" when the rest of
 * what it said of itself has not come through. A record is
 * device:term:active:revision:master:backups:insync.
 */
#ifndef WEIR_TEST_COORD_CLIENT_H
#define WEIR_TEST_COORD_CLIENT_H

#include <event2/event.h>

#include "base/clock.h"
#include "tenure/coord.h"

/** What tests wait for comes within this time. */
#define CLIENT_DEADLINE_NS (20 * WEIR_NS_PER_S)

/** A lease that outlasts every test. */
#define CLIENT_LEASE_MS 600000

struct client {
	struct weir_coord *coord;
	struct event_base *base;
	struct event *tick;              /* no turn of the loop is longer */
	struct weir_coord_answer answer; /* the last one; its arrays are copies */
	struct weir_node nodes[WEIR_NODES_MAX];
	struct weir_record records[WEIR_COORD_RECORDS_MAX];
	uint64_t ticket;
	unsigned answers_count;
	unsigned hints_count;
	unsigned reaches_count;
	bool asking; /* inside ask: no event may come */
	bool reachable;
	char sentence[512];
};

extern const struct weir_coord_events client_events;

void client_init(struct client *client);

/** Destroys the driver, too. */
void client_clean(struct client *client);

/** Asks, without waiting. The ticket is set. */
void client_send(struct client *client, struct weir_coord_request *request);

/** Runs the loop until `count` answers have come in all, or fails the test. */
void client_wait_answers(struct client *client, unsigned count);

/** Asks and waits for the answer. */
const struct weir_coord_answer *client_ask(
	struct client *client, struct weir_coord_request *request);

/** Runs the loop until *what is `value`, or fails the test. */
void client_wait_bool(struct client *client, const bool *what, bool value);

/** Runs the loop until *what is at least `value`, or fails the test. */
void client_wait_count(struct client *client, const unsigned *what, unsigned value);

/** Runs the loop until the last sentence about the reach has this in it, or fails the test. */
void client_wait_sentence(struct client *client, const char *part);

/** Runs the loop for so long. */
void client_run_ms(struct client *client, unsigned ms);

/** A request in the small language, with what it points to. */
struct client_request {
	struct weir_coord_request request;
	char node[WEIR_NODE_ID_MAX];
	struct weir_node self;
	struct weir_record record;
	char forgotten[WEIR_NODE_ID_MAX];
};

void client_request_read(struct client_request *to, const char *text);

/** What a node says of itself in tests. */
struct weir_node client_self(const char *id, uint16_t salt);

/** The last answer in the small language. */
void client_answer_print(const struct client *client, char *text, size_t size);

/** Asks and waits, all in the small language. */
void client_say(struct client *client, const char *request, char *answer, size_t size);

/** As above, and fails the test unless the answer is the expected one. */
void client_expect(struct client *client, const char *request, const char *expected);

#define CLIENT_TEXT_MAX 65536

#endif
