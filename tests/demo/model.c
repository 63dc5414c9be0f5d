#include "tests/demo/model.h"

#include "common/err.h"
#include "common/number.h"
#include "common/random.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct session {
	bool there;
	unsigned page; /* 0: none yet */
	unsigned items;
	uint64_t seen;
};

struct item {
	uint64_t stock, sold;
	unsigned price_cents;
};

struct user {
	bool there;
	uint64_t newest;      /* the highest version ever sent */
	uint64_t version;     /* of the row */
	uint64_t name, email; /* the versions that wrote them */
};

struct model {
	struct random random;
	struct session sessions[SESSIONS];
	struct item items[ITEMS];
	struct user users[USERS];
	size_t seeded; /* items that have their first stock */
	uint64_t clock, changes[SHOP_TABLES], refused;
};

static const struct {
	const char *name, *cache, *sql;
	size_t rows;
	int heat; /* a row up to r gets a change with the probability (r / rows) ^ (1 / heat) */
} tables[SHOP_TABLES] = {
	[SHOP_SESSIONS] = { "sessions", "session", "CONCAT_WS('|', id, page, items, seen)",
	    SESSIONS, 5 },
	[SHOP_INVENTORY] = { "inventory", "item", "CONCAT_WS('|', id, name, price, stock, sold)",
	    ITEMS, 4 },
	[SHOP_USERS] = { "users", "user", "CONCAT_WS('|', id, name, email, ver)", USERS, 3 },
};

/* ---- names ---- */

const char *
shop_table_name(enum shop_table table)
{
	return tables[table].name;
}

size_t
shop_table_rows(enum shop_table table)
{
	return tables[table].rows;
}

const char *
shop_row_sql(enum shop_table table)
{
	return tables[table].sql;
}

/* A row with more traffic at low numbers. */
static size_t
hot_row(struct random *random, enum shop_table table)
{
	double unit = random_unit(random), place = (double)tables[table].rows;

	for (int i = 0; i < tables[table].heat; i++)
		place *= unit;
	return (size_t)place;
}

/* Keys begin at 1. */
void
shop_row_id(enum shop_table table, size_t row, char *out)
{
	if (table == SHOP_SESSIONS)
		snprintf(out, 24, "s%05zu", row + 1);
	else
		snprintf(out, 24, "%zu", row + 1);
}

bool
shop_row_of_id(enum shop_table table, struct str id, size_t *row)
{
	uint64_t n;

	if (table == SHOP_SESSIONS && id.len > 0) {
		id.data++;
		id.len--;
	}
	if (!number_u64(id, &n) || n == 0 || n > tables[table].rows)
		return false;
	*row = (size_t)n - 1;
	return true;
}

void
shop_cache_key(enum shop_table table, size_t row, char *out)
{
	char id[24];

	shop_row_id(table, row, id);
	snprintf(out, 40, "%s:%s", tables[table].cache, id);
}

/* CRC-16/XMODEM, as Redis Cluster has it: producers choose a row's lane by it. */
static unsigned
crc16(const char *text)
{
	unsigned crc = 0;

	for (; *text != '\0'; text++) {
		crc ^= (unsigned)(unsigned char)*text << 8;
		for (int bit = 0; bit < 8; bit++)
			crc = ((crc & 0x8000) != 0 ? crc << 1 ^ 0x1021 : crc << 1) & 0xffff;
	}
	return crc;
}

unsigned
shop_row_lane(enum shop_table table, size_t row)
{
	char id[24];

	shop_row_id(table, row, id);
	return crc16(id) % SHOP_LANES;
}

static const char *
user_name(uint64_t version, char out[64])
{
	static const char *const first[] = { "Ana", "Bjørn", "Chloé", "Darja", "Ève", "Farid",
		"Gül", "小林" };
	static const char *const last[] = { "O'Neill", "Müller", "Nowak", "\"Q\"", "Žižka" };

	snprintf(out, 64, "%s %s %llu", first[version % 8], last[version % 5],
	    (unsigned long long)version);
	return out;
}

/* ---- the entry ---- */

static void put(struct shop_change *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
put(struct shop_change *c, const char *format, ...)
{
	va_list ap;
	int len;

	va_start(ap, format);
	len = vsnprintf(c->bytes + c->len, sizeof(c->bytes) - c->len, format, ap);
	va_end(ap);
	CHECK(len >= 0 && c->len + (size_t)len < sizeof(c->bytes) && c->argc < CHANGE_ARGS_MAX);
	c->argv[c->argc++] = (struct str){ c->bytes + c->len, (size_t)len };
	c->len += (size_t)len + 1;
}

static void
begin(struct shop_change *c, enum shop_table table, size_t row, const char *op)
{
	char id[24];

	shop_row_id(table, row, id);
	c->argc = 0;
	c->len = 0;
	put(c, "XADD");
	put(c, "wb:%s:%u", tables[table].name, shop_row_lane(table, row));
	put(c, "*");
	if (op != NULL) {
		put(c, "_op");
		put(c, "%s", op);
	}
	put(c, "id");
	put(c, "%s", id);
}

static void
put_number(struct shop_change *c, const char *name, int64_t number)
{
	put(c, "%s", name);
	put(c, "%lld", (long long)number);
}

/* ---- sessions ---- */

static void
next_session(struct model *m, struct shop_change *c)
{
	size_t row = hot_row(&m->random, SHOP_SESSIONS);
	struct session *s = &m->sessions[row];
	uint64_t what = random_below(&m->random, 100);

	if (what < 3) { /* logged out, perhaps twice */
		begin(c, SHOP_SESSIONS, row, "delete");
		*s = (struct session){ 0 };
		return;
	}
	begin(c, SHOP_SESSIONS, row, NULL);
	s->there = true;
	s->seen = ++m->clock;
	put_number(c, "seen", (int64_t)s->seen);
	if (what < 30) /* only seen again: creates the session with the columns' defaults */
		return;
	s->page = 1 + (unsigned)random_below(&m->random, 500);
	put(c, "page");
	put(c, "/p/%u", s->page);
	if (what < 60)
		return;
	s->items = (unsigned)random_below(&m->random, 20);
	put_number(c, "items", s->items);
}

static void
session_text(const struct session *s, const char *id, struct buf *out)
{
	char page[24] = "";

	if (s->page != 0)
		snprintf(page, sizeof(page), "/p/%u", s->page);
	buf_printf(out, "%s|%s|%u|%llu", id, page, s->items, (unsigned long long)s->seen);
}

/* ---- inventory ---- */

static void
set_price(struct model *m, struct shop_change *c, struct item *item)
{
	item->price_cents = (unsigned)random_below(&m->random, 100000);
	put(c, "price");
	put(c, "%u.%02u", item->price_cents / 100, item->price_cents % 100);
}

static void
seed_item(struct model *m, struct shop_change *c)
{
	size_t row = m->seeded++;
	struct item *item = &m->items[row];

	begin(c, SHOP_INVENTORY, row, NULL);
	item->stock = 100 + random_below(&m->random, 400);
	put(c, "name");
	put(c, "item %zu", row + 1);
	set_price(m, c, item);
	put_number(c, "stock", (int64_t)item->stock);
}

static void
sell(struct model *m, struct shop_change *c, size_t row, uint64_t quantity)
{
	struct item *item = &m->items[row];

	begin(c, SHOP_INVENTORY, row, "incr");
	put_number(c, "stock", -(int64_t)quantity);
	put_number(c, "sold", (int64_t)quantity);
	if (item->stock < quantity) { /* the whole entry is a dead letter */
		m->refused++;
		return;
	}
	item->stock -= quantity;
	item->sold += quantity;
}

static void
next_item(struct model *m, struct shop_change *c)
{
	size_t row = hot_row(&m->random, SHOP_INVENTORY);
	struct item *item = &m->items[row];
	uint64_t what = random_below(&m->random, 100), quantity = 1 + random_below(&m->random, 3);

	if (m->seeded < ITEMS) {
		seed_item(m, c);
	} else if (what < 5) {
		begin(c, SHOP_INVENTORY, row, NULL);
		set_price(m, c, item);
	} else if (what < 6) { /* no such item: nothing happens */
		begin(c, SHOP_INVENTORY, ITEMS + row, "update");
		put(c, "price");
		put(c, "1.00");
	} else if (item->stock >= quantity || random_below(&m->random, 4) == 0) {
		sell(m, c, row, quantity);
	} else {
		uint64_t more = 50 + random_below(&m->random, 450);
		begin(c, SHOP_INVENTORY, row, "incr");
		put_number(c, "stock", (int64_t)more);
		item->stock += more;
	}
}

static void
item_text(const struct item *item, const char *id, struct buf *out)
{
	buf_printf(out, "%s|item %s|%u.%02u|%llu|%llu", id, id, item->price_cents / 100,
	    item->price_cents % 100, (unsigned long long)item->stock,
	    (unsigned long long)item->sold);
}

/* ---- users ---- */

/* Mostly the next version; now and then a late one, or one sent twice. */
static uint64_t
choose_version(struct model *m, struct user *user)
{
	uint64_t what = random_below(&m->random, 100);

	if (what < 3 && user->there)
		return user->version;
	if (what < 6 && user->there && user->version > 1)
		return user->version - 1;
	user->newest += 1 + random_below(&m->random, 3);
	return user->newest;
}

static void
next_user(struct model *m, struct shop_change *c)
{
	size_t row = hot_row(&m->random, SHOP_USERS);
	struct user *user = &m->users[row];
	uint64_t version = choose_version(m, user), what = random_below(&m->random, 100);
	bool newer = !user->there || version > user->version;
	char name[64];

	begin(c, SHOP_USERS, row, what < 4 ? "delete" : what < 30 ? "update" : NULL);
	put_number(c, "_version", (int64_t)version);
	if (what < 4) {
		user->there = user->there && !newer;
		return;
	}
	put(c, "email");
	put(c, "u%zu.%llu@example.org", row + 1, (unsigned long long)version);
	if (what >= 30) {
		put(c, "name");
		put(c, "%s", user_name(version, name));
	}
	if (!newer || (what < 30 && !user->there))
		return;
	user->there = true;
	user->version = version;
	user->email = version;
	if (what >= 30)
		user->name = version;
}

static void
user_text(const struct user *user, const char *id, struct buf *out)
{
	char name[64];

	buf_printf(out, "%s|%s|u%s.%llu@example.org|%llu", id, user_name(user->name, name), id,
	    (unsigned long long)user->email, (unsigned long long)user->version);
}

/* ---- together ---- */

struct model *
model_new(uint64_t seed)
{
	struct model *m = calloc(1, sizeof(*m));

	CHECK(m != NULL);
	random_init(&m->random, seed);
	return m;
}

void
model_free(struct model **model)
{
	free(*model);
	*model = NULL;
}

void
model_next(struct model *m, struct shop_change *change)
{
	static void (*const next[SHOP_TABLES])(struct model *, struct shop_change *) = {
		[SHOP_SESSIONS] = next_session,
		[SHOP_INVENTORY] = next_item,
		[SHOP_USERS] = next_user,
	};
	uint64_t what = random_below(&m->random, 100);
	enum shop_table table = SHOP_SESSIONS;

	if (m->seeded < ITEMS || what < 25)
		table = SHOP_INVENTORY;
	else if (what < 40)
		table = SHOP_USERS;
	m->changes[table]++;
	next[table](m, change);
}

uint64_t
model_changes(const struct model *m, enum shop_table table)
{
	return m->changes[table];
}

uint64_t
model_refused(const struct model *m)
{
	return m->refused;
}

bool
model_row_text(const struct model *m, enum shop_table table, size_t row, struct buf *out)
{
	char id[24];

	shop_row_id(table, row, id);
	if (table == SHOP_INVENTORY && row < m->seeded)
		item_text(&m->items[row], id, out);
	else if (table == SHOP_SESSIONS && m->sessions[row].there)
		session_text(&m->sessions[row], id, out);
	else if (table == SHOP_USERS && m->users[row].there)
		user_text(&m->users[row], id, out);
	else
		return false;
	return true;
}
