"""Make dance2music/assets/drums.npz: one-shot drum sounds, all CC0, out of Debian's package sonic-pi-samples.

    apt-get install sonic-pi-samples
    python tools/drum_kit.py [--samples /usr/share/sonic-pi/samples]

Each is cut to its drum's length with a short fade, brought to 24 kHz mono 16 bit with peak 1, and named
`<drum>_<sample>`. NOTICE lists every one with its author."""
import argparse, os
from pathlib import Path
import numpy as np, soundfile, soxr

SR, OUT = 24000, Path(__file__).resolve().parents[1]/'dance2music'/'assets'/'drums.npz'
SECONDS = dict(kick=.35, snare=.25, clap=.2, hat=.1, open=.3, tom=.3, rim=.08)
CHOSEN = dict(
    kick='bd_808 bd_fat bd_haus bd_klub bd_tek drum_bass_hard drum_heavy_kick', snare='sn_dub sn_generic drum_snare_hard drum_snare_soft elec_snare',
    clap='perc_snap perc_snap2', hat='drum_cymbal_closed drum_cymbal_pedal', open='drum_cymbal_open',
    tom='drum_tom_hi_hard drum_tom_mid_hard drum_tom_lo_hard', rim='elec_wood elec_tick drum_cowbell')

def trim(x, seconds, quiet=.01):
    "From the first sample that is heard, for `seconds`, the last fifth faded out: `(S,)` with peak 1"
    x = x[np.argmax(np.abs(x) > quiet*np.abs(x).max()):][:int(seconds*SR)].copy(); n = len(x)//5
    x[-n:] *= np.linspace(1, 0, n)**2
    return x/np.abs(x).max()

def one_shot(path, seconds):
    x, sr = soundfile.read(path, always_2d=True)
    return np.round(trim(soxr.resample(x.mean(1), sr, SR), seconds)*32767).astype(np.int16)

if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0]); p.add_argument('--samples', type=Path, default=Path('/usr/share/sonic-pi/samples'))
    folder = p.parse_args().samples
    kit = {f'{drum}_{name}': one_shot(folder/f'{name}.flac', SECONDS[drum]) for drum, names in CHOSEN.items() for name in names.split()}
    tmp = OUT.with_name('.drums.npz')
    np.savez_compressed(tmp, **kit); os.replace(tmp, OUT)
    print(f'{OUT.name}: {len(kit)} sounds, {OUT.stat().st_size/1e3:.0f} KB')
