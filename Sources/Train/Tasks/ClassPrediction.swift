import Foundation
import MMoEModels
import MMoEParallel
import MMoETensor

/// What a model made of a validation sample that has a label.
package struct ClassPrediction: Sendable, Equatable {
  /// The sample's file.
  package let path: String
  /// Numbers of its class, and of the one that the model finds most probable.
  package let label, predicted: Int
  /// The model's probability of `predicted`.
  package let probability: Float
  /// Cross-entropy of `label`, in nats.
  package let loss: Float

  package init(path: String, label: Int, predicted: Int, probability: Float, loss: Float) {
    (self.path, self.label, self.predicted) = (path, label, predicted)
    (self.probability, self.loss) = (probability, loss)
  }

  package var isCorrect: Bool { label == predicted }
}

/// A task whose evaluation finds a class for every sample that has a label.
package protocol ClassifyingTask: TrainingTask {
  /// Names of the model's classes, by number; empty where it has none.
  var classNames: [String] { get }
  /// Evaluates as `evaluate(progress:)` does, with the same numbers.
  ///
  /// - Returns: also what the model made of every labeled sample, in the order of the set; the same on every rank. A sample
  ///   whose logits are not finite is left out, and the evaluation is not finite then.
  func classify(
    progress: ((_ done: Int, _ total: Int) -> Void)?
  ) throws -> (evaluation: Evaluation, predictions: [ClassPrediction])
}

/// A class with its probability.
package struct ClassProbability: BitwiseCopyable, Sendable, Equatable {
  package let label: Int32
  package let probability: Float

  /// The most probable classes of every row of logits `[N, classes]`, best first, the first among equals; nil for a row that
  /// is not finite. Sums are in double precision: a probability does not depend on the number of classes that follow.
  package static func best(_ count: Int, of logits: Tensor) -> [[ClassProbability]?] {
    let classes = logits.columns
    return (0..<logits.rows).map { row in
      best(count, of: UnsafeBufferPointer(start: logits.pointer + row * classes, count: classes))
    }
  }

  private static func best(_ count: Int, of row: UnsafeBufferPointer<Float>) -> [ClassProbability]? {
    guard let first = row.indexOfLargest(), row[first].isFinite else { return nil }
    let largest = Double(row[first])
    let sum = row.reduce(0.0) { $0 + exp(Double($1) - largest) }
    var best: [Int] = []
    for index in row.indices where best.count < count || row[index] > row[best[best.count - 1]] {
      best.insert(index, at: best.firstIndex { row[$0] < row[index] } ?? best.count)
      if best.count > count { best.removeLast() }
    }
    return best.map { ClassProbability(label: Int32($0), probability: Float(exp(Double(row[$0]) - largest) / sum)) }
  }
}

/// Expected calibration error: how far a model's confidence is from how often it is right (Guo et al., arXiv 1706.04599,
/// equation 3), with M = 15 bins of equal width as in the paper:
///
///     ECE = Σ_m |B_m| / n · |acc(B_m) − conf(B_m)|
///
/// B_m holds the samples whose largest probability is in ((m − 1) / M, m / M], acc is the share of them that is right, conf the
/// mean of their largest probabilities. Sums of probabilities in single precision are exact in double (up to a million samples
/// of a thousand classes), so the order in which samples are added, and how ranks share them, does not matter.
package struct CalibrationBins {
  package static let count = 15
  /// Samples of each bin, how many of them are right, and the sum of their confidence, one after the other.
  package private(set) var sums = [Double](repeating: 0, count: 3 * CalibrationBins.count)

  package init() {}

  /// - Parameter sums: those of all ranks.
  init(sums: [Double]) { self.sums = sums }

  package mutating func add(confidence: Float, isCorrect: Bool) {
    let place = (Double(confidence) * Double(CalibrationBins.count)).rounded(.up) - 1
    let bin = 3 * min(max(Int(place), 0), CalibrationBins.count - 1)
    sums[bin] += 1
    sums[bin + 1] += isCorrect ? 1 : 0
    sums[bin + 2] += Double(confidence)
  }

  /// A share of one; NaN without samples.
  package var error: Double {
    let bins = stride(from: 0, to: sums.count, by: 3)
    let total = bins.reduce(0.0) { $0 + sums[$1] }
    return bins.reduce(0.0) { $0 + abs(sums[$1 + 1] - sums[$1 + 2]) } / total
  }
}

extension RankTeam {
  /// Plain values of all ranks, in the order of the ranks. Every rank must call.
  package func gathered<Value: BitwiseCopyable>(_ own: [Value]) -> [Value] {
    world.allGather(own.withUnsafeBytes { Array($0) }).flatMap { bytes in
      bytes.withUnsafeBytes { buffer in
        (0..<buffer.count / MemoryLayout<Value>.stride).map {
          buffer.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Value>.stride, as: Value.self)
        }
      }
    }
  }
}
