import MMoETensor
import TestSupport
import Testing

/// Every operation against central differences, and for odd sizes that leave vector tails.
@Suite struct GradientTests {
  let engine = try! Engine(threads: 2)

  func expectGradients(
    _ parameters: [Parameter] = [], _ inputs: [(String, Tensor)] = [], step: Float = 1e-2,
    tolerance: Double = 1e-2, _ forward: @escaping (Tape) -> Void
  ) {
    for check in checkGradients(
      engine: engine, parameters: parameters, inputs: inputs, step: step, forward: forward)
    {
      #expect(check.error < tolerance, "\(check)")
    }
  }

  @Test(arguments: [(3, 5, 7), (40, 64, 48), (257, 96, 33)])
  func linear(rows: Int, inner: Int, out: Int) {
    let x = randomTensor([rows, inner], seed: 1)
    let residual = randomTensor([rows, out], seed: 2)
    let factors = randomTensor([rows, out], seed: 3)
    let weight = randomParameter("w", [out, inner], seed: 4)
    let bias = randomParameter("b", [out], seed: 5)
    expectGradients([weight, bias], [("x", x), ("residual", residual)]) { tape in
      tape.innerProduct(
        tape.linear(x, weight: weight, bias: bias, residual: residual), with: factors)
    }
  }

  /// Groups without rows, groups over several tiles.
  @Test(arguments: [[0, 9], [0, 0, 130, 130, 301], [0, 40, 41, 60, 60]])
  func feedForward(offsets: [Int]) {
    let (experts, d, hidden) = (offsets.count - 1, 24, 40)
    let rows = offsets.last!
    let x = randomTensor([rows, d], seed: 1)
    let residual = randomTensor([rows, d], seed: 2)
    let factors = randomTensor([rows, d], seed: 3)
    let w1 = randomParameter("w1", [experts, hidden, d], seed: 4)
    let b1 = randomParameter("b1", [experts, hidden], seed: 5)
    let w2 = randomParameter("w2", [experts, d, hidden], seed: 6)
    let b2 = randomParameter("b2", [experts, d], seed: 7)
    expectGradients([w1, b1, w2, b2], [("x", x), ("residual", residual)], step: 3e-3) { tape in
      let y = tape.feedForward(
        x, offsets: offsets, w1: w1, b1: b1, w2: w2, b2: b2, residual: residual)
      tape.innerProduct(y, with: factors)
    }
  }

  /// A weight with an adapter of random A and B.
  private func adapted(_ name: String, _ shape: [Int], rank: Int, frozen: Bool, seed: UInt64) -> Parameter {
    let weight = randomParameter(name, shape, seed: seed)
    let (stack, out, inner) = (Array(shape.dropLast(2)), shape[shape.count - 2], shape[shape.count - 1])
    weight.adapter = LowRankAdapter(
      a: randomParameter(name + ".a", stack + [rank, inner], seed: seed + 100),
      b: randomParameter(name + ".b", stack + [out, rank], seed: seed + 200), scale: 0.7)
    weight.isFrozen = frozen
    return weight
  }

  private func trained(_ weights: [Parameter]) -> [Parameter] {
    weights.flatMap { [$0.isFrozen ? nil : $0, $0.adapter?.a, $0.adapter?.b].compactMap { $0 } }
  }

  @Test(arguments: [(3, 5, 7, 1), (257, 96, 33, 8)], [true, false])
  func linearWithAdapter(size: (rows: Int, inner: Int, out: Int, rank: Int), frozen: Bool) {
    let x = randomTensor([size.rows, size.inner], seed: 1)
    let residual = randomTensor([size.rows, size.out], seed: 2)
    let factors = randomTensor([size.rows, size.out], seed: 3)
    let weight = adapted("w", [size.out, size.inner], rank: size.rank, frozen: frozen, seed: 4)
    let run = { (tape: Tape) in tape.linear(x, weight: weight, residual: residual) }
    expectGradients(trained([weight]), [("x", x), ("residual", residual)], step: 3e-3) { tape in
      tape.innerProduct(run(tape), with: factors)
    }
    let before = run(Tape(engine, recording: false)).values
    weight.mergeAdapter(engine)
    #expect(relativeError(run(Tape(engine, recording: false)).values, before.map(Double.init)) < 1e-5)
  }

  @Test(arguments: [[0, 9], [0, 0, 130, 130, 301], [0, 2, 3, 4]], [true, false])
  func feedForwardWithAdapters(offsets: [Int], frozen: Bool) {
    let (experts, d, hidden) = (offsets.count - 1, 24, 40)
    let x = randomTensor([offsets.last!, d], seed: 1)
    let factors = randomTensor([offsets.last!, d], seed: 3)
    let w1 = adapted("w1", [experts, 2 * hidden, d], rank: 3, frozen: frozen, seed: 4)
    let b1 = randomParameter("b1", [experts, 2 * hidden], seed: 5)
    let w2 = adapted("w2", [experts, d, hidden], rank: 3, frozen: frozen, seed: 6)
    let run = { (tape: Tape) in
      tape.feedForward(x, offsets: offsets, w1: w1, b1: b1, w2: w2, b2: nil, activation: .swiglu)
    }
    expectGradients(trained([w1, w2]) + [b1], [("x", x)], step: 3e-3) { tape in
      tape.innerProduct(run(tape), with: factors)
    }
    let before = run(Tape(engine, recording: false)).values
    for weight in [w1, w2] { weight.mergeAdapter(engine) }
    #expect(relativeError(run(Tape(engine, recording: false)).values, before.map(Double.init)) < 1e-5)
  }

  /// Rows beyond the last group, undefined where a capacity dropped choices, reach neither outputs nor gradients.
  @Test func feedForwardIgnoresRowsOfNoGroup() {
    let offsets = [0, 7, 20]
    let parameters = [[2, 12, 8], [2, 12], [2, 8, 12], [2, 8]].enumerated().map {
      randomParameter("p\($0)", $1, seed: UInt64($0))
    }
    func run(extra: Int) -> [[Float]] {
      for parameter in parameters { parameter.clearGradient() }
      let x = Tensor(repeating: .nan, shape: [20 + extra, 8])
      let factors = Tensor(repeating: .nan, shape: [20 + extra, 8])
      x.pointer.update(from: randomTensor([20, 8], seed: 1).pointer, count: 160)
      factors.pointer.update(from: randomTensor([20, 8], seed: 2).pointer, count: 160)
      let tape = Tape(engine, recording: true)
      tape.watch(x)
      let y = tape.feedForward(
        x, offsets: offsets, w1: parameters[0], b1: parameters[1], w2: parameters[2],
        b2: parameters[3])
      tape.innerProduct(y, with: factors)
      tape.backward()
      return [Array(y.values[..<160]), Array(x.takeGradient()!.values[..<160])]
        + parameters.map(\.gradient.values)
    }
    let expected = run(extra: 0)
    #expect(expected.allSatisfy { $0.allSatisfy(\.isFinite) })
    #expect(run(extra: 5) == expected)
  }

  @Test(arguments: [(5, 10), (300, 192), (17, 33)])
  func layerNorm(rows: Int, d: Int) {
    let x = randomTensor([rows, d], seed: 1)
    let factors = randomTensor([rows, d], seed: 2)
    let weight = randomParameter("weight", [d], seed: 3)
    let bias = randomParameter("bias", [d], seed: 4)
    expectGradients([weight, bias], [("x", x)]) { tape in
      tape.innerProduct(tape.layerNorm(x, weight: weight, bias: bias), with: factors)
    }
  }

  @Test(arguments: [(2, 7, 12, 3, false), (2, 7, 12, 3, true), (1, 300, 16, 2, true), (3, 65, 32, 2, false)])
  func attention(batch: Int, sequence: Int, d: Int, heads: Int, causal: Bool) {
    let qkv = randomTensor([batch * sequence, 3 * d], seed: 1)
    let factors = randomTensor([batch * sequence, d], seed: 2)
    expectGradients([], [("qkv", qkv)], step: 3e-3) { tape in
      tape.innerProduct(
        tape.attention(
          qkv, sequence: sequence, heads: heads, keyValueHeads: heads, causal: causal), with: factors)
    }
  }

  @Test(arguments: [(1, false), (2, true), (2, false), (3, true)])
  func gate(k: Int, renormalize: Bool) {
    let logits = randomTensor([37, 6], seed: 1)
    let gateFactors = randomTensor([37, k], seed: 2)
    let factors = randomTensor([37, 6], seed: 3)
    let lseFactors = randomTensor([37], seed: 4)
    expectGradients([], [("logits", logits)], step: 1e-3) { tape in
      let choice = tape.gate(logits, k: k, renormalize: renormalize)
      tape.innerProduct(choice.gates, with: gateFactors)
      tape.innerProduct(choice.probabilities, with: factors)
      tape.innerProduct(choice.logSumExp, with: lseFactors)
    }
  }

  /// Permute and combine with dropped choices.
  @Test func permuteAndCombine() {
    let x = randomTensor([5, 19], seed: 1)
    let base = randomTensor([5, 19], seed: 2)
    let gates = randomTensor([5, 2], seed: 3)
    let factors = randomTensor([5, 19], seed: 4)
    let source: [Int32] = [4, 0, 1, 0, 3, 4, 2]
    let position: [Int32] = [1, 3, 2, -1, 6, -1, 4, -1, 0, 5]
    expectGradients([], [("x", x), ("base", base), ("gates", gates)]) { tape in
      let rows = tape.permuteRows(x, source: source, position: position, k: 2, capacity: 10)
      tape.innerProduct(
        tape.combineRows(rows, gates: gates, position: position, base: base), with: factors)
    }
  }

  @Test(arguments: [Combination.cg1, .cg2])
  func coefficientGate(kind: Combination) {
    let shared = randomTensor([9, 20], seed: 1)
    let routed = randomTensor([9, 20], seed: 2)
    let z = randomTensor([9, 20], seed: 3)
    let factors = randomTensor([9, 20], seed: 4)
    let weight = randomParameter("w", [kind == .cg1 ? 1 : 2, 20], seed: 5)
    expectGradients([weight], [("shared", shared), ("routed", routed), ("z", z)]) { tape in
      tape.innerProduct(
        tape.coefficientGate(kind, shared: shared, routed: routed, z: z, weight: weight),
        with: factors)
    }
  }

  @Test(arguments: [0, 0.1])
  func crossEntropy(smoothing: Float) {
    let x = randomTensor([11, 8], seed: 1)
    let weight = randomParameter("w", [19, 8], seed: 2)
    let targets: [Int32] = [0, 18, 3, -1, 5, 5, 7, 2, -1, 9, 1]
    expectGradients([weight], [("x", x)]) { tape in
      _ = tape.crossEntropy(
        tape.linear(x, weight: weight), targets: targets, smoothing: smoothing, weight: 0.7)
    }
  }

  @Test(arguments: [true, false])
  func positionsAndPool(classToken: Bool) {
    let x = randomTensor([3 * 4, 10], seed: 1)
    let factors = randomTensor([3, 10], seed: 2)
    let positions = randomParameter("positions", [classToken ? 5 : 4, 10], seed: 3)
    let token = classToken ? randomParameter("token", [10], seed: 4) : nil
    expectGradients([positions] + [token].compactMap { $0 }, [("x", x)]) { tape in
      let y = tape.addPositions(x, positions: positions, classToken: token)
      tape.innerProduct(
        tape.pool(y, sequence: positions.shape[0], mean: !classToken), with: factors)
    }
  }

  @Test func addAndScaleRows() {
    let a = randomTensor([6, 5], seed: 1)
    let b = randomTensor([6, 5], seed: 2)
    let factors = randomTensor([6, 5], seed: 3)
    expectGradients([], [("a", a), ("b", b)]) { tape in
      // `a` is used twice: gradients of several uses must add up.
      let sum = tape.add(tape.add(a, b), a)
      tape.innerProduct(tape.scaleRows(sum, scales: [0, 2, 0.5]), with: factors)
    }
  }
}
