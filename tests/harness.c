/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tests/harness.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "libcore/stream-socket.h"
#include "libsecure/crypto.h"
#include "libsecure/signed-record.h"
#include "tests/main.h"

static void wait_readable(int fd) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        int n;

        do
                n = poll(&p, 1, EXPECT_MSEC);
        while (n < 0 && errno == EINTR);
        ck_assert_msg(n == 1, "nothing came within %d ms", EXPECT_MSEC);
}

static void write_file(const char *path, const char *text) {
        FILE *f = fopen(path, "we");

        ck_assert_ptr_nonnull(f);
        ck_assert_int_ge(fputs(text, f), 0);
        ck_assert_int_eq(fclose(f), 0);
}

/* A datagram socket that the daemon says READY=1 to. */
static int notify_socket(const Daemon *d, char *path, size_t n_path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        (void)snprintf(path, n_path, "%s/notify", d->folder);
        (void)unlink(path);
        ck_assert_uint_lt(strlen(path), sizeof(address.sun_path));
        strcpy(address.sun_path, path);
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        return fd;
}

void daemon_restart(Daemon *d, const char *kind) {
        const char *build = getenv("top_builddir");
        char notify[128], state[128], program[4096], text[4096];
        int fd = notify_socket(d, notify, sizeof(notify));
        ssize_t n;

        (void)snprintf(state, sizeof(state), "%s/state", d->folder);
        (void)snprintf(program, sizeof(program), "%s/p2pbusd", build ? build : ".");
        d->os_pid = test_fork();
        if (d->os_pid == 0) {
                int log = open(d->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

                (void)dup2(log, STDERR_FILENO);
                (void)setenv("NOTIFY_SOCKET", notify, 1);
                (void)unsetenv("LISTEN_FDS");
                (void)unsetenv("P2PBUS_LOG");
                /* A word splits at its spaces: this is where make valgrind comes in. */
                execl("/bin/sh", "sh", "-c", "exec $daemon_wrapper \"$@\"", "sh", program, kind,
                      "--socket", d->socket, "--config", d->config, "--state-dir", state,
                      "--policy-dir", d->policy, (char *)NULL);
                fprintf(stderr, "%s: %s\n", program, strerror(errno));
                _exit(127);
        }
        do {
                wait_readable(fd);
                n = recv(fd, text, sizeof(text) - 1, 0);
                ck_assert_int_gt(n, 0);
                text[n] = '\0';
        } while (!strstr(text, "READY=1"));
        close(fd);
}

void daemon_rule(const Daemon *d, const char *name, const char *text) {
        char path[192];
        FILE *out;

        (void)snprintf(path, sizeof(path), "%s/%s", d->policy, name);
        if (!text) {
                ck_assert_int_eq(unlink(path), 0);
                return;
        }
        ck_assert(mkdir(d->policy, 0755) == 0 || errno == EEXIST);
        out = fopen(path, "w");
        ck_assert_ptr_nonnull(out);
        ck_assert_int_ge(fputs(text, out), 0);
        ck_assert_int_eq(fclose(out), 0);
        ck_assert_int_eq(chmod(path, 0644), 0);
}

void daemon_configure(const Daemon *d, const char *config) {
        write_file(d->config, config);
}

void daemon_start(Daemon *d, const char *kind, const char *config) {
        ck_assert_int_eq(crypto_init(), 0);
        strcpy(d->folder, "/tmp/p2pbus-check-XXXXXX");
        ck_assert_ptr_nonnull(mkdtemp(d->folder));
        ck_assert_int_eq(chmod(d->folder, 0755), 0); /* other users connect too */
        (void)snprintf(d->socket, sizeof(d->socket), "%s/bus", d->folder);
        (void)snprintf(d->config, sizeof(d->config), "%s/p2pbusd.conf", d->folder);
        (void)snprintf(d->log, sizeof(d->log), "%s/log", d->folder);
        (void)snprintf(d->policy, sizeof(d->policy), "%s/policy.d", d->folder);
        daemon_configure(d, config ? config : "");
        daemon_restart(d, kind);
}

void daemon_end(Daemon *d) {
        int status;

        ck_assert_int_eq(kill(d->os_pid, SIGTERM), 0);
        ck_assert_int_eq(waitpid(d->os_pid, &status, 0), d->os_pid);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
                char *said = daemon_said(d);

                ck_abort_msg("daemon ended with status %#x:\n%s", (unsigned)status, said);
        }
}

void daemon_stop(Daemon *d) {
        char command[128];

        daemon_end(d);
        (void)snprintf(command, sizeof(command), "rm -rf %s", d->folder);
        ck_assert_int_eq(system(command), 0);
}

char *daemon_said(const Daemon *d) {
        FILE *f = fopen(d->log, "re");
        char *text = NULL;
        size_t n = 0;

        ck_assert_ptr_nonnull(f);
        if (getdelim(&text, &n, '\0', f) < 0) {
                free(text);
                text = strdup("");
        }
        (void)fclose(f);
        return text;
}

unsigned daemon_said_times(const Daemon *d, const char *what) {
        char *said = daemon_said(d);
        unsigned n = 0;

        for (const char *p = said; (p = strstr(p, what)) != NULL; p++)
                n++;
        free(said);
        return n;
}

uint64_t daemon_status(const Daemon *d, const char *key) {
        char line[128], text[FRAME_SIZE_MAX];
        const Control *word;
        const char *found;
        uint64_t value;
        Client c;

        client_open(&c, d, 0);
        client_say(&c, &(Control){ .verb = CONTROL_QUERY, .value = QUERY_STATUS });
        word = expect_word(&c, CONTROL_ANSWER);
        text[0] = '\n';
        memcpy(text + 1, word->body, word->n_body);
        text[word->n_body + 1] = '\0';
        (void)snprintf(line, sizeof(line), "\n%s\t", key);
        found = strstr(text, line);
        value = found ? strtoull(found + strlen(line), NULL, 10) : 0;
        client_close(&c);
        return value;
}

static int connect_to(const char *path) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        strcpy(address.sun_path, path);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -errno;
        return fd;
}

/* A child of that user connects and passes the descriptor back: the kernel keeps its credentials. */
static int connect_as(const char *path, uid_t uid) {
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(sizeof(int))];
        } control;
        uint8_t byte = 0;
        struct iovec iov = { &byte, 1 };
        struct msghdr m = { .msg_iov = &iov,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof(control) };
        int ends[2], fd, status;
        pid_t child;

        memset(&control, 0, sizeof(control));
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        child = test_fork();
        if (child == 0) {
                if (setresgid(uid, uid, uid) < 0 || setresuid(uid, uid, uid) < 0)
                        _exit(1);
                fd = connect_to(path);
                if (fd < 0)
                        _exit(2);
                CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
                CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
                CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(int));
                _exit(sendmsg(ends[1], &m, 0) == 1 ? 0 : 3);
        }
        close(ends[1]);
        ck_assert_int_eq(recvmsg(ends[0], &m, MSG_CMSG_CLOEXEC), 1);
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
        close(ends[0]);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_int_eq(status, 0);
        return fd;
}

/* Reads until a whole frame is there. Return: 0, or STREAM_SOCKET_E_CLOSED. */
static int read_frame(Client *c, StreamFrame *ret) {
        size_t n;
        int r;

        for (;;) {
                r = stream_pop(c->stream, ret);
                if (r == 0)
                        return 0;
                ck_assert_int_eq(r, STREAM_E_EMPTY);
                wait_readable(c->fd);
                r = stream_socket_read(c->stream, c->fd, &n);
                if (r == STREAM_SOCKET_E_CLOSED)
                        return r;
                ck_assert(r == 0 || r == STREAM_SOCKET_E_AGAIN);
        }
}

static void client_begin(Client *c, int fd, IdentityKey *key) {
        memset(c, 0, sizeof(*c));
        ck_assert_msg(fd >= 0, "connect: %s", strerror(-fd));
        c->fd = fd;
        c->key = key;
        if (!key)
                ck_assert_int_eq(identity_new_random(&c->key), 0);
        c->address = identity_hash(c->key)->address;
        ck_assert_int_eq(stream_new(&c->stream), 0);
}

static void read_hello(Client *c) {
        StreamFrame frame;

        ck_assert_int_eq(read_frame(c, &frame), 0);
        ck_assert_uint_eq(frame.prefix.type, FRAME_HELLO);
        memcpy(c->hello, frame.data + FRAME_PREFIX_SIZE, HELLO_SIZE);
}

void client_connect(Client *c, const Daemon *d, IdentityKey *key) {
        client_begin(c, connect_to(d->socket), key);
        read_hello(c);
}

void client_connect_as(Client *c, const Daemon *d, IdentityKey *key, uid_t uid) {
        client_begin(c, connect_as(d->socket, uid), key);
        read_hello(c);
}

int client_connect_raw(const Daemon *d, uid_t uid) {
        return connect_as(d->socket, uid);
}

void client_make_attach(const Client *c, uint16_t flags,
                        uint8_t out[static FRAME_PREFIX_SIZE + ATTACH_SIZE]) {
        FramePrefix prefix = { .size = FRAME_PREFIX_SIZE + ATTACH_SIZE, .type = FRAME_ATTACH };

        frame_prefix_encode(&prefix, out);
        ck_assert_int_eq(attach_sign(c->key, c->hello, 1, flags, out + FRAME_PREFIX_SIZE), 0);
}

uint32_t client_attach(Client *c, uint16_t flags) {
        uint8_t frame[FRAME_PREFIX_SIZE + ATTACH_SIZE];
        const Control *word;
        uint32_t granted;

        client_make_attach(c, flags, frame);
        ck_assert(client_write(c, frame, sizeof(frame)));
        word = expect_word(c, CONTROL_WELCOME);
        ck_assert(address_equal(word->address, c->address));
        granted = word->value;
        if (flags & ATTACH_OFF_HOST && !(granted & ATTACH_OFF_HOST))
                ck_assert_uint_eq(expect_word(c, CONTROL_RIGHTS)->value, CONTROL_LEASE);
        return granted;
}

void client_open(Client *c, const Daemon *d, uint16_t flags) {
        client_connect(c, d, NULL);
        (void)client_attach(c, flags);
}

bool client_try_open(Client *c, const Daemon *d) {
        StreamFrame frame;

        client_begin(c, connect_to(d->socket), NULL);
        if (read_frame(c, &frame) != 0) {
                client_close(c);
                return false;
        }
        memcpy(c->hello, frame.data + FRAME_PREFIX_SIZE, HELLO_SIZE);
        (void)client_attach(c, 0);
        return true;
}

void client_open_as(Client *c, const Daemon *d, uint16_t flags, uid_t uid) {
        client_connect_as(c, d, NULL, uid);
        (void)client_attach(c, flags);
}

void client_close(Client *c) {
        close(c->fd);
        c->stream = stream_free(c->stream);
        c->key = identity_free(c->key);
}

bool client_write_fds(Client *c, const void *data, size_t n, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr align;
                uint8_t bytes[CMSG_SPACE(16 * sizeof(int))];
        } control;
        const uint8_t *at = data;

        while (n > 0) {
                struct iovec iov = { (void *)at, n };
                struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
                ssize_t done;

                if (n_fds > 0) {
                        memset(&control, 0, sizeof(control));
                        m.msg_control = &control;
                        m.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
                        CMSG_FIRSTHDR(&m)->cmsg_level = SOL_SOCKET;
                        CMSG_FIRSTHDR(&m)->cmsg_type = SCM_RIGHTS;
                        CMSG_FIRSTHDR(&m)->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
                        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, n_fds * sizeof(int));
                }
                done = sendmsg(c->fd, &m, MSG_NOSIGNAL);
                if (done < 0 && errno == EINTR)
                        continue;
                if (done < 0)
                        return false;
                at += done;
                n -= (size_t)done;
                n_fds = 0;
        }
        return true;
}

bool client_write(Client *c, const void *data, size_t n) {
        return client_write_fds(c, data, n, NULL, 0);
}

bool client_send_header(Client *c, PacketHeader header, const void *payload, size_t n) {
        uint8_t packet[FRAME_SIZE_MAX];

        header.size = (uint32_t)(PACKET_HEADER_SIZE + n);
        packet_header_encode(&header, packet);
        if (n > 0)
                memcpy(packet + PACKET_HEADER_SIZE, payload, n);
        return client_write(c, packet, header.size);
}

PacketId client_send(Client *c, Address dst, PacketKind kind, const void *payload, size_t n) {
        PacketHeader header = {
                .src = c->address,
                .dst = dst,
                .id = packet_id_make(now_usec(CLOCK_REALTIME), ++c->n_sent),
                .kind = (uint16_t)kind,
        };

        ck_assert(client_send_header(c, header, payload, n));
        return header.id;
}

PacketId client_say(Client *c, const Control *word) {
        uint8_t payload[PACKET_PAYLOAD_MAX];

        control_encode(word, payload);
        return client_send(c, (Address){ PID_DAEMON, 0 }, PACKET_CONTROL, payload,
                           CONTROL_HEAD_SIZE + word->n_body);
}

const Received *expect_packet(Client *c) {
        Received *last = &c->last;
        StreamFrame frame;

        ck_assert_msg(read_frame(c, &frame) == 0, "the daemon closed the connection");
        ck_assert_int_eq(packet_header_decode(frame.data, frame.size, &last->header), 0);
        memcpy(last->bytes, frame.data, frame.size);
        memcpy(last->fds, frame.fds, sizeof(last->fds));
        memset(&last->word, 0, sizeof(last->word));
        if (last->header.kind == PACKET_CONTROL) {
                ck_assert_uint_eq(last->header.src.pid, PID_DAEMON);
                ck_assert_int_eq(control_decode(last->bytes + PACKET_HEADER_SIZE,
                                                frame.size - PACKET_HEADER_SIZE, &last->word),
                                 0);
        }
        return last;
}

void client_begin_gateway(Client *c, const Daemon *d, IdentityKey *key) {
        client_connect(c, d, key);
        (void)client_attach(c, 0);
        client_say(c, &(Control){ .verb = CONTROL_GATEWAY });
        (void)expect_word(c, CONTROL_OK);
}

void client_open_gateway(Client *c, const Daemon *d) {
        client_begin_gateway(c, d, NULL);
        (void)expect_word(c, CONTROL_SYNCED);
}

void client_make_lease(const Client *c, const uint8_t *request, uint32_t flags,
                       uint8_t out[static CONTROL_LEASE_SIZE]) {
        SignedRecord record = {
                .type = SIGNED_RECORD_LEASE,
                .issued_usec = load_le64(request + 32),
                .not_after_usec = load_le64(request + 40),
                .lease = { .flags = flags, .encpk = { 9 } },
        };
        size_t n;

        record.lease.enc_until_usec = record.not_after_usec;
        memcpy(record.lease.bridge.bytes, request, KEY_SIZE);
        ck_assert_int_eq(signed_record_sign(&record, c->key, out, CONTROL_LEASE_SIZE, &n), 0);
        ck_assert_uint_eq(n, CONTROL_LEASE_SIZE);
}

void client_give_lease(Client *c, uint8_t *ret_lease) {
        const Control *request = expect_word(c, CONTROL_LEASE_REQUEST);
        uint8_t lease[CONTROL_LEASE_SIZE];

        client_make_lease(c, request->body, request->value, lease);
        client_say(c, &(Control){ .verb = CONTROL_LEASE, .body = lease, .n_body = sizeof(lease) });
        if (ret_lease)
                memcpy(ret_lease, lease, sizeof(lease));
}

static const Received *expect_no_notice(Client *c) {
        const Received *last;

        do
                last = expect_packet(c);
        while (last->word.verb == CONTROL_NOTICE);
        return last;
}

const Control *expect_word(Client *c, ControlVerb verb) {
        const Received *last = verb == CONTROL_NOTICE ? expect_packet(c) : expect_no_notice(c);

        ck_assert_msg(last->word.verb == verb, "expected verb %d, got %u (%s), kind %u", (int)verb,
                      last->word.verb, control_code_text(last->word.code), last->header.kind);
        return &last->word;
}

const Control *expect_error(Client *c, ControlCode code) {
        const Control *word = expect_word(c, CONTROL_ERROR);

        ck_assert_msg(word->code == code, "expected \"%s\", got \"%s\"",
                      control_code_text((uint16_t)code), control_code_text(word->code));
        return word;
}

const Received *expect_payload(Client *c, PacketKind kind, const void *payload, size_t n) {
        const Received *last = expect_no_notice(c);

        ck_assert_msg(last->header.kind == kind, "expected kind %d, got %u, verb %u (%s)",
                      (int)kind, last->header.kind, last->word.verb,
                      control_code_text(last->word.code));
        ck_assert_uint_eq(last->header.size, PACKET_HEADER_SIZE + n);
        ck_assert(n == 0 || memcmp(last->bytes + PACKET_HEADER_SIZE, payload, n) == 0);
        return last;
}

void expect_closed(Client *c) {
        StreamFrame frame;

        while (read_frame(c, &frame) == 0)
                ck_assert_uint_eq(load_le16(frame.data + 64), PACKET_CONTROL);
}

void expect_silence(Client *c) {
        PacketId id = client_say(c, &(Control){ .verb = CONTROL_RESOLVE, .address = c->address });
        const Control *word = expect_word(c, CONTROL_RESOLVED);

        ck_assert_mem_eq(word->ref.bytes, id.bytes, PACKET_ID_SIZE);
}
