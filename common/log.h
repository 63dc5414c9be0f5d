#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>

/*
 * Logs: one line per event on standard error, logfmt or JSON:
 *	time=2026-01-02T03:04:05.678Z level=warn event=store_retry worker=2 rows=500 wait=800ms error="…"
 * The caller names the event and gives the fields; values of rows and secrets never are among them.
 * Thread: any.
 *
 * Volume is bounded: the same event (event + lane/table/… in `key`) is written at most `burst` times
 * in ten seconds; the rest are counted, and the next line of that event carries
 * suppressed=N ("log lines, not events"), or the line log_lines_suppressed where none comes.
 *
 * Nobody waits for whoever reads the log: a line that a full pipe or a stopped terminal doesn't take
 * within a tenth of a second is lost, so are those after it, and log_lines_lost counts them once it
 * takes some again.  A line that standard error refuses (a full disk, a pipe without a reader) is not
 * counted.
 */
enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

/* Call before the first thread starts.  Default: info, logfmt. */
void log_init(enum log_level level, enum log_format format);
/*
 * Then, for who works beside its log: a line waits in no write either.  There is room for a byte in a
 * stopped terminal that takes no line, and others may fill a pipe that they share.  A pipe or a terminal
 * is opened once more, without blocking: the flags that standard error came with are others' too.  One
 * that can't be is written where poll sees room.  Until log_init is called again.
 */
void log_never_wait(void);

/*
 * log_event(LOG_WARN, "store_retry", "worker", "%d", 2, "error", "%s", err.text, NULL)
 * After the event: triples name, format, argument — the format has exactly one conversion, one of
 * %s %d %u %lld %llu %zu %ld %.1f — until a NULL name.  Field text is quoted and escaped as needed.
 */
void log_event(enum log_level level, const char *event, ...) __attribute__((sentinel));

/* At the end: tell of the suppressed lines that no further line of their event has told of. */
void log_flush(void);
/* The same for events that have been quiet for ten seconds; for somebody who looks now and then. */
void log_flush_quiet(void);

/* Lines not written because of the volume bound or because nobody read them, since start. */
unsigned long long log_suppressed(void);

#endif
