/* The graph: building, editing, exact uses, copies, the op table, and what the verifier finds. */
#include "ir/infer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

struct fix {
	ftl_arena arena;
	ftl_landing landing;
	ftl_graph *g;
	ftl_builder b;
	ftl_diag d;
	ftl_val x; /* f32[?b,8] */
};

static int setup(void **state)
{
	struct fix *f = calloc(1, sizeof *f);

	*state = f;
	ftl_arena_init(&f->arena, NULL, &f->landing, 0);
	f->g = ftl_graph_new(&f->arena, "f");
	f->b = (ftl_builder){.g = f->g, .region = f->g->body, .diag = &f->d, .loc = "here"};
	ftl_dim dims[] = {ftl_dim_sym(f->g->st, "b"), ftl_dim_const(f->g->st, 8)};

	f->x = ftl_param_new(f->g, f->g->body, ftl_type_make(f->g, FTL_F32, 2, dims), "x");
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	ftl_arena_free(&f->arena);
	free(f);
	return 0;
}

static ftl_val op(struct fix *f, ftl_op o, ftl_val a, ftl_val b)
{
	ftl_val in[] = {a, b}, out;

	if (ftl_build1(&f->b, o, in, b ? 2 : 1, NULL, &out) != FTL_OK)
		fail_msg("%s", f->d.text);
	return out;
}

static void good(struct fix *f)
{
	ftl_diag_clear(&f->d);
	if (ftl_verify(f->g, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
}

static void bad(struct fix *f, const char *text)
{
	ftl_diag_clear(&f->d);
	assert_int_equal(ftl_verify(f->g, &f->d), FTL_ERR_MODEL);
	if (!strstr(f->d.text, text))
		fail_msg("wanted \"%s\", got \"%s\"", text, f->d.text);
}

static const char *print(struct fix *f, const ftl_graph *g)
{
	ftl_text t;

	ftl_text_init(&t, &f->arena);
	ftl_print(g, &t);
	return t.v;
}

static void building_gives_types_and_uses(void **state)
{
	struct fix *f = *state;
	ftl_val y = op(f, FTL_OP_mul, f->x, f->x), z = op(f, FTL_OP_relu, y, 0);

	ftl_build_yield(&f->b, &z, 1);
	assert_int_equal(ftl_use_count(f->g, f->x), 2);
	assert_int_equal(ftl_use_count(f->g, y), 1);
	assert_true(ftl_type_eq(ftl_type_of(f->g, y), ftl_type_of(f->g, f->x)));
	assert_true(ftl_is_result(f->g, z));
	assert_false(ftl_is_result(f->g, y));
	assert_int_equal(ftl_def(f->g, z, FTL_OP_relu), ftl_value_get(f->g, z)->def);
	assert_int_equal(ftl_def(f->g, z, FTL_OP_mul), 0);
	assert_int_equal(ftl_def(f->g, f->x, FTL_OP_mul), 0);
	assert_int_equal(ftl_def(f->g, 0, FTL_OP_const), 0);
	good(f);
	assert_string_equal(print(f, f->g), "func @f(%0: f32[?b,8] \"x\") -> (f32[?b,8]) {\n"
					    "  %1 = mul %0, %0 : f32[?b,8]  @\"here\"\n"
					    "  %2 = relu %1 : f32[?b,8]  @\"here\"\n"
					    "  return %2  @\"here\"\n}\n");
}

static void a_failed_build_leaves_nothing(void **state)
{
	struct fix *f = *state;
	int64_t three = 3;
	ftl_val in[] = {f->x, ftl_build_const_i64s(&f->b, &three, 1)}, out;
	ftl_node_id last = ftl_region_get(f->g, f->g->body)->last;

	assert_int_equal(ftl_build1(&f->b, FTL_OP_add, in, 2, NULL, &out), FTL_ERR_MODEL);
	assert_non_null(strstr(f->d.text, "node \"here\" (add)"));
	assert_int_equal(ftl_region_get(f->g, f->g->body)->last, last);
	assert_int_equal(ftl_use_count(f->g, f->x), 0);
}

static void replacing_moves_all_uses(void **state)
{
	struct fix *f = *state;
	ftl_val y = op(f, FTL_OP_tanh, f->x, 0), z = op(f, FTL_OP_relu, f->x, 0);
	ftl_val a = op(f, FTL_OP_add, y, y), b = op(f, FTL_OP_add, y, a), out[] = {b, y};

	ftl_build_yield(&f->b, out, 2);
	ftl_value_get(f->g, y)->name = "y";
	ftl_replace_uses(f->g, y, z);
	assert_int_equal(ftl_use_count(f->g, y), 0);
	assert_int_equal(ftl_use_count(f->g, z), 4);
	assert_string_equal(ftl_value_get(f->g, z)->name, "y");
	good(f);
	ftl_node_erase(f->g, ftl_value_get(f->g, y)->def);
	assert_int_equal(ftl_use_count(f->g, f->x), 1);
	good(f);
	ftl_node_set_input(f->g, ftl_value_get(f->g, b)->def, 0, f->x);
	assert_int_equal(ftl_use_count(f->g, z), 3);
	good(f);
}

static void random_edits_keep_uses_exact(void **state)
{
	struct fix *f = *state;
	uint32_t rng = 1;
	ftl_val v[64] = {f->x}, result[1];
	uint32_t n = 1;

	for (int round = 0; round < 600; round++) {
		rng = rng * 1664525u + 1013904223u;
		ftl_val a = v[(rng >> 8) % n], b = v[(rng >> 16) % n];

		switch (rng >> 28 & 3) {
		case 0:
		case 1:
			if (n < 64)
				v[n++] = op(f, FTL_OP_add, a, b);
			break;
		case 2: /* only earlier values may take over */
			if (a < b)
				ftl_replace_uses(f->g, b, a);
			break;
		default:
			if (n > 1 && ftl_use_count(f->g, v[n - 1]) == 0)
				ftl_node_erase(f->g, ftl_value_get(f->g, v[--n])->def);
		}
	}
	result[0] = v[n - 1];
	ftl_build_yield(&f->b, result, 1);
	good(f);
}

static void many_users_go_in_linear_time(void **state)
{
	struct fix *f = *state;
	enum { N = 100000 };
	ftl_node_id *node = calloc(N, sizeof *node);
	ftl_val y = op(f, FTL_OP_relu, f->x, 0);

	for (int i = 0; i < N; i++)
		node[i] = ftl_node_new(&f->b, FTL_OP_neg, &f->x, 1, NULL, 1);
	ftl_replace_uses(f->g, f->x, y);
	assert_int_equal(ftl_use_count(f->g, y), N + 1); /* relu reads itself now; undone at once */
	ftl_node_set_input(f->g, ftl_value_get(f->g, y)->def, 0, f->x);
	for (int i = 0; i < N / 2; i++)
		ftl_node_erase(f->g, node[i]);
	for (int i = N; i-- > N / 2;)
		ftl_node_erase(f->g, node[i]);
	assert_int_equal(ftl_use_count(f->g, y), 0);
	free(node);
}

static void nodes_move_and_end_before_the_yield(void **state)
{
	struct fix *f = *state;
	ftl_val y = op(f, FTL_OP_tanh, f->x, 0), z = op(f, FTL_OP_relu, f->x, 0), w;

	ftl_build_yield(&f->b, &y, 1);
	ftl_node_move_before(f->g, ftl_value_get(f->g, z)->def, ftl_value_get(f->g, y)->def);
	assert_int_equal(ftl_region_get(f->g, f->g->body)->first, ftl_value_get(f->g, z)->def);
	good(f);
	w = op(f, FTL_OP_neg, z, 0); /* a region that is complete stays so */
	assert_int_equal(ftl_node_get(f->g, ftl_value_get(f->g, w)->def)->next, ftl_region_get(f->g, f->g->body)->last);
	good(f);
	f->b.before = ftl_value_get(f->g, y)->def;
	w = op(f, FTL_OP_abs, z, 0);
	assert_int_equal(ftl_node_get(f->g, f->b.before)->prev, ftl_value_get(f->g, w)->def);
	good(f);
}

/* if flag then relu(x) else x */
static ftl_val build_if(struct fix *f, ftl_val flag)
{
	ftl_node_id n = ftl_node_new(&f->b, FTL_OP_if, &flag, 1, NULL, 1);
	ftl_builder then = f->b, other = f->b;
	ftl_val y;

	then.region = ftl_region_new(f->g, n);
	assert_int_equal(ftl_build1(&then, FTL_OP_relu, &f->x, 1, NULL, &y), FTL_OK);
	ftl_build_yield(&then, &y, 1);
	other.region = ftl_region_new(f->g, n);
	ftl_build_yield(&other, &f->x, 1);
	if (ftl_infer_node(f->g, n, &f->d) != FTL_OK)
		fail_msg("%s", f->d.text);
	return ftl_node_get(f->g, n)->out[0];
}

static void erasing_takes_regions_along(void **state)
{
	struct fix *f = *state;
	ftl_val flag = ftl_build_scalar(&f->b, FTL_BOOL, 1), y = build_if(f, flag);
	ftl_node_id n = ftl_value_get(f->g, y)->def;

	assert_int_equal(ftl_use_count(f->g, f->x), 2);
	ftl_node_erase(f->g, n);
	assert_int_equal(ftl_use_count(f->g, f->x), 0);
	assert_int_equal(ftl_use_count(f->g, flag), 0);
	ftl_build_yield(&f->b, &f->x, 1);
	good(f);
}

static void erasing_inside_a_walk(void **state)
{
	struct fix *f = *state;

	for (int i = 0; i < 10; i++)
		op(f, FTL_OP_relu, f->x, 0);
	FTL_FOREACH_NODE(f->g, id)
		ftl_node_erase(f->g, id);
	assert_int_equal(ftl_region_get(f->g, f->g->body)->first, 0);
	assert_int_equal(ftl_use_count(f->g, f->x), 0);
}

static void a_clone_is_equal_and_apart(void **state)
{
	struct fix *f = *state;
	ftl_arena other;
	ftl_landing landing;
	ftl_val flag = ftl_build_scalar(&f->b, FTL_BOOL, 1), y = build_if(f, flag), s;
	const char *before;
	ftl_graph *c;
	ftl_dim k = ftl_dim_fresh_int(f->g->st, "k");

	ftl_dim_set_bounds(f->g->st, k, -5, 5);
	ftl_dim_set_bounds(f->g->st, ftl_dim_sym(f->g->st, "b"), 1, 64);
	assert_int_equal(ftl_build1(&f->b, FTL_OP_shape, &f->x, 1, NULL, &s), FTL_OK);
	ftl_build_yield(&f->b, (ftl_val[]){y, s}, 2);
	struct ftl_attrs_dims *a = ftl_attrs_default(f->g, FTL_OP_dims);
	ftl_dim list[] = {ftl_dim_max(f->g->st, k, ftl_dim_const(f->g->st, 0)),
			  ftl_dim_div(f->g->st, ftl_dim_sym(f->g->st, "b"), ftl_dim_const(f->g->st, 3))};
	a->values = (ftl_dims){2, list};
	assert_int_equal(ftl_build1(&f->b, FTL_OP_dims, NULL, 0, a, &s), FTL_OK);
	good(f);
	before = print(f, f->g);

	ftl_arena_init(&other, NULL, &landing, 0);
	c = ftl_graph_clone(&other, f->g);
	assert_string_equal(print(f, c), before);
	assert_int_equal(ftl_verify(c, &f->d), FTL_OK);
	assert_int_equal(ftl_sym_binder(c, ftl_dim_sym(c->st, "b")), f->x);
	assert_int_equal(ftl_infer_graph(c, &f->d), FTL_OK);
	assert_string_equal(print(f, c), before);
	ftl_replace_uses(c, s, ftl_node_get(c, ftl_region_get(c, c->body)->last)->in[1]);
	ftl_node_erase(c, ftl_value_get(c, s)->def);
	assert_string_equal(print(f, f->g), before);
	ftl_arena_free(&other);
	good(f);
}

static void locations_merge_without_repeats(void **state)
{
	struct fix *f = *state;
	ftl_loc l = "";

	assert_string_equal(ftl_loc_merge(f->g, "a", "b"), "a+b");
	assert_string_equal(ftl_loc_merge(f->g, "a+b", "b+c"), "a+b+c");
	assert_string_equal(ftl_loc_merge(f->g, "", "b"), "b");
	assert_string_equal(ftl_loc_merge(f->g, "a", "a"), "a");
	for (int i = 0; i < 500; i++)
		l = ftl_loc_merge(f->g, l, ftl_arena_printf(&f->arena, "node%d", i));
	assert_true(strlen(l) < 300);
	assert_non_null(strstr(l, "+..."));
}

static void the_op_table_is_whole(void **state)
{
	struct fix *f = *state;

	for (int o = 1; o < FTL_OP_COUNT; o++) {
		const ftl_op_info *info = ftl_op_get((ftl_op)o);
		void *a = ftl_attrs_default(f->g, (ftl_op)o), *b = ftl_attrs_default(f->g, (ftl_op)o);

		assert_int_equal(ftl_op_parse(info->name, strlen(info->name)), o);
		assert_non_null(info->infer);
		assert_true(info->nattr < 64);
		assert_true(ftl_attrs_eq(f->g, (ftl_op)o, a, b));
		assert_true(ftl_attrs_hash(f->g, (ftl_op)o, a, 1) == ftl_attrs_hash(f->g, (ftl_op)o, b, 1));
		for (unsigned i = 0; i < info->nattr; i++) {
			assert_true(ftl_attr_is_default(&info->attr[i], a));
			assert_true(info->attr[i].offset < info->attr_bytes);
		}
	}
	assert_int_equal(ftl_op_parse("mat", 3), FTL_OP_NONE);
	assert_int_equal(ftl_op_parse("matmulx", 6), FTL_OP_matmul);
	struct ftl_attrs_shape *s = ftl_attrs_default(f->g, FTL_OP_shape);
	assert_true(s->end == INT64_MAX);
	struct ftl_attrs_compress *c = ftl_attrs_default(f->g, FTL_OP_compress);
	assert_true(c->axis == INT64_MIN);
	struct ftl_attrs_resize *r = ftl_attrs_default(f->g, FTL_OP_resize),
				*q = ftl_attrs_default(f->g, FTL_OP_resize);
	assert_string_equal(r->nearest, "round_prefer_floor");
	r->scales = (ftl_floats){2, (double[]){1, 2}};
	assert_false(ftl_attrs_eq(f->g, FTL_OP_resize, r, q));
	assert_true(ftl_attrs_hash(f->g, FTL_OP_resize, r, 1) != ftl_attrs_hash(f->g, FTL_OP_resize, q, 1));
}

static void constants_answer_questions(void **state)
{
	struct fix *f = *state;
	int64_t v[] = {7, 7, 7}, out[4], dims[] = {3};
	uint32_t n;
	double s;
	ftl_val a = ftl_build_const_i64s(&f->b, v, 3), b = ftl_build_scalar(&f->b, FTL_BF16, 1.5);
	int8_t i8[] = {-1, -128, 127};
	ftl_val c = ftl_build_const_bytes(&f->b, FTL_I8, 1, dims, i8);

	assert_true(ftl_const_i64s(f->g, a, out, 4, &n) && n == 3 && out[2] == 7);
	assert_false(ftl_const_i64s(f->g, a, out, 2, &n));
	assert_true(ftl_const_scalar(f->g, a, &s) && s == 7);
	assert_true(ftl_const_scalar(f->g, b, &s) && s == 1.5);
	assert_false(ftl_const_i64s(f->g, b, out, 4, &n));
	assert_true(ftl_const_i64s(f->g, c, out, 4, &n) && out[0] == -1 && out[1] == -128);
	assert_false(ftl_const_scalar(f->g, c, &s));
	assert_null(ftl_const_blob(f->g, f->x));
	assert_int_equal(ftl_value_get(f->g, a)->nsym, 3);
	assert_true(ftl_blob_hash(ftl_const_blob(f->g, a)) != 0);

	for (int t = 1; t < FTL_DTYPE_LOW; t++) {
		char buf[32];
		const double big[] = {1e300, -1e300, 0.75, (double)NAN};

		for (size_t i = 0; i < FTL_COUNT(big); i++) {
			ftl_elem_set((ftl_dtype)t, buf, 1, big[i]);
			double back = ftl_elem_get((ftl_dtype)t, buf, 1);

			if (t == FTL_STRING)
				continue;
			if (ftl_dtype_is_int((ftl_dtype)t))
				assert_true(i == 0 ? back > 100 : i == 1 ? back <= 0 : back == 0);
			else if (t != FTL_BOOL)
				assert_true(i == 0   ? back > 1e30
					    : i == 1 ? back < -1e30
					    : i == 2 ? back == 0.75
						     : isnan(back));
		}
	}
	ftl_elem_set(FTL_U64, out, 0, 0x1p63);
	assert_true(ftl_elem_get(FTL_U64, out, 0) == 0x1p63);
}

static void the_verifier_finds(void **state)
{
	struct fix *f = *state;
	ftl_val y = op(f, FTL_OP_tanh, f->x, 0), z = op(f, FTL_OP_relu, y, 0);
	ftl_node_id ny = ftl_value_get(f->g, y)->def, nz = ftl_value_get(f->g, z)->def, end;

	bad(f, "a region ends in its only yield");
	end = ftl_build_yield(&f->b, &z, 1);
	good(f);
	ftl_value_get(f->g, y)->uses.n = 0;
	bad(f, "output 0 has 1 uses, its list says 0");
	ftl_value_get(f->g, y)->uses.n = 1;
	ftl_value_get(f->g, y)->uses.v[0] = ny;
	bad(f, "names other nodes than use it");
	ftl_value_get(f->g, y)->uses.v[0] = nz;
	ftl_node_move_before(f->g, nz, ny);
	bad(f, "is not defined before it");
	ftl_node_move_before(f->g, ny, nz);
	good(f);
	ftl_node_get(f->g, nz)->next = ny;
	bad(f, "is there twice");
	ftl_node_get(f->g, nz)->next = end;
	ftl_value_get(f->g, z)->type.dtype = FTL_NO_DTYPE;
	bad(f, "has no element type");
	ftl_value_get(f->g, z)->type.dtype = FTL_F32;
	((ftl_dim *)ftl_value_get(f->g, z)->type.dims)[0] = FTL_DIM_NONE;
	bad(f, "is no size");
	assert_int_equal(ftl_infer_graph(f->g, &f->d), FTL_OK);
	good(f);
	ftl_node_get(f->g, nz)->nin = 0;
	bad(f, "is not a number of inputs it can take");
	ftl_node_get(f->g, nz)->nin = 1;
	ftl_node_get(f->g, nz)->dead = true;
	bad(f, "was erased");
	ftl_node_get(f->g, nz)->dead = false;
	ftl_node_get(f->g, nz)->in[0] = 12345;
	bad(f, "value 12345 is not defined before it");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(building_gives_types_and_uses),
		T(a_failed_build_leaves_nothing),
		T(replacing_moves_all_uses),
		T(random_edits_keep_uses_exact),
		T(many_users_go_in_linear_time),
		T(nodes_move_and_end_before_the_yield),
		T(erasing_takes_regions_along),
		T(erasing_inside_a_walk),
		T(a_clone_is_equal_and_apart),
		T(locations_merge_without_repeats),
		T(the_op_table_is_whole),
		T(constants_answer_questions),
		T(the_verifier_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
