// A balance loss of one's own: the squared distance of the experts' mean probabilities from equal ones, over the step's whole
// batch on any number of ranks.
import MMoEModels
import MMoETensor
import MMoETrain

/// `Σ_e (P_e − 1/E)²`, P_e the mean probability of expert e.
struct SquaredBalance: BalanceLoss {
  static let name = "squared"

  /// What the library adds up over ranks and micro-batches.
  func measure(_ call: GatedCall, _ engine: Engine) -> [Double] {
    let (count, p) = (call.choice.expertCount, call.choice.probabilities.values)
    return (0..<count).map { e in stride(from: e, to: p.count, by: count).reduce(0) { $0 + Double(p[$1]) } }
  }

  func add(_ call: GatedCall, _ sums: RoutingSums, parts: Int, weight: Float, _ tape: Tape) -> Float {
    let excess = sums.balance.map { $0 / sums.tokens - 1 / Double(sums.balance.count) }
    let value = excess.reduce(0) { $0 + $1 * $1 }
    let (p, slope) = (call.choice.probabilities, 2 * Double(weight) * Double(parts) / sums.tokens)
    tape.recordLoss("balance", value: value, weight: weight) {
      let gradient = Tensor(like: p) { g in for i in g.indices { g[i] = Float(slope * excess[i % excess.count]) } }
      tape.accumulate(gradient, into: p)
    }
    return Float(value)
  }
}

try BalanceTable.register(SquaredBalance.self)

let engine = try Engine()
for weight in [1e-9, 300] {
  var config = ModelConfig()
  config.kind = .gpt
  (config.layers, config.width, config.heads) = (2, 32, 2)
  (config.text.vocabulary, config.text.context) = (32, 16)
  (config.moe.experts, config.moe.balance, config.moe.balanceWeight) = (8, "squared", weight)
  let model = try GPT(config, seed: 1, engine: engine)
  let updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
  var (losses, distance): ([Double], Double) = ([], 0)
  for step in 0..<60 {
    let numbers = (0..<8).map { row in (0...16).map { Int32((step * 5 + row * 3 + $0 * (1 + row % 3)) % 32) } }
    for parameter in model.parameters { parameter.clearGradient() }
    let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step)
    losses.append(
      try model.loss(
        of: numbers.flatMap { $0.dropLast() }, targets: numbers.flatMap { $0.dropFirst() }, sequence: 16, pass: pass))
    distance = pass.tape.losses.filter { $0.name == "balance" }.reduce(0) { $0 + $1.value }
    try pass.tape.differentiate()
    updater.step(lr: 3e-3, gradientNorm: updater.gradientNorm())
    model.afterStep()
  }
  print("weight \(weight): distance \(distance); loss \(losses[0]) -> \(losses.last!)")
}
