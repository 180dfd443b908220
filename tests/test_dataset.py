"From lists to records: every row is accounted for, nothing is lost when the power goes, nothing from the web goes where it should not"
import csv, json, os, pickle, random, shutil, socket, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import av, numpy as np, pytest
import dance2music.dataset as ds
from dance2music.dataset import *
from dance2music.media import asset, save_wav, video2audio, video2frames
from dance2music.pose import Pose
from test_generate import bouncer

SECONDS = 2.

# ---- material and fakes

def film(path, seconds=6., fps=24, sound=True, size=(64, 48), seed=0, rate=24000, gop=24, loud=.3):
    "A small video with clicks at 120 BPM; each seed gives other pictures"
    rng = np.random.default_rng(seed)
    with av.open(str(path), 'w') as o:
        v = o.add_stream('libx264', rate=fps, options=dict(crf='30', preset='ultrafast', g=str(gop))); v.width, v.height, v.pix_fmt = *size, 'yuv420p'
        a = o.add_stream('aac', rate=rate, layout='mono') if sound else None
        for i in range(round(seconds*fps)):
            img = np.full((*size[::-1], 3), (i*3 + seed*40) % 255, np.uint8); img[:, :8] = rng.integers(255)
            o.mux(v.encode(av.VideoFrame.from_ndarray(img, format='rgb24')))
        o.mux(v.encode(None))
        if sound:
            t = np.arange(round(seconds*rate)); wav = (loud*np.exp(-(t % (rate//2))/600)*np.sin(t*(.05 + .01*seed))).astype(np.float32)
            for i in range(0, len(wav), 1024):
                f = av.AudioFrame.from_ndarray(wav[None, i:i+1024], format='fltp', layout='mono'); f.sample_rate, f.pts = rate, i
                o.mux(a.encode(f))
            o.mux(a.encode(None))
    return path

def quick(monkeypatch):
    "A detector and a codec that take no time; both depend on the pictures and the sound, and on nothing else"
    def detect(frames, fps, dancers, model):
        f = [*frames]; means = np.array([x.mean() for x in f])
        xyz = bouncer(104, len(f)/fps, fps).xyz + 1e-4*means[:, None, None].astype(np.float32)
        return [Pose(xyz, fps)]*dancers if dancers > 1 else Pose(xyz, fps)
    monkeypatch.setattr(ds, 'frames2pose', detect)
    monkeypatch.setattr(ds, 'clip_codes', lambda wav, recipe: (np.abs(wav[:5*(len(wav)//480//4*4)]).reshape(5, -1)*1000).astype(int) % 1024)

@pytest.fixture
def fast(monkeypatch): quick(monkeypatch); monkeypatch.setattr(ds, 'PAUSE', .01)

@pytest.fixture(scope='module')
def films(tmp_path_factory):
    d = tmp_path_factory.mktemp('films')
    for i in range(4): film(d/f'{i}.mp4', seed=i)
    return d

def listed(path, rows, head='url,start,end'): path.write_text('\n'.join(([head] if head else []) + [','.join(map(str, r)) for r in rows]) + '\n', encoding='utf-8'); return path

def build(links, out, **kw): return build_dataset(links, out, **dict(seconds=SECONDS, workers=1, stems='none') | kw)

def verdicts(out): return {k: [*csv.DictReader(open(out/f'{k}.csv', encoding='utf-8'))] for k in ('rejected', 'failed')}

def content(out): return {r['clip']: r for r in read_records(out)} if [*out.glob('shard-*')] else {}


# ---- reading lists

@pytest.mark.parametrize('raw', [
    'url,start,end\na.mp4,0:05,0:10\n', 'a.mp4,0:05,0:10', '\ufeffurl,start,end\r\na.mp4,00:00:05,00:00:10\r\n', 'URL;Start;End\na.mp4;5;10', 'url\tstart\tend\na.mp4\t5\t10',
    '"a.mp4","5","10"\n', '\n\n  \na.mp4,5,10\n\n', 'start,end,url\n5,10,a.mp4', 'start,end,note,url\n5,10,nice,a.mp4', 'url,start,end\ra.mp4,5.0,"10"\r'])
def test_lists(tmp_path, raw):
    (tmp_path/'l.csv').write_bytes(raw.encode('utf-8')); links, bad = read_links(tmp_path/'l.csv')
    assert not bad and [(l.url, l.start, l.end) for l in links]==[('a.mp4', 5., 10.)]

def test_utf16(tmp_path):
    (tmp_path/'l.csv').write_bytes('url,start,end\ntänzer.mp4,5,10\n'.encode('utf-16'))
    assert read_links(tmp_path/'l.csv')[0][0].url=='tänzer.mp4'

def test_forgotten_quote_costs_one_row(tmp_path):
    (tmp_path/'l.csv').write_text('"a.mp4,0,5\nb.mp4,0,5\nc.mp4,0,5\n')
    links, bad = read_links(tmp_path/'l.csv')
    assert {l.url for l in links} >= {'b.mp4', 'c.mp4'} and len(links)+len(bad)==3

def test_times():
    assert parse_time('01:02:03.5')==3723.5 and parse_time('5')==5 and parse_time('')is None and parse_time(None) is None
    for bad in ('-1', '1:60', '1:60:00', '0x10', '1e3', '٣', 'inf', '1:2:3:4', '::', '99999999'):
        with pytest.raises(DatasetError): parse_time(bad)

def bad_rows(d):
    "Kinds of bad rows: what stands in the list, and a word of the reason"
    (d/'empty.mp4').write_bytes(b''); (d/'text.mp4').write_text('this is not a video'); (d/'folder').mkdir(); (d/'folder'/'readme.txt').write_text('x')
    film(d/'mute.mp4', 3, sound=False, seed=7); film(d/'quiet.mp4', 3, loud=0, seed=8); film(d/'short.mp4', 1, seed=9); save_wav(np.zeros(48000), 24000, d/'only_sound.mp4.wav')
    shutil.copy(d/'only_sound.mp4.wav', d/'sound.mp4'); os.mkfifo(d/'pipe.mp4')
    whole = film(d/'tmp.mp4', 4, seed=10).read_bytes(); (d/'cut.mp4').write_bytes(whole[:len(whole)//3]); (d/'tmp.mp4').unlink()
    (d/'playlist.mp4').write_text(f'#EXTM3U\n#EXTINF:3,\n{d}/ok.mp4\n#EXT-X-ENDLIST\n')
    film(d/'ok.mp4', 4, seed=11)
    return [(',0,5', 'no address'), (',,', 'no address'), ('ok.mp4,soon,5', 'not a time'), ('ok.mp4,0,later', 'not a time'), ('ok.mp4,-3,5', 'not a time'), ('ok.mp4,nan,', 'not a time'),
            ('ok.mp4,0:75:00,', 'more than 59'), ('ok.mp4,3,2', 'not after'), ('ok.mp4,2,2', 'not after'), ('ok.mp4,0,1', 'a clip needs'), ('ok.mp4,30,40', 'ends at 4.0 s'), ('ok.mp4,1:2:3:4,', 'not a time'),
            ('no such file.mp4,0,5', 'no such file'), ('folder,0,5', 'no videos'), ('empty.mp4,0,5', ''), ('text.mp4,0,5', 'cannot be read'), ('sound.mp4,0,5', ''), ('cut.mp4,0,4', ''),
            ('mute.mp4,0,2', 'no sound'), ('quiet.mp4,0,2', 'silent'), ('short.mp4,0,5', 'a clip needs'), ('pipe.mp4,0,5', 'regular file'), ('/dev/zero,0,5', 'regular file'),
            ('ftp://host/a.mp4,0,5', 'ftp'), ('javascript:alert(1),0,5', 'javascript'), ('data:video/mp4;base64:AA,0,5', 'data'), ('https://,0,5', 'complete'), ('https://a b/c.mp4,0,5', 'complete'),
            ('www.youtube.com/watch?v=abc,0,5', 'https://'), ('https://www.youtube.com/watch?v=YOUR_VIDEO_ID,0,5', 'placeholder'), ('ok.mp4,0,2,house,more', '5 cells'), ('"ok.mp4,0,2', ''),
            ('a\0b.mp4,0,5', 'cannot be read'), ('a\x07b.mp4,0,5', 'cannot be read'), (f'{"x"*3000},0,5', '3000 characters'), ('file://otherhost/a.mp4,0,5', 'this machine'), ('../../../../etc/passwd,0,5', ''),
            ('playlist.mp4,0,4', ''), ('http://[broken/a.mp4,0,5', 'complete'), ('$(touch owned).mp4,0,5', 'no such file'), ('; touch owned,0,5', 'no such file')]

def test_thousand_rows(fast, films, tmp_path):
    "Rows of 40 bad kinds among good ones: each row is in exactly one of records, rejected, failed"
    d = tmp_path/'l'; d.mkdir(); kinds = bad_rows(d); rows = ['url,start,end']; want = {}
    for i in range(1000):
        if i % 5 and i < 40*5: text, word = kinds[(i - i//5) % len(kinds)]; want[i+2] = word; rows.append(text)
        elif i % 25==0 and i < 500: rows.append(f'{films}/{i//25%4}.mp4,{(i//100)*.25},{(i//100)*.25 + 2}')
        else: text, word = kinds[i % len(kinds)]; want[i+2] = word; rows.append(text)
    (d/'list.csv').write_bytes('\n'.join(rows).encode())
    out = build(d/'list.csv', tmp_path/'set'); got = content(out); v = verdicts(out)
    placed = {}
    for k, vs in v.items():
        for x in vs: placed.setdefault(int(x['row']), set()).add(k)
    starts = {(r['url'], r['start']) for r in got.values()}
    for i, text in enumerate(rows[1:], 2):
        if i in want: assert len(placed.get(i, ()))==1, (i, text, placed.get(i))
        else:
            url, start, _ = text.split(','); again = {x['reason'] for k in v for x in v[k] if int(x['row'])==i}
            assert (i in placed) ^ ((url, float(start)) in starts and not again), (i, text)
    reasons = {int(x['row']): x['reason'] for vs in v.values() for x in vs}
    for i, word in want.items(): assert word in reasons[i] or 'same stretch' in reasons[i], (rows[i-1], reasons[i])
    assert all(r and len(r) < 300 and '\n' not in r and 'Traceback' not in r for r in reasons.values())
    assert not [*tmp_path.rglob('owned')] and not Path('owned').exists()
    m = json.loads((out/'manifest.json').read_text()); assert m['complete'] and m['records']==len(got) and m['rejected']==len(v['rejected']) and m['failed']==len(v['failed'])

def test_folder_and_style(fast, films, tmp_path):
    listed(tmp_path/'l.csv', [(films, '', '', 'disco')], 'url,start,end,style')
    rows = read_records(build(tmp_path/'l.csv', tmp_path/'set'))
    assert len(rows)==4*3 and {r['style'] for r in rows}=={'disco'} and len({r['source'] for r in rows})==4

def test_refusals(fast, films, tmp_path):
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')])
    for kw in (dict(seconds=.1), dict(stems='guitar'), dict(method='magic'), dict(fps=1), dict(dancers=0), dict(backend='abacus')):
        with pytest.raises(DatasetError): build(links, tmp_path/'x', **kw)
    with pytest.raises(DatasetError, match='no such list'): build(tmp_path/'none.csv', tmp_path/'x2')
    (tmp_path/'empty.csv').write_text('\n \n')
    with pytest.raises(DatasetError, match='no rows'): build(tmp_path/'empty.csv', tmp_path/'x3')
    build(links, tmp_path/'set')
    with pytest.raises(DatasetError, match='seconds=2.0'): build(links, tmp_path/'set', seconds=3)
    synthetic = tmp_path/'syn'; write_shard([dict(source='a', style='x')], synthetic/'shard-00000.parquet')
    with pytest.raises(DatasetError, match='not built from a list'): build(links, synthetic)
    from filelock import FileLock
    with FileLock(str(tmp_path/'set'/'.work'/'lock')), pytest.raises(DatasetError, match='another build'): build(links, tmp_path/'set')


# ---- interruptions

def steps(child):
    "Run `child` in a forked process"
    pid = os.fork()
    if pid==0:
        try: child()
        finally: os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def die_after(monkeypatch, n, before):
    "The process ends, without a word, just before or after its n-th change of the disk"
    left = [n]
    def dying(f):
        def g(*a, **k):
            left[0] -= 1
            if left[0] <= 0 and before: os._exit(9)
            r = f(*a, **k)
            if left[0] <= 0: os._exit(9)
            return r
        return g
    for module, name in ((os, 'replace'), (os, 'fsync'), (Path, 'unlink'), (Path, 'touch')): monkeypatch.setattr(module, name, dying(getattr(module, name)))

@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs os.fork')
def test_power_cut_anywhere(fast, films, tmp_path, monkeypatch):
    "Ended at many moments and resumed, a build gives the shards of an undisturbed one, bit for bit"
    film(tmp_path/'mute.mp4', 3, loud=0, seed=5)
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', ''), (tmp_path/'mute.mp4', '', ''), (films/'1.mp4', .5, 5), ('gone.mp4', 0, 5), (films/'2.mp4', '', '')])
    monkeypatch.setattr(ds, '_alone', lambda tasks, out, recipe, keep, on_done: [on_done(t, work(t, out, recipe, keep)) for t in tasks])
    want = build(links, tmp_path/'calm', shard=3); calm = content(want); assert len(calm)==8
    out = tmp_path/'stormy'; rng = random.Random(0); deaths = 0
    while True:
        n, before = rng.randint(1, 12 + 2*deaths), rng.random() < .5 # later and later, or it would never end
        def child():
            with monkeypatch.context() as m: die_after(m, n, before); build(links, out, shard=3)
        code = steps(child)
        if code==0: break
        deaths += 1; assert code==9 and deaths < 60, (code, deaths)
    build(links, out, shard=3)
    assert deaths >= 6 and content(out)==calm
    assert sorted(p.name for p in out.glob('shard-*'))==sorted(p.name for p in want.glob('shard-*'))
    for p in want.glob('shard-*'): assert (out/p.name).read_bytes()==p.read_bytes()
    assert verdicts(out)==verdicts(want)
    left = [p for p in (out/'.work').rglob('*') if p.is_file()]; assert {p.name for p in left} <= {'lock', 'recipe.json', *(p.name for p in left if p.name.startswith('verdicts-'))}
    assert not [p for p in out.iterdir() if p.name.startswith('.') and p.name!='.work']

def test_nothing_is_redone(fast, films, tmp_path, monkeypatch):
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')]); out = build(links, tmp_path/'set')
    monkeypatch.setattr(ds, 'clip2rows', lambda *a, **k: pytest.fail('redone'))
    before = {p.name: p.stat().st_mtime_ns for p in out.glob('shard-*')}; build(links, out)
    assert {p.name: p.stat().st_mtime_ns for p in out.glob('shard-*')}==before

def test_a_set_grows(fast, films, tmp_path):
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')]); out = build(links, tmp_path/'set'); first = content(out)
    listed(links, [(films/'1.mp4', '', ''), (films/'0.mp4', '', '')]); build(links, out)
    assert len(content(out))==6 and first.items() <= content(out).items() and len(read_records(out))==6

def test_stop_and_go_on(fast, films, tmp_path, monkeypatch):
    links = listed(tmp_path/'l.csv', [(films/f'{i}.mp4', '', '') for i in range(4)]); real, n = ds.clip2rows, [0]
    def tired(*a, **k):
        n[0] += 1
        if n[0]==5: raise KeyboardInterrupt
        return real(*a, **k)
    monkeypatch.setattr(ds, 'clip2rows', tired)
    with pytest.raises(KeyboardInterrupt): build(links, tmp_path/'set')
    assert not json.loads((tmp_path/'set'/'manifest.json').read_text())['complete'] and not [*(tmp_path/'set'/'.work'/'begun').iterdir()]
    out = build(links, tmp_path/'set'); assert n[0]==13 and len(read_records(out))==12

def test_full_disk_stops(fast, films, tmp_path, monkeypatch):
    "A disk that takes no more is nobody's fault: the build stops, and nothing is called failed"
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')]); real = ds.Shelf.put_rows
    def full(*a): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(ds.Shelf, 'put_rows', full)
    with pytest.raises(OSError): build(links, tmp_path/'set')
    monkeypatch.setattr(ds.Shelf, 'put_rows', real)
    assert len(read_records(build(links, tmp_path/'set')))==3 and not verdicts(tmp_path/'set')['failed']

def test_one_bad_clip_is_one_verdict(fast, films, tmp_path, monkeypatch):
    links = listed(tmp_path/'l.csv', [(films/f'{i}.mp4', '', '') for i in range(2)]); real = ds.clip_codes; calls = []
    def sometimes(wav, recipe):
        calls.append(1)
        if len(calls)==2: raise RuntimeError('cosmic ray')
        return real(wav, recipe)
    monkeypatch.setattr(ds, 'clip_codes', sometimes); out = build(links, tmp_path/'set')
    assert len(read_records(out))==5 and [x['reason'] for x in verdicts(out)['failed']]==['RuntimeError: cosmic ray']
    build(links, out); assert len(read_records(out))==5
    build(links, out, retry=True); assert len(read_records(out))==6 and not verdicts(out)['failed']

def killer(*a): os.kill(os.getpid(), 9)
def test_a_file_that_kills(fast, films, tmp_path, monkeypatch):
    "A task that brings its process down is tried alone, named, and left behind"
    def die(*a):
        import os; os._exit(9)
    die.__module__ = '__main__'; monkeypatch.setattr(ds, 'work', die)
    got = []; t = Task(3, 'x.mp4', str(films/'0.mp4'), 'abcdefabcdef', 0., 1); out = tmp_path/'set'; (out/'.work'/'begun').mkdir(parents=True); (out/'.work'/'begun'/t.name).touch()
    ds._alone([t], out, Recipe(), False, lambda task, clips: got.append((task, clips)))
    assert got==[(t, [])] and 'process dies' in Shelf(out).lying()[1][t.clip(0, 5)]['reason'] and not [*(out/'.work'/'begun').iterdir()]


# ---- the filter

def test_pulse():
    from dance2music.groove import groove
    rng = np.random.default_rng(0); beat = groove(110., 'house', 5., seed=0).wav; hum = .3*np.sin(np.arange(120000)*.05).astype(np.float32)
    assert pulse(beat, 24000) > .35 and pulse(.02*beat, 24000) > .35
    for wav in (rng.normal(0, .1, 120000).astype(np.float32), hum, np.zeros(120000, np.float32), np.zeros(3000, np.float32)):
        assert pulse(wav, 24000) < ds.NO_PULSE
        with pytest.raises(Rejected): clip_beats(wav, 24000)

def test_good_pose():
    moving = bouncer(100, 4); assert good_pose(moving).xyz.shape==moving.xyz.shape
    xyz = moving.xyz; trembling = xyz[:1] + np.random.default_rng(0).normal(0, .002, xyz.shape).astype(np.float32); nobody = np.full_like(xyz, np.nan)
    for bad, word in ((trembling, 'moves'), (nobody, 'seen')):
        with pytest.raises(Rejected, match=word): good_pose(Pose(bad, 24.))


def test_pose_rules():
    "A dance upside down, guessed legs and a clip of which too little is left are no examples"
    pose = bouncer(100, 5); rng = np.random.default_rng(0); turn, shake, lost = pose.xyz.copy(), pose.xyz.copy(), pose.xyz.copy()
    turn *= [1, -1, 1]; shake[:, 25:] += rng.normal(0, .2, shake[:, 25:].shape); lost[30:75] = np.nan
    for bad, word in ((turn, 'below the hips'), (shake, 'legs'), (lost, 'can be used')):
        with pytest.raises(Rejected, match=word): good_pose(Pose(bad.astype(np.float32), 24.))

def test_bass_and_silence(tmp_path):
    t = np.arange(120000)/24000; kick, beep = (np.exp(-(t % .5)*12)*np.sin(2*np.pi*f*t).astype(np.float32) for f in (60, 500))
    assert ds.bass_share(kick, 24000) > .5 and ds.bass_share(beep, 24000) < .05
    save_wav(np.r_[kick[:60000], 0*kick[60000:]].astype(np.float32), 24000, tmp_path/'half.wav')
    with pytest.raises(Rejected, match='off for'): ds.clip_sound(tmp_path/'half.wav', 0., Recipe(5.))

def test_what_every_clip_needs(fast, films, tmp_path, monkeypatch):
    "Without MediaPipe's libraries or the codec no clip is to blame: the build stops and goes on later"
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')]); real = ds.frames2pose
    def broken(*a, **k): raise ds.PoseError('MediaPipe needs libEGL.so.1')
    monkeypatch.setattr(ds, 'frames2pose', broken); monkeypatch.setattr(ds, '_landmarker', broken)
    with pytest.raises(SetupError, match='libEGL'): build(links, tmp_path/'set')
    assert not any(verdicts(tmp_path/'set').values())
    monkeypatch.setattr(ds, 'frames2pose', real); assert len(read_records(build(links, tmp_path/'set')))==3
    with pytest.raises(DatasetError, match='pose model'): build(links, tmp_path/'other', model='huge')

def test_one_video_many_addresses():
    same = ['https://youtu.be/dQw4w9WgXcQ', 'https://www.youtube.com/watch?v=dQw4w9WgXcQ&t=5', 'http://music.youtube.com/watch?list=a&v=dQw4w9WgXcQ', 'https://youtube.com/embed/dQw4w9WgXcQ#x']
    assert len({web_source(u) for u in same})==1
    assert len({web_source(u) for u in ('https://a.org/v?id=1', 'https://a.org/v?id=2', 'https://notyoutube.com/watch?v=dQw4w9WgXcQ', same[0])})==4 and web_source('https://a.org/v#a')==web_source('https://a.org/v#b')


# ---- what comes out

def test_set(fast, films, tmp_path):
    out = build(listed(tmp_path/'l.csv', [(films, '', '')]), tmp_path/'set', shard=5); rows = read_records(out)
    assert [len(r['pose'])//(33*3*2) for r in rows]==[48]*12 and len({r['clip'] for r in rows})==12
    a = record2arrays(rows[0]); assert a['pose'].shape==(48, 33, 3) and a['beats'].bpm==pytest.approx(120, abs=3)
    assert load_records(out).num_rows==12 and len([*load_records(out, streaming=True)])==12
    parts = [{r['source'] for r in load_records(out, p, seed=3)} for p in ('train', 'validation')]
    assert not parts[0]&parts[1] and len(parts[0]|parts[1])==4 and parts[1]=={r['source'] for r in load_records(out, 'validation', seed=3, streaming=True)}
    with pytest.raises(DatasetError): load_records(out, 'exam')
    from datasets import load_dataset # as the Hub would read the folder: by its card
    assert load_dataset(str(out), split='train', cache_dir=str(tmp_path/'cache')).num_rows==12
    assert all(w in (out/'README.md').read_text() for w in ('12 records', 'Rights', 'shard-*.parquet'))

def test_no_source_on_both_sides(fast, films, tmp_path):
    "Not even when people keep copies under other names"
    for i in range(4): shutil.copy(films/f'{i}.mp4', tmp_path/f'copy of {i}.mp4')
    links = listed(tmp_path/'l.csv', [(films/f'{i}.mp4', 0, 3) for i in range(4)] + [(f'copy of {i}.mp4', 3, 6) for i in range(4)])
    rows = read_records(build(links, tmp_path/'set')); assert len({r['url'] for r in rows})==8
    for seed in range(20):
        train, valid = split(rows, .25, seed); assert len(train)+len(valid)==len(rows) and valid
        assert not {Path(r['url']).name[-5:] for r in train}&{Path(r['url']).name[-5:] for r in valid}

def test_share():
    names = [f'v{i}' for i in range(200)]; assert len(held_out(names))==30 and held_out(names, seed=1)!=held_out(names) and held_out(names)==held_out(reversed(names))

def test_dancers(fast, films, tmp_path):
    rows = read_records(build(listed(tmp_path/'l.csv', [(films/'0.mp4', 0, 2)]), tmp_path/'set', dancers=2))
    assert [r['dancer'] for r in rows]==[0, 1] and rows[0]['clip']==rows[1]['clip'] and rows[0]['codes']==rows[1]['codes']

def test_progress(fast, films, tmp_path):
    seen = []; build(listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')]), tmp_path/'set', progress=lambda done, total, counts: seen.append((done, total)))
    assert seen==[(1, 3), (2, 3), (3, 3)]

def test_long_file_is_cut(fast, tmp_path, monkeypatch):
    "A long file is taken in stretches; the clips are those of the same file read in place"
    video = film(tmp_path/'long.mp4', 30, gop=100); links = listed(tmp_path/'l.csv', [('long.mp4', 3.3, '')])
    a = content(build(links, tmp_path/'a')); monkeypatch.setattr(ds, 'SHORT', 5.); monkeypatch.setattr(ds, 'STRETCH', 3)
    b = content(build(links, tmp_path/'b'))
    assert [*a]==[*b] and len(a)==13 and all(a[k]['pose']==b[k]['pose'] for k in a)
    assert all(np.abs(record2arrays(a[k])['beats'].times[:3] - record2arrays(b[k])['beats'].times[:3]).max() < .03 for k in a)

@pytest.mark.parametrize('start,gop', [(0, 24), (.9, 24), (2.5, 250), (4.04, 48)])
def test_cut(tmp_path, start, gop):
    video = film(tmp_path/'v.mp4', 6, gop=gop, size=(96, 64)); s = cut([video], start, start+1.5, tmp_path/'c.mkv')
    a, b = [*video2frames(video, start=start, end=start+1.5)], [*video2frames(s.path, start=s.start, end=s.start+1.5)]
    assert len(a)==len(b)==36 and all((x==y).all() for x, y in zip(a, b)) and s.seconds==pytest.approx(1.5)
    wav, part = video2audio(video)[round(start*24000):][:30000], video2audio(s.path)[round(s.start*24000):][:30000]
    lag = np.argmax([np.dot(wav[300:-300], part[300+l:len(part)-300+l]) for l in range(-300, 300)]) - 300; assert abs(lag) <= 48
    assert cut([video], 5, 20, tmp_path/'d.mkv').seconds==pytest.approx(1, abs=.05)


# ---- the web

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *a): pass
    def do_HEAD(self): self.do_GET()
    def bytes(self, data, kind='video/mp4', ranges=True, cut=None, headers=()):
        m = self.headers.get('Range') if ranges else None; a, b = 0, len(data)-1
        if m: a, b = [int(x) if x else None for x in m.removeprefix('bytes=').split('-')]; b = min(len(data)-1, b if b is not None else 10**12)
        if a > b: self.send_response(416); self.end_headers(); return
        self.send_response(206 if m else 200); part = data[a:b+1]
        if m: self.send_header('Content-Range', f'bytes {a}-{b}/{len(data)}')
        for k, v in (('Content-Type', kind), ('Content-Length', len(part)), *headers): self.send_header(k, str(v))
        if ranges: self.send_header('Accept-Ranges', 'bytes')
        self.end_headers()
        if self.command=='GET': sent = part if cut is None else part[:cut]; self.server.sent += len(sent); self.wfile.write(sent)
        if cut is not None: self.close_connection = True; self.connection.close()
    def do_GET(self):
        s = self.server; path, _, query = self.path.partition('?'); name = path.split('/')[-1].removesuffix('.mp4'); s.asked.append(self.path)
        try: getattr(self, f'at_{name}', self.at_missing)(query)
        except (BrokenPipeError, ConnectionResetError, OSError): pass
    def at_missing(self, q): self.send_error(404)
    def at_clip(self, q): self.bytes(self.server.data)
    def at_big(self, q): self.bytes(self.server.big)
    def at_whole(self, q): self.bytes(self.server.data, ranges=False)
    def at_denied(self, q): self.send_error(403)
    def at_broken(self, q): self.send_error(500)
    def at_truncated(self, q): self.bytes(self.server.data, cut=20000)
    def at_half(self, q): self.bytes(self.server.data, ranges=False, cut=20000)
    def at_stalled(self, q): time.sleep(3)
    def at_loop(self, q): self.send_response(302); self.send_header('Location', self.path); self.end_headers()
    def at_private(self, q): self.send_response(302); self.send_header('Location', f'http://localhost:{self.server.server_port}/clip.mp4'); self.end_headers()
    def at_tofile(self, q): self.send_response(302); self.send_header('Location', 'file:///etc/passwd'); self.end_headers()
    def at_moved(self, q): self.send_response(302); self.send_header('Location', '/clip.mp4'); self.end_headers()
    def at_playlist(self, q): self.bytes(f'#EXTM3U\n#EXT-X-TARGETDURATION:6\n#EXTINF:6,\nfile://{self.server.secret}\n#EXT-X-ENDLIST\n'.encode())
    def at_named(self, q): self.bytes(self.server.data, headers=[('Content-Disposition', 'attachment; filename="../../../evil.mp4"')])
    def at_moody(self, q): (self.send_error(503) if len([a for a in self.server.asked if 'moody' in a]) < 3 else self.bytes(self.server.data))
    def at_page(self, q): self.bytes(f'<html><head><title>../../evil $(touch owned)</title></head><body><video src="/{q}.mp4"></video></body></html>'.encode(), 'text/html')

@pytest.fixture(scope='module')
def server(tmp_path_factory):
    d = tmp_path_factory.mktemp('server'); s = ThreadingHTTPServer(('127.0.0.1', 0), Handler); s.daemon_threads = True
    s.data = film(d/'a.mp4', 6).read_bytes(); s.secret = film(d/'secret.mp4', 6, seed=3); s.asked, s.sent = [], 0
    t = threading.Thread(target=s.serve_forever, daemon=True); t.start(); s.url = f'http://127.0.0.1:{s.server_port}'
    yield s
    s.shutdown()

def outcome(url, tmp_path, **kw):
    out = build(listed(tmp_path/'l.csv', [(url, 1, 5)]), tmp_path/'set', **kw); v = verdicts(out)
    return len(content(out)), [x['reason'] for k in v for x in v[k]]

@pytest.mark.parametrize('name', ['clip', 'whole', 'moved', 'named', 'moody', '..%2f..%2f..%2fclip', 'x/../../../clip'])
def test_web(fast, server, tmp_path, name):
    server.asked.clear()
    assert outcome(f'{server.url}/{name}.mp4' if '%' not in name else f'{server.url}/..%2f..%2fx/clip.mp4', tmp_path)==(2, [])
    assert {p.name for p in tmp_path.rglob('*') if p.suffix in ('.mp4', '.mkv')}==set()

@pytest.mark.parametrize('name,word', [('missing', '404'), ('denied', '403'), ('broken', '500'), ('truncated', 'less than it announced'), ('half', 'less than it announced'), ('stalled', 'stopped answering'),
                                       ('loop', 'circles'), ('private', 'private address'), ('tofile', 'not on the web'), ('playlist', 'cannot be read as a video')])
def test_web_fails(fast, server, tmp_path, monkeypatch, name, word):
    monkeypatch.setattr(ds, 'TIMEOUT', .3); monkeypatch.setattr(ds, 'TRIES', 2)
    n, reasons = outcome(f'{server.url}/{name}.mp4', tmp_path); assert n==0 and len(reasons)==2 and word in reasons[0], reasons
    assert not [p for p in tmp_path.rglob('*') if p.suffix in ('.mkv', '.part', '.mp4')]

ytdlp = pytest.mark.skipif(not __import__('importlib.util').util.find_spec('yt_dlp'), reason='yt-dlp is not installed: pip install "dance2music[download]"')

@ytdlp
def test_page(fast, server, tmp_path):
    assert outcome(f'{server.url}/page?clip', tmp_path)==(2, []) and not [*tmp_path.rglob('*owned*')] and not Path('owned').exists()

@ytdlp
@pytest.mark.parametrize('path,word', [('nothing', '404'), ('denied', '403'), ('stalled', 'stopped answering'), ('loop', ''), ('private', 'private address'), ('tofile', ''), ('page?missing', '404'), ('page?truncated', 'less than'), ('page?private', 'private address')])
def test_page_fails(fast, server, tmp_path, monkeypatch, path, word):
    monkeypatch.setattr(ds, 'TIMEOUT', .4); monkeypatch.setattr(ds, 'TRIES', 1)
    n, reasons = outcome(f'{server.url}/{path}', tmp_path); assert n==0 and word in reasons[0] and '\x1b' not in reasons[0], reasons

def test_only_the_section(fast, server, tmp_path):
    "Of a big file only the index and the part that is wanted come over the wire"
    rng = np.random.default_rng(0)
    with av.open(str(tmp_path/'big.mp4'), 'w', options=dict(movflags='faststart')) as o:
        v = o.add_stream('libx264', rate=24, options=dict(crf='18', preset='ultrafast', g='24')); v.width, v.height, v.pix_fmt = 192, 144, 'yuv420p'
        for i in range(24*25): o.mux(v.encode(av.VideoFrame.from_ndarray(rng.integers(0, 255, (144, 192, 3), dtype=np.uint8), format='rgb24')))
        o.mux(v.encode(None))
    server.big = (tmp_path/'big.mp4').read_bytes(); assert len(server.big) > 8e6; server.sent = 0
    s = fetch(f'{server.url}/big.mp4', 10, 12, tmp_path/'part.mkv'); assert s.seconds==pytest.approx(2, abs=.1) and server.sent < .4*len(server.big), server.sent/len(server.big)

def test_open_end_and_keep(fast, server, tmp_path, monkeypatch):
    monkeypatch.setattr(ds, 'STRETCH', 2); out = build(listed(tmp_path/'l.csv', [(f'{server.url}/clip.mp4', '', '')]), tmp_path/'set', keep_video=True)
    assert len(content(out))==3 and len([*(out/'videos').glob('*.mkv')])==2
    server.asked.clear(); build(tmp_path/'l.csv', out); assert server.asked==[]

def test_password_stays_home(fast, server, tmp_path):
    out = build(listed(tmp_path/'l.csv', [(f'http://me:secret@127.0.0.1:{server.server_port}/missing.mp4', 0, 5)]), tmp_path/'set')
    assert 'secret' not in (out/'failed.csv').read_text()+(out/'rejected.csv').read_text()+(out/'README.md').read_text()

@pytest.mark.parametrize('url,open_', [('https://example.org/a', ()), ('http://10.0.0.1/a', {'10.0.0.1'}), ('http://nas.local/a', {'nas.local'}), ('http://localhost:80/a', {'localhost'}), ('http://nas/a', {'nas'})])
def test_door(url, open_, monkeypatch):
    with guarded(url):
        assert ds._door.open >= set(open_)
        for host in ('127.0.0.1', '10.0.0.1', '169.254.169.254', '::1', '0.0.0.0'):
            if host in open_: continue
            with pytest.raises(PrivateAddress): socket.getaddrinfo(host, 80)
    assert socket.getaddrinfo('127.0.0.1', 80)


# ---- stems, AIST++, clusters, the command

def test_separate():
    t = np.arange(72000)/24000; hits = np.zeros(72000, np.float32); hits[::12000] = .8; hits = np.convolve(hits, np.random.default_rng(0).normal(size=300)*np.exp(-np.arange(300)/60))[:72000]
    bass, tone = .3*np.sin(2*np.pi*70*t), .3*np.sin(2*np.pi*900*t); got = separate((hits+bass+tone).astype(np.float32), 24000, 'drums+bass+other')
    near = lambda a, b: np.corrcoef(a, b)[0, 1]
    assert near(got['drums'], hits) > .8 and near(got['bass'], bass) > .9 and near(got['other'], tone) > .9 and [*got]==['drums', 'bass', 'other']
    assert [*separate(tone.astype(np.float32), 24000, 'bass')]==['bass']
    for stems, method in (('voice', 'hpss'), ('drums', 'magic'), ('vocals+accompaniment+drums', 'spleeter')):
        with pytest.raises(DatasetError): separate(tone, 24000, stems, method)
    with pytest.raises(DatasetError): separate(np.zeros((2, 24000)), 24000)

SPLEETER = ds._cache()/'spleeter-2.4.2'/'ready'
@pytest.mark.skipif(not SPLEETER.exists(), reason="Spleeter's environment has not been made: separate(wav, sr, 'vocals', method='spleeter') makes it")
def test_spleeter():
    wav = (.2*np.sin(np.arange(72000)*.05)).astype(np.float32); got = separate(wav, 24000, 'vocals+accompaniment', 'spleeter')
    assert all(v.shape==wav.shape for v in got.values()) and np.sqrt((got['accompaniment']**2).mean()) > 3*np.sqrt((got['vocals']**2).mean())

@pytest.mark.skipif(os.name=='nt', reason='the stand-in is a shell script')
def test_spleeter_protocol(tmp_path, monkeypatch):
    "The real conversation with Spleeter's process, with a stand-in for Spleeter itself"
    home = tmp_path/'dance2music'/'spleeter-2.4.2'; fake = tmp_path/'fake'; (home/'env'/'bin').mkdir(parents=True); (home/'ready').touch()
    for f in ('__init__', 'separator', 'model/__init__', 'model/provider/__init__', 'model/provider/github'): (fake/'spleeter'/f'{f}.py').parent.mkdir(parents=True, exist_ok=True); (fake/'spleeter'/f'{f}.py').touch()
    (fake/'spleeter'/'model'/'provider'/'github.py').write_text('class GithubModelProvider: pass')
    (fake/'spleeter'/'separator.py').write_text("""
import os
class Separator:
    def __init__(self, name, multiprocess): self.names = dict([('spleeter:2stems', 'vocals accompaniment'), ('spleeter:4stems', 'vocals drums bass other')])[name].split(); print('chatter')
    def separate(self, x):
        assert x.ndim==2 and x.shape[1]==2 and os.environ['MODEL_PATH']
        if abs(x).max() > .9: os._exit(3)
        return {n: x*(i+1)/10 for i, n in enumerate(self.names)}
""")
    python = home/'env'/'bin'/'python'; python.write_text(f'#!/bin/sh\nPYTHONPATH={fake} exec {sys.executable} "$@"\n'); python.chmod(0o755)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path)); ds._spleeter_process.cache_clear()
    wav = (.2*np.sin(np.arange(72000)*.05)).astype(np.float32); rms = lambda x: np.sqrt((x**2).mean())
    try:
        four, two = separate(wav, 24000, 'drums+bass', 'spleeter'), separate(wav, 24000, 'accompaniment', 'spleeter')
        assert [*four]==['drums', 'bass'] and [*two]==['accompaniment'] and all(v.shape==wav.shape and v.dtype==np.float32 for v in (four | two).values())
        assert rms(four['bass'])/rms(wav)==pytest.approx(.3, abs=.01) and rms(two['accompaniment'])/rms(wav)==pytest.approx(.2, abs=.01)
        with pytest.raises(DatasetError, match='Spleeter stopped'): separate(6*wav, 24000, 'drums+bass', 'spleeter')
        assert [*separate(wav, 24000, 'drums', 'spleeter')]==['drums'] # a new process
    finally: ds._spleeter_process.cache_clear()

def aist_tree(root):
    "A tree in the layout of AIST++"
    for d in ('splits', 'keypoints3d', 'wav'): (root/d).mkdir(parents=True)
    names = ['gBR_sBM_cAll_d04_mBR0_ch01', 'gHO_sBM_cAll_d19_mHO3_ch02', 'gPO_sFM_cAll_d10_mPO1_ch03']
    for split, n in (('train', names[:2]), ('val', []), ('test', names[2:])): (root/'splits'/f'crossmodal_{split}.txt').write_text('\n'.join(n))
    (root/'ignore_list.txt').write_text(names[1]+'\n')
    for i, n in enumerate(names):
        xyz = bouncer(100, 6, 60.).xyz; coco = xyz[:, [0, 2, 5, 7, 8, 11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28]]*[100, -100, -100] + [0, 90, 0]
        if i==0: coco[100:103] = np.nan
        with open(root/'keypoints3d'/f'{n}.pkl', 'wb') as f: pickle.dump(dict(keypoints3d=coco, keypoints3d_optim=coco), f, protocol=2 + i)
    t = np.arange(24000*7)
    for m, bpm in (('mBR0', 80), ('mHO3', 125), ('mPO1', 90)): save_wav(.5*np.exp(-(t % round(24000*60/bpm))/800)*np.sin(t*.1), 24000, root/'wav'/f'{m}.wav')
    return root

def test_aist(fast, tmp_path):
    root = aist_tree(tmp_path/'aist'); train, test = [*aist(root, 'train', seconds=3., stems='none')], [*aist(root, 'test', seconds=3., stems='none')]
    assert [r['url'] for r in train]==['gBR_sBM_cAll_d04_mBR0_ch01']*2 and [*aist(root, 'val')]==[] and len(test)==2
    assert train[0]['bpm']==80 and test[0]['bpm']==90 and train[0]['source']!=test[0]['source'] and train[0]['frames']==72
    a = record2arrays(train[0]); assert np.isfinite(a['pose']).all() and .3 < np.ptp(a['pose'][..., 1]) < 3 and set(train[0])==set(pair2record(Pose(a['pose'], 24.), a['codes'], a['beats'], 'x', 'y'))
    assert np.abs((a['beats'].times + .02) % .75 - .02).max() < .05
    write_shard(train+test, tmp_path/'set'/'shard-00000.parquet'); assert len(read_records(tmp_path/'set'))==4
    with pytest.raises(DatasetError, match='train'): aist(root, 'exam')
    with pytest.raises(DatasetError, match='splits'): aist(tmp_path/'nowhere', 'train')
    (root/'wav'/'mPO1.wav').unlink()
    with pytest.raises(DatasetError, match='mPO1.wav'): [*aist(root, 'test')]

def test_pickles_do_nothing(tmp_path):
    class Evil:
        def __reduce__(self): return os.system, ('touch owned',)
    for i, bad in enumerate((Evil(), [Evil()], np.array([Evil()], object))):
        (tmp_path/'p').write_bytes(pickle.dumps(bad))
        with pytest.raises(DatasetError): read_pickle(tmp_path/'p')
    (tmp_path/'p').write_bytes(b'not a pickle')
    with pytest.raises(DatasetError): read_pickle(tmp_path/'p')
    assert not Path('owned').exists()
    for protocol in range(2, 6):
        x = dict(a=np.arange(6.).reshape(2, 3), n=np.float32(2), s='x', l=[1, 2]); (tmp_path/'p').write_bytes(pickle.dumps(x, protocol)); got = read_pickle(tmp_path/'p')
        assert (got['a']==x['a']).all() and got['n']==2 and got['l']==[1, 2]

def test_smpl_joints():
    p = joints2pose(np.random.default_rng(0).normal(size=(5, 24, 3)), 60.); assert p.xyz.shape==(5, 33, 3) and np.isfinite(p.xyz).all()
    with pytest.raises(DatasetError): joints2pose(np.zeros((5, 20, 3)), 60.)

def test_dask(films, tmp_path):
    "Two worker processes, one of which is killed in the middle: the same set as in one process"
    pytest.importorskip('dask.distributed', reason='Dask is not installed: pip install "dance2music[cluster]"')
    from dask.distributed import Client, LocalCluster, WorkerPlugin
    class Quick(WorkerPlugin): # workers take the quick detector and codec, and a little time over each clip
        def setup(self, worker):
            import sys; sys.path.insert(0, str(Path(__file__).parent))
            import time, test_dataset, dance2music.dataset as d
            test_dataset.quick(pytest.MonkeyPatch()); real = d.clip2rows
            d.clip2rows = lambda *a, **k: (time.sleep(.4), real(*a, **k))[1]
    links = listed(tmp_path/'l.csv', [(films, '', '')]); killed = []
    with pytest.MonkeyPatch.context() as m: quick(m); want = content(build(links, tmp_path/'calm'))
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        Quick.__module__ = '__main__'; client.register_plugin(Quick()); pids = [*client.run(os.getpid).values()]; assert len(pids)==2
        def one_down(done, total, counts):
            if done==3 and not killed: os.kill(pids[0], 9); killed.append(1)
        out = build(links, tmp_path/'set', backend='dask', progress=one_down)
    assert killed and content(out)==want and len(read_records(out))==12 and not verdicts(out)['failed']

def test_ray(films, tmp_path):
    "Ray's workers make what one process makes (nobody dances in these films, and both say so)"
    ray = pytest.importorskip('ray', reason='Ray is not installed: pip install "ray[default]"')
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', 0, 4), ('gone.mp4', 0, 5)]); want = verdicts(build(links, tmp_path/'calm'))
    try: out = build(links, tmp_path/'set', backend='ray', workers=2)
    finally: ray.shutdown()
    assert verdicts(out)==want and len(want['rejected'])==2 and len(want['failed'])==1

def command(*args):
    from typer.testing import CliRunner
    import dance2music.cli as cli
    r = CliRunner().invoke(cli.app, ['build', *map(str, args)])
    if r.exception and not isinstance(r.exception, SystemExit): raise r.exception
    return r.exit_code, r.stdout, r.stderr

def test_command(fast, films, tmp_path):
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', ''), ('gone.mp4', 0, 5)])
    code, out, err = command(links, '--out', tmp_path/'set', '--seconds', 2, '--workers', 1, '--stems', 'none')
    assert code==0 and '3 records' in out and '1 failed' in out and 'failed.csv' in out
    assert command(links, '--out', tmp_path/'set', '--seconds', 2, '--workers', 1, '--stems', 'none', '--json')[1].startswith('{')
    code, out, err = command(links, '--out', tmp_path/'set', '--seconds', 3); assert code==2 and 'seconds=2.0' in err and err.count('\n')==1
    assert command(tmp_path/'none.csv', '--out', tmp_path/'x')[0]==2

def test_command_stops_kindly(fast, films, tmp_path, monkeypatch):
    links = listed(tmp_path/'l.csv', [(films/'0.mp4', '', '')])
    def stop(*a, **k): raise KeyboardInterrupt
    monkeypatch.setattr(ds, 'clip2rows', stop); code, out, err = command(links, '--out', tmp_path/'set', '--seconds', 2, '--workers', 1)
    assert code==130 and 'run the same line again' in err

def test_real_clip(tmp_path):
    "Nothing is faked: the shipped dancer, the shipped codec, two processes"
    from dance2music.media import dub
    t = np.arange(9*24000)/24000; kicks = .6*np.exp(-(t % .625)*12)*np.sin(400*np.exp(-(t % .625)*9)) # 96 BPM
    dub(asset('clip.mp4'), kicks.astype(np.float32), 24000, tmp_path/'a.mp4')
    out = build_dataset(listed(tmp_path/'l.csv', [('a.mp4', 0, 9)]), tmp_path/'set', seconds=4, workers=2)
    rows = read_records(out); assert [r['start'] for r in rows]==[0, 4] and all(min(abs(r['bpm']/b-1) for b in (48, 96, 192)) < .04 for r in rows)
    assert all(record2arrays(r)['codes'].shape==(6, 200) for r in rows)
