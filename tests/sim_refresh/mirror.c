#include "tests/sim_refresh/play.h"

#include "common/buf.h"
#include "common/err.h"
#include "worker/cache/library.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* A real server that plays along: whatever the fake one does it does too, at the same time by a clock of
 * ours (clock_shift.c), and its answers must be the same. */
static FILE *in;
static int out = -1;
static volatile int64_t *clock_us;
static char plain_sha[64];

bool
mirror_is_open(void)
{
	return in != NULL;
}

/* ---- the protocol ---- */

static struct redis_reply *
read_reply(struct arena *a)
{
	static const enum redis_type types[] = { ['+'] = REDIS_STATUS, ['-'] = REDIS_ERROR };
	struct redis_reply *reply = arena_zalloc(a, sizeof(*reply));
	char line[512];
	long long n;

	if (fgets(line, sizeof(line), in) == NULL)
		fail("the server is gone");
	line[strcspn(line, "\r\n")] = '\0';
	n = strtoll(line + 1, NULL, 10);
	if (line[0] == '+' || line[0] == '-') {
		reply->type = types[(int)line[0]];
		reply->text = str_of(arena_printf(a, "%s", line + 1));
	} else if (line[0] == ':') {
		*reply = (struct redis_reply){ .type = REDIS_INTEGER, .integer = n };
	} else if (n < 0) {
		reply->type = REDIS_NIL;
	} else if (line[0] == '$') {
		char *bytes = arena_zalloc(a, (size_t)n + 3);

		CHECK(fread(bytes, 1, (size_t)n + 2, in) == (size_t)n + 2);
		bytes[n] = '\0';
		*reply = (struct redis_reply){ .type = REDIS_STRING, .text = { bytes, (size_t)n } };
	} else {
		reply->type = REDIS_ARRAY;
		reply->count = (size_t)n;
		reply->element = arena_zalloc(a, (size_t)(n + 1) * sizeof(*reply->element));
		for (long long i = 0; i < n; i++)
			reply->element[i] = read_reply(a);
	}
	return reply;
}

static struct redis_reply *
call(struct arena *a, int argc, const struct str *argv)
{
	struct redis_reply *reply;
	struct buf words = { 0 };

	*clock_us = play.now_us;
	buf_printf(&words, "*%d\r\n", argc);
	for (int i = 0; i < argc; i++) {
		buf_printf(&words, "$%zu\r\n", argv[i].len);
		buf_add(&words, argv[i].data, argv[i].len);
		buf_add_str(&words, "\r\n");
	}
	if (write(out, words.data, words.len) != (ssize_t)words.len)
		fail("the server is gone");
	buf_deinit(&words);
	reply = read_reply(a);
	if (reply->type == REDIS_ERROR)
		fail("the server says %s", reply->text.data);
	return reply;
}

/* ---- side by side ---- */

/* Of a plain value the server has another name: its hash. */
static bool
is_same(const struct redis_reply *ours, const struct redis_reply *theirs, bool named)
{
	if (ours->type != theirs->type || ours->integer != theirs->integer ||
	    ours->count != theirs->count)
		return false;
	for (size_t i = 0; i < ours->count; i++)
		if (!(named && i == 2) && !is_same(ours->element[i], theirs->element[i], false))
			return false;
	return ours->type == REDIS_ARRAY || str_equal(ours->text, theirs->text);
}

static const char *
text_of(struct arena *a, const struct redis_reply *reply)
{
	const char *text = "";

	if (reply->type != REDIS_ARRAY)
		return reply->type == REDIS_INTEGER ?
		    arena_printf(a, "%lld", (long long)reply->integer) :
		    arena_printf(a, "%.*s", STR_ARGS(reply->text));
	for (size_t i = 0; i < reply->count; i++)
		text = arena_printf(a, "%s %s", text, text_of(a, reply->element[i]));
	return text;
}

struct redis_reply *
mirror_execute(struct arena *a, int argc, const struct str *argv, struct redis_reply *ours)
{
	bool plain = str_equal(argv[0], STR("EVALSHA"));
	struct str *words = arena_alloc(a, (size_t)argc * sizeof(*words));
	struct redis_reply *theirs;
	bool named;

	memcpy(words, argv, (size_t)argc * sizeof(*words));
	if (plain)
		words[1] = str_of(plain_sha);
	theirs = call(a, argc, words);
	named = plain && ours->count == 4;
	if (!is_same(ours, theirs, named))
		fail("%.*s %.*s: the server answers%s, the fake%s", STR_ARGS(argv[3]),
		    STR_ARGS(argv[plain ? 4 : 1]), text_of(a, theirs), text_of(a, ours));
	if (named && theirs->count == 4) {
		struct played_key *k = key_of(argv[3]);

		snprintf(k->seen_name, sizeof(k->seen_name), "%.*s",
		    STR_ARGS(theirs->element[2]->text));
		snprintf(k->seen_payload, sizeof(k->seen_payload), "%s", entry_of(k)->payload);
	}
	return theirs;
}

/* ---- what happens to a key from outside ---- */

static void put(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void
put(struct arena *a, const char *format, ...)
{
	struct str words[24];
	char line[512], *rest = line, *word;
	int count = 0;
	va_list ap;

	va_start(ap, format);
	vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	while ((word = strsep(&rest, " ")) != NULL && count < 24)
		words[count++] = str_of(word);
	call(a, count, words);
}

static void
put_ours(struct arena *a, const struct played_key *k, const struct entry *e)
{
	if (e->value)
		put(a, "HSET %s %c %s w %lld e %lld s %lld", k->name, e->none ? 'n' : 'p',
		    e->payload, (long long)e->w, (long long)e->e, (long long)e->s);
	if (e->r[0] != '\0')
		put(a, "HSET %s r %s", k->name, e->r);
	if (e->m[0] != '\0')
		put(a, "HSET %s m %s", k->name, e->m);
	if (e->stretched)
		put(a, "HSET %s t stretched l %lld", k->name, (long long)e->l);
	else if (e->t != 0)
		put(a, "HSET %s t %lld l %lld", k->name, (long long)e->t, (long long)e->l);
}

void
mirror_put(const struct played_key *k)
{
	const struct entry *e = entry_of(k);
	struct arena a;
	unsigned id, version;

	if (!mirror_is_open())
		return;
	arena_init(&a, 0);
	put(&a, "DEL %s", k->name);
	if (e->kind == OURS)
		put_ours(&a, k, e);
	else if (e->kind == STRING)
		put(&a, "SET %s %s", k->name, e->payload);
	else if (e->kind == FIELDS &&
	    sscanf(e->payload, "\"id\":%u,\"ver\":%u", &id, &version) == 2)
		put(&a, "HSET %s id %u ver %u", k->name, id, version);
	if (e->kind != NO_ENTRY)
		put(&a, "PEXPIREAT %s %lld", k->name, (long long)e->expire_ms);
	arena_deinit(&a);
}

void
mirror_open(int port, const char *clock_file)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct str script[] = { STR("SCRIPT"), STR("LOAD"), str_of(refresh_plain_script) };
	struct str library[] = { STR("FUNCTION"), STR("LOAD"), STR("REPLACE"), library_source() };
	int file = open(clock_file, O_RDWR);
	struct arena a;

	out = socket(AF_INET, SOCK_STREAM, 0);
	clock_us = file < 0 ?
	    MAP_FAILED :
	    mmap(NULL, sizeof(*clock_us), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (clock_us == MAP_FAILED ||
	    connect(out, (struct sockaddr *)&address, sizeof(address)) != 0)
		fail("no server on port %d with a clock of ours", port);
	in = fdopen(dup(out), "r");
	CHECK(in != NULL);
	play.now_us = *clock_us;
	arena_init(&a, 0);
	call(&a, 4, library);
	snprintf(plain_sha, sizeof(plain_sha), "%s", call(&a, 3, script)->text.data);
	arena_deinit(&a);
}
