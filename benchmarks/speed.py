"""How long each stage of the pipeline takes on this machine: python benchmarks/speed.py

A video (the shipped clip, if none is named) gets new music several times in one process. The first run also loads and warms up;
the medians are of the runs after it. "Real time" is the time taken for each second of video: below 1 keeps up with the dancer."""
import argparse, os, platform, statistics, subprocess, sys, tempfile, time
from pathlib import Path


def cold_import():
    "Seconds that a new Python needs to import the pipeline"
    t = time.perf_counter()
    subprocess.run([sys.executable, '-c', 'import dance2music.generate'], check=True)
    return time.perf_counter()-t


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--video', type=Path); p.add_argument('--model', default='nano'); p.add_argument('--runs', type=int, default=3)
    a = p.parse_args(argv)
    start = cold_import()
    import torch
    from dance2music.generate import DanceToMusic, video2music
    from dance2music.media import asset, probe
    video = a.video or asset('clip.mp4'); seconds = probe(video).seconds
    t = time.perf_counter(); d2m = DanceToMusic.from_pretrained(a.model); load = time.perf_counter()-t
    runs = []
    with tempfile.TemporaryDirectory() as tmp:
        for i in range(a.runs+1):
            t = time.perf_counter(); r = video2music(video, Path(tmp)/f'{i}.mp4', seed=i, model=d2m)
            runs.append(dict(r['stages'], total=time.perf_counter()-t))
    print(f'{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs, torch {torch.__version__} with {torch.get_num_threads()} threads')
    print(f'{Path(video).name}: {seconds:.1f} s of video; import {start:.1f} s, load {load:.1f} s; {a.runs} runs after the first\n')
    print(f"{'stage':12}{'first (s)':>12}{'median (s)':>12}{'real time':>12}")
    for k in runs[0]:
        if k == 'load': continue
        m = statistics.median(x[k] for x in runs[1:] or runs)
        print(f'{k:12}{runs[0][k]:12.2f}{m:12.2f}{m/seconds:12.3f}')
    if r['peak_memory_mb']: print(f"\nmost memory held: {r['peak_memory_mb']:.0f} MB")


if __name__ == '__main__': main()
