"""What each cure brings: python benchmarks/ablation.py [--minutes 3] [--pairs 480] [--rows all] [--json FILE]

One small model a row, the same time to train for each (processor time, one thread), the same pairs of dance and music, and the
same clips held out. From the textbook transformer at the top each row changes one thing and keeps what the rows before it changed;
the rows marked * stand apart: each changes one thing of the row named in brackets. Finished rows are kept in the results file, so
an interrupted run goes on where it stopped. Below the table: counting, chance, and the codec's round trip as the ceiling."""
import argparse, json, os, time
from dataclasses import dataclass, field
from pathlib import Path
import numpy as np, torch
from dance2music.codec import Codec, perplexity
from dance2music.dataset import read_records, synthesize
from dance2music.model import TOLD, Baseline, PoseToMusic, PoseToMusicConfig, flat2codes, codes2flat, loops, pose2positions, two_pass_loss, write_flat
from dance2music.rhythm import audio2beats, beat_f, chance, tempo_error
from dance2music.dataset import record2arrays
from dance2music.training import Records, TrainConfig, code_table, collate, mix_heard, new_optimizer, ngram_nll, perceptual_loss, shake, step_rng, valid_nll

SHAPE = dict(d_model=64, n_layers=3, n_heads=4)
RESULTS = Path(__file__).parent/'results'/'ablation.json'


@dataclass
class Row:
    "One line of the table"
    name:str
    told:tuple = () # Which of TOLD the model is told
    flat:bool = False # The textbook transformer?
    moves:bool = True # Velocities and the way of the hips?
    forced:float = 1. # Share of true codes in the past
    draw:bool = True # Sample, or take the most likely code
    drop:bool = False # Leave conditions out in training
    guidance:float = 1.
    music:float = 0. # Share of the time spent on music without dancers
    more:dict = field(default_factory=dict) # Further fields of TrainConfig
    weights:str = '' # Row whose trained model is used again

MOTION, GRID, STYLE, ALL = ('motion',), ('grid', 'motion'), ('grid', 'motion', 'style'), TOLD
ROWS = [Row('baseline', flat=True, moves=False, forced=.5, draw=False), Row('+ velocities and root motion', flat=True, forced=.5, draw=False),
        Row('+ full teacher forcing', flat=True, draw=False), Row('+ delay pattern, a head a codebook', MOTION, draw=False),
        Row('+ sampling', MOTION, weights='+ delay pattern, a head a codebook'), Row('+ beat grid', GRID), Row('+ style', STYLE), Row('+ energy', ALL),
        Row('+ guidance', ALL, drop=True, guidance=1.5), Row('+ Muon', ALL, drop=True, guidance=1.5, more=dict(optimizer='muon')),
        Row('* music first (+ Muon)', ALL, drop=True, guidance=1.5, music=.5, more=dict(optimizer='muon')),
        Row('* scheduled sampling (+ Muon)', ALL, drop=True, guidance=1.5, more=dict(optimizer='muon', scheduled=.25)),
        Row('* perceptual loss (+ Muon)', ALL, drop=True, guidance=1.5, more=dict(optimizer='muon', perceptual=.1))]


# ---- training

def positions(rows):
    return torch.tensor(np.stack([pose2positions(_pose(r)) for r in rows]))

def _pose(row):
    from dance2music.pose import Pose
    return Pose(record2arrays(row)['pose'], row['fps'])

def features24(rows): # what the delayed model gets at the rate of the codes, here at the rate of the poses
    from dance2music.model import pose2features
    return torch.tensor(np.stack([pose2features(_pose(r), r['frames'], r['fps']) for r in rows]))

def spend(minutes, opt, loss_of):
    "Train until the processor time is spent; the rates fall with a cosine. Number of steps"
    peaks = [g['lr'] for g in opt.param_groups]; start, s = time.process_time(), 0
    while (done := (time.process_time() - start)/(60*minutes)) < 1:
        for g, p in zip(opt.param_groups, peaks): g['lr'] = p*min(1, (s+1)/10)*(.02 + .49*(1 + np.cos(np.pi*done)))
        loss = loss_of(s, done); opt.zero_grad(); loss.backward()
        torch.nn.utils.clip_grad_norm_([p for g in opt.param_groups for p in g['params']], 1.); opt.step(); s += 1
    for g, p in zip(opt.param_groups, peaks): g['lr'] = p
    return s

def train_flat(row, rows, minutes, batch=4):
    x = features24(rows) if row.moves else positions(rows); codes = torch.tensor(code_table(rows))
    model = Baseline(**SHAPE, n_features=x.shape[-1], n_codebooks=codes.shape[1]); rng = torch.Generator().manual_seed(0)
    def loss_of(s, done):
        i = torch.randint(len(rows), (batch,), generator=rng)
        return two_pass_loss(model, x[i], codes[i], torch.rand(codes[0].numel(), generator=rng) < row.forced)
    return model, spend(minutes, torch.optim.AdamW(model.parameters(), 2e-3, (.9, .98)), loss_of)

def train_delayed(row, pairs, music, codec, minutes, batch=8):
    c = TrainConfig(**dict(optimizer='adamw', adam=2e-3, lr=8e-3, dropout=0.) | row.more)
    model = PoseToMusic(PoseToMusicConfig(**SHAPE, pose_width=24, energy=True, dropout=0.)); styles = model.config.styles
    allowed = [float(k in row.told) for k in TOLD]; often = [.05, .2, .3, .3] if row.drop else [0.]*4
    opt, steps = new_optimizer(model, c), 0
    def loss_with(ds, drop):
        order = np.random.default_rng(0)
        def loss_of(s, done):
            rng = step_rng(0, s); x = shake(collate([ds[i] for i in order.choice(len(ds), batch, False)]), rng, .1*row.drop, drop)
            if c.scheduled: x['heard'] = mix_heard(model, x, c.scheduled*done, rng)
            out = model(**x, logits=c.perceptual > 0); n = 25
            if not c.perceptual: return out['loss']
            at = int(torch.randint(out['logits'].shape[2]-n+1, (), generator=rng))
            return out['loss'] + c.perceptual*perceptual_loss(codec, out['logits'][:batch//2,:,at:at+n], x['codes'][:batch//2,:,at:at+n])
        return loss_of
    drop = [d if a else 1. for d, a in zip(often, allowed)]
    if row.music: steps += spend(minutes*row.music, opt, loss_with(Records(music, styles), [1. if k in ('motion', 'energy') else d for k, d in zip(TOLD, drop)]))
    return model, steps + spend(minutes*(1 - row.music), opt, loss_with(Records(pairs, styles), drop))


# ---- questions

@torch.no_grad()
def flat_result(row, model, held):
    x = features24(held) if row.moves else positions(held); true = torch.tensor(code_table(held)); K = true.shape[1]
    nll = np.mean([two_pass_loss(model, x[i:i+4], true[i:i+4], torch.ones(true[0].numel()).bool()).item() for i in range(0, len(held), 4)])
    return nll, flat2codes(write_flat(model, model.encode(x), true[0].numel()), K).numpy()

@torch.no_grad()
def delayed_result(row, model, held):
    ds = Records(held, model.config.styles); b = collate([ds[i] for i in range(len(ds))]); told = torch.tensor([float(k in row.told) for k in TOLD])
    how = dict(temperature=1., top_k=100) if row.draw else dict(temperature=1e-5, top_k=1)
    codes = model.generate_codes(b['grid'], b['features'], b['style'], b['energy'], keep=b['have']*told, guidance=row.guidance, seed=0, **how)
    return valid_nll(model, ds, told=told.tolist()).mean(), codes.numpy()

def listen(codes, held, codec):
    "Tempo and beats of the sound of some codes against the grids of the clips"
    acc, f = [], []
    for row, wav in zip(held, codec.decode_batch(codes)):
        t = np.asarray(row['beats']); t = t[(t >= 0) & (t < len(wav)/codec.sample_rate)]
        try: b = audio2beats(wav, codec.sample_rate)
        except ValueError: acc.append((0, 0)); f.append(0.); continue
        acc.append(tempo_error(row['bpm'], b.bpm)[1:]); f.append(beat_f(t, b))
    a = np.mean(acc, 0)
    return dict(tempo=float(a[0]), octave=float(a[1]), beat_f=float(np.mean(f)), loops=float(np.mean([loops(c[0]) for c in codes])), in_use=float(perplexity(codes[:,0]).mean()))

def references(pairs, held, codec):
    a, b = code_table(pairs), code_table(held); fools = np.array([ngram_nll(a[:,k], b[:,k]) for k in range(a.shape[1])]).mean(0)
    rand = np.exp(np.random.default_rng(0).uniform(np.log(75), np.log(150), (len(held), 50)))
    guess = np.mean([[tempo_error(r['bpm'], x)[1:] for x in xs] for r, xs in zip(held, rand)], (0, 1))
    luck = np.mean([chance(beat_f, [t for t in r['beats'] if 0 <= t < b.shape[2]/50], b.shape[2]/50, n=20, seed=0) for r in held])
    return dict(unigram=dict(nll=float(fools[0])), bigram=dict(nll=float(fools[1])), chance=dict(tempo=float(guess[0]), octave=float(guess[1]), beat_f=float(luck)),
                codec=listen(b, held, codec))


# ---- the table

def line(name, r):
    show = lambda k, fmt: f"{format(r[k], fmt):>9}" if k in r else ' '*9
    return f"{name:36}" + ''.join([show('steps', 'd'), show('nll', '.3f'), show('tempo', '.2f'), show('octave', '.2f'), show('beat_f', '.2f'), show('loops', '.2f'), show('in_use', '.0f')])

def save(path, x):
    path.parent.mkdir(parents=True, exist_ok=True); tmp = path.with_name('.' + path.name); tmp.write_text(json.dumps(x, indent=1)); os.replace(tmp, path)

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--minutes', type=float, default=3., help='processor time a row to train'); p.add_argument('--pairs', type=int, default=480)
    p.add_argument('--music', type=int, default=640, help='clips of music without dancers'); p.add_argument('--held', type=int, default=48)
    p.add_argument('--seconds', type=float, default=5.); p.add_argument('--data', default='runs/ablation'); p.add_argument('--codec', default='nano')
    p.add_argument('--rows', default='all', help='numbers such as 0,5,9'); p.add_argument('--json', type=Path, default=RESULTS)
    a = p.parse_args(argv); torch.set_num_threads(1); codec = Codec.from_pretrained(a.codec)
    settings = {k: getattr(a, k) for k in ('minutes', 'pairs', 'music', 'held', 'seconds')} | dict(shape=SHAPE)
    rows = read_records(synthesize(a.held + a.pairs + a.music, a.data, seconds=a.seconds, codec=codec, shard=100))
    held, pairs, music = rows[:a.held], rows[a.held:a.held+a.pairs], rows[a.held+a.pairs:a.held+a.pairs+a.music]
    old = json.loads(a.json.read_text()) if a.json.exists() else {}
    done = old if old.get('settings') == settings else dict(settings=settings, rows={})
    if 'references' not in done: done['references'] = references(pairs, held, codec); save(a.json, done)
    print(f"{a.minutes:g} min of processor time a row, {a.pairs} pairs of {a.seconds:g} s, judged on n = {a.held} others; width {SHAPE['d_model']}, {SHAPE['n_layers']} layers\n")
    print(f"{'':36}" + ''.join(f'{h:>9}' for h in ('steps', 'nats', 'tempo', 'octave', 'beat F', 'loops', 'in use')))
    kept = {}
    for i, row in enumerate(ROWS):
        if a.rows != 'all' and str(i) not in a.rows.split(','): continue
        if row.name not in done['rows']:
            torch.manual_seed(0)
            if row.weights in kept: model, steps = kept[row.weights]
            else: model, steps = train_flat(row, pairs, a.minutes) if row.flat else train_delayed(row, pairs, music, codec, a.minutes)
            kept[row.name] = model, steps; model.eval()
            nll, codes = (flat_result if row.flat else delayed_result)(row, model, held)
            done['rows'][row.name] = dict(steps=steps, nll=float(nll), **listen(codes, held, codec)); save(a.json, done)
        print(line(row.name, done['rows'][row.name]), flush=True)
    for name, r in done['references'].items(): print(line({'codec': "ceiling: the true codes' sound", 'chance': 'chance: random tempo, random phase'}.get(name, name), r))


if __name__ == '__main__': main()
