#include "common/buf.h"
#include "common/err.h"
#include "config/config.h"

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Any bytes are a configuration or a list of mistakes; and what is printed of a good one reads back
 * as the same.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
print_and_parse(struct str text, struct buf *printed)
{
	struct config_problems problems;
	struct config config;
	int result = config_parse(&config, "fuzz.yaml", text, &problems);

	if (result == 0)
		config_print(&config, printed);
	else
		CHECK(problems.count > 0);
	config_problems_deinit(&problems);
	config_deinit(&config);
	return result;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf once, twice;

	buf_init(&once);
	buf_init(&twice);
	if (print_and_parse((struct str){ (const char *)data, size }, &once) == 0) {
		CHECK(print_and_parse((struct str){ once.data, once.len }, &twice) == 0);
		CHECK(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	}
	buf_deinit(&twice);
	buf_deinit(&once);
	return 0;
}
