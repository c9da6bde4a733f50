/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "config.h"

#include "daemon/policy.h"

#include <assert.h>
#include <utlist.h>

#include "libcore/buf.h"
#include "libcore/control.h"
#include "libcore/err.h"
#include "libcore/record.h"
#include "libcore/util.h"

typedef struct Pair {
        const Subject *from, *to;
} Pair;

/* What may pass from one subject to another. */
typedef struct Verdict {
        UT_hash_handle hh;
        Pair pair;
        bool may_send;
        char *denial; /* for people, once somebody asked */
} Verdict;

struct Policy {
        PolicyBook book;
        uint32_t own_uid, attach_gid;
        bool attach_is_narrow;
        Subject *subjects;
        unsigned n_unused; /* of them */
        Verdict *verdicts;
        uint64_t *described; /* the key of the subject that is described */
        size_t n_described;
};

/* --- reading --- */

static void say_oddities(const Policy *policy, const Log *log) {
        const PolicyBook *book = &policy->book;
        const Statement *s = NULL;

        while ((s = policy_book_next_stranger(book, s)))
                if (s->path[0] != '(') /* what is compiled in is for hosts that have them */
                        log_write(log, LOG_LEVEL_WARNING, NULL,
                                  "%s:%u: [%s] %s=%s names an account that does not exist, and "
                                  "fits nobody",
                                  s->path, s->line, policy_slot_section(s->slot),
                                  policy_slot_key(s->slot), s->text);
        if (book->has_units && !credentials_have_units())
                log_write(log, LOG_LEVEL_WARNING, NULL,
                          "this kernel does not tell the unit of a process (SO_PEERPIDFD): [Match] "
                          "Unit= fits nobody");
}

int policy_new(Policy **ret, const PolicyOptions *options, const Log *log, ConfError *ret_error) {
        _cleanup_(policy_freep) Policy *policy = NULL;
        Accounts accounts = options->accounts ? *options->accounts : accounts_of_system;
        int r;

        accounts.own_uid = options->own_uid;
        policy = calloc(1, sizeof(*policy));
        if (!policy)
                return err_origin(-ENOMEM);
        policy_book_init(&policy->book, options->user_bus, &accounts);
        policy->own_uid = options->own_uid;
        policy->attach_is_narrow = options->attach_group != NULL;
        policy->attach_gid = options->attach_group ? accounts.find_group(options->attach_group)
                                                   : CREDENTIALS_NOBODY;
        r = policy_folders_read(&options->folders, &policy->book, log, ret_error);
        if (r != 0)
                return r;
        policy->n_described =
                1 + subject_words(policy->book.n_files) + subject_words(policy->book.n_traits);
        policy->described = calloc(policy->n_described, sizeof(uint64_t));
        if (!policy->described)
                return err_origin(-ENOMEM);
        if (log)
                say_oddities(policy, log);
        *ret = TAKE_PTR(policy);
        return 0;
}

static void forget_verdicts(Policy *policy) {
        Verdict *verdict, *next;

        HASH_ITER (hh, policy->verdicts, verdict, next) {
                HASH_DELETE(hh, policy->verdicts, verdict);
                free(verdict->denial);
                free(verdict);
        }
}

/* Those that no process has, and with them what is known of pairs. */
static void forget_unused(Policy *policy) {
        Subject *subject, *next;

        forget_verdicts(policy);
        HASH_ITER (hh, policy->subjects, subject, next)
                if (subject->n_refs == 0) {
                        HASH_DELETE(hh, policy->subjects, subject);
                        (void)subject_free(subject);
                }
        policy->n_unused = 0;
}

Policy *policy_free(Policy *policy) {
        if (!policy)
                return NULL;
        forget_unused(policy);
        assert(!policy->subjects);
        policy_book_done(&policy->book);
        free(policy->described);
        free(policy);
        return NULL;
}

const PolicyBook *policy_book(const Policy *policy) {
        return &policy->book;
}

CredentialsUnit policy_wanted_unit(const Policy *policy) {
        if (!policy->book.has_units)
                return CREDENTIALS_NO_UNIT;
        return policy->book.user_bus ? CREDENTIALS_USER_UNIT : CREDENTIALS_SYSTEM_UNIT;
}

bool policy_may_attach(const Policy *policy, const Credentials *credentials) {
        return !policy->attach_is_narrow || credentials->uid == 0 ||
               credentials->uid == policy->own_uid ||
               credentials_are_in(credentials, policy->attach_gid);
}

static bool is_brought(const Subject *brought, unsigned file) {
        const Subject *subject;

        LL_FOREACH2(brought, subject, next_brought) {
                if (subject_has_file(subject, file))
                        return true;
        }
        return false;
}

void policy_find_limits(const Policy *policy, uint32_t uid, const Subject *brought,
                        const Subject *also, const Statement *ret_said[static _POLICY_SLOTS]) {
        const PolicyFile *file;
        const Statement *s;
        unsigned i = 0;

        memset(ret_said, 0, _POLICY_SLOTS * sizeof(*ret_said));
        DL_FOREACH (policy->book.files, file) {
                if (file->limit && (policy_file_fits_user(file, uid) || is_brought(brought, i) ||
                                    (also && subject_has_file(also, i))))
                        LL_FOREACH (file->statements, s)
                                if (s->slot >= _POLICY_ROLES)
                                        ret_said[s->slot] = s;
                i++;
        }
}

void policy_adjust_limits(const Policy *policy, uint32_t uid, const Subject *brought,
                          UserLimits *limits) {
        static const QuotaSlot slots[_POLICY_SLOTS] = {
                [POLICY_CONNECTIONS] = QUOTA_CONNECTIONS,
                [POLICY_UNATTACHED] = QUOTA_UNATTACHED,
                [POLICY_QUEUE_BYTES] = QUOTA_BYTES,
                [POLICY_QUEUE_MESSAGES] = QUOTA_MESSAGES,
                [POLICY_DESCRIPTORS] = QUOTA_FDS,
                [POLICY_NAMES] = QUOTA_NAMES,
                [POLICY_REQUESTS] = QUOTA_REQUESTS,
                [POLICY_LEASES] = QUOTA_LEASES,
                [POLICY_RINGS] = QUOTA_RINGS,
                [POLICY_RING_BYTES] = QUOTA_RING_BYTES,
                [POLICY_SUBSCRIPTIONS] = QUOTA_SUBSCRIPTIONS,
                [POLICY_RETAINED] = QUOTA_RETAINED,
        };
        const Statement *said[_POLICY_SLOTS];

        policy_find_limits(policy, uid, brought, NULL, said);
        for (unsigned slot = _POLICY_ROLES; slot < _POLICY_SLOTS; slot++) {
                if (!said[slot])
                        continue;
                if (slot == POLICY_ATTACH_RATE)
                        limits->attach_rate = said[slot]->number;
                else if (slot == POLICY_ATTACH_BURST)
                        limits->attach_burst = said[slot]->number;
                else
                        limits->max[slots[slot]] = said[slot]->number;
        }
}

/* --- subjects --- */

static void set_bit(uint64_t *words, unsigned bit) {
        words[bit / 64] |= UINT64_C(1) << (bit % 64);
}

static uint64_t *described_traits(Policy *policy) {
        return policy->described + 1 + subject_words(policy->book.n_files);
}

void policy_describe(Policy *policy, const Credentials *credentials, const PublicKey *key) {
        const PolicyBook *book = &policy->book;
        const PolicyFile *file;
        unsigned i = 0;

        memset(policy->described, 0, policy->n_described * sizeof(uint64_t));
        policy->described[0] = credentials->uid;
        DL_FOREACH (book->files, file) {
                if (policy_file_fits(file, credentials, key))
                        set_bit(policy->described + 1, i);
                i++;
        }
        for (i = 0; i < book->n_traits; i++) {
                const Term *trait = book->traits[i];

                if ((trait->kind == TERM_GROUP && credentials_are_in(credentials, trait->id)) ||
                    (trait->kind == TERM_KEY && key && key_equal(&trait->key, key)))
                        set_bit(described_traits(policy), i);
        }
}

void policy_describe_name(Policy *policy, const char *name, size_t n_name) {
        const PolicyBook *book = &policy->book;

        for (unsigned i = 0; book->has_name_traits && i < book->n_traits; i++)
                if (book->traits[i]->kind == TERM_NAME &&
                    name_pattern_fits(book->traits[i]->text, "", name, n_name))
                        set_bit(described_traits(policy), i);
}

Subject *policy_subject(Policy *policy) {
        size_t n_key = policy->n_described * sizeof(uint64_t);
        Subject *subject;

        HASH_FIND(hh, policy->subjects, policy->described, n_key, subject);
        if (subject) {
                policy->n_unused -= subject->n_refs == 0;
                return subject_ref(subject);
        }
        subject = subject_new(policy, &policy->book, policy->described, policy->n_described);
        if (!subject)
                return NULL;
        HASH_ADD_KEYPTR(hh, policy->subjects, subject->key, n_key, subject);
        if (!subject->hh.tbl)
                return subject_free(subject);
        return subject_ref(subject);
}

Subject *subject_unref(Subject *subject) {
        Policy *policy;

        if (!subject || --subject->n_refs > 0)
                return NULL;
        policy = subject->policy;
        policy->n_unused++;
        if (policy->n_unused > POLICY_SUBJECTS_KEPT)
                forget_unused(policy);
        return NULL;
}

/* --- verdicts --- */

/* NULL: no memory. */
static Verdict *find_verdict(Subject *from, Subject *to) {
        const Pair pair = { .from = from, .to = to };
        Policy *policy = from->policy;
        Verdict *verdict;

        HASH_FIND(hh, policy->verdicts, &pair, sizeof(pair), verdict);
        if (verdict)
                return verdict;
        if (HASH_COUNT(policy->verdicts) >= POLICY_VERDICTS_KEPT)
                forget_verdicts(policy);
        verdict = calloc(1, sizeof(*verdict));
        if (!verdict)
                return NULL;
        verdict->pair = pair;
        verdict->may_send = policy_talk(from, to).is_allowed;
        HASH_ADD(hh, policy->verdicts, pair, sizeof(verdict->pair), verdict);
        if (!verdict->hh.tbl) {
                free(verdict);
                return NULL;
        }
        return verdict;
}

bool policy_may_send(Subject *from, Subject *to) {
        const Verdict *verdict;

        if (from == to) {
                if (!from->knows_itself) {
                        from->knows_itself = true;
                        from->may_send_to_itself = policy_talk(from, to).is_allowed;
                }
                return from->may_send_to_itself;
        }
        verdict = find_verdict(from, to);
        return verdict ? verdict->may_send : policy_talk(from, to).is_allowed;
}

const char *policy_denial(Subject *from, Subject *to, bool *ret_is_news) {
        Verdict *verdict = find_verdict(from, to);
        char text[POLICY_ANSWER_MAX];
        PolicyAnswer answer;

        *ret_is_news = false;
        if (verdict && !verdict->denial) {
                *ret_is_news = true;
                answer = policy_talk(from, to);
                verdict->denial = strdup(policy_answer_text(&answer, text));
        }
        return verdict ? verdict->denial : NULL;
}

bool policy_is_old_denial(Subject *subject, PolicySlot slot) {
        uint64_t bit = UINT64_C(1) << slot;
        bool is_old = subject->denied_slots & bit;

        subject->denied_slots |= bit;
        return is_old;
}

/* --- what libraries enforce --- */

static bool write_entry(BufWriter *w, uint8_t list, uint8_t kind, const void *value, size_t n) {
        if (w->size - w->at < CONTROL_NETWORK_ENTRY_SIZE + n)
                return false;
        buf_put_u8(w, list);
        buf_put_u8(w, kind);
        buf_put_le16(w, (uint16_t)n);
        buf_put_bytes(w, value, n);
        return true;
}

/* Return: whether there was room. */
static bool write_list(BufWriter *w, const StatementList *list, uint8_t which) {
        static const uint8_t kinds[] = {
                [TERM_ANY] = NETWORK_ANY,         [TERM_PINNED] = NETWORK_PINNED,
                [TERM_GRANTED] = NETWORK_GRANTED, [TERM_KEY] = NETWORK_KEY,
                [TERM_NAME] = NETWORK_NAME,
        };

        for (size_t i = 0; i < list->n; i++)
                for (size_t k = 0; k < list->items[i]->n_terms; k++) {
                        const Term *term = &list->items[i]->terms[k];
                        size_t n = term->kind == TERM_KEY    ? KEY_SIZE
                                   : term->kind == TERM_NAME ? strlen(term->text)
                                                             : 0;

                        if (!write_entry(w, which, kinds[term->kind],
                                         term->kind == TERM_KEY ? term->key.bytes
                                                                : (const uint8_t *)term->text,
                                         n))
                                return false;
                }
        return true;
}

size_t policy_write_network(const Subject *subject, uint8_t *out, size_t n_out) {
        const PolicyAnswer answer = policy_network_send(subject);
        BufWriter w = buf_writer(out, n_out);
        char why[POLICY_ANSWER_MAX];

        if ((!subject_find_remote(subject, POLICY_DENY_SEND_TO) &&
             !write_list(&w, &subject->said[POLICY_NETWORK_SEND], NETWORK_SEND)) ||
            (!subject_find_remote(subject, POLICY_DENY_RECEIVE_FROM) &&
             !write_list(&w, &subject->said[POLICY_NETWORK_RECEIVE], NETWORK_RECEIVE)))
                w.at = 0; /* too long a list allows nothing, rather than some of it */
        (void)policy_answer_text(&answer, why);
        if (!answer.is_allowed)
                (void)write_entry(&w, NETWORK_SEND, NETWORK_WHY, why, strlen(why));
        return w.at;
}

/* --- what the bridge enforces --- */

size_t policy_write_relays(const Subject *subject, uint8_t out[static CONTROL_RELAYS_MAX]) {
        const StatementList *list = &subject->said[POLICY_NETWORK_RELAYS];
        BufWriter w = buf_writer(out, CONTROL_RELAYS_MAX); /* the book is bounded by it */

        for (size_t i = 0; i < list->n; i++)
                for (size_t k = 0; k < list->items[i]->n_terms; k++) {
                        const Term *term = &list->items[i]->terms[k];

                        if (term->kind == TERM_RELAY)
                                buf_put_bytes(&w, term->text, strlen(term->text) + 1);
                }
        return w.at;
}

bool policy_has_same_relays(const Subject *a, const Subject *b) {
        uint8_t of_a[CONTROL_RELAYS_MAX], of_b[CONTROL_RELAYS_MAX];
        size_t n = policy_write_relays(a, of_a);

        return a->has_some_relays == b->has_some_relays && n == policy_write_relays(b, of_b) &&
               memcmp(of_a, of_b, n) == 0;
}

bool policy_is_answer(const uint8_t *payload, size_t n_payload) {
        size_t at = 0;

        for (;;) {
                Record record;

                switch (record_decode(payload, n_payload, &at, &record)) {
                case 0:
                        if (record.type == RECORD_PUBLISHED ||
                            (record.type == RECORD_MSG && message_kind_begins(record.message.kind)))
                                return false;
                        break;
                case RECORD_E_END:
                        return true;
                default:
                        return false;
                }
        }
}
