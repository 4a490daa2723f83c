import CKernels
import TestSupport
import Testing

@testable import MMoETensor

private let available = (try? Engine(threads: 1, dtype: .bf16)) != nil

/// Products in bfloat16 against float64, and the operations around them against float32.
@Suite(.enabled(if: available, "this CPU or build has no bfloat16 products")) struct BFloat16Tests {
  let exact = try! Engine(threads: 2)
  let rounding = try! Engine(threads: 2, dtype: .bf16)

  static func rounded(_ value: Float) -> Float {
    var (bits, result, source) = (UInt16(0), Float(0), value)
    mmoe_encode_bf16(&bits, &source, 1)
    mmoe_decode_bf16(&result, &bits, 1)
    return result
  }

  /// Every pair of transposes, rows apart, `alpha`, and adding: exact up to float32 sums of the rounded operands, and
  /// within bfloat16's 2⁻⁸ an operand of the unrounded ones.
  @Test(arguments: [(1, 1, 1), (5, 3, 2), (16, 33, 24), (128, 16, 65), (37, 100, 20)])
  func products(m: Int, n: Int, k: Int) {
    for form in 0..<16 {
      let (ta, tb, adds) = (form & 1 == 1, form & 2 == 2, form & 4 == 4)
      let alpha: Float = form & 8 == 8 ? 0.375 : 1
      let (lda, ldb, ldc) = ((ta ? m : k) + 3, (tb ? k : n) + 1, n + 2)
      let a = randomTensor([ta ? k : m, lda], seed: 1)
      let b = randomTensor([tb ? n : k, ldb], seed: 2)
      let c = randomTensor([m, ldc], seed: 3)
      let before = c.values
      let (left, right) = (rounding.operand(a), rounding.operand(b))
      rounding.product(
        ta, tb, m, n, k, alpha: alpha, left.pointer, lda, right.pointer, ldb, beta: adds ? 1 : 0, c.pointer, ldc)
      for i in 0..<m {
        for j in 0..<ldc {
          let at = i * ldc + j
          guard j < n else {
            #expect(c.pointer[at] == before[at], "between rows")
            continue
          }
          var (sum, magnitude, unrounded) = (0.0, 0.0, 0.0)
          for q in 0..<k {
            let (x, y) = (a.pointer[ta ? q * lda + i : i * lda + q], b.pointer[tb ? j * ldb + q : q * ldb + j])
            sum += Double(BFloat16Tests.rounded(x)) * Double(BFloat16Tests.rounded(y))
            unrounded += Double(x) * Double(y)
            magnitude += abs(Double(x) * Double(y))
          }
          let base = adds ? Double(before[at]) : 0
          let found = Double(c.pointer[at])
          let scale = Double(alpha) * magnitude + abs(base)
          guard
            abs(found - (Double(alpha) * sum + base)) <= 1e-6 * scale,
            abs(found - (Double(alpha) * unrounded + base)) <= 0x1.01p-7 * scale + 1e-6
          else {
            Issue.record("\(m) \(n) \(k), form \(form), at \(i), \(j): \(found), expected \(sum)")
            return
          }
        }
      }
    }
  }

  /// A row's digits are the same among any number of rows, whatever path they take: 1 row, few, a tile and more.
  @Test(arguments: [(16, 24), (37, 65), (1000, 100)], [Activation.gelu, .swiglu])
  func rowsDoNotDependOnTheirNumber(sizes: (d: Int, hidden: Int), activation: Activation) {
    let (d, hidden) = sizes
    let (all, groups) = (210, 3)
    let x = randomTensor([all, d], seed: 1)
    let residual = randomTensor([all, d], seed: 2)
    let w1 = randomParameter("w1", [groups, activation.halves * hidden, d], seed: 4)
    let b1 = randomParameter("b1", [groups, activation.halves * hidden], seed: 5)
    let w2 = randomParameter("w2", [groups, d, hidden], seed: 6)
    let b2 = randomParameter("b2", [groups, d], seed: 7)
    let weight = randomParameter("w", [hidden, d], seed: 8)
    let bias = randomParameter("b", [hidden], seed: 9)
    func run(_ rows: Range<Int>, recording: Bool = false) -> [[Float]] {
      let tape = Tape(rounding, recording: recording)
      func part(_ whole: Tensor) -> Tensor {
        Tensor(Array(whole.values[rows.lowerBound * d..<rows.upperBound * d]), shape: [rows.count, d])
      }
      let y = tape.feedForward(
        part(x), offsets: [0, 0, rows.count, rows.count], w1: w1, b1: b1, w2: w2, b2: b2, activation: activation,
        residual: part(residual))
      let dense = tape.linear(part(x), weight: weight, bias: bias)
      let gate = tape.linear(part(x), weight: weight, dtype: .float32)
      return [y.values, dense.values] + (recording ? [] : [gate.values])
    }
    let whole = run(0..<all)
    #expect(run(0..<all, recording: true) == Array(whole[..<2]), "as in training")
    for count in [1, 2, 3, 7, 8, 9, 16, 17, 100, 129] {
      let rows = (all - count) / 2..<(all - count) / 2 + count
      for (found, expected) in zip(run(rows), whole) {
        let columns = expected.count / all
        #expect(found == Array(expected[rows.lowerBound * columns..<rows.upperBound * columns]), "\(count) rows")
      }
    }
  }

  @Test func roundsToNearestEven() {
    let cases: [(Float, Float)] = [
      (1, 1), (0x1.01p0, 1), (0x1.03p0, 0x1.04p0), (0x1.01001p0, 0x1.02p0), (-0.0, -0.0), (.infinity, .infinity),
      (3.4e38, .infinity), (0x1p-130, 0x1p-130),
    ]
    for (value, expected) in cases { #expect(BFloat16Tests.rounded(value) == expected, "\(value)") }
    #expect(BFloat16Tests.rounded(.nan).isNaN)
    #expect(BFloat16Tests.rounded(Float(bitPattern: 0xFFFF_FFFF)).isNaN)
  }

  /// Outputs and every gradient differ from float32's by bfloat16's rounding: not by more, and not by nothing.
  func expectClose(
    _ parameters: [Parameter], _ inputs: [(String, Tensor)], tolerance: Float = 0.01,
    _ forward: (Tape) -> Tensor?
  ) {
    func run(_ engine: Engine) -> [(String, [Float])] {
      for parameter in parameters { parameter.clearGradient() }
      let tape = Tape(engine, recording: true)
      for (_, input) in inputs { tape.watch(input) }
      let output = forward(tape)
      if let output { tape.innerProduct(output, with: randomTensor(output.shape, seed: 99)) }
      tape.backward()
      return (output.map { [("output", $0.values)] } ?? [])
        + inputs.map { ($0.0, $0.1.takeGradient()!.values) } + parameters.map { ($0.path, $0.gradient.values) }
    }
    for ((name, found), (_, expected)) in zip(run(rounding), run(exact)) {
      var (difference, size) = (0.0, 0.0)
      for (u, v) in zip(found, expected) {
        difference += Double(u - v) * Double(u - v)
        size += Double(v) * Double(v)
      }
      let error = Float((difference / size).squareRoot())
      // What is only added up is not rounded.
      let isRounded = name != "residual" && name != "bias" && name != "b2"
      #expect(error < tolerance && (error > 1e-5) == isRounded, "\(name): \(error)")
    }
  }

  @Test(arguments: [(3, 5, 7), (257, 96, 33)]) func linear(rows: Int, inner: Int, out: Int) {
    let x = randomTensor([rows, inner], seed: 1)
    let residual = randomTensor([rows, out], seed: 2)
    let (weight, bias) = (randomParameter("w", [out, inner], seed: 4), randomParameter("bias", [out], seed: 5))
    expectClose([weight, bias], [("x", x), ("residual", residual)]) {
      $0.linear(x, weight: weight, bias: bias, residual: residual)
    }
  }

  /// Asked for float32, as the router does, a product is the same as without bfloat16.
  @Test func linearInFloat32() {
    let x = randomTensor([40, 24], seed: 1)
    let weight = randomParameter("w", [8, 24], seed: 4)
    func run(_ engine: Engine) -> [Float] {
      Tape(engine, recording: false).linear(x, weight: weight, dtype: .float32).values
    }
    #expect(run(rounding) == run(exact))
  }

  @Test(arguments: Activation.allCases, [[0, 0, 130, 130, 301], [0, 40, 41, 60, 60]])
  func feedForward(activation: Activation, offsets: [Int]) {
    let (experts, d, hidden) = (offsets.count - 1, 24, 40)
    let x = randomTensor([offsets.last!, d], seed: 1)
    let w1 = randomParameter("w1", [experts, activation.halves * hidden, d], seed: 4)
    let b1 = randomParameter("b1", [experts, activation.halves * hidden], seed: 5)
    let w2 = randomParameter("w2", [experts, d, hidden], seed: 6)
    let b2 = randomParameter("b2", [experts, d], seed: 7)
    expectClose([w1, b1, w2, b2], [("x", x)], tolerance: 0.02) {
      $0.feedForward(x, offsets: offsets, w1: w1, b1: b1, w2: w2, b2: b2, activation: activation)
    }
  }

  @Test func adapters() {
    let offsets = [0, 0, 130, 130, 301]
    func adapted(_ name: String, _ shape: [Int], seed: UInt64) -> Parameter {
      let weight = randomParameter(name, shape, seed: seed)
      weight.adapter = LowRankAdapter(
        a: randomParameter(name + ".a", [shape[0], 4, shape[2]], seed: seed + 10),
        b: randomParameter(name + ".b", [shape[0], shape[1], 4], seed: seed + 20), scale: 0.5)
      return weight
    }
    let x = randomTensor([301, 24], seed: 1)
    let (w1, w2) = (adapted("w1", [4, 40, 24], seed: 4), adapted("w2", [4, 24, 40], seed: 6))
    let low = [w1, w2].flatMap { [$0, $0.adapter!.a, $0.adapter!.b] }
    expectClose(low, [("x", x)], tolerance: 0.03) {
      $0.feedForward(x, offsets: offsets, w1: w1, b1: nil, w2: w2, b2: nil)
    }
  }

  @Test(arguments: [(4, 4), (4, 2)], [false, true]) func attention(heads: (Int, Int), causal: Bool) {
    let (sequence, width) = (150, 8)
    let qkv = randomTensor([2 * sequence, (heads.0 + 2 * heads.1) * width], seed: 1)
    expectClose([], [("qkv", qkv)], tolerance: 0.02) {
      $0.attention(qkv, sequence: sequence, heads: heads.0, keyValueHeads: heads.1, causal: causal)
    }
  }

  @Test(arguments: [(9, 5, 11), (700, 16, 3000), (1500, 8, 50_257)])
  func projectedCrossEntropy(rows: Int, d: Int, classes: Int) {
    let x = randomTensor([rows, d], seed: 1)
    let head = randomParameter("head", [classes, d], seed: 2)
    let random = CounterRandom(seed: 4, purpose: .benchmark)
    let targets = (0..<rows).map { row in
      row % 7 == 3 ? -1 : Int32(random.uniform(UInt64(row)) * Float(classes))
    }
    expectClose([head], [("x", x)]) {
      _ = $0.projectedCrossEntropy(x, head: head, targets: targets)
      return nil
    }
    func mean(_ engine: Engine) -> Double {
      Tape(engine, recording: false).projectedCrossEntropy(x, head: head, targets: targets).mean
    }
    #expect(abs(mean(rounding) - mean(exact)) < 2e-3)
  }

  /// A target that is almost certain still has its gradient p − 1, which bfloat16 cannot form after rounding p.
  @Test(arguments: [6.5, 8, 10]) func certainTargetsKeepTheirGradient(logit: Float) throws {
    let x = Tensor(repeating: 1, shape: [1, 1])
    let head = randomParameter("head", [3, 1], seed: 1)
    for (row, value) in [0, 0, logit].enumerated() { head.value.pointer[row] = value }
    func gradient(_ engine: Engine) -> Float {
      head.clearGradient()
      let tape = Tape(engine, recording: true)
      _ = tape.projectedCrossEntropy(x, head: head, targets: [2])
      tape.backward()
      return head.gradient.values[2]
    }
    let (found, expected) = (gradient(rounding), gradient(exact))
    #expect(expected < 0 && abs(found - expected) < 0.01 * abs(expected), "\(found), \(expected)")
  }

  @Test func refusesOpenBLAS() {
    #expect {
      _ = try Engine(threads: 1, backend: .openBLAS, dtype: .bf16)
    } throws: {
      "\($0)" == "dtype is bf16, but openblas multiplies in float32 only; give tensor.blas=onednn or dtype=float32"
    }
  }
}
