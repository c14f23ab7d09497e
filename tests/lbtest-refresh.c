/* SPDX-License-Identifier: Apache-2.0 */

/* Weight policies, answers and rounds of refresh, for test_weight_policies.py,
 * test_answers.py and test_refresh.py. */

#include <config.h>

#include "tests/lbtest.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/document.h"
#include "lib/metrics.h"
#include "lib/override.h"
#include "lib/record.h"
#include "lib/refresh.h"
#include "lib/refreshed.h"

static void
print_params(const struct weight_param *params, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        printf(" %s=%.15g..%.15g:%.15g", params[i].name, params[i].min,
               params[i].max, params[i].value);
    }
    putchar('\n');
}

/* Prints one line for each weight policy: its name and its parameters as
 * NAME=MIN..MAX:DEFAULT.  The last is "common" and those of all. */
int
lbtest_weight_policies(int argc LB_UNUSED, char *argv[] LB_UNUSED)
{
    for (const struct weight_policy *const *p = weight_policies; *p; p++) {
        fputs((*p)->name, stdout);
        print_params((*p)->params, (*p)->n_params);
    }
    fputs("common", stdout);
    print_params(weight_common, WEIGHT_N_COMMON);
    return 0;
}

/* Sets what "KEY=VALUE" says, of the server if it is not a parameter. */
static void
set_value(const struct weight_policy *policy, const char *text,
          double *params, struct weight_server *server)
{
    const char *equals = strchr(text, '=');
    char *key = lb_xmemdup0(text, equals - text);
    double value = strtod(equals + 1, NULL);
    enum metric m = metric_find(key);

    for (size_t i = 0; !server && i < policy->n_params; i++) {
        if (!strcmp(policy->params[i].name, key)) {
            params[i] = value;
        }
    }
    if (server && (!strcmp(key, "set") || !strcmp(key, "tier"))) {
        *(*key == 's' ? &server->set : &server->tier) = (size_t) value;
    } else if (server && m < N_METRICS) {
        server->values[m] = value;
    } else if (server) {
        double *member = (!strcmp(key, "weight") ? &server->weight
                          : !strcmp(key, "capacity") ? &server->capacity
                          : !strcmp(key, "current") ? &server->current
                          : &server->age);

        *member = value;
    }
    free(key);
}

/* weight POLICY [PARAM=VALUE]... [-- [KEY=VALUE]...]...: asks the policy about
 * one server for each "--", and prints what it wants for each, "-" for those
 * that are not usable; or what is wrong with the parameters. */
int
lbtest_weight(int argc, char *argv[])
{
    const struct weight_policy *policy = weight_policy_find(argv[1]);
    struct weight_server *servers = lb_xcalloc(argc, sizeof *servers);
    double *wanted = lb_xcalloc(argc, sizeof *wanted);
    double params[WEIGHT_MAX_PARAMS];
    const char *flaw;
    size_t n = 0;

    for (size_t i = 0; i < policy->n_params; i++) {
        params[i] = policy->params[i].value;
    }
    for (int i = 2; i < argc; i++) {
        if (!strcmp(argv[i], "--")) {
            servers[n] = (struct weight_server) {
                .name = "s", .weight = 1, .capacity = 1, .current = 1,
                .age = INFINITY
            };
            for (size_t m = 0; m < N_METRICS; m++) {
                servers[n].values[m] = NAN;
            }
            n++;
        } else {
            set_value(policy, argv[i], params, n ? &servers[n - 1] : NULL);
        }
    }
    flaw = policy->check ? policy->check(params) : NULL;
    for (size_t i = 0; i < n; i++) {
        servers[i].usable = (!policy->usable
                             || policy->usable(servers[i].values, params));
    }
    if (flaw) {
        puts(flaw);
    } else {
        policy->compute(servers, n, params, wanted);
    }
    for (size_t i = 0; !flaw && i < n; i++) {
        printf(servers[i].usable ? "%.12g\n" : "-\n", wanted[i]);
    }
    free(wanted);
    free(servers);
    return 0;
}

/* slow-start AGE WINDOW AGGRESSION */
int
lbtest_slow_start(int argc LB_UNUSED, char *argv[])
{
    printf("%.12g\n", weight_slow_start(atof(argv[1]), atof(argv[2]),
                                        atof(argv[3])));
    return 0;
}

static struct model *
read_model(const char *name, struct document **document)
{
    struct diags *diags = diags_create();
    struct model *model = NULL;

    *document = document_read_file(name, diags);
    if (*document) {
        model = model_read(*document, diags);
    }
    diags_flush(diags, stderr);
    diags_destroy(diags);
    return model;
}

static void
print_answer(const struct answer *answer)
{
    if (answer->error) {
        printf("error %s\n", answer->error);
    }
    for (size_t m = 0; m < N_METRICS; m++) {
        const struct reading *r = &answer->readings[m];

        if (r->known) {
            printf("%s%s %.10g + %.10g * %.10g\n", r->is_rate ? "rate " : "",
                   metrics[m].name, r->offset, r->scale, r->value);
        }
    }
    if (answer->has_percent) {
        printf("percent %g\n", answer->percent);
    }
    if (answer->state != AGENT_UNSAID) {
        puts(answer->state == AGENT_UP ? "up" : "drain");
    }
    if (answer->time > 0) {
        printf("time %.3f\n", answer->time);
    }
}

/* answer FILE: reads standard input as an answer to the first source of the
 * first pool of FILE, and prints it. */
int
lbtest_answer(int argc LB_UNUSED, char *argv[])
{
    static char text[METRICS_MAX_ANSWER];
    size_t size = fread(text, 1, sizeof text, stdin);
    struct document *document;
    struct model *model = read_model(argv[1], &document);
    struct answer answer = { .error = NULL };

    if (!model) {
        document_destroy(document);
        return EXIT_FAILURE;
    }
    answer_parse(&model->pools[0]->weights.sources[0], text, size, &answer);
    print_answer(&answer);
    answer_uninit(&answer);
    model_destroy(model);
    document_destroy(document);
    return 0;
}

/* poll FILE: asks all sources of all pools of FILE about all servers, and
 * prints the answers. */
int
lbtest_poll(int argc LB_UNUSED, char *argv[])
{
    struct document *document;
    struct model *model = read_model(argv[1], &document);
    struct refresh_round *round;
    struct metrics_batch *batch;
    size_t n = 0;

    if (!model) {
        document_destroy(document);
        return EXIT_FAILURE;
    }
    metrics_init();
    round = refresh_create(model, model);
    batch = refresh_batch(round);
    metrics_finish(batch);
    for (size_t i = 0; i < model->n_pools; i++) {
        const struct pool *pool = model->pools[i];

        for (size_t j = 0; j < pool->n_servers; j++) {
            for (size_t k = 0; k < pool->weights.n_sources; k++) {
                printf("%s/%s %zu\n", pool->name, pool->servers[j].name, k);
                print_answer(metrics_answer(batch, n++));
            }
        }
    }
    refresh_destroy(round);
    metrics_exit();
    model_destroy(model);
    document_destroy(document);
    return 0;
}

/* What is "installed" in a simulation: one pool. */
struct simulation {
    const struct model *file;
    struct record installed;
};

static void
print_report(const struct refresh_report *report)
{
    const struct refresh_pool *pool = &report->pools[0];

    printf("%d %d %d\n", pool->weights_changed, pool->state_changed,
           pool->frozen);
    for (size_t i = 0; i < pool->n_servers; i++) {
        const struct refresh_server *s = &pool->servers[i];

        printf("%s %.6g %.6g %zu %zu %d|%s|%s\n", s->name, s->old_weight,
               s->weight, s->old_slots, s->slots, s->missing,
               refresh_why_name(s->why), s->complaint ? s->complaint : "");
    }
    puts(".");
    fflush(stdout);
}

/* Makes what 'model' says the installed pool, by way of a record. */
static void
install(struct simulation *sim, const struct model *model)
{
    struct assignments old = { .pools = NULL }, new;
    char *text;

    if (sim->installed.pool) {
        old = (struct assignments) { &sim->installed.assignment, 1 };
    }
    assignments_compute(model, &old, &new);
    text = record_format(&new.pools[0]);
    assignments_uninit(&new);
    if (sim->installed.pool) {
        record_uninit(&sim->installed);
    }
    if (record_parse(text, strlen(text), &sim->installed) != RECORD_OK) {
        abort();
    }
    free(text);
}

static void
simulate_round(struct simulation *sim, double now)
{
    struct assignments installed = { &sim->installed.assignment, 1 };
    struct diags *diags = diags_create();
    struct record copy;
    struct pool *pools[1];
    struct model model = { .pools = pools, .n_pools = 1 };
    struct refresh_report report;
    struct refresh_round *round;

    if (!record_copy(&sim->installed, &copy)) {
        abort();
    }
    pools[0] = copy.pool;
    round = refresh_create(sim->file, &model);
    metrics_finish(refresh_batch(round));
    refresh_compute(round, &model, &installed, now, &report, diags);
    install(sim, &model);
    diags_flush(diags, stderr);
    diags_destroy(diags);
    print_report(&report);
    refresh_report_uninit(&report);
    refresh_destroy(round);
    record_uninit(&copy);
}

/* "SERVER drain|maint", "SERVER ready NOW" and "SERVER weight N" as the
 * commands of that name would do it. */
static void
simulate_override(struct simulation *sim, const char *name, const char *what,
                  long number)
{
    struct pool *pool = sim->installed.pool;
    struct server *server = &pool->servers[pool_find_server(pool, name)];
    bool was_ready = server_effective_state(server) == SERVER_READY;
    struct pool *pools[1] = { pool };
    struct model model = { .pools = pools, .n_pools = 1 };
    struct record copy;

    if (!strcmp(what, "weight")) {
        override_set_weight(server, (uint16_t) number, false, 1);
    } else if (!strcmp(what, "ready")) {
        override_make_ready(server, 1);
        if (!was_ready) {
            refreshed_came_back(pool, server, number);
        }
    } else {
        override_set_state(server, SERVER_DRAIN, 1);
    }
    if (!record_copy(&sim->installed, &copy)) {
        abort();
    }
    pools[0] = copy.pool;
    install(sim, &model);
    record_uninit(&copy);
}

/* refresh FILE: rounds for the one pool of FILE without a switch and without a
 * clock.  Standard input has lines "round NOW", each answered by a report that
 * ends with ".", and "SERVER drain|ready NOW|weight N". */
int
lbtest_refresh(int argc LB_UNUSED, char *argv[])
{
    struct document *document;
    struct model *model = read_model(argv[1], &document);
    struct simulation sim = { .file = model };
    char line[256], name[100], what[100];
    double number;

    if (!model) {
        document_destroy(document);
        return EXIT_FAILURE;
    }
    metrics_init();
    install(&sim, model);
    while (fgets(line, sizeof line, stdin)) {
        int n = sscanf(line, "%99s %99s %lf", name, what, &number);

        if (n >= 2 && !strcmp(name, "round")) {
            simulate_round(&sim, strtod(what, NULL));
        } else if (n >= 2) {
            simulate_override(&sim, name, what, n == 3 ? (long) number : 0);
        }
    }
    record_uninit(&sim.installed);
    metrics_exit();
    model_destroy(model);
    document_destroy(document);
    return 0;
}
