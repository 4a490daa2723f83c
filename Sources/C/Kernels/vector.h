// Sixteen float lanes and the inline mathematics that the kernels share.
//
// The lanes are a compiler vector type: one AVX-512 register, two AVX ones or four SSE/NEON ones,
// with the same lane order everywhere, so that reductions have one fixed order. Included once per CPU
// level, by levels.h.
#define INLINE static inline __attribute__((always_inline))

typedef float f16 __attribute__((vector_size(64)));
typedef int32_t i16 __attribute__((vector_size(64)));

INLINE f16 load16(const float *p) {
  f16 v;
  memcpy(&v, p, sizeof v);
  return v;
}

INLINE void store16(float *p, f16 v) { memcpy(p, &v, sizeof v); }

// The last n < 16 elements of a row; the other lanes hold `fill`.
INLINE f16 load_tail(const float *p, long n, float fill) {
  f16 v = (f16){} + fill;
  memcpy(&v, p, (size_t)n * sizeof(float));
  return v;
}

INLINE void store_tail(float *p, f16 v, long n) { memcpy(p, &v, (size_t)n * sizeof(float)); }

// bfloat16 is the upper half of a float32.
typedef uint16_t h16 __attribute__((vector_size(32)));
typedef uint32_t u16 __attribute__((vector_size(64)));

INLINE f16 decode16(h16 v) { return (f16)(__builtin_convertvector(v, u16) << 16); }

// Rounded to nearest even. Rounding could carry a NaN's payload into the sign: NaN keeps its high half, made quiet.
INLINE h16 encode16(f16 v) {
  u16 bits = (u16)v;
  u16 rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
  u16 isNaN = (u16)((bits & 0x7FFFFFFF) > 0x7F800000);
  return __builtin_convertvector((rounded & ~isNaN) | ((bits >> 16 | 0x40) & isNaN), h16);
}

INLINE f16 load16_bf16(const uint16_t *p) {
  h16 v;
  memcpy(&v, p, sizeof v);
  return decode16(v);
}

INLINE void store16_bf16(uint16_t *p, f16 x) {
  h16 v = encode16(x);
  memcpy(p, &v, sizeof v);
}

INLINE f16 load_tail_bf16(const uint16_t *p, long n) {
  h16 v = {0};
  memcpy(&v, p, (size_t)n * sizeof(uint16_t));
  return decode16(v);
}

INLINE void store_tail_bf16(uint16_t *p, f16 x, long n) {
  h16 v = encode16(x);
  memcpy(p, &v, (size_t)n * sizeof(uint16_t));
}

INLINE f16 splat(float x) { return (f16){} + x; }

INLINE f16 select16(i16 mask, f16 a, f16 b) { return (f16)(((i16)a & mask) | ((i16)b & ~mask)); }

// Where either is NaN both give b, as x86's instructions do: what must stay NaN comes second.
INLINE f16 max16(f16 a, f16 b) { return select16(a > b, a, b); }

INLINE f16 min16(f16 a, f16 b) { return select16(a < b, a, b); }

// Those of math.h set errno, which keeps the loops around them from being vectorized or reordered.
INLINE float square_root(float x) { return __builtin_elementwise_sqrt(x); }

INLINE float exponential(float x) { return __builtin_elementwise_exp(x); }

INLINE float logarithm(float x) { return __builtin_elementwise_log(x); }

// Pairwise sum of the lanes: a fixed tree.
INLINE float sum16(f16 v) {
  float a[16];
  memcpy(a, &v, sizeof a);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a[i] += a[i + half];
  return a[0];
}

// The largest lane; that of a NaN may be lost, so whoever uses it must see the NaN elsewhere, such as in the sum of
// exponentials.
INLINE float maximum16(f16 v) {
  float a[16];
  memcpy(a, &v, sizeof a);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; i++) a[i] = a[i] > a[i + half] ? a[i] : a[i + half];
  return a[0];
}

// e^x to about 1 ulp for x in [-87, 88]; arguments beyond are clamped, NaN stays NaN. Cody-Waite reduction by ln 2 and
// a degree-6 polynomial (Cephes' coefficients).
INLINE f16 exp16(f16 x) {
  x = min16(splat(88.0f), max16(splat(-87.0f), x));
  // 1.5 * 2^23 + 127: adding it rounds to an integer, whose last bits are then the exponent's of 2^n.
  const f16 magic = splat(12583039.0f);
  f16 shifted = x * 1.44269504088896341f + magic;
  f16 n = shifted - magic;
  f16 r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  f16 p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r;
  // 2^n as a factor: added to the exponent's bits it would turn some NaNs into numbers. (1 + p) 2^n is one operation.
  f16 power = (f16)((i16)shifted << 23);
  return p * power + power;
}
