"Tempo and beats from movement and sound, beyond what the notebook shows"
from pathlib import Path
import subprocess, sys, time
import numpy as np, pytest
from dance2music.pose import Pose
from dance2music.rhythm import (RATE, TRACKER, Beats, RhythmError, Tempo, activations, audio2beats, bcs_bhs, beat_align, beat_f, beats2grid, chance,
                                comb_scores, kinematics, legacy_onsets, legacy_summary, load_tracker, motion_beats, phase_lock, points2features,
                                pose2activations, pose2beats, pose2tempo, tempo_error, tracker_net)

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT/'recipes'))

SHARED = Path(__file__).resolve().parents[2]/'shared'/'data'/'dance'

def dancer(bpm, seconds=8., fps=24., first=.2, noise=.02, seed=0):
    "33 points that sink on the beat, sway and step: clockwork with noise"
    rng, T = np.random.default_rng(seed), round(seconds*fps)
    at = rng.uniform(-.9, .9, (33,2)); b = ((np.arange(T)/fps-first)*bpm/60)[:,None]; up = np.clip((.9-at[:,1])/.9, 0, 1)
    x = at[:,0] + .06*up*np.cos(np.pi*b); y = at[:,1] + .03*up*np.cos(2*np.pi*b) - .08*(at[:,1]>.4)*np.sin(np.pi*b)**2
    return Pose(np.stack([x, y, 0*x], -1) + rng.normal(0, noise, (T,33,3)), fps)

def click(beats, seconds, sr=24000):
    w, n = np.zeros(int(seconds*sr), np.float32), np.arange(600)
    for t in beats.times:
        i = int(t*sr); w[i:i+600] += (np.sin(n/4)*np.exp(-n/120))[:len(w)-i]
    return w

@pytest.mark.parametrize('kw', [dict(times=[]), dict(times=[0,0]), dict(times=[1,0]), dict(times=[0,np.inf]), dict(times=[[0,1]]), dict(times='a'),
    dict(bpm=0), dict(bpm=np.nan), dict(bpm='fast'), dict(bpm=None), dict(confidence=2), dict(confidence=np.nan), dict(meter=0), dict(meter=2.5),
    dict(downbeat=4), dict(downbeat=-1)])
def test_beats_refuse(kw):
    with pytest.raises(RhythmError): Beats(**dict(dict(times=[0,.5,1], bpm=120), **kw))

@pytest.mark.parametrize('bpm', [60, 97.3, 128, 180])
@pytest.mark.parametrize('meter', [2, 3, 4])
def test_steady_phase_inverts(bpm, meter):
    b = Beats.steady(bpm, 7.9, start=.13, meter=meter)
    np.testing.assert_allclose(b.phase(b.times), np.arange(len(b)), atol=1e-9)
    assert b.times[-1]<7.9<=b.times[-1]+60/bpm+1e-6
    np.testing.assert_allclose(b.phase(b.downbeats)%meter, 0, atol=1e-9)

def test_phase_follows_a_drifting_tempo():
    b = Beats([0, .5, 1.1, 1.8], 100, downbeat=2)
    np.testing.assert_allclose(b.phase([0, .25, .8, 1.8, 2.4, -.6]), [-2, -1.5, -.5, 1, 2, -3], atol=1e-9)

def test_grid():
    g = beats2grid(Beats.steady(113, 5, .2, meter=3), 250)
    assert g.shape==(250,4) and g.dtype==np.float32
    np.testing.assert_allclose(g[:,0]**2+g[:,1]**2, 1, atol=1e-5); np.testing.assert_allclose(g[10], [0,1,0,1], atol=1e-5)
    assert beats2grid(Beats.steady(113, 5), 0).shape==(0,4)
    for bad in (-1, 2.5):
        with pytest.raises(RhythmError): beats2grid(Beats.steady(113, 5), bad)

@pytest.mark.parametrize('seconds', [5, 8])
def test_tempo_of_clockwork(seconds):
    err = [tempo_error(b, pose2tempo(dancer(b, seconds, seed=b)).bpm).rel for b in range(80, 146, 5)]
    assert max(err)<.04 and np.median(err)<.01

@pytest.mark.parametrize('fps', [10, 12.5, 24, 29.97, 60, 240])
def test_any_frame_rate(fps):
    b = pose2beats(dancer(104, fps=fps, noise=.005))
    assert abs(b.bpm/104-1)<.02 and b.confidence>.3
    assert abs((b.phase(.2)+.5)%1-.5)<.15

def test_phase_moves_with_the_dance():
    for first in (.05, .2, .4):
        b = pose2beats(dancer(110, first=first, noise=.005), bpm=110)
        assert abs((b.phase(first)+.5)%1-.5)<.12

def test_grid_covers_the_clip():
    p = dancer(90, 6); b = pose2beats(p)
    assert 0<=b.times[0]<60/b.bpm and p.seconds-60/b.bpm<=b.times[-1]<p.seconds and np.ptp(np.diff(b.times))<1e-9

def test_mirror_and_scale_change_nothing():
    p = dancer(101); q = Pose(p.xyz*np.float32([-1,1,1]), 24); big = Pose(p.xyz*1.3+5, 24)
    assert abs(pose2tempo(q).bpm-pose2tempo(p).bpm)<.01 and abs(pose2tempo(big).bpm-pose2tempo(p).bpm)<.3

def test_gaps_and_lost_joints():
    p = dancer(118, noise=.005); x = p.xyz.copy(); x[40:50] = np.nan; x[:,7] = np.nan; x[np.random.default_rng(0).random(x.shape)<.05] = np.nan
    t = pose2tempo(Pose(x, 24)); assert abs(t.bpm/118-1)<.04
    assert np.isfinite(kinematics(Pose(x, 24))).all()
    assert t.confidence<=pose2tempo(p).confidence
    x[20:] = np.nan; assert pose2beats(Pose(x, 24)).confidence<.2

def test_nothing_to_see_is_said():
    rng = np.random.default_rng(0); still = np.zeros((192,33,3))
    for x in (still, still+1e-4*rng.standard_normal(still.shape), still+.02*rng.standard_normal(still.shape)):
        assert pose2tempo(Pose(x, 24)).confidence<.35
        for bpm in (None, 120, 40, 300): assert pose2beats(Pose(x, 24), bpm=bpm).confidence<.2
    assert len(motion_beats(Pose(still, 24)))==0
    for bad in (Pose(still[:1], 24), Pose(still[:12], 24), Pose(still*np.nan, 24), still, None, still[0]):
        for f in (pose2tempo, pose2beats, motion_beats):
            with pytest.raises(RhythmError): f(bad)

def test_range():
    p = dancer(100); assert 40<=pose2tempo(p, 40, 70).bpm<=70
    assert isinstance(pose2tempo(p), Tempo)
    for lo, hi in ((150, 75), (0, 100), (75, np.nan)):
        with pytest.raises(RhythmError): pose2tempo(p, lo, hi)
    for bpm in (0, -1, np.nan, 'x', 1e6):
        with pytest.raises(RhythmError): pose2beats(p, bpm=bpm)

def test_a_long_clip_is_placed_finely_and_noise_stays_noise():
    assert abs(pose2tempo(dancer(103.3, 60, noise=.02)).bpm/103.3-1)<.001
    rng = np.random.default_rng(0); x = .02*rng.standard_normal((1440,33,3))+rng.normal(0, .01, (1440,1,3)).cumsum(0)
    assert pose2tempo(Pose(x, 24)).confidence<.4

def test_same_twice():
    p = dancer(93); assert (pose2beats(p).times==pose2beats(p).times).all()

def test_fast_enough():
    p = dancer(93, 5); pose2beats(p)
    def cpu(): t = time.process_time(); pose2beats(p); return time.process_time()-t
    assert min(cpu() for _ in range(5))<.05

def test_audio():
    truth = Beats.steady(96, 6, .25); wav = click(truth, 6)
    for sr in (24000, 44100):
        b = audio2beats(click(truth, 6, sr), sr); assert abs(b.bpm/96-1)<.02 and beat_f(truth, b)>.85
    assert abs(audio2beats(wav, 24000, prior=200).bpm/192-1)<.03 or abs(audio2beats(wav, 24000, prior=200).bpm/96-1)<.03
    assert audio2beats(.1*np.random.default_rng(0).standard_normal(144000), 24000).confidence<.3
    nan = wav.copy(); nan[5] = np.nan
    for bad, sr in ((0*wav, 24000), (0*wav+.3, 24000), (wav[:100], 24000), (wav[None], 24000), (nan, 24000), (wav, 0), (['a'], 24000)):
        with pytest.raises(RhythmError): audio2beats(bad, sr)

def test_measures_against_mir_eval_and_by_hand():
    import mir_eval
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = np.cumsum(rng.uniform(.3, .8, 10)), np.cumsum(rng.uniform(.3, .8, 12))
        assert beat_f(a, b)==pytest.approx(mir_eval.beat.f_measure(a, b)) and beat_f(a, b)==pytest.approx(beat_f(b, a))
        m, u = beat_align(a, b); assert (m, u)==pytest.approx(beat_align(b, a)[::-1])
        assert m==pytest.approx(np.mean([max(np.exp(-(x-y)**2/.005) for y in b) for x in a]))
    with pytest.raises(RhythmError): beat_f([], [1.])
    with pytest.raises(RhythmError): beat_align([1.], [])

@pytest.mark.parametrize('est,acc', [(120,(True,True)), (124.8,(True,True)), (126,(False,False)), (60,(False,True)), (240,(False,True)), (40,(False,True)), (80,(False,False))])
def test_tempo_error(est, acc): assert tempo_error(120, est)[1:]==acc

def test_chance():
    ref = Beats.steady(120, 20)
    assert chance(beat_f, ref, 20, n=400)==pytest.approx(.14/.5, abs=.04)
    a, b = (chance(beat_f, ref, 20, bpm=(75,150), seed=i) for i in (1,2)); assert a!=b and a==chance(beat_f, ref, 20, bpm=(75,150), seed=1)
    assert chance(beat_f, ref, 20, others=[ref, ref.times+.25])==pytest.approx(.5)
    with pytest.raises(RhythmError): chance(beat_f, [1.], 20)

def test_light_import():
    code = "import sys, dance2music.rhythm; print([m for m in ('librosa','mediapipe','av','matplotlib','torch','mir_eval') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()=='[]'

# ---- the tracker

def test_features_ignore_what_does_not_matter():
    x = dancer(100).xyz[:,[0,11,12,13,14,15,16,23,24,25,26,27,28,31,32]]; f = points2features(x, 24)
    assert f.shape==(15,9,192) and f.dtype==np.float32
    np.testing.assert_allclose(points2features(x+np.float32([2,-3,1]), 24), f, atol=2e-3)
    x = x.copy(); x[:,5] = np.nan; g = points2features(x, 24); assert (g[5]==0).all() and np.isfinite(g).all()
    for fps in (10, 24, 25, 59.94, 240): assert abs(points2features(x, fps).shape[-1]-192/fps*RATE)<=2

def test_causal_network_does_not_look_ahead():
    import torch
    f = torch.randn(1, 15, 9, 100); g = f.clone(); g[...,60:] += 1
    net = tracker_net(dict(causal=True)).eval(); assert torch.allclose(activations(net, f)[...,:60], activations(net, g)[...,:60], atol=1e-5)
    net = tracker_net().eval(); assert not torch.allclose(activations(net, f)[...,:60], activations(net, g)[...,:60], atol=1e-5)

def test_combs_by_hand():
    z, bpms, places = np.random.default_rng(0).standard_normal(100), np.array([77., 120, 149]), 12
    s = comb_scores(z, bpms, places)
    for i, b in enumerate(bpms):
        for j in range(places):
            t = 49.5 + (np.arange(-50, 51)-j/places)*60*RATE/b; t = t[(t>=0)&(t<=99)]
            assert s[i,j]==pytest.approx(np.interp(t, np.arange(100), z).sum())

def test_load_tracker(tmp_path):
    net = load_tracker(); assert load_tracker('nano') is net and not net.training
    with pytest.raises(RhythmError, match='config.json'): load_tracker(tmp_path)
    src = ROOT/'dance2music'/'assets'/'tracker-nano'; assert sum(f.stat().st_size for f in src.iterdir())<1e6
    def folder(name, config, weights):
        d = tmp_path/name; d.mkdir(); (d/'config.json').write_text(config); (d/'model.safetensors').write_bytes(weights); return d
    config, weights = (src/'config.json').read_text(), (src/'model.safetensors').read_bytes()
    for bad in (folder('a', '{', weights), folder('b', config, weights[:1000]), folder('c', '{"width": 32}', weights)):
        with pytest.raises(RhythmError) as e: load_tracker(bad)
        assert '\n' not in str(e.value)
    p = dancer(100); assert (pose2beats(p, tracker=folder('d', config, weights)).times==pose2beats(p).times).all()

def test_pieces_join():
    a = pose2activations(dancer(100, 35)); assert a.shape==(3,840) and np.isfinite(a).all()

@pytest.mark.parametrize('bpm', [45, 75, 88, 150, 176, 300])
def test_a_told_tempo_is_kept(bpm):
    p = dancer(88, 8); b = pose2beats(p, bpm=bpm)
    assert b.bpm==bpm and 0<=b.times[0]<60/bpm and p.seconds-60/bpm<=b.times[-1]<p.seconds
    np.testing.assert_allclose(np.diff(b.times), 60/bpm, atol=1e-9)

def test_octaves_share_their_beats():
    p = dancer(88, 10); one, two, half = (pose2beats(p, bpm=b).times for b in (88, 176, 44))
    assert np.abs(one[:,None]-two).min(1).max()<1e-6 and np.abs(half[:,None]-one).min(1).max()<1e-6

def test_a_group_has_one_grid():
    three = [dancer(100, seed=1), dancer(100, seed=2), dancer(133, first=.4, seed=3)]
    b = pose2beats(three); assert abs(b.bpm/100-1)<.02
    blind = Pose(three[0].xyz*np.nan, 24); assert (pose2beats([three[0], blind]).times==pose2beats(three[0]).times).all()
    assert (pose2beats([three[0]]).times==pose2beats(three[0]).times).all()
    still = Pose(np.zeros((192,33,3)), 24); assert abs(pose2beats([still, three[0], still]).bpm/100-1)<.02
    for bad in ([], [three[0], None], [three[0], dancer(100, 4)], [blind, blind]):
        with pytest.raises(RhythmError): pose2beats(bad)

def test_flat_input_is_refused():
    for x in (np.zeros((100,33,2)), np.zeros((100,17,3)), np.zeros((100,99))):
        with pytest.raises(ValueError): pose2beats(Pose(x, 24))
        with pytest.raises(RhythmError, match='Pose'): pose2beats(x)

def test_slow_drift_is_followed():
    fps, T = 24, 24*45; t = np.arange(T)/fps; beat = (104*t + .5*t**2/45*3)/60; rng = np.random.default_rng(0)
    at = rng.uniform(-.9, .9, (33,2)); b, up = beat[:,None], np.clip((.9-at[:,1])/.9, 0, 1)
    x = at[:,0]+.06*up*np.cos(np.pi*b); y = at[:,1]+.03*up*np.cos(2*np.pi*b)-.08*(at[:,1]>.4)*np.sin(np.pi*b)**2
    e = pose2beats(Pose(np.stack([x, y, 0*x], -1)+rng.normal(0, .005, (T,33,3)), fps)); true = np.interp(np.arange(beat[-1]), beat, t)
    inside = true[(true>3)&(true<42)]; assert np.abs(np.abs(inside[:,None]-e.times).min(1)).max()<.15
    assert np.diff(e.times).min()>.4 and np.abs(np.diff(e.times, 2)).max()<.03

def test_waltz_has_three_beats():
    from dance2music.groove import choreograph
    three = [pose2beats(choreograph(Beats.steady(b, 10, meter=3), 'waltz', seed=b, seconds=10, timing='on')) for b in range(84, 120, 6)]
    four = [pose2beats(choreograph(Beats.steady(b, 10), 'house', seed=b, seconds=10, timing='on')) for b in range(84, 120, 6)]
    assert sum(b.meter==3 for b in three)>=4 and sum(b.meter==4 for b in four)>=5

def test_recipe_resumes_and_installs(tmp_path):
    import tracker_nano as recipe
    c = recipe.TrackerTraining(out=str(tmp_path/'run'), steps=2, batch=2, pool=6, fresh=1, seconds=11.)
    recipe.train(c, log=lambda _: None); said = []; c.steps = 3; recipe.train(c, log=said.append)
    assert any('step 2' in s for s in said) and not [f for f in (tmp_path/'run').iterdir() if f.suffix in ('.pt', '.pkl')]
    to = recipe.install(tmp_path/'run', assets=tmp_path); assert {f.name for f in to.iterdir()}>={'config.json', 'model.safetensors'}
    assert load_tracker(to).config==TRACKER

# ---- sound and the scores of the papers

def test_other_audio_methods(monkeypatch):
    import types
    from dance2music import rhythm
    wav = click(Beats.steady(90, 6, .2), 6)
    with pytest.raises(RhythmError, match='method'): audio2beats(wav, 24000, method='ear')
    monkeypatch.setattr(rhythm, 'find_spec', lambda name: None)
    for m in ('beat_this', 'madmom'):
        with pytest.raises(RhythmError, match='pip install'): audio2beats(wav, 24000, method=m)
    monkeypatch.setattr(rhythm, 'find_spec', lambda name: True)
    fake = types.SimpleNamespace(Audio2Beats=lambda device: lambda w, sr: (np.arange(9)*.5+.1, np.array([.6, 2.1, 3.6])))
    monkeypatch.setitem(sys.modules, 'beat_this', types.ModuleType('beat_this')); monkeypatch.setitem(sys.modules, 'beat_this.inference', fake)
    b = audio2beats(wav, 24000, method='beat_this'); assert b.bpm==pytest.approx(120) and (b.meter, b.downbeat)==(3, 1) and b.confidence>.9

def test_legacy_scores_by_hand():
    true, made = [.5, 1.5, 1.7, 4.2], [0., 2.9, 4.9]              # seconds 0 1 4 of 6; 0 2 4
    assert bcs_bhs(true, made, 5.5)==pytest.approx((100, 200/3)) and bcs_bhs(true, made, 5.5, loris=True)==pytest.approx((200/3, 200/3))
    assert bcs_bhs(true, np.arange(6)+.1, 5.5)==pytest.approx((200, 100))  # always on: coverage of 200 %
    assert bcs_bhs(true, [], 5.5)==(0, 0)==bcs_bhs(true, [], 5.5, loris=True)
    with pytest.raises(RhythmError): bcs_bhs([], made, 5)
    s = legacy_summary([(120, 60), (80, 80), (100, 100)]); assert s==pytest.approx((100, 20, 80, 20, 2*100*80/180))

def test_legacy_onsets():
    truth = Beats.steady(80, 5, .3); w = click(truth, 5)
    for loris in (False, True):
        on = legacy_onsets(w, 24000, loris); assert bcs_bhs(truth, on, 5).bhs>=80 and (np.diff(on)>0).all()

def test_phase_lock():
    rng = np.random.default_rng(0); refs = [Beats.steady(b, 8, start=rng.uniform(0, .5), meter=3) for b in np.linspace(80, 120, 40)]
    assert phase_lock(refs, refs)[:2]==pytest.approx((1, 1))
    shift = [Beats(b.times-.1*60/b.bpm, b.bpm, meter=3) for b in refs]
    lock = phase_lock(refs, shift); assert lock.beat==pytest.approx(1) and lock.lag==pytest.approx(.1) and lock.bar==pytest.approx(1)
    assert np.mean([phase_lock(refs, [Beats.steady(b.bpm, 8, start=rng.uniform(0, .5), meter=3) for b in refs]).beat for _ in range(30)])==pytest.approx(lock.chance, rel=.3)
    for bad in (([], []), (refs, refs[:1]), ([1.], [2.])):
        with pytest.raises(RhythmError): phase_lock(*bad)

@pytest.mark.skipif(not SHARED.is_dir(), reason='../shared/data/dance is missing')
def test_street_dance_is_above_chance():
    hits = []
    for f in sorted(SHARED.glob('street_*.npz')):
        z = np.load(f); x = z['xyz'].astype(np.float32); d = np.diff(z['beats']); bpm = 60/np.median(d[d<1.5*np.median(d)])
        hits += [[tempo_error(bpm, f(Pose(x[i:i+192], 24)).bpm).acc1 for f in (pose2tempo, pose2beats)] for i in range(0, len(x)-191, 192)]
    assert (np.mean(hits, 0)>[.5, .6]).all()   # 0.12 by chance

def test_threads():
    "A tracker's sums, and so the beats, do not depend on the number of cores; and it leaves that number as it was"
    import torch
    p, n = dancer(100, 12), torch.get_num_threads(); seen = []
    try:
        for k in (1, 2): torch.set_num_threads(k); seen.append(pose2activations(p)); assert torch.get_num_threads()==k
    finally: torch.set_num_threads(n)
    assert (seen[0]==seen[1]).all()
