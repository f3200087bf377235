/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <string.h>

#include <rte_mbuf.h>

#include "link/receiver.h"

static struct rte_mbuf **kept_at(struct weir_receiver *receiver, uint64_t seq)
{
	return &receiver->kept[seq & (WEIR_WINDOW_FRAMES_MAX - 1)];
}

uint32_t weir_receiver_reset(struct weir_receiver *receiver)
{
	const uint32_t kept_count = receiver->kept_count;

	for (unsigned i = 0; receiver->kept_count > 0; i++) {
		if (receiver->kept[i] == NULL)
			continue;
		rte_pktmbuf_free(receiver->kept[i]);
		receiver->kept[i] = NULL;
		receiver->kept_count--;
	}
	receiver->expected = 1;
	receiver->seen = 0;
	receiver->kept_last = 0;
	receiver->partial_len = 0;
	return kept_count;
}

/**
 * Reads the length of the message that begins at `bytes`, of which there are one or more.
 * @return bytes that the length takes; 0 where more are needed; -1 where no message has it
 */
static int prefix_read(const uint8_t *bytes, size_t left, size_t *len)
{
	*len = bytes[0] & WEIR_QUEUE_PREFIX_SHORT;
	if (bytes[0] <= WEIR_QUEUE_PREFIX_SHORT)
		return *len == 0 ? -1 : 1;
	if (left < WEIR_QUEUE_PREFIX_MAX)
		return 0;
	*len |= (size_t)bytes[1] << 7;
	return bytes[1] == 0 || *len > WEIR_MESSAGE_BYTES_MAX ? -1 : WEIR_QUEUE_PREFIX_MAX;
}

/**
 * Adds to the message that began in an earlier frame, and gives it to the sink when it is whole.
 * @return bytes taken; -1 where they are no message
 */
static int partial_add(struct weir_receiver *receiver, const uint8_t *bytes, size_t len,
	weir_receiver_sink *sink, void *ctx)
{
	size_t message, wants = 1;
	const int prefix = prefix_read(receiver->partial, receiver->partial_len, &message);

	if (prefix > 0)
		wants = (size_t)prefix + message - receiver->partial_len;
	if (wants > len)
		wants = len;
	memcpy(receiver->partial + receiver->partial_len, bytes, wants);
	receiver->partial_len += (uint32_t)wants;
	if (prefix == 0)
		return prefix_read(receiver->partial, receiver->partial_len, &message) < 0 ? -1 : 1;
	if (receiver->partial_len == (size_t)prefix + message) {
		sink(ctx, receiver->partial + prefix, message);
		receiver->partial_len = 0;
	}
	return (int)wants;
}

int weir_receiver_take(struct weir_receiver *receiver, const uint8_t *bytes, size_t len,
	weir_receiver_sink *sink, void *ctx)
{
	const uint8_t *const end = bytes + len;
	int messages_count = 0;

	while (bytes < end && receiver->partial_len > 0) {
		const int taken = partial_add(receiver, bytes, (size_t)(end - bytes), sink, ctx);

		if (taken < 0)
			return -1;
		bytes += taken;
		messages_count += receiver->partial_len == 0;
	}
	while (bytes < end) {
		const size_t left = (size_t)(end - bytes);
		size_t message;
		const int prefix = prefix_read(bytes, left, &message);

		if (prefix < 0)
			return -1;
		if (prefix == 0 || left < (size_t)prefix + message) {
			memcpy(receiver->partial, bytes, left);
			receiver->partial_len = (uint32_t)left;
			break;
		}
		sink(ctx, bytes + prefix, message);
		bytes += (size_t)prefix + message;
		messages_count++;
	}
	return messages_count;
}

bool weir_receiver_keep(
	struct weir_receiver *receiver, uint64_t seq, struct rte_mbuf *mbuf, uint16_t offset)
{
	struct rte_mbuf **kept = kept_at(receiver, seq);

	if (*kept != NULL)
		return false;
	rte_pktmbuf_adj(mbuf, offset);
	*kept = mbuf;
	receiver->kept_count++;
	if (seq > receiver->kept_last)
		receiver->kept_last = seq;
	return true;
}

struct rte_mbuf *weir_receiver_kept(struct weir_receiver *receiver)
{
	struct rte_mbuf **kept = kept_at(receiver, receiver->expected);
	struct rte_mbuf *mbuf = *kept;

	if (mbuf != NULL) {
		*kept = NULL;
		receiver->kept_count--;
	}
	return mbuf;
}

unsigned weir_receiver_sacks(
	const struct weir_receiver *receiver, uint8_t *words, unsigned words_max)
{
	const uint64_t first = receiver->expected + 1;
	unsigned words_count;

	if (receiver->kept_count == 0)
		return 0;
	words_count = (unsigned)((receiver->kept_last - first) / 64 + 1);
	if (words_count > words_max)
		words_count = words_max;
	for (unsigned i = 0; i < words_count; i++) {
		uint64_t word = 0;

		for (unsigned bit = 0; bit < 64; bit++) {
			const uint64_t seq = first + i * 64 + bit;

			if (seq > receiver->kept_last)
				break;
			if (receiver->kept[seq & (WEIR_WINDOW_FRAMES_MAX - 1)] != NULL)
				word |= 1ULL << bit;
		}
		word = htole64(word);
		memcpy(words + i * sizeof(word), &word, sizeof(word));
	}
	return words_count;
}
