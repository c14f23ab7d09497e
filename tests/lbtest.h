/* SPDX-License-Identifier: Apache-2.0 */
#ifndef LBTEST_H
#define LBTEST_H 1

/* The subcommands of lbtest, each the main() of a small program: it reads
 * arguments or standard input, calls one library and prints what that says.
 * The judging is done in Python.  To add one, declare it here and list it in
 * lbtest.c. */

/* lbtest-conntrack.c */
int lbtest_connection_parse(int argc, char *argv[]);
int lbtest_control_flush(int argc, char *argv[]);
int lbtest_refusal(int argc, char *argv[]);

/* lbtest-explain.c */
int lbtest_dpif_show(int argc, char *argv[]);
int lbtest_explain(int argc, char *argv[]);
int lbtest_ovs_hash(int argc, char *argv[]);

/* lbtest-health.c */
int lbtest_check_times(int argc, char *argv[]);
int lbtest_checker(int argc, char *argv[]);
int lbtest_health_settle(int argc, char *argv[]);
int lbtest_health_track(int argc, char *argv[]);

/* lbtest-model.c */
int lbtest_diags(int argc, char *argv[]);
int lbtest_document(int argc, char *argv[]);
int lbtest_document_json(int argc, char *argv[]);
int lbtest_edit_distance(int argc, char *argv[]);
int lbtest_ip(int argc, char *argv[]);
int lbtest_mac(int argc, char *argv[]);
int lbtest_model_write(int argc, char *argv[]);
int lbtest_nearest(int argc, char *argv[]);
int lbtest_pool_rewrite(int argc, char *argv[]);
int lbtest_settings_rewrite(int argc, char *argv[]);
int lbtest_turns(int argc, char *argv[]);

/* lbtest-policies.c */
int lbtest_policies(int argc, char *argv[]);
int lbtest_distribute(int argc, char *argv[]);

/* lbtest-refresh.c */
int lbtest_answer(int argc, char *argv[]);
int lbtest_poll(int argc, char *argv[]);
int lbtest_refresh(int argc, char *argv[]);
int lbtest_slow_start(int argc, char *argv[]);
int lbtest_weight(int argc, char *argv[]);
int lbtest_weight_policies(int argc, char *argv[]);

/* lbtest-slots.c */
int lbtest_hash(int argc, char *argv[]);
int lbtest_hash_mix(int argc, char *argv[]);
int lbtest_slots(int argc, char *argv[]);
int lbtest_slots_moved(int argc, char *argv[]);
int lbtest_slots_time(int argc, char *argv[]);

#endif /* tests/lbtest.h */
