#include "worker/operate/http_client.h"

#include "common/number.h"
#include "common/str.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { TIMEOUT_SECONDS = 5, ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

bool
http_address_parse(const char *url, struct http_address *out)
{
	uint64_t port;

	if (strncmp(url, "http://", 7) == 0)
		url += 7;
	const char *host = url, *host_end, *at;
	if (*url == '[') {
		host = url + 1;
		host_end = strchr(host, ']');
		at = host_end != NULL ? host_end + 1 : NULL;
	} else {
		host_end = strpbrk(url, ":/");
		at = host_end;
	}
	if (host_end == NULL || host_end == host || *at != ':' ||
	    (size_t)(host_end - host) >= sizeof(out->host))
		return false;
	memcpy(out->host, host, (size_t)(host_end - host));
	out->host[host_end - host] = '\0';
	at++;
	if (!number_u64((struct str){ at, strcspn(at, "/") }, &port) || port == 0 || port > 65535)
		return false;
	out->port = (int)port;
	return true;
}

bool
http_address_of(const struct config *config, struct http_address *out)
{
	const char *host = config->http_host;

	if (host == NULL || config->http_port == 0)
		return false;
	/* "any address" is not one to connect to; [::] takes IPv4 too, and a container may have no ::1
	 */
	if (strcmp(host, "::") == 0 || strcmp(host, "0.0.0.0") == 0)
		host = "127.0.0.1";
	snprintf(out->host, sizeof(out->host), "%s", host);
	out->port = config->http_port;
	return true;
}

static int
connect_to(const struct http_address *address, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };
	struct timeval timeout = { TIMEOUT_SECONDS, 0 };
	struct addrinfo *list = NULL;
	char service[16];
	int fd = -1, failure = 0;

	snprintf(service, sizeof(service), "%d", address->port);
	int code = getaddrinfo(address->host, service, &hints, &list);
	if (code != 0)
		return err_set(err, ERR_RETRY, code, "%s: %s", address->host, gai_strerror(code));
	for (const struct addrinfo *at = list; at != NULL && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC, at->ai_protocol);
		if (fd < 0)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
		if (connect(fd, at->ai_addr, at->ai_addrlen) == 0)
			break;
		failure = errno;
		close(fd);
		fd = -1;
	}
	freeaddrinfo(list);
	if (fd < 0)
		return err_set(err, ERR_RETRY, failure, "nobody answers on %s port %d: %s",
		    address->host, address->port, strerror(failure));
	return fd;
}

static int
read_all(int fd, struct buf *out, struct err *err)
{
	for (;;) {
		ssize_t got = recv(fd, buf_reserve(out, 65536), 65536, 0);
		if (got == 0)
			return 0;
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_set(err, ERR_RETRY, errno, "no whole answer: %s",
			    strerror(errno));
		buf_advance(out, (size_t)got);
		if (out->len > ANSWER_BYTES_MAX)
			return err_set(err, ERR_FATAL, 0, "the answer is too long");
	}
}

/* Split the answer: its status, and the body moved to the front of the buffer. */
static int
take_body(struct buf *answer, struct err *err)
{
	int status;
	const char *body = answer->data != NULL ? strstr(answer->data, "\r\n\r\n") : NULL;

	if (body == NULL || sscanf(answer->data, "HTTP/1.%*d %d", &status) != 1)
		return err_set(err, ERR_FATAL, 0, "that is not an HTTP answer");
	size_t head = (size_t)(body + 4 - answer->data);
	memmove(answer->data, answer->data + head, answer->len - head + 1);
	answer->len -= head;
	return status;
}

int
http_get(const struct http_address *address, const char *path, struct buf *body, struct err *err)
{
	struct buf request = { 0 };
	int status = -1;
	int fd = connect_to(address, err);

	if (fd < 0)
		return -1;
	buf_reset(body);
	buf_printf(&request, "GET %s HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n",
	    path);
	if (send(fd, request.data, request.len, MSG_NOSIGNAL) != (ssize_t)request.len)
		err_set(err, ERR_RETRY, errno, "cannot ask: %s", strerror(errno));
	else if (read_all(fd, body, err) == 0)
		status = take_body(body, err);
	buf_deinit(&request);
	close(fd);
	return status;
}
