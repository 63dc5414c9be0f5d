#include "config/validate.h"

#include "common/map.h"
#include "config/braces.h"

#include <string.h>

#define OUR_KEYS "sluice:"

enum { POPULATE_LATE_MS = 2000 }; /* as sluice_populate has it */

/* A row that was read before a deletion may be written so much later: what was told must still be known. */
static void
check_populate(struct reader *r, const struct config_template *template)
{
	struct place at = { template->line, template->column };
	const char *quoted = problem_quote(r->problems, str_of(template->written));
	const char *what = template->marker_absent_ms < POPULATE_LATE_MS ? "marker_absent" :
	    template->marker_ms < POPULATE_LATE_MS			 ? "marker" :
	    template->quarantine_ms < POPULATE_LATE_MS			 ? "quarantine" :
									   NULL;

	if (template->ttl_ms == 0)
		problem_add(r->problems, at, "key %s: mode populate wants a ttl for the value",
		    quoted);
	if (what != NULL)
		problem_add(r->problems, at,
		    "key %s: mode populate wants a %s of 2s or more: a row may be written up to 2 "
		    "s "
		    "after it was read, and would come back behind a deletion that is forgotten",
		    quoted, what);
}

/* The marker of a key compares the versions of one row: what has none can't be compared. */
static void
check_mode(struct reader *r, const struct config_table *table,
    const struct config_template *template)
{
	struct place at = { template->line, template->column };
	const char *quoted = problem_quote(r->problems, str_of(template->written));
	size_t holes = 0;

	if (braces_check(str_of(template->written), &holes, NULL) != 0)
		return;
	/* of what isn't written here, places in the database's log order the changes */
	if (mode_is_versioned(template->mode) && table->version == VERSION_NONE &&
	    (table->written || template->mode == MODE_POPULATE))
		problem_add(r->problems, at,
		    "key %s: mode %s wants a version, and table %s has none", quoted,
		    config_mode_name(template->mode),
		    problem_quote(r->problems, str_of(table->name)));
	if (template->mode == MODE_POPULATE)
		check_populate(r, template);
	if (template->mode == MODE_TABLE && holes > 0)
		problem_add(r->problems, at,
		    "key %s: mode table has one key for the whole table, without a {column}",
		    quoted);
}

enum { SCAN_PREFIX_MIN = 3 };

/* Characters in front of the first placeholder or *. */
static size_t
fixed_prefix(const char *written)
{
	struct str rest = str_of(written);
	struct brace brace;
	size_t characters = 0;

	while ((brace = brace_next(&rest)).kind == BRACE_TEXT && brace.text.data[0] != '*')
		characters += ((unsigned char)brace.text.data[0] & 0xC0) != 0x80;
	return characters;
}

static void
check_scan(struct reader *r, const struct config_template *template)
{
	struct place at = { template->line, template->column };
	const char *quoted = problem_quote(r->problems, str_of(template->written));

	if (braces_check(str_of(template->written), NULL, NULL) != 0)
		return;
	if (strchr(template->written, '*') == NULL)
		problem_add(r->problems, at,
		    "key %s: mode scan wants a pattern with a *; one key is removed by mode delete",
		    quoted);
	if (fixed_prefix(template->written) < SCAN_PREFIX_MIN)
		problem_add(r->problems, at,
		    "key %s: mode scan wants %d characters or more in front of the first * or "
		    "{column}, since it looks for keys of that prefix",
		    quoted, SCAN_PREFIX_MIN);
}

/* As a template whose stars are holes: what its keys can be. */
static struct str
with_stars_open(struct reader *r, const struct config_template *template)
{
	size_t len = strlen(template->written), stars = 0;
	char *out, *to;

	for (size_t i = 0; i < len; i++)
		stars += template->written[i] == '*';
	if (template->mode != MODE_SCAN || stars == 0)
		return str_of(template->written);
	to = out = arena_alloc(r->scratch, len + 2 * stars + 1);
	for (size_t i = 0; i < len; i++) {
		if (template->written[i] == '*')
			*to++ = '{', *to++ = 'x', *to++ = '}';
		else
			*to++ = template->written[i];
	}
	return (struct str){ out, (size_t)(to - out) };
}

/* The template with its holes emptied: the same bytes where two stand for the same keys. */
static struct str
pattern_of(struct reader *r, const char *written)
{
	char *pattern = arena_copy(r->scratch, written, strlen(written)), *to = pattern;
	struct str rest = str_of(written);
	struct brace brace;

	while ((brace = brace_next(&rest)).kind == BRACE_TEXT || brace.kind == BRACE_HOLE)
		*to++ = brace.kind == BRACE_HOLE ? '\0' : brace.text.data[0];
	return (struct str){ pattern, (size_t)(to - pattern) };
}

/* The first template of each pattern; its table is the one whose rows the keys are of. */
struct first {
	const struct config_table *table;
	const struct config_template *template;
};

static void
check_pattern(struct reader *r, struct map *patterns, const struct config_table *table,
    const struct config_template *template)
{
	struct place at = { template->line, template->column };
	struct str pattern = pattern_of(r, template->written);
	const char *quoted = problem_quote(r->problems, str_of(template->written));
	struct first **place = (struct first **)map_at(patterns, pattern.data, pattern.len);
	struct first *first = *place;

	if (first == NULL) {
		*place = first = arena_alloc(r->scratch, sizeof(*first));
		*first = (struct first){ table, template };
		return;
	}
	if (first->template->mode != template->mode)
		problem_add(r->problems, at, "key %s: the same pattern has another mode in line %d",
		    quoted, first->template->line);
	else if (mode_is_versioned(template->mode) && first->table != table)
		problem_add(r->problems, at,
		    "key %s: with mode %s a pattern belongs to one table; in line %d it is "
		    "of %s",
		    quoted, config_mode_name(template->mode), first->template->line,
		    problem_quote(r->problems, str_of(first->table->name)));
	else
		problem_warn(r->problems, at, "key %s: the same pattern is in line %d", quoted,
		    first->template->line);
}

/* An invalidation deletes its key: it must never be able to name a stream or a key of ours. */
static void
check_key(struct reader *r, const struct config_template *template)
{
	struct place at = { template->line, template->column };
	struct str written = str_of(template->written);
	const char *quoted = problem_quote(r->problems, written);
	const char *stream = r->config->announce_stream;

	if (template->mode == MODE_NONE || braces_check(written, NULL, NULL) != 0)
		return;
	written = with_stars_open(r, template);
	if (stream != NULL && braces_can_be(written, str_of(stream)))
		problem_add(r->problems, at,
		    "key %s can be %s, the stream of announce; give it a prefix of its own", quoted,
		    problem_quote(r->problems, str_of(stream)));
	if (braces_can_begin(written, STR(OUR_KEYS)))
		problem_add(r->problems, at,
		    "key %s can begin with " OUR_KEYS
		    ", as our own keys do; give it a prefix of its own",
		    quoted);
	else if (r->config->dead_stream != NULL &&
	    braces_can_be(written, str_of(r->config->dead_stream)))
		problem_add(r->problems, at,
		    "key %s can be the stream %s, the home of dead letters; give it a prefix of "
		    "its "
		    "own",
		    quoted, problem_quote(r->problems, str_of(r->config->dead_stream)));
	for (struct mention *lane = r->lanes.first; lane != NULL; lane = lane->next) {
		if (!braces_can_be(written, str_of(lane->name)))
			continue;
		problem_add(r->problems, at,
		    "key %s can be the stream %s of line %d; give it a prefix of its own", quoted,
		    problem_quote(r->problems, str_of(lane->name)), lane->at.line);
		return;
	}
}

void
validate_templates(struct reader *r)
{
	const struct config *config = r->config;
	struct map patterns;

	map_init(&patterns);
	for (size_t i = 0; i < config->table_count; i++) {
		const struct config_table *table = &config->tables[i];

		for (size_t j = 0; j < table->template_count; j++) {
			const struct config_template *template = &table->templates[j];

			if (template->mode == MODE_NONE)
				continue;
			check_mode(r, table, template);
			if (template->mode == MODE_SCAN)
				check_scan(r, template);
			check_key(r, template);
			if (braces_check(str_of(template->written), NULL, NULL) == 0)
				check_pattern(r, &patterns, table, template);
		}
	}
	map_deinit(&patterns);
}
