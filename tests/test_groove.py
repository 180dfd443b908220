"Music and dance with known beats, beyond what the notebook shows"
import importlib.util, sys
from pathlib import Path
import numpy as np, pytest
from scipy import signal
from dance2music.groove import (ARMS, CHANNELS, DANCES, DRUMS, FEET, GM_DRUMS, SR, STYLES, TIMINGS, Clock, bank, beat2time, choreograph, detector_noise,
                                groove, limit, master, pick_midi, pose_error, random_beats, read_midi, sidechain, steps2hits, swing, true_peaks)
from dance2music.pose import BONES, Pose
from dance2music.rhythm import Beats, pose2beats

ROOT = Path(__file__).resolve().parents[1]
GMD = ROOT.parent/'shared'/'data'/'groove_midi'
styles = pytest.mark.parametrize('style', [*STYLES])
needs_mido = pytest.mark.skipif(importlib.util.find_spec('mido') is None, reason='mido is not installed: pip install mido')
def beats_of(style, bpm=110, seconds=4., start=.2): return Beats.steady(bpm, seconds, start=start, meter=STYLES[style].meter)


# ---- sound

@styles
def test_seeds_differ_and_repeat(style):
    a, b, c = (groove(beats_of(style), style, 3, seed, energy=.8).wav for seed in (4, 4, 5))
    assert np.array_equal(a, b) and a.dtype == np.float32 and a.shape == (3*SR,)
    n = np.fft.rfft([a, c], 2*len(a)); r = np.abs(np.fft.irfft(n[0]*np.conj(n[1]))).max()/np.linalg.norm(a)/np.linalg.norm(c)
    assert r < .9, 'two seeds sound alike'

@styles
def test_loud_enough_and_never_over(style):
    import pyloudnorm
    m = groove(beats_of(style), style, 5, 7)
    assert abs(pyloudnorm.Meter(SR).integrated_loudness(m.wav.astype(float))+14) < 1
    assert np.abs(signal.resample_poly(m.wav.astype(float), 8, 1)).max() < 10**(-1/20) # finer than the limiter looks

@pytest.mark.parametrize('bpm,start', [(61.7, 0.), (120, .37), (173.3, .01)])
def test_kicks_fall_on_the_sample(monkeypatch, bpm, start):
    from dataclasses import replace
    monkeypatch.setitem(STYLES, 'bare', replace(STYLES['techno'], name='bare', drums=dict(kick=['X...X...X...X...']), bass=['.'*16], chords=['.'*16], reverb=0., sidechain=0.))
    beats = Beats.steady(bpm, 6, start=start); wav = groove(beats, 'bare', 6, energy=.4).wav
    for t in beats.times[1:-1]: # sound from the sample on, and, where the kick before has had time to end, silence up to it
        i = round(t*SR); assert np.abs(wav[i:i+40]).max() > 1e-3
        if 60/bpm > .36: assert np.abs(wav[i-40:i]).max() < 1e-6

def test_beats_are_those_given():
    b = Beats([.1, .62, 1.1, 1.7, 2.2, 2.8], 110, downbeat=2); m = groove(b, 'funk', 3)
    assert m.beats is b and np.array_equal(m.beats.downbeats, b.times[2::4])
    w = groove(b, 'waltz', 3).beats
    assert w.meter == 3 and np.array_equal(w.times, b.times) and w.downbeat == 2
    h = groove(100, 'house', 4); np.testing.assert_allclose(h.beats.times, np.arange(len(h.beats))*.6, atol=1e-9)
    np.testing.assert_allclose(h.beats.downbeats, np.arange(0, 4, 2.4), atol=1e-9)

@pytest.mark.parametrize('b', [Beats.steady(97, 5, .2), Beats([0, .5, 1.1, 1.8], 100, downbeat=2), Beats([3.], 60)])
def test_beat2time_inverts_phase(b):
    p = np.linspace(-5, 20, 101); np.testing.assert_allclose(b.phase(beat2time(b, p)), p, atol=1e-9)

def test_rate_changes_nothing_but_the_rate():
    a, b = groove(110, 'disco', 2, 3), groove(110, 'disco', 2, 3, sr=48000)
    assert b.wav.shape == (96000,) and a.wav.shape == (48000,)
    e = lambda m: np.sqrt((m.wav.reshape(40, -1)**2).mean(1)); assert np.corrcoef(e(a), e(b))[0, 1] > .9

def test_energy_takes_layers_away():
    loud = [np.abs(signal.stft(groove(120, 'house', 4, 1, energy=e).wav, SR, nperseg=512)[2]).std() for e in (0, 1)]
    assert groove(120, 'house', 4, 1, energy=0).energy.tolist() == [0, 0, 0] and loud[0] != loud[1]
    assert groove(120, 'house', 8, 1, energy=[.2, .9]).energy.tolist() == [.2, .9, .2, .9, .2]
    a, b = (groove(120, 'techno', 4, 1, energy=e).wav for e in (.05, .8)); low = lambda x: np.abs(np.fft.rfft(x))[:600].sum()/np.abs(np.fft.rfft(x)).sum()
    assert low(a) < low(b), 'at the bottom the kick and the bass are silent'

@pytest.mark.parametrize('kw,why', [(dict(style='polka'), 'choose one of'), (dict(seconds=0), 'seconds must'), (dict(seconds=-1), 'seconds must'), (dict(seconds=np.nan), 'seconds must'),
    (dict(seconds=1e9), '900'), (dict(seconds='5'), 'seconds must'), (dict(sr=8000), '16000'), (dict(sr=24000.5), 'whole'), (dict(energy=np.nan), '0..1'), (dict(energy=[]), '0..1'),
    (dict(energy=[.5, 2]), '0..1'), (dict(energy=[[.5]]), '0..1'), (dict(energy='loud'), '0..1'), (dict(beats=np.nan), 'bpm'), (dict(beats=0), 'bpm'), (dict(beats=-120), 'bpm')])
def test_groove_refuses(kw, why):
    with pytest.raises(ValueError, match=why.replace('.', r'\.')) as e: groove(**(dict(beats=120) | kw))
    assert '\n' not in str(e.value)

def test_very_short_and_before_the_first_beat():
    assert groove(120, 'house', .05).wav.shape == (1200,)
    m = groove(Beats.steady(120, 33, start=30), 'house', 2) # the grid begins after the clip: it is carried back
    assert np.abs(m.wav).max() > .01

def test_master_leaves_silence_alone():
    assert not master(np.zeros(SR)).any()
    assert np.isfinite(groove(120, 'waltz', 2, energy=0).wav).all()
    x = np.random.default_rng(0).standard_normal(SR); assert true_peaks(limit(5*x, .5)).max() < .52

def test_drum_machine_parts():
    assert steps2hits('....').shape == (0, 2) and steps2hits('X..x', 3)[1].tolist() == [2.25, .75]
    np.testing.assert_allclose(swing([0, .25, .5, .75, 1.1], .5), [0, .375, .5, .875, 1.1])
    g = sidechain(SR, [.5, 2.], .8); assert g.min() >= .2-1e-9 and g[0] == 1 and (sidechain(SR, [], .8) == 1).all()
    for d in DRUMS:
        for x in bank(d): assert np.isfinite(x).all() and np.abs(x).max() > .1 and np.abs(x).max() < 4 and len(x) <= .36*SR

@styles
def test_random_beats_cover(style):
    for i in range(20):
        b = random_beats(style, 5, np.random.default_rng(i))
        assert 0 <= b.times[0] < 60/b.bpm and b.times[-1] > 5-2*60/b.bpm and b.meter == STYLES[style].meter


# ---- human drums

def write_midi(path, hits, numerator=None, tempo=120, ppq=480, channel=9):
    mido = pytest.importorskip('mido'); track, now = mido.MidiTrack(), 0
    if tempo: track.append(mido.MetaMessage('set_tempo', tempo=round(60e6/tempo)))
    if numerator: track.append(mido.MetaMessage('time_signature', numerator=numerator, denominator=4))
    for p, n, v in hits: track.append(mido.Message('note_on', channel=channel, note=n, velocity=v, time=round(p*ppq)-now)); now = round(p*ppq)
    mido.MidiFile(ticks_per_beat=ppq, tracks=[track]).save(path); return path

LATE = [(b+(.06 if b % 2 else 0), 38 if b % 2 else 36, 50+10*b) for b in range(8)]

@needs_mido
def test_timing_and_velocity_are_kept(tmp_path):
    hits = read_midi(write_midi(tmp_path/'a.mid', LATE, 4))
    np.testing.assert_allclose([p for p, *_ in hits], [p for p, *_ in LATE], atol=2e-3)
    np.testing.assert_allclose([v for *_, v in hits], [v/127 for *_, v in LATE])
    assert [d for _, d, _ in hits] == ['kick', 'snare']*4

@needs_mido
def test_human_drums_follow_the_grid(tmp_path):
    f = write_midi(tmp_path/'d_1_funk_100_beat_4-4.mid', LATE); grid = Beats.steady(90, 6, start=.3, meter=4)
    a, b = groove(grid, 'funk', 6, 2, energy=.8, midi=f), groove(grid, 'funk', 6, 2, energy=.8, midi=tmp_path)
    assert np.array_equal(a.wav, b.wav) and a.report == dict(midi=f.name) and a.beats is grid
    assert not np.array_equal(a.wav, groove(grid, 'funk', 6, 2, energy=.8).wav)

@needs_mido
@pytest.mark.parametrize('early', [0, .04])
def test_bars_start_at_the_downbeat(tmp_path, early):
    hits = read_midi(write_midi(tmp_path/'a.mid', [(8-early, 36, 90), (9, 38, 90), (12-early, 36, 90)]))
    np.testing.assert_allclose([p for p, *_ in hits], [-early, 1, 4-early], atol=2e-3) # two empty bars go, a hit just before the line stays in its bar

@needs_mido
def test_tempo_is_named_or_written(tmp_path):
    named = write_midi(tmp_path/'x_1_funk_180_beat_4-4.mid', [(0, 36, 90), (2, 38, 90)], tempo=None) # no tempo inside: ticks at 120, played at 180
    np.testing.assert_allclose([p for p, *_ in read_midi(named)], [0, 3], atol=2e-3)
    slow, fast = (write_midi(tmp_path/n, LATE, 4, t) for n, t in (('slow.mid', 70), ('fast.mid', 170)))
    (tmp_path/'x_1_funk_180_beat_4-4.mid').unlink()
    for i in range(9): write_midi(tmp_path/f'more{i}.mid', LATE, 4, 170)
    assert slow not in {pick_midi(tmp_path, 'house', 160, np.random.default_rng(s)) for s in range(20)}

@needs_mido
def test_metre(tmp_path):
    four, three = write_midi(tmp_path/'four.mid', LATE, 4), write_midi(tmp_path/'three.mid', [(0, 36, 90), (1, 38, 80), (2, 38, 80), (3, 36, 90)], 3)
    with pytest.raises(ValueError, match='in 4/4, and 3/4 is needed'): groove(120, 'waltz', 2, midi=four)
    with pytest.raises(ValueError, match='in 3/4, and 4/4 is needed'): groove(120, 'house', 2, midi=three)
    assert groove(120, 'waltz', 2, midi=tmp_path).report == dict(midi='three.mid') and groove(120, 'house', 2, midi=tmp_path).report == dict(midi='four.mid')
    three.unlink()
    with pytest.raises(ValueError, match='no MIDI file in 3/4'): groove(120, 'waltz', 2, midi=tmp_path)

@needs_mido
def test_midi_refuses(tmp_path):
    def says(why, path):
        with pytest.raises(ValueError, match=why) as e: groove(120, 'house', 2, midi=path)
        assert '\n' not in str(e.value) and Path(path).name in str(e.value)
    says('no such folder', tmp_path/'nothing'); (tmp_path/'empty').mkdir(); says('no MIDI files', tmp_path/'empty')
    bad = tmp_path/'bad.mid'; bad.write_bytes(b'not a midi file'); says('not a MIDI file', bad)
    whole = write_midi(tmp_path/'ok.mid', LATE, 4).read_bytes(); bad.write_bytes(whole[:len(whole)//2]); says('not a MIDI file|no drum hit', bad)
    says('no drum hit', write_midi(tmp_path/'piano.mid', [(0, 60, 90)], 4, channel=0))

def test_without_mido(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'mido', None); f = tmp_path/'a.mid'; f.write_bytes(b'')
    with pytest.raises(ImportError, match='pip install'): read_midi(f)

def test_general_midi_is_mapped(): assert set(GM_DRUMS.values()) == set(DRUMS) and set(GM_DRUMS) <= set(range(22, 82))

@needs_mido
@pytest.mark.skipif(not GMD.is_dir(), reason='../shared/data/groove_midi (the Groove MIDI Dataset) is not here')
def test_the_real_dataset():
    for style, bpm in (('funk', 100), ('hip-hop', 90), ('waltz', 150)):
        m = groove(beats_of(style, bpm), style, 3, 1, midi=GMD, energy=.8)
        assert m.report['midi'].endswith(f'beat_{STYLES[style].meter}-4.mid') and np.abs(m.wav).max() > .1
    files = sorted(GMD.glob('*_beat_4-4.mid'))[::60]
    off = [p*4-round(p*4) for f in files for p, *_ in read_midi(f)]
    assert len(files) >= 5 and np.abs(off).mean() < .25 # a uniform jitter would have a mean of exactly 0.25: people keep to the grid, and not exactly
    assert np.abs(off).mean() > .01


# ---- dance

def spread(pose):
    x = pose.xyz.astype(float); L = np.stack([np.linalg.norm(x[:,i]-x[:,j], axis=-1) for i, j in BONES if (i, j) not in {(11, 23), (12, 24)}])
    return (np.ptp(L, axis=1)/L.mean(1)).max()

@styles
def test_dances(style):
    a, b, c = (choreograph(beats_of(style), style, s, seconds=4) for s in (3, 3, 4))
    assert a.xyz.shape == (96, 33, 3) and a.xyz.dtype == np.float32 and np.isfinite(a.xyz).all() and np.array_equal(a.xyz, b.xyz)
    assert np.abs(a.xyz-c.xyz).max() > .1 and max(spread(a), spread(c)) < .01

@pytest.mark.parametrize('fps', [12, 24, 29.97, 60])
def test_any_frame_rate(fps):
    p = choreograph(Beats.steady(110, 4), 'disco', 1, fps=fps, seconds=4)
    assert len(p) == round(4*fps) and p.fps == fps and spread(p) < .01

@pytest.mark.parametrize('meter', [3, 4])
@pytest.mark.parametrize('name', [*FEET, *ARMS])
def test_every_move_is_finite(name, meter):
    b = np.linspace(0, 12, 289); m = (FEET | ARMS)[name](Clock(b, b, meter, v=5))
    assert set(m) <= set(CHANNELS) and all(np.isfinite(v).all() for v in m.values())

def low(timing, phases=(0,)):
    "Height of the hips at the beats, against the mean, m (y points down)"
    b = Beats.steady(118, 5); at = np.concatenate([b.times[1:-1]+q*60/118 for q in phases]); out = []
    for i in range(6):
        h = -choreograph(b, 'techno', i, seconds=5, timing=timing, energy=.8).hips[:,1]; out.append(np.interp(at, np.arange(120)/24, h).mean()-h.mean())
    return np.mean(out)

def test_timing_on_before_against():
    assert low('on') < -.005 and low('against') > .005 and low('against', [.5]) < -.005
    assert low('before', [-.14]) < low('before') and low('before', [-.14]) < low('before', [.14]) # those who are early were lowest a little earlier

def test_on_is_readable_and_against_is_not():
    from dance2music.rhythm import beat_f
    def f(timing): return np.mean([beat_f(b, pose2beats(choreograph(b, [*DANCES][i], i, seconds=5, timing=timing), bpm=b.bpm)) for i in range(5) for b in [Beats.steady(90+12*i, 5)]])
    assert f('on') > .6 > .4 > f('against')

def test_freezes_at_energy_0():
    p = choreograph(Beats.steady(120, 8), 'house', 3, seconds=8, energy=[.9, .9, 0, .9])
    v = np.linalg.norm(np.diff(p.xyz, axis=0), axis=-1).mean(1)*24
    assert v[106:136].mean() < .1*v[:90].mean() and v[160:].mean() > .5*v[:90].mean()
    call = choreograph(120, 'funk', 1, seconds=4, energy=lambda b: np.where(b < 4, 1., 0.)); assert np.isfinite(call.xyz).all()

def test_yaw_turns_the_camera():
    a, b = (choreograph(110, 'disco', 2, yaw=y) for y in (0, 90)); d = lambda p: np.linalg.norm(p.xyz[:,11]-p.xyz[:,12], axis=-1)
    np.testing.assert_allclose(d(a), d(b), atol=1e-5); assert np.abs(a.xyz-b.xyz).max() > .1

@pytest.mark.parametrize('kw,why', [(dict(style='polka'), 'choose one of'), (dict(timing='late'), 'against'), (dict(seconds=0), 'seconds must'), (dict(seconds=np.nan), 'seconds must'),
    (dict(seconds=1e9), 'seconds must'), (dict(fps=0), 'fps must'), (dict(fps=np.inf), 'fps must'), (dict(energy=np.nan), '0..1'), (dict(energy=[1, -.1]), '0..1'), (dict(energy=[]), '0..1'),
    (dict(yaw=np.nan), 'yaw must'), (dict(beats=0), 'bpm'), (dict(beats=np.nan), 'bpm')])
def test_choreograph_refuses(kw, why):
    with pytest.raises(ValueError, match=why.replace('.', r'\.')) as e: choreograph(**(dict(beats=120) | kw))
    assert '\n' not in str(e.value)


# ---- the detector's noise

POSE = choreograph(Beats.steady(112, 8), 'disco', 2, seconds=8)

def test_noise_repeats_and_can_be_nothing():
    a, b = detector_noise(POSE, 3), detector_noise(POSE, 3)
    assert np.array_equal(a.xyz, b.xyz, equal_nan=True) and np.array_equal(a.visibility, b.visibility)
    assert np.array_equal(detector_noise(POSE, cm=0, dropout=0).xyz, POSE.xyz)
    assert not np.array_equal(a.xyz, detector_noise(POSE, 4).xyz, equal_nan=True)

def test_noise_is_as_large_as_measured():
    e = np.concatenate([detector_noise(POSE, s, 2.35, 0).xyz-POSE.xyz for s in range(10)])*100
    x, y, z = e.std((0, 1)); assert 2 < x < 2.8 and 2 < y < 2.8 and 6 < z < 8.5, 'depth is about three times as doubtful'
    assert e[:,15].std() > e[:,23].std(), 'hands more than hips'

def test_noise_wanders_and_travels():
    e = detector_noise(POSE, 5, 2., 0).xyz-POSE.xyz; e -= e.mean(0)
    r = lambda k: (e[k:]*e[:-k]).sum()/(e*e).sum()
    assert r(1) > .8 and abs(r(12)) < .2, 'the next frame is wrong in the same way, half a second later it is forgotten'
    assert np.corrcoef(e[:,15,2], e[:,19,2])[0, 1] > .9 > np.abs(np.corrcoef(e[:,15,2], e[:,16,2])[0, 1])

@pytest.mark.parametrize('rate', [0, .05, .2])
def test_dropout(rate):
    lost = np.isnan(np.stack([detector_noise(POSE, s, dropout=rate).xyz for s in range(4)]))
    assert abs(lost.mean()-rate) < .25*rate+1e-9 and (lost.all(-1) == lost.any(-1)).all()

def test_memory_and_swap():
    r = lambda m: (lambda e: (e[5:]*e[:-5]).sum()/(e*e).sum())(detector_noise(POSE, 1, 2., 0, memory=m).xyz-POSE.xyz)
    assert abs(r(0)) < .1 < r(.09) < r(.15)
    x = np.stack([detector_noise(POSE, s, 0, 0, swap=.2).xyz for s in range(4)]); mirrored = (x[:,:,15] == POSE.xyz[:,16]).all(-1)
    assert .1 < mirrored.mean() < .3 and (x[~mirrored] == np.stack([POSE.xyz]*4)[~mirrored]).all()

@pytest.mark.parametrize('kw', [dict(cm=-1), dict(cm=np.nan), dict(cm=np.inf), dict(dropout=2), dict(dropout=-.1), dict(dropout=np.nan), dict(memory=-1), dict(swap=2)])
def test_noise_refuses(kw):
    with pytest.raises(ValueError, match='cm must be'): detector_noise(POSE, **kw)

def test_pose_error_forgives_camera_scale_and_delay():
    c, s = np.cos(.2), np.sin(.2); R = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    seen = Pose(np.roll(POSE.xyz, 1, 0)@R.T*.8+[.1, .2, .3], 24)
    assert pose_error(POSE, seen)[2:-2].std() < .01 < np.std(seen.xyz-POSE.xyz)
    with pytest.raises(ValueError, match='clean'): pose_error(POSE, detector_noise(POSE, dropout=.1))


@pytest.mark.parametrize('style', STYLES)
def test_no_energy_is_no_movement(style):
    for seed in range(4): # turns included; what is left is the slow drift of a living body
        x = choreograph(110, style, seed=seed, energy=0).xyz
        assert np.linalg.norm(np.diff(x, axis=0), axis=-1).max()*24 < .35
