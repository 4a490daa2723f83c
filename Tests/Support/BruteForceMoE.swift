import Foundation

/// The stupid oracle: a mixture-of-experts layer as loops over tokens and experts in double precision. No sorting,
/// no buffers, no code of the library.
public struct BruteForceMoE {
  public let experts: Int
  public let width: Int
  public let hidden: Int
  public var gate: [Double]  // [E, d]
  public var w1: [Double]  // [E, h, d]
  public var b1: [Double]  // [E, h]
  public var w2: [Double]  // [E, d, h]
  public var b2: [Double]  // [E, d]

  public init(
    experts: Int, width: Int, hidden: Int, gate: [Float], w1: [Float], b1: [Float], w2: [Float],
    b2: [Float]
  ) {
    self.experts = experts
    self.width = width
    self.hidden = hidden
    self.gate = gate.map(Double.init)
    self.w1 = w1.map(Double.init)
    self.b1 = b1.map(Double.init)
    self.w2 = w2.map(Double.init)
    self.b2 = b2.map(Double.init)
  }

  /// Gradients of `Σ y · dy` and of nothing else.
  public struct Gradients {
    public var x, gate, w1, b1, w2, b2: [Double]
  }

  public struct Output {
    public var y: [Double]
    public var chosen: [[Int]]
    public var kept: [[Bool]]
    public var gradients: Gradients
  }

  private func gelu(_ v: Double) -> (value: Double, slope: Double) {
    let c = (2 / Double.pi).squareRoot()
    let t = tanh(c * (v + 0.044715 * v * v * v))
    let slope = 0.5 * (1 + t) + 0.5 * v * (1 - t * t) * c * (1 + 3 * 0.044715 * v * v)
    return (0.5 * v * (1 + t), slope)
  }

  /// - Parameters:
  ///   - capacity: rows an expert may take; nil = all.
  ///   - renormalize: chosen probabilities are divided by their sum, before drops.
  public func run(
    x: [Double], dy: [Double], k: Int, renormalize: Bool, capacity: Int? = nil
  ) -> Output {
    let tokens = x.count / width
    var probabilities: [[Double]] = []
    var chosen: [[Int]] = []
    for t in 0..<tokens {
      let z = (0..<experts).map { e in
        (0..<width).reduce(0.0) { $0 + gate[e * width + $1] * x[t * width + $1] }
      }
      let top = z.max()!
      let total = z.reduce(0) { $0 + exp($1 - top) }
      let p = z.map { exp($0 - top) / total }
      probabilities.append(p)
      // Best first, ties to the lower index.
      chosen.append(
        Array((0..<experts).sorted { p[$0] != p[$1] ? p[$0] > p[$1] : $0 < $1 }.prefix(k)))
    }
    var taken = [Int](repeating: 0, count: experts)
    var kept = Array(repeating: Array(repeating: true, count: k), count: tokens)
    for choice in 0..<k {
      for t in 0..<tokens {
        let e = chosen[t][choice]
        kept[t][choice] = capacity.map { taken[e] < $0 } ?? true
        taken[e] += 1
      }
    }

    var y = [Double](repeating: 0, count: x.count)
    var g = Gradients(
      x: y, gate: gate.map { _ in 0 }, w1: w1.map { _ in 0 }, b1: b1.map { _ in 0 },
      w2: w2.map { _ in 0 }, b2: b2.map { _ in 0 })
    for t in 0..<tokens {
      let p = probabilities[t]
      let sum = renormalize ? chosen[t].reduce(0) { $0 + p[$1] } : 1
      var dWeight = [Double](repeating: 0, count: k)
      for choice in 0..<k where kept[t][choice] {
        let e = chosen[t][choice]
        let weight = p[e] / sum
        let pre = (0..<hidden).map { h in
          (0..<width).reduce(b1[e * hidden + h]) {
            $0 + w1[(e * hidden + h) * width + $1] * x[t * width + $1]
          }
        }
        let act = pre.map(gelu)
        var dAct = [Double](repeating: 0, count: hidden)
        for c in 0..<width {
          var out = b2[e * width + c]
          for h in 0..<hidden { out += w2[(e * width + c) * hidden + h] * act[h].value }
          y[t * width + c] += weight * out
          let d = dy[t * width + c]
          dWeight[choice] += d * out
          g.b2[e * width + c] += weight * d
          for h in 0..<hidden {
            g.w2[(e * width + c) * hidden + h] += weight * d * act[h].value
            dAct[h] += weight * d * w2[(e * width + c) * hidden + h]
          }
        }
        for h in 0..<hidden {
          let d = dAct[h] * act[h].slope
          g.b1[e * hidden + h] += d
          for c in 0..<width {
            g.w1[(e * hidden + h) * width + c] += d * x[t * width + c]
            g.x[t * width + c] += d * w1[(e * hidden + h) * width + c]
          }
        }
      }
      // Through the weights to the probabilities, then through the softmax to logits, gate and input.
      var dp = [Double](repeating: 0, count: experts)
      let inner = zip(dWeight, chosen[t]).reduce(0) { $0 + $1.0 * p[$1.1] / sum }
      for choice in 0..<k {
        dp[chosen[t][choice]] += renormalize ? (dWeight[choice] - inner) / sum : dWeight[choice]
      }
      let mean = zip(dp, p).reduce(0) { $0 + $1.0 * $1.1 }
      for e in 0..<experts {
        let dz = p[e] * (dp[e] - mean)
        for c in 0..<width {
          g.gate[e * width + c] += dz * x[t * width + c]
          g.x[t * width + c] += dz * gate[e * width + c]
        }
      }
    }
    return Output(y: y, chosen: chosen, kept: kept, gradients: g)
  }
}

/// The largest difference over the largest magnitude of the reference.
public func relativeError(_ found: [Float], _ expected: [Double]) -> Double {
  precondition(found.count == expected.count, "\(found.count) against \(expected.count) values")
  let scale = max(expected.map(abs).max() ?? 0, 1e-12)
  return zip(found, expected).map { abs(Double($0) - $1) }.max().map { $0 / scale } ?? 0
}
