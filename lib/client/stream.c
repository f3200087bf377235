/* SPDX-License-Identifier: BSD-3-Clause */
#include "client/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define OUT_FIRST (64U << 10)

int weir_stream_connect(struct weir_stream *stream, const char *socket_path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int err;

	if (strlen(socket_path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, socket_path);
	stream->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (stream->fd < 0)
		return -errno;
	/* A Unix socket is connected at once, or not at all. */
	if (connect(stream->fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0)
		return 0;
	err = -errno;
	weir_stream_close(stream);
	return err;
}

void weir_stream_close(struct weir_stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream->out);
	stream->fd = -1;
	stream->out = NULL;
	stream->out_start = stream->out_len = stream->out_room = 0;
	stream->in_start = stream->in_len = 0;
}

bool weir_stream_put(struct weir_stream *stream, const void *bytes, size_t len)
{
	if (stream->out_len + len > stream->out_room) {
		size_t room = stream->out_room > 0 ? stream->out_room : OUT_FIRST;
		char *out;

		while (room < stream->out_len + len)
			room *= 2;
		out = realloc(stream->out, room);
		if (out == NULL)
			return false;
		stream->out = out;
		stream->out_room = room;
	}
	memcpy(stream->out + stream->out_len, bytes, len);
	stream->out_len += len;
	return true;
}

int weir_stream_send(struct weir_stream *stream)
{
	while (stream->out_start < stream->out_len) {
		ssize_t sent = send(stream->fd, stream->out + stream->out_start,
			stream->out_len - stream->out_start, MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		stream->out_start += (size_t)sent;
	}
	stream->out_start = stream->out_len = 0;
	return 0;
}

long weir_stream_receive(struct weir_stream *stream)
{
	size_t left = stream->in_len - stream->in_start;
	ssize_t got;

	memmove(stream->in, stream->in + stream->in_start, left);
	stream->in_start = 0;
	stream->in_len = left;
	got = recv(stream->fd, stream->in + left, sizeof(stream->in) - left, 0);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (got == 0)
		return -ECONNRESET;
	stream->in_len += (size_t)got;
	return got;
}

/* A bulk string whose announcement "<len>" ends at `line`. */
static int bulk_answer(
	struct weir_stream *stream, const char *at, const char *line, struct weir_answer *answer)
{
	const char *end = stream->in + stream->in_len;
	size_t len = 0;

	answer->error = false;
	answer->text = line + 2;
	answer->len = 0;
	if (line - at == 2 && at[0] == '-' && at[1] == '1') {
		stream->in_start = (size_t)(line + 2 - stream->in);
		return 1;
	}
	for (; at < line; at++) {
		if (*at < '0' || *at > '9' || len > WEIR_STREAM_ANSWER_MAX)
			return -EPROTO;
		len = len * 10 + (size_t)(*at - '0');
	}
	if (len > WEIR_STREAM_ANSWER_MAX)
		return -EPROTO;
	if ((size_t)(end - line) < len + 4)
		return 0;
	if (line[2 + len] != '\r' || line[3 + len] != '\n')
		return -EPROTO;
	answer->len = len;
	stream->in_start = (size_t)(line + 4 + len - stream->in);
	return 1;
}

int weir_stream_answer(struct weir_stream *stream, struct weir_answer *answer)
{
	const char *at = stream->in + stream->in_start;
	size_t len = stream->in_len - stream->in_start;
	const char *line;

	if (len == 0)
		return 0;
	if (strchr("$+-:_", *at) == NULL || *at == '\0')
		return -EPROTO;
	line = memchr(at, '\n', len);
	if (line == NULL)
		return len > WEIR_STREAM_ANSWER_MAX ? -EPROTO : 0;
	if (line - at < 2 || line[-1] != '\r')
		return -EPROTO;
	line--;
	if (*at == '$')
		return bulk_answer(stream, at + 1, line, answer);
	answer->error = *at == '-';
	answer->text = at + 1;
	answer->len = (size_t)(line - at - 1);
	stream->in_start = (size_t)(line + 2 - stream->in);
	return 1;
}
