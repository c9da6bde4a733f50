/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "libclient/loan.h"

#include "libclient/path-ring.h"
#include "libclient/peer.h"
#include "libclient/receive.h"
#include "libcore/err.h"

Loan *loan_new(RingPath *ring, size_t n) {
        uint64_t at = ring_position(&ring->in);
        Loans *loans = &ring->loans;
        Loan *loan;

        if (ring->peer->bus->n_borrowers == 0 || loans->end - loans->first == LOANS_MAX ||
            at + ring_entry_size(n) - loans_position(ring) > ring_consumer_size(&ring->in) / 2)
                return NULL;
        if (!loans->slots) {
                loans->slots = calloc(LOANS_MAX, sizeof(*loans->slots));
                if (!loans->slots)
                        return NULL;
        }
        loan = loan_slot(loans, loans->end++);
        *loan = (Loan){ .loans = loans, .from = at, .n_refs = 1 };
        return loan;
}

uint64_t loans_position(const RingPath *ring) {
        const Loans *loans = &ring->loans;

        return loans->first != loans->end ? loan_slot(loans, loans->first)->from
                                          : ring_position(&ring->in);
}

void loan_return(p2pbus *bus, Message *m) {
        RingPath *ring = container_of(m->loan->loans, RingPath, loans);

        m->data = NULL;
        m->is_shared = false;
        loan_unref(m->loan);
        m->loan = NULL;
        if (!ring->is_dead)
                ring_path_give_back(ring);
        else if (!bus->is_led)
                rings_bury(bus);
}

int loan_copy(p2pbus *bus, Message *m) {
        uint8_t *data;

        data = malloc(m->n_data);
        if (!data)
                return err_origin(-ENOMEM);
        memcpy(data, m->data, m->n_data);
        loan_return(bus, m);
        m->data = data;
        return 0;
}

_public_ int p2pbus_borrow(p2pbus *bus, uint64_t timeout_usec, p2pbus_message **ret) {
        int r;

        r = timeout_usec > 0 ? bus_enter_blocking(bus) : bus_enter(bus);
        if (r < 0)
                return r;
        bus->n_borrowers++;
        r = receive_next(bus, timeout_usec, true, ret);
        bus->n_borrowers--;
        return bus_leave(bus, r);
}

_public_ void p2pbus_release(p2pbus_message *message) {
        Message *m = (Message *)message;

        if (!m || m->from.pid == PID_NONE || !m->bus || bus_enter_timeless(m->bus) < 0)
                return;
        receive_done(m->bus, m);
        if (m->loan)
                loan_return(m->bus, m);
        (void)bus_leave(m->bus, 0);
}

_public_ int p2pbus_message_is_shared(p2pbus_message *message) {
        return ((Message *)message)->loan ? 1 : 0;
}
