#!/usr/bin/env python3
"""Compares conn.log of `analyze export --zeek`, column by column, with the baselines of Zeek's own tests.

    conn.py --bin ANALYZE --corpora DIR [-v] [--reasons docs/peer-differences.md]

Baselines: DIR/field/pcap/zeek/**/CAPTURE.zeek/TEST/conn.log*, with the command line of the test in CMD.txt: packets with wrong checksums are
left out (--checksums) unless it says -C or ignore_checksums. Connections are matched by their ends, those of the same ends by time; ids of connections are
compared by what they stand for. Baselines without addresses are compared row by row. Prints per column how many values are equal and how many
are not, with -v every one that is not. With --reasons another number of differences than the table of the section "conn.log" there gives for a column (or
for several together) is an error, but of `service`, which follows the protocols that are read: these have comparisons of their own.
"""
import argparse, collections, glob, json, os, re, subprocess, sys, tempfile

ENDS = ('id.orig_h', 'id.orig_p', 'id.resp_h', 'id.resp_p')


def read(path):
    """Fields and rows of a log: with Zeek's headers, as `zeek-cut` leaves it, or JSON."""
    fields, rows = None, []
    for line in open(path, errors='replace'):
        line = line.rstrip('\n')
        if line.startswith('#fields'):
            fields = line.split('\t')[1:]
        elif line.startswith('{'):
            rows.append(json.loads(line))
        elif line and not line.startswith('#'):
            if fields is None:
                fields = line.split('\t')
            else:
                rows.append(dict(zip(fields, line.split('\t'))))
    return fields or list(rows[0] if rows else ()), rows


def ends(row):
    return tuple(sorted([(row['id.orig_h'], row['id.orig_p']), (row['id.resp_h'], row['id.resp_p'])]))


def same(column, want, got):
    if want == got:
        return True
    # Zeek computes in doubles.
    return column in ('ts', 'duration') and '-' not in (want, got) and abs(float(want) - float(got)) < 2e-6


def unexplained(path, differences):
    """What the table of reasons does not say of the numbers of differences."""
    section = open(path).read().split('\n## conn.log', 1)[1].split('\n## ', 1)[0]
    explained, wrong = set(), []
    for line in section.splitlines():
        cells = [c.strip() for c in line.strip('|').split('|')]
        if len(cells) != 4 or not cells[2].isdigit():
            continue
        columns = ['rows' if c == 'rows without addresses' else c for c in cells[0].split(', ')]
        explained.update(columns)
        said, got = int(cells[2]), sum(len(differences[c]) for c in columns)
        if got != said and not {'service', 'rows'} & set(columns):
            wrong.append(f'{cells[0]}: {got} differ, the reasons are of {said}')
    return wrong + [f'{c}: {len(d)} differ without a reason' for c, d in sorted(differences.items()) if d and c not in explained]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument('--bin', required=True)
    args.add_argument('--corpora', required=True)
    args.add_argument('-v', '--verbose', action='store_true')
    args.add_argument('--reasons')
    args = args.parse_args()
    counts, differences = collections.Counter(), collections.defaultdict(list)

    def note(column, name, want, got, equal):
        counts[column] += equal
        if not equal:
            differences[column].append(f'{name}: want {want} got {got}')

    root = os.path.join(args.corpora, 'field', 'pcap')
    for path in sorted(glob.glob(os.path.join(root, '**', 'conn.log*'), recursive=True)):
        capture, name = path.split('.zeek/')[0], os.path.relpath(path, root)
        if not os.path.isfile(capture):
            continue
        fields, wanted = read(path)
        command = ''.join(open(p).read() for p in glob.glob(os.path.join(os.path.dirname(path), 'CMD.txt')))
        checksums = [] if re.search(r' -[a-zA-Z]*C|ignore_checksums', command) else ['--checksums']
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([args.bin, 'export', '--zeek', folder, capture, *checksums], check=True, capture_output=True)
            _, ours = read(os.path.join(folder, 'conn.log'))
        if any(f not in fields for f in ENDS):
            columns = [f for f in fields if f in (ours[0] if ours else ()) and f not in ('uid', 'ts')]
            rows = lambda log: collections.Counter(tuple(r[c] for c in columns) for r in log)
            want, got = rows(wanted), rows(ours)
            counts['rows'] += sum((want & got).values())
            differences['rows'] += [f'{name}: {dict(zip(columns, w))} got {list(got - want)[:2]}' for w in (want - got).elements()]
            continue
        by_ends = collections.defaultdict(list)
        for row in ours:
            by_ends[ends(row)].append(row)
        their_names, our_names, pairs = {}, {}, []
        for w in wanted:
            candidates = by_ends[ends(w)]
            if 'X' not in w.get('ts', 'X'):
                candidates.sort(key=lambda g: abs(float(g['ts']) - float(w['ts'])))
            note('connection', name, ' '.join(w[e] for e in ENDS), 'none', bool(candidates))
            if candidates:
                g = candidates.pop(0)
                their_names[w.get('uid')], our_names[g['uid']] = ends(w), ends(g)
                pairs.append((w, g))
        for w, g in pairs:
            for column in (c for c in fields if c in g and c != 'uid' and not (c == 'ts' and 'X' in w[c])):
                want, got = w[column], g[column]
                if column == 'tunnel_parents' and '-' not in (want, got):
                    want, got = (str(sorted(str(n.get(u, u)) for u in ids.split(','))) for n, ids in ((their_names, want), (our_names, got)))
                note(column, f'{name} {" ".join(w[e] for e in ENDS)}', want, got, same(column, want, got))
    for column in sorted(counts.keys() | differences.keys()):
        print(f'{column:15} {counts[column]:5} equal {len(differences[column]):5} different')
        for line in differences[column] if args.verbose else ():
            print('  ', line)
    if args.reasons and (wrong := unexplained(args.reasons, differences)):
        sys.exit('\n'.join(wrong))


main()
