import CKernels
import Foundation
import MMoEConfig
import MMoEParallel
import MMoETensor

/// AdamW with decoupled decay (Loshchilov and Hutter, arXiv 1711.05101) and clipping by the global norm.
///
/// Decay is `p ← p − lr · wd · p` before the moment update, for parameters that carry the decay flag. A parameter with a bound
/// is clamped to it after its update.
public final class AdamW {
  public let config: OptimizerConfig
  /// Steps taken so far; enters the bias correction.
  public var stepCount = 0
  /// First and second moments, one pair a parameter, in the order of the parameters; nil where it is frozen. Of sharded
  /// state `[numbers]` of this rank's slices, else of the parameters' shapes.
  public let moments: [(first: Tensor, second: Tensor)?]
  /// The numbers of every parameter that this rank updates.
  package let slices: [Range<Int>]
  /// Whether other ranks update some of the numbers.
  let isSharded: Bool
  private let parameters: [Parameter]
  private let engine: Engine
  /// What is trained, cut into chunks, so that one parallel region covers all of it.
  private let chunks: [(parameter: Int, range: Range<Int>, factor: Double)]
  /// The part of them in this rank's slices.
  private let updates: [(parameter: Int, range: Range<Int>, factor: Double)]

  /// - Parameters:
  ///   - plan: what is trained and how fast; nil = everything at one rate.
  ///   - slices: of every parameter the numbers that this rank updates; nil = all.
  public init(
    _ parameters: [Parameter], config: OptimizerConfig, engine: Engine, plan: UpdatePlan? = nil,
    slices: [Range<Int>]? = nil
  ) {
    self.parameters = parameters
    self.config = config
    self.engine = engine
    let plan = plan ?? UpdatePlan(parameters)
    isSharded = slices != nil
    let own = slices ?? parameters.map { 0..<$0.count }
    self.slices = own
    moments = zip(zip(parameters, own), plan.parts).map { place, parts in
      let (parameter, slice) = place
      let shape = slices == nil ? parameter.shape : [slice.count]
      return parts.isEmpty ? nil : (Tensor.zeros(shape), Tensor.zeros(shape))
    }
    let step = 1 << 16
    chunks = plan.parts.enumerated().flatMap { index, parts in
      parts.flatMap { part in
        stride(from: part.range.lowerBound, to: part.range.upperBound, by: step).map {
          (index, $0..<min($0 + step, part.range.upperBound), part.factor)
        }
      }
    }
    updates = chunks.compactMap { chunk in
      let range = chunk.range.clamped(to: own[chunk.parameter])
      return range.isEmpty ? nil : (chunk.parameter, range, chunk.factor)
    }
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

  /// One update with the gradients of the last backward pass, scaled down when their norm exceeds the clip.
  ///
  /// - Parameters:
  ///   - lr: the learning rate of this step.
  ///   - norm: the global gradient norm.
  public func step(lr: Double, gradientNorm norm: Double) {
    stepCount += 1
    let scale = config.clip > 0 && norm > config.clip ? Float(config.clip / (norm + 1e-6)) : 1
    let correction1 = Float(1 - pow(config.beta1, Double(stepCount)))
    let correction2 = Float(1 - pow(config.beta2, Double(stepCount)))
    let active = updates.filter { parameters[$0.parameter].hasGradient }
    let firsts = slices.map(\.lowerBound)
    let pointers = zip(parameters, moments).map { parameter, moment in
      (
        parameter.value.pointer, parameter.hasGradient ? parameter.gradient.pointer : nil,
        moment?.first.pointer, moment?.second.pointer,
        parameter.decays ? Float(config.weightDecay) : 0, parameter.largest
      )
    }
    engine.pool.run(active.count) { [config, isSharded] i, _ in
      let (parameter, range, factor) = active[i]
      let (p, g, m, v, decay, largest) = pointers[parameter]
      let at = range.lowerBound
      let own = at - (isSharded ? firsts[parameter] : 0)
      mmoe_adamw(
        p + at, g! + at, m! + own, v! + own, scale, Float(lr * factor), decay, Float(config.beta1),
        Float(config.beta2), Float(config.epsilon), correction1, correction2, range.count)
      // A NaN stays one.
      if let largest { for i in range where p[i] > largest { p[i] = largest } }
    }
  }
}

extension AdamW {
  /// A parameter that is trained, with its moments, which are those of a slice of it.
  package typealias State = (parameter: Parameter, first: Tensor, second: Tensor, slice: Range<Int>)

  package func state(of parameters: [Parameter]) -> [State] {
    zip(zip(parameters, slices), moments).compactMap { place, moments in
      moments.map { (place.0, $0.first, $0.second, place.1) }
    }
  }
}
