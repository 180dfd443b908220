"Measuring: intervals and distances worked out by hand, luck and ceiling, whose fault it was, files, refusals; and the numbers in the documents"
import csv, importlib.util, json, re
from pathlib import Path
import numpy as np, pytest, torch
from transformers import EncodecModel
import dance2music.results as results
from dance2music.codec import Codec, nano_config
from dance2music.dataset import half_time, make_pair, synthesize
from dance2music.generate import DanceToMusic
from dance2music.model import PoseToMusic, PoseToMusicConfig
from dance2music.pose import Pose
from dance2music.results import *
from dance2music.rhythm import Beats, bcs_bhs, legacy_summary

ROOT = Path(__file__).resolve().parents[1]
SR = 24000

@pytest.fixture(scope='module')
def d2m():
    "Weights that know nothing"
    torch.manual_seed(0); c = EncodecModel(nano_config())
    for layer in c.quantizer.layers: layer.codebook.embed.normal_()
    return DanceToMusic(PoseToMusic(PoseToMusicConfig(d_model=24, n_layers=2, n_heads=2, pose_width=8)), Codec(c, 'tiny'))

@pytest.fixture(scope='module')
def kept(tmp_path_factory): return tmp_path_factory.mktemp('kept')

@pytest.fixture(scope='module')
def measured(d2m, kept, tmp_path_factory):
    "Two dances of two seconds, and the page about them"
    page = tmp_path_factory.mktemp('page')/'report.html'
    return evaluate(d2m, n=2, seconds=2., cache=kept, report=page, n_candidates=1), page

@pytest.fixture(scope='module')
def case(d2m): return made_cases(1, d2m.codec, 2.)[0]


# ---- intervals

def test_bootstrap():
    b = bootstrap([0, 0, 1, 1, np.nan])
    assert (b.value, b.n) == (.5, 4) and 0 <= b.lo < .5 < b.hi <= 1
    assert bootstrap([]).n == 0 and np.isnan(bootstrap([np.nan]).value)
    assert bootstrap([3, 3, 3])[:3] == (3, 3, 3)
    x = np.random.default_rng(1).standard_normal(40); assert bootstrap(x) == bootstrap(x) != bootstrap(x, seed=1)

def test_bootstrap_covers():
    "An interval of 90 % holds the true mean in nearly 90 % of the experiments"
    rng = np.random.default_rng(0); runs = [bootstrap(rng.exponential(size=50), 300, .9) for _ in range(300)]
    assert .83 < np.mean([r.lo <= 1 <= r.hi for r in runs]) < .95

def test_wilson():
    np.testing.assert_allclose(wilson(10, 12)[:3], (10/12, .5520, .9530), atol=1e-3)
    np.testing.assert_allclose(wilson(0, 10)[:3], (0, 0, .2775), atol=1e-3)
    assert wilson(0, 0).n == 0 and wilson(5, 5).hi == 1
    assert interval([1, 1, 1]) == wilson(3, 3) and interval([.2, .4]) == bootstrap([.2, .4])


# ---- distances

def spread(mean, sd, n=400, d=3):
    "A cloud whose mean and covariance are exactly so"
    x = np.random.default_rng(0).standard_normal((n, d)); x -= x.mean(0)
    return mean + sd*x@np.linalg.inv(np.linalg.cholesky(np.cov(x.T)).T)

def test_frechet_of_known_gaussians():
    x = spread(0, 1)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x+2) == pytest.approx(3*4)                              # only the mean
    assert frechet(x, 3*x) == pytest.approx(3*(3-1)**2)                       # only the spread: (s-1)^2 in each direction
    assert frechet(x, spread(1, 2)) == pytest.approx(3*(1+1)) and frechet(spread(1, 2), x) == pytest.approx(3*(1+1))
    a, b = np.diag([1., 4.]), np.diag([9., 1.])                               # commuting: sum of (sqrt a - sqrt b)^2
    y = spread(0, 1, d=2); assert frechet(y@np.sqrt(a), y@np.sqrt(b)) == pytest.approx((1-3)**2+(2-1)**2)

def test_frechet_of_flat_clouds():
    x = np.random.default_rng(0).standard_normal((6, 20)) # fewer vectors than dimensions
    assert frechet(x, x) == pytest.approx(0, abs=1e-6) and np.isfinite(frechet(x, np.zeros((4, 20))))
    with pytest.raises(ResultsError, match='2 vectors'): frechet(x[:1], x)

def test_fad(case):
    noise = np.random.default_rng(0).standard_normal(2*SR).astype(np.float32)*.1
    f = fad([case.wav], [noise]); assert f.embedding == 'mel-stats' and (f.n_a, f.n_b) == (1, 1) and f.distance > 1
    assert fad([case.wav], [case.wav]).distance < 1e-6
    with pytest.raises(ResultsError, match='both sides'): fad([], [noise])
    with pytest.raises(ResultsError, match='choose'): fad([noise], [noise], embedding='vggish')

def test_fad_interval():
    rng = np.random.default_rng(0); clips = lambda m: [m + rng.standard_normal((5, 2)) for _ in range(30)]
    i = fad_interval(clips(0), clips(2)); assert i.lo < i.value < i.hi and i.lo < 8 < i.hi and i.n == 30
    assert fad_interval(x := clips(0), x).lo >= 0

def test_mel_stats_hears_colour():
    t = np.arange(SR)/SR; low, high = (np.sin(2*np.pi*f*t) for f in (100, 5000))
    assert mel_stats(low, SR).shape == (1, 48) and mel_stats(np.zeros(SR//2), SR).shape == (1, 48)
    assert np.abs(mel_stats(low, SR)-mel_stats(high, SR)).max() > 1
    assert mel_stats(np.sin(2*np.pi*100*np.arange(5*44100)/44100), 44100).shape == (9, 48)

def test_clap(tmp_path):
    "A tiny CLAP with random weights goes the way of the real one"
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel
    c = ClapConfig(audio_config=dict(hidden_size=32, depths=[1, 1], num_attention_heads=[2, 2], patch_embeds_hidden_size=16, num_mel_bins=64, projection_dim=8, enable_fusion=False, num_hidden_layers=2),
                   text_config=dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, projection_dim=8), projection_dim=8)
    ClapModel(c).save_pretrained(tmp_path/'clap'); ClapFeatureExtractor(truncation='rand_trunc').save_pretrained(tmp_path/'clap')
    name, embed = embedder(str(tmp_path/'clap'))
    assert name == 'clap clap' and (v := embed(np.random.default_rng(0).standard_normal(2*SR)*.1, SR)).shape == (3, 8) and np.isfinite(v).all()
    (tmp_path/'empty').mkdir()
    with pytest.raises(ResultsError, match='mel-stats') as e: embedder(str(tmp_path/'empty'))
    assert '\n' not in str(e.value)


# ---- cases, luck and ceiling

def test_cases(d2m, case):
    assert case.name == str(FIRST) and len(case.wav) == 2*SR and case.ideal is case.wav and case.seconds == 2
    pose, music = make_pair(FIRST, 2.); np.testing.assert_array_equal(music.wav, case.wav)
    fast = Beats.steady(170, 5); assert danced(fast).bpm == 85 and danced(fast).times.tolist() == half_time(fast).times.tolist() and danced(Beats.steady(150, 5)).bpm == 150
    assert within(Beats([-.2, 0, 1, 2.], 60), 2.).tolist() == [0, 1]

def test_recorded_cases(d2m, tmp_path, monkeypatch):
    synthesize(6, tmp_path, seed=FIRST, seconds=2., codec=d2m.codec)
    cs = recorded_cases(tmp_path, 3, d2m.codec, share=.5)
    assert len(cs) == 3 and all(c.ideal is not c.wav and len(c.ideal) == len(c.wav) for c in cs)
    with pytest.raises(ResultsError, match='2 or more'): recorded_cases(tmp_path, 3, d2m.codec, share=.04)
    monkeypatch.setattr(results, 'recorded_cases', lambda f, n, codec, *_: recorded_cases(f, n, codec, .5))
    r = evaluate(d2m, tmp_path, n=2, n_candidates=1); assert r['data'] == tmp_path.name and r['seed'] is None and r['rows']['fad']['ceiling']['codec'] == 0

def test_rivals(d2m, case):
    a, b = (rivals(case, case, d2m.codec, seed) for seed in (0, 1))
    assert {*a} == {*CHANCE, *CEILING} and all(w.shape == case.wav.shape for w in a.values())
    assert not a['silence'].any() and (a['metronome'] != b['metronome']).any() and (a['metronome'] == rivals(case, case, d2m.codec)['metronome']).all()

def test_clicks():
    y = clicks([-1, .5, 1.99, 5], 2., 1000); assert len(y) == 2000 and not y[:500].any() and y[500:530].any() and not y[530:1990].any()
    b = hear(clicks(np.arange(.2, 8, .5), 8), SR); assert b.bpm == pytest.approx(120, rel=.02)
    assert hear(np.zeros(SR*2), SR) is None

def test_score(case):
    true = Beats(within(case.beats, 2), case.beats.bpm); s = score(case, true)
    assert (s['acc1'], s['acc2'], s['beat_f'], s['bpm_error']) == (1, 1, 1, 0)
    double = score(case, Beats.steady(2*case.beats.bpm, 2, start=true.times[0])); assert (double['acc1'], double['acc2']) == (0, 1)
    none = score(case, None); assert (none['acc1'], none['acc2'], none['beat_f']) == (0, 0, 0) and np.isnan(none['bpm_error'])

def test_align_gain_of_luck_is_zero():
    moves = np.sort(np.random.default_rng(0).uniform(0, 60, 80)); g = [align_gain(moves, Beats.steady(120, 60, start=s), 120, 60) for s in np.linspace(0, .49, 25)]
    assert np.abs(np.mean(g, 0)).max() < .02
    assert align_gain(moves, Beats(moves, 80), 80, 60)[0] > .5 and np.isnan(align_gain(moves[:0], None, 120, 60)[0])


# ---- the legacy scores

def test_legacy_by_hand():
    true, always = [.5, 2.5], np.arange(.25, 4, .5)       # onsets in seconds 0 and 2 of 4
    assert tuple(bcs_bhs(true, always, 4)) == (200, 100)  # four bins for two: a generator that never stops exceeds 100
    assert tuple(bcs_bhs(true, always, 4, loris=True)) == (50, 100)
    assert tuple(bcs_bhs(true, [2.1, 3.9], 4)) == (100, 50) and tuple(bcs_bhs(true, [2.1, 3.9], 4, loris=True)) == (50, 50)
    np.testing.assert_allclose(legacy_summary([(200, 100), (100, 50)]), (150, 5000**.5, 75, 1250**.5, 100))

def test_always_on_exceeds_100(case):
    "Through sound and librosa: clicks twice a second against music that pauses"
    from types import SimpleNamespace
    quiet = SimpleNamespace(wav=clicks([.3, 2.4], 4), sr=SR, seconds=4.)
    s = results._legacy(dict(ours=quiet.wav), quiet)
    assert s[False, 'pulse'].bcs > 150 and s[False, 'pulse'].bhs == 100 and tuple(s[False, 'ours']) == tuple(s[True, 'ours']) == (100, 100)


# ---- whose fault

FINE = dict(true_bpm=120, given_bpm=121, beat_f=.2, tracker_f=.95, half_f=0., onsets=1.5, codec_onsets=1.4, true_onsets=1.6, true_f=.9)

@pytest.mark.parametrize('change,says', [(dict(beat_f=.9), 'nothing'), (dict(given_bpm=97), 'tracker: another tempo'), (dict(given_bpm=60), 'octave'), (dict(tracker_f=.1, half_f=.9), 'half a beat'),
    (dict(tracker_f=.1), 'wrong place'), (dict(onsets=.1), 'model'), (dict(onsets=.1, codec_onsets=.2), 'codec'), (dict(true_f=.2), 'mishears'), ({}, 'librosa counts otherwise')])
def test_cause(change, says): assert says in cause(FINE | change)

def test_worst():
    d = [dict(beat_f=f, heard_bpm=h, true_bpm=100) for f, h in ((.5, 100), (0., 100), (0., None), (.9, 100))]
    assert worst(d, 3) == [d[2], d[1], d[0]]


# ---- the whole

def test_evaluate(measured):
    r, _ = measured
    assert {*r['rows']} == {*WHAT} and r['n'] == 2 and r['embedding'] == 'mel-stats' and len(r['worst']) == len(r['cases']) == 2
    assert json.loads(json.dumps(r, allow_nan=False)) == r
    for k, m in r['rows'].items():
        assert m['n'] in (0, 1, 2) and (m['value'] is None or m['lo'] <= m['value'] <= m['hi'] or k == 'fad'), k
    rows = r['rows']; assert rows['acc1']['chance']['silence'] == 0 and rows['bpm_error']['chance']['silence'] is None
    assert rows['nll']['value'] == pytest.approx(np.log(1024), abs=.6) and rows['nll']['chance']['uniform'] == pytest.approx(np.log(1024), abs=1e-3) # knows nothing
    assert rows['fad']['floor_n'] == 1 and {*rows['fad']['ceiling']} == {'codec'} and rows['compute']['value'] > 0
    assert {(l['definition'], l['sound']) for l in r['legacy']} == {(d, s) for d in ('D2M-GAN', 'LORIS') for s in results.SHOWN}
    for t in (results_table(r), legacy_table(r), worst_table(r)): assert len(str(t).splitlines()) == len(t.rows)+1

def test_gap_of_the_deaf_is_what_it_is(measured):
    r, _ = measured
    assert r['rows']['gap']['value'] == pytest.approx(np.mean([c['beat_f']-c['cross_f'] for c in r['cases']]), abs=1e-3)

def test_kept_clips(d2m, kept, measured, monkeypatch):
    "A second run makes nothing; other weights or wishes make all of it; a damaged clip is made again"
    files = sorted(kept.glob('*.npz')); assert len(files) == 2
    monkeypatch.setattr(DanceToMusic, 'generate', lambda *a, **k: pytest.fail('made again'))
    again = evaluate(d2m, n=2, seconds=2., cache=kept, n_candidates=1)
    for k in ('acc1', 'beat_f', 'fad', 'compute'): assert again['rows'][k] == measured[0]['rows'][k]
    assert fingerprint(d2m, dict(n_candidates=2)) != fingerprint(d2m, dict(n_candidates=1)) == again['fingerprint']
    files[0].write_bytes(b'broken')
    assert results._kept(files[0]) is None and results._kept(files[1]) is not None

def test_kept_measures(d2m, kept, measured, monkeypatch):
    "What was measured is kept, to the last digit; another length, another dance, a damaged file are measured anew"
    files = sorted(kept.glob('*.json')); assert len(files) == 2
    monkeypatch.setattr(results, 'compose', lambda *a, **k: pytest.fail('asked for music'))
    again = evaluate(d2m, n=2, seconds=2., cache=kept, n_candidates=1)
    assert {k: v for k, v in again.items() if k not in ('machine', 'date')} == {k: v for k, v in measured[0].items() if k not in ('machine', 'date')}
    for other in (dict(seconds=2.5), dict(seed=FIRST+7)):
        with pytest.raises(pytest.fail.Exception, match='asked for music'): evaluate(d2m, n=2, cache=kept, n_candidates=1, **(dict(seconds=2.) | other))
    text = files[0].read_text(); files[0].write_text(text[:99])
    assert results._remembered(files[0]) is None and results._remembered(files[1]) is not None; files[0].write_text(text)

def test_workers(tmp_path, d2m):
    "Two processes make what one would, and keep it where one finds it"
    kw = dict(n=2, seconds=2., n_candidates=1); told = []
    r = evaluate(**kw, cache=tmp_path, workers=2, progress=lambda what, share: told.append(share)); files = sorted(tmp_path.iterdir())
    assert told == [.5, 1] and len(files) == 4
    assert evaluate(**kw, cache=tmp_path)['cases'] == r['cases'] and sorted(tmp_path.iterdir()) == files
    with pytest.raises(ResultsError, match='several workers'): evaluate(d2m, workers=2)

def test_report(measured, tmp_path, monkeypatch):
    r, page = measured; text = page.read_text(encoding='utf-8')
    assert text.count('data:image/png') == 2 and text.count('<table>') == 3 and 'http' not in text and 'BCS' in text
    assert [p.name for p in page.parent.iterdir()] == ['report.html']
    old = tmp_path/'r.html'; old.write_text('old')
    def fails(*a): raise OSError(28, 'No space left on device')
    monkeypatch.setattr(results.os, 'replace', fails)
    with pytest.raises(ResultsError, match='cannot be written') as e: write_report(r, old)
    assert old.read_text() == 'old' and [p.name for p in tmp_path.iterdir()] == ['r.html'] and '\n' not in str(e.value)

@pytest.mark.parametrize('kw,why', [(dict(n=1), 'n must'), (dict(n='many'), 'n must'), (dict(seconds=.5), 'seconds must'), (dict(seed=7), 'belong to training'), (dict(data='nowhere'), 'no such folder'),
    (dict(report='r.txt'), 'html'), (dict(report='nowhere/r.html'), 'exists'), (dict(embedding='vggish'), 'choose'), (dict(style='polka'), 'unknown style'), (dict(loudness=3), 'loudness'), (dict(model='nowhere'), 'no such folder'), (dict(workers=0), 'workers')])
def test_refusals(kw, why):
    with pytest.raises(ValueError, match=why) as e: evaluate(**kw)
    assert '\n' not in str(e.value)

def test_table():
    t = Table(['a|b', 'n'], [['x', 1.234], [None, 123.4]])
    assert str(t).splitlines() == ['a|b     n', 'x    1.23', '–     123'] and t._repr_markdown_().startswith('| a\\|b | n |') and '<td>1.23</td>' in t.html()
    assert '<td>&lt;b&gt;</td>' in Table(['x'], [['<b>']]).html()

def test_comparison():
    assert len(published_table().rows) == sum(map(len, PUBLISHED.values())) and len(offers_table().rows) == len(OFFERS)
    run = dict(nll=[1, 3], without=dict(grid=[2, 4]), bigram=[5, 5], unigram=[6, 6]); assert ablation_table(run).rows[1] == ['model, not told: grid', '3.00']
    assert loose_table(None) is None and loose_table(dict(rows=[dict(name='x', acc=.5, log=[1])])).rows == [['x', '0.50']] and loose_table(dict(base=dict(f=.25))).head == ['name', 'f']


# ---- listening

@pytest.fixture
def trials(tmp_path, case): return lambda **kw: BlindTest([case.pose]*4, dict(ours=[case.wav]*4, other=[case.wav*.5]*4), out=tmp_path/'l.csv', **kw)

def test_blind(trials):
    t = trials(); sides = []
    while t.trial: i, a, b = t.trial; sides.append(a); t.answer('A' if a == 'ours' else 'B')
    assert t.preference() == wilson(4, 4) and 'preferred in 100% of 4' in t.verdict() and {*sides} == {'ours', 'other'}
    assert [*csv.DictReader(open(t.out, newline=''))] == t.answers and [p.name for p in t.out.parent.iterdir()] == ['l.csv']
    with pytest.raises(ResultsError, match='everything is answered'): t.answer('A')

def test_blind_goes_on(trials):
    t = trials(); first = t.trial; t.answer('='); second = t.trial; u = trials()
    assert u.trial == second != first and u.verdict() == 'no decision yet (1 without a difference)'
    with pytest.raises(ResultsError, match="answer 'A'"): u.answer('left')
    u.out.write_text('x,y\n1,2\n')
    with pytest.raises(ResultsError, match='not a file of answers'): trials()
    with pytest.raises(ResultsError, match='two names'): BlindTest([], dict(a=[], b=[]))

def test_blind_face(trials, case, tmp_path):
    t = trials(); page = t.page(); assert page.count('<video') == 2 and 'ours' not in page and 'other' not in page
    box = t.face(); assert t.trial; box.children[1].children[2].click(); assert len(t.answers) == 1
    from dance2music.media import probe
    m = probe(motion2video(Pose(case.pose.xyz, case.pose.fps), case.wav, SR, tmp_path/'m.mp4')); assert abs(m.seconds-2) < .1 and (m.width, m.height) == (240, 240)


# ---- the numbers in the documents

def test_stale_numbers(tmp_path):
    (tmp_path/'a.json').write_text(json.dumps(dict(rows=dict(f=dict(value=.8369)), list=[1234.4, -3.21])))
    ok = '**0.84**<!-- results:a.rows.f.value --> and 83.7 %<!-- results:a.rows.f.value -->, 84% <!--results:a.rows.f.value-->, 1,234<!-- results:a.list.0 -->, −3.2<!-- results:a.list.1 -->'
    assert stale_numbers(ok, tmp_path) == [] == stale_numbers('no marks, 0.5', tmp_path)
    for bad, why in (('0.85<!-- results:a.rows.f.value -->', 'says 0.85'), ('0.84<!-- results:a.rows.g -->', 'no such number'), ('0.84<!-- results:b.x -->', 'no such number'), ('words<!-- results:a.list.0 -->', 'no number stands'), ('8.37<!-- results:a.rows.f.value -->', 'says 8.37')):
        assert len(stale_numbers(bad, tmp_path)) == 1 and why in stale_numbers(bad, tmp_path)[0]

def test_marks_by_name(tmp_path):
    "Names with spaces, entries of a list, means, a second folder; and a program that writes the numbers"
    (tmp_path/'b').mkdir(); (tmp_path/'a.json').write_text(json.dumps({'Acc1, 5 s': dict(value=.7626), 'figures': [dict(what='street, 5 s (best)', value=-12345.6)]})); (tmp_path/'b'/'t.json').write_text('{"nll": [1, 2, 6]}')
    both = [tmp_path, tmp_path/'b']
    ok = '**0.76**<!-- results:a[Acc1, 5 s].value -->, −12,346<!-- results:a.figures[street, 5 s (best)].value -->, 3.00<!-- results:t.nll.mean -->, 6<!-- results:t.nll.max -->'
    assert stale_numbers(ok, both) == [] and fill_numbers(ok, both) == ok
    bad = ok.replace('0.76', '0.99').replace('12,346', '1').replace('3.00', '4.44')
    assert len(stale_numbers(bad, both)) == 3 and fill_numbers(bad, both) == ok
    assert len(stale_numbers(ok, tmp_path)) == 2 and fill_numbers(ok, tmp_path) == ok # what is unknown stays, and is said
    assert 'no such number' in stale_numbers('1<!-- results:a.figures[elsewhere].value -->', both)[0]

DOCS = [p for p in (ROOT/'README.md', ROOT/'CHANGELOG.md', *sorted((ROOT/'docs').glob('**/*.md')), *sorted((ROOT/'dance2music'/'assets').glob('*/README.md'))) if p.is_file()]
FILES = ROOT/'benchmarks'/'results', ROOT/'dance2music'/'assets'/'pose2music-nano' # the second for training.json

@pytest.mark.parametrize('path', DOCS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_documents_agree_with_results(path):
    stale = stale_numbers(path.read_text(encoding='utf-8'), FILES)
    assert not stale, '\n'.join([*stale, 'python tools/readme_numbers.py writes them; then read the words around them'])

@pytest.mark.parametrize('path,least', [('README.md', 20), ('dance2music/assets/codec-nano/README.md', 20), ('dance2music/assets/pose2music-nano/README.md', 15), ('dance2music/assets/tracker-nano/README.md', 12)])
def test_numbers_are_marked(path, least): assert (ROOT/path).read_text(encoding='utf-8').count('<!-- results:') >= least

# ---- the table of targets

@pytest.fixture(scope='module')
def targets():
    spec = importlib.util.spec_from_file_location('targets', ROOT/'benchmarks'/'table.py'); m = importlib.util.module_from_spec(spec); spec.loader.exec_module(m); return m

def test_targets(targets, tmp_path):
    "Both forms of results, the worst of several, what is missing, chance as a target"
    (tmp_path/'rhythm.json').write_text(json.dumps(dict(figures=[dict(what='street, 5 s: Acc1, x (pose2beats)', value=2/3, n=9, chance=.1), dict(what='street, 10 s: beat F, pose2beats', value=.6, n=9, chance=.2, target=.4),
        dict(what='video a: tempo error', value=.001, n=1), dict(what='video b: tempo error', value=.02, n=1)])))
    (tmp_path/'build.json').write_text(json.dumps({'filter: recall': dict(value=.95, target=.95, ok=True)}))
    rows = {r.what: r for r in targets.rows(tmp_path)}; get = lambda s: next(r for w, r in rows.items() if w.startswith(s))
    assert get('tempo within 4 %, street dance, 5 s')[2:7] == (2/3, '>= 0.65', 'pass', 9, .1) and get('beat F at 70 ms, street').wanted == '>= 0.40'
    assert (get('tempo error').value, get('tempo error').verdict, get('tempo error').n) == (.02, 'FAIL', 2) and get('quality filter, recall').verdict == 'pass'
    assert get('tempo within 4 %, street dance, 5 s').interval == pytest.approx((.354, .879), abs=.001) and '0.67 [0.35, 0.88]' in targets.page(tmp_path) and get('beat F at 70 ms, street').interval is None # Wilson's, by hand
    assert get('SNR').verdict == 'not measured' and len(rows) == sum(map(len, targets.GOALS.values()))
    assert 'not measured' in targets.text(tmp_path) and targets.page(tmp_path).count('\n## ') == len(targets.GOALS)

def test_targets_of_a_run(targets, tmp_path, monkeypatch, capsys):
    "Scripts that say nothing or break are named; the others count, and the committed results stay as they are"
    for name, text in dict(codec='raise SystemExit(3)', live='pass', build="import sys; open(sys.argv[-1], 'w').write('{\"filter: recall\": {\"value\": 1.0}}')").items(): (tmp_path/f'{name}.py').write_text(text)
    monkeypatch.setattr(targets, 'HERE', tmp_path); monkeypatch.setattr(targets, 'SHORT', tmp_path/'short'); monkeypatch.setattr(targets, 'RESULTS', tmp_path/'results')
    assert targets.main(['--run', 'codec', 'live', 'build']) == 1; out = capsys.readouterr().out
    assert 'BROKEN: codec, live' in out and re.search(r'quality filter, recall +1 .*pass', out) and not (tmp_path/'results').exists()
    assert targets.main(['--run', 'build']) == 0 and 'BROKEN' not in capsys.readouterr().out
    with pytest.raises(SystemExit): targets.main(['nonsense'])

def test_page_of_targets(targets): assert (ROOT/'docs'/'targets.md').read_text(encoding='utf-8') == targets.page(), 'python tools/readme_numbers.py writes docs/targets.md anew'
