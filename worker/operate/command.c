#include "worker/operate/command.h"

#include "common/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct command commands[] = {
	{ .name = "run",
	    .usage = "run FILE",
	    .summary = "carry the streams and topics into MySQL",
	    .help = "Runs until SIGTERM or SIGINT, then finishes what it has read.  A second "
		    "signal ends\n"
		    "it at once.  Servers that are away are waited for.\n"
		    "Exit code: 0 finished, 75 stopped with work left in the sources (nothing is "
		    "lost),\n"
		    "78 mistakes in FILE, 1 could not start.\n",
	    .words_min = 1,
	    .words_max = 1,
	    .run = command_run },
	{ .name = "check",
	    .usage = "check FILE [--connect]",
	    .summary = "find the mistakes of a configuration",
	    .help = "Prints every mistake as FILE:line:column: what was found and what was meant.\n"
		    "Exit code: 0 none, 78 mistakes, 69 a server can't be reached.\n",
	    .words_min = 1,
	    .words_max = 1,
	    .options = { { "--connect", NULL,
		"also ask the servers: tables, columns, rights, eviction, lanes that nobody "
		"reads" } },
	    .run = command_check },
	{ .name = "config",
	    .usage = "config FILE | --example | --readme-table",
	    .summary = "print the effective configuration, secrets as ***",
	    .help = "With every default filled in, in a form that can be read back.\n",
	    .words_max = 1,
	    .options = { { "--example", NULL, "every option with its default and what it does" },
		{ "--readme-table", NULL, "the same as a table for the README" } },
	    .run = command_config },
	{ .name = "schema",
	    .usage = "schema",
	    .summary = "print the SQL of sluice's own tables",
	    .help =
		"They are created at start where the account may; otherwise feed this to mysql.\n",
	    .run = command_schema },
	{ .name = "status",
	    .usage = "status [FILE | URL] [--probe live|ready]",
	    .summary = "show what a running sluice does",
	    .help =
		"Asks the address under http.listen of FILE, or a URL like http://127.0.0.1:9180\n"
		"(which is the default).\n"
		"Exit code: 0; with --probe 0 yes, 1 no; 69 nobody answers.\n",
	    .words_max = 1,
	    .options = { { "--probe", "live|ready",
		"print nothing but the reasons, exit by the answer" } },
	    .run = command_status },
	{ .name = "top",
	    .usage = "top [FILE | URL] [--once] [--every SECONDS]",
	    .summary = "watch a running sluice: popular keys, lanes, rates",
	    .help = "Shows the most read keys (by hash unless show_keys) with their rate, the TTL "
		    "left and\n"
		    "what their last load took, and the lanes with their lag; again and again, "
		    "until\n"
		    "Ctrl-C.  Where the output is no terminal it is printed once.\n"
		    "Exit code: 0; 69 nobody answers.\n",
	    .words_max = 1,
	    .options = { { "--once", NULL, "print it once, for scripts" },
		{ "--every", "SECONDS", "how often, 1 to 60; without it 2" } },
	    .run = command_top },
	{ .name = "lane",
	    .usage = "lane list FILE\n"
		     "       sluice lane resume FILE NAME [--start ID]\n"
		     "       sluice lane skip FILE NAME ID\n"
		     "       sluice lane ack FILE NAME",
	    .summary = "list lanes, let a halted one go on, acknowledge an alarm",
	    .help =
		"list    how far every lane is written and invalidated, and why one stands still\n"
		"resume  go on where the ledger stands, or behind --start ID (which the operator\n"
		"        then answers for: entries up to ID are not applied)\n"
		"skip    go on behind entry ID, which can't be held or applied: it is not\n"
		"ack     the alarm is known\n"
		"NAME is a lane (pool/source/stream, pool/source/topic/partition), or the stream\n"
		"or topic/partition alone.  The order is left in the ledger (of a lane that only\n"
		"invalidates: in Redis), where the lane's owner finds it within a second.\n"
		"Exit code: 0 obeyed, 1 left but not taken within 5 s, 69 a server can't be "
		"reached.\n",
	    .words_min = 2,
	    .words_max = 4,
	    .options = { { "--start", "ID",
		"resume: a stream id such as 1735689600000-0, or an offset" } },
	    .run = command_lane },
	{ .name = "dead",
	    .usage = "dead list FILE [filters] [--json]\n"
		     "       sluice dead show FILE ID [--json]\n"
		     "       sluice dead replay FILE filters [--dry-run] [--force]\n"
		     "       sluice dead drop FILE filters [--dry-run]",
	    .summary = "list and show dead letters, apply them after a repair, drop them",
	    .help =
		"list    open letters (--state closed: those that were applied), oldest first\n"
		"show    one letter with the values of its entry\n"
		"replay  mark letters to be applied; their lane's owner does so within a second,\n"
		"        before the next change of their keys.  Refused again, a letter is as\n"
		"        before, with the new reason and one more try\n"
		"drop    delete letters; parked ones are marked, and their lane's owner drops "
		"them\n"
		"        and goes on with what waits behind them\n"
		"replay and drop first say how many letters match, by table, reason and state,\n"
		"and ask nothing: --dry-run is for looking.  They want a filter, or --all.\n"
		"Without --force a letter that nothing waited for is not applied to a table\n"
		"without given versions once something came behind it on its lane.\n"
		"Letters of sources with write: false are in a stream or topic and have ids such\n"
		"as s1735689600000-0 or t0-41.  Replaying one invalidates its keys at once and\n"
		"takes it out; nothing else is done, and no owner is waited for.\n"
		"Exit code: 0 done, 1 no letter matches, 69 a server can't be reached.\n",
	    .words_min = 2,
	    .words_max = 3,
	    .options = { { "--lane", "NAME", "of this lane (as `lane` names it)" },
		{ "--table", "NAME", "whose entry names this table first" },
		{ "--reason", "WORD", "with this reason" },
		{ "--state", "WORD",
		    "dead, parked, replay, replay_force, drop, applied, closed or all; without it "
		    "all but closed" },
		{ "--id", "A[-B]", "with this id, or one from A to B; or s1735689600000-0, t0-41" },
		{ "--older", "DURATION", "written longer ago than this" },
		{ "--newer", "DURATION", "written since then" },
		{ "--limit", "N", "at most so many, the oldest" },
		{ "--all", NULL, "replay, drop: whichever" },
		{ "--dry-run", NULL, "replay, drop: only say how many match" },
		{ "--force", NULL, "replay: whatever came behind it" },
		{ "--json", NULL, "list, show: one JSON object a line" } },
	    .run = command_dead },
	{ .name = "functions",
	    .usage = "functions load FILE | show",
	    .summary = "the cache functions that applications call",
	    .help =
		"load  put the library into the cache of FILE, unless it has this one or a newer\n"
		"      one; `run` does so too before its first invalidation\n"
		"show  print its source, whose head is the manual\n"
		"Exit code: 0; 69 the cache can't be reached; 1 it refuses the library.\n",
	    .words_min = 1,
	    .words_max = 2,
	    .run = command_functions },
	{ .name = "wait",
	    .usage =
		"wait FILE TABLE COLUMN=VALUE... --version N [--timeout DURATION]\n"
		"       sluice wait FILE TABLE --entry ID [--stream NAME] [--timeout DURATION]",
	    .summary = "wait until a write is readable in MySQL",
	    .help =
		"--version  until the row with this primary key has version N or a higher one\n"
		"--entry    until the lane is written past the entry that XADD named (of a topic: "
		"the\n"
		"           offset) and the entry is no dead letter\n"
		"Exit code: 0 readable; 3 not within the time; 4 it is a dead letter; 5 it can't "
		"be\n"
		"known, and why is said; 69 MySQL can't be reached.\n",
	    .words_min = 2,
	    .words_max = 18,
	    .options = { { "--version", "N", "the row's version, or a higher one" },
		{ "--entry", "ID", "a stream id such as 1735689600000-0, or an offset" },
		{ "--stream", "NAME",
		    "whose entry: the stream, topic/partition or the lane's name; wanted where "
		    "several bring changes of the table" },
		{ "--timeout", "DURATION", "how long at most; without it 10s" } },
	    .run = command_wait },
	{ .name = "explain",
	    .usage =
		"explain row FILE TABLE COLUMN=VALUE... [--before COLUMN=VALUE,...] [--delete]\n"
		"       sluice explain key FILE KEY",
	    .summary = "the cache keys of a row; what stands behind a cache key",
	    .help =
		"row  reads the row with this primary key, lays what is given over it, and prints "
		"the\n"
		"     keys of before and after that the change makes stale, each with its mode\n"
		"key  says which table and template the key is of, what the cache holds (never "
		"the\n"
		"     value), the row's version in MySQL, dead letters that name the row, its "
		"lanes, "
		"and\n"
		"     entries in them that are not done with\n"
		"Changes nothing.\n"
		"Exit code: 0; 69 a server can't be reached.\n",
	    .words_min = 3,
	    .words_max = COMMAND_WORDS_MAX,
	    .options = { { "--before", "COLUMN=VALUE,...",
			     "the row before had these, whatever MySQL holds" },
		{ "--delete", NULL, "the row is deleted" } },
	    .run = command_explain },
	{ .name = "verify",
	    .usage = "verify [FILE | URL] [--table NAME] [--for DURATION]\n"
		     "       sluice verify FILE --once [--table NAME] [--sample 1/n] [--rate N] "
		     "[--for DURATION]",
	    .summary = "how often the cache held what its row does",
	    .help =
		"Without --once it asks a running sluice that has `verify: { sample: 1/n }` what "
		"it\n"
		"found when it looked at invalidated keys again, 1 s, 1 min and 5 min after.\n"
		"With --once it walks over the keys that are in the cache now and compares them "
		"with\n"
		"their rows.  Changes nothing.\n"
		"Exit code: 0 nothing wrong; 1 wrong keys; 5 nothing was compared; 69 nobody "
		"answers.\n",
	    .words_max = 1,
	    .options = { { "--once", NULL, "walk over the cache" },
		{ "--table", "NAME", "this table alone" },
		{ "--sample", "1/n", "with --once: one key in so many; without it all" },
		{ "--rate", "N", "with --once: keys looked at in a second; without it 1000" },
		{ "--for", "DURATION",
		    "what is found from now on, for so long; with --once: how long at most" } },
	    .run = command_verify },
	{ .name = "version",
	    .usage = "version",
	    .summary = "print the version",
	    .help = "",
	    .run = command_version },
	{ .name = "help",
	    .usage = "help [COMMAND]",
	    .summary = "this, or about one command",
	    .help = "",
	    .words_max = 1,
	    .run = command_help },
};
enum { COMMANDS = sizeof(commands) / sizeof(*commands) };

const struct command *
command_find(const char *name)
{
	for (size_t i = 0; i < COMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

const struct command *
command_nearest(const char *name)
{
	const struct command *nearest = NULL;
	unsigned best = 3; /* further away it is a guess, not a typing mistake */

	for (size_t i = 0; i < COMMANDS; i++) {
		unsigned distance = str_distance(str_of(name), str_of(commands[i].name));
		if (distance < best && distance < strlen(name)) {
			best = distance;
			nearest = &commands[i];
		}
	}
	return nearest;
}

/* ---- parsing ---- */

static size_t
option_find(const struct command *command, struct str name)
{
	size_t i = 0;

	while (i < COMMAND_OPTIONS_MAX && command->options[i].name != NULL &&
	    !str_equal(str_of(command->options[i].name), name))
		i++;
	return i;
}

static bool
option_unknown(const struct command *command, struct str name, struct buf *problem)
{
	const char *nearest = NULL;
	unsigned best = 4;

	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && command->options[i].name != NULL; i++) {
		unsigned distance = str_distance(name, str_of(command->options[i].name));
		if (distance < best) {
			best = distance;
			nearest = command->options[i].name;
		}
	}
	buf_printf(problem, "`%s` has no option %.*s", command->name, STR_ARGS(name));
	if (nearest != NULL)
		buf_printf(problem, "; did you mean %s?", nearest);
	return false;
}

/* argv[*at] is an option: --name, --name=value or --name value. */
static bool
parse_option(const struct command *command, int argc, char **argv, int *at,
    struct command_line *line, struct buf *problem)
{
	const char *argument = argv[*at], *equals = strchr(argument, '=');
	struct str name = { argument,
		equals != NULL ? (size_t)(equals - argument) : strlen(argument) };
	size_t i = option_find(command, name);

	if (i == COMMAND_OPTIONS_MAX || command->options[i].name == NULL)
		return option_unknown(command, name, problem);
	if (line->options[i] != NULL) {
		buf_printf(problem, "%s is given twice", command->options[i].name);
		return false;
	}
	if (command->options[i].value == NULL) {
		if (equals != NULL)
			buf_printf(problem, "%s takes no value", command->options[i].name);
		line->options[i] = "";
		return equals == NULL;
	}
	if (equals != NULL)
		line->options[i] = equals + 1;
	else if (*at + 1 < argc)
		line->options[i] = argv[++*at];
	else
		buf_printf(problem, "%s wants a value: %s", command->options[i].name,
		    command->options[i].value);
	return line->options[i] != NULL;
}

bool
command_parse(const struct command *command, int argc, char **argv, struct command_line *line,
    struct buf *problem)
{
	bool options = true;

	*line = (struct command_line){ 0 };
	for (int i = 0; i < argc; i++) {
		if (options && strcmp(argv[i], "--") == 0) {
			options = false;
		} else if (options &&
		    (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)) {
			line->help = true;
		} else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
			if (!parse_option(command, argc, argv, &i, line, problem))
				return false;
		} else if (line->word_count == command->words_max) {
			buf_printf(problem, "`%s` doesn't take %s", command->name, argv[i]);
			return false;
		} else {
			line->words[line->word_count++] = argv[i];
		}
	}
	if (!line->help && line->word_count < command->words_min) {
		buf_printf(problem, "`%s` wants %s", command->name,
		    line->word_count == 0 && command->words_min == 1 ? "a FILE" : "more words");
		return false;
	}
	return true;
}

/* ---- help ---- */

static void
print_overview(FILE *to)
{
	fputs("sluice carries writes from Redis Streams and Kafka into MySQL, each exactly once, "
	      "deletes\n"
	      "the cache keys they made stale, and loads popular keys again before they "
	      "expire.\n\n",
	    to);
	for (size_t i = 0; i < COMMANDS; i++)
		fprintf(to, "  sluice %-9s %s\n", commands[i].name, commands[i].summary);
	fputs("\n`sluice help COMMAND` says more.  A first configuration: sluice config "
	      "--example\n",
	    to);
}

static void
print_usage(const struct command *command, FILE *to)
{
	fprintf(to, "usage: sluice %s\n", command->usage);
	for (size_t i = 0; i < COMMAND_OPTIONS_MAX && command->options[i].name != NULL; i++) {
		const struct command_option *option = &command->options[i];
		fprintf(to, "  %s%s%s  %s\n", option->name, option->value != NULL ? " " : "",
		    option->value != NULL ? option->value : "", option->help);
	}
}

static void
print_help(const struct command *command, FILE *to)
{
	print_usage(command, to);
	if (command->help[0] != '\0')
		fprintf(to, "\n%s", command->help);
}

static int
unknown(const char *name)
{
	const struct command *nearest = command_nearest(name);

	if (nearest != NULL)
		fprintf(stderr, "sluice: there is no command `%s`; did you mean `%s`?\n", name,
		    nearest->name);
	else
		fprintf(stderr, "sluice: there is no command `%s`; `sluice help` lists them\n",
		    name);
	return EXIT_CODE_USAGE;
}

int
command_help(const struct command_line *line)
{
	if (line->word_count == 0) {
		print_overview(stdout);
		return EXIT_CODE_OK;
	}
	const struct command *command = command_find(line->words[0]);
	if (command == NULL)
		return unknown(line->words[0]);
	print_help(command, stdout);
	return EXIT_CODE_OK;
}

int
command_version(const struct command_line *line)
{
	(void)line;
	puts("sluice " SLUICE_VERSION);
	return EXIT_CODE_OK;
}

void
command_hold_standard_files(void)
{
	/* the lowest free number is the one that is missing */
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

/* What was printed must have arrived: a full disk is no success. */
static int
after_printing(int code)
{
	if (fflush(stdout) == 0 && ferror(stdout) == 0)
		return code;
	if (code != EXIT_CODE_OK)
		return code;
	fprintf(stderr, "sluice: cannot write: %s\n", strerror(errno));
	return EXIT_CODE_RUNTIME;
}

static int
run_line(int argc, char **argv)
{
	struct command_line line;
	struct buf problem = { 0 };

	if (argc < 2) {
		print_overview(stderr);
		return EXIT_CODE_USAGE;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		name = "help";
	else if (strcmp(name, "--version") == 0)
		name = "version";
	const struct command *command = command_find(name);
	if (command == NULL)
		return unknown(name);
	if (!command_parse(command, argc - 2, argv + 2, &line, &problem)) {
		fprintf(stderr, "sluice: %s\n", problem.data);
		print_usage(command, stderr);
		buf_deinit(&problem);
		return EXIT_CODE_USAGE;
	}
	if (!line.help)
		return command->run(&line);
	print_help(command, stdout);
	return EXIT_CODE_OK;
}

int
command_main(int argc, char **argv)
{
	command_hold_standard_files();
	return after_printing(run_line(argc, argv));
}
