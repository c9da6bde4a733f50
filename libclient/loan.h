/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Loan: an entry of a ring that was read, and whose memory is not given back yet
 *
 * While p2pbus_borrow() waits, the payload of a message that came in one record stays where its
 * sender put it. The message has a reference to the loan of its entry; several messages of one entry
 * have the same. The ring's room goes back to the sender up to the first entry that is lent. A loan
 * keeps the mapping, also of a ring that has ended.
 *
 * Whatever stands there may be changed by the sender at any time: nothing of it is looked into here.
 * All calls with the handle locked, but loan_unref() in a forked child.
 */

#include <stddef.h>

#include "libclient/message.h"

#define LOANS_MAX 64 /* of one ring; and no more than half its bytes lie behind the first */

typedef struct RingPath RingPath;

typedef struct Loans {
        Loan *slots; /* LOANS_MAX, by number; made with the first */
        uint64_t first, end;
} Loans;

struct Loan {
        Loans *loans;  /* of its ring */
        uint64_t from; /* its entry's position */
        unsigned n_refs;
};

static inline Loan *loan_slot(const Loans *loans, uint64_t number) {
        return &loans->slots[number % LOANS_MAX];
}
/* Something is lent. */
static inline bool loans_are_out(const Loans *loans) {
        return loans->first != loans->end;
}

/*
 * The entry of @n bytes that ring_peek() shows may be kept, as somebody borrows. Return: with one
 * reference; or NULL: it has to be copied.
 */
Loan *loan_new(RingPath *ring, size_t n);
Loan *loan_ref(Loan *loan);
/* Accepts NULL. The room goes back with the next ring_path_give_back(). */
void loan_unref(Loan *loan);
/* Up to where the ring can be released. */
uint64_t loans_position(const RingPath *ring);

/* The application is done with the memory of @message, which has a loan. */
void loan_return(struct p2pbus *bus, Message *message);
/* Gives @message memory of its own instead. Return: 0; -ENOMEM, and it is as before. */
int loan_copy(struct p2pbus *bus, Message *message);
