import Foundation
import MMoEModels
import MMoETensor
import TestSupport
import Testing

@testable import MMoEConfig
@testable import MMoETrain

/// Files that an earlier version wrote: `mmoe train --task imagenet-subset --preset debug --steps 2` with a small model, before keys got
/// American spelling, `parallel.wire` the names of `dtype`, and `parallel.host_ranks` and `metrics.csv` went.
@Suite struct EarlierFilesTests {
  private static let fixtures = ProgramRunner.package + "/Tests/TrainTests/Fixtures/"
  private let scratch = ScratchFolder()

  @Test func checkpointsAreRead() throws {
    let unpacked = try ProgramRunner.run(
      ["-c", "gzip -dc '\(EarlierFilesTests.fixtures)earlier.h5.gz' > '\(scratch("earlier.h5"))'"], program: "/bin/sh")
    try #require(unpacked.status == 0)
    let checkpoint = try LoadedCheckpoint(scratch("earlier.h5"))
    #expect(checkpoint.info.step == 2)
    #expect(checkpoint.info.config.model.moe.renormalize && !checkpoint.info.config.model.moe.renormalizeSingle)
    #expect(checkpoint.info.config.data.normalization == .unit)
    let engine = try Engine(threads: 1)
    let model = try checkpoint.info.config.model.makeModel(seed: nil, engine: engine)
    try checkpoint.restore(model)
    let gate = try #require(model.parameters.first { $0.path == "blocks.1.moe.gate.weight" })
    #expect(gate.value.values.prefix(2) == [-0.004409814719110727, 0.0017857938073575497])
    let updater = Updater(model.parameters, config: checkpoint.info.config.optimizer, engine: engine)
    try checkpoint.restore(updater, of: model)
    let states = updater.state(of: model.parameters).filter { $0.parameter.path == gate.path }
    #expect(states.map { $0.values.values[0] } == [2.2447083836141246e-07, 3.081051005418469e-15])
  }

  @Test func configurationsAreRead() throws {
    var config = RunConfig()
    try RunConfig.table.apply(file: EarlierFilesTests.fixtures + "earlier.yaml", to: &config)
    #expect(config.model.moe.renormalize && config.data.normalization == .unit && config.parallel.wire == .bf16)
    let written = RunConfig.table.yaml(config)
    #expect(written.contains("renormalize: true") && written.contains("wire: bf16") && !written.contains("host_ranks"))
    try RunConfig.table.set(["data.normalisation=imagenet", "parallel.wire=bfloat16"], in: &config)
    #expect(config.data.normalization == .imagenet && config.parallel.wire == .bf16)
    #expect(config.model.moe.router == "softmax")
    let twice = #expect(throws: ConfigError.self) {
      try RunConfig.table.apply(yaml: "moe:\n  router: sigmoid\n  routing: learned", file: "c.yaml", to: &config)
    }
    #expect(twice?.description == "c.yaml:3: moe.routing and line 2 both set moe.router; leave one out")
    try RunConfig.table.set(["moe.routing=uniform"], in: &config)
    #expect(config.model.moe.router == "uniform")
    let error = #expect(throws: ConfigError.self) { try RunConfig.table.set(["moe.renormalise=perhaps"], in: &config) }
    #expect(
      error?.description.contains("moe.renormalise (now moe.renormalize): expected true or false") == true,
      "\(String(describing: error))")
  }
}
