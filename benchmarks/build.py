"""How fast, how safe and how strict is build_dataset?

    python benchmarks/build.py [--parts stages,speed,resume,filter,rows] [--clips 24] [--kills 10] [--json results/build.json]

The videos are the shipped dancer at 30 frames a second in 1280x720, each with another groove; `--video FILE` takes a film of yours
instead. `speed` and `stages` want a quiet machine; the other parts do not care. Nothing is fetched from a network."""
import argparse, csv, json, os, random, shutil, signal, sys, tempfile, threading, time
from itertools import count
from pathlib import Path
import numpy as np
import dance2music.dataset as ds
from dance2music.dataset import Recipe, Rejected, build_dataset, clip_beats, clip_sound, good_pose, make_pair, read_records
from dance2music.groove import STYLES, groove
from dance2music.media import asset, dub, save_wav, video2audio, video2frames
from dance2music.pose import Pose, PoseError, frames2pose

RESULTS = {}

def verdict(name, value, target, sign='>=', note=''):
    ok = value >= target if sign == '>=' else value <= target
    RESULTS[name] = dict(value=float(value), target=target, ok=bool(ok))
    print(f"{'pass' if ok else 'FAIL'}  {name}: {value:.3g} (target {sign} {target:g}){'; '+note if note else ''}", flush=True)

# ---- material

def film(path, seconds, fps=30, size=(1280, 720)):
    "The shipped dancer again and again, in a picture as phones make it"
    import av
    frames = [*video2frames(asset('clip.mp4'), fps=fps)]
    with av.open(str(path), 'w') as o:
        v = o.add_stream('libx264', rate=fps, options=dict(crf='26', preset='veryfast')); v.width, v.height, v.pix_fmt = *size, 'yuv420p'
        for i in range(round(seconds*fps)):
            o.mux(v.encode(av.VideoFrame.from_ndarray(frames[i % len(frames)], format='rgb24').reformat(*size, format='yuv420p')))
        o.mux(v.encode(None))
    return path

def videos(folder, n, seconds, video=None):
    "`n` videos with music of their own; the pictures are encoded once and copied"
    folder.mkdir(parents=True, exist_ok=True); base = video or film(folder/'base.mkv', seconds)
    for i in range(n):
        m = groove(90 + 4*(i % 12), [*STYLES][i % len(STYLES)], seconds, seed=i)
        dub(base, m.wav, m.sr, folder/f'{i:03d}.mp4')
    return sorted(folder.glob('*.mp4'))

def listed(path, rows):
    with open(path, 'w', newline='', encoding='utf-8') as f: csv.writer(f).writerows([('url', 'start', 'end'), *rows])
    return path

# ---- how fast, how much memory

def plain(files, seconds, codec):
    "What one writes on a first afternoon: decode, look at every frame of the source, encode, keep everything in a list"
    from dance2music.media import probe
    rows = []
    for f in files:
        fps = probe(f).fps; wav = video2audio(f)
        pose = frames2pose(video2frames(f, fps, 0, seconds), fps)
        rows.append((pose.xyz, codec.encode(wav[:round(seconds*24000)])))
    return rows

class Memory(threading.Thread):
    "The largest resident memory of any worker process, sampled five times a second"
    def __init__(self): super().__init__(daemon=True); self.most, self.on = 0, True
    def run(self):
        import psutil
        me = psutil.Process()
        while self.on:
            for p in me.children(recursive=True):
                try: self.most = max(self.most, p.memory_info().rss)
                except psutil.Error: pass
            time.sleep(.2)
    def __enter__(self): self.start(); return self
    def __exit__(self, *e): self.on = False; self.join()

def timed(f):
    t = time.perf_counter(); r = f()
    return time.perf_counter() - t, r

def steady(links, out, seconds, workers):
    "Seconds of a build without the start of its workers: from the first finished clip of a worker to the last"
    at = []
    build_dataset(links, out, seconds=seconds, workers=workers, stems='none', progress=lambda done, total, counts: at.append((time.perf_counter(), done)))
    (t0, n0), (t1, n1) = at[min(workers, len(at)) - 1], at[-1]
    return (t1 - t0)/max(1, n1 - n0)

def speed(tmp, n, seconds, video):
    from dance2music.codec import Codec
    codec = Codec.from_pretrained('nano'); files = videos(tmp/'videos', n, seconds, video); links = listed(tmp/'all.csv', [(f, 0, seconds) for f in files])
    few = files[:max(2, n//4)]
    plain(few[:1], min(seconds, 2.), codec)                                    # warm up
    slow = timed(lambda: plain(few, seconds, codec))[0]/len(few)
    rates = {}
    for workers in (1, 2):
        with Memory() as m: whole, _ = timed(lambda: build_dataset(links, tmp/f'whole{workers}', seconds=seconds, workers=workers, stems='none'))
        rates[workers] = steady(links, tmp/f'steady{workers}', seconds, workers)
        print(f'{workers} worker(s): {60/rates[workers]:.1f} clips a minute once running, {60*n/whole:.1f} with the start; n = {n} clips of {seconds:g} s', flush=True)
    print(f'plain loop: {60/slow:.1f} clips a minute, n = {len(few)}')
    RESULTS['rates'] = dict(plain=60/slow, **{f'workers{k}': 60/v for k, v in rates.items()}, n=n, cores=os.cpu_count())
    verdict('clips a minute over the plain loop', slow/rates[2], 2.5, note='two workers, once running')
    verdict('two workers over one', rates[1]/rates[2], 1.7)
    verdict('memory of a worker, GB', m.most/1e9, 1.2, '<=')

def stages(tmp, n, seconds, video):
    "Processor seconds of each stage of a clip, in one process"
    files = videos(tmp/'stages', n, seconds, video); recipe = Recipe(seconds); took = {}
    def clock(name, f):
        t = time.process_time(); r = f(); took.setdefault(name, []).append(time.process_time() - t)
        return r
    for f in files:
        wav = clock('read sound', lambda: clip_sound(f, 0., recipe)); clock('beats', lambda: clip_beats(wav, recipe.sr))
        frames = clock('decode pictures', lambda: [*video2frames(f, recipe.fps, 0, seconds, max_side=recipe.side)])
        pose = clock('find the dancer', lambda: frames2pose(frames, recipe.fps)); clock('judge and clean', lambda: good_pose(pose))
        clock('stems (HPSS) and codes', lambda: ds.clip_codes(wav, recipe)); clock('fingerprint', lambda: ds.fingerprint(f))
    mid = {k: float(np.median(v)) for k, v in took.items()}
    print(f'processor seconds of a clip of {seconds:g} s, median of {n}'); [print(f'  {k:24}{v:8.3f}') for k, v in mid.items()]
    print(f"  {'together':24}{sum(mid.values()):8.3f}"); RESULTS['stages'] = mid

# ---- how safe

def content(out): return {(r['clip'], r['dancer']): (r['codes'], r['pose'], tuple(r['beats'])) for r in read_records(out)}

def child(links, out, seconds, workers):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        try: build_dataset(links, out, seconds=seconds, workers=workers, stems='none', shard=3); os._exit(0)
        except BaseException as e: print(f'{type(e).__name__}: {e}', file=sys.stderr, flush=True); os._exit(1)
    return pid

def kill_at(pid, moment):
    "kill -9 to the process and all its workers after `moment` seconds; True if it was still running"
    end = time.time() + moment
    while time.time() < end:
        if os.waitpid(pid, os.WNOHANG)[0]: return False
        time.sleep(.01)
    os.killpg(pid, signal.SIGKILL); os.waitpid(pid, 0)
    return True

def resume(tmp, kills, workers):
    "A build that is killed at random moments, against one that is not"
    seconds, rng = 2., random.Random(0)
    long = dub(asset('clip.mp4'), groove(104., 'house', 9., seed=1).wav, 24000, tmp/'a.mp4')
    other = dub(asset('clip.mp4'), groove(120., 'disco', 9., seed=2).wav, 24000, tmp/'b.mp4')
    links = listed(tmp/'resume.csv', [(long, '', ''), ('missing.mp4', '', ''), (asset('clip.mp4'), '', ''), (other, 0, 9)])
    t = time.time(); assert os.waitpid(child(links, tmp/'calm', seconds, workers), 0)[1] == 0; whole = time.time() - t
    done = 0
    for _ in count():
        if done == kills: break
        killed = kill_at(child(links, tmp/'stormy', seconds, workers), rng.uniform(.05, 1)*whole/(1 + .6*kills/8)); done += killed
        if not killed: shutil.copytree(tmp/'stormy', tmp/f'early-{done}'); shutil.rmtree(tmp/'stormy') # finished too soon: begin again, keep it for the comparison
    assert os.waitpid(child(links, tmp/'stormy', seconds, workers), 0)[1] == 0
    want = content(tmp/'calm'); sets = [tmp/'stormy', *tmp.glob('early-*')]
    same = all(content(s) == want for s in sets); files = all((s/p.name).read_bytes() == p.read_bytes() for s in sets for p in [*(tmp/'calm').glob('shard-*'), tmp/'calm'/'failed.csv', tmp/'calm'/'rejected.csv'])
    print(f'{done} kills in {len(sets)} build(s) of {len(want)} records, {workers} worker(s), undisturbed {whole:.0f} s; shards and lists of reasons equal, byte for byte: {files}')
    verdict('killed and resumed: the same records, bit for bit', same and files and len(want), 1, note=f'{len(want)} records')

# ---- how strict

def gone(x, rng, fps): x[rng.permutation(len(x))[:round(rng.uniform(.6, .95)*len(x))]] = np.nan
def away(x, rng, fps): n = round(rng.uniform(2.3, 3.2)*fps); a = rng.integers(0, len(x) - n); x[a:a+n] = np.nan
def nobody(x, rng, fps): x[:] = np.nan
def jumps(x, rng, fps):
    for a in rng.choice(np.arange(5, len(x) - 5), 8, replace=False): x[a:] += rng.choice([-1, 1])*rng.uniform(.9, 2.)*np.array([1, 0, 0])
def still(x, rng, fps): x[:] = x[len(x)//2] + rng.normal(0, 2e-4, x.shape)
def rubber(x, rng, fps): # a body that a detector keeps inventing anew
    hips = x[:, [23, 24]].mean(1, keepdims=True); s = np.exp(rng.normal(0, rng.uniform(.45, .7), (len(x), 33, 1))); x[:] = hips + (x - hips)*s
def scramble(x, rng, fps): x += rng.normal(0, rng.uniform(.25, .5), x.shape)
def short(x, rng, fps): return x[:rng.integers(4, round(.9*fps))]
POSE_FAULTS = [gone, away, nobody, jumps, still, rubber, scramble, short]

def silence(w, rng): return w*1e-4
def hiss(w, rng): return rng.normal(0, .1, len(w))
def hum(w, rng): return .3*np.sin(2*np.pi*rng.uniform(60, 400)*np.arange(len(w))/24000)
def speech(w, rng): # syllables at irregular times
    t = np.cumsum(rng.gamma(4, .06, 200)); t = t[t < len(w)/24000 - .3]; y = np.zeros(len(w)); n = 3600
    for a in t: y[int(24000*a):][:n] += np.hanning(n)*rng.normal(0, .2, n)*rng.uniform(.3, 1)
    return y
def cut_off(w, rng): return w[:round(rng.uniform(.2, .9)*len(w))]
SOUND_FAULTS = [silence, hiss, hum, cut_off]

def blink(x, rng):
    "What a good pose may have: a few frames unseen, one wild landmark"
    for a in rng.integers(0, len(x) - 6, 2): x[a:a+rng.integers(1, 6)] = np.nan
    x[rng.integers(len(x)), rng.integers(33)] += .5
    return x

def judged(pose, wav, recipe, tmp):
    "Why a clip is rejected; None if it is taken"
    save_wav(wav, 24000, tmp/'s.wav')
    try: good_pose(pose); clip_beats(clip_sound(tmp/'s.wav', 0., recipe), recipe.sr)
    except (Rejected, PoseError) as e: return str(e)

def strict(tmp, n):
    "Precision and recall of the filter on clips half of which carry a fault"
    recipe, tally, found = Recipe(5.), [], {}
    faults = POSE_FAULTS*2 + SOUND_FAULTS
    for i in range(n):
        rng = np.random.default_rng(i); pose, music = make_pair(5*10**6 + i, 5.); x, wav = pose.xyz.copy(), music.wav; fault = None
        if i % 2 == 0: x = blink(x, rng) if i % 4 else x; wav = wav*np.float32(rng.uniform(.2, 1))
        else:
            fault = faults[i//2 % len(faults)]
            if fault in POSE_FAULTS: y = fault(x, rng, 24); x = x if y is None else y
            else: wav = np.asarray(fault(wav, rng), np.float32)
        why = judged(Pose(x, 24.), wav, recipe, tmp); tally.append((fault is not None, why is not None)); name = fault.__name__ if fault else 'none'
        found.setdefault(name, []).append(why)
    bad, out = np.array(tally).T; hit = (bad & out).sum()
    print(f'{n} clips, {bad.sum()} with a fault; rejected of each kind:')
    for k, v in found.items(): print(f"  {k:10}{sum(w is not None for w in v):4} of {len(v):3}   {next((w for w in v if w), '')[:90]}")
    verdict('filter: precision', hit/max(1, out.sum()), .95, note=f'chance {bad.mean():.2f}'); verdict('filter: recall', hit/bad.sum(), .95, note=f'n = {n}')

# ---- a list as people write it

def rows(tmp, n):
    "A list of `n` rows most of which are bad: each must end in exactly one place"
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]/'tests'))
    from test_dataset import bad_rows
    (d := tmp/'rows').mkdir(); kinds = bad_rows(d); dub(asset('clip.mp4'), groove(104., 'house', 9., seed=1).wav, 24000, d/'dance.mp4')
    lines = [f'dance.mp4,{2*i},{2*i + 2}' if i < 3 else kinds[i % len(kinds)][0] for i in range(n)]
    (d/'list.csv').write_bytes('\n'.join(['url,start,end', *lines]).encode())
    build_dataset(d/'list.csv', tmp/'rows-set', seconds=2., workers=1, stems='none'); out = tmp/'rows-set'
    got = {k: {int(r['row']) for r in csv.DictReader(open(out/f'{k}.csv', encoding='utf-8'))} for k in ('rejected', 'failed')}
    starts = {r['start'] for r in read_records(out) if r['url'] == 'dance.mp4'}; got['records'] = {i + 2 for i in range(3) if 2.*i in starts}
    places = [sum(i in s for s in got.values()) for i in range(2, n + 2)]
    print(f"{n} rows, {len(kinds)} kinds of bad ones: {', '.join(f'{len(v)} {k}' for k, v in got.items())}")
    verdict('rows in exactly one place', np.mean(np.array(places) == 1), 1, note=f'n = {n}')

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--parts', default='stages,speed,resume,filter,rows'); p.add_argument('--clips', type=int, default=24, help='videos for speed'); p.add_argument('--seconds', type=float, default=5.)
    p.add_argument('--kills', type=int, default=10); p.add_argument('--workers', type=int, default=2, help='for resume'); p.add_argument('--filter', type=int, default=200, help='clips for filter')
    p.add_argument('--rows', type=int, default=1000); p.add_argument('--video', type=Path); p.add_argument('--json', type=Path)
    a = p.parse_args(argv); parts = a.parts.split(',')
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp)
        if 'resume' in parts: resume(tmp, a.kills, a.workers)                   # first: it forks, and wants no threads
        if 'rows' in parts: rows(tmp, a.rows)
        if 'filter' in parts: strict(tmp, a.filter)
        if 'stages' in parts: stages(tmp, max(2, a.clips//4), a.seconds, a.video)
        if 'speed' in parts: speed(tmp, a.clips, a.seconds, a.video)
    if a.json: a.json.parent.mkdir(parents=True, exist_ok=True); a.json.write_text(json.dumps(RESULTS, indent=1))
    return all(r.get('ok', True) for r in RESULTS.values())

if __name__ == '__main__': sys.exit(not main())
