#include "common/log.h"
#include "worker/operate/check_kafka.h"
#include "worker/operate/command.h"
#include "worker/store/own_tables.h"
#include "worker/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool
command_put(const struct buf *out)
{
	size_t written = out->len == 0 ? 0 : fwrite(out->data, 1, out->len, stdout);

	if (written == out->len && fflush(stdout) == 0)
		return true;
	fprintf(stderr, "sluice: cannot write: %s\n", strerror(errno));
	return false;
}

bool
command_load(struct config *config, const char *file, bool quiet)
{
	struct config_problems problems;
	int status = config_load(config, file, &problems);

	for (size_t i = 0; i < problems.count; i++)
		if (!quiet || !problems.list[i].warning)
			fprintf(stderr, "%s\n", problems.list[i].text);
	config_problems_deinit(&problems);
	if (status == 0)
		return true;
	config_deinit(config);
	return false;
}

/* Warnings in the form of the log they stand in; mistakes, which end it, as `check` prints them. */
static void
show_problems(const struct config_problems *problems, bool good)
{
	for (size_t i = 0; i < problems->count; i++)
		if (good)
			log_event(LOG_WARN, "config_warning", "error", "%s", problems->list[i].text,
			    NULL);
		else
			fprintf(stderr, "%s\n", problems->list[i].text);
}

int
command_run(const struct command_line *line)
{
	struct config_problems problems;
	struct config config;
	bool good = config_load(&config, line->words[0], &problems) == 0;
	int code = EXIT_CODE_CONFIG;

	if (good) {
		log_init((enum log_level)config.log_level, (enum log_format)config.log_format);
		log_never_wait();
	}
	show_problems(&problems, good);
	config_problems_deinit(&problems);
	if (good && check_kafka_settings(&config))
		code = supervisor_run(&config);
	config_deinit(&config);
	return code;
}

int
command_config(const struct command_line *line)
{
	bool example = line->options[0] != NULL, readme_table = line->options[1] != NULL;
	struct buf out = { 0 };
	struct config config;

	if (example + readme_table + (int)line->word_count != 1) {
		fputs("sluice: `config` wants a FILE, or --example, or --readme-table\n", stderr);
		return EXIT_CODE_USAGE;
	}
	if (example) {
		config_print_example(&out);
	} else if (readme_table) {
		config_print_readme_table(&out);
	} else {
		if (!command_load(&config, line->words[0], true))
			return EXIT_CODE_CONFIG;
		config_print(&config, &out);
		config_deinit(&config);
	}
	bool put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}

int
command_schema(const struct command_line *line)
{
	struct buf out = { 0 };

	(void)line;
	own_tables_print(&out);
	bool put = command_put(&out);
	buf_deinit(&out);
	return put ? EXIT_CODE_OK : EXIT_CODE_RUNTIME;
}
