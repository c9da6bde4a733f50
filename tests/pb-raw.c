/* SPDX-License-Identifier: Apache-2.0 */

/*
 * pb-raw: any bytes over a socket, for the tests of p2pbus-procbridge
 *
 *      pb-raw ask WHERE [half]         sends what stdin has in hex, with "half" says that this is all, and
 *                                      prints all that comes back, in hex
 *      pb-raw answer PATH FILE         listens at PATH; of each client reads one packet, prints it in hex,
 *                                      and sends what FILE has in hex at that time; "hold" in it: nothing,
 *                                      and does not close; "wait": neither, until the client has closed,
 *                                      and prints "gone" then
 *      pb-raw pass PATH COMMAND...     listens at PATH and becomes the command, which gets the socket as
 *                                      from systemd
 *
 * WHERE is a path, a port of 127.0.0.1, or [::1]:PORT. '#' begins a comment that goes to the end of its line.
 */

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BYTES_MAX 1000000

static uint8_t bytes[BYTES_MAX];

__attribute__((noreturn)) static void die(const char *what) {
        fprintf(stderr, "pb-raw: %s: %s\n", what, strerror(errno));
        exit(EXIT_FAILURE);
}

static size_t read_hex(FILE *in) {
        size_t n = 0;
        unsigned byte;
        int c;

        while ((c = fgetc(in)) != EOF) {
                if (c == '#') {
                        while (c != '\n' && c != EOF)
                                c = fgetc(in);
                        continue;
                }
                if (c <= ' ')
                        continue;
                (void)ungetc(c, in);
                if (n == BYTES_MAX || fscanf(in, "%2x", &byte) != 1)
                        die("no hex");
                bytes[n++] = (uint8_t)byte;
        }
        return n;
}

static void print_hex(const uint8_t *data, size_t n) {
        for (size_t i = 0; i < n; i++)
                printf("%02x", data[i]);
}

static void send_all(int fd, size_t n) {
        for (size_t at = 0; at < n;) {
                ssize_t k = send(fd, bytes + at, n - at, MSG_NOSIGNAL);

                if (k < 0)
                        return; /* it wants no more; what it said is what counts */
                at += (size_t)k;
        }
}

static int ask(const char *where, int half) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        int fd, r;
        ssize_t n;

        if (strchr(where, '/')) {
                (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", where);
                fd = socket(AF_UNIX, SOCK_STREAM, 0);
                r = connect(fd, (struct sockaddr *)&un, sizeof(un));
        } else if (strncmp(where, "[::1]:", 6) == 0) {
                in6.sin6_port = htons((uint16_t)strtoul(where + 6, NULL, 10));
                fd = socket(AF_INET6, SOCK_STREAM, 0);
                r = connect(fd, (struct sockaddr *)&in6, sizeof(in6));
        } else {
                in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
                in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                fd = socket(AF_INET, SOCK_STREAM, 0);
                r = connect(fd, (struct sockaddr *)&in, sizeof(in));
        }
        if (r < 0)
                die(where);
        send_all(fd, read_hex(stdin));
        if (half)
                (void)shutdown(fd, SHUT_WR);
        while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
                print_hex(bytes, (size_t)n);
        printf("\n");
        return EXIT_SUCCESS;
}

static int receive(int fd, uint8_t *to, size_t n) {
        for (ssize_t k; n > 0; to += k, n -= (size_t)k) {
                k = recv(fd, to, n, 0);
                if (k <= 0)
                        return -1;
        }
        return 0;
}

static int listen_at(const char *path, int backlog) {
        struct sockaddr_un un = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s", path);
        if (bind(fd, (struct sockaddr *)&un, sizeof(un)) < 0 || listen(fd, backlog) < 0)
                die(path);
        return fd;
}

static void wait_gone(int fd) {
        char byte;

        while (recv(fd, &byte, 1, 0) > 0)
                ;
        printf("gone\n");
        (void)fflush(stdout);
}

__attribute__((noreturn)) static void answer(const char *path, const char *file) {
        int listener = listen_at(path, 0);

        fprintf(stderr, "listening\n");
        for (;;) {
                int fd = accept(listener, NULL, NULL), first;
                size_t n;
                FILE *f;

                if (fd < 0)
                        die("accept");
                if (receive(fd, bytes, 11) == 0) {
                        n = bytes[7] | (size_t)bytes[8] << 8 | (size_t)bytes[9] << 16;
                        if (n + 11 > BYTES_MAX || receive(fd, bytes + 11, n) < 0)
                                die("request");
                        print_hex(bytes, 11 + n);
                        printf("\n");
                        (void)fflush(stdout);
                        f = fopen(file, "re");
                        if (!f)
                                die(file);
                        first = fgetc(f);
                        if (first == 'h') {
                                (void)fclose(f);
                                continue; /* it hangs, as others do */
                        }
                        (void)ungetc(first, f); /* no rewind(): it may be a pipe */
                        if (first == 'w')
                                wait_gone(fd);
                        else
                                send_all(fd, read_hex(f));
                        (void)fclose(f);
                }
                (void)close(fd);
        }
}

__attribute__((noreturn)) static void pass(const char *path, char **command) {
        char pid[20];

        if (dup2(listen_at(path, 16), 3) < 0)
                die(path);
        (void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
        if (setenv("LISTEN_FDS", "1", 1) < 0 || setenv("LISTEN_PID", pid, 1) < 0)
                die("environment");
        (void)execvp(command[0], command);
        die(command[0]);
}

int main(int argc, char **argv) {
        (void)signal(SIGPIPE, SIG_IGN);
        if (argc >= 3 && strcmp(argv[1], "ask") == 0)
                return ask(argv[2], argc > 3);
        if (argc == 4 && strcmp(argv[1], "answer") == 0)
                answer(argv[2], argv[3]);
        if (argc >= 4 && strcmp(argv[1], "pass") == 0)
                pass(argv[2], argv + 3);
        fprintf(stderr, "pb-raw: ask WHERE [half] | answer PATH FILE | pass PATH COMMAND...\n");
        return 2;
}
