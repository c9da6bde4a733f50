/* SPDX-License-Identifier: Apache-2.0 */

#include "libcore/provider.h"

#include <string.h>

#include "libcore/buf.h"

/* Bytes of the character that begins at @s, of at most @n; 0: it is none, or a control character. */
static size_t character(const uint8_t *s, size_t n) {
        static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
        uint32_t c = s[0];
        size_t size;

        if (c < 0x80)
                return c >= 0x20 && c != 0x7f;
        size = (c & 0xe0) == 0xc0 ? 2 : (c & 0xf0) == 0xe0 ? 3 : (c & 0xf8) == 0xf0 ? 4 : 0;
        if (size == 0 || size > n)
                return 0;
        c &= 0xffU >> (size + 1);
        for (size_t i = 1; i < size; i++) {
                if ((s[i] & 0xc0) != 0x80)
                        return 0;
                c = c << 6 | (s[i] & 0x3fU);
        }
        if (c < least[size] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0)
                return 0;
        return size;
}

bool provider_metadata_is_valid(const char *text, size_t n_text) {
        size_t n;

        if (n_text > PROVIDER_METADATA_MAX)
                return false;
        for (size_t at = 0; at < n_text; at += n) {
                n = character((const uint8_t *)text + at, n_text - at);
                if (n == 0)
                        return false;
        }
        return true;
}

int provider_claim_decode(const uint8_t *body, size_t n_body, ProviderClaim *ret) {
        ProviderClaim claim = {
                .name = (const char *)body,
                .n_name = strnlen((const char *)body, n_body),
                .rank = { PROVIDER_PRIORITY_DEFAULT, PROVIDER_WEIGHT_DEFAULT, 0 },
        };
        BufReader r = buf_reader(body, n_body);

        if (!name_is_valid(claim.name, claim.n_name))
                return PROVIDER_E_MALFORMED;
        (void)buf_get(&r, claim.n_name);
        if (buf_left(&r) > 0) {
                (void)buf_get_u8(&r);
                claim.rank.priority = buf_get_le16(&r);
                claim.rank.weight = buf_get_le16(&r);
                claim.rank.flags = buf_get_le32(&r);
                claim.n_metadata = buf_left(&r);
                claim.metadata = (const char *)buf_get(&r, claim.n_metadata);
        }
        if (r.failed || claim.rank.weight == 0 || (claim.rank.flags & ~(uint32_t)PROVIDER_DRAIN) ||
            !provider_metadata_is_valid(claim.metadata, claim.n_metadata))
                return PROVIDER_E_MALFORMED;
        *ret = claim;
        return 0;
}

size_t provider_claim_encode(const ProviderClaim *claim, uint8_t out[static PROVIDER_CLAIM_MAX]) {
        BufWriter w = buf_writer(out, PROVIDER_CLAIM_MAX);

        buf_put_bytes(&w, claim->name, claim->n_name);
        buf_put_u8(&w, 0);
        buf_put_le16(&w, claim->rank.priority);
        buf_put_le16(&w, claim->rank.weight);
        buf_put_le32(&w, claim->rank.flags);
        buf_put_bytes(&w, claim->metadata, claim->n_metadata);
        return w.at;
}

void provider_entry_decode(const uint8_t bytes[static PROVIDER_ENTRY_SIZE], ProviderEntry *ret) {
        BufReader r = buf_reader(bytes, PROVIDER_ENTRY_SIZE);

        buf_get_bytes(&r, ret->key, sizeof(ret->key));
        ret->rank.priority = buf_get_le16(&r);
        ret->rank.weight = buf_get_le16(&r);
        ret->rank.flags = buf_get_le32(&r) & (PROVIDER_DRAIN | PROVIDER_REMOTE);
        if (ret->rank.weight == 0)
                ret->rank.weight = 1;
}

void provider_entry_encode(const ProviderEntry *entry, uint8_t out[static PROVIDER_ENTRY_SIZE]) {
        BufWriter w = buf_writer(out, PROVIDER_ENTRY_SIZE);

        buf_put_bytes(&w, entry->key, sizeof(entry->key));
        buf_put_le16(&w, entry->rank.priority);
        buf_put_le16(&w, entry->rank.weight);
        buf_put_le32(&w, entry->rank.flags);
}
