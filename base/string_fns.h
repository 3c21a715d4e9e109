/*@core*/
/* Strings at run time. A string is the address of its bytes: eight bytes before them stands their number, behind them a
 * NUL that does not count; address 0 is the empty string. Strings never change. New ones come from chunks of the run's
 * memory and live as long as the run's results. A function that makes one gives 0 when there is no memory. */
#ifndef FETTLE_STRINGS_1
#define FETTLE_STRINGS_1
typedef struct fettle_strings {
	const void *calls; /* int64_t (*const *)(fettle_strings *, int64_t, int64_t, int64_t), for object code */
	void *(*alloc)(void *user, size_t bytes); /* 8-byte aligned at least, or NULL */
	void *user;
	void *chunks; /* newest first; each begins with the address of the one before */
	char *at;     /* free bytes of the newest */
	size_t left;
} fettle_strings;

static inline const char *fettle_str_bytes(int64_t h)
{
	return h ? (const char *)(uintptr_t)(uint64_t)h : "";
}

static inline size_t fettle_str_size(int64_t h)
{
	uint64_t n = 0;

	if (h)
		memcpy(&n, fettle_str_bytes(h) - 8, sizeof n);
	return (size_t)n;
}

/* Room for n bytes and their NUL, to be filled by the caller; NULL: no memory. */
static inline char *fettle_str_new(fettle_strings *s, size_t n)
{
	size_t want, chunk = 32768;
	uint64_t size = n;
	char *p;

	if (n > (size_t)-1 / 4)
		return NULL;
	want = (n + 16) & ~(size_t)7; /* the number, the bytes, a NUL at least */
	if (want > s->left) {
		if (want > chunk / 4)
			chunk = want + 16;
		p = s->alloc ? (char *)s->alloc(s->user, chunk) : NULL;
		if (!p)
			return NULL;
		memcpy(p, &s->chunks, sizeof s->chunks);
		s->chunks = p;
		s->at = p + 16;
		s->left = chunk - 16;
	}
	p = s->at;
	s->at += want;
	s->left -= want;
	memcpy(p, &size, sizeof size);
	p[8 + n] = 0;
	return p + 8;
}

static inline int64_t fettle_str_make(fettle_strings *s, const char *bytes, size_t n)
{
	char *p = fettle_str_new(s, n);

	if (p && n)
		memcpy(p, bytes, n);
	return (int64_t)(uintptr_t)p;
}

static inline int64_t fettle_str_take(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);

	(void)b, (void)c;
	return fettle_str_make(s, p, strlen(p));
}

static inline int64_t fettle_str_eq(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a);

	(void)s, (void)c;
	return a == b || (n == fettle_str_size(b) && memcmp(fettle_str_bytes(a), fettle_str_bytes(b), n) == 0);
}

static inline int64_t fettle_str_cmp(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a), m = fettle_str_size(b);
	int order = memcmp(fettle_str_bytes(a), fettle_str_bytes(b), n < m ? n : m);

	(void)s, (void)c;
	return order ? (order > 0) - (order < 0) : (n > m) - (n < m);
}

static inline int64_t fettle_str_concat(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	size_t n = fettle_str_size(a), m = fettle_str_size(b);
	char *p = n > (size_t)-1 / 4 || m > (size_t)-1 / 4 ? NULL : fettle_str_new(s, n + m);

	(void)c;
	if (p) {
		memcpy(p, fettle_str_bytes(a), n);
		memcpy(p + n, fettle_str_bytes(b), m);
	}
	return (int64_t)(uintptr_t)p;
}
#endif
/*@number*/
#ifndef FETTLE_STRINGS_NUMBER_1
#define FETTLE_STRINGS_NUMBER_1
/* As strtoll and strtoull in base 10: leading space, a sign, digits; what follows does not matter. */
static inline int fettle_str_integer(const char *p, int is_unsigned, uint64_t *out)
{
	uint64_t v = 0, limit = UINT64_MAX;
	int negative, digits = 0;

	while (*p == ' ' || (*p >= '\t' && *p <= '\r'))
		p++;
	negative = *p == '-';
	p += *p == '-' || *p == '+';
	if (!is_unsigned)
		limit = (uint64_t)INT64_MAX + (uint64_t)negative;
	for (; *p >= '0' && *p <= '9'; p++, digits = 1) {
		uint64_t digit = (uint64_t)(*p - '0');

		if (v > (limit - digit) / 10)
			return 0;
		v = v * 10 + digit;
	}
	*out = negative ? 0 - v : v;
	return digits;
}

/* The radix character of the locale, which strtod and snprintf use. */
static inline char fettle_str_radix(void)
{
	char text[16];

	snprintf(text, sizeof text, "%.1f", 0.5);
	return text[1];
}

/* As strtod in the C locale. */
static inline int fettle_str_double(const char *p, double *out)
{
	char copy[1024], radix = fettle_str_radix(), *end;
	size_t k;

	if (radix != '.') {
		for (k = 0; k + 1 < sizeof copy && p[k]; k++)
			copy[k] = p[k] == '.' ? radix : p[k];
		copy[k] = 0;
		p = copy;
	}
	errno = 0;
	*out = strtod(p, &end);
	return end != p && errno != ERANGE;
}

static inline int64_t fettle_str_is_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	uint64_t v;

	(void)s, (void)c;
	return fettle_str_integer(fettle_str_bytes(a), b != 0, &v);
}

static inline int64_t fettle_str_to_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	uint64_t v = 0;

	(void)s, (void)c;
	return fettle_str_integer(fettle_str_bytes(a), b != 0, &v) ? (int64_t)v : 0;
}

static inline int64_t fettle_str_is_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	double v;

	(void)s, (void)b, (void)c;
	return fettle_str_double(fettle_str_bytes(a), &v);
}

static inline int64_t fettle_str_to_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	double v = 0;
	int64_t bits;

	(void)s, (void)b, (void)c;
	(void)fettle_str_double(fettle_str_bytes(a), &v);
	memcpy(&bits, &v, sizeof bits);
	return bits;
}

static inline int64_t fettle_str_from_int(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	char text[32];

	(void)c;
	if (b)
		snprintf(text, sizeof text, "%llu", (unsigned long long)a);
	else
		snprintf(text, sizeof text, "%lld", (long long)a);
	return fettle_str_make(s, text, strlen(text));
}

/* Eight digits, as ONNX Runtime prints them; a point whatever the locale says. */
static inline int64_t fettle_str_from_real(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	char text[40], *p;
	double v;

	(void)b, (void)c;
	memcpy(&v, &a, sizeof v);
	if (v != v)
		strcpy(text, "NaN");
	else if (v - v != 0)
		strcpy(text, v > 0 ? "INF" : "-INF");
	else
		snprintf(text, sizeof text, "%.8g", v);
	for (p = text; v - v == 0 && *p; p++)
		if (!strchr("0123456789+-e", *p))
			*p = '.';
	return fettle_str_make(s, text, strlen(text));
}
#endif
/*@split*/
#ifndef FETTLE_STRINGS_SPLIT_1
#define FETTLE_STRINGS_SPLIT_1
static inline int fettle_str_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* An empty delimiter stands for any space, of which several count as one and those at the ends not at all. */
static inline int64_t fettle_str_begin(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);
	size_t n = fettle_str_size(a), m = fettle_str_size(b), at = c < 0 ? 0 : (size_t)c;

	(void)s;
	if (m != 0)
		return c < 0 ? (n != 0 ? 0 : -1) : at >= n ? -1 : (int64_t)(at + m);
	while (at < n && fettle_str_space(p[at]))
		at++;
	return at < n ? (int64_t)at : -1;
}

static inline int64_t fettle_str_end(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a), *delimiter = fettle_str_bytes(b), *found;
	size_t n = fettle_str_size(a), m = fettle_str_size(b), at = (size_t)c;

	(void)s;
	if (m == 0) {
		while (at < n && !fettle_str_space(p[at]))
			at++;
		return (int64_t)at;
	}
	for (; at < n && n - at >= m; at++) {
		found = (const char *)memchr(p + at, delimiter[0], n - at - m + 1);
		if (!found)
			break;
		at = (size_t)(found - p);
		if (memcmp(found, delimiter, m) == 0)
			return (int64_t)at;
	}
	return (int64_t)n;
}

static inline int64_t fettle_str_rest(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const char *p = fettle_str_bytes(a);
	size_t n = fettle_str_size(a);

	(void)s;
	while (fettle_str_size(b) == 0 && n > (size_t)c && fettle_str_space(p[n - 1]))
		n--;
	return (int64_t)n;
}

static inline int64_t fettle_str_sub(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	int64_t n = (int64_t)fettle_str_size(a);

	if (b < 0 || c < b || c > n)
		return 0;
	return fettle_str_make(s, fettle_str_bytes(a) + b, (size_t)(c - b));
}
#endif
/*@case*/
#ifndef FETTLE_STRINGS_CASE_1
#define FETTLE_STRINGS_CASE_1
/* Unicode's simple case mappings: first and last code point, step, what to add. The locale has no say. */
static const int fettle_str_lower[][4] = {
	{65, 90, 1, 32},           {192, 214, 1, 32},         {216, 222, 1, 32},         {256, 302, 2, 1},
	{306, 310, 2, 1},          {313, 327, 2, 1},          {330, 374, 2, 1},          {376, 376, 1, -121},
	{377, 381, 2, 1},          {385, 385, 1, 210},        {386, 388, 2, 1},          {390, 390, 1, 206},
	{391, 391, 1, 1},          {393, 394, 1, 205},        {395, 395, 1, 1},          {398, 398, 1, 79},
	{399, 399, 1, 202},        {400, 400, 1, 203},        {401, 401, 1, 1},          {403, 403, 1, 205},
	{404, 404, 1, 207},        {406, 406, 1, 211},        {407, 407, 1, 209},        {408, 408, 1, 1},
	{412, 412, 1, 211},        {413, 413, 1, 213},        {415, 415, 1, 214},        {416, 420, 2, 1},
	{422, 422, 1, 218},        {423, 423, 1, 1},          {425, 425, 1, 218},        {428, 428, 1, 1},
	{430, 430, 1, 218},        {431, 431, 1, 1},          {433, 434, 1, 217},        {435, 437, 2, 1},
	{439, 439, 1, 219},        {440, 440, 1, 1},          {444, 444, 1, 1},          {452, 452, 1, 2},
	{453, 453, 1, 1},          {455, 455, 1, 2},          {456, 456, 1, 1},          {458, 458, 1, 2},
	{459, 475, 2, 1},          {478, 494, 2, 1},          {497, 497, 1, 2},          {498, 500, 2, 1},
	{502, 502, 1, -97},        {503, 503, 1, -56},        {504, 542, 2, 1},          {544, 544, 1, -130},
	{546, 562, 2, 1},          {570, 570, 1, 10795},      {571, 571, 1, 1},          {573, 573, 1, -163},
	{574, 574, 1, 10792},      {577, 577, 1, 1},          {579, 579, 1, -195},       {580, 580, 1, 69},
	{581, 581, 1, 71},         {582, 590, 2, 1},          {880, 882, 2, 1},          {886, 886, 1, 1},
	{895, 895, 1, 116},        {902, 902, 1, 38},         {904, 906, 1, 37},         {908, 908, 1, 64},
	{910, 911, 1, 63},         {913, 929, 1, 32},         {931, 939, 1, 32},         {975, 975, 1, 8},
	{984, 1006, 2, 1},         {1012, 1012, 1, -60},      {1015, 1015, 1, 1},        {1017, 1017, 1, -7},
	{1018, 1018, 1, 1},        {1021, 1023, 1, -130},     {1024, 1039, 1, 80},       {1040, 1071, 1, 32},
	{1120, 1152, 2, 1},        {1162, 1214, 2, 1},        {1216, 1216, 1, 15},       {1217, 1229, 2, 1},
	{1232, 1326, 2, 1},        {1329, 1366, 1, 48},       {4256, 4293, 1, 7264},     {4295, 4295, 1, 7264},
	{4301, 4301, 1, 7264},     {5024, 5103, 1, 38864},    {5104, 5109, 1, 8},        {7312, 7354, 1, -3008},
	{7357, 7359, 1, -3008},    {7680, 7828, 2, 1},        {7838, 7838, 1, -7615},    {7840, 7934, 2, 1},
	{7944, 7951, 1, -8},       {7960, 7965, 1, -8},       {7976, 7983, 1, -8},       {7992, 7999, 1, -8},
	{8008, 8013, 1, -8},       {8025, 8031, 2, -8},       {8040, 8047, 1, -8},       {8072, 8079, 1, -8},
	{8088, 8095, 1, -8},       {8104, 8111, 1, -8},       {8120, 8121, 1, -8},       {8122, 8123, 1, -74},
	{8124, 8124, 1, -9},       {8136, 8139, 1, -86},      {8140, 8140, 1, -9},       {8152, 8153, 1, -8},
	{8154, 8155, 1, -100},     {8168, 8169, 1, -8},       {8170, 8171, 1, -112},     {8172, 8172, 1, -7},
	{8184, 8185, 1, -128},     {8186, 8187, 1, -126},     {8188, 8188, 1, -9},       {8486, 8486, 1, -7517},
	{8490, 8490, 1, -8383},    {8491, 8491, 1, -8262},    {8498, 8498, 1, 28},       {8544, 8559, 1, 16},
	{8579, 8579, 1, 1},        {9398, 9423, 1, 26},       {11264, 11311, 1, 48},     {11360, 11360, 1, 1},
	{11362, 11362, 1, -10743}, {11363, 11363, 1, -3814},  {11364, 11364, 1, -10727}, {11367, 11371, 2, 1},
	{11373, 11373, 1, -10780}, {11374, 11374, 1, -10749}, {11375, 11375, 1, -10783}, {11376, 11376, 1, -10782},
	{11378, 11378, 1, 1},      {11381, 11381, 1, 1},      {11390, 11391, 1, -10815}, {11392, 11490, 2, 1},
	{11499, 11501, 2, 1},      {11506, 11506, 1, 1},      {42560, 42604, 2, 1},      {42624, 42650, 2, 1},
	{42786, 42798, 2, 1},      {42802, 42862, 2, 1},      {42873, 42875, 2, 1},      {42877, 42877, 1, -35332},
	{42878, 42886, 2, 1},      {42891, 42891, 1, 1},      {42893, 42893, 1, -42280}, {42896, 42898, 2, 1},
	{42902, 42920, 2, 1},      {42922, 42922, 1, -42308}, {42923, 42923, 1, -42319}, {42924, 42924, 1, -42315},
	{42925, 42925, 1, -42305}, {42926, 42926, 1, -42308}, {42928, 42928, 1, -42258}, {42929, 42929, 1, -42282},
	{42930, 42930, 1, -42261}, {42931, 42931, 1, 928},    {42932, 42946, 2, 1},      {42948, 42948, 1, -48},
	{42949, 42949, 1, -42307}, {42950, 42950, 1, -35384}, {42951, 42953, 2, 1},      {42960, 42960, 1, 1},
	{42966, 42968, 2, 1},      {42997, 42997, 1, 1},      {65313, 65338, 1, 32},     {66560, 66599, 1, 40},
	{66736, 66771, 1, 40},     {66928, 66938, 1, 39},     {66940, 66954, 1, 39},     {66956, 66962, 1, 39},
	{66964, 66965, 1, 39},     {68736, 68786, 1, 64},     {71840, 71871, 1, 32},     {93760, 93791, 1, 32},
	{125184, 125217, 1, 34},
};
static const int fettle_str_upper[][4] = {
	{97, 122, 1, -32},         {181, 181, 1, 743},       {224, 246, 1, -32},        {248, 254, 1, -32},
	{255, 255, 1, 121},        {257, 303, 2, -1},        {305, 305, 1, -232},       {307, 311, 2, -1},
	{314, 328, 2, -1},         {331, 375, 2, -1},        {378, 382, 2, -1},         {383, 383, 1, -300},
	{384, 384, 1, 195},        {387, 389, 2, -1},        {392, 392, 1, -1},         {396, 396, 1, -1},
	{402, 402, 1, -1},         {405, 405, 1, 97},        {409, 409, 1, -1},         {410, 410, 1, 163},
	{414, 414, 1, 130},        {417, 421, 2, -1},        {424, 424, 1, -1},         {429, 429, 1, -1},
	{432, 432, 1, -1},         {436, 438, 2, -1},        {441, 441, 1, -1},         {445, 445, 1, -1},
	{447, 447, 1, 56},         {453, 453, 1, -1},        {454, 454, 1, -2},         {456, 456, 1, -1},
	{457, 457, 1, -2},         {459, 459, 1, -1},        {460, 460, 1, -2},         {462, 476, 2, -1},
	{477, 477, 1, -79},        {479, 495, 2, -1},        {498, 498, 1, -1},         {499, 499, 1, -2},
	{501, 501, 1, -1},         {505, 543, 2, -1},        {547, 563, 2, -1},         {572, 572, 1, -1},
	{575, 576, 1, 10815},      {578, 578, 1, -1},        {583, 591, 2, -1},         {592, 592, 1, 10783},
	{593, 593, 1, 10780},      {594, 594, 1, 10782},     {595, 595, 1, -210},       {596, 596, 1, -206},
	{598, 599, 1, -205},       {601, 601, 1, -202},      {603, 603, 1, -203},       {604, 604, 1, 42319},
	{608, 608, 1, -205},       {609, 609, 1, 42315},     {611, 611, 1, -207},       {613, 613, 1, 42280},
	{614, 614, 1, 42308},      {616, 616, 1, -209},      {617, 617, 1, -211},       {618, 618, 1, 42308},
	{619, 619, 1, 10743},      {620, 620, 1, 42305},     {623, 623, 1, -211},       {625, 625, 1, 10749},
	{626, 626, 1, -213},       {629, 629, 1, -214},      {637, 637, 1, 10727},      {640, 640, 1, -218},
	{642, 642, 1, 42307},      {643, 643, 1, -218},      {647, 647, 1, 42282},      {648, 648, 1, -218},
	{649, 649, 1, -69},        {650, 651, 1, -217},      {652, 652, 1, -71},        {658, 658, 1, -219},
	{669, 669, 1, 42261},      {670, 670, 1, 42258},     {837, 837, 1, 84},         {881, 883, 2, -1},
	{887, 887, 1, -1},         {891, 893, 1, 130},       {940, 940, 1, -38},        {941, 943, 1, -37},
	{945, 961, 1, -32},        {962, 962, 1, -31},       {963, 971, 1, -32},        {972, 972, 1, -64},
	{973, 974, 1, -63},        {976, 976, 1, -62},       {977, 977, 1, -57},        {981, 981, 1, -47},
	{982, 982, 1, -54},        {983, 983, 1, -8},        {985, 1007, 2, -1},        {1008, 1008, 1, -86},
	{1009, 1009, 1, -80},      {1010, 1010, 1, 7},       {1011, 1011, 1, -116},     {1013, 1013, 1, -96},
	{1016, 1016, 1, -1},       {1019, 1019, 1, -1},      {1072, 1103, 1, -32},      {1104, 1119, 1, -80},
	{1121, 1153, 2, -1},       {1163, 1215, 2, -1},      {1218, 1230, 2, -1},       {1231, 1231, 1, -15},
	{1233, 1327, 2, -1},       {1377, 1414, 1, -48},     {4304, 4346, 1, 3008},     {4349, 4351, 1, 3008},
	{5112, 5117, 1, -8},       {7296, 7296, 1, -6254},   {7297, 7297, 1, -6253},    {7298, 7298, 1, -6244},
	{7299, 7300, 1, -6242},    {7301, 7301, 1, -6243},   {7302, 7302, 1, -6236},    {7303, 7303, 1, -6181},
	{7304, 7304, 1, 35266},    {7545, 7545, 1, 35332},   {7549, 7549, 1, 3814},     {7566, 7566, 1, 35384},
	{7681, 7829, 2, -1},       {7835, 7835, 1, -59},     {7841, 7935, 2, -1},       {7936, 7943, 1, 8},
	{7952, 7957, 1, 8},        {7968, 7975, 1, 8},       {7984, 7991, 1, 8},        {8000, 8005, 1, 8},
	{8017, 8023, 2, 8},        {8032, 8039, 1, 8},       {8048, 8049, 1, 74},       {8050, 8053, 1, 86},
	{8054, 8055, 1, 100},      {8056, 8057, 1, 128},     {8058, 8059, 1, 112},      {8060, 8061, 1, 126},
	{8112, 8113, 1, 8},        {8126, 8126, 1, -7205},   {8144, 8145, 1, 8},        {8160, 8161, 1, 8},
	{8165, 8165, 1, 7},        {8526, 8526, 1, -28},     {8560, 8575, 1, -16},      {8580, 8580, 1, -1},
	{9424, 9449, 1, -26},      {11312, 11359, 1, -48},   {11361, 11361, 1, -1},     {11365, 11365, 1, -10795},
	{11366, 11366, 1, -10792}, {11368, 11372, 2, -1},    {11379, 11379, 1, -1},     {11382, 11382, 1, -1},
	{11393, 11491, 2, -1},     {11500, 11502, 2, -1},    {11507, 11507, 1, -1},     {11520, 11557, 1, -7264},
	{11559, 11559, 1, -7264},  {11565, 11565, 1, -7264}, {42561, 42605, 2, -1},     {42625, 42651, 2, -1},
	{42787, 42799, 2, -1},     {42803, 42863, 2, -1},    {42874, 42876, 2, -1},     {42879, 42887, 2, -1},
	{42892, 42892, 1, -1},     {42897, 42899, 2, -1},    {42900, 42900, 1, 48},     {42903, 42921, 2, -1},
	{42933, 42947, 2, -1},     {42952, 42954, 2, -1},    {42961, 42961, 1, -1},     {42967, 42969, 2, -1},
	{42998, 42998, 1, -1},     {43859, 43859, 1, -928},  {43888, 43967, 1, -38864}, {65345, 65370, 1, -32},
	{66600, 66639, 1, -40},    {66776, 66811, 1, -40},   {66967, 66977, 1, -39},    {66979, 66993, 1, -39},
	{66995, 67001, 1, -39},    {67003, 67004, 1, -39},   {68800, 68850, 1, -64},    {71872, 71903, 1, -32},
	{93792, 93823, 1, -32},    {125218, 125251, 1, -34},
};

static inline unsigned fettle_str_map(const int (*rows)[4], int n, unsigned c)
{
	int lo = 0, hi = n;

	while (lo < hi) {
		int mid = lo + (hi - lo) / 2;

		if (c > (unsigned)rows[mid][1])
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == n || c < (unsigned)rows[lo][0] || (c - (unsigned)rows[lo][0]) % (unsigned)rows[lo][2] != 0)
		return c;
	return c + (unsigned)rows[lo][3];
}

/* The code point at p and its bytes; a byte that does not belong to UTF-8 is one that stays as it is. */
static inline unsigned fettle_str_decode(const unsigned char *p, size_t n, size_t *bytes)
{
	unsigned c = p[0];
	size_t k, more = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 ? 2 : c >= 0xc2 ? 1 : 0;

	*bytes = 1;
	if (more == 0 || c >= 0xf8 || more >= n)
		return c < 0x80 ? c : 0x110000 + c;
	c &= 0x3fu >> more;
	for (k = 1; k <= more; k++) {
		if ((p[k] & 0xc0) != 0x80)
			return 0x110000u + p[0];
		c = c << 6 | (p[k] & 0x3fu);
	}
	if (c > 0x10ffff || c < (more == 3 ? 0x10000u : more == 2 ? 0x800u : 0x80u))
		return 0x110000u + p[0];
	*bytes = more + 1;
	return c;
}

static inline size_t fettle_str_encode(unsigned c, char *out)
{
	size_t n = c >= 0x110000 || c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4, k;

	if (n == 1) {
		out[0] = (char)(c >= 0x110000 ? c - 0x110000 : c);
		return 1;
	}
	for (k = n - 1; k > 0; k--, c >>= 6)
		out[k] = (char)(0x80 | (c & 0x3f));
	out[0] = (char)((0xf00u >> n & 0xff) | c);
	return n;
}

static inline int64_t fettle_str_case(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	const int(*rows)[4] = b ? fettle_str_upper : fettle_str_lower;
	int nrows = b ? (int)(sizeof fettle_str_upper / sizeof *fettle_str_upper)
		      : (int)(sizeof fettle_str_lower / sizeof *fettle_str_lower);
	const unsigned char *p = (const unsigned char *)fettle_str_bytes(a);
	size_t n = fettle_str_size(a), at, used, size = 0;
	char *out = NULL, buf[4];
	int pass;

	(void)c;
	for (pass = 0; pass < 2; pass++) {
		if (pass == 1) {
			out = fettle_str_new(s, size);
			if (!out)
				return 0;
			size = 0;
		}
		for (at = 0; at < n; at += used) {
			unsigned point = fettle_str_decode(p + at, n - at, &used);

			size += fettle_str_encode(fettle_str_map(rows, nrows, point), pass ? out + size : buf);
		}
	}
	return (int64_t)(uintptr_t)out;
}
#endif
/*@match*/
#ifndef FETTLE_STRINGS_MATCH_1
#define FETTLE_STRINGS_MATCH_1
/* A regular expression as a program (base/regex.h): instructions of four 16-bit numbers. All ways through it are followed
 * at once, so that time is at most the string's length times the program's. */
enum { FETTLE_RE_MATCH, FETTLE_RE_BYTE, FETTLE_RE_JUMP, FETTLE_RE_SPLIT, FETTLE_RE_ASSERT, FETTLE_RE_MAX = 4096 };
enum { FETTLE_RE_START, FETTLE_RE_END, FETTLE_RE_LINE_START, FETTLE_RE_LINE_END, FETTLE_RE_WORD, FETTLE_RE_NO_WORD };

typedef struct fettle_re {
	const char *code;
	size_t n;
	const char *text;
	size_t size, at;
	uint16_t list[2][FETTLE_RE_MAX], work[FETTLE_RE_MAX + 2]; /* work: each instruction is put at most once */
	int count[2];
	unsigned mark[FETTLE_RE_MAX], now;
} fettle_re;

static inline int fettle_re_word(const fettle_re *r, size_t at)
{
	unsigned char c = at < r->size ? (unsigned char)r->text[at] : 0;

	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

static inline int fettle_re_holds(const fettle_re *r, int what)
{
	int before = r->at > 0 && fettle_re_word(r, r->at - 1), after = fettle_re_word(r, r->at);

	switch (what) {
	case FETTLE_RE_START: return r->at == 0;
	case FETTLE_RE_END: return r->at == r->size;
	case FETTLE_RE_LINE_START: return r->at == 0 || r->text[r->at - 1] == '\n';
	case FETTLE_RE_LINE_END: return r->at == r->size || r->text[r->at] == '\n';
	case FETTLE_RE_WORD: return before != after;
	default: return before == after;
	}
}

static inline void fettle_re_get(const fettle_re *r, unsigned pc, uint16_t *in)
{
	memcpy(in, r->code + 8 * (size_t)pc, 8);
}

/* Put pc, and what it leads to without reading a byte, on list k. */
static inline void fettle_re_add(fettle_re *r, int k, unsigned pc)
{
	int n = 0;

	if (r->mark[pc] == r->now)
		return;
	r->mark[pc] = r->now;
	r->work[n++] = (uint16_t)pc;
	while (n > 0) {
		uint16_t in[4];
		unsigned next[2], many = 0, i;

		pc = r->work[--n];
		fettle_re_get(r, pc, in);
		if (in[0] == FETTLE_RE_JUMP || in[0] == FETTLE_RE_SPLIT)
			next[many++] = in[1];
		if (in[0] == FETTLE_RE_SPLIT)
			next[many++] = in[2];
		if (in[0] == FETTLE_RE_ASSERT && fettle_re_holds(r, in[1]))
			next[many++] = pc + 1;
		if (in[0] == FETTLE_RE_MATCH || in[0] == FETTLE_RE_BYTE)
			r->list[k][r->count[k]++] = (uint16_t)pc;
		for (i = 0; i < many; i++) {
			if (r->mark[next[i]] != r->now) {
				r->mark[next[i]] = r->now;
				r->work[n++] = (uint16_t)next[i];
			}
		}
	}
}

/* Does all of string a match program b? */
static inline int64_t fettle_str_match(fettle_strings *s, int64_t a, int64_t b, int64_t c)
{
	fettle_re r;
	int k = 0, i, matched = 0;

	(void)s, (void)c;
	r.code = fettle_str_bytes(b);
	r.n = fettle_str_size(b) / 8;
	r.text = fettle_str_bytes(a);
	r.size = fettle_str_size(a);
	if (r.n == 0 || r.n > FETTLE_RE_MAX)
		return 0;
	memset(r.mark, 0, sizeof r.mark);
	r.now = 1;
	r.at = 0;
	r.count[0] = r.count[1] = 0;
	fettle_re_add(&r, 0, 0);
	for (; r.at < r.size && r.count[k] > 0; k = 1 - k) {
		unsigned char byte = (unsigned char)r.text[r.at];

		r.at++;
		r.count[1 - k] = 0;
		if (++r.now == 0) {
			memset(r.mark, 0, sizeof r.mark);
			r.now = 1;
		}
		for (i = 0; i < r.count[k]; i++) {
			uint16_t in[4];

			fettle_re_get(&r, r.list[k][i], in);
			if (in[0] == FETTLE_RE_BYTE && byte >= in[1] && byte <= in[2])
				fettle_re_add(&r, 1 - k, r.list[k][i] + 1u);
		}
	}
	for (i = 0; i < r.count[k] && r.at == r.size; i++) {
		uint16_t in[4];

		fettle_re_get(&r, r.list[k][i], in);
		matched |= in[0] == FETTLE_RE_MATCH;
	}
	return matched;
}
#endif
