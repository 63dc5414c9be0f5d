#ifndef WORKER_OPERATE_ACCESS_H
#define WORKER_OPERATE_ACCESS_H

#include "common/buf.h"
#include "common/mysql.h"
#include "common/redis.h"
#include "config/config.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Connections for looking: what the monitor and the commands use to reach the servers of a
 * configuration.  The options point into the configuration and into this struct, so both outlive
 * the connection; the password is expanded again at each open.
 */
struct access_redis {
	struct redis_options options;
	const struct config_secret *secret;
	struct buf password;
};
struct access_mysql {
	struct sql_options options;
	const struct config_secret *secret;
	struct buf password;
};

/* Wait for this server no longer than that; config is somebody's own copy. */
void access_hurry(struct config_redis *config, int timeout_ms);

void access_redis_init(struct access_redis *a, const struct config_redis *config,
    const char *client_name);
void access_redis_deinit(struct access_redis *a);
void access_mysql_init(struct access_mysql *a, const struct config_mysql *config);
void access_mysql_deinit(struct access_mysql *a);

/* "host:port" or the socket, for messages; never a secret. */
void access_add_redis(const struct config_redis *config, struct buf *out);
void access_add_mysql(const struct config_mysql *config, struct buf *out);

#endif
