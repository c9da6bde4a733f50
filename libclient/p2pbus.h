/* SPDX-License-Identifier: Apache-2.0 */

/*
 * libp2pbus: messages between processes, addressed by key, wherever they run
 *
 * A process is its key; the hash of the key is its PID. The same call reaches a process on this
 * host or, through relays, on another; what leaves the host is sealed for the receiver alone. A
 * complete program, which asks one process and prints what it answers:
 *
 *      #include <p2pbus.h>
 *      #include <stdio.h>
 *      int main(int argc, char **argv) {
 *              p2pbus *bus = NULL;
 *              p2pbus_message *question = NULL, *answer = NULL;
 *              int r = argc == 2 ? p2pbus_open(&bus, NULL) : -1;
 *              if (r >= 0)
 *                      r = p2pbus_message_new(&question, "how are you?", 12);
 *              if (r >= 0)
 *                      r = p2pbus_request(bus, argv[1], question, 0, &answer);
 *              if (r >= 0)
 *                      printf("%.*s\n", (int)p2pbus_message_get_size(answer),
 *                             (const char *)p2pbus_message_get_payload(answer));
 *              else
 *                      fprintf(stderr, "%s\n", p2pbus_get_explanation());
 *              p2pbus_message_unref(answer);
 *              p2pbus_message_unref(question);
 *              p2pbus_unref(bus);
 *              return r < 0;
 *      }
 *
 * Results. Functions return 0 or more, or -errno; out parameters are untouched on failure. The
 * errnos have one meaning everywhere:
 *
 *      -ENOTCONN       there is no bus: not there, lost and not back in time, closed, replaced
 *      -EHOSTUNREACH   no such process; -ENXIO: nobody provides this name; -ENETUNREACH: not on
 *                      this host, and no gateway or relay to ask
 *      -ETIMEDOUT      not done in time
 *      -EACCES         policy; -EDQUOT: a share is used up; -EMSGSIZE: over the largest message
 *      -ECONNRESET     the receiver or its session ended before it answered: nobody knows whether
 *                      it was delivered, or, P2PBUS_REASON_NO_REPLY, it was a request, delivered
 *      -ECANCELED      cancelled by p2pbus_cancel() or p2pbus_close(); by the asker, of its request
 *      -EAGAIN         nothing to do now, or no room; call again after p2pbus_process()
 *      -ECHILD         this process was forked from the one that opened the handle
 *      -EOPNOTSUPP     a part of an answer, to an asker that takes none
 *      -EINVAL         malformed argument; -ENOMEM: out of memory
 *
 * p2pbus_get_reason() and p2pbus_get_explanation() say more about the calling thread's last
 * failure.
 *
 * Threads. Any function may be called by any thread at any time on one handle; several may block in
 * calls on it. Messages are not locked: one thread at a time uses one message. Reply callbacks run
 * in a thread that is inside p2pbus_process(), p2pbus_wait() or a blocking call, one at a time, and
 * may call every function but those that block, close or drop the last reference of the handle.
 *
 * fork(). The keys stay with the parent: each call of the child fails with -ECHILD, except
 * p2pbus_unref(), which frees the child's copy and disturbs nobody. The parent goes on.
 *
 * Any event loop. Watch p2pbus_get_fd() for p2pbus_get_events(), at most for p2pbus_get_timeout(),
 * then call p2pbus_process(), then take what came with p2pbus_receive(), p2pbus_next_result(). The
 * descriptor never changes, also when the daemon is away. p2pbus-sd-event.h does it for sd-event.
 *
 * The daemon may be restarted at any time: the library attaches again by itself with the same key,
 * claims its names again, and goes on where each conversation was; messages are neither lost nor
 * doubled.
 *
 * Destinations (@dest) are text: a PID (16 hex digits), its tagged form (PID-TAG), its full form
 * (PID:key, the only one that nobody can forge), or a service name, which contains a dot.
 *
 * Time-outs are microseconds. Where a call says so, 0 stands for P2PBUS_TIMEOUT_DEFAULT.
 */

#ifndef P2PBUS_H
#define P2PBUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define P2PBUS_PID_SIZE 17  /* bytes of a PID as text: 16 hex digits and a NUL */
#define P2PBUS_FULL_SIZE 61 /* bytes of a full form as text, NUL included */
#define P2PBUS_ID_SIZE 33   /* bytes of a message's id as text: 32 hex digits and a NUL */
#define P2PBUS_NAME_MAX 255 /* characters of a service name, without NUL */
#define P2PBUS_TYPE_MAX 255 /* characters of a MIME type, without NUL */
#define P2PBUS_TOPIC_MAX 255 /* characters of a topic or pattern, without NUL */
#define P2PBUS_TOPIC_MESSAGE_MAX 60000U /* bytes of a message that is published */
#define P2PBUS_METADATA_MAX 512 /* bytes that a provider may say of itself, without NUL */
#define P2PBUS_GRANT_SIZE 800   /* of the text of a grant, a NUL included */
#define P2PBUS_ERROR_TEXT_MAX 4096 /* bytes of the text of an error reply, without NUL */

#define P2PBUS_TIMEOUT_DEFAULT ((uint64_t)30 * 1000000) /* microseconds */
#define P2PBUS_FOREVER ((uint64_t)-1)

/* A connection to the bus: one key, one PID. Reference counted. */
typedef struct p2pbus p2pbus;

/* A message. Reference counted; what was given to p2pbus_send() does not change any more. */
typedef struct p2pbus_message p2pbus_message;

/* What exactly went wrong; p2pbus_reason_text() says it in words. 1 to 24 are the protocol's codes
 * (PROTOCOL.md, "Control"); new ones may be added. */
enum p2pbus_reason {
        P2PBUS_REASON_NONE = 0,
        P2PBUS_REASON_NOT_HERE = 1,   /* -EHOSTUNREACH: nobody with this address */
        P2PBUS_REASON_GONE = 2,       /* -EHOSTUNREACH: was here and left */
        P2PBUS_REASON_SETTLING = 3,   /* -EHOSTUNREACH: bus or relays do not know yet */
        P2PBUS_REASON_NO_ROUTE = 4,   /* -ENETUNREACH: not on this host; no gateway or no relay */
        P2PBUS_REASON_AMBIGUOUS = 5,  /* -EHOSTUNREACH: several keys share the PID: full form */
        P2PBUS_REASON_WRONG_KEY = 6,  /* -EHOSTUNREACH: the PID is there, with another key */
        P2PBUS_REASON_DENIED = 7,     /* -EACCES */
        P2PBUS_REASON_QUOTA = 8,      /* -EDQUOT */
        P2PBUS_REASON_QUEUE_FULL = 9, /* -EDQUOT */
        P2PBUS_REASON_TOO_BIG = 10,   /* -EMSGSIZE */
        P2PBUS_REASON_EXPIRED = 11,   /* -ETIMEDOUT */
        P2PBUS_REASON_OVERLOAD = 12,  /* -EDQUOT */
        P2PBUS_REASON_BUSY = 13,      /* -EBUSY: key attached already, role or name taken */
        P2PBUS_REASON_BAD_SIGNATURE = 14,   /* -EACCES */
        P2PBUS_REASON_BAD_CREDENTIALS = 15, /* -EACCES */
        P2PBUS_REASON_VIOLATION = 16,       /* -EPROTO */
        P2PBUS_REASON_UNSUPPORTED = 17,     /* -EPROTONOSUPPORT */
        P2PBUS_REASON_RATE = 18,            /* -EDQUOT */
        P2PBUS_REASON_REPLACED = 19,        /* -ENOTCONN: the same key attached again elsewhere */
        P2PBUS_REASON_SHUTDOWN = 20,        /* -ENOTCONN: the daemon ended */
        P2PBUS_REASON_CLOCK = 21,           /* -EPROTO: clocks differ by more than 5 minutes */
        P2PBUS_REASON_NO_PROVIDER = 22,     /* -ENXIO */
        P2PBUS_REASON_TIMEOUT = 23,         /* -ETIMEDOUT */
        P2PBUS_REASON_NOT_LEASED = 24,      /* -ENETUNREACH */

        P2PBUS_REASON_UNKNOWN = 100,       /* -ECONNRESET: delivered or not, nobody knows */
        P2PBUS_REASON_CANCELLED = 101,     /* -ECANCELED */
        P2PBUS_REASON_CLOSED = 102,        /* -ENOTCONN: p2pbus_close() was called */
        P2PBUS_REASON_FORKED = 103,        /* -ECHILD */
        P2PBUS_REASON_BAD_DESTINATION = 104, /* -EINVAL */
        P2PBUS_REASON_ERROR_REPLY = 105,   /* -EREMOTEIO: the answer was an error reply */
        P2PBUS_REASON_RESERVED = 106,      /* -EINVAL: a PID that no process can have */
        P2PBUS_REASON_NO_REPLY = 107,      /* -ECONNRESET: a request that was delivered, no more */

        P2PBUS_REASON_NO_SOCKET = 120,     /* -ENOTCONN: no such socket */
        P2PBUS_REASON_NO_LISTENER = 121,   /* -ENOTCONN: a socket, but nobody listens */
        P2PBUS_REASON_NO_ACCESS = 122,     /* -ENOTCONN: the kernel forbids to connect */
        P2PBUS_REASON_NOT_TRUSTED = 123,   /* -ENOTCONN: a listener of another user: not signed */
        P2PBUS_REASON_WRONG_USER = 124,    /* -ENOTCONN: HELLO names another user: not signed */
        P2PBUS_REASON_NOT_A_BUS = 125,     /* -ENOTCONN: speaks another protocol */
        P2PBUS_REASON_LOST = 126,          /* -ENOTCONN: the connection broke */
        P2PBUS_REASON_PATH_TOO_LONG = 127, /* -ENAMETOOLONG: a socket path over 107 bytes */

        P2PBUS_REASON_KEY_MISSING = 140,   /* -ENOKEY */
        P2PBUS_REASON_KEY_UNREADABLE = 141, /* -ENOKEY */
        P2PBUS_REASON_KEY_OWNER = 142,     /* -EKEYREJECTED: neither the caller's nor root's */
        P2PBUS_REASON_KEY_MODE = 143,      /* -EKEYREJECTED: group or others may use it */
        P2PBUS_REASON_KEY_NOT_REGULAR = 144, /* -EKEYREJECTED */
        P2PBUS_REASON_KEY_MALFORMED = 145, /* -EKEYREJECTED */
        P2PBUS_REASON_KNOWN_PEERS = 146,   /* -EINVAL: that file is damaged, or cannot be read */
        P2PBUS_REASON_BAD_TOPIC = 147      /* -EINVAL */
};

/* ---- Open and close ---- */

/* p2pbus_options.flags */
enum p2pbus_flags {
        P2PBUS_OFF_HOST = 1 << 0,     /* send to and be reachable from other hosts */
        P2PBUS_TAKEOVER = 1 << 1,     /* replace a connection of the same key and user */
        P2PBUS_NO_RECONNECT = 1 << 2, /* a lost connection is the end of the handle */
        P2PBUS_RESULTS = 1 << 3,      /* keep the fate of each message for p2pbus_next_result() */
        P2PBUS_NO_MONITOR = 1 << 4,   /* monitors see headers of what comes and goes, no payloads */
        P2PBUS_PAD = 1 << 5           /* relays see sizes of sealed packets rounded up, by 12 % at most */
};

/* Clear with memset(), set struct_size; 0 and NULL mean the default. Later versions append fields.
 * */
typedef struct p2pbus_options {
        size_t struct_size;        /* sizeof(p2pbus_options) */
        const char *socket_path;   /* NULL: p2pbus_default_socket() */
        const char *key_file;      /* NULL: a fresh key, for this handle only */
        uint32_t flags;            /* P2PBUS_OFF_HOST ... */
        uint64_t connect_timeout_usec; /* until attached; 0: 5 seconds */
        uint64_t buffer_bytes;     /* memory of all conversations; 0: 64 MiB */
        const char *known_peers;   /* file of keys met before, see p2pbus_default_known_peers();
                                    * NULL: met anew by each handle */
        uint64_t key_life_usec;    /* of the key that others seal first messages for: who steals it
                                    * can read those of that time; an hour to 30 days; 0: 7 days */
} p2pbus_options;

/**
 * p2pbus_open() - connect to the bus and attach
 * @ret:     receives the handle, with one reference: p2pbus_unref() it
 * @options: NULL for the defaults; not used after the call
 *
 * Blocks until the daemon has welcomed this process. Does not wait for a bus that is not there. The
 * key file is read before anything is connected. Without P2PBUS_OFF_HOST messages stay on this
 * host.
 *
 * Return: 0, or
 *      -ENOKEY         the key file cannot be read; -EKEYREJECTED: it is unsafe or malformed
 *      -ENAMETOOLONG   the socket's path has more than 107 bytes
 *      -ENOTCONN       no bus, or none that may be trusted; p2pbus_get_reason() says which
 *      -EACCES         refused by policy; -EBUSY: the key is attached, without P2PBUS_TAKEOVER;
 *                      -EDQUOT: too many processes or attaches of this user
 *      -ETIMEDOUT      the daemon does not answer
 *      -EINVAL         unknown flags, struct_size of no version, a key_life_usec out of bounds, a
 *                      file of known peers that cannot be read or has a malformed line; -ENOMEM;
 *                      -EMFILE
 *
 * Bytes: PROTOCOL.md, "Attach".
 */
int p2pbus_open(p2pbus **ret, const p2pbus_options *options);

/* One more reference; returns @bus. Any thread. */
p2pbus *p2pbus_ref(p2pbus *bus);

/* Drops a reference; the last one closes as p2pbus_close() does and frees. NULL is ignored. Not
 * from within a callback if it is the last. Return: NULL. */
p2pbus *p2pbus_unref(p2pbus *bus);

/**
 * p2pbus_close() - end the connection
 *
 * Final acknowledgements and the end of each conversation are written as far as the socket takes
 * them at once; nothing is waited for. What was sent to this handle and not received by the program its
 * senders hear of as not delivered, or it goes to another provider of the name.
 * Unfinished messages end as -ECANCELED; blocked calls return
 * -ENOTCONN; reply callbacks not yet run are run by nobody. Received messages stay readable. To be
 * sure that all was delivered call p2pbus_flush() first. Never blocks; any thread; again is
 * harmless.
 */
void p2pbus_close(p2pbus *bus);

/* The socket that a handle without @socket_path uses: $P2PBUS_SOCKET, else the user's own bus if it
 * is there, else the system's. @path receives it with a NUL, at most @n_path bytes.
 * Return: 0; -ENAMETOOLONG: it does not fit, or has more than 107 bytes. */
int p2pbus_default_socket(char *path, size_t n_path);

/* The path in use; valid as long as the handle. */
const char *p2pbus_get_socket(p2pbus *bus);

/* This process's full form, and its PID alone; valid as long as the handle. */
const char *p2pbus_get_full(p2pbus *bus);
const char *p2pbus_get_pid(p2pbus *bus);

/* Bytes of the largest message that this bus takes, as it said at the last attach. */
uint64_t p2pbus_get_message_max(p2pbus *bus);

/* What p2pbus_get_state() returns. */
enum p2pbus_state {
        P2PBUS_STATE_ATTACHED = 1 << 0,  /* else: away, and trying again unless CLOSED */
        P2PBUS_STATE_CLOSED = 1 << 1,    /* for good: closed, replaced, or lost without reconnect */
        P2PBUS_STATE_OFF_HOST = 1 << 2,  /* the daemon granted P2PBUS_OFF_HOST */
        P2PBUS_STATE_GATEWAY = 1 << 3,   /* a gateway is attached to this host's bus */
        P2PBUS_STATE_REACHABLE = 1 << 4, /* a relay knows this process */
        P2PBUS_STATE_MONITORED = 1 << 5  /* somebody is listening in */
};

/**
 * p2pbus_get_state() - whether the bus is there now
 * @ret_reason: why it is away or closed (P2PBUS_REASON_X), else 0; may be NULL
 *
 * Changes during p2pbus_process() and blocking calls. Return: bits of P2PBUS_STATE_X; or -ECHILD.
 */
int p2pbus_get_state(p2pbus *bus, int *ret_reason);

/**
 * p2pbus_wait_reachable() - wait until other hosts can reach this process
 * @timeout_usec: microseconds; 0: do not wait
 *
 * Return: 0, or -ENETUNREACH: no gateway is attached, or P2PBUS_OFF_HOST was not asked for or not
 * granted; -ETIMEDOUT: no relay has confirmed yet; -ENOTCONN; -ECHILD. Blocks.
 */
int p2pbus_wait_reachable(p2pbus *bus, uint64_t timeout_usec);

/* ---- Messages ---- */

enum p2pbus_kind {
        P2PBUS_KIND_ONE_WAY = 1,
        P2PBUS_KIND_REQUEST = 2, /* the sender waits for a reply */
        P2PBUS_KIND_REPLY = 3,
        P2PBUS_KIND_ERROR = 4,   /* a reply that says why there is none: status, payload is text */
        P2PBUS_KIND_PROGRESS = 5 /* about a request that goes on: p2pbus_reply_progress() */
};

/**
 * p2pbus_message_new() - a message to be sent
 * @payload: @size bytes, copied; NULL if @size is 0
 * Return: 0 or -ENOMEM. @ret has one reference.
 */
int p2pbus_message_new(p2pbus_message **ret, const void *payload, size_t size);

/* The same without a copy: @payload, from malloc(), is the message's on success. For big ones. */
int p2pbus_message_new_take(p2pbus_message **ret, void *payload, size_t size);

/* Any thread. References of one message may be dropped by different threads. */
p2pbus_message *p2pbus_message_ref(p2pbus_message *message);

/* Drops a reference; NULL is ignored. The last reference of a received message also says that this
 * program has it, as p2pbus_done() does. Return: NULL. */
p2pbus_message *p2pbus_message_unref(p2pbus_message *message);

/* Sets the MIME type, up to P2PBUS_TYPE_MAX printable characters, copied; NULL removes it.
 * Return: 0, -EINVAL, -ENOMEM, -EPERM: the message was sent or received. */
int p2pbus_message_set_type(p2pbus_message *message, const char *type);

/* Whether the message may be delivered twice. Then, if the receiver is restarted before it has
 * confirmed the message, its next process gets it too, instead of a result of "unknown"; what that
 * cannot be sent to is unknown still.
 * Return: 0, -EPERM: the message was sent or received. */
int p2pbus_message_set_idempotent(p2pbus_message *message, int idempotent);
/* 1: its sender said so. */
int p2pbus_message_is_idempotent(p2pbus_message *message);
/* Of a received message: 1 if an earlier process with this key, or another provider, may have it, too. */
int p2pbus_message_may_be_repeat(p2pbus_message *message);

/* Which of several providers a message goes to, if it is sent to a name. */
enum p2pbus_mode {
        /* Requests: who is likely to answer first. One-way messages: the same one as long as it is
         * there, so that they stay in order. */
        P2PBUS_MODE_BALANCE = 0,
        /* Of those with the lowest priority number the one that was there first. */
        P2PBUS_MODE_FAILOVER = 1
};
/* Return: 0; -EINVAL: no such mode; -EPERM: the message was sent or received. */
int p2pbus_message_set_mode(p2pbus_message *message, int mode);
/* The name that a received message was sent to, "" if it was sent to this process itself. */
const char *p2pbus_message_get_service(p2pbus_message *message);

/* Any pointer of the caller's, for example to know a result again; never followed or freed. */
void p2pbus_message_set_userdata(p2pbus_message *message, void *userdata);
void *p2pbus_message_get_userdata(p2pbus_message *message);

/* The payload, borrowed: valid while a reference is held, aligned as from malloc(), not followed by
 * a NUL. NULL if the size is 0. */
const void *p2pbus_message_get_payload(p2pbus_message *message);
size_t p2pbus_message_get_size(p2pbus_message *message);
/* enum p2pbus_kind */
int p2pbus_message_get_kind(p2pbus_message *message);
/* "one-way", "request", "reply", "error", "progress" */
const char *p2pbus_kind_text(int kind);
/* 32 hex digits; "" before it was sent. Valid while a reference is held, as all text here. */
const char *p2pbus_message_get_id(p2pbus_message *message);
/* The id of the request that this answers, "" if none. */
const char *p2pbus_message_get_reply_to(p2pbus_message *message);
/* MIME type, or NULL. */
const char *p2pbus_message_get_type(p2pbus_message *message);
/* Full form and PID of the sender of a received message: its proven key. "" for others. */
const char *p2pbus_message_get_from(p2pbus_message *message);
const char *p2pbus_message_get_from_pid(p2pbus_message *message);
/* 1 if a received message came from another host, sealed; else 0. */
int p2pbus_message_is_remote(p2pbus_message *message);
/* The number that an error reply carries, as given to p2pbus_reply_error(); else 0. */
uint32_t p2pbus_message_get_status(p2pbus_message *message);
/* Milliseconds after its arrival when its sender stops waiting; 0: never. Of a request that takes
 * parts they count anew from each part and each word of progress. */
uint32_t p2pbus_message_get_lifetime(p2pbus_message *message);
/* 1 if a received request may be answered in parts: p2pbus_reply_more(); else 0. */
int p2pbus_message_takes_parts(p2pbus_message *message);
/* 1 if nobody waits any more for the answer to a received request: it was cancelled, or its asker or
 * their conversation ended; else 0. Ask after p2pbus_process() or p2pbus_wait(), which return when it
 * changes. Any thread. */
int p2pbus_message_is_cancelled(p2pbus_message *message);

/* ---- Send ---- */

/**
 * p2pbus_check_destination() - whether a text can name a destination
 * Return: enum p2pbus_destination, or -EINVAL. Needs no bus.
 */
enum p2pbus_destination {
        P2PBUS_DESTINATION_PID = 1,
        P2PBUS_DESTINATION_TAGGED = 2,
        P2PBUS_DESTINATION_FULL = 3,
        P2PBUS_DESTINATION_NAME = 4
};
int p2pbus_check_destination(const char *dest);

/**
 * p2pbus_send() - send one message
 * @dest:         a destination
 * @message:      made by p2pbus_message_new(); the library takes a reference. Sent once only
 * @timeout_usec: microseconds until it is given up if not delivered; 0: P2PBUS_TIMEOUT_DEFAULT
 * @ret_id:       receives the id, for p2pbus_cancel(); may be NULL
 *
 * Queues and returns, without blocking. The receiving library gives the message to nobody once its
 * time is over, counted from when it came there. What happens later is told by p2pbus_flush() or, with
 * P2PBUS_RESULTS, p2pbus_next_result(). A message that comes alone is written to the socket at
 * once; those that follow within 200 microseconds gather, and go out many at a time: at 32 KiB, or
 * with the next p2pbus_process(), p2pbus_get_timeout() or call that waits. So a program that sends
 * several and then turns to something else calls p2pbus_process() before; it is cheap.
 *
 * Return: 0, or nothing was queued and
 *      -EAGAIN         no room: the receiver is slow, or results wait for p2pbus_next_result()
 *      -EMSGSIZE       over p2pbus_get_message_max()
 *      -EINVAL         malformed @dest, its PID is reserved, or the message was sent before
 *      -ENOTCONN       closed; -ECHILD; -ENOMEM
 *
 * Bytes: PROTOCOL.md, "Records", MSG.
 */
int p2pbus_send(p2pbus *bus, const char *dest, p2pbus_message *message, uint64_t timeout_usec,
                char ret_id[P2PBUS_ID_SIZE]);

/**
 * p2pbus_send_wait() - send one message and wait until it is delivered
 *
 * As p2pbus_send(), but blocks, first for room, then until the receiving program has taken the
 * message and its library has said so. No result is kept for p2pbus_next_result().
 *
 * Return: 0: delivered; else the errors of p2pbus_send() but -EAGAIN, and -EHOSTUNREACH, -ENXIO,
 * -ENETUNREACH, -ETIMEDOUT, -EACCES, -EDQUOT, -ECONNRESET, -ECANCELED.
 */
int p2pbus_send_wait(p2pbus *bus, const char *dest, p2pbus_message *message, uint64_t timeout_usec);

/**
 * p2pbus_reserve() - a message to be composed where the receiver will read it
 * @dest:     a destination
 * @size:     bytes of the payload at most
 * @ret:      receives the message, with a reference
 * @ret_data: receives the memory to write them to, aligned to 8 bytes; not zeroed
 *
 * p2pbus_commit() sends it; dropping the last reference without that gives it up. For messages of up
 * to 61392 bytes to a process with which there is a ring (p2pbus_set_ring()) the memory is the
 * ring's, if nothing is in the way: nothing waits to be sent to this process, it takes more, there is
 * room, and no other reservation is open. Else it is ordinary memory; the difference is speed.
 *
 * Be quick between the two: as long as it is open nothing else goes to this process, neither
 * messages nor what the library has to say, such as that something was taken.
 *
 * Return: 0, or -EINVAL: malformed @dest; -EMSGSIZE; -EAGAIN; -ENOTCONN; -ECHILD; -ENOMEM.
 */
int p2pbus_reserve(p2pbus *bus, const char *dest, size_t size, p2pbus_message **ret,
                   void **ret_data);

/**
 * p2pbus_commit() - send a reserved message
 * @message: made by p2pbus_reserve(); the library takes a reference
 * @size:    bytes of the payload, at most what was reserved
 *
 * As p2pbus_send(), one-way, in the order of the calls to commit; a MIME type that was set costs a
 * copy. The memory of p2pbus_reserve() is no longer the caller's, whatever is returned, and
 * p2pbus_message_get_payload() of a committed message is of no use.
 *
 * No copy is kept of what was composed in a ring. If the ring ends before the receiver's library is
 * known to have read it, for example because that process was killed, it is not sent again; then it
 * may be lost, and its result is -ECONNRESET with P2PBUS_REASON_UNKNOWN.
 *
 * Return: as p2pbus_send(), and -EINVAL: @message was not reserved with this handle, was committed
 * before, or @size is too large. After an error it may be committed again.
 */
int p2pbus_commit(p2pbus *bus, p2pbus_message *message, size_t size, uint64_t timeout_usec,
                  char ret_id[P2PBUS_ID_SIZE]);

/**
 * p2pbus_flush() - wait until everything sent is settled
 * @timeout_usec: microseconds; 0: do not wait
 *
 * Blocks until each message sent so far is delivered or has failed. Requests, too, count from here
 * only as messages, not until their reply.
 *
 * Return: 0; the error of the first message that failed since the last flush (messages whose result
 * p2pbus_next_result() or p2pbus_send_wait() has told do not count); -ETIMEDOUT with
 * P2PBUS_REASON_TIMEOUT: something is still under way; -ENOTCONN; -ECHILD.
 */
int p2pbus_flush(p2pbus *bus, uint64_t timeout_usec);

/**
 * p2pbus_hand_over() - wait until everything sent is in the bus's hands
 * @timeout_usec: microseconds; 0: do not wait
 *
 * Blocks until each message was written to the daemon on the way that leads to its receiver: if the
 * process ends now, they go on without it as far as nothing on the way fails. Of what was published it
 * waits 2 seconds at most until the way to readers on other hosts is known.
 *
 * Return: as p2pbus_flush().
 */
int p2pbus_hand_over(p2pbus *bus, uint64_t timeout_usec);

/**
 * p2pbus_next_result() - the fate of a message sent with p2pbus_send()
 * @ret: receives the message, with a reference; its result is in the getters below
 *
 * Needs P2PBUS_RESULTS. Those that were delivered come in the order of sending for each receiver; what
 * failed comes when that is known. Does not block.
 * Return: 0, -EAGAIN: none now; -EINVAL: the handle has no P2PBUS_RESULTS; -ECHILD. Results outlive
 * p2pbus_close().
 */
int p2pbus_next_result(p2pbus *bus, p2pbus_message **ret);

/* p2pbus_message_get_refuser() */
enum p2pbus_refuser {
        P2PBUS_BY_UNKNOWN = 0, /* not refused, or nobody said so */
        P2PBUS_BY_DAEMON = 1,  /* of this host */
        P2PBUS_BY_BRIDGE = 2,
        P2PBUS_BY_RELAY = 3,
        P2PBUS_BY_FAR_BRIDGE = 4, /* of the receiver's host */
        P2PBUS_BY_FAR_DAEMON = 5,
        P2PBUS_BY_RECEIVER = 6
};

/* 0: delivered; -EINPROGRESS; or why not, -errno. Any thread. */
int p2pbus_message_get_result(p2pbus_message *message);
/* P2PBUS_REASON_X of the result, 0 if delivered or in progress. */
int p2pbus_message_get_reason(p2pbus_message *message);
/* Who refused a message that was sent, one of enum p2pbus_refuser: as far as those on the way tell. */
int p2pbus_message_get_refuser(p2pbus_message *message);
/* Which rule of the policy refused it, "FILE:LINE: KEY=VALUE", for people; NULL: nobody said. Valid as long
 * as the message; once its result is known. */
const char *p2pbus_message_get_refusal(p2pbus_message *message);
/* "the other host's daemon": a constant, never NULL, for any number. */
const char *p2pbus_refuser_text(int refuser);
/* Payload bytes of a sent message that have gone out; for progress displays. At most 1 MiB of it is
 * not yet at the receiver. Any thread. */
size_t p2pbus_message_get_progress(p2pbus_message *message);

/**
 * p2pbus_cancel() - stop a message or a request
 * @id: as p2pbus_send() or p2pbus_request_start() gave it
 *
 * A message that was not delivered yet ends as -ECANCELED (or as delivered, if that came first);
 * the callback of a request runs with -ECANCELED, from p2pbus_process(), and the receiver is told
 * that nobody waits. Return: 0, -ENOENT: not known or over; -EINVAL; -ECHILD.
 */
int p2pbus_cancel(p2pbus *bus, const char *id);

/* ---- Request and reply ---- */

/**
 * p2pbus_request() - ask and wait for the reply, which is one message
 * @timeout_usec: microseconds until the reply must be here; 0: P2PBUS_TIMEOUT_DEFAULT
 * @ret_reply:    receives the reply with a reference, its kind P2PBUS_KIND_REPLY; or, if the call
 *                returns -EREMOTEIO, of kind P2PBUS_KIND_ERROR, with status and text
 *
 * Return: 0; -EREMOTEIO: the receiver answered with an error, and @ret_reply is set; else as
 * p2pbus_send_wait(). Blocks.
 */
int p2pbus_request(p2pbus *bus, const char *dest, p2pbus_message *message, uint64_t timeout_usec,
                   p2pbus_message **ret_reply);

/**
 * p2pbus_reply_callback - how a request ended; called once
 * @error:    0: a reply; -EREMOTEIO: an error reply; else why there is none
 * @reason:   P2PBUS_REASON_X of @error, 0 with a reply
 * @reply:    set with 0 and -EREMOTEIO; valid until the callback returns, unless it takes a
 *                reference
 * @userdata: as given to p2pbus_request_start()
 */
typedef void (*p2pbus_reply_callback)(p2pbus *bus, int error, int reason, p2pbus_message *reply,
                                      void *userdata);

/**
 * p2pbus_request_start() - ask, and be called with the reply
 *
 * As p2pbus_send(); @callback runs once, unless the handle is closed before, and never from within
 * this call. No result is kept for p2pbus_next_result().
 * Return: as p2pbus_send(), and -EINVAL if @callback is NULL.
 */
int p2pbus_request_start(p2pbus *bus, const char *dest, p2pbus_message *message,
                         uint64_t timeout_usec, p2pbus_reply_callback callback, void *userdata,
                         char ret_id[P2PBUS_ID_SIZE]);

/* What p2pbus_stream_callback is called for. */
enum p2pbus_stream_event {
        P2PBUS_STREAM_PART = 1,     /* a part of the answer, in order; more follows */
        P2PBUS_STREAM_PROGRESS = 2, /* it goes on; the message says how far it is */
        P2PBUS_STREAM_LAST = 3,     /* the last part: p2pbus_reply() */
        P2PBUS_STREAM_FAILED = 4    /* there is no more: error and reason say why */
};

/**
 * p2pbus_stream_callback - how an answer comes in parts
 * @event:    enum p2pbus_stream_event; after LAST or FAILED it is not called again
 * @error:    0, but of FAILED: -EREMOTEIO: an error reply; else as p2pbus_reply_callback's
 * @reason:   P2PBUS_REASON_X of @error
 * @message:  valid until the callback returns, unless it takes a reference; NULL with FAILED, unless
 *            @error is -EREMOTEIO
 */
typedef void (*p2pbus_stream_callback)(p2pbus *bus, int event, int error, int reason,
                                       p2pbus_message *message, void *userdata);

/**
 * p2pbus_request_stream() - ask, and be called with each part of the answer
 * @timeout_usec: microseconds in which the first part, word of progress or reply must come, and then
 *            again from each to the next; 0: P2PBUS_TIMEOUT_DEFAULT. What waits for the callback
 *            counts as come. There is no limit to the whole: p2pbus_cancel() it when it takes too long
 *
 * As p2pbus_request_start(). All parts come in order, none is left out, and the last comes as LAST;
 * a provider that knows of no parts sends that one alone. If the provider ends in between, it fails
 * as any request. Whoever does not take parts keeps their sender waiting: beyond 256 KiB for which
 * the callback has not returned, or of which it has kept a reference without p2pbus_done(), nothing
 * more comes from that process. When it fails or is cancelled before its end the provider is told,
 * and parts not yet seen are dropped with p2pbus_cancel().
 * Return: as p2pbus_request_start().
 */
int p2pbus_request_stream(p2pbus *bus, const char *dest, p2pbus_message *message,
                          uint64_t timeout_usec, p2pbus_stream_callback callback, void *userdata,
                          char ret_id[P2PBUS_ID_SIZE]);

/**
 * p2pbus_reply() - answer a request
 * @request: a received message of kind P2PBUS_KIND_REQUEST; answered at most once
 * @message: made by p2pbus_message_new(); the library takes a reference
 *
 * Queues as p2pbus_send() does, but whatever the load; says also that the request was taken, as
 * p2pbus_done() does. While 256 KiB of replies wait for one asker, no further request of it is
 * received.
 * Return: 0; -EINVAL: no request, or answered already; -EMSGSIZE; -ENOTCONN: closed; -ECHILD;
 * -ENOMEM.
 */
int p2pbus_reply(p2pbus *bus, p2pbus_message *request, p2pbus_message *message);

/* The same with an error: @status, any number, and @text for people, up to P2PBUS_ERROR_TEXT_MAX
 * bytes. */
int p2pbus_reply_error(p2pbus *bus, p2pbus_message *request, uint32_t status, const char *text);

/**
 * p2pbus_reply_more() - send a part of the answer to a request
 * @request: a received request that p2pbus_message_takes_parts()
 * @message: as of p2pbus_reply(), which, or p2pbus_reply_error(), is to be called at the end
 *
 * Queues as long as less than 256 KiB of answers wait for this asker, and says also that the request
 * was taken. Does not block: with -EAGAIN nothing was sent; p2pbus_wait() returns when there is room,
 * and then the same message can be sent. With -ECANCELED nobody waits any more, as
 * p2pbus_message_is_cancelled() tells: end the work, and drop the request.
 *
 * Return: 0; -EAGAIN; -ECANCELED; -EOPNOTSUPP: the asker takes one reply only; -EINVAL: no request,
 * or answered already; -EMSGSIZE; -ENOTCONN: closed; -ECHILD; -ENOMEM.
 *
 * Bytes: PROTOCOL.md, "Records", MSG, flag MORE.
 */
int p2pbus_reply_more(p2pbus *bus, p2pbus_message *request, p2pbus_message *message);

/**
 * p2pbus_reply_progress() - say that the work on a request goes on
 * @message: anything the asker understands; may be empty
 *
 * As p2pbus_reply_more(), also in between parts. To an asker that takes one reply only nothing is
 * sent, which is no failure; its time-out is not put off.
 *
 * Return: as p2pbus_reply_more(), but -EOPNOTSUPP.
 */
int p2pbus_reply_progress(p2pbus *bus, p2pbus_message *request, p2pbus_message *message);

/* ---- Receive ---- */

/**
 * p2pbus_receive() - the next message
 * @timeout_usec: microseconds; 0: do not wait
 * @ret:          receives a one-way message or a request, with a reference
 *
 * In order for each sender. Its sender hears of delivery when p2pbus_done() is called or the last
 * reference goes, and may send so much more then. Replies go to their requests, not here.
 * Return: 0; -EAGAIN: none came in time; -ENOTCONN: closed; -ECHILD. Blocks unless @timeout_usec is
 * 0.
 */
int p2pbus_receive(p2pbus *bus, uint64_t timeout_usec, p2pbus_message **ret);

/* This program has the message: its sender is told "delivered", and at once if it waits for that in
 * p2pbus_send_wait(). In any order, any thread, once or more; ignored for messages that were not
 * received. Does not drop the reference. */
void p2pbus_done(p2pbus_message *message);

/**
 * p2pbus_borrow() - the next message, where it is
 *
 * As p2pbus_receive(). But the payload of a message that comes through a ring (p2pbus_set_ring()) in
 * one piece, while this call is what reads the ring, is not copied: it stays in the memory that its
 * sender writes, until p2pbus_release() or until the last reference goes.
 *
 * THE SENDER MAY CHANGE THESE BYTES WHILE YOU LOOK AT THEM. Never check something in place and then
 * use it from there: copy first, check the copy. It is for large data that is passed on whole, or
 * that any bytes may be. p2pbus_message_is_shared() says which messages are so; all others are as
 * from p2pbus_receive().
 *
 * The memory is the ring's: while one is held, the ring gives no room back from there on, and
 * beyond 256 KiB nothing more comes from this sender. Beyond 64 or half of the ring held, messages
 * are copied. They may be released in any order, and stay valid when the ring or the handle ends.
 *
 * Return: as p2pbus_receive().
 */
int p2pbus_borrow(p2pbus *bus, uint64_t timeout_usec, p2pbus_message **ret);

/* This program is done with the message, as p2pbus_done(), and with a payload in shared memory, which
 * must not be looked at any more: p2pbus_message_get_payload() is NULL then. Does not drop the
 * reference. Not while another thread uses the message. */
void p2pbus_release(p2pbus_message *message);

/* 1 if the payload of a received message stands in memory that its sender can change; else 0. */
int p2pbus_message_is_shared(p2pbus_message *message);

/* ---- Names ---- */

/**
 * p2pbus_own_name() - provide a service name
 * @name: elements of a-z, 0-9, - and _, joined by dots, at least one dot, beginning with a letter;
 *        up to P2PBUS_NAME_MAX
 *
 * As p2pbus_provide() without a @service.
 */
int p2pbus_own_name(p2pbus *bus, const char *name, uint64_t timeout_usec);

/* p2pbus_service.flags */
enum p2pbus_service_flags {
        P2PBUS_SERVICE_DRAIN = 1 << 0 /* it takes no more: nothing is sent to it by this name */
};

/* What a provider says of itself. Clear with memset(), set struct_size and all that follows. */
typedef struct p2pbus_service {
        size_t struct_size;   /* sizeof(p2pbus_service) */
        uint16_t priority;    /* the lowest number of those that are there is asked; else 100 */
        uint16_t weight;      /* 1 to 65535, a share among those of one priority; else 100 */
        uint32_t flags;       /* P2PBUS_SERVICE_X */
        const char *metadata; /* at most P2PBUS_METADATA_MAX bytes of UTF-8 without control
                               * characters; NULL: none */
        const char *grant;    /* of a realm, that this process may have the name, for other hosts;
                               * as p2pbus_grant_sign() writes it; NULL: none */
} p2pbus_service;

/**
 * p2pbus_provide() - provide a service name, and say how
 * @name:    as p2pbus_own_name()
 * @service: NULL for the defaults; not used after the call
 *
 * Several processes of one user may provide a name. Called again, it changes what was said. Blocks for
 * the daemon's answer. The name is claimed again by itself, with all that was said of it, after each
 * new attach. A process with P2PBUS_OFF_HOST and a key file tells other hosts of it, too, of 16 names at
 * most; these believe it if their settings pin its key for the name, or name the realm that granted it.
 *
 * Return: 0; -EINVAL: no name, a malformed @service, or a grant for another key or name; -EACCES: policy;
 * -EDQUOT; -EBUSY: another user's; -ETIMEDOUT; -ENOTCONN; -ECHILD; -ENOMEM.
 */
int p2pbus_provide(p2pbus *bus, const char *name, const p2pbus_service *service,
                   uint64_t timeout_usec);

/* Gives a name back. What was sent to it and is not here yet goes to other providers; what is here is
 * this program's to finish. Return: as above; -ENXIO: was not provided. */
int p2pbus_release_name(p2pbus *bus, const char *name, uint64_t timeout_usec);

/**
 * p2pbus_drain() - take nothing more by name, and finish what is here
 * @timeout_usec: microseconds; 0: do not wait
 *
 * All names of this handle say that they drain, so that others are asked. Returns when each request that
 * came was answered, or given up by dropping its last reference, and nothing waits for
 * p2pbus_receive(): other threads receive and answer meanwhile. From then on nothing comes by name: it
 * goes to other providers. A program with one thread calls it with 0, and again after what it has
 * received and answered. p2pbus_provide() ends it for a name. Who talks with this program, and may have
 * sent before hearing of it, is asked whether it has heard, and waited for: 3 seconds at most.
 *
 * Return: 0; -EAGAIN: not yet, and @timeout_usec is 0; -ETIMEDOUT; -ENOTCONN; -ECHILD. Blocks unless
 * @timeout_usec is 0.
 */
int p2pbus_drain(p2pbus *bus, uint64_t timeout_usec);

/* How many requests came here, by a name or not, and are not over: those that wait for p2pbus_receive(),
 * and those that were received and are neither answered nor dropped. With each reply of a process that
 * provides a name its caller hears how many there are beside it, and chooses by that whom to ask next. From
 * any thread. 0 also for a handle after fork(). */
uint64_t p2pbus_get_load(p2pbus *bus);

/**
 * p2pbus_watch() - hear of who provides a name
 * @name: a service name; need not be provided by anybody
 *
 * p2pbus_next_provider_change() tells who provides it, and then of each change: on this host, this
 * process too, and with P2PBUS_OFF_HOST on others that are believed (p2pbus_provide()), of which this
 * host hears within 5 seconds. A name that is watched already stays so, and nothing is told twice. A watch
 * is the same question to the bus that sending to the name is, and counts against the same limits: a bus
 * that is over them is asked again every 10 seconds. It lasts until p2pbus_unwatch(), also when the daemon
 * is restarted; providers that come back to it were not gone. Never blocks; any thread.
 *
 * Return: 0; -EINVAL: no service name; -EAGAIN: 1,024 names are in use; -ENOTCONN: closed; -ECHILD;
 * -ENOMEM.
 *
 * Bytes: PROTOCOL.md, "Names", RESOLVE_NAME and NAMED.
 */
int p2pbus_watch(p2pbus *bus, const char *name);
/* Ends it: what was not told of the name yet is dropped. Return: 0; -ENXIO: was not watched; -EINVAL;
 * -ECHILD. Never blocks; any thread. */
int p2pbus_unwatch(p2pbus *bus, const char *name);

enum p2pbus_provider_event {
        P2PBUS_PROVIDER_HERE = 1,    /* it provides the name */
        P2PBUS_PROVIDER_CHANGED = 2, /* it still does, with another priority, weight or flags */
        P2PBUS_PROVIDER_GONE = 3     /* it does not any more; the rest is as it was told last */
};

/* Set struct_size before the call; later versions append fields. */
typedef struct p2pbus_provider_change {
        size_t struct_size; /* sizeof(p2pbus_provider_change) */
        int event;          /* enum p2pbus_provider_event */
        int remote;         /* 1: on another host; else 0 */
        uint16_t priority;  /* as of p2pbus_service */
        uint16_t weight;
        uint32_t flags;                 /* P2PBUS_SERVICE_X */
        char full[P2PBUS_FULL_SIZE];    /* the provider's full form */
        char name[P2PBUS_NAME_MAX + 1]; /* that is watched */
} p2pbus_provider_change;

/**
 * p2pbus_next_provider_change() - who came, changed, or went, of those that provide watched names
 *
 * Of each provider it tells how it is now, if that is not as it was told last: who came and went between
 * two calls is not told of, and who calls late misses no state that lasts. One that moves between this
 * host and another is gone, and then here. While the bus is away nothing changes. So what waits for this
 * call has an end: as many as there are providers and were told of.
 *
 * Return: 0; -EAGAIN: nothing has changed; -EINVAL: struct_size is not set; -ECHILD. Never blocks;
 * p2pbus_process() returns 1 when there may be something. Any thread.
 */
int p2pbus_next_provider_change(p2pbus *bus, p2pbus_provider_change *change);

/* p2pbus_all_options.flags */
enum p2pbus_all_flags {
        P2PBUS_ALL_ONE_WAY = 1 << 0 /* no reply is wanted: delivery is the answer */
};

/* Clear with memset(), set struct_size; 0 means the default. */
typedef struct p2pbus_all_options {
        size_t struct_size;    /* sizeof(p2pbus_all_options) */
        uint32_t flags;        /* P2PBUS_ALL_X */
        uint32_t max_replies;  /* enough; 0: all that come */
        uint64_t timeout_usec; /* 0: P2PBUS_TIMEOUT_DEFAULT */
} p2pbus_all_options;

/* What one provider answered, or the end. Pointers are valid until the callback returns. */
typedef struct p2pbus_all_event {
        size_t struct_size;
        int error;             /* 0: it replied, or has it; -EREMOTEIO: an error reply; else why
                                * not. Of the end: 0; -ENXIO: nobody provides it; -ETIMEDOUT */
        int reason;            /* P2PBUS_REASON_X of @error */
        const char *provider;  /* its full form; NULL: the end, nothing follows */
        p2pbus_message *reply; /* with 0, unless one-way, and with -EREMOTEIO; else NULL */
        uint64_t n_asked;      /* so far: providers asked, */
        uint64_t n_answered;   /* those that replied, */
        uint64_t n_failed;     /* and those that did otherwise */
} p2pbus_all_event;

/* Called once for each provider that is heard of, and once with the end, as reply callbacks are. */
typedef void (*p2pbus_all_callback)(p2pbus *bus, const p2pbus_all_event *event, void *userdata);

/**
 * p2pbus_request_all() - ask all providers of a name
 * @name:    a service name
 * @message: each provider gets a copy; the caller keeps its reference
 * @options: NULL for the defaults; not used after the call
 *
 * Asks each provider that is there now and does not drain, whatever its priority. @callback hears each
 * reply, or why there is none, as it comes; and the end when all were heard of, when @max_replies
 * have come (the others are told that nobody waits), or when the time is over. It never runs from within
 * this call, and not any more after p2pbus_close(). Does not block.
 *
 * Return: 0, or -EINVAL; -EMSGSIZE; -EAGAIN; -ENOTCONN; -ECHILD; -ENOMEM.
 */
int p2pbus_request_all(p2pbus *bus, const char *name, p2pbus_message *message,
                       const p2pbus_all_options *options, p2pbus_all_callback callback,
                       void *userdata);

/* ---- Any event loop ---- */

/* The one descriptor to watch; owned by the handle. */
int p2pbus_get_fd(p2pbus *bus);
/* What to watch it for: poll()'s bits, today always POLLIN. */
int p2pbus_get_events(p2pbus *bus);
/* Microseconds from now until p2pbus_process() wants to be called whatever the descriptor says; 0:
 * at once, also when it is closed for good; P2PBUS_FOREVER: never. Ask just before waiting. Return:
 * 0 or -ECHILD. */
int p2pbus_get_timeout(p2pbus *bus, uint64_t *ret_usec);

/**
 * p2pbus_process() - do what can be done without waiting
 *
 * Reads, writes, attaches again when it is time, runs reply callbacks. Afterwards p2pbus_receive(),
 * p2pbus_next_result(), p2pbus_next_provider_change() and p2pbus_monitor_next() have what came.
 * Return: 1: something may be there for them; 0: nothing new; -ENOTCONN: closed for good; -ECHILD.
 */
int p2pbus_process(p2pbus *bus);

/* Blocks until p2pbus_process() would have something to do, or @timeout_usec, and does it. Returns
 * also when another thread's work made something ready. Return: as p2pbus_process(). */
int p2pbus_wait(p2pbus *bus, uint64_t timeout_usec);

/* ---- Who is there ---- */

/**
 * p2pbus_resolve() - who answers to a destination now
 * @ret_full:   receives the full form
 * @ret_remote: receives 1 for a process on another host, 0 for this one; may be NULL
 *
 * Return: 0: a message sent now has a route; else as p2pbus_send_wait(). Blocks.
 */
int p2pbus_resolve(p2pbus *bus, const char *dest, uint64_t timeout_usec,
                   char ret_full[P2PBUS_FULL_SIZE], int *ret_remote);

/* Round trip to a process's library, which answers by itself. @ret_usec in microseconds; the others
 * as p2pbus_resolve(), each may be NULL. Blocks. */
int p2pbus_ping(p2pbus *bus, const char *dest, uint64_t timeout_usec, uint64_t *ret_usec,
                char ret_full[P2PBUS_FULL_SIZE], int *ret_remote);

enum p2pbus_path {
        P2PBUS_PATH_NONE = 0,     /* no way known now */
        P2PBUS_PATH_LOCAL = 1,    /* through this host's daemon */
        P2PBUS_PATH_OFF_HOST = 2, /* sealed, through gateway and relays */
        P2PBUS_PATH_RING = 3      /* shared memory */
};

/* What p2pbus_set_ring() may say. */
enum p2pbus_ring {
        P2PBUS_RING_AUTO = 0,   /* with whom 64 packets pass within a second; back after 30 idle */
        P2PBUS_RING_ALWAYS = 1, /* as soon as there is a conversation, and for as long */
        P2PBUS_RING_NEVER = 2
};

/**
 * p2pbus_set_ring() - whether to share memory with one process
 * @dest: a process, in any text form; no name
 * @rule: enum p2pbus_ring
 *
 * Messages between two processes of one host that talk much go through shared memory, past the
 * daemon, which introduces the two if policy allows both directions. The messages are the same, in
 * the same order; only faster. With P2PBUS_RING_NEVER a ring that is there is given back. Where
 * none can be had (another host, a daemon with Rings=no, over the limits) the daemon's way is used,
 * and the ring is asked for again later. p2pbus_get_peer() says which path is in use.
 *
 * Return: 0; -EINVAL: malformed @dest, a name, or no such rule; -EAGAIN: no memory for one more
 * conversation; -ENOMEM; -ECHILD.
 *
 * Bytes: PROTOCOL.md, "Rings".
 */
int p2pbus_set_ring(p2pbus *bus, const char *dest, int rule);

/**
 * p2pbus_set_spin() - how long to look before sleeping
 * @spin_usec: microseconds, at most one second; 0: never. The default is 50
 *
 * A call that waits looks that long at the rings that were busy lately before it sleeps: an answer
 * that comes within that time is had without waking anybody. It costs a CPU for that time: at most
 * 50 us for each wait, less often where it is in vain. Nothing is looked at on a single CPU, nor by
 * programs with a loop of their own. For machines on battery: 0.
 *
 * Return: 0, -ECHILD.
 */
int p2pbus_set_spin(p2pbus *bus, uint64_t spin_usec);

/* Set struct_size before the call; later versions append fields. */
typedef struct p2pbus_peer_info {
        size_t struct_size;
        char full[P2PBUS_FULL_SIZE]; /* "" as long as its key is not known */
        int path;                    /* enum p2pbus_path */
        uint64_t queued_messages;    /* sent, not yet settled */
        uint64_t memory_bytes;       /* held for it, in both directions */
        uint64_t waiting_usec;       /* how long already it takes no more; 0: it does */
        uint64_t sent, delivered, refused, expired, cancelled, unknown; /* messages */
        uint64_t received, taken, doubles, resent_records;
        uint64_t ring_size;       /* PATH_RING: bytes of memory to it, else 0 */
        uint64_t ring_fill;       /* of these, what it has not read yet */
        uint64_t ring_fill_in;    /* what it has put there and was not read here */
        uint64_t round_trip_usec; /* of the last p2pbus_ping() to it; without one, off-host, of its
                                   * acknowledgements; 0: not known */
} p2pbus_peer_info;

/* What is known of one process that this handle talks with. Never blocks.
 * Return: 0; -ENOENT: no conversation with it; -EINVAL; -ECHILD. */
int p2pbus_get_peer(p2pbus *bus, const char *dest, p2pbus_peer_info *info);

/* Set struct_size before the call. sent = the next five + queued. */
typedef struct p2pbus_counters {
        size_t struct_size;
        uint64_t sent, delivered, refused, expired, cancelled, unknown, queued; /* messages */
        uint64_t received;
        uint64_t attaches; /* 1, and one for each time that the bus came back */
        uint64_t peers;    /* conversations held now */
        uint64_t bad_packets; /* dropped: malformed, forged, of nobody, not subscribed to */
        uint64_t subscriptions_refused; /* that not all other hosts know of: somebody's limit */
} p2pbus_counters;
int p2pbus_get_counters(p2pbus *bus, p2pbus_counters *counters);

/* ---- Administration: for tools ---- */

enum p2pbus_query_kind {
        P2PBUS_QUERY_STATUS = 1, /* lines "key TAB value" */
        P2PBUS_QUERY_LIST = 2,   /* a line a process; columns in PROTOCOL.md, "Control" */
        P2PBUS_QUERY_PEERS = 3,
        P2PBUS_QUERY_METRICS = 4, /* OpenMetrics text */
        P2PBUS_QUERY_CONFIG = 5,  /* the settings in force, as a configuration file */
        P2PBUS_QUERY_SERVICES = 6 /* a line a provider of a name */
};
/* Asks the daemon. @ret_text: free() it; lines end in a newline; of the first three and the last, fields
 * are separated by TABs.
 * Return: 0, -EACCES, -ETIMEDOUT, -ENOTCONN, -ECHILD, -EINVAL, -ENOMEM. Blocks. */
int p2pbus_query(p2pbus *bus, int kind, uint64_t timeout_usec, char **ret_text);

/**
 * p2pbus_explain() - what policy says, and which line of which file says so
 * @question: lines WORD or WORD TAB VALUE, at most 1024 bytes in all. Of whom: "uid N", "gid N",
 *            "groups N N ...", "account NAME", "unit NAME", "key FULL"; without any of them of the caller.
 *            What, at most one: "own NAME", "call DEST", "publish TOPIC",
 *            "publish-off-host TOPIC", "subscribe PATTERN", "monitor", "gateway", "admin",
 *            "off-host"; without it: everything. NULL: everything, of the caller
 * @ret_text: free() it. To a question one line: "allowed" or "denied", the place FILE:LINE or "-", the
 *            rule. Without one, a line a rule: section, key, value, place. Fields are separated by TABs
 *
 * Return: 0; -EACCES: of another user, and the caller does not administer; -EPROTONOSUPPORT: not such a
 * question; -ENXIO, -EHOSTUNREACH: whom "call" names is not there; -EINVAL: too long; -ETIMEDOUT,
 * -ENOTCONN, -ECHILD, -EDQUOT, -ENOMEM. Blocks.
 */
int p2pbus_explain(p2pbus *bus, const char *question, uint64_t timeout_usec, char **ret_text);

/* Makes the daemon read its configuration and policy again. Return: 0; -EACCES; -EINVAL: it does not like it
 * and keeps the old one; -ETIMEDOUT, -ENOTCONN, -ECHILD. Blocks. */
int p2pbus_reload(p2pbus *bus, uint64_t timeout_usec);

/* What policy may take away from a handle that had it. */
enum p2pbus_right {
        P2PBUS_RIGHT_NAME = 1,    /* to provide a name */
        P2PBUS_RIGHT_TOPIC = 2,   /* a subscription */
        P2PBUS_RIGHT_MONITOR = 3, /* p2pbus_monitor_start() */
        P2PBUS_RIGHT_OFF_HOST = 4 /* P2PBUS_OFF_HOST */
};

/* Set struct_size before the call; later versions append fields. Pointers are valid until the next
 * p2pbus_next_right_change(). */
typedef struct p2pbus_right_change {
        size_t struct_size;
        int right;               /* enum p2pbus_right */
        int reason;              /* P2PBUS_REASON_X: why it is gone; 0: it is there again */
        const char *what;        /* the name or pattern; "" of the others */
        const char *explanation; /* with a reason, for people: which line of which file says so */
} p2pbus_right_change;

/**
 * p2pbus_next_right_change() - what was taken away, or given back
 *
 * A policy that is new, or a daemon that was restarted, may deny what was granted before. The
 * library keeps it in mind and asks again when the policy changes and after each attach; this tells
 * the program. What is sent by a name that was taken goes to other providers. At most 256 changes
 * wait for this call, then the oldest goes.
 *
 * Return: 0; -EAGAIN: nothing has changed; -EINVAL; -ECHILD. Never blocks; p2pbus_process() returns
 * 1 when there may be something. One thread.
 */
int p2pbus_next_right_change(p2pbus *bus, p2pbus_right_change *change);

/**
 * p2pbus_monitor_start() - see what passes through this host's daemon and through rings
 * @full: 0: headers; 1: payloads too, as far as they are in the clear
 * @peer: a PID in any form: only what comes from or goes to it; NULL: everything
 *
 * Asked again by itself after each new attach. Called again, the new @peer takes the place of the
 * one before.
 * Return: 0, -EACCES: not allowed to this user; -EINVAL, -ETIMEDOUT, -ENOTCONN, -ECHILD. Blocks.
 */
int p2pbus_monitor_start(p2pbus *bus, int full, const char *peer, uint64_t timeout_usec);

enum p2pbus_seen_kind {
        P2PBUS_SEEN_MESSAGE = 1, /* begins a message: kind, id, message_bytes are known */
        P2PBUS_SEEN_PART = 2,    /* a further piece of one */
        P2PBUS_SEEN_SESSION = 3, /* acknowledgements and the like */
        P2PBUS_SEEN_SEALED = 4,  /* to or from another host: only the header can be read */
        P2PBUS_SEEN_CONTROL = 5,
        P2PBUS_SEEN_RECORDS = 6  /* in the clear, but no payload was asked for or allowed */
};

/* Set struct_size before the call; later versions append fields. Pointers are valid until the next
 * p2pbus_monitor_next(). */
typedef struct p2pbus_seen {
        size_t struct_size;
        int seen;              /* enum p2pbus_seen_kind */
        int kind;              /* enum p2pbus_kind, of SEEN_MESSAGE; else 0 */
        int remote;            /* 1: it came from another host */
        int truncated;         /* 1: payload is not whole */
        uint64_t time_usec;    /* wall clock, when the daemon passed it on, or heard of it */
        char from[P2PBUS_PID_SIZE];
        char to[P2PBUS_PID_SIZE];
        char id[P2PBUS_ID_SIZE];       /* the message's, or else the packet's */
        char reply_to[P2PBUS_ID_SIZE]; /* "" if none */
        uint64_t message_bytes;        /* payload of the whole message, SEEN_MESSAGE */
        uint64_t packet_bytes;         /* of the packet, header included */
        const char *type;              /* MIME type or NULL */
        const void *payload;           /* of this piece, if asked for and readable; else NULL */
        size_t n_payload;
        const void *packet;            /* as it passed, header first (PROTOCOL.md, "Packet") */
        size_t n_packet;               /* less than packet_bytes if it was cut */
        int path;     /* enum p2pbus_path; RING: as its sender says, who alone knows */
        int reserved; /* 0 */
} p2pbus_seen;

/* The next packet seen; up to 4 MiB wait for this call, more is dropped and counted. @ret_lost:
 * packets dropped since the last call, here or by those who put them into rings; may be NULL.
 * Return: 0; -EAGAIN: none in time; -ENOTCONN; -ECHILD. Blocks unless @timeout_usec is 0. One
 * thread. */
int p2pbus_monitor_next(p2pbus *bus, uint64_t timeout_usec, p2pbus_seen *seen, uint64_t *ret_lost);

/* ---- Topics: to whoever wants it ---- */

/* p2pbus_subscribe() */
enum p2pbus_subscribe_flags {
        P2PBUS_RETAINED = 1 << 0, /* what was retained on these topics comes first; that of other hosts
                                   * when they hear of it, if who published it is still there */
        P2PBUS_NO_WAIT = 1 << 1   /* do not wait for other hosts; who subscribes to several patterns
                                   * waits with the last one for all of them */
};
/* p2pbus_publish() */
enum p2pbus_publish_flags {
        P2PBUS_RETAIN = 1 << 0 /* keep it for who subscribes later, on other hosts as long as this
                                * process is there, in place of the last one; without a payload: keep
                                * nothing any more */
};

/**
 * p2pbus_subscribe() - receive what is published on some topics
 * @pattern: elements joined by dots, of which "*" stands for any one, and ">" as the last for one or
 *           more; up to P2PBUS_TOPIC_MAX characters
 *
 * All that is published after this has returned comes through p2pbus_receive(), once however many
 * patterns fit, as one-way messages with a topic. Nobody confirms: who does not keep up misses some,
 * and p2pbus_message_get_lost() of the next tells how many. Subscribed again by itself when the daemon
 * returns; what was published meanwhile is not here. Blocks, at most @timeout_usec.
 * With P2PBUS_OFF_HOST, and a gateway, it also waits, for 3 seconds at most, until the hosts that can be
 * reached now have heard of it, and all of the above is true of what is published there. It does not tell
 * whether they have, and one of them may have no room for it: p2pbus_publish(3).
 * Return: 0; -EINVAL; -EDQUOT; -EACCES; -ETIMEDOUT; -ENOTCONN; -ECHILD; -ENOMEM.
 */
int p2pbus_subscribe(p2pbus *bus, const char *pattern, uint32_t flags, uint64_t timeout_usec);
/* Ends it; messages that came before stay. Return: as above; -ENXIO: was not subscribed. */
int p2pbus_unsubscribe(p2pbus *bus, const char *pattern, uint64_t timeout_usec);

/**
 * p2pbus_publish() - send to all who subscribed
 * @topic:   elements of printable characters other than blank, "*" and ">", joined by dots
 * @message: of at most P2PBUS_TOPIC_MESSAGE_MAX bytes; the caller keeps its reference
 * @timeout_usec: 0: hand it to the bus and do not wait; else return when the daemon has it, or says why
 *           not
 *
 * Reaches processes of this host that this one may send to, and with P2PBUS_OFF_HOST up to 64 on other
 * hosts, for whom it is sealed and for whom it never waits: they miss what finds no room on the way.
 * p2pbus_hand_over() before the end of a program. That nobody subscribed is no failure.
 * Return: 0; -EINVAL; -EMSGSIZE; -EAGAIN: no room now, or the bus is away: p2pbus_wait() and try again;
 * -EDQUOT: too much is retained (who is subscribed gets it); -ETIMEDOUT; -ENOTCONN: closed; -ECHILD;
 * -ENOMEM. Blocks unless @timeout_usec is 0.
 */
int p2pbus_publish(p2pbus *bus, const char *topic, p2pbus_message *message, uint32_t flags,
                   uint64_t timeout_usec);

/**
 * p2pbus_count_readers() - how many elsewhere would get what is published now
 *
 * Processes on other hosts, at most 64, that this host knows to have subscribed and that policy lets
 * have it. It is found out by publishing on the topic, and kept for those that were published on last.
 * p2pbus_wait() returns when it may have changed. Never blocks.
 * Return: 0 or more; -EAGAIN: not known; -EINVAL; -ECHILD.
 */
int p2pbus_count_readers(p2pbus *bus, const char *topic);

/* Whether a text is a topic: 0; or, with wild elements, a pattern of topics: 1; neither: -EINVAL. */
int p2pbus_check_topic(const char *text);
/* The topic that a received message was published on; "" if it was sent to this process. */
const char *p2pbus_message_get_topic(p2pbus_message *message);
/* Messages on topics of this handle that were lost before this one, for want of room. */
uint64_t p2pbus_message_get_lost(p2pbus_message *message);

/* ---- Key files: without a bus ---- */

/* Makes a key and its file (mode 0600); never overwrites. @ret_full receives the full form, or is
 * NULL.
 * Return: 0, -EEXIST, or the kernel's -errno. */
int p2pbus_key_generate(const char *file, char ret_full[P2PBUS_FULL_SIZE]);
/* Reads a key file, as p2pbus_open() does. Return: 0, -ENOKEY, -EKEYREJECTED. */
int p2pbus_key_read(const char *file, char ret_full[P2PBUS_FULL_SIZE]);

/* ---- Grants of names: without a bus ---- */

/* What is in a grant. Set struct_size before the call. */
typedef struct p2pbus_grant {
        size_t struct_size;             /* sizeof(p2pbus_grant) */
        char realm[P2PBUS_FULL_SIZE];   /* whose word it is */
        char subject[P2PBUS_FULL_SIZE]; /* the key that may */
        char name[P2PBUS_NAME_MAX + 1]; /* have this name; or, with .* at its end, all below */
        uint64_t issued_usec;           /* since the Unix epoch */
        uint64_t not_after_usec;
} p2pbus_grant;

/* The realm whose key is in @realm_key_file grants the process with the key @full, a full form, that
 * hosts which name this realm believe that it provides @name, or, if it ends in ".*", any below;
 * @life_usec from now, 400 days at most. @ret_grant receives one line of text, without a newline.
 * Return: 0; -EINVAL; -ENOKEY, -EKEYREJECTED: as p2pbus_key_read(). */
int p2pbus_grant_sign(const char *realm_key_file, const char *full, const char *name,
                      uint64_t life_usec, char ret_grant[P2PBUS_GRANT_SIZE]);
/* Reads one, blanks at its end left out. That it is signed by the realm that it names is checked; whether
 * it has begun and has not ended yet is not.
 * Return: 0; -EINVAL: that is none, or struct_size. */
int p2pbus_grant_read(const char *grant, p2pbus_grant *ret);

/* ---- Known peers: without a bus ---- */

/* Who sends to a bare PID on another host knows 64 bits of a hash. The first key that proves to be
 * behind them is kept in the handle, and in the file that p2pbus_options.known_peers names unless
 * that key was made for one run; another key later is refused with P2PBUS_REASON_WRONG_KEY. */

/* Where the command line tools keep theirs: $XDG_STATE_HOME/p2pbus/peers, else
 * ~/.local/state/p2pbus/peers. @path receives it with a NUL, at most @n_path bytes.
 * Return: 0; -ENOENT: neither $XDG_STATE_HOME nor $HOME is set; -ENAMETOOLONG. */
int p2pbus_default_known_peers(char *path, size_t n_path);
/* Takes the key of @dest, a PID in any form, out of the file @known_peers. Handles that are open go on
 * knowing it.
 * Return: 0; -ENOENT: it is not in there; -EINVAL; the kernel's -errno. */
int p2pbus_forget_peer(const char *known_peers, const char *dest);

/* ---- Errors in words ---- */

/* P2PBUS_REASON_X of the last call that failed in this thread, 0 if it had none. Successful calls
 * leave it alone. */
int p2pbus_get_reason(void);
/* The same in words and with the particulars, one line without a dot: "message of 70000000 bytes,
 * this bus takes 67108864". Valid until the thread's next call of this library. Never NULL. */
const char *p2pbus_get_explanation(void);
/* "no such process": a constant, never NULL, for any number. */
const char *p2pbus_reason_text(int reason);
/* The same for an -errno of this library. */
const char *p2pbus_error_text(int error);

#ifdef __cplusplus
}
#endif

#endif
