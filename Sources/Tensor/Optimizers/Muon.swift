import CKernels

/// Muon (Jordan et al. 2024; as in Liu et al., arXiv 2502.16982, section 2): a matrix moves along its momentum with all
/// singular values brought near 1, so that rare directions of the gradient get steps as long as frequent ones.
///
///     m ← momentum · m + g;  u = g + momentum · m;  O = Newton–Schulz(u / (‖u‖ + ε))
///     p ← p − lr · wd · p − lr · 0.2 · √max(rows, columns) · O
///
/// The factor gives a step about the size of AdamW's, so that both have one learning rate and one decay. Every expert's
/// matrix of a stack is a matrix of its own; the projections of Q, K and V, and the halves of a gated MLP's first
/// weight, are one, as they are stored.
///
/// **AdamW's are** by role: `embeddings` and `head`, whose rows are looked up or read one by one, so that a batch says much
/// of few rows and nothing of most; `router`, whose rows are one an expert: steps of equal length in every direction would
/// move choices as far for noise as for what was learned; `loss_weights`; and of every role what is no matrix: `norms`,
/// biases.
///
/// A matrix of sides s ≤ l costs s² (4 l + 2 s) operations an iteration, whatever the batch: 309 GFLOP a step of `gpt-small`
/// beside the 419 of its 2,048 tokens. They took 39 % of a step of 3,674 ms; with AdamW, which took 1 %, it was 2,208 ms
/// (`mmoe bench train --preset gpt-small --profile --steps 2 --set optimizer.kind=muon`, and without it, two Zen 4 cores).
public struct Muon: Optimizer {
  public static let name = "muon"
  public static let summary =
    "orthogonalized momentum for the matrices of attention, MLPs and experts, adamw for the rest"
  public static let keys = AdamW.keys.union(["momentum", "ns_steps"])

  /// Whether the step looks ahead: u = g + momentum · m, else u = m.
  public var nesterov = true
  /// a, b and c of X ← a X + (b A + c A²) X with A = X Xᵀ.
  public var coefficients: (a: Float, b: Float, c: Float) = (3.4445, -4.7750, 2.0315)
  /// Added to the norm of u.
  public var epsilon = 1e-7
  /// Of the step's length.
  public var scale = 0.2
  package let momentum: Float
  private let iterations: Int
  private let rest: AdamW

  public init(_ config: OptimizerConfig) {
    (momentum, iterations, rest) = (Float(config.momentum), config.nsSteps, AdamW(config))
  }

  /// Rows and columns of a parameter's matrices; nil where it is AdamW's.
  private static func matrix(of parameter: Parameter) -> (rows: Int, columns: Int)? {
    let own = parameter.shape.suffix(parameter.experts == nil ? parameter.shape.count : parameter.shape.count - 1)
    guard own.count == 2, [.attention, .mlp, .experts].contains(parameter.role) else { return nil }
    // A single number has no direction but its sign.
    let (rows, columns) = (own[own.startIndex], own[own.startIndex + 1])
    return rows * columns > 1 ? (rows, columns) : nil
  }

  public func state(of parameter: Parameter) -> [String] {
    Muon.matrix(of: parameter) == nil ? rest.state(of: parameter) : ["momentum"]
  }

  public func unit(of parameter: Parameter) -> Int { Muon.matrix(of: parameter).map { $0.rows * $0.columns } ?? 1 }

  public func flops(of parameter: Parameter) -> Double {
    guard let (rows, columns) = Muon.matrix(of: parameter) else { return 0 }
    return Double(parameter.count / (rows * columns)) * Double(iterations) * Muon.flops(rows, columns)
  }

  /// Of one iteration: X Xᵀ, A² and B X.
  private static func flops(_ rows: Int, _ columns: Int) -> Double {
    let (small, large) = (Double(min(rows, columns)), Double(max(rows, columns)))
    return small * small * (4 * large + 2 * small)
  }

  /// One tile is one matrix, on one thread; the largest come first, so that threads end together.
  public func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine) {
    let shapes = tiles.map { Muon.matrix(of: $0.parameter) }
    let costs = shapes.map { $0.map { Muon.flops($0.rows, $0.columns) } ?? 0 }
    let order = tiles.indices.sorted { (costs[$0], $1) > (costs[$1], $0) }
    let room = shapes.map { $0.map { Workspace.count($0.rows, $0.columns) } ?? 0 }.max() ?? 0
    let memory = Tensor(uninitialized: [engine.threads, max(1, room)])
    let corrections = rest.corrections(number)
    engine.pool.run(tiles.count) { i, worker in
      let tile = tiles[order[i]]
      guard let (rows, columns) = shapes[order[i]] else {
        rest.update(tile, scale: scale, corrections)
        return
      }
      let m = tile.state[0]
      mmoe_scale(m, m, momentum, tile.count)
      mmoe_axpy(m, tile.gradient, scale, tile.count)
      let work = Workspace(memory.pointer + worker * room, rows, columns)
      mmoe_scale(work.x, m, nesterov ? momentum : 1, tile.count)
      if nesterov { mmoe_axpy(work.x, tile.gradient, scale, tile.count) }
      let direction = orthogonalize(work, engine)
      mmoe_scale(tile.values, tile.values, 1 - tile.lr * tile.decay, tile.count)
      let length = Float(self.scale * Double(max(rows, columns)).squareRoot())
      mmoe_axpy(tile.values, direction, -tile.lr * length, tile.count)
    }
  }

  /// Memory for one matrix: X and the next X, A and B of the shorter side.
  private struct Workspace {
    let rows, columns: Int
    let x, next, a, b: UnsafeMutablePointer<Float>

    static func count(_ rows: Int, _ columns: Int) -> Int {
      2 * rows * columns + 2 * min(rows, columns) * min(rows, columns)
    }

    init(_ memory: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int) {
      (self.rows, self.columns) = (rows, columns)
      (x, next, a) = (memory, memory + rows * columns, memory + 2 * rows * columns)
      b = a + min(rows, columns) * min(rows, columns)
    }
  }

  /// Newton–Schulz iterations from `work.x`, on the calling thread.
  ///
  /// - Returns: where the result stands in the workspace.
  private func orthogonalize(_ work: Workspace, _ engine: Engine) -> UnsafeMutablePointer<Float> {
    let (rows, columns) = (work.rows, work.columns)
    let (count, side, isTall) = (rows * columns, min(rows, columns), rows > columns)
    var (x, next) = (work.x, work.next)
    mmoe_scale(x, x, Float(1 / (mmoe_sum_of_squares(x, count).squareRoot() + epsilon)), count)
    for _ in 0..<iterations {
      // Of a tall matrix the transpose is meant: A = Xᵀ X, and B X becomes X B.
      engine.product(isTall, !isTall, side, side, max(rows, columns), x, columns, x, columns, work.a, side)
      // B = a + b A + c A², whose a saves a pass over X.
      mmoe_scale(work.b, work.a, coefficients.b, side * side)
      engine.product(
        false, false, side, side, side, alpha: coefficients.c, work.a, side, work.a, side, beta: 1, work.b, side)
      for i in 0..<side { work.b[i * side + i] += coefficients.a }
      if isTall {
        engine.product(false, false, rows, columns, side, x, columns, work.b, side, next, columns)
      } else {
        engine.product(false, false, rows, columns, side, work.b, side, x, columns, next, columns)
      }
      swap(&x, &next)
    }
    return x
  }

  /// O of u, for a stack of matrices `[…, rows, columns]`.
  package func orthogonalized(_ u: Tensor, engine: Engine) -> Tensor {
    let (rows, columns) = (u.shape[u.shape.count - 2], u.shape[u.shape.count - 1])
    let memory = Tensor(uninitialized: [Workspace.count(rows, columns)])
    let work = Workspace(memory.pointer, rows, columns)
    let result = Tensor(uninitialized: u.shape)
    for start in stride(from: 0, to: u.count, by: rows * columns) {
      work.x.update(from: u.pointer + start, count: rows * columns)
      (result.pointer + start).update(from: orthogonalize(work, engine), count: rows * columns)
    }
    return result
  }
}
