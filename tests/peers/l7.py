#!/usr/bin/env python3
"""Compares request rows with what others say of the same captures.

  l7.py --corpora DIR [--only SOURCE[/PROTOCOL]] [--reasons FILE] [-v] -- COMMAND...      (COMMAND CAPTURE prints request rows as JSON lines)

Per source (l7_oracles.py) and protocol, as multisets of keys per capture: equal (in both), richer (only ours), missing (only theirs),
different (pairs of what is missing and what is richer in one capture). FILE says why captures differ, in a table whose lines are
| source | protocol | capture | most | reason |: capture may hold wildcards, `most` is how many rows may differ in each. What differs
beyond that is listed, and makes the exit code 1.
"""
import argparse, collections, concurrent.futures, fnmatch, json, os, subprocess, sys, tempfile
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import l7_oracles

def run(command, path):
    """Rows of a capture; none if it takes too long or cannot be read, which is said."""
    try: p = subprocess.run(command + [path], capture_output=True, timeout=120)
    except subprocess.TimeoutExpired:
        print('timeout', path, file=sys.stderr); return []
    if p.returncode not in (0, 2): print('exit', p.returncode, path, p.stderr[-300:].decode(errors='replace'), file=sys.stderr)
    return [json.loads(l) for l in p.stdout.splitlines() if l.startswith(b'{')]

def reasons(path):
    """Lines of the table with five columns."""
    out = []
    with open(path) as f:
        for line in f:
            cells = [c.strip().strip('`') for c in line.strip().strip('|').split(' | ')]
            if line.startswith('| ') and len(cells) == 5 and cells[3].isdigit(): out.append((cells[0], cells[1], cells[2], int(cells[3])))
    return out

def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument('--corpora', required=True); a.add_argument('--only', default=''); a.add_argument('--reasons'); a.add_argument('-v', action='store_true')
    a.add_argument('command', nargs='+'); o = a.parse_args()
    field = os.path.join(o.corpora, 'field')
    with tempfile.TemporaryDirectory() as work:
        sources = {'tshark': lambda: l7_oracles.tshark(field), 'deepflow': lambda: l7_oracles.deepflow(os.path.join(o.corpora, 'deepflow')),
                   'zeek': lambda: l7_oracles.zeek(field), 'arkime': lambda: l7_oracles.arkime(field), 'ndpi': lambda: l7_oracles.ndpi(field),
                   'suricata': lambda: l7_oracles.suricata(field), 'percona': lambda: l7_oracles.percona(field), 'kindling': lambda: l7_oracles.kindling(field, work)}
        source, _, protocol = o.only.partition('/')
        cases = [(s, *case) for s, oracle in sources.items() if s.startswith(source) for case in oracle() if case[0].startswith(protocol)]
        captures = sorted({c[2] for c in cases if os.path.exists(c[2]) and os.path.getsize(c[2]) < 60e6})
        with concurrent.futures.ThreadPoolExecutor(2) as pool: rows = dict(zip(captures, pool.map(lambda p: run(o.command, p), captures)))
        known = reasons(o.reasons) if o.reasons else []
        totals, unexplained, explained = collections.defaultdict(collections.Counter), [], 0
        for s, protocol, capture, want, ours in cases:
            if capture not in rows: continue
            have = ours(rows[capture])
            w, h, equal = want - have, have - want, sum((want & have).values())
            missing, richer = sum(w.values()), sum(h.values())
            different = min(missing, richer)
            totals[s, protocol].update(equal=equal, different=different, missing=missing - different, richer=richer - different)
            if not missing: continue
            name = os.path.relpath(capture, o.corpora) if not capture.startswith(work) else os.path.basename(capture)
            allowed = max((most for rs, rp, rc, most in known if rs == s and fnmatch.fnmatch(protocol, rp) and fnmatch.fnmatch(name, rc)), default=0)
            if missing > allowed: unexplained.append((s, protocol, name, missing, allowed, w.most_common(4), h.most_common(4)))
            else: explained += missing
        for (s, protocol), t in sorted(totals.items()):
            n = t['equal'] + t['missing'] + t['different']
            if n: print(f"{s:9} {protocol:14} equal {t['equal']:6} richer {t['richer']:5} missing {t['missing']:5} different {t['different']:5}   {100 * t['equal'] / n:5.1f} %")
        print(f'{explained} rows differ for reasons given; {sum(u[3] for u in unexplained)} in {len(unexplained)} captures without')
        for u in unexplained if o.v else unexplained[:20]: print('unexplained:', *u[:3], f'{u[3]} (known: {u[4]}) theirs {u[5]} ours {u[6]}')
    sys.exit(bool(unexplained) and bool(o.reasons))

main()
