/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LB_MODEL_INTERNAL_H
#define LB_MODEL_INTERNAL_H 1

/* What the parts of the model share
 * ================================= */

#include "lib/fields.h"
#include "lib/model.h"

/* The words of the file. */
extern const struct word protocol_words[];
extern const struct word connections_words[];
extern const struct word server_state_words[];
extern const struct word fallback_words[];
extern const struct word on_removal_words[];
extern const struct word on_empty_words[];
extern const struct word watch_words[];
extern const struct word *const server_watch_words;
extern const struct word guard_words[];
extern const struct word flag_words[];
extern const struct word on_down_words[];
extern const struct word reply_to_words[];
extern const struct word check_type_words[];
extern const struct word check_from_words[];

/* The word for 'value', NULL if there is none. */
const char *word_name(const struct word *, int value);

/* More keys than any kind of mapping has. */
#define MAX_KEYS 64

/* Values that more than one kind of mapping has.  As value_*() in fields.h. */
bool value_u16(const struct reader *, const struct node *, long min, long max,
               uint16_t *value);
bool value_ip(const struct reader *, const struct node *, struct ip *);

/* One address, or a list of one of each family. */
bool value_ips(const struct reader *, const struct node *, struct ips *);
bool value_mac(const struct reader *, const struct node *, struct mac *);
bool value_flag(const struct reader *, const struct node *, bool *value);

/* "90", "90s", "5m" or "2h", at least one second. */
bool value_duration(const struct reader *, const struct node *, long max,
                    long *seconds);

/* "500ms", "2", "2s", "5m" or "2h": in milliseconds, also 'min' and 'max';
 * a plain number is seconds. */
bool value_milliseconds(const struct reader *, const struct node *,
                        uint32_t min, uint32_t max, uint32_t *value);

/* Stores a copy.  Names stand in commands and in output for programs. */
bool value_name(const struct reader *, const struct node *, char **name);

/* The "name" of the mapping 'node' as the file has it, NULL if there is
 * none. */
const char *node_get_name(const struct node *);

/* Reads the number from 0 to 'max' that 'key' of a record's mapping 'node'
 * has.  False if there is none or it is another one. */
bool node_get_number(const struct node *node, const char *key, int64_t max,
                     int64_t *value);

/* Readers of keys that lib/path.h is about: as in struct field. */
bool read_pool_reply_to(const struct reader *, const struct node *, void *);
bool read_pool_snat(const struct reader *, const struct node *, void *);
bool read_pool_proxy_arp(const struct reader *, const struct node *, void *);
bool read_pool_vlan(const struct reader *, const struct node *, void *);
bool read_server_vlan(const struct reader *, const struct node *, void *);
bool read_server_via(const struct reader *, const struct node *, void *);

/* Checks them within one pool, read from 'node'; writes those that differ from
 * their defaults, each with a comma before it. */
void path_check(const struct reader *, const struct node *,
                const struct pool *);
void path_write(const struct pool *, FILE *);
void path_write_server(const struct server *, FILE *);
void path_uninit(struct path *);

/* Writes 's' as a JSON string.  What YAML calls unprintable is escaped as
 * well. */
void model_write_string(const char *s, FILE *);

/* Writes a key whose value is text (one address or a list of them), and what
 * stands before it. */
void model_write_text(const char *before, const char *key, const char *value,
                      FILE *);
void model_write_ips(const char *before, const char *key, const struct ips *,
                     FILE *);

/* Queues errors for what "weights" and "capacity" of a pool cannot do. */
void pool_check_weights(const struct reader *, const struct node *,
                        const struct pool *);

/* Reads "affinity:" of a pool; then what must fit with the policy is
 * checked. */
bool read_pool_affinity(const struct reader *, const struct node *,
                        void *pool);
void pool_check_selection(const struct reader *, const struct node *,
                          const struct pool *);
void affinity_write(const struct affinity *, FILE *);

/* Reads what can be read, queues errors for the rest.  Values that cannot be
 * read stay zero or NULL.  server_read() needs a server of zeros and names
 * what it is part of by 'parent'. */
void server_read(const struct reader *parent, const struct node *,
                 struct server *);
/* Reads the list of a pool's servers, and of sets of them, into 'pool'. */
bool servers_read(const struct reader *, const struct node *, struct pool *);

struct pool *pool_read_partly(const struct node *, struct diags *);

/* Checks what concerns more than one value.  'pools_node' is the list that the
 * model was read from, 'pool_node' the mapping.  Values that could not be read
 * are zero or NULL, and are not looked at. */
void model_check(const struct model *, const struct node *pools_node,
                 struct diags *);
void pool_check(const struct pool *, struct diags *);

/* Warns of servers that others wait for the death of, unnoticed. */
void pool_warn_of_deaths(const struct pool *, struct diags *);

/* Reads the value of "fragments"; checks that it has a meaning; warns of
 * datagrams that are lost without it. */
bool pool_fragments_read(const struct reader *, const struct node *,
                         void *pool);
void pool_fragments_check(const struct reader *, const struct node *pool_node,
                          const struct pool *);
void model_warn_of_fragments(const struct model *, const struct pool *,
                             struct diags *);

/* Read the values of "port" and "ports", of which a pool has one. */
bool pool_port_read(const struct reader *, const struct node *, void *pool);
bool pool_ports_read(const struct reader *, const struct node *, void *pool);

/* Checks that servers have a port of their own only where one port of the pool
 * leads there, and that ports and protocol go together. */
void pool_ports_check(const struct reader *, const struct node *pool_node,
                      const struct pool *);

/* False if the ports in 'pool_node' could not be read: no ports then does not
 * mean every port. */
bool pool_ports_are_read(const struct pool *, const struct node *pool_node);

/* The part of model_check() that says which packets are whose. */
void model_check_claims(const struct model *, const struct node *pools_node,
                        struct diags *diags);

/* Warns if there are too many servers for lib/compile-copies.c. */
void pool_warn_of_copies(const struct pool *, struct diags *);

/* The part of model_check() that says whose ways are at odds. */
void model_check_paths(const struct model *, const struct node *pools_node,
                       struct diags *diags);

/* The place of the value of 'key' in 'node', or of 'node'. */
const struct source_loc *node_locate(const struct node *node,
                                     const char *key);

/* Warns of what is right but hardly meant.  'pool' must be without errors. */
void pool_check_shares(const struct pool *, struct diags *);

/* "pool \"web\"", or "pool" for one without a name. */
#define OWNER_SIZE (DIAG_QUOTE_SIZE + 16)
const char *owner_format(const char *what, const char *name,
                         char buf[OWNER_SIZE]);

/* "pool \"web\": check", for what is read within 'parent'. */
#define PART_SIZE (OWNER_SIZE + 16)
const char *part_format(const struct reader *parent, const char *part,
                        char buf[PART_SIZE]);

#endif /* lib/model-internal.h */
