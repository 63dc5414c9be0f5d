#include "tests/sim_refresh/play.h"

#include "common/buf.h"
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Takes the place of common/redis.c.  A connection may be cut before a command took effect or after. */
enum { WORDS = 64, QUEUE = 2048, CONNECTIONS = 64, MESSAGES = 4096 };

struct command {
	int argc;
	struct str *argv;
};

struct redis {
	struct process *process;
	int place;
	bool open, broken, listens;
	struct arena arena; /* of what is queued and answered */
	struct command queue[QUEUE];
	struct redis_reply *replies[QUEUE];
	size_t queued, answered, taken;
	int64_t answered_us;
	char messages[MESSAGES][32];
	unsigned said, heard;
};

static struct redis *connections[CONNECTIONS];

struct redis *
redis_new(const struct redis_options *options)
{
	struct redis *r = calloc(1, sizeof(*r));

	(void)options;
	CHECK(r != NULL);
	while (connections[r->place] != NULL)
		CHECK(++r->place < CONNECTIONS);
	r->process = play.running;
	arena_init(&r->arena, 1 << 16);
	return connections[r->place] = r;
}

void
redis_free(struct redis **r)
{
	if (*r == NULL)
		return;
	connections[(*r)->place] = NULL;
	arena_deinit(&(*r)->arena);
	free(*r);
	*r = NULL;
}

void
redis_close(struct redis *r)
{
	r->open = r->broken = r->listens = false;
	r->queued = r->answered = r->taken = 0;
	r->said = r->heard = 0;
	arena_reset(&r->arena);
}

bool
redis_is_open(const struct redis *r)
{
	return r->open;
}

static int
cut(struct redis *r, struct err *err, const char *why)
{
	redis_close(r);
	return err_set(err, ERR_RETRY, 0, "redis: %s", why);
}

static bool
is_cut(const struct redis *r)
{
	return !r->open || r->broken || r->process->dying;
}

int
redis_open(struct redis *r, struct err *err)
{
	redis_close(r);
	pass(50 + below(300));
	if (r->process->dying || one_in(play.cut_odds))
		return cut(r, err, "can't connect");
	r->open = true;
	return 0;
}

void
redis_queue(struct redis *r, int argc, const struct str *argv)
{
	struct command *c;

	CHECK(r->open);
	if (r->taken == r->queued && r->queued > 0) {
		r->queued = r->answered = r->taken = 0;
		arena_reset(&r->arena);
	}
	CHECK(r->queued < QUEUE);
	c = &r->queue[r->queued++];
	*c = (struct command){ argc, arena_alloc(&r->arena, (size_t)argc * sizeof(*argv)) };
	for (int i = 0; i < argc; i++) {
		char *bytes = arena_alloc(&r->arena, argv[i].len + 1);

		memcpy(bytes, argv[i].data != NULL ? argv[i].data : "", argv[i].len);
		bytes[argv[i].len] = '\0';
		c->argv[i] = (struct str){ bytes, argv[i].len };
	}
}

static void
queue_format(struct redis *r, const char *format, va_list ap)
{
	struct arena scratch;
	struct str words[WORDS];
	struct buf word = { 0 };
	int n = 0;

	arena_init(&scratch, 0);
	while (*format != '\0') {
		buf_reset(&word);
		buf_add_str(&word, "");
		for (; *format != '\0' && *format != ' '; format++) {
			if (strncmp(format, "%s", 2) == 0) {
				buf_add_str(&word, va_arg(ap, const char *));
				format++;
			} else if (strncmp(format, "%b", 2) == 0) {
				const struct str *bytes = va_arg(ap, const struct str *);

				buf_add(&word, bytes->data, bytes->len);
				format++;
			} else {
				buf_add_char(&word, *format);
			}
		}
		format += *format == ' ';
		words[n++] = arena_str(&scratch, word.data, word.len);
	}
	redis_queue(r, n, words);
	buf_deinit(&word);
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

/* A look that may become a load: from here on its keys count against the limit. */
static void
see_look(struct redis *r, const struct command *c)
{
	bool looks = (c->argc > 4 && str_equal(c->argv[1], STR("sluice_lease"))) ||
	    (c->argc > 4 && str_equal(c->argv[4], STR("see")));

	if (looks)
		r->process->asked_us = play.now_us;
}

static void
note_served(const struct redis *r, const struct command *c, const struct redis_reply *reply)
{
	/* the members' key is longer */
	if (c->argc > 3 && reply->type != REDIS_ERROR && c->argv[3].len < sizeof(play.keys[0].name))
		note("p%u: %.*s %.*s: %s", r->process->index, STR_ARGS(c->argv[3]),
		    STR_ARGS(c->argv[str_equal(c->argv[0], STR("FCALL")) ? 1 : 4]),
		    reply->type == REDIS_ARRAY ? reply->element[0]->text.data : reply->text.data);
}

static void
serve(struct redis *r)
{
	const struct command *c = &r->queue[r->answered];

	if (r->listens)
		return;
	if (str_equal(c->argv[0], STR("SUBSCRIBE")))
		r->listens = true;
	if (c->argc > 4 && str_equal(c->argv[1], STR("sluice_release")))
		check_release(r->process, key_of(c->argv[3]), c->argv[4]);
	if (!r->listens)
		r->replies[r->answered] = server_execute(&r->arena, c->argc, c->argv);
	if (r->replies[r->answered] != NULL)
		note_served(r, c, r->replies[r->answered]);
	r->answered++;
	r->answered_us = play.now_us;
}

int
redis_flush(struct redis *r, struct err *err)
{
	if (!r->open)
		return cut(r, err, "not connected");
	for (size_t i = r->answered; i < r->queued; i++)
		see_look(r, &r->queue[i]);
	while (r->answered < r->queued) {
		pass(20 + below(200));
		if (is_cut(r) || one_in(play.cut_odds))
			return cut(r, err, "cut while sending");
		serve(r);
	}
	return 0;
}

void
redis_listen(struct redis *r)
{
	(void)r;
}

static struct redis_reply *
message(struct redis *r, struct arena *a)
{
	struct redis_reply *reply = arena_zalloc(a, sizeof(*reply));
	const char *said = r->messages[r->heard++ % MESSAGES];

	*reply = (struct redis_reply){ .type = REDIS_ARRAY, .count = 3 };
	reply->element = arena_zalloc(a, 3 * sizeof(*reply->element));
	for (int i = 0; i < 3; i++) {
		reply->element[i] = arena_zalloc(a, sizeof(*reply));
		reply->element[i]->text = i == 0 ? STR("message") : STR("sluice:reads");
	}
	reply->element[2]->text =
	    (struct str){ arena_copy(a, said, strlen(said) + 1), strlen(said) };
	return reply;
}

static struct redis_reply *
copied(const struct redis_reply *from, struct arena *a)
{
	struct redis_reply *reply = arena_zalloc(a, sizeof(*reply));

	*reply = *from;
	if (from->text.data != NULL)
		reply->text.data = arena_copy(a, from->text.data, from->text.len + 1);
	if (from->type != REDIS_ARRAY)
		return reply;
	reply->element = arena_zalloc(a, (from->count + 1) * sizeof(*reply->element));
	for (size_t i = 0; i < from->count; i++)
		reply->element[i] = copied(from->element[i], a);
	return reply;
}

int
redis_receive(struct redis *r, struct arena *a, int timeout_ms, struct redis_reply **reply,
    struct err *err)
{
	(void)timeout_ms;
	if (r->listens && is_cut(r))
		return cut(r, err, "cut");
	if (r->listens) {
		*reply = r->heard < r->said ? message(r, a) : NULL;
		return *reply != NULL;
	}
	pass(below(60));
	if (is_cut(r) || one_in(4 * play.cut_odds))
		return cut(r, err, "cut while receiving");
	CHECK(r->taken < r->answered);
	if (play.now_us - r->answered_us > play.stall_us)
		play.stall_us = play.now_us - r->answered_us;
	*reply = copied(r->replies[r->taken++], a);
	return 1;
}

struct redis_reply *
redis_call(struct redis *r, struct arena *a, struct err *err, const char *format, ...)
{
	struct redis_reply *reply = NULL;
	struct err unwanted;
	va_list ap;

	err = err != NULL ? err : &unwanted;
	if (!r->open) {
		cut(r, err, "not connected");
		return NULL;
	}
	va_start(ap, format);
	queue_format(r, format, ap);
	va_end(ap);
	if (redis_flush(r, err) != 0 || redis_receive(r, a, 1000, &reply, err) <= 0 ||
	    redis_reply_error(reply, err) != 0)
		return NULL;
	return reply;
}

/* ---- the world's side ---- */

void
redis_publish(const char *text)
{
	for (int i = 0; i < CONNECTIONS; i++) {
		struct redis *r = connections[i];

		if (r == NULL || !r->open || !r->listens || r->said - r->heard == MESSAGES)
			continue;
		snprintf(r->messages[r->said++ % MESSAGES], sizeof(r->messages[0]), "%s", text);
	}
}

void
redis_cut(const struct process *p)
{
	for (int i = 0; i < CONNECTIONS; i++)
		if (connections[i] != NULL && (p == NULL || connections[i]->process == p))
			connections[i]->broken = true;
}
