"""Draw docs/hero.png: frames of the shipped clip with their skeletons, and the generated sound under the dancer's beat grid.

    python tools/readme_picture.py [-o docs/hero.png] [--seed 0]
"""
import argparse
from pathlib import Path
import numpy as np
import matplotlib; matplotlib.use('Agg')
import matplotlib.pyplot as plt
from dance2music.generate import DanceToMusic
from dance2music.media import asset, video2frames
from dance2music.pose import clean, draw_skeleton, video2pose
from dance2music.rhythm import pose2beats

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('-o', '--out', type=Path, default=Path(__file__).resolve().parents[1]/'docs/hero.png')
ap.add_argument('--seed', type=int, default=0)
ap.add_argument('--shots', type=int, default=7)
args = ap.parse_args()

clip = asset('clip.mp4')
raw = video2pose(clip); pose = clean(raw); beats = pose2beats(pose)
music = DanceToMusic.from_pretrained('nano').generate(pose, seed=args.seed)
at = np.linspace(0, len(raw)-1, args.shots+2).astype(int)[1:-1]
frames = {i: f for i, f in enumerate(video2frames(clip)) if i in set(at)}

plt.rcParams.update({'font.size': 9, 'text.color': '#ddd', 'axes.labelcolor': '#ddd', 'xtick.color': '#aaa'})
fig = plt.figure(figsize=(11, 4.6), dpi=100, facecolor='#14141c')
grid = fig.add_gridspec(2, args.shots, height_ratios=[3, 1.15], hspace=.05, wspace=.02, left=.01, right=.99, top=.99, bottom=.11)
for k, i in enumerate(at):
    ax = fig.add_subplot(grid[0, k]); h, w = frames[i].shape[:2]
    ax.imshow(draw_skeleton(frames[i], raw.image[i])); ax.axis('off')
ax = fig.add_subplot(grid[1, :], facecolor='#14141c')
step = music.sr//400; n = len(music.wav)//step*step
peak = np.abs(music.wav[:n].reshape(-1, step)).max(1); t = np.arange(len(peak))*step/music.sr
ax.fill_between(t, -peak, peak, color='#7fd1ff', lw=0)
for b in beats.times: ax.axvline(b, color='#ffb347', lw=1.1)
for i in at: ax.plot(i/raw.fps, 1.02, 'v', color='#ddd', ms=5, clip_on=False)
ax.set(xlim=(0, music.seconds), ylim=(-1, 1), yticks=[], xlabel=f'seconds: the generated music ({music.style}, {beats.bpm:.1f} BPM) under the beat grid read off the dancer')
for s in ax.spines.values(): s.set_visible(False)
args.out.parent.mkdir(parents=True, exist_ok=True)
fig.savefig(args.out, facecolor=fig.get_facecolor()); print(args.out, args.out.stat().st_size//1024, 'KB')
