#include "tests/support/cache_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* What change events know of a row before and after, in each way to invalidate. */
/* The row before had team a, the one after has team b; `unchanged` is of both. */
static void
add_images(struct touched *row, struct touched_image images[2], const struct str values[4],
    uint64_t unchanged)
{
	images[0] = (struct touched_image){ values, unchanged, &images[1] };
	images[1] = (struct touched_image){ values + 2, unchanged, row->images };
	row->images = images;
}

/* What the server saw of a row of two images, each template in this mode. */
static void
assert_of_images(enum config_mode mode, uint64_t unchanged, bool stands, const char *expected)
{
	static const char *const written[] = { "user:{id}", "team:{team}" };
	static const char *const names[] = { "id", "team" };
	static const struct str values[] = { STR("7"), STR("a"), STR("7"), STR("b") };
	struct change change = {
		.has_version = true, .version = 6, .version_stands = stands, .unchanged = unchanged
	};
	struct touched_image images[2];
	struct entry entry = { 0 };
	struct touched *row;
	struct cache_rig f;
	struct err err;

	cache_rig_open_mode(&f, mode, written, 1);
	for (size_t i = 0; i < 2; i++) {
		f.written[i] = f.written[0];
		f.written[i].written = written[i];
		key_template_deinit(&f.templates[i]);
		assert_int_equal(key_template_compile(&f.templates[i], &f.written[i], names, 2,
				     &err),
		    0);
	}
	f.templates[0].one_row = true;
	f.table.image_count = 1;
	f.table.template_count = mode == MODE_VERSIONED ? 1 : 2;
	row = cache_rig_touch(&f, "7");
	cache_rig_add(row, &change, &entry);
	add_images(row, images, values, unchanged);
	assert_int_equal(cache_rig_round(&f, &err), 1);
	assert_string_equal(f.server.seen.len > 0 ? f.server.seen.data : "", expected);
	f.table.template_count = 2;
	cache_rig_close(&f);
}

static void
the_keys_of_both_rows_go_once_in_every_mode(void **state)
{
	(void)state;
	assert_of_images(MODE_DELETE, 0, false, "user:7\nteam:a\nteam:b\n");
	assert_of_images(MODE_GENERATION, 0, false,
	    "sluice_generation_raise 1 user:7\n"
	    "sluice_generation_raise 1 team:a\n"
	    "sluice_generation_raise 1 team:b\n");
	assert_of_images(MODE_VERSIONED, 0, false, "sluice_invalidate 1 user:7 6 row\n");
}

static void
a_template_of_which_nothing_changed_is_left_alone(void **state)
{
	(void)state;
	assert_of_images(MODE_DELETE, 1, false, "team:a\nteam:b\n");
	assert_of_images(MODE_DELETE, 3, false, "");
	assert_of_images(MODE_VERSIONED, 1, false, "");
}

static void
an_update_without_a_new_version_is_told_without_one(void **state)
{
	(void)state;
	assert_of_images(MODE_VERSIONED, 0, true, "sluice_invalidate 1 user:7  row\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_keys_of_both_rows_go_once_in_every_mode),
		cmocka_unit_test(a_template_of_which_nothing_changed_is_left_alone),
		cmocka_unit_test(an_update_without_a_new_version_is_told_without_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
