#include "tests/sim_refresh/play.h"

#include "common/number.h"

#include <stdio.h>

/* What must hold (play.h). */
enum { SLACK_MS = 150 };

/* "No such row" has to have been true at some time since what was told last. */
static bool
was_there_none(const struct played_key *k)
{
	for (unsigned v = k->told; v <= k->last; v++)
		if (!k->fates[v].there)
			return true;
	return false;
}

void
check_value(const struct played_key *k, const char *payload, const char *who)
{
	unsigned version = payload != NULL ? version_in(payload) : 0;

	if (k->told < k->lost_to)
		return; /* what the cache lost is not all told again */
	if (payload == NULL && !was_there_none(k))
		fail("%s: %s has no such row, but %u is told", k->name, who, k->told);
	if (payload != NULL && version < k->told)
		fail("%s: %s has version %u, but %u is told", k->name, who, version, k->told);
}

void
check_age(const struct played_key *k)
{
	/* what another process stretched of a plain key nobody can see */
	bool known = k->table < PLAIN || play.births <= play.process_count;
	int64_t late_ms = play.now_us / 1000 - k->over_ms,
		slack_ms = SLACK_MS + play.stall_us / 1000;

	if (late_ms > 0)
		play.stale++;
	if (known && play.process_count == 1 && late_ms > STALE_MAX_MS + slack_ms)
		fail("%s is served %lld ms over its time", k->name, (long long)late_ms);
}

void
check_miss(const struct played_key *k)
{
	int64_t late_ms = play.now_us / 1000 - k->over_ms;

	play.misses++;
	if (play.query_hangs && k->table == BY_QUERY)
		return;
	if (play.counting && play.query_hangs)
		fail("%s is not loaded for its readers, although only another's query hangs",
		    k->name);
	if (play.counting && play.outage && late_ms < STALE_MAX_MS - SLACK_MS)
		fail("%s: MySQL is away, and it is served for %lld ms of stale_max only", k->name,
		    (long long)late_ms);
	if (play.counting && !play.outage && play.now_us > k->silent_until_us)
		fail("%s expired under its readers", k->name);
}

/* There is no value to be kept instead, and nobody else would load it meanwhile. */
void
check_release(const struct process *p, const struct played_key *k, struct str token)
{
	const struct entry *e = entry_of(k);
	uint64_t t;

	if (p->r->loading != NULL && !e->value && number_u64(token, &t) && t == (uint64_t)e->t)
		fail("%s has no value, and its lease is given back while it is loaded", k->name);
}

/* ---- the budget ---- */

void
check_asked(struct process *p, unsigned keys)
{
	unsigned size = sizeof(p->asked) / sizeof(p->asked[0]), sum = keys, limit;

	limit = (unsigned)play.config.refresh.max_loads_per_second >> (p->slow < 20 ? p->slow : 20);
	for (unsigned i = 0; i < size && i < p->asks; i++)
		if (p->asked[i].at_us > p->asked_us - 1000000)
			sum += p->asked[i].keys;
	p->asked[p->asks % size].at_us = p->asked_us;
	p->asked[p->asks++ % size].keys = keys;
	if (sum > (limit < 1 ? 1 : limit))
		fail("p%u asks for %u keys in a second, the limit is %u", p->index, sum, limit);
}

/* ---- the breaker ---- */

void
check_mysql_call(const struct process *p)
{
	if (play.now_us < p->closed_until_us)
		fail("p%u calls MySQL, although its breaker is open", p->index);
}

void
mysql_call_failed(struct process *p)
{
	if (play.query_hangs && play.outage)
		fail("p%u: MySQL failed, although only a query hangs", p->index);
	p->suspects = false;
	if (++p->failures >= FAILURES)
		p->closed_until_us = play.now_us + OPEN_MS * INT64_C(1000) * 74 / 100;
	note("p%u: MySQL failed, %u in a row", p->index, p->failures);
}

void
mysql_load_worked(struct process *p, int64_t took_us)
{
	p->failures = 0;
	p->closed_until_us = 0;
	p->slow = took_us > SLOW_LOAD_MS * INT64_C(1000) ? p->slow + 1 : 0;
}

/* ---- the end ---- */

static void
check_loads(struct played_key *k)
{
	int64_t counted_ms = (play.now_us - play.calm_us) / 1000;
	bool several = (k->loaders & (k->loaders - 1)) != 0;
	struct entry *e = entry_of(k);

	if (several && play.now_us > k->silent_until_us)
		fail("%s is loaded by several processes (%x)", k->name, k->loaders);
	/* each value lives 0.9 of the TTL or longer, and is loaded anew in its second half */
	if (k->loads > 2 + counted_ms * 10 / (TTL_MS * 4))
		fail("%s was loaded %u times in %lld ms", k->name, k->loads, (long long)counted_ms);
	if ((k->read || (k->table == VERSIONED && k->id == WARM_KEY)) && k->loads == 0)
		fail("%s is popular, and nobody loads it", k->name);
	if (k->id != COLD_KEY)
		return;
	if (k->loads > 0)
		fail("%s is read by nobody, and loaded %u times", k->name, k->loads);
	if (e->value && play.now_us / 1000 > k->over_ms + STALE_MAX_MS && k->table >= PLAIN)
		fail("%s is read by nobody, and does not expire", k->name);
}

void
check_end(void)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		check_loads(&play.keys[i]);
}
