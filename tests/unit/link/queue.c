/* SPDX-License-Identifier: BSD-3-Clause */
/* The send queue gives back what was written, wherever it wraps and grows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "link/queue.h"

#define QUEUE_BYTES (1U << 20)

static uint8_t byte_at(uint64_t position)
{
	return (uint8_t)((position * 0x9e3779b97f4a7c15ULL) >> 56);
}

static void append(struct weir_queue *queue, size_t len)
{
	uint8_t *bytes = malloc(len);

	for (size_t i = 0; i < len; i++)
		bytes[i] = byte_at(queue->tail + i);
	weir_queue_grow(queue, len);
	weir_queue_write(queue, queue->tail, bytes, len);
	queue->tail += len;
	free(bytes);
}

static void check(const struct weir_queue *queue)
{
	const size_t len = weir_queue_used(queue);
	uint8_t *bytes = malloc(len + 1);

	weir_queue_read(queue, queue->head, bytes, len);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(bytes[i], byte_at(queue->head + i));
	free(bytes);
}

/** The ring is made to grow with its content beginning at many places in it. */
static void growing_keeps_the_bytes_wherever_they_begin(void **state)
{
	for (unsigned i = 0; i < 64; i++) {
		struct weir_queue queue;

		assert_int_equal(weir_queue_init(&queue, QUEUE_BYTES), 0);
		for (unsigned k = 0; k <= i; k++) {
			append(&queue, WEIR_QUEUE_BYTES_MIN / 24);
			queue.head = queue.tail;
		}
		for (size_t size = WEIR_QUEUE_BYTES_MIN; size < QUEUE_BYTES; size *= 2) {
			append(&queue, size - weir_queue_used(&queue));
			assert_int_equal(queue.size, size);
			append(&queue, 1 + i * 97);
			assert_int_equal(queue.size, size * 2);
			check(&queue);
			queue.head += i * 13;
		}
		weir_queue_reset(&queue);
		assert_int_equal(queue.size, WEIR_QUEUE_BYTES_MIN);
		append(&queue, 1000);
		check(&queue);
		weir_queue_fini(&queue);
	}
}

static void bytes_wrap(void **state)
{
	struct weir_queue queue;

	assert_int_equal(weir_queue_init(&queue, 1), 0);
	assert_int_equal(queue.size_max, WEIR_QUEUE_BYTES_MIN);
	for (unsigned i = 0; i < 1000; i++) {
		append(&queue, 1 + i * 7);
		check(&queue);
		if (weir_queue_used(&queue) > 40000)
			queue.head = queue.tail - i;
	}
	assert_int_equal(queue.size, WEIR_QUEUE_BYTES_MIN);
	weir_queue_fini(&queue);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(growing_keeps_the_bytes_wherever_they_begin),
		cmocka_unit_test(bytes_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
