#include "tests/sim/groups_redis.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Takes the place of common/redis.c: one server in memory, with what a consumer group needs. */
enum { WORDS = 700, FD = 5000 };

static struct redis *connections[GROUP_CONNECTIONS];

static struct redis_reply *
copied(const struct redis_reply *from, struct arena *a)
{
	struct redis_reply *reply = arena_zalloc(a, sizeof(*reply));

	*reply = *from;
	if (from->text.data != NULL)
		reply->text.data = arena_copy(a, from->text.data, from->text.len);
	if (from->type != REDIS_ARRAY)
		return reply;
	reply->element = arena_zalloc(a, (from->count + 1) * sizeof(*reply->element));
	for (size_t i = 0; i < from->count; i++)
		reply->element[i] = copied(from->element[i], a);
	return reply;
}

/* What was sent takes effect, up to one that waits. */
static void
serve(struct redis *r, size_t to)
{
	while (r->answered < to) {
		struct redis_reply *reply = groups_execute(r, &r->queue[r->answered]);

		r->waits = reply == NULL && world.now_us < r->blocked_until_us;
		if (r->waits)
			return;
		r->replies[r->answered++] = reply != NULL ? reply : groups_nil(r);
		r->ready_us = world.now_us + 50 + below(2000);
	}
}

/* ---- redis.h ---- */

static int
cut(struct redis *r, struct err *err, const char *why)
{
	redis_close(r);
	return err_set(err, ERR_RETRY, 0, "redis: %s", why);
}

struct redis *
redis_new(const struct redis_options *options)
{
	struct redis *r = calloc(1, sizeof(*r));
	int i = 0;

	CHECK(r != NULL);
	while (connections[i] != NULL)
		CHECK(++i < GROUP_CONNECTIONS);
	r->options = options;
	r->number = i;
	r->process = groups_running();
	arena_init(&r->arena, 1 << 16);
	return connections[i] = r;
}

void
redis_free(struct redis **r)
{
	if (*r == NULL)
		return;
	connections[(*r)->number] = NULL;
	arena_deinit(&(*r)->arena);
	free(*r);
	*r = NULL;
}

void
redis_close(struct redis *r)
{
	r->open = false;
	r->queued = r->sent = r->answered = r->taken = 0;
	r->blocked_until_us = 0;
	r->waits = r->broken = false;
	arena_reset(&r->arena);
}

bool
redis_is_open(const struct redis *r)
{
	return r->open;
}

int
redis_fd(const struct redis *r)
{
	return r->open ? FD + r->number : -1;
}

int
redis_open(struct redis *r, struct err *err)
{
	redis_close(r);
	groups_call("open");
	if (is_down(groups.down_us) || chance(world.odds.cut))
		return cut(r, err, "can't connect");
	r->open = true;
	return 0;
}

static void
begin(struct redis *r)
{
	CHECK(r->open);
	if (r->taken == r->queued && r->queued > 0) {
		r->queued = r->sent = r->answered = r->taken = 0;
		arena_reset(&r->arena);
	}
	CHECK(r->queued < GROUP_QUEUE);
}

void
redis_queue(struct redis *r, int argc, const struct str *argv)
{
	struct command *c;

	begin(r);
	c = &r->queue[r->queued++];
	*c = (struct command){ argc, arena_alloc(&r->arena, (size_t)argc * sizeof(*argv)) };
	for (int i = 0; i < argc; i++)
		c->argv[i] = arena_str(&r->arena, argv[i].data, argv[i].len);
}

static void
queue_format(struct redis *r, const char *format, va_list ap)
{
	struct str words[WORDS];
	struct arena scratch;
	int n = 0;

	arena_init(&scratch, 0);
	while (*format != '\0') {
		struct buf word = { 0 };

		if (*format == ' ') {
			format++;
			continue;
		}
		buf_add_str(&word, "");
		while (*format != '\0' && *format != ' ') {
			if (strncmp(format, "%s", 2) == 0) {
				buf_add_str(&word, va_arg(ap, const char *));
				format += 2;
			} else if (strncmp(format, "%b", 2) == 0) {
				const struct str *bytes = va_arg(ap, const struct str *);

				buf_add(&word, bytes->data, bytes->len);
				format += 2;
			} else if (strncmp(format, "%lld", 4) == 0 ||
			    strncmp(format, "%llu", 4) == 0) {
				buf_printf(&word, "%lld", va_arg(ap, long long));
				format += 4;
			} else {
				buf_add_char(&word, *format++);
			}
		}
		words[n++] = arena_str(&scratch, word.data != NULL ? word.data : "", word.len);
		buf_deinit(&word);
	}
	redis_queue(r, n, words);
	arena_deinit(&scratch);
}

void
redis_queuef(struct redis *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	queue_format(r, format, ap);
	va_end(ap);
}

int
redis_flush(struct redis *r, struct err *err)
{
	if (!r->open)
		return cut(r, err, "not connected");
	if (r->queued == r->sent)
		return 0;
	groups_call("flush");
	if (!r->open || r->broken)
		return cut(r, err, "gone away");
	r->blocked_until_us = world.now_us + 1000000;
	if (chance(world.odds.cut)) {
		serve(r, r->sent + below((unsigned)(r->queued - r->sent + 1)));
		return cut(r, err, "cut while sending");
	}
	r->sent = r->queued;
	serve(r, r->sent);
	return 0;
}

size_t
redis_pending(const struct redis *r)
{
	return r->queued - r->taken;
}

static bool
is_ready(const struct redis *r)
{
	return r->open && (r->broken || (r->taken < r->answered && world.now_us >= r->ready_us));
}

int
redis_receive(struct redis *r, struct arena *a, int timeout_ms, struct redis_reply **reply,
    struct err *err)
{
	int64_t end_us = world.now_us + timeout_ms * INT64_C(1000);

	if (!r->open)
		return cut(r, err, "not connected");
	CHECK(r->taken < r->queued);
	while (!is_ready(r) && world.now_us < end_us && r->open)
		groups_pass(1000);
	groups_call("receive");
	if (!r->open || r->broken || chance(world.odds.cut / 4))
		return cut(r, err, "cut while receiving");
	if (!is_ready(r))
		return 0;
	*reply = copied(r->replies[r->taken++], a);
	return 1;
}

const struct redis_reply *
redis_partial(const struct redis *r, size_t *bytes)
{
	(void)r;
	*bytes = 0;
	return NULL;
}

struct redis_reply *
redis_call(struct redis *r, struct arena *a, struct err *err, const char *format, ...)
{
	struct redis_reply *reply = NULL;
	va_list ap;

	va_start(ap, format);
	queue_format(r, format, ap);
	va_end(ap);
	if (redis_flush(r, err) != 0 ||
	    redis_receive(r, a, r->options->timeout_ms, &reply, err) <= 0 ||
	    redis_reply_error(reply, err) != 0)
		return NULL;
	return reply;
}

/* ---- the world's side ---- */

bool
groups_fd_ready(int fd)
{
	const struct redis *r =
	    fd >= FD && fd < FD + GROUP_CONNECTIONS ? connections[fd - FD] : NULL;

	return r != NULL && is_ready(r);
}

void
groups_cut_all(const struct group_process *p)
{
	for (int i = 0; i < GROUP_CONNECTIONS; i++)
		if (connections[i] != NULL && (p == NULL || connections[i]->process == p))
			connections[i]->broken = true;
}

bool
groups_any_broken(void)
{
	for (int i = 0; i < GROUP_CONNECTIONS; i++)
		if (connections[i] != NULL && connections[i]->open && connections[i]->broken &&
		    strncmp(connections[i]->options->client_name, "sluice-c", 8) == 0 &&
		    strstr(connections[i]->options->client_name, "cache") == NULL)
			return true;
	return false;
}

void
groups_serve_all(void)
{
	for (int i = 0; i < GROUP_CONNECTIONS; i++)
		if (connections[i] != NULL && connections[i]->open && !connections[i]->broken)
			serve(connections[i], connections[i]->sent);
}
