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

/** Length of the message whose prefix stands at `bytes`; 0 where no message has it. */
static size_t message_len(const uint8_t *bytes)
{
	uint16_t len;

	memcpy(&len, bytes, sizeof(len));
	len = le16toh(len);
	return len <= WEIR_MESSAGE_BYTES_MAX ? len : 0;
}

/** Bytes up to the next point where the partial message's state is known to change. */
static size_t partial_wants(const struct weir_receiver *receiver)
{
	const size_t prefix = WEIR_QUEUE_PREFIX;
	const size_t have = receiver->partial_len;

	return (have < prefix ? prefix : prefix + message_len(receiver->partial)) - have;
}

/** Adds to the message that began in an earlier frame. @return bytes taken */
static size_t partial_add(struct weir_receiver *receiver, const uint8_t *bytes, size_t len)
{
	const size_t wants = partial_wants(receiver);
	const size_t taken = len < wants ? len : wants;

	memcpy(receiver->partial + receiver->partial_len, bytes, taken);
	receiver->partial_len += (uint32_t)taken;
	return taken;
}

int weir_receiver_take(struct weir_receiver *receiver, const uint8_t *bytes, size_t len,
	weir_receiver_sink *sink, void *ctx)
{
	const uint8_t *const end = bytes + len;
	int messages_count = 0;

	while (bytes < end) {
		const size_t left = (size_t)(end - bytes);

		if (receiver->partial_len == 0 && left >= WEIR_QUEUE_PREFIX) {
			const size_t message = message_len(bytes);

			if (message == 0)
				return -1;
			if (left >= WEIR_QUEUE_PREFIX + message) {
				sink(ctx, bytes + WEIR_QUEUE_PREFIX, message);
				bytes += WEIR_QUEUE_PREFIX + message;
				messages_count++;
				continue;
			}
		}
		bytes += partial_add(receiver, bytes, left);
		if (receiver->partial_len < WEIR_QUEUE_PREFIX)
			continue;
		if (message_len(receiver->partial) == 0)
			return -1;
		if (partial_wants(receiver) == 0) {
			sink(ctx, receiver->partial + WEIR_QUEUE_PREFIX,
				receiver->partial_len - WEIR_QUEUE_PREFIX);
			receiver->partial_len = 0;
			messages_count++;
		}
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
