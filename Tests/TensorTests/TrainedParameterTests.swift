import MMoETensor
import TestSupport
import Testing

/// An operation computes the gradient of whatever it reads, also where that is the only thing that is trained.
@Suite struct TrainedParameterTests {
  let engine = try! Engine(threads: 2)

  /// An operation, what it reads, and how it is run.
  struct Subject: CustomTestStringConvertible, Sendable {
    let testDescription: String
    nonisolated(unsafe) let parameters: [Parameter]
    nonisolated(unsafe) let run: (Tape) -> Void

    /// - Parameter run: gives what the loss is taken of; nil = it is a loss itself.
    init(_ name: String, _ parameters: [Parameter], _ run: @escaping (Tape) -> Tensor?) {
      testDescription = name
      self.parameters = parameters + parameters.compactMap(\.adapter).flatMap { [$0.a, $0.b] }
      self.run = { tape in
        if let y = run(tape) { tape.innerProduct(y, with: randomTensor(y.shape, seed: 77)) }
      }
    }
  }

  private static func adapted(_ name: String, _ shape: [Int], seed: UInt64) -> Parameter {
    let weight = randomParameter(name, shape, seed: seed)
    let (stack, out, inner) = (Array(shape.dropLast(2)), shape[shape.count - 2], shape[shape.count - 1])
    weight.adapter = LowRankAdapter(
      a: randomParameter(name + ".a", stack + [2, inner], seed: seed + 100),
      b: randomParameter(name + ".b", stack + [out, 2], seed: seed + 200), scale: 0.7)
    return weight
  }

  static let subjects: [Subject] = {
    func p(_ name: String, _ shape: [Int]) -> Parameter { randomParameter(name, shape, seed: UInt64(name.utf8.first!)) }
    let x = randomTensor([6, 8], seed: 1)
    let (linear, w1, w2) = (
      adapted("w", [5, 8], seed: 2), adapted("w1", [2, 10, 8], seed: 3), adapted("w2", [2, 8, 10], seed: 4)
    )
    let (bias, b1, b2) = (p("b", [5]), p("b1", [2, 10]), p("b2", [2, 8]))
    let (gamma, beta) = (p("gamma", [8]), p("beta", [8]))
    let (rms, sequences) = (p("rms", [8]), p("sequences", [3, 8]))
    let (table, places, classToken) = (p("table", [7, 8]), p("places", [3, 8]), p("class", [8]))
    let (gate, rows, variances) = (p("gate", [2, 8]), p("rows", [3, 8]), p("variances", [4]))
    let (scale, head) = (p("scale", [1]), p("head", [9, 8]))
    return [
      Subject("linear", [linear, bias]) { $0.linear(x, weight: linear, bias: bias) },
      Subject("feed forward", [w1, b1, w2, b2]) {
        $0.feedForward(x, offsets: [0, 2, 6], w1: w1, b1: b1, w2: w2, b2: b2)
      },
      Subject("layer norm", [gamma, beta]) { $0.layerNorm(x, weight: gamma, bias: beta) },
      Subject("rms norm", [rms]) { $0.rmsNorm(x, weight: rms, epsilon: 1e-5) },
      Subject("embedding", [table, places]) {
        $0.embedding([3, 1, 6, 3, 0, 2], table: table, positions: places, sequence: 3)
      },
      Subject("positions", [sequences, classToken]) {
        $0.addPositions(x, positions: sequences, classToken: classToken)
      },
      Subject("coefficient gate", [gate]) {
        $0.coefficientGate(
          .cg2, shared: x, routed: randomTensor([6, 8], seed: 5), z: randomTensor([6, 8], seed: 6), weight: gate)
      },
      Subject("table rows", [rows]) {
        let y = x.copy()
        $0.addTableRows(y, rows, rows: [0, 1, 2, 0, 1, 1])
        return y
      },
      Subject("uncertainty", [variances]) {
        $0.uncertaintyTerm(variances, weighted: [(1, 0.5), (3, 2)])
        return nil
      },
      Subject("contrastive", [scale]) {
        _ = $0.contrastiveLoss(x, randomTensor([6, 8], seed: 7), logScale: scale)
        return nil
      },
      Subject("head", [head]) {
        _ = $0.projectedCrossEntropy(x, head: head, targets: [0, 8, -1, 3, 3, 5])
        return nil
      },
    ]
  }()

  @Test(arguments: subjects) func eachIsTrainedAlone(subject: Subject) {
    func gradients(of trained: [Parameter]) -> [String: [Float]] {
      for parameter in subject.parameters {
        parameter.clearGradient()
        parameter.isFrozen = !trained.contains { $0 === parameter }
      }
      let tape = Tape(engine, recording: true, skipsFrozen: true)
      subject.run(tape)
      tape.backward()
      let found = subject.parameters.filter(\.hasGradient)
      return Dictionary(uniqueKeysWithValues: found.map { ($0.path, $0.gradient.values) })
    }
    let together = gradients(of: subject.parameters)
    #expect(together.count == subject.parameters.count)
    for parameter in subject.parameters {
      let alone = gradients(of: [parameter])
      #expect(alone == [parameter.path: together[parameter.path] ?? []], "\(parameter.path)")
      #expect(alone[parameter.path]?.contains { $0 != 0 } == true, "\(parameter.path)")
    }
  }

  /// A head without rows has a gradient of zeros: what a step trains does not follow from what its batch holds.
  @Test func nothingToReadIsRead() {
    let head = randomParameter("head", [9, 8], seed: 1)
    let tape = Tape(engine, recording: true)
    let none = tape.selectRows(randomTensor([3, 8], seed: 2), [])
    #expect(tape.projectedCrossEntropy(none, head: head, targets: []).mean == 0)
    tape.backward()
    #expect(head.hasGradient && head.gradient.values.allSatisfy { $0 == 0 })
  }
}
