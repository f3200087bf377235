/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>
#include <sys/mman.h>

#include "base/err.h"
#include "link/queue.h"

int weir_queue_init(struct weir_queue *queue, size_t bytes_max)
{
	size_t size_max = WEIR_QUEUE_BYTES_MIN;

	while (size_max < bytes_max)
		size_max *= 2;
	*queue = (struct weir_queue){.size = WEIR_QUEUE_BYTES_MIN, .size_max = size_max};
	queue->bytes = mmap(NULL, size_max, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (queue->bytes == MAP_FAILED) {
		queue->bytes = NULL;
		return WEIR_BUSY;
	}
	return 0;
}

void weir_queue_fini(struct weir_queue *queue)
{
	if (queue->bytes != NULL)
		munmap(queue->bytes, queue->size_max);
	queue->bytes = NULL;
}

void weir_queue_reset(struct weir_queue *queue)
{
	if (queue->size > WEIR_QUEUE_BYTES_MIN)
		madvise(queue->bytes, queue->size, MADV_DONTNEED);
	queue->size = WEIR_QUEUE_BYTES_MIN;
	queue->head = queue->tail = 0;
}

/** A byte whose position has the bit `size` set moves up by `size`; the others stay. */
static void queue_double(struct weir_queue *queue)
{
	const size_t size = queue->size;
	uint64_t at = queue->head;

	while (at < queue->tail) {
		const size_t idx = at & (size - 1);
		size_t len = size - idx;

		if (len > queue->tail - at)
			len = (size_t)(queue->tail - at);
		if ((at & size) != 0)
			memcpy(queue->bytes + size + idx, queue->bytes + idx, len);
		at += len;
	}
	queue->size = size * 2;
}

void weir_queue_grow(struct weir_queue *queue, size_t len)
{
	while (queue->size - weir_queue_used(queue) < len) {
		weir_assert(queue->size < queue->size_max);
		queue_double(queue);
	}
}

void weir_queue_write(struct weir_queue *queue, uint64_t position, const void *bytes, size_t len)
{
	const size_t idx = position & (queue->size - 1);
	const size_t first = queue->size - idx;

	if (len <= first) {
		memcpy(queue->bytes + idx, bytes, len);
		return;
	}
	memcpy(queue->bytes + idx, bytes, first);
	memcpy(queue->bytes, (const uint8_t *)bytes + first, len - first);
}

void weir_queue_read(const struct weir_queue *queue, uint64_t position, void *bytes, size_t len)
{
	const size_t idx = position & (queue->size - 1);
	const size_t first = queue->size - idx;

	if (len <= first) {
		memcpy(bytes, queue->bytes + idx, len);
		return;
	}
	memcpy(bytes, queue->bytes + idx, first);
	memcpy((uint8_t *)bytes + first, queue->bytes, len - first);
}
