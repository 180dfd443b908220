"The model: what it sees, what it may not see, and that fast ways give what slow ways give"
import numpy as np, pytest, torch
from hypothesis import given, settings, strategies as st
from dance2music.groove import STYLES, choreograph
from dance2music.model import (SIZES, TOLD, Baseline, Block, PoseToMusic, PoseToMusicConfig, codes2delayed, codes2flat, delayed2codes, flat2codes, loop_loss,
                               loops, motion_energy, new_model, past_mask, pose2features, pose2positions, sample, two_pass_loss, write_flat, Steps)
from dance2music.pose import Pose, mirror
from dance2music.rhythm import Beats

torch.set_num_threads(1)


@pytest.fixture(scope='module')
def dance(): return choreograph(Beats.steady(120, 4.), 'house', 0, seconds=4.)

@pytest.fixture(scope='module')
def model():
    torch.manual_seed(0)
    m = PoseToMusic(PoseToMusicConfig(d_model=32, n_layers=4, n_heads=2, pose_width=8, window=24, energy=True)).eval()
    for p in m.parameters(): torch.nn.init.normal_(p, std=.2) # opinionated, so that differences show
    return m

def told(model, n, batch=1, seed=0):
    g = torch.Generator().manual_seed(seed); c = model.config
    return dict(grid=torch.randn(batch, n, 4, generator=g), features=torch.randn(batch, n, c.n_features, generator=g),
                style=torch.randint(len(c.styles), (batch,), generator=g), energy=torch.rand(batch, n, generator=g))


# ---- arrangements of codes

@settings(max_examples=30, deadline=None)
@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 20))
def test_arrangements_can_be_undone(B, K, N):
    c = torch.arange(B*K*N).view(B, K, N)
    assert (delayed2codes(codes2delayed(c, pad=-1)) == c).all() and (flat2codes(codes2flat(c), K) == c).all()
    d = codes2delayed(c, pad=-1)
    assert d.shape == (B, K, N+K-1) and (d == -1).sum() == B*K*(K-1)

def test_mask(): assert past_mask(3, 5, 3).int().tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1]]


# ---- what is seen of a dance

def test_features_follow_the_dancer(dance):
    f = pose2features(dance, 200)
    assert f.shape == (200, 198) and f.dtype == np.float32 and np.isfinite(f).all()
    jump = Pose(dance.xyz + np.float32([0, 1, 0])*np.sin(np.arange(len(dance))/3)[:,None,None].astype(np.float32), dance.fps)
    assert np.abs(pose2features(jump, 200) - f).max() > .5                           # the hips' way is seen
    assert np.allclose(pose2positions(jump), pose2positions(dance), atol=1e-3)       # ... and not by the baseline
    far = Pose(dance.xyz + np.float32([3, 0, 8]), dance.fps)
    assert np.allclose(pose2features(far, 200), f, atol=1e-3)                        # the place in the room is not

@pytest.mark.parametrize('f', [pose2features, motion_energy])
def test_lost_dancers(f, dance):
    nobody = Pose(np.full((48, 33, 3), np.nan, np.float32), 24.)
    assert not f(nobody, 100).any()
    some = Pose(dance.xyz.copy(), 24.); some.xyz[20:40] = np.nan; some.xyz[60,5] = np.nan
    assert np.isfinite(f(some, 200)).all()
    assert len(f(Pose(dance.xyz[:1], 24.), 10)) == 10 and len(f(dance, 1000)) == 1000 # one frame; more codes than frames

def test_energy(dance):
    e = motion_energy(dance, 200)
    assert e.shape == (200,) and 0 <= e.min() and e.max() <= 1.5 and .4 < e.mean() < 1.3
    assert np.allclose(motion_energy(mirror(dance), 200), e, atol=1e-3)
    assert motion_energy(Pose(np.ones((96, 33, 3), np.float32), 24.), 200).max() == 0
    small = Pose(dance.xyz*.3, 24.); assert motion_energy(small, 200).mean() < .8*e.mean() # shy is less, but not nothing
    assert motion_energy(small, 200).mean() > .3*e.mean()


# ---- the network

def test_no_step_sees_the_future(model):
    x = torch.randint(1024, (1, 6, 40)); cond = model.condition(40, 1, **told(model, 40)); y = x.clone(); y[...,25:] = 7
    with torch.no_grad(): a, b = model.decode(x, cond), model.decode(y, cond)
    assert torch.allclose(a[:,:,:25], b[:,:,:25], atol=1e-4) and (a[:,:,25:] - b[:,:,25:]).abs().max() > 1e-2

@pytest.mark.parametrize('piece', [1, 7, 30])
def test_cache_changes_nothing(piece): # the window of 24 is shorter than the 60 steps
    torch.manual_seed(0); block = Block(PoseToMusicConfig(d_model=32, n_heads=4, window=24)).eval(); x, cache = torch.randn(2, 60, 32), []
    with torch.no_grad(): assert torch.allclose(torch.cat([block(x[:,i:i+piece], cache, i) for i in range(0, 60, piece)], 1), block(x), atol=1e-5)
    assert cache[0].shape[3] <= 3*24 + piece # memory does not grow

@pytest.mark.parametrize('guidance', [1., 2.])
def test_steps_change_nothing(model, guidance): # nor where the ring goes round, nor where the table of angles ends
    n = 1100 if guidance == 1 else 60; x = torch.randint(1024, (2, 6, n)); cond = model.condition(n, 2, **told(model, n, 2)); no = model.condition(n, 2); step = Steps(model, guidance)
    with torch.no_grad():
        both = cond if guidance == 1 else torch.cat([cond, no]); each = torch.stack([step(x[...,t], both[:,t]) for t in range(n)], 2); want = model.decode(x, cond)
        if guidance != 1: rest = model.decode(x, no); want = rest + guidance*(want - rest)
    assert torch.allclose(each, want, atol=2e-3) and step.seen.shape[4] == model.config.window # memory does not grow

def test_conditions(model):
    x = told(model, 30, 2); full = model.condition(30, 2, **x)
    for i, name in enumerate(TOLD): # to leave one out is the same as not having it
        keep = torch.ones(2, 4); keep[:,i] = 0
        assert torch.allclose(model.condition(30, 2, **x, keep=keep), model.condition(30, 2, **{k: v for k, v in x.items() if k != dict(motion='features').get(name, name)}), atol=1e-5)
    alone = model.condition(30, 1, **{k: v[1:] for k, v in x.items()})
    assert torch.allclose(full[1:], alone, atol=1e-5)                                # a batch does not mix
    assert (model.condition(30, 2) - model.condition(30, 2, **x, keep=torch.zeros(2, 4))).abs().max() < 1e-5

def test_loss(model):
    codes = torch.randint(1024, (2, 6, 20)); x = told(model, 20, 2)
    with torch.no_grad(): out = model(codes, **x, logits=True); other = model(codes, **x, heard=(codes+1) % 1024)
    nll = torch.nn.functional.cross_entropy(out['logits'].flatten(0, 2), codes.flatten())
    assert out['logits'].shape == (2, 6, 20, 1024) and abs(out['loss'] - nll) < 1e-3 and abs(out['nll'].mean() - nll) < 1e-3
    assert other['loss'] != out['loss']
    fresh = new_model('nano')
    with torch.no_grad(): assert abs(fresh(codes)['loss'] - np.log(1024)) < .3


# ---- writing

def test_generation(model):
    x = told(model, 30, 2); a = model.generate_codes(**x, seed=1)
    assert a.shape == (2, 6, 30) and a.dtype == torch.int64 and 0 <= a.min() and a.max() < 1024
    assert (a == model.generate_codes(**x, seed=1)).all()
    assert (a == model.generate_codes(**x, seed=2)).float().mean() < .2
    one = {k: v[:1] for k, v in x.items()}
    assert (model.generate_codes(**one, top_k=1)[0] == model.generate_codes(**x, top_k=1)[0]).all() # a batch does not mix
    assert model.generate_codes(x['grid'][:,:1]).shape == (2, 6, 1)                    # only a grid, only one frame

def test_generation_is_what_decode_says(model):
    x = told(model, 20); codes = model.generate_codes(**x, top_k=1, guidance=1.)
    with torch.no_grad(): assert (model(codes, **x, logits=True)['logits'].argmax(-1) == codes).float().mean() > .97

def test_guidance(model):
    x = told(model, 20)
    assert (model.generate_codes(**x, guidance=0., top_k=1) == model.generate_codes(x['grid'], guidance=1., top_k=1, keep=torch.zeros(1, 4))).float().mean() > .97

def test_sampling():
    y = torch.zeros(1, 500, 10); y[...,3] = 5.
    draw = lambda t, k: sample(y, t, k, torch.Generator().manual_seed(0))
    assert (draw(1e-4, 10) == 3).all() and (draw(1., 1) == 3).all()
    assert (draw(1., 10) == 3).float().mean() > (draw(5., 10) == 3).float().mean() + .3


# ---- folders and sizes

def test_folder(model, tmp_path):
    model.save_pretrained(tmp_path); again = PoseToMusic.from_pretrained(tmp_path)
    assert all((a == b).all() for a, b in zip(model.state_dict().values(), again.state_dict().values()))
    assert again.config.window == 24 and again.config.energy and not list(tmp_path.glob('*.bin'))
    PoseToMusic(model.config).half().save_pretrained(tmp_path/'half'); assert PoseToMusic.from_pretrained(tmp_path/'half', dtype=torch.float32).dtype == torch.float32

def test_folder_of_a_model_without_energy(tmp_path):
    import json
    PoseToMusic(PoseToMusicConfig(d_model=32, n_layers=1, n_heads=2)).save_pretrained(tmp_path)
    c = json.loads((tmp_path/'config.json').read_text()); c.pop('energy', None); (tmp_path/'config.json').write_text(json.dumps(c))
    m = PoseToMusic.from_pretrained(tmp_path)
    assert m.energy is None and m.generate_codes(torch.zeros(1, 5, 4), energy=torch.ones(1, 5)).shape == (1, 6, 5)

def test_sizes():
    mb = 2*sum(p.numel() for p in new_model('nano').parameters())/1e6
    assert mb < 9 and [*SIZES][:3] == ['nano', 'small', 'base']
    with pytest.raises(ValueError, match='nano, small, base'): new_model('huge')
    assert new_model('nano', n_codebooks=8, styles=['x']).config.styles == ['x'] and PoseToMusicConfig().styles == [*STYLES]


# ---- the baseline

def test_baseline():
    torch.manual_seed(0); base = Baseline(d_model=16, n_layers=1, n_heads=2, n_codebooks=2)
    poses, codes, coins = torch.randn(2, 12, 99), torch.randint(1024, (2, 2, 10)), torch.rand(20) < .5
    a, b = loop_loss(base, poses, codes, coins), two_pass_loss(base, poses, codes, coins)
    assert abs(a - b) < 1e-4
    ga, gb = (torch.autograd.grad(l, base.head.weight, retain_graph=True)[0] for l in (a, b)); assert torch.allclose(ga, gb, atol=1e-5)
    with torch.no_grad(): said = write_flat(base, base.encode(poses), 20)
    assert said.shape == (2, 20) and flat2codes(said, 2).shape == (2, 2, 10)

def test_loops(): assert loops(np.arange(50)) == 0 and loops(np.zeros(50, int)) > .95
