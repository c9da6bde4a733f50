/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/name-trust.h"

#include <string.h>

#include "libcore/err.h"
#include "libcore/name.h"

/* Of a text that was checked. */
static bool get_key(const char *text, PublicKey *ret) {
        KeyText key;

        if (key_text_parse(text, &key) != 0 || key.form != KEY_FORM_FULL)
                return false;
        *ret = key.key;
        return true;
}

NameTrustReason name_trust_mode(const char *word) {
        return !word || strcmp(word, "granted") == 0 ? NAME_GRANTED
               : strcmp(word, "pinned") == 0         ? NAME_PINNED
               : strcmp(word, "any") == 0            ? NAME_ANYBODY
                                                     : NAME_DISTRUSTED;
}

static size_t count(char *const *words) {
        size_t n = 0;

        while (words && words[n])
                n++;
        return n;
}

int name_trust_init(NameTrust *trust, char *const *pins, char *const *realms, char *const *mode) {
        size_t n_pins = count(pins) / 2, n_realms = count(realms);

        *trust = (NameTrust){ .most = name_trust_mode(mode ? mode[0] : NULL) };
        trust->pins = calloc(n_pins + 1, sizeof(*trust->pins));
        trust->realms = calloc(n_realms + 1, sizeof(*trust->realms));
        if (!trust->pins || !trust->realms) {
                name_trust_done(trust);
                return err_origin(-ENOMEM);
        }
        for (size_t i = 0; i < n_pins; i++) {
                trust->pins[i].pattern = pins[2 * i];
                if (get_key(pins[2 * i + 1], &trust->pins[i].key))
                        trust->n_pins = i + 1;
        }
        for (size_t i = 0; i < n_realms; i++)
                if (get_key(realms[i], &trust->realms[i]))
                        trust->n_realms = i + 1;
        return 0;
}

void name_trust_done(NameTrust *trust) {
        free(trust->pins);
        free(trust->realms);
        *trust = (NameTrust){ .most = NAME_DISTRUSTED };
}

static bool pin_fits(const NamePin *pin, const char *name, size_t n_name) {
        return name_fits(pin->pattern, strlen(pin->pattern), name, n_name);
}

bool name_trust_is_possible(const NameTrust *trust, const char *name, size_t n_name) {
        if (trust->most == NAME_ANYBODY || (trust->most == NAME_GRANTED && trust->n_realms > 0))
                return true;
        for (size_t i = 0; i < trust->n_pins; i++)
                if (pin_fits(&trust->pins[i], name, n_name))
                        return true;
        return false;
}

static bool is_pinned(const NameTrust *trust, const ServiceRecord *record) {
        const Slice *name = &record->service.service.name;

        for (size_t i = 0; i < trust->n_pins; i++)
                if (key_equal(&trust->pins[i].key, &record->service.signer) &&
                    pin_fits(&trust->pins[i], name->data, name->size))
                        return true;
        return false;
}

bool name_trust_may_believe(const NameTrust *trust, const ServiceRecord *record) {
        if (trust->most == NAME_ANYBODY || is_pinned(trust, record))
                return true;
        if (trust->most >= NAME_GRANTED && record->has_grant)
                for (size_t i = 0; i < trust->n_realms; i++)
                        if (key_equal(&trust->realms[i], &record->grant.signer))
                                return true;
        return false;
}

NameTrustReason name_trust_judge(const NameTrust *trust, const ServiceRecord *record,
                                 uint64_t wall_usec) {
        if (is_pinned(trust, record))
                return NAME_PINNED;
        if (trust->most >= NAME_GRANTED)
                for (size_t i = 0; i < trust->n_realms; i++)
                        if (service_record_is_granted(record, &trust->realms[i], wall_usec))
                                return NAME_GRANTED;
        return trust->most == NAME_ANYBODY ? NAME_ANYBODY : NAME_DISTRUSTED;
}
