"""Train the beat tracker that ships with dance2music, on endless made-up dances: no data set and no recording is needed.

    python recipes/tracker_nano.py --out runs/tracker-nano              # about 27 minutes on one core
    python recipes/tracker_nano.py --out runs/tracker-nano              # stopped? the same line goes on from the last checkpoint
    python recipes/tracker_nano.py --out runs/tracker-nano --causal     # a tracker that looks at the past only, for streams
    python recipes/tracker_nano.py --out runs/tracker-nano --device cuda --batch 96 --steps 10000
    python recipes/tracker_nano.py --out runs/tracker-nano --install    # put the finished tracker into the package

Four kinds of movement: dances of chapter 04 (without the moves of HELD_OUT, which are kept for the test); puppets whose limbs each
follow a pattern of their own over the beat; puppets that improvise, which never repeat themselves but arrive on beats; and movement
without any beat. All are turned, mirrored, exaggerated, sent across the floor, mixed with movement that has nothing to do with the
beat, and seen by a bad detector.
"""
import argparse, json, os, shutil, tempfile, time
from dataclasses import dataclass, fields, replace
from pathlib import Path
import numpy as np
from scipy.ndimage import gaussian_filter1d
from dance2music import groove
from dance2music.groove import DANCES, STYLES, Dance, choreograph
from dance2music.rhythm import POINTS, RATE, Beats, activations, comb_scores, points2features, tracker_loss, tracker_net
from dance2music.pose import LANDMARKS

HELD_OUT = dict(feet=('kick', 'lunge', 'hips'), arms=('hit', 'punch', 'reach'))
AT = [LANDMARKS.index(k) for k in POINTS]
MIRROR = [list(POINTS).index(k.replace('left', '#').replace('right', 'left').replace('#', 'right')) for k in POINTS]
HEAD, ARMS, LEGS, TRUNK = [0], ([3,5], [4,6]), ([9,11,13], [10,12,14]), [0,1,2,7,8]
LIMBS = (HEAD, *ARMS, *LEGS)
BPMS, PLACES = 75*2**(np.arange(48)/48), 24
REST = np.array([(0,-.62,0), (.18,-.48,0), (-.18,-.48,0), (.27,-.22,0), (-.27,-.22,0), (.3,.02,-.1), (-.3,.02,-.1), (.1,0,0), (-.1,0,0),
                 (.11,.43,0), (-.11,.43,0), (.11,.83,0), (-.11,.83,0), (.12,.9,-.12), (-.12,.9,-.12)]) # the points of POINTS, standing
HEIGHT = np.clip((.9-REST[:,1])/.9, 0, 1) # 0 at the feet, 1 from the hips up

@dataclass
class TrackerTraining:
    out:str = 'runs/tracker-nano' # Folder for checkpoints and the finished tracker
    steps:int = 5000
    batch:int = 24 # Clips a step
    lr:float = 3e-3
    pool:int = 3000 # Dances kept in memory; new ones replace old ones
    fresh:int = 6 # New dances a step
    seconds:float = 14. # Length of a dance, from which 5 to 10 s are cut
    puppets:float = .28 # Share of puppets that repeat themselves among the dances with a beat
    freestyle:float = .32 # Share of puppets that improvise among them
    nothing:float = .1 # Share of movement without a beat
    causal:bool = False
    seed:int = 0
    device:str = 'cpu'
    threads:int = 1

# ---- dances: each is (points (T,15,3), fps, Beats or None)

def tempo(rng): return float(np.exp(rng.uniform(np.log(68), np.log(184))))

def grid(rng, bpm, seconds, meter):
    "A steady grid whose bars begin anywhere"
    b = Beats.steady(bpm, seconds+1, start=rng.uniform(0, 60/bpm), meter=meter)
    return Beats(b.times, bpm, meter=meter, downbeat=int(rng.integers(meter)))

def seen_moves(dance, held=False):
    "The dance without the moves that are held out (or with nothing else)"
    pick = lambda kind, text: [m for m in text.split() if (m in HELD_OUT[kind])==held] or (list(HELD_OUT[kind]) if held else ['bounce' if kind=='feet' else 'swing'])
    return replace(dance, feet=' '.join(pick('feet', dance.feet)), arms=' '.join(pick('arms', dance.arms)))

def any_moves(rng):
    "A dance of moves that no style puts together"
    feet, arms = ([m for m in book if m not in HELD_OUT[k]+('frame',)] for k, book in (('feet', groove.FEET), ('arms', groove.ARMS)))
    return Dance(' '.join(rng.choice(feet, 4)), ' '.join(rng.choice(arms, 4)), float(rng.uniform(.6, 1.3)), float(rng.choice([0, .1, .3])), .12, .15, .1)

def dancer(rng, seconds):
    "A dance of chapter 04: on the beat, before it or against it; freezes; half and double time; 3/4"
    style = 'waltz' if rng.random()<.15 else str(rng.choice(list(DANCES)))
    bpm, fps, meter = tempo(rng) if style!='waltz' else float(rng.uniform(75, 150)), float(rng.choice([24, 24, 25, 30])), STYLES[style].meter
    timing, old = str(rng.choice(['on', 'before', 'against'], p=[.82, .12, .06])), DANCES[style]
    DANCES[style] = any_moves(rng) if style!='waltz' and rng.random()<.7 else seen_moves(old)
    try: beats = grid(rng, bpm, seconds, meter); pose = choreograph(beats, style, seed=int(rng.integers(1<<30)), fps=fps, seconds=seconds, timing=timing, yaw=0.)
    finally: DANCES[style] = old
    return pose.xyz[:,AT].astype(np.float32), fps, beats

def curve(b, rng, meter):
    "A periodic curve over the positions `b` in beats: it sways, hops, hits or walks through places, and comes to rest on beats"
    P = float(rng.choice([.5,1,1,1,2,2,2,2,4,4,8] if meter==4 else [1,1,3,3,3,3,6,.5]))
    o = (.5 if P>=1 and rng.random()<.06 else 0.) + (rng.integers(int(P)) if P>=2 else 0)
    kind, f = rng.choice(['sway', 'places', 'hop', 'hit'], p=[.3, .4, .15, .15]), ((b-o)/P)%1
    if kind=='sway': y = np.cos(2*np.pi*f); return np.sign(y)*np.abs(y)**rng.uniform(.7, 1.6)
    if kind=='hop': return 2*np.sin(np.pi*f)**rng.uniform(1, 3)-1
    if kind=='hit': # out shortly before the beat, there on it, slowly back
        w = rng.uniform(.15, .45)/P; rise = np.clip((f-1+w)/w, 0, 1)
        return 2*np.where(f>1-w, rise*rise*(3-2*rise), 1-np.clip(f/(1-w), 0, 1)**rng.uniform(1, 2.5))-1
    n = int(np.clip(P/rng.choice([.5, 1, 1, 1, 2]), 2, 16)); v = rng.standard_normal(n); v /= v.std()+1e-6
    w, u = rng.uniform(.15, .95), (b-o)/P*n; k = np.floor(u).astype(int); e = np.clip((u-k-1+w)/w, 0, 1)
    return v[k%n] + e*e*(3-2*e)*(v[(k+1)%n]-v[k%n])

PARTS = dict(root=(range(15), .05), trunk=(range(7), .05), head=(HEAD, .05), la=(ARMS[0], .2), ra=(ARMS[1], .2), ll=(LEGS[0], .12), rl=(LEGS[1], .12))

def idea(b, rng, meter):
    "One or two curves in random directions for each part of the body"
    out = {}
    for p in PARTS:
        axes = rng.standard_normal((rng.integers(1, 3), 3))*([.7, 1, .6] if p in ('root', 'trunk') else [1, 1, .7])
        out[p] = sum(curve(b, rng, meter)[:,None]*a/(np.linalg.norm(a)+1e-6) for a in axes)
    if rng.random()<.5: out['ra'] = out['la']*[-1, 1, 1]*rng.choice([-1, 1])
    return out

def puppet(rng, seconds, fps=24.):
    "A body that is hardly a body: every part follows its own pattern of the beat"
    bpm, meter, T = tempo(rng), 3 if rng.random()<.25 else 4, round(seconds*fps)
    beats = grid(rng, bpm, seconds, meter); b = beats.phase(np.arange(T)/fps)
    k = np.arange(np.floor(b[0])-1, np.ceil(b[-1])+2)
    d = b + np.interp(b, k, rng.normal(0, rng.uniform(0, .04), len(k))) + rng.normal(.02, .05) + (rng.uniform(.08, .18) if rng.random()<.12 else 0)
    rate = 1. if rng.random()<.75 or meter==3 else .5 if bpm>=140 else 2. if bpm<=80 else float(rng.choice([.5, 2.]))
    n = int(rng.choice([1, 2, 2, 4]))*meter; seg = np.floor(d*rate/n).astype(int); seg -= seg.min()
    ideas, order = [idea(d*rate, rng, meter) for _ in range(3)], rng.integers(0, 3, seg.max()+1)
    share, much = gaussian_filter1d(np.eye(3)[order[seg]], .15*fps, axis=0), rng.uniform(.2, 1.6, len(PARTS))*(rng.random(len(PARTS))<.8)
    X = np.repeat(REST[None]*rng.uniform(.85, 1.15), T, 0)
    for (p, (idx, gain)), m in zip(PARTS.items(), much):
        y = sum(share[:,j,None]*ideas[j][p] for j in range(3))*gain*m
        X[:,list(idx)] += y[:,None]*(np.clip(HEIGHT, .05, 1) if p=='root' else np.array([.5, 1, 1])[:len(idx)] if p[1]=='l' or p[1]=='a' else np.ones(len(idx)))[:,None]
    X = bounce(X, d, rng, meter)
    return (freeze(X, rng, bpm, fps) if rng.random()<.25 else X).astype(np.float32), fps, beats

def bounce(X, d, rng, meter):
    "Sink on the beat, mostly; some rise on it, some do it at half or double time, some not at all"
    sink = rng.uniform(0, .06)*(rng.random()<.75)*rng.choice([1, 1, 1, 1, -1])
    X[...,1] += sink*np.cos(2*np.pi*d*float(rng.choice([1, 1, 1, .5, 2] if meter==4 else [1, 1, 1/3])))[:,None]*HEIGHT
    return X

def arrivals(d, rng, often, between, loose):
    "Places in beats at which a limb arrives: on some beats, on fewer half beats, never quite exactly"
    k = np.arange(np.floor(d[0])-2, np.ceil(d[-1])+3, .5)
    t = k[rng.random(len(k))<np.where(k%1==0, often, between)]
    return np.sort((np.r_[d[0]-8, t, d[-1]+8] + np.r_[0, rng.normal(0, loose, len(t)), 0]))

def reach(d, t, rng):
    "From place to place in 3D, there at the moments `t`: `(T,3)`"
    i, v = np.searchsorted(t, d).clip(1, len(t)-1), np.tanh(rng.standard_normal((len(t), 3)))*rng.uniform(.3, 1, (len(t), 1))
    w = np.minimum(rng.uniform(.15, 1.)*rng.uniform(.7, 1.3, len(t)), np.r_[1, np.diff(t)]+1e-3)[i]
    e = np.clip((d-t[i]+w)/w, 0, 1); e = (e*e*(3-2*e) if rng.random()<.7 else e**2)[:,None]
    return v[i-1] + e*(v[i]-v[i-1])

def freestyle(rng, seconds, fps=24.):
    "A puppet that improvises: nothing is repeated, but limbs arrive where beats are, some of them together"
    bpm, meter, T = tempo(rng), 3 if rng.random()<.15 else 4, round(seconds*fps)
    beats = grid(rng, bpm, seconds, meter); b = beats.phase(np.arange(T)/fps)
    d = b + rng.normal(.03, .05) + .03*slow(rng, T, fps, ())*rng.random()
    if bpm>=140 and rng.random()<.6: d = d/2
    often, between, loose = rng.uniform(.3, .95), rng.uniform(0, .35), rng.uniform(0, .05)
    shared, X = arrivals(d, rng, often, between, loose), np.repeat(REST[None]*rng.uniform(.85, 1.15), T, 0)
    for p, (idx, gain) in PARTS.items():
        if rng.random()<.15: continue
        t = shared if rng.random()<.5 else arrivals(d, rng, often*rng.uniform(.5, 1), between, loose)
        y = reach(d, t, rng)*gain*rng.uniform(.3, 1.6)*([1, .5, 1] if p in ('root', 'trunk') else 1)
        X[:,list(idx)] += y[:,None]*(np.clip(HEIGHT, .05, 1) if p=='root' else np.array([.5, 1, 1])[:len(idx)] if p in ('la','ra','ll','rl') else np.ones(len(idx)))[:,None]
    X = bounce(X, d, rng, meter)
    return (freeze(X, rng, bpm, fps) if rng.random()<.15 else X).astype(np.float32), fps, beats

def freeze(X, rng, bpm, fps):
    "Hold still for half a beat to two beats, one to three times"
    still = np.zeros(len(X), bool)
    for s in rng.integers(0, len(X), rng.integers(1, 4)): still[s:s+int(rng.uniform(.5, 2)*60/bpm*fps)] = True
    return gaussian_filter1d(X[np.maximum.accumulate(np.where(still, 0, np.arange(len(X))))], 1., axis=0)

def slow(rng, T, width, shape):
    "Smooth noise of deviation 1; `width` in frames"
    m = int(4*width)+1; y = gaussian_filter1d(rng.standard_normal((T+2*m, *shape)), width, axis=0)[m:m+T]
    return (y/(y.std()+1e-6)).astype(np.float32)

def aimless(rng, seconds, fps=24.):
    "Movement without a beat: noise, gestures at random moments, walking at an uneven pace, standing still"
    T, u = round(seconds*fps), rng.random(); X = np.repeat(REST[None]*rng.uniform(.85, 1.15), T, 0)
    if u<.35:
        for s in rng.uniform(.06, .8, 3): X += rng.uniform(.01, .12)*slow(rng, T, s*fps, (15,3))*rng.uniform(.2, 1, (15,1)) + rng.uniform(0, .2)*slow(rng, T, s*fps, (1,3))
    elif u<.7:
        for idx in (*LIMBS, list(range(15)), list(range(7))):
            t = np.cumsum(rng.gamma(rng.uniform(1.2, 3), rng.uniform(.2, .5), 64)); v = np.tanh(.3*rng.standard_normal((65,3)).cumsum(0))*rng.uniform(.05, .35)
            X[:,idx] += gaussian_filter1d(v[np.searchsorted(t, np.arange(T)/fps).clip(0, 64)], rng.uniform(.06, .25)*fps, axis=0)[:,None]
    elif u<.9:
        ph = np.cumsum(rng.uniform(.8, 1.1)*(1+.35*slow(rng, T, .6*fps, ()))/fps)*2*np.pi; s = np.sin(ph)[:,None]
        for idx, gain in zip((*LEGS, *ARMS), (.25, -.25, -.15, .15)): X[:,idx,2] += gain*s
        X[...,1] += .02*np.cos(2*ph)[:,None]; X[...,0] += np.cumsum(slow(rng, T, fps, ()))[:,None]/fps*.6; X += .02*slow(rng, T, .3*fps, (15,3))
    return X.astype(np.float32), fps, None

# ---- what happens to a dance before the tracker sees it

def cut(x, fps, rng, seconds):
    "A random stretch, and where it begins"
    n = int(seconds*fps)+2; i = int(rng.integers(0, max(1, len(x)-n)))
    return x[i:i+n].copy(), i/fps

def shift_limbs(x, fps, rng):
    "Limbs lead or follow by up to a tenth of a second"
    T, sd = len(x), rng.uniform(0, .05)*fps
    for idx in LIMBS:
        q = np.clip(np.arange(T)+np.clip(rng.normal(0, sd), -2.4, 2.4), 0, T-1.001); j = q.astype(int); a = (q-j)[:,None,None].astype(np.float32)
        x[:,idx] = (1-a)*x[j][:,idx] + a*x[j+1][:,idx]
    return x

def roam(x, fps, rng):
    "Seen from any side; some turn while they dance, and some travel"
    T, yaw = len(x), rng.uniform(-np.pi, np.pi) if rng.random()<.3 else rng.normal(0, .5)
    if rng.random()<.3: yaw = yaw + np.cumsum(slow(rng, T, rng.uniform(.3, 1)*fps, ())*rng.uniform(0, 2) + rng.normal(0, .5))/fps
    c, s = np.float32(np.cos(yaw)), np.float32(np.sin(yaw)); c, s = (np.reshape(v, (-1,1)) for v in (c, s))
    x = np.stack([c*x[...,0]+s*x[...,2], x[...,1], c*x[...,2]-s*x[...,0]], -1)
    if rng.random()<.3: x = x + (np.cumsum(slow(rng, T, rng.uniform(.4, 1.5)*fps, (3,)), 0)*np.float32([1, 0, 1])*rng.uniform(0, .8)/fps)[:,None].astype(np.float32)
    return x

def restyle(x, fps, rng):
    "Turn, mirror, bounce less or the other way round, exaggerate, change the size of the body"
    if rng.random()<.5: x = x[:,MIRROR]*np.float32([-1, 1, 1])
    x = roam(x, fps, rng)
    if rng.random()<.7: x = shift_limbs(x, fps, rng)
    if rng.random()<.6:
        y = x[:,7:9,1].mean(1); y = y-gaussian_filter1d(y, 1.5*fps)
        x[...,1] += (y*(rng.uniform(-.6, 1.1)-1))[:,None]*HEIGHT.astype(np.float32)
    if rng.random()<.6:
        g = np.full(15, rng.uniform(.5, 1.3), np.float32)
        for idx in LIMBS: g[idx] *= rng.uniform(.3, 1.4) if rng.random()<.5 else 1
        rest = x.mean(0, keepdims=True); x = rest+(x-rest)*g[:,None]
    return x*np.float32(rng.uniform(.8, 1.2))

def disturb(x, fps, rng):
    "Movement of one's own, and a detector's noise of up to 3.5 cm"
    T = len(x)
    if rng.random()<.75:
        much = rng.uniform(0, .12)
        for idx in (*LIMBS, list(range(7))):
            if rng.random()<.6: x[:,idx] += much*rng.random()*slow(rng, T, rng.uniform(.12, .7)*fps, (1,3))
        if rng.random()<.6: x += rng.uniform(0, .3)*slow(rng, T, rng.uniform(.3, 1.2)*fps, (1,3))*np.float32([1, .3, 1])
    if rng.random()<.85:
        k = rng.uniform(.2, .9); noise = k*slow(rng, T, rng.uniform(.05, .25)*fps, (15,3)) + (1-k*k)**.5*rng.standard_normal((T,15,3))
        x = x + (noise*[1, 1, rng.uniform(1, 3)]*rng.uniform(.002, .035)*rng.uniform(.5, 1.4, (15,1))).astype(np.float32)
    return x

def lose(x, rng):
    "No depth, no root, half bodies, lost joints, lost moments"
    T, lost, u = len(x), np.zeros((len(x), 15), bool), rng.random()
    if rng.random()<.2: x[...,2] = 0
    if rng.random()<.25: x = x-x[:,7:9].mean(1, keepdims=True)
    if u<.08: lost[:,9:] = True
    elif u<.12: lost[:,11:] = True
    elif u<.2: lost[:,rng.integers(0, 15, 3)] = True
    if rng.random()<.4:
        for a in rng.integers(0, T, rng.integers(1, 8)): lost[a:a+rng.integers(1, 16),rng.integers(0, 15)] = True
    if rng.random()<.1: a = rng.integers(0, T); lost[a:a+rng.integers(1, 10)] = True
    x[lost] = np.nan
    return x

# ---- what the tracker should say

def fold(beats):
    "The octave policy, 75 to 150 BPM: times, tempo, and whether the bars are still known"
    t, bpm = beats.times, beats.bpm
    if bpm>=150: return t[beats.downbeat%2::2], bpm/2, False
    if bpm<75: return np.sort(np.r_[t, t[:-1]+np.diff(t)/2]), 2*bpm, False
    return t, bpm, True

def bar_rows(times, T):
    "The 7 ways to lay bars over the beats, as rows of frame weights `(7,T)`; the first beat is number 0"
    M, u = np.zeros((7, T), np.float32), times*RATE; i = u.astype(int)
    for k, (j, a) in enumerate(zip(i, u-i)):
        for r in (k%3, 3+k%4): M[r,j] += 1-a; M[r,j+1] += a
    return M

def example(dance, rng, T):
    "Features and targets of one clip of `T` frames"
    x, fps, beats = dance
    x, t0 = cut(x, fps, rng, T/RATE); f = points2features(lose(disturb(restyle(x, fps, rng), fps, rng), rng), fps, example.causal)[...,:T]
    if f.shape[-1]<T: f = np.pad(f, ((0,0), (0,0), (0,T-f.shape[-1])), mode='edge')
    beat, comb, bars, bar = np.zeros(T, np.float32), np.zeros((len(BPMS), PLACES), np.float32), np.zeros((7, T), np.float32), -1
    if beats is None: return f, beat, comb.ravel(), bars, bar
    times, bpm, known = fold(beats); times = times-t0
    beat = np.exp(-.5*((np.arange(T)[:,None]/RATE-times)/.028)**2).max(1).astype(np.float32)
    q = np.interp((T-1)/2/RATE, times, np.arange(len(times)))
    comb = np.exp(-.5*(np.log(BPMS/bpm)/.014)**2)[:,None]*np.exp(-.5*(((np.arange(PLACES)/PLACES-q+.5)%1-.5)/.045)**2)
    inside = np.flatnonzero((times>=0)&(times<(T-1)/RATE))
    if known: d = (beats.downbeat-inside[0])%beats.meter; bars, bar = bar_rows(times[inside], T), d+(0 if beats.meter==3 else 3)
    return f, beat, (comb/comb.sum()).astype(np.float32).ravel(), bars, bar
example.causal = False

# ---- training

def save(path, net, opt, mean, step):
    "Write a checkpoint: weights, their running mean, the optimiser's state and the step, all in one safetensors file"
    from safetensors.torch import save_file
    s = {f'net.{k}': v for k, v in net.state_dict().items()} | {f'mean.{k}': v for k, v in mean.items()}
    for i, p in opt.state_dict()['state'].items(): s |= {f'opt.{i}.{k}': v for k, v in p.items()}
    fd, tmp = tempfile.mkstemp(dir=Path(path).parent); os.close(fd)
    save_file({k: v.detach().cpu().contiguous() for k, v in s.items()}, tmp, metadata=dict(step=str(step))); os.replace(tmp, path)

def restore(path, net, opt, device):
    "Read a checkpoint back: the running mean of the weights, and the step"
    from safetensors import safe_open
    from safetensors.torch import load_file
    s = load_file(path, device=str(device)); part = lambda p: {k[len(p):]: v for k, v in s.items() if k.startswith(p)}
    net.load_state_dict(part('net.')); d = opt.state_dict(); d['state'] = {}
    for k, v in part('opt.').items(): i, name = k.split('.'); d['state'].setdefault(int(i), {})[name] = v
    opt.load_state_dict(d)
    with safe_open(path, 'pt') as f: return part('mean.'), int(f.metadata()['step'])

def export(state, config, folder):
    "Half precision weights and the configuration"
    import torch
    from safetensors.torch import save_file
    folder = Path(folder); folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.detach().cpu().to(torch.float16).contiguous() for k, v in state.items()}, folder/'model.safetensors', metadata={'format': 'pt'})
    (folder/'config.json').write_text(json.dumps(config, indent=1)+'\n')

def train(c, log=print):
    "Train, going on from the last checkpoint if there is one; returns the folder of the finished tracker"
    import torch
    torch.set_num_threads(c.threads); torch.manual_seed(c.seed); out = Path(c.out); out.mkdir(parents=True, exist_ok=True)
    rng, example.causal = np.random.default_rng(c.seed), c.causal
    net = tracker_net(dict(causal=c.causal)).to(c.device); opt = torch.optim.AdamW(net.parameters(), c.lr, betas=(.9, .98), weight_decay=.02)
    mean, step, ckpt = {k: v.clone() for k, v in net.state_dict().items()}, 0, out/'checkpoint.safetensors'
    if ckpt.exists():
        mean, step = restore(ckpt, net, opt, c.device)
        rng = np.random.default_rng([c.seed, step]); log(f'going on from step {step}')
    lengths = [120, 180, 240]; combs = {T: torch.tensor(np.stack([comb_scores(e, BPMS, PLACES).ravel() for e in np.eye(T, dtype=np.float32)], 1), dtype=torch.float32, device=c.device) for T in lengths}
    def new():
        u = rng.random()
        if u<c.nothing: return aimless(rng, c.seconds)
        u = (u-c.nothing)/(1-c.nothing)
        return (puppet if u<c.puppets else freestyle if u<c.puppets+c.freestyle else dancer)(rng, c.seconds)
    pool, parts, start = [new() for _ in range(min(400, c.pool))], {}, time.time()
    while step<c.steps:
        for _ in range(c.fresh):
            if len(pool)<c.pool: pool.append(new())
            else: pool[rng.integers(len(pool))] = new()
        T = int(rng.choice(lengths)); batch = zip(*(example(pool[rng.integers(len(pool))], rng, T) for _ in range(c.batch)))
        f, beat, comb, bars, bar = (torch.tensor(np.stack(b)).to(c.device) for b in batch)
        for g in opt.param_groups: g['lr'] = float(c.lr*min(1, (step+1)/100)*(.01+.99*(.5+.5*np.cos(np.pi*step/c.steps))))
        loss, p = tracker_loss(net.train(), f, beat, comb, combs[T], bars, bar)
        opt.zero_grad(); loss.backward(); torch.nn.utils.clip_grad_norm_(net.parameters(), 1.); opt.step(); step += 1
        with torch.no_grad():
            for k, v in net.state_dict().items(): mean[k].lerp_(v, 1-min(.998, step/(step+20)))
        for k, v in p.items(): parts.setdefault(k, []).append(float(v.detach()))
        if step%100==0: log(f'step {step}/{c.steps} {time.time()-start:.0f} s  '+'  '.join(f'{k} {np.mean(v):.3f}' for k, v in parts.items())); parts = {}
        if step%250==0 or step==c.steps: save(ckpt, net, opt, mean, step)
    export(mean, dict(net.config, held_out=HELD_OUT, training={f.name: getattr(c, f.name) for f in fields(c) if f.name not in ('out', 'device', 'threads')}), out)
    return out

def install(folder, name='tracker-nano', assets=None):
    "Copy a finished tracker into the package's assets, after it has proved that it loads"
    from dance2music.rhythm import load_tracker
    load_tracker(folder)
    to = Path(assets or Path(__file__).resolve().parents[1]/'dance2music'/'assets')/name
    to.mkdir(parents=True, exist_ok=True)
    for f in ('config.json', 'model.safetensors'): shutil.copyfile(Path(folder)/f, to/f)
    return to

def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for f in fields(TrackerTraining):
        if f.type is bool: p.add_argument('--'+f.name, action='store_true')
        else: p.add_argument('--'+f.name, type=f.type, default=f.default, help=f'default {f.default}')
    p.add_argument('--install', action='store_true', help='copy config.json and model.safetensors to dance2music/assets/tracker-nano')
    a = vars(p.parse_args(argv)); wanted = a.pop('install'); c = TrackerTraining(**a)
    for k in ('steps', 'batch', 'lr', 'pool', 'fresh', 'threads'):
        if not getattr(c, k) > 0: p.error(f'--{k} must be above 0, not {getattr(c, k)}')
    for k in ('puppets', 'freestyle', 'nothing'):
        if not 0 <= getattr(c, k) <= 1: p.error(f'--{k} is a share, 0 to 1, not {getattr(c, k)}')
    if not c.seconds >= 11: p.error(f'--seconds must be at least 11: clips of 10 s are cut from them; not {c.seconds:g}')
    if c.device.split(':')[0] not in ('cpu', 'cuda', 'mps'): p.error(f"--device {c.device}: choose cpu, cuda or mps")
    if Path(c.out).exists() and not Path(c.out).is_dir(): p.error(f'--out {c.out}: a file of that name is in the way; name a folder')
    return c, wanted

if __name__ == '__main__':
    c, wanted = arguments(); print(c, flush=True)
    out = train(c, log=lambda line: print(line, flush=True)); print(f'finished: {out}')
    if wanted: print(f'installed: {install(out)}')
