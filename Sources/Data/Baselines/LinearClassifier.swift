import MMoETensor

/// Multinomial logistic regression on standardized pixels, trained by gradient descent with momentum on mini-batches of 64.
struct LinearClassifier {
  private let engine: Engine
  /// Per pixel: what is subtracted, and what the rest is multiplied by.
  private let mean: [Float]
  private let scale: [Float]
  /// `[classes, width]` and `[classes]`.
  private let parameters: (weight: Parameter, bias: Parameter)
  private var velocities: [Tensor]

  private static let batch = 64
  private static let momentum: Float = 0.9

  /// All weights zero; pixels are standardized by the table's statistics.
  init(classes: Int, standardizing table: PixelTable, engine: Engine) {
    self.engine = engine
    var (sum, squares) = ([Double](repeating: 0, count: table.width), [Double](repeating: 0, count: table.width))
    table.pixels.withUnsafeBufferPointer { pixels in
      for row in 0..<table.count {
        for i in 0..<table.width {
          let value = Double(pixels[row * table.width + i])
          sum[i] += value
          squares[i] += value * value
        }
      }
    }
    let count = Double(max(table.count, 1))
    mean = sum.map { Float($0 / count) }
    scale = zip(sum, squares).map { sum, squares in
      let variance = squares / count - (sum / count) * (sum / count)
      return variance > 1e-6 ? Float(1 / variance.squareRoot()) : 0
    }
    func zeros(_ shape: [Int]) -> Parameter {
      Parameter(path: "linear", role: .head, value: .zeros(shape), decays: false)
    }
    parameters = (zeros([classes, table.width]), zeros([classes]))
    velocities = [.zeros([classes, table.width]), .zeros([classes])]
  }

  /// One pass in the given order.
  ///
  /// - Parameter rate: of the step, times the width: the curvature grows with the number of pixels.
  mutating func train(on table: PixelTable, rate: Float, order: [Int]) {
    for start in stride(from: 0, to: order.count, by: LinearClassifier.batch) {
      let members = order[start..<min(start + LinearClassifier.batch, order.count)]
      let tape = Tape(engine, recording: true)
      _ = tape.crossEntropy(scores(table, members, tape), targets: members.map { table.labels[$0] })
      tape.backward()
      for (parameter, velocity) in zip([parameters.weight, parameters.bias], velocities) {
        let (value, gradient, velocity) = (parameter.value.pointer, parameter.gradient.pointer, velocity.pointer)
        for i in 0..<parameter.count {
          velocity[i] = LinearClassifier.momentum * velocity[i] - rate / Float(table.width) * gradient[i]
          value[i] += velocity[i]
        }
        parameter.clearGradient()
      }
    }
  }

  /// The share of images whose most probable class is theirs.
  func accuracy(on table: PixelTable) -> Double {
    let tape = Tape(engine, recording: false)
    let correct = stride(from: 0, to: table.count, by: 1024).map { start in
      let members = start..<min(start + 1024, table.count)
      return tape.crossEntropy(scores(table, members, tape), targets: members.map { table.labels[$0] }).correct(top: 1)
    }
    return correct.reduce(0, +) / Double(max(table.count, 1))
  }

  /// `[members, classes]`
  private func scores(_ table: PixelTable, _ members: some RandomAccessCollection<Int>, _ tape: Tape) -> Tensor {
    let rows = Tensor(uninitialized: [members.count, table.width])
    table.pixels.withUnsafeBufferPointer { pixels in
      mean.withUnsafeBufferPointer { mean in
        scale.withUnsafeBufferPointer { scale in
          for (row, member) in members.enumerated() {
            let (source, target) = (member * table.width, row * table.width)
            for i in 0..<table.width { rows.pointer[target + i] = (Float(pixels[source + i]) - mean[i]) * scale[i] }
          }
        }
      }
    }
    return tape.linear(rows, weight: parameters.weight, bias: parameters.bias)
  }
}
