#include "common/redis.h"
#include "worker/cache/library.h"
#include "worker/operate/access.h"
#include "worker/operate/command.h"

#include <stdio.h>
#include <string.h>

enum { ARENA_KEEP = 64 * 1024 };

static int
show(void)
{
	struct str source = library_source();
	struct buf out = { 0 };

	buf_add(&out, source.data, source.len);
	bool put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

/* Says what became of it; returns an exit_code. */
static int
load_into(struct redis *redis, const char *place, struct arena *arena)
{
	struct library library;
	struct err err = { 0 };

	if (redis_open(redis, &err) != 0) {
		fprintf(stderr, "sluice: cache %s: %s\n", place, err.text);
		return EXIT_CODE_UNREACHABLE;
	}
	if (library_load(redis, &library, arena, &err) != 0) {
		fprintf(stderr, "sluice: cache %s: %s\n", place, err.text);
		return redis_is_open(redis) ? EXIT_CODE_RUNTIME : EXIT_CODE_UNREACHABLE;
	}
	if (library.form == LIBRARY_SCRIPT)
		printf("%s: functions are denied, or of another major version; the script is "
		       "loaded: EVALSHA %s 1 KEY FUNCTION "
		       "argument...\n",
		    place, library.sha);
	else
		printf("%s: the functions are there, version %.*s or newer\n", place,
		    STR_ARGS(library_version()));
	return EXIT_CODE_OK;
}

static int
load(const char *file)
{
	struct config config;
	struct access_redis access;
	struct buf place = { 0 };
	struct arena arena;
	struct redis *redis;
	int code;

	if (!command_load(&config, file, true))
		return EXIT_CODE_CONFIG;
	access_redis_init(&access, &config.cache, "sluice-functions");
	access_add_redis(&config.cache, &place);
	arena_init(&arena, ARENA_KEEP);
	redis = redis_new(&access.options);
	code = load_into(redis, place.data, &arena);
	redis_free(&redis);
	arena_deinit(&arena);
	buf_deinit(&place);
	access_redis_deinit(&access);
	config_deinit(&config);
	return code;
}

int
command_functions(const struct command_line *line)
{
	if (strcmp(line->words[0], "show") == 0 && line->word_count == 1)
		return show();
	if (strcmp(line->words[0], "load") == 0 && line->word_count == 2)
		return load(line->words[1]);
	fputs("sluice: `functions` wants load FILE, or show\n", stderr);
	return EXIT_CODE_USAGE;
}
