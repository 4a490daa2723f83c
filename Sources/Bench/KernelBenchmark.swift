import CKernels
import MMoETensor
import MMoETrain

/// Element-wise kernels on one core: bytes moved a second, to be compared with the memory's rate.
package enum KernelBenchmark {
  package struct Row: Codable, Sendable {
    package let kernel: String
    package let rows: Int
    package let columns: Int
    /// 10⁹ elements a second, best round.
    package let gelementsPerSecond: Double
    /// 10⁹ bytes read and written a second.
    package let gigabytesPerSecond: Double
  }

  /// Times every kernel on a tile that fits the second-level cache and on one that does not.
  package static func table() -> [Row] {
    [(64, 768), (4096, 768)].flatMap { rows, columns in measure(rows: rows, columns: columns) }
  }

  private static func measure(rows: Int, columns: Int) -> [Row] {
    let n = rows * columns
    let random = CounterRandom(seed: 1, purpose: .benchmark)
    func tensor() -> Tensor {
      let tensor = Tensor(uninitialized: [rows, columns])
      for i in 0..<n { tensor.pointer[i] = random.normal(UInt64(i)) }
      return tensor
    }
    let (a, b, c, d) = (tensor(), tensor(), tensor(), tensor())
    let (pa, pb, pc, pd) = (a.pointer, b.pointer, c.pointer, d.pointer)
    let adamW = AdamW(OptimizerConfig()).passes(of: Parameter(path: "a", role: .mlp, value: a, decays: true))
    let bias = Tensor(repeating: 0.01, shape: [columns])
    let statistics = Tensor.zeros([4, max(rows, columns)])
    let (ps, width) = (statistics.pointer, max(rows, columns))
    /// `arrays`: how many arrays of n floats are read or written.
    func row(_ name: String, arrays: Int, _ body: () -> Void) -> Row {
      var best = Double.infinity
      let start = monotonicSeconds()
      repeat {
        let began = monotonicSeconds()
        body()
        best = min(best, monotonicSeconds() - began)
      } while monotonicSeconds() - start < 0.2
      return Row(
        kernel: name, rows: rows, columns: columns, gelementsPerSecond: Double(n) / best / 1e9,
        gigabytesPerSecond: Double(4 * n * arrays) / best / 1e9)
    }
    return [
      row("add", arrays: 3) { mmoe_add(pa, pb, n) },
      row("bias + GELU", arrays: 3) { mmoe_activate(MMOE_GELU, pa, nil, pb, rows, columns) },
      row("GELU backward", arrays: 4) { mmoe_activate_backward(MMOE_GELU, pc, pa, pb, ps, rows, columns) },
      row("layer norm", arrays: 2) {
        mmoe_layer_norm(
          pb, pa, bias.pointer, bias.pointer, ps, ps + width, 1e-5, rows, columns)
      },
      row("softmax", arrays: 2) { mmoe_softmax_rows(pd, ps, rows, columns, columns, 0, 0) },
      row("AdamW", arrays: adamW) { mmoe_adamw(pa, pb, pc, pd, 1, 0, 0, 0.9, 0.999, 1e-8, 1, 1, n) },
    ]
  }
}
