/* SPDX-License-Identifier: Apache-2.0 */

#include "tools/outgoing.h"

#include <inttypes.h>
#include <stdio.h>

#include "tools/common.h"
#include "tools/error-reply.h"
#include "tools/format.h"
#include "tools/json.h"
#include "tools/output.h"

Outgoing *outgoing_free(Outgoing *out) {
        if (!out)
                return NULL;
        p2pbus_message_unref(out->message);
        p2pbus_message_unref(out->reply);
        free(out);
        return NULL;
}

/* "line 3", "chunk 3", "message". */
static const char *outgoing_name(const OutgoingRow *row, uint64_t number, char name[static 40]) {
        if (row->options->mode == INPUT_WHOLE)
                (void)snprintf(name, 40, "message");
        else
                (void)snprintf(name, 40, "%s %" PRIu64,
                               row->options->mode == INPUT_LINES ? "line" : "chunk", number);
        return name;
}

uint64_t outgoing_message_max(const OutgoingRow *row) {
        uint64_t max = p2pbus_get_message_max(row->connection->bus);

        return row->options->topic ? MIN(max, (uint64_t)P2PBUS_TOPIC_MESSAGE_MAX) : max;
}

int outgoing_fail_too_big(OutgoingRow *row, uint64_t number, uint64_t size) {
        bool single = row->options->mode == INPUT_WHOLE;
        char name[40];

        outgoing_name(row, number, name);
        return fail(STATUS_REFUSED,
                    "%s%smessage of %" PRIu64 " bytes, %s takes %" PRIu64
                    "; send it in pieces with --chunk",
                    single ? "" : name, single ? "" : ": ", size,
                    row->options->topic ? "a topic" : "this bus", outgoing_message_max(row));
}

/* The reason comes right behind "line N:"; for a single message it comes behind its destination. */
static int fail_one(OutgoingRow *row, const Outgoing *out) {
        char name[40];

        if (out->too_big > 0)
                return outgoing_fail_too_big(row, out->number, out->too_big);
        outgoing_name(row, out->number, name);
        if (out->error == -EREMOTEIO && out->reply)
                return error_reply_fail(
                        row->options->mode == INPUT_WHOLE ? row->options->dest : name, out->reply);
        return connection_fail_message(row->connection,
                                       row->options->mode != INPUT_WHOLE ? name
                                       : row->options->topic             ? row->options->topic
                                                                         : row->options->dest,
                                       out->message, out->error, out->reason);
}

void outgoing_settle(Outgoing *out, int error, int reason) {
        out->settled = true;
        out->error = error;
        out->reason = reason;
        if (error < 0)
                out->row->failed = true;
        else
                out->row->n_bytes_done += p2pbus_message_get_size(out->message);
}

void outgoing_append(OutgoingRow *row, Outgoing *out) {
        *row->end = out;
        row->end = &out->next;
}

void outgoing_take_results(OutgoingRow *row) {
        p2pbus_message *message;

        while (p2pbus_next_result(row->connection->bus, &message) == 0) {
                outgoing_settle(p2pbus_message_get_userdata(message),
                                p2pbus_message_get_result(message),
                                p2pbus_message_get_reason(message));
                p2pbus_message_unref(message);
        }
}

void outgoing_settle_late(OutgoingRow *row) {
        Outgoing *out = row->first;

        if (out && !out->settled && now_usec(CLOCK_MONOTONIC) >= out->deadline_usec)
                outgoing_settle(out, -ETIMEDOUT, P2PBUS_REASON_TIMEOUT);
}

int outgoing_print(OutgoingRow *row, const Outgoing *out) {
        Format format = row->options->common.json           ? FORMAT_JSON
                        : row->options->mode == INPUT_LINES ? FORMAT_LINE
                                                            : FORMAT_RAW;
        _cleanup_(freep) char *owned = NULL;
        const char *data;
        size_t n;
        int r;

        if (out->reply) {
                r = format_message(format, out->reply, p2pbus_get_pid(row->connection->bus), &data,
                                   &n, &owned);
                if (r < 0)
                        return r;
        } else if (row->options->common.json && !row->options->to_all) {
                JsonValue *object = json_begin();

                json_add_text(object, row->options->topic ? "topic" : "to",
                              row->options->topic ? row->options->topic : row->options->dest);
                json_add_text(object, "id", p2pbus_message_get_id(out->message));
                json_add_number(object, "size", p2pbus_message_get_size(out->message));
                json_add_text(object, "result",
                              row->options->topic     ? "published"
                              : row->options->no_wait ? "handed over"
                                                      : "delivered");
                data = owned = json_finish(object, &n);
                if (!owned)
                        return -ENOMEM;
        } else
                return 0;
        return output_write(row->connection, data, n);
}

int outgoing_drop_settled(OutgoingRow *row) {
        while (row->first && row->first->settled) {
                Outgoing *out = row->first;
                int r;

                if (out->error < 0)
                        return fail_one(row, out);
                r = outgoing_print(row, out);
                if (r != 0)
                        return output_end(row->connection, r);

                row->first = out->next;
                if (!row->first)
                        row->end = &row->first;
                (void)outgoing_free(out);
        }
        return -1;
}
