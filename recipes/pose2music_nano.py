"""Train the shipped `pose2music-nano`: synthetic pairs, then the model. Run again to go on where it stopped.
The line below is the run that ships; on a GPU leave `--device cpu` out.

    python recipes/pose2music_nano.py --bf16 True --device cpu [--pairs 3000] [--steps 2800] [--install]
"""
import argparse, shutil
from pathlib import Path
from dance2music.dataset import synthesize
from dance2music.training import TrainConfig, train

ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
ap.add_argument('--pairs', type=int, default=3000)
ap.add_argument('--codec', default='nano', help="'nano' or a folder")
ap.add_argument('--workers', type=int, default=2, help='processes that make pairs')
ap.add_argument('--install', action='store_true', help='copy the result into the package')
c = TrainConfig()
for k, v in vars(c).items():
    ap.add_argument(f'--{k}', default=v, type=(lambda s: s == 'True') if isinstance(v, bool) else type(v))
args = vars(ap.parse_args())
n, codec, workers, install = (args.pop(k) for k in ('pairs', 'codec', 'workers', 'install'))
c = TrainConfig(**args)
synthesize(n, c.data, seed=0, codec=codec, workers=workers, progress=True)
out = train(c)
if install:
    to = Path(__file__).resolve().parents[1]/'dance2music/assets/pose2music-nano'; to.mkdir(parents=True, exist_ok=True)
    for f in ('config.json', 'model.safetensors', 'training.json'): shutil.copy(out/f, to/f)
print(out)
