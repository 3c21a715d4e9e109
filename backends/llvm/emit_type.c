/* Types, constants, intrinsics and attributes: the small words the emitters speak in. */
#include <llvm-c/Core.h>

#include <string.h>

#include "internal.h"

LLVMTypeRef ftl_le_elem(ftl_le *l, ftl_dtype t)
{
	switch (t) {
	case FTL_F32: return l->f32;
	case FTL_F64: return l->f64;
	case FTL_I8:
	case FTL_U8: return l->i8;
	case FTL_F16: /* bits: only loaded, stored and cast, so no target needs a half type */
	case FTL_BF16:
	case FTL_I16:
	case FTL_U16: return l->i16;
	case FTL_I32:
	case FTL_U32: return l->i32;
	case FTL_I64:
	case FTL_U64: return l->i64;
	case FTL_BOOL: return l->i1;
	default: break; /* addresses; low types never get here, code has their bytes */
	}
	return l->ptr;
}

LLVMTypeRef ftl_le_mem_elem(ftl_le *l, ftl_dtype t)
{
	return t == FTL_BOOL ? l->i8 : ftl_le_elem(l, t);
}

LLVMTypeRef ftl_le_vec(LLVMTypeRef elem, int lanes)
{
	return lanes <= 1 ? elem : LLVMVectorType(elem, (unsigned)lanes);
}

LLVMTypeRef ftl_le_type(ftl_le *l, ftl_ktype t)
{
	return ftl_le_vec(ftl_le_elem(l, (ftl_dtype)t.elem), t.lanes);
}

static LLVMValueRef repeat(LLVMTypeRef t, LLVMValueRef one)
{
	LLVMValueRef v[4 * FTL_MAX_LANES];
	unsigned n = LLVMGetVectorSize(t);

	for (unsigned i = 0; i < n && i < FTL_COUNT(v); i++)
		v[i] = one;
	return LLVMConstVector(v, n);
}

LLVMValueRef ftl_le_int(LLVMTypeRef t, int64_t v)
{
	if (LLVMGetTypeKind(t) == LLVMVectorTypeKind)
		return repeat(t, ftl_le_int(LLVMGetElementType(t), v));
	return LLVMConstInt(t, (unsigned long long)v, true);
}

LLVMValueRef ftl_le_real(LLVMTypeRef t, double v)
{
	if (LLVMGetTypeKind(t) == LLVMVectorTypeKind)
		return repeat(t, ftl_le_real(LLVMGetElementType(t), v));
	return LLVMConstReal(t, v);
}

LLVMValueRef ftl_le_i64(ftl_le *l, int64_t v)
{
	return LLVMConstInt(l->i64, (unsigned long long)v, true);
}

LLVMValueRef ftl_le_iota(LLVMTypeRef elem, int lanes)
{
	LLVMValueRef v[4 * FTL_MAX_LANES];

	for (int i = 0; i < lanes; i++)
		v[i] = LLVMConstInt(elem, (unsigned long long)i, false);
	return lanes == 1 ? v[0] : LLVMConstVector(v, (unsigned)lanes);
}

LLVMValueRef ftl_le_splat(ftl_le *l, LLVMValueRef x, int lanes)
{
	LLVMTypeRef t;
	LLVMValueRef poison;

	if (lanes <= 1)
		return x;
	t = LLVMVectorType(LLVMTypeOf(x), (unsigned)lanes);
	if (LLVMIsConstant(x) && (LLVMIsAConstantInt(x) || LLVMIsAConstantFP(x)))
		return repeat(t, x);
	poison = LLVMGetPoison(t);
	x = LLVMBuildInsertElement(l->b, poison, x, LLVMConstInt(l->i32, 0, false), "");
	return LLVMBuildShuffleVector(l->b, x, poison, LLVMConstNull(LLVMVectorType(l->i32, (unsigned)lanes)), "");
}

LLVMValueRef ftl_le_intrinsic(ftl_le *l, const char *name, LLVMTypeRef *over, unsigned nover, LLVMValueRef *args,
			      unsigned nargs)
{
	unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
	LLVMValueRef fn;

	if (!id) {
		ftl_le_fail(l, "LLVM has no intrinsic %s", name);
		return l->run;
	}
	fn = LLVMGetIntrinsicDeclaration(l->m, id, over, nover);
	return LLVMBuildCall2(l->b, LLVMIntrinsicGetType(l->c, id, over, nover), fn, args, nargs, "");
}

void ftl_le_attr(ftl_le *l, LLVMValueRef fn, const char *name)
{
	unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));

	LLVMAddAttributeAtIndex(fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
				LLVMCreateEnumAttribute(l->c, kind, 0));
}

void ftl_le_attr_str(ftl_le *l, LLVMValueRef fn, const char *key, const char *value)
{
	LLVMAddAttributeAtIndex(
		fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
		LLVMCreateStringAttribute(l->c, key, (unsigned)strlen(key), value, (unsigned)strlen(value)));
}
