/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Mappings of 64 KiB, aligned to their size, each handed out in units of 64 bytes; the first unit is
 * the canary, so that every use finds it by masking. Which units are taken is noted outside, so that
 * a child can free what it sees as zeros.
 */

#include "libsecure/secret.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#include "libcore/util.h"
#include "libsecure/crypto.h"

#define UNIT_SIZE 64
#define AREA_SIZE 65536
#define AREA_UNITS (AREA_SIZE / UNIT_SIZE)
#define GUARD_SIZE 65536                          /* a multiple of every page size in use */
#define MAP_SIZE (2 * AREA_SIZE + 2 * GUARD_SIZE) /* room to align */
#define CANARY UINT64_C(0x70326270f09d8c0b)

typedef struct Area Area;

struct Area {
        Area *next;
        uint8_t *data;
        size_t n_used;
        uint16_t units[AREA_UNITS]; /* length of the allocation that begins here, 0: free */
};

static pthread_mutex_t areas_lock = PTHREAD_MUTEX_INITIALIZER;
static Area *areas;

bool secret_is_alive(const void *secret) {
        const void *area = (const void *)((uintptr_t)secret & ~(uintptr_t)(AREA_SIZE - 1));
        uint64_t canary;

        memcpy(&canary, area, sizeof(canary));
        return canary == CANARY;
}

static Area *area_new(void) {
        uint64_t canary = CANARY;
        Area *area;
        uint8_t *p;

        area = calloc(1, sizeof(*area));
        if (!area)
                return NULL;
        p = mmap(NULL, MAP_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
                goto fail;
        area->data = p + GUARD_SIZE;
        area->data += -(uintptr_t)area->data & (AREA_SIZE - 1);
        if (mprotect(area->data, AREA_SIZE, PROT_READ | PROT_WRITE) < 0 ||
            madvise(area->data, AREA_SIZE, MADV_WIPEONFORK) < 0 ||
            madvise(area->data, AREA_SIZE, MADV_DONTDUMP) < 0)
                goto unmap;
        (void)mlock(area->data, AREA_SIZE); /* RLIMIT_MEMLOCK may forbid it: swap is the admin's */

        memcpy(area->data, &canary, sizeof(canary));
        area->units[0] = 1;
        area->n_used = 1;
        return area;

unmap:
        (void)munmap(p, MAP_SIZE);
fail:
        free(area);
        return NULL;
}

/* First fit; returns the first unit, or 0 if there is no room. */
static size_t area_take(Area *area, size_t n_units) {
        size_t run = 0;

        for (size_t at = 1; at < AREA_UNITS;) {
                if (area->units[at] > 0) {
                        at += area->units[at];
                        run = 0;
                        continue;
                }
                at++;
                if (++run == n_units) {
                        at -= n_units;
                        area->units[at] = (uint16_t)n_units;
                        area->n_used += n_units;
                        return at;
                }
        }
        return 0;
}

void *secret_alloc(size_t size) {
        size_t n_units = (size + UNIT_SIZE - 1) / UNIT_SIZE, at = 0;
        Area *area;

        if (size == 0 || size > SECRET_SIZE_MAX) {
                errno = EINVAL;
                return NULL;
        }

        (void)pthread_mutex_lock(&areas_lock);
        for (area = areas; area; area = area->next) {
                if (area->n_used + n_units > AREA_UNITS || !secret_is_alive(area->data))
                        continue;
                at = area_take(area, n_units);
                if (at > 0)
                        break;
        }
        if (!area) {
                area = area_new();
                if (area) {
                        area->next = areas;
                        areas = area;
                        at = area_take(area, n_units);
                }
        }
        (void)pthread_mutex_unlock(&areas_lock);

        if (!area) {
                errno = ENOMEM;
                return NULL;
        }
        return area->data + at * UNIT_SIZE; /* zero: mmap's or secret_free()'s */
}

/* The area that holds @secret; areas are few: one for each 64 KiB of keys. */
static Area *area_find(const void *secret) {
        const uint8_t *p = secret;

        for (Area *area = areas; area; area = area->next)
                if (p >= area->data && p < area->data + AREA_SIZE)
                        return area;
        return NULL;
}

void *secret_free(void *secret) {
        Area *area;
        size_t at;

        if (!secret)
                return NULL;
        (void)pthread_mutex_lock(&areas_lock);
        area = area_find(secret);
        if (area) {
                at = (size_t)((uint8_t *)secret - area->data) / UNIT_SIZE;
                crypto_wipe(secret, (size_t)area->units[at] * UNIT_SIZE);
                area->n_used -= area->units[at];
                area->units[at] = 0;
        }
        (void)pthread_mutex_unlock(&areas_lock);
        return NULL;
}
