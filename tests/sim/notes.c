#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"

#include <string.h>

/* When the cache goes back, which is looked for; nobody waits until it is there again. */
static void
table_goes(void)
{
	world.broken_table = world.tables_used[STOCK] ? STOCK : CHECKED;
	world.config.foreign_key_wait_ms = 500;
	world.broken_us[0] = world.notes.back_us;
	world.broken_us[1] = world.notes.back_us + 1000000 + below(5000000);
}

/*
 * The cache's own notes, and a cache that goes back to an older state as one restored from a snapshot
 * does: values and notes of then, together.  Streams keep what was written since, so in the end no
 * value of the past may be left; nor where they don't, and the cache is to be emptied.  (What MySQL alone told, and dead letters applied again, aren't had
 * from a stream, and who isn't let at the notes sees nothing: seeds with any of that don't go back.)
 */
void
notes_choose(void)
{
	uint64_t dice = (world.seed * UINT64_C(0xD6E8FEB86659FD93)) >> 32;
	unsigned span_us = (unsigned)(world.calm_us - world.now_us);

	world.notes.on = dice % 3 == 0 && !world.invalidates;
	/* what isn't held any more, or is too much, has the cache emptied */
	if (world.notes.on && dice / 32 % 3 == 0)
		world.config.on_cache_lost = ON_CACHE_LOST_FLUSH;
	if (world.notes.on && dice % 5 == 0) {
		world.notes.denied_us[0] = world.now_us + below(span_us);
		world.notes.denied_us[1] = world.notes.denied_us[0] + below(6000000);
	}
	if (!world.notes.on || world.notes.denied_us[1] != 0 || logs_lose_ends() || world.images ||
	    world.snap_us != 0 || world.fork_us != 0)
		return;
	if (world.config.on_cache_lost == ON_CACHE_LOST_ALARM)
		world.config.keep_ms = 3600 * 1000;
	world.odds.mark = world.odds.order = 0;
	world.notes.snap_us = world.now_us + below(span_us);
	world.notes.back_us =
	    world.notes.snap_us + below((unsigned)(world.calm_us - world.notes.snap_us) + 1);
	world.notes.impatient = dice % 2 == 0;
	if (world.notes.impatient)
		table_goes();
}

bool
notes_lose(unsigned table, unsigned row)
{
	return world.notes.impatient && world.config.on_cache_lost == ON_CACHE_LOST_ALARM &&
	    (int)table == world.broken_table && world.told_cache_lost[lane_of(table, row)];
}

static bool
is_noted(unsigned lane)
{
	return world.notes.noted[lane].major != 0 || world.notes.noted[lane].minor != 0;
}

static bool
all_are_noted(void)
{
	for (unsigned l = 0; l < world.lanes; l++)
		if (!is_noted(l) && world.streams[l].count > 0)
			return false;
	return true;
}

static void
go_back(void)
{
	memcpy(world.notes.noted, world.notes.noted_then, sizeof(world.notes.noted));
	memcpy(world.cached, world.notes.cached, sizeof(world.cached));
	for (unsigned i = 0; i < world.processes; i++) {
		world.process[i].cache.gone_away = true;
		world.process[i].worker.schema_stale |= world.notes.impatient;
	}
	world.notes.went_back = true;
	trace("the cache went back");
}

void
notes_pass(void)
{
	if (world.ending || world.notes.snap_us == 0 || world.notes.went_back)
		return;
	if (!world.notes.taken) {
		if (world.now_us < world.notes.snap_us || !all_are_noted())
			return;
		memcpy(world.notes.noted_then, world.notes.noted, sizeof(world.notes.noted));
		memcpy(world.notes.cached, world.cached, sizeof(world.cached));
		world.notes.taken = true;
	} else if (world.now_us >= world.notes.back_us) {
		go_back();
	}
}

bool
notes_rest(void)
{
	if (world.notes.taken && !world.notes.went_back)
		return false;
	for (unsigned l = 0; l < world.lanes; l++)
		if (is_noted(l) &&
		    position_compare(world.notes.noted[l], world.ledger[l].done) != 0)
			return false;
	return true;
}

static void
trace_note(const char *what, const struct lane *lane, struct position at)
{
	char text[POSITION_TEXT];

	trace("%s: lane %d %s", what, lane->index, position_text(at, text));
}

/* A cache that hangs must not hold row locks. */
static void
check_no_transaction(const struct fake_cache *c)
{
	const struct fake_store *s = &c->process->store;

	CHECK(!c->sent);
	if (s->session >= 0 && store_has(s, s->session) && world.sessions[s->session].tx.open)
		sim_fail("p%d asks the cache for its notes while its transaction is open",
		    c->process->index);
}

int
fake_noted(struct cache *cache, struct lane *const *lanes, size_t count, struct position *at,
    enum cache_notes *found, struct err *err)
{
	struct fake_cache *c = (struct fake_cache *)cache;

	check_no_transaction(c);
	if (cache_reach(c, "cache.noted", err) != 0)
		return -1;
	if (is_down(world.notes.denied_us))
		return err_set(err, ERR_FATAL, 0, "NOPERM");
	*found = NOTES_ABSENT;
	for (size_t i = 0; i < count; i++) {
		at[i] = world.notes.noted[lanes[i]->index];
		trace_note("noted", lanes[i], at[i]);
		if (is_noted((unsigned)lanes[i]->index))
			*found = NOTES_THERE;
	}
	call_ends(c->process, "cache.noted");
	return 0;
}

int
fake_note(struct cache *cache, struct lane *const *lanes, size_t count, const struct position *at,
    struct err *err)
{
	struct fake_cache *c = (struct fake_cache *)cache;

	check_no_transaction(c);
	if (cache_reach(c, "cache.note", err) != 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		world.notes.noted[lanes[i]->index] = at[i];
		trace_note("note", lanes[i], at[i]);
	}
	call_ends(c->process, "cache.note");
	return chance(world.odds.cut) ? cache_reach(c, "cache.note", err) : 0;
}
