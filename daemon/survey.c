/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/survey.h"

#include <utlist.h>

#include "daemon/peer.h"
#include "libcore/report.h"

/* --- one report --- */

static void report_drop_text(SurveyReport *report) {
        usage_release(report->survey->asker->self, report->n_text, 0, 0);
        report->survey->n_text -= report->n_text;
        free(report->text);
        report->text = NULL;
        report->n_text = 0;
}

static void report_free(SurveyReport *report) {
        report_drop_text(report);
        DL_DELETE(report->survey->reports, report);
        DL_DELETE2(report->peer->reports, report, prev_peer, next_peer);
        free(report);
}

static void report_settle(SurveyReport *report, ReportState state) {
        if (report->state != REPORT_AWAITED)
                return;
        report->state = state;
        report->survey->n_awaited--;
}

/* Return: whether it fits, into memory and into what the asker may hold. */
static bool report_add(SurveyReport *report, const char *line, size_t n) {
        Survey *survey = report->survey;
        char *text;

        if (n > SURVEY_TEXT_MAX - survey->n_text ||
            usage_charge(survey->asker->self, n, 0, 0) != 0)
                return false;
        text = realloc(report->text, report->n_text + n + 1);
        if (!text) {
                usage_release(survey->asker->self, n, 0, 0);
                return false;
        }
        memcpy(text + report->n_text, line, n);
        report->text = text;
        report->n_text += n;
        report->text[report->n_text] = '\0';
        survey->n_text += n;
        return true;
}

/* --- one survey --- */

static void survey_free(Survey *survey) {
        Manager *manager = survey->asker->manager;

        while (survey->reports)
                report_free(survey->reports);
        user_give(survey->asker->user, QUOTA_REQUESTS, survey->n_asked);
        survey->asker->survey = NULL;
        DL_DELETE(manager->surveys.list, survey);
        manager->surveys.n--;
        free(survey);
}

static void survey_finish(Survey *survey) {
        SurveyReport *report;

        DL_FOREACH (survey->reports, report)
                report_settle(report, REPORT_SILENT);
        survey->on_done(survey);
        survey_free(survey);
}

/* Surveys that wait for nobody any more. */
static void finish_complete(Manager *manager) {
        Survey *survey, *next;

        DL_FOREACH_SAFE (manager->surveys.list, survey, next)
                if (survey->n_awaited == 0)
                        survey_finish(survey);
}

bool survey_may_see(const Peer *asker, const Peer *peer) {
        return asker->user == peer->user || asker->caps.admin;
}

const SurveyReport *survey_report_of(const Survey *survey, const Peer *peer) {
        const SurveyReport *report;

        DL_FOREACH2 (peer->reports, report, next_peer)
                if (report->survey == survey)
                        return report;
        return NULL;
}

/* The gateway has no conversations of its own. */
static bool is_asked(const Peer *asker, const Peer *peer) {
        return peer->state == PEER_ATTACHED && survey_may_see(asker, peer) &&
               !gateway_is(&peer->manager->gateway, peer);
}

/* Return: whether an answer may come. */
static bool ask(Peer *peer) {
        Interview *interview = &peer->interview;

        if (interview->is_asked)
                return !peer->output_dead;
        if (!peer_has_room(peer, 0))
                return false; /* it does not read */
        interview->id = manager_packet_id(peer->manager);
        interview->n_said = 0;
        interview->is_asked = peer_say_with_id(peer, &(Control){ .verb = CONTROL_REPORT },
                                               &interview->id);
        return interview->is_asked;
}

static ControlCode survey_add(Survey *survey, Peer *peer) {
        SurveyReport *report;

        if (user_take(survey->asker->user, QUOTA_REQUESTS, 1) != 0)
                return CODE_QUOTA;
        survey->n_asked++;
        report = calloc(1, sizeof(*report));
        if (!report)
                return CODE_OVERLOAD;
        report->survey = survey;
        report->peer = peer;
        survey->n_awaited++;
        DL_APPEND(survey->reports, report);
        DL_APPEND2(peer->reports, report, prev_peer, next_peer);
        return CODE_OK;
}

ControlCode survey_begin(Peer *asker, const PacketId *ref, void (*on_done)(const Survey *survey)) {
        Manager *manager = asker->manager;
        ControlCode code = CODE_OK;
        SurveyReport *report;
        Survey *survey;
        Peer *peer;

        if (asker->survey)
                return CODE_RATE;
        if (manager->surveys.n >= SURVEYS_MAX)
                return CODE_OVERLOAD;
        survey = calloc(1, sizeof(*survey));
        if (!survey)
                return CODE_OVERLOAD;
        survey->asker = asker;
        survey->ref = *ref;
        survey->on_done = on_done;
        survey->until_usec = manager->now_usec + SURVEY_USEC;
        asker->survey = survey;
        DL_APPEND(manager->surveys.list, survey);
        manager->surveys.n++;

        DL_FOREACH (manager->peers, peer)
                if (code == CODE_OK && is_asked(asker, peer))
                        code = survey_add(survey, peer);
        if (code != CODE_OK) {
                survey_free(survey);
                return code;
        }
        /* Nobody is asked before it is certain that all are. */
        DL_FOREACH (survey->reports, report)
                if (!ask(report->peer))
                        report_settle(report, REPORT_SILENT);
                else if (report->peer->interview.n_said > 0)
                        report_settle(report, REPORT_CUT); /* it is in the midst of its answer */
        manager_wake_at(manager, survey->until_usec);
        finish_complete(manager);
        return CODE_OK;
}

/* --- what processes say --- */

/* For all who wait for it. */
static void hear_line(Peer *from, const Report *said) {
        char line[REPORT_LINE_MAX];
        size_t n = report_format(said, line);
        SurveyReport *report;

        DL_FOREACH2 (from->reports, report, next_peer)
                if (report->state == REPORT_AWAITED && !report_add(report, line, n))
                        report_settle(report, REPORT_CUT);
}

static void settle_all(Peer *from, ReportState state) {
        SurveyReport *report;

        DL_FOREACH2 (from->reports, report, next_peer) {
                if (state == REPORT_GARBLED && report->state == REPORT_AWAITED)
                        report_drop_text(report);
                report_settle(report, state);
        }
        finish_complete(from->manager);
}

static bool is_question(const Peer *from, const PacketId *ref) {
        return from->interview.is_asked && packet_id_equal(&from->interview.id, ref);
}

void survey_on_reported(Peer *from, const Control *word) {
        Interview *interview = &from->interview;
        const char *text = (const char *)word->body;
        size_t at = 0;
        Report report;
        int r;

        if (!is_question(from, &word->ref))
                return;
        interview->is_asked = word->value != 0;
        interview->n_said += word->n_body;
        while ((r = report_parse(text, word->n_body, &at, &report)) == 0)
                if (interview->n_said <= SURVEY_REPORT_MAX)
                        hear_line(from, &report);
        if (r == REPORT_E_VIOLATION)
                settle_all(from, REPORT_GARBLED);
        else if (interview->n_said > SURVEY_REPORT_MAX)
                settle_all(from, REPORT_CUT);
        else if (!interview->is_asked)
                settle_all(from, REPORT_GIVEN);
}

bool survey_on_error(Peer *from, const PacketId *ref) {
        if (!is_question(from, ref))
                return false;
        from->interview.is_asked = false;
        settle_all(from, REPORT_SILENT);
        return true;
}

void survey_forget(Peer *peer) {
        if (peer->survey)
                survey_free(peer->survey);
        while (peer->reports) {
                report_settle(peer->reports, REPORT_SILENT);
                report_free(peer->reports);
        }
        if (peer->manager->stop_usec == 0)
                finish_complete(peer->manager);
}

void survey_on_time(Manager *manager) {
        while (manager->surveys.list && manager->stop_usec == 0) {
                Survey *survey = manager->surveys.list;

                if (survey->until_usec > manager->now_usec) {
                        manager_wake_at(manager, survey->until_usec);
                        return;
                }
                survey_finish(survey);
        }
}
