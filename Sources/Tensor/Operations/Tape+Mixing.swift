import Foundation

/// How the shared expert's and the routed experts' outputs are joined (arXiv 2404.05019, section 3.3).
public enum Combination: String, CaseIterable, Sendable, Codable {
  /// shared + routed
  case add
  /// CG-1: sigmoid(w · z) · shared + routed
  case cg1
  /// CG-2: q = softmax(W z); q₀ · shared + q₁ · routed
  case cg2
}

extension Tape {
  /// Joins shared and routed outputs with coefficients computed from `z` token by token (CG-1, CG-2).
  ///
  /// - Parameters:
  ///   - shared, routed, z: `[T, d]`.
  ///   - weight: `[1, d]` for CG-1, `[2, d]` for CG-2.
  package func coefficientGate(
    _ kind: Combination, shared: Tensor, routed: Tensor, z: Tensor, weight: Parameter
  ) -> Tensor {
    let weight = read(weight)
    let (rows, d) = (shared.rows, shared.columns)
    precondition(kind != .add && weight.shape[0] == (kind == .cg1 ? 1 : 2), "coefficientGate")
    let y = Tensor(uninitialized: shared.shape)
    // [rows, 2]: the factors of shared and routed.
    let factors = Tensor(uninitialized: [rows, 2])
    timed("coefficient gate") {
      let (ps, pr, pz, py) = (shared.pointer, routed.pointer, z.pointer, y.pointer)
      let (pw, pf) = (weight.value.pointer, factors.pointer)
      engine.forRowTiles(rows, target: 256) { r, _, _ in
        for t in r {
          let first = dot(pw, pz + t * d, d)
          if kind == .cg1 {
            pf[2 * t] = 1 / (1 + expf(-first))
            pf[2 * t + 1] = 1
          } else {
            let second = dot(pw + d, pz + t * d, d)
            pf[2 * t] = 1 / (1 + expf(second - first))
            pf[2 * t + 1] = 1 / (1 + expf(first - second))
          }
          let (a, b) = (pf[2 * t], pf[2 * t + 1])
          for c in 0..<d { py[t * d + c] = a * ps[t * d + c] + b * pr[t * d + c] }
        }
      }
    }
    record("coefficient gate", y) { [self] dY in
      let (dShared, dRouted) = (
        Tensor(uninitialized: shared.shape), Tensor(uninitialized: routed.shape)
      )
      let logits = Tensor(uninitialized: [rows, 2])
      let (ps, pr, pf, pd) = (shared.pointer, routed.pointer, factors.pointer, dY.pointer)
      let (pds, pdr, pl) = (dShared.pointer, dRouted.pointer, logits.pointer)
      engine.forRowTiles(rows, target: 256) { r, _, _ in
        for t in r {
          let (a, b) = (pf[2 * t], pf[2 * t + 1])
          for c in t * d..<(t + 1) * d {
            pds[c] = a * pd[c]
            pdr[c] = b * pd[c]
          }
          let da = dot(pd + t * d, ps + t * d, d)
          if kind == .cg1 {
            pl[2 * t] = da * a * (1 - a)
            pl[2 * t + 1] = 0
          } else {
            let db = dot(pd + t * d, pr + t * d, d)
            pl[2 * t] = a * b * (da - db)
            pl[2 * t + 1] = -pl[2 * t]
          }
        }
      }
      let count = weight.shape[0]
      if let dW = weight.gradientTarget() {
        engine.product(
          true, false, count, d, rows, pl, 2, z.pointer, d, beta: dW.beta, dW.pointer, d)
      }
      if let dZ = gradientTarget(z) {
        engine.product(
          false, false, rows, d, count, pl, 2, weight.value.pointer, d, beta: dZ.beta,
          dZ.pointer, d)
      }
      accumulate(dShared, into: shared)
      accumulate(dRouted, into: routed)
    }
    return y
  }
}
