"""How well does the music fit, beside luck and ceiling?

    python benchmarks/results.py             60 dances, on all cores
    python benchmarks/results.py --full      600 dances
    python benchmarks/results.py --cache D   keep what is generated and measured in the folder D; stopped, the same line goes on
    python benchmarks/results.py --report r.html

Choreography of unseen seeds, with freezes, quiet bars and a detector's noise (benchmarks/generate.py has it without freezes, which is
easier); the listener is librosa, which knows nothing of the dance. The numbers are kept
in benchmarks/results/results.json (--json), which chapter 10 shows and the tests compare with the documents."""
import argparse, json, os
from pathlib import Path
from dance2music.results import evaluate, legacy_table, results_table, worst_table

TARGETS = dict(acc1=.93, acc2=.97, grid_f=.85, gap=.3) # at least


def verdicts(r):
    "A line for each target"
    for k, target in TARGETS.items():
        m = r['rows'][k]; print(f"{'pass' if m['value'] >= target else 'FAIL'}  {m['what']}: {m['value']:.3f} [{m['lo']:.3f}, {m['hi']:.3f}] (target >= {target:g}), n = {m['n']}")
    m, d = r['rows']['nll'], r['rows']['fad']; best = min(m['chance'].values())
    print(f"{'pass' if m['hi'] < best else 'FAIL'}  {m['what']}: {m['value']:.3f} (target < {best:.3f}, those who only count)")
    print(f"{'pass' if d['value'] < min(d['chance'].values()) else 'FAIL'}  FAD ({d['embedding']}): {d['value']:.1f} (target < {min(d['chance'].values()):.1f}, the nearest luck; codec {d['ceiling']['codec']:.1f}, floor {d['floor']:.1f})")
    return {k: r['rows'][k]['value'] >= t for k, t in TARGETS.items()}


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--full', action='store_true'); p.add_argument('--n', type=int); p.add_argument('--seconds', type=float, default=5.); p.add_argument('--model', default='nano')
    p.add_argument('--data', type=Path); p.add_argument('--cache', type=Path); p.add_argument('--report', type=Path); p.add_argument('--embedding', default='mel-stats'); p.add_argument('--workers', type=int, default=os.cpu_count())
    p.add_argument('--json', type=Path, default=Path(__file__).parent/'results'/'results.json')
    a = p.parse_args(argv); last = [0]
    def tell(_, share):
        if share-last[0] >= .1 or share == 1: last[0] = share; print(f'{share:.0%}', flush=True)
    r = evaluate(a.model, a.data, a.n or (600 if a.full else 60), a.seconds, report=a.report, progress=tell, cache=a.cache, embedding=a.embedding, workers=a.workers)
    print(f"\n{r['data']}, n = {r['n']}, {r['seconds']:g} s each\n\n{results_table(r)}\n\nLegacy, for comparison only\n{legacy_table(r)}\n\nThe worst\n{worst_table(r)}\n")
    verdicts(r); a.json.parent.mkdir(parents=True, exist_ok=True); tmp = a.json.with_name(f'.{a.json.name}.part')
    tmp.write_text(json.dumps(r, indent=1)+'\n', encoding='utf-8'); os.replace(tmp, a.json)


if __name__ == '__main__': main()
