#ifndef COMMON_RESIDENT_H
#define COMMON_RESIDENT_H

/*
 * What counts as the process's memory.  The libraries that a program names map some 8 MiB of their code and
 * constants while they are bound and set up, most of it never looked at again.
 *
 * Take the program's and its libraries' read-only pages out of the address space: the kernel keeps them in
 * its page cache, brings back those that are used (a minor fault each 64 KiB) and has the others for
 * somebody else as soon as it wants them.  Pages that the process has written (data, relocated constants)
 * stay, an object whose code was relocated as well.  Thread: any, while others run.
 */
void resident_drop_code(void);

#endif
