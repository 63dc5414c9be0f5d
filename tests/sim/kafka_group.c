#include "tests/sim/kafka.h"

/*
 * The coordinator.  Cooperative: a partition that is to move is taken from its owner first, and given
 * when that has let go of it.  Who is silent for too long is out without being asked, and so is, now and
 * then, somebody who isn't; others may have his partitions before he hears of it.
 */

void
coordinator_reset(void)
{
	for (unsigned l = 0; l < LANES_MAX; l++)
		sim_kafka.logs[l].owner = -1;
}

/* ---- members ---- */

static void
remove_member(int m)
{
	struct kafka_member *member = &sim_kafka.members[m];

	for (unsigned l = 0; l < world.lanes; l++) {
		struct kafka_log *log = &sim_kafka.logs[l];

		if (log->owner != m)
			continue;
		log->owner = -1;
		log->leaving = false;
	}
	if (member->client != NULL)
		member->client->member = -1;
	*member = (struct kafka_member){ 0 };
}

void
coordinator_join(struct rd_kafka_s *c)
{
	for (int m = 0; m < KAFKA_MEMBERS; m++) {
		if (sim_kafka.members[m].there)
			continue;
		sim_kafka.members[m] = (struct kafka_member){ .there = true, .client = c };
		c->member = m;
		c->joined++;
		trace("p%d joins the group as %d", c->process->index, m);
		return;
	}
	sim_fail("the group has no room");
}

void
coordinator_leave(struct rd_kafka_s *c, bool politely)
{
	struct kafka_member *member;

	if (c->member < 0)
		return;
	if (politely) {
		remove_member(c->member);
		return;
	}
	coordinator_take_commits(c, true);
	member = &sim_kafka.members[c->member];
	member->client = NULL;
	member->dies_us = world.now_us + below((unsigned)sim_kafka.session_us);
	c->member = -1;
}

static void
kick(int m)
{
	struct rd_kafka_s *c = sim_kafka.members[m].client;

	trace("p%d is out of the group", c->process->index);
	c->kicked = true;
	c->told = false;
	remove_member(m);
}

/* ---- what it is told ---- */

/* It has heard and answered everything. */
static bool
is_idle(int m)
{
	const struct kafka_member *member = &sim_kafka.members[m];

	return member->there && member->client != NULL && !member->client->told &&
	    !member->client->asked && !member->client->kicked;
}

static void
tell(int m, bool revoked, unsigned mask)
{
	struct rd_kafka_s *c = sim_kafka.members[m].client;

	c->told = true;
	c->revoked = revoked;
	c->mask = mask;
}

void
coordinator_given_up(struct rd_kafka_s *c, unsigned mask)
{
	coordinator_take_commits(c, true);
	for (unsigned l = 0; l < world.lanes; l++) {
		struct kafka_log *log = &sim_kafka.logs[l];

		if ((mask & 1U << l) == 0 || c->member < 0 || log->owner != c->member)
			continue;
		log->owner = -1;
		log->leaving = false;
	}
}

static unsigned
owned_by(int m)
{
	unsigned count = 0;

	for (unsigned l = 0; l < world.lanes; l++)
		count += sim_kafka.logs[l].owner == m;
	return count;
}

/* The member that lives and has the fewest, or the most; -1: none. */
static int
extreme(bool fewest, bool idle)
{
	int best = -1, first = (int)below(KAFKA_MEMBERS);

	for (int i = 0; i < KAFKA_MEMBERS; i++) {
		int m = (first + i) % KAFKA_MEMBERS;

		if (!sim_kafka.members[m].there || (idle && !is_idle(m)))
			continue;
		if (best < 0 || (owned_by(m) < owned_by(best)) == fewest)
			best = m;
	}
	return best;
}

static void
give(void)
{
	unsigned mask[KAFKA_MEMBERS] = { 0 };

	for (unsigned l = 0; l < sim_kafka.partitions; l++) {
		int m;

		if (sim_kafka.logs[l].owner >= 0 || (m = extreme(true, true)) < 0)
			continue;
		sim_kafka.logs[l].owner = m;
		mask[m] |= 1U << l;
	}
	for (int m = 0; m < KAFKA_MEMBERS; m++)
		if (mask[m] != 0)
			tell(m, false, mask[m]);
}

static void
take(int m)
{
	unsigned mask = 0;

	for (unsigned l = 0; l < world.lanes; l++)
		if (sim_kafka.logs[l].owner == m && (mask == 0 || below(3) == 0)) {
			sim_kafka.logs[l].leaving = true;
			mask |= 1U << l;
		}
	if (mask != 0)
		tell(m, true, mask);
}

static void
balance(void)
{
	int least = extreme(true, false), most = extreme(false, false);

	if (least >= 0 && owned_by(most) > owned_by(least) + 1 && is_idle(most))
		take(most);
	else if (least >= 0 && chance(sim_kafka.odds.move) && (most = extreme(true, true)) >= 0)
		take(below(2) == 0 ? most : extreme(false, true));
}

/* ---- committed offsets ---- */

/* What stands on the board must be done.  (MySQL may have gone back since; a log without its end.) */
static void
check_board(unsigned l, int64_t offset, const char *metadata)
{
	struct stream *s = &world.streams[l];
	struct position done;

	if (world.invalidates) {
		/* of a log that was; whoever comes begins anew */
		if (offset <= sim_kafka.logs[l].end)
			kafka_check_committed(l, offset);
		return;
	}
	if (strncmp(metadata, "done=", 5) != 0 || !position_parse(str_of(metadata + 5), &done))
		sim_fail("partition %u: the committed offset says nothing", l);
	if (position_compare(done, world.ledger[l].done) > 0 && !world.went_back &&
	    !sim_kafka.logs[l].lost_end)
		sim_fail("partition %u: the committed offset %lld is ahead of done", l,
		    (long long)offset);
	s->board = done;
}

static void
take_commit(struct rd_kafka_s *c, struct kafka_commit *commit)
{
	bool lost = chance(sim_kafka.odds.commit_lost);
	bool refused = c->member < 0 || commit->joined != c->joined;

	commit->answered = true;
	commit->answer = refused ? RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID :
	    lost		 ? RD_KAFKA_RESP_ERR__TIMED_OUT :
				   RD_KAFKA_RESP_ERR_NO_ERROR;
	if (refused || (lost && below(2) == 0))
		return;
	for (unsigned l = 0; l < world.lanes; l++) {
		struct kafka_log *log = &sim_kafka.logs[l];

		if ((commit->mask & 1U << l) == 0)
			continue;
		check_board(l, commit->offset[l], commit->metadata[l]);
		log->committed = true;
		log->forgotten = false;
		log->offset = commit->offset[l];
		memcpy(log->metadata, commit->metadata[l], sizeof(log->metadata));
		trace("p%d commits partition %u: %lld %s", c->process->index, l,
		    (long long)log->offset, log->metadata);
	}
}

void
coordinator_take_commits(struct rd_kafka_s *c, bool all)
{
	for (unsigned i = 0; i < c->commit_count; i++)
		if (!c->commits[i].answered && (all || world.now_us >= c->commits[i].at_us))
			take_commit(c, &c->commits[i]);
}

/* The group's offsets expire, or somebody sets them: it's no more than a board. */
static void
forget_offset(void)
{
	unsigned l = below(world.lanes);
	struct kafka_log *log = &sim_kafka.logs[l];

	if (!world.invalidates && !world.ledger[l].found)
		return;
	trace("partition %u: its committed offset is gone", l);
	log->forgotten = true;
	log->committed = !world.invalidates && below(2) == 0;
	log->offset = below((unsigned)log->end + 2);
	log->metadata[0] = '\0';
	world.streams[l].board = (struct position){ 0, 0 };
	/* nobody can know any more, but who was there */
	world.tell_rollback[l] = false;
	for (unsigned i = 0; i < world.streams[l].count && world.invalidates; i++)
		world.streams[l].entries[i].expired = false;
}

/* ---- time ---- */

static void
look_at(struct rd_kafka_s *c)
{
	if (c->member >= 0 &&
	    (world.now_us - c->polled_us > sim_kafka.session_us || chance(sim_kafka.odds.kick)))
		kick(c->member);
	if (chance(sim_kafka.odds.fatal))
		c->breaks = true;
	if (c->member < 0 && c->subscribed && !c->kicked && !c->asked &&
	    world.now_us >= c->joins_us)
		coordinator_join(c);
	coordinator_take_commits(c, false);
}

void
coordinator_tick(void)
{
	if (is_down(world.source_down_us))
		return;
	for (int m = 0; m < KAFKA_MEMBERS; m++)
		if (sim_kafka.members[m].there && sim_kafka.members[m].client == NULL &&
		    world.now_us >= sim_kafka.members[m].dies_us)
			remove_member(m);
	for (unsigned i = 0; i < world.processes; i++) {
		struct rd_kafka_s *c =
		    world.process[i].alive ? kafka_client_of(&world.process[i]) : NULL;

		if (c != NULL)
			look_at(c);
	}
	give();
	balance();
	if (chance(sim_kafka.odds.forget))
		forget_offset();
}

void
coordinator_print(void)
{
	for (unsigned l = 0; l < world.lanes; l++) {
		const struct kafka_log *log = &sim_kafka.logs[l];

		printf("partition %u: %u of %u, %lld to %lld, owner %d%s, committed %d %lld %s\n",
		    l, world.streams[l].added, world.streams[l].count, (long long)log->start,
		    (long long)log->end, log->owner, log->leaving ? " leaving" : "", log->committed,
		    (long long)log->offset, log->metadata);
	}
	for (unsigned i = 0; i < world.processes; i++) {
		const struct process *p = &world.process[i];
		const struct rd_kafka_s *c = p->alive ? kafka_client_of(p) : NULL;

		if (c == NULL)
			continue;
		printf("p%u: member %d, told %d asked %d kicked %d revoked %d mask %x, has", i,
		    c->member, c->told, c->asked, c->kicked, c->revoked, c->mask);
		for (unsigned l = 0; l < world.lanes; l++)
			if (c->at[l].there)
				printf(" %u at %lld%s%s", l, (long long)c->at[l].position,
				    c->at[l].paused ? " paused" : "",
				    c->at[l].given_up ? " given up" : "");
		printf("\n");
	}
}

bool
coordinator_is_balanced(void)
{
	unsigned least = world.lanes, most = 0, sum = 0;

	for (unsigned i = 0; i < world.processes; i++) {
		const struct process *p = &world.process[i];
		const struct rd_kafka_s *c = p->alive ? kafka_client_of(p) : NULL;
		unsigned lanes = 0;

		if (c == NULL || c->member < 0 || !is_idle(c->member))
			return false;
		for (unsigned l = 0; l < world.lanes; l++) {
			bool owned = sim_kafka.logs[l].owner == c->member;

			if (owned != (p->lanes[l].state != LANE_FREE) || owned != c->at[l].there)
				return false;
			lanes += owned;
		}
		least = lanes < least ? lanes : least;
		most = lanes > most ? lanes : most;
		sum += lanes;
	}
	return sum == world.lanes && most - least <= 1;
}
