/* The part of mysql.h that needs no connection. */
#include "common/mysql.h"

#include <poll.h>

int
sql_wait_or_wake(void *wake_fd, int fd, int timeout_ms)
{
	struct pollfd fds[] = { { .fd = fd, .events = POLLIN },
		{ .fd = *(const int *)wake_fd, .events = POLLIN } };

	if (poll(fds, 2, timeout_ms) < 0 || (fds[1].revents & POLLIN) != 0)
		return -1;
	return fds[0].revents != 0;
}
