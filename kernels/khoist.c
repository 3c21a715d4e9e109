/* Loop-invariant code motion: a pure instruction whose operands all come from outside a loop moves in front of it.
 *
 * Lowerings write index arithmetic where it is used; this is what keeps it out of inner loops for every executor, the
 * interpreter included. Nothing can trap (division by zero gives zero), so moving is always safe; what stands in an `if`
 * stays there, or the other branch would pay for it. Loads and reads of variables do not move. */
#include "kernels/kir.h"

struct hoist {
	ftl_kfunc *f;
	ftl_arena *arena;
	uint32_t *depth; /* per value: how many loops are around its definition */
};

typedef FTL_VEC(ftl_kv) list;

static bool invariant(const struct hoist *h, ftl_kv v, uint32_t depth)
{
	const ftl_kinst *i = ftl_kinst_get(h->f, v);

	if (!(ftl_kop_get(i->op)->flags & K_PURE) || i->op == FTL_K_grid)
		return false;
	for (size_t k = 0; k < FTL_COUNT(i->a); k++)
		if (i->a[k] && h->depth[i->a[k]] >= depth)
			return false;
	return true;
}

static void walk(struct hoist *h, ftl_kblock *b, uint32_t depth, list *before);

/* Put v at the end of this block, or in front of the loop whose body the block is. */
static void put(struct hoist *h, ftl_kv v, uint32_t depth, list *here, list *before)
{
	bool out = before && invariant(h, v, depth);

	h->depth[v] = out ? depth - 1 : depth;
	ftl_vec_push(h->arena, out ? before : here, v);
}

static void walk(struct hoist *h, ftl_kblock *b, uint32_t depth, list *before)
{
	list here = {NULL, 0, 0};

	for (uint32_t k = 0; k < b->insts.n; k++) {
		ftl_kv v = b->insts.v[k];
		ftl_kinst *i = ftl_kinst_get(h->f, v);

		if (i->op == FTL_K_for || i->op == FTL_K_loop) {
			list moved = {NULL, 0, 0};

			h->depth[v] = depth + 1; /* as the index inside */
			walk(h, i->body, depth + 1, &moved);
			for (uint32_t m = 0; m < moved.n; m++)
				put(h, moved.v[m], depth, &here, before);
			ftl_vec_push(h->arena, &here, v);
		} else if (i->body || i->els) {
			if (i->body)
				walk(h, i->body, depth, NULL);
			if (i->els)
				walk(h, i->els, depth, NULL);
			ftl_vec_push(h->arena, &here, v);
		} else {
			put(h, v, depth, &here, before);
		}
	}
	b->insts.v = here.v;
	b->insts.n = here.n;
	b->insts.cap = here.cap;
}

void ftl_kfunc_hoist(ftl_kfunc *f)
{
	struct hoist h = {f, f->arena, FTL_NEW_N(f->arena, uint32_t, f->inst.n)};

	walk(&h, &f->body, 0, NULL);
}
