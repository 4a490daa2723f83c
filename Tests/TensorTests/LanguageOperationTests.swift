import Foundation
import MMoETensor
import TestSupport
import Testing

/// The operations of language models against central differences and plain formulas.
@Suite struct LanguageOperationTests {
  let engine = try! Engine(threads: 2)

  func expectGradients(
    _ parameters: [Parameter] = [], _ inputs: [(String, Tensor)] = [], step: Float = 3e-3,
    _ forward: @escaping (Tape) -> Void
  ) {
    for check in checkGradients(
      engine: engine, parameters: parameters, inputs: inputs, step: step, forward: forward)
    {
      #expect(check.error < 1e-2, "\(check)")
    }
  }

  /// Every activation, with and without biases, whole vectors and tails.
  @Test(arguments: Activation.allCases, [true, false])
  func feedForward(activation: Activation, hasBias: Bool) {
    for (offsets, hidden) in [([0, 9, 30], 40), ([0, 3], 17), ([0, 0, 150], 16)] {
      let (experts, d) = (offsets.count - 1, 24)
      let width = hidden * activation.halves
      let x = randomTensor([offsets.last!, d], seed: 1)
      let factors = randomTensor([offsets.last!, d], seed: 3)
      let w1 = randomParameter("w1", [experts, width, d], seed: 4)
      let b1 = randomParameter("b1", [experts, width], seed: 5)
      let w2 = randomParameter("w2", [experts, d, hidden], seed: 6)
      let b2 = randomParameter("b2", [experts, d], seed: 7)
      expectGradients(hasBias ? [w1, b1, w2, b2] : [w1, w2], [("x", x)]) { tape in
        let y = tape.feedForward(
          x, offsets: offsets, w1: w1, b1: hasBias ? b1 : nil, w2: w2, b2: hasBias ? b2 : nil,
          activation: activation)
        tape.innerProduct(y, with: factors)
      }
    }
  }

  /// Against the formulas in double precision.
  @Test(arguments: Activation.allCases)
  func activationValues(activation: Activation) {
    let xs = stride(from: Float(-6), through: 6, by: 0.37).map { $0 }
    // One input, the hidden units are multiples of it; SwiGLU's second half is 1 by its bias.
    let hidden = xs.count
    let zeros = [Float](repeating: 0, count: hidden)
    let halves = activation.halves
    let w1 = Parameter(
      path: "w1", value: Tensor(xs + (halves == 2 ? zeros : []), shape: [halves * hidden, 1]), decays: true)
    let ones = [Float](repeating: 1, count: hidden)
    let b1 = Parameter(
      path: "b1", value: Tensor(halves == 2 ? zeros + ones : zeros, shape: [halves * hidden]), decays: false)
    for (index, x) in xs.enumerated() {
      var pick = zeros
      pick[index] = 1
      let w2 = Parameter(path: "w2", value: Tensor(pick, shape: [1, hidden]), decays: true)
      let y = Tape(engine, recording: false).feedForward(
        Tensor([1], shape: [1, 1]), offsets: [0, 1], w1: w1, b1: b1, w2: w2, b2: nil, activation: activation)
      let z = Double(x)
      let expected =
        switch activation {
        case .gelu: 0.5 * z * (1 + tanh((2 / Double.pi).squareRoot() * (z + 0.044715 * z * z * z)))
        case .geluErf: 0.5 * z * (1 + erf(z / 2.0.squareRoot()))
        case .quickGelu: z / (1 + exp(-1.702 * z))
        case .swiglu: z / (1 + exp(-z))
        }
      #expect(abs(Double(y.item) - expected) < 2e-6, "\(activation) of \(x)")
    }
  }

  @Test(arguments: [(5, 10), (300, 48), (17, 33)])
  func rmsNorm(rows: Int, d: Int) {
    let x = randomTensor([rows, d], seed: 1)
    let factors = randomTensor([rows, d], seed: 2)
    let weight = randomParameter("w", [d], seed: 3)
    expectGradients([weight], [("x", x)], step: 1e-2) { tape in
      tape.innerProduct(tape.rmsNorm(x, weight: weight, epsilon: 1e-5), with: factors)
    }
    let y = Tape(engine, recording: false).rmsNorm(x, weight: weight, epsilon: 1e-5).values
    let row = x.values[..<d].map(Double.init)
    let root = (row.reduce(0) { $0 + $1 * $1 } / Double(d) + 1e-5).squareRoot()
    for c in 0..<d { #expect(abs(Double(y[c]) - row[c] / root * Double(weight.value.pointer[c])) < 1e-5) }
  }

  /// Groups of query heads share keys and values; several blocks of queries.
  @Test(arguments: [(2, 7, 4, 2), (1, 150, 6, 3), (2, 9, 4, 1)])
  func groupedQueryAttention(batch: Int, sequence: Int, heads: Int, keyValueHeads: Int) {
    let width = 6
    let qkv = randomTensor([batch * sequence, (heads + 2 * keyValueHeads) * width], seed: 1)
    let factors = randomTensor([batch * sequence, heads * width], seed: 2)
    expectGradients([], [("qkv", qkv)]) { tape in
      tape.innerProduct(
        tape.attention(
          qkv, sequence: sequence, heads: heads, keyValueHeads: keyValueHeads, causal: true),
        with: factors)
    }
  }

  @Test func rotaryTurnsByPosition() {
    let (sequence, heads, width) = (5, 2, 6)
    let x = randomTensor([2 * sequence, 3 * heads * width], seed: 1)
    let factors = randomTensor(x.shape, seed: 2)
    let angles = RotaryAngles(positions: 9, width: width, base: 100)
    func forward(_ tape: Tape, first: Int) -> Tensor {
      let y = tape.scaleRows(x, scales: [1])
      tape.rotary(y, angles: angles, heads: 2 * heads, sequence: sequence, first: first)
      return y
    }
    expectGradients([], [("x", x)]) { tape in tape.innerProduct(forward(tape, first: 3), with: factors) }
    let y = forward(Tape(engine, recording: false), first: 3).values
    // Row 2 of the second sequence stands at position 5; the second head's pair 1 and 4.
    let at = (sequence + 2) * 3 * heads * width + width + 1
    let angle = 5 * pow(100, -2.0 / 6)
    let (u, v) = (Double(x.pointer[at]), Double(x.pointer[at + 3]))
    #expect(abs(Double(y[at]) - (u * cos(angle) - v * sin(angle))) < 1e-5)
    #expect(abs(Double(y[at + 3]) - (v * cos(angle) + u * sin(angle))) < 1e-5)
    // V is left alone.
    #expect(y[at + 2 * heads * width - width] == x.pointer[at + 2 * heads * width - width])
  }

  /// Repeated ids add up; a table that the head has written to before is added to.
  @Test(arguments: [true, false]) func embedding(isTied: Bool) {
    let (sequence, d) = (4, 20)
    let ids: [Int32] = [1, 3, 1, 0, 6, 1, 2, 2]
    let table = randomParameter("table", [7, d], seed: 1)
    let positions = randomParameter("positions", [6, d], seed: 2)
    let factors = randomTensor([8, d], seed: 3)
    let targets: [Int32] = [3, 1, 0, 6, -1, 2, 2, 5]
    expectGradients([table, positions]) { tape in
      let x = tape.embedding(ids, table: table, positions: positions, sequence: sequence, first: 2)
      tape.innerProduct(x, with: factors)
      if isTied { _ = tape.projectedCrossEntropy(x, head: table, targets: targets) }
    }
  }

  /// One slice and one chunk, many slices, many chunks; ignored rows; against the loss of whole logits.
  @Test(arguments: [(9, 5, 11), (700, 16, 300), (1300, 8, 50_257)])
  func projectedCrossEntropy(rows: Int, d: Int, classes: Int) {
    let x = randomTensor([rows, d], seed: 1)
    let head = randomParameter("head", [classes, d], seed: 2)
    let random = CounterRandom(seed: 4, purpose: .benchmark)
    let targets = (0..<rows).map { row in
      row % 7 == 3 ? -1 : Int32(random.uniform(UInt64(row)) * Float(classes))
    }
    func run(_ loss: (Tape) -> (Double, [Float])) -> (Double, [Float], [Float], [Float]) {
      head.clearGradient()
      let tape = Tape(engine, recording: true)
      tape.watch(x)
      let (mean, losses) = loss(tape)
      tape.backward()
      return (mean, losses, x.takeGradient()!.values, head.gradient.values)
    }
    let found = run { tape in
      let result = tape.projectedCrossEntropy(x, head: head, targets: targets, weight: 0.5)
      return (result.mean, result.losses)
    }
    let expected = run { tape in
      let result = tape.crossEntropy(tape.linear(x, weight: head), targets: targets, weight: 0.5)
      return (result.loss, result.losses)
    }
    #expect(abs(found.0 - expected.0) < 1e-5)
    func largest(_ a: [Float], _ b: [Float]) -> (difference: Float, size: Float) {
      var (difference, size): (Float, Float) = (0, 0)
      for (u, v) in zip(a, b) { (difference, size) = (max(difference, abs(u - v)), max(size, abs(v))) }
      return (difference, size)
    }
    for (a, b) in [(found.1, expected.1), (found.2, expected.2), (found.3, expected.3)] {
      let (difference, size) = largest(a, b)
      #expect(difference < 2e-5 * size, "\(difference) of \(size)")
    }
    // Without recording nothing but the losses is computed, and they are the same.
    let silent = Tape(engine, recording: false).projectedCrossEntropy(x, head: head, targets: targets)
    #expect(silent.losses == found.1)
  }

  /// A batch in parts of 3, 20 and no targets: the mean of the parts' losses, shares and gradients is the whole batch's.
  @Test(arguments: [false, true]) func lossesOfUnevenPartsAreTheBatchs(projected: Bool) throws {
    let (rows, d, classes) = (30, 4, 7)
    let x = randomTensor([rows, d], seed: 1)
    let head = randomParameter("head", [classes, d], seed: 2)
    let targets = (0..<rows).map { $0 < 3 || (10..<30).contains($0) ? Int32($0 % classes) : -1 }
    func run(_ part: Range<Int>, over divisor: Double?, weight: Float) -> [Double] {
      let tape = Tape(engine, recording: true)
      let input = Tensor(uninitialized: [part.count, d])
      input.pointer.update(from: x.pointer + part.lowerBound * d, count: input.count)
      let own = Array(targets[part])
      if projected {
        let loss = tape.projectedCrossEntropy(input, head: head, targets: own, over: divisor, weight: weight).mean
        tape.backward()
        return [loss]
      }
      let result = tape.crossEntropy(
        tape.linear(input, weight: head), targets: own, over: divisor, smoothing: 0.1, weight: weight)
      tape.backward()
      return [result.loss, result.accuracy(top: 2)]
    }
    head.clearGradient()
    let whole = run(0..<rows, over: nil, weight: 1)
    let gradient = head.gradient.values
    for cuts in [[0, 10, 30], [0, 3, 10, 30], [0, 5, 15, 20, 30]] {
      head.clearGradient()
      let parts = zip(cuts, cuts.dropFirst()).map { $0..<$1 }
      let found = parts.map { run($0, over: 23 / Double(parts.count), weight: 1 / Float(parts.count)) }
      for index in whole.indices {
        let mean = found.reduce(0) { $0 + $1[index] } / Double(parts.count)
        #expect(abs(mean - whole[index]) < 1e-6, "\(cuts): \(mean), \(whole[index])")
      }
      for (a, b) in zip(head.gradient.values, gradient) { #expect(abs(a - b) < 1e-6, "\(cuts): \(a), \(b)") }
    }
    // Nothing to learn anywhere: no loss, no gradient, no NaN.
    head.clearGradient()
    #expect(run(4..<9, over: 0, weight: 1).allSatisfy { $0 == 0 })
    #expect(head.gradient.values.allSatisfy { $0 == 0 })
  }

  /// Few rows take another path than many; the numbers agree.
  @Test(arguments: [1, 3, 8]) func fewRowsAgree(rows: Int) {
    let (d, hidden) = (37, 70)
    let x = randomTensor([rows, d], seed: 1)
    let residual = randomTensor([rows, d], seed: 2)
    let w1 = randomParameter("w1", [2, hidden, d], seed: 4)
    let b1 = randomParameter("b1", [2, hidden], seed: 5)
    let w2 = randomParameter("w2", [2, d, hidden], seed: 6)
    let b2 = randomParameter("b2", [2, d], seed: 7)
    let weight = randomParameter("w", [hidden, d], seed: 8)
    let bias = randomParameter("b", [hidden], seed: 9)
    func run(recording: Bool) -> [Float] {
      let tape = Tape(engine, recording: recording)
      let y = tape.feedForward(
        x, offsets: [0, rows / 2, rows], w1: w1, b1: b1, w2: w2, b2: b2, residual: residual)
      return y.values + tape.linear(x, weight: weight, bias: bias).values
    }
    for (few, many) in zip(run(recording: false), run(recording: true)) {
      #expect(abs(few - many) < 1e-4 * max(1, abs(many)))
    }
  }

  /// Position by position through the cache: the same as all at once.
  @Test func cachedAttentionAgrees() {
    let (sequence, heads, keyValueHeads, width) = (11, 4, 2, 6)
    let qkv = randomTensor([sequence, (heads + 2 * keyValueHeads) * width], seed: 1)
    let tape = Tape(engine, recording: false)
    let whole = tape.attention(
      qkv, sequence: sequence, heads: heads, keyValueHeads: keyValueHeads, causal: true)
    let cache = KeyValueCache(capacity: sequence, columns: keyValueHeads * width)
    var rows: [Float] = []
    for (start, count) in [(0, 4), (4, 1), (5, 1), (6, 5)] {
      let part = Tensor(
        Array(qkv.values[(start * qkv.columns)..<((start + count) * qkv.columns)]),
        shape: [count, qkv.columns])
      rows += tape.attention(part, heads: heads, keyValueHeads: keyValueHeads, cache: cache).values
    }
    for (a, b) in zip(rows, whole.values) { #expect(abs(a - b) < 1e-5) }
  }
}
