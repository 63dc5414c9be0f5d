#include "tests/sim/kafka.h"
#include "tests/sim/sim.h"

#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/*
 * What producers add to the streams: few keys, so that most changes meet another of their row; small
 * columns, so that sums run over; mistakes now and then.
 */
enum { LIST_MAX = 3, JSON_MAX = 1024 };

struct draft {
	struct field fields[FIELDS_MAX];
	size_t count;
};

static struct str printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
static struct str
printed(const char *format, ...)
{
	char text[64];
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	CHECK(len >= 0 && (size_t)len < sizeof(text));
	return arena_str(&world.arena, text, (size_t)len);
}

static void
add(struct draft *d, const char *name, struct str value)
{
	CHECK(d->count < FIELDS_MAX);
	d->fields[d->count++] = (struct field){ str_of(name), { value, VALUE_TEXT } };
}

static struct str
pick(const char *const *list, unsigned count)
{
	return str_of(list[below(count)]);
}

/* A value for a TINYINT: seldom one that it can't hold. */
static struct str
small_number(unsigned bad)
{
	static const char *const wrong[] = { "300", "-129", "abc", "", "1.5",
		"99999999999999999999" };

	if (below(bad) == 0)
		return pick(wrong, 6);
	return printed("%d", world.counting ? (int)below(15) : (int)below(120) - 20);
}

static struct str
increment(void)
{
	return below(8) == 0 ? printed("%d", (int)below(300) - 150) :
			       printed("%d", (int)below(21) - 10);
}

static struct str
word(unsigned bad)
{
	static const char *const words[] = { "x", "yy", "zzz", "", "four", "A", "b ", "07" };

	return below(bad) == 0 ? STR("too long") : pick(words, 8);
}

static bool
often(void)
{
	return below(10) < 7;
}

static bool
half(void)
{
	return below(2) == 0;
}

/* ---- the tables ---- */

static void
draft_stock(struct draft *d, bool adds, int64_t at_us)
{
	if (world.counting && adds && below(8) != 0) {
		add(d, "u", increment());
		return;
	}
	if (half())
		add(d, "n", adds ? increment() : small_number(40));
	if (half())
		add(d, "u",
		    adds			 ? increment() :
			world.counting && half() ? printed("%u", 241 + below(15)) :
						   small_number(40));
	if (below(3) == 0)
		add(d, "d",
		    adds ? printed("%d.%u", (int)below(9) - 4, below(10)) :
			   printed("%d.%u", (int)below(999), below(10)));
	if (often() && !adds)
		add(d, "name", word(40));
	if (at_us > world.alter_us && below(4) == 0)
		add(d, "extra", printed("%u", below(100)));
}

static void
draft_profile(struct draft *d, bool adds)
{
	if (often())
		add(d, "a", adds ? increment() : small_number(40));
	if (half() && !adds)
		add(d, "b", word(40));
	if (often())
		add(d, "c", adds ? increment() : small_number(40));
	if (below(40) != 0)
		add(d, "_version", printed("%u", 1 + below(40)));
}

static void
draft_checked(struct draft *d, bool adds)
{
	if (half())
		add(d, "a", adds ? increment() : printed("%d", (int)below(60) - 10));
	if (half())
		add(d, "b", adds ? increment() : printed("%d", (int)below(60) - 10));
	if (half())
		add(d, "n", adds ? increment() : small_number(40));
}

static void
draft_logged(struct draft *d, bool adds)
{
	if (often())
		add(d, "n", adds ? increment() : printed("%u", below(1000)));
	if (half())
		add(d, "m", adds ? increment() : small_number(30));
}

/* Some key of the lane, the first ones most of the time. */
static unsigned
draft_key(unsigned table, unsigned lane)
{
	unsigned key =
	    below(world.counting ? 8 : 2) != 0 ? below(world.lanes * 2) : below(world.keys);

	while (lane_of(table, key % world.keys) != lane)
		key++;
	return key % world.keys;
}

static void
draft_id(struct draft *d, unsigned table, unsigned key)
{

	if (below(100) == 0)
		return;
	if (table != PROFILE)
		add(d, "id", below(100) == 0 ? printed("0%u", key) : printed("%u", key));
	else
		switch (below(4)) {
		case 0:
			add(d, "id", printed("K%u", key));
			break;
		case 1:
			add(d, "id", printed("k%u ", key));
			break;
		default:
			add(d, "id", printed("k%u", key));
			break;
		}
}

static const char *
draft_op(struct draft *d)
{
	static const char *const ops[] = { "upsert", "upsert", "upsert", "upsert", "incr", "incr",
		"incr", "incr", "update", "update", "delete", "invalidate" };
	const char *op = below(150) == 0 ? "frob" : ops[below(12)];

	if (world.counting && below(4) != 0)
		op = "incr";
	if (world.invalidates && below(16) != 0)
		op = "invalidate";
	if (strcmp(op, "upsert") != 0 || half())
		add(d, "_op", str_of(op));
	return op;
}

static unsigned
draft_table(unsigned lane)
{
	unsigned table;

	do
		table = below(TABLES);
	while (!world.tables_used[table] || (table == LOGGED && lane != 0));
	return table;
}

static void
draft(struct draft *d, unsigned lane, int64_t at_us)
{
	unsigned table = draft_table(lane);
	const char *op;
	bool adds;

	d->count = 0;
	add(d, "_table", str_of(table_names[table]));
	draft_id(d, table, draft_key(table, lane));
	op = draft_op(d);
	adds = strcmp(op, "incr") == 0;
	if (below(150) == 0)
		add(d, "nosuch", STR("1"));
	switch (table) {
	case STOCK:
		draft_stock(d, adds, at_us);
		break;
	case PROFILE:
		draft_profile(d, adds);
		break;
	case CHECKED:
		draft_checked(d, adds);
		break;
	default:
		draft_logged(d, adds);
		break;
	}
	if (!adds && below(25) == 0)
		add(d, "_null", table == PROFILE ? STR("b") : table == STOCK ? STR("u") : STR("n"));
}

/* ---- entries ---- */

static void
add_json(struct buf *out, const struct draft *d)
{
	buf_add_char(out, '{');
	for (size_t i = 0; i < d->count; i++) {
		const struct field *f = &d->fields[i];

		buf_add_str(out, i > 0 ? "," : "");
		buf_add_json(out, f->name.data, f->name.len);
		buf_add_char(out, ':');
		buf_add_json(out, f->value.text.data, f->value.text.len);
	}
	buf_add_char(out, '}');
}

static const struct field *
field_named(const struct draft *d, const char *name)
{
	for (size_t i = 0; i < d->count; i++)
		if (str_equal(d->fields[i].name, str_of(name)))
			return &d->fields[i];
	return NULL;
}

/* Which key it makes stale; what is wrong with it whatever its table is. */
static void
note_change(struct stream_entry *e, const struct draft *d)
{
	const struct field *id = field_named(d, "id"), *op = field_named(d, "_op");
	struct str table = field_named(d, "_table")->value.text;

	e->bad |= id == NULL || (op != NULL && str_equal(op->value.text, STR("frob")));
	if (id == NULL)
		return;
	e->key_table[e->key_count] = str_equal(table, str_of(table_names[STOCK])) ? STOCK : CHECKED;
	e->key_row[e->key_count++] = (unsigned char)strtoul(id->value.text.data, NULL, 10);
}

/* A record's key is no other's: so one that comes again is known. */
static void
put_value(struct stream_entry *e, unsigned lane, struct str json)
{
	e->raw = arena_zalloc(&world.arena, 2 * sizeof(*e->raw));
	if (world.kafka) {
		e->raw[0] = (struct field){ STR("key"),
			{ printed("%u/%td", lane, e - world.streams[lane].entries), VALUE_TEXT } };
		e->raw_count = 1;
	}
	e->raw[e->raw_count].name = world.kafka ? STR("value") : STR("j");
	e->raw[e->raw_count].value.kind = VALUE_TEXT;
	e->raw[e->raw_count++].value.text = json;
}

static void
write_json(struct stream_entry *e, unsigned lane)
{
	unsigned count = 1 + below(LIST_MAX);
	bool whole;
	struct draft d;
	struct buf out;

	buf_init(&out);
	buf_add_str(&out, "[");
	for (unsigned i = 0; i < count; i++) {
		buf_add_str(&out, i > 0 ? "," : "");
		draft(&d, lane, e->at_us);
		add_json(&out, &d);
		note_change(e, &d);
	}
	whole = below(100) != 0;
	e->bad |= !whole;
	buf_add_str(&out, whole ? "]" : "");
	put_value(e, lane, arena_str(&world.arena, out.data, out.len));
	buf_deinit(&out);
}

static void
write_fields(struct stream_entry *e, unsigned lane)
{
	struct draft d;

	draft(&d, lane, e->at_us);
	e->raw = arena_alloc(&world.arena, d.count * sizeof(*e->raw) + 1);
	memcpy(e->raw, d.fields, d.count * sizeof(*e->raw));
	e->raw_count = d.count;
}

static void
make_stream(unsigned lane, unsigned count)
{
	struct stream *s = &world.streams[lane];
	int64_t span_us = world.calm_us - world.now_us, at_us = world.now_us;
	struct position id = { (uint64_t)(at_us / 1000), 0 };

	s->entries = arena_zalloc(&world.arena, (count + OTHERS_MAX + 1) * sizeof(*s->entries));
	for (s->count = 0; s->count < count; s->count++) {
		struct stream_entry *e = &s->entries[s->count];

		if (below(6) == 0)
			at_us += below((unsigned)(span_us * 10 / (count + 1)) + 1);
		if (at_us > world.calm_us)
			at_us = world.calm_us;
		e->at_us = at_us;
		if ((uint64_t)(at_us / 1000) > id.major)
			id = (struct position){ (uint64_t)(at_us / 1000), 0 };
		else
			id.minor++;
		e->id = id;
		if (world.kafka || (lane == world.lanes - 1 && world.config.source_count > 1))
			write_json(e, lane);
		else
			write_fields(e, lane);
		e->bytes = 40 + below(200);
	}
}

void
make_entries(void)
{
	unsigned total = 80 + below(ENTRIES_MAX - 80);

	for (unsigned l = 0; l < world.lanes; l++)
		make_stream(l, total / world.lanes);
	if (world.kafka)
		logs_number();
}
