/* A program around a model: reads inputs from .npy files, runs once, writes outputs as .npy files. It works on the raw
 * boundary (ftl_io with whatever dims the files have), and uses the header for weights, messages and threads. */
#include "backends/c.h"

static const char *descr(ftl_dtype t)
{
	switch (ftl_dtype_mem(t)) { /* npy has no types of few bits: their bytes */
	case FTL_F32: return "<f4";
	case FTL_F64: return "<f8";
	case FTL_F16: return "<f2";
	case FTL_I8: return "|i1";
	case FTL_I16: return "<i2";
	case FTL_I32: return "<i4";
	case FTL_I64: return "<i8";
	case FTL_U8: return "|u1";
	case FTL_U16:
	case FTL_BF16: /* npy has no bfloat16: its bits */ return "<u2";
	case FTL_U32: return "<u4";
	case FTL_U64: return "<u8";
	default: return "|b1";
	}
}

static const char intro[] =
	" * usage: PROGRAM [--threads N] [--weights FILE] [--output DIR] INPUT=FILE.npy ...\n"
	" * Every input must be given. Outputs are written to DIR (default: here), one .npy each.\n"
	" * Exit status: 0 done, 1 something is wrong with the data, 2 wrong usage. */\n"
	"#define _POSIX_C_SOURCE 200809L\n"
	"#define @_THREADS\n"
	"#include \"@.h\"\n"
	"#include <errno.h>\n#include <fcntl.h>\n#include <inttypes.h>\n#include <stdio.h>\n#include <stdlib.h>\n"
	"#include <sys/mman.h>\n#include <sys/stat.h>\n#include <unistd.h>\n\n"
	"struct port {\n\tconst char *name, *file, *descr;\n\tint rank;\n\tsize_t size;\n};\n\n";

static const char body[] =
	"static int fail(const char *what, const char *why)\n"
	"{\n\tfprintf(stderr, \"%s: %s\\n\", what, why);\n\treturn 1;\n}\n\n"
	"static void *get(void *user, size_t bytes)\n"
	"{\n\tvoid *p = NULL;\n\n\t(void)user;\n\treturn posix_memalign(&p, 64, bytes ? bytes : 1) == 0 ? p : "
	"NULL;\n}\n\n"
	"static void give(void *user, void *p)\n{\n\t(void)user;\n\tfree(p);\n}\n\n"
	"/* Read all of a file into fresh memory with room for a NUL. */\n"
	"static char *slurp(const char *path, size_t *n)\n"
	"{\n"
	"\tFILE *f = fopen(path, \"rb\");\n\tchar *p = NULL;\n\tlong size;\n\n"
	"\tif (!f)\n\t\treturn NULL;\n"
	"\tif (fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 && fseek(f, 0, SEEK_SET) == 0) {\n"
	"\t\tp = (char *)get(NULL, (size_t)size + 1);\n"
	"\t\tif (p && fread(p, 1, (size_t)size, f) != (size_t)size) {\n\t\t\tfree(p);\n\t\t\tp = NULL;\n\t\t}\n"
	"\t\tif (p) {\n\t\t\tp[size] = '\\0';\n\t\t\t*n = (size_t)size;\n\t\t}\n"
	"\t}\n\tfclose(f);\n\treturn p;\n}\n\n"
	"/* The value of a key in a .npy header. */\n"
	"static const char *value(const char *head, const char *key)\n"
	"{\n\tconst char *p = strstr(head, key);\n\n\tif (!p)\n\t\treturn \"\";\n\tp += strlen(key);\n"
	"\treturn p + strspn(p, \" :'\\\"(\");\n}\n\n"
	"static int read_npy(const char *path, const struct port *port, ftl_io *io)\n"
	"{\n"
	"\tsize_t n = 0, at, len, want = port->size, k;\n\tchar *p = slurp(path, &n), *data;\n\tchar "
	"head[4096];\n\tconst char *s;\n\tint rank = 0;\n\n"
	"\tif (!p)\n\t\treturn fail(path, errno ? strerror(errno) : \"cannot read\");\n"
	"\tif (n < 12 || memcmp(p, \"\\223NUMPY\", 6) != 0) {\n\t\tfree(p);\n\t\treturn fail(path, \"not a .npy "
	"file\");\n\t}\n"
	"\tat = p[6] == 1 ? 10 : 12;\n"
	"\tlen = (unsigned char)p[8] | (size_t)(unsigned char)p[9] << 8;\n"
	"\tif (p[6] != 1)\n\t\tlen |= (size_t)(unsigned char)p[10] << 16 | (size_t)(unsigned char)p[11] << 24;\n"
	"\tif (len > n - at || len >= sizeof head) {\n\t\tfree(p);\n\t\treturn fail(path, \"bad .npy header\");\n\t}\n"
	"\tmemcpy(head, p + at, len);\n\thead[len] = '\\0';\n"
	"\ts = value(head, \"'descr'\");\n"
	"\tif (strncmp(s, port->descr, 3) != 0 && !(s[0] == '=' && strncmp(s + 1, port->descr + 1, 2) == 0)) {\n"
	"\t\tfprintf(stderr, \"%s: input %s wants elements %s, these are %.4s\\n\", path, port->name, port->descr, "
	"s);\n\t\tfree(p);\n\t\treturn 1;\n\t}\n"
	"\tif (strncmp(value(head, \"'fortran_order'\"), \"False\", 5) != 0) {\n\t\tfree(p);\n\t\treturn fail(path, "
	"\"is in Fortran order\");\n\t}\n"
	"\ts = value(head, \"'shape'\");\n"
	"\twhile (*s >= '0' && *s <= '9') {\n"
	"\t\tchar *end;\n\t\tunsigned long long d = strtoull(s, &end, 10);\n\n"
	"\t\tif (rank == port->rank || rank == FTL_ABI_MAX_RANK || d > INT32_MAX || (d && want > SIZE_MAX / d)) "
	"{\n\t\t\tfree(p);\n\t\t\treturn fail(path, \"has the wrong shape\");\n\t\t}\n"
	"\t\tio->dims[rank++] = (int64_t)d;\n\t\twant *= (size_t)d;\n"
	"\t\ts = end + strspn(end, \", \");\n"
	"\t}\n"
	"\tif (rank != port->rank) {\n\t\tfprintf(stderr, \"%s: input %s has rank %d, this has %d\\n\", path, "
	"port->name, port->rank, rank);\n\t\tfree(p);\n\t\treturn 1;\n\t}\n"
	"\tif (want > n - at - len) {\n\t\tfree(p);\n\t\treturn fail(path, \"is shorter than its shape says\");\n\t}\n"
	"\tdata = (char *)get(NULL, want);\n"
	"\tif (!data) {\n\t\tfree(p);\n\t\treturn fail(path, \"out of memory\");\n\t}\n"
	"\tmemcpy(data, p + at + len, want);\n\tfree(p);\n"
	"\tif (strcmp(port->descr, \"|b1\") == 0) {\n\t\tfor (k = 0; k < want; k++)\n\t\t\tdata[k] = data[k] != "
	"0;\n\t}\n"
	"\tio->data = data;\n\tio->bytes = want;\n\treturn 0;\n}\n\n"
	"static int write_npy(const char *dir, const struct port *port, const ftl_io *io)\n"
	"{\n"
	"\tchar path[4096], head[1024];\n\tsize_t n, bytes = port->size;\n\tint k, ok;\n\tFILE *f;\n\n"
	"\tif (snprintf(path, sizeof path, \"%s/%s.npy\", dir, port->file) >= (int)sizeof path)\n\t\treturn fail(dir, "
	"\"the name is too long\");\n"
	"\tn = (size_t)snprintf(head, sizeof head, \"{'descr': '%s', 'fortran_order': False, 'shape': (\", "
	"port->descr);\n"
	"\tfor (k = 0; k < port->rank; k++) {\n"
	"\t\tn += (size_t)snprintf(head + n, sizeof head - n, \"%\" PRId64 \",%s\", io->dims[k], k + 1 < port->rank ? "
	"\" \" : \"\");\n"
	"\t\tbytes *= (size_t)io->dims[k];\n\t}\n"
	"\tn += (size_t)snprintf(head + n, sizeof head - n, \"), }\");\n"
	"\twhile ((n + 11) % 64 != 0)\n\t\thead[n++] = ' ';\n"
	"\thead[n++] = '\\n';\n"
	"\tf = fopen(path, \"wb\");\n"
	"\tif (!f)\n\t\treturn fail(path, strerror(errno));\n"
	"\tok = fwrite(\"\\223NUMPY\\1\\0\", 1, 8, f) == 8 && fputc((int)(n & 255), f) != EOF && fputc((int)(n >> 8), "
	"f) != EOF;\n"
	"\tok = ok && fwrite(head, 1, n, f) == n && fwrite(io->data, 1, bytes, f) == bytes;\n"
	"\tif (fclose(f) != 0 || !ok)\n\t\treturn fail(path, \"cannot write\");\n"
	"\treturn 0;\n}\n\n"
	"/* What *parallel expects is the pool itself; memory hooks need nothing. */\n"
	"static int run_model(const @_context *c, @_threads *pool, ftl_io *in, ftl_io *out)\n"
	"{\n"
	"\tftl_run run;\n\tint64_t n, code;\n\n"
	"\tmemset(&run, 0, sizeof run);\n"
	"\trun.in = in;\n\trun.out = out;\n\trun.blobs = c->blobs;\n\trun.user = pool;\n"
	"\trun.alloc = get;\n\trun.free = give;\n\trun.parallel = pool ? @_threads_parallel : NULL;\n"
	"\tn = @_size(&run);\n"
	"\tif (n < 0)\n\t\treturn fail(\"@\", @_error((int)-n));\n"
	"\trun.workspace = get(NULL, (size_t)n);\n"
	"\tif (!run.workspace)\n\t\treturn fail(\"@\", \"out of memory\");\n"
	"\tcode = @_main(&run);\n"
	"\tfree(run.workspace);\n"
	"\treturn code == 0 ? 0 : fail(\"@\", @_error((int)code));\n}\n\n";

static const char weights_file[] =
	"/* The weights file is mapped: pages are read as they are used. */\n"
	"static int open_weights(@_context *c, const char *path, const char *program)\n"
	"{\n"
	"\tchar self[4096];\n\tssize_t n;\n\tstruct stat st;\n\tvoid *p;\n\tint fd;\n\n"
	"\tif (!path) {\n"
	"\t\tn = readlink(\"/proc/self/exe\", self, sizeof self - 16);\n"
	"\t\tif (n < 0)\n\t\t\tn = snprintf(self, sizeof self - 16, \"%s\", program);\n"
	"\t\tif (n > (ssize_t)sizeof self - 16)\n\t\t\tn = (ssize_t)sizeof self - 16;\n"
	"\t\tmemcpy(self + n, \".weights\", 9);\n\t\tpath = self;\n\t}\n"
	"\tfd = open(path, O_RDONLY);\n"
	"\tif (fd < 0 || fstat(fd, &st) != 0)\n\t\treturn fail(path, strerror(errno));\n"
	"\tp = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;\n"
	"\tclose(fd);\n"
	"\tif (p == MAP_FAILED)\n\t\treturn fail(path, \"cannot map\");\n"
	"\treturn @_init(c, p, (size_t)st.st_size) == 0 ? 0 : fail(path, @_error(@_BAD_WEIGHTS));\n}\n\n";

static const char main_function[] =
	"static int usage(const char *program)\n"
	"{\n"
	"\tint k;\n\n"
	"\tfprintf(stderr, \"usage: %s [--threads N] [--weights FILE] [--output DIR] INPUT=FILE.npy "
	"...\\ninputs:\\n\", program);\n"
	"\tfor (k = 0; k < @_INPUTS; k++)\n"
	"\t\tfprintf(stderr, \"  %s: %s, rank %d\\n\", inputs[k].name, inputs[k].descr, inputs[k].rank);\n"
	"\treturn 2;\n}\n\n"
	"int main(int argc, char **argv)\n"
	"{\n"
	"\tstatic @_context context;\n\tstatic @_threads pool;\n\tstatic ftl_io in[@_INPUTS + 1], out[@_OUTPUTS + 1];\n"
	"\tconst char *dir = \".\", *weights = NULL;\n\tint threads = 1, rc = 0, k, i;\n\n"
	"\tfor (i = 1; i < argc; i++) {\n"
	"\t\tconst char *arg = argv[i], *next = i + 1 < argc ? argv[i + 1] : NULL;\n\n"
	"\t\tif (next && (strcmp(arg, \"--threads\") == 0 || strcmp(arg, \"--weights\") == 0 || strcmp(arg, "
	"\"--output\") == 0)) {\n"
	"\t\t\tif (arg[2] == 't')\n\t\t\t\tthreads = atoi(next);\n"
	"\t\t\telse if (arg[2] == 'w')\n\t\t\t\tweights = next;\n"
	"\t\t\telse\n\t\t\t\tdir = next;\n"
	"\t\t\ti++;\n\t\t\tcontinue;\n\t\t}\n"
	"\t\tfor (k = 0; k < @_INPUTS; k++) {\n"
	"\t\t\tsize_t n = strlen(inputs[k].name);\n\n"
	"\t\t\tif (strncmp(arg, inputs[k].name, n) == 0 && arg[n] == '=' && !in[k].data)\n\t\t\t\tbreak;\n\t\t}\n"
	"\t\tif (k == @_INPUTS)\n\t\t\treturn usage(argv[0]);\n"
	"\t\terrno = 0;\n"
	"\t\tif (read_npy(arg + strlen(inputs[k].name) + 1, &inputs[k], &in[k]) != 0)\n\t\t\treturn 1;\n"
	"\t}\n"
	"\tfor (k = 0; k < @_INPUTS; k++) {\n"
	"\t\tif (!in[k].data) {\n\t\t\tfprintf(stderr, \"input %s is missing\\n\", inputs[k].name);\n\t\t\treturn "
	"usage(argv[0]);\n\t\t}\n\t}\n";

static const char main_end[] = "\tif (threads > 1)\n\t\t@_threads_start(&pool, &context, threads);\n"
			       "\trc = run_model(&context, threads > 1 ? &pool : NULL, in, out);\n"
			       "\tif (threads > 1)\n\t\t@_threads_stop(&pool);\n"
			       "\tfor (k = 0; rc == 0 && k < @_OUTPUTS; k++)\n"
			       "\t\trc = write_npy(dir, &outputs[k], &out[k]);\n"
			       "\tfor (k = 0; k < @_INPUTS; k++)\n\t\tfree(in[k].data);\n"
			       "\tfor (k = 0; k < @_OUTPUTS; k++)\n\t\tfree(out[k].data);\n"
			       "\treturn rc;\n}\n";

static void ports(ftl_text *t, const char *what, const ftl_kio *io, uint32_t n, const char **files)
{
	ftl_text_add(t, "static const struct port %s[] = {\n", what);
	for (uint32_t k = 0; k < n; k++) {
		ftl_text_add(t, "\t{");
		ftl_c_string(t, io[k].name && *io[k].name ? io[k].name : files[k]);
		ftl_text_add(t, ", \"%s\", \"%s\", %d, %zu},\n", files[k], descr(io[k].type.dtype), io[k].type.rank,
			     ftl_dtype_bytes(io[k].type.dtype));
	}
	ftl_text_add(t, "\t{NULL, NULL, NULL, 0, 0},\n};\n");
}

void ftl_c_print_exe(const ftl_artifact *a, ftl_text *t)
{
	const ftl_kmodule *m = a->module;
	const char **names = ftl_artifact_members(t->arena, a);

	ftl_text_add(t, "/* %s, made by fettle: a program that runs the model \"", a->name);
	ftl_c_comment(t, m->name);
	ftl_text_add(t, "\" on .npy files.\n");
	ftl_c_template(t, a->name, intro);
	ports(t, "inputs", m->inputs.v, m->inputs.n, names);
	ports(t, "outputs", m->outputs.v, m->outputs.n, names + m->inputs.n);
	ftl_c_template(t, a->name, "\n");
	ftl_c_template(t, a->name, body);
	if (!a->embed)
		ftl_c_template(t, a->name, weights_file);
	ftl_c_template(t, a->name, main_function);
	ftl_c_template(t, a->name,
		       a->embed ? "\t(void)weights;\n\tk = @_init(&context, NULL, 0);\n\tif (k != 0)\n\t\treturn "
				  "fail(argv[0], @_error(k));\n"
				: "\tif (open_weights(&context, weights, argv[0]) != 0)\n\t\treturn 1;\n");
	ftl_c_template(t, a->name, main_end);
}
