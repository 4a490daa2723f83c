// An architecture of one's own: two experts for the preceding block's input beside one for the current state.
import MMoEModels
import MMoETensor
import MMoETrain

try MoEVariant.register(
  MoEVariant(
    name: "mixed", summary: "two experts for the pair's input, one for the current state", sharedExpert: false,
    routes: [Route(.position3, k: 2), Route(.current, k: 1)]))

// A name twice is an error of one line.
do {
  try MoEVariant.register(MoEVariant(name: "mixed", summary: "", sharedExpert: true, routes: [Route(.current, k: 1)]))
} catch { print("refused: \(error)") }

let engine = try Engine()

/// The losses of a small model on sequences that count up.
func train(_ variant: String) throws -> [Double] {
  var config = ModelConfig()
  config.kind = .gpt
  (config.layers, config.width, config.heads) = (2, 32, 2)
  (config.text.vocabulary, config.text.context) = (32, 16)
  (config.moe.variant, config.moe.experts) = (variant, 4)
  let model = try GPT(config, seed: 1, engine: engine)
  let updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
  return try (0..<60).map { step in
    let numbers = (0..<8).map { row in (0...16).map { Int32((step * 5 + row * 3 + $0 * (1 + row % 3)) % 32) } }
    for parameter in model.parameters { parameter.clearGradient() }
    let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step)
    let loss = try model.loss(
      of: numbers.flatMap { $0.dropLast() }, targets: numbers.flatMap { $0.dropFirst() }, sequence: 16, pass: pass)
    try pass.tape.differentiate()
    updater.step(lr: 3e-3, gradientNorm: updater.gradientNorm())
    model.afterStep()
    return loss
  }
}

for variant in ["top2", "mixed"] {
  let losses = try train(variant)
  print("\(variant): loss \(losses[0]) -> \(losses.last!)")
}
