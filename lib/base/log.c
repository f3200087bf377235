/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdarg.h>
#include <stdio.h>

#include "base/log.h"

#define LINE_BYTES 1024

static const char *const room_names[WEIR_ROOMS_COUNT] = {
	[WEIR_ROOM_FLOW] = "flow",
	[WEIR_ROOM_TABLE] = "table",
	[WEIR_ROOM_WIRE] = "wire",
	[WEIR_ROOM_REPLICA] = "replica",
	[WEIR_ROOM_TENURE] = "tenure",
	[WEIR_ROOM_LINK] = "link",
	[WEIR_ROOM_COORD] = "coord",
	[WEIR_ROOM_STORE] = "store",
	[WEIR_ROOM_API] = "api",
	[WEIR_ROOM_CLIENT] = "client",
	[WEIR_ROOM_NODE] = "node",
};

static void standard_error(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	if (level <= WEIR_LOG_NOTICE)
		fprintf(stderr, "weir.%s: %s\n", weir_log_room_name(room), line);
}

static weir_log_sink *current_sink = standard_error;

const char *weir_log_room_name(enum weir_log_room room)
{
	return room < WEIR_ROOMS_COUNT ? room_names[room] : "?";
}

void weir_log_sink_set(weir_log_sink *sink)
{
	current_sink = sink != NULL ? sink : standard_error;
}

void weir_log(enum weir_log_room room, enum weir_log_level level, const char *format, ...)
{
	char line[LINE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	current_sink(room, level, line);
}
