/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A signature is given away only after the kernel said who listens and HELLO said who we are: a
 * HELLO that another daemon's victim was shown names other credentials, and a signature over it
 * would be worth nothing here (PROTOCOL.md, "Attach").
 *
 * The kernel's word on the listener is that of the process that called listen(): with socket
 * activation the service manager's, which is root or the user itself.
 */

#include "config.h"

#include "libclient/connection.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "libcore/buf.h"
#include "libcore/err.h"
#include "libcore/stream-socket.h"
#include "libsecure/attach.h"

#define PROTO 1
#define WRITES_MAX 64 /* system calls before somebody else has a turn */

typedef enum ConnectionState {
        CONNECTION_HELLO_WAIT,
        CONNECTION_WELCOME_WAIT,
        CONNECTION_UP,
        CONNECTION_DOWN,
} ConnectionState;

struct Connection {
        ConnectionState state;
        int fd;
        int error;
        bool blocked;  /* the socket took less than we had */
        bool has_more; /* the last read filled its buffer */
        uint16_t flags;
        const IdentityKey *identity;
        Stream *stream;
        StreamFrame frame; /* popped last; n_fds: those that nobody took */
        ConnectionWelcome welcome;
};

static int path_set(char ret_path[static CONNECTION_PATH_SIZE], const char *path) {
        size_t n = strlen(path);

        if (n >= CONNECTION_PATH_SIZE)
                return err_origin(-ENAMETOOLONG);
        memcpy(ret_path, path, n + 1);
        return 0;
}

int connection_default_path(char ret_path[static CONNECTION_PATH_SIZE]) {
        const char *path = getenv("P2PBUS_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
        char folder[CONNECTION_PATH_SIZE], user[CONNECTION_PATH_SIZE];
        struct stat st;

        if (path && *path)
                return path_set(ret_path, path);
        /* A runtime folder of somebody else, left behind by su, is not ours to talk to. */
        if (runtime && *runtime == '/' &&
            snprintf(folder, sizeof(folder), "%s/p2pbus", runtime) < (int)sizeof(folder) &&
            snprintf(user, sizeof(user), "%s/p2pbus/bus", runtime) < (int)sizeof(user) &&
            stat(folder, &st) == 0 && st.st_uid == geteuid() && stat(user, &st) == 0)
                return path_set(ret_path, user);
        return path_set(ret_path, "/run/p2pbus/bus");
}

static bool uid_is_bus(uid_t uid) {
        struct passwd entry, *found = NULL;
        char buffer[4096];

        if (uid == 0 || uid == geteuid())
                return true;
        return getpwnam_r("p2pbus", &entry, buffer, sizeof(buffer), &found) == 0 && found &&
                found->pw_uid == uid;
}

/* Whether ids mean the same here as in the daemon's world, as far as we can see. */
static bool in_user_namespace(void) {
        unsigned long inside = 1, outside = 1, n = 0;
        FILE *f = fopen("/proc/self/uid_map", "re");
        int r;

        if (!f)
                return false;
        r = fscanf(f, "%lu %lu %lu", &inside, &outside, &n);
        fclose(f);
        return r != 3 || inside != 0 || outside != 0 || n != UINT32_MAX;
}

static int connect_errno(int error) {
        switch (error) {
        case ENOENT:
        case ENOTDIR:
                return CONNECTION_E_NO_SOCKET;
        case ECONNREFUSED:
        case EPROTOTYPE:
        case ENOTSOCK:
                return CONNECTION_E_NO_LISTENER;
        case EACCES:
        case EPERM:
        case ELOOP:
                return CONNECTION_E_NO_ACCESS;
        case EAGAIN: /* the only sign of a full queue that a Unix socket gives */
        case EINTR:
                return CONNECTION_E_CROWDED;
        default:
                return err_origin(-error);
        }
}

int connection_new(Connection **ret, const ConnectionOptions *options) {
        _cleanup_(connection_freep) Connection *c = NULL;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct ucred credentials;
        socklen_t size = sizeof(credentials);
        int r;

        r = path_set(address.sun_path, options->path);
        if (r < 0)
                return err_trace(r);

        c = calloc(1, sizeof(*c));
        if (!c)
                return err_origin(-ENOMEM);
        c->state = CONNECTION_HELLO_WAIT;
        c->flags = options->flags;
        c->identity = options->identity;
        c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (c->fd < 0)
                return err_origin(-errno);
        r = stream_new(&c->stream);
        if (r < 0)
                return err_trace(r);
        stream_let_lose_fds(c->stream); /* what the program has left is its own business */

        if (connect(c->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
                return connect_errno(errno);
        if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
                return err_origin(-errno);
        if (!uid_is_bus(credentials.uid))
                return CONNECTION_E_NOT_TRUSTED;

        *ret = TAKE_PTR(c);
        return 0;
}

static void frame_close(StreamFrame *frame) {
        for (unsigned i = 0; i < frame->prefix.n_fds; i++)
                (void)fd_close(frame->fds[i]);
        frame->prefix.n_fds = 0;
}

Connection *connection_free(Connection *c) {
        if (!c)
                return NULL;
        frame_close(&c->frame);
        stream_free(c->stream);
        (void)fd_close(c->fd);
        free(c);
        return NULL;
}

int connection_fd(const Connection *c) {
        return c->fd;
}

uint32_t connection_events(const Connection *c) {
        return EPOLLIN | (c->blocked ? EPOLLOUT : 0);
}

bool connection_is_up(const Connection *c) {
        return c->state == CONNECTION_UP;
}

int connection_error(const Connection *c) {
        return c->error;
}

const ConnectionWelcome *connection_welcome(const Connection *c) {
        return &c->welcome;
}

size_t connection_queued(const Connection *c) {
        return stream_output_size(c->stream);
}

/* The first reason stays: what follows is its consequence. */
static int connection_down(Connection *c, int error) {
        c->state = CONNECTION_DOWN;
        if (c->error == 0)
                c->error = error;
        return CONNECTION_E_DOWN;
}

static int consume_hello(Connection *c, const StreamFrame *frame) {
        uint8_t *out;
        Hello hello;
        int r;

        if (frame->prefix.type != FRAME_HELLO ||
            hello_decode(frame->data + FRAME_PREFIX_SIZE, frame->size - FRAME_PREFIX_SIZE,
                         &hello) != 0)
                return connection_down(c, CONNECTION_E_NOT_A_BUS);
        if ((hello.uid != geteuid() || hello.gid != getegid()) && !in_user_namespace())
                return connection_down(c, CONNECTION_E_WRONG_USER);

        r = stream_queue(c->stream, FRAME_PREFIX_SIZE + ATTACH_SIZE, NULL, 0, &out);
        if (r < 0)
                return err_trace(r);
        frame_prefix_encode(&(FramePrefix){ .size = FRAME_PREFIX_SIZE + ATTACH_SIZE,
                                            .type = FRAME_ATTACH },
                            out);
        r = attach_sign(c->identity, frame->data + FRAME_PREFIX_SIZE, PROTO, c->flags,
                        out + FRAME_PREFIX_SIZE);
        switch (r) {
        case 0:
                break;
        case ATTACH_E_FORKED:
                return connection_down(c, CONNECTION_E_FORKED);
        case ATTACH_E_PROTO:
        case ATTACH_E_MALFORMED:
                return connection_down(c, CONNECTION_E_NOT_A_BUS);
        default:
                return err_fold(r);
        }

        c->welcome.hello_flags = hello.flags;
        memcpy(c->welcome.instance, hello.instance, sizeof(c->welcome.instance));
        c->state = CONNECTION_WELCOME_WAIT;
        return 0;
}

static int consume_welcome(Connection *c, const StreamFrame *frame) {
        PacketHeader header;
        Control control;
        BufReader body;

        if (packet_header_decode(frame->data, frame->size, &header) != 0 ||
            header.kind != PACKET_CONTROL ||
            control_decode(frame->data + PACKET_HEADER_SIZE, frame->size - PACKET_HEADER_SIZE,
                           &control) != 0)
                return connection_down(c, CONNECTION_E_NOT_A_BUS);
        if (control.verb == CONTROL_ERROR || control.verb == CONTROL_GOODBYE)
                return connection_down(c, control.code ? control.code : CONNECTION_E_LOST);
        if (control.verb != CONTROL_WELCOME ||
            !address_equal(control.address, identity_hash(c->identity)->address))
                return connection_down(c, CONNECTION_E_NOT_A_BUS);

        body = buf_reader(control.body, control.n_body);
        c->welcome.flags = control.value;
        c->welcome.self = control.address;
        c->welcome.message_max = buf_get_le64(&body);
        c->welcome.queue_bytes = buf_get_le64(&body);
        c->welcome.age_usec = buf_get_le64(&body);
        c->state = CONNECTION_UP;
        return 0;
}

/* Everything before UP; packets that follow WELCOME in the same read are left for pop. */
static int consume_attach(Connection *c) {
        while (c->state == CONNECTION_HELLO_WAIT || c->state == CONNECTION_WELCOME_WAIT) {
                StreamFrame frame;
                int r;

                r = stream_pop(c->stream, &frame);
                if (r == STREAM_E_EMPTY)
                        return 0;
                if (r != 0)
                        return connection_down(c, CONNECTION_E_NOT_A_BUS);
                frame_close(&frame);
                r = c->state == CONNECTION_HELLO_WAIT ? consume_hello(c, &frame) :
                                                        consume_welcome(c, &frame);
                if (r != 0)
                        return r;
        }
        return 0;
}

int connection_read(Connection *c) {
        size_t n;
        int r;

        if (c->state == CONNECTION_DOWN)
                return CONNECTION_E_DOWN;

        r = stream_socket_read(c->stream, c->fd, &n);
        c->has_more = r == 0 && n >= STREAM_READ_SIZE;
        switch (r) {
        case 0:
                break;
        case STREAM_SOCKET_E_AGAIN:
                return CONNECTION_E_EMPTY;
        case STREAM_SOCKET_E_CLOSED:
        case STREAM_SOCKET_E_VIOLATION:
                return connection_down(c, c->state == CONNECTION_HELLO_WAIT ?
                                               CONNECTION_E_NOT_A_BUS :
                                               CONNECTION_E_LOST);
        default:
                if (r == -ENOMEM)
                        return err_trace(r);
                return connection_down(c, CONNECTION_E_LOST);
        }

        r = consume_attach(c);
        if (r == 0 && connection_queued(c) > 0 && !c->blocked)
                r = connection_write(c) == CONNECTION_E_DOWN ? CONNECTION_E_DOWN : 0;
        return r;
}

bool connection_has_more(const Connection *c) {
        return c->has_more;
}

int connection_pop(Connection *c, PacketHeader *ret_header, const uint8_t **ret_data) {
        int r;

        frame_close(&c->frame);
        /* What came before the end of the connection is as good as before. */
        if (c->state != CONNECTION_UP && (c->state != CONNECTION_DOWN || !c->welcome.message_max))
                return c->state == CONNECTION_DOWN ? CONNECTION_E_DOWN : CONNECTION_E_EMPTY;

        r = stream_pop(c->stream, &c->frame);
        if (r == STREAM_E_EMPTY)
                return c->state == CONNECTION_DOWN ? CONNECTION_E_DOWN : CONNECTION_E_EMPTY;
        if (r != 0)
                return connection_down(c, CONNECTION_E_LOST);
        if (c->frame.prefix.type != FRAME_PACKET ||
            packet_header_decode(c->frame.data, c->frame.size, ret_header) != 0)
                return connection_down(c, CONNECTION_E_LOST);
        *ret_data = c->frame.data;
        return 0;
}

unsigned connection_take_fds(Connection *c, int out[static FRAME_FDS_MAX]) {
        unsigned n = c->frame.prefix.n_fds;

        memcpy(out, c->frame.fds, n * sizeof(*out));
        c->frame.prefix.n_fds = 0;
        return n;
}

int connection_queue(Connection *c, size_t size, uint8_t **ret_data) {
        return err_trace(stream_queue(c->stream, size, NULL, 0, ret_data));
}

int connection_queue_control(Connection *c, const Control *control, const PacketId *id) {
        return err_trace(connection_queue_control_fds(c, control, id, NULL, 0));
}

int connection_queue_control_fds(Connection *c, const Control *control, const PacketId *id,
                                 const int *fds, size_t n_fds) {
        static const PacketId none;
        uint8_t *out;
        int r;

        r = stream_queue(c->stream, control_packet_size(control), fds, n_fds, &out);
        if (r < 0)
                return err_trace(r);
        control_packet_encode(control, identity_hash(c->identity)->address,
                              (Address){ .pid = PID_DAEMON }, id ? id : &none, out);
        packet_set_n_fds(out, n_fds);
        return 0;
}

int connection_write(Connection *c) {
        if (c->state == CONNECTION_DOWN)
                return CONNECTION_E_DOWN;

        for (unsigned i = 0; i < WRITES_MAX && connection_queued(c) > 0; i++) {
                size_t n;
                int r;

                r = stream_socket_write(c->stream, c->fd, &n);
                switch (r) {
                case 0:
                        break;
                case STREAM_SOCKET_E_AGAIN:
                        c->blocked = true;
                        return CONNECTION_E_EMPTY;
                default:
                        /* What the daemon said before it closed, a reason perhaps, is still to be
                         * read: the end of the connection is found there. */
                        c->blocked = false;
                        return CONNECTION_E_EMPTY;
                }
        }
        c->blocked = connection_queued(c) > 0;
        return c->blocked ? CONNECTION_E_EMPTY : 0;
}
