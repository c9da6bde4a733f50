/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Usage: notify-listen PATH
 *
 * The other end of sd_notify() for shell tests: binds a datagram socket at PATH, says `bound`, and
 * prints each assignment that comes on a line of its own, until it is ended.
 */

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char text[4096];
        ssize_t n;
        int fd;

        if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
                fprintf(stderr, "usage: notify-listen PATH\n");
                return 2;
        }
        strcpy(address.sun_path, argv[1]);
        fd = socket(AF_UNIX, SOCK_DGRAM, 0);
        if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
                perror("notify-listen");
                return 1;
        }
        setvbuf(stdout, NULL, _IOLBF, 0);
        printf("bound\n");
        while ((n = recv(fd, text, sizeof(text) - 1, 0)) > 0) {
                text[n] = '\0';
                printf("%s%s", text, text[n - 1] == '\n' ? "" : "\n");
        }
        return 0;
}
