#ifndef TESTS_SUPPORT_CONFIG_RIG_H
#define TESTS_SUPPORT_CONFIG_RIG_H

#include "config/config.h"

/* For unit tests: all problems of a text are exactly these, each "line:column: sentence" and a newline. */
void expect(const char *text, const char *problems);
void expect_of(struct str text, const char *problems);
/* The same, and the configuration stays: config_deinit. */
void expect_config(const char *text, struct config *config, const char *problems);

#endif
