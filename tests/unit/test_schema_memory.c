#include "tests/support/event_rig.h"

#include <string.h>

/* Schema blocks that come again are known, and what is decoded is the same as without. */
#define HEAD(schema) "{\"schema\":" schema ",\"payload\":"
#define TYPES                                                                                      \
	"{\"type\":\"struct\",\"fields\":[{\"type\":\"bytes\",\"optional\":true,\"name\":"         \
	"\"org.apache.kafka.connect.data.Decimal\",\"version\":1,\"parameters\":{\"scale\":\"2\"}" \
	","                                                                                        \
	"\"field\":\"price\"}]}"

static struct schema_memory memory;

static int
forget_all(void **state)
{
	(void)state;
	schema_memory_deinit(&memory);
	memset(&memory, 0, sizeof(memory));
	return 0;
}

static bool
split(const char *text, yyjson_val **schema, const char *payload)
{
	struct str given;

	if (!schema_memory_split(&memory, str_of(text), schema, &given))
		return false;
	assert_int_equal(given.len, strlen(payload));
	assert_memory_equal(given.data, payload, given.len);
	return true;
}

static void
a_schema_that_comes_again_is_the_one_that_was_parsed(void **state)
{
	yyjson_val *first, *again, *other;

	(void)state;
	assert_true(split(HEAD("{\"a\":1}") "{\"x\":1}}", &first, "{\"x\":1}"));
	assert_true(split(HEAD("{\"b\":1}") "2}", &other, "2"));
	assert_true(split(HEAD("{\"a\":1}") "null}", &again, "null"));
	assert_ptr_equal(first, again);
	assert_ptr_not_equal(first, other);
	assert_non_null(yyjson_obj_get(again, "a"));
}

static void
what_is_written_otherwise_is_left_whole(void **state)
{
	static const char *const texts[] = { "", "{}", "{\"schema\":", "{\"schema\":}",
		HEAD("null") "{}}", "{ \"schema\":{},\"payload\":{}}",
		"{\"schema\":{}, \"payload\":{}}", "{\"payload\":{},\"schema\":{}}",
		HEAD("{}") "{}} ", HEAD("[1]") "{}}", HEAD("{\"a\":") "{}}",
		"{\"schema\":{},\"other\":1,\"payload\":{}}", "{\"schema\":{}}" };
	yyjson_val *schema;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(split(texts[i], &schema, ""));
}

static void
a_schema_that_is_too_long_is_not_kept(void **state)
{
	static char text[SCHEMA_BYTES_MAX + 100];
	int begin = snprintf(text, sizeof(text), "{\"schema\":{\"a\":\"");
	yyjson_val *schema;

	(void)state;
	memset(text + begin, 'x', SCHEMA_BYTES_MAX);
	strcpy(text + begin + SCHEMA_BYTES_MAX, "\"},\"payload\":1}");
	assert_false(split(text, &schema, "1"));
	/* one that just fits */
	strcpy(text + begin + SCHEMA_BYTES_MAX - 8, "\"},\"payload\":1}");
	assert_true(split(text, &schema, "1"));
}

static void
the_oldest_is_forgotten(void **state)
{
	yyjson_val *schemas[SCHEMAS_KEPT], *again;
	char text[64];

	(void)state;
	for (int i = 0; i < SCHEMAS_KEPT; i++) {
		snprintf(text, sizeof(text), HEAD("{\"a\":%d}") "0}", i);
		assert_true(split(text, &schemas[i], "0"));
	}
	assert_true(split(HEAD("{\"a\":0}") "1}", &again, "1"));
	assert_ptr_equal(again, schemas[0]);
	assert_true(split(HEAD("{\"more\":0}") "1}", &again, "1"));
	assert_true(split(HEAD("{\"a\":1}") "1}", &again, "1"));
	assert_ptr_equal(again, schemas[1]);
}

static void
values_have_the_types_of_a_schema_that_is_known(void **state)
{
	static const struct {
		const char *value, *price;
	} cases[] = { { HEAD(TYPES) "{\"price\":\"AME=\"}}", "1.93" },
		{ HEAD(TYPES) "{\"price\":\"//8=\"}}", "-0.01" } };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct image *after;

		assert_int_equal(event_rig_take("debezium", cases[i].value, NULL), 0);
		after = &event_rig_event()->after;
		assert_int_equal(after->origin, ORIGIN_TYPED);
		assert_int_equal(after->count, 1);
		assert_true(str_equal(after->fields[0].value.text, str_of(cases[i].price)));
	}
	assert_int_equal(event_rig_take("debezium", HEAD(TYPES) "null}", NULL), 0);
	assert_int_equal(event_rig_event()->kind, EVENT_TOMBSTONE);
}

/* Behind a schema that is known, too, the sentence is about the whole. */
static void
what_is_no_json_is_refused_alike(void **state)
{
	static const char *const texts[] = { HEAD(TYPES) "}", HEAD(TYPES) "{\"price\":}}",
		HEAD(TYPES) "{\"price\":null}", HEAD(TYPES) "1,2}" };
	char sentence[256];

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(event_rig_take("debezium", texts[i], NULL), -1);
		snprintf(sentence, sizeof(sentence), "%s", event_rig.entry.refusal.text);
		assert_int_equal(event_rig_take("debezium", HEAD(TYPES) "{\"price\":null}}", NULL),
		    0);
		assert_int_equal(event_rig_take("debezium", texts[i], NULL), -1);
		assert_string_equal(event_rig.entry.refusal.text, sentence);
	}
	/* a third member: no wrapper, and a row by its looks */
	assert_int_equal(event_rig_take("debezium", HEAD(TYPES) "{\"price\":null},\"more\":1}",
			     NULL),
	    0);
	assert_int_equal(event_rig_event()->after.count, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_schema_that_comes_again_is_the_one_that_was_parsed,
		    forget_all),
		cmocka_unit_test_teardown(what_is_written_otherwise_is_left_whole, forget_all),
		cmocka_unit_test_teardown(a_schema_that_is_too_long_is_not_kept, forget_all),
		cmocka_unit_test_teardown(the_oldest_is_forgotten, forget_all),
		cmocka_unit_test_setup_teardown(values_have_the_types_of_a_schema_that_is_known,
		    event_rig_open, event_rig_close),
		cmocka_unit_test_setup_teardown(what_is_no_json_is_refused_alike, event_rig_open,
		    event_rig_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
