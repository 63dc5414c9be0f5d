#include "common/buf.h"
#include "config/config.h"
#include "config/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOOD                                    \
	"redis: {}\n"                           \
	"mysql: { user: a, database: b }\n"     \
	"sources: [{ streams: s, table: t }]\n" \
	"tables: { t: {} }\n"

static void
load(struct config *config, const char *text)
{
	struct config_problems problems;

	config_parse(config, "f", str_of(text), &problems);
	for (size_t i = 0; i < problems.count; i++)
		print_error("%s\n", problems.list[i].text);
	assert_int_equal(problems.count, 0);
	config_problems_deinit(&problems);
}

static void
load_file(struct config *config, const char *file)
{
	struct config_problems problems;
	int result = config_load(config, file, &problems);

	for (size_t i = 0; i < problems.count; i++)
		print_error("%s\n", problems.list[i].text);
	assert_int_equal(result, 0);
	assert_int_equal(problems.count, 0);
	config_problems_deinit(&problems);
}

static void
the_minimal_file_means_what_it_says(void **state)
{
	struct config config;
	struct buf password;

	(void)state;
	setenv("DB_PASSWORD", "p@ss/w:rd?#", 1);
	load_file(&config, "config/sluice.minimal.yaml");
	assert_string_equal(config.redis.host, "127.0.0.1");
	assert_int_equal(config.redis.port, 6379);
	assert_true(config.cache_is_redis);
	assert_string_equal(config.mysql.host, "127.0.0.1");
	assert_int_equal(config.mysql.port, 3306);
	assert_string_equal(config.mysql.user, "app");
	assert_string_equal(config.mysql.database, "shop");
	buf_init(&password);
	assert_string_equal(config_secret(&config.mysql.password, &password), "p@ss/w:rd?#");
	buf_deinit(&password);
	assert_string_equal(config.http_host, "127.0.0.1");
	assert_int_equal(config.http_port, 9180);
	assert_int_equal(config.source_count, 2);
	assert_int_equal(config_lane_count(&config), 9);
	assert_string_equal(config.sources[0].written, "wb:users:{0..7}");
	assert_string_equal(config.sources[0].streams[7], "wb:users:7");
	assert_true(config.sources[0].ranged);
	assert_string_equal(config.sources[0].tables[0], "users");
	assert_int_equal(config.sources[0].operations, OPERATION_ALL);
	assert_false(config.sources[1].ranged);
	assert_null(config.sources[1].table);
	assert_int_equal(config.sources[1].table_count, 2);
	assert_int_equal(config.table_count, 3);
	assert_string_equal(config_table(&config, STR("users"))->version_column, "ver");
	assert_int_equal(config_table(&config, STR("users"))->version, VERSION_GIVEN);
	assert_string_equal(config_table(&config, STR("users"))->templates[0].written, "user:{id}");
	assert_int_equal(config_table(&config, STR("orders"))->version, VERSION_NONE);
	assert_null(config_table(&config, STR("nothere")));
	config_deinit(&config);
}

static void
defaults_are_those_of_the_design(void **state)
{
	struct config config;

	(void)state;
	load(&config, GOOD);
	assert_string_equal(config.pool, "default");
	assert_string_equal(config.redis.name, "redis");
	assert_int_equal(config.redis.connect_timeout_ms, 2000);
	assert_int_equal(config.redis.timeout_ms, 5000);
	assert_int_equal(config.mysql.connect_timeout_ms, 5000);
	assert_int_equal(config.mysql.timeout_ms, 30000);
	assert_int_equal(config.workers, 1);
	assert_int_equal(config.memory_bytes, 32 * 1024 * 1024);
	assert_int_equal(config.entry_max_bytes, 16 * 1024 * 1024);
	assert_int_equal(config.batch_max_rows, 2000);
	assert_int_equal(config.batch_max_bytes, 4 * 1024 * 1024);
	assert_int_equal(config.batch_max_delay_ms, 20);
	assert_int_equal(config.lock_wait_ms, 2000);
	assert_int_equal(config.foreign_key_wait_ms, 30000);
	assert_int_equal(config.max_rows_per_second, 0);
	assert_int_equal(config.poison_rate, 200);
	assert_int_equal(config.invalidate_lag_max_bytes, 1024 * 1024 * 1024);
	assert_int_equal(config.shutdown_timeout_ms, 20000);
	assert_false(config.eviction_allowed);
	assert_false(config.show_keys);
	assert_true(config.create_tables);
	assert_false(config.ready_requires_redis);
	assert_string_equal(config.sources[0].start, "beginning");
	assert_int_equal(config.sources[0].on_gap, ON_GAP_CONTINUE);
	assert_true(config.tables[0].fold);
	assert_int_equal(config.tables[0].on_poison, ON_POISON_SKIP);
	config_deinit(&config);
}

static void
a_byte_order_mark_is_passed_over(void **state)
{
	struct config config;

	(void)state;
	load(&config, "\xef\xbb\xbf" GOOD);
	assert_string_equal(config.pool, "default");
	config_deinit(&config);
}

static void
every_option_reaches_its_field(void **state)
{
	struct config config;

	(void)state;
	load(&config,
	    "pool: eu\n"
	    "redis: { host: r, port: 1, user: u, db: 3, name: main, timeout: 1m }\n"
	    "cache: { socket: /run/c.sock }\n"
	    "mysql: { host: m, port: 2, socket: /m.sock, user: a, database: b }\n"
	    "http: { listen: \"[::]:0\" }\n"
	    "sources:\n"
	    "  - streams: [\"a:{{h}}:{0..1}:{7..8}\", b]\n"
	    "    table: t\n"
	    "    tables: [u]\n"
	    "    format: json\n"
	    "    field: payload\n"
	    "    operations: [upsert, invalidate]\n"
	    "    start: 17-3\n"
	    "    on_gap: halt\n"
	    "tables:\n"
	    "  t: { version: { column: v, kind: clock }, columns: { f: c }, ignore: [i],\n"
	    "       set: { s: \"1\" }, fold: off, on_poison: halt,\n"
	    "       invalidate: [{ key: \"k:{id}\", mode: none }, \"l:{id}\"] }\n"
	    "  u:\n"
	    "memory: 64MiB\n"
	    "entry_max: 512KiB\n"
	    "batch: { max_rows: 5, max_bytes: 10MB, max_delay: 0 }\n"
	    "ready_requires: [mysql, cache]\n"
	    "eviction: allow\n"
	    "log: { level: debug, format: json }\n");
	assert_string_equal(config.cache.socket, "/run/c.sock");
	assert_false(config.cache_is_redis);
	assert_int_equal(config.redis.timeout_ms, 60000);
	assert_string_equal(config.http_host, "::");
	assert_int_equal(config.http_port, 0);
	assert_string_equal(config.sources[0].written, "a:{{h}}:{0..1}:{7..8}, b");
	assert_int_equal(config.sources[0].stream_count, 5);
	assert_string_equal(config.sources[0].streams[1], "a:{h}:0:8");
	assert_string_equal(config.sources[0].streams[2], "a:{h}:1:7");
	assert_string_equal(config.sources[0].streams[4], "b");
	assert_int_equal(config.sources[0].table_count, 2);
	assert_string_equal(config.sources[0].tables[0], "t");
	assert_int_equal(config.sources[0].operations, OPERATION_UPSERT | OPERATION_INVALIDATE);
	assert_int_equal(config.sources[0].line, 7);
	assert_int_equal(config.sources[0].column, 5);
	assert_int_equal(config.tables[0].version, VERSION_CLOCK);
	assert_false(config.tables[0].fold);
	assert_string_equal(config.tables[0].columns[0].value, "c");
	assert_string_equal(config.tables[0].set[0].name, "s");
	assert_int_equal(config.tables[0].templates[0].mode, MODE_NONE);
	assert_int_equal(config.tables[0].templates[1].mode, MODE_DELETE);
	assert_int_equal(config.tables[0].templates[1].line, 18);
	assert_int_equal(config.tables[0].templates[1].column, 52);
	assert_int_equal(config.batch_max_bytes, 10000000);
	assert_int_equal(config.batch_max_delay_ms, 0);
	assert_true(config.ready_requires_mysql);
	assert_false(config.ready_requires_redis);
	assert_true(config.eviction_allowed);
	config_deinit(&config);
}

static void
http_listen_has_its_forms(void **state)
{
	struct config config;

	(void)state;
	load(&config, GOOD "http: { listen: off }\n");
	assert_null(config.http_host);
	config_deinit(&config);
	load(&config, GOOD "http: { listen: \":9180\" }\n");
	assert_string_equal(config.http_host, "0.0.0.0");
	config_deinit(&config);
	load(&config, GOOD "http: { listen: \"localhost:80\" }\n");
	assert_string_equal(config.http_host, "127.0.0.1");
	assert_int_equal(config.http_port, 80);
	config_deinit(&config);
}

static void
a_small_memory_lowers_the_defaults_of_its_parts(void **state)
{
	struct config config;

	(void)state;
	load(&config, GOOD "memory: 8MiB\n");
	assert_int_equal(config.entry_max_bytes, 4 * 1024 * 1024);
	assert_int_equal(config.batch_max_bytes, 2 * 1024 * 1024);
	config_deinit(&config);
}

static void
print_text(const char *text, struct buf *out)
{
	struct config config;

	load(&config, text);
	config_print(&config, out);
	config_deinit(&config);
}

static void
what_is_printed_reads_back_the_same(void **state)
{
	struct buf once, twice;

	(void)state;
	setenv("SLUICE_TEST_ODD", "a\nb: \"c\"\\ ${X} $$ \x7f \xe2\x98\x83", 1);
	buf_init(&once);
	buf_init(&twice);
	print_text("redis: { url: \"redis://u:geheim@[::1]:7/3\" }\n"
		   "mysql: { user: \"${SLUICE_TEST_ODD}\", database: \"$$x\", password: geheim }\n"
		   "sources: [{ streams: \"s{{x}}{0..3}\", table: \"t$${}\" }]\n"
		   "tables: { \"t${}\": { set: { \"$$k\": \"${SLUICE_TEST_ODD}\" }, version: v,\n"
		   "  invalidate: [{ key: \"a:{id}\", mode: versioned, marker: 5s },\n"
		   "    { key: \"b:{id}\", mode: tag, quarantine: 7s },\n"
		   "    { key: b, mode: table, ttl: 2h }, { key: \"c:{id}\", mode: generation }] } "
		   "}\n"
		   "entry_max: 1024\n",
	    &once);
	assert_null(strstr(once.data, "geheim"));
	assert_non_null(strstr(once.data, "mode: versioned, marker: 5s, marker_absent: 2s"));
	assert_non_null(strstr(once.data, "mode: tag, quarantine: 7s"));
	assert_non_null(strstr(once.data, "mode: table, ttl: 2h"));
	print_text(once.data, &twice);
	assert_string_equal(once.data, twice.data);
	buf_deinit(&twice);
	buf_deinit(&once);
}

/* The file's content. */
static void
read_file(const char *name, struct buf *out)
{
	int fd = open(name, O_RDONLY);
	ssize_t n;

	assert_true(fd >= 0);
	while ((n = read(fd, buf_reserve(out, 4096), 4096)) > 0)
		buf_advance(out, (size_t)n);
	assert_int_equal(n, 0);
	close(fd);
}

static void
the_example_file_is_the_table_of_options(void **state)
{
	struct buf printed, file;
	struct config config;

	(void)state;
	buf_init(&printed);
	buf_init(&file);
	config_print_example(&printed);
	read_file("config/sluice.example.yaml", &file);
	assert_string_equal(file.data, printed.data);
	buf_deinit(&file);
	buf_deinit(&printed);
	setenv("DB_PASSWORD", "x", 1);
	load_file(&config, "config/sluice.example.yaml");
	config_deinit(&config);
}

/* Every commented option of the example file must be one that can be uncommented. */
static void
every_default_in_the_example_can_be_uncommented(void **state)
{
	struct buf once, text;

	(void)state;
	setenv("DB_PASSWORD", "x", 1);
	buf_init(&once);
	config_print_example(&once);
	for (char *c = strstr(once.data, "# "); c != NULL; c = strstr(c + 1, "# ")) {
		struct config_problems problems;
		struct config config;
		size_t word = strspn(c + 2, "abcdefghijklmnopqrstuvwxyz_");

		if (word == 0 || strncmp(c + 2 + word, ": ", 2) != 0)
			continue;
		buf_init(&text);
		buf_add(&text, once.data, (size_t)(c - once.data));
		buf_add_str(&text, c + 2);
		config_parse(&config, "f", (struct str){ text.data, text.len }, &problems);
		/* a part beside the url, a file or a table that isn't there: known options all */
		for (size_t i = 0; i < problems.count; i++)
			if (strstr(problems.list[i].text, "the url has") == NULL &&
			    strstr(problems.list[i].text, "${file:") == NULL &&
			    strstr(problems.list[i].text, "is not under tables") == NULL &&
			    strstr(problems.list[i].text, "no template under") == NULL &&
			    strstr(problems.list[i].text, "only for format json") == NULL &&
			    strstr(problems.list[i].text, "are two sources") == NULL &&
			    strstr(problems.list[i].text, "a channel and a stream") == NULL &&
			    strstr(problems.list[i].text, "format fields is for streams") == NULL &&
			    strstr(problems.list[i].text, "only for change events") == NULL &&
			    strstr(problems.list[i].text, "only change events have it") == NULL)
				fail_msg("%s", problems.list[i].text);
		config_problems_deinit(&problems);
		config_deinit(&config);
		buf_deinit(&text);
	}
	buf_deinit(&once);
}

static void
every_option_is_in_the_example_and_the_readme_table(void **state)
{
	struct buf example, table, row, line;

	(void)state;
	buf_init(&example);
	buf_init(&table);
	config_print_example(&example);
	config_print_readme_table(&table);
	for (const struct option *option = options; option->parent != NULL; option++) {
		if (option->type == OPTION_LATER)
			continue;
		buf_init(&row);
		buf_init(&line);
		buf_printf(&line, "%s:", option->name);
		assert_non_null(strstr(example.data, line.data));
		buf_add_str(&row, "| `");
		option_add_path(option, &row);
		buf_add_str(&row, "` |");
		if (option->doc != NULL)
			assert_non_null(strstr(table.data, row.data));
		buf_deinit(&line);
		buf_deinit(&row);
	}
	buf_deinit(&table);
	buf_deinit(&example);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_minimal_file_means_what_it_says),
		cmocka_unit_test(defaults_are_those_of_the_design),
		cmocka_unit_test(a_byte_order_mark_is_passed_over),
		cmocka_unit_test(every_option_reaches_its_field),
		cmocka_unit_test(http_listen_has_its_forms),
		cmocka_unit_test(a_small_memory_lowers_the_defaults_of_its_parts),
		cmocka_unit_test(what_is_printed_reads_back_the_same),
		cmocka_unit_test(the_example_file_is_the_table_of_options),
		cmocka_unit_test(every_default_in_the_example_can_be_uncommented),
		cmocka_unit_test(every_option_is_in_the_example_and_the_readme_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
