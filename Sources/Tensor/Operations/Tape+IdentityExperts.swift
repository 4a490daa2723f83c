import CKernels

extension Tape {
  /// Adds what identity experts return, their input: `y[t] = base[t] + (Σ_{j: e_tj ≥ first} gates[t, j]) · x[t]`
  /// ("zero-computation experts", LongCat-Flash, arXiv 2509.01322).
  ///
  /// - Parameters:
  ///   - x: `[T, d]`, what the gate read.
  ///   - choice: of k experts a token; those numbered from `first` are identities.
  ///   - base: `[T, d]`.
  package func identityExperts(_ x: Tensor, _ choice: GateChoice, first: Int, base: Tensor) -> Tensor {
    let (d, tokens, k) = (x.columns, choice.tokens, choice.k)
    let (gates, experts, first) = (choice.gates, choice.experts, Int32(first))
    let y = Tensor(uninitialized: base.shape)
    timed("identity experts") {
      let (px, py, pg, pb) = (x.pointer, y.pointer, gates.pointer, base.pointer)
      experts.withUnsafeBufferPointer { buffer in
        let pe = buffer.baseAddress!
        engine.forRowTiles(tokens, target: 512) { r, _, _ in
          let t = r.lowerBound
          (py + t * d).update(from: pb + t * d, count: r.count * d)
          mmoe_identity_rows(py + t * d, px + t * d, pe + t * k, pg + t * k, first, r.count, k, d)
        }
      }
    }
    record("identity experts", y) { [self] dY in
      let (dX, dGates) = (Tensor(uninitialized: x.shape), Tensor(uninitialized: gates.shape))
      let (px, pd, pg, pdx, pdg) = (x.pointer, dY.pointer, gates.pointer, dX.pointer, dGates.pointer)
      experts.withUnsafeBufferPointer { buffer in
        let pe = buffer.baseAddress!
        engine.forRowTiles(tokens, target: 512) { r, _, _ in
          let t = r.lowerBound
          mmoe_identity_backward(
            pdx + t * d, pdg + t * k, pd + t * d, px + t * d, pe + t * k, pg + t * k, first, r.count, k, d)
        }
      }
      accumulate(dX, into: x)
      accumulate(dGates, into: gates)
      accumulate(dY, into: base)
    }
    return y
  }
}
