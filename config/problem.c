#include "config/problem.h"

#include "common/arena.h"
#include "common/err.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEMS_MAX = 1000, QUOTED_BYTES = 60 };

struct book {
	struct arena arena;
	const char *file;
	size_t mistakes;
	size_t capacity;
};

void
problem_open(struct config_problems *problems, const char *file)
{
	struct book *book = calloc(1, sizeof(*book));

	CHECK(book != NULL);
	arena_init(&book->arena, 0);
	book->file = file;
	*problems = (struct config_problems){ .owned = book };
}

void
config_problems_deinit(struct config_problems *problems)
{
	struct book *book = problems->owned;

	if (book != NULL)
		arena_deinit(&book->arena);
	free(book);
	free(problems->list);
	*problems = (struct config_problems){ 0 };
}

size_t
problem_mistakes(const struct config_problems *problems)
{
	const struct book *book = problems->owned;

	return book->mistakes;
}

static bool
is_behind(const struct config_problem *a, const struct config_problem *b)
{
	return a->line > b->line || (a->line == b->line && a->column > b->column);
}

static void
insert(struct config_problems *problems, struct config_problem problem)
{
	struct book *book = problems->owned;
	struct config_problem *list;
	size_t i = problems->count;

	if (problems->count == book->capacity) {
		book->capacity = book->capacity == 0 ? 16 : 2 * book->capacity;
		list = realloc(problems->list, book->capacity * sizeof(problem));
		CHECK(list != NULL);
		problems->list = list;
	}
	for (; i > 0 && is_behind(&problems->list[i - 1], &problem); i--)
		problems->list[i] = problems->list[i - 1];
	problems->list[i] = problem;
	problems->count++;
}

static const char *
sentence(struct book *book, struct place at, bool warning, const char *text)
{
	const char *kind = warning ? "warning: " : "";
	char *line;

	if (at.line == 0)
		line = arena_printf(&book->arena, "%s: %s%s", book->file, kind, text);
	else
		line = arena_printf(&book->arena, "%s:%d:%d: %s%s", book->file, at.line, at.column,
		    kind, text);
	for (char *c = line; *c != '\0'; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	return line;
}

static void add(struct config_problems *problems, struct place at, bool warning, const char *format,
    va_list ap) __attribute__((format(printf, 4, 0)));

static void
add(struct config_problems *problems, struct place at, bool warning, const char *format, va_list ap)
{
	struct book *book = problems->owned;
	char text[1024];

	if (!warning)
		book->mistakes++;
	if (problems->count > PROBLEMS_MAX)
		return;
	if (problems->count == PROBLEMS_MAX) {
		at = (struct place){ 0, 0 };
		insert(problems,
		    (struct config_problem){ INT_MAX, 0, warning,
			sentence(book, at, false, "further mistakes are not listed") });
		return;
	}
	(void)vsnprintf(text, sizeof(text), format, ap);
	insert(problems,
	    (struct config_problem){
		at.line, at.column, warning, sentence(book, at, warning, text) });
}

void
problem_add(struct config_problems *problems, struct place at, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(problems, at, false, format, ap);
	va_end(ap);
}

void
problem_warn(struct config_problems *problems, struct place at, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	add(problems, at, true, format, ap);
	va_end(ap);
}

/* What may be shown: up to a URL's :// or the : of user:password@host, and not through the middle of
 * a character. */
static size_t
shown_bytes(struct str text)
{
	const char *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
	size_t len = text.len;

	for (size_t i = 0; i + 2 < len; i++)
		if (memcmp(text.data + i, "://", 3) == 0)
			len = i + 3;
	if (len == text.len && colon != NULL &&
	    memchr(colon, '@', len - (size_t)(colon - text.data)) != NULL)
		len = (size_t)(colon - text.data) + 1;
	if (len <= QUOTED_BYTES)
		return len;
	for (len = QUOTED_BYTES; len > 0 && ((unsigned char)text.data[len] & 0xc0) == 0x80;)
		len--;
	return len;
}

const char *
problem_quote(struct config_problems *problems, struct str text)
{
	struct book *book = problems->owned;
	size_t len = shown_bytes(text);

	return arena_printf(&book->arena, "\"%.*s%s\"", (int)len, text.data,
	    len < text.len ? "…" : "");
}
