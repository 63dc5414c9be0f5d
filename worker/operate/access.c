#include "worker/operate/access.h"

#include <string.h>

static const char *
redis_password(void *arg)
{
	struct access_redis *a = arg;

	return config_secret(a->secret, &a->password);
}

static const char *
mysql_password(void *arg)
{
	struct access_mysql *a = arg;

	return config_secret(a->secret, &a->password);
}

void
access_hurry(struct config_redis *config, int timeout_ms)
{
	if (config->timeout_ms > timeout_ms)
		config->timeout_ms = timeout_ms;
	if (config->connect_timeout_ms > timeout_ms)
		config->connect_timeout_ms = timeout_ms;
}

void
access_redis_init(struct access_redis *a, const struct config_redis *config,
    const char *client_name)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->password);
	a->secret = &config->password;
	a->options = (struct redis_options){
		.host = config->host,
		.port = config->port,
		.socket = config->socket,
		.user = config->user,
		.password = redis_password,
		.password_arg = a,
		.db = config->db,
		.client_name = client_name,
		.connect_timeout_ms = config->connect_timeout_ms,
		.timeout_ms = config->timeout_ms,
	};
}

void
access_redis_deinit(struct access_redis *a)
{
	buf_deinit(&a->password);
}

void
access_mysql_init(struct access_mysql *a, const struct config_mysql *config)
{
	memset(a, 0, sizeof(*a));
	buf_init(&a->password);
	a->secret = &config->password;
	a->options = (struct sql_options){
		.host = config->host,
		.port = config->port,
		.socket = config->socket,
		.user = config->user,
		.password = mysql_password,
		.password_arg = a,
		.database = config->database,
		.connect_timeout_ms = config->connect_timeout_ms,
		.timeout_ms = config->timeout_ms,
	};
}

void
access_mysql_deinit(struct access_mysql *a)
{
	buf_deinit(&a->password);
}

static void
add_place(const char *socket, const char *host, int port, struct buf *out)
{
	if (socket != NULL)
		buf_add_str(out, socket);
	else if (strchr(host, ':') != NULL)
		buf_printf(out, "[%s]:%d", host, port);
	else
		buf_printf(out, "%s:%d", host, port);
}

void
access_add_redis(const struct config_redis *config, struct buf *out)
{
	add_place(config->socket, config->host, config->port, out);
}

void
access_add_mysql(const struct config_mysql *config, struct buf *out)
{
	add_place(config->socket, config->host, config->port, out);
}
