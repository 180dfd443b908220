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
    poses = frames2pose(video2frames(CLIPS/'game_4dancers_music.mp4', end=2), dancers=4)
    assert len(poses)>=3 and [p.seen.mean() for p in poses]==sorted((p.seen.mean() for p in poses), reverse=True)
    for p in poses[:3]:
        assert p.seen.mean()>.7 and quality(p).teleports==0
        assert np.ptp(p.image[p.seen][:,[23,24],0].mean(1))<120 # nobody changes places in this dance
