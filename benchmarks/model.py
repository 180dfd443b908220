"""Is the model fast, exact and better than counting? python benchmarks/model.py [--parts decode,train,speed,long,cache,nll] [--json FILE]

The textbook transformer is the one of chapter 07 with the width and depth of the model it is compared with; it decodes as the
earlier project did, one call of the whole network for each of 750 codes. One thread; seconds are processor time, which on a quiet
core is the clock's, and does not depend on what else the machine is doing. Times of several seconds are of one run each."""
import argparse, json, resource, subprocess, sys, time
from pathlib import Path
import numpy as np, torch
from dance2music.codec import Codec
from dance2music.media import asset
from dance2music.model import Baseline, PoseToMusic, PoseToMusicConfig, Steps, codes2flat
from dance2music.training import TrainConfig, new_optimizer

RESULTS = {}

def verdict(name, value, target, sign='>=', note=''):
    ok = value >= target if sign == '>=' else value <= target
    RESULTS[name] = dict(value=float(value), target=target, sign=sign, ok=bool(ok), note=note)
    print(f"{'pass' if ok else 'FAIL'}  {name}: {value:.4g} (target {sign} {target:g}){'; ' + note if note else ''}", flush=True)

def clock(f):
    t = time.process_time(); f(); return time.process_time() - t

def shipped():
    return PoseToMusic.from_pretrained(asset('pose2music-nano'), dtype=torch.float32).eval()

def told(c, seconds, batch=1):
    "Conditions of a made-up dance at 120 BPM"
    n = round(seconds*c.frame_rate); b = torch.arange(n)/c.frame_rate*2*2*np.pi; rng = torch.Generator().manual_seed(0)
    grid = torch.stack([b.sin(), b.cos(), (b/4).sin(), (b/4).cos()], -1)[None].expand(batch, -1, -1)
    return dict(grid=grid, features=torch.randn(batch, n, c.n_features, generator=rng), style=torch.zeros(batch, dtype=torch.long), energy=torch.ones(batch, n))

def twins(K=2, rate=75.):
    "The textbook transformer and ours, of one width and depth"
    c = shipped().config; shape = dict(d_model=c.d_model, n_layers=c.n_layers, n_heads=c.n_heads, n_codebooks=K)
    torch.manual_seed(0)
    return Baseline(**shape).eval(), PoseToMusic(PoseToMusicConfig(**shape, pose_width=c.pose_width, frame_rate=rate, energy=True)).eval()

@torch.no_grad()
def sequential(model, poses, n):
    "The earlier project's decoding: the whole network for each code, the most likely one"
    before = torch.full((len(poses), 1), model.config.codebook_size)
    for _ in range(n): before = torch.cat([before, model.decode(before, model.encode(poses))[:,-1:].argmax(-1)], 1)
    return before[:,1:]

def decode(runs=1):
    base, ours = twins(); poses = torch.randn(1, 120, 99, generator=torch.Generator().manual_seed(0)); x = told(ours.config, 5.)
    ours.generate_codes(**{k: v[:,:20] if v.ndim > 1 else v for k, v in x.items()}); sequential(base, poses, 5) # warm
    b = clock(lambda: sequential(base, poses, 750)); o = clock(lambda: ours.generate_codes(**x, guidance=1.))
    verdict('decode of 5 s, baseline / ours', b/o, 50, note=f'750 codes in {b:.1f} s; 2 x 375 codes in {o:.2f} s, width {base.config.d_model}, {base.config.n_layers} layers')

def train(batch=8, every=50):
    base, ours = twins(); rng = torch.Generator().manual_seed(0); N = 375
    codes = torch.randint(1024, (batch, 2, N), generator=rng); true = codes2flat(codes); poses = torch.randn(batch, 120, 99, generator=rng)
    before = torch.cat([torch.full((batch, 1), 1024), true], 1)
    def call(t): # one of the 750 calls of a batch, with its gradient
        y = base.decode(before[:,:t+1], base.encode(poses))[:,-1]; torch.nn.functional.cross_entropy(y, true[:,t]).backward()
    call(0); steps = range(every//2, 2*N, every); b = sum(clock(lambda: call(t)) for t in steps)*every
    x = told(ours.config, 5., batch); opt = new_optimizer(ours, TrainConfig())
    def step(): ours(codes, **x)['loss'].backward(); opt.step(); opt.zero_grad()
    step(); o = np.median([clock(step) for _ in range(3)])
    verdict('training, codes per second, ours / baseline', b/o, 100, note=f'{codes.numel()/o:.0f} against {codes.numel()/b:.1f}, batch {batch}; the baseline from {len(steps)} of its 750 calls, evenly spread')

def speed(seconds=5.):
    model, codec = shipped(), Codec.from_pretrained('nano'); x = told(model.config, seconds)
    make = lambda: codec.decode(model.generate_codes(**x)[0].numpy())
    make(); t = min(clock(make) for _ in range(3))
    verdict('codes + decode with guidance, times real time', seconds/t, 5, note=f'{t:.2f} s for {seconds:g} s of music')

def peak():
    "Most memory of this process, MB; Linux counts the parent's in getrusage, so ask /proc where there is one"
    status = Path('/proc/self/status')
    if status.exists(): return int(next(l for l in status.read_text().splitlines() if l.startswith('VmHWM')).split()[1])/1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(1e6 if sys.platform == 'darwin' else 1e3)

def piece(seconds):
    "In a process of its own: time and most memory for one piece"
    model, codec = shipped(), Codec.from_pretrained('nano'); x = told(model.config, seconds)
    t = clock(lambda: codec.decode(model.generate_codes(**x)[0].numpy(), chunk=5.))
    print(json.dumps([t, peak()]))

def long():
    r = {s: json.loads(subprocess.run([sys.executable, __file__, '--piece', str(s)], capture_output=True, text=True, check=True).stdout.splitlines()[-1]) for s in (30, 60, 180)}
    for s, (t, m) in r.items(): print(f'      {s:4d} s of music: {t:.1f} s, {m:.0f} MB')
    verdict('time of 180 s / (6 x time of 30 s)', r[180][0]/(6*r[30][0]), 1.25, '<=')
    verdict('memory of 180 s / memory of 30 s', r[180][1]/r[30][1], 1.25, '<=')

def cache():
    model = shipped(); c = model.config; n = min(400, c.window+80); rng = torch.Generator().manual_seed(0)
    x = torch.randint(1024, (1, c.n_codebooks, n), generator=rng); cond = model.condition(n, 1, **told(c, n/c.frame_rate)); step = Steps(model)
    with torch.no_grad(): one = torch.stack([step(x[...,t], cond[:,t]) for t in range(n)], 2); whole = model.decode(x, cond)
    verdict('largest difference of logits, column by column or all at once', (one - whole).abs().max().item(), 1e-3, '<=', f'{n} steps, window {c.window}')

def nll():
    r = json.loads((asset('pose2music-nano')/'training.json').read_text()); m, u, b = (np.mean(r[k]) for k in ('nll', 'unigram', 'bigram'))
    print(f"      validation NLL a code, {r['held_out']} clips held out: model {m:.3f}, unigram {u:.3f}, bigram {b:.3f}; by codebook " + ', '.join(f'{x:.2f} against {y:.2f}' for x, y in zip(r['nll'], r['bigram'])))
    verdict('nats below bigram', b - m, 1.)

PARTS = dict(decode=decode, train=train, speed=speed, long=long, cache=cache, nll=nll)

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--parts', default=','.join(PARTS)); p.add_argument('--json', type=Path); p.add_argument('--piece', type=float, help=argparse.SUPPRESS)
    a = p.parse_args(argv); torch.set_num_threads(1)
    if a.piece: return piece(a.piece)
    for name in a.parts.split(','): PARTS[name]()
    print(f"{sum(r['ok'] for r in RESULTS.values())} of {len(RESULTS)} pass")
    if a.json: a.json.parent.mkdir(parents=True, exist_ok=True); a.json.write_text(json.dumps(RESULTS, indent=1))


if __name__ == '__main__': main()
