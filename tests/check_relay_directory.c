/* SPDX-License-Identifier: Apache-2.0 */

#include "relay/directory.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "libcore/control.h"
#include "relay/forward.h"
#include "relay/tombs.h"
#include "tests/main.h"

#define WALL UINT64_C(1763700000000000)
#define NOW (UINT64_C(100) * USEC_PER_SEC)
#define SETTLED (NOW + DIRECTORY_SETTLING_USEC)
#define MINUTE_USEC (60 * USEC_PER_SEC)

/* Three bridges, sixteen processes; everything is made from numbers. */
static IdentityKey *bridges[3], *processes[16];
static Directory *directory;
static DirectoryRoute routes[3];

static IdentityKey *identity_of_number(uint8_t number) {
        uint8_t seed[IDENTITY_SEED_SIZE] = { number, 1 };
        IdentityKey *identity;

        ck_assert_int_eq(identity_new_from_seed(&identity, seed), 0);
        return identity;
}

static void setup(void) {
        ck_assert_int_eq(crypto_init(), 0);
        for (unsigned i = 0; i < ELEMENTSOF(bridges); i++)
                bridges[i] = identity_of_number((uint8_t)(100 + i));
        for (unsigned i = 0; i < ELEMENTSOF(processes); i++)
                processes[i] = identity_of_number((uint8_t)i);
        ck_assert_int_eq(directory_new(&directory, NOW), 0);
        for (unsigned i = 0; i < ELEMENTSOF(routes); i++) {
                directory_open_route(directory, &routes[i], identity_public(bridges[i]), 8, NOW);
                directory_route_synced(directory, &routes[i]);
        }
}

static void teardown(void) {
        for (unsigned i = 0; i < ELEMENTSOF(routes); i++)
                directory_close_route(directory, &routes[i], NOW);
        directory = directory_free(directory);
        for (unsigned i = 0; i < ELEMENTSOF(bridges); i++)
                identity_free(bridges[i]);
        for (unsigned i = 0; i < ELEMENTSOF(processes); i++)
                identity_free(processes[i]);
}

typedef struct LeaseOf {
        unsigned process;
        const IdentityKey *bridge; /* NULL: none */
        int64_t issued;            /* seconds from WALL */
        uint64_t life_usec;        /* 0: an hour */
        bool withdrawn;
        uint8_t salt; /* makes another record of the same time */
} LeaseOf;

static void make_lease(LeaseOf l, uint8_t out[static SIGNED_RECORD_LEASE_SIZE]) {
        SignedRecord record = {
                .type = SIGNED_RECORD_LEASE,
                .flags = l.withdrawn ? SIGNED_RECORD_WITHDRAWN : 0,
                .issued_usec = WALL + (uint64_t)(l.issued * (int64_t)USEC_PER_SEC),
        };
        size_t n;

        record.not_after_usec = record.issued_usec + (l.life_usec ? l.life_usec : 60 * MINUTE_USEC);
        record.lease.encpk[0] = (uint8_t)(1 + l.salt);
        record.lease.enc_until_usec = record.not_after_usec;
        if (l.bridge)
                record.lease.bridge = *identity_public(l.bridge);
        ck_assert_int_eq(signed_record_sign(&record, processes[l.process], out,
                                            SIGNED_RECORD_LEASE_SIZE, &n),
                         0);
        ck_assert_uint_eq(n, SIGNED_RECORD_LEASE_SIZE);
}

static int put_at(unsigned route, LeaseOf l, uint64_t wall, uint64_t now, DirectoryPut *ret) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];

        make_lease(l, lease);
        return directory_put(directory, &routes[route], lease, sizeof(lease), wall, now, ret);
}

static int put(unsigned route, LeaseOf l) {
        DirectoryPut unused;

        return put_at(route, l, WALL, NOW, &unused);
}

static Address address_of(unsigned process) {
        return identity_hash(processes[process])->address;
}

/* The route that has @address, or NULL. */
static const DirectoryRoute *route_of(Address address) {
        DirectoryEntry *entry;

        return directory_find(directory, address, WALL, SETTLED, &entry) == 0 ? entry->route : NULL;
}

static int find(Address address, uint64_t now) {
        DirectoryEntry *entry;

        return directory_find(directory, address, WALL, now, &entry);
}

START_TEST(lease_makes_an_address_known) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        DirectoryEntry *entry;
        Address address = address_of(1);
        DirectoryPut result;

        make_lease((LeaseOf){ .process = 1, .bridge = bridges[0] }, lease);
        ck_assert(!directory_knows(directory, lease, sizeof(lease)));
        ck_assert_int_eq(
                directory_put(directory, &routes[0], lease, sizeof(lease), WALL, NOW, &result), 0);
        ck_assert(address_equal(result.address, address));
        ck_assert(!result.withdrawn && !result.equivocal);
        ck_assert(directory_knows(directory, lease, sizeof(lease)));

        ck_assert_int_eq(directory_find(directory, address, WALL, NOW, &entry), 0);
        ck_assert_ptr_eq(entry->route, &routes[0]);
        ck_assert_mem_eq(entry->lease, lease, sizeof(lease));
        ck_assert_int_eq(find((Address){ address.pid, 0 }, NOW), 0); /* the only one with the PID */
        ck_assert_int_eq(find((Address){ address.pid, address.tag + 1 }, NOW),
                         DIRECTORY_E_WRONG_KEY);
        ck_assert_uint_eq(directory_n_leases(directory), 1);
        ck_assert_uint_eq(routes[0].n_leases, 1);

        /* Again: the same answer, nothing new. */
        ck_assert_int_eq(
                directory_put(directory, &routes[0], lease, sizeof(lease), WALL, NOW, &result), 0);
        ck_assert_uint_eq(routes[0].n_leases, 1);
}
END_TEST

START_TEST(every_changed_byte_is_noticed) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];
        DirectoryPut unused;

        make_lease((LeaseOf){ .process = 1, .bridge = bridges[0] }, lease);
        for (size_t i = 0; i < sizeof(lease); i++) {
                lease[i] ^= 0x10;
                ck_assert_msg(directory_put(directory, &routes[0], lease, sizeof(lease), WALL, NOW,
                                            &unused) > 0,
                              "byte %zu", i);
                lease[i] ^= 0x10;
        }
        for (size_t n = 0; n < sizeof(lease); n++)
                ck_assert_int_eq(directory_put(directory, &routes[0], lease, n, WALL, NOW, &unused),
                                 DIRECTORY_E_MALFORMED);
        ck_assert_uint_eq(directory_n_leases(directory), 0);
}
END_TEST

START_TEST(lease_is_refused) {
        static const struct {
                const char *what;
                int64_t issued;
                uint64_t life_usec;
                unsigned named; /* bridge; 3: none */
                int expected;
        } cases[] = {
                { "of the future", 6 * 60, 0, 0, DIRECTORY_E_CLOCK },
                { "of the near future", 4 * 60, 0, 0, 0 },
                { "ended", -3600 - 6 * 60, 0, 0, DIRECTORY_E_EXPIRED },
                { "just ended", -3600 - 4 * 60, 0, 0, 0 },
                { "of another bridge", 0, 0, 1, DIRECTORY_E_OTHER_BRIDGE },
                { "of no bridge", 0, 0, 3, DIRECTORY_E_OTHER_BRIDGE },
        };

        for (size_t i = 0; i < ELEMENTSOF(cases); i++)
                ck_assert_msg(
                        put(0,
                            (LeaseOf){
                                    .process = (unsigned)i,
                                    .bridge = cases[i].named < 3 ? bridges[cases[i].named] : NULL,
                                    .issued = cases[i].issued,
                                    .life_usec = cases[i].life_usec,
                            }) == cases[i].expected,
                        "%s", cases[i].what);
}
END_TEST

START_TEST(another_record_is_no_lease) {
        SignedRecord record = { .type = SIGNED_RECORD_TOMB,
                                .issued_usec = WALL,
                                .not_after_usec = USEC_NEVER };
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX] = { 0 };
        DirectoryPut unused;
        size_t n;

        ck_assert_int_eq(signed_record_sign(&record, processes[1], bytes, sizeof(bytes), &n), 0);
        ck_assert_int_eq(directory_put(directory, &routes[0], bytes, n, WALL, NOW, &unused),
                         DIRECTORY_E_MALFORMED);
        ck_assert_int_eq(directory_put(directory, &routes[0], bytes, SIGNED_RECORD_LEASE_SIZE, WALL,
                                       NOW, &unused),
                         DIRECTORY_E_MALFORMED);
}
END_TEST

START_TEST(newest_lease_wins_in_any_order) {
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 1, .bridge = bridges[1], .issued = 1 }), 0);
        ck_assert_ptr_eq(route_of(address_of(1)), &routes[1]);
        ck_assert_uint_eq(routes[0].n_leases, 0);
        ck_assert_uint_eq(routes[1].n_leases, 1);

        /* The bridge it left presents the old one again, and again after it came back. */
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }),
                         DIRECTORY_E_OLDER);
        directory_close_route(directory, &routes[1], NOW);
        directory_open_route(directory, &routes[1], identity_public(bridges[1]), 8, NOW);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }),
                         DIRECTORY_E_OLDER);
        ck_assert_ptr_null(route_of(address_of(1)));
}
END_TEST

START_TEST(of_two_leases_of_one_time_all_keep_the_same) {
        uint8_t a[SIGNED_RECORD_LEASE_SIZE], b[SIGNED_RECORD_LEASE_SIZE];
        uint8_t kept[2][SIGNED_RECORD_LEASE_SIZE];
        DirectoryEntry *entry;
        DirectoryPut result;
        bool equivocal = false;

        make_lease((LeaseOf){ .process = 1, .bridge = bridges[0], .salt = 1 }, a);
        make_lease((LeaseOf){ .process = 1, .bridge = bridges[0], .salt = 2 }, b);
        for (unsigned i = 0; i < 2; i++) {
                (void)directory_put(directory, &routes[0], i ? a : b, sizeof(a), WALL, NOW,
                                    &result);
                equivocal = equivocal || result.equivocal;
                (void)directory_put(directory, &routes[0], i ? b : a, sizeof(a), WALL, NOW,
                                    &result);
                equivocal = equivocal || result.equivocal;
                ck_assert_int_eq(directory_find(directory, address_of(1), WALL, NOW, &entry), 0);
                memcpy(kept[i], entry->lease, sizeof(kept[i]));
        }
        ck_assert_mem_eq(kept[0], kept[1], sizeof(kept[0]));
        ck_assert(equivocal);
}
END_TEST

START_TEST(withdrawn_address_stays_gone) {
        DirectoryPut result;

        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put_at(1, (LeaseOf){ .process = 1, .issued = 1, .withdrawn = true }, WALL,
                                NOW, &result),
                         0); /* signed by the process: anybody may carry it */
        ck_assert(result.withdrawn);
        ck_assert_int_eq(find(address_of(1), NOW), DIRECTORY_E_GONE);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }),
                         DIRECTORY_E_OLDER);
        ck_assert_int_eq(find(address_of(1), NOW), DIRECTORY_E_GONE);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0], .issued = 2 }), 0);
        ck_assert_int_eq(find(address_of(1), NOW), 0);
}
END_TEST

START_TEST(only_its_own_link_detaches_an_address) {
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(directory_detach(directory, &routes[1], address_of(1), NOW),
                         DIRECTORY_E_NOT_HERE);
        ck_assert_int_eq(
                directory_detach(directory, &routes[0], (Address){ address_of(1).pid, 0 }, NOW),
                DIRECTORY_E_NOT_HERE);
        ck_assert_int_eq(find(address_of(1), NOW), 0);
        ck_assert_int_eq(directory_detach(directory, &routes[0], address_of(1), NOW), 0);
        ck_assert_int_eq(find(address_of(1), NOW), DIRECTORY_E_GONE);

        /* Back with the same lease: that is allowed, the process may have come back. */
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(find(address_of(1), NOW), 0);
}
END_TEST

START_TEST(lost_address_settles_before_it_is_not_here) {
        uint8_t lease[SIGNED_RECORD_LEASE_SIZE];

        make_lease((LeaseOf){ .process = 1, .bridge = bridges[0] }, lease);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        directory_close_route(directory, &routes[0], SETTLED);
        ck_assert_int_eq(find(address_of(1), SETTLED), DIRECTORY_E_SETTLING);
        ck_assert_int_eq(find(address_of(1), SETTLED + DIRECTORY_SETTLING_USEC),
                         DIRECTORY_E_NOT_HERE); /* its host is cut off: it may live */
        ck_assert_uint_eq(directory_n_remembered(directory), 1);

        /* The bridge comes back, its lease costs no signature. */
        ck_assert(directory_knows(directory, lease, sizeof(lease)));
        directory_open_route(directory, &routes[0], identity_public(bridges[0]), 8, SETTLED);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_uint_eq(directory_n_remembered(directory), 0);
        ck_assert_int_eq(find(address_of(1), SETTLED), 0);
}
END_TEST

START_TEST(nobody_is_settling_at_first) {
        ck_assert_int_eq(find(address_of(9), SETTLED - 1), DIRECTORY_E_SETTLING);
        ck_assert_int_eq(find(address_of(9), SETTLED), DIRECTORY_E_NOT_HERE);

        /* A link that has not said SYNCED makes it too early again, but not for ever. */
        directory_close_route(directory, &routes[0], SETTLED);
        directory_open_route(directory, &routes[0], identity_public(bridges[0]), 8, SETTLED);
        ck_assert_int_eq(find(address_of(9), SETTLED), DIRECTORY_E_SETTLING);
        directory_route_synced(directory, &routes[0]);
        directory_route_synced(directory, &routes[0]);
        ck_assert_int_eq(find(address_of(9), SETTLED), DIRECTORY_E_NOT_HERE);

        directory_close_route(directory, &routes[0], SETTLED);
        directory_open_route(directory, &routes[0], identity_public(bridges[0]), 8, SETTLED);
        ck_assert_int_eq(find(address_of(9), SETTLED + DIRECTORY_SETTLING_USEC),
                         DIRECTORY_E_NOT_HERE);
}
END_TEST

START_TEST(a_bridge_has_so_many_leases) {
        for (unsigned i = 0; i < 8; i++)
                ck_assert_int_eq(put(0, (LeaseOf){ .process = i, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 8, .bridge = bridges[0] }),
                         DIRECTORY_E_QUOTA);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 8, .bridge = bridges[1] }), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 3, .bridge = bridges[0], .issued = 1 }), 0);
        ck_assert_int_eq(directory_detach(directory, &routes[0], address_of(5), NOW), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 9, .bridge = bridges[0] }), 0);
}
END_TEST

START_TEST(ended_lease_is_no_route_and_is_swept) {
        DirectoryEntry *entry;
        uint64_t end = WALL + 60 * MINUTE_USEC + SIGNED_RECORD_SKEW_USEC;

        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 2, .bridge = bridges[0], .issued = 60 }), 0);
        ck_assert_int_eq(directory_find(directory, address_of(1), end - 1, NOW, &entry), 0);
        ck_assert_int_eq(directory_find(directory, address_of(1), end, NOW, &entry),
                         DIRECTORY_E_GONE);
        directory_sweep(directory, end);
        ck_assert_uint_eq(directory_n_leases(directory), 1);
        ck_assert_int_eq(directory_find(directory, address_of(2), end, NOW, &entry), 0);
}
END_TEST

/* Keys that share a PID, as far as the directory knows: 64 bits cannot be forged for a test. */
static KeyHash same_pid(const PublicKey *key) {
        KeyHash hash = key_hash(key);

        hash.address.pid = UINT64_C(0x1122334455667788);
        memset(hash.kid, 0x11, 8);
        return hash;
}

START_TEST(keys_that_share_a_pid_are_told_apart_by_tag) {
        const Pid pid = UINT64_C(0x1122334455667788);
        DirectoryEntry *entry;

        directory_use_hash(directory, same_pid);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(find((Address){ pid, 0 }, NOW), 0);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 2, .bridge = bridges[1] }), 0);

        ck_assert_int_eq(find((Address){ pid, 0 }, NOW), DIRECTORY_E_AMBIGUOUS);
        for (unsigned i = 1; i < 3; i++) {
                ck_assert_int_eq(directory_find(directory, (Address){ pid, address_of(i).tag },
                                                WALL, NOW, &entry),
                                 0);
                ck_assert_ptr_eq(entry->route, &routes[i - 1]);
        }
        ck_assert_int_eq(find((Address){ pid, 12345 }, NOW), DIRECTORY_E_WRONG_KEY);

        /* Four keys a PID; the fifth is refused while all four are here. */
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 3, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 4, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 5, .bridge = bridges[0] }),
                         DIRECTORY_E_QUOTA);
        ck_assert_int_eq(
                directory_detach(directory, &routes[0], (Address){ pid, address_of(3).tag }, NOW),
                0);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 5, .bridge = bridges[0] }), 0);
        ck_assert_uint_eq(directory_n_leases(directory), 4);

        /* All go, in another order than they came. */
        directory_sweep(directory, WALL + 24 * 60 * MINUTE_USEC);
        ck_assert_uint_eq(directory_n_leases(directory), 0);
        ck_assert_int_eq(find((Address){ pid, 0 }, SETTLED), DIRECTORY_E_NOT_HERE);
}
END_TEST

static size_t make_tomb(unsigned process, uint8_t out[static SIGNED_RECORD_SIZE_MAX]) {
        SignedRecord record = { .type = SIGNED_RECORD_TOMB,
                                .issued_usec = WALL,
                                .not_after_usec = USEC_NEVER };
        size_t n;

        ck_assert_int_eq(
                signed_record_sign(&record, processes[process], out, SIGNED_RECORD_SIZE_MAX, &n),
                0);
        ck_assert_uint_eq(n, TOMB_SIZE);
        return n;
}

START_TEST(revoked_key_is_refused_for_ever) {
        uint8_t tomb[SIGNED_RECORD_SIZE_MAX];
        size_t n = make_tomb(1, tomb);

        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        tomb[80] ^= 1;
        ck_assert_int_eq(directory_revoke(directory, tomb, n, WALL, NOW), DIRECTORY_E_SIGNATURE);
        ck_assert_int_eq(find(address_of(1), NOW), 0);
        tomb[80] ^= 1;
        ck_assert_int_eq(directory_revoke(directory, tomb, n - 1, WALL, NOW),
                         DIRECTORY_E_MALFORMED);
        ck_assert_int_eq(directory_revoke(directory, tomb, n, WALL, NOW), 0);
        ck_assert_int_eq(directory_revoke(directory, tomb, n, WALL, NOW), DIRECTORY_E_OLDER);
        ck_assert_int_eq(find(address_of(1), NOW), DIRECTORY_E_GONE);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0], .issued = 9 }),
                         DIRECTORY_E_REVOKED);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }),
                         DIRECTORY_E_REVOKED);
        ck_assert_uint_eq(directory_n_revoked(directory), 1);
}
END_TEST

START_TEST(revocations_outlive_the_relay) {
        char folder[] = "./check_relay.XXXXXX", path[64];
        uint8_t tomb[SIGNED_RECORD_SIZE_MAX];
        struct stat st;
        int fd;

        ck_assert_ptr_nonnull(mkdtemp(folder));
        snprintf(path, sizeof(path), "%s/tombs", folder);
        ck_assert_int_eq(tombs_load(path, directory, WALL, NOW), 0); /* none yet */
        make_tomb(1, tomb);
        ck_assert_int_eq(tombs_append(path, tomb), 0);

        /* A crash cut the second one; the third takes its place. */
        fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        ck_assert_int_eq(write(fd, tomb, 33), 33);
        fd_close(fd);
        ck_assert_int_eq(tombs_load(path, directory, WALL, NOW), 0);
        ck_assert_uint_eq(directory_n_revoked(directory), 1);
        make_tomb(2, tomb);
        ck_assert_int_eq(tombs_append(path, tomb), 0);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(st.st_size, 2 * TOMB_SIZE);
        ck_assert_int_eq(st.st_mode & 0777, 0600);
        ck_assert_int_eq(tombs_load(path, directory, WALL, NOW), 0);
        ck_assert_uint_eq(directory_n_revoked(directory), 2);
        ck_assert_int_eq(put(0, (LeaseOf){ .process = 2, .bridge = bridges[0] }),
                         DIRECTORY_E_REVOKED);

        /* Somebody wrote into it: that is said, not guessed at. */
        tomb[100] ^= 1;
        ck_assert_int_eq(tombs_append(path, tomb), 0);
        ck_assert_int_eq(tombs_load(path, directory, WALL, NOW), TOMBS_E_MALFORMED);
        ck_assert_int_eq(unlink(path), 0);
        ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

/* Forwarding */

static PacketHeader packet(Address src, Address dst) {
        return (PacketHeader){
                .size = PACKET_HEADER_SIZE + 100,
                .src = src,
                .dst = dst,
                .kind = PACKET_SEALED,
        };
}

START_TEST(packet_passes_to_the_link_of_its_destination) {
        PacketHeader h = packet(address_of(1), address_of(2));
        Forward f;

        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 2, .bridge = bridges[1] }), 0);
        ck_assert_int_eq(forward_judge(directory, &routes[0], &h, WALL, NOW, &f), FORWARD_PASS);
        ck_assert_ptr_eq(f.destination->route, &routes[1]);
        ck_assert(address_equal(f.source->hash.address, address_of(1)));
        h.dst.tag = 0;
        h.hops = FORWARD_HOPS_MAX - 1;
        ck_assert_int_eq(forward_judge(directory, &routes[0], &h, WALL, NOW, &f), FORWARD_PASS);
}
END_TEST

START_TEST(packet_goes_no_further) {
        const Address a = address_of(1), b = address_of(2), nobody = address_of(9);
        const struct {
                const char *what;
                PacketHeader header;
                ForwardVerdict verdict;
                uint16_t code;
        } cases[] = {
                { "source of another link", packet(b, a), FORWARD_UNLEASED, 0 },
                { "source without a lease", packet(nobody, b), FORWARD_UNLEASED, 0 },
                { "source without its tag", packet((Address){ a.pid, 0 }, b), FORWARD_UNLEASED, 0 },
                { "source with another tag", packet((Address){ a.pid, a.tag + 1 }, b),
                  FORWARD_UNLEASED, 0 },
                { "nobody there", packet(a, nobody), FORWARD_REFUSE, CODE_NOT_HERE },
                { "another key", packet(a, (Address){ b.pid, b.tag + 1 }), FORWARD_REFUSE,
                  CODE_WRONG_KEY },
                { "left", packet(a, address_of(3)), FORWARD_REFUSE, CODE_GONE },
                { "to everyone", packet(a, (Address){ PID_EVERYONE, 0 }), FORWARD_REFUSE,
                  CODE_NOT_HERE },
                { "to a daemon", packet(a, (Address){ PID_DAEMON, 0 }), FORWARD_REFUSE,
                  CODE_NOT_HERE },
                { "to the relay", packet(a, (Address){ PID_RELAY, 0 }), FORWARD_REFUSE,
                  CODE_NOT_HERE },
                { "of a daemon", packet((Address){ PID_DAEMON, 0 }, b), FORWARD_VIOLATION, 0 },
                { "of nobody", packet((Address){ PID_NONE, 0 }, b), FORWARD_VIOLATION, 0 },
                { "of everyone", packet((Address){ PID_EVERYONE, 0 }, b), FORWARD_VIOLATION, 0 },
                { "hops", packet(a, b), FORWARD_REFUSE, CODE_OVERLOAD },
                { "unsealed", packet(a, b), FORWARD_VIOLATION, 0 },
                { "descriptors", packet(a, b), FORWARD_VIOLATION, 0 },
                { "REMOTE", packet(a, b), FORWARD_VIOLATION, 0 },
                { "eflags", packet(a, b), FORWARD_VIOLATION, 0 },
                { "fragment", packet(a, b), FORWARD_VIOLATION, 0 },
        };
        Forward f;

        ck_assert_int_eq(put(0, (LeaseOf){ .process = 1, .bridge = bridges[0] }), 0);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 2, .bridge = bridges[1] }), 0);
        ck_assert_int_eq(put(1, (LeaseOf){ .process = 3, .bridge = bridges[1] }), 0);
        ck_assert_int_eq(directory_detach(directory, &routes[1], address_of(3), NOW), 0);
        for (size_t i = 0; i < ELEMENTSOF(cases); i++) {
                PacketHeader h = cases[i].header;

                if (strcmp(cases[i].what, "hops") == 0)
                        h.hops = FORWARD_HOPS_MAX;
                else if (strcmp(cases[i].what, "unsealed") == 0)
                        h.kind = PACKET_RECORDS;
                else if (strcmp(cases[i].what, "descriptors") == 0)
                        h.n_fds = 1;
                else if (strcmp(cases[i].what, "REMOTE") == 0)
                        h.hflags = PACKET_REMOTE;
                else if (strcmp(cases[i].what, "eflags") == 0)
                        h.eflags = 1;
                else if (strcmp(cases[i].what, "fragment") == 0)
                        h.last_fragment = 1;
                ck_assert_msg(forward_judge(directory, &routes[0], &h, WALL, SETTLED, &f) ==
                                      cases[i].verdict,
                              "%s", cases[i].what);
                if (cases[i].verdict == FORWARD_REFUSE) {
                        ck_assert_msg(f.code == cases[i].code, "%s", cases[i].what);
                        ck_assert_ptr_nonnull(f.source);
                }
        }
}
END_TEST

/* What the directory must hold after anything: counts fit, and each address is where it was put. */
START_TEST(anything_goes_and_the_directory_stays_whole) {
        const unsigned seed = 7;
        int64_t issued[16] = { 0 };
        int where[16];
        uint64_t now = SETTLED;

        srand(seed);
        for (unsigned i = 0; i < 16; i++)
                where[i] = -1;
        for (unsigned step = 0; step < 3000; step++) {
                unsigned p = (unsigned)rand() % 16, r = (unsigned)rand() % 3;
                DirectoryPut unused;

                switch (rand() % 8) {
                case 0:
                        if (directory_detach(directory, &routes[r], address_of(p), now) == 0) {
                                ck_assert_int_eq(where[p], (int)r);
                                where[p] = -1;
                        }
                        break;
                case 1:
                        directory_close_route(directory, &routes[r], now);
                        directory_open_route(directory, &routes[r], identity_public(bridges[r]), 8,
                                             now);
                        for (unsigned i = 0; i < 16; i++)
                                if (where[i] == (int)r)
                                        where[i] = -1;
                        break;
                case 2:
                        directory_sweep(directory, WALL);
                        break;
                default:
                        if (put_at(r,
                                   (LeaseOf){ .process = p,
                                              .bridge = bridges[r],
                                              .issued = issued[p] / 20 },
                                   WALL, now, &unused) == 0)
                                where[p] = (int)r;
                        issued[p]++;
                }
                for (unsigned i = 0; i < 16; i++) {
                        const DirectoryRoute *route = route_of(address_of(i));

                        ck_assert_msg(where[i] < 0 ? !route : route == &routes[where[i]],
                                      "seed %u, step %u, process %u", seed, step, i);
                }
                ck_assert_uint_eq(routes[0].n_leases + routes[1].n_leases + routes[2].n_leases,
                                  directory_n_leases(directory));
        }
}
END_TEST

Suite *check_suite(void) {
        Suite *suite = suite_create("relay_directory");
        TCase *tcase = tcase_create("relay_directory");

        tcase_add_checked_fixture(tcase, setup, teardown);
        tcase_add_test(tcase, lease_makes_an_address_known);
        tcase_add_test(tcase, every_changed_byte_is_noticed);
        tcase_add_test(tcase, lease_is_refused);
        tcase_add_test(tcase, another_record_is_no_lease);
        tcase_add_test(tcase, newest_lease_wins_in_any_order);
        tcase_add_test(tcase, of_two_leases_of_one_time_all_keep_the_same);
        tcase_add_test(tcase, withdrawn_address_stays_gone);
        tcase_add_test(tcase, only_its_own_link_detaches_an_address);
        tcase_add_test(tcase, lost_address_settles_before_it_is_not_here);
        tcase_add_test(tcase, nobody_is_settling_at_first);
        tcase_add_test(tcase, a_bridge_has_so_many_leases);
        tcase_add_test(tcase, ended_lease_is_no_route_and_is_swept);
        tcase_add_test(tcase, keys_that_share_a_pid_are_told_apart_by_tag);
        tcase_add_test(tcase, revoked_key_is_refused_for_ever);
        tcase_add_test(tcase, revocations_outlive_the_relay);
        tcase_add_test(tcase, packet_passes_to_the_link_of_its_destination);
        tcase_add_test(tcase, packet_goes_no_further);
        tcase_add_test(tcase, anything_goes_and_the_directory_stays_whole);
        suite_add_tcase(suite, tcase);
        return suite;
}
