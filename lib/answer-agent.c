/* SPDX-License-Identifier: Apache-2.0 */

/* HAProxy's agent-check
 * =====================
 *
 * One line of words, split by spaces, tabs and commas: "75%", "weight:75%",
 * "up", "ready", "drain", "maint", "down", "fail", "stopped", each perhaps
 * followed by "#" and a reason.  "maxconn:N" is understood and of no use
 * here.  See "agent-check" in HAProxy's configuration manual. */

#include <config.h>

#include "lib/answer.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_LINE 1024

static const struct {
    const char *name;
    enum agent_state state;
} words[] = {
    { "up", AGENT_UP },
    { "ready", AGENT_UP },
    { "drain", AGENT_DRAIN },
    { "maint", AGENT_DRAIN },
    { "down", AGENT_DRAIN },
    { "fail", AGENT_DRAIN },
    { "failed", AGENT_DRAIN },
    { "stopped", AGENT_DRAIN },
};

/* "75%", or a weight out of 256 as HAProxy has it, of which 100 is usual. */
static bool
parse_percent(const char *word, struct answer *answer)
{
    size_t n;
    bool is_weight = !strncasecmp(word, "weight:", 7);

    word += is_weight ? 7 : 0;
    n = strspn(word, "0123456789");
    if (!n || n > 5 || (strcmp(word + n, "%") && (word[n] || !is_weight))) {
        return false;
    }
    answer->has_percent = true;
    answer->percent = strtoul(word, NULL, 10) / 100.0;
    return true;
}

static bool
parse_word(const char *word, struct answer *answer)
{
    if (!strncasecmp(word, "maxconn:", 8)) {
        return true;
    }
    for (size_t i = 0; i < LB_ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i].name);

        if (!strncasecmp(word, words[i].name, n)
            && (!word[n] || word[n] == '#')) {
            /* What takes a server out wins: "up" among others only says that
             * health is good. */
            if (answer->state != AGENT_DRAIN) {
                answer->state = words[i].state;
            }
            return true;
        }
    }
    return parse_percent(word, answer);
}

bool
answer_parse_agent(const char *text, struct answer *answer)
{
    size_t length = strcspn(text, "\r\n");
    char line[MAX_LINE], *next = line;
    struct answer parsed = *answer;
    bool any = false;

    if (length >= sizeof line) {
        return false;
    }
    memcpy(line, text, length);
    line[length] = '\0';
    for (char *word; (word = strsep(&next, " \t,")); ) {
        if (!*word) {
            continue;
        }
        if (*word == '#') {
            break;
        }
        if (!parse_word(word, &parsed)) {
            return false;
        }
        any = true;
        if (strchr(word, '#')) {
            break;              /* The reason may have spaces in it. */
        }
    }
    if (any) {
        *answer = parsed;
    }
    return any;
}
