/* main() for the fuzz targets where libFuzzer is not there: mutates seeds, always the same way for the same arguments.
 *
 * usage: fuzz_X [-runs=N] [-seed=S] [-max_len=N] [-timeout=SECONDS] [FILE|FOLDER...]
 * Without -runs (or with -runs=0) every file is run once as it is. What brings the target down is left in
 * fuzz-crash in the current folder. Sanitizers find what does not crash by itself. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

typedef struct seed {
	uint8_t *data;
	size_t n;
} seed;

static struct {
	seed *v;
	size_t n;
	size_t max_len;
} seeds = {NULL, 0, 1 << 16};

static const uint8_t *current;
static size_t current_size;

void __sanitizer_set_death_callback(void (*fn)(void)) __attribute__((weak));

static void save_current(void)
{
	FILE *f = current ? fopen("fuzz-crash", "wb") : NULL;

	if (!f)
		return;
	fwrite(current, 1, current_size, f);
	fclose(f);
}

static void on_signal(int sig)
{
	save_current();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void on_alarm(int sig)
{
	static const char text[] = "fuzz: takes too long\n";

	(void)sig;
	if (write(2, text, sizeof text - 1) < 0)
		_exit(71);
	abort();
}

/* xorshift64* */
static uint64_t state;

static uint64_t next(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return state * 0x2545f4914f6cdd1d;
}

static size_t below(size_t n)
{
	return n ? (size_t)(next() % n) : 0;
}

static void add_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	seed s = {malloc(seeds.max_len + 1), 0};

	if (!f || !s.data)
		exit(2);
	s.n = fread(s.data, 1, seeds.max_len + 1, f);
	fclose(f);
	if (s.n > seeds.max_len) {
		free(s.data);
		return;
	}
	seeds.v = realloc(seeds.v, (seeds.n + 1) * sizeof *seeds.v);
	if (!seeds.v)
		exit(2);
	seeds.v[seeds.n++] = s;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_path(const char *path)
{
	struct dirent **list;
	struct stat st;
	char inner[4096];
	int n;

	if (stat(path, &st) != 0) {
		fprintf(stderr, "fuzz: no such file: %s\n", path);
		exit(2);
	}
	if (!S_ISDIR(st.st_mode)) {
		add_file(path);
		return;
	}
	n = scandir(path, &list, NULL, by_name);
	for (int i = 0; i < n; i++) {
		if (list[i]->d_name[0] != '.' &&
		    (size_t)snprintf(inner, sizeof inner, "%s/%s", path, list[i]->d_name) < sizeof inner)
			add_path(inner);
		free(list[i]);
	}
	if (n >= 0)
		free(list);
}

/* ---- mutation ---- */

static size_t cut(uint8_t *p, size_t n, size_t at, size_t len)
{
	memmove(p + at, p + at + len, n - at - len);
	return n - len;
}

static size_t put(uint8_t *p, size_t n, size_t at, const uint8_t *src, size_t len)
{
	if (n + len > seeds.max_len)
		return n;
	memmove(p + at + len, p + at, n - at);
	memcpy(p + at, src, len);
	return n + len;
}

static size_t mutate(uint8_t *p, size_t n)
{
	static const uint8_t odd[] = {0,   1,   0x7f, 0x80, 0xff, 0xfe, 2,   8,   0x10, '-',
				      '9', '"', '(',  ')',  '{',  '}',  '%', '?', '\n', ','};
	const seed *other = &seeds.v[below(seeds.n)];
	uint8_t big[10], chunk[64];
	size_t at = below(n), len = 1 + below(16);

	if (n == 0)
		return put(p, 0, 0, odd, 1);
	if (len > n - at)
		len = n - at;
	switch (below(9)) {
	case 0: p[at] ^= (uint8_t)(1u << below(8)); return n;
	case 1: p[at] = odd[below(sizeof odd)]; return n;
	case 2: p[at] = (uint8_t)next(); return n;
	case 3: return cut(p, n, at, len);
	case 4: memcpy(chunk, p + at, len); return put(p, n, below(n), chunk, len);
	case 5: /* a part of another seed */
		at = below(other->n);
		len = 1 + below(sizeof chunk);
		if (len > other->n - at)
			len = other->n - at;
		memcpy(chunk, other->data + at, len);
		return put(p, n, below(n), chunk, len);
	case 6: /* a large number as protobuf has it */
		memset(big, 0xff, 9);
		big[9] = below(2) ? 0x01 : 0x7f;
		len = below(2) ? 10 : 1 + below(9);
		at = below(n);
		memcpy(p + at, big + 10 - (len > n - at ? n - at : len), len > n - at ? n - at : len);
		return n;
	case 7: /* a large number as text has it */
		len = (size_t)snprintf((char *)chunk, sizeof chunk, "%lld", (long long)(next() >> below(64)));
		return put(p, n, at, chunk, len);
	default: /* digits and letters change places with their kind */
		p[at] = p[at] >= '0' && p[at] <= '9' ? (uint8_t)('0' + below(10)) : p[below(n)];
		return n;
	}
}

static void run_one(const uint8_t *data, size_t n, unsigned timeout)
{
	/* of exactly its size, so that reading past the end is seen */
	uint8_t *copy = malloc(n ? n : 1);

	if (!copy)
		exit(2);
	memcpy(copy, data, n);
	current = copy;
	current_size = n;
	alarm(timeout);
	(void)LLVMFuzzerTestOneInput(copy, n);
	alarm(0);
	current = NULL;
	free(copy);
}

int main(int argc, char **argv)
{
	unsigned long long runs = 0, from = 1, timeout = 20;
	uint8_t *work;
	size_t n;

	for (int i = 1; i < argc; i++) {
		if (sscanf(argv[i], "-runs=%llu", &runs) == 1 || sscanf(argv[i], "-seed=%llu", &from) == 1 ||
		    sscanf(argv[i], "-max_len=%zu", &seeds.max_len) == 1 ||
		    sscanf(argv[i], "-timeout=%llu", &timeout) == 1)
			continue;
		add_path(argv[i]);
	}
	if (seeds.n == 0)
		add_file("/dev/null");
	signal(SIGALRM, on_alarm);
	signal(SIGABRT, on_signal);
	if (__sanitizer_set_death_callback)
		__sanitizer_set_death_callback(save_current);
	else
		signal(SIGSEGV, on_signal);
	work = malloc(seeds.max_len + 64);
	if (!work)
		return 2;
	for (size_t i = 0; i < seeds.n; i++)
		run_one(seeds.v[i].data, seeds.v[i].n, (unsigned)timeout);
	state = from * 0x9e3779b97f4a7c15 + 1;
	for (unsigned long long r = 0; r < runs; r++) {
		const seed *s = &seeds.v[below(seeds.n)];

		n = s->n;
		if (n)
			memcpy(work, s->data, n);
		for (size_t k = 1 + below(8); k; k--)
			n = mutate(work, n);
		run_one(work, n, (unsigned)timeout);
	}
	printf("%zu seeds, %llu mutations\n", seeds.n, runs);
	for (size_t i = 0; i < seeds.n; i++)
		free(seeds.v[i].data);
	free(seeds.v);
	free(work);
	return 0;
}
