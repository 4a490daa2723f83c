import Foundation
import MMoEModels
import MMoETensor
import MMoETrain

/// What is claimed for one bank of experts under several layers, and for routes from several sources: fewer parameters
/// for the same loss, information that flows further, less overfitting, and experts that serve low and high layers
/// alike. Each claim has its figures here; models with and without sharing are laid side by side.
struct SharingMeasurement {
  let parameters: Int
  let activeParameters: Int
  /// Mean cross-entropy in nats over samples of each part, without augmentation and with nothing dropped.
  let trainLoss: Double
  let valLoss: Double
  let similarity: SimilarityMeasurement
  let gradients: GradientMeasurement
  let routing: RoutingMeasurement

  /// Validation loss − training loss.
  var gap: Double { valLoss - trainLoss }
  var layers: Int { similarity.layers }

  /// Mean cosine of two blocks' outputs that are so many blocks apart; the model's input counts as one.
  func cosine(blocksApart distance: Int) -> Double {
    let pairs = (0...layers - distance).map { similarity.cosine[2 * $0][2 * ($0 + distance)] }
    return pairs.reduce(0, +) / Double(pairs.count)
  }

  /// ‖dE/dx‖ of the state that lies so many blocks before the last, over that of the last.
  func gradient(blocksBefore distance: Int) -> Double {
    func norm(_ block: Int) -> Double {
      gradients.states.first { $0.state == StreamState(index: 2 * block) }?.norm ?? .nan
    }
    return norm(layers - distance) / norm(layers)
  }

  /// Two layers of one bank.
  struct Demand {
    let bank: Int
    let lower: CallMeasurement
    let higher: CallMeasurement

    /// Share of the load that both layers put on the same experts, Σ min(pₑ, qₑ): 1 = they ask alike.
    var loadOverlap: Double { zip(lower.load, higher.load).reduce(0) { $0 + min($1.0, $1.1) } }
    /// How often a token has the same expert in both.
    var sameToken: Double { lower.agreement(with: higher) }
    /// What `sameToken` would be if the layers chose independently with these loads.
    var expected: Double { zip(lower.load, higher.load).reduce(0) { $0 + $1.0 * $1.1 } * higher.meanChoices }
  }

  /// For every bank under several layers, its lowest layer beside its highest, call by call.
  func demands(_ config: ModelConfig) -> [Demand] {
    let banks = Dictionary(grouping: routing.blocks) { config.bank(of: $0) ?? -1 }
    return banks.sorted { $0.key < $1.key }.flatMap { bank, blocks -> [Demand] in
      guard let low = blocks.min(), let high = blocks.max(), low < high else { return [] }
      return zip(routing.calls(of: low), routing.calls(of: high)).map {
        Demand(bank: bank, lower: $0, higher: $1)
      }
    }
  }
}

enum SharingAnalysis: Analysis {
  static let name = "sharing"
  static let needsExperts = true
  static let needsTrainingPart = true

  static func adapt(_ config: inout ModelConfig) { GradientAnalysis.adapt(&config) }

  static func measure(_ task: any ProbedTask, _ config: ModelConfig, _ probe: Probe) throws -> SharingMeasurement {
    let costs = try ModelCosts(config)
    return SharingMeasurement(
      parameters: costs.parameters, activeParameters: costs.activeParameters,
      trainLoss: try task.loss(.train, samples: probe.samples, pass: { probe.pass() }),
      valLoss: try task.loss(.val, samples: probe.samples, pass: { probe.pass() }),
      similarity: try SimilarityAnalysis.measure(task, config, probe),
      gradients: try GradientAnalysis.measure(task, config, probe),
      routing: try RoutingAnalysis.measure(task, config, probe))
  }
}
