#include "tests/sim_refresh/play.h"

#include "common/err.h"
#include "common/number.h"
#include "worker/cache/library.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The rules of functions.lua and of the refresher's two scripts, as far as the refresher and readers use
 * them. */
enum { MARKER_MS = 60000, MARKER_ABSENT_MS = 2000 };
#define NONE "000000000000000000000"

/* ---- replies ---- */

static struct redis_reply *
reply_of(struct arena *a, enum redis_type type, const char *text)
{
	struct redis_reply *reply = arena_zalloc(a, sizeof(*reply));

	reply->type = type;
	if (text != NULL)
		reply->text = (struct str){ arena_copy(a, text, strlen(text) + 1), strlen(text) };
	return reply;
}

static struct redis_reply *
number(struct arena *a, int64_t n)
{
	struct redis_reply *reply = reply_of(a, REDIS_INTEGER, NULL);

	reply->integer = n;
	return reply;
}

static __attribute__((format(printf, 2, 3))) struct redis_reply *
text(struct arena *a, const char *format, ...)
{
	char bytes[256];
	va_list ap;

	va_start(ap, format);
	vsnprintf(bytes, sizeof(bytes), format, ap);
	va_end(ap);
	return reply_of(a, REDIS_STRING, bytes);
}

static struct redis_reply *
list(struct arena *a, size_t count, ...)
{
	struct redis_reply *reply = reply_of(a, REDIS_ARRAY, NULL);
	va_list ap;

	reply->count = count;
	reply->element = arena_zalloc(a, count * sizeof(*reply->element));
	va_start(ap, count);
	for (size_t i = 0; i < count; i++)
		reply->element[i] = va_arg(ap, struct redis_reply *);
	va_end(ap);
	return reply;
}

static struct redis_reply *
status(struct arena *a, const char *word)
{
	return reply_of(a, REDIS_STATUS, word);
}

/* ---- entries ---- */

static int64_t
now_ms(void)
{
	return play.now_us / 1000;
}

struct entry *
entry_of(const struct played_key *k)
{
	struct entry *e = &play.entries[k - play.keys];

	if (e->kind != NO_ENTRY && e->expire_ms != 0 && e->expire_ms < now_ms())
		*e = (struct entry){ 0 };
	return e;
}

void
entry_remove(struct played_key *k)
{
	play.entries[k - play.keys] = (struct entry){ 0 };
	mirror_put(k);
}

unsigned
version_in(const char *payload)
{
	const char *at = strstr(payload, "\"ver\":");

	CHECK(at != NULL);
	return (unsigned)strtoul(at + 6, NULL, 10);
}

static bool
is_over(int64_t deadline_ms)
{
	return deadline_ms == 0 || deadline_ms * 1000 <= play.now_us;
}

static void
lasts_longer(struct entry *e, int64_t ms)
{
	if (e->expire_ms != 0 && now_ms() + ms > e->expire_ms)
		e->expire_ms = now_ms() + ms;
}

static const char *
higher(const char *a, const char *b)
{
	a = a[0] != '\0' ? a : NONE;
	b = b[0] != '\0' ? b : NONE;
	return strcmp(a, b) > 0 ? a : b;
}

static int64_t
integer(struct str s)
{
	int64_t n;

	CHECK(number_i64(s, &n));
	return n;
}

/* The version of a value to be written; false: it is older than what is known. */
static bool
at_least(const char *known, struct str version, char out[22])
{
	char padded[22];

	if (version.len == 21) {
		snprintf(padded, sizeof(padded), "%.*s", STR_ARGS(version));
		snprintf(out, 22, "%s", known);
		return strcmp(known, padded) <= 0;
	}
	snprintf(out, 22, "%020llu1", (unsigned long long)integer(version));
	return strcmp(out, known) >= 0;
}

static struct redis_reply *
store(struct arena *a, struct played_key *k, struct entry *e, const char *version,
    struct str payload, bool none, int64_t ttl_ms, int64_t stale_ms)
{
	int64_t stamp_us = play.now_us > e->w ? play.now_us : e->w + 1, until_ms;

	CHECK(payload.len < sizeof(e->payload));
	e->kind = OURS;
	e->value = true;
	e->none = none;
	memcpy(e->payload, payload.data != NULL ? payload.data : "", payload.len);
	e->payload[payload.len] = '\0';
	snprintf(e->r, sizeof(e->r), "%s", strcmp(version, NONE) != 0 ? version : "");
	e->w = stamp_us;
	e->t = e->l = 0;
	e->stretched = false;
	e->e = now_ms() + ttl_ms;
	e->s = e->e + stale_ms;
	until_ms = e->s;
	if (e->expire_ms < until_ms)
		e->expire_ms = until_ms;
	k->over_ms = e->e;
	return status(a, "OK");
}

/* ---- the functions ---- */

static struct redis_reply *
get(struct arena *a, struct entry *e, int64_t lease_ms, int64_t wait_ms)
{
	const char *word = e->value && !is_over(e->e) ? "HIT" : "STALE";

	if (e->value && (!is_over(e->e) || (!is_over(e->l) && !is_over(e->s))))
		return list(a, 4, text(a, "%s", word),
		    e->none ? reply_of(a, REDIS_NIL, NULL) : text(a, "%s", e->payload),
		    text(a, "%s", e->r[0] != '\0' ? e->r : NONE), text(a, "%lld", (long long)e->w));
	if (!is_over(e->l)) {
		int64_t left_ms = e->l - now_ms();

		left_ms = left_ms < 1 ? 1 : left_ms;
		return list(a, 2, text(a, "WAIT"),
		    number(a, left_ms < wait_ms ? left_ms : wait_ms));
	}
	e->t = play.now_us;
	e->stretched = false;
	e->l = now_ms() + lease_ms;
	if (e->kind == NO_ENTRY) {
		e->kind = OURS;
		e->expire_ms = e->l;
	} else {
		lasts_longer(e, lease_ms);
	}
	return list(a, 3, text(a, "LOAD"), text(a, "%lld", (long long)e->t),
	    text(a, "%s", higher(e->r, e->m)));
}

static bool
has_token(const struct entry *e, struct str token)
{
	return e->t != 0 && !e->stretched && integer(token) == e->t;
}

static struct redis_reply *
refuse(struct arena *a, struct entry *e)
{
	e->t = e->l = 0;
	return status(a, "OLD");
}

static struct redis_reply *
fill(struct arena *a, struct played_key *k, struct entry *e, const struct str *v)
{
	char known[22], version[22];

	snprintf(known, sizeof(known), "%s", higher(e->r, e->m));
	if (!has_token(e, v[0]) || is_over(e->l))
		return status(a, "LEASE_LOST");
	if (!at_least(known, v[1], version))
		return refuse(a, e);
	return store(a, k, e, version, v[2], false, integer(v[3]), integer(v[5]));
}

/* By 10 per cent: who fills "no such row" doesn't say. */
static int64_t
jittered(int64_t ttl_ms)
{
	return (int64_t)((double)ttl_ms * (1 + (double)(play.now_us % 2001 - 1000) / 100000 * 10));
}

static struct redis_reply *
fill_none(struct arena *a, struct played_key *k, struct entry *e, const struct str *v)
{
	char known[22];

	snprintf(known, sizeof(known), "%s", higher(e->r, e->m));
	if (!has_token(e, v[0]) || is_over(e->l))
		return status(a, "LEASE_LOST");
	if (memcmp(known, v[1].data, 21) > 0 || (strcmp(known, NONE) != 0 && known[20] != '2'))
		return refuse(a, e);
	return store(a, k, e, known, (struct str){ NULL, 0 }, true, jittered(integer(v[2])), 0);
}

static struct redis_reply *
refresh(struct arena *a, struct played_key *k, struct entry *e, const struct str *v)
{
	char known[22], version[22];

	snprintf(known, sizeof(known), "%s", higher(e->r, e->m));
	if (!e->value || e->w != integer(v[0]))
		return status(a, "CHANGED");
	if (!at_least(known, v[1], version))
		return status(a, "OLD");
	return store(a, k, e, version, v[2], false, integer(v[3]), integer(v[5]));
}

static bool
is_leased(const struct entry *e)
{
	return !e->stretched && !is_over(e->l);
}

static struct redis_reply *
lease(struct arena *a, struct entry *e, int64_t ms, int64_t most_ms)
{
	int64_t left_ms = e->e - now_ms(), wait_ms = e->l - now_ms();

	if (!e->value)
		return list(a, 1, text(a, "ABSENT"));
	if (left_ms > most_ms)
		return list(a, 2, text(a, "FRESH"), number(a, left_ms));
	if (is_leased(e))
		return list(a, 2, text(a, "WAIT"), number(a, wait_ms < 1 ? 1 : wait_ms));
	e->t = play.now_us;
	e->stretched = false;
	e->l = now_ms() + ms;
	lasts_longer(e, ms);
	return list(a, 4, text(a, "LOAD"), text(a, "%lld", (long long)e->t),
	    text(a, "%lld", (long long)e->w), text(a, "%s", e->r[0] != '\0' ? e->r : NONE));
}

static struct redis_reply *
release(struct arena *a, struct entry *e, struct str token)
{
	if (!has_token(e, token))
		return status(a, "LEASE_LOST");
	e->t = e->l = 0;
	return status(a, "OK");
}

static struct redis_reply *
stretch(struct arena *a, struct entry *e, int64_t ms)
{
	if (!e->value)
		return status(a, "CHANGED");
	if (is_leased(e))
		return status(a, "WAIT");
	e->t = 0;
	e->stretched = true;
	e->l = now_ms() + ms;
	if (e->s < e->l)
		e->s = e->l;
	lasts_longer(e, ms);
	return status(a, "OK");
}

static void
forget_value(struct entry *e)
{
	e->value = e->none = e->stretched = false;
	e->r[0] = '\0';
	e->w = e->e = e->s = e->t = e->l = 0;
}

static struct redis_reply *
invalidate(struct arena *a, struct entry *e, int64_t version, bool deleted)
{
	char told[22];
	bool present = e->value || e->t != 0 || e->stretched;
	int64_t left_ms = e->expire_ms - now_ms();

	snprintf(told, sizeof(told), "%020lld%d", (long long)version, deleted ? 2 : 1);
	if (e->m[0] != '\0' && strcmp(e->m, told) >= 0)
		return status(a, strcmp(e->m, told) == 0 ? "SAME" : "OLD");
	if (!present) {
		bool longer = e->kind == OURS && left_ms > MARKER_ABSENT_MS;

		e->kind = OURS;
		e->expire_ms = now_ms() + (longer ? MARKER_MS : MARKER_ABSENT_MS);
		snprintf(e->m, sizeof(e->m), "%s", told);
		return status(a, "NEW");
	}
	snprintf(e->m, sizeof(e->m), "%s", told);
	if (e->value && e->r[0] != '\0' && strcmp(e->r, told) >= 0) {
		lasts_longer(e, MARKER_MS);
		return status(a, "KEPT");
	}
	forget_value(e);
	e->expire_ms = now_ms() + MARKER_MS;
	return status(a, "NEW");
}

/* ---- the script of plain keys ---- */

static struct redis_reply *
sha_of(struct arena *a, const struct entry *e)
{
	return text(a, "%s of %s", e->kind == STRING ? "string" : "hash", e->payload);
}

static void
write_plain(struct played_key *k, struct entry *e, enum entry_kind kind, const char *payload,
    int64_t ttl_ms)
{
	*e = (struct entry){ .kind = kind, .value = true, .expire_ms = now_ms() + ttl_ms };
	snprintf(e->payload, sizeof(e->payload), "%s", payload);
	k->over_ms = e->expire_ms;
}

/* As text that version_in reads. */
static const char *
fields_text(struct arena *a, int argc, const struct str *argv)
{
	char *out = arena_zalloc(a, 200);

	for (int i = 0; i + 1 < argc; i += 2)
		snprintf(out + strlen(out), 200 - strlen(out), "\"%.*s\":%.*s,", STR_ARGS(argv[i]),
		    STR_ARGS(argv[i + 1]));
	return out;
}

static struct redis_reply *
run_plain(struct arena *a, struct played_key *k, struct entry *e, int argc, const struct str *v)
{
	int64_t left_ms = e->expire_ms - now_ms();
	struct redis_reply *seen;

	if (e->kind == NO_ENTRY)
		return list(a, 1, text(a, "ABSENT"));
	if (str_equal(v[0], STR("see"))) {
		if (left_ms > integer(v[1]))
			return list(a, 2, text(a, "FRESH"), number(a, left_ms));
		return list(a, 4, text(a, "LOAD"), text(a, "%s", ""), sha_of(a, e),
		    text(a, "%s", ""));
	}
	if (str_equal(v[0], STR("stretch"))) {
		lasts_longer(e, integer(v[1]));
		return list(a, 1, text(a, "OK"));
	}
	seen = sha_of(a, e);
	if (mirror_is_open() && str_equal(v[1], str_of(k->seen_name)) &&
	    strcmp(k->seen_payload, e->payload) == 0)
		seen->text = v[1];
	if (left_ms > integer(v[3]) || !str_equal(seen->text, v[1]))
		return list(a, 1, text(a, "CHANGED"));
	if (str_equal(v[0], STR("string")))
		write_plain(k, e, STRING, arena_printf(a, "%.*s", STR_ARGS(v[4])), integer(v[2]));
	else
		write_plain(k, e, FIELDS, fields_text(a, argc - 4, v + 4), integer(v[2]));
	return list(a, 1, text(a, "OK"));
}

/* ---- the script of the members ---- */

static struct redis_reply *
run_members(struct arena *a, const struct str *v)
{
	size_t count = sizeof(play.members) / sizeof(play.members[0]), at = count, there = 0;
	struct redis_reply *reply = reply_of(a, REDIS_ARRAY, NULL);

	reply->element = arena_zalloc(a, count * sizeof(*reply->element));
	for (size_t i = count; i-- > 0;) {
		if (play.members[i].beat_ms + 5000 <= now_ms())
			play.members[i].process[0] = '\0';
		if (str_equal(str_of(play.members[i].process), v[0]) ||
		    (play.members[i].process[0] == '\0' &&
			(at == count || !str_equal(str_of(play.members[at].process), v[0]))))
			at = i;
	}
	CHECK(at < count);
	snprintf(play.members[at].process, sizeof(play.members[at].process), "%.*s",
	    str_equal(v[1], STR("0")) ? 0 : (int)v[0].len, v[0].data);
	play.members[at].beat_ms = now_ms();
	for (size_t i = 0; i < count; i++)
		if (play.members[i].process[0] != '\0')
			reply->element[there++] = text(a, "%s", play.members[i].process);
	reply->count = there;
	return reply;
}

/* ---- commands ---- */

static struct redis_reply *
call_function(struct arena *a, struct str name, struct played_key *k, const struct str *v)
{
	struct entry *e = entry_of(k);

	if (str_equal(name, STR("sluice_get")))
		return get(a, e, integer(v[0]), 100);
	if (str_equal(name, STR("sluice_fill")))
		return fill(a, k, e, v);
	if (str_equal(name, STR("sluice_fill_none")))
		return fill_none(a, k, e, v);
	if (str_equal(name, STR("sluice_refresh")))
		return refresh(a, k, e, v);
	if (str_equal(name, STR("sluice_lease")))
		return lease(a, e, integer(v[0]), integer(v[1]));
	if (str_equal(name, STR("sluice_release")))
		return release(a, e, v[0]);
	if (str_equal(name, STR("sluice_stretch")))
		return stretch(a, e, integer(v[1]));
	CHECK(str_equal(name, STR("sluice_invalidate")));
	return invalidate(a, e, integer(v[0]), str_equal(v[1], STR("deleted")));
}

static struct redis_reply *
load_script(struct arena *a, struct str source)
{
	play.scripts = true;
	return text(a, "%s", str_equal(source, str_of(refresh_plain_script)) ? "plain" : "members");
}

struct redis_reply *
server_execute(struct arena *a, int argc, const struct str *argv)
{
	struct redis_reply *reply;

	if (str_equal(argv[0], STR("SCRIPT")))
		return load_script(a, argv[2]);
	if (str_equal(argv[0], STR("FUNCTION"))) {
		play.library = true;
		return text(a, "sluice_1");
	}
	if (str_equal(argv[0], STR("FCALL"))) {
		if (!play.library)
			return reply_of(a, REDIS_ERROR, "ERR Function not found");
		if (str_equal(argv[1], STR("sluice_version")))
			return text(a, "%.*s", STR_ARGS(library_version()));
		reply = call_function(a, argv[1], key_of(argv[3]), argv + 4);
		return mirror_is_open() ? mirror_execute(a, argc, argv, reply) : reply;
	}
	CHECK(str_equal(argv[0], STR("EVALSHA")));
	if (!play.scripts)
		return reply_of(a, REDIS_ERROR, "NOSCRIPT No matching script.");
	if (str_equal(argv[1], STR("members")))
		return run_members(a, argv + 4);
	struct played_key *k = key_of(argv[3]);

	reply = run_plain(a, k, entry_of(k), argc - 4, argv + 4);
	return mirror_is_open() ? mirror_execute(a, argc, argv, reply) : reply;
}

struct redis_reply *
server_ask(struct arena *a, const char *format, ...)
{
	char line[512], *rest = line, *word;
	struct str words[16];
	int count = 0;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	while ((word = strsep(&rest, " ")) != NULL && count < 16)
		words[count++] = str_of(word);
	play.library = true; /* whoever needs it loads it */
	return server_execute(a, count, words);
}
