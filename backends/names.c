/* Names and text from models in C source: nothing of a model reaches a C file except through here. */
#include "backends/artifact.h"

#include <stdio.h>

enum { MAX_IDENTIFIER = 63, MAX_COMMENT = 400, MAX_STRING = 2000 };

/* Keywords, and names that the headers we include may define as macros. */
static const char *const taken[] = {
	"NULL",         "I",
	"alignas",      "alignof",
	"and",          "and_eq",
	"asm",          "auto",
	"bitand",       "bitor",
	"bool",         "break",
	"case",         "catch",
	"char",         "char16_t",
	"char32_t",     "char8_t",
	"class",        "co_await",
	"co_return",    "co_yield",
	"compl",        "complex",
	"concept",      "const",
	"const_cast",   "consteval",
	"constexpr",    "constinit",
	"continue",     "decltype",
	"default",      "delete",
	"do",           "double",
	"dynamic_cast", "else",
	"enum",         "errno",
	"explicit",     "export",
	"extern",       "false",
	"float",        "for",
	"friend",       "goto",
	"if",           "imaginary",
	"inline",       "int",
	"linux",        "long",
	"main",         "mutable",
	"namespace",    "new",
	"noexcept",     "not",
	"not_eq",       "nullptr",
	"operator",     "or",
	"or_eq",        "private",
	"protected",    "public",
	"register",     "reinterpret_cast",
	"requires",     "restrict",
	"return",       "short",
	"signed",       "sizeof",
	"static",       "static_assert",
	"static_cast",  "stderr",
	"stdin",        "stdout",
	"struct",       "switch",
	"template",     "this",
	"thread_local", "throw",
	"true",         "try",
	"typedef",      "typeid",
	"typename",     "typeof",
	"union",        "unix",
	"unsigned",     "using",
	"virtual",      "void",
	"volatile",     "wchar_t",
	"while",        "xor",
	"xor_eq",
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

const char *ftl_c_identifier(ftl_arena *arena, const char *s)
{
	char out[MAX_IDENTIFIER + 1];
	size_t n = 0;

	/* no leading underscore: those names are the implementation's */
	for (; s && *s && n < MAX_IDENTIFIER - 1; s++) {
		if (is_letter(*s) || (is_digit(*s) && n)) {
			out[n++] = *s;
		} else if (is_digit(*s)) {
			out[n++] = 'm';
			out[n++] = *s;
		} else if (n && out[n - 1] != '_') { /* no doubled one either: C++ keeps those */
			out[n++] = '_';
		}
	}
	while (n && out[n - 1] == '_')
		n--;
	out[n] = '\0';
	if (n == 0)
		return ftl_arena_str(arena, "model");
	for (size_t k = 0; k < FTL_COUNT(taken); k++) {
		if (strcmp(out, taken[k]) == 0)
			return ftl_arena_printf(arena, "%s_", out);
	}
	return ftl_arena_str(arena, out);
}

void ftl_c_comment(ftl_text *t, const char *s)
{
	char last = ' ';

	for (size_t n = 0; *s && n < MAX_COMMENT; s++, n++) {
		char c = *s >= ' ' && *s < 127 && *s != '\\' ? *s : '.';

		if ((last == '*' && c == '/') || (last == '/' && c == '*') || (last == '?' && c == '?'))
			ftl_text_bytes(t, " ", 1);
		ftl_text_bytes(t, &c, 1);
		last = c;
	}
	if (*s)
		ftl_text_add(t, "...");
	if (last == '/' || last == '*')
		ftl_text_bytes(t, " ", 1);
}

void ftl_c_string(ftl_text *t, const char *s)
{
	char octal[8];

	ftl_text_bytes(t, "\"", 1);
	for (size_t n = 0; *s && n < MAX_STRING; s++, n++) {
		if (*s == '"' || *s == '\\' || *s == '?') {
			ftl_text_bytes(t, "\\", 1);
			ftl_text_bytes(t, s, 1);
		} else if (*s >= ' ' && *s < 127) {
			ftl_text_bytes(t, s, 1);
		} else {
			snprintf(octal, sizeof octal, "\\%03o", (unsigned)(unsigned char)*s);
			ftl_text_bytes(t, octal, 4);
		}
	}
	ftl_text_bytes(t, "\"", 1);
}

void ftl_c_template(ftl_text *t, const char *name, const char *text)
{
	for (;;) {
		size_t n = strcspn(text, "@");

		ftl_text_bytes(t, text, n);
		if (!text[n])
			return;
		ftl_text_bytes(t, name, strlen(name));
		text += n + 1;
	}
}
