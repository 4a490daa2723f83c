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

// `kept` and `activated` are float32, or bfloat16 where `half` is set; a constant at every use, like `kind`.
INLINE f16 get16(const void *p, long at, long n, int half) {
  if (half) return n >= 16 ? load16_bf16((const uint16_t *)p + at) : load_tail_bf16((const uint16_t *)p + at, n);
  return n >= 16 ? load16((const float *)p + at) : load_tail((const float *)p + at, n, 0);
}

INLINE void put16(void *p, long at, f16 v, long n, int half) {
  if (half && n >= 16) store16_bf16((uint16_t *)p + at, v);
  else if (half) store_tail_bf16((uint16_t *)p + at, v, n);
  else if (n >= 16) store16((float *)p + at, v);
  else store_tail((float *)p + at, v, n);
}

// kept = pre + bias, where there is a place to keep it, and activated; the columns from c on, 16 or the last n.
INLINE void activate_block(int kind, int half, const float *pre, const float *bias, void *kept, void *activated,
                           long hidden, long r, long c, long n) {
  long width = kind == MMOE_SWIGLU ? 2 * hidden : hidden, at = r * width + c;
  f16 x = get16(pre, at, n, 0);
  if (bias) x += get16(bias, c, n, 0);
  f16 y = x * gate16(kind, x);
  if (kind == MMOE_SWIGLU) {
    f16 up = get16(pre, at + hidden, n, 0);
    if (bias) up += get16(bias, hidden + c, n, 0);
    if (kept) put16(kept, at + hidden, up, n, half);
    y *= up;
  }
  if (kept) put16(kept, at, x, n, half);
  put16(activated, r * hidden + c, y, n, half);
}

// The rest of a row apart: its copies of so many bytes are calls, over which no constant stays in a register.
INLINE void activate(int kind, int half, const float *pre, const float *bias, void *kept, void *activated,
                     long rows, long hidden) {
  for (long r = 0; r < rows; r++) {
    long c = 0;
    for (; c + 16 <= hidden; c += 16) activate_block(kind, half, pre, bias, kept, activated, hidden, r, c, 16);
    if (c < hidden) activate_block(kind, half, pre, bias, kept, activated, hidden, r, c, hidden - c);
  }
}

void KERNEL(mmoe_activate)(mmoe_activation kind, float *pre, const float *bias, float *activated,
                           long rows, long hidden) {
  float *kept = bias ? pre : NULL;
  switch (kind) {
    case MMOE_GELU: activate(MMOE_GELU, 0, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_GELU_ERF: activate(MMOE_GELU_ERF, 0, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_QUICK_GELU: activate(MMOE_QUICK_GELU, 0, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_SWIGLU: activate(MMOE_SWIGLU, 0, pre, bias, kept, activated, rows, hidden); break;
  }
}

void KERNEL(mmoe_activate_bf16)(mmoe_activation kind, const float *pre, const float *bias, uint16_t *kept,
                                uint16_t *activated, long rows, long hidden) {
  switch (kind) {
    case MMOE_GELU: activate(MMOE_GELU, 1, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_GELU_ERF: activate(MMOE_GELU_ERF, 1, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_QUICK_GELU: activate(MMOE_QUICK_GELU, 1, pre, bias, kept, activated, rows, hidden); break;
    case MMOE_SWIGLU: activate(MMOE_SWIGLU, 1, pre, bias, kept, activated, rows, hidden); break;
  }
}

// `columns` (a constant) columns over all rows, of which the last n <= 16 make a block; the column sums stay in
// registers.
INLINE void activate_backward_block(int kind, int half, void *pre, const float *grad, void *activated,
                                    float *sums, long rows, long hidden, long c, long n, int blocks) {
  long width = kind == MMOE_SWIGLU ? 2 * hidden : hidden;
  f16 total[4] = {splat(0), splat(0), splat(0), splat(0)}, totalUp[4] = {splat(0), splat(0), splat(0), splat(0)};
  for (long r = 0; r < rows; r++) {
    // Or the totals would be in memory.
#pragma clang loop unroll(full)
    for (int j = 0; j < blocks; j++) {
      long at = r * width + c + 16 * j, own = r * hidden + c + 16 * j;
      f16 x = get16(pre, at, n, half), d = get16(grad, own, n, 0);
      f16 s = gate16(kind, x);
      f16 y = x * s, dx = d * slope16(kind, x, s);
      if (kind == MMOE_SWIGLU) {
        f16 up = get16(pre, at + hidden, n, half);
        f16 dUp = d * y;
        put16(pre, at + hidden, dUp, n, half);
        totalUp[j] += dUp;
        y *= up;
        dx *= up;
      }
      put16(activated, own, y, n, half);
      put16(pre, at, dx, n, half);
      total[j] += dx;
    }
  }
  if (!sums) return;
  for (int j = 0; j < blocks; j++) {
    store_tail(sums + c + 16 * j, total[j], n);
    if (kind == MMOE_SWIGLU) store_tail(sums + hidden + c + 16 * j, totalUp[j], n);
  }
}

// Blocks of 64 columns read whole cache lines in turn.
INLINE void activate_backward(int kind, int half, void *pre, const float *grad, void *activated,
                              float *sums, long rows, long hidden) {
  long c = 0;
  for (; c + 64 <= hidden; c += 64)
    activate_backward_block(kind, half, pre, grad, activated, sums, rows, hidden, c, 16, 4);
  for (; c + 16 <= hidden; c += 16)
    activate_backward_block(kind, half, pre, grad, activated, sums, rows, hidden, c, 16, 1);
  if (c < hidden)
    activate_backward_block(kind, half, pre, grad, activated, sums, rows, hidden, c, hidden - c, 1);
}

void KERNEL(mmoe_activate_backward)(mmoe_activation kind, float *pre, const float *grad,
                                    float *activated, float *columnSums, long rows, long hidden) {
  switch (kind) {
    case MMOE_GELU: activate_backward(MMOE_GELU, 0, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_GELU_ERF: activate_backward(MMOE_GELU_ERF, 0, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_QUICK_GELU: activate_backward(MMOE_QUICK_GELU, 0, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_SWIGLU: activate_backward(MMOE_SWIGLU, 0, pre, grad, activated, columnSums, rows, hidden); break;
  }
}

void KERNEL(mmoe_activate_backward_bf16)(mmoe_activation kind, uint16_t *pre, const float *grad,
                                         uint16_t *activated, float *columnSums, long rows, long hidden) {
  switch (kind) {
    case MMOE_GELU: activate_backward(MMOE_GELU, 1, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_GELU_ERF: activate_backward(MMOE_GELU_ERF, 1, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_QUICK_GELU: activate_backward(MMOE_QUICK_GELU, 1, pre, grad, activated, columnSums, rows, hidden); break;
    case MMOE_SWIGLU: activate_backward(MMOE_SWIGLU, 1, pre, grad, activated, columnSums, rows, hidden); break;
  }
}
