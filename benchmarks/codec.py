"""How good is a codec? Round trips of grooves it never heard, beside chance.

    python benchmarks/codec.py [--codec nano] [--n 20] [--seconds 6]
"""
import argparse, time
from pathlib import Path
import numpy as np, torch
from dance2music.codec import Codec, mel_distance, perplexity, snr
from dance2music.groove import STYLES, groove, random_beats


def clips(n, seconds, seed=10**6):
    "`n` grooves, the styles in turn, tempi at random"
    names = [*STYLES]
    def one(i):
        s = names[i % len(names)]
        return groove(random_beats(s, seconds, np.random.default_rng(seed+i)), s, seconds, seed=seed+i)
    return [one(i) for i in range(n)]


def mel(a, b): return mel_distance(torch.as_tensor(a)[None], torch.as_tensor(b)[None]).item()


def beats_of(wavs, sr):
    from dance2music.rhythm import audio2beats
    def times(w):
        try: return audio2beats(w, sr).times
        except ValueError: return np.zeros(0) # no beat found
    return [times(w) for w in wavs]


def mean_f(ref, est):
    from dance2music.rhythm import beat_f
    f = [beat_f(r, e) for r, e in zip(ref, est)]
    return float(np.mean([x['f'] if isinstance(x, dict) else getattr(x, 'f', x) for x in f]))


def measure(codec, n, seconds):
    music = clips(n, seconds); x = np.stack([m.wav for m in music])
    now = lambda: np.array([time.perf_counter(), time.process_time()]) # wall, processor
    t = now(); codes = [codec.encode(w) for w in x]; te = now() - t
    t = now(); y = np.stack([codec.decode(c)[:x.shape[1]] for c in codes]); td = now() - t
    rng = np.random.default_rng(0)
    noise = np.stack([codec.decode(rng.integers(codec.codebook_size, size=c.shape))[:x.shape[1]] for c in codes])
    others = np.roll(np.arange(n), 1) # every clip beside the one before it, of another style and tempo
    return dict(music=music, x=x, y=y, codes=np.stack(codes), noise=noise, others=others, encode=te, decode=td)


def size_of(name):
    from dance2music.media import asset
    folder = asset('codec-nano') if name == 'nano' else Path(name)
    f = folder/'model.safetensors'
    return f'{f.stat().st_size/1e6:.2f} MB' if f.exists() else 'not local'


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--codec', default='nano'); p.add_argument('--n', type=int, default=20); p.add_argument('--seconds', type=float, default=6.)
    a = p.parse_args(argv)
    codec = Codec.from_pretrained(a.codec); codec.decode(codec.encode(np.zeros(24000, np.float32))) # warm up
    r = measure(codec, a.n, a.seconds); x, y, o, noise = r['x'], r['y'], r['others'], r['noise']
    print(f'{codec}\nfile {size_of(a.codec)}; n = {a.n} grooves of {a.seconds:g} s with unseen seeds, {torch.get_num_threads()} threads')
    rows = [('round trip', y), ('another groove', x[o]), ('random codes', noise), ('silence', 0*x)]
    rows += [(f'first {k} codebooks', np.stack([codec.decode(c[:k])[:x.shape[1]] for c in r['codes']])) for k in range(1, codec.n_codebooks) if codec.n_codebooks <= 8]
    truth = [m.beats.times[(m.beats.times >= 0) & (m.beats.times < a.seconds)] for m in r['music']]
    before = beats_of(x, codec.sample_rate)
    print(f"\n{'':22}{'log-mel L1':>12}{'SNR dB':>9}{'beats kept F':>14}{'true beats F':>14}")
    print(f"{'original':22}{0:12.3f}{'inf':>9}{mean_f(before, before):14.3f}{mean_f(truth, before):14.3f}")
    for name, z in rows:
        after = beats_of(z, codec.sample_rate)
        print(f'{name:22}{np.mean([mel(p, q) for p, q in zip(x, z)]):12.3f}{np.mean([snr(p, q) for p, q in zip(x, z)]):9.2f}'
              f'{mean_f(before, after):14.3f}{mean_f(truth, after):14.3f}')
    print("\nbeats kept: beats that librosa finds in the original against those it finds in the copy, 70 ms; true beats: the groove's own")
    print('perplexity per codebook', perplexity(np.concatenate([*r['codes']], -1), codec.codebook_size).round(1), 'of', codec.codebook_size)
    seconds = a.n*a.seconds
    for i, clock in enumerate(('wall clock', 'processor time')):
        print(f"x real time by {clock}: encode {seconds/r['encode'][i]:.1f}, decode {seconds/r['decode'][i]:.1f}, both {seconds/(r['encode'][i]+r['decode'][i]):.1f}")


if __name__ == '__main__': main()
