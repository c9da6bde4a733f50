/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tools/all.h"

#include "tools/common.h"
#include "tools/error-reply.h"
#include "tools/format.h"
#include "tools/json.h"
#include "tools/output.h"

struct AllAnswer {
        AllAnswer *next;
        p2pbus_message *reply; /* or NULL */
        int error, reason;
        char provider[P2PBUS_FULL_SIZE];
};

static void append(All *all, AllAnswer *answer) {
        AllAnswer **end = &all->answers;

        while (*end)
                end = &(*end)->next;
        *end = answer;
}

static void note_failure(All *all, int error, int reason) {
        if (all->error != 0 || error == 0)
                return;
        all->error = error;
        all->reason = reason;
}

static void on_event(p2pbus *bus, const p2pbus_all_event *event, void *userdata) {
        All *all = userdata;
        AllAnswer *answer;

        (void)bus;
        note_failure(all, event->error, event->reason);
        if (!event->provider) {
                all->is_over = true;
                return;
        }
        answer = calloc(1, sizeof(*answer));
        if (!answer) {
                note_failure(all, -ENOMEM, 0);
                return;
        }
        strcpy(answer->provider, event->provider);
        answer->error = event->error;
        answer->reason = event->reason;
        answer->reply = event->reply ? p2pbus_message_ref(event->reply) : NULL;
        append(all, answer);
}

int all_start(All *all, p2pbus *bus, const char *name, p2pbus_message *message,
              uint64_t timeout_usec) {
        const p2pbus_all_options options = {
                .struct_size = sizeof(options),
                .flags = all->one_way ? P2PBUS_ALL_ONE_WAY : 0,
                .timeout_usec = timeout_usec,
        };

        return p2pbus_request_all(bus, name, message, &options, on_event, all);
}

/* Without a reply there is only who, and what became of it. */
static char *format_result(const AllAnswer *answer, size_t *ret_n) {
        JsonValue *object = json_begin();
        char pid[P2PBUS_PID_SIZE];

        memcpy(pid, answer->provider, sizeof(pid) - 1);
        pid[sizeof(pid) - 1] = '\0';
        json_add_text(object, "from", pid);
        json_add_text(object, "from_key", answer->provider);
        json_add_text(object, "result",
                      answer->error == 0 ? "delivered" : p2pbus_reason_text(answer->reason));
        return json_finish(object, ret_n);
}

static void tell_failure(const AllAnswer *answer) {
        char text[ERROR_REPLY_SIZE];

        tell(LEVEL_WARNING, "%.16s: %s", answer->provider,
             answer->reply ? error_reply_text(answer->reply, text)
                           : p2pbus_reason_text(answer->reason));
}

static int write_answer(const All *all, const AllAnswer *answer, Connection *connection) {
        _cleanup_(freep) char *owned = NULL;
        const char *data;
        size_t n;
        int r;

        if (!all->json && answer->error != 0)
                tell_failure(answer);
        if (!all->json && (answer->error != 0 || !answer->reply))
                return 0;
        if (answer->reply) {
                r = format_message(all->json ? FORMAT_JSON : FORMAT_LINE, answer->reply,
                                   p2pbus_get_pid(connection->bus), &data, &n, &owned);
                if (r < 0)
                        return r;
        } else {
                data = owned = format_result(answer, &n);
                if (!owned)
                        return -ENOMEM;
        }
        return output_write(connection, data, n);
}

static void drop_first(All *all) {
        AllAnswer *answer = all->answers;

        all->answers = answer->next;
        p2pbus_message_unref(answer->reply);
        free(answer);
}

int all_write(All *all, Connection *connection) {
        int r = 0;

        while (r == 0 && all->answers) {
                r = write_answer(all, all->answers, connection);
                drop_first(all);
        }
        return r;
}

void all_done(All *all) {
        while (all->answers)
                drop_first(all);
}
