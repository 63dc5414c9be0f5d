#ifndef COMMON_ERR_H
#define COMMON_ERR_H

/*
 * Errors of the world and bugs of ours.
 *
 * A function that can fail because of the world returns -1 and fills a struct err.  The class, never
 * the text, decides what happens next:
 *	RETRY	the same call may succeed later (a server is away, a deadlock, a code we don't know)
 *	POISON	this datum can never be applied (a data error); the rest can go on
 *	FATAL	nothing like this can succeed until somebody changes something (access denied)
 * The text is one sentence for a person; it never holds a row value or a secret.
 *
 * CHECK is for our own bugs.  It stays on in production and aborts with file, line and expression.
 */
enum err_class { ERR_NONE, ERR_RETRY, ERR_POISON, ERR_FATAL };

struct err {
	enum err_class class;
	int code; /* the server's own error number, errno, or 0 */
	char text[512];
};

/* Fill *err (which may be NULL) and return -1, so that a caller can `return err_set(...)`. */
int err_set(struct err *err, enum err_class class, int code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "prefix: " before the text of an error that is already set; returns -1. */
int err_prefix(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Forget. */
void err_clear(struct err *err);

const char *err_class_name(enum err_class which);

_Noreturn void check_failed(const char *file, int line, const char *expression);
#define CHECK(e) ((e) ? (void)0 : check_failed(__FILE__, __LINE__, #e))

#endif
