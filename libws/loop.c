/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Three events make the uv loop turn: its epoll descriptor is readable, its next timer is due, or
 * the sd-event is about to sleep (prepare) while there is something that no descriptor shows:
 *
 *   - uv_backend_timeout() is 0: changed interest in a descriptor that is not yet in the epoll
 *     set, pending or closing handles;
 *   - libwebsockets holds input in memory, decrypted or left over after flow control, and its
 *     plugin looks at it only once.
 *
 * A prepare turns the loop at most TURNS_MAX times, so that a busy connection cannot keep the
 * other sources of the sd-event waiting, and sets the timer only when the time has changed: a
 * timerfd_settime() a turn trebles the round trip.
 */

#include "libws/loop.h"

#include <libwebsockets.h>
#include <utlist.h>
#include <uv.h>

#include "libcore/err.h"

#define TURNS_MAX 16
#define SPARE_BUFFERS_MAX 4

/*
 * One read takes this much at most. One buffer serves all connections; a connection of ours costs
 * memory only for what is being assembled or sent.
 */
#define SERVICE_BUFFER_SIZE (64 * 1024 + LWS_PRE)

#define HTTP_HEAD_MAX (8 * 1024)
#define HTTP_TIMEOUT_SEC 10

struct WsLoop {
        uv_loop_t uv;
        void *foreign[1];
        sd_event *event;
        sd_event_source *io;
        sd_event_source *timer;
        struct lws_context *context;
        uint64_t due_usec; /* what the timer is set to */
        uint8_t *spare_buffers[SPARE_BUFFERS_MAX];
        unsigned n_spare_buffers;
        WsLoopText *texts;
        bool uv_live;
        bool armed;
        bool turning; /* in uv_run(): timers are armed when it returns */
};

static void loop_turn(WsLoop *loop) {
        loop->turning = true;
        (void)uv_run(&loop->uv, UV_RUN_NOWAIT); /* tells only whether handles are left */
        loop->turning = false;
}

static int on_loop_io(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
        (void)source, (void)fd, (void)revents;
        loop_turn(userdata);
        return 0;
}

static int on_loop_timer(sd_event_source *source, uint64_t usec, void *userdata) {
        WsLoop *loop = userdata;

        (void)source, (void)usec;
        loop->armed = false;
        loop_turn(loop);
        return 0;
}

/* The second call yields 0 when all such connections are flow controlled: waiting is right then. */
static bool loop_holds_input(WsLoop *loop) {
        return lws_service_adjust_timeout(loop->context, 1, 0) == 0 &&
               _lws_plat_service_forced_tsi(loop->context, 0) > 0;
}

static int loop_set_timer(WsLoop *loop, int timeout_msec) {
        uint64_t due_usec;

        if (timeout_msec < 0) {
                if (!loop->armed)
                        return 0;
                loop->armed = false;
                return sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
        }

        /* uv_now() is CLOCK_MONOTONIC in milliseconds; time 1 is always due. */
        due_usec =
                timeout_msec > 0 ? (uv_now(&loop->uv) + (uint64_t)timeout_msec) * USEC_PER_MSEC : 1;
        if (loop->armed && due_usec == loop->due_usec)
                return 0;
        loop->due_usec = due_usec;
        loop->armed = true;
        (void)sd_event_source_set_time(loop->timer, due_usec); /* fails only after a fork */
        return sd_event_source_set_enabled(loop->timer, SD_EVENT_ONESHOT);
}

static int on_loop_prepare(sd_event_source *source, void *userdata) {
        WsLoop *loop = userdata;
        unsigned n_turns = 0;
        int timeout;

        (void)source;
        if (!loop->context)
                return 0;
        for (;;) {
                bool holds = loop_holds_input(loop);

                timeout = uv_backend_timeout(&loop->uv);
                if (!holds && timeout != 0)
                        break;
                if (n_turns++ >= TURNS_MAX) {
                        timeout = 0;
                        break;
                }
                if (timeout == 0)
                        loop_turn(loop);
        }
        return loop_set_timer(loop, timeout);
}

static int loop_make_context(WsLoop *loop) {
        struct lws_context_creation_info info = {
                .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBUV |
                           LWS_SERVER_OPTION_UV_NO_SIGSEGV_SIGFPE_SPIN |
                           LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
                .foreign_loops = loop->foreign,
                .pcontext = &loop->context, /* NULL again when it was freed */
                .uid = -1,                  /* keep the caller's */
                .gid = -1,
                .pt_serv_buf_size = SERVICE_BUFFER_SIZE,
                .max_http_header_data2 = HTTP_HEAD_MAX,
                .timeout_secs = HTTP_TIMEOUT_SEC,
                .connect_timeout_secs = HTTP_TIMEOUT_SEC,
                .server_string = "p2pbus",
        };

        /* Its messages are about what peers did; a peer must not be able to fill our log. */
        lws_set_log_level(0, NULL);
        loop->context = lws_create_context(&info);
        return loop->context ? 0 : WS_LOOP_E_PLUGIN;
}

int ws_loop_new(WsLoop **ret, sd_event *event) {
        _cleanup_(ws_loop_freep) WsLoop *loop = NULL;
        int r;

        loop = calloc(1, sizeof(*loop));
        if (!loop)
                return err_origin(-ENOMEM);
        loop->event = sd_event_ref(event);
        loop->foreign[0] = &loop->uv;

        r = uv_loop_init(&loop->uv);
        if (r < 0)
                return err_origin(r); /* libuv's errors are -errno here */
        loop->uv_live = true;

        r = sd_event_add_time(event, &loop->timer, CLOCK_MONOTONIC, 0, 1, on_loop_timer, loop);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_enabled(loop->timer, SD_EVENT_OFF);
        if (r < 0)
                return err_origin(r);
        r = sd_event_add_io(event, &loop->io, uv_backend_fd(&loop->uv), EPOLLIN, on_loop_io, loop);
        if (r < 0)
                return err_origin(r);
        r = sd_event_source_set_prepare(loop->io, on_loop_prepare);
        if (r < 0)
                return err_origin(r);

        r = loop_make_context(loop);
        if (r != 0)
                return r;
        *ret = TAKE_PTR(loop);
        return 0;
}

WsLoop *ws_loop_free(WsLoop *loop) {
        if (!loop)
                return NULL;
        loop->io = sd_event_source_disable_unref(loop->io);
        loop->timer = sd_event_source_disable_unref(loop->timer);
        if (loop->context)
                lws_context_destroy(loop->context);
        if (loop->uv_live) {
                /* Closing handles need turns of the loop; nothing of it waits for a peer. */
                while (uv_run(&loop->uv, UV_RUN_NOWAIT) != 0)
                        ;
                /* On a foreign loop the first call only closes handles; this one frees. */
                if (loop->context)
                        lws_context_destroy(loop->context);
                (void)uv_loop_close(&loop->uv); /* 0 by now */
        }
        while (loop->n_spare_buffers > 0)
                free(loop->spare_buffers[--loop->n_spare_buffers]);
        while (loop->texts) {
                WsLoopText *text = loop->texts;

                LL_DELETE(loop->texts, text);
                free(text);
        }
        sd_event_unref(loop->event);
        free(loop);
        return NULL;
}

void ws_loop_keep(WsLoop *loop, WsLoopText *text) {
        LL_PREPEND(loop->texts, text);
}

struct lws_context *ws_loop_context(WsLoop *loop) {
        return loop->context;
}

sd_event *ws_loop_event(WsLoop *loop) {
        return loop->event;
}

void ws_loop_kick(WsLoop *loop) {
        if (!loop->turning)
                lws_cancel_service(loop->context);
}

uint8_t *ws_loop_get_buffer(WsLoop *loop) {
        if (loop->n_spare_buffers > 0)
                return loop->spare_buffers[--loop->n_spare_buffers];
        return malloc(WS_LOOP_BUFFER_SIZE);
}

void ws_loop_put_buffer(WsLoop *loop, uint8_t *buffer) {
        if (buffer && loop->n_spare_buffers < SPARE_BUFFERS_MAX)
                loop->spare_buffers[loop->n_spare_buffers++] = buffer;
        else
                free(buffer);
}
