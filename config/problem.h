#ifndef CONFIG_PROBLEM_H
#define CONFIG_PROBLEM_H

#include "common/str.h"
#include "config/config.h"

/*
 * The mistakes found in one file, kept in file order.  At most 1,000 are listed; the rest are
 * counted as mistakes all the same.  Control bytes in a sentence become `?`, so that no value can
 * forge a line of output.
 */
struct place {
	int line, column; /* 0:0 is the file as a whole */
};

/* Make *problems empty.  `file` is borrowed until config_problems_deinit. */
void problem_open(struct config_problems *problems, const char *file);
void problem_add(struct config_problems *problems, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void problem_warn(struct config_problems *problems, struct place at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Mistakes so far, warnings not counted. */
size_t problem_mistakes(const struct config_problems *problems);

/* The text in quotes, cut to a length that fits a sentence, and at the :// of a URL, behind which a
 * password may stand; lives as long as the problems. */
const char *problem_quote(struct config_problems *problems, struct str text);

#endif
