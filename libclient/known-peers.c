/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/known-peers.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>

#include "libclient/p2pbus.h"
#include "libclient/reason.h"
#include "libcore/err.h"

#define LINE_MAX_SIZE 1024 /* of a file that people may write into */

typedef struct KnownPeer {
        Pid pid;
        PublicKey key;
        UT_hash_handle hh;
} KnownPeer;

struct KnownPeers {
        KnownPeer *table;
        char *path;
};

KnownPeers *known_peers_free(KnownPeers *known) {
        KnownPeer *peer, *next;

        if (!known)
                return NULL;
        HASH_ITER (hh, known->table, peer, next) {
                HASH_DEL(known->table, peer);
                free(peer);
        }
        free(known->path);
        free(known);
        return NULL;
}

const PublicKey *known_peers_find(const KnownPeers *known, Pid pid) {
        KnownPeer *peer;

        HASH_FIND(hh, known->table, &pid, sizeof(pid), peer);
        return peer ? &peer->key : NULL;
}

/* Return: whether it is new. */
static bool remember(KnownPeers *known, const PublicKey *key) {
        Pid pid = key_hash(key).address.pid;
        KnownPeer *peer;

        if (known_peers_find(known, pid) || HASH_COUNT(known->table) >= KNOWN_PEERS_MAX)
                return false;
        peer = calloc(1, sizeof(*peer));
        if (!peer)
                return false;
        peer->pid = pid;
        peer->key = *key;
        HASH_ADD(hh, known->table, pid, sizeof(peer->pid), peer);
        return true;
}

/* A line without its newline and the blanks around it; NULL: it says nothing. */
static char *strip(char *line) {
        size_t n;

        line += strspn(line, " \t");
        n = strlen(line);
        while (n > 0 && strchr(" \t\r\n", line[n - 1]))
                line[--n] = '\0';
        return *line == '\0' || *line == '#' ? NULL : line;
}

static bool parse_full(const char *text, PublicKey *ret) {
        KeyText key;

        if (key_text_parse(text, &key) != 0 || key.form != KEY_FORM_FULL)
                return false;
        *ret = key.key;
        return true;
}

static int read_file(KnownPeers *known, FILE *file) {
        char line[LINE_MAX_SIZE];
        unsigned n = 0;

        while (fgets(line, sizeof(line), file)) {
                const char *text = strip(line);
                PublicKey key;

                n++;
                if (!text)
                        continue;
                if (!parse_full(text, &key))
                        return reason_fail_text(P2PBUS_REASON_KNOWN_PEERS,
                                                "%s:%u: not the full form of a key", known->path,
                                                n);
                (void)remember(known, &key);
        }
        if (ferror(file))
                return reason_fail_text(P2PBUS_REASON_KNOWN_PEERS, "%s: cannot be read",
                                        known->path);
        return 0;
}

int known_peers_new(KnownPeers **ret, const char *path) {
        _cleanup_(known_peers_freep) KnownPeers *known = calloc(1, sizeof(*known));
        FILE *file;
        int r;

        if (!known)
                return reason_fail_errno(-ENOMEM, "out of memory");
        if (path) {
                known->path = strdup(path);
                if (!known->path)
                        return reason_fail_errno(-ENOMEM, "out of memory");
                file = fopen(path, "re");
                if (file) {
                        r = read_file(known, file);
                        (void)fclose(file); /* it was only read */
                        if (r < 0)
                                return r;
                } else if (errno != ENOENT)
                        return reason_fail_text(P2PBUS_REASON_KNOWN_PEERS, "%s: %s", path,
                                                strerror(errno));
        }
        *ret = TAKE_PTR(known);
        return 0;
}

/* The folders of @path that are missing, for their owner alone. */
static void make_folders(const char *path) {
        char folder[LINE_MAX_SIZE];

        if (strlen(path) >= sizeof(folder))
                return;
        strcpy(folder, path);
        for (char *at = strchr(folder + 1, '/'); at; at = strchr(at + 1, '/')) {
                *at = '\0';
                (void)mkdir(folder, 0700); /* if it is not there then, opening says so */
                *at = '/';
        }
}

/*
 * The file at @path, locked; another may have been put in its place meanwhile (forget_in()).
 * Return: a descriptor or -errno.
 */
static int open_locked(const char *path, int flags) {
        for (;;) {
                _cleanup_(fd_closep) int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
                struct stat mine, there;

                if (fd < 0)
                        return err_origin(-errno);
                if (flock(fd, LOCK_EX) < 0 || fstat(fd, &mine) < 0)
                        return err_origin(-errno);
                if (stat(path, &there) == 0 && there.st_ino == mine.st_ino &&
                    there.st_dev == mine.st_dev)
                        return TAKE_FD(fd);
        }
}

/*
 * One write for the whole line, behind whole lines: half a one would make the file useless. People
 * leave the newline of the last one out, and a full disk takes a part.
 */
static int append(const char *path, const PublicKey *key) {
        char line[KEY_TEXT_SIZE + 2], full[KEY_TEXT_SIZE], last = '\n';
        _cleanup_(fd_closep) int fd = -EBADF;
        struct stat st;
        int n;

        make_folders(path);
        fd = open_locked(path, O_RDWR | O_APPEND | O_CREAT);
        if (fd < 0)
                return err_trace(fd);
        if (fstat(fd, &st) < 0 || (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) != 1))
                return err_origin(-EIO);
        n = snprintf(line, sizeof(line), "%s%s\n", last == '\n' ? "" : "\n",
                     key_format(key, full));
        if (write(fd, line, (size_t)n) == n)
                return 0;
        (void)!ftruncate(fd, st.st_size); /* nobody else writes: it is locked */
        return err_origin(-EIO);
}

void known_peers_add(KnownPeers *known, const PublicKey *key, bool transient) {
        if (remember(known, key) && known->path && !transient)
                (void)append(known->path, key);
}

/* ---- The file, for people ---- */

_public_ int p2pbus_default_known_peers(char *path, size_t n_path) {
        const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        int n;

        if (state && *state == '/')
                n = snprintf(path, n_path, "%s/p2pbus/peers", state);
        else if (home && *home == '/')
                n = snprintf(path, n_path, "%s/.local/state/p2pbus/peers", home);
        else
                return reason_fail_errno(-ENOENT, "neither $XDG_STATE_HOME nor $HOME is set");
        if (n < 0 || (size_t)n >= n_path)
                return reason_fail_errno(-ENAMETOOLONG, "the path of known peers is too long");
        return 0;
}

/* Copies all lines but those about @pid. Return: how many these were, or -errno. */
static int copy_others(FILE *from, FILE *to, Pid pid) {
        char line[LINE_MAX_SIZE];
        int n = 0;

        while (fgets(line, sizeof(line), from)) {
                char copy[LINE_MAX_SIZE], *text;
                PublicKey key;

                strcpy(copy, line);
                text = strip(copy);
                if (text && parse_full(text, &key) && key_hash(&key).address.pid == pid)
                        n++;
                else if (fputs(line, to) == EOF)
                        return -EIO;
        }
        return ferror(from) ? -EIO : n;
}

/* The same from file to file; the second one is made. Return: the same. */
static int copy_file(const char *path, const char *next, Pid pid) {
        FILE *from = fopen(path, "re"), *to;
        int n;

        if (!from)
                return err_origin(-errno);
        to = fopen(next, "wxe");
        if (!to) {
                n = err_origin(-errno);
                (void)fclose(from); /* it was only read */
                return n;
        }
        n = copy_others(from, to, pid);
        (void)fclose(from);
        if (fchmod(fileno(to), 0600) < 0)
                n = err_origin(-errno);
        if (fclose(to) == EOF)
                n = err_origin(-EIO);
        return n;
}

static int forget_in(const char *path, Pid pid) {
        _cleanup_(fd_closep) int fd = -EBADF;
        char next[LINE_MAX_SIZE];
        int n;

        if (snprintf(next, sizeof(next), "%s.new", path) >= (int)sizeof(next))
                return err_origin(-ENAMETOOLONG);
        fd = open_locked(path, O_RDWR); /* until the new one is in its place */
        if (fd < 0)
                return err_trace(fd);
        (void)unlink(next);
        n = copy_file(path, next, pid);
        if (n > 0 && rename(next, path) < 0)
                n = err_origin(-errno);
        if (n <= 0)
                (void)unlink(next);
        return n;
}

_public_ int p2pbus_forget_peer(const char *known_peers, const char *dest) {
        KeyText key;
        int n;

        if (!dest || key_text_parse(dest, &key) != 0)
                return reason_fail_text(P2PBUS_REASON_BAD_DESTINATION, "%.64s is no PID",
                                        dest ? dest : "");
        n = forget_in(known_peers, key.address.pid);
        if (n == 0 || n == -ENOENT)
                return reason_fail_errno(-ENOENT, "not known");
        return n < 0 ? reason_fail_errno(n, "%s: %s", known_peers, strerror(-n)) : 0;
}
