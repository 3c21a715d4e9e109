/* Regular expressions to programs. See base/regex.h.
 *
 * The pattern is parsed into a tree, whose depth is bounded; code is written from it, a repetition as often as it says,
 * until the program is too long. A class of code points becomes an alternation of sequences of byte ranges. */
#include "base/regex.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CODE = 4096, MAX_DEPTH = 200, MAX_REPEAT = 1000, MAX_POINT = 0x10ffff };
enum { MATCH, BYTE, JUMP, SPLIT, ASSERT };                          /* as in string_fns.h */
enum { TEXT_START, TEXT_END, LINE_START, LINE_END, WORD, NO_WORD }; /* the same */

enum kind { EMPTY, CLASS, SEQUENCE, EITHER, REPEAT, CHECK };

typedef struct range {
	uint32_t lo, hi;
} range;
typedef FTL_VEC(range) ranges;

typedef struct tree {
	enum kind kind;
	int least, most; /* REPEAT; most -1: any number. CHECK: what */
	ranges set;
	FTL_VEC(struct tree *) part;
} tree;

typedef struct reader {
	ftl_arena *arena;
	ftl_diag *d;
	const char *s, *end, *all;
	int depth;
	bool fold, lines, dot_all;
	struct {
		uint16_t w[4];
	} code[MAX_CODE];
	uint32_t n;
	ftl_status_code status;
} reader;

static void *fail(reader *r, ftl_status_code code, const char *why)
{
	if (r->status == FTL_OK)
		r->status = ftl_fail(r->d, code, "pattern \"%.*s\": at %d: %s",
				     (int)(r->end - r->all < 80 ? r->end - r->all : 80), r->all, (int)(r->s - r->all),
				     why);
	return NULL;
}

static tree *node(reader *r, enum kind kind)
{
	tree *t = FTL_NEW(r->arena, tree);

	t->kind = kind;
	return t;
}

static void add(reader *r, ranges *set, uint32_t lo, uint32_t hi)
{
	range one = {lo, hi};

	if (lo <= hi)
		ftl_vec_push(r->arena, set, one);
}

/* ---- classes ---- */

/* Letters in both cases. */
static void fold(reader *r, ranges *set)
{
	uint32_t n = set->n;

	for (uint32_t i = 0; i < n && r->fold; i++) {
		range x = set->v[i];

		for (uint32_t c = x.lo > 'A' ? x.lo : 'A'; c <= 'z' && c <= x.hi; c++)
			if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'))
				add(r, set, c ^ 0x20, c ^ 0x20);
	}
}

static void sort(ranges *set)
{
	/* classes are as short as their text */
	for (uint32_t gap = set->n / 2; gap > 0; gap /= 2) {
		for (uint32_t i = gap; i < set->n; i++) {
			range x = set->v[i];
			uint32_t j = i;

			for (; j >= gap && set->v[j - gap].lo > x.lo; j -= gap)
				set->v[j] = set->v[j - gap];
			set->v[j] = x;
		}
	}
}

/* In order and without overlaps; negated if asked for. */
static void settle(reader *r, ranges *set, bool negate)
{
	ranges out = {NULL, 0, 0};
	uint32_t next = 0;

	sort(set);
	for (uint32_t i = 0; i < set->n && !negate; i++) {
		if (out.n && set->v[i].lo <= out.v[out.n - 1].hi + 1) {
			if (set->v[i].hi > out.v[out.n - 1].hi)
				out.v[out.n - 1].hi = set->v[i].hi;
		} else {
			add(r, &out, set->v[i].lo, set->v[i].hi);
		}
	}
	for (uint32_t i = 0; i < set->n && negate; i++) {
		if (set->v[i].lo > next)
			add(r, &out, next, set->v[i].lo - 1);
		if (set->v[i].hi + 1 > next)
			next = set->v[i].hi + 1;
	}
	if (negate)
		add(r, &out, next, MAX_POINT);
	*set = out;
}

static const struct {
	const char *name, *text; /* pairs of first and last character */
} names[] = {
	{"alnum", "09AZaz"}, {"alpha", "AZaz"}, {"ascii", "\1\177"},  {"blank", "\t\t  "},  {"cntrl", "\1\37\177\177"},
	{"digit", "09"},     {"graph", "!~"},   {"lower", "az"},      {"print", " ~"},      {"punct", "!/:@[`{~"},
	{"space", "\t\r  "}, {"upper", "AZ"},   {"word", "09AZ__az"}, {"xdigit", "09AFaf"},
};

static void add_text(reader *r, ranges *set, const char *pairs, bool negate)
{
	ranges own = {NULL, 0, 0};

	for (; *pairs; pairs += 2)
		add(r, &own, (unsigned char)pairs[0], (unsigned char)pairs[1]);
	settle(r, &own, negate);
	for (uint32_t i = 0; i < own.n; i++)
		add(r, set, own.v[i].lo, own.v[i].hi);
}

/* \d and the like; false if c is none. */
static bool add_escaped_class(reader *r, ranges *set, char c)
{
	switch (c) {
	case 'd':
	case 'D': add_text(r, set, "09", c == 'D'); return true;
	case 'w':
	case 'W': add_text(r, set, "09AZ__az", c == 'W'); return true;
	case 's':
	case 'S': add_text(r, set, "\t\n\f\r  ", c == 'S'); return true;
	default: return false;
	}
}

/* ---- characters ---- */

static uint32_t utf8(reader *r)
{
	const unsigned char *p = (const unsigned char *)r->s;
	size_t left = (size_t)(r->end - r->s), more;
	uint32_t c = p[0];

	more = c < 0x80 ? 0 : c >= 0xf0 && c < 0xf5 ? 3 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xc2 && c < 0xe0 ? 1 : left;
	if (more >= left) {
		fail(r, FTL_ERR_MODEL, "is not UTF-8");
		r->s = r->end;
		return 0;
	}
	c = more ? c & (0x3fu >> more) : c;
	for (size_t k = 1; k <= more; k++) {
		if ((p[k] & 0xc0) != 0x80)
			fail(r, FTL_ERR_MODEL, "is not UTF-8");
		c = c << 6 | (p[k] & 0x3fu);
	}
	r->s += more + 1;
	return c <= MAX_POINT ? c : 0;
}

static int hex(char c)
{
	return c >= '0' && c <= '9'   ? c - '0'
	       : c >= 'a' && c <= 'f' ? c - 'a' + 10
	       : c >= 'A' && c <= 'F' ? c - 'A' + 10
				      : -1;
}

/* After the backslash: the character that an escape stands for. */
static uint32_t escaped(reader *r)
{
	static const char from[] = "tnrfva", to[] = "\t\n\r\f\v\a";
	char c = r->s < r->end ? *r->s : 0;
	const char *k = c ? strchr(from, c) : NULL;
	uint32_t v = 0;
	int digits = 0;

	if (r->s == r->end) {
		fail(r, FTL_ERR_MODEL, "ends in a backslash");
		return 0;
	}
	r->s++;
	if (k)
		return (unsigned char)to[k - from];
	if (c == 'x' && r->s < r->end && *r->s == '{') {
		for (r->s++; r->s < r->end && hex(*r->s) >= 0 && v <= MAX_POINT; r->s++, digits++)
			v = v * 16 + (uint32_t)hex(*r->s);
		if (r->s == r->end || *r->s != '}' || !digits || v > MAX_POINT)
			fail(r, FTL_ERR_MODEL, "bad escape");
		else
			r->s++;
		return v;
	}
	if (c == 'x') {
		for (; digits < 2 && r->s < r->end && hex(*r->s) >= 0; r->s++, digits++)
			v = v * 16 + (uint32_t)hex(*r->s);
		if (digits < 2)
			fail(r, FTL_ERR_MODEL, "bad escape");
		return v;
	}
	if (c == '0' || (c >= '1' && c <= '7' && r->s < r->end && *r->s >= '0' && *r->s <= '7')) {
		v = (uint32_t)(c - '0');
		for (; digits < 2 && r->s < r->end && *r->s >= '0' && *r->s <= '7'; r->s++, digits++)
			v = v * 8 + (uint32_t)(*r->s - '0');
		return v;
	}
	if (c == 'p' || c == 'P')
		fail(r, FTL_ERR_UNSUPPORTED, "classes of Unicode (\\p) are not supported");
	else if (c == 'C')
		fail(r, FTL_ERR_UNSUPPORTED, "\\C is not supported");
	else if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '1' && c <= '9') || (unsigned char)c >= 0x80)
		fail(r, FTL_ERR_MODEL, "bad escape");
	return (unsigned char)c;
}

static bool named(reader *r, ranges *set)
{
	bool negate;

	if (r->end - r->s < 4 || r->s[0] != '[' || r->s[1] != ':')
		return false;
	negate = r->s[2] == '^';
	for (size_t i = 0; i < FTL_COUNT(names); i++) {
		size_t n = strlen(names[i].name);
		const char *at = r->s + 2 + negate;

		if ((size_t)(r->end - at) < n + 2 || memcmp(at, names[i].name, n) != 0 || memcmp(at + n, ":]", 2) != 0)
			continue;
		r->s = at + n + 2;
		if (strcmp(names[i].name, "ascii") == 0 || strcmp(names[i].name, "cntrl") == 0) {
			ranges own = {NULL, 0, 0};

			add(r, &own, 0, names[i].name[0] == 'a' ? 127 : 31);
			add(r, &own, 127, 127);
			settle(r, &own, negate);
			for (uint32_t k = 0; k < own.n; k++)
				add(r, set, own.v[k].lo, own.v[k].hi);
		} else {
			add_text(r, set, names[i].text, negate);
		}
		return true;
	}
	fail(r, FTL_ERR_MODEL, "unknown class name");
	return true;
}

/* After '['. */
static tree *class(reader *r)
{
	tree *t = node(r, CLASS);
	bool negate = r->s < r->end && *r->s == '^', first = true;

	r->s += negate;
	for (; r->status == FTL_OK; first = false) {
		uint32_t lo, hi;

		if (r->s == r->end)
			return fail(r, FTL_ERR_MODEL, "a class has no end");
		if (*r->s == ']' && !first)
			break;
		if (named(r, &t->set))
			continue;
		if (*r->s == '\\' && r->s + 1 < r->end && add_escaped_class(r, &t->set, r->s[1])) {
			r->s += 2;
			continue;
		}
		lo = *r->s == '\\' ? (r->s++, escaped(r)) : utf8(r);
		hi = lo;
		if (r->end - r->s >= 2 && r->s[0] == '-' && r->s[1] != ']') {
			r->s++;
			hi = *r->s == '\\' ? (r->s++, escaped(r)) : utf8(r);
			if (hi < lo)
				return fail(r, FTL_ERR_MODEL, "a range of a class is empty");
		}
		add(r, &t->set, lo, hi);
	}
	r->s++;
	fold(r, &t->set);
	settle(r, &t->set, negate);
	return t;
}

/* ---- the tree ---- */

static tree *alternatives(reader *r);

static tree *one(reader *r, uint32_t c)
{
	tree *t = node(r, CLASS);

	add(r, &t->set, c, c);
	fold(r, &t->set);
	settle(r, &t->set, false);
	return t;
}

static tree *check(reader *r, int what)
{
	tree *t = node(r, CHECK);

	t->least = what;
	return t;
}

/* After "(?": flags, and perhaps a group of their own. NULL and no error: flags alone. */
static tree *flags(reader *r)
{
	bool on = true, before[3] = {r->fold, r->lines, r->dot_all};
	tree *t;

	for (; r->s < r->end && *r->s != ')' && *r->s != ':'; r->s++) {
		switch (*r->s) {
		case 'i': r->fold = on; break;
		case 'm': r->lines = on; break;
		case 's': r->dot_all = on; break;
		case 'U': break;
		case '-':
			if (!on)
				return fail(r, FTL_ERR_MODEL, "bad flags of a group");
			on = false;
			break;
		default: return fail(r, FTL_ERR_MODEL, "bad flags of a group");
		}
	}
	if (r->s == r->end)
		return fail(r, FTL_ERR_MODEL, "a group has no end");
	if (*r->s == ')')
		return NULL;
	r->s++;
	t = alternatives(r);
	r->fold = before[0];
	r->lines = before[1];
	r->dot_all = before[2];
	return t;
}

/* After '('. */
static tree *group(reader *r)
{
	bool before[3] = {r->fold, r->lines, r->dot_all};
	tree *t;

	if (++r->depth > MAX_DEPTH)
		return fail(r, FTL_ERR_LIMIT, "groups are nested too deeply");
	if (r->end - r->s >= 2 && r->s[0] == '?' && (r->s[1] == 'P' || r->s[1] == '<')) {
		r->s += r->s[1] == 'P' ? 2 : 1;
		if (r->s == r->end || *r->s != '<')
			return fail(r, FTL_ERR_MODEL, "bad group");
		for (r->s++; r->s < r->end && ((*r->s >= 'a' && *r->s <= 'z') || (*r->s >= 'A' && *r->s <= 'Z') ||
					       (*r->s >= '0' && *r->s <= '9') || *r->s == '_');)
			r->s++;
		if (r->s == r->end || *r->s != '>' || r->s[-1] == '<')
			return fail(r, FTL_ERR_MODEL, "bad name of a group");
		r->s++;
		t = alternatives(r);
	} else if (r->s < r->end && *r->s == '?') {
		r->s++;
		t = flags(r);
		if (!t && r->status == FTL_OK) { /* they hold until the group around ends */
			r->s++;
			r->depth--;
			return node(r, EMPTY);
		}
		if (t && (r->s == r->end || *r->s != ')'))
			return fail(r, FTL_ERR_MODEL, "a group has no end");
		r->s += t != NULL;
		r->depth--;
		return t;
	} else {
		t = alternatives(r);
	}
	if (r->status == FTL_OK && (r->s == r->end || *r->s != ')'))
		return fail(r, FTL_ERR_MODEL, "a group has no end");
	r->s += r->status == FTL_OK;
	r->fold = before[0];
	r->lines = before[1];
	r->dot_all = before[2];
	r->depth--;
	return t;
}

static tree *dot(reader *r)
{
	tree *t = node(r, CLASS);

	if (!r->dot_all)
		add(r, &t->set, '\n', '\n');
	settle(r, &t->set, true);
	return t;
}

/* After a backslash, outside of classes. */
static tree *escape(reader *r)
{
	static const char checks[] = "AzbB";
	static const int what[] = {TEXT_START, TEXT_END, WORD, NO_WORD};
	const char *k = r->s < r->end ? strchr(checks, *r->s) : NULL;
	tree *t = node(r, CLASS);

	if (k && *k) {
		r->s++;
		return check(r, what[k - checks]);
	}
	if (r->s < r->end && add_escaped_class(r, &t->set, *r->s)) {
		r->s++;
		settle(r, &t->set, false);
		return t;
	}
	if (r->s < r->end && *r->s == 'Q') {
		t = node(r, SEQUENCE);
		for (r->s++;
		     r->s < r->end && r->status == FTL_OK && !(r->end - r->s >= 2 && memcmp(r->s, "\\E", 2) == 0);)
			ftl_vec_push(r->arena, &t->part, one(r, utf8(r)));
		r->s += r->s < r->end ? 2 : 0;
		return t;
	}
	return one(r, escaped(r));
}

static tree *atom(reader *r)
{
	switch (*r->s) {
	case '(': r->s++; return group(r);
	case '[': r->s++; return class(r);
	case '.': r->s++; return dot(r);
	case '^': r->s++; return check(r, r->lines ? LINE_START : TEXT_START);
	case '$': r->s++; return check(r, r->lines ? LINE_END : TEXT_END);
	case '\\': r->s++; return escape(r);
	case '*':
	case '+':
	case '?': return fail(r, FTL_ERR_MODEL, "nothing to repeat");
	default: return one(r, utf8(r));
	}
}

/* {n}, {n,}, {n,m} at the reader; false: it is a brace like any character. */
static bool counts(reader *r, int *least, int *most)
{
	const char *p = r->s + 1;
	int64_t v[2] = {0, -1};
	int k = 0, digits = 0;

	for (; p < r->end && *p != '}'; p++) {
		if (*p == ',' && k == 0 && digits) {
			k = 1;
			digits = 0;
		} else if (*p >= '0' && *p <= '9') {
			v[k] = (v[k] < 0 ? 0 : v[k]) * 10 + (*p - '0');
			v[k] = v[k] > 100000 ? 100000 : v[k];
			digits++;
		} else {
			return false;
		}
	}
	if (p == r->end || (k == 0 && !digits))
		return false;
	if (k == 0)
		v[1] = v[0];
	r->s = p + 1;
	if (v[0] > MAX_REPEAT || v[1] > MAX_REPEAT || (v[1] >= 0 && v[1] < v[0]))
		fail(r, FTL_ERR_MODEL, "bad numbers of repetitions");
	*least = (int)v[0];
	*most = (int)v[1];
	return true;
}

static tree *repeated(reader *r)
{
	tree *t = atom(r), *again;
	bool twice = false;

	while (t && r->status == FTL_OK && r->s < r->end) {
		int least = *r->s == '+', most = *r->s == '?' ? 1 : -1;

		if (*r->s == '{' ? !counts(r, &least, &most) : *r->s != '*' && *r->s != '+' && *r->s != '?')
			break;
		if (r->s[-1] != '}')
			r->s++;
		if (twice)
			return fail(r, FTL_ERR_MODEL, "a repetition is repeated");
		if (r->s < r->end && *r->s == '?') /* as few as possible: the same strings match */
			r->s++;
		twice = true;
		again = node(r, REPEAT);
		again->least = least;
		again->most = most;
		ftl_vec_push(r->arena, &again->part, t);
		t = again;
	}
	return t;
}

static tree *alternatives(reader *r)
{
	tree *all = node(r, EITHER), *seq = node(r, SEQUENCE);

	while (r->status == FTL_OK && r->s < r->end && *r->s != ')') {
		tree *t;

		if (*r->s == '|') {
			r->s++;
			ftl_vec_push(r->arena, &all->part, seq);
			seq = node(r, SEQUENCE);
			continue;
		}
		t = repeated(r);
		if (t)
			ftl_vec_push(r->arena, &seq->part, t);
	}
	ftl_vec_push(r->arena, &all->part, seq);
	return all;
}

/* ---- code ---- */

static uint32_t put(reader *r, int op, uint32_t x, uint32_t y)
{
	if (r->n >= MAX_CODE) {
		fail(r, FTL_ERR_LIMIT, "the pattern is too large");
		return 0;
	}
	memcpy(r->code[r->n].w, (uint16_t[4]){(uint16_t)op, (uint16_t)x, (uint16_t)y, 0}, 8);
	return r->n++;
}

/* Alternatives one after the other: a split in front of all but the last, a jump behind; `ends` gets the jumps. */
typedef FTL_VEC(uint32_t) jumps;

static void begin_choice(reader *r, jumps *ends, uint32_t *split, bool last)
{
	FTL_UNUSED(ends);
	*split = last ? UINT32_MAX : put(r, SPLIT, r->n + 1, 0);
}

static void end_choice(reader *r, jumps *ends, uint32_t split)
{
	if (split == UINT32_MAX)
		return;
	ftl_vec_push(r->arena, ends, put(r, JUMP, 0, 0));
	r->code[split].w[2] = (uint16_t)r->n;
}

static void land(reader *r, const jumps *ends)
{
	for (uint32_t i = 0; i < ends->n; i++)
		r->code[ends->v[i]].w[1] = (uint16_t)r->n;
}

static int encode(uint32_t c, unsigned char *out)
{
	int n = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;

	for (int k = n - 1; k > 0; k--, c >>= 6)
		out[k] = (unsigned char)(0x80 | (c & 0x3f));
	out[0] = (unsigned char)(n == 1 ? c : ((0xf00u >> n) & 0xff) | c);
	return n;
}

/* Cut [lo, hi] into ranges whose encodings have one length and, byte by byte, independent ranges. */
static void cut(reader *r, uint32_t lo, uint32_t hi, ranges *out)
{
	static const uint32_t last[] = {0x7f, 0x7ff, 0xffff};

	for (size_t i = 0; i < FTL_COUNT(last); i++) {
		if (lo <= last[i] && hi > last[i]) {
			cut(r, lo, last[i], out);
			cut(r, last[i] + 1, hi, out);
			return;
		}
	}
	for (int bits = 6; bits <= 18 && hi > 0x7f; bits += 6) {
		uint32_t mask = ((uint32_t)1 << bits) - 1;

		if ((lo & ~mask) == (hi & ~mask))
			break;
		if (lo & mask) {
			cut(r, lo, lo | mask, out);
			cut(r, (lo | mask) + 1, hi, out);
			return;
		}
		if ((hi & mask) != mask) {
			cut(r, lo, (hi & ~mask) - 1, out);
			cut(r, hi & ~mask, hi, out);
			return;
		}
	}
	add(r, out, lo, hi);
}

static void write_class(reader *r, const ranges *set)
{
	ranges all = {NULL, 0, 0};
	jumps ends = {NULL, 0, 0};

	for (uint32_t i = 0; i < set->n; i++) {
		/* surrogates have no encoding */
		if (set->v[i].lo < 0xd800)
			cut(r, set->v[i].lo, set->v[i].hi < 0xd7ff ? set->v[i].hi : 0xd7ff, &all);
		if (set->v[i].hi > 0xdfff)
			cut(r, set->v[i].lo > 0xe000 ? set->v[i].lo : 0xe000, set->v[i].hi, &all);
	}
	if (all.n == 0) {
		put(r, BYTE, 1, 0); /* nothing matches */
		return;
	}
	for (uint32_t i = 0; i < all.n && r->status == FTL_OK; i++) {
		unsigned char lo[4], hi[4];
		int n = encode(all.v[i].lo, lo);
		uint32_t split;

		encode(all.v[i].hi, hi);
		begin_choice(r, &ends, &split, i + 1 == all.n);
		for (int k = 0; k < n; k++)
			put(r, BYTE, lo[k], hi[k]);
		end_choice(r, &ends, split);
	}
	land(r, &ends);
}

static void write_tree(reader *r, const tree *t)
{
	jumps ends = {NULL, 0, 0};
	uint32_t at;

	if (r->status != FTL_OK)
		return;
	switch (t->kind) {
	case EMPTY: break;
	case CLASS: write_class(r, &t->set); break;
	case CHECK: put(r, ASSERT, (uint32_t)t->least, 0); break;
	case SEQUENCE:
		for (uint32_t i = 0; i < t->part.n; i++)
			write_tree(r, t->part.v[i]);
		break;
	case EITHER:
		for (uint32_t i = 0; i < t->part.n; i++) {
			begin_choice(r, &ends, &at, i + 1 == t->part.n);
			write_tree(r, t->part.v[i]);
			end_choice(r, &ends, at);
		}
		land(r, &ends);
		break;
	case REPEAT:
		for (int i = 0; i < t->least && r->status == FTL_OK; i++) {
			at = r->n;
			write_tree(r, t->part.v[0]);
			if (r->n == at)
				break; /* of nothing, once is enough */
		}
		if (t->most < 0) {
			at = put(r, SPLIT, r->n + 1, 0);
			write_tree(r, t->part.v[0]);
			put(r, JUMP, at, 0);
			r->code[at].w[2] = (uint16_t)r->n;
		}
		for (int i = t->least; i < t->most && r->status == FTL_OK; i++) {
			ftl_vec_push(r->arena, &ends, put(r, SPLIT, 0, r->n + 1));
			at = r->n;
			write_tree(r, t->part.v[0]);
			if (r->n == at)
				break;
		}
		land(r, &ends);
		break;
	}
}

ftl_status ftl_regex_compile(ftl_arena *arena, const ftl_str *pattern, ftl_diag *d, ftl_str *out)
{
	reader *r = FTL_NEW(arena, reader);
	tree *t;

	r->arena = arena;
	r->d = d;
	r->s = r->all = pattern->p;
	r->end = pattern->p + pattern->n;
	t = alternatives(r);
	if (r->status == FTL_OK && r->s < r->end)
		fail(r, FTL_ERR_MODEL, "a parenthesis closes no group");
	if (r->status != FTL_OK)
		return r->status;
	write_tree(r, t);
	put(r, MATCH, 0, 0);
	if (r->status != FTL_OK)
		return r->status;
	*out = (ftl_str){ftl_arena_strn(arena, (const char *)r->code, 8 * (size_t)r->n), 8 * (size_t)r->n};
	return FTL_OK;
}
