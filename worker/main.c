#include "worker/operate/command.h"

#include <malloc.h>

/* Memory of large entries and statements goes back to the system as soon as it is free, and threads
 * do not each keep a heap: `memory:` is meant to be what the process holds. */
static void
bound_heap(void)
{
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	mallopt(M_ARENA_MAX, 2);
}

int
main(int argc, char **argv)
{
	bound_heap();
	return command_main(argc, argv);
}
