"""Does every notebook run where there is nothing but the built wheel? As in Colab: no clone, no folder beside it, an empty directory.

    python tools/test_wheel.py                        Python 3.11 and 3.12, each where an interpreter is found
    python tools/test_wheel.py --python 3.12 03 10    one version, two chapters
    python tools/test_wheel.py --keep FOLDER          keep the environments there; a second run installs only the wheel anew

A wheel is built from what git holds. Each version of Python gets an environment with PyTorch and Jupyter's kernel, which is what Colab
brings along. Each notebook then runs in an empty directory, from its first cell on, which is told that it is in Colab and so installs
the wheel as a reader's first cell does (pip finds it in a local folder). Cells that ask for a GPU, a network or much time are left out;
--slow takes the last ones in. The versions are those of constraints.txt."""
import argparse, glob, os, shutil, subprocess, sys, tempfile, time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

def run(*cmd, **kw):
    "A command that must succeed; its words only if it does not"
    p = subprocess.run([*map(str, cmd)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    if p.returncode: sys.exit(f'{Path(cmd[0]).name} {" ".join(map(str, cmd[1:]))[:120]}: exit code {p.returncode}\n{p.stdout[-4000:]}')
    return p.stdout

def interpreter(version):
    "A Python of that version that can make environments; None where there is none"
    own = [sys.executable] if version == '%d.%d' % sys.version_info[:2] else []
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home()/'.pyenv'))/'versions'
    uv = subprocess.run(['uv', 'python', 'find', version], capture_output=True, text=True).stdout.split() if shutil.which('uv') else []
    check = f'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != "{version}")'
    for p in [shutil.which(f'python{version}'), *sorted(glob.glob(str(pyenv/f'{version}*'/'bin'/'python'))), *uv, *own]:
        if p and subprocess.run([p, '-c', check], capture_output=True).returncode == 0: return p

def build(folder):
    "The wheel of what git holds (and of what is changed but not committed)"
    src = folder/'src'; src.mkdir()
    for f in run('git', 'ls-files', '-z', cwd=ROOT).split('\0'):
        if f and (ROOT/f).is_file(): (src/f).parent.mkdir(parents=True, exist_ok=True); shutil.copy2(ROOT/f, src/f)
    run(sys.executable, '-c', 'import sys; from setuptools import build_meta as b; b.build_wheel(sys.argv[1])', folder, cwd=src)
    shutil.rmtree(src); return next(folder.glob('*.whl'))

def environment(python, folder, limits):
    "What Colab has before the first cell: PyTorch, a kernel, and for our own use nbclient"
    bin = folder/('Scripts' if os.name == 'nt' else 'bin')
    if not (folder/'.ready').exists():
        run(python, '-m', 'venv', folder)
        run(bin/'python', '-m', 'pip', 'install', '-q', '-c', limits, 'torch', 'ipykernel', 'nbclient'); (folder/'.ready').touch()
    run(bin/'python', '-m', 'pip', 'uninstall', '-q', '-y', 'dance2music')
    return bin

# Runs inside the new environment: argv is notebook, folder, flags to leave out
RUNNER = r"""
import re, sys, time, traceback, nbformat
from nbclient import NotebookClient
path, folder, flags = sys.argv[1], sys.argv[2], sys.argv[3].split()
nb = nbformat.read(path, 4); cells = []
pretend, stop = "import sys, types; sys.modules['google.colab'] = types.ModuleType('google.colab')", "del sys.modules['google.colab']"
for c in nb.cells:
    if c.cell_type != 'code' or any(re.search(rf'^#\|\s*{f}\b', c.source, re.M) for f in flags) or re.search(r'^#\|\s*eval:\s*false', c.source, re.M): continue
    c.outputs, c.execution_count = [], None; colab = "'google.colab' in sys.modules" in c.source and 'pip install' in c.source
    cells += [nbformat.v4.new_code_cell(pretend), c, nbformat.v4.new_code_cell(stop)] if colab else [c]
end = "import sys, dance2music; assert dance2music.__file__.startswith(sys.prefix), dance2music.__file__"
nb.cells = [*cells, nbformat.v4.new_code_cell(end)]; nb.metadata['kernelspec'] = dict(name='python3', display_name='python3')
try: NotebookClient(nb, timeout=900, kernel_name='python3', resources=dict(metadata=dict(path=folder))).execute()
except Exception as e: print(re.sub(r'\x1b\[[0-9;]*m', '', str(e))[-3000:]); sys.exit(1)
"""

def try_notebook(nb, bin, wheels, limits, flags, tmp):
    "Seconds, and what went wrong"
    empty = Path(tempfile.mkdtemp(dir=tmp)); links = ' '.join(filter(None, [os.environ.get('PIP_FIND_LINKS'), str(wheels)]))
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME', 'VIRTUAL_ENV', 'IN_TEST')} | dict(
        PATH=f'{bin}{os.pathsep}{os.environ["PATH"]}', PIP_FIND_LINKS=links, PIP_CONSTRAINT=str(limits), PIP_DISABLE_PIP_VERSION_CHECK='1', HF_HUB_OFFLINE='1', MPLBACKEND='module://matplotlib_inline.backend_inline')
    t = time.perf_counter()
    p = subprocess.run([bin/'python', '-c', RUNNER, nb, empty, flags], env=env, cwd=empty, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=3600)
    said = '\n'.join(l for l in p.stdout.splitlines() if not l.startswith('[IPKernelApp]')); shutil.rmtree(empty, ignore_errors=True)
    return time.perf_counter()-t, said or 'ended without a word' if p.returncode else ''

def main(argv=None):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('chapters', nargs='*', help='numbers such as 03; all if none is named'); p.add_argument('--python', default='3.11,3.12', help='versions, with commas')
    p.add_argument('--keep', type=Path, help='folder of the environments'); p.add_argument('--slow', action='store_true', help='cells marked slow, too')
    a = p.parse_args(argv); limits = ROOT/'constraints.txt'; flags = 'gpu network' + ('' if a.slow else ' slow')
    nbs = [f for f in sorted((ROOT/'nbs').glob('[0-9]*.ipynb')) if not a.chapters or f.stem[:2] in a.chapters]
    passed = failed = 0; skipped = []
    with tempfile.TemporaryDirectory() as tmp:
        tmp = Path(tmp); (wheels := tmp/'wheels').mkdir(); (books := tmp/'notebooks').mkdir(); wheel = build(wheels); print(f'{wheel.name}, {wheel.stat().st_size/1e6:.1f} MB')
        for version in a.python.split(','):
            if (python := interpreter(version)) is None: skipped.append(version); print(f'SKIPPED Python {version}: no such interpreter here'); continue
            bin = environment(python, (a.keep or tmp).resolve()/f'python{version}', limits)
            print(f'Python {run(bin/"python", "-c", "import platform; print(platform.python_version())").strip()}, an environment with PyTorch and a kernel, no dance2music', flush=True)
            for f in nbs:
                seconds, why = try_notebook(shutil.copy2(f, books/f.name), bin, wheels, limits, flags, tmp)
                passed, failed = passed + (not why), failed + bool(why); print(f'{"FAIL" if why else "pass"}  {version}  {f.stem:14}{seconds:6.0f} s'+('\n'+why if why else ''), flush=True)
    print(f'{passed} passed, {failed} failed, {len(skipped)*len(nbs)} skipped{" (no Python "+", ".join(skipped)+")" if skipped else ""}'); return 1 if failed or not passed else 0

if __name__ == '__main__': sys.exit(main())
