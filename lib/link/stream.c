/* SPDX-License-Identifier: BSD-3-Clause */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "link/stream.h"

/** The next own number; 0 where there is none left. */
static uint64_t session_number(struct weir_link *link)
{
	if (link->sessions_count == (1ULL << WEIR_SESSION_BITS) - 1) {
		weir_log(WEIR_ROOM_LINK, WEIR_LOG_ERR,
			"worker %u: session numbers of this incarnation are used up: restart the "
			"node",
			link->conf.worker);
		return 0;
	}
	return link->conf.self.incarnation << WEIR_SESSION_BITS | ++link->sessions_count;
}

/** Takes a new own number and forgets all of the session before. */
static void session_renew(struct weir_stream *stream)
{
	stream->mine = session_number(stream->link);
	stream->up = stream->ack_due = stream->answer_due = false;
	stream->hello_at_ns = 0;
	stream->hello_pause_ns = WEIR_HELLO_NS_MIN;
	weir_sender_reset(&stream->sender);
	stream->link->kept_count -= weir_receiver_reset(&stream->receiver);
}

static void session_end(struct weir_stream *stream)
{
	struct weir_link *link = stream->link;

	session_renew(stream);
	link->ops.down(link->ctx, stream->peer, stream->worker);
}

static void session_begin(struct weir_stream *stream)
{
	struct weir_link *link = stream->link;

	stream->up = true;
	weir_count(&link->stats.sessions, 1);
	link->ops.up(link->ctx, stream->peer, stream->worker, stream->incarnation);
}

/** Rules A to D of the header. @return whether the frame belongs to the session that is up now */
static bool session_hear(struct weir_stream *stream, const struct weir_frame_head *head)
{
	const uint64_t session = le64toh(head->session);
	const uint64_t other = le64toh(head->other);

	if (session >> WEIR_SESSION_BITS != stream->incarnation || session < stream->theirs ||
		stream->mine == 0) {
		weir_count(&stream->link->stats.bad_stale, 1);
		return false;
	}
	if (session > stream->theirs) {
		if (stream->up)
			session_end(stream);
		stream->theirs = session;
		stream->hello_pause_ns = WEIR_HELLO_NS_MIN;
	}
	if (other != stream->mine) {
		/* Once up, the peer is known to know our number: this frame was sent before. */
		if (stream->up)
			weir_count(&stream->link->stats.bad_stale, 1);
		else
			stream->answer_due = true;
		return false;
	}
	if (!stream->up)
		session_begin(stream);
	if ((head->kind & WEIR_FRAME_HELLO) != 0)
		stream->answer_due = true;
	return true;
}

static void message_sink(void *ctx, const void *bytes, size_t len)
{
	const struct weir_stream *stream = ctx;

	stream->link->ops.message(stream->link->ctx, stream->peer, stream->worker, bytes, len);
}

/** Takes the payload that is expected. @return false where the session ended over it */
static bool payload_take(struct weir_stream *stream, const uint8_t *payload, size_t len)
{
	struct weir_link *link = stream->link;
	const int messages_count =
		weir_receiver_take(&stream->receiver, payload, len, message_sink, stream);

	if (messages_count < 0) {
		weir_count(&link->stats.bad_truncated, 1);
		session_end(stream);
		return false;
	}
	weir_count(&link->stats.rx_messages, (uint64_t)messages_count);
	stream->receiver.expected++;
	return true;
}

static void kept_take(struct weir_stream *stream)
{
	struct rte_mbuf *mbuf;
	bool goes_on = true;

	while (goes_on && stream->receiver.kept_count > 0 &&
		(mbuf = weir_receiver_kept(&stream->receiver)) != NULL) {
		stream->link->kept_count--;
		goes_on = payload_take(
			stream, rte_pktmbuf_mtod(mbuf, const uint8_t *), mbuf->data_len);
		rte_pktmbuf_free(mbuf);
	}
}

/** Keeps a frame that came too early. @return whether the mbuf was taken */
static bool early_take(struct weir_stream *stream, uint64_t seq, struct rte_mbuf *mbuf)
{
	struct weir_link *link = stream->link;

	if (seq - stream->receiver.expected >= WEIR_WINDOW_FRAMES_MAX ||
		link->kept_count >= link->kept_max)
		return false;
	if (!weir_receiver_keep(&stream->receiver, seq, mbuf, sizeof(struct weir_frame))) {
		weir_count(&link->stats.duplicates, 1);
		return false;
	}
	link->kept_count++;
	weir_count(&link->stats.out_of_order, 1);
	return true;
}

/** Takes a frame of messages. @return whether the mbuf was taken */
static bool data_take(
	struct weir_stream *stream, const struct weir_frame *frame, struct rte_mbuf *mbuf)
{
	struct weir_receiver *receiver = &stream->receiver;
	const uint64_t seq = le64toh(frame->head.seq);
	const uint32_t order = le32toh(frame->head.order);

	stream->ack_due = true;
	if ((int32_t)(order - receiver->seen) > 0)
		receiver->seen = order;
	if (seq < receiver->expected) {
		weir_count(&stream->link->stats.duplicates, 1);
		return false;
	}
	if (seq > receiver->expected)
		return early_take(stream, seq, mbuf);
	if (payload_take(stream, frame->payload, le16toh(frame->head.len)))
		kept_take(stream);
	return false;
}

/** @return whether the mbuf was taken */
static bool frame_take(struct weir_stream *stream, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);
	const struct weir_frame_head *head = &frame->head;
	const bool control = (head->kind & WEIR_FRAME_CONTROL) != 0;
	const unsigned sacks_count = control ? le16toh(head->len) / (unsigned)sizeof(uint64_t) : 0;

	if (!session_hear(stream, head))
		return false;
	if (!weir_sender_acked(&stream->sender, le64toh(head->ack), le32toh(head->seen),
		    frame->payload, sacks_count, stream->link->now_ns)) {
		weir_count(&stream->link->stats.bad_stale, 1);
		return false;
	}
	return !control && data_take(stream, frame, mbuf);
}

void weir_stream_receive(struct weir_stream *stream, struct rte_mbuf *mbuf)
{
	if (!frame_take(stream, mbuf))
		rte_pktmbuf_free(mbuf);
}

/** A frame with all but its payload; NULL where there is no memory, and nothing more goes out. */
static struct rte_mbuf *frame_new(struct weir_stream *stream, unsigned kind)
{
	struct weir_link *link = stream->link;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(link->conf.pool);
	struct weir_frame *frame;

	if (mbuf == NULL) {
		weir_count(&link->stats.no_mbuf, 1);
		if (link->tx_count > 0)
			weir_link_push(link);
		link->blocked = true;
		return NULL;
	}
	frame = rte_pktmbuf_mtod(mbuf, struct weir_frame *);
	memcpy(frame, &stream->blank, sizeof(*frame));
	frame->head.kind = (uint8_t)kind;
	frame->head.session = htole64(stream->mine);
	frame->head.other = htole64(stream->theirs);
	frame->head.ack = htole64(stream->receiver.expected);
	frame->head.seen = htole32(stream->receiver.seen);
	return mbuf;
}

static void frame_send(struct weir_stream *stream, struct rte_mbuf *mbuf, size_t len)
{
	struct weir_link *link = stream->link;

	weir_frame_seal(
		rte_pktmbuf_mtod(mbuf, struct weir_frame *), stream->peer_key, (uint16_t)len);
	mbuf->data_len = (uint16_t)(sizeof(struct weir_frame) + len);
	mbuf->pkt_len = mbuf->data_len;
	link->tx[link->tx_count++] = mbuf;
	if (link->tx_count == WEIR_BURST)
		weir_link_push(link);
}

static void control_send(struct weir_stream *stream, unsigned kind)
{
	struct rte_mbuf *mbuf = frame_new(stream, WEIR_FRAME_CONTROL | kind);
	struct weir_frame *frame;
	unsigned words_count;

	if (mbuf == NULL)
		return;
	frame = rte_pktmbuf_mtod(mbuf, struct weir_frame *);
	words_count = weir_receiver_sacks(&stream->receiver, frame->payload, WEIR_SACK_WORDS_MAX);
	frame_send(stream, mbuf, words_count * sizeof(uint64_t));
	stream->ack_due = stream->answer_due = false;
}

static void hello_flush(struct weir_stream *stream)
{
	const uint64_t now_ns = stream->link->now_ns;

	if (stream->mine == 0 || (!stream->answer_due && now_ns < stream->hello_at_ns))
		return;
	control_send(stream, WEIR_FRAME_HELLO);
	stream->hello_at_ns = now_ns + stream->hello_pause_ns;
	stream->hello_pause_ns *= 2;
	if (stream->hello_pause_ns > WEIR_HELLO_NS_MAX)
		stream->hello_pause_ns = WEIR_HELLO_NS_MAX;
}

static void data_send(struct weir_stream *stream, uint64_t seq)
{
	struct weir_sender *sender = &stream->sender;
	struct rte_mbuf *mbuf = frame_new(stream, WEIR_FRAME_DATA);
	const struct weir_sent *sent;
	struct weir_frame *frame;

	if (mbuf == NULL)
		return;
	if (seq < sender->next)
		weir_count(&stream->link->stats.retransmits, 1);
	sent = weir_sender_frame(sender, seq);
	frame = rte_pktmbuf_mtod(mbuf, struct weir_frame *);
	weir_queue_read(&sender->queue, sent->position, frame->payload, sent->len);
	frame->head.seq = htole64(seq);
	frame->head.order = htole32(weir_sender_sent(sender, seq, stream->link->now_ns));
	frame_send(stream, mbuf, sent->len);
	/* It carries the acknowledgement too, but not the selective one. */
	if (stream->receiver.kept_count == 0)
		stream->ack_due = stream->answer_due = false;
}

void weir_stream_flush(struct weir_stream *stream)
{
	struct weir_link *link = stream->link;
	uint64_t seq;

	if (!stream->up) {
		hello_flush(stream);
		return;
	}
	while (!link->blocked && (seq = weir_sender_due(&stream->sender, link->now_ns)) != 0)
		data_send(stream, seq);
	if (!link->blocked && (stream->ack_due || stream->answer_due))
		control_send(stream, 0);
}

void weir_stream_farewell(struct weir_stream *stream)
{
	session_renew(stream);
	control_send(stream, WEIR_FRAME_HELLO);
}

struct weir_stream *weir_stream_create(struct weir_link *link, unsigned peer, unsigned worker)
{
	struct weir_stream *stream = calloc(1, sizeof(*stream));
	const struct weir_link_end *end = &link->peers[peer].end;

	if (stream == NULL)
		return NULL;
	if (weir_sender_init(&stream->sender, link->conf.queue_bytes, link->payload_bytes) != 0) {
		free(stream);
		return NULL;
	}
	stream->peer = (uint16_t)peer;
	stream->worker = (uint16_t)worker;
	stream->peer_key = end->node_key;
	stream->incarnation = end->incarnation;
	stream->link = link;
	weir_frame_init(&stream->blank, link->conf.cluster_key, &link->conf.self, link->conf.worker,
		end, worker);
	session_renew(stream);
	return stream;
}

void weir_stream_destroy(struct weir_stream *stream)
{
	stream->link->kept_count -= weir_receiver_reset(&stream->receiver);
	weir_sender_fini(&stream->sender);
	free(stream);
}
