#include "common/clock.h"
#include "common/mysql.h"
#include "worker/operate/check.h"
#include "worker/operate/check_kafka.h"
#include "worker/operate/command.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { CLOCK_OFF_MS_MAX = 2000 };

static void print_finding(const struct check *c, int line, int column, const char *kind,
    const char *format, va_list ap) __attribute__((format(printf, 5, 0)));

static void
print_finding(const struct check *c, int line, int column, const char *kind, const char *format,
    va_list ap)
{
	struct buf text = { 0 };

	if (line > 0)
		buf_printf(&text, "%s:%d:%d: %s", c->config->file, line, column, kind);
	else
		buf_printf(&text, "%s: %s", c->config->file, kind);
	buf_vprintf(&text, format, ap);
	/* a name with a newline in it is still one finding */
	for (size_t i = 0; i < text.len; i++)
		if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7f)
			text.data[i] = '?';
	fprintf(stderr, "%s\n", text.data);
	buf_deinit(&text);
}

void
check_problem(struct check *c, int line, int column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_finding(c, line, column, "", format, ap);
	va_end(ap);
	c->problems++;
}

void
check_hint(struct check *c, int line, int column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	print_finding(c, line, column, "warning: ", format, ap);
	va_end(ap);
}

void
check_unreachable(struct check *c, const char *server, const char *place, const char *why)
{
	fprintf(stderr, "%s: cannot use %s at %s: %s\n", c->config->file, server, place, why);
	c->unreachable = true;
}

void
check_clock(struct check *c, const char *server, int64_t server_wall_ms)
{
	int64_t off_ms = server_wall_ms - clock_wall_ms();

	if (off_ms > CLOCK_OFF_MS_MAX || off_ms < -CLOCK_OFF_MS_MAX)
		check_hint(c, 0, 0,
		    "the clock of %s is %lld ms %s ours; lags and ages will look wrong", server,
		    (long long)(off_ms < 0 ? -off_ms : off_ms), off_ms < 0 ? "behind" : "ahead of");
}

static void
check_servers(struct check *c)
{
	sql_library_init();
	sql_thread_start();
	if (c->config->has_mysql)
		check_mysql(c);
	check_redis(c);
	check_cache(c);
	check_kafka(c);
	sql_thread_stop();
	free(c->ledger);
}

static int
code_of(const struct check *c)
{
	if (c->unreachable)
		return EXIT_CODE_UNREACHABLE;
	return c->problems > 0 ? EXIT_CODE_CONFIG : EXIT_CODE_OK;
}

int
command_check(const struct command_line *line)
{
	struct config config;
	struct check c = { .config = &config };
	int code;

	if (!command_load(&config, line->words[0], false))
		return EXIT_CODE_CONFIG;
	check_keys(&c);
	if (!check_kafka_settings(&config))
		c.problems++;
	else if (line->options[0] != NULL)
		check_servers(&c);
	code = code_of(&c);
	if (code == EXIT_CODE_OK)
		printf("%s: ok: %zu lanes, %zu tables, %d worker%s%s\n", line->words[0],
		    config_lane_count(&config), config.table_count, config.workers,
		    config.workers == 1 ? "" : "s",
		    line->options[0] != NULL ? ", servers asked" : "");
	config_deinit(&config);
	return code;
}
