"""Draw docs/preview.webp: the shipped clip with its skeleton, its beats as they come, and the sound that was made for it.

    python tools/preview.py [-o docs/preview.webp] [--seed 0]

Four bars, 12 pictures a second. A picture cannot be heard; `dance2music demo` gives the video with its sound."""
import argparse
from pathlib import Path
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont
from dance2music.generate import DanceToMusic
from dance2music.media import asset, video2frames
from dance2music.pose import clean, draw_skeleton, video2pose
from dance2music.rhythm import pose2beats

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('-o', '--out', type=Path, default=Path(__file__).resolve().parents[1]/'docs/preview.webp')
ap.add_argument('--seed', type=int, default=0); ap.add_argument('--quality', type=int, default=55)
args = ap.parse_args()

W, H, FPS = 640, 360, 12
DARK, GREY, BLUE, ORANGE = (20, 20, 28), (120, 120, 135), (127, 209, 255), (255, 179, 71)
font = lambda size: ImageFont.truetype(font_manager.findfont('DejaVu Sans'), size)
mix = lambda a, b, w: tuple(int(x+(y-x)*w) for x, y in zip(a, b))

clip = asset('clip.mp4'); raw = video2pose(clip); beats = pose2beats(clean(raw))
music = DanceToMusic.from_pretrained('nano').generate(clean(raw), seed=args.seed)
grid = music.beats; seconds = min(music.seconds, 16*60/grid.bpm)
frames = list(video2frames(clip))
step = music.sr//100; loud = np.abs(music.wav[:len(music.wav)//step*step]).reshape(-1, step).max(1); loud = loud/loud.max()

def picture(t):
    "What is to be seen at `t` seconds"
    i = min(int(round(t*raw.fps)), len(raw)-1); img = Image.new('RGB', (W, H), DARK); d = ImageDraw.Draw(img)
    dancer = Image.fromarray(draw_skeleton(frames[i], raw.image[i], 3)); w = round(dancer.width*H/dancer.height); img.paste(dancer.resize((w, H)), (0, 0))
    k = int(np.searchsorted(grid.times, t+1e-6, 'right'))-1; since = t-grid.times[k] if k >= 0 else 9.; glow = float(np.exp(-since/.12))
    d.rectangle((0, 0, w-1, H-1), outline=mix(DARK, ORANGE, glow), width=6)
    left, right = w+24, W-20; place = (k-grid.downbeat) % grid.meter if k >= 0 else -1
    d.text((left, 22), f'{grid.bpm:.0f} BPM', font=font(34), fill='white'); d.text((left, 68), f'read off the body; {music.style}', font=font(14), fill=GREY)
    for b in range(grid.meter):
        x, on = left+26+b*62, b == place; r = 16+(8*glow if on else 0)
        d.ellipse((x-r, 140-r, x+r, 140+r), fill=mix(DARK, ORANGE, .15+.85*glow) if on else mix(DARK, GREY, .3))
    mid, half, px = 250, 62, 70 # centre, height, pixels a second
    now = left+70
    for x in range(left, right):
        s = t+(x-now)/px; j = int(s*100)
        if 0 <= j < len(loud): h = max(1, loud[j]*half); d.line((x, mid-h, x, mid+h), fill=BLUE if s <= t else mix(DARK, BLUE, .35))
    for b in grid.times:
        x = now+(b-t)*px
        if left <= x <= right: d.line((x, mid-half-8, x, mid+half+8), fill=ORANGE, width=2)
    d.line((now, mid-half-14, now, mid+half+14), fill='white', width=2)
    d.text((left, H-30), 'the sound that is made for it', font=font(14), fill=GREY)
    return img

shots = [picture(t) for t in np.arange(0, seconds, 1/FPS)]
args.out.parent.mkdir(parents=True, exist_ok=True)
shots[0].save(args.out, save_all=True, append_images=shots[1:], duration=round(1000/FPS), loop=0, quality=args.quality, method=6)
print(args.out.name, len(shots), 'pictures,', args.out.stat().st_size//1024, 'KB'); assert args.out.stat().st_size < 1.5e6
