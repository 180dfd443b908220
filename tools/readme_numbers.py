"""Write the measured numbers into README, model cards and pages, and docs/targets.md anew, from the files of results.

    python tools/readme_numbers.py            after a benchmark or a training; says what it changed
    python tools/readme_numbers.py --check    change nothing, list what is not true any more; exit code 1 if there is anything

A number with a mark behind it, such as 0.84<!-- results:results.rows.beat_f.value -->, is looked up in benchmarks/results/*.json (or in the
model's training.json) and written with as many digits as stand there; chapter 10 explains the marks. Words are for people: read the
sentences around a number that has changed, and the verdicts in docs/targets.md."""
import argparse, difflib, json, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT/'benchmarks'), str(ROOT/'tools')]
from dance2music.results import fill_numbers, stale_numbers
import checksums, table

FILES = ROOT/'benchmarks'/'results', ROOT/'dance2music'/'assets'/'pose2music-nano'
DOCS = [p for p in (ROOT/'README.md', ROOT/'CHANGELOG.md', *sorted((ROOT/'docs').glob('**/*.md')), *sorted((ROOT/'dance2music'/'assets').glob('*/README.md'))) if p.is_file()]

def diff(a, b): return [l for l in difflib.unified_diff(a.splitlines(), b.splitlines(), lineterm='', n=0) if l[:3] not in ('---', '+++') and l[:2] != '@@']

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter); p.add_argument('--check', action='store_true')
    check, changed, unknown = p.parse_args(argv).check, 0, 0
    for f in {*DOCS, ROOT/'docs'/'targets.md'}:
        old = f.read_text(encoding='utf-8') if f.exists() else ''; new = table.page() if f.name == 'targets.md' else fill_numbers(old, FILES)
        lost = [s for s in stale_numbers(new, FILES)]; unknown += len(lost)
        said = lost + (diff(old, new) if f.name == 'targets.md' else [l for l in stale_numbers(old, FILES) if l not in lost])
        if said: print(f'== {f.relative_to(ROOT)}', *said, sep='\n')
        if new == old: continue
        changed += 1
        if not check: f.write_text(new, encoding='utf-8')
    if not check: checksums.OUT.write_text(json.dumps(checksums.checksums(), indent=1)+'\n', encoding='utf-8') # the cards are files of the package, too
    print(f'{changed} files {"would change" if check else "changed"}, {unknown} marks without a number'); return 1 if unknown or (check and changed) else 0

if __name__ == '__main__': sys.exit(main())
