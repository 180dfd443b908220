"Reading and writing real files: frame rates, clocks, rotation, codecs, failures. Everything is drawn and encoded here"
import errno, os, subprocess, sys, textwrap
from fractions import Fraction
from pathlib import Path
import av, numpy as np, pytest
from dance2music import media
from dance2music.media import MediaError, asset, dub, listen, probe, save_wav, video2audio, video2frames

SHARED = Path(__file__).resolve().parents[2]/'shared'
CLIPS = sorted((SHARED/'clips').glob('*.mp4'))
SR = 24000


def numbered(i, w, h):
    "A picture that carries its number: eight upright bands, black or white, one for each bit"
    bits = np.array([40+170*(i>>b&1) for b in range(8)], np.uint8)
    return np.repeat(np.tile(bits.repeat(w//8), (h,1))[...,None], 3, 2)


def make(path, times, size=(160,96), codec='libx264', rate=30, draw=numbered, turn=None, flip=(False,False), offset=0, tb=Fraction(1,600), wav=None, options=None):
    with av.open(str(path), 'w') as c:
        s = c.add_stream(codec, rate=rate, options=options or {})
        s.width,s.height,s.pix_fmt = *size,'yuv420p'
        s.codec_context.time_base = tb
        if turn is not None: s.set_display_rotation(turn, *flip)
        if wav is not None: a = c.add_stream('aac', rate=48000, layout='mono'); a.codec_context.open()
        for i,t in enumerate(times):
            f = av.VideoFrame.from_ndarray(draw(i,*size), format='rgb24')
            f.pts,f.time_base = round((t+offset)/tb),tb
            c.mux(s.encode(f))
        c.mux(s.encode(None))
        if wav is not None:
            for p in media._audio_packets(wav[:,None], SR, a): c.mux(p)
    return Path(path)


def numbers(frames): return [sum(int(b.mean()>125)<<i for i,b in enumerate(np.split(f, 8, axis=1))) for f in frames]
def packets(path):
    with av.open(str(path)) as c: return [bytes(p) for p in c.demux(video=0) if p.size]
def onscreen(times, fps, n, start=0): return [int(np.searchsorted(times, start+k/fps+.002, side='right'))-1 for k in range(n)]
def click(at, seconds):
    wav = np.zeros(int(seconds*SR), np.float32); i = int(at*SR)
    wav[i:i+240] = .8*np.sin(2*np.pi*1000*np.arange(240)/SR)
    return wav
def onset(wav): return int(np.argmax(np.abs(wav)>.2*np.abs(wav).max()))/SR
def names(folder): return sorted(p.name for p in Path(folder).iterdir())


# ---- pictures by timestamp

@pytest.mark.parametrize('rate', [12, 24, 25, 30, 50, 60])
def test_steady_rates(tmp_path, rate):
    times = np.arange(2*rate)/rate
    path = make(tmp_path/'v.mp4', times, rate=rate)
    got = numbers(video2frames(path))
    assert len(got)==48 and got==onscreen(times, 24, 48)


@pytest.mark.parametrize('ext,codec', [('mp4','libx264'), ('mkv','libx264'), ('webm','libvpx')])
def test_variable_rate(tmp_path, ext, codec):
    times = np.cumsum(np.random.default_rng(0).choice([1/60,1/30,2/30,.4], 60)); times -= times[0]
    path = make(tmp_path/f'v.{ext}', times, codec=codec)
    got = numbers(video2frames(path)); want = onscreen(times, 24, len(got))
    assert got==want and abs(len(got)-24*probe(path).seconds)<=.51


def test_millisecond_clock_neither_skips_nor_repeats(tmp_path):
    path = make(tmp_path/'v.webm', np.arange(48)/24, codec='libvpx', tb=Fraction(1,1000))
    assert numbers(video2frames(path))==list(range(48))


def test_start_end_and_seek(tmp_path):
    times = np.arange(240)/30
    path = make(tmp_path/'v.mp4', times, options={'g':'30'})
    whole = numbers(video2frames(path))
    for start,end in ((0,1), (.5,2), (3.,4.25), (7.5,None), (7.5,99)):
        got = numbers(video2frames(path, start=start, end=end))
        n = round((min(end or 8, 8)-start)*24)
        assert len(got)==n and got==whole[round(start*24):round(start*24)+n]


def test_seek_without_a_useful_index(tmp_path):
    for name in ('v.ts','v.mkv'):
        path = make(tmp_path/name, np.arange(120)/30, options={'g':'1000'})
        assert numbers(video2frames(path, start=2.5, end=3))==[round(x) for x in onscreen(np.arange(120)/30, 24, 12, 2.5)]


def test_first_picture_is_second_zero(tmp_path):
    path = make(tmp_path/'v.mp4', np.arange(60)/30, offset=1.5, wav=click(2.5, 4))
    assert numbers(video2frames(path))==onscreen(np.arange(60)/30, 24, 48)
    assert abs(onset(video2audio(path))-1.)<.002       # 2.5 s in the file, 1 s after the first picture
    out = dub(path, click(.75, 2), SR, tmp_path/'o.mp4')
    assert packets(out)==packets(path) and abs(onset(video2audio(out))-.75)<.002 and abs(probe(out).seconds-2)<.01


def test_trimmed_clip_hides_its_first_pictures(tmp_path):
    "Phones trim by an edit list: packets before second 0 are needed to decode, but are not shown"
    path = make(tmp_path/'v.mp4', np.arange(60)/30, offset=-.5)
    shown = numbers(video2frames(path))
    assert shown==[15+i for i in onscreen(np.arange(45)/30, 24, 36)] and abs(probe(path).seconds-1.5)<.04
    out = dub(path, click(.6, 2), SR, tmp_path/'o.mp4')
    assert packets(out)==packets(path) and numbers(video2frames(out))==shown and abs(onset(video2audio(out))-.6)<.002


def test_avi_keeps_the_order_and_raw_counts(tmp_path):
    times = np.arange(60)/30
    got = numbers(video2frames(make(tmp_path/'b.avi', times, options={'bf':'2','x264-params':'b-adapt=0'}, tb=Fraction(1,30))))
    assert got[:46]==onscreen(times, 24, 46) and abs(len(got)-48)<=1       # AVI stores no display times: the end is a guess
    raw = make(tmp_path/'r.h264', times, tb=Fraction(1,30))
    assert sorted(set(numbers(video2frames(raw))))==numbers(video2frames(raw))
    with pytest.raises(MediaError, match='convert it to mp4'): dub(raw, click(0,1), SR, tmp_path/'o.mp4')
    with pytest.raises(MediaError, match='convert it to mp4'): dub(tmp_path/'b.avi', click(0,1), SR, tmp_path/'o.mp4')
    assert names(tmp_path)==['b.avi','r.h264']


def test_frames_are_separate_contiguous_and_exact(tmp_path):
    ramp = lambda i,w,h: np.repeat(np.tile(np.linspace(20,230,w).astype(np.uint8), (h,1))[...,None], 3, 2)
    path = make(tmp_path/'v.mp4', np.arange(6)/12, size=(600,360), draw=ramp)
    frames = list(video2frames(path))
    for f in frames:
        assert f.shape==(360,600,3) and f.dtype==np.uint8 and f.flags.c_contiguous
        assert np.abs(f.astype(int)-ramp(0,600,360)).max()<12
    a = frames[1].copy(); frames[0][:] = 0
    assert (frames[1]==a).all()
    assert next(video2frames(path, max_side=150)).shape==(90,150,3)


@pytest.mark.skipif(not Path('/proc/self/statm').exists(), reason='reads /proc')
def test_memory_does_not_grow(tmp_path):
    path = make(tmp_path/'v.mp4', np.arange(600)/60, size=(320,192), rate=60)
    rss = lambda: int(Path('/proc/self/statm').read_text().split()[1])*os.sysconf('SC_PAGE_SIZE')/2**20
    at = [rss() for f in video2frames(path, fps=60)]
    assert len(at)==600 and at[-1]-at[300]<30      # the second half alone would be 53 MiB


# ---- rotation

QUAD = np.array([[[255,0,0],[0,255,0]],[[0,0,255],[255,255,255]]], np.uint8)
def quad(i, w, h): return np.ascontiguousarray(QUAD.repeat(h//2,0).repeat(w//2,1))
def corners(img):
    h,w = img.shape[:2]
    return np.stack([img[h//4,[w//4,3*w//4]], img[3*h//4,[w//4,3*w//4]]])>128

@pytest.mark.parametrize('flip', [(False,False), (True,False), (False,True)])
@pytest.mark.parametrize('turn', [0, 90, 180, -90])
def test_eight_orientations(tmp_path, turn, flip):
    path = make(tmp_path/'v.mp4', np.arange(3)/30, draw=quad, turn=turn, flip=flip)
    want = np.rot90(QUAD, turn//90)
    if flip[0]: want = want[:,::-1]
    if flip[1]: want = want[::-1]
    img,info = next(video2frames(path)),probe(path)
    assert (corners(img)==(want>128)).all() and img.flags.c_contiguous
    assert img.shape[:2]==(info.height,info.width)==((160,96) if turn%180 else (96,160))
    if not any(flip): assert info.rotation==-turn%360
    for ext in ('mp4','mov','mkv'):
        out = dub(path, click(0,.1), SR, tmp_path/f'o.{ext}')
        assert (corners(next(video2frames(out)))==(want>128)).all()


# ---- sound

def test_mono_mix_and_rates(tmp_path):
    t = np.arange(SR)/SR; tone = (.5*np.sin(2*np.pi*440*t)).astype(np.float32)
    both = video2audio(save_wav(np.stack([tone,tone]), SR, tmp_path/'s.wav'))
    left = video2audio(save_wav(np.stack([tone,0*tone], 1), SR, tmp_path/'l.wav'))
    assert np.abs(both-tone).max()<1e-4 and np.abs(left-tone/2).max()<1e-4 and both.dtype==np.float32
    for sr in (16000,44100):
        w = video2audio(tmp_path/'s.wav', sr)
        assert abs(len(w)-sr)<=2 and abs(np.abs(np.fft.rfft(w)).argmax()*sr/len(w)-440)<1.5


def test_cover_picture_is_no_video(tmp_path):
    with av.open(str(tmp_path/'song.m4a'), 'w', format='mp4') as c:
        a = c.add_stream('aac', rate=48000, layout='mono'); a.codec_context.open()
        v = c.add_stream('mjpeg', rate=25); v.width = v.height = 32; v.pix_fmt = 'yuvj420p'
        v.disposition = av.stream.Disposition.attached_pic
        f = av.VideoFrame(32, 32, 'yuvj420p'); f.pts = 0
        for p in v.encode(f)+v.encode(None): c.mux(p)
        for p in media._audio_packets(click(.5,1)[:,None], SR, a): c.mux(p)
    with pytest.raises(MediaError, match='no video stream'): probe(tmp_path/'song.m4a')
    assert abs(onset(video2audio(tmp_path/'song.m4a'))-.5)<.002


def test_listen():
    noise = np.random.default_rng(0).normal(0, .2, (2,5*SR))
    for wav,sr in ((noise[0],SR), (noise,SR), (noise.T,SR), (noise[0][:5*11025],11025), (noise[0],48000)):
        p = listen(wav, sr)
        assert len(p.data)*4/3<80_000 and len(p.data)<60_000 and 'data:audio/mpeg;base64' in p._repr_html_()
    with av.open(__import__('io').BytesIO(listen(noise[0],SR).data)) as c: assert c.format.name=='mp3'


# ---- dubbing

@pytest.mark.parametrize('ext', ['mp4','mov','mkv','m4v'])
@pytest.mark.parametrize('sr,seconds', [(24000,5), (44100,.3), (48000,2)])
def test_dub_copies_packets_and_fits_sound(tmp_path, ext, sr, seconds):
    path = make(tmp_path/'v.mp4', np.arange(60)/30, wav=click(.1,2), options={'bf':'2','x264-params':'b-adapt=0'})
    t = np.arange(int(seconds*sr))/sr
    out = dub(path, (.3*np.sin(2*np.pi*500*t)).astype(np.float32), sr, tmp_path/f'o.{ext}')
    back = video2audio(out)
    assert packets(out)==packets(path) and numbers(video2frames(out))==numbers(video2frames(path))
    assert abs(probe(out).seconds-2)<.01 and abs(len(back)/SR-2)<.03
    loud = np.abs(back)>.05
    assert abs(np.flatnonzero(loud)[-1]/SR-min(seconds,2))<.03
    assert names(tmp_path)==sorted(['v.mp4',f'o.{ext}'])


@pytest.mark.parametrize('ext', ['mp4','mkv'])
def test_dub_is_in_time(tmp_path, ext):
    path = make(tmp_path/'v.mp4', np.arange(90)/30)
    for channels in (1,2):
        back = video2audio(dub(path, np.repeat(click(1.2,3)[:,None], channels, 1), SR, tmp_path/f'o.{ext}'))
        assert abs(onset(back)-1.2)<.002


def test_dub_interleaves_and_starts_fast(tmp_path):
    out = dub(make(tmp_path/'v.mp4', np.arange(180)/30), click(1,6), SR, tmp_path/'o.mp4')
    data = out.read_bytes()
    assert data.index(b'moov')<data.index(b'mdat')
    with av.open(str(out)) as c: when = [float(p.dts*p.time_base) for p in c.demux() if p.size]
    assert max(np.maximum.accumulate(when)-when)<1.1


def test_dub_over_itself_and_keeps_metadata(tmp_path):
    path = make(tmp_path/'v.mp4', np.arange(30)/30)
    with av.open(str(path)) as c, av.open(str(tmp_path/'t.mp4'), 'w') as o:
        o.metadata['comment'] = 'bpm=100'
        s = o.add_stream_from_template(c.streams.video[0])
        for p in c.demux(video=0):
            if p.dts is not None: p.stream = s; o.mux(p)
    before = packets(path)
    out = dub(tmp_path/'t.mp4', click(0,1), SR, tmp_path/'t.mp4')
    assert packets(out)==before
    with av.open(str(out)) as c: assert c.metadata['comment']=='bpm=100' and len(c.streams)==2


def encoder(name):
    try: av.Codec(name, 'w')
    except Exception: return False
    return True

@pytest.mark.parametrize('codec,first,fits', [('libx265','mkv','mp4 mov mkv'), ('libvpx','webm','mkv'), ('libvpx-vp9','webm','mp4 mkv'), ('mpeg4','avi','mp4 mov mkv')])
def test_codecs(tmp_path, codec, first, fits):
    if not encoder(codec): pytest.skip(f'this PyAV has no {codec}')
    path = make(tmp_path/f'v.{first}', np.arange(20)/30, codec=codec, tb=Fraction(1,30), options={'x265-params':'log-level=none'} if codec=='libx265' else {})
    for ext in ('mp4','mov','mkv'):
        out = tmp_path/f'o.{ext}'
        if ext in fits:
            assert packets(dub(path, click(0,1), SR, out))==packets(path) and numbers(video2frames(out))==numbers(video2frames(path))
            with av.open(str(out)) as c:
                if codec=='libx265' and ext!='mkv': assert c.streams.video[0].codec_context.codec_tag=='hvc1'
        else:
            with pytest.raises(MediaError, match='cannot hold'): dub(path, click(0,1), SR, out)
    assert names(tmp_path)==sorted([path.name]+[f'o.{e}' for e in fits.split()])


# ---- failures

def one_line(e): assert '\n' not in str(e.value) and len(str(e.value))<300

def test_unreadable_inputs(tmp_path):
    (tmp_path/'text.mp4').write_text('hello'); (tmp_path/'empty.mp4').touch(); save_wav(click(0,1), SR, tmp_path/'s.wav')
    cut = make(tmp_path/'cut.mp4', np.arange(60)/30); cut.write_bytes(cut.read_bytes()[:2000])
    
    with av.open(str(tmp_path/'none.mkv'), 'w') as c:
        v = c.add_stream('libx264', rate=30); v.width = v.height = 64; v.pix_fmt = 'yuv420p'
        a = c.add_stream('aac', rate=48000, layout='mono'); a.codec_context.open()
        for p in media._audio_packets(click(0,1)[:,None], SR, a): c.mux(p)
    for name,words in (('missing.mp4','no such file'), ('text.mp4','cannot be read'), ('empty.mp4','cannot be read'), ('cut.mp4','cannot be read'),
                       ('','is a folder'), ('s.wav','no video stream'), ('none.mkv','zero frames')):
        for f in (probe, lambda p: next(video2frames(p)), lambda p: dub(p, click(0,1), SR, tmp_path/'o.mp4')):
            with pytest.raises(MediaError, match=words) as e: f(tmp_path/name)
            one_line(e)
    with pytest.raises(MediaError, match='no such file'): video2frames(tmp_path/'missing.mp4')   # at the call, not at the first picture
    with pytest.raises(MediaError, match='no audio stream'): video2audio(make(tmp_path/'v.mp4', np.arange(5)/30))
    assert not (tmp_path/'o.mp4').exists() and not [n for n in names(tmp_path) if n.startswith('.')]


def test_damaged_middle_still_reads(tmp_path):
    path = make(tmp_path/'v.mkv', np.arange(120)/30, size=(160,96), options={'g':'10'},
                draw=lambda i,w,h: np.random.default_rng(i).integers(0,255,(h,w,3),dtype=np.uint8))
    data = bytearray(path.read_bytes()); n = len(data)
    data[n//2:n//2+2000] = os.urandom(2000); path.write_bytes(data)
    assert 80<len(list(video2frames(path)))<=97
    path.write_bytes(data[:n//3]); assert len(list(video2frames(path)))>20


def test_bad_arguments(tmp_path):
    path = make(tmp_path/'v.mp4', np.arange(30)/30)
    for kw,words in ((dict(fps=0),'fps'), (dict(start=-1),'start'), (dict(start=.5,end=.5),'after start')):
        with pytest.raises(MediaError, match=words): video2frames(path, **kw)
    with pytest.raises(MediaError, match='nothing to show after 5 s'): next(video2frames(path, start=5))
    for wav,sr,words in ((np.zeros(0),SR,'shape'), (np.zeros((5,3)),SR,'shape'), (np.full(9,np.nan),SR,'NaN'), (np.zeros(9),0,'sample rate')):
        for f in (lambda: dub(path, wav, sr, tmp_path/'o.mp4'), lambda: save_wav(wav, sr, tmp_path/'o.wav'), lambda: listen(wav, sr)):
            with pytest.raises(MediaError, match=words) as e: f()
            one_line(e)
    for out,words in (('o.avi','must end in'), ('no/o.mp4','does not exist')):
        with pytest.raises(MediaError, match=words): dub(path, click(0,1), SR, tmp_path/out)
    with pytest.raises(MediaError, match='does not exist'): save_wav(click(0,1), SR, tmp_path/'no'/'o.wav')
    assert names(tmp_path)==['v.mp4']


@pytest.mark.parametrize('code,words', [(errno.ENOSPC,'disk is full'), (errno.EACCES,'not writable'), (errno.EROFS,'not writable'), (errno.EIO,'cannot be written')])
def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch, code, words):
    path = make(tmp_path/'v.mp4', np.arange(30)/30); (tmp_path/'o.mp4').write_text('old')
    def fail(c, wav, sr, tmp, *_): tmp.write_bytes(b'half'); raise OSError(code, os.strerror(code))
    monkeypatch.setattr(media, '_mux', fail)
    with pytest.raises(MediaError, match=words) as e: dub(path, click(0,1), SR, tmp_path/'o.mp4')
    one_line(e)
    assert names(tmp_path)==['o.mp4','v.mp4'] and (tmp_path/'o.mp4').read_text()=='old'


def test_interrupt_cleans_up(tmp_path, monkeypatch):
    path = make(tmp_path/'v.mp4', np.arange(30)/30)
    def stop(c, wav, sr, tmp, *_): tmp.write_bytes(b'half'); raise KeyboardInterrupt
    monkeypatch.setattr(media, '_mux', stop)
    with pytest.raises(KeyboardInterrupt): dub(path, click(0,1), SR, tmp_path/'o.mp4')
    assert names(tmp_path)==['v.mp4']


@pytest.mark.skipif(sys.platform=='win32', reason='needs resource limits')
def test_real_write_failure_in_the_muxer(tmp_path):
    "A file size limit makes the operating system refuse the bytes, as a full disk does"
    noise = lambda i,w,h: np.random.default_rng(i).integers(0,255,(h,w,3),dtype=np.uint8)
    make(tmp_path/'v.mp4', np.arange(30)/30, draw=noise)
    (tmp_path/'o.mp4').write_text('old')
    code = textwrap.dedent('''
        import os, resource, signal, numpy as np
        from dance2music.media import MediaError, dub, save_wav
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,100_000))
        for f,a,out in ((dub,'v.mp4','o.mp4'), (dub,'v.mp4','o.mkv'), (save_wav,None,'o.wav')):
            try: f(*([a] if a else []), np.random.rand(240000), 24000, out); print('NO ERROR')
            except MediaError as e: print(e)''')
    r = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, capture_output=True, text=True)
    assert r.stdout.count('beyond the size')==3, r.stdout+r.stderr
    assert names(tmp_path)==['o.mp4','v.mp4'] and (tmp_path/'o.mp4').read_text()=='old'


@pytest.mark.skipif(not Path('/proc/self').exists(), reason='needs a folder in which nobody can write')
def test_unwritable_folder(tmp_path):
    path = make(tmp_path/'v.mp4', np.arange(10)/30)
    for f in (lambda: dub(path, click(0,1), SR, '/proc/o.mp4'), lambda: save_wav(click(0,1), SR, '/proc/o.wav')):
        with pytest.raises(MediaError, match='no file can be created|not writable') as e: f()
        one_line(e)


def test_asset():
    assert asset('pose_landmarker_full.task').is_file()
    with pytest.raises(MediaError, match='nothing.bin.*force-reinstall'): asset('nothing.bin')


# ---- real clips

@pytest.mark.skipif(not CLIPS, reason='no real clips beside this checkout (../shared/clips)')
@pytest.mark.parametrize('path', CLIPS, ids=lambda p: p.stem)
def test_real_clips(tmp_path, path):
    info = probe(path)
    n = 0
    for f in video2frames(path):
        n += 1
        assert f.shape==(info.height,info.width,3) and f.flags.c_contiguous
    assert n==int(info.seconds*24+.5)
    wav = video2audio(path); assert abs(len(wav)/SR-info.seconds)<.3 and np.abs(wav).max()<=1.5
    out = dub(path, click(1,info.seconds), SR, tmp_path/'o.mp4')
    assert packets(out)==packets(path) and abs(onset(video2audio(out))-1)<.002
    assert abs(probe(out).seconds-info.seconds)<.01


def test_dub_does_not_overshoot(tmp_path):
    "Loud music must not clip once it is AAC (at 96 kbit/s this piece came back with a peak of 1.29)"
    from dance2music.groove import groove
    y = groove(120, 'house', 5, seed=1).wav
    out = dub(asset('clip.mp4'), y, 24000, tmp_path/'out.mp4')
    assert abs(y).max() < .9 and abs(video2audio(out, 48000)).max() < 1
