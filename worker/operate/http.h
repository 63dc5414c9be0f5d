#ifndef WORKER_OPERATE_HTTP_H
#define WORKER_OPERATE_HTTP_H

#include "common/err.h"
#include "worker/operate/watched.h"

/*
 * The pages: a read-only HTTP server on one thread; the only file that sees libmicrohttpd.
 *	/livez /readyz		200, or 503 with a JSON list of reasons
 *	/healthz		the same with dependencies, lag and breakers
 *	/metrics		Prometheus text 0.0.4
 *	/status			JSON
 *	/			a page for people
 * GET and HEAD only.  Bounded: HTTP_CONNECTIONS_MAX connections, HTTP_HEADER_BYTES of header, ten
 * seconds without a byte.  Every answer is made from a fresh snapshot; nothing a client sends
 * changes anything or gets into an answer.
 */
enum { HTTP_CONNECTIONS_MAX = 64, HTTP_HEADER_BYTES = 16 * 1024, HTTP_IDLE_SECONDS = 10 };

struct http;

/* Bind and start the thread; signals must be blocked already.  FATAL with a clear sentence when the
 * address can't be had.  `watched` is borrowed until http_free. */
struct http *http_new(const char *host, int port, const struct watched *watched, struct err *err);
void http_free(struct http **http);
/* The real port, also when 0 was asked for. */
int http_port(const struct http *http);

#endif
