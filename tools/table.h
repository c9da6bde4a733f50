/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Table: rows of text for people, for scripts, or as JSON
 *
 * On a terminal the columns are aligned below a line of headings; in a pipe there are no headings
 * and one tab between fields; with --json it is one list of objects whose members are the columns.
 * Control characters in cells become "?".
 */

#include <stdbool.h>
#include <stddef.h>

typedef enum ColumnType {
        COLUMN_TEXT,
        COLUMN_FULL,   /* a full form; on terminals its PID alone */
        COLUMN_NUMBER, /* right-aligned; a number in JSON */
        COLUMN_REAL,   /* the same with a fraction */
        COLUMN_WORDS,  /* a comma list, "-" if empty; a list in JSON */
} ColumnType;

typedef struct Column {
        const char *heading; /* on terminals; NULL: not shown there */
        const char *member;  /* in JSON */
        ColumnType type;
} Column;

typedef enum TableForm {
        TABLE_ALIGNED,
        TABLE_TABS,
        TABLE_JSON,
} TableForm;

typedef struct Table {
        const Column *columns;
        size_t n_columns;
        char **cells; /* row by row */
        size_t n_cells;
        size_t n_allocated;
} Table;

void table_init(Table *table, const Column *columns, size_t n_columns);
void table_done(Table *table);
/* Adds one row, copying its cells; missing ones (NULL) become "-". Return: 0 or -ENOMEM. */
int table_add(Table *table, const char *const *cells);
/* Adds each line of @text, fields between tabs, as a row; too few fields are filled up with "-",
 * too many dropped: a newer daemon may tell more. Return: 0 or -ENOMEM. */
int table_add_lines(Table *table, const char *text);
/* The table as text, to be freed; NULL: no memory. @bold: headings in bold. */
char *table_format(const Table *table, TableForm form, bool bold, size_t *ret_n);
