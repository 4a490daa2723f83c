import MMoETensor

/// The bias that makes a given share of all choices fall on experts rather than on identities (LongCat-Flash, arXiv
/// 2509.01322, section 2.1): `Δb_i = rate · (share / E − T_i / (K T))`, T_i the choices of expert i of the K T of all tokens.
///
/// The change is proportional to the distance from the target, unlike `SelectionBias`'s. Identities keep a bias of 0: they
/// cost nothing, so how they share what the experts leave does not matter.
struct RealShareBias: BiasController {
  let values: Tensor
  private let rate: Double
  private let experts: Int
  /// Of the choices that are to be experts.
  private let share: Double
  /// Choices of each expert and identity since the last update.
  private var load: [Double]

  init(_ values: Tensor, rate: Double, experts: Int, share: Double) {
    (self.values, self.rate, self.experts, self.share) = (values, rate, experts, share)
    load = Array(repeating: 0, count: values.count)
  }

  static func validate(_ moe: MoEConfig) throws {
    guard moe.realShare > 0 else { return }
    let found = "moe.real_share is \(moe.realShare)"
    guard moe.identityExperts > 0 else {
      throw ModelError(
        "\(found), but moe.identity_experts is 0, so all choices are experts; raise moe.identity_experts")
    }
    guard moe.biasRate > 0 else {
      throw ModelError("\(found), but moe.bias_rate is 0, so no bias moves towards it; set moe.bias_rate, such as 0.1")
    }
    guard moe.groups == nil else {
      throw ModelError(
        "\(found), which is of all experts, but moe.groups is \(moe.groups ?? ""); set one of them to its default")
    }
  }

  mutating func add(_ sums: RoutingSums, allowed: [[Bool]]?) {
    for e in load.indices { load[e] += sums.load[e] }
  }

  mutating func update() {
    let choices = load.reduce(0, +)
    guard choices > 0 else { return }
    for e in 0..<experts { values.pointer[e] += Float(rate * (share / Double(experts) - load[e] / choices)) }
    load = Array(repeating: 0, count: load.count)
  }
}
