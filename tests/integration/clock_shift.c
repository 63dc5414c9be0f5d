/*
 * Preloaded into a server: its clocks run ahead by what stands in the file CLOCK_SHIFT (µs, 64 bits),
 * so that a test moves the time of a real server instead of waiting.  What is a time of this century in
 * µs since 1970 is the time itself, which then stands still.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CENTURY_US INT64_C(946684800000000)

static int64_t none;
static volatile int64_t *shift_us = &none;

__attribute__((constructor)) static void
find_shift(void)
{
	const char *path = getenv("CLOCK_SHIFT");
	int fd = path != NULL ? open(path, O_RDONLY) : -1;

	if (fd < 0)
		return;
	void *mapped = mmap(NULL, sizeof(*shift_us), PROT_READ, MAP_SHARED, fd, 0);
	if (mapped != MAP_FAILED)
		shift_us = mapped;
	close(fd);
}

int
clock_gettime(clockid_t clock, struct timespec *out)
{
	int64_t us = *shift_us, ns;
	int status = (int)syscall(SYS_clock_gettime, clock, out);

	if (us > CENTURY_US) {
		*out = (struct timespec){ us / 1000000, us % 1000000 * 1000 };
		return 0;
	}

	if (status != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_MONOTONIC))
		return status;
	ns = out->tv_nsec + us % 1000000 * 1000;
	out->tv_sec += us / 1000000 + ns / 1000000000;
	out->tv_nsec = ns % 1000000000;
	return 0;
}

int
gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	out->tv_sec = now.tv_sec;
	out->tv_usec = now.tv_nsec / 1000;
	return 0;
}
