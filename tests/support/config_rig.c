#include "tests/support/config_rig.h"

#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
parse(struct str text, struct config *config, const char *problems_expected)
{
	struct config_problems problems;
	struct buf found = { 0 };

	config_parse(config, "f", text, &problems);
	for (size_t i = 0; i < problems.count; i++)
		buf_printf(&found, "%s\n", problems.list[i].text + strlen("f:"));
	assert_string_equal(found.data != NULL ? found.data : "", problems_expected);
	buf_deinit(&found);
	config_problems_deinit(&problems);
}

void
expect(const char *text, const char *problems)
{
	expect_of(str_of(text), problems);
}

void
expect_of(struct str text, const char *problems)
{
	struct config config;

	parse(text, &config, problems);
	config_deinit(&config);
}

void
expect_config(const char *text, struct config *config, const char *problems)
{
	parse(str_of(text), config, problems);
}
