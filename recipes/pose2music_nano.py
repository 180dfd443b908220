"""Train the shipped `pose2music-nano`: synthetic pairs, then the model. Run again to go on where it stopped.

    python recipes/pose2music_nano.py                 # on a processor
    python recipes/pose2music_nano.py --install       # put the finished model into the package

The run that ships, on a GPU:

    python recipes/pose2music_nano.py --pairs 20000 --pair-workers 16 --workers 12 --batch 64 --steps 3802 --held-out 0.015 --eval-every 380 --patience 0 --tempo-clips 0
"""
import argparse, shutil
from pathlib import Path
from dance2music.dataset import synthesize
from dance2music.model import PoseToMusic
from dance2music.training import TrainConfig, TrainError, check_config, train

SHIPPED = dict(bf16=True) # what differs from the defaults


def arguments(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--pairs', type=int, default=4000, help='default 4000')
    p.add_argument('--pair-workers', type=int, default=2, help='processes that make pairs; default 2')
    p.add_argument('--install', action='store_true', help='copy the result to dance2music/assets/pose2music-nano')
    for k, v in (vars(TrainConfig()) | SHIPPED).items():
        kind = (lambda s: s.lower() in ('true', 'yes', '1')) if isinstance(v, bool) else float if isinstance(v, list) else type(v)
        p.add_argument('--' + k.replace('_', '-'), default=v, type=kind, nargs='+' if isinstance(v, list) else None, help=f'default {v}')
    a = vars(p.parse_args(argv)); pairs, workers, install = (a.pop(k) for k in ('pairs', 'pair_workers', 'install')); c = TrainConfig(**a)
    try: check_config(c)
    except TrainError as e: p.error(str(e))
    if pairs < 2: p.error(f'--pairs must be at least 2, one of them held out, not {pairs}')
    if c.init and not (Path(c.init)/'config.json').is_file(): p.error(f'--init {c.init}: no config.json there; name the folder of a finished model')
    for f in (c.out, c.data):
        if Path(f).exists() and not Path(f).is_dir(): p.error(f'{f}: a file of that name is in the way; name a folder')
    return pairs, workers, install, c


def install(folder, assets=None):
    "Copy a finished model into the package's assets, after it has proved that it loads"
    PoseToMusic.from_pretrained(folder)
    to = Path(assets or Path(__file__).resolve().parents[1]/'dance2music'/'assets')/'pose2music-nano'
    to.mkdir(parents=True, exist_ok=True)
    for name in ('config.json', 'model.safetensors', 'training.json'): shutil.copyfile(Path(folder)/name, to/name)
    return to


if __name__ == '__main__':
    pairs, workers, wanted, c = arguments()
    print(c, flush=True)
    synthesize(pairs, c.data, seed=0, codec=c.codec, workers=workers, progress=True)
    out = train(c, log=lambda line: print(line, flush=True))
    print(f'finished: {out}')
    if wanted: print(f'installed: {install(out)}')
