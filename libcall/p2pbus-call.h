/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libp2pbus-call: calls of methods in JSON, for those who provide them and those who call
 *
 * A call is a request with the payload {"method": NAME, "payload": ANY}, of type application/json;
 * its answer is a reply {"payload": ANY}, any number of parts of this form before it, or an error
 * reply with a status below and a text. "payload" may be left out for null. A complete provider of
 * the name that it is given, which adds numbers:
 *
 *      #include <p2pbus-call.h>
 *      static int add(p2pbus_call_handle *call, json_t *payload, void *userdata) {
 *              double sum = 0;
 *              size_t i;
 *              json_t *number;
 *              (void)userdata;
 *              json_array_foreach(payload, i, number)
 *                      sum += json_number_value(number);
 *              return p2pbus_call_reply(call, json_real(sum));
 *      }
 *      int main(int argc, char **argv) {
 *              static const p2pbus_method methods[] = { { "add", add, NULL, "sums a list" } };
 *              p2pbus_provider_options options = { sizeof(options), NULL, NULL, NULL, 0 };
 *              p2pbus_provider *provider = NULL;
 *              p2pbus *bus = NULL;
 *              int r = argc == 2 ? p2pbus_open(&bus, NULL) : -1;
 *              options.name = argv[argc - 1];
 *              if (r >= 0)
 *                      r = p2pbus_provider_new(&provider, bus, methods, 1, &options);
 *              if (r >= 0)
 *                      r = p2pbus_provider_run(provider, P2PBUS_FOREVER);
 *              p2pbus_provider_free(provider);
 *              p2pbus_unref(bus);
 *              return r < 0;
 *      }
 *
 * Every provider answers p2pbus.Ping, p2pbus.Info and p2pbus.Stats by itself; other methods that
 * begin with "p2pbus." are unknown. p2pbus.7 has the forms of all of it.
 *
 * Functions return 0 or more, or -errno, as p2pbus.h's. A provider and its calls are used by one
 * thread at a time; different ones by different threads. JSON is jansson's, whose counting of
 * references holds: "steals" means that the caller's reference is gone, also on failure.
 */

#ifndef P2PBUS_CALL_H
#define P2PBUS_CALL_H

#include <jansson.h>
#include <p2pbus.h>

#ifdef __cplusplus
extern "C" {
#endif

#define P2PBUS_CALL_DEPTH_MAX 64      /* lists and objects inside one another, in JSON */
#define P2PBUS_CALL_VALUES_MAX 100000 /* values in one text */
#define P2PBUS_CALL_SIZE_MAX 4194304  /* bytes of one text */
#define P2PBUS_CALL_METHOD_MAX 255    /* bytes of the name of a method, without NUL */
#define P2PBUS_CALL_OPEN_MAX 1024     /* calls of one provider that are not answered */

/* The status of an error reply; names are p2pbus_call_status_text()'s. Below 1000 they are exit
 * statuses of commands (p2pbus-recv --exec); from 65536 on they are the applications' own. */
enum p2pbus_call_status {
        P2PBUS_CALL_BAD_REQUEST = 1000, /* "bad-request": no JSON, or not of the form of a call */
        P2PBUS_CALL_UNKNOWN_METHOD = 1001, /* "unknown-method" */
        P2PBUS_CALL_BAD_PAYLOAD = 1002,    /* "bad-payload": the method takes something else */
        P2PBUS_CALL_INTERNAL = 1003,       /* "internal": the provider failed */
        P2PBUS_CALL_CANCELLED = 1004,      /* "cancelled" */
        P2PBUS_CALL_DEADLINE = 1005,       /* "deadline": not done in time */
        P2PBUS_CALL_NOT_FOUND = 1006,      /* "not-found": what the payload names */
        P2PBUS_CALL_DENIED = 1007,         /* "denied" */
        P2PBUS_CALL_BUSY = 1008,           /* "busy": try again later */
        P2PBUS_CALL_TOO_BIG = 1009,        /* "too-big": the request or its answer */
        P2PBUS_CALL_UNAVAILABLE = 1010,    /* "unavailable": it ends, or needs what is not there */
        P2PBUS_CALL_EXISTS = 1011,         /* "exists": what the payload would make */
        P2PBUS_CALL_UNSUPPORTED = 1012,    /* "unsupported" */
        P2PBUS_CALL_FAILED = 1013          /* "failed": none of these */
};

/* "unknown-method": a constant; NULL for a number that has no name here. */
const char *p2pbus_call_status_text(uint32_t status);

/* ---- Providers ---- */

/* Methods, the name, and what is known of the calls. */
typedef struct p2pbus_provider p2pbus_provider;

/* One call that came. It is the provider's until it is answered; then it is gone. */
typedef struct p2pbus_call_handle p2pbus_call_handle;

/**
 * p2pbus_method_function - answers a call, now or later
 * @payload: json_null() if there was none; valid until it returns, unless it takes a reference
 *
 * Return: 0: it was answered, or will be by p2pbus_call_reply() or p2pbus_call_fail(); -errno: it
 * was not, and its caller is answered with "internal" and the error in words.
 */
typedef int (*p2pbus_method_function)(p2pbus_call_handle *call, json_t *payload, void *userdata);

typedef struct p2pbus_method {
        const char *name; /* up to P2PBUS_CALL_METHOD_MAX bytes, UTF-8 */
        p2pbus_method_function function;
        void *userdata;
        const char *description; /* for people, a line of UTF-8; or NULL */
} p2pbus_method;

/* Clear with memset(), set struct_size; 0 and NULL mean the default. Later versions append fields. */
typedef struct p2pbus_provider_options {
        size_t struct_size;
        const char *name; /* claimed by p2pbus_provide(), and released with the provider; NULL */
        const p2pbus_service *service; /* what is said of it then; not used afterwards; or NULL */
        json_t *metadata; /* shown by p2pbus.Info; borrowed for the call; or NULL */
        uint64_t timeout_usec; /* for the name, as of p2pbus_provide() */
} p2pbus_provider_options;

/**
 * p2pbus_provider_new() - provide methods
 * @bus:     one reference is taken
 * @methods: @n_methods of them, copied with their texts
 * @options: may be NULL
 *
 * Blocks for the daemon's answer if there is a name.
 * Return: 0; -EINVAL: a method without name or function, two of one name, one that begins with
 * "p2pbus.", a name or description that is no UTF-8, or struct_size of no version; else as p2pbus_provide(); -ENOMEM.
 */
int p2pbus_provider_new(p2pbus_provider **ret, p2pbus *bus, const p2pbus_method *methods,
                        size_t n_methods, const p2pbus_provider_options *options);

/* Calls that are not answered are, with "unavailable", and gone. Releases the name, as far as the
 * daemon answers within a second. Accepts NULL, returns NULL. Not from within a method. */
p2pbus_provider *p2pbus_provider_free(p2pbus_provider *provider);

/**
 * p2pbus_provider_handle() - answer a message that the program has received
 *
 * For programs that receive other messages too. Does not drop the reference.
 * Return: 1: a request; its method ran, or it was answered with an error. 0: no request, and left
 * alone. -ENOMEM; or as p2pbus_reply().
 */
int p2pbus_provider_handle(p2pbus_provider *provider, p2pbus_message *message);

/* The same, but only if it is a call of p2pbus.Ping, p2pbus.Info or p2pbus.Stats; everything else is
 * left alone, 0. For programs that answer requests of any form by themselves. */
int p2pbus_provider_handle_own(p2pbus_provider *provider, p2pbus_message *message);

/**
 * p2pbus_provider_process() - answer what is there, without waiting
 *
 * For any event loop (p2pbus_get_fd()). Other messages than requests are dropped. Return: 0; -ENOTCONN:
 * closed for good; -ECHILD; -ENOMEM.
 */
int p2pbus_provider_process(p2pbus_provider *provider);

/* The same for @timeout_usec, waiting; P2PBUS_FOREVER: until p2pbus_provider_stop(). Return: 0: it is
 * over; -ENOTCONN; -ECHILD; -ENOMEM. */
int p2pbus_provider_run(p2pbus_provider *provider, uint64_t timeout_usec);

/* Makes p2pbus_provider_run() return when the method that calls this has. From the same thread. */
void p2pbus_provider_stop(p2pbus_provider *provider);

/**
 * p2pbus_provider_begin() - count a request that the program answers by itself
 * @method: what to count it as; it need not be one of the provider's. NULL: no name
 * @ret:    receives a handle for p2pbus_call_end(), or for what answers
 * Return: 0; -EINVAL: no request; -EBUSY: P2PBUS_CALL_OPEN_MAX of them; -ENOMEM.
 */
int p2pbus_provider_begin(p2pbus_provider *provider, p2pbus_message *request, const char *method,
                          p2pbus_call_handle **ret);
/* It was answered in another way, with @status (0: no error). The handle is gone. */
void p2pbus_call_end(p2pbus_call_handle *call, uint32_t status);

/* ---- A call that came ---- */

/**
 * p2pbus_call_reply() - answer it, for the last time
 * @payload: stolen; NULL: null, unless making it failed for want of memory
 *
 * The handle is gone, whatever is returned: an answer that cannot be given is an error for the caller.
 * Return: 0; -EMSGSIZE: answered with "too-big"; -ENOMEM; -ENOTCONN.
 */
int p2pbus_call_reply(p2pbus_call_handle *call, json_t *payload);

/* The same with an error: a P2PBUS_CALL_X or a number of the application's; @text for people, cut at
 * P2PBUS_ERROR_TEXT_MAX; NULL: the status's name. */
int p2pbus_call_fail(p2pbus_call_handle *call, uint32_t status, const char *text);

/**
 * p2pbus_call_part() - send a part of the answer
 * @payload:      stolen
 * @timeout_usec: how long to wait for room, if the caller is slow; 0: not at all
 *
 * To a caller that takes one reply only the parts are kept and sent as a list, with what
 * p2pbus_call_reply() has at its end unless that is null.
 *
 * Return: 0; -EAGAIN: no room in time, and it was not sent; -ECANCELED: nobody waits any more: end the
 * work, and answer or fail the call to let it go; -EMSGSIZE: over what one message, or the list, can
 * be; -ENOMEM; -ENOTCONN. The handle stays.
 */
int p2pbus_call_part(p2pbus_call_handle *call, json_t *payload, uint64_t timeout_usec);

/* Says how far it is: @payload, stolen, for people or programs. Left out when there is no room, and for a
 * caller that takes one reply only. Return: 0; -ECANCELED; -EMSGSIZE; -ENOMEM; -ENOTCONN. */
int p2pbus_call_progress(p2pbus_call_handle *call, json_t *payload);

/* 1 once nobody waits for the answer; see p2pbus_message_is_cancelled(). */
int p2pbus_call_is_cancelled(p2pbus_call_handle *call);
/* 1 if parts reach the caller as they are sent. */
int p2pbus_call_takes_parts(p2pbus_call_handle *call);
/* Microseconds until the caller stops waiting; 0: it has; P2PBUS_FOREVER: never. Parts and progress put
 * it off for a caller that takes them. */
uint64_t p2pbus_call_get_time_left(p2pbus_call_handle *call);
/* The request itself, borrowed: who it is from, whether it is remote. */
p2pbus_message *p2pbus_call_get_request(p2pbus_call_handle *call);
/* What was called; valid as long as the handle. */
const char *p2pbus_call_get_method(p2pbus_call_handle *call);

/* ---- Callers ---- */

/* What an error reply said. */
typedef struct p2pbus_call_error {
        uint32_t status; /* enum p2pbus_call_status, or any number */
        char name[32];   /* of the status; "" for those without */
        char text[P2PBUS_ERROR_TEXT_MAX + 1];
} p2pbus_call_error;

/**
 * p2pbus_call() - call a method and wait for its answer
 * @dest:       a destination, as of p2pbus_request()
 * @payload:    stolen; NULL: none
 * @ret_result: receives the payload of the answer with a reference; json_null() for none
 * @ret_error:  filled in with -EREMOTEIO; may be NULL
 *
 * Parts of an answer come as one list, if the provider makes it so. Blocks.
 * Return: 0; -EREMOTEIO: an error reply; -EBADMSG: the reply is no answer to a call; -EMSGSIZE: over a
 * limit above; else as p2pbus_request(); -ENOMEM.
 */
int p2pbus_call(p2pbus *bus, const char *dest, const char *method, json_t *payload,
                uint64_t timeout_usec, json_t **ret_result, p2pbus_call_error *ret_error);

/**
 * p2pbus_call_callback - how the answer comes; see p2pbus_stream_callback
 * @event:   enum p2pbus_stream_event
 * @error:   0, but with P2PBUS_STREAM_FAILED: as p2pbus_call() returns
 * @payload: of a part, a word of progress or the last part; valid until it returns; NULL with FAILED
 * @said:    with -EREMOTEIO; else NULL
 */
typedef void (*p2pbus_call_callback)(p2pbus *bus, int event, int error, json_t *payload,
                                     const p2pbus_call_error *said, void *userdata);

/* What p2pbus_call_start() remembers, in memory of the caller's. */
typedef struct p2pbus_calling {
        p2pbus_call_callback callback;
        void *userdata;
        int error; /* of the library: 0 at first */
} p2pbus_calling;

/**
 * p2pbus_call_start() - call a method, and be called with its answer
 * @calling: callback and userdata filled in; must stay where it is until the callback has heard the
 *           end, or the handle is closed, after which nobody is called
 * @payload: stolen; NULL: none
 *
 * As p2pbus_request_stream(), also for @timeout_usec and @ret_id. At a part that is no answer to a call
 * it is cancelled, and fails with -EBADMSG or -EMSGSIZE.
 * Return: as p2pbus_request_stream(); -EMSGSIZE; -ENOMEM.
 */
int p2pbus_call_start(p2pbus *bus, p2pbus_calling *calling, const char *dest, const char *method,
                      json_t *payload, uint64_t timeout_usec, char ret_id[P2PBUS_ID_SIZE]);

#ifdef __cplusplus
}
#endif

#endif
