/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdio.h>
#include <time.h>

#include <rte_log.h>

#include "base/log.h"

#include "logging.h"

static int log_types[WEIR_ROOMS_COUNT];

static const char *level_name(enum weir_log_level level)
{
	switch (level) {
	case WEIR_LOG_ERR:
		return "error";
	case WEIR_LOG_WARNING:
		return "warning";
	case WEIR_LOG_NOTICE:
		return "notice";
	case WEIR_LOG_INFO:
		return "info";
	case WEIR_LOG_DEBUG:
		return "debug";
	}
	return "?";
}

static void to_rte_log(enum weir_log_room room, enum weir_log_level level, const char *line)
{
	char stamp[32];
	struct timespec now;
	struct tm utc;

	if (log_types[room] < 0 || !rte_log_can_log((uint32_t)log_types[room], level))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
	rte_log(level, (uint32_t)log_types[room], "%s.%03ldZ %s weir.%s: %s\n", stamp,
		now.tv_nsec / 1000000, level_name(level), weir_log_room_name(room), line);
}

void weir_logging_start(void)
{
	char name[32];

	for (unsigned room = 0; room < WEIR_ROOMS_COUNT; room++) {
		snprintf(name, sizeof(name), "weir.%s", weir_log_room_name(room));
		log_types[room] = rte_log_register(name);
		if (log_types[room] >= 0)
			rte_log_set_level((uint32_t)log_types[room], WEIR_LOG_NOTICE);
	}
	weir_log_sink_set(to_rte_log);
}
