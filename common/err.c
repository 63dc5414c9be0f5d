#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
err_set(struct err *err, enum err_class class, int code, const char *format, ...)
{
	va_list ap;

	CHECK(class != ERR_NONE);
	if (err == NULL)
		return -1;
	err->class = class;
	err->code = code;
	va_start(ap, format);
	vsnprintf(err->text, sizeof(err->text), format, ap);
	va_end(ap);
	return -1;
}

int
err_prefix(struct err *err, const char *format, ...)
{
	char prefix[128], *end;
	size_t len, room;
	va_list ap;

	if (err == NULL)
		return -1;
	va_start(ap, format);
	vsnprintf(prefix, sizeof(prefix) - 2, format, ap);
	va_end(ap);
	end = prefix + strlen(prefix);
	*end++ = ':';
	*end++ = ' ';
	len = (size_t)(end - prefix);
	room = sizeof(err->text) - len - 1;
	memmove(err->text + len, err->text, room);
	err->text[len + room] = '\0';
	memcpy(err->text, prefix, len);
	return -1;
}

void
err_clear(struct err *err)
{
	if (err != NULL)
		*err = (struct err){ .class = ERR_NONE };
}

const char *
err_class_name(enum err_class which)
{
	switch (which) {
	case ERR_NONE:
		return "none";
	case ERR_RETRY:
		return "retry";
	case ERR_POISON:
		return "poison";
	case ERR_FATAL:
		return "fatal";
	}
	return "unknown";
}

/* Straight to the descriptor: the heap or stdio may be what is broken. */
void
check_failed(const char *file, int line, const char *expression)
{
	dprintf(STDERR_FILENO, "sluice: bug: %s:%d: CHECK(%s) failed\n", file, line, expression);
	abort();
}
