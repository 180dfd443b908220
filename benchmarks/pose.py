"""Does chapter 02 find and mend what is wrong with a pose, and what does it cost?

    python benchmarks/pose.py [--parts faults,repair,speed,memory] [--n 60] [--cm 1,2] [--json FILE]

Faults of 2 to 10 frames are put into 5-s dances: choreography of unseen seeds, and the street dances in ../shared/data/dance
where they are, each with the noise of a detector (`detector_noise`; cm is its standard deviation in x and y, depth has 3 times
as much). AUC: how often a damaged frame scores above a sound one; chance is 0.5. Speed: `video2pose` against a bare MediaPipe
loop over the same frames, alternating in one run. Memory: the most that a fresh process holds, 60 s against 5 s of 1080p."""
import argparse, json, os, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np
from dance2music.groove import DANCES, choreograph, detector_noise
from dance2music.media import asset, video2frames
from dance2music.pose import LEFT, RIGHT, Pose, clean, faults, quality, video2pose

STREET = Path(__file__).resolve().parents[2]/'shared'/'data'/'dance'
ROWS = []
ARMS = [(11,13,[13,15,17,19,21]), (13,15,[15,17,19,21]), (12,14,[14,16,18,20,22]), (14,16,[16,18,20,22]),
        (23,25,[25,27,29,31]), (25,27,[27,29,31]), (24,26,[26,28,30,32]), (26,28,[28,30,32])]


def row(what, value, target=None, more='', n=None, chance=None):
    "Print and keep a figure; `target` is ('>=', number) or ('<', number)"
    ok = None if target is None else bool(value>=target[1] if target[0]=='>=' else value<target[1])
    ROWS.append(dict(what=what, value=float(value), target=target and ' '.join(map(str, target)), ok=ok, more=more, n=n, chance=chance))
    print(f'{what:52}{value:10.3f}  {" ".join(map(str, target)) if target else "":9} {"" if ok is None else "pass" if ok else "FAIL":5} {more}', flush=True)


# ---- dances, and what goes wrong with them

def dances(n, seconds=5):
    "Pairs (source, dance without noise)"
    for k in range(n):
        style = [*DANCES][k%len(DANCES)]
        yield 'choreography', choreograph(75+75*((k*.618)%1), style, seed=50_000+k, seconds=seconds)
    files = sorted(STREET.glob('street*.npz')) if STREET.is_dir() else []
    for f in files:
        x = np.load(f)['xyz'].astype(np.float32); m = round(seconds*24)
        for a in np.linspace(0, len(x)-m, -(-n//(2*len(files)))).astype(int): yield 'street', Pose(x[a:a+m], 24)
    if not files: print('skipped: the street dances are not beside this repository')


def noisy(pose, seed, cm): return Pose(detector_noise(pose, seed, cm=cm, dropout=0).xyz, pose.fps)

def swapped(x, points):
    order = np.arange(33)
    for l,r in zip(LEFT, RIGHT):
        if l in points: order[[l,r]] = r,l
    return x[:,order]

def camera(pose, rng):
    "Image landmarks of 200 pixels a metre, and a picture that ends where the dancer sometimes goes: with the truth"
    p = 200*pose.xyz[...,:2]; p = p-p.min((0,1))+20
    third = np.sort(p[:,11:,0], 1)[:,-3] # three points are beyond this
    wide = np.quantile(third, rng.uniform(.75, .95))
    return p+rng.normal(0, 2, p.shape), (max(1, int(wide)), int(p[...,1].max())+20), (p[:,11:,0]>=int(wide)).sum(1)>=3

def damage(kind, pose, truth, rng, frames=(2,10)):
    "The pose with one fault, which frames `(T,)` have it, and which points"
    x,T,points = pose.xyz.copy(),len(pose),np.arange(33)
    n = rng.integers(frames[0], frames[1]+1); a = rng.integers(5, T-n-5); b = a+n
    y = np.zeros(T, bool); y[a:b] = True
    if kind=='missing': x[a:b] = np.nan
    if kind=='teleport': d = rng.normal(size=3)*[1,.5,.3]; x[a:b] += d/np.linalg.norm(d)*rng.uniform(.5, 2)
    if kind=='swap': x[a:b] = swapped(x[a:b], [range(33), range(1,23), range(23,33)][rng.integers(3)])
    if kind=='frozen': x[a:b] = x[a-1]+rng.normal(0, 5e-5, x[a:b].shape)
    if kind=='bones':
        i,j,points = ARMS[rng.integers(len(ARMS))]
        x[a:b,points] += ((x[a:b,j]-x[a:b,i])*((rng.uniform(.3, .55) if rng.random()<.5 else rng.uniform(1.7, 2.5))-1))[:,None]
    if kind=='outside':
        image,size,y = camera(truth, rng)
        return Pose(x, pose.fps, image=image, size=size),y,points
    return Pose(x, pose.fps),y,points


# ---- parts

def auc(score, y):
    from scipy.stats import rankdata
    r,n = rankdata(score),y.sum()
    return (r[y].sum()-n*(n+1)/2)/(n*(len(y)-n))

KINDS = 'missing','teleport','swap','frozen','bones','outside'

def part_faults(W, cm):
    every = {}
    for kind in KINDS:
        S = {}
        for k,(source,p) in enumerate(W):
            q,y,_ = damage(kind, noisy(p, k, cm), p, np.random.default_rng([k,1]))
            F = faults(q); S.setdefault(source, []).append((F[kind], y)); every.setdefault(source, []).append((np.max([*F.values()], 0), y))
        for source,v in S.items():
            s,y = (np.concatenate(a) for a in zip(*v))
            row(f'AUC of {kind}, {source}, {cm:g} cm', auc(s, y), more=f'{y.sum()} of {len(y)} frames; above the line: {(s[y]>.5).mean():.3f} of them, {(s[~y]>.5).mean():.4f} of the others')
    for source,v in every.items():
        s,y = (np.concatenate(a) for a in zip(*v))
        row(f'AUC of any fault, highest of six, {source}, {cm:g} cm', auc(s, y), ('>=',.97), f'{len(v)} clips; chance 0.5', len(v), .5)
    for source in every:
        good = [quality(noisy(p, k, cm)).verdict for k,(s,p) in enumerate(W) if s==source]
        row(f'undamaged clips that are not called bad, {source}, {cm:g} cm', np.mean([v!='bad' for v in good]), more=f'"good": {np.mean([v=="good" for v in good]):.2f} of {len(good)}')

def held(x):
    "Holes filled with the last body seen: what a program without a cure does"
    x = x.copy()
    for t in range(1, len(x)): x[t] = np.where(np.isnan(x[t]), x[t-1], x[t])
    return x

def part_repair(W, cm):
    total = {}
    for kind in KINDS[:5]:
        E = {}
        for k,(source,p) in enumerate(W):
            whole = noisy(p, k, cm); q,y,points = damage(kind, whole, p, np.random.default_rng([k,2]))
            off = lambda x: np.linalg.norm(x-p.xyz, axis=-1)[np.ix_(y, points)].mean()
            E.setdefault(source, []).append([off(x) for x in (held(q.xyz), clean(q).xyz, whole.xyz, clean(whole).xyz)])
        for source,e in E.items():
            a,b,a0,b0 = np.nanmean(e, 0); total.setdefault(source, []).append(1-(b-b0)/(a-a0))
            row(f'error removed, {kind}, {source}, {cm:g} cm', total[source][-1], more=f'{100*a:.1f} cm -> {100*b:.1f} cm; without the fault {100*a0:.1f} -> {100*b0:.1f} cm')
    for source,v in total.items(): row(f'error removed, mean of five faults, {source}, {cm:g} cm', np.mean(v), ('>=',.6), 'of what the fault added to the noise', sum(k == source for k,_ in W), 0.)

def part_long(W, cm):
    empty,back = [],[]
    for k,(_,p) in enumerate(W):
        for kind in ('missing','teleport'):
            q,y,_ = damage(kind, noisy(p, k, cm), p, np.random.default_rng([k,3]), (18,30)); empty.append(np.isnan(clean(q).xyz[y]).all((1,2)).mean())
        whole = noisy(p, k, cm); q,y,_ = damage('swap', whole, p, np.random.default_rng([k,4]), (18,30))
        back.append(np.allclose(clean(q).xyz, clean(whole).xyz, atol=.01))
    row(f'long faults (0.75-1.25 s) left empty, {cm:g} cm', np.mean(empty), more=f'{len(empty)} stretches, missing or teleported')
    row(f'long exchanges of sides put back, {cm:g} cm', np.mean(back), more=f'{len(back)} stretches')

def bare(frames, fps=24):
    "Nothing but MediaPipe, as its manual shows it"
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision
    o = vision.PoseLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(asset('pose_landmarker_full.task'))), running_mode=vision.RunningMode.VIDEO)
    with vision.PoseLandmarker.create_from_options(o) as lm:
        return [lm.detect_for_video(mp.Image(mp.ImageFormat.SRGB, np.ascontiguousarray(f)), round(i*1000/fps)) for i,f in enumerate(frames)]

def part_speed(runs=3):
    path = asset('clip.mp4'); took = dict(bare=[], video2pose=[])
    for i in range(runs+1):
        for name,f in dict(bare=lambda p: bare(video2frames(p)), video2pose=video2pose).items():
            t = time.perf_counter(); n = len(f(path)); took[name].append(time.perf_counter()-t)
    a,b = (min(took[k][1:]) for k in ('bare','video2pose'))
    row('video2pose / bare MediaPipe loop', b/a, ('<',1.1), f'{n} frames, {b:.2f} s and {a:.2f} s, best of {runs} after the first')

def film(path, seconds):
    "The shipped clip again and again, at 1920 x 1080"
    import av
    with av.open(str(path), 'w') as c:
        s = c.add_stream('libx264', rate=24, options=dict(preset='ultrafast')); s.width,s.height,s.pix_fmt = 1920,1080,'yuv420p'
        left = seconds*24
        while left:
            for f in video2frames(asset('clip.mp4')):
                if not left: break
                c.mux(s.encode(av.VideoFrame.from_ndarray(f, format='rgb24').reformat(1920, 1080, 'yuv420p'))); left -= 1
        c.mux(s.encode(None))

def part_memory():
    import resource # noqa: F401  (not on Windows: say so early)
    code = 'import sys, resource; from dance2music.pose import video2pose; p = video2pose(sys.argv[1]); print(len(p), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)'
    held = {}
    with tempfile.TemporaryDirectory() as tmp:
        for seconds in (5,60):
            film(Path(tmp)/'film.mp4', seconds)
            r = subprocess.run([sys.executable, '-c', code, str(Path(tmp)/'film.mp4')], capture_output=True, text=True, check=True)
            n,kb = map(int, r.stdout.split()); held[seconds] = kb/(2**20 if sys.platform=='darwin' else 1024)
            assert n==24*seconds
    row('memory of 60 s less that of 5 s, 1080p (MB)', held[60]-held[5], ('<',50), f'{held[5]:.0f} MB and {held[60]:.0f} MB')


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--parts', default='faults,repair,speed,memory'); p.add_argument('--n', type=int, default=60, help='choreographed dances')
    p.add_argument('--cm', default='1,2', help='noise, cm'); p.add_argument('--json', type=Path)
    a = p.parse_args(argv); parts = a.parts.split(',')
    if {'faults','repair'} & {*parts}:
        W = list(dances(a.n))
        for cm in map(float, a.cm.split(',')):
            if 'faults' in parts: part_faults(W, cm)
            if 'repair' in parts: part_repair(W, cm); part_long(W, cm)
    if 'speed' in parts: part_speed()
    if 'memory' in parts: part_memory()
    if a.json:
        old = json.loads(a.json.read_text()) if a.json.exists() else []; done = {r['what'] for r in ROWS} # parts that were not measured stay
        a.json.parent.mkdir(parents=True, exist_ok=True); tmp = a.json.with_name(a.json.name+'.part')
        tmp.write_text(json.dumps([r for r in old if r['what'] not in done]+ROWS, indent=1)+'\n'); os.replace(tmp, a.json)
    failed = [r['what'] for r in ROWS if r['ok'] is False]
    print(f'{sum(r["ok"] is True for r in ROWS)} targets met, {len(failed)} missed', *failed, sep='\n  ')
    return 1 if failed else 0


if __name__ == '__main__': sys.exit(main())
