/* Dead-code elimination on one function of kernel IR.
 *
 * Starts from what has an effect and marks what that needs: operands, the control instructions around, and for a
 * variable that is read, everything that sets it. A break matters when its loop does. The rest leaves the blocks;
 * ids and instructions stay where they are. Linear in the size of the function. */
#include "kernels/kir.h"

struct dce {
	ftl_kfunc *f;
	bool *live;
	ftl_kv *parent; /* control instruction around, 0 at the top */
	ftl_kv *chain;  /* of a variable or loop: first of its sets / breaks; of those: the next one */
	FTL_VEC(ftl_kv) work;
};

static void mark(struct dce *d, ftl_kv v)
{
	if (v && !d->live[v]) {
		d->live[v] = true;
		ftl_vec_push(d->f->arena, &d->work, v);
	}
}

static bool has_effect(const struct dce *d, const ftl_kinst *i)
{
	switch ((ftl_kop)i->op) {
	case FTL_K_store:
	case FTL_K_storen:
	case FTL_K_prefetch:
	case FTL_K_copy:
	case FTL_K_zero:
	case FTL_K_check:
	case FTL_K_out_ptr:
	case FTL_K_out_dim:
	case FTL_K_alloc:
	case FTL_K_free:
	case FTL_K_launch: return true;
	case FTL_K_var:
	case FTL_K_set: return d->f->is_main;
	default: return false;
	}
}

static bool const_int(const ftl_kfunc *f, ftl_kv v, int64_t *out)
{
	const ftl_kinst *i = ftl_kinst_get(f, v);

	*out = i->imm;
	return i->op == FTL_K_const;
}

/* A `for` that runs no time. */
static bool never_runs(const ftl_kfunc *f, const ftl_kinst *i)
{
	int64_t lo, hi;

	return i->op == FTL_K_for && const_int(f, i->a[0], &lo) && const_int(f, i->a[1], &hi) && lo >= hi;
}

/* loop: the innermost for / loop around. */
static void scan(struct dce *d, const ftl_kblock *b, ftl_kv around, ftl_kv loop)
{
	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		const ftl_kinst *i = ftl_kinst_get(d->f, v);
		ftl_kv list = i->op == FTL_K_set ? i->a[0] : i->op == FTL_K_break ? loop : 0;
		ftl_kv inner = i->op == FTL_K_for || i->op == FTL_K_loop ? v : loop;

		d->parent[v] = around;
		if (list) {
			d->chain[v] = d->chain[list];
			d->chain[list] = v;
		}
		if (has_effect(d, i))
			mark(d, v);
		if (i->body && !never_runs(d->f, i))
			scan(d, i->body, v, inner);
		if (i->els)
			scan(d, i->els, v, inner);
	}
}

static void spread(struct dce *d)
{
	while (d->work.n) {
		ftl_kv v = d->work.v[--d->work.n];
		const ftl_kinst *i = ftl_kinst_get(d->f, v);

		mark(d, d->parent[v]);
		for (int k = 0; k < 4; k++)
			mark(d, i->a[k]);
		for (uint32_t k = 0; k < i->nextra; k++)
			mark(d, i->extra[k]);
		if (i->op == FTL_K_for || i->op == FTL_K_loop || i->op == FTL_K_var) {
			for (ftl_kv s = d->chain[v]; s; s = d->chain[s])
				mark(d, s);
		}
	}
}

static void sweep(const struct dce *d, ftl_kblock *b)
{
	uint32_t n = 0;

	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		ftl_kinst *i = ftl_kinst_get(d->f, v);

		if (!d->live[v])
			continue;
		if (i->body)
			sweep(d, i->body);
		if (i->els) {
			sweep(d, i->els);
			if (i->els->insts.n == 0)
				i->els = NULL;
		}
		b->insts.v[n++] = v;
	}
	b->insts.n = n;
}

void ftl_kfunc_dce(ftl_kfunc *f)
{
	struct dce d = {.f = f};

	d.live = FTL_NEW_N(f->arena, bool, f->inst.n);
	d.parent = FTL_NEW_N(f->arena, ftl_kv, f->inst.n);
	d.chain = FTL_NEW_N(f->arena, ftl_kv, f->inst.n);
	mark(&d, f->result);
	scan(&d, &f->body, 0, 0);
	spread(&d);
	sweep(&d, &f->body);
}
