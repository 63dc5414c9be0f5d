#include "config/validate.h"

#include "config/braces.h"

#include <string.h>

static bool
is_versioned(const struct config_template *template)
{
	return template->mode == MODE_VERSIONED || template->mode == MODE_POPULATE;
}

static bool
is_usable(const struct config_template *template)
{
	size_t holes = 0;

	return (is_versioned(template) || template->mode == MODE_DELETE ||
		   template->mode == MODE_NONE) &&
	    braces_check(str_of(template->written), &holes, NULL) == 0 && holes > 0;
}

static const struct config_template *
find_template(const struct config_table *table, const char *key)
{
	for (size_t i = 0; i < table->template_count; i++) {
		const struct config_template *t = &table->templates[i];

		if (key == NULL ? is_usable(t) && t->mode != MODE_NONE :
				  strcmp(t->written, key) == 0)
			return t;
	}
	return NULL;
}

static bool
holds(const char *text, const char *word)
{
	return text != NULL && strstr(text, word) != NULL;
}

static void
check_refresh(struct reader *r, struct config_table *table)
{
	struct config_refresh *f = &table->refresh;
	struct place at = { f->line, f->column };
	const char *where = arena_printf(r->scratch, "tables.%.64s.refresh", table->name);
	bool versioned;

	if (!r->config->has_mysql)
		problem_add(r->problems, at, "%s: without mysql nothing can be loaded", where);
	f->template = find_template(table, f->key);
	if (f->template == NULL || !is_usable(f->template)) {
		problem_add(r->problems, at,
		    f->key != NULL ? "%s: key is not a template of the table's invalidate of mode "
				     "versioned, populate, delete or none" :
				     "%s: the table has no template under invalidate of mode "
				     "versioned, populate or delete with a {column}",
		    where);
		return;
	}
	versioned = is_versioned(f->template);
	if (f->load != NULL && !holds(f->load, "(:keys)"))
		problem_add(r->problems, at, "%s: load has no (:keys), as in WHERE id IN (:keys)",
		    where);
	if (versioned && f->format == VALUE_AS_HASH)
		problem_add(r->problems, at,
		    "%s: format hash is for plain keys; a versioned entry is a hash already",
		    where);
	if (!versioned && f->on_invalidate)
		problem_add(r->problems, at,
		    "%s: on_invalidate: reload wants a key of mode versioned or populate; a plain "
		    "one is never written where it is absent",
		    where);
	if (!versioned && f->warm != NULL)
		problem_warn(r->problems, at,
		    "%s: warm only keeps keys of mode delete that are there; absent ones are "
		    "loaded with mode versioned or populate",
		    where);
	if (f->template->mode == MODE_POPULATE && f->value_count > 0)
		problem_add(r->problems, at,
		    "%s: value is for other modes; populate writes all columns of the row", where);
	if (!versioned && f->stale_for_ms > 0)
		problem_add(r->problems, at,
		    "%s: stale_for wants a key of mode versioned or populate", where);
}

void
validate_refresh(struct reader *r)
{
	struct config *config = r->config;

	for (size_t i = 0; i < config->table_count; i++)
		if (config->tables[i].refresh.on)
			check_refresh(r, &config->tables[i]);
}
