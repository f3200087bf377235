/* SPDX-License-Identifier: BSD-3-Clause */
#include <ctype.h>
#include <stdio.h>

#include <event2/event.h>
#include <hiredis/hiredis.h>
#include <hiredis/adapters/libevent.h>

#include "base/clock.h"
#include "base/err.h"
#include "coord/redis/dial.h"

void weir_coord_trouble(const redisAsyncContext *ac, char *text, size_t size)
{
	const char *said = ac->errstr != NULL && ac->errstr[0] != '\0' ? ac->errstr : ac->c.errstr;

	snprintf(text, size, "%s", said[0] != '\0' ? said : "the connection has ended");
	text[0] = (char)tolower((unsigned char)text[0]);
}

redisAsyncContext *weir_coord_dial(const struct weir_coord_address *address,
	struct event_base *base, void *data, char *text, size_t size)
{
	redisAsyncContext *ac = address->host[0] == '\0'
					? redisAsyncConnectUnix(address->text)
					: redisAsyncConnect(address->host, address->port);

	weir_assert(ac != NULL);
	if (ac->err != 0) {
		weir_coord_trouble(ac, text, size);
		redisAsyncFree(ac);
		return NULL;
	}
	ac->data = data;
	if (address->host[0] != '\0')
		redisEnableKeepAlive(&ac->c);
	weir_assert(redisLibeventAttach(ac, base) == REDIS_OK);
	return ac;
}

void weir_coord_hang_up(redisAsyncContext **context)
{
	redisAsyncContext *ac = *context;

	*context = NULL;
	if (ac != NULL)
		redisAsyncFree(ac);
}

void weir_coord_timer_set(struct event *timer, uint64_t ns)
{
	const struct timeval tv = {
		.tv_sec = (time_t)(ns / WEIR_NS_PER_S),
		.tv_usec = (suseconds_t)(ns % WEIR_NS_PER_S / WEIR_NS_PER_US),
	};

	event_add(timer, &tv);
}
