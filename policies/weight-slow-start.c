/* SPDX-License-Identifier: Apache-2.0 */

/* Slow start
 * ==========
 *
 * A server that comes back begins with a tenth of its weight and has all of it
 * after "slow_start" seconds, as with HAProxy and Envoy:
 *
 *     max(0.1, (age / window) ** (1 / aggression))
 *
 * which is a straight line with an aggression of 1, and more at the beginning
 * with more.  It multiplies what the weight policy wants, whichever that is;
 * hence a parameter of all of them and not one of their kind. */

#include <math.h>

#include "policies/weight.h"

#define LEAST 0.1

double
weight_slow_start(double age, double window, double aggression)
{
    if (!(window > 0) || age >= window) {
        return 1;
    }
    return fmax(LEAST, pow(fmax(age, 0) / window, 1 / aggression));
}
