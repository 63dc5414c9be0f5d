#include "common/redis.h"

#include "common/buf.h"
#include "common/clock.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
	RECEIVE_BYTES = 128 << 10,     /* one recv */
	READER_KEEP_BYTES = 512 << 10, /* hiredis frees a larger idle buffer */
	OUT_KEEP_BYTES = 1 << 20,
	ELEMENTS_MAX = 16 << 20, /* of one array; no command of ours asks for so many */
	WORDS_MAX = 64,		 /* of a redis_queuef */
};

struct redis {
	const struct redis_options *options;
	redisContext *context; /* NULL: closed */
	redisReader *reader;
	struct buf out, words;
	size_t pending, unsent; /* replies owed; those of them whose commands are in out */

	/* the reply being parsed */
	struct arena *arena;	  /* where to */
	size_t arena_bytes;	  /* of it when we last left it */
	uint64_t bytes_in;	  /* from the socket, since open */
	uint64_t reply_starts_at; /* the reply's first byte, counted the same way */
	char receive[RECEIVE_BYTES];
};

/* hiredis calls these for every node; task->privdata is our struct redis. */

static struct redis_reply *
node_place(const redisReadTask *task, struct redis_reply *node)
{
	if (task->parent != NULL) {
		struct redis_reply *parent = task->parent->obj;

		parent->element[task->idx] = node;
	}
	return node;
}

static struct redis_reply *
node_new(const redisReadTask *task, enum redis_type type, size_t more_bytes)
{
	struct redis *r = task->privdata;
	struct redis_reply *node = arena_alloc(r->arena, sizeof(*node) + more_bytes);

	*node = (struct redis_reply){ .type = type };
	return node;
}

static void *
on_string(const redisReadTask *task, char *data, size_t len)
{
	struct redis_reply *node = node_new(task, REDIS_STRING, len + 1);
	char *text = (char *)(node + 1);

	if (task->type == REDIS_REPLY_ERROR)
		node->type = REDIS_ERROR;
	else if (task->type == REDIS_REPLY_STATUS)
		node->type = REDIS_STATUS;
	memcpy(text, data, len);
	text[len] = '\0';
	node->text = (struct str){ text, len };
	return node_place(task, node);
}

static void *
on_array(const redisReadTask *task, size_t count)
{
	struct redis_reply *node =
	    node_new(task, REDIS_ARRAY, count * sizeof(struct redis_reply *));

	node->count = count;
	node->element = (struct redis_reply **)(node + 1);
	if (count > 0)
		memset(node->element, 0, count * sizeof(struct redis_reply *));
	return node_place(task, node);
}

static void *
on_integer(const redisReadTask *task, long long value)
{
	struct redis_reply *node = node_new(task, REDIS_INTEGER, 0);

	node->integer = value;
	return node_place(task, node);
}

static void *
on_nil(const redisReadTask *task)
{
	return node_place(task, node_new(task, REDIS_NIL, 0));
}

/* RESP3 only, which we never ask for. */
static void *
on_double(const redisReadTask *task, double value, char *text, size_t len)
{
	(void)value;
	return on_string(task, text, len);
}

static void *
on_bool(const redisReadTask *task, int value)
{
	return on_integer(task, value);
}

static void
on_free(void *node)
{
	(void)node; /* the arena's */
}

static redisReplyObjectFunctions node_functions = {
	.createString = on_string,
	.createArray = on_array,
	.createInteger = on_integer,
	.createDouble = on_double,
	.createNil = on_nil,
	.createBool = on_bool,
	.freeObject = on_free,
};

struct redis *
redis_new(const struct redis_options *options)
{
	struct redis *r = calloc(1, sizeof(*r));

	CHECK(r != NULL);
	r->options = options;
	buf_init(&r->out);
	buf_init(&r->words);
	return r;
}

void
redis_free(struct redis **r)
{
	if (*r == NULL)
		return;
	redis_close(*r);
	buf_deinit(&(*r)->out);
	buf_deinit(&(*r)->words);
	free(*r);
	*r = NULL;
}

void
redis_close(struct redis *r)
{
	if (r->context != NULL)
		redisFree(r->context);
	if (r->reader != NULL)
		redisReaderFree(r->reader);
	r->context = NULL;
	r->reader = NULL;
	r->arena = NULL;
	r->pending = r->unsent = 0;
	buf_reset(&r->out);
}

bool
redis_is_open(const struct redis *r)
{
	return r->context != NULL;
}

int
redis_fd(const struct redis *r)
{
	return r->context != NULL ? r->context->fd : -1;
}

void
redis_listen(struct redis *r)
{
	r->pending += SIZE_MAX / 2;
}

size_t
redis_pending(const struct redis *r)
{
	return r->pending;
}

/* Close, and say why. */
static int
fail(struct redis *r, struct err *err, int code, const char *text)
{
	err_set(err, ERR_RETRY, code, "redis: %s", text);
	redis_close(r); /* what text may be part of */
	return -1;
}

static int
dial(struct redis *r, struct err *err)
{
	const struct redis_options *options = r->options;
	struct timeval timeout = {
		.tv_sec = options->connect_timeout_ms / 1000,
		.tv_usec = options->connect_timeout_ms % 1000 * 1000,
	};
	redisOptions dialing = { 0 };

	if (options->socket != NULL)
		REDIS_OPTIONS_SET_UNIX(&dialing, options->socket);
	else
		REDIS_OPTIONS_SET_TCP(&dialing, options->host, options->port);
	if (options->connect_timeout_ms > 0)
		dialing.connect_timeout = &timeout;
	r->context = redisConnectWithOptions(&dialing);
	CHECK(r->context != NULL);
	if (r->context->err != 0)
		return fail(r, err, errno, r->context->errstr);
	if (options->socket == NULL)
		redisEnableKeepAlive(r->context);
	r->reader = redisReaderCreateWithFunctions(&node_functions);
	CHECK(r->reader != NULL);
	r->reader->privdata = r;
	r->reader->maxbuf = READER_KEEP_BYTES;
	r->reader->maxelements = ELEMENTS_MAX;
	r->bytes_in = r->reply_starts_at = 0;
	return 0;
}

/* What each command of the greeting answers.  A refusal that time may heal keeps its class. */
enum greeting { GREET_AUTH, GREET_SELECT, GREET_SETNAME, GREET_PING };

static int
greeting_check(enum greeting command, const struct redis_reply *reply, struct err *err)
{
	if (reply->type != REDIS_ERROR || command == GREET_SETNAME)
		return 0;
	/* a user without the right to PING is logged in all the same */
	if (command == GREET_PING && strncmp(reply->text.data, "NOPERM", 6) == 0)
		return 0;
	redis_reply_error(reply, err);
	if (err != NULL && err->class != ERR_RETRY)
		err->class = ERR_FATAL;
	return -1;
}

/* Queue the greeting; returns how many commands. */
static size_t
greeting_queue(struct redis *r, enum greeting commands[4])
{
	const struct redis_options *options = r->options;
	const char *password =
	    options->password != NULL ? options->password(options->password_arg) : NULL;
	size_t n = 0;

	if (options->user != NULL) {
		/* to a user without a password any will do; nobody becomes the default user unasked */
		redis_queuef(r, "AUTH %s %s", options->user, password != NULL ? password : "");
		commands[n++] = GREET_AUTH;
	} else if (password != NULL) {
		redis_queuef(r, "AUTH %s", password);
		commands[n++] = GREET_AUTH;
	}
	if (options->db != 0) {
		redis_queuef(r, "SELECT %lld", (long long)options->db);
		commands[n++] = GREET_SELECT;
	}
	if (options->client_name != NULL) {
		redis_queuef(r, "CLIENT SETNAME %s", options->client_name);
		commands[n++] = GREET_SETNAME;
	}
	/* refused where AUTH was needed, and while the server is loading */
	redis_queuef(r, "PING");
	commands[n++] = GREET_PING;
	return n;
}

static int
wait_reply(struct redis *r, struct arena *a, struct redis_reply **reply, struct err *err)
{
	char text[64];
	int status = redis_receive(r, a, r->options->timeout_ms, reply, err);

	if (status > 0)
		return 0;
	if (status < 0)
		return -1;
	snprintf(text, sizeof(text), "no reply within %d ms", r->options->timeout_ms);
	return fail(r, err, ETIMEDOUT, text);
}

int
redis_open(struct redis *r, struct err *err)
{
	enum greeting commands[4];
	struct redis_reply *reply;
	struct arena arena;
	size_t n, i;

	redis_close(r);
	if (dial(r, err) != 0)
		return -1;
	arena_init(&arena, 0);
	n = greeting_queue(r, commands);
	if (redis_flush(r, err) != 0)
		goto fail;
	for (i = 0; i < n; i++) {
		if (wait_reply(r, &arena, &reply, err) != 0 ||
		    greeting_check(commands[i], reply, err) != 0)
			goto fail;
	}
	arena_deinit(&arena);
	return 0;
fail:
	redis_close(r);
	arena_deinit(&arena);
	return -1;
}

static void
queue_header(struct redis *r, char kind, size_t n)
{
	buf_add_char(&r->out, kind);
	buf_add_u64(&r->out, n);
	buf_add(&r->out, "\r\n", 2);
}

static void
queue_word(struct redis *r, const char *data, size_t len)
{
	queue_header(r, '$', len);
	buf_add(&r->out, data, len);
	buf_add(&r->out, "\r\n", 2);
}

void
redis_queue(struct redis *r, int argc, const struct str *argv)
{
	CHECK(r->context != NULL && argc > 0);
	queue_header(r, '*', (size_t)argc);
	for (int i = 0; i < argc; i++)
		queue_word(r, argv[i].data, argv[i].len);
	r->pending++;
	r->unsent++;
}

/* The argument of the conversion at *format goes into r->words. */
static void
add_argument(struct redis *r, const char **format, va_list ap)
{
	const char *at = *format;

	if (strncmp(at, "%s", 2) == 0) {
		buf_add_str(&r->words, va_arg(ap, const char *));
		*format += 2;
	} else if (strncmp(at, "%b", 2) == 0) {
		const struct str *bytes = va_arg(ap, const struct str *);

		buf_add(&r->words, bytes->data, bytes->len);
		*format += 2;
	} else if (strncmp(at, "%lld", 4) == 0) {
		buf_add_i64(&r->words, va_arg(ap, long long));
		*format += 4;
	} else if (strncmp(at, "%llu", 4) == 0) {
		buf_add_u64(&r->words, va_arg(ap, unsigned long long));
		*format += 4;
	} else
		check_failed(__FILE__, __LINE__, "a conversion that redis.h names");
}

/* An argument is part of the word it stands in, blanks and all. */
static void
queue_format(struct redis *r, const char *format, va_list ap)
{
	size_t ends[WORDS_MAX], words = 0, start = 0;

	CHECK(r->context != NULL);
	buf_reset(&r->words);
	while (*format != '\0') {
		if (*format == ' ') {
			format++;
			continue;
		}
		CHECK(words < WORDS_MAX);
		while (*format != '\0' && *format != ' ') {
			if (*format == '%')
				add_argument(r, &format, ap);
			else
				buf_add_char(&r->words, *format++);
		}
		ends[words++] = r->words.len;
	}
	CHECK(words > 0);
	queue_header(r, '*', words);
	for (size_t i = 0; i < words; i++) {
		queue_word(r, r->words.data + start, ends[i] - start);
		start = ends[i];
	}
	buf_shrink(&r->words, OUT_KEEP_BYTES);
	r->pending++;
	r->unsent++;
}

void
redis_queuef(struct redis *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	queue_format(r, format, ap);
	va_end(ap);
}

/* 1 ready, 0 time-out, -1 an error. */
static int
socket_wait(const struct redis *r, short events, int64_t deadline_ms)
{
	struct pollfd socket = { .fd = r->context->fd, .events = events };

	for (;;) {
		int64_t left_ms = deadline_ms - clock_ms();
		int status = poll(&socket, 1, left_ms > 0 ? (int)left_ms : 0);

		if (status >= 0 || errno != EINTR)
			return status;
	}
}

/* Nothing is owed, and yet there is something to read. */
static bool
is_unasked(const struct redis *r)
{
	char byte;

	return r->pending == r->unsent &&
	    recv(r->context->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

int
redis_flush(struct redis *r, struct err *err)
{
	int64_t deadline_ms = clock_ms() + r->options->timeout_ms;
	size_t sent = 0;

	if (r->context == NULL)
		return fail(r, err, ENOTCONN, "not connected");
	if (is_unasked(r))
		return fail(r, err, EPROTO, "more replies than were asked for");
	while (sent < r->out.len) {
		ssize_t n = send(r->context->fd, r->out.data + sent, r->out.len - sent,
		    MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			sent += (size_t)n;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return fail(r, err, errno, strerror(errno));
		else if (socket_wait(r, POLLOUT, deadline_ms) <= 0)
			return fail(r, err, ETIMEDOUT, "the server takes no more commands");
	}
	r->unsent = 0;
	buf_reset(&r->out);
	buf_shrink(&r->out, OUT_KEEP_BYTES);
	return 0;
}

/* Parse what was read: 1 a whole reply, 0 not yet, -1 closed. */
static int
parse(struct redis *r, struct redis_reply **reply, struct err *err)
{
	void *whole = NULL;

	if (redisReaderGetReply(r->reader, &whole) != REDIS_OK)
		return fail(r, err, EPROTO, r->reader->errstr);
	r->arena_bytes = arena_bytes(r->arena);
	if (whole == NULL)
		return 0;
	r->reply_starts_at = r->bytes_in - (r->reader->len - r->reader->pos);
	r->arena = NULL;
	if (r->pending == 0)
		return fail(r, err, EPROTO, "a reply that nothing asked for");
	r->pending--;
	/* a request that broke on its way is answered more than once: whose are the answers? */
	if (r->pending == 0 && r->reader->len > r->reader->pos)
		return fail(r, err, EPROTO, "more replies than were asked for");
	*reply = whole;
	return 1;
}

/* Feed what the socket has: 1 something, 0 nothing, -1 closed. */
static int
feed(struct redis *r, struct err *err)
{
	ssize_t n = recv(r->context->fd, r->receive, sizeof(r->receive), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return fail(r, err, errno, strerror(errno));
	if (n == 0)
		return fail(r, err, ECONNRESET, "the server closed the connection");
	r->bytes_in += (uint64_t)n;
	if (redisReaderFeed(r->reader, r->receive, (size_t)n) != REDIS_OK)
		return fail(r, err, ENOMEM, r->reader->errstr);
	return 1;
}

int
redis_receive(struct redis *r, struct arena *a, int timeout_ms, struct redis_reply **reply,
    struct err *err)
{
	int64_t deadline_ms = timeout_ms > 0 ? clock_ms() + timeout_ms : 0;
	bool fed = false;
	int status;

	if (r->context == NULL)
		return fail(r, err, ENOTCONN, "not connected");
	/* a reply that has begun lives where it began */
	if (redisReaderGetObject(r->reader) != NULL)
		CHECK(a == r->arena && arena_bytes(a) >= r->arena_bytes);
	r->arena = a;
	for (;;) {
		status = parse(r, reply, err);
		if (status != 0)
			return status;
		if (fed && timeout_ms <= 0)
			return 0;
		status = feed(r, err);
		if (status < 0)
			return -1;
		fed = status > 0;
		if (fed)
			continue;
		if (timeout_ms <= 0)
			return 0;
		status = socket_wait(r, POLLIN, deadline_ms);
		if (status < 0)
			return fail(r, err, errno, strerror(errno));
		if (status == 0)
			return 0;
	}
}

const struct redis_reply *
redis_partial(const struct redis *r, size_t *bytes)
{
	*bytes = 0;
	if (r->context == NULL)
		return NULL;
	*bytes = (size_t)(r->bytes_in - r->reply_starts_at);
	return redisReaderGetObject(r->reader);
}

struct redis_reply *
redis_call(struct redis *r, struct arena *a, struct err *err, const char *format, ...)
{
	struct redis_reply *reply = NULL;
	va_list ap;

	if (r->context == NULL) {
		fail(r, err, ENOTCONN, "not connected");
		return NULL;
	}
	CHECK(r->pending == 0);
	va_start(ap, format);
	queue_format(r, format, ap);
	va_end(ap);
	if (redis_flush(r, err) != 0 || wait_reply(r, a, &reply, err) != 0)
		return NULL;
	if (redis_reply_error(reply, err) != 0)
		return NULL;
	return reply;
}
