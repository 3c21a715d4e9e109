/* Scans that imports write themselves: recurrences that ONNX defines in words.
 *
 * Everything is scanned forward along one axis, results are stacked along the same. The variables keep their types. */
#include "imp.h"

void ftl_imp_scan_open(imp *m, imp_scan *s, int axis, uint32_t nvar, const ftl_val *init, uint32_t nin,
		       const ftl_val *in, uint32_t nout, ftl_val *var, ftl_val *slice)
{
	uint32_t n = nvar + nin;
	struct ftl_attrs_scan *a = NEW_ATTRS(m, scan);
	ftl_val *all = FTL_NEW_N(m->tmp, ftl_val, n + 1);
	int64_t *axes = FTL_NEW_N(m->tmp, int64_t, nin + nout + 1), *zeros = FTL_NEW_N(m->tmp, int64_t, nin + nout + 1);
	ftl_region_id r;

	*s = (imp_scan){.outer = m->b.region, .before = m->b.before, .nvar = nvar, .nout = nout};
	for (uint32_t k = 0; k < nin + nout; k++)
		axes[k] = axis;
	for (uint32_t k = 0; k < n; k++) /* first, since var may be init */
		all[k] = k < nvar ? init[k] : in[k - nvar];
	memset(var, 0, nvar * sizeof *var);
	memset(slice, 0, nin * sizeof *slice);
	if (m->failed)
		return;
	a->num_scan_inputs = nin;
	a->in_axes = ftl_imp_ints_copy(m, nin, axes);
	a->out_axes = ftl_imp_ints_copy(m, nout, axes);
	a->in_reverse = ftl_imp_ints_copy(m, nin, zeros);
	a->out_reverse = ftl_imp_ints_copy(m, nout, zeros);
	s->id = ftl_node_new(&m->b, FTL_OP_scan, all, n, a, nvar + nout);
	r = ftl_region_new(m->g, s->id);
	m->b.region = r;
	m->b.before = 0;
	for (uint32_t k = 0; k < nvar; k++) {
		ftl_type t = *ftl_imp_type(m, all[k]);
		t.enc = NULL;
		var[k] = ftl_param_new(m->g, r, t, "state");
	}
	for (uint32_t k = 0; k < nin; k++) {
		const ftl_type *t = ftl_imp_type(m, all[nvar + k]);
		ftl_dim d[FTL_MAX_RANK];
		int rank = 0;
		for (int i = 0; i < t->rank; i++)
			if (i != axis)
				d[rank++] = t->dims[i];
		slice[k] = ftl_param_new(m->g, r, ftl_type_make(m->g, t->dtype, rank, d), "step");
	}
}

void ftl_imp_scan_close(imp *m, imp_scan *s, const ftl_val *yield, ftl_val *out)
{
	uint32_t n = s->nvar + s->nout;

	memset(out, 0, n * sizeof *out);
	if (!m->failed)
		ftl_build_yield(&m->b, yield, n);
	m->b.region = s->outer;
	m->b.before = s->before;
	if (m->failed)
		return;
	ftl_imp_finish(m, s->id);
	for (uint32_t k = 0; k < n && !m->failed; k++)
		out[k] = ftl_node_get(m->g, s->id)->out[k];
}
