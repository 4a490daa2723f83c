import CKernels
import MMoEModels
import MMoETensor

/// Averages gradients over the ranks in buckets while the backward pass still runs: replicated ones over all ranks, those
/// of an expert over the ranks that hold a copy of it.
///
/// Every rank's objective is its sum over the mean number of targets per rank (`MicroBatch.forward`), so a gradient of the
/// global batch is the sum over ranks divided by their number; an expert already has that sum over its group, since the
/// group's tokens came to it.
final class GradientSync {
  private struct Entry {
    let parameter: Parameter
    /// `ModelConfig.completingBlock`.
    let block: Int
  }

  private struct Bucket {
    let buffer: Tensor
    let parameters: [Parameter]
    let operation: PendingOperation
    let started: Double
  }

  private let entries: [Entry]
  private let ranks: Int
  /// Blocks that routes reach back.
  private let reach: Int
  private let bucket: Int
  private let replicated: Communicator
  private let replicas: Communicator
  private let engine: Engine
  private var next = 0
  private var waiting: [Parameter] = []
  private var buckets: [Bucket] = []
  /// Whether the pass that runs is the last of its step, after which gradients are complete.
  private var isArmed = false

  /// - Parameters:
  ///   - reach: how many blocks back the furthest source of a route is.
  ///   - bucket: `ParallelOptions.bucket`.
  init(_ parameters: [Parameter], of model: ModelConfig, _ grid: ProcessGrid, reach: Int, bucket: Int, engine: Engine) {
    ranks = grid.world.size
    self.reach = reach
    self.bucket = bucket
    replicated = grid.world.duplicate()
    replicas = grid.replicas.duplicate()
    self.engine = engine
    // The backward pass meets the last block first.
    entries = parameters.map { Entry(parameter: $0, block: model.completingBlock(of: $0.path)) }
      .enumerated().sorted { a, b in
        a.element.block != b.element.block
          ? a.element.block > b.element.block : a.offset < b.offset
      }.map(\.element)
  }

  func arm() {
    isArmed = true
    next = 0
  }

  /// The backward pass has left block `index`. Gradients of a block that receives routes still grow until the pass has
  /// left the block where they depart; a shared bank stands under the first block that uses it.
  func leftBlock(_ index: Int) {
    guard isArmed else { return }
    take { $0.block >= index + reach }
    if waiting.reduce(0, { $0 + $1.count }) >= bucket { sendBucket() }
  }

  /// Sends what is left and waits for everything.
  func finish() {
    guard isArmed else { return }
    take { _ in true }
    sendBucket()
    for bucket in buckets {
      replicated.wait(bucket.operation)
      engine.timeline?.append(
        "gradients", scope: "", .exchange, from: bucket.started, to: monotonicSeconds(),
        bytes: bucket.buffer.count * 4)
      copy(bucket.parameters, bucket.buffer, back: true)
    }
    buckets = []
    isArmed = false
  }

  /// Tests the buckets in flight.
  func advance() {
    for bucket in buckets { _ = bucket.operation.test() }
  }

  private func take(while isComplete: (Entry) -> Bool) {
    while next < entries.count, isComplete(entries[next]) {
      let parameter = entries[next].parameter
      next += 1
      guard parameter.hasGradient else { continue }
      if parameter.experts == nil {
        waiting.append(parameter)
        if waiting.reduce(0, { $0 + $1.count }) >= 4 * bucket { sendBucket() }
      } else if replicas.size > 1 {
        send([parameter], over: replicas)
      } else {
        engine.scaleInPlace(parameter.gradient, by: 1 / Float(ranks))
      }
    }
  }

  private func sendBucket() {
    guard !waiting.isEmpty else { return }
    send(waiting, over: replicated)
    waiting = []
  }

  private func send(_ parameters: [Parameter], over group: Communicator) {
    let buffer = Tensor(uninitialized: [parameters.reduce(0) { $0 + $1.count }])
    copy(parameters, buffer, back: false)
    buckets.append(
      Bucket(
        buffer: buffer, parameters: parameters,
        operation: group.startSum(buffer, "the sum of gradients"), started: monotonicSeconds()))
  }

  private func copy(_ parameters: [Parameter], _ buffer: Tensor, back: Bool) {
    var at = 0
    for parameter in parameters {
      let (gradient, start) = (parameter.gradient.pointer, buffer.pointer + at)
      let scale = 1 / Float(ranks)
      engine.forRowTiles(parameter.count, target: 1 << 16) { r, _, _ in
        if back {
          mmoe_scale(gradient + r.lowerBound, start + r.lowerBound, scale, r.count)
        } else {
          (start + r.lowerBound).update(from: gradient + r.lowerBound, count: r.count)
        }
      }
      at += parameter.count
    }
  }
}

extension Engine {
  /// `x ← factor · x`.
  func scaleInPlace(_ x: Tensor, by factor: Float) {
    let p = x.pointer
    forRowTiles(x.count, target: 1 << 16) { r, _, _ in
      mmoe_scale(p + r.lowerBound, p + r.lowerBound, factor, r.count)
    }
  }
}
