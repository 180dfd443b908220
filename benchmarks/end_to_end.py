"""The whole pipeline on real files: time of each stage, memory, and whether the music keeps the dancer's tempo.

    python benchmarks/end_to_end.py                    everything (about 15 minutes on two cores)
    python benchmarks/end_to_end.py time tempo         only some of: time memory tempo clips
    python benchmarks/end_to_end.py tempo --seeds 8    more pieces of music for each clip
    python benchmarks/end_to_end.py tempo --candidates 4

Prints a table for each part and writes benchmarks/results/end_to_end.json; a part that was not run keeps its old figures.
"""
import argparse, json, os, platform, subprocess, sys, tempfile, time
from pathlib import Path
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT/'benchmarks'/'results'/'end_to_end.json'
CACHE = Path(os.environ.get('XDG_CACHE_HOME') or Path.home()/'.cache')/'dance2music'/'renders'
RENDERS = [(90, 'hip-hop', 11), (110, 'funk', 12), (128, 'house', 13)]  # BPM, style, seed
SECONDS = 8

def command(*args):
    "`dance2music generate ... --json` in a process of its own: the report, and seconds from start to exit"
    t = time.perf_counter()
    p = subprocess.run([sys.executable, '-c', 'from dance2music.cli import main; main()', 'generate', *map(str, args), '--json'], capture_output=True, text=True)
    if p.returncode: sys.exit(f'generate {" ".join(map(str, args))}: {p.stderr.strip()}')
    return json.loads(p.stdout), time.perf_counter()-t

def mean(x): return float(np.mean(x)) if len(x) else float('nan')

# ---------------------------------------------------------------------------------------------- (a) time
def measure_time(model, tmp, **_):
    "Seconds of each stage for the shipped clip, from the command to its exit"
    from dance2music.media import asset
    r, total = command(asset('clip.mp4'), '-o', tmp/'out.mp4', '--model', model)
    stages = {'start and exit': round(total-sum(r['stages'].values()), 2), **r['stages']}
    print(f'\nTime for the shipped clip, {r["seconds"]:.1f} s of video (target: under 20 s in all)')
    for k, v in [*stages.items(), ('in all', total)]: print(f'  {k:<15}{v:7.2f} s')
    return dict(clip_seconds=r['seconds'], stages=stages, total=round(total, 2), peak_memory_mb=r['peak_memory_mb'])

# ---------------------------------------------------------------------------------------------- (b) memory
def big(seconds, out):
    "The shipped clip over and over, forward and backward, at 1920x1080"
    import av
    from dance2music.media import asset, video2frames
    frames = [av.VideoFrame.from_ndarray(f, format='rgb24') for f in video2frames(asset('clip.mp4'), 24)]
    order = [*range(len(frames)), *range(len(frames)-2, 0, -1)]
    with av.open(str(out), 'w') as c:
        s = c.add_stream('libx264', rate=24); s.width, s.height, s.pix_fmt, s.options = 1920, 1080, 'yuv420p', dict(preset='ultrafast')
        for i in range(round(seconds*24)):
            f = frames[order[i % len(order)]]; w = round(1080*f.width/f.height/2)*2
            wide = np.zeros((1080, 1920, 3), np.uint8); x = (1920-w)//2
            wide[:,x:x+w] = f.to_ndarray(format='rgb24', width=w, height=1080)
            for p in s.encode(av.VideoFrame.from_ndarray(wide, format='rgb24')): c.mux(p)
        for p in s.encode(): c.mux(p)
    return out

def measure_memory(model, tmp, lengths=(5, 60), **_):
    "Peak memory of the process for a short and a long video in full HD"
    rows = []
    print('\nPeak memory, 1920x1080 at 24 frames a second (target: less than 150 MB between the two)')
    for seconds in lengths:
        r, total = command(big(seconds, tmp/f'{seconds}.mp4'), '-o', tmp/'out.mp4', '--model', model, '--bpm', 112)
        rows.append(dict(seconds=seconds, peak_memory_mb=r['peak_memory_mb'], total=round(total, 1), stages=r['stages']))
        print(f'  {seconds:4d} s of video{r["peak_memory_mb"]:8.0f} MB{total:8.1f} s  ' + ', '.join(f'{k} {v:.1f}' for k, v in r['stages'].items()))
    more = rows[-1]['peak_memory_mb']-rows[0]['peak_memory_mb']; print(f'  difference{more:12.0f} MB')
    return dict(rows=rows, difference_mb=round(more, 1))

# ---------------------------------------------------------------------------------------------- (c), (e) tempo
def renders():
    "Clips whose tempo is known: `{name: (path, bpm)}`"
    import av
    from dance2music.media import asset
    with av.open(str(asset('clip.mp4'))) as c: clips = {'shipped': (asset('clip.mp4'), json.loads(c.metadata['comment'])['bpm'])}
    sys.path.insert(0, str(ROOT/'tools')); CACHE.mkdir(parents=True, exist_ok=True)
    for bpm, style, seed in RENDERS:
        path = CACHE/f'{style}-{bpm}-{seed}-{SECONDS}s.mp4'
        if not path.exists():
            from render_dancer import render_clip
            print(f'  rendering {path.name} ...', file=sys.stderr); render_clip(bpm, SECONDS, style, seed, path)
        clips[path.stem] = path, bpm
    return clips

def heard_tempo(music):
    "Tempo that librosa hears in a piece; None if it hears none"
    from dance2music.rhythm import RhythmError, audio2beats
    try: return audio2beats(music.wav, music.sr)
    except RhythmError: return None

def follow(d2m, pose, seeds, candidates=1):
    "A piece of music for each seed, with the beats heard in it and how they fit the grid"
    from dance2music.generate import onset_agreement
    from dance2music.rhythm import Beats, beat_f, chance
    rows = []
    for seed in seeds:
        m = d2m.generate(pose, seed=seed, n_candidates=candidates); beats = heard_tempo(m)
        other = [onset_agreement(m.wav, m.sr, Beats(m.beats.times*k, m.beats.bpm/k)) for k in (.83, .91, 1.09, 1.17)]
        rows.append(dict(seed=seed, style=m.style, found_bpm=m.report['dance_bpm'], bpm=m.beats.bpm, confidence=m.beats.confidence,
            heard_bpm=None if beats is None else beats.bpm, beat_f=0. if beats is None else beat_f(m.beats, beats),
            chance_f=chance(beat_f, m.beats, m.seconds), onsets=onset_agreement(m.wav, m.sr, m.beats), onsets_other_tempo=mean(other)))
    return rows

def random_match(bpms, n=20000, lo=60, hi=180):
    "Share of random tempos (log-uniform) that pass for the true ones"
    from dance2music.rhythm import tempo_error
    rng = np.random.default_rng(0); guess = np.exp(rng.uniform(np.log(lo), np.log(hi), n))
    return mean([tempo_error(b, g).acc2 for g, b in zip(guess, rng.choice(bpms, n))])

def measure_tempo(model, seeds=4, candidates=1, **_):
    "Does the music have the dancer's tempo? And the music that was made for another dancer?"
    from dance2music.generate import DanceToMusic, read_dance
    from dance2music.rhythm import tempo_error
    d2m, clips = DanceToMusic.from_pretrained(model), renders()
    rows = {name: [dict(r, true_bpm=bpm) for r in follow(d2m, read_dance(path)[0], range(seeds), candidates)] for name, (path, bpm) in clips.items()}
    right = lambda true, r: r['heard_bpm'] is not None and tempo_error(true, r['heard_bpm']).acc2
    print(f'\nTempo, {seeds} pieces a clip (right: within 4 %, or that times or by 2 or 3)\n  {"clip":<20}{"true":>6}{"found":>7}{"right":>7}  heard in the music')
    for name, rs in rows.items():
        heard = ' '.join('-' if r['heard_bpm'] is None else f"{r['heard_bpm']:.0f}" for r in rs)
        print(f'  {name:<20}{rs[0]["true_bpm"]:6.0f}{rs[0]["found_bpm"]:7.1f}{mean([right(r["true_bpm"], r) for r in rs]):7.0%}  {heard}  ({rs[0]["style"]})')
    every = [r for rs in rows.values() for r in rs]
    own = mean([right(r['true_bpm'], r) for r in every])
    swapped = mean([right(clips[b][1], r) for a in rows for b in rows if a != b for r in rows[a]])
    sums = dict(own=own, swapped=swapped, random=random_match([b for _, b in clips.values()]),
        beat_f=mean([r['beat_f'] for r in every]), chance_f=mean([r['chance_f'] for r in every]),
        onsets=mean([r['onsets'] for r in every]), onsets_other_tempo=mean([r['onsets_other_tempo'] for r in every]))
    print(f'  right for its own dancer {own:.0%}; the same music judged by the other dancers\' tempos {swapped:.0%}; a random tempo {sums["random"]:.0%}')
    print(f'  beat F of the beats heard against the grid given {sums["beat_f"]:.2f}; a metronome of the right tempo and random phase {sums["chance_f"]:.2f}')
    print(f'  onsets at the beats, deviations above the mean: {sums["onsets"]:.2f}; at grids of other tempos {sums["onsets_other_tempo"]:.2f}')
    return dict(seeds=seeds, candidates=candidates, **{k: round(v, 4) for k, v in sums.items()}, rows=rows)

# ---------------------------------------------------------------------------------------------- (d) real clips
def measure_clips(model, **_):
    "Real videos of the folder ../shared/clips, where it exists"
    from dance2music.generate import DanceToMusic
    found = sorted((ROOT.parent/'shared'/'clips').glob('*.mp4'))
    if not found: print('\nNo ../shared/clips here: nothing to try on real videos'); return None
    d2m, rows = DanceToMusic.from_pretrained(model), []
    print(f'\nReal videos\n  {"clip":<30}{"length":>8}{"BPM":>7}{"conf.":>7}{"heard":>7}{"took":>8}  style')
    for path in found:
        t = time.perf_counter()
        try: m = d2m.generate(path)
        except ValueError as e: print(f'  {path.name:<30}refused: {e}'); rows.append(dict(clip=path.name, refused=str(e))); continue
        took, beats = time.perf_counter()-t, heard_tempo(m)
        rows.append(dict(clip=path.name, seconds=m.seconds, bpm=m.beats.bpm, confidence=m.beats.confidence, style=m.style, took=round(took, 2),
                         heard_bpm=None if beats is None else beats.bpm, warnings=m.report['warnings']))
        print(f'  {path.name:<30}{m.seconds:7.1f}s{m.beats.bpm:7.1f}{m.beats.confidence:7.2f}{"-" if beats is None else f"{beats.bpm:.1f}":>7}{took:7.1f}s  {m.style}')
    return rows

PARTS = dict(time=measure_time, memory=measure_memory, tempo=measure_tempo, clips=measure_clips)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('parts', nargs='*', help=f"some of: {' '.join(PARTS)}; all if none is named")
    p.add_argument('--model', default='nano', help="'nano' or a folder")
    p.add_argument('--seeds', type=int, default=4, help='pieces of music a clip in the part tempo')
    p.add_argument('--candidates', type=int, default=1, help='candidates a piece in the part tempo')
    p.add_argument('--json', type=Path, default=RESULT, help='file of figures; parts that are not measured stay as they are in it')
    a = p.parse_args()
    for part in a.parts:
        if part not in PARTS: p.error(f"unknown part {part!r}: choose from {', '.join(PARTS)}")
    import torch
    results = json.loads(a.json.read_text()) if a.json.exists() else {}
    for part in a.parts or PARTS:
        with tempfile.TemporaryDirectory() as tmp: figures = PARTS[part](model=a.model, tmp=Path(tmp), seeds=a.seeds, candidates=a.candidates)
        machine = dict(cores=os.cpu_count(), load=round(os.getloadavg()[0], 1) if hasattr(os, 'getloadavg') else None, python=platform.python_version(), torch=torch.__version__)
        results[part] = dict(date=time.strftime('%Y-%m-%d'), machine=machine, figures=figures)
        a.json.parent.mkdir(parents=True, exist_ok=True)
        tmp = a.json.with_suffix('.tmp'); tmp.write_text(json.dumps(results, indent=1)+'\n'); os.replace(tmp, a.json)
    print(f'\nwritten: {a.json.name}')

if __name__ == '__main__': main()
