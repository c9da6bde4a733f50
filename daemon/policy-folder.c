/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "daemon/policy-folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libcore/util.h"

#define FILE_SUFFIX ".policy"
#define DROP_IN_SUFFIX ".conf"

/* One file that counts, in the order of names. */
typedef struct Entry Entry;
struct Entry {
        char *name;
        char *path;       /* for people, too */
        const char *text; /* compiled in; else NULL */
        bool is_hidden;   /* a link to /dev/null */
        Entry *next;
};

typedef struct Search {
        const PolicyFolders *folders;
        const Log *log;
        ConfError *error;
} Search;

static void entries_free(Entry **entries) {
        Entry *entry, *next;

        LL_FOREACH_SAFE (*entries, entry, next) {
                free(entry->name);
                free(entry->path);
                free(entry);
        }
}

_printf_(3, 4) static int bad(const Search *search, const char *path, const char *format, ...) {
        va_list args;
        int n = snprintf(search->error->text, CONF_ERROR_MAX, "%s: ", path);

        if (n > 0 && n < CONF_ERROR_MAX) {
                va_start(args, format);
                (void)vsnprintf(search->error->text + n, (size_t)(CONF_ERROR_MAX - n), format,
                                args); /* cut off is good enough */
                va_end(args);
        }
        return CONF_E_BAD;
}

static int by_name(const Entry *a, const Entry *b) {
        return strcmp(a->name, b->name);
}

/* Takes @path; it masks what was there under @name. */
static int put(Entry **entries, const char *name, char *path, const char *text, bool is_hidden) {
        Entry key = { .name = (char *)name }, *entry;

        LL_SEARCH(*entries, entry, &key, by_name);
        if (!entry) {
                entry = calloc(1, sizeof(*entry));
                if (entry)
                        entry->name = strdup(name);
                if (!entry || !entry->name) {
                        free(entry);
                        free(path);
                        return err_origin(-ENOMEM);
                }
                LL_INSERT_INORDER(*entries, entry, by_name);
        }
        free(entry->path);
        entry->path = path;
        entry->text = text;
        entry->is_hidden = is_hidden;
        return 0;
}

/* Return: NULL if it is as it should be, else what is wrong. */
static const char *is_unsafe(const Search *search, const struct stat *st) {
        if (st->st_uid != 0 && !(search->folders->is_own_fine && st->st_uid == geteuid()))
                return search->folders->is_own_fine
                               ? "belongs to neither root nor the daemon's user"
                               : "does not belong to root";
        return st->st_mode & (S_IWGRP | S_IWOTH) ? "can be written by others than its owner" : NULL;
}

static bool has_suffix(const char *name, const char *suffix) {
        size_t n = strlen(name), n_suffix = strlen(suffix);

        return name[0] != '.' && n > n_suffix && strcmp(name + n - n_suffix, suffix) == 0;
}

/* Looks at @name in the folder @fd. */
static int take(const Search *search, int fd, const char *folder, const char *name,
                Entry **entries) {
        struct stat st;
        char *path;
        bool is_link;

        if (asprintf(&path, "%s/%s", folder, name) < 0)
                return err_origin(-ENOMEM);
        if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
                (void)bad(search, path, "%s", strerror(errno));
                free(path);
                return CONF_E_BAD;
        }
        is_link = S_ISLNK(st.st_mode);
        if (is_link && !(fstatat(fd, name, &st, 0) == 0 && S_ISCHR(st.st_mode) &&
                         st.st_rdev == makedev(1, 3))) {
                (void)bad(search, path, "is a link, and not one to /dev/null");
                free(path);
                return CONF_E_BAD;
        }
        return put(entries, name, path, NULL, is_link);
}

/* All in @folder that end in @suffix. One that is not there has none. */
static int scan(const Search *search, const char *folder, const char *suffix, Entry **entries) {
        struct dirent *entry;
        const char *unsafe;
        struct stat st;
        unsigned n = 0;
        DIR *dir;
        int r = 0;

        dir = opendir(folder);
        if (!dir)
                return errno == ENOENT || errno == ENOTDIR
                               ? 0
                               : bad(search, folder, "%s", strerror(errno));
        if (fstat(dirfd(dir), &st) < 0)
                r = bad(search, folder, "%s", strerror(errno));
        else if ((unsafe = is_unsafe(search, &st)))
                r = bad(search, folder, "%s", unsafe);
        while (r == 0 && (entry = readdir(dir)))
                if (has_suffix(entry->d_name, suffix))
                        r = ++n > POLICY_FILES_MAX
                                    ? bad(search, folder, "too many files")
                                    : take(search, dirfd(dir), folder, entry->d_name, entries);
        (void)closedir(dir);
        return r;
}

static int read_all(const Search *search, int fd, const char *path, size_t n, char *out) {
        ssize_t got;

        for (size_t at = 0; at < n; at += (size_t)got) {
                got = read(fd, out + at, n - at);
                if (got <= 0)
                        return bad(search, path, "%s", got < 0 ? strerror(errno) : "changes");
        }
        return 0;
}

static int read_entry(const Search *search, const Entry *entry, PolicyBook *book) {
        _cleanup_(fd_closep) int fd = -EBADF;
        _cleanup_(freep) char *text = NULL;
        const char *unsafe;
        struct stat st;
        int r;

        if (entry->is_hidden)
                return 0;
        if (entry->text)
                return policy_book_read(book, entry->text, strlen(entry->text), entry->path,
                                        search->error);
        fd = open(entry->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &st) < 0)
                return bad(search, entry->path, "%s", strerror(errno));
        if (!S_ISREG(st.st_mode))
                return bad(search, entry->path, "not a regular file");
        unsafe = is_unsafe(search, &st);
        if (unsafe)
                return bad(search, entry->path, "%s", unsafe);
        if (st.st_size > CONF_FILE_MAX)
                return bad(search, entry->path, "file too big");
        text = malloc((size_t)st.st_size + 1);
        if (!text)
                return err_origin(-ENOMEM);
        r = read_all(search, fd, entry->path, (size_t)st.st_size, text);
        return r != 0 ? r
                      : policy_book_read(book, text, (size_t)st.st_size, entry->path,
                                         search->error);
}

/* @file, and what drop-ins of all folders add to it. */
static int read_file(const Search *search, const Entry *file, PolicyBook *book) {
        _cleanup_(entries_free) Entry *drop_ins = NULL;
        const Entry *entry;
        int r;

        r = policy_book_begin_file(book, file->name);
        if (r == 0)
                r = read_entry(search, file, book);
        for (unsigned i = 0; r == 0 && i < POLICY_FOLDERS_MAX; i++) {
                _cleanup_(freep) char *folder = NULL;

                if (!search->folders->paths[i])
                        continue;
                if (asprintf(&folder, "%s/%s.d", search->folders->paths[i], file->name) < 0) {
                        folder = NULL;
                        return err_origin(-ENOMEM);
                }
                r = scan(search, folder, DROP_IN_SUFFIX, &drop_ins);
        }
        LL_FOREACH (drop_ins, entry)
                if (r == 0)
                        r = read_entry(search, entry, book);
        return r;
}

/* Drop-ins for a file that is not there do nothing, which whoever wrote them does not expect. */
static int look_for_orphans(const Search *search, const Entry *files) {
        for (unsigned i = 0; search->log && i < POLICY_FOLDERS_MAX; i++) {
                _cleanup_(entries_free) Entry *folders = NULL;
                const Entry *entry, *file;
                int r = 0;

                if (search->folders->paths[i])
                        r = scan(search, search->folders->paths[i], FILE_SUFFIX ".d", &folders);
                if (r != 0)
                        return r;
                LL_FOREACH (folders, entry) {
                        LL_FOREACH (files, file)
                                if (strncmp(entry->name, file->name, strlen(file->name)) == 0 &&
                                    strcmp(entry->name + strlen(file->name), ".d") == 0)
                                        break;
                        if (!file)
                                log_write(search->log, LOG_LEVEL_WARNING, NULL,
                                          "%s: there is no such policy file, its drop-ins do "
                                          "nothing",
                                          entry->path);
                }
        }
        return 0;
}

static int find_files(const Search *search, Entry **files) {
        int r = 0;

        for (const BuiltinPolicy *builtin = builtin_policies; r == 0 && builtin->name; builtin++) {
                char *path;

                if (asprintf(&path, "(built-in) %s", builtin->name) < 0)
                        return err_origin(-ENOMEM);
                r = put(files, builtin->name, path, builtin->text, false);
        }
        for (unsigned i = 0; r == 0 && i < POLICY_FOLDERS_MAX; i++)
                if (search->folders->paths[i])
                        r = scan(search, search->folders->paths[i], FILE_SUFFIX, files);
        return r;
}

int policy_folders_read(const PolicyFolders *folders, PolicyBook *book, const Log *log,
                        ConfError *ret_error) {
        _cleanup_(entries_free) Entry *files = NULL;
        const Search search = { .folders = folders, .log = log, .error = ret_error };
        const Entry *entry;
        int r;

        r = find_files(&search, &files);
        if (r == 0)
                r = look_for_orphans(&search, files);
        LL_FOREACH (files, entry)
                if (r == 0 && !entry->is_hidden)
                        r = read_file(&search, entry, book);
        return r != 0 ? r : policy_book_finish(book, ret_error);
}
