#include "worker/fold.h"

#include "common/err.h"
#include "worker/batch.h"

#include <string.h>

/*
 * The comments below argue case by case from the law in batch.h.  "Sure" means: on every table,
 * either the server refuses the first change for its own data, and then it refuses the merged one
 * too and the bucket is applied one by one; or the first change succeeds.
 */

static struct bucket *
bucket_of(struct batch *b, const struct change *c)
{
	struct bucket *k, **place;

	place = (struct bucket **)map_at(&b->bucket_map, c->bucket.data, c->bucket.len);
	if (*place != NULL)
		return *place;
	k = arena_zalloc(&b->arena, sizeof(*k));
	k->table = c->table;
	if (b->last_bucket != NULL)
		b->last_bucket->next = k;
	else
		b->buckets = k;
	b->last_bucket = k;
	return *place = k;
}

static struct touched *
touched_of(struct batch *b, struct bucket *k, const struct change *c)
{
	struct touched *t;

	for (t = k->touched; t != NULL; t = t->next_of_bucket)
		if (str_equal(t->exact, c->exact))
			return t;
	t = arena_alloc(&b->arena, sizeof(*t));
	*t = (struct touched){ .table = c->table,
		.key = c->key,
		.exact = c->exact,
		.next = b->touched,
		.next_of_bucket = k->touched };
	return b->touched = k->touched = t;
}

static void
touch_image(struct batch *b, struct touched *t, const struct change *c, const struct str *values)
{
	struct touched_image *image;

	if (values == NULL)
		return;
	image = arena_alloc(&b->arena, sizeof(*image));
	*image = (struct touched_image){ values, c->unchanged, t->images };
	t->images = image;
}

/* Remember the row for the invalidations, once a spelling of its key, with all its images. */
static void
touch(struct batch *b, struct bucket *k, struct change *c)
{
	struct touched *t;

	if (c->table->template_count == 0 || c->key == NULL)
		return;
	t = touched_of(b, k, c);
	t->whole = c->whole_table;
	touch_image(b, t, c, c->row_before);
	touch_image(b, t, c, c->row_after);
	if (c->row_before == NULL && c->row_after == NULL)
		t->plain = true;
	c->next_of_touched = t->changes;
	t->changes = c;
}

void
fold_refused(struct batch *b, struct entry *e)
{
	for (size_t i = 0; i < e->change_count; i++) {
		struct change *c = &e->changes[i];

		if (c->whole_table && c->table != NULL && c->table->keys_only && c->key != NULL)
			touch(b, bucket_of(b, c), c);
	}
}

/* Is every column of a also in b? */
static bool
shape_within(const struct shape *a, const struct shape *b)
{
	unsigned i, j = 0;

	if (a == b)
		return true;
	for (i = 0; i < a->count; i++) {
		while (j < b->count && b->columns[j].column < a->columns[i].column)
			j++;
		if (j == b->count || b->columns[j].column != a->columns[i].column)
			return false;
	}
	return true;
}

/* Set, then add: the sum as a new value, unless that is for MySQL to say. */
static bool
add_to_value(struct batch *b, const struct column *column, const struct value *value,
    const struct sum *sum, struct value *out)
{
	unsigned scale = column->kind == COLUMN_DECIMAL ? column->scale : 0;
	int128 n = 0, limit = 1;
	char text[48];
	size_t len;
	unsigned i;

	if (value->kind != VALUE_NULL && !number_scaled(value->text, scale, &n))
		return false;
	if (!number_add(n, sum->sum, &n))
		return false;
	if (column->kind == COLUMN_DECIMAL) {
		if (column->precision > 36)
			return false;
		for (i = 0; i < column->precision; i++)
			limit *= 10;
		if (n >= limit || n <= -limit || (column->is_unsigned && n < 0))
			return false;
	} else if (column->kind != COLUMN_INT || n < column->low || n > column->high) {
		return false;
	}
	len = number_scaled_text(n, scale, text);
	out->kind = VALUE_NUMBER;
	out->text = arena_str(&b->arena, text, len);
	return true;
}

static bool
add_sums(const struct sum *a, const struct sum *b, struct sum *out)
{
	struct sum s = *a;
	int128 low, high;

	if (!number_add(a->sum, b->low, &low) || !number_add(a->sum, b->high, &high) ||
	    !number_add(a->sum, b->sum, &s.sum))
		return false;
	if (low < s.low)
		s.low = low;
	if (high > s.high)
		s.high = high;
	*out = s;
	return true;
}

static void
sum_text(struct batch *b, const struct column *column, const struct sum *sum, struct value *out)
{
	char text[48];
	size_t len =
	    number_scaled_text(sum->sum, column->kind == COLUMN_DECIMAL ? column->scale : 0, text);

	out->kind = VALUE_NUMBER;
	out->text = arena_str(&b->arena, text, len);
}

/* The columns of a step and of the change that follows it, while they are put together. */
struct merge {
	struct shape_column *columns;
	struct value *values;
	struct sum *sums;
	unsigned count;
	bool adds;
};

static void
merge_take(struct merge *m, const struct shape_column *column, const struct value *value,
    const struct sum *sum)
{
	m->columns[m->count] = *column;
	m->values[m->count] = *value;
	m->sums[m->count] = column->add && sum != NULL ? *sum : (struct sum){ 0, 0, 0 };
	m->adds |= column->add;
	m->count++;
}

/* One column that both name: the later wins, increments add up. */
static bool
merge_both(struct batch *b, struct merge *m, const struct step *s, unsigned i,
    const struct change *c, unsigned j)
{
	struct shape_column column = s->shape->columns[i];
	const struct column *def = &s->shape->table->columns[column.column];
	struct value value;
	struct sum sum;

	if (!c->shape->columns[j].add) {
		if (column.add) /* the increment's own refusal would be lost */
			return false;
		merge_take(m, &column, &c->values[j], NULL);
		return true;
	}
	if (!column.add) {
		if (!add_to_value(b, def, &s->values[i], &c->sums[j], &value))
			return false;
		merge_take(m, &column, &value, NULL);
		return true;
	}
	if (!add_sums(&s->sums[i], &c->sums[j], &sum))
		return false;
	sum_text(b, def, &sum, &value);
	merge_take(m, &column, &value, &sum);
	return true;
}

/* Put the columns of c over those of s.  False: no single change says the same. */
static bool
merge_columns(struct batch *b, struct step *s, const struct change *c)
{
	const struct shape *a = s->shape, *d = c->shape;
	struct merge m = { .count = 0 };
	unsigned i = 0, j = 0, most = (unsigned)a->count + d->count;

	m.columns = arena_alloc(&b->arena, most * sizeof(*m.columns) + 1);
	m.values = arena_alloc(&b->arena, most * sizeof(*m.values) + 1);
	m.sums = arena_alloc(&b->arena, most * sizeof(*m.sums) + 1);
	while (i < a->count || j < d->count) {
		if (j == d->count ||
		    (i < a->count && a->columns[i].column < d->columns[j].column)) {
			merge_take(&m, &a->columns[i], &s->values[i], a->adds ? &s->sums[i] : NULL);
			i++;
		} else if (i == a->count || d->columns[j].column < a->columns[i].column) {
			/* A row that s created has the default there, not 0. */
			if (d->columns[j].add &&
			    !a->table->columns[d->columns[j].column].default_zero)
				return false;
			merge_take(&m, &d->columns[j], &c->values[j], d->adds ? &c->sums[j] : NULL);
			j++;
		} else {
			if (!merge_both(b, &m, s, i, c, j))
				return false;
			i++, j++;
		}
	}
	s->shape = resolver_shape(&b->resolver, a->table, a->kind, m.columns, m.count);
	s->values = m.values;
	s->sums = m.adds ? m.sums : NULL;
	return true;
}

/* The same for equal shapes without increments, the usual case: only the values change. */
static bool
merge_same_sets(struct step *s, const struct change *c)
{
	if (s->shape->columns != c->shape->columns && s->shape != c->shape)
		return false;
	if (s->shape->adds)
		return false;
	s->values = c->values;
	return true;
}

static bool
merge_over(struct batch *b, struct step *s, const struct change *c)
{
	/* A later change that leaves such a column alone makes MySQL stamp it. */
	if (s->shape->sets_on_update && !shape_within(s->shape, c->shape))
		return false;
	if (!merge_same_sets(s, c) && !merge_columns(b, s, c))
		return false;
	s->changes++;
	return true;
}

/* The step becomes the deletion c. */
static bool
become_delete(struct step *s, const struct change *c)
{
	s->shape = c->shape;
	s->values = c->values;
	s->sums = NULL;
	s->version = c->version;
	s->changes = 1;
	return true;
}

/*
 * A step that creates the row when it is missing, followed by c.  Whether the row is there afterwards
 * must not depend on c: either s names all that an INSERT requires, or c names no column that s
 * doesn't, so that s and the merged one are refused together.
 */
static bool
merge_into_upsert(struct batch *b, struct step *s, const struct change *c)
{
	const struct shape *shape = s->shape;

	if (c->shape->kind == SHAPE_DELETE)
		return !shape->adds && !shape->guarded && !shape->table->has_check &&
		    shape->covers_required && become_delete(s, c);
	if (!shape->covers_required && !shape_within(c->shape, shape))
		return false;
	if ((shape->adds && !shape->foldable) || (c->shape->adds && !c->shape->foldable))
		return false;
	return merge_over(b, s, c);
}

static bool
merge_into_update(struct batch *b, struct step *s, const struct change *c)
{
	switch (c->shape->kind) {
	case SHAPE_UPDATE:
		return merge_over(b, s, c);
	case SHAPE_DELETE:
		return !s->shape->guarded && become_delete(s, c);
	case SHAPE_TRUNCATE:
	case SHAPE_UPSERT: /* was there a row? */
		return false;
	}
	return false;
}

/* Given versions: only a newer upsert over an older one whose columns it all sets.  (Row v6:
 * `v5 a=1` then `v7 b=1` must not write a.)  Of two that apply to their own version the later may
 * be of the same: it applies wherever the first did. */
static bool
merge_given(struct step *s, const struct change *c)
{
	if (s->shape->kind != SHAPE_UPSERT || c->shape->kind != SHAPE_UPSERT)
		return false;
	if (s->shape->adds || c->shape->adds || s->shape->fence != c->shape->fence ||
	    s->shape->fence == FENCE_OFF)
		return false;
	if (c->version < s->version || (c->version == s->version && c->shape->fence != FENCE_EQUAL))
		return false;
	if (!shape_within(s->shape, c->shape))
		return false;
	if (!s->shape->covers_required && s->shape != c->shape)
		return false;
	s->shape = c->shape;
	s->values = c->values;
	s->version = c->version;
	s->changes++;
	return true;
}

static bool
merge(struct batch *b, struct step *s, const struct change *c)
{
	if (s->alone || c->alone || c->barrier || s->first_change->barrier)
		return false;
	if (c->shape->guarded || !str_equal(s->first_change->exact, c->exact))
		return false;
	if (s->round <
	    batch_table(b, c->table)->barrier) /* what stands between may be the same row */
		return false;
	if (s->shape->table->version == VERSION_GIVEN)
		return merge_given(s, c);
	switch (s->shape->kind) {
	case SHAPE_UPSERT:
		return merge_into_upsert(b, s, c);
	case SHAPE_UPDATE:
		return merge_into_update(b, s, c);
	case SHAPE_DELETE: /* no row: a delete and an update of it are nothing */
		return c->shape->kind != SHAPE_UPSERT;
	case SHAPE_TRUNCATE:
		break;
	}
	return false;
}

/* Which round: behind the bucket's last step and the table's barrier. */
static unsigned
round_of(struct batch *b, const struct bucket *k, const struct change *c)
{
	struct batch_table *rounds = batch_table(b, c->table);
	unsigned round = k->last != NULL ? k->last->round + 1 : 0;

	if (round < rounds->barrier)
		round = rounds->barrier;
	if (c->barrier && round < rounds->next)
		round = rounds->next;
	if (rounds->next <= round)
		rounds->next = round + 1;
	if (c->barrier)
		rounds->barrier = round + 1;
	if (b->rounds <= round)
		b->rounds = round + 1;
	return round;
}

static void
add_step(struct batch *b, struct bucket *k, struct change *c)
{
	struct step *s = arena_zalloc(&b->arena, sizeof(*s));

	s->shape = c->shape;
	s->values = c->values;
	s->sums = c->shape->adds ? c->sums : NULL;
	s->key = c->key;
	s->version = c->version;
	s->changes = 1;
	s->round = round_of(b, k, c);
	s->alone = c->alone;
	s->bucket = k;
	s->first_change = c;
	if (k->last != NULL)
		k->last->next = s;
	else
		k->first = s;
	k->last = s;
	b->steps++;
}

/*
 * After c, which versions are sure to be refused as older?  Only what an upsert or incr left behind; a
 * row that is gone has no version, and another spelling may be another row.
 */
static void
note_version(struct bucket *k, const struct change *c)
{
	if (c->table->version != VERSION_GIVEN)
		return;
	if (c->shape->kind == SHAPE_DELETE || c->shape->fence == FENCE_OFF ||
	    !str_equal(k->first_change->exact, c->exact)) {
		k->has_assured_version = false;
	} else if (c->shape->kind == SHAPE_UPSERT && !c->alone &&
	    (!k->has_assured_version || c->version > k->assured_version)) {
		k->has_assured_version = true;
		k->assured_version = c->version;
		k->assured_round = k->last->round;
	}
}

static bool
is_surely_older(struct batch *b, const struct bucket *k, const struct change *c)
{
	if (c->shape->fence == FENCE_OFF ||
	    (c->shape->fence == FENCE_EQUAL && c->version == k->assured_version))
		return false;
	return k->has_assured_version && c->version <= k->assured_version && !c->barrier &&
	    k->assured_round >= batch_table(b, c->table)->barrier &&
	    str_equal(k->first_change->exact, c->exact);
}

enum fold
fold_change(struct batch *b, struct change *c)
{
	struct bucket *k = bucket_of(b, c);

	touch(b, k, c);
	if (c->table->keys_only)
		b->steps++;
	if (c->op == CHANGE_INVALIDATE || c->entry->done_before || c->table->keys_only)
		return FOLD_STEP;
	if (k->last_change != NULL)
		k->last_change->next_of_key = c;
	else
		k->first_change = c;
	k->last_change = c;
	c->next_of_key = NULL;
	if (c->entry->change_count > 1)
		k->has_list_entry = true;
	if (is_surely_older(b, k, c))
		return FOLD_OLDER;
	if (k->last != NULL && merge(b, k->last, c)) {
		note_version(k, c);
		return FOLD_MERGED;
	}
	add_step(b, k, c);
	note_version(k, c);
	return FOLD_STEP;
}
