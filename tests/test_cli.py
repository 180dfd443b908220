"The command: what it prints where, its exit codes, and that a refusal leaves nothing behind"
import io, json, os, signal, subprocess, sys, time
from pathlib import Path
import numpy as np, pytest
from typer.testing import CliRunner
import dance2music, dance2music.cli as cli, dance2music.generate as generate
from test_generate import bouncer, clip, draw, fake_dancer, folder

def run(*args):
    "Exit code, stdout, stderr"
    r = CliRunner().invoke(cli.app, [str(a) for a in args])
    if r.exception and not isinstance(r.exception, SystemExit): raise r.exception
    return r.exit_code, r.stdout, r.stderr

def command(*args, code=None, **kw):
    "The same in a process of its own"
    start = ['-c', code] if code else ['-c', 'from dance2music.cli import main; main()']
    return subprocess.Popen([sys.executable, *start, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kw)

def names(folder): return sorted(p.name for p in folder.iterdir())


# ---- talking

def test_help_is_quick():
    code = "import sys, time; from dance2music.cli import main\ntry: main()\nfinally: print(time.process_time(), [m for m in ('numpy','torch','av','mediapipe') if m in sys.modules], file=sys.stderr)"
    p = command('--help', code=code); out, err = p.communicate(timeout=60)
    assert p.returncode==0 and all(c in out for c in ('generate', 'demo', 'pose', 'doctor'))
    assert float(err.split()[0])<1.5 and '[]' in err

def test_version(): assert run('--version')==(0, f'dance2music {dance2music.__version__}\n', '')

def test_generate(clip, folder, tmp_path):
    "In a process of its own: one JSON object on stdout, and not a word on stderr but our own"
    p = command('generate', clip, '-o', tmp_path/'out.mp4', '--wav', tmp_path/'out.wav', '--model', folder, '--style', 'funk', '--seed', '5', '--json')
    out, err = p.communicate(timeout=300)
    assert p.returncode==0, err
    assert all(l.startswith('dance2music: warning: ') for l in err.splitlines()), err
    r = json.loads(out)
    assert (r['style'], r['seed'], r['input'], r['output'])==('funk', 5, str(clip), str(tmp_path/'out.mp4'))
    assert names(tmp_path)==['out.mp4', 'out.wav']

def test_words(folder, tmp_path, monkeypatch):
    fake_dancer(monkeypatch); video = draw(tmp_path/'dance.mp4')
    code, out, err = run('generate', video, '-o', tmp_path/'out.mp4', '--model', folder, '--bpm', '96', '--candidates', '2')
    assert code==0 and not err and 'asked  96.0 BPM' in out and out.splitlines()[-1]==f'open   {tmp_path/"out.mp4"}'
    assert run('generate', video, '-o', tmp_path/'out.mp4', '--model', folder, '--quiet')[:2]==(0, '')

def test_demo(folder, tmp_path, monkeypatch):
    fake_dancer(monkeypatch)
    code, out, err = run('demo', '-o', tmp_path/'out.mp4', '--model', folder)
    assert code==0 and 'the clip was rendered at' in out and 'heard' in out and 'took' in out and out.splitlines()[-1].endswith('out.mp4')
    assert names(tmp_path)==['out.mp4']

def test_pose(clip, tmp_path, monkeypatch):
    fake_dancer(monkeypatch)
    code, out, err = run('pose', clip, '-o', tmp_path/'p.npz')
    assert code==0 and len(generate.Pose.load(tmp_path/'p.npz')) in (47, 48, 49) and 'seen in 100%' in out

def test_progress(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self): return True
    for stream, shows in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, 'stderr', stream)
        with cli.Progress() as p: p('pose', .5); p('pose', .501)
        assert stream.getvalue().count('pose  50%')==shows

def test_weak_beat_is_a_warning(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, 'frames2pose', lambda frames, fps, dancers=1: generate.Pose(np.repeat(bouncer().xyz[:1], sum(1 for _ in frames), 0), fps))
    code, out, err = run('generate', draw(tmp_path/'dance.mp4'), '-o', tmp_path/'out.mp4', '--model', folder)
    assert code==0 and 'dance2music: warning: no clear beat' in err


def test_group_and_report(folder, tmp_path, monkeypatch):
    fake_dancer(monkeypatch); video = draw(tmp_path/'dance.mp4')
    code, out, err = run('generate', video, '-o', tmp_path/'out.mp4', '--model', folder, '--dancers', '2', '--energy', '.7', '--report', tmp_path/'sync.html', '--json')
    r = json.loads(out)
    assert code==0 and r['dancers']==2 and r['energy']==.7 and r['sync_report']==str(tmp_path/'sync.html') and (tmp_path/'sync.html').stat().st_size > 1000
    assert run('generate', video, '-o', tmp_path/'out.mp4', '--model', folder, '--energy', '2')[0]==2


def test_evaluate(folder, tmp_path):
    code, out, err = run('evaluate', '--model', folder, '-n', '2', '--seconds', '3', '--report', tmp_path/'r.html')
    assert code==0 and 'beat F' in out and 'n = 2' in out and names(tmp_path)==['r.html'], err
    assert run('evaluate', '--model', folder, '--data', tmp_path/'no')[0]==2

def test_train_says_what_is_wrong(tmp_path):
    (tmp_path/'c.toml').write_text('stepz = 5')
    code, out, err = run('train', tmp_path/'c.toml')
    assert code==2 and "unknown setting 'stepz'" in err and err.count('\n')==1
    assert run('train', tmp_path/'none.toml')[0]==2

def test_live(clip, folder, tmp_path, monkeypatch):
    real = generate.DanceToMusic.from_pretrained
    import dance2music.live as live
    monkeypatch.setattr(live.DanceToMusic, 'from_pretrained', lambda *a: real(folder))
    code, out, err = run('live', clip, '--pace', '0', '-o', tmp_path/'m.wav')
    assert code==0 and '0 frames dropped' in out and names(tmp_path)==['m.wav']
    assert run('live', tmp_path/'no.mp4')[0]==2 and run('live', clip, '-o', tmp_path/'m.mp3')[0]==2


# ---- refusing

def text(p): p.write_text('hello\n'*99)
def sound(p):
    from dance2music.media import save_wav
    save_wav(np.zeros(24000), 24000, p.with_suffix('.wav')); os.replace(p.with_suffix('.wav'), p)
def noise(p): draw(p)
def short(p): draw(p, n=7)

@pytest.mark.parametrize('make, args, why', [
    (None, [], 'no such file'), (text, [], 'cannot be read as a video'), (sound, [], 'no video stream'), (noise, [], 'nobody is seen'), (short, [], '0.29 s'),
    (noise, ['--bpm', '500'], 'bpm must be'), (noise, ['--bpm', 'fast'], 'bpm must be'), (noise, ['--style', 'polka'], 'choose one of house, techno'),
    (noise, ['--seed', '-1'], 'seed must be'), (noise, ['--candidates', '0'], 'candidates must be'), (noise, ['--temperature', 'nan'], 'temperature must be'),
    (noise, ['--wav', 'out.mp3'], 'must end in .wav'), (noise, ['-o', 'no/out.mp4'], 'does not exist'), (noise, ['-o', 'out.avi'], 'must end in .mp4'),
    (noise, ['-o', 'dance.mp4'], 'is the input itself'), (noise, ['--model', 'nowhere'], 'no such folder')])
def test_refusals(make, args, why, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if make: make(Path('dance.mp4'))
    before = names(tmp_path)
    code, out, err = run('generate', 'dance.mp4', *([] if '-o' in args else ['-o', 'out.mp4']), *([] if '--model' in args else ['--model', folder]), *args)
    assert code==2 and not out and err.startswith('dance2music: error: ') and err.count('\n')==1 and why in err
    assert names(tmp_path)==before

def test_rarely_seen(folder, tmp_path, monkeypatch):
    def rare(frames, fps, dancers=1): p = bouncer(seconds=sum(1 for _ in frames)/fps); p.xyz[5:] = np.nan; return p
    monkeypatch.setattr(generate, 'frames2pose', rare)
    code, out, err = run('generate', draw(tmp_path/'dance.mp4'), '-o', tmp_path/'out.mp4', '--model', folder)
    assert code==2 and 'seen in only 10% of the frames' in err and names(tmp_path)==['dance.mp4']

def test_pose_refusals(tmp_path):
    for args, why in (([tmp_path/'no.mp4', '-o', tmp_path/'p.npz'], 'no such file'), ([draw(tmp_path/'a.mp4'), '-o', tmp_path/'p.txt'], 'must end in .npz'),
                      ([tmp_path/'a.mp4', '-o', tmp_path/'p.npz'], 'nobody is seen')):
        code, out, err = run('pose', *args)
        assert code==2 and why in err and names(tmp_path) in ([], ['a.mp4'])

@pytest.mark.skipif(os.name!='posix', reason='signals')
@pytest.mark.parametrize('sig, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped(sig, code, tmp_path):
    "Ctrl-C while the result is being written"
    video = draw(tmp_path/'dance.mp4')
    program = '''
import sys, time
import dance2music.generate as g, dance2music.media as m
from test_generate import DanceToMusic, Codec, tiny, bouncer
from dance2music.cli import main
t, c = tiny(); DanceToMusic.from_pretrained = classmethod(lambda *a, **k: DanceToMusic(t, Codec(c)))
g.frames2pose = lambda frames, fps, dancers: bouncer()
packets = m._audio_packets
def slowly(*a):
    for p in packets(*a): yield p; print('ready', flush=True); time.sleep(60)
m._audio_packets = slowly
main()'''
    p = command('generate', video, '-o', tmp_path/'out.mp4', code=program, cwd=Path(__file__).parent)
    assert p.stdout.readline()=='ready\n'
    assert len(names(tmp_path))==2 # the temporary file is there
    p.send_signal(sig); out, err = p.communicate(timeout=60)
    assert p.returncode==code and 'Traceback' not in err
    assert names(tmp_path)==['dance.mp4']


# ---- doctor

def test_doctor(monkeypatch):
    code, out, err = run('doctor')
    assert all(l.startswith(('ok     ', 'missing ')) for l in out.splitlines()) and code==(1 if 'missing ' in out else 0)
    for name in ('Python', 'torch', 'mediapipe', 'av', 'encoders', 'disk', 'assets'): assert f' {name}' in out

def test_doctor_finds_faults(monkeypatch):
    def gone(name): raise OSError(f'{name}: cannot open shared object file')
    monkeypatch.setattr(cli, '_library', gone); monkeypatch.setattr(sys, 'platform', 'linux')
    code, out, err = run('doctor')
    assert code==1 and out.count('apt-get install libegl1 libgles2')==2

def test_doctor_checks_assets(tmp_path, monkeypatch):
    from importlib import resources
    monkeypatch.setattr(resources, 'files', lambda name: tmp_path)
    (tmp_path/'assets').mkdir(); (tmp_path/'assets'/'a').write_text('x')
    (tmp_path/'assets'/'checksums.json').write_text(json.dumps({'a': '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881'}))
    assert cli._assets()=='1 files are whole'
    (tmp_path/'assets'/'a').write_text('y')
    with pytest.raises(RuntimeError, match='damaged: a'): cli._assets()
