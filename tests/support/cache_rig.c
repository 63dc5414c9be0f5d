#include "tests/support/cache_rig.h"

#include "worker/cache/library.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

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
server_see(struct cache_rig_server *s, struct str word, char behind)
{
	pthread_mutex_lock(&s->lock);
	buf_printf(&s->seen, "%.*s%c", STR_ARGS(word), behind);
	pthread_mutex_unlock(&s->lock);
}

/* What either side wrote before is seen by the other after. */
static void
server_sync(struct cache_rig_server *s)
{
	pthread_mutex_lock(&s->lock);
	pthread_mutex_unlock(&s->lock);
}

/* One command's words; false at the end of the connection. */
static bool
serve_command(struct cache_rig_server *s, FILE *in, FILE *out)
{
	bool unlink_keys = false, call = false, version = false, time = false;
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
			time = bytes == 4 && memcmp(word, "TIME", 4) == 0;
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
	if (version) {
		struct str ours = library_version();

		fprintf(out, "$%zu\r\n%.*s\r\n", ours.len, STR_ARGS(ours));
	} else if (call) {
		s->commands++;
		fprintf(out, "%s", s->call_answer != NULL ? s->call_answer : "+NEW\r\n");
	} else if (time) {
		fprintf(out, "*2\r\n$1\r\n7\r\n$1\r\n0\r\n");
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
	struct cache_rig_server *s = arg;
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
server_start(struct cache_rig_server *s)
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
server_stop(struct cache_rig_server *s)
{
	shutdown(s->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->listener);
	unlink(s->path);
	buf_deinit(&s->seen);
}

void
cache_rig_open(struct cache_rig *f, const char *answer, const char *const *templates, size_t count)
{
	static const char *const names[] = { "id" };

	*f = (struct cache_rig){ .streams = { "wb:users:0", "wb:users:1" },
		.server.answer = answer };
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

void
cache_rig_close(struct cache_rig *f)
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
	owed_deinit(&f->batch.owed);
	counters_deinit(&f->counters);
	server_stop(&f->server);
}

struct touched *
cache_rig_touch(struct cache_rig *f, const char *id)
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

void
cache_rig_open_mode(struct cache_rig *f, enum config_mode mode, const char *const *templates,
    size_t count)
{
	cache_rig_open(f, NULL, templates, count);
	for (size_t i = 0; i < count; i++) {
		f->written[i].mode = mode;
		f->written[i].marker_ms = 60000;
		f->written[i].marker_absent_ms = 2000;
		f->written[i].quarantine_ms = 5000;
	}
}

void
cache_rig_add(struct touched *row, struct change *change, struct entry *entry)
{
	change->entry = entry;
	change->next_of_touched = row->changes;
	row->changes = change;
}

int
cache_rig_round(struct cache_rig *f, struct err *err)
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
