/* Thread pool.
 *
 * One word tells workers what is going on: a launch number, whether the launch is open, and how many workers have joined
 * it. A worker joins by counting itself in while the launch is open, so the caller never waits for a thread that is
 * still asleep: when all pieces are claimed it closes the launch and waits for those who are in it.
 *
 * Pieces are split evenly over slots, one per thread, so that a thread meets the same data launch after launch; who is
 * done with its own slot helps out in the others. Claims are atomic additions on a slot's counter. Which thread runs a
 * piece never changes what the piece computes. */
#include "runtime/pool.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "runtime/cpu.h"

#define MAX_THREADS 256
#define MIN_LAUNCH 20000 /* scalar operations below which waking somebody costs more than it saves */
#define MIN_CLAIM 4000   /* about what one claim should be worth */
#define SPIN_NS 50000    /* a worker's patience before it sleeps; launches of one run follow each other within it */

/* the word: launch number << 16 | open << 15 | joined */
#define JOINED UINT64_C(0x7fff)
#define OPEN UINT64_C(0x8000)
#define NUMBER(word) ((word) >> 16)

typedef struct slot {
	_Alignas(64) atomic_llong next;
	int64_t end;
} slot;

struct ftl_pool {
	_Alignas(64) atomic_uint_least64_t word;
	_Alignas(64) atomic_flag busy;
	atomic_int sleepers;
	atomic_bool stop;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	/* the launch; written by the caller before it opens */
	ftl_kernel_fn fn;
	const ftl_arg *args;
	ftl_run *run;
	int64_t chunk;
	int nslots;
	int nworkers;
	pthread_t *thread;
	slot slots[MAX_THREADS];
};

struct start {
	ftl_pool *pool;
	int index;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void work(ftl_pool *p, int first)
{
	int64_t chunk = p->chunk, at, end;
	int n = p->nslots;

	for (int k = 0; k < n; k++) {
		slot *s = &p->slots[(first + k) % n];

		while ((at = atomic_fetch_add_explicit(&s->next, chunk, memory_order_relaxed)) < s->end) {
			end = at + chunk < s->end ? at + chunk : s->end;
			p->fn(p->args, p->run, at, end);
		}
	}
}

/* Count this thread in if launch `word` is still open. */
static bool join_launch(ftl_pool *p, uint64_t word)
{
	uint64_t number = NUMBER(word);

	while (NUMBER(word) == number && (word & OPEN)) {
		if (atomic_compare_exchange_weak_explicit(&p->word, &word, word + 1, memory_order_acquire,
							  memory_order_relaxed))
			return true;
	}
	return false;
}

/* Until there is a launch other than `seen`; false when the pool ends. */
static bool wait_for_launch(ftl_pool *p, uint64_t seen, uint64_t *out_word)
{
	int64_t until = now_ns() + SPIN_NS;
	uint64_t word;

	for (unsigned i = 1;; i++) {
		word = atomic_load_explicit(&p->word, memory_order_acquire);
		if (NUMBER(word) != seen)
			break;
		if (atomic_load_explicit(&p->stop, memory_order_relaxed))
			return false;
		relax();
		if (i % 32 != 0 || now_ns() < until)
			continue;
		pthread_mutex_lock(&p->lock);
		atomic_fetch_add(&p->sleepers, 1);
		while (NUMBER(word = atomic_load(&p->word)) == seen && !atomic_load(&p->stop))
			pthread_cond_wait(&p->wake, &p->lock);
		atomic_fetch_sub(&p->sleepers, 1);
		pthread_mutex_unlock(&p->lock);
	}
	*out_word = word;
	return !atomic_load_explicit(&p->stop, memory_order_relaxed);
}

static void *worker(void *user)
{
	struct start s = *(struct start *)user;
	uint64_t word, seen = 0;

	free(user);
	while (wait_for_launch(s.pool, seen, &word)) {
		seen = NUMBER(word);
		if (!join_launch(s.pool, word))
			continue;
		work(s.pool, s.index);
		atomic_fetch_sub_explicit(&s.pool->word, 1, memory_order_release);
	}
	return NULL;
}

static void wake_workers(ftl_pool *p, int wanted)
{
	if (atomic_load(&p->sleepers) == 0)
		return;
	pthread_mutex_lock(&p->lock);
	if (wanted >= p->nworkers)
		pthread_cond_broadcast(&p->wake);
	else
		for (int i = 0; i < wanted; i++)
			pthread_cond_signal(&p->wake);
	pthread_mutex_unlock(&p->lock);
}

/* Threads that a launch of this size keeps busy. */
static int64_t useful_threads(const ftl_pool *p, int64_t count, int64_t cost)
{
	int64_t n = p->nworkers + 1, total;

	if (cost < 1)
		cost = 1;
	if (n == 1 || count < 2 || __builtin_mul_overflow(count, cost, &total))
		return count < n ? count : n;
	if (total < MIN_LAUNCH)
		return 1;
	n = n < count ? n : count;
	return n < total / (MIN_LAUNCH / 2) ? n : total / (MIN_LAUNCH / 2);
}

void ftl_pool_run(ftl_pool *p, ftl_kernel_fn fn, const ftl_arg *args, ftl_run *run, int64_t count, int64_t cost)
{
	int64_t n, per, claim;
	uint64_t word;

	if (count <= 0)
		return;
	n = useful_threads(p, count, cost);
	if (n <= 1 || atomic_flag_test_and_set_explicit(&p->busy, memory_order_acquire)) {
		fn(args, run, 0, count);
		return;
	}
	per = count / n;
	claim = cost > 0 ? MIN_CLAIM / cost + 1 : MIN_CLAIM;
	p->fn = fn;
	p->args = args;
	p->run = run;
	p->nslots = (int)n;
	p->chunk = claim < per / 4 ? claim : per / 4 > 0 ? per / 4 : 1;
	for (int64_t i = 0; i < n; i++) {
		/* the first count % n slots hold one piece more */
		int64_t extra = count % n, from = i * per + (i < extra ? i : extra);

		atomic_store_explicit(&p->slots[i].next, from, memory_order_relaxed);
		p->slots[i].end = from + per + (i < extra);
	}
	word = ((NUMBER(atomic_load_explicit(&p->word, memory_order_relaxed)) + 1) << 16) | OPEN;
	atomic_store(&p->word, word);
	wake_workers(p, (int)n - 1);
	work(p, 0);
	atomic_fetch_and(&p->word, ~OPEN);
	for (unsigned i = 1; atomic_load_explicit(&p->word, memory_order_acquire) & JOINED; i++) {
		relax();
		if (i % 4096 == 0)
			sched_yield(); /* more threads than cores: let the last one finish */
	}
	atomic_flag_clear_explicit(&p->busy, memory_order_release);
}

int ftl_pool_threads(const ftl_pool *p)
{
	return p->nworkers + 1;
}

ftl_status ftl_pool_create(int threads, ftl_diag *d, ftl_pool **out)
{
	ftl_pool *p;
	struct start *s;
	int n = threads > 0 ? threads : ftl_cpu_threads();

	*out = NULL;
	n = n < MAX_THREADS ? n : MAX_THREADS;
	p = aligned_alloc(64, (sizeof *p + 63) / 64 * 64);
	if (!p)
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory for a thread pool");
	*p = (ftl_pool){0};
	atomic_flag_clear(&p->busy);
	p->thread = calloc((size_t)n, sizeof *p->thread);
	if (!p->thread || pthread_mutex_init(&p->lock, NULL) != 0) {
		free(p->thread);
		free(p);
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory for a thread pool");
	}
	if (pthread_cond_init(&p->wake, NULL) != 0) {
		pthread_mutex_destroy(&p->lock);
		free(p->thread);
		free(p);
		return ftl_fail(d, FTL_ERR_MEMORY, "out of memory for a thread pool");
	}
	for (int i = 1; i < n; i++) {
		s = malloc(sizeof *s);
		if (s)
			*s = (struct start){p, i};
		if (!s || pthread_create(&p->thread[p->nworkers], NULL, worker, s) != 0) {
			free(s);
			ftl_pool_free(p);
			return ftl_fail(d, FTL_ERR_LIMIT, "the system gave %d of %d threads", i, n);
		}
		p->nworkers++;
	}
	*out = p;
	return FTL_OK;
}

void ftl_pool_free(ftl_pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	atomic_store(&p->stop, true);
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->nworkers; i++)
		pthread_join(p->thread[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p->thread);
	free(p);
}
