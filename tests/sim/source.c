#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>

/* The fake streams behind source.h. */
enum { TIMEOUT_US = 5000000 };

static struct fake_source *
fake_of(struct source *source)
{
	return (struct fake_source *)source;
}

static int
cut(struct fake_source *s, struct err *err, const char *why)
{
	s->open = s->requested = false;
	trace("p%d source: connection lost: %s", s->process->index, why);
	return err_set(err, ERR_RETRY, 0, "%s", why);
}

static int
reach(struct fake_source *s, const char *what, struct err *err)
{
	call_begins(s->process, what);
	if (!s->open)
		return cut(s, err, "not connected");
	if (is_down(world.source_down_us) || chance(world.odds.cut))
		return cut(s, err, "gone away");
	return 0;
}

static int
fake_open(struct source *source, struct err *err)
{
	struct fake_source *s = fake_of(source);

	call_begins(s->process, "source.open");
	s->requested = false;
	if (is_down(world.source_down_us) || chance(world.odds.cut))
		return cut(s, err, "can't connect");
	s->open = true;
	call_ends(s->process, "source.open");
	return 0;
}

static bool
fake_is_open(const struct source *source)
{
	return ((const struct fake_source *)source)->open;
}

static void
fake_close(struct source *source)
{
	struct fake_source *s = fake_of(source);

	s->open = s->requested = false;
}

static struct delivery *delivery_new(struct fake_source *s);
static struct entry *make_entry(struct arena *a, struct lane *lane,
    const struct stream_entry *from);
static unsigned first_behind(const struct stream *s, struct position place);
static void fake_recycle(struct source *source, struct delivery **delivery);

/* ---- beside the lane ---- */

/* We know it ourselves, or the notice board tells a new owner. */
static bool
goes_back(const struct fake_source *s, const struct stream *stream, const struct lane *lane,
    const struct ledger_row *row)
{
	return lane->lost_to.major != 0 ||
	    ((!s->looked[lane->index] || lane->recall) &&
		position_compare(stream->board, row->position) > 0);
}

static int
fake_look(struct source *source, struct lane *lane, const struct ledger_row *row,
    struct source_look *look, struct err *err)
{
	struct fake_source *s = fake_of(source);
	const struct stream *stream = &world.streams[lane->index];
	char text[CHECKPOINTS_TEXT], at[POSITION_TEXT];

	*look = (struct source_look){ .result = LOOK_OK };
	if (reach(s, "source.look", err) != 0)
		return -1;
	snprintf(look->identity, sizeof(look->identity), "%s", stream->identity);
	if (!row->found) {
		look->result = stream->identity[0] != '\0' ? LOOK_LEDGER_LOST : LOOK_FRESH;
	} else if (stream->identity[0] != '\0' && row->identity[0] != '\0' &&
	    strcmp(stream->identity, row->identity) != 0) {
		sim_fail("lane %d: the ledger knows another identity", lane->index);
	} else if (goes_back(s, stream, lane, row)) {
		look->result = LOOK_STORE_ROLLBACK;
	} else if (position_compare(last_place(stream), row->position) < 0) {
		look->result = LOOK_ROLLBACK;
	} else if (stream->trimmed > 0 && !world.forked && !world.went_back &&
	    position_compare(stream->entries[stream->trimmed - 1].id, row->done) > 0) {
		look->result = LOOK_GAP;
		if (position_compare(stream->entries[stream->trimmed - 1].id,
			world.ledger[lane->index].done) > 0)
			sim_fail("lane %d: entries beyond done are gone", lane->index);
	}
	fake_verify(lane, row, look);
	s->looked[lane->index] = true;
	trace("p%d  lane %d: look %d at %s%s, checkpoints %s", s->process->index, lane->index,
	    (int)look->result, position_text(row->position, at),
	    look->in_question ? ", in question" : "", checkpoints_text(&row->checkpoints, text));
	call_ends(s->process, "source.look");
	return 0;
}

static int
fake_settle(struct source *source, struct lane *lane, const char *identity, struct err *err)
{
	struct fake_source *s = fake_of(source);
	struct stream *stream = &world.streams[lane->index];

	if (reach(s, "source.settle", err) != 0)
		return -1;
	if (stream->identity[0] == '\0')
		snprintf(stream->identity, sizeof(stream->identity), "%s", identity);
	call_ends(s->process, "source.settle");
	return 0;
}

static void
fake_new_identity(struct source *source, struct lane *lane, char identity[64])
{
	const struct process *p = fake_of(source)->process;

	snprintf(identity, 64, "id-%d-%u-%d", p->index, p->life, lane->index);
}

/* As stream_release: what is lost is told by an open lane, and only then anything moves on. */
static bool
tells_loss(struct fake_source *s, struct lane *lane, struct source_look *look)
{
	struct stream *stream = &world.streams[lane->index];
	struct ledger_row row = { .found = true,
		.position = lane->position,
		.done = lane->done,
		.checkpoints = lane->checkpoints };

	if (!s->looked[lane->index])
		return true;
	if (goes_back(s, stream, lane, &row))
		look->result = LOOK_STORE_ROLLBACK;
	else if (position_compare(last_place(stream), lane->position) < 0)
		look->result = LOOK_ROLLBACK;
	if (look->result == LOOK_OK)
		return false;
	fake_verify(lane, &row, look);
	return true;
}

/* Who has not heard yet that MySQL went back trims what he knew as done: only `keep` saves that. */
static void
trim(const struct lane *lane, struct stream *stream, struct position place)
{
	bool kept =
	    world.now_us - world.snapshot.at_us + 2000 < world.config.keep_ms * INT64_C(1000);

	while (stream->trimmed < stream->added &&
	    position_compare(stream->entries[stream->trimmed].id, place) < 0) {
		struct stream_entry *e = &stream->entries[stream->trimmed];
		bool settled = e->applied || e->dead != NULL || e->skipped || e->lost ||
		    (e->other && !world.forked);

		if (position_compare(lane->done, world.ledger[lane->index].done) > 0 &&
		    (!world.went_back || (kept && !settled)))
			sim_fail("lane %d: trimmed beyond done", lane->index);
		if (!settled)
			e->lost = world.excused[lane->index] = true;
		stream->trimmed++;
	}
}

static int
fake_release(struct source *source, struct lane *lane, struct source_look *look, struct err *err)
{
	struct fake_source *s = fake_of(source);
	struct stream *stream = &world.streams[lane->index];
	struct position place;

	*look = (struct source_look){ .result = LOOK_OK };
	if (reach(s, "source.release", err) != 0)
		return -1;
	if (tells_loss(s, lane, look))
		return 0;
	if (stream_keep_place(&s->kept[lane->index], lane->epoch, world.now_us / 1000,
		world.config.keep_ms, lane->done, &place))
		trim(lane, stream, place);
	/* whose session is gone, and who has not heard of it, takes the notice back: nothing tells any more */
	if (s->process->store.session >= 0 && !world.sessions[s->process->store.session].alive &&
	    position_compare(lane->done, world.ledger[lane->index].position) <= 0)
		world.tell_rollback[lane->index] = false;
	stream->board = lane->done;
	call_ends(s->process, "source.release");
	return 0;
}

static int
fake_range(struct source *source, struct lane *lane, struct position after, struct position to,
    struct delivery **page, struct err *err)
{
	struct fake_source *s = fake_of(source);
	const struct stream *stream = &world.streams[lane->index];
	struct delivery *d;
	struct entry **tail;

	*page = NULL;
	if (reach(s, "source.range", err) != 0)
		return -1;
	d = delivery_new(s);
	tail = &d->first;
	for (unsigned i = first_behind(stream, after); i < stream->added && d->count < 3; i++) {
		if (!is_visible(stream, i) || position_compare(stream->entries[i].id, to) > 0)
			continue;
		*tail = make_entry(&d->arena, lane, &stream->entries[i]);
		tail = &(*tail)->next;
		d->count++;
	}
	if (d->first == NULL)
		fake_recycle(source, &d);
	*page = s->page = d;
	return 0;
}

static int
fake_lift(struct source *source, struct lane *lane, bool *cannot, struct err *err)
{
	struct fake_source *s = fake_of(source);
	struct stream *stream = &world.streams[lane->index];

	*cannot = false;
	if (reach(s, "source.lift", err) != 0)
		return -1;
	stream_keep_forget(&s->kept[lane->index]);
	if (position_compare(lane->position, last_place(stream)) > 0)
		stream->lifted = lane->position;
	return 0;
}

/* Sometimes replicas are late. */
static int
fake_confirm(struct source *source, struct lane *lane, int replicas, struct err *err)
{
	struct fake_source *s = fake_of(source);

	(void)lane, (void)replicas;
	if (reach(s, "source.confirm", err) != 0)
		return -1;
	if (chance(8192))
		return err_set(err, ERR_RETRY, 0, "a replica is late");
	return 0;
}

static int
fake_newest(struct source *source, const char *stream, struct position *last, struct err *err)
{
	struct fake_source *s = fake_of(source);
	unsigned lane = 0;

	while (lane < world.lanes && strcmp(s->process->lanes[lane].stream, stream) != 0)
		lane++;
	CHECK(lane < world.lanes);
	if (reach(s, "source.newest", err) != 0)
		return -1;
	*last = world.streams[lane].added > 0 ?
	    world.streams[lane].entries[world.streams[lane].added - 1].id :
	    (struct position){ 0, 0 };
	call_ends(s->process, "source.newest");
	return 0;
}

/* ---- reading ---- */

static int
fake_request(struct source *source, struct lane **lanes, size_t count, unsigned max_rows,
    size_t max_bytes, int block_ms, struct err *err)
{
	struct fake_source *s = fake_of(source);

	(void)max_bytes;
	CHECK(!s->requested && count > 0);
	if (reach(s, "source.request", err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		s->asked[i] = lanes[i];
		s->cursors[i] = lanes[i]->cursor;
	}
	s->asked_count = count;
	s->max_rows = 1 + below(max_rows);
	s->requested = true;
	s->answer_us = world.now_us + 50 + below(500);
	s->until_us = world.now_us + block_ms * INT64_C(1000);
	if (chance(world.odds.slow))
		s->answer_us += below(8000) * INT64_C(1000);
	if (chance(world.odds.lost_request))
		s->answer_us = INT64_MAX;
	return 0;
}

static bool
fake_requested(const struct source *source)
{
	return ((const struct fake_source *)source)->requested;
}

/* The first entry behind the place that is still there. */
static unsigned
first_behind(const struct stream *s, struct position place)
{
	unsigned i = s->trimmed;

	while (i < s->added &&
	    (position_compare(s->entries[i].id, place) <= 0 || !is_visible(s, i)))
		i++;
	return i;
}

bool
source_is_ready(const struct fake_source *s)
{
	if (!s->requested || world.now_us < s->answer_us)
		return s->requested && world.now_us > s->until_us + TIMEOUT_US;
	for (size_t i = 0; i < s->asked_count; i++) {
		const struct stream *stream = &world.streams[s->asked[i]->index];

		if (first_behind(stream, s->cursors[i]) < stream->added)
			return true;
	}
	return world.now_us >= s->until_us;
}

static struct entry *
make_entry(struct arena *a, struct lane *lane, const struct stream_entry *from)
{
	struct entry *e = arena_zalloc(a, sizeof(*e));

	e->lane = lane;
	e->id = from->id;
	e->at_ms = (int64_t)from->id.major;
	e->bytes = from->bytes;
	e->raw_count = from->raw_count;
	e->raw = arena_alloc(a, (e->raw_count + 1) * sizeof(*e->raw));
	for (size_t i = 0; i < e->raw_count; i++)
		e->raw[i] = (struct field){ arena_str(a, from->raw[i].name.data,
						from->raw[i].name.len),
			{ arena_str(a, from->raw[i].value.text.data, from->raw[i].value.text.len),
			    VALUE_TEXT } };
	return e;
}

/* As the real one: what a lane no longer waits for is left out. */
static bool
is_wanted(const struct fake_source *s, size_t i)
{
	return s->asked[i]->state == LANE_OPEN &&
	    position_compare(s->asked[i]->cursor, s->cursors[i]) == 0;
}

static struct delivery *
delivery_new(struct fake_source *s)
{
	struct delivery *d = calloc(1, sizeof(*d));

	CHECK(d != NULL);
	arena_init(&d->arena, 0);
	s->deliveries++;
	return d;
}

static struct delivery *
deliver(struct fake_source *s)
{
	struct delivery *d = delivery_new(s);
	struct entry **tail = &d->first;

	for (size_t i = 0; i < s->asked_count; i++) {
		const struct stream *stream = &world.streams[s->asked[i]->index];
		unsigned at = first_behind(stream, s->cursors[i]);

		for (unsigned n = 0; is_wanted(s, i) && at < stream->added && n < s->max_rows;
		    at++) {
			if (!is_visible(stream, at))
				continue;
			n++;
			*tail = make_entry(&d->arena, s->asked[i], &stream->entries[at]);
			tail = &(*tail)->next;
			d->count++;
		}
	}
	return d;
}

static void
fake_recycle(struct source *source, struct delivery **delivery)
{
	struct delivery *d = *delivery;

	if (d == NULL)
		return;
	*delivery = NULL;
	if (fake_of(source)->page == d)
		fake_of(source)->page = NULL;
	fake_of(source)->deliveries--;
	arena_deinit(&d->arena);
	free(d);
}

static int
fake_receive(struct source *source, struct delivery **delivery, struct err *err)
{
	struct fake_source *s = fake_of(source);
	struct delivery *d;

	CHECK(s->requested);
	*delivery = NULL;
	if (!source_is_ready(s) && !is_down(world.source_down_us))
		return 0;
	if (reach(s, "source.receive", err) != 0)
		return -1;
	if (world.now_us < s->answer_us)
		return cut(s, err, "no answer in time");
	call_ends(s->process, "source.receive");
	if (!s->open)
		return cut(s, err, "the server is another one meanwhile");
	s->requested = false;
	d = deliver(s);
	trace("p%d source.receive: %zu entries", s->process->index, d->count);
	if (d->first == NULL)
		fake_recycle(source, &d);
	*delivery = d;
	return 1;
}

static int
fake_fd(const struct source *source)
{
	const struct fake_source *s = (const struct fake_source *)source;

	return s->requested ? 200 + s->process->index : -1;
}

static void
fake_close_lane(struct source *source, struct lane *lane)
{
	struct fake_source *s = fake_of(source);

	trace("p%d leaves lane %d", s->process->index, lane->index);
	s->looked[lane->index] = false;
	stream_keep_forget(&s->kept[lane->index]);
}

static void
fake_free(struct source **source)
{
	struct fake_source *s = fake_of(*source);

	fake_recycle(*source, &s->page);
	*source = NULL;
	CHECK(s->deliveries == 0);
}

static const struct source_ops ops = {
	.open = fake_open,
	.is_open = fake_is_open,
	.close = fake_close,
	.look = fake_look,
	.settle = fake_settle,
	.claim = fake_settle,
	.new_identity = fake_new_identity,
	.request = fake_request,
	.requested = fake_requested,
	.receive = fake_receive,
	.fd = fake_fd,
	.recycle = fake_recycle,
	.release = fake_release,
	.range = fake_range,
	.history = fake_range,
	.lift = fake_lift,
	.confirm = fake_confirm,
	.newest = fake_newest,
	.close_lane = fake_close_lane,
	.free = fake_free,
};

void
fake_source_init(struct process *p)
{
	p->source = (struct fake_source){ .source.ops = &ops, .process = p };
	p->worker.source = &p->source.source;
}
