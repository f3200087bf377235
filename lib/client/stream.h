/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * @file
 * A connection of the pipeline: requests go out as bytes, answers come in without an object each
 * (hiredis's reader makes several allocations an answer).
 */
#ifndef WEIR_CLIENT_STREAM_H
#define WEIR_CLIENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Longest answer to a pipelined request, a flow id or an error. */
#define WEIR_STREAM_ANSWER_MAX 8192

/** Bytes read at once. */
#define WEIR_STREAM_READ_BYTES (64U << 10)

struct weir_stream {
	int fd; /**< -1: not connected */
	char *out;
	size_t out_start, out_len, out_room;
	size_t in_start, in_len;
	char in[WEIR_STREAM_READ_BYTES + WEIR_STREAM_ANSWER_MAX];
};

/** One answer; good until the next call. */
struct weir_answer {
	bool error;
	const char *text;
	size_t len;
};

/** @return 0, or a negative errno */
int weir_stream_connect(struct weir_stream *stream, const char *socket);
void weir_stream_close(struct weir_stream *stream);

/** Queues bytes. @return false where memory is short */
bool weir_stream_put(struct weir_stream *stream, const void *bytes, size_t len);

/** Sends what the socket takes. @return 0, or a negative errno: the connection is broken */
int weir_stream_send(struct weir_stream *stream);

/** Takes what the socket has. @return bytes, 0: nothing now, or a negative errno: it is broken */
long weir_stream_receive(struct weir_stream *stream);

/** @return 1: an answer, 0: none is whole, < 0: what has come is no answer */
int weir_stream_answer(struct weir_stream *stream, struct weir_answer *answer);

#endif
