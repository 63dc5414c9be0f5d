#ifndef CONFIG_UNIT_H
#define CONFIG_UNIT_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Durations ("50ms", "5s", "2m", "1h"; 0 needs no unit) in milliseconds and sizes ("64MiB", "10MB",
 * "512KiB"; a bare number is bytes) in bytes.  No sign, no fraction.
 */
enum unit_result { UNIT_OK, UNIT_NO_NUMBER, UNIT_MISSING, UNIT_UNKNOWN, UNIT_OVERFLOW };

enum unit_result unit_duration(struct str text, int64_t *ms);
enum unit_result unit_size(struct str text, int64_t *bytes);

/* "off" is 0, "1/n" one in n (1 to 1,000,000,000).  False: neither. */
bool unit_sample(struct str text, int64_t *n);
void unit_add_sample(struct buf *out, int64_t n);

/* The shortest exact text that reads back as the same. */
void unit_add_duration(struct buf *out, int64_t ms);
void unit_add_size(struct buf *out, int64_t bytes);

#endif
