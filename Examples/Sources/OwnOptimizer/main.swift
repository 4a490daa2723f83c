// An optimizer of one's own: Lion, steps of the sign of an interpolated momentum (Chen et al., arXiv 2302.06675). Clipping,
// rates, weight decay's places, slices over ranks and checkpoints are the library's.
import MMoEModels
import MMoETensor
import MMoETrain

struct Lion: Optimizer {
  static let name = "lion"
  static let summary = "steps of the sign of an interpolated momentum"
  static let keys: Set = ["beta1", "beta2"]

  private let beta1, beta2: Float

  init(_ config: OptimizerConfig) { (beta1, beta2) = (Float(config.beta1), Float(config.beta2)) }

  func state(of parameter: Parameter) -> [String] { ["momentum"] }

  func step(_ number: Int, _ tiles: [UpdateTile], scale: Float, engine: Engine) {
    engine.pool.run(tiles.count) { index, _ in
      let tile = tiles[index]
      for i in 0..<tile.count {
        let (gradient, momentum) = (scale * tile.gradient[i], tile.state[0][i])
        let direction = beta1 * momentum + (1 - beta1) * gradient
        let sign: Float = direction > 0 ? 1 : direction < 0 ? -1 : 0
        tile.values[i] -= tile.lr * (sign + tile.decay * tile.values[i])
        tile.state[0][i] = beta2 * momentum + (1 - beta2) * gradient
      }
    }
  }
}

try OptimizerKind.register(Lion.self)

var config = ModelConfig()
config.kind = .gpt
(config.layers, config.width, config.heads) = (2, 32, 2)
(config.text.vocabulary, config.text.context, config.moe.experts) = (32, 16, 4)
let engine = try Engine()
let model = try GPT(config, seed: 1, engine: engine)
var settings = OptimizerConfig()
settings.kind = OptimizerKind(rawValue: "lion")!
let updater = Updater(model.parameters, config: settings, engine: engine)
var losses: [Double] = []
for step in 0..<60 {
  let numbers = (0..<8).map { row in (0...16).map { Int32((step * 5 + row * 3 + $0 * (1 + row % 3)) % 32) } }
  for parameter in model.parameters { parameter.clearGradient() }
  let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step)
  losses.append(
    try model.loss(
      of: numbers.flatMap { $0.dropLast() }, targets: numbers.flatMap { $0.dropFirst() }, sequence: 16, pass: pass))
  try pass.tape.differentiate()
  updater.step(lr: 1e-3, gradientNorm: updater.gradientNorm())
}
print("loss \(losses[0]) -> \(losses.last!)")
