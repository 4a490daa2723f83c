void KERNEL(mmoe_route)(const float *logits, const float *selectionBias,
                            const int32_t *exclude, float *probabilities, int32_t *experts,
                            float *gates, float *logSumExp, long T, long E, long k,
                            int renormalize) {
  // 0, or NaN where a bias is not finite: the choice then means nothing.
  float doubt = 0;
  for (long e = 0; e < E && selectionBias; e++) doubt += 0 * selectionBias[e];
  for (long t = 0; t < T; t++) {
    const float *z = logits + t * E;
    float *p = probabilities + t * E;
    float m = z[0];
    for (long e = 1; e < E; e++) m = z[e] > m ? z[e] : m;
    float sum = 0;
    for (long e = 0; e < E; e++) sum += p[e] = exponential(z[e] - m);
    float inverse = 1.0f / sum;
    for (long e = 0; e < E; e++) p[e] *= inverse;
    logSumExp[t] = m + logarithm(sum);

    for (long j = 0; j < k; j++) {
      long best = -1;
      float bestScore = 0;
      for (long e = 0; e < E; e++) {
        if (exclude && exclude[t] == e) continue;
        // Only what `confine` has set: a logit that overflowed still is one of an expert that the token may take.
        if (z[e] == MMOE_FOREIGN) continue;
        int taken = 0;
        for (long i = 0; i < j; i++) taken |= experts[t * k + i] == e;
        if (taken) continue;
        float score = selectionBias ? p[e] + selectionBias[e] : p[e];
        // Strictly greater: ties go to the lower index. NaN scores still choose an expert, so
        // that the non-finite check reports them instead of an index out of range here.
        if (best < 0 || score > bestScore) {
          best = e;
          bestScore = score;
        }
      }
      experts[t * k + j] = (int32_t)best;
    }
    // One NaN makes all probabilities NaN, and a choice among them means nothing.
    float undecided = 0 * p[0] + doubt, *g = gates + t * k;
    if (!renormalize) {
      for (long j = 0; j < k; j++) g[j] = p[experts[t * k + j]] + undecided;
      continue;
    }
    // From the logits: with a bias all chosen probabilities may be too small for a float.
    float top = z[experts[t * k]], chosenSum = 0;
    for (long j = 1; j < k; j++) top = z[experts[t * k + j]] > top ? z[experts[t * k + j]] : top;
    for (long j = 0; j < k; j++) chosenSum += g[j] = exponential(z[experts[t * k + j]] - top);
    for (long j = 0; j < k; j++) g[j] = g[j] / chosenSum + undecided;
  }
}

void KERNEL(mmoe_gather_rows)(float *y, const float *x, const int32_t *source, long rows,
                                  long columns) {
  for (long r = 0; r < rows; r++) {
    if (source[r] >= 0)
      memcpy(y + r * columns, x + (long)source[r] * columns, (size_t)columns * sizeof(float));
    else
      memset(y + r * columns, 0, (size_t)columns * sizeof(float));
  }
}

void KERNEL(mmoe_combine_rows)(float *y, const float *x, const int32_t *position,
                                   const float *weight, int accumulate, long T, long k,
                                   long columns) {
  for (long t = 0; t < T; t++) {
    float *out = y + t * columns;
    if (!accumulate) memset(out, 0, (size_t)columns * sizeof(float));
    for (long j = 0; j < k; j++) {
      long at = position[t * k + j];
      if (at < 0) continue;
      const float *in = x + at * columns;
      float w = weight ? weight[t * k + j] : 1.0f;
      for (long c = 0; c < columns; c++) out[c] += w * in[c];
    }
  }
}

void KERNEL(mmoe_combine_backward)(float *dx, float *dWeight, const float *dy, const float *x,
                                       const int32_t *position, const float *weight, long T,
                                       long k, long columns) {
  long whole = columns / 16 * 16;
  for (long t = 0; t < T; t++) {
    const float *g = dy + t * columns;
    for (long j = 0; j < k; j++) {
      long at = position[t * k + j];
      if (at < 0) {
        dWeight[t * k + j] = 0;
        continue;
      }
      const float *in = x + at * columns;
      float *out = dx + at * columns, w = weight[t * k + j];
      f16 total = splat(0);
      for (long c = 0; c < whole; c += 16) {
        f16 d = load16(g + c);
        total += d * load16(in + c);
        store16(out + c, w * d);
      }
      float tail = 0;
      for (long c = whole; c < columns; c++) {
        tail += g[c] * in[c];
        out[c] = w * g[c];
      }
      dWeight[t * k + j] = sum16(total) + tail;
    }
  }
}

void KERNEL(mmoe_identity_rows)(float *y, const float *x, const int32_t *experts, const float *gates,
                                int32_t first, long T, long k, long columns) {
  for (long t = 0; t < T; t++) {
    float w = 0;
    int chosen = 0;
    for (long j = 0; j < k; j++) {
      if (experts[t * k + j] < first) continue;
      w += gates[t * k + j];
      chosen = 1;
    }
    // Not "w is 0": 0 times a NaN is NaN.
    if (!chosen) continue;
    const float *in = x + t * columns;
    float *out = y + t * columns;
    for (long c = 0; c < columns; c++) out[c] += w * in[c];
  }
}

void KERNEL(mmoe_identity_backward)(float *dx, float *dGates, const float *dy, const float *x,
                                    const int32_t *experts, const float *gates, int32_t first, long T,
                                    long k, long columns) {
  long whole = columns / 16 * 16;
  for (long t = 0; t < T; t++) {
    float w = 0;
    int chosen = 0;
    for (long j = 0; j < k; j++) {
      dGates[t * k + j] = 0;
      if (experts[t * k + j] < first) continue;
      w += gates[t * k + j];
      chosen = 1;
    }
    float *out = dx + t * columns;
    const float *in = x + t * columns, *g = dy + t * columns;
    for (long c = 0; c < columns; c++) out[c] = w * g[c];
    if (!chosen) continue;
    f16 total = splat(0);
    for (long c = 0; c < whole; c += 16) total += load16(g + c) * load16(in + c);
    float tail = 0;
    for (long c = whole; c < columns; c++) tail += g[c] * in[c];
    for (long j = 0; j < k; j++)
      if (experts[t * k + j] >= first) dGates[t * k + j] = sum16(total) + tail;
  }
}

void KERNEL(mmoe_route_backward)(float *dLogits, const float *probabilities,
                                 const int32_t *experts, const float *gates, const float *dGates,
                                 const float *dProbabilities, const float *dLogSumExp, long T,
                                 long E, long k, int renormalize) {
  for (long t = 0; t < T; t++) {
    const float *p = probabilities + t * E;
    const float *dp = dProbabilities ? dProbabilities + t * E : 0;
    float *dz = dLogits + t * E;
    const float *g = gates + t * k, *dg = dGates ? dGates + t * k : 0;
    const int32_t *own = experts + t * k;
    // Softmax: dz_e = p_e (dp_e - sum_i p_i dp_i). The gates are some of the probabilities, or renormalized a softmax of
    // their own, over the chosen logits.
    float inner = 0, chosen = 0;
    for (long j = 0; j < k && dg; j++) chosen += dg[j] * g[j];
    if (!renormalize) inner += chosen;
    if (dp)
      for (long e = 0; e < E; e++) inner += dp[e] * p[e];
    float common = (dLogSumExp ? dLogSumExp[t] : 0) - inner;
    if (dp)
      for (long e = 0; e < E; e++) dz[e] += p[e] * (dp[e] + common);
    else
      for (long e = 0; e < E; e++) dz[e] += p[e] * common;
    for (long j = 0; j < k && dg; j++) dz[own[j]] += renormalize ? g[j] * (dg[j] - chosen) : g[j] * dg[j];
  }
}
