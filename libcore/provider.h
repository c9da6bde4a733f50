/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Providers of a name, in words of the protocol
 *
 * What a process says of itself when it claims a name (PROTOCOL.md, "Control", OWN), and what the
 * daemon tells others of it (NAMED). Who is asked first, and how often, they decide by that.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/name.h"
#include "libcore/pid.h"

#define PROVIDER_METADATA_MAX 512
#define PROVIDER_PRIORITY_DEFAULT 100
#define PROVIDER_WEIGHT_DEFAULT 100
#define PROVIDER_CLAIM_MAX (NAME_SIZE_MAX + 1 + 8 + PROVIDER_METADATA_MAX)
#define PROVIDER_ENTRY_SIZE 40
#define PROVIDER_LOAD_SIZE 4 /* of a reply's extension LOAD */

enum {
        PROVIDER_DRAIN = 1 << 0,  /* finishes what it has: nothing new is for it */
        PROVIDER_REMOTE = 1 << 1, /* on another host; in NAMED only */
};

enum {
        _PROVIDER_E_SUCCESS,

        PROVIDER_E_MALFORMED,
};

/* Those of one priority share the work by their weights, while none of a lower number is there. */
typedef struct ProviderRank {
        uint16_t priority; /* the lowest number is asked first */
        uint16_t weight;   /* 1 to 65535 */
        uint32_t flags;    /* PROVIDER_X */
} ProviderRank;

typedef struct ProviderClaim {
        const char *name; /* valid; borrowed, not ended by a NUL */
        size_t n_name;
        ProviderRank rank;
        const char *metadata; /* text as provider_metadata_is_valid() has it; borrowed */
        size_t n_metadata;
} ProviderClaim;

typedef struct ProviderEntry {
        uint8_t key[PID_KEY_SIZE];
        ProviderRank rank;
} ProviderEntry;

/* UTF-8 of at most PROVIDER_METADATA_MAX bytes, without control characters. */
bool provider_metadata_is_valid(const char *text, size_t n_text);

/*
 * The body of an OWN that claims: a name alone, or all of it.
 * Return: 0, PROVIDER_E_MALFORMED; @ret points into @body.
 */
int provider_claim_decode(const uint8_t *body, size_t n_body, ProviderClaim *ret);
/* Return: the size of the body, in @out. */
size_t provider_claim_encode(const ProviderClaim *claim, uint8_t out[static PROVIDER_CLAIM_MAX]);

/* One entry of NAMED. Weights of 0 and unknown flags, which nobody sends, are made good. */
void provider_entry_decode(const uint8_t bytes[static PROVIDER_ENTRY_SIZE], ProviderEntry *ret);
void provider_entry_encode(const ProviderEntry *entry, uint8_t out[static PROVIDER_ENTRY_SIZE]);
