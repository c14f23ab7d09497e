# SPDX-License-Identifier: Apache-2.0
"""What lib/slots.h promises, written a second time and another way.

The C code lets slots ask servers (deferred acceptance).  This model instead
sorts all pairs of a server and a slot by cost and takes one after the other,
which must come to the same table.  Shares are exact fractions here, integers
there.

Slow and plain on purpose; test_slots.py compares the two.
"""

from fractions import Fraction

MASK = 2 ** 64 - 1
NONE = -1


def finalise(x):
    """The finaliser of splitmix64."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def hash_string(s):
    """FNV-1a, finalised."""
    h = 0xCBF29CE484222325
    for byte in s.encode():
        h = (h ^ byte) * 0x100000001B3 & MASK
    return finalise(h)


def hash_mix(h, x):
    """Element x of the sequence that splitmix64 draws from the seed h."""
    return finalise(h + 0x9E3779B97F4A7C15 * (x + 1) & MASK)


def name_key(name):
    """The order of servers that does not depend on the file's."""
    return hash_string(name), name.encode()


def minus_log2(u):
    """-log2(u / 2**64) in units of 2**-32: eight bits of the fraction by
    squaring a number of 32 bits, the rest linear."""
    u |= 1
    exponent = u.bit_length() - 1
    m = (u << 31) >> exponent           # In [1, 2), 31 fractional bits.
    eighth = 0
    for _ in range(8):
        m = m * m >> 31
        eighth *= 2
        if m >= 2 ** 32:
            eighth += 1
            m >>= 1
    rest = m - 2 ** 31                  # In [0, 1), 31 fractional bits.
    log2 = exponent * 2 ** 39 + eighth * 2 ** 31 + rest     # 39 of them.
    fraction = log2 % 2 ** 39 // 2 ** 7
    return (64 - exponent) * 2 ** 32 - fraction


def cost(name, slot, quota):
    return minus_log2(hash_mix(hash_string(name), slot)) * (2 ** 24 // quota)


def owners(installed):
    count = {}
    for server in installed or []:
        count[server] = count.get(server, 0) + 1
    return count


def apportion(servers, installed, n_slots):
    """servers: list of (name, share).  Returns the list of quotas."""
    owned = owners(installed)
    claims = [i for i, (_, share) in enumerate(servers) if share]
    quotas = [0] * len(servers)
    if len(claims) > n_slots:
        claims.sort(key=lambda i: (-servers[i][1], owned.get(i, 0) == 0,
                                   name_key(servers[i][0])))
        for i in claims[:n_slots]:
            quotas[i] = 1
        return quotas
    if not claims:
        return quotas

    total = sum(share for _, share in servers)
    exact = {i: Fraction(servers[i][1] * n_slots, total) for i in claims}
    for i in claims:
        quotas[i] = int(exact[i])
    left = n_slots - sum(quotas)
    first = sorted(claims, key=lambda i: (quotas[i] - exact[i],
                                          owned.get(i, 0) <= quotas[i],
                                          name_key(servers[i][0])))
    for i in first[:left]:
        quotas[i] += 1

    while any(not quotas[i] for i in claims):
        giver = min((i for i in claims if quotas[i] > 1),
                    key=lambda i: (exact[i] - quotas[i],
                                   owned.get(i, 0) >= quotas[i],
                                   name_key(servers[i][0])))
        quotas[giver] -= 1
        quotas[next(i for i in claims if not quotas[i])] = 1
    return quotas


def apportion_sets(servers, sets, installed, n_slots):
    """servers: list of (name, share, set); sets: list of (name, share,
    parent), counted from 1, each after its parent.  Returns the list of
    quotas.  Recursive, with a fraction of the table for each level."""
    owned = owners(installed)
    quotas = [0] * len(servers)

    def servers_in(number):
        """All live ones, at whatever depth."""
        below = [i for i, (_, share, parent) in enumerate(servers)
                 if parent == number and share]
        for child, (_, share, parent) in enumerate(sets, 1):
            if parent == number and share:
                below += servers_in(child)
        return below

    def children(number):
        """(is a set, index, name, share, slots owned)"""
        for i, (name, share, parent) in enumerate(servers):
            if parent == number and share:
                yield False, i, name, share, owned.get(i, 0)
        for child, (name, share, parent) in enumerate(sets, 1):
            live = servers_in(child)
            if parent == number and share and live:
                yield (True, child, name, share,
                       sum(owned.get(i, 0) for i in live))

    exact = {}

    def divide(number, asked, quota):
        below = list(children(number))
        total = sum(share for _, _, _, share, _ in below)
        asks = [asked * share / total for _, _, _, share, _ in below]
        gets = [int(ask) for ask in asks]
        order = sorted(range(len(below)), key=lambda k: (
            gets[k] - asks[k], below[k][4] <= gets[k], name_key(below[k][2])))
        for k in order[:quota - sum(gets)]:
            gets[k] += 1
        for k, (is_set, index, _, _, _) in enumerate(below):
            if is_set:
                divide(index, asks[k], gets[k])
            else:
                quotas[index] = gets[k]
                exact[index] = asks[k]

    claims = servers_in(0)
    if claims:
        divide(0, Fraction(n_slots), n_slots)
    while any(not quotas[i] for i in claims):
        giver = min((i for i in claims if quotas[i] > 1),
                    key=lambda i: (exact[i] - quotas[i],
                                   owned.get(i, 0) >= quotas[i],
                                   name_key(servers[i][0])))
        quotas[giver] -= 1
        quotas[next(i for i in sorted(claims) if not quotas[i])] = 1
    return quotas


def assign(servers, quotas, installed, n_slots):
    """Returns the list of servers' indexes, one per slot."""
    room = list(quotas)
    slots = [NONE] * n_slots

    def pairs(possible):
        """Pairs (server, slot), the cheapest first."""
        return sorted(possible, key=lambda p: (
            cost(servers[p[0]][0], p[1], quotas[p[0]]), p[1],
            name_key(servers[p[0]][0])))

    def take(possible):
        for server, slot in pairs(possible):
            if room[server] and slots[slot] == NONE:
                slots[slot] = server
                room[server] -= 1

    if installed:
        take((server, slot) for slot, server in enumerate(installed)
             if server != NONE and quotas[server])
    free = [slot for slot in range(n_slots) if slots[slot] == NONE]
    take((server, slot) for server in range(len(servers)) if room[server]
         for slot in free)
    return slots
