#include "worker/store/letter_replay.h"

#include "worker/store/session.h"

#include <stdlib.h>
#include <string.h>

int
letter_parked_read(struct sql *sql, const char *lane, struct parked *parked, struct err *err)
{
	struct sql_result result;
	struct park_key *keys;
	struct buf select;
	int status;

	buf_init(&select);
	buf_add_str(&select, "SELECT DISTINCT key_hash FROM sluice_parked WHERE lane=");
	sql_add_binary(&select, str_of(lane));
	status = session_query(sql, (struct str){ select.data, select.len }, &result, err);
	buf_deinit(&select);
	if (status != 0)
		return -1;
	keys = calloc(result.rows + 1, sizeof(*keys));
	CHECK(keys != NULL);
	for (size_t i = 0; i < result.rows; i++) {
		struct str cell = sql_cell(&result, i, 0);

		CHECK(cell.len == sizeof(keys[i].bytes));
		memcpy(keys[i].bytes, cell.data, cell.len);
	}
	parked_replace(parked, keys, result.rows);
	free(keys);
	sql_result_free(&result);
	return 0;
}
