#include "worker/cache/cache.h"

#include "common/random.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/*
 * Against a server of our own that speaks enough of the protocol to record the keys of each UNLINK
 * and the words of each function's call, and to give a scripted answer.
 */
struct server {
	char path[64];
	int listener;
	pthread_t thread;
	pthread_mutex_t lock;	 /* held by the thread while it looks below */
	const char *answer;	 /* to UNLINK; NULL: the number of keys; "": none */
	const char *call_answer; /* to functions; NULL: NEW */
	unsigned commands, keys, most_keys;
	struct buf seen; /* keys, a newline behind each */
};

static bool
read_line(FILE *in, long *n)
{
	char line[64];

	if (fgets(line, sizeof(line), in) == NULL)
		return false;
	*n = strtol(line + 1, NULL, 10);
	return true;
}

static void
server_see(struct server *s, struct str word, char behind)
{
	pthread_mutex_lock(&s->lock);
	buf_printf(&s->seen, "%.*s%c", STR_ARGS(word), behind);
	pthread_mutex_unlock(&s->lock);
}

/* What either side wrote before is seen by the other after. */
static void
server_sync(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* One command's words; false at the end of the connection. */
static bool
serve_command(struct server *s, FILE *in, FILE *out)
{
	bool unlink_keys = false, call = false, version = false;
	long words, bytes;

	if (!read_line(in, &words))
		return false;
	for (long i = 0; i < words; i++) {
		char *word;

		if (!read_line(in, &bytes))
			return false;
		word = malloc((size_t)bytes + 2);
		if (fread(word, 1, (size_t)bytes + 2, in) != (size_t)bytes + 2)
			bytes = 0;
		if (i == 0) {
			unlink_keys = bytes == 6 && memcmp(word, "UNLINK", 6) == 0;
			call = bytes == 5 && memcmp(word, "FCALL", 5) == 0;
		} else if (unlink_keys)
			server_see(s, (struct str){ word, (size_t)bytes }, '\n');
		else if (call && i == 1)
			version = bytes == 14 && memcmp(word, "sluice_version", 14) == 0;
		if (call && !version && i > 0)
			server_see(s, (struct str){ word, (size_t)bytes },
			    i == words - 1 ? '\n' : ' ');
		free(word);
	}
	pthread_mutex_lock(&s->lock);
	if (call) {
		s->commands += !version;
		fprintf(out, "%s",
		    version		       ? "$3\r\n1.0\r\n" :
			s->call_answer != NULL ? s->call_answer :
						 "+NEW\r\n");
	} else if (!unlink_keys) {
		fprintf(out, "+OK\r\n");
	} else {
		s->commands++;
		s->keys += (unsigned)words - 1;
		if ((unsigned)words - 1 > s->most_keys)
			s->most_keys = (unsigned)words - 1;
		if (s->answer == NULL)
			fprintf(out, ":%ld\r\n", words - 1);
		else
			fprintf(out, "%s", s->answer);
	}
	pthread_mutex_unlock(&s->lock);
	fflush(out);
	return true;
}

static void *
serve(void *arg)
{
	struct server *s = arg;
	int fd;

	while ((fd = accept(s->listener, NULL, NULL)) >= 0) {
		FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");

		while (serve_command(s, in, out))
			;
		fclose(in);
		fclose(out);
	}
	return NULL;
}

static void
server_start(struct server *s)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	snprintf(s->path, sizeof(s->path), "/tmp/sluice-test-%d.sock", (int)getpid());
	unlink(s->path);
	pthread_mutex_init(&s->lock, NULL);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", s->path);
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(s->listener, 4), 0);
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
server_stop(struct server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	unlink(s->path);
	buf_deinit(&s->seen);
}

/* A table of one text key column with up to four templates, and a batch that touched its rows. */
struct fixture {
	struct server server;
	const char *streams[2];
	struct config_source source;
	struct config config;
	struct config_table config_table;
	struct config_template written[4];
	struct key_template templates[4];
	struct table table;
	struct batch batch;
	struct counters counters;
	struct random random;
	struct cache *cache;
};

static void
setup(struct fixture *f, const char *answer, const char *const *templates, size_t count)
{
	static const char *const names[] = { "id" };

	*f = (struct fixture){ .streams = { "wb:users:0", "wb:users:1" }, .server.answer = answer };
	server_start(&f->server);
	f->source = (struct config_source){ .streams = f->streams, .stream_count = 2 };
	f->config_table = (struct config_table){ .name = "users" };
	f->config = (struct config){
		.cache = { .socket = f->server.path,
		    .connect_timeout_ms = 1000,
		    .timeout_ms = 200 },
		.cache_is_redis = true,
		.sources = &f->source,
		.source_count = 1,
		.tables = &f->config_table,
		.table_count = 1,
	};
	for (size_t i = 0; i < count; i++) {
		f->written[i] = (struct config_template){ .written = templates[i] };
		assert_int_equal(key_template_compile(&f->templates[i], &f->written[i], names, 1,
				     NULL),
		    0);
	}
	f->table = (struct table){ .name = "users",
		.config = &f->config_table,
		.key_count = 1,
		.templates = f->templates,
		.template_count = count };
	f->batch.state = BATCH_WRITTEN;
	random_init(&f->random, 1);
	assert_int_equal(counters_init(&f->counters, 1, &f->random), 0);
	f->cache = invalidate_new(&f->config, 0);
	f->cache->counters = &f->counters;
}

static void
teardown(struct fixture *f)
{
	f->cache->ops->free(&f->cache);
	assert_null(f->cache);
	for (size_t i = 0; i < f->table.template_count; i++)
		key_template_deinit(&f->templates[i]);
	while (f->batch.touched != NULL) {
		struct touched *next = f->batch.touched->next;

		free(f->batch.touched);
		f->batch.touched = next;
	}
	counters_deinit(&f->counters);
	server_stop(&f->server);
}

/* Returns the row, which has no changes yet. */
static struct touched *
touch(struct fixture *f, const char *id)
{
	struct {
		struct touched touched;
		struct value key;
		char id[64];
	} *row = calloc(1, sizeof(*row));

	snprintf(row->id, sizeof(row->id), "%s", id);
	row->key = (struct value){ str_of(row->id), VALUE_TEXT };
	row->touched =
	    (struct touched){ .table = &f->table, .key = &row->key, .next = f->batch.touched };
	f->batch.touched = &row->touched;
	return &row->touched;
}

/* The same with all templates in this mode, as the defaults of the configuration have them. */
static void
setup_mode(struct fixture *f, enum config_mode mode, const char *const *templates, size_t count)
{
	setup(f, NULL, templates, count);
	for (size_t i = 0; i < count; i++) {
		f->written[i].mode = mode;
		f->written[i].marker_ms = 60000;
		f->written[i].marker_absent_ms = 2000;
		f->written[i].quarantine_ms = 5000;
	}
}

static void
add_change(struct touched *row, struct change *change, struct entry *entry)
{
	change->entry = entry;
	change->next_of_touched = row->changes;
	row->changes = change;
}

static int
round_once(struct fixture *f, struct err *err)
{
	int got;

	*err = (struct err){ 0 };
	server_sync(&f->server);
	if (f->cache->ops->open(f->cache, err) != 0 ||
	    f->cache->ops->start(f->cache, &f->batch, err) != 0)
		return -1;
	while ((got = f->cache->ops->poll(f->cache, 20, err)) == 0)
		;
	server_sync(&f->server);
	return got;
}

static void
every_touched_row_loses_its_keys(void **state)
{
	static const char *const templates[] = { "user:{id}", "page:{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, NULL, templates, 2);
	touch(&f, "7");
	touch(&f, "8");
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "user:8\npage:8\nuser:7\npage:7\n");
	assert_int_equal(f.server.commands, 1);
	assert_int_equal(SEE(f.counters.invalidated), 4);
	assert_int_equal(SEE(f.counters.tables[0].invalidated), 4);
	assert_int_equal(f.cache->ops->fd(f.cache), -1);
	teardown(&f);
}

static void
many_keys_go_in_few_commands(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct fixture f;
	struct err err;
	char id[16];

	(void)state;
	setup(&f, NULL, templates, 1);
	for (int i = 0; i < 1000; i++) {
		snprintf(id, sizeof(id), "%d", i);
		touch(&f, id);
	}
	assert_int_equal(round_once(&f, &err), 1);
	assert_int_equal(f.server.keys, 1000);
	assert_int_equal(f.server.commands, 8);
	assert_int_equal(f.server.most_keys, 128);
	teardown(&f);
}

static void
a_key_that_many_rows_share_is_sent_once(void **state)
{
	static const char *const templates[] = { "users:all" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, NULL, templates, 1);
	touch(&f, "7");
	touch(&f, "8");
	touch(&f, "9");
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "users:all\n");
	/* and once more in the next round */
	assert_int_equal(round_once(&f, &err), 1);
	assert_int_equal(f.server.keys, 2);
	teardown(&f);
}

static void
a_key_that_names_a_lane_or_is_ours_is_left_alone_and_counted(void **state)
{
	static const char *const templates[] = { "{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, NULL, templates, 1);
	touch(&f, "wb:users:1");
	touch(&f, "sluice:default:id:wb:users:1");
	touch(&f, "wb:users:10");
	touch(&f, "sluic");
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "sluic\nwb:users:10\n");
	assert_int_equal(SEE(f.counters.invalidations_skipped), 2);
	assert_int_equal(SEE(f.counters.invalidated), 2);
	teardown(&f);
}

static void
on_another_server_a_lane_s_name_is_only_a_name(void **state)
{
	static const char *const templates[] = { "{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, NULL, templates, 1);
	f.config.cache_is_redis = false;
	f.cache->ops->free(&f.cache);
	f.cache = invalidate_new(&f.config, 0);
	touch(&f, "wb:users:1");
	touch(&f, "sluice:x");
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data, "wb:users:1\n");
	teardown(&f);
}

static void
mode_none_sends_nothing(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, NULL, templates, 1);
	f.written[0].mode = MODE_NONE;
	touch(&f, "7");
	assert_int_equal(round_once(&f, &err), 1);
	assert_int_equal(f.server.commands, 0);
	teardown(&f);
}

static void
an_error_reply_is_a_failure_with_its_class(void **state)
{
	static const struct {
		const char *answer;
		enum err_class class;
	} cases[] = {
		{ "-OOM command not allowed when used memory > 'maxmemory'\r\n", ERR_RETRY },
		{ "-READONLY You can't write against a read only replica.\r\n", ERR_RETRY },
		{ "-NOPERM this user has no permissions to run 'unlink'\r\n", ERR_FATAL },
	};
	static const char *const templates[] = { "user:{id}" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct fixture f;
		struct err err;

		setup(&f, cases[i].answer, templates, 1);
		touch(&f, "7");
		assert_int_equal(round_once(&f, &err), -1);
		assert_int_equal(err.class, cases[i].class);
		assert_false(f.cache->ops->is_open(f.cache));
		/* nothing is remembered: the same round works once the server does */
		f.server.answer = NULL;
		assert_int_equal(round_once(&f, &err), 1);
		teardown(&f);
	}
}

static void
a_server_that_never_answers_is_given_up(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup(&f, "", templates, 1);
	touch(&f, "7");
	assert_int_equal(round_once(&f, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_false(f.cache->ops->is_open(f.cache));
	teardown(&f);
}

static void
without_a_connection_start_fails_and_sends_nothing(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct fixture f;
	struct err err = { 0 };

	(void)state;
	setup(&f, NULL, templates, 1);
	touch(&f, "7");
	assert_int_equal(f.cache->ops->start(f.cache, &f.batch, &err), -1);
	assert_int_equal(err.class, ERR_RETRY);
	assert_int_equal(f.cache->ops->fd(f.cache), -1);
	teardown(&f);
}

static void
a_versioned_entry_is_told_the_highest_version(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change one = { .has_version = true, .version = 57 },
		      two = { .has_version = true, .version = UINT64_MAX },
		      three = { .has_version = true, .version = 58 },
		      gone = { .has_version = true, .version = 58, .op = CHANGE_DELETE };
	struct entry entry = { 0 };
	struct touched *row;
	struct fixture f;
	struct err err;

	(void)state;
	setup_mode(&f, MODE_VERSIONED, templates, 1);
	row = touch(&f, "7");
	add_change(row, &one, &entry);
	add_change(row, &two, &entry);
	add_change(row, &three, &entry);
	row = touch(&f, "8");
	add_change(row, &gone, &entry);
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:8 58 deleted\n"
	    "sluice_invalidate 1 user:7 18446744073709551615 row\n");
	assert_int_equal(SEE(f.counters.invalidation_answers[0]), 2);
	assert_int_equal(SEE(f.counters.invalidated), 2);
	teardown(&f);
}

static void
a_change_without_a_version_is_told_as_such_and_a_refused_one_not_at_all(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct change one = { .has_version = true, .version = 57 }, refused = one,
		      none = { .op = CHANGE_INVALIDATE };
	struct entry good = { 0 }, bad = { .refusal.reason = REASON_BAD_VALUE };
	struct touched *row;
	struct fixture f;
	struct err err;

	(void)state;
	setup_mode(&f, MODE_VERSIONED, templates, 1);
	row = touch(&f, "7");
	add_change(row, &one, &good);
	add_change(row, &none, &good);
	row = touch(&f, "8");
	add_change(row, &refused, &bad);
	f.written[0].quarantine_ms = 7000;
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_invalidate 1 user:7  row 60000 2000 7000\n");
	assert_int_equal(SEE(f.counters.invalidated), 1);
	teardown(&f);
}

/* The row before had team a, the one after has team b; `unchanged` is of both. */
static void
add_images(struct touched *row, struct touched_image images[2], const struct str values[4],
    uint64_t unchanged)
{
	images[0] = (struct touched_image){ values, unchanged, &images[1] };
	images[1] = (struct touched_image){ values + 2, unchanged, row->images };
	row->images = images;
}

/* What the server saw of a row of two images, each template in this mode. */
static void
assert_of_images(enum config_mode mode, uint64_t unchanged, bool stands, const char *expected)
{
	static const char *const written[] = { "user:{id}", "team:{team}" };
	static const char *const names[] = { "id", "team" };
	static const struct str values[] = { STR("7"), STR("a"), STR("7"), STR("b") };
	struct change change = {
		.has_version = true, .version = 6, .version_stands = stands, .unchanged = unchanged
	};
	struct touched_image images[2];
	struct entry entry = { 0 };
	struct touched *row;
	struct fixture f;
	struct err err;

	setup_mode(&f, mode, written, 1);
	for (size_t i = 0; i < 2; i++) {
		f.written[i] = f.written[0];
		f.written[i].written = written[i];
		key_template_deinit(&f.templates[i]);
		assert_int_equal(key_template_compile(&f.templates[i], &f.written[i], names, 2,
				     &err),
		    0);
	}
	f.templates[0].one_row = true;
	f.table.image_count = 1;
	f.table.template_count = mode == MODE_VERSIONED ? 1 : 2;
	row = touch(&f, "7");
	add_change(row, &change, &entry);
	add_images(row, images, values, unchanged);
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.len > 0 ? f.server.seen.data : "", expected);
	f.table.template_count = 2;
	teardown(&f);
}

static void
the_keys_of_both_rows_go_once_in_every_mode(void **state)
{
	(void)state;
	assert_of_images(MODE_DELETE, 0, false, "user:7\nteam:a\nteam:b\n");
	assert_of_images(MODE_GENERATION, 0, false,
	    "sluice_generation_raise 1 user:7\n"
	    "sluice_generation_raise 1 team:a\n"
	    "sluice_generation_raise 1 team:b\n");
	assert_of_images(MODE_VERSIONED, 0, false, "sluice_invalidate 1 user:7 6 row\n");
}

static void
a_template_of_which_nothing_changed_is_left_alone(void **state)
{
	(void)state;
	assert_of_images(MODE_DELETE, 1, false, "team:a\nteam:b\n");
	assert_of_images(MODE_DELETE, 3, false, "");
	assert_of_images(MODE_VERSIONED, 1, false, "");
}

static void
an_update_without_a_new_version_is_told_without_one(void **state)
{
	(void)state;
	assert_of_images(MODE_VERSIONED, 0, true, "sluice_invalidate 1 user:7  row\n");
}

static void
a_generation_is_raised_once_however_many_rows_share_it(void **state)
{
	static const char *const templates[] = { "users:all", "user:{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup_mode(&f, MODE_GENERATION, templates, 2);
	f.written[1].ttl_ms = 3600000;
	touch(&f, "7");
	touch(&f, "8");
	assert_int_equal(round_once(&f, &err), 1);
	assert_string_equal(f.server.seen.data,
	    "sluice_generation_raise 1 users:all\n"
	    "sluice_generation_raise 1 user:8 3600000\n"
	    "sluice_generation_raise 1 user:7 3600000\n");
	teardown(&f);
}

static void
a_key_that_holds_something_else_is_counted_and_passed(void **state)
{
	static const char *const templates[] = { "user:{id}" };
	struct fixture f;
	struct err err;

	(void)state;
	setup_mode(&f, MODE_GENERATION, templates, 1);
	f.server.call_answer = "-WRONGTYPE Operation against a key\r\n";
	touch(&f, "7");
	assert_int_equal(round_once(&f, &err), 1);
	assert_int_equal(SEE(f.counters.invalidations_refused), 1);
	assert_true(f.cache->ops->is_open(f.cache));
	teardown(&f);
}

static void
a_lost_library_is_a_failure_to_try_again(void **state)
{
	static const char *const answers[] = { "-ERR Function not found\r\n",
		"-NOSCRIPT No matching script.\r\n", "-MOVED 1 10.0.0.1:6379\r\n" };
	static const char *const templates[] = { "user:{id}" };

	(void)state;
	for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
		struct fixture f;
		struct err err;

		setup_mode(&f, MODE_GENERATION, templates, 1);
		f.server.call_answer = answers[i];
		touch(&f, "7");
		assert_int_equal(round_once(&f, &err), -1);
		if (i < 2)
			assert_int_equal(err.class, ERR_RETRY);
		assert_false(f.cache->ops->is_open(f.cache));
		f.server.call_answer = NULL;
		assert_int_equal(round_once(&f, &err), 1);
		teardown(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_touched_row_loses_its_keys),
		cmocka_unit_test(the_keys_of_both_rows_go_once_in_every_mode),
		cmocka_unit_test(a_template_of_which_nothing_changed_is_left_alone),
		cmocka_unit_test(an_update_without_a_new_version_is_told_without_one),
		cmocka_unit_test(many_keys_go_in_few_commands),
		cmocka_unit_test(a_key_that_many_rows_share_is_sent_once),
		cmocka_unit_test(a_key_that_names_a_lane_or_is_ours_is_left_alone_and_counted),
		cmocka_unit_test(on_another_server_a_lane_s_name_is_only_a_name),
		cmocka_unit_test(mode_none_sends_nothing),
		cmocka_unit_test(an_error_reply_is_a_failure_with_its_class),
		cmocka_unit_test(a_server_that_never_answers_is_given_up),
		cmocka_unit_test(without_a_connection_start_fails_and_sends_nothing),
		cmocka_unit_test(a_versioned_entry_is_told_the_highest_version),
		cmocka_unit_test(
		    a_change_without_a_version_is_told_as_such_and_a_refused_one_not_at_all),
		cmocka_unit_test(a_generation_is_raised_once_however_many_rows_share_it),
		cmocka_unit_test(a_key_that_holds_something_else_is_counted_and_passed),
		cmocka_unit_test(a_lost_library_is_a_failure_to_try_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
