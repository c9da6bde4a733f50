/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The byte layouts are the tables in PROTOCOL.md, "Signed records"; each type has a function that
 * reads its body and one that writes it, line by line the same.
 */

#include "libsecure/signed-record.h"

#include <assert.h>
#include <string.h>

#include "libcore/buf.h"
#include "libcore/err.h"

#define LABEL "p2pbus-record-1"
#define SIZE_MIN 120
#define BODY_AT 56
#define VERSION 1
#define SUITE 1
#define SERVICE_META_MAX 512
#define SERVICE_NAME_MAX 255
#define GRANT_SIZE_MAX 512
#define RELAY_LOAD_MAX 1000
#define RELAY_FLAG_RESERVED (1U << 1)

#define HOUR_USEC (60 * 60 * USEC_PER_SEC)

static bool slice_is_visible(Slice text) {
        const uint8_t *p = text.data;

        for (size_t i = 0; i < text.size; i++)
                if (p[i] <= ' ' || p[i] > '~')
                        return false;
        return true;
}

static bool slice_begins(Slice text, const char *prefix) {
        size_t n = strlen(prefix);

        return text.size > n && memcmp(text.data, prefix, n) == 0;
}

static bool url_is_valid(Slice url) {
        return (slice_begins(url, "ws://") || slice_begins(url, "wss://")) && slice_is_visible(url);
}

static bool is_hex_digit(uint8_t c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static bool is_name_byte(uint8_t c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/* At least two elements of [a-z0-9_-]+, a letter first, and nothing that looks like a PID. */
static bool name_is_valid(Slice name) {
        const uint8_t *p = name.data;
        size_t n_element = 0, n_elements = 1, n_hex = 0;

        if (name.size == 0 || name.size > SERVICE_NAME_MAX || p[0] < 'a' || p[0] > 'z')
                return false;
        for (size_t i = 0; i < name.size; i++) {
                if (p[i] == '.') {
                        if (n_element == 0 || (n_elements == 1 && n_element == 16 && n_hex == 16))
                                return false;
                        n_elements++;
                        n_element = 0;
                } else if (is_name_byte(p[i])) {
                        n_element++;
                        n_hex += n_elements == 1 && is_hex_digit(p[i]);
                } else
                        return false;
        }
        return n_element > 0 && n_elements >= 2;
}

static Slice get_slice(BufReader *r, size_t n) {
        return (Slice){ buf_get(r, n), r->failed ? 0 : n };
}

static bool lease_read(BufReader *r, SignedRecord *record) {
        buf_get_bytes(r, record->lease.encpk, sizeof(record->lease.encpk));
        record->lease.enc_until_usec = buf_get_le64(r);
        buf_get_bytes(r, record->lease.bridge.bytes, KEY_SIZE);
        record->lease.flags = buf_get_le32(r);
        buf_get_zero(r, 4);
        return !(record->flags & SIGNED_RECORD_WITHDRAWN) || key_is_zero(&record->lease.bridge);
}

static void lease_write(BufWriter *w, const SignedRecord *record) {
        buf_put_bytes(w, record->lease.encpk, sizeof(record->lease.encpk));
        buf_put_le64(w, record->lease.enc_until_usec);
        buf_put_bytes(w, record->lease.bridge.bytes, KEY_SIZE);
        buf_put_le32(w, record->lease.flags);
        buf_put_zero(w, 4);
}

static bool presence_read(BufReader *r, SignedRecord *record) {
        buf_get_bytes(r, record->presence.encpk, sizeof(record->presence.encpk));
        record->presence.n_relays = buf_get_le16(r);
        buf_get_zero(r, 2);
        record->presence.flags = buf_get_le32(r);
        if (record->presence.n_relays > SIGNED_RECORD_RELAYS_MAX)
                return false;
        for (unsigned i = 0; i < record->presence.n_relays; i++)
                buf_get_bytes(r, record->presence.relays[i].bytes, KEY_SIZE);
        return true;
}

static void presence_write(BufWriter *w, const SignedRecord *record) {
        buf_put_bytes(w, record->presence.encpk, sizeof(record->presence.encpk));
        buf_put_le16(w, record->presence.n_relays);
        buf_put_zero(w, 2);
        buf_put_le32(w, record->presence.flags);
        for (unsigned i = 0; i < record->presence.n_relays && i < SIGNED_RECORD_RELAYS_MAX; i++)
                buf_put_bytes(w, record->presence.relays[i].bytes, KEY_SIZE);
}

static bool relay_read(BufReader *r, SignedRecord *record) {
        buf_get_bytes(r, record->relay.encpk, sizeof(record->relay.encpk));
        record->relay.flags = buf_get_le32(r);
        record->relay.max_frame = buf_get_le32(r);
        record->relay.load = buf_get_le16(r);
        record->relay.n_urls = buf_get_le16(r);
        buf_get_zero(r, 4);
        if (record->relay.n_urls > SIGNED_RECORD_URLS_MAX || record->relay.load > RELAY_LOAD_MAX ||
            (record->relay.flags & RELAY_FLAG_RESERVED))
                return false;
        for (unsigned i = 0; i < record->relay.n_urls; i++) {
                record->relay.urls[i] = get_slice(r, buf_get_le16(r));
                if (!url_is_valid(record->relay.urls[i]))
                        return false;
        }
        return true;
}

static void relay_write(BufWriter *w, const SignedRecord *record) {
        buf_put_bytes(w, record->relay.encpk, sizeof(record->relay.encpk));
        buf_put_le32(w, record->relay.flags);
        buf_put_le32(w, record->relay.max_frame);
        buf_put_le16(w, record->relay.load);
        buf_put_le16(w, record->relay.n_urls);
        buf_put_zero(w, 4);
        for (unsigned i = 0; i < record->relay.n_urls && i < SIGNED_RECORD_URLS_MAX; i++) {
                const Slice *url = &record->relay.urls[i];

                buf_put_le16(w, (uint16_t)MIN(url->size, (size_t)UINT16_MAX));
                buf_put_bytes(w, url->data, url->size);
        }
}

static bool service_read(BufReader *r, SignedRecord *record) {
        uint16_t n_meta;
        uint8_t n_name;

        record->service.priority = buf_get_le16(r);
        record->service.weight = buf_get_le16(r);
        record->service.flags = buf_get_le32(r);
        n_name = buf_get_u8(r);
        buf_get_zero(r, 1);
        n_meta = buf_get_le16(r);
        buf_get_zero(r, 4);
        record->service.name = get_slice(r, n_name);
        record->service.meta = get_slice(r, n_meta);
        return n_meta <= SERVICE_META_MAX && name_is_valid(record->service.name);
}

static void service_write(BufWriter *w, const SignedRecord *record) {
        buf_put_le16(w, record->service.priority);
        buf_put_le16(w, record->service.weight);
        buf_put_le32(w, record->service.flags);
        buf_put_u8(w, (uint8_t)MIN(record->service.name.size, (size_t)UINT8_MAX));
        buf_put_zero(w, 1);
        buf_put_le16(w, (uint16_t)MIN(record->service.meta.size, (size_t)UINT16_MAX));
        buf_put_zero(w, 4);
        buf_put_bytes(w, record->service.name.data, record->service.name.size);
        buf_put_bytes(w, record->service.meta.data, record->service.meta.size);
}

static bool grant_read(BufReader *r, SignedRecord *record) {
        uint16_t n_pattern;

        buf_get_bytes(r, record->grant.subject.bytes, KEY_SIZE);
        record->grant.rights = buf_get_le32(r);
        n_pattern = buf_get_le16(r);
        buf_get_zero(r, 2);
        record->grant.pattern = get_slice(r, n_pattern);
        return slice_is_visible(record->grant.pattern);
}

static void grant_write(BufWriter *w, const SignedRecord *record) {
        buf_put_bytes(w, record->grant.subject.bytes, KEY_SIZE);
        buf_put_le32(w, record->grant.rights);
        buf_put_le16(w, (uint16_t)MIN(record->grant.pattern.size, (size_t)UINT16_MAX));
        buf_put_zero(w, 2);
        buf_put_bytes(w, record->grant.pattern.data, record->grant.pattern.size);
}

static bool tomb_read(BufReader *r, SignedRecord *record) {
        record->tomb.reason = buf_get_le32(r);
        buf_get_zero(r, 4);
        buf_get_bytes(r, record->tomb.successor.bytes, KEY_SIZE);
        return record->not_after_usec == USEC_NEVER;
}

static void tomb_write(BufWriter *w, const SignedRecord *record) {
        buf_put_le32(w, record->tomb.reason);
        buf_put_zero(w, 4);
        buf_put_bytes(w, record->tomb.successor.bytes, KEY_SIZE);
}

/* What the types differ in; the body must fill its record exactly. */
static const struct {
        bool (*read)(BufReader *r, SignedRecord *record);
        void (*write)(BufWriter *w, const SignedRecord *record);
        size_t size_max;
        uint64_t life_max_usec;
} types[_SIGNED_RECORD_TYPE_MAX] = {
        [SIGNED_RECORD_LEASE] = { lease_read, lease_write, SIGNED_RECORD_LEASE_SIZE,
                                  24 * HOUR_USEC },
        [SIGNED_RECORD_PRESENCE] = { presence_read, presence_write, SIGNED_RECORD_SIZE_MAX,
                                     10 * 60 * USEC_PER_SEC },
        [SIGNED_RECORD_RELAY] = { relay_read, relay_write, SIGNED_RECORD_SIZE_MAX,
                                  10 * 60 * USEC_PER_SEC },
        [SIGNED_RECORD_SERVICE] = { service_read, service_write, SIGNED_RECORD_SIZE_MAX,
                                    24 * HOUR_USEC },
        [SIGNED_RECORD_GRANT] = { grant_read, grant_write, GRANT_SIZE_MAX, 400 * 24 * HOUR_USEC },
        [SIGNED_RECORD_TOMB] = { tomb_read, tomb_write, SIGNED_RECORD_SIZE_MAX, USEC_NEVER },
};

int signed_record_size(const uint8_t *data, size_t n_data, size_t *ret_size) {
        BufReader r = buf_reader(data, n_data);
        size_t size;

        (void)buf_get(&r, 2);
        size = buf_get_le16(&r);
        if (r.failed || size < SIZE_MIN || size > SIGNED_RECORD_SIZE_MAX || size > n_data)
                return SIGNED_RECORD_E_MALFORMED;
        *ret_size = size;
        return 0;
}

int signed_record_decode(const uint8_t *data, size_t n_data, SignedRecord *ret) {
        SignedRecord record = { 0 };
        uint8_t type, version, suite;
        BufReader r;
        size_t size;

        if (signed_record_size(data, n_data, &size) != 0 || size != n_data)
                return SIGNED_RECORD_E_MALFORMED;

        r = buf_reader(data, size - KEY_SIGNATURE_SIZE);
        type = buf_get_u8(&r);
        version = buf_get_u8(&r);
        (void)buf_get_le16(&r);
        suite = buf_get_u8(&r);
        record.flags = buf_get_u8(&r);
        buf_get_zero(&r, 2);
        record.issued_usec = buf_get_le64(&r);
        record.not_after_usec = buf_get_le64(&r);
        buf_get_bytes(&r, record.signer.bytes, KEY_SIZE);

        if (r.failed || version != VERSION || suite != SUITE || type == 0 ||
            type >= _SIGNED_RECORD_TYPE_MAX || size > types[type].size_max ||
            (record.flags & ~SIGNED_RECORD_WITHDRAWN))
                return SIGNED_RECORD_E_MALFORMED;
        record.type = type;
        if (!types[type].read(&r, &record) || !buf_reader_done(&r))
                return SIGNED_RECORD_E_MALFORMED;
        *ret = record;
        return 0;
}

static uint64_t life_max_usec(const SignedRecord *record) {
        if (record->type == SIGNED_RECORD_LEASE && (record->lease.flags & LEASE_TRANSIENT))
                return SIGNED_RECORD_TRANSIENT_LIFE_USEC;
        return types[record->type].life_max_usec;
}

static int check_times(const SignedRecord *record, const SignedRecordCheck *check) {
        if (record->issued_usec > check->now_usec &&
            record->issued_usec - check->now_usec > SIGNED_RECORD_SKEW_USEC)
                return SIGNED_RECORD_E_CLOCK;
        if (record->not_after_usec <= record->issued_usec ||
            record->not_after_usec - record->issued_usec > life_max_usec(record))
                return SIGNED_RECORD_E_MALFORMED;
        if (check->now_usec >= record->not_after_usec &&
            check->now_usec - record->not_after_usec >= check->slack_usec)
                return SIGNED_RECORD_E_EXPIRED;
        return 0;
}

int signed_record_verify(const uint8_t *data, size_t n_data, const SignedRecordCheck *check,
                         SignedRecord *ret) {
        SignedRecord record;
        size_t n_signed;
        int c;

        c = signed_record_decode(data, n_data, &record);
        if (c != 0)
                return c;
        if (check->type != 0 && record.type != check->type)
                return SIGNED_RECORD_E_MALFORMED;
        c = check_times(&record, check);
        if (c != 0)
                return c;
        if (check->held.size > 0 && !signed_record_supersedes((Slice){ data, n_data }, check->held))
                return SIGNED_RECORD_E_HELD;

        n_signed = n_data - KEY_SIGNATURE_SIZE;
        if (key_verify(&record.signer, LABEL, &(Slice){ data, n_signed }, 1, data + n_signed) != 0)
                return SIGNED_RECORD_E_SIGNATURE;
        *ret = record;
        return 0;
}

int signed_record_sign(const SignedRecord *record, const IdentityKey *identity, uint8_t *out,
                       size_t out_size, size_t *ret_n_out) {
        uint8_t bytes[SIGNED_RECORD_SIZE_MAX];
        BufWriter w = buf_writer(bytes, sizeof(bytes));
        SignedRecord again;

        if ((unsigned)record->type >= _SIGNED_RECORD_TYPE_MAX || !types[record->type].write)
                return err_origin(-EINVAL);
        buf_put_u8(&w, (uint8_t)record->type);
        buf_put_u8(&w, VERSION);
        buf_put_le16(&w, 0); /* its length, known below */
        buf_put_u8(&w, SUITE);
        buf_put_u8(&w, record->flags);
        buf_put_zero(&w, 2);
        buf_put_le64(&w, record->issued_usec);
        buf_put_le64(&w, record->not_after_usec);
        buf_put_bytes(&w, identity_public(identity)->bytes, KEY_SIZE);
        assert(w.at == BODY_AT);
        types[record->type].write(&w, record);
        if (!buf_put(&w, KEY_SIGNATURE_SIZE))
                return err_origin(-EINVAL);
        store_le16(bytes + 2, (uint16_t)w.at);

        /* What we would not accept from others we do not sign either. */
        if (signed_record_decode(bytes, w.at, &again) != 0 ||
            check_times(&again, &(SignedRecordCheck){ .now_usec = again.issued_usec }) != 0)
                return err_origin(-EINVAL);
        if (w.at > out_size)
                return err_origin(-ENOBUFS);
        if (identity_sign(identity, LABEL, &(Slice){ bytes, w.at - KEY_SIGNATURE_SIZE }, 1,
                          bytes + w.at - KEY_SIGNATURE_SIZE) != 0)
                return SIGNED_RECORD_E_FORKED;
        memcpy(out, bytes, w.at);
        *ret_n_out = w.at;
        return 0;
}

bool signed_record_supersedes(Slice a, Slice b) {
        const uint8_t *bytes_a = a.data, *bytes_b = b.data;
        uint64_t issued_a, issued_b;
        uint8_t hash_a[32], hash_b[32];

        assert(a.size >= SIZE_MIN && b.size >= SIZE_MIN);
        if ((bytes_a[0] == SIGNED_RECORD_TOMB) != (bytes_b[0] == SIGNED_RECORD_TOMB))
                return bytes_a[0] == SIGNED_RECORD_TOMB;
        issued_a = load_le64(bytes_a + 8);
        issued_b = load_le64(bytes_b + 8);
        if (issued_a != issued_b)
                return issued_a > issued_b;
        crypto_blake2b(hash_a, sizeof(hash_a), &a, 1);
        crypto_blake2b(hash_b, sizeof(hash_b), &b, 1);
        return memcmp(hash_a, hash_b, sizeof(hash_a)) > 0;
}
