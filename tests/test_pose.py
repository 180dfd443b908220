"Chapter 02 beyond its notebook: bad input, files, root motion, cleaning, models, and real video where there is one"
import subprocess, sys
from pathlib import Path
import numpy as np, pytest
import dance2music.pose as P
from dance2music.media import MediaError, video2frames
from dance2music.pose import *

SHARED = Path(__file__).resolve().parents[2]/'shared'
CLIPS = SHARED/'clips'
needs_clips = pytest.mark.skipif(not CLIPS.exists(), reason='the private test clips are not here')
needs_dances = pytest.mark.skipif(not (SHARED/'data/dance').exists(), reason='the private dances are not here')

def dancer(T=96, fps=24, seed=0):
    "A body that sways and bounces twice a second"
    body = np.random.default_rng(seed).normal(0, .4, (1,33,3))
    t = np.arange(T)[:,None,None]/fps
    return Pose(body*(1+.1*np.sin(2*np.pi*t))+np.array([0,.05,0])*np.sin(4*np.pi*t), fps, np.ones((T,33)))

@pytest.mark.parametrize('kw,says', [
    (dict(xyz=np.zeros((4,33,2))), r'must be \(T,33,3\)'), (dict(xyz=np.zeros((33,3))), r'must be \(T,33,3\)'),
    (dict(xyz='dance'), 'not an array'), (dict(xyz=None), 'must be'), (dict(xyz=np.zeros((0,33,3))), 'none'),
    (dict(xyz=np.full((4,33,3), np.inf)), 'infinite'), (dict(fps=0), 'above 0'), (dict(fps=-24), 'above 0'),
    (dict(fps=np.nan), 'above 0'), (dict(fps='fast'), 'a number'), (dict(visibility=np.zeros((3,33))), '3 frames'),
    (dict(visibility=np.zeros((4,17))), r'\(T,33\)'), (dict(image=np.zeros((4,33,3))), r'\(T,33,2\)')])
def test_refused_at_the_door(kw, says):
    with pytest.raises(PoseError, match=says): Pose(**(dict(xyz=np.zeros((4,33,3)), fps=24)|kw))

def test_save_load_roundtrip(tmp_path):
    p = dancer(); p.xyz[3] = np.nan; p.image = np.ones((96,33,2), np.float32)
    q = Pose.load(p.save(tmp_path/'p.npz'))
    for k in ('xyz','visibility','image'): np.testing.assert_array_equal(getattr(p,k), getattr(q,k))
    assert q.fps==24 and list(tmp_path.iterdir())==[tmp_path/'p.npz']

def test_failed_save_leaves_nothing(tmp_path, monkeypatch):
    def full(f, **kw): f.write(b'half'); raise OSError('disk full')
    monkeypatch.setattr(np, 'savez_compressed', full)
    with pytest.raises(OSError): dancer().save(tmp_path/'p.npz')
    assert not list(tmp_path.iterdir())

def test_load_refuses_pickles_and_junk(tmp_path):
    np.savez(tmp_path/'evil.npz', xyz=np.array([{}], dtype=object), fps=24)
    (tmp_path/'junk.npz').write_bytes(b'junk')
    for name in ('evil','junk'):
        with pytest.raises(PoseError, match=f'{name}.npz'): Pose.load(tmp_path/f'{name}.npz')

def test_mirror_swaps_visibility():
    p = dancer(); p.visibility[:,15] = 0
    m = mirror(p)
    assert (m.visibility[:,16]==0).all() and (m.visibility[:,15]==1).all()

def test_root_motion_through_gaps_and_zoom():
    t = np.arange(240)/24
    hips = np.c_[.3*np.sin(t), .04*np.sin(4*np.pi*t)]
    body = np.random.default_rng(0).normal(0, .4, (240,33,2))
    scale = np.linspace(200, 300, 240)[:,None,None]
    image = scale*(body+hips[:,None])+100
    body[50:60] = np.nan
    r = root_motion(body, image, 24)
    assert np.isnan(r[50:60]).all() and np.isfinite(r[:50]).all()
    err = (r-hips)[60:]; err = err-err.mean(0)
    assert np.abs(err[:,1]).max()<.02 # the drift of a zoom is slow and small beside the bounce
    assert np.isnan(root_motion(body*np.nan, image, 24)).all()

@needs_dances
def test_root_motion_of_real_dances():
    "A perspective camera, 2 pixels and 2 cm of noise: the bounce comes back to within a centimetre"
    rng = np.random.default_rng(0)
    for f in sorted((SHARED/'data/dance').glob('street*')):
        xyz = np.load(f)['xyz'][:240].astype(float); hips = xyz[:,[23,24]].mean(1); xyz = xyz-hips[0]
        image = xyz[...,:2]/(xyz[...,2:]+5)*1000+rng.normal(0, 2, (240,33,2))
        world = xyz-xyz[:,[23,24]].mean(1, keepdims=True)+rng.normal(0, .02, xyz.shape)
        err = root_motion(world[...,:2], image, 24)[:,1]-hips[:,1]
        assert err.std()<.01

def test_clean_gaps():
    p = dancer(240); ref = p.xyz.copy()
    p.xyz[40:52] = np.nan; p.xyz[100:120] = np.nan; p.xyz[:3] = np.nan
    before = p.xyz.copy(); c = clean(p)
    np.testing.assert_array_equal(p.xyz, before) # the input is not touched
    assert np.isfinite(c.xyz[:100]).all() and np.isnan(c.xyz[100:120]).all() and len(c)==240
    assert np.abs(c.xyz-ref)[[60,90,99,120,150]].max()<.02 # nothing leaks across the long gap

def test_clean_removes_spikes_and_keeps_the_bounce():
    for fps in (24,30,60):
        p = dancer(4*fps, fps); ref = p.xyz.copy()
        p.xyz[fps,15] += [1,0,0]; p.xyz[2*fps:2*fps+2,16] -= [0,1,0]
        assert np.abs(clean(p).xyz-ref)[fps//2:-fps//2].max()<.03

@pytest.mark.parametrize('share,T,says', [(0,96,'nobody is seen in any of the 96'), (.1,96,'only 10%'), (1,7,'lasts 0.29 s'), (.4,96,'only 40%')])
def test_clean_refuses(share, T, says):
    p = dancer(T); p.xyz[round(share*T):] = np.nan
    with pytest.raises(PoseError, match=says): clean(p)
    q = quality(p)
    assert not q.ok and q.reasons

def test_quality_of_good_and_still():
    assert quality(dancer()).ok
    assert quality(Pose(np.repeat(dancer().xyz[:1], 96, 0), 24)).reasons==['nothing moves']
    assert not quality(Pose(np.full((1,33,3), np.nan), 24)).ok

def test_wrong_download_is_not_kept(tmp_path, monkeypatch):
    (tmp_path/'fake.task').write_bytes(b'not a model')
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path/'cache'))
    monkeypatch.setattr(P, '_URL', (tmp_path/'fake.task').as_uri())
    with pytest.raises(PoseError, match='SHA-256'): pose_model('lite')
    monkeypatch.setattr(P, '_URL', (tmp_path/'absent.task').as_uri())
    with pytest.raises(PoseError, match='without a network use model="full"'): pose_model('heavy')
    assert not list((tmp_path/'cache'/'dance2music').iterdir())

def test_missing_system_library(monkeypatch):
    from mediapipe.tasks.python import vision
    def absent(opts): raise OSError('libGLESv2.so.2: cannot open shared object file')
    monkeypatch.setattr(vision.PoseLandmarker, 'create_from_options', absent)
    with pytest.raises(PoseError, match='apt-get install libegl1 libgles2'): frames2pose([np.zeros((64,64,3), np.uint8)])

def test_imports_are_light():
    code = "import sys, dance2music.pose; print([m for m in ('mediapipe','av','matplotlib','plotly','torch','librosa') if m in sys.modules])"
    assert subprocess.run([sys.executable,'-c',code], capture_output=True, text=True).stdout.strip()=='[]'

def test_nobody_in_noise():
    rng = np.random.default_rng(0)
    p = frames2pose((rng.integers(0, 255, (120,160,3), dtype=np.uint8) for _ in range(30)), 24)
    assert not p.seen.any() and len(p)==30
    assert 'nobody is seen' in quality(p).reasons
    with pytest.raises(PoseError, match='nobody'): clean(p)
    with pytest.raises(PoseError, match='nothing to draw'): show_pose(p)

def test_frames_are_streamed():
    "Each frame can be freed before the next is made"
    import weakref
    class F(np.ndarray): pass
    alive = []
    def frames():
        for _ in range(5):
            f = np.zeros((64,64,3), np.uint8).view(F)
            alive.append(weakref.ref(f)); yield f
            del f
            assert sum(r() is not None for r in alive)<=2
    frames2pose(frames())

def test_no_video(tmp_path):
    with pytest.raises(MediaError): video2pose(tmp_path/'absent.mp4')
    with pytest.raises(PoseError, match='fps'): video2pose(tmp_path/'absent.mp4', fps=0)

@needs_clips
def test_half_a_body_and_a_padded_stride():
    frames = list(video2frames(CLIPS/'phone_halfbody_600x360.mp4', end=.5))
    padded = [np.pad(f, ((0,0),(0,8),(0,0)))[:,:f.shape[1]] for f in frames]
    assert not padded[0].flags.c_contiguous
    a,b = frames2pose(frames), frames2pose(padded)
    assert a.seen.all() and np.allclose(a.xyz, b.xyz, atol=1e-3)

@needs_clips
def test_silent_and_seen():
    code = f"from dance2music.pose import *; p = video2pose({str(CLIPS/'studio_2s_b.mp4')!r}); print(len(p), p.seen.mean(), quality(clean(p)).ok)"
    r = subprocess.run([sys.executable,'-c',code], capture_output=True, text=True)
    assert r.stderr=='' and r.stdout.strip()=='48 1.0 True'

@needs_clips
def test_several_dancers_stay_themselves():
    poses = frames2pose(video2frames(CLIPS/'game_4dancers_music.mp4', end=1), dancers=4)
    assert [p.seen.mean() for p in poses]==sorted((p.seen.mean() for p in poses), reverse=True)
    places = sorted((p.image[p.seen][:,[23,24],0].mean(1).min(), p.image[p.seen][:,[23,24],0].mean(1).max()) for p in poses)
    assert len(places)==4 and all(a[1]+40<b[0] for a,b in zip(places, places[1:])) # nobody changes places in this dance


# ---- faults

def dance(seed=0, cm=1., fps=24, seconds=5, **kw):
    from dance2music.groove import choreograph, detector_noise
    p = choreograph(110, 'house', seed=seed, seconds=seconds, fps=fps, **kw)
    return p, Pose(detector_noise(p, seed, cm=cm, dropout=0).xyz, fps)

def damaged(p, kind, a=50, b=58):
    x = p.xyz.copy()
    if kind=='missing': x[a:b] = np.nan
    if kind=='teleport': x[a:b] += [.8,0,.1]
    if kind=='swap': x[a:b] = x[a:b][:,P._swap_index()]
    if kind=='frozen': x[a:b] = x[a-1]
    if kind=='bones': x[a:b,[15,17,19,21]] += 1.2*(x[a:b,15]-x[a:b,13])[:,None]
    return Pose(x, p.fps)

KINDS = 'missing','teleport','swap','frozen','bones'

@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('seed', [0,1])
def test_a_fault_is_found_told_and_mended(kind, seed):
    true,p = dance(seed); q = damaged(p, kind); before = q.xyz.copy()
    s = faults(q)[kind]; y = np.zeros(len(p), bool); y[50:58] = True
    assert s[y].mean()>.5 and s[y].min()>s[~y].max() and (s>.5).sum()<=10
    v = quality(q); assert v.verdict=='repair' and v.ok and v.reasons==[] and len(v.repairs)>=1
    c = clean(q); np.testing.assert_array_equal(q.xyz, before)
    assert c.notes==v.repairs and c.seen.all()
    hold = q.xyz.copy(); hold[50:58] = np.where(np.isnan(hold[50:58]), hold[49], hold[50:58])
    off = lambda x: np.linalg.norm(x-true.xyz, axis=-1)[50:58][:,[15,17,19,21] if kind=='bones' else slice(None)].mean()
    assert off(c.xyz)-off(clean(p).xyz)<.4*(off(hold)-off(p.xyz)) # most of what the fault added is gone

@pytest.mark.parametrize('kind', ['missing','teleport','frozen','bones'])
def test_long_faults_are_left_empty(kind):
    _,p = dance(3); c = clean(damaged(p, kind, 40, 66))
    assert np.isnan(c.xyz[42:65]).all() and c.seen[:38].all() and c.seen[70:].all()
    assert any('left empty' in n for n in c.notes)

def test_long_exchange_is_put_back():
    _,p = dance(4); c = clean(damaged(p, 'swap', 30, 66))
    np.testing.assert_allclose(c.xyz, clean(p).xyz, atol=1e-4)
    half = p.xyz.copy(); half[40:50,23:] = half[40:50][:,P._swap_index(range(23,33))][:,23:]
    np.testing.assert_allclose(clean(Pose(half, 24)).xyz, clean(p).xyz, atol=1e-4) # the legs alone

def test_exchange_moves_visibility_and_image_too():
    _,p = dance(5); rng = np.random.default_rng(0)
    whole = Pose(p.xyz, 24, rng.random((120,33)), rng.random((120,33,2)), (640,480)); bad = {k:getattr(whole,k).copy() for k in ('xyz','visibility','image')}
    for v in bad.values(): v[50:58] = v[50:58][:,P._swap_index()]
    c = clean(Pose(**bad, fps=24, size=(640,480)))
    assert np.array_equal(c.visibility, whole.visibility) and np.array_equal(c.image, whole.image) and c.size==(640,480)

def test_out_of_the_picture():
    _,p = dance(6); image = 200*p.xyz[...,:2]+300
    inside = Pose(p.xyz, 24, image=image, size=(2000,2000)); assert quality(inside).scores['outside'].max()<.01
    cut = Pose(p.xyz, 24, image=image, size=(2000, int(np.median(image[:,25,1])))); q = quality(cut)
    assert q.verdict=='bad' and any('out of the picture' in r for r in q.reasons)
    assert Pose(p.xyz, 24, image=image).size is None and faults(Pose(p.xyz, 24, image=image))['outside'].max()==0

def test_a_camera_cut_is_one_jump_and_keeps_both_sides():
    _,p = dance(7); p.xyz[60:] += [2,0,0]; q = quality(p)
    assert q.teleports==1 and q.ok and clean(p).seen.all()

def test_sound_dances_are_left_alone():
    for seed in range(4):
        true,p = dance(seed, cm=2.); q = quality(p)
        assert q.ok and (q.scores['swap']<.5).all() and (q.scores['teleport']<.5).all() and (q.scores['frozen']<.5).all()
        assert quality(true).ok and clean(true).seen.all()
        assert np.linalg.norm(clean(true).xyz-true.xyz, axis=-1).mean()<.01

@pytest.mark.parametrize('fps', [10,60,240])
def test_other_rates(fps):
    true,p = dance(1, fps=fps, seconds=3); assert quality(p).ok and clean(p).seen.all()
    x = p.xyz.copy(); a = fps; b = fps+max(2, fps//5); x[a:b] += [.9,0,0]
    assert np.linalg.norm(clean(Pose(x, fps)).xyz-true.xyz, axis=-1)[a:b].mean()<.3

def test_hostile_poses_are_measured_without_a_crash():
    rng = np.random.default_rng(0)
    for x in (np.full((50,33,3), np.nan), np.zeros((1,33,3)), np.zeros((60,33,3)), rng.normal(size=(60,33,3))*50, np.where(rng.random((60,33,1))<.5, np.nan, rng.normal(size=(60,33,3)))):
        F = faults(Pose(x, 24)); q = quality(Pose(x, 24))
        assert not q.ok and all(len(s)==len(x) and np.isfinite(s).all() and s.min()>=0 and s.max()<=1 for s in F.values()) and repr(q)

def test_size_and_notes_are_saved(tmp_path):
    p = dancer(); p.size,p.notes = (640,360),['one thing','another']
    q = Pose.load(p.save(tmp_path/'p.npz')); assert q.size==(640,360) and q.notes==p.notes
    for size in (5, (0,3), 'ab', (1,2,3)):
        with pytest.raises(PoseError, match='size'): Pose(p.xyz, 24, size=size)


# ---- several, without a video

def body(x, seed, y=200):
    r = np.zeros((33,6)); r[:,4:] = np.random.default_rng(seed).normal(0, 40, (33,2)); r[:,4:] += [x,y]-r[:,4:].mean(0); r[0,0] = seed
    return r

@pytest.mark.parametrize('hidden', [0,4,10,16])
def test_two_who_cross_stay_themselves(hidden):
    tracks = []
    for t in range(60):
        both = [body(100+7*t, 1), body(520-7*t, 2)]
        P._assign(tracks, both[:1] if abs(t-30)<hidden/2 else both[::(-1)**t], t, patience=24)
    assert sorted({r[0,0] for r in k.rows} for k in tracks)==[{1.},{2.}]

def test_who_leaves_and_comes_back_is_joined():
    tracks = []
    for t in range(200):
        rows = [body(300, 2)]+([body(max(20, 120-4*t), 1)] if t<30 else [body(150, 1)] if t>120 else [])
        P._assign(tracks, rows[::(-1)**t], t, patience=24)
    people = P._stitch(tracks, 2)
    assert [len(k) for k in people]==[200,109] and all(len({r[0,0] for r in k.rows})==1 for k in people)
    assert [len(k) for k in tracks if k.t[0]>0]==[79] # the tracks themselves are not changed

def test_windows_cover_the_picture():
    for w,h in ((1920,1080),(640,360),(360,640),(1000,200)):
        boxes = P._strips(w,h); cover = np.zeros(w, int)
        for x0,y0,x1,y1 in boxes: assert 0<=x0<x1<=w and (y0,y1)==(0,h); cover[x0:x1] += 1
        assert cover.min()>=1
    for c in ((-50,-50),(0,0),(639,359),(900,900)):
        x0,y0,x1,y1 = P._around(np.array(c), 40, 640, 360); assert 0<=x0<x1<=640 and 0<=y0<y1<=360


# ---- looking

def test_scrub_and_overlay():
    from dance2music.media import asset, probe
    clip = asset('clip.mp4'); info = probe(clip); n = 48
    image = np.random.default_rng(0).uniform(50, 200, (n,33,2))
    p = Pose(dancer(n).xyz, 24, image=image, size=(info.width,info.height))
    panel = scrub(clip, p); slider = panel.children[1].children[1]
    first = panel.children[0].value; slider.value = 30
    assert slider.max==n-1 and panel.children[0].value!=first and '1.25 s' in panel.children[1].children[2].value
    assert show_overlay(clip, p, 3).data[:2]==b'\xff\xd8'
    with pytest.raises(PoseError, match='video2pose'): scrub(clip, dancer(n))

def test_player_has_buttons_and_a_slider():
    fig = show_pose(dancer(48), interactive=True)
    assert len(fig.frames)==len(fig.layout.sliders[0].steps)==48 and [b.label for b in fig.layout.updatemenus[0].buttons]==['play','pause']

def test_lean_model(tmp_path, monkeypatch):
    "Without its mask the network gives the same landmarks, bit for bit; what cannot be made lean is used as it is"
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path)); frames = [*video2frames(P.asset('clip.mp4'), end=.5)]
    lean = lean_pose_model(); assert tmp_path in lean.parents and [p.name for p in lean.parent.iterdir()]==[lean.name] and lean_pose_model()==lean
    b = frames2pose(frames); monkeypatch.setattr(P, 'lean_pose_model', pose_model); a = frames2pose(frames)
    for k in ('xyz','visibility','image'): np.testing.assert_array_equal(getattr(a,k), getattr(b,k))
    (tmp_path/'odd.task').write_bytes(b'not a bundle'); assert lean_pose_model(str(tmp_path/'odd.task'))==tmp_path/'odd.task'
    with pytest.raises(PoseError, match='no pose model'): lean_pose_model('nobody')

def test_lean_model_without_a_place_to_keep_it(tmp_path, monkeypatch):
    (tmp_path/'file').write_text('x'); monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path/'file'))
    assert lean_pose_model()==pose_model() and len(frames2pose([*video2frames(P.asset('clip.mp4'), end=.2)]))
