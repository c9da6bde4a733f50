/* SPDX-License-Identifier: Apache-2.0 */

/*
 * notified: what a service tells its manager
 *
 *      notified SOCKET
 *
 * Makes SOCKET, to be used as $NOTIFY_SOCKET, and writes what comes to stdout, line by line, until
 * it is killed.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
                fputs("usage: notified SOCKET\n", stderr);
                return EXIT_FAILURE;
        }
        memcpy(address.sun_path, argv[1], strlen(argv[1]));
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                fprintf(stderr, "notified: %s: %s\n", argv[1], strerror(errno));
                return EXIT_FAILURE;
        }
        for (;;) {
                char text[4096];
                ssize_t n = recv(fd, text, sizeof(text), 0);

                if (n < 0)
                        return EXIT_FAILURE;
                printf("%.*s\n", (int)n, text);
                fflush(stdout);
        }
}
