#ifndef CONFIG_EXPAND_H
#define CONFIG_EXPAND_H

#include "common/buf.h"
#include "common/str.h"

#include <stdbool.h>

/*
 * Placeholders inside one scalar:
 *	${VAR}		an environment variable; it must be set
 *	${VAR:-text}	the same, or the text where it is unset or empty
 *	${file:/path}	a file's content (at most 64 KiB), without the newline at its end
 *	$$		one $
 * A $ before anything else is itself.  A replacement is never looked at again.  Thread: any.
 */
typedef void expand_report(void *arg, const char *sentence);

/* Append the text, expanded.  Returns the number of placeholders that couldn't be replaced; report
 * (which may be NULL) is called with a sentence for each.  No value is ever in a sentence. */
size_t expand(struct str text, struct buf *out, expand_report *report, void *arg);

/* Bytes of the placeholder, the $$ or the single $ with which the text begins; 0 when it doesn't. */
size_t expand_span(struct str text);
/* Is there anything that expand() would replace by something from outside? */
bool expand_is_needed(struct str text);

/* Append the text with every $ doubled: what expand() turns back into it. */
void expand_escape(struct str text, struct buf *out);

#endif
