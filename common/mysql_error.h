#ifndef COMMON_MYSQL_ERROR_H
#define COMMON_MYSQL_ERROR_H

#include <stdbool.h>
#include <stddef.h>

/*
 * What the error numbers and messages of MySQL and MariaDB mean; for common/mysql, and needing
 * neither a client library nor a server.  sql_class (common/mysql.h) is here too.  Thread: any.
 */

/* Is the connection unusable after this error? */
bool sql_error_is_connection(int code);

/*
 * The code to go by.  A trigger's SIGNAL may give itself any number, those of lost connections and
 * deadlocks too; by SQLSTATE 45000 it says that it is a refusal: 1644.
 */
int sql_error_code(int code, const char *sqlstate);

/*
 * The server's message without row values: every part in single quotes becomes '...', except the
 * names of columns, keys, tables and the like.  Servers do not escape quotes inside a value, so where
 * a value ends is decided by the code's own message, and in doubt too much is removed.
 */
void sql_error_text(int code, const char *message, char *out, size_t out_bytes);

#endif
