// Activations of the form x * gate(x), and SwiGLU, which multiplies by a second half. `kind` is a
// constant wherever these are inlined, so every kind has a loop of its own.

// GELU in its tanh form, written with the logistic function: x * s, s = 1 / (1 + exp(-2u)),
// u = sqrt(2/pi) (x + 0.044715 x^3).
INLINE f16 gelu_gate16(f16 x) {
  f16 u2 = x * (1.5957691216057308f + 0.07135481282895889f * (x * x));
  return 1.0f / (1.0f + exp16(-u2));
}

// dGELU/dx given s = gelu_gate16(x).
INLINE f16 gelu_slope16(f16 x, f16 s) {
  f16 du2 = 1.5957691216057308f + 0.21406443848687666f * (x * x);
  return s + x * s * (1.0f - s) * du2;
}

// The normal distribution function to 1e-7: Abramowitz and Stegun 7.1.26 for |x|, mirrored.
INLINE f16 normal_cdf16(f16 x) {
  f16 z = max16(x, -x) * 0.70710678118654752f;
  f16 t = 1.0f / (1.0f + 0.3275911f * z);
  f16 p = t * 1.061405429f - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  f16 tail = 0.5f * p * t * exp16(-z * z);
  return select16(x < splat(0), tail, 1.0f - tail);
}

INLINE f16 gate16(int kind, f16 x) {
  switch (kind) {
    case MMOE_GELU: return gelu_gate16(x);
    case MMOE_GELU_ERF: return normal_cdf16(x);
    case MMOE_QUICK_GELU: return 1.0f / (1.0f + exp16(x * -1.702f));
    default: return 1.0f / (1.0f + exp16(-x));
  }
}

// d(x * gate(x))/dx given s = gate16(kind, x).
INLINE f16 slope16(int kind, f16 x, f16 s) {
  switch (kind) {
    case MMOE_GELU: return gelu_slope16(x, s);
    case MMOE_GELU_ERF: return s + x * exp16(x * x * -0.5f) * 0.39894228040143268f;
    case MMOE_QUICK_GELU: return s + 1.702f * x * s * (1.0f - s);
    default: return s + x * s * (1.0f - s);
  }
}

INLINE void activate(int kind, float *pre, const float *bias, float *activated, long rows,
                     long hidden) {
  long width = kind == MMOE_SWIGLU ? 2 * hidden : hidden;
  for (long r = 0; r < rows; r++) {
    float *p = pre + r * width, *a = activated + r * hidden;
    for (long c = 0; c < hidden; c += 16) {
      long n = hidden - c;
      int whole = n >= 16;
      f16 x = whole ? load16(p + c) : load_tail(p + c, n, 0);
      if (bias) x += whole ? load16(bias + c) : load_tail(bias + c, n, 0);
      f16 y = x * gate16(kind, x);
      if (kind == MMOE_SWIGLU) {
        f16 up = whole ? load16(p + hidden + c) : load_tail(p + hidden + c, n, 0);
        if (bias) up += whole ? load16(bias + hidden + c) : load_tail(bias + hidden + c, n, 0);
        if (bias) whole ? store16(p + hidden + c, up) : store_tail(p + hidden + c, up, n);
        y *= up;
      }
      if (bias) whole ? store16(p + c, x) : store_tail(p + c, x, n);
      whole ? store16(a + c, y) : store_tail(a + c, y, n);
    }
  }
}

void KERNEL(mmoe_activate)(mmoe_activation kind, float *pre, const float *bias, float *activated,
                           long rows, long hidden) {
  switch (kind) {
    case MMOE_GELU: activate(MMOE_GELU, pre, bias, activated, rows, hidden); break;
    case MMOE_GELU_ERF: activate(MMOE_GELU_ERF, pre, bias, activated, rows, hidden); break;
    case MMOE_QUICK_GELU: activate(MMOE_QUICK_GELU, pre, bias, activated, rows, hidden); break;
    case MMOE_SWIGLU: activate(MMOE_SWIGLU, pre, bias, activated, rows, hidden); break;
  }
}

// One block of n <= 16 columns over all rows; the column sums stay in registers.
INLINE void activate_backward_block(int kind, float *pre, const float *grad, float *activated,
                                    float *sums, long rows, long hidden, long c, long n) {
  long width = kind == MMOE_SWIGLU ? 2 * hidden : hidden;
  f16 total = splat(0), totalUp = splat(0);
  for (long r = 0; r < rows; r++) {
    float *p = pre + r * width + c, *a = activated + r * hidden + c;
    const float *g = grad + r * hidden + c;
    f16 x = n == 16 ? load16(p) : load_tail(p, n, 0);
    f16 d = n == 16 ? load16(g) : load_tail(g, n, 0);
    f16 s = gate16(kind, x);
    f16 y = x * s, dx = d * slope16(kind, x, s);
    if (kind == MMOE_SWIGLU) {
      f16 up = n == 16 ? load16(p + hidden) : load_tail(p + hidden, n, 0);
      f16 dUp = d * y;
      n == 16 ? store16(p + hidden, dUp) : store_tail(p + hidden, dUp, n);
      totalUp += dUp;
      y *= up;
      dx *= up;
    }
    n == 16 ? store16(a, y) : store_tail(a, y, n);
    n == 16 ? store16(p, dx) : store_tail(p, dx, n);
    total += dx;
  }
  if (!sums) return;
  store_tail(sums + c, total, n);
  if (kind == MMOE_SWIGLU) store_tail(sums + hidden + c, totalUp, n);
}

INLINE void activate_backward(int kind, float *pre, const float *grad, float *activated,
                              float *sums, long rows, long hidden) {
  long c = 0;
  for (; c + 16 <= hidden; c += 16)
    activate_backward_block(kind, pre, grad, activated, sums, rows, hidden, c, 16);
  if (c < hidden)
    activate_backward_block(kind, pre, grad, activated, sums, rows, hidden, c, hidden - c);
}

// GELU is what the benchmarked models train with: blocks of 64 columns read whole cache lines in turn.
INLINE void gelu_backward(float *pre, const float *grad, float *activated, float *columnSums,
                          long rows, long columns) {
  long c = 0;
  for (; c + 64 <= columns; c += 64) {
    f16 sums[4] = {splat(0), splat(0), splat(0), splat(0)};
    for (long r = 0; r < rows; r++) {
      for (int j = 0; j < 4; j++) {
        long at = r * columns + c + 16 * j;
        f16 x = load16(pre + at);
        f16 s = gelu_gate16(x);
        f16 d = load16(grad + at) * gelu_slope16(x, s);
        store16(activated + at, x * s);
        store16(pre + at, d);
        sums[j] += d;
      }
    }
    if (columnSums)
      for (int j = 0; j < 4; j++) store16(columnSums + c + 16 * j, sums[j]);
  }
  for (; c < columns; c += 16)
    activate_backward_block(MMOE_GELU, pre, grad, activated, columnSums, rows, columns, c,
                            columns - c < 16 ? columns - c : 16);
}

void KERNEL(mmoe_activate_backward)(mmoe_activation kind, float *pre, const float *grad,
                                    float *activated, float *columnSums, long rows, long hidden) {
  switch (kind) {
    case MMOE_GELU: gelu_backward(pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_GELU_ERF:
      activate_backward(MMOE_GELU_ERF, pre, grad, activated, columnSums, rows, hidden);
      break;
    case MMOE_QUICK_GELU:
      activate_backward(MMOE_QUICK_GELU, pre, grad, activated, columnSums, rows, hidden);
      break;
    case MMOE_SWIGLU:
      activate_backward(MMOE_SWIGLU, pre, grad, activated, columnSums, rows, hidden);
      break;
  }
}
