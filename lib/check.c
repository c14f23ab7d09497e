/* SPDX-License-Identifier: Apache-2.0 */

#include "lib/check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "lib/model-internal.h"

const struct word check_type_words[] = {
    { "tcp", CHECK_TCP },
    { "http", CHECK_HTTP },
    { "https", CHECK_HTTPS },
    { "exec", CHECK_EXEC },
    { "icmp", CHECK_ICMP },
    { "arp", CHECK_ARP },
    { "nd", CHECK_ND },
    { "none", CHECK_NONE },
    { NULL, 0 }
};

const struct word check_from_words[] = {
    { "host", CHECK_FROM_HOST },
    { "switch", CHECK_FROM_SWITCH },
    { NULL, 0 }
};

const char *
check_type_name(enum check_type type)
{
    return word_name(check_type_words, type);
}

void
check_destroy(struct check *check)
{
    if (check) {
        free(check->method);
        free(check->path);
        free(check->host);
        free(check->body);
        free(check->ca);
        for (size_t i = 0; i < check->n_command; i++) {
            free(check->command[i]);
        }
        free(check->command);
        free(check);
    }
}

static bool
same_text(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

static bool
same_command(const struct check *a, const struct check *b)
{
    for (size_t i = 0; i < a->n_command && i < b->n_command; i++) {
        if (strcmp(a->command[i], b->command[i])) {
            return false;
        }
    }
    return a->n_command == b->n_command;
}

bool
check_equal(const struct check *a, const struct check *b)
{
    return (a->type == b->type && a->from == b->from
            && a->interval == b->interval
            && a->fast_interval == b->fast_interval
            && a->timeout == b->timeout
            && a->port == b->port && a->has_address == b->has_address
            && (!a->has_address || ip_equal(&a->address, &b->address))
            && a->has_source == b->has_source
            && (!a->has_source || ip_equal(&a->source, &b->source))
            && same_text(a->method, b->method) && same_text(a->path, b->path)
            && same_text(a->host, b->host) && same_text(a->body, b->body)
            && a->status_min == b->status_min
            && a->status_max == b->status_max && a->verify == b->verify
            && same_text(a->ca, b->ca) && same_command(a, b));
}

static void
write_optional(const char *key, const char *text, FILE *stream)
{
    if (text) {
        fprintf(stream, ",\"%s\":", key);
        model_write_string(text, stream);
    }
}

static void
write_command(const struct check *check, FILE *stream)
{
    fputs(",\"command\":[", stream);
    for (size_t i = 0; i < check->n_command; i++) {
        if (i) {
            putc(',', stream);
        }
        model_write_string(check->command[i], stream);
    }
    putc(']', stream);
}

/* What HTTP checks have. */
static void
write_http(const struct check *check, FILE *stream)
{
    write_optional("method", check->method, stream);
    write_optional("path", check->path, stream);
    write_optional("host", check->host, stream);
    fprintf(stream, ",\"status\":\"%"PRIu16"-%"PRIu16"\"",
            check->status_min, check->status_max);
    write_optional("body", check->body, stream);
    if (check->type == CHECK_HTTPS) {
        fprintf(stream, ",\"verify\":%s", check->verify ? "true" : "false");
        write_optional("ca", check->ca, stream);
    }
}

void
check_write(const struct check *check, FILE *stream)
{
    char ip[IP_STRLEN];

    fprintf(stream, "{\"type\":\"%s\"", check_type_name(check->type));
    if (check->type == CHECK_NONE) {
        putc('}', stream);
        return;
    }
    fprintf(stream, ",\"interval\":\"%"PRIu32"ms\",\"timeout\":\"%"PRIu32
            "ms\",\"rise\":%"PRIu16",\"fall\":%"PRIu16, check->interval,
            check->timeout, check->rise, check->fall);
    if (check->fast_interval) {
        fprintf(stream, ",\"fast_interval\":\"%"PRIu32"ms\"",
                check->fast_interval);
    }
    fprintf(stream, ",\"from\":\"%s\"", word_name(check_from_words,
                                                  check->from));
    if (check->port) {
        fprintf(stream, ",\"port\":%"PRIu16, check->port);
    }
    if (check->has_address) {
        write_optional("address", ip_format(&check->address, ip), stream);
    }
    if (check->has_source) {
        write_optional("source", ip_format(&check->source, ip), stream);
    }
    if (check->type == CHECK_HTTP || check->type == CHECK_HTTPS) {
        write_http(check, stream);
    } else if (check->type == CHECK_EXEC) {
        write_command(check, stream);
    }
    putc('}', stream);
}

const struct check *
server_check(const struct pool *pool, const struct server *server)
{
    const struct check *check = server->check ? server->check : pool->check;

    return check && check->type != CHECK_NONE ? check : NULL;
}

bool
check_has_source(const struct check *check)
{
    return check->type == CHECK_TCP || check->type == CHECK_ICMP;
}

const struct ip *
check_address(const struct check *check, const struct pool *pool,
              const struct server *server)
{
    const struct ip *ip = NULL;

    if (check->has_address) {
        return &check->address;
    } else if (check->type == CHECK_ND) {
        ip = ips_find(&server->ips, FAMILY_V6);
    } else if (pool->connections == CONNECTIONS_DIRECT
               && check->from == CHECK_FROM_SWITCH
               && check_has_source(check)) {
        ip = (check->has_source
              ? ips_find(&pool->vips, ip_family(&check->source))
              : &pool->vips.ip[0]);
    }
    return ip ? ip : &server->ips.ip[0];
}

const struct ip *
check_source(const struct check *check, const struct pool *pool,
             const struct server *server)
{
    enum family family = ip_family(check_address(check, pool, server));

    if (!check->has_source) {
        return ips_find(&pool->vips, family);
    }
    return ip_family(&check->source) == family ? &check->source : NULL;
}

struct mac
check_source_mac(const struct check *check, const struct pool *pool)
{
    return (check->has_source ? ip_derive_mac(&check->source)
            : pool->vip_mac);
}

uint16_t
check_port(const struct check *check, const struct server *server)
{
    return check->port ? check->port : server->port;
}

const char *
check_format(const struct check *check, char buf[CHECK_STRLEN])
{
    const char *type = check_type_name(check->type);
    const char *from = (check->from == CHECK_FROM_SWITCH ? " from the switch"
                        : "");

    if (check->interval % 1000) {
        snprintf(buf, CHECK_STRLEN, "%s%s every %"PRIu32"ms", type, from,
                 check->interval);
    } else {
        snprintf(buf, CHECK_STRLEN, "%s%s every %"PRIu32"s", type, from,
                 check->interval / 1000);
    }
    return buf;
}
