import Foundation
import MMoETensor
import TestSupport
import Testing

/// Sequences of different lengths side by side, and what images and texts are compared with.
@Suite struct PackedOperationTests {
  let engine = try! Engine(threads: 2)

  /// An image alone, an image with a text, a text, one over several blocks, and segments in any order.
  static let spans: [SequenceLayout.Span] = [
    .init(start: 0, length: 5, prefix: 5), .init(start: 5, length: 9, prefix: 5),
    .init(start: 14, length: 4, prefix: 0),
    .init(start: 18, length: 290, prefix: 140),
    .init(
      start: 308,
      [(3, true), (150, false), (2, false), (140, true), (4, false)].map { .init(length: $0, isCausal: $1) }),
    .init(start: 607, [(2, false), (3, true), (1, false), (2, true)].map { .init(length: $0, isCausal: $1) }),
  ]

  func expectGradients(
    _ parameters: [Parameter] = [], _ inputs: [(String, Tensor)], step: Float = 3e-3,
    _ forward: @escaping (Tape) -> Void
  ) {
    for check in checkGradients(
      engine: engine, parameters: parameters, inputs: inputs, step: step, forward: forward)
    {
      #expect(check.error < 1e-2, "\(check)")
    }
  }

  @Test func tableRows() {
    let (x, factors) = (randomTensor([5, 3], seed: 1), randomTensor([5, 3], seed: 2))
    let (table, weight) = (randomParameter("table", [4, 3], seed: 3), randomParameter("w", [3, 3], seed: 4))
    for check in checkGradients(
      engine: engine, parameters: [table, weight], inputs: [("x", x)], step: 1e-2,
      forward: { tape in
        let y = tape.linear(x, weight: weight)
        tape.addTableRows(y, table, rows: [2, 0, 2, 3, 2])
        tape.innerProduct(y, with: factors)
      })
    { #expect(check.error < 1e-2, "\(check)") }
  }

  /// Ranges in any order, rows that read nothing and rows that nobody reads.
  @Test(arguments: [1, 3]) func crossAttention(heads: Int) {
    let (q, keyValues) = (randomTensor([9, 6], seed: 1), randomTensor([8, 12], seed: 2))
    let factors = randomTensor([9, 6], seed: 3)
    // Two of them read the same rows.
    let pairs = [(queries: 4..<7, keys: 0..<2), (queries: 7..<9, keys: 0..<3), (queries: 0..<2, keys: 3..<7)]
    let width = 6 / heads
    let y = Tape(engine, recording: false).crossAttention(q, keyValues: keyValues, pairs: pairs, heads: heads).values
    var expected = [Double](repeating: 0, count: 54)
    for (queries, keys) in pairs {
      for row in queries {
        for h in 0..<heads {
          func key(_ k: Int, _ i: Int) -> Double { Double(keyValues.values[k * 12 + h * width + i]) }
          let scores = keys.map { k in
            exp(
              (0..<width).reduce(0) { $0 + Double(q.values[row * 6 + h * width + $1]) * key(k, $1) }
                / Double(width).squareRoot())
          }
          let total = scores.reduce(0, +)
          for i in 0..<width {
            expected[row * 6 + h * width + i] = zip(keys, scores).reduce(0) { $0 + $1.1 / total * key($1.0, 6 + i) }
          }
        }
      }
    }
    #expect(relativeError(y, expected) < 1e-5)
    for check in checkGradients(
      engine: engine, parameters: [], inputs: [("q", q), ("keyValues", keyValues)], step: 1e-2,
      forward: { tape in
        tape.innerProduct(tape.crossAttention(q, keyValues: keyValues, pairs: pairs, heads: heads), with: factors)
      })
    { #expect(check.error < 1e-2, "\(check)") }
  }

  /// Against the definition: a softmax over all that a position sees, written out.
  @Test func attentionSeesPrefixAndPast() {
    let layout = SequenceLayout(PackedOperationTests.spans)
    let (heads, width) = (2, 4)
    let d = heads * width
    let qkv = randomTensor([layout.rows, 3 * d], seed: 1)
    let found = Tape(engine, recording: false).attention(qkv, layout: layout, heads: heads, keyValueHeads: heads)
    func value(_ row: Int, _ column: Int) -> Double { Double(qkv.pointer[row * 3 * d + column]) }
    for span in layout.spans {
      for t in 0..<span.length {
        // Its own segment, or all up to itself.
        var (first, segments) = (0, span.segments[...])
        while first + segments.first!.length <= t { first += segments.removeFirst().length }
        let own = segments.first!
        let seen = own.isCausal ? 0..<t + 1 : first..<first + own.length
        for h in 0..<heads {
          let weights = seen.map { s in
            exp(
              (0..<width).reduce(0) {
                $0 + value(span.start + t, h * width + $1) * value(span.start + s, d + h * width + $1)
              } / Double(width).squareRoot())
          }
          let total = weights.reduce(0, +)
          for c in 0..<width {
            let expected = zip(seen, weights).reduce(0) {
              $0 + $1.1 / total * value(span.start + $1.0, 2 * d + h * width + c)
            }
            let got = Double(found.pointer[(span.start + t) * d + h * width + c])
            #expect(abs(got - expected) < 1e-5, "row \(span.start + t)")
          }
        }
      }
    }
  }

  @Test(arguments: [1, 2]) func attentionGradients(keyValueHeads: Int) {
    let layout = SequenceLayout(PackedOperationTests.spans)
    let qkv = randomTensor([layout.rows, (2 + 2 * keyValueHeads) * 4], seed: 1)
    let factors = randomTensor([layout.rows, 8], seed: 2)
    expectGradients([], [("qkv", qkv)]) { tape in
      tape.innerProduct(
        tape.attention(qkv, layout: layout, heads: 2, keyValueHeads: keyValueHeads), with: factors)
    }
  }

  @Test func placedSelectedAndMeanRows() {
    let x = randomTensor([4, 19], seed: 1)
    let factors = randomTensor([3, 19], seed: 2)
    let places: [Int32] = [5, 0, 2, 6]
    let placed = Tape(engine, recording: false).placeRows(x, at: places, of: 7)
    #expect(Array(placed.values[5 * 19..<6 * 19]) == Array(x.values[..<19]))
    #expect(placed.values[19..<2 * 19].allSatisfy { $0 == 0 })
    expectGradients([], [("x", x)]) { tape in
      let placed = tape.placeRows(x, at: places, of: 7)
      let selected = tape.selectRows(placed, [6, 2, 1, 5, 0])
      tape.innerProduct(tape.meanRows(selected, of: [3..<5, 0..<1, 1..<3]), with: factors)
    }
  }

  @Test(arguments: [0, 1, 6]) func contrastiveLoss(rows: Int) {
    let a = randomTensor([rows, 7], seed: 1)
    let b = randomTensor([rows, 7], seed: 2)
    let scale = Parameter(path: "scale", value: Tensor([1.3], shape: [1]), decays: false)
    expectGradients([scale], [("a", a), ("b", b)]) { tape in
      _ = tape.contrastiveLoss(a, b, logScale: scale, weight: 0.7)
    }
  }

  /// Two pairs that point the same way, at right angles to each other: the loss is log(1 + e^(−scale)).
  @Test func contrastiveLossByHand() {
    let a = Tensor([3, 0, 0, 0.5], shape: [2, 2])
    let b = Tensor([1, 0, 0, 8], shape: [2, 2])
    let scale = Parameter(path: "scale", value: Tensor([0.6931472], shape: [1]), decays: false)
    let result = Tape(engine, recording: false).contrastiveLoss(a, b, logScale: scale)
    #expect(abs(result.loss - 0.126928) < 1e-5)
    #expect(result.accuracy == 1)
  }

  /// Foreign experts have no probability, no choice even with a bias, and no gradient.
  @Test func confinedGate() {
    let allowed = [[true, true, false, false, true], [false, false, true, true, true]]
    let kinds: [Int32] = [0, 1, 1, 0, 1, 0, 0, 1]
    let logits = randomTensor([8, 5], seed: 1)
    let tape = Tape(engine, recording: false)
    let own = logits.copy()
    tape.confine(own, kinds: kinds, allowed: allowed)
    let choice = tape.gate(own, k: 2, renormalize: true, selectionBias: [9, 9, 5, 5, 0])
    for t in 0..<8 {
      let mine = allowed[Int(kinds[t])]
      for e in 0..<5 where !mine[e] { #expect(choice.probabilities.pointer[t * 5 + e] == 0) }
      for j in 0..<2 { #expect(mine[Int(choice.experts[t * 2 + j])]) }
    }
    let factors = randomTensor([8, 5], seed: 2)
    let lseFactors = randomTensor([8], seed: 3)
    expectGradients([], [("logits", logits)], step: 1e-3) { tape in
      let copy = tape.add(logits, Tensor.zeros([8, 5]))
      tape.confine(copy, kinds: kinds, allowed: allowed)
      let choice = tape.gate(copy, k: 2, renormalize: true)
      tape.innerProduct(choice.probabilities, with: factors)
      tape.innerProduct(choice.logSumExp, with: lseFactors)
    }
  }
}
