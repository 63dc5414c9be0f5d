#include "tests/sim_refresh/play.h"

#include <stdio.h>
#include <string.h>

/* The application: rows that are written and told, readers that load what they miss. */
static struct arena answers;

/* ---- rows ---- */

unsigned
select_version(const struct played_key *k)
{
	int64_t at_us = play.now_us;
	unsigned v = k->last;

	if (play.lag_us > 0 && k->table < PLAIN)
		at_us -= below((unsigned)play.lag_us);
	while (v > 0 && k->fates[v].at_us > at_us)
		v--;
	return k->fates[v].there ? v : 0;
}

void
write_row(struct played_key *k, bool there)
{
	if (k->last + 1 == VERSIONS)
		return;
	k->fates[++k->last] = (struct fate){ play.now_us, there };
	note("%s: version %u is committed%s", k->name, k->last, there ? "" : ", a deletion");
}

/* ---- what was written is told ---- */

static struct process *
somebody(void)
{
	struct process *p = &play.processes[below(play.process_count)];

	return p->alive ? p : NULL;
}

static void
tell(struct played_key *k, unsigned version)
{
	bool deleted = !k->fates[version].there;
	struct process *p = somebody();

	arena_reset(&answers);
	if (k->table < PLAIN)
		server_ask(&answers, "FCALL sluice_invalidate 1 %s %u %s", k->name, version,
		    deleted ? "deleted" : "row");
	else
		entry_remove(k);
	if (version > k->told)
		k->told = version;
	play.told++;
	note("%s: %u is told", k->name, version);
	/* a row that is gone is not loaded; each worker has the ring of its process */
	if (p != NULL && k->table == VERSIONED && !deleted)
		refresh_ring_put(refresh_ring(p->r, 0), &play.config.tables[VERSIONED],
		    str_of(k->name));
}

void
tell_some(struct played_key *k)
{
	if (k->told < k->last)
		tell(k, k->told + 1);
	else if (one_in(4) && k->told > 0)
		tell(k, 1 + below(k->told)); /* after a crash */
}

void
tell_all(void)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++)
		while (play.keys[i].told < play.keys[i].last)
			tell(&play.keys[i], play.keys[i].told + 1);
}

/* ---- readers ---- */

static const char *
word_of(const struct redis_reply *reply, size_t at)
{
	return reply->type == REDIS_ARRAY ? reply->element[at]->text.data : reply->text.data;
}

static bool
says(const struct redis_reply *reply, const char *word)
{
	return strcmp(word_of(reply, 0), word) == 0;
}

static void
begin_load(struct played_key *k, const struct redis_reply *reply)
{
	for (unsigned i = 0; i < ACTORS; i++) {
		struct actor *c = &play.actors[i];

		if (c->at != IDLE)
			continue;
		*c = (struct actor){
			.at = HAS_LEASE, .key = k, .next_us = play.now_us + 200 + below(3000)
		};
		if (one_in(8))
			c->next_us += below(1500000);
		snprintf(c->token, sizeof(c->token), "%s", word_of(reply, 1));
		snprintf(c->floor, sizeof(c->floor), "%s", word_of(reply, 2));
		return;
	}
}

static void
end_load(struct actor *c)
{
	struct redis_reply *reply;

	arena_reset(&answers);
	c->at = IDLE;
	if (c->there)
		reply = server_ask(&answers, "FCALL sluice_fill 1 %s %s %u {\"ver\":%u} %d 0 0",
		    c->key->name, c->token, c->version, c->version, TTL_MS);
	else
		reply = server_ask(&answers, "FCALL sluice_fill_none 1 %s %s %s %d", c->key->name,
		    c->token, c->floor, TTL_MS);
	note("%s: a reader fills %u: %s", c->key->name, c->version, word_of(reply, 0));
}

static void
act(struct actor *c)
{
	if (c->at == IDLE || play.now_us < c->next_us)
		return;
	if (one_in(30) || play.weather == FAILING || play.weather == HANGING) {
		c->at = IDLE; /* it died, or can't load */
		return;
	}
	if (c->at == HAS_ROW) {
		end_load(c);
		return;
	}
	c->version = select_version(c->key);
	c->there = c->version != 0;
	c->at = HAS_ROW;
	c->next_us = play.now_us + below(2000) + (one_in(8) ? below(1500000) : 0);
}

static void
read_versioned(struct played_key *k)
{
	struct redis_reply *reply = server_ask(&answers, "FCALL sluice_get 1 %s %d", k->name, 500);
	bool found = says(reply, "HIT") || says(reply, "STALE");
	char line[32];

	if (found) {
		check_value(k, word_of(reply, 1), "a reader");
		check_age(k);
	} else if (k->read) {
		check_miss(k);
	}
	if (says(reply, "LOAD"))
		begin_load(k, reply);
	snprintf(line, sizeof(line), "1 %c %s", found ? 'H' : 'M', k->name);
	redis_publish(line);
}

/* Cache-aside, at once: only what the refresher does is of interest. */
static void
read_plain(struct played_key *k)
{
	struct entry *e = entry_of(k);
	unsigned version = select_version(k);
	char line[32];

	if (e->kind != NO_ENTRY) {
		check_value(k, e->payload, "a reader");
		check_age(k);
	} else if (k->read) {
		check_miss(k);
	}
	if (e->kind == NO_ENTRY && version != 0 && play.weather <= SLOW) {
		*e = (struct entry){ .kind = k->table == PLAIN ? STRING : FIELDS, .value = true };
		snprintf(e->payload, sizeof(e->payload), "\"id\":%u,\"ver\":%u,", k->id, version);
		e->expire_ms = k->over_ms = play.now_us / 1000 + TTL_MS;
		mirror_put(k);
	}
	snprintf(line, sizeof(line), "1 H %s", k->name);
	redis_publish(line);
}

void
read_key(struct played_key *k)
{
	arena_reset(&answers);
	if (k->table < PLAIN)
		read_versioned(k);
	else
		read_plain(k);
}

void
read_all(void)
{
	for (unsigned i = 0; i < PLAYED_KEYS; i++) {
		struct played_key *k = &play.keys[i];
		bool now_and_then = !play.calm && !play.outage && below(400) == 0;

		if (k->read && play.now_us >= k->next_read_us) {
			k->next_read_us = play.now_us + 100000 + below(100000);
			read_key(k);
		} else if (now_and_then) {
			read_key(k);
		}
	}
}

void
load_all(void)
{
	for (unsigned i = 0; i < ACTORS; i++)
		act(&play.actors[i]);
}
