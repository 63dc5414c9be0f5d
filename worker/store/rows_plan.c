#include "worker/store/rows_plan.h"

#include "common/err.h"
#include "common/number.h"

#include <stdlib.h>

/* Text beyond this is built when its turn comes. */
#define TEXT_BYTES_MAX (4u << 20)
/* Of the refusals' sentences. */
#define ARENA_KEEP_BYTES 4096

/* A step and what it is sorted by; small, because sorting is a third of the plan's time. */
struct placed {
	uint64_t group;	 /* round, deletions or not, rank, shape, form: one slice */
	uint64_t prefix; /* of the key; equal ones want a closer look */
	struct step *step;
};

enum { PHASE_DELETE_FIRST, PHASE_WRITE, PHASE_DELETE_LAST };

/* The fields of a group, from the lowest; more of anything than that is not in one batch. */
enum { FORM_BITS = 2, SHAPE_BITS = 22, RANK_BITS = 12, PHASE_BITS = 2, ROUND_BITS = 26 };

static uint64_t
append_bits(uint64_t group, uint64_t value, unsigned bits)
{
	CHECK(value >> bits == 0);
	return group << bits | value;
}

static uint64_t
group_of(const struct step *step)
{
	const struct shape *shape = step->shape;
	uint64_t phase = PHASE_WRITE, rank_max = (1u << RANK_BITS) - 1, group;
	uint64_t rank = shape->table->rank < rank_max ? shape->table->rank : rank_max;

	if (shape->kind == SHAPE_DELETE || shape->kind == SHAPE_TRUNCATE) {
		phase = shape->table->has_foreign_key ? PHASE_DELETE_LAST : PHASE_DELETE_FIRST;
		rank = rank_max - rank;
	}
	group = append_bits(append_bits(step->round, phase, PHASE_BITS), rank, RANK_BITS);
	CHECK(step->round >> ROUND_BITS == 0);
	return append_bits(append_bits(group, shape->id, SHAPE_BITS), statement_form(step),
	    FORM_BITS);
}

/* An integer's place among all 64-bit ones. */
static uint64_t
integer_prefix(const struct column *column, struct str text)
{
	uint64_t u = 0;
	int64_t i = 0;

	if (column->is_unsigned)
		return number_u64(text, &u) ? u : 0;
	return number_i64(text, &i) ? (uint64_t)i ^ UINT64_C(1) << 63 : 0;
}

static uint64_t
key_prefix(const struct step *step)
{
	const struct table *table = step->shape->table;
	const struct column *column = &table->columns[table->key[0]];
	struct str text = step->key[0].text;
	uint64_t prefix = 0;

	if (column->kind == COLUMN_INT)
		return integer_prefix(column, text);
	for (size_t i = 0; i < sizeof(prefix); i++)
		prefix = prefix << 8 | (i < text.len ? (unsigned char)text.data[i] : 0);
	return prefix;
}

static int
compare_numbers(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

static int
compare_text(struct str a, struct str b)
{
	size_t len = a.len < b.len ? a.len : b.len;
	int order = len > 0 ? memcmp(a.data, b.data, len) : 0;

	return order != 0 ? order : compare_numbers(a.len, b.len);
}

int
rows_compare_keys(const struct step *a, const struct step *b)
{
	const struct table *table = a->shape->table;

	for (unsigned i = 0; i < table->key_count; i++) {
		const struct column *column = &table->columns[table->key[i]];
		struct str x = a->key[i].text, y = b->key[i].text;
		int order = column->kind == COLUMN_INT ?
		    compare_numbers(integer_prefix(column, x), integer_prefix(column, y)) :
		    compare_text(x, y);

		if (order != 0)
			return order;
	}
	return 0;
}

static int
compare_placed(const void *left, const void *right)
{
	const struct placed *a = left, *b = right;

	if (a->group != b->group)
		return compare_numbers(a->group, b->group);
	if (a->prefix != b->prefix)
		return compare_numbers(a->prefix, b->prefix);
	return rows_compare_keys(a->step, b->step);
}

static void *
allocate(size_t count, size_t bytes)
{
	void *memory = calloc(count + 1, bytes);

	CHECK(memory != NULL);
	return memory;
}

static struct placed *
place_steps(const struct batch *batch, unsigned *count)
{
	struct placed *placed = allocate(batch->steps, sizeof(*placed));
	bool is_sorted = true;
	unsigned n = 0;

	for (struct bucket *k = batch->buckets; k != NULL; k = k->next) {
		for (struct step *s = k->first; s != NULL; s = s->next) {
			CHECK(n < batch->steps);
			placed[n] = (struct placed){ group_of(s), key_prefix(s), s };
			is_sorted &= n == 0 || compare_placed(&placed[n - 1], &placed[n]) <= 0;
			n++;
		}
	}
	if (!is_sorted)
		qsort(placed, n, sizeof(*placed), compare_placed);
	*count = n;
	return placed;
}

static void
cut_slices(struct rows_plan *plan, const struct placed *placed)
{
	for (unsigned i = 0; i < plan->count; i++) {
		struct step *step = placed[i].step;

		plan->order[i] = step;
		if (i == 0 || placed[i - 1].group != placed[i].group)
			plan->slices[plan->slice_count++] = (struct rows_slice){
				.round = step->round, .from = i, .form = statement_form(step)
			};
		plan->slices[plan->slice_count - 1].count++;
	}
}

struct rows_plan *
rows_plan_of(struct batch *batch, bool mariadb)
{
	struct rows_plan *plan = batch->prepared;
	struct placed *placed;

	if (plan != NULL && plan->changes != batch->changes) {
		rows_forget(batch);
		plan = NULL;
	}
	if (plan != NULL) {
		if (plan->mariadb != mariadb)
			plan->text_count = 0;
		plan->mariadb = mariadb;
		return plan;
	}
	plan = allocate(1, sizeof(*plan));
	arena_init(&plan->arena, ARENA_KEEP_BYTES);
	buf_init(&plan->text);
	plan->mariadb = mariadb;
	plan->changes = batch->changes;
	placed = place_steps(batch, &plan->count);
	plan->order = allocate(plan->count, sizeof(struct step *));
	plan->scratch = allocate(plan->count, sizeof(struct step *));
	plan->slices = allocate(plan->count, sizeof(*plan->slices));
	cut_slices(plan, placed);
	free(placed);
	return batch->prepared = plan;
}

unsigned
rows_plan_share(struct step *const *steps, unsigned count, const struct rows_limits *limits)
{
	unsigned n = 1;

	if (steps[0]->alone)
		return 1;
	if (count > limits->rows_max)
		count = limits->rows_max > 0 ? limits->rows_max : 1;
	while (n < count && !steps[n]->alone)
		n++;
	return n;
}

static void
build_slice(struct rows_plan *plan, const struct rows_slice *slice,
    const struct rows_limits *limits)
{
	unsigned from = slice->from, end = slice->from + slice->count;

	while (from < end && plan->text.len < TEXT_BYTES_MAX) {
		struct statement s = { .steps = plan->order + from,
			.count = rows_plan_share(plan->order + from, end - from, limits),
			.bytes_max = limits->bytes_max,
			.mariadb = plan->mariadb };
		size_t offset = plan->text.len;
		unsigned n = statement_add(&plan->text, &s, slice->form);

		if (n > 0)
			plan->texts[plan->text_count++] = (struct rows_text){ .from = from,
				.count = n,
				.offset = offset,
				.len = plan->text.len - offset };
		from += n > 0 ? n : 1;
	}
}

/* Build statements of round 0 ahead, a few MiB of text at the most. */
static void
build_ahead(struct rows_plan *plan, const struct rows_limits *limits)
{
	if (plan->texts != NULL)
		return;
	plan->texts = allocate(plan->count, sizeof(*plan->texts));
	for (unsigned i = 0; i < plan->slice_count && plan->slices[i].round == 0; i++) {
		const struct rows_slice *slice = &plan->slices[i];

		if (slice->form == STATEMENT_UPSERT ||
		    !statement_sets_nothing(plan->order[slice->from]))
			build_slice(plan, slice, limits);
	}
}

const struct rows_text *
rows_plan_text(const struct rows_plan *plan, struct step *const *steps, unsigned count)
{
	unsigned low = 0, high = plan->text_count;

	if (high == 0 || steps < plan->order || steps >= plan->order + plan->count)
		return NULL;
	while (low < high) {
		unsigned middle = (low + high) / 2;
		const struct rows_text *text = &plan->texts[middle];

		if (plan->order + text->from == steps)
			return text->count <= count ? text : NULL;
		if (plan->order + text->from < steps)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

void
rows_prepare(struct batch *batch, const struct rows_limits *limits, bool mariadb)
{
	if (!batch->one_by_one)
		build_ahead(rows_plan_of(batch, mariadb), limits);
}

void
rows_forget(struct batch *batch)
{
	struct rows_plan *plan = batch->prepared;

	if (plan == NULL)
		return;
	arena_deinit(&plan->arena);
	buf_deinit(&plan->text);
	free(plan->order);
	free(plan->scratch);
	free(plan->slices);
	free(plan->texts);
	free(plan);
	batch->prepared = NULL;
}
