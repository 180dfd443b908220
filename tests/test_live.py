"The stream, a simulated clock, the page: with untrained weights; and the page in a real browser where one is installed"
import math, os, shutil, socket, threading, time, zipfile
from pathlib import Path
import numpy as np, pytest, torch
import dance2music.live as live_module
from dance2music.codec import Codec
from dance2music.generate import DanceToMusic, GenerateError
from dance2music.groove import STYLES, choreograph
from dance2music.live import *
from dance2music.media import MediaError, asset, video2frames
from dance2music.pose import Pose, PoseError
from dance2music.rhythm import Beats, beats2grid, tempo_error
from test_generate import bouncer, clip, draw, fake_dancer, tiny

SHARED = Path(__file__).resolve().parents[2]/'shared'

@pytest.fixture(scope='module')
def d2m(): m, c = tiny(); return DanceToMusic(m, Codec(c, 'tiny'))

def follow(d2m, pose, **kw):
    "What a stream thinks, without the cost of music"
    s = Stream(d2m, **kw)
    for i, x in enumerate(pose.xyz): s.push(x, i/pose.fps); s.follower.reach(i/pose.fps+.3)
    return s


# ---- the three parts

def test_writer_is_generate_codes(d2m):
    "In any portions, with or without guidance"
    n = 40; grid, energy = beats2grid(Beats.steady(112, 2), n+3), np.linspace(0, 1, n+3, dtype=np.float32)
    style = torch.tensor([d2m.model.config.styles.index('funk')])
    for guidance in (1.5, 1.):
        whole = d2m.model.generate_codes(torch.tensor(grid)[None], None, style, torch.tensor(energy)[None], seed=3, guidance=guidance)[0].numpy()
        for cuts in ([0, 43], [0, 1, 2, 3, 4, 20, 43], [0, 30, 43]):
            w = Writer(d2m.model, 'funk', seed=3, guidance=guidance)
            parts = [w.write(grid[a:b], energy[a:b]) for a, b in zip(cuts, cuts[1:])]
            assert (np.concatenate(parts, 1)==whole[:,:n]).all()

def test_writer_knows_its_styles(d2m):
    with pytest.raises(GenerateError, match='not trained on'): Writer(d2m.model, 'polka')

def test_voice(d2m):
    "In pieces as at once, and every sample once"
    codes = np.random.default_rng(0).integers(0, 1024, (4, 60))
    v = Voice(d2m.codec, context=60); parts = [v.say(codes[:,a:b]) for a, b in ((0, 1), (1, 11), (11, 11), (11, 60))]
    y = np.concatenate(parts); once = d2m.codec.decode(codes)[:len(y)]
    assert len(y)==59*d2m.codec.hop and np.allclose(y[12*480:], once[12*480:], atol=1e-4) # the padding at the very beginning mirrors what is there
    assert np.abs(y-once).max() < .05

def off(times, first, period): d = (np.asarray(times)-first)/period; return np.abs(d-np.rint(d))*period

def test_follower_locks():
    "At once, phase and all; what was made stays"
    f = Follower(); f.reach(1.); made = list(f.times)
    for _ in range(3): f.hear(Beats.steady(100, 4, start=.2), 0.)
    f.reach(6.); t = np.array(f.times)
    assert f.locked and abs(f.bpm-100)<.1 and (t[:len(made)]==made).all() and off(t[len(made):], .2, .6).max()<1e-6 and (np.diff(t)>.1).all()

def test_follower_glides():
    "A grid that is a fifth of a beat off is reached in two beats, and never in one step"
    f = Follower()
    for _ in range(3): f.hear(Beats.steady(100, 4), 0.)
    f.reach(3.); n = len(f.times)
    f.hear(Beats.steady(100, 4, start=.12), 0.); f.reach(8.)
    steps = np.diff(f.times)[n-1:]; assert .53 < steps.min() and steps.max() < .67 and off(f.times[n+2:], .12, .6).max() < .01

def test_follower_takes_a_new_tempo_at_a_bar_line():
    f = Follower()
    for _ in range(3): f.hear(Beats.steady(100, 4), 0.)
    f.reach(3.3)
    for _ in range(2): f.hear(Beats.steady(130, 4), 0.)
    assert abs(f.bpm-100)<.1 and f.waiting is None # not before it was said three times
    f.hear(Beats.steady(130, 4), 0.); assert f.waiting and abs(f.bpm-100)<.1 # nor before the bar line
    n = f.first+len(f.times); f.reach(9.); steps = np.diff(f.times); change = int(np.argmax(steps < .53))
    assert abs(f.bpm-130)<.1 and 0 <= f.first+change+1-n < 4 and (f.first+change+1) % 4==0

def test_follower_hears_no_guess():
    f = Follower()
    assert not f.hear(None)
    weak = Beats(np.arange(8)*.6, 100, confidence=.1)
    for _ in range(9): assert not f.hear(weak)
    for bpm in (90, 120, 100, 140): f.hear(Beats.steady(bpm, 4)) # no three agree
    assert not f.locked and abs(f.bpm-110)<1e-9

def test_grid_is_never_changed():
    f = Follower(); a = f.grid(0., 50)
    for _ in range(3): f.hear(Beats.steady(140, 4, start=.11), 0.)
    b = f.grid(1., 50); whole = f.grid(0., 100)
    assert np.allclose(np.concatenate([a, b])[:45], whole[:45], atol=1e-5) and np.allclose(whole[50:95], b[:45], atol=1e-5)


# ---- the stream

@pytest.mark.parametrize('bpm', [84, 104, 128])
def test_locks(d2m, bpm):
    s = follow(d2m, choreograph(Beats.steady(bpm, 9), 'house', seed=1, timing='on'))
    assert tempo_error(bpm, s.log[-1]['bpm']).acc1 and next(r['t'] for r in s.log if r['locked']) < 6

def test_follows_a_change(d2m):
    b = Beats(np.r_[np.arange(0, 9, .6), 9+np.arange(0, 12, 60/124)], 124)
    log = follow(d2m, choreograph(b, 'house', seed=0, timing='on')).log
    assert tempo_error(100, next(r for r in log if r['t']>8.5)['bpm']).acc1 and tempo_error(124, log[-1]['bpm']).acc1

def test_sound_never_stops(d2m):
    s = Stream(d2m); assert s.pull(100).shape==(100,) and s.pull(5000).dtype==np.float32 # before anybody was seen
    for n in (1, 0, 7777): assert len(s.pull(n))==n
    r = simulate(Stream(d2m), bouncer(seconds=4.))
    assert abs(len(r["wav"])/24000-4.3)<.15 and np.isfinite(r['wav']).all() and np.abs(r['wav']).max()<=.9

def test_freeze_is_heard_as_little_energy(d2m):
    p = choreograph(Beats.steady(112, 9), 'house', seed=4, timing='on', energy=1.); p.xyz[120:] = p.xyz[120]
    log = follow(d2m, p).log
    before, after = np.mean([r['energy'] for r in log if 3<r['t']<5]), [r['energy'] for r in log if r['t']>6]
    assert before > .5 and max(after) < .3*before

def test_waits_for_somebody_and_begins_again(d2m):
    "Silence when nobody is there, a new piece when somebody comes back; sound and grid stay in step"
    gone = np.full((96, 33, 3), np.nan); s = Stream(d2m)
    r = simulate(s, np.concatenate([bouncer(seconds=3.).xyz, gone, bouncer(seconds=3.).xyz]))
    w = r['wav']; level = lambda a, b: np.sqrt(np.mean(w[int(a*24000):int(b*24000)]**2))
    assert level(1, 3) > 1e-3 and level(6.5, 6.9) < 1e-6 and level(8.3, 9.5) > 1e-3
    assert s.owed==len(s.writer.columns)+1 # columns that wait for the others, and the frame that the voice holds

def test_frames_late_doubled_and_out_of_order(d2m):
    s, x = Stream(d2m), bouncer(seconds=4.).xyz
    taken = [s.push(x[i], t) for i, t in enumerate([0, .04, .04, .02, .1, math.nan, .12])]
    assert taken==[True, True, False, False, True, False, True] and s.dropped==3
    for i in range(20): s.push(x[i], 3+i/24) # a gap of three seconds
    assert len(s.pull(2400))==2400
    assert s.push(None) and s.push(x[0])
    with pytest.raises(GenerateError, match=r'shape \(33,3\)'): s.push(np.zeros((17, 3)))

def test_any_rate(d2m):
    for fps in (10., 60.):
        s = follow(d2m, choreograph(Beats.steady(104, 9), 'house', seed=1, timing='on', fps=fps))
        assert tempo_error(104, s.log[-1]['bpm']).acc2

def test_group(d2m):
    ps = [choreograph(Beats.steady(118, 10), st, seed=i, timing='on', energy=1.) for i, st in enumerate(('house', 'disco'))]
    x = np.stack([p.xyz for p in ps], 1); x[:96,1] = np.nan
    s = Stream(d2m, dancers=3)
    for i, f in enumerate(x): s.push(f, i/24); s.follower.reach(i/24+.3)
    n = [r['dancers'] for r in s.log]; e = np.array([r['energy'] for r in s.log])
    assert n[0]==1 and n[-1]==2 and e[-8:].mean() > e[:6].mean() and tempo_error(118, s.log[-1]['bpm']).acc2

def test_memory_of_a_long_stream(d2m):
    s = Stream(d2m, every=5.); x = bouncer().xyz
    for i in range(24*3600//12): s.push(x[i % 48], i/2.)
    assert len(s.seen) < 20 and s.now > 3500

@pytest.mark.parametrize('bad', [dict(style='polka'), dict(dancers=0), dict(dancers=9)])
def test_bad_wishes(d2m, bad):
    with pytest.raises(GenerateError): Stream(d2m, **bad)

def test_late_blocks():
    assert live_module._late([(0, .1), (.1, .1), (.2, .1)], .3)==0
    assert live_module._late([(0, .1), (.1, .9), (.2, .01), (5, .1)], .3)==2 # the slow one, and the one behind it

def test_soften():
    x = np.linspace(-4, 4, 999, dtype=np.float32); y = soften(x)
    assert np.abs(y).max()<=.9 and (y[np.abs(x)<.7]==x[np.abs(x)<.7]).all() and (np.diff(y)>=0).all()


# ---- camera, file, command

def test_watcher_sees_what_video2pose_sees():
    with Watcher() as w: seen = np.stack([w.see(f) for f in video2frames(asset('clip.mp4'), 24, end=2.)])
    assert seen.shape[1:]==(1, 33, 3) and np.isfinite(seen).all((1, 2, 3)).mean() > .95

def test_watcher_sees_two():
    a = np.stack(list(video2frames(asset('clip.mp4'), 24, end=.5))); both = np.ascontiguousarray(np.concatenate([a, a[:,:,::-1]], 2))
    with Watcher(2) as w: seen = np.stack([w.see(f) for f in both])
    assert np.isfinite(seen).all((2, 3))[2:].all() # both of them

def test_no_camera():
    with pytest.raises(MediaError, match='camera 77: cannot be opened'): next(camera_frames(77))

def test_live_on_a_file(d2m, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(live_module.DanceToMusic, 'from_pretrained', lambda *a: d2m); told = []
    r = live(str(clip), tmp_path/'m.wav', pace=0, tell=told.append)
    import soundfile
    x, sr = soundfile.read(tmp_path/'m.wav')
    assert sr==24000 and abs(len(x)/sr-2)<.2 and r['sound']=='file' and [p.name for p in tmp_path.iterdir()]==['m.wav']
    with pytest.raises(MediaError, match='must end in .wav'): live(str(clip), tmp_path/'m.mp3', pace=0)
    with pytest.raises(MediaError, match='no such file'): live(str(tmp_path/'no.mp4'), pace=0)

def test_ctrl_c_keeps_the_sound(d2m, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(live_module.DanceToMusic, 'from_pretrained', lambda *a: d2m)
    def frames(*a, **k):
        yield from ((i/24, f) for i, f in enumerate(video2frames(clip, 24, end=1.))); raise KeyboardInterrupt
    monkeypatch.setattr(live_module, 'file_frames', frames)
    assert live(str(clip), tmp_path/'m.wav', pace=0, tell=None)['seconds'] > .9 and (tmp_path/'m.wav').stat().st_size > 40000


# ---- the page

@pytest.fixture
def studio(d2m, monkeypatch, tmp_path): fake_dancer(monkeypatch); return Studio(d2m, mb=5, seconds=10)

def test_studio(studio, tmp_path, monkeypatch):
    video = draw(tmp_path/'dance.mp4'); r = studio.make(video, style='funk', seed=2)
    assert all(Path(r[k]).stat().st_size > 500 for k in ('video', 'wav', 'report', 'picture', 'skeleton')) and 'funk' in r['text'] and '/' not in r['text'].replace('1/2', '')
    import dance2music.generate as g
    monkeypatch.setattr(g, 'frames2pose', lambda *a: pytest.fail('the pose was known'))
    assert 'disco' in studio.make(video, style='disco')['text']

@pytest.mark.parametrize('make, why', [(lambda p: p.write_text('hello\n'*99), 'cannot be read'), (lambda p: draw(p, n=12*24), 'at most 10 s'), (lambda p: p.write_bytes(b'0'*6_000_000), 'at most 5 are taken'),
                                       (lambda p: zipfile.ZipFile(p, 'w', zipfile.ZIP_DEFLATED).writestr('a', b'0'*50_000_000), 'cannot be read'), (lambda p: draw(p, n=7), 'lasts 0.29 s')])
def test_studio_refuses(studio, tmp_path, make, why):
    make(tmp_path/'dance.mp4')
    with pytest.raises(ValueError, match=why) as e: studio.make(tmp_path/'dance.mp4')
    assert '\n' not in str(e.value) and not any(Path(studio.folder.name).iterdir())

def test_studio_tidies(studio, tmp_path):
    old = Path(studio.folder.name)/'old'; old.mkdir(); os.utime(old, (0, 0))
    studio.make(draw(tmp_path/'dance.mp4')); assert not old.exists() and len(list(Path(studio.folder.name).iterdir()))==1

def test_errors_name_no_path(studio, tmp_path):
    gr = pytest.importorskip('gradio'); handle = live_module._handler(studio, gr); (tmp_path/'x.mp4').write_text('no')
    with pytest.raises(gr.Error) as e: handle(str(tmp_path/'x.mp4'), 'auto', 'auto', 'auto', 1, 0, 1.)
    assert str(tmp_path) not in str(e.value) and 'your video' in str(e.value)

def free_port():
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); return s.getsockname()[1]

@pytest.fixture
def server(studio, monkeypatch):
    pytest.importorskip('gradio'); monkeypatch.setattr(live_module, 'Studio', lambda *a, **k: studio)
    port = free_port(); demo = app(port=port, block=False)
    yield f'http://127.0.0.1:{port}'
    demo.close()

def test_listens_here_only(server):
    import urllib.request
    assert 'dance2music' in urllib.request.urlopen(server, timeout=20).read().decode()
    port = int(server.rsplit(':', 1)[1]); me = socket.gethostbyname(socket.gethostname())
    if not me.startswith('127.'):
        with pytest.raises(OSError): socket.create_connection((me, port), timeout=2)

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)

@pytest.fixture
def chrome():
    sync = pytest.importorskip('playwright.sync_api', reason='pip install playwright, to test the page in a browser')
    if not BROWSER: pytest.skip('no Chromium on this machine: the page is not tested in a browser')
    with sync.sync_playwright() as p:
        b = p.chromium.launch(executable_path=BROWSER, args=['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'])
        yield b
        b.close()

def upload(page, path): page.set_input_files('#dance input[type=file]', str(path)); page.wait_for_selector('#dance video', timeout=60000)
def generate(page):
    page.get_by_role('button', name='Make music').click(); page.wait_for_function("document.querySelector('#words')?.innerText.includes('BPM')", timeout=120000)

def test_in_a_browser(server, chrome, tmp_path, monkeypatch):
    "Upload, generate, play, another style, a bad file, two at once, a phone, the keyboard"
    video = draw(tmp_path/'dance.mp4', w=96, h=64); bad = tmp_path/'bad.mp4'; bad.write_text('no video'*100)
    page = chrome.new_page(); page.goto(server); upload(page, video); generate(page)
    page.wait_for_selector('#result video', timeout=60000)
    assert page.evaluate("async () => { const v = document.querySelector('#result video'); v.muted = true; await v.play(); await new Promise(f => setTimeout(f, 400)); return v.currentTime }") > 0
    first = page.inner_text('#words')
    page.locator('#style input').click(); page.get_by_role('option', name='waltz').click(); page.get_by_role('button', name='Make music').click()
    page.wait_for_function("document.querySelector('#words').innerText.includes('waltz')", timeout=120000); assert page.inner_text('#words')!=first
    other = chrome.new_page(viewport=dict(width=390, height=800)); other.goto(server)
    assert other.evaluate('document.documentElement.scrollWidth') <= 400
    upload(other, video); page.get_by_role('button', name='Make music').click(); generate(other)
    other.keyboard.press('Tab'); assert other.evaluate('document.activeElement.tagName')!='BODY'
    third = chrome.new_page(); third.goto(server); third.set_input_files('#dance input[type=file]', str(bad)); third.wait_for_timeout(1500); third.get_by_role('button', name='Make music').click()
    third.wait_for_selector('text=/cannot be read|no video yet|Invalid/', timeout=60000)
    if os.environ.get('SCREENSHOTS'): Path(os.environ['SCREENSHOTS']).mkdir(parents=True, exist_ok=True); page.screenshot(path=os.environ['SCREENSHOTS']+'/app.png', full_page=True); other.screenshot(path=os.environ['SCREENSHOTS']+'/phone.png', full_page=True)
