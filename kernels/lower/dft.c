/* dft: the discrete Fourier transform along an axis, in doubles.
 *
 * A Stockham transform of mixed radix: passes between two buffers, each splitting off a factor of what is left of the length
 * (4, 2, 3, then the smallest one by the definition). Lengths with a prime factor above 31 are done as a convolution
 * (Bluestein) by transforms of a power of 2. Roots of unity come from a table, whose index is reduced in integers.
 * As many rows as a vector has lanes are transformed together, so that every step is a vector operation on whole lanes; lanes
 * past the last row repeat it. An inverse transform swaps real and imaginary parts on the way in and out. The input is cut or
 * zero-padded to the length; half a spectrum is mirrored.
 *
 * Buffers are [position][re, im][lane]. */
#include <math.h>
#include <stdlib.h>

#include "kernels/lower/driver.h"
#include "kernels/lower/util.h"

enum { MAX_FACTOR = 31, PIECES = 32, MAX_TABLE = 1 << 16 };
static const int64_t primes[] = {2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31};

struct dft {
	ftl_lo *lo;
	ftl_node_id id;
	const ftl_node *n;
	const struct ftl_attrs_dft *a;
	const ftl_type *xt, *ot;
	int rank, axis, lanes;
	bool complex_in, complex_out;
	ftl_dim rows, room;            /* room: no less than `size` */
	ftl_kv len, size, blue;        /* program values: length, of the transforms, whether they differ (0 or 1) */
	ftl_kv roots, chirp, spectrum; /* tables: of size, len and size complex numbers */
	/* the kernel under construction */
	ftl_kern *k;
	ftl_kb *b;
	int wide;               /* lanes of its buffers */
	ftl_kv n_, f, from, to; /* length, size, variables: the two buffers */
};

typedef struct cplx {
	ftl_kv re, im;
} cplx;

static ftl_kv i64(struct dft *d, int64_t v)
{
	return ftl_k_i64(d->b, v);
}
static ftl_kv num(struct dft *d, double v)
{
	return ftl_k_float(d->b, FTL_KT(FTL_F64, 1), v);
}
static ftl_kv op2(struct dft *d, ftl_kop op, ftl_kv x, ftl_kv y)
{
	return ftl_k2(d->b, op, x, y);
}

/* ---- complex numbers ---- */

static cplx c_add(struct dft *d, cplx x, cplx y)
{
	return (cplx){op2(d, FTL_K_add, x.re, y.re), op2(d, FTL_K_add, x.im, y.im)};
}
static cplx c_sub(struct dft *d, cplx x, cplx y)
{
	return (cplx){op2(d, FTL_K_sub, x.re, y.re), op2(d, FTL_K_sub, x.im, y.im)};
}
static cplx c_mul(struct dft *d, cplx x, cplx y)
{
	return (cplx){op2(d, FTL_K_sub, op2(d, FTL_K_mul, x.re, y.re), op2(d, FTL_K_mul, x.im, y.im)),
		      op2(d, FTL_K_add, op2(d, FTL_K_mul, x.re, y.im), op2(d, FTL_K_mul, x.im, y.re))};
}
/* x times -i */
static cplx c_turn(struct dft *d, cplx x)
{
	return (cplx){x.im, ftl_k1(d->b, FTL_K_neg, x.re)};
}
static cplx c_swap(cplx x)
{
	return (cplx){x.im, x.re};
}
static cplx c_scale(struct dft *d, cplx x, ftl_kv by)
{
	return (cplx){op2(d, FTL_K_mul, x.re, by), op2(d, FTL_K_mul, x.im, by)};
}

static cplx load(struct dft *d, ftl_kv ptr, ftl_kv at, int lanes)
{
	ftl_kv i = op2(d, FTL_K_mul, at, i64(d, 2 * lanes));

	return (cplx){ftl_k_load(d->b, FTL_F64, ptr, i, lanes),
		      ftl_k_load(d->b, FTL_F64, ptr, op2(d, FTL_K_add, i, i64(d, lanes)), lanes)};
}

static void store(struct dft *d, ftl_kv ptr, ftl_kv at, int lanes, cplx x)
{
	ftl_kv i = op2(d, FTL_K_mul, at, i64(d, 2 * lanes));

	ftl_k_store(d->b, ptr, i, ftl_k_splat(d->b, x.re, lanes));
	ftl_k_store(d->b, ptr, op2(d, FTL_K_add, i, i64(d, lanes)), ftl_k_splat(d->b, x.im, lanes));
}

static cplx root(struct dft *d, ftl_kv i)
{
	return load(d, ftl_kern_arg(d->k, d->roots), i, 1);
}

/* exp(-2 pi i at / of), computed in the kernel */
static cplx unit(struct dft *d, ftl_kv at, ftl_kv of)
{
	ftl_kv x = op2(d, FTL_K_div, op2(d, FTL_K_mul, num(d, -6.283185307179586476925), ftl_k_cast(d->b, at, FTL_F64)),
		       ftl_k_cast(d->b, of, FTL_F64));

	return (cplx){ftl_k1(d->b, FTL_K_cos, x), ftl_k1(d->b, FTL_K_sin, x)};
}

/* ---- passes ---- */

/* The state of a pass: m is what is left of the size, s = size / m; buffers are offsets into this piece's scratch. */
struct pass {
	ftl_kv buf, src, dst, m, s, radix, part; /* part = m / radix */
};

static ftl_kv buffer(struct dft *d, const struct pass *p, ftl_kv which)
{
	ftl_kv bytes = op2(d, FTL_K_mul, d->f, i64(d, 16 * d->wide));

	return ftl_k_offset(d->b, p->buf, op2(d, FTL_K_mul, which, bytes));
}

static cplx input(struct dft *d, const struct pass *p, ftl_kv q, ftl_kv k, ftl_kv j)
{
	ftl_kv at = op2(d, FTL_K_add, k, op2(d, FTL_K_mul, p->part, j));

	return load(d, p->src, op2(d, FTL_K_add, q, op2(d, FTL_K_mul, p->s, at)), d->wide);
}

static void output(struct dft *d, const struct pass *p, ftl_kv q, ftl_kv k, ftl_kv r, cplx x)
{
	ftl_kv at = op2(d, FTL_K_add, op2(d, FTL_K_mul, p->radix, k), r);

	store(d, p->dst, op2(d, FTL_K_add, q, op2(d, FTL_K_mul, p->s, at)), d->wide, x);
}

/* One butterfly of 2, 3 or 4 inputs. */
static void butterfly(struct dft *d, const struct pass *p, int radix, ftl_kv q, ftl_kv k, const cplx *twiddle)
{
	cplx x[4], y[4], sum, diff;

	for (int j = 0; j < radix; j++)
		x[j] = input(d, p, q, k, i64(d, j));
	if (radix == 2) {
		y[0] = c_add(d, x[0], x[1]);
		y[1] = c_sub(d, x[0], x[1]);
	} else if (radix == 3) {
		sum = c_add(d, x[1], x[2]);
		diff = c_turn(d, c_scale(d, c_sub(d, x[1], x[2]), num(d, 0.86602540378443864676)));
		y[0] = c_add(d, x[0], sum);
		sum = c_add(d, x[0], c_scale(d, sum, num(d, -0.5)));
		y[1] = c_add(d, sum, diff);
		y[2] = c_sub(d, sum, diff);
	} else {
		cplx a = c_add(d, x[0], x[2]), b = c_sub(d, x[0], x[2]), c = c_add(d, x[1], x[3]);

		diff = c_turn(d, c_sub(d, x[1], x[3]));
		y[0] = c_add(d, a, c);
		y[1] = c_add(d, b, diff);
		y[2] = c_sub(d, a, c);
		y[3] = c_sub(d, b, diff);
	}
	for (int r = 0; r < radix; r++)
		output(d, p, q, k, i64(d, r), r ? c_mul(d, y[r], twiddle[r]) : y[r]);
}

static void pass_fixed(struct dft *d, struct pass p, int radix)
{
	ftl_kscope k, q;
	cplx twiddle[4];

	p.radix = i64(d, radix);
	p.part = op2(d, FTL_K_div, p.m, p.radix);
	k = ftl_k_for(d->b, i64(d, 0), p.part, 1);
	for (int r = 1; r < radix; r++)
		twiddle[r] = root(d, op2(d, FTL_K_mul, op2(d, FTL_K_mul, k.index, i64(d, r)), p.s));
	q = ftl_k_for(d->b, i64(d, 0), p.s, 1);
	butterfly(d, &p, radix, q.index, k.index, twiddle);
	ftl_k_end(d->b, &q);
	ftl_k_end(d->b, &k);
}

/* Any radix: every output sums all inputs. */
static void pass_any(struct dft *d, struct pass p)
{
	ftl_kb *b = d->b;
	ftl_kv zero = ftl_k_float(b, FTL_KT(FTL_F64, d->wide), 0), re, im, turn;
	ftl_kscope k, r, q, j;
	cplx x;

	p.part = op2(d, FTL_K_div, p.m, p.radix);
	turn = op2(d, FTL_K_div, d->f, p.radix);
	k = ftl_k_for(b, i64(d, 0), p.part, 1);
	r = ftl_k_for(b, i64(d, 0), p.radix, 1);
	q = ftl_k_for(b, i64(d, 0), p.s, 1);
	re = ftl_k_var(b, zero);
	im = ftl_k_var(b, zero);
	j = ftl_k_for(b, i64(d, 0), p.radix, 1);
	x = c_mul(d, input(d, &p, q.index, k.index, j.index),
		  root(d, op2(d, FTL_K_mul, op2(d, FTL_K_rem, op2(d, FTL_K_mul, j.index, r.index), p.radix), turn)));
	ftl_k_set(b, re, op2(d, FTL_K_add, ftl_k_get(b, re), x.re));
	ftl_k_set(b, im, op2(d, FTL_K_add, ftl_k_get(b, im), x.im));
	ftl_k_end(b, &j);
	x = c_mul(d, (cplx){ftl_k_get(b, re), ftl_k_get(b, im)},
		  root(d, op2(d, FTL_K_mul, op2(d, FTL_K_mul, k.index, r.index), p.s)));
	output(d, &p, q.index, k.index, r.index, x);
	ftl_k_end(b, &q);
	ftl_k_end(b, &r);
	ftl_k_end(b, &k);
}

/* Transform what lies in buffer d->from of the scratch at buf; the result's buffer is d->from again. */
static void transform(struct dft *d, ftl_kv buf)
{
	ftl_kb *b = d->b;
	ftl_kv left = ftl_k_var(b, d->f), p_;
	ftl_kscope all = ftl_k_loop(b), c[3], trial;
	static const int fixed[3] = {4, 2, 3};
	struct pass p = {.buf = buf};

	p.m = ftl_k_get(b, left);
	ftl_k_break(b, op2(d, FTL_K_le, p.m, i64(d, 1)));
	p.s = op2(d, FTL_K_div, d->f, p.m);
	p.src = buffer(d, &p, ftl_k_get(b, d->from));
	p.dst = buffer(d, &p, op2(d, FTL_K_sub, i64(d, 1), ftl_k_get(b, d->from)));
	for (int i = 0; i < 3; i++) {
		ftl_kv rest = op2(d, FTL_K_rem, p.m, i64(d, fixed[i]));

		c[i] = ftl_k_if(b, op2(d, FTL_K_eq, rest, i64(d, 0)));
		pass_fixed(d, p, fixed[i]);
		ftl_k_set(b, left, op2(d, FTL_K_div, p.m, i64(d, fixed[i])));
		ftl_k_else(b, &c[i]);
	}
	p_ = ftl_k_var(b, i64(d, 5));
	trial = ftl_k_loop(b);
	ftl_k_break(b, op2(d, FTL_K_eq, op2(d, FTL_K_rem, p.m, ftl_k_get(b, p_)), i64(d, 0)));
	ftl_k_set(b, p_, op2(d, FTL_K_add, ftl_k_get(b, p_), i64(d, 2)));
	ftl_k_end(b, &trial);
	p.radix = ftl_k_get(b, p_);
	pass_any(d, p);
	ftl_k_set(b, left, op2(d, FTL_K_div, p.m, p.radix));
	for (int i = 2; i >= 0; i--)
		ftl_k_end(b, &c[i]);
	ftl_k_set(b, d->from, op2(d, FTL_K_sub, i64(d, 1), ftl_k_get(b, d->from)));
	ftl_k_end(b, &all);
}

static cplx current(struct dft *d, ftl_kv buf, ftl_kv at)
{
	struct pass p = {.buf = buf};

	return load(d, buffer(d, &p, ftl_k_get(d->b, d->from)), at, d->wide);
}

static void set_current(struct dft *d, ftl_kv buf, ftl_kv at, cplx x)
{
	struct pass p = {.buf = buf};

	store(d, buffer(d, &p, ftl_k_get(d->b, d->from)), at, d->wide, x);
}

/* ---- lengths and tables ---- */

static void begin(struct dft *d, const char *what, int wide)
{
	d->k = ftl_kern_begin(d->lo, d->id, what);
	d->b = ftl_kern_b(d->k);
	d->wide = wide;
	d->n_ = ftl_kern_arg(d->k, d->len);
	d->f = ftl_kern_arg(d->k, d->size);
	d->from = ftl_k_var(d->b, i64(d, 0));
}

/* len, size, blue, room; by the compiler where the length is constant, else by the program. */
static void choose_size(struct dft *d)
{
	ftl_lo *lo = d->lo;
	ftl_kb *b = &lo->main;
	ftl_symtab *st = lo->g->st;
	ftl_dim most = d->ot->dims[d->axis];
	ftl_kv left, f, one = ftl_k_i64(b, 1);
	int64_t n, m, pow = 1;
	ftl_kscope s;

	if (d->n->nin > 1 && d->n->in[1])
		d->len = ftl_u_elem(lo, d->n, d->n->in[1], 0);
	else if (d->a->onesided && d->a->inverse)
		d->len = ftl_lo_dim(lo, d->ot->dims[d->axis]);
	else
		d->len = ftl_lo_dim(lo, d->xt->dims[d->axis]);
	d->len = ftl_k2(b, FTL_K_max, d->len, one); /* nothing is written of an empty one */
	if (ftl_k_is_const(b, d->len, &n)) {
		m = n;
		for (size_t i = 0; i < FTL_COUNT(primes); i++)
			while (m % primes[i] == 0)
				m /= primes[i];
		while (pow < 2 * n - 1)
			pow *= 2;
		d->blue = ftl_k_i64(b, m > 1);
		d->size = ftl_k_i64(b, m > 1 ? pow : n);
		d->room = ftl_dim_const(st, m > 1 ? pow : n);
		return;
	}
	/* half a spectrum has len / 2 + 1 entries; a power of 2 that holds 2 len - 1 is below 4 len */
	if (d->a->onesided && !d->a->inverse)
		most = ftl_dim_mul(st, most, ftl_dim_const(st, 2));
	d->room = ftl_dim_mul(st, ftl_dim_max(st, most, ftl_dim_const(st, 1)), ftl_dim_const(st, 4));
	left = ftl_k_var(b, d->len);
	for (size_t i = 0; i < FTL_COUNT(primes); i++) {
		ftl_kv v;

		s = ftl_k_loop(b);
		v = ftl_k_get(b, left);
		ftl_k_break(b, ftl_k2(b, FTL_K_ne, ftl_k2(b, FTL_K_rem, v, ftl_k_i64(b, primes[i])), ftl_k_i64(b, 0)));
		ftl_k_set(b, left, ftl_k2(b, FTL_K_div, v, ftl_k_i64(b, primes[i])));
		ftl_k_end(b, &s);
	}
	d->blue = ftl_k_cast(b, ftl_k2(b, FTL_K_lt, one, ftl_k_get(b, left)), FTL_I64);
	f = ftl_k_var(b, one);
	s = ftl_k_loop(b);
	ftl_k_break(b, ftl_k2(b, FTL_K_lt,
			      ftl_k2(b, FTL_K_sub, ftl_k2(b, FTL_K_mul, d->len, ftl_k_i64(b, 2)), ftl_k_i64(b, 2)),
			      ftl_k_get(b, f)));
	ftl_k_set(b, f, ftl_k2(b, FTL_K_mul, ftl_k_get(b, f), ftl_k_i64(b, 2)));
	ftl_k_end(b, &s);
	d->size = ftl_k_select(b, ftl_k2(b, FTL_K_eq, d->blue, one), ftl_k_get(b, f), d->len);
}

static ftl_kv table(struct dft *d, int64_t copies)
{
	return ftl_lo_temp(d->lo, ftl_dim_mul(d->lo->g->st, d->room, ftl_dim_const(d->lo->g->st, 16 * copies)));
}

/* roots[i] = exp(-2 pi i / size): a constant, or made in front of the transforms */
static void make_roots(struct dft *d)
{
	ftl_kb *b = &d->lo->main;
	int64_t f;
	ftl_kscope s;

	if (ftl_k_is_const(b, d->size, &f) && f <= MAX_TABLE) {
		double *v = ftl_arena_array(d->lo->arena, (size_t)f * 2, sizeof *v);
		ftl_blob *blob = FTL_NEW(d->lo->arena, ftl_blob);

		for (int64_t i = 0; i < f; i++) {
			v[2 * i] = cos(-6.283185307179586476925 * (double)i / (double)f);
			v[2 * i + 1] = sin(-6.283185307179586476925 * (double)i / (double)f);
		}
		blob->data = v;
		blob->bytes = (size_t)f * 2 * sizeof *v;
		d->roots = ftl_k_blob(b, ftl_kmodule_blob(d->lo->m, blob));
		return;
	}
	d->roots = table(d, 1);
	begin(d, "roots", 1);
	s = ftl_k_for(d->b, i64(d, 0), d->f, 1);
	store(d, ftl_kern_arg(d->k, d->roots), s.index, 1, unit(d, s.index, d->f));
	ftl_k_end(d->b, &s);
	ftl_kern_launch(d->k, ftl_k_i64(b, 1), 1 << 16);
}

/* chirp[i] = exp(-pi i i^2 / len); spectrum = the transform of its conjugate, around 0, over size. */
static void make_chirp(struct dft *d)
{
	ftl_kv work = table(d, 2), at, chirp, buf;
	ftl_kscope s, c;
	cplx x;

	d->chirp = table(d, 1);
	d->spectrum = table(d, 1);
	begin(d, "chirp", 1);
	chirp = ftl_kern_arg(d->k, d->chirp);
	buf = ftl_kern_arg(d->k, work);
	s = ftl_k_for(d->b, i64(d, 0), d->n_, 1);
	at = op2(d, FTL_K_rem, op2(d, FTL_K_mul, s.index, s.index), op2(d, FTL_K_mul, d->n_, i64(d, 2)));
	store(d, chirp, s.index, 1, unit(d, at, op2(d, FTL_K_mul, d->n_, i64(d, 2))));
	ftl_k_end(d->b, &s);
	s = ftl_k_for(d->b, i64(d, 0), d->f, 1);
	set_current(d, buf, s.index, (cplx){num(d, 0), num(d, 0)});
	at = op2(d, FTL_K_min, s.index, op2(d, FTL_K_sub, d->f, s.index));
	c = ftl_k_if(d->b, op2(d, FTL_K_lt, at, d->n_));
	x = load(d, chirp, at, 1);
	set_current(d, buf, s.index, (cplx){x.re, ftl_k1(d->b, FTL_K_neg, x.im)});
	ftl_k_end(d->b, &c);
	ftl_k_end(d->b, &s);
	transform(d, buf);
	s = ftl_k_for(d->b, i64(d, 0), d->f, 1);
	x = c_scale(d, current(d, buf, s.index), op2(d, FTL_K_div, num(d, 1), ftl_k_cast(d->b, d->f, FTL_F64)));
	store(d, ftl_kern_arg(d->k, d->spectrum), s.index, 1, x);
	ftl_k_end(d->b, &s);
	ftl_kern_launch(d->k, d->blue, 1 << 16);
}

/* ---- rows ---- */

static ftl_kv by_convolution(struct dft *d)
{
	return op2(d, FTL_K_ne, ftl_kern_arg(d->k, d->blue), i64(d, 0));
}

static cplx read_input(struct dft *d, ftl_kv *idx, ftl_kv t)
{
	cplx x;

	idx[d->axis] = t;
	idx[d->rank - 1] = i64(d, 0);
	x.re = ftl_k_cast(d->b, ftl_read(d->k, d->n->in[0], idx), FTL_F64);
	x.im = num(d, 0);
	if (d->complex_in) {
		idx[d->rank - 1] = i64(d, 1);
		x.im = ftl_k_cast(d->b, ftl_read(d->k, d->n->in[0], idx), FTL_F64);
	}
	return x;
}

static void put_input(struct dft *d, ftl_kv buf, ftl_kv t, cplx x)
{
	ftl_kscope c;

	if (d->a->inverse)
		x = c_swap(x);
	c = ftl_k_if(d->b, by_convolution(d));
	set_current(d, buf, t, c_mul(d, x, load(d, ftl_kern_arg(d->k, d->chirp), t, 1)));
	ftl_k_else(d->b, &c);
	set_current(d, buf, t, x);
	ftl_k_end(d->b, &c);
}

/* The rows of idx into the buffer: what is there, zeros behind. */
static void fill(struct dft *d, ftl_kv *idx, ftl_kv buf)
{
	ftl_kb *b = d->b;
	ftl_kv have = op2(d, FTL_K_min, d->n_, ftl_kern_dim(d->k, d->xt->dims[d->axis])), half, zero = num(d, 0),
	       mirror;
	ftl_kscope s, c;
	cplx x;

	s = ftl_k_for(b, i64(d, 0), d->f, 1);
	set_current(d, buf, s.index, (cplx){zero, zero});
	ftl_k_end(b, &s);
	if (!(d->a->onesided && d->a->inverse)) {
		s = ftl_k_for(b, i64(d, 0), have, 1);
		put_input(d, buf, s.index, read_input(d, idx, s.index));
		ftl_k_end(b, &s);
		return;
	}
	/* bins up to len / 2; those between the ends stand for their conjugates too */
	half = op2(d, FTL_K_add, op2(d, FTL_K_div, d->n_, i64(d, 2)), i64(d, 1));
	s = ftl_k_for(b, i64(d, 0), op2(d, FTL_K_min, have, half), 1);
	x = read_input(d, idx, s.index);
	mirror = op2(d, FTL_K_sub, d->n_, s.index);
	c = ftl_k_if(b, op2(d, FTL_K_and, op2(d, FTL_K_lt, i64(d, 0), s.index), op2(d, FTL_K_lt, s.index, mirror)));
	put_input(d, buf, mirror, (cplx){x.re, ftl_k1(b, FTL_K_neg, x.im)});
	ftl_k_end(b, &c);
	put_input(d, buf, s.index, x);
	ftl_k_end(b, &s);
}

static void drain(struct dft *d, ftl_kv *idx, ftl_kv buf)
{
	ftl_kb *b = d->b;
	ftl_dtype t = ftl_dtype_compute(d->ot->dtype);
	ftl_kv scale = num(d, 1), re, im, blue = by_convolution(d);
	ftl_kscope s, c;
	cplx x, y;

	if (d->a->inverse)
		scale = op2(d, FTL_K_div, scale, ftl_k_cast(b, d->n_, FTL_F64));
	s = ftl_k_for(b, i64(d, 0), ftl_kern_dim(d->k, d->ot->dims[d->axis]), 1);
	x = current(d, buf, s.index);
	re = ftl_k_var(b, x.re);
	im = ftl_k_var(b, x.im);
	c = ftl_k_if(b, blue);
	y = c_mul(d, c_swap(x), load(d, ftl_kern_arg(d->k, d->chirp), s.index, 1));
	ftl_k_set(b, re, y.re);
	ftl_k_set(b, im, y.im);
	ftl_k_end(b, &c);
	x = (cplx){ftl_k_get(b, re), ftl_k_get(b, im)};
	if (d->a->inverse)
		x = c_swap(x);
	x = c_scale(d, x, scale);
	idx[d->axis] = s.index;
	idx[d->rank - 1] = i64(d, 0);
	ftl_write(d->k, d->n->out[0], idx, ftl_k_cast(b, x.re, t));
	if (d->complex_out) {
		idx[d->rank - 1] = i64(d, 1);
		ftl_write(d->k, d->n->out[0], idx, ftl_k_cast(b, x.im, t));
	}
	ftl_k_end(b, &s);
}

static void transform_rows(struct dft *d)
{
	ftl_lo *lo = d->lo;
	ftl_symtab *st = lo->g->st;
	ftl_dim groups = ftl_dim_ceildiv(st, d->rows, ftl_dim_const(st, d->lanes));
	ftl_dim pieces = ftl_dim_min(st, groups, ftl_dim_const(st, PIECES)), dims[FTL_MAX_RANK], words;
	ftl_kv work, buf, per, lo_, hi, row, at[FTL_MAX_RANK], idx[FTL_MAX_RANK], pc, grid;
	ftl_kscope g, c, s;
	int n = 0;

	words = ftl_dim_mul(st, ftl_dim_mul(st, pieces, d->room), ftl_dim_const(st, 32 * (int64_t)d->lanes));
	work = ftl_lo_temp(lo, words);
	begin(d, "dft", d->lanes);
	grid = ftl_kern_grid(d->k);
	buf = op2(d, FTL_K_mul, op2(d, FTL_K_mul, grid, d->f), i64(d, 32 * (int64_t)d->lanes));
	buf = ftl_k_offset(d->b, ftl_kern_arg(d->k, work), buf);
	pc = op2(d, FTL_K_max, ftl_kern_dim(d->k, pieces), i64(d, 1));
	per = op2(d, FTL_K_div, op2(d, FTL_K_add, ftl_kern_dim(d->k, groups), op2(d, FTL_K_sub, pc, i64(d, 1))), pc);
	lo_ = op2(d, FTL_K_mul, grid, per);
	hi = op2(d, FTL_K_min, ftl_kern_dim(d->k, groups), op2(d, FTL_K_add, lo_, per));
	g = ftl_k_for(d->b, lo_, hi, 1);
	row = ftl_k_ramp(d->b, op2(d, FTL_K_mul, g.index, i64(d, d->lanes)), i64(d, 1), d->lanes);
	row = op2(d, FTL_K_min, row, op2(d, FTL_K_sub, ftl_kern_dim(d->k, d->rows), i64(d, 1)));
	for (int i = 0; i < d->rank - 1; i++)
		if (i != d->axis)
			dims[n++] = d->ot->dims[i];
	ftl_delinear(d->k, dims, n, row, at);
	n = 0;
	for (int i = 0; i < d->rank - 1; i++)
		if (i != d->axis)
			idx[i] = at[n++];
	fill(d, idx, buf);
	transform(d, buf);
	c = ftl_k_if(d->b, by_convolution(d));
	s = ftl_k_for(d->b, i64(d, 0), d->f, 1);
	{
		cplx x = c_mul(d, current(d, buf, s.index), load(d, ftl_kern_arg(d->k, d->spectrum), s.index, 1));

		set_current(d, buf, s.index, c_swap(x));
	}
	ftl_k_end(d->b, &s);
	transform(d, buf);
	ftl_k_end(d->b, &c);
	drain(d, idx, buf);
	ftl_k_end(d->b, &g);
	ftl_kern_launch(d->k, ftl_lo_dim(lo, pieces), 1 << 16);
}

ftl_status ftl_nest_dft(ftl_lo *lo, ftl_node_id id)
{
	struct dft *d = FTL_NEW(lo->arena, struct dft);
	ftl_symtab *st = lo->g->st;
	int64_t v, rows;

	d->lo = lo;
	d->id = id;
	d->n = ftl_node_get(lo->g, id);
	d->a = FTL_ATTRS(d->n, dft);
	d->xt = ftl_type_of(lo->g, d->n->in[0]);
	d->ot = ftl_type_of(lo->g, d->n->out[0]);
	d->rank = d->ot->rank;
	d->axis = ftl_u_axis(d->a->axis, d->rank);
	d->complex_in = ftl_dim_is_const(st, d->xt->dims[d->rank - 1], &v) && v == 2;
	d->complex_out = !(ftl_dim_is_const(st, d->ot->dims[d->rank - 1], &v) && v == 1);
	d->rows = ftl_dim_const(st, 1);
	for (int i = 0; i < d->rank - 1; i++)
		if (i != d->axis)
			d->rows = ftl_dim_mul(st, d->rows, d->ot->dims[i]);
	d->lanes = lo->target->vector_bytes ? lo->target->vector_bytes / 8 : 1;
	if (ftl_dim_is_const(st, d->rows, &rows))
		while (d->lanes > 1 && rows < d->lanes)
			d->lanes /= 2;
	choose_size(d);
	make_roots(d);
	d->chirp = d->spectrum = d->roots;
	if (!ftl_k_is_const(&lo->main, d->blue, &v) || v)
		make_chirp(d);
	transform_rows(d);
	return FTL_OK;
}
