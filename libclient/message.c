/* SPDX-License-Identifier: Apache-2.0 */

/* A small message is one block of memory: the struct, then the payload, then the extensions. */

#include "libclient/message.h"

#include <assert.h>

#include "libclient/block-pool.h"
#include "libclient/loan.h"
#include "libcore/buf.h"
#include "libcore/err.h"

int message_new_with_size(Message **ret, size_t n_data, uint16_t n_extensions) {
        Message *m;

        if (n_data > SIZE_MAX - sizeof(*m) - n_extensions)
                return err_origin(-ENOMEM);
        m = block_new(sizeof(*m) + n_data + n_extensions);
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

int message_new_sharing(Message **ret, Message *from) {
        Message *m;
        int r;

        r = message_new(&m);
        if (r < 0)
                return r;
        m->data = from->data;
        m->n_data = from->n_data;
        m->is_shared = true;
        m->payload_of = message_ref(from);
        *ret = m;
        return 0;
}

Message *message_ref(Message *message) {
        unsigned before = __atomic_fetch_add(&message->n_refs, 1, __ATOMIC_RELAXED);

        assert(before > 0);
        (void)before;
        return message;
}

static bool is_inside(const Message *message, const uint8_t *p) {
        uintptr_t at = (uintptr_t)p, block = (uintptr_t)message->bytes;

        return at >= block && at < block + message->n_bytes;
}

static void bytes_free(const Message *message, uint8_t *p) {
        if (!is_inside(message, p)) /* else it goes with the block */
                free(p);
}

/* What few messages have. */
static void extras_free(Message *message) {
        free(message->text);
        free(message->type);
        free(message->refusal_text);
        free(message->reservation);
        loan_unref(message->loan);
        message_unref(message->payload_of);
}

Message *message_unref(Message *message) {
        if (!message)
                return NULL;
        /* Whoever drops the last sees what the others did before they dropped theirs. */
        if (__atomic_sub_fetch(&message->n_refs, 1, __ATOMIC_ACQ_REL) > 0)
                return NULL;

        if (!message->is_shared)
                bytes_free(message, message->data);
        bytes_free(message, message->extensions);
        if (message->text || message->type || message->refusal_text || message->reservation ||
            message->loan || message->payload_of)
                extras_free(message);
        block_free(message, sizeof(*message) + message->n_bytes);
        return NULL;
}

int message_add_extension(Message *message, uint8_t type, const void *data, size_t n_data) {
        size_t n = message->n_extensions;
        uint8_t *bytes;

        if (n + 3 + n_data > UINT16_MAX)
                return err_origin(-ENOMEM);
        bytes = malloc(n + 3 + n_data);
        if (!bytes)
                return err_origin(-ENOMEM);
        if (n > 0)
                memcpy(bytes, message->extensions, n);
        bytes[n] = type;
        store_le16(bytes + n + 1, (uint16_t)n_data);
        memcpy(bytes + n + 3, data, n_data);
        bytes_free(message, message->extensions);
        message->extensions = bytes;
        message->n_extensions = (uint16_t)(n + 3 + n_data);
        return 0;
}

void message_drop_extension(Message *message, size_t n_data) {
        message->n_extensions = (uint16_t)(message->n_extensions - 3 - n_data);
}

size_t message_memory(const Message *message) {
        return sizeof(*message) + message->n_data + message->n_extensions;
}

const char *message_format_id(const PacketId *id, char text[static 2 * PACKET_ID_SIZE + 1]) {
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < PACKET_ID_SIZE; i++) {
                text[2 * i] = digits[id->bytes[i] >> 4];
                text[2 * i + 1] = digits[id->bytes[i] & 15];
        }
        text[2 * PACKET_ID_SIZE] = '\0';
        return text;
}

static int digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

bool message_parse_id(const char *text, PacketId *ret) {
        PacketId id;

        if (!text || strlen(text) != 2 * PACKET_ID_SIZE)
                return false;
        for (size_t i = 0; i < PACKET_ID_SIZE; i++) {
                int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);

                if (high < 0 || low < 0)
                        return false;
                id.bytes[i] = (uint8_t)(high << 4 | low);
        }
        *ret = id;
        return true;
}
