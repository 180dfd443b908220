"""How well chapter 03 reads tempo, beats and bars from movement: every figure beside its target and beside chance.

    python benchmarks/rhythm.py                                          about 5 minutes
    python benchmarks/rhythm.py --quick                                  every sixth window, no videos
    python benchmarks/rhythm.py street nothing                           only some of: made street ballroom nothing video speed
    python benchmarks/rhythm.py --json benchmarks/results/rhythm.json    keep the figures; chapter 03 shows them

made      dances of chapter 04 with the moves that no training saw (`HELD_OUT` of the recipe), 2 cm of noise on every joint
street    ../shared/data/dance/street_*: three freestyle dances, motion capture, beats tracked on the music; windows of 5 and 10 s, half
          overlapping; the truth is the slope of the beats in the window
ballroom  ../shared/data/dance/ballroom_*: waltz, cha-cha, rumba, tango
video     rendered clips of known tempo through MediaPipe
Parts whose data is missing say so and are skipped."""
import argparse, json, os, platform, sys, time
from pathlib import Path
import numpy as np
from dance2music import rhythm as R
from dance2music.pose import Pose
from dance2music.rhythm import Beats, beat_f, chance, comb, kinematics, phase_lock, pose2beats, pose2tempo, spectrum, tempo_error

ROOT = Path(__file__).resolve().parents[1]
DANCE, CAND, EVERY, FIGURES = ROOT.parent/'shared'/'data'/'dance', np.arange(75, 150, .25), 1, []
sys.path += [str(ROOT/'recipes'), str(ROOT/'benchmarks')]

# ---- tables

def figure(what, value, n, chance=None, target=None, over=True, **more):
    "Print and keep one figure; `over`: the target is a least value"
    ok = None if target is None else bool(value>=target if over else value<target)
    FIGURES.append(dict(what=what, value=round(float(value), 4), n=int(n), chance=None if chance is None else round(float(chance), 4), target=target, ok=ok,
                        **{k: round(float(v), 4) for k, v in more.items()}))
    goal = '' if target is None else f'{">=" if over else "<"} {target:.4g} {"pass" if ok else "FAIL"}'
    print(f'{what:58} {value:8.4g}  n={n:<4} {"" if chance is None else f"chance {chance:.3g}":14} {goal:18}', *[f'{k} {v:.3g}' for k, v in more.items()], flush=True)

def accs(bpms, est): return np.mean([tempo_error(t, e)[1:] for t, e in zip(bpms, est)], 0)
def blind(bpms): return accs(bpms, np.exp(np.random.default_rng(0).uniform(np.log(75), np.log(150), len(bpms))))[0]  # a random tempo of the range
def constant(bpms): return max(accs(bpms, [c]*len(bpms))[0] for c in range(75, 151))                                # the best constant, with hindsight

# ---- ideas

def fold(bpm, lo=75): return bpm*2.**np.ceil(np.log2(lo/bpm))

def wrist(pose):
    "Highest peak of one wrist's height, folded into an octave"
    y = pose.xyz[:,15,1].astype(float); y = (y-y.mean())*np.hanning(len(y)); f = np.fft.rfftfreq(4096, 1/pose.fps)
    return fold(60*f[1+np.abs(np.fft.rfft(y, 4096)[1:]).argmax()])

def summed(pose):
    "All joints, power at the multiples, not whitened"
    k = kinematics(pose); return CAND[comb(*spectrum(k.reshape(len(k), -1), pose.fps), CAND).argmax()]

def pure(pose):
    "The tracker's activation without the three signs"
    return R.pose2activations(pose)[0]*float(R.load_tracker().scale[0].exp())

def alone(pose):
    "The tracker without the spectrum"
    s = R._signs(pose); z = pure(pose); return R._refine(z, 0*s.fine, R._BPMS[R._tempo_scores(z, 0*s.spectral).argmax()])

IDEAS = {'one wrist': wrist, 'all joints, summed power': summed, 'all joints, whitened (pose2tempo)': lambda p: pose2tempo(p).bpm,
         'tracker alone': alone, 'tracker and spectrum (pose2beats)': lambda p: pose2beats(p).bpm}

def three_signs(pose, bpm):
    "The place of the beat by the three signs of the chapter, without anything learnt"
    x, bad, fps = R._tidy(pose); e = R._evidence(x, bad, fps); w = np.hanning(len(e)+2)[1:-1,None]; w = w/w.sum()
    e = e-(w*e).sum(0); e = e/(np.sqrt((w*e*e).sum(0))+[.01,.01,.1])
    c = lambda m: (w*e*np.exp(-2j*np.pi*m*bpm/60*np.arange(len(e))/fps)[:,None]).sum(0)
    p = 2j*np.pi*np.arange(96)/96; s = np.real((c(1)*[1,1,.75]).sum()*np.exp(p) + 3*c(2)[[0,2]].sum()*np.exp(2*p))
    return np.arange((s.argmax()/96*60/bpm+R._AHEAD)%(60/bpm), pose.seconds, 60/bpm)

def pure_beats(pose, bpm): return np.arange(R._start(pure(pose), bpm)[0], pose.seconds, 60/bpm)

def tempo_rows(W, name, target=None):
    bpms = [w[1] for w in W]
    for idea, f in IDEAS.items():
        a = accs(bpms, [f(p) for p, *_ in W])
        figure(f'{name}: Acc1, {idea}', a[0], len(W), blind(bpms), target if 'pose2beats' in idea else None, acc2=a[1], best_constant=constant(bpms))

def beat_rows(W, name, seconds, target=False):
    f = lambda g: np.mean([beat_f(t, g(p, b)) for p, b, t in W])
    c = np.mean([chance(beat_f, t, seconds, bpm=b, n=40, seed=i) for i, (_, b, t) in enumerate(W)])
    figure(f'{name}: beat F, pose2beats', f(lambda p, b: pose2beats(p)), len(W), c, 2*c if target else None)
    figure(f'{name}: beat F, tempo told', f(lambda p, b: pose2beats(p, b)), len(W), c)
    figure(f'{name}: beat F, tempo told, tracker alone', f(pure_beats), len(W), c)
    figure(f'{name}: beat F, tempo told, three signs alone', f(three_signs), len(W), c)

# ---- dances: lists of (Pose, BPM, true Beats)

def even(b):
    "Beats with the tracker's gaps filled"
    d = np.diff(b); m = np.median(d[d<1.5*np.median(d)]); k = np.r_[0, np.cumsum(np.round(d/m).clip(1))]
    return np.interp(np.arange(k[-1]+1), k, b)

def windows(kind, seconds, every=None):
    "Windows of the recordings, half overlapping"
    out = []
    for f in sorted(DANCE.glob(f'{kind}*.npz')):
        z = np.load(f); x, b = z['xyz'].astype(np.float32), even(z['beats'].astype(float))
        first, meter = (int(z['beat_in_bar'][0])-1, int(z['beat_in_bar'].max())) if 'beat_in_bar' in z else (0, 4)
        for s in np.arange(0, len(x)/24-seconds+1e-9, seconds/2):
            k = np.flatnonzero((b>=s)&(b<s+seconds))
            if len(k)<4: continue
            bpm = 60/np.polyfit(k, b[k], 1)[0]; i = round(s*24)
            out.append((Pose(x[i:i+round(seconds*24)], 24), bpm/2 if bpm>150 else bpm, Beats(b[k]-s, bpm, meter=meter, downbeat=(-first-int(k[0]))%meter)))
    return out[::every or EVERY]

def unseen(n, seconds, cm=2, style=None, timing=None):
    "Dances of the held-out moves at 80 to 146 BPM, with noise"
    import tracker_nano as recipe
    from dance2music.groove import DANCES, STYLES, choreograph
    four, out = [s for s in STYLES if STYLES[s].meter==4 and s in DANCES], []
    for i in range(0, n, EVERY):
        rng, name = np.random.default_rng([seconds, i]), style or four[i%len(four)]
        b, old = recipe.grid(rng, rng.uniform(80, 146), seconds, STYLES[name].meter), DANCES[name]; DANCES[name] = recipe.seen_moves(old, held=True)
        try: p = choreograph(b, name, seed=10**6+i, seconds=seconds, timing=timing)
        finally: DANCES[name] = old
        k = b.times<seconds; out.append((Pose(p.xyz+rng.normal(0, cm/100, p.xyz.shape), p.fps), b.bpm, Beats(b.times[k], b.bpm, meter=b.meter, downbeat=b.downbeat)))
    return out

# ---- parts

def made():
    W = unseen(120, 5); tempo_rows(W, 'choreography, unseen moves, 2 cm, 5 s', .97); beat_rows(W, 'choreography, unseen moves, 2 cm, 5 s', 5)
    W = unseen(40, 8, style='waltz'); E = [pose2beats(p) for p, *_ in W]
    figure('choreography, waltz, 8 s: Acc1, pose2beats', accs([w[1] for w in W], [e.bpm for e in E])[0], len(W), blind([w[1] for w in W]))
    figure('choreography, waltz, 8 s: 3/4 found', np.mean([e.meter==3 for e in E]), len(W))
    W = unseen(60, 8); figure('choreography, 4/4, 8 s: 4/4 found', np.mean([pose2beats(p).meter==4 for p, *_ in W]), len(W))

def street():
    for seconds, target in ((5, .65), (10, .75)):
        W = windows('street', seconds); tempo_rows(W, f'street, {seconds} s', target); beat_rows(W, f'street, {seconds} s', seconds, seconds==10)
        if seconds==5: calibration(W)
    W = windows('street', 60, 1); stiff = lambda p: Beats(R._steady(R._signs(p), pose2beats(p).bpm, p.seconds)[0], 100)
    figure('street, 60 s: beat F, following slow drift', np.mean([beat_f(t, pose2beats(p)) for p, _, t in W]), len(W), np.mean([chance(beat_f, t, 60, n=20) for *_, t in W]),
           steady=np.mean([beat_f(t, stiff(p)) for p, _, t in W]))

def calibration(W):
    r = np.array([(e.confidence, tempo_error(b, e.bpm).acc1) for e, b in ((pose2beats(p), b) for p, b, _ in W)])
    for lo, hi in ((0, .2), (.2, .4), (.4, .6), (.6, 1.01)):
        k = (r[:,0]>=lo)&(r[:,0]<hi)
        if k.any(): figure(f'street, 5 s: Acc1 where the confidence is {lo:.1f} to {min(hi, 1):.1f}', r[k,1].mean(), k.sum())

def shuffled(refs, ests, n=200, seed=0):
    "Bar lock of the grids of other windows: mean, and 95 % of shuffles lie below the second number"
    rng = np.random.default_rng(seed); x = [phase_lock(refs, [ests[i] for i in rng.permutation(len(ests))]).bar for _ in range(n)]
    return np.mean(x), np.quantile(x, .95)

def ballroom():
    W = windows('ballroom_W', 10); T = [w[2] for w in W]
    for name, E in {'': [pose2beats(p) for p, *_ in W], ', tempo told': [pose2beats(p, b) for p, b, _ in W], ', tempo and 3/4 told': [as_waltz(p, b) for p, b, _ in W]}.items():
        lock, (c, top) = phase_lock(T, E), shuffled(T, E, 20 if EVERY>1 else 200)
        figure(f'ballroom waltz, 10 s: bar-level phase lock{name}', lock.bar, len(W), c, round(top, 4), beat_lock=lock.beat, three=np.mean([e.meter==3 for e in E]))
    for k, name in dict(W='waltz', C='cha-cha', R='rumba', T='tango').items():
        W = windows(f'ballroom_{k}', 5, 2*EVERY); a = accs([w[1] for w in W], [pose2beats(p).bpm for p, *_ in W])
        figure(f'ballroom {name}, 5 s: Acc1, pose2beats', a[0], len(W), blind([w[1] for w in W]), acc2=a[1], naive=accs([w[1] for w in W], [wrist(p) for p, *_ in W])[0])

def as_waltz(pose, bpm):
    "Beats in 3/4, with the best of the three downbeats"
    s = R._signs(pose); t, *_ = R._steady(s, bpm, pose.seconds); v = np.interp((t-R._AHEAD)*R.RATE, np.arange(len(s.bar)), s.bar)
    return Beats(t, bpm, meter=3, downbeat=int(np.argmax([v[r::3].mean() for r in range(3)])))

def nothing():
    import tracker_nano as recipe
    def aimless(i):
        x, fps, _ = recipe.aimless(np.random.default_rng([7, i]), 5.); xyz = np.full((len(x), 33, 3), np.nan); xyz[:,recipe.AT] = x
        return Pose(xyz + np.random.default_rng([8, i]).normal(0, .01, xyz.shape), fps)
    for name, make in {'detector noise of 2 cm': lambda i: Pose(np.random.default_rng(i).normal(0, .02, (120,33,3)), 24), 'movement without a beat': aimless}.items():
        c = [pose2beats(make(i)).confidence for i in range(0, 100, EVERY)]
        figure(f'{name}, 5 s: confidence, median', np.median(c), len(c), None, .2, False, p95=np.quantile(c, .95))
    c = [pose2beats(p).confidence for p, *_ in unseen(60, 5)]; figure('choreography, unseen moves, 5 s: confidence, median', np.median(c), len(c), p5=np.quantile(c, .05))

def video():
    from dance2music.pose import clean, video2pose
    from end_to_end import renders
    for name, (path, bpm) in renders().items():
        b = pose2beats(clean(video2pose(path))); figure(f'video {name} through MediaPipe: tempo error', abs(b.bpm/bpm-1), 1, None, .01, False, found=b.bpm, confidence=b.confidence)

def speed():
    import torch
    torch.set_num_threads(1); p = unseen(EVERY, 5)[0][0]; pose2beats(p)
    def ms(): t = time.process_time(); pose2beats(p); return 1e3*(time.process_time()-t)
    t = [ms() for _ in range(20)]; figure('pose2beats of 5 s: milliseconds of one core', np.median(t), len(t), None, 50, False, best=min(t))

PARTS = dict(made=made, street=street, ballroom=ballroom, nothing=nothing, video=video, speed=speed)

def main():
    global EVERY
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('parts', nargs='*', help=' '.join(PARTS)); p.add_argument('--quick', action='store_true'); p.add_argument('--json', metavar='FILE')
    a = p.parse_args(); EVERY = 6 if a.quick else 1
    if unknown := set(a.parts)-set(PARTS): p.error(f'unknown part: {", ".join(unknown)}')
    for name in a.parts or [k for k in PARTS if not (a.quick and k=='video')]:
        if name in ('street', 'ballroom') and not DANCE.is_dir(): print(f'SKIPPED {name}: ../shared/data/dance is missing'); continue
        PARTS[name]()
    if a.json:
        out = Path(a.json); old = json.loads(out.read_text())['figures'] if out.exists() and a.parts else []
        done = {f['what'] for f in FIGURES}; out.parent.mkdir(parents=True, exist_ok=True); tmp = out.with_suffix('.tmp')
        tmp.write_text(json.dumps(dict(date=time.strftime('%Y-%m-%d'), python=platform.python_version(), figures=[f for f in old if f['what'] not in done]+FIGURES), indent=1)+'\n'); os.replace(tmp, out)
    failed = [f['what'] for f in FIGURES if f['ok'] is False]; print(f'{len(FIGURES)} figures, {len(failed)} below target')

if __name__ == '__main__': main()
