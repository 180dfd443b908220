"""How well chapter 03 reads tempo and beats: python benchmarks/rhythm.py

Real dance: ../shared/data/dance (motion capture; beats tracked on the music, gaps filled by an even grid; windows of 5 and 8 s,
half overlapping; the truth is the slope of the beats in the window, halved above 150 BPM). Dance of known beats: `choreograph`.
Parts whose data or module is missing say so and are skipped."""
import time
from pathlib import Path
import numpy as np
from dance2music.pose import Pose
from dance2music.rhythm import (Beats, beat_f, chance, comb, kinematics, pose2beats, pose2tempo, spectrum, tempo_error)

DANCE = Path(__file__).resolve().parents[2]/'shared'/'data'/'dance'
CAND = np.arange(75, 150, .25)

def fold(bpm, lo=75): return bpm*2.**np.ceil(np.log2(lo/bpm))

def wrist(pose):
    "Naive: highest peak of one wrist's height, folded into an octave"
    y = pose.xyz[:,15,1].astype(float); y = (y-y.mean())*np.hanning(len(y)); f = np.fft.rfftfreq(4096, 1/pose.fps)
    return fold(60*f[1+np.abs(np.fft.rfft(y, 4096)[1:]).argmax()])

def summed(pose):
    "All joints, power at the multiples, not whitened"
    k = kinematics(pose); return CAND[comb(*spectrum(k.reshape(len(k), -1), pose.fps), CAND).argmax()]

METHODS = dict(naive=wrist, summed=summed, pose2tempo=lambda p: pose2tempo(p).bpm)

def even(b):
    "Beats with the tracker's gaps filled"
    d = np.diff(b); m = np.median(d[d<1.5*np.median(d)])
    k = np.r_[0, np.cumsum(np.round(d/m).clip(1))]
    return np.interp(np.arange(k[-1]+1), k, b)

def windows(kind, sec):
    for f in sorted(DANCE.glob(f'{kind}*.npz')):
        z = np.load(f); x, beats, n = z['xyz'].astype(np.float32), even(z['beats'].astype(float)), round(sec*24)
        for s in np.arange(0, len(x)/24-sec+1e-9, sec/2):
            b = beats[(beats>=s) & (beats<s+sec)]-s
            if len(b)<4: continue
            bpm = 60/np.polyfit(np.arange(len(b)), b, 1)[0]
            yield Pose(x[round(s*24):round(s*24)+n], 24), (bpm/2 if bpm>150 else bpm), b

def noisy(pose, cm, seed): return pose if not cm else Pose(pose.xyz+np.random.default_rng(seed).normal(0, cm/100, pose.xyz.shape), pose.fps)
def centred(pose): return Pose(pose.xyz-pose.hips[:,None], pose.fps)

def row(name, n, acc, **more):
    print(f'{name:44} n={n:4}  Acc1 {acc[0]:.2f}  Acc2 {acc[1]:.2f}', ' '.join(f' {k} {v:.2f}' for k, v in more.items()), flush=True)

def accs(pairs): return np.mean([tempo_error(t, e)[1:] for t, e in pairs], 0)
def guess(bpms, seed=0): # a random tempo of the range
    return accs(zip(bpms, np.exp(np.random.default_rng(seed).uniform(np.log(75), np.log(150), len(bpms)))))[0]
def constant(bpms): return max(accs([(t, c) for t in bpms])[0] for c in range(75, 151))  # the best constant, chosen with hindsight

def tempo_table(W, name):
    bpms = [w[1] for w in W]
    for m, f in METHODS.items(): row(f'{name}, {m}', len(W), accs([(b, f(p)) for p, b, _ in W]), random=guess(bpms), best_constant=constant(bpms))

def beat_table(W, name, sec):
    est = [(pose2beats(p), pose2beats(p, bpm=b)) for p, b, _ in W]
    f = np.array([[beat_f(t, e) for e in es] for es, (_, _, t) in zip(est, W)]).mean(0)
    c = np.mean([chance(beat_f, t, sec, bpm=b, n=20, seed=i) for i, (_, b, t) in enumerate(W)])
    print(f'{name:44} n={len(W):4}  beat F {f[0]:.2f}, at the true tempo {f[1]:.2f}, chance {c:.2f}', flush=True)

def calibration(W):
    r = [(pose2tempo(p).confidence, tempo_error(b, pose2tempo(p).bpm).acc1) for p, b, _ in W]; r = np.array(r, float)
    print('confidence -> share within 4 %:', ', '.join(f'{a:.1f}-{a+.2:.1f}: {r[k,1].mean():.2f} (n={k.sum()})' for a in (0,.2,.4,.6,.8)
                                                       if (k := (r[:,0]>=a) & (r[:,0]<a+.2)).any()))

def real():
    if not DANCE.is_dir(): return print(f'SKIPPED: real dance ({DANCE} is missing)')
    for sec in (5, 8):
        W = list(windows('street', sec)); tempo_table(W, f'street dance {sec} s')
        row(f'street dance {sec} s, hip-centred', len(W), accs([(b, pose2tempo(centred(p)).bpm) for p, b, _ in W]))
        row(f'street dance {sec} s, 2 cm noise', len(W), accs([(b, pose2tempo(noisy(p, 2, i)).bpm) for i, (p, b, _) in enumerate(W)]))
        beat_table(W, f'street dance {sec} s', sec); calibration(W)
    for k, name in dict(C='cha-cha', R='rumba', T='tango', W='waltz (3/4)').items():
        W = list(windows(f'ballroom_{k}', 5)); tempo_table(W, f'ballroom {name} 5 s'); beat_table(W, f'ballroom {name} 5 s', 5)

def made():
    try: from dance2music.groove import choreograph, STYLES
    except ImportError: return print('SKIPPED: choreography (dance2music.groove has no choreograph)')
    four = [s for s in STYLES if STYLES[s].meter==4]
    def dance(i, bpm, sec, cm, timing='on', style=None):
        style = style or four[i%len(four)]
        beats = Beats.steady(bpm, sec, start=(i*.37%1)*60/bpm, meter=STYLES[style].meter)
        return noisy(choreograph(beats, style, seed=i, seconds=sec, timing=timing), cm, i), bpm, beats.times
    for sec in (5, 8):
        for cm in (0, 2):
            W = [dance(i, 80+i, sec, cm) for i in range(66)]
            row(f'choreography 80..145 BPM {sec} s, {cm} cm', len(W), accs([(b, pose2tempo(p).bpm) for p, b, _ in W]), random=guess([w[1] for w in W]))
            e = [abs(tempo_error(b, pose2tempo(p).bpm).rel) for p, b, _ in W]; print(f'{"":44} median error {np.median(e):.2%}, 95 % below {np.quantile(e, .95):.2%}')
            beat_table(W, f'choreography {sec} s, {cm} cm', sec)
    for bpm in (90, 110, 128):
        W = [dance(i, bpm, 8, 2) for i in range(27)]; row(f'choreography {bpm} BPM 8 s, 2 cm', len(W), accs([(b, pose2tempo(p).bpm) for p, b, _ in W]))
    W = [dance(i, 80+2*i, 8, 2, style='waltz') for i in range(33)]; row('choreography waltz (3/4) 8 s, 2 cm', len(W), accs([(b, pose2tempo(p).bpm) for p, b, _ in W]))
    W = [dance(i, 80+i%66, 8, 2, 'against') for i in range(60)]; beat_table(W, 'choreography 8 s, 2 cm, against the beat', 8)

def nothing():
    rng = np.random.default_rng(0); c = [pose2tempo(Pose(rng.normal(0, .02, (120,33,3)), 24)).confidence for _ in range(50)]
    print(f'noise 5 s: confidence median {np.median(c):.2f}, highest {max(c):.2f}')
    p = Pose(rng.normal(0, .02, (120,33,3)).cumsum(0), 24); t = [time.perf_counter() for _ in range(21) if pose2beats(p)]
    print(f'pose2beats of 5 s: {1e3*np.median(np.diff(t)):.1f} ms')

if __name__=='__main__': real(); made(); nothing()
