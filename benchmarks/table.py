"""Every target of the course in one table: what was measured, what was wanted, pass or fail, n and chance.

    python benchmarks/table.py                  from the committed results, in a second
    python benchmarks/table.py --run            measure first, everything, in sizes that fit into half an hour on two quiet cores
    python benchmarks/table.py --run codec live only these scripts
    python benchmarks/table.py --run --full     in full sizes (hours); this renews the committed results
    python benchmarks/table.py -o FILE.md       the committed table as a page: docs/targets.md

A short run keeps its figures in runs/bench and leaves the committed ones alone. Where a target is asked of several figures (two kinds
of dances, four videos), the worst of them stands in the table. A figure that nobody measured is called so; it is not a pass."""
import argparse, json, re, subprocess, sys, time
from collections import namedtuple
from pathlib import Path
from scipy.stats import binomtest

HERE = Path(__file__).resolve().parent
RESULTS, SHORT, ASSETS = HERE/'results', HERE.parent/'runs'/'bench', HERE.parent/'dance2music'/'assets'

Figure = namedtuple('Figure', 'value n chance target', defaults=(None, None, None))
Goal = namedtuple('Goal', 'what file find sign target unit share', defaults=('', False)) # find: a pattern of the figure's name, or a function of the file; share: of n cases that are right or wrong

# ---- the files, whatever their form

def entries(x):
    "Dicts with `what` and `value`, out of a list, a dict of them, or a dict that holds them as rows or figures"
    if isinstance(x, list): return [e for e in x if isinstance(e, dict) and 'what' in e]
    for k in ('figures', 'rows'):
        if isinstance(x.get(k), list): return entries(x[k])
    return [dict(e, what=k) for k, e in x.items() if isinstance(e, dict) and 'value' in e]

def find(goal, files):
    "The figures that a goal asks for; none where the file or the name is missing"
    x = files.get(goal.file)
    if x is None: return []
    if callable(goal.find):
        try: f = goal.find(x)
        except (KeyError, IndexError, TypeError, StopIteration, ValueError): return []
        return [] if f is None or f.value is None else [f]
    return [Figure(e['value'], noted(e, 'n'), noted(e, 'chance'), e.get('target')) for e in entries(x) if re.search(goal.find, e['what']) and e.get('value') is not None]

def noted(entry, key):
    "A number beside a figure, in a field of its own or in its note, as in 'chance 0.12, n = 40'"
    if entry.get(key) not in (None, ''): return entry[key]
    m = re.search(rf'(?<!\w){key}\b\W{{0,3}}(\d+\.?\d*)', entry.get('note') or ''); return float(m[1]) if m else None

def read(folder):
    "The JSON files of a folder, and what the shipped weights say of themselves"
    files = {p.stem: json.loads(p.read_text(encoding='utf-8')) for p in sorted(Path(folder).glob('*.json'))}
    for name in ('codec-nano', 'pose2music-nano'):
        c = ASSETS/name; files[name] = dict(mb=(c/'model.safetensors').stat().st_size/1e6, **json.loads((c/'config.json').read_text(encoding='utf-8')))
    t = ASSETS/'pose2music-nano'/'training.json'
    if t.exists(): files['training'] = json.loads(t.read_text(encoding='utf-8'))
    return files

# ---- what a file without named figures holds

def mean(x): return sum(x)/len(x)
def trip(key, luck=True): return lambda c: Figure(c['grooves']['round trip'][key], c['n'], c['grooves']['chance: another groove'][key] if luck else None)
def opus(c): return next(v['mel'] for k, v in c['grooves'].items() if k.startswith('Opus'))
def against_opus(c): return Figure(c['grooves']['round trip']['mel']/opus(c), c['n'], c['grooves']['chance: another groove']['mel']/opus(c))
def below_bigram(t): return Figure(mean(t['bigram'])-mean(t['nll']), t['held_out'], mean(t['bigram'])-mean(t['unigram']))
def both(part, f): return lambda e: f(e[part]['figures'])
def own_tempo(f): return Figure(f['own'], sum(map(len, f['rows'].values())), f['random'])
def row(key, luck): return lambda r: Figure(r['rows'][key]['value'], r['rows'][key]['n'], r['rows'][key]['chance'].get(luck))

# ---- the targets

GOALS = {
'01 to 03: reading a dance': [
    Goal('tempo within 4 %, choreography with unseen moves, 2 cm noise, 5 s', 'rhythm', r'^choreography, unseen moves, 2 cm, 5 s: Acc1, .*pose2beats', '>=', .97, share=True),
    Goal('tempo within 4 %, street dance, 5 s', 'rhythm', r'^street, 5 s: Acc1, .*pose2beats', '>=', .65, share=True),
    Goal('tempo within 4 %, street dance, 10 s', 'rhythm', r'^street, 10 s: Acc1, .*pose2beats', '>=', .75, share=True),
    Goal('beat F at 70 ms, street dance, 10 s: twice chance', 'rhythm', r'^street, 10 s: beat F, pose2beats', '>=', None),
    Goal('bar-level phase lock, ballroom waltz, 10 s: above 95 % of shuffles', 'rhythm', r'^ballroom waltz, 10 s: bar-level phase lock$', '>=', None),
    Goal('confidence where there is no beat, median', 'rhythm', r'^(detector noise of 2 cm|movement without a beat), 5 s: confidence', '<', .2),
    Goal('tempo error through video and MediaPipe, four clips', 'rhythm', r'^video .*tempo error', '<', .01),
    Goal('AUC of injected faults', 'pose', r'^AUC of any fault', '>=', .97),
    Goal('error of injected faults that cleaning removes', 'pose', r'^error removed, mean of five', '>=', .6),
    Goal('video2pose against a bare MediaPipe loop', 'pose', r'^video2pose / bare', '<=', 1.1, 'x'),
    Goal('pose2beats of 5 s, one core', 'rhythm', r'^pose2beats of 5 s', '<', 50, 'ms'),
    Goal('memory, 60 s less 5 s of 1080p, poses', 'pose', r'^memory of 60 s', '<', 50, 'MB')],
'04, 05: grooves and codec': [
    Goal('size of the codec, half precision', 'codec-nano', lambda c: Figure(c['mb']), '<=', 7, 'MB'),
    Goal('bitrate', 'codec-nano', lambda c: Figure(max(c['target_bandwidths'])), '<=', 3, 'kbit/s'),
    Goal('log-mel L1 of the round trip', 'codec', trip('mel'), '<=', .28),
    Goal('SNR of the round trip', 'codec', trip('snr'), '>=', 7, 'dB'),
    Goal('beats kept, F at 70 ms', 'codec', trip('kept'), '>=', .95),
    Goal('mel distance over that of Opus at 6 kbit/s', 'codec', against_opus, '<', 1, 'x'),
    Goal('bitrate over that of Opus', 'codec', lambda c: Figure(c['bitrate']/c['grooves']['opus_bps'], c['n']), '<', .5, 'x'),
    Goal('perplexity of the first codebook', 'codec', lambda c: Figure(c['grooves']['perplexity'][0], c['n']), '>=', 400, 'of 1024'),
    Goal('perplexity of the emptiest codebook', 'codec', lambda c: Figure(min(c['grooves']['perplexity']), c['n']), '>=', 100, 'of 1024'),
    Goal('encode and decode, two cores', 'codec', lambda c: Figure(c['grooves']['speed'][0]), '>=', 25, 'x real time'),
    Goal('groove rendering, one core', 'groove', r'^groove rendering', '>=', 40, 'x real time'),
    Goal('librosa finds the tempo of the grooves, octave allowed', 'groove', r'^librosa finds the tempo', '>=', .95),
    Goal('loudness, largest distance from -14 LUFS', 'groove', r'^loudness', '<=', 1, 'dB'),
    Goal('highest true peak', 'groove', r'^highest true peak', '<', -1, 'dBFS'),
    Goal('choreography: largest change of a bone', 'groove', r'^choreography, largest change of a bone', '<', .01),
    Goal('two seeds of a style: highest correlation of their waves', 'groove', r'^two seeds, highest', '<', .9),
    Goal('two seeds of a style with the same arrangement', 'groove', r'^two seeds with the same arrangement', '<', 1, 'pairs'),
    Goal('MediaPipe finds the rendered dancer, frames', 'groove', r'^MediaPipe finds', '>=', .99),
    Goal('made-up detector noise: log ratio of its size, worst axis', 'groove', r'^detector noise: model sd', '<', .35),
    Goal('made-up detector noise: autocorrelation, largest difference', 'groove', r'^detector noise: autocorrelation', '<', .25),
    Goal('made-up detector noise: joint by joint, correlation', 'groove', r'^detector noise: joint', '>=', .9)],
'06: data sets': [
    Goal('clips a minute over a plain loop, two workers', 'build', r'^clips a minute over the plain loop', '>=', 2.5, 'x'),
    Goal('two workers over one', 'build', r'^two workers over one', '>=', 1.7, 'x'),
    Goal('killed and resumed: records equal bit for bit', 'build', r'^killed and resumed', '>=', 1, 'records'),
    Goal('quality filter, precision', 'build', r'^filter: precision', '>=', .95),
    Goal('quality filter, recall', 'build', r'^filter: recall', '>=', .95),
    Goal('memory of a worker', 'build', r'^memory of a worker', '<', 1.2, 'GB'),
    Goal('rows of a bad list that end in exactly one place', 'build', r'^rows in exactly one place', '>=', 1)],
'07 to 09: model, training, generation': [
    Goal('decoding 5 s, baseline over ours', 'model', r'^decode of 5 s', '>=', 50, 'x'),
    Goal('codes and sound of 5 s with guidance', 'model', r'^codes \+ decode with guidance', '>=', 5, 'x real time'),
    Goal('codes and sound of 3 minutes', 'generate', r'^codes \+ sound for 180 s', '>=', 5, 'x real time'),
    Goal('time grows with length: 180 s over 6 times 30 s', 'model', r'^time of 180 s', '<=', 1.25, 'x'),
    Goal('memory stays: 180 s over 30 s', 'model', r'^memory of 180 s', '<=', 1.25, 'x'),
    Goal('with a cache or without: largest difference of logits', 'model', r'^largest difference of logits', '<=', .001),
    Goal('training, codes a second over the baseline', 'model', r'^training, codes per second', '>=', 100, 'x'),
    Goal('tempo of the music within 4 %, unseen dances, 5 s', 'generate', r'^tempo of the music, Acc1', '>=', .93, share=True),
    Goal('the same, octave allowed', 'generate', r'^tempo of the music, octave', '>=', .97, share=True),
    Goal('beat F of the music against its grid', 'generate', r'^beat F against the grid given', '>=', .85),
    Goal("beat F against another clip's grid, distance from chance", 'generate', r'^beat F against another clip', '<=', .08),
    Goal('street dance: tracker less music, tempo', 'generate', r'^street: tracker minus music', '<=', 5, 'points'),
    Goal('code NLL below the bigram', 'training', below_bigram, '>=', 1, 'nats'),
    Goal('asked for 87, 104, 128, 174 BPM: error of the worst', 'generate', r'^asked for a tempo', '<=', 1, '%'),
    Goal('tempo drift over a minute', 'generate', r'^tempo drift over a minute', '<', .5, '%'),
    Goal('spectral flux at seams over the 99th percentile elsewhere', 'generate', r'^flux at seams', '<=', 1.2, 'x'),
    Goal('ten seeds: equal codes of the most alike pair', 'generate', r'^10 seeds, most alike', '<', .2)],
'00, 09: the whole, from a file to a file': [
    Goal('shipped clip, from the command to its exit', 'end_to_end', both('time', lambda f: Figure(f['total'])), '<', 20, 's'),
    Goal('memory, 60 s less 5 s of 1080p, whole pipeline', 'end_to_end', both('memory', lambda f: Figure(f['difference_mb'])), '<', 150, 'MB'),
    Goal('tempo through video, MediaPipe and all, octave allowed', 'end_to_end', both('tempo', own_tempo), '>=', .9, share=True)],
'10: dances with freezes and quiet bars': [
    Goal('with breaks: tempo of the music within 4 %', 'results', row('acc1', 'other'), '>=', .93, share=True),
    Goal('with breaks: tempo, octave allowed', 'results', row('acc2', 'other'), '>=', .97, share=True),
    Goal('with breaks: beat F of the music against its grid', 'results', row('grid_f', 'metronome'), '>=', .85),
    Goal("with breaks: beat F against the dancer's beats, less that of another dance's music", 'results', row('gap', None), '>=', .3)],
'11: live': [
    Goal('whole chain, one dancer at 24 fps', 'live', r'^whole chain', '>=', 1.3, 'x real time'),
    Goal('four dancers', 'live', r'^four dancers', '>=', 1, 'x real time'),
    Goal('from a freeze to a sound that has fallen half of the way', 'live', r'^from a freeze', '<=', 1, 's'),
    Goal('from moving again to a sound that has risen half of the way', 'live', r'^from moving again', '<=', 1, 's'),
    Goal('time to lock within 4 %, median', 'live', r'^time to lock within 4 %, median', '<=', 4, 's'),
    Goal('time to lock, 95 % of runs', 'live', r'^time to lock, 95 %', '<=', 8, 's'),
    Goal('100 to 124 BPM: locked again within 6 s, of 10', 'live', r'^100 to 124 BPM', '>=', 9),
    Goal('simulated minutes: blocks late', 'live', r'minutes: blocks late', '<=', 0),
    Goal('simulated minutes: memory gained', 'live', r'^resident memory, second half', '<=', 30, 'MB'),
    Goal('an hour of poses: memory gained', 'live', r'^an hour of poses', '<=', 30, 'MB'),
    Goal('web page: shipped clip to playable result', 'live', r'^app: shipped clip', '<', 25, 's')]}

# ---- the table

Row = namedtuple('Row', 'chapter what value wanted verdict n chance interval', defaults=(None,))
OPS = {'>=': lambda v, t: v >= t, '>': lambda v, t: v > t, '<=': lambda v, t: v <= t, '<': lambda v, t: v < t}

def num(x):
    if x is None or isinstance(x, str): return x or '–'
    if float(x).is_integer(): return f'{x:.0f}'
    return f'{x:.0f}' if abs(x) >= 100 else f'{x:.1f}' if abs(x) >= 10 else f'{x:.3f}' if abs(x) < .1 else f'{x:.2f}'

def judge(chapter, goal, files):
    "The row of one goal"
    found = find(goal, files); f = (min if goal.sign[0] == '>' else max)(found, key=lambda f: f.value) if found else Figure(None)
    target = f.target if goal.target is None else goal.target; wanted = f'{goal.sign} {num(target)} {goal.unit}'.strip()
    verdict = 'not measured' if not found else 'pass' if OPS[goal.sign](round(f.value, 9), target) else 'FAIL'
    n = f.n if len(found) < 2 or f.n != 1 else len(found) # several figures of one film each
    return Row(chapter, goal.what+(f' (worst of {len(found)})' if len(found) > 1 else ''), f.value, wanted, verdict, n, f.chance, luck(f.value, n) if goal.share and n else None)

def luck(share, n): "Wilson's 95 % interval of a share of n cases"; n = int(n); return tuple(binomtest(round(share*n), n).proportion_ci(method='wilson'))

def rows(folder=RESULTS): files = read(folder); return [judge(chapter, g, files) for chapter, goals in GOALS.items() for g in goals]

def cells(folder=RESULTS): return [(r, [r.what, num(r.value)+(f' [{r.interval[0]:.2f}, {r.interval[1]:.2f}]' if r.interval else ''), r.wanted, r.verdict, num(r.n), num(r.chance)]) for r in rows(folder)]

HEAD = ['', 'measured', 'wanted', 'verdict', 'n', 'chance']

def tally(rs): return ', '.join(f'{sum(r.verdict == v for r in rs)} {v}' for v in ('pass', 'FAIL', 'not measured') if v != 'not measured' or any(r.verdict == v for r in rs))

def text(folder=RESULTS):
    c = cells(folder); width = [max(len(x) for x in col) for col in zip(HEAD, *[r for _, r in c])]; out, last = [], None
    line = lambda r: '  '.join(x.ljust(w) if i in (0, 3) else x.rjust(w) for i, (x, w) in enumerate(zip(r, width))).rstrip()
    for r, x in c:
        if r.chapter != last: out += ['', line([r.chapter, *HEAD[1:]] if last is None else [r.chapter]+['']*5)]; last = r.chapter
        out.append(line(x))
    return '\n'.join([*out, '', tally([r for r, _ in c])])

PAGE = """# Every target, pass or fail

{tally}. Made by `python benchmarks/table.py -o docs/targets.md` from the files in `benchmarks/results`; do not edit it by hand. `make bench` measures all of it
again, in smaller sizes and in under half an hour on two cores. *Chance* is what luck scores: a random tempo, a metronome at the true tempo that starts anywhere,
another groove, a unigram (for the NLL). In brackets: the 95 % interval of a share (Wilson), where the true one may well lie.
What each line means is told in the chapter named above it. A dash: there is no such number, or the script did not keep it.
"""

def page(folder=RESULTS):
    c, out, last = cells(folder), [], None; line = lambda r: '| '+' | '.join(x.replace('|', r'\|') for x in r)+' |'
    for r, x in c:
        if r.chapter != last: out += ['', f'## {r.chapter}', '', line(HEAD), '|---|---|---|---|---|---|']; last = r.chapter
        out.append(line([*x[:3], f'**{x[3]}**' if r.verdict != 'pass' else x[3], *x[4:]]))
    return PAGE.format(tally=tally([r for r, _ in c]))+'\n'.join(out)+'\n'

# ---- measuring

SIZES = { # script: (a short run, the full one)
    'end_to_end': ('time memory tempo --seeds 2', 'time memory tempo clips'),
    'rhythm': ('--quick made street ballroom video speed', ''),
    'pose': ('--n 24 --cm 2', ''),
    'groove': ('--seeds 4 --render runs/bench/render', '--render runs/bench/render'),
    'codec': ('--n 50', '--n 50'),
    'build': ('--kills 2 --filter 50 --rows 200 --clips 12', ''),
    'model': ('', ''),
    'generate': ('--n 200 --parts speed,tempo,asked,long,seeds,street', '--n 600'),
    'live': ('--quick --parts chain,group,latency,lock,change,long,app', ''),
    'results': ('--n 100', '--full --cache runs/results'),
    'ablation': (None, '')} # has no target of its own

def measure(names, full):
    "Run the scripts one after the other; one that breaks is said, and the others go on"
    out = RESULTS if full else SHORT; out.mkdir(parents=True, exist_ok=True); broken = []
    for name in names or SIZES:
        args = SIZES[name][int(full)]
        if args is None and not names: continue
        print(f'\n== benchmarks/{name}.py {args or ""}', flush=True); t = time.perf_counter()
        file = out/f'{name}.json'; before = file.stat().st_mtime_ns if file.exists() else 0
        p = subprocess.run([sys.executable, str(HERE/f'{name}.py'), *(args or '').split(), '--json', str(file)], cwd=HERE.parent)
        if p.returncode not in (0, 1) or not file.exists() or file.stat().st_mtime_ns == before: broken.append(name) # 1 may only say that a target is missed
        print(f'({name}: {time.perf_counter()-t:.0f} s)', flush=True)
    return out, broken

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('scripts', nargs='*', help=' '.join(SIZES)); p.add_argument('--run', action='store_true'); p.add_argument('--full', action='store_true')
    p.add_argument('--results', type=Path, help='folder of JSON files'); p.add_argument('-o', '--out', type=Path, help='write a Markdown page')
    a = p.parse_args(argv)
    if unknown := {*a.scripts}-{*SIZES}: p.error(f'unknown script: {", ".join(sorted(unknown))}')
    t = time.perf_counter(); folder, broken = measure(a.scripts, a.full) if a.run else (a.results or RESULTS, [])
    if a.out: a.out.write_text(page(folder), encoding='utf-8'); return 0
    print(text(folder))
    if a.run: print(f'{time.perf_counter()-t:.0f} s in all' + ('' if a.full else '; short sizes: the committed table is `python benchmarks/table.py`'))
    if broken: print(f'BROKEN: {", ".join(broken)}')
    return 1 if broken else 0

if __name__ == '__main__': sys.exit(main())
