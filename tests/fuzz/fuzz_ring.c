/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer that lies to both ends of a ring: it writes anything to its own file between our calls
 *
 * Input: steps of 9 bytes, what to do and a number. Whatever the peer does, our consumer shows only
 * what lies inside the ring, our producer writes only where nothing is held, and a broken end stays
 * broken and publishes nothing.
 */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/ring.h"
#include "libcore/util.h"
#include "tests/fuzz/fuzz.h"

#define SIZE RING_SIZE_MIN
#define STEP_SIZE 9

/* Twice the size stands for the double mapping: what is behind it is not ours. */
static uint8_t *our_data, *their_data;
static struct ring_abi_page ours, theirs;
static uint8_t copied[RING_ENTRY_MAX];

static void fresh(void) {
        if (!our_data) {
                our_data = malloc(2 * SIZE);
                their_data = malloc(2 * SIZE);
        }
        assert(our_data && their_data);
        memset(their_data, 0, 2 * SIZE);
        memset(&ours, 0, sizeof(ours));
        memset(&theirs, 0, sizeof(theirs));
}

static void produce(RingProducer *p, uint64_t number) {
        size_t n_max = 1 + number % RING_ENTRY_MAX, n = 1 + (number >> 32) % n_max;
        uint8_t *room = NULL;
        int r = ring_reserve(p, n_max, &room);

        if (r == 0) {
                assert(!p->is_broken && room >= our_data && room + n_max <= our_data + 2 * SIZE);
                assert(p->position + ring_entry_size(n_max) - p->consumed <= SIZE);
                memset(room, 0xaa, n);
                ring_commit(p, n);
        } else {
                assert(!room && r == (p->is_broken ? RING_E_VIOLATION : RING_E_FULL));
        }
}

static void consume(RingConsumer *c) {
        const uint8_t *entry = NULL;
        size_t n = 0;
        int r = ring_peek(c, &entry, &n);

        if (r == 0) {
                assert(!c->is_broken && n >= 1 && n <= RING_ENTRY_MAX);
                assert(entry >= their_data && entry + n <= their_data + 2 * SIZE);
                assert(c->next - c->released <= SIZE);
                memcpy(copied, entry, n);
        } else {
                assert(!entry && r == (c->is_broken ? RING_E_VIOLATION : RING_E_EMPTY));
        }
}

/* Where the peer's next lie about an entry would be read. */
static uint64_t *their_head(const RingConsumer *c) {
        return (uint64_t *)(their_data + (c->position & (SIZE - 1)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        bool producer_was_broken = false, consumer_was_broken = false;
        uint64_t produced = 0, consumed = 0;
        RingProducer p;
        RingConsumer c;

        fresh();
        ring_producer_init(&p, our_data, SIZE, &ours.producer, &theirs.consumer);
        ring_consumer_init(&c, their_data, SIZE, &ours.consumer, &theirs.producer);

        for (; n_data >= STEP_SIZE; data += STEP_SIZE, n_data -= STEP_SIZE) {
                uint64_t number = load_le64(data + 1);

                switch (data[0] % 16) {
                case 0: /* the peer */
                        theirs.producer.produced = number;
                        break;
                case 1:
                        theirs.producer.produced += number % (2 * SIZE);
                        break;
                case 2:
                        theirs.producer.wake_at = number;
                        break;
                case 3:
                        theirs.consumer.consumed = number;
                        break;
                case 4:
                        theirs.consumer.consumed += number % (2 * SIZE);
                        break;
                case 5:
                        theirs.consumer.wake_at = number;
                        break;
                case 6:
                        *their_head(&c) = number;
                        break;
                case 7: /* an honest entry */
                        *their_head(&c) = 1 + number % RING_ENTRY_MAX;
                        theirs.producer.produced = c.position + ring_entry_size(*their_head(&c));
                        break;
                case 8: /* an honest consumer */
                        theirs.consumer.consumed = ours.producer.produced;
                        break;
                case 9: /* us */
                case 10:
                        produce(&p, number);
                        break;
                case 11:
                        (void)ring_publish(&p);
                        break;
                case 12:
                        (void)ring_publish(&p); /* as ring_wait_for_room() wants it */
                        (void)ring_wait_for_room(&p, 1 + number % RING_ENTRY_MAX);
                        break;
                case 13:
                        consume(&c);
                        break;
                case 14:
                        ring_advance(&c);
                        if (number % 2 == 0)
                                (void)ring_release(&c, ring_position(&c));
                        break;
                default:
                        if (!ring_sleep(&c))
                                assert(ring_has_entry(&c) || c.is_broken);
                        (void)ring_woken_in_vain(&c, &p, number);
                        break;
                }

                assert(ring_producer_fill(&p) <= SIZE && ring_consumer_fill(&c) <= SIZE);
                assert(p.is_broken >= producer_was_broken && c.is_broken >= consumer_was_broken);
                assert(!producer_was_broken || ours.producer.produced == produced);
                assert(!consumer_was_broken || ours.consumer.consumed == consumed);
                producer_was_broken = p.is_broken;
                consumer_was_broken = c.is_broken;
                produced = ours.producer.produced;
                consumed = ours.consumer.consumed;
        }
        return 0;
}
