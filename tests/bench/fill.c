/*
 * fill HOST-PORT DATABASE STREAMS LANES KIND COUNT
 *
 * Fills the streams STREAMS:0 … STREAMS:LANES-1 of a Redis with COUNT changes of one kind (rows.h), as
 * an app would write them: XADD, pipelined.  A key has one lane.
 */
#include "common/redis.h"
#include "tests/bench/rows.h"

#include <math.h>

enum { PIPELINE = 1000, WORDS_MAX = 16, ZIPF_KEYS = 10000 };

struct fill {
	struct redis *redis;
	struct arena arena;
	const char *streams;
	uint64_t lanes;
	struct rows rows;
	double *zipf; /* the chance of a key up to this one */
};

/* Zipf's law with exponent 0.99, as YCSB has it. */
static void
zipf_init(struct fill *f)
{
	double sum = 0;

	f->zipf = calloc(ZIPF_KEYS, sizeof(*f->zipf));
	CHECK(f->zipf != NULL);
	for (size_t i = 0; i < ZIPF_KEYS; i++)
		f->zipf[i] = sum += 1 / pow((double)(i + 1), 0.99);
	for (size_t i = 0; i < ZIPF_KEYS; i++)
		f->zipf[i] /= sum;
}

static uint64_t
zipf_key(const struct fill *f, uint64_t n)
{
	double chance = (double)(row_mix(n + 1) >> 11) / (double)(UINT64_C(1) << 53);
	size_t low = 0, high = ZIPF_KEYS - 1;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (f->zipf[middle] < chance)
			low = middle + 1;
		else
			high = middle;
	}
	return 1 + low;
}

static struct str
text_of(struct fill *f, const char *prefix, uint64_t n)
{
	return str_of(arena_printf(&f->arena, "%s%llu", prefix, (unsigned long long)n));
}

static void
add(struct fill *f, uint64_t n)
{
	struct str words[WORDS_MAX];
	struct row row;
	int count = 0;

	row_make(&f->rows, n, &row);
	if (f->rows.kind == ROW_ZIPF)
		row.id = zipf_key(f, n);
	words[count++] = STR("XADD");
	words[count++] = text_of(f, f->streams, row.id % f->lanes);
	words[count++] = STR("*");
	if (f->rows.kind == ROW_INCR) {
		words[count++] = STR("_op");
		words[count++] = STR("incr");
	}
	if (f->rows.kind == ROW_VERSIONED) {
		words[count++] = STR("_version");
		words[count++] = text_of(f, "", n + 1);
	}
	words[count++] = STR("id");
	words[count++] = text_of(f, "", row.id);
	for (unsigned i = 0; i < row.count; i++) {
		words[count++] = str_of(row.columns[i].name);
		words[count++] = row.columns[i].value;
	}
	redis_queue(f->redis, count, words);
}

static int
flush(struct fill *f, struct err *err)
{
	struct redis_reply *reply;

	if (redis_flush(f->redis, err) != 0)
		return -1;
	while (redis_pending(f->redis) > 0) {
		int status = redis_receive(f->redis, &f->arena, 5000, &reply, err);

		if (status == 0)
			return err_set(err, ERR_RETRY, 0, "redis does not answer");
		if (status < 0 || redis_reply_error(reply, err) != 0)
			return -1;
	}
	arena_reset(&f->arena);
	return 0;
}

static int
fill(struct fill *f, struct err *err)
{
	if (redis_open(f->redis, err) != 0)
		return -1;
	for (uint64_t n = 0; n < f->rows.count; n++) {
		add(f, n);
		if ((n + 1) % PIPELINE == 0 && flush(f, err) != 0)
			return -1;
	}
	return flush(f, err);
}

int
main(int argc, char **argv)
{
	struct redis_options options = {
		.host = "127.0.0.1", .connect_timeout_ms = 2000, .timeout_ms = 5000
	};
	static struct fill f;
	struct err err = { 0 };
	enum row_kind kind;

	if (argc != 7 || !row_kind_parse(argv[5], &kind) || atoi(argv[4]) < 1 ||
	    atoll(argv[6]) < 1) {
		fprintf(stderr, "usage: fill PORT DATABASE STREAMS LANES KIND COUNT\n");
		return 2;
	}
	options.port = atoi(argv[1]);
	options.db = atoi(argv[2]);
	f.streams = argv[3];
	f.lanes = (uint64_t)atoi(argv[4]);
	rows_init(&f.rows, kind, (uint64_t)atoll(argv[6]));
	if (kind == ROW_ZIPF)
		zipf_init(&f);
	arena_init(&f.arena, 4 << 20);
	f.redis = redis_new(&options);
	if (fill(&f, &err) != 0)
		fprintf(stderr, "fill: %s\n", err.text);
	redis_free(&f.redis);
	arena_deinit(&f.arena);
	free(f.zipf);
	return err.class != ERR_NONE;
}
