#include "worker/source/redis_stream.h"

#include "common/clock.h"
#include "common/log.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	CONTROL_KEEP_BYTES = 64 << 10,
	CONTROL_BYTES_MIN = 1 << 20 /* of a reply that holds entries */
};

struct redis_stream *
redis_stream_of(const struct source *source)
{
	union {
		const struct source *in;
		struct redis_stream *out;
	} pointer = { .in = source };

	return pointer.out;
}

struct stream_lane *
stream_lane(struct lane *lane)
{
	struct stream_lane *state = lane->source_state;

	if (state == NULL) {
		state = calloc(1, sizeof(*state));
		CHECK(state != NULL);
		state->entry_bytes = READ_ENTRY_UNKNOWN;
		lane->source_state = state;
	}
	return state;
}

bool
stream_warns(enum stream_warning warning)
{
	static _Atomic unsigned said;
	unsigned bit = 1U << warning;

	return (atomic_fetch_or(&said, bit) & bit) == 0;
}

static const char *
password_of(void *arg)
{
	struct redis_stream *s = arg;

	return config_secret(&s->config->redis.password, &s->password);
}

static void
start_connection(struct redis_stream *s, struct redis_options *options, struct redis **redis,
    char *name, size_t size, const char *what)
{
	const struct config_redis *config = &s->config->redis;

	snprintf(name, size, "sluice-%s-%d", what, s->worker);
	*options = (struct redis_options){
		.host = config->host,
		.port = config->port,
		.socket = config->socket,
		.user = config->user,
		.password = password_of,
		.password_arg = s,
		.db = config->db,
		.client_name = name,
		.connect_timeout_ms = config->connect_timeout_ms,
		.timeout_ms = config->timeout_ms,
	};
	*redis = redis_new(options);
}

void
stream_close(struct redis_stream *s)
{
	redis_close(s->read);
	redis_close(s->control);
	s->requested = false;
	s->owed = 0;
}

int
stream_open(struct source *source, struct err *err)
{
	struct redis_stream *s = redis_stream_of(source);

	stream_close(s);
	if (redis_open(s->control, err) != 0 || redis_open(s->read, err) != 0)
		goto fail;
	control_begin(s);
	if (stream_preflight(s, err) != 0)
		goto fail;
	return 0;
fail:
	stream_close(s);
	return -1;
}

static bool
source_is_open(const struct source *source)
{
	const struct redis_stream *s = redis_stream_of(source);

	return redis_is_open(s->read) && redis_is_open(s->control);
}

static void
source_close(struct source *source)
{
	stream_close(redis_stream_of(source));
}

static bool
source_requested(const struct source *source)
{
	return redis_stream_of(source)->requested;
}

static int
source_fd(const struct source *source)
{
	const struct redis_stream *s = redis_stream_of(source);

	return s->requested ? redis_fd(s->read) : -1;
}

static void
source_close_lane(struct source *source, struct lane *lane)
{
	(void)source;
	free(lane->source_state);
	lane->source_state = NULL;
}

void
stream_deinit(struct redis_stream *s)
{
	redis_free(&s->read);
	redis_free(&s->control);
	stream_read_free(s);
	arena_deinit(&s->arena);
	buf_deinit(&s->password);
}

static void
source_free(struct source **source)
{
	struct redis_stream *s;

	if (*source == NULL)
		return;
	s = redis_stream_of(*source);
	stream_deinit(s);
	free(s);
	*source = NULL;
}

static const struct source_ops ops = {
	.open = stream_open,
	.is_open = source_is_open,
	.close = source_close,
	.look = stream_look,
	.settle = stream_settle,
	.claim = stream_claim,
	.new_identity = stream_new_identity,
	.request = stream_request,
	.requested = source_requested,
	.receive = stream_receive,
	.fd = source_fd,
	.recycle = stream_recycle,
	.release = stream_release,
	.range = stream_range,
	.history = stream_range,
	.lift = stream_lift_lane,
	.confirm = stream_confirm,
	.newest = stream_newest,
	.close_lane = source_close_lane,
	.free = source_free,
};

void
stream_init(struct redis_stream *s, const struct config *config, int worker)
{
	s->source.ops = &ops;
	s->config = config;
	s->pool.spare_max = (size_t)config->memory_bytes / 8;
	s->worker = worker;
	s->count = READ_COUNT_MIN;
	buf_init(&s->password);
	arena_init(&s->arena, CONTROL_KEEP_BYTES);
	start_connection(s, &s->read_options, &s->read, s->read_name, sizeof(s->read_name), "read");
	start_connection(s, &s->control_options, &s->control, s->control_name,
	    sizeof(s->control_name), "control");
}

struct source *
redis_stream_new(const struct config *config, int worker)
{
	struct redis_stream *s = calloc(1, sizeof(*s));

	CHECK(s != NULL);
	stream_init(s, config, worker);
	return &s->source;
}

/* ---- control ---- */

void
control_begin(struct redis_stream *s)
{
	arena_reset(&s->arena);
}

int
control_send(struct redis_stream *s, size_t unheard, struct err *err)
{
	s->owed += unheard;
	if (redis_flush(s->control, err) == 0)
		return 0;
	stream_close(s);
	return -1;
}

static int
control_timeout(struct redis_stream *s, struct err *err)
{
	stream_close(s);
	return err_set(err, ERR_RETRY, ETIMEDOUT, "redis: no reply within %d ms",
	    s->control_options.timeout_ms);
}

/* The next reply, somebody's or nobody's. */
static int
control_next(struct redis_stream *s, struct redis_reply **reply, struct err *err)
{
	int status =
	    redis_receive(s->control, &s->arena, s->control_options.timeout_ms, reply, err);

	if (status > 0)
		return 0;
	if (status == 0)
		return control_timeout(s, err);
	stream_close(s);
	return -1;
}

static int
control_drain(struct redis_stream *s, struct err *err)
{
	struct redis_reply *unheard;

	for (; s->owed > 0; s->owed--)
		if (control_next(s, &unheard, err) != 0)
			return -1;
	return 0;
}

int
control_receive(struct redis_stream *s, struct redis_reply **reply, struct err *err)
{
	return control_drain(s, err) != 0 ? -1 : control_next(s, reply, err);
}

/* The rest of a reply that is too large is not worth having. */
static int
control_cut(struct redis_stream *s, struct err *err)
{
	redis_close(s->control);
	if (redis_open(s->control, err) == 0)
		return 0;
	stream_close(s);
	return -1;
}

int
control_receive_entries(struct redis_stream *s, const struct redis_reply **reply, bool *cut,
    struct err *err)
{
	int64_t deadline_ms = clock_ms() + s->control_options.timeout_ms;
	size_t bytes, bytes_max = (size_t)(s->config->memory_bytes / 8);

	if (bytes_max < CONTROL_BYTES_MIN)
		bytes_max = CONTROL_BYTES_MIN;
	*cut = false;
	if (control_drain(s, err) != 0)
		return -1;
	for (;;) {
		struct pollfd socket = { .fd = redis_fd(s->control), .events = POLLIN };
		struct redis_reply *whole;
		int status = redis_receive(s->control, &s->arena, 0, &whole, err);

		if (status > 0) {
			*reply = whole;
			return 0;
		}
		if (status < 0) {
			stream_close(s);
			return -1;
		}
		*reply = redis_partial(s->control, &bytes);
		if (*reply != NULL && bytes > bytes_max) {
			*cut = true;
			return control_cut(s, err);
		}
		if (clock_ms() >= deadline_ms)
			return control_timeout(s, err);
		poll(&socket, 1, (int)(deadline_ms - clock_ms()));
	}
}

int
control_refused(struct redis_stream *s, const struct redis_reply *reply, struct err *err)
{
	static const char *const elsewhere[] = { "LOADING", "READONLY", "MASTERDOWN",
		"CLUSTERDOWN" };

	if (reply->type != REDIS_ERROR)
		return 0;
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
		if (strncmp(reply->text.data, elsewhere[i], strlen(elsewhere[i])) != 0)
			continue;
		redis_reply_error(reply, err);
		stream_close(s);
		return -1;
	}
	return 1;
}

void
control_warn(enum stream_warning warning, const struct lane *lane, const struct redis_reply *reply,
    const char *next)
{
	struct err err = { 0 };

	if (!stream_warns(warning))
		return;
	redis_reply_error(reply, &err);
	log_event(LOG_WARN, "source_refuses", "lane", "%s", lane->name, "error", "%s", err.text,
	    "next", "%s", next, NULL);
}
