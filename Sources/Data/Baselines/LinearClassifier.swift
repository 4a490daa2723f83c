import Foundation
import MMoETensor

/// Multinomial logistic regression on standardised pixels, trained by Adam on mini-batches of 64.
struct LinearClassifier: Sendable {
  private let classes: Int
  private let width: Int
  /// Per pixel: what is subtracted, and what the rest is multiplied by.
  private let mean: [Float]
  private let scale: [Float]
  /// `[classes, width]`, then the biases `[classes]`.
  private var weights: [Float]
  private var firstMoment: [Float]
  private var secondMoment: [Float]
  private var steps = 0

  private static let batch = 64

  /// All weights zero; pixels are standardised by the table's statistics.
  init(classes: Int, standardising table: PixelTable) {
    self.classes = classes
    width = table.width
    weights = Array(repeating: 0, count: classes * (table.width + 1))
    firstMoment = weights
    secondMoment = weights
    var sum = [Double](repeating: 0, count: width)
    var squares = sum
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
  }

  /// One pass in the given order.
  mutating func train(on table: PixelTable, rate: Float, order: [Int]) {
    var gradient = [Float](repeating: 0, count: weights.count)
    var row = [Float](repeating: 0, count: width)
    for start in stride(from: 0, to: order.count, by: LinearClassifier.batch) {
      let members = order[start..<min(start + LinearClassifier.batch, order.count)]
      for i in gradient.indices { gradient[i] = 0 }
      for member in members {
        standardise(table, member, into: &row)
        var errors = probabilities(row)
        errors[Int(table.labels[member])] -= 1
        for label in 0..<classes {
          addScaled(row, errors[label] / Float(members.count), to: &gradient, at: label * width)
          gradient[classes * width + label] += errors[label] / Float(members.count)
        }
      }
      step(gradient, rate: rate)
    }
  }

  /// The share of images whose most probable class is theirs.
  func accuracy(on table: PixelTable) throws -> Double {
    let hits = try Array(0..<table.count).mapInParallel { member in
      var row = [Float](repeating: 0, count: width)
      standardise(table, member, into: &row)
      let scores = self.scores(row)
      return scores.indexOfLargest() == Int(table.labels[member]) ? 1 : 0
    }
    return Double(hits.reduce(0, +)) / Double(max(table.count, 1))
  }

  private func standardise(_ table: PixelTable, _ member: Int, into row: inout [Float]) {
    let width = self.width
    table.pixels.withUnsafeBufferPointer { pixels in
      mean.withUnsafeBufferPointer { mean in
        scale.withUnsafeBufferPointer { scale in
          row.withUnsafeMutableBufferPointer { row in
            for i in 0..<width {
              row[i] = (Float(pixels[member * width + i]) - mean[i]) * scale[i]
            }
          }
        }
      }
    }
  }

  private func scores(_ row: [Float]) -> [Float] {
    row.withUnsafeBufferPointer { row in
      weights.withUnsafeBufferPointer { weights in
        (0..<classes).map { label in
          let line = weights.baseAddress! + label * width
          var lanes = SIMD16<Float>.zero
          var i = 0
          while i + 16 <= width {
            lanes +=
              UnsafeRawPointer(line + i).loadUnaligned(as: SIMD16<Float>.self)
              * UnsafeRawPointer(row.baseAddress! + i).loadUnaligned(as: SIMD16<Float>.self)
            i += 16
          }
          var sum = lanes.sum() + weights[classes * width + label]
          while i < width {
            sum += line[i] * row[i]
            i += 1
          }
          return sum
        }
      }
    }
  }

  private func probabilities(_ row: [Float]) -> [Float] {
    let scores = self.scores(row)
    let largest = scores.max() ?? 0
    let exponentials = scores.map { exp($0 - largest) }
    let sum = exponentials.reduce(0, +)
    return exponentials.map { $0 / sum }
  }

  private func addScaled(
    _ row: [Float], _ factor: Float, to gradient: inout [Float], at offset: Int
  ) {
    row.withUnsafeBufferPointer { row in
      gradient.withUnsafeMutableBufferPointer { gradient in
        for i in 0..<row.count { gradient[offset + i] += factor * row[i] }
      }
    }
  }

  /// Adam with the usual constants. Pixels number in the thousands, so the rate is divided by their root.
  private mutating func step(_ gradient: [Float], rate: Float) {
    steps += 1
    let correction1 = 1 - pow(Float(0.9), Float(steps))
    let correction2 = 1 - pow(Float(0.999), Float(steps))
    let stepSize = rate / Float(width).squareRoot() / correction1
    gradient.withUnsafeBufferPointer { gradient in
      weights.withUnsafeMutableBufferPointer { weights in
        firstMoment.withUnsafeMutableBufferPointer { first in
          secondMoment.withUnsafeMutableBufferPointer { second in
            for i in 0..<gradient.count {
              first[i] = 0.9 * first[i] + 0.1 * gradient[i]
              second[i] = 0.999 * second[i] + 0.001 * gradient[i] * gradient[i]
              weights[i] -= stepSize * first[i] / ((second[i] / correction2).squareRoot() + 1e-8)
            }
          }
        }
      }
    }
  }
}
