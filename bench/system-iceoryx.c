/* SPDX-License-Identifier: Apache-2.0 */

/*
 * iceoryx through its C binding: a topic for each endpoint, publishers wait for the subscriber
 *
 * Its daemon hands out the memory; the path is not used. A chunk does not say how much of it is
 * meant, so its first eight bytes do. With -zero nothing but these and one byte is touched.
 */

#include <errno.h>
#include <iceoryx_binding_c/log.h>
#include <iceoryx_binding_c/publisher.h>
#include <iceoryx_binding_c/runtime.h>
#include <iceoryx_binding_c/subscriber.h>
#include <iceoryx_binding_c/wait_set.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench/system.h"
#include "libcore/err.h"
#include "libcore/util.h"

#define QUEUE 256 /* the most that a subscriber's queue has */
#define MEETING_USEC (5 * USEC_PER_SEC)

struct Endpoint {
        iox_sub_storage_t subscriber_storage;
        iox_pub_storage_t publisher_storage;
        iox_ws_storage_t wait_set_storage;
        iox_sub_t subscriber;
        iox_pub_t publisher;
        iox_ws_t wait_set;
};

static int iceoryx_open(Endpoint **ret, const char *path, unsigned number,
                        char address[static SYSTEM_ADDRESS_SIZE]) {
        Endpoint *e = calloc(1, sizeof(*e));
        iox_sub_options_t options;

        (void)path;
        if (!e)
                return err_origin(-ENOMEM);
        snprintf(address, SYSTEM_ADDRESS_SIZE, "bench-%ld-%u", (long)getpid(), number);
        iox_set_loglevel(Iceoryx_LogLevel_Error);
        iox_runtime_init(address); /* ends the process if there is no daemon */
        iox_sub_options_init(&options);
        options.queueCapacity = QUEUE;
        options.queueFullPolicy = QueueFullPolicy_BLOCK_PRODUCER;
        e->subscriber = iox_sub_init(&e->subscriber_storage, "p2pbus", "bench", address, &options);
        e->wait_set = iox_ws_init(&e->wait_set_storage);
        if (iox_ws_attach_subscriber_event(e->wait_set, e->subscriber,
                                           SubscriberEvent_DATA_RECEIVED, 0,
                                           NULL) != WaitSetResult_SUCCESS)
                return err_origin(-EIO);
        *ret = e;
        return 0;
}

static int iceoryx_connect(Endpoint *e, const char *address) {
        uint64_t end = now_usec(CLOCK_MONOTONIC) + MEETING_USEC;
        iox_pub_options_t options;

        iox_pub_options_init(&options);
        options.subscriberTooSlowPolicy = ConsumerTooSlowPolicy_WAIT_FOR_CONSUMER;
        e->publisher = iox_pub_init(&e->publisher_storage, "p2pbus", "bench", address, &options);
        while (iox_sub_get_subscription_state(e->subscriber) != SubscribeState_SUBSCRIBED ||
               !iox_pub_has_subscribers(e->publisher)) {
                if (now_usec(CLOCK_MONOTONIC) > end)
                        return err_origin(-ETIMEDOUT);
                (void)usleep(1000);
        }
        return 0;
}

static void iceoryx_close(Endpoint *e) {
        iox_pub_deinit(e->publisher);
        iox_ws_detach_subscriber_event(e->wait_set, e->subscriber, SubscriberEvent_DATA_RECEIVED);
        iox_ws_deinit(e->wait_set);
        iox_sub_deinit(e->subscriber);
        free(e);
}

static int iceoryx_flush(Endpoint *e) {
        (void)e; /* nothing stays behind */
        return 0;
}

static int put(Endpoint *e, const void *data, size_t n_data, size_t n_copied) {
        uint64_t size = n_data;
        void *chunk;

        if (iox_pub_loan_chunk(e->publisher, &chunk, (uint32_t)(sizeof(size) + n_data)) !=
            AllocationResult_SUCCESS)
                return err_origin(-ENOBUFS);
        memcpy(chunk, &size, sizeof(size));
        memcpy((uint8_t *)chunk + sizeof(size), data, n_copied);
        iox_pub_publish_chunk(e->publisher, chunk);
        return 0;
}

static int take(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        const void *chunk;
        uint64_t size;

        switch (iox_sub_take_chunk(e->subscriber, &chunk)) {
        case ChunkReceiveResult_SUCCESS:
                break;
        case ChunkReceiveResult_NO_CHUNK_AVAILABLE:
                return -EAGAIN;
        default:
                return err_origin(-EIO);
        }
        memcpy(&size, chunk, sizeof(size));
        memcpy(data, (const uint8_t *)chunk + sizeof(size), MIN(n_max, size));
        iox_sub_release_chunk(e->subscriber, chunk);
        *ret_n = size;
        return 0;
}

static int take_zero(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        return take(e, data, MIN(n_max, (size_t)1), ret_n);
}

static int iceoryx_send(Endpoint *e, const char *address, const void *data, size_t n_data) {
        (void)address;
        return put(e, data, n_data, n_data);
}

static int iceoryx_send_zero(Endpoint *e, const char *address, const void *data, size_t n_data) {
        (void)address;
        return put(e, data, n_data, MIN(n_data, (size_t)1));
}

static void wait_for_data(Endpoint *e) {
        iox_notification_info_t infos[1];
        uint64_t missed;

        (void)iox_ws_wait(e->wait_set, infos, 1, &missed);
}

static int iceoryx_receive(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        int r;

        while ((r = take(e, data, n_max, ret_n)) == -EAGAIN)
                wait_for_data(e);
        return r;
}

static int iceoryx_receive_zero(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        int r;

        while ((r = take_zero(e, data, n_max, ret_n)) == -EAGAIN)
                wait_for_data(e);
        return r;
}

static int iceoryx_receive_poll(Endpoint *e, void *data, size_t n_max, size_t *ret_n) {
        int r;

        while ((r = take(e, data, n_max, ret_n)) == -EAGAIN)
                ;
        return r;
}

static int iceoryx_get_fd(Endpoint *e) {
        (void)e;
        return err_origin(-EOPNOTSUPP); /* it has none */
}

const System system_iceoryx = {
        .name = "iceoryx",
        .open = iceoryx_open,
        .close = iceoryx_close,
        .connect = iceoryx_connect,
        .send = iceoryx_send,
        .flush = iceoryx_flush,
        .receive = iceoryx_receive,
        .poll = take,
        .get_fd = iceoryx_get_fd,
};

const System system_iceoryx_poll = {
        .name = "iceoryx-poll",
        .open = iceoryx_open,
        .close = iceoryx_close,
        .connect = iceoryx_connect,
        .send = iceoryx_send,
        .flush = iceoryx_flush,
        .receive = iceoryx_receive_poll,
        .poll = take,
        .get_fd = iceoryx_get_fd,
};

const System system_iceoryx_zero = {
        .name = "iceoryx-zero",
        .open = iceoryx_open,
        .close = iceoryx_close,
        .connect = iceoryx_connect,
        .send = iceoryx_send_zero,
        .flush = iceoryx_flush,
        .receive = iceoryx_receive_zero,
        .poll = take_zero,
        .get_fd = iceoryx_get_fd,
};
