"""Give the pictures in a notebook's outputs a small palette, so that the notebook stays under 500 KB.

    python tools/shrink_notebook.py nbs/04_groove.ipynb [--colours 24]

Lines and bars look the same with a few colours; `--colours 96` is for photographs."""
import argparse, base64, io, json, os
from pathlib import Path
from PIL import Image


def shrink(png, colours):
    "A PNG with at most `colours` colours, or the same if that would not be smaller"
    out = io.BytesIO(); picture = Image.open(io.BytesIO(png)).convert('RGB')
    picture.quantize(colours, dither=Image.Dither.NONE).save(out, 'PNG', optimize=True)
    return min(out.getvalue(), png, key=len)


def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('notebooks', nargs='+', type=Path); p.add_argument('--colours', type=int, default=24)
    a = p.parse_args(argv)
    for path in a.notebooks:
        nb = json.loads(path.read_text(encoding='utf-8')); before = path.stat().st_size
        for data in (o['data'] for c in nb['cells'] for o in c.get('outputs', []) if 'image/png' in o.get('data', {})):
            png = ''.join(data['image/png']) # nbformat allows a list of lines
            data['image/png'] = base64.b64encode(shrink(base64.b64decode(png), a.colours)).decode()
        tmp = path.with_name('.' + path.name); tmp.write_text(json.dumps(nb, indent=1, ensure_ascii=False) + '\n', encoding='utf-8'); os.replace(tmp, path)
        print(f'{path}: {before/1024:.0f} KB, now {path.stat().st_size/1024:.0f} KB')


if __name__ == '__main__': main()
