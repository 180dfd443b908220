"""Do the grooves and the dances keep their promises? A table of promise, figure, target and verdict.

    python benchmarks/groove.py [--seeds 10] [--render FOLDER] [--json benchmarks/results/groove.json]

Sound: every style with `--seeds` seeds, clips of 8 s at a random tempo of the style's range. Dance: the same styles, seeds and tempi.
`--render` draws one dance of each style on the CC0 body (tools/render_dancer.py; the mesh is fetched once with pip), lets MediaPipe
look at it, and measures what MediaPipe gets wrong; videos and landmarks stay in FOLDER, so a second run is quick. `--fit` prints
the tables of `detector_noise` anew. Without `--render` those rows are skipped, with a word."""
import argparse, json, sys, time
from pathlib import Path
import numpy as np
from scipy import signal
from dance2music import groove as G
from dance2music.groove import DANCES, STYLES, choreograph, detector_noise, groove, pose_error
from dance2music.pose import BONES, Pose
from dance2music.rhythm import Beats, audio2beats

SR, SECONDS = 24000, 8.
TRUNK = {(11, 23), (12, 24)} # the sides of the trunk bend with the spine: no bones


def tempo(style, seed): return float(np.random.default_rng([seed, len(style)]).uniform(*STYLES[style].bpm))

def right(true, heard, tol=.04):
    "Within 4 % of the tempo, its half or its double"
    return min(abs(heard*k/true-1) for k in (.5, 1, 2)) < tol


# ---- sound

def render(seeds):
    "Every style and seed: list of `(style, bpm, Music)`, and processor seconds for all"
    for s in STYLES: groove(120, s, 1.) # the banks are made once
    t, out = time.process_time(), []
    for s in STYLES: out += [(s, tempo(s, i), groove(tempo(s, i), s, SECONDS, seed=i)) for i in range(seeds)]
    return out, time.process_time()-t

def hears(music):
    try: return audio2beats(music.wav, music.sr).bpm
    except ValueError: return float('nan')

def chance_tempo(bpms, n=20000, seed=0):
    "How often a random tempo in 60..200 is right, octave allowed; and the best constant one"
    rng, b = np.random.default_rng(seed), np.array(bpms)
    hit = lambda h: (np.abs(np.array([.5, 1, 2])*np.asarray(h)[:,None]/b[rng.integers(len(b), size=len(h)), None]-1) < .04).any(1).mean()
    const = max(np.mean([right(x, h) for x in b]) for h in np.arange(60, 200, .5))
    return float(hit(np.exp(rng.uniform(np.log(60), np.log(200), n)))), float(const)

def true_peak(x, times=8):
    "dBFS between the samples, at eight times the rate (the limiter itself looks at four times)"
    return 20*np.log10(np.abs(signal.resample_poly(x.astype(float), times, 1)).max()+1e-12)

def loudness(music):
    import pyloudnorm
    return pyloudnorm.Meter(music.sr).integrated_loudness(music.wav.astype(float))

def alike(style, seeds, seconds=4.4, bpm=110):
    "Highest correlation of two seeds' waves over all shifts, at one tempo and energy; how many pairs share a whole arrangement"
    x = [groove(bpm, style, seconds, i, energy=.8).wav.astype(float) for i in range(seeds)]; n = 2*len(x[0])
    F = [np.fft.rfft(w/np.linalg.norm(w), n) for w in x]
    pairs = [(i, j) for i in range(seeds) for j in range(i)]
    parts = lambda i: (a := G._arrangement(STYLES[style], np.random.default_rng(i), SR)) and str(
        [a[k] for k in ('rows', 'bass', 'chords', 'key', 'progression', *G.PATCHES)]+[[*a['lead']]]+[[float(np.abs(v).sum()) for v in a['kit'].values()]])
    p = [parts(i) for i in range(seeds)]
    return [np.abs(np.fft.irfft(F[i]*np.conj(F[j]), n)).max() for i, j in pairs], sum(p[i] == p[j] for i, j in pairs)


# ---- dance

def spread(pose):
    "Largest relative change of a bone's length over time"
    x = pose.xyz.astype(float); L = np.stack([np.linalg.norm(x[:,i]-x[:,j], axis=-1) for i, j in BONES if (i, j) not in TRUNK])
    return float((np.ptp(L, axis=1)/L.mean(1)).max())

def stretch_chance(style, seed):
    "The same for landmarks averaged between frames half a beat apart: what a dance made by fading poses would do"
    p = choreograph(120, style, seed, seconds=4); return spread(Pose((p.xyz[6:]+p.xyz[:-6])/2, 24))


# ---- what MediaPipe sees

def scenes(n=10, seconds=4.):
    "One dance of each style in turn: `(name, dance)`"
    for i in range(n):
        s = [*DANCES][i % len(DANCES)]; yield f'{i:02}_{s}', choreograph(Beats.steady(tempo(s, 100+i), seconds, meter=STYLES[s].meter), s, 100+i, seconds=seconds)

def watched(folder, n=10):
    "Draw, look, and remember: list of `(name, dance, what MediaPipe saw)`"
    from dance2music.pose import video2pose
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]/'tools')); folder.mkdir(parents=True, exist_ok=True); out = []
    for name, pose in scenes(n):
        video, seen = folder/f'{name}.mp4', folder/f'{name}.npz'
        if not video.exists(): import render_dancer; render_dancer.render(pose, video, 360, 480)
        if not seen.exists(): video2pose(video).save(seen)
        out.append((name, pose, Pose.load(seen))); print(f'  {name:18} {out[-1][2].seen.mean():.1%} of {len(pose)} frames', flush=True)
    return out

def acf(errors, lags=18):
    "Autocorrelation of errors `(T,33,3)` of several clips, pooled over joints: `(lags,3)`"
    num = [sum((e[k:]*e[:len(e)-k]).sum((0, 1)) for e in errors)/sum((len(e)-k)*33 for e in errors) for k in range(lags)]
    return np.array(num)/num[0]

def swapped(true, seen):
    "Share of frames in which left and right fit better exchanged: a dict of joints"
    y = seen.xyz.astype(float); x = G._similar(true.xyz.astype(float).reshape(-1, 3), y.reshape(-1, 3)).reshape(y.shape)
    d = lambda i, j: np.linalg.norm(y[:,i]-x[:,j], axis=-1)
    return {n: float((d(l, l)+d(l+1, l+1) > d(l, l+1)+d(l+1, l)+.02).mean()) for n, l in dict(shoulder=11, wrist=15, hip=23, knee=25, ankle=27).items()}

def fit(errors, visible):
    "The rows of `groove._NOISE`: sd in cm, correlation with the joint it hangs on, visibility, left and right pooled"
    E, V, parts, rows = np.concatenate(errors), np.concatenate(visible), np.array(G._PARTS), {}
    r = lambda j, k: [np.corrcoef(E[:,j,c], E[:,k,c])[0, 1] for c in range(3)]
    for p in dict.fromkeys(G._PARTS):
        js = np.flatnonzero(parts == p); share = np.mean([r(j, G._HANGS_ON[j]) for j in js if j in G._HANGS_ON], 0)
        sd = 100*np.sqrt((E[:,js]**2).mean((0, 1)))
        rows[p] = [*sd.round(1).tolist(), *share.round(2).tolist(), round(float(V[:,js].mean()), 3), round(float(V[:,js].std()), 3)]
    return rows

def look(folder, refit=False):
    "Rows on MediaPipe, and the figures behind them"
    clips = watched(folder); errors, model, visible, swaps = [], [], [], []
    for i, (name, true, seen) in enumerate(clips):
        n = min(len(true), len(seen)); ok = seen.seen[:n]
        if not ok.all(): print(f'  {name}: left out of the noise, not seen in every frame'); continue
        errors.append(pose_error(true, seen)); visible.append(seen.visibility[:n]); swaps.append(swapped(true, seen) if len(true) == len(seen) else {})
        model.append(pose_error(true, detector_noise(true, i, 2.35, 0)))
    found = float(np.mean(np.concatenate([s.seen for _, _, s in clips])))
    a, b = acf(errors), acf(model); sd, sm = (np.sqrt((np.concatenate(e)**2).mean((0, 1)))*100 for e in (errors, model))
    joint, jm = (np.sqrt((np.concatenate(e)**2).mean(0))*100 for e in (errors, model))
    figures = dict(clips=len(clips), frames=sum(len(s) for _, _, s in clips), found=found, sd_cm=sd.tolist(), model_sd_cm=sm.tolist(), acf=a.round(3).tolist(), model_acf=b.round(3).tolist(),
                   joints=float(np.corrcoef(joint.ravel(), jm.ravel())[0, 1]), joint_sd_cm=joint.round(1).tolist(), swapped={k: float(np.mean([s[k] for s in swaps if s])) for k in swaps[0]},
                   lost=float(np.mean([(v < .5).mean() for v in visible])))
    print('  cm in x, y, z: measured', sd.round(1), 'model', sm.round(1), '| left and right exchanged:', {k: round(v, 3) for k, v in figures['swapped'].items()}, f"| visibility below 0.5: {figures['lost']:.1%}")
    if refit: print('_NOISE =', *[f'    {p}={tuple(v)},' for p, v in fit(errors, visible).items()], sep='\n'); print('acf', a.round(2).tolist())
    return figures


# ---- the table

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--seeds', type=int, default=10); p.add_argument('--render', type=Path); p.add_argument('--fit', action='store_true'); p.add_argument('--json', type=Path)
    a = p.parse_args(argv); rows, notes = [], {}
    def row(what, value, sign, target, n, chance=''):
        ok = value >= target if sign == '>=' else value < target
        rows.append(dict(what=what, value=float(value), target=f'{sign} {target}', n=n, chance=chance, ok=bool(ok)))
        print(f"{'pass' if ok else 'FAIL'}  {what:58}{value:9.4g}  target {sign} {target:<6g} n = {n}{'  chance: '+chance if chance else ''}", flush=True)
    music, cpu = render(a.seeds); n = len(music)
    row('groove rendering, x real time, processor time of one core', n*SECONDS/cpu, '>=', 40, f'{n} x 8 s')
    ok = {s: [] for s in STYLES}
    for s, bpm, m in music: ok[s].append(right(bpm, hears(m)))
    c = chance_tempo([b for _, b, _ in music])
    row('librosa finds the tempo, octave allowed, share', np.mean([x for v in ok.values() for x in v]), '>=', .95, f'{n} x 8 s', f'a random tempo {c[0]:.0%}, the best constant {c[1]:.0%}')
    notes['tempo'] = {s: float(np.mean(v)) for s, v in ok.items()}; print('      ', notes['tempo'])
    l = [loudness(m) for *_, m in music]
    row('loudness, largest distance from -14 LUFS, dB', np.abs(np.array(l)+14).max(), '<', 1, f'{n} x 8 s')
    row('highest true peak, dBFS', max(true_peak(m.wav) for *_, m in music), '<', -1, f'{n} x 8 s')
    sim = {s: alike(s, a.seeds) for s in STYLES}; every = [x for v, _ in sim.values() for x in v]
    row('two seeds, highest correlation of their waves', max(every), '<', .9, f'{len(every)} pairs', 'a seed with itself 1.0')
    row('two seeds with the same arrangement, pairs', sum(k for _, k in sim.values()), '<', 1, f'{len(every)} pairs')
    notes['alike'] = {s: float(max(v)) for s, (v, _) in sim.items()}; print('       highest by style', {k: round(v, 2) for k, v in notes['alike'].items()}, f'mean of all pairs {np.mean(every):.2f}')
    bones = [spread(choreograph(Beats.steady(tempo(s, i), 6, meter=STYLES[s].meter), s, i, seconds=6)) for s in DANCES for i in range(a.seeds)]
    row('choreography, largest change of a bone, share', max(bones), '<', .01, f'{len(bones)} dances of 6 s', f'poses averaged over half a beat {np.mean([stretch_chance(s, 0) for s in DANCES]):.0%}')
    if a.render:
        notes['detector'] = f = look(a.render, a.fit)
        row('MediaPipe finds the drawn dancer, share of frames', f['found'], '>=', .99, f"{f['clips']} clips, {f['frames']} frames")
        row('detector noise: model sd over measured, worst of x, y, z', max(abs(np.log(np.array(f['model_sd_cm'])/f['sd_cm']))), '<', .35, f"{f['clips']} clips; |log ratio|")
        row('detector noise: autocorrelation, largest difference', np.abs(np.array(f['acf'])-f['model_acf']).max(), '<', .25, 'lags to 0.7 s', f"white noise {np.abs(np.array(f['acf'])[1:]).max():.2f}")
        row('detector noise: joint by joint, correlation', f['joints'], '>=', .9, '33 joints x 3')
    else: print('SKIPPED: MediaPipe on the drawn dancer, and its noise (name a folder with --render)')
    if a.json: a.json.parent.mkdir(parents=True, exist_ok=True); a.json.write_text(json.dumps(dict(seeds=a.seeds, rows=rows, **notes), indent=1)+'\n')
    return 0 if all(r['ok'] for r in rows) else 1


if __name__ == '__main__': sys.exit(main())
