#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdio.h>
#include <stdlib.h>

/*
 * The fake cache behind cache.h, and its readers: whoever misses a key loads the committed row and
 * fills it in, in one step.  (That a slow reader fills in what he loaded before is what the mode
 * `delete` can't prevent; it is no part of what is tested here.)
 */
static struct fake_cache *
fake_of(struct cache *cache)
{
	return (struct fake_cache *)cache;
}

static bool
is_cached(unsigned table)
{
	return world.config.tables[table].template_count > 0;
}

static void
read_row(unsigned table, unsigned row)
{
	struct cached *c = &world.cached[table][row];

	if (c->there)
		return;
	c->there = true;
	c->row = world.rows[table][row];
}

void
readers_read(void)
{
	unsigned table = below(TABLES);

	if (is_cached(table) && table != PROFILE)
		read_row(table, below(KEYS_MAX));
}

static void
key_goes(unsigned table, unsigned row)
{
	world.gone_tick[table][row] = ++world.ticks;
	world.cached[table][row].there = false;
	if (below(2) == 0)
		read_row(table, row);
}

/* What `done` covers has left the cache after it was committed. */
void
check_done(unsigned lane, struct position done)
{
	char text[POSITION_TEXT], at[POSITION_TEXT];

	for (unsigned t = 0; t < TABLES; t++) {
		for (unsigned r = 0; r < KEYS_MAX; r++) {
			if (!is_cached(t) || lane_of(t, r) != lane || world.excused[lane] ||
			    position_compare(world.changed_at[t][r], done) > 0 ||
			    world.changed_tick[t][r] <= world.gone_tick[t][r])
				continue;
			sim_fail("lane %u: done up to %s, but %s %u was committed with %s and not "
				 "invalidated since",
			    lane, position_text(done, text), table_names[t], r,
			    position_text(world.changed_at[t][r], at));
		}
	}
	values_check_done(lane, done);
	populate_check_done(lane, done);
}

static int
cut(struct fake_cache *c, struct err *err, const char *why)
{
	/* some of what was sent arrives anyway */
	for (unsigned i = 0; i < c->key_count && c->sent; i++) {
		if (!c->gone[i] && below(3) == 0)
			key_goes(c->key_table[i], c->key_row[i]);
	}
	for (unsigned v = 0; v < VALUES && c->sent; v++) {
		if (c->value[v] && below(3) == 0)
			value_goes(v);
	}
	for (unsigned i = 0; i < c->told_count && c->sent; i++) {
		if (below(3) == 0)
			populate_arrives(&c->told[i]);
	}
	c->open = c->sent = false;
	trace("p%d cache: connection lost: %s", c->process->index, why);
	return err_set(err, ERR_RETRY, 0, "%s", why);
}

int
cache_reach(struct fake_cache *c, const char *what, struct err *err)
{
	call_begins(c->process, what);
	if (!c->open)
		return cut(c, err, "not connected");
	if (c->gone_away || is_down(world.cache_down_us) || chance(world.odds.cut) ||
	    chance(world.odds.cache_lost))
		return cut(c, err, "gone away");
	return 0;
}

static int
fake_open(struct cache *cache, struct err *err)
{
	struct fake_cache *c = fake_of(cache);

	call_begins(c->process, "cache.open");
	if (is_down(world.cache_down_us) || chance(world.odds.cut))
		return cut(c, err, "can't connect");
	c->open = true;
	c->gone_away = false;
	c->sent = false;
	call_ends(c->process, "cache.open");
	return 0;
}

static bool
fake_is_open(const struct cache *cache)
{
	return ((const struct fake_cache *)cache)->open;
}

static void
fake_close(struct cache *cache)
{
	struct err err;

	if (fake_of(cache)->open)
		cut(fake_of(cache), &err, "closed by the worker");
}

static bool
has_key(const struct fake_cache *c, unsigned table, unsigned row)
{
	for (unsigned i = 0; i < c->key_count; i++)
		if (c->key_table[i] == table && c->key_row[i] == row)
			return true;
	return false;
}

/* "stock:7" */
static void
add_key(struct fake_cache *c, const struct table *table, const struct str *values)
{
	struct buf text;
	size_t prefix = strlen(table->name) + 1;
	unsigned row;

	buf_init(&text);
	CHECK(key_template_render(&table->templates[0], values, &text));
	CHECK(text.len > prefix && strncmp(text.data, table->name, prefix - 1) == 0);
	row = (unsigned)strtoul(text.data + prefix, NULL, 10);
	buf_deinit(&text);
	/* without MySQL nobody knows which column is the key: images may have the same one */
	if (world.invalidates && has_key(c, table_number(table), row))
		return;
	if (c->key_count == TABLES * KEYS_MAX)
		sim_fail("a row is touched twice");
	c->key_table[c->key_count] = (unsigned char)table_number(table);
	c->key_row[c->key_count] = (unsigned char)row;
	c->gone[c->key_count++] = false;
}

static int
fake_start(struct cache *cache, const struct batch *batch, struct err *err)
{
	struct fake_cache *c = fake_of(cache);

	CHECK(batch->state == BATCH_WRITTEN && !c->sent);
	if (cache_reach(c, "cache.start", err) != 0)
		return -1;
	c->key_count = c->told_count = 0;
	for (const struct touched *t = batch->touched; t != NULL; t = t->next) {
		if (table_number(t->table) == PROFILE) {
			CHECK(c->told_count < POPULATE_TOLD_MAX);
			populate_tell(&c->told[c->told_count++], batch, t);
			continue;
		}
		if (t->plain || t->images == NULL)
			add_key(c, t->table, &t->key[0].text);
		for (const struct touched_image *i = world.invalidates ? t->images : NULL;
		    i != NULL; i = i->next)
			add_key(c, t->table, i->values);
	}
	memset(c->value, 0, sizeof(c->value));
	for (const struct owed *owed = batch->owed.first; owed != NULL; owed = owed->next)
		c->value[value_of_key(owed->key)] = true;
	c->sent = true;
	c->answer_us = world.now_us + 50 + below(1000);
	if (chance(world.odds.slow))
		c->answer_us += below(8000) * INT64_C(1000);
	call_ends(c->process, "cache.start");
	return 0;
}

static int
fake_poll(struct cache *cache, int timeout_ms, struct err *err)
{
	struct fake_cache *c = fake_of(cache);
	int64_t end = world.now_us + timeout_ms * INT64_C(1000);

	if (world.now_us < c->answer_us && end > world.now_us)
		pass((c->answer_us < end ? c->answer_us : end) - world.now_us);
	if (cache_reach(c, "cache.poll", err) != 0)
		return -1;
	CHECK(c->sent);
	for (unsigned i = 0; i < c->key_count; i++) {
		if (c->gone[i] || (world.now_us < c->answer_us && below(4) != 0))
			continue;
		c->gone[i] = true;
		key_goes(c->key_table[i], c->key_row[i]);
	}
	for (unsigned v = 0; v < VALUES; v++) {
		if (!c->value[v] || (world.now_us < c->answer_us && below(4) != 0))
			continue;
		c->value[v] = false;
		value_goes(v);
	}
	if (world.now_us < c->answer_us)
		return 0;
	for (unsigned i = 0; i < c->told_count; i++)
		populate_arrives(&c->told[i]);
	c->told_count = 0;
	c->sent = false;
	call_ends(c->process, "cache.poll");
	return 1;
}

static int
fake_fd(const struct cache *cache)
{
	const struct fake_cache *c = (const struct fake_cache *)cache;

	return c->sent ? 300 + c->process->index : -1;
}

static void
fake_free(struct cache **cache)
{
	struct err err;

	if (fake_of(*cache)->open)
		cut(fake_of(*cache), &err, "the process is gone");
	*cache = NULL;
}

static int
fake_flush(struct cache *cache, struct err *err)
{
	struct fake_cache *c = fake_of(cache);

	CHECK(!c->sent);
	if (cache_reach(c, "cache.flush", err) != 0)
		return -1;
	if (is_down(world.notes.denied_us))
		return err_set(err, ERR_FATAL, 0, "NOPERM");
	for (unsigned t = 0; t < TABLES; t++)
		for (unsigned r = 0; r < KEYS_MAX; r++)
			if (is_cached(t) && t != PROFILE)
				key_goes(t, r);
			else
				world.gone_tick[t][r] = ++world.ticks;
	for (unsigned v = 0; v < VALUES; v++)
		value_goes(v);
	populate_flushed();
	memset(world.notes.noted, 0, sizeof(world.notes.noted));
	trace("p%d cache: emptied", c->process->index);
	call_ends(c->process, "cache.flush");
	return chance(world.odds.cut) ? cut(c, err, "gone away") : 0;
}

static const struct cache_ops noting_ops = {
	.open = fake_open,
	.is_open = fake_is_open,
	.close = fake_close,
	.start = fake_start,
	.poll = fake_poll,
	.fd = fake_fd,
	.noted = fake_noted,
	.note = fake_note,
	.flush = fake_flush,
	.free = fake_free,
};

static const struct cache_ops ops = {
	.open = fake_open,
	.is_open = fake_is_open,
	.close = fake_close,
	.start = fake_start,
	.poll = fake_poll,
	.fd = fake_fd,
	.free = fake_free,
};

void
fake_cache_init(struct process *p)
{
	p->cache =
	    (struct fake_cache){ .cache.ops = world.notes.on ? &noting_ops : &ops, .process = p };
	p->worker.cache = &p->cache.cache;
}
