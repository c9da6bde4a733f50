/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/table.h"

#include <stdint.h>
#include <stdio.h>

#include "tools/common.h"
#include "tools/json.h"

#define COLUMNS_MAX 32

void table_init(Table *table, const Column *columns, size_t n_columns) {
        *table = (Table){ .columns = columns, .n_columns = MIN(n_columns, (size_t)COLUMNS_MAX) };
}

void table_done(Table *table) {
        for (size_t i = 0; i < table->n_cells; i++)
                free(table->cells[i]);
        free(table->cells);
        *table = (Table){ 0 };
}

/* One cell of the given bytes; "-" where there are none. */
static int add_cell(Table *table, const char *text, size_t n) {
        char *cell;

        if (table->n_cells == table->n_allocated) {
                size_t n_allocated = MAX(table->n_allocated * 2, (size_t)64);
                char **cells = reallocarray(table->cells, n_allocated, sizeof(*cells));

                if (!cells)
                        return -ENOMEM;
                table->cells = cells;
                table->n_allocated = n_allocated;
        }
        cell = n > 0 ? strndup(text, n) : strdup("-");
        if (!cell)
                return -ENOMEM;
        common_make_printable(cell);
        table->cells[table->n_cells++] = cell;
        return 0;
}

int table_add(Table *table, const char *const *cells) {
        for (size_t i = 0; i < table->n_columns; i++) {
                int r = add_cell(table, cells[i], cells[i] ? strlen(cells[i]) : 0);

                if (r < 0)
                        return r;
        }
        return 0;
}

int table_add_lines(Table *table, const char *text) {
        while (*text) {
                size_t n_line = strcspn(text, "\n");
                const char *field = text, *end = text + n_line;

                for (size_t i = 0; i < table->n_columns; i++) {
                        size_t n = 0;
                        int r;

                        while (field + n < end && field[n] != '\t')
                                n++;
                        r = add_cell(table, field, n);
                        if (r < 0)
                                return r;
                        field += n;
                        if (field < end)
                                field++;
                }
                text = *end ? end + 1 : end;
        }
        return 0;
}

static char *format_json(const Table *table, size_t *ret_n) {
        JsonValue *list = json_begin_list();

        for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns) {
                JsonValue *object = json_begin();

                for (size_t c = 0; c < table->n_columns; c++) {
                        const char *member = table->columns[c].member;
                        const char *cell = table->cells[i + c];

                        if (table->columns[c].type == COLUMN_WORDS)
                                json_add_words(object, member, cell);
                        else if (strcmp(cell, "-") == 0)
                                json_add_text(object, member, NULL);
                        else if (table->columns[c].type == COLUMN_NUMBER)
                                json_add_number(object, member, strtoull(cell, NULL, 10));
                        else if (table->columns[c].type == COLUMN_REAL)
                                json_add_real(object, member, strtod(cell, NULL));
                        else
                                json_add_text(object, member, cell);
                }
                json_append(list, object);
        }
        return json_finish(list, ret_n);
}

/* How much of a cell a terminal shows. */
static size_t shown_size(const Column *column, const char *cell) {
        return column->type == COLUMN_FULL ? strcspn(cell, ":") : strlen(cell);
}

/* With two blanks behind it, unless it is the last of its row. */
static void print_cell(FILE *out, const Table *table, size_t column, const char *cell,
                       size_t width) {
        const Column *c = &table->columns[column];
        bool last = column + 1 == table->n_columns;
        int n = (int)shown_size(c, cell);

        if (!c->heading)
                return;
        if (c->type == COLUMN_NUMBER || c->type == COLUMN_REAL)
                (void)fprintf(out, "%*.*s%s", (int)width, n, cell, last ? "" : "  ");
        else
                (void)fprintf(out, "%-*.*s%s", last ? 0 : (int)width, n, cell, last ? "" : "  ");
}

static void print_aligned(const Table *table, bool bold, FILE *out) {
        size_t widths[COLUMNS_MAX] = { 0 }, n_columns = table->n_columns;

        for (size_t c = 0; c < n_columns; c++) {
                const Column *column = &table->columns[c];

                if (!column->heading)
                        continue;
                widths[c] = strlen(column->heading);
                for (size_t i = c; i < table->n_cells; i += n_columns)
                        widths[c] = MAX(widths[c], shown_size(column, table->cells[i]));
        }

        if (bold)
                (void)fputs("\033[1m", out);
        for (size_t c = 0; c < n_columns; c++)
                print_cell(out, table, c,
                           table->columns[c].heading ? table->columns[c].heading : "", widths[c]);
        if (bold)
                (void)fputs("\033[0m", out);
        (void)fputc('\n', out);

        for (size_t i = 0; i < table->n_cells;) {
                for (size_t c = 0; c < n_columns && i < table->n_cells; c++)
                        print_cell(out, table, c, table->cells[i++], widths[c]);
                (void)fputc('\n', out);
        }
}

static void print_tabs(const Table *table, FILE *out) {
        for (size_t i = 0; i < table->n_cells;)
                for (size_t c = 0; c < table->n_columns && i < table->n_cells; c++)
                        (void)fprintf(out, "%s%c", table->cells[i++],
                                      c + 1 == table->n_columns ? '\n' : '\t');
}

char *table_format(const Table *table, TableForm form, bool bold, size_t *ret_n) {
        char *text = NULL;
        bool failed;
        FILE *out;

        if (form == TABLE_JSON)
                return format_json(table, ret_n);

        out = open_memstream(&text, ret_n);
        if (!out)
                return NULL;
        if (form == TABLE_ALIGNED)
                print_aligned(table, bold, out);
        else
                print_tabs(table, out);
        failed = ferror(out) != 0;
        if (fclose(out) != 0 || failed) {
                free(text);
                return NULL;
        }
        return text;
}
