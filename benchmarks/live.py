"""How live is live? python benchmarks/live.py [--parts chain,group,latency,lock,change,long,hour,app] [--quick] [--json FILE]

The whole chain on the shipped clip, and, with a simulated clock, dances of known tempo made by the choreographer.
A random tempo of the range 75 to 150 BPM is within 4 % of the truth in about one of nine cases: that is the chance level of a lock."""
import argparse, json, resource, time
from pathlib import Path
import numpy as np
from dance2music.generate import DanceToMusic
from dance2music.groove import choreograph
from dance2music.live import Pace, Stream, Studio, Watcher, simulate
from dance2music.media import asset, video2frames
from dance2music.rhythm import Beats, tempo_error

RESULTS = {}

def verdict(name, value, target, sign='>=', note='', **more):
    ok = bool(value >= target if sign == '>=' else value <= target)
    RESULTS[name] = dict(value=float(value), target=target, ok=ok, **more)
    print(f"{'pass' if ok else 'FAIL'}  {name}: {value:.2f} (target {sign} {target:g}){'; '+note if note else ''}", flush=True)

def timed(frames, dancers, d2m, model='full', pace=None):
    "Seconds of work by stage, the seconds of the dance, the stream, the looks at a picture, and how many people each look found"
    cost = dict(decode=0., pose=0., tracker=0., music=0.); stream, n, found, rates = Stream(d2m, dancers=dancers), 0, [], []
    with Watcher(dancers, model=model) as w:
        it = iter(frames); end = 0
        while True:
            before = sum(cost.values()); t0 = time.perf_counter(); f = next(it, None); cost['decode'] += time.perf_counter()-t0
            if f is None: break
            if pace is None or pace.due(n/24):
                t0 = time.perf_counter(); x = w.see(f, n/24); cost['pose'] += time.perf_counter()-t0; found.append(int(np.isfinite(x).all((1, 2)).sum()))
                t0 = time.perf_counter(); stream.push(x, n/24); cost['tracker'] += time.perf_counter()-t0
            t0 = time.perf_counter()
            while end*.1 <= n/24: stream.pull(2400); end += 1
            cost['music'] += time.perf_counter()-t0
            if pace: pace.worked(n/24, sum(cost.values())-before); rates.append((pace.rate, sum(cost.values())-before, len(found)))
            n += 1
    return cost, n/24, stream, found, rates

def chain(d2m, quick):
    list(video2frames(asset('clip.mp4'), 24, end=.5))
    cost, seconds, *_ = timed(video2frames(asset('clip.mp4'), 24, max_side=1280), 1, d2m); total = sum(cost.values())
    print('share of each stage: '+', '.join(f'{k} {v/total:.0%}' for k, v in cost.items()))
    verdict('whole chain, one dancer at 24 fps, x real time', seconds/total, 1.3, share={k: round(v/total, 3) for k, v in cost.items()})

def group(d2m, quick):
    "Four people side by side, two of them mirrored, each some seconds apart in the same clip; `Pace` chooses the rate, as in `live`"
    a = np.stack(list(video2frames(asset('clip.mp4'), 24, end=8., max_side=640))); n = len(a)
    def four(i): return np.ascontiguousarray(np.concatenate([a[i % n], a[(i+41) % n][:,::-1], a[(i+93) % n], a[(i+141) % n][:,::-1]], 1))
    frames = [four(i) for i in range(24*(12 if quick else 20))]; t0 = time.perf_counter()
    cost, seconds, s, found, rates = timed(iter(frames), 4, d2m, pace=Pace()); print(f'20 s took {time.perf_counter()-t0:.1f} s; rates chosen: {[(i//24, r) for i, (r, *_) in enumerate(rates) if not i or r != rates[i-1][0]]}')
    half = rates[len(rates)//2:]; x = len(half)/24/sum(c for _, c, _ in half); rate = (half[-1][2]-half[0][2])/(len(half)/24); seen = found[len(found)//2:]
    print(f'second half: {x:.2f} x real time at {rate:.1f} poses of four a second; four found in {np.mean(np.array(seen) == 4):.0%} of the looks, three in {np.mean(np.array(seen) == 3):.0%}; '+', '.join(f'{k} {v/sum(cost.values()):.0%}' for k, v in cost.items()))
    print(f'tempo {s.log[-1]["bpm"]} (112), {s.log[-1]["dancers"]} dancers in use' if s.log else 'no tempo')
    verdict('four dancers, pose as often as there is time for, x real time', x, 1., poses_a_second=round(rate, 1), four_found=round(float(np.mean(np.array(seen) == 4)), 3))

def levels(wav, bpm, until):
    "dB over a beat, every 10 ms, at the centre of the beat"
    k = round(60/bpm*24000); c = np.cumsum(np.r_[0., wav.astype(float)**2]); at = np.arange(until*100)*240
    return 10*np.log10((c[np.minimum(at+k//2, len(wav))]-c[np.maximum(at-k//2, 0)])/k+1e-8)

def latency(d2m, quick):
    """Two streams of one seed and one dance; in one of them all stand still from second 7 to 11. When is it half as far (in dB) below the other as it will be, and when has it come back half of the way?
    Sound as it leaves a loudspeaker whose buffer holds 0.3 s; the level is taken over a beat, so that the beats themselves do not count. Chance: eight pairs of streams that differ by their seed only."""
    out, idle = [], []
    for s in range(6 if quick else 24):
        bpm = 88+2.4*s; p = choreograph(Beats.steady(bpm, 15), ['house', 'funk', 'disco'][s % 3], seed=s, timing='on', energy=1.); q = p.xyz.copy(); q[168:264] = q[168]; q[264:] = p.xyz[168:168+len(q)-264]
        a, b = (simulate(Stream(d2m, seed=s), x)['wav'] for x in (p.xyz, q)); c = simulate(Stream(d2m, seed=s+100), p.xyz)['wav'] if s < 8 else a
        d = levels(b, bpm, 15)-levels(a, bpm, 15); low = np.median(d[850:1090]); idle += [np.median((levels(c, bpm, 15)-levels(a, bpm, 15))[850:1090])]*(s < 8)
        first = lambda ok, start: next((i/100 for i, y in enumerate(ok[start:start+350]) if y), np.nan)
        out.append((first(d < low/2, 700) if low < -6 else np.nan, first(d > low/2, 1100) if low < -6 else np.nan, low, next(i for i in range(700*240, len(b)) if abs(a[i]-b[i]) > 1e-4)/24000-7))
    o = np.array(out); heard = np.isfinite(o[:,0])
    print(f'level falls by {-np.median(o[:,2]):.1f} dB (least {-o[:,2].max():.1f}, a seed alone {np.abs(idle).max():.1f} at most); heard (6 dB or more) in {heard.sum()} of {len(o)}; the first sample that differs after {np.median(o[:,3]):.2f} s')
    for name, k in (('from a freeze to a sound that has fallen half of the way', 0), ('from moving again to a sound that has risen half of the way', 1)):
        print(f'{name}: {np.nanmin(o[:,k]):.2f} to {np.nanmax(o[:,k]):.2f} s'); verdict(f'{name}, median s', np.nanmedian(o[:,k]), 1., '<=', f'n = {len(o)}, heard in {np.isfinite(o[:,k]).sum()}, 90 % within {np.nanquantile(o[:,k], .9):.2f} s', n=len(o), heard=int(np.isfinite(o[:,k]).sum()), q90=round(float(np.nanquantile(o[:,k], .9)), 2), fall_db=round(-float(np.median(o[:,2])), 1))

def locks(log, bpm, start=0.):
    "Seconds until the music is at the tempo and stays there for 2 s"
    t = np.array([r['t'] for r in log]); ok = np.array([r['locked'] and tempo_error(bpm, r['bpm']).acc1 for r in log], bool)
    for i in np.flatnonzero(ok & (t >= start)):
        if ok[(t >= t[i]) & (t < t[i]+2)].all(): return t[i]-start
    return np.inf


def follow(d2m, pose):
    "What the stream thinks, without writing music"
    s = Stream(d2m); s.made = 0
    for i, x in enumerate(pose.xyz):
        s.push(x, i/pose.fps); s.follower.reach(i/pose.fps+.3)
    return s.log

def lock(d2m, quick):
    rng = np.random.default_rng(0); out = []
    for i in range(12 if quick else 50):
        bpm = float(rng.uniform(80, 145)); out.append(locks(follow(d2m, choreograph(Beats.steady(bpm, 12), str(rng.choice(['house', 'funk', 'disco', 'hip-hop', 'techno'])), seed=1000+i)), bpm))
    verdict('time to lock within 4 %, median s', np.median(out), 4., '<=', f'n = {len(out)}', n=len(out)); verdict('time to lock, 95 % of runs, s', np.quantile(out, .95), 8., '<=', f'never in {np.isinf(out).sum()}', n=len(out))

def change(d2m, quick):
    out = []
    for i in range(10):
        b = Beats(np.r_[np.arange(0, 12, .6), 12+np.arange(0, 14, 60/124)], 124); out.append(locks(follow(d2m, choreograph(b, ['house', 'disco', 'funk'][i % 3], seed=i, timing='on')), 124, start=12.))
    verdict('100 to 124 BPM in the middle: locked again within 6 s, of 10', sum(t <= 6 for t in out), 9, note='seconds '+' '.join(f'{t:.1f}' for t in out), n=len(out))

def resident(): return int(open('/proc/self/statm').read().split()[1])*4096/1e6 if Path('/proc/self/statm').exists() else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1e3

def there_and_back(p, n, at, every):
    "`n` frames of a dance, forward and backward, with a note of the memory now and then"
    for i in range(n):
        if i % every == 0: at.append(resident())
        k = i % (2*len(p)); yield p.xyz[k if k < len(p) else 2*len(p)-1-k]

def long(d2m, quick):
    minutes = 1 if quick else 10; p = choreograph(Beats.steady(112, 20), 'house', seed=3); n = round(minutes*60*24); s, at = Stream(d2m), []
    r = simulate(s, there_and_back(p, n, at, 24*15)); print(f'{minutes} simulated minutes took {sum(r["costs"]):.0f} s; resident MB by quarter minutes {np.round(at[::max(1, len(at)//8)])}')
    verdict(f'{minutes} minutes: blocks late', r['late'], 0, '<=', n=round(n/2.4)); verdict('resident memory, second half minus first minute, MB', np.mean(at[len(at)//2:])-np.mean(at[1:5]) - len(r['wav'])*4/1e6*.5, 30, '<=', 'the recorded sound itself taken off')

def hour(d2m, quick):
    "An hour of poses, pushed and followed as ever; of the sound one chunk in twelve is written, the others are skipped, which leaves the buffers as they are"
    p, at, t0 = choreograph(Beats.steady(112, 20), 'house', seed=3), [], time.perf_counter(); s, n, made = Stream(d2m), 24*(300 if quick else 3600), 0
    for i, x in enumerate(there_and_back(p, n, at, 24*60)):
        s.push(x, i/24)
        if i % 57 == 56: s.pull(4800); made += 1; s.made += round((i/24+.3-s.at)*50) # on to where the loudspeaker would be
    size = dict(frames=len(s.seen), beats=len(s.follower.times), codes=s.voice.past.shape[1], columns=len(s.writer.columns), ready=len(s.ready), log=len(s.log))
    print(f'{n/24/60:g} minutes took {time.perf_counter()-t0:.0f} s, {made} chunks of sound; what is held: {size}; resident MB {np.round(at[::max(1, len(at)//8)])}')
    verdict('an hour of poses: resident memory, second half minus first ten minutes, MB', np.mean(at[len(at)//2:])-np.mean(at[1:10]), 30, '<=', **size)

def app(d2m, quick):
    s = Studio(d2m); t = time.perf_counter(); s.make(asset('clip.mp4')); verdict('app: shipped clip to playable result, s', time.perf_counter()-t, 25, '<=')
    t = time.perf_counter(); s.make(asset('clip.mp4'), style='disco'); print(f'another style of the same video: {time.perf_counter()-t:.1f} s')

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0]); p.add_argument('--parts', default='chain,group,latency,lock,change,long,hour,app'); p.add_argument('--quick', action='store_true'); p.add_argument('--model', default='nano'); p.add_argument('--json', type=Path)
    a = p.parse_args(argv); d2m = DanceToMusic.from_pretrained(a.model); simulate(Stream(d2m), choreograph(Beats.steady(112, 2), 'house', seed=0)) # warm up
    for part in a.parts.split(','):
        t = time.perf_counter(); print(f'\n== {part}'); globals()[part](d2m, a.quick); print(f'({time.perf_counter()-t:.0f} s)')
    if a.json:
        a.json.parent.mkdir(parents=True, exist_ok=True); old = json.loads(a.json.read_text()) if a.json.exists() else {}   # parts may be measured one by one
        a.json.write_text(json.dumps(old | RESULTS, indent=1)+'\n')

if __name__ == '__main__': main()
