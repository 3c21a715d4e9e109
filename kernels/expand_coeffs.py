#!/usr/bin/env python3
"""Coefficients of kernels/expand*.c: weighted minimax polynomials by Remez exchange.

Run it to print the tables again. A coefficient that is used in f32 is rounded one at a time, lowest power
first, and the others are fitted again, so that the rounded polynomial is close to the best rounded one."""
import struct
from mpmath import mp, mpf, matrix, lu_solve, exp, log, log1p, sqrt, tanh, erf, erfc, sin, cos, asin, atan, atanh, sinh, pi

mp.dps = 50


def f32(x):
	return mpf(struct.unpack('<f', struct.pack('<f', float(x)))[0])


def f64(x):
	return mpf(float(x))


def remez(f, w, lo, hi, powers):
	"""min over c of max |w(x) (f(x) - sum c_k x^k)|; returns c, error"""
	n = len(powers)
	pts = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(pi * i / n) for i in range(n + 1)]
	grid = [(lo + hi) / 2 - (hi - lo) / 2 * mp.cos(pi * i / 600) for i in range(601)]
	fg = [f(x) for x in grid]
	wg = [w(x) for x in grid]
	c = None
	for _ in range(12):
		A = matrix(n + 1, n + 1)
		b = matrix(n + 1, 1)
		for i, x in enumerate(pts):
			for j, p in enumerate(powers):
				A[i, j] = x ** p
			A[i, n] = (-1) ** i / w(x)
			b[i] = f(x)
		s = lu_solve(A, b)
		c = [s[j] for j in range(n)]
		err = [wg[i] * (fg[i] - sum(c[j] * grid[i] ** powers[j] for j in range(n))) for i in range(601)]
		ext = []
		for i in range(601):
			if not ext or (err[i] > 0) != (err[ext[-1]] > 0):
				ext.append(i)
			elif abs(err[i]) > abs(err[ext[-1]]):
				ext[-1] = i
		while len(ext) > n + 1:
			ext.pop(0 if abs(err[ext[0]]) < abs(err[ext[-1]]) else -1)
		if len(ext) < n + 1:
			break
		new = [grid[i] for i in ext]
		e = max(abs(x) for x in err)
		if max(abs(a - b) for a, b in zip(new, pts)) == 0:
			break
		pts = new
	return c, max(abs(x) for x in err)


def fit(name, f, w, lo, hi, degree, rnd):
	lo, hi = mpf(lo), mpf(hi)
	fixed = []
	best = None
	for k in range(degree + 1):
		rest = list(range(k, degree + 1))
		g = lambda x: f(x) - sum(c * x ** i for i, c in enumerate(fixed))
		c, e = remez(g, w, lo, hi, rest)
		if best is None:
			best = e
		fixed.append(rnd(c[0]))
	grid = [lo + (hi - lo) * i / 2000 for i in range(2001)]
	e = max(abs(w(x) * (f(x) - sum(c * x ** i for i, c in enumerate(fixed)))) for x in grid)
	print('%s: best 2^%.1f, rounded 2^%.1f' % (name, mp.log(best, 2), mp.log(e, 2)))
	digits = 9 if rnd is f32 else 17
	print('\t' + ', '.join('%.*g' % (digits, float(c)) for c in fixed))


def avoid0(x, lim, value, small):
	return lim if abs(x) < small else value(x)


def series(f, s, small=mpf('1e-8')):
	return lambda x: s(x) if abs(x) < small else f(x)


L = log(2) / 2 * mpf('1.0005')
fit('exp f32', series(lambda r: (exp(r) - 1 - r) / r**2, lambda r: mpf(1) / 2 + r / 6), lambda r: r**2 / exp(r) + mpf(10)**-12, -L, L, 4, f32)
fit('log f32', series(lambda x: (log1p(x) - x + x * x / 2) / x**3, lambda x: mpf(1) / 3 - x / 4),
	series(lambda x: x**3 / log1p(x), lambda x: x * x + mpf(10)**-12), sqrt(mpf(1) / 2) - 1 - mpf('1e-7'), sqrt(mpf(2)) - 1 + mpf('1e-7'), 7, f32)
fit('log f32 8', series(lambda x: (log1p(x) - x + x * x / 2) / x**3, lambda x: mpf(1) / 3 - x / 4),
	series(lambda x: x**3 / log1p(x), lambda x: x * x + mpf(10)**-12), sqrt(mpf(1) / 2) - 1 - mpf('1e-7'), sqrt(mpf(2)) - 1 + mpf('1e-7'), 8, f32)
sq = lambda f: (lambda u: f(sqrt(u)))
fit('tanh f32', series(sq(lambda x: (tanh(x) - x) / x**3), lambda u: -mpf(1) / 3 + 2 * u / 15), series(sq(lambda x: x**3 / tanh(x)), lambda u: u + mpf(10)**-12), 0, mpf('0.391'), 4, f32)
fit('erf f32', series(sq(lambda x: erf(x) / x - 1), lambda u: 2 / sqrt(pi) * (1 - u / 3) - 1), series(sq(lambda x: x / erf(x)), lambda u: sqrt(pi) / 2), 0, 1, 6, f32)
fit('erfc f32', lambda a: -log(erfc(a)), lambda a: erfc(a) / erf(a), 1, 4, 6, f32)
fit('erfc f32', lambda a: -log(erfc(a)), lambda a: erfc(a) / erf(a), 1, 4, 7, f32)
Q = (pi / 4 * mpf('1.0005'))**2
fsin = series(sq(lambda x: (sin(x) - x) / x**3), lambda u: -mpf(1) / 6 + u / 120)
wsin = series(sq(lambda x: x**3 / sin(x)), lambda u: u + mpf(10)**-12)
fcos = series(sq(lambda x: (cos(x) - 1 + x * x / 2) / x**4), lambda u: mpf(1) / 24 - u / 720, mpf('1e-12'))
wcos = sq(lambda x: x**4 / cos(x) + mpf(10)**-12)
fit('sin f32', fsin, wsin, 0, Q, 2, f32)
fit('cos f32', fcos, wcos, 0, Q, 2, f32)
fit('sin f64', fsin, wsin, 0, Q, 4, f64)
fit('cos f64', fcos, wcos, 0, Q, 4, f64)
fit('exp f64', series(lambda r: (exp(r) - 1 - r) / r**2, lambda r: mpf(1) / 2 + r / 6), lambda r: r**2 / exp(r) + mpf(10)**-12, -L, L, 6, f64)
Z = ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1))**2 * mpf('1.0001')
fit('log f64', series(sq(lambda s: 2 * atanh(s) / s), lambda z: 2 + 2 * z / 3), lambda z: mpf(1) / 2, 0, Z, 6, f64)
fit('sinh f32', series(sq(lambda x: (sinh(x) - x) / x**3), lambda u: mpf(1) / 6 + u / 120), series(sq(lambda x: x**3 / sinh(x)), lambda u: u + mpf(10)**-12), 0, 1, 3, f32)
fit('asin f64', series(sq(lambda x: (asin(x) - x) / x**3), lambda u: mpf(1) / 6 + 3 * u / 40), series(sq(lambda x: x**3 / asin(x)), lambda u: u + mpf(10)**-12), 0, mpf('0.2501'), 7, f64)
fit('atan f64', series(sq(lambda x: (atan(x) - x) / x**3), lambda u: -mpf(1) / 3 + u / 5), series(sq(lambda x: x**3 / atan(x)), lambda u: u + mpf(10)**-12), 0, mpf('0.1717'), 6, f64)
def split(name, v, bits):
	out = []
	for b in bits:
		m, e = mp.frexp(v)
		h = mpf(int(mp.nint(m * 2**b))) / 2**b * mpf(2)**e if b else f64(v)
		out.append(h)
		v -= h
	print(name, ', '.join('%.17g' % float(x) for x in out), 'rest', mp.nstr(v, 5))
split('ln2 f32', log(2), [9]); print('  lo', '%.9g' % float(f32(log(2) - mpf('0.693359375'))))
split('pi/2 f64', pi / 2, [33, 0])
print('%.17g %.17g %.17g' % (float(log(2)), float(1 / log(2)), float(2 / pi)))
