"Every notebook runs, in a process of its own; the modules are what the notebooks export; the chapters keep the course's form"
import ast, hashlib, json, os, re, shutil, signal, subprocess, sys
from pathlib import Path
import pytest

ROOT = Path(__file__).resolve().parents[1]
NBS = sorted(p for p in (ROOT/'nbs').glob('*.ipynb') if not p.name.startswith('_'))
TIMEOUT = 600 # seconds a notebook
ids = dict(ids=lambda p: p.name)
every = pytest.mark.parametrize('path', NBS, **ids)


# ---- helpers

def load(path): return json.loads(path.read_text(encoding='utf-8'))
def source(cell): return ''.join(cell['source'])
def cells(path, kind): return [c for c in load(path)['cells'] if c['cell_type']==kind]
def flags(cell): return set(re.findall(r'^#\|\s*(\S+)', source(cell), re.M))
def title(path): return path.stem.split('_', 1)[1]
def number(path): return int(path.stem.split('_', 1)[0])
def module(path):
    "The module a notebook exports, from its `#| default_exp`; None for the tour"
    found = [m[1] for c in cells(path, 'code') if (m := re.search(r'^#\|\s*default_exp\s+(\S+)', source(c), re.M))]
    assert len(found)<2, f'{path.name} has {len(found)} default_exp lines'
    return found[0] if found else None

CHAPTERS = [p for p in NBS if module(p)]
ORDER = {module(p): number(p) for p in CHAPTERS}

def tool(name, *args, cwd, timeout=TIMEOUT):
    "Run one of nbdev's commands, from the folder of this very Python; nothing of it outlives the timeout"
    exe = shutil.which(name, path=str(Path(sys.executable).parent))
    if exe is None: pytest.fail(f"{name} is missing: pip install -e '.[test]'")
    env = {k:v for k,v in os.environ.items() if k!='IN_TEST'}
    p = subprocess.Popen([exe, *map(str, args)], cwd=cwd, env=env, text=True, encoding='utf-8', errors='replace', stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try: out, _ = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(p.pid, signal.SIGKILL) if hasattr(os, 'killpg') else p.kill()
        pytest.fail(f'{name} {" ".join(map(str, args))}: over {timeout} s\n{p.communicate()[0][-4000:]}')
    return p.returncode, out

def copy(tmp):
    "The repository as nbdev sees it, without the assets"
    for name in ('settings.ini', 'pyproject.toml', 'setup.py', 'README.md'): shutil.copy2(ROOT/name, tmp/name)
    for name in ('nbs', 'dance2music'):
        shutil.copytree(ROOT/name, tmp/name, ignore=shutil.ignore_patterns('assets', '__pycache__', '.ipynb_checkpoints', '_*.ipynb'))
    return tmp

def snapshot(folder): return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob('*')) if p.is_file() and '__pycache__' not in p.parts}


# ---- the notebooks run, and the modules are theirs

def test_there_are_notebooks(): assert NBS

@every
def test_runs(path):
    rc, out = tool('nbdev-test', path.relative_to(ROOT), cwd=ROOT)
    # a cell that ends the whole process leaves exit code 0, so the word is needed too
    assert rc==0 and 'Success.' in out, f'nbdev-test {path.name}: exit code {rc}\n{out[-8000:]}'

@pytest.mark.parametrize('command', ['nbdev-export', 'nbdev-clean'])
def test_nothing_to_do(tmp_path, command):
    before = snapshot(copy(tmp_path))
    rc, out = tool(command, cwd=tmp_path)
    assert rc==0, out
    after = snapshot(tmp_path)
    changed = sorted(n for n in {*before, *after} if before.get(n)!=after.get(n))
    assert not changed, f'{command} would change {", ".join(changed)}: run it and commit\n{out}'


# ---- form

def test_numbers_have_no_gaps(): assert [number(p) for p in NBS]==list(range(len(NBS)))

@every
def test_name_is_number_is_module(path):
    assert re.fullmatch(r'\d\d_[a-z]\w*', path.stem)
    assert module(path)==(None if number(path)==0 else title(path))
    if module(path): assert (ROOT/'dance2music'/f'{module(path)}.py').exists()

@every
def test_top(path):
    first, second = [source(c).strip() for c in cells(path, 'markdown')[:2]]
    assert re.match(r'# \S', first), 'the first text cell starts with the title'
    assert re.search(r'^> \S', first, re.M), 'a subtitle (`> ...`) stands below the title'
    url = f'https://colab.research.google.com/github/dance2music/dance2music/blob/main/nbs/{path.name}'
    assert f'(https://colab.research.google.com/assets/colab-badge.svg)]({url})' in second, 'badge'
    assert re.search(r'Runs on a CPU in about \d+ s', second), 'how long it runs'

@every
def test_colab_cell(path):
    colab = [c for c in cells(path, 'code') if "'google.colab' in sys.modules" in source(c)]
    assert len(colab)==1 and 'hide' in flags(colab[0])
    want = "import sys\nif 'google.colab' in sys.modules: get_ipython().system('pip install -q \"dance2music[course]\"')"
    assert re.sub(r'^#\|.*\n', '', source(colab[0]), flags=re.M).strip()==want

@every
def test_no_housekeeping(path):
    for c in cells(path, 'code'): assert not re.search(r'nbdev[-_.]?(export|clean|test|prepare)|showdoc', source(c)), source(c)

@every
def test_small_and_plain(path):
    nb = load(path)
    assert path.stat().st_size<500_000, f'{path.stat().st_size//1000} KB'
    assert 'widgets' not in nb['metadata']
    assert not any('widget' in mime for c in nb['cells'] for o in c.get('outputs', []) for mime in o.get('data', {}))

def texts(cell):
    "What a reader sees of a cell's outputs as text: no pictures, no sounds"
    for o in cell.get('outputs', []):
        for text in [o.get('text', ''), *[v for k,v in o.get('data', {}).items() if k.startswith('text/')]]:
            yield re.sub(r'data:[\w/+.-]+;base64,[\w+/=\s]+', '', ''.join(text))

@every
def test_no_absolute_paths(path):
    for c in load(path)['cells']:
        for text in texts(c): assert not (m := re.search(r'.*(?<![\w.~:/])/(root|work|home|tmp|var|opt|mnt|Users)/.*', text)), m[0][:200]
        assert not (m := re.search(r'.*(?<![\w.])/(root|work|home|Users)/.*', source(c))), m[0][:200]

def shows(cell):
    "Does this cell's last line surely show something? (A plain value, a print, a player or a picture)"
    try: body = ast.parse(source(cell)).body
    except SyntaxError: return False # IPython's own syntax
    if any(isinstance(n, ast.Expr) and isinstance(n.value, ast.Call) and getattr(n.value.func, 'id', '')=='print' for n in body): return True
    if not body or not isinstance(body[-1], ast.Expr) or source(cell).rstrip().endswith(';'): return False
    last = body[-1].value
    if isinstance(last, ast.Call): return bool(re.match(r'listen$|show_', getattr(last.func, 'id', '')))
    return isinstance(last, (ast.Name, ast.Attribute, ast.Subscript, ast.Tuple, ast.List, ast.Dict, ast.BinOp, ast.Compare, ast.JoinedStr))

@every
def test_outputs(path):
    code = cells(path, 'code')
    outputs = [o for c in code for o in c['outputs']]
    assert not [o for o in outputs if o['output_type']=='error'], 'a committed cell failed'
    assert len(outputs)>=3, 'the committed notebook was not executed'
    blank = [source(c) for c in code if not c['outputs'] and not flags(c)&{'export','exporti','gpu','network','eval:','hide'} and shows(c)]
    assert not blank, 'cells without their output:\n' + '\n--\n'.join(blank)

@pytest.mark.parametrize('path', CHAPTERS, **ids)
def test_prose(path):
    text = '\n'.join(re.sub(r'```.*?```', '', source(c), flags=re.S) for c in cells(path, 'markdown'))
    words = re.findall(r"[A-Za-z][\w'’-]*", re.sub(r'\]\([^)]*\)', ']', text))
    assert len(words)>=800, f'{len(words)} words of prose'


@every
def test_exercises(path):
    "Two to four at the end, each with a folded answer; then the way on"
    last = '\n'.join(source(c) for c in cells(path, 'markdown')[-3:]); assert '## Exercises' in last
    text = last.split('## Exercises')[1]; asked = re.findall(r'^\d\. ', text, re.M)
    assert 2<=len(asked)<=4 and text.count('<details><summary>Answer</summary>')==len(asked)==text.count('</details>')
    ahead = [p for p in NBS if number(p)==number(path)+1]
    assert (ahead[0].name if ahead else NBS[0].name) in text

def test_map():
    "README and tour promise the same, chapter by chapter"
    row = lambda text: dict(re.findall(r'^\| \[(\d\d \w+)\]\([^)]*\) \| ([^|]+) \|', text, re.M))
    tour, readme = row(source(cells(NBS[0], 'markdown')[-1])), row((ROOT/'README.md').read_text(encoding='utf-8'))
    assert [*readme]==[f'{p.stem[:2]} {title(p)}' for p in NBS] and tour=={k: v for k, v in readme.items() if k[:2]!='00'}
    needs = re.findall(r'^\| \[(\d\d) .*\| (\d+) s \| ([^|]*) \|$', (ROOT/'README.md').read_text(encoding='utf-8'), re.M)
    said = [(p.stem[:2], *re.search(r'Runs on a CPU in about (\d+) s\. You need (?:no other chapter|chapters? (.*?))\.\n', '\n'.join(map(source, cells(p, 'markdown')))).groups('')) for p in NBS]
    assert needs==said

def test_glossary():
    "Its links lead somewhere, and no word stands twice"
    text = (ROOT/'docs'/'glossary.md').read_text(encoding='utf-8'); words = re.findall(r'^\* \*\*([^*]+)\*\*', text, re.M)
    assert len(words)>40 and len({w.lower() for w in words})==len(words)
    assert all((ROOT/'docs'/l).exists() for l in re.findall(r'\]\(([^)]+)\)', text))

# ---- imports run downhill

def imported(tree):
    "Names of dance2music's modules that some code imports, at its top or inside functions"
    for n in ast.walk(tree):
        if isinstance(n, ast.Import): names = [a.name for a in n.names]
        elif isinstance(n, ast.ImportFrom):
            base = '.'.join(filter(None, ['dance2music' if n.level else '', n.module or '']))
            names = [f'{base}.{a.name}' for a in n.names] if base=='dance2music' else [base]
        else: continue
        for name in names:
            parts = name.split('.')
            if parts[0]=='dance2music' and len(parts)>1: yield parts[1]

@pytest.mark.parametrize('path', CHAPTERS, **ids)
def test_imports_run_downhill(path):
    used = {(module(path)+'.py', m) for m in imported(ast.parse((ROOT/'dance2music'/f'{module(path)}.py').read_text(encoding='utf-8')))}
    for c in cells(path, 'code'):
        if re.search(r'^#\|\s*exporti?\s+cli', source(c), re.M): continue # the command line is a face over everything
        try: used |= {(path.name, m) for m in imported(ast.parse(source(c)))}
        except SyntaxError: pass
    uphill = sorted(f'{where} imports {m}' for where, m in used if m in ORDER and ORDER[m]>=number(path))
    assert not uphill, uphill


# ---- what ships

def size(folder): return sum(p.stat().st_size for p in folder.rglob('*') if p.is_file())

def test_assets():
    assets = ROOT/'dance2music'/'assets'
    for name in ('pose_landmarker_full.task', 'clip.mp4', 'checksums.json', *[f'{m}/{f}' for m in ('codec-nano', 'pose2music-nano', 'tracker-nano') for f in ('config.json', 'model.safetensors', 'README.md')]):
        assert (assets/name).is_file(), f'{name} is missing'
    assert size(assets)<45e6
    assert sum(size(assets/m) for m in ('codec-nano', 'pose2music-nano', 'tracker-nano'))<30e6
    pickles = [str(p) for p in assets.rglob('*') if p.suffix in ('.pt', '.pth', '.pkl', '.bin', '.ckpt', '.pickle', '.joblib')]
    assert not pickles
    sums = json.loads((assets/'checksums.json').read_text(encoding='utf-8'))
    have = {p.relative_to(assets).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in assets.rglob('*') if p.is_file() and p.name!='checksums.json'}
    assert sums.items()<=have.items(), sorted(k for k in sums if sums[k]!=have.get(k)) # what `dance2music doctor` compares
    assert set(have)-set(sums)<={n for n in have if n.endswith(('.md', 'NOTICE'))}, sorted(set(have)-set(sums))
