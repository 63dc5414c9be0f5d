#include "worker/account.h"

#include "common/clock.h"
#include "common/log.h"

#include <string.h>

static struct table_counters *
counters_of(struct worker *w, const struct table *table)
{
	return &w->counters.tables[table->config - w->config->tables];
}

/* Said once: the usual reason is a name spelled otherwise at the source. */
static void
log_unlisted(struct worker *w, const struct entry *e)
{
	char id[POSITION_TEXT];

	if (e->lane->unlisted_logged)
		return;
	e->lane->unlisted_logged = true;
	log_event(LOG_WARN, "event_of_unlisted_table", "worker", "%d", w->index, "lane", "%s",
	    e->lane->name, "entry", "%s", entry_id_text(e, id), "next", "%s",
	    "it is passed over and counted, as all that follow; the source's `tables` lists none "
	    "that fits",
	    NULL);
}

static void
count_entry(struct worker *w, const struct entry *e)
{
	size_t i;
	bool dead = e->refusal.reason != NULL;

	if (e->passed != NULL && !dead) {
		COUNT(w->counters.passed[passed_index(e->passed)], 1);
		if (strcmp(e->passed, PASSED_UNLISTED) == 0)
			log_unlisted(w, e);
	}
	lane_recent_add(&e->lane->recent, dead && !entry_is_parked(e));
	COUNT(e->lane->entries, 1);
	for (i = 0; i < e->change_count; i++) {
		if (e->changes[i].table == NULL)
			continue;
		COUNT(counters_of(w, e->changes[i].table)->changes, 1);
		if (dead)
			COUNT(counters_of(w, e->changes[i].table)->dead, 1);
	}
	if (!dead)
		return;
	COUNT(e->lane->dead, 1);
	COUNT(w->counters.dead_by_reason[dead_reason_index(e->refusal.reason)], 1);
}

static void
log_dead(struct worker *w, const struct entry *e)
{
	char id[POSITION_TEXT];

	log_event(LOG_WARN, "dead_letter", "worker", "%d", w->index, "lane", "%s", e->lane->name,
	    "entry", "%s", entry_id_text(e, id), "reason", "%s", e->refusal.reason, "error", "%s",
	    e->refusal.text != NULL ? e->refusal.text : "", NULL);
}

/* What had a key of its own can't be named any more; keys without a {column} went with the rows. */
static const char *
emptied_next(const struct table *table)
{
	bool raised = false, stay = false, some = false;

	for (size_t i = 0; i < table->template_count; i++) {
		const struct key_template *template = &table->templates[i];

		raised |= template->config->mode == MODE_TABLE;
		some |= template->config->mode != MODE_NONE;
		stay |= template->config->mode != MODE_NONE && template->part_count > 1;
	}
	return raised ? "the table's generation is raised" :
	    stay      ? "keys of its rows stay in the cache: none has mode table" :
	    some      ? "its keys name no row and are invalidated" :
			"no cache key is of it";
}

static void
log_emptied(const struct worker *w, const struct entry *e)
{
	for (size_t i = 0; i < e->change_count; i++)
		if (e->changes[i].whole_table)
			log_event(LOG_WARN, "table_emptied", "worker", "%d", w->index, "lane", "%s",
			    e->lane->name, "table", "%s", e->changes[i].table->name, "next", "%s",
			    emptied_next(e->changes[i].table), NULL);
}

void
account_letters(struct worker *w, const struct entry *first)
{
	for (const struct entry *e = first; e != NULL; e = e->next_kept) {
		COUNT(e->lane->dead, 1);
		COUNT(w->counters.dead_by_reason[dead_reason_index(e->refusal.reason)], 1);
		log_dead(w, e);
	}
}

static void
count_batch(struct worker *w, struct batch *b, const struct write_report *report)
{
	size_t tables;
	const struct table *table = schema_tables(b->schema, &tables);

	COUNT(w->counters.batches, 1);
	COUNT(w->counters.entries, b->entries);
	COUNT(w->counters.changes, b->changes);
	COUNT(w->counters.folded, b->folded);
	COUNT(w->counters.older, b->older + report->older);
	COUNT(w->counters.rows, report->rows);
	COUNT(w->counters.statements, report->statements);
	COUNT(w->counters.not_populated, report->not_read);
	for (size_t i = 0; i < tables; i++) {
		COUNT(counters_of(w, &table[i])->folded, b->tables[i].folded);
		COUNT(counters_of(w, &table[i])->older,
		    b->tables[i].older + b->tables[i].refused_older);
	}
	histogram_add(&w->counters.batch_rows, b->entries);
	histogram_add(&w->counters.batch_seconds, (uint64_t)(clock_ms() - b->sealed_ms) * 1000);
}

void
account_written(struct worker *w, struct batch *b, const struct write_report *report)
{
	int64_t now = clock_wall_ms();
	struct entry *e;

	for (e = b->first; e != NULL; e = e->next_kept) {
		if (e->done_before)
			continue;
		count_entry(w, e);
		if (e->refusal.reason != NULL)
			log_dead(w, e);
		else
			log_emptied(w, e);
		if (now > e->at_ms)
			histogram_add(&w->counters.commit_lag_seconds,
			    (uint64_t)(now - e->at_ms) * 1000);
	}
	count_batch(w, b, report);
}
