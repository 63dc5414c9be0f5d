#ifndef TESTS_SUPPORT_COMMAND_WORDS_H
#define TESTS_SUPPORT_COMMAND_WORDS_H

#include "common/arena.h"
#include "common/str.h"

#include <stdarg.h>

/* The words of a command as redis_queuef takes it, for what stands in for common/redis.c.  Returns how many
 * there are, at most max; they live in *a. */
int command_words(struct arena *a, struct str *words, int max, const char *format, va_list ap);

#endif
