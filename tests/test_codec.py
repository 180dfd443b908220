"""The codec beyond its notebook: odd input, damaged files, batches, seams, memory, and training that goes on where it stopped."""
import json
from pathlib import Path
import numpy as np, pytest, torch
from transformers import EncodecConfig, EncodecModel
from dance2music.codec import (Codec, CodecError, CodecTraining, GroovePool, ResidualVQ, _spans, export_codec, nano_config, perplexity, snr, train_codec)

torch.set_num_threads(1)
ASSET = Path(__file__).resolve().parents[1]/'dance2music'/'assets'/'codec-nano'/'model.safetensors'
trained = pytest.mark.skipif(not ASSET.exists(), reason='the trained codec is not in the assets')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    torch.manual_seed(0); model = EncodecModel(nano_config()); out = tmp_path_factory.mktemp('codec')/'random'
    for layer in model.quantizer.layers: layer.codebook.embed.normal_()
    model.half().save_pretrained(out)
    return out


@pytest.fixture(scope='module')
def codec(folder): return Codec.from_pretrained(folder)


@pytest.fixture(scope='module')
def noise(): return (np.random.default_rng(0).standard_normal(24000*5)*.1).astype(np.float32)


def damaged(folder, tmp_path, **change):
    "A copy of the folder with files replaced by bytes, or left out for None"
    out = tmp_path/'copy'; out.mkdir()
    for f in folder.iterdir():
        b = change.get(f.name.split('.')[0], f.read_bytes())
        if b is not None: (out/f.name).write_bytes(b)
    return out


def one_line(e): assert '\n' not in str(e.value) and len(str(e.value)) < 300


def test_face(codec):
    assert (codec.sample_rate, codec.frame_rate, codec.n_codebooks, codec.codebook_size, codec.bitrate) == (24000, 50, 6, 1024, 3000)
    assert next(codec.model.parameters()).dtype == torch.float32 and not any(p.requires_grad for p in codec.model.parameters())
    assert codec.codebooks.shape == (6, 1024, 64) and '3 kbit/s' in repr(codec)


@pytest.mark.parametrize('samples', [1, 2, 479, 480, 481, 959, 12345])
def test_any_length(codec, noise, samples):
    codes = codec.encode(noise[:samples])
    assert codes.shape == (6, -(-samples//480)) and codes.dtype == np.int64
    wav = codec.decode(codes)
    assert wav.shape == (codes.shape[1]*480,) and wav.dtype == np.float32 and np.isfinite(wav).all()


def test_the_same_twice_and_input_untouched(codec, noise):
    x = noise[:4800].copy(); a, b = codec.encode(x), codec.encode(x)
    assert (a == b).all() and (x == noise[:4800]).all()
    assert (codec.decode(a) == codec.decode(b)).all()


def test_equals_transformers(codec, noise):
    "Our way through the network is EnCodec's own"
    x = torch.tensor(noise[:48000])
    with torch.no_grad():
        out = codec.model.encode(x[None,None], bandwidth=3.)
        wav = codec.model.decode(out.audio_codes, [None])[0]
    codes = codec.encode(noise[:48000])
    assert (codes == out.audio_codes[0,0].numpy()).mean() > .999
    assert np.allclose(codec.decode(out.audio_codes[0,0]), wav[0,0].numpy(), atol=1e-4)


def test_channels_and_rates(codec, noise):
    mono = codec.encode(noise[:24000])
    assert (codec.encode(np.stack([noise[:24000]]*2)) == mono).mean() > .99
    assert codec.encode(np.stack([noise[:44100]]*7), sr=44100).shape == (6, 50)
    assert codec.encode(noise[:8000], sr=8000).shape == (6, 50)
    assert codec.encode(noise[:1], sr=192000).shape == (6, 1)
    assert (codec.encode(noise[:24000], sr=24000) == mono).all()
    assert (codec.encode(noise[:24000].astype(np.float64)) == mono).all()


@pytest.mark.parametrize('wav,what', [
    ([], 'at least one'), (np.zeros((2, 0)), 'at least one'), (np.zeros((1, 1, 9)), 'not shape'), (np.full(9, np.nan), 'NaN'),
    (np.array([0, np.inf]), 'infinity'), (np.zeros(9, np.int16), '32768'), (np.zeros((24000, 2)), 'wav.T'), (['a'], 'floats')])
def test_bad_sound(codec, wav, what):
    with pytest.raises(CodecError, match=what) as e: codec.encode(wav)
    one_line(e)


@pytest.mark.parametrize('sr', [0, -1, float('nan')])
def test_bad_rate(codec, noise, sr):
    with pytest.raises(CodecError, match='positive') as e: codec.encode(noise[:99], sr=sr)
    one_line(e)


@pytest.mark.parametrize('codes,what', [
    (np.zeros((5, 0), int), 'at least one frame'), (np.zeros(5, int), 'shape'), (np.zeros((7, 9), int), '1 to 6'), (np.zeros((2, 5, 9), int), 'shape'),
    (np.full((5, 2), 1024), '0..1023'), (np.full((5, 2), -1), '0..1023'), (np.zeros((5, 2)), 'whole numbers')])
def test_bad_codes(codec, codes, what):
    with pytest.raises(CodecError, match=what) as e: codec.decode(codes)
    one_line(e)


def test_batches(codec, noise):
    x = noise.reshape(5, -1); codes = codec.encode_batch(x)
    assert codes.shape == (5, 6, 50)
    assert np.mean([(c == codec.encode(w)).mean() for c, w in zip(codes, x)]) > .99
    assert (codec.encode_batch([*x]) == codes).all()
    y = codec.decode_batch(codes)
    assert y.shape == (5, 24000) and np.allclose(y[2], codec.decode(codes[2]), atol=1e-4)
    with pytest.raises(CodecError, match='different lengths'): codec.encode_batch([noise[:9000], noise[:100]])
    with pytest.raises(CodecError, match='empty'): codec.encode_batch([])
    with pytest.raises(CodecError, match='one shape'): codec.decode_batch([codes[0], codes[1][:,:9]])
    with pytest.raises(CodecError, match='not-empty'): codec.decode_batch([])


def test_many_clips_are_split(codec):
    assert codec.encode_batch(np.zeros((70, 24000), np.float32)).shape == (70, 6, 50) # 70 s: more than one group


def test_prefix(folder, codec, noise):
    codes = codec.encode(noise[:24000])
    for bandwidth, k in ((.5, 1), (1., 2), (1.5, 3), (2., 4), (2.5, 5), (3., 6)):
        c = Codec.from_pretrained(folder, bandwidth=bandwidth)
        assert c.n_codebooks == k and c.bitrate == 1000*bandwidth and (c.encode(noise[:24000]) == codes[:k]).all()
    assert codec.decode(codes[:1]).shape == (24000,)
    with pytest.raises(CodecError, match='0.5, 1.0, 1.5, 2.0, 2.5, 3.0'): Codec.from_pretrained(folder, bandwidth=6)


def test_spans_cover():
    for n, size in ((1, 5), (5, 5), (6, 5), (1000, 7)):
        s = _spans(n, size)
        assert s[0][0] == 0 and s[-1][1] == n and all(a[1] == b[0] for a, b in zip(s, s[1:]))
        assert all(lo <= a < b <= hi <= n for a, b, lo, hi in s)


def test_chunks(codec, noise):
    "Pieces give what the whole gives, to the last digits"
    codes = codec.encode(noise)
    assert (codec.encode(noise, chunk=1.) == codes).mean() > .999
    whole = codec.decode(codes)
    for chunk in (.02, .33, 1.): assert codec.decode(codes, chunk=chunk).shape == whole.shape and abs(codec.decode(codes, chunk=chunk)-whole).max() < 1e-4


def test_causal_codec(tmp_path, noise):
    "With causal convolutions a piece needs context on one side"
    config = nano_config(); config.use_causal_conv = True
    torch.manual_seed(0); model = EncodecModel(config)
    for layer in model.quantizer.layers: layer.codebook.embed.normal_()
    c = Codec(model); codes = c.encode(noise)
    assert (c.encode(noise, chunk=1.) == codes).mean() > .999 and abs(c.decode(codes, chunk=1.)-c.decode(codes)).max() < 1e-4


def test_pieces_bound_the_work(codec, noise):
    "No layer before the LSTM sees more than a piece and its context"
    seen = []; hook = codec.model.encoder.layers[0].register_forward_hook(lambda m, x, y: seen.append(x[0].shape[-1]))
    try: codec.encode(noise, chunk=1.)
    finally: hook.remove()
    assert max(seen) <= (50+10+10)*480 and len(seen) == 5


def test_folders(folder, tmp_path):
    for change, what in ((dict(config=None), 'config.json is missing'), (dict(model=None), 'model.safetensors is missing'),
                         (dict(config=b'{'), 'not the configuration'), (dict(config=b'[]'), 'not the configuration'),
                         (dict(config=b'{"model_type": "bert"}'), 'bert'), (dict(model=b''), 'damaged'), (dict(model=b'\x00'*500), 'damaged'),
                         (dict(model=(folder/'model.safetensors').read_bytes()[:-7]), 'damaged')):
        d = tmp_path/what.replace(' ', '')[:9]/str(len(str(change))); d.mkdir(parents=True)
        with pytest.raises(CodecError, match=what) as e: Codec.from_pretrained(damaged(folder, d, **change))
        assert '\n' not in str(e.value)


def test_weights_of_another_size(folder, tmp_path):
    c = json.loads((folder/'config.json').read_text())
    for change in (dict(num_filters=8), dict(num_lstm_layers=2), dict(upsampling_ratios=[8, 5, 4])):
        d = tmp_path/str(change)[2:9]; d.mkdir()
        with pytest.raises(CodecError) as e: Codec.from_pretrained(damaged(folder, d, config=json.dumps(c | change).encode()))
        assert '\n' not in str(e.value)


def test_no_such_thing(tmp_path):
    with pytest.raises(CodecError, match='no such folder'): Codec.from_pretrained(tmp_path/'nothing')
    with pytest.raises(CodecError, match='no such folder'): Codec.from_pretrained('./nothing')


def test_offline(monkeypatch):
    monkeypatch.setattr('huggingface_hub.constants.HF_HUB_OFFLINE', True)
    with pytest.raises(CodecError, match="use 'nano'") as e: Codec.from_pretrained('facebook/no-such-encodec')
    assert '\n' not in str(e.value)


def test_no_stereo_codec():
    config = nano_config(); config.audio_channels = 2
    with pytest.raises(CodecError, match='mono'): Codec(EncodecModel(config))


def test_no_such_device(folder):
    if torch.cuda.is_available(): pytest.skip('has CUDA')
    with pytest.raises(CodecError, match='cpu') as e: Codec.from_pretrained(folder, device='cuda')
    one_line(e)


def test_loading_leaves_chance_alone(folder):
    torch.manual_seed(3); a = torch.rand(1); torch.manual_seed(3); Codec.from_pretrained(folder)
    assert torch.rand(1) == a


def test_gradient_is_ones():
    torch.manual_seed(0); vq = ResidualVQ(8, 4, 16).eval(); vq.embed.normal_()
    z = torch.randn(2, 8, 5, requires_grad=True)
    for n in (None, 1, 2, 3):
        q, codes, commit = vq(z, n)
        assert torch.equal(torch.autograd.grad(q.sum(), z, retain_graph=True)[0], torch.ones_like(z)) and codes.shape == (2, n or 4, 5)
        assert torch.autograd.grad(commit, z)[0].abs().sum() > 0


def test_export_keeps_the_codebooks(tmp_path):
    torch.manual_seed(0); vq = ResidualVQ(); vq.embed.normal_()
    codec = Codec.from_pretrained(export_codec(EncodecModel(nano_config()), vq, tmp_path/'x'))
    assert torch.allclose(codec.codebooks, vq.embed, atol=2e-3)


def test_training_goes_on(tmp_path):
    lines = []; c = CodecTraining(out=tmp_path/'c', steps=1, plain=1, batch=1, seconds=.3, pool=1, save_every=1, warmup=1)
    train_codec(c, lines.append); c.steps = 2; out = train_codec(c, lines.append)
    assert [l.split(',')[0] for l in lines] == ['step 1', 'step 2']
    assert Codec.from_pretrained(out).encode(np.zeros(480, np.float32)).shape == (6, 1)
    assert not [p for p in out.iterdir() if p.name.startswith('.')]


def test_training_by_the_clock(tmp_path):
    "The time of an interrupted run counts"
    lines = []; c = CodecTraining(out=tmp_path/'c', minutes=.03, plain=1, batch=1, seconds=.3, pool=1, save_every=1, warmup=1)
    train_codec(c, lines.append); before = len(lines); assert before > 0
    train_codec(c, lines.append); assert len(lines) == before # it was over
    c.out = tmp_path/'d'; c.save_every = 10**6; lines.clear(); train_codec(c, lines.append); train_codec(c, lines.append) # a last step that no checkpoint was due at
    assert len(lines) == 2 and lines[0].split(',')[0] == lines[1].split(',')[0]


def test_decoder_alone(tmp_path):
    "Codes keep their meaning, the sound changes; a codec to begin with must be one, and of this shape"
    c = CodecTraining(out=tmp_path/'c', steps=2, plain=1, batch=1, seconds=.3, pool=1, warmup=1); first = Codec.from_pretrained(train_codec(c))
    d = Codec.from_pretrained(train_codec(CodecTraining(out=tmp_path/'d', init=tmp_path/'c', decoder=True, steps=2, batch=1, seconds=.3, pool=1, warmup=1)))
    x = np.random.default_rng(0).standard_normal(9600).astype(np.float32)*.1; codes = first.encode(x)
    assert (d.encode(x) == codes).all() and abs(d.decode(codes) - first.decode(codes)).max() > 1e-4
    e = Codec.from_pretrained(train_codec(CodecTraining(out=tmp_path/'e', init=tmp_path/'c', steps=1, batch=1, seconds=.3, pool=1, warmup=1)))
    assert e.codebooks.shape == first.codebooks.shape and not torch.equal(e.model.encoder.layers[0].conv.weight, first.model.encoder.layers[0].conv.weight)
    other = nano_config(); other.num_filters = 8; EncodecModel(other).save_pretrained(tmp_path/'o')
    for init, what in ((tmp_path/'none', 'missing'), (tmp_path/'o', 'another shape')):
        with pytest.raises(CodecError, match=what): train_codec(CodecTraining(out=tmp_path/'x', init=init, steps=1, batch=1, seconds=.3, pool=1))


@pytest.mark.parametrize('wrong', [dict(minutes=-1), dict(batch=0), dict(lr=float('nan')), dict(share=1.5), dict(decoder=True), dict(seconds=0.)])
def test_training_asks_for_sense(wrong):
    with pytest.raises(ValueError, match='codec training: ' + [*wrong][0]): CodecTraining(**wrong)


def test_pool_is_the_same_with_helpers():
    def some(workers): p = GroovePool(4, 1, .5, renew=1., workers=workers); return torch.stack([p.batch(2, 480) for _ in range(6)])
    assert torch.equal(some(0), some(2))


def test_numbers():
    assert perplexity(np.arange(1024)) == pytest.approx(1024) and snr(np.ones(4), np.ones(4)*.9) == pytest.approx(20)


@trained
def test_the_shipped_codec_beats_chance():
    from dance2music.codec import mel_distance
    from dance2music.groove import groove
    nano, x = Codec.from_pretrained('nano'), groove(110, 'house', 3., seed=77).wav
    mel = lambda y: mel_distance(torch.tensor(x)[None], torch.tensor(y)[None]).item()
    codes = nano.encode(x); back = nano.decode(codes)[:len(x)]
    assert mel(back) < .5*mel(nano.decode(np.random.default_rng(0).integers(1024, size=codes.shape)))
    assert snr(x, back) > 1 and perplexity(codes).min() > 10
    assert ASSET.stat().st_size < 8e6
