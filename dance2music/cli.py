"""The command `dance2music`: a thin face over the modules, written by hand. Imports at the top are light; each command brings in its own."""

import json, signal, sys, time
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated
import typer
from dance2music import __version__

app = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False,
                  help="Give a video of somebody dancing new music that keeps the dancer's beat.")

def _say(text): print(f'dance2music: {text}', file=sys.stderr, flush=True)

@contextmanager
def _plain_errors():
    "Whatever a person can mend ends in one line and exit code 2"
    try: yield
    except KeyboardInterrupt: _say('stopped; nothing was written'); raise typer.Exit(130) from None
    except (ValueError, OSError) as e:
        where = f'{e.filename}: {e.strerror}' if isinstance(e, OSError) and e.filename else str(e)
        _say('error: '+' '.join(where.split())); raise typer.Exit(2) from None

class Progress:
    "One line on a terminal that keeps changing; nothing where stderr is a file"
    def __init__(self, on=True): self.on, self.shown = on and sys.stderr.isatty(), None
    def __call__(self, stage, share):
        line = f'{stage} {share:4.0%}'
        if self.on and line != self.shown: self.shown = line; print(f'\r{line}\x1b[K', end='', file=sys.stderr, flush=True)
    def __enter__(self): return self
    def __exit__(self, *e):
        if self.shown: print('\r\x1b[K', end='', file=sys.stderr, flush=True)

def _summary(r, total):
    "What was heard, what was made, and how long it took"
    stages = ', '.join(f'{k} {v:.1f} s' for k, v in r['stages'].items())
    how = 'heard  {:.1f} BPM in the dance' if r['asked_bpm'] is None else 'asked  {:.1f} BPM'
    return (f"{how.format(r['dance_bpm'])} (confidence {r['confidence']:.2f})\n"
            f"made   {r['seconds']:.1f} s of {r['style']} at {r['bpm']:.1f} BPM, {len(r['beats'])} beats, seed {r['seed']}\ntook   {total:.1f} s: {stages}")

def _version(on):
    if on: print(f'dance2music {__version__}'); raise typer.Exit()

@app.callback()
def _root(version:Annotated[bool, typer.Option('--version', callback=_version, is_eager=True, help='Print the version.')]=False): pass

@app.command('generate')
def generate_command(
    video:Annotated[Path, typer.Argument(help='A video of somebody dancing.')],
    out:Annotated[Path, typer.Option('-o', '--out', help='The video to write: .mp4, .mov, .m4v or .mkv.')],
    bpm:Annotated[str, typer.Option(help="Beats a minute, 40 to 240, or 'auto': as the dancer moves.")]='auto',
    style:Annotated[str, typer.Option(help="A style such as house or funk, or 'auto'.")]='auto',
    seed:Annotated[int, typer.Option(help='Another number, another piece.')]=0,
    temperature:Annotated[float, typer.Option(help='Below 1 safer, above 1 wilder.')]=1.,
    guidance:Annotated[float, typer.Option(help='How strictly to follow the dance.')]=1.5,
    candidates:Annotated[int, typer.Option(help='Make so many, keep the one whose notes fit the beat best.')]=3,
    wav:Annotated[Path|None, typer.Option(help='Keep the sound in this .wav file, too.')]=None,
    model:Annotated[str, typer.Option(help="'nano', or a folder with a model.")]='nano',
    device:Annotated[str, typer.Option(help='Where to compute: cpu, cuda, mps.')]='cpu',
    as_json:Annotated[bool, typer.Option('--json', help='Print the report as one JSON object.')]=False,
    quiet:Annotated[bool, typer.Option('--quiet', help='Print warnings and errors only.')]=False,
):
    "Give a video new music."
    t0 = time.time()
    with _plain_errors(), Progress(not quiet) as progress:
        from dance2music.generate import video2music
        r = video2music(video, out, bpm, style, seed, wav, model, device, progress, temperature=temperature, guidance=guidance, n_candidates=candidates)
    for w in r['warnings']: _say(f'warning: {w}')
    if as_json: print(json.dumps(r))
    elif not quiet: print(_summary(r, time.time()-t0)+f'\nopen   {out}')

def _true_bpm(path):
    "The tempo that stands in a clip's metadata; None if none does"
    import av
    with av.open(str(path)) as c:
        try: return float(json.loads(c.metadata['comment'])['bpm'])
        except (KeyError, ValueError, TypeError): return None

@app.command('demo')
def demo_command(
    out:Annotated[Path, typer.Option('-o', '--out', help='The video to write.')]=Path('out.mp4'),
    seed:Annotated[int, typer.Option(help='Another number, another piece.')]=0,
    model:Annotated[str, typer.Option(help="'nano', or a folder with a model.")]='nano',
):
    "Give the clip that ships with the package new music."
    t0 = time.time()
    with _plain_errors(), Progress() as progress:
        from dance2music.generate import video2music
        from dance2music.media import asset
        clip = asset('clip.mp4'); true = _true_bpm(clip)
        r = video2music(clip, out, seed=seed, model=model, progress=progress)
    for w in r['warnings']: _say(f'warning: {w}')
    print(_summary(r, time.time()-t0))
    if true: print(f'truth  the clip was rendered at {true:g} BPM')
    print(f'open   {out}')

@app.command('pose')
def pose_command(
    video:Annotated[Path, typer.Argument(help='A video of somebody dancing.')],
    out:Annotated[Path, typer.Option('-o', '--out', help='The .npz file to write.')],
):
    "Find the dancer and save the pose."
    with _plain_errors(), Progress() as progress:
        from dance2music.generate import check_outputs, find_dancer, video_seconds
        from dance2music.pose import PoseError, quality
        check_outputs(video, out, ends=('.npz',)); video_seconds(video)
        pose = find_dancer(video, progress=progress); q = quality(pose)
        if not q.seen: raise PoseError(f'{video}: nobody is seen in any of the {len(pose)} frames: use a video that shows one whole person, well lit')
        pose.save(out)
    for reason in q.reasons: _say(f'warning: {reason}')
    print(f'{len(pose)} frames, {pose.seconds:.2f} s at {pose.fps:g} a second; a dancer is seen in {q.seen:.0%}\nsaved {out}')

def _try(what, mend, f):
    "One line of `doctor`: `(ok, name, detail or remedy)`"
    try: return True, what, str(f())
    except Exception as e: return False, what, f'{" ".join(str(e).split())[:160] or type(e).__name__}. Mend: {mend}'

def _library(name):
    import ctypes
    ctypes.CDLL(name); return 'found'

def _module(name):
    import importlib
    from dance2music.pose import _quiet
    with _quiet(): m = importlib.import_module(name)
    return m.__version__

def _python():
    if not (3,10) <= sys.version_info[:2] <= (3,13): raise RuntimeError('found '+sys.version.split()[0])
    return sys.version.split()[0]

def _encoders():
    import av
    for name in ('libx264', 'aac', 'libmp3lame'): av.Codec(name, 'w')
    return 'libx264, aac, libmp3lame'

def _space():
    import shutil, tempfile
    free = min(shutil.disk_usage(p).free for p in ('.', tempfile.gettempdir()))
    if free < 200e6: raise RuntimeError(f'only {free/1e6:.0f} MB free')
    return f'{free/1e9:.1f} GB free'

def _assets():
    import hashlib
    from importlib import resources
    root = Path(str(resources.files('dance2music')))/'assets'
    want = json.loads((root/'checksums.json').read_text(encoding='utf-8'))
    bad = [k for k, v in want.items() if not (root/k).is_file() or hashlib.sha256((root/k).read_bytes()).hexdigest() != v]
    if bad: raise RuntimeError(f'missing or damaged: {", ".join(bad)}')
    return f'{len(want)} files are whole'

def checks()->list: # `(ok, what, detail)` of everything that `doctor` looks at
    "What dance2music needs, one after the other"
    again, found = 'pip install --force-reinstall dance2music', []
    found.append(_try('Python 3.10 to 3.13', 'install Python 3.11 and make a new environment', _python))
    if sys.platform.startswith('linux'):
        found += [_try(n, 'apt-get install libegl1 libgles2', lambda: _library(n)) for n in ('libEGL.so.1', 'libGLESv2.so.2')]
    found += [_try(n, f'pip install --upgrade {p}', lambda: _module(n)) for n, p in
              (('torch','torch'), ('transformers','transformers'), ('mediapipe','mediapipe'), ('av','av'), ('librosa','librosa'))]
    found += [_try('encoders of PyAV', 'pip install --force-reinstall av', _encoders), _try('disk', 'free some space', _space), _try('assets', again, _assets)]
    return found

@app.command('doctor')
def doctor_command():
    "Check what is needed, and say how to mend what is missing."
    found = checks()
    for ok, what, detail in found: print(f"{'ok     ' if ok else 'missing'} {what}: {detail}")
    raise typer.Exit(0 if all(ok for ok, *_ in found) else 1)

def main():
    "Entry point of the command `dance2music`"
    def stop(*_): raise SystemExit(143)
    if hasattr(signal, 'SIGTERM'): signal.signal(signal.SIGTERM, stop)
    app()
