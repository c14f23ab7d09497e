/* SPDX-License-Identifier: Apache-2.0 */

/* From answers to smoothed metrics
 * ================================
 *
 * What does not make sense is left out, and said; what makes sense counts even
 * if something else beside it does not. */

#include <config.h>

#include "lib/refresh-internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rounds closer than that many seconds say nothing about growth. */
#define MIN_INTERVAL 0.05

/* How many intervals old a sample may be, and a counter to compare with. */
#define MAX_AGE 3
#define MAX_COUNTER_AGE 10

/* One server's sample, while it is taken. */
struct taking {
    struct work *work;
    struct work_server *s;
    struct refreshed *r;        /* Its new layer. */
    struct answer answer;       /* All answers in one. */
    bool waits[N_METRICS];      /* Known in the next round. */
    size_t n_answers;
};

static void
complain(struct work_server *s, char *text)
{
    if (s->report->complaint) {
        free(text);
    } else {
        s->report->complaint = text;
    }
}

/* Whether the answer is of a time that is of use. */
static bool
is_fresh(const struct taking *t, const struct answer *answer, char **why)
{
    double interval = t->work->weights->common[WEIGHT_INTERVAL];
    double age = t->work->now - answer->time;

    if (answer->time <= 0) {
        return true;
    }
    if (age > MAX_AGE * interval) {
        *why = lb_xasprintf("the sample is %.0f s old", age);
    } else if (age < -MAX_AGE * interval) {
        *why = lb_xasprintf("the sample is %.0f s in the future", -age);
    }
    return !*why;
}

/* Takes in one answer of a source. */
static void
add_answer(struct taking *t, const struct source *source,
           const struct answer *answer)
{
    char *why = NULL;

    if (answer->error) {
        why = lb_xstrdup(answer->error);
    } else if (is_fresh(t, answer, &why)) {
        answer_merge(&t->answer, answer);
        t->n_answers++;
    }
    if (why) {
        char *what = source_format(source, t->s->server);

        complain(t->s, lb_xasprintf("%s: %s", what, why));
        free(what);
    }
    free(why);
}

static void
set_reading(struct answer *answer, enum metric m, bool is_rate, double value)
{
    answer->readings[m] = (struct reading) {
        .known = !isnan(value),
        .is_rate = is_rate,
        .value = value,
        .scale = 1,
    };
}

static void
add_switch(struct taking *t)
{
    const struct refresh_switch *from = &t->s->round->from_switch;
    struct answer answer = { .error = NULL };

    if (from->known) {
        set_reading(&answer, METRIC_QPS, true, from->qps_counter);
        set_reading(&answer, METRIC_PACKETS, true, from->packets_counter);
        set_reading(&answer, METRIC_BYTES, true, from->bytes_counter);
        set_reading(&answer, METRIC_CONNECTIONS, false, from->connections);
        answer_merge(&t->answer, &answer);
        t->n_answers++;
    }
}

/* Gathers what all sources say. */
static void
gather(struct taking *t)
{
    const struct weights *weights = t->work->weights;
    size_t question = t->s->round->first;

    for (size_t i = 0; i < weights->n_sources; i++) {
        const struct source *source = &weights->sources[i];

        if (source->kind == SOURCE_SWITCH) {
            add_switch(t);
        } else {
            add_answer(t, source, metrics_answer(t->work->round->batch,
                                                 question++));
        }
    }
}

/* How fast a counter grows.  False if that is not known yet. */
static bool
find_rate(const struct taking *t, enum metric m, double counter, double *rate)
{
    const double *common = t->work->weights->common;
    double old = t->s->old ? t->s->old->counters[m] : NAN;
    double seconds = t->work->since_last;

    if (isnan(old) || isnan(seconds) || seconds < MIN_INTERVAL
        || seconds > MAX_COUNTER_AGE * common[WEIGHT_INTERVAL]) {
        return false;
    }
    if (counter < old) {
        complain(t->s, lb_xasprintf("the counter of %s began anew",
                                    metrics[m].name));
        return false;
    }
    *rate = (counter - old) / seconds;
    return true;
}

/* The value of one metric, NAN if it is not known. */
static double
take_metric(struct taking *t, enum metric m)
{
    const struct reading *reading = &t->answer.readings[m];
    double value = reading->value;

    if (!reading->known) {
        return NAN;
    }
    if (reading->is_rate) {
        if (!isfinite(value) || value < 0) {
            complain(t->s, lb_xasprintf("the counter of %s is %g",
                                        metrics[m].name, value));
            return NAN;
        }
        t->r->counters[m] = value;
        if (!find_rate(t, m, value, &value)) {
            t->waits[m] = true;
            return NAN;
        }
    }
    value = reading->offset + reading->scale * value;
    /* Counters of CPU time are coarse: a bit less than nothing is nothing. */
    if (reading->is_rate && value < 0 && value > -0.1) {
        value = 0;
    }
    if (!isfinite(value) || value < 0 || value > metrics[m].max) {
        complain(t->s, lb_xasprintf("%s is %g, which is no measurement",
                                    metrics[m].name, value));
        return NAN;
    }
    return value;
}

/* The part of the way to a new sample that is gone.  Rounds in which nothing
 * had to be remembered leave no trace: more than one interval is one. */
static double
find_alpha(const struct work *work)
{
    const double *common = work->weights->common;
    double intervals = work->since_last / common[WEIGHT_INTERVAL];

    if (common[WEIGHT_SMOOTHING] <= 0) {
        return 1;
    }
    if (!(intervals > 0) || intervals > 1) {
        intervals = 1;
    }
    return 1 - exp(-intervals / common[WEIGHT_SMOOTHING]);
}

static void
smooth(struct taking *t)
{
    double alpha = find_alpha(t->work);

    for (enum metric m = 0; m < N_METRICS; m++) {
        double sample, old = t->s->old ? t->s->old->values[m] : NAN;

        t->r->counters[m] = NAN;
        sample = take_metric(t, m);
        t->s->report->sample[m] = sample;
        t->r->values[m] = (isnan(sample) || isnan(old) ? sample
                           : old + alpha * (sample - old));
    }
}

/* What an agent says goes at once, and stays until it says something else. */
static void
take_agent(struct taking *t)
{
    double percent = t->answer.percent * REFRESHED_WHOLE;

    if (t->answer.has_percent) {
        t->r->percent = (percent > REFRESHED_MAX ? REFRESHED_MAX
                         : (uint16_t) lround(percent));
    }
    if (t->answer.state != AGENT_UNSAID) {
        t->r->agent = t->answer.state;
    }
}

/* Whether the policy could go by what is known, were it the next round. */
static bool
will_do(const struct taking *t)
{
    const struct weights *weights = t->work->weights;
    double values[N_METRICS];

    memcpy(values, t->r->values, sizeof values);
    for (size_t m = 0; m < N_METRICS; m++) {
        if (t->waits[m]) {
            values[m] = 0;
        }
    }
    return weights->policy->usable(values, weights->params);
}

static enum sample_status
judge(struct taking *t)
{
    const struct weights *weights = t->work->weights;
    const struct weight_policy *policy = weights->policy;

    if (!policy->usable) {
        return (t->n_answers || !weights->n_sources ? SAMPLE_OK
                : SAMPLE_MISSING);
    }
    if (policy->usable(t->r->values, weights->params)) {
        return SAMPLE_OK;
    } else if (will_do(t)) {
        return SAMPLE_WAITS;
    }
    complain(t->s, lb_xasprintf("nobody says %s of it", policy->needs));
    return SAMPLE_MISSING;
}

void
work_take_sample(struct work *work, size_t i)
{
    struct taking t = {
        .work = work,
        .s = &work->servers[i],
        .r = refreshed_get(work->servers[i].server)
    };

    gather(&t);
    smooth(&t);
    take_agent(&t);
    t.s->status = judge(&t);
    memcpy(t.s->report->smoothed, t.r->values, sizeof t.r->values);
    if (t.s->status == SAMPLE_MISSING) {
        /* What it was stays for when it is back; counters would be compared
         * over a time that nobody knows any more. */
        for (size_t m = 0; m < N_METRICS; m++) {
            t.r->values[m] = t.s->old ? t.s->old->values[m] : NAN;
            t.r->counters[m] = NAN;
        }
    } else {
        t.r->missed = 0;
    }
    answer_uninit(&t.answer);
}
