#ifndef WORKER_OPERATE_HTTP_CLIENT_H
#define WORKER_OPERATE_HTTP_CLIENT_H

#include "common/buf.h"
#include "common/err.h"
#include "config/config.h"

#include <stdbool.h>

/*
 * Just enough HTTP/1.0 to ask a sluice for a page: one GET, no TLS, no redirects, five seconds and
 * 64 MiB at most.
 */
struct http_address {
	char host[256];
	int port;
};

/* http://host:port/…, host:port or [v6]:port; what stands behind the port is ignored. */
bool http_address_parse(const char *url, struct http_address *out);
/* Where `http.listen` of a configuration is reached from this machine; false when it is off or the
 * port is chosen at start. */
bool http_address_of(const struct config *config, struct http_address *out);

/* The status (200, 503, …) with the body in *body, or -1. */
int http_get(const struct http_address *address, const char *path, struct buf *body,
    struct err *err);

#endif
