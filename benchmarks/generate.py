"""Does the music keep the dancer's beat? python benchmarks/generate.py [--n 600] [--parts tempo,single,asked,long,seeds,street,speed] [--json FILE]

Dances: choreography of unseen seeds with a detector's noise (5 s; the tempo is the dancer's, who takes music above 150 BPM in half time), and the street dances in ../shared/data/dance where they are.
The listener is librosa, which knows nothing of the dance. Beside each figure: chance, and the ceiling, which is a groove that
chapter 04 renders on the very same grid, through the codec."""
import argparse, json, time
from pathlib import Path
import numpy as np
from dance2music.dataset import half_time, make_pair
from dance2music.generate import DanceToMusic
from dance2music.groove import STYLES, choreograph, detector_noise, groove, random_beats
from dance2music.pose import Pose, PoseError, clean
from dance2music.results import bootstrap, hear as heard, within
from dance2music.rhythm import Beats, beat_f, chance, pose2beats, tempo_error

STREET = Path(__file__).resolve().parents[2]/'shared'/'data'/'dance'
RESULTS = {}


def acc(pairs): # (true, Beats or None)
    r = [tempo_error(t, b.bpm)[1:] if b else (False, False) for t, b in pairs]
    return np.mean(r, 0)

def verdict(name, value, target, sign='>=', note=''):
    ok = value >= target if sign == '>=' else value <= target
    RESULTS[name] = dict(value=float(value), target=target, ok=bool(ok), note=note)
    print(f"{'pass' if ok else 'FAIL'}  {name}: {value:.3f} (target {sign} {target:g}){'; '+note if note else ''}", flush=True)


def dance(i, seconds, pairs=False):
    "A dance of an unseen seed as MediaPipe would see it, and the tempo that was danced; `pairs`: of the training's kind, with quiet bars and freezes"
    rng = np.random.default_rng(i)
    if pairs: pose, music = make_pair(i, seconds); bpm = music.beats.bpm; return pose, bpm/2 if bpm > 150 else bpm # fast music is danced in half time
    style = str(rng.choice([*STYLES])); b = random_beats(style, seconds, rng); b = half_time(b) if b.bpm > 150 else b
    return detector_noise(choreograph(b, style, i, seconds=seconds), i, cm=2.), b.bpm


def tempo(d2m, n, seconds=5., first=10**6, candidates=4, pairs=False, judge=True):
    true, tracked, made, ceil, f, fc, fx, ch = [], [], [], [], [], [], [], []
    grids, codec, refused, again = [], d2m.codec, 0, []
    for i in range(n):
        pose, bpm = dance(first+i, seconds, pairs)
        try: out = d2m.generate(pose, seed=i, seconds=seconds, n_candidates=candidates)
        except PoseError: refused += 1; continue # the noise hid the dancer in more than half of the frames
        b, own = heard(out.wav, out.sr), out.beats; again.append(len(out.report['scores']) > candidates)
        same = groove(own, out.style, seconds, seed=first+i); cb = heard(codec.decode(codec.encode(same.wav))[:len(same.wav)], codec.sample_rate)
        true.append(bpm); tracked.append(pose2beats(clean(pose))); made.append(b); ceil.append(cb); grids.append(own)
        f.append(beat_f(within(own, seconds), b) if b else 0.); fc.append(beat_f(within(own, seconds), cb) if cb else 0.)
        if len(grids) > 1: fx.append(beat_f(within(grids[-2], seconds), b) if b else 0.)
        ch.append(chance(beat_f, within(own, seconds), seconds, n=20, seed=i) if len(within(own, seconds)) > 1 else 0.)
    n = len(true); rand = np.exp(np.random.default_rng(0).uniform(np.log(75), np.log(150), n)); print(f'{refused} clips refused: too little of the dancer is seen; {np.mean(again):.1%} were written more than once')
    a, t, c = (acc(zip(true, x)) for x in (made, tracked, ceil)); r = np.mean([tempo_error(x, y)[1:] for x, y in zip(true, rand)], 0)
    g = acc(zip([b.bpm for b in grids], made)); kind = 'pairs as in training, with freezes and quiet bars' if pairs else 'choreography'
    print(f'{kind}, unseen seeds, {seconds:g} s, best of {candidates}, n = {n}\n{"":38}{"Acc1":>8}{"Acc2":>8}')
    for name, x in (('tempo in the music, against the dance', a), ('tempo of the tracker', t), ('tempo in the music, against its grid', g), ('ceiling: groove on that grid, codec', c), ('chance: random tempo', r)):
        print(f'{name:38}{x[0]:8.3f}{x[1]:8.3f}')
    m, lo, hi, _ = bootstrap(f); print(f'beat F against its grid {m:.3f} [{lo:.3f}, {hi:.3f}], ceiling {np.mean(fc):.3f}, of another clip {np.mean(fx):.3f}, chance {np.mean(ch):.3f}')
    if not judge: return
    verdict('tempo of the music, Acc1', a[0], .93, note=f'tracker {t[0]:.3f}, ceiling {c[0]:.3f}, chance {r[0]:.3f}, n = {n}')
    verdict('tempo of the music, octave allowed', a[1], .97, note=f'tracker {t[1]:.3f}, ceiling {c[1]:.3f}, chance {r[1]:.3f}, n = {n}')
    verdict('beat F against the grid given', m, .85, note=f'ceiling {np.mean(fc):.3f}, chance {np.mean(ch):.3f}')
    verdict('beat F against another clip, minus chance', abs(np.mean(fx)-np.mean(ch)), .08, '<=')

def single(d2m, n):
    "The same without a choice among candidates; and dances of the training's kind"
    n = min(100, n//2); tempo(d2m, n, candidates=1, judge=False); tempo(d2m, n, pairs=True, judge=False)


def asked(d2m, seeds=4):
    "Asked for a tempo: what librosa hears, by the spacing of its beats; the first and the last are often dragged to the edges, and are left out"
    worst = 0
    for bpm in (87, 104, 128, 174):
        rel = []
        for s in range(seeds):
            pose = choreograph(Beats.steady(104, 10), 'funk', seed=s); out = d2m.generate(pose, bpm=bpm, seed=s, seconds=10.)
            b = heard(out.wav, out.sr); slope = 60/np.polyfit(np.arange(len(b)-2), b.times[1:-1], 1)[0] if b and len(b) > 5 else np.nan
            rel.append(min(abs(slope/bpm/k-1) for k in (1/3, .5, 2/3, 1, 1.5, 2)))
        print(f'asked for {bpm} BPM: off by {np.round(np.array(rel)*100, 2)} % (octave allowed)'); worst = max(worst, np.nan_to_num(rel, nan=1.).max())
    verdict('asked for a tempo, error of the worst piece, %', 100*worst, 1, '<=', f'{seeds} seeds each')


def long(d2m, seconds=60.):
    "A minute: does the tempo drift, do the seams click?"
    import librosa
    pose = choreograph(Beats.steady(112, seconds), 'house', seed=3, timing='on'); out = d2m.generate(pose, seconds=seconds, seed=0)
    parts = np.array_split(out.beats.times[1:-1], 4); hop = out.sr//100
    on = librosa.onset.onset_strength(y=out.wav, sr=out.sr, hop_length=hop)
    def phase(t): # where the onsets of this quarter lie, relative to the grid, by cross-correlation within half a beat
        lags = np.arange(-20, 21); return lags[np.argmax([np.interp(t*100+l, np.arange(len(on)), on).mean() for l in lags])]/100
    shift = [phase(t) for t in parts]; drift = abs(shift[-1]-shift[0])/(.75*seconds)
    verdict('tempo drift over a minute, %', 100*drift, .5, '<=', f'grid offset by quarters {np.round(shift, 2)} s')
    flux = np.maximum(0, np.diff(np.abs(librosa.stft(out.wav, n_fft=512, hop_length=128)), axis=1)).sum(0); t = np.arange(len(flux))*128/out.sr
    seams = np.arange(5, seconds, 5.); near = np.array([flux[np.abs(t-s) < .02].max() for s in seams])
    away = np.array([flux[np.abs(t-s-x) < .02].max() for s in seams for x in (1.1, 1.7, 2.3, 2.9, 3.3) if s+x < seconds-1])
    verdict('flux at seams over the 99th percentile elsewhere', near.max()/np.quantile(away, .99), 1.2, '<=', f'{len(seams)} seams')


def seeds(d2m, n=10):
    pose = choreograph(Beats.steady(112, 5), 'house', seed=3)
    codes = [d2m.generate(pose, seed=s, seconds=5., n_candidates=1).codes for s in range(n)]
    same = [np.mean(a == b) for i, a in enumerate(codes) for b in codes[:i]]
    verdict(f'{n} seeds, most alike pair, share of equal codes', max(same), .2, '<=', f'mean {np.mean(same):.3f}')


def windows(seconds):
    for f in sorted(STREET.glob('street*.npz')):
        z = np.load(f); x, beats = z['xyz'].astype(np.float32), z['beats'].astype(float)
        d = np.diff(beats); m = np.median(d[d < 1.5*np.median(d)]); k = np.r_[0, np.cumsum(np.round(d/m).clip(1))]; beats = np.interp(np.arange(k[-1]+1), k, beats)
        for s in np.arange(0, len(x)/24-seconds+1e-9, seconds):
            b = beats[(beats >= s) & (beats < s+seconds)]-s
            if len(b) > 3: bpm = 60/np.polyfit(np.arange(len(b)), b, 1)[0]; yield Pose(x[round(s*24):round((s+seconds)*24)], 24), (bpm/2 if bpm > 150 else bpm)


def street(d2m, seconds=5.):
    if not STREET.is_dir(): return print("SKIPPED: street dances (not here)")
    true, t, m = [], [], []
    for i, (pose, bpm) in enumerate(windows(seconds)):
        out = d2m.generate(pose, seed=i, seconds=seconds); true.append(bpm); t.append(pose2beats(pose)); m.append(heard(out.wav, out.sr))
    a, b = acc(zip(true, t)), acc(zip(true, m)); rand = np.exp(np.random.default_rng(0).uniform(np.log(75), np.log(150), len(true)))
    print(f'street dances, {seconds:g} s, n = {len(true)}: tracker Acc1 {a[0]:.3f} Acc2 {a[1]:.3f}; music Acc1 {b[0]:.3f} Acc2 {b[1]:.3f}; random {acc_of(true, rand):.3f}')
    verdict('street: tracker minus music, Acc1 points', 100*(a[0]-b[0]), 5, '<=', f'n = {len(true)}')

def acc_of(true, est): return np.mean([tempo_error(t, e).acc1 for t, e in zip(true, est)])


def speed(d2m):
    "Codes and sound, weights as shipped, guidance on; one candidate, and the four of the default"
    import resource
    for n in (1, 4):
        for seconds in (5., 30., 180.) if n == 1 else (5.,):
            pose = choreograph(Beats.steady(112, 5), 'house', seed=3); out = d2m.generate(pose, seconds=seconds, n_candidates=n); s = out.report['stages']
            x = seconds/(s['codes']+s['sound']); print(f'{n} candidates, {seconds:g} s: codes {s["codes"]:.2f} s, sound {s["sound"]:.2f} s, {x:.1f} x real time; resident {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024:.0f} MB at most')
            if n == 1: verdict(f'codes + sound for {seconds:g} s, x real time', x, 5)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--n', type=int, default=600, help='dances of the part tempo'); p.add_argument('--model', default='nano'); p.add_argument('--json', type=Path)
    p.add_argument('--parts', default='speed,tempo,single,asked,long,seeds,street')
    a = p.parse_args(argv); d2m = DanceToMusic.from_pretrained(a.model); d2m.generate(choreograph(112, 'house', seed=0), seconds=2.) # warm up
    for part in a.parts.split(','):
        t = time.perf_counter(); print(f'\n== {part}'); globals()[part](d2m, a.n) if part in ('tempo', 'single') else globals()[part](d2m); print(f'({time.perf_counter()-t:.0f} s)')
    if a.json:
        a.json.parent.mkdir(parents=True, exist_ok=True); old = json.loads(a.json.read_text()) if a.json.exists() else {}   # parts may be measured one by one
        a.json.write_text(json.dumps(old | RESULTS, indent=1))


if __name__ == '__main__': main()
