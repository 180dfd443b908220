"""How good is a codec? Round trips of sound that it never heard, beside chance and beside Opus.

    python benchmarks/codec.py [--codec nano] [--n 50] [--json results/codec.json]

Three kinds of sound: grooves of unseen seeds; the music in ../shared/clips; tracks of the package immich-memories-music
(MIT; pip install immich-memories-music) that `HELD_OUT` kept out of the training. What is missing is skipped, with a word."""
import argparse, io, json, time
from pathlib import Path
import numpy as np, torch
from dance2music.codec import HELD_OUT, Codec, mel_distance, perplexity, snr
from dance2music.groove import STYLES, groove, random_beats
from dance2music.rhythm import audio2beats, beat_f

CLIPS = Path(__file__).resolve().parents[2]/'shared'/'clips'


def grooves(n, seconds, seed=10**6):
    "`n` grooves, the styles in turn, tempi at random: sounds `(n, S)` and their true beats"
    def one(i):
        s = [*STYLES][i % len(STYLES)]
        return groove(random_beats(s, seconds, np.random.default_rng(seed+i)), s, seconds, seed=seed+i)
    music = [one(i) for i in range(n)]
    return np.stack([m.wav for m in music]), [m.beats.times[(m.beats.times >= 0) & (m.beats.times < seconds)] for m in music]


def pieces(wavs, seconds, most, sr=24000):
    "Up to `most` pieces of each wave, evenly spaced, silence left out"
    n = int(seconds*sr); out = []
    for w in wavs:
        if len(w) < n: continue
        out += [w[s:s+n] for s in np.linspace(0, len(w)-n, min(most, len(w)//n)).astype(int) if np.abs(w[s:s+n]).max() > .01]
    return np.stack(out) if out else np.zeros((0, n), np.float32)


def clips(seconds):
    from dance2music.media import probe, video2audio
    files = sorted(CLIPS.glob('*.mp4')) if CLIPS.is_dir() else []
    return pieces([video2audio(f) for f in files if probe(f).has_audio], seconds, 4)


def immich(seconds):
    try: import immich_memories_music
    except ImportError: return np.zeros((0, int(seconds*24000)), np.float32)
    import librosa
    files = sorted(f for f in (Path(immich_memories_music.__file__).parent/'tracks').rglob('*.opus') if f.stem in HELD_OUT)
    return pieces([librosa.load(f, sr=24000, offset=20, duration=2*seconds)[0] for f in files], seconds, 2)


def opus(wav, kbps, sr=24000):
    "Through Opus and back: PyAV's libopus, mono, music mode; aligned by the container's own pre-skip"
    import av, soxr
    buf = io.BytesIO()
    with av.open(buf, 'w', format='ogg') as out:
        s = out.add_stream('libopus', rate=48000, layout='mono'); s.bit_rate = int(kbps*1000)
        s.options = dict(application='audio', vbr='constrained', frame_duration='60', compression_level='10')
        x = soxr.resample(wav, sr, 48000).astype(np.float32)
        f = av.AudioFrame.from_ndarray(x[None], format='flt', layout='mono'); f.sample_rate = 48000
        fifo = av.AudioFifo(); fifo.write(av.AudioResampler('s16', 'mono', 48000).resample(f)[0]); size = s.codec_context.frame_size or 2880
        while (f := fifo.read(size, partial=True)) is not None:
            for p in s.encode(f): out.mux(p)
        for p in s.encode(None): out.mux(p)
    rate = 8*buf.tell()/(len(wav)/sr)
    buf.seek(0)
    with av.open(buf) as c: y = np.concatenate([f.to_ndarray().astype(np.float32).reshape(-1) for f in c.decode(audio=0)])
    y = soxr.resample(y, 48000, sr)[:len(wav)]
    return np.pad(y, (0, len(wav)-len(y))), rate


def mel(a, b): return mel_distance(torch.as_tensor(a)[None], torch.as_tensor(b)[None]).item()

def beats_of(wavs, sr):
    def times(w):
        try: return audio2beats(w, sr).times
        except ValueError: return np.zeros(0) # no beat found
    return [times(w) for w in wavs]

def mean_f(ref, est): return float(np.mean([beat_f(r, e) if len(r) else 0. for r, e in zip(ref, est)]))

def trip(codec, x): return np.stack([codec.decode(codec.encode(w))[:len(w)] for w in x])


def speed(codec, x):
    "Times real time, wall clock and processor time, for encoding plus decoding clip by clip"
    t = time.perf_counter(), time.process_time(); trip(codec, x)
    return [x.size/codec.sample_rate/(b-a) for a, b in zip(t, (time.perf_counter(), time.process_time()))]


def size_of(name):
    from dance2music.media import asset
    f = (asset('codec-nano') if name == 'nano' else Path(name))/'model.safetensors'
    return f.stat().st_size/1e6 if f.exists() else float('nan')


def table(x, rows, sr, truth=None, before=None):
    before = before or beats_of(x, sr); out = {}
    print(f"{'':26}{'log-mel L1':>12}{'SNR dB':>9}{'beats kept F':>14}" + (f"{'true beats F':>14}" if truth else ''))
    for name, z in rows:
        after = beats_of(z, sr)
        r = out[name] = dict(mel=float(np.mean([mel(p, q) for p, q in zip(x, z)])), snr=float(np.mean([snr(p, q) for p, q in zip(x, z)])), kept=mean_f(before, after))
        if truth: r['true'] = mean_f(truth, after)
        print(f"{name:26}{r['mel']:12.3f}{r['snr']:9.2f}{r['kept']:14.3f}" + (f"{r['true']:14.3f}" if truth else ''), flush=True)
    return out


def on_grooves(codec, n, seconds):
    x, truth = grooves(n, seconds); sr = codec.sample_rate
    fast = sorted(speed(codec, x[:min(n, 20)]) for _ in range(3))[1] # the middle of three, before anything else has filled the memory
    codes = [codec.encode(w) for w in x]; y = np.stack([codec.decode(c)[:x.shape[1]] for c in codes])
    rng = np.random.default_rng(0); random = [rng.integers(codec.codebook_size, size=c.shape) for c in codes]
    rows = [('original', x), ('round trip', y), *[(f'first {k} codebooks', np.stack([codec.decode(c[:k])[:x.shape[1]] for c in codes])) for k in range(1, min(codec.n_codebooks, 8))]]
    o = [opus(w, 6) for w in x]; rate = np.mean([r for _, r in o])
    rows += [(f'Opus, {rate/1000:.1f} kbit/s', np.stack([w for w, _ in o])), ('chance: another groove', np.roll(x, 1, 0)),
             ('chance: random codes', np.stack([codec.decode(c)[:x.shape[1]] for c in random])), ('chance: silence', 0*x)]
    print(f'\ngrooves of unseen seeds, n = {n} of {seconds:g} s'); r = table(x, rows, sr, truth)
    p = perplexity(np.concatenate(codes, -1), codec.codebook_size)
    print('perplexity of each codebook', p.round(), f'of {codec.codebook_size}; codes counted {sum(c.shape[1] for c in codes)}')
    return r | dict(perplexity=p.tolist(), opus_bps=float(rate), speed=fast)


def real(codec, name, x):
    if not len(x): return print(f'\nSKIPPED: {name} (not here)')
    print(f'\n{name}, n = {len(x)}')
    other = [('chance: another clip', np.roll(x, 1, 0))] if len(x) > 1 else []
    return table(x, [('round trip', trip(codec, x)), *other, ('chance: silence', 0*x)], codec.sample_rate) | dict(n=len(x))


def verdicts(codec, g, mb):
    rows = [('size, MB', mb, '<=', 7), ('bitrate, kbit/s', codec.bitrate/1000, '<=', 3), ('log-mel L1', g['round trip']['mel'], '<=', .28), ('SNR, dB', g['round trip']['snr'], '>=', 7),
            ('beats kept, F', g['round trip']['kept'], '>=', .95), ('mel distance over that of Opus', g['round trip']['mel']/next(v['mel'] for k, v in g.items() if k.startswith('Opus')), '<=', 1),
            ('bitrate over that of Opus', codec.bitrate/g['opus_bps'], '<=', .5), ('perplexity, first codebook', g['perplexity'][0], '>=', 400), ('x real time, encode + decode', g['speed'][0], '>=', 25)]
    print()
    for what, v, sign, target in rows: print(f"{'pass' if (v <= target if sign == '<=' else v >= target) else 'FAIL'}  {what}: {v:.2f} (target {sign} {target})")


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--codec', default='nano'); p.add_argument('--n', type=int, default=50); p.add_argument('--seconds', type=float, default=5.); p.add_argument('--json', type=Path)
    a = p.parse_args(argv)
    codec = Codec.from_pretrained(a.codec); codec.decode(codec.encode(np.zeros(24000, np.float32))) # warm up
    print(f'{codec}\nfile {size_of(a.codec):.2f} MB; {torch.get_num_threads()} threads')
    r = dict(codec=a.codec, n=a.n, bitrate=float(codec.bitrate), grooves=on_grooves(codec, a.n, a.seconds), clips=real(codec, 'music in ../shared/clips', clips(a.seconds)), immich=real(codec, 'immich-memories-music', immich(a.seconds)))
    verdicts(codec, r['grooves'], size_of(a.codec))
    if a.json: a.json.parent.mkdir(parents=True, exist_ok=True); a.json.write_text(json.dumps(r, indent=1))


if __name__ == '__main__': main()
