"The pipeline with untrained weights: shapes, wishes, refusals, files. How well trained weights keep the beat is measured elsewhere"
import io, json, math, os, shutil, subprocess, sys
from pathlib import Path
import av, numpy as np, pytest, torch
from transformers import EncodecModel
import dance2music.generate as generate
from dance2music.codec import Codec, nano_config
from dance2music.generate import *
from dance2music.generate import MediaError, Pose, PoseError, _write
from dance2music.groove import STYLES
from dance2music.media import asset, probe
from dance2music.model import PoseToMusic, PoseToMusicConfig, pose2features
from dance2music.rhythm import Beats, RhythmError

SHARED = Path(__file__).resolve().parents[2]/'shared'

def bouncer(bpm=104, seconds=2., fps=24.):
    "A body that bounces and swings its arms; `(T,33,3)`"
    rng = np.random.default_rng(0); t = np.arange(round(seconds*fps))/fps
    xyz = np.repeat(rng.uniform(-.5, .8, (1, 33, 3)), len(t), 0)
    beat = 2*np.pi*bpm/60*t
    xyz[...,1] += .06*np.cos(beat)[:,None]; xyz[:,11:23,0] += .2*np.sin(beat/2)[:,None]
    return Pose(xyz+.002*rng.standard_normal(xyz.shape), fps)

def tiny():
    torch.manual_seed(0)
    codec = EncodecModel(nano_config())
    for layer in codec.quantizer.layers: layer.codebook.embed.normal_()
    return PoseToMusic(PoseToMusicConfig(d_model=24, n_layers=2, n_heads=2, pose_width=8)), codec

@pytest.fixture(scope='module')
def d2m(): m, c = tiny(); return DanceToMusic(m, Codec(c, 'tiny'))

@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp('weights'); m, c = tiny()
    m.half().save_pretrained(out/'pose2music-nano'); c.half().save_pretrained(out/'codec-nano')
    return out

@pytest.fixture(scope='module')
def clip(tmp_path_factory):
    "The first two seconds of the shipped clip, pictures untouched"
    out = tmp_path_factory.mktemp('clip')/'clip.mp4'
    with av.open(str(asset('clip.mp4'))) as c, av.open(str(out), 'w') as o:
        v = c.streams.video[0]; s = o.add_stream_from_template(v)
        for p in c.demux(v):
            if p.pts is not None and p.pts*v.time_base < 2: p.stream = s; o.mux(p)
    return out

def fake_dancer(monkeypatch):
    "Read every frame, and find the bouncer in them"
    def found(frames, fps, dancers=1):
        p = bouncer(seconds=sum(1 for _ in frames)/fps, fps=fps)
        return p if dancers==1 else [p, p][:dancers]
    monkeypatch.setattr(generate, 'frames2pose', found)

def draw(path, n=48, rate=24, w=64, h=48, pts=None, turn=None):
    "A video of noise; `pts` in milliseconds"
    from fractions import Fraction
    rng = np.random.default_rng(0)
    with av.open(str(path), 'w') as c:
        s = c.add_stream('libx264', rate=rate); s.width, s.height, s.pix_fmt, s.options = w, h, 'yuv420p', {'preset':'ultrafast'}
        if pts is not None: s.codec_context.time_base = Fraction(1, 1000)
        if turn is not None: s.set_display_rotation(turn)
        for i in range(n):
            f = av.VideoFrame.from_ndarray(rng.integers(0, 255, (h, w, 3), np.uint8), format='rgb24')
            if pts is not None: f.pts, f.time_base = int(pts[i]), Fraction(1, 1000)
            for p in s.encode(f): c.mux(p)
        for p in s.encode(): c.mux(p)
    return path


# ---- what comes out

def test_music(d2m):
    m = d2m.generate(bouncer())
    assert m.wav.shape==(48000,) and m.wav.dtype==np.float32 and m.sr==24000
    assert np.isfinite(m.wav).all() and .01 < np.abs(m.wav).max() <= .9
    assert m.codes.shape==(6, 100) and m.codes.min()>=0 and m.codes.max()<1024
    assert m.style in STYLES and abs(m.beats.bpm/104-1)<.06
    assert set(m.report['stages'])=={'pose', 'rhythm', 'codes', 'sound'}
    assert {'bpm', 'confidence', 'beats', 'style', 'seed', 'seconds'} <= set(json.loads(json.dumps(m.report)))

def test_loudness(d2m):
    import pyloudnorm
    m = d2m.generate(bouncer())
    assert abs(pyloudnorm.Meter(24000).integrated_loudness(m.wav)+14)<1.5

def test_seed(d2m):
    a, b, c = (d2m.generate(bouncer(), seed=s).codes for s in (3, 3, 4))
    assert (a==b).all() and (a!=c).any()

@pytest.mark.parametrize('seconds', [1., 2.013, 7.3])
def test_any_length(d2m, seconds):
    "Between two frames; beyond the cache's window and the dance's end"
    m = d2m.generate(bouncer(), seconds=seconds)
    assert len(m.wav)==round(seconds*24000) and m.codes.shape[1]==math.ceil(seconds*50)
    assert m.beats.times[-1] >= seconds-60/m.beats.bpm-1e-6

def test_bpm(d2m):
    assert d2m.generate(bouncer(), bpm=90).beats.bpm==90
    assert d2m.generate(bouncer(), bpm='auto').report['asked_bpm'] is None

def test_candidates(d2m, monkeypatch):
    "Untrained weights never keep a beat: they write three times, and the best of all is kept"
    m = d2m.generate(bouncer(), n_candidates=3); scores = m.report['scores']
    assert len(scores)==len(set(scores))==9 and max(scores) < generate.ENOUGH
    assert max(scores)==pytest.approx(beat_agreement(m.wav, m.sr, m.beats), abs=1e-3) # judged as it is heard
    assert len(d2m.generate(bouncer(), n_candidates=1).report['scores'])==1 # nothing to choose from: what comes is taken
    monkeypatch.setattr(generate, 'ENOUGH', -np.inf) # the first draw is good enough
    assert d2m.generate(bouncer(), n_candidates=3).report['scores']==scores[:3]

def test_progress(d2m):
    told = []
    d2m.generate(bouncer(), progress=lambda *a: told.append(a))
    assert [*dict.fromkeys(s for s, b in told if b==1)]==['codes', 'codes, draw 2 of 3', 'codes, draw 3 of 3'] and all(0<=b<=1 for _, b in told)

@pytest.mark.parametrize('style', STYLES)
def test_every_style(style):
    b = music_beats(Beats.steady(80, 4, start=.5), style, 4)
    assert b.meter==(3 if style=='waltz' else 4) and b.bpm==(160 if style=='drum-and-bass' else 80)
    assert b.times[0]<60/b.bpm and b.times[-1]<4 and np.isclose((.5-b.times[0]) % (60/b.bpm), 0, atol=1e-6)

def test_late_first_beat(): assert len(music_beats(Beats.steady(40, 9, start=1.4), 'funk', 1.))==1

def test_pick_style():
    for bpm in np.arange(40, 241, 5.):
        for energy in (0., 2.): assert pick_style(bpm, energy) in STYLES
    assert pick_style(120, 2)=='house' and pick_style(86, .1)=='hip-hop'

def test_gaps(d2m):
    p = bouncer(seconds=4); p.xyz[30:60] = np.nan
    x = pose2features(p, 200)
    assert np.isfinite(x).all() and not x[70:115].any() and x[:50].any(1).all()
    assert np.abs(x).max() <= np.abs(pose2features(bouncer(seconds=4), 200)).max()+1e-5 # no jump out of nothing
    assert np.isfinite(d2m.generate(p).wav).all()

def test_still_person(d2m):
    "Nothing moves: a warning, and music"
    m = d2m.generate(Pose(np.repeat(bouncer().xyz[:1], 48, 0), 24))
    assert any('no clear beat' in w for w in m.report['warnings']) and np.isfinite(m.wav).all()


def test_bars():
    "The bars of the music are those of the dance, also on a doubled grid; a grid that drifts is kept"
    dance = Beats(1.3+np.arange(12)*.6, 100, downbeat=3)
    for style, bar in (('house', 2.4), ('drum-and-bass', 1.2)):
        b = music_beats(dance, style, 8.); off = (b.downbeats-dance.downbeats[0])/bar
        assert np.allclose(off, np.rint(off)) and np.allclose(np.diff(b.times), 60/b.bpm)
        assert 0 <= b.times[0] < 60/b.bpm and 8-60/b.bpm <= b.times[-1] < 8
    drifts = Beats(.4+np.cumsum(np.linspace(.5, .52, 20)), 118)
    assert set(drifts.times[drifts.times<10].round(6)) <= set(music_beats(drifts, 'house', 10.).times.round(6))

def test_waltz_for_a_dance_in_three(d2m, monkeypatch):
    monkeypatch.setattr(generate, 'pose2beats', lambda pose, bpm=None: Beats.steady(96, pose.seconds, meter=3))
    m = d2m.generate(bouncer())
    assert m.style=='waltz' and m.beats.meter==3

def test_energy(d2m):
    p = bouncer(seconds=4); p.xyz[48:] = p.xyz[48]
    e = energy_curve([p], 200)
    assert e.shape==(200,) and e[20:80].mean() > 3*e[140:190].mean() and (energy_curve([p], 200, wish=.3)==np.float32(.3)).all()
    assert np.allclose(energy_curve([p, bouncer(seconds=4)], 200), (e+energy_curve([bouncer(seconds=4)], 200))/2)
    assert d2m.generate(bouncer(), energy=.5).report['energy']==.5 and d2m.generate(bouncer(), energy='auto').report['energy']=='auto'

def test_group(d2m):
    m = d2m.generate([bouncer(), bouncer()], dancers=3)
    assert m.report['dancers']==2 and any('2 of 3 dancers' in w for w in m.report['warnings']) and abs(m.beats.bpm/104-1)<.06
    nobody = Pose(np.full((48,33,3), np.nan), 24)
    assert d2m.generate([bouncer(), nobody]).report['dancers']==1
    with pytest.raises(PoseError, match='nobody is seen'): d2m.generate([nobody, nobody])
    with pytest.raises(PoseError, match='empty'): d2m.generate([])

def test_sync_report(d2m, tmp_path):
    p = bouncer(); m = d2m.generate(p); n = sync_numbers(p, m)
    assert n['style']==m.style and json.dumps(n) and ('beat_f' in n)==('beat_f_chance' in n)
    page = sync_report(p, m, tmp_path/'r.html').read_text()
    assert page.startswith('<!doctype html>') and 'src="data:image/png;base64,' in page and 'http' not in page
    assert sync_report([p, p], m, tmp_path/'r.png').read_bytes()[:4]==b'\x89PNG' and len(list(tmp_path.iterdir()))==2
    with pytest.raises(MediaError, match='cannot be written'): sync_report(p, m, tmp_path/'no'/'r.html')

def test_silent_music_has_a_report(d2m):
    m = d2m.generate(bouncer()); m.wav[:] = 0
    assert sync_numbers(bouncer(), m)['tempo_heard_in_the_music'] is None


# ---- what is refused

@pytest.mark.parametrize('bad', [39, 241, 0, -120, math.nan, math.inf, 'fast'])
def test_bad_bpm(d2m, bad):
    with pytest.raises(GenerateError, match='bpm must be a number from 40 to 240'): d2m.generate(bouncer(), bpm=bad)

def test_unknown_style(d2m):
    with pytest.raises(GenerateError, match="unknown style 'polka'") as e: d2m.generate(bouncer(), style='polka')
    assert all(s in str(e.value) for s in STYLES) and '\n' not in str(e.value)

@pytest.mark.parametrize('bad', [dict(seed=-1), dict(seed=1.5), dict(seconds=.2), dict(seconds=math.nan), dict(temperature=-1), dict(top_k=0),
                                 dict(guidance=math.inf), dict(n_candidates=0), dict(n_candidates=99), dict(energy=1.1), dict(energy='much'), dict(dancers=0)])
def test_bad_wishes(d2m, bad):
    with pytest.raises(GenerateError, match='must be a'): d2m.generate(bouncer(), **bad)

def test_bad_poses(d2m):
    with pytest.raises(PoseError, match='nobody is seen'): d2m.generate(Pose(np.full((48,33,3), np.nan), 24))
    with pytest.raises(PoseError, match='at least 1 s'): d2m.generate(bouncer(seconds=.3))
    rare = bouncer(seconds=4); rare.xyz[10:] = np.nan
    with pytest.raises(PoseError, match='only 10% of the frames'): d2m.generate(rare)

@pytest.mark.parametrize('make, why', [
    (lambda p: None, 'no such file'), (lambda p: p.write_text('hello\n'*99), 'cannot be read as a video'), (lambda p: p.mkdir(), 'is a folder'),
    (lambda p: draw(p, n=7), 'lasts 0.29 s')])
def test_bad_files(tmp_path, make, why):
    "Refused before any weights are loaded"
    make(tmp_path/'dance.mp4')
    with pytest.raises(ValueError, match=why) as e: video2music(tmp_path/'dance.mp4', tmp_path/'out.mp4', model='/no/such/weights')
    assert '\n' not in str(e.value) and 'dance.mp4' in str(e.value) and not (tmp_path/'out.mp4').exists()

def test_nobody(d2m, tmp_path):
    with pytest.raises(PoseError, match='noise.mp4: nobody is seen'): video2music(draw(tmp_path/'noise.mp4'), tmp_path/'out.mp4', model=d2m)
    assert [p.name for p in tmp_path.iterdir()]==['noise.mp4']

def test_outputs(tmp_path):
    video = tmp_path/'dance.mp4'; video.touch(); (tmp_path/'link.mp4').symlink_to(video); (tmp_path/'folder.mp4').mkdir()
    for out, why in (('out.avi', 'must end in .mp4'), ('out', 'must end in .mp4'), ('no/out.mp4', 'does not exist'), ('dance.mp4', 'is the input itself'),
                     ('link.mp4', 'is the input itself'), ('folder.mp4', 'is a folder')):
        with pytest.raises(MediaError, match=why): check_outputs(video, tmp_path/out)
    with pytest.raises(MediaError, match='must end in .wav'): check_outputs(video, tmp_path/'out.mp4', tmp_path/'out.mp3')
    with pytest.raises(MediaError, match='does not exist'): check_outputs(video, tmp_path/'out.mp4', tmp_path/'no'/'out.wav')
    with pytest.raises(MediaError, match='must end in .html or .png'): check_outputs(video, tmp_path/'out.mp4', report=tmp_path/'r.pdf')
    check_outputs(video, tmp_path/'out.mp4', tmp_path/'out.wav', tmp_path/'r.png')
    assert {p.name for p in tmp_path.iterdir()}=={'dance.mp4', 'link.mp4', 'folder.mp4'}

@pytest.mark.skipif(not Path('/proc/self').exists(), reason='needs a folder in which nobody can write')
def test_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(MediaError, match='no file can be written in the folder'): check_outputs(tmp_path/'dance.mp4', '/proc/self/out.mp4')

def test_weights(folder, tmp_path):
    d = DanceToMusic.from_pretrained(folder)
    assert not d.model.training and d.model.dtype==torch.float32
    with pytest.raises(GenerateError, match="no such folder; the model that ships is called 'nano'"): DanceToMusic.from_pretrained('nanno')
    with pytest.raises(GenerateError, match='config.json is missing'): DanceToMusic.from_pretrained(tmp_path)
    with pytest.raises(GenerateError, match="type 'encodec', not a pose2music"): DanceToMusic.from_pretrained(folder/'codec-nano')
    broken = tmp_path/'broken'; shutil.copytree(folder, broken)
    weights = broken/'pose2music-nano'/'model.safetensors'; weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(GenerateError, match='damaged') as e: DanceToMusic.from_pretrained(broken)
    assert '\n' not in str(e.value)

def test_device(folder):
    if torch.cuda.is_available(): pytest.skip('this machine has a GPU')
    with pytest.raises(ValueError, match="try 'cpu'"): DanceToMusic.from_pretrained(folder, device='cuda')

def test_other_codec(d2m):
    c = nano_config(); c.upsampling_ratios = [8, 5, 4, 2]
    with pytest.raises(GenerateError, match='frames/s'): DanceToMusic(d2m.model, Codec(EncodecModel(c)))


# ---- files

@pytest.mark.parametrize('name, kw', [('portrait', dict(w=36, h=64)), ('turned', dict(turn=90)), ('600 wide', dict(w=600, h=338)), ('60 fps', dict(n=120, rate=60)),
                                      ('variable rate', dict(n=48, pts=np.cumsum(np.tile([20, 63], 24))))])
def test_all_kinds_of_video(d2m, tmp_path, monkeypatch, name, kw):
    fake_dancer(monkeypatch)
    video, out = draw(tmp_path/'dance.mp4', **kw), tmp_path/'out.mp4'
    r = video2music(video, out, model=d2m); a, b = probe(video), probe(out)
    assert (a.width, a.height, a.rotation)==(b.width, b.height, b.rotation) and abs(a.seconds-b.seconds)<.01 and b.has_audio
    assert abs(r['seconds']-a.seconds)<.01

def test_video(d2m, clip, tmp_path):
    "The real detector, once"
    before = clip.read_bytes()
    r = video2music(clip, tmp_path/'out.mp4', wav=tmp_path/'out.wav', report=tmp_path/'sync.html', model=d2m)
    assert set(r['stages'])=={'load', 'pose', 'rhythm', 'codes', 'sound', 'dub'} and r['peak_memory_mb']>50
    assert json.loads(json.dumps(r))['output']==str(tmp_path/'out.mp4')
    with av.open(str(clip)) as a, av.open(str(tmp_path/'out.mp4')) as b:
        pictures = [[bytes(p) for p in c.demux(video=0) if p.size] for c in (a, b)]
        assert pictures[0]==pictures[1] and b.streams.audio[0].codec_context.name=='aac'
    assert clip.read_bytes()==before and {p.name for p in tmp_path.iterdir()}=={'out.mp4', 'out.wav', 'sync.html'}

def test_full_disk(d2m, tmp_path, monkeypatch):
    "A limit on the size of files stands for a disk that fills"
    resource = pytest.importorskip('resource')
    fake_dancer(monkeypatch); video = draw(tmp_path/'dance.mp4')
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    for wav in (None, tmp_path/'out.wav'):
        resource.setrlimit(resource.RLIMIT_FSIZE, (20000, limit[1]))
        try:
            with pytest.raises(MediaError, match='out\\.(mp4|wav)') as e: video2music(video, tmp_path/'out.mp4', wav=wav, model=d2m)
        finally: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert '\n' not in str(e.value) and [p.name for p in tmp_path.iterdir()]==['dance.mp4']

def test_both_or_none(d2m, tmp_path):
    m = d2m.generate(bouncer())
    with pytest.raises(MediaError): _write(m, tmp_path/'nothing.mp4', tmp_path/'out.mp4', tmp_path/'out.wav', tmp_path/'r.png', bouncer())
    assert not list(tmp_path.iterdir())

def test_light_import():
    code = "import sys, dance2music.generate; print([m for m in ('torch','transformers','av','librosa','mediapipe') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, timeout=120).stdout.strip()=='[]'
