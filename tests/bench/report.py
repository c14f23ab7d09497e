# SPDX-License-Identifier: Apache-2.0
"""How results are printed."""


def say(text=""):
    print(text, flush=True)


class Table:
    """Columns as wide as they must be: the first to the left, the others to
    the right."""

    def __init__(self, *titles):
        self.rows = [titles]

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def print(self):
        widths = [max(len(row[i]) for row in self.rows)
                  for i in range(len(self.rows[0]))]
        for row in self.rows:
            say("  " + "  ".join(
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths))).rstrip())
