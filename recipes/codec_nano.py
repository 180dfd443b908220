"""Train the codec that ships with dance2music, on endless grooves: no data set is needed.

    python recipes/codec_nano.py --out runs/codec-nano
    python recipes/codec_nano.py --out runs/codec-nano            # stopped? the same line goes on from the last checkpoint
    python recipes/codec_nano.py --out runs/codec-nano --device cuda --minutes 7.7 --batch 64 --plain 300 --pool 1600 --renew .5 --workers 6 --wave 4 --dropout .15 --music FOLDER   # the run that ships, on one H200, before its decoder went on alone (model card); FOLDER: the tracks that the model card names
    python recipes/codec_nano.py --out runs/codec-nano --install  # put the finished codec into the package
"""
import argparse, shutil
from dataclasses import fields
from pathlib import Path


def arguments(argv=None):
    from dance2music.codec import CodecTraining
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for f in fields(CodecTraining):
        how = dict(action='store_true') if f.type is bool else dict(type=f.type, default=f.default)
        p.add_argument('--' + f.name.replace('_', '-'), help=f'default {f.default}', **how)
    p.add_argument('--install', action='store_true', help='copy config.json and model.safetensors to dance2music/assets/codec-nano')
    a = vars(p.parse_args(argv)); install = a.pop('install')
    try: c = CodecTraining(**a)
    except ValueError as e: p.error(str(e))
    if c.init and not (Path(c.init)/'config.json').is_file(): p.error(f'--init {c.init}: no config.json there; name the folder of a finished codec')
    if c.device.split(':')[0] not in ('cpu', 'cuda', 'mps'): p.error(f"--device {c.device}: choose cpu, cuda or mps")
    if Path(c.out).exists() and not Path(c.out).is_dir(): p.error(f'--out {c.out}: a file of that name is in the way; name a folder')
    return c, install


def install(folder, assets=None):
    "Copy a finished codec into the package's assets, after it has proved that it loads"
    from dance2music.codec import Codec
    Codec.from_pretrained(str(folder))
    to = Path(assets or Path(__file__).resolve().parents[1]/'dance2music'/'assets')/'codec-nano'
    to.mkdir(parents=True, exist_ok=True)
    for name in ('config.json', 'model.safetensors'): shutil.copyfile(Path(folder)/name, to/name)
    return to


if __name__ == '__main__':
    c, wanted = arguments()
    from dance2music.codec import train_codec
    if c.device != 'cpu':
        import torch
        torch.backends.cudnn.benchmark = True; torch.set_float32_matmul_precision('high')
    print(c, flush=True)
    out = train_codec(c, log=lambda line: print(line, flush=True))
    print(f'finished: {out}')
    if wanted: print(f'installed: {install(out)}')
