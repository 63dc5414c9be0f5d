#include "tests/sim/groups_redis.h"

#include "common/err.h"
#include "common/number.h"
#include "tests/sim/sim.h"

#include <stdio.h>

/* ---- replies ---- */

static struct redis_reply *
reply_new(struct redis *r, enum redis_type type)
{
	struct redis_reply *reply = arena_zalloc(&r->arena, sizeof(*reply));

	reply->type = type;
	return reply;
}

static struct redis_reply *
reply_text(struct redis *r, enum redis_type type, const char *text)
{
	struct redis_reply *reply = reply_new(r, type);

	reply->text = arena_str(&r->arena, text, strlen(text));
	return reply;
}

static struct redis_reply *
reply_number(struct redis *r, int64_t n)
{
	struct redis_reply *reply = reply_new(r, REDIS_INTEGER);

	reply->integer = n;
	return reply;
}

static struct redis_reply *
reply_array(struct redis *r, size_t room)
{
	struct redis_reply *reply = reply_new(r, REDIS_ARRAY);

	reply->element = arena_zalloc(&r->arena, (room + 1) * sizeof(*reply->element));
	return reply;
}

static void
put(struct redis_reply *array, struct redis_reply *element)
{
	array->element[array->count++] = element;
}

static struct redis_reply *
reply_id(struct redis *r, struct position id)
{
	char text[POSITION_TEXT];

	return reply_text(r, REDIS_STRING, position_text(id, text));
}

static struct redis_reply *
reply_entry(struct redis *r, const struct group_entry *e)
{
	struct redis_reply *entry = reply_array(r, 2), *fields = reply_array(r, 4);
	char key[8];

	snprintf(key, sizeof(key), "%u", e->key);
	put(fields, reply_text(r, REDIS_STRING, "_op"));
	put(fields, reply_text(r, REDIS_STRING, e->bad ? "upsert" : "invalidate"));
	put(fields, reply_text(r, REDIS_STRING, "id"));
	put(fields, reply_text(r, REDIS_STRING, key));
	put(entry, reply_id(r, e->id));
	put(entry, fields);
	return entry;
}

/* ---- the server ---- */

static struct group_stream *
stream_of(struct str name)
{
	for (unsigned i = 0; i < GROUP_STREAMS; i++)
		if (str_equal(name, str_of(groups.streams[i].name)))
			return &groups.streams[i];
	return NULL;
}

static int
consumer_of(struct group_stream *s, struct str name)
{
	for (unsigned i = 0; i < s->consumer_count; i++) {
		if (!str_equal(name, str_of(s->consumers[i].name)))
			continue;
		s->consumers[i].there = true;
		s->consumers[i].seen_us = world.now_us;
		return (int)i;
	}
	CHECK(s->consumer_count < GROUP_CONSUMERS);
	snprintf(s->consumers[s->consumer_count].name, GROUP_NAME, "%.*s", STR_ARGS(name));
	s->consumers[s->consumer_count].there = true;
	s->consumers[s->consumer_count].seen_us = world.now_us;
	return (int)s->consumer_count++;
}

static struct position
id_of(struct str text)
{
	struct position id = { 0, 0 };

	if (text.len > 0 && text.data[0] == '(') {
		text.data++;
		text.len--;
	}
	position_parse(text, &id);
	return id;
}

static unsigned
pending_of(const struct group_stream *s, int consumer)
{
	unsigned count = 0;

	for (unsigned i = 0; i < s->added; i++)
		count +=
		    s->entries[i].holder >= 0 && (consumer < 0 || s->entries[i].holder == consumer);
	return count;
}

/* The promise itself. */
static void
acknowledge(struct group_stream *s, struct group_entry *e)
{
	e->holder = -1;
	e->acked = true;
	groups.acked++;
	if (e->deleted || (e->bad && e->lettered) ||
	    (!e->bad && groups.gone_tick[e->key] > e->added_tick))
		return;
	sim_fail("%s: entry %llu is acknowledged and %s", s->name, (unsigned long long)e->id.major,
	    e->bad ? "no dead letter" : "its key was not invalidated since it was added");
}

static struct redis_reply *
do_xack(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[1]);
	int64_t count = 0;

	for (int i = 3; i < c->argc && s->group; i++) {
		struct position id = id_of(c->argv[i]);

		for (unsigned j = 0; j < s->added; j++) {
			if (position_compare(s->entries[j].id, id) != 0 || s->entries[j].holder < 0)
				continue;
			acknowledge(s, &s->entries[j]);
			count++;
		}
	}
	return reply_number(r, count);
}

static struct redis_reply *
do_xgroup(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[2]);

	if (s->group)
		return reply_text(r, REDIS_ERROR, "BUSYGROUP Consumer Group name already exists");
	s->group = true;
	s->delivered = 0;
	return reply_text(r, REDIS_STATUS, "OK");
}

static struct redis_reply *
no_group(struct redis *r)
{
	return reply_text(r, REDIS_ERROR, "NOGROUP No such key or consumer group");
}

/* NULL: nothing yet. */
static struct redis_reply *
do_xreadgroup(struct redis *r, const struct command *c)
{
	struct redis_reply *all = reply_array(r, GROUP_STREAMS);
	uint64_t count = 1;
	int streams = 0, n;
	bool blocks = false;

	for (int i = 4; i < c->argc && streams == 0; i++) {
		if (str_equal(c->argv[i], STR("COUNT")))
			number_u64(c->argv[i + 1], &count);
		blocks |= str_equal(c->argv[i], STR("BLOCK"));
		if (str_equal(c->argv[i], STR("STREAMS")))
			streams = i + 1;
	}
	n = (c->argc - streams) / 2;
	for (int i = 0; i < n; i++)
		if (!stream_of(c->argv[streams + i])->group)
			return no_group(r);
	for (int i = 0; i < n; i++) {
		struct group_stream *s = stream_of(c->argv[streams + i]);
		int me;
		struct redis_reply *one, *list = reply_array(r, GROUP_ENTRIES);

		/* while it waits nothing is said of its consumer */
		if (r->waits && s->delivered == s->added)
			continue;
		me = consumer_of(s, c->argv[3]);
		for (; s->delivered < s->added && list->count < count; s->delivered++) {
			struct group_entry *e = &s->entries[s->delivered];

			if (e->deleted)
				continue;
			e->holder = me;
			e->held_us = world.now_us;
			put(list, reply_entry(r, e));
		}
		if (list->count == 0)
			continue;
		one = reply_array(r, 2);
		put(one, reply_text(r, REDIS_STRING, s->name));
		put(one, list);
		put(all, one);
	}
	if (all->count > 0)
		return all;
	return blocks ? NULL : reply_new(r, REDIS_NIL);
}

static struct redis_reply *
do_xrange(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[1]);
	struct redis_reply *list = reply_array(r, GROUP_ENTRIES);

	for (unsigned i = 0; i < s->added; i++)
		if (!s->entries[i].deleted &&
		    position_compare(s->entries[i].id, id_of(c->argv[2])) == 0)
			put(list, reply_entry(r, &s->entries[i]));
	return list;
}

static struct redis_reply *
do_xautoclaim(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[1]);
	struct redis_reply *reply = reply_array(r, 3), *ids = reply_array(r, GROUP_ENTRIES),
			   *gone = reply_array(r, GROUP_ENTRIES);
	uint64_t idle_ms = 0;
	int me;

	if (!s->group)
		return no_group(r);
	number_u64(c->argv[4], &idle_ms);
	me = consumer_of(s, c->argv[3]);
	for (unsigned i = 0; i < s->added; i++) {
		struct group_entry *e = &s->entries[i];

		if (e->holder < 0 || world.now_us - e->held_us < (int64_t)idle_ms * 1000)
			continue;
		if (e->deleted) {
			e->holder = -1;
			put(gone, reply_id(r, e->id));
			continue;
		}
		e->holder = me;
		e->held_us = world.now_us;
		put(ids, reply_id(r, e->id));
	}
	put(reply, reply_text(r, REDIS_STRING, "0-0"));
	put(reply, ids);
	put(reply, gone);
	return reply;
}

/* XPENDING key group [- + count consumer] */
static struct redis_reply *
do_xpending(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[1]);
	struct redis_reply *reply = reply_array(r, GROUP_ENTRIES + 4), *one;
	struct position after = c->argc > 3 ? id_of(c->argv[3]) : (struct position){ 0, 0 };
	int me;

	if (!s->group)
		return no_group(r);
	if (c->argc < 7) {
		put(reply, reply_number(r, pending_of(s, -1)));
		for (unsigned i = 0; i < s->added && reply->count == 1; i++)
			if (s->entries[i].holder >= 0)
				put(reply, reply_id(r, s->entries[i].id));
		return reply;
	}
	me = consumer_of(s, c->argv[6]);
	for (unsigned i = 0; i < s->added; i++) {
		if (s->entries[i].holder != me || position_compare(s->entries[i].id, after) <= 0)
			continue;
		one = reply_array(r, 1);
		put(one, reply_id(r, s->entries[i].id));
		put(reply, one);
	}
	return reply;
}

static void
put_pair(struct redis *r, struct redis_reply *array, const char *name, struct redis_reply *value)
{
	put(array, reply_text(r, REDIS_STRING, name));
	put(array, value);
}

static struct redis_reply *
info_groups(struct redis *r, const struct group_stream *s)
{
	struct redis_reply *all = reply_array(r, 1), *one = reply_array(r, 10);

	if (!s->group)
		return all;
	put_pair(r, one, "name", reply_text(r, REDIS_STRING, "sluice-default"));
	put_pair(r, one, "pending", reply_number(r, pending_of(s, -1)));
	put_pair(r, one, "last-delivered-id",
	    s->delivered > 0 ? reply_id(r, s->entries[s->delivered - 1].id) :
			       reply_text(r, REDIS_STRING, "0-0"));
	put(all, one);
	return all;
}

static struct redis_reply *
info_consumers(struct redis *r, const struct group_stream *s)
{
	struct redis_reply *all = reply_array(r, GROUP_CONSUMERS), *one;

	for (unsigned i = 0; i < s->consumer_count && s->group; i++) {
		if (!s->consumers[i].there)
			continue;
		one = reply_array(r, 6);
		put_pair(r, one, "name", reply_text(r, REDIS_STRING, s->consumers[i].name));
		put_pair(r, one, "pending", reply_number(r, pending_of(s, (int)i)));
		put_pair(r, one, "idle",
		    reply_number(r, (world.now_us - s->consumers[i].seen_us) / 1000));
		put(all, one);
	}
	return all;
}

static struct redis_reply *
info_stream(struct redis *r, const struct group_stream *s)
{
	struct redis_reply *all = reply_array(r, 10);

	put_pair(r, all, "length", reply_number(r, s->added));
	put_pair(r, all, "last-generated-id",
	    s->added > 0 ? reply_id(r, s->entries[s->added - 1].id) :
			   reply_text(r, REDIS_STRING, "0-0"));
	return all;
}

static struct redis_reply *
do_xinfo(struct redis *r, const struct command *c)
{
	const struct group_stream *s = stream_of(c->argv[2]);

	if (str_equal(c->argv[1], STR("GROUPS")))
		return info_groups(r, s);
	return str_equal(c->argv[1], STR("CONSUMERS")) ? info_consumers(r, s) : info_stream(r, s);
}

/* The script that takes a consumer out, as it is written. */
static struct redis_reply *
do_eval(struct redis *r, const struct command *c)
{
	struct group_stream *s = stream_of(c->argv[3]);
	int consumer = consumer_of(s, c->argv[5]);

	CHECK(strstr(c->argv[1].data, "'XPENDING'") != NULL);
	if (pending_of(s, consumer) > 0)
		return reply_number(r, 0);
	s->consumers[consumer].there = false;
	return reply_number(r, 1);
}

/* A dead letter: its entry's lane and id are the third and fourth pair of words. */
static struct redis_reply *
do_xadd(struct redis *r, const struct command *c)
{
	struct str lane = c->argv[4], id = c->argv[6];

	for (unsigned i = 0; i < GROUP_STREAMS; i++) {
		struct group_stream *s = &groups.streams[i];
		size_t len = strlen(s->name);

		if (lane.len < len || strcmp(lane.data + lane.len - len, s->name) != 0)
			continue;
		for (unsigned j = 0; j < s->added; j++)
			if (position_compare(s->entries[j].id, id_of(id)) == 0)
				s->entries[j].lettered = true;
	}
	groups.letters++;
	return reply_text(r, REDIS_STRING, "1-1");
}

static struct redis_reply *
do_unlink(struct redis *r, const struct command *c)
{
	uint64_t key;

	for (int i = 1; i < c->argc; i++) {
		CHECK(number_u64((struct str){ c->argv[i].data + 2, c->argv[i].len - 2 }, &key));
		groups.gone_tick[key] = ++groups.ticks;
	}
	return reply_number(r, 0);
}

struct redis_reply *
groups_nil(struct redis *r)
{
	return reply_new(r, REDIS_NIL);
}

struct redis_reply *
groups_execute(struct redis *r, const struct command *c)
{
	struct str word = c->argv[0];

	if (str_equal(word, STR("XREADGROUP")))
		return do_xreadgroup(r, c);
	if (str_equal(word, STR("XACK")))
		return do_xack(r, c);
	if (str_equal(word, STR("XRANGE")))
		return do_xrange(r, c);
	if (str_equal(word, STR("XAUTOCLAIM")))
		return do_xautoclaim(r, c);
	if (str_equal(word, STR("XPENDING")))
		return do_xpending(r, c);
	if (str_equal(word, STR("XGROUP")))
		return do_xgroup(r, c);
	if (str_equal(word, STR("XINFO")))
		return do_xinfo(r, c);
	if (str_equal(word, STR("EVAL")))
		return do_eval(r, c);
	if (str_equal(word, STR("XADD")))
		return do_xadd(r, c);
	if (str_equal(word, STR("UNLINK")))
		return do_unlink(r, c);
	if (str_equal(word, STR("INFO")))
		return reply_text(r, REDIS_STRING,
		    "redis_version:7.2.0\r\nrole:master\r\naof_enabled:1\r\n");
	return reply_new(r, REDIS_NIL); /* GET, HMGET, MEMORY USAGE */
}
