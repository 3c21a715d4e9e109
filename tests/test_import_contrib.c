/* ONNX in, com.microsoft and its like: what shapes the attention families take, and the words of refusals. Numbers are
 * compared by tests/fixtures/ms-*. */
#include "onnx_build.h"

static Onnx__NodeProto *ms(fix *f, const char *op, const char *in, const char *out)
{
	Onnx__NodeProto *n = node(f, op, in, out);

	n->domain = (char *)"com.microsoft";
	return n;
}

static void heads_that_share_keys_are_rows_of_one_product(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = ms(f, "GroupQueryAttention", "q k v pk pv l t", "y ok ov");

	attr_i(f, n, "num_heads", 4);
	attr_i(f, n, "kv_num_heads", 2);
	input(f, "q", 1, "?b,?s,32");
	input(f, "k", 1, "?b,?s,16");
	input(f, "v", 1, "?b,?s,16");
	input(f, "pk", 1, "?b,2,?p,8");
	input(f, "pv", 1, "?b,2,?p,8");
	input(f, "l", 6, "?b");
	input(f, "t", 6, "1");
	output(f, "y");
	output(f, "ok");
	good(f);
	assert_string_equal(result_shape(f, 0), "?b,?s,32");
	assert_true(has(f, "softmax"));
}

static void linear_attention_of_one_token_is_no_loop(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = ms(f, "LinearAttention", "q k v s", "y t");

	attr_i(f, n, "q_num_heads", 4);
	attr_i(f, n, "kv_num_heads", 2);
	attr_s(f, n, "update_rule", "linear");
	input(f, "q", 1, "?b,1,32");
	input(f, "k", 1, "?b,1,16");
	input(f, "v", 1, "?b,1,12");
	input(f, "s", 1, "?b,2,8,6");
	output(f, "y");
	output(f, "t");
	good(f);
	assert_false(has(f, "scan"));
	assert_string_equal(result_shape(f, 0), "?b,1,24");
}

static void linear_attention_says_what_its_rule_lacks(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = ms(f, "LinearAttention", "q k v", "y t");

	attr_i(f, n, "q_num_heads", 1);
	attr_i(f, n, "kv_num_heads", 1);
	input(f, "q", 1, "2,3,8");
	input(f, "k", 1, "2,3,8");
	input(f, "v", 1, "2,3,8");
	output(f, "y");
	bad(f, FTL_ERR_MODEL, "update_rule \"gated_delta\" needs the decay input");
}

static void mask_of_unknown_length_is_told_apart_by_the_run(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = ms(f, "MultiHeadAttention", "q k v - m", "y");

	attr_i(f, n, "num_heads", 2);
	input(f, "q", 1, "?b,?s,8");
	input(f, "k", 1, "?b,?n,8");
	input(f, "v", 1, "?b,?n,8");
	input(f, "m", 6, "?m");
	output(f, "y");
	good(f);
	assert_string_equal(result_shape(f, 0), "?b,?s,8");
}

static void refusals_name_the_remedy(void **state)
{
	static const struct {
		const char *op, *domain, *words;
	} t[] = {{"ReorderInput", "com.microsoft.nchwc", "optimization level"},
		 {"QOrderedMatMul", "com.microsoft", "tensor cores"},
		 {"Tokenizer", "com.microsoft", "tokenize outside the model"},
		 {"WhisperBeamSearch", "com.microsoft", "encoder and decoder"},
		 {"GatherGrad", "com.microsoft", "for inference"}};

	for (size_t i = 0; i < FTL_COUNT(t); i++) {
		fix *f;
		assert_int_equal(setup(state), 0);
		f = *state;
		node(f, t[i].op, "x", "y")->domain = (char *)t[i].domain;
		input(f, "x", 1, "1,8,4,4");
		output(f, "y");
		bad(f, FTL_ERR_UNSUPPORTED, t[i].words);
		if (i + 1 < FTL_COUNT(t))
			teardown(state);
	}
}

static void aten_is_read_where_it_is_easy(void **state)
{
	fix *f = *state;
	Onnx__NodeProto *n = node(f, "ATen", "x", "y");

	n->domain = (char *)"org.pytorch.aten";
	attr_s(f, n, "operator", "silu");
	input(f, "x", 1, "2,3");
	output(f, "y");
	good(f);
	assert_true(has(f, "silu"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(heads_that_share_keys_are_rows_of_one_product),
		T(linear_attention_of_one_token_is_no_loop),
		T(linear_attention_says_what_its_rule_lacks),
		T(mask_of_unknown_length_is_told_apart_by_the_run),
		cmocka_unit_test_teardown(refusals_name_the_remedy, teardown),
		T(aten_is_read_where_it_is_easy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
