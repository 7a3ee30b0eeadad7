#!/usr/bin/env python3
"""Compares request rows with what others say of the same captures.

  l7.py --corpora DIR [--only SOURCE[/PROTOCOL]] [--reasons FILE] [-v] -- COMMAND...      (COMMAND CAPTURE prints request rows as JSON lines)

Per source (l7_oracles.py, l7_zeek.py) and protocol, as multisets of keys per capture: equal (in both), richer (theirs leaves out what
ours has, and a third one finds it in the same bytes), missing (only theirs), different (pairs of what is missing and what only ours has in
one capture); what only ours has beyond that is counted for itself. FILE says why captures differ, in a table whose lines are
| source | protocol | capture | n | reason |: capture may hold wildcards, `n` is how many rows of theirs are missing or different there, exactly.
What has no line is listed, as are lines that cover another number than they say, and the exit code is 1.
"""
import argparse, collections, concurrent.futures, fnmatch, json, os, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import l7_oracles, l7_suricata, l7_zeek

def run(command, path):
    """Rows of a capture; none if it takes too long or cannot be read, which is said."""
    try: p = subprocess.run(command + [path], capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        print('timeout', path, file=sys.stderr); return []
    if p.returncode not in (0, 2): print('exit', p.returncode, path, p.stderr[-300:].decode(errors='replace'), file=sys.stderr)
    return [json.loads(l) for l in p.stdout.splitlines() if l.startswith(b'{')]

def reasons(path):
    """Lines of the table with five columns: number, patterns, n."""
    out = []
    with open(path) as f:
        for number, line in enumerate(f, 1):
            cells = [c.strip().strip('`') for c in line.strip().strip('|').split(' | ')]
            if line.startswith('| ') and len(cells) == 5 and cells[3].isdigit(): out.append((number, *cells[:3], int(cells[3])))
    return out

def said_more(theirs, ours, judge):
    """Takes pairs of which ours says more, as `judge` finds, out of both, and what it finds not to be there; returns how many there were."""
    count = 0
    for t in list(theirs):
        for o in list(ours):
            n = min(theirs[t], ours[o]) if judge(t, o) else 0
            if n > 0: theirs[t] -= n; ours[o] -= n; count += n
        if theirs[t] > 0 and judge(t, None): count += theirs[t]; theirs[t] = 0
    return count

def family(protocol):
    """The protocol that a group is about."""
    word = protocol.split(' ')[0].split('_')[0] if protocol != 'some_ip' else protocol
    return {'ssl': 'tls', 'postgre': 'postgresql', 'pgsql': 'postgresql', 'mongo': 'mongodb'}.get(word, word)

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--corpora', required=True); a.add_argument('--only', default=''); a.add_argument('--reasons'); a.add_argument('-v', action='store_true')
    a.add_argument('command', nargs='+'); o = a.parse_args()
    field = os.path.join(o.corpora, 'field')
    with tempfile.TemporaryDirectory() as work:
        sources = {'tshark': lambda: l7_oracles.tshark(field), 'deepflow': lambda: l7_oracles.deepflow(os.path.join(o.corpora, 'deepflow')),
                   'zeek': lambda: l7_zeek.cases(field), 'arkime': lambda: l7_oracles.arkime(field), 'ndpi': lambda: l7_oracles.ndpi(field),
                   'suricata': lambda: l7_suricata.cases(field), 'ipfixprobe': lambda: l7_oracles.ipfixprobe(field), 'percona': lambda: l7_oracles.percona(field), 'kindling': lambda: l7_oracles.kindling(field, work)}
        source, _, protocol = o.only.partition('/')
        cases = [(s, *case) for s, oracle in sources.items() if s.startswith(source) for case in oracle() if case[0].startswith(protocol)]
        captures = sorted({c[2] for c in cases if os.path.exists(c[2]) and os.path.getsize(c[2]) < 60e6})
        with concurrent.futures.ThreadPoolExecutor(2) as pool: rows = dict(zip(captures, pool.map(lambda p: run(o.command, p), captures)))
        known = reasons(o.reasons) if o.reasons else []
        totals, unexplained, covered = collections.defaultdict(collections.Counter), [], collections.Counter()
        for s, protocol, capture, want, ours, *judge in cases:
            if capture not in rows: continue
            have = ours(rows[capture])
            w, h, equal = want - have, have - want, sum((want & have).values())
            better = said_more(w, h, judge[0]) if judge and judge[0] else 0
            missing, more = sum(w.values()), sum(h.values())
            different = min(missing, more)
            totals[s, protocol].update(equal=equal, richer=better, different=different, missing=missing - different, more=more - different)
            if not missing: continue
            name = os.path.relpath(capture, o.corpora) if not capture.startswith(work) else os.path.basename(capture)
            line = next((k for k in known if k[1] == s and fnmatch.fnmatch(protocol, k[2]) and fnmatch.fnmatch(name, k[3])), None)
            if line: covered[line] += missing
            if line is None or o.v: unexplained.append((line, s, protocol, name, missing, w.most_common(4), h.most_common(4)))
        for (s, protocol), t in sorted(totals.items()):
            n = t['equal'] + t['richer'] + t['missing'] + t['different']
            if n: print(f"{s:10} {protocol:14} equal {t['equal']:6} richer {t['richer']:5} missing {t['missing']:5} different {t['different']:5}   {100 * (t['equal'] + t['richer']) / n:5.1f} %   only ours {t['more']}")
        sums = collections.defaultdict(collections.Counter)
        for (_, protocol), t in totals.items(): sums[family(protocol)].update(t)
        print('of all sources, per protocol:')
        for protocol, t in sorted(sums.items()):
            n, good = t['equal'] + t['richer'] + t['missing'] + t['different'], t['equal'] + t['richer']
            if n: print(f"  {protocol:12} {good:6} of {n:6} equal or richer {100 * good / n:5.1f} %")
        without = [u for u in unexplained if u[0] is None]
        print(f'{sum(covered.values())} rows differ for reasons given; {sum(u[4] for u in without)} in {len(without)} captures without')
        for u in unexplained if o.v else without[:20]:
            print('unexplained:' if u[0] is None else f'line {u[0][0]}:', *u[1:4], f'{u[4]} theirs {u[5]} ours {u[6]}')
        # A part of the captures says nothing of the lines for the rest.
        wrong = [k for k in known if covered[k] != k[4]] if not o.only else []
        for k in wrong: print(f'{o.reasons}:{k[0]}: covers {covered[k]} rows, not {k[4]}')
    sys.exit(bool(without or wrong) and bool(o.reasons))

main()
