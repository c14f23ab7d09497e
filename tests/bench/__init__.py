# SPDX-License-Identifier: Apache-2.0
"""What lbgen costs, beside what else there is.

"./dev bench" or "make bench" run this in tests/sandbox.  docs/benchmarks.md
says what is measured, how, and what came out.
"""
