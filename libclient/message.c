/* SPDX-License-Identifier: Apache-2.0 */

/* A small message is one block of memory: the struct, then the payload, then the extensions. */

#include "libclient/message.h"

#include <assert.h>

#include "libcore/err.h"

int message_new_with_size(Message **ret, size_t n_data, uint16_t n_extensions) {
        Message *m;

        if (n_data > SIZE_MAX - sizeof(*m) - n_extensions)
                return err_origin(-ENOMEM);
        m = malloc(sizeof(*m) + n_data + n_extensions);
        if (!m)
                return err_origin(-ENOMEM);

        memset(m, 0, sizeof(*m));
        m->n_refs = 1;
        m->result = RESULT_PENDING;
        m->deadline_usec = USEC_NEVER;
        m->n_data = n_data;
        m->n_extensions = n_extensions;
        m->n_bytes = n_data + n_extensions;
        if (n_data > 0)
                m->data = m->bytes;
        if (n_extensions > 0)
                m->extensions = m->bytes + n_data;
        *ret = m;
        return 0;
}

int message_new(Message **ret) {
        return message_new_with_size(ret, 0, 0);
}

Message *message_ref(Message *message) {
        assert(message->n_refs > 0);
        message->n_refs++;
        return message;
}

static void bytes_free(Message *message, uint8_t *p) {
        uintptr_t at = (uintptr_t)p, block = (uintptr_t)message->bytes;

        if (at < block || at >= block + message->n_bytes) /* else it goes with the block */
                free(p);
}

Message *message_unref(Message *message) {
        if (!message)
                return NULL;
        assert(message->n_refs > 0);
        if (--message->n_refs > 0)
                return NULL;

        bytes_free(message, message->data);
        bytes_free(message, message->extensions);
        free(message);
        return NULL;
}

size_t message_memory(const Message *message) {
        return sizeof(*message) + message->n_data + message->n_extensions;
}
