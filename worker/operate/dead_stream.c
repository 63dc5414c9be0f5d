#include "worker/operate/access.h"
#include "worker/operate/dead_kept.h"
#include "worker/store/letter_stream.h"

/* Letters that are entries of the stream `dead_letters.stream`. */

static int
stream_open(struct dead_access *a, struct err *err)
{
	access_redis_init(&a->redis_access, &a->config.redis, "sluice-dead");
	a->redis = redis_new(&a->redis_access.options);
	return redis_open(a->redis, err);
}

static void
stream_close(struct dead_access *a)
{
	redis_free(&a->redis);
	access_redis_deinit(&a->redis_access);
}

static void
stream_rewind(struct dead_access *a)
{
	a->stream_after = (struct position){ 0, 0 };
}

/* The one that is asked for, if there is such a one: behind the place before it. */
static int
one(struct dead_access *a, struct position id, size_t *count, struct err *err)
{
	struct position before = id, next;

	*count = 0;
	if (position_compare(a->stream_after, id) >= 0)
		return 0;
	before.major -= before.minor == 0;
	before.minor--;
	if (letter_stream_page(a->redis, a->config.dead_stream, &a->filter, before, &a->arena,
		a->letters, count, &next, err) != 0)
		return -1;
	*count = *count > 0 && position_compare(a->letters[0].id, id) == 0;
	a->stream_after = id;
	return 0;
}

static int
stream_page(struct dead_access *a, size_t *count, struct err *err)
{
	struct position id;

	*count = 0;
	if (a->kept_id == NULL)
		return letter_stream_page(a->redis, a->config.dead_stream, &a->filter,
		    a->stream_after, &a->arena, a->letters, count, &a->stream_after, err);
	if (a->kept_id[0] != 's' || !position_parse(str_of(a->kept_id + 1), &id))
		return 0;
	return one(a, id, count, err);
}

static int
stream_drop(struct dead_access *a, const struct letter_entry *letters, size_t count,
    uint64_t *dropped, struct err *err)
{
	return letter_stream_drop(a->redis, a->config.dead_stream, letters, count, dropped, err);
}

static void
stream_add_place(const struct dead_access *a, struct buf *out)
{
	buf_add_str(out, "redis ");
	access_add_redis(&a->config.redis, out);
}

const struct dead_home dead_stream = {
	.open = stream_open,
	.close = stream_close,
	.rewind = stream_rewind,
	.page = stream_page,
	.drop = stream_drop,
	.add_place = stream_add_place,
};
