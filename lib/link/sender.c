/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "link/sender.h"

_Static_assert(WEIR_MESSAGE_BYTES_MAX < 1 << 15, "a message's length is 15 bits on the wire");
_Static_assert(WEIR_ACK_DELAY_NS * 4 <= WEIR_RTO_NS_MIN, "what waits is not taken for lost");

int weir_sender_init(struct weir_sender *sender, size_t queue_bytes, size_t payload_bytes)
{
	/* The bound counts message bytes; with messages of one byte the queue holds two for each.
	 */
	const int err = weir_queue_init(&sender->queue, queue_bytes * (1 + weir_queue_prefix(1)));

	if (err != 0)
		return err;
	sender->queue_bytes = queue_bytes;
	sender->payload_bytes = payload_bytes;
	weir_sender_reset(sender);
	return 0;
}

void weir_sender_fini(struct weir_sender *sender)
{
	weir_queue_fini(&sender->queue);
}

void weir_sender_reset(struct weir_sender *sender)
{
	weir_queue_reset(&sender->queue);
	sender->cut = 0;
	sender->room = sender->queue_bytes;
	sender->una = sender->next = 1;
	sender->order = sender->seen = 0;
	sender->flying = sender->lost = 0;
	sender->news = sender->limited = false;
	sender->window = WEIR_WINDOW_FRAMES;
	sender->threshold = WEIR_WINDOW_FRAMES_MAX;
	sender->credit = 0;
	sender->recover = sender->repeated = sender->lost_first = 0;
	sender->rtt_ns = sender->rtt_dev_ns = 0;
	sender->backoff = 0;
}

void weir_sender_put(struct weir_sender *sender, const void *bytes, size_t len)
{
	struct weir_queue *queue = &sender->queue;
	const size_t prefix_len = weir_queue_prefix(len);
	uint8_t prefix[WEIR_QUEUE_PREFIX_MAX] = {(uint8_t)len};

	if (prefix_len > 1) {
		prefix[0] |= WEIR_QUEUE_PREFIX_SHORT + 1;
		prefix[1] = (uint8_t)(len >> 7);
	}
	if (queue->size - weir_queue_used(queue) < len + prefix_len)
		weir_queue_grow(queue, len + prefix_len);
	weir_queue_write(queue, queue->tail, prefix, prefix_len);
	weir_queue_write(queue, queue->tail + prefix_len, bytes, len);
	queue->tail += len + prefix_len;
	sender->room -= len;
}

static struct weir_sent *sent_at(struct weir_sender *sender, uint64_t seq)
{
	return &sender->frames[seq & (WEIR_WINDOW_FRAMES_MAX - 1)];
}

static void state_set(
	struct weir_sender *sender, struct weir_sent *sent, enum weir_sent_state state)
{
	sender->flying -= sent->state == WEIR_SENT_FLYING;
	sender->lost -= sent->state == WEIR_SENT_LOST;
	sender->flying += state == WEIR_SENT_FLYING;
	sender->lost += state == WEIR_SENT_LOST;
	sent->state = (uint8_t)state;
}

/** Retransmission timeout (RFC 6298), bounded; what an acknowledgement may wait is within it. */
static uint64_t timeout_ns(const struct weir_sender *sender)
{
	uint64_t ns = 4 * sender->rtt_dev_ns;

	if (ns < 2 * WEIR_ACK_DELAY_NS)
		ns = 2 * WEIR_ACK_DELAY_NS;
	ns += sender->rtt_ns;
	if (ns < WEIR_RTO_NS_MIN)
		ns = sender->rtt_ns != 0 ? WEIR_RTO_NS_MIN : WEIR_RTO_NS_FIRST;
	for (unsigned i = 0; i < sender->backoff && ns < WEIR_RTO_NS_MAX; i++)
		ns *= 2;
	return ns < WEIR_RTO_NS_MAX ? ns : WEIR_RTO_NS_MAX;
}

static void rtt_sample(struct weir_sender *sender, uint64_t ns)
{
	const uint64_t rtt = sender->rtt_ns;

	if (rtt == 0) {
		sender->rtt_ns = ns > 0 ? ns : 1;
		sender->rtt_dev_ns = ns / 2;
		return;
	}
	sender->rtt_dev_ns = (3 * sender->rtt_dev_ns + (ns > rtt ? ns - rtt : rtt - ns)) / 4;
	sender->rtt_ns = (7 * rtt + ns) / 8;
	if (sender->rtt_ns == 0)
		sender->rtt_ns = 1;
}

/** The way there and back took `ns`; in that, a late acknowledgement has waited for some time. */
static void rtt_take(struct weir_sender *sender, uint64_t ns, bool late)
{
	if (late)
		ns = ns > WEIR_ACK_DELAY_NS ? ns - WEIR_ACK_DELAY_NS : 0;
	if (!late || sender->rtt_ns == 0 || ns > sender->rtt_ns)
		rtt_sample(sender, ns);
}

static void window_grow(struct weir_sender *sender, uint64_t frames_count)
{
	if (!sender->limited || sender->window >= WEIR_WINDOW_FRAMES_MAX)
		return;
	sender->credit += (uint32_t)frames_count;
	if (sender->window < sender->threshold) {
		sender->window += sender->credit;
		sender->credit = 0;
	} else if (sender->credit >= sender->window) {
		sender->credit = 0;
		sender->window++;
	}
	if (sender->window > WEIR_WINDOW_FRAMES_MAX)
		sender->window = WEIR_WINDOW_FRAMES_MAX;
}

/** From when on the oldest frame waits: since the peer was last heard to go on, or it was sent. */
static uint64_t wait_since_ns(struct weir_sender *sender, bool late, uint64_t now_ns)
{
	const struct weir_sent *oldest = sent_at(sender, sender->una);
	const uint64_t heard_ns = now_ns - (late ? WEIR_ACK_DELAY_NS : 0);

	return late && sender->una < sender->next && oldest->sent_ns > heard_ns ? oldest->sent_ns
										: heard_ns;
}

/** The peer has all frames before ack->ack. */
static void ack_advance(struct weir_sender *sender, const struct weir_ack *ack, uint64_t now_ns)
{
	struct weir_queue *queue = &sender->queue;
	const struct weir_sent *newest = sent_at(sender, ack->ack - 1);
	const uint64_t frames_count = ack->ack - sender->una;
	size_t room;

	if (newest->order == ack->seen && now_ns >= newest->sent_ns)
		rtt_take(sender, now_ns - newest->sent_ns, ack->late);
	for (; sender->una < ack->ack; sender->una++) {
		struct weir_sent *sent = sent_at(sender, sender->una);

		state_set(sender, sent, WEIR_SENT_SACKED);
		queue->head += sent->len;
	}
	room = weir_queue_used(queue) < sender->queue_bytes
		       ? sender->queue_bytes - weir_queue_used(queue)
		       : 0;
	if (room > sender->room)
		sender->room = room;
	/* An empty queue starts over where its memory is in the cache. */
	if (queue->head == queue->tail)
		queue->head = queue->tail = sender->cut = 0;
	sender->backoff = 0;
	sender->timer_ns = wait_since_ns(sender, ack->late, now_ns) + timeout_ns(sender);
	window_grow(sender, frames_count);
}

static void sack_take(struct weir_sender *sender, const struct weir_ack *ack)
{
	for (unsigned i = 0; i < ack->sacks_count; i++) {
		uint64_t word;

		memcpy(&word, ack->sacks + i * sizeof(word), sizeof(word));
		for (word = le64toh(word); word != 0; word &= word - 1) {
			const uint64_t seq =
				ack->ack + 1 + i * 64 + (unsigned)__builtin_ctzll(word);

			if (seq > sender->una && seq < sender->next)
				state_set(sender, sent_at(sender, seq), WEIR_SENT_SACKED);
		}
	}
}

bool weir_sender_acked(struct weir_sender *sender, const struct weir_ack *ack, uint64_t now_ns)
{
	if (ack->ack > sender->next || (int32_t)(ack->seen - sender->order) > 0)
		return false;
	if ((int32_t)(ack->seen - sender->seen) > 0) {
		sender->seen = ack->seen;
		sender->news = true;
	}
	if (ack->ack > sender->una)
		ack_advance(sender, ack, now_ns);
	if (ack->sacks_count > 0)
		sack_take(sender, ack);
	return true;
}

static void window_shrink(struct weir_sender *sender)
{
	sender->window /= 2;
	if (sender->window < WEIR_WINDOW_FRAMES_MIN)
		sender->window = WEIR_WINDOW_FRAMES_MIN;
	sender->threshold = sender->window;
	sender->credit = 0;
	sender->recover = sender->next;
}

static void loss_note(struct weir_sender *sender, uint64_t seq)
{
	if (sender->lost == 0 || seq < sender->lost_first)
		sender->lost_first = seq;
	state_set(sender, sent_at(sender, seq), WEIR_SENT_LOST);
	if (seq >= sender->recover)
		window_shrink(sender);
}

/** Finds frames that were overtaken by enough others. */
static void losses_find(struct weir_sender *sender)
{
	sender->news = false;
	for (uint64_t seq = sender->una; seq < sender->next; seq++) {
		const struct weir_sent *sent = sent_at(sender, seq);

		if (sent->state != WEIR_SENT_FLYING)
			continue;
		if ((int32_t)(sender->seen - sent->order) >= WEIR_REORDER_FRAMES)
			loss_note(sender, seq);
		else if (seq >= sender->repeated)
			return;
	}
}

static uint64_t lost_next(struct weir_sender *sender)
{
	if (sender->lost_first < sender->una)
		sender->lost_first = sender->una;
	while (sent_at(sender, sender->lost_first)->state != WEIR_SENT_LOST)
		sender->lost_first++;
	return sender->lost_first;
}

uint64_t weir_sender_due(struct weir_sender *sender, uint64_t now_ns)
{
	if (sender->una < sender->next) {
		if (sender->news)
			losses_find(sender);
		if (now_ns >= sender->timer_ns && sender->flying > 0)
			return sender->una;
	}
	sender->limited = sender->flying >= sender->window ||
			  sender->next - sender->una >= WEIR_WINDOW_FRAMES_MAX;
	if (sender->lost > 0)
		return sender->flying < sender->window ? lost_next(sender) : 0;
	return sender->cut < sender->queue.tail && !sender->limited ? sender->next : 0;
}

const struct weir_sent *weir_sender_frame(struct weir_sender *sender, uint64_t seq)
{
	struct weir_sent *sent = sent_at(sender, seq);
	uint64_t len;

	if (seq < sender->next)
		return sent;
	len = sender->queue.tail - sender->cut;
	if (len > sender->payload_bytes)
		len = sender->payload_bytes;
	sent->position = (uint32_t)sender->cut;
	sent->len = (uint16_t)len;
	return sent;
}

uint32_t weir_sender_sent(struct weir_sender *sender, uint64_t seq, uint64_t now_ns)
{
	struct weir_sent *sent = sent_at(sender, seq);

	if (seq == sender->next) {
		if (sender->una == sender->next)
			sender->timer_ns = now_ns + timeout_ns(sender);
		sender->next++;
		sender->cut += sent->len;
		sender->flying++;
		sent->state = WEIR_SENT_FLYING;
	} else {
		/* Only the timer sends what is not known to be lost. */
		if (sent->state == WEIR_SENT_FLYING)
			sender->backoff++;
		state_set(sender, sent, WEIR_SENT_FLYING);
		sender->repeated = sender->next;
		if (seq == sender->una)
			sender->timer_ns = now_ns + timeout_ns(sender);
	}
	sent->sent_ns = now_ns;
	sent->order = ++sender->order;
	return sent->order;
}
