/* Data for models: tensors from files and folders, random ones, and comparing. */
#include "cli.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- feeds ---- */

static void add_tensor(cli_feeds *f, const fettle_tensor *t)
{
	fettle_tensor *v = cli_alloc(f->n + 1, sizeof *v);

	if (f->n)
		memcpy(v, f->v, f->n * sizeof *v);
	free(f->v);
	v[f->n++] = *t;
	f->v = v;
}

static fettle_tensors *add_file(cli_feeds *f, const char *path, int *out_status)
{
	fettle_tensors **v = cli_alloc(f->nfiles + 1, sizeof *v);
	fettle_error e;

	if (f->nfiles)
		memcpy(v, f->files, f->nfiles * sizeof *v);
	free(f->files);
	f->files = v;
	*out_status = CLI_OK;
	if (fettle_tensors_read(path, &e, &v[f->nfiles]) != FETTLE_OK) {
		*out_status = cli_error(&e);
		return NULL;
	}
	return v[f->nfiles++];
}

int cli_feeds_add_file(cli_feeds *f, const char *spec)
{
	const char *eq = strchr(spec, '=');
	fettle_tensor t;
	fettle_tensors *file;
	int rc;

	if (!eq || eq == spec)
		return cli_usage("--input %s: not of the form NAME=FILE.npy", spec);
	file = add_file(f, eq + 1, &rc);
	if (!file)
		return rc;
	if (fettle_tensors_count(file) != 1)
		return cli_usage("%s holds %zu tensors, an input is one", eq + 1, fettle_tensors_count(file));
	t = *fettle_tensors_get(file, 0);
	t.name = cli_printf("%.*s", (int)(eq - spec), spec);
	add_tensor(f, &t);
	return CLI_OK;
}

int cli_feeds_add_path(cli_feeds *f, const char *path)
{
	int rc;
	fettle_tensors *file = add_file(f, path, &rc);

	for (size_t i = 0; file && i < fettle_tensors_count(file); i++)
		add_tensor(f, fettle_tensors_get(file, i));
	return rc;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int cli_feeds_add_folder(cli_feeds *f, const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	cli_list npy = {0};
	fettle_tensors *file;
	int rc = CLI_OK;

	if (!d) {
		cli_say("%s: cannot read this folder", dir);
		return CLI_MODEL;
	}
	while ((entry = readdir(d))) {
		size_t n = strlen(entry->d_name);

		if (n > 4 && !strcmp(entry->d_name + n - 4, ".npy"))
			cli_list_add(&npy, cli_printf("%s", entry->d_name));
	}
	closedir(d);
	for (size_t k = 0;; k++) {
		char *path = cli_printf("%s/input_%zu.pb", dir, k);
		FILE *probe = fopen(path, "rb");

		if (!probe) {
			free(path);
			break;
		}
		fclose(probe);
		file = add_file(f, path, &rc);
		if (!file)
			return rc;
		add_tensor(f, fettle_tensors_get(file, 0));
		npy.n = 0;
	}
	if (npy.n)
		qsort(npy.v, npy.n, sizeof *npy.v, by_name);
	for (size_t i = 0; i < npy.n; i++) {
		fettle_tensor t;

		file = add_file(f, cli_printf("%s/%s", dir, npy.v[i]), &rc);
		if (!file)
			return rc;
		t = *fettle_tensors_get(file, 0);
		t.name = cli_printf("%.*s", (int)strlen(npy.v[i]) - 4, npy.v[i]);
		add_tensor(f, &t);
	}
	if (!f->n) {
		cli_say("%s: no input_0.pb and no .npy files in this folder", dir);
		return CLI_MODEL;
	}
	return CLI_OK;
}

size_t cli_feeds_ranks(const cli_feeds *f, cli_list *shapes)
{
	size_t added = 0;

	for (size_t i = 0; i < f->n; i++) {
		const fettle_tensor *t = &f->v[i];
		bool same = t->kind != FETTLE_TENSOR && t->n_items;
		char dims[2 * FETTLE_MAX_RANK + 1] = "";

		for (size_t k = 0; k < t->n_items && same; k++)
			same = t->items[k].rank == t->items[0].rank;
		if (!same || !t->name || !*t->name)
			continue;
		for (int k = 0; k < t->items[0].rank; k++)
			strcat(dims, k ? "x?" : "?");
		cli_list_add(shapes, cli_printf("%s=%s", t->name, dims));
		added++;
	}
	return added;
}

void cli_feeds_free(cli_feeds *f)
{
	for (size_t i = 0; i < f->nfiles; i++)
		fettle_tensors_free(f->files[i]);
	free(f->files);
	free(f->v);
	*f = (cli_feeds){0};
}

/* .npy files have no names for some types: their bits stand for what the model wants there. */
static fettle_tensor as_port(fettle_tensor t, const fettle_port *p)
{
	bool low = p->dtype >= FETTLE_F8E4M3FN && p->dtype <= FETTLE_U2 &&
		   (t.dtype == FETTLE_U8 || t.dtype == FETTLE_I8);

	if (low || (p->dtype == FETTLE_BF16 && t.dtype == FETTLE_U16))
		t.dtype = p->dtype;
	return t;
}

const char *cli_feeds_match(const cli_feeds *f, const fettle_port *(*port)(const void *user, size_t k),
			    const void *user, size_t n, fettle_tensor *out)
{
	const char *nobody = NULL;

	memset(out, 0, n * sizeof *out);
	for (size_t i = 0; i < f->n; i++) {
		const char *name = f->v[i].name;
		size_t k = 0;

		if (!name || !*name) {
			k = i;
		} else {
			while (k < n && strcmp(port(user, k)->name, name) != 0)
				k++;
		}
		if (k < n)
			out[k] = as_port(f->v[i], port(user, k));
		else if (!nobody)
			nobody = name && *name ? name : "(without a name)";
	}
	return nobody;
}

/* ---- random ---- */

static uint64_t next_random(uint64_t *s)
{
	/* splitmix64 */
	uint64_t z = *s += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

int cli_random(const fettle_port *p, uint64_t seed, fettle_tensor *out)
{
	size_t count = 0;

	if (p->kind != FETTLE_TENSOR) { /* one element */
		fettle_port item = *p;

		item.kind = FETTLE_TENSOR;
		item.rank = p->rank < 0 ? 0 : p->rank;
		*out = (fettle_tensor){.name = p->name, .dtype = p->dtype, .kind = p->kind, .n_items = 1};
		out->items = cli_alloc(1, sizeof *out->items);
		return cli_random(&item, seed, out->items);
	}
	*out = (fettle_tensor){.name = p->name, .dtype = p->dtype, .rank = p->rank};
	for (int i = 0; i < p->rank; i++)
		out->dims[i] = p->dims[i] >= 0 ? p->dims[i] : p->dim_min[i] > 1 ? p->dim_min[i] : 1;
	if (!fettle_tensor_count(out, &count) || count > SIZE_MAX / 64) {
		cli_say("input \"%s\" is too large", p->name);
		return CLI_MODEL;
	}
	out->bytes = count * fettle_dtype_bytes(p->dtype);
	out->data = cli_alloc(out->bytes, 1);
	for (size_t i = 0; i < count; i++) {
		uint64_t r = next_random(&seed);

		if (p->dtype == FETTLE_STRING) {
			((const char **)out->data)[i] = r >> 63 ? "1" : "0";
			continue;
		}
		if (p->dtype == FETTLE_F8E8M0) /* powers of two near 1; there is no sign */
			fettle_tensor_set(out, i, (double)(1 << (r >> 62)));
		else if (p->dtype <= FETTLE_BF16 || (p->dtype >= FETTLE_F8E4M3FN && p->dtype <= FETTLE_F4E2M1))
			fettle_tensor_set(out, i, (double)(r >> 11) * 0x1p-52 - 1);
		else
			fettle_tensor_set(out, i, (double)(r >> 63));
	}
	return CLI_OK;
}

char *cli_type_text(const fettle_tensor *t)
{
	char dims[FETTLE_MAX_RANK * 22 + 1] = "";
	size_t n = 0;

	if (t->kind == FETTLE_OPTIONAL && t->n_items == 1)
		return cli_type_text(t->items);
	if (t->kind != FETTLE_TENSOR && (t->none || t->kind == FETTLE_OPTIONAL))
		return cli_printf("none");
	if (t->kind != FETTLE_TENSOR)
		return cli_printf("sequence of %zu", t->n_items);
	for (int i = 0; i < t->rank; i++)
		n += (size_t)snprintf(dims + n, sizeof dims - n, "%s%lld", i ? "x" : "", (long long)t->dims[i]);
	return cli_printf("%s[%s]", fettle_dtype_name(t->dtype), dims);
}

/* A string on one line, in quotes. */
void cli_print_string(const char *s)
{
	fputs(" \"", stdout);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			printf("\\%c", *s);
		else if ((unsigned char)*s < 0x20 || *s == 0x7f)
			printf("\\x%02x", (unsigned)(unsigned char)*s);
		else
			putchar(*s);
	}
	putchar('"');
}

/* ---- comparing ---- */

/* A file of an optional tensor looks like a sequence of one. */
static cli_difference compare_items(const fettle_tensor *got, const fettle_tensor *want, double atol, double rtol)
{
	cli_difference r = {.ok = true};
	bool none = want->kind != FETTLE_SEQUENCE && want->none;

	if (want->kind == FETTLE_TENSOR || got->kind == FETTLE_TENSOR || got->none != none ||
	    got->n_items != want->n_items) {
		r.ok = false;
		r.what = cli_printf("%s, expected %s", cli_type_text(got), cli_type_text(want));
	}
	for (size_t i = 0; i < got->n_items && r.ok; i++) {
		cli_difference d = cli_compare(&got->items[i], &want->items[i], atol, rtol);

		r.ok = d.ok;
		r.max_abs = d.max_abs > r.max_abs ? d.max_abs : r.max_abs;
		if (d.what)
			r.what = cli_printf("element %zu: %s", i, d.what);
	}
	return r;
}

cli_difference cli_compare(const fettle_tensor *got, const fettle_tensor *want, double atol, double rtol)
{
	cli_difference r = {.ok = true};
	size_t count = 0;
	bool floats = got->dtype == FETTLE_F32;

	if (got->kind != FETTLE_TENSOR || want->kind != FETTLE_TENSOR)
		return compare_items(got, want, atol, rtol);
	if (got->dtype != want->dtype)
		r.what = cli_printf("type %s, expected %s", fettle_dtype_name(got->dtype),
				    fettle_dtype_name(want->dtype));
	else if (got->rank != want->rank || memcmp(got->dims, want->dims, (size_t)got->rank * sizeof *got->dims) != 0)
		r.what = cli_printf("shape %s, expected %s", cli_type_text(got), cli_type_text(want));
	else if (!fettle_tensor_count(want, &count))
		r.what = "no shape";
	if (r.what) {
		r.ok = false;
		return r;
	}
	for (size_t i = 0; i < count && got->dtype == FETTLE_STRING; i++) {
		const char *a = ((const char *const *)got->data)[i], *b = ((const char *const *)want->data)[i];

		if (strcmp(a, b) == 0 || !r.ok)
			continue;
		r.what = cli_printf("element %zu is \"%.60s\", expected \"%.60s\"", i, a, b);
		r.ok = false;
	}
	for (size_t i = 0; i < count && got->dtype != FETTLE_STRING; i++) {
		double a = floats ? (double)((const float *)got->data)[i] : fettle_tensor_value(got, i);
		double b = floats ? (double)((const float *)want->data)[i] : fettle_tensor_value(want, i);
		double diff;

		if (a == b || (isnan(a) && isnan(b)))
			continue;
		if (!isfinite(a) || !isfinite(b)) {
			if (r.ok)
				r.what = cli_printf("element %zu is %g, expected %g", i, a, b);
			r.ok = false;
			continue;
		}
		diff = fabs(a - b);
		if (diff > r.max_abs)
			r.max_abs = diff;
		if (diff > atol + rtol * fabs(b))
			r.ok = false;
	}
	return r;
}
