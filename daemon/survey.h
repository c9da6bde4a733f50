/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Surveys: what processes say of their conversations, collected for one who asks
 *
 * The daemon does not see what goes through rings or waits in a library, so QUERY peers asks each
 * process that the asker may see (REPORT), waits for the answers (REPORTED), SURVEY_USEC at most,
 * and then lets the asker have what has come.
 *
 *      AWAITED --REPORTED, its last packet--> GIVEN, or GARBLED, or CUT
 *         |----ERROR UNSUPPORTED------------> SILENT
 *         `----time is up-------------------> SILENT
 *
 * A process is asked one question at a time, however many ask: its next answer serves all surveys
 * that wait for it. So whoever does not answer is not asked again, and nobody can make it busy by
 * asking. Questions and what was answered are charged to the asker's user.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/control.h"

#define SURVEY_USEC (500 * USEC_PER_MSEC)
#define SURVEYS_MAX 64              /* at a time, one a process */
#define SURVEY_REPORT_MAX 65536     /* bytes of text that one process may say at a time */
#define SURVEY_TEXT_MAX (1U << 20)  /* and all of them, in one survey */

typedef struct Manager Manager;
typedef struct Peer Peer;
typedef struct Survey Survey;

typedef enum ReportState {
        REPORT_AWAITED,
        REPORT_GIVEN,
        REPORT_SILENT,
        REPORT_GARBLED, /* it said what no version of us says: nothing of it is kept */
        REPORT_CUT,     /* it said more than fits */
} ReportState;

/* One process in one survey. */
typedef struct SurveyReport SurveyReport;
struct SurveyReport {
        Survey *survey;
        Peer *peer;
        SurveyReport *prev, *next;           /* of the same survey */
        SurveyReport *prev_peer, *next_peer; /* of the same process */
        ReportState state;
        char *text; /* lines of report.h, a NUL behind them; NULL: none */
        size_t n_text;
};

struct Survey {
        Peer *asker;
        PacketId ref; /* of its question */
        uint64_t until_usec;
        SurveyReport *reports;
        unsigned n_awaited;
        uint64_t n_asked; /* charged as QUOTA_REQUESTS */
        size_t n_text;
        void (*on_done)(const Survey *survey);
        Survey *prev, *next; /* oldest first */
};

typedef struct Surveys {
        Survey *list;
        unsigned n;
} Surveys;

/* What a process was asked, and said so far. */
typedef struct Interview {
        bool is_asked;
        PacketId id; /* of the question */
        size_t n_said;
} Interview;

/*
 * Asks. @on_done may be called from within; the survey is gone after it.
 * Return: CODE_OK; CODE_RATE: @asker has a survey that is not over; CODE_QUOTA; CODE_OVERLOAD.
 */
ControlCode survey_begin(Peer *asker, const PacketId *ref, void (*on_done)(const Survey *survey));
/* What @peer has said in @survey; NULL: it was not asked, and survey_may_see() tells why. */
const SurveyReport *survey_report_of(const Survey *survey, const Peer *peer);
/* Whether @asker may know of the conversations of @peer: its own user's, or it administers. */
bool survey_may_see(const Peer *asker, const Peer *peer);

/* REPORTED. What was not asked for, or comes too late, is dropped. */
void survey_on_reported(Peer *from, const Control *word);
/* An ERROR about the packet @ref. Return: whether that was a question of ours. */
bool survey_on_error(Peer *from, const PacketId *ref);
/* @peer leaves: as one who asks, and as one who is asked. Nothing is sent while the daemon stops. */
void survey_forget(Peer *peer);
void survey_on_time(Manager *manager);
