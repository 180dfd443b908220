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
    candidates:Annotated[int, typer.Option(help='Make so many at a time, keep the one whose notes fit the beat best.')]=4,
    energy:Annotated[str, typer.Option(help="How much goes on, 0 to 1, or 'auto': as the dancer moves.")]='auto',
    dancers:Annotated[int, typer.Option(help='How many people to look for; the beat is that of the group.')]=1,
    wav:Annotated[Path|None, typer.Option(help='Keep the sound in this .wav file, too.')]=None,
    report:Annotated[Path|None, typer.Option(help='Write a sync report, .html or .png: motion, beat grid, onsets.')]=None,
    model:Annotated[str, typer.Option(help="'nano', or a folder with a model.")]='nano',
    device:Annotated[str, typer.Option(help='Where to compute: cpu, cuda, mps.')]='cpu',
    as_json:Annotated[bool, typer.Option('--json', help='Print the report as one JSON object.')]=False,
    quiet:Annotated[bool, typer.Option('--quiet', help='Print warnings and errors only.')]=False,
):
    "Give a video new music."
    t0 = time.time()
    with _plain_errors(), Progress(not quiet) as progress:
        from dance2music.generate import video2music
        r = video2music(video, out, bpm, style, seed, wav, model, device, progress, dancers, report, temperature=temperature, guidance=guidance, n_candidates=candidates, energy=energy)
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

@app.command('build')
def build_command(
    links:Annotated[Path, typer.Argument(help='A table of url,start,end: addresses, files or folders.')],
    out:Annotated[Path, typer.Option('-o', '--out', help='The folder of the set; the same again to go on.')],
    seconds:Annotated[float, typer.Option(help='Length of a clip.')]=5,
    fps:Annotated[float, typer.Option(help='Pose frames a second.')]=24,
    stems:Annotated[str, typer.Option(help="What the music codes hold: stems joined by +, or 'none' for the sound as it is.")]='drums+bass',
    method:Annotated[str, typer.Option(help='How stems are taken apart: hpss, spleeter or demucs.')]='hpss',
    codec:Annotated[str, typer.Option(help="'nano', or the name or folder of a codec.")]='nano',
    workers:Annotated[int, typer.Option(help='Processes; 0: one for each core.')]=0,
    backend:Annotated[str, typer.Option(help='local, dask or ray.')]='local',
    address:Annotated[str, typer.Option(help='Of a running Dask scheduler or Ray cluster.')]='',
    dancers:Annotated[int, typer.Option(help='How many people to look for.')]=1,
    model:Annotated[str, typer.Option(help='Pose model: full, heavy, or lite, which is faster and rougher.')]='full',
    keep_video:Annotated[bool, typer.Option('--keep-video', help='Keep what was fetched.')]=False,
    retry:Annotated[bool, typer.Option('--retry', help='Try again what failed before.')]=False,
    as_json:Annotated[bool, typer.Option('--json', help='Print the report as one JSON object.')]=False,
    quiet:Annotated[bool, typer.Option('--quiet', help='Print warnings and errors only.')]=False,
):
    "Make a training set from a list of videos."
    t0 = time.time()
    with _plain_errors():
        from dance2music.dataset import build_dataset
        try: build_dataset(links, out, seconds, fps, stems, codec, workers or None, backend, dancers, method, model, keep_video=keep_video,
                           retry=retry, address=address or None, progress=not quiet)
        except KeyboardInterrupt: _say(f'stopped; what is finished is safe in {out}; run the same line again to go on'); raise typer.Exit(130) from None
        r = json.loads((out/'manifest.json').read_text(encoding='utf-8'))
    if as_json: print(json.dumps(r))
    elif not quiet: print(f"{r['records']} records from {r['sources']} videos, {r['hours']*60:.1f} min; {r['rejected']} rejected, {r['failed']} failed; took {time.time()-t0:.0f} s")
    for k in ('rejected', 'failed'):
        if r[k] and not (quiet or as_json): print(f"why    {out/f'{k}.csv'}")

@app.command('train')
def train_command(
    config:Annotated[Path, typer.Argument(help='A .toml, .json or .yaml file with fields of TrainConfig, chapter 08.')],
    out:Annotated[Path|None, typer.Option('-o', '--out', help='Instead of the folder in the file.')]=None,
    device:Annotated[str|None, typer.Option(help="Instead of the device in the file: 'cpu' or 'auto'.")]=None,
):
    "Train a model on records; run it again to go on."
    with _plain_errors():
        from dance2music.training import read_config, train
        c = read_config(config, **{k: str(v) for k, v in dict(out=out, device=device).items() if v is not None})
        try: print(f'saved {train(c)}')
        except KeyboardInterrupt: _say(f'stopped; the checkpoints in {c.out} are safe; run the same line again to go on'); raise typer.Exit(130) from None

@app.command('evaluate')
def evaluate_command(
    data:Annotated[Path|None, typer.Option(help='A folder of records, as `build` makes it; without one, choreography of unseen seeds.')]=None,
    model:Annotated[str, typer.Option(help="'nano', or a folder with a model.")]='nano',
    n:Annotated[int, typer.Option('-n', help='How many dances.')]=60,
    seconds:Annotated[float, typer.Option(help='Length of each.')]=5.,
    report:Annotated[Path|None, typer.Option(help='Write a page with all of it: .html.')]=None,
    cache:Annotated[Path|None, typer.Option(help='Keep generated clips in this folder; run again to go on.')]=None,
    device:Annotated[str, typer.Option(help='Where to compute: cpu, cuda, mps.')]='cpu',
    as_json:Annotated[bool, typer.Option('--json', help='Print the figures as one JSON object.')]=False,
):
    "Measure how well music fits dances, beside chance and ceiling."
    with _plain_errors(), Progress() as progress:
        from dance2music.results import evaluate, results_table
        r = evaluate(model, data, n, seconds, report=report, progress=progress, cache=cache, device=device)
    if as_json: print(json.dumps(r)); return
    print(f"{r['data']}, n = {r['n']}\n{results_table(r)}")
    if report: print(f'open   {report}')

@app.command('live')
def live_command(
    video:Annotated[Path|None, typer.Argument(help='A video, played at the pace of life; without one the camera is used.')]=None,
    camera:Annotated[int, typer.Option(help='Number of the camera.')]=0,
    out:Annotated[Path|None, typer.Option('-o', '--out', help='Write the music to this .wav file instead of playing it.')]=None,
    dancers:Annotated[int, typer.Option(help='How many people there may be.')]=1,
    style:Annotated[str, typer.Option(help="A style, or 'auto'.")]='auto',
    seed:Annotated[int, typer.Option(help='Another number, another piece.')]=0,
    seconds:Annotated[float|None, typer.Option(help='Stop after so long.')]=None,
    pace:Annotated[float, typer.Option(help='Of a video: 1 as in life, 0 as fast as possible.')]=1.,
    model:Annotated[str, typer.Option(help='Pose model: full, heavy, or lite, which is faster and rougher.')]='full',
):
    "Make music while somebody dances in front of a camera."
    with _plain_errors():
        from dance2music.live import live
        try: r = live(camera if video is None else video, out, dancers, style, seed, pace, seconds, model, sound=out is None)
        except KeyboardInterrupt: raise typer.Exit(130) from None
    if r['sound'] == 'none': _say('warning: no loudspeaker was found, so nothing was heard; -o music.wav keeps the sound')
    print(f"{r['seconds']:.1f} s, {'locked' if r['locked'] else 'never locked'}" + (f" at {r['bpm']:.1f} BPM" if r['bpm'] else '') + f"; {r['rate']:g} poses a second, {r['late']} blocks late, {r['dropped']} frames dropped; {r['ended']}")

@app.command('app')
def app_command(
    host:Annotated[str, typer.Option(help='Where to listen; 0.0.0.0 lets others in your network in.')]='127.0.0.1',
    port:Annotated[int, typer.Option(help='Port of the page.')]=7860,
    share:Annotated[bool, typer.Option('--share', help="A public address through Gradio's servers, for 72 hours.")]=False,
    model:Annotated[str, typer.Option(help="'nano', or a folder with a model.")]='nano',
):
    "Serve a web page: upload a dance, get music."
    with _plain_errors():
        from dance2music.live import app as serve
        page = serve(host, port, share, model, block=False)
        if host not in ('127.0.0.1', 'localhost', '::1'): _say(f'warning: whoever can reach this machine at {host} can use the page; there is no password')
        if share and page.share_url: print(f'public {page.share_url}   (for 72 hours, for whoever has the address)')
        print(f'open   http://{host}:{port}   (Ctrl-C stops it)', flush=True)
        try:
            while True: time.sleep(3600)
        except KeyboardInterrupt: raise typer.Exit(0) from None

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

if __name__ == '__main__': main()
