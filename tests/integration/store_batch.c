/* What one transaction of the store does, and what its failures leave. */
#include "tests/integration/store_rig.h"
#include "worker/store/dead_letter.h"
#include "worker/store/session.h"

#include <stdio.h>

static void
a_batch_moves_its_lanes_and_commits_its_rows(struct scene *s)
{
	struct small_batch batch;

	s->a.answered = (struct position){ 5, 7 };
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(look(s->store, &s->a).position.major == 10);
	CHECK(look(s->store, &s->a).done.minor == 7);
	CHECK(look(s->store, &s->b).position.major == 10);
	CHECK(look(s->store, &s->b).done.major == 6);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 1);
}

static void
one_lane_elsewhere_and_nothing_is_written(struct scene *s)
{
	struct small_batch batch;

	s->b.position.minor = 1;
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_MISMATCH);
	CHECK(look(s->store, &s->a).position.major == 5);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
	s->b.position.minor = 0;
	fill(&batch, &s->a, &s->b);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
}

static void
whatever_the_rows_answer_but_ok_leaves_nothing(struct scene *s)
{
	const enum write_result answers[] = { WRITE_LEAVE, WRITE_ONE_BY_ONE, WRITE_SCHEMA,
		WRITE_ERROR };
	struct small_batch batch;

	for (int i = 0; i < 4; i++) {
		rows_answer = answers[i];
		fill(&batch, &s->a, NULL);
		CHECK(write_batch(s->store, &batch, &s->err) == answers[i]);
		CHECK(s->store->ops->is_open(s->store));
		CHECK(look(s->other, &s->a).position.major == 5);
	}
	rows_answer = WRITE_OK;
	s->a.probe = true;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_LEAVE);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
}

static void
a_batch_that_writes_nothing_needs_no_transaction(struct scene *s)
{
	struct small_batch batch;

	fill(&batch, &s->a, NULL);
	batch.lanes[0].writes = false;
	s->wire.results_until_cut = 1;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(s->wire.results_until_cut == 1);
}

/* The server still executes for a client that is gone: the row is locked until it is killed. */
static void
an_open_transaction_of_the_old_session_is_gone_after_open(struct scene *s)
{
	struct small_batch batch;
	struct lane *lanes[1] = { &s->a };
	bool owned;

	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	s->wire.results_until_cut = 1; /* the compare-and-set's */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR && s->err.class == ERR_RETRY);
	CHECK(!s->store->ops->is_open(s->store));
	must(s->store->ops->open(s->store, &s->err), &s->err);
	must(s->store->ops->own(s->store, lanes, 1, &owned, &s->err), &s->err);
	CHECK(owned);
	CHECK(look(s->store, &s->a).position.major == 5);
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
}

static void
a_commit_whose_answer_was_lost_is_found_in_the_ledger(struct scene *s)
{
	struct small_batch batch;

	s->wire.results_until_cut = 3; /* compare-and-set, the row, COMMIT */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR && s->err.class == ERR_RETRY);
	CHECK(!s->store->ops->is_open(s->store));
	must(s->store->ops->open(s->store, &s->err), &s->err);
	CHECK(look(s->store, &s->a).position.major == 10);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 1);
}

static void
a_refused_entry_is_a_letter_in_the_same_transaction(struct scene *s)
{
	struct small_batch batch;

	rows_refusal = REASON_OUT_OF_RANGE;
	fill(&batch, &s->a, NULL);
	rows_answer = WRITE_ERROR;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM sluice_dead_letter") == 0);
	rows_answer = WRITE_OK;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(number_of(s->sql,
		  "SELECT COUNT(*) FROM sluice_dead_letter WHERE reason='out_of_range'"
		  " AND code=1264 AND entry='10-0' AND state='dead'") == 1);
	/* of an earlier try: found anew, or not */
	rows_refusal = NULL;
	fill(&batch, &s->b, NULL);
	batch.entries[0].id.major = 11;
	batch.entries[0].refusal = (struct refusal){
		.reason = REASON_BAD_VALUE, .code = 1366, .text = "", .of_write = true
	};
	batch.batch.refused = 1;
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_OK);
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM sluice_dead_letter") == 1);
}

static void
on_poison_halt_takes_the_lane_out(struct scene *s)
{
	struct small_batch batch;

	table.on_poison = ON_POISON_HALT;
	for (int i = 0; i < 2; i++) { /* refused by us: before, by the server: inside */
		fill(&batch, &s->a, &s->b);
		rows_refusal = i == 1 ? REASON_OUT_OF_RANGE : NULL;
		if (i == 0) {
			batch.entries[0].refusal =
			    (struct refusal){ .reason = REASON_NO_KEY, .text = "no key" };
			batch.batch.refused = 1;
		}
		CHECK(write_batch(s->store, &batch, &s->err) == WRITE_LEAVE);
		CHECK(batch.lanes[0].leave_halts && batch.lanes[0].leave_at == &batch.entries[0]);
		CHECK(strcmp(batch.lanes[0].leave_why, LANE_WHY_ON_POISON) == 0);
		CHECK(batch.lanes[1].leave_why == NULL);
		CHECK(look(s->store, &s->a).position.major == 5);
	}
	CHECK(number_of(s->sql, "SELECT COUNT(*) FROM `rows`") == 0);
}

/* test_store.py puts the chunks together again. */
static void
a_letter_larger_than_a_statement_comes_in_chunks(struct scene *s)
{
	static char large[100000];
	struct field fields[] = { { STR("data"), { { large, sizeof(large) }, VALUE_TEXT } } };
	struct change change = { .op = CHANGE_INCR,
		.table_name = STR("hostile'); DROP TABLE users; --") };
	struct entry entries[2] = { 0 };
	struct batch batch = { .first = &entries[0] };
	unsigned written;

	for (size_t i = 0; i < sizeof(large); i++)
		large[i] = (char)(i % 3 == 0 ? '\'' : i % 251);
	for (int i = 0; i < 2; i++)
		entries[i] = (struct entry){ .lane = &s->a,
			.id = { 1, (uint64_t)i },
			.raw = fields,
			.raw_count = 1,
			.changes = &change,
			.change_count = 1,
			.refusal = { REASON_BAD_VALUE, 0, "caf\xc3\xa9" } };
	entries[0].next_kept = &entries[1];
	entries[1].refusal.text = "cut in two: \xc3";
	entries[1].raw_count = 0;
	must(dead_letter_write(s->sql, &batch, 20000, &written, &s->err), &s->err);
	CHECK(written == 2);
	must(session_commit(s->sql, &s->err), &s->err);
}

static void
a_read_only_server_is_left(struct scene *s)
{
	struct small_batch batch;

	printf("ready\n");
	fflush(stdout);
	CHECK(getchar() == '\n'); /* test_store.py has set it read-only */
	fill(&batch, &s->a, NULL);
	CHECK(write_batch(s->store, &batch, &s->err) == WRITE_ERROR);
	CHECK(s->err.class == ERR_RETRY && !s->store->ops->is_open(s->store));
}

static void
opens(struct scene *s)
{
	(void)s;
}

const struct check batch_checks[] = {
	A_CHECK(a_batch_moves_its_lanes_and_commits_its_rows),
	A_CHECK(one_lane_elsewhere_and_nothing_is_written),
	A_CHECK(whatever_the_rows_answer_but_ok_leaves_nothing),
	A_CHECK(a_batch_that_writes_nothing_needs_no_transaction),
	A_CHECK(an_open_transaction_of_the_old_session_is_gone_after_open),
	A_CHECK(a_commit_whose_answer_was_lost_is_found_in_the_ledger),
	A_CHECK(a_refused_entry_is_a_letter_in_the_same_transaction),
	A_CHECK(on_poison_halt_takes_the_lane_out),
	A_CHECK(a_letter_larger_than_a_statement_comes_in_chunks),
	A_CHECK(a_read_only_server_is_left),
	A_CHECK(opens),
	{ NULL, NULL },
};
