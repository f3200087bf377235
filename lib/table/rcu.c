/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "table/rcu.h"

__thread struct weir_reader weir_rcu_self;

static TAILQ_HEAD(, weir_reader) readers = TAILQ_HEAD_INITIALIZER(readers);
static pthread_mutex_t readers_lock = PTHREAD_MUTEX_INITIALIZER;

void weir_rcu_register(void)
{
	struct weir_reader *self = &weir_rcu_self;

	self->tid = gettid();
	prctl(PR_GET_NAME, self->name);
	weir_rcu_poke(self->state, (self->state + 2) & ~1ULL);
	pthread_mutex_lock(&readers_lock);
	self->seen = self->state - 2; /* it is watched from the next look on */
	TAILQ_INSERT_TAIL(&readers, self, link);
	pthread_mutex_unlock(&readers_lock);
	urcu_qsbr_register_thread();
}

void weir_rcu_unregister(void)
{
	WEIR_RCU_TSAN_BEFORE();
	urcu_qsbr_unregister_thread();
	pthread_mutex_lock(&readers_lock);
	TAILQ_REMOVE(&readers, &weir_rcu_self, link);
	pthread_mutex_unlock(&readers_lock);
}

/* Nothing more where the room is spent. */
static size_t append(char *names, size_t room, size_t len, const struct weir_reader *reader)
{
	int more;

	if (len >= room)
		return len;
	more = snprintf(names + len, room - len, "%s%s (%d)", len > 0 ? ", " : "", reader->name,
		(int)reader->tid);
	return len + (size_t)more;
}

unsigned weir_rcu_watch(char *names, size_t room)
{
	struct weir_reader *reader;
	unsigned count = 0;
	size_t len = 0;

	if (room > 0)
		names[0] = '\0';
	pthread_mutex_lock(&readers_lock);
	TAILQ_FOREACH (reader, &readers, link) {
		uint64_t state = weir_rcu_peek(reader->state);

		if (state == reader->seen && (state & 1) == 0) {
			len = append(names, room, len, reader);
			count++;
		}
		reader->seen = state;
	}
	pthread_mutex_unlock(&readers_lock);
	return count;
}
