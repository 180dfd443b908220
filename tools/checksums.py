"""Write dance2music/assets/checksums.json, which `dance2music doctor` compares with what is installed.

    python tools/checksums.py            write it
    python tools/checksums.py --check    exit code 1 if it is out of date
"""
import hashlib, json, sys
from pathlib import Path

ASSETS = Path(__file__).resolve().parents[1]/'dance2music'/'assets'
OUT = ASSETS/'checksums.json'

def checksums():
    "SHA-256 of every asset, by its path inside `assets`"
    files = [p for p in sorted(ASSETS.rglob('*')) if p.is_file() and p != OUT and not any(x.startswith(('.', '__')) for x in p.relative_to(ASSETS).parts)]
    return {p.relative_to(ASSETS).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

def main():
    text = json.dumps(checksums(), indent=1)+'\n'
    if '--check' in sys.argv[1:]: sys.exit(0 if OUT.exists() and OUT.read_text() == text else 'checksums.json is out of date: python tools/checksums.py')
    OUT.write_text(text); print(f'{len(checksums())} files')

if __name__ == '__main__': main()
