/* SPDX-License-Identifier: BSD-3-Clause */
#include "api/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define ROOM_FIRST 4096
#define ERROR_MAX  512

void weir_reply_free(struct weir_reply *reply)
{
	free(reply->bytes);
	reply->bytes = NULL;
	reply->start = reply->len = reply->room = 0;
}

/* Makes room by moving what is unsent to the front, else by growing. */
static bool room_make(struct weir_reply *reply, size_t len)
{
	size_t room = reply->room > 0 ? reply->room : ROOM_FIRST;
	size_t left = weir_reply_left(reply);
	char *bytes;

	if (reply->start >= left && left + len <= reply->room) {
		memcpy(reply->bytes, reply->bytes + reply->start, left);
		reply->start = 0;
		reply->len = left;
		return true;
	}
	while (room < reply->len + len)
		room *= 2;
	bytes = realloc(reply->bytes, room);
	if (bytes == NULL) {
		reply->bad = true;
		return false;
	}
	reply->bytes = bytes;
	reply->room = room;
	return true;
}

char *weir_reply_room(struct weir_reply *reply, size_t len)
{
	if (reply->bad || (reply->len + len > reply->room && !room_make(reply, len)))
		return NULL;
	return reply->bytes + reply->len;
}

void weir_reply_raw(struct weir_reply *reply, const void *bytes, size_t len)
{
	char *at = weir_reply_room(reply, len);

	if (at == NULL || len == 0)
		return;
	memcpy(at, bytes, len);
	reply->len += len;
}

/* "<type><number>\r\n" */
static void header_put(struct weir_reply *reply, char type, uint64_t number)
{
	char line[24];
	unsigned at = sizeof(line);

	line[--at] = '\n';
	line[--at] = '\r';
	do {
		line[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	line[--at] = type;
	weir_reply_raw(reply, line + at, sizeof(line) - at);
}

void weir_reply_simple(struct weir_reply *reply, const char *text)
{
	weir_reply_raw(reply, "+", 1);
	weir_reply_raw(reply, text, strlen(text));
	weir_reply_raw(reply, "\r\n", 2);
}

void weir_reply_error(struct weir_reply *reply, int err, const char *format, ...)
{
	char line[ERROR_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ')
			*c = ' ';
	weir_reply_raw(reply, "-", 1);
	weir_reply_raw(reply, weir_err_code(err), strlen(weir_err_code(err)));
	weir_reply_raw(reply, " ", 1);
	weir_reply_raw(reply, line, strlen(line));
	weir_reply_raw(reply, "\r\n", 2);
}

void weir_reply_bulk(struct weir_reply *reply, const void *bytes, size_t len)
{
	header_put(reply, '$', len);
	weir_reply_raw(reply, bytes, len);
	weir_reply_raw(reply, "\r\n", 2);
}

void weir_reply_text(struct weir_reply *reply, const char *text)
{
	weir_reply_bulk(reply, text, strlen(text));
}

void weir_reply_format(struct weir_reply *reply, const char *format, ...)
{
	char text[1024];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	weir_assert(len >= 0 && (size_t)len < sizeof(text));
	weir_reply_bulk(reply, text, (size_t)len);
}

void weir_reply_number(struct weir_reply *reply, uint64_t number)
{
	header_put(reply, ':', number);
}

void weir_reply_null(struct weir_reply *reply)
{
	if (reply->protocol == 3)
		weir_reply_raw(reply, "_\r\n", 3);
	else
		weir_reply_raw(reply, "$-1\r\n", 5);
}

void weir_reply_flow_id(struct weir_reply *reply, uint64_t flow_id)
{
	static const char digits[] = "0123456789abcdef";
	char text[] = "$18\r\n0x0000000000000000\r\n";

	for (unsigned i = 0; i < 16; i++)
		text[22 - i] = digits[flow_id >> (4 * i) & 15];
	weir_reply_raw(reply, text, sizeof(text) - 1);
}

void weir_reply_array(struct weir_reply *reply, unsigned count)
{
	header_put(reply, '*', count);
}

void weir_reply_map(struct weir_reply *reply, unsigned pairs)
{
	if (reply->protocol == 3)
		header_put(reply, '%', pairs);
	else
		header_put(reply, '*', 2 * (uint64_t)pairs);
}
