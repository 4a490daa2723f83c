import MMoEFiles
import MMoETensor

/// Matrix products as the hardware limit: what the model's speed is compared with.
package enum ProductBenchmark {
  package struct Row: Codable, Sendable {
    package let backend: String
    package let transposeA: Bool
    package let transposeB: Bool
    package let m: Int
    package let n: Int
    package let k: Int
    package let gflops: Double
  }

  /// The hardware limit of matrix products: the larger of OpenBLAS' and oneDNN's rate at 2048³ on all threads, the best of
  /// several rounds. A benchmark takes its rounds between its steps, so that both have the machine in the same state.
  package final class Peak {
    /// In GFLOP/s; 0 before the first round.
    package private(set) var gflops = 0.0
    private let engines: [Engine]

    /// - Parameter dtype: what the products read.
    /// - Throws: `EngineError` when no backend can be loaded.
    package init(threads: Int, dtype: DType = .float32) throws {
      engines = BLASBackend.allCases.compactMap { try? Engine(threads: threads, backend: $0, dtype: dtype) }
      guard !engines.isEmpty else {
        throw EngineError("no BLAS backend can be loaded; install libopenblas-dev")
      }
    }

    /// One product, or more within `seconds`, by each library.
    package func measure(seconds: Double = 0) {
      for engine in engines {
        gflops = max(gflops, ProductBenchmark.rate(engine, m: 2048, n: 2048, k: 2048, seconds: seconds))
      }
    }
  }

  /// GFLOP/s of `C[m, n] = A · B` cut into the tiles that the operations use, best round within `seconds`.
  package static func rate(
    _ engine: Engine, transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int,
    seconds: Double
  ) -> Double {
    let a = engine.operand(Tensor(repeating: 0.5, shape: [m, k]))
    let b = engine.operand(Tensor(repeating: 0.25, shape: [k, n]))
    let c = Tensor(uninitialized: [m, n])
    var best = Double.infinity
    let start = monotonicSeconds()
    repeat {
      let begin = monotonicSeconds()
      engine.tiledProduct(transposeA, transposeB, m, n, k, a, b, c)
      best = min(best, monotonicSeconds() - begin)
    } while monotonicSeconds() - start < seconds
    return 2 * Double(m) * Double(n) * Double(k) / best / 1e9
  }

  /// The shapes of a preset's layers, for each backend.
  package static func table(threads: Int, rows: Int, width: Int, hidden: Int) throws -> [Row] {
    var result: [Row] = []
    for backend in BLASBackend.allCases {
      guard let engine = try? Engine(threads: threads, backend: backend) else { continue }
      let shapes: [(Bool, Bool, Int, Int, Int)] = [
        (false, false, 2048, 2048, 2048),
        (false, true, rows, hidden, width), (false, true, rows, width, hidden),
        (false, false, rows, width, hidden), (false, false, rows, hidden, width),
        (true, false, hidden, width, rows), (true, false, width, hidden, rows),
      ]
      for (ta, tb, m, n, k) in shapes {
        result.append(
          Row(
            backend: backend.rawValue, transposeA: ta, transposeB: tb, m: m, n: n, k: k,
            gflops: rate(engine, transposeA: ta, transposeB: tb, m: m, n: n, k: k, seconds: 0.3)))
      }
    }
    return result
  }
}
