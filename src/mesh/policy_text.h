/* The rules of a policy as one line for people: what an operator reads to know what is enforced.
 * Pure; any thread. */
#ifndef MESH_POLICY_TEXT_H
#define MESH_POLICY_TEXT_H

#include "mesh/policy.h"

enum { MESH_POLICY_TEXT_MAX = 1024 }; /* with the null; a longer line ends in " ..." */

/* "principal demo/ns/a/sa/b and port 80|8080; or source 10.0.0.0/8", as contract.md of src/admin
 * says it. `and` binds before `or`. A value that is not made of the usual characters stands in
 * quotes, other bytes than printable ASCII as \x1b, so that nothing in it can be taken for the
 * grammar or reach a terminal. Returns `text`. */
const char *mesh_policy_format(const struct mesh_policy *policy, char text[MESH_POLICY_TEXT_MAX]);

#endif
