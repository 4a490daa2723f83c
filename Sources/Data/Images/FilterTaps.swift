/// Which source samples an output sample is made of, along one axis.
struct FilterTaps {
  /// First source sample, number of samples and weights (`stride` apart) of every output sample.
  private var starts: [Int] = []
  private var counts: [Int] = []
  private var weights: [Float] = []
  private var stride = 0

  /// The source samples in use.
  private(set) var range = 0..<0

  /// - Parameters:
  ///   - start: first source sample of the part that is stretched over the output.
  ///   - length: samples of that part.
  ///   - limit: samples of the source; the filter reaches beyond the part but not beyond these.
  ///   - outputs: samples of the output.
  ///   - shift: output sample `i` shows what `i + shift` would; samples from outside have no taps (black).
  ///   - reversed: the output runs backwards.
  mutating func prepare(
    start: Int, length: Int, limit: Int, outputs: Int, shift: Int, reversed: Bool
  ) {
    let scale = Float(length) / Float(outputs)
    let support = max(scale, 1)
    stride = min(limit, 2 * Int(support.rounded(.up)) + 1)
    if starts.count < outputs {
      starts = Array(repeating: 0, count: outputs)
      counts = starts
    }
    if weights.count < outputs * stride {
      weights = Array(repeating: 0, count: outputs * stride)
    }
    var low = limit
    var high = 0
    for i in 0..<outputs {
      let position = (reversed ? outputs - 1 - i : i) + shift
      starts[i] = 0
      counts[i] = 0
      guard 0..<outputs ~= position else { continue }
      let center = Float(start) + (Float(position) + 0.5) * scale
      let first = max(0, Int((center - support + 0.5).rounded(.down)))
      let end = min(limit, Int((center + support + 0.5).rounded(.down)), first + stride)
      var total: Float = 0
      var last = first
      for j in first..<end {
        let weight = max(0, 1 - abs(Float(j) + 0.5 - center) / support)
        weights[i * stride + j - first] = weight
        total += weight
        if weight > 0 { last = j }
      }
      for k in 0...(last - first) { weights[i * stride + k] /= total }
      starts[i] = first
      counts[i] = last - first + 1
      low = min(low, first)
      high = max(high, last + 1)
    }
    range = low < high ? low..<high : 0..<0
  }

  /// Calls `body` with starts, counts, weights and the distance between the weights of two output samples.
  func withTaps(
    _ body: (UnsafePointer<Int>, UnsafePointer<Int>, UnsafePointer<Float>, Int) -> Void
  ) {
    starts.withUnsafeBufferPointer { starts in
      counts.withUnsafeBufferPointer { counts in
        weights.withUnsafeBufferPointer { weights in
          guard let first = starts.baseAddress, let count = counts.baseAddress,
            let weight = weights.baseAddress
          else { return }
          body(first, count, weight, stride)
        }
      }
    }
  }
}
