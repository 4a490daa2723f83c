// A language model whose experts are shared out between two ranks: the program starts itself under mpirun. Started by mpirun
// or srun, it is one of the ranks.
import Foundation
import MMoEModels
import MMoEParallel
import MMoETensor
import MMoETrain

if !ParallelProcess.isLaunched {
  exit(
    try RankLauncher.launch(ranks: 2, arguments: [], environment: [:]) { bytes in
      FileHandle.standardOutput.write(Data(bytes))
    })
}

let world = try Communicator.world(timeout: 60)
do {
  var config = ModelConfig()
  config.kind = .gpt
  (config.layers, config.width, config.heads) = (2, 32, 2)
  (config.text.vocabulary, config.text.context) = (32, 16)
  (config.moe.variant, config.moe.experts) = ("scmoe", 4)

  var options = ParallelOptions()
  options.expert = 2
  options.overlap = .shortcut
  let engine = try Engine(threads: 1)
  let team = try RankTeam(world, options, model: config, engine: engine)
  let model = try GPT(config, seed: 1, engine: engine, dispatcher: team.dispatcher)
  team.attach(model.parameters)
  let updater = Updater(model.parameters, config: OptimizerConfig(), engine: engine)
  var losses: [Double] = []
  for step in 0..<60 {
    // Each rank has its own half of the batch.
    let rows = (0..<4).map { $0 * world.size + world.rank }
    let numbers = rows.map { row in (0...16).map { Int32((step * 5 + row * 3 + $0 * (1 + row % 3)) % 32) } }
    for parameter in model.parameters { parameter.clearGradient() }
    team.beginStep()
    let pass = ForwardPass(Tape(engine, recording: true), training: true, seed: 1, step: step, coordinator: team)
    let loss = try model.loss(
      of: numbers.flatMap { $0.dropLast() }, targets: numbers.flatMap { $0.dropFirst() }, sequence: 16, pass: pass)
    losses.append(team.mean([loss])[0])
    team.armGradientSync()
    try pass.tape.differentiate()
    team.finishGradientSync()
    updater.step(lr: 3e-3, gradientNorm: updater.gradientNorm(team))
    team.endStep()
    model.afterStep()
  }
  if world.rank == 0 {
    let experts = model.parameters.first { $0.role == .experts }!
    print("\(world.size) ranks, \(experts.shape[0]) experts on each; loss \(losses[0]) -> \(losses.last!)")
  }
} catch {
  // The other rank would wait for this one.
  ParallelProcess.stop(for: error)
}
ParallelProcess.finish()
