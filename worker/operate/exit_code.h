#ifndef WORKER_OPERATE_EXIT_CODE_H
#define WORKER_OPERATE_EXIT_CODE_H

/* What the process and every command exit with. */
enum exit_code {
	EXIT_CODE_OK = 0,
	EXIT_CODE_RUNTIME = 1,	    /* it ran, and something failed; or the answer is no */
	EXIT_CODE_USAGE = 2,	    /* the command line */
	EXIT_CODE_TIMED_OUT = 3,    /* `wait`: not yet */
	EXIT_CODE_DEAD_LETTER = 4,  /* `wait`: it is a dead letter */
	EXIT_CODE_UNKNOWN = 5,	    /* `wait`, `verify`: nobody can know */
	EXIT_CODE_UNREACHABLE = 69, /* a server can't be reached */
	EXIT_CODE_WORK_LEFT = 75,   /* stopped with work left in the sources */
	EXIT_CODE_CONFIG = 78	    /* the configuration, or what it names */
};

#endif
