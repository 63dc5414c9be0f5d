#include "worker/operate/health.h"
#include "worker/operate/status.h"

#include <inttypes.h>
#include <string.h>

/* More lanes than this are a table nobody reads; /status has them all. */
enum { PAGE_LANES_MAX = 500 };

static const char head[] =
    "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=5>"
    "<meta name=viewport content='width=device-width'><title>sluice</title><style>"
    "body{font:14px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}"
    "table{border-collapse:collapse;margin:.5em 0 1.5em}td,th{padding:.15em .8em;text-align:left;"
    "border-bottom:1px solid #ddd}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}"
    ".bad{color:#b00020;font-weight:600}.good{color:#1b7a3a}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}td,th{border-color:#444}"
    ".bad{color:#ff6b81}.good{color:#6fcf8e}}</style>";

static void
add_html(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '<':
			buf_add_str(out, "&lt;");
			break;
		case '>':
			buf_add_str(out, "&gt;");
			break;
		case '&':
			buf_add_str(out, "&amp;");
			break;
		case '"':
			buf_add_str(out, "&quot;");
			break;
		case '\'':
			buf_add_str(out, "&#39;");
			break;
		default:
			buf_add_char(out, *text);
		}
	}
}

static void
add_cell(struct buf *out, const char *text, const char *class)
{
	buf_printf(out, "<td class='%s'>", class);
	add_html(out, text != NULL ? text : "");
}

static void
print_breakers(const struct snapshot *s, struct buf *out)
{
	buf_add_str(out, "<table><tr><th>dependency<th>breaker<th class=n>failures<th>why");
	for (int i = 0; i < DEPENDENCIES; i++) {
		const struct snapshot_breaker *b = &s->breakers[i];
		if (!b->used)
			continue;
		buf_add_str(out, "<tr>");
		add_cell(out, dependency_name((enum dependency)i), "");
		add_cell(out, breaker_state_name(b->state),
		    b->state == BREAKER_CLOSED ? "good" : "bad");
		buf_printf(out, "<td class=n>%" PRIu64, b->failures_total);
		add_cell(out, b->state == BREAKER_CLOSED ? "" : b->why, "");
	}
	buf_add_str(out, "</table>");
}

static void
print_lanes(const struct snapshot *s, struct buf *out)
{
	char text[POSITION_TEXT];

	buf_add_str(out,
	    "<table><tr><th>lane<th>state<th>why<th>alarm<th class=n>lag<th class=n>oldest"
	    "<th class=n>entries<th class=n>dead<th>position");
	for (size_t i = 0; i < s->lane_count && i < PAGE_LANES_MAX; i++) {
		const struct snapshot_lane *lane = &s->lanes[i];
		bool good = lane->state == LANE_OPEN || lane->state == LANE_FREE;
		buf_add_str(out, "<tr>");
		add_cell(out, lane->name, "");
		add_cell(out, lane_state_name(lane->state), good ? "good" : "bad");
		add_cell(out, lane->why, "");
		add_cell(out, lane->alarm, "bad");
		buf_printf(out,
		    "<td class=n>%" PRIu64 "<td class=n>%.1f s<td class=n>%" PRIu64
		    "<td class=n>%" PRIu64,
		    lane->lag, lane->oldest_pending_seconds, lane->entries, lane->dead);
		add_cell(out, position_text(lane->position, text), "");
	}
	buf_add_str(out, "</table>");
	if (s->lane_count > PAGE_LANES_MAX)
		buf_printf(out, "<p>%zu more lanes are in <a href=/status>/status</a>.",
		    s->lane_count - PAGE_LANES_MAX);
}

void
page_print(const struct snapshot *s, struct buf *out)
{
	struct buf reasons = { 0 };
	bool healthy = health_healthy(s, &reasons);

	buf_add_str(out, head);
	buf_add_str(out, "<h1>sluice</h1><p>Pool ");
	add_html(out, s->config->pool);
	buf_printf(out, ", version " SLUICE_VERSION ", up %.0f s. <span class=%s>%s</span>",
	    s->uptime_seconds, healthy ? "good" : "bad", healthy ? "Healthy." : "Not healthy: ");
	if (!healthy)
		add_html(out, reasons.data);
	buf_printf(out,
	    "<p>%d lanes here of a share of %d, %d processes in the pool%s."
	    "<p>%.0f changes/s, %.0f rows/s, %.1f batches/s, %.0f keys invalidated/s; lag %" PRIu64
	    " entries; %" PRIu64 " dead letters; %.1f MiB resident.",
	    s->total.lanes_owned, s->total.lanes_share, s->total.pool_members,
	    s->total.standby ? ", standing by" : "", s->rates[RATE_CHANGES], s->rates[RATE_ROWS],
	    s->rates[RATE_BATCHES], s->rates[RATE_INVALIDATED], s->total.lag, s->total.dead,
	    (double)s->resident_bytes / (1024 * 1024));
	print_breakers(s, out);
	print_lanes(s, out);
	buf_add_str(out,
	    "<p><a href=/status>/status</a> <a href=/healthz>/healthz</a> "
	    "<a href=/metrics>/metrics</a>\n");
	buf_deinit(&reasons);
}
