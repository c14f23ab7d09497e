/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/target.h"

#include <stdlib.h>
#include <string.h>

#include "lib/address.h"

/* Whether 's' is nothing, or ":PORT". */
static bool
is_port(const char *s)
{
    size_t n = *s == ':' ? strspn(s + 1, "0123456789") : 0;

    return !*s || (n && n <= 5 && !s[1 + n] && atoi(s + 1) >= 1
                   && atoi(s + 1) <= UINT16_MAX);
}

/* Whether 's' is "IP[:PORT]", with brackets around IPv6, which may have a
 * zone. */
static bool
is_endpoint(const char *s)
{
    bool is_v6 = *s == '[';
    size_t end = strcspn(s, is_v6 ? "]" : ":");
    size_t n = is_v6 ? strcspn(s + 1, "%]") : end;
    char text[IP_STRLEN];
    struct ip ip;

    if (n >= sizeof text || (is_v6 && !s[end])) {
        return false;
    }
    memcpy(text, s + is_v6, n);
    text[n] = '\0';
    return (ip_from_string(text, &ip) && ip_is_v4(&ip) == !is_v6
            && is_port(s + end + is_v6));
}

bool
target_is_valid(const char *s)
{
    if (!strncmp(s, "unix:", 5)) {
        return s[5];
    } else if (!strncmp(s, "tcp:", 4) || !strncmp(s, "ssl:", 4)) {
        return is_endpoint(s + 4);
    }
    return *s && !strchr(s, ':');
}
