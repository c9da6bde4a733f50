/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The getters and setters of p2pbus.h. A p2pbus_message is a Message; the text forms of what is in
 * it are made when first asked for, and stay as long as it does.
 */

#include "config.h"

#include "libclient/message.h"
#include "libclient/p2pbus.h"
#include "libclient/reason.h"
#include "libcore/err.h"
#include "libcore/name.h"
#include "libsecure/key.h"

typedef struct MessageText MessageText;
struct MessageText {
        char id[P2PBUS_ID_SIZE];
        char reply_to[P2PBUS_ID_SIZE];
        char from[KEY_TEXT_SIZE];
        char from_pid[PID_TEXT_SIZE];
        char type[P2PBUS_TYPE_MAX + 1];
        bool has_type;
        char service[]; /* ends in a NUL */
};

static Message *message_of(p2pbus_message *message) {
        return (Message *)message;
}

_public_ int p2pbus_message_new(p2pbus_message **ret, const void *payload, size_t size) {
        Message *m;
        int r;

        r = message_new_with_size(&m, size, 0);
        if (r < 0)
                return reason_fail_errno(r, "out of memory");
        if (size > 0)
                memcpy(m->data, payload, size);
        m->kind = MESSAGE_ONE_WAY;
        m->n_users = 1;
        *ret = (p2pbus_message *)m;
        return 0;
}

_public_ int p2pbus_message_new_take(p2pbus_message **ret, void *payload, size_t size) {
        Message *m;
        int r;

        r = message_new(&m);
        if (r < 0)
                return reason_fail_errno(r, "out of memory");
        m->data = payload;
        m->n_data = size;
        m->kind = MESSAGE_ONE_WAY;
        m->n_users = 1;
        *ret = (p2pbus_message *)m;
        return 0;
}

_public_ int p2pbus_message_set_type(p2pbus_message *message, const char *type) {
        Message *m = message_of(message);
        char *copy = NULL;

        if (m->is_given)
                return reason_fail_errno(-EPERM, "the message was sent or received before");
        for (const char *c = type; c && *c; c++)
                if (*c < ' ' || *c > '~' || c - type >= P2PBUS_TYPE_MAX)
                        return reason_fail_errno(-EINVAL, "not a MIME type");
        if (type && *type) {
                copy = strdup(type);
                if (!copy)
                        return reason_fail_errno(-ENOMEM, "out of memory");
        }
        free(m->type);
        m->type = copy;
        return 0;
}

_public_ const char *p2pbus_message_get_topic(p2pbus_message *message) {
        return message_of(message)->topic ? message_of(message)->topic : "";
}

_public_ uint64_t p2pbus_message_get_lost(p2pbus_message *message) {
        return message_of(message)->n_lost;
}

_public_ int p2pbus_message_set_idempotent(p2pbus_message *message, int idempotent) {
        Message *m = message_of(message);

        if (m->is_given)
                return reason_fail_errno(-EPERM, "the message was sent or received before");
        m->flags = idempotent ? m->flags | MESSAGE_IDEMPOTENT : m->flags & ~MESSAGE_IDEMPOTENT;
        return 0;
}

_public_ int p2pbus_message_is_idempotent(p2pbus_message *message) {
        return (message_of(message)->flags & MESSAGE_IDEMPOTENT) != 0;
}

_public_ int p2pbus_message_takes_parts(p2pbus_message *message) {
        const Message *m = message_of(message);

        return m->kind == MESSAGE_REQUEST && (m->flags & MESSAGE_MORE);
}

_public_ int p2pbus_message_may_be_repeat(p2pbus_message *message) {
        return (message_of(message)->flags & MESSAGE_MAYBE_REPEAT) != 0;
}

_public_ int p2pbus_message_set_mode(p2pbus_message *message, int mode) {
        Message *m = message_of(message);

        if (mode != P2PBUS_MODE_BALANCE && mode != P2PBUS_MODE_FAILOVER)
                return reason_fail_errno(-EINVAL, "no such mode");
        if (m->is_given)
                return reason_fail_errno(-EPERM, "the message was sent or received before");
        m->mode = (uint8_t)mode;
        return 0;
}

_public_ void p2pbus_message_set_userdata(p2pbus_message *message, void *userdata) {
        message_of(message)->userdata = userdata;
}

_public_ void *p2pbus_message_get_userdata(p2pbus_message *message) {
        return message_of(message)->userdata;
}

_public_ const void *p2pbus_message_get_payload(p2pbus_message *message) {
        return message_of(message)->n_data > 0 ? message_of(message)->data : NULL;
}

_public_ size_t p2pbus_message_get_size(p2pbus_message *message) {
        return message_of(message)->n_data;
}

_public_ int p2pbus_message_get_kind(p2pbus_message *message) {
        return message_of(message)->kind;
}

_public_ const char *p2pbus_kind_text(int kind) {
        static const char *const texts[] = { "unknown", "one-way", "request",
                                             "reply",   "error",   "progress" };

        return kind >= 0 && kind < (int)ELEMENTSOF(texts) ? texts[kind] : texts[0];
}

/* NULL without memory, and before it was sent: it has no id yet. */
static MessageText *text_of(Message *m) {
        MessageText *text = m->text;
        const uint8_t *type, *service;
        size_t n, n_service = 0;
        PublicKey key;

        if (text || !m->is_given)
                return text;
        service = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_SERVICE, &n_service);
        if (!service || !name_is_valid((const char *)service, n_service))
                n_service = 0;
        text = calloc(1, sizeof(*text) + n_service + 1);
        if (!text)
                return NULL;
        if (n_service > 0)
                memcpy(text->service, service, n_service);
        if (!packet_id_is_zero(&m->id))
                (void)message_format_id(&m->id, text->id);
        if (!packet_id_is_zero(&m->reply_to))
                (void)message_format_id(&m->reply_to, text->reply_to);
        if (m->from.pid != PID_NONE) {
                memcpy(key.bytes, m->from_key, sizeof(key.bytes));
                (void)pid_format(m->from.pid, text->from_pid);
                if (pid_is_reserved(m->from.pid)) /* the daemon, which has no key */
                        strcpy(text->from, text->from_pid);
                else
                        (void)key_format(&key, text->from);
        }
        type = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_TYPE, &n);
        if (type && n > 0 && n <= P2PBUS_TYPE_MAX && !memchr(type, '\0', n)) {
                memcpy(text->type, type, n);
                text->has_type = true;
        }
        m->text = text;
        return text;
}

_public_ const char *p2pbus_message_get_id(p2pbus_message *message) {
        MessageText *text = text_of(message_of(message));

        return text ? text->id : "";
}

_public_ const char *p2pbus_message_get_reply_to(p2pbus_message *message) {
        MessageText *text = text_of(message_of(message));

        return text ? text->reply_to : "";
}

_public_ const char *p2pbus_message_get_from(p2pbus_message *message) {
        MessageText *text = text_of(message_of(message));

        return text ? text->from : "";
}

_public_ const char *p2pbus_message_get_from_pid(p2pbus_message *message) {
        MessageText *text = text_of(message_of(message));

        return text ? text->from_pid : "";
}

_public_ const char *p2pbus_message_get_type(p2pbus_message *message) {
        Message *m = message_of(message);
        MessageText *text;

        if (m->type || !m->is_given)
                return m->type;
        text = text_of(m);
        return text && text->has_type ? text->type : NULL;
}

_public_ int p2pbus_message_is_remote(p2pbus_message *message) {
        return message_of(message)->is_remote;
}

_public_ const char *p2pbus_message_get_service(p2pbus_message *message) {
        const MessageText *text = text_of(message_of(message));

        return text ? text->service : "";
}

_public_ uint32_t p2pbus_message_get_status(p2pbus_message *message) {
        Message *m = message_of(message);
        const uint8_t *status;
        size_t n;

        status = record_extension(m->extensions, m->n_extensions, MESSAGE_EXT_STATUS, &n);
        return status && n == 4 ? load_le32(status) : 0;
}

_public_ uint32_t p2pbus_message_get_lifetime(p2pbus_message *message) {
        return message_of(message)->lifetime_msec;
}

/* A session settles a message in one thread while another looks: one word, read once. */
static int result_of(p2pbus_message *message) {
        return __atomic_load_n(&message_of(message)->result, __ATOMIC_ACQUIRE);
}

_public_ int p2pbus_message_get_result(p2pbus_message *message) {
        int result = result_of(message);

        return result == RESULT_PENDING ? -EINPROGRESS : reason_errno(reason_of(result));
}

_public_ int p2pbus_message_get_reason(p2pbus_message *message) {
        return reason_of(result_of(message));
}

_public_ int p2pbus_message_get_refuser(p2pbus_message *message) {
        return message_of(message)->refused_by;
}

_public_ const char *p2pbus_message_get_refusal(p2pbus_message *message) {
        return message_of(message)->refusal_text;
}

_public_ size_t p2pbus_message_get_progress(p2pbus_message *message) {
        Message *m = message_of(message);
        uint64_t n = __atomic_load_n(&m->n_records_sent, __ATOMIC_RELAXED);

        if (result_of(message) == RESULT_DELIVERED && m->is_given)
                return m->n_data;
        return (size_t)MIN(n * RECORD_BODY_MAX, (uint64_t)m->n_data);
}
