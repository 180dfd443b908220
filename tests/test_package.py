"The package as somebody installs it: light to import, metadata in one place, everything it needs inside"
import ast, configparser, email, json, re, shutil, subprocess, sys, tarfile, zipfile
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT/'dance2music'/'assets'
MODULES = [p.stem for p in sorted((ROOT/'dance2music').glob('[a-z]*.py'))]
HEAVY = 'mediapipe av librosa matplotlib plotly gradio yt_dlp datasets dask ray tensorboard'.split()
NO_TORCH = ('media', 'pose', 'rhythm', 'groove')

def python(code, *args, cwd=None, timeout=300):
    p = subprocess.run([sys.executable, '-c', code, *args], cwd=cwd, capture_output=True, text=True, timeout=timeout)
    assert p.returncode==0, p.stdout[-2000:]+p.stderr[-4000:]
    return p.stdout

@pytest.fixture(scope='module')
def ini():
    cfg = configparser.ConfigParser(delimiters=['='])
    cfg.read(ROOT/'settings.ini', encoding='utf-8')
    return cfg['DEFAULT']

@pytest.fixture(scope='module')
def dist(tmp_path_factory):
    "A wheel and a source archive, built from a copy: nothing is left in the repository"
    src, out = tmp_path_factory.mktemp('src')/'dance2music', tmp_path_factory.mktemp('dist')
    shutil.copytree(ROOT, src, ignore=shutil.ignore_patterns('.git', '.venv', 'build', 'dist', '*.egg-info', '__pycache__', '.*_cache', 'runs', 'out.mp4'))
    for build in ('wheel', 'sdist'): # a process each: setuptools overwrites sys.argv
        python('import sys; from setuptools import build_meta as b; getattr(b, "build_"+sys.argv[1])(sys.argv[2])', build, str(out), cwd=src)
    return out


# ---- imports

def test_light_imports():
    "Nothing heavy or optional comes in with a module; what needs only numbers does not even need torch"
    code = '''
import importlib, json, sys
modules, watch, found = json.loads(sys.argv[1]), json.loads(sys.argv[2]), {}
for m in modules:
    importlib.import_module('dance2music.'+m)
    found[m] = [w for w in watch if w in sys.modules]
print(json.dumps(found))'''
    order = [m for m in NO_TORCH if m in MODULES] + [m for m in MODULES if m not in NO_TORCH]
    found = json.loads(python(code, json.dumps(order), json.dumps([*HEAVY, 'torch'])).splitlines()[-1])
    for m in order: # each line also holds what came in before: the first to show a name brought it in
        assert not set(found[m])&set(HEAVY), f'dance2music.{m} imports {found[m]}'
        if m in NO_TORCH: assert 'torch' not in found[m], f'dance2music.{m} imports torch'

@pytest.mark.parametrize('name', MODULES)
def test_oldest_python_reads_it(name): ast.parse((ROOT/'dance2music'/f'{name}.py').read_text(encoding='utf-8'), feature_version=(3,10))


# ---- metadata

def test_version():
    import dance2music
    assert re.fullmatch(r'\d+\.\d+\.\d+\S*', dance2music.__version__)
    assert f'## {dance2music.__version__}' in (ROOT/'CHANGELOG.md').read_text(encoding='utf-8')
    assert f'version: {dance2music.__version__}' in (ROOT/'CITATION.cff').read_text(encoding='utf-8')

def test_metadata(dist, ini):
    import dance2music
    from packaging.requirements import Requirement
    wheel = zipfile.ZipFile(next(dist.glob('*.whl')))
    names = wheel.namelist()
    meta = email.message_from_bytes(wheel.read(next(n for n in names if n.endswith('.dist-info/METADATA'))))
    assert (meta['Name'], meta['Version'], meta['Summary']) == (ini['lib_name'], dance2music.__version__, ini['description'])
    assert meta['Requires-Python']=='>=' + ini['min_python']
    assert ini['license'] in (meta['License-Expression'], meta['License'])
    need = [Requirement(r) for r in meta.get_all('Requires-Dist')]
    plain = {r.name for r in need if r.marker is None}
    assert plain=={Requirement(r).name for r in ini['requirements'].split()}
    assert set(meta.get_all('Provides-Extra'))=={'course', 'download', 'train', 'cluster', 'app', 'test', 'dev'}
    assert 'dance2music = dance2music.cli:main' in wheel.read(next(n for n in names if n.endswith('entry_points.txt'))).decode()

def test_constraints_cover_requirements(ini):
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
    pins = [Requirement(l) for l in (ROOT/'constraints.txt').read_text(encoding='utf-8').splitlines() if l and l[0]!='#']
    assert not [r for r in pins if '+' in str(r.specifier)], 'a local version tag (+cpu) fits only some machines'
    for r in map(Requirement, (ini['requirements']+' '+ini['test_requirements']).split()):
        mine = [p for p in pins if canonicalize_name(p.name)==canonicalize_name(r.name)]
        if canonicalize_name(r.name)!='setuptools': assert mine, f'{r.name} is not in constraints.txt'
        for p in mine: assert r.specifier.contains(next(iter(p.specifier)).version), f'{p} is outside {r}'


# ---- contents

def test_archives_are_whole(dist):
    assets = {'dance2music/assets/'+p.relative_to(ASSETS).as_posix() for p in ASSETS.rglob('*') if p.is_file() and '__pycache__' not in p.parts}
    code = {f'dance2music/{m}.py' for m in MODULES}
    wheel = set(zipfile.ZipFile(next(dist.glob('*.whl'))).namelist())
    assert assets|code<=wheel, sorted((assets|code)-wheel)
    assert any(n.endswith('NOTICE') for n in wheel) and any(n.endswith('LICENSE') for n in wheel)
    assert not [n for n in wheel if not n.startswith(('dance2music/', 'dance2music-'))], 'only the package goes into the wheel'
    with tarfile.open(next(dist.glob('*.tar.gz'))) as tar: sdist = {n.split('/', 1)[1] for n in tar.getnames() if '/' in n}
    want = assets|code|{'settings.ini', 'setup.py', 'pyproject.toml', 'constraints.txt', 'README.md', 'LICENSE', 'NOTICE'}
    assert want<=sdist, sorted(want-sdist)


# ---- as in Colab

def test_wheel_trial_says_what_it_skips():
    "`make test-wheel` without the interpreter that is asked for: said, counted, and no success"
    p = subprocess.run([sys.executable, ROOT/'tools'/'test_wheel.py', '--python', '3.99', '00'], capture_output=True, text=True, timeout=300)
    assert p.returncode==1 and 'SKIPPED Python 3.99' in p.stdout and p.stdout.strip().endswith('0 passed, 0 failed, 1 skipped (no Python 3.99)'), p.stdout+p.stderr

def test_links():
    "Every relative link of the documents leads to a file"
    for doc in (ROOT/'README.md', ROOT/'CONTRIBUTING.md', *sorted((ROOT/'docs').glob('*.md'))):
        text = re.sub(r'```.*?```', '', doc.read_text(encoding='utf-8'), flags=re.S)
        for link in re.findall(r'\]\(([^)#\s]+)\)|src="([^"]+)"', text):
            link = link[0] or link[1]
            if '://' not in link: assert (doc.parent/link).exists(), f'{doc.name}: {link}'
