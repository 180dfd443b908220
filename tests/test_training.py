"Training: the rows, chance, settings, and a run that is interrupted, shared or read along"
import json, os, subprocess, sys, textwrap
from pathlib import Path
import numpy as np, pytest, torch
from dance2music.codec import Codec
from dance2music.dataset import pair2record, write_shard
from dance2music.groove import choreograph
from dance2music.model import SIZES, PoseToMusic, motion_energy, new_model, pose2features
from dance2music.pose import Pose, clean, mirror
from dance2music.rhythm import Beats
from dance2music.training import (MuonAdamW, Records, TrainConfig, TrainError, check_config, collate, leave_out, mirrored, mix_heard, new_optimizer, ngram_nll,
                                  perceptual_loss, progress_line, read_config, row2tensors, shake, step_rng, tempo_check, train, valid_nll)

torch.set_num_threads(1)
TOY = dict(d_model=32, n_layers=1, n_heads=2, pose_width=8)
STYLES = ['house', 'techno']

@pytest.fixture(autouse=True)
def toy_size(monkeypatch): monkeypatch.setitem(SIZES, 'toy', TOY)

@pytest.fixture(scope='module')
def rows():
    rng = np.random.default_rng(0); beats = Beats.steady(120, 1.2); pose = choreograph(beats, 'house', 0, seconds=1.2)
    return [pair2record(pose, rng.choice([3, 500, 900], (6, 60)), beats, STYLES[i % 2], f's{i}') for i in range(14)]

@pytest.fixture(scope='module')
def data(rows, tmp_path_factory):
    out = tmp_path_factory.mktemp('data')
    for i in range(2): write_shard(rows[7*i:7*i+7], out/f'shard-0000{i}.parquet')
    return out

def config(data, out, **kw):
    return TrainConfig(**dict(data=str(data), out=str(out), size='toy', steps=4, batch=4, eval_every=1, warmup=1, held_out=.2, tempo_clips=0, device='cpu', lr=2e-2, adam=1e-2) | kw)

def report(out): return json.loads((Path(out)/'training.json').read_text())
def curve(out): return [(h['step'], h.get('loss'), h.get('eval_loss')) for h in report(out)['log']]
quiet = dict(log=lambda line: None)


# ---- rows

def test_row(rows):
    r = row2tensors(rows[0], STYLES); pose = choreograph(Beats.steady(120, 1.2), 'house', 0, seconds=1.2)
    assert {k: tuple(v.shape) for k, v in r.items()} == dict(codes=(6, 60), grid=(60, 4), features=(60, 198), energy=(60,), style=(), have=(4,))
    assert np.allclose(r['energy'], motion_energy(clean(pose), 60), atol=.03) and r['have'].tolist() == [1, 1, 1, 1]

def test_rows_that_lack_something(rows):
    music = rows[0] | dict(pose=b'', frames=0, style='unknown')
    r = row2tensors(music, STYLES); assert r['have'].tolist() == [1, 0, 0, 0] and not r['features'].any() and not r['energy'].any()
    away = np.frombuffer(rows[0]['pose'], np.float16).reshape(-1, 33, 3).copy(); away[10:20] = 0 # how a row says that nobody was seen
    r = row2tensors(rows[0] | dict(pose=away.tobytes()), STYLES)
    assert r['have'][1] == 1 and torch.isfinite(r['features']).all() and r['features'].abs().max() < 20
    ds = Records([rows[0], music], STYLES); b = collate([ds[0], ds[1]]); assert b['features'].dtype == torch.float32 and b['have'].shape == (2, 4)

def test_mirrored():
    pose = choreograph(Beats.steady(110, 2.), 'house', 3, seconds=2.)
    assert np.allclose(mirrored(torch.tensor(pose2features(pose, 100))), pose2features(mirror(pose), 100), atol=1e-5)
    assert np.allclose(mirrored(mirrored(x := torch.randn(5, 198))), x)


# ---- chance

def test_leave_out():
    keep = leave_out(torch.ones(4000, 4), step_rng(0, 0), .1, (.05, .2, .3, 1.))
    assert torch.allclose(keep.mean(0), .9*torch.tensor([.95, .8, .7, 0]), atol=.03)
    assert (leave_out(torch.ones(9, 4), step_rng(0, 0), 0, (0, 0, 0, 0)) == 1).all()

def test_chance_is_shared_by_processes(rows):
    ds = Records(rows, STYLES); b = collate([ds[i] for i in range(8)]); whole = shake(b, step_rng(3, 9))
    parts = [shake({k: v[2*r:2*r+2] for k, v in b.items()}, step_rng(3, 9), rank=r, world=4) for r in range(4)]
    for k in ('features', 'keep'): assert torch.equal(torch.cat([p[k] for p in parts]), whole[k])
    assert not torch.equal(shake(b, step_rng(3, 10))['keep'], whole['keep']) and 'have' in b


# ---- measures

def test_counting():
    loop = np.tile([1, 2, 3, 4], (8, 25)); uni, bi = ngram_nll(loop, loop, 8); assert abs(uni - np.log(4)) < .05 and bi < .2
    noise = np.random.default_rng(0).integers(0, 1024, (50, 200)); uni, bi = ngram_nll(noise[:40], noise[40:]); assert abs(uni - np.log(1024)) < .1 and bi < uni + .01

def test_prepare(rows):
    "In several processes the same tensors, in the same places"
    ds, plain = Records(rows, STYLES, keep=10).prepare(2), Records(rows, STYLES)
    assert len(ds.ready) == 10
    for i in range(len(rows)): a, b = ds[i], plain[i]; assert {*a} == {*b} and all((a[k] == b[k]).all() and a[k].dtype == b[k].dtype for k in a)

def test_valid_nll(rows):
    m = new_model('toy', dropout=.5).train(); a, b = valid_nll(m, rows[:6]), valid_nll(m, rows[:6], batch=4)
    assert a.shape == (6,) and np.allclose(a, b, atol=1e-4) and m.training # the batch does not matter, and the model is left as it was

def test_listening(rows):
    codec = Codec.from_pretrained('nano'); codes = torch.tensor(np.stack([np.frombuffer(rows[0]['codes'], np.int16).reshape(6, -1)])).long()[...,:12]
    right = torch.nn.functional.one_hot(codes, 1024)*30.; assert perceptual_loss(codec, right, codes) < .02
    y = torch.zeros(1, 6, 12, 1024, requires_grad=True); loss = perceptual_loss(codec, y, codes); loss.backward()
    assert loss > .1 and torch.isfinite(y.grad).all() and y.grad.abs().max() > 0
    m = new_model('toy'); acc = tempo_check(m, codec, rows[:2]); assert len(acc) == 2 and all(0 <= x <= 1 for x in acc)

def test_mix_heard(rows):
    m = new_model('toy').eval(); ds = Records(rows, m.config.styles); x = shake(collate([ds[i] for i in range(4)]), step_rng(0, 0)); r = lambda: step_rng(0, 5)
    assert torch.equal(mix_heard(m, x, 0., r()), x['codes']) and .3 < (mix_heard(m, x, .5, r()) != x['codes']).float().mean() < .7

def test_optimizer_saves_and_loads():
    m = new_model('toy'); c = TrainConfig(); opt = new_optimizer(m, c); codes = torch.randint(1024, (2, 6, 20))
    assert isinstance(opt, MuonAdamW) and [g['muon'] for g in opt.param_groups] == [True, False, False]
    assert sum(len(g['params']) for g in opt.param_groups) == len([*m.parameters()]) and not any(g['muon'] for g in new_optimizer(m, TrainConfig(optimizer='adamw')).param_groups)
    m(codes)["loss"].backward(); opt.step(); again = new_optimizer(m, c); again.load_state_dict(opt.state_dict())
    p = m.blocks[0].qkv.weight; assert torch.equal(again.state[p]['mean'], opt.state[p]['mean'])

def test_progress(): assert '1400 of 2800 |##########..........| validation 5.000  10 min left' in progress_line(1400, 2800, 600., 1400, validation=5., tempo=None)


# ---- settings

def test_config_files(tmp_path):
    (tmp_path/'c.json').write_text('{"steps": 7, "lr": 1}'); (tmp_path/'c.yaml').write_text('steps: 7\nlr: 1e-3\nbf16: true\ndrop: [0, 0, 0, 0]\n'); (tmp_path/'e.yml').write_text('')
    assert read_config(tmp_path/'c.json').lr == 1. and read_config(tmp_path/'c.json', steps=9).steps == 9 and read_config(tmp_path/'e.yml') == TrainConfig()
    y = read_config(tmp_path/'c.yaml'); assert (y.steps, y.lr, y.bf16, y.drop) == (7, .001, True, [0, 0, 0, 0])
    if sys.version_info >= (3, 11): (tmp_path/'c.toml').write_text('steps = 7\nbf16 = true'); assert read_config(tmp_path/'c.toml').bf16

@pytest.mark.parametrize('text, message', [('{"stepz": 1}', "did you mean 'steps'"), ('{"qqq": 1}', 'unknown setting'), ('{"steps": "x"}', 'steps must be int'), ('{"steps": true}', 'must be int'),
    ('{"steps": 1.5}', 'must be int'), ('{"bf16": 1}', 'bf16 must be bool'), ('{"steps": 0}', 'at least 1'), ('{"size": "x"}', 'choose one of nano'), ('{"drop": [1]}', 'four shares'),
    ('{"bf16": true, "fp16": true}', 'choose one'), ('{"held_out": 1.0}', 'held_out'), ('{"optimizer": "sgd"}', 'muon'), ('{"device": "tpu"}', 'auto'), ('{', 'not readable as JSON'), ('[1]', 'not a list'), ('{"steps": null}', 'must be int')])
def test_config_errors(tmp_path, text, message):
    (tmp_path/'c.json').write_text(text)
    with pytest.raises(TrainError, match=message) as e: read_config(tmp_path/'c.json')
    assert '\n' not in str(e.value)

def test_config_file_errors(tmp_path):
    with pytest.raises(TrainError, match='no such file'): read_config(tmp_path/'no.json')
    (tmp_path/'c.ini').write_text('steps=1')
    with pytest.raises(TrainError, match='toml, .json or .yaml'): read_config(tmp_path/'c.ini')
    assert check_config(TrainConfig())


# ---- runs

def test_interrupted_run_is_the_same_run(data, tmp_path):
    from transformers import TrainerCallback
    class Stop(TrainerCallback):
        def on_save(self, args, state, control, **kw): control.should_training_stop = state.global_step >= 2
    lines = []; whole = train(config(data, tmp_path/'whole'), log=lines.append); c = config(data, tmp_path/'parts')
    train(c, [Stop()], **quiet); train(c, **quiet)
    assert curve(c.out) == curve(whole) and len(curve(whole)) == 8 and len(lines) == 4
    a, b = (PoseToMusic.from_pretrained(o).state_dict() for o in (whole, c.out)); assert all(torch.equal(a[k], b[k]) for k in a)
    r = report(whole); assert set(r['without']) == {'grid', 'motion', 'style', 'energy', 'all'} and r['clips'] + r['held_out'] == 14 and len(r['nll']) == 6
    with pytest.raises(TrainError, match='seed 0, not 1'): train(config(data, c.out, seed=1), **quiet)

def test_two_processes_are_one(data, tmp_path):
    script = tmp_path/'run.py'
    script.write_text(textwrap.dedent(f'''
        import sys, torch; torch.set_num_threads(1)
        from dance2music.model import SIZES; SIZES['toy'] = {TOY}
        from dance2music.training import TrainConfig, train
        train(TrainConfig(data={str(data)!r}, out=sys.argv[1], size='toy', steps=3, batch=4, eval_every=3, warmup=1, held_out=.2, tempo_clips=0, dropout=0., device='cpu'))
    '''))
    env = os.environ | dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    p = subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2', str(script), str(tmp_path/'two')], env=env, capture_output=True, text=True, timeout=300)
    assert p.returncode == 0, p.stderr[-3000:]
    train(config(data, tmp_path/'one', steps=3, eval_every=3, dropout=0., lr=4e-3, adam=1e-3), **quiet)
    one, two = (PoseToMusic.from_pretrained(tmp_path/n, dtype=torch.float32).state_dict() for n in ('one', 'two'))
    assert abs(report(tmp_path/'one')['log'][-1]['eval_loss'] - report(tmp_path/'two')['log'][-1]['eval_loss']) < 1e-3
    assert p.stdout.count('3 of 3') == 1 and max((one[k] - two[k]).abs().max() for k in one) < 4e-3 # told once, and the same weights up to rounding

@pytest.mark.parametrize('kw', [dict(bf16=True), dict(scheduled=.5), dict(perceptual=.1), dict(streaming=True), dict(optimizer='adamw'), dict(workers=1, tempo_clips=1)], ids=str)
def test_options(data, tmp_path, kw):
    log = report(train(config(data, tmp_path/'x', steps=1, **kw), **quiet))['log']
    assert np.isfinite([h['loss'] for h in log if 'loss' in h]).all() and ('eval_tempo' in log[-1]) == ('tempo_clips' in kw)

def test_tensorboard(data, tmp_path):
    pytest.importorskip('tensorboard', reason='tensorboard is not installed')
    train(config(data, tmp_path/'x', steps=1, tensorboard=True), **quiet)
    assert [*(tmp_path/'x').rglob('events.out.tfevents*')]

def test_no_tensorboard(data, tmp_path, monkeypatch):
    monkeypatch.setattr('dance2music.training.find_spec', lambda name: None)
    with pytest.raises(TrainError, match='pip install tensorboard'): train(config(data, tmp_path/'x', tensorboard=True), **quiet)

def test_plateau_and_second_start(data, tmp_path):
    out = train(config(data, tmp_path/'a', steps=9, patience=1, lr=0., adam=0.), **quiet) # cannot get better
    assert curve(out)[-1][0] < 9
    again = train(config(data, tmp_path/'b', steps=1, init=str(out), lr=0., adam=0.), **quiet)
    a, b = (PoseToMusic.from_pretrained(o).state_dict() for o in (out, again)); assert all(torch.equal(a[k], b[k]) for k in a)

def test_data_that_does_not_fit(rows, data, tmp_path):
    with pytest.raises(FileNotFoundError, match='shard'): train(config(tmp_path/'none', tmp_path/'x'), **quiet)
    with pytest.raises(TrainError, match='too few for a batch of 64'): train(config(data, tmp_path/'x', batch=64), **quiet)
    eight = [r | dict(n_codebooks=8, codes=r['codes']*2) for r in rows]; write_shard(eight, tmp_path/'eight'/'shard-00000.parquet')
    with pytest.raises(TrainError, match='8 codebooks'): train(config(tmp_path/'eight', tmp_path/'x'), **quiet)

def test_new_styles(rows, tmp_path):
    write_shard([r | dict(style='krump') for r in rows], tmp_path/'k'/'shard-00000.parquet')
    assert PoseToMusic.from_pretrained(train(config(tmp_path/'k', tmp_path/'x', steps=1), **quiet)).config.styles[-1] == 'krump'

@pytest.mark.parametrize('recipe', ['codec_nano', 'pose2music_nano', 'tracker_nano'])
@pytest.mark.parametrize('wrong', ['--steps=0', '--batch=0', '--device=tpu', '--out={file}', '--init={gone}'])
def test_recipes_say_what_is_wrong(recipe, wrong, tmp_path, monkeypatch, capsys):
    "Before hours of work begin, in one line, and nothing is written"
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1]/'recipes')); (tmp_path/'file').write_text('mine')
    with pytest.raises(SystemExit) as e: __import__(recipe).arguments([wrong.format(file=tmp_path/'file', gone=tmp_path/'gone')])
    assert e.value.code==2 and capsys.readouterr().err.splitlines()[-1].startswith(f'{Path(sys.argv[0]).name}: error: ') and [*tmp_path.iterdir()]==[tmp_path/'file']
