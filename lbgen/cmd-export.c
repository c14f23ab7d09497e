/* SPDX-License-Identifier: Apache-2.0 */
#include <config.h>

#include <stdio.h>
#include <stdlib.h>

#include "lbgen/load.h"
#include "lib/compile.h"
#include "lib/oftext.h"

static void
print_group(const struct of_group *group, const struct ports *ports)
{
    struct oftext_group text;

    oftext_group_init(&text, group, ports);
    printf("group add %s", text.head);
    for (size_t i = 0; i < text.n_buckets; i++) {
        putchar(',');
        fputs(text.buckets[i], stdout);
    }
    putchar('\n');
    oftext_group_uninit(&text);
}

static void
print_flow(const struct of_flow *flow, const struct ports *ports)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    oftext_flow(flow, ports, &s);
    printf("flow add %s\n", ds_cstr(&s));
    ds_destroy(&s);
}

static void
print_state(const struct ofstate *state, const struct ports *ports)
{
    struct of_group **groups = ofstate_sorted_groups(state);
    struct of_flow **flows = ofstate_sorted_flows(state);

    for (size_t i = 0; groups[i]; i++) {
        print_group(groups[i], ports);
    }
    for (size_t i = 0; flows[i]; i++) {
        print_flow(flows[i], ports);
    }
    free(groups);
    free(flows);
}

/* lbgen export: what apply would make of an empty bridge, as text for
 * "ovs-ofctl -O OpenFlow15 bundle BRIDGE -". */
int
cmd_export(const struct command_context *context)
{
    static const struct assignments nothing;
    struct document *document;
    struct model *model = load_model(context, context->args[0], &document);
    struct assignments assignments;
    struct ofstate desired;
    struct ports ports;
    int status = STATUS_FAILED;

    if (!model) {
        return STATUS_FAILED;
    }
    ofstate_init(&desired);
    ports_init(&ports);
    ports_invent(&ports, model);
    assignments_compute(model, &nothing, &assignments);
    if (compile(model, &assignments, &ports, NULL, &desired,
                context->diags)) {
        print_state(&desired, &ports);
        status = STATUS_OK;
    }
    assignments_uninit(&assignments);
    ports_uninit(&ports);
    ofstate_uninit(&desired);
    model_destroy(model);
    document_destroy(document);
    return status;
}
