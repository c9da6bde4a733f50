/* SPDX-License-Identifier: Apache-2.0 */

#include "bridge/known-relays.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <utlist.h>

#include "libcore/err.h"
#include "libcore/url.h"

typedef struct KnownRelay KnownRelay;

struct KnownRelay {
        KnownRelay *next;
        PublicKey key;
        char url[WS_URL_MAX + 1];
};

struct KnownRelays {
        KnownRelay *list;
        unsigned n;
        char *path;
};

KnownRelays *known_relays_free(KnownRelays *known) {
        KnownRelay *relay, *next;

        if (!known)
                return NULL;

        LL_FOREACH_SAFE (known->list, relay, next)
                free(relay);
        free(known->path);
        free(known);
        return NULL;
}

static int remember(KnownRelays *known, const char *url, const PublicKey *key) {
        KnownRelay *relay;

        if (known->n >= KNOWN_RELAYS_MAX)
                return err_origin(-ENOSPC);
        relay = calloc(1, sizeof(*relay));
        if (!relay)
                return err_origin(-ENOMEM);
        relay->key = *key;
        snprintf(relay->url, sizeof(relay->url), "%s", url);
        LL_PREPEND(known->list, relay);
        known->n++;
        return 0;
}

static int parse_line(KnownRelays *known, char *line) {
        char *url = strtok(line, " \t\n"), *full = strtok(NULL, " \t\n");
        KeyText text;
        WsUrl parsed;

        if (!url || url[0] == '#')
                return 0;
        if (!full || strtok(NULL, " \t\n") || ws_url_parse(url, &parsed) != 0 ||
            key_text_parse(full, &text) != 0 || text.form != KEY_FORM_FULL)
                return KNOWN_RELAYS_E_MALFORMED;
        return remember(known, url, &text.key);
}

static int read_file(KnownRelays *known, FILE *file, unsigned *ret_line) {
        char line[WS_URL_MAX + KEY_TEXT_SIZE + 16];
        unsigned n = 0;

        while (fgets(line, sizeof(line), file)) {
                int r = parse_line(known, line);

                n++;
                if (r != 0) {
                        *ret_line = n;
                        return r;
                }
        }
        return ferror(file) ? err_origin(-EIO) : 0;
}

int known_relays_new(KnownRelays **ret, const char *path, unsigned *ret_line) {
        _cleanup_(known_relays_freep) KnownRelays *known = NULL;
        FILE *file;
        int r, fd;

        known = calloc(1, sizeof(*known));
        if (!known)
                return err_origin(-ENOMEM);
        if (!path) {
                *ret = TAKE_PTR(known);
                return 0;
        }
        known->path = strdup(path);
        if (!known->path)
                return err_origin(-ENOMEM);

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0 && errno != ENOENT)
                return err_origin(-errno);
        if (fd >= 0) {
                file = fdopen(fd, "r");
                if (!file) {
                        fd_close(fd);
                        return err_origin(-ENOMEM);
                }
                r = read_file(known, file, ret_line);
                (void)fclose(file); /* it was only read */
                if (r != 0)
                        return r;
        }
        *ret = TAKE_PTR(known);
        return 0;
}

const PublicKey *known_relays_find(const KnownRelays *known, const char *url) {
        const KnownRelay *relay;

        LL_FOREACH (known->list, relay)
                if (strcmp(relay->url, url) == 0)
                        return &relay->key;
        return NULL;
}

/* One write for the whole line: half a line would lock the bridge out at its next start. */
static int append(const char *path, const char *url, const PublicKey *key) {
        char full[KEY_TEXT_SIZE], line[WS_URL_MAX + KEY_TEXT_SIZE + 3];
        _cleanup_(fd_closep) int fd = -EBADF;
        ssize_t n;
        int size;

        fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return err_origin(-errno);
        size = snprintf(line, sizeof(line), "%s %s\n", url, key_format(key, full));
        n = write(fd, line, (size_t)size);
        if (n < 0)
                return err_origin(-errno);
        if (n != size)
                return err_origin(-ENOSPC);
        return fdatasync(fd) < 0 ? err_origin(-errno) : 0;
}

int known_relays_add(KnownRelays *known, const char *url, const PublicKey *key) {
        int r = remember(known, url, key);

        if (r < 0)
                return err_trace(r);
        return known->path ? append(known->path, url, key) : 0;
}

const char *known_relays_path(const KnownRelays *known) {
        return known->path;
}
