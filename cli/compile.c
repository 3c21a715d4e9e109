/* fettle compile: artifacts. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	fettle_artifact kind;
	bool text;
} kinds[] = {
	{"c", FETTLE_EMIT_C, false},           {"obj", FETTLE_EMIT_OBJECT, false},
	{"static", FETTLE_EMIT_STATIC, false}, {"shared", FETTLE_EMIT_SHARED, false},
	{"exe", FETTLE_EMIT_EXE, false},       {"onnx", FETTLE_EMIT_ONNX, false},
	{"ir", FETTLE_EMIT_IR, true},          {"kernels", FETTLE_EMIT_KERNELS, true},
	{"llvm", FETTLE_EMIT_LLVM, true},
};
#define KINDS (sizeof kinds / sizeof kinds[0])

static const char *kind_name(const void *user, size_t k)
{
	(void)user;
	return k < KINDS ? kinds[k].name : NULL;
}

static void to_stdout(void *user, const char *text, size_t n)
{
	(void)user;
	fwrite(text, 1, n, stdout);
}

static void wrote(void *user, const char *path)
{
	(void)user;
	printf("wrote %s\n", path);
}

static int read_words(fettle_emit_options *o, const char *weights, const char *dialect)
{
	if (weights && !strcmp(weights, "embed"))
		o->weights = FETTLE_WEIGHTS_EMBED;
	else if (weights && !strcmp(weights, "file"))
		o->weights = FETTLE_WEIGHTS_FILE;
	else if (weights)
		return cli_usage("--weights %s: it is embed or file", weights);
	if (dialect && !strcmp(dialect, "iso"))
		o->iso_c = true;
	else if (dialect && strcmp(dialect, "gnu") != 0)
		return cli_usage("--c-dialect %s: it is gnu or iso", dialect);
	return CLI_OK;
}

/* What the name of the output says, if nothing else does. */
static const char *guess(const char *out)
{
	static const struct {
		const char *suffix, *kind;
	} known[] = {{".c", "c"},       {".o", "obj"},  {".a", "static"}, {".so", "shared"},
		     {".onnx", "onnx"}, {".fir", "ir"}, {".ll", "llvm"}};
	const char *dot = out ? strrchr(out, '.') : NULL;

	for (size_t i = 0; dot && i < sizeof known / sizeof known[0]; i++) {
		if (!strcmp(dot, known[i].suffix))
			return known[i].kind;
	}
	return NULL;
}

static int compile_main(const cli_verb *v, int argc, char **argv)
{
	cli_model_options mo = {0};
	fettle_emit_options eo = {.wrote = wrote, .tmpdir = getenv("TMPDIR")};
	const char *out = NULL, *emit = NULL, *weights = NULL, *dialect = NULL;
	const cli_option options[] = {
		{"-o", CLI_TEXT, &out, "OUT",
		 "file to write, or a folder; text kinds go to standard output without it"},
		{"--emit", CLI_TEXT, &emit, "KIND",
		 "c obj static shared exe onnx ir kernels llvm (default: what OUT ends in)"},
		{"--name", CLI_TEXT, &eo.name, "NAME", "prefix of what is exported (default: from OUT)"},
		{"--target", CLI_TEXT, &eo.target, "TRIPLE", "machine to compile for (default: this one)"},
		{"--cpu", CLI_TEXT, &eo.cpu, "LIST", "cpu levels, best first (default on x86_64: avx512,avx2,sse2)"},
		{"--cc", CLI_TEXT, &eo.cc, "PROGRAM",
		 "C compiler that links shared libraries and programs (default cc)"},
		{"--weights", CLI_TEXT, &weights, "embed|file",
		 "in the code, or in a file (default: in the code up to 16 MiB)"},
		{"--c-dialect", CLI_TEXT, &dialect, "gnu|iso",
		 "C11 with vector extensions, or plain C99 (default gnu)"},
		CLI_MODEL_OPTIONS(mo),
	};
	cli_list pos = {0};
	fettle_model *m = NULL;
	fettle_error e;
	fettle_status rc;
	size_t k = 0;
	int status;

	if (!cli_parse(v, argc, argv, options, sizeof options / sizeof options[0], &pos, &status))
		return status;
	if (pos.n != 1)
		return cli_usage("compile takes one model: fettle compile %s", v->usage);
	if (!emit)
		emit = guess(out);
	if (!emit)
		return cli_usage("--emit says what to make: c obj static shared exe onnx ir kernels llvm");
	while (k < KINDS && strcmp(kinds[k].name, emit) != 0)
		k++;
	if (k == KINDS) {
		const char *near = cli_nearest(emit, kind_name, NULL);

		return near ? cli_usage("--emit %s: there is no such kind; did you mean %s?", emit, near)
			    : cli_usage("--emit %s: it is one of c obj static shared exe onnx ir kernels llvm", emit);
	}
	if (!out && !kinds[k].text)
		return cli_usage("-o OUT says where to write");
	status = read_words(&eo, weights, dialect);
	if (!status)
		status = cli_load(pos.v[0], &mo, &m);
	if (status)
		return status;
	rc = out ? fettle_emit(m, kinds[k].kind, out, &eo, &e)
		 : fettle_emit_text(m, kinds[k].kind, &eo, to_stdout, NULL, &e);
	fettle_model_free(m);
	return rc == FETTLE_OK ? CLI_OK : cli_error(&e);
}

const cli_verb cli_compile = {"compile", "make a library, an object, a program, C source, ...", compile_main,
			      "MODEL -o OUT --emit KIND [options]",
			      "Compile a model ahead of time. What comes out depends on libc and libm only. Objects, "
			      "libraries and C come with a\n"
			      "header, NAME.h, that says how to call them. On x86_64 the code holds several cpu levels "
			      "and picks one when it runs.\n"
			      "--dim batch=1..8 bounds a dim that stays open, --shape and --dim batch=4 fix dims: the "
			      "code is faster for it.\n\n"
			      "  fettle compile model.onnx -o libmodel.so\n"
			      "  fettle compile model.onnx -o build/model.c --name bert --weights file\n"
			      "  fettle compile model.onnx -o model.o --target aarch64-linux-gnu\n"
			      "  fettle compile model.onnx -o run-model --emit exe --shape input_ids=1x128\n"};
