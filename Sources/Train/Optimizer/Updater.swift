import CKernels
import MMoEParallel
import MMoETensor

/// Makes an optimizer's steps on a model's parameters: it keeps the optimizer's state and does what is the same for every
/// optimizer, the gradients' norm and clipping, the parts and rates of fine-tuning, the slices of several ranks.
///
/// A parameter with a bound is clamped to it after its update.
public final class Updater {
  /// An array that the optimizer keeps for a parameter.
  package struct Kept {
    /// Of `Optimizer.state(of:)`.
    package let name: String
    /// Of sharded state `[numbers]` of this rank's slice, else of the parameter's shape.
    package let values: Tensor
  }

  public let kind: OptimizerKind
  /// Steps taken so far.
  public package(set) var stepCount = 0
  /// What is kept for every parameter, in order; nothing where it is frozen.
  package let state: [[Kept]]
  /// The numbers of every parameter that this rank updates.
  package let slices: [Range<Int>]
  /// Whether other ranks update some of the numbers.
  let isSharded: Bool
  private let optimizer: any Optimizer
  private let config: OptimizerConfig
  private let parameters: [Parameter]
  private let engine: Engine
  private typealias Chunk = (parameter: Int, range: Range<Int>, factor: Double)
  /// What is trained, cut into chunks, so that one parallel region covers all of it.
  private let chunks: [Chunk]
  /// What this rank's slices have of it, cut at the optimizer's units.
  private let updates: [Chunk]

  /// - Parameters:
  ///   - plan: what is trained and how fast; nil = everything at one rate.
  ///   - slices: of every parameter the numbers that this rank updates, cut at the optimizer's units; nil = all.
  package init(
    _ parameters: [Parameter], config: OptimizerConfig, engine: Engine, plan: UpdatePlan?,
    slices: [Range<Int>]? = nil
  ) {
    self.parameters = parameters
    self.config = config
    self.engine = engine
    kind = config.kind
    let optimizer = config.kind.make(config)
    self.optimizer = optimizer
    let plan = plan ?? UpdatePlan(parameters)
    isSharded = slices != nil
    let own = slices ?? parameters.map { 0..<$0.count }
    self.slices = own
    state = zip(zip(parameters, own), plan.parts).map { place, parts in
      let (parameter, slice) = place
      let shape = slices == nil ? parameter.shape : [slice.count]
      guard !parts.isEmpty else { return [] }
      return optimizer.state(of: parameter).map { Kept(name: $0, values: Tensor.zeros(shape)) }
    }
    let length = 1 << 16
    func cut(by steps: [Int]) -> [Chunk] {
      plan.parts.enumerated().flatMap { index, parts in
        parts.flatMap { part in
          stride(from: part.range.lowerBound, to: part.range.upperBound, by: steps[index]).map {
            (index, $0..<min($0 + steps[index], part.range.upperBound), part.factor)
          }
        }
      }
    }
    chunks = cut(by: parameters.map { _ in length })
    let units = parameters.map(optimizer.unit)
    updates = cut(by: units.map { $0 > 1 ? $0 : length }).compactMap { chunk in
      let range = chunk.range.clamped(to: own[chunk.parameter])
      return range.isEmpty ? nil : (chunk.parameter, range, chunk.factor)
    }
  }

  /// Trains all of a model's parameters at one rate.
  public convenience init(_ parameters: [Parameter], config: OptimizerConfig, engine: Engine) {
    self.init(parameters, config: config, engine: engine, plan: nil)
  }

  /// The same on one of several ranks.
  ///
  /// - Parameter team: the ranks that share out the state (ZeRO); nil = it is whole on each.
  package convenience init(
    _ parameters: [Parameter], config: OptimizerConfig, engine: Engine, plan: UpdatePlan, sharedBy team: RankTeam?
  ) {
    let optimizer = config.kind.make(config)
    self.init(
      parameters, config: config, engine: engine, plan: plan,
      slices: team?.shareOut(parameters, units: parameters.map(optimizer.unit)))
  }

  /// The global norm of all gradients: every parameter once, summed in a fixed order in double precision. Of several
  /// ranks, replicated parameters and every expert count once.
  public func gradientNorm(_ team: RankTeam? = nil) -> Double {
    let active = chunks.filter { parameters[$0.parameter].hasGradient }
    var partial = [Double](repeating: 0, count: active.count)
    let pointers = parameters.map { $0.hasGradient ? $0.gradient.pointer : nil }
    partial.withUnsafeMutableBufferPointer { sums in
      let out = sums.baseAddress
      engine.pool.run(active.count) { i, _ in
        let (parameter, range, _) = active[i]
        out![i] = mmoe_sum_of_squares(pointers[parameter]! + range.lowerBound, range.count)
      }
    }
    guard let team else { return partial.reduce(0, +).squareRoot() }
    var (replicated, experts) = (0.0, 0.0)
    for (chunk, squares) in zip(active, partial) {
      if parameters[chunk.parameter].experts == nil { replicated += squares } else { experts += squares }
    }
    return team.globalSquares(replicated: replicated, experts: experts).squareRoot()
  }

  /// One step with the gradients of the last backward pass, scaled down when their norm exceeds the clip.
  ///
  /// - Parameters:
  ///   - lr: the learning rate of this step.
  ///   - norm: the global gradient norm.
  public func step(lr: Double, gradientNorm norm: Double) {
    stepCount += 1
    let scale = config.clip > 0 && norm > config.clip ? Float(config.clip / (norm + 1e-6)) : 1
    let active = updates.filter { parameters[$0.parameter].hasGradient }
    let tiles = active.map { index, range, factor in
      let parameter = parameters[index]
      let own = range.lowerBound - (isSharded ? slices[index].lowerBound : 0)
      return UpdateTile(
        parameter, values: parameter.value.pointer + range.lowerBound,
        gradient: UnsafePointer(parameter.gradient.pointer + range.lowerBound),
        state: state[index].map { $0.values.pointer + own }, count: range.count, lr: Float(lr * factor),
        decay: parameter.decays ? Float(config.weightDecay) : 0)
    }
    optimizer.step(stepCount, tiles, scale: scale, engine: engine)
    for tile in tiles {
      // A NaN stays one.
      guard let largest = tile.parameter.largest else { continue }
      for i in 0..<tile.count where tile.values[i] > largest { tile.values[i] = largest }
    }
  }
}

extension Updater {
  /// An array that is kept for a parameter, or for a slice of it.
  package typealias State = (name: String, parameter: Parameter, values: Tensor, slice: Range<Int>)

  /// - Throws: `TrainError` where it was made with others.
  func require(_ parameters: [Parameter]) throws {
    guard !self.parameters.elementsEqual(parameters, by: ===) else { return }
    throw TrainError(
      field: "the optimizer", found: "made with \(self.parameters.count) parameters that are not the model's",
      expected: "the model's own \(parameters.count), in their order")
  }

  /// Everything that is kept, in the order of checkpoints: name by name as parameters bring them, for all that have it.
  ///
  /// - Parameter parameters: those that it was made with.
  package func state(of parameters: [Parameter]) -> [State] {
    var names: [String] = []
    for kept in state.joined() where !names.contains(kept.name) { names.append(kept.name) }
    return names.flatMap { name in
      parameters.indices.compactMap { index in
        state[index].first { $0.name == name }.map { (name, parameters[index], $0.values, slices[index]) }
      }
    }
  }
}
