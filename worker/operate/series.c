#include "worker/operate/series.h"

#include "common/str.h"

#include <inttypes.h>
#include <string.h>

void
series_head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
series_counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
	series_head(out, name, "counter", help);
	buf_printf(out, "%s %" PRIu64 "\n", name, value);
}

void
series_gauge(struct buf *out, const char *name, const char *help, double value)
{
	series_head(out, name, "gauge", help);
	buf_printf(out, "%s %.17g\n", name, value);
}

void
series_add_label(struct buf *out, const char *text)
{
	/* the text of a label is UTF-8; a stream's name may be any bytes */
	bool is_text = str_is_utf8(str_of(text), NULL);

	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;
		if (c == '\\' || c == '"')
			buf_printf(out, "\\%c", c);
		else if (c == '\n')
			buf_add_str(out, "\\n");
		else if (c >= 0x80 && !is_text)
			buf_add_str(out, "\xef\xbf\xbd");
		else
			buf_add_char(out, (char)c);
	}
}

static void
add_labelled(struct buf *out, const char *name, const char *label, const char *text)
{
	buf_printf(out, "%s{%s=\"", name, label);
	series_add_label(out, text);
	buf_add_str(out, "\"} ");
}

void
series_value(struct buf *out, const char *name, const char *label, const char *text, uint64_t value)
{
	add_labelled(out, name, label, text);
	buf_printf(out, "%" PRIu64 "\n", value);
}

void
series_real(struct buf *out, const char *name, const char *label, const char *text, double value)
{
	add_labelled(out, name, label, text);
	buf_printf(out, "%.3f\n", value);
}

void
series_histogram(struct buf *out, const char *name, const char *help,
    const struct snapshot_histogram *h)
{
	uint64_t below = 0;

	series_head(out, name, "histogram", help);
	for (int i = 0; i < HISTOGRAM_BUCKETS; i++) {
		below += h->counts[i];
		if (i < HISTOGRAM_BUCKETS - 1)
			buf_printf(out, "%s_bucket{le=\"%g\"} %" PRIu64 "\n", name, h->bounds[i],
			    below);
		else
			buf_printf(out, "%s_bucket{le=\"+Inf\"} %" PRIu64 "\n", name, below);
	}
	buf_printf(out, "%s_sum %.17g\n%s_count %" PRIu64 "\n", name, h->sum, name, below);
}
