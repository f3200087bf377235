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

static void pairs_set(struct weir_stream *stream)
{
	stream->pair_in = weir_frame_pair(stream->theirs, stream->mine);
	stream->pair_out = weir_frame_pair(stream->mine, stream->theirs);
}

static void acks_reset(struct weir_stream *stream)
{
	stream->ack_count = 0;
	stream->ack_now = stream->answer_due = false;
}

/** Takes a new own number and forgets all of the session before. */
static void session_renew(struct weir_stream *stream)
{
	stream->mine = session_number(stream->link);
	pairs_set(stream);
	stream->up = false;
	acks_reset(stream);
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

/** The session to which a frame belongs is this one. */
static void session_meet(struct weir_stream *stream)
{
	if (!stream->up)
		session_begin(stream);
}

static void stale_count(const struct weir_stream *stream)
{
	weir_count(&stream->link->stats.bad_stale, 1);
}

/** Rules A to D of the header, for a frame that carries both numbers. */
static void hello_take(struct weir_stream *stream, const struct weir_frame_hello *hello)
{
	const uint64_t session = le64toh(hello->session);

	if (session >> WEIR_SESSION_BITS != stream->incarnation || session < stream->theirs ||
		stream->mine == 0) {
		stale_count(stream);
		return;
	}
	if (session > stream->theirs) {
		if (stream->up)
			session_end(stream);
		stream->theirs = session;
		pairs_set(stream);
		stream->hello_pause_ns = WEIR_HELLO_NS_MIN;
	}
	if (le64toh(hello->other) == stream->mine)
		session_meet(stream);
	else if (stream->up) {
		/* Once up, the peer is known to know our number: this frame was sent before. */
		stale_count(stream);
		return;
	}
	stream->answer_due = true;
}

static uint64_t frame_seq(const struct weir_stream *stream, const struct weir_frame *frame)
{
	return (weir_frame_kind(frame) & WEIR_FRAME_CONTROL) != 0
		       ? 0
		       : weir_frame_number(stream->receiver.expected, le16toh(frame->head.seq));
}

static uint64_t frame_ack(const struct weir_stream *stream, const struct weir_frame *frame)
{
	return weir_frame_number(stream->sender.una, le16toh(frame->head.ack));
}

enum weir_frame_fault weir_stream_verify(
	const struct weir_stream *stream, const struct weir_frame *frame)
{
	const enum weir_frame_fault fault = weir_frame_inspect(frame, stream->way_in);
	uint64_t known = stream->way_in;

	if (fault != WEIR_FRAME_GOOD)
		return fault;
	if (weir_frame_kind(frame) != WEIR_FRAME_HELLO) {
		if (stream->mine == 0 || stream->theirs == 0 ||
			le16toh(frame->head.tag) != weir_frame_tag(stream->pair_in))
			return WEIR_FRAME_STALE;
		known ^= stream->pair_in ^
			 weir_frame_numbers(frame_seq(stream, frame), frame_ack(stream, frame));
	}
	return weir_frame_verify(frame, known) ? WEIR_FRAME_GOOD : WEIR_FRAME_GARBLED;
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

/** A frame of messages has come, and waits for its acknowledgement. */
static void ack_owe(struct weir_stream *stream, uint64_t seq, uint32_t order)
{
	struct weir_receiver *receiver = &stream->receiver;

	if (stream->ack_count++ == 0)
		stream->ack_at_ns = stream->link->now_ns + WEIR_ACK_DELAY_NS;
	if ((int32_t)(order - receiver->seen) > 0) {
		receiver->seen = order;
		stream->ack_late = false;
	}
	/* The sender has something to learn from it, or to unlearn. */
	stream->ack_now |= seq != receiver->expected || receiver->kept_count > 0;
}

/** Takes a frame of messages. @return whether the mbuf was taken */
static bool data_take(
	struct weir_stream *stream, const struct weir_frame *frame, struct rte_mbuf *mbuf)
{
	struct weir_receiver *receiver = &stream->receiver;
	const uint64_t seq = frame_seq(stream, frame);

	ack_owe(stream, seq, le32toh(frame->head.order));
	if (seq < receiver->expected) {
		weir_count(&stream->link->stats.duplicates, 1);
		return false;
	}
	if (seq > receiver->expected)
		return early_take(stream, seq, mbuf);
	if (payload_take(stream, frame->payload, weir_frame_len(frame)))
		kept_take(stream);
	return false;
}

/** @return whether the mbuf was taken */
static bool frame_take(struct weir_stream *stream, struct rte_mbuf *mbuf)
{
	const struct weir_frame *frame = rte_pktmbuf_mtod(mbuf, const struct weir_frame *);
	const unsigned kind = weir_frame_kind(frame);
	const bool control = (kind & WEIR_FRAME_CONTROL) != 0;
	const struct weir_ack ack = {
		.ack = frame_ack(stream, frame),
		.seen = le32toh(frame->head.seen),
		.late = (kind & WEIR_FRAME_LATE) != 0,
		.sacks = frame->payload,
		.sacks_count = control ? weir_frame_len(frame) / (unsigned)sizeof(uint64_t) : 0,
	};

	if (kind == WEIR_FRAME_HELLO) {
		hello_take(stream, (const struct weir_frame_hello *)frame->payload);
		return false;
	}
	session_meet(stream);
	if (!weir_sender_acked(&stream->sender, &ack, stream->link->now_ns)) {
		stale_count(stream);
		return false;
	}
	return !control && data_take(stream, frame, mbuf);
}

void weir_stream_receive(struct weir_stream *stream, struct rte_mbuf *mbuf)
{
	if (!frame_take(stream, mbuf))
		rte_pktmbuf_free(mbuf);
}

/** A frame of no kind yet, without payload; NULL where there is no memory: no more goes out. */
static struct rte_mbuf *frame_new(struct weir_stream *stream)
{
	struct weir_link *link = stream->link;
	struct rte_mbuf *mbuf = rte_pktmbuf_alloc(link->conf.pool);

	if (mbuf == NULL) {
		weir_count(&link->stats.no_mbuf, 1);
		if (link->tx_count > 0)
			weir_link_push(link);
		link->blocked = true;
		return NULL;
	}
	memcpy(rte_pktmbuf_mtod(mbuf, void *), &stream->blank, sizeof(stream->blank));
	return mbuf;
}

static void frame_send(
	struct weir_stream *stream, struct rte_mbuf *mbuf, uint64_t known, size_t len)
{
	struct weir_link *link = stream->link;

	weir_frame_seal(rte_pktmbuf_mtod(mbuf, struct weir_frame *), stream->way_out ^ known,
		(uint16_t)len);
	mbuf->data_len = (uint16_t)(sizeof(struct weir_frame) + len);
	mbuf->pkt_len = mbuf->data_len;
	link->tx[link->tx_count++] = mbuf;
	if (link->tx_count == WEIR_BURST)
		weir_link_push(link);
}

/** A frame of the session that is up: it carries the acknowledgement. */
static void session_send(
	struct weir_stream *stream, struct rte_mbuf *mbuf, unsigned kind, uint64_t seq, size_t len)
{
	struct weir_frame_head *head = &rte_pktmbuf_mtod(mbuf, struct weir_frame *)->head;
	const uint64_t ack = stream->receiver.expected;

	head->kind |= (uint8_t)(kind | (stream->ack_late ? WEIR_FRAME_LATE : 0));
	head->tag = htole16(weir_frame_tag(stream->pair_out));
	head->seq = htole16((uint16_t)seq);
	head->ack = htole16((uint16_t)ack);
	head->seen = htole32(stream->receiver.seen);
	frame_send(stream, mbuf, stream->pair_out ^ weir_frame_numbers(seq, ack), len);
}

static void control_send(struct weir_stream *stream)
{
	struct rte_mbuf *mbuf = frame_new(stream);
	unsigned words_count;

	if (mbuf == NULL)
		return;
	words_count = weir_receiver_sacks(&stream->receiver,
		rte_pktmbuf_mtod(mbuf, struct weir_frame *)->payload, WEIR_SACK_WORDS_MAX);
	session_send(stream, mbuf, WEIR_FRAME_CONTROL, 0, words_count * sizeof(uint64_t));
	acks_reset(stream);
}

static void hello_send(struct weir_stream *stream)
{
	struct rte_mbuf *mbuf = frame_new(stream);
	const struct weir_frame_hello hello = {
		.session = htole64(stream->mine), .other = htole64(stream->theirs)};
	struct weir_frame *frame;

	if (mbuf == NULL)
		return;
	frame = rte_pktmbuf_mtod(mbuf, struct weir_frame *);
	frame->head.kind |= WEIR_FRAME_HELLO;
	memcpy(frame->payload, &hello, sizeof(hello));
	frame_send(stream, mbuf, 0, sizeof(hello));
	stream->answer_due = false;
}

static void hello_flush(struct weir_stream *stream)
{
	const uint64_t now_ns = stream->link->now_ns;

	if (stream->mine == 0 || (!stream->answer_due && now_ns < stream->hello_at_ns))
		return;
	hello_send(stream);
	stream->hello_at_ns = now_ns + stream->hello_pause_ns;
	stream->hello_pause_ns *= 2;
	if (stream->hello_pause_ns > WEIR_HELLO_NS_MAX)
		stream->hello_pause_ns = WEIR_HELLO_NS_MAX;
}

static void data_send(struct weir_stream *stream, uint64_t seq)
{
	struct weir_sender *sender = &stream->sender;
	struct rte_mbuf *mbuf = frame_new(stream);
	const struct weir_sent *sent;
	struct weir_frame *frame;

	if (mbuf == NULL)
		return;
	if (seq < sender->next)
		weir_count(&stream->link->stats.retransmits, 1);
	sent = weir_sender_frame(sender, seq);
	frame = rte_pktmbuf_mtod(mbuf, struct weir_frame *);
	weir_queue_read(&sender->queue, sent->position, frame->payload, sent->len);
	frame->head.order = htole32(weir_sender_sent(sender, seq, stream->link->now_ns));
	session_send(stream, mbuf, WEIR_FRAME_DATA, seq, sent->len);
	/* It carries the acknowledgement too, but not the selective one. */
	if (stream->receiver.kept_count == 0)
		acks_reset(stream);
}

static bool ack_due(const struct weir_stream *stream)
{
	return stream->answer_due || stream->ack_now || stream->ack_count >= WEIR_ACK_FRAMES ||
	       (stream->ack_count > 0 && stream->link->now_ns >= stream->ack_at_ns);
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
	if (!link->blocked && ack_due(stream))
		control_send(stream);
	stream->ack_late = true;
}

void weir_stream_farewell(struct weir_stream *stream)
{
	session_renew(stream);
	hello_send(stream);
}

struct weir_stream *weir_stream_create(struct weir_link *link, unsigned peer, unsigned worker)
{
	struct weir_stream *stream = calloc(1, sizeof(*stream));
	const struct weir_link_conf *conf = &link->conf;
	const struct weir_link_end *end = &link->peers[peer].end;

	if (stream == NULL)
		return NULL;
	if (weir_sender_init(&stream->sender, conf->queue_bytes, link->payload_bytes) != 0) {
		free(stream);
		return NULL;
	}
	stream->peer = (uint16_t)peer;
	stream->worker = (uint16_t)worker;
	stream->incarnation = end->incarnation;
	stream->link = link;
	stream->way_in = weir_frame_way(conf->cluster_key, end, worker, &conf->self, conf->worker);
	stream->way_out = weir_frame_way(conf->cluster_key, &conf->self, conf->worker, end, worker);
	weir_frame_init(&stream->blank, stream->way_out, &conf->self, conf->worker, end, worker);
	session_renew(stream);
	return stream;
}

void weir_stream_destroy(struct weir_stream *stream)
{
	stream->link->kept_count -= weir_receiver_reset(&stream->receiver);
	weir_sender_fini(&stream->sender);
	free(stream);
}
