#ifndef WORKER_OPERATE_COMMAND_H
#define WORKER_OPERATE_COMMAND_H

#include "common/buf.h"
#include "config/config.h"
#include "worker/operate/exit_code.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * The command line: `sluice COMMAND [word | --option [value]]…`.  One table names every command,
 * the words it takes, its options and its help; parsing, `sluice help` and the usage texts come
 * from it. Options may stand anywhere behind the command; -- ends them.
 */
enum { COMMAND_WORDS_MAX = 40, COMMAND_OPTIONS_MAX = 12 };

struct command_option {
	const char *name;  /* "--connect" */
	const char *value; /* what its value is called in the usage; NULL: it takes none */
	const char *help;
};

/* A command line, understood.  Borrowed from argv. */
struct command_line {
	const char *words[COMMAND_WORDS_MAX];
	size_t word_count;
	/* by place in the command's options: the value, "" for an option without; NULL: not given
	 * */
	const char *options[COMMAND_OPTIONS_MAX];
	bool help; /* --help or -h */
};

struct command {
	const char *name, *usage, *summary, *help;
	size_t words_min, words_max;
	struct command_option options[COMMAND_OPTIONS_MAX];
	int (*run)(const struct command_line *line); /* returns an exit_code */
};

/* Behind main: returns the exit code. */
int command_main(int argc, char **argv);

/* Where standard input, output or error is closed: something unreadable or unwritable takes its
 * number, so that no connection gets it and is written into by a log line. */
void command_hold_standard_files(void);

/* The command of that name, or NULL; the nearest one, or NULL when nothing is near. */
const struct command *command_find(const char *name);
const struct command *command_nearest(const char *name);

/* Understand what stands behind the command's name.  False with a sentence in problem. */
bool command_parse(const struct command *command, int argc, char **argv, struct command_line *line,
    struct buf *problem);

/* Load a configuration and print its mistakes and warnings to stderr.  False: it has mistakes;
 * *config needs no deinit then.  quiet: no warnings. */
bool command_load(struct config *config, const char *file, bool quiet);

struct http_address;
/* Where the sluice of the line's only word is: a FILE, a URL, or missing.  Returns an exit code. */
int command_address(const struct command_line *line, struct http_address *address);

/* Write all of it; false (and a line on stderr) when it can't be written. */
bool command_put(const struct buf *out);

int command_run(const struct command_line *line);
int command_check(const struct command_line *line);
int command_config(const struct command_line *line);
int command_schema(const struct command_line *line);
int command_status(const struct command_line *line);
int command_top(const struct command_line *line);
int command_lane(const struct command_line *line);
int command_dead(const struct command_line *line);
int command_wait(const struct command_line *line);
int command_explain(const struct command_line *line);
int command_explain_key(const struct command_line *line);
/* `explain row` of a table that no source writes. */
int command_explain_event(const struct config *config, const struct command_line *line);
/* What of `explain`'s words is wrong; returns the exit code. */
int command_explain_usage(const char *word, const char *what);
int command_verify(const struct command_line *line);
int command_functions(const struct command_line *line);
int command_version(const struct command_line *line);
int command_help(const struct command_line *line);

#endif
