#include "worker/operate/http.h"

#include "common/buf.h"
#include "worker/operate/health.h"
#include "worker/operate/metrics.h"
#include "worker/operate/snapshot.h"
#include "worker/operate/status.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct http {
	const struct watched *watched;
	struct MHD_Daemon *daemon;
	int fd; /* until the daemon owns it; then -1 */
	int port;
	/* daemon's thread only: sockets of the open connections, oldest first */
	int clients[HTTP_CONNECTIONS_MAX];
	size_t client_count;
};

/* ---- pages ---- */

static unsigned
answer_probe(bool (*ask)(const struct snapshot *, struct buf *), const char *word,
    const struct snapshot *s, struct buf *out)
{
	struct buf reasons = { 0 };
	bool yes = ask(s, &reasons);

	buf_printf(out, "{\"%s\":%s,\"reasons\":%s}\n", word, yes ? "true" : "false", reasons.data);
	buf_deinit(&reasons);
	return yes ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned
livez(const struct snapshot *s, struct buf *out)
{
	return answer_probe(health_live, "live", s, out);
}

static unsigned
readyz(const struct snapshot *s, struct buf *out)
{
	return answer_probe(health_ready, "ready", s, out);
}

static unsigned
healthz(const struct snapshot *s, struct buf *out)
{
	return status_print_health(s, out) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned
metrics(const struct snapshot *s, struct buf *out)
{
	metrics_print(s, out);
	return MHD_HTTP_OK;
}

static unsigned
status(const struct snapshot *s, struct buf *out)
{
	status_print(s, out);
	return MHD_HTTP_OK;
}

static unsigned
page(const struct snapshot *s, struct buf *out)
{
	page_print(s, out);
	return MHD_HTTP_OK;
}

static const struct route {
	const char *path, *type;
	unsigned (*print)(const struct snapshot *s, struct buf *out); /* returns the HTTP status */
} routes[] = {
	{ "/livez", "application/json", livez },
	{ "/readyz", "application/json", readyz },
	{ "/healthz", "application/json", healthz },
	{ "/metrics", "text/plain; version=0.0.4; charset=utf-8", metrics },
	{ "/status", "application/json", status },
	{ "/", "text/html; charset=utf-8", page },
};

/* ---- answering ---- */

/* Takes the buffer's memory. */
static enum MHD_Result
send_answer(struct MHD_Connection *connection, unsigned code, const char *type, struct buf *body)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(body->len, body->data, MHD_RESPMEM_MUST_FREE);

	if (response == NULL) {
		buf_deinit(body);
		return MHD_NO;
	}
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	MHD_add_response_header(response, "Content-Security-Policy",
	    "default-src 'none'; style-src 'unsafe-inline'");
	if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, code, response);
	MHD_destroy_response(response);
	return result;
}

static enum MHD_Result
send_sentence(struct MHD_Connection *connection, unsigned code, const char *sentence)
{
	struct buf body = { 0 };

	buf_add_str(&body, sentence);
	return send_answer(connection, code, "text/plain; charset=utf-8", &body);
}

static enum MHD_Result
answer(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
    const char *version, const char *upload, size_t *upload_size, void **state)
{
	const struct http *http = arg;
	static int seen;

	(void)version;
	(void)upload;
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return send_sentence(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		    "GET and HEAD only\n");
	/* the first call is for the headers alone; answering it would close the connection */
	if (*state == NULL) {
		*state = &seen;
		return MHD_YES;
	}
	*upload_size = 0;
	for (size_t i = 0; i < sizeof(routes) / sizeof(*routes); i++) {
		if (strcmp(url, routes[i].path) != 0)
			continue;
		struct snapshot snapshot;
		struct buf body = { 0 };
		snapshot_take(&snapshot, http->watched);
		unsigned code = routes[i].print(&snapshot, &body);
		snapshot_deinit(&snapshot);
		return send_answer(connection, code, routes[i].type, &body);
	}
	return send_sentence(connection, MHD_HTTP_NOT_FOUND,
	    "there are / /livez /readyz /healthz /metrics /status\n");
}

/* ---- connections ---- */

static void
client_forget(struct http *http, int fd)
{
	size_t i = 0;

	while (i < http->client_count && http->clients[i] != fd)
		i++;
	if (i == http->client_count)
		return;
	http->client_count--;
	memmove(&http->clients[i], &http->clients[i + 1],
	    (http->client_count - i) * sizeof(http->clients[0]));
}

/*
 * Clients that connect and say little must not keep a probe out for as long as they like: when all
 * but one of the connections are taken, the oldest ends.
 */
static void
note_connection(void *arg, struct MHD_Connection *connection, void **state,
    enum MHD_ConnectionNotificationCode what)
{
	struct http *http = arg;
	const union MHD_ConnectionInfo *info =
	    MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);

	(void)state;
	if (info == NULL)
		return;
	client_forget(http, info->connect_fd);
	if (what != MHD_CONNECTION_NOTIFY_STARTED)
		return;
	if (http->client_count == HTTP_CONNECTIONS_MAX - 1) {
		shutdown(http->clients[0], SHUT_RDWR);
		client_forget(http, http->clients[0]);
	}
	http->clients[http->client_count++] = info->connect_fd;
}

/* ---- listening ---- */

static int
listen_at(const struct addrinfo *at)
{
	int on = 1, off = 0;
	int fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (at->ai_family == AF_INET6) /* [::] means both families, whatever the system's default */
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, HTTP_CONNECTIONS_MAX) == 0)
		return fd;
	int code = errno;
	close(fd);
	errno = code;
	return -1;
}

static int
listen_on(const char *host, int port, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *list = NULL;
	char service[16];
	int fd = -1;

	snprintf(service, sizeof(service), "%d", port);
	int code = getaddrinfo(host, service, &hints, &list);
	if (code != 0)
		return err_set(err, ERR_FATAL, code, "http.listen: the host %s: %s", host,
		    gai_strerror(code));
	for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next)
		fd = listen_at(at);
	code = errno;
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(err, ERR_FATAL, code, "http.listen: cannot listen on %s port %d: %s",
		    host, port, strerror(code));
	return fd;
}

static int
port_of(int fd)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)&address)->sin_port);
}

/* Where the kernel has no IPv6, [::] still means every address. */
static int
listen_anywhere(const char *host, int port, struct err *err)
{
	int fd = listen_on(host, port, err);

	if (fd < 0 && strcmp(host, "::") == 0 &&
	    (err->code == EAFNOSUPPORT || err->code == EADDRNOTAVAIL))
		return listen_on("0.0.0.0", port, err);
	return fd;
}

struct http *
http_new(const char *host, int port, const struct watched *watched, struct err *err)
{
	struct http *http = calloc(1, sizeof(*http));

	CHECK(http != NULL);
	http->watched = watched;
	http->fd = listen_anywhere(host, port, err);
	if (http->fd < 0)
		goto fail;
	http->port = port_of(http->fd);
	http->daemon = MHD_start_daemon(MHD_USE_POLL_INTERNAL_THREAD, (uint16_t)http->port, NULL,
	    NULL, answer, http, MHD_OPTION_LISTEN_SOCKET, http->fd, MHD_OPTION_CONNECTION_LIMIT,
	    (unsigned)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
	    (size_t)HTTP_HEADER_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HTTP_IDLE_SECONDS,
	    MHD_OPTION_NOTIFY_CONNECTION, note_connection, http, MHD_OPTION_END);
	if (http->daemon != NULL) {
		http->fd = -1; /* the daemon closes it */
		return http;
	}
	err_set(err, ERR_FATAL, errno, "http.listen: cannot start the HTTP server on port %d",
	    http->port);
fail:
	http_free(&http);
	return NULL;
}

void
http_free(struct http **http)
{
	struct http *h = *http;

	if (h == NULL)
		return;
	if (h->daemon != NULL)
		MHD_stop_daemon(h->daemon);
	if (h->fd >= 0)
		close(h->fd);
	free(h);
	*http = NULL;
}

int
http_port(const struct http *http)
{
	return http->port;
}
